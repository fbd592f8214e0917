"""Outputs of the Azure CLI, as they come out of files in any order, put together into facts.

Recognised by what they hold: resources of Azure Resource Manager by their id (`az aks show`, `az aks nodepool list`,
`az network vnet show`, `… vnet subnet list`, `… route-table show`, `… nsg show`, `… nat gateway show`,
`… public-ip show`), `az vm list-usage`, `az vm list-skus`, `az monitor activity-log list`, and what the command of
`HOST_LOCAL_COMMAND` prints on a node. What no file holds was not collected.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from headroom.collect import azure_objects as facts
from headroom.facts.azure import (
    HOST_LOCAL_MARK,
    SANDBOXES_MARK,
    Azure,
    AzureSubnet,
    HostLocalReading,
    ManagedCluster,
    NodeNetworkConfig,
    VirtualNetwork,
    resource_name,
    same_resource,
)
from headroom.facts.values import NOT_COLLECTED, Fact, Reason, Unknown, items

T = TypeVar("T")
Object = Mapping[str, Any]

CLUSTERS: Final = "microsoft.containerservice/managedclusters"
POOLS: Final = f"{CLUSTERS}/agentpools"
VNETS: Final = "microsoft.network/virtualnetworks"
SUBNETS: Final = f"{VNETS}/subnets"
_LISTS: Final[Mapping[str, tuple[str, Callable[[Object], Any]]]] = {
    "microsoft.network/routetables": ("route_tables", facts.route_table),
    "microsoft.network/networksecuritygroups": ("security_groups", facts.security_group),
    "microsoft.network/natgateways": ("nat_gateways", facts.nat_gateway),
    "microsoft.network/publicipaddresses": ("public_addresses", facts.public_address),
    "microsoft.network/publicipprefixes": ("public_prefixes", facts.public_prefix),
}
"""Types that are read as they come, with their place among the facts."""

_ID: Final = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)(?:/resourceGroups/(?P<group>[^/]+))?/providers/(?P<type>.+)", re.IGNORECASE
)

_RESERVATION: Final = re.compile(
    r"^\./(?P<network>[^/]+)/(?P<address>\d{1,3}(?:\.\d{1,3}){3}):(?P<container>[0-9a-f]{12,64})\b"
)
_SANDBOX: Final = re.compile(r"^[0-9a-f]{12,64}$")


def type_of(resource_id: object) -> str | None:
    """The type in an ARM id, in small letters; ``None``: it is no ARM id of a resource."""
    found = _ID.fullmatch(resource_id) if isinstance(resource_id, str) else None
    if found is None:
        return None
    parts = found["type"].rstrip("/").split("/")
    return "/".join([parts[0], *parts[1::2]]).lower()


def is_host_local(text: str) -> bool:
    """Whether a text is what `HOST_LOCAL_COMMAND` prints."""
    return text.lstrip().startswith(HOST_LOCAL_MARK)


def host_local_reading(text: str) -> HostLocalReading:
    """The reservations of a node against its sandboxes, of what `HOST_LOCAL_COMMAND` prints.

    Each file is named after the address that it reserves and begins with the id of the container that it is for
    (containernetworking/plugins, host-local, backend/disk).
    """
    lines = [line.strip() for line in text.lstrip().splitlines()]
    node = lines[0].removeprefix(HOST_LOCAL_MARK).strip()
    reserved = {found["address"]: found["container"] for line in lines if (found := _RESERVATION.match(line))}
    networks = {found["network"] for line in lines if (found := _RESERVATION.match(line))}
    if SANDBOXES_MARK not in lines:
        return HostLocalReading(node=node, reserved=len(reserved))
    sandboxes = {line for line in lines[lines.index(SANDBOXES_MARK) :] if _SANDBOX.match(line)}
    leaked = [address for address, container in reserved.items() if not _is_live(container, sandboxes)]
    return HostLocalReading(
        node=node,
        network=min(networks) if networks else None,
        reserved=len(reserved),
        live=len(reserved) - len(leaked),
        leaked=tuple(sorted(leaked, key=lambda address: tuple(map(int, address.split("."))))),
    )


def _is_live(container: str, sandboxes: set[str]) -> bool:
    return container in sandboxes or any(each.startswith(container) for each in sandboxes)


class GatheredAzure:
    """What the files of a bundle have held of Azure so far."""

    def __init__(self) -> None:
        self._resources: dict[str, list[Object]] = {}
        self._usages: list[Object] = []
        self._skus: list[Object] = []
        self._activity: list[Object] = []
        self.configs: list[NodeNetworkConfig] = []
        self.host_local: list[HostLocalReading] = []

    # Taking in.

    def take(self, item: Object) -> bool:
        """One object of the Azure CLI; false where it is none that is known."""
        kind = type_of(item.get("id"))
        if "eventTimestamp" in item and "operationName" in item:
            self._activity.append(item)
        elif {"currentValue", "limit", "name"} <= item.keys():
            self._usages.append(item)
        elif item.get("resourceType") == "virtualMachines":
            self._skus.append(item)
        elif kind is not None and (kind in (CLUSTERS, POOLS, VNETS, SUBNETS) or kind in _LISTS):
            self._resources.setdefault(kind, []).append(item)
        else:
            return False
        return True

    # Giving out.

    def is_azure(self) -> bool:
        """Whether any file held something of Azure that makes facts."""
        return bool(self._resources or self._usages or self._activity or self.configs or self.host_local or self._skus)

    @property
    def cluster_name(self) -> str | None:
        """The cluster's name; ``None``: no file holds it, or several."""
        names = {str(each.get("name")) for each in self._resources.get(CLUSTERS, ())}
        return names.pop() if len(names) == 1 else None

    def azure(self) -> Azure:
        """What Azure said."""
        clusters = self._resources.get(CLUSTERS, [])
        cluster = self._cluster(clusters)
        quotas = [each for each in self._usages if type_of(each.get("id")) != SUBNETS]
        found = _ID.fullmatch(cluster.cluster_id) if isinstance(cluster, ManagedCluster) else None
        lists: dict[str, Any] = {
            name: _read(self._resources[kind], make) for kind, (name, make) in _LISTS.items() if kind in self._resources
        }
        return replace(
            Azure(
                subscription_id=found["subscription"] if found is not None else NOT_COLLECTED,
                resource_group=found["group"] if found is not None else NOT_COLLECTED,
                location=cluster.location if isinstance(cluster, ManagedCluster) else NOT_COLLECTED,
                cluster=cluster,
                pools=self._pools(clusters),
                vnets=self._vnets(),
                quotas=_read(quotas, facts.usage) if quotas else NOT_COLLECTED,
                vm_sizes=_read(self._skus, lambda item: facts.vm_size(item, "")) if self._skus else NOT_COLLECTED,
                errors=_read_all(self._activity) if self._activity else NOT_COLLECTED,
                host_local=tuple(self.host_local) if self.host_local else NOT_COLLECTED,
                node_network_configs=tuple(self.configs) if self.configs else NOT_COLLECTED,
            ),
            **lists,
        )

    @staticmethod
    def _cluster(clusters: list[Object]) -> Fact[ManagedCluster]:
        if not clusters:
            return NOT_COLLECTED
        names = {str(each.get("id")).lower() for each in clusters}
        if len(names) > 1:
            return Unknown(Reason.UNPARSEABLE, f"{len(names)} clusters are in the files")
        read = _read(clusters[-1:], facts.managed_cluster)
        return read if isinstance(read, Unknown) else read[0]

    def _pools(self, clusters: list[Object]) -> Any:
        listed = self._resources.get(POOLS, [])
        if listed:
            return _read(listed, facts.agent_pool)
        if len(clusters) == 1:
            return _read(facts.properties_of(clusters[0]).get("agentPoolProfiles") or [], facts.agent_pool)
        return NOT_COLLECTED

    def _vnets(self) -> Any:
        vnets = _read(self._resources.get(VNETS, []), lambda item: facts.virtual_network(item, self._of_vnet()))
        subnets = _read(self._resources.get(SUBNETS, []), lambda item: facts.subnet(item, self._counted()))
        if isinstance(vnets, Unknown) or isinstance(subnets, Unknown):
            return vnets if isinstance(vnets, Unknown) else subnets
        if not vnets and not subnets:
            return NOT_COLLECTED
        found = {vnet.vnet_id.lower(): vnet for vnet in vnets}
        for subnet in subnets:
            vnet_id = facts.parent_of(subnet.subnet_id)
            vnet = found.get(vnet_id.lower()) or VirtualNetwork(
                vnet_id=vnet_id, name=resource_name(vnet_id), subnets=()
            )
            found[vnet_id.lower()] = replace(vnet, subnets=_with_subnet(vnet, subnet))
        return tuple(found.values())

    def _counted(self) -> Mapping[str, Object] | Unknown:
        """Counts of subnets (`az network vnet list-available-ips` has none; `… vnet list-usages` does), by id."""
        counted = {str(each["id"]).lower(): each for each in self._usages if type_of(each.get("id")) == SUBNETS}
        return counted or NOT_COLLECTED

    def _of_vnet(self) -> list[Object] | Unknown:
        counted = self._counted()
        return counted if isinstance(counted, Unknown) else list(counted.values())


def _with_subnet(vnet: VirtualNetwork, subnet: AzureSubnet) -> tuple[AzureSubnet, ...]:
    """A subnet's own file says more of it than its VNet's."""
    others = tuple(each for each in items(vnet.subnets) if not same_resource(each.subnet_id, subnet.subnet_id))
    return (*others, subnet)


def _read(raw: list[Object], make: Callable[[Object], T]) -> tuple[T, ...] | Unknown:
    try:
        return tuple(make(item) for item in raw)
    except (KeyError, TypeError, ValueError, AttributeError, LookupError) as error:
        return Unknown(Reason.UNPARSEABLE, f"an object of another form: {error!r}"[:200])


def _read_all(entries: list[Object]) -> Any:
    try:
        return facts.refusals(entries)
    except (KeyError, TypeError, ValueError, AttributeError, LookupError) as error:
        return Unknown(Reason.UNPARSEABLE, f"the activity log has another form: {error!r}"[:200])
