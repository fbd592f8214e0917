"""A snapshot as it would be had a source failed: not read, empty, cut short, or of another moment.

The places where a reading can fail are found by walking the snapshot's own types, so that a new field is spoiled
without a word here. What may come of a spoiled snapshot is the true verdict, in whole or in part, or `undecided`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from headroom.addresses.azure import azure_usable_addresses
from headroom.addresses.blocks import Block, usable_addresses
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.aws import Aws, Interface
from headroom.facts.azure import ArmError, Azure, AzureSubnet
from headroom.facts.kubernetes import Kubernetes, Pod
from headroom.facts.snapshot import Line, Origin, Snapshot
from headroom.facts.values import Reason, Unknown, items, known, known_or

LEFT_ALONE: Final = frozenset({"cloud", "cluster", "collected_at", "stated", "sources"})
"""Fields of a snapshot that nobody reads anywhere: whoever asks knows them."""

NOTES: Final = frozenset({"coverage", "unread_workloads"})
"""Fields that say how others were read, and are read nowhere themselves."""

ROOMY: Final = 500
"""Free addresses that a subnet claims to have where another reading says otherwise."""

Change = Callable[[Any], Any]
UNCHANGED: Final = object()
"""What a change answers that does not apply to a value."""


class Fault(StrEnum):
    """What happened to a reading."""

    DENIED = Reason.DENIED.value
    THROTTLED = Reason.THROTTLED.value
    UNREACHABLE = Reason.UNREACHABLE.value
    UNPARSEABLE = Reason.UNPARSEABLE.value
    NOT_COLLECTED = Reason.NOT_COLLECTED.value
    ABSENT = "absent"
    EMPTY = "empty"
    FIRST_HALF = "first half"
    SECOND_HALF = "second half"
    CONTRADICTED = "contradicted"
    DENIED_IN_PART = "denied in part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """A snapshot with one fault in it.

    Attributes:
        where: Which reading, as a path: `aws.subnets`, `aws.subnets[].availableAddresses`.
        fault: What happened to it.
        snapshot: What is left.
    """

    where: str
    fault: Fault
    snapshot: Snapshot

    def __str__(self) -> str:
        return f"{self.where} {self.fault}"


# One reading at a time.


@dataclass(frozen=True, slots=True)
class _Place:
    """A field that can be unknown or absent, or hold several things: its path from the snapshot, and what it may be."""

    path: tuple[tuple[str, bool], ...]
    """Names of fields, each with whether the next name is one of every item's."""
    may_be_unknown: bool
    may_be_absent: bool

    def __str__(self) -> str:
        return ".".join(f"{name}[]" if each else name for name, each in self.path)


def spoiled(snapshot: Snapshot, *, every_reason: bool = True) -> Iterator[Spoiled]:
    """The snapshot with each fault in turn; those that change nothing of it are left out.

    Args:
        snapshot: What was read.
        every_reason: Whether a value is unknown for every reason in turn, and not only denied.
    """
    for place in _places(Snapshot, ()):
        if place.path[0][0] in LEFT_ALONE:
            continue
        for fault, change in _faults(place, every_reason=every_reason):
            changed = _changed(snapshot, place.path, change)
            if changed != snapshot:
                yield Spoiled(where=str(place), fault=fault, snapshot=changed)
    for where in ("aws", "azure", "kubernetes"):
        if known(getattr(snapshot, where)) is not None:
            yield Spoiled(where=f"{where}.*", fault=Fault.DENIED, snapshot=_all_denied(snapshot, where))
    for changed in _workloads_denied_in_part(snapshot):
        yield Spoiled(where="kubernetes.unread_workloads", fault=Fault.DENIED_IN_PART, snapshot=changed)
    for name, contradict in {**CONTRADICTIONS, **AKS_CONTRADICTIONS}.items():
        changed = contradict(snapshot)
        if changed != snapshot:
            yield Spoiled(where=name, fault=Fault.CONTRADICTED, snapshot=changed)


def _places(kind: type, path: tuple[tuple[str, bool], ...]) -> Iterator[_Place]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        value, unknown, absent = _parts(hints[field.name])
        each = get_origin(value) is tuple
        several = each or (isinstance(get_origin(value), type) and issubclass(get_origin(value), Mapping))
        if unknown or absent or several:
            yield _Place((*path, (field.name, False)), unknown, absent)
        inner = get_args(value)[0] if each else value
        if is_dataclass(inner) and isinstance(inner, type):
            yield from _places(inner, (*path, (field.name, each)))


def _parts(annotation: Any) -> tuple[Any, bool, bool]:
    """Of a field's annotation: the kind of its value, whether it may be unknown, and whether absent."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False, False
    members = get_args(annotation)
    kind = next(member for member in members if member not in (Unknown, type(None)))
    return kind, Unknown in members, type(None) in members


def _faults(place: _Place, *, every_reason: bool) -> Iterator[tuple[Fault, Change]]:
    if place.may_be_unknown:
        for reason in Reason if every_reason else (Reason.DENIED,):
            yield Fault(reason.value), _becomes(Unknown(reason, "spoiled for a test"))
    if place.may_be_absent:
        yield Fault.ABSENT, _becomes(None)
    yield Fault.EMPTY, lambda value: type(value)() if isinstance(value, tuple | dict) else UNCHANGED
    yield Fault.FIRST_HALF, lambda value: value[: len(value) // 2] if isinstance(value, tuple) else UNCHANGED
    yield Fault.SECOND_HALF, lambda value: value[len(value) // 2 :] if isinstance(value, tuple) else UNCHANGED


def _becomes(instead: object) -> Change:
    """What was read is not; what was not read anyhow stays as it is."""
    return lambda value: UNCHANGED if value is None or isinstance(value, Unknown) else instead


def _changed(value: Any, path: tuple[tuple[str, bool], ...], change: Change) -> Any:
    """The value with one field of it, or of all its items, changed."""
    (name, each), rest = path[0], path[1:]
    held = getattr(value, name)
    if not rest:
        instead = change(held)
    elif each:
        instead = tuple(_changed(item, rest, change) for item in held) if isinstance(held, tuple) else UNCHANGED
    else:
        instead = _changed(held, rest, change) if is_dataclass(held) and not isinstance(held, Unknown) else UNCHANGED
    return value if instead is UNCHANGED else replace(value, **{name: instead})


def _all_denied(snapshot: Snapshot, where: str) -> Snapshot:
    """As a role without a single permission reads it."""
    kind: type[Any] = {"aws": Aws, "azure": Azure, "kubernetes": Kubernetes}[where]
    denied = Unknown(Reason.DENIED, "spoiled for a test")
    made = kind(**{field.name: denied for field in fields(kind) if field.name not in NOTES})
    return replace(snapshot, **{where: made})


def _workloads_denied_in_part(snapshot: Snapshot) -> Iterator[Snapshot]:
    """As a role reads it that may list all kinds of workloads but one."""
    kubernetes = known(snapshot.kubernetes)
    workloads = items(kubernetes.workloads) if kubernetes is not None else ()
    for kind in sorted({each.kind for each in workloads}):
        left = tuple(each for each in workloads if each.kind != kind)
        yield _of_kubernetes(snapshot, workloads=left, unread_workloads={kind: "denied (spoiled for a test)"})


# Readings that contradict each other.


def _of_aws(snapshot: Snapshot, **changes: Any) -> Snapshot:
    aws = known(snapshot.aws)
    return snapshot if aws is None else replace(snapshot, aws=replace(aws, **changes))


def _of_kubernetes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    kubernetes = known(snapshot.kubernetes)
    return snapshot if kubernetes is None else replace(snapshot, kubernetes=replace(kubernetes, **changes))


def _pods(snapshot: Snapshot) -> tuple[Pod, ...]:
    return items(known_or(snapshot.kubernetes, Kubernetes()).pods)


def _interfaces(snapshot: Snapshot) -> tuple[Interface, ...]:
    return items(known_or(snapshot.aws, Aws()).interfaces)


def _waits(pod: Pod) -> bool:
    return pod.phase == "Pending" and not pod.host_network


def _roomy(snapshot: Snapshot) -> Snapshot:
    """Subnets of a moment at which they had room; full ones would contradict nothing, for others may fill them."""
    subnets = items(known_or(snapshot.aws, Aws()).subnets)
    return _of_aws(
        snapshot,
        subnets=tuple(
            replace(subnet, available_addresses=min(ROOMY, usable_addresses(Block.parse(subnet.cidr_block))))
            for subnet in subnets
            if isinstance(subnet.cidr_block, str)
        ),
    )


def _before(snapshot: Snapshot) -> Snapshot:
    """The pods as they were before any of them waited; all else is of now."""
    return _of_kubernetes(snapshot, pods=tuple(pod for pod in _pods(snapshot) if not _waits(pod)))


def _after(snapshot: Snapshot) -> Snapshot:
    """The pods of a moment at which none waits any more, with addresses that no interface had yet."""
    addresses = iter(range(10, 1_000_000))
    return _of_kubernetes(
        snapshot,
        pods=tuple(
            replace(
                pod,
                phase="Running",
                waiting=None,
                ready=True,
                ip=f"198.18.{(number := next(addresses)) // 250}.{number % 250}",
            )
            if _waits(pod) and pod.node is not None
            else pod
            for pod in _pods(snapshot)
        ),
    )


def _of_other_nodes(snapshot: Snapshot) -> Snapshot:
    """Pods of a cluster with nodes of other names."""
    return _of_kubernetes(
        snapshot,
        pods=tuple(
            replace(pod, node=f"{pod.node}.elsewhere") if isinstance(pod.node, str) else pod for pod in _pods(snapshot)
        ),
    )


def _bare_nodes(snapshot: Snapshot) -> Snapshot:
    """The interfaces of the moment at which the nodes were launched: one each, with its own address."""
    return _of_aws(
        snapshot,
        interfaces=tuple(
            replace(interface, addresses=interface.addresses[:1], prefixes=())
            for interface in _interfaces(snapshot)
            if interface.instance_id is None or interface.device_index == 0
        ),
    )


def _instances_of_others(snapshot: Snapshot) -> Snapshot:
    """Interfaces of other instances than the nodes."""
    return _of_aws(
        snapshot,
        interfaces=tuple(
            replace(interface, instance_id=f"{interface.instance_id}f") if interface.instance_id else interface
            for interface in _interfaces(snapshot)
        ),
    )


def _of_azure(snapshot: Snapshot, **changes: Any) -> Snapshot:
    azure = known(snapshot.azure)
    return snapshot if azure is None else replace(snapshot, azure=replace(azure, **changes))


def _azure(snapshot: Snapshot) -> Azure:
    return known_or(snapshot.azure, Azure())


def _roomy_in_azure(snapshot: Snapshot) -> Snapshot:
    """Subnets of AKS of a moment at which they had room."""

    def roomy(subnet: AzureSubnet) -> AzureSubnet:
        blocks = [Block.parse(text) for text in items(subnet.prefixes)]
        usable = sum(azure_usable_addresses(block) for block in blocks)
        return replace(subnet, used_addresses=0, usable_addresses=usable, ip_configurations=0)

    vnets = tuple(
        replace(vnet, subnets=tuple(roomy(subnet) for subnet in items(vnet.subnets)))
        for vnet in items(_azure(snapshot).vnets)
    )
    return _of_azure(snapshot, vnets=vnets) if vnets else snapshot


def _reserved_before(snapshot: Snapshot) -> Snapshot:
    """host-local's files of a moment at which every one was a pod's."""
    readings = tuple(replace(each, reserved=each.live, leaked=()) for each in items(_azure(snapshot).host_local))
    return _of_azure(snapshot, host_local=readings) if readings else snapshot


def _sandboxes_of_all(snapshot: Snapshot) -> Snapshot:
    """Sandboxes of another node: as many as host-local has files."""
    readings = tuple(replace(each, live=each.reserved) for each in items(_azure(snapshot).host_local))
    return _of_azure(snapshot, host_local=readings) if readings else snapshot


def _few_routes(snapshot: Snapshot) -> Snapshot:
    """Another route table: with one route."""
    tables = tuple(replace(each, routes=items(each.routes)[:1]) for each in items(_azure(snapshot).route_tables))
    return _of_azure(snapshot, route_tables=tables) if tables else snapshot


OLD_REFUSALS: Final = {
    "SubnetIsFull": ("does not have enough capacity for 4 IP addresses.", None),
    "InsufficientSubnetSize": ("Insufficient subnet size.", "networkProfile.podCIDR"),
    "RouteTableRouteLimitExceeded": ("cannot have more than 400 routes", None),
}
"""What Azure may have refused last month, for a reason that is gone."""


def _old_refusal(code: str, message: str, target: str | None) -> Callable[[Snapshot], Snapshot]:
    def contradict(snapshot: Snapshot) -> Snapshot:
        error = ArmError(
            operation="Microsoft.ContainerService/managedClusters/agentPools/write",
            resource_id="",
            code=code,
            message=message,
            target=target,
            first_seen="2026-01-31T03:12:44Z",
            last_seen="2026-01-31T03:12:44Z",
        )
        return _of_azure(snapshot, errors=(*items(_azure(snapshot).errors), error))

    return contradict


OLD_WORDS: Final = {
    "InsufficientFreeAddressesInSubnet": "InsufficientFreeAddressesInSubnet: The specified subnet does not have "
    "enough free addresses to satisfy the request.",
    "UnauthorizedOperation": "UnauthorizedOperation: You are not authorized to perform this operation.",
    "RequestLimitExceeded": "RequestLimitExceeded: Request limit exceeded.",
    "InsufficientCidrBlocks": "InsufficientCidrBlocks: The specified subnet does not have enough free cidr blocks to "
    "satisfy the request.",
    "AttachmentLimitExceeded": "AttachmentLimitExceeded: Interface count 4 exceeds the limit for m5.large",
}
"""What EC2 may have answered ipamd last month, for a reason that is gone."""


def _old_line(text: str) -> Callable[[Snapshot], Snapshot]:
    def contradict(snapshot: Snapshot) -> Snapshot:
        node = next((pod.node for pod in _pods(snapshot) if isinstance(pod.node, str)), None)
        message = f"Failed to CreateNetworkInterface operation error EC2: CreateNetworkInterface, api error {text}"
        line = Line(
            origin=Origin.IPAMD_LOG,
            text=f'{{"level":"error","ts":"2026-01-31T03:12:44Z","caller":"ipamd/ipamd.go","msg":"{message}"}}',
            node=node,
            file=f"{node}/ipamd.log",
            first_seen="2026-01-31T03:12:44Z",
            last_seen="2026-01-31T03:12:44Z",
        )
        return replace(snapshot, lines=(*known_or(snapshot.lines, ()), line))

    return contradict


CONTRADICTIONS: Final[Mapping[str, Callable[[Snapshot], Snapshot]]] = {
    "subnets that claim to have room": _roomy,
    "pods of a moment before": _before,
    "pods of a moment after": _after,
    "pods of other nodes": _of_other_nodes,
    "interfaces of new nodes": _bare_nodes,
    "interfaces of other instances": _instances_of_others,
    **{f"an old line of {code}": _old_line(text) for code, text in OLD_WORDS.items()},
}
"""Pairs of readings that cannot both be of now, by what is wrong with one of them."""

AKS_CONTRADICTIONS: Final[Mapping[str, Callable[[Snapshot], Snapshot]]] = {
    "subnets of Azure that claim to have room": _roomy_in_azure,
    "reservations of a moment before": _reserved_before,
    "sandboxes of another node": _sandboxes_of_all,
    "another route table": _few_routes,
    **{f"an old refusal, {code}": _old_refusal(code, *said) for code, said in OLD_REFUSALS.items()},
}
"""The same of what Azure and the nodes of AKS say."""


# What may come of it.


class Outcome(StrEnum):
    """How a verdict on a spoiled snapshot stands to the true one."""

    RIGHT = "right"
    PART = "right in part"
    """Some of the true causes, and no other."""
    UNDECIDED = "undecided"
    WRONG = "wrong"


def outcome(verdict: Verdict, causes: Collection[str], diagnosis: Diagnosis, *, also: Collection[str] = ()) -> Outcome:
    """Holds a diagnosis to the truth.

    Args:
        verdict: The true verdict.
        causes: The true causes, by name.
        diagnosis: What was made of the spoiled snapshot.
        also: Causes that may be told beside the true ones.
    """
    if diagnosis.verdict is Verdict.UNDECIDED:
        return Outcome.UNDECIDED
    found = {cause.name for cause in diagnosis.causes}
    if diagnosis.verdict is not verdict or found - {*causes, *also}:
        return Outcome.WRONG
    if verdict is Verdict.FOUND and not found:
        return Outcome.WRONG
    return Outcome.RIGHT if found >= set(causes) else Outcome.PART
