"""What all stand-in resource types of `azure-native` share: the way to Azure Resource Manager and its errors.

The stand-in does what the real provider does: a PUT of the whole body, a look at the operation until it is over, a
GET (pulumi-azure-native, provider/pkg/provider/provider.go and crud/crud.go).
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy, RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core import ARMPipelineClient

from headroom.rehearsal.arm.endpoint import SCOPE, RehearsalCredential
from headroom.rehearsal.arm.settings import SUBSCRIPTION
from headroom.rehearsal.providers.common import Call, current_call

MAX_ATTEMPTS: Final = 10
"""Attempts of one request while Azure throttles."""

POLL_SECONDS: Final = 0.02
"""How often an operation is looked at where Azure does not say; the real provider waits 10 s."""

GROUPS_VERSION: Final = "2020-10-01"
"""API version with which the provider asks for the location of a resource group (pulumi-azure-native,
provider/pkg/provider/provider.go, apiVersionResources)."""

BUSY: Final = "AnotherOperationInProgress"
"""The only conflict after which the provider tries again by itself."""

_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: str
    certificate: str


_ENDPOINT: list[_Endpoint] = []


class RefusedError(Exception):
    """An answer of Azure that is no success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f'Status={status} Code="{code}" Message="{message}"')
        self.status = status
        self.code = code


def use_endpoint(url: str, certificate: Path | str) -> None:
    """Say where Azure is and what to trust; every program's provider then goes there."""
    _ENDPOINT[:] = [_Endpoint(url, str(certificate))]
    _client.cache_clear()


def client() -> Any:
    """The client of Azure Resource Manager."""
    with _LOCK:
        return _client(_ENDPOINT[0])


@cache
def _client(endpoint: _Endpoint) -> Any:
    policies = [
        HeadersPolicy(),
        RetryPolicy(retry_total=MAX_ATTEMPTS, retry_backoff_factor=0.05),
        BearerTokenCredentialPolicy(RehearsalCredential(), SCOPE),
    ]
    transport = RequestsTransport(connection_verify=endpoint.certificate)
    return ARMPipelineClient(base_url=endpoint.url, policies=policies, transport=transport)


def subscription_of(call: Call) -> str:
    """The subscription of the provider instance."""
    return str(call.configuration.get("subscriptionId") or SUBSCRIPTION)


def get(path: str, api_version: str) -> dict[str, Any] | None:
    """A resource, or None if it is not there.

    Raises:
        RefusedError: Azure refused it.
    """
    response = _send("GET", path, api_version)
    if response.status_code == 404:  # noqa: PLR2004  # HTTP
        return None
    return _content(response)


def put(path: str, api_version: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Puts a resource; gives what Azure shows of it and where to ask for the operation, empty for none.

    Raises:
        RefusedError: Azure refused it.
    """
    response = _send("PUT", path, api_version, body)
    return _content(response), str(response.headers.get("Azure-AsyncOperation") or "")


def post(path: str, api_version: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Calls an action.

    Raises:
        RefusedError: Azure refused it.
    """
    return _content(_send("POST", path, api_version, body or {}))


def delete(path: str, api_version: str) -> str:
    """Takes a resource away; gives where to ask for the operation, empty for none.

    Raises:
        RefusedError: Azure refused it.
    """
    response = _send("DELETE", path, api_version)
    if response.status_code != 404:  # noqa: PLR2004  # HTTP
        _content(response)
    return str(response.headers.get("Azure-AsyncOperation") or "")


def wait(call: Call, operation: str, *, what: str) -> None:
    """Waits for an operation.

    Raises:
        RefusedError: It failed.
        ProviderError: It took longer than the program allows.
        NotWantedError: The engine has gone.
    """
    if not operation:
        return
    last: dict[str, Any] = {}

    def over() -> bool:
        response = client().send_request(HttpRequest("GET", operation))
        last.update(_content(response))
        return str(last["status"]) in {"Succeeded", "Failed", "Canceled"}

    call.wait_until(over, reason=lambda: f"waiting for {what}: it is {last.get('status')}", every=POLL_SECONDS)
    if last["status"] != "Succeeded":
        error = last.get("error") or {}
        raise RefusedError(200, str(error.get("code")), str(error.get("message")))


def error_text(doing: str, error: Exception) -> str | None:
    """The text as the real provider shows an error of Azure, or None for other errors."""
    del doing
    return str(error) if isinstance(error, RefusedError | AzureError) else None


def _send(method: str, path: str, api_version: str, body: Mapping[str, Any] | None = None) -> HttpResponse:
    call = current_call()
    made = client()
    for attempt in range(MAX_ATTEMPTS):
        if call:
            call.check_wanted()
        request = HttpRequest(method, made.format_url(path), params={"api-version": api_version}, json=body)
        response: HttpResponse = made.send_request(request)
        if not _is_busy(response) or attempt == MAX_ATTEMPTS - 1:
            break
        time.sleep(POLL_SECONDS)
    return response


def _is_busy(response: HttpResponse) -> bool:
    """A conflict that passes (pulumi-azure-native, provider/pkg/azure/client_azcore.go, shouldRetryConflict)."""
    return response.status_code == 409 and BUSY in response.text()  # noqa: PLR2004  # HTTP


def _content(response: HttpResponse) -> dict[str, Any]:
    text = response.text()
    content = response.json() if text.strip() else {}
    if response.status_code < 400:  # noqa: PLR2004  # HTTP
        return dict(content)
    error = content.get("error")
    if error:
        raise RefusedError(response.status_code, str(error.get("code")), str(error.get("message")))
    # AKS answers without `error` around it: the real provider shows all of it (client_azcore.go, newResponseError).
    raise RefusedError(response.status_code, str(content.get("code")), text)
