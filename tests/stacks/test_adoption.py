from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from components.pod_subnets import IngressRule, PodSubnet, Route
from headroom.addresses.problems import ProblemsError
from headroom.collect.reservations import CidrReservation
from stacks import adoption
from stacks.adoption import Existing, Wanted, find_existing
from stacks.recorded import READ_ATTEMPTS, READ_PAUSE_SECONDS, STACK_TAG, recorded_resources, stack_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.conftest import Recorder

READ_STATE = "pulumi:pulumi:readStackResourceOutputs"
GET_VPC = "aws:ec2/getVpc:getVpc"
GET_SUBNETS = "aws:ec2/getSubnets:getSubnets"
GET_SUBNET = "aws:ec2/getSubnet:getSubnet"
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
ARN = "arn:aws:ec2:us-east-1:123456789012"
WITH_TABLE = {"a": PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", route_table_id="rtb-node")}
NAT = Route(destination="0.0.0.0/0", target="nat_gateway_id", target_id="nat-1")
OFFICE = Route(destination="10.0.0.0/8", target="transit_gateway_id", target_id="tgw-1")
OWN_TABLE = {"a": PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", routes=[NAT, OFFICE])}
RULES = {"db": IngressRule(security_group_id="sg-1", protocol="tcp", from_port=5432, to_port=5432)}
NODE_TABLES = ["rtb-node", "rtb-other"]
"""What the VPC has besides tables of our own."""
ALL_OF_OWN_TABLE = [
    (ASSOCIATION, f"pods-{CIDR}"),
    (SUBNET, "pods-a"),
    (TABLE, "pods-a"),
    (ROUTE, "pods-a-0.0.0.0/0"),
    (ROUTE, "pods-a-10.0.0.0/8"),
    (TABLE_ASSOCIATION, "pods-a"),
    (RULE, f"pods-db-{CIDR}"),
]


def state(*resources: tuple[str, str], **held: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's answer; `held` are outputs of subnets by key."""
    block = {"cidrBlock": "100.64.0.0/18", "availabilityZone": "us-east-1a"}
    outputs = {
        (SUBNET, "pods-a"): {**block, "arn": f"{ARN}:subnet/subnet-1"},
        (TABLE, "pods-a"): {"arn": f"{ARN}:route-table/rtb-own"},
        (RULE, f"pods-db-{CIDR}"): {"securityGroupRuleId": "sgr-1"},
        **{(SUBNET, f"pods-{key}"): more for key, more in held.items()},
    }
    of_all = dict.fromkeys([*resources, *((SUBNET, f"pods-{key}") for key in held)])
    return {
        "outputs": {
            f"urn:pulumi:s::headroom::headroom:index:PodSubnets${type_}::{name}": {
                "type": type_,
                "outputs": outputs.get((type_, name), {}),
            }
            for type_, name in of_all
        }
    }


def wanted(**more: Any) -> Wanted:
    values = {"vpc_cidr_blocks": ["10.68.0.0/16"], "cidrs": [CIDR], "subnets": {}, "rule_cidrs": [CIDR], **more}
    return Wanted(name="pods", vpc_id="vpc-1", **values)


def find(subnets: Mapping[str, PodSubnet], rules: Mapping[str, IngressRule] | None = None) -> Existing:
    return find_existing(wanted(subnets=subnets, rules=rules or {}))


def found(
    recorder: Recorder, subnets: Mapping[str, PodSubnet], rules: Mapping[str, IngressRule] | None = None
) -> Existing:
    results: list[Existing] = []
    recorder.run(lambda: results.append(find(subnets, rules)))
    return results[0]


def refused(
    recorder: Recorder, subnets: Mapping[str, PodSubnet], rules: Mapping[str, IngressRule] | None = None
) -> list[tuple[str, str, str]]:
    """Rule, key and value of each problem."""
    with pytest.raises(ProblemsError) as caught:
        recorder.run(lambda: find(subnets, rules))
    return [(problem.rule, problem.key, problem.value) for problem in caught.value.problems]


def association(cidr: str, state_: str, number: int) -> dict[str, str]:
    return {"associationId": f"vpc-cidr-assoc-{number}", "cidrBlock": cidr, "state": state_}


PRIMARY = association("10.68.0.0/16", "associated", 0)


OURS = {
    "ipProtocol": "tcp",
    "fromPort": 5432,
    "toPort": 5432,
    "cidrIpv4": CIDR,
    "description": "Pods in added CIDRs",
    "isEgress": False,
}
"""A rule as EC2 describes it."""


@pytest.fixture
def aws(recorder: Recorder) -> Recorder:
    """An AWS where a killed run had made everything, and a state that knows nothing of it."""

    def tables(args: Mapping[str, Any]) -> dict[str, Any]:
        if "filters" in args:
            return {"ids": ["rtb-own"]}
        assert args["vpcId"] == "vpc-1"
        if "tags" not in args:
            return {"ids": [*NODE_TABLES, "rtb-own"]}
        assert args["tags"] == {STACK_TAG: "headroom/prod-use1-emergency", "headroom:key": "a"}
        return {"ids": ["rtb-own"]}

    recorder.answers = {
        READ_STATE: {"outputs": {}},
        GET_VPC: {
            "cidrBlockAssociations": [
                PRIMARY,
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
            **OURS,
            **({"fromPort": 443, "toPort": 443} if args["securityGroupRuleId"] == "sgr-2" else {}),
        },
    }
    return recorder


def associated_with(*table_ids: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """An answer for route tables: the subnet is associated with these; the VPC has all of them and the nodes'."""
    return lambda args: {"ids": list(table_ids) if "filters" in args else [*NODE_TABLES, *table_ids]}


def test_the_stack_tag_names_project_and_stack(recorder: Recorder) -> None:
    tags: list[str] = []
    recorder.run(lambda: tags.append(stack_tag()))
    assert tags == ["headroom/prod-use1-emergency"]


def test_the_state_is_read_by_type_and_name(recorder: Recorder) -> None:
    recorder.answers[READ_STATE] = {
        "outputs": {
            "urn:pulumi:s::headroom::pulumi:pulumi:Stack::headroom-s": {},
            "urn:pulumi:s::headroom::headroom:index:PodSubnets::pods": {},
            f"urn:pulumi:s::headroom::headroom:index:PodSubnets${SUBNET}::pods-a::b": {
                "type": SUBNET,
                "outputs": {"cidrBlock": "100.64.0.0/18"},
            },
        }
    }
    seen: list[Any] = []
    recorder.run(lambda: seen.append(recorded_resources()))
    assert seen == [
        {
            ("pulumi:pulumi:Stack", "headroom-s"): {},
            ("headroom:index:PodSubnets", "pods"): {},
            (SUBNET, "pods-a::b"): {"cidrBlock": "100.64.0.0/18"},
        }
    ]
    assert recorder.asked[0].args == {"stackName": "organization/headroom/prod-use1-emergency"}


def test_a_state_that_is_being_written_is_read_again(aws: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("stacks.recorded.time", SimpleNamespace(sleep=pauses.append))
    fail, answers = aws.failing("failed to load checkpoint: unexpected end"), [state(*ALL_OF_OWN_TABLE)]
    aws.answers[READ_STATE] = lambda args: answers[0] if len(pauses) == READ_ATTEMPTS - 1 else fail(args)
    assert found(aws, OWN_TABLE, RULES) == Existing(new_cidrs=[])
    assert aws.tokens() == [READ_STATE] * READ_ATTEMPTS
    assert pauses == [READ_PAUSE_SECONDS] * (READ_ATTEMPTS - 1)


def test_a_state_that_cannot_be_read_is_a_problem_and_nothing_is_taken_for_missing(
    aws: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.recorded.READ_PAUSE_SECONDS", 0)
    aws.answers[READ_STATE] = aws.failing("failed to load checkpoint:\n  unexpected end")
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find(OWN_TABLE, RULES))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == (
        "unreadable",
        "stack",
        "organization/headroom/prod-use1-emergency",
    )
    assert problem.reason.endswith("failed to load checkpoint: unexpected end."), "what was said stands on one line"
    assert problem.next_step == "Repeat the command."
    assert aws.tokens() == [READ_STATE] * READ_ATTEMPTS


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


def test_subnets_and_tables_are_looked_for_by_what_makes_them_the_stacks_own(aws: Recorder) -> None:
    found(aws, OWN_TABLE, RULES)
    everybody, ours, subnets = [asked.args["filters"] for asked in aws.asked if asked.token == GET_SUBNETS]
    in_vpc, stack = (
        {"name": "vpc-id", "values": ["vpc-1"]},
        {
            "name": "tag:headroom:stack",
            "values": ["headroom/prod-use1-emergency"],
        },
    )
    assert (everybody, ours) == ([in_vpc], [in_vpc, stack]), "who lives on a CIDR that is associated already"
    assert subnets == [
        {"name": "vpc-id", "values": ["vpc-1"]},
        {"name": "cidr-block", "values": ["100.64.0.0/18"]},
        {"name": "availability-zone", "values": ["us-east-1a"]},
        {"name": "tag:headroom:stack", "values": ["headroom/prod-use1-emergency"]},
    ]
    assert [asked.args for asked in aws.asked if asked.token == GET_TABLES] == [
        {"vpcId": "vpc-1", "tags": {STACK_TAG: "headroom/prod-use1-emergency", "headroom:key": "a"}},
        {"filters": [{"name": "association.subnet-id", "values": ["subnet-1"]}]},
    ], "a Name may be anybody's, and may be changed"


def test_rules_are_looked_for_by_their_group_alone(aws: Recorder) -> None:
    """The provider tags a rule in a call of its own, before which a run may have been killed."""
    found(aws, OWN_TABLE, RULES)
    (rules,) = [asked.args for asked in aws.asked if asked.token == LIST_RULES]
    assert rules == {"filters": [{"name": "group-id", "values": ["sg-1"]}]}


def test_a_subnet_in_a_cidr_that_the_vpc_does_not_have_yet_is_not_looked_for(aws: Recorder) -> None:
    aws.answers[GET_VPC] = {"cidrBlockAssociations": [PRIMARY, association(CIDR, "disassociated", 1)]}
    assert found(aws, OWN_TABLE).resources == {"route-table/a": "rtb-own", "route/a/0.0.0.0/0": "rtb-own_0.0.0.0/0"}
    assert GET_SUBNETS not in aws.tokens()


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
    assert bool(existing.associated) == (recorded < 2), "the VPC is read while an association or a subnet is missing"


@pytest.mark.parametrize(
    ("kind", "type_", "outputs"),
    [
        ("subnet/a", SUBNET, {"cidrBlock": "100.64.192.0/18", "arn": f"{ARN}:subnet/subnet-1"}),
        ("route-table/a", TABLE, {"arn": f"{ARN}:route-table/rtb-own"}),
        (f"ingress-rule/db/{CIDR}", RULE, {"securityGroupRuleId": "sgr-1"}),
    ],
)
def test_what_the_state_has_under_another_name_is_never_imported(
    aws: Recorder, kind: str, type_: str, outputs: dict[str, str]
) -> None:
    """Two names for one thing: the next `up` would delete it under the old one."""
    urn = f"urn:pulumi:s::headroom::headroom:index:PodSubnets${type_}::pods-before"
    before = found(aws, OWN_TABLE, RULES).resources
    aws.answers[READ_STATE] = {"outputs": {urn: {"type": type_, "outputs": outputs}}}
    after = found(aws, OWN_TABLE, RULES).resources
    assert before.keys() - after.keys() == {kind}
    assert after.items() <= before.items()


# Keys that moved.


TWO = {
    "a": PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", route_table_id="rtb-node"),
    "b": PodSubnet(zone="us-east-1b", cidr_block="100.64.64.0/18", route_table_id="rtb-node"),
}
MADE = {key: {"cidrBlock": subnet.cidr_block, "availabilityZone": subnet.zone} for key, subnet in TWO.items()}


def test_keys_that_stayed_what_they_were_are_no_problem(aws: Recorder) -> None:
    aws.answers[READ_STATE] = state(**MADE)
    assert found(aws, TWO).resources == {}, "both subnets are recorded, and associated with another table"


@pytest.mark.parametrize(
    ("now", "value"),
    [
        (replace(TWO["b"], cidr_block="100.64.128.0/18"), "100.64.128.0/18 in us-east-1b"),
        (replace(TWO["b"], zone="us-east-1c"), "100.64.64.0/18 in us-east-1c"),
    ],
)
def test_a_key_that_was_given_another_block_or_zone_is_refused(aws: Recorder, now: PodSubnet, value: str) -> None:
    aws.answers[READ_STATE] = state(**MADE)
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find({**TWO, "b": now}))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == ("key-moved", "headroom:podSubnets.b", value)
    assert "what was made under this key: 100.64.64.0/18 in us-east-1b." in problem.reason
    assert aws.tokens() == [READ_STATE], "it is refused before anything else is asked"


@pytest.mark.parametrize("others", [{}, {"a": TWO["a"]}])
def test_a_key_that_was_renamed_is_refused_with_the_name_to_write_again(
    aws: Recorder, others: dict[str, PodSubnet]
) -> None:
    aws.answers[READ_STATE] = state(**MADE)
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find({**others, "new": TWO["b"]}))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == ("key-renamed", "headroom:podSubnets.new", "100.64.64.0/18")
    assert "was made under the key b." in problem.reason
    assert problem.next_step.startswith("Write b again")
    assert aws.tokens() == [READ_STATE]


def test_all_keys_that_moved_are_told_at_once(aws: Recorder) -> None:
    aws.answers[READ_STATE] = state(**MADE, c={"cidrBlock": "100.64.128.0/18", "availabilityZone": "us-east-1c"})
    third = PodSubnet(zone="us-east-1c", cidr_block="100.64.128.0/18", route_table_id="rtb-node")
    assert refused(aws, {"a": TWO["b"], "b": TWO["a"], "new": third}) == [
        ("key-moved", "headroom:podSubnets.a", "100.64.64.0/18 in us-east-1b"),
        ("key-moved", "headroom:podSubnets.b", "100.64.0.0/18 in us-east-1a"),
        ("key-renamed", "headroom:podSubnets.new", "100.64.128.0/18"),
    ]


def test_a_new_key_with_a_block_of_its_own_is_welcome_and_an_old_one_may_go(aws: Recorder) -> None:
    aws.answers[READ_STATE] = state(a=MADE["a"])
    aws.answers[GET_SUBNETS], aws.answers[GET_TABLES] = {"ids": []}, associated_with()
    assert found(aws, TWO).resources == {}
    aws.answers[READ_STATE] = state(**MADE)
    assert found(aws, {"a": TWO["a"]}).resources == {}


def test_the_subnets_of_another_component_have_no_say(aws: Recorder) -> None:
    urn = f"urn:pulumi:s::headroom::headroom:index:Other${SUBNET}::nodes-b"
    aws.answers[READ_STATE] = {"outputs": {urn: {"type": SUBNET, "outputs": MADE["b"]}}}
    aws.answers[GET_SUBNETS] = {"ids": []}
    assert found(aws, TWO).resources == {}


# Associations.


def test_an_association_in_progress_is_neither_taken_over_nor_made_twice(aws: Recorder) -> None:
    aws.answers[GET_VPC] = {"cidrBlockAssociations": [PRIMARY, association(CIDR, "associating", 1)]}
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find({}))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == ("association-in-progress", "headroom:secondaryCidrs", CIDR)
    assert "is associating (vpc-cidr-assoc-1)" in problem.reason
    assert problem.next_step == "Repeat the command in a minute."


def test_another_cidr_that_is_being_associated_is_nobodys_problem(aws: Recorder) -> None:
    aws.answers[GET_VPC] = {"cidrBlockAssociations": [PRIMARY, association("100.65.0.0/16", "associating", 1)]}
    assert found(aws, {}) == Existing(
        associated={"10.68.0.0/16": "vpc-cidr-assoc-0", "100.65.0.0/16": "vpc-cidr-assoc-1"}, new_cidrs=[CIDR]
    )


def test_an_association_that_somebody_made_is_taken_over_with_a_warning(
    aws: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    assert found(aws, {}).associated[CIDR] == "vpc-cidr-assoc-1"
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith(f"{CIDR} is associated already (vpc-cidr-assoc-1): this stack takes the association over")


def test_an_association_that_is_going_is_none(aws: Recorder) -> None:
    going = ["disassociating", "disassociated", "failing", "failed"]
    aws.answers[GET_VPC] = {
        "cidrBlockAssociations": [
            PRIMARY,
            *(association(f"100.{64 + n}.0.0/16", state_, n + 1) for n, state_ in enumerate(going)),
        ]
    }
    assert found(aws, WITH_TABLE).associated == {"10.68.0.0/16": "vpc-cidr-assoc-0"}


OTHERS = {"subnet-1": "100.64.0.0/18", "subnet-7": "100.64.192.0/18", "subnet-8": "10.68.0.0/20"}
"""Blocks of the VPC's subnets; the first is this stack's."""


def lived_on(aws: Recorder, *own: str) -> None:
    """The VPC has subnets; these of them carry this stack's tag."""
    aws.answers[GET_SUBNETS] = lambda args: {"ids": list(OTHERS) if len(args["filters"]) == 1 else list(own)}
    aws.answers[GET_SUBNET] = lambda args: {"id": args["id"], "cidrBlock": OTHERS[args["id"]]}


def test_an_association_that_others_live_on_is_not_taken_from_them(aws: Recorder) -> None:
    lived_on(aws, "subnet-1")
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find({}))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == ("cidr-shared", "headroom:secondaryCidrs", CIDR)
    assert "is associated already (vpc-cidr-assoc-1)" in problem.reason
    assert "lie in it: subnet-7 (100.64.192.0/18)." in problem.reason, "neither ours nor those of other CIDRs"
    assert problem.next_step.startswith("Move it from secondaryCidrs to vpcCidrBlocks")
    assert [asked.args["id"] for asked in aws.asked if asked.token == GET_SUBNET] == ["subnet-7", "subnet-8"]


def test_an_association_that_only_this_stack_lives_on_is_its_own(aws: Recorder) -> None:
    lived_on(aws, *OTHERS)
    assert found(aws, {}).associated[CIDR] == "vpc-cidr-assoc-1"
    assert GET_SUBNET not in aws.tokens()


def test_a_cidr_that_is_stated_and_not_there_is_a_contradiction(aws: Recorder) -> None:
    stated = ["10.68.0.0/16", "10.99.0.0/16", CIDR]
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find_existing(wanted(vpc_cidr_blocks=stated)))
    (problem,) = caught.value.problems
    assert problem.message == (
        "headroom:vpcCidrBlocks: 10.99.0.0/16 is not associated with vpc-1, which has 10.68.0.0/16, 100.64.0.0/16. "
        "Take it out, or mend headroom:vpcId; what is to be associated belongs into secondaryCidrs."
    )


def test_a_cidr_of_both_lists_is_no_contradiction_before_it_is_associated(aws: Recorder) -> None:
    aws.answers[GET_VPC] = {"cidrBlockAssociations": [PRIMARY]}
    aws.run(lambda: find_existing(wanted(vpc_cidr_blocks=["10.68.0.0/16", CIDR])))


def test_a_cidr_that_the_vpc_has_and_nobody_stated_counts_and_is_said(
    aws: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    more = association("10.99.0.0/16", "associated", 9)
    aws.answers[GET_VPC] = {"cidrBlockAssociations": [PRIMARY, more]}
    assert found(aws, {}).associated == {"10.68.0.0/16": "vpc-cidr-assoc-0", "10.99.0.0/16": "vpc-cidr-assoc-9"}
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith("vpc-1 has 10.99.0.0/16 too, which headroom:vpcCidrBlocks does not list")


# Associations that are asked for no more.


@pytest.mark.parametrize(
    ("record", "refused_"),
    [({"input": {"protect": True}}, True), ({"input": {"protect": False}}, False), ({"input": {}}, False), ({}, False)],
)
def test_a_protected_cidr_is_taken_out_in_steps_that_are_said(
    aws: Recorder, record: dict[str, Any], *, refused_: bool
) -> None:
    """The state tells no options, so the record of the subnets does; where it does not, the engine decides."""
    prefix = "urn:pulumi:s::headroom::headroom:index:"
    aws.answers[READ_STATE] = {
        "outputs": {
            f"{prefix}SecondaryCidr${ASSOCIATION}::pods-{CIDR}": {"type": ASSOCIATION, "outputs": {}},
            f"{prefix}SecondaryCidr${ASSOCIATION}::pods-100.70.0.0/16": {"type": ASSOCIATION, "outputs": {}},
            f"{prefix}PodSubnets$pulumi:index:Stash::pods-in-use": {"type": "pulumi:index:Stash", "outputs": record},
        }
    }
    if not refused_:
        aws.run(lambda: find({}))
        return
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find({}))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == (
        "cidr-removed",
        "headroom:secondaryCidrs",
        "100.70.0.0/16",
    )
    assert problem.next_step.startswith("Put it back, set headroom:protect: false, run `pulumi up`, then take it out")


# Reservations.


BLOCKS = ["100.64.1.0/28", "100.64.2.0/28"]
RESERVATION = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"


def reservation(cidr: str, number: int = 1, **more: str) -> CidrReservation:
    values = {"reservation_type": "prefix", "description": "Prefix delegation (pods)", **more}
    return CidrReservation(reservation_id=f"scr-{number}", cidr_block=cidr, **values)


def with_reservations(*recorded: str) -> dict[str, Any]:
    """The engine's answer where all but some reservations is recorded."""
    answer = state(*ALL_OF_OWN_TABLE)
    for cidr in recorded:
        urn = f"urn:pulumi:s::headroom::headroom:index:PrefixReservations${RESERVATION}::pods-a-{cidr}"
        answer["outputs"][urn] = {"type": RESERVATION, "outputs": {"subnetId": "subnet-1", "cidrBlock": cidr}}
    return answer


def reserved(
    aws: Recorder, present: Sequence[CidrReservation], cidrs: Sequence[str] = BLOCKS
) -> tuple[Mapping[str, str], list[str]]:
    """What is adopted, and the subnets that EC2 was asked about."""
    results: list[Existing] = []
    asked: list[str] = []

    def read(subnet_id: str) -> Sequence[CidrReservation]:
        asked.append(subnet_id)
        return present

    aws.run(lambda: results.append(find_existing(wanted(subnets=OWN_TABLE, reservations={"a": cidrs}), read)))
    return results[0].reservations, asked


def test_a_reservation_that_the_state_lacks_is_taken_over_by_its_import_id(aws: Recorder) -> None:
    aws.answers[READ_STATE] = with_reservations(BLOCKS[0])
    present = [reservation(BLOCKS[0], 1), reservation(BLOCKS[1], 2)]
    assert reserved(aws, present) == ({f"a/{BLOCKS[1]}": "subnet-1:scr-2"}, ["subnet-1"])


def test_nobody_is_asked_about_reservations_while_the_state_has_them_all(aws: Recorder) -> None:
    aws.answers[READ_STATE] = with_reservations(*BLOCKS)
    assert reserved(aws, []) == ({}, [])
    assert aws.tokens() == [READ_STATE]


def test_a_subnet_that_is_still_to_be_made_has_no_reservations(aws: Recorder) -> None:
    aws.answers[GET_SUBNETS] = {"ids": []}
    assert reserved(aws, []) == ({}, [])


def test_the_subnet_of_a_killed_run_is_asked_about_too(aws: Recorder) -> None:
    assert reserved(aws, [reservation(BLOCKS[0])]) == ({f"a/{BLOCKS[0]}": "subnet-1:scr-1"}, ["subnet-1"])


def test_a_reservation_made_by_hand_is_taken_over_with_a_warning(
    aws: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    aws.answers[READ_STATE] = with_reservations()
    assert reserved(aws, [reservation(BLOCKS[0], description="mine")])[0] == {f"a/{BLOCKS[0]}": "subnet-1:scr-1"}
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith(
        f"{BLOCKS[0]} is reserved in subnet-1 already (scr-1): this stack takes the reservation over"
    )


@pytest.mark.parametrize(
    ("present", "recorded", "reason", "step"),
    [
        (
            reservation(BLOCKS[0], reservation_type="explicit"),
            [],
            "overlaps the reservation 100.64.1.0/28 (scr-1, explicit) that EC2 has already.",
            (
                "Take a block beside it, or give that one back: `aws ec2 delete-subnet-cidr-reservation "
                "--subnet-cidr-reservation-id scr-1`."
            ),
        ),
        (
            reservation("100.64.1.0/24"),
            [],
            "overlaps the reservation 100.64.1.0/24 (scr-1, prefix) that EC2 has already.",
            "Take a block beside it,",
        ),
        (
            reservation("100.64.1.0/24"),
            ["100.64.1.0/24"],
            (
                "overlaps 100.64.1.0/24 (scr-1, prefix), which this stack has made, and EC2 takes it only when that "
                "one is gone."
            ),
            "Leave it out, run `pulumi up`, then add it.",
        ),
    ],
)
def test_a_reservation_in_the_way_is_one_problem(
    aws: Recorder, present: CidrReservation, recorded: list[str], reason: str, step: str
) -> None:
    aws.answers[READ_STATE] = with_reservations(*recorded)
    with pytest.raises(ProblemsError) as caught:
        reserved(aws, [present, reservation("100.64.9.0/28", 9)], BLOCKS[:1])
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == (
        "reservation-overlap",
        "headroom:prefixReservations.a",
        BLOCKS[0],
    )
    assert problem.reason == reason
    assert problem.next_step.startswith(step)


def test_reservations_that_cannot_be_read_are_a_problem_with_the_iam_action(aws: Recorder) -> None:
    aws.answers[READ_STATE] = with_reservations()

    def denied(_: str) -> Sequence[CidrReservation]:
        raise RuntimeError("UnauthorizedOperation:\n  no")

    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find_existing(wanted(subnets=OWN_TABLE, reservations={"a": BLOCKS}), denied))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == ("unreadable", "headroom:prefixReservations.a", "subnet-1")
    assert problem.reason == "could not be read: UnauthorizedOperation: no."
    assert problem.next_step.endswith("allow ec2:GetSubnetCidrReservations.")


def test_a_client_is_made_with_the_providers_settings_and_only_when_it_is_needed(
    aws: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Mapping[str, Any]] = []

    def client(settings: Mapping[str, Any]) -> int:
        made.append(settings)
        return len(made)

    monkeypatch.setattr(adoption, "ec2_client", client)
    monkeypatch.setattr(adoption, "read_reservations", lambda number, _: [reservation(BLOCKS[number - 1])])
    aws.answers[READ_STATE] = with_reservations(BLOCKS[1])
    results: list[Existing] = []
    both = {"a": BLOCKS}

    def program() -> None:
        results.append(find_existing(wanted(subnets=OWN_TABLE, reservations=both)))

    config = {"aws:region": "eu-central-1", "aws:profile": "prod"}
    aws.run(program, config=config)
    assert results[0].reservations == {f"a/{BLOCKS[0]}": "subnet-1:scr-1"}
    assert made == [{"region": "eu-central-1", "profile": "prod"}]
    aws.answers[READ_STATE] = with_reservations(*BLOCKS)
    aws.run(program, config=config)
    assert len(made) == 1


def test_settings_that_a_lookup_cannot_honour_are_said_and_nothing_is_looked_up(
    aws: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    aws.answers[READ_STATE] = with_reservations()
    results: list[Existing] = []
    config = {"aws:region": "eu-central-1", "aws:useFipsEndpoint": True, "aws:defaultTags": {"tags": {"a": "b"}}}
    aws.run(lambda: results.append(find_existing(wanted(subnets=OWN_TABLE, reservations={"a": BLOCKS}))), config=config)
    assert results[0].reservations == {}
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "are not looked up: aws:useFipsEndpoint would have to hold" in said


# Subnets and tables.


def test_without_a_subnet_of_ours_its_own_table_alone_is_looked_for(aws: Recorder) -> None:
    aws.answers[GET_SUBNETS] = {"ids": []}
    assert found(aws, OWN_TABLE).resources == {"route-table/a": "rtb-own", "route/a/0.0.0.0/0": "rtb-own_0.0.0.0/0"}
    assert sorted(aws.tokens()) == sorted([READ_STATE, GET_VPC, *[GET_SUBNETS] * 2, GET_TABLES, GET_TABLE])
    assert found(aws, WITH_TABLE).resources == {}
    assert sorted(aws.tokens()) == sorted([READ_STATE, GET_VPC, *[GET_SUBNETS] * 2, GET_TABLES])


def test_a_subnet_in_another_table_than_ours_has_its_association_made_anew(aws: Recorder) -> None:
    assert found(aws, WITH_TABLE).resources == {"subnet/a": "subnet-1"}, "it is associated with rtb-own, not rtb-node"
    aws.answers[GET_TABLES] = associated_with("rtb-node")
    assert found(aws, WITH_TABLE).resources["route-table-association/a"] == "subnet-1/rtb-node"


def test_a_subnet_without_a_table_of_ours_has_everything_else_made_anew(aws: Recorder) -> None:
    aws.answers[GET_TABLES] = {"ids": []}
    assert found(aws, OWN_TABLE).resources == {"subnet/a": "subnet-1"}


# Ingress rules.


UDP = IngressRule(security_group_id="sg-1", protocol="udp", from_port=53, to_port=53, description="names")
ANY = IngressRule(security_group_id="sg-1", protocol="-1")


def described(aws: Recorder, *rules: Mapping[str, Any]) -> None:
    by_id = {f"sgr-{number}": rule for number, rule in enumerate(rules)}
    aws.answers[LIST_RULES] = {"ids": list(by_id)}
    aws.answers[GET_RULE] = lambda args: {"id": args["securityGroupRuleId"], **by_id[args["securityGroupRuleId"]]}


@pytest.mark.parametrize(
    ("rule", "differs"),
    [
        (RULES["db"], {}),
        (ANY, {"ipProtocol": "-1", "fromPort": -1, "toPort": -1}),
        (UDP, {"ipProtocol": "udp", "fromPort": 53, "toPort": 53, "description": "names"}),
    ],
)
def test_a_rule_is_known_by_its_protocol_ports_and_description(
    aws: Recorder, rule: IngressRule, differs: dict[str, Any]
) -> None:
    described(aws, {**OURS, **differs})
    assert found(aws, {}, {"rule": rule}).resources == {f"ingress-rule/rule/{CIDR}": "sgr-0"}
    for other in (RULES["db"], ANY, UDP):
        assert bool(found(aws, {}, {"rule": other}).resources) == (other == rule)


@pytest.mark.parametrize(
    "differs",
    [
        {"ipProtocol": "udp"},
        {"fromPort": 5431},
        {"toPort": 5433},
        {"description": "somebody else's"},
        {"isEgress": True},
    ],
)
def test_a_rule_that_differs_in_anything_is_somebody_elses(aws: Recorder, differs: dict[str, Any]) -> None:
    described(aws, {**OURS, **differs})
    assert found(aws, {}, RULES).resources == {}
    described(aws, {**OURS, **differs}, OURS)
    assert found(aws, {}, RULES).resources == {f"ingress-rule/db/{CIDR}": "sgr-1"}


def test_a_rule_for_another_cidr_is_never_taken_for_ours(aws: Recorder) -> None:
    described(aws, {**OURS, "cidrIpv4": "10.0.0.0/8"}, {**OURS, "cidrIpv4": ""})
    assert f"ingress-rule/db/{CIDR}" not in found(aws, {}, RULES).resources


def test_the_rules_of_a_group_are_read_for_every_cidr_that_pods_come_from(aws: Recorder) -> None:
    """Subnets in the VPC's own CIDRs have rules too, without any association of ours."""
    own = "10.68.0.0/16"
    aws.answers[READ_STATE] = state((RULE, f"pods-db-{CIDR}"))
    described(aws, {**OURS, "cidrIpv4": own}, OURS)
    results: list[Existing] = []

    def program() -> None:
        results.append(find_existing(wanted(cidrs=[], rules=RULES, rule_cidrs=[CIDR, own])))

    aws.run(program)
    assert results[0].resources == {f"ingress-rule/db/{own}": "sgr-0"}


def test_the_rules_of_a_group_that_is_not_known_yet_are_made_anew(aws: Recorder) -> None:
    results: list[Existing] = []

    def program() -> None:
        group = pulumi.Output.from_input("sg-1")
        results.append(find({}, {"db": replace(RULES["db"], security_group_id=group)}))

    aws.run(program)
    assert results[0].resources == {}
    assert LIST_RULES not in aws.tokens()


# Lookups that fail.


@pytest.mark.parametrize(
    ("token", "subnets", "key", "value", "action"),
    [
        (GET_VPC, OWN_TABLE, "headroom:vpcId", "vpc-1", "ec2:DescribeVpcs and ec2:DescribeVpcAttribute"),
        (GET_SUBNETS, OWN_TABLE, "headroom:secondaryCidrs", "vpc-1", "ec2:DescribeSubnets"),
        (GET_TABLES, OWN_TABLE, "headroom:podSubnets.a", "a", "ec2:DescribeRouteTables"),
        (GET_TABLES, WITH_TABLE, "headroom:podSubnets.a.routeTableId", "rtb-node", "ec2:DescribeRouteTables"),
        (GET_TABLE, OWN_TABLE, "headroom:podSubnets.a", "rtb-own", "ec2:DescribeRouteTables"),
        (LIST_RULES, OWN_TABLE, "headroom:ingressRules.db", "sg-1", "ec2:DescribeSecurityGroupRules"),
        (GET_RULE, OWN_TABLE, "headroom:ingressRules.db", "sgr-1", "ec2:DescribeSecurityGroupRules"),
    ],
)
def test_a_lookup_that_fails_is_a_problem_with_its_key_and_iam_action(  # noqa: PLR0913, PLR0917 - a row of the table
    aws: Recorder, token: str, subnets: Mapping[str, PodSubnet], key: str, value: str, action: str
) -> None:
    aws.answers[token] = aws.failing("UnauthorizedOperation:\n  You are not authorized")
    with pytest.raises(ProblemsError) as caught:
        aws.run(lambda: find(subnets, RULES))
    (problem,) = caught.value.problems
    assert (problem.rule, problem.key, problem.value) == ("unreadable", key, value)
    assert problem.reason.startswith("could not be read: ")
    assert problem.reason.endswith("UnauthorizedOperation: You are not authorized.")
    assert problem.next_step == f"Check the value, the Region, and that the credentials allow {action}."


def test_a_subnet_that_cannot_be_read_is_a_problem(aws: Recorder) -> None:
    aws.answers[READ_STATE] = state((ASSOCIATION, f"pods-{CIDR}"))
    aws.answers[GET_SUBNETS] = aws.failing("Throttling")
    assert refused(aws, WITH_TABLE) == [("unreadable", "headroom:podSubnets.a", "100.64.0.0/18")]
    aws.answers[READ_STATE] = {"outputs": {}}
    lived_on(aws)
    aws.answers[GET_SUBNET] = aws.failing("Throttling")
    assert refused(aws, {}) == [("unreadable", "headroom:secondaryCidrs", "subnet-1")]


def test_the_tables_of_a_subnet_that_cannot_be_read_are_a_problem(aws: Recorder) -> None:
    fail, others = aws.failing("Throttling"), associated_with("rtb-own")
    aws.answers[GET_TABLES] = lambda args: (fail if "filters" in args else others)(args)
    assert refused(aws, WITH_TABLE) == [("unreadable", "headroom:podSubnets.a", "subnet-1")]
