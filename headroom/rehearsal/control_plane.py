"""A real Kubernetes control plane on this machine: etcd, API server, controllers and scheduler.

Nodes are objects only: nothing runs pods but who writes their status. The node lifecycle controller is
off, because nobody renews node leases; a Node's not-ready taint, which admission adds, stays until it
is removed.
"""

import contextlib
import datetime as dt
import ipaddress
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headroom.rehearsal.kube import Kube, kube_from
from headroom.rehearsal.node_network import egress_selection
from headroom.rehearsal.tools import Tools

SERVICE_CIDR = "172.20.0.0/16"
"""EKS's default range for services in a VPC of 10.0.0.0/8 (EKS user guide, create-cluster)."""

START_SECONDS = 60.0
"""Patience until everything is ready; it takes 3 to 5 s on an idle machine of two cores."""

STOP_SECONDS = 5.0
"""Patience between asking a process to leave and killing it."""

ATTEMPTS = 3
"""How often other ports are tried: between choosing one and binding it, another program may take it."""

REQUESTS_PER_SECOND = 2000
"""Client rate of controllers and scheduler; their defaults of 20 to 50 a second would stretch a burst of
1,200 pods over a minute (kube-controller-manager, --kube-api-qps)."""

_LOOPBACK = "127.0.0.1"
_EGRESS_FILE = "egress.json"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_POLL_SECONDS = 0.05
_LOG_TAIL = 1500

_WATCHDOG = 'while read -r pid; do [ "$pid" = done ] && exit; pids="$pids $pid"; done; kill -9 $pids 2>/dev/null'
"""Collects process ids from a pipe and kills them when the pipe breaks: even a killed parent leaves no orphan."""


class ControlPlaneError(RuntimeError):
    """A process of the control plane did not start; the text carries the end of its log."""


class _PortTakenError(ControlPlaneError):
    """A process found its port in use."""


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """A running control plane; a context manager that ends it.

    Attributes:
        folder: Where its data, logs and credentials are.
        server: The API server's address.
        kubeconfig: For `kubectl`, Pulumi and ourselves; its user is in `system:masters`.
    """

    folder: Path
    server: str
    kubeconfig: Path
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _watchdog: subprocess.Popen[bytes] | None = None

    def client(self, user_agent: str = "headroom-rehearsal") -> Kube:
        """A client of its API server."""
        return kube_from(self.kubeconfig, user_agent=user_agent)

    @property
    def authority(self) -> bytes:
        """The certificate authority of its API server, in PEM."""
        return (self.folder / "server.pem").read_bytes()

    @property
    def process_ids(self) -> dict[str, int]:
        """The processes by name, for measuring them."""
        return {name: process.pid for name, process in self._processes.items()}

    def check(self) -> None:
        """Raises ControlPlaneError if one of its processes has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self.folder / f"{name}.log"
                tail = log.read_text("utf-8", "replace")[-_LOG_TAIL:]
                kind = _PortTakenError if "address already in use" in tail else ControlPlaneError
                raise kind(f"{name} ended with code {process.returncode}; the end of {log}:\n{tail}")

    def close(self) -> None:
        """Ends all its processes and waits until they have gone; may be called again."""
        # Clients first: an API server waits for its watches, and the store is needed to the last.
        running = [process for process in reversed(self._processes.values()) if process.poll() is None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                # Nothing is worth saving, and a graceful API server takes its time.
                process.send_signal(signal.SIGKILL)
        for process in running:
            process.wait(STOP_SECONDS)
        watchdog, self._watchdog = self._watchdog, None
        if watchdog and watchdog.stdin:
            with contextlib.suppress(BrokenPipeError):
                watchdog.stdin.write(b"done\n")
                watchdog.stdin.close()
            watchdog.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Starts a process in a session of its own, so that a Ctrl-C in the terminal does not reach it."""
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(  # noqa: S603 - our own script
                ["/bin/sh", "-c", _WATCHDOG], stdin=subprocess.PIPE, start_new_session=True
            )
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - the tools that the set-up provided
                [str(word) for word in command],
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        if self._watchdog.stdin:
            self._watchdog.stdin.write(f"{process.pid}\n".encode())
            self._watchdog.stdin.flush()

    def _wait_until_ready(self, deadline: float) -> None:
        client = self.client()
        while not client.is_ready():
            self.check()
            if time.monotonic() > deadline:
                log = self.folder / "kube-apiserver.log"
                raise ControlPlaneError(
                    f"the API server was not ready within {START_SECONDS:.0f} s; the end of {log}:\n"
                    f"{log.read_text('utf-8', 'replace')[-_LOG_TAIL:]}"
                )
            time.sleep(_POLL_SECONDS)
        client.close()


def start_control_plane(
    tools: Tools, folder: Path, *, service_cidr: str = SERVICE_CIDR, nodes: Path | None = None
) -> ControlPlane:
    """Starts a control plane and waits until it is ready.

    Args:
        tools: The programs.
        folder: An empty or new folder for data, logs and credentials.
        service_cidr: The range of cluster addresses of services.
        nodes: Socket of the proxy by which the API server reaches nodes (`headroom.rehearsal.node_network`).

    Raises:
        ControlPlaneError: One of its processes did not start.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _start_once(tools, folder / str(attempt) if attempt > 1 else folder, service_cidr, nodes)
        except _PortTakenError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _start_once(tools: Tools, folder: Path, service_cidr: str, nodes: Path | None) -> ControlPlane:
    folder.mkdir(parents=True, exist_ok=True)
    etcd_port, api_port = _free_ports(2)
    server = f"https://{_LOOPBACK}:{api_port}"
    token = secrets.token_urlsafe(24)
    _write_credentials(folder, server, token)
    if nodes is not None:
        (folder / _EGRESS_FILE).write_text(json.dumps(egress_selection(nodes)), encoding="utf-8")
    plane = ControlPlane(folder=folder, server=server, kubeconfig=folder / "kubeconfig")
    try:
        plane._start("etcd", _etcd_command(tools, etcd_port))  # noqa: SLF001 - its own factory
        command = _apiserver_command(tools, etcd_port, api_port, service_cidr)
        command += [f"--egress-selector-config-file={_EGRESS_FILE}"] if nodes is not None else []
        # A proxy of this machine must not stand between the API server and the nodes.
        plane._start("kube-apiserver", command, dict.fromkeys(_PROXIES, ""))  # noqa: SLF001
        plane._wait_until_ready(time.monotonic() + START_SECONDS)  # noqa: SLF001
        plane._start("kube-controller-manager", _controllers_command(tools))  # noqa: SLF001
        plane._start("kube-scheduler", [tools.kube_scheduler, "--config=scheduler.json", "--secure-port=0"])  # noqa: SLF001
        plane.check()
    except BaseException:
        plane.close()
        raise
    return plane


def _etcd_command(tools: Tools, port: int) -> list[str | Path]:
    url = f"http://{_LOOPBACK}:{port}"
    return [
        tools.etcd,
        "--data-dir=etcd",
        "--unsafe-no-fsync",  # nothing has to survive a power cut
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://{_LOOPBACK}:0",  # it has no peers
        "--log-level=warn",
    ]


def _apiserver_command(tools: Tools, etcd_port: int, port: int, service_cidr: str) -> list[str | Path]:
    return [
        tools.kube_apiserver,
        f"--etcd-servers=http://{_LOOPBACK}:{etcd_port}",
        f"--bind-address={_LOOPBACK}",
        f"--advertise-address={_LOOPBACK}",
        f"--secure-port={port}",
        "--tls-cert-file=server.pem",
        "--tls-private-key-file=server.key",
        "--service-account-key-file=service-accounts.key",
        "--service-account-signing-key-file=service-accounts.key",
        "--service-account-issuer=https://headroom.invalid",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={service_cidr}",
        # Pods are never run, so they need no mounted service account.
        "--disable-admission-plugins=ServiceAccount",
        # One user with bursts of its own making: fairness between users would only queue.
        "--enable-priority-and-fairness=false",
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
        # There is no `kubernetes` service endpoint to keep.
        "--endpoint-reconciler-type=none",
        "--profiling=false",
    ]


def _controllers_command(tools: Tools) -> list[str | Path]:
    return [
        tools.kube_controller_manager,
        "--kubeconfig=kubeconfig",
        "--service-account-private-key-file=service-accounts.key",
        # Nobody renews node leases, and addresses come from the simulated VPC.
        "--controllers=*,-node-lifecycle-controller,-node-ipam-controller,-cloud-node-lifecycle-controller",
        "--leader-elect=false",
        "--secure-port=0",
        f"--kube-api-qps={REQUESTS_PER_SECOND}",
        f"--kube-api-burst={REQUESTS_PER_SECOND * 2}",
        "--concurrent-deployment-syncs=20",
        "--concurrent-replicaset-syncs=20",
        "--profiling=false",
    ]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def _write_credentials(folder: Path, server: str, token: str) -> None:
    """All that its processes and users identify themselves with, valid for a day on the loopback interface."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "headroom-rehearsal")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_LOOPBACK)), x509.DNSName("localhost")]),
            critical=False,
        )
        # Its own authority: clients trust this one certificate.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "rehearsal",
                "cluster": {"server": server, "certificate-authority": str(folder.absolute() / "server.pem")},
            }
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "admin"}}],
        "current-context": "rehearsal",
    }
    scheduler = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {
            "kubeconfig": "kubeconfig",
            "qps": REQUESTS_PER_SECOND,
            "burst": REQUESTS_PER_SECOND * 2,
        },
    }
    _write_private(folder / "server.pem", pem)
    _write_private(folder / "server.key", _pem(key))
    _write_private(folder / "service-accounts.key", _pem(ec.generate_private_key(ec.SECP256R1())))
    _write_private(folder / "tokens.csv", f'{token},admin,1,"system:masters"\n')
    _write_private(folder / "kubeconfig", json.dumps(kubeconfig, indent=1))
    _write_private(folder / "scheduler.json", json.dumps(scheduler, indent=1))


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")
