"""Whether a plan still fits the facts of now: what changed, what was not read, what is within the plan's margins."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.aws import Aws, Vpc
from headroom.facts.azure import Azure
from headroom.facts.interfaces import is_leaked
from headroom.facts.kubernetes import CniDaemonSet, Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, items, known, known_or
from headroom.planning.aks_measures import aks_quantities
from headroom.planning.aks_plan import is_aks
from headroom.planning.aks_situation import foundations as aks_foundations
from headroom.planning.aks_situation import read_aks_situation
from headroom.planning.measures import beyond, quantities
from headroom.planning.plan import Check, Measure, Plan
from headroom.planning.planner import foundations, make_plan
from headroom.planning.situation import read_situation

_AGAIN: Final = "Make the plan again: `headroom plan`."
_READ: Final = "See why with `headroom collect`, then check again."
_UNKNOWN: Final = re.compile(r"\bunknown\b")
"""What a foundation says of a fact that was not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """What became of the facts of a plan.

    Attributes:
        changed: What changed, and with it what the plan should be.
        unread: What was read when the plan was made, and was not now: a gate without data is closed.
        within: What changed within the margins of the plan, in sentences.
    """

    changed: tuple[Problem, ...] = ()
    unread: tuple[Problem, ...] = ()
    within: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that keeps the plan from being applied as it is."""
        return (*self.changed, *self.unread)


def recheck(plan: Plan, snapshot: Snapshot, diagnosis: Diagnosis | None = None) -> Recheck:
    """Holds a plan against the facts of now.

    Args:
        plan: The plan.
        snapshot: The facts of now.
        diagnosis: What they come to; ``None``: only the facts are compared.
    """
    if not plan.foundations:
        return Recheck(unread=(_WITHOUT_FACTS,))
    aks = is_aks(snapshot) or plan.foundations.get("cloud") == "azure"
    names = [measure.name for measure in plan.measures]
    if aks:
        cluster = read_aks_situation(snapshot)
        now, counted = aks_foundations(cluster), aks_quantities(cluster, names)
    else:
        situation = read_situation(snapshot)
        now, counted = foundations(situation), quantities(snapshot, situation, names)
    found = [*_of_foundations(plan.foundations, now, snapshot), *_of_leaked(plan, snapshot)]
    within = []
    for name, measure, value in _paired(plan.measures, counted):
        problem = _of_measure(name, measure, value)
        if problem is not None:
            found.append(problem)
        elif value is not None and (measure is None or measure.value != value):
            within.append(_within(name, measure, value))
    if not plan.measures:
        found.append(_OLDER)
    if diagnosis is not None:
        found = [*_of_causes(plan, diagnosis), *found]
        if not aks and diagnosis.verdict is not Verdict.UNDECIDED and not found:
            found += _of_options(plan, snapshot, diagnosis)
    return Recheck(
        changed=tuple(each for each in found if each.rule not in _RULES_OF_UNREAD),
        unread=tuple(each for each in found if each.rule in _RULES_OF_UNREAD),
        within=tuple(within),
    )


_WITHOUT_FACTS: Final = Problem(
    rule="plan-without-facts",
    value="the plan",
    reason="names no facts that it rests on, such as one of --limits, or what a new cluster is held to.",
    next_step="Make it again from today's facts.",
)
_RULES_OF_UNREAD: Final = ("facts-unread", "plan-older")
_OLDER: Final = Problem(
    rule="plan-older",
    value="nodes, free addresses and pods that wait",
    reason="are not in this plan, which an older Headroom wrote: nothing tells whether they changed.",
    next_step=_AGAIN,
)


def _of_foundations(before: Mapping[str, str], now: Mapping[str, str], snapshot: Snapshot) -> Iterator[Problem]:
    unread = tuple(_unread(snapshot))
    for name in sorted({*before, *now}):
        then, is_now = before.get(name, ""), now.get(name, "")
        if then == is_now:
            continue
        was = f"was {then or 'not there'} when the plan was made"
        unknowns = [len(_UNKNOWN.findall(text)) for text in (then, is_now)]
        if (not is_now and name.startswith(unread)) or unknowns[1] > unknowns[0]:
            yield Problem(rule="facts-unread", value=name, reason=f"{was}, and was not read now.", next_step=_READ)
        else:
            yield Problem(
                rule="facts-changed", value=name, reason=f"{was}, and is {is_now or 'not there'} now.", next_step=_AGAIN
            )


def _unread(snapshot: Snapshot) -> Iterator[str]:
    """How the names of those facts begin of which nothing tells now whether they are there."""
    aws, azure = known_or(snapshot.aws, Aws()), known_or(snapshot.azure, Azure())
    kubernetes = known_or(snapshot.kubernetes, Kubernetes())
    daemon_set = known_or(kubernetes.cni_daemon_set, CniDaemonSet())
    if is_aks(snapshot) or known(snapshot.cloud) is None:
        yield from ("cloud", "cluster", "region") if isinstance(azure.cluster, Unknown) else ()
        yield from ("subscription",) if isinstance(azure.subscription_id, Unknown) else ()
        yield from ("resource group",) if isinstance(azure.resource_group, Unknown) else ()
        yield from ("VNet ", "peering ", "subnet ") if isinstance(azure.vnets, Unknown) else ()
        yield from ("pool ",) if isinstance(azure.pools, Unknown) else ()
        yield from ("security group ",) if isinstance(azure.security_groups, Unknown) else ()
    if not is_aks(snapshot):
        for prefix, fact in (
            ("cluster", snapshot.cluster),
            ("region", aws.region),
            ("vpc", aws.vpc),
            ("vpc CIDRs", known_or(aws.vpc, Vpc(vpc_id="")).cidr_blocks),
            ("subnet ", aws.subnets),
            ("routes", aws.route_tables),
            ("peers", aws.peerings),
            ("route table of ", kubernetes.nodes),
            ("setting ", daemon_set.environment),
        ):
            if isinstance(fact, Unknown):
                yield prefix


def _of_leaked(plan: Plan, snapshot: Snapshot) -> Iterator[Problem]:
    """Interfaces that the plan deletes and that somebody uses by now."""
    aws = known_or(snapshot.aws, Aws())
    named = {
        each
        for condition in plan.postconditions
        if condition.check is Check.LEAKED_INTERFACES_GONE
        for each in condition.subjects
    }
    if named and isinstance(aws.interfaces, Unknown):
        yield Problem(
            rule="facts-unread",
            value="the interfaces that the plan deletes",
            reason=f"were not read now: {aws.interfaces}.",
            next_step=_READ,
        )
    for interface in sorted(items(aws.interfaces), key=lambda each: each.interface_id):
        if interface.interface_id in named and not is_leaked(interface, known(snapshot.collected_at)):
            yield Problem(
                rule="facts-changed",
                value=interface.interface_id,
                reason="hung on nothing when the plan was made, and is in use now: it must not be deleted.",
                next_step=_AGAIN,
            )


def _paired(
    before: Iterable[Measure], now: Mapping[str, int | None]
) -> Iterator[tuple[str, Measure | None, int | None]]:
    """Each quantity then and now; what was not known then is compared with nothing."""
    told = {each.name: each for each in before}
    if not told:
        return
    for name, measure in told.items():
        if measure.value is not None:
            yield name, measure, now[name]
    yield from ((name, None, value) for name, value in now.items() if name not in told)


def _of_measure(name: str, measure: Measure | None, value: int | None) -> Problem | None:
    if measure is None:
        return None
    if value is None:
        return Problem(
            rule="facts-unread",
            value=name,
            reason=f"were {measure.value:,} when the plan was made, and were not read now.",
            next_step=_READ,
        )
    if not beyond(measure, value):
        return None
    return Problem(
        rule="facts-changed",
        value=name,
        reason=f"were {measure.value:,} when the plan was made, and are {value:,} now: {measure.margin}.",
        next_step=_AGAIN,
    )


def _within(name: str, measure: Measure | None, value: int) -> str:
    if measure is None:
        return f"{name}: {value:,} that the plan does not know; what they may take is counted with the rest."
    moved = f"{name}: {measure.value:,} when the plan was made, {value:,} now"
    bounds = [
        f"{what} {bound:,}"
        for what, bound in (("at least", measure.least), ("at most", measure.most))
        if bound is not None
    ]
    return f"{moved}; holds with {', '.join(bounds)} ({measure.margin})." if bounds else f"{moved}."


def _of_causes(plan: Plan, diagnosis: Diagnosis) -> Iterator[Problem]:
    """Causes that the plan cures and that are no more, and such as it does not know and that no other made."""
    if diagnosis.verdict is Verdict.UNDECIDED:
        needed = ", ".join(each.reading for each in diagnosis.needed[:3])
        yield Problem(
            rule="facts-unread",
            value="the verdict",
            reason=f"was {plan.verdict} when the plan was made, and is undecided now"
            + (f"; it needs {needed}." if needed else "."),
            next_step="See what `headroom diagnose` says now.",
        )
        return
    now = {cause.name: cause for cause in diagnosis.causes}
    for name in plan.causes if plan.verdict == Verdict.FOUND else ():
        if name not in now:
            yield Problem(
                rule="cause-gone",
                value=f"cause {name}",
                reason=f"was found when the plan was made, and is not now (verdict {diagnosis.verdict.value}).",
                next_step="See what `headroom diagnose` says now.",
            )
    for name, cause in now.items():
        if name not in plan.causes and cause.made_by is None:
            yield Problem(
                rule="cause-new",
                value=f"cause {name}",
                reason="was not there when the plan was made, and is now.",
                next_step=_AGAIN,
            )


def _of_options(plan: Plan, snapshot: Snapshot, diagnosis: Diagnosis) -> Iterator[Problem]:
    """Ways out that the facts of now would take and the plan does not, or the other way round.

    Only of EKS: what a person chose for AKS is not in the plan.
    """
    try:
        again = make_plan(snapshot, diagnosis, stack=plan.stack, ahead=plan.verdict == Verdict.HEALTHY)
    except ProblemsError as error:
        yield from error.problems
        return
    before, now = ({each.name: each for each in made.options if each.kept} for made in (plan, again))
    for name in sorted({*before, *now}):
        if name in before and name in now:
            continue
        told = now.get(name) or next((each for each in again.options if each.name == name), before.get(name))
        yield Problem(
            rule="option-changed",
            value=told.title if told is not None else name,
            reason=(
                "is what today's facts call for beside or instead of the plan. "
                if name in now
                else "is no longer what the facts call for. "
            )
            + (told.reason if told is not None else ""),
            next_step=_AGAIN,
        )
