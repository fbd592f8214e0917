"""What a person does for causes that no stack of this project changes: with values, figures and files to review.

Nodes, their groups, the account's quotas and what other tools made belong to others. So the steps name the value to
set, where it stands, what it gives and what it costs, and write as files what can be applied as it is.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from headroom.addresses.blocks import Block, listed, usable_addresses
from headroom.addresses.layout import layout
from headroom.addresses.problems import ProblemsError
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import InstanceLimits, max_pods
from headroom.capacity.pool import node_pool
from headroom.capacity.quotas import INTERFACE_QUOTA, INTERFACE_QUOTA_CODE
from headroom.capacity.settings import check_settings
from headroom.capacity.subnet import smallest_prefix_length
from headroom.diagnosis.readings import aws_of, kubernetes_of, limits_reader
from headroom.diagnosis.verdict import Cause, Detail
from headroom.facts.aws import NodeGroup, Subnet
from headroom.facts.kubernetes import KarpenterNodeClass, Node
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items, known, known_or
from headroom.planning.plan import PlannedFile, Step
from headroom.planning.situation import Situation

LEAKED_AT_A_TIME: Final = 50
"""Interfaces whose status is read by one call: DescribeNetworkInterfaces takes up to 200 values a filter (EC2 API
reference), and a person can watch 50 go."""
QUOTA_SPARE_PERCENT: Final = 20
"""Room that a raised quota leaves beyond what the cluster's nodes can take."""
QUOTA_STEP: Final = 500
LEAST_ROOM_FOR_NODES: Final = 16
"""Free addresses from which on a subnet counts as one that has room for nodes: as many as EKS advises for the
cluster's own subnets (EKS user guide, network-reqs)."""
MOST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HandWork:
    """Steps, and the files that they use."""

    steps: tuple[Step, ...] = ()
    files: tuple[PlannedFile, ...] = ()


def hand_work(situation: Situation, snapshot: Snapshot, cause: Cause, *, room: bool = False) -> HandWork:
    """What a person does for a cause; nothing for one that a stack file, or nobody, cures.

    Args:
        situation: The cluster.
        snapshot: The facts.
        cause: The cause.
        room: Whether the plan makes pod subnets: then ENIConfigs are to name those.
    """
    if room and cause.detail is Detail.CONFIG and situation.without_eni_config:
        return HandWork()
    makers = {
        Detail.MAX_PODS: _raise_max_pods,
        Detail.REGIONAL_QUOTA: _raise_quota,
        Detail.NODE_SUBNET_FULL: _room_for_nodes,
        Detail.CONFIG: _mend_settings,
    }
    make = makers.get(cause.detail) if cause.detail is not None else None
    return make(situation, snapshot, cause) if make is not None else HandWork()


def _region(situation: Situation) -> str:
    return f" --region {situation.region}" if situation.region else ""


def _name(situation: Situation) -> str:
    return situation.cluster or "cluster"


# Interfaces that were left behind.


def leaked_path(situation: Situation) -> str:
    """Where the list of leaked interfaces is kept, relative to the checkout."""
    return f"stacks/interfaces.{_name(situation)}.txt"


def leaked_file(situation: Situation, delete: Mapping[str, int], facts_at: str) -> PlannedFile:
    """The list of leaked interfaces, to be read before it is used."""
    zones = {name: zone.name for zone in situation.zones.values() for name in zone.leaked}
    lines = [
        f"# Interfaces of the VPC CNI that hung on nothing{f' at {facts_at}' if facts_at else ''}.",
        "# Take a line out to keep that interface; one that is attached by then is left alone.",
        "# id, addresses that it holds, zone",
        *(f"{name}\t{delete[name]}\t{zones.get(name, '')}" for name in sorted(delete)),
    ]
    return PlannedFile(
        path=leaked_path(situation),
        text="\n".join(lines) + "\n",
        purpose="the interfaces to delete, one a line: read it first",
    )


def leaked_step(situation: Situation, delete: Mapping[str, int]) -> Step:
    """Deletes the interfaces of the list, those left out that hang on something by then.

    Their status is read anew, 50 of them a call; what is between that call and the next is guarded by EC2 itself, which
    refuses to delete an interface that is in use (EC2 API reference, DeleteNetworkInterface).
    """
    region, path = _region(situation), shlex.quote(leaked_path(situation))
    still = (
        f"aws ec2 describe-network-interfaces{region} --filters Name=status,Values=available "
        '"Name=network-interface-id,Values=$ids" --query "NetworkInterfaces[].NetworkInterfaceId" --output text'
    )
    return Step(
        what=f"Read {leaked_path(situation)}, then delete the {len(delete)} interfaces that it lists and that still "
        f"hang on nothing; they hold {sum(delete.values()):,} addresses",
        command=f"grep -o '^eni-[^[:space:]]*' {path} | xargs -n {LEAKED_AT_A_TIME} | tr ' ' ',' | "
        f"while read -r ids; do {still} | tr '\\t' '\\n' | "
        f"xargs -I ENI aws ec2 delete-network-interface{region} --network-interface-id ENI; done",
        takes="a second each",
        touches="nothing: an interface that was attached meanwhile is left alone, and EC2 refuses to delete one",
    )


# maxPods.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alike:
    """Nodes of one type, made in one place, with one maxPods."""

    instance_type: str
    group: str
    pool: str
    most: int


def _raise_max_pods(situation: Situation, snapshot: Snapshot, cause: Cause) -> HandWork:
    limits_of = limits_reader(snapshot)
    full = set(cause.scope.nodes)
    found: dict[_Alike, list[Node]] = {}
    for node in items(kubernetes_of(snapshot).nodes):
        most = known(node.max_pods)
        if most is not None and (not full or node.name in full):
            alike = _Alike(
                instance_type=known_or(node.instance_type, ""),
                group=known_or(node.node_group, ""),
                pool=known_or(node.node_pool, ""),
                most=most,
            )
            found.setdefault(alike, []).append(node)
    steps: list[Step] = []
    documents: dict[str, str] = {}
    for alike, nodes in sorted(found.items(), key=lambda pair: (pair[0].instance_type, pair[0].group, pair[0].pool)):
        step, document = _raise_of(situation, snapshot, alike, nodes, limits_of(nodes[0]))
        steps.append(step)
        documents |= document
    if not steps:
        steps = [
            Step(
                what="Add nodes: which nodes are full, and of which type, was not read, so no higher maxPods can be "
                "named",
                takes="minutes",
            )
        ]
    files: tuple[PlannedFile, ...] = ()
    if documents:
        text = "---\n".join(documents[name] for name in sorted(documents))
        files = (
            PlannedFile(
                path=f"stacks/max-pods.{_name(situation)}.yaml",
                text="# What nodes are to be told that they can run; merge it where they are made.\n" + text,
                purpose="maxPods for new nodes: a NodeConfig for launch templates, an EC2NodeClass for Karpenter",
            ),
        )
    return HandWork(steps=tuple(steps), files=files)


def _raise_of(
    situation: Situation, snapshot: Snapshot, alike: _Alike, nodes: list[Node], limits: InstanceLimits | None
) -> tuple[Step, dict[str, str]]:
    """The step for nodes that are alike, and the document that says it, by its name."""
    who = f"{len(nodes)} {alike.instance_type or 'nodes of an unknown type'}"
    if limits is None:
        what = f"Add nodes beside the {who}: the limits of their type were not read, so no higher maxPods can be named"
        return Step(what=what, takes="minutes"), {}
    settings = later = situation.settings
    custom = settings.custom_networking
    now = max_pods(limits, prefix_delegation=settings.prefix_delegation, custom_networking=custom)
    dense = max_pods(limits, prefix_delegation=True, custom_networking=custom)
    if alike.most < now.value:
        target, how = now.value, f"their {_interfaces(limits, prefixes=settings.prefix_delegation, custom=custom)}"
    elif not settings.prefix_delegation and alike.most < dense.value:
        target = dense.value
        later = replace(settings, prefix_delegation=True, warm_prefix_target=max(1, settings.warm_prefix_target))
        how = f"with ENABLE_PREFIX_DELEGATION=true, their {_interfaces(limits, prefixes=True, custom=custom)}"
    else:
        what = (
            f"Add nodes, or larger ones, beside the {who}: maxPods is {alike.most}, and their "
            f"{_interfaces(limits, prefixes=settings.prefix_delegation, custom=custom)} (advised: at most {now.cap})"
        )
        return Step(what=what, takes="minutes", touches="nothing that runs"), {}
    before = node_pool(limits, settings, alike.most, max_pods=alike.most)
    after = node_pool(limits, later, target, max_pods=target)
    more = (after.most_addresses - before.most_addresses) * len(nodes)
    what = (
        f"Raise maxPods of the {who} from {alike.most} to {target}: {how}. {len(nodes) * (target - alike.most):,} more "
        f"pods fit; full, the nodes hold {max(0, more):,} addresses more, and {_free_of(situation, nodes)}. Set it in "
        f"{_where(snapshot, alike)}; then roll the nodes"
    )
    document = _document(snapshot, alike, target)
    return (
        Step(
            what=what,
            command=_max_pods_command(snapshot, alike, target),
            takes="minutes a node",
            touches="the nodes: each is replaced",
            undo=f"the same with {alike.most}",
        ),
        document,
    )


def _interfaces(limits: InstanceLimits, *, prefixes: bool, custom: bool) -> str:
    count = limits.enis - 1 if custom else limits.enis
    each = limits.secondary_per_eni * (PREFIX_ADDRESSES if prefixes and limits.supports_prefixes else 1)
    return f"{count} interfaces have {each} addresses each for pods"


def _free_of(situation: Situation, nodes: Iterable[Node]) -> str:
    zones = sorted({known_or(node.zone, "") for node in nodes})
    told = []
    for name in zones:
        zone = situation.zones.get(name)
        free = zone.free if zone is not None else None
        told.append(f"{'an unknown number' if free is None else f'{free:,}'} in {name or 'an unknown zone'}")
    return f"free are {listed(told)}"


def _group(snapshot: Snapshot, name: str) -> NodeGroup | None:
    return next((each for each in items(aws_of(snapshot).node_groups) if each.name == name), None)


def _node_class(snapshot: Snapshot, pool: str) -> KarpenterNodeClass | None:
    kubernetes = kubernetes_of(snapshot)
    name = next((known(each.node_class) for each in items(kubernetes.node_pools) if each.name == pool), None)
    return next((each for each in items(kubernetes.node_classes) if each.name == name), None)


def _where(snapshot: Snapshot, alike: _Alike) -> str:
    """The place where nodes that are alike get their maxPods, by what made them."""
    if alike.pool:
        chosen = _node_class(snapshot, alike.pool)
        name = chosen.name if chosen is not None else f"that the NodePool {alike.pool} names"
        return f"spec.kubelet.maxPods of the EC2NodeClass {name}; Karpenter then replaces its nodes as drifted"
    image = known_or(group.ami_type, "") if (group := _group(snapshot, alike.group)) is not None else ""
    template = f"the launch template of the node group {alike.group}" if alike.group else "their launch template"
    if image.startswith("AL2_"):
        return f"{template}: bootstrap.sh --use-max-pods false --kubelet-extra-args '--max-pods=…' in its user data"
    if image.startswith("BOTTLEROCKET"):
        return f"{template}: settings.kubernetes.max-pods in its user data"
    return f"{template}: spec.kubelet.config.maxPods of the NodeConfig in its user data"


def _max_pods_command(snapshot: Snapshot, alike: _Alike, target: int) -> str:
    chosen = _node_class(snapshot, alike.pool) if alike.pool else None
    if chosen is None or chosen.kind != "EC2NodeClass":
        return ""
    patch = json.dumps({"spec": {"kubelet": {"maxPods": target}}})
    return f"kubectl patch ec2nodeclass {shlex.quote(chosen.name)} --type merge --patch {shlex.quote(patch)}"


def _document(snapshot: Snapshot, alike: _Alike, target: int) -> dict[str, str]:
    """The NodeConfig or EC2NodeClass that says it, as YAML; none for images that read another form.

    Forms: awslabs/amazon-eks-ami, nodeadm API (node.eks.aws/v1alpha1); Karpenter, NodeClasses.
    """
    if alike.pool:
        chosen = _node_class(snapshot, alike.pool)
        if chosen is None or chosen.kind != "EC2NodeClass":
            return {}
        name = json.dumps(chosen.name)
        return {
            f"karpenter {chosen.name}": "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\n"
            f"metadata:\n  name: {name}\nspec:\n  kubelet:\n    maxPods: {target}\n"
        }
    group = _group(snapshot, alike.group)
    if group is not None and known_or(group.ami_type, "").startswith(("AL2_", "BOTTLEROCKET")):
        return {}
    of = f" of the node group {alike.group}" if alike.group else ""
    return {
        f"group {alike.group} {alike.instance_type}": f"# User data{of}, for {alike.instance_type}.\n"
        "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\n"
        f"spec:\n  kubelet:\n    config:\n      maxPods: {target}\n"
    }


# The quota of interfaces.


def _raise_quota(situation: Situation, snapshot: Snapshot, cause: Cause) -> HandWork:
    del cause
    aws = aws_of(snapshot)
    quota = known_or(aws.region_interface_quota, INTERFACE_QUOTA)
    used = known(aws.region_interfaces)
    nodes = [node for zone in situation.zones.values() for node in zone.nodes]
    ids = {known(node.instance_id) for node in items(kubernetes_of(snapshot).nodes)} - {None}
    attached = sum(each.instance_id in ids for each in items(aws.interfaces))
    further = max(0, sum(node.limits.enis for node in nodes) - attached)
    wanted = (max(quota, used or 0) + further) * (100 + QUOTA_SPARE_PERCENT) // 100
    value = -(-wanted // QUOTA_STEP) * QUOTA_STEP
    in_use = f"{used:,} of {quota:,} are in use" if used is not None else f"the quota is {quota:,} unless it was raised"
    return HandWork(
        steps=(
            Step(
                what=f"Ask for {value:,} network interfaces in the Region ({INTERFACE_QUOTA_CODE}): {in_use}, and the "
                f"cluster's {len(nodes):,} nodes can take {further:,} more before each is at its own limit; "
                f"{QUOTA_SPARE_PERCENT} % beyond that is spare",
                command=f"aws service-quotas request-service-quota-increase{_region(situation)} --service-code vpc "
                f"--quota-code {INTERFACE_QUOTA_CODE} --desired-value {value}",
                takes="minutes to days",
            ),
            Step(
                what="Until it is granted: see who else has interfaces in the Region, and delete those that hang on "
                "nothing",
                command=f"aws ec2 describe-network-interfaces{_region(situation)} --filters "
                'Name=status,Values=available --query "NetworkInterfaces[].[NetworkInterfaceId,VpcId,Description]" '
                "--output text",
                takes="seconds",
            ),
        )
    )


# Room for nodes.


def _room_for_nodes(situation: Situation, snapshot: Snapshot, cause: Cause) -> HandWork:
    subnets = {each.subnet_id: each for each in items(aws_of(snapshot).subnets)}
    full = [subnets[name] for name in cause.scope.subnets if name in subnets]
    zones = sorted({zone for each in full if (zone := known(each.zone)) is not None}) or sorted(situation.zones)
    steps: list[Step] = []
    ids: list[str] = []
    told: list[str] = []
    used = list(situation.subnet_blocks.values())
    for zone in zones:
        free, tagged = _roomy(situation, subnets.values(), zone)
        block = None if free else _node_block(situation, zone, used)
        best = next(iter([*free, *([] if block is not None else tagged)]), None)
        if best is not None:
            ids.append(best.subnet_id)
            left = f"{known(best.cidr_block)}, {known_or(best.available_addresses, 0):,} free"
            pods = "; it is tagged for pods, which then share it" if best in tagged else ""
            told.append(f"{best.subnet_id} in {zone} ({left}{pods})")
            continue
        steps.append(_new_subnet(situation, zone, block))
        if block is not None:
            used.append(block)
            ids.append(_variable(zone))
            told.append(f"the new one in {zone}")
    have = listed(told)
    steps += _node_group_steps(situation, snapshot, {each.subnet_id for each in full}, ids, have)
    steps += _node_class_steps(snapshot, {each.subnet_id for each in full}, ids, have)
    return HandWork(steps=tuple(steps))


def _roomy(situation: Situation, subnets: Iterable[Subnet], zone: str) -> tuple[list[Subnet], list[Subnet]]:
    """Subnets of the zone that have room for nodes, most free first: those not tagged for pods, and those that are."""
    found = sorted(
        (
            each
            for each in subnets
            if known(each.zone) == zone
            and known_or(each.available_addresses, 0) >= LEAST_ROOM_FOR_NODES
            and isinstance(each.cidr_block, str)
        ),
        key=lambda each: (-known_or(each.available_addresses, 0), each.subnet_id),
    )
    tagged = [each for each in found if each.subnet_id in situation.pod_subnets]
    return [each for each in found if each not in tagged], tagged


def _node_block(situation: Situation, zone: str, used: Sequence[Block]) -> Block | None:
    """A free block for the nodes of a zone, for twice as many as there are and 16 more.

    It lies in a CIDR in which nodes are already, so that whoever can reach them can reach the new ones; else anywhere.
    """
    of_zone = situation.zones.get(zone)
    if of_zone is None:
        return None
    length = smallest_prefix_length(2 * len(of_zone.nodes) + LEAST_ROOM_FOR_NODES)
    nodes = [situation.subnet_blocks[name] for name in of_zone.node_subnets if name in situation.subnet_blocks]
    near = [block for block in situation.vpc_blocks if any(block.contains(each) for each in nodes)]
    for within in (near, situation.vpc_blocks):
        try:
            return layout(within, {zone: length}, used=used)[zone]
        except ProblemsError:
            continue
    return None


def _variable(zone: str) -> str:
    """The shell variable that holds the id of a zone's new node subnet."""
    return "$NODES_" + "".join(letter if letter.isalnum() else "_" for letter in zone.upper())


def _new_subnet(situation: Situation, zone: str, block: Block | None) -> Step:
    if block is None:
        return Step(
            what=f"{zone} has no subnet with {LEAST_ROOM_FOR_NODES} free addresses, and the VPC's own CIDRs no free "
            "block for one: free addresses in its node subnets first (thriftier warm targets, leaked interfaces), or "
            "make nodes in the other zones",
            takes="minutes",
        )
    table = situation.zones[zone].route_table_id
    attach = (
        f" && aws ec2 associate-route-table{_region(situation)} --route-table-id {table} "
        f'--subnet-id "{_variable(zone)}"'
        if table
        else ""
    )
    return Step(
        what=f"Make a node subnet {block} in {zone}: {usable_addresses(block):,} addresses, in free space of the VPC's "
        f"own; it takes the route table of the zone's node subnet ({table or 'unknown: look it up'})",
        command=f"{_variable(zone)[1:]}=$(aws ec2 create-subnet{_region(situation)} --vpc-id {situation.vpc_id} "
        f"--availability-zone {zone} --cidr-block {block} --query Subnet.SubnetId --output text){attach}",
        takes="seconds",
        undo=f'aws ec2 delete-subnet{_region(situation)} --subnet-id "{_variable(zone)}"',
    )


def _node_group_steps(
    situation: Situation, snapshot: Snapshot, full: set[str], subnets: list[str], have: str
) -> Iterator[Step]:
    region, cluster = _region(situation), shlex.quote(_name(situation))
    of_group = Counter(known_or(node.node_group, "") for node in items(kubernetes_of(snapshot).nodes))
    groups = [each for each in items(aws_of(snapshot).node_groups) if full & set(items(each.subnet_ids))]
    for group in groups[:MOST_SHOWN]:
        role = (
            f"$(aws eks describe-nodegroup{region} --cluster-name {cluster} --nodegroup-name {shlex.quote(group.name)} "
            "--query nodegroup.nodeRole --output text)"
        )
        minimum, desired, maximum = (
            known_or(each, of_group[group.name]) for each in (group.minimum, group.desired, group.maximum)
        )
        types = " ".join(items(group.instance_types))
        where = f": {have}" if have else ""
        yield Step(
            what=f"Make a node group beside {group.name} in subnets that have room{where}. It is to have as many nodes "
            f"({desired:,}, at most {maximum:,}), and its launch template if it has one; the subnets of a managed node "
            f"group cannot be changed. Then drain {group.name}",
            command=f"aws eks create-nodegroup{region} --cluster-name {cluster} "
            f"--nodegroup-name {shlex.quote(f'{group.name}-2')} --subnets {' '.join(_quoted(subnets)) or 'SUBNET'} "
            f'--node-role "{role}" --scaling-config minSize={minimum},maxSize={max(1, maximum)},desiredSize={desired}'
            + (f" --instance-types {types}" if types else "")
            + (f" --ami-type {ami}" if (ami := known_or(group.ami_type, "")) and ami != "CUSTOM" else ""),
            takes="minutes",
            touches="nothing that runs, until the old group is drained",
            undo=f"aws eks delete-nodegroup{region} --cluster-name {cluster} "
            f"--nodegroup-name {shlex.quote(f'{group.name}-2')}",
        )
    if not groups and not items(kubernetes_of(snapshot).node_classes):
        where = f": {have}" if have else ""
        yield Step(
            what=f"Have nodes made in subnets that have room{where}; which node group or NodeClass makes them was not "
            "read",
            takes="minutes",
            touches="nothing that runs",
        )


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' if name.startswith("$") else name for name in names]


def _node_class_steps(snapshot: Snapshot, full: set[str], subnets: list[str], have: str) -> Iterator[Step]:
    for each in items(kubernetes_of(snapshot).node_classes):
        if each.kind != "EC2NodeClass" or not full & set(items(each.subnet_ids)):
            continue
        left = [name for name in items(each.subnet_ids) if name not in full]
        terms = [{"id": name} for name in dict.fromkeys([*left, *subnets])]
        patch = json.dumps({"spec": {"subnetSelectorTerms": terms}})
        # In double quotes where the shell has the id of a new subnet, which single ones would keep from it.
        quoted = '"' + patch.replace('"', '\\"') + '"' if "$" in patch else shlex.quote(patch)
        yield Step(
            what=f"Have Karpenter launch nodes of the EC2NodeClass {each.name} in subnets that have room"
            + (f": {have}" if have else ""),
            command=f"kubectl patch ec2nodeclass {shlex.quote(each.name)} --type merge --patch {quoted}",
            takes="seconds; nodes in subnets that are no longer selected count as drifted",
            touches="the nodes in the full subnets: Karpenter replaces them",
        )


# Settings.


def settings_mended(situation: Situation) -> dict[str, str]:
    """The settings of aws-node that undo what keeps it from working, as far as only one value can be right.

    Source: amazon-vpc-cni-k8s README (DISABLE_NETWORK_RESOURCE_PROVISIONING, ENABLE_IMDS_ONLY_MODE); EKS user guide,
    network-reqs (the family of a cluster's addresses is fixed when it is made) and cni-custom-network.
    """
    environment = situation.environment
    found: dict[str, str] = {
        name: "false"
        for name in ("DISABLE_NETWORK_RESOURCE_PROVISIONING", "ENABLE_IMDS_ONLY_MODE")
        if environment.get(name, "").lower() in ("true", "1", "t")
    }
    if situation.without_eni_config and not environment.keys() & _CHOOSE_ENI_CONFIG:
        found["ENI_CONFIG_LABEL_DEF"] = ZONE_LABEL
    if situation.cni_version is not None and situation.ip_family in _FAMILIES:
        problems, _ = check_settings(environment, situation.cni_version)
        if any(problem.rule == "cni-one-ip-family" for problem in problems):
            found |= _FAMILIES[situation.ip_family]
    return found


ZONE_LABEL: Final = "topology.kubernetes.io/zone"
_CHOOSE_ENI_CONFIG: Final = frozenset({"ENI_CONFIG_LABEL_DEF", "ENI_CONFIG_ANNOTATION_DEF"})
"""What names a node's ENIConfig; without either it is the one called `default`, in whatever zone the node is
(amazon-vpc-cni-k8s README, ENI_CONFIG_LABEL_DEF)."""

_FAMILIES: Final[Mapping[str, Mapping[str, str]]] = {
    "ipv4": {"ENABLE_IPv4": "true", "ENABLE_IPv6": "false"},
    "ipv6": {"ENABLE_IPv4": "false", "ENABLE_IPv6": "true"},
}


def _mend_settings(situation: Situation, snapshot: Snapshot, cause: Cause) -> HandWork:
    mended = settings_mended(situation)
    if situation.without_eni_config:
        return _eni_configs(situation, snapshot)
    if mended:  # the stack file sets them
        return HandWork()
    said = "; ".join(dict.fromkeys(each.value or each.what for each in cause.evidence[:MOST_SHOWN])) or cause.summary
    where = listed([*cause.scope.subnets, *cause.scope.nodes][:MOST_SHOWN])
    return HandWork(
        steps=(
            Step(
                what=f"Mend what the evidence names{f' ({where})' if where else ''}: {said.removesuffix('.')}. "
                f"aws-node has {_told(situation)}; `headroom check` judges a change before it is made",
                command="kubectl --namespace kube-system get daemonset aws-node --output "
                "jsonpath='{.spec.template.spec.containers[0].env}'",
                takes="minutes",
                touches="aws-node, a tenth of the nodes at a time",
            ),
        )
    )


def _told(situation: Situation) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(situation.environment.items())) or "no setting"


def _free_and_id(subnet: Subnet) -> tuple[int, str]:
    return known_or(subnet.available_addresses, 0), subnet.subnet_id


def _eni_configs(situation: Situation, snapshot: Snapshot) -> HandWork:
    """An ENIConfig for each zone that has nodes, by its name, in the zone's subnet with most free addresses."""
    subnets = items(aws_of(snapshot).subnets)
    documents, told = [], []
    for zone in sorted(situation.zones):
        of_zone = [each for each in subnets if known(each.zone) == zone and isinstance(each.available_addresses, int)]
        tagged = [each for each in of_zone if each.subnet_id in situation.pod_subnets]
        best = max(tagged or of_zone, key=_free_and_id, default=None)
        if best is None:
            continue
        free = known_or(best.available_addresses, 0)
        told.append(f"{best.subnet_id} in {zone} ({free:,} free)")
        documents.append(
            "apiVersion: crd.k8s.amazonaws.com/v1alpha1\nkind: ENIConfig\n"
            f"metadata:\n  name: {json.dumps(zone)}\nspec:\n  subnet: {json.dumps(best.subnet_id)}\n"
            "  # securityGroups: those that pods are to have.\n"
        )
    path = f"stacks/eniconfigs.{_name(situation)}.yaml"
    files: tuple[PlannedFile, ...] = ()
    if documents:
        head = f"# One for each zone that has nodes, by the name that ENI_CONFIG_LABEL_DEF={ZONE_LABEL} gives it.\n"
        text = head + "---\n".join(documents)
        files = (PlannedFile(path=path, text=text, purpose="where custom networking finds subnets"),)
    back = "aws-node has AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true, and there is no ENIConfig with a subnet"
    if not documents:
        return HandWork(
            steps=(
                Step(
                    what=f"{back}, and no zone's subnets were read: name one subnet a zone in ENIConfigs",
                    takes="minutes",
                ),
            )
        )
    return HandWork(
        files=files,
        steps=(
            Step(
                what=f"{back}: fill in the security groups and apply one for each zone: {listed(told)}",
                command=f"kubectl apply --filename {shlex.quote(path)}",
                takes="seconds; ipamd looks for its node's ENIConfig whenever it makes an interface",
                undo=f"kubectl delete --filename {shlex.quote(path)}",
            ),
        ),
    )
