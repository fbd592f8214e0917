"""Builds the copy in a rehearsal's world: network, workloads, and simulated nodes that take over where they were."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from headroom.diagnosis.verdict import Detail
from headroom.facts.kubernetes import Node
from headroom.facts.snapshot import Origin
from headroom.facts.values import items, known, known_or
from headroom.rehearsal.addon_manager import AddonManager
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import PODS, Kube, Object
from headroom.rehearsal.nodes import Nodes
from headroom.rehearsal.scenarios.shape import Cluster, Shape, cni_ready, wait_for
from headroom.rehearsal.scenarios.twin.network import build_network
from headroom.rehearsal.scenarios.twin.original import Original, key_of
from headroom.rehearsal.scenarios.twin.workloads import build_workloads, held_back
from headroom.rehearsal.world import World

FOR_EVER: Final = 1_000_000
"""Calls that a fault outlasts."""
_COOLING = re.compile(r"cooldown IPs: (\d+)")
_REFUSED = re.compile(r"EC2: (\w+),.{0,200}?(UnauthorizedOperation|RequestLimitExceeded)")
_DENIED = re.compile(r"failed to call ec2:(\w+) due to missing permissions")
_GROWING: Final = ("AssignPrivateIpAddresses", "AttachNetworkInterface", "CreateNetworkInterface")
"""The calls by which ipamd grows its pool."""
_UNAUTHORIZED, _THROTTLED = "UnauthorizedOperation", "RequestLimitExceeded"
_ANSWERS: Final = {
    _UNAUTHORIZED: (403, "You are not authorized to perform this operation."),
    _THROTTLED: (503, "Request limit exceeded."),
}


def build(
    world: World, clock: Clock, original: Original, *, progress: Callable[[str], None] = lambda _: None
) -> Cluster:
    """The copy at the moment of the snapshot, its kubelets at work and its clock still standing.

    Args:
        world: The running parts, in the original's Region.
        clock: Their time, at the moment of the snapshot.
        original: What to copy.
        progress: Called with what is being done.
    """
    progress(f"a VPC with {len(original.subnets)} subnets and {len(original.interfaces):,} interfaces")
    network = build_network(world, original)
    nodes = Nodes(
        kube=world.kube,
        ec2=world.ec2,
        clock=clock,
        folder=world.folder / "nodes",
        vpc_id=network.vpc_id,
        security_groups=[network.security_group_id],
        cluster=original.name,
        network=world.node_network,
    )
    progress(f"{len(original.nodes):,} nodes and {len(original.pods):,} pods")
    build_workloads(world.kube, original)
    _take_over(nodes, original, _described(world, original))
    _refuse(world, original)
    _write(nodes, world.kube, original)
    nodes.start()
    world.on_close(nodes.stop)
    wait_for(
        lambda: cni_ready(world.kube) >= len(items(original.kubernetes.cni_pods)),
        seconds=90,
        what="aws-node to be ready on every node",
    )
    if original.aws.addon is not None:
        manager = AddonManager(world.endpoint, world.kube, original.name, nodes.errors)
        world.on_close(manager.stop)
    shape = Shape(
        vpc_cidr=original.blocks[0].cidr_block,
        public_cidr="",
        zones={zone: _cidr(original, subnet) for zone, subnet in network.subnet_ids.items()},
        groups=(),
        apps=(),
        environment=original.environment,
        cni_version=str(original.version),
    )
    return Cluster(shape=shape, network=network, nodes=nodes, kube=world.kube, name=original.name)


def _cidr(original: Original, subnet_id: str) -> str:
    return next(known_or(each.cidr_block, "") for each in original.subnets if each.subnet_id == subnet_id)


def _described(world: World, original: Original) -> Mapping[str, list[Any]]:
    """The interfaces by instance, as EC2 describes them."""
    pages = world.ec2.get_paginator("describe_network_interfaces").paginate(
        Filters=[{"Name": "vpc-id", "Values": [original.vpc.vpc_id]}]
    )
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for page in pages:
        for each in page["NetworkInterfaces"]:
            if instance := each.get("Attachment", {}).get("InstanceId"):
                found[instance].append(each)
    return found


# The nodes' CNIs.


def _take_over(nodes: Nodes, original: Original, described: Mapping[str, Sequence[Any]]) -> None:
    addresses: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for pod in original.pods:
        if isinstance(pod.node, str) and isinstance(pod.ip, str) and not pod.host_network:
            addresses[pod.node][key_of(pod)] = pod.ip
    cooling = _cooling(original)
    strange: list[str] = []
    for node in original.nodes:
        # ipamd knows nothing of what hangs on other network cards, and nothing of trunk and branch interfaces.
        mine = [
            each
            for each in described[known_or(node.instance_id, "")]
            if each.get("InterfaceType", "interface") == "interface" and not each["Attachment"].get("NetworkCardIndex")
        ]
        strange += nodes.adopt(
            name=node.name,
            group=known_or(node.node_group, known_or(node.node_pool, "nodes")),
            zone=known_or(node.zone, ""),
            limits=original.limits[node.name],
            max_pods=known_or(node.max_pods, 110),
            interfaces=mine,
            pods=addresses[node.name],
            environment=original.environment,
            version=original.version,
            schedulable=not known_or(node.unschedulable, default=False),
            eniconfig_subnet=_eniconfig_subnet(original, node),
        )
        _cool(nodes, node.name, cooling.get(node.name, 0))
    if strange:
        original.guesses.append(
            f"addresses of {len(strange)} pods, which are of no interface of their node: they get others"
        )


def _eniconfig_subnet(original: Original, node: Node) -> str | None:
    """The subnet of the node's ENIConfig: of that which is named for the zone, or which lies in it."""
    zones = {subnet.subnet_id: subnet.zone for subnet in original.subnets}
    configs = [each for each in items(original.kubernetes.eni_configs) if isinstance(each.subnet_id, str)]
    named = [each for each in configs if each.name == node.zone]
    for each in (*named, *configs):
        if zones.get(known_or(each.subnet_id, "")) == node.zone:
            return known(each.subnet_id)
    return None


def _cooling(original: Original) -> dict[str, int]:
    """How many addresses rest on a node, as ipamd's figures or the last line of its log say."""
    found: dict[str, int] = {}
    for line in items(original.snapshot.lines):
        node, said = known(line.node), _COOLING.search(line.text)
        if line.origin is Origin.IPAMD_LOG and node is not None and said is not None:
            found[node] = int(said.group(1))
    for pool in items(original.snapshot.pools):
        if isinstance(pool.cooling_addresses, int):
            found[pool.node] = pool.cooling_addresses
    if any(found.values()):
        original.guesses.append(
            f"since when {sum(found.values())} addresses of {sum(map(bool, found.values()))} nodes have rested: here "
            "since now"
        )
    return found


def _cool(nodes: Nodes, name: str, count: int) -> None:
    """Gives so many idle addresses to pods, and takes them back at once: from now on they rest."""
    ipamd, now = nodes.nodes[name].ipamd, nodes.clock.now()
    gone = [f"past/{number}" for number in range(count)]
    for pod in gone:
        ipamd.try_assign(pod, now)
    for pod in gone:
        ipamd.release(pod, now)


# What EC2 refuses.


def _refuse(world: World, original: Original) -> None:
    """Refuses the calls that the original's CNI was refused for want of a permission, or because of throttling."""
    details = {cause.detail for cause in original.diagnosis.causes}
    wanted = {
        *([_UNAUTHORIZED] if Detail.IAM in details else []),
        *([_THROTTLED] if Detail.THROTTLING in details else []),
    }
    refused = {(call, code) for call, code in _refusals(original) if code in wanted}
    if any(code == _THROTTLED for _, code in refused):
        # Throttling is the account's, whichever of the calls was logged last.
        refused |= {(call, _THROTTLED) for call in _GROWING}
    for call, code in sorted(refused):
        status, message = _ANSWERS[code]
        world.endpoint.fail(call, code, status=status, count=FOR_EVER, message=message)
    if refused:
        calls = ", ".join(f"{call} with {code}" for call, code in sorted(refused))
        original.guesses.append(f"which calls EC2 refuses: {calls}, as the logs show, until a person has put it right")


def _refusals(original: Original) -> Iterator[tuple[str, str]]:
    for line in items(original.snapshot.lines):
        yield from ((each.group(1), each.group(2)) for each in _REFUSED.finditer(line.text))
        yield from ((each.group(1), _UNAUTHORIZED) for each in _DENIED.finditer(line.text))
    for event in items(original.kubernetes.events):
        yield from ((each.group(1), _UNAUTHORIZED) for each in _DENIED.finditer(event.message))


# What the kubelets have written.


def _write(nodes: Nodes, kube: Kube, original: Original) -> None:
    """The status of every pod at the moment of the snapshot."""
    manifests = {f"{item['metadata']['namespace']}/{item['metadata']['name']}": item for item in kube.list_all(PODS)}
    nodes.write_all_running({key_of(pod) for pod in original.pods if isinstance(pod.ip, str)})
    held = 0
    for pod in original.pods:
        manifest = manifests.get(key_of(pod))
        if manifest is None or not isinstance(pod.node, str):
            continue
        if held_back(pod, original.waiting):
            held += 1
            nodes.leave_alone(pod.node, manifest)
            _status(kube, manifest, pod.phase, known(pod.waiting) or "ContainerCreating")
        elif isinstance(pod.ip, str) and isinstance(pod.waiting, str) and not pod.host_network:
            _status(kube, manifest, pod.phase, pod.waiting)
    if held:
        original.guesses.append(f"what {held} pods wait for that wait for no address: they go on waiting")


def _status(kube: Kube, manifest: Object, phase: str, waiting: str) -> None:
    metadata = manifest["metadata"]
    status = {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": waiting}},
            }
            for container in manifest["spec"]["containers"]
        ],
    }
    kube.patch(PODS, metadata["name"], {"status": status}, namespace=metadata["namespace"], subresource="status")
