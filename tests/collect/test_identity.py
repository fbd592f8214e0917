"""A context is the cluster by evidence and not by its name: address, certificate authority, machines."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from headroom.addresses.problems import ProblemsError
from headroom.collect.aws import EksCluster
from headroom.collect.identity import SOURCE, Server, aks_identity, authority_of, eks_identity, judged, server_of
from headroom.collect.session import KubeContext
from headroom.facts.aws import Interface
from headroom.facts.interfaces import CLUSTER_TAG
from headroom.facts.kubernetes import Node
from headroom.facts.snapshot import Snapshot, Source
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown
from tests.collect.conftest import CLUSTER, ApiServerStub, World

ENDPOINT = "https://A0DCCD80A04F01705DD065655C30CC3D.yl4.us-east-1.eks.amazonaws.com"
OTHER = "https://B1EDDE91B15F12816EE176766D41DD4E.gr7.us-east-1.eks.amazonaws.com"
TUNNEL = "localhost:8443"
DENIED = Unknown(Reason.DENIED)


def certificate(name: str) -> str:
    """A certificate authority of its own, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + timedelta(days=1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


OWN_AUTHORITY, OTHER_AUTHORITY = certificate("own"), certificate("other")


def in_base64(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()


def described(endpoint: str = ENDPOINT, authority: str = OWN_AUTHORITY) -> EksCluster:
    return EksCluster(
        vpc_id="vpc-1",
        account="123456789012",
        subnet_ids=(),
        service_cidr=NOT_COLLECTED,
        ip_family="ipv4",
        status="ACTIVE",
        issues=(),
        auto_mode=False,
        version="1.33",
        endpoint=endpoint,
        authority=in_base64(authority),
    )


def server(url: str, authority: str = "") -> Server:
    host = server_of(SimpleNamespace(host=url, verify_ssl=False)).host
    return Server(host=host, authority=authority_of(in_base64(authority)))


NODES = (Node(name="ip-10-0-0-1", instance_id="i-1"), Node(name="ip-10-0-0-2", instance_id="i-2"))


def interface(instance_id: str, cluster: str | None) -> Interface:
    return Interface(
        interface_id=f"eni-{instance_id}-{cluster}", subnet_id="subnet-1", instance_id=instance_id, cluster=cluster
    )


def found(url: str, *interfaces: Interface, authority: str = "", of: EksCluster | Unknown | None = None) -> bool | None:
    seen = eks_identity(CLUSTER, of or described(), server(url, authority), NODES, interfaces)
    assert seen.because
    return seen.same


def test_the_clusters_own_endpoint_proves_it_in_any_case_and_with_the_usual_port() -> None:
    assert found(ENDPOINT) is True
    assert found(ENDPOINT.lower() + ":443/") is True
    assert found("https://A0DCCD80A04F01705DD065655C30CC3D.yl4.us-east-1.eks.amazonaws.com:8443") is None


def test_the_endpoint_of_another_cluster_is_refused_whatever_the_machines_say() -> None:
    assert found(OTHER, interface("i-1", CLUSTER)) is False
    assert found("https://x.eks-cluster.us-east-1.api.aws") is False


def test_through_a_tunnel_the_certificate_authority_proves_it() -> None:
    assert found(TUNNEL, authority=OWN_AUTHORITY) is True
    assert found(TUNNEL, authority=OTHER_AUTHORITY) is None, "a proxy may end the connection"


def test_through_a_proxy_the_nodes_interfaces_prove_it() -> None:
    assert found(TUNNEL, interface("i-1", CLUSTER)) is True
    assert found(TUNNEL, interface("i-1", CLUSTER), of=DENIED) is True


def test_two_clusters_in_one_vpc_are_told_apart_by_the_nodes_interfaces() -> None:
    both = (interface("i-1", "prod-use2"), interface("i-2", "prod-use2"), interface("i-9", CLUSTER))
    assert found(TUNNEL, *both) is False
    seen = eks_identity(CLUSTER, DENIED, server(TUNNEL), NODES, both)
    assert seen.because == (
        "the interfaces of its nodes carry the name prod-use2, and those of other machines in the VPC the name "
        "prod-use1"
    )


def test_a_cni_that_was_given_a_wrong_name_proves_nothing() -> None:
    assert found(TUNNEL, interface("i-1", "copied-from-elsewhere")) is None


def test_a_name_with_the_dot_of_dnss_root_is_the_same_name() -> None:
    name = ENDPOINT.removeprefix("https://")
    assert found(f"{ENDPOINT}.:443") is True
    assert found(f"{OTHER}.:443") is False
    kept: dict[str, Any] = {"host": "https://127.0.0.1:8443", "ssl_ca_cert": None, "verify_ssl": True}
    assert server_of(SimpleNamespace(**kept, tls_server_name=f"{name}.")).host == name.lower()


def test_the_same_cluster_at_its_other_domain_is_no_other_cluster() -> None:
    own = ENDPOINT.removeprefix("https://").partition(".")[0]
    other_domain = f"https://{own}.us-east-1.api.aws"
    assert found(other_domain) is None
    assert found(other_domain, authority=OWN_AUTHORITY) is True


def test_a_bundle_of_the_authorities_of_many_clusters_proves_none_of_them() -> None:
    assert found(TUNNEL, authority=OWN_AUTHORITY + OTHER_AUTHORITY) is None
    rotated = described(authority=OWN_AUTHORITY + OTHER_AUTHORITY)
    assert found(TUNNEL, authority=OWN_AUTHORITY, of=rotated) is True, "an old kubeconfig while it is rotated"


def test_interfaces_left_over_under_the_right_name_do_not_make_a_wrong_name_another_cluster() -> None:
    """A CNI got another cluster's manifest: what it marks now tells a wrong name, what it left behind the right one."""
    left = Interface(interface_id="eni-left", subnet_id="subnet-1", status="available", cluster=CLUSTER)
    assert found(TUNNEL, interface("i-1", "copied"), interface("i-2", "copied"), left) is None


def test_nodes_of_two_clusters_under_one_copied_name_prove_nothing() -> None:
    seen = (interface("i-1", CLUSTER), interface("i-8", CLUSTER), interface("i-9", CLUSTER))
    assert found(TUNNEL, *seen) is None
    assert found(TUNNEL, interface("i-1", CLUSTER), interface("i-2", CLUSTER), interface("i-9", CLUSTER)) is True
    identity = eks_identity(CLUSTER, DENIED, server(TUNNEL), NODES, seen)
    assert identity.because.endswith("carry the name prod-use1, as do those of as many other machines")


def test_what_was_not_read_proves_nothing() -> None:
    unread = eks_identity(CLUSTER, DENIED, server(TUNNEL), DENIED, DENIED)
    assert unread.same is None
    assert unread.because == "DescribeCluster was not read, and no interface of its nodes names a cluster"
    assert found(TUNNEL, interface("i-9", CLUSTER)) is None, "an interface of no node of the context"
    assert found(TUNNEL, of=described(endpoint="", authority="")) is None
    assert authority_of("no base64!") == frozenset()


def test_a_server_is_what_the_connection_is_verified_to_be(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(f"a comment\n{OWN_AUTHORITY}", encoding="ascii")
    kept: dict[str, Any] = {"host": "https://127.0.0.1:8443", "ssl_ca_cert": str(file)}
    verified = server_of(SimpleNamespace(**kept, verify_ssl=True, tls_server_name=None))
    assert verified == Server(host="127.0.0.1:8443", authority=authority_of(in_base64(OWN_AUTHORITY)))
    named = server_of(SimpleNamespace(**kept, verify_ssl=True, tls_server_name="X.eks.amazonaws.com"))
    assert named.host == "x.eks.amazonaws.com"
    unverified = server_of(SimpleNamespace(**kept, verify_ssl=False, tls_server_name="X.eks.amazonaws.com"))
    assert unverified == Server(host="127.0.0.1:8443"), "who does not verify is told nothing by a certificate"
    gone = server_of(SimpleNamespace(host="https://x", ssl_ca_cert=str(tmp_path / "none"), verify_ssl=True))
    assert gone == Server(host="x")


def test_another_cluster_is_refused_with_value_conflict_and_next_step() -> None:
    identity = eks_identity(CLUSTER, described(), server(OTHER), NODES, ())
    with pytest.raises(ProblemsError) as refused:
        judged(identity, CLUSTER, KubeContext(name="bastion"), again=f"aws eks update-kubeconfig --name {CLUSTER}")
    (problem,) = refused.value.problems
    assert problem.message == (
        "--context: the context bastion belongs to another cluster than prod-use1: its server is "
        f"{OTHER.removeprefix('https://').lower()}, and prod-use1 is at {ENDPOINT.removeprefix('https://').lower()}. "
        "Give the context of prod-use1 by --context, or make one: `aws eks update-kubeconfig --name prod-use1`."
    )
    assert problem.rule == "one-cluster"


# AKS.

FQDN = "aks-prod-1a2b3c4d.hcp.eastus2.azmk8s.io"
SUBSCRIPTION = "3c1f0a52-9b7e-4c33-8f63-2a6f8f3a7b10"


def machine(group: str = "mc_rg_aks-prod_eastus2", subscription: str = SUBSCRIPTION) -> str:
    return (
        f"azure:///subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/"
        "virtualMachineScaleSets/aks-default-12345678-vmss/virtualMachines/0"
    )


def found_aks(
    url: str, *machines: str, hosts: tuple[str, ...] = (FQDN,), group: str | None = "MC_rg_aks-prod_eastus2"
) -> bool | None:
    return aks_identity(
        "aks-prod", hosts=hosts, subscription=SUBSCRIPTION, node_group=group, server=server(url), provider_ids=machines
    ).same


def test_an_aks_cluster_is_proven_by_its_address_public_or_private() -> None:
    private = "aks-prod.0f0f.privatelink.eastus2.azmk8s.io"
    assert found_aks(f"https://{FQDN}:443") is True
    assert found_aks(f"https://{private}:443", hosts=(FQDN, private)) is True
    assert found_aks("https://aks-other-5e6f.hcp.eastus2.azmk8s.io:443", machine()) is False


def test_behind_a_tunnel_an_aks_cluster_is_proven_by_its_machines() -> None:
    assert found_aks(TUNNEL, machine()) is True, "Azure writes the group in lower case"
    assert found_aks(TUNNEL, machine(group="mc_rg_aks-other_eastus2")) is False
    assert found_aks(TUNNEL, machine(subscription="00000000-0000-0000-0000-000000000000")) is False
    assert found_aks(TUNNEL) is None
    assert found_aks(TUNNEL, machine(), group=None) is None
    assert found_aks(TUNNEL, "kind://docker/kind/kind-control-plane") is None


# Read.

Read = Callable[..., Snapshot]


def identity_of(snapshot: Snapshot) -> Source:
    return next(each for each in snapshot.sources if each.name == SOURCE)


def test_a_context_that_is_not_proven_is_read_and_said(read: Read) -> None:
    source = identity_of(read())
    assert source.outcome.startswith("not proven that the context is the cluster's: the server is neither at")
    assert source.items == 0


@pytest.fixture
def named(aws: World) -> Iterator[Callable[..., None]]:
    """Writes clusters' names on the secondary interfaces of the nodes, as the CNI does."""
    ec2 = aws.client("ec2")
    interfaces = [each["interfaces"][1]["networkInterfaceId"] for each in aws.instances]

    def write(*names: str) -> None:
        for interface, name in zip(interfaces, names, strict=True):
            ec2.create_tags(Resources=[interface], Tags=[{"Key": CLUSTER_TAG, "Value": name}])

    yield write
    ec2.delete_tags(Resources=interfaces, Tags=[{"Key": CLUSTER_TAG}])


def test_facts_of_two_clusters_in_one_vpc_are_not_mixed(
    read: Read, named: Callable[..., None], cluster: ApiServerStub
) -> None:
    """All nodes are instances of the VPC, and their interfaces tell that the context is the other cluster's."""
    named("prod-use2", CLUSTER)
    del cluster.lists["/api/v1/nodes"][1:]
    with pytest.raises(ProblemsError) as refused:
        read()
    (problem,) = refused.value.problems
    assert problem.rule == "one-cluster"
    assert "carry the name prod-use2, and those of other machines in the VPC the name prod-use1" in problem.reason


def test_interfaces_of_its_nodes_prove_a_context_behind_a_tunnel(read: Read, named: Callable[..., None]) -> None:
    named(CLUSTER, CLUSTER)
    assert identity_of(read()) == Source(name=SOURCE, items=1)


def test_a_cluster_that_tells_the_contexts_server_is_proven(
    read: Read, aws: World, api: ApiServerStub, cluster: ApiServerStub
) -> None:
    aws.endpoint.serve_clusters_at(api.url, OWN_AUTHORITY.encode())
    eks = aws.client("eks")
    eks.create_cluster(
        name="prod-use9",
        version="1.33",
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(aws.subnets.values())},
    )
    try:
        told = eks.describe_cluster(name="prod-use9")["cluster"]
        assert told["endpoint"] == api.url
        assert authority_of(told["certificateAuthority"]["data"]) == authority_of(in_base64(OWN_AUTHORITY))
        assert identity_of(read(name="prod-use9")) == Source(name=SOURCE, items=1)
        for number, node in enumerate(cluster.lists["/api/v1/nodes"]):
            node["spec"]["providerID"] = f"aws:///us-east-1a/i-of-another-account-{number}"
        assert identity_of(read(name="prod-use9")).items == 1, "what is proven is not doubted for its machines"
        with pytest.raises(ProblemsError, match="none of its 2 nodes is an instance in"):
            read()
    finally:
        eks.delete_cluster(name="prod-use9")
