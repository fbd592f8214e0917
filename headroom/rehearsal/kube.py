"""A thin JSON client of the Kubernetes API, for the simulated kubelet and the stand-in provider.

It speaks the wire format and nothing else: objects are dictionaries as the API gives them, and every
refusal of the API server arrives as an `ApiError` with the server's own Status.
"""

import atexit
import base64
import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, urlencode

import urllib3
import yaml

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON values."""

PAGE = 500
"""Objects a page, as kubectl asks for them."""

_temporary_files = contextlib.ExitStack()
atexit.register(_temporary_files.close)

POOL = 32
"""Connections kept; more requests at once open more and close them again."""

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    # JSON is YAML; the API server takes an apply configuration only under this name.
    "apply": "application/apply-patch+yaml",
}
PatchType = Literal["merge", "strategic", "json", "apply"]


class ApiError(Exception):
    """The API server refused a request.

    Attributes:
        code: HTTP status code.
        reason: The Status's reason in a word, such as `NotFound`, `Conflict`, `Expired`.
        status: The whole Status object, with the causes in `details`.
    """

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(str(status.get("message") or f"the API server answered {code}"))
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.status = status


class UnreachableError(Exception):
    """No answer came from the API server."""


class KubeconfigError(Exception):
    """A kubeconfig that names no usable cluster, user or context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of the API.

    Attributes:
        group_version: Such as `v1` or `apps/v1`.
        plural: The name in paths, such as `daemonsets`.
        kind: Such as `DaemonSet`.
        namespaced: Whether its objects live in namespaces.
    """

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of one object, or of the collection in one namespace or in all of them."""
        words = ["api" if "/" not in self.group_version else "apis", *self.group_version.split("/")]
        if self.namespaced and namespace:
            words += ["namespaces", namespace]
        words += [word for word in (self.plural, name, subresource) if word]
        return "/" + "/".join(quote(word, safe="") for word in words)


NAMESPACES = Resource(group_version="v1", plural="namespaces", kind="Namespace", namespaced=False)
NODES = Resource(group_version="v1", plural="nodes", kind="Node", namespaced=False)
PODS = Resource(group_version="v1", plural="pods", kind="Pod")
EVENTS = Resource(group_version="v1", plural="events", kind="Event")
CONFIG_MAPS = Resource(group_version="v1", plural="configmaps", kind="ConfigMap")
SERVICES = Resource(group_version="v1", plural="services", kind="Service")
DEPLOYMENTS = Resource(group_version="apps/v1", plural="deployments", kind="Deployment")
CRON_JOBS = Resource(group_version="batch/v1", plural="cronjobs", kind="CronJob")
LEASES = Resource(group_version="coordination.k8s.io/v1", plural="leases", kind="Lease")
REPLICA_SETS = Resource(group_version="apps/v1", plural="replicasets", kind="ReplicaSet")
DAEMON_SETS = Resource(group_version="apps/v1", plural="daemonsets", kind="DaemonSet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach an API server and who one is there."""

    server: str
    token: str | None = None
    authority: str | None = None
    certificate: str | None = None
    key: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`, and the object after it."""

    type: str
    object: Object


class Watch:
    """An open watch: iterate over it; `close` from any thread ends the iteration."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[WatchEvent]:
        """Changes as they come, until the server ends the watch or `close` is called.

        Raises:
            ApiError: The server reports an error, such as `Expired` (410): list again.
            UnreachableError: The connection broke.
        """
        try:
            for line in _lines(self._response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(int(event["object"].get("code", 0)), event["object"])
                yield WatchEvent(event["type"], event["object"])
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if not self._closed.is_set():
                raise UnreachableError(f"a watch broke off: {error}") from error
        finally:
            self._response.close()

    def close(self) -> None:
        """Ends the watch, also while another thread waits for its next change."""
        self._closed.set()
        connection = self._response.connection
        stream = getattr(connection, "sock", None)
        if stream is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself
                stream.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(slots=True, eq=False)
class Kube:
    """A client of one API server; safe to use from several threads."""

    access: Access
    user_agent: str = "headroom-rehearsal"
    _pool: urllib3.PoolManager = field(init=False)
    _discovered: dict[str, dict[str, Resource]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options: dict[str, Any] = {"cert_reqs": "CERT_NONE"} if self.access.insecure else {}
        self._pool = urllib3.PoolManager(
            maxsize=POOL,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            ca_certs=self.access.authority,
            cert_file=self.access.certificate,
            key_file=self.access.key,
            **options,
        )

    # --- objects ------------------------------------------------------------------------------------------

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object. Raises ApiError."""
        return self.request("GET", resource.path(namespace=namespace, name=name))

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None if it does not exist. Raises ApiError for any other refusal."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise

    def list_all(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> list[Object]:
        """All objects of a collection, page by page. Raises ApiError."""
        return self.list_and_version(resource, namespace, labels=labels, fields=fields)[0]

    def list_and_version(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> tuple[list[Object], str]:
        """All objects and the resource version from which a watch sees everything after them."""
        items: list[Object] = []
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields, "continue": None}
        while True:
            answer = self.request("GET", resource.path(namespace=namespace), query=query)
            items += answer["items"]
            query["continue"] = answer["metadata"].get("continue")
            if not query["continue"]:
                return items, answer["metadata"]["resourceVersion"]

    def watch(  # noqa: PLR0913 - the API's own parameters, all optional
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        seconds: int = 3600,
        bookmarks: bool = False,
    ) -> Watch:
        """Changes from a resource version on; the server ends the watch after `seconds`. Raises ApiError."""
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": labels,
            "fieldSelector": fields,
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "true" if bookmarks else None,
        }
        response = self._send(
            "GET", resource.path(namespace=namespace), query=query, stream=True, patience=seconds + 30.0
        )
        if response.status >= 400:  # noqa: PLR2004 - HTTP's error codes
            raise _refusal(response.status, response.data)
        return Watch(response)

    def create(
        self, resource: Resource, body: Object, *, field_manager: str | None = None, dry_run: bool = False
    ) -> Object:
        """Creates an object, in the namespace that its metadata names. Raises ApiError."""
        path = resource.path(namespace=body.get("metadata", {}).get("namespace"))
        return self.request("POST", path, body=body, query=_writing(field_manager, dry_run=dry_run))

    def patch(  # noqa: PLR0913 - the API's own parameters, most optional
        self,
        resource: Resource,
        name: str,
        body: Object | list[Object],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        type: PatchType = "merge",  # noqa: A002 - the API calls it so
        field_manager: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Changes parts of an object; `subresource="status"` changes its status. Raises ApiError."""
        return self.request(
            "PATCH",
            resource.path(namespace=namespace, name=name, subresource=subresource),
            body=body,
            query=_writing(field_manager, dry_run=dry_run),
            content_type=PATCH_TYPES[type],
        )

    def apply(
        self, resource: Resource, body: Object, *, field_manager: str, force: bool = False, dry_run: bool = False
    ) -> Object:
        """Server-side apply: the fields in the body, and only they, become the field manager's.

        Raises:
            ApiError: Among others `Conflict`, whose message names the other manager and the fields.
        """
        metadata = body["metadata"]
        return self.request(
            "PATCH",
            resource.path(namespace=metadata.get("namespace"), name=metadata["name"]),
            body=body,
            query={**_writing(field_manager, dry_run=dry_run), "force": "true" if force else None},
            content_type=PATCH_TYPES["apply"],
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> bool:
        """Deletes an object; False if there was none. Raises ApiError for any other refusal."""
        options = {"gracePeriodSeconds": grace_seconds, "propagationPolicy": propagation}
        body = {key: value for key, value in options.items() if value is not None}
        try:
            self.request("DELETE", resource.path(namespace=namespace, name=name), body=body or None)
        except ApiError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True

    # --- the server ---------------------------------------------------------------------------------------

    def resource(self, group_version: str, kind: str) -> Resource | None:
        """The resource behind a kind, as the server's discovery tells it; None if it serves no such kind.

        What was not there is asked for again the next time: a CustomResourceDefinition may have come.
        """
        known = self._discovered.get(group_version, {})
        if kind not in known:
            prefix = "/apis/" if "/" in group_version else "/api/"
            try:
                answer = self.request("GET", prefix + group_version)
            except ApiError as error:
                if error.code == 404:  # noqa: PLR2004 - HTTP's not found, here without a Status
                    return None
                raise
            known = {
                entry["kind"]: Resource(
                    group_version=group_version,
                    plural=entry["name"],
                    kind=entry["kind"],
                    namespaced=entry["namespaced"],
                )
                for entry in answer["resources"]
                if "/" not in entry["name"]
            }
            self._discovered[group_version] = known
        return known.get(kind)

    def is_ready(self) -> bool:
        """Whether the API server answers and says that it is ready."""
        try:
            return self._send("GET", "/readyz").status == 200  # noqa: PLR2004 - HTTP's OK
        except UnreachableError:
            return False

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Object | list[Object] | None = None,
        query: Mapping[str, str | None] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request with a JSON answer.

        Raises:
            ApiError: The server refused it.
            UnreachableError: There was no answer.
        """
        response = self._send(method, path, body=body, query=query, content_type=content_type)
        if response.status >= 400:  # noqa: PLR2004 - HTTP's error codes
            raise _refusal(response.status, response.data)
        answer: Object = json.loads(response.data)
        return answer

    def close(self) -> None:
        """Closes the idle connections."""
        self._pool.clear()

    def _send(  # noqa: PLR0913 - one parameter a part of a request
        self,
        method: str,
        path: str,
        *,
        body: Object | list[Object] | None = None,
        query: Mapping[str, str | None] | None = None,
        content_type: str = "application/json",
        stream: bool = False,
        patience: float = READ_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        parameters = {key: value for key, value in (query or {}).items() if value is not None}
        headers = {"Accept": "application/json", "User-Agent": self.user_agent}
        if self.access.token:
            headers["Authorization"] = f"Bearer {self.access.token}"
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            return self._pool.request(
                method,
                self.access.server + path + (f"?{urlencode(parameters)}" if parameters else ""),
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                preload_content=not stream,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=patience),
            )
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{self.access.server} does not answer: {error}") from error


def kube_from(kubeconfig: str | Path, context: str | None = None, *, user_agent: str = "headroom-rehearsal") -> Kube:
    """A client for a kubeconfig.

    Args:
        kubeconfig: A file, or a kubeconfig's own text.
        context: The context to use instead of the current one.
        user_agent: What the API server's log and managed fields call us.

    Raises:
        KubeconfigError: It names no usable cluster, user or context.
    """
    return Kube(read_kubeconfig(kubeconfig, context), user_agent=user_agent)


def read_kubeconfig(kubeconfig: str | Path, context: str | None = None) -> Access:
    """How to reach the cluster of a kubeconfig's context.

    Raises:
        KubeconfigError: It names no usable cluster, user or context.
    """
    text, folder = _kubeconfig_text(kubeconfig)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"the kubeconfig is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise KubeconfigError("the kubeconfig holds no clusters, users and contexts")
    wanted = context or content.get("current-context")
    chosen = _named(content, "contexts", wanted, "context")
    cluster = _named(content, "clusters", chosen.get("cluster"), "cluster")
    user = _named(content, "users", chosen.get("user"), "user")
    if user.keys() & {"exec", "auth-provider"}:
        raise KubeconfigError("the user of the kubeconfig's context needs a credential plugin, which is not supported")

    def file(section: Object, name: str) -> str | None:
        if section.get(f"{name}-data"):
            return _kept(base64.b64decode(section[f"{name}-data"]))
        return str(folder / section[name]) if section.get(name) else None

    return Access(
        server=str(cluster["server"]).rstrip("/"),
        token=user.get("token"),
        authority=file(cluster, "certificate-authority"),
        certificate=file(user, "client-certificate"),
        key=file(user, "client-key"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _kubeconfig_text(kubeconfig: str | Path) -> tuple[str, Path]:
    if isinstance(kubeconfig, str) and ("\n" in kubeconfig or kubeconfig.lstrip().startswith("{")):
        return kubeconfig, Path.cwd()
    path = Path(kubeconfig).expanduser()
    try:
        return path.read_text("utf-8"), path.parent
    except OSError as error:
        raise KubeconfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error


def _named(content: Object, section: str, name: str | None, title: str) -> Object:
    for entry in content.get(section) or []:
        if entry.get("name") == name:
            found: Object = entry.get(title) or {}
            return found
    raise KubeconfigError(f"the kubeconfig has no {title} {name!r}")


def _kept(data: bytes) -> str:
    """A file for what the TLS library only reads from files; it lives as long as the process."""
    handle, name = tempfile.mkstemp(prefix="headroom-", suffix=".pem")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    _temporary_files.callback(Path(name).unlink, missing_ok=True)
    return name


def _writing(field_manager: str | None, *, dry_run: bool) -> dict[str, str | None]:
    return {"fieldManager": field_manager, "dryRun": "All" if dry_run else None}


def _refusal(code: int, data: bytes) -> ApiError:
    try:
        status = json.loads(data)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": data.decode("utf-8", "replace").strip(), "code": code}
    return ApiError(code, status)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Complete lines of a chunked answer, each as soon as it is there."""
    rest = b""
    for chunk in response.stream(amt=None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
