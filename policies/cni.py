"""What a stack says of the VPC CNI: the managed add-on, a DaemonSet, a patch of one, or the Helm chart."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import OBSERVED_VERSION, CniVersion
from headroom.capacity.settings import MANIFEST_VALUES, SETTINGS, CniSettings
from policies import yaml_text
from policies.configuration import environment as live_environment
from policies.findings import Undecided, read
from policies.resources import (
    ADDON,
    DAEMON_SET,
    DAEMON_SET_PATCH,
    HELM_RELEASE,
    UNKNOWN,
    Resource,
    Resources,
)

ADDON_NAME: Final = "vpc-cni"
DAEMON_SET_NAME: Final = "aws-node"
NAMESPACE: Final = "kube-system"
_HIDDEN: Final = Undecided("metadata.namespace")
CHART_NAME: Final = "aws-vpc-cni"
TYPES: Final = (ADDON, DAEMON_SET, DAEMON_SET_PATCH, HELM_RELEASE)
"""Types of the resources that can say something of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cni:
    """One resource that sets the VPC CNI up.

    Attributes:
        resource: The resource.
        environment: aws-node's values that it sets; those that are not known are left out.
        wrong: What is wrong with their form.
        unknown: What could not be read of them.
        version: The version; None where the resource does not say.
    """

    resource: Resource
    environment: Mapping[str, str]
    wrong: tuple[Problem, ...] = ()
    unknown: tuple[Undecided, ...] = ()
    version: CniVersion | Undecided | ProblemsError | None = None

    def effective(self) -> dict[str, str]:
        """The environment with what the stock manifest of that version sets beside it."""
        version = self.version if isinstance(self.version, CniVersion) else OBSERVED_VERSION
        stock = {
            name: value
            for name, value in MANIFEST_VALUES.items()
            if (since := SETTINGS[name].since) is None or since <= version
        }
        return {**stock, **self.environment}

    def settings(self) -> CniSettings:
        """What ipamd makes of it."""
        return CniSettings.from_environment(self.effective())


def cnis(resources: Resources) -> Iterator[Cni]:
    """Everything in the stack that sets the VPC CNI up."""
    for resource in resources.of_type(*TYPES):
        if resource.type == ADDON:
            yield from _addon(resource)
        elif resource.type == HELM_RELEASE:
            yield from _release(resource)
        else:
            yield from _daemon_set(resource)


def config_settings(resources: Resources, config: Mapping[str, Any]) -> tuple[CniSettings, CniVersion | None]:
    """The settings and version that hold: those of the stack, else those of the rule's configuration.

    Where the stack sets only some values, the configuration's `environment` is what is live beside them.
    """
    live = live_environment(config)
    version = config_version(resources, config)
    for cni in cnis(resources):
        return CniSettings.from_environment({**MANIFEST_VALUES, **live, **cni.environment}), version
    return CniSettings.from_environment({**MANIFEST_VALUES, **live}), version


def config_version(resources: Resources, config: Mapping[str, Any]) -> CniVersion | None:
    """The version of the VPC CNI: what the stack installs, else `cniVersion` of the rule's configuration."""
    for cni in cnis(resources):
        if isinstance(cni.version, CniVersion):
            return cni.version
    version = _version(config.get("cniVersion"))
    return version if isinstance(version, CniVersion) else None


def _version(text: object) -> CniVersion | ProblemsError | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return CniVersion.parse(text)
    except ProblemsError as error:
        return error


def _addon(resource: Resource) -> Iterator[Cni]:
    name = read(resource.properties, "addonName", str)
    if isinstance(name, Undecided):
        yield Cni(resource=resource, environment={}, unknown=(name,))
        return
    if name != ADDON_NAME:
        return
    version = read(resource.properties, "addonVersion", str)
    known_version = version if isinstance(version, Undecided) else _version(version)
    text = read(resource.properties, "configurationValues", str)
    if isinstance(text, Undecided):
        yield Cni(resource=resource, environment={}, unknown=(text,), version=known_version)
        return
    values = configuration_values(text)
    if values is None:
        problem = Problem(
            rule="configuration-values",
            value="configurationValues",
            reason="is neither a JSON nor a YAML mapping, and EKS refuses it.",
            next_step='Write JSON such as {"env":{"WARM_IP_TARGET":"5"}}.',
            source="aws eks describe-addon-configuration, vpc-cni",
        )
        yield Cni(resource=resource, environment={}, wrong=(problem,), version=known_version)
        return
    environment, wrong, unknown = _environment(values.get("env"))
    yield Cni(resource=resource, environment=environment, wrong=wrong, unknown=unknown, version=known_version)


def configuration_values(text: str | None) -> Mapping[str, Any] | None:
    """An add-on's configuration values, which EKS takes as JSON or YAML; None where they are no mapping."""
    if not text:
        return {}
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        try:
            _, values = yaml_text.load(text)
        except yaml.YAMLError:
            return None
    return values if isinstance(values, dict) else None


def _environment(values: object) -> tuple[dict[str, str], tuple[Problem, ...], tuple[Undecided, ...]]:
    if values is None:
        return {}, (), ()
    if values is UNKNOWN:
        return {}, (), (Undecided("env"),)
    if not isinstance(values, Mapping):
        return {}, (_not_text("env", "is no mapping of strings by name."),), ()
    environment: dict[str, str] = {}
    wrong: list[Problem] = []
    unknown: list[Undecided] = []
    for name, value in values.items():
        if isinstance(value, str):
            environment[str(name)] = value
        elif value is UNKNOWN:
            unknown.append(Undecided(f"env.{name}"))
        else:
            wrong.append(_not_text(f"{name}={json.dumps(value, default=str)}", "is not a string, and is refused."))
    return environment, tuple(wrong), tuple(unknown)


def _not_text(value: str, reason: str) -> Problem:
    return Problem(
        rule="configuration-values",
        value=value,
        reason=reason,
        next_step='Put the value in quotes, numbers too: "5".',
        source="aws eks describe-addon-configuration, vpc-cni",
    )


def _daemon_set(resource: Resource) -> Iterator[Cni]:
    name = read(resource.properties, "metadata.name", str)
    if isinstance(name, Undecided) and read(resource.properties, "metadata.namespace", str) in (
        None,
        NAMESPACE,
        _HIDDEN,
    ):
        yield Cni(resource=resource, environment={}, unknown=(name,))
        return
    if name != DAEMON_SET_NAME:
        return
    containers = read(resource.properties, "spec.template.spec.containers", list)
    if isinstance(containers, Undecided):
        yield Cni(resource=resource, environment={}, unknown=(containers,))
        return
    for container in containers or ():
        if read(container, "name", str) != DAEMON_SET_NAME:
            continue
        listed = read(container, "env", list)
        if isinstance(listed, Undecided):
            yield Cni(resource=resource, environment={}, unknown=(Undecided("env"),))
            return
        named = {
            item["name"]: item["value"]
            for item in listed or ()
            if isinstance(item, Mapping) and isinstance(item.get("name"), str) and item.get("value") is not None
        }
        environment, wrong, unknown = _environment(named)
        image = read(container, "image", str)
        version = _version(image.rpartition(":")[2]) if isinstance(image, str) and ":" in image else None
        yield Cni(resource=resource, environment=environment, wrong=wrong, unknown=unknown, version=version)


def _release(resource: Resource) -> Iterator[Cni]:
    chart = read(resource.properties, "chart", str)
    if not isinstance(chart, str) or chart.rpartition("/")[2] != CHART_NAME:
        return
    values = read(resource.properties, "values", dict)
    if isinstance(values, Undecided):
        yield Cni(resource=resource, environment={}, unknown=(values,))
        return
    listed = (values or {}).get("env")
    if isinstance(listed, Mapping):  # the chart's template puts every value in quotes
        listed = {name: json.dumps(value) if isinstance(value, bool | int) else value for name, value in listed.items()}
    environment, wrong, unknown = _environment(listed)
    version = _version(read(values, "image.tag", str))
    yield Cni(resource=resource, environment=environment, wrong=wrong, unknown=unknown, version=version)
