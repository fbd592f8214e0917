"""The stack of a stable way out: addresses first, then the gateway on subnets that lose nothing by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pulumi_azure_native import network

from components.stable_egress import SUBNET_PROPERTIES, ChangedSubnetError, kept_properties, refuse_changed_subnet
from headroom.addresses.problems import ProblemsError
from headroom.planning.audit_record import AuditRecord, Named, file_name, write_record
from stacks import aks_egress
from tests.conftest import READ_STATE
from tests.stacks.conftest import declared, looked_for, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
DEFAULTS = {key: entry["default"] for key, entry in DECLARED.items() if "default" in entry}
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (CHECKOUT / "stacks" / "Pulumi.example-aks-egress.yaml").read_text(encoding="utf-8")
)["config"]
STACK = "prod-eus2-egress"
GET_ADDRESS = "azure-native:network:getPublicIPAddress"
GET_SUBNET = "azure-native:network:getSubnet"
SUBNET = "azure-native:network:Subnet"
GATEWAY = "azure-native:network:NatGateway"
ADDRESS = "azure-native:network:PublicIPAddress"
PREFIX = "azure-native:network:PublicIPPrefix"
ALARM = "azure-native:monitor:MetricAlert"
GET_CLUSTER = "azure-native:containerservice:getManagedCluster"
GET_GATEWAY = "azure-native:network:getNatGateway"
GET_TABLE = "azure-native:network:getRouteTable"
GROUP_ID = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-prod-eus2"
OURS = f"{GROUP_ID}/providers/Microsoft.Network/natGateways/nat-aks-egress-eus2"
OLD = "198.51.100.7"
NODE_GROUP = "MC_rg-prod-eus2_aks-prod-eus2_eastus2"
OLD_ID = f"/subscriptions/s/resourceGroups/{NODE_GROUP}/providers/Microsoft.Network/publicIPAddresses/old"
CLUSTER: dict[str, Any] = {
    "nodeResourceGroup": NODE_GROUP,
    "networkProfile": {
        "outboundType": "loadBalancer",
        "loadBalancerProfile": {
            "effectiveOutboundIPs": [
                {"id": OLD_ID},
            ]
        },
    },
}
NEW = "203.0.113.10"
"""What the recorder answers for every new address."""

LIVE: dict[str, Any] = {
    "id": EXAMPLE["headroom:gateways"]["main"]["subnets"]["nodes"],
    "name": "snet-aks-nodes",
    "etag": 'W/"1"',
    "provisioningState": "Succeeded",
    "addressPrefix": "10.20.4.0/22",
    "routeTable": {"id": "/subscriptions/s/routeTables/aks-agentpool-1", "location": "eastus2", "routes": []},
    "networkSecurityGroup": {"id": "/subscriptions/s/networkSecurityGroups/nsg"},
    "serviceEndpoints": [{"service": "Microsoft.Sql", "locations": ["eastus2"], "provisioningState": "Succeeded"}],
    "delegations": [],
    "privateEndpointNetworkPolicies": "Disabled",
    "privateLinkServiceNetworkPolicies": "Enabled",
    "ipConfigurations": [{"id": "/nic/1"}],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the audit's record is, instead of beside the stack files."""
    monkeypatch.setattr(aks_egress, "stacks_folder", lambda: tmp_path)
    return tmp_path


def shown(args: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A subnet as Azure shows it."""
    identifier = LIVE["id"].replace("snet-aks-nodes", args["subnetName"])
    return {**LIVE, "id": identifier, "name": args["subnetName"], **changes}


def audited(folder: Path, *new: str, age: timedelta = timedelta(hours=1), **found: Any) -> None:
    """Leaves the record of an audit."""
    record = AuditRecord(
        audited=datetime.now(UTC) - age, old_addresses=("198.51.100.7",), new_addresses=new or (NEW,), **found
    )
    (folder / file_name(STACK)).write_text(write_record(record), encoding="utf-8")


def deployed(recorder: Recorder, live: Any = None, **changes: Any) -> list[str]:
    """Rules of what was refused of the example with changes; empty where it was deployed."""
    found: list[str] = []

    def program() -> None:
        try:
            aks_egress.deploy()
        except ProblemsError as error:
            found.extend(f"{problem.key}: {problem.rule}" for problem in error.problems)

    recorder.answers.setdefault(READ_STATE, {})
    addresses = {"old": OLD}
    recorder.answers.setdefault(
        GET_ADDRESS, lambda args: {"ipAddress": addresses.get(args["publicIpAddressName"], NEW)}
    )
    recorder.answers.setdefault(GET_CLUSTER, CLUSTER)
    recorder.answers.setdefault(GET_GATEWAY, {"publicIpAddresses": []})
    recorder.answers.setdefault(GET_TABLE, {"name": "aks-agentpool-1", "routes": []})
    recorder.answers[GET_SUBNET] = live if live is not None else shown
    recorder.run(
        program,
        config={**DEFAULTS, **EXAMPLE, **{f"headroom:{key}": value for key, value in changes.items()}},
        stack=STACK,
    )
    return found


def test_the_first_run_makes_addresses_and_a_gateway_and_moves_nothing(recorder: Recorder) -> None:
    assert deployed(recorder) == []
    assert [item.label for item in recorder.registrations] == [
        f"{ALARM} egress-main-datapath",
        f"{ALARM} egress-main-snat",
        f"{GATEWAY} egress-main",
        f"{ADDRESS} egress-main-1",
        "headroom:index:StableEgress egress",
    ]
    assert set(recorder.tokens()) == {READ_STATE}
    address = recorder.one(ADDRESS, "egress-main-1")
    assert address.inputs["publicIPAllocationMethod"] == "Static"
    assert (address.protect, address.retain_on_delete) == (True, True)
    assert recorder.stack_outputs["addresses"] == [NEW]
    assert recorder.stack_outputs["next"].startswith(f"headroom audit-egress --new {NEW} --record")


def test_attaching_sends_everything_that_the_subnet_has(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    assert deployed(recorder, attach=True) == []
    subnet = recorder.one(SUBNET, "egress-main-nodes")
    assert subnet.inputs == {
        "resourceGroupName": "rg-prod-eus2",
        "virtualNetworkName": "vnet-spoke",
        "subnetName": "snet-aks-nodes",
        "addressPrefix": "10.20.4.0/22",
        "routeTable": {"id": "/subscriptions/s/routeTables/aks-agentpool-1"},
        "networkSecurityGroup": {"id": "/subscriptions/s/networkSecurityGroups/nsg"},
        "serviceEndpoints": [{"service": "Microsoft.Sql", "locations": ["eastus2"]}],
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
        "natGateway": {"id": recorder.one(GATEWAY, "egress-main").id},
    }
    assert (subnet.protect, subnet.retain_on_delete) == (True, True)


def test_everything_that_it_declares_is_looked_for_after_a_run_that_was_cut_off(
    recorder: Recorder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = looked_for(monkeypatch, aks_egress)
    audited(folder)
    assert deployed(recorder, attach=True) == []
    assert known == declared(recorder)
    known.clear()
    range_ = {name: value for name, value in EXAMPLE["headroom:gateways"]["main"].items() if name != "addresses"}
    assert deployed(recorder, gateways={"main": {**range_, "prefixLength": 30}}) == []
    assert known == declared(recorder)


def test_what_is_sent_again_is_every_property_that_the_sdk_can_send() -> None:
    names = set(signature(network.SubnetInitArgs.__init__).parameters)
    names -= {"__self__", "resource_group_name", "virtual_network_name", "subnet_name", "id", "name", "type"}
    ours = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in SUBNET_PROPERTIES}
    ours = {name.replace("_i_p_", "_ip_") for name in ours}
    assert ours == names


def test_a_property_that_is_a_list_of_resources_keeps_their_ids() -> None:
    prefixes = {"addressPrefix": "10.20.4.0/22", "addressPrefixes": []}
    kept = kept_properties({"serviceEndpointPolicies": [{"id": "/p/1", "location": "eastus2"}], **prefixes})
    assert kept == {"serviceEndpointPolicies": [{"id": "/p/1"}], "addressPrefix": "10.20.4.0/22"}


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        (None, {}),
        ({"old_only": (Named(type="Microsoft.Sql/servers", place="sql", because="old alone"),)}, {}),
        ({"undecided": (Named(type="Microsoft.Cache/redis", place="r", because="denied"),)}, {}),
        ({"age": timedelta(days=30)}, {}),
    ],
)
def test_nothing_is_attached_before_the_audit_is_clear(
    recorder: Recorder, folder: Path, record: dict[str, Any] | None, changes: dict[str, Any]
) -> None:
    if record is not None:
        audited(folder, **record)
    assert deployed(recorder, attach=True, **changes) != []
    assert recorder.registrations == []


def test_a_type_that_somebody_answers_for_does_not_keep_it_closed(recorder: Recorder, folder: Path) -> None:
    audited(folder, undecided=(Named(type="Microsoft.Cache/redis", place="r", because="denied"),))
    assert deployed(recorder, attach=True, acceptUnread=["Microsoft.Cache/redis"]) == []


def test_an_audit_of_other_addresses_attaches_nothing(recorder: Recorder, folder: Path) -> None:
    audited(folder, "203.0.113.99")
    assert deployed(recorder, attach=True) == ["headroom:attach: audit-clear"]
    assert recorder.registrations == []


def test_addresses_that_were_not_made_yet_are_asked_for_first(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    recorder.answers[GET_ADDRESS] = recorder.failing("ResourceNotFound")
    assert deployed(recorder, attach=True) == [": lookup"]


def test_an_audit_of_another_cluster_attaches_nothing(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    profile = CLUSTER["networkProfile"]
    elsewhere = {**profile, "outboundType": "userDefinedRouting"}
    for found, key in (
        ({**CLUSTER, "networkProfile": elsewhere}, "headroom:clusters.aks-prod-eus2.outboundType"),
        ({**CLUSTER, "networkProfile": {**profile, "loadBalancerProfile": {}}}, "headroom:clusters.aks-prod-eus2"),
        (recorder.failing('Status=404 Code="ResourceNotFound"'), "headroom:clusters.aks-prod-eus2"),
    ):
        recorder.answers[GET_CLUSTER] = found
        assert deployed(recorder, attach=True) == [f"{key}: audit-of-cluster"]
        assert recorder.registrations == []
    recorder.answers[GET_CLUSTER] = recorder.failing("AuthorizationFailed")
    assert deployed(recorder, attach=True) == [": lookup"]
    recorder.answers[GET_CLUSTER] = CLUSTER
    recorder.answers[GET_ADDRESS] = lambda args: {
        "ipAddress": "198.51.100.99" if args["publicIpAddressName"] == "old" else NEW
    }
    assert deployed(recorder, attach=True) == ["headroom:clusters.aks-prod-eus2: audit-of-cluster"]


def test_a_gateway_is_not_attached_for_clusters_that_nobody_names(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    assert deployed(recorder, attach=True, clusters={}) == ["headroom:clusters: configuration"]
    assert recorder.registrations == []
    assert deployed(recorder, clusters={}) == []


def test_a_subnet_of_the_same_names_in_another_subscription_is_not_taken_for_it(
    recorder: Recorder, folder: Path
) -> None:
    audited(folder)
    twin = LIVE["id"].replace("00000000-0000-0000-0000-000000000000", "99999999-9999-9999-9999-999999999999")
    assert deployed(recorder, lambda _: {**LIVE, "id": twin}, attach=True) == [": lookup"]
    assert recorder.registrations == []


def test_a_gateway_of_the_same_name_in_another_group_is_another_one(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    twin = {"id": OURS.replace("rg-prod-eus2", "rg-other")}
    assert "headroom:gateways.main.subnets.nodes: one-gateway" in deployed(
        recorder, lambda args: shown(args, natGateway=twin), attach=True
    )


FIRST = OURS.replace("natGateways/nat-aks-egress-eus2", "publicIPAddresses/nat-aks-egress-eus2-1")


def attached(recorder: Recorder) -> Any:
    """Both subnets have the gateway, and it has the first address."""
    recorder.answers[GET_GATEWAY] = {"publicIpAddresses": [{"id": FIRST}]}
    return lambda args: shown(args, natGateway={"id": OURS})


def test_once_attached_an_old_audit_keeps_nobody_from_changing_something_else(recorder: Recorder, folder: Path) -> None:
    live = attached(recorder)
    assert deployed(recorder, live, attach=True, tags={"team": "platform"}) == []
    audited(folder, age=timedelta(days=90))
    assert deployed(recorder, live, attach=True) == []
    assert len(recorder.one(GATEWAY, "egress-main").inputs["publicIpAddresses"]) == 1


def test_a_gateway_for_subnets_that_other_stacks_make_waits_for_the_audit_before_they_do(
    recorder: Recorder, folder: Path
) -> None:
    main = {name: value for name, value in EXAMPLE["headroom:gateways"]["main"].items() if name != "subnets"}
    recorder.answers[GET_GATEWAY] = {"publicIpAddresses": [{"id": FIRST}]}
    assert deployed(recorder, attach=True, gateways={"main": main}) == ["headroom:attach: audit-clear"]
    assert recorder.registrations == []
    audited(folder, undecided=(Named(type="on-premises-firewall", place="hq", because="nobody confirmed it."),))
    assert deployed(recorder, attach=True, gateways={"main": main}) == [": audit-undecided"]
    audited(folder)
    assert deployed(recorder, attach=True, gateways={"main": main}) == []
    audited(folder, age=timedelta(days=90))
    assert deployed(recorder, attach=True, gateways={"main": main}) == [": audit-age"]
    recorder.answers[GET_GATEWAY] = {
        "publicIpAddresses": [{"id": FIRST}],
        "subnets": [{"id": LIVE["id"].replace("snet-aks-nodes", "snet-aks-overlay")}],
    }
    assert deployed(recorder, attach=True, gateways={"main": main}) == [], "nothing moves any more"
    two = {"main": {**main, "addresses": 2}}
    assert deployed(recorder, attach=True, gateways=two) == []
    assert len(recorder.one(GATEWAY, "egress-main").inputs["publicIpAddresses"]) == 1


def test_a_subnet_that_is_left_out_is_not_let_go_of_without_a_word(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    assert deployed(recorder, attach=True) == []
    recorder.remember()
    assert deployed(recorder) == ["headroom:attach: still-attached", "headroom:attach: still-attached"]
    main = EXAMPLE["headroom:gateways"]["main"]
    fewer = {"main": {**main, "subnets": {"nodes": main["subnets"]["nodes"]}}}
    assert deployed(recorder, attach=True, gateways=fewer) == ["headroom:gateways: still-attached"]
    assert recorder.registrations == []
    assert deployed(recorder, attach=True) == []


def test_a_further_address_is_on_no_gateway_in_use_before_it_is_audited(recorder: Recorder, folder: Path) -> None:
    live = attached(recorder)
    gateways = {"main": {**EXAMPLE["headroom:gateways"]["main"], "addresses": 2}}
    second = "203.0.113.20"
    recorder.answers[GET_ADDRESS] = lambda args: {
        "ipAddress": second if args["publicIpAddressName"].endswith("-2") else NEW
    }
    audited(folder)
    assert deployed(recorder, live, attach=True, gateways=gateways) == []
    assert recorder.one(ADDRESS, "egress-main-2")
    assert len(recorder.one(GATEWAY, "egress-main").inputs["publicIpAddresses"]) == 1
    assert "--record" in recorder.stack_outputs["next"]
    audited(folder, NEW, second)
    assert deployed(recorder, live, attach=True, gateways=gateways) == []
    assert len(recorder.one(GATEWAY, "egress-main").inputs["publicIpAddresses"]) == 2


def test_a_subnet_with_another_gateway_or_none_to_be_read_is_refused(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    other = {"id": "/subscriptions/s/natGateways/theirs"}
    assert deployed(recorder, lambda args: shown(args, natGateway=other), attach=True) == [
        "headroom:gateways.main.subnets.nodes: one-gateway",
        "headroom:gateways.main.subnets.overlay: one-gateway",
    ]
    assert deployed(recorder, recorder.failing("AuthorizationFailed"), attach=True) == [": lookup"]


def test_every_write_of_a_subnet_is_guarded(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    assert deployed(recorder, attach=True) == []
    for name in ("egress-main-nodes", "egress-main-overlay"):
        subnet = recorder.one(SUBNET, name)
        assert (subnet.before_create, subnet.before_update) == ((f"{name}-guard",), (f"{name}-guard",))


def rewritten(recorder: Recorder, now: Any) -> str:
    """What the guard says of writing a subnet that was read as `LIVE`; empty where it lets it be written."""
    names = {"resourceGroupName": "rg", "virtualNetworkName": "vnet-spoke", "subnetName": "snet-aks-nodes"}
    recorder.answers[GET_SUBNET] = now
    return refusal(
        recorder, SUBNET, names, lambda hooked: refuse_changed_subnet(hooked, LIVE), ChangedSubnetError, stack=STACK
    )


def test_a_subnet_that_somebody_changed_since_it_was_read_is_not_written(recorder: Recorder) -> None:
    assert rewritten(recorder, LIVE) == ""
    nodes = {"etag": 'W/"2"', "ipConfigurations": [{"id": "/nic/1"}, {"id": "/nic/2"}]}
    assert rewritten(recorder, {**LIVE, **nodes}) == "", "nodes that came meanwhile are nothing that a PUT takes away"
    endpoints = {"etag": 'W/"2"', "serviceEndpoints": [], "natGateway": {"id": "/natGateways/theirs"}}
    assert "has another natGateway and serviceEndpoints than when it was read" in rewritten(
        recorder, {**LIVE, **endpoints}
    )
    without = {key: value for key, value in LIVE.items() if key not in {"etag", "routeTable"}}
    assert "has another routeTable than when it was read" in rewritten(recorder, without)
    empty = {key: value for key, value in LIVE.items() if key != "delegations"}
    assert rewritten(recorder, {**empty, "etag": 'W/"2"'}) == "", "nothing and an empty list are the same"
    said = rewritten(recorder, recorder.failing("AuthorizationFailed"))
    assert "snet-aks-nodes could not be read again: " in said
    assert said.endswith("Next: repeat the command.")


@pytest.mark.parametrize("hop", ["VirtualAppliance", "VirtualNetworkGateway", "Internet"])
def test_a_subnet_whose_routes_come_before_the_gateway_is_refused(recorder: Recorder, folder: Path, hop: str) -> None:
    audited(folder)
    routes = [
        {"name": "node", "addressPrefix": "10.244.0.0/24", "nextHopType": "VirtualAppliance"},
        {"name": "all", "addressPrefix": "0.0.0.0/0", "nextHopType": hop},
    ]
    recorder.answers[GET_TABLE] = {"name": "rt-hub", "routes": routes}
    past = ["headroom:gateways: routes-first"] * 2
    assert deployed(recorder, attach=True) == ([] if hop == "Internet" else past)
    recorder.answers[GET_TABLE] = recorder.failing("AuthorizationFailed")
    assert deployed(recorder, attach=True) == [": lookup"]


def test_a_cluster_with_a_basic_load_balancer_is_refused_before_azure_does(recorder: Recorder, folder: Path) -> None:
    audited(folder)
    basic = {**CLUSTER, "networkProfile": {**CLUSTER["networkProfile"], "loadBalancerSku": "Basic"}}
    recorder.answers[GET_CLUSTER] = basic
    assert deployed(recorder, attach=True) == ["headroom:clusters.aks-prod-eus2: basic-load-balancer"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"clusters": {"aks": {"outboundType": "userDefinedRouting"}}}, "headroom:clusters.aks.outboundType"),
        ({"clusters": {"aks": {"outboundType": "managedNATGateway"}}}, "headroom:clusters.aks.outboundType"),
        ({"gateways": {"main": {"name": "nat", "sku": "StandardV2"}}}, "headroom:gateways.main.sku"),
        ({"gateways": {"main": {"name": "nat", "zones": ["1", "2"]}}}, "headroom:gateways.main.zones"),
        ({"gateways": {"main": {"name": "nat", "addresses": 17}}}, "headroom:gateways.main.addresses"),
        ({"gateways": {"main": {"name": "nat", "prefixLength": 27}}}, "headroom:gateways.main.prefixLength"),
        ({"gateways": {"a": {"name": "nat"}, "b": {"name": "NAT"}}}, "headroom:gateways.b.name"),
        ({"gateways": {}}, "headroom:gateways"),
        (
            {
                "gateways": {
                    "main": {
                        "name": "nat",
                        "subnets": {
                            "g": EXAMPLE["headroom:gateways"]["main"]["subnets"]["nodes"].replace(
                                "snet-aks-nodes", "GatewaySubnet"
                            )
                        },
                    }
                }
            },
            "headroom:gateways.main.subnets.g",
        ),
    ],
)
def test_what_a_nat_gateway_cannot_do_is_refused(recorder: Recorder, changes: dict[str, Any], key: str) -> None:
    assert key in [found.rpartition(": ")[0] for found in deployed(recorder, **changes)]
    assert recorder.registrations == []


def test_a_prefix_takes_the_place_of_addresses(recorder: Recorder) -> None:
    assert deployed(recorder, gateways={"main": {"name": "nat", "prefixLength": 30}}) == []
    assert recorder.one(PREFIX, "egress-main-prefix").inputs["prefixLength"] == 30
    assert recorder.one(GATEWAY, "egress-main").inputs["publicIpPrefixes"]


def test_alarms_count_connections_and_not_samples(recorder: Recorder) -> None:
    deployed(recorder)
    (criterion,) = recorder.one(ALARM, "egress-main-snat").inputs["criteria"]["allOf"]
    assert (criterion["metricName"], criterion["timeAggregation"]) == ("SNATConnectionCount", "Total")
    assert criterion["dimensions"] == [{"name": "ConnectionState", "operator": "Include", "values": ["Failed"]}]
