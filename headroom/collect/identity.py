"""Whether a kubeconfig's context is the cluster that the cloud describes, by evidence and not by names.

Three outcomes: proven, proven to be another cluster, or not proven, which is said and stops nobody. What proves it,
the strongest first: the API server's own address; its certificate authority, which EKS makes for each cluster; the
cluster that the nodes' machines belong to. Behind a bastion, a tunnel or a proxy the address differs and the machines
tell.
"""

import base64
import binascii
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.session import SUBJECT, KubeContext
from headroom.facts.aws import Interface
from headroom.facts.kubernetes import Node
from headroom.facts.snapshot import Source
from headroom.facts.values import Fact, Unknown, items

if TYPE_CHECKING:
    from headroom.collect.aws import EksCluster

SOURCE: Final = "identity"
"""Name of the reading that tells how the context was proven, or that it was not."""

_EKS_SUFFIXES: Final = (
    ".eks.amazonaws.com",
    ".api.aws",
    ".eks.amazonaws.com.cn",
    ".api.amazonwebservices.com.cn",
)
"""Ends of the addresses of EKS's API servers: each cluster has one of its own (EKS user guide, cluster-endpoint)."""
_AKS_SUFFIX: Final = ".azmk8s.io"
"""The same of AKS (AKS documentation, outbound-rules-control-egress; private-clusters)."""
_VM_OF_AZURE: Final = re.compile(
    r"azure:///subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/Microsoft\.Compute/",
    re.IGNORECASE,
)
"""spec.providerID of a node that is a VM of Azure (cloud-provider-azure, azure_utils.go)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The API server as a context names it.

    Attributes:
        host: Host and port, in lower case; with `tls-server-name`, that name: the server proved to be it.
        authority: The certificate authorities that the connection was verified against, as DER; empty: against
            others than the context's own, or against none.
    """

    host: str
    authority: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the evidence came to.

    Attributes:
        same: Whether it is one cluster; ``None``: not proven.
        because: Why; it may name clusters, servers and resource groups.
    """

    same: bool | None
    because: str


def server_of(configuration: Any) -> Server:
    """How a configuration of the official client reaches its API server, and what it was verified against."""
    host = _host(str(configuration.host))
    if not configuration.verify_ssl:
        return Server(host=host)
    named = str(getattr(configuration, "tls_server_name", None) or "").lower().rstrip(".")
    try:
        pem = Path(configuration.ssl_ca_cert).read_text(encoding="ascii") if configuration.ssl_ca_cert else ""
    except (OSError, UnicodeDecodeError):
        pem = ""
    return Server(host=named or host, authority=_certificates(pem))


def _host(url: str) -> str:
    """Host and port of an address, the usual port left out; empty for what is no address."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="https")
        port = parts.port
    except ValueError:
        return ""
    usual = port is None or (parts.scheme, port) in (("https", 443), ("http", 80))
    # A name may end with the dot of DNS's root.
    name = (parts.hostname or "").rstrip(".")
    return name if usual or not name else f"{name}:{port}"


def _certificates(pem: str) -> frozenset[bytes]:
    """The certificates of a PEM text, as DER: the text around them means nothing."""
    found = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    try:
        return frozenset(ssl.PEM_cert_to_DER_cert(each) for each in found)
    except ValueError:
        return frozenset()


def authority_of(data: str) -> frozenset[bytes]:
    """The certificate authority that DescribeCluster answers (certificateAuthority.data, base64 of PEM)."""
    try:
        return _certificates(base64.b64decode(data, validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        return frozenset()


def eks_identity(
    cluster: str,
    described: "EksCluster | Unknown",
    server: Server,
    nodes: Fact[tuple[Node, ...]],
    interfaces: Fact[tuple[Interface, ...]],
) -> Identity:
    """Whether the context is the EKS cluster.

    Args:
        cluster: The cluster's name.
        described: What DescribeCluster says.
        server: The API server.
        nodes: The context's nodes, as they were read.
        interfaces: The VPC's interfaces, as they were read.
    """
    endpoint = "" if isinstance(described, Unknown) else _host(described.endpoint)
    if endpoint:
        if server.host == endpoint:
            return Identity(same=True, because="the context's server is the cluster's endpoint")
        # A cluster may answer at two domains, under the name that EKS made for it alone.
        differs = server.host.partition(".")[0] != endpoint.partition(".")[0]
        if differs and all(host.endswith(_EKS_SUFFIXES) for host in (server.host, endpoint)):
            return Identity(same=False, because=f"its server is {server.host}, and {cluster} is at {endpoint}")
    authority = frozenset() if isinstance(described, Unknown) else authority_of(described.authority)
    # Verified against a bundle of several clusters' authorities, it may be any of them.
    if server.authority and server.authority <= authority:
        return Identity(same=True, because="the server is verified by the cluster's own certificate authority")
    found = _of_instances(cluster, items(nodes), items(interfaces))
    if found.same is not None:
        return found
    said = "the server is neither at the cluster's endpoint nor verified by its certificate authority"
    said = "DescribeCluster was not read" if isinstance(described, Unknown) else said
    return replace(found, because=f"{said}, and {found.because}")


def _of_instances(cluster: str, nodes: Iterable[Node], interfaces: Iterable[Interface]) -> Identity:
    """By the tag with which the CNI marks its interfaces: `cluster.k8s.amazonaws.com/name`."""
    instances = {each.instance_id for each in nodes if isinstance(each.instance_id, str)}
    # An interface that hangs on no machine may have been left over under a name that nobody uses any more.
    tagged = {
        (each.cluster, each.instance_id)
        for each in interfaces
        if isinstance(each.cluster, str) and isinstance(each.instance_id, str)
    }
    named = {name for name, instance in tagged if instance in instances}
    others = {instance for name, instance in tagged if name == cluster and instance not in instances}
    own = {instance for name, instance in tagged if name == cluster and instance in instances}
    if len(own) > len(others):
        return Identity(same=True, because="interfaces of its nodes carry the cluster's name")
    told = f"the interfaces of its nodes carry the name {listed(sorted(named))}" if named else ""
    if own:
        # A manifest that was copied with its CLUSTER_NAME: the nodes of two clusters carry one name.
        told += ", as do those of as many other machines"
    # A CNI that was given a wrong CLUSTER_NAME marks all interfaces so; then none carries the cluster's own.
    elif named and others:
        return Identity(same=False, because=f"{told}, and those of other machines in the VPC the name {cluster}")
    return Identity(same=None, because=told or "no interface of its nodes names a cluster")


def aks_identity(  # noqa: PLR0913 - the evidence, by keyword
    cluster: str,
    *,
    hosts: Iterable[str],
    subscription: str,
    node_group: str | None,
    server: Server,
    provider_ids: Iterable[str],
) -> Identity:
    """Whether the context is the AKS cluster.

    Args:
        cluster: The cluster's name.
        hosts: fqdn, privateFQDN and azurePortalFQDN of the cluster.
        subscription: Its subscription.
        node_group: Its node resource group; ``None``: not known.
        server: The API server.
        provider_ids: spec.providerID of some of the context's nodes.
    """
    told = {host.lower() for host in hosts}
    if told:
        if server.host in told:
            return Identity(same=True, because="the context's server is the cluster's")
        if all(host.endswith(_AKS_SUFFIX) for host in (server.host, *told)):
            return Identity(
                same=False, because=f"its server is {server.host}, and {cluster} is at {', '.join(sorted(told))}"
            )
    homes = {
        (found["subscription"].lower(), found["group"].lower())
        for each in provider_ids
        if (found := _VM_OF_AZURE.match(each)) is not None
    }
    own = (subscription.lower(), (node_group or "").lower())
    if node_group and homes:
        if own in homes:
            return Identity(same=True, because="its nodes are in the cluster's node resource group")
        others = ", ".join(sorted(group for _, group in homes))
        return Identity(
            same=False, because=f"its nodes are in the resource group {others}, and those of {cluster} in {node_group}"
        )
    return Identity(
        same=None, because="the server is not at the cluster's address, and no node tells its resource group"
    )


def judged(identity: Identity, cluster: str, context: KubeContext, *, again: str, calls: int = 0) -> Source:
    """What came of it, as a reading.

    Args:
        identity: The evidence.
        cluster: The cluster's name.
        context: The context.
        again: The command that makes the right context.
        calls: Requests that the evidence took beside the other readings.

    Raises:
        ProblemsError: It is proven to be another cluster's.
    """
    if identity.same is False:
        problem = Problem(
            rule="one-cluster",
            value=f"the context {context.name}" if context.name else "this cluster",
            reason=f"belongs to another cluster than {cluster}: {identity.because}.",
            next_step=f"Give the context of {cluster} by --context, or make one: `{again}`.",
            key="--context",
        )
        raise ProblemsError([problem], subject=SUBJECT)
    outcome = "" if identity.same else f"not proven that the context is the cluster's: {identity.because}"
    return Source(name=SOURCE, outcome=outcome, items=int(identity.same is True), calls=calls)
