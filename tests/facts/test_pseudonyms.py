"""Pseudonyms: nothing of a name is left, and nothing that is reckoned with has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headroom.addresses.association import families
from headroom.addresses.blocks import Block
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.signatures import match, signatures
from headroom.facts.aws import (
    Addon,
    Aws,
    CidrAssociation,
    HealthIssue,
    Interface,
    NodeGroup,
    Peering,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)
from headroom.facts.document import dump, load
from headroom.facts.kubernetes import (
    Autoscaler,
    CniDaemonSet,
    CniPod,
    Event,
    Kubernetes,
    Lease,
    Node,
    Pod,
    Service,
    Workload,
)
from headroom.facts.pseudonyms import FIELDS, Kind, pseudonymised
from headroom.facts.snapshot import Line, Origin, Snapshot, Source, Stated
from headroom.facts.values import Reason, Unknown, items
from tests.facts.conftest import SNAPSHOTS

if TYPE_CHECKING:
    from headroom.diagnosis.verdict import Diagnosis

KEY: Final = b"a key for the tests"
SUBNET_ID, OTHER_ID = "subnet-0a1b2c3d4e5f60718", "subnet-0b1b2c3d4e5f60718"
INSTANCE = "i-0123456789abcdef0"
NODE = "ip-10-68-204-153.ec2.internal"
CLUSTER = "prod-use1"

SNAPSHOT: Final = Snapshot(
    cloud="aws",
    cluster=CLUSTER,
    collected_at="2026-03-03T20:50:00Z",
    aws=Aws(
        region="us-east-1",
        vpc=Vpc(
            vpc_id="vpc-0123456789abcdef0",
            owner_id="123456789012",
            cidr_blocks=(CidrAssociation(cidr_block="10.68.0.0/16"), CidrAssociation(cidr_block="100.64.0.0/16")),
        ),
        subnets=(
            Subnet(
                subnet_id=SUBNET_ID,
                zone="us-east-1a",
                cidr_block="10.68.204.0/22",
                available_addresses=7,
                tags={
                    "Name": "acme-private-a",
                    f"kubernetes.io/cluster/{CLUSTER}": "shared",
                    "kubernetes.io/role/cni": "1",
                },
            ),
            Subnet(subnet_id=OTHER_ID, zone="us-east-1b", cidr_block="100.64.0.0/18"),
        ),
        interfaces=(
            Interface(
                interface_id="eni-0123456789abcdef0",
                subnet_id=SUBNET_ID,
                description=f"aws-K8S-{INSTANCE}",
                instance_id=INSTANCE,
                addresses=("10.68.204.153", "10.68.207.254"),
                prefixes=("10.68.205.16/28",),
                cluster=CLUSTER,
            ),
            Interface(
                interface_id="eni-0123456789abcdef1",
                subnet_id=OTHER_ID,
                description="ELB app/acme-front/50dc6c495c0c9188",
                addresses=("100.64.0.9",),
            ),
        ),
        route_tables=(
            RouteTable(
                route_table_id="rtb-0123456789abcdef0",
                routes=(
                    Route(destination="10.68.0.0/16", target="local"),
                    Route(destination="0.0.0.0/0", target="nat-0123456789abcdef0"),
                    Route(destination="192.168.7.0/24", target="vgw-01234567"),
                ),
            ),
        ),
        peerings=(
            Peering(
                peering_id="pcx-0123456789abcdef0",
                status="active",
                role="requester",
                peer_cidr_blocks=("10.99.0.0/16",),
            ),
        ),
        service_cidr="172.20.0.0/16",
        addon=Addon(
            version="v1.19.2-eksbuild.1",
            environment={"ADDITIONAL_ENI_TAGS": '{"owner": "acme"}', "CLUSTER_NAME": CLUSTER},
            service_account_role_arn="arn:aws:iam::123456789012:role/acme-cni",
        ),
        node_groups=(
            NodeGroup(
                name="acme-workers",
                issues=(
                    HealthIssue(
                        code="AsgInstanceLaunchFailures",
                        message=f"Could not launch in {SUBNET_ID}: no free addresses.",
                        resource_ids=("eks-acme-workers-0b2c", SUBNET_ID),
                    ),
                ),
            ),
        ),
    ),
    kubernetes=Kubernetes(
        nodes=(
            Node(
                name=NODE,
                zone="us-east-1a",
                instance_type="m5.8xlarge",
                instance_id=INSTANCE,
                node_group="acme-workers",
                internal_ip="10.68.204.153",
                taints=("acme.example/team=checkout-team:NoSchedule", "node.kubernetes.io/not-ready=:NoExecute"),
            ),
        ),
        pods=(
            Pod(
                namespace="shop",
                name="checkout-7fd949d74b-x2x4z",
                node=NODE,
                ip="10.68.207.254",
                owner="Deployment/checkout",
                priority_class="acme-gold",
            ),
            Pod(namespace="kube-system", name="aws-node-2h95s", node=NODE, owner="DaemonSet/aws-node"),
            Pod(namespace="shop", name="by-hand", phase="Pending"),
        ),
        events=(
            Event(
                kind="Pod",
                namespace="shop",
                name="checkout-7fd949d74b-x2x4z",
                reason="FailedCreatePodSandBox",
                message='failed to setup network for sandbox "checkout-7fd949d74b-x2x4z_shop(0b2c)": '
                "failed to assign an IP address to container",
                node=NODE,
            ),
        ),
        workloads=(
            Workload(kind="Deployment", namespace="shop", name="checkout"),
            Workload(kind="DaemonSet", namespace="kube-system", name="aws-node"),
        ),
        services=(Service(namespace="shop", name="checkout", pods=("checkout-7fd949d74b-x2x4z",)),),
        autoscalers=(Autoscaler(namespace="shop", name="checkout", target="Deployment/checkout"),),
        cni_daemon_set=CniDaemonSet(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1.19.2"),
        cni_pods=(CniPod(name="aws-node-2h95s", node=NODE),),
    ),
    lines=(
        Line(origin=Origin.IPAMD_LOG, text=f"Node {NODE} has 10.68.204.153 on {INSTANCE}", node=NODE, file="acme/log"),
    ),
    stated=Stated(other={"asked by": f"the team of {CLUSTER}"}),
    sources=(
        Source(name="ec2 DescribeSubnets", outcome=f"denied for {SUBNET_ID}"),
        Source(name="incident/acme-prod/ipamd.log"),
    ),
)
WORDS_OF_OURS = (
    "acme", "checkout", "shop", "prod-use1", "by-hand", "10.68", "10-68", "10.99", "192.168.7", "100.64.0.9",
    "0a1b2c3d4e5f60718", "0123456789abcdef", "01234567", "123456789012",
)  # fmt: skip


@pytest.fixture
def renamed() -> Snapshot:
    return pseudonymised(SNAPSHOT, KEY)


def aws_of(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return snapshot.kubernetes


def of_text(annotation: Any) -> bool:
    members = get_args(annotation)
    if annotation is str or (isinstance(annotation, type) and issubclass(annotation, StrEnum)):
        return True
    return any(of_text(member) for member in members if member is not Unknown)


def types_below(kind: Any, found: dict[type, None]) -> dict[type, None]:
    if kind not in found:
        found[kind] = None
        for hint in get_type_hints(kind).values():
            for member in dataclasses_in(hint):
                types_below(member, found)
    return found


def dataclasses_in(annotation: Any) -> list[Any]:
    if is_dataclass(annotation):
        return [] if annotation is Unknown else [annotation]
    return [found for member in get_args(annotation) for found in dataclasses_in(member)]


def test_it_is_settled_for_every_text_of_the_types_what_it_is() -> None:
    """A new field is kept as it stands until somebody says what it holds; this is where that is noticed."""
    types = types_below(Snapshot, {})
    wanted = {
        kind: {entry.name for entry in fields(kind) if of_text(get_type_hints(kind)[entry.name])} for kind in types
    }
    settled = {kind: set(FIELDS.get(kind, {})) for kind in types}
    # Numbers by a name that is a word of the CNI's.
    assert settled == wanted


def test_no_name_id_address_or_account_is_left(renamed: Snapshot) -> None:
    text = dump(renamed)
    assert [word for word in WORDS_OF_OURS if word in text] == []


def test_what_a_diagnosis_reads_stays(renamed: Snapshot) -> None:
    before, after = aws_of(SNAPSHOT), aws_of(renamed)
    assert (after.region, after.service_cidr) == ("us-east-1", "172.20.0.0/16")
    assert [(each.zone, each.available_addresses) for each in items(after.subnets)] == [
        ("us-east-1a", 7),
        ("us-east-1b", Unknown()),
    ]
    tags = items(after.subnets)[0].tags
    assert isinstance(tags, Mapping)
    assert tags["kubernetes.io/role/cni"] == "1"
    assert tags[f"kubernetes.io/cluster/{renamed.cluster}"] == "shared"
    assert items(after.interfaces)[0].interface_type == items(before.interfaces)[0].interface_type
    assert after.addon.environment == {"ADDITIONAL_ENI_TAGS": "{}", "CLUSTER_NAME": renamed.cluster}  # type: ignore[union-attr] # known
    cni = kubernetes_of(renamed).cni_daemon_set
    assert isinstance(cni, CniDaemonSet)
    assert re.fullmatch(r"\d{12}\.dkr\.ecr\.us-east-1\.amazonaws\.com/amazon-k8s-cni:v1\.19\.2", str(cni.image))


def test_the_same_thing_has_the_same_name_everywhere(renamed: Snapshot) -> None:
    cluster, aws = kubernetes_of(renamed), aws_of(renamed)
    node, (pod, cni, _) = items(cluster.nodes)[0], items(cluster.pods)
    event, (workload, _) = items(cluster.events)[0], items(cluster.workloads)
    own, other = items(aws.interfaces)
    assert pod.node == cni.node == event.node == node.name
    assert node.internal_ip == own.addresses[0]
    assert node.name == f"ip-{own.addresses[0].replace('.', '-')}.ec2.internal"
    assert own.instance_id == node.instance_id
    assert own.description == f"aws-K8S-{node.instance_id}"
    assert pod.ip == own.addresses[1]
    assert (event.namespace, event.name) == (pod.namespace, pod.name)
    assert pod.owner == f"Deployment/{workload.name}" == items(cluster.autoscalers)[0].target
    assert pod.name == f"{workload.name}-7fd949d74b-x2x4z" == items(cluster.services)[0].pods[0]
    assert event.message == (
        f'failed to setup network for sandbox "{pod.name}_{pod.namespace}(0b2c)": '
        "failed to assign an IP address to container"
    )
    assert items(renamed.lines)[0].text == f"Node {node.name} has {node.internal_ip} on {node.instance_id}"
    assert (cni.name, cni.owner, cni.namespace) == ("aws-node-2h95s", "DaemonSet/aws-node", "kube-system")
    assert other.description.startswith("ELB app/name-")
    issue = items(items(aws.node_groups)[0].issues)[0]
    assert issue.message == f"Could not launch in {own.subnet_id}: no free addresses."
    assert issue.resource_ids[1] == own.subnet_id


def test_a_leader_is_called_as_its_pod_is_and_its_own_id_keeps_its_form() -> None:
    unique = "0f6f2a1e-0000-4000-8000-00000000beef"
    pod_name = "queue-7f9c4bcd5-x2k9p"
    holders = (f"{pod_name}_{unique}", f"elsewhere-alice_{unique}", NODE, "me@alice.example", f"{pod_name}-alice")
    kubernetes = Kubernetes(
        pods=(Pod(namespace="billing", name=pod_name, owner="Deployment/queue"),),
        workloads=(Workload(kind="Deployment", namespace="billing", name="queue"),),
        nodes=(Node(name=NODE),),
        leases=tuple(Lease(namespace="billing", name="queue-leader", holder=each) for each in holders),
    )
    renamed = pseudonymised(Snapshot(cloud="aws", kubernetes=kubernetes), KEY)
    assert isinstance(renamed.kubernetes, Kubernetes)
    pod, *_ = items(renamed.kubernetes.pods)
    node, *_ = items(renamed.kubernetes.nodes)
    found = [str(each.holder) for each in items(renamed.kubernetes.leases)]
    assert found[0].partition("_")[0] == pod.name
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found[0].partition("_")[2])
    assert found[2] == node.name
    assert found[4].startswith(f"{pod.name}-")
    for said in ("queue", "alice", "elsewhere", "beef", "10-68-204", "billing"):
        assert said not in dump(renamed), said


def test_ids_keep_their_form_and_their_order(renamed: Snapshot) -> None:
    first, second = (each.subnet_id for each in items(aws_of(renamed).subnets))
    assert re.fullmatch(r"subnet-[0-9a-f]{17}", first)
    assert first < second


def test_names_keep_their_order() -> None:
    names = ["zebra", "alpha", "middle-1", "middle", "alpha-2"]
    workloads = tuple(Workload(kind="Deployment", namespace="n", name=name) for name in names)
    found = kubernetes_of(pseudonymised(Snapshot(kubernetes=Kubernetes(workloads=workloads)), KEY))
    renamed = dict(zip(names, (each.name for each in items(found.workloads)), strict=True))
    assert sorted(names) == sorted(names, key=renamed.__getitem__)
    assert len(set(renamed.values())) == len(names)


def test_equal_keys_give_equal_pseudonyms_and_others_others() -> None:
    assert pseudonymised(SNAPSHOT, KEY) == pseudonymised(SNAPSHOT, KEY)
    assert pseudonymised(SNAPSHOT, b"another") != pseudonymised(SNAPSHOT, KEY)


def test_addresses_keep_their_place_in_their_subnet(renamed: Snapshot) -> None:
    for before, after in zip(items(aws_of(SNAPSHOT).interfaces), items(aws_of(renamed).interfaces), strict=True):
        places = {}
        for snapshot, interface in ((SNAPSHOT, before), (renamed, after)):
            subnet = next(each for each in items(aws_of(snapshot).subnets) if each.subnet_id == interface.subnet_id)
            block = Block.parse(str(subnet.cidr_block))
            places[id(snapshot)] = [
                Block.parse(each if "/" in each else f"{each}/32").first - block.first
                for each in (*interface.addresses, *interface.prefixes)
            ]
        assert places[id(SNAPSHOT)] == places[id(renamed)]


# Address arithmetic in general

CIDRS = st.builds(
    lambda first, length: Block(first >> (32 - length) << (32 - length), length),
    st.one_of(
        st.integers(0, 2**32 - 1),
        st.integers(0x0A000000, 0x0AFFFFFF),
        st.integers(0x64400000, 0x647FFFFF),
        st.integers(0xAC100000, 0xAC1FFFFF),
        st.integers(0xC0A80000, 0xC0A8FFFF),
    ),
    st.integers(8, 28),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CIDRS, min_size=2, max_size=8, unique=True), st.binary(min_size=1, max_size=4))
@example([Block.parse("10.0.0.0/16"), Block.parse("10.1.0.0/16"), Block.parse("10.0.0.0/15")], b"x")
def test_cidrs_contain_and_overlap_one_another_as_before(blocks: list[Block], key: bytes) -> None:
    vpc, *subnets = blocks
    snapshot = Snapshot(
        aws=Aws(
            vpc=Vpc(vpc_id="vpc-1", cidr_blocks=(CidrAssociation(cidr_block=str(vpc)),)),
            subnets=tuple(Subnet(subnet_id=f"s-{index}", cidr_block=str(each)) for index, each in enumerate(subnets)),
        )
    )
    found = aws_of(pseudonymised(snapshot, key))
    assert isinstance(found.vpc, Vpc)
    renamed = [Block.parse(items(found.vpc.cidr_blocks)[0].cidr_block)]
    renamed += [Block.parse(str(each.cidr_block)) for each in items(found.subnets)]
    for one, new in zip(blocks, renamed, strict=True):
        assert new.prefix_length == one.prefix_length
        assert families(new) == families(one), "the rules of an association speak of these ranges"
        for other, new_other in zip(blocks, renamed, strict=True):
            assert new.overlaps(new_other) == one.overlaps(other)
            assert (new == new_other) == (one == other)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SNAPSHOTS)
def test_any_snapshot_can_be_renamed_and_written(snapshot: Snapshot) -> None:
    renamed = pseudonymised(snapshot, KEY)
    assert load(dump(renamed)) == renamed


# The diagnosis

INCIDENTS = sorted((Path(__file__).parents[1] / "incidents").glob("*/facts.json"))


def told(diagnosis: Diagnosis) -> object:
    """Everything of a diagnosis but names, ids, addresses and sentences."""
    impact, history = diagnosis.impact, diagnosis.history
    return (
        diagnosis.verdict,
        [
            (
                (cause.name, cause.confidence, cause.made_by, len(cause.scope.nodes), cause.scope.zones),
                [(each.value, each.threshold, each.count, each.when) for each in cause.evidence],
                [each.cause for each in cause.ruled_out],
            )
            for cause in diagnosis.causes
        ],
        len(diagnosis.not_ip),
        impact and (impact.stuck_pods, impact.services, [each.kind for each in impact.autoscalers]),
        impact and [(each.kind, each.desired, each.ready, each.stuck, each.priority) for each in impact.workloads],
        impact and [each.addresses for each in impact.reliefs],
        history and (history.held, history.by_pods, history.expected, history.thrifty, history.factor),
        history and [(each.zone, each.usable, each.free, each.by_owner, each.free_blocks) for each in history.subnets],
        [(each.decides, each.changes_verdict) for each in diagnosis.needed],
        [each.met for each in diagnosis.escalations],
    )


@pytest.mark.parametrize("file", INCIDENTS, ids=lambda file: str(file.parent.name))
def test_the_diagnosis_of_an_incident_is_unchanged(file: Path) -> None:
    original = load(file.read_text(encoding="utf-8"))
    assert told(diagnose(pseudonymised(original, KEY))) == told(diagnose(original))


def test_there_are_incidents_to_try() -> None:
    assert len(INCIDENTS) >= 5


# Texts

NASTY_NAMES = (
    "network", "plugin", "failed", "pod", "eni", "ip", "address", "node", "aws", "cni", "vpc", "ipamd", "no", "error",
    "max-pods", "rate-limit", "rpc", "code", "sandbox", "assign", "container", "limit", "free",
)  # fmt: skip


@pytest.mark.parametrize("signature", signatures(), ids=lambda signature: str(signature.name))
def test_texts_mean_to_a_diagnosis_what_they_meant(signature: Any) -> None:
    """Even where somebody has called workloads by the very words of the CNI's messages."""
    snapshot = Snapshot(
        cluster="prod",
        kubernetes=Kubernetes(
            workloads=tuple(Workload(kind="Deployment", namespace=name, name=name) for name in NASTY_NAMES)
        ),
        lines=(Line(origin=Origin.OTHER, text=signature.example),),
    )
    (line,) = items(pseudonymised(snapshot, KEY).lines)

    def meant(text: str) -> list[str]:
        """What a text means where the signature's own lines come from; others' origins are left out."""
        found = (each.signature for each in match(text))
        return [each.name for each in found if each == signature or not each.origins]

    assert meant(line.text) == meant(signature.example)


def text_of(text: str) -> str:
    """A text under pseudonyms, in a snapshot of the cluster above."""
    lines = (Line(origin=Origin.OTHER, text=text),)
    (line,) = items(pseudonymised(Snapshot(**{**as_dict(SNAPSHOT), "lines": lines}), KEY).lines)
    return line.text


def as_dict(snapshot: Snapshot) -> dict[str, Any]:
    return {entry.name: getattr(snapshot, entry.name) for entry in fields(snapshot)}


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("role arn:aws:iam::123456789012:role/acme-cni", r"role arn:aws:iam::\d{12}:role/name-\w+"),
        (
            "arn:aws:sts::123456789012:assumed-role/acme-node/i-0123456789abcdef0",
            r"arn:aws:sts::\d{12}:assumed-role/name-\w+/i-[0-9a-f]{17}",
        ),
        ('pulling image "registry.acme.com/team/app:1.2"', r'pulling image "registry\.example/name-\w+:1\.2"'),
        ("image docker.io/acme/app@sha256:0a1b", r"image registry\.example/name-\w+@sha256:0a1b"),
        ("resolve db.acme.internal failed", r"resolve name-\w+\.example failed"),
        ("checkout.shop.svc.cluster.local", r"name-\d+\.name-\d+\.svc\.cluster\.local"),
        ("pod shop/checkout-7fd949d74b-x2x4z", r"pod name-\d+/name-\d+-7fd949d74b-x2x4z"),
        ("pod shop/checkout-7fd949d74b-nwr2z", r"pod name-\d+/name-\d+-7fd949d74b-nwr2z"),
        ("account 123456789012 owns it", r"account \d{12} owns it"),
        (
            "https://0A1B2C3D4E5F60718293A4B5C6D7E8F9.gr7.us-east-1.eks.amazonaws.com",
            r"https://name-\w+\.gr7\.us-east-1\.eks\.amazonaws\.com",
        ),
        ("dial tcp 10.68.204.153:10250: refused", r"dial tcp 10\.\d+\.204\.153:10250: refused"),
        ("node fd00:10:68::1234 is up", r"node 2001:db8:[0-9a-f:]+ is up"),
        ("ELB net/acme-front/50dc6c495c0c9188", r"ELB net/name-\w+/50dc6c495c0c9188"),
        (
            "AWS Lambda VPC ENI-acme-fn-0a1b2c3d-1111-2222-3333-444455556666",
            r"AWS Lambda VPC ENI-name-\w+-0a1b2c3d-1111-2222-3333-444455556666",
        ),
    ],
)
def test_names_within_texts_are_replaced(text: str, pattern: str) -> None:
    assert re.fullmatch(pattern, text_of(text)), text_of(text)


@pytest.mark.parametrize(
    "text",
    [
        'plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to container',
        "0/30 nodes are available: 30 Too many pods. preemption: 0/30 nodes are available",
        "the shop was closed and nobody came to the checkout",
        "topology.kubernetes.io/zone and node.k8s.amazonaws.com/instance_id",
        "aws-node v1.19.2-eksbuild.1 on m5.8xlarge in us-east-1a",
        "2026-03-03T20:46:41.123Z ipamd/ipamd.go:1208 dial tcp 127.0.0.1:50051: connect: connection refused",
        "169.254.169.254 does not answer",
        "",
    ],
)
def test_what_is_no_name_stays(text: str) -> None:
    assert text_of(text) == text


def test_a_file_keeps_its_ending_and_a_reading_its_name(renamed: Snapshot) -> None:
    reading, file = renamed.sources
    assert (reading.name, reading.outcome) == ("ec2 DescribeSubnets", "denied for subnet-00000000000000001")
    assert re.fullmatch(r"file-[0-9a-f]{8}\.log", file.name)


def test_the_kinds_are_all_in_use() -> None:
    assert {kind for kinds in FIELDS.values() for kind in kinds.values()} == set(Kind)


def test_why_something_is_unknown_is_renamed_too() -> None:
    denied = Unknown(Reason.DENIED, f"not for {SUBNET_ID}")
    found = pseudonymised(Snapshot(aws=Aws(subnets=denied)), KEY)
    assert aws_of(found).subnets == Unknown(Reason.DENIED, "not for subnet-00000000000000001")
