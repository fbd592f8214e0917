"""The way from the API server to the nodes: a proxy that reaches what a simulated node serves, and nothing else.

A simulated node's address is that of no machine, so the real API server is told to dial nodes through this proxy
(HTTP CONNECT over a Unix socket, as its EgressSelectorConfiguration calls it). What it asks a node is answered here:
`kubectl get --raw …/pods/aws-node-x:61678/proxy/metrics` shows what the node's CNI counts.
"""

import shutil
import socketserver
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Page = Callable[[], str]
"""Makes the text of a page when it is asked for."""

_LONGEST_LINE = 8192
_NAME = "nodes.sock"


class NodeNetwork:
    """The proxy; a context manager that ends it."""

    def __init__(self) -> None:
        """Starts to listen."""
        self._pages: dict[tuple[str, int, str], Page] = {}
        # In a folder of its own: the name of a Unix socket must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="headroom-"))
        self.socket = self._folder / _NAME
        self._server = _Server(str(self.socket), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="node network", daemon=True)
        self._thread.start()

    def serve(self, address: str, port: int, path: str, page: Page) -> None:
        """Serves a page of a node.

        Args:
            address: The node's address.
            port: The port.
            path: The page's path.
            page: Makes its text.
        """
        self._pages[address, port, path] = page

    def reaches(self, address: str, port: int) -> bool:
        """Whether something listens there."""
        return any((where, at) == (address, port) for where, at, _ in self._pages)

    def page(self, address: str, port: int, path: str) -> str | None:
        """The text of a page; ``None`` where there is none."""
        made = self._pages.get((address, port, path))
        return None if made is None else made()

    def close(self) -> None:
        """Ends it; may be called again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, network: NodeNetwork) -> None:
        self.network = network
        super().__init__(path, _Tunnel)


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection: CONNECT, then the requests that go through it."""

    server: _Server

    def handle(self) -> None:
        """Serves until the caller hangs up."""
        method, target, _ = self._request()
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or not port.isdigit():
            return self._answer("400 Bad Request")
        if not self.server.network.reaches(host, int(port)):
            return self._answer("502 Bad Gateway")
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        while True:
            method, target, _ = self._request()
            if not method:
                return None
            text = self.server.network.page(host, int(port), target.partition("?")[0]) if method == "GET" else None
            self._answer("404 Not Found" if text is None else "200 OK", text or "")

    def _request(self) -> tuple[str, str, Mapping[str, str]]:
        """Method, target and headers of a request; empty where the caller has hung up."""
        words = self.rfile.readline(_LONGEST_LINE).decode("latin-1").split()
        headers: dict[str, str] = {}
        while line := self.rfile.readline(_LONGEST_LINE).decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if len(words) < 2:  # noqa: PLR2004 - a method and a target
            return "", "", headers
        return words[0], words[1], headers

    def _answer(self, status: str, text: str = "") -> None:
        body = text.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


def egress_selection(socket: Path) -> dict[str, Any]:
    """What tells the API server to dial nodes by this proxy (kube-apiserver, --egress-selector-config-file)."""
    return {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {
                "name": "cluster",
                "connection": {
                    "proxyProtocol": "HTTPConnect",
                    "transport": {"uds": {"udsName": str(socket)}},
                },
            }
        ],
    }
