"""What AKS, its CNI and Azure write when an address or a range is short: real texts, as events and as lines of logs.

Sources: containernetworking/plugins #338 and kubernetes #57280 (host-local); architecture-center #4402 and
azure-container-networking (azure-cns); Azure/AKS #673 and #2532, aks-engine #4263, azure-container-networking #333
(azure-vnet-ipam); Azure/AKS #456, #1117 and #5662, AKS-Construction #357, #403 and #701, rancher #22616,
graphrag-accelerator #211 (Azure Resource Manager); kube-scheduler.
"""

import json
from typing import Any, Final

import pytest

from headroom.capacity.overlay import HOST_LOCAL_ADDRESSES
from headroom.collect.case import case_of
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.scanning import LogScanner
from headroom.diagnosis.signatures import Kind, match
from headroom.diagnosis.verdict import Verdict
from headroom.facts.snapshot import Origin
from tests.aks import conftest as made

RANGE: Final = "no IP addresses available in range set: 10.244.0.1-10.244.0.254"
SANDBOX: Final = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox"
NODE_SIDE: Final = (Origin.POD_EVENT, Origin.KUBELET_LOG, Origin.PLUGIN_LOG, Origin.CNS_LOG, Origin.OTHER)
ARM_SIDE: Final = (Origin.ARM_ERROR, Origin.POD_EVENT, Origin.OTHER)

RANGE_FULL: Final = (
    f'{SANDBOX} "abc": plugin type="kubenet" failed (add): failed to allocate for range 0: {RANGE}',
    f'NetworkPlugin kubenet failed to set up pod "a_b" network: Error adding container to network: {RANGE}',
)
CNS_LONG: Final = (
    f"{SANDBOX} 'ac1b': plugin type='azure-vnet' failed (add): IPAM Invoker Add failed with error: Failed to get IP "
    "address from CNS with error: %w: AllocateIPConfig failed: not enough IPs available for 9c6a7f37, waiting on "
    "Azure CNS to allocate more with NC Status: , IP config request is [IPConfigRequest: DesiredIPAddress ]"
)
CNS_TODAY: Final = (
    "AssignAvailableIPConfigs failed: not enough IPs available of type IPv4 for 9c6a7f37, waiting on Azure CNS to "
    "allocate more with NC Status: NCUpdateSuccess"
)
CNS_ALONE: Final = f"{SANDBOX} 'ac1b': plugin type='azure-vnet' failed (add): Failed to get IP address from CNS"
DELEGATED: Final = "Failed to allocate pool: Failed to delegate: Failed to allocate"
VNET_IPAM: Final = (
    f'{SANDBOX} "ce54": {DELEGATED} address: No available addresses',
    f'networkPlugin cni failed to set up pod "nginx" network: {DELEGATED} pool: No available address pools',
    "[azure-vnet-ipam] Failed to allocate address: No available addresses.",
)
ON_NODES: Final = (
    *((text, "host-local-range-full") for text in RANGE_FULL),
    (CNS_LONG, "cns-short"),
    (CNS_TODAY, "cns-short"),
    (CNS_ALONE, "cns-no-address"),
    *((text, "azure-ipam-empty") for text in VNET_IPAM),
)
"""What a node writes, and the wording that it is."""

NO_CAPACITY: Final = "Subnet aks-sn with address prefix 10.240.0.0/29 does not have enough capacity for 1 IP addresses."
SMALL_KUBENET: Final = "Pre-allocated IPs 768 exceeds IPs available 256 in Pod Cidr 10.240.100.0/24"
IN_VNET: Final = "NetworkProfile CIDR 10.240.100.0/24 overlaps with reserved VNET CIDR 10.240.0.0/16"
IN_SUBNET: Final = "The specified service CIDR 10.0.0.0/16 is conflicted with an existing subnet CIDR 10.0.1.0/24"
DNS_OUTSIDE: Final = "The DNS service IP 10.2.0.10 is out of the range defined by service CIDR 10.0.0.0/16."
NOT_OVERLAY: Final = "NetworkPluginMode overlay is not supported with NetworkPLugin kubenet."
OF_AZURE: Final = (
    ("SubnetIsFull", NO_CAPACITY, "node_subnet_full"),
    ("SubnetIsFull", NO_CAPACITY.replace("does not", "doesn't").replace("for 1 IP", "for IP"), "node_subnet_full"),
    ("InsufficientSubnetSize", "Pre-allocated IPs 333 exceeds IPs available in Subnet 251", "node_subnet_full"),
    ("InsufficientSubnetSize", made.POD_CIDR_SMALL, "pod_cidr_exhausted"),
    ("InsufficientPodCidr", SMALL_KUBENET, "pod_cidr_exhausted"),
    ("NetworkProfileCIDROverlapVNET", IN_VNET, "config"),
    ("ServiceCidrOverlapExistingSubnetsCidr", IN_SUBNET, "config"),
    ("DnsServiceIpOutOfServiceCidr", DNS_OUTSIDE, "config"),
    ("UnsupportedNetworkPluginModeWithNetworkPlugin", NOT_OVERLAY, "config"),
)
"""What Azure Resource Manager refuses with, by its code, and the cause that it speaks for."""


def wrapped(text: str) -> tuple[str, ...]:
    """The text as an event's, as a line of the kubelet's journal, of containerd, and as JSON in JSON."""
    return (
        text,
        f"Feb 26 21:14:02 aks-default-1 kubelet[2417]: E0226 21:14:02.118 2417 kuberuntime_manager.go:1170] {text!r}",
        f'time="2026-02-26T21:14:02Z" level=error msg={json.dumps(text)}',
        json.dumps({"log": json.dumps({"level": "error", "msg": text})}),
    )


def refused(code: str, text: str) -> tuple[str, ...]:
    """The text as the Azure CLI, Azure Resource Manager and Terraform show it."""
    return (
        f"({code}) {text}\nCode: {code}\nMessage: {text}",
        json.dumps({"error": {"code": "BadRequest", "message": json.dumps({"code": code, "message": text})}}),
        f'Service returned an error. Status=400 Code="{code}" Message="{text}"',
        f"{code}: {text}",
    )


@pytest.mark.parametrize("origin", NODE_SIDE)
@pytest.mark.parametrize(("text", "name"), ON_NODES)
def test_what_the_cni_writes_is_found_in_events_and_in_logs(text: str, name: str, origin: Origin) -> None:
    for line in wrapped(text):
        found = match(line, origin=origin, cloud="azure")
        assert [each.signature.name for each in found if each.signature.kind is Kind.SYMPTOM] == [name], line
        assert all(each.signature.kind is not Kind.CAUSE for each in found), "the text alone shows no cause"


@pytest.mark.parametrize("origin", ARM_SIDE)
@pytest.mark.parametrize(("code", "text", "cause"), OF_AZURE)
def test_what_azure_refuses_is_found_however_it_is_shown(code: str, text: str, cause: str, origin: Origin) -> None:
    for line in refused(code, text):
        found = match(line, origin=origin, cloud="azure")
        assert {each.signature.supports for each in found if each.signature.kind is Kind.CAUSE} == {cause}, line


@pytest.mark.parametrize(("code", "text", "cause"), OF_AZURE)
def test_what_azure_refuses_is_kept_of_a_log_that_somebody_saved(code: str, text: str, cause: str) -> None:
    for line in refused(code, text):
        scanner = LogScanner()
        scanner.feed(line.encode())
        found = [each for kept in scanner.finish() for each in match(kept.text, origin=kept.origin)]
        assert cause in {each.signature.supports for each in found}, line


@pytest.mark.parametrize(("code", "text", "cause"), OF_AZURE)
def test_a_refusal_alone_is_called_what_it_is(code: str, text: str, cause: str) -> None:
    lines = [{"origin": "arm_error", "text": f"{code}: {text}"}]
    found = diagnose(case_of({"lines": lines, "known": {"cloud": "azure"}}, name=code))
    assert [each.detail for each in found.causes] == [cause]


def test_too_many_pods_is_about_the_number_of_pods_and_the_pod_was_never_placed() -> None:
    text = made.TOO_MANY.format(nodes=9)
    for origin in (Origin.POD_EVENT, Origin.KUBELET_LOG, Origin.OTHER):
        assert [each.signature.supports for each in match(text, origin=origin, cloud="azure")] == ["max_pods"]


def test_a_range_is_the_two_ends_of_it_and_253_addresses_are_what_they_hold() -> None:
    """Addresses .1 to .254 without the gateway's; the published story shows a CIDR, which host-local never prints."""
    [found] = match(RANGE_FULL[1], origin=Origin.KUBELET_LOG)
    assert found.groups["range"] == "10.244.0.1-10.244.0.254"
    assert HOST_LOCAL_ADDRESSES == 253


def test_an_address_that_cns_cannot_be_asked_for_is_no_shortage() -> None:
    text = (
        "Failed to get IP address from CNS with error: http request failed: Post "
        '"http://localhost:10090/network/requestipconfig": dial tcp 127.0.0.1:10090: connect: connection refused'
    )
    names = {each.signature.name for each in match(text, cloud="azure")}
    assert names == {"cns-unreachable", "connection"}, "and neither of the wordings of a shortage"


def test_no_address_from_cns_without_a_reason_is_undecided_and_asks_cns() -> None:
    lines = [{"origin": "kubelet_log", "text": CNS_ALONE}]
    found = diagnose(case_of({"lines": lines, "known": {"cloud": "azure"}}, name="cns"))
    assert found.verdict is Verdict.UNDECIDED
    assert any("NodeNetworkConfig" in each.reading for each in found.needed)


PLAN_ERROR: Final[dict[str, Any]] = {
    "code": "NetworkProfileCIDROverlapVNET",
    "message": "NetworkProfile CIDR 10.244.0.0/16 overlaps with reserved VNET CIDR 10.0.0.0/8",
    "target": "networkProfile.podCIDR",
}


def test_a_change_that_aks_refused_is_no_cause_where_nobody_waits_for_a_node() -> None:
    error = made.refusal(**PLAN_ERROR)
    assert diagnose(made.with_azure(made.healthy(), errors=(error,))).verdict is Verdict.HEALTHY
    leaking = diagnose(made.with_azure(made.kubenet_exhausted(), errors=(error,)))
    assert [cause.name for cause in leaking.causes] == ["ipamd_failure/host_local_leak"]
    crowded = diagnose(made.with_azure(made.max_pods(), errors=(error,)))
    assert [cause.name for cause in crowded.causes] == ["eni_limit/max_pods"]


def test_a_pod_cidr_of_another_cluster_says_nothing_of_this_one() -> None:
    error = made.refusal("InsufficientPodCidr", SMALL_KUBENET, "agentPoolProfile.count")
    diagnosis = diagnose(made.with_azure(made.kubenet_exhausted(), errors=(error,)))
    assert [cause.name for cause in diagnosis.causes] == ["ipamd_failure/host_local_leak"]
