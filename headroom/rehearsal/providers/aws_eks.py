"""The stand-in resource types for EKS add-ons and node groups, with the calls and waits of the real provider."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from headroom.rehearsal.providers.aws_api import TaggedKind, code_of, region_of
from headroom.rehearsal.providers.common import (
    Call,
    Change,
    Failure,
    Found,
    ProviderError,
)
from headroom.rehearsal.providers.values import UNKNOWN, Properties, is_empty

GONE = "ResourceNotFoundException"

CREATE_MODES = ("NONE", "OVERWRITE")
UPDATE_MODES = ("NONE", "OVERWRITE", "PRESERVE")

UPDATED = ("addonVersion", "serviceAccountRoleArn", "configurationValues")
"""What an update of the add-on carries; a change of anything else is kept in the state only."""


class Addon(TaggedKind):
    """A managed add-on; creation and update wait until EKS has applied it."""

    service = "eks"
    token = "aws:eks/addon:Addon"  # noqa: S105  # no secret
    title = "EKS Add-On"
    required = frozenset({"clusterName", "addonName"})
    optional = frozenset(
        {"tags", "preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate", "serviceAccountRoleArn"}
    )
    optional_computed = frozenset({"addonVersion", "configurationValues"})
    not_simulated = frozenset({"namespaceConfig", "podIdentityAssociations"})
    outputs = frozenset({"arn", "createdAt", "modifiedAt", "tagsAll"})
    replaces = frozenset({"clusterName", "addonName"})

    kept_in_state = ("preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate")
    """Inputs that EKS does not tell: they live in the state, and an import leaves them empty."""

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """The ways to resolve conflicts have names; PRESERVE is none for a creation."""
        failures = super().check(call, inputs)
        for name, argument, modes in (
            ("resolveConflictsOnCreate", "resolve_conflicts_on_create", CREATE_MODES),
            ("resolveConflictsOnUpdate", "resolve_conflicts_on_update", UPDATE_MODES),
        ):
            value = inputs.get(name)
            if not is_empty(value) and value != UNKNOWN and value not in modes:
                failures.append(Failure(name, f"expected {argument} to be one of {list(modes)}, got {value}"))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Create and wait until it is ACTIVE; a failed one is kept in the state."""
        eks = self.api(call, inputs)
        names = {
            "clusterName": "clusterName",
            "addonName": "addonName",
            "addonVersion": "addonVersion",
            "configurationValues": "configurationValues",
            "serviceAccountRoleArn": "serviceAccountRoleArn",
            "resolveConflictsOnCreate": "resolveConflicts",
        }
        request = {theirs: inputs[ours] for ours, theirs in names.items() if inputs.get(ours)}
        tags = self.all_tags(inputs)
        eks.create_addon(**request, **({"tags": tags} if tags else {}))
        identifier = f"{inputs['clusterName']}:{inputs['addonName']}"
        call.note_created(identifier, {**inputs, "region": region_of(call, inputs)})
        doing = f"waiting for {self.title} ({identifier}) create"

        def active() -> bool:
            addon = self._describe(eks, identifier)
            if addon["status"] == "CREATE_FAILED":
                issues = ", ".join(f"{item['code']}: {item['message']}" for item in addon["health"]["issues"])
                raise ProviderError(
                    f"{doing}: unexpected state 'CREATE_FAILED', wanted target 'ACTIVE'. last error: {issues}"
                )
            return bool(addon["status"] == "ACTIVE")

        call.wait_until(active, reason=lambda: f"{doing}: timeout while waiting for state to become 'ACTIVE'")
        return identifier, self._state(call, eks, identifier, inputs)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The add-on as EKS describes it; its id is `CLUSTER:ADDON`."""
        if ":" not in identifier:
            raise ProviderError(f"unexpected format for ID ({identifier}), expected CLUSTER-NAME:ADDON-NAME")
        try:
            present = self._state(call, self.api(call, state), identifier, inputs or state)
        except ClientError as error:
            if code_of(error) == GONE:
                return None
            raise
        kept = {name: state[name] for name in self.kept_in_state if name in state}
        return self.found({**present, **kept}, inputs)

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Update what EKS knows, and wait until the update was successful."""
        eks = self.api(call, change.new_inputs)
        new, old = change.new_inputs, change.old_state
        arn = self._describe(eks, identifier)["addonArn"]
        before, after = dict(old.get("tagsAll") or {}), self.all_tags(new)
        if gone := sorted(before.keys() - after.keys()):
            eks.untag_resource(resourceArn=arn, tagKeys=gone)
        if added := {key: value for key, value in after.items() if before.get(key) != value}:
            eks.tag_resource(resourceArn=arn, tags=added)
        changed = {name: new[name] for name in UPDATED if name in new and (new[name] or "") != (old.get(name) or "")}
        if changed:
            self._update(call, eks, identifier, changed, new)
        return self._state(call, eks, identifier, new)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Delete and wait until it has gone; with `preserve` the DaemonSet stays."""
        eks = self.api(call, state)
        cluster, _, name = identifier.partition(":")
        try:
            eks.delete_addon(clusterName=cluster, addonName=name, preserve=bool(state.get("preserve")))
        except ClientError as error:
            if code_of(error) == GONE:
                return
            raise

        def gone() -> bool:
            try:
                self._describe(eks, identifier)
            except ClientError as error:
                if code_of(error) == GONE:
                    return True
                raise
            return False

        call.wait_until(gone, reason=lambda: f"waiting for {self.title} ({identifier}) delete")

    def _update(
        self,
        call: Call,
        eks: Any,
        identifier: str,
        changed: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:
        cluster, _, name = identifier.partition(":")
        request = dict(changed)
        if new.get("resolveConflictsOnUpdate"):
            request["resolveConflicts"] = new["resolveConflictsOnUpdate"]
        update = eks.update_addon(clusterName=cluster, addonName=name, **request)["update"]

        def successful() -> bool:
            found = eks.describe_update(name=cluster, addonName=name, updateId=update["id"])["update"]
            if found["status"] in ("Failed", "Cancelled"):
                errors = ", ".join(f"{item['errorCode']}: {item['errorMessage']}" for item in found["errors"])
                raise ProviderError(
                    f"unexpected state '{found['status']}', wanted target 'Successful'. last error: {errors}"
                )
            return bool(found["status"] == "Successful")

        try:
            call.wait_until(successful, reason=lambda: "timeout while waiting for state to become 'Successful'")
        except ProviderError as error:
            raise ProviderError(f"waiting for {self.title} ({identifier}) update: {error}") from error

    @staticmethod
    def _describe(eks: Any, identifier: str) -> dict[str, Any]:
        cluster, _, name = identifier.partition(":")
        return dict(eks.describe_addon(clusterName=cluster, addonName=name)["addon"])

    def _state(self, call: Call, eks: Any, identifier: str, inputs: Mapping[str, Any]) -> Properties:
        addon = self._describe(eks, identifier)
        return {
            "addonName": addon["addonName"],
            "addonVersion": addon["addonVersion"],
            "arn": addon["addonArn"],
            "clusterName": addon["clusterName"],
            "configurationValues": addon.get("configurationValues", ""),
            "createdAt": addon["createdAt"].isoformat(),
            "modifiedAt": addon["modifiedAt"].isoformat(),
            "region": region_of(call, inputs),
            "serviceAccountRoleArn": addon.get("serviceAccountRoleArn"),
            **{name: inputs.get(name) for name in self.kept_in_state},
            **self.shown_tags(addon.get("tags", {})),
        }


class NodeGroup(TaggedKind):
    """A managed node group that exists: it is imported and its sizes are changed; making one is not simulated."""

    service = "eks"
    token = "aws:eks/nodeGroup:NodeGroup"  # noqa: S105  # no secret
    title = "EKS Node Group"
    required = frozenset({"clusterName", "nodeRoleArn", "subnetIds", "scalingConfig"})
    optional = frozenset({"labels", "tags"})
    optional_computed = frozenset({"amiType", "capacityType", "diskSize", "instanceTypes", "nodeGroupName"})
    not_simulated = frozenset(
        {
            "forceUpdateVersion",
            "launchTemplate",
            "nodeGroupNamePrefix",
            "nodeRepairConfig",
            "releaseVersion",
            "remoteAccess",
            "taints",
            "updateConfig",
            "version",
            "warmPoolConfig",
        }
    )
    outputs = frozenset({"arn", "resources", "status", "tagsAll"})
    replaces = frozenset(
        {
            "amiType",
            "capacityType",
            "clusterName",
            "diskSize",
            "instanceTypes",
            "nodeGroupName",
            "nodeRoleArn",
            "subnetIds",
        }
    )

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """The subnets are a set."""
        if name == "subnetIds" and isinstance(value, list):
            return sorted(value)
        return super().compared(call, name, value)

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Refused: a stack that would make a node group has not adopted it."""
        del call
        raise ProviderError(f"the stand-in makes no node group, and was to make {inputs.get('nodeGroupName')}")

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The node group as EKS describes it; its id is `CLUSTER:GROUP`."""
        if ":" not in identifier:
            raise ProviderError(f"unexpected format for ID ({identifier}), expected cluster-name:node-group-name")
        try:
            return self.found(self._state(call, self.api(call, state), identifier, inputs or state), inputs)
        except ClientError as error:
            if code_of(error) == GONE:
                return None
            raise

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Hand over all three sizes, as the real provider does whichever of them has changed, and wait."""
        eks = self.api(call, change.new_inputs)
        cluster, _, name = identifier.partition(":")
        wanted = change.new_inputs["scalingConfig"]
        if wanted != change.old_state.get("scalingConfig"):
            sizes = {each: int(wanted[each]) for each in SIZES}
            update = eks.update_nodegroup_config(clusterName=cluster, nodegroupName=name, scalingConfig=sizes)["update"]
            if update["status"] == "Failed":
                raise ProviderError(f"updating {self.title} ({identifier}) config: {update['errors']}")
        return self._state(call, eks, identifier, change.new_inputs)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Delete it."""
        cluster, _, name = identifier.partition(":")
        self.api(call, state).delete_nodegroup(clusterName=cluster, nodegroupName=name)

    def _state(self, call: Call, eks: Any, identifier: str, inputs: Mapping[str, Any]) -> Properties:
        cluster, _, name = identifier.partition(":")
        group = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
        return {
            "amiType": group.get("amiType"),
            "arn": group["nodegroupArn"],
            "capacityType": group.get("capacityType"),
            "clusterName": group["clusterName"],
            "diskSize": group.get("diskSize"),
            "instanceTypes": group.get("instanceTypes"),
            "labels": group.get("labels") or None,
            "nodeGroupName": group["nodegroupName"],
            "nodeRoleArn": group["nodeRole"],
            "region": region_of(call, inputs),
            "scalingConfig": {each: group["scalingConfig"][each] for each in SIZES},
            "status": group["status"],
            "subnetIds": sorted(group["subnets"]),
            **self.shown_tags(group.get("tags") or {}),
        }


SIZES = ("desiredSize", "maxSize", "minSize")
"""EKS API reference, NodegroupScalingConfig."""

KINDS = (Addon(), NodeGroup())
