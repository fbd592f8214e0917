"""A node's own range is full of reservations that no pod uses: host-local's files, or azure-vnet-ipam's."""

import re

from headroom.addresses.blocks import Block, parse_address
from headroom.addresses.problems import ProblemsError
from headroom.diagnosis.aks import Aks
from headroom.diagnosis.cluster import NodeState
from headroom.diagnosis.finding import IPAM_STATE, RESERVED_FILES, Finding, cause, counted, said
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Detail, Evidence, Needed
from headroom.facts.values import is_known, items, known

MAX_PODS = "maxPods"
SOURCE = "kubernetes #57280; containernetworking/plugins, host-local"
NOT_GIVEN_OUT = 2
"""Addresses of a block outside host-local's range: the first and the last (containernetworking/plugins, range.go)."""

_RESERVED_KEYS = re.compile(r"reserv|\bfiles?\b|/var/lib/cni|in.?use|allocated|ipam", re.IGNORECASE)
_POD_KEYS = re.compile(r"\b(?:live|running|actual)?[ _]?(?:pods?|sandbox(?:es)?|containers?)\b", re.IGNORECASE)
_ALL = re.compile(r"whole range|all (?:of them|\d+|addresses|ips?)\b|entire range|every address|full", re.IGNORECASE)
_NOT_FREED = (
    r"fail|never|leak|stale|not (?:freed|released|deleted|cleaned)|left"
    r"|pods?(?:\b|_).{0,40}(?:not (?:that )?many|\bfew\b|fewer|far less|only)"
)
_STORE = r"(?:/var/lib/cni|azure-vnet(?:-ipam)?\.json)"
_FILES_OF_THE_GONE = (
    rf"(?:\brm\b|remov|clean|delet|purg|\bfree|old|stale|left|orphan).{{0,60}}{_STORE}"
    rf"|{_STORE}.{{0,80}}(?:remov|clean|delet|purg|\bold\b|stale|left|orphan)"
    r"|\b(?:ips?|address(?:es)?|reservations?|endpoints?) (?:(?:are|were|is|was) )?(?:not|never) (?:being )?"
    r"(?:recycled|released|freed|reclaimed|given back|cleaned)"
    r"|(?<!no )(?<!not )\bleak(?:s|ed|ing)? (?:of )?(?:ips?\b|address|reservation)"
)
"""What people write of reservations that outlived their pods, or of emptying the store that helped."""
_NUMBER = re.compile(r"(?<![\w.])(\d{1,5})(?![\w.])")


def judge(reading: Reading) -> Finding:
    """More reservations than pods; or a range that the node's maxPods cannot use up."""
    if reading.aks is not None and reading.aks.cluster is not None:
        return _seen(reading, reading.aks)
    hits = reading.of("host-local-range-full", "azure-ipam-empty")
    range_size = node_range(reading)
    pods, reserved = live_pods(reading), reservations(reading, range_size)
    most = known(reading.stated.max_pods)
    seen: list[Evidence] = []
    if pods is not None and reserved is not None and reserved > pods:
        seen.append(
            Evidence(
                what="reservations on the node",
                where="said",
                value=str(reserved),
                threshold=f"{pods} pods",
                source=SOURCE,
            )
        )
    elif reading.of("host-local-range-full") and range_size is not None:
        bound = min((each for each in (pods, most) if each is not None), default=None)
        if bound is not None and bound < range_size - 1:
            what = "pods on the node" if bound == pods else "maxPods"
            seen.append(said(what, bound, threshold=f"the range has {range_size} addresses"))
        elif reserved is not None and reserved >= range_size - 1 and reading.said(_NOT_FREED):
            seen.append(said("reservations on the node", f"the whole range of {range_size}"))
    if hits and not seen and (told := reading.told(_FILES_OF_THE_GONE)) is not None:
        seen.append(said("reservations of the node", told))
    if not seen:
        needed = (RESERVED_FILES,) if hits else ()
        return Finding(needed=needed)
    return Finding(
        causes=(
            cause(
                reading,
                Detail.HOST_LOCAL_LEAK,
                hits=hits,
                seen=seen,
                summary="Reservations that no pod uses fill the node's range; true use cannot have filled it.",
            ),
        )
    )


def _seen(reading: Reading, aks: Aks) -> Finding:
    """Nodes whose pods find their range full: their reservations against what runs there, and against maxPods.

    maxPods is smaller than a node's range (AKS allows 250), so pods alone never fill one: a full range means that
    reservations were left behind, whoever counted what.
    """
    leaks: list[Evidence] = []
    names: list[str] = []
    needed: list[Needed] = []
    for state in aks.stuck_with("host-local-range-full"):
        found = _leak(aks, state)
        if found is None:
            needed.append(RESERVED_FILES)
            continue
        names.append(state.node.name)
        # What maxPods allows is told once: a line a node would hide the counts.
        leaks += [each for each in found if each.what != MAX_PODS or all(other.what != MAX_PODS for other in leaks)]
        if aks.host_local_of(state.node.name) is None:
            needed.append(RESERVED_FILES)
    for state in aks.stuck_with("azure-ipam-empty"):
        free = aks.free(_node_subnet(aks, state))
        most, pods = aks.most_pods(state.node), aks.addressed_on(state.node.name)
        if free is None or most is None or not is_known(aks.kubernetes.pods):
            needed.append(IPAM_STATE)
        elif free > 0 and pods < most - len(state.stuck):
            names.append(state.node.name)
            leaks.append(
                Evidence(
                    what="pods with an address",
                    where=state.node.name,
                    value=f"{pods:,}, and its IPAM has none left",
                    threshold=f"the node has {most:,} addresses for pods (maxPods); {free:,} free in the subnet",
                    source=SOURCE,
                )
            )
    if not names:
        return Finding(needed=tuple(dict.fromkeys(needed)))
    hits = tuple(hit for hit in _full(reading) if known(hit.line.node) in names)
    return Finding(
        causes=(
            cause(
                reading,
                Detail.HOST_LOCAL_LEAK,
                hits=hits,
                seen=leaks,
                names=names,
                summary=f"Reservations that no pod uses fill the range of {counted(len(names), 'node')}: "
                f"{leaks[0].value} on {leaks[0].where}, {leaks[0].threshold}.",
            ),
        ),
        needed=tuple(dict.fromkeys(needed)),
    )


def _leak(aks: Aks, state: NodeState) -> list[Evidence] | None:
    """What shows that a node's full range is full of leftovers; ``None``: a reading says otherwise, or nothing does."""
    node, size = state.node, aks.block_addresses(state.node)
    bound = aks.pods_bound(node)
    of_max_pods = Evidence(
        what=MAX_PODS,
        where=node.name,
        value=f"{bound:,} pods at most",
        threshold=f"host-local has {size:,} addresses there",
        source=SOURCE,
    )
    counted_there = aks.host_local_of(node.name)
    reserved = known(counted_there.reserved) if counted_there is not None else None
    live = known(counted_there.live) if counted_there is not None else None
    if reserved is None or live is None:
        return [of_max_pods] if bound < size else None
    live = max(live, aks.addressed_on(node.name))
    if reserved < size or live >= reserved or live > bound:
        return None  # of another moment than the event
    leaked = len(items(counted_there.leaked)) if counted_there is not None else 0
    return [
        Evidence(
            what="files in /var/lib/cni/networks",
            where=node.name,
            value=f"{reserved:,} reserved, {live:,} in use",
            threshold=f"host-local has {size:,} addresses there",
            count=max(1, leaked),
            source=SOURCE,
        ),
        *([of_max_pods] if bound < size else []),
    ]


def _full(reading: Reading) -> tuple[Hit, ...]:
    return reading.of("host-local-range-full", "azure-ipam-empty")


def _node_subnet(aks: Aks, state: NodeState) -> str | None:
    pool = aks.pool_of(state.node)
    return aks.node_subnet_of(pool) if pool is not None else None


def node_range(reading: Reading) -> int | None:
    """How many addresses the node's range has: host-local prints its two ends, and people write it as a block."""
    for hit in reading.of("host-local-range-full"):
        text = hit.match.groups.get("range", "")
        first, dash, last = text.partition("-")
        try:
            if dash:
                return parse_address(last.strip()) - parse_address(first.strip()) + 1
            if "/" in text:
                return Block.parse(text).size - NOT_GIVEN_OUT
        except ProblemsError:
            continue
    return None


def live_pods(reading: Reading) -> int | None:
    """Pods that run on the node, as somebody counted."""
    for told in (reading.stated.live_sandboxes, reading.stated.pods_on_node):
        if (pods := known(told)) is not None:
            return pods
    for key, text in reading.stated.other.items():
        number = _NUMBER.search(text)
        if _POD_KEYS.search(key.replace("_", " ")) and not _RESERVED_KEYS.search(key) and number is not None:
            return int(number.group(1))
    return None


def reservations(reading: Reading, range_size: int | None) -> int | None:
    """Reservations of the node's range, as somebody counted; the whole range where somebody said so."""
    counted_there = known(reading.stated.reserved_addresses)
    if counted_there is not None:
        return counted_there
    for key, text in reading.stated.other.items():
        if not _RESERVED_KEYS.search(key):
            continue
        if _ALL.search(text):
            return range_size
        number = _NUMBER.search(text)
        if number is not None:
            return int(number.group(1))
    return None
