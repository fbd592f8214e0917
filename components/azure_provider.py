"""What programs have to know of azure-native itself: its version, and how it says that something is not there."""

from functools import cache
from importlib import metadata
from typing import Final

NOT_FOUND: Final = "Status=404 "
"""How it begins what it says of something that is not there (pulumi-azure-native,
provider/pkg/azure/client_azcore.go, PulumiAzcoreResponseError)."""


@cache
def provider_version() -> str:
    """That of the SDK, as its own functions ask: without it the engine would start another provider."""
    return metadata.version("pulumi-azure-native")
