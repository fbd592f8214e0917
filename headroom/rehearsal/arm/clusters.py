"""AKS clusters and node pools: what becomes of a request that AKS accepts, in the network and out of it.

Nodes are numbers here; a rehearsal's nodes are objects of its Kubernetes API server. A kubenet cluster has a route
table with a route a node, an overlay none. A cluster behind a load balancer has a public address that AKS made, in the
node resource group. Not simulated: versions and images, stop and start, windows of maintenance.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from headroom.addresses.azure import AUTHORIZED_RANGES, OVERLAY_NODE_PREFIX_LENGTH, azure_usable_addresses
from headroom.addresses.blocks import Block, format_address
from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES
from headroom.rehearsal.arm.errors import ArmError, denied, invalid
from headroom.rehearsal.arm.ids import Path, key_of, referred
from headroom.rehearsal.arm.kinds import Kind, RoleAssignment, place, principal_of
from headroom.rehearsal.arm.network import (
    CLUSTERS,
    POOLS,
    PUBLIC_ADDRESSES,
    ROUTE_TABLES,
    ROUTES,
    PublicAddress,
    RouteTable,
    subnet_blocks,
    used,
)
from headroom.rehearsal.arm.profiles import (
    Pool,
    default_max_pods,
    filled,
    fixed,
    is_overlay,
    judge,
    judge_change,
    version_of,
)
from headroom.rehearsal.arm.world import Body, Record, World, copied
from policies.aks import DEFAULT_POOL_COUNT

ROLES_ON_A_SUBNET: Final = frozenset(
    {
        "4d97b98b-1d4f-4787-a291-c67834d212e7",  # Network Contributor
        "b24988ac-6180-42a0-ab88-20f7382dd24c",  # Contributor
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",  # Owner
    }
)
"""Built-in roles with which a cluster's identity may use a subnet (Azure RBAC documentation, built-in-roles)."""

MAXIMUM_COUNT: Final = 1000
"""Nodes of a pool at most (AKS documentation, quotas-skus-regions)."""

JOIN: Final = "Microsoft.Network/virtualNetworks/subnets/join/action"

DEFAULT_VERSION: Final = "1.33"
"""Kubernetes version of a cluster that names none; AKS takes a recent one."""

_SIZE: Final = re.compile(r"Standard_([A-Z]+)\d+(?:-\d+)?([a-z]*)(?:_(v\d+))?")
_VCPUS: Final = re.compile(r"_[A-Z]+(\d+)", re.IGNORECASE)


class AksKind(Kind):
    """What clusters and pools have in common."""

    takes_time = True
    flat_errors = True
    etag_name = "eTag"

    def seconds(self, world: World) -> float:
        """How long a change takes."""
        return world.settings.cluster_seconds


class ManagedCluster(AksKind):
    """A cluster, with the node pools that it was made with inside."""

    type = CLUSTERS

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Fills in the network profile and the pools, and judges them together."""
        del api_version
        if not body.get("location"):
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        properties = body.setdefault("properties", {})
        given_profile: Mapping[str, Any] = properties.get("networkProfile") or {}
        before = old.properties if old else {}
        _fill(path, body, properties, old)
        version = version_of(properties["kubernetesVersion"])
        profile = filled(given_profile, before.get("networkProfile"), version)
        properties["networkProfile"] = profile
        pools = self._pools(world, path, properties, profile, old)
        if old is not None:
            was = before["networkProfile"]
            flat = was["networkPlugin"] == "azure" and not is_overlay(was)
            if flat and is_overlay(profile) and not given_profile.get("podCidr"):
                raise invalid(
                    "Cannot update cluster to Azure CNI Overlay: podCidr is required for a cluster whose pods have "
                    "addresses of the VNet.",
                    target="networkProfile.podCIDR",
                    flat=True,
                )
            judge_change(world, path, old, profile, pools, version)
        judge(world, path, profile, pools, version=version, old=before.get("networkProfile"))
        _judge_access(properties)
        judge_quota(world, path, place(body["location"]), pools)
        properties["agentPoolProfiles"] = [{"name": pool.name, **pool.properties} for pool in pools]

    def _pools(
        self, world: World, path: Path, properties: Body, profile: Mapping[str, Any], old: Record | None
    ) -> list[Pool]:
        """The pools that the cluster has afterwards; those that a PUT does not name stay as they are."""
        have = {pool.path.name: pool for pool in world.below(path.text, POOLS)} if old else {}
        given = properties.get("agentPoolProfiles") or []
        if not given and not have:
            raise invalid(
                "Required parameter agentPoolProfiles is missing (null).", target="agentPoolProfiles", flat=True
            )
        found: dict[str, Pool] = {name: Pool(name=name, properties=pool.properties) for name, pool in have.items()}
        for item in given:
            name = str(item.get("name") or "")
            if old is not None and name not in have:
                raise invalid(
                    "A new agent pool was introduced. Adding agent pools to an existing cluster is not allowed "
                    "through managed cluster operations. For agent pool specific change, please use per agent pool "
                    "operations: https://aka.ms/agent-pool-rest-api",
                    target="agentPoolProfiles",
                    flat=True,
                )
            values = {key: value for key, value in item.items() if key != "name"}
            found[name] = Pool(name=name, properties=_filled_pool(values, have.get(name), profile, properties))
        return list(found.values())

    def accepted(self, world: World, record: Record, old: Body | None) -> ArmError | None:
        """Keeps the pools; the error is what stands in the way of their nodes."""
        profiles = record.properties.pop("agentPoolProfiles")
        error = None
        for item in profiles:
            values = {key: value for key, value in item.items() if key != "name"}
            error = error or keep_pool(world, record, str(item["name"]), values)
        del old
        return error or self._missing_role(world, record)

    def _missing_role(self, world: World, record: Record) -> ArmError | None:
        identities = (record.body.get("identity") or {}).get("userAssignedIdentities") or {}
        if not world.settings.need_roles or not identities:
            return None
        principals = {principal_of(world, identity) for identity in identities}
        for pool in world.below(record.path.text, POOLS):
            subnet = str(pool.properties.get("vnetSubnetID") or "")
            if subnet and not _has_role(world, principals, subnet):
                return denied(JOIN, subnet, principal=min(principals))
        return None

    def finished(self, world: World, record: Record) -> None:
        """The network of the cluster is as its profile says."""
        _keep_group(world, record)
        profile: dict[str, Any] = record.properties["networkProfile"]
        old = record.hidden.get("applied")
        if old and is_overlay(profile) and not is_overlay(old):
            _leave_routes(world, record)
            record.hidden["reimages"] = record.hidden.get("reimages", 0) + 1
        if profile["networkPlugin"] == "kubenet":
            _keep_routes(world, record)
        _keep_outbound(world, record, profile)
        record.hidden["applied"] = copied(profile)

    def show(self, world: World, record: Record, body: Body) -> None:
        """Its pools, its addresses and its names."""
        properties = body["properties"]
        properties["agentPoolProfiles"] = [
            {"name": pool.path.name, **copied(pool.properties), "eTag": pool.etag}
            for pool in world.below(record.path.text, POOLS)
        ]
        properties["currentKubernetesVersion"] = properties["kubernetesVersion"]
        host = (
            f"{properties['dnsPrefix']}-{world.identity(record.path.key)[:8]}.hcp.{place(body['location'])}.azmk8s.io"
        )
        properties["fqdn"] = host
        properties.setdefault("powerState", {"code": "Running"})
        properties["maxAgentPools"] = 100
        properties["resourceUID"] = world.identity(f"uid {record.path.key}").replace("-", "")
        body.setdefault("sku", {"name": "Base", "tier": "Free"})
        identity = body.get("identity")
        if isinstance(identity, dict):
            identity["tenantId"] = world.identity("tenant")
            assigned = identity.get("userAssignedIdentities")
            if assigned:
                identity["userAssignedIdentities"] = {
                    name: {
                        "principalId": principal_of(world, name),
                        "clientId": world.identity(f"client {key_of(name)}"),
                    }
                    for name in assigned
                }
            else:
                identity["principalId"] = world.identity(f"principal {record.path.key}")

    def check_delete(self, world: World, record: Record) -> None:
        """Always accepted; whether it succeeds is another matter."""

    def fails_to_delete(self, world: World, record: Record) -> ArmError | None:
        """The route table that AKS made cannot go while it is on a subnet (Azure support, AKS error codes)."""
        for table in _own_tables(world, record):
            try:
                RouteTable().check_delete(world, table)
            except ArmError as error:
                return error
        return None

    def deleted(self, world: World, record: Record) -> None:
        """The node resource group goes with it; a route table of the user's stays, without the nodes' routes."""
        table = world.find(record.hidden.get("route_table", ""))
        if table is not None:
            _drop_routes(world, record, table)
        group = world.find(_group_id(record))
        if group is not None:
            for resource in list(world.below(group.path.text)):
                if resource.path.type.casefold() == PUBLIC_ADDRESSES.casefold():
                    PublicAddress().deleted(world, resource)
                world.remove(resource)
            world.remove(group)

    def action(self, world: World, record: Record, name: str, body: Body) -> Body:
        """Credentials, as a scenario gave them."""
        if name.casefold() in {"listclusterusercredential", "listclusteradmincredential"}:
            value = record.hidden.get("kubeconfig")
            if not value:
                raise ArmError(404, "NotFound", f"The rehearsal has no kubeconfig for {record.path.name}.")
            return {"kubeconfigs": [{"name": "clusterUser", "value": value}]}
        return super().action(world, record, name, body)


def _judge_access(properties: Body) -> None:
    ranges = (properties.get("apiServerAccessProfile") or {}).get("authorizedIPRanges") or []
    if len(ranges) > AUTHORIZED_RANGES:
        raise invalid(
            f"authorizedIPRanges has {len(ranges)} entries, and {AUTHORIZED_RANGES} at most.",
            target="apiServerAccessProfile.authorizedIPRanges",
            flat=True,
        )


def _fill(path: Path, body: Body, properties: Body, old: Record | None) -> None:
    """What a PUT leaves out is as it was, or AKS's default; what AKS never changes is compared."""
    before = copied(old.properties) if old else {}
    for name in ("kubernetesVersion", "dnsPrefix", "nodeResourceGroup", "apiServerAccessProfile", "enableRBAC"):
        if properties.get(name) is None and before.get(name) is not None:
            properties[name] = before[name]
    if body.get("identity") is None and old is not None and old.body.get("identity"):
        body["identity"] = copied(old.body)["identity"]
    properties.setdefault("kubernetesVersion", DEFAULT_VERSION)
    properties.setdefault("nodeResourceGroup", f"MC_{path.group}_{path.name}_{place(body['location'])}"[:80])
    properties.setdefault("enableRBAC", True)
    if not properties.get("dnsPrefix"):
        raise invalid("Required parameter dnsPrefix is missing (null).", target="dnsPrefix", flat=True)
    for name in ("dnsPrefix", "nodeResourceGroup") if old else ():
        if properties[name] != before[name]:
            raise fixed(f"properties.{name}")
    if old is not None and place(old.body["location"]) != place(body["location"]):
        raise fixed("location")


class AgentPool(AksKind):
    """A node pool, as a resource of its own."""

    type = POOLS
    slow_actions = frozenset({"deletemachines"})

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Judged together with the cluster's other pools."""
        del api_version
        cluster = world.find(path.parent)
        if cluster is None:
            raise ArmError(404, "ParentResourceNotFound", f"The parent resource '{path.parent}' was not found.")
        profile = cluster.properties["networkProfile"]
        values = _filled_pool(body.get("properties") or {}, old, profile, cluster.properties)
        body["properties"] = values
        others = [
            Pool(name=pool.path.name, properties=pool.properties)
            for pool in world.below(path.parent, POOLS)
            if pool.path.key != path.key
        ]
        pools = [*others, Pool(name=path.name, properties=values)]
        version = version_of(cluster.properties["kubernetesVersion"])
        judge(world, cluster.path, profile, pools, version=version, old=profile)
        judge_quota(world, cluster.path, place(cluster.body["location"]), pools)
        vnets = {key_of(pool.subnet.rpartition("/subnets/")[0]) for pool in pools}
        if len(vnets) > 1:
            raise invalid(
                "All agent pools must be in the same VNet.", target="agentPoolProfile.vnetSubnetID", flat=True
            )

    def accepted(self, world: World, record: Record, old: Body | None) -> ArmError | None:
        """The error is a full subnet."""
        cluster = world.find(record.path.parent)
        if cluster is None:
            return None
        before = int(((old or {}).get("properties") or {}).get("count") or 0)
        return _full(world, cluster, record, before)

    def finished(self, world: World, record: Record) -> None:
        """Routes of its nodes, where the cluster has such."""
        cluster = world.find(record.path.parent)
        if cluster is not None and cluster.properties["networkProfile"]["networkPlugin"] == "kubenet":
            _keep_routes(world, cluster)

    def show(self, world: World, record: Record, body: Body) -> None:
        """What its nodes run."""
        del world, record
        properties = body["properties"]
        properties["currentOrchestratorVersion"] = properties.get("orchestratorVersion")

    def action(self, world: World, record: Record, name: str, body: Body) -> Body:
        """Deletes machines by their names (AKS REST API, Agent Pools - Delete Machines); the pool has fewer then."""
        if name.casefold() != "deletemachines":
            return super().action(world, record, name, body)
        wanted = [str(each) for each in body.get("machineNames") or ()]
        missing = sorted(set(wanted) - set(node_names(record)))
        if missing or not wanted:
            raise ArmError(400, "InvalidParameter", f"There is no machine {', '.join(missing)}.", flat=True)
        numbers = {int(each.removeprefix(_prefix(record)), 16) for each in wanted}
        record.hidden["gone"] = record.hidden.get("gone", set()) | numbers
        record.properties["count"] = int(record.properties["count"]) - len(wanted)
        record.version += 1
        self.finished(world, record)
        return {}

    def check_delete(self, world: World, record: Record) -> None:
        """One pool of the mode System stays (AKS, MustDefineAtLeastOneSystemPool)."""
        others = [
            pool
            for pool in world.below(record.path.parent, POOLS)
            if pool.path.key != record.path.key and pool.properties.get("mode") == "System"
        ]
        if record.properties.get("mode") == "System" and not others:
            raise ArmError(
                400,
                "MustDefineAtLeastOneSystemPool",
                "Must define at least one system pool.",
                target="agentPoolProfiles",
                flat=True,
            )

    def deleted(self, world: World, record: Record) -> None:
        """The routes of its nodes go with it."""
        record.properties["count"] = 0
        self.finished(world, record)


def _filled_pool(
    given: Mapping[str, Any], old: Record | None, profile: Mapping[str, Any], cluster: Mapping[str, Any]
) -> Body:
    before = old.properties if old else {}
    values = {**copied(before), **{key: value for key, value in given.items() if value is not None}}
    values.pop("eTag", None)
    for name in ("vnetSubnetID", "podSubnetID", "maxPods", "vmSize", "osType"):
        if old is not None and str(before.get(name) or "").casefold() != str(values.get(name) or "").casefold():
            raise fixed(f"properties.{name}")
    values.setdefault("count", DEFAULT_POOL_COUNT)
    values.setdefault("maxPods", default_max_pods(profile, values))
    values.setdefault("mode", "System" if not before and not cluster.get("provisioningState") else "User")
    values.setdefault("osType", "Linux")
    values.setdefault("type", "VirtualMachineScaleSets")
    values.setdefault("orchestratorVersion", cluster.get("kubernetesVersion"))
    values.setdefault("powerState", {"code": "Running"})
    values.setdefault("enableAutoScaling", False)
    if int(values["count"]) not in range(MAXIMUM_COUNT + 1):
        raise invalid(
            f"The value of parameter agentPoolProfile.count is {values['count']}.",
            target="agentPoolProfile.count",
            flat=True,
        )
    return values


def keep_pool(world: World, cluster: Record, name: str, properties: Body) -> ArmError | None:
    """Keeps a pool that came inside its cluster; the error is a full subnet."""
    path = Path.parse(f"{cluster.path.text}/agentPools/{name}")
    record = world.find(path.text)
    before = 0
    if record is None:
        record = Record(
            path=path, body={"properties": properties}, api_version=cluster.api_version, created=world.now()
        )
        world.add(record)
    else:
        before = int(record.properties.get("count") or 0)
        if record.properties != properties:
            record.body["properties"] = properties
            record.version += 1
    record.properties["provisioningState"] = "Succeeded"
    return _full(world, cluster, record, before)


def _full(world: World, cluster: Record, pool: Record, before: int) -> ArmError | None:
    """No address is left for the pool's nodes (Azure/azure-docs #88211); the nodes that it had stay."""
    del cluster
    subnet = world.find(str(pool.properties.get("vnetSubnetID") or ""))
    if subnet is None:
        return None
    room = sum(azure_usable_addresses(block) for block in subnet_blocks(subnet))
    missing = used(world, subnet) - room
    if missing <= 0 or int(pool.properties["count"]) <= before:
        return None
    pool.properties["count"] = before
    prefix = ", ".join(str(block) for block in subnet_blocks(subnet))
    return ArmError(
        400,
        "SubnetIsFull",
        f"Subnet {subnet.path.name} with address prefix {prefix} does not have enough capacity for {missing} IP "
        "addresses.",
        details=[],
    )


def judge_quota(world: World, path: Path, location: str, pools: Sequence[Pool]) -> None:
    """Compares the nodes' cores with what the scenario left of the regional quota.

    Raises:
        ArmError: It is not enough (AKS, ErrCode_InsufficientVCPUQuota).
    """
    have = {pool.path.name: int(pool.properties.get("count") or 0) for pool in world.below(path.text, POOLS)}
    more = sum(cores(pool.properties) * (pool.count - have.get(pool.name, 0)) for pool in pools)
    for usage in world.usages.get((f"{path.subscription}/{location}", "microsoft.compute"), []):
        left = int(usage["limit"]) - int(usage["currentValue"]) - cores_in_use(world, path.subscription, location)
        if usage["name"]["value"] == "cores" and more > max(0, left):
            raise ArmError(
                400,
                "ErrCode_InsufficientVCPUQuota",
                f"Insufficient regional vcpu quota left for location {location}. left regional vcpu quota "
                f"{max(0, left)}, requested quota {more}.",
                flat=True,
            )


def sizes(world: World, named: Sequence[Body], subscription: str, location: str) -> list[Body]:
    """VM sizes of a region, or of all: those that a scenario named, and of the pools' others what their names say."""
    known = [item for item in named if location in {"", *(place(text) for text in item.get("locations") or ())}]
    found = {str(item["name"]): dict(item) for item in known}
    for pool in world.of_type(POOLS):
        cluster = world.find(pool.path.parent)
        size = str(pool.properties.get("vmSize") or "")
        where = place(cluster.body["location"]) if cluster else ""
        if size and location in {"", where} and pool.path.subscription == subscription:
            made = {
                "resourceType": "virtualMachines",
                "name": size,
                "family": _family(size),
                "locations": [where],
                "capabilities": [{"name": "vCPUs", "value": str(cores(pool.properties))}],
                "restrictions": [],
            }
            found.setdefault(size, made)
    return list(found.values())


def cores(pool: Mapping[str, Any]) -> int:
    """VCPUs of a node, which its size names: `Standard_D4s_v5` has 4."""
    found = _VCPUS.search(str(pool.get("vmSize") or ""))
    return int(found[1]) if found else 1


def _family(size: str) -> str:
    """The quota that a size counts against: of `Standard_D4ds_v5` it is `standardDDSv5Family`."""
    found = _SIZE.fullmatch(size)
    return f"standard{found[1]}{found[2].upper()}{found[3] or ''}Family" if found else f"{size}Family"


def cores_in_use(world: World, subscription: str, location: str) -> int:
    """VCPUs of the nodes of all clusters of a subscription in a region."""
    total = 0
    for pool in world.of_type(POOLS):
        cluster = world.find(pool.path.parent)
        if cluster and pool.path.subscription == subscription and place(cluster.body["location"]) == location:
            total += cores(pool.properties) * int(pool.properties.get("count") or 0)
    return total


def _has_role(world: World, principals: set[str], scope: str) -> bool:
    now = world.now()
    for assignment in world.of_type(RoleAssignment.type):
        held = assignment.properties
        role = str(held["roleDefinitionId"]).rpartition("/")[2].casefold()
        covers = f"{key_of(scope)}/".startswith(f"{key_of(assignment.path.scope)}/")
        counts = assignment.created + world.settings.role_seconds <= now
        if covers and counts and role in ROLES_ON_A_SUBNET and held["principalId"] in principals:
            return True
    return False


def _group_id(cluster: Record) -> str:
    return f"/subscriptions/{cluster.path.subscription}/resourceGroups/{cluster.properties['nodeResourceGroup']}"


def _keep_group(world: World, cluster: Record) -> None:
    if world.find(_group_id(cluster)) is None:
        path = Path.parse(_group_id(cluster))
        body = {"location": cluster.body["location"], "managedBy": cluster.path.text, "properties": {}}
        record = Record(path=path, body=body, api_version="", created=world.now())
        record.properties["provisioningState"] = "Succeeded"
        world.add(record)


def _made(world: World, cluster: Record, type_: str, name: str, body: Body) -> Record:
    """A resource that AKS makes in the node resource group."""
    record = Record(
        path=Path.parse(f"{_group_id(cluster)}/providers/{type_}/{name}"),
        body={"location": cluster.body["location"], **body},
        api_version=cluster.api_version,
        created=world.now(),
    )
    record.properties["provisioningState"] = "Succeeded"
    world.add(record)
    return record


# --- routes of kubenet ------------------------------------------------------------------------------------


def _own_tables(world: World, cluster: Record) -> list[Record]:
    return list(world.below(_group_id(cluster), ROUTE_TABLES))


def _keep_routes(world: World, cluster: Record) -> None:
    """A route a node, up to as many as a table takes; the table of the subnet if it has one, else AKS's own."""
    pools = list(world.below(cluster.path.text, POOLS))
    subnets = [subnet for pool in pools if (subnet := world.find(str(pool.properties.get("vnetSubnetID") or "")))]
    table = world.find(cluster.hidden.get("route_table", ""))
    if table is None:
        held = next((referred(s.properties.get("routeTable")) for s in subnets if s.properties.get("routeTable")), "")
        table = world.find(held)
    if table is None:
        number = world.identity(f"table {cluster.path.key}")[:8]
        table = _made(world, cluster, ROUTE_TABLES, f"aks-agentpool-{number}-routetable", {"properties": {}})
    if "route_table" not in cluster.hidden:
        cluster.hidden["route_table"] = table.path.text
        for subnet in subnets:
            if not referred(subnet.properties.get("routeTable")):
                subnet.properties["routeTable"] = {"id": table.path.text}
                subnet.version += 1
    _drop_routes(world, cluster, table)
    pods = Block.parse(cluster.properties["networkProfile"]["podCidr"])
    nodes = [name for pool in pools for name in node_names(pool)]
    places = _places(cluster, nodes)
    first = subnet_blocks(subnets[0])[0].first + 4 if subnets else 0
    # A table takes as many routes as kubenet has nodes at most; those of others count (AKS documentation,
    # configure-kubenet). A node without a route is there, and its pods cannot be reached.
    room = max(0, KUBENET_MAXIMUM_NODES - len(list(world.below(table.path.text, ROUTES))))
    for node in nodes[: min(room, pods.count_of(OVERLAY_NODE_PREFIX_LENGTH))]:
        index = places[node]
        if index >= pods.count_of(OVERLAY_NODE_PREFIX_LENGTH):
            continue
        route = Record(
            path=Path.parse(f"{table.path.text}/routes/{node}"),
            body={
                "properties": {
                    "addressPrefix": str(pods.subblock(index, OVERLAY_NODE_PREFIX_LENGTH)),
                    "nextHopType": "VirtualAppliance",
                    "nextHopIpAddress": format_address(first + index),
                    "provisioningState": "Succeeded",
                }
            },
            api_version=table.api_version,
            created=world.now(),
        )
        route.hidden["cluster"] = cluster.path.key
        world.add(route)
    table.version += 1


def node_names(pool: Record) -> list[str]:
    """The nodes of a pool: the lowest numbers, those of machines that were deleted one by one left out."""
    gone, count = pool.hidden.get("gone", set()), int(pool.properties.get("count") or 0)
    numbers = itertools.islice((number for number in itertools.count() if number not in gone), count)
    return [f"{_prefix(pool)}{number:06x}" for number in numbers]


def _prefix(pool: Record) -> str:
    return f"aks-{pool.path.name}-vmss"


def _places(cluster: Record, nodes: Sequence[str]) -> dict[str, int]:
    """Which block of the pod CIDR each node has: a node keeps its own, a new one gets the lowest that is free."""
    kept: dict[str, int] = cluster.hidden.get("blocks", {})
    places = {node: kept[node] for node in nodes if node in kept}
    free = (index for index in itertools.count() if index not in set(places.values()))
    for node in nodes:
        if node not in places:
            places[node] = next(free)
    cluster.hidden["blocks"] = places
    return places


def _drop_routes(world: World, cluster: Record, table: Record) -> None:
    for route in list(world.below(table.path.text, ROUTES)):
        if route.hidden.get("cluster") == cluster.path.key:
            world.remove(route)


def _leave_routes(world: World, cluster: Record) -> None:
    """What an upgrade to overlay does with the table.

    AKS's own goes, a user's loses the nodes' routes (AKS documentation, update-azure-cni).
    """
    table = world.find(cluster.hidden.pop("route_table", ""))
    if table is None:
        return
    _drop_routes(world, cluster, table)
    if table in _own_tables(world, cluster):
        for subnet in world.referrers("Microsoft.Network/virtualNetworks/subnets", "routeTable", table.path.text):
            subnet.properties.pop("routeTable")
            subnet.version += 1
        world.remove(table)


# --- the way out ------------------------------------------------------------------------------------------


def _keep_outbound(world: World, cluster: Record, profile: dict[str, Any]) -> None:
    kind = profile["outboundType"]
    profile_name = {"loadBalancer": "loadBalancerProfile", "managedNATGateway": "natGatewayProfile"}.get(kind)
    if profile_name is None or profile["loadBalancerSku"] != "standard":
        _drop_addresses(world, cluster, keep=0)
        return
    outbound: dict[str, Any] = profile.setdefault(profile_name, {})
    given = [
        *((outbound.get("outboundIPs") or {}).get("publicIPs") or []),
        *((outbound.get("outboundIPPrefixes") or {}).get("publicIPPrefixes") or []),
    ]
    if given:
        _drop_addresses(world, cluster, keep=0)
        outbound["effectiveOutboundIPs"] = [{"id": referred(item)} for item in given]
        return
    managed = "managedOutboundIPs" if kind == "loadBalancer" else "managedOutboundIPProfile"
    count = int(outbound.setdefault(managed, {"count": 1}).get("count") or 1)
    outbound["effectiveOutboundIPs"] = [{"id": address.path.text} for address in _addresses(world, cluster, count)]
    outbound.setdefault("idleTimeoutInMinutes", 30 if kind == "loadBalancer" else 4)
    if kind == "loadBalancer":
        outbound.setdefault("allocatedOutboundPorts", 0)


def _addresses(world: World, cluster: Record, count: int) -> list[Record]:
    have = [a for a in world.below(_group_id(cluster), PUBLIC_ADDRESSES) if a.hidden.get("outbound")]
    for number in range(len(have), count):
        name = world.identity(f"address {number} of {cluster.path.key}")
        body = {
            "sku": {"name": "Standard", "tier": "Regional"},
            "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
            "tags": {"aks-managed-type": "aks-slb-managed-outbound-ip"},
        }
        address = _made(world, cluster, PUBLIC_ADDRESSES, name, body)
        PublicAddress().accepted(world, address, None)
        address.hidden["outbound"] = True
        address.hidden["used_by"] = (
            f"{_group_id(cluster)}/providers/Microsoft.Network/loadBalancers/kubernetes/frontendIPConfigurations/{name}"
        )
        have.append(address)
    _drop_addresses(world, cluster, keep=count)
    return have[:count]


def _drop_addresses(world: World, cluster: Record, *, keep: int) -> None:
    have = [a for a in world.below(_group_id(cluster), PUBLIC_ADDRESSES) if a.hidden.get("outbound")]
    for address in have[keep:]:
        PublicAddress().deleted(world, address)
        world.remove(address)


KINDS: Final[tuple[Kind, ...]] = (ManagedCluster(), AgentPool())
