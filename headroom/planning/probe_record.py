"""What the probes of a cluster's NetworkPolicies found, as a JSON file that Git keeps, and whether traffic may come.

A new cluster may hold every NetworkPolicy as an object and enforce none. Nothing shows that before the requests are
there, save the probes: `headroom probes --record` writes this file, and the stack that shifts traffic reads it before
its first step.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.keys import KeyReader, told
from headroom.planning.records import UNREADABLE, age_problems, read_items, read_time, time_text

VERSION: Final = 1
MAX_AGE: Final = timedelta(days=7)
"""How long probes count: policies change with every deployment, and a review takes some."""
_REASON: Final = re.compile(r"\S[^\n]{9,499}")
"""Ten characters: a word is no reason."""


class ProbesVerdict(StrEnum):
    """What the probes of a cluster come to."""

    CLEAR = "clear"
    """Every policy is enforced; or there is none."""
    WRONG = "wrong"
    """A policy is not enforced, broken, or denies nothing."""
    UNDECIDED = "undecided"
    """Something could not be read, or no probe could show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A policy, or what was found without any probe.

    Attributes:
        what: The policy as namespace/name, or the finding's kind and policy.
        verdict: What it comes to.
        because: Why.
    """

    what: str
    verdict: ProbesVerdict
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRecord:
    """The probes' result.

    Attributes:
        probed: When they ran.
        cluster: The cluster, as its kubeconfig or snapshot calls it.
        server: Host of its API server; empty: not known.
        policies: Every policy, and every finding that needs no probe.
        unread: What could not be read, so that nothing was judged.
    """

    probed: datetime
    cluster: str
    server: str = ""
    policies: tuple[Probed, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def verdict(self) -> ProbesVerdict:
        """What it comes to: wrong before undecided before clear."""
        verdicts = {each.verdict for each in self.policies}
        if ProbesVerdict.WRONG in verdicts:
            return ProbesVerdict.WRONG
        undecided = self.unread or ProbesVerdict.UNDECIDED in verdicts
        return ProbesVerdict.UNDECIDED if undecided else ProbesVerdict.CLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutProbes:
    """That somebody goes on without the probes, as exceptions of the policy pack are written.

    Attributes:
        reason: Why.
        expires: The last day on which it holds.
    """

    reason: str
    expires: date


def read_without(reader: KeyReader, value: object) -> WithoutProbes | None:
    """Reads the exception of a stack file; problems go to the reader."""
    key = "withoutProbes"
    before = len(reader.problems)
    fields = reader.mapping(key, value, ("reason", "expires"))
    if len(reader.problems) > before:
        return None
    reason = reader.text(f"{key}.reason", fields.get("reason"), _REASON, "a reason that a reviewer can read")
    expires = fields.get("expires")
    try:
        # YAML reads a day that is not in quotes as one; `pulumi config set` writes it as text.
        day = date.fromisoformat(str(expires))
    except ValueError:
        reader.wrong(f"{key}.expires", told(expires), "is no day.", "Write it as 2027-03-31.")
        return None
    return WithoutProbes(reason=reason, expires=day) if reason else None


def file_name(stack: str) -> str:
    """What the file of a stack's probes is called."""
    return f"probes.{stack}.json"


def write_record(record: ProbeRecord) -> str:
    """The file's text; equal records give equal bytes."""
    document = {
        "version": VERSION,
        "probed": time_text(record.probed),
        "verdict": record.verdict.value,
        "cluster": record.cluster,
        "server": record.server,
        "policies": [
            {"what": each.what, "verdict": each.verdict.value, "because": each.because} for each in record.policies
        ],
        "unread": list(record.unread),
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def read_record(text: str, *, subject: str) -> ProbeRecord:
    """The probes' file.

    Raises:
        ProblemsError: It is none, of another version, or its verdict is not what its policies say.
    """
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError
        record = _record(document)
        stated = ProbesVerdict(document["verdict"])
    except UNREADABLE:
        raise _refused(subject, subject, "is no record of probes that this version reads.") from None
    if stated is not record.verdict:
        raise _refused(subject, stated.value, f"is not what its policies say: {record.verdict.value}.")
    return record


def _record(document: Mapping[str, Any]) -> ProbeRecord:
    return ProbeRecord(
        probed=read_time(document["probed"]),
        cluster=str(document["cluster"]),
        server=str(document["server"]),
        policies=tuple(
            Probed(what=str(each["what"]), verdict=ProbesVerdict(each["verdict"]), because=str(each["because"]))
            for each in read_items(document["policies"])
        ),
        unread=tuple(str(each) for each in read_items(document["unread"])),
    )


def _refused(subject: str, value: str, reason: str) -> ProblemsError:
    step = "Run `headroom probes … --record` again; only that writes it."
    problem = Problem(rule="probes-record", key=subject, value=shown(value), reason=reason, next_step=step)
    return ProblemsError([problem], subject=subject)


def first_step_problems(
    record: ProbeRecord | None,
    cluster: str,
    file: str,
    *,
    without: WithoutProbes | None,
    now: datetime,
) -> tuple[Problem, ...]:
    """Why the first requests must not reach a cluster yet; nothing where its policies are shown to be enforced.

    Args:
        record: The probes' record; ``None``: there is none.
        cluster: The cluster that the requests go to; empty: the stack file does not say.
        file: The record's file, relative to the checkout.
        without: That somebody goes on without it.
        now: The time.
    """
    if without is not None and now.date() <= without.expires:
        return ()
    again = f"Run `headroom probes --context {cluster or 'CLUSTER'} --run --record {file}`, and commit the file."
    way = f"{again} To go on without it, write headroom:withoutProbes with reason and expires."
    problems = []
    if without is not None:
        reason = "is over: it was the last day on which the first step may come without probes."
        key = "headroom:withoutProbes.expires"
        step = "Take headroom:withoutProbes away: without it the record of the probes counts alone."
        problems.append(_problem("probes-exception", key, without.expires.isoformat(), reason, step))
    if record is None:
        reason = f"comes before the probes of {cluster or 'the new cluster'}: there is no {file}."
        return (*problems, _problem("probes-clear", "headroom:step", "The first step", reason, way))
    # Azure tells no two clusters apart by case; and of two without a name nothing says that they are one.
    if not cluster or record.cluster.casefold() != cluster.casefold():
        probed = f"is not what was probed: {shown(record.cluster) if record.cluster else 'a cluster without a name'}."
        said = f"Write the new cluster's name as headroom:origins.new.cluster, such as {shown(record.cluster)}."
        value = shown(cluster) if cluster else "No cluster"
        problems.append(
            _problem(
                "probes-cluster",
                "headroom:origins.new.cluster",
                value,
                probed,
                again if cluster or not record.cluster else said,
            )
        )
    problems += age_problems(record.probed, now, MAX_AGE, rule="probes-age", what="the probes", again=way)
    problems += [_problem("probes-clear", "", "A reading", f"failed: {_line(each)}", way) for each in record.unread]
    return (*problems, *(_of_verdict(record.policies, verdict, way) for verdict in _not_clear(record.policies)))


def _not_clear(policies: Sequence[Probed]) -> list[ProbesVerdict]:
    there = {each.verdict for each in policies}
    return [each for each in (ProbesVerdict.WRONG, ProbesVerdict.UNDECIDED) if each in there]


def _of_verdict(policies: Sequence[Probed], verdict: ProbesVerdict, step: str) -> Problem:
    found = [each for each in policies if each.verdict is verdict]
    policies_told = listed([shown(each.what) for each in found])
    return _problem("probes-clear", "", policies_told, f"{verdict.value}: {_line(found[0].because)}", step)


def _line(text: str) -> str:
    """A file's text on one line of a terminal, as it is but for what acts on it."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def _problem(rule: str, key: str, value: str, reason: str, step: str) -> Problem:
    return Problem(rule=rule, key=key, value=value, reason=reason, next_step=step)
