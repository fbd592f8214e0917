from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from components.pod_subnets import (
    ROUTE_TARGETS,
    IngressRule,
    PodSubnet,
    PodSubnets,
    PodSubnetsArgs,
    Route,
)
from components.prefix_reservations import CREATE_BURST, PrefixReservations, PrefixReservationsArgs, ReservedSubnet
from headroom.addresses.problems import ProblemsError
from headroom.planning.emergency_keys import (
    FORBIDDEN_TAGS,
    KEY_TAG,
    RULE_DESCRIPTION_CHARACTERS,
    TAG_KEY_CHARACTERS,
    TAG_VALUE_CHARACTERS,
    TAGS_PER_RESOURCE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headroom.addresses.problems import Problem
    from tests.conftest import Recorder

COMPONENT = "headroom:index:PodSubnets"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
TABLE_ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ACL_ASSOCIATION = "aws:ec2/networkAclAssociation:NetworkAclAssociation"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
TAG = "aws:ec2/tag:Tag"
STASH = "pulumi:index:Stash"
RESERVATION = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"

A = PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", route_table_id="rtb-a")
B = PodSubnet(zone="us-east-1b", cidr_block="100.64.64.0/18", route_table_id="rtb-b")
C = PodSubnet(zone="us-east-1c", cidr_block="100.64.128.0/18", route_table_id="rtb-c")
NAT = Route(destination="0.0.0.0/0", target="nat_gateway_id", target_id="nat-1")
OWN_TABLE = replace(A, route_table_id=None, routes=[NAT])
LOCAL_ONLY = replace(A, route_table_id=None, routes=[])


def arguments(**more: Any) -> PodSubnetsArgs:
    return PodSubnetsArgs(
        **{
            "vpc_ids": {"100.64.0.0/16": "vpc-1"},
            "subnets": {"us-east-1a": A, "us-east-1b": B},
            "cluster": "prod-use1",
            "cni_version": "1.19.2",
            **more,
        }
    )


def problems(**more: Any) -> Sequence[Problem]:
    with pytest.raises(ProblemsError) as caught:
        arguments(**more)
    assert caught.value.subject == "PodSubnetsArgs"
    return caught.value.problems


def refused(**more: Any) -> Sequence[tuple[str, str]]:
    """Rule and key of every problem."""
    return [(problem.rule, problem.key) for problem in problems(**more)]


def declare(recorder: Recorder, **more: Any) -> None:
    recorder.run(lambda: PodSubnets("pods", arguments(**more)))


# What is registered.


def test_a_subnet_its_route_table_association_and_its_tag_are_registered_for_each_zone(recorder: Recorder) -> None:
    declare(recorder)
    assert recorder.labels() == [
        f"{TABLE_ASSOCIATION} pods-us-east-1a",
        f"{TABLE_ASSOCIATION} pods-us-east-1b",
        f"{SUBNET} pods-us-east-1a",
        f"{SUBNET} pods-us-east-1b",
        f"{TAG} pods-us-east-1a",
        f"{TAG} pods-us-east-1b",
        f"{COMPONENT} pods",
        f"{STASH} pods-in-use",
    ]
    assert recorder.one(SUBNET, "pods-us-east-1a").inputs == {
        "vpcId": "vpc-1",
        "availabilityZone": "us-east-1a",
        "cidrBlock": "100.64.0.0/18",
        "mapPublicIpOnLaunch": False,
        "tags": {"Name": "pods-us-east-1a"},
        "tagsAll": {"Name": "pods-us-east-1a"},
    }
    assert recorder.one(TAG, "pods-us-east-1a").inputs == {
        "resourceId": "Subnet-pods-us-east-1a",
        "key": "kubernetes.io/role/cni",
        "value": "1",
    }
    assert recorder.one(TABLE_ASSOCIATION, "pods-us-east-1a").inputs == {
        "subnetId": "Subnet-pods-us-east-1a",
        "routeTableId": "rtb-a",
    }
    assert recorder.component_outputs[f"{COMPONENT} pods"] == {
        "subnetIds": {"us-east-1a": "Subnet-pods-us-east-1a", "us-east-1b": "Subnet-pods-us-east-1b"},
        "routeTableIds": {"us-east-1a": "rtb-a", "us-east-1b": "rtb-b"},
    }


def test_everything_is_a_child_of_the_component_and_nothing_of_the_stack(recorder: Recorder) -> None:
    rule = IngressRule(security_group_id="sg-1", protocol="-1")
    declare(
        recorder,
        subnets={"us-east-1a": replace(OWN_TABLE, network_acl_id="acl-1")},
        ingress_rules={"databases": rule},
    )
    children = [item for item in recorder.registrations if item.type != COMPONENT]
    assert sorted(item.type for item in children) == sorted(
        [SUBNET, TABLE, ROUTE, TABLE_ASSOCIATION, ACL_ASSOCIATION, TAG, RULE, STASH]
    )
    assert {item.parent for item in children} == {f"{COMPONENT} pods"}
    assert recorder.one(COMPONENT, "pods").parent == "pulumi:pulumi:Stack headroom-prod-use1-emergency"


@pytest.mark.parametrize("added", ["us-east-1", "us-east-1z"], ids=["sorted first", "sorted last"])
def test_adding_a_zone_leaves_all_other_registrations_as_they_were(recorder: Recorder, added: str) -> None:
    rules = {"databases": IngressRule(security_group_id="sg-1", protocol="tcp", from_port=5432, to_port=5432)}
    two = {"us-east-1a": OWN_TABLE, "us-east-1b": B}
    before = recorder.run(lambda: PodSubnets("pods", arguments(subnets=two, ingress_rules=rules)))
    three = {added: C, **two}
    after = recorder.run(lambda: PodSubnets("pods", arguments(subnets=three, ingress_rules=rules)))
    unchanged = {item.label: item.wire for item in before if item.type != STASH}
    now = {item.label: item.wire for item in after}
    assert {label: now[label] for label in unchanged} == unchanged
    assert sorted(now.keys() - {item.label for item in before}) == [
        f"{TABLE_ASSOCIATION} pods-{added}",
        f"{SUBNET} pods-{added}",
        f"{TAG} pods-{added}",
    ]


def test_the_order_of_the_zones_changes_no_registration(recorder: Recorder) -> None:
    one = recorder.run(lambda: PodSubnets("pods", arguments(subnets={"us-east-1a": A, "us-east-1b": B})))
    other = recorder.run(lambda: PodSubnets("pods", arguments(subnets={"us-east-1b": B, "us-east-1a": A})))
    assert [item.wire for item in one if item.type != STASH] == [item.wire for item in other if item.type != STASH]
    assert one[-1].inputs == other[-1].inputs


def test_several_subnets_of_one_zone_are_told_apart_by_their_keys(recorder: Recorder) -> None:
    declare(recorder, subnets={"us-east-1a": A, "us-east-1a_2": replace(B, zone="us-east-1a")})
    assert {item.name: item.inputs["availabilityZone"] for item in recorder.registrations if item.type == SUBNET} == {
        "pods-us-east-1a": "us-east-1a",
        "pods-us-east-1a_2": "us-east-1a",
    }


def test_each_subnet_takes_the_vpcs_id_of_the_cidr_around_it(recorder: Recorder) -> None:
    declare(
        recorder,
        vpc_ids={"100.64.0.0/18": "vpc-by-first", "100.64.64.0/18": "vpc-by-second"},
    )
    ids = {item.name: item.inputs["vpcId"] for item in recorder.registrations if item.type == SUBNET}
    assert ids == {"pods-us-east-1a": "vpc-by-first", "pods-us-east-1b": "vpc-by-second"}


# Routes and network ACLs.


def test_a_table_of_its_own_has_the_routes_that_were_asked_for(recorder: Recorder) -> None:
    to_office = Route(destination="10.0.0.0/8", target="transit_gateway_id", target_id="tgw-1")
    declare(recorder, subnets={"us-east-1a": replace(OWN_TABLE, routes=[NAT, to_office])}, tags={"team": "platform"})
    assert recorder.one(TABLE, "pods-us-east-1a").inputs == {
        "vpcId": "vpc-1",
        "tags": {"Name": "pods-us-east-1a", "team": "platform", "headroom:key": "us-east-1a"},
    }
    assert recorder.one(ROUTE, "pods-us-east-1a-0.0.0.0/0").inputs == {
        "routeTableId": "RouteTable-pods-us-east-1a",
        "destinationCidrBlock": "0.0.0.0/0",
        "natGatewayId": "nat-1",
    }
    assert recorder.one(ROUTE, "pods-us-east-1a-10.0.0.0/8").inputs["transitGatewayId"] == "tgw-1"
    association = recorder.one(TABLE_ASSOCIATION, "pods-us-east-1a")
    assert association.inputs["routeTableId"] == "RouteTable-pods-us-east-1a"
    assert association.depends_on >= {
        f"{ROUTE} pods-us-east-1a-0.0.0.0/0",
        f"{ROUTE} pods-us-east-1a-10.0.0.0/8",
    }, "pods must never see a table without its routes"


def test_a_table_with_the_local_route_only_has_no_route_registered(recorder: Recorder) -> None:
    declare(recorder, subnets={"us-east-1a": LOCAL_ONLY})
    assert [item.type for item in recorder.registrations].count(TABLE) == 1
    assert [item.type for item in recorder.registrations].count(ROUTE) == 0


@pytest.mark.parametrize("target", ROUTE_TARGETS)
def test_a_route_may_point_at_everything_that_is_named_as_a_target(recorder: Recorder, target: str) -> None:
    route = Route(destination="0.0.0.0/0", target=target, target_id="id-1")
    declare(recorder, subnets={"us-east-1a": replace(OWN_TABLE, routes=[route])})
    words = target.split("_")
    wire_name = words[0] + "".join(word.title() for word in words[1:])
    assert recorder.one(ROUTE, "pods-us-east-1a-0.0.0.0/0").inputs == {
        "routeTableId": "RouteTable-pods-us-east-1a",
        "destinationCidrBlock": "0.0.0.0/0",
        wire_name: "id-1",
    }


def test_an_unknown_route_target_is_refused() -> None:
    route = Route(destination="0.0.0.0/0", target="nat_gateway", target_id="nat-1")
    assert refused(subnets={"us-east-1a": replace(OWN_TABLE, routes=[route])}) == [
        ("route-target", "subnets.us-east-1a")
    ]


def test_route_destinations_are_blocks_and_each_has_one_route() -> None:
    twice = [
        NAT,
        replace(NAT, target_id="nat-2"),
        replace(NAT, destination="10.0.0.1/8"),
        replace(NAT, destination="x"),
    ]
    assert refused(subnets={"us-east-1a": replace(OWN_TABLE, routes=twice)}) == [
        ("cidr-host-bits", "subnets.us-east-1a.routes[2]"),
        ("ipv4-address", "subnets.us-east-1a.routes[3]"),
        ("route-twice", "subnets.us-east-1a.routes"),
    ]


def test_a_subnet_has_either_a_table_or_routes() -> None:
    both, neither = replace(A, routes=[NAT]), replace(A, route_table_id=None)
    found = problems(subnets={"us-east-1a": both, "us-east-1b": replace(neither, cidr_block="100.64.64.0/18")})
    accepted = (
        " Name a table (routeTableId; that of the zone's node subnet serves), or the routes of a new one; none at all "
        "(routes: {}) means the local route only."
    )
    assert [problem.message for problem in found] == [
        f"subnets.us-east-1a: 100.64.0.0/18 has both a route table and routes.{accepted}",
        f"subnets.us-east-1b: 100.64.64.0/18 has no route table.{accepted}",
    ]


def test_pods_that_keep_their_address_need_a_route_out_of_the_vpc() -> None:
    assert arguments(subnets={"us-east-1a": LOCAL_ONLY}).problems() == []
    assert refused(subnets={"us-east-1a": LOCAL_ONLY}, external_snat=True) == [
        ("external-snat-route", "subnets.us-east-1a")
    ]
    assert arguments(subnets={"us-east-1a": OWN_TABLE}, external_snat=True).problems() == []
    assert arguments(subnets={"us-east-1a": A}, external_snat=True).problems() == [], "the table may have such a route"


def test_a_network_acl_is_associated_only_where_one_is_named(recorder: Recorder) -> None:
    declare(recorder, subnets={"us-east-1a": replace(A, network_acl_id="acl-1"), "us-east-1b": B})
    assert [item.name for item in recorder.registrations if item.type == ACL_ASSOCIATION] == ["pods-us-east-1a"]
    assert recorder.one(ACL_ASSOCIATION, "pods-us-east-1a").inputs == {
        "subnetId": "Subnet-pods-us-east-1a",
        "networkAclId": "acl-1",
    }


# Security group rules.


def test_a_rule_that_names_cidrs_is_repeated_for_every_pod_cidr(recorder: Recorder) -> None:
    declare(
        recorder,
        vpc_ids={"100.64.0.0/16": "vpc-1", "100.65.0.0/16": "vpc-1"},
        ingress_rules={
            "databases": IngressRule(security_group_id="sg-1", protocol="tcp", from_port=5432, to_port=5432),
            "everything": IngressRule(security_group_id="sg-2", protocol="-1"),
        },
        tags={"team": "platform"},
    )
    rules = [item for item in recorder.registrations if item.type == RULE]
    assert [item.name for item in rules] == [
        "pods-databases-100.64.0.0/16",
        "pods-databases-100.65.0.0/16",
        "pods-everything-100.64.0.0/16",
        "pods-everything-100.65.0.0/16",
    ]
    assert rules[0].inputs == {
        "securityGroupId": "sg-1",
        "ipProtocol": "tcp",
        "fromPort": 5432,
        "toPort": 5432,
        "cidrIpv4": "100.64.0.0/16",
        "description": "Pods in added CIDRs",
        "tags": {"Name": "pods-databases", "team": "platform"},
    }
    assert rules[2].inputs.keys() == {"securityGroupId", "ipProtocol", "cidrIpv4", "description", "tags"}


@pytest.mark.parametrize(
    ("protocol", "ports", "said"),
    [
        ("tcp", (None, None), "is for tcp and lacks a port range."),
        ("udp", (53, None), "is for udp and lacks one end of its ports."),
        ("icmp", (None, None), "is for icmp and lacks its type, its code or both."),
        ("icmp", (8, None), "is for icmp and lacks its type, its code or both."),
        ("icmp", (-1, 0), "has the ICMP type -1 and code 0, which do not exist."),
        ("icmp", (256, -1), "has the ICMP type 256 and code -1, which do not exist."),
        ("icmp", (8, -2), "has the ICMP type 8 and code -2, which do not exist."),
        ("tcp", (-1, -1), "has the ports -1 to -1, which are no range within 0 to 65535."),
        ("50", (None, 443), "is for protocol 50, which is let in as a whole, but names None to 443."),
        ("tcp", (443, 80), "has the ports 443 to 80, which are no range within 0 to 65535."),
        ("tcp", (0, 65536), "has the ports 0 to 65536, which are no range within 0 to 65535."),
        ("-1", (443, 443), "is for all protocols, which have all ports, but names 443 to 443."),
    ],
)
def test_ports_that_do_not_fit_their_protocol_are_refused(
    protocol: str, ports: tuple[int | None, int | None], said: str
) -> None:
    rule = IngressRule(security_group_id="sg-1", protocol=protocol, from_port=ports[0], to_port=ports[1])
    (problem,) = problems(ingress_rules={"databases": rule})
    assert (problem.rule, problem.key, problem.reason) == ("ingress-rule-ports", "ingress_rules.databases", said)


@pytest.mark.parametrize(
    ("protocol", "ports"),
    [
        ("tcp", (0, 65535)),
        ("udp", (53, 53)),
        ("icmp", (-1, -1)),
        ("icmp", (8, -1)),
        ("icmp", (3, 4)),
        ("-1", (None, None)),
        ("0", (None, None)),
        ("50", (None, None)),
        ("255", (None, None)),
    ],
)
def test_ports_that_fit_their_protocol_are_accepted(protocol: str, ports: tuple[int | None, int | None]) -> None:
    rule = IngressRule(security_group_id="sg-1", protocol=protocol, from_port=ports[0], to_port=ports[1])
    assert arguments(ingress_rules={"rule": rule}).problems() == []


@pytest.mark.parametrize(
    ("protocol", "step"),
    [
        ("TCP", "Write tcp."),
        (" udp", "Write udp."),
        ("6", "Write tcp."),
        ("17", "Write udp."),
        ("1", "Write icmp."),
        ("icmpv6", "Write icmp."),
        ("58", "Write icmp."),
        ("all", "Write -1."),
        ("Any", "Write -1."),
        *(
            (text, "Write tcp, udp, icmp, -1 for all, or an IANA number from 0 to 255.")
            for text in ("", "tpc", "esp", "256", "-2", "06", "6.0", "\u0666")
        ),
    ],
)
def test_a_protocol_that_ec2_does_not_know_by_that_name_is_told_alone_with_what_to_write(
    protocol: str, step: str
) -> None:
    rule = IngressRule(security_group_id="sg-1", protocol=protocol, from_port=443)
    (problem,) = problems(ingress_rules={"databases": rule})
    assert (problem.rule, problem.key) == ("ingress-rule-protocol", "ingress_rules.databases.protocol")
    assert problem.next_step == step


def test_a_rules_description_has_the_characters_and_the_length_that_ec2_takes() -> None:
    def rule(description: str) -> dict[str, IngressRule]:
        return {"databases": IngressRule(security_group_id="sg-1", protocol="-1", description=description)}

    allowed = "azAZ09 ._-:/()#,@[]+=&;{}!$*"
    longest = allowed + "x" * (RULE_DESCRIPTION_CHARACTERS - len(allowed))
    assert arguments(ingress_rules=rule(longest)).problems() == []
    found = problems(ingress_rules=rule(f"{longest}'\u00e9\n"))
    assert {(problem.rule, problem.key) for problem in found} == {
        ("ingress-rule-description", "ingress_rules.databases.description")
    }
    assert [problem.reason for problem in found] == [
        "has 258 characters, more than EC2 takes.",
        "contains '\\n', \"'\" and '\\xe9', which EC2 does not take.",
    ]


# Tags.


def test_before_1_22_there_is_no_cluster_tag() -> None:
    assert arguments(tags={"team": "platform"}).subnet_tags("pods", "us-east-1a") == {
        "Name": "pods-us-east-1a",
        "team": "platform",
    }


@pytest.mark.parametrize("version", ["1.22.4", "v1.22.4-eksbuild.1", "1.23.0"])
def test_from_1_22_4_the_subnet_is_scoped_to_the_cluster(version: str) -> None:
    args = arguments(cni_version=version)
    assert args.subnet_tags("pods", "us-east-1a") == {
        "Name": "pods-us-east-1a",
        "cni.networking.k8s.aws/cluster/prod-use1": "shared",
    }
    shared = replace(args, scope_to_cluster=False)
    assert shared.subnet_tags("pods", "us-east-1a") == {"Name": "pods-us-east-1a"}


def test_the_role_tag_comes_last_so_that_pods_are_invited_when_routes_and_network_acl_are_there(
    recorder: Recorder,
) -> None:
    declare(recorder, subnets={"us-east-1a": replace(OWN_TABLE, network_acl_id="acl-1")})
    assert recorder.one(TAG, "pods-us-east-1a").depends_on == {
        f"{SUBNET} pods-us-east-1a",
        f"{TABLE_ASSOCIATION} pods-us-east-1a",
        f"{ACL_ASSOCIATION} pods-us-east-1a",
    }


def test_a_subnet_leaves_its_role_tag_alone_and_nothing_else(recorder: Recorder) -> None:
    """With the dot before the bracket the real provider knows the key; without it a later one may."""
    declare(recorder)
    assert {item.ignore_changes for item in recorder.registrations if item.type == SUBNET} == {
        (
            'tags.["kubernetes.io/role/cni"]',
            'tags["kubernetes.io/role/cni"]',
            'tagsAll.["kubernetes.io/role/cni"]',
            'tagsAll["kubernetes.io/role/cni"]',
        )
    }
    assert not any(item.ignore_changes for item in recorder.registrations if item.type != SUBNET)


def test_a_subnet_that_takes_no_new_pods_has_no_role_tag_and_keeps_the_rest(recorder: Recorder) -> None:
    accepting = recorder.run(lambda: PodSubnets("pods", arguments(cni_version="1.22.4")))
    closed = recorder.run(lambda: PodSubnets("pods", arguments(cni_version="1.22.4", accept_new_pods=False)))
    assert [item.type for item in closed].count(TAG) == 0
    before, after = ({item.label: item for item in run} for run in (accepting, closed))
    assert before.keys() - after.keys() == {f"{TAG} pods-us-east-1a", f"{TAG} pods-us-east-1b"}
    subnet = f"{SUBNET} pods-us-east-1a"
    assert after[subnet].inputs == before[subnet].inputs
    assert after[subnet].inputs["tags"] == {
        "Name": "pods-us-east-1a",
        "cni.networking.k8s.aws/cluster/prod-use1": "shared",
    }
    assert after[subnet].ignore_changes == (), "it owns the key again: a tag that somebody sets by hand goes"
    others = [[item.wire for item in run if item.type not in (SUBNET, TAG, STASH)] for run in (accepting, closed)]
    assert others[0] == others[1], "closing a subnet takes its tag and changes the record, and nothing else"
    records = [next(item.inputs["input"] for item in run if item.type == STASH) for run in (accepting, closed)]
    assert [record.pop("acceptNewPods") for record in records] == [True, False]
    assert records[0] == records[1]


def test_a_name_of_the_users_own_is_kept() -> None:
    assert arguments(tags={"Name": "mine"}).subnet_tags("pods", "us-east-1a")["Name"] == "mine"


@pytest.mark.parametrize(
    "tag",
    [
        "kubernetes.io/role/elb",
        "kubernetes.io/role/internal-elb",
        "kubernetes.io/cluster/prod-use1",
        "karpenter.sh/discovery",
        "karpenter.sh/discovery/prod-use1",
        "eks:nodegroup-name",
        "alpha.eksctl.io/nodegroup-name",
        "k8s.io/cluster-autoscaler/enabled",
        "aws:cloudformation:stack-name",
        "AwS:mine",
        "cni.networking.k8s.aws/cluster/other",
        "kubernetes.io/role/cni",
    ],
)
def test_a_tag_that_would_harm_a_pod_subnet_is_refused(tag: str) -> None:
    (problem,) = problems(tags={tag: "1"})
    assert (problem.rule, problem.key, problem.value) == ("forbidden-tag", "tags", tag)


def test_every_forbidden_tag_gives_its_reason() -> None:
    tags = {f"{tag}x" if tag[-1] in "/:" else tag: "" for tag in FORBIDDEN_TAGS}
    found = problems(tags=tags)
    assert [problem.value for problem in found] == list(tags)
    assert [problem.reason for problem in found] == [
        f"must not be on a pod subnet: it {reason}." for reason in FORBIDDEN_TAGS.values()
    ]


@pytest.mark.parametrize(
    "tag", ["kubernetes.io/role/elbow", "karpenter.sh/discovery-other", "awsome", "eks:cluster-name", "AWS"]
)
def test_tags_that_only_look_like_forbidden_ones_are_accepted(tag: str) -> None:
    assert arguments(tags={tag: "1"}).problems() == []


def test_more_tags_than_ec2_takes_are_refused() -> None:
    most = {f"tag-{number}": "" for number in range(TAGS_PER_RESOURCE - 4)}
    assert arguments(tags=most, cni_version="1.22.4").problems() == []
    made_with = arguments(tags=most, cni_version="1.22.4").subnet_tags("pods", "us-east-1a")
    sent = {*made_with, "kubernetes.io/role/cni", KEY_TAG}
    assert len(sent) == TAGS_PER_RESOURCE
    assert refused(tags={**most, "one-more": ""}) == [("too-many-tags", "tags")]
    assert arguments(tags={**most, "Name": "mine"}).problems() == [], "it takes the place of the component's"


def test_the_stacks_own_tags_count_and_are_not_counted_as_the_users() -> None:
    most = {f"tag-{number}": "" for number in range(TAGS_PER_RESOURCE - 5)}
    assert arguments(tags={**most, "headroom:stack": "headroom/prod"}).problems() == []
    (problem,) = problems(tags={**most, "one-more": "", "headroom:stack": "headroom/prod"})
    assert problem.message == (
        "tags: 46 tags do not fit: EC2 allows 50 a resource, and 5 are needed here. Keep 45 at most."
    )


def test_keys_and_values_of_tags_have_the_lengths_that_ec2_takes() -> None:
    longest = {"k" * TAG_KEY_CHARACTERS: "v" * TAG_VALUE_CHARACTERS, "empty": ""}
    assert arguments(tags=longest).problems() == []
    found = problems(tags={"k" * (TAG_KEY_CHARACTERS + 1): "", "": "", "long": "v" * (TAG_VALUE_CHARACTERS + 1)})
    assert [(problem.rule, problem.key) for problem in found] == [("tag-length", "tags")] * 3
    assert [problem.reason for problem in found] == [
        "is a key of 129 characters, and EC2 takes 1 to 128.",
        "is a key of 0 characters, and EC2 takes 1 to 128.",
        "has a value of 257 characters, and EC2 takes at most 256.",
    ]


# The version of the CNI.


@pytest.mark.parametrize("version", ["1.17.0", "1.18.0", "1.18.1", "1.18.2", "v1.18.2-eksbuild.1"])
def test_a_version_that_ignores_tagged_subnets_is_refused_and_told_to_move_to_1_18_3(version: str) -> None:
    (problem,) = problems(cni_version=version)
    assert "v1.18.3" in problem.message
    assert problem.next_step.startswith("Upgrade to ")


@pytest.mark.parametrize("version", ["1.22.0", "1.22.2", "1.22.3"])
def test_a_version_that_hands_out_nodes_addresses_is_refused_and_told_to_move_to_1_22_4(version: str) -> None:
    (problem,) = problems(cni_version=version)
    assert "v1.22.4" in problem.message


def test_1_22_1_is_also_refused_for_the_permission_that_it_needs() -> None:
    assert [rule for rule, _ in refused(cni_version="1.22.1")] == [
        "cni-primary-address",
        "cni-security-group-permission",
    ]


@pytest.mark.parametrize("version", ["1.18.3", "1.19.2", "v1.21.1-eksbuild.3", "1.22.4", "1.23.0"])
def test_versions_that_find_tagged_subnets_are_accepted(version: str) -> None:
    assert arguments(cni_version=version).problems() == []


def test_a_text_that_is_no_version_is_refused() -> None:
    assert refused(cni_version="latest") == [("cni-version-format", "")]


# Blocks.


def test_blocks_lie_in_the_vpc_apart_from_each_other_and_in_sizes_that_ec2_takes() -> None:
    found = refused(
        subnets={
            "us-east-1a": A,
            "us-east-1b": replace(B, cidr_block="100.64.32.0/19"),
            "us-east-1c": replace(C, cidr_block="10.0.0.0/18"),
            "us-east-1d": replace(C, cidr_block="100.64.128.0/29"),
            "us-east-1e": replace(C, cidr_block="100.64.b.0/24"),
        }
    )
    assert found == [
        ("pod-subnet-overlap", "subnets.us-east-1b"),
        ("pod-subnet-inside-vpc", "subnets.us-east-1c"),
        ("subnet-size", "subnets.us-east-1d"),
        ("ipv4-address", "subnets.us-east-1e"),
    ]


def test_no_subnets_and_unreadable_cidrs_of_the_vpc_are_refused() -> None:
    assert refused(subnets={}) == [("no-subnets", "subnets")]
    assert refused(vpc_ids={"100.64.0.0/16": "vpc-1", "ten": "vpc-1"}) == [("ipv4-address", "vpc_ids")]
    (problem, *_) = problems(vpc_ids={})
    assert problem.reason == "lies in none of the CIDRs given (none)."


def test_all_problems_come_at_once_and_nothing_is_registered(recorder: Recorder) -> None:
    def program() -> None:
        PodSubnets(
            "pods",
            arguments(
                cni_version="1.18.0",
                tags={"karpenter.sh/discovery": "prod-use1"},
                subnets={"us-east-1a": replace(A, cidr_block="10.0.0.0/18", route_table_id=None)},
                ingress_rules={"databases": IngressRule(security_group_id="sg-1", protocol="tcp")},
            ),
        )

    with pytest.raises(ProblemsError) as caught:
        recorder.run(program)
    assert [problem.rule for problem in caught.value.problems] == [
        "cni-full-subnet",
        "pod-subnet-inside-vpc",
        "pod-subnet-route",
        "forbidden-tag",
        "ingress-rule-ports",
    ]
    assert recorder.registrations == []


# Adoption, protection and the guard.


def test_things_that_exist_are_adopted_by_kind_and_key_and_nothing_else(recorder: Recorder) -> None:
    adopt = {
        "subnet/us-east-1a": "subnet-1",
        "route-table/us-east-1a": "rtb-1",
        "route/us-east-1a/0.0.0.0/0": "rtb-1_0.0.0.0/0",
        "route-table-association/us-east-1a": "subnet-1/rtb-1",
        "ingress-rule/databases/100.64.0.0/16": "sgr-1",
    }
    rules = {"databases": IngressRule(security_group_id="sg-1", protocol="-1")}
    declare(recorder, subnets={"us-east-1a": OWN_TABLE, "us-east-1b": B}, ingress_rules=rules, adopt=adopt)
    assert {item.label: item.import_id for item in recorder.registrations if item.import_id} == {
        f"{SUBNET} pods-us-east-1a": "subnet-1",
        f"{TABLE} pods-us-east-1a": "rtb-1",
        f"{ROUTE} pods-us-east-1a-0.0.0.0/0": "rtb-1_0.0.0.0/0",
        f"{TABLE_ASSOCIATION} pods-us-east-1a": "subnet-1/rtb-1",
        f"{RULE} pods-databases-100.64.0.0/16": "sgr-1",
    }


def test_whatever_takes_a_subnets_pods_off_the_network_asks_before_it_is_deleted(recorder: Recorder) -> None:
    declare(
        recorder,
        subnets={"us-east-1a": replace(OWN_TABLE, network_acl_id="acl-1")},
        ingress_rules={"databases": IngressRule(security_group_id="sg-1", protocol="-1")},
    )
    guarded = {item.type for item in recorder.registrations if item.before_delete == ("pods-in-use",)}
    assert guarded == {SUBNET, TABLE_ASSOCIATION, ACL_ASSOCIATION, TAG, STASH}
    assert recorder.hooks.keys() == {"pods-in-use"}
    # Routes and their table go after the association that asks, for it depends on them.
    assert f"{ROUTE} pods-us-east-1a-0.0.0.0/0" in recorder.one(TABLE_ASSOCIATION, "pods-us-east-1a").depends_on
    assert f"{TABLE} pods-us-east-1a" in recorder.one(ROUTE, "pods-us-east-1a-0.0.0.0/0").depends_on


def test_a_destroy_comes_first_to_the_record_of_all_subnets(recorder: Recorder) -> None:
    rules = {"databases": IngressRule(security_group_id="sg-1", protocol="-1")}
    declare(recorder, subnets={"us-east-1a": replace(A, network_acl_id="acl-1"), "us-east-1b": B}, ingress_rules=rules)
    record = recorder.one(STASH, "pods-in-use")
    assert record.inputs == {
        "input": {
            "subnetIds": {"us-east-1a": "Subnet-pods-us-east-1a", "us-east-1b": "Subnet-pods-us-east-1b"},
            "acceptNewPods": True,
            "protect": True,
        }
    }
    children = {item.label for item in recorder.registrations} - {record.label, f"{COMPONENT} pods"}
    assert record.depends_on == children, "what it does not depend on would be deleted before it asks"


def test_a_destroy_comes_to_what_else_hangs_on_the_subnets_after_the_record(recorder: Recorder) -> None:
    blocks = [f"100.64.0.{16 * number}/28" for number in range(1, CREATE_BURST + 3)]
    given: list[pulumi.ResourceHookBinding] = []

    def reservations(
        subnet_ids: Mapping[str, pulumi.Output[str]], guard: pulumi.ResourceHookBinding
    ) -> Sequence[pulumi.Resource]:
        given.append(guard)
        subnet = ReservedSubnet(
            subnet_id=subnet_ids["us-east-1a"],
            cidr_block=A.cidr_block,
            reservations=blocks,
            primary_addresses=100,
        )
        return [PrefixReservations("pods", PrefixReservationsArgs(subnets={"us-east-1a": subnet}))]

    declare(recorder, dependents=reservations)
    hooks = [
        hook.name for guard in given for hook in guard.before_delete or () if isinstance(hook, pulumi.ResourceHook)
    ]
    assert hooks == ["pods-in-use"], "what takes pods off the network may ask as the subnets do"
    reserved = {item.label for item in recorder.registrations if item.type == RESERVATION}
    assert len(reserved) == len(blocks)
    assert recorder.one(STASH, "pods-in-use").depends_on >= reserved
    assert recorder.one(RESERVATION, f"pods-us-east-1a-{blocks[0]}").inputs["subnetId"] == "Subnet-pods-us-east-1a"


@pytest.mark.parametrize("protect", [True, False])
def test_the_record_alone_is_protected(recorder: Recorder, *, protect: bool) -> None:
    declare(recorder, protect=protect)
    protected = [item.label for item in recorder.registrations if item.protect]
    assert protected == ([f"{STASH} pods-in-use"] if protect else [])
    assert arguments().protect, "protection is the default"
