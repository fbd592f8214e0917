from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from components.pod_subnets import IngressRule, PodSubnet, Route
from stacks.adoption import STACK_TAG, Existing, find_existing, recorded_resources, stack_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conftest import Recorder

READ_STATE = "pulumi:pulumi:readStackResourceOutputs"
GET_VPC = "aws:ec2/getVpc:getVpc"
GET_SUBNETS = "aws:ec2/getSubnets:getSubnets"
GET_TABLES = "aws:ec2/getRouteTables:getRouteTables"
GET_TABLE = "aws:ec2/getRouteTable:getRouteTable"
LIST_RULES = "aws:vpc/getSecurityGroupRules:getSecurityGroupRules"
GET_RULE = "aws:vpc/getSecurityGroupRule:getSecurityGroupRule"

ASSOCIATION = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
TABLE_ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

CIDR = "100.64.0.0/16"
WITH_TABLE = {"a": PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", route_table_id="rtb-node")}
NAT = Route(destination="0.0.0.0/0", target="nat_gateway_id", target_id="nat-1")
OFFICE = Route(destination="10.0.0.0/8", target="transit_gateway_id", target_id="tgw-1")
OWN_TABLE = {"a": PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", routes=[NAT, OFFICE])}
RULES = {"db": IngressRule(security_group_id="sg-1", protocol="tcp", from_port=5432, to_port=5432)}
ALL_OF_OWN_TABLE = [
    (ASSOCIATION, f"pods-{CIDR}"),
    (SUBNET, "pods-a"),
    (TABLE, "pods-a"),
    (ROUTE, "pods-a-0.0.0.0/0"),
    (ROUTE, "pods-a-10.0.0.0/8"),
    (TABLE_ASSOCIATION, "pods-a"),
    (RULE, f"pods-db-{CIDR}"),
]


def state(*resources: tuple[str, str]) -> dict[str, Any]:
    return {
        "outputs": {
            f"urn:pulumi:s::headroom::headroom:index:PodSubnets${type_}::{name}": {} for type_, name in resources
        }
    }


def found(
    recorder: Recorder, subnets: Mapping[str, PodSubnet], rules: Mapping[str, IngressRule] | None = None
) -> Existing:
    results: list[Existing] = []
    recorder.run(lambda: results.append(find_existing("vpc-1", [CIDR], subnets, rules or {}, "pods")))
    return results[0]


def association(cidr: str, state_: str, number: int) -> dict[str, str]:
    return {"associationId": f"vpc-cidr-assoc-{number}", "cidrBlock": cidr, "state": state_}


@pytest.fixture
def aws(recorder: Recorder) -> Recorder:
    """An AWS where a killed run had made everything, and a state that knows nothing of it."""

    def tables(args: Mapping[str, Any]) -> dict[str, Any]:
        if "filters" in args:
            return {"ids": ["rtb-own"]}
        assert args["tags"] == {STACK_TAG: "headroom/prod-use1-emergency", "Name": "pods-a"}
        return {"ids": ["rtb-own"]}

    rule = {"ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432, "cidrIpv4": CIDR}
    recorder.answers = {
        READ_STATE: {"outputs": {}},
        GET_VPC: {
            "cidrBlockAssociations": [
                association("10.68.0.0/16", "associated", 0),
                association(CIDR, "associated", 1),
                association("100.65.0.0/16", "disassociated", 2),
            ]
        },
        GET_SUBNETS: {"ids": ["subnet-1"]},
        GET_TABLES: tables,
        GET_TABLE: {"routes": [{"cidrBlock": "0.0.0.0/0"}, {"cidrBlock": CIDR}]},
        LIST_RULES: {"ids": ["sgr-1", "sgr-2"]},
        GET_RULE: lambda args: {
            "id": args["securityGroupRuleId"],
            **rule,
            **({"fromPort": 443, "toPort": 443} if args["securityGroupRuleId"] == "sgr-2" else {}),
        },
    }
    return recorder


def test_the_stack_tag_names_project_and_stack(recorder: Recorder) -> None:
    tags: list[str] = []
    recorder.run(lambda: tags.append(stack_tag()))
    assert tags == ["headroom/prod-use1-emergency"]


def test_the_state_is_read_by_type_and_name(recorder: Recorder) -> None:
    recorder.answers[READ_STATE] = {
        "outputs": {
            "urn:pulumi:s::headroom::pulumi:pulumi:Stack::headroom-s": {},
            "urn:pulumi:s::headroom::headroom:index:PodSubnets::pods": {},
            f"urn:pulumi:s::headroom::headroom:index:PodSubnets${SUBNET}::pods-a::b": {},
        }
    }
    seen: list[Any] = []
    recorder.run(lambda: seen.append(recorded_resources()))
    assert seen == [
        {
            ("pulumi:pulumi:Stack", "headroom-s"),
            ("headroom:index:PodSubnets", "pods"),
            (SUBNET, "pods-a::b"),
        }
    ]
    assert recorder.asked[0].args == {"stackName": "organization/headroom/prod-use1-emergency"}


@pytest.mark.parametrize("answer", [{}, {"outputs": None}])
def test_an_engine_that_does_not_tell_its_state_has_nothing_adopted(recorder: Recorder, answer: dict[str, Any]) -> None:
    recorder.answers[READ_STATE] = answer
    assert found(recorder, WITH_TABLE, RULES) == Existing(new_cidrs=[CIDR])
    assert recorder.tokens() == [READ_STATE], "importing what is recorded already would replace it"


def test_a_complete_state_asks_ec2_nothing(aws: Recorder) -> None:
    aws.answers[READ_STATE] = state(*ALL_OF_OWN_TABLE)
    assert found(aws, OWN_TABLE, RULES) == Existing(new_cidrs=[])
    assert aws.tokens() == [READ_STATE]


def test_everything_that_a_killed_run_made_is_found(aws: Recorder) -> None:
    assert found(aws, OWN_TABLE, RULES) == Existing(
        associated={"10.68.0.0/16": "vpc-cidr-assoc-0", CIDR: "vpc-cidr-assoc-1"},
        resources={
            "subnet/a": "subnet-1",
            "route-table/a": "rtb-own",
            "route/a/0.0.0.0/0": "rtb-own_0.0.0.0/0",
            "route-table-association/a": "subnet-1/rtb-own",
            f"ingress-rule/db/{CIDR}": "sgr-1",
        },
        new_cidrs=[CIDR],
    )


def test_only_what_carries_the_stacks_own_tag_is_looked_for(aws: Recorder) -> None:
    found(aws, OWN_TABLE, RULES)
    asked = {asked.token: asked.args for asked in aws.asked}
    tag = {"name": "tag:headroom:stack", "values": ["headroom/prod-use1-emergency"]}
    assert asked[GET_SUBNETS]["filters"] == [
        {"name": "vpc-id", "values": ["vpc-1"]},
        {"name": "cidr-block", "values": ["100.64.0.0/18"]},
        tag,
    ]
    assert asked[LIST_RULES]["filters"] == [{"name": "group-id", "values": ["sg-1"]}, tag]


@pytest.mark.parametrize("recorded", range(len(ALL_OF_OWN_TABLE) + 1))
def test_what_the_state_has_is_never_imported_again(aws: Recorder, recorded: int) -> None:
    """A route and an association have import ids unlike their ids: importing a recorded one would replace it."""
    known = ALL_OF_OWN_TABLE[:recorded]
    aws.answers[READ_STATE] = state(*known)
    existing = found(aws, OWN_TABLE, RULES)
    adopted = {
        "subnet/a": (SUBNET, "pods-a"),
        "route-table/a": (TABLE, "pods-a"),
        "route/a/0.0.0.0/0": (ROUTE, "pods-a-0.0.0.0/0"),
        "route-table-association/a": (TABLE_ASSOCIATION, "pods-a"),
        f"ingress-rule/db/{CIDR}": (RULE, f"pods-db-{CIDR}"),
    }
    assert existing.resources.keys() == {key for key, resource in adopted.items() if resource not in known}
    assert existing.new_cidrs == ([] if recorded else [CIDR])
    assert bool(existing.associated) == (not recorded)


def test_an_association_that_is_going_is_none(aws: Recorder) -> None:
    going = ["disassociating", "disassociated", "failing", "failed"]
    aws.answers[GET_VPC] = {
        "cidrBlockAssociations": [association(f"100.{64 + n}.0.0/16", state_, n) for n, state_ in enumerate(going)]
    }
    assert found(aws, WITH_TABLE).associated == {}


def test_without_a_subnet_of_ours_no_routing_is_looked_for(aws: Recorder) -> None:
    aws.answers[GET_SUBNETS] = {"ids": []}
    assert found(aws, OWN_TABLE).resources == {}
    assert sorted(aws.tokens()) == sorted([READ_STATE, GET_VPC, GET_SUBNETS])


def test_a_subnet_in_another_table_than_ours_has_its_association_made_anew(aws: Recorder) -> None:
    assert found(aws, WITH_TABLE).resources == {"subnet/a": "subnet-1"}, "it is associated with rtb-own, not rtb-node"
    aws.answers[GET_TABLES] = {"ids": ["rtb-node"]}
    assert found(aws, WITH_TABLE).resources["route-table-association/a"] == "subnet-1/rtb-node"


def test_a_subnet_without_a_table_of_ours_has_everything_else_made_anew(aws: Recorder) -> None:
    aws.answers[GET_TABLES] = {"ids": []}
    assert found(aws, OWN_TABLE).resources == {"subnet/a": "subnet-1"}


@pytest.mark.parametrize(
    ("rule", "described"),
    [
        (IngressRule(security_group_id="sg-1", protocol="-1"), {"ipProtocol": "-1", "fromPort": -1, "toPort": -1}),
        (
            IngressRule(security_group_id="sg-1", protocol="udp", from_port=53, to_port=53),
            {"ipProtocol": "udp", "fromPort": 53, "toPort": 53},
        ),
    ],
)
def test_a_rule_is_known_by_its_protocol_and_ports(aws: Recorder, rule: IngressRule, described: dict[str, Any]) -> None:
    describe: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda args: {  # noqa: E731 - read beside what it answers
        "id": args["securityGroupRuleId"],
        "cidrIpv4": CIDR,
        **described,
    }
    aws.answers[GET_RULE], aws.answers[LIST_RULES] = describe, {"ids": ["sgr-9"]}
    assert found(aws, {}, {"rule": rule}).resources == {f"ingress-rule/rule/{CIDR}": "sgr-9"}
    assert found(aws, {}, {"rule": RULES["db"]}).resources == {}
