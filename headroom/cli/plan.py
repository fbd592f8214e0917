"""`headroom plan`."""

import csv
import difflib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from textwrap import fill
from typing import Any, Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import FactsFrom, diagnosed, read_facts, read_text, takes_facts
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.forms import ADDRESSES_OF_IPV4
from headroom.facts.snapshot import Snapshot
from headroom.planning.aks_choices import read_choices
from headroom.planning.aks_plan import is_aks
from headroom.planning.plan import Plan, PlannedFile, Step, plan_from_json, plan_to_json
from headroom.planning.planner import make_plan
from headroom.planning.recheck import Recheck, recheck

CHANGED: Final = 1
UNDECIDED: Final = 3
WIDTH: Final = 100


@click.command(name="plan")
@takes_facts
@click.option("--stack", default="", help="Name of the stack to write; CLUSTER-emergency by default.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The checkout to write into; the current folder by default.",
)
@click.option("--history", type=click.Path(path_type=Path), help="CSV of free addresses (time,zone,free): tells days.")
@click.option("--ahead", is_flag=True, help="Plan more room for a healthy cluster too, before anything hangs.")
@click.option("--limits", is_flag=True, help="Plan the stack that keeps node groups within their subnets instead.")
@click.option("--set", "chosen", multiple=True, metavar="KEY=VALUE", help="AKS: way, podCidr, origin and others.")
@click.option("--node-price", type=float, metavar="DOLLARS", help="AKS: what a node costs an hour.")
@click.option("--recheck", "again", type=click.Path(path_type=Path), help="Only tell whether this plan still holds.")
@click.option("--dry-run", is_flag=True, help="Write nothing.")
@click.option("--force", is_flag=True, help="Write over files that say something else.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(  # noqa: PLR0913, PLR0917 - one argument for each option
    source: FactsFrom,
    stack: str,
    folder: Path,
    history: Path | None,
    chosen: tuple[str, ...],
    node_price: float | None,
    again: Path | None,
    *,
    ahead: bool,
    limits: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the smallest change that cures what `headroom diagnose` finds, as files for review.

    \b
    headroom plan --cluster prod-use1                the stack file, its policy configuration, the plan
    headroom plan --cluster prod-use1 --recheck stacks/plan.prod-use1-emergency.json
    headroom plan --cluster prod-use1 --limits       node groups grow no further than their subnets
    headroom plan --cloud aks --resource-group rg-prod --cluster aks-prod --set way=blue-green

    Nothing is applied but by `pulumi up`. Exit code 0: planned, or the plan still holds; 1: the facts have changed
    since, beyond the plan's margins; 2: bad input, or nothing to plan; 3: undecided, or not read any more.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    if again is not None:
        _recheck(again, read_facts(source), as_json=as_json)
        return
    choices = read_choices(chosen, node_price)
    growth = _growth(history) if history is not None else {}
    snapshot = read_facts(source)
    _check_options(snapshot, chosen=bool(chosen) or node_price is not None, limits=limits)
    if limits:
        _limits(snapshot, stack, folder, dry_run=dry_run, force=force, as_json=as_json)
        return
    diagnosis = diagnosed(snapshot)
    if diagnosis.verdict is Verdict.UNDECIDED:
        click.echo(_undecided(diagnosis), err=True)
        sys.exit(UNDECIDED)
    made = make_plan(snapshot, diagnosis, stack=stack, growth_per_day=growth, ahead=ahead, choices=choices)
    files = written_files(made)
    document = files[-1].text
    differences = _write(files, folder, dry_run=dry_run, force=force)
    if as_json:
        click.echo(document, nl=False)
    else:
        _print(made, differences[: len(made.files)], [] if dry_run else [str(folder / file.path) for file in files])
    if not made.files and made.decisions and not any(step.command for step in made.steps[:-1]):
        sys.exit(UNDECIDED)


def _check_options(snapshot: Snapshot, *, chosen: bool, limits: bool) -> None:
    """Refuses options that mean nothing for a cluster of this cloud.

    Raises:
        ProblemsError: Which, and for which cloud they are.
    """
    aks = is_aks(snapshot)
    wrong = [
        Problem(rule="option-of-another-cloud", value=option, reason=f"is for clusters of {cloud}.", next_step=step)
        for option, given, cloud, step in (
            ("--set or --node-price", chosen and not aks, "AKS", "Leave it out."),
            ("--limits", limits and aks, "EKS", "A pool's maximum is in the pool: `headroom calc overlay` judges it."),
        )
        if given
    ]
    if wrong:
        raise ProblemsError(wrong, subject="command line")


def _limits(  # noqa: PLR0913 - the options of the command
    snapshot: Snapshot, stack: str, folder: Path, *, dry_run: bool, force: bool, as_json: bool
) -> None:
    from headroom.planning.limits_plan import plan_limits  # noqa: PLC0415 - only where it is asked for

    made = plan_limits(snapshot, stack)
    differences = _write(made.files, folder, dry_run=dry_run, force=force)
    if as_json:
        click.echo(json.dumps(plan_to_json(made), indent=1, ensure_ascii=False))
    else:
        _print(made, differences, [] if dry_run else [str(folder / file.path) for file in made.files])


def written_files(made: Plan) -> list[PlannedFile]:
    """The files of a plan and, last, the plan itself."""
    document = json.dumps(plan_to_json(made), indent=1, ensure_ascii=False) + "\n"
    return [
        *made.files,
        PlannedFile(path=plan_path(made), text=document, purpose="what `headroom verify` holds it to"),
    ]


def plan_path(made: Plan) -> str:
    """Where a plan is kept, relative to the checkout."""
    return f"stacks/plan.{made.stack or made.cluster or 'cluster'}.json"


def read_plan(path: Path) -> Plan:
    """A plan from its file.

    Raises:
        ProblemsError: It cannot be read, or is no plan.
    """
    try:
        return plan_from_json(json.loads(read_text(path, wrote="headroom plan")))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ProblemsError):
            raise
        problem = Problem(
            rule="plan-file",
            value=str(path),
            reason="is not JSON.",
            next_step="Name a file that `headroom plan` wrote.",
        )
        raise ProblemsError([problem], subject="plan") from None


def _recheck(path: Path, snapshot: Snapshot, *, as_json: bool) -> None:
    made = read_plan(path)
    found = recheck(made, snapshot, diagnosed(snapshot) if made.verdict in (Verdict.FOUND, Verdict.HEALTHY) else None)
    if as_json:
        told = {name: [problem.message for problem in getattr(found, name)] for name in ("changed", "unread")}
        click.echo(json.dumps({"holds": not found.problems, **told, "within": found.within}, indent=1))
    else:
        _print_recheck(path, made, found)
    if found.problems:
        sys.exit(CHANGED if found.changed else UNDECIDED)


def _print_recheck(path: Path, made: Plan, found: Recheck) -> None:
    """One fact a line, what decides last."""
    from headroom.report.text import clean  # noqa: PLC0415 - only where somebody looks

    for heading, texts in (
        ("within", found.within),
        ("unread", [problem.message for problem in found.unread]),
        ("changed", [problem.message for problem in found.changed]),
    ):
        for text in texts:
            click.echo(f"{heading} {clean(text, 2000)}")
    if found.problems:
        return
    because = "what changed is within its margins" if found.within else "everything that it rests on is as it was"
    click.echo(f"{path} still holds: {because}.")
    commands = [step.command for step in made.steps if step.command]
    following = next((command for command in commands if command.startswith("pulumi ")), next(iter(commands), ""))
    if following:
        click.echo(f"next: {following}")


def _undecided(diagnosis: Diagnosis) -> str:
    lines = ["The diagnosis is undecided, so there is no plan. It needs:"]
    lines += [
        f"  {needed.reading}: decides {needed.decides}" + (f"\n    {needed.command}" if needed.command else "")
        for needed in diagnosis.needed
    ]
    return "\n".join(lines)


def _growth(path: Path) -> dict[str, float]:
    """Addresses a day by zone, as `headroom calc forecast` fits them."""
    from headroom.capacity.forecast import Reading, forecast  # noqa: PLC0415 - only where a history is given

    series: defaultdict[str, list[Reading]] = defaultdict(list)
    problems: list[Problem] = []
    for number, row in enumerate(csv.DictReader(read_text(path).splitlines()), start=2):
        try:
            when = datetime.fromisoformat(row["time"])
            free = float(row["free"])
            if not 0 <= free <= ADDRESSES_OF_IPV4:  # not a number is in no range
                raise ValueError(row["free"])  # noqa: TRY301 - a wrong number is told as what is none
            series[row["zone"]].append(Reading(when.timestamp(), free))
        except (KeyError, TypeError, ValueError):
            problems.append(
                Problem(
                    rule="history",
                    key=f"{path.name}:{number}",
                    value=",".join(str(value) for value in row.values()),
                    reason="is no reading.",
                    next_step="Write the columns time (ISO 8601), zone and free.",
                )
            )
    if problems:
        raise ProblemsError(problems, subject=path.name)
    found = {zone: forecast(readings).per_day for zone, readings in series.items()}
    return {zone: -change for zone, change in found.items() if change < 0}


def _write(files: Iterable[PlannedFile], folder: Path, *, dry_run: bool, force: bool) -> list[str]:
    """Writes the files, all or none of them, and returns their differences as a Git diff."""
    files = list(files)
    before = {file.path: _present(folder / file.path) for file in files}
    in_the_way = [
        Problem(
            rule="file-exists",
            value=str(folder / file.path),
            reason="says something else already.",
            next_step="Look at it, then plan with --force, or with another --stack.",
        )
        for file in files
        if before[file.path] not in (None, file.text)
    ]
    if in_the_way and not force and not dry_run:
        raise ProblemsError(in_the_way, subject="plan")
    if not dry_run:
        for file in files:
            try:
                (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
                (folder / file.path).write_text(file.text, encoding="utf-8")
            except OSError as error:
                problem = Problem(
                    rule="file", value=str(folder / file.path), reason=f"cannot be written: {error.strerror}."
                )
                raise ProblemsError([problem], subject="plan") from None
    return [_diff(file, before[file.path]) for file in files]


def difference(file: PlannedFile, folder: Path) -> str:
    """What a file of a plan changes in a checkout, as a Git diff."""
    return _diff(file, _present(folder / file.path))


def _present(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "" if path.exists() else None


def _diff(file: PlannedFile, before: str | None) -> str:
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        file.text.splitlines(keepends=True),
        fromfile=f"a/{file.path}" if before is not None else "/dev/null",
        tofile=f"b/{file.path}",
    )
    return "".join(lines)


def _print(made: Plan, differences: list[str], written: list[str]) -> None:
    """The plan for people: what it does, diff, decisions, steps, what is not touched, the way back, what it is not."""
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    plain = not sys.stdout.isatty()
    for heading, lines in (
        (f"PLAN   {made.cluster}: {', '.join(made.causes) or made.verdict}", [*_kept(made), *_facts_at(made)]),
        # What was weighed comes first: the end of it all is what stays on the screen, and that is what to do.
        ("NOT TAKEN", _rejected(made)),
        ("DIFF", [(text, _DIFF_STYLES.get(text[:1], "")) for part in differences for text in part.splitlines()]),
        ("WROTE", [(path, "") for path in written]),
        ("DECIDE", [(f"? {decision}", "yellow") for decision in made.decisions]),
        ("NEXT", _numbered(made.steps)),
        ("NOT TOUCHED", [(sentence, "") for sentence in made.untouched]),
        ("GO BACK", _numbered(made.rollback)),
    ):
        if not lines:
            continue
        console.print(Text(heading), style="bold", soft_wrap=True)
        for text, style in lines:
            # A command or a line of a file that is broken in two is another one once it is pasted.
            whole = plain or heading in ("DIFF", "WROTE") or style == _COMMAND
            line = f"  {text}" if whole else fill(text, console.width - 1, **_HANGING)
            console.print(Text(line, style=style), soft_wrap=whole)
        console.print()


_HANGING: Final[Any] = {
    "initial_indent": "  ",
    "subsequent_indent": "    ",
    "break_long_words": False,
    "break_on_hyphens": False,
}
_COMMAND: Final = "cyan"
_DIFF_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


def _kept(made: Plan) -> list[tuple[str, str]]:
    return [
        (
            f"✓ {option.title}. {option.reason}"
            + (f" Gives {sum(option.addresses.values()):,} addresses." if option.addresses else ""),
            "green",
        )
        for option in made.options
        if option.kept
    ]


def _facts_at(made: Plan) -> list[tuple[str, str]]:
    """How old the facts are that the plan rests on, and what holds it to those of the day on which it is applied."""
    from headroom.report.text import age  # noqa: PLC0415 - only where somebody looks

    if not made.facts_at:
        return []
    old = age(made.facts_at, datetime.now(UTC))
    told = f"Facts of {made.facts_at}{f', {old}' if old else ''}."
    again = f"  headroom plan --recheck {plan_path(made)} --cluster {quote(made.cluster)}"
    known_by = ("--subscription", "subscription"), ("--resource-group", "resource group")
    of_azure = made.foundations.get("cloud") == "azure"
    for option, name in known_by if of_azure else (("--region", "region"),):
        if value := made.foundations.get(name):
            again += f" {option} {quote(value)}"
    again += " --cloud aks" if of_azure else ""
    return [(f"{told} To see that they still hold, before it is applied:", "dim"), (again, _COMMAND)]


def _rejected(made: Plan) -> list[tuple[str, str]]:
    return [(f"- {option.title}: {option.reason}", "dim") for option in made.options if not option.kept]


def _numbered(steps: Sequence[Step]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for number, step in enumerate(steps, start=1):
        details = "; ".join(part for part in (step.takes, step.touches and f"touches {step.touches}") if part)
        lines.append((f"{number}. {step.what}" + (f" ({details})" if details else ""), ""))
        if step.command:
            lines.append((f"   {step.command}", _COMMAND))
    return lines
