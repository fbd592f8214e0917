"""`headroom calc subnet`."""

from fractions import Fraction
from typing import Final

import click

from headroom.addresses.azure import AZURE_RESERVED_ADDRESSES
from headroom.addresses.blocks import AWS_RESERVED_ADDRESSES
from headroom.addresses.problems import Problem
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.overlay import DEFAULT_SURGE, MAX_PODS_RANGE
from headroom.capacity.settings import CniSettings
from headroom.capacity.subnet import (
    EDGE_ADDRESSES,
    SubnetSize,
    aks_flat_subnet_size,
    aks_node_subnet_size,
    eks_subnet_size,
    nodes_with_growth,
)
from headroom.cli.calc.answer import FINDING, Answer, Term, answers, counted
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc subnet --nodes 30 --pods-per-node 100 --instance-type m5.8xlarge
headroom calc subnet --aks-flat --nodes 50 --pods-per-node 30 --growth 20

The smallest subnet that holds the nodes of a zone, their pods and their warm addresses, grown by so many percent and
with the nodes of a rolling upgrade. Exit code 1 if no single subnet is large enough.
"""

VNET_ADDRESSES: Final = 65_536
"""Addresses that can be configured in a VNet (AKS documentation, concepts-network-ip-address-planning)."""

_PLANNING: Final = "AKS documentation, concepts-network-ip-address-planning"


@click.command(help=HELP)
@click.option("--nodes", metavar="N", help="Nodes of the zone (on AKS: of the subnet).")
@click.option("--pods-per-node", metavar="P", help="Pods on the pod network of each (with --aks-flat: maxPods).")
@click.option("--instance-type", metavar="T", help="Instance type, such as m5.8xlarge.")
@click.option("--limits", metavar="ENIS,IPV4", help="Instead: network interfaces, and IPv4 addresses on each.")
@click.option("--surge", metavar="S", help="Nodes more in an upgrade, or percent (default 0; on AKS 10%).")
@click.option("--growth", metavar="PERCENT", default="0", help="By how much the nodes may grow.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting of aws-node.")
@click.option("--max-pods", "max_pods_text", metavar="M", help="The nodes' maxPods; the advised one by default.")
@click.option("--aks-node-subnet", is_flag=True, help="AKS: nodes only; pods are in an overlay.")
@click.option("--aks-flat", is_flag=True, help="AKS: nodes and their pods, in a flat network.")
@click.option("--load-balancers", metavar="L", default="0", help="AKS: front ends of internal load balancers.")
@answers
def command(  # noqa: PLR0913 - the options
    *,
    nodes: str | None,
    pods_per_node: str | None,
    instance_type: str | None,
    limits: str | None,
    surge: str | None,
    growth: str,
    pairs: tuple[str, ...],
    max_pods_text: str | None,
    aks_node_subnet: bool,
    aks_flat: bool,
    load_balancers: str,
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    azure = aks_node_subnet or aks_flat
    if aks_node_subnet and aks_flat:
        reader.problem("aks-mode", "--aks-node-subnet", "stands beside --aks-flat.", "Give one of them.")
    found, settings = None, CniSettings()
    if azure:
        _refuse_eks_options(reader, instance_type=instance_type, limits=limits, pairs=pairs, max_pods=max_pods_text)
    else:
        found = reader.limits(instance_type, limits)
        settings, _ = reader.settings(pairs, nitro=found is None or found.supports_prefixes)
    node_count = _needed(reader, nodes, "--nodes", "Write how many nodes draw from the subnet.")
    pods = 0
    if aks_flat or not azure:
        pods = _needed(reader, pods_per_node, "--pods-per-node", "Write how many pods each node runs.")
        if aks_flat and pods_per_node is not None and pods not in MAX_PODS_RANGE:
            step = f"Write a number from {MAX_PODS_RANGE[0]} to {MAX_PODS_RANGE[-1]}."
            reader.problem("max-pods-range", pods_per_node, "is no maxPods of AKS.", step, "--pods-per-node")
    percent = reader.percent(growth, "--growth")
    surge_nodes = reader.surge(surge or (DEFAULT_SURGE if azure else "0"), "--surge").of(
        nodes_with_growth(node_count, percent)
    )
    front_ends = reader.count(load_balancers, "--load-balancers")
    node_max_pods = None if max_pods_text is None else reader.count(max_pods_text, "--max-pods")
    reader.done("calc subnet")
    if aks_flat:
        size = aks_flat_subnet_size(
            nodes=node_count,
            max_pods=pods,
            surge=surge_nodes,
            growth_percent=percent,
            load_balancer_addresses=front_ends,
        )
    elif aks_node_subnet:
        size = aks_node_subnet_size(
            nodes=node_count, surge=surge_nodes, growth_percent=percent, load_balancer_addresses=front_ends
        )
    else:
        if found is None:  # done() has raised
            raise AssertionError(instance_type)
        if node_max_pods is None:
            node_max_pods = reader.assumed_max_pods(found, settings)
        size = eks_subnet_size(
            found,
            settings,
            nodes=node_count,
            pods_per_node=pods,
            surge=surge_nodes,
            growth_percent=percent,
            node_max_pods=node_max_pods,
        )
    reader.warnings.extend(_warnings(size, pods, aks_flat=aks_flat, no_surge=surge_nodes == 0 and node_count > 0))
    return _answer(reader, size, _terms(size, node_count, percent, surge_nodes, front_ends, found, azure=azure))


def _needed(reader: Reader, text: str | None, option: str, what: str) -> int:
    if text is None:
        reader.missing(option, what)
        return 0
    return reader.count(text, option)


def _refuse_eks_options(
    reader: Reader, *, instance_type: str | None, limits: str | None, pairs: tuple[str, ...], max_pods: str | None
) -> None:
    for option, given in (
        ("--instance-type", instance_type),
        ("--limits", limits),
        ("--set", pairs or None),
        ("--max-pods", max_pods),
    ):
        if given is not None:
            step = "Leave it out: on AKS the mode decides."
            reader.problem("aks-option", option, "says nothing about a subnet of AKS.", step)


def _warnings(size: SubnetSize, pods: int, *, aks_flat: bool, no_surge: bool) -> list[Problem]:
    warnings = []
    if size.limited_pods is not None:
        warnings.append(
            Problem(
                rule="pods-above-max-pods",
                value=f"{pods:,} pods",
                reason=f"do not fit on a node, which can have addresses for {size.limited_pods}; it was reckoned with "
                "those.",
                next_step="Plan more nodes, raise maxPods, or use prefixes.",
            )
        )
    if no_surge:
        warnings.append(
            Problem(
                rule="no-surge",
                value="--surge 0",
                reason="leaves no room for the nodes that a rolling upgrade adds before it takes others away: "
                f"{counted(size.addresses_per_node, 'address', 'addresses')} each.",
                next_step="Give --surge.",
                source="EKS user guide, managed-node-update-behavior",
            )
        )
    if aks_flat and size.addresses > VNET_ADDRESSES:
        warnings.append(
            Problem(
                rule="vnet-addresses",
                value=f"{size.addresses:,} addresses",
                reason=f"are more than the {VNET_ADDRESSES:,} that can be configured in a VNet.",
                next_step="Use Azure CNI Overlay, whose pods take none.",
                source=_PLANNING,
            )
        )
    return warnings


def _answer(reader: Reader, size: SubnetSize, terms: list[Term]) -> Answer:
    data = {
        "addresses": size.addresses,
        "prefixLength": size.prefix_length,
        "usable": size.usable,
        "headroom": size.headroom,
    }
    problems = []
    if size.subnets > 1:
        data |= {"subnets": size.subnets}
        problems.append(
            Problem(
                rule="subnet-too-large",
                value=f"{size.addresses:,} addresses",
                reason=f"do not fit into one subnet: a /{size.prefix_length} has {size.usable:,}.",
                next_step=f"Take {size.subnets:,} of them.",
            )
        )
    facts = [
        ("nodes", f"{size.nodes:,}, growth and surge included"),
        ("addresses a node", f"{size.addresses_per_node:,}"),
        ("addresses", f"{size.addresses:,}"),
        ("subnet", f"/{size.prefix_length}, {size.usable:,} usable"),
        ("headroom", f"{size.headroom:,} of {size.subnets * size.usable:,}"),
    ]
    if size.free28:
        facts.append(("free /28s needed", f"{size.free28:,}"))
    return Answer(
        data=data,
        facts=facts,
        problems=problems,
        warnings=reader.warnings,
        terms=terms,
        next_step="headroom calc free --help    where such a subnet fits",
        exit_code=FINDING if problems else 0,
    )


def _terms(  # noqa: PLR0913, PLR0917 - the terms of the sum
    size: SubnetSize,
    nodes: int,
    growth: Fraction,
    surge: int,
    front_ends: int,
    limits: InstanceLimits | None,
    *,
    azure: bool,
) -> list[Term]:
    reserved = AZURE_RESERVED_ADDRESSES if azure else AWS_RESERVED_ADDRESSES
    terms = [
        Term("nodes", f"ceil({nodes:,} x {100 + float(growth):g} %) + surge {surge:,} = {size.nodes:,}"),
        Term(
            "addresses a node",
            f"{size.addresses_per_node:,}"
            + ("" if azure or limits is None else " (headroom calc node shows what they are)"),
            _PLANNING if azure else "amazon-vpc-cni-k8s v1.23.0, pkg/ipamd/ipamd.go",
        ),
        Term(
            "addresses",
            f"{size.nodes:,} x {size.addresses_per_node:,}"
            + (f" + {front_ends:,} load balancers" if front_ends else "")
            + f" = {size.addresses:,}",
        ),
        Term(
            "usable",
            f"2^(32-{size.prefix_length}) - {reserved} = {size.usable:,}: the cloud keeps {reserved} of every subnet",
            "Azure VNet FAQ" if azure else "VPC user guide, subnet-sizing",
        ),
    ]
    if size.free28:
        terms.append(
            Term(
                "free /28s",
                f"{size.free28:,} whole aligned /28s for prefixes; the first and the last /28 never become one and "
                f"have room for {EDGE_ADDRESSES} interfaces' own addresses, further ones break a /28 each "
                "16 of them",
                "EC2 user guide, ec2-prefix-eni; amazon-vpc-cni-k8s #2749, #3087",
            )
        )
    return terms
