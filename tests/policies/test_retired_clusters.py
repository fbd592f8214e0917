"""A cluster that a stack takes away is not judged by how it was made; everything else of that stack is."""

from datetime import date
from typing import Any

from policies.pack import judge
from policies.resources import AKS_CLUSTER, VNET_SUBNET, Resource

STACK = "urn:pulumi:retire::headroom"
RETIRED = f"{STACK}::headroom:index:RetiredCluster"


def found(*resources: Resource) -> set[str]:
    """Names of the rules that say something."""
    return {judgement.rule for judgement in judge(resources, {}, date(2026, 3, 7))}


def cluster(urn: str) -> Resource:
    """A cluster of which the program says next to nothing."""
    return Resource(type=AKS_CLUSTER, name="old", urn=urn, properties={"resourceName": "aks"}, protect=True)


def test_the_old_cluster_is_left_alone() -> None:
    assert found(cluster(f"{RETIRED}${AKS_CLUSTER}::old")) == set()
    assert found(cluster(f"{STACK}::{AKS_CLUSTER}::old")) != set()


def subnet(parent: str, **attached: Any) -> Resource:
    """The nodes' subnet behind a gateway, and what else is attached to it."""
    properties = {"subnetName": "nodes", "addressPrefix": "10.20.4.0/22", "natGateway": {"id": "/nat"}, **attached}
    return Resource(type=VNET_SUBNET, name="nodes", urn=f"{parent}{VNET_SUBNET}::nodes", properties=properties)


def test_the_subnet_that_stays_is_judged() -> None:
    assert "subnet-complete" in found(subnet(f"{RETIRED}$"))


def test_its_route_table_alone_may_go_for_that_is_what_the_stack_is_for() -> None:
    group = {"networkSecurityGroup": {"id": "/nsg"}}
    assert "subnet-complete" not in found(subnet(f"{RETIRED}$", **group))
    assert "subnet-complete" in found(subnet(f"{STACK}::", **group))
    assert "subnet-complete" in found(subnet(f"{RETIRED}$", routeTable={"id": "/routes"})), "another one's group"
