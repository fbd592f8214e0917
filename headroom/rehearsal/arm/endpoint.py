"""Starts the simulated Azure as a process of its own, and speaks to its back door."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import urllib3
from azure.core.credentials import AccessToken

from headroom.rehearsal.arm.certificate import CERTIFICATE
from headroom.rehearsal.arm.settings import SUBSCRIPTION
from headroom.rehearsal.providers.process import Helper, start_helper

REQUEST_LOG: Final = "arm-requests.jsonl"
"""File in the endpoint's folder with one JSON line a request: time, operation, path, status, code, seconds."""

BACK_DOOR_SECONDS: Final = 60.0
"""Longest wait for an answer of the back door."""

SCOPE: Final = "https://management.invalid/.default"
"""What tokens are asked for; the credential below gives one for anything."""


class BackDoorRefusedError(RuntimeError):
    """The back door did not do what it was asked."""


class RehearsalCredential:
    """A credential that asks nobody; azure-identity's would have to sign in."""

    def __init__(self, token: str = "rehearsal", seconds: int = 3600) -> None:  # noqa: S107  # no secret
        self.token = token
        self.seconds = seconds
        self.asked = 0

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token for any scope; `asked` counts them."""
        del scopes, options
        self.asked += 1
        return AccessToken(self.token, int(time.time()) + self.seconds)


@dataclass(frozen=True)
class Endpoint:
    """The running simulated Azure; a context manager that stops it.

    Attributes:
        helper: Its process.
        folder: Where its logs and its certificate lie.
    """

    helper: Helper
    folder: Path

    @property
    def url(self) -> str:
        """Where it answers, as Azure Resource Manager, as Log Analytics and as Azure Monitor."""
        return f"https://127.0.0.1:{self.helper.port}"

    @property
    def certificate(self) -> Path:
        """The certificate that clients have to trust."""
        return self.folder / CERTIFICATE

    @property
    def subscription(self) -> str:
        """The subscription that is there from the start."""
        return SUBSCRIPTION

    @property
    def request_log(self) -> Path:
        """One JSON line a request."""
        return self.folder / REQUEST_LOG

    def credential(self) -> RehearsalCredential:
        """A credential for any client."""
        return RehearsalCredential()

    def options(self) -> dict[str, Any]:
        """Keyword arguments of a client of azure-mgmt-*, and of azure-mgmt-core's ARMPipelineClient."""
        return {"base_url": self.url, "credential_scopes": [SCOPE], "connection_verify": str(self.certificate)}

    def monitor_options(self) -> dict[str, Any]:
        """Keyword arguments of LogsQueryClient and MetricsClient."""
        return {"endpoint": self.url, "credential_scopes": [SCOPE], "connection_verify": str(self.certificate)}

    def environment(self) -> dict[str, str]:
        """Variables under which Python's ssl, requests and OpenSSL trust it, and under which Headroom uses it."""
        return {
            "SSL_CERT_FILE": str(self.certificate),
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "ARM_SUBSCRIPTION_ID": self.subscription,
            "HEADROOM_REHEARSAL_ARM": self.url,
        }

    def requests(self) -> list[dict[str, Any]]:
        """The request log so far."""
        if not self.request_log.exists():
            return []
        return [json.loads(line) for line in self.request_log.read_text(encoding="utf-8").splitlines()]

    def calls(self) -> dict[str, int]:
        """How often each operation was asked for since the start or the last `forget_calls`, whatever the answer."""
        counts: dict[str, int] = {}
        for entry in self.back_door("GET", "calls"):
            counts[entry["operation"]] = counts.get(entry["operation"], 0) + int(entry["count"])
        return counts

    def forget_calls(self) -> None:
        """Start counting anew."""
        self.back_door("DELETE", "calls")

    def change(self, **settings: float) -> None:
        """Change settings, by their names in `Settings`."""
        self.back_door("POST", "settings", settings)

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return float(self.back_door("GET", "clock")["now"])

    def advance(self, seconds: float) -> float:
        """Jump ahead in simulated time; gives the time then."""
        return float(self.back_door("POST", "clock", {"advance": seconds})["now"])

    def order(self, operation: str, effect: str, **details: Any) -> None:
        """Order a fault (see `faults.Fault`)."""
        self.back_door("POST", "faults", {"operation": operation, "effect": effect, **details})

    def clear_faults(self) -> None:
        """Forget what was ordered and has not happened."""
        self.back_door("DELETE", "faults")

    def add_subscription(self, identifier: str, name: str = "") -> None:
        """Another subscription."""
        self.back_door("POST", "subscriptions", {"id": identifier, "name": name})

    def add_resources(self, resources: Iterable[Mapping[str, Any]], *, api_version: str = "2024-05-01") -> list[str]:
        """Put many resources at once, as PUTs would; groups and subscriptions are made as need be."""
        content = {"resources": [dict(item) for item in resources], "api_version": api_version}
        return list(self.back_door("POST", "resources", content))

    def resources(self) -> list[str]:
        """The id of everything that there is."""
        return list(self.back_door("GET", "resources"))

    def answer_logs(self, name: str, **answer: Any) -> None:
        """Name, or replace, an answer to log queries (see `monitor.LogAnswer`)."""
        self.back_door("POST", "logs", {"name": name, **answer})

    def forget_logs(self) -> None:
        """Take away all answers."""
        self.back_door("DELETE", "logs")

    def write_metric(
        self,
        resource: str,
        metric: str,
        points: Iterable[tuple[float, float]],
        *,
        unit: str = "Count",
        **dimensions: str,
    ) -> None:
        """Write points of a metric: simulated seconds since the epoch, and the value."""
        content = {"resource": resource, "metric": metric, "points": [list(point) for point in points], "unit": unit}
        self.back_door("POST", "metrics", {**content, "dimensions": dimensions})

    def set_usages(self, location: str, namespace: str, usages: Mapping[str, tuple[int, int]]) -> None:
        """Quotas of the subscription: name, and what is used and allowed, such as `{"cores": (0, 200)}`.

        What the simulated clusters use of `cores` in `Microsoft.Compute` is added.
        """
        listed = [
            {
                "name": {"value": name, "localizedValue": name},
                "currentValue": current,
                "limit": limit,
                "unit": "Count",
            }
            for name, (current, limit) in usages.items()
        ]
        content = {"subscription": self.subscription, "location": location, "namespace": namespace, "usages": listed}
        self.back_door("POST", "usages", content)

    def name_size(self, name: str, location: str, *, vcpus: int, family: str, restricted: str = "") -> None:
        """A VM size as `Microsoft.Compute/skus` has it; `restricted` is the reason why it cannot be had there."""
        restrictions = [{"type": "Location", "values": [location], "reasonCode": restricted}] if restricted else []
        self.back_door(
            "POST",
            "sizes",
            {
                "resourceType": "virtualMachines",
                "name": name,
                "family": family,
                "locations": [location],
                "capabilities": [{"name": "vCPUs", "value": str(vcpus)}],
                "restrictions": restrictions,
            },
        )

    def note_activity(self, entry: Mapping[str, Any]) -> None:
        """An entry of the activity log; changes that fail write their own."""
        self.back_door("POST", "activity", dict(entry))

    def take_addresses(self, subnet: str, addresses: int) -> None:
        """Say how many addresses of a subnet others than AKS hold."""
        self.back_door("POST", "taken", {"subnet": subnet, "addresses": addresses})

    def change_cluster(self, cluster: str, **values: Any) -> None:
        """What Azure does not show of a cluster: `kubeconfig` (base64), `custom_ip_masq`."""
        self.back_door("POST", "cluster", {"id": cluster, **values})

    def split(
        self, group: str, *, latencies: Mapping[str, float] | None = None, healthy: Mapping[str, bool] | None = None
    ) -> dict[str, float]:
        """The share of requests that each origin of a Front Door's group gets now (see `frontdoor.split`)."""
        content = {"group": group, "latencies": dict(latencies or {}), "healthy": dict(healthy or {})}
        return dict(self.back_door("POST", "split", content)["shares"])

    def settled_at(self, group: str) -> float:
        """When all that was changed of a Front Door will have reached its edges, in simulated seconds."""
        return float(self.back_door("POST", "split", {"group": group})["settledAt"])

    def back_door(self, method: str, name: str, content: Any = None) -> Any:
        """One request to the back door.

        Raises:
            BackDoorRefusedError: It was refused; carries the reason.
        """
        body = None if content is None else json.dumps(content).encode()
        response = self._connections.request(
            method, f"{self.url}/headroom/{name}", body=body, headers={"Content-Type": "application/json"}
        )
        found: Any = json.loads(response.data) if response.data else None
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise BackDoorRefusedError(found["error"])
        return found

    @cached_property
    def _connections(self) -> urllib3.PoolManager:
        """Connections that stay open: a scenario asks thousands of times, and a handshake is dearer than an answer."""
        return urllib3.PoolManager(
            ca_certs=str(self.certificate), timeout=urllib3.Timeout(BACK_DOOR_SECONDS), retries=False, maxsize=8
        )

    def close(self) -> None:
        """Stop it."""
        self._connections.clear()
        self.helper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start_arm(folder: Path, **settings: float) -> Endpoint:
    """Start the simulated Azure.

    Args:
        folder: Where its logs and its certificate go; made if need be.
        settings: Fields of `Settings` that differ from their defaults.

    Raises:
        HelperError: It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--port", "0", "--certificates", str(folder), "--log", str(folder / REQUEST_LOG)]
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments += [f"--{flag}", str(value)]
    helper = start_helper("headroom.rehearsal.arm", arguments, log=folder / "arm.log")
    return Endpoint(helper, folder)
