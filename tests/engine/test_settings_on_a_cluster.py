"""CNI settings and custom networking through the engine, against a real API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.rehearsal.kube import DAEMON_SETS, Kube, Resource
from headroom.rehearsal.stack import Stack, make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world

pytestmark = [pytest.mark.engine, pytest.mark.control_plane]

DEFINITIONS = Resource(
    group_version="apiextensions.k8s.io/v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
ENI_CONFIGS = Resource(
    group_version="crd.k8s.amazonaws.com/v1alpha1", plural="eniconfigs", kind="ENIConfig", namespaced=False
)
LIVE = {"WARM_ENI_TARGET": "1", "AWS_VPC_K8S_CNI_LOGLEVEL": "WARN"}


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("clustered")
    with start_world(folder, find_tools(), aws_settings={"association_seconds": 0.3}) as world:
        define_eniconfigs(world.kube)
        yield world


def define_eniconfigs(kube: Kube) -> None:
    """The definition that the VPC CNI's manifest brings, as far as it matters here."""
    kube.create(
        DEFINITIONS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "eniconfigs.crd.k8s.amazonaws.com"},
            "spec": {
                "group": "crd.k8s.amazonaws.com",
                "scope": "Cluster",
                "names": {"plural": "eniconfigs", "singular": "eniconfig", "kind": "ENIConfig"},
                "versions": [
                    {
                        "name": "v1alpha1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        },
    )


@pytest.fixture
def stack(clustered: World, tmp_path: Path) -> Iterator[Stack]:
    kube = clustered.kube
    kube.create(DAEMON_SETS, aws_node(), field_manager="eks-manifest")
    yield make_stack(clustered, tmp_path)
    kube.delete(DAEMON_SETS, "aws-node", "kube-system")


def aws_node() -> dict[str, Any]:
    environment = [{"name": name, "value": value} for name, value in LIVE.items()]
    containers = [
        {"name": "aws-node", "image": "registry.invalid/amazon-k8s-cni:v1.19.2", "env": environment},
        {"name": "aws-eks-nodeagent", "image": "registry.invalid/agent:v1.1.6"},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "aws-node", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "aws-node"}},
            "template": {"metadata": {"labels": {"k8s-app": "aws-node"}}, "spec": {"containers": containers}},
        },
    }


def environment_of(kube: Kube) -> dict[str, str]:
    containers = kube.get(DAEMON_SETS, "aws-node", "kube-system")["spec"]["template"]["spec"]["containers"]
    container = next(item for item in containers if item["name"] == "aws-node")
    return {item["name"]: item["value"] for item in container["env"]}


def test_a_self_managed_aws_node_gets_what_was_asked_for_and_keeps_the_rest(clustered: World, stack: Stack) -> None:
    stack.configure(
        cniSettings={
            "managedBy": "daemonset",
            "settings": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"},
            "liveEnvironment": LIVE,
        }
    )
    stack.up()
    assert environment_of(clustered.kube) == {**LIVE, "WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"}
    stack.pulumi("preview", "--expect-no-changes")
    managers = clustered.kube.get(DAEMON_SETS, "aws-node", "kube-system")["metadata"]["managedFields"]
    assert "headroom" in {entry["manager"] for entry in managers}


def test_a_value_that_another_manager_owns_is_refused_in_the_api_servers_words_and_taken_by_force(
    clustered: World, stack: Stack
) -> None:
    settings: dict[str, Any] = {
        "managedBy": "daemonset",
        "settings": {"AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG"},
        "liveEnvironment": LIVE,
    }
    stack.configure(cniSettings=settings)
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert refused.code != 0
    assert "eks-manifest" in refused.output
    assert environment_of(clustered.kube) == LIVE

    stack.configure(cniSettings={**settings, "force": True})
    stack.up()
    assert environment_of(clustered.kube) == {**LIVE, "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG"}


def test_custom_networking_makes_an_eniconfig_a_zone_before_it_turns_the_setting_on(
    clustered: World, stack: Stack
) -> None:
    group = stack.network.security_group_id
    stack.configure(
        customNetworking={"nodeZones": list(stack.network.subnet_ids), "securityGroupIds": [group]},
        cniSettings={"managedBy": "daemonset", "settings": {}, "liveEnvironment": LIVE},
    )
    stack.up()
    subnets = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in stack.subnets()}
    assert {item["metadata"]["name"]: item["spec"] for item in clustered.kube.list_all(ENI_CONFIGS)} == {
        zone: {"subnet": subnet_id, "securityGroups": [group]} for zone, subnet_id in subnets.items()
    }
    assert environment_of(clustered.kube) == {
        **LIVE,
        "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
        "ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone",
    }
    stack.pulumi("preview", "--expect-no-changes")
