"""`headroom respond`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import FactsFrom, diagnosed, read_facts, read_text
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.alarm_event import AlarmEvent, read_alarm_event
from headroom.facts.values import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headroom.facts.snapshot import Snapshot
    from headroom.planning.plan import Plan, PlannedFile

SUBJECT: Final = "headroom respond"
UNDECIDED: Final = 3
CHECKS: Final = {0: "clean", 1: "violation", 2: "refused", UNDECIDED: "undecided"}
"""What an exit code of `headroom check` means."""
PROPOSAL, BODY = "proposal.json", "body.md"
"""Names of what `templates/ci/propose.py` reads."""


@click.command()
@click.option("--event", "text", envvar="HEADROOM_EVENT", help="The alarm's event as JSON; or in HEADROOM_EVENT.")
@click.option("--event-file", type=click.Path(path_type=Path), help="The event in a file instead.")
@click.option("--print", "printed", type=click.Choice(["cluster", "region"]), help="Print that of the event and end.")
@click.option("--facts", "file", type=click.Path(path_type=Path), help="A snapshot instead of the live cluster.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("proposal"), help="Where to write.")
@click.option(
    "--checkout",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The checkout with Pulumi.yaml; the current folder by default.",
)
@click.option("--profile", default="", help="Profile of the AWS credentials.")
@click.option("--context", default="", help="Context of the kubeconfig.")
@click.option("--endpoint-url", default="", help="Another endpoint for AWS, such as that of a rehearsal.")
def respond(  # noqa: PLR0913 - one argument for each option
    *,
    text: str | None,
    event_file: Path | None,
    printed: str | None,
    file: Path | None,
    folder: Path,
    checkout: Path,
    profile: str,
    context: str,
    endpoint_url: str,
) -> None:
    """Answer an alarm of the watch stack: collect, diagnose, plan, check, and write a pull request's text and files.

    \b
    HEADROOM_EVENT='{"cluster": …}' headroom respond        in the pipeline that the alarm starts
    python templates/ci/propose.py github proposal          what opens the pull request, with a token of its own

    Nothing is applied. Exit code 0: written, or healthy and nothing to plan; 2: bad input; 3: undecided, or it is not
    addresses: a person has to look.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    event = read_alarm_event(_given(text, event_file))
    if printed:
        click.echo(getattr(event, printed))
        return
    source = FactsFrom(
        file=file,
        cluster="" if file else event.cluster,
        region=event.region,
        profile=profile,
        context=context,
        endpoint_url=endpoint_url,
    )
    snapshot = read_facts(source)
    _check_cluster(snapshot, event)
    diagnosis = diagnosed(snapshot)
    click.echo(f"{event.alarm}: {diagnosis.verdict.value}", err=True)
    sys.exit(_answer(event, snapshot, diagnosis, folder, checkout))


def _given(text: str | None, file: Path | None) -> str:
    if (text is None) == (file is None):
        problem = Problem(
            rule="where-from",
            key="--event",
            value="Two events" if text else "No event",
            reason="are given." if text else "is given.",
            next_step="Set HEADROOM_EVENT, or name a file with --event-file.",
        )
        raise ProblemsError([problem], subject=SUBJECT)
    return read_text(file) if file is not None else text or ""


def _check_cluster(snapshot: "Snapshot", event: AlarmEvent) -> None:
    read = known(snapshot.cluster)
    if read and read != event.cluster:
        problem = Problem(
            rule="cluster-named",
            key="--facts",
            value=read,
            reason=f"is another cluster than the event's, {event.cluster}.",
            next_step="Give the snapshot of that cluster.",
        )
        raise ProblemsError([problem], subject=SUBJECT)


def _answer(event: AlarmEvent, snapshot: "Snapshot", diagnosis: Diagnosis, folder: Path, checkout: Path) -> int:
    from headroom.cli.plan import written_files  # noqa: PLC0415 - not for --print
    from headroom.planning.planner import make_plan  # noqa: PLC0415 - the same
    from headroom.report.markdown import to_markdown  # noqa: PLC0415 - the same
    from headroom.report.proposal import proposal  # noqa: PLC0415 - the same

    _clear(folder)
    report = to_markdown(diagnosis, source=f"--cluster {event.cluster}")
    if diagnosis.verdict not in (Verdict.FOUND, Verdict.HEALTHY):
        _write(folder / BODY, report)
        click.echo(f"{diagnosis.verdict.value}: there is nothing to plan, and a person has to look ({folder / BODY}).")
        return UNDECIDED
    try:
        plan = make_plan(snapshot, diagnosis, ahead=True)
    except ProblemsError as error:
        _write(folder / BODY, f"{report}\nNo plan: {' '.join(problem.message for problem in error.problems)}\n")
        click.echo(str(error), err=True)
        return UNDECIDED
    if diagnosis.verdict is Verdict.HEALTHY and not plan.files:
        # The alarm rings, nothing hangs, and no change of ours would help: the report says why.
        _write(folder / BODY, f"{report}\n{_why_nothing(plan)}\n")
        click.echo(f"healthy, and no change would give more room ({folder / BODY}).")
        return 0
    files = written_files(plan)
    for each in files:
        _write(checkout / each.path, each.text)
    check, verdict = _checked(files, checkout)
    texts = {each.path: each.text for each in files}
    document, body = proposal(event, diagnosis, plan, texts, check=check, verdict=verdict)
    _write(folder / BODY, body)
    # The last: a folder without it proposes nothing.
    _write(folder / PROPOSAL, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    click.echo(f"{document['title']}: check {verdict}; wrote {folder / PROPOSAL}.")
    return 0


def _why_nothing(plan: "Plan") -> str:
    return "\n".join(f"- {option.title}: {option.reason}" for option in plan.options)


def _checked(files: "Sequence[PlannedFile]", checkout: Path) -> tuple[str, str]:
    """What `headroom check` says of the plan's stack file: its Markdown, and the verdict in a word."""
    stack_file = next((each.path for each in files if each.path.endswith(".yaml")), "")
    if not stack_file:
        return "", "nothing to check"
    policy = next((each.path for each in files if each.path.startswith("stacks/policy.")), "")
    stack = Path(stack_file).name.removeprefix("Pulumi.").removesuffix(".yaml")
    # Other stacks than the emergency one are judged by running their program.
    named = [stack_file] if stack.endswith("-emergency") else [".", "--stack", stack]
    with TemporaryDirectory() as scratch:
        markdown = Path(scratch) / "check.md"
        arguments = ["check", *named, "--markdown", str(markdown), *(["--policy-config", policy] if policy else [])]
        done = subprocess.run(  # noqa: S603 - ourselves, with names that the planner has made
            [sys.executable, "-m", "headroom.cli", *arguments],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        click.echo(done.stdout + done.stderr, err=True, nl=False)
        text = markdown.read_text(encoding="utf-8") if markdown.is_file() else done.stderr
    return text, CHECKS.get(done.returncode, "failed")


def _clear(folder: Path) -> None:
    """Takes away what an earlier run wrote, so that it is not proposed again."""
    for name in (PROPOSAL, BODY):
        (folder / name).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        problem = Problem(rule="file", value=str(path), reason=f"cannot be written: {error.strerror}.")
        raise ProblemsError([problem], subject=SUBJECT) from None
