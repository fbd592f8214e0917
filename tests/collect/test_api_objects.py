"""Objects of the APIs as facts: the forms that real answers have."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from headroom.capacity.limits import InstanceLimits
from headroom.collect import aws_objects, kubernetes_objects
from headroom.collect.times import utc
from headroom.facts.aws import CidrAssociation, HealthIssue, InstanceType, Peering, Route, Vpc
from headroom.facts.kubernetes import (
    Autoscaler,
    CniPod,
    Condition,
    DisruptionBudget,
    Event,
    KarpenterNodeClass,
    Node,
    PriorityClass,
    Workload,
)
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown

Object = dict[str, Any]


# Times


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-03-03T20:46:00Z", "2026-03-03T20:46:00Z"),
        ("2026-03-03T20:46:00.123456Z", "2026-03-03T20:46:00Z"),
        ("2026-03-03T21:46:00+01:00", "2026-03-03T20:46:00Z"),
        (datetime(2026, 3, 3, 20, 46, tzinfo=UTC), "2026-03-03T20:46:00Z"),
        (datetime(2026, 3, 3, 15, 46, tzinfo=timezone(timedelta(hours=-5))), "2026-03-03T20:46:00Z"),
        (datetime(2026, 3, 3, 20, 46), "2026-03-03T20:46:00Z"),  # noqa: DTZ001 - an API that says no zone means UTC
        (None, None),
        ("", None),
    ],
)
def test_every_form_of_a_time_becomes_one(given: object, kept: str | None) -> None:
    assert utc(given) == kept


@pytest.mark.parametrize(("given", "error"), [("yesterday", ValueError), (5, TypeError)])
def test_what_is_no_time_is_refused(given: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        utc(given)


# AWS


def test_the_primary_cidr_of_a_vpc_comes_first() -> None:
    item = {
        "VpcId": "vpc-1",
        "OwnerId": "123456789012",
        "CidrBlock": "10.0.0.0/16",
        "CidrBlockAssociationSet": [
            {"AssociationId": "a-2", "CidrBlock": "100.64.0.0/16", "CidrBlockState": {"State": "associating"}},
            {"AssociationId": "a-1", "CidrBlock": "10.0.0.0/16", "CidrBlockState": {"State": "associated"}},
        ],
    }
    assert aws_objects.vpc(item) == Vpc(
        vpc_id="vpc-1",
        owner_id="123456789012",
        cidr_blocks=(
            CidrAssociation(cidr_block="10.0.0.0/16", state="associated", association_id="a-1"),
            CidrAssociation(cidr_block="100.64.0.0/16", state="associating", association_id="a-2"),
        ),
    )


SUBNET = {
    "SubnetId": "subnet-1",
    "AvailabilityZone": "us-east-1a",
    "CidrBlock": "10.0.0.0/24",
    "AvailableIpAddressCount": 7,
    "OwnerId": "123456789012",
}


@pytest.mark.parametrize(
    ("account", "shared_from"),
    [
        ("123456789012", None),
        ("210987654321", "123456789012"),
        (Unknown(Reason.DENIED), Unknown(Reason.DENIED)),
        (NOT_COLLECTED, NOT_COLLECTED),
    ],
)
def test_a_subnet_of_another_account_is_shared(account: Any, shared_from: object) -> None:
    assert aws_objects.subnet(SUBNET, account=account).shared_from == shared_from


def test_only_tags_that_mean_something_to_kubernetes_are_kept() -> None:
    tags = {
        "Name": "private-a",
        "kubernetes.io/role/cni": "1",
        "cni.networking.k8s.aws/cluster/prod": "shared",
        "karpenter.sh/discovery": "prod",
        "team": "payments",
        "aws:cloudformation:stack-name": "vpc",
    }
    item = {**SUBNET, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    assert aws_objects.subnet(item).tags == {
        "Name": "private-a",
        "cni.networking.k8s.aws/cluster/prod": "shared",
        "karpenter.sh/discovery": "prod",
        "kubernetes.io/role/cni": "1",
    }


def test_an_interface_of_another_service_hangs_on_no_instance_of_ours() -> None:
    found = aws_objects.interface(
        {
            "NetworkInterfaceId": "eni-1",
            "SubnetId": "subnet-1",
            "Status": "in-use",
            "InterfaceType": "network_load_balancer",
            "Description": "ELB net/front/0123456789abcdef",
            "Attachment": {"InstanceOwnerId": "amazon-aws", "DeviceIndex": 1, "AttachmentId": "ela-attach-1"},
            "PrivateIpAddress": "10.0.0.9",
            "RequesterManaged": True,
        }
    )
    assert (found.instance_id, found.addresses, found.requester_managed) == (None, ("10.0.0.9",), True)


def test_prefixes_and_the_primary_address_are_told_apart() -> None:
    found = aws_objects.interface(
        {
            "NetworkInterfaceId": "eni-1",
            "SubnetId": "subnet-1",
            "Status": "in-use",
            "PrivateIpAddresses": [
                {"Primary": False, "PrivateIpAddress": "10.0.0.9"},
                {"Primary": True, "PrivateIpAddress": "10.0.0.5"},
            ],
            "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.16/28"}],
            "Attachment": {"InstanceId": "i-1", "AttachTime": datetime(2026, 3, 3, tzinfo=UTC), "NetworkCardIndex": 0},
        }
    )
    assert found.addresses == ("10.0.0.5", "10.0.0.9")
    assert found.prefixes == ("10.0.0.16/28",)
    assert (found.attached_at, found.network_card) == ("2026-03-03T00:00:00Z", 0)


@pytest.mark.parametrize(
    ("route", "kept"),
    [
        (
            {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
            Route(destination="10.0.0.0/16", target="local"),
        ),
        (
            {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "blackhole"},
            Route(destination="0.0.0.0/0", target="nat-1", state="blackhole"),
        ),
        (
            {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"},
            Route(destination="pl-1", target="vpce-1"),
        ),
        (
            {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"},
            Route(destination="::/0", target="eigw-1"),
        ),
    ],
)
def test_a_route_has_one_destination_and_one_target(route: Object, kept: Route) -> None:
    table = aws_objects.route_table({"RouteTableId": "rtb-1", "Associations": [{"Main": True}], "Routes": [route]})
    assert (table.main, table.routes) == (True, (kept,))


def test_only_explicit_associations_name_a_subnets_table() -> None:
    tables = [
        {"RouteTableId": "rtb-1", "Associations": [{"Main": True}]},
        {
            "RouteTableId": "rtb-2",
            "Associations": [
                {"SubnetId": "subnet-1", "AssociationState": {"State": "associated"}},
                {"SubnetId": "subnet-2", "AssociationState": {"State": "disassociated"}},
            ],
        },
    ]
    assert aws_objects.explicit_associations(tables) == {"subnet-1": "rtb-2"}


def test_a_peering_knows_its_side_and_the_others_cidrs() -> None:
    item: Object = {
        "VpcPeeringConnectionId": "pcx-1",
        "Status": {"Code": "active"},
        "RequesterVpcInfo": {"VpcId": "vpc-9", "CidrBlockSet": [{"CidrBlock": "10.9.0.0/16"}]},
        "AccepterVpcInfo": {"VpcId": "vpc-1"},
    }
    assert aws_objects.peering(item, "vpc-1") == Peering(
        peering_id="pcx-1", status="active", role="accepter", peer_cidr_blocks=("10.9.0.0/16",)
    )
    assert aws_objects.peering(item, "vpc-2") is None
    waiting = aws_objects.peering(item, "vpc-9")
    assert waiting is not None
    assert isinstance(waiting.peer_cidr_blocks, Unknown), "EC2 shows them only once it is accepted"


@pytest.mark.parametrize(
    ("values", "environment", "others"),
    [
        (None, None, ()),
        ("", None, ()),
        ("{}", {}, ()),
        ('{"env": {"WARM_IP_TARGET": "5", "SECRET": "x"}}', {"WARM_IP_TARGET": "5"}, ()),
        (
            "env:\n  ENABLE_PREFIX_DELEGATION: true\n  WARM_PREFIX_TARGET: 1\n",
            {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"},
            (),
        ),
        ('{"eniConfig": {"create": true}, "resources": {}}', {}, ("eniConfig", "resources")),
        ('{"env": null}', {}, ()),
    ],
)
def test_of_an_addons_configuration_only_known_settings_are_kept(
    values: str | None, environment: object, others: object
) -> None:
    assert aws_objects.configuration(values) == (environment, others)


@pytest.mark.parametrize("values", ["5", "[1]", "{", '{"env": [1]}', "a: b: c", "day: 2027-02-30", "[" * 5000])
def test_a_configuration_that_makes_no_sense_is_unknown(values: str) -> None:
    environment, others = aws_objects.configuration(values)
    assert isinstance(environment, Unknown)
    assert environment.reason is Reason.UNPARSEABLE
    assert others == environment


def test_an_addon_and_a_node_group_tell_their_health() -> None:
    issue = {"code": "InsufficientFreeAddresses", "message": "no addresses", "resourceIds": ["subnet-1"]}
    kept = (HealthIssue(code="InsufficientFreeAddresses", message="no addresses", resource_ids=("subnet-1",)),)
    addon = aws_objects.addon(
        {"addonVersion": "v1.19.2-eksbuild.1", "status": "DEGRADED", "health": {"issues": [issue]}}
    )
    assert (addon.issues, addon.environment, addon.service_account_role_arn) == (kept, None, None)
    group = aws_objects.node_group(
        {
            "nodegroupName": "workers",
            "status": "DEGRADED",
            "health": {"issues": [issue]},
            "subnets": ["subnet-1"],
            "updateConfig": {"maxUnavailablePercentage": 33},
            "launchTemplate": {"name": "x"},
        }
    )
    assert (group.issues, group.max_unavailable, group.instance_types) == (kept, "33%", None)


def test_an_instance_type_is_nitro_if_it_takes_prefixes() -> None:
    limits = InstanceLimits(instance_type="x99.huge", enis=15, ipv4_per_eni=50, hypervisor="xen", vcpus=4)
    assert aws_objects.instance_type(limits) == InstanceType(
        name="x99.huge", interfaces=15, addresses_per_interface=50, vcpus=4, nitro=False
    )


# Kubernetes


def test_a_bare_node_is_known_to_say_nothing() -> None:
    assert kubernetes_objects.node({"metadata": {"name": "new"}}) == Node(
        name="new",
        zone=None,
        instance_type=None,
        instance_id=None,
        node_group=None,
        node_pool=None,
        internal_ip=None,
        max_pods=None,
        allocatable_pods=None,
        unschedulable=False,
        taints=(),
        conditions=(),
        created_at=None,
        kubelet_version=None,
        os_image=None,
        pod_cidr=None,
    )


def test_a_nodes_taints_are_written_as_kubectl_writes_them() -> None:
    taints = [
        {"key": "dedicated", "value": "batch", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ]
    found = kubernetes_objects.node({"metadata": {"name": "n"}, "spec": {"taints": taints, "unschedulable": True}})
    assert found.taints == ("dedicated=batch:NoSchedule", "node.kubernetes.io/unschedulable=:NoSchedule")
    assert found.unschedulable is True


def pod(**metadata: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "shop", **metadata}, "spec": {"containers": []}, "status": {}}


@pytest.mark.parametrize(
    ("kind", "name", "label", "owner"),
    [
        ("ReplicaSet", "checkout-7fd949d74b", "7fd949d74b", "Deployment/checkout"),
        ("ReplicaSet", "checkout-7fd949d74b", "0000000000", "ReplicaSet/checkout-7fd949d74b"),
        ("ReplicaSet", "checkout-7fd949d74b", None, "ReplicaSet/checkout-7fd949d74b"),
        ("ReplicaSet", "-7fd949d74b", "7fd949d74b", "ReplicaSet/-7fd949d74b"),
        ("StatefulSet", "db", None, "StatefulSet/db"),
        ("Job", "report-29000", None, "Job/report-29000"),
        ("Node", "ip-10-0-0-4.ec2.internal", None, "Node/ip-10-0-0-4.ec2.internal"),
    ],
)
def test_a_pod_belongs_to_its_workload(kind: str, name: str, label: str | None, owner: str) -> None:
    labels = {} if label is None else {"pod-template-hash": label}
    others = [{"kind": "Other", "name": "no-controller"}]
    owners = [*others, {"kind": kind, "name": name, "controller": True}]
    assert kubernetes_objects.pod(pod(labels=labels, ownerReferences=owners)).owner == owner


def test_a_pod_without_a_controller_has_no_owner() -> None:
    assert kubernetes_objects.pod(pod(ownerReferences=[{"kind": "Node", "name": "n"}])).owner is None
    assert kubernetes_objects.pod(pod()).owner is None


def test_a_pod_waits_for_what_its_first_waiting_container_waits_for() -> None:
    item = pod(deletionTimestamp="2026-03-03T20:46:00Z")
    item["status"] = {
        "phase": "Pending",
        "initContainerStatuses": [{"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 0}}}],
        "containerStatuses": [
            {"name": "a", "restartCount": 1, "state": {"running": {}}},
            {"name": "b", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}},
        ],
    }
    found = kubernetes_objects.pod(item)
    assert (found.waiting, found.restarts, found.terminating) == ("ImagePullBackOff", 3, True)


def test_a_crashing_aws_node_tells_its_last_exit_code() -> None:
    item: Object = {
        "metadata": {"name": "aws-node-x", "namespace": "kube-system"},
        "spec": {"nodeName": "n", "containers": [{"name": "aws-node", "image": "cni:v1"}]},
        "status": {
            "initContainerStatuses": [
                {"name": "aws-vpc-cni-init", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}
            ],
            "containerStatuses": [
                {
                    "name": "aws-node",
                    "restartCount": 7,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1}},
                }
            ],
        },
    }
    assert kubernetes_objects.cni_pod(item) == CniPod(
        name="aws-node-x",
        node="n",
        restarts=7,
        waiting="CrashLoopBackOff",
        last_exit_code=1,
        image="cni:v1",
        started_at=None,
    )


def test_an_event_of_the_newer_api_is_the_same_event() -> None:
    older = {
        "metadata": {"creationTimestamp": "2026-03-03T20:00:00Z"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "p"},
        "type": "Warning",
        "reason": "FailedScheduling",
        "message": "0/3 nodes are available",
        "reportingComponent": "default-scheduler",
        "eventTime": "2026-03-03T20:46:00.123456Z",
        "series": {"count": 4, "lastObservedTime": "2026-03-03T20:48:00.000000Z"},
    }
    newer = {
        "metadata": {"creationTimestamp": "2026-03-03T20:00:00Z"},
        "regarding": {"kind": "Pod", "namespace": "shop", "name": "p"},
        "type": "Warning",
        "reason": "FailedScheduling",
        "note": "0/3 nodes are available",
        "reportingController": "default-scheduler",
        "eventTime": "2026-03-03T20:46:00.123456Z",
        "series": {"count": 4, "lastObservedTime": "2026-03-03T20:48:00.000000Z"},
    }
    expected = Event(
        kind="Pod",
        namespace="shop",
        name="p",
        reason="FailedScheduling",
        message="0/3 nodes are available",
        count=4,
        first_seen="2026-03-03T20:46:00Z",
        last_seen="2026-03-03T20:48:00Z",
        reporter="default-scheduler",
    )
    assert kubernetes_objects.event(older) == expected == kubernetes_objects.event(newer)


def test_an_event_without_times_happened_when_it_was_made() -> None:
    found = kubernetes_objects.event({"metadata": {"creationTimestamp": "2026-03-03T20:00:00Z"}})
    assert (found.first_seen, found.last_seen, found.count, found.type) == (
        "2026-03-03T20:00:00Z",
        "2026-03-03T20:00:00Z",
        1,
        "Normal",
    )


METADATA = {"name": "w", "namespace": "shop", "generation": 2}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "desired", "ready", "updating"),
    [
        (
            "Deployment",
            {"replicas": 3},
            {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 3},
            3,
            2,
            False,
        ),
        (
            "Deployment",
            {"replicas": 3},
            {"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 1},
            3,
            3,
            True,
        ),
        ("Deployment", {"replicas": 0}, {"observedGeneration": 1}, 0, 0, True),
        ("Deployment", {}, {"observedGeneration": 2, "updatedReplicas": 1}, 1, 0, False),
        (
            "StatefulSet",
            {"replicas": 2},
            {"observedGeneration": 2, "updateRevision": "b", "currentRevision": "a"},
            2,
            0,
            True,
        ),
        (
            "StatefulSet",
            {"replicas": 2},
            {"observedGeneration": 2, "updateRevision": "a", "currentRevision": "a"},
            2,
            0,
            False,
        ),
        ("DaemonSet", {}, {"desiredNumberScheduled": 5, "numberReady": 4, "updatedNumberScheduled": 5}, 5, 4, False),
        ("Job", {"parallelism": 4}, {"active": 4, "ready": 1}, 4, 1, False),
    ],
)
def test_a_workload_wants_has_and_may_be_changing(  # noqa: PLR0913, PLR0917 - a table
    kind: str,
    spec: Object,
    status: Object,
    desired: int,
    ready: int,
    updating: bool,  # noqa: FBT001 - the same
) -> None:
    item = {"metadata": METADATA, "spec": spec, "status": status}
    assert kubernetes_objects.workload(item, kind) == Workload(
        kind=kind, namespace="shop", name="w", desired=desired, ready=ready, updating=updating
    )


def test_a_finished_job_is_told_from_a_running_one() -> None:
    assert kubernetes_objects.is_finished({"status": {"conditions": [{"type": "Failed", "status": "True"}]}})
    assert not kubernetes_objects.is_finished({"status": {"conditions": [{"type": "Suspended", "status": "True"}]}})
    assert not kubernetes_objects.is_finished({})


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1.19.2-eksbuild.1", "v1.19.2-eksbuild.1"),
        ("registry:5000/cni:v1.21.0@sha256:00", "v1.21.0"),
        ("602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni@sha256:00", None),
        ("registry:5000/cni", None),
        ("mirror/cni:latest", None),
    ],
)
def test_the_tag_of_the_image_names_the_version(image: str, version: str | None) -> None:
    found = kubernetes_objects.version_of(image)
    assert isinstance(found, Unknown) if version is None else found == version


def test_a_daemon_set_without_its_container_is_unparseable() -> None:
    item: Object = {
        "metadata": {"name": "aws-node", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": [{"name": "other", "image": "x"}]}}},
    }
    found = kubernetes_objects.cni_daemon_set(item)
    assert isinstance(found.environment, Unknown)
    assert found.environment.reason is Reason.UNPARSEABLE
    assert isinstance(found.managers, Unknown), "kubectl leaves managedFields out"


def test_settings_that_come_from_elsewhere_are_not_known() -> None:
    env = [
        {"name": "WARM_ENI_TARGET", "value": "2"},
        {"name": "WARM_IP_TARGET", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}},
        {"name": "CLUSTER_NAME"},
    ]
    item: Object = {
        "metadata": {"name": "aws-node", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": [{"name": "aws-node", "image": "x:v1.19.2", "env": env}]}}},
    }
    assert kubernetes_objects.cni_daemon_set(item).environment == {"CLUSTER_NAME": "", "WARM_ENI_TARGET": "2"}


def test_an_endpoint_counts_once_whatever_its_ports_and_families() -> None:
    def endpoints(family: str, conditions: Object, *addresses: str) -> Object:
        return {
            "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "checkout"}},
            "addressType": family,
            "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
        }

    ready, unready = {"ready": True}, {"ready": False}

    slices = [
        endpoints("IPv4", ready, "10.0.0.4", "10.0.0.5"),
        endpoints("IPv4", ready, "10.0.0.5"),
        endpoints("IPv4", {}, "10.0.0.6"),
        endpoints("IPv4", unready, "10.0.0.7"),
        endpoints("IPv6", ready, "fd00::4"),
        {"metadata": {"namespace": "shop", "labels": {}}, "addressType": "IPv4", "endpoints": None},
    ]
    assert kubernetes_objects.ready_endpoints(slices) == {("shop", "checkout"): 3}


def test_a_disruption_budget_an_autoscaler_and_a_priority_class_are_read() -> None:
    budget = {"metadata": {"name": "b", "namespace": "shop"}, "status": {"desiredHealthy": 2, "currentHealthy": 1}}
    assert kubernetes_objects.disruption_budget(budget, pods=["p"]) == DisruptionBudget(
        namespace="shop", name="b", pods=("p",), desired_healthy=2, current_healthy=1, disruptions_allowed=0
    )
    scaler = {
        "metadata": {"name": "h", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "checkout"}, "maxReplicas": 9},
        "status": {
            "currentReplicas": 3,
            "desiredReplicas": 5,
            "conditions": [
                {
                    "type": "ScalingLimited",
                    "status": "False",
                    "reason": "DesiredWithinRange",
                    "message": "ok",
                    "lastTransitionTime": "2026-03-03T20:46:00Z",
                }
            ],
        },
    }
    assert kubernetes_objects.autoscaler(scaler) == Autoscaler(
        namespace="shop",
        name="h",
        target="Deployment/checkout",
        minimum=1,
        maximum=9,
        current=3,
        desired=5,
        conditions=(
            Condition(
                type="ScalingLimited",
                status="False",
                reason="DesiredWithinRange",
                message="ok",
                since="2026-03-03T20:46:00Z",
            ),
        ),
    )
    priority = {"metadata": {"name": "gold"}, "value": 1000, "globalDefault": True}
    assert kubernetes_objects.priority_class(priority) == PriorityClass(name="gold", value=1000, default=True)


def test_a_node_class_of_auto_mode_may_choose_pod_subnets() -> None:
    item = {"metadata": {"name": "default"}, "spec": {"podSubnetSelectorTerms": [{"tags": {"pods": "1"}}]}}
    assert kubernetes_objects.node_class(item, "NodeClass") == KarpenterNodeClass(
        name="default", kind="NodeClass", subnet_ids=NOT_COLLECTED, pod_subnet_selector=True
    )


# Selectors


@pytest.fixture
def labelled() -> kubernetes_objects.Labelled:
    made = kubernetes_objects.Labelled()
    for name, namespace, labels in (
        ("a-1", "shop", {"app": "a", "tier": "web"}),
        ("a-2", "shop", {"app": "a", "tier": "web"}),
        ("b-1", "shop", {"app": "b"}),
        ("a-3", "other", {"app": "a"}),
        ("bare", "shop", None),
    ):
        made.add({"name": name, "namespace": namespace, "labels": labels})
    return made


@pytest.mark.parametrize(
    ("selector", "picked"),
    [
        (None, ()),
        ({}, ("a-1", "a-2", "b-1", "bare")),
        ({"matchLabels": {"app": "a"}}, ("a-1", "a-2")),
        ({"matchLabels": {"app": "a", "tier": "db"}}, ()),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["b", "c"]}]}, ("b-1",)),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, ("b-1", "bare")),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, ("a-1", "a-2")),
        ({"matchLabels": {"app": "b"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, ("b-1",)),
    ],
)
def test_a_selector_picks_the_pods_of_its_namespace(
    labelled: kubernetes_objects.Labelled, selector: Object | None, picked: tuple[str, ...]
) -> None:
    assert labelled.select("shop", selector) == picked


def test_a_service_without_a_selector_picks_no_pod(labelled: kubernetes_objects.Labelled) -> None:
    assert labelled.select_service("shop", None) == ()
    assert labelled.select_service("shop", {}) == ()
    assert labelled.select_service("shop", {"app": "a"}) == ("a-1", "a-2")


def test_an_operator_that_kubernetes_does_not_know_is_refused(labelled: kubernetes_objects.Labelled) -> None:
    with pytest.raises(ValueError, match="Gt"):
        labelled.select("shop", {"matchExpressions": [{"key": "app", "operator": "Gt"}]})
