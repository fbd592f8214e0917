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
from headroom.rehearsal.kube import CRON_JOBS, DEPLOYMENTS, NODES, PODS, ApiError
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
            ("az", "aks", "nodepool", "delete-machines"): self._delete_machines,
            ("az", "aks", "nodepool", "add"): self._add_pool,
            ("az", "aks", "update"): self._update,
            ("az", "network", "vnet", "subnet", "create"): self._subnet,
            ("az", "rest"): self._rest,
            ("kubectl", "cordon"): self._cordon,
            ("kubectl", "uncordon"): self._uncordon,
            ("kubectl", "drain"): self._drain,
            ("kubectl", "--context"): self._in_context,
        }
        for name, target in known.items():
            if tuple(words[: len(name)]) == name:
                try:
                    return target(words[len(name) :])
                except KeyError as error:
                    raise UnknownCommandError(f"{shlex.join(words)} lacks {error.args[0]}") from error
        if words[:1] == ["az"] and "show" in words and "--ids" in words:
            return self._show(words)
        raise UnknownCommandError(f"the rehearsal cannot run: {shlex.join(words)}")

    def _scale(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        return self._pool(options, {"count": int(options["--node-count"])})

    def _autoscale(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        least, most = int(options["--min-count"]), int(options["--max-count"])
        return self._pool(options, {"enableAutoScaling": True, "minCount": least, "maxCount": most})

    def _pool(self, options: Mapping[str, str], changes: Mapping[str, Any]) -> list[str]:
        where = _where(options)
        pools = self.estate.containers.agent_pools
        body: Any = pools.get(*where).as_dict()
        body["properties"] |= changes
        if changes.get("enableAutoScaling"):
            # A count within the two stays; the autoscaler brings another one there.
            count = max(body["properties"]["count"], changes["minCount"])
            body["properties"]["count"] = min(count, changes["maxCount"])
        pools.begin_create_or_update(*where, body).result()
        return self._followed()

    def _delete_machines(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        machines: Any = {"machineNames": options["--machine-names"].split()}
        self.estate.containers.agent_pools.begin_delete_machines(*_where(options), machines).result()
        self.fleet.gone |= set(machines["machineNames"])
        return self._followed()

    def _add_pool(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        properties = {
            field: convert(options[name]) for name, (field, convert) in _POOL_FIELDS.items() if name in options
        }
        if "--enable-cluster-autoscaler" in options:
            properties["enableAutoScaling"] = True
        body: Any = {"properties": {"type": "VirtualMachineScaleSets", "osType": "Linux", **properties}}
        self.estate.containers.agent_pools.begin_create_or_update(*_where(options), body).result()
        return self._followed()

    def _update(self, words: Sequence[str]) -> list[str]:
        """Changes the cluster's network profile, as `az aks update` does: a PUT of what there is and the change."""
        options = _options(words)
        where = (options["--resource-group"], options.get("--name") or options["--cluster-name"])
        clusters = self.estate.containers.managed_clusters
        body: Any = clusters.get(*where).as_dict()
        changes = {field: options[name] for name, field in _PROFILE_FIELDS.items() if name in options}
        if not changes:
            raise UnknownCommandError(f"the rehearsal cannot run: az aks update {shlex.join(words)}")
        body["properties"]["networkProfile"] |= changes
        clusters.begin_create_or_update(*where, body).result()
        return self._followed()

    def _subnet(self, words: Sequence[str]) -> list[str]:
        options = _options(words)
        properties: dict[str, Any] = {"addressPrefix": options["--address-prefixes"]}
        for name, field in _SUBNET_REFERENCES.items():
            if name in options:
                properties[field] = {"id": options[name]}
        body: Any = {"properties": properties}
        where = (options["--resource-group"], options["--vnet-name"], options["--name"])
        self.estate.network.subnets.begin_create_or_update(*where, body).result()
        return [f"subnet {where[2]} {properties['addressPrefix']} is there"]

    def _followed(self) -> list[str]:
        came, went = self.fleet.follow()
        return [*(f"node {name} goes" for name in went), *(f"node {name} joins" for name in came)]

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

    def _show(self, words: Sequence[str]) -> list[str]:
        """What a resource has, in a line a property."""
        found = self.estate.get(_options(words)["--ids"])["properties"]
        return [
            f"{name}: {', '.join(str(each.get('name') or each.get('id')) for each in value)}"
            for name, value in found.items()
            if isinstance(value, list)
        ]

    def _nodes(self, words: Sequence[str]) -> list[str]:
        """The nodes that are named, or that a label selects."""
        selector = next((words[at + 1] for at, word in enumerate(words) if word in {"-l", "--selector"}), "")
        if selector:
            return [node["metadata"]["name"] for node in self.fleet.kubelets.kube.list_all(NODES, labels=selector)]
        return [word for word in words if not word.startswith("-")]

    def _cordon(self, words: Sequence[str]) -> list[str]:
        return self._unschedulable(self._nodes(words), wanted=True)

    def _uncordon(self, words: Sequence[str]) -> list[str]:
        return self._unschedulable(self._nodes(words), wanted=False)

    def _unschedulable(self, names: Sequence[str], *, wanted: bool) -> list[str]:
        for name in names:
            self.fleet.kubelets.kube.patch(NODES, name, {"spec": {"unschedulable": wanted or None}})
        return [f"node/{name} {'' if wanted else 'un'}cordoned" for name in names]

    def _in_context(self, words: Sequence[str]) -> list[str]:
        """Suspends a CronJob, scales a Deployment or drains nodes, in the cluster of this shell."""
        match words:
            case [self.fleet.cluster, "drain", *drained]:
                return self._drain(drained)
            case [self.fleet.cluster, "--namespace", namespace, "patch", target, "--patch", text]:
                body, done = json.loads(text), "patched"
            case [self.fleet.cluster, "--namespace", namespace, "scale", target, "--replicas", count]:
                body, done = {"spec": {"replicas": int(count)}}, "scaled"
            case _:
                raise UnknownCommandError(f"the rehearsal cannot run: kubectl --context {shlex.join(words)}")
        kind, _, name = target.partition("/")
        self.fleet.kubelets.kube.patch(
            {"cronjob": CRON_JOBS, "deployment": DEPLOYMENTS}[kind], name, body, namespace=namespace
        )
        return [f"{target} {done}"]

    def _drain(self, words: Sequence[str]) -> list[str]:
        """Cordons, evicts what is no DaemonSet's, and waits until it is gone."""
        names = self._nodes(words)
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


_POOL_FIELDS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "--mode": ("mode", str),
    "--node-count": ("count", int),
    "--min-count": ("minCount", int),
    "--max-count": ("maxCount", int),
    "--max-pods": ("maxPods", int),
    "--node-vm-size": ("vmSize", str),
    "--os-sku": ("osSKU", str),
    "--vnet-subnet-id": ("vnetSubnetID", str),
    "--pod-subnet-id": ("podSubnetID", str),
    "--zones": ("availabilityZones", str.split),
}
"""Options of `az aks nodepool add`, each with the API's name."""
_PROFILE_FIELDS: Final = {
    "--network-plugin": "networkPlugin",
    "--network-plugin-mode": "networkPluginMode",
    "--pod-cidr": "podCidr",
    "--network-policy": "networkPolicy",
    "--network-dataplane": "networkDataplane",
    "--outbound-type": "outboundType",
}
_SUBNET_REFERENCES: Final = {
    "--network-security-group": "networkSecurityGroup",
    "--nat-gateway": "natGateway",
    "--route-table": "routeTable",
}


def _where(options: Mapping[str, str]) -> tuple[str, str, str]:
    return options["--resource-group"], options["--cluster-name"], options["--name"]


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
            found[name] = f"{found[name]} {word}".strip()
    return found
