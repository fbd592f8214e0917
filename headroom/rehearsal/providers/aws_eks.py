"""The stand-in resource type for EKS add-ons, with the calls and waits of the real provider."""

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


KINDS = (Addon(),)
