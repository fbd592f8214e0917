"""`headroom check`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from policies.capacity import zones
from policies.configuration import RuleConfig, read_configuration
from policies.doors import documents, stack_file
from policies.pack import RULES, VERSION, Judgement, judge, schemas
from policies.reports import Check, bar, by_rule, kind_of, place_of, to_json, to_markdown, to_sarif
from policies.resources import Place, Resource, Resources

if TYPE_CHECKING:
    from policies.doors.program import ProgramRun, Project

EXIT_CODES: Final = {"clean": 0, "violation": 1, "undecided": 3}
"""2, for bad input, is `headroom.cli`'s."""

STDIN: Final = "-"


class _Source:
    """What was given: its resources, those before the change, what else is known, and what was not asked."""

    def __init__(  # noqa: PLR0913 - what a door may know
        self,
        door: str,
        resources: list[Resource],
        *,
        before: list[Resource] | None = None,
        facts: Mapping[str, Mapping[str, Any]] | None = None,
        unasked: list[str] | None = None,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        self.door = door
        self.resources = Resources(resources)
        self.before = None if before is None else Resources(before)
        self.facts = facts or {}
        self.unasked = unasked or []
        self.places = places or {}


@click.command()
@click.argument("source", default=".")
@click.option("--stack", help="Run the program in the folder SOURCE with this stack's configuration.")
@click.option("--policy-config", type=click.Path(path_type=Path), help="What `pulumi --policy-pack-config` takes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option("--sarif", type=click.Path(path_type=Path), help="Write SARIF 2.1.0 here too.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the pull request's comment here too.")
def check(  # noqa: PLR0913 - one argument for each option
    source: str,
    stack: str | None,
    policy_config: Path | None,
    *,
    as_json: bool,
    sarif: Path | None,
    markdown: Path | None,
) -> None:
    """Judge a stack by the policy pack's rules, without an engine or credentials.

    \b
    headroom check stacks/Pulumi.prod.yaml      an emergency stack, by its file
    headroom check . --stack prod               any Python program, run in this process
    pulumi preview --json --show-sames | headroom check -
    pulumi stack export | headroom check -      what already runs

    Exit code 0: clean; 1: a violation; 2: bad input; 3: something could not be decided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    given = _open(source, stack)
    configuration = _configuration(policy_config, given.facts)
    size = configuration.get("pod-subnet-size", RuleConfig()).properties
    result = Check(
        source=source if stack is None else f"{source} ({stack})",
        door=given.door,
        resources=len(given.resources),
        judgements=judge(given.resources, configuration, datetime.now(UTC).date()),
        zones=zones(given.resources, given.before, size),
        unasked=given.unasked,
        places=given.places,
    )
    if sarif is not None:
        _write(sarif, json.dumps(to_sarif(result, VERSION), indent=2, ensure_ascii=False) + "\n")
    if markdown is not None:
        _write(markdown, to_markdown(result))
    if as_json:
        click.echo(json.dumps(to_json(result), indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _print_terminal(result)
    else:
        _print_plain(result)
    sys.exit(EXIT_CODES[result.verdict])


def _open(source: str, stack: str | None) -> _Source:
    path = Path(source)
    if stack is not None or path.is_dir():
        return _run(path, stack)
    text = sys.stdin.read() if source == STDIN else _read(path)
    if path.suffix in (".yaml", ".yml"):
        declared = stack_file.declared(stack_file.load(path, text))
        return _Source("stack file", declared.resources, facts=declared.facts, places=declared.places)
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        step = "Give a stack file, the output of `pulumi preview --json --show-sames`, or of `pulumi stack export`."
        raise _refused(source, f"is not JSON: {error}.", step) from None
    kind = documents.kind_of(document)
    if kind == "preview":
        resources = documents.from_preview(document)
        before = [step["oldState"] for step in document.get("steps") or () if _has_old(step)]
        return _Source(
            "preview",
            resources,
            before=documents.from_state({"deployment": {"resources": before}}),
        )
    if kind == "state":
        return _Source("state", documents.from_state(document))
    raise _refused(source, "is neither a preview nor a state.", "Write it with `pulumi preview --json --show-sames`.")


def _has_old(step: object) -> bool:
    return isinstance(step, dict) and isinstance(step.get("oldState"), dict)


def _run(folder: Path, stack: str | None) -> _Source:
    # The Pulumi SDK costs more than all else here, and the other doors do without it.
    from policies.doors.program import read_project, run_program  # noqa: PLC0415

    project = read_project(folder)
    if stack is None:
        raise _refused(str(folder), "is a project: which stack is meant?", f"Add --stack: {_stacks(project)}.")
    path = project.stack_file(stack)
    if not path.is_file():
        raise _refused(str(path), "does not exist.", f"There are: {_stacks(project)}.")
    file = stack_file.load(path, _read(path))
    run: ProgramRun = run_program(project, stack, file.config)
    resources, facts, noted = run.resources, {}, {}
    if file.config.get("headroom:remedy") == stack_file.EMERGENCY:
        declared = stack_file.declared(file, project.name)
        places = {(resource.type, resource.name): resource.place for resource in declared.resources}
        facts, noted = dict(declared.facts), dict(declared.places)
        resources = [_placed(resource, places) for resource in resources]
    unasked = [
        f"The program asks the cloud ({token}), and nobody answers here: what it makes of the answer was not judged."
        for token in sorted(set(run.asked))
    ]
    return _Source("program", resources, facts=facts, unasked=unasked, places=noted)


def _placed(resource: Resource, places: Mapping[tuple[str, str], Any]) -> Resource:
    """The resource with its place in the stack file, where it has one: that is what a reviewer reads."""
    return replace(resource, place=places.get((resource.type, resource.name), resource.place))


def _stacks(project: "Project") -> str:
    found = sorted(path.stem.removeprefix("Pulumi.") for path in project.stack_files.glob("Pulumi.*.yaml"))
    return ", ".join(found) or "no stack file yet"


def _configuration(path: Path | None, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, RuleConfig]:
    """The configuration file over what the stack file knows."""
    written: dict[str, RuleConfig] = {}
    if path is not None:
        try:
            document = json.loads(_read(path))
        except (json.JSONDecodeError, RecursionError) as error:
            raise _refused(str(path), f"is not JSON: {error}.", "Write what the engine takes.") from None
        problems: list[Problem] = []
        written = read_configuration(document, schemas(), problems)
        if problems:
            raise ProblemsError(problems, subject=path.name)
    names = [rule.NAME for rule in RULES]
    return {
        name: RuleConfig({**facts.get(name, {}), **found.properties}, found.enforcement)
        for name in names
        for found in (written.get(name, RuleConfig()),)
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        step = "Name a stack file, a preview, a state export, or a folder with --stack."
        raise _refused(str(path), f"cannot be read: {error.strerror}.", step) from None
    except UnicodeDecodeError:
        raise _refused(str(path), "is not UTF-8 text.", "") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refused(str(path), f"cannot be written: {error.strerror}.", "Name a file in a folder.") from None


def _refused(value: str, reason: str, next_step: str) -> ProblemsError:
    return ProblemsError([Problem(rule="check", value=value, reason=reason, next_step=next_step)], subject="check")


def _where(result: Check, judgement: Judgement) -> str:
    place = place_of(result, judgement)
    return f"{place.file}:{place.line}" if place is not None else "-"


def _print_plain(result: Check) -> None:
    """One fact a line, for grep."""
    for judgement in result.judgements:
        click.echo(
            f"{kind_of(judgement)} {judgement.rule} {_where(result, judgement)} {' '.join(judgement.message.split())}"
        )
    for text in result.unasked:
        click.echo(f"undecided - - {text}")
    for zone in result.zones:
        needed = "not known" if zone.needed is None else f"{zone.needed:,}"
        click.echo(f"zone {zone.zone} holds {zone.after:,} needs {needed}")
    click.echo(_summary(result))


def _print_terminal(result: Check) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    marks = {
        "violation": ("✗ violation", "bold red"),
        "undecided": ("? undecided", "bold yellow"),
        "advisory": ("! advisory", "yellow"),
        "excepted": ("- let pass", "dim"),
    }
    remedies = {rule.NAME: rule.REMEDIATION for rule in RULES}
    for rule, judgements in by_rule(result.judgements):
        console.print(Text(rule, style="bold"))
        for judgement in judgements:
            word, style = marks[kind_of(judgement)]
            console.print(Text.assemble("  ", (word, style), f"  {_where(result, judgement)}"))
            console.print(Text(f"    {judgement.message}"))
        console.print(Text(f"    {remedies[rule]}", style="dim"))
    for text in result.unasked:
        console.print(Text.assemble(("? undecided", "bold yellow"), f"  {text}"))
    for zone in result.zones:
        needed = "not known" if zone.needed is None else f"{zone.needed:,}"
        console.print(Text(f"{zone.zone}  holds {zone.after:,}, needs {needed}  {bar(zone)}"))
    colours = {"clean": "green", "violation": "red", "undecided": "yellow"}
    console.print(Text(_summary(result), style=f"bold {colours[result.verdict]}"))


def _summary(result: Check) -> str:
    violations, undecided = len(result.of_kind("violation")), len(result.of_kind("undecided")) + len(result.unasked)
    following = {
        "clean": "Next: open the pull request.",
        "violation": "Next: write what each line says, and check again.",
        "undecided": "Next: say what is missing in --policy-config, or check a preview.",
    }[result.verdict]
    return (
        f"{result.verdict}: {violations} violation{'' if violations == 1 else 's'}, {undecided} undecided; "
        f"{result.resources} resources, {len(RULES)} rules ({result.door}). {following}"
    )
