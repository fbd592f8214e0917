"""Opens what is to be checked: a stack file, a project's program, a preview or a state, and what it was before."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from headroom.addresses.problems import ProblemsError
from headroom.facts.names import is_stack_name
from headroom.planning.limits_policy import LIMITS, policy_facts
from policies import free
from policies.doors import documents, history, stack_file
from policies.doors.files import LARGEST, YAML, read, refused
from policies.doors.project import Project, project_of, read_project
from policies.free import SubnetNow
from policies.resources import Place, Resource, Resources

STDIN: Final = "-"
ANY_STACK: Final = "Pulumi.*.yaml"

BESIDE_RULES: Final[Mapping[str, Mapping[str, str]]] = {
    # Role, subnets and sizes of a group that belongs to somebody else: the stack changes its maximum alone.
    LIMITS: {"aws:eks/getNodeGroup:getNodeGroup": "How large a node group is now"},
    "watch": {"aws:secretsmanager/getSecretVersion:getSecretVersion": "The trigger's token"},
}
"""Look-ups, by the stack's remedy and by token, whose answers go into nothing that a rule looks at: what they ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was given, as the rules and the report need it.

    Attributes:
        name: As the user named it.
        door: `program`, `preview`, `state` or `stack file`.
        resources: The resources as they will be.
        before: Those before the change; None where that is not known.
        facts: By rule, what else is known, in the form of the rule's configuration.
        unasked: What could not be looked at, in words.
        places: Where single values of the configuration were written.
        file: The file that a finding without a place of its own is shown at.
        subnets: Subnets with their free addresses.
        free_from: Where these were read, in words; empty where they were not.
        notes: What the reader should know and decides nothing.
        unjudged: Keys of the stack file of which only the program itself can judge everything.
        stack: The stack's name; empty where the source does not tell.
    """

    name: str
    door: str
    resources: Resources
    before: Resources | None = None
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unasked: Sequence[str] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    file: str = ""
    subnets: Sequence[SubnetNow] = ()
    free_from: str = ""
    notes: Sequence[str] = ()
    unjudged: Sequence[str] = ()
    stack: str = ""


def open_source(name: str, stack: str | None = None, base: str | None = None) -> Source:
    """Opens one source.

    Args:
        name: A file, a project's folder, or `-` for standard input.
        stack: The stack whose program runs; None for a file.
        base: What it was before: a file, or a commit of the git repository; None where nobody asks.

    Raises:
        ProblemsError: It cannot be read, or is nothing of that kind.
    """
    path = Path(name)
    if stack is not None or path.is_dir():
        project, path = _project(path, stack)
        label = f"{name} ({stack})"
        return _with_base(replace(_run(project, path, read(path)), name=label), path, base)
    text = _standard_input() if name == STDIN else read(path)
    return _with_base(_opened(path, text, name), path, base)


def changed_stack_files(commit: str, policy_config: Path | None) -> list[Path]:
    """The stack files of the project here that differ from a commit; all of them where the policy configuration does.

    Raises:
        ProblemsError: There is no project here, or git cannot compare.
    """
    folder = read_project(Path()).stack_files
    # A configuration from elsewhere is no part of the change.
    ours = policy_config is not None and policy_config.resolve().is_relative_to(Path.cwd())
    if ours and policy_config is not None and history.changed_since(commit, policy_config.parent, policy_config.name):
        return sorted(folder.glob(ANY_STACK))
    return history.changed_since(commit, folder, ANY_STACK) if folder.is_dir() else []


def read_json(path: Path, text: str, next_step: str) -> Any:
    """A JSON document.

    Raises:
        ProblemsError: It is none.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        name = "Standard input" if str(path) == STDIN else str(path)
        raise refused(name, f"is not JSON: {error}.", next_step) from None


def _standard_input() -> str:
    text = sys.stdin.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise refused("Standard input", f"has more than {LARGEST:,} characters.", "")
    return text


def _opened(path: Path, text: str, name: str) -> Source:
    if path.suffix in YAML:
        return _stack_file(path, text)
    step = "Give a stack file, the output of `pulumi preview --json --show-sames`, or of `pulumi stack export`."
    try:
        return _where_written(_document(read_json(path, text, step), name))
    except RecursionError:
        raise refused(name, "is nested too deep.", step) from None


def _document(document: Any, name: str) -> Source:
    kind = documents.kind_of(document)
    if kind == "preview":
        resources = documents.from_preview(document)
        steps = [step for step in document.get("steps") or () if isinstance(step.get("oldState"), dict)]
        before = documents.from_state({"deployment": {"resources": [step["oldState"] for step in steps]}})
        return _with_outputs(
            Source(name=name, door=kind, resources=Resources(resources), before=Resources(before)),
            [*before, *resources],
        )
    if kind == "state":
        resources = documents.from_state(document)
        return _with_outputs(Source(name=name, door=kind, resources=Resources(resources)), resources)
    raise refused(name, "is neither a preview nor a state.", "Write it with `pulumi preview --json --show-sames`.")


def _where_written(source: Source) -> Source:
    """The same with the lines of the stack file, where that is one of the emergency stack's in the project here.

    What the engine tells of a resource is the line of the component that declares it: no reviewer mends that.
    """
    first = next((resource.urn for resource in source.resources), "")
    stack, project_name = [*first.removeprefix("urn:pulumi:").split("::"), "", ""][:2]
    try:
        project = read_project(Path())
        path = project.stack_file(stack)
        if project.name != project_name or not is_stack_name(stack) or not path.is_file():
            return source
        file = stack_file.load(path, read(path))
        if file.config.get(stack_file.REMEDY) != stack_file.EMERGENCY:
            return source
        declared = stack_file.declared(file, project.name)
    except ProblemsError:
        return source  # no project here, or a file that says nothing of this preview
    return replace(source, resources=Resources(_placed(source.resources, declared)), places=declared.places)


def _placed(resources: Iterable[Resource], declared: stack_file.Declared) -> list[Resource]:
    """The resources with their places in the stack file, where there is one: that is what a reviewer reads."""
    places = {(resource.type, resource.name): resource.place for resource in declared.resources}
    return [
        replace(resource, place=places.get((resource.type, resource.name), resource.place)) for resource in resources
    ]


def _with_outputs(source: Source, resources: Sequence[Resource]) -> Source:
    subnets = free.exported(resources)
    return replace(source, subnets=subnets, free_from=free.FROM_OUTPUTS) if subnets else source


def _stack_file(path: Path, text: str) -> Source:
    file = stack_file.load(path, text)
    if file.config.get(stack_file.REMEDY) != stack_file.EMERGENCY:
        project = project_of(path)
        # Without a project there is nothing to run, and `declared` says what would be.
        if project is not None:
            return _run(project, path, text)
    declared = stack_file.declared(file)
    return Source(
        name=str(path),
        door="stack file",
        resources=Resources(declared.resources),
        facts=declared.facts,
        places=declared.places,
        file=str(path),
        unjudged=declared.unjudged,
        stack=file.stack,
    )


def _project(folder: Path, stack: str | None) -> tuple[Project, Path]:
    project = read_project(folder)
    if stack is None:
        raise refused(str(folder), "is a project: which stack is meant?", f"Add --stack: {_stacks(project)}.")
    path = project.stack_file(stack)
    if not path.is_file():
        raise refused(str(path), "does not exist.", f"There are: {_stacks(project)}.")
    return project, path


def _stacks(project: Project) -> str:
    found = sorted(path.stem.removeprefix("Pulumi.") for path in project.stack_files.glob(ANY_STACK))
    return ", ".join(found) or "no stack file yet"


def _run(project: Project, path: Path, text: str) -> Source:
    """Runs the program of a project with the configuration of a stack file."""
    file = stack_file.load(path, text)
    try:
        # The Pulumi SDK costs more than all else here, and the other doors do without it.
        from policies.doors.program import run_program  # noqa: PLC0415
    except ModuleNotFoundError as error:
        step = (
            "Install what the program needs: requirements.lock (in a job of templates/ci: REQUIREMENTS); or check what "
            "`pulumi preview --json` writes."
        )
        reason = f"can only be judged by running its program, and {error.name} is not installed here."
        raise refused(str(path), reason, step) from None
    run = run_program(project, file.stack, file.config)
    beside = BESIDE_RULES.get(str(file.config.get(stack_file.REMEDY, "")), {})
    resources, facts, noted = run.resources, {}, {}
    if file.config.get(stack_file.REMEDY) == LIMITS:
        facts = dict(policy_facts(file.config))
    if file.config.get(stack_file.REMEDY) == stack_file.EMERGENCY:
        declared = stack_file.declared(file, project.name)
        facts, noted = dict(declared.facts), dict(declared.places)
        resources = _placed(resources, declared)
    return Source(
        name=str(path),
        door="program",
        resources=Resources(resources),
        facts=facts,
        unasked=[
            f"The program asks the cloud ({token}), and nobody answers here: "
            "what it makes of the answer was not judged."
            for token in sorted(set(run.asked) - beside.keys())
        ],
        notes=[
            f"{beside[token]} is asked for by `pulumi preview` alone ({token}); no rule judges it."
            for token in sorted(beside.keys() & set(run.asked))
        ],
        places=noted,
        file=str(path),
    )


def _with_base(source: Source, path: Path, base: str | None) -> Source:
    """The source with what it was before, where that can be told."""
    if base is None:
        return source
    if Path(base).is_file():
        return replace(source, before=open_source(base).resources)
    if not source.file:
        step = "A preview knows by itself what was before; for a state name a file."
        raise refused(base, f"is a commit, and a {source.door} is not kept in one.", step)
    commit = history.start_of_change(base)
    try:
        text = history.text_at(commit, path)
        before = Resources([]) if text is None else _stack_file(path, text).resources
    except ProblemsError as error:
        why = error.problems[0].message
        note = f"What the pod subnets were before is not known: {path.name} in {base} cannot be judged. {why}"
        return replace(source, notes=[*source.notes, note])
    return replace(source, before=before)
