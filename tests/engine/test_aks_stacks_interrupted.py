"""Every step of a move off kubenet is cut off, before and after Azure has done it, and then simply repeated."""

from __future__ import annotations

import itertools
import json
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.planning.audit_record import AuditRecord, file_name, write_record
from headroom.planning.gate_history import file_name as gate_file
from headroom.planning.gate_history import to_text
from headroom.planning.traffic import GateRecord, Outcome, Traffic, read_traffic
from headroom.rehearsal.aks_estate import OLD_CLUSTER, Estate, make_cluster, pool
from headroom.rehearsal.azure_world import AzureWorld, start_azure_world
from headroom.rehearsal.providers.azure_native import start_provider
from headroom.rehearsal.tools import find_tools
from tests.engine.conftest import probed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headroom.rehearsal.engine import EngineRun

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CHECKOUT = Path(__file__).parents[2]
PLACE = "eastus2"
ADDRESSES = "Microsoft.Network/publicIPAddresses"
GATEWAYS = "Microsoft.Network/natGateways"
SUBNETS = "Microsoft.Network/virtualNetworks/subnets"
ALARMS = "Microsoft.Insights/metricAlerts"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
ROLES = "Microsoft.Authorization/roleAssignments"
CLUSTERS = "Microsoft.ContainerService/managedClusters"
GROUPS = "Microsoft.Cdn/profiles/originGroups"
ORIGINS = "Microsoft.Cdn/profiles/originGroups/origins"
POOLS = "Microsoft.ContainerService/managedClusters/agentPools"
MOMENTS = ("before", "after")

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureWorld]:
    """One simulated Azure for all; every test has a resource group of its own."""
    with start_azure_world(tmp_path_factory.mktemp("aks") / "world", find_tools()) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Site:
    """A resource group with a VNet and the nodes' subnet of a kubenet cluster, and the stacks in it."""

    world: AzureWorld
    estate: Estate

    @property
    def group(self) -> str:
        """The resource group."""
        return self.estate.group

    def stack(self, name: str, **changes: Any) -> str:
        """A stack with the example's configuration; gives its name."""
        stack = f"{self.group}-{name}"
        self.world.engine.init(stack, self.config(name, **changes))
        return stack

    def config(self, name: str, **changes: Any) -> dict[str, Any]:
        """The example's configuration, in this group."""
        text = (CHECKOUT / "stacks" / f"Pulumi.example-aks-{name}.yaml").read_text(encoding="utf-8")
        config: dict[str, Any] = yaml.safe_load(text.replace("rg-prod-eus2", self.group))["config"]
        return {**config, **{f"headroom:{key}": value for key, value in changes.items()}}

    def run(self, stack: str, *words: str) -> EngineRun:
        """Runs `pulumi` for a stack, whatever comes of it."""
        return self.world.engine.run(*words, "--stack", stack)

    def must(self, stack: str, *words: str) -> str:
        """Runs `pulumi` for a stack; what it printed."""
        return self.world.engine.must(*words, "--stack", stack).output

    def up(self, stack: str, *words: str) -> str:
        """Applies a stack."""
        return self.must(stack, "up", "--yes", "--skip-preview", *words)

    def cut_off(
        self, stack: str, operation: str, moment: str, *words: str, within: str | None = None, skip: int = 0
    ) -> None:
        """Kills `pulumi up` when Azure is asked for an operation, as a machine that dies; then takes its lock off.

        Args:
            stack: The stack.
            operation: The operation.
            moment: Before or after it takes effect.
            words: Further words for `pulumi up`.
            within: What its path contains; this group unless told otherwise.
            skip: How many of them pass first.
        """
        engine, arm = self.world.engine, self.world.arm
        up = ("up", "--yes", "--skip-preview", "--parallel", "1", "--stack", stack, *words)
        process = engine.start(*up)
        arm.order(
            operation,
            "kill",
            moment=moment,
            pid=process.pid,
            within=self.group if within is None else within,
            skip=skip,
        )
        output, _ = process.communicate(timeout=180)
        assert process.returncode == -signal.SIGKILL, f"{operation} ({moment}) did not come:\n{output}"
        arm.clear_faults()
        self.must(stack, "cancel", "--yes")

    def settled(self, stack: str, *words: str) -> None:
        """Nothing is left to do, whatever a refresh sees, and nothing is unknown."""
        self.must(stack, "refresh", "--yes", "--skip-preview", "--clear-pending-creates", *words)
        self.must(stack, "preview", "--expect-no-changes", *words)
        state = json.loads(self.must(stack, "stack", "export"))["deployment"]
        assert not state.get("pending_operations")

    def here(self, type_: str) -> list[str]:
        """Names of the group's resources of a type."""
        words = f"/{type_.partition('/')[2].rpartition('/')[2]}/"
        found = (text for text in self.world.arm.resources() if f"/{self.group}/" in text)
        return [text.rpartition("/")[2] for text in found if words in text and "/" not in text.rpartition(words)[2]]


@pytest.fixture
def site(world: AzureWorld) -> Site:
    estate = Estate(world.arm, group=f"rg-{next(_numbers)}")
    table = estate.add("Microsoft.Network/routeTables", "aks-agentpool", location=PLACE, properties={})
    rules = estate.add("Microsoft.Network/networkSecurityGroups", "nsg", location=PLACE, properties={})
    space = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
    estate.add("Microsoft.Network/virtualNetworks", "vnet-spoke", location=PLACE, properties=space)
    properties = {
        "addressPrefix": "10.20.4.0/22",
        "routeTable": {"id": table},
        "networkSecurityGroup": {"id": rules},
        "serviceEndpoints": [{"service": "Microsoft.Sql", "locations": [PLACE]}],
        "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}],
    }
    estate.add(SUBNETS, "vnet-spoke", "snet-aks-nodes", properties=properties)
    return Site(world, estate)


def kept(site: Site) -> Mapping[str, Any]:
    """What the nodes' subnet has, but for its gateway and what Azure computes."""
    properties = site.estate.subnet()["properties"]
    return {key: value for key, value in properties.items() if key not in {"natGateway", "provisioningState"}}


def egress(site: Site, **changes: Any) -> str:
    """The stack of the addresses, for the nodes' subnet alone."""
    stack = site.stack("egress", **changes)
    config = site.config("egress", **changes)
    del config["headroom:gateways"]["main"]["subnets"]["overlay"]
    site.world.engine.configure(stack, config)
    return stack


def test_addresses_are_made_once_however_often_the_run_is_cut_off_and_the_subnet_loses_nothing(site: Site) -> None:
    make_cluster(site.estate, pool("default", 3, mode="System"))
    stack, before = egress(site), kept(site)
    for type_ in (ADDRESSES, GATEWAYS, ALARMS):
        for moment in MOMENTS:
            site.cut_off(stack, f"PUT {type_}", moment)
    address = site.estate.network.public_ip_addresses.get(site.group, "nat-aks-egress-eus2-1").ip_address
    site.up(stack)
    assert json.loads(site.must(stack, "stack", "output", "addresses", "--json")) == [address]
    assert [site.here(type_) for type_ in (ADDRESSES, GATEWAYS)] == [["nat-aks-egress-eus2-1"], ["nat-aks-egress-eus2"]]
    assert sorted(site.here(ALARMS)) == ["nat-aks-egress-eus2-datapath", "nat-aks-egress-eus2-snat"]
    site.settled(stack)

    old = site.estate.outbound_address(OLD_CLUSTER)
    record = AuditRecord(audited=datetime.now(UTC), old_addresses=(old,), new_addresses=(str(address),))
    (site.world.engine.project / "stacks" / file_name(stack)).write_text(write_record(record), encoding="utf-8")
    attach = ("--config", "headroom:attach=true")
    for moment in MOMENTS:
        site.cut_off(stack, f"PUT {SUBNETS}", moment, *attach)
        assert kept(site) == before
    site.up(stack, *attach)
    assert kept(site) == before
    assert site.estate.subnet()["properties"]["natGateway"]["id"].endswith("/nat-aks-egress-eus2")
    site.settled(stack, *attach)


def test_what_somebody_puts_on_the_subnet_while_a_run_attaches_is_not_taken_off(site: Site) -> None:
    make_cluster(site.estate, pool("default", 3, mode="System"))
    stack, arm = egress(site), site.world.arm
    site.up(stack)
    (address,) = json.loads(site.must(stack, "stack", "output", "addresses", "--json"))
    old = site.estate.outbound_address(OLD_CLUSTER)
    record = AuditRecord(audited=datetime.now(UTC), old_addresses=(old,), new_addresses=(str(address),))
    (site.world.engine.project / "stacks" / file_name(stack)).write_text(write_record(record), encoding="utf-8")
    attach = ("--config", "headroom:attach=true")
    rules = site.estate.add("Microsoft.Network/networkSecurityGroups", "nsg-new", location=PLACE, properties={})
    properties = {**kept(site), "networkSecurityGroup": {"id": rules}}

    # The stack has read the subnet, and asks once more, which takes its time.
    arm.forget_calls()
    arm.order(f"GET {SUBNETS}", "delay", moment="after", seconds=3.0, skip=1, within=site.group)
    process = site.world.engine.start("up", "--yes", "--skip-preview", "--stack", stack, *attach)
    while process.poll() is None and not arm.calls().get(f"GET {SUBNETS}"):
        time.sleep(0.05)
    site.estate.add(SUBNETS, "vnet-spoke", "snet-aks-nodes", properties=properties)
    output, _ = process.communicate(timeout=180)
    arm.clear_faults()

    assert process.returncode != 0
    assert "snet-aks-nodes has another networkSecurityGroup than when it was read" in output
    assert kept(site)["networkSecurityGroup"] == {"id": rules}
    assert "natGateway" not in site.estate.subnet()["properties"]
    site.up(stack, *attach)
    assert kept(site)["networkSecurityGroup"] == {"id": rules}
    assert site.estate.subnet()["properties"]["natGateway"]["id"].endswith("/nat-aks-egress-eus2")


def overlay(site: Site) -> str:
    """The stack of the new cluster; its gateway is there."""
    address = site.estate.add(
        ADDRESSES,
        "egress",
        location=PLACE,
        sku={"name": "Standard"},
        properties={"publicIPAllocationMethod": "Static"},
    )
    site.estate.add(
        GATEWAYS,
        "nat-aks-egress-eus2",
        location=PLACE,
        sku={"name": "Standard"},
        properties={"publicIpAddresses": [{"id": address}]},
    )
    return site.stack("overlay")


def new_cluster(site: Site) -> Any:
    """The overlay cluster as Azure shows it."""
    return site.estate.containers.managed_clusters.get(site.group, "aks-prod-eus2-overlay")


def test_the_overlay_cluster_is_made_once_however_often_the_run_is_cut_off(site: Site) -> None:
    stack = overlay(site)
    for type_ in (SUBNETS, ROLES, CLUSTERS, POOLS):
        for moment in MOMENTS:
            site.cut_off(stack, f"PUT {type_}", moment)
    made = new_cluster(site).resource_uid
    site.up(stack)
    assert new_cluster(site).resource_uid == made
    assert site.here(CLUSTERS) == ["aks-prod-eus2-overlay"]
    assert sorted(site.here(POOLS)) == ["apps", "system"]
    assert len(site.here(ROLES)) == 1
    assert sorted(site.here(SUBNETS)) == ["snet-aks-nodes", "snet-aks-overlay"]
    site.settled(stack)


def test_what_somebody_puts_on_the_new_subnet_is_seen_before_it_is_written_again(site: Site) -> None:
    stack = overlay(site)
    site.up(stack)
    config = site.config("overlay")
    rules = site.estate.add("Microsoft.Network/networkSecurityGroups", "nsg-new", location=PLACE, properties={})
    made = site.estate.network.subnets.get(site.group, "vnet-spoke", "snet-aks-overlay").as_dict()["properties"]
    by_hand = {key: made[key] for key in ("addressPrefix", "natGateway", "defaultOutboundAccess")}
    by_hand["networkSecurityGroup"] = {"id": rules}
    site.estate.add(SUBNETS, "vnet-spoke", "snet-aks-overlay", properties=by_hand)
    second = site.estate.add(GATEWAYS, "nat-second", location=PLACE, sku={"name": "Standard"}, properties={})
    config["headroom:nodeSubnet"]["natGatewayId"] = second
    site.world.engine.configure(stack, config)

    refused = site.run(stack, "up", "--yes", "--skip-preview")
    assert refused.code != 0
    assert "snet-aks-overlay has another networkSecurityGroup than when it was read" in refused.output
    site.up(stack, "--refresh")
    now = site.estate.network.subnets.get(site.group, "vnet-spoke", "snet-aks-overlay").as_dict()["properties"]
    assert now["networkSecurityGroup"]["id"] == rules
    assert now["natGateway"]["id"] == second


def test_a_cluster_that_aks_is_still_making_is_waited_for_and_not_made_twice(site: Site) -> None:
    stack, arm = overlay(site), site.world.arm
    for moment in MOMENTS:
        site.cut_off(stack, f"PUT {IDENTITIES}", moment)
    arm.change(cluster_seconds=600.0)
    try:
        # What is asked for again and again is the operation of the cluster; those of the network end at once.
        site.cut_off(stack, "GET operations", "before", within="", skip=6)
        arm.forget_calls()
        refused = site.run(stack, "up", "--yes", "--skip-preview")
        assert refused.code != 0
        assert "headroom:aksCluster.name: aks-prod-eus2-overlay is Creating" in refused.output
        assert "Repeat the command when this has returned: az resource wait --created --ids /subs" in refused.output
        assert not [operation for operation in arm.calls() if operation.startswith(("PUT", "DELETE"))]
        arm.advance(600)
    finally:
        arm.change(cluster_seconds=0.0)
    site.up(stack)
    assert new_cluster(site).provisioning_state == "Succeeded"
    assert [site.here(type_) for type_ in (CLUSTERS, IDENTITIES)] == [
        ["aks-prod-eus2-overlay"],
        ["id-aks-prod-eus2-overlay"],
    ]
    site.settled(stack)


def make_front_door(site: Site) -> None:
    """A Front Door with the old origin alone."""
    estate, profile = site.estate, "Microsoft.Cdn/profiles"
    estate.add(profile, "fd-checkout-prod", location="global", sku={"name": "Standard_AzureFrontDoor"}, properties={})
    probe = {"probePath": "/", "probeProtocol": "Https", "probeRequestType": "HEAD", "probeIntervalInSeconds": 30}
    group = estate.add(
        GROUPS, "fd-checkout-prod", "checkout", properties={"loadBalancingSettings": {}, "healthProbeSettings": probe}
    )
    origin = {"hostName": "kubenet.checkout.example.com", "originHostHeader": "checkout.example.com", "weight": 1000}
    estate.add(ORIGINS, "fd-checkout-prod", "checkout", "aks-kubenet", properties=origin)
    estate.add(f"{profile}/afdEndpoints", "fd-checkout-prod", "shop", location="global", properties={})
    route = {"originGroup": {"id": group}, "patternsToMatch": ["/*"]}
    estate.add(f"{profile}/afdEndpoints/routes", "fd-checkout-prod", "shop", "all", properties=route)


def shift_to_come(site: Site) -> str:
    """The stack of the shift, before its first run."""
    make_front_door(site)
    stack = site.stack("traffic", steps=[50, 100])
    probed(site.world.engine.project, stack, shift_of(site).new.cluster)
    return stack


def split(site: Site) -> dict[str, int]:
    """Weights of the origins that get traffic; never none of them."""
    found = site.estate.cdn.afd_origins.list_by_origin_group(site.group, "fd-checkout-prod", "checkout")
    enabled = {str(each.name): int(each.weight or 0) for each in found if str(each.enabled_state.value) == "Enabled"}
    assert enabled, "nobody gets any request"
    return enabled


def gated(site: Site, stack: str, *steps: int) -> None:
    """Leaves the gate's history in which these steps have passed, long ago."""
    shift = shift_of(site)
    at = datetime.now(UTC) - timedelta(days=20)
    records = [
        GateRecord(stack=stack, shift=shift.identity, step=step, outcome=Outcome.PASSED, started=at, ended=at)
        for step in steps
    ]
    (site.world.engine.project / "stacks" / gate_file(stack)).write_text(to_text(records), encoding="utf-8")


def shift_of(site: Site) -> Traffic:
    """The shift that the example describes."""
    config = site.config("traffic")
    return read_traffic({key.removeprefix("headroom:"): value for key, value in config.items() if "headroom:" in key})


def step_to(number: int) -> tuple[str, str]:
    return "--config", f"headroom:step={number}"


def test_traffic_is_never_without_an_origin_and_each_step_ends_as_written(site: Site) -> None:
    stack = shift_to_come(site)
    for operation, within in ((GROUPS, ""), (ORIGINS, "aks-kubenet"), (ORIGINS, "aks-overlay")):
        for moment in MOMENTS:
            site.cut_off(stack, f"PUT {operation}", moment, within=within)
            assert split(site).keys() == {"aks-kubenet"}
    site.up(stack)
    assert split(site).keys() == {"aks-kubenet"}
    site.settled(stack)

    both = {"aks-kubenet", "aks-overlay"}
    for moment, names in zip(MOMENTS, ({"aks-kubenet"}, both), strict=True):
        site.cut_off(stack, f"PUT {ORIGINS}", moment, *step_to(50))
        assert split(site).keys() == names
    site.up(stack, *step_to(50))
    assert len(set(split(site).values())) == 1
    site.settled(stack, *step_to(50))

    gated(site, stack, 50)
    for moment, names in zip(MOMENTS, (both, {"aks-overlay"}), strict=True):
        site.cut_off(stack, f"PUT {ORIGINS}", moment, *step_to(100))
        assert split(site).keys() == names
    site.up(stack, *step_to(100))
    assert split(site).keys() == {"aks-overlay"}


def test_the_way_back_is_gone_to_its_end_after_it_was_cut_off_half_way(site: Site) -> None:
    stack = shift_to_come(site)
    site.up(stack)
    site.up(stack, *step_to(50))
    gated(site, stack, 50)
    site.up(stack, *step_to(100))
    points = [("aks-kubenet", "before"), ("aks-kubenet", "after"), ("aks-overlay", "before"), ("aks-overlay", "after")]
    both = {"aks-kubenet", "aks-overlay"}
    for (within, moment), names in zip(points, ({"aks-overlay"}, both, both, {"aks-kubenet"}), strict=True):
        site.cut_off(stack, f"PUT {ORIGINS}", moment, *step_to(0), within=within)
        assert split(site).keys() == names
    site.up(stack, *step_to(0))
    assert split(site).keys() == {"aks-kubenet"}
    site.settled(stack)


def test_the_old_cluster_ends_in_its_order_and_the_subnet_loses_its_route_table_alone(site: Site) -> None:
    # A kubenet cluster in a subnet without a route table makes its own.
    bare = {key: value for key, value in kept(site).items() if key != "routeTable"}
    site.estate.add(SUBNETS, "vnet-spoke", "snet-aks-nodes", properties=bare)
    make_cluster(
        site.estate,
        pool("default", 3, mode="System"),
        pool("apps", 3),
        serviceCidr="10.3.0.0/16",
        dnsServiceIP="10.3.0.10",
    )
    traffic = f"{site.group}-traffic"
    config = {**site.config("traffic"), "headroom:step": 100}
    site.world.engine.configure(traffic, config)
    gated(site, traffic, 100)
    make_front_door(site)
    shift = shift_of(site)
    for origin in (shift.new, shift.old):
        state = shift.states(100)[origin.name]
        properties = {
            "hostName": origin.host_name,
            "originHostHeader": origin.host_header,
            "weight": state.weight,
            "priority": state.priority,
            "enabledState": "Enabled" if state.enabled else "Disabled",
        }
        site.estate.add(ORIGINS, "fd-checkout-prod", "checkout", origin.name, properties=properties)
    stack, before = site.stack("retire", trafficStack=traffic), kept(site)
    assert before["routeTable"]["id"].endswith("-routetable")

    def phase(name: str) -> tuple[str, str]:
        return "--config", f"headroom:phase={name}"

    # The first reading is the stack's own, the second is the import's.
    site.cut_off(stack, f"GET {POOLS}", "after", skip=1)
    site.world.arm.forget_calls()
    site.up(stack)
    assert not [operation for operation in site.world.arm.calls() if operation.startswith(("PUT", "DELETE"))]
    for moment, count in zip(MOMENTS, (3, 0), strict=True):
        site.cut_off(stack, f"PUT {POOLS}", moment, *phase("zero"))
        assert site.estate.containers.agent_pools.get(site.group, OLD_CLUSTER, "apps").count == count
    site.up(stack, *phase("zero"))
    for moment in MOMENTS:
        site.cut_off(stack, f"PUT {SUBNETS}", moment, *phase("detach"))
    site.up(stack, *phase("detach"))
    assert {**kept(site), "ipConfigurations": []} == {**bare, "ipConfigurations": []}
    site.settled(stack, *phase("detach"))
    for type_, moment in itertools.product((POOLS, CLUSTERS), MOMENTS):
        site.cut_off(stack, f"DELETE {type_}", moment, *phase("delete"))
    site.up(stack, *phase("delete"))
    assert site.here(CLUSTERS) == []
    assert kept(site) == bare
    site.settled(stack, *phase("delete"))


def test_throttling_and_a_conflict_that_passes_are_waited_out_and_any_other_is_told(site: Site) -> None:
    stack, arm = egress(site), site.world.arm
    arm.order(f"PUT {ADDRESSES}", "throttle", within=site.group, count=2)
    arm.order(f"PUT {GATEWAYS}", "fail", within=site.group, status=409, code="AnotherOperationInProgress", count=2)
    arm.order(
        f"PUT {ALARMS}", "fail", within=site.group, status=412, code="PreconditionFailed", message="Somebody was first."
    )
    refused = site.run(stack, "up", "--yes", "--skip-preview")
    assert refused.code != 0
    assert 'Status=412 Code="PreconditionFailed" Message="Somebody was first."' in refused.output
    assert site.here(GATEWAYS) == ["nat-aks-egress-eus2"]
    arm.forget_calls()
    site.up(stack)
    assert arm.calls()[f"PUT {ALARMS}"] == 1
    site.settled(stack)


def test_an_operation_that_fails_after_it_was_accepted_is_done_again_by_the_next_run(site: Site) -> None:
    stack, arm = overlay(site), site.world.arm
    arm.order(f"PUT {CLUSTERS}", "fail-later", within=site.group, code="AllocationFailed", message="No room in zone 1.")
    refused = site.run(stack, "up", "--yes", "--skip-preview")
    assert refused.code != 0
    assert 'Code="AllocationFailed" Message="No room in zone 1."' in refused.output
    made = new_cluster(site)
    assert made.provisioning_state == "Failed"
    site.up(stack)
    found = new_cluster(site)
    assert (found.provisioning_state, found.resource_uid) == ("Succeeded", made.resource_uid)
    site.settled(stack)


def test_a_role_that_does_not_count_yet_fails_the_cluster_and_the_same_command_makes_it_later(site: Site) -> None:
    """It takes up to an hour (AKS documentation, configure-kubenet)."""
    stack, arm = overlay(site), site.world.arm
    arm.change(role_seconds=1800.0)
    try:
        refused = site.run(stack, "up", "--yes", "--skip-preview")
        assert refused.code != 0
        assert "AuthorizationFailed" in refused.output
        made = new_cluster(site)
        assert made.provisioning_state == "Failed"
        arm.advance(1800)
        site.up(stack)
    finally:
        arm.change(role_seconds=0.0)
    found = new_cluster(site)
    assert (found.provisioning_state, found.resource_uid) == ("Succeeded", made.resource_uid)
    assert len(site.here(ROLES)) == 1
    site.settled(stack)


def test_a_provider_that_dies_leaves_nothing_that_the_next_run_does_not_take_over(site: Site, tmp_path: Path) -> None:
    stack, engine, arm = egress(site), site.world.engine, site.world.arm
    for moment in MOMENTS:
        with start_provider(tmp_path, arm) as provider:
            arm.order(f"PUT {GATEWAYS}", "kill", within=site.group, moment=moment, pid=provider.process.pid)
            dying = {"PULUMI_DEBUG_PROVIDERS": f"azure-native:{provider.port}"}
            died = engine.run("up", "--yes", "--skip-preview", "--stack", stack, environment=dying)
        assert died.code != 0
    site.up(stack)
    assert [site.here(type_) for type_ in (ADDRESSES, GATEWAYS)] == [["nat-aks-egress-eus2-1"], ["nat-aks-egress-eus2"]]
    site.settled(stack)


def test_what_others_made_under_the_same_name_is_not_taken_from_them(site: Site) -> None:
    stack = egress(site)
    site.estate.add(ADDRESSES, "theirs", location=PLACE, sku={"name": "Standard"}, properties={})
    theirs = {"publicIpAddresses": [{"id": site.estate.id_of(ADDRESSES, "theirs")}]}
    site.estate.add(GATEWAYS, "nat-aks-egress-eus2", location=PLACE, sku={"name": "Standard"}, properties=theirs)
    refused = site.run(stack, "preview")
    assert refused.code != 0
    key = "headroom:gateways.main.name"
    assert f"{key}: nat-aks-egress-eus2 is there already, made by something else." in refused.output
    assert f"tag it headroom:stack=headroom/{stack}" in refused.output
    assert "Traceback" not in refused.output
