"""A stand-in for the Pulumi engine that records what a program registers and asks.

Pulumi's own mocks run no hooks, drop the options of a resource and leave an event loop open in every thread that
serves them; this one stands at the same place, on the wire, where nothing of a registration is lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import importlib
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from unittest import mock

import grpc  # type: ignore[import-untyped] # grpcio ships no types
import hypothesis
import pulumi
import pytest
import yaml
from botocore.loaders import JSONFileLoader
from google.protobuf import empty_pb2, json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime import mocks, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    Properties = Mapping[str, Any]
    Answer = Properties | None | Callable[[Properties], Properties]

# Nothing is timed in a test: the machines that run them are shared. `make quick` asks for the second of these, with
# fewer examples where a test names no number of its own.
_EXAMPLES: Final = {"shared-machine": 100, "quick": 30}
for _name, _examples in _EXAMPLES.items():
    hypothesis.settings.register_profile(
        _name, max_examples=_examples, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
# Tests import this file a second time, when pytest has chosen already.
if hypothesis.settings.get_current_profile_name() not in _EXAMPLES:
    hypothesis.settings.load_profile("shared-machine")


def _read_once() -> None:
    """Has botocore read each of its descriptions of a service once, and not for every session: EC2's is megabytes."""
    read = functools.cache(JSONFileLoader().load_file)

    def load_file(_: JSONFileLoader, file_path: str) -> Any:
        # A loader keeps nothing of its own.
        return read(file_path)

    JSONFileLoader.load_file = load_file  # type: ignore[assignment,method-assign]  # for the tests alone


_read_once()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Lets the garbage collector look seldom, and never at what modules made when they were imported.

    Looking through those millions of objects again and again took every tenth second of the tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000, 10, 10)
        gc.enable()


CHECKOUT = Path(__file__).parents[1]
STACK_TYPE = "pulumi:pulumi:Stack"
READ_STATE = "pulumi:pulumi:readStackResourceOutputs"
PROVIDER_MODULES = (
    "pulumi_aws.ec2",
    "pulumi_aws.cloudwatch",
    "pulumi_aws.eks",
    "pulumi_aws.iam",
    "pulumi_aws.lambda_",
    "pulumi_aws.sqs",
    "pulumi_aws.vpc",
    "pulumi_kubernetes.apps.v1",
    "pulumi_kubernetes.core.v1",
    "pulumi_kubernetes.meta.v1",
    "pulumi_kubernetes.apiextensions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One resource as the engine would be asked to register it. Resources are named "type name"."""

    type: str
    name: str
    parent: str
    inputs: Properties
    import_id: str
    protect: bool
    retain_on_delete: bool
    depends_on: frozenset[str]
    before_create: Sequence[str]
    before_update: Sequence[str]
    before_delete: Sequence[str]
    ignore_changes: Sequence[str]
    wire: bytes

    @property
    def label(self) -> str:
        return f"{self.type} {self.name}"

    @property
    def id(self) -> str:
        return self.import_id or f"{self.type.rpartition(':')[2]}-{self.name}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One function that was called."""

    token: str
    args: Properties


class LookupFailedError(grpc.RpcError):  # type: ignore[misc]  # no stubs in the lock
    """How the engine answers when a provider could not look something up."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return str(self)


@dataclass(slots=True)
class Recorder:
    """What a program registered, asked and exported, and the answers that it gets; None is one not known yet."""

    answers: dict[str, Answer] = field(default_factory=dict)
    registrations: list[Registration] = field(default_factory=list)
    in_order: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    hooks: dict[str, pulumi.ResourceHook] = field(default_factory=dict)
    component_outputs: dict[str, Properties] = field(default_factory=dict)
    stack_outputs: dict[str, Any] = field(default_factory=dict)

    def run(
        self,
        program: Callable[[], object],
        *,
        config: Mapping[str, object] | None = None,
        stack: str = "prod-use1-emergency",
        preview: bool = False,
    ) -> list[Registration]:
        """Runs a program to its end, and returns what it registered, by type and name.

        Args:
            program: Declares resources; what it returns is awaited.
            config: The stack's file: values are handed over as the engine does it, structures as JSON.
            stack: Name of the stack.
            preview: Whether this is a preview.
        """
        self.registrations.clear()
        self.asked.clear()
        texts = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in (config or {}).items()
            if value is not None
        }
        contextvars.copy_context().run(self._run, program, texts, stack, preview)
        self.in_order = self.labels()
        self.registrations.sort(key=lambda registration: registration.label)
        return list(self.registrations)

    def one(self, type_: str, name: str) -> Registration:
        """The registration of that type and name; fails where there is not exactly one."""
        found = [item for item in self.registrations if (item.type, item.name) == (type_, name)]
        assert len(found) == 1, f"{len(found)} of {type_} {name} among {self.labels()}"
        return found[0]

    def remember(self, *, without: Iterable[str] = ()) -> None:
        """From now on the state has what was registered last, except for the resources of these labels."""
        kept = [item for item in self.registrations if item.label not in without]
        above = {item.label: f"{item.type}$" for item in kept}
        urns = [f"urn:pulumi:any::headroom::{above.get(item.parent, '')}{item.type}::{item.name}" for item in kept]
        outputs = [{**item.inputs, **_computed(item)} for item in kept]
        self.answers[READ_STATE] = {
            "outputs": {
                urn: {"type": item.type, "outputs": held} for urn, item, held in zip(urns, kept, outputs, strict=True)
            }
        }

    @staticmethod
    def failing(message: str) -> Callable[[Properties], Properties]:
        """An answer that is none: the lookup fails with `message`."""

        def fail(_: Properties) -> Properties:
            raise LookupFailedError(message)

        return fail

    def labels(self) -> list[str]:
        return [registration.label for registration in self.registrations]

    def tokens(self) -> list[str]:
        return [asked.token for asked in self.asked]

    def record(self, request: Any) -> tuple[str, Properties]:
        """Notes a registration; its id, and its inputs, which are its outputs too."""
        inputs = json_format.MessageToDict(request.object)
        wire = type(request)()
        wire.CopyFrom(request)
        wire.ClearField("sourcePosition")
        wire.ClearField("stackTrace")
        dependencies = sorted(wire.dependencies)
        del wire.dependencies[:]
        wire.dependencies.extend(dependencies)
        self.registrations.append(
            Registration(
                type=request.type,
                name=request.name,
                parent=_label(request.parent),
                inputs=inputs,
                import_id=request.importId,
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                depends_on=_labels(request.dependencies),
                before_create=tuple(request.hooks.before_create),
                before_update=tuple(request.hooks.before_update),
                before_delete=tuple(request.hooks.before_delete),
                ignore_changes=tuple(request.ignoreChanges),
                wire=wire.SerializeToString(deterministic=True),
            )
        )
        return self.registrations[-1].id, {**inputs, **_ANSWERED.get(request.type, {})}

    def answer(self, token: str, args: Properties) -> Properties | None:
        """What the function answers; a test that did not say so fails."""
        self.asked.append(Asked(token, args))
        assert token in self.answers, f"the program calls {token}, for which this test has no answer"
        answer = self.answers[token]
        return answer(args) if callable(answer) else answer

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        """Takes the place of the SDK's callback server."""
        self.hooks[hook.name] = hook

    def _run(self, program: Callable[[], object], config: Mapping[str, str], stack: str, preview: bool) -> None:  # noqa: FBT001 - a context passes on positions only
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            mocks.set_mocks(
                cast("mocks.Mocks", None),
                project="headroom",
                stack=stack,
                preview=preview,
                organization="organization",
                monitor=cast("mocks.MockMonitor", _Monitor(self, stack)),
            )
            # The SDK starts its callback server for a real engine only, and registers no hook without one.
            settings.SETTINGS.callbacks = cast("Any", self)
            set_all_config(dict(config))
            # Nobody reads where a resource was declared, and the stack below a test is deep: a sixth of the time.
            with mock.patch("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace):
                pulumi.runtime.test(lambda: self._declare(program))()  # type: ignore[no-untyped-call] # untyped upstream
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            asyncio.set_event_loop(None)

    def _declare(self, program: Callable[[], object]) -> pulumi.Output[None]:
        returned = pulumi.Output.from_input(cast("Any", program()))
        root = settings.get_root_resource()
        assert isinstance(root, Stack)
        exported = pulumi.Output.from_input(root.outputs)
        return pulumi.Output.all(returned, exported).apply(lambda both: self.stack_outputs.update(both[1]))


class _Monitor:
    """The engine's side of the wire, as far as a program that only registers and asks needs it."""

    def __init__(self, recorder: Recorder, stack: str) -> None:
        self._recorder, self._stack = recorder, stack

    GetDeploymentInfo = mocks.MockMonitor.GetDeploymentInfo

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the wire's name
        above = request.parent.split("::")[2] if request.parent else ""
        types = request.type if above in ("", STACK_TYPE) else f"{above}${request.type}"
        urn = f"urn:pulumi:{self._stack}::headroom::{types}::{request.name}"
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        id_, outputs = self._recorder.record(request)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=_struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the wire's name
        self._recorder.component_outputs[_label(request.urn)] = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the wire's name
        answer = self._recorder.answer(request.tok, json_format.MessageToDict(request.args))
        if answer is None:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        return resource_pb2.ResourceInvokeResponse(**{"return": _struct(answer)})

    def SignalAndWaitForShutdown(self, _: Any) -> Any:  # noqa: N802 - the wire's name
        return empty_pb2.Empty()


def _struct(value: Properties) -> struct_pb2.Struct:
    return json_format.ParseDict(dict(value), struct_pb2.Struct())


def _computed(item: Registration) -> Properties:
    """What AWS adds to the inputs, as far as the program reads it in the state."""
    return {"arn": f"arn:aws:ec2:us-east-1:123456789012:any/{item.id}", "securityGroupRuleId": item.id}


_ANSWERED: Final[Mapping[str, Properties]] = {
    "azure-native:containerservice:ManagedCluster": {"identity": {"type": "UserAssigned"}},
    "azure-native:network:PublicIPAddress": {"ipAddress": "203.0.113.10"},
    "azure-native:network:PublicIPPrefix": {"ipPrefix": "203.0.113.16/30"},
}
"""What Azure answers in another form than it was asked, or adds, as far as a component reads it."""


def _label(urn: str) -> str:
    if not urn:
        return ""
    _, _, types, name = urn.split("::", 3)
    return f"{types.rpartition('$')[2]} {name}"


def _labels(urns: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_label, urns))


@pytest.fixture(scope="session")
def _provider_sdks() -> None:
    """Loads the SDKs, which load their parts at first use and then warn of what they themselves deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in PROVIDER_MODULES:
            # A module loads at the first look for any name in it.
            hasattr(importlib.import_module(module), "anything")


@pytest.fixture
def recorder(_provider_sdks: None) -> Recorder:
    """A fresh engine that records and does nothing."""
    return Recorder()


@pytest.fixture
def example_config() -> dict[str, Any]:
    """The example stack file, to be changed at will."""
    return stack_config(CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml")


def stack_config(path: Path) -> dict[str, Any]:
    """The configuration in a file of this repository, to be changed at will."""
    return copy.deepcopy(_parsed(path))


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
    return config
