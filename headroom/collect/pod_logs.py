"""Asks the API server for the last line of a few pods' logs, to see whether it reaches their nodes; keeps no text.

`kubectl exec` takes the same way (API server to kubelet, port 10250), and would run something in a container of
others: the log shows as much.
"""

import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

from headroom.collect.api_server import ApiServer, is_not_found
from headroom.collect.failures import EXPECTED, ApiServerError, NotReadError, unknown_of
from headroom.collect.readings import side_by_side
from headroom.collect.session import choose_context, kube_client
from headroom.facts.kubernetes import Pod
from headroom.facts.pod_logs import LogAccess
from headroom.facts.values import Reason, Unknown

RBAC_RULES: Final = ({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},)
"""What `headroom verify` needs beside the reader's role, wherever pods may get addresses in new subnets."""

ANSWER_SECONDS: Final = 15.0
"""Patience for one log: the API server itself gives up on a kubelet that does not answer only later."""
SECONDS: Final = 60.0
"""Time limit of all of them."""
WORKERS: Final = 8
MOST_CHARACTERS: Final = 160

_TAIL: Final = {"tailLines": 1, "limitBytes": 1}
_UNREACHED: Final = frozenset({500, 502, 503, 504})
"""What the API server answers where the way to a kubelet, or the kubelet, fails (apiserver, registry/generic/rest,
streamer.go: the proxied error becomes an InternalError or ServiceUnavailable)."""
_NOT_STARTED: Final = "is waiting to start"
"""What a kubelet, which was reached then, answers of a container without a log (pkg/kubelet/kubelet_pods.go)."""
_REQUEST: Final = re.compile(r'^.*?(?:Get|Post) "[^"]*": ')
"""The API server's message begins with the URL that it asked; what follows says what it met."""


def logs_of(
    cluster: str, pods: Sequence[Pod], *, context: str = "", kubeconfig: str = ""
) -> tuple[LogAccess, ...] | Unknown:
    """Whether each pod's log can be read.

    Args:
        cluster: The EKS cluster's name.
        pods: The pods.
        context: Context of the kubeconfig; empty: the one named after the cluster, or the current one.
        kubeconfig: The file; empty: as KUBECONFIG says, or the usual one.

    Raises:
        ProblemsError: There is no such context.
    """
    if not pods:
        return ()
    chosen = choose_context(cluster, context, kubeconfig=kubeconfig)
    try:
        api = ApiServer(kube_client(chosen), deadline=time.monotonic() + SECONDS)
    except NotReadError as error:
        return error.unknown
    try:
        return read_logs(api, pods)
    finally:
        api.close()


def read_logs(api: ApiServer, pods: Sequence[Pod]) -> tuple[LogAccess, ...]:
    """Whether each pod's log can be read; pods that are gone meanwhile are left out."""
    found = side_by_side(partial(_read_log, api), pods, workers=WORKERS)
    return tuple(each for each in found if each is not None)


def _read_log(api: ApiServer, pod: Pod) -> LogAccess | None:
    access = partial(LogAccess, pod=f"{pod.namespace}/{pod.name}", address=str(pod.ip), node=str(pod.node))
    path = f"/api/v1/namespaces/{quote(pod.namespace)}/pods"
    try:
        # A pod of several containers has no log of its own; listing needs no right that a reader has not.
        listed = api.every(path, fieldSelector=f"metadata.name={pod.name}")
        container = listed[0]["spec"]["containers"][0]["name"] if listed else ""
    except EXPECTED as error:
        return access(read=unknown_of(error))
    if not container:
        return None
    try:
        api.get(f"{path}/{quote(pod.name)}/log", {"container": container, **_TAIL}, seconds=ANSWER_SECONDS)
    except ApiServerError as error:
        return None if is_not_found(error) else _refused(access, error)
    except EXPECTED as error:
        unknown = unknown_of(error)
        if unknown.reason is not Reason.UNREACHABLE:
            return access(read=unknown)
        # The API server has just answered: it is the kubelet that does not.
        return access(read=False, because=f"no answer within {ANSWER_SECONDS:.0f} s")
    return access(read=True)


def _refused(access: "partial[LogAccess]", error: ApiServerError) -> LogAccess:
    if error.code in _UNREACHED:
        return access(read=False, because=_met(error))
    if _NOT_STARTED in error.message:
        return access(read=True)
    return access(read=unknown_of(error))


def _met(error: ApiServerError) -> str:
    """What the API server met, without the URL that it asked."""
    said = _REQUEST.sub("", " ".join(error.message.split())) or str(error)
    return said if len(said) <= MOST_CHARACTERS else f"{said[:MOST_CHARACTERS]}…"
