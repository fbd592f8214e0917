"""Starts the simulated AWS as a process of its own, and speaks to its back door."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from headroom.rehearsal.aws.settings import ACCOUNT
from headroom.rehearsal.providers.process import Helper, start_helper

REQUEST_LOG = "aws-requests.jsonl"
"""File in the endpoint's folder with one JSON line a request: time, service, action, code, seconds."""

BACK_DOOR_SECONDS = 60.0
"""Longest wait for an answer of the back door; planting a large cluster takes seconds."""


class BackDoorRefusedError(RuntimeError):
    """The back door did not do what it was asked."""


@dataclass(frozen=True, slots=True)
class AwsNode:
    """A cluster's aws-node as EKS holds it to be: its environment, and the add-on version that it came of last."""

    environment: Mapping[str, str]
    version: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The running simulated AWS; a context manager that stops it.

    Attributes:
        helper: Its process.
        folder: Where its logs lie.
    """

    helper: Helper
    folder: Path

    @property
    def url(self) -> str:
        """What AWS_ENDPOINT_URL has to be."""
        return self.helper.url

    @property
    def account(self) -> str:
        """The account that every caller belongs to."""
        return ACCOUNT

    @property
    def request_log(self) -> Path:
        """One JSON line a request."""
        return self.folder / REQUEST_LOG

    def environment(self, region: str = "us-east-1") -> dict[str, str]:
        """Variables under which boto3, the aws CLI and the stand-in provider use this endpoint, and no other."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def requests(self) -> list[dict[str, Any]]:
        """The request log so far."""
        if not self.request_log.exists():
            return []
        text = self.request_log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def calls(self) -> dict[str, int]:
        """How often each action was called since the start or the last `forget_calls`, whatever the answer."""
        counts: dict[str, int] = {}
        for entry in self.back_door("GET", "calls"):
            counts[entry["action"]] = counts.get(entry["action"], 0) + int(entry["count"])
        return counts

    def forget_calls(self) -> None:
        """Start counting anew."""
        self.back_door("DELETE", "calls")

    def change(self, **settings: float) -> None:
        """Change settings, by their names in `Settings`."""
        self.back_door("POST", "settings", settings)

    def fail(self, action: str, code: str, **details: Any) -> None:
        """Refuse the next call of an action (or `count` of them, after `skip`) with an error code."""
        self.back_door("POST", "faults", {"action": action, "effect": "fail", "code": code, **details})

    def delay(self, action: str, seconds: float, **details: Any) -> None:
        """Delay the next call of an action (or `count` of them)."""
        self.back_door("POST", "faults", {"action": action, "effect": "delay", "seconds": seconds, **details})

    def kill(self, action: str, pid: int, **details: Any) -> None:
        """Kill a process when the action comes: `moment="before"` or `"after"` it has taken effect."""
        self.back_door("POST", "faults", {"action": action, "effect": "kill", "pid": pid, **details})

    def clear_faults(self) -> None:
        """Forget what was ordered and has not happened."""
        self.back_door("DELETE", "faults")

    def plant(self, instances: list[dict[str, Any]], region: str = "us-east-1") -> list[dict[str, Any]]:
        """Plant many instances with their interfaces at once (see `seed.plant`)."""
        planted = self.back_door("POST", "seed", {"region": region, "instances": instances})
        return list(planted["instances"])

    def replicate(self, content: Mapping[str, Any]) -> list[str]:
        """Rebuild a VPC as a snapshot has it (see `replica.replicate`); sentences about what was left out."""
        return list(self.back_door("POST", "replica", content)["leftOut"])

    def aws_node_environment(self, cluster: str) -> dict[str, str]:
        """The environment of a simulated cluster's aws-node."""
        return dict(self.back_door("GET", "daemonset", {"cluster": cluster}))

    def aws_node(self, cluster: str) -> AwsNode:
        """A simulated cluster's aws-node as EKS holds it to be."""
        version = self.back_door("GET", "daemonset-version", {"cluster": cluster})
        return AwsNode(self.aws_node_environment(cluster), str(version))

    def set_aws_node_environment(self, cluster: str, environment: Mapping[str, str]) -> None:
        """What `kubectl set env` does: change aws-node behind the add-on's back."""
        self.back_door("PUT", "daemonset", {"cluster": cluster, "environment": dict(environment)})

    def serve_clusters_at(self, endpoint: str, authority: bytes) -> None:
        """Have DescribeCluster tell the rehearsal's control plane, as EKS tells its own.

        Args:
            endpoint: Its URL.
            authority: Its certificate authority in PEM.
        """
        content = {"endpoint": endpoint, "authority": base64.b64encode(authority).decode()}
        self.back_door("PUT", "api-server", content)

    def back_door(self, method: str, name: str, content: Any = None) -> Any:
        """One request to the back door.

        Raises:
            BackDoorRefusedError: It was refused; carries the reason.
        """
        body = None if content is None else json.dumps(content).encode()
        request = Request(  # noqa: S310  # our own address
            f"{self.url}/headroom/{name}", data=body, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urlopen(request, timeout=BACK_DOOR_SECONDS) as response:  # noqa: S310  # the same
                return json.loads(response.read())
        except HTTPError as error:
            with error:
                raise BackDoorRefusedError(json.loads(error.read())["error"]) from error

    def close(self) -> None:
        """Stop it."""
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


def start_endpoint(folder: Path, *, daemonset: str = "", **settings: float) -> Endpoint:
    """Start the simulated AWS.

    Args:
        folder: Where its logs go; made if need be.
        daemonset: `MODULE:FUNCTION` that makes the LiveEnvironment of aws-node; empty for one in memory.
        settings: Fields of `Settings` that differ from their defaults.

    Raises:
        HelperError: It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--port", "0", "--log", str(folder / REQUEST_LOG)]
    if daemonset:
        arguments += ["--daemonset", daemonset]
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments += [flag] if value else []
        else:
            arguments += [flag, str(value)]
    helper = start_helper("headroom.rehearsal.aws", arguments, log=folder / "aws.log")
    return Endpoint(helper, folder)
