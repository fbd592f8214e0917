"""aws-node's settings must not contradict each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.capacity.cni_version import OBSERVED_VERSION, CniVersion
from headroom.capacity.settings import check_settings
from policies import cni
from policies.configuration import ENVIRONMENT, environment
from policies.findings import Finding
from policies.resources import Resources

NAME = "cni-settings-coherent"
DESCRIPTION = "aws-node starts with these settings, and none of them undoes another."
TYPES = cni.TYPES
SCOPE = "resource"
ENFORCEMENT = "mandatory"
SEVERITY = "critical"
TAGS = ("eks", "cni-settings")
REMEDIATION = (
    "Write the value that is named, as a string: for few addresses a node WARM_IP_TARGET and MINIMUM_IP_TARGET "
    "together, for prefix delegation WARM_PREFIX_TARGET=1."
)
CONFIG_SCHEMA: Mapping[str, Any] = {
    "environment": ENVIRONMENT,
    "nitro": {"type": "boolean", "default": True, "description": "Whether all nodes are Nitro or bare metal"},
    "networkPolicy": {"type": "boolean", "default": False, "description": "Whether the network policy agent is on"},
}


def findings(resources: Resources, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings that keep aws-node from starting, are ignored in silence, or starve pods.

    Stops: ENABLE_IPv6=true on an IPv4 cluster, as rule CRE-2025-0112 has it: ipamd refuses to start on every node;
    and MINIMUM_IP_TARGET alone, beyond which a node never grows (amazon-vpc-cni-k8s README).
    """
    known_live = environment(config)
    for found in cni.cnis(resources):
        for unknown in found.unknown:
            yield Finding(found.resource, unknown, "configurationValues")
        for problem in found.wrong:
            yield Finding(found.resource, problem, "configurationValues")
        if found.unknown:
            continue  # what is missing could contradict, or mend, what is there
        version = found.version if isinstance(found.version, CniVersion) else OBSERVED_VERSION
        problems, _ = check_settings(
            {**found.effective(), **known_live, **found.environment},
            version,
            nitro=config.get("nitro") is not False,
            network_policy=config.get("networkPolicy") is True,
            changed=found.environment.keys(),
        )
        for problem in problems:
            yield Finding(found.resource, problem, "configurationValues")
