"""What a person chooses for a plan of an AKS cluster, where the facts leave a choice or cannot know."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from headroom.addresses.blocks import Block, listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.emergency_keys import near

IN_PLACE_WAY: Final = "in-place"
BLUE_GREEN_WAY: Final = "blue-green"
WAYS: Final = (IN_PLACE_WAY, BLUE_GREEN_WAY)
OVERRIDES: Final = ("custom-ip-masq", "pod-cidr-in-vnet")
"""Rules of the way in place whose two sources differ, so that the looser one can be chosen
(`headroom.planning.aks_eligibility`)."""

ORIGIN_ID: Final = re.compile(
    r"/subscriptions/(?P<subscription>[0-9a-fA-F-]{36})/resourceGroups/(?P<group>[^/]{1,90})"
    r"/providers/Microsoft\.Cdn/profiles/(?P<profile>[^/]{1,90})/originGroups/(?P<origins>[^/]{1,90})"
    r"/origins/(?P<origin>[^/]{1,90})",
    re.IGNORECASE,
)
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DEAREST: Final = 1000.0
"""Dollars an hour above which a price is a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What was chosen; empty and ``None``: nothing, and the plan chooses or asks.

    Attributes:
        way: `in-place` or `blue-green`.
        pod_cidr: Range of the overlay's pods.
        node_subnet: Subnet of the new cluster's nodes.
        origin: ARM id of the Front Door origin that has the traffic now.
        workspace: Id of the Log Analytics workspace that has the requests, a GUID.
        allow: Rules whose looser source is to hold.
        node_dollars_an_hour: Price of one node.
    """

    way: str = ""
    pod_cidr: Block | None = None
    node_subnet: Block | None = None
    origin: str = ""
    workspace: str = ""
    allow: tuple[str, ...] = ()
    node_dollars_an_hour: float | None = None


def read_choices(pairs: Sequence[str], node_dollars_an_hour: float | None = None) -> Choices:
    """Reads `KEY=VALUE` pairs; `allow` may be given more than once.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """
    found, problems = Choices(), list[Problem]()
    for pair in pairs:
        key, sign, value = pair.partition("=")
        read = _KEYS.get(key)
        if read is None or not sign:
            what = "is no choice." if sign else "is not of the form KEY=VALUE."
            step = near(key, tuple(_KEYS)) or f"Write one of {listed(_KEYS)}, as in way=blue-green."
            problems.append(Problem(rule="choice", key="--set", value=shown(pair), reason=what, next_step=step))
            continue
        try:
            found = read(found, value)
        except ProblemsError as error:
            problems.extend(error.problems)
    price = node_dollars_an_hour
    if price is not None and not (math.isfinite(price) and 0 <= price <= _DEAREST):
        reason = f"is no price of a node in dollars an hour, from 0 to {_DEAREST:,.0f}."
        problems.append(Problem(rule="choice", key="--node-price", value=shown(str(price)), reason=reason))
    if problems:
        raise ProblemsError(problems, subject="command line")
    return replace(found, node_dollars_an_hour=price)


def _refused(key: str, value: str, reason: str, next_step: str) -> ProblemsError:
    problem = Problem(rule="choice", key=f"--set {key}", value=shown(value), reason=reason, next_step=next_step)
    return ProblemsError([problem], subject="command line")


def _way(found: Choices, value: str) -> Choices:
    if value not in WAYS:
        raise _refused("way", value, "is no way.", f"Write one of {listed(WAYS)}.")
    return replace(found, way=value)


def _pod_cidr(found: Choices, value: str) -> Choices:
    return replace(found, pod_cidr=Block.parse(value, key="--set podCidr"))


def _node_subnet(found: Choices, value: str) -> Choices:
    return replace(found, node_subnet=Block.parse(value, key="--set nodeSubnet"))


def _origin(found: Choices, value: str) -> Choices:
    if not ORIGIN_ID.fullmatch(value):
        step = "Write what `az afd origin show … --query id` prints: /subscriptions/…/originGroups/G/origins/O."
        raise _refused("origin", value, "is no ARM id of a Front Door origin.", step)
    return replace(found, origin=value)


def _workspace(found: Choices, value: str) -> Choices:
    if not _GUID.fullmatch(value):
        step = "Write what `az monitor log-analytics workspace show … --query customerId` prints."
        raise _refused("workspace", value, "is no id of a workspace, which is a GUID.", step)
    return replace(found, workspace=value)


def _allow(found: Choices, value: str) -> Choices:
    if value not in OVERRIDES:
        raise _refused("allow", value, "is no rule that can be overridden.", f"Write one of {listed(OVERRIDES)}.")
    return replace(found, allow=tuple(sorted({*found.allow, value})))


_KEYS: Final[dict[str, Callable[[Choices, str], Choices]]] = {
    "way": _way,
    "podCidr": _pod_cidr,
    "nodeSubnet": _node_subnet,
    "origin": _origin,
    "workspace": _workspace,
    "allow": _allow,
}
