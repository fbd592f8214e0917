"""Pulumi's language host for Python, for machines that have a built engine but no official CLI.

The engine looks for `pulumi-language-python` on PATH, starts it with its own address as the last
argument, reads a port from its standard output and then speaks the LanguageRuntime service. Programs
run through the executor script of Pulumi's SDK module. Attaching a debugger and installing
dependencies are left out: a rehearsal needs neither.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import IO


def protocol_alone() -> None:
    """Lets the protocol's modules be imported without the SDK that carries them, which takes twice as long to load.

    Only for a process that needs nothing else of the SDK.
    """
    sdk = importlib.util.find_spec("pulumi")
    for name in ("pulumi", "pulumi.runtime"):
        package = ModuleType(name)
        folders = (sdk and sdk.submodule_search_locations) or ()
        package.__path__ = [str(Path(folder, *name.split(".")[1:])) for folder in folders]
        sys.modules[name] = package


if __name__ == "__main__":
    # A host starts with every command of the engine, and the engine waits for it.
    protocol_alone()

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

ERROR_ALREADY_SHOWN = 32
"""The executor's exit code after it has reported the program's error to the engine itself."""

PARENT_CHECK_SECONDS = 1.0
"""How soon the host notices that an engine that was killed has gone."""

WORKERS = 16


class Children:
    """The programs and policy packs that run now; all of them go when the host goes."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def start(
        self,
        command: Sequence[str],
        *,
        context: grpc.ServicerContext,
        environment: Mapping[str, str],
        folder: str | None = None,
        output: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a command that is killed when the engine gives up the request."""
        process = subprocess.Popen(  # noqa: S603 - our own interpreter with the user's own program
            command, cwd=folder, env={**os.environ, **environment}, stdout=output, stderr=output
        )
        with self._lock:
            self._running.add(process)
        if not context.add_callback(process.kill):
            process.kill()  # the request ended while the process was starting
        return process

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Waits for the end of a command."""
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def kill_all(self) -> None:
        """Ends everything; takes no lock, because a signal handler calls it."""
        for process in tuple(self._running):
            process.kill()


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The LanguageRuntime service, as far as running programs and policy packs goes."""

    def __init__(self, *, engine: str, executor: Path, children: Children) -> None:
        self._engine = engine
        self._executor = executor
        self._children = children

    def Handshake(  # noqa: N802 - gRPC names
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Greets the engine."""
        del request, context
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(  # noqa: N802 - gRPC names
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """The version of the SDK that programs run with."""
        del request, context
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def About(  # noqa: N802 - gRPC names
        self, request: language_pb2.AboutRequest, context: grpc.ServicerContext
    ) -> language_pb2.AboutResponse:
        """The interpreter that programs run in."""
        del request, context
        return language_pb2.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetRequiredPackages(  # noqa: N802 - gRPC names
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None: a rehearsal attaches its providers by name."""
        del request, context
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(  # noqa: N802 - gRPC names
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        """None, for the same reason."""
        del request, context
        return language_pb2.GetRequiredPluginsResponse()

    def GetProgramDependencies(  # noqa: N802 - gRPC names
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """None; only `pulumi about` shows them."""
        del request, context
        return language_pb2.GetProgramDependenciesResponse()

    def RuntimeOptionsPrompts(  # noqa: N802 - gRPC names
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        """Nothing to ask: Pulumi.yaml names toolchain and environment."""
        del request, context
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(  # noqa: N802 - gRPC names
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """The engine is shutting down: nothing may linger."""
        del request, context
        self._children.kill_all()
        return empty_pb2.Empty()

    def Run(  # noqa: N802 - gRPC names
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        """Runs a program to its end."""
        options = {
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "dry_run": "true" if request.dryRun else "false",
            "monitor": request.monitor_address,
            "engine": self._engine,
        }
        program = Path(request.info.program_directory) / request.info.entry_point
        process = self._children.start(
            [
                sys.executable,
                "-u",
                str(self._executor),
                *(word for name, value in options.items() for word in (f"--{name}", value)),
                str(program),
                *request.args,
            ],
            context=context,
            environment={
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            },
        )
        code = self._children.wait(process)
        if code == ERROR_ALREADY_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"the program exited with code {code}" if code else "")

    def RunPlugin(  # noqa: N802 - gRPC names
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Runs a policy pack, or another plugin written in Python, and passes on what it prints."""
        if request.kind == "analyzer":
            # A pack's own arguments are the engine's address alone; it has to be told where it lies.
            words = ["-m", "pulumi.policy", *request.args, request.info.program_directory]
        else:
            words = [str(Path(request.info.program_directory) / request.info.entry_point), *request.args]
        process = self._children.start(
            [sys.executable, "-u", *words],
            context=context,
            environment=dict(pair.split("=", 1) for pair in request.env),
            folder=request.pwd or None,
            output=subprocess.PIPE,
        )
        yield from _passed_on(process)
        yield language_pb2.RunPluginResponse(exitcode=self._children.wait(process))


def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """What a process prints on both its streams, line by line, until both have closed."""
    lines: SimpleQueue[language_pb2.RunPluginResponse | None] = SimpleQueue()

    def read(stream: IO[bytes], wrap: Callable[[bytes], language_pb2.RunPluginResponse]) -> None:
        for line in stream:
            lines.put(wrap(line))
        lines.put(None)

    readers = [
        (process.stdout, lambda line: language_pb2.RunPluginResponse(stdout=line)),
        (process.stderr, lambda line: language_pb2.RunPluginResponse(stderr=line)),
    ]
    for stream, wrap in readers:
        threading.Thread(target=read, args=(stream, wrap), daemon=True).start()
    still_open = len(readers)
    while still_open:
        line = lines.get()
        if line is None:
            still_open -= 1
        else:
            yield line


def main() -> None:
    """Serves one engine until it goes."""
    parser = argparse.ArgumentParser(prog="pulumi-language-python", description=__doc__)
    parser.add_argument("--executor", type=Path, required=True, help="the script that runs a program")
    parser.add_argument("engine", help="the engine's address")
    options, _ = parser.parse_known_args()
    children = Children()

    def leave(*_: object) -> None:
        children.kill_all()
        os._exit(0)

    # A Ctrl-C in the terminal reaches the host as well: it leaves without a trace, the engine reports.
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS))
    host = LanguageHost(engine=options.engine, executor=options.executor, children=children)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    leave()


if __name__ == "__main__":
    main()
