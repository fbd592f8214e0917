"""Where Azure is and who asks: the real one with the credentials of the usual tools, or a rehearsal's on this machine.

Nothing of ours talks to an Azure that is neither, and a simulated one never gets a real token.
"""

import ipaddress
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

ENDPOINT: Final = "https://management.azure.com"
SCOPE: Final = "https://management.azure.com/.default"
"""Azure Resource Manager of Azure's public cloud, and what its tokens are asked for."""
REHEARSAL_SCOPE: Final = "https://management.invalid/.default"
"""The audience of a rehearsal's token."""
_HOUR: Final = 3600


class RehearsalCredential:
    """A token for a simulated Azure, which asks nobody."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A made-up token that lasts an hour."""
        del scopes, options
        return AccessToken("rehearsal", int(time.time()) + _HOUR)


def credential_for(endpoint_url: str = "") -> "TokenCredential":
    """What gives tokens for an endpoint.

    Args:
        endpoint_url: A simulated Azure, on this machine; empty for the real one.

    Raises:
        ProblemsError: The endpoint is neither the real one nor on this machine.
    """
    if endpoint_url:
        check_endpoint(endpoint_url)
        return RehearsalCredential()
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - it takes a third of a second

    return DefaultAzureCredential(exclude_interactive_browser_credential=True)


def check_endpoint(url: str) -> None:
    """Refuses an endpoint elsewhere.

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
    step = "Leave it out for the real Azure; a rehearsal prints the address of its own."
    reason = "is not an https address of this machine."
    problem = Problem(rule="rehearsal-endpoint", key="--endpoint-url", value=shown(url), reason=reason, next_step=step)
    raise ProblemsError([problem], subject="command line")
