"""The settings of aws-node: what ipamd reads from its environment, and which of them contradict each other.

Sources: aws/amazon-vpc-cni-k8s README and ``pkg/ipamd/ipamd.go`` (how each value is read),
``cmd/aws-vpc-cni/main.go`` (what keeps aws-node from starting).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from headroom.addresses.problems import Problem
from headroom.capacity.cni_version import CniVersion

DEFAULT_WARM_ENI_TARGET = 1
DEFAULT_IP_COOLDOWN_SECONDS = 30

_GO_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_GO_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_GO_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# Go's integers are 64 bits wide; a longer number is a parse error there, not a large number.
_GO_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CniSettings:
    """What ipamd makes of its environment. Unset and unreadable values have become their defaults.

    Attributes:
        warm_eni_target: WARM_ENI_TARGET: whole interfaces kept free.
        warm_ip_target: WARM_IP_TARGET: addresses kept free; 0 is unset.
        minimum_ip_target: MINIMUM_IP_TARGET: floor of all addresses, used ones included; 0 is unset.
        warm_prefix_target: WARM_PREFIX_TARGET: /28 prefixes kept free; 0 where it is unset.
        max_eni: MAX_ENI, or ``None`` where the instance type alone decides.
        prefix_delegation: ENABLE_PREFIX_DELEGATION.
        custom_networking: AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: pods get interfaces of an ENIConfig.
        subnet_discovery: ENABLE_SUBNET_DISCOVERY.
        manage_enis_non_schedulable: AWS_MANAGE_ENIS_NON_SCHEDULABLE.
        pod_eni: ENABLE_POD_ENI: one interface slot is kept for the trunk interface.
        ip_cooldown_seconds: IP_COOLDOWN_PERIOD: how long an address rests after its pod has gone.
        cluster_name: CLUSTER_NAME, empty where it is not set.
    """

    warm_eni_target: int = DEFAULT_WARM_ENI_TARGET
    warm_ip_target: int = 0
    minimum_ip_target: int = 0
    warm_prefix_target: int = 0
    max_eni: int | None = None
    prefix_delegation: bool = False
    custom_networking: bool = False
    subnet_discovery: bool = True
    manage_enis_non_schedulable: bool = False
    pod_eni: bool = False
    ip_cooldown_seconds: int = DEFAULT_IP_COOLDOWN_SECONDS
    cluster_name: str = ""

    @property
    def ip_targets_set(self) -> bool:
        """Whether WARM_IP_TARGET or MINIMUM_IP_TARGET governs, and the other warm targets are dead."""
        return self.warm_ip_target > 0 or self.minimum_ip_target > 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "CniSettings":
        """Reads aws-node's environment exactly as ipamd does.

        Nothing is refused here, since ipamd refuses nothing: a number that it cannot read, or a negative
        one, counts as unset. ``check_settings`` is what tells a person about it.
        """
        max_eni = _integer(environment, "MAX_ENI", 0, least=1)
        return cls(
            warm_eni_target=_integer(environment, "WARM_ENI_TARGET", DEFAULT_WARM_ENI_TARGET),
            warm_ip_target=_integer(environment, "WARM_IP_TARGET", 0),
            minimum_ip_target=_integer(environment, "MINIMUM_IP_TARGET", 0),
            warm_prefix_target=_integer(environment, "WARM_PREFIX_TARGET", 0),
            max_eni=max_eni if max_eni >= 1 else None,
            prefix_delegation=_boolean(environment, "ENABLE_PREFIX_DELEGATION", default=False),
            custom_networking=_boolean(environment, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", default=False),
            subnet_discovery=_boolean(environment, "ENABLE_SUBNET_DISCOVERY", default=True),
            manage_enis_non_schedulable=_boolean(
                environment, "AWS_MANAGE_ENIS_NON_SCHEDULABLE", default=False
            ),
            pod_eni=_boolean(environment, "ENABLE_POD_ENI", default=False),
            ip_cooldown_seconds=_integer(environment, "IP_COOLDOWN_PERIOD", DEFAULT_IP_COOLDOWN_SECONDS),
            cluster_name=environment.get("CLUSTER_NAME", ""),
        )


def _go_integer(text: str) -> int | None:
    """What Go's strconv.Atoi reads: no spaces, no underscores; ``None`` where it reports an error."""
    if _GO_INTEGER.fullmatch(text) is None:
        return None
    value = int(text)
    return value if -_GO_MAX_INTEGER - 1 <= value <= _GO_MAX_INTEGER else None


def _go_boolean(text: str) -> bool | None:
    """What Go's strconv.ParseBool reads; ``None`` where it reports an error."""
    if text in _GO_TRUE:
        return True
    return False if text in _GO_FALSE else None


def _integer(environment: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    value = _go_integer(environment.get(name, ""))
    return default if value is None or value < least else value


def _boolean(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = _go_boolean(environment.get(name, ""))
    return default if value is None else value
