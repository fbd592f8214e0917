"""Refuses to delete pod subnets that are in use, and says by what.

Runs inside a delete hook: only while `pulumi destroy --run-program` or `pulumi up` is about to delete something,
never in a constructor. It reads through the provider of the component, so with the same credentials and region.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

import pulumi

DETAILED_INTERFACES = 20
"""How many network interfaces a refusal describes; the others are counted. Each costs a call."""

NAMED_PODS = 10
"""How many pods a refusal names for each network interface; the others are counted."""


@dataclass(frozen=True, slots=True)
class PodNames:
    """Pods as "namespace/name" by address, nodes by instance id; `unknown` says why they could not be read."""

    by_address: Mapping[str, str]
    unknown: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)


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
    subnet_id: str = ""
    instance_id: str = ""
    addresses: tuple[str, ...] = ()
    description: str = ""


TAG_TYPE = "aws:ec2/tag:Tag"
"""Type of a single tag: the invitation of pods into a subnet."""

GATE_TYPE = "pulumi:index:Stash"
"""Type of the record that hangs on everything: a destroy comes to it before anything is deleted."""


LIST_INTERFACES = "aws:ec2/getNetworkInterfaces:getNetworkInterfaces"
DESCRIBE_INTERFACE = "aws:ec2/getNetworkInterface:getNetworkInterface"


async def refuse_while_used(
    deleted: pulumi.ResourceHookArgs, pods_by_address: PodsByAddress, parent: pulumi.Resource | None = None
) -> None:
    """Returns when no network interface remains in the subnets that `deleted` stands for.

    Args:
        deleted: What is about to go.
        pods_by_address: Asked only when there is something to refuse.
        parent: Whose provider is asked: that of the component.

    Raises:
        SubnetInUseError: Some remain, or it could not be read whether any do; and for the record of all subnets,
            when they still accept new pods: the CNI could make an interface while the routes are being deleted.
    """
    subnet_ids = subnets_of(deleted)
    if not subnet_ids:
        return
    gate = deleted.type == GATE_TYPE
    try:
        listed = await _look_up(
            LIST_INTERFACES, {"filters": [{"name": "subnet-id", "values": subnet_ids}]}, parent=parent
        )
        interface_ids: list[str] | None = None if listed is None else sorted(listed["ids"])
    except Exception as error:  # the SDK raises nothing narrower for a failed invoke
        raise SubnetInUseError(unreadable(subnet_ids, error)) from error
    if interface_ids is None:
        raise SubnetInUseError(unreadable(subnet_ids, "no answer"))
    if interface_ids:
        uses = await asyncio.gather(
            *(_describe(interface_id, parent) for interface_id in interface_ids[:DETAILED_INTERFACES])
        )
        raise SubnetInUseError(refusal(uses, len(interface_ids), await _pods(pods_by_address), gate=gate))
    if gate and _record(deleted).get("acceptNewPods"):
        raise SubnetInUseError(
            "no network interface is left in these subnets, but they still accept new pods; nothing was deleted.\n"
            "Next: set `headroom:acceptNewPods: false`, run `pulumi up`, then repeat `pulumi destroy --run-program`."
        )


async def _pods(pods_by_address: PodsByAddress) -> PodNames:
    try:
        return await pods_by_address()
    except Exception as error:  # noqa: BLE001 - the refusal stands; what could not be read is said in it
        return PodNames({}, " ".join(str(error).split()))


def unreadable(subnet_ids: Iterable[str], error: object) -> str:
    """The text of a refusal because nobody knows whether the subnets are in use."""
    said = " ".join(str(error).split())
    return (
        f"whether {', '.join(subnet_ids)} are in use could not be read: {said}.\n"
        "Next: allow ec2:DescribeNetworkInterfaces, or wait, and repeat the command."
    )


def subnets_of(deleted: pulumi.ResourceHookArgs) -> list[str]:
    """The subnet ids behind a resource that is about to be deleted."""
    if deleted.type == "aws:ec2/subnet:Subnet":
        return [deleted.id]
    inputs: Mapping[str, Any] = deleted.old_inputs or {}
    if deleted.type == TAG_TYPE:
        return [str(inputs["resourceId"])] if inputs.get("resourceId") else []
    spec: Mapping[str, Any] = inputs.get("spec") or {}  # an ENIConfig
    found = [inputs.get("subnetId"), spec.get("subnet"), *(_record(deleted).get("subnetIds") or {}).values()]
    return sorted(str(subnet_id) for subnet_id in found if subnet_id)


def _record(deleted: pulumi.ResourceHookArgs) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = deleted.old_inputs or {}
    record = inputs.get("input")
    return record if isinstance(record, Mapping) else {}


async def _look_up(token: str, args: Mapping[str, Any], parent: pulumi.Resource | None) -> Mapping[str, Any] | None:
    """What the provider answers, under its own names; None where the engine does not know yet.

    Not by the SDK's functions: those that can be awaited leave a failed one behind as an output of the program, whose
    traceback then stands beside the refusal.
    """
    options = pulumi.InvokeOptions(parent=parent, version=_provider_version())
    answer: Mapping[str, Any] | None = await pulumi.runtime.invoke_async(token, dict(args), options)
    return answer


@cache
def _provider_version() -> str:
    """That of the SDK, as its own functions ask: without it the engine would start another provider."""
    return metadata.version("pulumi-aws")


async def _describe(interface_id: str, parent: pulumi.Resource | None) -> InterfaceUse:
    try:
        found = await _look_up(DESCRIBE_INTERFACE, {"id": interface_id}, parent)
        return _use(interface_id, found)
    except Exception as error:  # noqa: BLE001 - the refusal stands; what could not be read is said in it
        said = " ".join(str(error).split())
        return InterfaceUse(interface_id=interface_id, description=f"not described: {said}")


def _use(interface_id: str, found: Mapping[str, Any] | None) -> InterfaceUse:
    if found is None:
        return InterfaceUse(interface_id=interface_id, description="not described: no answer")
    instance_ids = [item["instanceId"] for item in found["attachments"] if item.get("instanceId")]
    return InterfaceUse(
        interface_id=interface_id,
        subnet_id=found["subnetId"],
        instance_id=instance_ids[0] if instance_ids else "",
        addresses=tuple(found["privateIps"]),
        description=found.get("description") or "",
    )


def refusal(uses: Iterable[InterfaceUse], count: int, pods: PodNames, *, gate: bool = True) -> str:
    """The text of a refusal: each network interface with its node and pods, and how to go on.

    Args:
        uses: The interfaces that were described.
        count: How many there are.
        pods: The cluster's pods and nodes.
        gate: Whether this is the refusal of a whole destroy, before anything was deleted.
    """
    one = count == 1
    where = "these subnets; nothing was deleted." if gate else "this subnet."
    lines = [f"{count} network interface{'' if one else 's'} still use{'s' if one else ''} {where}"]
    described = sorted(uses, key=lambda use: (use.subnet_id, use.instance_id, use.interface_id))
    lines.extend(f"  {_line(use, pods)}" for use in described)
    if count > len(described):
        lines.append(f"  and {count - len(described)} more")
    repeat = "repeat `pulumi destroy --run-program`" if gate else "repeat the command"
    lines.append(
        "Next: set `headroom:acceptNewPods: false`, run `pulumi up`, replace or drain these nodes until their "
        f"interfaces are gone, then {repeat}."
    )
    return "\n".join(lines)


def _line(use: InterfaceUse, pods: PodNames) -> str:
    if use.instance_id:
        name = pods.nodes.get(use.instance_id)
        owner = f"node {name} ({use.instance_id})" if name else f"instance {use.instance_id}"
    else:
        owner = f"no instance ({use.description or 'no description'})"
    named = sorted(pods.by_address[address] for address in use.addresses if address in pods.by_address)
    if pods.unknown:
        held = f"pods unknown ({pods.unknown})"
    else:
        rest = f" and {len(named) - NAMED_PODS} more" if len(named) > NAMED_PODS else ""
        held = f"pods {', '.join(named[:NAMED_PODS])}{rest}" if named else "no pods"
    addresses = f"{len(use.addresses)} address{'es' if len(use.addresses) != 1 else ''}"
    return f"{use.subnet_id} {use.interface_id} {owner}: {addresses}, {held}".lstrip()
