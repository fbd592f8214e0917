"""Every service that has a list of addresses, case by case: who gets in now, who later, and what to add."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.planning.allow_list_services import BY_TYPE, SERVICES, Context, Parent, context_of, lists_of
from headroom.planning.allow_lists import (
    AllowList,
    Caller,
    Entry,
    Finding,
    Span,
    Verdict,
    database_rule,
    judge,
    read_addresses,
    source,
)

OLD, NEW = "20.1.1.1", "20.2.2.2"
ANY = "0.0.0.0"  # noqa: S104 - as rules of Azure have it
CALLER = Caller(old=(Span.parse(OLD),), new=(Span.parse(NEW),))
NOTHING = Context(groups={}, security_groups={})
ROOT = "/subscriptions/s1/resourceGroups/rg/providers"
NSG = "Microsoft.Network/networkSecurityGroups"
AKS = "Microsoft.ContainerService/managedClusters"
Object = Mapping[str, Any]


def parent(type_: str, properties: Object, children: list[Object] | None = None, **item: Any) -> Parent:
    resource = {"id": f"{ROOT}/{type_}/one", "name": "one", "type": type_.lower(), "location": "eastus2", **item}
    return Parent(item={**resource, "properties": properties}, children=None if children is None else tuple(children))


def findings(of: Parent, caller: Caller = CALLER, context: Context = NOTHING) -> list[Finding]:
    service = BY_TYPE[of.item["type"].casefold()]
    return [judge(each, caller) for each in lists_of(service, of, context)]


def verdicts(of: Parent, caller: Caller = CALLER, context: Context = NOTHING) -> list[str]:
    return [each.verdict.value for each in findings(of, caller, context)]


def child(name: str, **properties: Any) -> Object:
    return {"name": name, "properties": properties}


def rule(name: str, priority: int, source_: str | list[str], access: str = "Allow", **values: Any) -> Object:
    sources = {"sourceAddressPrefixes": source_} if isinstance(source_, list) else {"sourceAddressPrefix": source_}
    read = {
        "direction": "Inbound",
        "access": access,
        "priority": priority,
        "protocol": "Tcp",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "3342",
        "sourcePortRange": "*",
        **sources,
        **values,
    }
    return {"name": name, "properties": read}


def acl(*addresses: str, default: str = "Deny", **more: Any) -> Object:
    return {"networkAcls": {"defaultAction": default, "ipRules": [{"value": each} for each in addresses], **more}}


def waf(action: str, *addresses: str, negate: bool = False, **values: Any) -> Object:
    condition = {
        "matchVariable": "RemoteAddr",
        "operator": "IPMatch",
        "negateCondition": negate,
        "matchValue": list(addresses),
    }
    found = {"name": "office", "action": action, "enabledState": "Enabled", "matchConditions": [condition], **values}
    return {"customRules": {"rules": [found]}}


DATABASES = {
    "Microsoft.Sql/servers": ("startIpAddress", "endIpAddress", "not_listed"),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("startIpAddress", "endIpAddress", "not_listed"),
    "Microsoft.DBforMySQL/flexibleServers": ("startIpAddress", "endIpAddress", "not_listed"),
    "Microsoft.Synapse/workspaces": ("startIpAddress", "endIpAddress", "not_listed"),
    "Microsoft.Cache/redis": ("startIP", "endIP", "open"),
}


@pytest.mark.parametrize("type_", DATABASES)
@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(OLD, OLD)], "old_only"),
        ([("20.1.0.0", "20.1.255.255")], "old_only"),
        ([(OLD, OLD), (NEW, NEW)], "both"),
        ([("20.1.0.0", "20.3.0.0")], "both"),
        ([(NEW, NEW)], "new_only"),
        ([("20.9.9.9", "20.9.9.9")], "not_listed"),
        ([(ANY, ANY)], "open"),
        ([(OLD, OLD), (ANY, ANY)], "both"),
        ([(ANY, "255.255.255.255")], "open"),
        ([(OLD, "here")], "unknown"),
    ],
    ids=str,
)
def test_a_database_is_judged_by_its_rules_from_address_to_address(
    type_: str, ranges: list[tuple[str, str]], expected: str
) -> None:
    start, end, _ = DATABASES[type_]
    children = [child(f"r{number}", **{start: first, end: last}) for number, (first, last) in enumerate(ranges)]
    assert verdicts(parent(type_, {}, children)) == [expected]


@pytest.mark.parametrize("type_", DATABASES)
def test_a_database_without_rules_refuses_everybody_but_redis_lets_everybody_in(type_: str) -> None:
    assert verdicts(parent(type_, {}, [])) == [DATABASES[type_][2]]


@pytest.mark.parametrize("type_", DATABASES)
def test_a_rule_that_is_added_never_takes_the_name_of_another(type_: str) -> None:
    start, end, _ = DATABASES[type_]
    mark = "_" if type_ == "Microsoft.Cache/redis" else "-"
    names = [f"headroom-egress-{number}".replace("-", mark) for number in (1, 2, 3)]
    (found,) = findings(parent(type_, {}, [child(f"one/{names[1].upper()}", **{start: OLD, end: OLD})]))
    assert found.list.add is not None
    addition = found.list.add([Span.parse("20.2.2.0/30"), Span.parse(NEW)])
    assert [request.path.rpartition("/")[2] for request in addition.requests] == [names[0], names[2]]
    assert addition.entries == (f"{names[0]}: 20.2.2.0/30", f"{names[2]}: {NEW}")
    assert addition.requests[0].body == {"properties": {start: "20.2.2.0", end: "20.2.2.3"}}


@pytest.mark.parametrize("type_", DATABASES)
def test_a_database_whose_public_endpoint_is_off_asks_nobody_for_an_address(type_: str) -> None:
    start, end, _ = DATABASES[type_]
    off = {"publicNetworkAccess": "Disabled"}
    properties = {"network": off} if "flexibleServers" in type_ else off
    (found,) = findings(parent(type_, properties, [child("aks", **{start: OLD, end: OLD})]))
    assert found.verdict is Verdict.NO_EFFECT
    assert "public endpoint is off" in found.because
    assert [entry.name for entry in found.holds] == ["aks"]


def test_a_server_inside_a_vnet_has_no_list_that_counts() -> None:
    inside = {"network": {"delegatedSubnetResourceId": "/subscriptions/s1/…"}}
    assert verdicts(parent("Microsoft.DBforPostgreSQL/flexibleServers", inside, [])) == ["no_effect"]


def test_a_perimeter_is_not_read_and_so_unknown() -> None:
    behind = {"publicNetworkAccess": "SecuredByPerimeter"}
    assert verdicts(parent("Microsoft.Sql/servers", behind, [])) == ["unknown"]
    assert verdicts(parent("Microsoft.Storage/storageAccounts", {**acl(OLD), **behind})) == ["unknown"]


def test_a_managed_instance_has_no_list_and_with_its_public_endpoint_off_nothing_changes() -> None:
    (found,) = findings(parent("Microsoft.Sql/managedInstances", {"publicDataEndpointEnabled": False}))
    assert found.verdict is Verdict.NO_EFFECT
    assert "has no list of addresses" in found.because


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("aks", 100, OLD)], "old_only"),
        ([rule("aks", 100, [OLD, NEW])], "both"),
        ([rule("aks", 100, OLD), rule("new", 110, NEW, destinationPortRange="3000-4000")], "both"),
        ([rule("aks", 100, OLD, destinationPortRange="1433")], "not_listed"),
        ([rule("no", 90, "20.2.0.0/16", "Deny"), rule("aks", 100, [OLD, NEW])], "old_only"),
        ([rule("any", 100, "Internet")], "open"),
        ([rule("azure", 100, "AzureCloud")], "open"),
        ([rule("vnet", 100, "VirtualNetwork")], "not_listed"),
        ([rule("out", 100, OLD, direction="Outbound")], "not_listed"),
    ],
    ids=["old", "both", "two rules", "other port", "denied before", "internet", "azure", "vnet", "outbound"],
)
def test_a_managed_instances_public_endpoint_is_guarded_by_the_security_group(
    rules: list[Object], expected: str
) -> None:
    subnet = f"{ROOT}/Microsoft.Network/virtualNetworks/v/subnets/mi"
    group = parent(NSG, {"securityRules": rules, "subnets": [{"id": subnet.upper()}]})
    instance = parent("Microsoft.Sql/managedInstances", {"publicDataEndpointEnabled": True, "subnetId": subnet})
    assert verdicts(instance, context=context_of({NSG: [group]})) == [expected]


def test_a_managed_instance_whose_security_group_was_not_found_is_unknown() -> None:
    instance = parent("Microsoft.Sql/managedInstances", {"publicDataEndpointEnabled": True, "subnetId": "/x"})
    assert verdicts(instance) == ["unknown"]


INLINE: dict[str, tuple[Any, Any]] = {
    "Microsoft.Storage/storageAccounts": (acl, acl(default="Allow")),
    "Microsoft.KeyVault/vaults": (acl, acl(default="Allow")),
    "Microsoft.CognitiveServices/accounts": (acl, acl(default="Allow")),
    "Microsoft.ContainerRegistry/registries": (
        lambda *each: {"networkRuleSet": {"defaultAction": "Deny", "ipRules": [{"value": one} for one in each]}},
        {"networkRuleSet": {"defaultAction": "Allow", "ipRules": []}},
    ),
    "Microsoft.Search/searchServices": (
        lambda *each: {"networkRuleSet": {"ipRules": [{"value": one} for one in each]}},
        {"networkRuleSet": {"ipRules": []}},
    ),
    "Microsoft.DocumentDB/databaseAccounts": (
        lambda *each: {"ipRules": [{"ipAddressOrRange": one} for one in each]},
        {"ipRules": []},
    ),
    "Microsoft.EventGrid/topics": (
        lambda *each: {"inboundIpRules": [{"ipMask": one, "action": "Allow"} for one in each]},
        {"inboundIpRules": []},
    ),
    "Microsoft.EventGrid/domains": (
        lambda *each: {"inboundIpRules": [{"ipMask": one, "action": "Allow"} for one in each]},
        {"inboundIpRules": []},
    ),
    "Microsoft.SignalRService/webPubSub": (
        lambda *each: {"networkACLs": {"ipRules": [{"value": one, "action": "Allow"} for one in each]}},
        {"networkACLs": {}},
    ),
    "Microsoft.Kusto/clusters": (lambda *each: {"allowedIpRangeList": list(each)}, {"allowedIpRangeList": []}),
    "Microsoft.SignalRService/signalR": (
        lambda *each: {"networkACLs": {"ipRules": [{"value": one, "action": "Allow"} for one in each]}},
        {"networkACLs": {}},
    ),
    "Microsoft.App/containerApps": (
        lambda *each: {
            "configuration": {
                "ingress": {
                    "external": True,
                    "ipSecurityRestrictions": [
                        {"name": one, "ipAddressRange": f"{one}/32", "action": "Allow"} for one in each
                    ],
                }
            }
        },
        {"configuration": {"ingress": {"external": True}}},
    ),
    AKS: (
        lambda *each: {"apiServerAccessProfile": {"authorizedIPRanges": [f"{one}/32" for one in each]}},
        {"apiServerAccessProfile": {}},
    ),
}


@pytest.mark.parametrize("type_", INLINE)
def test_a_list_in_the_resource_itself_is_judged_by_containment(type_: str) -> None:
    made, open_ = INLINE[type_]
    assert verdicts(parent(type_, made(OLD))) == ["old_only"]
    assert verdicts(parent(type_, made(OLD, NEW))) == ["both"]
    assert verdicts(parent(type_, made(NEW))) == ["new_only"]
    assert verdicts(parent(type_, made("20.9.9.9"))) == ["not_listed"]
    assert verdicts(parent(type_, open_)) == ["open"]


@pytest.mark.parametrize("type_", INLINE)
def test_the_change_of_a_list_keeps_all_that_it_has(type_: str) -> None:
    made, _ = INLINE[type_]
    of = parent(type_, made(OLD, "20.9.9.9"))
    (found,) = findings(of)
    assert found.missing == (Span.parse(NEW),)
    assert found.list.add is not None
    addition = found.list.add(found.missing)
    if addition.command:
        assert addition.command.endswith(f"--api-server-authorized-ip-ranges {OLD}/32,20.9.9.9/32,{NEW}/32")
        return
    (request,) = addition.requests
    changed = {**of.properties, **request.body["properties"]}
    (again,) = findings(parent(type_, changed))
    assert again.verdict is Verdict.BOTH
    assert "20.9.9.9" in json.dumps(changed)


def test_every_service_has_a_case_here() -> None:
    others = {
        "Microsoft.Sql/managedInstances",
        "Microsoft.ServiceBus/namespaces",
        "Microsoft.EventHub/namespaces",
        "Microsoft.Web/sites",
        "Microsoft.Web/sites/slots",
        "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies",
        NSG,
        "Microsoft.Network/frontDoorWebApplicationFirewallPolicies",
        "Microsoft.Network/ipGroups",
        "Microsoft.Network/firewallPolicies",
        "Microsoft.Network/azureFirewalls",
    }
    assert {service.type for service in SERVICES} == {*DATABASES, *INLINE, *others}


def test_storage_rules_do_nothing_for_callers_of_the_accounts_own_region() -> None:
    account = parent("Microsoft.Storage/storageAccounts", acl(OLD), location="East US 2")
    (found,) = findings(account, replace(CALLER, regions=frozenset({"eastus2"})))
    assert found.verdict is Verdict.NO_EFFECT
    assert "own region" in found.because
    assert verdicts(account, replace(CALLER, regions=frozenset({"westeurope"}))) == ["old_only"]
    assert verdicts(account, replace(CALLER, regions=frozenset({"eastus2", "westeurope"}))) == ["old_only"]
    assert verdicts(account) == ["old_only"]


def test_a_private_endpoint_is_told_of_and_leaves_the_list_to_be_mended() -> None:
    """Whether the clusters come through it is not known: the list is changed all the same."""
    connection = {"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}}
    properties = {**acl(OLD), "privateEndpointConnections": [connection]}
    (found,) = findings(parent("Microsoft.KeyVault/vaults", properties))
    assert found.verdict is Verdict.OLD_ONLY
    assert "has a private endpoint" in found.list.note
    (found,) = findings(parent("Microsoft.KeyVault/vaults", acl(OLD)))
    assert found.list.note == ""


def test_storage_takes_small_prefixes_as_single_addresses() -> None:
    account = parent("Microsoft.Storage/storageAccounts", acl(OLD))
    (found,) = findings(account, replace(CALLER, new=(Span.parse("20.2.2.2/31"), Span.parse("20.2.3.0/30"))))
    assert found.list.add is not None
    addition = found.list.add(found.missing)
    assert addition.entries == ("20.2.2.2", "20.2.2.3", "20.2.3.0/30")
    sent = addition.requests[0].body["properties"]["networkAcls"]
    assert sent["defaultAction"] == "Deny"
    assert sent["ipRules"] == [
        {"value": OLD},
        *({"value": each, "action": "Allow"} for each in ("20.2.2.2", "20.2.2.3", "20.2.3.0/30")),
    ]


def test_a_subnet_that_gets_in_by_its_service_endpoint_is_not_asked_for_an_address() -> None:
    subnet = f"{ROOT}/Microsoft.Network/virtualNetworks/v/subnets/nodes"
    account = parent("Microsoft.KeyVault/vaults", acl(OLD, virtualNetworkRules=[{"id": subnet}]))
    inside = replace(CALLER, subnets=frozenset({subnet.casefold()}))
    assert verdicts(account, inside) == ["no_effect"]
    assert verdicts(account, replace(inside, subnets=inside.subnets | {"/another"})) == ["old_only"]


def test_cosmos_has_a_rule_that_stands_for_all_of_azure() -> None:
    everybody = {"ipRules": [{"ipAddressOrRange": ANY}]}
    assert verdicts(parent("Microsoft.DocumentDB/databaseAccounts", everybody)) == ["open"]
    closed = {"ipRules": [], "isVirtualNetworkFilterEnabled": True}
    assert verdicts(parent("Microsoft.DocumentDB/databaseAccounts", closed)) == ["not_listed"]


@pytest.mark.parametrize("type_", ["Microsoft.ServiceBus/namespaces", "Microsoft.EventHub/namespaces"])
def test_a_namespace_is_judged_by_its_only_set_of_rules(type_: str) -> None:
    def of(default: str, *addresses: str, **more: Any) -> Parent:
        rules = [{"ipMask": each, "action": "Allow"} for each in addresses]
        return parent(type_, {}, [child("default", defaultAction=default, ipRules=rules, **more)])

    assert verdicts(of("Deny", OLD)) == ["old_only"]
    assert verdicts(of("Deny", "20.1.0.0/16", NEW)) == ["both"]
    assert verdicts(of("Allow")) == ["open"]
    assert verdicts(of("Deny", OLD, publicNetworkAccess="Disabled")) == ["no_effect"]
    assert verdicts(parent(type_, {}, [])) == ["open"]
    (found,) = findings(of("Deny", OLD, trustedServiceAccessEnabled=True))
    assert found.list.add is not None
    (request,) = found.list.add(found.missing).requests
    assert (request.method, request.path) == ("PUT", f"{ROOT}/{type_}/one/networkRuleSets/default")
    sent = request.body["properties"]
    assert sent["trustedServiceAccessEnabled"] is True
    assert [each["ipMask"] for each in sent["ipRules"]] == [OLD, NEW]


def site(main: list[Object], scm: list[Object] | None = None, **config: Any) -> Parent:
    read = {"ipSecurityRestrictions": main, "scmIpSecurityRestrictions": scm or [], **config}
    return parent("Microsoft.Web/sites", {}, [{"name": "web", "properties": read}])


def test_a_slot_has_lists_of_its_own() -> None:
    config = {"ipSecurityRestrictions": [restriction(f"{OLD}/32")], "scmIpSecurityRestrictionsUseMain": True}
    of = parent("Microsoft.Web/sites/slots", {}, [{"name": "web", "properties": config}])
    assert verdicts(of) == ["old_only"]


def restriction(address: str, action: str = "Allow", priority: int = 100) -> Object:
    return {"name": address, "ipAddress": address, "action": action, "priority": priority}


def test_a_site_and_its_deployment_site_are_two_lists() -> None:
    any_ = restriction("Any", priority=2147483647)
    assert verdicts(site([restriction(f"{OLD}/32")], [any_])) == ["old_only", "open"]
    assert verdicts(site([restriction(f"{OLD}/32")], scmIpSecurityRestrictionsUseMain=True)) == ["old_only"]
    assert verdicts(site([restriction(f"{OLD}/32,{NEW}/32")], [restriction(f"{NEW}/32")])) == ["both", "new_only"]
    assert verdicts(site([any_], [any_])) == ["open", "open"]
    assert verdicts(site([], [])) == ["open", "open"]


def test_a_sites_rules_go_by_priority() -> None:
    assert verdicts(site([restriction(f"{NEW}/32", "Deny", 50), restriction("Any", "Allow", 100)]))[0] == "old_only"
    deny = restriction("Any", "Deny", 2147483647)
    assert verdicts(site([restriction("AzureCloud"), deny]))[0] == "open"
    assert verdicts(site([restriction("AzureFrontDoor.Backend"), deny]))[0] == "not_listed"
    assert verdicts(site([], ipSecurityRestrictionsDefaultAction="Deny"))[0] == "not_listed"


def test_a_tag_of_a_region_is_decided_where_the_region_is_known() -> None:
    of = site([restriction("AzureCloud.eastus2"), restriction("Any", "Deny", 2147483647)])
    assert verdicts(of)[0] == "unknown"
    assert verdicts(of, replace(CALLER, regions=frozenset({"eastus2"})))[0] == "open"
    assert verdicts(of, replace(CALLER, regions=frozenset({"westeurope"})))[0] == "not_listed"


def test_a_container_app_that_only_denies_lets_all_others_in() -> None:
    def of(*, external: bool, **rules: str) -> Parent:
        made = [{"name": "r", "ipAddressRange": each, "action": action} for action, each in rules.items()]
        inner = {"external": external, "ipSecurityRestrictions": made}
        return parent("Microsoft.App/containerApps", {"configuration": {"ingress": inner}})

    assert verdicts(of(external=True, Deny="20.9.9.9")) == ["open"]
    assert verdicts(of(external=True, Deny=NEW)) == ["old_only"]
    assert verdicts(of(external=False, Allow=OLD)) == ["no_effect"]


def test_a_clusters_own_nodes_are_locked_out_by_a_list_without_their_new_address() -> None:
    of = parent(AKS, {"apiServerAccessProfile": {"authorizedIPRanges": ["20.9.9.9/32"]}})
    own = replace(CALLER, clusters=frozenset({f"{ROOT}/{AKS}/one".casefold()}))
    (found,) = findings(of, own)
    assert found.verdict is Verdict.OLD_ONLY
    assert found.because == f"lacks {NEW}: the cluster's own nodes would be locked out"
    assert verdicts(of) == ["not_listed"]


def test_a_private_cluster_has_no_list_that_counts() -> None:
    access = {"enablePrivateCluster": True, "authorizedIPRanges": []}
    assert verdicts(parent(AKS, {"apiServerAccessProfile": access})) == ["no_effect"]


def test_an_api_server_takes_200_ranges() -> None:
    ranges = [f"20.9.{number}.0/24" for number in range(199)]
    for extra, refused in (([], ""), (["20.8.0.0/24"], "takes 200 ranges at most, and would have 201")):
        of = parent(AKS, {"apiServerAccessProfile": {"authorizedIPRanges": [*ranges, *extra]}})
        (found,) = findings(of, replace(CALLER, old=(Span.parse("20.9.1.1"),)))
        assert found.list.add is not None
        assert found.list.add(found.missing).refused == refused


def test_a_security_group_is_a_list_for_each_rule_that_was_written_for_addresses() -> None:
    rules = [
        rule("aks", 100, [OLD]),
        rule("web", 200, "Internet", destinationPortRange="443"),
        rule("other", 300, "20.9.9.9"),
    ]
    found = findings(parent(NSG, {"securityRules": rules}))
    assert [(each.list.place, each.verdict.value) for each in found] == [
        ("securityRules/aks", "old_only"),
        ("securityRules/other", "not_listed"),
    ]
    assert found[0].list.add is not None
    (request,) = found[0].list.add(found[0].missing).requests
    assert request.path.endswith("/networkSecurityGroups/one/securityRules/aks")
    assert request.body["properties"]["sourceAddressPrefixes"] == [OLD, NEW]
    assert request.body["properties"]["priority"] == 100


def test_a_security_rule_is_decided_with_those_before_it() -> None:
    wide = rule("all", 200, "*", protocol="*", destinationPortRange="*")
    assert verdicts(parent(NSG, {"securityRules": [rule("aks", 100, OLD), wide]})) == ["both"]
    other = rule("other port", 90, NEW, "Deny", destinationPortRange="22")
    assert verdicts(parent(NSG, {"securityRules": [other, rule("aks", 100, [OLD, NEW])]})) == ["both"]
    denied = rule("no", 90, NEW, "Deny", destinationPortRange="*", protocol="*")
    assert verdicts(parent(NSG, {"securityRules": [denied, rule("aks", 100, [OLD, NEW])]})) == ["old_only"]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (waf("Allow", OLD), ["old_only"]),
        (waf("Allow", OLD, NEW), ["both"]),
        (waf("Block", OLD, negate=True), ["old_only"]),
        (waf("Block", OLD, NEW, negate=True), ["both"]),
        (waf("Block", NEW), ["old_only"]),
        (waf("Block", "20.9.9.9"), ["open"]),
        (waf("Block", OLD, negate=True, enabledState="Disabled"), []),
        (waf("Log", OLD), []),
        ({}, []),
    ],
    ids=str,
)
def test_front_doors_firewall_lets_in_by_allowing_or_by_blocking_all_others(
    properties: Object, expected: list[str]
) -> None:
    type_ = "Microsoft.Network/frontDoorWebApplicationFirewallPolicies"
    of = parent(type_, properties, sku={"name": "Premium_AzureFrontDoor"})
    assert verdicts(of) == expected
    for found in findings(of):
        if found.missing and found.list.entries[0].allow:
            assert found.list.add is not None
            (request,) = found.list.add(found.missing).requests
            assert request.body["sku"] == {"name": "Premium_AzureFrontDoor"}
            assert verdicts(parent(type_, request.body["properties"])) == ["both"]


@pytest.mark.parametrize(
    ("action", "negated", "address", "expected"),
    [
        ("Allow", False, OLD, ["old_only"]),
        ("Block", True, OLD, ["old_only"]),
        ("Block", False, NEW, ["old_only"]),
        ("Block", False, "20.9.9.9", ["open"]),
        ("Log", False, OLD, []),
    ],
)
def test_an_application_gateways_firewall_is_judged_in_the_same_way(
    action: str,
    negated: bool,  # noqa: FBT001 - a case of the table
    address: str,
    expected: list[str],
) -> None:
    type_ = "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies"
    condition = {
        "matchVariables": [{"variableName": "RemoteAddr"}],
        "operator": "IPMatch",
        "negationConditon": negated,
        "matchValues": [address],
    }
    rules = [{"name": "office", "action": action, "state": "Enabled", "matchConditions": [condition]}]
    of = parent(type_, {"customRules": rules})
    assert verdicts(of) == expected
    assert verdicts(parent(type_, {"customRules": [{**rules[0], "state": "Disabled"}]})) == []


def test_an_ip_group_is_a_list() -> None:
    of = parent("Microsoft.Network/ipGroups", {"ipAddresses": [OLD, "10.0.0.0/8"]}, tags={"team": "net"})
    (found,) = findings(of)
    assert found.verdict is Verdict.OLD_ONLY
    assert found.list.add is not None
    (request,) = found.list.add(found.missing).requests
    assert request.body == {
        "location": "eastus2",
        "tags": {"team": "net"},
        "properties": {"ipAddresses": [OLD, "10.0.0.0/8", NEW]},
    }


def test_a_hub_firewalls_rules_are_judged_with_their_ip_groups() -> None:
    group = f"{ROOT}/Microsoft.Network/ipGroups/aks"

    def policy(*rules: Object, action: str = "Allow") -> Parent:
        inner = {"priority": 100, "ruleCollections": [{"name": "c", "action": {"type": action}, "rules": list(rules)}]}
        one = {"id": f"{ROOT}/Microsoft.Network/firewallPolicies/one/ruleCollectionGroups/g", "properties": inner}
        return parent("Microsoft.Network/firewallPolicies", {}, [one])

    billing = {"name": "billing", "sourceAddresses": [OLD], "sourceIpGroups": []}
    (found,) = findings(policy(billing))
    assert (found.verdict.value, found.list.place) == ("old_only", "g/c/billing")
    assert found.list.add is not None
    (request,) = found.list.add(found.missing).requests
    assert request.path.endswith("/ruleCollectionGroups/g")
    assert request.body["properties"]["ruleCollections"][0]["rules"][0]["sourceAddresses"] == [OLD, NEW]
    assert request.body["properties"]["priority"] == 100
    assert verdicts(policy(billing, action="Deny")) == []
    assert verdicts(policy({**billing, "sourceAddresses": ["*"]})) == []
    both = {**billing, "sourceIpGroups": [group.upper()]}
    has_new = Context(groups={group.casefold(): [NEW]}, security_groups={})
    assert verdicts(policy(both), context=has_new) == ["both"]
    assert verdicts(policy(both)) == ["unknown"]


def test_a_firewall_without_a_policy_has_its_rules_in_itself() -> None:
    rules = [{"name": "billing", "sourceAddresses": [OLD]}]
    collection = {"name": "in", "properties": {"action": {"type": "Dnat"}, "rules": rules}}
    (found,) = findings(parent("Microsoft.Network/azureFirewalls", {"natRuleCollections": [collection]}))
    assert (found.verdict.value, found.list.place) == ("old_only", "in/billing")
    assert found.list.add is not None
    assert "rule billing in the collection in" in found.list.add(found.missing).by_hand


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.type)
def test_what_could_not_be_read_or_has_another_form_is_unknown(service: Any) -> None:
    denied = Parent(item={"id": f"{ROOT}/{service.type}/one"}, unread="denied (Azure answered 403)")
    (found,) = [judge(each, CALLER) for each in lists_of(service, denied, NOTHING)]
    assert (found.verdict, found.because) == (Verdict.UNKNOWN, "denied (Azure answered 403)")


SPOILED: list[tuple[str, Object, list[Object] | None]] = [
    ("Microsoft.Sql/servers", {}, [{"name": "r", "properties": None}]),
    ("Microsoft.Sql/servers", {}, [{"name": "r", "properties": {}}]),
    ("Microsoft.Storage/storageAccounts", {"networkAcls": {"defaultAction": "Deny", "ipRules": [5]}}, None),
    ("Microsoft.Storage/storageAccounts", {"networkAcls": [1]}, None),
    ("Microsoft.Web/sites", {}, [{"name": "web"}]),
    (NSG, {"securityRules": [{"name": "r"}]}, None),
    (NSG, {"securityRules": [rule("r", 100, OLD, destinationPortRange="x")]}, None),
    (AKS, {"apiServerAccessProfile": "no"}, None),
    ("Microsoft.KeyVault/vaults", {**acl(OLD), "privateEndpointConnections": [5]}, None),
]


@pytest.mark.parametrize(("type_", "properties", "children"), SPOILED, ids=str)
def test_an_answer_of_another_form_is_unknown(type_: str, properties: Object, children: list[Object] | None) -> None:
    assert verdicts(parent(type_, properties, children)) == ["unknown"]


def test_private_addresses_and_nonsense_are_refused_all_at_once() -> None:
    found, problems = read_addresses(
        ["20.1.1.1", "10.0.0.1", "100.64.1.1", "x", "20.1.1.1/24", "2603:1030::/64"], "--new"
    )
    assert [span.text for span in found] == ["20.1.1.1", "2603:1030::/64"]
    assert [problem.rule for problem in problems] == ["public-address", "public-address", "address", "address"]


def test_an_address_of_one_family_is_in_no_range_of_the_other() -> None:
    listed = AllowList(type="t", resource_id="/t/one", place="p", entries=(source("2603::/16"),))
    assert judge(listed, CALLER).verdict is Verdict.NOT_LISTED


ADDRESSES = st.integers(min_value=0, max_value=2**32 - 1)


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 2**20)), max_size=6), ADDRESSES)
def test_containment_is_that_of_the_numbers(ranges: list[tuple[int, int]], address: int) -> None:
    entries = []
    inside = False
    for first, length in ranges:
        last = min(first + length, 2**32 - 1)
        entries.append(database_rule(str(ipaddress.IPv4Address(first)), str(ipaddress.IPv4Address(last)), name="r"))
        inside = inside or first <= address <= last or first == last == 0
    listed = AllowList(type="t", resource_id="/t/one", place="p", entries=tuple(entries))
    caller = Caller(old=(Span(4, address, address),), new=(Span(4, address, address),))
    assert (judge(listed, caller).verdict in {Verdict.BOTH, Verdict.OPEN}) == inside


@given(st.integers(0, 2**32 - 2**12), st.integers(1, 2**12), st.integers(1, 2**12))
def test_a_prefix_is_in_only_as_a_whole_whatever_rules_it_is_cut_by(first: int, length: int, cut: int) -> None:
    whole = Span(4, first, first + length - 1)
    middle = first + min(cut, length) - 1
    halves = [Entry(text="a", spans=(Span(4, first, middle),))]
    listed = AllowList(type="t", resource_id="/t/one", place="p", entries=tuple(halves))
    caller = Caller(old=(Span(4, first, first),), new=(whole,))
    assert judge(listed, caller).verdict is (Verdict.BOTH if middle == whole.last else Verdict.OLD_ONLY)
    halves.append(Entry(text="b", spans=(Span(4, min(middle + 1, whole.last), whole.last),)))
    assert judge(replace(listed, entries=tuple(halves)), caller).verdict is Verdict.BOTH
