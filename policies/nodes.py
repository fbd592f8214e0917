"""What a stack says of its nodes: instance types, their most, their zones, and the pods that a kubelet allows."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from headroom.capacity.limits import InstanceLimits, MaxPods, max_pods
from headroom.capacity.settings import CniSettings
from policies.findings import Undecided, read
from policies.network import linked
from policies.resources import LAUNCH_TEMPLATE, UNKNOWN, Resource, Resources

DEFAULT_INSTANCE_TYPE: Final = "t3.medium"
"""What a managed node group gets where nothing says (EKS API, CreateNodegroup, instanceTypes)."""

_MAX_PODS: Final = re.compile(r"(?:--max-pods[= ]|\bmaxPods\s*:\s*|\bmax-pods\s*=\s*)[\"']?(\d{1,5})")
"""How user data sets it: a kubelet flag, a NodeConfig (nodeadm), Bottlerocket's TOML."""


def launch_template(resources: Resources, group: Resource) -> Resource | None:
    """The node group's launch template, if it belongs to the stack."""
    for path in ("launchTemplate.id", "launchTemplate"):
        for template in linked(resources, group, path, LAUNCH_TEMPLATE):
            return template
    return None


def instance_types(group: Resource, template: Resource | None) -> list[str] | Undecided:
    """The instance types that the group may launch."""
    listed = read(group.properties, "instanceTypes", list)
    if isinstance(listed, Undecided) or (listed and UNKNOWN in listed):
        return Undecided("instanceTypes")
    if listed:
        texts = [item for item in listed if isinstance(item, str)]
        return texts if len(texts) == len(listed) else Undecided("instanceTypes", "is not a list of text.")
    if template is not None:
        of_template = read(template.properties, "instanceType", str)
        if isinstance(of_template, Undecided):
            return of_template
        if of_template:
            return [of_template]
    elif read(group.properties, "launchTemplate", object) is not None:
        return Undecided("the launch template", "is not part of this stack, and instanceTypes is not set.")
    return [DEFAULT_INSTANCE_TYPE]


def user_data_max_pods(template: Resource) -> int | Undecided | None:
    """The pods that the template's user data allows a node; None where it does not say."""
    text = read(template.properties, "userData", str)
    if text is None or isinstance(text, Undecided):
        return text
    try:
        decoded = base64.b64decode(text, validate=True).decode("utf-8", errors="replace")
    except (binascii.Error, ValueError):
        return Undecided("userData", "is not base64.")
    found = _MAX_PODS.search(decoded)
    return int(found[1]) if found else None


def whole_number(config: Mapping[str, Any], key: str) -> int | None:
    """A number of 0 or more of a rule's configuration; numbers come from the engine as floating-point ones."""
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0 or value % 1:
        return None
    return int(value)


def density_lost(limits: InstanceLimits, value: int, settings: CniSettings) -> MaxPods | None:
    """The pods that prefix delegation would allow a node whose maxPods has stayed at what single addresses allow.

    None where it is off, where the type has no prefixes, or where `value` is more than that. Growth stops once maxPods
    addresses are there (amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go, isDatastorePoolTooLow), so prefixes then take
    addresses and add not one pod.
    """
    custom = settings.custom_networking
    single = max_pods(limits, custom_networking=custom)
    most = max_pods(limits, prefix_delegation=settings.prefix_delegation, custom_networking=custom)
    lost = settings.prefix_delegation and limits.supports_prefixes and value <= single.value < most.value
    return most if lost else None
