"""The emergency stack's life through the real Pulumi engine."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from headroom.planning.addon import addon_import
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.scenarios.cluster import ZONES, wait_for
from headroom.rehearsal.stack import BLOCKS, Stack

pytestmark = pytest.mark.engine

POLICIES = str(CHECKOUT / "policies")


def operations(stack: Stack, *arguments: str) -> dict[str, int]:
    """Operations that a preview plans, by kind, those that change nothing left out."""
    preview = json.loads(stack.pulumi("preview", "--json", *arguments).output)
    return {kind: count for kind, count in preview["changeSummary"].items() if kind != "same"}


def node_interface_in_last_zone(stack: Stack) -> str:
    ec2 = stack.world.ec2
    zone = list(ZONES)[-1]
    instance = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        SubnetId=stack.network.subnet_ids[zone],
    )["Instances"][0]["InstanceId"]
    interface_id = ec2.create_network_interface(
        SubnetId=stack.subnets()[-1]["SubnetId"], SecondaryPrivateIpAddressCount=4
    )["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=interface_id, InstanceId=instance, DeviceIndex=1)
    return str(interface_id)


def drain(stack: Stack, interface_id: str) -> None:
    ec2 = stack.world.ec2
    described = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])["NetworkInterfaces"][0]
    ec2.detach_network_interface(AttachmentId=described["Attachment"]["AttachmentId"])
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)


def test_up_makes_the_association_the_subnets_and_their_routes_and_a_second_preview_changes_nothing(
    stack: Stack,
) -> None:
    stack.up()
    assert stack.cidrs() == ["10.68.0.0/16", "100.64.0.0/16"]
    assert {
        subnet["CidrBlock"]: (subnet["AvailabilityZone"], stack.table_of(subnet["SubnetId"]))
        for subnet in stack.subnets()
    } == {block: (zone, stack.network.route_table_ids[zone]) for zone, block in BLOCKS.items()}
    tags = {tag["Key"]: tag["Value"] for tag in stack.subnets()[0]["Tags"]}
    assert tags == {
        "Name": "pods-us-east-1a",
        "kubernetes.io/role/cni": "1",
        "headroom:stack": f"headroom/{stack.name}",
    }
    stack.pulumi("preview", "--expect-no-changes")
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_adding_a_zone_makes_its_subnet_and_association_and_moves_nothing(stack: Stack) -> None:
    two = {zone: BLOCKS[zone] for zone in list(ZONES)[1:]}
    stack.configure(podSubnets=stack.pod_subnets(two))
    stack.up()
    before = stack.picture()["subnets"]
    stack.configure(podSubnets=stack.pod_subnets(BLOCKS))
    # A subnet, its association and its tag. The update is the record that a destroy comes to first.
    assert operations(stack) == {"create": 3, "update": 1}
    stack.up()
    after = stack.picture()["subnets"]
    assert {cidr: after[cidr] for cidr in before} == before
    assert len(after) == 3


def test_drift_is_seen_by_refresh_and_mended_by_the_next_up(stack: Stack) -> None:
    stack.up()
    subnet_id = stack.subnets()[0]["SubnetId"]
    stack.world.ec2.delete_tags(Resources=[subnet_id], Tags=[{"Key": "kubernetes.io/role/cni"}])
    stack.pulumi("refresh", "--yes", "--skip-preview")
    assert operations(stack) == {"create": 1}
    stack.up()
    assert role(stack.subnets()[0]) == "1"


def role(subnet: Any) -> str | None:
    """The value of a subnet's role tag."""
    return next((tag["Value"] for tag in subnet["Tags"] if tag["Key"] == "kubernetes.io/role/cni"), None)


def test_the_subnet_and_its_tag_never_fight_whatever_else_changes(stack: Stack) -> None:
    """After a refresh the subnet's state knows the tag that another resource has set."""
    stack.up()
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.pulumi("preview", "--expect-no-changes")
    stack.configure(tags={"team": "platform"})
    assert operations(stack) == {"update": 3}
    stack.up()
    for subnet in stack.subnets():
        tags = {tag["Key"]: tag["Value"] for tag in subnet["Tags"]}
        assert (tags["team"], tags["kubernetes.io/role/cni"]) == ("platform", "1")
    stack.configure(tags={})
    stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert [role(subnet) for subnet in stack.subnets()] == ["1", "1", "1"]
    assert all(tag["Key"] != "team" for subnet in stack.subnets() for tag in subnet["Tags"])
    stack.pulumi("preview", "--expect-no-changes")


def test_pods_are_invited_into_no_subnet_whose_routes_could_not_be_associated(stack: Stack) -> None:
    stack.world.endpoint.fail("AssociateRouteTable", "UnauthorizedOperation", count=3)
    try:
        failed = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    finally:
        stack.world.endpoint.clear_faults()
    assert failed.code != 0
    assert [role(subnet) for subnet in stack.subnets()] == [None, None, None]
    stack.up()
    assert [role(subnet) for subnet in stack.subnets()] == ["1", "1", "1"]
    stack.pulumi("preview", "--expect-no-changes")


def test_a_closed_subnet_loses_the_tag_even_if_somebody_sets_it_again(stack: Stack) -> None:
    stack.up()
    stack.configure(acceptNewPods=False)
    stack.up()
    subnet_id = stack.subnets()[0]["SubnetId"]
    stack.world.ec2.create_tags(Resources=[subnet_id], Tags=[{"Key": "kubernetes.io/role/cni", "Value": "1"}])
    stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert [role(subnet) for subnet in stack.subnets()] == [None, None, None]
    stack.configure(acceptNewPods=True)
    stack.up()
    assert [role(subnet) for subnet in stack.subnets()] == ["1", "1", "1"]
    stack.pulumi("preview", "--expect-no-changes")


def test_a_bad_configuration_names_every_problem_with_its_key_and_registers_nothing(stack: Stack) -> None:
    stack.configure(
        cniVersion="1.18.1",
        secondaryCidrs=["192.168.0.0/16"],
        podSubnets={"us-east-1a": {"cidrBlock": "100.64.b.0/24"}, "us-east-1b": {"cidrBlok": "100.64.0.0/18"}},
    )
    output = stack.pulumi("up", "--yes", "--skip-preview", must=None).output
    for key in (
        "headroom:cniVersion",
        "headroom:secondaryCidrs",
        "headroom:podSubnets.us-east-1a",
        "headroom:podSubnets.us-east-1b.cidrBlok",
        "headroom:podSubnets.us-east-1b.cidrBlock",
    ):
        assert f"- {key}: " in output, f"{key} is not named in:\n{output}"
    assert "Traceback" not in output
    assert stack.cidrs() == ["10.68.0.0/16"]


def test_a_plain_destroy_is_refused_and_deletes_nothing(stack: Stack) -> None:
    stack.configure(protect=False)
    stack.up()
    before = stack.picture()
    result = stack.pulumi("destroy", "--yes", "--skip-preview", must=None)
    assert result.code != 0
    assert "--run-program" in result.output
    assert stack.picture() == before


def test_a_protected_cidr_is_not_destroyed_even_with_the_program_running(stack: Stack) -> None:
    stack.configure(acceptNewPods=False)
    stack.up()
    before = stack.picture()
    result = stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program", must=None)
    assert result.code != 0
    assert "protect" in result.output
    assert stack.picture() == before


def test_a_destroy_while_a_subnet_is_used_names_interface_and_node_and_deletes_nothing_and_later_succeeds(
    stack: Stack,
) -> None:
    stack.configure(protect=False)
    stack.up()
    # In the last zone only: the idle zones must not go either.
    interface_id = node_interface_in_last_zone(stack)
    before = stack.picture()
    result = stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program", must=None)
    assert result.code != 0
    assert "1 network interface still uses these subnets; nothing was deleted." in result.output
    assert interface_id in result.output
    assert "instance i-" in result.output
    assert "pods unknown (" in result.output, "no cluster can be reached in this test, and that is said"
    assert stack.picture() == before

    drain(stack, interface_id)
    racing = stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program", must=None)
    assert racing.code != 0, "the CNI could make an interface while the routes are being deleted"
    assert "they still accept new pods; nothing was deleted." in racing.output
    assert stack.picture() == before
    stack.configure(acceptNewPods=False)
    stack.up()
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert stack.picture() == {"cidrs": ["10.68.0.0/16"], "subnets": {}, "tables": []}


def test_taking_a_used_zone_out_of_the_stack_file_is_refused_and_an_idle_one_goes(stack: Stack) -> None:
    stack.up()
    interface_id = node_interface_in_last_zone(stack)
    first, middle, last = ZONES
    stack.configure(podSubnets=stack.pod_subnets({zone: BLOCKS[zone] for zone in (first, middle)}))
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert refused.code != 0
    assert interface_id in refused.output
    last_subnet = stack.subnets()[-1]
    assert role(last_subnet) == "1", "the refusal came too late"
    assert last_subnet["CidrBlock"] == BLOCKS[last]
    assert stack.table_of(last_subnet["SubnetId"]) == stack.network.route_table_ids[last], "its routes went"

    stack.configure(podSubnets=stack.pod_subnets({zone: BLOCKS[zone] for zone in (first, last)}))
    stack.up()
    assert [subnet["CidrBlock"] for subnet in stack.subnets()] == [BLOCKS[first], BLOCKS[last]]


def test_accept_new_pods_false_takes_the_tag_away_and_nothing_else(stack: Stack) -> None:
    stack.up()
    before = stack.picture()
    node_interface_in_last_zone(stack)
    stack.configure(acceptNewPods=False)
    # Three tags, and the record that a destroy comes to first. That a subnet is used is no reason to keep its tag.
    assert operations(stack) == {"delete": 3, "update": 1}
    stack.up()
    assert stack.picture() == before
    assert [role(subnet) for subnet in stack.subnets()] == [None, None, None]
    stack.pulumi("preview", "--expect-no-changes")


def test_an_association_made_by_hand_is_adopted(stack: Stack) -> None:
    made = stack.world.ec2.associate_vpc_cidr_block(VpcId=stack.network.vpc_id, CidrBlock="100.64.0.0/16")
    association_id = made["CidrBlockAssociation"]["AssociationId"]
    wait_for(lambda: "100.64.0.0/16" in stack.cidrs(), seconds=10, what="the association")
    assert operations(stack)["import"] == 1
    stack.up()
    vpc = stack.world.ec2.describe_vpcs(VpcIds=[stack.network.vpc_id])["Vpcs"][0]
    assert [item["AssociationId"] for item in vpc["CidrBlockAssociationSet"]][1:] == [association_id]
    stack.pulumi("preview", "--expect-no-changes")


def foreign_subnet(stack: Stack, cidr: str) -> str:
    made = stack.world.ec2.create_subnet(VpcId=stack.network.vpc_id, CidrBlock=cidr, AvailabilityZone=next(iter(ZONES)))
    return str(made["Subnet"]["SubnetId"])


def test_a_cidr_that_others_live_on_is_not_adopted_and_a_destroy_leaves_it_to_them(stack: Stack) -> None:
    stack.world.ec2.associate_vpc_cidr_block(VpcId=stack.network.vpc_id, CidrBlock="100.64.0.0/16")
    wait_for(lambda: "100.64.0.0/16" in stack.cidrs(), seconds=10, what="the association")
    theirs = foreign_subnet(stack, "100.64.192.0/18")
    before = stack.picture()
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert refused.code != 0
    assert f"{theirs} (100.64.192.0/18)" in refused.output
    assert "Move it from secondaryCidrs to vpcCidrBlocks" in refused.output
    assert stack.picture() == before

    stack.configure(
        vpcCidrBlocks=["10.68.0.0/16", "100.64.0.0/16"], secondaryCidrs=[], protect=False, acceptNewPods=False
    )
    stack.up()
    assert len(stack.subnets()) == 4
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert stack.picture() == before


def test_a_cidr_that_the_vpc_does_not_have_is_a_contradiction_and_one_that_is_not_listed_counts(stack: Stack) -> None:
    stack.configure(vpcCidrBlocks=["10.68.0.0/16", "100.70.0.0/16"])
    refused = stack.pulumi("preview", must=None)
    assert refused.code != 0
    vpc_id = stack.network.vpc_id
    assert f"- headroom:vpcCidrBlocks: 100.70.0.0/16 is not associated with {vpc_id}, which has" in refused.output

    stack.world.ec2.associate_vpc_cidr_block(VpcId=vpc_id, CidrBlock="100.70.0.0/16")
    wait_for(lambda: "100.70.0.0/16" in stack.cidrs(), seconds=10, what="the association")
    stack.configure(vpcCidrBlocks=["10.68.0.0/16"])
    said = stack.pulumi("preview").output
    assert f"{vpc_id} has 100.70.0.0/16 too, which headroom:vpcCidrBlocks does not list" in said


def test_one_of_several_cidrs_is_taken_out_in_two_steps_that_the_refusal_names(stack: Stack) -> None:
    stack.configure(secondaryCidrs=["100.64.0.0/16", "100.70.0.0/16"])
    stack.up()
    before = stack.picture()
    stack.configure(secondaryCidrs=["100.64.0.0/16"])
    refused = stack.pulumi("preview", must=None)
    assert refused.code != 0
    assert "- headroom:secondaryCidrs: 100.70.0.0/16 is not listed any more" in refused.output
    assert "Put it back, set headroom:protect: false, run `pulumi up`, then take it out" in refused.output
    assert stack.picture() == before

    stack.configure(secondaryCidrs=["100.64.0.0/16", "100.70.0.0/16"], protect=False)
    stack.up()
    stack.configure(secondaryCidrs=["100.64.0.0/16"])
    stack.up()
    assert stack.cidrs() == ["10.68.0.0/16", "100.64.0.0/16"]
    stack.configure(protect=True)
    stack.up()
    stack.pulumi("preview", "--expect-no-changes")


def test_undersized_subnets_are_refused_by_the_policy_pack_before_anything_is_made(stack: Stack) -> None:
    small = dict(zip(ZONES, ("100.64.1.0/24", "100.64.2.0/24", "100.64.3.0/24"), strict=True))
    stack.configure(podSubnets=stack.pod_subnets(small))
    result = stack.pulumi("up", "--yes", "--policy-pack", POLICIES, must=None)
    assert result.code != 0
    for block in small.values():
        assert f"{block} holds 251 addresses" in result.output
    assert stack.cidrs() == ["10.68.0.0/16"]
    stack.configure(podSubnets=stack.pod_subnets(BLOCKS))
    stack.pulumi("preview", "--policy-pack", POLICIES)


def test_the_steps_back_that_readme_names_pass_the_policy_pack_in_their_order_only(stack: Stack) -> None:
    def up(must: int | None = 0) -> str:
        return stack.pulumi("up", "--yes", "--policy-pack", POLICIES, must=must).output

    up()
    stack.configure(protect=False)
    refused = up(must=None)
    assert "pods-100.64.0.0/16 is not protected" in refused
    stack.configure(protect=True, acceptNewPods=False)
    up()
    stack.configure(protect=False)
    up()
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert stack.picture() == {"cidrs": ["10.68.0.0/16"], "subnets": {}, "tables": []}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"us-east-1a": "100.64.192.0/18"}, "is not what was made under this key: 100.64.0.0/18 in us-east-1a"),
        ({"renamed": "100.64.0.0/18"}, "was made under the key us-east-1a"),
    ],
)
def test_a_key_that_moves_or_changes_its_name_is_refused_before_anything_happens(
    stack: Stack, change: dict[str, str], said: str
) -> None:
    stack.up()
    before = stack.picture()
    subnets = stack.pod_subnets()
    table = {"routeTableId": subnets.pop("us-east-1a")["routeTableId"], "zone": "us-east-1a"}
    stack.configure(podSubnets={**subnets, **{key: {"cidrBlock": block, **table} for key, block in change.items()}})
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert refused.code != 0
    assert said in refused.output
    assert stack.picture() == before


def test_an_association_that_somebody_has_just_begun_is_waited_for_by_the_person(stack: Stack) -> None:
    # As long as a program may take to start on a busy machine.
    stack.world.endpoint.change(association_seconds=10.0)
    try:
        stack.world.ec2.associate_vpc_cidr_block(VpcId=stack.network.vpc_id, CidrBlock="100.64.0.0/16")
        refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
        assert "100.64.0.0/16 is associating" in refused.output
        assert stack.subnets() == []
        wait_for(lambda: "100.64.0.0/16" in stack.cidrs(), seconds=30, what="the association")
    finally:
        stack.world.endpoint.change(association_seconds=0.3)
    stack.up()
    assert len(stack.subnets()) == 3


def test_a_lookup_that_is_denied_is_one_problem_with_its_key_and_action(stack: Stack) -> None:
    stack.world.endpoint.fail("DescribeVpcs", "UnauthorizedOperation", count=5)
    try:
        refused = stack.pulumi("preview", must=None)
    finally:
        stack.world.endpoint.clear_faults()
    assert refused.code != 0
    assert "headroom:vpcId: " in refused.output
    assert "ec2:DescribeVpcs" in refused.output
    assert "Traceback" not in refused.output


def test_a_route_table_of_another_vpc_is_refused_before_anything_is_made(stack: Stack) -> None:
    other = stack.world.ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    table = stack.world.ec2.create_route_table(VpcId=other)["RouteTable"]["RouteTableId"]
    subnets = stack.pod_subnets()
    subnets["us-east-1b"]["routeTableId"] = table
    stack.configure(podSubnets=subnets)
    refused = stack.pulumi("preview", must=None)
    assert refused.code != 0
    assert f"- headroom:podSubnets.us-east-1b.routeTableId: {table} is no route table of" in refused.output


def test_a_misspelt_key_is_answered_with_the_nearest(stack: Stack) -> None:
    stack.configure(protekt=False)
    refused = stack.pulumi("preview", must=None)
    assert refused.code != 0
    assert "headroom:protekt: " in refused.output
    assert "Did you mean protect?" in refused.output


def test_a_destroy_that_cannot_see_the_interfaces_is_refused(stack: Stack) -> None:
    stack.configure(protect=False, acceptNewPods=False)
    stack.up()
    before = stack.picture()
    stack.world.endpoint.fail("DescribeNetworkInterfaces", "UnauthorizedOperation", count=5)
    try:
        refused = stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program", must=None)
    finally:
        stack.world.endpoint.clear_faults()
    assert refused.code != 0
    assert "are in use could not be read" in refused.output
    assert stack.picture() == before


def test_a_refused_destroy_keeps_every_reservation_too(stack: Stack) -> None:
    zone = list(ZONES)[-1]
    blocks = [f"100.64.{number}.0/28" for number in range(129, 137)]
    stack.configure(protect=False, prefixReservations={zone: {"cidrBlocks": blocks, "primaryAddresses": 100}})
    stack.up()
    node_interface_in_last_zone(stack)
    for flag in ("--run-program", "--continue-on-error"):
        arguments = {"--run-program", flag}
        refused = stack.pulumi("destroy", "--yes", "--skip-preview", *sorted(arguments), must=None)
        assert refused.code != 0
        reserved = stack.world.ec2.get_subnet_cidr_reservations(SubnetId=stack.subnets()[-1]["SubnetId"])
        assert len(reserved["SubnetIpv4CidrReservations"]) == len(blocks)


def own_tables(stack: Stack) -> None:
    gateway = stack.world.ec2.describe_nat_gateways(Filters=[{"Name": "vpc-id", "Values": [stack.network.vpc_id]}])[
        "NatGateways"
    ][0]["NatGatewayId"]
    zone = next(iter(ZONES))
    subnet: dict[str, Any] = {"cidrBlock": BLOCKS[zone], "routes": {"0.0.0.0/0": {"natGatewayId": gateway}}}
    stack.configure(podSubnets={zone: subnet}, externalSnat=True)


def test_a_table_of_its_own_gets_its_routes_before_the_subnet_uses_it(stack: Stack) -> None:
    own_tables(stack)
    stack.up()
    [table_id] = stack.route_tables()
    [subnet] = stack.subnets()
    assert stack.table_of(subnet["SubnetId"]) == table_id
    routes = stack.world.ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"][0]["Routes"]
    assert {"0.0.0.0/0"} <= {route["DestinationCidrBlock"] for route in routes}
    stack.pulumi("preview", "--expect-no-changes")
    stack.configure(protect=False, acceptNewPods=False)
    stack.up()
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert stack.picture() == {"cidrs": ["10.68.0.0/16"], "subnets": {}, "tables": []}


KILLS = [
    ("AssociateVpcCidrBlock", 0, "before"),
    ("AssociateVpcCidrBlock", 0, "after"),
    ("CreateSubnet", 0, "before"),
    ("CreateSubnet", 0, "after"),
    ("CreateSubnet", 1, "after"),
    ("CreateSubnet", 2, "after"),
    ("AssociateRouteTable", 0, "before"),
    ("AssociateRouteTable", 0, "after"),
    ("AssociateRouteTable", 1, "after"),
    ("AssociateRouteTable", 2, "after"),
    ("CreateTags", 0, "before"),
    ("CreateTags", 0, "after"),
    ("CreateTags", 2, "after"),
]


@pytest.mark.parametrize(("action", "skip", "moment"), KILLS)
def test_an_up_that_is_killed_converges_with_nothing_lost_or_left_over(
    stack: Stack, action: str, skip: int, moment: str
) -> None:
    kill_at(stack, action, skip, moment)
    stack.up()
    picture = stack.picture()
    assert picture["cidrs"] == ["10.68.0.0/16", "100.64.0.0/16"]
    assert {cidr: found[1:] for cidr, found in picture["subnets"].items()} == {
        block: (zone, stack.network.route_table_ids[zone]) for zone, block in BLOCKS.items()
    }
    assert picture["tables"] == []
    assert [role(subnet) for subnet in stack.subnets()] == ["1", "1", "1"]
    stack.pulumi("preview", "--expect-no-changes")


@pytest.mark.parametrize("action", ["CreateRouteTable", "CreateRoute", "AssociateRouteTable"])
def test_an_up_that_is_killed_while_it_makes_a_route_table_converges(stack: Stack, action: str) -> None:
    own_tables(stack)
    kill_at(stack, action, 0, "after")
    stack.up()
    [table_id] = stack.route_tables()
    [subnet] = stack.subnets()
    assert stack.table_of(subnet["SubnetId"]) == table_id
    stack.pulumi("preview", "--expect-no-changes")


RESERVED = ["100.64.1.0/28", "100.64.2.0/28", "100.64.3.0/28"]


def reserve(stack: Stack, *blocks: str) -> None:
    """Asks for reservations in the first zone's subnet, the only one."""
    zone = next(iter(ZONES))
    stack.configure(
        podSubnets=stack.pod_subnets({zone: BLOCKS[zone]}),
        prefixReservations={zone: {"cidrBlocks": list(blocks), "primaryAddresses": 100}},
    )


def reserved(stack: Stack) -> dict[str, str]:
    """Id of every reservation in the only subnet by its CIDR; fails where EC2 has a CIDR twice."""
    [subnet] = stack.subnets()
    found = stack.world.ec2.get_subnet_cidr_reservations(SubnetId=subnet["SubnetId"])["SubnetIpv4CidrReservations"]
    assert len({item["Cidr"] for item in found}) == len(found)
    return {item["Cidr"]: item["SubnetCidrReservationId"] for item in found}


@pytest.mark.parametrize(("skip", "moment"), [(0, "before"), (0, "after"), (1, "after"), (2, "after")])
def test_an_up_that_is_killed_while_it_reserves_converges(stack: Stack, skip: int, moment: str) -> None:
    reserve(stack, *RESERVED)
    kill_at(stack, "CreateSubnetCidrReservation", skip, moment)
    left = reserved(stack)
    assert len(left) == skip + (moment == "after")
    stack.up()
    after = reserved(stack)
    assert sorted(after) == RESERVED
    assert left.items() <= after.items(), "what EC2 had is taken over, not made anew"
    stack.pulumi("preview", "--expect-no-changes")
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.configure(protect=False, acceptNewPods=False)
    stack.up()
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert stack.picture() == {"cidrs": ["10.68.0.0/16"], "subnets": {}, "tables": []}


def test_a_reservation_made_by_hand_is_adopted_whatever_it_is_called(stack: Stack) -> None:
    reserve(stack)
    stack.up()
    [subnet] = stack.subnets()
    stack.world.ec2.create_subnet_cidr_reservation(
        SubnetId=subnet["SubnetId"], Cidr=RESERVED[0], ReservationType="prefix", Description="by hand"
    )
    before = reserved(stack)
    reserve(stack, *RESERVED[:2])
    output = stack.up().output
    assert "would give it back when it is destroyed" in output
    assert before.items() <= reserved(stack).items()
    stack.pulumi("preview", "--expect-no-changes")


def test_reservations_in_the_way_are_refused_with_what_is_there_before_anything_happens(stack: Stack) -> None:
    reserve(stack)
    stack.up()
    [subnet] = stack.subnets()
    in_subnet, ec2 = subnet["SubnetId"], stack.world.ec2
    ec2.create_subnet_cidr_reservation(SubnetId=in_subnet, Cidr=RESERVED[0], ReservationType="explicit")
    ec2.create_subnet_cidr_reservation(SubnetId=in_subnet, Cidr="100.64.2.0/24", ReservationType="prefix")
    before = reserved(stack)
    reserve(stack, *RESERVED)
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert refused.code != 0
    key = f"headroom:prefixReservations.{next(iter(ZONES))}"
    explicit, wide = before[RESERVED[0]], before["100.64.2.0/24"]
    assert f"- {key}: 100.64.1.0/28 overlaps the reservation 100.64.1.0/28 ({explicit}, explicit)" in refused.output
    assert f"- {key}: 100.64.2.0/28 overlaps the reservation 100.64.2.0/24 ({wide}, prefix)" in refused.output
    assert "Traceback" not in refused.output
    assert reserved(stack) == before


def test_a_reservation_that_grows_over_one_of_the_stack_is_refused_with_the_way(stack: Stack) -> None:
    reserve(stack, *RESERVED)
    stack.up()
    reserve(stack, "100.64.2.0/27", RESERVED[2])
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert "which this stack has made" in refused.output
    assert "Leave it out, run `pulumi up`, then add it." in refused.output
    reserve(stack, RESERVED[2])
    stack.up()
    reserve(stack, "100.64.2.0/27", RESERVED[2])
    stack.up()
    assert sorted(reserved(stack)) == ["100.64.2.0/27", RESERVED[2]]


def kill_at(stack: Stack, action: str, skip: int, moment: str) -> None:
    """Kills `pulumi up` when an action comes: as a machine that dies, with no chance to write anything down."""
    process = stack.engine.start("up", "--yes", "--skip-preview", "--parallel", "1", "--stack", stack.name)
    stack.world.endpoint.kill(action, process.pid, moment=moment, skip=skip)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "the fault did not come to pass"
    stack.world.endpoint.clear_faults()
    # The lock of the killed run: the engine asks for this too.
    stack.pulumi("cancel", "--yes")


def test_every_call_of_a_whole_life_is_in_the_policy_document(stack: Stack) -> None:
    own_tables(stack)
    group = stack.network.security_group_id
    zone = next(iter(ZONES))
    stack.configure(
        protect=False,
        ingressRules={"databases": {"securityGroupId": group, "protocol": "tcp", "fromPort": 5432, "toPort": 5432}},
        prefixReservations={zone: {"cidrBlocks": ["100.64.32.0/19"], "primaryAddresses": 500}},
    )
    stack.world.endpoint.forget_calls()
    stack.up()
    stack.pulumi("refresh", "--yes", "--skip-preview")
    stack.configure(acceptNewPods=False)
    stack.up()
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    called = set(stack.world.endpoint.calls())
    document = json.loads((CHECKOUT / "stacks" / "emergency.iam.json").read_text(encoding="utf-8"))
    allowed = {action.partition(":")[2] for statement in document["Statement"] for action in statement["Action"]}
    assert called - allowed == set()
    assert {"AssociateVpcCidrBlock", "CreateSubnet", "CreateSubnetCidrReservation", "CreateRoute"} <= called
    assert "DescribeTags" in called, "a single tag is read by it"


def test_reservations_come_at_the_rate_that_ec2_allows(stack: Stack) -> None:
    zone = next(iter(ZONES))
    blocks = [f"100.64.{number}.0/28" for number in range(1, 9)]
    stack.configure(
        podSubnets=stack.pod_subnets({zone: BLOCKS[zone]}),
        prefixReservations={zone: {"cidrBlocks": blocks, "primaryAddresses": 100}},
    )
    # The simulated EC2 refuses what exceeds its bucket of five and one a second, so this fails without the pace.
    stack.up()
    [subnet] = stack.subnets()
    reserved = stack.world.ec2.get_subnet_cidr_reservations(SubnetId=subnet["SubnetId"])["SubnetIpv4CidrReservations"]
    assert sorted(item["Cidr"] for item in reserved) == sorted(blocks)
    stack.pulumi("preview", "--expect-no-changes")


def test_the_managed_add_on_is_imported_and_its_settings_are_merged_and_it_stays_when_the_stack_goes(
    stack: Stack, tmp_path: Path
) -> None:
    eks = stack.world.eks
    cluster = f"cluster-{stack.network.vpc_id[-6:]}"
    eks.create_cluster(
        name=cluster,
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(stack.network.subnet_ids.values())},
    )
    version = "v1.19.2-eksbuild.1"
    live = {"env": {"WARM_ENI_TARGET": "2"}}
    eks.create_addon(
        clusterName=cluster, addonName="vpc-cni", addonVersion=version, configurationValues=json.dumps(live)
    )
    stack.configure(
        clusterName=cluster,
        protect=False,
        acceptNewPods=False,
        cniSettings={
            "managedBy": "addon",
            "addonVersion": version,
            "settings": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"},
            "liveConfiguration": json.dumps(live),
            "liveEnvironment": {"WARM_ENI_TARGET": "2", "AWS_VPC_K8S_CNI_LOGLEVEL": "WARN"},
        },
    )
    imported = tmp_path / "import.json"
    imported.write_text(json.dumps(addon_import("cni", cluster)), encoding="utf-8")
    stack.pulumi(
        "import", "--file", str(imported), "--yes", "--skip-preview", "--protect=false", "--generate-code=false"
    )
    assert operations(stack)["update"] == 1
    stack.up()
    described = eks.describe_addon(clusterName=cluster, addonName="vpc-cni")["addon"]
    assert json.loads(described["configurationValues"]) == {
        "env": {
            "AWS_VPC_K8S_CNI_LOGLEVEL": "WARN",
            "MINIMUM_IP_TARGET": "10",
            "WARM_ENI_TARGET": "2",
            "WARM_IP_TARGET": "5",
        }
    }
    stack.pulumi("preview", "--expect-no-changes")
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert eks.list_addons(clusterName=cluster)["addons"] == ["vpc-cni"]
