"""How Azure is reached: credential, subscription, and clients whose calls are counted."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from urllib.parse import quote

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RedirectPolicy,
    RetryPolicy,
    SansIOHTTPPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.core import ARMPipelineClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resourcegraph import ResourceGraphClient

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.azure_endpoint import ENDPOINT, REHEARSAL_SCOPE, SCOPE, credential_for
from headroom.collect.failures import NotReadError
from headroom.collect.readings import count_call
from headroom.collect.session import CONNECT_SECONDS, READ_SECONDS, SUBJECT
from headroom.facts.values import Reason, Unknown

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.mgmt.cdn import CdnManagementClient
    from azure.monitor.query import LogsQueryClient

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS: Final = 2
LONGEST_WAIT: Final = 5
"""Repetitions of a call, and seconds between two of them at most: a reading has a minute in all."""

DENIED: Final = frozenset({401, 403})
THROTTLED: Final = 429
NOT_FOUND: Final = 404
"""HTTP's status codes by which Azure refuses (Azure Resource Manager, common errors)."""


RETRY_AFTER: Final = "Retry-After"
"""Header in which Azure says how many seconds to wait (Azure Resource Manager, request-limits-and-throttling)."""


class _CountCalls(SansIOHTTPPolicy[Any, Any]):
    """Counts every request that is sent, repeated ones too, and waits no longer than a reading has time."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        del request
        count_call()

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        del request
        headers = response.http_response.headers
        wait = headers.get(RETRY_AFTER)
        if wait is not None and (not wait.isdigit() or int(wait) > LONGEST_WAIT):
            headers[RETRY_AFTER] = str(LONGEST_WAIT)


RENEW_SECONDS: Final = 300
"""A token that expires sooner is asked for anew, as azure-core's own policy does."""


@dataclass(slots=True)
class SharedToken:
    """A credential whose token all clients share: the Azure CLI takes a second to give one, and each client asks.

    Attributes:
        credential: Gives tokens.
    """

    credential: "TokenCredential"
    _tokens: dict[tuple[str, ...], "AccessToken"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """A token for these scopes; one that Azure asks for by a challenge (`claims`) is never an old one."""
        with self._lock:
            found = self._tokens.get(scopes)
            if found is None or options.get("claims") or found.expires_on - time.time() < RENEW_SECONDS:
                found = self.credential.get_token(*scopes, **options)
                self._tokens[scopes] = found
            return found


@dataclass(slots=True)
class AzureClients:
    """Clients of one subscription, each made once, whose calls are counted.

    Attributes:
        credential: Gives tokens.
        subscription: The subscription's id.
        options: For every client: `base_url`, `credential_scopes`, `connection_verify`; empty: Azure's public cloud.
    """

    credential: "TokenCredential"
    subscription: str
    options: Mapping[str, Any] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _client(self, name: str, make: Callable[[dict[str, Any]], T]) -> T:
        with self._lock:
            if name not in self._made:
                self._made[name] = make(
                    {
                        "retry_total": ATTEMPTS,
                        "retry_backoff_max": LONGEST_WAIT,
                        "connection_timeout": CONNECT_SECONDS,
                        "read_timeout": READ_SECONDS,
                        "per_retry_policies": [_CountCalls()],
                        "user_agent": "headroom",
                        **self.options,
                    }
                )
            found: T = self._made[name]
            return found

    @property
    def containers(self) -> ContainerServiceClient:
        """AKS."""
        return self._client(
            "containers", lambda options: ContainerServiceClient(self.credential, self.subscription, **options)
        )

    @property
    def network(self) -> NetworkManagementClient:
        """VNets, route tables, NAT gateways, addresses."""
        return self.network_in(self.subscription)

    def network_in(self, subscription: str) -> NetworkManagementClient:
        """The same of another subscription: a VNet is often shared out of one of its own."""
        return self._client(
            f"network of {subscription.lower()}",
            lambda options: NetworkManagementClient(self.credential, subscription, **options),
        )

    @property
    def graph(self) -> ResourceGraphClient:
        """Resource Graph."""
        return self._client("graph", lambda options: ResourceGraphClient(self.credential, **options))

    @property
    def front_door(self) -> "CdnManagementClient":
        """Front Door's profiles, origin groups and origins."""
        from azure.mgmt.cdn import CdnManagementClient  # noqa: PLC0415 - the gate alone needs it

        return self._client(
            "front door", lambda options: CdnManagementClient(self.credential, self.subscription, **options)
        )

    @property
    def logs(self) -> "LogsQueryClient":
        """Log Analytics, which has an endpoint of its own; a simulated Azure answers for it too."""
        from azure.monitor.query import LogsQueryClient  # noqa: PLC0415 - the gate alone needs it

        def make(options: dict[str, Any]) -> "LogsQueryClient":
            simulated = options.pop("base_url", None)
            options.pop("credential_scopes", None)
            if simulated:
                options |= {"endpoint": simulated, "credential_scopes": [REHEARSAL_SCOPE]}
            return LogsQueryClient(self.credential, **options)

        return self._client("logs", make)

    @property
    def _manager(self) -> "ARMPipelineClient[Any, Any]":
        return self._client("manager", self._make_manager)

    def _make_manager(self, options: dict[str, Any]) -> "ARMPipelineClient[Any, Any]":
        """A client for what the SDKs have no package for here; it registers nothing and changes nothing."""
        scopes = options.pop("credential_scopes", [SCOPE])
        base_url = options.pop("base_url", None) or ENDPOINT
        counting = options.pop("per_retry_policies")
        policies: list[Any] = [
            HeadersPolicy({"Accept": "application/json"}),
            UserAgentPolicy(**options),
            RedirectPolicy(**options),
            RetryPolicy(**options),
            BearerTokenCredentialPolicy(self.credential, *scopes),
            *counting,
        ]
        return ARMPipelineClient(base_url=base_url, policies=policies, **options)

    def get(self, path: str, api_version: str, **query: str) -> Mapping[str, Any]:
        """What Azure Resource Manager answers to one GET.

        Raises:
            HttpResponseError: It refuses.
        """
        # A path with a query in it is a link to a next page, which has its version.
        asked = path if "?" in path else _with_query(path, {"api-version": api_version, **query})
        manager = self._manager
        response = manager.send_request(HttpRequest("GET", manager.format_url(asked)))
        try:
            response.raise_for_status()
            answer: Mapping[str, Any] = response.json()
        finally:
            response.close()
        return answer

    def every(self, path: str, api_version: str, **query: str) -> Iterator[Mapping[str, Any]]:
        """Each item of a list, page by page."""
        answer = self.get(path, api_version, **query)
        yield from answer["value"]
        while link := answer.get("nextLink"):
            answer = self.get(str(link), api_version)
            yield from answer["value"]

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for made in self._made.values():
                made.close()


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())


def azure_clients(
    subscription: str = "", *, credential: "TokenCredential | None" = None, options: Mapping[str, Any] | None = None
) -> AzureClients:
    """Clients of a subscription.

    Args:
        subscription: Its id; empty: as AZURE_SUBSCRIPTION_ID says.
        credential: Gives tokens; ``None``: azure-identity's DefaultAzureCredential (environment, workload identity,
            managed identity, Azure CLI).
        options: For every client; see `AzureClients`.

    Raises:
        ProblemsError: No subscription is given.
    """
    wanted = subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "")
    if not wanted:
        raise ProblemsError([_no_subscription()], subject=SUBJECT)
    options = options or {}
    if credential is None:
        credential = credential_for(str(options.get("base_url") or ""))
    return AzureClients(SharedToken(credential), wanted, options)


def rehearsal_options(endpoint_url: str) -> dict[str, Any]:
    """Options of clients for a simulated Azure; none for the real one, where it is empty."""
    return {"base_url": endpoint_url, "credential_scopes": [REHEARSAL_SCOPE]} if endpoint_url else {}


def _no_subscription() -> Problem:
    return Problem(
        rule="subscription-known",
        value="No subscription",
        reason="is given or configured.",
        next_step="Give --subscription, or set AZURE_SUBSCRIPTION_ID: `az account show --query id` says it.",
        key="--subscription",
    )


def asks_azure(read: Callable[P, T]) -> Callable[P, T]:
    """A reader whose failures at Azure are the expected kind: unknown values, with their reason."""

    @wraps(read)
    def asked(*arguments: P.args, **keywords: P.kwargs) -> T:
        try:
            return read(*arguments, **keywords)
        except AzureError as error:
            raise NotReadError(unknown_of(error)) from None

    return asked


def unknown_of(error: AzureError) -> Unknown:
    """The unknown value that stands for what Azure did not answer; never its whole message."""
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        code = getattr(error.error, "code", None) or ""
        detail = f"Azure answered {error.status_code} {code}".strip()
        if error.status_code in DENIED:
            return Unknown(Reason.DENIED, detail)
        return Unknown(Reason.THROTTLED if error.status_code == THROTTLED else Reason.UNREACHABLE, detail)
    if isinstance(error, ClientAuthenticationError):
        return Unknown(Reason.DENIED, "no usable credentials: `az login` signs in")
    if isinstance(error, DecodeError):
        return Unknown(Reason.UNPARSEABLE, "the answer makes no sense")
    if isinstance(error, (ServiceRequestError, ServiceResponseError, IncompleteReadError)):
        return Unknown(Reason.UNREACHABLE, f"no answer: {type(error).__name__}")
    return Unknown(Reason.UNREACHABLE, f"no answer: {type(error).__name__}")
