"""Runs a Pulumi program in this process, without the engine, credentials or a network.

Every resource that it registers is caught; ids and computed outputs are unknown, as in a preview. Nothing is checked
by a provider, and what the program asks the cloud stays unanswered: that is said, never guessed.
"""

import asyncio
import contextlib
import contextvars
import json
import os
import runpy
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pulumi
import pulumi.runtime
from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime import mocks, settings
from pulumi.runtime.proto import resource_pb2

from headroom.addresses.problems import Problem, ProblemsError
from policies.doors.project import Project
from policies.doors.sdk_imports import module_by_module
from policies.resources import Place, Resource, plain

STACK: Final = "pulumi:pulumi:Stack"
READ_STATE: Final = "pulumi:pulumi:readStackResourceOutputs"
"""Asks the engine for the stack's own state; without an engine there is none (stacks/recorded.py)."""


@dataclass(slots=True)
class ProgramRun:
    """What a program registered.

    Attributes:
        resources: Its resources.
        asked: What it asked the cloud, by token, without an answer.
    """

    resources: list[Resource] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


_AZURE: Final = "azure-native:"
_IDENTITY: Final = "identity"
"""What Azure answers in another form than it takes, a mapping of identities for a list of their ids: the SDK gives all
outputs up where it gets the list (pulumi-azure-native, converter.PreviewOutputs, leaves it unknown)."""


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
        self.run, self._prefix, self._base = run, f"urn:pulumi:{stack}::{project}::", base

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
        self.run.resources.append(
            Resource(
                type=request.type,
                name=request.name,
                urn=urn,
                properties=properties,
                parent=request.parent,
                protect=request.protect,
                ignore_changes=tuple(request.ignoreChanges),
                inputs=properties if isinstance(properties, dict) else {},
                dependencies={name: tuple(found.urns) for name, found in request.propertyDependencies.items()},
                place=_place(position.uri, position.line, self._base) if position.uri else None,
            )
        )
        # A provider answers a preview with the inputs; all else, the id first, stays unknown.
        answer = resource_pb2.RegisterResourceResponse(
            urn=urn, id="", object=request.object if request.custom else None
        )
        if request.type.startswith(_AZURE) and _IDENTITY in answer.object.fields:
            del answer.object.fields[_IDENTITY]
        return answer

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        urn = self.make_urn(request.parent, request.type, request.name)
        self.run.asked.append(f"{request.type} {request.id}")
        return resource_pb2.ReadResourceResponse(urn=urn, properties=request.properties)

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.tok != READ_STATE:
            self.run.asked.append(request.tok)
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


def run_program(project: Project, stack: str, config: Mapping[str, Any]) -> ProgramRun:
    """Runs the program of a project with a stack's configuration.

    Raises:
        ProblemsError: The program refused, or failed.
    """
    run = ProgramRun()
    program = project.program.absolute()
    folder = program if program.is_dir() else program.parent
    before, path, loaded = Path.cwd(), list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        # What it prints is not part of our answer. The SDK keeps its settings in context variables: a copy keeps
        # ours from whoever called.
        with contextlib.redirect_stdout(sys.stderr), module_by_module():
            monitor = _Monitor(run, project.name, stack, before)
            contextvars.copy_context().run(_run, program, project, stack, config, monitor)
    except pulumi.RunError as error:
        raise ProblemsError([_wrong("The program", f"refuses its configuration: {error}")], subject=stack) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        asked = f" It had asked the cloud for {', '.join(sorted(set(run.asked)))}." if run.asked else ""
        reason = f"fails with {type(error).__name__}: {error} ({Path(place.filename).name} line {place.lineno}).{asked}"
        step = "Check what `pulumi preview --json --show-sames` writes instead."
        raise ProblemsError([_wrong("The program", reason, step)], subject=stack) from error
    except SystemExit as error:
        raise ProblemsError([_wrong("The program", f"ends itself (exit code {error.code}).")], subject=stack) from None
    finally:
        os.chdir(before)
        sys.path[:] = path
        _forget(set(sys.modules) - loaded, folder)
    return run


def _forget(names: Iterable[str], folder: Path) -> None:
    """Takes the program's own modules out again: those that declare resources have to do so in the next run too."""
    for name in names:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(folder) and not Path(file).is_relative_to(sys.prefix):
            del sys.modules[name]


def _run(path: Path, project: Project, stack: str, config: Mapping[str, Any], monitor: _Monitor) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(_Mocks(), project=project.name, stack=stack, preview=True, monitor=monitor)
        settings.SETTINGS.callbacks = cast("Any", _Callbacks(monitor.run))
        pulumi.runtime.set_all_config(*_config(project, config))

        def program() -> None:
            runpy.run_path(str(path), run_name="__main__")

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
