"""The simulated Azure's network, spoken to by the real SDK: whole-object PUTs, references, refusals."""

import signal
import subprocess
import sys
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from headroom.rehearsal.arm.endpoint import BackDoorRefusedError
from tests.rehearsal.conftest import Azure

VNETS = "Microsoft.Network/virtualNetworks"
TABLES = "Microsoft.Network/routeTables"
ROUTE = {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.0.4"}


def code_of(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    found: Any = error.value.error
    return str(found.code)


def put_subnet(azure: Azure, name: str, **properties: Any) -> Any:
    body = {"properties": properties}
    return azure.network.subnets.begin_create_or_update(azure.group, "vnet", name, body).result()


def table(azure: Azure, name: str = "table") -> str:
    routes = [{"name": "out", "properties": ROUTE}]
    return azure.add(TABLES, name, location="eastus", properties={"routes": routes})


def test_a_put_is_a_long_running_operation_that_ends_in_a_resource(azure: Azure) -> None:
    azure.vnet()

    subnet = put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24")

    assert subnet.provisioning_state == "Succeeded"
    assert subnet.id == azure.id_of(f"{VNETS}/subnets", "vnet", "nodes")
    assert azure.network.subnets.get(azure.group, "vnet", "nodes").address_prefix == "10.20.0.0/24"


def test_a_subnet_that_is_put_without_its_route_table_loses_it(azure: Azure) -> None:
    azure.vnet()
    identifier = table(azure)
    put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24", routeTable={"id": identifier})
    gateway = azure.gateway(azure.address())

    naive = put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24", natGateway={"id": gateway})

    assert naive.nat_gateway.id == gateway
    assert naive.route_table is None
    assert azure.network.route_tables.get(azure.group, "table").subnets is None


def test_a_put_with_an_etag_of_before_is_refused(azure: Azure) -> None:
    azure.vnet()
    before = put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24")
    put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24", routeTable={"id": table(azure)})
    operations = azure.network.subnets

    with pytest.raises(HttpResponseError) as refused:
        operations.begin_create_or_update(
            azure.group, "vnet", "nodes", before, headers={"If-Match": before.etag}
        ).result()

    assert refused.value.status_code == 412
    assert code_of(refused) == "PreconditionFailed"
    present = operations.get(azure.group, "vnet", "nodes")
    present.nat_gateway = {"id": azure.gateway(azure.address())}
    kept = operations.begin_create_or_update(
        azure.group, "vnet", "nodes", present, headers={"If-Match": present.etag}
    ).result()
    assert kept.route_table.id == azure.id_of(TABLES, "table"), "read, changed, written with the etag: nothing is lost"


def test_a_vnet_that_is_put_without_subnets_loses_them(azure: Azure) -> None:
    azure.vnet()
    put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24")

    azure.vnet()

    assert list(azure.network.subnets.list(azure.group, "vnet")) == []


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.21.0.0/24", "NetcfgSubnetRangeOutsideVnet"),
        ("10.20.0.128/25", "NetcfgSubnetRangesOverlap"),
        ("10.20.1.1/24", "InvalidCIDRNotation"),
        ("10.20.4.0/30", "InvalidParameter"),
    ],
)
def test_a_subnet_has_to_fit(azure: Azure, prefix: str, code: str) -> None:
    azure.vnet()
    put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24")

    with pytest.raises(HttpResponseError) as refused:
        put_subnet(azure, "other", addressPrefix=prefix)

    assert code_of(refused) == code
    assert [subnet.name for subnet in azure.network.subnets.list(azure.group, "vnet")] == ["nodes"]


def test_a_reference_to_what_is_not_there_is_refused(azure: Azure) -> None:
    azure.vnet()

    with pytest.raises(HttpResponseError) as refused:
        put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24", natGateway={"id": azure.id_of(TABLES, "absent")})

    assert code_of(refused) == "InvalidResourceReference"


def test_what_is_in_use_is_not_deleted(azure: Azure) -> None:
    azure.vnet()
    address = azure.address()
    gateway = azure.gateway(address)
    rules = azure.add("Microsoft.Network/networkSecurityGroups", "rules", location="eastus", properties={})
    put_subnet(
        azure,
        "nodes",
        addressPrefix="10.20.0.0/24",
        natGateway={"id": gateway},
        routeTable={"id": table(azure)},
        networkSecurityGroup={"id": rules},
    )
    network = azure.network
    codes = {}
    for name, deletion in {
        "table": network.route_tables.begin_delete,
        "rules": network.network_security_groups.begin_delete,
        "egress": network.nat_gateways.begin_delete,
    }.items():
        with pytest.raises(HttpResponseError) as refused:
            deletion(azure.group, name).result()
        codes[name] = code_of(refused)
    with pytest.raises(HttpResponseError) as held:
        network.public_ip_addresses.begin_delete(azure.group, "egress").result()

    assert codes == {
        "table": "InUseRouteTableCannotBeDeleted",
        "rules": "InUseNetworkSecurityGroupCannotBeDeleted",
        "egress": "CannotDeleteNatGatewayAssociatedToSubnet",
    }
    assert code_of(held) == "PublicIPAddressCannotBeDeleted"
    put_subnet(azure, "nodes", addressPrefix="10.20.0.0/24")
    network.nat_gateways.begin_delete(azure.group, "egress").result()
    network.public_ip_addresses.begin_delete(azure.group, "egress").result()
    with pytest.raises(ResourceNotFoundError):
        network.public_ip_addresses.get(azure.group, "egress")


def test_an_address_keeps_its_number_and_gives_it_back(azure: Azure) -> None:
    azure.address("first")
    one = azure.network.public_ip_addresses.get(azure.group, "first").ip_address
    azure.address("first")

    assert azure.network.public_ip_addresses.get(azure.group, "first").ip_address == one
    azure.network.public_ip_addresses.begin_delete(azure.group, "first").result()
    azure.address("second")
    assert azure.network.public_ip_addresses.get(azure.group, "second").ip_address == one


def test_a_prefix_holds_the_addresses_that_are_made_of_it(azure: Azure) -> None:
    prefix = azure.add(
        "Microsoft.Network/publicIPPrefixes",
        "range",
        location="eastus",
        sku={"name": "Standard"},
        properties={"prefixLength": 30},
    )
    azure.add(
        "Microsoft.Network/publicIPAddresses",
        "one",
        location="eastus",
        sku={"name": "Standard"},
        properties={"publicIPAllocationMethod": "Static", "publicIPPrefix": {"id": prefix}},
    )

    found = azure.network.public_ip_prefixes.get(azure.group, "range").ip_prefix

    assert found.endswith("/30")
    first = found.removesuffix("/30")
    assert azure.network.public_ip_addresses.get(azure.group, "one").ip_address == first


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"zones": ["2"]}, "ResourceAvailabilityZonesCannotBeModified"),
        ({"zones": ["1", "2"]}, "InvalidParameter"),
        ({"sku": {"name": "StandardV2"}, "zones": ["1"]}, "InvalidParameter"),
        ({"properties": {"idleTimeoutInMinutes": 3}}, "InvalidParameter"),
        ({"location": "westus"}, "InvalidResourceLocation"),
    ],
)
def test_a_nat_gateway_stays_what_it_is(azure: Azure, change: dict[str, Any], code: str) -> None:
    body = {"location": "eastus", "sku": {"name": "Standard"}, "zones": ["1"], "properties": {}}
    operations = azure.network.nat_gateways
    operations.begin_create_or_update(azure.group, "egress", body).result()

    with pytest.raises(HttpResponseError) as refused:
        operations.begin_create_or_update(azure.group, "egress", {**body, **change}).result()

    assert code_of(refused) == code


def test_a_gateway_takes_only_addresses_of_its_own_sku_and_serves_one_vnet(azure: Azure) -> None:
    azure.vnet()
    azure.vnet(name="other")
    gateway = azure.gateway(azure.address())
    azure.subnet("nodes", "10.20.0.0/24", natGateway={"id": gateway})
    basic = azure.add("Microsoft.Network/publicIPAddresses", "basic", location="eastus", properties={})
    body = {"location": "eastus", "properties": {"publicIpAddresses": [{"id": basic}]}}

    with pytest.raises(HttpResponseError) as mixed:
        azure.network.nat_gateways.begin_create_or_update(azure.group, "mixed", body).result()
    subnet = {"properties": {"addressPrefix": "10.20.0.0/24", "natGateway": {"id": gateway}}}
    with pytest.raises(HttpResponseError) as second:
        azure.network.subnets.begin_create_or_update(azure.group, "other", "nodes", subnet).result()

    assert code_of(mixed) == "InvalidParameter"
    assert code_of(second) == "NatGatewayCannotBeUsedBySubnetsBelongingToDifferentVirtualNetworks"


def test_a_gateway_is_refused_on_the_subnet_of_a_basic_load_balancer(azure: Azure) -> None:
    azure.vnet()
    nodes = azure.subnet("nodes", "10.20.0.0/24")
    profile = {"networkPlugin": "kubenet", "podCidr": "10.244.0.0/16", "loadBalancerSku": "basic"}
    azure.make_cluster("it", azure.cluster_body({"vnetSubnetID": nodes}, **profile))

    gateway = azure.gateway(azure.address())
    body = {"properties": {"addressPrefix": "10.20.0.0/24", "natGateway": {"id": gateway}}}

    with pytest.raises(HttpResponseError) as refused:
        azure.network.subnets.begin_create_or_update(azure.group, "vnet", "nodes", body).result()

    assert code_of(refused) == "SubnetWithNatGatewayAndBasicSkuResourceNotAllowed"
    assert azure.network.subnets.get(azure.group, "vnet", "nodes").nat_gateway is None


def test_rules_of_a_group_do_not_share_a_priority(azure: Azure) -> None:
    azure.add("Microsoft.Network/networkSecurityGroups", "rules", location="eastus", properties={})
    rule = {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*"}
    operations = azure.network.security_rules
    operations.begin_create_or_update(azure.group, "rules", "one", {"properties": rule}).result()

    with pytest.raises(HttpResponseError) as refused:
        operations.begin_create_or_update(azure.group, "rules", "two", {"properties": rule}).result()

    assert code_of(refused) == "SecurityRuleConflict"
    shown = azure.network.network_security_groups.get(azure.group, "rules")
    assert [item.name for item in shown.security_rules] == ["one"]
    assert len(shown.default_security_rules) == 6


def test_a_list_comes_in_pages(azure: Azure) -> None:
    for number in range(5):
        azure.address(f"address-{number}")
    azure.arm.change(page_size=2)
    azure.arm.forget_calls()
    try:
        names = [item.name for item in azure.network.public_ip_addresses.list(azure.group)]
    finally:
        azure.arm.change(page_size=100)

    assert names == [f"address-{number}" for number in range(5)]
    assert azure.arm.calls() == {"LIST Microsoft.Network/publicIPAddresses": 3}


def test_absence_is_told_in_azures_words(azure: Azure) -> None:
    with pytest.raises(ResourceNotFoundError) as gone:
        azure.network.nat_gateways.get(azure.group, "absent")
    with pytest.raises(ResourceNotFoundError) as nowhere:
        azure.network.nat_gateways.get("no-such-group", "absent")

    assert "The Resource 'Microsoft.Network/natGateways/absent' under resource group" in str(gone.value)
    assert "Resource group 'no-such-group' could not be found." in str(nowhere.value)


def test_addresses_of_a_subnet_are_counted(azure: Azure) -> None:
    azure.vnet()
    subnet = azure.subnet("nodes", "10.20.0.0/24")
    azure.arm.take_addresses(subnet, 17)

    (usage,) = azure.network.virtual_networks.list_usage(azure.group, "vnet")

    assert (usage.current_value, usage.limit) == (17, 251)


def test_subnets_of_a_vnet_of_the_newer_api_have_no_way_out_by_default(azure: Azure) -> None:
    space = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
    azure.arm.add_resources(
        [{"id": azure.id_of(VNETS, "new"), "location": "eastus", "properties": space}], api_version="2025-07-01"
    )
    azure.vnet(name="old")
    azure.arm.add_resources(
        [
            {
                "id": azure.id_of(f"{VNETS}/subnets", vnet, "nodes"),
                "properties": {"addressPrefix": "10.20.0.0/24"},
            }
            for vnet in ("new", "old")
        ],
        api_version="2025-07-01",
    )

    private = [azure.network.subnets.get(azure.group, vnet, "nodes").default_outbound_access for vnet in ("new", "old")]

    assert private == [False, None]


def test_a_gateway_of_all_zones_has_addresses_of_its_own_kind_and_needs_the_newer_api(azure: Azure) -> None:
    address = azure.id_of("Microsoft.Network/publicIPAddresses", "egress")
    static = {"publicIPAllocationMethod": "Static"}
    one = {"id": address, "location": "eastus", "sku": {"name": "StandardV2"}, "properties": static}
    with pytest.raises(BackDoorRefusedError, match="needs the API version 2025-01-01"):
        azure.arm.add_resources([one])
    azure.arm.add_resources([one], api_version="2025-01-01")
    body = {"location": "eastus", "properties": {"publicIpAddresses": [{"id": address}]}}
    operations = azure.network.nat_gateways

    with pytest.raises(HttpResponseError, match="is not of the sku Standard of"):
        operations.begin_create_or_update(azure.group, "egress", body).result()
    made = operations.begin_create_or_update(azure.group, "egress", {**body, "sku": {"name": "StandardV2"}}).result()

    assert made.sku.name == "StandardV2"
    with pytest.raises(HttpResponseError, match="cannot be changed"):
        operations.begin_create_or_update(azure.group, "egress", {**body, "sku": {"name": "Standard"}}).result()


def test_who_puts_can_be_killed_when_the_change_has_taken_effect(azure: Azure) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as victim:
        azure.arm.order("PUT Microsoft.Network/natGateways", "kill", moment="after", pid=victim.pid)
        azure.network.nat_gateways.begin_create_or_update(azure.group, "egress", {"location": "eastus"}).result()

        assert victim.wait(5) == -signal.SIGKILL
    assert azure.network.nat_gateways.get(azure.group, "egress").name == "egress"
