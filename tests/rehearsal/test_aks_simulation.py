"""What nodes of AKS are simulated with: host-local and its files, azure-cns, machines, visitors, commands."""

import random
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.rest import HttpRequest

from headroom.addresses.blocks import Block
from headroom.collect.azure_bundle import host_local_reading, is_host_local
from headroom.diagnosis.signatures import match
from headroom.facts.snapshot import Origin
from headroom.planning.one_side import commands, read_entries
from headroom.rehearsal import aks_estate as names
from headroom.rehearsal.aks_cni import Cns, HostLocal, printed
from headroom.rehearsal.aks_estate import Estate
from headroom.rehearsal.aks_fleet import leave_behind
from headroom.rehearsal.aks_shell import Shell, UnknownCommandError
from headroom.rehearsal.aks_visitors import Manners, Visitors
from headroom.rehearsal.arm.endpoint import Endpoint
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import PODS, Resource
from headroom.rehearsal.kubelets import Kubelet, Kubelets, NoAddressError
from tests.rehearsal.conftest import Azure

BLOCK = Block.parse("10.244.3.0/24")


def full(host_local: HostLocal) -> str:
    """What the next pod is told."""
    with pytest.raises(NoAddressError) as refused:
        host_local.add("last", "prod/last")
    return str(refused.value)


def test_a_24_of_kubenet_has_253_addresses_and_is_refused_by_its_two_ends(tmp_path: Path) -> None:
    host_local = HostLocal(BLOCK, tmp_path)
    given = [host_local.add(f"sandbox-{number}", "prod/web") for number in range(253)]
    assert (given[0], given[-1], len(set(given))) == ("10.244.3.2", "10.244.3.254", 253)
    said = full(host_local)
    assert said.endswith("no IP addresses available in range set: 10.244.3.1-10.244.3.254")
    assert [hit.signature.name for hit in match(said, origin=Origin.POD_EVENT, cloud="azure")] == [
        "host-local-range-full"
    ]


def test_an_address_given_back_is_given_out_again_only_after_the_others(tmp_path: Path) -> None:
    host_local = HostLocal(BLOCK, tmp_path)
    assert host_local.add("one", "prod/a") == "10.244.3.2"
    host_local.delete("one")
    assert host_local.add("two", "prod/b") == "10.244.3.3"
    assert list(host_local.reserved()) == ["10.244.3.3"]


def test_what_is_left_behind_is_read_as_leaked_and_what_lives_is_not(tmp_path: Path) -> None:
    host_local = HostLocal(BLOCK, tmp_path)
    kubelet = Kubelet(name="node-1", pool="apps", address="10.20.4.4", zone="1", max_pods=110, cni=host_local)
    live = [f"{number:064x}" for number in range(20)]
    for sandbox in live:
        host_local.add(sandbox, "prod/web")
    lost = leave_behind(kubelet, free=1, lost=0.5, order=random.Random(1))  # noqa: S311 - a repeatable past
    assert (lost, host_local.free) == (232, 1)
    text = printed("node-1", host_local, live)
    assert is_host_local(text)
    read = host_local_reading(text)
    assert (read.node, read.network, read.reserved, read.live) == ("node-1", "kubenet", 252, 20)


def test_azure_cns_gives_255_addresses_of_a_24_and_says_that_it_waits() -> None:
    cns = Cns(BLOCK)
    given = {cns.add(f"sandbox-{number}", "prod/web") for number in range(255)}
    assert len(given) == 255
    with pytest.raises(NoAddressError) as refused:
        cns.add("last", "prod/last")
    hits = match(str(refused.value), origin=Origin.POD_EVENT, cloud="azure")
    assert [hit.signature.name for hit in hits] == ["cns-short"]
    cns.delete("sandbox-7")
    assert cns.add("last", "prod/last") in given


class _ApiServer:
    """Pods that are bound already; takes everything else."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = pods

    def list_all(self, resource: Any, *, fields: str) -> list[dict[str, Any]]:
        """Those of one node."""
        assert resource is PODS
        return [pod for pod in self.pods if fields == f"spec.nodeName={pod['spec']['nodeName']}"]

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def test_a_machine_made_anew_starts_the_pods_that_were_bound_to_its_name_while_it_was_away(tmp_path: Path) -> None:
    pods = [
        {"metadata": {"name": name, "namespace": "prod"}, "spec": {"nodeName": node, "containers": []}, "status": {}}
        for name, node in (("web-1", "node-1"), ("web-2", "node-2"))
    ]
    server: Any = _ApiServer(*pods)
    kubelets = Kubelets(kube=server, clock=Clock(datetime(2026, 3, 3, tzinfo=UTC), 1.0))
    cni = HostLocal(BLOCK, tmp_path)
    node = Kubelet(name="node-1", pool="apps", address="10.20.4.4", zone="1", max_pods=110, cni=cni)
    kubelets.add(node, instance_type="Standard_D4ds_v5", cpu="4", memory="16Gi", region="eastus2")
    while not kubelets._changes.empty():
        kubelets._take(*kubelets._changes.get_nowait())
    kubelets.stop()
    assert {name: pod.address for name, pod in node.pods.items()} == {"prod/web-1": "10.244.3.2"}


def test_a_machine_that_is_deleted_takes_no_route_of_another(azure: Azure) -> None:
    azure.vnet()
    subnet = azure.subnet("nodes", "10.20.0.0/24")
    body = azure.cluster_body(
        {"mode": "System", "vnetSubnetID": subnet}, networkPlugin="kubenet", podCidr="10.244.0.0/16"
    )
    azure.make_cluster("old", body)
    table = azure.get(subnet)["properties"]["routeTable"]["id"]
    before = routes(azure, table)
    machines: Any = {"machineNames": ["aks-system-vmss000001"]}
    azure.aks.agent_pools.begin_delete_machines(azure.group, "old", "system", machines).result()
    assert azure.aks.agent_pools.get(azure.group, "old", "system").count == 2
    left = {name: before[name] for name in ("aks-system-vmss000000", "aks-system-vmss000002")}
    assert routes(azure, table) == left
    pool: Any = azure.aks.agent_pools.get(azure.group, "old", "system").as_dict()
    pool["properties"]["count"] = 3
    azure.aks.agent_pools.begin_create_or_update(azure.group, "old", "system", pool).result()
    assert routes(azure, table) == {**left, "aks-system-vmss000003": before["aks-system-vmss000001"]}


def routes(azure: Azure, table: str) -> dict[str, tuple[str, str]]:
    """Block and next hop by node."""
    found = azure.get(table)["properties"]["routes"]
    return {
        each["name"]: (each["properties"]["addressPrefix"], each["properties"]["nextHopIpAddress"]) for each in found
    }


def test_a_patch_of_a_vault_changes_what_it_names_and_keeps_the_rest(azure: Azure) -> None:
    rules = {"defaultAction": "Deny", "ipRules": [{"value": "198.51.100.1/32"}]}
    vault = azure.add("Microsoft.KeyVault/vaults", "kv", location="eastus", properties={"networkAcls": rules, "a": 1})
    both = {"properties": {"networkAcls": {"ipRules": [{"value": "198.51.100.1/32"}, {"value": "198.51.100.2/32"}]}}}
    answer = patch(azure, vault, both)
    answer.raise_for_status()
    found = azure.get(vault)["properties"]
    assert found["networkAcls"] == {"defaultAction": "Deny", **both["properties"]["networkAcls"]}
    assert found["a"] == 1


def test_a_patch_of_a_subnet_of_more_than_tags_is_refused(azure: Azure) -> None:
    azure.vnet()
    table = azure.add("Microsoft.Network/routeTables", "routes", location="eastus", properties={})
    assert patch(azure, table, {"properties": {"disableBgpRoutePropagation": True}}).status_code == 400
    assert patch(azure, table, {"tags": {"team": "platform"}}).status_code == 200


def patch(azure: Azure, identifier: str, body: dict[str, Any]) -> Any:
    request = HttpRequest("PATCH", f"{azure.arm.url}{identifier}", params={"api-version": "2024-05-01"}, json=body)
    return azure.network._client.send_request(request)


def test_visitors_are_split_as_the_edges_know_the_weights_and_fail_where_a_cluster_is_too_small(arm: Endpoint) -> None:
    estate = Estate(arm, group="visitors")
    arm.add_resources([{"id": estate.group_id, "location": names.LOCATION}])
    names.make_front_door(estate)
    origin = {"hostName": "overlay.checkout.example.com", "weight": 1000, "priority": 1, "enabledState": "Enabled"}
    origins = "Microsoft.Cdn/profiles/originGroups/origins"
    estate.add(origins, names.FRONT_DOOR, names.ORIGIN_GROUP, names.NEW_ORIGIN, properties=origin)
    labels = {names.OLD_ORIGIN: "kubenet", names.NEW_ORIGIN: "overlay"}
    visitors = Visitors(arm=arm, group=estate.origin_group_id, labels=labels, per_minute=600)
    assert visitors.shares() == {"kubenet": 0.5, "overlay": 0.5}
    visitors.capacity = lambda: {"overlay": 299}
    visitors.short = Manners(errors=0.04, p95=650.0)
    visitors.pass_minutes(3)
    rows = [row[1:] for row in visitors._rows]
    assert rows[-2:] == [["kubenet", 300, 0, 230.0], ["overlay", 300, 12, 650.0]]
    minutes = [row[0] for row in visitors._rows if row[1] == "overlay"]
    assert len(set(minutes)) == len(minutes)


@pytest.mark.parametrize("command", ["rm -rf /", "az group delete --name rg", "kubectl delete pods --all", "az rest"])
def test_a_command_that_headroom_does_not_print_is_not_run(arm: Endpoint, command: str) -> None:
    fleet: Any = None
    with pytest.raises(UnknownCommandError):
        Shell(estate=Estate(arm), fleet=fleet).run(command)


class Patched:
    """A client of an API server that keeps what it is to change."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, str, Any]] = []

    def patch(self, resource: Resource, name: str, body: Any, *, namespace: str) -> None:
        self.done.append((resource.kind, namespace, name, body))


def test_what_stops_and_starts_on_one_side_is_run_as_it_is_printed(arm: Endpoint) -> None:
    kube = Patched()
    fleet: Any = SimpleNamespace(cluster="aks-new", kubelets=SimpleNamespace(kube=kube))
    shell = Shell(estate=Estate(arm), fleet=fleet)
    lines = read_entries("d cronjob/close\nd deployment/queue 3\n", subject="list")
    for stop in (True, False):
        for command in commands(lines, "aks-new", stop=stop):
            shell.run(command)
    assert kube.done == [
        ("CronJob", "d", "close", {"spec": {"suspend": True}}),
        ("Deployment", "d", "queue", {"spec": {"replicas": 0}}),
        ("CronJob", "d", "close", {"spec": {"suspend": False}}),
        ("Deployment", "d", "queue", {"spec": {"replicas": 3}}),
    ]
    others = read_entries("d statefulset/db 2\n", subject="list")
    for command in (*commands(lines, "aks-elsewhere", stop=True), *commands(others, "aks-new", stop=True)):
        with pytest.raises(UnknownCommandError):
            shell.run(command)
