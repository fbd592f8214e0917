"""The stand-in for Pulumi's azure-native provider, spoken to as the engine speaks to it."""

from collections.abc import Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from headroom.rehearsal.arm.endpoint import Endpoint
from headroom.rehearsal.providers.azure_api import use_endpoint
from headroom.rehearsal.providers.azure_native import PACKAGE
from headroom.rehearsal.providers.azure_shapes import CHILD, Shape, followed, to_body, to_properties
from headroom.rehearsal.providers.common import Provider, serve
from headroom.rehearsal.providers.values import UNKNOWN, plain, struct
from tests.rehearsal.conftest import Azure

SUBNET = "azure-native:network:Subnet"
GATEWAY = "azure-native:network:NatGateway"
ADDRESS = "azure-native:network:PublicIPAddress"
TABLE = "azure-native:network:RouteTable"
CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"
ROLE = "azure-native:authorization:RoleAssignment"
IDENTITY = "azure-native:managedidentity:UserAssignedIdentity"
ORIGIN = "azure-native:cdn:AFDOrigin"
ALERT = "azure-native:monitor:MetricAlert"

ROUTE = {"name": "out", "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.0.4"}
PROFILE = {
    "networkPlugin": "azure",
    "networkPluginMode": "overlay",
    "podCidr": "10.244.0.0/16",
    "serviceCidr": "192.168.128.0/17",
    "dnsServiceIP": "192.168.128.10",
    "outboundType": "loadBalancer",
}

Properties = dict[str, Any]


def urn(token: str) -> str:
    return f"urn:pulumi:dev::trial::headroom:index:StableEgress${token}::it"


class Engine:
    """One connection of the engine, with one provider instance behind it."""

    def __init__(self, port: int, **configuration: str) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)
        self.stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
        self.stub.Configure(provider_pb2.ConfigureRequest(args=struct(configuration)))

    def check(
        self, token: str, inputs: Properties, old: Properties | None = None, seed: bytes = b"seed"
    ) -> tuple[Properties, list[str]]:
        answer = self.stub.Check(
            provider_pb2.CheckRequest(urn=urn(token), news=struct(inputs), olds=struct(old or {}), randomSeed=seed)
        )
        return plain(answer.inputs), [failure.reason for failure in answer.failures]

    def create(self, token: str, inputs: Properties, *, preview: bool = False) -> tuple[str, Properties, Properties]:
        """Gives id, state and the inputs as Check made them."""
        checked, failures = self.check(token, inputs)
        assert failures == []
        answer = self.stub.Create(
            provider_pb2.CreateRequest(urn=urn(token), properties=struct(checked), preview=preview)
        )
        return answer.id, plain(answer.properties), checked

    def diff(
        self, token: str, state: Properties, old: Properties, new: Properties
    ) -> tuple[list[str], list[str], bool]:
        """Gives the paths that differ, the properties that replace, and whether the old one goes first."""
        answer = self.stub.Diff(
            provider_pb2.DiffRequest(
                id="x", urn=urn(token), olds=struct(state), old_inputs=struct(old), news=struct(new)
            )
        )
        return sorted(answer.detailedDiff), list(answer.replaces), answer.deleteBeforeReplace

    def update(  # noqa: PLR0913  # what the engine hands over
        self,
        token: str,
        identifier: str,
        state: Properties,
        old: Properties,
        new: Properties,
        *ignored: str,
        preview: bool = False,
    ) -> Properties:
        answer = self.stub.Update(
            provider_pb2.UpdateRequest(
                id=identifier,
                urn=urn(token),
                olds=struct(state),
                old_inputs=struct(old),
                news=struct(new),
                ignoreChanges=ignored,
                preview=preview,
            )
        )
        return plain(answer.properties)

    def read(
        self, token: str, identifier: str, state: Properties | None = None, inputs: Properties | None = None
    ) -> tuple[str, Properties, Properties]:
        answer = self.stub.Read(
            provider_pb2.ReadRequest(
                id=identifier, urn=urn(token), properties=struct(state or {}), inputs=struct(inputs or {})
            )
        )
        return answer.id, plain(answer.properties), plain(answer.inputs)

    def delete(self, token: str, identifier: str) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=identifier, urn=urn(token), properties=struct({})))

    def invoke(self, token: str, **arguments: Any) -> Properties:
        answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=struct(arguments)))
        return plain(getattr(answer, "return"))


@pytest.fixture(scope="module")
def port(arm: Endpoint) -> Iterator[int]:
    use_endpoint(arm.url, arm.certificate)
    server, port = serve(Provider(PACKAGE, patience=30))
    yield port
    server.stop(None).wait()


@pytest.fixture
def engine(port: int) -> Iterator[Engine]:
    made = Engine(port)
    yield made
    made.channel.close()


def subnet_inputs(azure: Azure, **more: Any) -> Properties:
    return {
        "resourceGroupName": azure.group,
        "virtualNetworkName": "vnet",
        "subnetName": "nodes",
        "addressPrefix": "10.20.0.0/24",
        **more,
    }


def gateway_inputs(azure: Azure, **more: Any) -> Properties:
    return {"resourceGroupName": azure.group, "natGatewayName": "egress", "sku": {"name": "Standard"}, **more}


def test_the_location_is_the_groups_and_the_api_version_is_an_input(engine: Engine, azure: Azure) -> None:
    checked, failures = engine.check(GATEWAY, gateway_inputs(azure))

    assert failures == []
    assert (checked["location"], checked["azureApiVersion"]) == ("eastus", "2024-05-01")
    assert engine.check(GATEWAY, {"resourceGroupName": UNKNOWN})[0]["location"] == UNKNOWN
    assert engine.check(SUBNET, {"virtualNetworkName": "vnet"})[1] == ["missing required property 'resourceGroupName'"]
    assert engine.check(GATEWAY, gateway_inputs(azure, colour="red"))[1] == [
        'An argument named "colour" is not expected here.'
    ]


def test_a_name_that_is_left_out_gets_a_random_end_and_is_kept(engine: Engine, azure: Azure) -> None:
    inputs = {"resourceGroupName": azure.group}
    checked, _ = engine.check(GATEWAY, inputs)
    again, _ = engine.check(GATEWAY, inputs, checked, seed=b"another")
    another, _ = engine.check(GATEWAY, inputs, seed=b"another")
    role, _ = engine.check(ROLE, {"principalId": "p", "roleDefinitionId": "r", "scope": azure.group_id})

    assert checked["natGatewayName"].startswith("it")
    assert len(checked["natGatewayName"]) == len("it") + 8
    assert again["natGatewayName"] == checked["natGatewayName"] != another["natGatewayName"]
    assert len(role["roleAssignmentName"]) == 36
    changed = {**checked, "resourceGroupName": "other"}
    assert engine.diff(GATEWAY, {}, checked, changed) == (["resourceGroupName"], ["resourceGroupName"], False)
    named = gateway_inputs(azure)
    assert engine.diff(GATEWAY, {}, named, {**named, "natGatewayName": "other"})[2] is True, "an own name: delete first"


def test_a_gateway_is_made_read_and_deleted(engine: Engine, azure: Azure) -> None:
    address, address_state, _ = engine.create(
        ADDRESS,
        {
            "resourceGroupName": azure.group,
            "publicIpAddressName": "egress",
            "sku": {"name": "Standard"},
            "publicIPAllocationMethod": "Static",
        },
    )
    identifier, state, inputs = engine.create(GATEWAY, gateway_inputs(azure, publicIpAddresses=[{"id": address}]))

    assert identifier == azure.id_of("Microsoft.Network/natGateways", "egress")
    assert address_state["ipAddress"].startswith("198.51.100.")
    assert state["name"] == "egress"
    assert state["provisioningState"] == "Succeeded"
    assert "resourceGroupName" not in state
    assert engine.read(GATEWAY, identifier, state, inputs) == (identifier, state, inputs), "a refresh without a change"
    engine.delete(GATEWAY, identifier)
    engine.delete(GATEWAY, identifier)
    assert engine.read(GATEWAY, identifier, state, inputs)[0] == "", "gone"


def test_what_is_there_already_is_not_created(engine: Engine, azure: Azure) -> None:
    identifier = azure.gateway()

    with pytest.raises(grpc.RpcError) as refused:
        engine.create(GATEWAY, gateway_inputs(azure))

    assert refused.value.details() == f"cannot create already existing resource '{identifier}'"


def test_an_error_of_azure_is_told_as_the_real_provider_tells_it(engine: Engine, azure: Azure) -> None:
    azure.vnet()

    with pytest.raises(grpc.RpcError) as refused:
        engine.create(SUBNET, subnet_inputs(azure, addressPrefix="10.99.0.0/24"))

    assert refused.value.details().startswith('Status=400 Code="NetcfgSubnetRangeOutsideVnet" Message="Subnet ')


def test_what_was_accepted_and_failed_later_is_kept(engine: Engine, azure: Azure) -> None:
    azure.arm.order("PUT Microsoft.Network/natGateways", "fail-later", code="InternalServerError")

    with pytest.raises(grpc.RpcError) as failed:
        engine.create(GATEWAY, gateway_inputs(azure))

    trailing = dict(failed.value.trailing_metadata())
    kept = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(trailing["grpc-status-details-bin"]).details[0].Unpack(kept)
    assert kept.id == azure.id_of("Microsoft.Network/natGateways", "egress")


def test_an_update_that_was_accepted_and_failed_later_is_kept_with_its_new_inputs(engine: Engine, azure: Azure) -> None:
    identifier, state, inputs = engine.create(GATEWAY, gateway_inputs(azure))
    azure.arm.order("PUT Microsoft.Network/natGateways", "fail-later", code="InternalServerError")

    with pytest.raises(grpc.RpcError) as failed:
        engine.update(GATEWAY, identifier, state, inputs, {**inputs, "idleTimeoutInMinutes": 10})

    trailing = dict(failed.value.trailing_metadata())
    kept = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(trailing["grpc-status-details-bin"]).details[0].Unpack(kept)
    assert (kept.id, plain(kept.inputs)["idleTimeoutInMinutes"]) == (identifier, 10)
    assert plain(kept.properties)["provisioningState"] == "Failed"


def test_a_conflict_that_passes_is_tried_again_and_another_one_is_not(engine: Engine, azure: Azure) -> None:
    operation = "PUT Microsoft.Network/natGateways"
    azure.arm.order(operation, "fail", status=409, code="AnotherOperationInProgress", count=3)
    identifier, state, inputs = engine.create(GATEWAY, gateway_inputs(azure))
    azure.arm.order(operation, "fail", status=409, code="Conflict", message="Somebody else.")

    with pytest.raises(grpc.RpcError) as refused:
        engine.update(GATEWAY, identifier, state, inputs, {**inputs, "idleTimeoutInMinutes": 10})

    assert refused.value.details() == 'Status=409 Code="Conflict" Message="Somebody else."'
    assert azure.arm.back_door("GET", "faults") == []


def test_an_error_of_aks_is_told_as_a_whole(engine: Engine, azure: Azure) -> None:
    """AKS puts no `error` around it, and the real provider shows what it does not know."""
    with pytest.raises(grpc.RpcError) as refused:
        engine.create(CLUSTER, {"resourceGroupName": azure.group, "resourceName": "it", "dnsPrefix": "it"})

    assert refused.value.details().startswith('Status=400 Code="InvalidParameter" Message="{"code": "InvalidParameter"')


def test_an_adopted_subnet_has_all_that_it_has_as_inputs(engine: Engine, azure: Azure) -> None:
    azure.vnet()
    table = azure.add("Microsoft.Network/routeTables", "table", location="eastus", properties={})
    identifier = azure.subnet("nodes", "10.20.0.0/24", routeTable={"id": table})

    found, state, inputs = engine.read(SUBNET, identifier)

    assert found == identifier
    assert inputs == {
        "addressPrefix": "10.20.0.0/24",
        "azureApiVersion": "2024-05-01",
        "delegations": [],
        "name": "nodes",
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
        "resourceGroupName": azure.group,
        "routeTable": {"id": table},
        "subnetName": "nodes",
        "type": "Microsoft.Network/virtualNetworks/subnets",
        "virtualNetworkName": "vnet",
    }
    assert state["routeTable"] == {"id": table}
    with pytest.raises(grpc.RpcError, match="is no id of azure-native:network:Subnet"):
        engine.read(SUBNET, table)


def test_a_naive_edit_of_a_subnet_is_an_update_and_drops_its_route_table(engine: Engine, azure: Azure) -> None:
    azure.vnet()
    table = azure.add("Microsoft.Network/routeTables", "table", location="eastus", properties={})
    identifier = azure.subnet("nodes", "10.20.0.0/24", routeTable={"id": table})
    _, state, imported = engine.read(SUBNET, identifier)
    gateway = azure.gateway(azure.address())
    naive = {name: value for name, value in imported.items() if name != "routeTable"} | {"natGateway": {"id": gateway}}

    paths, replaces, _ = engine.diff(SUBNET, state, imported, naive)
    after = engine.update(SUBNET, identifier, state, imported, naive)

    assert (paths, replaces) == (["natGateway", "routeTable"], []), "an update, in no way striking"
    assert "routeTable" not in after
    assert azure.network.route_tables.get(azure.group, "table").subnets is None


def test_what_the_engine_ignores_is_sent_as_the_inputs_had_it(engine: Engine, azure: Azure) -> None:
    azure.vnet()
    table = azure.add("Microsoft.Network/routeTables", "table", location="eastus", properties={})
    identifier = azure.subnet("nodes", "10.20.0.0/24", routeTable={"id": table})
    _, state, imported = engine.read(SUBNET, identifier)
    gateway = azure.gateway(azure.address())

    # The engine itself puts the old inputs where the program ignores changes.
    after = engine.update(
        SUBNET, identifier, state, imported, {**imported, "natGateway": {"id": gateway}}, "routeTable"
    )

    assert (after["routeTable"], after["natGateway"]) == ({"id": table}, {"id": gateway})


def test_a_refresh_follows_what_others_changed_and_nothing_else(engine: Engine, azure: Azure) -> None:
    azure.vnet()
    identifier, state, inputs = engine.create(SUBNET, subnet_inputs(azure))
    gateway = azure.gateway(azure.address())
    azure.subnet("nodes", "10.20.0.0/24", natGateway={"id": gateway})

    _, present, refreshed = engine.read(SUBNET, identifier, state, inputs)

    assert present["natGateway"] == {"id": gateway}
    assert refreshed == {**inputs, "natGateway": {"id": gateway}}


def test_followed_keeps_what_a_program_wrote() -> None:
    before = {"a": 1, "list": [{"x": 1, "given": 5}], "gone": 2, "default": 3}
    after = {"a": 2, "list": [{"x": 9, "given": 5}], "default": 3, "new": 4}

    assert followed({"a": 1, "list": [{"x": 1}], "gone": 2}, before, after) == {"a": 2, "list": [{"x": 9}], "new": 4}


_NAMES = st.sampled_from(["location", "tags", "sku", "priority", "count", "odataType", "weight"])
_VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=3)),
    max_leaves=6,
)
_ROUTES = st.fixed_dictionaries({"routes": st.lists(st.dictionaries(st.sampled_from(["name", "hop"]), st.text()))})


@given(st.dictionaries(_NAMES, _VALUES), _ROUTES)
def test_a_body_comes_back_as_the_properties_that_it_was_made_of(inputs: Properties, routes: Properties) -> None:
    shape = Shape(beside=frozenset({"location", "tags", "sku"}), inside={"routes": CHILD})

    assert to_properties(to_body({**inputs, **routes}, shape), shape) == {**inputs, **routes}


def test_routes_that_the_program_leaves_out_stay_on_update(engine: Engine, azure: Azure) -> None:
    inputs = {"resourceGroupName": azure.group, "routeTableName": "table"}
    identifier, state, checked = engine.create(TABLE, inputs)
    azure.add(
        "Microsoft.Network/routeTables/routes", "table", "out", properties={k: ROUTE[k] for k in ROUTE if k != "name"}
    )

    after = engine.update(TABLE, identifier, state, checked, {**checked, "tags": {"owner": "network"}})

    assert [route["name"] for route in after["routes"]] == ["out"]
    with_own = engine.update(TABLE, identifier, after, checked, {**checked, "routes": [{**ROUTE, "name": "own"}]})
    assert [(route["name"], route["nextHopIpAddress"]) for route in with_own["routes"]] == [("own", "10.0.0.4")]


def test_a_preview_knows_inputs_and_after_an_update_name_and_location(engine: Engine, azure: Azure) -> None:
    inputs = {"resourceGroupName": azure.group, "publicIpAddressName": "egress", "sku": {"name": "Standard"}}
    _, planned, _ = engine.create(ADDRESS, inputs, preview=True)
    identifier, state, checked = engine.create(ADDRESS, {**inputs, "publicIPAllocationMethod": "Static"})
    changed = engine.update(ADDRESS, identifier, state, checked, {**checked, "tags": {"a": "b"}}, preview=True)

    assert (planned["sku"], planned["location"]) == ({"name": "Standard"}, "eastus")
    assert (planned["ipAddress"], planned["name"]) == (UNKNOWN, UNKNOWN)
    assert (changed["name"], changed["location"], changed["ipAddress"]) == ("egress", "eastus", UNKNOWN)


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"sku": {"name": "StandardV2"}}, True),
        ({"location": "westus"}, True),
        ({"location": "East US"}, False),
        ({"publicIPPrefix": {"id": "/x"}}, True),
        ({"publicIPAddressVersion": "IPv6"}, True),
        ({"tags": {"a": "b"}}, False),
        ({"idleTimeoutInMinutes": 10}, False),
    ],
)
def test_some_changes_of_an_address_are_a_new_address(engine: Engine, change: Properties, *, replaces: bool) -> None:
    old = {"publicIpAddressName": "egress", "sku": {"name": "Standard"}, "location": "eastus"}
    old |= {"publicIPAddressVersion": "IPv4", "publicIPPrefix": {"id": "/y"}}

    assert bool(engine.diff(ADDRESS, {}, old, {**old, **change})[1]) is replaces


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"outboundType": "userAssignedNATGateway"}, True),
        ({"podCidr": "10.244.0.0/15"}, True),
        ({"networkPolicy": "cilium"}, True),
        ({"networkDataplane": "cilium"}, True),
        ({"serviceCidr": "192.168.0.0/16"}, True),
        ({"loadBalancerProfile": {"allocatedOutboundPorts": 1024}}, False),
        ({"loadBalancerSku": "standard"}, False),
        ({"advancedNetworking": {"enabled": True}}, False),
    ],
)
def test_what_azure_changes_in_place_the_provider_replaces_the_cluster_for(
    engine: Engine, change: Properties, *, replaces: bool
) -> None:
    old = {"resourceName": "it", "networkProfile": PROFILE, "kubernetesVersion": "1.33"}

    found = engine.diff(CLUSTER, {}, old, {**old, "networkProfile": {**PROFILE, **change}})

    assert bool(found[1]) is replaces
    assert engine.diff(CLUSTER, {}, old, {**old, "kubernetesVersion": "1.34"})[1] == []


def test_a_cluster_with_an_identity_a_role_and_a_second_pool(engine: Engine, azure: Azure) -> None:
    azure.vnet()
    subnet = azure.subnet("nodes", "10.20.0.0/24")
    identity, who, _ = engine.create(IDENTITY, {"resourceGroupName": azure.group, "resourceName": "aks"})
    role = {
        "principalId": who["principalId"],
        "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7",
        "scope": subnet,
    }
    role_id, _, _ = engine.create(ROLE, role)
    inputs = {
        "resourceGroupName": azure.group,
        "resourceName": "it",
        "dnsPrefix": "it",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [identity]},
        "networkProfile": PROFILE,
        "agentPoolProfiles": [
            {"name": "system", "count": 1, "vmSize": "Standard_D4s_v5", "vnetSubnetID": subnet, "mode": "System"}
        ],
    }

    planned = engine.create(CLUSTER, inputs, preview=True)[1]
    identifier, state, checked = engine.create(CLUSTER, inputs)
    pool = {"resourceGroupName": azure.group, "resourceName": "it", "agentPoolName": "apps", "count": 2}
    _, made, _ = engine.create(POOL, {**pool, "vmSize": "Standard_D4s_v5", "vnetSubnetID": subnet})
    engine.update(CLUSTER, identifier, state, checked, {**checked, "tags": {"a": "b"}})

    assert planned["identity"] == {"type": "UserAssigned", "userAssignedIdentities": UNKNOWN}, "it will be a mapping"
    assert list(state["identity"]["userAssignedIdentities"]) == [identity]
    assert role_id.startswith(f"{subnet}/providers/Microsoft.Authorization/roleAssignments/")
    assert engine.read(ROLE, role_id)[2]["scope"] == subnet.removeprefix("/")
    assert engine.read(ROLE, role_id)[2]["principalId"] == who["principalId"], "an input here, and nowhere else"
    assert state["networkProfile"]["loadBalancerProfile"]["effectiveOutboundIPs"]
    assert (made["maxPods"], made["type"]) == (250, "VirtualMachineScaleSets")
    assert {item.name for item in azure.aks.agent_pools.list(azure.group, "it")} == {"system", "apps"}
    assert engine.read(CLUSTER, identifier)[2]["identity"] == {
        "type": "UserAssigned",
        "userAssignedIdentities": [identity],
    }
    assert (
        engine.read(CLUSTER, identifier, state, checked)[2]["agentPoolProfiles"][0] == checked["agentPoolProfiles"][0]
    )


def test_an_origin_is_put_whole(engine: Engine, azure: Azure) -> None:
    azure.add("Microsoft.Cdn/profiles", "door", location="global", sku={"name": "Standard_AzureFrontDoor"})
    azure.add("Microsoft.Cdn/profiles/originGroups", "door", "shop", properties={})
    inputs = {"resourceGroupName": azure.group, "profileName": "door", "originGroupName": "shop", "originName": "old"}

    identifier, state, checked = engine.create(ORIGIN, {**inputs, "hostName": "old.example.com", "weight": 900})
    after = engine.update(ORIGIN, identifier, state, checked, {k: v for k, v in checked.items() if k != "weight"})

    assert (state["weight"], after["weight"]) == (900, 50)
    with pytest.raises(grpc.RpcError, match='Status=400 Code="BadRequest"'):
        engine.update(ORIGIN, identifier, after, checked, {**checked, "weight": 0})


def test_a_dot_in_a_name_of_azures_has_none_in_the_program(engine: Engine, azure: Azure) -> None:
    criteria = {
        "odataType": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
        "allOf": [{"name": "failed", "metricName": "SNATConnectionCount", "threshold": 0}],
    }
    alert = {"enabled": True, "evaluationFrequency": "PT5M", "scopes": ["/x"], "severity": 1, "windowSize": "PT5M"}
    inputs = {"resourceGroupName": azure.group, "ruleName": "snat", "location": "global", "criteria": criteria, **alert}

    identifier, state, _ = engine.create(ALERT, inputs)

    assert "odata.type" in azure.get(identifier)["properties"]["criteria"]
    assert state["criteria"] == criteria


def test_functions_look_things_up(engine: Engine, azure: Azure) -> None:
    azure.vnet()
    subnet = azure.subnet("nodes", "10.20.0.0/24", delegations=[{"name": "d", "properties": {"serviceName": "x"}}])
    gateway = azure.gateway(azure.address())
    group = {"resourceGroupName": azure.group}

    vnet = engine.invoke("azure-native:network:getVirtualNetwork", virtualNetworkName="vnet", **group)
    found = engine.invoke("azure-native:network:getSubnet", virtualNetworkName="vnet", subnetName="nodes", **group)

    assert vnet["addressSpace"] == {"addressPrefixes": ["10.20.0.0/16"]}
    assert [item["addressPrefix"] for item in vnet["subnets"]] == ["10.20.0.0/24"]
    assert (found["id"], found["delegations"][0]["serviceName"]) == (subnet, "x")
    assert engine.invoke("azure-native:network:getNatGateway", natGatewayName="egress", **group)["id"] == gateway
    config = engine.invoke("azure-native:authorization:getClientConfig")
    assert config["subscriptionId"] == azure.arm.subscription
    with pytest.raises(grpc.RpcError, match='Status=404 Code="ResourceNotFound"'):
        engine.invoke("azure-native:network:getNatGateway", natGatewayName="absent", **group)


def test_a_count_that_goes_to_zero_is_changed_and_not_taken_away(azure: Azure, engine: Engine) -> None:
    del azure
    old = {"resourceGroupName": "rg", "resourceName": "aks", "count": 3, "enableAutoScaling": True, "minCount": 3}
    new = {"resourceGroupName": "rg", "resourceName": "aks", "count": 0, "enableAutoScaling": False}
    request = provider_pb2.DiffRequest(
        id="x", urn=urn(POOL), olds=struct(old), old_inputs=struct(old), news=struct(new)
    )
    found = {
        path: provider_pb2.PropertyDiff.Kind.Name(each.kind)
        for path, each in engine.stub.Diff(request).detailedDiff.items()
    }
    assert found == {"count": "UPDATE", "enableAutoScaling": "UPDATE", "minCount": "DELETE"}
