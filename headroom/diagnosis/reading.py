"""What a snapshot holds for the diagnosis: its lines with their meanings, what was said of it, and its nodes.

Events, health issues and the CNI's error counters are lines like those of a log: they are matched by the same
signatures and are evidence of the same standing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from headroom.addresses.problems import ProblemsError
from headroom.capacity.cni_version import CniVersion
from headroom.capacity.limits import InstanceLimits, instance_limits
from headroom.capacity.settings import CniSettings
from headroom.diagnosis.aks import Aks
from headroom.diagnosis.cluster import Cluster, read_cluster
from headroom.diagnosis.signatures import Kind, Match, Signature, match
from headroom.diagnosis.verdict import Evidence
from headroom.facts.interfaces import seconds_between
from headroom.facts.snapshot import Line, Origin, PoolReading, Snapshot, Stated
from headroom.facts.values import is_known, items, known, known_or

EVENT_OF_POD: Final = "event of Pod "
"""How the `file` of a line begins that is a pod's event."""
NO_CLOUD: Final = "none"
"""What a snapshot of neither AWS nor Azure is to the signatures."""
POOL_STATS: Final = ("pool-stats", "pool-stats-cooling")
"""The wordings in which ipamd tells what its pool holds."""
LARGEST_REQUEST: Final = 50
"""The most addresses that one call of ipamd asks for: those of an interface of the largest types (EC2 limits)."""
PAST_SECONDS: Final = 3600
"""A line as old as events get before the API server forgets them (kube-apiserver, --event-ttl) is past."""
LONGEST_FRAGMENT: Final = 160
"""Characters of a line that an evidence quotes."""

_LAUNCH_KINDS = ("NodeClaim", "NodePool", "EC2NodeClass", "NodeClass")


@dataclass(frozen=True, slots=True)
class Hit:
    """A wording found in a line.

    Attributes:
        match: What was found.
        line: Where.
        index: The line's place among all lines, in their order.
        stated: Whether the line is what a person said of the cluster.
    """

    match: Match
    line: Line
    index: int
    stated: bool = False

    @property
    def signature(self) -> Signature:
        """The wording."""
        return self.match.signature

    @property
    def place(self) -> str:
        """The node that the line is of; where that is not known, the file."""
        return known(self.line.node) or known(self.line.file) or ""

    def may_be_where(self, other: "Hit") -> bool:
        """Whether nothing says that they are of different nodes."""
        for fact in ("node", "file"):
            mine, its = known(getattr(self.line, fact)), known(getattr(other.line, fact))
            if mine is not None and its is not None:
                return bool(mine == its)
        return True

    def is_about_pod_of(self, other: "Hit") -> bool:
        """Whether both are events of the same pod."""
        mine = known(self.line.file) or ""
        return mine.startswith(EVENT_OF_POD) and mine == known(other.line.file)

    @property
    def written_at(self) -> str | None:
        """When the line was written, in UTC to the second; ``None``: it does not say."""
        return _written_at(self.line)

    def is_after(self, other: "Hit") -> bool:
        """Whether it was written after another one: by their times, else by their order."""
        mine, its = self.written_at, other.written_at
        if mine is None or its is None or mine == its:
            return self.index > other.index
        return mine > its


_SUBNET_ID = re.compile(r"\bsubnet-[0-9a-f]{8,17}\b")

# RFC 3339, as aws-node, containerd and the kubelet's JSON log write it.
_TIME = re.compile(r"\b20\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d:[0-5]\d", re.ASCII)


def _written_at(line: Line) -> str | None:
    told = known(line.last_seen)
    found = _TIME.search(told if told is not None else line.text)
    return found.group(0).replace(" ", "T") if found is not None else None


_CODE = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+")
_NO_SUCH = re.compile(
    r"\b(?i:no|not|without|nor|neither|never|zero|0)\s+"
    r"(?i:(?:an|any|a|single|such|more|further|other|ec2|aws|api|ipamd|(?:sign|trace|evidence)s? of)\s+)*"
    r"(?:[`'\"]?[A-Z]\w*[A-Z]\w*[`'\"]?(?:,\s*(?:or|and|nor)?\s*|\s+(?:or|and|nor)\s+|\s*/\s*))*[`'\"]?$",
)


def _is_denied(fragment: str, text: str) -> bool:
    """Whether a person wrote an error code only to say that it was not seen: "no RequestLimitExceeded in the log"."""
    if _CODE.match(fragment) is None:
        return False
    before = [text[: found.start()] for found in re.finditer(re.escape(fragment), text)]
    return bool(before) and all(_NO_SUCH.search(each) is not None for each in before)


def _is_past(line: Line, now: str) -> bool:
    """Whether a line was last written so long ago that it says nothing of a cluster that was read now."""
    written = _written_at(line)
    age = seconds_between(f"{written}+00:00", now) if written is not None else None
    return age is not None and age > PAST_SECONDS


class Reading:
    """A snapshot, read for the diagnosis."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    # What kind of cluster.

    @cached_property
    def cloud(self) -> str | None:
        """aws, azure, or none; ``None``: not known."""
        cloud = self.snapshot.cloud
        if cloud is None:
            return NO_CLOUD
        if not is_known(cloud):
            if known(self.snapshot.azure) is not None:
                return "azure"
            return "aws" if known(self.snapshot.aws) is not None else None
        return known(cloud)

    @cached_property
    def stated(self) -> Stated:
        """What a person said; empty where nobody did."""
        return known(self.snapshot.stated) or Stated()

    @cached_property
    def environment(self) -> Mapping[str, str] | None:
        """The settings of aws-node: live, else of the add-on, else as somebody said; ``None``: not known."""
        kubernetes, aws = known(self.snapshot.kubernetes), known(self.snapshot.aws)
        daemon_set = known(kubernetes.cni_daemon_set) if kubernetes is not None else None
        addon = known(aws.addon) if aws is not None else None
        if daemon_set is not None and (environment := known(daemon_set.environment)) is not None:
            return environment
        if addon is not None and (environment := known(addon.environment)) is not None:
            return environment
        return known(self.stated.environment)

    @cached_property
    def settings(self) -> CniSettings | None:
        """The same as ipamd reads it; ``None``: not known."""
        return None if self.environment is None else CniSettings.from_environment(self.environment)

    @cached_property
    def version(self) -> CniVersion | None:
        """The VPC CNI's version: live, else of the add-on, else as somebody said; ``None``: not known."""
        kubernetes, aws = known(self.snapshot.kubernetes), known(self.snapshot.aws)
        daemon_set = known(kubernetes.cni_daemon_set) if kubernetes is not None else None
        addon = known(aws.addon) if aws is not None else None
        for text in (
            known(daemon_set.version) if daemon_set is not None else None,
            known(addon.version) if addon is not None else None,
            known(self.stated.cni_version),
        ):
            version = _version(text)
            if version is not None:
                return version
        logged = self.of("ipamd-version")
        return _version(logged[-1].match.groups["version"]) if logged else None

    @cached_property
    def limits(self) -> InstanceLimits | None:
        """The limits of the instance type that somebody named; ``None``: not known."""
        return _limits(known(self.stated.instance_type))

    # What was said.

    @cached_property
    def free_addresses(self) -> int | None:
        """Free addresses of the failing node's subnet: as somebody said, or as EC2 counts where that is clear.

        Where pods were not read, the subnet is one that EC2 named in its refusal; else the count stands only if it is
        the same story for every subnet: all empty, or none short.
        """
        told = known(self.stated.subnet_free_addresses)
        aws = known(self.snapshot.aws)
        if told is not None or aws is None or self.is_live:
            return told
        counts = {subnet.subnet_id: known(subnet.available_addresses) for subnet in items(aws.subnets)}
        named = {name for hit in self.hits for name in _SUBNET_ID.findall(hit.line.text)} & counts.keys()
        frees = [counts[name] for name in sorted(named or counts)]
        numbers = [free for free in frees if free is not None]
        if not numbers or len(numbers) < len(frees):
            return None
        if named or max(numbers) == 0 or min(numbers) >= LARGEST_REQUEST:
            return min(numbers)
        return None

    @cached_property
    def free_addresses_shown(self) -> bool:
        """Whether somebody said that the subnet has free addresses, without a figure."""
        words = [text for key, text in self.stated.other.items() if _squeezed(key).startswith("subnetfree")]
        return any(_SOME_FREE.search(text) and not _NONE_FREE.search(text) for text in words)

    def said(self, pattern: str) -> str | None:
        """The first thing said of the cluster that fits the pattern, as `key: value`; ``None`` where nothing does."""
        expression = re.compile(pattern, re.IGNORECASE)
        return next((text for text in self.statements if expression.search(text)), None)

    def told(self, pattern: str) -> str | None:
        """The same, of what was said without doubt: no question, no suspicion."""
        expression = re.compile(pattern, re.IGNORECASE)
        return next((text for text in self.statements if expression.search(text) and not _DOUBT.search(text)), None)

    @cached_property
    def statements(self) -> tuple[str, ...]:
        """Whatever was said beside the known keys, each as `key: value`."""
        return tuple(f"{key}: {value}" for key, value in self.stated.other.items())

    # What is written.

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every line, events and issues among them; beside a cluster's own facts what is long past says nothing."""
        lines = (
            *items(self.snapshot.lines),
            *_event_lines(self.snapshot),
            *_claim_lines(self.snapshot),
            *_issue_lines(self.snapshot),
            *_refused_lines(self.snapshot),
        )
        now = known(self.snapshot.collected_at)
        if now is None:
            return lines
        # What Azure refused was read with the facts, whoever was denied the pods.
        return tuple(
            line for line in lines if not (self.is_live or line.origin is Origin.ARM_ERROR) or not _is_past(line, now)
        )

    @cached_property
    def hits(self) -> tuple[Hit, ...]:
        """Every wording found, in the lines' order; then those in what was said."""
        found = [
            Hit(each, line, index)
            for index, line in enumerate(self.lines)
            for each in match(line.text, origin=line.origin, cloud=self.cloud, cut=line.cut)
            if line.origin is not Origin.OTHER or not _is_denied(each.text, line.text)
        ]
        for text in self.statements:
            said = Line(origin=Origin.OTHER, text=text)
            found += [
                Hit(each, said, len(self.lines), stated=True)
                for each in match(text, cloud=self.cloud, stated=True)
                if not _is_denied(each.text, text)
            ]
        return tuple(found)

    @cached_property
    def _by_name(self) -> Mapping[str, tuple[Hit, ...]]:
        grouped: dict[str, list[Hit]] = {}
        for hit in self.hits:
            grouped.setdefault(hit.signature.name, []).append(hit)
        return {name: tuple(hits) for name, hits in grouped.items()}

    def of(self, *names: str) -> tuple[Hit, ...]:
        """The places where any of these wordings was found."""
        return tuple(hit for name in names for hit in self._by_name.get(name, ()))

    def of_kind(self, kind: Kind) -> tuple[Hit, ...]:
        """The places where a wording of that kind was found."""
        return tuple(hit for hit in self.hits if hit.signature.kind is kind)

    def supporting(self, cause: str, *, weak: bool = False) -> tuple[Hit, ...]:
        """What speaks for a cause: what no other cause writes, or (``weak``) only what others write too."""
        return tuple(hit for hit in self.hits if hit.signature.supports == cause and hit.signature.weak is weak)

    @cached_property
    def symptoms(self) -> tuple[Hit, ...]:
        """Where it is written that a pod got no address."""
        return self.of_kind(Kind.SYMPTOM)

    @cached_property
    def pool_stats(self) -> Mapping[str, Hit]:
        """The newest figures that ipamd wrote of its pool, by node, or by file where the node is not known."""
        found: dict[str, Hit] = {}
        for hit in self.of(*POOL_STATS):
            before = found.get(hit.place)
            if before is None or _says_less(before, hit) or not (before.is_after(hit) or _says_less(hit, before)):
                found[hit.place] = hit
        return found

    def pool_stats_where(self, hit: Hit) -> tuple[Hit, ...]:
        """The newest figures of a pool that may be that of a line's node."""
        own = self.pool_stats.get(hit.place) if known(hit.line.node) is not None else None
        others = self._pool_stats_of_nobody if own is not None else tuple(self.pool_stats.values())
        return tuple(stats for stats in (*((own,) if own is not None else ()), *others) if stats.may_be_where(hit))

    @cached_property
    def _pool_stats_of_nobody(self) -> tuple[Hit, ...]:
        return tuple(stats for stats in self.pool_stats.values() if known(stats.line.node) is None)

    @cached_property
    def pools(self) -> Mapping[str, PoolReading]:
        """What ipamd's metrics said, by node."""
        return {pool.node: pool for pool in items(self.snapshot.pools)}

    # What is seen.

    @cached_property
    def cluster(self) -> Cluster | None:
        """The nodes, their pods and interfaces; ``None`` where the API server was not read."""
        return read_cluster(self.snapshot, self.settings, self.version)

    @cached_property
    def aks(self) -> Aks | None:
        """The same as AKS and Azure see it; ``None`` where it is no cluster of AKS, or neither was read."""
        if self.cloud != "azure" or (known(self.snapshot.azure) is None and not self.is_live):
            return None
        return Aks(self.snapshot, self.cluster)

    @property
    def is_live(self) -> bool:
        """Whether pods and nodes were read, so that what is wrong now can be seen and need not be told."""
        kubernetes = known(self.snapshot.kubernetes)
        return kubernetes is not None and known(kubernetes.pods) is not None


def _says_less(hit: Hit, other: Hit) -> bool:
    """Whether a pool's figures are those of another line, without the addresses in cooldown."""
    mine, its = hit.match.groups, other.match.groups
    same = all(mine[figure] == its[figure] for figure in ("total", "assigned"))
    return same and "cooldown" in its and "cooldown" not in mine


def evidence(hits: Iterable[Hit]) -> tuple[Evidence, ...]:
    """Hits as evidence, one for each wording, the most frequent first."""
    grouped: dict[str, list[Hit]] = {}
    for hit in hits:
        grouped.setdefault(hit.signature.name, []).append(hit)
    found = [_evidence(group) for group in grouped.values()]
    return tuple(sorted(found, key=lambda each: -each.count))


def _evidence(hits: list[Hit]) -> Evidence:
    first = hits[0]
    nodes = sorted({node for hit in hits if (node := known(hit.line.node))})
    places = nodes or sorted({known(hit.line.file) or _word(hit) for hit in hits})
    times = sorted(
        time for hit in hits for time in (known(hit.line.first_seen), known(hit.line.last_seen)) if time is not None
    )
    # Every quote became a double one; between letters it was an apostrophe.
    fragment = _APOSTROPHE.sub("'", first.match.text)
    return Evidence(
        what=fragment if len(fragment) <= LONGEST_FRAGMENT else f"{fragment[: LONGEST_FRAGMENT - 1]}…",
        where=", ".join(places[:_NAMED]) + (f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""),
        value=first.signature.means,
        when=" to ".join(dict.fromkeys((times[0], times[-1]))) if times else "",
        count=sum(hit.line.count for hit in hits),
        source=first.signature.source,
    )


_NAMED: Final = 3
_APOSTROPHE = re.compile(r'(?<=\w)"(?=\w)')


def _word(hit: Hit) -> str:
    return "said" if hit.stated else hit.line.origin.value


# Free addresses in words: somebody looked and did not count.
_SOME_FREE = re.compile(
    r"\b(?:ample|plenty|enough|many|lots?|sufficient|hundreds|thousands|available|free|healthy"
    r"|not (?:full|exhausted))\b",
    re.IGNORECASE,
)
_NONE_FREE = re.compile(
    r"\b(?:no|none|zero|without|exhausted|ran out|used up|full|unknown|not (?:known|given|stated))\b", re.IGNORECASE
)

_DOUBT = re.compile(
    r"\?|\b(?:suspect\w*|maybe|might|may be|perhaps|possibl[ey]|probabl[ey]|believ\w*|thinks?|could be|guess\w*"
    r"|not sure|unclear|not the cause|ruled out|not (?:at|near|reached|hit)|nowhere near"
    r"|no \w+ (?:limit|shortage|exhaustion|leaks?|throttling))\b",
    re.IGNORECASE,
)


def _squeezed(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _version(text: str | None) -> CniVersion | None:
    if text is None:
        return None
    found = _VERSION.search(text)
    if found is None:
        return None
    try:
        return CniVersion.parse(found.group(0))
    except ProblemsError:
        return None


_VERSION = re.compile(r"v?\d{1,4}\.\d{1,4}\.\d{1,4}(?:-eksbuild\.\d{1,4})?", re.ASCII)


def _limits(instance_type: str | None) -> InstanceLimits | None:
    if instance_type is None:
        return None
    try:
        return instance_limits(instance_type.strip().lower())
    except ProblemsError:
        return None


# Events, issues and counters as lines.


def _event_lines(snapshot: Snapshot) -> Iterator[Line]:
    kubernetes = known(snapshot.kubernetes)
    if kubernetes is None:
        return
    node_of = {(pod.namespace, pod.name): known(pod.node) for pod in items(kubernetes.pods)}
    for event in items(kubernetes.events):
        if event.type == "Normal" and event.reason != "Scheduled":
            continue
        node = event.name if event.kind == "Node" else node_of.get((event.namespace, event.name))
        yield Line(
            origin=Origin.KARPENTER if event.kind in _LAUNCH_KINDS else Origin.POD_EVENT,
            text=f"{event.reason} {event.reporter} {event.message}",
            node=node or known(event.node),
            file=f"event of {event.kind} {event.namespace}/{event.name}".replace(" /", " "),
            first_seen=event.first_seen,
            last_seen=event.last_seen,
            count=event.count,
        )


def _claim_lines(snapshot: Snapshot) -> Iterator[Line]:
    """What Karpenter writes on the claims that it cannot launch a node for."""
    kubernetes = known(snapshot.kubernetes)
    for claim in items(kubernetes.node_claims) if kubernetes is not None else ():
        for condition in claim.conditions:
            if condition.type == "Launched" and condition.status != "True" and condition.message:
                yield Line(
                    origin=Origin.KARPENTER,
                    text=f"{condition.reason} {condition.message}",
                    file=f"condition of NodeClaim {claim.name}",
                    first_seen=condition.since,
                )


def _issue_lines(snapshot: Snapshot) -> Iterator[Line]:
    aws = known(snapshot.aws)
    if aws is None:
        return
    addon = known(aws.addon)
    of = [
        ("cluster", items(aws.cluster_issues)),
        ("add-on vpc-cni", items(addon.issues) if addon is not None else ()),
        *((f"node group {group.name}", items(group.issues)) for group in items(aws.node_groups)),
    ]
    for owner, issues in of:
        for issue in issues:
            yield Line(origin=Origin.EKS_HEALTH, text=f"{issue.code}: {issue.message}", file=f"EKS health of {owner}")


def _refused_lines(snapshot: Snapshot) -> Iterator[Line]:
    """What Azure refused, and why a pool failed, in its own words."""
    azure = known(snapshot.azure)
    if azure is None:
        return
    for error in items(azure.errors):
        target = known(error.target)
        yield Line(
            origin=Origin.ARM_ERROR,
            text=f"{error.code}: {error.message}{f' Target: {target}' if target is not None else ''}",
            file=f"activity log, {error.operation}",
            first_seen=error.first_seen,
            last_seen=error.last_seen,
            count=error.count,
        )
    for pool in items(azure.pools):
        if (issue := known(pool.issue)) is not None:
            yield Line(origin=Origin.ARM_ERROR, text=issue, file=f"node pool {pool.name}")


def counters(snapshot: Snapshot, codes: tuple[str, ...]) -> dict[str, int]:
    """How often EC2 answered ipamd with one of these error codes, by node, as ipamd's metrics count it."""
    found: dict[str, int] = {}
    for pool in items(snapshot.pools):
        count = sum(
            times
            for name, times in known_or(pool.api_errors, {}).items()
            if name.rpartition("/")[2].rpartition(".")[2] in codes
        )
        if count:
            found[pool.node] = count
    return found
