"""The emergency stack's life through the real Pulumi engine."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from components.cni_settings import addon_import
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
    # The update is the record that a destroy comes to first: it now names three subnets.
    assert operations(stack) == {"create": 2, "update": 1}
    stack.up()
    after = stack.picture()["subnets"]
    assert {cidr: after[cidr] for cidr in before} == before
    assert len(after) == 3


def test_drift_is_seen_by_refresh_and_mended_by_the_next_up(stack: Stack) -> None:
    stack.up()
    subnet_id = stack.subnets()[0]["SubnetId"]
    stack.world.ec2.delete_tags(Resources=[subnet_id], Tags=[{"Key": "kubernetes.io/role/cni"}])
    stack.pulumi("refresh", "--yes", "--skip-preview")
    assert operations(stack) == {"update": 1}
    stack.up()
    tags = {tag["Key"]: tag["Value"] for tag in stack.subnets()[0]["Tags"]}
    assert tags["kubernetes.io/role/cni"] == "1"


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
    assert last_subnet["CidrBlock"] == BLOCKS[last]
    assert stack.table_of(last_subnet["SubnetId"]) == stack.network.route_table_ids[last], "its routes went"

    stack.configure(podSubnets=stack.pod_subnets({zone: BLOCKS[zone] for zone in (first, last)}))
    stack.up()
    assert [subnet["CidrBlock"] for subnet in stack.subnets()] == [BLOCKS[first], BLOCKS[last]]


def test_accept_new_pods_false_takes_the_tag_away_and_nothing_else(stack: Stack) -> None:
    stack.up()
    before = stack.picture()
    stack.configure(acceptNewPods=False)
    # Three subnets, and the record that a destroy comes to first.
    assert operations(stack) == {"update": 4}
    stack.up()
    assert stack.picture() == before
    assert all(tag["Key"] != "kubernetes.io/role/cni" for subnet in stack.subnets() for tag in subnet["Tags"])


def test_an_association_made_by_hand_is_adopted(stack: Stack) -> None:
    made = stack.world.ec2.associate_vpc_cidr_block(VpcId=stack.network.vpc_id, CidrBlock="100.64.0.0/16")
    association_id = made["CidrBlockAssociation"]["AssociationId"]
    wait_for(lambda: "100.64.0.0/16" in stack.cidrs(), seconds=10, what="the association")
    assert operations(stack)["import"] == 1
    stack.up()
    vpc = stack.world.ec2.describe_vpcs(VpcIds=[stack.network.vpc_id])["Vpcs"][0]
    assert [item["AssociationId"] for item in vpc["CidrBlockAssociationSet"]][1:] == [association_id]
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
    stack.world.endpoint.change(association_seconds=3.0)
    try:
        stack.world.ec2.associate_vpc_cidr_block(VpcId=stack.network.vpc_id, CidrBlock="100.64.0.0/16")
        refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
        assert "100.64.0.0/16 is associating" in refused.output
        assert stack.subnets() == []
        wait_for(lambda: "100.64.0.0/16" in stack.cidrs(), seconds=10, what="the association")
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
        acceptNewPods=False,
        ingressRules={"databases": {"securityGroupId": group, "protocol": "tcp", "fromPort": 5432, "toPort": 5432}},
        prefixReservations={zone: {"cidrBlocks": ["100.64.32.0/19"], "primaryAddresses": 500}},
    )
    stack.world.endpoint.forget_calls()
    stack.up()
    stack.pulumi("refresh", "--yes", "--skip-preview")
    stack.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    called = set(stack.world.endpoint.calls())
    document = json.loads((CHECKOUT / "stacks" / "emergency.iam.json").read_text(encoding="utf-8"))
    allowed = {action.partition(":")[2] for statement in document["Statement"] for action in statement["Action"]}
    assert called - allowed == set()
    assert {"AssociateVpcCidrBlock", "CreateSubnet", "CreateSubnetCidrReservation", "CreateRoute"} <= called


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
