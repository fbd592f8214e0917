"""Runs the commands that a diagnosis or an audit prints, word by word, on the simulated Azure and a real API server.

Only what Headroom prints is known; any other command fails the rehearsal, so that no step is scripted beside it.
"""

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from azure.core.rest import HttpRequest

from headroom.rehearsal.aks_estate import Estate
from headroom.rehearsal.aks_fleet import Fleet
from headroom.rehearsal.kube import NODES, PODS, ApiError
from headroom.rehearsal.kubelets import bound_to

DRAIN_SECONDS: Final = 60
"""Wall time that a drain may take."""
_TOO_MANY: Final = 429
_NOT_FOUND: Final = 404


class UnknownCommandError(RuntimeError):
    """A command that the rehearsal cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Where commands run: the simulated Azure, and the cluster of the current context."""

    estate: Estate
    fleet: Fleet

    def run(self, command: str) -> list[str]:
        """Runs one line, commands joined by `&&` included; gives what was done, in words.

        Raises:
            UnknownCommandError: It is not one that Headroom prints.
        """
        said: list[str] = []
        for part in _parts(command):
            said += self._one(part)
        return said

    def _one(self, words: Sequence[str]) -> list[str]:
        known: Mapping[tuple[str, ...], Callable[[Sequence[str]], list[str]]] = {
            ("az", "aks", "nodepool", "scale"): self._scale,
            ("az", "aks", "nodepool", "update"): self._autoscale,
            ("az", "rest"): self._rest,
            ("kubectl", "cordon"): self._cordon,
            ("kubectl", "uncordon"): self._uncordon,
            ("kubectl", "drain"): self._drain,
        }
        for name, target in known.items():
            if tuple(words[: len(name)]) == name:
                return target(words[len(name) :])
        raise UnknownCommandError(f"the rehearsal cannot run: {shlex.join(words)}")

    def _scale(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        return self._pool(options, {"count": int(options["--node-count"])})

    def _autoscale(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        least, most = int(options["--min-count"]), int(options["--max-count"])
        return self._pool(options, {"enableAutoScaling": True, "minCount": least, "maxCount": most, "count": least})

    def _pool(self, options: Mapping[str, str], changes: Mapping[str, Any]) -> list[str]:
        where = (options["--resource-group"], options["--cluster-name"], options["--name"])
        pools = self.estate.containers.agent_pools
        body: Any = pools.get(*where).as_dict()
        body["properties"] |= changes
        pools.begin_create_or_update(*where, body).result()
        came, went = self.fleet.follow()
        return [*(f"node {name} joins" for name in came), *(f"node {name} goes" for name in went)]

    def _rest(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        url = urlsplit(options["--url"])
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        body = json.loads(options["--body"])
        method = options["--method"].upper()
        request = HttpRequest(method, f"{self.estate.arm.url}{url.path}", params=query, json=body)
        response = self.estate.network._client.send_request(request)  # noqa: SLF001 - its pipeline, for any type
        response.raise_for_status()
        return [f"{method} {url.path.rpartition('/providers/')[2]}: {response.status_code}"]

    def _cordon(self, words: Sequence[str]) -> list[str]:
        return self._unschedulable(words, wanted=True)

    def _uncordon(self, words: Sequence[str]) -> list[str]:
        return self._unschedulable(words, wanted=False)

    def _unschedulable(self, names: Sequence[str], *, wanted: bool) -> list[str]:
        for name in names:
            self.fleet.kubelets.kube.patch(NODES, name, {"spec": {"unschedulable": wanted or None}})
        return [f"node/{name} {'' if wanted else 'un'}cordoned" for name in names]

    def _drain(self, words: Sequence[str]) -> list[str]:
        """Cordons, evicts what is no DaemonSet's, and waits until it is gone."""
        names = [word for word in words if not word.startswith("--")]
        kube = self.fleet.kubelets.kube
        self._unschedulable(names, wanted=True)
        deadline = time.monotonic() + DRAIN_SECONDS
        evicted: set[str] = set()
        while left := _drainable(bound_to(kube, names)):
            if time.monotonic() > deadline:
                raise UnknownCommandError(f"the drain of {', '.join(names)} does not end: {len(left)} pods are left")
            for pod in left:
                metadata = pod["metadata"]
                if metadata["uid"] not in evicted and _evict(kube, metadata["namespace"], metadata["name"]):
                    evicted.add(metadata["uid"])
            time.sleep(0.2)
        return [f"node/{name} drained" for name in names] + [f"{len(evicted)} pods evicted"]


def _drainable(pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [
        pod
        for pod in pods
        if all(owner["kind"] != "DaemonSet" for owner in pod["metadata"].get("ownerReferences") or ())
    ]


def _evict(kube: Any, namespace: str, name: str) -> bool:
    """Asks for an eviction; false where a PodDisruptionBudget forbids it for now."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"gracePeriodSeconds": 0},
    }
    try:
        kube.request("POST", PODS.path(namespace=namespace, name=name, subresource="eviction"), body=body)
    except ApiError as error:
        if error.code == _NOT_FOUND:
            return True
        if error.code != _TOO_MANY:
            raise
        return False
    return True


def _parts(command: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _options(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, sign, value = word.partition("=")
            found[name] = value if sign else ""
        elif name:
            found[name] = word
    return found
