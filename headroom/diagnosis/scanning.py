"""Finds the few lines that mean something among the millions of a log, in bounded memory.

Nearly all lines of a log are routine. Their level says so at once in the formats that ipamd, the kubelet and the
container runtime write, and of what ipamd says below a warning only a few messages matter (`quiet` in the
signatures' data). What remains is matched in full, each wording once: lines that differ in numbers and ids only are
counted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from headroom.diagnosis.signatures import LONGEST_LINE, match, noteworthy, signatures
from headroom.facts.snapshot import Line, Origin
from headroom.facts.values import Fact

LARGEST_GROUPS: Final = 5_000
"""Different lines of a file that are kept; further ones are only counted together."""

_START: Final = 8
"""Bytes by which a quiet message is known."""

# Lines that say nothing by their level alone: zap's JSON, klog, logrus, and ipamd's format before 1.6.
_ZAP_LENGTH: Final = 13
_ZAP_LEVELS: Final = frozenset(f'{{"level":"{level}'[:13].encode() for level in ("debug", "info", "DEBUG", "INFO"))
_KLOG_ROUTINE: Final = b"I"
_ZAP: Final = b"{"
_MESSAGE: Final = b'"msg":"'
_MESSAGE_LENGTH: Final = len(_MESSAGE)
_LEVELS: Final = (b"level=info", b"level=debug", b"[INFO]", b"[DEBUG]")
_JOURNAL: Final = b"]: "
_LOGRUS: Final = b"t"  # time="…" level=…
_LEVEL: Final = b"level="
_LOGRUS_ROUTINE: Final = frozenset({b"info", b"debu", b"trac"})
_BEGINNINGS: Final = frozenset({b"{", b"I", b"t", b""})
_HEAD: Final = 80
"""Bytes within which a line says its program and its level."""
_EVENTS: Final = (b"vent occurred", b"vent(v1.")
_IPAM: Final = b"IPAM"
_NO_INTERFACE_LEFT: Final = b"remainingInterfaces=0"
_NIL: Final = b"<nil>"
_POOL_STARTS: Final = frozenset(
    {b"IP stats", b"IP pool ", b"Prefix p", b"Current ", b"IP Addre", b"AssignPo", b"AssignIP"}
)

# Numbers and hexadecimal ids do not make another line.
_NOT_IDS: Final = bytes(range(256))
_IDS: Final = b"0123456789abcdef-"

# One look for lines of no known format: a word that something is wrong with.
_TROUBLE: Final = re.compile(
    rb"ail|rror|RROR|nable|nsufficient|xceed|enied|nauthor|orbidden|efused|ime[d]? ?[oO]ut|anic|imit|ot found|ot ready"
    rb"|otReady|ackOff|ack-off|oo many|no available|o such|ooldown|NotAvailable|hrottl|IPAM|ERR|arn|vailable|not "
    rb"|full|Full|xhaust|SNAT|verlap|ut of the range|OutOf|nUse"
    rb"|onflict|n't|redential|nvalid|nough|xpire|must be|no match|max node|remainingInterfaces=0"
)
_POOL: Final = re.compile(
    rb"total(?: IPs)? ?[:=]? ?(\d+), (?:assigned|used)(?: IPs)? ?[:=]? ?(\d+)(?:, available: -?\d+)?"
    rb"(?:, cooldown(?: IPs)? ?[:=] ?(\d+))?"
    rb"|Total IPs/Prefixes ?= ?(\d+)/\d+, AssignedIPs/CooldownIPs ?: ?(\d+)/(\d+)"
)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?")

_ORIGINS: Final = (
    ("FailedCreatePodSandBox", Origin.POD_EVENT),
    ("default-scheduler", Origin.POD_EVENT),
    ("routed-eni-cni-plugin", Origin.PLUGIN_LOG),
    ("aws-k8s-agent/", Origin.AWS_NODE_LOG),
    ('"caller":"entrypoint.sh"', Origin.AWS_NODE_LOG),
    ('"caller":"ipamd/', Origin.IPAMD_LOG),
    ('"caller":"awsutils/', Origin.IPAMD_LOG),
    ('"caller":"datastore/', Origin.IPAMD_LOG),
    ('"caller":"rpc/rpc.pb.go', Origin.IPAMD_LOG),
    ("azure-vnet", Origin.CNS_LOG),
    ("karpenter.sh", Origin.KARPENTER),
    ("kubelet", Origin.KUBELET_LOG),
)


@dataclass(slots=True)
class _Group:
    """Lines that are the same but for numbers and ids."""

    text: str
    last: bytes
    count: int = 1


@cache
def quiet_starts() -> frozenset[bytes]:
    """How the messages begin that matter although ipamd writes them below a warning."""
    return frozenset(start[:_START].encode() for signature in signatures() for start in signature.quiet)


class LogScanner:
    """Reads a log piece by piece, and keeps what means something.

    Args:
        origin: Where the log comes from; ``OTHER`` lets each line say itself.
        node: The node whose log it is, if that is known.
        file: Its name.
    """

    def __init__(self, origin: Origin = Origin.OTHER, *, node: Fact[str] = None, file: Fact[str] = None) -> None:
        self._origin, self._node, self._file = origin, node, file
        self._rest = b""
        # By what is left of a line without numbers and ids; ``None`` for one that means nothing.
        self._groups: dict[bytes, _Group | None] = {}
        self.lines = 0
        self.more = 0
        """Lines that meant something, of a kind that came after the first ``LARGEST_GROUPS`` kinds."""

    def feed(self, data: bytes) -> None:
        """Takes the next piece, of any size."""
        data = self._rest + data if self._rest else data
        *lines, rest = data.split(b"\n")
        # A line that never ends is cut: nobody logs sentences of that length.
        self._rest = rest if len(rest) <= LONGEST_LINE else rest[:LONGEST_LINE]
        self.lines += len(lines)
        for line in _suspicious(lines):
            self._take(line)

    def finish(self) -> tuple[Line, ...]:
        """What was found, in the order in which it first came."""
        if self._rest:
            self.lines += 1
            for line in _suspicious([self._rest]):
                self._take(line)
            self._rest = b""
        return tuple(self._line(group) for group in self._groups.values() if group is not None)

    def _take(self, line: bytes) -> None:
        key = line[:LONGEST_LINE].translate(_NOT_IDS, _IDS)
        if key in self._groups:
            group = self._groups[key]
            if group is not None:
                group.count += 1
                group.last = line
            return
        if len(self._groups) >= LARGEST_GROUPS:
            self._groups = {known: each for known, each in self._groups.items() if each is not None}
        text = line[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r").replace("\x00", "")
        keep = any(noteworthy(each) for each in match(text, origin=self._origin_of(text)))
        if keep and len(self._groups) >= LARGEST_GROUPS:
            self.more += 1
            return
        self._groups[key] = _Group(text, line) if keep else None

    def _origin_of(self, text: str) -> Origin | None:
        return self._origin if self._origin is not Origin.OTHER else origin_of(text)

    def _line(self, group: _Group) -> Line:
        first = _TIME.search(group.text)
        last = _TIME.search(group.last[:LONGEST_LINE].decode("utf-8", "replace"))
        return Line(
            origin=self._origin_of(group.text) or Origin.OTHER,
            text=group.text,
            node=self._node,
            file=self._file,
            first_seen=first.group(0) if first is not None else None,
            last_seen=last.group(0) if last is not None else None,
            count=group.count,
        )


def origin_of(text: str) -> Origin:
    """Where a line comes from, by what it says of itself."""
    return next((origin for mark, origin in _ORIGINS if mark in text), Origin.OTHER)


def _suspicious(lines: list[bytes]) -> Iterator[bytes]:
    """The lines that are not routine by their level and the beginning of their message."""
    starts = quiet_starts()
    for line in lines:
        first = line[:1]
        if first == _ZAP and line[:_ZAP_LENGTH] in _ZAP_LEVELS:
            # Nine of ten lines of ipamd.log end here: no call is made for them.
            place = line.find(_MESSAGE) + _MESSAGE_LENGTH
            start = line[place : place + _START]
            if start in starts and not _says_nothing(line, start):
                yield line
            continue
        at = 0
        if first not in _BEGINNINGS:
            # The journal puts time, host and program before what the program wrote.
            at = line.find(_JOURNAL, 0, _HEAD) + len(_JOURNAL)
            at = 0 if at < len(_JOURNAL) else at
            first = line[at : at + 1]
        if first == _KLOG_ROUTINE and line[at + 1 : at + 5].isdigit():
            if _EVENTS[0] in line or _EVENTS[1] in line:
                yield line
        elif first == _LOGRUS:
            place = line.find(_LEVEL, at, at + _HEAD) + len(_LEVEL)
            routine = line[place : place + 4] in _LOGRUS_ROUTINE
            # Written out, since a generator would cost more than all the rest.
            if not routine or _EVENTS[0] in line or _IPAM in line or _NO_INTERFACE_LEFT in line:
                yield line
        elif line and _is_suspicious(line):
            yield line


def _says_nothing(line: bytes, start: bytes) -> bool:
    """Whether a quiet message of ipamd tells of a pool that has addresses, or of an error that is none."""
    return _pool_has_room(line) if start in _POOL_STARTS else _NIL in line


def _is_suspicious(line: bytes) -> bool:
    """Whether a line of no known format, or of logrus, may mean something."""
    head = line[:_HEAD]
    if (_LEVELS[0] in head or _LEVELS[1] in head) and not (
        _EVENTS[0] in line or _IPAM in line or _NO_INTERFACE_LEFT in line
    ):
        return False
    if (_LEVELS[2] in head or _LEVELS[3] in head) and _pool_has_room(line):
        return False
    return _TROUBLE.search(line) is not None


def _pool_has_room(line: bytes) -> bool:
    """Whether a line tells the figures of a pool that can give an address."""
    found = _POOL.search(line)
    if found is None:
        return False
    total, assigned, cooldown, total_, assigned_, cooldown_ = found.groups()
    if total_ is not None:
        return int(total_) - int(assigned_) > int(cooldown_)
    return int(total) - int(assigned) > int(cooldown or 0)
