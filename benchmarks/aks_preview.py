"""Previews of the AKS stacks with policies, beside bare programs that declare the same resources.

Measured and shown as `benchmarks/preview.py` does for the emergency stack; the target is the same.
"""

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from preview import (  # type: ignore[import-not-found] # beside this script, where mypy does not look
    Runs,
    adopt_orphans,
    measure,
    show,
    smallest_pack,
)

from headroom.rehearsal.azure_world import AzureWorld, start_azure_world
from headroom.rehearsal.engine import CHECKOUT, Engine
from headroom.rehearsal.tools import find_tools

NOBODY = "00000000-0000-0000-0000-000000000000"
VNET = "/subscriptions/{}/resourceGroups/rg-prod-eus2/providers/Microsoft.Network/virtualNetworks/vnet-spoke"
DOOR = "/subscriptions/{}/resourceGroups/rg-prod-eus2/providers/Microsoft.Cdn/profiles/fd-checkout-prod"

EGRESS = """\
import pulumi
from pulumi_azure_native import monitor, network

group, place = "rg-bare", "eastus2"
kept = pulumi.ResourceOptions(protect=True, retain_on_delete=True)
address = network.PublicIPAddress(
    "address",
    resource_group_name=group,
    public_ip_address_name="nat-1",
    location=place,
    sku=network.PublicIPAddressSkuArgs(name="Standard"),
    public_ip_allocation_method="Static",
    zones=["1"],
    opts=kept,
)
nat = network.NatGateway(
    "nat",
    resource_group_name=group,
    nat_gateway_name="nat",
    location=place,
    sku=network.NatGatewaySkuArgs(name="Standard"),
    zones=["1"],
    public_ip_addresses=[network.SubResourceArgs(id=address.id)],
    opts=pulumi.ResourceOptions(protect=True),
)
for name, metric in (("snat", "SNATConnectionCount"), ("datapath", "DatapathAvailability")):
    monitor.MetricAlert(
        name,
        resource_group_name=group,
        rule_name=name,
        location="global",
        severity=1,
        enabled=True,
        scopes=[nat.id],
        evaluation_frequency="PT1M",
        window_size="PT5M",
        criteria=monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
            odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
            all_of=[
                monitor.MetricCriteriaArgs(
                    criterion_type="StaticThresholdCriterion",
                    name=name,
                    metric_name=metric,
                    time_aggregation="Total",
                    operator="GreaterThan",
                    threshold=0,
                )
            ],
        ),
    )
"""

TRAFFIC = """\
import pulumi
from pulumi_azure_native import cdn

names = {"resource_group_name": "rg-bare", "profile_name": "fd-checkout-prod", "origin_group_name": "checkout"}
group = cdn.AFDOriginGroup(
    "group",
    **names,
    session_affinity_state="Disabled",
    load_balancing_settings=cdn.LoadBalancingSettingsParametersArgs(additional_latency_in_milliseconds=1000),
    health_probe_settings=cdn.HealthProbeParametersArgs(probe_path="/healthz"),
    opts=pulumi.ResourceOptions(protect=True),
)
for name, weight in (("aks-kubenet", 9), ("aks-overlay", 1)):
    cdn.AFDOrigin(
        name,
        **names,
        origin_name=name,
        host_name=f"{name}.example.com",
        weight=weight,
        priority=1,
        enabled_state="Enabled",
        opts=pulumi.ResourceOptions(protect=True, depends_on=[group]),
    )
"""

OVERLAY = """\
import pulumi
from pulumi_azure_native import authorization, containerservice, managedidentity, network

SUBSCRIPTION = "{subscription}"
group, place = "rg-bare", "eastus2"
protected = pulumi.ResourceOptions(protect=True)
gateway = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-bare/providers/Microsoft.Network/natGateways/nat"
subnet = network.Subnet(
    "subnet",
    resource_group_name=group,
    virtual_network_name="vnet-spoke",
    subnet_name="nodes",
    address_prefix="10.20.8.0/22",
    nat_gateway=network.SubResourceArgs(id=gateway),
    opts=protected,
)
identity = managedidentity.UserAssignedIdentity(
    "identity", resource_group_name=group, resource_name_="id-bare", location=place
)
role = authorization.RoleAssignment(
    "role",
    role_assignment_name="5f0c2d1e-8a43-4c7b-9d52-0b6f7a1e3c94",
    scope=subnet.id.apply(lambda text: text.removeprefix("/")),
    principal_id=identity.principal_id,
    principal_type="ServicePrincipal",
    role_definition_id=f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization"
    "/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7",
)
pool = {
    "vm_size": "Standard_D4ds_v5",
    "count": 3,
    "enable_auto_scaling": True,
    "min_count": 3,
    "max_count": 6,
    "max_pods": 110,
    "os_type": "Linux",
    "type": "VirtualMachineScaleSets",
    "vnet_subnet_id": subnet.id,
}
cluster = containerservice.ManagedCluster(
    "cluster",
    resource_group_name=group,
    resource_name_="aks-bare",
    location=place,
    kubernetes_version="1.33",
    dns_prefix="aks-bare",
    enable_rbac=True,
    identity=containerservice.ManagedClusterIdentityArgs(
        type="UserAssigned", user_assigned_identities=[identity.id]
    ),
    network_profile=containerservice.ContainerServiceNetworkProfileArgs(
        network_plugin="azure",
        network_plugin_mode="overlay",
        network_policy="cilium",
        network_dataplane="cilium",
        pod_cidr="100.64.0.0/16",
        service_cidr="10.2.0.0/16",
        dns_service_ip="10.2.0.10",
        outbound_type="userAssignedNATGateway",
        load_balancer_sku="standard",
    ),
    agent_pool_profiles=[
        containerservice.ManagedClusterAgentPoolProfileArgs(name="system", mode="System", **pool)
    ],
    opts=pulumi.ResourceOptions(protect=True, depends_on=[role], ignore_changes=["agentPoolProfiles"]),
)
containerservice.AgentPool(
    "apps",
    resource_group_name=group,
    resource_name_="aks-bare",
    agent_pool_name="apps",
    mode="User",
    **pool,
    opts=pulumi.ResourceOptions(protect=True, depends_on=[cluster], ignore_changes=["count"]),
)
"""

PROGRAMS = {"aks-egress": EGRESS, "aks-overlay": OVERLAY, "aks-traffic": TRAFFIC}


def bare_engine(world: AzureWorld, folder: Path, name: str, text: str) -> Engine:
    """A project with a bare program."""
    program = folder / "program"
    program.mkdir(parents=True)
    description = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))
    description.pop("config")
    (program / "Pulumi.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    (program / "__main__.py").write_text(text, encoding="utf-8")
    engine = Engine(folder, world.engine.environment, program=program)
    engine.init(name, {"azure-native:location": "eastus2"})
    return engine


def held(engine: Engine, stack: str) -> Counter[str]:
    """How many resources of each type a stack has; components are ours alone."""
    state = json.loads(engine.must("stack", "export", "--stack", stack).output)["deployment"]
    types = (each["type"] for each in state["resources"] if each["custom"])
    return Counter(type_ for type_ in types if not type_.startswith("pulumi:providers:"))


def config_of(name: str, subscription: str) -> dict[str, Any]:
    """The configuration of an example stack file, in the simulated subscription."""
    text = (CHECKOUT / "stacks" / f"Pulumi.example-{name}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text.replace(NOBODY, subscription))["config"]
    return config


def main() -> None:
    """Prints a table for each stack.

    Raises:
        RuntimeError: Two programs do not declare the same, so that nothing can be compared.
    """
    adopt_orphans()
    folder = Path(tempfile.mkdtemp(prefix="headroom-benchmark-"))
    policies = ("--policy-pack", str(CHECKOUT / "policies"))
    smallest = ("--policy-pack", str(smallest_pack(folder / "smallest")))
    try:
        with start_azure_world(folder / "world", find_tools()) as world:
            vnet = VNET.format(world.arm.subscription)
            space = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
            door = DOOR.format(world.arm.subscription)
            group, origin = f"{door}/originGroups/checkout", {"hostName": "kubenet.checkout.example.com"}
            profile = {"location": "Global", "sku": {"name": "Standard_AzureFrontDoor"}}
            probe = {"healthProbeSettings": {"probePath": "/healthz"}}
            world.arm.add_resources(
                [
                    {"id": vnet, "location": "eastus2", "properties": space},
                    {"id": vnet.replace("rg-prod-eus2", "rg-bare"), "location": "eastus2", "properties": space},
                    {"id": door, **profile},
                    {"id": door.replace("rg-prod-eus2", "rg-bare"), **profile},
                    {"id": group, "properties": probe},
                    {"id": f"{group}/origins/aks-kubenet", "properties": origin},
                ]
            )
            ours = world.engine
            for name, text in PROGRAMS.items():
                ours.init(name, config_of(name, world.arm.subscription))
                written = text.replace("{subscription}", world.arm.subscription)
                bare = bare_engine(world, folder / name, f"bare-{name}", written)
                # What is there already is taken over in the first run, and not in the ones after it.
                for engine, stack in ((ours, name), (bare, f"bare-{name}")):
                    engine.must("up", "--yes", "--skip-preview", "--stack", stack)
                mine, theirs = held(ours, name), held(bare, f"bare-{name}")
                if mine != theirs:
                    raise RuntimeError(f"{name} declares {dict(mine)}, the bare program {dict(theirs)}")
                told = CHECKOUT / "stacks" / f"policy.example-{name}.json"
                ruled = (*policies, *(("--policy-pack-config", str(told)) if told.exists() else ()))
                preview, plain = ("preview", "--stack", name), ("preview", "--stack", f"bare-{name}")
                judged = (*plain, *smallest)
                table = {
                    "bare": Runs(lambda engine=bare, arguments=plain: engine.must(*arguments)),
                    "bare, smallest pack": Runs(lambda engine=bare, arguments=judged: engine.must(*arguments)),
                    "headroom": Runs(lambda arguments=preview: ours.must(*arguments)),
                    "headroom, policies": Runs(lambda arguments=(*preview, *ruled): ours.must(*arguments)),
                }
                measure(table)
                show(f"{name}, {mine.total()} resources", table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
