"""A node's own range is full of reservations that no pod uses: host-local's files, or azure-vnet-ipam's."""

import re

from headroom.addresses.blocks import parse_address
from headroom.addresses.problems import ProblemsError
from headroom.diagnosis.finding import RESERVED_FILES, Finding, cause, said
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence
from headroom.facts.values import known

SOURCE = "kubernetes #57280; containernetworking/plugins, host-local"

_RESERVED_KEYS = re.compile(r"reserv|\bfiles?\b|/var/lib/cni|in.?use|allocated|ipam", re.IGNORECASE)
_POD_KEYS = re.compile(r"\b(?:live|running|actual)?[ _]?(?:pods?|sandbox(?:es)?|containers?)\b", re.IGNORECASE)
_ALL = re.compile(r"whole range|all (?:of them|\d+|addresses|ips?)\b|entire range|every address|full", re.IGNORECASE)
_NOT_FREED = (
    r"fail|never|leak|stale|not (?:freed|released|deleted|cleaned)|left"
    r"|pods?(?:\b|_).{0,40}(?:not (?:that )?many|\bfew\b|fewer|far less|only)"
)
_FILES_OF_THE_GONE = (
    r"(?:\brm\b|remov|clean|delet|purg|old|stale|left|orphan).{0,60}/var/lib/cni"
    r"|/var/lib/cni.{0,80}(?:remov|clean|delet|purg|\bold\b|stale|left|orphan)"
)
_NUMBER = re.compile(r"(?<![\w.])(\d{1,5})(?![\w.])")


def judge(reading: Reading) -> Finding:
    """More reservations than pods; or a range that the node's maxPods cannot use up."""
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
    if hits and not seen and (told := reading.said(_FILES_OF_THE_GONE)) is not None:
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


def node_range(reading: Reading) -> int | None:
    """How many addresses the node's range has, as host-local prints its two ends."""
    for hit in reading.of("host-local-range-full"):
        first, dash, last = hit.match.groups.get("range", "").partition("-")
        if not dash:
            continue
        try:
            return parse_address(last.strip()) - parse_address(first.strip()) + 1
        except ProblemsError:
            continue
    return None


def live_pods(reading: Reading) -> int | None:
    """Pods that run on the node, as somebody counted."""
    pods = known(reading.stated.pods_on_node)
    if pods is not None:
        return pods
    for key, text in reading.stated.other.items():
        number = _NUMBER.search(text)
        if _POD_KEYS.search(key.replace("_", " ")) and not _RESERVED_KEYS.search(key) and number is not None:
            return int(number.group(1))
    return None


def reservations(reading: Reading, range_size: int | None) -> int | None:
    """Reservations of the node's range, as somebody counted; the whole range where somebody said so."""
    for key, text in reading.stated.other.items():
        if not _RESERVED_KEYS.search(key):
            continue
        if _ALL.search(text):
            return range_size
        number = _NUMBER.search(text)
        if number is not None:
            return int(number.group(1))
    return None
