"""Refuses to delete pod subnets that are in use, and says by what.

Runs inside a delete hook: only while `pulumi destroy --run-program` or `pulumi up` is about to delete something,
never in a constructor. It reads through the provider of the component, so with the same credentials and region.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import ec2

DETAILED_INTERFACES = 20
"""How many network interfaces a refusal describes; the others are counted. Each costs a call."""

NAMED_PODS = 10
"""How many pods a refusal names for each network interface; the others are counted."""


@dataclass(frozen=True, slots=True)
class PodNames:
    """Pods as "namespace/name" by address; `unknown` says why they could not be read."""

    by_address: Mapping[str, str]
    unknown: str = ""


PodsByAddress = Callable[[], Awaitable[PodNames]]
"""Reads the cluster's pods; called only when a deletion is refused."""


async def unknown_pods() -> PodNames:
    """For a component that was given no way to read pods."""
    return PodNames({}, "no cluster access was configured")


class SubnetInUseError(RuntimeError):
    """A subnet still holds network interfaces; the text names them, their nodes and pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceUse:
    """One network interface that remains in a subnet."""

    interface_id: str
    subnet_id: str
    node: str
    addresses: tuple[str, ...]
    description: str


async def refuse_while_used(
    deleted: pulumi.ResourceHookArgs, pods_by_address: PodsByAddress, options: pulumi.InvokeOptions
) -> None:
    """Returns when no network interface remains in the subnets that `deleted` stands for.

    Raises:
        SubnetInUseError: Some remain.
    """
    subnet_ids = subnets_of(deleted)
    if not subnet_ids:
        return
    listed = await ec2.get_network_interfaces_output(
        filters=[ec2.GetNetworkInterfacesFilterArgs(name="subnet-id", values=subnet_ids)], opts=options
    ).future()
    if listed is None:
        raise SubnetInUseError(f"the network interfaces of {', '.join(subnet_ids)} could not be read")
    interface_ids = sorted(listed.ids)
    if not interface_ids:
        return
    uses = await asyncio.gather(
        *(_describe(interface_id, options) for interface_id in interface_ids[:DETAILED_INTERFACES])
    )
    raise SubnetInUseError(refusal(uses, len(interface_ids), await pods_by_address()))


def subnets_of(deleted: pulumi.ResourceHookArgs) -> list[str]:
    """The subnet ids behind a resource that is about to be deleted."""
    if deleted.type == "aws:ec2/subnet:Subnet":
        return [deleted.id]
    inputs: Mapping[str, Any] = deleted.old_inputs or {}
    recorded: Mapping[str, Any] = inputs.get("input") or {}
    found = [inputs.get("subnetId"), *(recorded.get("subnetIds") or {}).values()]
    return sorted(str(subnet_id) for subnet_id in found if subnet_id)


async def _describe(interface_id: str, options: pulumi.InvokeOptions) -> InterfaceUse:
    found = await ec2.get_network_interface_output(id=interface_id, opts=options).future()
    if found is None:
        raise SubnetInUseError(f"{interface_id} could not be read")
    instance_ids = [attachment.instance_id for attachment in found.attachments if attachment.instance_id]
    return InterfaceUse(
        interface_id=interface_id,
        subnet_id=found.subnet_id,
        node=await _node_name(instance_ids, options),
        addresses=tuple(found.private_ips),
        description=found.description,
    )


async def _node_name(instance_ids: Sequence[str], options: pulumi.InvokeOptions) -> str:
    if not instance_ids:
        return ""
    instance = await ec2.get_instance_output(instance_id=instance_ids[0], opts=options).future()
    name = instance.private_dns if instance is not None else ""
    return f"{name} ({instance_ids[0]})" if name else instance_ids[0]


def refusal(uses: Iterable[InterfaceUse], count: int, pods: PodNames) -> str:
    """The text of a refusal: each network interface with its node and pods, and how to go on."""
    lines = [
        (
            f"{count} network interface{'s' if count != 1 else ''} still use{'s' if count == 1 else ''} these subnets; "
            "nothing was deleted."
        )
    ]
    described = sorted(uses, key=lambda use: (use.subnet_id, use.node, use.interface_id))
    for use in described:
        owner = f"node {use.node}" if use.node else f"no node ({use.description or 'no description'})"
        named = [pods.by_address[address] for address in use.addresses if address in pods.by_address]
        if pods.unknown:
            held = f"pods unknown ({pods.unknown})"
        else:
            rest = f" and {len(named) - NAMED_PODS} more" if len(named) > NAMED_PODS else ""
            held = f"pods {', '.join(sorted(named)[:NAMED_PODS])}{rest}" if named else "no pods"
        count_of_addresses = f"{len(use.addresses)} address{'es' if len(use.addresses) != 1 else ''}"
        lines.append(f"  {use.subnet_id} {use.interface_id} {owner}: {count_of_addresses}, {held}")
    if count > len(described):
        lines.append(f"  and {count - len(described)} more")
    lines.append(
        "Next: set `headroom:acceptNewPods: false`, run `pulumi up`, replace or drain these nodes until their "
        "interfaces are gone, then repeat `pulumi destroy --run-program`."
    )
    return "\n".join(lines)
