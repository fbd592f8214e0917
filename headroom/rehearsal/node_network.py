"""The way from the API server to the nodes: a proxy that reaches what a simulated node serves, and nothing else.

A simulated node's address is that of no machine, so the real API server is told to dial nodes through this proxy
(HTTP CONNECT over a Unix socket, as its EgressSelectorConfiguration calls it). What it asks a node is answered here:
`kubectl get --raw …/pods/aws-node-x:61678/proxy/metrics` shows what the node's CNI counts. A kubelet speaks TLS; its
certificate is made here, and the API server, which was given no authority for kubelets, does not check it
(kube-apiserver, --kubelet-certificate-authority).
"""

import contextlib
import datetime as dt
import shutil
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Page = Callable[[], str]
"""Makes the text of a page when it is asked for."""

Answer = Callable[[str, Mapping[str, str]], str | None]
"""Answers a path and its query; ``None`` where there is nothing."""

_LONGEST_LINE = 8192
_NAME = "nodes.sock"


class NodeNetwork:
    """The proxy; a context manager that ends it."""

    def __init__(self) -> None:
        """Starts to listen."""
        self._pages: dict[tuple[str, int, str], Page] = {}
        self._kubelets: dict[tuple[str, int], Answer] = {}
        # In a folder of its own: the name of a Unix socket must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="headroom-"))
        self.socket = self._folder / _NAME
        self.tls = _tls(self._folder)
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

    def serve_tls(self, address: str, port: int, answer: Answer) -> None:
        """Serves a node's port by TLS, as its kubelet does.

        Args:
            address: The node's address.
            port: The port.
            answer: Answers each request.
        """
        self._kubelets[address, port] = answer

    def cut(self, address: str, port: int) -> None:
        """Ends what is served by TLS there: nothing listens any more."""
        self._kubelets.pop((address, port), None)

    def speaks_tls(self, address: str, port: int) -> bool:
        """Whether what listens there speaks TLS."""
        return (address, port) in self._kubelets

    def reaches(self, address: str, port: int) -> bool:
        """Whether something listens there."""
        return self.speaks_tls(address, port) or any((where, at) == (address, port) for where, at, _ in self._pages)

    def page(self, address: str, port: int, target: str) -> str | None:
        """The text of a page; ``None`` where there is none."""
        asked = urlsplit(target)
        answer = self._kubelets.get((address, port))
        if answer is not None:
            return answer(asked.path, {name: values[-1] for name, values in parse_qs(asked.query).items()})
        made = self._pages.get((address, port, asked.path))
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
        if not self.server.network.speaks_tls(host, int(port)):
            return self._converse(host, int(port))
        # The caller has sent nothing yet, since it had to wait for the line above.
        with (
            contextlib.suppress(OSError),  # the caller hung up in the middle
            self.server.network.tls.wrap_socket(self.connection, server_side=True) as secured,
            secured.makefile("rb") as self.rfile,
            secured.makefile("wb") as self.wfile,
        ):
            self._converse(host, int(port))
        return None

    def _converse(self, host: str, port: int) -> None:
        while True:
            method, target, _ = self._request()
            if not method or not self.server.network.reaches(host, port):
                return
            text = self.server.network.page(host, port, target) if method == "GET" else None
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
        self.wfile.flush()


def _tls(folder: Path) -> ssl.SSLContext:
    """A context for kubelets, with a certificate of their own making: what a kubelet has until one is approved."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated kubelet")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    both = folder / "kubelet.pem"
    both.touch(mode=0o600)
    both.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


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
