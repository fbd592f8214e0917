"""EKS add-ons, which moto does not have: their states, schema and conflicts with the live DaemonSet."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import yaml
from moto.eks.models import Cluster, eks_backends

from headroom.rehearsal.aws.addon_catalogue import (
    ADDON_VERSIONS,
    VPC_CNI,
    compatible_cluster_versions,
    configuration_schema,
    default_environment,
    schema_violations,
)
from headroom.rehearsal.aws.settings import ACCOUNT, Settings

CONFLICT = "ConfigurationConflict"

_CONFLICT_TEXT = (
    "Conflicts found when trying to apply. Will not continue due to resolve conflicts mode. Conflicts:\n{fields}"
)
_CONFLICT_FIELD = 'DaemonSet.apps aws-node - .spec.template.spec.containers[name="aws-node"].env[name="{name}"].value'


class LiveEnvironment(Protocol):
    """The environment of the aws-node container as a cluster really has it."""

    def read(self, cluster: str) -> dict[str, str]:
        """All variables with their values; empty if there is no DaemonSet."""

    def replace(self, cluster: str, environment: Mapping[str, str], *, version: str | None = None) -> None:
        """Make it exactly this; with a version, of that add-on version."""

    def version(self, cluster: str) -> str:
        """The add-on version that it was made of last; empty if it was of none."""


class MemoryEnvironment:
    """DaemonSets that consist of nothing but their environment, one a cluster."""

    def __init__(self) -> None:
        self._environments: dict[str, dict[str, str]] = {}
        self._versions: dict[str, str] = {}

    def read(self, cluster: str) -> dict[str, str]:
        """All variables."""
        return dict(self._environments.get(cluster, {}))

    def replace(self, cluster: str, environment: Mapping[str, str], *, version: str | None = None) -> None:
        """Make it exactly this."""
        self._environments[cluster] = dict(environment)
        if version is not None:
            self._versions[cluster] = version

    def version(self, cluster: str) -> str:
        """The version that it was given last."""
        return self._versions.get(cluster, "")


class AddonsError(Exception):
    """An answer of EKS that refuses the request."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass(slots=True, kw_only=True)
class Addon:
    """One add-on of one cluster."""

    cluster: str
    name: str
    version: str
    arn: str
    configuration: str | None
    role: str | None
    tags: dict[str, str]
    status: str = "CREATING"
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    issues: list[dict[str, Any]] = field(default_factory=list)
    applied: dict[str, str] = field(default_factory=dict)
    """What EKS itself set in the DaemonSet last: what differs from it was changed by somebody else."""

    def shown(self) -> dict[str, Any]:
        """As DescribeAddon shows it."""
        shown = {
            "addonName": self.name,
            "clusterName": self.cluster,
            "status": self.status,
            "addonVersion": self.version,
            "health": {"issues": self.issues},
            "addonArn": self.arn,
            "createdAt": self.created,
            "modifiedAt": self.modified,
            "serviceAccountRoleArn": self.role,
            "tags": self.tags,
            "configurationValues": self.configuration,
        }
        return {key: value for key, value in shown.items() if value is not None}


@dataclass(slots=True, kw_only=True)
class Update:
    """One update of an add-on, as DescribeUpdate shows it."""

    cluster: str
    addon: str
    params: list[dict[str, str]]
    identifier: str = field(default_factory=lambda: str(uuid4()))
    status: str = "InProgress"
    created: float = field(default_factory=time.time)
    errors: list[dict[str, Any]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As DescribeUpdate shows it."""
        return {
            "id": self.identifier,
            "status": self.status,
            "type": "AddonUpdate",
            "params": self.params,
            "createdAt": self.created,
            "errors": self.errors,
        }


Parameters = Mapping[str, Any]


class Addons:
    """The add-on actions of EKS for all clusters of the simulated AWS."""

    def __init__(self, settings: Callable[[], Settings], environment: LiveEnvironment | None = None) -> None:
        self.environment: LiveEnvironment = environment or MemoryEnvironment()
        self._settings = settings
        self._addons: dict[tuple[str, str, str], Addon] = {}
        self._updates: dict[str, Update] = {}
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._actions: dict[str, Callable[[str, Parameters], dict[str, Any]]] = {
            "CreateAddon": self._create,
            "DescribeAddon": self._describe,
            "UpdateAddon": self._update,
            "DeleteAddon": self._delete,
            "ListAddons": self._list,
            "DescribeAddonVersions": self._versions,
            "DescribeAddonConfiguration": self._configuration,
            "DescribeUpdate": self._describe_update,
            "ListUpdates": self._list_updates,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    def serves(self, action: str, parameters: Parameters) -> bool:
        """Whether the request is for here: an action on add-ons, or on the tags of one."""
        return action in self._actions and ":addon/" in str(parameters.get("resourceArn", ":addon/"))

    def call(self, region: str, action: str, parameters: Parameters) -> dict[str, Any]:
        """Answer one action.

        Raises:
            AddonsError: EKS refuses.
        """
        self._settle()
        return self._actions[action](region, parameters)

    # --- actions --------------------------------------------------------------------------------------------

    def _create(self, region: str, parameters: Parameters) -> dict[str, Any]:
        cluster = self._cluster(region, parameters)
        name = str(parameters["addonName"])
        if (region, cluster.name, name) in self._addons:
            raise AddonsError("ResourceInUseException", "Addon already exists.", 409)
        mode = str(parameters.get("resolveConflicts", "NONE"))
        if mode not in ("NONE", "OVERWRITE"):
            raise AddonsError("InvalidParameterException", f"ResolveConflicts {mode} is not supported for CreateAddon")
        version = _checked_version(name, parameters.get("addonVersion"), cluster)
        configuration = parameters.get("configurationValues")
        values = _checked_configuration(name, version, configuration)
        addon = Addon(
            cluster=cluster.name,
            name=name,
            version=version,
            arn=f"arn:aws:eks:{region}:{ACCOUNT}:addon/{cluster.name}/{name}/{uuid4()}",
            configuration=configuration or None,
            role=parameters.get("serviceAccountRoleArn"),
            tags=dict(parameters.get("tags") or {}),
        )
        self._addons[region, cluster.name, name] = addon

        def finish() -> None:
            conflicts = self._apply(addon, version, values, mode)
            addon.status = "CREATE_FAILED" if conflicts else "ACTIVE"
            addon.issues = [{"code": CONFLICT, "message": conflicts}] if conflicts else []

        self._in(self._settings().addon_seconds, finish)
        return {"addon": addon.shown()}

    def _describe(self, region: str, parameters: Parameters) -> dict[str, Any]:
        return {"addon": self._addon(region, parameters).shown()}

    def _update(self, region: str, parameters: Parameters) -> dict[str, Any]:
        addon = self._addon(region, parameters)
        cluster = self._cluster(region, parameters)
        if addon.status in ("CREATING", "UPDATING", "DELETING"):
            raise AddonsError("ResourceInUseException", f"Addon {addon.name} is in state {addon.status}", 409)
        mode = str(parameters.get("resolveConflicts", "NONE"))
        version = _checked_version(addon.name, parameters.get("addonVersion") or addon.version, cluster)
        configuration = parameters.get("configurationValues", addon.configuration)
        values = _checked_configuration(addon.name, version, configuration)
        role = parameters.get("serviceAccountRoleArn", addon.role)
        update = Update(
            cluster=cluster.name,
            addon=addon.name,
            params=[
                {"type": "AddonVersion", "value": version},
                {"type": "ResolveConflicts", "value": mode},
                {"type": "ConfigurationValues", "value": configuration or ""},
            ],
        )
        self._updates[update.identifier] = update
        addon.status = "UPDATING"

        def finish() -> None:
            conflicts = self._apply(addon, version, values, mode)
            addon.modified = time.time()
            if conflicts:
                update.status = "Failed"
                update.errors = [{"errorCode": CONFLICT, "errorMessage": conflicts, "resourceIds": []}]
                addon.status = "UPDATE_FAILED"
                addon.issues = [{"code": CONFLICT, "message": conflicts}]
                return
            update.status = "Successful"
            addon.status, addon.issues = "ACTIVE", []
            addon.version, addon.configuration, addon.role = version, configuration or None, role

        self._in(self._settings().addon_seconds, finish)
        return {"update": update.shown()}

    def _delete(self, region: str, parameters: Parameters) -> dict[str, Any]:
        addon = self._addon(region, parameters)
        preserve = str(parameters.get("preserve", "false")).lower() == "true"
        addon.status = "DELETING"

        def finish() -> None:
            self._addons.pop((region, addon.cluster, addon.name), None)
            if addon.name == VPC_CNI and not preserve:
                self.environment.replace(addon.cluster, {})

        shown = addon.shown()
        self._in(self._settings().addon_seconds, finish)
        return {"addon": shown}

    def _list(self, region: str, parameters: Parameters) -> dict[str, Any]:
        cluster = self._cluster(region, parameters)
        names = sorted(name for (place, owner, name) in self._addons if (place, owner) == (region, cluster.name))
        return {"addons": names}

    def _versions(self, region: str, parameters: Parameters) -> dict[str, Any]:
        del region
        wanted, kubernetes = parameters.get("addonName"), parameters.get("kubernetesVersion")
        addons = []
        for name, versions in ADDON_VERSIONS.items():
            if wanted not in (None, name):
                continue
            infos = []
            for version in reversed(versions):
                clusters = compatible_cluster_versions(name, version)
                if kubernetes and kubernetes not in clusters:
                    continue
                infos.append(
                    {
                        "addonVersion": version,
                        "architecture": ["amd64", "arm64"],
                        "compatibilities": [
                            {"clusterVersion": cluster, "platformVersions": ["*"], "defaultVersion": False}
                            for cluster in clusters
                        ],
                        "requiresConfiguration": False,
                    }
                )
            addons.append(
                {
                    "addonName": name,
                    "type": "networking",
                    "addonVersions": infos,
                    "publisher": "eks",
                    "owner": "aws",
                }
            )
        return {"addons": addons}

    def _configuration(self, region: str, parameters: Parameters) -> dict[str, Any]:
        del region
        name, version = str(parameters["addonName"]), str(parameters["addonVersion"])
        if version not in ADDON_VERSIONS.get(name, ()):
            raise AddonsError("ResourceNotFoundException", f"No addon versions found for {name} {version}", 404)
        return {
            "addonName": name,
            "addonVersion": version,
            "configurationSchema": json.dumps(configuration_schema(name, version)),
        }

    def _describe_update(self, region: str, parameters: Parameters) -> dict[str, Any]:
        self._cluster(region, parameters)
        identifier = str(parameters["updateId"])
        if identifier not in self._updates:
            raise AddonsError("ResourceNotFoundException", f"No update found for ID: {identifier}", 404)
        return {"update": self._updates[identifier].shown()}

    def _list_updates(self, region: str, parameters: Parameters) -> dict[str, Any]:
        cluster, name = self._cluster(region, parameters), parameters.get("addonName")
        return {
            "updateIds": [
                update.identifier
                for update in self._updates.values()
                if update.cluster == cluster.name and name in (None, update.addon)
            ]
        }

    def _tag(self, region: str, parameters: Parameters) -> dict[str, Any]:
        tags = parameters["tags"]
        self._tagged(region, parameters).tags.update(tags)
        return {}

    def _untag(self, region: str, parameters: Parameters) -> dict[str, Any]:
        addon, keys = self._tagged(region, parameters), parameters.get("tagKeys", [])
        for key in [keys] if isinstance(keys, str) else keys:
            addon.tags.pop(key, None)
        return {}

    def _list_tags(self, region: str, parameters: Parameters) -> dict[str, Any]:
        return {"tags": dict(self._tagged(region, parameters).tags)}

    def _tagged(self, region: str, parameters: Parameters) -> Addon:
        arn = parameters["resourceArn"]
        for (place, _, _), addon in self._addons.items():
            if place == region and addon.arn == arn:
                return addon
        raise AddonsError("NotFoundException", f"No resource found for ARN {arn}", 404)

    # --- the DaemonSet --------------------------------------------------------------------------------------

    def _apply(self, addon: Addon, version: str, values: dict[str, Any], mode: str) -> str:
        """Apply version and configuration to the DaemonSet; gives the conflicts, or nothing if it was done.

        NONE fails on a variable that somebody else changed; OVERWRITE makes the environment the add-on's
        defaults plus the configuration, nothing else; PRESERVE keeps what somebody else changed, even against
        the configuration (amazon-vpc-cni-k8s #2607, #2268, #2272).
        """
        if addon.name != VPC_CNI:
            return ""
        wanted = {**default_environment(version, addon.cluster), **(values.get("env") or {})}
        live = self.environment.read(addon.cluster)
        foreign = {
            name for name, value in live.items() if value != addon.applied.get(name) and value != wanted.get(name)
        }
        conflicts = sorted(foreign & wanted.keys())
        if mode == "NONE" and conflicts:
            return _CONFLICT_TEXT.format(fields="\n".join(_CONFLICT_FIELD.format(name=name) for name in conflicts))
        kept = {} if mode == "OVERWRITE" else {name: live[name] for name in foreign}
        self.environment.replace(addon.cluster, {**wanted, **kept}, version=version)
        addon.applied = wanted
        return ""

    # --- helpers --------------------------------------------------------------------------------------------

    def _in(self, seconds: float, happen: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, happen))

    def _settle(self) -> None:
        now = time.monotonic()
        due = [happen for moment, happen in self._later if moment <= now]
        self._later = [item for item in self._later if item[0] > now]
        for happen in due:
            happen()

    def _cluster(self, region: str, parameters: Parameters) -> Cluster:
        name = str(parameters.get("clusterName") or parameters.get("name"))
        clusters: dict[str, Cluster] = eks_backends[ACCOUNT][region].clusters
        if name not in clusters:
            raise AddonsError("ResourceNotFoundException", f"No cluster found for name: {name}.", 404)
        return clusters[name]

    def _addon(self, region: str, parameters: Parameters) -> Addon:
        cluster, name = self._cluster(region, parameters).name, str(parameters["addonName"])
        if (region, cluster, name) not in self._addons:
            raise AddonsError("ResourceNotFoundException", f"No addon: {name} found in cluster: {cluster}", 404)
        return self._addons[region, cluster, name]


def _checked_version(name: str, version: object, cluster: Cluster) -> str:
    if name not in ADDON_VERSIONS:
        raise AddonsError(
            "InvalidParameterException",
            f"Addon {name} specified is not supported in {cluster.version} kubernetes version",
        )
    if version is None:
        return ADDON_VERSIONS[name][-1]
    if version not in ADDON_VERSIONS[name]:
        raise AddonsError("InvalidParameterException", "Addon version specified is not supported")
    return str(version)


def _checked_configuration(name: str, version: str, text: object) -> dict[str, Any]:
    """The configuration values, which may be JSON or YAML, held against the schema of that very version."""
    if not text:
        return {}
    refused = "ConfigurationValue provided in request is not supported"
    try:
        values = yaml.safe_load(str(text))
    except yaml.YAMLError as error:
        raise AddonsError("InvalidParameterException", f"{refused}: {error}") from error
    if not isinstance(values, dict):
        raise AddonsError("InvalidParameterException", f"{refused}: it is not an object")
    violations = schema_violations(values, configuration_schema(name, version))
    if violations:
        raise AddonsError(
            "InvalidParameterException",
            f"{refused}: Json schema validation failed with error: [{', '.join(violations)}]",
        )
    return values
