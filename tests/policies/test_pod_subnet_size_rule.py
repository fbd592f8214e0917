from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.problems import Problem
from headroom.capacity.demand import least_demand, zone_demand
from policies.findings import Undecided
from policies.resources import SUBNET, Resource, Resources, plain
from policies.rules import pod_subnet_size

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLE = "kubernetes.io/role/cni"
# What the engine sends for values that are not known yet.
UNKNOWN_STRING_VALUE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_OBJECT_VALUE = "dd056dcd-154b-4c76-9bd3-c8f88648b5ff"
# The reference cluster: 30 nodes over three zones. Numbers arrive from the engine as floating-point ones.
CONFIG = {
    "expectedNodes": {"us-east-1a": 10.0, "us-east-1b": 10.0, "us-east-1c": 10.0},
    "podsPerNode": 100.0,
    "instanceType": "m5.8xlarge",
    "surge": 1.0,
}


def subnet(cidr: Any = "100.64.1.0/24", **more: Any) -> dict[str, Any]:
    return {"cidrBlock": cidr, "availabilityZone": "us-east-1a", "vpcId": "vpc-1", "tags": {ROLE: "1"}, **more}


def resource(properties: Mapping[str, Any], number: int = 0) -> Resource:
    return Resource(type=SUBNET, name="pods", urn=f"urn:{number}", properties=plain(properties))


def findings(properties: Mapping[str, Any], config: Mapping[str, Any] = CONFIG) -> list[Problem | Undecided]:
    """What the rule says of properties as they come from the engine."""
    found = pod_subnet_size.findings(Resources([resource(properties)]), config)
    return [finding.verdict for finding in found]


# Violations and what passes.


def test_a_24_for_ten_large_nodes_is_refused_in_this_sentence() -> None:
    (problem,) = findings(subnet())
    assert str(problem) == (
        "100.64.1.0/24 holds 251 addresses; 10 m5.8xlarge and 1 more in a rolling upgrade at 100 pods each "
        "(150 addresses a node) need 1,650 in us-east-1a. Write a /21 (2,043 addresses) or larger."
    )
    assert isinstance(problem, Problem)
    assert problem.rule == "pod-subnet-size"


def test_the_block_that_the_sentence_names_is_accepted_and_the_next_smaller_is_not() -> None:
    assert findings(subnet("100.64.0.0/21")) == []
    assert len(findings(subnet("100.64.0.0/22"))) == 1


def test_one_node_is_spoken_of_in_the_singular() -> None:
    config = {**CONFIG, "expectedNodes": {"us-east-1a": 1.0}, "surge": 0.0}
    (problem,) = findings(subnet("100.64.1.0/28"), config)
    assert "1 m5.8xlarge at 100 pods each (150 addresses a node) needs 150 in us-east-1a." in str(problem)


def test_the_cnis_settings_change_what_a_node_takes() -> None:
    config = {**CONFIG, "environment": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"}}
    (problem,) = findings(subnet(), config)
    assert "(109 addresses a node) need 1,199" in str(problem)


def test_a_surge_that_is_not_set_is_one_node() -> None:
    config = {name: value for name, value in CONFIG.items() if name != "surge"}
    assert list(map(str, findings(subnet(), config))) == list(map(str, findings(subnet())))


def test_without_configuration_two_full_nodes_have_to_fit() -> None:
    (problem,) = findings(subnet(), {})
    assert str(problem) == (
        "100.64.1.0/24 holds 251 addresses; the pods of 2 full nodes, at EKS's cap of 250 each, need 500 in "
        "us-east-1a. Write a /23 (507 addresses) or larger."
    )
    assert findings(subnet("100.64.0.0/23"), {}) == []
    no_zone = {**subnet(), "availabilityZone": UNKNOWN_STRING_VALUE}
    (problem,) = findings(no_zone, {"expectedNodes": {}})
    assert "need 500. Write" in str(problem), "which zone it is makes no difference here"


def test_a_zone_that_no_subnet_can_hold_is_told_to_take_several() -> None:
    config = {**CONFIG, "expectedNodes": {"us-east-1a": 1000.0}}
    (problem,) = findings(subnet("100.64.0.0/16"), config)
    assert str(problem).endswith("need 150,150 in us-east-1a. No subnet is that large: give the zone several.")


@settings(deadline=None)
@given(
    nodes=st.integers(0, 200),
    surge=st.integers(0, 5),
    pods=st.integers(0, 234),
    length=st.integers(16, 28),
    kind=st.sampled_from(["m5.large", "c5.xlarge", "m5.8xlarge"]),
)
def test_the_verdict_is_the_capacity_rooms_own(nodes: int, surge: int, pods: int, length: int, kind: str) -> None:
    block = Block(Block.parse("100.64.0.0/16").first, length)
    config = {"expectedNodes": {"us-east-1a": nodes}, "podsPerNode": pods, "instanceType": kind, "surge": surge}
    demand = zone_demand(nodes=nodes, surge=surge, instance_type=kind, pods_per_node=pods, environment={})
    violated = findings(subnet(str(block)), config) != []
    assert violated == (usable_addresses(block) < demand.addresses)


# Subnets that are not for pods.


@pytest.mark.parametrize(
    "tags",
    [None, {}, {"Name": "nodes"}, {"kubernetes.io/role/elb": "1"}, {ROLE: "0"}],
    ids=["no tags", "empty", "other tags", "for load balancers", "excluded"],
)
def test_a_subnet_that_is_not_for_pods_is_none_of_this_rules_business(tags: Any) -> None:
    assert findings(subnet(tags=tags)) == []
    without = {name: value for name, value in subnet().items() if name != "tags"}
    assert findings(without) == []


@pytest.mark.parametrize("role", ["1", "", "true", "yes", 1, 0, False, ["0"], {"a": "b"}])
def test_any_other_value_of_the_role_tag_invites_pods(role: Any) -> None:
    (problem,) = findings(subnet(tags={ROLE: role}))
    assert isinstance(problem, Problem)


# Unknowns.


@pytest.mark.parametrize(
    ("properties", "unknown"),
    [
        (subnet(UNKNOWN_STRING_VALUE), "cidrBlock"),
        ({name: value for name, value in subnet().items() if name != "cidrBlock"}, "cidrBlock"),
        (subnet(None), "cidrBlock"),
        (subnet(availabilityZone=UNKNOWN_STRING_VALUE), "availabilityZone"),
        (subnet(availabilityZone=None), "availabilityZone"),
        (subnet(tags=UNKNOWN_OBJECT_VALUE), "tags"),
        (subnet(tags={ROLE: UNKNOWN_STRING_VALUE}), f"tag {ROLE}"),
    ],
)
def test_what_only_up_will_show_makes_the_rule_undecided(properties: dict[str, Any], unknown: str) -> None:
    assert findings(properties) == [Undecided(unknown)]


def test_an_unknown_that_the_rule_does_not_need_changes_nothing() -> None:
    others = {"vpcId": UNKNOWN_STRING_VALUE, "tags": {ROLE: "1", "Name": UNKNOWN_STRING_VALUE}}
    assert findings(subnet(**others)) == findings(subnet())


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({"expectedNodes": {"us-east-1a": 10}}, "podsPerNode, instanceType"),
        ({**CONFIG, "expectedNodes": {"us-east-1b": 10}}, "expectedNodes for us-east-1a"),
        ({"expectedNodes": {"us-east-1b": 10}, "podsPerNode": 100}, "expectedNodes for us-east-1a, instanceType"),
    ],
)
def test_a_configuration_that_does_not_say_enough_makes_the_rule_undecided(
    config: dict[str, Any], missing: str
) -> None:
    expected = Undecided(missing, "is not set in the configuration of pod-subnet-size.")
    assert findings(subnet("100.64.0.0/16"), config) == [expected], "not even a large subnet passes unjudged"


# Hostile values.


@pytest.mark.parametrize(
    "cidr",
    [
        "100.64.b.0/24",
        "100.64.1.5/24",
        "",
        42,
        1.5,
        True,
        ["100.64.1.0/24"],
        {"a": "b"},
        "\u0661\u0660.0.0.0/24",
        "10.0.0.0/99",
    ],
)
def test_a_block_that_is_none_is_a_finding(cidr: Any) -> None:
    (problem,) = findings(subnet(cidr))
    assert isinstance(problem, Problem)
    assert problem.next_step


@pytest.mark.parametrize("tags", ["kubernetes.io/role/cni", [ROLE], 7, True, "", [], 0])
def test_tags_that_are_no_mapping_are_undecided(tags: Any) -> None:
    assert findings(subnet(tags=tags)) == [Undecided("tags", "is not a mapping.")]


@pytest.mark.parametrize("zone", [7, ["us-east-1a"], {"a": "b"}, True])
def test_a_zone_that_is_no_text_is_undecided(zone: Any) -> None:
    assert findings(subnet(availabilityZone=zone)) == [Undecided("availabilityZone")]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"expectedNodes": 10}, "expectedNodes"),
        ({"expectedNodes": "ten"}, "expectedNodes"),
        ({"expectedNodes": [10]}, "expectedNodes"),
        ({"expectedNodes": {"us-east-1a": "ten"}}, "expectedNodes.us-east-1a"),
        ({"expectedNodes": {"us-east-1a": 10, "us-east-1b": -1}}, "expectedNodes.us-east-1b"),
        ({"expectedNodes": {"us-east-1a": True}}, "expectedNodes.us-east-1a"),
        ({"expectedNodes": {"us-east-1a": None}}, "expectedNodes.us-east-1a"),
        ({"podsPerNode": "100"}, "podsPerNode"),
        ({"podsPerNode": 99.5}, "podsPerNode"),
        ({"podsPerNode": math.nan}, "podsPerNode"),
        ({"podsPerNode": math.inf}, "podsPerNode"),
        ({"surge": None}, "surge"),
        ({"surge": [1]}, "surge"),
        ({"instanceType": 5}, "instanceType"),
        ({"environment": ["WARM_IP_TARGET"]}, "environment"),
        ({"environment": {"WARM_IP_TARGET": 5}}, "environment"),
    ],
)
def test_a_configuration_of_the_wrong_type_is_a_finding_that_names_it(change: dict[str, Any], name: str) -> None:
    (problem,) = findings(subnet("100.64.0.0/16"), {**CONFIG, **change})
    assert isinstance(problem, Problem)
    assert problem.key == f"configuration of pod-subnet-size: {name}"


def test_all_that_is_wrong_with_the_configuration_comes_at_once() -> None:
    wrong = {
        "expectedNodes": {"us-east-1a": "ten"},
        "podsPerNode": "all",
        "instanceType": 5,
        "surge": -1,
        "environment": 3,
    }
    assert len(findings(subnet(), wrong)) == len(wrong)


def test_an_instance_type_that_does_not_exist_is_a_finding_with_its_neighbours() -> None:
    (problem,) = findings(subnet(), {**CONFIG, "instanceType": "m5.9xlarge"})
    assert isinstance(problem, Problem)
    assert problem.rule == "instance-type-known"
    assert "the nearest names are m5." in problem.reason


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([ROLE, "0", "1", "100.64.1.0/24", "us-east-1a", UNKNOWN_STRING_VALUE, UNKNOWN_OBJECT_VALUE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just(ROLE), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    properties=st.fixed_dictionaries(
        {}, optional={"cidrBlock": anything, "availabilityZone": anything, "tags": anything | st.just({ROLE: "1"})}
    ),
    config=st.fixed_dictionaries(
        {},
        optional={
            "expectedNodes": anything | st.just({"us-east-1a": 10}),
            "podsPerNode": anything | st.just(100),
            "instanceType": anything | st.just("m5.8xlarge"),
            "surge": anything,
            "environment": anything,
        },
    ),
)
def test_nothing_that_can_be_written_makes_the_rule_fall_over(
    properties: dict[str, Any], config: dict[str, Any]
) -> None:
    for finding in findings(properties, config):
        assert isinstance(finding, Problem | Undecided)
        assert str(finding)


def test_ten_thousand_subnets_take_a_moment_and_each_is_judged() -> None:
    stack = Resources(resource(subnet(), number) for number in range(10_000))
    begun = time.process_time()
    count = len(list(pod_subnet_size.findings(stack, CONFIG)))
    spent = time.process_time() - begun
    assert count == 10_000
    assert spent < 5.0, "a preview must not wait for this rule"


def test_the_reference_documents_own_24s_hold_less_than_two_full_nodes() -> None:
    for third in (1, 2, 3):
        block = Block.parse(f"100.64.{third}.0/24")
        assert usable_addresses(block) < least_demand().addresses
        assert len(findings(subnet(str(block)), {})) == 1
