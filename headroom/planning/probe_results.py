"""What the probes' answers say of each policy: enforced, not enforced, broken, or undecided with the reason.

An outcome counts only with its control, since a dead target and a source without a network look like a denial:

- that the target listens is shown by another probe that connected to the same port in this run, or by the pod being
  ready where its readiness probe asks this port;
- that the source has a network is shown by its connection to the API server, or by another of its probes; where
  policies confine the source's own egress it may have reached nothing else, and a denial needs no such proof.

A refusal or a network error decides nothing: the API does not say whether an engine drops or refuses.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final

from headroom.planning.policy_probes import Expectation, Probe, ProbePlan, Unprobed
from headroom.planning.probe_jobs import job_of


class Outcome(StrEnum):
    """What became of a connection."""

    CONNECTED = "connected"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    OTHER = "other"
    """Another network error, such as no route to the host."""
    NONE = "no answer"


class State(StrEnum):
    """What an outcome says of a probe."""

    MET = "as expected"
    GOT_THROUGH = "got through"
    FAILED = "failed"
    UNDECIDED = "undecided"


class Verdict(StrEnum):
    """What the probes say of a policy."""

    ENFORCED = "enforced"
    NOT_ENFORCED = "not enforced"
    """A probe that it denies got through."""
    BROKEN = "broken"
    """A probe that it allows did not get through."""
    DENIES_NOTHING = "denies nothing"
    UNDECIDED = "undecided"


EXIT_CODES: Final[Mapping[Verdict, int]] = {
    Verdict.ENFORCED: 0,
    Verdict.NOT_ENFORCED: 1,
    Verdict.BROKEN: 1,
    Verdict.DENIES_NOTHING: 1,
    Verdict.UNDECIDED: 3,
}
"""By verdict; 2 is bad input, as of every command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A line of a termination message."""

    outcome: Outcome
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """What became of a Job.

    Attributes:
        address: The address of its pod; empty: it got none.
        answers: What it says of each probe, by id.
        because: Why there are no answers, or not all.
    """

    address: str = ""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRun:
    """What was read back of a run.

    Attributes:
        sources: By the Job's namespace and name.
        targets: Address and readiness of pods afterwards, by namespace and name; pods that are gone are not there.
        targets_read: Whether the targets were read at all.
    """

    sources: Mapping[tuple[str, str], SourceRun] = field(default_factory=dict)
    targets: Mapping[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)
    targets_read: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A probe and what its outcome says.

    Attributes:
        probe: The probe.
        outcome: What became of it.
        state: What that says.
        because: Why, as a sentence.
    """

    probe: Probe
    outcome: Outcome
    state: State
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVerdict:
    """What the probes say of a policy.

    Attributes:
        policy: The policy, as namespace/name.
        verdict: What they say.
        because: Why.
        results: Its probes.
        unprobed: What no probe could show.
    """

    policy: str
    verdict: Verdict
    because: str
    results: tuple[ProbeResult, ...] = ()
    unprobed: tuple[Unprobed, ...] = ()


def answers_of(message: str) -> dict[str, Answer]:
    """The lines of a termination message, by id; a line of another form is none."""
    found: dict[str, Answer] = {}
    for line in message.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in list(Outcome) and words[2].isdigit():  # noqa: PLR2004 - id, outcome, tries
            found[words[0]] = Answer(outcome=Outcome(words[1]), tries=int(words[2]))
    return found


def judge_run(plan: ProbePlan, run: ProbeRun) -> tuple[PolicyVerdict, ...]:
    """The verdict on every policy of a plan."""
    judge = _Judge(plan, run)
    by_policy: dict[str, list[ProbeResult]] = {name: [] for name in plan.policies}
    for probe in plan.probes:
        by_policy.setdefault(probe.policy, []).append(judge.result(probe))
    return tuple(
        _verdict(plan, name, tuple(results), tuple(each for each in plan.unprobed if each.policy == name))
        for name, results in by_policy.items()
    )


def exit_code(verdicts: Iterable[PolicyVerdict]) -> int:
    """1 where a policy does not do what it says, else 3 where one is undecided, else 0."""
    codes = {EXIT_CODES[each.verdict] for each in verdicts}
    return next((code for code in (1, 3) if code in codes), 0)


def _verdict(
    plan: ProbePlan, name: str, results: tuple[ProbeResult, ...], unprobed: tuple[Unprobed, ...]
) -> PolicyVerdict:
    verdict, because = _said(plan, name, results)
    return PolicyVerdict(policy=name, verdict=verdict, because=because, results=results, unprobed=unprobed)


def _said(plan: ProbePlan, name: str, results: tuple[ProbeResult, ...]) -> tuple[Verdict, str]:
    if name in plan.idle:
        return Verdict.DENIES_NOTHING, "It denies nothing, whatever enforces it."
    states = Counter(each.state for each in results)
    denied = [each for each in results if each.probe.expects is Expectation.DENIED]
    if states[State.GOT_THROUGH]:
        return Verdict.NOT_ENFORCED, f"{states[State.GOT_THROUGH]} of {len(denied)} denied probes got through."
    if states[State.FAILED]:
        allowed = len(results) - len(denied)
        return Verdict.BROKEN, f"{states[State.FAILED]} of {allowed} allowed probes did not get through."
    met = sum(each.state is State.MET for each in denied)
    missing = sum(each.state is State.UNDECIDED and each.probe.controlled for each in results)
    if missing:
        return Verdict.UNDECIDED, f"{missing} of {len(results)} probes decide nothing."
    if not met:
        return Verdict.UNDECIDED, "No probe that it denies could be tried, so nothing shows that it denies."
    return Verdict.ENFORCED, f"{met} denied and {len(results) - len(denied)} allowed probes, all as expected."


class _Judge:
    """Judges outcomes with their controls."""

    def __init__(self, plan: ProbePlan, run: ProbeRun) -> None:
        self._run, self._jobs = run, job_of(plan)
        self._blocks = [text.split(" except ") for text in plan.blocks]
        self._reached = {
            (probe.address, probe.port) for probe in plan.probes if self._outcome(probe) is Outcome.CONNECTED
        }

    def result(self, probe: Probe) -> ProbeResult:
        """What a probe's outcome says."""
        outcome = self._outcome(probe)
        state, because = self._judged(probe, outcome)
        return ProbeResult(probe=probe, outcome=outcome, state=state, because=because)

    def _judged(self, probe: Probe, outcome: Outcome) -> tuple[State, str]:
        source = self._run.sources.get(self._jobs[probe.probe_id], SourceRun(because="the Job was not found"))
        if outcome is Outcome.NONE:
            return State.UNDECIDED, source.because or "the pod said nothing of it"
        spoiled = self._spoiled(probe, source)
        if spoiled:
            return State.UNDECIDED, spoiled
        if outcome is Outcome.CONNECTED:
            tries = source.answers[probe.probe_id].tries
            if probe.expects is Expectation.DENIED:
                return State.GOT_THROUGH, f"it connected, and still did at try {tries}"
            return State.MET, "" if tries == 1 else f"at try {tries}"
        if outcome is not Outcome.TIMEOUT:
            return State.UNDECIDED, f"{outcome.value}: neither the pod's own answer nor a dropped packet"
        return self._timed_out(probe, source)

    def _spoiled(self, probe: Probe, source: SourceRun) -> str:
        """Why an outcome is not one of the probe that was planned; empty: it is."""
        block = self._block_of(source.address)
        if block:
            return f"the pod's address {source.address} is in {block}, which a policy speaks of"
        return "the target pod was replaced or got another address meanwhile" if self._is_gone(probe) else ""

    def _timed_out(self, probe: Probe, source: SourceRun) -> tuple[State, str]:
        denied = probe.expects is Expectation.DENIED
        if probe.shared:
            return State.UNDECIDED, f"no answer, but {probe.shared} denies it as well"
        if not self._listens(probe):
            return State.UNDECIDED, f"no answer, and nothing shows that the target listens at port {probe.port}"
        if not (denied and probe.confined) and not self._has_network(source):
            return State.UNDECIDED, "no answer, and the source reached nothing else either"
        if not denied:
            return State.FAILED, f"no answer in {source.answers[probe.probe_id].tries} tries"
        tries = source.answers[probe.probe_id].tries
        late = tries > 2  # noqa: PLR2004 - two tries in a row are the fewest
        return (
            State.MET,
            "only after a first connection: the policy took hold after the pod had started" if late else "",
        )

    def _outcome(self, probe: Probe) -> Outcome:
        source = self._run.sources.get(self._jobs[probe.probe_id])
        answer = source.answers.get(probe.probe_id) if source is not None else None
        return Outcome.NONE if answer is None else answer.outcome

    def _listens(self, probe: Probe) -> bool:
        if (probe.address, probe.port) in self._reached:
            return True
        ready = self._run.targets.get((probe.target_namespace, probe.target))
        return probe.checked and ready == (probe.address, True)

    def _has_network(self, source: SourceRun) -> bool:
        return any(each.outcome is Outcome.CONNECTED for each in source.answers.values())

    def _is_gone(self, probe: Probe) -> bool:
        if not self._run.targets_read:
            return False
        found = self._run.targets.get((probe.target_namespace, probe.target))
        return found is None or found[0] != probe.address

    def _block_of(self, address: str) -> str:
        """The block of a policy that a source's address turned out to be in."""
        if not address:
            return ""
        found = ip_address(address)
        for block, *excepted in self._blocks:
            if found in ip_network(block) and not any(found in ip_network(each) for each in excepted):
                return block
        return ""
