"""Which add-ons the simulated EKS offers, in which versions, with which defaults and schema.

The schema of vpc-cni is that of v1.15.1-eksbuild.1 in the AWS CLI's reference (eks
describe-addon-configuration, example 1). For later versions the settings that those versions brought are
added (amazon-vpc-cni-k8s README and tags); the real schemas of those versions have not been seen.
"""

import json
import re
from typing import Any, Final

VPC_CNI: Final = "vpc-cni"

ADDON_VERSIONS: Final[dict[str, tuple[str, ...]]] = {
    VPC_CNI: tuple(
        f"v{version}-eksbuild.1"
        for version in (
            "1.14.1",
            "1.15.1",
            "1.16.0",
            "1.16.4",
            "1.17.1",
            "1.18.0",
            "1.18.1",
            "1.18.2",
            "1.18.3",
            "1.18.5",
            "1.19.0",
            "1.19.2",
            "1.19.6",
            "1.20.0",
            "1.20.4",
            "1.21.1",
            "1.21.2",
            "1.22.0",
            "1.22.1",
            "1.22.2",
            "1.22.4",
            "1.23.0",
        )
    ),
    "coredns": ("v1.11.4-eksbuild.2", "v1.12.1-eksbuild.2"),
    "kube-proxy": ("v1.31.2-eksbuild.3", "v1.32.0-eksbuild.2", "v1.33.0-eksbuild.2"),
}
"""Versions on offer, oldest first: a selection; the build numbers of EKS differ."""

CLUSTER_VERSIONS: Final = ("1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35")
"""Kubernetes versions that the simulated EKS knows; every add-on version serves each of them."""

_ENVIRONMENT: Final = """
ADDITIONAL_ENI_TAGS ANNOTATE_POD_IP:boolean AWS_EC2_ENDPOINT AWS_EXTERNAL_SERVICE_CIDRS
AWS_MANAGE_ENIS_NON_SCHEDULABLE:boolean AWS_VPC_CNI_NODE_PORT_SUPPORT:boolean AWS_VPC_ENI_MTU:integer
AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG:boolean AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS
AWS_VPC_K8S_CNI_EXTERNALSNAT:boolean AWS_VPC_K8S_CNI_LOGLEVEL AWS_VPC_K8S_CNI_LOG_FILE
AWS_VPC_K8S_CNI_RANDOMIZESNAT AWS_VPC_K8S_CNI_VETHPREFIX AWS_VPC_K8S_PLUGIN_LOG_FILE
AWS_VPC_K8S_PLUGIN_LOG_LEVEL CLUSTER_ENDPOINT DISABLE_INTROSPECTION:boolean
DISABLE_LEAKED_ENI_CLEANUP:boolean DISABLE_METRICS:boolean DISABLE_NETWORK_RESOURCE_PROVISIONING:boolean
DISABLE_POD_V6:boolean ENABLE_BANDWIDTH_PLUGIN:boolean ENABLE_POD_ENI:boolean
ENABLE_PREFIX_DELEGATION:boolean ENABLE_V4_EGRESS:boolean ENABLE_V6_EGRESS:boolean
ENI_CONFIG_ANNOTATION_DEF ENI_CONFIG_LABEL_DEF INTROSPECTION_BIND_ADDRESS IP_COOLDOWN_PERIOD:integer
MAX_ENI:integer MINIMUM_IP_TARGET:integer POD_SECURITY_GROUP_ENFORCING_MODE WARM_ENI_TARGET:integer
WARM_IP_TARGET:integer WARM_PREFIX_TARGET:integer
"""
"""Names of v1.15.1's `env` with their formats; all values are strings."""

_LATER: Final = (
    ((1, 17, 1), "NETWORK_POLICY_ENFORCING_MODE"),
    ((1, 18, 0), "ENABLE_SUBNET_DISCOVERY:boolean"),
    ((1, 19, 6), "ENABLE_IMDS_ONLY_MODE:boolean"),
    ((1, 20, 0), "ENABLE_MULTI_NIC:boolean"),
)
"""Settings with the version that brought them."""

_DEFAULTS: Final = {
    "ADDITIONAL_ENI_TAGS": "{}",
    "AWS_VPC_CNI_NODE_PORT_SUPPORT": "true",
    "AWS_VPC_ENI_MTU": "9001",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
    "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
    "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "prng",
    "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
    "DISABLE_INTROSPECTION": "false",
    "DISABLE_METRICS": "false",
    "DISABLE_NETWORK_RESOURCE_PROVISIONING": "false",
    "ENABLE_IPv4": "true",
    "ENABLE_IPv6": "false",
    "ENABLE_POD_ENI": "false",
    "ENABLE_PREFIX_DELEGATION": "false",
    "WARM_ENI_TARGET": "1",
    "WARM_PREFIX_TARGET": "1",
}
"""Environment of aws-node without any configuration (amazon-vpc-cni-k8s, charts/aws-vpc-cni/values.yaml)."""

_LATER_DEFAULTS: Final = (
    ((1, 17, 1), "NETWORK_POLICY_ENFORCING_MODE", "standard"),
    ((1, 18, 0), "ENABLE_SUBNET_DISCOVERY", "true"),
    ((1, 19, 6), "ENABLE_IMDS_ONLY_MODE", "false"),
    ((1, 20, 0), "ENABLE_MULTI_NIC", "false"),
)

_KINDS: Final = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def version_numbers(version: str) -> tuple[int, ...]:
    """`v1.19.2-eksbuild.1` as (1, 19, 2)."""
    return tuple(int(number) for number in re.findall(r"\d+", version.split("-", maxsplit=1)[0]))


def compatible_cluster_versions(name: str, version: str) -> tuple[str, ...]:
    """The Kubernetes versions that an add-on version serves."""
    del name, version
    return CLUSTER_VERSIONS


def default_environment(version: str, cluster: str) -> dict[str, str]:
    """The environment of aws-node that the add-on sets without configuration values."""
    numbers = version_numbers(version)
    later = {name: value for since, name, value in _LATER_DEFAULTS if numbers >= since}
    return {**_DEFAULTS, **later, "CLUSTER_NAME": cluster}


def configuration_schema(name: str, version: str) -> dict[str, Any]:
    """The JSON schema of an add-on version's configuration values."""
    if name != VPC_CNI:
        return {
            "$schema": "http://json-schema.org/draft-06/schema#",
            "type": "object",
            "additionalProperties": False,
            "properties": {"resources": {"type": "object"}, "replicaCount": {"type": "integer"}},
        }
    numbers = version_numbers(version)
    names = [*_ENVIRONMENT.split(), *(name for since, name in _LATER if numbers >= since)]
    env = {}
    for item in sorted(names):
        variable, _, kind = item.partition(":")
        env[variable] = {"type": "string", "format": kind} if kind else {"type": "string"}
    flag = {"type": "string", "format": "boolean"}
    subnet = _closed(
        {"id": {"type": "string"}, "securityGroups": {"type": "array", "items": {"type": "string"}}}, ["id"]
    )
    limits = _closed({"cpu": {"type": "string"}, "memory": {"type": "string"}})
    definitions = {
        "Env": _closed(env),
        "EniConfig": _closed(
            {
                "create": {"type": "boolean"},
                "region": {"type": "string"},
                "subnets": {"type": "object", "additionalProperties": subnet, "minProperties": 1},
            },
            ["create", "region", "subnets"],
        ),
        "Init": _closed({"env": _closed({"DISABLE_TCP_EARLY_DEMUX": flag, "ENABLE_V6_EGRESS": flag})}),
        "NodeAgent": _closed(
            {
                "enableCloudWatchLogs": flag,
                "enablePolicyEventLogs": flag,
                "healthProbeBindAddr": {"type": "string", "format": "integer"},
                "metricsBindAddr": {"type": "string", "format": "integer"},
            }
        ),
        "Resources": _closed({"limits": limits, "requests": limits}),
        "VpcCni": _closed(
            {
                "affinity": {"type": ["object", "null"]},
                "enableNetworkPolicy": flag,
                "enableWindowsIpam": flag,
                "eniConfig": {"$ref": "#/definitions/EniConfig"},
                "env": {"$ref": "#/definitions/Env"},
                "init": {"$ref": "#/definitions/Init"},
                "livenessProbeTimeoutSeconds": {"type": "integer"},
                "nodeAgent": {"$ref": "#/definitions/NodeAgent"},
                "readinessProbeTimeoutSeconds": {"type": "integer"},
                "resources": {"$ref": "#/definitions/Resources"},
                "tolerations": {"type": "array", "items": {"type": "object"}},
            }
        ),
    }
    return {
        "$schema": "http://json-schema.org/draft-06/schema#",
        "$ref": "#/definitions/VpcCni",
        "definitions": definitions,
        "description": VPC_CNI,
    }


def schema_violations(value: Any, schema: dict[str, Any]) -> list[str]:
    """What a value breaks of a schema of this catalogue, in the words of EKS's own validator."""
    return list(_violations(value, schema, schema, "$"))


def _violations(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str) -> list[str]:
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
    expected = schema.get("type")
    allowed: list[str] = expected if isinstance(expected, list) else [str(expected)]
    kind = _KINDS.get(type(value), type(value).__name__)
    if expected and kind not in allowed:
        return [f"{path}: {kind} found, {' or '.join(allowed)} expected"]
    found: list[str] = []
    if isinstance(value, dict):
        known, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [
            f"{path}.{name}: is missing but it is required" for name in schema.get("required", []) if name not in value
        ]
        for name, item in value.items():
            below = f"{path}.{name}"
            if name in known:
                found += _violations(item, known[name], root, below)
            elif extra is False:
                found.append(
                    f"{below}: is not defined in the schema and the schema does not allow additional properties"
                )
            elif isinstance(extra, dict):
                found += _violations(item, extra, root, below)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found += _violations(item, schema["items"], root, f"{path}[{index}]")
    return found


def _closed(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    closed: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        closed["required"] = required
    return json.loads(json.dumps(closed))  # type: ignore[no-any-return]  # a deep copy of what was given
