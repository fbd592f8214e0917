"""The nodes of a simulated AKS cluster: as many as its pools say in the simulated Azure, with the network they got."""

import itertools
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from headroom.addresses.azure import OVERLAY_NODE_PREFIX_LENGTH as BLOCK_LENGTH
from headroom.addresses.blocks import Block, format_address
from headroom.rehearsal.aks_cni import Cns, HostLocal
from headroom.rehearsal.aks_estate import LOCATION, Estate
from headroom.rehearsal.kube import ApiError, Resource
from headroom.rehearsal.kubelets import Cni, Kubelet, Kubelets, NoAddressError

FIRST_HOST: Final = 4
"""Offset of the first address that Azure gives out in a subnet (Azure Virtual Network documentation)."""
CPU: Final = "3860m"
MEMORY: Final = "14377024Ki"
"""What a node of Standard_D4ds_v5 has for pods, by the post-mortem's own `kubectl describe node`."""
CRDS: Final = Resource(
    group_version="apiextensions.k8s.io/v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
CONFIGS: Final = Resource(group_version="acn.azure.com/v1alpha", plural="nodenetworkconfigs", kind="NodeNetworkConfig")
_SCHEMA: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A node as Azure has it."""

    name: str
    pool: str
    index: int
    address: str
    block: Block | None
    pod_cidr: str
    max_pods: int
    vm_size: str


@dataclass(slots=True, kw_only=True)
class Fleet:
    """The nodes of one cluster.

    Attributes:
        estate: The simulated Azure.
        cluster: The cluster's name.
        kubelets: Its kubelets.
        folder: Where their files are, a folder a node.
        gone: Machines that were deleted one by one.
    """

    estate: Estate
    cluster: str
    kubelets: Kubelets
    folder: Path
    gone: set[str] = field(default_factory=set)
    _places: dict[str, int] = field(default_factory=dict)
    _has_crd: bool = False
    _plugin: str = ""

    def follow(self) -> tuple[list[str], list[str]]:
        """Makes the nodes as many as the pools say; gives those that came and those that went."""
        found = self.estate.containers.managed_clusters.get(self.estate.group, self.cluster).as_dict()
        wanted = {node.name: node for node in self._wanted(found["properties"])}
        plugin = str(found["properties"]["networkProfile"]["networkPlugin"])
        group = found["properties"]["nodeResourceGroup"]
        home = f"/subscriptions/{self.estate.arm.subscription}/resourceGroups/{group}"
        self.kubelets.machines = f"{home}/providers/Microsoft.Compute"
        # With another plugin every machine is made anew, all at once (AKS documentation, update-azure-cni).
        anew = self._plugin not in {"", plugin}
        self._plugin = plugin
        gone = [name for name in self.kubelets.nodes if name not in wanted or anew]
        for name in gone:
            self.kubelets.remove(name)
            if name not in wanted:
                self._places.pop(name, None)
        new = [node for name, node in wanted.items() if name not in self.kubelets.nodes]
        overlay = found["properties"]["networkProfile"]["networkPlugin"] != "kubenet"
        for node in new:
            self._join(node, overlay=overlay)
        if overlay:
            self._grow(wanted)
        return [node.name for node in new], gone

    def _wanted(self, cluster: Mapping[str, Any]) -> list[_Wanted]:
        profile = cluster["networkProfile"]
        kubenet = profile["networkPlugin"] == "kubenet"
        pods = Block.parse(profile["podCidr"])
        listed = self.estate.containers.agent_pools.list(self.estate.group, self.cluster)
        pools = [{"name": each["name"], **each["properties"]} for each in (pool.as_dict() for pool in listed)]
        subnets = {
            each: self.estate.subnet(each.rpartition("/")[2])["properties"]
            for each in {pool["vnetSubnetID"] for pool in pools}
        }
        routes = self._routes(subnets[pools[0]["vnetSubnetID"]]) if kubenet else {}
        found = []
        for pool in pools:
            subnet = subnets[pool["vnetSubnetID"]]
            first = Block.parse(subnet.get("addressPrefix") or subnet["addressPrefixes"][0]).first + FIRST_HOST
            named = f"aks-{pool['name']}-vmss"
            numbers = (number for number in itertools.count() if f"{named}{number:06x}" not in self.gone)
            for index in itertools.islice(numbers, int(pool["count"])):
                name = f"{named}{index:06x}"
                place = self._place(name)
                block, address = routes.get(name, (None, format_address(first + place)))
                if not kubenet and place < pods.count_of(BLOCK_LENGTH):
                    block = pods.subblock(place, BLOCK_LENGTH)
                found.append(
                    _Wanted(
                        name=name,
                        pool=pool["name"],
                        index=index,
                        address=address,
                        block=block,
                        pod_cidr=str(pods),
                        max_pods=int(pool["maxPods"]),
                        vm_size=pool["vmSize"],
                    )
                )
        return found

    def _place(self, name: str) -> int:
        """A node's number: its own where it has one, else the lowest that nobody has."""
        if name not in self._places:
            taken = set(self._places.values())
            self._places[name] = next(index for index in itertools.count() if index not in taken)
        return self._places[name]

    def _routes(self, subnet: Mapping[str, Any]) -> dict[str, tuple[Block | None, str]]:
        """Block and address of each node that has a route: kubenet's cloud controller writes one a node."""
        table = (subnet.get("routeTable") or {}).get("id")
        if not table:
            return {}
        words = table.split("/")
        found = self.estate.network.route_tables.get(words[4], words[-1]).as_dict()
        return {
            route["name"]: (Block.parse(route["properties"]["addressPrefix"]), route["properties"]["nextHopIpAddress"])
            for route in found["properties"].get("routes") or ()
        }

    def _join(self, node: _Wanted, *, overlay: bool) -> None:
        cni: Cni
        if node.block is None:
            cni = _NoCni()
        elif overlay:
            cni = Cns(node.block)
            self._write_config(node)
        else:
            cni = HostLocal(node.block, self.folder / node.name)
        kubelet = Kubelet(
            name=node.name,
            pool=node.pool,
            address=node.address,
            zone=f"{LOCATION}-{node.index % 3 + 1}",
            max_pods=node.max_pods,
            cni=cni,
            pod_cidr="" if node.block is None else str(node.block),
        )
        self.kubelets.add(kubelet, instance_type=node.vm_size, cpu=CPU, memory=MEMORY, region=LOCATION)

    def _grow(self, wanted: Mapping[str, _Wanted]) -> None:
        """Tells every node of a pod range that has grown (AKS documentation, azure-cni-overlay-pod-expand)."""
        kube = self.kubelets.kube
        for config in kube.list_all(CONFIGS, "kube-system"):
            name, status = config["metadata"]["name"], config["status"]
            (container,) = status["networkContainers"]
            node = wanted.get(name)
            if node is None:
                kube.delete(CONFIGS, name, "kube-system")
            elif container["subnetAddressSpace"] != node.pod_cidr:
                container["subnetAddressSpace"] = node.pod_cidr
                kube.patch(CONFIGS, name, {"status": status}, namespace="kube-system")

    def _write_config(self, node: _Wanted) -> None:
        """The NodeNetworkConfig that tells azure-cns of its block (azure-container-networking, crd)."""
        kube = self.kubelets.kube
        if not self._has_crd:
            _ensure_crd(kube)
            self._has_crd = True
        metadata = {"name": node.name, "namespace": "kube-system"}
        body = {
            "apiVersion": CONFIGS.group_version,
            "kind": CONFIGS.kind,
            "metadata": metadata,
            "spec": {"requestedIPCount": 0},
            "status": {
                "networkContainers": [
                    {
                        "id": secrets.token_hex(16),
                        "assignmentMode": "static",
                        "type": "vnetBlock",
                        "nodeIP": node.address,
                        "primaryIP": str(node.block),
                        "subnetAddressSpace": node.pod_cidr,
                        "subnetName": "routingdomain_overlay",
                        "status": "Available",
                    }
                ]
            },
        }
        kube.create(CONFIGS, body)


class _NoCni:
    """The CNI of a node without a block: it is not ready."""

    def add(self, sandbox: str, pod: str) -> str:
        """Refuses every pod."""
        del sandbox, pod
        raise NoAddressError("cni plugin not initialized")

    def delete(self, sandbox: str) -> None:
        """There is nothing to give back."""


def _ensure_crd(kube: Any) -> None:
    version = {
        "name": CONFIGS.group_version.partition("/")[2],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _SCHEMA},
    }
    group = CONFIGS.group_version.partition("/")[0]
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": CONFIGS.plural, "singular": "nodenetworkconfig", "kind": CONFIGS.kind},
        "versions": [version],
    }
    body = {
        "apiVersion": CRDS.group_version,
        "kind": CRDS.kind,
        "metadata": {"name": f"{CONFIGS.plural}.{group}"},
        "spec": spec,
    }
    try:
        kube.create(CRDS, body)
    except ApiError as error:
        if error.code != _CONFLICT:
            raise
    _wait_served(kube)


def _wait_served(kube: Any) -> None:
    from headroom.rehearsal.scenarios.shape import wait_for  # noqa: PLC0415 - scenarios import this module

    wait_for(
        lambda: kube.resource(CONFIGS.group_version, CONFIGS.kind) is not None,
        seconds=30,
        what="the API server to serve NodeNetworkConfigs",
    )


def leave_behind(kubelet: Kubelet, *, free: int, lost: float, order: random.Random) -> int:
    """Lets short pods come and go on a node of kubenet, some of whose DELs never come; gives how many were lost.

    Args:
        kubelet: The node.
        free: Addresses that are left at the end.
        lost: The share whose DEL is lost, because the runtime is restarted meanwhile (kubernetes #34278, #57280).
        order: Of all chance.
    """
    host_local = kubelet.cni
    if not isinstance(host_local, HostLocal):
        raise TypeError(f"{kubelet.name} has no host-local")
    before = host_local.free
    while host_local.free > free:
        sandbox = f"{order.getrandbits(256):064x}"
        host_local.add(sandbox, "past")
        if order.random() >= lost:
            host_local.delete(sandbox)
    return before - host_local.free
