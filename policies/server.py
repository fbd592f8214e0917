"""The process behind `--policy-pack`: answers the engine at once, and imports the rules while the program starts.

The engine starts the program only when the pack has told its policies and taken their configuration, so every
millisecond until then is waited for.
"""

import gc
import sys
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any, Final

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # the same
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]  # the same
from pulumi.runtime.proto import analyzer_pb2, plugin_pb2

from policies import notes

if TYPE_CHECKING:
    from policies.analyzer import Analyzer

LARGEST_MESSAGE: Final = 400 * 1024 * 1024
"""Bytes of one gRPC message: what the engine allows too (pulumi/pulumi, sdk/go/common/util/rpcutil)."""

THREADS: Final = 4

ACKNOWLEDGED: Final = ("Handshake", "ConfigureStack", "Cancel")
"""Methods of the service `Analyzer` (pulumi/pulumi, proto/pulumi/analyzer.proto) with nothing to say to."""

ANSWERED: Final = ("GetAnalyzerInfo", "GetPluginInfo", "Configure", "Analyze", "AnalyzeStack")
"""Methods that `Pack` has an answer to.

`Remediate` is in neither list: no rule changes a resource. The engine asks for it once a resource all the same, takes
UNIMPLEMENTED for "nothing to change" (sdk/go/common/resource/plugin/analyzer_plugin.go), and gets that in a quarter
of the time of an empty answer.
"""


class Pack:
    """Answers the engine: by what the last start noted of the rules, if they have not changed, and by the rules."""

    def __init__(self) -> None:
        self._mark = notes.fingerprint()
        noted = notes.read(self._mark)
        self._info = None if noted is None else analyzer_pb2.AnalyzerInfo.FromString(noted)
        self._rules_asked_for = threading.Event()
        self._rules: futures.Future[Analyzer] = futures.Future()
        self._configuration: Any = None
        self._configuring = threading.Lock()

    def load(self) -> None:
        """Imports the rules: now, or where they are known from a note, when the engine needs them or waits no more."""
        if self._info is not None:
            self._rules_asked_for.wait()
        try:
            rules = load()
        except BaseException as error:
            # Told to the engine too: it has its port and would wait for an answer.
            self._rules.set_exception(error)
            raise
        self._rules.set_result(rules)
        if self._info is None:
            info = rules.GetAnalyzerInfo(empty_pb2.Empty(), None)
            notes.write(self._mark, info.SerializeToString())

    def _analyzer(self) -> "Analyzer":
        """The rules with their configuration, once they are there."""
        self._rules_asked_for.set()
        rules = self._rules.result()
        with self._configuring:
            if self._configuration is not None:
                rules.Configure(self._configuration, None)
                self._configuration = None
        return rules

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """The policies."""
        return self._info or self._analyzer().GetAnalyzerInfo(request, context)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """The pack's version."""
        return plugin_pb2.PluginInfo(version=self.GetAnalyzerInfo(request, context).version)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Takes the configuration, which holds from the next request on."""
        del context
        with self._configuring:
            self._configuration = request
        self._rules_asked_for.set()
        return empty_pb2.Empty()

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Judges one resource."""
        return self._analyzer().Analyze(request, context)

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Judges all resources."""
        return self._analyzer().AnalyzeStack(request, context)


def load() -> "Analyzer":
    """Imports the rules."""
    # Modules stay until the end; looking for garbage in them while they load, and later again and again, finds none.
    gc.disable()
    try:
        from policies.analyzer import Analyzer  # noqa: PLC0415 - what the engine waits for comes first

        return Analyzer()
    finally:
        gc.freeze()
        gc.enable()


def serve() -> None:
    """Serves the engine until it ends this process, and tells it the port on standard output."""
    pack = Pack()
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=THREADS),
        options=[("grpc.max_receive_message_length", LARGEST_MESSAGE)],
    )
    server.add_generic_rpc_handlers((_handlers(pack),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        pack.load()
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(None)


def _handlers(pack: Pack) -> grpc.GenericRpcHandler:
    """The service."""
    service = analyzer_pb2.DESCRIPTOR.services_by_name["Analyzer"]

    def handler(name: str) -> grpc.RpcMethodHandler:
        method = service.methods_by_name[name]
        response = GetMessageClass(method.output_type)

        def acknowledge(request: Any, context: Any) -> Any:
            del request, context
            return response()

        return grpc.unary_unary_rpc_method_handler(
            getattr(pack, name) if name in ANSWERED else acknowledge,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=response.SerializeToString,
        )

    return grpc.method_handlers_generic_handler(
        service.full_name, {name: handler(name) for name in (*ANSWERED, *ACKNOWLEDGED)}
    )
