"""What an EC2 instance type can carry: network interfaces, addresses on each, and pods.

The table is generated data (see ``data/``): interfaces and addresses as the VPC CNI may use them, which for a
type with several network cards is the default card only (aws/amazon-vpc-cni-k8s,
``pkg/vpc/vpc_ip_resource_limit.go``). ``python -m headroom.collect.instance_types`` refreshes it.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.ec2 import PREFIX_ADDRESSES

Hypervisor = Literal["nitro", "xen", "unknown"]

# Pods on the host network that every node runs (aws-node and kube-proxy) and that need no pod address
# (awslabs/amazon-eks-ami, max-pods-calculator.sh).
HOST_NETWORK_PODS = 2
# Advised ceilings under prefix delegation; managed node groups apply them in every mode
# (awslabs/amazon-eks-ami, max-pods-calculator.sh; EKS user guide, cni-increase-ip-addresses).
SMALL_INSTANCE_VCPUS = 30
SMALL_INSTANCE_MAX_PODS = 110
LARGE_INSTANCE_MAX_PODS = 250

_TABLE = "ec2_instance_limits.csv"
_COLUMNS = ("instance_type", "enis", "ipv4_per_eni", "network_cards", "hypervisor", "bare_metal", "vcpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLimits:
    """Limits of one instance type.

    Attributes:
        instance_type: Its name, or empty for limits given as numbers.
        enis: Network interfaces that the VPC CNI may use.
        ipv4_per_eni: IPv4 addresses of one interface, its own included.
        network_cards: Network cards; the two numbers above are those of the default card.
        hypervisor: ``nitro``, ``xen`` or ``unknown``.
        bare_metal: Whether it is a bare-metal type.
        vcpus: Virtual CPUs, or ``None`` where the catalogue does not say.
    """

    instance_type: str = ""
    enis: int
    ipv4_per_eni: int
    network_cards: int = 1
    hypervisor: Hypervisor = "nitro"
    bare_metal: bool = False
    vcpus: int | None = None

    @property
    def secondary_per_eni(self) -> int:
        """Addresses or prefixes that pods can have from one interface: all but its own address."""
        return self.ipv4_per_eni - 1

    @property
    def supports_prefixes(self) -> bool:
        """Prefix delegation needs Nitro or bare metal (EKS user guide, cni-increase-ip-addresses)."""
        return self.hypervisor == "nitro" or self.bare_metal


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPods:
    """How many pods a node should be told that it can run.

    Attributes:
        value: The number to set as kubelet's ``maxPods``.
        uncapped: What the addresses alone would allow.
        cap: The ceiling that was applied.
        cap_known: False where the type's vCPUs are unknown, and the lower ceiling was taken for safety.
    """

    value: int
    uncapped: int
    cap: int
    cap_known: bool = True


def instance_limits(instance_type: str) -> InstanceLimits:
    """The limits of an instance type.

    Raises:
        ProblemsError: The type is not in the table; the nearest names are given.
    """
    known = _limits_by_type()
    if instance_type in known:
        return known[instance_type]
    near = get_close_matches(instance_type, known, n=3)
    raise ProblemsError(
        [
            Problem(
                rule="instance-type-known",
                value=repr(instance_type),
                reason="is not in the table of instance limits"
                + (f"; the nearest names are {', '.join(near)}." if near else "."),
                next_step="Give the right name, or the limits themselves (network interfaces and IPv4 addresses "
                "of each, as `aws ec2 describe-instance-types` shows them).",
                source="amazon-vpc-cni-k8s, pkg/vpc/vpc_ip_resource_limit.go",
            )
        ],
        subject="instance type",
    )


def limits_of_description(description: Mapping[str, Any]) -> InstanceLimits:
    """The limits of a type as EC2's DescribeInstanceTypes describes it, for a type that is not in the table.

    Of a type with several network cards only the default card counts, as for the VPC CNI.

    Raises:
        KeyError: The description lacks what it always has.
    """
    network = description["NetworkInfo"]
    cards = network.get("NetworkCards") or [{"NetworkCardIndex": 0, **network}]
    default = network.get("DefaultNetworkCardIndex", 0)
    card = next((each for each in cards if each.get("NetworkCardIndex", 0) == default), cards[0])
    return InstanceLimits(
        instance_type=description["InstanceType"],
        enis=card["MaximumNetworkInterfaces"],
        ipv4_per_eni=network["Ipv4AddressesPerInterface"],
        network_cards=len(cards),
        hypervisor=_hypervisor(description.get("Hypervisor", "unknown")),
        bare_metal=description.get("BareMetal", False),
        vcpus=description.get("VCpuInfo", {}).get("DefaultVCpus"),
    )


def table_of_limits(limits: Iterable[InstanceLimits]) -> str:
    """The table as text, in the form in which it is kept."""
    rows = [",".join(_COLUMNS)]
    rows.extend(
        f"{each.instance_type},{each.enis},{each.ipv4_per_eni},{each.network_cards},{each.hypervisor},"
        f"{str(each.bare_metal).lower()},{'' if each.vcpus is None else each.vcpus}"
        for each in sorted(limits, key=lambda each: each.instance_type)
    )
    return "\n".join(rows) + "\n"


def instance_types() -> tuple[str, ...]:
    """Every instance type of the table, in alphabetical order."""
    return tuple(_limits_by_type())


def max_pods(limits: InstanceLimits, *, prefix_delegation: bool = False, custom_networking: bool = False) -> MaxPods:
    """Max pods of a node: the addresses that it can have, and never more than the advised ceiling.

    Source: awslabs/amazon-eks-ami, max-pods-calculator.sh. Prefix delegation on a type that cannot have
    prefixes falls back to secondary addresses, as ipamd does.

    Args:
        limits: The instance type's limits.
        prefix_delegation: Whether /28 prefixes are used.
        custom_networking: Whether the primary interface carries no pods (custom networking, or a node
            subnet that is tagged ``kubernetes.io/role/cni=0``).
    """
    interfaces = limits.enis - 1 if custom_networking else limits.enis
    addresses = interfaces * limits.secondary_per_eni
    if prefix_delegation and limits.supports_prefixes:
        addresses *= PREFIX_ADDRESSES
    uncapped = addresses + HOST_NETWORK_PODS
    large = limits.vcpus is not None and limits.vcpus > SMALL_INSTANCE_VCPUS
    cap = LARGE_INSTANCE_MAX_PODS if large else SMALL_INSTANCE_MAX_PODS
    return MaxPods(value=min(uncapped, cap), uncapped=uncapped, cap=cap, cap_known=limits.vcpus is not None)


@cache
def _limits_by_type() -> dict[str, InstanceLimits]:
    text = (files("headroom.capacity") / "data" / _TABLE).read_text(encoding="utf-8")
    return {
        row["instance_type"]: InstanceLimits(
            instance_type=row["instance_type"],
            enis=int(row["enis"]),
            ipv4_per_eni=int(row["ipv4_per_eni"]),
            network_cards=int(row["network_cards"]),
            hypervisor=_hypervisor(row["hypervisor"]),
            bare_metal=row["bare_metal"] == "true",
            vcpus=int(row["vcpus"]) if row["vcpus"] else None,
        )
        for row in csv.DictReader(text.splitlines())
    }


def _hypervisor(name: str) -> Hypervisor:
    if name == "nitro":
        return "nitro"
    if name == "xen":
        return "xen"
    return "unknown"
