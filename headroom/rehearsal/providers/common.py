"""The part of a stand-in Pulumi provider that does not depend on the cloud behind it.

A stand-in answers the engine's ResourceProvider service on the raw gRPC level, because only there are the
old inputs, the time-outs and detailed diffs handed over. It is started as an ordinary process, prints its
port as one line, and is attached with `PULUMI_DEBUG_PROVIDERS=PACKAGE:PORT`: one process then serves every
version and every instance of the package, and outlives the engine.
"""

import argparse
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
from google.protobuf import any_pb2, empty_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from headroom.rehearsal.providers.process import exit_with_stdin, stop_on_signals
from headroom.rehearsal.providers.values import (
    UNKNOWN,
    Difference,
    Properties,
    bridged,
    compare,
    decoded,
    is_below,
    plain,
    struct,
    with_ignored,
)

WORKERS = 64
"""Requests served at once; the engine runs as many as it has resources that wait for nothing."""

POLL_SECONDS = 0.1
"""How often a wait looks at the cloud again. The real providers wait seconds; a rehearsal is in a hurry."""

DEFAULT_PATIENCE_SECONDS = 30.0
"""How long an operation may take where the program sets no `custom_timeouts` (really: 5 to 20 minutes)."""

_DETAILS_KEY = "grpc-status-details-bin"


class ProviderError(Exception):
    """An operation failed; the text is what the engine prints."""


class PartlyDoneError(Exception):
    """The resource exists, but something that follows its creation or update failed.

    The engine keeps the resource in its state and marks it as not initialised, so that the next update
    mends it instead of making a second one.
    """

    def __init__(self, reason: str, *, identifier: str, state: Properties, inputs: Properties | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.identifier = identifier
        self.state = state
        self.inputs = inputs


class NotWantedError(Exception):
    """The engine has gone or has cancelled: a real provider would have died with it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One input that Check refuses; `property_name` may be empty for the resource as a whole."""

    property_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """A resource as it really is, and the inputs that would make it so."""

    state: Properties
    inputs: Properties
    identifier: str | None = None
    """The id to keep where it differs from the one asked for (imports by a composite id)."""


@dataclass(slots=True, eq=False)
class Connection:
    """One provider instance: the engine opens a connection for each and configures it."""

    configuration: Properties = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of the engine, as a resource type or function sees it.

    Attributes:
        configuration: The provider instance's configuration (camelCase, compound values decoded).
        urn: The resource's URN; empty for a function.
        patience: Seconds that this operation may wait for the cloud.
        is_wanted: False once the engine has cancelled, hung up or died.
        created: What a creation has made already, as id and state; see `note_created`.
        old_inputs: In a Check: the inputs that the resource had at its last one; empty for a new one.
        seed: In a Check: what a name that is left out is made of.
    """

    configuration: Properties
    urn: str
    patience: float
    is_wanted: Callable[[], bool]
    created: list[tuple[str, Properties]] = field(default_factory=list)
    old_inputs: Properties = field(default_factory=dict)
    seed: bytes = b""

    def note_created(self, identifier: str, state: Properties) -> None:
        """Say that the resource exists now, whatever else its creation still does.

        If that fails, or the engine cancels, the engine is told to keep the resource instead of losing it.
        """
        self.created[:] = [(identifier, state)]

    def check_wanted(self) -> None:
        """Raise NotWantedError if nobody waits for the answer any more; call it before each effect."""
        if not self.is_wanted():
            raise NotWantedError("the engine no longer waits for this operation")

    def wait_until(self, done: Callable[[], bool], *, reason: Callable[[], str], every: float = POLL_SECONDS) -> None:
        """Ask `done` again and again, with pauses of `every` seconds, until it holds.

        Raises:
            ProviderError: The patience ran out; `reason` says what was still missing.
            NotWantedError: The engine has gone.
        """
        deadline = time.monotonic() + self.patience
        while not done():
            self.check_wanted()
            if time.monotonic() >= deadline:
                raise ProviderError(f"{reason()} (timeout: {self.patience:g}s)")
            time.sleep(every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An update as the engine describes it."""

    old_state: Properties
    old_inputs: Properties
    new_inputs: Properties


_CURRENT: ContextVar[Call | None] = ContextVar("current_call", default=None)


def current_call() -> Call | None:
    """The request that this thread is serving; for hooks deep inside a cloud's client."""
    return _CURRENT.get()


class ResourceKind:
    """One resource type. Subclasses set `token` and implement create, read and delete (and update)."""

    token: str
    title: str
    """What error messages call it, such as `EC2 Subnet`."""
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    """Inputs that may be left out, and then are empty."""
    optional_computed: frozenset[str] = frozenset()
    """Inputs that may be left out, and then are chosen by the cloud: leaving them out is no difference."""
    not_simulated: frozenset[str] = frozenset()
    """Inputs that the real provider takes and this stand-in does not: refused, not ignored."""
    outputs: frozenset[str] = frozenset()
    """What the cloud alone decides; unknown in the preview of a creation."""
    replaces: frozenset[str] = frozenset()
    """Inputs that cannot be changed in place."""
    delete_before_replace: bool = False
    restores_ignored: bool = True
    """Whether an update takes what is ignored from the old state; the engine puts the old inputs there before."""
    write_only: frozenset[str] = frozenset()
    """Inputs that the cloud never tells again: compared with the old inputs, not with the old state."""

    @property
    def inputs(self) -> frozenset[str]:
        """Names of all inputs."""
        return self.required | self.optional | self.optional_computed

    @property
    def properties(self) -> frozenset[str]:
        """Names of all inputs and outputs."""
        return self.inputs | self.outputs

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """Inputs that are wrong; overridden ones call this first. Unknown values are not judged."""
        del call
        failures = [
            Failure(name, f"Missing required argument. The argument {json.dumps(name)} is required.")
            for name in sorted(self.required)
            if inputs.get(name) is None
        ]
        failures += [
            Failure(
                name,
                f"The rehearsal's stand-in for {self.token} does not simulate {json.dumps(name)}."
                if name in self.not_simulated
                else f"An argument named {json.dumps(name)} is not expected here.",
            )
            for name in sorted(inputs.keys() - self.inputs)
            if not name.startswith("__")
        ]
        return failures

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """The inputs that Check hands back: what was given and what the provider adds."""
        del call
        return inputs

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """The form in which two values are compared (a canonical CIDR, a sorted set, parsed JSON)."""
        del call, name
        return value

    def differences(self, call: Call, change: Change) -> list[Difference]:
        """What an update would change. The default compares the old state with the new inputs."""
        found: list[Difference] = []
        for name in sorted(self.inputs):
            old = (change.old_inputs if name in self.write_only else change.old_state).get(name)
            if name not in change.new_inputs and name in self.optional_computed:
                continue
            found += compare(
                name,
                self.compared(call, name, old),
                self.compared(call, name, change.new_inputs.get(name)),
                replace=name in self.replaces,
            )
        return found

    def deletes_before_replace(self, change: Change) -> bool:
        """Whether the old resource goes before its replacement comes."""
        del change
        return self.delete_before_replace

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """The state that a creation would have: inputs as given, everything else unknown."""
        del call
        unknown = dict.fromkeys(self.outputs | self.optional_computed, UNKNOWN)
        return {**unknown, **inputs}

    def preview_update(self, call: Call, change: Change) -> Properties:
        """The state after an update: the old one with the new inputs over it."""
        del call
        kept = {name: value for name, value in change.old_state.items() if name not in self.optional}
        return {**kept, **change.new_inputs}

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Make it; gives the id and the state."""
        raise NotImplementedError  # abstract: each resource type has its own

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """As it is now, or None if it is gone. For an import, state and inputs are empty."""
        raise NotImplementedError  # abstract: each resource type has its own

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Change it in place; gives the new state.

        The engine also calls it, without any difference, for a resource whose creation was not finished.
        The default looks at the resource again.
        """
        found = self.read(call, identifier, change.old_state, change.new_inputs)
        if found is None:
            raise ProviderError(f"updating {self.title} ({identifier}): it does not exist any more")
        return found.state

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Take it away; no error if it has gone already."""
        raise NotImplementedError  # abstract: each resource type has its own

    def explain(self, doing: str, error: Exception) -> str | None:
        """The text for an error of the cloud's API, or None if the error is the stand-in's own.

        `doing` is what was under way, such as `creating EC2 Subnet` or `deleting EC2 Subnet (subnet-1)`.
        """
        del doing, error
        return None


Function = Callable[[Call, Properties], Properties]
"""An invoke: arguments in, result out. Raises ProviderError."""


def token_of(urn: str) -> str:
    """The resource type in a URN (the last one, if it stands below components)."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """The resource's name in the program."""
    return urn.split("::", 3)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What one stand-in serves.

    Attributes:
        name: Pulumi's package name, such as `aws`.
        distribution: The Python package of its SDK; its version is what the stand-in reports.
        kinds: The resource types.
        functions: The invokes, by token.
        check_configuration: Problems of a provider's configuration.
        replacing_configuration: Configuration whose change makes every resource of the provider another one.
        explain: The text for an error of the cloud's API inside a function, or None if it is not one.
    """

    name: str
    distribution: str
    kinds: Iterable[ResourceKind]
    functions: Mapping[str, Function] = field(default_factory=dict)
    check_configuration: Callable[[Properties], Sequence[Failure]] = lambda _configuration: ()
    replacing_configuration: frozenset[str] = frozenset()
    explain: Callable[[str, Exception], str | None] = lambda _doing, _error: None


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The ResourceProvider service over a package's resource types and functions."""

    def __init__(
        self, package: Package, *, patience: float = DEFAULT_PATIENCE_SECONDS, log: Path | None = None
    ) -> None:
        self._package = package
        self._kinds = {kind.token: kind for kind in package.kinds}
        self._patience = patience
        self._connections: dict[str, Connection] = {}
        self._lock = threading.Lock()
        self._log = log.open("a", buffering=1, encoding="utf-8") if log else None

    # --- the instance -------------------------------------------------------------------------------------

    def Handshake(  # noqa: N802  # gRPC names
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Agree on the protocol. The engine unwraps secrets for us and marks them again by name."""
        del request, context
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=False, accept_resources=False, accept_outputs=False
        )

    def Attach(  # noqa: N802  # gRPC names
        self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Accept an engine that did not start us."""
        del request, context
        return empty_pb2.Empty()

    def Cancel(  # noqa: N802  # gRPC names
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Stop the waits of this engine; it comes at the end of every operation, so the process lives on."""
        del request
        self._connection(context).cancelled.set()
        return empty_pb2.Empty()

    def GetPluginInfo(  # noqa: N802  # gRPC names
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """The version of the SDK for which this stands in."""
        del request, context
        return plugin_pb2.PluginInfo(version=metadata.version(self._package.distribution))

    def CheckConfig(  # noqa: N802  # gRPC names
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Judge a provider's configuration."""
        with self._answering(context, "CheckConfig", request.urn):
            failures = self._package.check_configuration(decoded(plain(request.news)))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_wire_failures(failures))

    def DiffConfig(  # noqa: N802  # gRPC names
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Compare two configurations of a provider."""
        del context
        old, new = decoded(plain(request.old_inputs)), decoded(plain(request.news))
        replacing = self._package.replacing_configuration
        differences = [
            difference
            for name in sorted((old.keys() | new.keys()) - {"version", "pluginDownloadURL"})
            for difference in compare(name, old.get(name), new.get(name), replace=name in replacing)
        ]
        return _diff_response(differences, ignored=(), delete_before_replace=False)

    def Configure(  # noqa: N802  # gRPC names
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Take the configuration of the instance that this connection belongs to."""
        prefix = f"{self._package.name}:config:"
        variables = {name.removeprefix(prefix): value for name, value in request.variables.items()}
        with self._lock:
            self._connections[context.peer()] = Connection(decoded({**variables, **plain(request.args)}))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    # --- resources ----------------------------------------------------------------------------------------

    def Check(  # noqa: N802  # gRPC names
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Judge a resource's inputs."""
        with self._answering(context, "Check", request.urn):
            kind = self._kind(request.urn, context)
            call = replace(
                self._call(context, request.urn), old_inputs=plain(request.olds), seed=bytes(request.randomSeed)
            )
            inputs = plain(request.news)
            failures = kind.check(call, inputs)
            answer = struct(kind.with_defaults(call, inputs))
        return provider_pb2.CheckResponse(inputs=answer, failures=_wire_failures(failures))

    def Diff(  # noqa: N802  # gRPC names
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Compare what is with what is wanted."""
        with self._answering(context, "Diff", request.urn):
            kind, call = self._kind(request.urn, context), self._call(context, request.urn)
            change = Change(
                old_state=plain(request.olds),
                old_inputs=plain(request.old_inputs),
                new_inputs=plain(request.news),
            )
            differences = kind.differences(call, change)
        return _diff_response(
            differences, ignored=request.ignoreChanges, delete_before_replace=kind.deletes_before_replace(change)
        )

    def Create(  # noqa: N802  # gRPC names
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Make a resource, or say what it would look like."""
        with self._answering(context, "Preview" if request.preview else "Create", request.urn):
            kind = self._kind(request.urn, context)
            call = self._call(context, request.urn, request.timeout)
            inputs = plain(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(properties=struct(kind.preview_create(call, inputs)))
            with _keeping(call), _explaining(kind.explain, f"creating {kind.title}"):
                identifier, state = kind.create(call, inputs)
        return provider_pb2.CreateResponse(id=identifier, properties=struct(state))

    def Read(  # noqa: N802  # gRPC names
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        """Look at a resource: for a refresh, an import or a `get`. An empty id says that it has gone."""
        with self._answering(context, "Read", request.urn):
            kind = self._kind(request.urn, context)
            call = self._call(context, request.urn, request.timeout)
            with _explaining(kind.explain, f"reading {kind.title} ({request.id})"):
                found = kind.read(call, request.id, plain(request.properties), plain(request.inputs))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.identifier or request.id, properties=struct(found.state), inputs=struct(found.inputs)
        )

    def Update(  # noqa: N802  # gRPC names
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Change a resource in place, or say what it would look like."""
        with self._answering(context, "PreviewUpdate" if request.preview else "Update", request.urn):
            kind = self._kind(request.urn, context)
            call = self._call(context, request.urn, request.timeout)
            old_state = plain(request.olds)
            change = Change(
                old_state=old_state,
                old_inputs=plain(request.old_inputs),
                new_inputs=with_ignored(
                    old_state, plain(request.news), request.ignoreChanges if kind.restores_ignored else ()
                ),
            )
            if request.preview:
                return provider_pb2.UpdateResponse(properties=struct(kind.preview_update(call, change)))
            with _explaining(kind.explain, f"updating {kind.title} ({request.id})"):
                state = kind.update(call, request.id, change)
        return provider_pb2.UpdateResponse(properties=struct(state))

    def Delete(  # noqa: N802  # gRPC names
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Take a resource away."""
        with self._answering(context, "Delete", request.urn):
            kind = self._kind(request.urn, context)
            call = self._call(context, request.urn, request.timeout)
            with _explaining(kind.explain, f"deleting {kind.title} ({request.id})"):
                kind.delete(call, request.id, plain(request.properties))
        return empty_pb2.Empty()

    def Invoke(  # noqa: N802  # gRPC names
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        """Answer a function."""
        with self._answering(context, "Invoke", request.tok):
            function = self._package.functions.get(request.tok)
            if function is None:
                raise _NoStandInError(self._absence(request.tok, self._package.functions))
            with _explaining(self._package.explain, f"invoking {request.tok}"):
                result = function(self._call(context, ""), plain(request.args))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(struct(result))
        return response

    # --- helpers ------------------------------------------------------------------------------------------

    def _connection(self, context: grpc.ServicerContext) -> Connection:
        with self._lock:
            return self._connections.setdefault(context.peer(), Connection())

    def _call(self, context: grpc.ServicerContext, urn: str, timeout: float = 0) -> Call:
        connection = self._connection(context)
        call = Call(
            configuration=connection.configuration,
            urn=urn,
            patience=timeout or self._patience,
            is_wanted=lambda: context.is_active() and not connection.cancelled.is_set(),
        )
        _CURRENT.set(call)
        return call

    def _kind(self, urn: str, context: grpc.ServicerContext) -> ResourceKind:
        del context
        token = token_of(urn)
        if token not in self._kinds:
            raise _NoStandInError(self._absence(token, self._kinds))
        return self._kinds[token]

    def _absence(self, token: str, known: Iterable[str]) -> str:
        return (
            f"no stand-in for {token}: the rehearsal's provider for {self._package.name} knows "
            f"{', '.join(sorted(known))}"
        )

    @contextmanager
    def _answering(self, context: grpc.ServicerContext, method: str, subject: str) -> Iterator[None]:
        """Turn what goes wrong into the gRPC status that the engine shows, and log the request."""
        started = time.time()
        outcome = "OK"
        try:
            yield
        except _NoStandInError as error:
            outcome = str(error)
            context.abort(grpc.StatusCode.UNIMPLEMENTED, outcome)
        except ProviderError as error:
            outcome = str(error)
            context.abort(grpc.StatusCode.UNKNOWN, outcome)
        except NotWantedError as error:
            outcome = str(error)
            context.abort(grpc.StatusCode.CANCELLED, outcome)
        except PartlyDoneError as error:
            outcome = error.reason
            context.set_trailing_metadata(((_DETAILS_KEY, _partly_done(error)),))
            context.abort(grpc.StatusCode.UNKNOWN, outcome)
        except Exception as error:  # noqa: BLE001  # a bug of the stand-in: say where it is
            outcome = f"the stand-in itself failed: {type(error).__name__}: {error}"
            traceback.print_exc()
            context.abort(grpc.StatusCode.INTERNAL, f"{outcome}\n{traceback.format_exc()}")
        finally:
            if self._log:
                entry = {"time": started, "method": method, "subject": subject, "outcome": outcome}
                entry["seconds"] = round(time.time() - started, 4)
                self._log.write(json.dumps(entry) + "\n")


class _NoStandInError(Exception):
    """A type or function that the package does not carry."""


@contextmanager
def _keeping(call: Call) -> Iterator[None]:
    """Have the engine keep what was created before its creation failed."""
    try:
        yield
    except PartlyDoneError:
        raise
    except Exception as error:  # whatever went wrong, what exists must not be lost
        if not call.created:
            raise
        if not isinstance(error, ProviderError | NotWantedError):
            traceback.print_exc()
        identifier, state = call.created[0]
        raise PartlyDoneError(str(error), identifier=identifier, state=state) from error


@contextmanager
def _explaining(explain: Callable[[str, Exception], str | None], doing: str) -> Iterator[None]:
    try:
        yield
    except (ProviderError, PartlyDoneError, NotWantedError):
        raise
    except Exception as error:  # which errors are the cloud's own, its package knows; the others go on as they are
        text = explain(doing, error)
        if text is None:
            raise
        raise ProviderError(text) from error


def _partly_done(error: PartlyDoneError) -> bytes:
    failed = provider_pb2.ErrorResourceInitFailed(
        id=error.identifier, properties=struct(error.state), reasons=[error.reason]
    )
    if error.inputs is not None:
        failed.inputs.CopyFrom(struct(error.inputs))
    detail = any_pb2.Any()
    detail.Pack(failed)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=error.reason, details=[detail])
    return bytes(status.SerializeToString())


def _wire_failures(failures: Iterable[Failure]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=failure.property_name, reason=failure.reason) for failure in failures]


def _diff_response(
    differences: Iterable[Difference], *, ignored: Iterable[str], delete_before_replace: bool
) -> provider_pb2.DiffResponse:
    skipped = tuple(ignored)
    kept = [difference for difference in differences if not is_below(bridged(difference.path), skipped)]
    kind = provider_pb2.PropertyDiff
    detailed = {}
    for difference in kept:
        if difference.added:
            change = kind.ADD_REPLACE if difference.replace else kind.ADD
        elif difference.removed:
            change = kind.DELETE_REPLACE if difference.replace else kind.DELETE
        else:
            change = kind.UPDATE_REPLACE if difference.replace else kind.UPDATE
        detailed[difference.path] = kind(kind=change)
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if kept else response.DIFF_NONE,
        diffs=sorted({difference.top for difference in kept}),
        replaces=sorted({difference.top for difference in kept if difference.replace}),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=delete_before_replace,
    )


def serve(provider: Provider, port: int = 0) -> tuple[grpc.Server, int]:
    """Start serving on the loopback interface; gives the server and its port (0 lets the system choose)."""
    server = grpc.server(
        futures.ThreadPoolExecutor(WORKERS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, bound


def argument_parser(package: str) -> argparse.ArgumentParser:
    """The options that every stand-in has."""
    parser = argparse.ArgumentParser(description=f"A stand-in for Pulumi's {package} provider.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (default): any free one")
    parser.add_argument("--log", type=Path, help="append one JSON line for each request of the engine")
    parser.add_argument(
        "--patience",
        type=float,
        default=DEFAULT_PATIENCE_SECONDS,
        help="seconds that an operation may take where the program sets no custom timeout",
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="exit when standard input does (with the parent)"
    )
    return parser


def run(package: Package, options: argparse.Namespace) -> None:
    """Serve until a signal comes (or standard input closes); prints the port as one line."""
    stop_on_signals()
    if options.until_stdin_closes:
        exit_with_stdin()
    server, port = serve(Provider(package, patience=options.patience, log=options.log), options.port)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
