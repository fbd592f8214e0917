"""`headroom check`."""

import contextlib
import gc
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.facts.names import is_stack_name
from policies.capacity import ZoneCapacity, zones
from policies.comment import counted, free_now, pod_addresses, to_markdown
from policies.configuration import RuleConfig, read_configuration
from policies.doors import history
from policies.doors.files import read, refused
from policies.doors.source import Source, changed_stack_files, open_source, read_json
from policies.free import SubnetNow, by_zone, described
from policies.pack import RULES, VERSION, Judgement, judge, schemas
from policies.reports import (
    Check,
    Refused,
    Report,
    bar,
    by_rule,
    kind_of,
    place_of,
    to_code_quality,
    to_json,
    to_sarif,
)

if TYPE_CHECKING:
    from rich.console import Console

EXIT_CODES: Final = {"clean": 0, "violation": 1, "undecided": 3}
"""2, for bad input, is `headroom.cli`'s."""

SHOWN: Final = 20
"""Findings of one rule that a terminal shows; `--json` has all of them."""

Facts = tuple[Sequence[SubnetNow], str]
"""Subnets with their free addresses, and where these were read."""


@click.command()
@click.argument("source", nargs=-1)
@click.option("--stack", help="Run the program in the folder SOURCE with this stack's configuration.")
@click.option("--base", help="Show what was before: a file, or a branch or commit. Without SOURCE: what changed since.")
@click.option("--policy-config", type=click.Path(path_type=Path), help="What `pulumi --policy-pack-config` takes.")
@click.option("--facts", type=click.Path(path_type=Path), help="What `aws ec2 describe-subnets` prints: free now.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option("--sarif", type=click.Path(path_type=Path), help="Write SARIF 2.1.0 here too.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the pull request's comment here too.")
@click.option("--code-quality", type=click.Path(path_type=Path), help="Write GitLab's code quality report here too.")
def check(  # noqa: PLR0913 - one argument for each option
    source: tuple[str, ...],
    stack: str | None,
    base: str | None,
    policy_config: Path | None,
    facts: Path | None,
    *,
    as_json: bool,
    sarif: Path | None,
    markdown: Path | None,
    code_quality: Path | None,
) -> None:
    """Judge stacks by the policy pack's rules, without an engine or credentials.

    \b
    headroom check stacks/Pulumi.prod.yaml      an emergency stack, by its file
    headroom check --base origin/main           every stack file that this branch changes
    headroom check . --stack prod               any Python program, run in this process
    pulumi preview --json --show-sames | headroom check -
    pulumi stack export | headroom check -      what already runs

    Exit code 0: clean; 1: a violation; 2: bad input; 3: something could not be decided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    names, since = _sources(source, stack, base, policy_config)
    written, now = _written(policy_config), _facts(facts)
    today = datetime.now(UTC).date()
    checks: list[Check] = []
    unread: list[Refused] = []
    with _uncollected():
        for name in names:
            try:
                checks.append(_checked(open_source(name, stack, base), written, now, today))
            except ProblemsError as error:
                unread.append(Refused(name, error.problems))
    report = Report(checks=checks, refused=unread, since=since)
    _write(sarif, lambda: _json(to_sarif(report, VERSION)))
    _write(markdown, lambda: to_markdown(report))
    _write(code_quality, lambda: _json(to_code_quality(report)))
    _print(report, as_json=as_json)
    if unread:
        raise ProblemsError(
            [problem for item in unread for problem in item.problems],
            subject=unread[0].source if len(unread) == 1 else "check",
        )
    sys.exit(EXIT_CODES[report.verdict])


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leaves garbage lying: a provider's SDK makes so many objects that looking for it takes a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _sources(
    named: Sequence[str], stack: str | None, base: str | None, policy_config: Path | None
) -> tuple[list[str], str]:
    """What is to be checked, and the commit since which it was looked for."""
    if not named and base is not None and stack is None:
        if Path(base).is_file():
            raise refused(base, "is a file, and nothing was named to compare with it.", "Name a SOURCE.")
        commit = history.start_of_change(base)
        return [str(path) for path in changed_stack_files(commit, policy_config)], commit
    if len(named) > 1 and base is not None and Path(base).is_file():
        raise refused(base, f"is one file, and {len(named)} were named.", "Name a branch or a commit, or one SOURCE.")
    return list(named) or ["."], ""


def _checked(given: Source, written: Mapping[str, RuleConfig], facts: Facts | None, today: date) -> Check:
    configuration = {
        rule.NAME: RuleConfig({**given.facts.get(rule.NAME, {}), **found.properties}, found.enforcement)
        for rule in RULES
        for found in (written.get(rule.NAME, RuleConfig()),)
    }
    size = configuration.get("pod-subnet-size", RuleConfig()).properties
    subnets, free_from = facts if facts is not None else (given.subnets, given.free_from)
    return Check(
        source=given.name,
        door=given.door,
        resources=len(given.resources),
        judgements=judge(given.resources, configuration, today),
        zones=zones(given.resources, given.before, size, by_zone(subnets, given.resources)),
        unasked=given.unasked,
        places=given.places,
        file=given.file,
        free_from=free_from,
        notes=[*given.notes, *_unjudged(given)],
        next_check=_next_check(given),
    )


def _next_check(given: Source) -> str:
    if not given.unjudged:
        return ""
    # The name is the file's, which can hold what a shell or a terminal would act on.
    return f"headroom check . --stack {given.stack if is_stack_name(given.stack) else 'NAME'}"


def _unjudged(given: Source) -> Iterator[str]:
    if given.unjudged:
        yield (
            f"{' and '.join(given.unjudged)} of {given.name}: judged by file, as far as the rules look. "
            f"`{_next_check(given)}` reads it as the program does."
        )


def _written(path: Path | None) -> dict[str, RuleConfig]:
    """The policy configuration."""
    if path is None:
        return {}
    problems: list[Problem] = []
    found = read_configuration(read_json(path, read(path), "Write what the engine takes."), schemas(), problems)
    if problems:
        raise ProblemsError(problems, subject=path.name)
    return found


def _facts(path: Path | None) -> Facts | None:
    if path is None:
        return None
    step = "Write what `aws ec2 describe-subnets --output json` prints."
    found = described(read_json(path, read(path), step))
    if found is None:
        raise refused(str(path), "holds no subnets.", step)
    return found, f"as {path.name} has it"


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        path.write_text(text(), encoding="utf-8")
    except OSError as error:
        raise refused(str(path), f"cannot be written: {error.strerror}.", "Name a file in a folder.") from None


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        # A single source that cannot be read has no result.
        if report.checks or report.since:
            click.echo(_json(to_json(report)), nl=False)
    elif not report.checks and not report.refused:
        click.echo(f"clean: no stack file has changed since {report.since[:12]}.")
    elif sys.stdout.isatty():
        _print_terminal(report)
    else:
        _print_plain(report)


def _where(result: Check, judgement: Judgement) -> str:
    place = place_of(result, judgement)
    return f"{place.file}:{place.line}" if place is not None else "-"


def _print_plain(report: Report) -> None:
    """One fact a line, for grep."""
    several = len(report.checks) > 1
    for result in report.checks:
        for judgement in result.judgements:
            message = " ".join(judgement.message.split())
            click.echo(f"{kind_of(judgement)} {judgement.rule} {_where(result, judgement)} {message}")
        for text in result.unasked:
            click.echo(f"undecided - {result.source} {text}")
        for text in result.notes:
            click.echo(f"note - {result.source} {text}")
        for zone in result.zones:
            source = f" {result.source}" if several else ""
            click.echo(f"zone {zone.zone} holds {zone.after:,} needs {_needed(zone)}{_known(zone)}{source}")
        click.echo(_summary(result, several=several))
    if several:
        click.echo(_total(report))


def _needed(zone: ZoneCapacity) -> str:
    return "not known" if zone.needed is None else f"{zone.needed:,}"


def _known(zone: ZoneCapacity) -> str:
    """What may be known beside it."""
    before = "" if zone.before is None else f" before {zone.before:,}"
    return before + ("" if zone.free is None else f" free {free_now(zone)}")


_WORDS: Final = {
    "violation": ("✗ violation", "bold red"),
    "undecided": ("? undecided", "bold yellow"),
    "advisory": ("! advisory", "yellow"),
    "excepted": ("- let pass", "dim"),
}
_COLOURS: Final = {"clean": "green", "violation": "red", "undecided": "yellow"}


def _print_terminal(report: Report) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks

    console = Console(highlight=False)
    several = len(report.checks) > 1
    for result in report.checks:
        if several:
            console.print(result.source, style="bold underline", markup=False)
        _print_findings(console, result)
        if result.zones:
            _print_zones(console, result)
        console.print(_summary(result), style=f"bold {_COLOURS[result.verdict]}", markup=False)
    if several:
        console.print(_total(report), markup=False)


def _print_findings(console: "Console", result: Check) -> None:
    from rich.padding import Padding  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    def say(text: "Text | str", indent: int) -> None:
        console.print(Padding(text, (0, 0, 0, indent), expand=False))

    remedies = {rule.NAME: rule.REMEDIATION for rule in RULES}
    for rule, judgements in by_rule(result.judgements):
        say(Text(rule, style="bold"), 0)
        for judgement in judgements[:SHOWN]:
            say(Text.assemble(_WORDS[kind_of(judgement)], f"  {_where(result, judgement)}"), 2)
            say(Text(judgement.message), 4)
        if len(judgements) > SHOWN:
            say(Text(f"… and {len(judgements) - SHOWN:,} more: --json has all of them"), 2)
        if any(kind_of(judgement) != "excepted" for judgement in judgements):
            say(Text(remedies[rule], style="dim"), 4)
    for text in result.unasked:
        say(Text.assemble(_WORDS["undecided"], f"  {text}"), 0)
    for text in result.notes:
        say(Text(text, style="dim"), 0)


def _print_zones(console: "Console", result: Check) -> None:
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("zone")
    for name in ("free now", "pod addresses", "needed"):
        table.add_column(name, justify="right")
    table.add_column("")
    for zone in result.zones:
        style = "red" if zone.needed is not None and zone.needed > zone.after else ""
        cells = (zone.zone, free_now(zone), pod_addresses(zone), _needed(zone))
        table.add_row(*map(Text, cells), Text(bar(zone), style=style))
    console.print(table)
    for basis in sorted({zone.basis for zone in result.zones} - {""}):
        console.print(f"needed: {basis}", style="dim", markup=False)
    if result.free_from:
        console.print(f"free now: {result.free_from}", style="dim", markup=False)


_NEXT: Final = {
    "clean": {"state": "Next: nothing, what runs keeps to the rules.", "": "Next: open the pull request."},
    "violation": {"": "Next: write what each line says, and check again."},
    "undecided": {
        "preview": "Next: say what is missing in --policy-config, or check the state after `up`.",
        "": "Next: say what is missing in --policy-config, or check a preview.",
    },
}
"""What comes next, by verdict and door."""


def _summary(result: Check, *, several: bool = False) -> str:
    advisory = len(result.of_kind("advisory"))
    advised = f", {advisory:,} advisory" if advisory else ""
    source = f" {result.source}" if several else ""
    following = _NEXT[result.verdict].get(result.door) or _NEXT[result.verdict][""]
    if result.verdict == "clean" and result.next_check:
        following = f"Next: `{result.next_check}`, since not all of it was judged by file."
    return (
        f"{result.verdict}: {counted(len(result.of_kind('violation')), 'violation')}, {result.undecided:,} undecided"
        f"{advised}; {counted(result.resources, 'resource')}, {len(RULES)} rules ({result.door}{source}). {following}"
    )


def _total(report: Report) -> str:
    violations = sum(len(result.of_kind("violation")) for result in report.checks)
    undecided = sum(result.undecided for result in report.checks)
    return (
        f"{report.verdict}: {counted(violations, 'violation')}, {undecided:,} undecided in {len(report.checks)} "
        f"of {counted(len(report.checks) + len(report.refused), 'file')}"
    )
