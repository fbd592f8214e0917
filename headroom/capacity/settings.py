"""The settings of aws-node: what ipamd reads from its environment, and which of them contradict each other.

Sources: aws/amazon-vpc-cni-k8s README and ``pkg/ipamd/ipamd.go`` (how each value is read),
``cmd/aws-vpc-cni/main.go`` (what keeps aws-node from starting).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import CniVersion

EXTERNAL_SNAT = "AWS_VPC_K8S_CNI_EXTERNALSNAT"
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
        external_snat: AWS_VPC_K8S_CNI_EXTERNALSNAT: pods keep their own addresses when they leave the VPC.
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
    external_snat: bool = False

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
            manage_enis_non_schedulable=_boolean(environment, "AWS_MANAGE_ENIS_NON_SCHEDULABLE", default=False),
            pod_eni=_boolean(environment, "ENABLE_POD_ENI", default=False),
            ip_cooldown_seconds=_integer(environment, "IP_COOLDOWN_PERIOD", DEFAULT_IP_COOLDOWN_SECONDS),
            cluster_name=environment.get("CLUSTER_NAME", ""),
            external_snat=_boolean(environment, EXTERNAL_SNAT, default=False),
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


# The table of settings, and what contradicts what.

Kind = Literal["boolean", "integer", "choice", "text"]

_README = "amazon-vpc-cni-k8s README"
_MAIN = "amazon-vpc-cni-k8s, cmd/aws-vpc-cni/main.go, validateEnvVars"
_POOL = "amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go"

# How alike a name must be to count as a misspelling (difflib's ratio, 1 is equal).
_MISSPELT_RATIO = 0.8
# Smallest MTU of IPv4 and of IPv6, and the largest of EC2 (amazon-vpc-cni-k8s README, AWS_VPC_ENI_MTU).
_SMALLEST_MTU = 576
_SMALLEST_MTU_IPV6 = 1280
_LARGEST_MTU = 9001


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One environment variable of aws-node.

    Attributes:
        name: Its name.
        kind: The type of its value, which is always written as a string.
        default: What holds where it is not set; empty for nothing. This is the code's default, which for
            WARM_PREFIX_TARGET is not the one that the manifest and the chart set (1).
        since: The first version that knows it; ``None`` where that is older than every supported version.
        least: The smallest integer allowed.
        most: The largest integer allowed, or ``None``.
        choices: The values allowed.
        note: What to know before setting it.
    """

    name: str
    kind: Kind
    default: str = ""
    since: CniVersion | None = None
    least: int = 0
    most: int | None = None
    choices: tuple[str, ...] = ()
    note: str = ""

    @property
    def accepted(self) -> str:
        """The values that are accepted, in words."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "integer":
            return f"an integer of at least {self.least}" + ("" if self.most is None else f" and at most {self.most}")
        if self.kind == "choice":
            return " or ".join(self.choices)
        return "any text"


def _since(text: str) -> CniVersion:
    return CniVersion.parse(text)


SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="WARM_ENI_TARGET",
            kind="integer",
            default="1",
            since=_since("1.0.0"),
            note="Has no effect with WARM_IP_TARGET, MINIMUM_IP_TARGET or prefix delegation.",
        ),
        Setting(
            name="WARM_IP_TARGET",
            kind="integer",
            since=_since("1.1.0"),
            note="Returns surplus addresses since 1.5.0. Low values mean more EC2 calls and slower bursts.",
        ),
        Setting(
            name="MINIMUM_IP_TARGET",
            kind="integer",
            since=_since("1.6.0"),
            note="A floor of all addresses of the node, those in use included.",
        ),
        Setting(
            name="WARM_PREFIX_TARGET",
            kind="integer",
            default="0",
            since=_since("1.9.0"),
            note="Has no effect with WARM_IP_TARGET or MINIMUM_IP_TARGET.",
        ),
        Setting(
            name="ENABLE_PREFIX_DELEGATION",
            kind="boolean",
            default="false",
            since=_since("1.9.0"),
            note="Nitro only. Raises density if maxPods is raised too; takes more addresses, not fewer.",
        ),
        Setting(
            name="MAX_ENI",
            kind="integer",
            since=_since("1.4.0"),
            least=1,
            note="The instance type's limit holds as well.",
        ),
        Setting(
            name="AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG",
            kind="boolean",
            default="false",
            since=_since("1.2.0"),
            note="Needs an ENIConfig for each availability zone; turns subnet discovery off.",
        ),
        Setting(
            name="ENI_CONFIG_LABEL_DEF",
            kind="text",
            default="k8s.amazonaws.com/eniConfig",
            since=_since("1.4.0"),
            note="The annotation beats the label.",
        ),
        Setting(
            name="ENI_CONFIG_ANNOTATION_DEF",
            kind="text",
            default="k8s.amazonaws.com/eniConfig",
            since=_since("1.4.0"),
        ),
        Setting(
            name="AWS_VPC_K8S_CNI_EXTERNALSNAT",
            kind="boolean",
            default="false",
            since=_since("1.1.0"),
            note="If true, pod subnets need a route of their own out of the VPC.",
        ),
        Setting(
            name="AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS",
            kind="text",
            since=_since("1.6.0"),
            note="Read only while AWS_VPC_K8S_CNI_EXTERNALSNAT is false.",
        ),
        Setting(
            name="AWS_VPC_K8S_CNI_RANDOMIZESNAT",
            kind="choice",
            default="prng",
            choices=("prng", "hashrandom", "none"),
        ),
        Setting(
            name="ENABLE_POD_ENI",
            kind="boolean",
            default="false",
            since=_since("1.7.0"),
            note="The trunk interface takes one interface slot; warm targets do not govern branch interfaces.",
        ),
        Setting(
            name="POD_SECURITY_GROUP_ENFORCING_MODE",
            kind="choice",
            default="strict",
            since=_since("1.11.0"),
            choices=("strict", "standard"),
        ),
        Setting(
            name="DISABLE_NETWORK_RESOURCE_PROVISIONING",
            kind="boolean",
            default="false",
            since=_since("1.9.1"),
            note="ipamd then adds and returns nothing.",
        ),
        Setting(name="ENABLE_BANDWIDTH_PLUGIN", kind="boolean", default="false", since=_since("1.10.0")),
        Setting(
            name="ENABLE_IPv4",
            kind="boolean",
            default="true",
            since=_since("1.10.0"),
            note="Fixed when the cluster is created.",
        ),
        Setting(
            name="ENABLE_IPv6",
            kind="boolean",
            default="false",
            since=_since("1.10.0"),
            note="Fixed when the cluster is created.",
        ),
        Setting(
            name="AWS_MANAGE_ENIS_NON_SCHEDULABLE",
            kind="boolean",
            default="false",
            since=_since("1.12.6"),
            note="Without it a cordoned node frees no interface.",
        ),
        Setting(name="AWS_EXTERNAL_SERVICE_CIDRS", kind="text", since=_since("1.12.6")),
        Setting(name="DISABLE_LEAKED_ENI_CLEANUP", kind="boolean", default="false", since=_since("1.13.0")),
        Setting(name="AWS_EC2_ENDPOINT", kind="text", since=_since("1.13.0")),
        Setting(name="ENABLE_V6_EGRESS", kind="boolean", default="false", since=_since("1.13.0")),
        Setting(
            name="IP_COOLDOWN_PERIOD",
            kind="integer",
            default=str(DEFAULT_IP_COOLDOWN_SECONDS),
            since=_since("1.15.0"),
            note="Seconds. aws-node exits on anything that is not an integer of at least 0.",
        ),
        Setting(name="DISABLE_POD_V6", kind="boolean", default="false", since=_since("1.15.0")),
        Setting(name="ENABLE_V4_EGRESS", kind="boolean", default="true", since=_since("1.15.1")),
        Setting(
            name="POD_MTU",
            kind="integer",
            since=_since("1.16.4"),
            least=_SMALLEST_MTU,
            most=_LARGEST_MTU,
        ),
        Setting(
            name="NETWORK_POLICY_ENFORCING_MODE",
            kind="choice",
            default="standard",
            since=_since("1.17.1"),
            choices=("standard", "strict", "none"),
        ),
        Setting(
            name="ENABLE_SUBNET_DISCOVERY",
            kind="boolean",
            default="true",
            since=_since("1.18.0"),
            note="Custom networking beats it.",
        ),
        Setting(
            name="ENABLE_IMDS_ONLY_MODE",
            kind="boolean",
            default="false",
            since=_since("1.19.6"),
            note="ipamd then makes no EC2 call at all: it adds and returns nothing.",
        ),
        Setting(name="ENABLE_MULTI_NIC", kind="boolean", default="false", since=_since("1.20.0")),
        Setting(
            name="AWS_VPC_ENI_MTU",
            kind="integer",
            default=str(_LARGEST_MTU),
            since=_since("1.6.0"),
            least=_SMALLEST_MTU,
            most=_LARGEST_MTU,
        ),
        Setting(name="ADDITIONAL_ENI_TAGS", kind="text", default="{}", since=_since("1.6.0")),
        Setting(name="ANNOTATE_POD_IP", kind="boolean", default="false", since=_since("1.9.3")),
        Setting(
            name="CLUSTER_NAME",
            kind="text",
            note="The managed add-on sets it, the chart does not; without it no subnet is cluster-scoped.",
        ),
        Setting(name="CLUSTER_ENDPOINT", kind="text", since=_since("1.12.1")),
        Setting(name="DISABLE_TCP_EARLY_DEMUX", kind="boolean", default="false", since=_since("1.7.3")),
        Setting(name="ENABLE_NFTABLES", kind="boolean", default="false", since=_since("1.12.1")),
        Setting(name="MANAGE_UNTAGGED_ENI", kind="boolean", default="true"),
        Setting(name="AWS_VPC_CNI_NODE_PORT_SUPPORT", kind="boolean", default="true"),
        Setting(name="AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER", kind="boolean", default="true"),
        Setting(name="AWS_VPC_K8S_CNI_LOGLEVEL", kind="text", default="DEBUG"),
        Setting(name="AWS_VPC_K8S_CNI_LOG_FILE", kind="text"),
        Setting(name="AWS_VPC_K8S_PLUGIN_LOG_LEVEL", kind="text", default="DEBUG"),
        Setting(name="AWS_VPC_K8S_PLUGIN_LOG_FILE", kind="text"),
        Setting(name="AWS_VPC_K8S_CNI_VETHPREFIX", kind="text", default="eni"),
        Setting(name="DISABLE_INTROSPECTION", kind="boolean", default="false"),
        Setting(name="DISABLE_METRICS", kind="boolean", default="false"),
        Setting(name="INTROSPECTION_BIND_ADDRESS", kind="text", default="127.0.0.1:61679"),
        Setting(name="HOST_CNI_BIN_PATH", kind="text"),
        Setting(name="HOST_CNI_CONFDIR_PATH", kind="text"),
    )
}

# What the manifest, the chart or EKS itself puts into aws-node's environment beside the settings.
_NOT_SETTINGS = frozenset(
    {
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_VPC_K8S_CNI_BACKING_STORE",
        "MY_NODE_NAME",
        "MY_POD_NAME",
        "VPC_CNI_VERSION",
        "VPC_ID",
    }
)


# What the stock manifest and chart set (amazon-vpc-cni-k8s v1.23.0, charts/aws-vpc-cni/values.yaml).
MANIFEST_VALUES: Mapping[str, str] = {
    "ADDITIONAL_ENI_TAGS": "{}",
    "AWS_VPC_CNI_NODE_PORT_SUPPORT": "true",
    "AWS_VPC_ENI_MTU": "9001",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
    "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
    "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "prng",
    "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
    "DISABLE_INTROSPECTION": "false",
    "DISABLE_METRICS": "false",
    "DISABLE_NETWORK_RESOURCE_PROVISIONING": "false",
    "DISABLE_TCP_EARLY_DEMUX": "false",
    "ENABLE_IMDS_ONLY_MODE": "false",
    "ENABLE_IPv4": "true",
    "ENABLE_IPv6": "false",
    "ENABLE_MULTI_NIC": "false",
    "ENABLE_POD_ENI": "false",
    "ENABLE_PREFIX_DELEGATION": "false",
    "ENABLE_SUBNET_DISCOVERY": "true",
    "NETWORK_POLICY_ENFORCING_MODE": "standard",
    "WARM_ENI_TARGET": "1",
    "WARM_PREFIX_TARGET": "1",
}

# Settings that EKS fills in for the managed add-on, and that are not the user's to keep.
_FILLED_IN_BY_EKS = frozenset({"CLUSTER_NAME", "CLUSTER_ENDPOINT"})


def live_settings_to_keep(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of a live aws-node that somebody chose: those that are not as the stock manifest has them.

    An update of the managed add-on with OVERWRITE drops them unless they are among its configuration values
    (amazon-vpc-cni-k8s #2268).
    """
    return {
        name: value
        for name, value in sorted(environment.items())
        if name in SETTINGS and name not in _FILLED_IN_BY_EKS and MANIFEST_VALUES.get(name) != value
    }


@dataclass(frozen=True, slots=True)
class _Check:
    """What the checks look at, and what they find.

    Attributes:
        environment: The environment as aws-node will have it.
        settings: What ipamd makes of it.
        pointed_out: The settings of which it is said where they have no effect.
        problems: Grows by what forbids the settings.
        warnings: Grows by what does not.
    """

    environment: Mapping[str, str]
    settings: CniSettings
    pointed_out: Collection[str]
    problems: list[Problem]
    warnings: list[Problem]


def check_settings(
    environment: Mapping[str, str],
    cni_version: CniVersion | str,
    *,
    nitro: bool = True,
    network_policy: bool = False,
    changed: Collection[str] | None = None,
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """What is wrong with aws-node's settings.

    Args:
        environment: The environment as aws-node will have it: what is live with the changes merged in.
        cni_version: The VPC CNI's version; as text, it is read here and a text that is no version is a problem.
        nitro: Whether every node can have prefixes.
        network_policy: Whether the VPC CNI enforces network policies.
        changed: The settings that somebody is about to change. Those that have no effect are then pointed out
            among these only, since the stock manifest sets some of them always. All by default.

    Returns:
        Problems, which forbid the settings, and warnings.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    version: CniVersion | None = None
    try:
        version = CniVersion.parse(cni_version) if isinstance(cni_version, str) else cni_version
    except ProblemsError as error:
        problems.extend(error.problems)
    for name in sorted(environment):
        _check_one(name, environment, version, problems, warnings)
    pointed_out = environment.keys() if changed is None else environment.keys() & set(changed)
    settings = CniSettings.from_environment(environment)
    check = _Check(environment, settings, pointed_out, problems, warnings)
    _check_ip_targets(check)
    _check_prefixes(check, nitro=nitro)
    _check_ip_family(check)
    if settings.custom_networking and settings.subnet_discovery and "ENABLE_SUBNET_DISCOVERY" in pointed_out:
        warnings.append(
            Problem(
                rule="cni-custom-networking-discovery",
                value="ENABLE_SUBNET_DISCOVERY=true",
                key="ENABLE_SUBNET_DISCOVERY",
                reason="has no effect with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true: pods get the subnet of their "
                "node's ENIConfig, and tagged subnets are ignored.",
                next_step="Name the pod subnets in the ENIConfigs, one for each availability zone.",
                source="amazon-vpc-cni-k8s #3058",
            )
        )
    if network_policy and _boolean(environment, "ENABLE_BANDWIDTH_PLUGIN", default=False):
        problems.append(
            Problem(
                rule="cni-bandwidth-network-policy",
                value="ENABLE_BANDWIDTH_PLUGIN=true",
                key="ENABLE_BANDWIDTH_PLUGIN",
                reason="cannot be had together with network policies: both use the kernel's traffic control, and "
                "policies would not be enforced.",
                next_step="Set it to false, or do without the network policy agent.",
                source=_README,
            )
        )
    return tuple(problems), tuple(warnings)


def _check_one(
    name: str,
    environment: Mapping[str, str],
    version: CniVersion | None,
    problems: list[Problem],
    warnings: list[Problem],
) -> None:
    """Name, first version and value of one setting."""
    value = environment[name]
    setting = SETTINGS.get(name)
    if setting is None:
        if name not in _NOT_SETTINGS:
            _check_unknown(name, problems, warnings)
        return
    if setting.since is not None and version is not None and version < setting.since:
        problems.append(
            Problem(
                rule="cni-setting-version",
                value=f"{name}={value}",
                key=name,
                reason=f"is not known to {version}, which ignores it.",
                next_step=f"Upgrade to {setting.since} or later, or leave it out.",
                source=_README,
            )
        )
    if not _accepts(setting, value, ipv6=_boolean(environment, "ENABLE_IPv6", default=False)):
        if name == "MAX_ENI" and _go_integer(value) is not None:
            warnings.append(
                Problem(
                    rule="cni-setting-ignored",
                    value=f"{name}={value}",
                    key=name,
                    reason="is ignored below 1: the instance type's limit holds.",
                    next_step="Leave it out, or give a number of network interfaces.",
                    source=_README,
                )
            )
            return
        problems.append(
            Problem(
                rule="cni-setting-value",
                value=f"{name}={value!r}",
                key=name,
                reason="is not a value that aws-node accepts"
                + (", and it exits." if name in _EXITS_ON_BAD_VALUE else "; it takes the default in silence."),
                next_step=f"Write {setting.accepted}.",
                source=_MAIN if name in _EXITS_ON_BAD_VALUE else _README,
            )
        )
    elif name == "IP_COOLDOWN_PERIOD" and _go_integer(value) == 0:
        warnings.append(
            Problem(
                rule="cni-cooldown-zero",
                value=f"{name}={value}",
                key=name,
                reason="hands an address to the next pod before kube-proxy has forgotten the last one.",
                next_step=f"Keep {DEFAULT_IP_COOLDOWN_SECONDS} seconds unless you have measured otherwise.",
                source=_README,
            )
        )


# Settings whose bad values keep aws-node from starting; it takes others for unset.
_EXITS_ON_BAD_VALUE = frozenset(
    {
        "IP_COOLDOWN_PERIOD",
        "AWS_VPC_ENI_MTU",
        "POD_MTU",
        "NETWORK_POLICY_ENFORCING_MODE",
        "POD_SECURITY_GROUP_ENFORCING_MODE",
    }
)


def _accepts(setting: Setting, value: str, *, ipv6: bool) -> bool:
    if setting.kind == "boolean":
        return _go_boolean(value) is not None
    if setting.kind == "choice":
        return value in setting.choices
    if setting.kind == "integer":
        number = _go_integer(value)
        least = setting.least
        if ipv6 and setting.least == _SMALLEST_MTU:
            least = _SMALLEST_MTU_IPV6
        return number is not None and number >= least and (setting.most is None or number <= setting.most)
    return True


def _check_unknown(name: str, problems: list[Problem], warnings: list[Problem]) -> None:
    by_upper_case = {known.upper(): known for known in SETTINGS}
    near = get_close_matches(name.upper(), by_upper_case, n=1, cutoff=_MISSPELT_RATIO)
    if near:
        problems.append(
            Problem(
                rule="cni-setting-known",
                value=name,
                key=name,
                reason="is not a setting of aws-node.",
                next_step=f"Did you mean {by_upper_case[near[0]]}?",
                source=_README,
            )
        )
    else:
        warnings.append(
            Problem(
                rule="cni-setting-unknown",
                value=name,
                key=name,
                reason="is not a setting of aws-node that is known here, so its value is not checked.",
                next_step="Compare it with the README of the VPC CNI's version.",
                source=_README,
            )
        )


def _check_ip_targets(check: _Check) -> None:
    warm, minimum = check.settings.warm_ip_target, check.settings.minimum_ip_target
    if minimum > 0 and warm == 0:
        check.problems.append(
            Problem(
                rule="cni-minimum-without-warm",
                value=f"MINIMUM_IP_TARGET={minimum}",
                key="MINIMUM_IP_TARGET",
                reason="without WARM_IP_TARGET is a ceiling: the node never grows beyond it, and further pods wait "
                "for ever.",
                next_step="Set WARM_IP_TARGET to at least 1 beside it.",
                source=_README,
            )
        )
    if check.settings.ip_targets_set:
        governing = "WARM_IP_TARGET" if warm else "MINIMUM_IP_TARGET"
        check.warnings.extend(
            Problem(
                rule="cni-dead-warm-target",
                value=f"{name}={check.environment[name]}",
                key=name,
                reason=f"has no effect while {governing} is set.",
                next_step=f"Leave it out, or unset {governing}.",
                source=_POOL,
            )
            for name in ("WARM_ENI_TARGET", "WARM_PREFIX_TARGET")
            if name in check.pointed_out
        )
    if 0 < minimum <= warm and "MINIMUM_IP_TARGET" in check.pointed_out:
        check.warnings.append(
            Problem(
                rule="cni-dead-minimum",
                value=f"MINIMUM_IP_TARGET={minimum}",
                key="MINIMUM_IP_TARGET",
                reason=f"has no effect beside WARM_IP_TARGET={warm}: even an empty node keeps that many.",
                next_step=f"Give more than {warm}, usually the number of pods that a node always runs, "
                "or leave it out.",
                source=_POOL,
            )
        )


def _check_prefixes(check: _Check, *, nitro: bool) -> None:
    if not check.settings.prefix_delegation:
        return
    targets = ("WARM_PREFIX_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET")
    # aws-node compares the texts, not the numbers.
    if all(check.environment.get(name, "0") <= "0" for name in targets):
        check.problems.append(
            Problem(
                rule="cni-prefix-without-target",
                value="ENABLE_PREFIX_DELEGATION=true",
                key="ENABLE_PREFIX_DELEGATION",
                reason="without any of WARM_PREFIX_TARGET, WARM_IP_TARGET and MINIMUM_IP_TARGET above 0 makes "
                "aws-node exit on every node.",
                next_step="Set WARM_PREFIX_TARGET=1.",
                source=_MAIN,
            )
        )
    if not nitro:
        check.warnings.append(
            Problem(
                rule="cni-prefix-not-nitro",
                value="ENABLE_PREFIX_DELEGATION=true",
                key="ENABLE_PREFIX_DELEGATION",
                reason="has no effect on nodes that are neither Nitro nor bare metal: they go on with single "
                "addresses, and only a log line says so.",
                next_step="Count such nodes without prefixes, or replace them.",
                source=_POOL,
            )
        )


def _check_ip_family(check: _Check) -> None:
    ipv4 = _boolean(check.environment, "ENABLE_IPv4", default=True)
    ipv6 = _boolean(check.environment, "ENABLE_IPv6", default=False)
    if ipv4 == ipv6:
        check.problems.append(
            Problem(
                rule="cni-one-ip-family",
                value=f"ENABLE_IPv4={str(ipv4).lower()} ENABLE_IPv6={str(ipv6).lower()}",
                key="ENABLE_IPv6",
                reason="makes ipamd refuse to start on every node: exactly one of them must be true.",
                next_step="Set the one of the family that the cluster was created with; it cannot be changed.",
                source=_POOL,
            )
        )
    if not ipv6:
        return
    if not check.settings.prefix_delegation or check.settings.custom_networking:
        check.problems.append(
            Problem(
                rule="cni-ipv6-mode",
                value="ENABLE_IPv6=true",
                key="ENABLE_IPv6",
                reason="needs ENABLE_PREFIX_DELEGATION=true and no custom networking; ipamd does not start.",
                next_step="Set ENABLE_PREFIX_DELEGATION=true and AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=false.",
                source=_POOL,
            )
        )
    check.warnings.extend(
        Problem(
            rule="cni-ipv6-no-targets",
            value=f"{name}={check.environment[name]}",
            key=name,
            reason="has no effect with IPv6: one prefix serves all pods of a node.",
            next_step="Leave it out.",
            source=_POOL,
        )
        for name in ("WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_PREFIX_TARGET", "MAX_ENI")
        if name in check.pointed_out
    )
