"""Whether a step of a traffic shift may stand: judged from what the requests' log and Front Door say.

A gate is closed unless it is proven open: no rows, partial answers, too few requests, weights that are not the
stack's and queries that fail all keep it closed. The function is given everything it looks at, so that a gate that was
interrupted goes on where it stopped.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from headroom.facts.values import Fact, Unknown
from headroom.planning.front_door import DEFAULT_PRIORITY, WHOLE
from headroom.planning.traffic import GateRecord, GateSettings, GroupState, OriginState, Outcome, Traffic

MINUTE: Final = timedelta(minutes=1)
ERROR_MINUTES: Final = 5
LATENCY_MINUTES: Final = 3
THROUGHPUT_MINUTES: Final = 5
"""How long a reading must be bad (AKS documentation, aks-production-upgrade-strategies)."""
SHARE_MINUTES: Final = 5
"""Minutes that traffic must be split as the weights say before the soak begins; our own choice."""
LEAST_OF_A_WINDOW: Final = 100
"""Requests below which a window of minutes says nothing of a rate; our own choice."""
LEAST_OF_A_MINUTE: Final = 20
"""Requests below which a minute's 95th percentile is one request's luck; our own choice."""
SILENT_MINUTES: Final = 10
"""Minutes without any row before the log counts as silent; our own choice."""
DEVIATIONS: Final = 4
"""Standard deviations of chance within which an observed share is the weights' own; our own choice."""
LEAST_TIMED: Final = 0.95
"""Share of the requests whose time the log must have: without it a slow cluster would pass; our own choice."""
PERCENTILE: Final = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What one cluster answered in one minute.

    Attributes:
        start: The minute, in UTC.
        label: What the log calls the cluster.
        requests: Requests, each row counted as many times as it stands for.
        errors: Those that failed.
        p95: The 95th percentile of their time, in milliseconds; None where there was no request.
    """

    start: datetime
    label: str
    requests: float
    errors: float
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one look at the log and at Front Door gave.

    Attributes:
        at: When it was taken, in UTC.
        minutes: Minutes of both clusters from the start of the baseline on; unknown where the answer failed or was
            partial.
        origins: How the origins stand, by name.
        group: How their group stands.
    """

    at: datetime
    minutes: Fact[tuple[Minute, ...]]
    origins: Fact[Mapping[str, OriginState]]
    group: Fact[GroupState]


class Phase(StrEnum):
    """How far a step has come."""

    PROPAGATING = "propagating"
    """Front Door does not split traffic as the weights say yet."""
    SOAKING = "soaking"
    PASSED = "passed"
    STOPPED = "stopped"
    """The step is worse than the baseline, or is not what the stack says: go back."""
    UNDECIDED = "undecided"
    """What is needed could not be read: the gate stays closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """How the gate stands.

    Attributes:
        phase: How far it has come.
        because: Why, in sentences.
        figures: Readings by name, for the record.
        settled: When traffic began to be split as the weights say.
        retry: Whether another look may still decide it (an answer that failed may come the next time).
    """

    phase: Phase
    because: tuple[str, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    settled: datetime | None = None
    retry: bool = False


def judge(traffic: Traffic, changed: datetime, seen: Observation) -> GateState:
    """How the gate of the stack's step stands.

    Args:
        traffic: The shift.
        changed: When the step's weights were applied, in UTC.
        seen: What was read last.
    """
    origins, group = seen.origins, seen.group
    if origins is None or group is None:
        return _undecided(
            f"Front Door {traffic.profile} in {traffic.resource_group} has no origin group {traffic.origin_group}, or "
            "is not there itself: headroom:frontDoor in the stack file names them.",
            retry=False,
        )
    if isinstance(origins, Unknown) or isinstance(group, Unknown):
        what, unread = ("origins", origins) if isinstance(origins, Unknown) else ("settings", group)
        return _undecided(f"The {what} of {traffic.origin_group}: {unread}.", retry=True)
    drift = _drift(traffic, origins, group)
    elsewhere = _stands_at(traffic, origins) if drift else None
    if drift and elsewhere is None:
        return _drifted(drift)
    if seen.minutes is None or isinstance(seen.minutes, Unknown):
        gone = f"the workspace {traffic.gate.workspace_id} is not there: headroom:gate.workspaceId names it"
        return _undecided(f"The requests' log: {seen.minutes or gone}.", retry=seen.minutes is not None)
    until = _floor(seen.at - timedelta(minutes=traffic.gate.ingestion_minutes))
    minutes = tuple(m for m in seen.minutes if m.start < until)
    if elsewhere is not None:
        return _stands_elsewhere(traffic, drift, elsewhere, [m for m in minutes if m.start >= changed], changed, until)
    return _watched(traffic, minutes, changed, until)


def _stands_elsewhere(  # noqa: PLR0913, PLR0917 - what the sentence says
    traffic: Traffic,
    drift: Sequence[str],
    step: int,
    after: Sequence[Minute],
    changed: datetime,
    until: datetime,
) -> GateState:
    """Split as this step once, and not any more: somebody took it back. Never split: it was not applied."""
    if _settled(traffic, after, changed, until) is not None:
        return _drifted(drift)
    return _undecided(f"Front Door stands at step {step}: step {traffic.step} is not applied yet.", retry=False)


def _watched(traffic: Traffic, minutes: Sequence[Minute], changed: datetime, until: datetime) -> GateState:
    """What the log says of a step that stands as the stack says."""
    after = [m for m in minutes if m.start >= changed]
    silence = _silence(after, changed, until)
    if silence is not None:
        return silence
    if traffic.step == 0:
        return _way_back(traffic, after, changed, until)
    baseline = _baseline(traffic, [m for m in minutes if m.start < changed], changed)
    if isinstance(baseline, GateState):
        return baseline
    return _compare(traffic, baseline, after, changed, until)


def _compare(
    traffic: Traffic, baseline: "_Baseline", after: Sequence[Minute], changed: datetime, until: datetime
) -> GateState:
    """The minutes since the change against the baseline: harm at once, then the split, then the soak."""
    settings = traffic.gate
    figures: dict[str, float] = {
        "expectedShare": float(traffic.share()),
        "baselineErrorRate": baseline.error_rate,
        "baselineP95": baseline.p95,
        "baselineRequestsAMinute": baseline.requests_a_minute,
    }
    bad = _harm(traffic, settings, baseline, after, _begun(traffic, after, changed, until), until)
    if bad:
        return GateState(phase=Phase.STOPPED, because=tuple(bad), figures=figures)
    settled = _settled(traffic, after, changed, until)
    if settled is None:
        return _not_settled(traffic, settings, after, changed, until, figures)
    return _soak(traffic, settings, [m for m in after if m.start >= settled], settled, until, figures)


def _way_back(traffic: Traffic, after: Sequence[Minute], changed: datetime, until: datetime) -> GateState:
    """Step 0 is over when the old cluster has everything: it is compared with nothing, there is nowhere else to go."""
    figures: dict[str, float] = {"expectedShare": 0.0}
    settled = _settled(traffic, after, changed, until)
    if settled is None:
        return _not_settled(traffic, traffic.gate, after, changed, until, figures)
    back = f"{traffic.old.name} has all requests again since {settled:%H:%M} UTC."
    return GateState(phase=Phase.PASSED, because=(back,), figures=figures, settled=settled)


def record(stack: str, traffic: Traffic, state: GateState, started: datetime, ended: datetime) -> GateRecord:
    """The line of the history that a gate's end leaves."""
    outcomes = {Phase.PASSED: Outcome.PASSED, Phase.STOPPED: Outcome.STOPPED}
    return GateRecord(
        stack=stack,
        step=traffic.step,
        shift=traffic.identity,
        outcome=outcomes.get(state.phase, Outcome.UNDECIDED),
        started=started,
        ended=ended,
        because=state.because,
        figures={name: round(value, 4) for name, value in state.figures.items()},
    )


@dataclass(frozen=True, slots=True)
class _Baseline:
    """The old cluster before the change: errors of all requests, milliseconds, requests of both a minute."""

    error_rate: float
    p95: float
    requests_a_minute: float


def _drift(traffic: Traffic, origins: Mapping[str, OriginState], group: GroupState) -> list[str]:
    """How Front Door differs from what the stack says: another hand was at work."""
    wrong = []
    hosts = {origin.name: origin.host_name for origin in (traffic.old, traffic.new)}
    for name, wanted in traffic.states().items():
        found = origins.get(name)
        if found is None:
            wrong.append(f"{name} is not in {traffic.origin_group}")
            continue
        if found.enabled != wanted.enabled or (wanted.enabled and found.weight != wanted.weight):
            wrong.append(f"{name} stands at {found}, the stack says {wanted}")
        if wanted.enabled and found.priority != wanted.priority:
            wrong.append(f"{name} has priority {found.priority}, the stack says {wanted.priority}")
        if found.host_name and found.host_name.casefold() != hosts[name].casefold():
            wrong.append(f"{name} sends to {found.host_name}, the stack says {hosts[name]}")
    # One of a lower rank stands by: it gets requests when neither of the two is healthy, which their share shows.
    others = sorted(
        name
        for name, found in origins.items()
        if found.enabled and found.priority <= DEFAULT_PRIORITY and name not in traffic.states()
    )
    wrong.extend(f"{name} takes traffic too, and the stack does not know it" for name in others)
    if group.session_affinity:
        wrong.append(f"{traffic.origin_group} keeps sessions on the origin that they began with")
    if group.latency_milliseconds < traffic.group.latency_milliseconds:
        wrong.append(
            f"{traffic.origin_group} has a latency sensitivity of {group.latency_milliseconds} ms, the stack says "
            f"{traffic.group.latency_milliseconds} ms"
        )
    if group.probe_path != traffic.group.probe_path:
        wrong.append(
            f"probes of {traffic.origin_group} ask for {group.probe_path or 'nothing'}, the stack says "
            f"{traffic.group.probe_path}"
        )
    return wrong


def _drifted(wrong: Sequence[str]) -> GateState:
    return GateState(phase=Phase.STOPPED, because=(f"Front Door is not as the stack says: {'; '.join(wrong)}.",))


def _stands_at(traffic: Traffic, origins: Mapping[str, OriginState]) -> int | None:
    """The lower step at which both origins stand; None where it is none."""
    for step in (0, *traffic.steps):
        states = traffic.states(step)
        if step < traffic.step and all(
            (found := origins.get(name)) is not None
            and (found.enabled, found.weight, found.priority) == (wanted.enabled, wanted.weight, DEFAULT_PRIORITY)
            for name, wanted in states.items()
        ):
            return step
    return None


def _silence(after: Sequence[Minute], changed: datetime, until: datetime) -> GateState | None:
    """Undecided where the log has no row for too long, at its end or in between."""
    last = changed
    for at in (*sorted({m.start for m in after if m.requests > 0}), until):
        silent = (at - last) // MINUTE
        if silent >= SILENT_MINUTES:
            return _undecided(
                f"The requests' log has no row of either cluster for {silent} minutes, since {last:%H:%M} UTC.",
                retry=False,
            )
        last = at + MINUTE
    return None


def _baseline(traffic: Traffic, before: Sequence[Minute], changed: datetime) -> "_Baseline | GateState":
    old = [m for m in before if m.label == traffic.old.label and m.requests > 0]
    requests = sum(m.requests for m in old)
    timed = [m for m in old if _timed(m)]
    if requests < LEAST_OF_A_WINDOW or not timed:
        return _undecided(
            f"The old cluster answered {requests:.0f} requests in the {traffic.gate.baseline_minutes} minutes before "
            f"{changed:%H:%M} UTC{'' if timed or not requests else ', and the log has no time of any'}: no baseline to "
            "compare with. Where the step was applied earlier, give that time with --since.",
            retry=False,
        )
    rate, most = sum(m.errors for m in old) / requests, traffic.gate.most_baseline_error_points
    if rate > most / WHOLE:
        return _undecided(
            f"The old cluster failed {rate:.2%} of its requests in the {traffic.gate.baseline_minutes} minutes before "
            f"{changed:%H:%M} UTC, above {most:g} %: that is trouble, and no baseline to compare with. Where it is "
            "usual, raise mostBaselineErrorPoints under headroom:gate.",
            retry=False,
        )
    minutes = {m.start for m in before}
    return _Baseline(
        error_rate=rate,
        p95=_weighted_median([(m.p95 or 0.0, m.requests) for m in timed]),
        requests_a_minute=sum(m.requests for m in before) / len(minutes),
    )


def _timed(minute: Minute) -> bool:
    """Whether the minute's percentile is a time at all: nothing, NaN and 0 are no proof of speed."""
    return minute.p95 is not None and math.isfinite(minute.p95) and minute.p95 > 0


def _weighted_median(values: Iterable[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached."""
    ordered = sorted(values)
    half, reached = sum(weight for _, weight in ordered) / 2, 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= half:
            return value
    return math.nan


def _harm(  # noqa: PLR0913, PLR0917 - everything that a trigger compares
    traffic: Traffic,
    settings: GateSettings,
    baseline: _Baseline,
    after: Sequence[Minute],
    changed: datetime,
    until: datetime,
) -> list[str]:
    """Every documented trigger that fired since the change."""
    new = {m.start: m for m in after if m.label == traffic.new.label}
    total: dict[datetime, float] = {}
    for minute in after:
        total[minute.start] = total.get(minute.start, 0.0) + minute.requests
    times = _times(changed, until)
    said = []
    most = baseline.error_rate + settings.error_points / WHOLE
    for window in _filled(times, new):
        requests = sum(new[at].requests for at in window if at in new)
        errors = sum(new[at].errors for at in window if at in new)
        if errors / requests > most:
            said.append(
                f"{errors:.0f} of {requests:.0f} requests to {traffic.new.name} failed in {len(window)} minutes from "
                f"{window[0]:%H:%M} UTC ({errors / requests:.2%}); the old cluster's baseline is "
                f"{baseline.error_rate:.2%}, and {settings.error_points:g} points more are too many."
            )
            break
    slow = _slowest(settings, baseline.p95)
    found = _first(times, LATENCY_MINUTES, lambda at: _slow(new.get(at), slow))
    if found is not None:
        worst = max((new[at].p95 or 0.0) for at in found)
        said.append(
            f"The {PERCENTILE}th percentile of {traffic.new.name} was above {slow:.0f} ms for {LATENCY_MINUTES} "
            f"minutes from {found[0]:%H:%M} UTC, up to {worst:.0f} ms; the old cluster's baseline is "
            f"{baseline.p95:.0f} ms."
        )
    least = baseline.requests_a_minute * (1 - settings.throughput_drop / WHOLE)
    found = _first(times, THROUGHPUT_MINUTES, lambda at: total.get(at, 0.0) < least)
    # No request of either cluster is a log that is silent, which is judged by itself.
    if found is not None and any(total.get(at) for at in found):
        mean = sum(total.get(at, 0.0) for at in found) / len(found)
        said.append(
            f"Both clusters together answered {mean:.0f} requests a minute for {THROUGHPUT_MINUTES} minutes from "
            f"{found[0]:%H:%M} UTC; before the change it was {baseline.requests_a_minute:.0f}, and "
            f"{settings.throughput_drop:g} % less are too few."
        )
    return said


def _slowest(settings: GateSettings, baseline: float) -> float:
    """Milliseconds above which a 95th percentile is too slow."""
    limit = settings.latency_factor * baseline
    return min(limit, settings.most_latency_milliseconds) if settings.most_latency_milliseconds else limit


def _slow(minute: Minute | None, limit: float) -> bool:
    return (
        minute is not None
        and minute.requests >= LEAST_OF_A_MINUTE
        # NaN compares false with everything, and is no proof of speed.
        and not (minute.p95 or 0.0) <= limit
    )


def _times(start: datetime, until: datetime) -> list[datetime]:
    first = _floor(start) if _floor(start) == start else _floor(start) + MINUTE
    return [first + MINUTE * number for number in range(max((until - first) // MINUTE, 0))]


def _windows(times: Sequence[datetime], length: int) -> Iterable[Sequence[datetime]]:
    return (times[start : start + length] for start in range(len(times) - length + 1))


def _filled(times: Sequence[datetime], minutes: Mapping[datetime, Minute]) -> Iterable[Sequence[datetime]]:
    """Windows of five minutes, or of as many more as it takes until they say something of a rate."""
    start, requests = 0, 0.0
    for end, at in enumerate(times):
        requests += minutes[at].requests if at in minutes else 0.0
        # The shortest window that ends here.
        while end - start >= ERROR_MINUTES:
            first = minutes[times[start]].requests if times[start] in minutes else 0.0
            if requests - first < LEAST_OF_A_WINDOW:
                break
            start, requests = start + 1, requests - first
        if end - start + 1 >= ERROR_MINUTES and requests >= LEAST_OF_A_WINDOW:
            yield times[start : end + 1]


def _first(times: Sequence[datetime], length: int, bad: Callable[[datetime], bool]) -> Sequence[datetime] | None:
    """The first window in which every minute is bad."""
    return next((window for window in _windows(times, length) if all(bad(at) for at in window)), None)


def _share(traffic: Traffic, minutes: Iterable[Minute]) -> tuple[float, float]:
    """The new cluster's share of the requests, and how many there were."""
    new = old = 0.0
    for minute in minutes:
        if minute.label == traffic.new.label:
            new += minute.requests
        elif minute.label == traffic.old.label:
            old += minute.requests
    return (new / (new + old) if new + old else math.nan), new + old


def _as_weighted(traffic: Traffic, minutes: Iterable[Minute], *, least: int = LEAST_OF_A_WINDOW) -> bool:
    """Whether the observed share is the weights' own, chance allowed for; not with fewer requests than `least`."""
    share, requests = _share(traffic, minutes)
    if requests < least:
        return False
    return abs(share - float(traffic.share())) <= _allowed_miss(traffic, requests)


def _allowed_miss(traffic: Traffic, requests: float) -> float:
    """By how much the observed share of so many requests may miss that of the weights."""
    expected = float(traffic.share())
    chance = DEVIATIONS * math.sqrt(expected * (1 - expected) / requests) if requests else 0.0
    return max(traffic.gate.share_points / WHOLE, chance)


def _by_time(minutes: Iterable[Minute]) -> Mapping[datetime, Sequence[Minute]]:
    """Both clusters' minutes by when they began."""
    found: dict[datetime, list[Minute]] = {}
    for minute in minutes:
        found.setdefault(minute.start, []).append(minute)
    return found


def _begun(traffic: Traffic, after: Sequence[Minute], changed: datetime, until: datetime) -> datetime:
    """From when on what goes wrong is this step's: on the way back, the edges split as the step before for a while."""
    by_time, expected = _by_time(after), float(traffic.share())
    for at in _times(changed, until):
        share, requests = _share(traffic, by_time.get(at, ()))
        # Of a minute without a request the share is no number, and no sign of either split.
        if share <= expected + _allowed_miss(traffic, requests):
            return at
    return until


def _settled(traffic: Traffic, after: Sequence[Minute], changed: datetime, until: datetime) -> datetime | None:
    """From when on the traffic is split as the weights say."""
    by_time = _by_time(after)
    for window in _windows(_times(changed, until), SHARE_MINUTES):
        minutes = [by_time.get(at, ()) for at in window]
        # Minute for minute too: a window half before the change can have the right mean.
        if _as_weighted(traffic, [m for found in minutes for m in found]) and all(
            _as_weighted(traffic, found, least=LEAST_OF_A_MINUTE) or _share(traffic, found)[1] < LEAST_OF_A_MINUTE
            for found in minutes
        ):
            return window[0]
    return None


def _not_settled(  # noqa: PLR0913, PLR0917 - what the sentence says
    traffic: Traffic,
    settings: GateSettings,
    after: Sequence[Minute],
    changed: datetime,
    until: datetime,
    figures: dict[str, float],
) -> GateState:
    times = _times(changed, until)[-SHARE_MINUTES:]
    if not times:
        # Whoever reads "no request" at a step of 50 % takes the new cluster for dead.
        unread = (
            f"The log can be read up to {until:%H:%M} UTC, {settings.ingestion_minutes} minutes behind, and the change "
            f"came at {changed:%H:%M}: nothing of it shows yet."
        )
        return GateState(phase=Phase.PROPAGATING, because=(unread,), figures=figures)
    recent = [m for m in after if m.start >= times[0]]
    share, requests = _share(traffic, recent)
    seen = f"{share:.1%} of {requests:.0f} requests" if requests else "no request"
    figures = {**figures, "requests": requests} | ({} if math.isnan(share) else {"share": share})
    span = f"{len(times)} minutes" if len(times) > 1 else "minute"
    because = f"{traffic.new.name} gets {seen} of the last {span}; the weights say {float(traffic.share()):.1%}."
    if until - changed <= timedelta(minutes=settings.propagation_minutes):
        return GateState(phase=Phase.PROPAGATING, because=(because,), figures=figures)
    late = f"{because} That is {(until - changed) // MINUTE} minutes after the change."
    if requests < LEAST_OF_A_WINDOW:
        return GateState(phase=Phase.UNDECIDED, because=(late,), figures=figures)
    return GateState(phase=Phase.STOPPED, because=(late,), figures=figures)


def _soak(  # noqa: PLR0913, PLR0917 - what the sentence says
    traffic: Traffic,
    settings: GateSettings,
    minutes: Sequence[Minute],
    settled: datetime,
    until: datetime,
    figures: dict[str, float],
) -> GateState:
    new = [m for m in minutes if m.label == traffic.new.label]
    requests, errors = sum(m.requests for m in new), sum(m.errors for m in new)
    share, _ = _share(traffic, minutes)
    figures = {
        **figures,
        "share": share,
        "requests": requests,
        "errorRate": errors / requests if requests else math.nan,
        "p95": _weighted_median([(m.p95 or 0.0, m.requests) for m in new if m.requests > 0 and _timed(m)]),
        "soakMinutes": (until - settled) / MINUTE,
    }
    figures = {name: value for name, value in figures.items() if not math.isnan(value)}
    moved = _moved(traffic, minutes, settled, until)
    if moved is not None:
        return GateState(phase=Phase.STOPPED, because=(moved,), figures=figures, settled=settled)
    soaked = (until - settled) // MINUTE
    if soaked < settings.soak_minutes:
        because = f"{soaked} of {settings.soak_minutes} minutes, {requests:.0f} requests to {traffic.new.name}."
        return GateState(phase=Phase.SOAKING, because=(because,), figures=figures, settled=settled)
    if requests < settings.least_requests:
        because = (
            f"{traffic.new.name} answered {requests:.0f} requests in {soaked} minutes, and fewer than "
            f"{settings.least_requests} prove nothing."
        )
        return GateState(phase=Phase.UNDECIDED, because=(because,), figures=figures, settled=settled)
    timed = sum(m.requests for m in new if _timed(m))
    if timed < LEAST_TIMED * requests:
        because = (
            f"The log has the time of {timed:.0f} of {requests:.0f} requests to {traffic.new.name}, and the others may "
            "have been slow."
        )
        return GateState(phase=Phase.UNDECIDED, because=(because,), figures=figures, settled=settled)
    state = _verdict(traffic, settings, figures, settled)
    late = sum(m.requests for m in minutes if m.label == traffic.old.label)
    if traffic.step < WHOLE or not late:
        return state
    # Clients that know the old cluster by its own address are served until it is retired, and not any more then.
    told = f"{traffic.old.name} still answered {late:.0f} requests, which came by another way than its origin."
    return replace(state, because=(*state.because, told), figures={**figures, "oldRequests": late})


def _moved(traffic: Traffic, minutes: Sequence[Minute], settled: datetime, until: datetime) -> str | None:
    """When traffic was not split as the weights say although it had been: the soak is of one piece."""
    by_time = _by_time(minutes)
    for window in _windows(_times(settled, until), SHARE_MINUTES):
        found = [minute for at in window for minute in by_time.get(at, ())]
        share, count = _share(traffic, found)
        if count >= LEAST_OF_A_WINDOW and not _as_weighted(traffic, found):
            return (
                f"{traffic.new.name} gets {share:.1%} of {count:.0f} requests of {SHARE_MINUTES} minutes from "
                f"{window[0]:%H:%M} UTC; the weights say {float(traffic.share()):.1%}. Its probes may fail, or "
                "somebody else moves traffic."
            )
    return None


def _verdict(traffic: Traffic, settings: GateSettings, figures: dict[str, float], settled: datetime) -> GateState:
    """The whole soak against the baseline, for what is too slow for the windows."""
    rate, base = figures["errorRate"], figures["baselineErrorRate"]
    compared = (
        f"{rate:.2%} of {figures['requests']:.0f} requests to {traffic.new.name} failed (baseline {base:.2%}), 95th "
        f"percentile {figures['p95']:.0f} ms (baseline {figures['baselineP95']:.0f} ms), share {figures['share']:.1%}."
    )
    good = rate <= base + settings.error_points / WHOLE and figures["p95"] <= _slowest(settings, figures["baselineP95"])
    phase = Phase.PASSED if good else Phase.STOPPED
    return GateState(phase=phase, because=(compared,), figures=figures, settled=settled)


def _undecided(because: str, *, retry: bool) -> GateState:
    return GateState(phase=Phase.UNDECIDED, because=(because,), retry=retry)


def _floor(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
