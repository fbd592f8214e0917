"""What a person does for causes that no stack cures: values, figures, files to review, commands that run."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, RootCause, Scope, Verdict
from headroom.facts.aws import Aws, NodeGroup, Subnet
from headroom.facts.document import load
from headroom.facts.kubernetes import (
    CniDaemonSet,
    Event,
    KarpenterNodeClass,
    KarpenterNodePool,
    Kubernetes,
    Pod,
)
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items
from headroom.planning.hand_steps import LEAKED_AT_A_TIME
from headroom.planning.plan import Plan
from headroom.planning.planner import make_plan
from headroom.rehearsal import made

INCIDENTS = Path(__file__).parents[1] / "incidents"


def found(root: RootCause, detail: Detail, **scope: Any) -> Diagnosis:
    cause = Cause(root_cause=root, detail=detail, summary="It is so.", scope=Scope(**scope))
    return Diagnosis(verdict=Verdict.FOUND, causes=(cause,))


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return snapshot.kubernetes


def aws_of(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def text_of(plan: Plan, path: str) -> str:
    (text,) = [file.text for file in plan.files if file.path == path]
    return text


def with_environment(snapshot: Snapshot, **settings: str) -> Snapshot:
    kubernetes = kubernetes_of(snapshot)
    daemon_set = kubernetes.cni_daemon_set
    assert isinstance(daemon_set, CniDaemonSet)
    assert isinstance(daemon_set.environment, Mapping)
    changed = replace(daemon_set, environment={**daemon_set.environment, **settings})
    return replace(snapshot, kubernetes=replace(kubernetes, cni_daemon_set=changed))


# maxPods


def too_many_pods(most: int) -> Snapshot:
    """Twelve m5.large that run as many pods as maxPods allows, in subnets with room."""
    snapshot = made.exhausted(
        nodes=tuple(
            made.MadeNodes(zone=zone, count=4, pods=most - 2, instance_type="m5.large", max_pods=most)
            for zone in made.ZONES
        ),
        workloads=(made.MadeWorkload(name="checkout-api", replicas=10, service=False),),
    )
    kubernetes = kubernetes_of(snapshot)
    system = [
        Pod(
            namespace="kube-system",
            name=f"system-{node.name}-{index}",
            node=node.name,
            phase="Running",
            host_network=True,
            ready=True,
            ip=node.internal_ip,
        )
        for node in items(kubernetes.nodes)
        for index in range(3)
    ]
    pods = [Pod(namespace="shop", name=f"w-{index}", phase="Pending") for index in range(7)]
    events = [
        Event(
            kind="Pod",
            namespace="shop",
            name=pod.name,
            reason="FailedScheduling",
            message="0/12 nodes are available: 12 Too many pods.",
        )
        for pod in pods
    ]
    kubernetes = replace(
        kubernetes,
        pods=(*items(kubernetes.pods), *system, *pods),
        events=(*items(kubernetes.events), *events),
    )
    return replace(snapshot, kubernetes=kubernetes)


def test_a_max_pods_below_what_the_interfaces_hold_is_raised_to_it_with_the_file_and_the_figures() -> None:
    snapshot = too_many_pods(20)
    plan = make_plan(snapshot, diagnose(snapshot))
    assert plan.causes == ("eni_limit/max_pods",)
    assert plan.stack == "", "no setting of the CNI is in the way"
    step = plan.steps[0]
    assert step.what.startswith(
        "Raise maxPods of the 12 m5.large from 20 to 29: their 3 interfaces have 9 addresses each for pods. "
        "108 more pods fit; full, the nodes hold 0 addresses more, and free are 899 in us-east-1a"
    )
    assert "launch template of the node group apps: spec.kubelet.config.maxPods" in step.what
    document = yaml.safe_load(text_of(plan, "stacks/max-pods.prod-use1.yaml"))
    assert document["kind"] == "NodeConfig"
    assert document["spec"]["kubelet"]["config"]["maxPods"] == 29


def test_a_max_pods_that_the_interfaces_allow_is_raised_after_prefixes_are_on() -> None:
    snapshot = too_many_pods(29)
    plan = make_plan(snapshot, diagnose(snapshot))
    config = yaml.safe_load(text_of(plan, "stacks/Pulumi.prod-use1-density.yaml"))["config"]
    assert config["headroom:cniSettings"]["settings"] == {
        "ENABLE_PREFIX_DELEGATION": "true",
        "WARM_PREFIX_TARGET": "1",
    }
    names = [step.what.split()[0] for step in plan.steps]
    assert names == ["Look", "Take", "Apply", "Raise", "See"]
    raised = plan.steps[3].what
    assert "from 29 to 110: with ENABLE_PREFIX_DELEGATION=true, their 3 interfaces have 144 addresses each" in raised
    assert "972 more pods fit; full, the nodes hold 996 addresses more" in raised


def test_with_karpenter_the_node_class_is_patched_and_named() -> None:
    snapshot = too_many_pods(20)
    kubernetes = kubernetes_of(snapshot)
    kubernetes = replace(
        kubernetes,
        nodes=tuple(replace(node, node_group=None, node_pool="general") for node in items(kubernetes.nodes)),
        node_pools=(KarpenterNodePool(name="general", node_class="it's"),),
        node_classes=(KarpenterNodeClass(name="it's"),),
    )
    snapshot = replace(snapshot, kubernetes=kubernetes)
    plan = make_plan(snapshot, diagnose(snapshot))
    assert plan.steps[0].command == (
        'kubectl patch ec2nodeclass \'it\'"\'"\'s\' --type merge --patch \'{"spec": {"kubelet": {"maxPods": 29}}}\''
    )
    document = yaml.safe_load(text_of(plan, "stacks/max-pods.prod-use1.yaml"))
    assert (document["kind"], document["metadata"]["name"]) == ("EC2NodeClass", "it's")


@pytest.mark.parametrize(("image", "words"), [("AL2_x86_64", "--max-pods"), ("BOTTLEROCKET_ARM_64", "max-pods in its")])
def test_other_images_get_the_words_of_their_own_user_data_and_no_node_config(image: str, words: str) -> None:
    snapshot = too_many_pods(20)
    groups = (NodeGroup(name="apps", ami_type=image),)
    snapshot = replace(snapshot, aws=replace(aws_of(snapshot), node_groups=groups))
    plan = make_plan(snapshot, diagnose(snapshot))
    assert words in plan.steps[0].what
    assert plan.files == ()


def test_nodes_at_the_advised_ceiling_call_for_further_nodes() -> None:
    snapshot = with_environment(too_many_pods(110), ENABLE_PREFIX_DELEGATION="true", WARM_PREFIX_TARGET="1")
    plan = make_plan(snapshot, found(RootCause.ENI_LIMIT, Detail.MAX_PODS))
    assert plan.steps[0].what.startswith("Add nodes, or larger ones, beside the 12 m5.large: maxPods is 110")


# The quota of interfaces


def test_the_quota_that_is_asked_for_holds_what_the_nodes_can_still_take() -> None:
    snapshot = made.exhausted()
    snapshot = replace(snapshot, aws=replace(aws_of(snapshot), region_interfaces=5000, region_interface_quota=5000))
    plan = make_plan(snapshot, found(RootCause.ENI_LIMIT, Detail.REGIONAL_QUOTA))
    further = 30 * 8 - sum(isinstance(each.instance_id, str) for each in items(aws_of(snapshot).interfaces))
    assert further > 0
    assert f"5,000 of 5,000 are in use, and the cluster's 30 nodes can take {further} more" in plan.steps[0].what
    assert plan.steps[0].command == (
        "aws service-quotas request-service-quota-increase --region us-east-1 --service-code vpc "
        "--quota-code L-DF5E4CA3 --desired-value 6500"
    )


# Room for nodes


def test_where_a_zone_has_no_room_for_nodes_a_subnet_is_made_near_the_others_and_a_group_beside_the_old_one() -> None:
    snapshot = load((INCIDENTS / "eks-node-subnet-full" / "facts.json").read_text(encoding="utf-8"))
    plan = make_plan(snapshot, diagnose(snapshot))
    first, second, group = plan.steps[:3]
    assert first.what.startswith("Make a node subnet 100.64.192.0/27 in us-east-1b: 27 addresses")
    assert first.command.startswith("NODES_US_EAST_1B=$(aws ec2 create-subnet --region us-east-1 --vpc-id vpc-")
    assert first.command.endswith('--subnet-id "$NODES_US_EAST_1B"')
    assert second.command.startswith("NODES_US_EAST_1C=")
    assert "subnet-3f621b34023aec58d in us-east-1a (10.20.0.192/26, 58 free)" in group.what
    assert '--subnets subnet-3f621b34023aec58d "$NODES_US_EAST_1B" "$NODES_US_EAST_1C" ' in group.command
    assert "--scaling-config minSize=3,maxSize=12,desiredSize=9 --instance-types t3.medium" in group.command
    assert "--nodegroup-name web-2" in group.command
    assert group.undo.startswith("aws eks delete-nodegroup")


def test_karpenter_gets_the_subnets_that_have_room_and_keeps_those_that_are_not_full() -> None:
    snapshot = made.exhausted()
    aws = aws_of(snapshot)
    roomy = Subnet(subnet_id="subnet-room", zone="us-east-1a", cidr_block="10.68.220.0/24", available_addresses=200)
    kubernetes = replace(
        kubernetes_of(snapshot),
        node_classes=(KarpenterNodeClass(name="default", subnet_ids=("subnet-0a1", "subnet-0c3")),),
    )
    snapshot = replace(
        snapshot,
        aws=replace(aws, subnets=(*items(aws.subnets), roomy), node_groups=()),
        kubernetes=kubernetes,
    )
    plan = make_plan(snapshot, found(RootCause.SUBNET_EXHAUSTION, Detail.NODE_SUBNET_FULL, subnets=("subnet-0a1",)))
    assert plan.steps[0].command == (
        "kubectl patch ec2nodeclass default --type merge --patch "
        '\'{"spec": {"subnetSelectorTerms": [{"id": "subnet-0c3"}, {"id": "subnet-room"}]}}\''
    )
    assert "subnet-room in us-east-1a (10.68.220.0/24, 200 free)" in plan.steps[0].what


# Settings


@pytest.mark.parametrize(
    ("environment", "mended"),
    [
        ({"DISABLE_NETWORK_RESOURCE_PROVISIONING": "true"}, {"DISABLE_NETWORK_RESOURCE_PROVISIONING": "false"}),
        ({"ENABLE_IPv4": "true", "ENABLE_IPv6": "true"}, {"ENABLE_IPv4": "true", "ENABLE_IPv6": "false"}),
    ],
)
def test_a_setting_for_which_only_one_value_can_be_right_is_set_by_the_stack(
    environment: dict[str, str], mended: dict[str, str]
) -> None:
    plan = make_plan(with_environment(made.healthy(), **environment), found(RootCause.IPAMD_FAILURE, Detail.CONFIG))
    config = yaml.safe_load(text_of(plan, "stacks/Pulumi.prod-use1-density.yaml"))["config"]
    assert config["headroom:cniSettings"]["settings"] == mended
    (option,) = [each for each in plan.options if each.name == "fix-settings"]
    assert ", ".join(f"{name}={value}" for name, value in mended.items()) in option.reason


def test_custom_networking_without_an_eniconfig_gets_one_a_zone_where_there_is_room() -> None:
    snapshot = with_environment(made.healthy(), AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG="true")
    plan = make_plan(snapshot, found(RootCause.IPAMD_FAILURE, Detail.CONFIG))
    documents = list(yaml.safe_load_all(text_of(plan, "stacks/eniconfigs.prod-use1.yaml")))
    assert {each["metadata"]["name"]: each["spec"]["subnet"] for each in documents} == {
        "us-east-1a": "subnet-0a1",
        "us-east-1b": "subnet-0b2",
        "us-east-1c": "subnet-0c3",
    }
    assert plan.steps[0].command == "kubectl apply --filename stacks/eniconfigs.prod-use1.yaml"
    config = yaml.safe_load(text_of(plan, "stacks/Pulumi.prod-use1-density.yaml"))["config"]
    assert config["headroom:cniSettings"]["settings"] == {"ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone"}


def test_another_fault_of_configuration_is_named_with_what_is_set() -> None:
    plan = make_plan(made.healthy(), found(RootCause.IPAMD_FAILURE, Detail.CONFIG, nodes=("node-7",)))
    assert plan.steps[0].what.startswith("Mend what the evidence names (node-7): It is so. aws-node has ")
    assert "WARM_IP_TARGET=5" in plan.steps[0].what


def test_a_setting_that_stays_and_has_no_effect_any_more_is_said_in_the_stack_file() -> None:
    snapshot = with_environment(made.exhausted(), WARM_ENI_TARGET="3")
    plan = make_plan(snapshot, found(RootCause.WARM_TARGET, Detail.COOLDOWN))
    text = " ".join(text_of(plan, "stacks/Pulumi.prod-use1-density.yaml").replace("#", " ").split())
    assert "settings that somebody chose and that stay: WARM_ENI_TARGET. WARM_ENI_TARGET=3 has no effect while " in text


# Leaked interfaces


FAKE_AWS = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
*describe-network-interfaces*)
  for id in $(echo "$*" | grep -o 'Values=eni-[^ "]*' | cut -d= -f2 | tr ',' ' '); do
    case $id in *7) ;; *) printf '%s\\t' "$id" ;; esac
  done
  ;;
esac
"""


def test_leaked_interfaces_are_deleted_by_fifty_and_none_that_was_attached_meanwhile(tmp_path: Path) -> None:
    snapshot = made.leaking()
    leaked = [f"eni-{number:017x}" for number in range(120)]
    interfaces = items(aws_of(snapshot).interfaces)
    template = next(each for each in interfaces if each.status == "available")
    others = tuple(each for each in interfaces if each.status != "available")
    more = tuple(replace(template, interface_id=name, addresses=("10.68.204.9",)) for name in leaked)
    snapshot = replace(snapshot, aws=replace(aws_of(snapshot), interfaces=(*others, *more)))
    plan = make_plan(snapshot, found(RootCause.SUBNET_EXHAUSTION, Detail.LEAKED_ENIS, zones=("us-east-1a",)))
    text = text_of(plan, "stacks/interfaces.prod-use1.txt")
    assert [line.split("\t")[0] for line in text.splitlines() if not line.startswith("#")] == leaked
    assert all(name not in plan.steps[0].command for name in leaked)
    kept = leaked[5]
    (tmp_path / "stacks").mkdir()
    reviewed = "".join(line for line in text.splitlines(keepends=True) if kept not in line)
    (tmp_path / "stacks" / "interfaces.prod-use1.txt").write_text(reviewed, encoding="utf-8")
    fake, calls = tmp_path / "aws", tmp_path / "calls"
    fake.write_text(FAKE_AWS, encoding="utf-8")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    subprocess.run(["/bin/sh", "-c", plan.steps[0].command], cwd=tmp_path, env=environment, check=True)  # noqa: S603 - the plan's own command
    made_calls = calls.read_text(encoding="utf-8").splitlines()
    asked = [call for call in made_calls if "describe-network-interfaces" in call]
    assert [call.count("eni-") for call in asked] == [LEAKED_AT_A_TIME, LEAKED_AT_A_TIME, 19]
    assert all("Name=status,Values=available" in call for call in asked)
    deleted = [call.rpartition(" ")[2] for call in made_calls if "delete-network-interface" in call]
    assert deleted == [name for name in leaked if name != kept and not name.endswith("7")]


def test_facts_that_are_not_known_never_stop_a_plan_of_hands() -> None:
    snapshot = Snapshot(cluster="prod-use1", aws=Aws(), kubernetes=Kubernetes())
    for root, detail in (
        (RootCause.ENI_LIMIT, Detail.MAX_PODS),
        (RootCause.ENI_LIMIT, Detail.REGIONAL_QUOTA),
        (RootCause.SUBNET_EXHAUSTION, Detail.NODE_SUBNET_FULL),
        (RootCause.IPAMD_FAILURE, Detail.CONFIG),
    ):
        plan = make_plan(snapshot, found(root, detail))
        assert plan.files == ()
        assert plan.steps[0].what
