"""What a pull request says that an alarm has opened: why, the diagnosis, the plan, the check, and what to do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.alarm_event import AlarmEvent
from headroom.planning.plan import Plan
from headroom.report.markdown import to_markdown

LABEL: Final = "headroom"
URGENT: Final = "urgent"

_MEANINGS: Final[Mapping[str, str]] = {
    "page": "has too few free addresses",
    "warning": "runs low on addresses",
    "forecast": "will run out of addresses",
}
"""What an alarm of a kind says of its zone (components/subnet_alarms.py)."""


def is_urgent(event: AlarmEvent, diagnosis: Diagnosis) -> bool:
    """Whether somebody has to look now: it pages, or pods hang already. A forecast can wait until the morning."""
    return event.kind == "page" or diagnosis.verdict is Verdict.FOUND


def proposal(  # noqa: PLR0913 - what a pull request says, by keyword
    event: AlarmEvent, diagnosis: Diagnosis, plan: Plan, files: Mapping[str, str], *, check: str, verdict: str
) -> tuple[dict[str, Any], str]:
    """The pull request as `templates/ci/propose.py` reads it, and its text.

    Args:
        event: The alarm.
        diagnosis: What the cluster shows.
        plan: What is proposed.
        files: The plan's files, texts by their path.
        check: What `headroom check --markdown` wrote; empty: nothing was checked.
        verdict: The check's verdict.
    """
    cause = plan.causes[0] if plan.causes else diagnosis.verdict.value
    urgent = is_urgent(event, diagnosis)
    what = "pods hang" if diagnosis.verdict is Verdict.FOUND else "no pod hangs yet"
    document = {
        # Of cluster and cause: the next alarm finds it again.
        "branch": f"headroom/{event.cluster}/{re.sub(r'[^a-z0-9_]+', '-', cause.lower())[:80]}",
        "title": f"{'[urgent] ' if urgent else ''}{event.cluster}: {cause}, {what}",
        "labels": [LABEL, *([URGENT] if urgent else [])],
        "rank": 2 if event.kind == "page" else 1 if urgent else 0,
        "message": f"Headroom: plan for {event.cluster}: {cause}\n\nHeadroom-Alarm: {event.alarm}",
        "files": dict(files),
        "check": verdict,
    }
    return document, "\n".join(_lines(event, diagnosis, plan, list(files), check)) + "\n"


def _lines(event: AlarmEvent, diagnosis: Diagnosis, plan: Plan, paths: Sequence[str], check: str) -> Iterator[str]:
    yield (
        f"The alarm `{event.alarm}` rings since {event.time} ({event.region}, account {event.account}): "
        f"{event.zone} of `{event.cluster}` {_MEANINGS[event.kind]}."
    )
    yield ""
    if diagnosis.verdict is Verdict.HEALTHY:
        yield "No pod hangs yet: this is prevention, and it can be reviewed in peace."
        yield ""
    yield "**Nothing has been applied.** Merging this applies nothing either; `pulumi up` does."
    yield ""
    yield to_markdown(diagnosis, source=f"--cluster {event.cluster}").rstrip("\n")
    yield ""
    yield "### Plan"
    yield ""
    for option in plan.options:
        if option.kept:
            yield f"- {option.title}. {option.reason}"
    for decision in plan.decisions:
        yield f"- ❔ {decision}"
    yield ""
    yield f"Files: {', '.join(f'`{path}`' for path in paths)}"
    yield ""
    yield "After the review:"
    yield ""
    for number, step in enumerate(plan.steps, start=1):
        takes = f" ({step.takes})" if step.takes else ""
        yield f"{number}. {step.what}{takes}" + (f"  \n   `{step.command}`" if step.command else "")
    if plan.untouched:
        yield ""
        yield f"Not touched: {' '.join(plan.untouched)}"
    if check:
        yield ""
        yield "### Check"
        yield ""
        yield check.strip()
