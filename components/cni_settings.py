"""Settings of the VPC CNI (aws-node), merged over what is live and checked for contradictions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_aws import eks

from headroom.addresses.blocks import shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.settings import check_settings, live_settings_to_keep
from headroom.planning.addon import ADDON_NAME

DAEMONSET_NAMESPACE = "kube-system"
DAEMONSET_NAME = "aws-node"
FIELD_MANAGER = "headroom"
"""Owner of the environment values that a patch of a self-managed aws-node sets, and of nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CniSettingsArgs:
    """What to set, and what is there now.

    Attributes:
        cluster: Name of the EKS cluster.
        managed_by: `addon` for the managed add-on, which resets what it did not set itself; `daemonset` for a
            self-managed aws-node.
        settings: aws-node's environment values to set. What is not named stays as it is.
        cni_version: Version that runs, such as `1.19.2`.
        live_environment: aws-node's environment as it is now: read, because OVERWRITE would drop what somebody
            set by hand (amazon-vpc-cni-k8s #2268).
        live_configuration: The add-on's configuration values as they are now (JSON), or none.
        configuration_schema: The JSON schema of the add-on's version, from
            `aws eks describe-addon-configuration`. Without it, names that the version lacks show only at `up`.
        addon_version: The add-on's version as it is now, such as `v1.19.2-eksbuild.1`: never left to EKS, which
            would take the most recent one.
        service_account_role_arn: The add-on's role as it is now.
        nitro: Whether all nodes are Nitro instances or bare metal.
        network_policy: Whether the VPC CNI's network policy agent is on.
        force: Take over values that another field manager owns (self-managed only).

    Raises:
        ProblemsError: Every problem at once.
    """

    cluster: str
    managed_by: Literal["addon", "daemonset"]
    settings: Mapping[str, str]
    cni_version: str
    live_environment: Mapping[str, str] = field(default_factory=dict)
    live_configuration: str | None = None
    configuration_schema: str | None = None
    addon_version: str | None = None
    service_account_role_arn: pulumi.Input[str] | None = None
    nitro: bool = True
    network_policy: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        problems, _ = self.check()
        if problems:
            raise ProblemsError(problems, subject="CniSettingsArgs")

    def check(self) -> tuple[list[Problem], list[Problem]]:
        """Problems and warnings of the environment that results."""
        found: list[Problem] = []
        if self.managed_by not in ("addon", "daemonset"):
            found.append(
                Problem(
                    rule="managed-by",
                    key="managed_by",
                    value=str(self.managed_by),
                    reason="is neither addon nor daemonset.",
                    next_step="`aws eks list-addons` shows vpc-cni where the add-on manages aws-node.",
                )
            )
        if not self.settings:
            found.append(
                Problem(
                    rule="no-settings",
                    key="settings",
                    value="{}",
                    reason="sets nothing.",
                    next_step="Name a setting, or leave the component out.",
                )
            )
        if self.managed_by == "addon" and not self.addon_version:
            found.append(
                Problem(
                    rule="addon-version",
                    key="addon_version",
                    value="nothing",
                    reason="leaves the version to EKS, which takes the most recent one.",
                    next_step="Name the version that runs: `aws eks describe-addon --addon-name vpc-cni`.",
                )
            )
        try:
            environment = self.environment()
        except ProblemsError as error:
            found.extend(error.problems)
            environment = {**self.live_environment, **self.settings}
        problems, warnings = check_settings(
            environment,
            self.cni_version,
            nitro=self.nitro,
            network_policy=self.network_policy,
            # The manifest's own values are not what this change is about.
            changed={*self.settings, *live_settings_to_keep(self.live_environment)},
        )
        found.extend(problems)
        found.extend(self._schema_problems())
        return found, list(warnings)

    def environment(self) -> dict[str, str]:
        """The environment that results: the settings over what is live, and that over what the add-on was given.

        Raises:
            ProblemsError: The add-on's configuration cannot be read.
        """
        given, _ = _read_configuration(self.live_configuration)
        return {**given, **self.live_environment, **self.settings}

    def configuration(self) -> dict[str, Any]:
        """The add-on's configuration values that result: live ones, hand-made changes and the settings, merged.

        A value that was set by hand wins over the one that the add-on was given: it is what the nodes have now.

        Raises:
            ProblemsError: The add-on's configuration cannot be read.
        """
        given, configuration = _read_configuration(self.live_configuration)
        kept = {name: self.live_environment.get(name, value) for name, value in given.items()}
        environment = {**live_settings_to_keep(self.live_environment), **kept, **self.settings}
        return {**configuration, "env": dict(sorted(environment.items()))}

    def _schema_problems(self) -> list[Problem]:
        """Names that EKS would refuse, or why that cannot be told."""
        if not self.configuration_schema:
            return []
        try:
            known = _environment_names(_read_object(self.configuration_schema, "configuration_schema"))
        except ProblemsError as error:
            return list(error.problems)
        if not known:
            return [
                Problem(
                    rule="configuration-json",
                    key="configuration_schema",
                    value=shown(self.configuration_schema),
                    reason="defines no environment values, so it is not the schema of the add-on.",
                    next_step=f"Copy configurationSchema from {_SCHEMA_COMMAND}.",
                )
            ]
        try:
            names = self.configuration()["env"]
        except ProblemsError:
            return []  # what is wrong with the configuration has been said already
        return [
            Problem(
                rule="not-in-schema",
                key="settings",
                value=name,
                reason=f"is not defined in the schema of {ADDON_NAME} {self.addon_version}: EKS would refuse it.",
                next_step="Move to an add-on version whose schema has it, or leave it at its default.",
                source="amazon-vpc-cni-k8s #2173",
            )
            for name in names
            if name not in known
        ]


_SCHEMA_COMMAND = "`aws eks describe-addon-configuration --addon-name vpc-cni --addon-version …`"


def _read_object(text: str, key: str) -> dict[str, Any]:
    """A JSON object as EKS prints it.

    Raises:
        ProblemsError: The text is none.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        value, reason = None, f"is not JSON: {error}."
    else:
        reason = "is JSON, but not an object."
    if isinstance(value, dict):
        return value
    if key == "configuration_schema":
        step = f"Copy configurationSchema from {_SCHEMA_COMMAND}."
    else:
        step = "Copy configurationValues from `aws eks describe-addon`, as JSON where it is YAML there."
    raise ProblemsError(
        [Problem(rule="configuration-json", key=key, value=shown(text), reason=reason, next_step=step)],
        subject="add-on configuration",
    )


def _read_configuration(text: str | None) -> tuple[dict[str, str], dict[str, Any]]:
    """The add-on's environment values, and all that it was given.

    Raises:
        ProblemsError: The text is not what EKS takes.
    """
    configuration = _read_object(text, "live_configuration") if text else {}
    environment = configuration.get("env", {})
    if isinstance(environment, dict) and all(isinstance(value, str) for value in environment.values()):
        return environment, configuration
    raise ProblemsError(
        [
            Problem(
                rule="configuration-json",
                key="live_configuration",
                value=shown(json.dumps(environment)),
                reason="stands under env, where EKS takes strings by name only.",
                next_step="Copy configurationValues from `aws eks describe-addon`, numbers in quotes.",
                source="aws eks describe-addon-configuration, vpc-cni",
            )
        ],
        subject="add-on configuration",
    )


def _environment_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """The environment values that the add-on's schema defines; none where it is not such a schema."""
    for path in (("definitions", "Env", "properties"), ("properties", "env", "properties")):
        found: Any = schema
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict) and found:
            return frozenset(found)
    return frozenset()


class CniSettings(pulumi.ComponentResource):
    """Sets aws-node's environment: through the managed add-on, or by a patch of a self-managed DaemonSet.

    The add-on exists already: import it before the first `up` (`pulumi import --file`, with what
    `headroom.planning.addon` writes). It is kept when the stack is destroyed. Every change of the environment rolls
    the DaemonSet.
    """

    environment: Mapping[str, str]
    """The environment that results."""

    def __init__(self, name: str, args: CniSettingsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:CniSettings", name, {}, opts)
        self.environment = args.environment()
        if args.managed_by == "addon":
            eks.Addon(
                name,
                cluster_name=args.cluster,
                addon_name=ADDON_NAME,
                addon_version=args.addon_version,
                configuration_values=canonical_json(args.configuration()),
                # NONE fails on a value set by hand, PRESERVE keeps it even against ours (#2607, #2272): what was
                # set by hand has been merged above, so nothing is lost.
                resolve_conflicts_on_create="OVERWRITE",
                resolve_conflicts_on_update="OVERWRITE",
                service_account_role_arn=args.service_account_role_arn,
                preserve=True,
                opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
            )
        else:
            kubernetes.apps.v1.DaemonSetPatch(
                name,
                metadata=_patch_metadata(force=args.force),
                spec=_environment_patch(args.settings),
                opts=pulumi.ResourceOptions(parent=self),
            )
        outputs: dict[str, Any] = {"environment": dict(sorted(self.environment.items()))}
        self.register_outputs(outputs)


def canonical_json(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces, so that equal values are equal text and give no difference."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _patch_metadata(*, force: bool) -> kubernetes.meta.v1.ObjectMetaPatchArgs:
    annotations = {"pulumi.com/patchFieldManager": FIELD_MANAGER}
    if force:
        annotations["pulumi.com/patchForce"] = "true"
    return kubernetes.meta.v1.ObjectMetaPatchArgs(
        name=DAEMONSET_NAME, namespace=DAEMONSET_NAMESPACE, annotations=annotations
    )


def _environment_patch(settings: Mapping[str, str]) -> kubernetes.apps.v1.DaemonSetSpecPatchArgs:
    environment = [
        kubernetes.core.v1.EnvVarPatchArgs(name=name, value=value) for name, value in sorted(settings.items())
    ]
    container = kubernetes.core.v1.ContainerPatchArgs(name=DAEMONSET_NAME, env=environment)
    template = kubernetes.core.v1.PodTemplateSpecPatchArgs(
        spec=kubernetes.core.v1.PodSpecPatchArgs(containers=[container])
    )
    return kubernetes.apps.v1.DaemonSetSpecPatchArgs(template=template)
