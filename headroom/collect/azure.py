"""Reads what Azure says of an AKS cluster: the cluster, its networks, quotas, refused operations, egress metrics.

Where a resource is named by another one, it is read by its id; what nobody names (other clusters in the same VNets) is
asked of Resource Graph. A type that Resource Graph does not list has no rows there, which is no answer: ``Coverage``
says of every type how it was listed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect import azure_objects as facts
from headroom.collect.azure_session import AzureClients, asks_azure, unknown_of
from headroom.collect.readings import Pending, Readings, side_by_side
from headroom.collect.session import SUBJECT
from headroom.collect.times import utc
from headroom.facts.azure import (
    AgentPool,
    ArmError,
    Azure,
    AzureSubnet,
    ComputeUsage,
    Coverage,
    EgressReading,
    ManagedCluster,
    NatGateway,
    Neighbour,
    NetworkProfile,
    VirtualNetwork,
    VmSize,
    part_of,
    same_resource,
)
from headroom.facts.values import NOT_COLLECTED, Fact, Reason, Unknown, items, known

T = TypeVar("T")
Object = Mapping[str, Any]

ROLE_ACTIONS: Final = (
    "Microsoft.Compute/locations/usages/read",
    "Microsoft.Compute/skus/read",
    "Microsoft.ContainerService/managedClusters/agentPools/read",
    "Microsoft.ContainerService/managedClusters/read",
    "Microsoft.Insights/eventtypes/values/read",
    "Microsoft.Insights/metrics/read",
    "Microsoft.Network/natGateways/read",
    "Microsoft.Network/networkSecurityGroups/read",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPPrefixes/read",
    "Microsoft.Network/routeTables/read",
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/usages/read",
    "Microsoft.ResourceGraph/resources/read",
)
"""What the reader's role needs (Azure RBAC, permissions of resource providers)."""

CALLS: Final = (
    "7 calls in any case",
    "2 for each VNet of the pools' subnets; 1 more to find the one that AKS made",
    "1 for each route table, network security group, NAT gateway, public address and prefix that they name",
    "1 for each further page",
    "3 for each NAT gateway, 5 for the load balancer: one a metric",
)
"""The call budget."""

COMPUTE_API: Final = "2024-07-01"
SKUS_API: Final = "2021-07-01"
METRICS_API: Final = "2023-10-01"
ACTIVITY_API: Final = "2015-04-01"
"""Versions of the APIs for which this asks Azure Resource Manager itself (Azure REST API reference)."""

WINDOW: Final = timedelta(minutes=5)
"""Over which outbound connections are counted: the window of the alert that Azure recommends (nat-metrics)."""
REFUSED_WITHIN: Final = timedelta(hours=1)
GRAPH_ROWS: Final = 1000
"""Rows of an answer of Resource Graph at most (Azure Resource Graph, work-with-data)."""
WORKERS: Final = 6
"""Resources of one kind that are read at a time."""

LOAD_BALANCER: Final = "kubernetes"
"""The load balancer that AKS makes in the node resource group."""

_NEIGHBOURS: Final = (
    "resources | where type =~ 'microsoft.containerservice/managedclusters' "
    "| project id, name, properties | order by id asc"
)


_HOSTS: Final = ("fqdn", "privateFQDN", "azurePortalFQDN")
"""Names of the API server (Azure REST API reference, ManagedClusterProperties)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRead:
    """The cluster, its pools, and the names of its API server."""

    cluster: ManagedCluster
    pools: tuple[AgentPool, ...]
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureReadings:
    """The readings that others build on, and a function that waits for all."""

    cluster: Pending[ClusterRead]
    fact: Callable[[], Azure]


def start_azure(
    readings: Readings, clients: AzureClients, group: str, cluster: str, *, now: datetime | None = None
) -> AzureReadings:
    """Starts the readings of Azure.

    Args:
        readings: Where they run.
        clients: Clients of the cluster's subscription.
        group: The cluster's resource group.
        cluster: Its name.
        now: The time; ``None``: the clock's.
    """
    moment = now or datetime.now(UTC)

    def start(name: str, read: Callable[[], T | Unknown], length: Callable[[T], int] | None = None) -> Pending[T]:
        return readings.start(f"azure {name}", asks_azure(read), items=length)

    found = start("managedClusters", lambda: read_cluster(clients, group, cluster), lambda _: 1)
    pools = start("agentPools", lambda: _read_pools(clients, group, cluster))
    vnets = start("virtualNetworks", lambda: _read_vnets(clients, found.needed(), pools.fact()))
    subnets = partial(_subnets_of, found, pools, vnets)
    tables = start(
        "routeTables", lambda: _by_id(clients, _named(subnets(), "route_table_id"), _get_table, facts.route_table)
    )
    groups = start(
        "networkSecurityGroups",
        lambda: _by_id(clients, _named(subnets(), "security_group_id"), _get_group, facts.security_group),
    )
    gateways = start(
        "natGateways", lambda: _by_id(clients, _named(subnets(), "nat_gateway_id"), _get_gateway, facts.nat_gateway)
    )
    addresses = start(
        "publicIPAddresses",
        lambda: _by_id(
            clients, _address_ids(found.needed().cluster, gateways.needed()), _get_address, facts.public_address
        ),
    )
    prefixes = start(
        "publicIPPrefixes",
        lambda: _by_id(
            clients, _prefix_ids(found.needed().cluster, gateways.needed()), _get_prefix, facts.public_prefix
        ),
    )
    quotas = start("compute usages", lambda: _read_quotas(clients, _location(found.needed())))
    sizes = start("compute skus", lambda: _read_sizes(clients, found.needed(), pools.fact()))
    errors = start("activity log", lambda: _read_errors(clients, found.needed().cluster, group, moment))
    egress = start("metrics", lambda: _read_egress(clients, found.needed().cluster, gateways.fact(), moment))
    neighbours = start("resource graph", lambda: _read_neighbours(clients, found.needed(), vnets.needed()))

    def fact() -> Azure:
        read = found.fact()
        listed = pools.fact()
        return Azure(
            subscription_id=clients.subscription,
            resource_group=group,
            location=read.cluster.location if not isinstance(read, Unknown) else read,
            cluster=read if isinstance(read, Unknown) else read.cluster,
            pools=listed if isinstance(read, Unknown) or not _pools_of(read, listed) else _pools_of(read, listed),
            vnets=vnets.fact(),
            route_tables=tables.fact(),
            security_groups=groups.fact(),
            nat_gateways=gateways.fact(),
            public_addresses=addresses.fact(),
            public_prefixes=prefixes.fact(),
            quotas=quotas.fact(),
            vm_sizes=sizes.fact(),
            errors=errors.fact(),
            egress=egress.fact(),
            neighbours=neighbours.fact(),
            coverage=_coverage(
                {
                    "Microsoft.Network/virtualNetworks": vnets.fact(),
                    "Microsoft.Network/routeTables": tables.fact(),
                    "Microsoft.Network/networkSecurityGroups": groups.fact(),
                    "Microsoft.Network/natGateways": gateways.fact(),
                    "Microsoft.Network/publicIPAddresses": addresses.fact(),
                    "Microsoft.Network/publicIPPrefixes": prefixes.fact(),
                    "Microsoft.ContainerService/managedClusters": neighbours.fact(),
                }
            ),
        )

    return AzureReadings(cluster=found, fact=fact)


# The cluster.


@asks_azure
def read_cluster(clients: AzureClients, group: str, cluster: str) -> ClusterRead:
    """The cluster, with the pools that it names itself.

    Raises:
        ProblemsError: There is no such cluster.
    """
    try:
        item = clients.containers.managed_clusters.get(group, cluster).as_dict()
    except ResourceNotFoundError:
        raise ProblemsError([_no_cluster(clients, group, cluster)], subject=SUBJECT) from None
    properties = facts.properties_of(item)
    profiles = properties.get("agentPoolProfiles") or ()
    return ClusterRead(
        cluster=facts.managed_cluster(item),
        pools=tuple(facts.agent_pool(each) for each in profiles),
        hosts=tuple(str(properties[name]) for name in _HOSTS if properties.get(name)),
    )


def _read_pools(clients: AzureClients, group: str, cluster: str) -> tuple[AgentPool, ...]:
    return tuple(facts.agent_pool(each.as_dict()) for each in clients.containers.agent_pools.list(group, cluster))


def _no_cluster(clients: AzureClients, group: str, cluster: str) -> Problem:
    return Problem(
        rule="cluster-exists",
        value=cluster,
        reason=f"is no AKS cluster in the resource group {group} of subscription {clients.subscription}.",
        next_step="`az aks list --output table` lists those that there are, with their resource groups.",
        key="--cluster",
    )


def _location(read: ClusterRead) -> str:
    return known(read.cluster.location) or ""


# The network.


def _pools_of(read: ClusterRead, listed: tuple[AgentPool, ...] | Unknown) -> tuple[AgentPool, ...]:
    """The pools, as listed; where that failed or lists none, as the cluster itself names them: it has at least one."""
    return read.pools if isinstance(listed, Unknown) or not listed else listed


def _subnet_ids(pools: Iterable[AgentPool]) -> tuple[str, ...]:
    found = (known(each) for pool in pools for each in (pool.node_subnet_id, pool.pod_subnet_id))
    return tuple({each.lower(): each for each in found if each is not None}.values())


def _read_vnets(
    clients: AzureClients, read: ClusterRead, listed: tuple[AgentPool, ...] | Unknown
) -> tuple[VirtualNetwork, ...]:
    """The VNets of the pools' subnets; a pool that names none is in the one that AKS made for the cluster."""
    pools = _pools_of(read, listed)
    vnet_ids = {vnet.lower(): vnet for vnet in map(facts.parent_of, _subnet_ids(pools))}
    group = known(read.cluster.node_resource_group)
    if group is not None and any(pool.node_subnet_id is None for pool in pools):
        made = (str(each.id) for each in clients.network.virtual_networks.list(group))
        vnet_ids |= {vnet.lower(): vnet for vnet in made}

    def read_one(vnet_id: str) -> VirtualNetwork:
        network = clients.network_in(part_of(vnet_id, "subscriptions"))
        of, name = part_of(vnet_id, "resourceGroups"), vnet_id.rpartition("/")[2]
        item = network.virtual_networks.get(of, name).as_dict()
        usages: list[Object] | Unknown
        try:
            usages = [each.as_dict() for each in network.virtual_networks.list_usage(of, name)]
        except AzureError as error:  # the counts alone are unknown then
            usages = unknown_of(error)
        return facts.virtual_network(item, usages)

    return tuple(side_by_side(asks_azure(read_one), tuple(vnet_ids.values()), workers=WORKERS))


def _subnets_of(
    found: Pending[ClusterRead],
    pools: Pending[tuple[AgentPool, ...]],
    vnets: Pending[tuple[VirtualNetwork, ...]],
) -> tuple[AzureSubnet, ...]:
    """The subnets of the pools' nodes and pods, and those that AKS made."""
    read = found.needed()
    wanted = {each.lower() for each in _subnet_ids(_pools_of(read, pools.fact()))}
    own = (known(read.cluster.node_resource_group) or "").lower()
    return tuple(
        subnet
        for vnet in vnets.needed()
        for subnet in items(vnet.subnets)
        if subnet.subnet_id.lower() in wanted or part_of(vnet.vnet_id, "resourceGroups").lower() == own
    )


def _named(subnets: Iterable[AzureSubnet], what: str) -> tuple[str, ...]:
    found = (known(getattr(subnet, what)) for subnet in subnets)
    return tuple({each.lower(): each for each in found if each is not None}.values())


def _by_id(
    clients: AzureClients,
    resource_ids: Sequence[str],
    get: Callable[[NetworkManagementClient, str, str], Any],
    make: Callable[[Object], T],
) -> tuple[T, ...]:
    """Resources by their ids, each in its own subscription: a VNet and what it names are often in another one."""

    def read(resource_id: str) -> T:
        network = clients.network_in(part_of(resource_id, "subscriptions"))
        group, name = part_of(resource_id, "resourceGroups"), resource_id.rpartition("/")[2]
        return make(get(network, group, name).as_dict())

    return tuple(side_by_side(asks_azure(read), resource_ids, workers=WORKERS))


def _get_table(network: NetworkManagementClient, group: str, name: str) -> Any:
    return network.route_tables.get(group, name)


def _get_group(network: NetworkManagementClient, group: str, name: str) -> Any:
    return network.network_security_groups.get(group, name)


def _get_gateway(network: NetworkManagementClient, group: str, name: str) -> Any:
    return network.nat_gateways.get(group, name)


def _get_address(network: NetworkManagementClient, group: str, name: str) -> Any:
    return network.public_ip_addresses.get(group, name)


def _get_prefix(network: NetworkManagementClient, group: str, name: str) -> Any:
    return network.public_ip_prefixes.get(group, name)


def _address_ids(cluster: ManagedCluster, gateways: Iterable[NatGateway]) -> tuple[str, ...]:
    network = known(cluster.network) or NetworkProfile()
    balancer, managed = known(network.load_balancer), known(network.nat_gateway)
    found = [
        *(items(balancer.effective_outbound_ip_ids) if balancer is not None else ()),
        *(items(managed.effective_outbound_ip_ids) if managed is not None else ()),
        *(each for gateway in gateways for each in items(gateway.public_ip_ids)),
    ]
    return tuple({each.lower(): each for each in found}.values())


def _prefix_ids(cluster: ManagedCluster, gateways: Iterable[NatGateway]) -> tuple[str, ...]:
    network = known(cluster.network) or NetworkProfile()
    balancer = known(network.load_balancer)
    found = [
        *(items(balancer.outbound_prefix_ids) if balancer is not None else ()),
        *(each for gateway in gateways for each in items(gateway.public_prefix_ids)),
    ]
    return tuple({each.lower(): each for each in found}.values())


def _read_neighbours(
    clients: AzureClients,
    read: ClusterRead,
    vnets: Iterable[VirtualNetwork],
) -> tuple[Neighbour, ...] | Unknown:
    """Other clusters with a subnet in the same VNets, wherever the caller may look.

    Where not even the cluster itself is among the rows, what Resource Graph lists is no answer.
    """
    within = tuple(f"{vnet.vnet_id.lower()}/subnets/" for vnet in vnets)
    found: list[Neighbour] = []
    token: str | None = None
    while True:
        answer = clients.graph.resources(
            QueryRequest(
                query=_NEIGHBOURS,
                options=QueryRequestOptions(result_format="objectArray", top=GRAPH_ROWS, skip_token=token),
            )
        ).as_dict()
        found += [facts.neighbour(each) for each in answer.get("data") or ()]
        token = answer.get("$skipToken") or answer.get("skip_token")
        if not token:
            break
    others = [each for each in found if not same_resource(each.cluster_id, read.cluster.cluster_id)]
    if len(others) == len(found):
        return Unknown(Reason.UNREACHABLE, "Resource Graph does not list the cluster itself")
    return tuple(each for each in others if any(subnet.lower().startswith(within) for subnet in items(each.subnet_ids)))


# Quotas, refused operations, metrics.


def _read_quotas(clients: AzureClients, location: str) -> tuple[ComputeUsage, ...]:
    path = f"/subscriptions/{clients.subscription}/providers/Microsoft.Compute/locations/{location}/usages"
    return tuple(facts.usage(each) for each in clients.every(path, COMPUTE_API))


def _read_sizes(
    clients: AzureClients, read: ClusterRead, listed: tuple[AgentPool, ...] | Unknown
) -> tuple[VmSize, ...]:
    wanted = {known(pool.vm_size) for pool in _pools_of(read, listed)}
    location = _location(read)
    path = f"/subscriptions/{clients.subscription}/providers/Microsoft.Compute/skus"
    found = clients.every(path, SKUS_API, **{"$filter": f"location eq '{location}'"})
    return tuple(
        facts.vm_size(each, location)
        for each in found
        if each.get("resourceType") == "virtualMachines" and each.get("name") in wanted
    )


def _read_errors(clients: AzureClients, cluster: ManagedCluster, group: str, now: datetime) -> tuple[ArmError, ...]:
    """What Azure refused the cluster in the last hour, in its own resource group and in that of its nodes."""
    since, until = (utc(each) for each in (now - REFUSED_WITHIN, now))
    path = f"/subscriptions/{clients.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
    entries: list[Object] = []
    for each in dict.fromkeys((group, known(cluster.node_resource_group) or group)):
        wanted = f"eventTimestamp ge '{since}' and eventTimestamp le '{until}' and resourceGroupName eq '{each}'"
        entries += clients.every(path, ACTIVITY_API, **{"$filter": wanted})
    return facts.refusals(entries)


def _read_egress(
    clients: AzureClients, cluster: ManagedCluster, gateways: tuple[NatGateway, ...] | Unknown, now: datetime
) -> tuple[EgressReading, ...] | Unknown:
    """Outbound connections of the NAT gateways, where the subnets have any; else of the cluster's load balancer."""
    if isinstance(gateways, Unknown):
        return gateways
    if gateways:
        return tuple(_egress_of_gateway(clients, each.gateway_id, now) for each in gateways)
    network = known(cluster.network) or NetworkProfile()
    group = known(cluster.node_resource_group)
    if known(network.outbound_type) != "loadBalancer" or group is None:
        return NOT_COLLECTED if known(network.outbound_type) == "managedNATGateway" else ()
    balancer = (
        f"/subscriptions/{clients.subscription}/resourceGroups/{group}/providers/Microsoft.Network/loadBalancers/"
        f"{LOAD_BALANCER}"
    )
    availability = _average(clients, balancer, "VipAvailability", now)
    failed, every = _connections(clients, balancer, "SnatConnectionCount", now, availability)
    return (
        EgressReading(
            resource_id=balancer,
            kind="loadBalancer",
            failed_connections=failed,
            connections=every,
            used_ports=_ports(clients, balancer, "UsedSnatPorts", now),
            allocated_ports=_ports(clients, balancer, "AllocatedSnatPorts", now),
            datapath_availability=availability,
            since=utc(now - WINDOW),
            until=utc(now),
        ),
    )


def _egress_of_gateway(clients: AzureClients, gateway: str, now: datetime) -> EgressReading:
    availability = _average(clients, gateway, "DatapathAvailability", now)
    failed, every = _connections(clients, gateway, "SNATConnectionCount", now, availability)
    return EgressReading(
        resource_id=gateway,
        kind="natGateway",
        failed_connections=failed,
        connections=every,
        used_ports=None,
        allocated_ports=None,
        datapath_availability=availability,
        since=utc(now - WINDOW),
        until=utc(now),
    )


def _connections(
    clients: AzureClients, resource: str, metric: str, now: datetime, availability: Fact[float]
) -> tuple[Fact[int], Fact[int]]:
    """Failed connections, and all of them. A state without a connection has no series at all: then there was none.

    Where no state has a value, and the availability, which is measured all the time, has none either, nothing was
    counted: that is no zero.
    """
    failed = _metric(clients, resource, metric, "Total", now, "ConnectionState eq 'Failed'")
    every = _metric(clients, resource, metric, "Total", now)
    if every is None and not isinstance(availability, float):
        nothing = Unknown(Reason.UNREACHABLE, f"Azure Monitor has no value of {metric} in the window")
        return nothing, nothing
    return _whole(failed) or 0, _whole(every) or 0


def _average(clients: AzureClients, resource: str, metric: str, now: datetime) -> Fact[float]:
    """A metric beside the count of failed connections: what fails here leaves that count as it is."""
    try:
        return _metric(clients, resource, metric, "Average", now)
    except AzureError as error:
        return unknown_of(error)


def _ports(clients: AzureClients, resource: str, metric: str, now: datetime) -> Fact[int]:
    found = _average(clients, resource, metric, now)
    return found if isinstance(found, Unknown) else _whole(found)


def _metric(  # noqa: PLR0913, PLR0917 - private; what a request for a metric names
    clients: AzureClients, resource: str, metric: str, aggregation: str, now: datetime, wanted: str = ""
) -> float | None:
    """A metric over the window: sums are added, of averages the largest counts, and of availability their mean.

    ``None``: it has no value.
    """
    query = {
        "metricnames": metric,
        "aggregation": aggregation,
        "timespan": f"{utc(now - WINDOW)}/{utc(now)}",
        "interval": "PT1M",
    }
    if wanted:
        query["$filter"] = wanted
    answer = clients.get(f"{resource}/providers/Microsoft.Insights/metrics", METRICS_API, **query)
    values = [
        float(point[aggregation.lower()])
        for each in answer["value"]
        for series in each.get("timeseries") or ()
        for point in series.get("data") or ()
        if point.get(aggregation.lower()) is not None
    ]
    if not values:
        return None
    return sum(values) if aggregation == "Total" else _over_window(metric, values)


def _over_window(metric: str, values: Sequence[float]) -> float:
    return sum(values) / len(values) if metric.endswith("Availability") else max(values)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


# Coverage.


def _coverage(read: Mapping[str, Fact[tuple[Any, ...]]]) -> tuple[Coverage, ...]:
    """How each type was listed: only clusters are asked of Resource Graph, all else is named by what was read."""
    found = []
    for name, fact in read.items():
        by = "resource_graph" if name.endswith("managedClusters") else "resource_manager"
        if isinstance(fact, Unknown):
            found.append(Coverage(resource_type=name, listed_by="none", because=str(fact)))
        else:
            found.append(Coverage(resource_type=name, listed_by=by, found=len(fact or ())))
    return tuple(found)
