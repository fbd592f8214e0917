"""The process behind `--policy-pack`: says its port at once, and imports the rules while the engine connects.

The engine starts the program only when the pack has told its policies, so every millisecond of this is waited for.
"""

import gc
import sys
from concurrent import futures
from typing import TYPE_CHECKING, Any, Final

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]  # the same
from pulumi.runtime.proto import analyzer_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.analyzer import Analyzer

LARGEST_MESSAGE: Final = 400 * 1024 * 1024
"""Bytes of one gRPC message: what the engine allows too (pulumi/pulumi, sdk/go/common/util/rpcutil)."""

THREADS: Final = 4

JUDGED: Final = ("GetAnalyzerInfo", "GetPluginInfo", "Configure", "Analyze", "AnalyzeStack")
"""Methods of the service `Analyzer` (pulumi/pulumi, proto/pulumi/analyzer.proto) that `policies.analyzer` answers.

`Remediate` is in neither list: no rule changes a resource. The engine asks for it once a resource all the same, takes
UNIMPLEMENTED for "nothing to change" (sdk/go/common/resource/plugin/analyzer_plugin.go), and gets that in a quarter
of the time of an empty answer.
"""

ACKNOWLEDGED: Final = ("Handshake", "ConfigureStack", "Cancel")
"""Methods with nothing to say to: answered at once, without the rules."""


def serve() -> None:
    """Serves the engine until it ends this process, and tells it the port on standard output."""
    analyzer: futures.Future[Analyzer] = futures.Future()
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=THREADS),
        options=[("grpc.max_receive_message_length", LARGEST_MESSAGE)],
    )
    server.add_generic_rpc_handlers((_handlers(analyzer.result),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        analyzer.set_result(load())
    except BaseException as error:
        # Told to the engine too: it has its port and would wait for an answer.
        analyzer.set_exception(error)
        raise
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(None)


def load() -> "Analyzer":
    """Imports the rules."""
    # Modules stay until the end; looking for garbage in them while they load, and later again and again, finds none.
    gc.disable()
    try:
        from policies.analyzer import Analyzer  # noqa: PLC0415 - the engine has its port by now

        return Analyzer()
    finally:
        gc.freeze()
        gc.enable()


def _handlers(analyzer: "Callable[[], Analyzer]") -> grpc.GenericRpcHandler:
    """The service; what needs the rules waits for them."""
    service = analyzer_pb2.DESCRIPTOR.services_by_name["Analyzer"]

    def handler(name: str) -> grpc.RpcMethodHandler:
        method = service.methods_by_name[name]
        response = GetMessageClass(method.output_type)

        def judge(request: Any, context: Any) -> Any:
            return getattr(analyzer(), name)(request, context)

        def acknowledge(request: Any, context: Any) -> Any:
            del request, context
            return response()

        return grpc.unary_unary_rpc_method_handler(
            judge if name in JUDGED else acknowledge,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=response.SerializeToString,
        )

    return grpc.method_handlers_generic_handler(
        service.full_name, {name: handler(name) for name in (*JUDGED, *ACKNOWLEDGED)}
    )
