"""The subnets that a cluster's nodes and pods take addresses from, as the facts show them."""

from headroom.addresses.blocks import usable_addresses
from headroom.capacity.thresholds import Role
from headroom.diagnosis.readings import aws_of, kubernetes_of
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import is_known, items, known
from headroom.planning.situation import Situation, held_addresses


def subnet_roles(situation: Situation, snapshot: Snapshot) -> dict[str, tuple[str, Role]]:
    """Zone and role of each subnet of a zone with nodes, by id: those of nodes, and those that are for pods."""
    zone_of = {each.subnet_id: known(each.zone) for each in items(aws_of(snapshot).subnets)}
    custom = situation.settings.custom_networking
    configured = [known(each.subnet_id) for each in items(kubernetes_of(snapshot).eni_configs)] if custom else []
    for_pods = configured if custom else list(situation.pod_subnets)
    roles: dict[str, tuple[str, Role]] = {}
    for zone in situation.zones.values():
        for name in zone.node_subnets:
            roles[name] = (zone.name, "nodes" if custom else "shared")
    for each in for_pods:
        place = zone_of.get(each or "")
        if each and place and place in situation.zones:
            roles.setdefault(each, (place, "pods"))
    return {name: place for name, place in sorted(roles.items()) if name in situation.subnet_blocks}


def held_by_others(situation: Situation, snapshot: Snapshot, subnet_id: str) -> int | None:
    """Addresses of a subnet that are neither free nor on an instance's interface; ``None``: not known.

    They are reserved, or a load balancer's, an endpoint's, another account's. Interfaces that the CNI left over count:
    no node has them any more.
    """
    aws = aws_of(snapshot)
    free = next((known(each.available_addresses) for each in items(aws.subnets) if each.subnet_id == subnet_id), None)
    if free is None or not is_known(aws.interfaces) or subnet_id not in situation.subnet_blocks:
        return None
    held = sum(
        held_addresses(each)
        for each in items(aws.interfaces)
        if each.subnet_id == subnet_id and isinstance(each.instance_id, str)
    )
    return max(0, usable_addresses(situation.subnet_blocks[subnet_id]) - free - held)
