"""The stacks of a move off kubenet, on the real engine over the simulated Azure, from addresses to the end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.cdn import CdnManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.network import NetworkManagementClient

from headroom.planning.audit_record import AuditRecord, file_name, write_record
from headroom.planning.gate_history import file_name as gate_file
from headroom.planning.gate_history import to_text
from headroom.planning.traffic import GateRecord, Outcome, read_traffic
from headroom.rehearsal.azure_world import AzureWorld, start_azure_world
from headroom.rehearsal.tools import find_tools
from tests.engine.conftest import probed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.engine

CHECKOUT = Path(__file__).parents[2]
GROUP, PLACE = "rg-prod-eus2", "eastus2"
OLD, NEW = "aks-prod-eus2", "aks-prod-eus2-overlay"
TRAFFIC = "prod-eus2-traffic"
NODE_GROUP = f"MC_{GROUP}_{OLD}_{PLACE}"
POLICIES = ("--policy-pack", str(CHECKOUT / "policies"))


def example(name: str, subscription: str, **changes: Any) -> dict[str, Any]:
    """The configuration of an example stack file, in the simulated subscription."""
    text = (CHECKOUT / "stacks" / f"Pulumi.example-{name}.yaml").read_text(encoding="utf-8")
    text = text.replace("00000000-0000-0000-0000-000000000000", subscription)
    config: dict[str, Any] = yaml.safe_load(text)["config"]
    return {**config, **{f"headroom:{key}": value for key, value in changes.items()}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureWorld]:
    """A VNet with the subnet and the route table of a kubenet cluster, and a Front Door before it."""
    with start_azure_world(tmp_path_factory.mktemp("aks") / "world", find_tools()) as running:
        arm = running.arm
        network = f"/subscriptions/{arm.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network"
        # Where AKS makes its own: a table in another group is somebody's, and stays on the subnet.
        table = f"{network.replace(GROUP, NODE_GROUP)}/routeTables/aks-agentpool"
        group = f"{network}/networkSecurityGroups/nsg"
        vnet = f"{network}/virtualNetworks/vnet-spoke"
        arm.add_resources(
            [
                {"id": table, "location": PLACE, "properties": {}},
                {"id": group, "location": PLACE, "properties": {}},
                {"id": vnet, "location": PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}},
                {
                    "id": f"{vnet}/subnets/snet-aks-nodes",
                    "properties": {
                        "addressPrefix": "10.20.4.0/22",
                        "routeTable": {"id": table},
                        "networkSecurityGroup": {"id": group},
                        "serviceEndpoints": [{"service": "Microsoft.Sql", "locations": [PLACE]}],
                    },
                },
            ]
        )
        yield running


@pytest.fixture(scope="module")
def network(world: AzureWorld) -> Any:
    return NetworkManagementClient(world.arm.credential(), world.arm.subscription, **world.arm.options())


@pytest.fixture(scope="module")
def clusters(world: AzureWorld) -> Any:
    return ContainerServiceClient(world.arm.credential(), world.arm.subscription, **world.arm.options())


@pytest.fixture(scope="module")
def doors(world: AzureWorld) -> Any:
    return CdnManagementClient(world.arm.credential(), world.arm.subscription, **world.arm.options())


def gateway(network: Any) -> str:
    """The id of a gateway with an address: the one of the stack of addresses, or one by hand where that did not run."""
    made = next(iter(network.nat_gateways.list(GROUP)), None)
    if made is None:
        standard = {"location": PLACE, "sku": {"name": "Standard"}}
        static = {**standard, "properties": {"publicIPAllocationMethod": "Static"}}
        address = network.public_ip_addresses.begin_create_or_update(GROUP, "pip-by-hand", static).result()
        body = {**standard, "properties": {"publicIpAddresses": [{"id": address.id}]}}
        made = network.nat_gateways.begin_create_or_update(GROUP, "nat-by-hand", body).result()
    return str(made.id)


def door(world: AzureWorld, origins: Mapping[str, tuple[int, str]]) -> str:
    """A Front Door with these origins, each with weight and state; the id of their group."""
    profile = (
        f"/subscriptions/{world.arm.subscription}/resourceGroups/{GROUP}"
        "/providers/Microsoft.Cdn/profiles/fd-checkout-prod"
    )
    group = f"{profile}/originGroups/checkout"
    settings = {"loadBalancingSettings": {}, "healthProbeSettings": {"probePath": "/healthz"}}
    world.arm.add_resources(
        [
            {"id": profile, "location": "Global", "sku": {"name": "Standard_AzureFrontDoor"}},
            {"id": group, "properties": settings},
            *(
                {
                    "id": f"{group}/origins/{name}",
                    "properties": {
                        "hostName": f"{name.removeprefix('aks-')}.checkout.example.com",
                        "originHostHeader": "checkout.example.com",
                        "weight": weight,
                        "priority": 1,
                        "enabledState": state,
                    },
                }
                for name, (weight, state) in origins.items()
            ),
        ]
    )
    return group


def watched(config: Mapping[str, Any], step: int) -> GateRecord:
    """The gate's record of a step that passed long ago."""
    now = datetime.now(UTC) - timedelta(days=20)
    keys = {key.removeprefix("headroom:"): value for key, value in config.items() if key.startswith("headroom:")}
    return GateRecord(
        stack=TRAFFIC,
        shift=read_traffic(keys).identity,
        step=step,
        outcome=Outcome.PASSED,
        started=now,
        ended=now,
    )


def shifted(world: AzureWorld) -> None:
    """Sees to it that all requests go to the new cluster, as they do where the stack of traffic came before."""
    if (world.engine.project / "stacks" / gate_file(TRAFFIC)).exists():
        return
    door(world, {"aks-kubenet": (9, "Disabled"), "aks-overlay": (9, "Enabled")})
    config = example("aks-traffic", world.arm.subscription, step=100)
    world.engine.init(TRAFFIC, config)
    beside(world, gate_file(TRAFFIC), to_text([watched(config, 100)]))


def up(world: AzureWorld, stack: str, *options: str) -> str:
    """Applies a stack; what the engine printed."""
    return world.engine.must("up", "--yes", "--skip-preview", "--stack", stack, *options).output


def beside(world: AzureWorld, name: str, text: str) -> None:
    """Writes a file beside the stack files."""
    (world.engine.project / "stacks" / name).write_text(text, encoding="utf-8")


def imported(world: AzureWorld, stack: str, component: tuple[str, str], resources: list[dict[str, str]]) -> None:
    """Imports what exists below a component."""
    type_, name = component
    made = [{"type": type_, "name": name, "component": True}]
    file = world.folder / f"import.{stack}.json"
    file.write_text(json.dumps({"resources": [*made, *({**each, "parent": name} for each in resources)]}))
    world.engine.must(
        "import", "--yes", "--file", str(file), "--generate-code=false", "--stack", stack, "--skip-preview"
    )


def cluster_elsewhere(world: AzureWorld, clusters: Any, network: Any, name: str) -> str:
    """Makes a cluster in a VNet of AKS's own; the address with which it goes out."""
    pool = {"name": "system", "mode": "System", "count": 3, "vmSize": "Standard_D4ds_v5"}
    identifier = f"/subscriptions/{world.arm.subscription}/resourceGroups/{GROUP}"
    identifier += f"/providers/Microsoft.ContainerService/managedClusters/{name}"
    properties = {"dnsPrefix": name, "agentPoolProfiles": [pool]}
    world.arm.add_resources([{"id": identifier, "location": PLACE, "properties": properties}])
    profile = clusters.managed_clusters.get(GROUP, name).network_profile.load_balancer_profile
    words = profile.effective_outbound_i_ps[0].id.split("/")
    return str(network.public_ip_addresses.get(words[4], words[-1]).ip_address)


def test_addresses_come_first_and_the_gateway_takes_nothing_from_the_subnet(
    world: AzureWorld, network: Any, clusters: Any
) -> None:
    stack = "prod-eus2-egress"
    config = example("aks-egress", world.arm.subscription)
    # The overlay's subnet is not there yet.
    del config["headroom:gateways"]["main"]["subnets"]["overlay"]
    old = cluster_elsewhere(world, clusters, network, "aks-east")
    config["headroom:clusters"] = {"aks-east": {"outboundType": "loadBalancer"}}
    world.engine.init(stack, config)
    up(world, stack)
    before = network.subnets.get(GROUP, "vnet-spoke", "snet-aks-nodes").as_dict()
    (address,) = json.loads(world.engine.must("stack", "output", "addresses", "--json", "--stack", stack).output)

    refused = world.engine.run("preview", "--stack", stack, "--config", "headroom:attach=true")
    assert refused.code != 0
    assert "comes before the audit" in refused.output

    record = AuditRecord(audited=datetime.now(UTC), old_addresses=(old,), new_addresses=(address,))
    beside(world, file_name(stack), write_record(record))
    world.engine.configure(stack, {**config, "headroom:attach": True})
    subnet_id = config["headroom:gateways"]["main"]["subnets"]["nodes"]
    resources = [{"type": "azure-native:network:Subnet", "name": "egress-main-nodes", "id": subnet_id}]
    urn = next(
        each["urn"]
        for each in json.loads(world.engine.must("stack", "export", "--stack", stack).output)["deployment"]["resources"]
        if each["type"] == "headroom:index:StableEgress"
    )
    file = world.folder / "import.json"
    file.write_text(json.dumps({"nameTable": {"egress": urn}, "resources": [{**resources[0], "parent": "egress"}]}))
    world.engine.must("import", "--yes", "--file", str(file), "--generate-code=false", "--stack", stack)
    planned = world.engine.must("preview", "--stack", stack, "--diff").output
    assert "+ natGateway" in planned
    assert "- routeTable" not in planned
    up(world, stack)

    after = network.subnets.get(GROUP, "vnet-spoke", "snet-aks-nodes").as_dict()
    assert after["properties"]["natGateway"]["id"].endswith("/nat-aks-egress-eus2")
    for name in ("routeTable", "networkSecurityGroup", "serviceEndpoints", "addressPrefix"):
        assert after["properties"][name] == before["properties"][name]
    world.engine.must("preview", "--stack", stack, "--expect-no-changes")


def test_the_overlay_cluster_stands_beside_it_and_stays_as_it_was_made(
    world: AzureWorld, clusters: Any, network: Any
) -> None:
    stack = "prod-eus2-overlay"
    config = example("aks-overlay", world.arm.subscription)
    config["headroom:nodeSubnet"]["natGatewayId"] = gateway(network)
    world.engine.init(stack, config)
    up(world, stack)
    made = clusters.managed_clusters.get(GROUP, "aks-prod-eus2-overlay")
    assert (made.network_profile.network_plugin_mode, made.network_profile.pod_cidr) == ("overlay", "100.64.0.0/16")
    assert {pool.name for pool in clusters.agent_pools.list(GROUP, "aks-prod-eus2-overlay")} == {"system", "apps"}
    world.engine.must("refresh", "--yes", "--stack", stack)
    world.engine.must("preview", "--stack", stack, "--expect-no-changes")


def test_traffic_moves_step_by_step_and_back_by_one_command(world: AzureWorld, doors: Any) -> None:
    stack = TRAFFIC
    config = example("aks-traffic", world.arm.subscription)
    group = door(world, {"aks-kubenet": (50, "Enabled")})
    world.engine.init(stack, config)
    resources = [
        {"type": "azure-native:cdn:AFDOriginGroup", "name": "shift-group", "id": group},
        {"type": "azure-native:cdn:AFDOrigin", "name": "shift-old", "id": f"{group}/origins/aks-kubenet"},
    ]
    imported(world, stack, ("headroom:index:TrafficShift", "shift"), resources)
    up(world, stack)

    def weights() -> dict[str, tuple[int, str]]:
        found = doors.afd_origins.list_by_origin_group(GROUP, "fd-checkout-prod", "checkout")
        return {each.name: (each.weight, each.enabled_state.value) for each in found}

    assert weights() == {"aks-kubenet": (9, "Enabled"), "aks-overlay": (1, "Disabled")}
    early = world.engine.run("preview", "--stack", stack, "--config", "headroom:step=25")
    assert "comes too early: the gate has seen no step yet" in early.output
    assert f"comes before the probes of {NEW}: there is no stacks/probes.{stack}.json" in early.output
    probed(world.engine.project, stack, NEW)

    records: list[GateRecord] = []

    def passed(step: int) -> None:
        records.append(watched(config, step))
        beside(world, gate_file(stack), to_text(records))

    for step, expected in ((10, (9, 1)), (25, (9, 3)), (50, (9, 9))):
        world.arm.forget_calls()
        world.engine.must("up", "--yes", "--skip-preview", "--stack", stack, "--config", f"headroom:step={step}")
        assert tuple(weight for weight, _ in weights().values()) == expected
        puts = {name: count for name, count in world.arm.calls().items() if name.startswith("PUT ")}
        assert sum(puts.values()) == 1, puts
        passed(step)
    world.engine.must("up", "--yes", "--skip-preview", "--stack", stack, "--config", "headroom:step=25")
    assert weights() == {"aks-kubenet": (9, "Enabled"), "aks-overlay": (3, "Enabled")}
    for step in (50, 100):
        world.engine.must("up", "--yes", "--skip-preview", "--stack", stack, "--config", f"headroom:step={step}")
        passed(step)
    assert weights() == {"aks-kubenet": (9, "Disabled"), "aks-overlay": (9, "Enabled")}


def test_the_old_cluster_ends_in_the_order_that_works(world: AzureWorld, clusters: Any, network: Any) -> None:
    shifted(world)
    stack = "prod-eus2-retire"
    config = example("aks-retire", world.arm.subscription)
    subnet = config["headroom:oldCluster"]["subnet"]
    nodes = network.subnets.get(GROUP, "vnet-spoke", "snet-aks-nodes").as_dict()
    nodes["properties"]["natGateway"] = {"id": gateway(network)}
    network.subnets.begin_create_or_update(GROUP, "vnet-spoke", "snet-aks-nodes", nodes).result()
    cluster = (
        f"/subscriptions/{world.arm.subscription}/resourceGroups/{GROUP}"
        f"/providers/Microsoft.ContainerService/managedClusters/{OLD}"
    )
    pool = {"count": 3, "vmSize": "Standard_D4ds_v5", "osType": "Linux", "vnetSubnetID": subnet, "maxPods": 110}
    body: Any = {
        "location": PLACE,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": OLD,
            "agentPoolProfiles": [
                {"name": "default", "mode": "System", **pool},
                {"name": "apps", "mode": "User", **pool},
            ],
            "networkProfile": {
                "networkPlugin": "kubenet",
                "podCidr": "10.244.0.0/16",
                "serviceCidr": "10.3.0.0/16",
                "dnsServiceIP": "10.3.0.10",
                "outboundType": "userAssignedNATGateway",
                "loadBalancerSku": "standard",
            },
        },
    }
    world.arm.change(need_roles=False)
    clusters.managed_clusters.begin_create_or_update(GROUP, OLD, body).result()
    world.engine.init(stack, config)
    resources = [
        {"type": "azure-native:containerservice:ManagedCluster", "name": "retired-cluster", "id": cluster},
        {"type": "azure-native:containerservice:AgentPool", "name": "retired-apps", "id": f"{cluster}/agentPools/apps"},
        {"type": "azure-native:network:Subnet", "name": "retired-subnet", "id": subnet},
    ]
    imported(world, stack, ("headroom:index:RetiredCluster", "retired"), resources)
    # The unprotected import becomes a protected one, and nothing in Azure changes.
    world.arm.forget_calls()
    up(world, stack, *POLICIES)
    assert not [name for name in world.arm.calls() if not name.startswith(("GET ", "LIST ", "HEAD "))]

    def phase(name: str) -> None:
        change = ("--stack", stack, "--config", f"headroom:phase={name}", *POLICIES)
        world.engine.must("preview", *change)
        world.engine.must("up", "--yes", "--skip-preview", *change)

    early = world.engine.run("preview", "--stack", stack, "--config", "headroom:phase=detach")
    assert "comes too early: pool apps still has nodes" in early.output
    planned = world.engine.must("preview", "--stack", stack, "--diff", "--config", "headroom:phase=zero").output
    assert "~ count: 3 => 0" in planned
    assert "1 to update" in planned
    phase("zero")
    assert clusters.agent_pools.get(GROUP, OLD, "apps").count == 0
    phase("detach")
    left = network.subnets.get(GROUP, "vnet-spoke", "snet-aks-nodes")
    assert left.route_table is None
    assert left.nat_gateway is not None
    assert left.network_security_group is not None
    phase("delete")
    with pytest.raises(ResourceNotFoundError):
        clusters.managed_clusters.get(GROUP, OLD)
    assert network.subnets.get(GROUP, "vnet-spoke", "snet-aks-nodes").nat_gateway is not None
