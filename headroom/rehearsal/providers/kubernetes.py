"""A stand-in for Pulumi's Kubernetes provider, in front of a real API server.

Everything goes through server-side apply, as with the real provider (4.x): the API server itself merges,
validates and reports conflicts. What a program may say is the same too: any kind that the API server
serves, custom resources included, and for each its `…Patch` type, which manages only the fields it sets.

Three things differ, knowingly. After a write the real provider waits until many kinds are ready; this one
waits for Deployments and DaemonSets only. Client-side apply, Helm, Kustomize and YAML rendering are missing.
And live lists are compared with the program's by their items' merge keys: by position, as older releases do,
a patch of one variable would differ for ever (pulumi-kubernetes #2682).
"""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # no stubs in the lock

from headroom.rehearsal.kube import (
    ApiError,
    Kube,
    KubeconfigError,
    Object,
    Resource,
    UnreachableError,
    read_kubeconfig,
)
from headroom.rehearsal.providers.common import (
    Call,
    Change,
    Failure,
    Found,
    Package,
    PartlyDoneError,
    Provider,
    ProviderError,
    ResourceKind,
    argument_parser,
    name_of,
    serve,
    token_of,
)
from headroom.rehearsal.providers.process import exit_with_stdin, stop_on_signals
from headroom.rehearsal.providers.values import Difference, Properties, compare, is_below, is_known

FIELD_MANAGER_KEY = "__fieldManager"
"""Where the state keeps the field manager, so that it stays the same from one update to the next."""

FIELD_MANAGER_ANNOTATION = "pulumi.com/patchFieldManager"
FORCE_ANNOTATION = "pulumi.com/patchForce"
SKIP_AWAIT_ANNOTATION = "pulumi.com/skipAwait"
AUTONAMED_ANNOTATION = "pulumi.com/autonamed"

CONFLICT_HELP = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
    "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources"
)

DEFINITION_PATIENCE = 3.0
"""Seconds in which the definition of a custom resource may still arrive, as the provider's five retries allow."""

MERGE_KEYS = ("name", "containerPort", "port", "mountPath", "devicePath", "ip", "topologyKey", "key", "type", "uid")
"""By which the API server tells the items of lists apart (`x-kubernetes-list-map-keys` of its built-in types)."""

REPLACED: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps/v1", "DaemonSet"): ("spec.selector",),
    ("apps/v1", "Deployment"): ("spec.selector",),
    ("apps/v1", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("v1", "ConfigMap"): ("data", "binaryData"),
    ("v1", "Secret"): ("type", "data", "stringData"),
    ("v1", "Service"): ("spec.clusterIP",),
}
"""What cannot change in place, beside name and namespace (pulumi-kubernetes, provider/pkg/provider/diff.go)."""

_OWNERS_GROUPS = ("apps/", "batch/")
"""API groups whose objects own others, which go first when they are deleted."""

_READ_ONLY_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)


class _NoMatchError(Exception):
    """The API server serves no such kind."""


@dataclass(slots=True)
class Clients:
    """Clients of API servers, one for each kubeconfig and context."""

    _clients: dict[tuple[str, str | None], Kube] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, configuration: Properties) -> Kube:
        """The client for a provider's configuration, or for the environment's kubeconfig.

        Raises:
            ProviderError: There is no kubeconfig, or it names no cluster.
        """
        kubeconfig = configuration.get("kubeconfig") or _kubeconfig_of_environment()
        if isinstance(kubeconfig, dict):  # it came as JSON
            kubeconfig = json.dumps(kubeconfig)
        if not kubeconfig:
            raise ProviderError(
                "configured Kubernetes cluster is unreachable: no kubeconfig is given: set kubernetes:kubeconfig "
                "or KUBECONFIG"
            )
        key = (kubeconfig, configuration.get("context"))
        with self._lock:
            if key not in self._clients:
                try:
                    access = read_kubeconfig(*key)
                except KubeconfigError as error:
                    raise ProviderError(f"configured Kubernetes cluster is unreachable: {error}") from error
                self._clients[key] = Kube(access, user_agent="headroom-provider")
            return self._clients[key]


class ObjectKind(ResourceKind):
    """One kind of object, or its `…Patch` type; made anew for each request."""

    def __init__(self, token: str, clients: Clients) -> None:
        self.token = token
        _, module, self._name = token.split(":", 2)
        self._group_version = module.removeprefix("core/")
        self.title = f"{self._group_version} {self._name}"
        self._clients = clients

    # --- what the engine asks -----------------------------------------------------------------------------

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """Refuses lists, and patches that name no object."""
        del call
        if self._name.endswith("List") and "items" in inputs:
            return [
                Failure(
                    "",
                    "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be "
                    "created directly. Use the underlying resource type instead",
                )
            ]
        if self._is_patch(inputs) and not _metadata(inputs).get("name"):
            return [Failure("metadata", "patch resources require the resource `.metadata.name` to be set")]
        return []

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """Adds a name where the program gives none, and the provider's default namespace."""
        metadata = dict(_metadata(inputs))
        if not metadata.get("name") and not metadata.get("generateName"):
            # The engine hands no random seed down here; the URN is as good, and stays the same.
            suffix = hashlib.sha256(call.urn.encode()).hexdigest()[:8]
            metadata["name"] = f"{name_of(call.urn)}-{suffix}"
            metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED_ANNOTATION: "true"}
        default = call.configuration.get("namespace")
        if default and not metadata.get("namespace"):
            resource = self._find_resource(self._clients.client(call.configuration), inputs)
            if resource is None or resource.namespaced:
                metadata["namespace"] = default
        return {**inputs, "metadata": metadata}

    def differences(self, call: Call, change: Change) -> list[Difference]:
        """Compares the live object, as far as the program spoke about it, with what the program says now."""
        old = _normal(_pruned(change.old_state, change.old_inputs))
        new = _normal(change.new_inputs)
        replaced = ["metadata.name", "metadata.namespace"]
        if not self._is_patch(change.new_inputs):
            replaced += self._replaced(call, new)
        found = [
            Difference(
                path=difference.path,
                added=difference.added,
                removed=difference.removed,
                replace=is_below(difference.path, replaced),
            )
            for name in sorted((old.keys() | new.keys()) - {"status"})
            for difference in compare(name, old.get(name), new.get(name))
        ]
        self.delete_before_replace = _identity(old) == _identity(new)
        return found

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """What a server-side dry run makes of it, where one is possible; else the inputs.

        It is forced, as in the real provider: a preview shows no conflicts with objects that are there.
        """
        if not is_known(inputs) or self._is_patch(inputs):
            return inputs
        kube = self._clients.client(call.configuration)
        resource = self._find_resource(kube, inputs)
        if resource is None:
            return inputs
        try:
            answer = kube.apply(
                resource, _body(resource, inputs), field_manager=_field_manager(call, inputs), force=True, dry_run=True
            )
        except ApiError as error:
            if error.reason in {"Forbidden", "AlreadyExists"} or _is_missing_namespace(error):
                return inputs
            raise ProviderError(self._not_created(inputs, _conflict_text(error, "see"))) from error
        answer.pop("status", None)
        return _state(answer, _field_manager(call, inputs))

    def preview_update(self, call: Call, change: Change) -> Properties:
        """What a server-side dry run makes of it; conflicts show here already."""
        if not is_known(change.new_inputs):
            return change.new_inputs
        kube = self._clients.client(call.configuration)
        resource = self._find_resource(kube, change.new_inputs)
        if resource is None:
            return change.new_inputs
        manager = _field_manager(call, change.new_inputs, change.old_state)
        try:
            answer = kube.apply(
                resource,
                _body(resource, change.new_inputs),
                field_manager=manager,
                force=_is_forced(call, change.new_inputs),
                dry_run=True,
            )
        except ApiError as error:
            if error.reason == "Forbidden":
                return change.new_inputs
            raise ProviderError(self._not_live(change.new_inputs, _conflict_text(error, "See"))) from error
        return _state(answer, manager)

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Applies it; an ordinary object must not be there yet."""
        kube = self._clients.client(call.configuration)
        resource = self._awaited_resource(call, kube, inputs, f"creation of resource {_label(inputs)}")
        body, manager = _body(resource, inputs), _field_manager(call, inputs)
        call.check_wanted()
        try:
            if not self._is_patch(inputs) and not _is_set(call, "upsertExistingObjects"):
                # Apply would quietly take over what exists; a creation tells.
                kube.create(resource, body, field_manager=manager, dry_run=True)
            live = kube.apply(resource, body, field_manager=manager, force=_is_forced(call, inputs))
        except ApiError as error:
            raise ProviderError(self._not_created(inputs, _conflict_text(error, "see"))) from error
        identifier, state = _identifier(live), _state(live, manager)
        reason = self._not_ready(call, kube, resource, live)
        if reason:
            raise PartlyDoneError(
                f"resource {identifier} was successfully created, but the Kubernetes API server reported that it "
                f"failed to fully initialize or become live: {reason}",
                identifier=identifier,
                state=state,
            )
        return identifier, _state(kube.find(resource, live["metadata"]["name"], _namespace(live)) or live, manager)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The live object, and of it what the program speaks about."""
        kube = self._clients.client(call.configuration)
        resource = self._find_resource(kube, inputs or state)
        if resource is None:
            return None  # its definition has gone, and all its objects with it
        namespace, _, name = identifier.rpartition("/")
        live = kube.find(resource, name, (namespace or "default") if resource.namespaced else None)
        if live is None:
            return None
        manager = _field_manager(call, inputs or live, state)
        found = _pruned(live, inputs) if inputs else _as_inputs(live)
        return Found(state=_state(live, manager), inputs=found)

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Applies the new inputs; fields that they no longer set are given up."""
        inputs = change.new_inputs
        kube = self._clients.client(call.configuration)
        resource = self._awaited_resource(call, kube, inputs, f"update of resource {identifier}")
        body = _body(resource, inputs)
        old_manager = _field_manager(call, change.old_inputs, change.old_state)
        manager = _field_manager(call, inputs, change.old_state)
        call.check_wanted()
        try:
            live = kube.apply(resource, body, field_manager=manager, force=_is_forced(call, inputs))
            if old_manager != manager:
                kube.apply(resource, _bare(body), field_manager=old_manager)
        except ApiError as error:
            raise ProviderError(self._not_live(inputs, _conflict_text(error, "See"))) from error
        reason = self._not_ready(call, kube, resource, live)
        if reason:
            raise PartlyDoneError(self._not_live(inputs, reason), identifier=identifier, state=_state(live, manager))
        return _state(kube.find(resource, live["metadata"]["name"], _namespace(live)) or live, manager)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Deletes an object and waits until it has gone; of a patch, only gives its fields up."""
        kube = self._clients.client(call.configuration)
        resource = self._find_resource(kube, state)
        if resource is None:
            return
        namespace, _, name = identifier.rpartition("/")
        place = (namespace or "default") if resource.namespaced else None
        if kube.find(resource, name, place) is None:
            return
        call.check_wanted()
        if self._is_patch(state):
            body = {
                "apiVersion": resource.group_version,
                "kind": resource.kind,
                "metadata": {"name": name, **({"namespace": place} if place else {})},
            }
            self._give_up(kube, resource, body, _field_manager(call, state, state))
            return
        # The real provider always waits for dependents. Where there are none the outcome is the same, and the
        # garbage collector needs half a minute to hear of a new custom resource.
        owns = resource.group_version.startswith(_OWNERS_GROUPS)
        kube.delete(resource, name, place, propagation="Foreground" if owns else "Background")
        call.wait_until(
            lambda: kube.find(resource, name, place) is None,
            reason=lambda: f'Timed out waiting for deletion of {self._group_version}/{resource.kind} "{name}"',
        )

    def explain(self, doing: str, error: Exception) -> str | None:
        """The API server's own words."""
        if isinstance(error, ApiError):
            return f"{doing}: {error}"
        if isinstance(error, UnreachableError):
            return f"configured Kubernetes cluster is unreachable: {error}"
        return None

    # --- helpers ------------------------------------------------------------------------------------------

    def _is_patch(self, known: Properties) -> bool:
        """Whether this is a `…Patch` type: its objects have another kind than its name."""
        return self._name == f"{known.get('kind')}Patch"

    def _find_resource(self, kube: Kube, known: Properties) -> Resource | None:
        try:
            return kube.resource(known.get("apiVersion") or self._group_version, known.get("kind") or self._name)
        except UnreachableError as error:
            raise ProviderError(f"configured Kubernetes cluster is unreachable: {error}") from error

    def _awaited_resource(self, call: Call, kube: Kube, inputs: Properties, doing: str) -> Resource:
        """The resource behind the inputs; its definition may be under way."""
        deadline = time.monotonic() + min(call.patience, DEFINITION_PATIENCE)
        while (resource := self._find_resource(kube, inputs)) is None:
            call.check_wanted()
            if time.monotonic() > deadline:
                raise ProviderError(
                    f"{doing} failed because the Kubernetes API server reported that the apiVersion for this "
                    "resource does not exist. Verify that any required CRDs have been created: no matches for kind "
                    f'"{inputs.get("kind") or self._name}" in version "{inputs.get("apiVersion")}"'
                )
            time.sleep(0.2)
        return resource

    def _replaced(self, call: Call, inputs: Properties) -> Sequence[str]:
        kind = str(inputs.get("kind") or self._name)
        mutable = {"ConfigMap": "enableConfigMapMutable", "Secret": "enableSecretMutable"}.get(kind)
        if mutable and _is_set(call, mutable) and not inputs.get("immutable"):
            return ("type",) if kind == "Secret" else ()
        return REPLACED.get((self._group_version, kind), ())

    def _give_up(self, kube: Kube, resource: Resource, body: Object, manager: str) -> None:
        try:
            kube.apply(resource, body, field_manager=manager)
        except ApiError as error:
            for cause in error.status.get("details", {}).get("causes", []):
                if cause.get("reason") == "FieldValueRequired":
                    raise ProviderError(
                        "this Patch resource is currently managing a required field, so it can't be deleted directly. "
                        "Either set the `retainOnDelete` resource option, or transfer ownership of the field before "
                        f"deleting: {cause.get('field')}"
                    ) from error
            raise

    def _not_ready(self, call: Call, kube: Kube, resource: Resource, live: Object) -> str | None:
        """Waits until a Deployment or DaemonSet has rolled out; gives the reason if it does not."""
        missing = _ROLLOUTS.get((resource.group_version, resource.kind))
        if missing is None or _annotations(live).get(SKIP_AWAIT_ANNOTATION) == "true":
            return None
        name, namespace = live["metadata"]["name"], _namespace(live)
        reason = ""

        def done() -> bool:
            nonlocal reason
            reason = missing(kube.get(resource, name, namespace))
            return not reason

        try:
            call.wait_until(done, reason=lambda: reason)
        except ProviderError as error:
            return str(error)
        return None

    def _not_created(self, inputs: Properties, reason: str) -> str:
        return f"resource {_label(inputs)} was not successfully created by the Kubernetes API server : {reason}"

    def _not_live(self, inputs: Properties, reason: str) -> str:
        return (
            f'the Kubernetes API server reported that "{_label(inputs)}" failed to fully initialize or become live: '
            f"{reason}"
        )


class KubernetesProvider(Provider):
    """The provider service for every kind that an API server may serve."""

    def __init__(self, package: Package, clients: Clients, **options: Any) -> None:
        super().__init__(package, **options)
        self._clients = clients

    def _kind(self, urn: str, context: grpc.ServicerContext) -> ResourceKind:
        del context
        return ObjectKind(token_of(urn), self._clients)


def _check_configuration(configuration: Properties) -> list[Failure]:
    failures = []
    if configuration.get("enableServerSideApply") is False:
        failures.append(
            Failure("enableServerSideApply", "the rehearsal's provider knows server-side apply only: leave this out")
        )
    if configuration.get("renderYamlToDirectory"):
        failures.append(Failure("renderYamlToDirectory", "the rehearsal's provider writes to a cluster only"))
    return failures


PACKAGE = Package(
    name="kubernetes",
    distribution="pulumi-kubernetes",
    kinds=(),
    check_configuration=_check_configuration,
)


def _kubeconfig_of_environment() -> str | None:
    """The first file that KUBECONFIG names and that exists."""
    return next(
        (name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name and Path(name).exists()), None
    )


def _metadata(known: Properties) -> Object:
    metadata = known.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _annotations(known: Properties) -> Object:
    annotations = _metadata(known).get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _namespace(known: Properties) -> str | None:
    namespace = _metadata(known).get("namespace")
    return str(namespace) if namespace else None


def _identity(known: Properties) -> tuple[Any, Any]:
    return _metadata(known).get("name"), _metadata(known).get("namespace")


def _identifier(live: Object) -> str:
    """`namespace/name`, or the name of an object without a namespace."""
    return "/".join(part for part in (_namespace(live), live["metadata"]["name"]) if part)


def _label(inputs: Properties) -> str:
    return "/".join(str(part) for part in (_namespace(inputs), _metadata(inputs).get("name")) if part)


def _is_set(call: Call, name: str) -> bool:
    """Whether a switch of the provider is on; from the configuration of a stack it comes as text."""
    return call.configuration.get(name) in (True, "true")


def _is_forced(call: Call, inputs: Properties) -> bool:
    annotation = _annotations(inputs).get(FORCE_ANNOTATION)
    if annotation is not None:
        return str(annotation).lower() == "true"
    return _is_set(call, "enablePatchForce")


def _field_manager(call: Call, inputs: Properties, state: Properties | None = None) -> str:
    """The annotation's field manager, else the one in the state, else one of the resource's own."""
    chosen = _annotations(inputs).get(FIELD_MANAGER_ANNOTATION) or (state or {}).get(FIELD_MANAGER_KEY)
    return str(chosen or f"pulumi-kubernetes-{hashlib.sha256(call.urn.encode()).hexdigest()[:8]}")


def _body(resource: Resource, inputs: Properties) -> Object:
    """The inputs as an apply configuration."""
    body = {key: value for key, value in inputs.items() if not key.startswith("__")}
    metadata = {key: value for key, value in _metadata(inputs).items() if key not in _READ_ONLY_METADATA}
    if resource.namespaced:
        metadata["namespace"] = metadata.get("namespace") or "default"
    else:
        metadata.pop("namespace", None)
    return {**body, "apiVersion": resource.group_version, "kind": resource.kind, "metadata": metadata}


def _bare(body: Object) -> Object:
    """An apply configuration that sets nothing: its field manager gives up all fields."""
    identity = {key: body["metadata"][key] for key in ("name", "namespace") if key in body["metadata"]}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": identity}


def _state(live: Object, manager: str) -> Properties:
    """The live object as the engine keeps it. Managed fields change with every writer: they are left out."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    return {**live, "metadata": metadata, FIELD_MANAGER_KEY: manager}


def _as_inputs(live: Object) -> Properties:
    """What a program would have to say to get an object: for an import."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _READ_ONLY_METADATA}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def _normal(known: Properties) -> Properties:
    """Without what the API server alone decides, and with the namespace that is meant when none is given."""
    metadata = {key: value for key, value in _metadata(known).items() if key not in _READ_ONLY_METADATA}
    if metadata.get("namespace") == "default":
        del metadata["namespace"]
    kept = {key: value for key, value in known.items() if not key.startswith("__")}
    return {**kept, "metadata": metadata}


def _pruned(live: Any, shape: Any) -> Any:
    """Of a live value, what another value speaks about: the same keys, the same items of lists."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {key: _pruned(live[key], value) for key, value in shape.items() if key in live}
    if isinstance(live, list) and isinstance(shape, list):
        key = _merge_key(live, shape)
        if key is None:
            return [_pruned(item, shape[index]) if index < len(shape) else item for index, item in enumerate(live)]
        items = {item[key]: item for item in live}
        return [_pruned(items[wanted[key]], wanted) for wanted in shape if wanted[key] in items]
    return live


def _merge_key(live: Sequence[Any], shape: Sequence[Any]) -> str | None:
    """The key by which the items of two lists can be told apart, if there is one."""
    if not all(isinstance(item, dict) for item in (*live, *shape)):
        return None
    for key in MERGE_KEYS:
        if all(key in item for item in (*live, *shape)) and len({str(item[key]) for item in live}) == len(live):
            return key
    return None


def _is_missing_namespace(error: ApiError) -> bool:
    return error.reason == "NotFound" and error.status.get("details", {}).get("kind") == "namespaces"


def _conflict_text(error: ApiError, see: str) -> str:
    if error.reason == "Conflict":
        return f"Server-Side Apply field conflict detected. {see} {CONFLICT_HELP} for troubleshooting help\n : {error}"
    return str(error)


def _missing_of_deployment(live: Object) -> str:
    """What a Deployment's rollout still lacks; empty when it is complete."""
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "the rollout has not been observed"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} replicas updated"
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} old replicas are pending termination"
    return f"{available} of {wanted} replicas available" if available < wanted else ""


def _missing_of_daemon_set(live: Object) -> str:
    """What a DaemonSet's rollout still lacks; empty when it is complete."""
    status = live.get("status", {})
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "the rollout has not been observed"
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods updated"
    return f"{available} of {wanted} pods available" if available < wanted else ""


_ROLLOUTS: dict[tuple[str, str], Callable[[Object], str]] = {
    ("apps/v1", "Deployment"): _missing_of_deployment,
    ("apps/v1", "DaemonSet"): _missing_of_daemon_set,
}


def main() -> None:
    """Serves until a signal comes, or until standard input closes; prints the port as one line."""
    options = argument_parser("kubernetes").parse_args()
    stop_on_signals()
    if options.until_stdin_closes:
        exit_with_stdin()
    provider = KubernetesProvider(PACKAGE, Clients(), patience=options.patience, log=options.log)
    server, port = serve(provider, options.port)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
