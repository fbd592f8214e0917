"""How AWS and the API server are reached: profile, Region, kubeconfig and context, as the usual tools choose them."""

import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.exceptions
import yaml
from botocore.config import Config
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.failures import NotReadError
from headroom.collect.readings import count_call
from headroom.facts.values import Reason, Unknown

if TYPE_CHECKING:
    from botocore.session import Session as CoreSession

SUBJECT: Final = "headroom collect"

ATTEMPTS: Final = 5
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
POOL: Final = 16
"""Connections to one service of AWS: readings run side by side."""
API_SERVER_POOL: Final = 48
"""Connections to the API server: all its readings at once, and the nodes asked for metrics and logs."""

_REGIONS: Final = (
    re.compile(r"arn:aws[\w-]*:eks:(?P<region>[\w-]+):\d+:cluster/"),
    re.compile(r"\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.eksctl\.io$"),
)
"""How `aws eks update-kubeconfig` and eksctl name the clusters of a kubeconfig."""

_WRONG_KUBECONFIG: Final = (
    kubernetes_config.ConfigException,
    yaml.YAMLError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OSError,
)
"""The client checks little of a kubeconfig's shape, and answers a wrong one with whatever comes."""


@dataclass(slots=True)
class AwsClients:
    """Makes boto3 clients of one session, each once, whose calls are counted.

    Attributes:
        session: The session.
        endpoint_url: Another endpoint for all services; empty for AWS's own.
    """

    session: "boto3.session.Session"
    endpoint_url: str = ""
    _made: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def region(self) -> str:
        """The Region of every client."""
        return str(self.session.region_name)

    def __call__(self, service: str) -> Any:
        """A client; boto3 must not make two at a time."""
        with self._lock:
            if service not in self._made:
                made = self.session.client(
                    service,  # type: ignore[call-overload] # the stubs list services one by one
                    endpoint_url=self.endpoint_url or None,
                    config=Config(
                        retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=READ_SECONDS,
                        max_pool_connections=POOL,
                        user_agent_extra="headroom",
                    ),
                )
                made.meta.events.register("before-send", count_call)
                self._made[service] = made
            return self._made[service]

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for made in self._made.values():
                made.close()


def aws_clients(*, region: str = "", profile: str = "", endpoint_url: str = "", hint: str = "") -> AwsClients:
    """Clients of an account and a Region.

    Args:
        region: The Region; empty: as configured, or else as the hint says.
        profile: The profile; empty: as configured.
        endpoint_url: Another endpoint for all services.
        hint: What the kubeconfig calls the cluster: most such names have the Region in them.

    Raises:
        ProblemsError: There is no such profile, or no Region anywhere.
    """
    # boto3 reads AWS_DEFAULT_REGION only; the other tools of AWS read AWS_REGION first.
    wanted = region or os.environ.get("AWS_REGION") or None
    try:
        session = boto3.session.Session(region_name=wanted, profile_name=profile or None)
        found = session.region_name or region_of(hint)
        if not found:
            raise ProblemsError([_no_region()], subject=SUBJECT)
        if session.region_name != found:
            session = boto3.session.Session(region_name=found, profile_name=profile or None)
    except botocore.exceptions.ProfileNotFound:
        raise ProblemsError([_no_profile(profile or os.environ.get("AWS_PROFILE", ""))], subject=SUBJECT) from None
    return AwsClients(session, endpoint_url)


def region_of(name: str) -> str:
    """The Region in the name that a kubeconfig has for an EKS cluster; empty where there is none."""
    return next((match["region"] for pattern in _REGIONS if (match := pattern.search(name))), "")


def _no_region() -> Problem:
    return Problem(
        rule="region-known",
        value="No Region",
        reason="is given, configured, or part of the cluster's name in the kubeconfig.",
        next_step="Give --region, or set AWS_REGION.",
        key="--region",
    )


def _no_profile(profile: str) -> Problem:
    session: CoreSession = boto3.session.Session()._session  # noqa: SLF001 - the only way to list them without one
    names = ", ".join(session.available_profiles) or "none"
    return Problem(
        rule="profile-exists",
        value=profile,
        reason="is no profile of the AWS configuration.",
        next_step=f"There are: {names}.",
        key="--profile",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeContext:
    """The chosen context of the kubeconfig.

    Attributes:
        name: Its name; empty: this program runs in the cluster itself.
        cluster: What the kubeconfig calls its cluster.
        kubeconfig: The file; empty: as KUBECONFIG says, or the usual one.
        unknown: Why there is none.
    """

    name: str = ""
    cluster: str = ""
    kubeconfig: str = ""
    unknown: Unknown | None = None


def choose_context(cluster: str, wanted: str = "", *, kubeconfig: str = "") -> KubeContext:
    """The context to use: the one that is wanted, or else one that is named after the cluster, or the current one.

    Args:
        cluster: The cluster's name: `aws eks update-kubeconfig` and eksctl name contexts after it.
        wanted: The context asked for.
        kubeconfig: The file; empty: as KUBECONFIG says, or the usual one.

    Raises:
        ProblemsError: The wanted context does not exist.
    """
    try:
        clusters, current = _contexts(kubeconfig)
    except _WRONG_KUBECONFIG as error:
        if wanted:
            raise ProblemsError([_no_kubeconfig(wanted, error)], subject=SUBJECT) from None
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            return KubeContext()
        return KubeContext(unknown=Unknown(Reason.UNREACHABLE, f"no usable kubeconfig: {_line(error)}"))
    name = wanted or _named_after(cluster, clusters, current)
    if wanted and wanted not in clusters:
        raise ProblemsError([_no_context(wanted, clusters)], subject=SUBJECT)
    if name not in clusters:
        said = f"its current context {name} does not exist" if name else "it has no current context"
        return KubeContext(unknown=Unknown(Reason.UNREACHABLE, f"no usable kubeconfig: {said}; --context names one"))
    return KubeContext(name=name, cluster=clusters[name], kubeconfig=kubeconfig)


def _contexts(kubeconfig: str) -> tuple[dict[str, str], str]:
    """Cluster by context, and the current context; the package's own list needs one that is current and right."""
    merged = KubeConfigMerger(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION).config  # type: ignore[no-untyped-call] # untyped upstream
    if merged is None:
        message = "there is none"
        raise kubernetes_config.ConfigException(message)
    contexts = {each["name"]: str(each["context"].safe_get("cluster") or "") for each in merged.value["contexts"]}
    return contexts, str(merged.value.get("current-context") or "")


def _named_after(cluster: str, clusters: Mapping[str, str], current: str) -> str:
    """The current context if it is named after the cluster or no other is; else the only other that is."""

    def names_it(text: str) -> bool:
        return text == cluster or text.endswith((f":cluster/{cluster}", f"@{cluster}")) or f"@{cluster}." in text

    matching = [name for name, called in clusters.items() if names_it(name) or names_it(called)]
    return matching[0] if len(matching) == 1 and current not in matching else current


def kube_client(context: KubeContext) -> kubernetes_client.ApiClient:
    """A client of the official package; a plugin of the kubeconfig (`aws eks get-token`) is run here.

    Raises:
        NotReadError: There is no usable kubeconfig; the reason says why.
    """
    if context.unknown is not None:
        raise NotReadError(context.unknown)
    try:
        configuration = kubernetes_client.Configuration()
        configuration.connection_pool_maxsize = API_SERVER_POOL
        if context.name:
            kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call] # untyped upstream
                config_file=context.kubeconfig or None, context=context.name, client_configuration=configuration
            )
        else:
            kubernetes_config.load_incluster_config(  # type: ignore[no-untyped-call] # untyped upstream
                client_configuration=configuration
            )
        return kubernetes_client.ApiClient(configuration)
    except _WRONG_KUBECONFIG as error:
        raise NotReadError(Unknown(Reason.DENIED, f"no usable kubeconfig: {_line(error)}")) from None


def _no_context(wanted: str, names: Iterable[str]) -> Problem:
    return Problem(
        rule="context-exists",
        value=wanted,
        reason="is no context of the kubeconfig.",
        next_step=f"There are: {', '.join(names) or 'none'}.",
        key="--context",
    )


def _no_kubeconfig(wanted: str, error: Exception) -> Problem:
    return Problem(
        rule="kubeconfig-usable",
        value=wanted,
        reason=f"cannot be looked up: {_line(error)}.",
        next_step="Set KUBECONFIG to a file that kubectl can use.",
        key="--context",
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]
