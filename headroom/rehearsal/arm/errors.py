"""How the simulated Azure says no: HTTP status, code, message and target, in the two shapes that Azure uses."""

from collections.abc import Mapping
from typing import Any


class ArmError(Exception):
    """A request that Azure refuses, or an operation that fails.

    Attributes:
        status: HTTP status.
        code: Azure's error code.
        message: What it says.
        target: The property that it is about; empty where Azure names none.
        flat: AKS answers `{code, message, target}` without `error` around it (AKS-Construction #403 and #701).
        retry_after: Seconds after which the client may come again, or None.
    """

    def __init__(  # noqa: PLR0913  # the fields of an error of Azure
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str = "",
        flat: bool = False,
        retry_after: float | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.flat = flat
        self.retry_after = retry_after
        self.details = details

    def body(self) -> dict[str, Any]:
        """The JSON that Azure answers with."""
        if self.flat:
            return {**self.inner(), "details": None, "subcode": ""}
        return {"error": self.inner()}

    def inner(self) -> dict[str, Any]:
        """Code, message, target and details, as an operation's status carries them."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            error["target"] = self.target
        if self.details is not None:
            error["details"] = self.details
        return error


def denied(action: str, scope: str, *, principal: str = "rehearsal") -> ArmError:
    """The answer to a caller without the permission (Azure RBAC documentation, troubleshooting)."""
    return ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{principal}' with object id '{principal}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh "
        "your credentials.",
    )


def throttled(kind: str, subscription: str, seconds: float) -> ArmError:
    """The answer to too many requests (Azure Resource Manager documentation, request-limits-and-throttling)."""
    return ArmError(
        429,
        "SubscriptionRequestsThrottled",
        f"Number of '{kind}' requests for subscription '{subscription}' actor 'rehearsal' exceeded. Please try again "
        f"after '{max(1, round(seconds))}' seconds after additional tokens are available. Refer to "
        "https://aka.ms/arm-throttling for additional information.",
        retry_after=seconds,
    )


def invalid(message: str, *, target: str = "", flat: bool = False, status: int = 400) -> ArmError:
    """A refusal whose own code no source gives; `InvalidParameter` is what the services use where they have none."""
    return ArmError(status, "InvalidParameter", message, target=target, flat=flat)


def reference_missing(referrer: str, referred: str) -> ArmError:
    """A resource of Microsoft.Network names another that is not there (azurerm #8105 and many others)."""
    return ArmError(
        400,
        "InvalidResourceReference",
        f"Resource {referred} referenced by resource {referrer} was not found. Please make sure that the referenced "
        "resource exists, and that both resources are in the same region.",
    )


def properties_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The `properties` of a resource; empty where it has none."""
    found = body.get("properties")
    return dict(found) if isinstance(found, Mapping) else {}
