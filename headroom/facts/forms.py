"""The forms of values: what a whole number, a time, an address, a CIDR or a word of an API may be.

A type of the snapshot names a form by its annotation (`Fact[Time]`); `headroom.facts.document` holds every file that
is read to it, writes it into the schema, and makes unknown what a service has answered otherwise. A plain `int` is a
count and a plain `float` an amount: neither is negative, and neither is larger than JSON keeps exact.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated, Any, Final, TypeAlias

from headroom.addresses.blocks import OCTET, Block
from headroom.addresses.problems import ProblemsError

LARGEST_WHOLE: Final = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exact (RFC 8259, section 6)."""
LARGEST_INT32: Final = 2**31 - 1
"""What Kubernetes can say of replicas, pods and priorities (API reference: int32)."""
ADDRESSES_OF_IPV4: Final = 2**32


@dataclass(frozen=True, slots=True)
class Form:
    """What a value must be beside its type.

    Attributes:
        due: What is due, in words that follow "stands where".
        holds: Whether a value of the right type is of the form.
        schema: What JSON Schema can say of it, as pairs.
    """

    due: str
    holds: Callable[[Any], bool]
    schema: tuple[tuple[str, Any], ...] = ()


def whole(least: int, most: int) -> Form:
    """A whole number between two, both included."""
    return Form(
        f"a whole number from {least:,} to {most:,} is due",
        lambda value: least <= value <= most,
        (("minimum", least), ("maximum", most)),
    )


def one_of(*words: str) -> Form:
    """One of the words that an API has."""
    known = frozenset(words)
    return Form(f"one of {', '.join(words)} is due", known.__contains__, (("enum", words),))


COUNT: Final = whole(0, LARGEST_WHOLE)
"""The form of every `int` that names no other."""
AMOUNT: Final = Form(
    f"a number from 0 to {LARGEST_WHOLE:,} is due",
    lambda value: 0 <= value <= LARGEST_WHOLE,
    (("minimum", 0), ("maximum", LARGEST_WHOLE)),
)
"""The form of every `float` that names no other."""

_IPV4 = rf"{OCTET}(\.{OCTET}){{3}}"
_IPV6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
_LENGTH = r"(3[0-2]|[12]?[0-9])"
# A year that every time zone has: the first and the last day of time overflow in another one.
_DAY = r"[1-8][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_HOUR = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"^{_DAY}T{_HOUR}:[0-5][0-9](\.[0-9]{{1,9}})?(Z|[+-]{_HOUR})$"
_IS_TIME = re.compile(_TIME)
_IS_ADDRESS = re.compile(_IPV4)


def _is_time(text: str) -> bool:
    if _IS_TIME.match(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:  # the thirtieth of February
        return False
    return True


def _is_address(text: str) -> bool:
    return _IS_ADDRESS.fullmatch(text) is not None


def _is_any_address(text: str) -> bool:
    if ":" not in text:
        return _is_address(text)
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_block(text: str) -> bool:
    try:
        Block.parse(text)
    except ProblemsError:
        return False
    return True


def _is_any_block(text: str) -> bool:
    if ":" not in text:
        return _is_block(text)
    try:
        IPv6Network(text)
    except ValueError:
        return False
    return "/" in text and "%" not in text


Addresses: TypeAlias = Annotated[int, whole(0, ADDRESSES_OF_IPV4)]
"""How many addresses: never more than there are."""
Pods: TypeAlias = Annotated[int, whole(0, LARGEST_INT32)]
"""How many pods, replicas or nodes."""
Positive: TypeAlias = Annotated[int, whole(1, LARGEST_INT32)]
"""How many of what there is at least one of."""
Signed: TypeAlias = Annotated[int, whole(-LARGEST_INT32 - 1, LARGEST_INT32)]
"""A number of Kubernetes that may be negative: a priority, an exit code."""
Pair: TypeAlias = Annotated[
    tuple[int, ...],
    Form(
        "a list of two whole numbers is due",
        lambda value: len(value) == 2,  # noqa: PLR2004 - a pair
        (("minItems", 2), ("maxItems", 2)),
    ),
]
"""Two counts, such as (ready, desired)."""

Time: TypeAlias = Annotated[
    str, Form("a time in ISO 8601 is due, such as 2026-03-03T20:46:00Z", _is_time, (("pattern", _TIME),))
]
"""A moment with its offset from UTC."""
Address: TypeAlias = Annotated[
    str, Form("an IPv4 address is due, such as 10.0.1.15", _is_address, (("pattern", rf"^{_IPV4}$"),))
]
"""An IPv4 address."""
AnyAddress: TypeAlias = Annotated[
    str, Form("an IP address is due, such as 10.0.1.15", _is_any_address, (("pattern", rf"^({_IPV4}|{_IPV6})$"),))
]
"""An address of either family: pods and nodes of an IPv6 cluster have the other."""
Cidr: TypeAlias = Annotated[
    str,
    Form(
        "an IPv4 block in CIDR notation is due, such as 10.0.0.0/16, without host bits",
        _is_block,
        (("pattern", rf"^{_IPV4}/{_LENGTH}$"),),
    ),
]
"""An IPv4 block as EC2 writes it: canonical, without host bits."""
AnyCidr: TypeAlias = Annotated[
    str,
    Form(
        "a block in CIDR notation is due, such as 10.0.0.0/16, without host bits",
        _is_any_block,
        (("pattern", rf"^({_IPV4}/{_LENGTH}|{_IPV6}/[0-9]{{1,3}})$"),),
    ),
]
"""A block of either family."""

_PREFIX_LIST = r"pl-[0-9A-Za-z-]+"
Destination: TypeAlias = Annotated[
    str,
    Form(
        "a block in CIDR notation or the id of a prefix list is due",
        lambda text: re.fullmatch(_PREFIX_LIST, text) is not None or _is_any_block(text),
        (("pattern", rf"^({_IPV4}/{_LENGTH}|{_IPV6}/[0-9]{{1,3}}|{_PREFIX_LIST})$"),),
    ),
]
"""Where a route leads."""

Cloud: TypeAlias = Annotated[str, one_of("aws", "azure")]
IpFamily: TypeAlias = Annotated[str, one_of("ipv4", "ipv6")]
"""EKS API reference, KubernetesNetworkConfigResponse."""
AssociationState: TypeAlias = Annotated[
    str, one_of("associating", "associated", "disassociating", "disassociated", "failing", "failed")
]
"""EC2 API reference, VpcCidrBlockState."""
InterfaceStatus: TypeAlias = Annotated[str, one_of("available", "associated", "attaching", "in-use", "detaching")]
"""EC2 API reference, NetworkInterface."""
ReservationType: TypeAlias = Annotated[str, one_of("prefix", "explicit")]
"""EC2 API reference, SubnetCidrReservation."""
PeeringRole: TypeAlias = Annotated[str, one_of("requester", "accepter")]
PodPhase: TypeAlias = Annotated[str, one_of("Pending", "Running", "Succeeded", "Failed", "Unknown")]
"""Kubernetes API reference, PodStatus."""
ConcurrencyPolicy: TypeAlias = Annotated[str, one_of("Allow", "Forbid", "Replace")]
"""Kubernetes API reference, CronJobSpec."""
PolicyType: TypeAlias = Annotated[str, one_of("Ingress", "Egress")]
"""Kubernetes API reference, NetworkPolicySpec."""
SelectorOperator: TypeAlias = Annotated[str, one_of("In", "NotIn", "Exists", "DoesNotExist")]
"""Kubernetes API reference, LabelSelectorRequirement."""
Protocol: TypeAlias = Annotated[str, one_of("TCP", "UDP", "SCTP")]
"""Kubernetes API reference, NetworkPolicyPort and ContainerPort."""
Port: TypeAlias = Annotated[int, whole(1, 65535)]
"""A port; 0 means nothing to a policy or a container (API validation, IsValidPortNum)."""
ConditionStatus: TypeAlias = Annotated[str, one_of("True", "False", "Unknown")]
"""Kubernetes API reference, Condition."""
