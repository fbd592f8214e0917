"""A cluster that a stack takes away is not judged by how it was made; everything else of that stack is."""

from datetime import date

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


def test_the_subnet_that_stays_is_judged() -> None:
    subnet = Resource(
        type=VNET_SUBNET,
        name="nodes",
        urn=f"{RETIRED}${VNET_SUBNET}::nodes",
        properties={"subnetName": "nodes", "addressPrefix": "10.20.4.0/22", "natGateway": {"id": "/nat"}},
    )
    assert "subnet-complete" in found(subnet)
