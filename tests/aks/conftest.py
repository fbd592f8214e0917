"""AKS clusters made to measure, and the incidents of `tests/incidents/aks-*`.

`python -m tests.aks.conftest` writes the incidents.

`cluster` is healthy; each incident changes what its story changes. Figures: 9 nodes in 10.20.4.0/22, kubenet with
10.244.0.0/16, maxPods 110, as in the published story of a night on which host-local had no address left.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from headroom.facts.azure import (
    AgentPool,
    ArmError,
    Azure,
    AzureRoute,
    AzureRouteTable,
    AzureSubnet,
    ComputeUsage,
    Coverage,
    EgressReading,
    HostLocalReading,
    LoadBalancerProfile,
    ManagedCluster,
    NetworkContainer,
    NetworkProfile,
    NodeNetworkConfig,
    PublicAddress,
    VirtualNetwork,
    VmSize,
)
from headroom.facts.document import dump
from headroom.facts.kubernetes import Condition, Event, Kubernetes, Node, Pod, Workload
from headroom.facts.snapshot import Snapshot, Source
from headroom.facts.values import items

INCIDENTS_FOLDER: Final = Path(__file__).parents[1] / "incidents"
NOW: Final = "2026-02-26T21:18:00Z"
EARLIER: Final = "2026-02-20T09:00:00Z"
LATELY: Final = "2026-02-26T21:12:00Z"

SUBSCRIPTION: Final = "3c1f0a52-9b7e-4c33-8f63-2a6f8f3a7b10"
GROUP: Final = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-prod-eus2/providers"
NODE_GROUP: Final = "MC_rg-prod-eus2_aks-prod-eus2_eastus2"
MANAGED: Final = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{NODE_GROUP}/providers"
VNET: Final = f"{GROUP}/Microsoft.Network/virtualNetworks/vnet-spoke"
NODE_SUBNET: Final = f"{VNET}/subnets/snet-aks-nodes"
POD_SUBNET: Final = f"{VNET}/subnets/snet-aks-pods"
CLUSTER: Final = f"{GROUP}/Microsoft.ContainerService/managedClusters/aks-prod-eus2"
ROUTE_TABLE: Final = f"{MANAGED}/Microsoft.Network/routeTables/aks-agentpool-rt"
BALANCER: Final = f"{MANAGED}/Microsoft.Network/loadBalancers/kubernetes"
ADDRESS: Final = f"{MANAGED}/Microsoft.Network/publicIPAddresses/a1b2c3"

DAEMONS: Final = ("kube-proxy", "azure-ip-masq-agent", "csi-azuredisk-node")
RANGE_FULL: Final = (
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "{sandbox}": '
    'plugin type="kubenet" failed (add): failed to allocate for range 0: no IP addresses available in range set: '
    "{first}-{last}"
)
CNS_SHORT: Final = (
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "{sandbox}": '
    'plugin type="azure-vnet" failed (add): IPAM Invoker Add failed with error: Failed to get IP address from CNS: '
    "AssignAvailableIPConfigs failed: not enough IPs available of type IPv4 for {pod}, waiting on Azure CNS to "
    "allocate more with NC Status: {status}"
)
TOO_MANY: Final = (
    "0/{nodes} nodes are available: {nodes} Too many pods. preemption: 0/{nodes} nodes are available: {nodes} No "
    "preemption victims found for incoming pod."
)
SUBNET_FULL: Final = (
    "Subnet snet-aks-nodes with address prefix 10.20.4.0/27 does not have enough capacity for 4 IP addresses."
)
POD_CIDR_SMALL: Final = (
    "Pre-allocated IPs 5120 exceeds IPs available 4096 in Subnet Cidr 10.244.0.0/20, Subnet Name "
    "networkProfile.podCIDR. If Autoscaler is enabled, the max-count from each nodepool is counted towards this total "
    "(which means that pre-allocated IPs count represents a theoretical max value, not the actual number of IPs "
    "requested). http://aka.ms/aks/insufficientsubnetsize"
)
"""As AKS answers (AKS-Construction #701), for 20 nodes of 256 addresses each."""


def node_name(index: int) -> str:
    return f"aks-default-12345678-vmss{index:06}"


def pod_range(index: int) -> str:
    return f"10.244.{index}.0/24"


def node(index: int, *, most: int = 110, with_block: bool = True, ready: bool = True) -> Node:
    conditions = [
        Condition(
            type="Ready",
            status="True" if ready else "False",
            reason="KubeletReady" if ready else "KubeletNotReady",
            since=EARLIER,
        )
    ]
    if not ready:
        conditions.append(
            Condition(
                type="NetworkUnavailable",
                status="True",
                reason="NoRouteCreated",
                message="RouteController failed to create a route",
                since=LATELY,
            )
        )
    return Node(
        name=node_name(index),
        zone=f"eastus2-{index % 3 + 1}",
        instance_type="Standard_D4ds_v5",
        instance_id=None,
        node_group="default",
        node_pool=None,
        internal_ip=f"10.20.{4 + (index + 4) // 256}.{(index + 4) % 256}",
        max_pods=most,
        allocatable_pods=most,
        unschedulable=False,
        taints=(),
        conditions=tuple(conditions),
        created_at=EARLIER,
        kubelet_version="v1.31.6",
        os_image="Ubuntu 22.04.5 LTS",
        pod_cidr=pod_range(index) if with_block else None,
    )


def running(index: int, serial: int, *, owner: str, address: str) -> Pod:
    return Pod(
        namespace="prod",
        name=f"{owner}-7df9b8c6dd-{_suffix(index * 1000 + serial)}",
        node=node_name(index),
        phase="Running",
        ip=address,
        ready=True,
        owner=f"Deployment/{owner}",
        created_at=EARLIER,
    )


def daemon(index: int, name: str) -> Pod:
    return Pod(
        namespace="kube-system",
        name=f"{name}-{_suffix(index)}",
        node=node_name(index),
        phase="Running",
        ip=f"10.20.{4 + (index + 4) // 256}.{(index + 4) % 256}",
        host_network=True,
        ready=True,
        owner=f"DaemonSet/{name}",
        created_at=EARLIER,
    )


def waiting(serial: int, *, on: int | None, waits: str = "ContainerCreating") -> Pod:
    return Pod(
        namespace="prod",
        name=f"checkout-api-7df9b8c6dd-{_suffix(900_000 + serial)}",
        node=None if on is None else node_name(on),
        phase="Pending",
        waiting=None if on is None else waits,
        owner="Deployment/checkout-api",
        created_at=LATELY,
    )


def event(pod: Pod, reason: str, message: str) -> Event:
    return Event(
        kind="Pod",
        namespace=pod.namespace,
        name=pod.name,
        reason=reason,
        message=message,
        count=6,
        first_seen=LATELY,
        last_seen=NOW,
        reporter="kubelet" if pod.node is not None else "default-scheduler",
        node=pod.node,
    )


def _suffix(number: int) -> str:
    letters = "bcdfghjklmnpqrstvwxz2456789"
    text = ""
    for _ in range(5):
        number, digit = divmod(number * 31 + 7, len(letters)) if not text else divmod(number, len(letters))
        text += letters[digit]
    return text


def pool(**changes: Any) -> AgentPool:
    return replace(
        AgentPool(
            name="default",
            mode="System",
            count=9,
            autoscaling=False,
            minimum=None,
            maximum=None,
            max_pods=110,
            max_surge="1",
            max_unavailable=None,
            os_type="Linux",
            os_sku="Ubuntu",
            vm_size="Standard_D4ds_v5",
            pool_type="VirtualMachineScaleSets",
            priority="Regular",
            node_subnet_id=NODE_SUBNET,
            pod_subnet_id=None,
            pod_ip_allocation_mode=None,
            zones=("1", "2", "3"),
            provisioning_state="Succeeded",
            power_state="Running",
            version="1.31.6",
            node_image_version="AKSUbuntu-2204gen2containerd-202602.04.0",
            node_public_ip=False,
            taints=(),
            issue=None,
        ),
        **changes,
    )


KUBENET: Final = NetworkProfile(
    network_plugin="kubenet",
    network_plugin_mode=None,
    network_policy="calico",
    network_dataplane=None,
    network_mode=None,
    pod_cidr="10.244.0.0/16",
    pod_cidrs=("10.244.0.0/16",),
    service_cidr="10.0.0.0/16",
    service_cidrs=("10.0.0.0/16",),
    dns_service_ip="10.0.0.10",
    outbound_type="loadBalancer",
    load_balancer_sku="standard",
    ip_families=("IPv4",),
    load_balancer=LoadBalancerProfile(
        managed_outbound_ips=1,
        outbound_ip_ids=(),
        outbound_prefix_ids=(),
        effective_outbound_ip_ids=(ADDRESS,),
        allocated_outbound_ports=0,
        idle_timeout_minutes=30,
        backend_pool_type="NodeIPConfiguration",
    ),
    nat_gateway=None,
    advanced_networking=False,
    static_egress_gateway=False,
)
OVERLAY: Final = replace(
    KUBENET, network_plugin="azure", network_plugin_mode="overlay", network_policy=None, network_dataplane="azure"
)
SUBNETS: Final = replace(OVERLAY, network_plugin_mode=None, pod_cidr=None, pod_cidrs=())


def subnet(subnet_id: str, prefix: str, *, used: int | None, usable: int | None, **changes: Any) -> AzureSubnet:
    return replace(
        AzureSubnet(
            subnet_id=subnet_id,
            name=subnet_id.rpartition("/")[2],
            prefixes=(prefix,),
            route_table_id=None,
            security_group_id=None,
            nat_gateway_id=None,
            delegations=(),
            service_endpoints=(),
            default_outbound_access=None,
            used_addresses=used,
            usable_addresses=usable,
            ip_configurations=used,
            ip_configuration_owners={} if used is None else {"virtualMachineScaleSets": used},
            properties=("addressPrefix", "delegations", "ipConfigurations", "privateEndpointNetworkPolicies"),
        ),
        **changes,
    )


def cluster(  # noqa: PLR0913 - what a story may change, by keyword
    *,
    nodes: int = 9,
    pods_a_node: int = 40,
    network: NetworkProfile = KUBENET,
    most: int = 110,
    node_subnet: AzureSubnet | None = None,
    pods_in: Callable[[int, int], str] | None = None,
    **pool_changes: Any,
) -> Snapshot:
    """A healthy cluster, everything of it read."""
    kubenet = network.network_plugin == "kubenet"
    address = pods_in or (lambda index, serial: f"10.244.{index}.{serial + 4}")
    owners = ("checkout-api", "cart", "catalogue", "search")
    all_nodes = tuple(node(index, most=most, with_block=kubenet) for index in range(nodes))
    pods = [
        running(index, serial, owner=owners[serial % len(owners)], address=address(index, serial))
        for index in range(nodes)
        for serial in range(pods_a_node)
    ]
    pods += [daemon(index, name) for index in range(nodes) for name in DAEMONS]
    subnets = [
        node_subnet
        or subnet(NODE_SUBNET, "10.20.4.0/22", used=nodes, usable=1019, route_table_id=ROUTE_TABLE if kubenet else None)
    ]
    return Snapshot(
        cloud="azure",
        cluster="aks-prod-eus2",
        collected_at=NOW,
        aws=None,
        azure=Azure(
            subscription_id=SUBSCRIPTION,
            resource_group="rg-prod-eus2",
            location="eastus2",
            cluster=ManagedCluster(
                cluster_id=CLUSTER,
                name="aks-prod-eus2",
                location="eastus2",
                kubernetes_version="1.31",
                current_kubernetes_version="1.31.6",
                provisioning_state="Succeeded",
                power_state="Running",
                sku_tier="Standard",
                node_resource_group=NODE_GROUP,
                identity_type="SystemAssigned",
                identity_ids=(),
                network=network,
                authorized_ranges=None,
                private=False,
                oidc_issuer=True,
                workload_identity=True,
                auto_upgrade_channel=None,
                node_os_upgrade_channel="NodeImage",
                addons=(),
                tags={},
            ),
            pools=(pool(count=nodes, max_pods=most, **pool_changes),),
            vnets=(
                VirtualNetwork(
                    vnet_id=VNET,
                    name="vnet-spoke",
                    location="eastus2",
                    prefixes=("10.20.0.0/16",),
                    subnets=tuple(subnets),
                    peerings=(),
                    dns_servers=(),
                    encryption=False,
                    ddos_protection=False,
                ),
            ),
            route_tables=(route_table(nodes),) if kubenet else (),
            security_groups=(),
            nat_gateways=(),
            public_addresses=(
                PublicAddress(
                    address_id=ADDRESS,
                    name="a1b2c3",
                    address="20.62.10.20",
                    location="eastus2",
                    sku="Standard",
                    allocation="Static",
                    zones=("1", "2", "3"),
                    prefix_id=None,
                    attached_to=f"{BALANCER}/frontendIPConfigurations/a1b2c3",
                ),
            ),
            public_prefixes=(),
            quotas=(
                ComputeUsage(name="cores", current=4 * nodes, limit=2000),
                ComputeUsage(name="standardDDSv5Family", current=4 * nodes, limit=1700),
            ),
            vm_sizes=(VmSize(name="Standard_D4ds_v5", family="standardDDSv5Family", vcpus=4),),
            errors=(),
            host_local=tuple(host_local(index, pods_a_node, pods_a_node) for index in range(nodes)) if kubenet else (),
            node_network_configs=None if kubenet else tuple(config(index, network) for index in range(nodes)),
            cns=None,
            cns_pods=None,
            ip_masq=None,
            egress=(egress(0),),
            neighbours=(),
            coverage=(Coverage(resource_type="Microsoft.Network/routeTables", listed_by="resource_graph", found=1),),
        ),
        kubernetes=Kubernetes(
            version="v1.31.6",
            nodes=all_nodes,
            pods=tuple(pods),
            events=(),
            workloads=(
                *(
                    Workload(
                        kind="Deployment",
                        namespace="prod",
                        name=name,
                        desired=(wanted := sum(each.owner == f"Deployment/{name}" for each in pods)),
                        ready=wanted,
                    )
                    for name in owners
                ),
                *(
                    Workload(kind="DaemonSet", namespace="kube-system", name=name, desired=nodes, ready=nodes)
                    for name in DAEMONS
                ),
            ),
            services=(),
            disruption_budgets=(),
            autoscalers=(),
            priority_classes=(),
            cni_daemon_set=None,
            cni_pods=(),
            kube_proxy_ready=(nodes, nodes),
            eni_configs=(),
            node_pools=None,
            node_classes=None,
            node_claims=None,
        ),
        pools=None,
        lines=(),
        sources=(Source(name="azure managedClusters get", items=1, calls=1),),
    )


def route_table(routes: int) -> AzureRouteTable:
    return AzureRouteTable(
        route_table_id=ROUTE_TABLE,
        name="aks-agentpool-rt",
        routes=tuple(
            AzureRoute(
                name=f"{node_name(index)}____{index}",
                prefix=f"10.{244 + index // 256}.{index % 256}.0/24",
                next_hop_type="VirtualAppliance",
                next_hop=f"10.20.{4 + (index + 4) // 256}.{(index + 4) % 256}",
            )
            for index in range(routes)
        ),
        subnet_ids=(NODE_SUBNET,),
        disable_bgp_propagation=False,
    )


def host_local(index: int, reserved: int, live: int) -> HostLocalReading:
    left = tuple(f"10.244.{index}.{number}" for number in range(2, 255))[: max(0, reserved - live)]
    return HostLocalReading(
        node=node_name(index),
        network="kubenet",
        reserved=reserved,
        live=live,
        leaked=left,
        range_start=f"10.244.{index}.1",
        range_end=f"10.244.{index}.254",
        oldest_leak=EARLIER if left else None,
    )


def config(index: int, network: NetworkProfile, **changes: Any) -> NodeNetworkConfig:
    overlay = network.network_plugin_mode == "overlay"
    container = NetworkContainer(
        container_id=f"5d9f0c1e-0000-4000-8000-{index:012}",
        assignment_mode="static" if overlay else "dynamic",
        container_type="overlay" if overlay else "vnet",
        subnet_name="routingdomain_aks" if overlay else "snet-aks-pods",
        subnet_address_space="10.244.0.0/16" if overlay else "10.20.8.0/24",
        primary_ip=f"10.244.{index}.0" if overlay else f"10.20.8.{index + 4}",
        node_ip=f"10.20.4.{index + 4}",
        addresses=0 if overlay else 16,
        status=changes.pop("status", "NCUpdateSuccess"),
    )
    return replace(
        NodeNetworkConfig(
            node=node_name(index),
            requested_addresses=0 if overlay else 16,
            releasing_addresses=0,
            assigned_addresses=256 if overlay else 16,
            maximum_addresses=None if overlay else 110,
            batch_size=None if overlay else 16,
            status="Updated",
            containers=(container,),
        ),
        **changes,
    )


def egress(failed: int) -> EgressReading:
    return EgressReading(
        resource_id=BALANCER,
        kind="loadBalancer",
        failed_connections=failed,
        connections=182_000 + failed,
        used_ports=1024 if failed else 310,
        allocated_ports=1024,
        datapath_availability=100.0,
        since="2026-02-26T21:13:00Z",
        until=NOW,
    )


def azure_of(snapshot: Snapshot) -> Azure:
    assert isinstance(snapshot.azure, Azure)
    return snapshot.azure


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return snapshot.kubernetes


def with_azure(snapshot: Snapshot, **changes: Any) -> Snapshot:
    return replace(snapshot, azure=replace(azure_of(snapshot), **changes))


def with_kubernetes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    return replace(snapshot, kubernetes=replace(kubernetes_of(snapshot), **changes))


def with_pods(snapshot: Snapshot, pods: list[Pod], events: list[Event]) -> Snapshot:
    """The cluster with further pods of checkout-api, which it counts among those that it wants."""
    read = kubernetes_of(snapshot)
    assert isinstance(read.pods, tuple)
    assert isinstance(read.workloads, tuple)
    workloads = tuple(
        replace(each, desired=_number(each.desired) + len(pods)) if each.name == "checkout-api" else each
        for each in read.workloads
    )
    return with_kubernetes(snapshot, pods=(*read.pods, *pods), events=tuple(events), workloads=workloads)


def with_more(snapshot: Snapshot, pods: list[Pod]) -> Snapshot:
    """The cluster with further pods of cart that run."""
    read = kubernetes_of(snapshot)
    assert isinstance(read.pods, tuple)
    assert isinstance(read.workloads, tuple)
    more = len(pods)
    return with_kubernetes(
        snapshot,
        pods=(*read.pods, *pods),
        workloads=tuple(
            replace(each, desired=_number(each.desired) + more, ready=_number(each.ready) + more)
            if each.name == "cart"
            else each
            for each in read.workloads
        ),
    )


def _number(fact: Any) -> int:
    return fact if isinstance(fact, int) else 0


def refusal(code: str, message: str, target: str | None) -> ArmError:
    return ArmError(
        operation="Microsoft.ContainerService/managedClusters/agentPools/write",
        resource_id=f"{CLUSTER}/agentPools/default",
        code=code,
        message=message,
        target=target,
        first_seen=LATELY,
        last_seen="2026-02-26T21:16:00Z",
        count=3,
    )


# The incidents.


def kubenet_exhausted() -> Snapshot:
    """Three nodes run 110 of 110 pods, seven of which find their /24 full: leftovers of host-local hold the rest."""
    made = cluster(pods_a_node=90)
    full = (0, 3, 6)
    pods = [waiting(serial, on=full[serial % 3]) for serial in range(7)]
    live = {index: 110 - len(DAEMONS) - sum(pod.node == node_name(index) for pod in pods) for index in full}
    made = with_more(
        made,
        [
            running(index, serial, owner="cart", address=f"10.244.{index}.{serial + 4}")
            for index in full
            for serial in range(90, live[index])
        ],
    )
    events = []
    for serial, pod in enumerate(pods):
        index = full[serial % 3]
        message = RANGE_FULL.format(sandbox=f"{serial:064x}", first=f"10.244.{index}.1", last=f"10.244.{index}.254")
        events.append(event(pod, "FailedCreatePodSandBox", message))
    readings = tuple(host_local(index, 253 if index in full else 97, live.get(index, 90)) for index in range(9))
    return with_azure(with_pods(made, pods, events), host_local=readings)


def max_pods() -> Snapshot:
    """Every node runs 30 pods, and maxPods is 30: the scheduler places no more."""
    made = cluster(pods_a_node=27, most=30)
    pods = [waiting(serial, on=None) for serial in range(12)]
    return with_pods(made, pods, [event(pod, "FailedScheduling", TOO_MANY.format(nodes=9)) for pod in pods])


def overlay_block() -> Snapshot:
    """Under overlay 250 pods are placed on a node whose /24 is used up."""
    made = cluster(nodes=4, pods_a_node=100, network=OVERLAY, most=250)
    more = [running(1, serial, owner="cart", address=f"10.244.1.{serial + 4}") for serial in range(100, 243)]
    pods = [waiting(serial, on=1) for serial in range(4)]
    events = [
        event(
            pod,
            "FailedCreatePodSandBox",
            CNS_SHORT.format(sandbox=f"{serial:064x}", pod=pod.name, status="NCUpdateSuccess"),
        )
        for serial, pod in enumerate(pods)
    ]
    return with_pods(with_more(made, more), pods, events)


def node_subnet_full() -> Snapshot:
    """The autoscaler wants nodes, and their subnet, a /27, has no address for one."""
    made = cluster(
        nodes=26,
        pods_a_node=20,
        network=OVERLAY,
        most=30,
        node_subnet=subnet(NODE_SUBNET, "10.20.4.0/27", used=27, usable=27),
        autoscaling=True,
        minimum=3,
        maximum=40,
        provisioning_state="Failed",
        issue=f"SubnetIsFull: {SUBNET_FULL}",
    )
    pods = [waiting(serial, on=None) for serial in range(15)]
    insufficient = "0/26 nodes are available: 26 Insufficient cpu. preemption: 0/26 nodes are available."
    stuck = with_pods(made, pods, [event(pod, "FailedScheduling", insufficient) for pod in pods])
    return with_azure(stuck, errors=(refusal("SubnetIsFull", SUBNET_FULL, NODE_SUBNET),))


def pod_subnet_exhausted() -> Snapshot:
    """The subnet for pods, a /24, is used up: azure-cns asks for 16 addresses more and gets none."""
    made = cluster(
        nodes=6,
        pods_a_node=36,
        network=SUBNETS,
        pods_in=lambda index, serial: f"10.20.8.{(index * 36 + serial) % 250 + 4}",
        pod_subnet_id=POD_SUBNET,
        pod_ip_allocation_mode="DynamicIndividual",
    )
    [vnet] = items(azure_of(made).vnets)
    subnets = items(vnet.subnets)
    of_pods = replace(
        subnet(POD_SUBNET, "10.20.8.0/24", used=None, usable=None, ip_configurations=251),
        delegations=("Microsoft.ContainerService/managedClusters",),
    )
    made = with_azure(
        made,
        vnets=(replace(vnet, subnets=(*subnets, of_pods)),),
        node_network_configs=tuple(
            config(
                index,
                SUBNETS,
                status="NCUpdateSubnetFullError" if index in (2, 4) else "NCUpdateSuccess",
                requested_addresses=64 if index in (2, 4) else 48,
                assigned_addresses=48,
            )
            for index in range(6)
        ),
    )
    pods = [waiting(serial, on=2 if serial % 2 else 4) for serial in range(5)]
    status = "NCUpdateSubnetFullError"
    return with_pods(
        made,
        pods,
        [
            event(
                pod,
                "FailedCreatePodSandBox",
                CNS_SHORT.format(sandbox=f"{serial:064x}", pod=pod.name, status=status),
            )
            for serial, pod in enumerate(pods)
        ],
    )


def pod_cidr_exhausted() -> Snapshot:
    """The autoscaler's maximum was to be raised: 10.244.0.0/20 has 16 blocks, and that needs 20."""
    network = replace(OVERLAY, pod_cidr="10.244.0.0/20", pod_cidrs=("10.244.0.0/20",))
    made = cluster(
        nodes=15,
        network=network,
        autoscaling=True,
        minimum=3,
        maximum=15,
        provisioning_state="Failed",
        issue=f"InsufficientSubnetSize: {POD_CIDR_SMALL} Target: networkProfile.podCIDR",
    )
    pods = [waiting(serial, on=None) for serial in range(10)]
    insufficient = "0/15 nodes are available: 15 Insufficient memory. preemption: 0/15 nodes are available."
    stuck = with_pods(made, pods, [event(pod, "FailedScheduling", insufficient) for pod in pods])
    error = refusal("InsufficientSubnetSize", POD_CIDR_SMALL, "networkProfile.podCIDR")
    return with_azure(stuck, errors=(error,))


def route_limit() -> Snapshot:
    """400 routes and 402 nodes: the last two have no route, so nothing is placed there."""
    made = cluster(
        nodes=402,
        pods_a_node=1,
        network=replace(KUBENET, pod_cidr="10.244.0.0/14", pod_cidrs=("10.244.0.0/14",)),
        node_subnet=subnet(NODE_SUBNET, "10.20.4.0/22", used=402, usable=1019, route_table_id=ROUTE_TABLE),
        pods_in=lambda index, serial: f"10.{244 + index // 256}.{index % 256}.{serial + 4}",
    )
    read = kubernetes_of(made)
    assert isinstance(read.nodes, tuple)
    assert isinstance(read.pods, tuple)
    assert isinstance(read.workloads, tuple)
    nodes = tuple(
        replace(node(index, ready=index < 400), pod_cidr=f"10.{244 + index // 256}.{index % 256}.0/24")
        for index in range(402)
    )
    gone = {node_name(400), node_name(401)}
    left_out = {f"DaemonSet/{name}" for name in DAEMONS[1:]}
    pods = tuple(pod for pod in read.pods if (pod.node not in gone or pod.host_network) and pod.owner not in left_out)
    workloads = tuple(
        replace(each, desired=400, ready=400) if each.name == "checkout-api" else each
        for each in read.workloads
        if each.name in (DAEMONS[0], "checkout-api")
    )
    less = with_kubernetes(made, nodes=nodes, pods=pods, workloads=workloads)
    waits = [waiting(serial, on=None) for serial in range(6)]
    taint = (
        "0/402 nodes are available: 2 node(s) had untolerated taint {node.kubernetes.io/network-unavailable: }, "
        "400 Insufficient cpu."
    )
    stuck = with_pods(less, waits, [event(pod, "FailedScheduling", taint) for pod in waits])
    return with_azure(stuck, route_tables=(route_table(400),), host_local=())


def snat() -> Snapshot:
    """Pods have addresses; outbound connections find no source port."""
    return with_azure(cluster(network=OVERLAY), egress=(egress(41_250),))


def healthy() -> Snapshot:
    """Nothing is wrong."""
    return cluster()


def not_ip() -> Snapshot:
    """Pods wait for an image."""
    made = cluster(network=OVERLAY)
    pods = [
        replace(waiting(serial, on=2, waits="ImagePullBackOff"), ip=f"10.244.2.{200 + serial}") for serial in range(3)
    ]
    message = 'Failed to pull image "registry.example/checkout-api:1.4": not found'
    return with_pods(made, pods, [event(pod, "Failed", message) for pod in pods])


INCIDENTS: Final[Mapping[str, tuple[Callable[[], Snapshot], str, tuple[str, ...]]]] = {
    "aks-kubenet-exhausted": (kubenet_exhausted, "found", ("ipamd_failure/host_local_leak",)),
    "aks-max-pods": (max_pods, "found", ("eni_limit/max_pods",)),
    "aks-overlay-block": (overlay_block, "found", ("subnet_exhaustion/overlay_node_block",)),
    "aks-node-subnet-full": (node_subnet_full, "found", ("subnet_exhaustion/node_subnet_full",)),
    "aks-pod-subnet-exhausted": (pod_subnet_exhausted, "found", ("subnet_exhaustion/pod_subnet_exhausted",)),
    "aks-pod-cidr-exhausted": (pod_cidr_exhausted, "found", ("subnet_exhaustion/pod_cidr_exhausted",)),
    "aks-route-limit": (route_limit, "found", ("subnet_exhaustion/route_limit",)),
    "aks-snat": (snat, "found", ("snat_exhaustion",)),
    "aks-healthy": (healthy, "healthy", ()),
    "aks-not-ip": (not_ip, "not_ip", ()),
}
"""Each incident: its facts, its verdict and the names of its causes."""


def write_incidents() -> None:
    """Writes every incident's facts and expected verdict."""
    for name, (make, verdict, causes) in INCIDENTS.items():
        folder = INCIDENTS_FOLDER / name
        folder.mkdir(exist_ok=True)
        (folder / "facts.json").write_text(dump(make()), encoding="utf-8")
        expected = {"verdict": verdict, "causes": list(causes)}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_incidents()
