"""`headroom calc overlay`."""

import click

from headroom.addresses.azure import AksRanges, node_blocks
from headroom.addresses.problems import ProblemsError
from headroom.capacity.overlay import (
    HOST_LOCAL_ADDRESSES,
    KUBENET_MAXIMUM_NODES,
    OVERLAY_MAXIMUM_NODES,
    OVERLAY_MAXIMUM_PODS,
    AksPool,
    ClusterCapacity,
    NetworkMode,
    cluster_capacity,
)
from headroom.cli.calc.answer import FINDING, Answer, Table, Term, answers, problem_data
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc overlay --pod-cidr 10.244.0.0/16 --pool apps:10:200:10%:250
headroom calc overlay --pod-cidr 100.64.0.0/16 --pool apps:50 --vnet 10.0.0.0/16

Whether the ranges of an AKS cluster hold its pools at their largest: every node takes a /24 of the pod range. A pool
is NAME:COUNT:MAX:SURGE:MAXPODS; MAX (autoscaler), SURGE (nodes or percent, 10%) and MAXPODS (250) may be empty. Exit
code 1 if something is refused.
"""


@click.command(help=HELP)
@click.option("--pod-cidr", metavar="CIDR", help="The pod range.")
@click.option("--pool", "pools", multiple=True, metavar="POOL", help="NAME:COUNT:MAX:SURGE:MAXPODS.")
@click.option("--node-subnet", metavar="CIDR", help="The subnet of the nodes.")
@click.option("--service-cidr", metavar="CIDR", help="The service range.")
@click.option("--dns-service-ip", metavar="ADDRESS", help="The address of the cluster's DNS service.")
@click.option("--vnet", "vnets", multiple=True, metavar="CIDR", help="Address space of the VNet.")
@click.option("--peer", "peers", multiple=True, metavar="CIDR", help="A peered VNet, or a network on premises.")
@click.option("--load-balancers", metavar="L", default="0", help="Front ends of internal load balancers.")
@click.option("--kubenet", is_flag=True, help="The cluster is on kubenet: 400 routes, 253 pods a node.")
@answers
def command(  # noqa: PLR0913 - the options
    *,
    pod_cidr: str | None,
    pools: tuple[str, ...],
    node_subnet: str | None,
    service_cidr: str | None,
    dns_service_ip: str | None,
    vnets: tuple[str, ...],
    peers: tuple[str, ...],
    load_balancers: str,
    kubenet: bool,
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    if pod_cidr is None:
        reader.missing("--pod-cidr", "Write the pod range, such as 10.244.0.0/16.")
    if not pools:
        reader.missing("--pool", "Write each node pool as NAME:COUNT:MAX:SURGE:MAXPODS.")
    pods = None if pod_cidr is None else reader.block(pod_cidr, "--pod-cidr")
    subnet = None if node_subnet is None else reader.block(node_subnet, "--node-subnet")
    service = None if service_cidr is None else reader.block(service_cidr, "--service-cidr")
    address = None if dns_service_ip is None else reader.address(dns_service_ip, "--dns-service-ip")
    spaces, networks = reader.blocks(vnets, "--vnet"), reader.blocks(peers, "--peer")
    front_ends = reader.count(load_balancers, "--load-balancers")
    read = []
    for text in pools:
        try:
            read.append(AksPool.parse(text, key="--pool"))
        except ProblemsError as error:
            reader.tell(error)
    reader.done("calc overlay")
    if pods is None:  # done() has raised
        raise AssertionError(pod_cidr)
    mode: NetworkMode = "kubenet" if kubenet else "overlay"
    found = cluster_capacity(
        AksRanges(
            pod_cidr=pods,
            node_subnet=subnet,
            service_cidr=service,
            dns_service_ip=address,
            vnets=tuple(spaces),
            peers=tuple(networks),
        ),
        read,
        mode=mode,
        load_balancer_addresses=front_ends,
    )
    return Answer(
        data={
            "nodes": found.nodes,
            "capacity": found.capacity,
            "podsCapacity": found.pods_capacity,
            "problems": problem_data(found.problems),
            "warnings": problem_data(found.warnings),
        },
        facts=_facts(found),
        tables=[
            Table(
                ("pool", "nodes", "at most", "with surge", "maxPods"),
                [
                    (pool.name, pool.count, pool.most, pool.most_with_surge, pool.max_pods or "default")
                    for pool in sorted(read, key=lambda pool: pool.name)
                ],
            )
        ],
        problems=found.problems,
        warnings=found.warnings,
        terms=_terms(found, read, mode),
        next_step=f"it can grow in place up to {found.growth[-1]}" if found.growth else "",
        exit_code=FINDING if found.problems else 0,
    )


def _facts(found: ClusterCapacity) -> list[tuple[str, str]]:
    subnet = "not given"
    if found.node_subnet_usable is not None:
        subnet = f"{found.node_addresses:,} of {found.node_subnet_usable:,} addresses"
    return [
        ("nodes", f"{found.nodes:,} of {found.capacity:,}, surge included"),
        ("pods", f"{min(found.pods_capacity, OVERLAY_MAXIMUM_PODS):,} at most"),
        ("node subnet", subnet),
        ("can grow into", ", ".join(f"{block} ({node_blocks(block):,} nodes)" for block in found.growth) or "nothing"),
    ]


def _terms(found: ClusterCapacity, pools: list[AksPool], mode: NetworkMode) -> list[Term]:
    overlay = mode == "overlay"
    limit = OVERLAY_MAXIMUM_NODES if overlay else KUBENET_MAXIMUM_NODES
    page = (
        "AKS documentation, concepts-network-azure-cni-overlay" if overlay else "AKS documentation, configure-kubenet"
    )
    each = " + ".join(f"{pool.name} {pool.most:,} + {pool.surge.of(pool.most):,}" for pool in pools)
    terms = [
        Term(
            "nodes",
            f"{each} = {found.nodes:,}: autoscaler maximum, or count, and surge",
            "Azure/AKS CHANGELOG, 2023-05-07",
        ),
        Term("capacity", f"min({found.blocks:,} /24s of the pod range, {limit:,}) = {found.capacity:,}", page),
        Term(
            "podsCapacity",
            f"nodes without surge x maxPods = {found.pods_capacity:,}",
            "AKS documentation, concepts-network-ip-address-planning",
        ),
    ]
    if not overlay:
        terms.append(
            Term("host-local", f"{HOST_LOCAL_ADDRESSES} addresses a node", "containernetworking/plugins, host-local")
        )
    return terms
