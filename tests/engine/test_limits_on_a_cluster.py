"""Limits of NodePools and cordons through the engine, against a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headroom.rehearsal.kube import NODES, Kube, Resource
from headroom.rehearsal.stack import Stack, make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world
from tests.engine.test_settings_on_a_cluster import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.control_plane]

NODE_POOLS = Resource(group_version="karpenter.sh/v1", plural="nodepools", kind="NodePool", namespaced=False)
NODE = "ip-10-68-0-7.ec2.internal"


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("limited")
    with start_world(folder, find_tools()) as world:
        define_nodepools(world.kube)
        yield world


def define_nodepools(kube: Kube) -> None:
    """The definition that Karpenter's chart brings, as far as it matters here."""
    names = {"plural": "nodepools", "singular": "nodepool", "kind": "NodePool"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    kube.create(
        DEFINITIONS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "nodepools.karpenter.sh"},
            "spec": {
                "group": "karpenter.sh",
                "scope": "Cluster",
                "names": names,
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        },
    )


def pool(**limits: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"template": {"spec": {"nodeClassRef": {"name": "default"}}}, "weight": 10}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "default"},
        "spec": {**spec, **({"limits": limits} if limits else {})},
    }


def configure(stack: Stack) -> None:
    zone, name = next(iter(stack.network.subnet_ids.items()))
    region = stack.config["aws:region"]
    stack.config.clear()
    stack.config["aws:region"] = region
    stack.configure(
        remedy="limits",
        clusterName="limited",
        fleetSubnets={name: {"zone": zone, "cidrBlock": "10.68.0.0/22"}},
        nodeLimits={"default": {"kind": "karpenter", "instanceTypes": ["m5.8xlarge"], "podsPerNode": 100}},
        cordonedNodes=[NODE],
    )


def spec_of(kube: Kube, resource: Resource, name: str) -> dict[str, Any]:
    found: dict[str, Any] = kube.get(resource, name).get("spec", {})
    return found


def test_a_nodepool_gets_its_limit_a_node_its_cordon_and_both_lose_nothing_else_and_get_back_what_they_had(
    clustered: World, tmp_path: Path
) -> None:
    kube = clustered.kube
    before = kube.create(NODE_POOLS, pool(), field_manager="helm")["spec"]
    kube.create(
        NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {"podCIDR": "10.9.0.0/24"}}
    )
    stack = make_stack(clustered, tmp_path)
    configure(stack)
    stack.up()
    # Five nodes and the one of an upgrade take 900 of 1,019 addresses; each has 32 vCPUs.
    assert spec_of(kube, NODE_POOLS, "default") == {**before, "limits": {"cpu": "160"}}
    assert spec_of(kube, NODES, NODE)["unschedulable"] is True
    stack.pulumi("preview", "--expect-no-changes")

    stack.configure(cordonedNodes=[])
    stack.up()
    assert "unschedulable" not in spec_of(kube, NODES, NODE), "the node is open again"
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert spec_of(kube, NODE_POOLS, "default") == before
    kube.delete(NODE_POOLS, "default")


def test_a_limit_that_somebody_else_set_is_refused_in_the_api_servers_words_and_taken_by_force(
    clustered: World, tmp_path: Path
) -> None:
    kube = clustered.kube
    kube.create(NODE_POOLS, pool(cpu="4000"), field_manager="helm")
    stack = make_stack(clustered, tmp_path)
    configure(stack)
    stack.configure(cordonedNodes=[])
    refused = stack.pulumi("up", "--yes", "--skip-preview", must=None)
    assert refused.code != 0
    assert "helm" in refused.output
    assert spec_of(kube, NODE_POOLS, "default")["limits"] == {"cpu": "4000"}
    stack.configure(forcePatches=True)
    stack.up()
    assert spec_of(kube, NODE_POOLS, "default")["limits"] == {"cpu": "160"}
