"""What the tests of the rehearsal share: the tools, one control plane, one simulated Azure."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from headroom.rehearsal.arm.endpoint import Endpoint, start_arm
from headroom.rehearsal.aws.endpoint import Endpoint as AwsEndpoint
from headroom.rehearsal.aws.endpoint import start_endpoint
from headroom.rehearsal.control_plane import ControlPlane, start_control_plane
from headroom.rehearsal.kube import Kube
from headroom.rehearsal.tools import Tools, find_tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The programs of a rehearsal; without them a test fails and says to run make setup."""
    return find_tools()


@pytest.fixture(scope="session")
def control_plane(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real control plane, started once; tests keep apart by their own namespaces."""
    with start_control_plane(tools, tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def kube(control_plane: ControlPlane) -> Iterator[Kube]:
    """A client of the control plane, which still runs after the test."""
    client = control_plane.client()
    yield client
    client.close()
    control_plane.check()


NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
_groups = itertools.count(1)


@dataclass(frozen=True)
class Azure:
    """A resource group of the simulated Azure, and the real SDKs that speak to it."""

    arm: Endpoint
    group: str

    @property
    def group_id(self) -> str:
        return f"/subscriptions/{self.arm.subscription}/resourceGroups/{self.group}"

    def client(self, cls: Any) -> Any:
        return cls(self.arm.credential(), self.arm.subscription, **self.arm.options())

    @cached_property
    def network(self) -> Any:
        from azure.mgmt.network import NetworkManagementClient  # noqa: PLC0415  # loaded where it is used

        return self.client(NetworkManagementClient)

    @cached_property
    def aks(self) -> Any:
        from azure.mgmt.containerservice import ContainerServiceClient  # noqa: PLC0415  # the same

        return self.client(ContainerServiceClient)

    @cached_property
    def cdn(self) -> Any:
        from azure.mgmt.cdn import CdnManagementClient  # noqa: PLC0415  # the same

        return self.client(CdnManagementClient)

    def id_of(self, type_: str, *names: str) -> str:
        """The id of a resource of this group, such as `id_of("Microsoft.Network/virtualNetworks/subnets", …)`."""
        namespace, *words = type_.split("/")
        pairs = "/".join(f"{word}/{name}" for word, name in zip(words, names, strict=True))
        return f"{self.group_id}/providers/{namespace}/{pairs}"

    def add(self, type_: str, *names: str, **body: Any) -> str:
        """Puts a resource through the back door, and gives its id."""
        identifier = self.id_of(type_, *names)
        self.arm.add_resources([{"id": identifier, **body}])
        return identifier

    def vnet(self, *prefixes: str, name: str = "vnet") -> str:
        space = {"addressPrefixes": list(prefixes or ["10.20.0.0/16"])}
        return self.add(
            "Microsoft.Network/virtualNetworks", name, location="eastus", properties={"addressSpace": space}
        )

    def subnet(self, name: str, prefix: str, *, vnet: str = "vnet", **properties: Any) -> str:
        return self.add(
            "Microsoft.Network/virtualNetworks/subnets",
            vnet,
            name,
            properties={"addressPrefix": prefix, **properties},
        )

    def address(self, name: str = "egress", sku: str = "Standard") -> str:
        return self.add(
            "Microsoft.Network/publicIPAddresses",
            name,
            location="eastus",
            sku={"name": sku},
            properties={"publicIPAllocationMethod": "Static"},
        )

    def gateway(self, *addresses: str, name: str = "egress") -> str:
        return self.add(
            "Microsoft.Network/natGateways",
            name,
            location="eastus",
            sku={"name": "Standard"},
            properties={"publicIpAddresses": [{"id": address} for address in addresses]},
        )

    def identity(self, *scopes: str, name: str = "aks") -> str:
        """A managed identity with the role that AKS needs on those scopes."""
        identifier = self.add("Microsoft.ManagedIdentity/userAssignedIdentities", name, location="eastus")
        principal = self.get(identifier)["properties"]["principalId"]
        role = f"/providers/Microsoft.Authorization/roleDefinitions/{NETWORK_CONTRIBUTOR}"
        self.arm.add_resources(
            {
                "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{self.group}-{name}-{number}",
                "properties": {"principalId": principal, "roleDefinitionId": role},
            }
            for number, scope in enumerate(scopes)
        )
        return identifier

    def get(self, identifier: str, **query: str) -> dict[str, Any]:
        """A resource, or a list, as a GET shows it."""
        from azure.core.rest import HttpRequest  # noqa: PLC0415  # loaded where it is used

        request = HttpRequest("GET", f"{self.arm.url}{identifier}", params={"api-version": "2024-05-01", **query})
        response = self.network._client.send_request(request)  # its pipeline, for types without an SDK
        response.raise_for_status()
        return dict(response.json())

    def cluster_body(self, *pools: Mapping[str, Any], version: str = "1.29", **profile: Any) -> dict[str, Any]:
        """A body of a cluster, in no conflict with anything unless the profile says so."""
        network = {"serviceCidr": "192.168.128.0/17", "dnsServiceIP": "192.168.128.10", **profile}
        return {
            "location": "eastus",
            "properties": {
                "dnsPrefix": self.group,
                "kubernetesVersion": version,
                "networkProfile": network,
                "agentPoolProfiles": [{"name": "system", "count": 3, "vmSize": "Standard_D4s_v5", **p} for p in pools],
            },
        }

    def make_cluster(self, name: str, body: Mapping[str, Any]) -> Any:
        return self.aks.managed_clusters.begin_create_or_update(self.group, name, body).result()


@pytest.fixture(scope="session")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One simulated Azure; tests keep apart by their own resource groups."""
    with start_arm(tmp_path_factory.mktemp("arm"), graph_quota=1000) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def simulated_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    """One simulated AWS as it comes, for tests that order no faults and keep apart by services, Regions and names."""
    with start_endpoint(tmp_path_factory.mktemp("aws")) as endpoint:
        yield endpoint


@pytest.fixture
def azure(arm: Endpoint) -> Iterator[Azure]:
    """A resource group that no other test uses, without faults."""
    group = f"group-{next(_groups)}"
    arm.add_resources([{"id": f"/subscriptions/{arm.subscription}/resourceGroups/{group}", "location": "eastus"}])
    yield Azure(arm, group)
    arm.clear_faults()
