"""Incidents of AKS: their facts, their verdicts, what helps at once, and every source at fault in turn."""

import io
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from headroom.capacity.overlay import HOST_LOCAL_ADDRESSES
from headroom.diagnosis.aks import Mode
from headroom.diagnosis.aks_room import room_of_pools
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.document import to_json
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Diagnosis, Verdict
from headroom.facts.azure import Azure, NatGateway
from headroom.facts.document import dump, load
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items, known
from headroom.rehearsal.spoiled import AKS_CONTRADICTIONS, Outcome, outcome, spoiled
from headroom.report.markdown import to_markdown
from headroom.report.terminal import plain_lines, print_terminal
from tests.aks import conftest as made

NAMES = sorted(made.INCIDENTS)
# One of each verdict; `make test` takes all.
EVERY_DAY = ("aks-healthy", "aks-not-ip", "aks-snat")
AFTER = "pods of a moment after contradicted"


def facts_of(name: str) -> Snapshot:
    return load((made.INCIDENTS_FOLDER / name / "facts.json").read_text(encoding="utf-8"), subject=name)


def expected_of(name: str) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((made.INCIDENTS_FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    return expected


@pytest.mark.parametrize("name", NAMES)
def test_an_incident_is_kept_as_it_is_made(name: str) -> None:
    text = (made.INCIDENTS_FOLDER / name / "facts.json").read_text(encoding="utf-8")
    assert text == dump(made.INCIDENTS[name][0]()), "write it anew: python -m tests.aks.conftest"


@pytest.mark.parametrize("name", NAMES)
def test_an_incident_has_its_verdict_its_causes_and_their_evidence(name: str) -> None:
    diagnosis, expected = diagnose(facts_of(name)), expected_of(name)
    assert diagnosis.verdict.value == expected["verdict"]
    assert [cause.name for cause in diagnosis.causes] == expected["causes"]
    for cause in diagnosis.causes:
        assert cause.summary
        assert all(each.what and each.where and each.value for each in cause.evidence)
        assert any(each.threshold for each in cause.evidence), "evidence says against what it was held"
        assert cause.scope.nodes or cause.scope.subnets


@pytest.mark.parametrize(
    "name", [name if name in EVERY_DAY else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_no_source_at_fault_makes_the_verdict_wrong(name: str) -> None:
    verdict, causes = Verdict(expected_of(name)["verdict"]), expected_of(name)["causes"]
    wrong, tried = [], 0
    for case in spoiled(made.INCIDENTS[name][0](), every_reason=False):
        tried += 1
        if outcome(verdict, causes, diagnose(case.snapshot)) is Outcome.WRONG:
            wrong.append(str(case))
    assert wrong == []
    assert tried > 300


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("aks-overlay-block", "pods of a moment after contradicted", "azure.cluster.network absent"),
        ("aks-pod-cidr-exhausted", "kubernetes.pods denied", "azure.cluster.network.network_plugin_mode absent"),
        ("aks-route-limit", "azure.vnets absent", "kubernetes.pods denied"),
        ("aks-route-limit", "kubernetes.nodes first half", "kubernetes.pods absent"),
        (
            "aks-pod-cidr-exhausted",
            "azure.pools[].provisioning_state denied",
            "azure.cluster.network.network_plugin_mode absent",
        ),
        ("aks-pod-cidr-exhausted", "azure.pools[].provisioning_state denied", "azure.errors empty"),
        ("aks-pod-cidr-exhausted", "azure.pools[].provisioning_state absent", "azure.errors absent"),
        ("aks-not-ip", "kubernetes.pods[].waiting denied", "kubernetes.pods[].created_at absent"),
        ("aks-route-limit", "kubernetes.pods[].node absent", "kubernetes.nodes empty"),
        ("aks-route-limit", "kubernetes.pods[].node absent", "kubernetes.nodes first half"),
        ("aks-pod-subnet-exhausted", "azure.vnets[].subnets[].prefixes first half", AFTER),
        ("aks-node-subnet-full", "azure absent", "kubernetes.pods absent"),
        ("aks-not-ip", "kubernetes.nodes[].node_group absent", AFTER),
        ("aks-not-ip", "kubernetes.workloads[].desired denied", "pods of a moment before contradicted"),
        # The pods are of another moment, and nothing but an event says so.
        ("aks-pod-subnet-exhausted", "pods of a moment before contradicted", "kubernetes.workloads empty"),
        ("aks-pod-subnet-exhausted", "pods of a moment before contradicted", "kubernetes.workloads second half"),
        ("aks-max-pods", "pods of a moment before contradicted", "kubernetes.workloads absent"),
        # Their addresses are of no range that was read; which of them the pods have was not.
        ("aks-pod-subnet-exhausted", "azure.cluster.network.network_plugin denied", AFTER),
        ("aks-pod-subnet-exhausted", "azure.vnets[].subnets second half", AFTER),
        ("aks-not-ip", "azure.cluster.network.pod_cidr absent", AFTER),
    ],
)
def test_two_sources_at_fault_leave_it_undecided(name: str, first: str, second: str) -> None:
    facts = made.INCIDENTS[name][0]()
    for wanted in (first, second):
        facts = next(case.snapshot for case in spoiled(facts, every_reason=False) if str(case) == wanted)
    assert diagnose(facts).verdict is Verdict.UNDECIDED


def test_what_azure_refused_last_month_says_nothing_where_the_pods_were_not_read() -> None:
    spoils = {str(case): case.snapshot for case in spoiled(made.healthy(), every_reason=False)}
    for first in ("kubernetes denied", "kubernetes.* denied"):
        twice = {str(case): case.snapshot for case in spoiled(spoils[first], every_reason=False)}
        found = diagnose(twice["an old refusal, InsufficientSubnetSize contradicted"])
        assert found.verdict is Verdict.UNDECIDED, first


@pytest.mark.parametrize("where", ["azure.errors[].target denied", "azure.errors[].target absent"])
def test_the_range_that_is_too_small_is_told_by_the_text_where_its_target_was_not_read(where: str) -> None:
    facts = made.INCIDENTS["aks-pod-cidr-exhausted"][0]()
    for wanted in (where, "azure.cluster.network.network_plugin_mode denied"):
        facts = next(case.snapshot for case in spoiled(facts, every_reason=False) if str(case) == wanted)
    assert [cause.name for cause in diagnose(facts).causes] == ["subnet_exhaustion/pod_cidr_exhausted"]


def test_pods_that_are_gone_for_longer_than_events_repeat_leave_a_cluster_healthy() -> None:
    """The kubelet tells of a pod that still waits every five minutes at least; what is older is over."""
    facts = made.healthy()
    gone = made.waiting(0, on=1)
    old = replace(made.event(gone, "FailedCreatePodSandBox", made.RANGE_FULL), last_seen="2026-02-26T21:12:59Z")
    assert diagnose(made.with_pods(facts, [], [old])).verdict is Verdict.HEALTHY
    new = replace(old, last_seen="2026-02-26T21:13:00Z")
    assert diagnose(made.with_pods(facts, [], [new])).verdict is Verdict.UNDECIDED


def test_every_reading_of_azure_is_spoiled() -> None:
    places = {case.where for name in NAMES for case in spoiled(made.INCIDENTS[name][0](), every_reason=False)}
    read = [entry.name for entry in fields(Azure)]
    unread = {"azure.cns", "azure.cns_pods", "azure.ip_masq"}  # no incident has them
    assert {f"azure.{name}" for name in read} - unread <= places
    assert {"azure", "azure.*", "azure.vnets[].subnets[].used_addresses", *AKS_CONTRADICTIONS} <= places


def test_110_pods_do_not_exhaust_253_addresses() -> None:
    """The published story took 110 of 110 pods for an exhausted /24; what fills it are reservations left behind."""
    diagnosis = diagnose(made.kubenet_exhausted())
    [cause] = diagnosis.causes
    assert cause.detail is Detail.HOST_LOCAL_LEAK
    reserved, bound = cause.evidence[:2]
    assert (reserved.value, reserved.threshold) == (
        "253 reserved, 104 in use",
        f"host-local has {HOST_LOCAL_ADDRESSES} addresses there",
    )
    assert (bound.what, bound.value) == ("maxPods", "110 pods at most")
    by = {each.cause: each.by for each in diagnosis.ruled_out}
    assert by["max_pods"] == "the pods that wait are placed: 110 of maxPods 110 on aks-default-12345678-vmss000000"
    assert by["pod_cidr_exhausted"] == "9 of 256 /24s of 10.244.0.0/16 are given to nodes"
    assert by["route_limit"] == "9 of 400 routes are used"


def test_without_the_nodes_files_max_pods_alone_shows_that_pods_cannot_have_filled_the_range() -> None:
    facts = made.with_azure(made.kubenet_exhausted(), host_local=())
    diagnosis = diagnose(facts)
    assert [cause.name for cause in diagnosis.causes] == ["ipamd_failure/host_local_leak"]
    assert any("/var/lib/cni/networks" in each.reading for each in diagnosis.needed)


@pytest.mark.parametrize(
    ("told", "verdict", "causes"),
    [
        ("0/9 nodes are available: 1 Too many pods, 8 Insufficient cpu.", Verdict.NOT_IP, []),
        ("0/9 nodes are available: 3 Insufficient cpu, 9 Too many pods.", Verdict.FOUND, ["eni_limit/max_pods"]),
        (
            "0/9 nodes are available: 1 Too many pods, 8 node(s) didn't match Pod's node affinity/selector.",
            Verdict.FOUND,
            ["eni_limit/max_pods"],
        ),
    ],
)
def test_max_pods_holds_up_what_no_more_nodes_lack_a_resource_for(
    told: str, verdict: Verdict, causes: list[str]
) -> None:
    facts = made.max_pods()
    kubernetes = made.kubernetes_of(facts)
    after = " preemption: 0/9 nodes are available: 9 No preemption victims found for incoming pod."
    events = tuple(replace(each, message=told + after) for each in items(kubernetes.events))
    found = diagnose(replace(facts, kubernetes=replace(kubernetes, events=events)))
    assert (found.verdict, [cause.name for cause in found.causes]) == (verdict, causes)


@pytest.mark.parametrize(
    ("kind", "percent", "verdict"),
    [
        ("natGateway", 90.0, Verdict.HEALTHY),
        ("natGateway", 89.9, Verdict.NOT_IP),
        ("loadBalancer", 0.0, Verdict.HEALTHY),  # a Service without a healthy pod has such a front end
    ],
)
def test_a_nat_gateway_that_is_down_is_not_addresses_and_not_healthy(
    kind: str, percent: float, verdict: Verdict
) -> None:
    """Azure NAT Gateway documentation, nat-metrics."""
    reading = replace(made.egress(0), kind=kind, datapath_availability=percent)
    found = diagnose(made.with_azure(made.cluster(), egress=(reading,)))
    assert found.verdict is verdict
    down = ["the NAT gateway kubernetes is not available all of the time"]
    assert [each.what for each in found.not_ip] == down[: verdict is Verdict.NOT_IP]


def test_pods_that_wait_for_a_volume_are_not_healthy_and_not_addresses() -> None:
    pods = [made.waiting(serial, on=2) for serial in range(3)]
    text = 'AttachVolume.Attach failed for volume "pvc-1": disk is already attached to another node'
    for since, verdict in ((made.LATELY, Verdict.NOT_IP), (made.NOW, Verdict.HEALTHY)):
        hung = [replace(pod, created_at=since) for pod in pods]
        events = [made.event(pod, "FailedAttachVolume", text) for pod in hung]
        found = diagnose(made.with_pods(made.cluster(), hung, events))
        assert found.verdict is verdict, "a mount that fails in the first minute is tried again"
        assert [each.what for each in found.not_ip] == ["a volume cannot be mounted"][: verdict is Verdict.NOT_IP]


def test_files_that_do_not_fill_the_range_contradict_the_event_and_nothing_is_claimed() -> None:
    readings = tuple(made.host_local(index, 97, 90) for index in range(9))
    diagnosis = diagnose(made.with_azure(made.kubenet_exhausted(), host_local=readings))
    assert diagnosis.verdict is Verdict.UNDECIDED
    assert diagnosis.causes == ()


def test_a_block_that_its_pods_are_seen_to_fill_is_said_to_need_nothing_more() -> None:
    found = diagnose(made.overlay_block())
    assert [cause.detail for cause in found.causes] == ["overlay_node_block"]
    assert not [each.reading for each in found.needed if "NodeNetworkConfig" in each.reading]


def test_a_node_short_of_addresses_under_overlay_with_few_pods_is_no_full_block() -> None:
    facts = made.cluster(nodes=4, pods_a_node=40, network=made.OVERLAY, most=250)
    pod = made.waiting(0, on=1)
    message = made.CNS_SHORT.format(sandbox="0" * 64, pod=pod.name, status="NCUpdateSuccess")
    diagnosis = diagnose(made.with_pods(facts, [pod], [made.event(pod, "FailedCreatePodSandBox", message)]))
    assert diagnosis.verdict is Verdict.UNDECIDED
    by = {each.cause: each.by for each in diagnosis.ruled_out}
    assert by["overlay_node_block"] == (
        "44 pods on aks-default-12345678-vmss000001 cannot use up a /24 of 256 addresses"
    )


def test_relief_names_the_pool_the_nodes_to_add_and_the_nodes_to_drain() -> None:
    impact = diagnose(made.kubenet_exhausted()).impact
    assert impact is not None
    more, drain = impact.reliefs
    assert more.what == "Add 1 node to node pool default; each brings a /24 of its own."
    where = f"--subscription {made.SUBSCRIPTION} --resource-group rg-prod-eus2 --cluster-name aks-prod-eus2"
    where += " --name default"
    assert more.command == f"az aks nodepool scale {where} --node-count 10"
    assert more.undo == f"az aks nodepool scale {where} --node-count 9"
    for figure in (
        "1,010 free in vnet-spoke/snet-aks-nodes",
        "9 of 256 /24s",
        "9 of 400 routes",
        "36 of 2,000 vCPUs",
        "36 of 1,700 vCPUs",
    ):
        assert figure in more.caveat
    assert drain.what.startswith("Cordon 3 nodes and drain aks-default-12345678-vmss000000 first")
    assert drain.command.startswith("kubectl cordon aks-default-12345678-vmss000000 ")
    assert drain.undo.startswith("kubectl uncordon ")


def screen(diagnosis: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=110, highlight=False, force_terminal=False, color_system=None)
    print_terminal(diagnosis, console)
    written = console.file
    assert isinstance(written, io.StringIO)
    return " ".join(written.getvalue().split())


def test_the_screen_has_every_way_to_help_and_calls_none_of_them_a_workload() -> None:
    facts = made.kubenet_exhausted()
    text = screen(diagnose(facts))
    assert [each in text for each in ("az aks nodepool scale", "kubectl cordon", "kubectl drain")] == [True] * 3
    assert text.count("Now, by hand, reversible: ") == 2
    assert "give way" not in text
    unread = diagnose(made.with_azure(facts, vnets=()))
    assert "reversible: Whether node pool" not in screen(unread), "what only says why there is none is nothing to do"
    assert "drain" in screen(unread)
    [undo] = [line for line in plain_lines(unread) if line.startswith("relief-undo: ")]
    assert undo.startswith("relief-undo: kubectl uncordon aks-default-12345678-vmss000000 ")


def test_relief_is_told_in_every_form_of_the_report() -> None:
    diagnosis = diagnose(made.kubenet_exhausted())
    [*_, told] = to_json(diagnosis)["impact"]["reliefs"]
    assert "kubectl drain" in told["command"]
    assert "az aks nodepool scale" in to_markdown(diagnosis)


def test_relief_of_full_nodes_is_a_further_node_and_no_drain() -> None:
    impact = diagnose(made.max_pods()).impact
    assert impact is not None
    [more] = impact.reliefs
    assert more.command.endswith("--node-count 10")
    assert more.caveat.startswith("12 waiting pods need 1 node more by their number; 0 slots are left")


@pytest.mark.parametrize("make", [made.node_subnet_full, made.pod_cidr_exhausted, made.route_limit])
def test_no_node_is_proposed_where_none_can_come(make: Callable[[], Snapshot]) -> None:
    impact = diagnose(make()).impact
    assert impact is not None
    assert impact.stuck_pods > 0
    assert impact.reliefs == ()


def test_relief_of_used_up_ports_is_a_further_address_and_says_what_else_it_changes() -> None:
    impact = diagnose(made.snat()).impact
    assert impact is not None
    [more] = impact.reliefs
    assert more.command.endswith("--load-balancer-managed-outbound-ip-count 2")
    assert more.undo.endswith("--load-balancer-managed-outbound-ip-count 1")
    assert "Allow-lists elsewhere do not know the new address" in more.caveat


def test_a_nat_gateway_of_the_users_is_given_one_more_address_beside_those_that_it_has() -> None:
    gateway = f"{made.GROUP}/Microsoft.Network/natGateways/nat-egress"
    address = f"{made.GROUP}/Microsoft.Network/publicIPAddresses/pip-egress"
    behind = made.subnet(made.NODE_SUBNET, "10.20.4.0/22", used=9, usable=1019, nat_gateway_id=gateway.upper())
    network = replace(made.OVERLAY, outbound_type="userAssignedNATGateway", load_balancer=None)
    facts = made.with_azure(
        made.cluster(network=network, node_subnet=behind),
        nat_gateways=(NatGateway(gateway_id=gateway, name="nat-egress", public_ip_ids=(address,)),),
        egress=(replace(made.egress(7), resource_id=gateway, kind="natGateway"),),
    )
    impact = diagnose(facts).impact
    assert impact is not None
    [more] = impact.reliefs
    assert more.command.endswith(f"--public-ip-addresses {address} NEW_PUBLIC_IP_ID")
    assert more.undo.endswith(f"--public-ip-addresses {address}")


def test_a_pool_with_an_autoscaler_is_given_a_higher_minimum() -> None:
    facts = made.kubenet_exhausted()
    [pool] = items(made.azure_of(facts).pools)
    scaled = replace(pool, autoscaling=True, minimum=3, maximum=9)
    impact = diagnose(made.with_azure(facts, pools=(scaled,))).impact
    assert impact is not None
    assert impact.reliefs[0].command.endswith("--update-cluster-autoscaler --min-count 10 --max-count 10")
    assert impact.reliefs[0].undo.endswith("--update-cluster-autoscaler --min-count 3 --max-count 9")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quotas": ()}, "not among the quotas that were read"),
        ({"route_tables": ()}, "route table not read"),
        ({"vnets": ()}, "free addresses not known"),
    ],
)
def test_no_node_is_proposed_where_a_bound_was_not_read(changes: dict[str, Any], said: str) -> None:
    impact = diagnose(made.with_azure(made.kubenet_exhausted(), **changes)).impact
    assert impact is not None
    assert impact.reliefs[0].what == "Whether node pool default has room for 1 node is not known."
    assert said in impact.reliefs[0].caveat


def test_a_pool_that_has_no_room_is_told_from_one_of_which_nobody_knows() -> None:
    facts = made.kubenet_exhausted()
    full = tuple(replace(each, current=each.limit) for each in items(made.azure_of(facts).quotas))
    impact = diagnose(made.with_azure(facts, quotas=full)).impact
    assert impact is not None
    assert impact.reliefs[0].what == "No pool has room for 1 node; default can be given 0."


def test_the_room_of_a_pool_is_its_tightest_bound() -> None:
    aks = Reading(made.kubenet_exhausted()).aks
    assert aks is not None
    assert aks.mode is Mode.KUBENET
    [room] = room_of_pools(aks)
    assert {bound.name: bound.nodes for bound in room.bounds} == {
        "node subnet": 1010,
        "pod CIDR": 246,
        "nodes": 391,
        "routes": 391,
        "quota cores": 491,
        "quota standardDDSv5Family": 416,
    }
    assert room.allowed == 246, "256 /24s, nine nodes, and one for the surge node that AKS counts"
    assert room.slots == 107


def test_a_pod_range_has_no_room_for_nodes_where_their_surge_would_not_fit() -> None:
    facts = made.kubenet_exhausted()
    azure = made.azure_of(facts)
    cluster = known(azure.cluster)
    assert cluster is not None
    network = known(cluster.network)
    assert network is not None
    small = replace(network, pod_cidr="10.244.0.0/20", pod_cidrs=("10.244.0.0/20",))
    [pool] = items(azure.pools)
    changed = {"cluster": replace(cluster, network=small), "pools": (replace(pool, max_surge="7"),)}
    aks = Reading(made.with_azure(facts, **changed)).aks
    assert aks is not None
    [room] = room_of_pools(aks)
    assert room.allowed == 0
    assert (
        "9 of 16 /24s of 10.244.0.0/20 are given to nodes; 16 are counted with the pools at their largest and surge "
        "nodes"
    ) in room.told


def test_a_refusal_of_no_known_time_says_nothing_against_pools_that_fit() -> None:
    error = replace(
        made.refusal("InsufficientSubnetSize", "Too small.", "networkProfile.podCIDR"), last_seen=None, first_seen=None
    )
    diagnosis = diagnose(made.with_azure(made.max_pods(), errors=(error,)))
    assert [cause.name for cause in diagnosis.causes] == ["eni_limit/max_pods"]
    undated = replace(error, message=made.POD_CIDR_SMALL)
    [cause] = diagnose(made.with_azure(made.pod_cidr_exhausted(), errors=(undated,))).causes
    assert cause.name == "subnet_exhaustion/pod_cidr_exhausted"


def test_an_old_refusal_says_nothing_of_now() -> None:
    error = replace(
        made.refusal("SubnetIsFull", made.SUBNET_FULL, None), last_seen="2026-02-26T19:00:00Z", first_seen=made.EARLIER
    )
    assert diagnose(made.with_azure(made.healthy(), errors=(error,))).verdict is Verdict.HEALTHY


def test_an_old_snapshot_without_azure_still_loads() -> None:
    text = dump(made.healthy())
    document = json.loads(text)
    del document["azure"]
    read = load(json.dumps(document))
    assert not isinstance(read.azure, type(made.azure_of(made.healthy())))
    assert diagnose(read).verdict is Verdict.UNDECIDED


def test_the_folder_holds_these_incidents_and_no_others() -> None:
    assert sorted(path.name for path in Path(made.INCIDENTS_FOLDER).glob("aks-*")) == NAMES
