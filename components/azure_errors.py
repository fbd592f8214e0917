"""What azure-native says when Azure refuses, as far as a program has to tell one refusal from another."""

from typing import Final

NOT_FOUND: Final = "Status=404 "
"""How it begins what it says of something that is not there (pulumi-azure-native,
provider/pkg/azure/client_azcore.go, PulumiAzcoreResponseError)."""
