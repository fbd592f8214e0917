"""How Azure is reached: credentials as the usual tools find them, one client of each kind, calls counted.

`endpoint_url` is for a rehearsal's simulated Azure. It must be on this machine; the token that goes there is made
up, and the real credentials are never asked for.
"""

import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.readings import count_call

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.mgmt.cdn import CdnManagementClient
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.network import NetworkManagementClient
    from azure.mgmt.resourcegraph import ResourceGraphClient
    from azure.monitor.query import LogsQueryClient

T = TypeVar("T")

ATTEMPTS: Final = 5
"""How often a throttled or failed call is repeated; azure-core waits as long as `Retry-After` says."""
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 60
MANAGEMENT: Final = "https://management.azure.com"
SCOPES: Final = ("https://management.invalid/.default",)
"""The audience of a rehearsal's token."""
_HOUR: Final = 3600


class RehearsalCredential:
    """A token for a simulated Azure, which asks nobody."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A made-up token that lasts an hour."""
        del scopes, options
        return AccessToken("rehearsal", int(time.time()) + _HOUR)


class _Counting(SansIOHTTPPolicy[Any, Any]):
    """Counts the requests of a client, those that are repeated too."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        del request
        count_call()


@dataclass(slots=True)
class AzureClients:
    """Makes clients of one credential, each once.

    Attributes:
        credential: Where tokens come from; found when it is first needed.
        endpoint_url: A simulated Azure; empty for the real one.
    """

    credential: TokenCredential | None = None
    endpoint_url: str = ""
    _made: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        if self.endpoint_url:
            _check_endpoint(self.endpoint_url)

    def clusters(self, subscription: str) -> "ContainerServiceClient":
        """Client of the AKS API."""
        from azure.mgmt.containerservice import ContainerServiceClient  # noqa: PLC0415 - SDKs load slowly

        return self._once(("clusters", subscription), lambda: ContainerServiceClient(**self._management(subscription)))

    def network(self, subscription: str) -> "NetworkManagementClient":
        """Client of the network API."""
        from azure.mgmt.network import NetworkManagementClient  # noqa: PLC0415 - SDKs load slowly

        return self._once(("network", subscription), lambda: NetworkManagementClient(**self._management(subscription)))

    def front_door(self, subscription: str) -> "CdnManagementClient":
        """Client of the API of Azure Front Door."""
        from azure.mgmt.cdn import CdnManagementClient  # noqa: PLC0415 - SDKs load slowly

        return self._once(("cdn", subscription), lambda: CdnManagementClient(**self._management(subscription)))

    def graph(self) -> "ResourceGraphClient":
        """Client of Azure Resource Graph."""
        from azure.mgmt.resourcegraph import ResourceGraphClient  # noqa: PLC0415 - SDKs load slowly

        return self._once(("graph",), lambda: ResourceGraphClient(**self._management("")))

    def logs(self) -> "LogsQueryClient":
        """Client of Log Analytics."""
        from azure.monitor.query import LogsQueryClient  # noqa: PLC0415 - SDKs load slowly

        def make() -> "LogsQueryClient":
            options = self._options()
            if self.endpoint_url:
                options |= {"endpoint": self.endpoint_url, "credential_scopes": list(SCOPES)}
            return LogsQueryClient(self._credential(), **options)

        return self._once(("logs",), make)

    def resources(self) -> "PipelineClient[Any, Any]":
        """A pipeline to Azure Resource Manager for what has no client of its own here; paths begin with a slash."""
        from azure.core.pipeline.policies import (  # noqa: PLC0415 - SDKs load slowly
            BearerTokenCredentialPolicy,
            RetryPolicy,
        )
        from azure.mgmt.core import ARMPipelineClient  # noqa: PLC0415 - SDKs load slowly

        def make() -> "PipelineClient[Any, Any]":
            scopes = SCOPES if self.endpoint_url else (f"{MANAGEMENT}/.default",)
            return ARMPipelineClient(
                base_url=self.endpoint_url or MANAGEMENT,
                policies=[
                    RetryPolicy(retry_total=ATTEMPTS),
                    BearerTokenCredentialPolicy(self._credential(), *scopes),
                    _Counting(),
                ],
                connection_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
            )

        return self._once(("resources",), make)

    def _management(self, subscription: str) -> dict[str, Any]:
        options: dict[str, Any] = {"credential": self._credential(), **self._options()}
        if subscription:
            options["subscription_id"] = subscription
        if self.endpoint_url:
            options |= {"base_url": self.endpoint_url, "credential_scopes": list(SCOPES)}
        return options

    def _options(self) -> dict[str, Any]:
        return {
            "retry_total": ATTEMPTS,
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "per_retry_policies": [_Counting()],
        }

    def _credential(self) -> TokenCredential:
        with self._lock:
            if self.credential is None:
                if self.endpoint_url:
                    self.credential = RehearsalCredential()
                else:
                    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - MSAL loads slowly

                    self.credential = DefaultAzureCredential()
            return self.credential

    def _once(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            made: T = self._made[key]
            return made


def _check_endpoint(url: str) -> None:
    """Refuses an endpoint elsewhere: nothing of ours talks to an Azure that is neither the real one nor simulated.

    Raises:
        ProblemsError: It is not an https address of this machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if parts.scheme == "https" and local:
        return
    raise ProblemsError(
        [
            Problem(
                rule="rehearsal-endpoint",
                key="--endpoint-url",
                value=shown(url),
                reason="is not an https address of this machine.",
                next_step="Leave it out for the real Azure; a rehearsal prints the address of its own.",
            )
        ],
        subject="command line",
    )
