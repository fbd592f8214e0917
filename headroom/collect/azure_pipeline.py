"""One pipeline to Azure Resource Manager, for many subscriptions; its calls are counted, throttled ones repeated."""

from typing import TYPE_CHECKING, Any, Final

from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RetryPolicy,
    SansIOHTTPPolicy,
    UserAgentPolicy,
)
from azure.mgmt.core import ARMPipelineClient

from headroom.collect.azure_endpoint import ENDPOINT, REHEARSAL_SCOPE, SCOPE, check_endpoint, credential_for
from headroom.collect.readings import count_call

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

ATTEMPTS: Final = 5
"""How often a throttled or failed call is repeated; azure-core waits as long as `Retry-After` says."""
LONGEST_WAIT: Final = 20
"""Seconds between two attempts at most, where Azure does not say how long."""
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 60


class _Counting(SansIOHTTPPolicy[Any, Any]):
    """Counts every request that is sent, repeated ones too."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        del request
        count_call()


def arm_pipeline(
    endpoint_url: str = "", credential: "TokenCredential | None" = None, **options: Any
) -> "ARMPipelineClient[Any, Any]":
    """A pipeline to Azure Resource Manager and Resource Graph.

    Args:
        endpoint_url: A simulated Azure, on this machine; empty for the real one.
        credential: Gives tokens; None: azure-identity's DefaultAzureCredential, or a made-up one for a simulated Azure.
        options: Further options of azure-core, such as `connection_verify`.

    Raises:
        ProblemsError: The endpoint is neither the real one nor on this machine.
    """
    if endpoint_url:
        check_endpoint(endpoint_url)
    credential = credential or credential_for(endpoint_url)
    return ARMPipelineClient(
        base_url=endpoint_url or ENDPOINT,
        policies=[
            HeadersPolicy({"Accept": "application/json"}),
            UserAgentPolicy(user_agent="headroom"),
            RetryPolicy(retry_total=ATTEMPTS, retry_backoff_max=LONGEST_WAIT),
            BearerTokenCredentialPolicy(credential, REHEARSAL_SCOPE if endpoint_url else SCOPE),
            _Counting(),
        ],
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        **options,
    )
