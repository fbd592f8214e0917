from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

import stacks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.conftest import Recorder, Registration

READ_STATE = "pulumi:pulumi:readStackResourceOutputs"
GET_VPC = "aws:ec2/getVpc:getVpc"
GET_SUBNETS = "aws:ec2/getSubnets:getSubnets"
GET_TABLES = "aws:ec2/getRouteTables:getRouteTables"
LIST_RULES = "aws:vpc/getSecurityGroupRules:getSecurityGroupRules"

SECONDARY = "headroom:index:SecondaryCidr"
POD_SUBNETS = "headroom:index:PodSubnets"
ASSOCIATION = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE_ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
RESERVATION = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"
ENI_CONFIG = "kubernetes:crd.k8s.amazonaws.com/v1alpha1:ENIConfig"
ADDON = "aws:eks/addon:Addon"
TAG = "aws:ec2/tag:Tag"
STASH = "pulumi:index:Stash"

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
EXAMPLE = [
    *(f"{TABLE_ASSOCIATION} pods-{zone}" for zone in ZONES),
    *(f"{SUBNET} pods-{zone}" for zone in ZONES),
    *(f"{TAG} pods-{zone}" for zone in ZONES),
    f"{ASSOCIATION} pods-100.64.0.0/16",
    f"{POD_SUBNETS} pods",
    f"{SECONDARY} pods",
    f"{STASH} pods-in-use",
]


TABLES = [
    "rtb-0aaaaaaaaaaaaaaa1",
    "rtb-0bbbbbbbbbbbbbbb2",
    "rtb-0ccccccccccccccc3",
    "rtb-11111111",
    "rtb-44444444",
]


def tables(args: Mapping[str, Any]) -> dict[str, Any]:
    """The VPC has the tables that the example names; no subnet of ours is associated with any."""
    return {"id": "us-east-1", "ids": [] if args.get("filters") or args.get("tags") else TABLES}


@pytest.fixture
def engine(recorder: Recorder) -> Recorder:
    """An empty state, and an AWS that has the VPC and nothing of this stack."""
    primary = {"associationId": "vpc-cidr-assoc-0", "cidrBlock": "10.68.0.0/16", "state": "associated"}
    recorder.answers = {
        READ_STATE: {"outputs": {}},
        GET_VPC: {"id": "vpc-0123456789abcdef0", "cidrBlockAssociations": [primary]},
        GET_SUBNETS: {"id": "us-east-1", "ids": []},
        GET_TABLES: tables,
        LIST_RULES: {"id": "us-east-1", "ids": []},
    }
    return recorder


def up(engine: Recorder, config: dict[str, Any], **changes: Any) -> Sequence[Registration]:
    changed = {f"headroom:{key}": value for key, value in changes.items()}
    return engine.run(stacks.deploy, config={**config, **changed})


def refusal(engine: Recorder, config: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(pulumi.RunError) as caught:
        up(engine, config, **changes)
    assert engine.registrations == []
    first, *problems = str(caught.value).splitlines()
    assert first.endswith("in Pulumi.prod-use1-emergency.yaml; nothing was changed.")
    return [problem.removeprefix("  - ") for problem in problems]


# The example.


def test_the_example_registers_exactly_this(engine: Recorder, example_config: dict[str, Any]) -> None:
    up(engine, example_config)
    assert engine.labels() == EXAMPLE
    assert engine.one(ASSOCIATION, "pods-100.64.0.0/16").inputs == {
        "vpcId": "vpc-0123456789abcdef0",
        "cidrBlock": "100.64.0.0/16",
    }
    tags = {"Name": "pods-us-east-1b", "team": "platform", "headroom:stack": "headroom/prod-use1-emergency"}
    assert engine.one(SUBNET, "pods-us-east-1b").inputs == {
        "vpcId": "vpc-0123456789abcdef0",
        "availabilityZone": "us-east-1b",
        "cidrBlock": "100.64.64.0/18",
        "mapPublicIpOnLaunch": False,
        "tags": tags,
        "tagsAll": tags,
    }
    assert engine.one(TAG, "pods-us-east-1b").inputs == {
        "resourceId": "Subnet-pods-us-east-1b",
        "key": "kubernetes.io/role/cni",
        "value": "1",
    }
    assert engine.one(TABLE_ASSOCIATION, "pods-us-east-1c").inputs == {
        "subnetId": "Subnet-pods-us-east-1c",
        "routeTableId": "rtb-0ccccccccccccccc3",
    }
    assert {item.label for item in engine.registrations if item.protect} == {
        f"{ASSOCIATION} pods-100.64.0.0/16",
        f"{STASH} pods-in-use",
    }
    assert not any(item.import_id for item in engine.registrations)


def test_subnets_wait_for_the_association_that_their_cidr_comes_from(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    up(engine, example_config)
    for zone in ZONES:
        assert engine.one(SUBNET, f"pods-{zone}").depends_on == {f"{ASSOCIATION} pods-100.64.0.0/16"}


def test_the_outputs_say_what_was_made_and_what_to_look_at_next(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    up(engine, example_config)
    outputs = engine.stack_outputs
    next_steps = outputs.pop("next")
    assert outputs == {
        "vpcId": "vpc-0123456789abcdef0",
        "associatedCidrBlocks": ["100.64.0.0/16"],
        "podSubnets": {
            zone: {
                "subnetId": f"Subnet-pods-{zone}",
                "zone": zone,
                "cidrBlock": f"100.64.{third}.0/18",
                "usableAddresses": 16379,
                "routeTableId": table,
            }
            for zone, third, table in zip(
                ZONES, (0, 64, 128), [f"rtb-0{letter * 15}{digit}" for letter, digit in ("a1", "b2", "c3")], strict=True
            )
        },
        "usableAddressesAdded": 3 * 16379,
        "restarts": "none",
    }
    assert len(next_steps) == 3
    assert next_steps[0].startswith("kubectl get events ")


def test_a_second_run_asks_the_state_alone_and_registers_the_same(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    first = up(engine, example_config)
    assert sorted(engine.tokens()) == [GET_TABLES, GET_VPC, READ_STATE]
    engine.remember()
    second = up(engine, example_config)
    assert engine.tokens() == [READ_STATE], "a stack whose state is complete costs no call of EC2"
    assert [item.wire for item in second] == [item.wire for item in first]


def test_a_zone_added_later_changes_nothing_but_the_record_of_subnets(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    before = {item.label: item.wire for item in up(engine, example_config)}
    subnets = dict(example_config["headroom:podSubnets"])
    subnets = {"new": {"zone": "us-east-1d", "cidrBlock": "100.64.192.0/18", "routeTableId": "rtb-44444444"}, **subnets}
    after = {item.label: item.wire for item in up(engine, example_config, podSubnets=subnets)}
    assert [label for label in before if after[label] != before[label]] == [f"{STASH} pods-in-use"]
    made = (TABLE_ASSOCIATION, SUBNET, TAG)
    assert after.keys() - before.keys() == {f"{type_} pods-new" for type_ in made}


def test_the_stacks_name_changes_the_stack_tag_and_nothing_else(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    engine.run(stacks.deploy, config=example_config, stack="prod-use1-emergency")
    here = {item.label: dict(item.inputs) for item in engine.registrations}
    engine.run(stacks.deploy, config=example_config, stack="other")
    there = {item.label: dict(item.inputs) for item in engine.registrations}
    for inputs in (*here.values(), *there.values()):
        for tags in {"tags", "tagsAll"} & inputs.keys():
            inputs[tags] = {name: text for name, text in inputs[tags].items() if name != "headroom:stack"}
    assert here == there


# What is warned about.


def test_a_new_cidr_is_warned_about_until_it_is_associated(
    engine: Recorder, example_config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    up(engine, example_config)
    said = [record.message for record in caplog.records]
    assert any("100.64.0.0/16" in message for message in said), "100.64.0.0/10 is not routed on premises"
    engine.remember()
    caplog.clear()
    up(engine, example_config)
    assert not any("100.64.0.0/16" in record.message for record in caplog.records)


# Variants.


def test_subnets_in_the_vpcs_own_cidrs_need_no_association(engine: Recorder, example_config: dict[str, Any]) -> None:
    subnets = {"us-east-1a": {"cidrBlock": "10.68.128.0/18", "routeTableId": "rtb-11111111"}}
    up(engine, example_config, secondaryCidrs=[], podSubnets=subnets)
    assert engine.labels() == [
        f"{TABLE_ASSOCIATION} pods-us-east-1a",
        f"{SUBNET} pods-us-east-1a",
        f"{TAG} pods-us-east-1a",
        f"{POD_SUBNETS} pods",
        f"{STASH} pods-in-use",
    ]
    assert engine.one(SUBNET, "pods-us-east-1a").inputs["vpcId"] == "vpc-0123456789abcdef0"
    problems = refusal(
        engine, example_config, secondaryCidrs=[], podSubnets=subnets, vpcCidrBlocks=["10.68.0.0/16", "10.69.0.0/16"]
    )
    assert [problem.partition(" is not ")[0] for problem in problems] == ["headroom:vpcCidrBlocks: 10.69.0.0/16"]


def test_rules_are_repeated_for_the_cidrs_that_pods_come_from_and_no_others(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    rules = {"databases": {"securityGroupId": "sg-11111111", "protocol": "tcp", "fromPort": 5432, "toPort": 5432}}
    second = {"associationId": "vpc-cidr-assoc-9", "cidrBlock": "10.69.0.0/16", "state": "associated"}
    engine.answers[GET_VPC]["cidrBlockAssociations"].append(second)  # type: ignore[index] # an answer that is given
    up(engine, example_config, ingressRules=rules, vpcCidrBlocks=["10.68.0.0/16", "10.69.0.0/16"])
    (rule,) = [item for item in engine.registrations if item.type == RULE]
    assert rule.name == "pods-databases-100.64.0.0/16"
    assert rule.inputs["tags"]["headroom:stack"] == "headroom/prod-use1-emergency"


def test_a_stack_that_takes_no_new_pods_has_untagged_subnets_and_says_how_to_leave(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    before = {item.label: item.wire for item in up(engine, example_config)}
    after = {item.label: item.wire for item in up(engine, example_config, acceptNewPods=False)}
    assert before.keys() - after.keys() == {f"{TAG} pods-{zone}" for zone in ZONES}
    changed = {label for label in after if after[label] != before[label]}
    # The record that a destroy comes to first says it too; the subnets leave their role tag to nobody any more.
    assert changed == {f"{STASH} pods-in-use", *(f"{SUBNET} pods-{zone}" for zone in ZONES)}
    assert engine.stack_outputs["next"][-1].startswith("pulumi destroy --run-program")


def test_without_protection_everything_may_go(engine: Recorder, example_config: dict[str, Any]) -> None:
    up(engine, example_config, protect=False)
    assert not any(item.protect for item in engine.registrations)


def test_reservations_lie_in_the_stacks_own_subnets(engine: Recorder, example_config: dict[str, Any]) -> None:
    reservations = {"us-east-1a": {"cidrBlocks": ["100.64.32.0/19"], "primaryAddresses": 100}}
    up(engine, example_config, prefixReservations=reservations)
    assert sorted(set(engine.labels()) - set(EXAMPLE)) == [
        f"{RESERVATION} pods-us-east-1a-100.64.32.0/19",
        "headroom:index:PrefixReservations pods",
    ]
    reservation = engine.one(RESERVATION, "pods-us-east-1a-100.64.32.0/19")
    assert reservation.inputs["subnetId"] == "Subnet-pods-us-east-1a"


def test_cni_settings_are_changed_only_where_the_file_says_so(engine: Recorder, example_config: dict[str, Any]) -> None:
    settings = {
        "managedBy": "addon",
        "addonVersion": "v1.19.2-eksbuild.1",
        "settings": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"},
    }
    up(engine, example_config, cniSettings=settings)
    assert sorted(set(engine.labels()) - set(EXAMPLE)) == [f"{ADDON} cni", "headroom:index:CniSettings cni"]
    assert engine.one(ADDON, "cni").inputs["configurationValues"] == (
        '{"env":{"MINIMUM_IP_TARGET":"10","WARM_IP_TARGET":"5"}}'
    )
    assert engine.stack_outputs["restarts"] == "aws-node rolls"


CUSTOM = {"nodeZones": list(ZONES), "securityGroupIds": ["sg-11111111"]}
ADDON_SETTINGS = {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1"}


def test_custom_networking_makes_an_eniconfig_a_zone_before_the_settings_send_the_cni_there(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    up(engine, example_config, customNetworking=CUSTOM, cniSettings=ADDON_SETTINGS)
    configs = [item for item in engine.registrations if item.type == ENI_CONFIG]
    assert {item.name: item.inputs["spec"] for item in configs} == {
        f"pods-{zone}": {"subnet": f"Subnet-pods-{zone}", "securityGroups": ["sg-11111111"]} for zone in ZONES
    }
    addon = engine.one(ADDON, "cni")
    assert addon.inputs["configurationValues"] == (
        '{"env":{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG":"true","ENI_CONFIG_LABEL_DEF":"topology.kubernetes.io/zone"}}'
    )
    assert {item.before_delete for item in configs} == {("pods-in-use",)}, "new nodes would get no addresses"
    first = engine.in_order.index(addon.label)
    assert {item.label for item in configs} <= set(engine.in_order[:first])


# Refusals that need more than the file.


def test_what_the_vpc_has_and_the_file_does_not_say_is_judged_too(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    engine.answers[GET_VPC] = {
        "id": "vpc-0123456789abcdef0",
        "cidrBlockAssociations": [
            {"associationId": "vpc-cidr-assoc-0", "cidrBlock": "10.68.0.0/16", "state": "associated"},
            {"associationId": "vpc-cidr-assoc-1", "cidrBlock": "100.64.0.0/17", "state": "associated"},
            {"associationId": "vpc-cidr-assoc-2", "cidrBlock": "100.64.128.0/17", "state": "disassociated"},
        ],
    }
    (problem,) = refusal(engine, example_config)
    assert problem.startswith("headroom:secondaryCidrs: 100.64.0.0/16 ")
    assert "100.64.0.0/17" in problem


def test_a_bad_configuration_gives_all_its_errors_and_asks_nobody(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    problems = refusal(
        engine,
        example_config,
        cniVersion="1.18.1",
        secondaryCidrs=["100.64.0.0/16", "192.168.0.0/16"],
        tags={"karpenter.sh/discovery": "prod-use1"},
        protect="no",
        cidrQuota="many",
        podSubnets={"us-east-1a": {"cidrBlock": "100.64.0.0/18"}, "us-east-1b": {"cidrBlok": "100.64.64.0/18"}},
        prefixReservations={"us-east-1z": {"cidrBlocks": [], "primaryAddresses": 0}},
    )
    assert sorted({problem.partition(": ")[0] for problem in problems}) == [
        "headroom:cidrQuota",
        "headroom:cniVersion",
        "headroom:podSubnets.us-east-1a",
        "headroom:podSubnets.us-east-1b.cidrBlock",
        "headroom:podSubnets.us-east-1b.cidrBlok",
        "headroom:prefixReservations.us-east-1z",
        "headroom:protect",
        "headroom:secondaryCidrs",
        "headroom:tags",
    ]
    assert engine.tokens() == []


def test_a_key_that_was_renamed_or_given_another_block_is_refused_before_anything_is_registered(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    up(engine, example_config)
    engine.remember()
    first, second, third = (dict(subnet) for subnet in example_config["headroom:podSubnets"].values())
    subnets = {
        "us-east-1a": {**first, "cidrBlock": "100.64.192.0/18"},
        "renamed": {**second, "zone": "us-east-1b"},
        "us-east-1c": third,
    }
    problems = refusal(engine, example_config, podSubnets=subnets)
    assert [problem.partition(": ")[0] for problem in problems] == [
        "headroom:podSubnets.us-east-1a",
        "headroom:podSubnets.renamed",
    ]
    assert "100.64.0.0/18 in us-east-1a" in problems[0]
    assert "Write us-east-1b again" in problems[1]
    assert engine.tokens() == [READ_STATE]


def test_an_association_in_progress_is_waited_for_by_whoever_runs_the_command(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    engine.answers[GET_VPC] = {
        "cidrBlockAssociations": [
            {"associationId": "vpc-cidr-assoc-0", "cidrBlock": "10.68.0.0/16", "state": "associated"},
            {"associationId": "vpc-cidr-assoc-1", "cidrBlock": "100.64.0.0/16", "state": "associating"},
        ]
    }
    (problem,) = refusal(engine, example_config)
    assert problem.startswith("headroom:secondaryCidrs: 100.64.0.0/16 is associating (vpc-cidr-assoc-1)")


def test_a_lookup_that_is_denied_is_told_with_its_key_and_iam_action(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    engine.answers[GET_VPC] = engine.failing("UnauthorizedOperation: You are not authorized")
    (problem,) = refusal(engine, example_config)
    assert problem.startswith("headroom:vpcId: vpc-0123456789abcdef0 could not be read: ")
    assert "UnauthorizedOperation: You are not authorized. " in problem
    assert problem.endswith("ec2:DescribeVpcs and ec2:DescribeVpcAttribute.")


# Taking over what an interrupted run left behind.


def test_an_interrupted_run_takes_over_what_it_made_and_makes_nothing_twice(
    engine: Recorder, example_config: dict[str, Any]
) -> None:
    up(engine, example_config)
    lost = [f"{ASSOCIATION} pods-100.64.0.0/16", *(f"{SUBNET} pods-{zone}" for zone in ZONES)]
    lost += [f"{TABLE_ASSOCIATION} pods-{zone}" for zone in ZONES]
    engine.remember(without=lost)
    by_block = {"100.64.0.0/18": "subnet-a", "100.64.64.0/18": "subnet-b"}
    engine.answers[GET_VPC] = {
        "cidrBlockAssociations": [
            {"associationId": "vpc-cidr-assoc-0", "cidrBlock": "10.68.0.0/16", "state": "associated"},
            {"associationId": "vpc-cidr-assoc-1", "cidrBlock": "100.64.0.0/16", "state": "associated"},
        ]
    }
    engine.answers[GET_SUBNETS] = lambda args: {
        "ids": [
            subnet_id
            for block, subnet_id in by_block.items()
            if all(item["name"] != "cidr-block" or block in item["values"] for item in args["filters"])
        ]
    }
    engine.answers[GET_TABLES] = lambda args: {
        "ids": ["rtb-0aaaaaaaaaaaaaaa1"]
        if args.get("filters") and args["filters"][0]["values"] == ["subnet-a"]
        else tables(args)["ids"]
    }
    up(engine, example_config)
    assert engine.labels() == EXAMPLE
    assert {item.label: item.import_id for item in engine.registrations if item.import_id} == {
        f"{ASSOCIATION} pods-100.64.0.0/16": "vpc-cidr-assoc-1",
        f"{SUBNET} pods-us-east-1a": "subnet-a",
        f"{SUBNET} pods-us-east-1b": "subnet-b",
        f"{TABLE_ASSOCIATION} pods-us-east-1a": "subnet-a/rtb-0aaaaaaaaaaaaaaa1",
    }
