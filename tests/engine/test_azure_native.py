"""The real engine over the stand-in for azure-native and the simulated Azure: adopt, attach, lose, refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from azure.mgmt.network import NetworkManagementClient

from headroom.rehearsal.azure_world import AzureWorld, start_azure_world
from headroom.rehearsal.tools import find_tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headroom.rehearsal.arm.endpoint import Endpoint
    from headroom.rehearsal.engine import Engine

pytestmark = pytest.mark.engine

STACK = "egress"
GROUP = "shop"

# What a program writes of a subnet that is there already, in the steps that adoption takes.
PROGRAM = """\
import pulumi
from pulumi_azure_native import network

config = pulumi.Config("trial")
step, group = config.require("step"), "shop"
vnet = network.get_virtual_network(resource_group_name=group, virtual_network_name="vnet")
there = next(subnet for subnet in vnet.subnets if subnet.name == "nodes")
address = network.PublicIPAddress(
    "egress",
    resource_group_name=group,
    public_ip_address_name="egress",
    sku={"name": "Standard"},
    public_ip_allocation_method="Static",
    opts=pulumi.ResourceOptions(protect=True),
)
gateway = network.NatGateway(
    "egress",
    resource_group_name=group,
    nat_gateway_name="egress",
    sku={"name": "Standard"},
    zones=["1"],
    public_ip_addresses=[{"id": address.id}],
)
subnet = dict(
    resource_group_name=group,
    virtual_network_name="vnet",
    subnet_name="nodes",
    address_prefix=there.address_prefix,
    nat_gateway=None if step == "adopt" else {"id": gateway.id},
)
untouched = ["routeTable", "networkSecurityGroup", "delegations", "name", "type"]
if step == "new":
    network.Subnet("nodes", **subnet)
elif step == "naive":
    network.Subnet("nodes", **subnet, opts=pulumi.ResourceOptions(retain_on_delete=True))
else:
    network.Subnet(
        "nodes",
        **subnet,
        opts=pulumi.ResourceOptions(import_=there.id, retain_on_delete=True, ignore_changes=untouched),
    )
pulumi.export("address", address.ip_address)

if config.get("outbound"):
    from pulumi_azure_native import containerservice

    containerservice.ManagedCluster(
        "overlay",
        resource_group_name=group,
        resource_name_="overlay",
        dns_prefix="overlay",
        network_profile={
            "network_plugin": "azure",
            "network_plugin_mode": "overlay",
            "pod_cidr": "10.244.0.0/16",
            "service_cidr": "192.168.128.0/17",
            "dns_service_ip": "192.168.128.10",
            "outbound_type": config.require("outbound"),
        },
        agent_pool_profiles=[{"name": "system", "count": 1, "mode": "System", "vm_size": "Standard_D4s_v5"}],
        opts=pulumi.ResourceOptions(protect=True),
    )
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AzureWorld]:
    """A subnet with the route table of kubenet, and a stack of which nothing was applied yet."""
    program = tmp_path / "program"
    program.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    description = {"name": "trial", "runtime": runtime, "main": ".", "stackConfigDir": "stacks"}
    (program / "Pulumi.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    (program / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    with start_azure_world(tmp_path / "world", find_tools(), program=program) as running:
        network = f"/subscriptions/{running.arm.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network"
        table, vnet = f"{network}/routeTables/kubenet", f"{network}/virtualNetworks/vnet"
        space = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
        nodes = {"addressPrefix": "10.20.0.0/24", "routeTable": {"id": table}}
        running.arm.add_resources(
            [
                {"id": table, "location": "eastus", "properties": {}},
                {"id": vnet, "location": "eastus", "properties": space},
                {"id": f"{vnet}/subnets/nodes", "properties": nodes},
            ]
        )
        running.engine.init(STACK, {"trial:step": "adopt"})
        yield running


@pytest.fixture
def engine(world: AzureWorld) -> Engine:
    return world.engine


@pytest.fixture
def arm(world: AzureWorld) -> Endpoint:
    return world.arm


@pytest.fixture
def network(arm: Endpoint) -> Any:
    return NetworkManagementClient(arm.credential(), arm.subscription, **arm.options())


def ids_of(network: Any) -> tuple[str, str]:
    """The names of the route table and of the NAT gateway of the subnet; empty for none."""
    subnet = network.subnets.get(GROUP, "vnet", "nodes")
    found = [item.id.rpartition("/")[2] if item else "" for item in (subnet.route_table, subnet.nat_gateway)]
    return found[0], found[1]


def test_a_subnet_is_adopted_gets_its_gateway_and_keeps_its_route_table(engine: Engine, network: Any) -> None:
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)
    adopted = ids_of(network)
    engine.configure(STACK, {"trial:step": "attach"})
    planned = engine.must("preview", "--stack", STACK, "--diff").output
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)

    assert adopted == ("kubenet", "")
    assert "~ azure-native:network:Subnet: (update)" in planned
    assert ids_of(network) == ("kubenet", "egress")
    engine.must("preview", "--stack", STACK, "--expect-no-changes")
    address = engine.must("stack", "output", "address", "--stack", STACK).output.strip()
    assert address == network.public_ip_addresses.get(GROUP, "egress").ip_address


def test_a_naive_edit_is_planned_as_an_update_and_drops_the_route_table(engine: Engine, network: Any) -> None:
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)
    engine.configure(STACK, {"trial:step": "naive"})

    planned = engine.must("preview", "--stack", STACK, "--diff").output
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)

    assert "~ azure-native:network:Subnet: (update)" in planned
    assert "- routeTable" in planned, "one line among others is all the warning that there is"
    assert ids_of(network) == ("", "egress")


def test_a_subnet_that_is_there_is_not_made_anew(engine: Engine, network: Any) -> None:
    engine.configure(STACK, {"trial:step": "new"})

    refused = engine.run("up", "--yes", "--skip-preview", "--stack", STACK)

    assert refused.code != 0
    assert "cannot create already existing resource '/subscriptions/" in refused.output
    assert ids_of(network) == ("kubenet", "")


def test_a_refresh_sees_what_others_changed(engine: Engine, network: Any, arm: Endpoint) -> None:
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)
    arm.add_resources(
        [
            {
                "id": network.nat_gateways.get(GROUP, "egress").id,
                "location": "eastus",
                "sku": {"name": "Standard"},
                "zones": ["1"],
                "properties": {"idleTimeoutInMinutes": 30},
            }
        ]
    )

    drift = engine.must("refresh", "--yes", "--stack", STACK, "--diff").output
    planned = engine.must("preview", "--stack", STACK, "--diff").output

    assert "+ idleTimeoutInMinutes: 30" in drift
    assert "- publicIpAddresses" in drift
    assert "+ publicIpAddresses" in planned, "what the program says is planned again"


def test_what_azure_does_in_place_is_planned_as_a_new_cluster_and_protection_stops_it(engine: Engine) -> None:
    engine.configure(STACK, {"trial:step": "adopt", "trial:outbound": "loadBalancer"})
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)
    engine.configure(STACK, {"trial:step": "adopt", "trial:outbound": "managedNATGateway"})

    refused = engine.run("preview", "--stack", STACK)

    assert refused.code != 0
    assert "overlay" in refused.output
    assert "protect" in refused.output
