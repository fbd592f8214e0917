"""What must hold after a plan of an AKS cluster was applied: judged on a fresh snapshot, unknown never counting."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from headroom.addresses.blocks import Block
from headroom.capacity.overlay import HOST_LOCAL_ADDRESSES
from headroom.facts.azure import (
    Azure,
    AzureSubnet,
    HostLocalReading,
    ManagedCluster,
    NetworkProfile,
    NodeNetworkConfig,
    resource_name,
    same_resource,
)
from headroom.facts.kubernetes import Kubernetes, Node
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Fact, Unknown, is_known, items, known, known_or
from headroom.planning.aks_situation import block_of, subnet_state
from headroom.planning.condition_state import ConditionState, State, decided, some, undecided
from headroom.planning.plan import Check, Postcondition


def _azure(snapshot: Snapshot) -> Azure:
    return known_or(snapshot.azure, Azure())


def _kubernetes(snapshot: Snapshot) -> Kubernetes:
    return known_or(snapshot.kubernetes, Kubernetes())


def _cluster(snapshot: Snapshot) -> ManagedCluster | None:
    return known(_azure(snapshot).cluster)


def _network(snapshot: Snapshot) -> NetworkProfile:
    cluster = _cluster(snapshot)
    return known_or(cluster.network, NetworkProfile()) if cluster is not None else NetworkProfile()


def _overlay_mode(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """The cluster reports plugin, mode and range, and its last operation succeeded."""
    cluster, network = _cluster(snapshot), _network(snapshot)
    state = cluster.provisioning_state if cluster is not None else Unknown()
    for what, fact in (
        ("the network plugin", network.network_plugin),
        ("the network plugin's mode", network.network_plugin_mode),
        ("the pod range", network.pod_cidr),
        ("the cluster's provisioning state", state),
    ):
        if isinstance(fact, Unknown):
            return undecided(condition, what, fact)
    told = {
        "networkPlugin": known(network.network_plugin),
        "networkPluginMode": known(network.network_plugin_mode),
        "podCidr": known(network.pod_cidr),
    }
    wrong = [
        f"{name} is {told[name] or 'none'}, not {value}"
        for name, value in condition.expected.items()
        if told[name] != value
    ]
    if state == "Failed":
        return decided(condition, State.FAILED, f"The cluster's last operation failed. {some(wrong)}".strip())
    if state != "Succeeded":
        wrong.append(f"the cluster is {state}")
    if wrong:
        return decided(condition, State.WAITING, f"{some(wrong)}.")
    return decided(condition, State.MET, f"{', '.join(f'{name}: {value}' for name, value in told.items())}.")


def _nodes_in_pod_cidr(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """Every node is Ready and azure-cns on it has the new range; ARM's success alone proves neither."""
    nodes, configs = _kubernetes(snapshot).nodes, _azure(snapshot).node_network_configs
    if not isinstance(nodes, tuple):
        return undecided(condition, "the nodes", nodes)
    if isinstance(configs, Unknown):
        return undecided(condition, "the NodeNetworkConfigs", configs)
    wanted = Block.parse(condition.subjects[0])
    by_node = {config.node: config for config in items(configs)}
    found = {node.name: _wrong_node(node, by_node.get(node.name), wanted) for node in nodes}
    unread = sorted(name for name, why in found.items() if isinstance(why, Unknown))
    wrong = sorted(f"{name} {why}" for name, why in found.items() if why and not isinstance(why, Unknown))
    if wrong or not nodes:
        return decided(condition, State.WAITING, f"{some(wrong)}." if wrong else "No node.")
    if unread:
        return undecided(condition, f"the range of {some(unread)}", found[unread[0]])
    return decided(condition, State.MET, f"{len(nodes):,} of {len(nodes):,} nodes are Ready, in {wanted}.")


def _wrong_node(node: Node, config: NodeNetworkConfig | None, wanted: Block) -> str | Unknown:
    """What is wrong with a node; empty: nothing."""
    if isinstance(node.conditions, Unknown):
        return node.conditions
    if not any(each.type == "Ready" and each.status == "True" for each in items(node.conditions)):
        return "is not Ready"
    if config is None:
        return "has no NodeNetworkConfig"
    space = config.containers if isinstance(config.containers, Unknown) else _first_space(config)
    if isinstance(space, Unknown):
        return space
    return "" if block_of(space) == wanted else f"has {space or 'no range yet'}, not {wanted}"


def _first_space(config: NodeNetworkConfig) -> Fact[str]:
    """status.networkContainers[0].subnetAddressSpace: where the documentation looks for a grown range."""
    containers = items(config.containers)
    return containers[0].subnet_address_space if containers else None


def _policy_engine(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    engine, wanted = _network(snapshot).network_policy, condition.subjects[0]
    if isinstance(engine, Unknown):
        return undecided(condition, "the network policy engine", engine)
    now = engine or "none"
    if now == wanted:
        return decided(condition, State.MET, f"networkPolicy: {now}.")
    return decided(
        condition, State.WAITING, f"networkPolicy is {now}, not {wanted}: no policy is enforced by {wanted}."
    )


def _subnets(snapshot: Snapshot) -> dict[str, AzureSubnet] | Unknown:
    vnets = _azure(snapshot).vnets
    if isinstance(vnets, Unknown):
        return vnets
    found: dict[str, AzureSubnet] = {}
    for vnet in items(vnets):
        if isinstance(vnet.subnets, Unknown):
            return vnet.subnets
        found |= {subnet.subnet_id.lower(): subnet for subnet in items(vnet.subnets)}
    return found


def _route_table_detached(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """No pod route is left: the table is gone, detached, or has no route of a node's pods."""
    subnets = _subnets(snapshot)
    if isinstance(subnets, Unknown):
        return undecided(condition, "the subnets", subnets)
    left = []
    for subnet_id, table in condition.expected.items():
        subnet = subnets.get(subnet_id.lower())
        fact = subnet.route_table_id if subnet is not None else Unknown(detail="not among the subnets read")
        if isinstance(fact, Unknown):
            return undecided(condition, f"the route table of {resource_name(subnet_id)}", fact)
        if not same_resource(fact, table):
            continue
        pods = _pod_routes(snapshot, table, condition.subjects)
        if isinstance(pods, Unknown):
            return undecided(condition, f"the routes of {resource_name(table)}", pods)
        if pods:
            left.append(f"{resource_name(subnet_id)} has {resource_name(table)} with {pods:,} routes to pods")
    if left:
        return decided(condition, State.WAITING, f"{some(left)}.")
    return decided(condition, State.MET, "No route to a node's pods is left.")


def _pod_routes(snapshot: Snapshot, table: str, ranges: tuple[str, ...]) -> int | Unknown:
    """Routes of a table to a node's pods; unknown where it was not read."""
    tables = _azure(snapshot).route_tables
    if isinstance(tables, Unknown):
        return tables
    found = next((each for each in items(tables) if same_resource(each.route_table_id, table)), None)
    if found is None:
        return Unknown(detail="not among the route tables read")
    if isinstance(found.routes, Unknown):
        return found.routes
    return sum(_is_of_pods(route.prefix, ranges) for route in items(found.routes))


def _is_of_pods(prefix: str, ranges: tuple[str, ...]) -> bool:
    block = block_of(prefix)
    return block is not None and any(Block.parse(text).contains(block) for text in ranges)


def _subnets_kept(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """Subnets have everything that they had: a PUT that leaves something out takes it away (Azure/AKS #400, #1242)."""
    subnets = _subnets(snapshot)
    if isinstance(subnets, Unknown):
        return undecided(condition, "the subnets", subnets)
    lost = []
    for subnet_id, text in condition.expected.items():
        subnet = subnets.get(subnet_id.lower())
        if subnet is None:
            lost.append(f"{resource_name(subnet_id)} is gone")
            continue
        then, now = json.loads(text), json.loads(subnet_state(subnet))
        unread = [name for name in then if now.get(name) == "unknown" and then[name] != "unknown"]
        if unread:
            return undecided(condition, f"{unread[0]} of {subnet.name}", Unknown())
        lost += [
            f"{subnet.name}: {name} was {then[name]} and is {now.get(name)}"
            for name in then
            if then[name] != "unknown" and then[name] != now.get(name)
        ]
    if lost:
        return decided(condition, State.FAILED, f"{some(lost)}.")
    count = len(condition.expected)
    told = "The one subnet has all that it had." if count == 1 else f"All {count:,} have what they had."
    return decided(condition, State.MET, told)


def _gateway_attached(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    subnets = _subnets(snapshot)
    if isinstance(subnets, Unknown):
        return undecided(condition, "the subnets", subnets)
    wrong = []
    for subnet_id, gateway in condition.expected.items():
        subnet = subnets.get(subnet_id.lower())
        if subnet is not None and isinstance(subnet.nat_gateway_id, Unknown):
            return undecided(condition, f"the NAT gateway of {subnet.name}", subnet.nat_gateway_id)
        now = known(subnet.nat_gateway_id) if subnet is not None else None
        if not same_resource(now, gateway):
            there = "is not there" if subnet is None else f"has {resource_name(now) if now else 'no NAT gateway'}"
            wrong.append(f"{resource_name(subnet_id)} {there}")
    if wrong:
        return decided(condition, State.WAITING, f"{some(wrong)}; wanted is {_names(condition)}.")
    return decided(condition, State.MET, f"{_names(condition)} is on it.")


def _names(condition: Postcondition) -> str:
    return some(sorted({resource_name(each) for each in condition.expected.values()}))


def _egress_address(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """The gateway's addresses are known, and none is an old one."""
    azure = _azure(snapshot)
    gateways, addresses = azure.nat_gateways, azure.public_addresses
    for what, fact in (("the NAT gateways", gateways), ("the public addresses", addresses)):
        if isinstance(fact, Unknown):
            return undecided(condition, what, fact)
    wanted = [
        each for each in items(gateways) if any(same_resource(each.gateway_id, name) for name in condition.subjects)
    ]
    if not wanted:
        return decided(condition, State.WAITING, "The NAT gateway is on no subnet of the cluster yet.")
    ids: list[str] = []
    for gateway in wanted:
        if isinstance(gateway.public_ip_ids, Unknown):
            return undecided(condition, f"the addresses of {gateway.name}", gateway.public_ip_ids)
        ids += [*items(gateway.public_ip_ids), *items(gateway.public_prefix_ids)]
    known_texts = {each.address_id.lower(): each.address for each in items(addresses)}
    known_texts |= {each.prefix_id.lower(): each.prefix for each in items(azure.public_prefixes)}
    found = [known_texts.get(each.lower()) for each in ids]
    if not found or not all(isinstance(each, str) for each in found):
        return undecided(condition, "the gateway's addresses", next((f for f in found if isinstance(f, Unknown)), None))
    texts = sorted(str(each) for each in found)
    old = [text for text in texts if text in condition.expected]
    if old:
        return decided(condition, State.FAILED, f"{some(old)} is the old address.")
    return decided(condition, State.MET, f"Seen with {some(texts)}.")


def _outbound_type(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    kind, wanted = _network(snapshot).outbound_type, condition.subjects[0]
    if isinstance(kind, Unknown):
        return undecided(condition, "the outbound type", kind)
    if kind == wanted:
        return decided(condition, State.MET, f"outboundType: {kind}.")
    return decided(condition, State.WAITING, f"outboundType is {kind or 'none'}, not {wanted}.")


def _node_pool_ready(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    pools = _azure(snapshot).pools
    if not isinstance(pools, tuple):
        return undecided(condition, "the node pools", pools)
    by_name = {pool.name: pool for pool in pools}
    wrong, failed = [], False
    for name, most in condition.expected.items():
        pool = by_name.get(name)
        if pool is None:
            wrong.append(f"{name} is not there")
            continue
        for what, fact in (("the state", pool.provisioning_state), ("maxPods", pool.max_pods)):
            if isinstance(fact, Unknown):
                return undecided(condition, f"{what} of {name}", fact)
        if pool.provisioning_state != "Succeeded":
            failed = failed or pool.provisioning_state == "Failed"
            wrong.append(f"{name} is {pool.provisioning_state}")
        elif most and str(known(pool.max_pods)) != most:
            wrong.append(f"{name} has maxPods {known(pool.max_pods)}, not {most}")
    if wrong:
        return decided(condition, State.FAILED if failed else State.WAITING, f"{some(wrong)}.")
    return decided(condition, State.MET, f"{some(list(condition.expected))}: there and ready.")


def _ranges_freed(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """No node whose range was full still has it full: it is gone, or its reservations are."""
    nodes, readings = _kubernetes(snapshot).nodes, _azure(snapshot).host_local
    if not isinstance(nodes, tuple):
        return undecided(condition, "the nodes", nodes)
    there = [node.name for node in nodes if node.name in condition.subjects]
    if not there:
        return decided(
            condition, State.MET, f"All {len(condition.subjects):,} nodes are gone: others took their place."
        )
    if isinstance(readings, Unknown):
        return undecided(condition, f"the reservations on {some(there)}", readings)
    by_node: dict[str, HostLocalReading] = {each.node: each for each in items(readings)}
    full = []
    for name in there:
        reading = by_node.get(name)
        reserved = reading.reserved if reading is not None else None
        if not isinstance(reserved, int):
            return undecided(condition, f"the reservations on {name}", reserved)
        if reserved >= HOST_LOCAL_ADDRESSES:
            full.append(name)
    if full:
        return decided(condition, State.WAITING, f"Still full: {some(full)}.")
    return decided(condition, State.MET, f"{some(there)}: no longer full.")


def _connections_succeed(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """Readings that begin after the plan was made show no failed connection."""
    readings = _azure(snapshot).egress
    if not isinstance(readings, tuple):
        return undecided(condition, "the outbound connections", readings)
    since = condition.expected.get("since", "")
    new = [each for each in readings if isinstance(each.since, str) and each.since >= since]
    if not new:
        return decided(condition, State.WAITING, f"No reading begins after {since or 'the change'} yet.")
    unread = next((each.failed_connections for each in new if not is_known(each.failed_connections)), None)
    if unread is not None:
        return undecided(condition, "failed connections", unread)
    failed = sum(known(each.failed_connections) or 0 for each in new)
    if failed:
        return decided(condition, State.WAITING, f"{failed:,} outbound connections still failed.")
    return decided(condition, State.MET, f"No outbound connection has failed since {since or 'the change'}.")


def _nodes_routed(condition: Postcondition, snapshot: Snapshot) -> ConditionState:
    """No node that takes pods says that it has no network."""
    nodes = _kubernetes(snapshot).nodes
    if not isinstance(nodes, tuple):
        return undecided(condition, "the nodes", nodes)
    wrong = []
    for node in nodes:
        if isinstance(node.conditions, Unknown):
            return undecided(condition, f"the conditions of {node.name}", node.conditions)
        without = any(each.type == "NetworkUnavailable" and each.status == "True" for each in items(node.conditions))
        if without and not known_or(node.unschedulable, default=False):
            wrong.append(node.name)
    if wrong:
        return decided(condition, State.WAITING, f"Without a route, and not cordoned: {some(sorted(wrong))}.")
    return decided(condition, State.MET, "Every node that takes pods has a route.")


AKS_CHECKS: Final[Mapping[Check, Callable[[Postcondition, Snapshot], ConditionState]]] = {
    Check.OVERLAY_MODE: _overlay_mode,
    Check.NODES_IN_POD_CIDR: _nodes_in_pod_cidr,
    Check.POLICY_ENGINE: _policy_engine,
    Check.ROUTE_TABLE_DETACHED: _route_table_detached,
    Check.SUBNETS_KEPT: _subnets_kept,
    Check.GATEWAY_ATTACHED: _gateway_attached,
    Check.EGRESS_ADDRESS: _egress_address,
    Check.OUTBOUND_TYPE: _outbound_type,
    Check.NODE_POOL_READY: _node_pool_ready,
    Check.RANGES_FREED: _ranges_freed,
    Check.CONNECTIONS_SUCCEED: _connections_succeed,
    Check.NODES_ROUTED: _nodes_routed,
}
