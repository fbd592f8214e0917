"""The stand-in for Pulumi's Kubernetes provider, in front of a real API server."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.rehearsal.control_plane import ControlPlane
from headroom.rehearsal.kube import CONFIG_MAPS, DAEMON_SETS, NAMESPACES, Kube, Object
from headroom.rehearsal.providers.common import Call, Change, PartlyDoneError, ProviderError
from headroom.rehearsal.providers.kubernetes import Clients, ObjectKind
from headroom.rehearsal.providers.process import start_helper
from headroom.rehearsal.providers.values import UNKNOWN
from headroom.rehearsal.tools import Tools, pulumi_environment

pytestmark = pytest.mark.control_plane

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
CONFIG_MAP_PATCH = "kubernetes:core/v1:ConfigMapPatch"
DAEMON_SET_PATCH = "kubernetes:apps/v1:DaemonSetPatch"
ENI_CONFIG = "kubernetes:crd.k8s.amazonaws.com/v1alpha1:ENIConfig"

CLIENTS = Clients()

CallFor = Callable[..., Call]


@pytest.fixture
def namespace(kube: Kube) -> str:
    name = f"provider-{uuid.uuid4().hex[:8]}"
    kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture
def call_for(control_plane: ControlPlane) -> CallFor:
    def make(token: str, *, patience: float = 5.0, **configuration: Any) -> Call:
        return Call(
            configuration={"kubeconfig": str(control_plane.kubeconfig), **configuration},
            urn=f"urn:pulumi:test::headroom::{token}::settings",
            patience=patience,
            is_wanted=lambda: True,
        )

    return make


@pytest.fixture
def eni_configs(kube: Kube) -> None:
    definitions = kube.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert definitions
    if kube.find(definitions, "eniconfigs.crd.k8s.amazonaws.com"):
        return
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    kube.create(
        definitions,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "eniconfigs.crd.k8s.amazonaws.com"},
            "spec": {
                "group": "crd.k8s.amazonaws.com",
                "scope": "Cluster",
                "names": {"plural": "eniconfigs", "singular": "eniconfig", "kind": "ENIConfig"},
                "versions": [
                    {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        },
    )


def config_map(namespace: str, name: str = "settings", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def aws_node(namespace: str, **environment: str) -> Object:
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    containers = [{"name": "aws-node", "image": "example.invalid/amazon-k8s-cni", "env": variables}]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "aws-node", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "aws-node"}},
            "template": {
                "metadata": {"labels": {"k8s-app": "aws-node"}},
                "spec": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}, "containers": containers},
            },
        },
    }


def aws_node_patch(namespace: str, *, manager: str = "headroom", **environment: str) -> Object:
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "aws-node",
            "namespace": namespace,
            "annotations": {"pulumi.com/patchFieldManager": manager},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "aws-node", "env": variables}]}}},
    }


def variables_of(live: Object) -> dict[str, str]:
    return {item["name"]: item["value"] for item in live["spec"]["template"]["spec"]["containers"][0]["env"]}


def kind(token: str) -> ObjectKind:
    return ObjectKind(token, CLIENTS)


def paths(token: str, call: Call, state: Object, old: Object, new: Object) -> dict[str, bool]:
    """What differs, and whether that replaces the object."""
    found = kind(token).differences(call, Change(old_state=state, old_inputs=old, new_inputs=new))
    return {difference.path: difference.replace for difference in found}


def test_an_object_is_created_with_its_own_field_manager_and_read_back_without_a_difference(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    inputs, call = config_map(namespace, mode="a"), call_for(CONFIG_MAP)

    identifier, state = kind(CONFIG_MAP).create(call, inputs)

    assert identifier == f"{namespace}/settings"
    managers = kube.get(CONFIG_MAPS, "settings", namespace)["metadata"]["managedFields"]
    assert [(entry["operation"], entry["manager"]) for entry in managers] == [("Apply", state["__fieldManager"])]
    assert paths(CONFIG_MAP, call, state, inputs, inputs) == {}
    found = kind(CONFIG_MAP).read(call, identifier, state, inputs)
    assert found
    assert found.inputs == inputs


def test_an_object_that_exists_already_is_not_taken_over_unless_it_is_asked_for(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.create(CONFIG_MAPS, config_map(namespace, other="x"))

    with pytest.raises(ProviderError, match='configmaps "settings" already exists'):
        kind(CONFIG_MAP).create(call_for(CONFIG_MAP), config_map(namespace, mode="a"))
    assert kube.get(CONFIG_MAPS, "settings", namespace)["data"] == {"other": "x"}
    kind(CONFIG_MAP).create(call_for(CONFIG_MAP, upsertExistingObjects=True), config_map(namespace, mode="a"))

    assert kube.get(CONFIG_MAPS, "settings", namespace)["data"] == {"other": "x", "mode": "a"}


def test_an_object_without_a_name_gets_one_that_stays(namespace: str, call_for: CallFor) -> None:
    inputs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace}}

    first = kind(CONFIG_MAP).with_defaults(call_for(CONFIG_MAP), inputs)
    second = kind(CONFIG_MAP).with_defaults(call_for(CONFIG_MAP), inputs)

    assert first == second
    assert first["metadata"]["name"].startswith("settings-")
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}


def test_the_providers_namespace_is_for_objects_that_live_in_namespaces(call_for: CallFor) -> None:
    call = call_for(CONFIG_MAP, namespace="apps")
    unnamed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}}

    assert kind(CONFIG_MAP).with_defaults(call, unnamed)["metadata"] == {"name": "settings", "namespace": "apps"}
    assert kind("kubernetes:core/v1:Namespace").with_defaults(call, namespace) == namespace


def test_a_patch_adds_its_variables_and_leaves_those_of_others_alone(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.apply(DAEMON_SETS, aws_node(namespace, AWS_VPC_K8S_CNI_LOGLEVEL="DEBUG"), field_manager="eks")
    inputs, call = aws_node_patch(namespace, WARM_IP_TARGET="5"), call_for(DAEMON_SET_PATCH)

    _, state = kind(DAEMON_SET_PATCH).create(call, inputs)

    live = kube.get(DAEMON_SETS, "aws-node", namespace)
    assert variables_of(live) == {"AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG", "WARM_IP_TARGET": "5"}
    assert state["__fieldManager"] == "headroom"
    assert paths(DAEMON_SET_PATCH, call, state, inputs, inputs) == {}, "other managers' variables are no difference"


def test_a_patch_that_is_deleted_gives_up_its_fields_and_the_object_stays(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.apply(DAEMON_SETS, aws_node(namespace, AWS_VPC_K8S_CNI_LOGLEVEL="DEBUG"), field_manager="eks")
    call = call_for(DAEMON_SET_PATCH)
    identifier, state = kind(DAEMON_SET_PATCH).create(call, aws_node_patch(namespace, WARM_IP_TARGET="5"))

    kind(DAEMON_SET_PATCH).delete(call, identifier, state)

    live = kube.get(DAEMON_SETS, "aws-node", namespace)
    assert variables_of(live) == {"AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG"}
    assert [entry["manager"] for entry in live["metadata"]["managedFields"] if entry["operation"] == "Apply"] == ["eks"]


def test_a_patch_of_an_object_that_is_gone_can_be_deleted(call_for: CallFor, namespace: str) -> None:
    state = {**aws_node_patch(namespace), "__fieldManager": "headroom"}

    kind(DAEMON_SET_PATCH).delete(call_for(DAEMON_SET_PATCH), f"{namespace}/aws-node", state)


def test_a_conflict_is_told_in_the_api_servers_words_and_force_takes_the_field(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.apply(DAEMON_SETS, aws_node(namespace, WARM_ENI_TARGET="1"), field_manager="eks")
    inputs, call = aws_node_patch(namespace, WARM_ENI_TARGET="0"), call_for(DAEMON_SET_PATCH)

    with pytest.raises(ProviderError) as refused:
        kind(DAEMON_SET_PATCH).create(call, inputs)
    forced = aws_node_patch(namespace, WARM_ENI_TARGET="0")
    forced["metadata"]["annotations"]["pulumi.com/patchForce"] = "true"
    kind(DAEMON_SET_PATCH).create(call, forced)

    assert "Server-Side Apply field conflict detected" in str(refused.value)
    assert (
        'Apply failed with 1 conflict: conflict with "eks": '
        '.spec.template.spec.containers[name="aws-node"].env[name="WARM_ENI_TARGET"].value'
    ) in str(refused.value)
    assert variables_of(kube.get(DAEMON_SETS, "aws-node", namespace)) == {"WARM_ENI_TARGET": "0"}


def test_an_update_drops_what_is_no_longer_set_and_its_conflicts_show_in_the_preview(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.apply(DAEMON_SETS, aws_node(namespace, WARM_ENI_TARGET="1"), field_manager="eks")
    old = aws_node_patch(namespace, WARM_IP_TARGET="5", MINIMUM_IP_TARGET="10")
    new = aws_node_patch(namespace, WARM_IP_TARGET="6")
    call = call_for(DAEMON_SET_PATCH)
    identifier, state = kind(DAEMON_SET_PATCH).create(call, old)

    kind(DAEMON_SET_PATCH).update(call, identifier, Change(old_state=state, old_inputs=old, new_inputs=new))
    conflicting = Change(old_state=state, old_inputs=new, new_inputs=aws_node_patch(namespace, WARM_ENI_TARGET="0"))

    live = kube.get(DAEMON_SETS, "aws-node", namespace)
    assert variables_of(live) == {"WARM_ENI_TARGET": "1", "WARM_IP_TARGET": "6"}
    with pytest.raises(ProviderError, match=r'conflict with "eks"'):
        kind(DAEMON_SET_PATCH).preview_update(call, conflicting)


def test_another_field_manager_takes_over_and_the_old_one_lets_go(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.apply(DAEMON_SETS, aws_node(namespace, WARM_ENI_TARGET="1"), field_manager="eks")
    old = aws_node_patch(namespace, manager="old", WARM_IP_TARGET="5")
    new = aws_node_patch(namespace, manager="new", WARM_IP_TARGET="5")
    # The annotation itself is a field that the old one holds, so that only force lets another take over.
    call = call_for(DAEMON_SET_PATCH, enablePatchForce="true")
    identifier, state = kind(DAEMON_SET_PATCH).create(call, old)

    state = kind(DAEMON_SET_PATCH).update(call, identifier, Change(old_state=state, old_inputs=old, new_inputs=new))

    fields = kube.get(DAEMON_SETS, "aws-node", namespace)["metadata"]["managedFields"]
    assert sorted(entry["manager"] for entry in fields if entry["operation"] == "Apply") == ["eks", "new"]
    assert state["__fieldManager"] == "new"


def test_a_refresh_shows_what_somebody_else_changed(kube: Kube, namespace: str, call_for: CallFor) -> None:
    inputs, call = config_map(namespace, mode="a"), call_for(CONFIG_MAP, enableConfigMapMutable="true")
    identifier, state = kind(CONFIG_MAP).create(call, inputs)
    kube.patch(CONFIG_MAPS, "settings", {"data": {"mode": "b", "other": "c"}}, namespace=namespace)

    found = kind(CONFIG_MAP).read(call, identifier, state, inputs)

    assert found
    assert found.inputs["data"] == {"mode": "b"}, "what the program does not speak about is not its drift"
    assert paths(CONFIG_MAP, call, found.state, found.inputs, inputs) == {"data.mode": False}
    kube.delete(CONFIG_MAPS, "settings", namespace)
    assert kind(CONFIG_MAP).read(call, identifier, state, inputs) is None


def test_an_import_gives_the_inputs_without_what_the_server_decides(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    kube.create(CONFIG_MAPS, config_map(namespace, mode="a"))

    found = kind(CONFIG_MAP).read(call_for(CONFIG_MAP), f"{namespace}/settings", {}, {})

    assert found
    assert found.inputs == config_map(namespace, mode="a")


def test_a_new_name_replaces_an_object_and_immutable_data_does(namespace: str, call_for: CallFor) -> None:
    call, old = call_for(CONFIG_MAP), config_map(namespace, mode="a")
    state = {**old, "metadata": {**old["metadata"], "uid": "1"}}

    assert paths(CONFIG_MAP, call, state, old, config_map(namespace, "other", mode="a")) == {"metadata.name": True}
    assert paths(CONFIG_MAP, call, state, old, config_map(namespace, mode="b")) == {"data.mode": True}
    mutable = call_for(CONFIG_MAP, enableConfigMapMutable="true")
    assert paths(CONFIG_MAP, mutable, state, old, config_map(namespace, mode="b")) == {"data.mode": False}
    patch = call_for(CONFIG_MAP_PATCH)
    assert paths(CONFIG_MAP_PATCH, patch, state, old, config_map(namespace, mode="b")) == {"data.mode": False}


def test_a_custom_resource_waits_for_its_definition_and_is_refused_without_one(
    eni_configs: None, kube: Kube, call_for: CallFor
) -> None:
    del eni_configs
    name = f"zone-{uuid.uuid4().hex[:8]}"
    inputs = {
        "apiVersion": "crd.k8s.amazonaws.com/v1alpha1",
        "kind": "ENIConfig",
        "metadata": {"name": name},
        "spec": {"subnet": "subnet-1", "securityGroups": ["sg-1"]},
    }
    absent = {**inputs, "kind": "SecurityGroupPolicy"}
    call = call_for(ENI_CONFIG, patience=0.5)

    identifier, state = kind(ENI_CONFIG).create(call_for(ENI_CONFIG), inputs)
    with pytest.raises(ProviderError, match='no matches for kind "SecurityGroupPolicy" in version'):
        kind("kubernetes:crd.k8s.amazonaws.com/v1alpha1:SecurityGroupPolicy").create(call, absent)

    assert identifier == name, "ENIConfigs live in no namespace"
    assert paths(ENI_CONFIG, call, state, inputs, {**inputs, "spec": {"subnet": UNKNOWN}}) == {
        "spec.subnet": False,
        "spec.securityGroups": False,
    }
    kind(ENI_CONFIG).delete(call, identifier, state)
    resource = kube.resource("crd.k8s.amazonaws.com/v1alpha1", "ENIConfig")
    assert resource
    assert kube.find(resource, name) is None


def test_a_preview_is_a_dry_run_of_the_api_server_and_changes_nothing(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    call = call_for("kubernetes:core/v1:Service")
    inputs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
    }

    preview = kind("kubernetes:core/v1:Service").preview_create(call, inputs)

    assert preview["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert "status" not in preview
    services = kube.resource("v1", "Service")
    assert services
    assert kube.find(services, "web", namespace) is None
    with pytest.raises(ProviderError, match=r"spec.ports\[0\].port: Invalid value: 0"):
        kind("kubernetes:core/v1:Service").preview_create(call, {**inputs, "spec": {"ports": [{"port": 0}]}})
    unknown = {**inputs, "spec": {"clusterIP": UNKNOWN}}
    assert kind("kubernetes:core/v1:Service").preview_create(call, unknown) == unknown


def test_a_daemon_set_that_does_not_roll_out_is_kept_and_its_reason_is_told(
    kube: Kube, namespace: str, call_for: CallFor
) -> None:
    node = f"node-{namespace}"
    nodes = kube.resource("v1", "Node")
    assert nodes
    kube.create(nodes, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"only": node}}})
    inputs = aws_node(namespace)
    inputs["spec"]["template"]["spec"]["nodeSelector"] = {"only": node}
    inputs["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]

    with pytest.raises(PartlyDoneError, match="0 of 1 pods available") as stuck:
        kind("kubernetes:apps/v1:DaemonSet").create(call_for("kubernetes:apps/v1:DaemonSet", patience=1.0), inputs)

    assert stuck.value.identifier == f"{namespace}/aws-node"
    kube.delete(nodes, node)


@pytest.mark.parametrize(
    ("token", "inputs", "reason"),
    [
        (DAEMON_SET_PATCH, {"apiVersion": "apps/v1", "kind": "DaemonSet"}, "require the resource `.metadata.name`"),
        ("kubernetes:core/v1:ConfigMapList", {"kind": "ConfigMapList", "items": []}, "cannot be created directly"),
    ],
)
def test_what_the_real_provider_refuses_at_check_is_refused(
    token: str, inputs: Object, reason: str, call_for: CallFor
) -> None:
    failures = kind(token).check(call_for(token), inputs)

    assert len(failures) == 1
    assert reason in failures[0].reason


def test_without_a_kubeconfig_the_cluster_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)

    with pytest.raises(ProviderError, match="set kubernetes:kubeconfig or KUBECONFIG"):
        Clients().client({})
    with pytest.raises(ProviderError, match="has no context 'prod'"):
        Clients().client({"kubeconfig": {"apiVersion": "v1", "kind": "Config"}, "context": "prod"})


PROGRAM = """
import pulumi
import pulumi_kubernetes as kubernetes

config = pulumi.Config()
namespace, warm = config.require("namespace"), config.require("warm")
kubernetes.core.v1.ConfigMap(
    "settings", metadata={"name": "settings", "namespace": namespace}, data={"mode": config.require("mode")}
)
kubernetes.apps.v1.DaemonSetPatch(
    "aws-node",
    metadata={"name": "aws-node", "namespace": namespace, "annotations": {"pulumi.com/patchFieldManager": "headroom"}},
    spec={
        "template": {
            "spec": {"containers": [{"name": "aws-node", "env": [{"name": "WARM_IP_TARGET", "value": warm}]}]}
        }
    },
)
zone = kubernetes.apiextensions.CustomResource(
    "zone",
    api_version="crd.k8s.amazonaws.com/v1alpha1",
    kind="ENIConfig",
    metadata={"name": namespace},
    spec={"subnet": "subnet-1"},
)
pulumi.export("uid", zone.metadata["uid"])
"""


@pytest.fixture
def pulumi(
    tools: Tools, control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs the real engine over the program above, in a project of its own."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "__main__.py").write_text(PROGRAM)
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (project / "Pulumi.yaml").write_text(json.dumps({"name": "headroom", "runtime": runtime}))
    helper = start_helper(
        "headroom.rehearsal.providers.kubernetes",
        [],
        log=tmp_path / "provider.log",
        environment={"KUBECONFIG": str(control_plane.kubeconfig)},
    )
    environment = pulumi_environment(
        tools, home=tmp_path / "home", backend=tmp_path / "state", providers={"kubernetes": helper.port}
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the engine that the set-up provided
            [tools.pulumi, *arguments, "--non-interactive", "--color=never"],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    with helper:
        run("stack", "init", "test")
        run("config", "set", "namespace", namespace)
        run("config", "set", "mode", "a")
        run("config", "set", "warm", "5")
        run("config", "set", "kubernetes:enableConfigMapMutable", "true")
        yield run


@pytest.mark.engine
def test_a_stack_lives_through_the_real_engine(
    pulumi: Callable[..., subprocess.CompletedProcess[str]], kube: Kube, namespace: str, eni_configs: None
) -> None:
    del eni_configs
    kube.apply(DAEMON_SETS, aws_node(namespace, WARM_ENI_TARGET="1"), field_manager="eks")

    created = pulumi("up", "--yes", "--skip-preview")
    assert "+ 4 created" in created.stdout, created.stdout
    unchanged = pulumi("preview", "--expect-no-changes")
    assert unchanged.returncode == 0, unchanged.stdout

    pulumi("config", "set", "mode", "b")
    pulumi("config", "set", "warm", "6")
    updated = pulumi("up", "--yes")
    assert "~ 2 updated" in updated.stdout, updated.stdout
    assert kube.get(CONFIG_MAPS, "settings", namespace)["data"] == {"mode": "b"}
    live = kube.get(DAEMON_SETS, "aws-node", namespace)
    assert variables_of(live) == {"WARM_ENI_TARGET": "1", "WARM_IP_TARGET": "6"}

    settled = pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert settled.returncode == 0, settled.stdout
    change = {"data": {"mode": "c"}}
    kube.patch(CONFIG_MAPS, "settings", change, namespace=namespace, field_manager="by-hand")
    drifted = pulumi("refresh", "--yes", "--skip-preview")
    assert "~ 1 updated" in drifted.stdout, drifted.stdout
    contested = pulumi("preview")
    assert 'conflict with "by-hand" using v1: .data.mode' in contested.stdout, contested.stdout
    pulumi("config", "set", "kubernetes:enablePatchForce", "true")
    repaired = pulumi("up", "--yes", "--skip-preview")
    assert "~ 1 updated" in repaired.stdout, repaired.stdout
    assert kube.get(CONFIG_MAPS, "settings", namespace)["data"] == {"mode": "b"}

    destroyed = pulumi("destroy", "--yes", "--skip-preview")
    assert "- 4 deleted" in destroyed.stdout, destroyed.stdout
    assert kube.find(CONFIG_MAPS, "settings", namespace) is None
    live = kube.get(DAEMON_SETS, "aws-node", namespace)
    assert variables_of(live) == {"WARM_ENI_TARGET": "1"}, "the patch is gone, the DaemonSet stays"


@pytest.mark.engine
def test_a_conflict_stops_an_update_with_the_api_servers_words(
    pulumi: Callable[..., subprocess.CompletedProcess[str]], kube: Kube, namespace: str, eni_configs: None
) -> None:
    del eni_configs
    kube.apply(DAEMON_SETS, aws_node(namespace, WARM_IP_TARGET="9"), field_manager="eks")

    refused = pulumi("up", "--yes", "--skip-preview")

    assert refused.returncode != 0
    assert 'Apply failed with 1 conflict: conflict with "eks"' in refused.stdout
    assert variables_of(kube.get(DAEMON_SETS, "aws-node", namespace)) == {"WARM_IP_TARGET": "9"}
