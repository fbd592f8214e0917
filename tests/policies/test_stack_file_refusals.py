"""What the program refuses, the stack file's door refuses too, with the line; and no file keeps it busy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.planning.emergency_keys import KEYS
from policies import yaml_text
from policies.doors import stack_file
from stacks.adoption import Existing
from stacks.emergency import component_args, read_settings
from stacks.settings import ConfigReader
from tests.policies.conftest import EXAMPLE, run
from tests.policies.conftest import stack_file as written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Recorder

ZONE = "us-east-1a"
POD = f"podSubnets/{ZONE}"
ROUTES = f"{POD}/routes"
NAT = {"natGatewayId": "nat-0123456789abcdef0"}
RULE = {"securityGroupId": "sg-11111111", "protocol": "tcp", "fromPort": 443, "toPort": 443}


def changed(config: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """The example with one field changed; `None` takes it out."""
    found = copy.deepcopy(dict(config))
    *above, last = f"headroom:{path}".split("/")
    place: Any = found
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


def said(config: Mapping[str, Any], name: str = "Pulumi.prod.yaml") -> list[str]:
    """What the door refuses."""
    text = yaml.safe_dump({"config": dict(config)}, sort_keys=False)
    try:
        stack_file.declared(stack_file.load(Path(name), text))
    except ProblemsError as error:
        return [problem.message for problem in error.problems]
    return []


def refused_by_the_program(recorder: Recorder, config: Mapping[str, Any]) -> bool:
    refused: list[ProblemsError] = []

    def program() -> None:
        try:
            read_settings(ConfigReader())
        except ProblemsError as error:
            refused.append(error)

    recorder.run(program, config=config)
    return bool(refused)


REFUSED: list[tuple[str, object, str]] = [
    ("podSubnet", {}, "Did you mean podSubnets?"),
    (f"{POD}/cidr", "100.64.0.0/18", "Did you mean cidrBlock?"),
    (f"{POD}/cidrBlock", None, "cidrBlock: nothing is set."),
    (ROUTES, {}, "has both a route table and routes."),
    (f"{POD}/routeTableId", "rtb-", "rtb- is no id of that kind."),
    (f"{POD}/networkAclId", "acl-x", "acl-x is no id of that kind."),
    (f"{POD}/zone", "eu-west-1a", "lies in eu-west-1, and aws:region is us-east-1."),
    (f"{POD}/zone", "nowhere", "is no availability zone."),
    ("clusterName", None, "headroom:clusterName: nothing is set. Write it, such as prod-use1."),
    ("clusterName", "prod\u202e1", "'prod\\u202e1' is no name that a cluster can have."),
    ("clusterName", "prod\x1b[2J", "'prod\\x1b[2J' is no name that a cluster can have."),
    ("cniVersion", None, "headroom:cniVersion: nothing is set."),
    ("vpcId", None, "headroom:vpcId: nothing is set."),
    ("vpcId", "vpc-xyz", "vpc-xyz is no id of that kind."),
    ("vpcCidrBlocks", [], "headroom:vpcCidrBlocks: nothing is set."),
    ("vpcCidrBlocks", ["10.68.0.1/16"], "10.68.0.1/16"),
    ("secondaryCidrs", ["100.64.0.1/16"], "100.64.0.1/16"),
    ("secondaryCidrs", ["100.64.0.0/16", 5], "5 is not text"),
    ("tags", {"headroom:stack": "x"}, "begins with headroom:"),
    ("tags", {"aws:x": "x"}, "is reserved by AWS"),
    ("tags", {"kubernetes.io/cluster/prod": "shared"}, "must not be on a pod subnet"),
    ("tags", {"kubernetes.io/role/cni": "1"}, "is set by the stack."),
    ("tags", {"x": "v" * 257}, "has a value of 257 characters"),
    ("tags", {"x": 5}, "5 is not text"),
    ("ingressRules", {"a": {**RULE, "protocol": "tpc"}}, "tpc is no protocol that EC2 knows."),
    ("ingressRules", {"a": {**RULE, "fromPort": 444}}, "which are no range within 0 to 65535."),
    ("ingressRules", {"a": {**RULE, "port": 1}}, "port is not known here."),
    ("ingressRules", {"a": {"protocol": "-1"}}, "securityGroupId: nothing is set."),
    ("ingressRules", {"a": {**RULE, "securityGroupId": "sg-"}}, "sg- is no id of that kind."),
    ("ingressRules", {"a": {**RULE, "description": "ä"}}, "which EC2 does not take."),
    ("prefixReservations", {"elsewhere": {"primaryAddresses": 5}}, "elsewhere is no key of podSubnets."),
    ("prefixReservations", {ZONE: {"cidrBlocks": ["100.64.32.0/19"]}}, "primaryAddresses: nothing is set."),
    ("prefixReservations", {ZONE: {"cidrBlock": [], "primaryAddresses": 5}}, "Did you mean cidrBlocks?"),
    ("cniSettings", {"manageBy": "addon"}, "Did you mean managedBy?"),
    ("customNetworking", {"nodeZone": [ZONE]}, "Did you mean nodeZones?"),
    ("customNetworking", {"securityGroupIds": ["default"]}, "default is no id of that kind."),
]


@pytest.mark.parametrize(("path", "value", "sentence"), REFUSED, ids=[f"{path}={value}" for path, value, _ in REFUSED])
def test_what_the_program_refuses_is_refused_by_file(
    recorder: Recorder, example_config: dict[str, Any], path: str, value: object, sentence: str
) -> None:
    config = changed(example_config, path, value)
    assert any(sentence in message for message in said(config)), said(config)
    assert all(message.startswith("Pulumi.prod.yaml line ") for message in said(config))
    assert refused_by_the_program(recorder, config)


def test_more_tags_than_ec2_takes_are_refused_by_both_with_the_same_words(
    recorder: Recorder, example_config: dict[str, Any]
) -> None:
    most = {f"tag-{number}": "x" for number in range(45)}
    assert said(changed(example_config, "tags", most)) == []
    assert said(changed(example_config, "tags", {**most, "Name": "mine"})) == [], "it takes the place of ours"
    config = changed(example_config, "tags", {**most, "one-more": "x"})
    sentence = "46 tags do not fit: EC2 allows 50 a resource, and 5 are needed here. Keep 45 at most."
    (message,) = said(config)
    assert message.startswith("Pulumi.prod.yaml line ")
    assert message.endswith(sentence)
    found: list[str] = []

    def program() -> None:
        try:
            component_args(read_settings(ConfigReader()), Existing())
        except ProblemsError as error:
            found.extend(problem.message for problem in error.problems)

    recorder.run(program, config=config)
    assert found == [f"headroom:tags: {sentence}"]


ROUTED: list[tuple[object, str]] = [
    ({"0.0.0.0/0": {"natGateway": "nat-11111111"}}, "Did you mean natGatewayId?"),
    ({"0.0.0.0/0": {}}, "0 targets is not one target."),
    ({"0.0.0.0/0": {**NAT, "gatewayId": "igw-11111111"}}, "2 targets is not one target."),
    ({"0.0.0.0/0": {"natGatewayId": "nat-"}}, "nat- is no id of that kind."),
    ({"0.0.0.0/0": {"natGatewayId": ""}}, "nothing is no id of that kind."),
    ({"10.0.0.1/8": NAT}, "10.0.0.1/8"),
    ({"10.68.1.0/24": NAT}, "lies in the VPC: local already routes it."),
]


@pytest.mark.parametrize(("routes", "sentence"), ROUTED)
def test_routes_that_the_program_refuses_are_refused_by_file(
    recorder: Recorder, example_config: dict[str, Any], routes: object, sentence: str
) -> None:
    config = changed(changed(example_config, f"{POD}/routeTableId", None), ROUTES, routes)
    assert any(sentence in message for message in said(config)), said(config)
    assert refused_by_the_program(recorder, config)


@pytest.mark.parametrize("where", ["settings", "liveEnvironment"])
def test_the_program_refuses_subnets_that_custom_networking_would_ignore(
    recorder: Recorder, example_config: dict[str, Any], where: str
) -> None:
    """The door leaves that to discovery-tags, which sees it in every program."""
    name = "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"
    cni = {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1", "settings": {"MAX_ENI": "5"}}
    example_config["headroom:cniSettings"] = {**cni, where: {"MAX_ENI": "5", name: "true"}}
    assert refused_by_the_program(recorder, example_config)
    example_config["headroom:cniSettings"] = {**cni, where: {"MAX_ENI": "5", name: "false"}}
    assert not refused_by_the_program(recorder, example_config)


def test_the_example_and_what_it_leaves_out_are_accepted_by_both(
    recorder: Recorder, example_config: dict[str, Any]
) -> None:
    config = changed(changed(example_config, f"{POD}/routeTableId", None), ROUTES, {"0.0.0.0/0": NAT})
    config["headroom:ingressRules"] = {"https": RULE, "all": {"securityGroupId": "sg-11111111"}}
    config["headroom:prefixReservations"] = {ZONE: {"cidrBlocks": ["100.64.32.0/19"], "primaryAddresses": 500}}
    assert said(config) == []
    assert not refused_by_the_program(recorder, config)


def test_the_program_reads_the_keys_that_the_door_knows(recorder: Recorder, example_config: dict[str, Any]) -> None:
    asked: list[set[str]] = []

    def program() -> None:
        config = ConfigReader()
        read_settings(config)
        asked.append(config._asked)  # the one place that has what was asked for

    recorder.run(program, config=example_config)
    assert asked == [set(KEYS) - {"remedy"}]


def test_a_key_without_its_namespace_is_refused(example_config: dict[str, Any]) -> None:
    assert any("Write headroom:tags." in message for message in said({**example_config, "tags": {}}))
    assert said({**example_config, "aws:profile": "x"}) == []


def test_every_problem_has_its_own_line(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("vpc-0123456789abcdef0", "vpc-xyz")
    text = text.replace("routeTableId: rtb-0bbbbbbbbbbbbbbb2", "routeTableId: rtb-")
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(text, encoding="utf-8")
    done = run(str(path))
    assert isinstance(done.exception, ProblemsError)
    lines = text.splitlines()
    for wanted, problem in zip(("vpc-xyz", "rtb-"), done.exception.problems, strict=True):
        number = int(problem.key.split(" line ")[1].split(":")[0])
        assert lines[number - 1].endswith(f": {wanted}")


# What a file cannot tell.


def test_what_only_the_program_can_judge_is_said_and_is_what_comes_next(tmp_path: Path) -> None:
    settings = {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1", "settings": {"MAX_ENI": "5"}}
    done = run(str(written(tmp_path, cniSettings=settings)))
    assert done.exit_code == 0, done.output
    assert "Next: `headroom check . --stack prod`, since not all of it was judged by file." in done.output
    assert "cniSettings of " in done.output
    assert "open the pull request" not in done.output
    assert "Next: open the pull request." in run(str(EXAMPLE)).output


def test_a_stack_name_that_a_shell_would_act_on_is_not_repeated(tmp_path: Path) -> None:
    settings = {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1", "settings": {"MAX_ENI": "5"}}
    done = run(str(written(tmp_path, name="$(x)", cniSettings=settings)))
    assert "`headroom check . --stack NAME`" in done.output


def test_a_version_that_is_none_has_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, cniVersion="latest")
    number = next(
        index for index, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "cniVersion" in line
    )
    assert f"violation cni-version-safe {path}:{number} " in run(str(path)).output


# Files that nobody writes by mistake.


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
HOSTILE = {
    "flow lists": ("a: " + "[" * 50_000 + "]" * 50_000, "nested more than 64 levels deep (line 1)"),
    "flow mappings": ("{a: " * 50_000 + "}" * 50_000, "nested more than 64 levels deep"),
    "block lists": ("- " * 50_000 + "a", "nested more than 64 levels deep"),
    "keys": ("? " * 50_000 + "a", "nested more than 64 levels deep"),
    "an alias bomb": (BOMB, "more than 100,000 values with its aliases written out (line 6)"),
    "an alias to what it is part of": ("a: &a [*a]", "*a names nothing before it, or what it is part of (line 1)"),
    "an alias to nothing": ("a: *b", "*b names nothing before it"),
    "a large file": ("#" * (1 << 20) + "#", "1,048,576 are read at most"),
    "a time that is none": ("a: !!timestamp x", "not of the type"),
    "a boolean that is none": ("a: !!bool x", "not of the type"),
    "an object": ("a: !!python/object:os.system x", "could not determine a constructor"),
    "a key that is a list": ("? [a]\n: b", "unhashable key"),
}


@pytest.mark.parametrize(("text", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_with_one_problem(text: str, sentence: str) -> None:
    with pytest.raises(ProblemsError) as refused:
        stack_file.load(Path("Pulumi.prod.yaml"), text)
    assert len(refused.value.problems) == 1
    assert sentence in str(refused.value)


def test_aliases_that_stay_small_are_read() -> None:
    _, document = yaml_text.load("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: 2\n")
    assert document == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_a_device_is_not_read(tmp_path: Path) -> None:
    link = tmp_path / "Pulumi.prod.yaml"
    link.symlink_to("/dev/zero")
    for name in (str(link), "/dev/zero"):
        assert "is no regular file." in str(run(name).exception)


def test_a_document_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    inputs = '{"a":' * 900 + "1" + "}" * 900
    resource = '{"urn":"u","type":"aws:ec2/subnet:Subnet","inputs":' + inputs + "}"
    path = tmp_path / "state.json"
    path.write_text('{"deployment":{"resources":[' + resource + "]}}", encoding="utf-8")
    assert "is nested too deep." in str(run(str(path)).exception)


def test_a_live_configuration_that_is_nested_too_deep_is_refused(example_config: dict[str, Any]) -> None:
    example_config["headroom:cniSettings"] = {"managedBy": "addon", "liveConfiguration": "[" * 100_000}
    assert any("liveConfiguration is not JSON" in message for message in said(example_config))
