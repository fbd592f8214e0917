"""Runs a Pulumi program in this process, without the engine, credentials or a network.

Every resource that it registers is caught; ids and computed outputs are unknown, as in a preview. Nothing is checked
by a provider, and what the program asks the cloud stays unanswered: that is said, never guessed.
"""

import asyncio
import contextvars
import json
import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pulumi
import pulumi.runtime
import yaml
from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime import mocks, settings
from pulumi.runtime.proto import resource_pb2

from headroom.addresses.problems import Problem, ProblemsError
from policies.resources import Place, Resource, plain

STACK: Final = "pulumi:pulumi:Stack"
READ_STATE: Final = "pulumi:pulumi:readStackResourceOutputs"
"""Asks the engine for the stack's own state; without an engine there is none (stacks/adoption.py)."""


@dataclass(slots=True)
class ProgramRun:
    """What a program registered.

    Attributes:
        resources: Its resources.
        asked: What it asked the cloud, by token, without an answer.
    """

    resources: list[Resource] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class _Mocks(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return "", dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> Any:
        del args
        return {}  # nothing is known of the cloud here


class _Monitor(mocks.MockMonitor):
    """Catches registrations as they come over the wire, with their dependencies."""

    def __init__(self, run: ProgramRun, project: str, stack: str, base: Path) -> None:
        super().__init__(_Mocks())
        self._run, self._prefix, self._base = run, f"urn:pulumi:{stack}::{project}::", base

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The URN as the engine makes it: with the types of all components around, the stack's own left out."""
        above = parent.split("::")[2] if parent else ""
        return f"{self._prefix}{type_ if above in ('', STACK) else f'{above}${type_}'}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        properties = plain(json_format.MessageToDict(request.object))
        position = request.sourcePosition
        self._run.resources.append(
            Resource(
                type=request.type,
                name=request.name,
                urn=urn,
                properties=properties,
                parent=request.parent,
                protect=request.protect,
                dependencies={name: tuple(found.urns) for name, found in request.propertyDependencies.items()},
                place=_place(position.uri, position.line, self._base) if position.uri else None,
            )
        )
        # A provider answers a preview with the inputs; all else, the id first, stays unknown.
        return resource_pb2.RegisterResourceResponse(urn=urn, id="", object=request.object if request.custom else None)

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        urn = self.make_urn(request.parent, request.type, request.name)
        self._run.asked.append(f"{request.type} {request.id}")
        return resource_pb2.ReadResourceResponse(urn=urn, properties=request.properties)

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.tok != READ_STATE:
            self._run.asked.append(request.tok)
        return resource_pb2.ResourceInvokeResponse(**{"return": struct_pb2.Struct()})


class _Callbacks:
    """Takes the place of the SDK's callback server, which it starts for a real engine only."""

    def __init__(self, run: ProgramRun) -> None:
        self._run = run

    def register_resource_hook(self, hook: object) -> None:
        """Hooks run when something is made or deleted: here nothing is."""

    def register_error_hook(self, hook: object) -> None:
        """The same."""

    def register_stack_transform(self, transform: object) -> None:
        """A transform changes what is registered, and only the engine applies it: that is said."""
        del transform
        self._run.asked.append("a transform of its resources")

    register_stack_invoke_transform = register_stack_transform


def _place(uri: str, line: int, base: Path) -> Place:
    """Where a resource was declared, seen from where the command was given."""
    file = Path(uri.removeprefix("file://"))
    return Place(file=str(file.relative_to(base) if file.is_relative_to(base) else file), line=line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Pulumi project's folder.

    Attributes:
        folder: Where Pulumi.yaml is.
        name: The project's name.
        program: The program's folder or file.
        stack_files: Folder of the stack files.
        defaults: Defaults of its typed configuration, by key.
    """

    folder: Path
    name: str
    program: Path
    stack_files: Path
    defaults: Mapping[str, Any]

    def stack_file(self, stack: str) -> Path:
        """The stack's file."""
        return self.stack_files / f"Pulumi.{stack}.yaml"


def read_project(folder: Path) -> Project:
    """Reads Pulumi.yaml.

    Raises:
        ProblemsError: There is none, or it is not one of a Python program.
    """
    path = folder / "Pulumi.yaml"
    if not path.is_file():
        raise ProblemsError([_wrong(str(folder), "has no Pulumi.yaml.", "Name the folder of a Pulumi project.")])
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ProblemsError([_wrong(str(path), f"cannot be read as YAML: {error}.")]) from None
    runtime = document.get("runtime") if isinstance(document, dict) else None
    language = runtime.get("name") if isinstance(runtime, dict) else runtime
    if not isinstance(document, dict) or language != "python" or not isinstance(document.get("name"), str):
        step = "Use `pulumi preview --json --show-sames` and check what it writes."
        raise ProblemsError([_wrong(str(path), "is not the project of a Python program.", step)])
    name: str = document["name"]
    defaults = {
        key if ":" in key else f"{name}:{key}": item["default"]
        for key, item in (document.get("config") or {}).items()
        if isinstance(item, dict) and "default" in item
    }
    return Project(
        folder=folder,
        name=name,
        program=folder / str(document.get("main") or "."),
        stack_files=folder / str(document.get("stackConfigDir") or "."),
        defaults=defaults,
    )


def run_program(project: Project, stack: str, config: Mapping[str, Any]) -> ProgramRun:
    """Runs the program of a project with a stack's configuration.

    Raises:
        ProblemsError: The program refused, or failed.
    """
    run = ProgramRun()
    folder = project.program if project.program.is_dir() else project.program.parent
    before, path = Path.cwd(), list(sys.path)
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        # The SDK keeps its settings in context variables: a copy keeps ours from whoever called.
        contextvars.copy_context().run(_run, project, stack, config, run, before)
    except pulumi.RunError as error:
        raise ProblemsError([_wrong("The program", f"refuses its configuration: {error}")], subject=stack) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        asked = f" It had asked the cloud for {', '.join(sorted(set(run.asked)))}." if run.asked else ""
        reason = f"fails with {type(error).__name__}: {error} ({Path(place.filename).name} line {place.lineno}).{asked}"
        step = "Check what `pulumi preview --json --show-sames` writes instead."
        raise ProblemsError([_wrong("The program", reason, step)], subject=stack) from error
    finally:
        os.chdir(before)
        sys.path[:] = path
    return run


def _run(project: Project, stack: str, config: Mapping[str, Any], run: ProgramRun, base: Path) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(
            _Mocks(), project=project.name, stack=stack, preview=True, monitor=_Monitor(run, project.name, stack, base)
        )
        settings.SETTINGS.callbacks = cast("Any", _Callbacks(run))
        pulumi.runtime.set_all_config(*_config(project, config))

        def program() -> None:
            runpy.run_path(str(project.program), run_name="__main__")

        # Runs it and waits for every registration.
        pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)


def _config(project: Project, config: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The configuration as the engine hands it over: text, structures as JSON; secrets stay what they are."""
    merged = {
        **project.defaults,
        **{key if ":" in key else f"{project.name}:{key}": item for key, item in config.items()},
    }
    values: dict[str, str] = {}
    secret: list[str] = []
    for key, item in merged.items():
        if isinstance(item, dict) and set(item) == {"secure"}:
            secret.append(key)
            values[key] = "secret"
        elif isinstance(item, str):
            values[key] = item
        else:
            values[key] = json.dumps(item)
    return values, secret


def _wrong(value: str, reason: str, next_step: str = "") -> Problem:
    return Problem(rule="program", value=value, reason=reason, next_step=next_step)
