import pytest

from headroom.addresses.problems import ProblemsError
from headroom.capacity.cni_version import (
    CniVersion,
    check_cni_version,
    cluster_tag,
    excluded_subnets,
    interface_subnets,
)
from headroom.capacity.ec2 import Subnet

ROLE = "kubernetes.io/role/cni"
OLD_CLUSTER = "kubernetes.io/cluster/"
CLUSTER = "cni.networking.k8s.aws/cluster/"


def version(text: str) -> CniVersion:
    return CniVersion.parse(text)


@pytest.mark.parametrize("text", ["v1.19.2", "1.19.2", "1.19.2-eksbuild.1", " v1.19.2-eksbuild.12 "])
def test_image_tags_and_add_on_versions_are_read(text: str) -> None:
    assert version(text) == version("1.19.2")


def test_versions_are_compared_as_numbers() -> None:
    assert version("1.9.3") < version("1.18.0") < version("1.18.3-eksbuild.1")
    assert version("1.18.3-eksbuild.2") <= version("1.18.3")
    assert len({version("1.18.3"), version("v1.18.3-eksbuild.1")}) == 1


def test_a_version_is_written_with_its_build() -> None:
    assert str(version("1.19.2-eksbuild.1")) == "v1.19.2-eksbuild.1"
    assert str(version("1.19.2")) == "v1.19.2"


@pytest.mark.parametrize("text", ["", "latest", "1.19", "1.19.2.3", "1.19.2-rc1", "\uff11.19.2"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ProblemsError, match="is not a version of the VPC CNI"):
        version(text)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("1.17.1", ["cni-subnet-discovery"]),
        ("1.18.0", ["cni-full-subnet"]),
        ("1.18.2", ["cni-full-subnet"]),
        ("1.18.3", []),
        ("1.21.2", []),
        ("1.22.0", ["cni-primary-address"]),
        ("1.22.1", ["cni-primary-address", "cni-security-group-permission"]),
        ("1.22.3", ["cni-primary-address"]),
        ("1.22.4", []),
        ("1.23.0", []),
    ],
)
def test_versions_that_mishandle_tagged_subnets_are_refused(text: str, rules: list[str]) -> None:
    problems, _ = check_cni_version(version(text))
    assert [problem.rule for problem in problems] == rules
    for problem in problems:
        assert "Upgrade to v1." in problem.next_step


def test_the_permission_that_one_version_needs_lifts_its_problem() -> None:
    problems, _ = check_cni_version(version("1.22.1"), describe_security_groups=True)
    assert [problem.rule for problem in problems] == ["cni-primary-address"]


@pytest.mark.parametrize(("text", "refused"), [("1.19.2", True), ("1.22.3", True), ("1.22.4", False)])
def test_excluding_the_node_subnet_needs_a_version_that_can(text: str, refused: bool) -> None:  # noqa: FBT001
    problems, _ = check_cni_version(version(text), tag_zero=True)
    assert ("cni-tag-zero" in [problem.rule for problem in problems]) == refused


def test_a_version_without_cluster_scope_is_warned_about() -> None:
    problems, warnings = check_cni_version(version("1.19.2"), cluster_scoped=True)
    assert problems == ()
    assert [warning.rule for warning in warnings] == ["cni-cluster-scope"]


@pytest.mark.parametrize(
    ("text", "key"),
    [("1.21.2", None), ("1.22.0", OLD_CLUSTER + "prod"), ("1.22.1", CLUSTER + "prod"), ("1.23.0", CLUSTER + "prod")],
)
def test_the_cluster_tag_has_the_form_that_the_version_reads(text: str, key: str | None) -> None:
    tag = cluster_tag(version(text), "prod")
    assert (None if tag is None else tag[0]) == key


def subnets(**tags: dict[str, str]) -> list[Subnet]:
    free = {"node": 5, "pods": 100, "other": 200}
    return [Subnet(id=name, free_addresses=free[name], tags=tags.get(name, {})) for name in free]


def chosen(found: list[Subnet], text: str, cluster_name: str = "") -> list[str]:
    return [
        subnet.id
        for subnet in interface_subnets(found, node_subnet="node", version=version(text), cluster_name=cluster_name)
    ]


def test_the_tagged_subnet_with_most_free_addresses_comes_first() -> None:
    assert chosen(subnets(pods={ROLE: "1"}), "1.19.2") == ["pods", "node"]
    assert chosen(subnets(pods={ROLE: "1"}, other={ROLE: "1"}), "1.19.2") == ["other", "pods", "node"]


def test_subnets_with_equally_many_free_addresses_keep_the_order_of_ec2() -> None:
    found = [Subnet(id=name, free_addresses=9, tags={ROLE: "1"}) for name in ("b", "node", "a")]
    assert chosen(found, "1.23.0") == ["b", "node", "a"]


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("1.17.1", "1", False),
        ("1.18.3", "0", True),
        ("1.21.2", "", True),
        ("1.22.0", "0", False),
        ("1.22.0", "", False),
        ("1.23.0", "yes", True),
    ],
)
def test_what_a_tag_value_means_depends_on_the_version(text: str, value: str, used: bool) -> None:  # noqa: FBT001
    assert ("pods" in chosen(subnets(pods={ROLE: value}), text)) == used


@pytest.mark.parametrize(
    ("text", "tag", "cluster_name", "used"),
    [
        ("1.21.2", CLUSTER + "staging", "prod", True),
        ("1.22.0", OLD_CLUSTER + "staging", "prod", False),
        ("1.22.0", OLD_CLUSTER + "prod", "prod", True),
        ("1.22.0", OLD_CLUSTER + "prod", "", False),
        ("1.22.0", CLUSTER + "staging", "prod", True),
        ("1.22.1", CLUSTER + "staging", "prod", False),
        ("1.22.1", CLUSTER + "prod", "prod", True),
        ("1.22.1", CLUSTER + "staging", "", True),
        ("1.22.1", OLD_CLUSTER + "staging", "prod", True),
    ],
)
def test_a_cluster_tag_narrows_a_subnet_from_1_22_on(
    text: str,
    tag: str,
    cluster_name: str,
    used: bool,  # noqa: FBT001
) -> None:
    found = subnets(pods={ROLE: "1", tag: "shared"})
    assert ("pods" in chosen(found, text, cluster_name)) == used


def test_the_node_subnet_can_be_excluded_from_1_22_on() -> None:
    found = subnets(node={ROLE: "0"}, pods={ROLE: "1"})
    assert chosen(found, "1.23.0") == ["pods"]
    assert chosen(found, "1.21.2") == ["pods", "node"]
    assert excluded_subnets(found, version=version("1.23.0")) == {"node"}
    assert excluded_subnets(found, version=version("1.21.2")) == set()


def test_interfaces_in_another_clusters_subnet_give_no_addresses() -> None:
    found = subnets(pods={ROLE: "1", CLUSTER + "staging": ""})
    assert excluded_subnets(found, version=version("1.23.0"), cluster_name="prod") == {"pods"}
