"""A whole cluster read: what is known at the end, what it cost, and what stays unknown when a source fails."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.collect import aws as aws_readings
from headroom.collect import ipamd
from headroom.collect import kubernetes as kubernetes_readings
from headroom.collect.budget import budget, missing
from headroom.collect.permissions import permissions
from headroom.facts.aws import Aws, Vpc
from headroom.facts.document import dump, load
from headroom.facts.kubernetes import (
    CniDaemonSet,
    CniNode,
    CronJob,
    Event,
    Kubernetes,
    Lease,
    Pod,
    Service,
    Workload,
)
from headroom.facts.snapshot import Line, Origin
from headroom.facts.values import Reason, Unknown, items
from tests.collect.conftest import (
    CLUSTER,
    REGION,
    SYSTEM,
    ApiServerStub,
    World,
    daemon_set,
    install,
    kubeconfig_content,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headroom.facts.snapshot import Snapshot

    Read = Callable[..., Snapshot]

NOW = datetime(2026, 3, 3, 20, 50, tzinfo=UTC)
BASE_CALLS = {
    "DescribeCluster": 1,
    "DescribeAddon": 1,
    "ListNodegroups": 1,
    "DescribeVpcs": 1,
    "DescribeSubnets": 1,
    "DescribeNetworkInterfaces": 1,
    "DescribeRouteTables": 1,
    "DescribeVpcPeeringConnections": 1,
}


def aws_of(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return snapshot.kubernetes


def vpc_id_of(part: Aws) -> str:
    assert isinstance(part.vpc, Vpc)
    return part.vpc.vpc_id


def unknown_fields(part: object) -> dict[str, Reason]:
    assert not isinstance(part, Unknown)
    values = {entry.name: getattr(part, entry.name) for entry in fields(part)}  # type: ignore[arg-type] # a dataclass
    return {name: value.reason for name, value in values.items() if isinstance(value, Unknown)}


# What is read


def test_aws_is_read_as_it_is(read: Read, aws: World) -> None:
    found = aws_of(read())
    assert vpc_id_of(found) == aws.vpc_id
    subnets = {each.subnet_id: each for each in items(found.subnets)}
    first = subnets[aws.subnets["us-east-1a"]]
    assert (first.zone, first.cidr_block) == ("us-east-1a", "10.68.0.0/22")
    # 1,019 usable, less 10 of each of the node's two interfaces and the one that was left behind
    assert first.available_addresses == 998
    assert first.tags == {"Name": "private-us-east-1a", "kubernetes.io/role/internal-elb": "1"}
    assert isinstance(first.route_table_id, str)
    assert subnets[aws.subnets["us-east-1b"]].route_table_id is None, "it uses the main table"
    assert (found.region, found.service_cidr, found.ip_family) == (REGION, "172.20.0.0/16", "ipv4")
    assert (found.cluster_status, found.auto_mode, found.addon, found.node_groups) == ("ACTIVE", False, None, ())
    assert [(each.role, each.status) for each in items(found.peerings)] == [("requester", "pending-acceptance")]


def test_every_interface_of_the_vpc_is_read_and_told_apart(read: Read, aws: World) -> None:
    found = {each.interface_id: each for each in items(aws_of(read()).interfaces)}
    planted = {each["networkInterfaceId"] for node in aws.instances for each in node["interfaces"]}
    assert found.keys() == planted | set(aws.others)
    left, nat = (found[identifier] for identifier in aws.others)
    assert (left.status, left.instance_id, left.cluster) == ("available", None, CLUSTER)
    assert (left.node_instance_id, left.created_at) == ("i-00000000000000000", "2026-03-01T10:00:00Z")
    assert (nat.status, nat.interface_type, nat.requester_managed) == ("in-use", "nat_gateway", True)
    secondary = next(each for each in found.values() if each.device_index == 1)
    assert len(secondary.addresses) == 10
    assert secondary.instance_id in {node["instanceId"] for node in aws.instances}


def test_kubernetes_is_read_as_it_is(read: Read, cluster: ApiServerStub) -> None:
    cluster.page = 3  # pods and all else in several pages
    found = kubernetes_of(read())
    names = [each.name for each in items(found.nodes)]
    assert found.version == "v1.33.1-eks-1"
    assert len(items(found.pods)) == 4
    assert items(found.pods)[1] == Pod(
        namespace="shop",
        name="checkout-7fd949d74b-bbbbb",
        node=names[1],
        phase="Pending",
        waiting="ContainerCreating",
        owner="Deployment/checkout",
        priority=0,
        created_at="2026-03-03T20:40:00Z",
    )
    assert found.events == (
        Event(
            kind="Pod",
            namespace="shop",
            name="checkout-7fd949d74b-bbbbb",
            reason="FailedCreatePodSandBox",
            message="failed to assign an IP address to container",
            count=16,
            first_seen="2026-03-03T20:46:41Z",
            last_seen="2026-03-03T20:49:21Z",
            reporter="kubelet",
            node=names[1],
        ),
    )
    assert Workload(
        kind="Deployment", namespace="shop", name="checkout", desired=2, ready=1, priority_class="gold"
    ) in items(found.workloads)
    assert found.services == (
        Service(
            namespace="shop",
            name="checkout",
            pods=("checkout-7fd949d74b-aaaaa", "checkout-7fd949d74b-bbbbb"),
            ready_endpoints=1,
        ),
    )
    assert found.cni_daemon_set == CniDaemonSet(
        image="602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1.19.2-eksbuild.1",
        version="v1.19.2-eksbuild.1",
        environment={"ENABLE_PREFIX_DELEGATION": "false", "WARM_ENI_TARGET": "1"},
        desired=2,
        ready=2,
        updated=2,
        generation=3,
        managers={"ENABLE_PREFIX_DELEGATION": "eks", "WARM_ENI_TARGET": "eks"},
    )
    assert [each.name for each in items(found.cni_pods)] == ["aws-node-0", "aws-node-1"]
    assert found.kube_proxy_ready == (2, 2)
    assert (found.eni_configs, found.node_pools, found.node_classes, found.node_claims) == (None, None, None, None)


def test_what_karpenter_and_custom_networking_have_is_read_where_they_are_installed(
    read: Read, cluster: ApiServerStub
) -> None:
    conditions = [{"type": "Ready", "status": "True"}]
    install(
        cluster,
        "karpenter.sh",
        "v1",
        nodepools=[
            {
                "metadata": {"name": "general"},
                "spec": {"limits": {"cpu": 1000}, "template": {"spec": {"nodeClassRef": {"name": "default"}}}},
                "status": {"conditions": conditions},
            }
        ],
        nodeclaims=[
            {
                "metadata": {
                    "name": "general-x",
                    "labels": {"karpenter.sh/nodepool": "general"},
                    "creationTimestamp": "2026-03-03T20:40:00Z",
                },
                "status": {"conditions": [{"type": "Launched", "status": "False", "reason": "LaunchFailed"}]},
            }
        ],
    )
    install(
        cluster,
        "karpenter.k8s.aws",
        "v1",
        ec2nodeclasses=[
            {
                "metadata": {"name": "default"},
                "spec": {"kubelet": {"maxPods": 110}},
                "status": {"subnets": [{"id": "subnet-1"}], "conditions": conditions},
            }
        ],
    )
    install(
        cluster,
        "crd.k8s.amazonaws.com",
        "v1alpha1",
        eniconfigs=[{"metadata": {"name": "us-east-1a"}, "spec": {"subnet": "subnet-2", "securityGroups": ["sg-1"]}}],
    )
    install(cluster, "eks.amazonaws.com", "v1")  # the group is there, NodeClass is not
    found = kubernetes_of(read())
    (pool,), (claim,), (node_class,), (eni_config,) = (
        items(found.node_pools),
        items(found.node_claims),
        items(found.node_classes),
        items(found.eni_configs),
    )
    assert (pool.name, pool.node_class, pool.limits) == ("general", "default", {"cpu": "1000"})
    assert (claim.node_pool, claim.node, claim.conditions[0].reason) == ("general", None, "LaunchFailed")
    assert (node_class.kind, node_class.subnet_ids, node_class.max_pods) == ("EC2NodeClass", ("subnet-1",), 110)
    assert (eni_config.subnet_id, eni_config.security_group_ids) == ("subnet-2", ("sg-1",))


def test_ipamd_says_what_its_pools_hold(read: Read) -> None:
    pools = read().pools
    assert isinstance(pools, tuple)
    assert [(each.total_addresses, each.assigned_addresses, each.interfaces) for each in pools] == [(18, 1, 2)] * 2
    assert pools[0].api_errors == {"CreateNetworkInterface/InsufficientFreeAddressesInSubnet": 7}
    assert isinstance(pools[0].prefixes, Unknown), "this ipamd has no such metric"


def test_logs_are_read_only_for_what_means_something(read: Read) -> None:
    assert isinstance(read().lines, Unknown)
    assert read(interesting=lambda line: "nothing" in line).lines == ()
    lines = read(interesting=lambda line: "Installed" in line).lines
    assert isinstance(lines, tuple)
    assert {each.node for each in lines} == {each.node for each in items(kubernetes_of(read()).cni_pods)}
    assert lines[0] == Line(
        origin=Origin.AWS_NODE_LOG,
        text="Installed /host/opt/cni/bin/aws-cni",
        node=lines[0].node,
        first_seen="2026-03-03T20:46:41Z",
        last_seen="2026-03-03T20:46:41Z",
    )


def test_a_snapshot_survives_its_file_and_holds_no_secret(read: Read) -> None:
    snapshot = read(now=lambda: NOW, interesting=bool)
    text = dump(snapshot)
    assert load(text) == snapshot
    assert snapshot.collected_at == "2026-03-03T20:50:00Z"
    for hidden in ("hunter2", "DB_PASSWORD", "cost-center", "a-token"):
        assert hidden not in text


# What it costs, and what it needs


def test_a_reading_makes_eight_calls_of_aws(read: Read, aws: World) -> None:
    snapshot = read()
    assert aws.endpoint.calls() == BASE_CALLS
    assert (budget(snapshot).calls, budget(snapshot).allowed) == (8, 11)
    assert str(budget(snapshot)) == "8 AWS calls (budget 11)"


def test_prefix_delegation_costs_a_call_for_each_subnet_of_the_nodes(
    read: Read, aws: World, cluster: ApiServerStub
) -> None:
    cluster.lists["/apis/apps/v1/daemonsets"] = [daemon_set("aws-node", {"ENABLE_PREFIX_DELEGATION": "true"})]
    reservation = aws.client("ec2").create_subnet_cidr_reservation(
        SubnetId=aws.subnets["us-east-1a"], Cidr="10.68.2.0/24", ReservationType="prefix"
    )["SubnetCidrReservation"]
    aws.endpoint.forget_calls()
    snapshot = read()
    assert aws.endpoint.calls() == {**BASE_CALLS, "GetSubnetCidrReservations": 2}
    assert budget(snapshot).calls == 10
    reserved = {each.subnet_id: each.reservations for each in items(aws_of(snapshot).subnets)}
    assert [(each.cidr, each.reservation_type) for each in items(reserved[aws.subnets["us-east-1a"]])] == [
        ("10.68.2.0/24", "prefix")
    ]
    assert reserved[aws.subnets["us-east-1b"]] == ()
    aws.client("ec2").delete_subnet_cidr_reservation(SubnetCidrReservationId=reservation["SubnetCidrReservationId"])


def test_a_deep_reading_asks_for_quotas_too(read: Read, aws: World) -> None:
    found = aws_of(read(deep=True))
    assert (found.vpc_cidr_quota, found.region_interface_quota) == (5, 5000)
    assert found.region_interfaces == len(items(found.interfaces))
    assert aws.endpoint.calls()["ListServiceQuotas"] == 1


def test_a_shallow_reading_says_why_the_quotas_are_unknown(read: Read) -> None:
    found = aws_of(read())
    assert found.region_interface_quota == Unknown(
        Reason.NOT_COLLECTED, "far from the default quotas; --deep reads them"
    )


def test_managed_node_groups_are_described_each(read: Read, aws: World) -> None:
    eks = aws.client("eks")
    eks.create_nodegroup(
        clusterName=CLUSTER,
        nodegroupName="workers",
        subnets=list(aws.subnets.values()),
        nodeRole="arn:aws:iam::123456789012:role/node",
        scalingConfig={"minSize": 1, "desiredSize": 2, "maxSize": 5},
        instanceTypes=["m5.large"],
    )
    try:
        (group,) = items(aws_of(read()).node_groups)
        assert (group.name, group.status, group.instance_types) == ("workers", "ACTIVE", ("m5.large",))
        assert (group.minimum, group.desired, group.maximum) == (1, 2, 5)
        assert aws.endpoint.calls()["DescribeNodegroup"] == 1
        aws.endpoint.fail("DescribeNodegroup", "AccessDeniedException", status=403)
        (group,) = items(aws_of(read()).node_groups)
        assert group.name == "workers"
        assert isinstance(group.issues, Unknown), "its name is known from the list"
        assert group.issues.reason is Reason.DENIED
    finally:
        eks.delete_nodegroup(clusterName=CLUSTER, nodegroupName="workers")


def test_the_iam_policy_allows_what_is_called_and_nothing_else(read: Read, aws: World, cluster: ApiServerStub) -> None:
    """Every call of a reading that does all there is to do, by the names of the request log."""
    cluster.lists["/api/v1/nodes"][0]["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "x99.huge"
    eks = aws.client("eks")
    eks.create_nodegroup(
        clusterName=CLUSTER,
        nodegroupName="workers",
        subnets=list(aws.subnets.values()),
        nodeRole="arn:aws:iam::123456789012:role/node",
    )
    seen = len(aws.endpoint.requests())
    try:
        read(deep=True)
    finally:
        calls = aws.endpoint.requests()[seen:]
        eks.delete_nodegroup(clusterName=CLUSTER, nodegroupName="workers")
    called = {f"{entry['service']}:{entry['action']}" for entry in calls}
    (statement,) = json.loads(permissions("iam"))["Statement"]
    assert sorted(called) == statement["Action"]
    assert sorted(called) == sorted(aws_readings.IAM_ACTIONS)
    assert statement["Effect"] == "Allow"


def test_the_rbac_roles_allow_what_is_read_and_nothing_else(read: Read, cluster: ApiServerStub) -> None:
    install(cluster, "karpenter.sh", "v1", nodepools=[], nodeclaims=[])
    install(cluster, "karpenter.k8s.aws", "v1", ec2nodeclasses=[])
    install(cluster, "crd.k8s.amazonaws.com", "v1alpha1", eniconfigs=[])
    install(cluster, "vpcresources.k8s.aws", "v1alpha1", cninodes=[])
    install(cluster, "eks.amazonaws.com", "v1", nodeclasses=[])
    install(cluster, "keda.sh", "v1alpha1", scaledobjects=[], scaledjobs=[])
    read(interesting=bool)
    asked = {request for path in cluster.paths() if (request := resource_of(path)) is not None}
    documents = {
        (each["kind"], each["metadata"].get("namespace", "")): each for each in yaml.safe_load_all(permissions("rbac"))
    }
    everywhere = documents["ClusterRole", ""]["rules"]
    in_system = documents["Role", SYSTEM]["rules"]
    assert {request[1:] for request in asked if not request[0]} == allowed(everywhere)
    assert {request for request in asked if request[0]} == {(SYSTEM, *each) for each in allowed(in_system)}
    assert everywhere == [dict(rule) for rule in kubernetes_readings.RBAC_RULES]
    assert in_system == [dict(rule) for rule in ipamd.RBAC_RULES]
    assert not any("secrets" in rule["resources"] or "configmaps" in rule["resources"] for rule in everywhere)


def allowed(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def resource_of(path: str) -> tuple[str, str, str, str] | None:
    """Namespace, API group, resource and verb of a GET; ``None`` for what every user may read."""
    words = path.strip("/").split("/")
    if path in ("/version", "/apis"):
        return None
    group, rest = ("", words[2:]) if words[0] == "api" else (words[1], words[3:])
    if rest[0] == "namespaces" and len(rest) > 1:
        resource = "/".join([rest[2], *rest[4:5]])
        return rest[1], group, resource, "get"
    return "", group, rest[0], "list"


# What fails


DENIED = ("UnauthorizedOperation", 403, Reason.DENIED)
THROTTLED = ("RequestLimitExceeded", 503, Reason.THROTTLED)
BROKEN = ("InternalError", 500, Reason.UNREACHABLE)


@pytest.mark.parametrize(
    ("action", "unknown", "refusal"),
    [
        ("DescribeVpcs", "vpc", DENIED),
        ("DescribeSubnets", "subnets", DENIED),
        ("DescribeNetworkInterfaces", "interfaces", DENIED),
        ("DescribeNetworkInterfaces", "interfaces", THROTTLED),
        ("DescribeNetworkInterfaces", "interfaces", BROKEN),
        ("DescribeRouteTables", "route_tables", THROTTLED),
        ("DescribeVpcPeeringConnections", "peerings", BROKEN),
        ("DescribeAddon", "addon", DENIED),
        ("ListNodegroups", "node_groups", THROTTLED),
    ],
)
def test_a_call_that_aws_refuses_makes_its_own_values_unknown(
    read: Read, aws: World, action: str, unknown: str, refusal: tuple[str, int, Reason]
) -> None:
    code, status, reason = refusal
    aws.endpoint.fail(action, code, status=status, count=9)
    snapshot = read()
    found = unknown_fields(aws_of(snapshot))
    # Quotas and the count of the Region are only asked for where interfaces and CIDRs come near them.
    assert found.keys() - {"region_interfaces", "region_interface_quota", "vpc_cidr_quota"} == {unknown}
    assert found[unknown] is reason
    assert any(code in each.outcome for each in snapshot.sources)
    assert unknown_fields(kubernetes_of(snapshot)) == {}


def test_a_cluster_that_eks_does_not_show_is_found_by_its_nodes(read: Read, aws: World) -> None:
    for action in ("DescribeCluster", "DescribeAddon", "ListNodegroups"):
        aws.endpoint.fail(action, "AccessDeniedException", status=403, count=9)
    found = aws_of(read())
    assert vpc_id_of(found) == aws.vpc_id
    assert found.interfaces
    assert isinstance(found.cluster_status, Unknown)
    assert all(isinstance(each.shared_from, Unknown) for each in items(found.subnets))


def test_without_eks_and_without_nodes_the_vpc_is_unknown_and_said_so(
    read: Read, aws: World, cluster: ApiServerStub
) -> None:
    aws.endpoint.fail("DescribeCluster", "AccessDeniedException", status=403, count=9)
    cluster.failures["/api/v1/nodes"] = (403, "Forbidden")
    snapshot = read()
    assert aws_of(snapshot).subnets == Unknown(
        Reason.DENIED,
        "needs the cluster's VPC: denied (DescribeCluster: AccessDeniedException)",
    )
    assert [name for name, _ in missing(snapshot)] == ["vpc", "subnets", "interfaces", "nodes"]


FORBIDDEN = (403, "Forbidden", Reason.DENIED)


@pytest.mark.parametrize(
    ("path", "unknown", "refusal"),
    [
        ("/version", set(), FORBIDDEN),
        ("/api/v1/nodes", {"nodes"}, FORBIDDEN),
        ("/api/v1/pods", {"pods", "cni_pods", "services", "disruption_budgets"}, FORBIDDEN),
        ("/api/v1/events", {"events"}, (401, "Unauthorized", Reason.DENIED)),
        ("/api/v1/events", {"events"}, (429, "TooManyRequests", Reason.THROTTLED)),
        ("/api/v1/events", {"events"}, (500, "InternalError", Reason.UNREACHABLE)),
        ("/api/v1/services", {"services"}, FORBIDDEN),
        ("/apis/apps/v1/daemonsets", {"cni_daemon_set", "kube_proxy_ready"}, FORBIDDEN),
        ("/apis/batch/v1/cronjobs", {"cron_jobs"}, FORBIDDEN),
        ("/apis/coordination.k8s.io/v1/leases", {"leases"}, FORBIDDEN),
        ("/api/v1/namespaces", {"namespaces"}, FORBIDDEN),
        ("/apis/networking.k8s.io/v1/networkpolicies", {"network_policies", "pod_sets"}, FORBIDDEN),
        ("/apis/autoscaling/v2/horizontalpodautoscalers", {"autoscalers"}, FORBIDDEN),
        ("/apis/policy/v1/poddisruptionbudgets", {"disruption_budgets"}, FORBIDDEN),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", {"priority_classes"}, FORBIDDEN),
        (
            "/apis",
            {"eni_configs", "cni_nodes", "node_pools", "node_classes", "node_claims", "keda_scalers"},
            FORBIDDEN,
        ),
    ],
)
def test_a_read_that_the_api_server_refuses_makes_its_own_values_unknown(
    read: Read, cluster: ApiServerStub, path: str, unknown: set[str], refusal: tuple[int, str, Reason]
) -> None:
    status, said, reason = refusal
    cluster.failures[path] = (status, said)
    snapshot = read()
    assert unknown_fields(kubernetes_of(snapshot)) == dict.fromkeys(unknown, reason)
    assert any(f"answered {status} {said}" in each.outcome for each in snapshot.sources)
    assert not isinstance(aws_of(snapshot).interfaces, Unknown)


WORKLOAD_PATHS = {
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "Deployment": "/apis/apps/v1/deployments",
    "Job": "/apis/batch/v1/jobs",
    "StatefulSet": "/apis/apps/v1/statefulsets",
}


@pytest.mark.parametrize("kind", WORKLOAD_PATHS)
def test_a_kind_of_workload_that_may_not_be_read_leaves_the_others_known(
    read: Read, cluster: ApiServerStub, kind: str
) -> None:
    whole = kubernetes_of(read())
    cluster.failures[WORKLOAD_PATHS[kind]] = (403, "Forbidden")
    found = kubernetes_of(read())
    assert items(found.workloads) == tuple(each for each in items(whole.workloads) if each.kind != kind)
    assert found.workloads == items(found.workloads), "known, though perhaps of none"
    assert found.unread_workloads.keys() == {kind}
    assert found.unread_workloads[kind].startswith("denied (")


def test_where_no_kind_of_workload_may_be_read_they_are_unknown(read: Read, cluster: ApiServerStub) -> None:
    cluster.failures |= dict.fromkeys(WORKLOAD_PATHS.values(), (403, "Forbidden"))
    found = kubernetes_of(read())
    assert isinstance(found.workloads, Unknown)
    assert found.unread_workloads == {}


def test_cronjobs_their_runs_and_cninodes_are_read(read: Read, cluster: ApiServerStub) -> None:
    job = {"parallelism": 3, "template": {"spec": {"priorityClassName": "batch-low", "containers": []}}}
    cluster.lists["/apis/batch/v1/cronjobs"] = [
        {
            "metadata": {"namespace": "batch", "name": "report"},
            "spec": {"schedule": "*/5 * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": job}},
            "status": {"active": [{"name": "report-1"}], "lastScheduleTime": "2026-03-03T20:45:00Z"},
        }
    ]
    cluster.lists["/apis/batch/v1/jobs"] = [
        {
            "metadata": {
                "namespace": "batch",
                "name": "report-1",
                "ownerReferences": [{"kind": "CronJob", "name": "report", "controller": True}],
            },
            "spec": job,
            "status": {},
        }
    ]
    feature = {"name": "CustomNetworking", "value": "us-east-1a"}
    trunk = {"id": "eni-1", "branches": [{"id": "eni-2", "vlanID": 1}]}
    install(
        cluster,
        "vpcresources.k8s.aws",
        "v1alpha1",
        cninodes=[
            {
                "metadata": {"name": "node-a"},
                "spec": {"features": [{"name": "SecurityGroupsForPods"}, feature]},
                "status": {"trunkInterface": trunk},
            }
        ],
    )
    found = kubernetes_of(read())
    assert found.cron_jobs == (
        CronJob(
            namespace="batch",
            name="report",
            schedule="*/5 * * * *",
            concurrency_policy="Forbid",
            parallelism=3,
            active=1,
            last_scheduled="2026-03-03T20:45:00Z",
            priority_class="batch-low",
        ),
    )
    assert [(each.name, each.owner) for each in items(found.workloads) if each.kind == "Job"] == [
        ("report-1", "CronJob/report")
    ]
    assert found.cni_nodes == (
        CniNode(
            name="node-a",
            features={"SecurityGroupsForPods": "", "CustomNetworking": "us-east-1a"},
            trunk_interface="eni-1",
            branch_interfaces=("eni-2",),
        ),
    )


def lease_object(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def test_leases_of_workloads_are_read_and_those_of_nodes_and_of_the_control_plane_are_not(
    read: Read, cluster: ApiServerStub
) -> None:
    path = "/apis/coordination.k8s.io/v1/leases"
    held = {"holderIdentity": "queue-7f9c4-abcde_0f6f2a1e-0000-4000-8000-000000000000", "leaseDurationSeconds": 15}
    cluster.lists[path] = [
        lease_object("kube-node-lease", "node-a", holderIdentity="node-a"),
        lease_object("kube-system", "kube-scheduler", holderIdentity="master_1"),
        lease_object("kube-system", "kube-controller-manager", holderIdentity="master_1"),
        lease_object("kube-system", "cloud-controller-manager", holderIdentity="master_1"),
        lease_object("kube-system", "apiserver-c4vwjftbvpc5os2vvzle4qg27a", holderIdentity="apiserver-c4_1"),
        lease_object("shop", "kube-scheduler", **held, renewTime="2026-03-03T20:45:59.123456Z"),
        lease_object("kube-system", "cert-manager-controller", holderIdentity=""),
        {"metadata": {"namespace": "shop", "name": "never-taken"}},
    ]
    found = kubernetes_of(read())
    assert found.leases == (
        Lease(
            namespace="shop",
            name="kube-scheduler",
            holder="queue-7f9c4-abcde_0f6f2a1e-0000-4000-8000-000000000000",
            duration_seconds=15,
            renewed_at="2026-03-03T20:45:59Z",
        ),
        Lease(namespace="kube-system", name="cert-manager-controller"),
        Lease(namespace="shop", name="never-taken"),
    )
    asked = [query for asked, query in cluster.asked if asked == path]
    assert [query["fieldSelector"] for query in asked] == ["metadata.namespace!=kube-node-lease"]
    assert found.keda_scalers is None, "KEDA is not installed, and that is an answer"


def test_scalers_of_keda_are_read_with_what_pauses_them(read: Read, cluster: ApiServerStub) -> None:
    queue = [{"type": "azure-servicebus", "metadata": {"queueName": "orders"}}]

    def scaled(name: str, target: dict[str, Any] | None = None, **annotations: str) -> dict[str, Any]:
        marks = {f"autoscaling.keda.sh/{key.replace('_', '-')}": value for key, value in annotations.items()}
        spec = {"triggers": queue, **({"scaleTargetRef": target} if target else {})}
        return {"metadata": {"namespace": "shop", "name": name, "annotations": marks}, "spec": spec}

    install(
        cluster,
        "keda.sh",
        "v1alpha1",
        scaledobjects=[
            scaled("a", {"name": "worker"}),
            scaled("b", {"name": "worker", "kind": "StatefulSet"}, paused_replicas="0"),
            scaled("c", {"name": "worker"}, paused="true"),
            scaled("d", {"name": "worker"}, paused="false"),
        ],
        scaledjobs=[scaled("e", paused="yes")],
    )
    assert [
        (each.kind, each.name, each.target, each.triggers, each.paused, each.paused_replicas)
        for each in items(kubernetes_of(read()).keda_scalers)
    ] == [
        ("ScaledObject", "a", "Deployment/worker", ("azure-servicebus",), False, None),
        ("ScaledObject", "b", "StatefulSet/worker", ("azure-servicebus",), True, 0),
        ("ScaledObject", "c", "Deployment/worker", ("azure-servicebus",), True, None),
        ("ScaledObject", "d", "Deployment/worker", ("azure-servicebus",), False, None),
        ("ScaledJob", "e", None, ("azure-servicebus",), True, None),
    ]


def test_an_instance_type_that_ec2_does_not_describe_leaves_the_others_known(
    read: Read, cluster: ApiServerStub
) -> None:
    node = cluster.lists["/api/v1/nodes"][0]
    other = {**node, "metadata": {**node["metadata"], "name": "node-odd"}}
    other["metadata"]["labels"] = {**node["metadata"]["labels"], "node.kubernetes.io/instance-type": "y1.odd"}
    cluster.lists["/api/v1/nodes"].append(other)
    found = aws_of(read())
    assert found.instance_types == (), "EC2 knows no such type, and that is no failure of the others"


def test_where_the_api_servers_version_cannot_be_read_that_of_eks_stands(read: Read, cluster: ApiServerStub) -> None:
    cluster.failures["/version"] = (403, "Forbidden")
    assert kubernetes_of(read()).version == "1.33"


def test_endpoints_that_cannot_be_read_leave_the_services_known(read: Read, cluster: ApiServerStub) -> None:
    cluster.failures["/apis/discovery.k8s.io/v1/endpointslices"] = (403, "Forbidden")
    (service,) = items(kubernetes_of(read()).services)
    assert service.ready_endpoints == Unknown(Reason.DENIED, "the API server answered 403 Forbidden")
    assert len(service.pods) == 2


def test_an_answer_cut_short_is_unparseable_and_not_half_believed(read: Read, cluster: ApiServerStub) -> None:
    cluster.cut_short = {"/api/v1/pods", "/api/v1/nodes"}
    found = kubernetes_of(read())
    assert (found.nodes, found.pods) == (
        Unknown(Reason.UNPARSEABLE, "the answer makes no sense: JSONDecodeError"),
        Unknown(Reason.UNPARSEABLE, "the answer makes no sense: JSONDecodeError"),
    )
    assert found.events


@pytest.mark.parametrize(
    "answer", [b"[]", b"null", b'{"items": 5}', b'{"items": [{}]}', b'{"items": [7]}', b"\xff\xfe"]
)
def test_an_answer_of_another_form_is_unparseable(read: Read, cluster: ApiServerStub, answer: bytes) -> None:
    cluster.answers["/api/v1/nodes"] = answer
    found = kubernetes_of(read())
    assert isinstance(found.nodes, Unknown)
    assert found.nodes.reason is Reason.UNPARSEABLE
    assert found.pods


def test_a_list_that_expires_between_pages_is_begun_anew(read: Read, cluster: ApiServerStub) -> None:
    cluster.page = 2
    usual = cluster.respond
    expired: list[dict[str, str]] = []

    def respond(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if path == "/api/v1/pods" and query.get("continue") and not expired:
            expired.append(query)
            return 410, b'{"kind": "Status", "reason": "Expired", "code": 410}'
        return usual(path, query)

    cluster.respond = respond  # type: ignore[method-assign] # this server only
    pods = kubernetes_of(read()).pods
    assert len(expired) == 1
    assert len(items(pods)) == 4


def test_what_is_too_slow_is_unknown_and_keeps_nobody_waiting(read: Read, cluster: ApiServerStub) -> None:
    cluster.slow = {"/api/v1/events"}
    # Less than the stub keeps it, and enough for all others on a busy machine.
    snapshot = read(seconds=5)
    events = kubernetes_of(snapshot).events
    assert events == Unknown(Reason.UNREACHABLE, "kubernetes events: not read within the time limit")
    assert kubernetes_of(snapshot).pods
    assert next(each for each in snapshot.sources if each.name == "kubernetes events").outcome.startswith("unreachable")


def test_without_a_kubeconfig_aws_is_read_all_the_same(
    aws: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headroom.collect.session import choose_context  # noqa: PLC0415 - the one under test
    from headroom.collect.snapshot import collect_from  # noqa: PLC0415 - the same

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    context = choose_context(CLUSTER, kubeconfig=str(tmp_path / "none"))
    snapshot = collect_from(CLUSTER, aws.client, context, region=REGION)
    assert set(unknown_fields(kubernetes_of(snapshot)).values()) == {Reason.UNREACHABLE}
    assert "no usable kubeconfig" in str(kubernetes_of(snapshot).pods)
    assert len(items(aws_of(snapshot).subnets)) == 2
    assert [name for name, _ in missing(snapshot)] == ["nodes", "pods", "events", "cni daemon set"]


def test_ipamd_that_nobody_reaches_is_unknown_after_a_few_attempts(read: Read, cluster: ApiServerStub) -> None:
    nodes = cluster.lists["/api/v1/nodes"]
    pods = cluster.lists["/api/v1/pods"]
    for number in range(40):
        name = f"lost-{number}"
        nodes.append({"metadata": {"name": name}, "spec": {}, "status": {}})
        template = json.loads(json.dumps(pods[2]))
        template["metadata"]["name"], template["spec"]["nodeName"] = f"aws-node-lost-{number}", name
        pods.append(template)
    for path in list(cluster.answers):
        if path.endswith("/metrics"):
            del cluster.answers[path]
    snapshot = read()
    assert snapshot.pools == Unknown(Reason.UNREACHABLE, "the API server answered 404 NotFound")
    tried = [path for path in cluster.paths() if path.endswith("/metrics")]
    assert len(tried) <= ipamd.FAILURES_ENOUGH + ipamd.WORKERS


# Bad input


def test_a_cluster_that_is_not_there_is_bad_input(read: Read) -> None:
    with pytest.raises(ProblemsError) as refused:
        read(name="prod-use2")
    (problem,) = refused.value.problems
    assert problem.value == "prod-use2"
    assert problem.reason == f"is no EKS cluster of this account in {REGION}."


def test_a_context_of_another_cluster_is_bad_input(read: Read, cluster: ApiServerStub) -> None:
    for node in cluster.lists["/api/v1/nodes"]:
        node["spec"]["providerID"] = "aws:///us-east-1a/i-0ffffffffffffffff"
    with pytest.raises(ProblemsError) as refused:
        read()
    (problem,) = refused.value.problems
    assert problem.rule == "one-cluster"
    assert "none of its 2 nodes is an instance in vpc-" in problem.reason


def test_nodes_without_instances_do_not_look_like_another_cluster(read: Read, cluster: ApiServerStub) -> None:
    for node in cluster.lists["/api/v1/nodes"]:
        node["spec"] = {"providerID": "aws:///us-east-1a/0123/fargate-ip-10-68-0-9.ec2.internal"}
    assert {each.instance_id for each in items(kubernetes_of(read()).nodes)} == {None}


def test_the_kubeconfig_of_the_fixture_is_what_is_read(kubeconfig: Path, api: ApiServerStub) -> None:
    assert yaml.safe_load(kubeconfig.read_text(encoding="utf-8")) == kubeconfig_content({CLUSTER: api.url})


def test_near_a_quota_the_quotas_and_the_regions_interfaces_are_read(
    read: Read, aws: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_readings, "INTERFACE_QUOTA", 8)
    found = aws_of(read())
    assert (found.region_interface_quota, found.vpc_cidr_quota) == (5000, 5)
    assert found.region_interfaces == len(items(found.interfaces))
    assert aws.endpoint.calls()["DescribeNetworkInterfaces"] == 2
