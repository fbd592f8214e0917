from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.cni_settings import CniSettings, CniSettingsArgs, canonical_json
from headroom.addresses.problems import ProblemsError
from headroom.capacity.settings import MANIFEST_VALUES
from headroom.planning.addon import addon_import

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Recorder

COMPONENT = "headroom:index:CniSettings"
ADDON = "aws:eks/addon:Addon"
PATCH = "kubernetes:apps/v1:DaemonSetPatch"
# What the manifest of 1.19.2 sets: these two came later.
LIVE = {
    name: value for name, value in MANIFEST_VALUES.items() if name not in ("ENABLE_IMDS_ONLY_MODE", "ENABLE_MULTI_NIC")
}
SCHEMA = {
    "$ref": "#/definitions/VpcCni",
    "definitions": {
        "VpcCni": {"additionalProperties": False, "properties": {"env": {"$ref": "#/definitions/Env"}}},
        "Env": {
            "additionalProperties": False,
            "properties": {
                name: {"type": "string"} for name in ("WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET")
            },
        },
    },
}


def arguments(**more: Any) -> CniSettingsArgs:
    return CniSettingsArgs(
        **{
            "cluster": "prod-use1",
            "managed_by": "addon",
            "settings": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"},
            "cni_version": "1.19.2",
            "addon_version": "v1.19.2-eksbuild.1",
            **more,
        }
    )


def refused(**more: Any) -> Sequence[tuple[str, str]]:
    """Rule and key of every problem."""
    with pytest.raises(ProblemsError) as caught:
        arguments(**more)
    assert caught.value.subject == "CniSettingsArgs"
    return [(problem.rule, problem.key) for problem in caught.value.problems]


def warned(**more: Any) -> Sequence[tuple[str, str]]:
    problems, warnings = arguments(**more).check()
    assert problems == []
    return [(warning.rule, warning.key) for warning in warnings]


def configured(**more: Any) -> dict[str, str]:
    """The environment among the add-on's configuration values."""
    environment: dict[str, str] = arguments(**more).configuration()["env"]
    return environment


# The managed add-on.


def test_the_addon_gets_the_settings_with_overwrite_and_stays_when_the_stack_goes(recorder: Recorder) -> None:
    role = "arn:aws:iam::123456789012:role/cni"
    recorder.run(lambda: CniSettings("cni", arguments(service_account_role_arn=role)))
    assert recorder.labels() == [f"{ADDON} cni", f"{COMPONENT} cni"]
    addon = recorder.one(ADDON, "cni")
    assert addon.inputs == {
        "clusterName": "prod-use1",
        "addonName": "vpc-cni",
        "addonVersion": "v1.19.2-eksbuild.1",
        "configurationValues": '{"env":{"MINIMUM_IP_TARGET":"10","WARM_IP_TARGET":"5"}}',
        "resolveConflictsOnCreate": "OVERWRITE",
        "resolveConflictsOnUpdate": "OVERWRITE",
        "serviceAccountRoleArn": role,
        "preserve": True,
    }
    assert addon.parent == f"{COMPONENT} cni"
    assert addon.retain_on_delete, "the cluster needs its network after the stack has gone"
    assert recorder.component_outputs[f"{COMPONENT} cni"] == {
        "environment": {"MINIMUM_IP_TARGET": "10", "WARM_IP_TARGET": "5"}
    }


def test_a_role_that_the_addon_does_not_have_is_not_set(recorder: Recorder) -> None:
    recorder.run(lambda: CniSettings("cni", arguments()))
    assert "serviceAccountRoleArn" not in recorder.one(ADDON, "cni").inputs


def test_what_was_changed_by_hand_is_kept_and_defaults_are_not_pinned() -> None:
    live = {**LIVE, "WARM_ENI_TARGET": "2", "MAX_ENI": "4", "CLUSTER_NAME": "prod-use1", "VPC_ID": "vpc-1"}
    assert configured(live_environment=live) == {
        "MAX_ENI": "4",
        "MINIMUM_IP_TARGET": "10",
        "WARM_ENI_TARGET": "2",
        "WARM_IP_TARGET": "5",
    }


def test_the_addons_live_configuration_is_kept_and_the_settings_win() -> None:
    live = {"env": {"MAX_ENI": "4", "WARM_IP_TARGET": "2"}, "nodeAgent": {"enableCloudWatchLogs": "true"}}
    configuration = arguments(live_configuration=json.dumps(live)).configuration()
    assert configuration == {
        "nodeAgent": {"enableCloudWatchLogs": "true"},
        "env": {"MAX_ENI": "4", "MINIMUM_IP_TARGET": "10", "WARM_IP_TARGET": "5"},
    }


def test_a_value_set_by_hand_wins_over_the_one_that_the_addon_was_given() -> None:
    given_to_addon = json.dumps({"env": {"MAX_ENI": "4", "WARM_ENI_TARGET": "3", "AWS_VPC_K8S_CNI_LOGLEVEL": "INFO"}})
    live = {**LIVE, "MAX_ENI": "6", "WARM_ENI_TARGET": "1"}
    environment = configured(live_configuration=given_to_addon, live_environment=live)
    assert environment["MAX_ENI"] == "6", "OVERWRITE would put the nodes back to 4"
    assert environment["WARM_ENI_TARGET"] == "1", "the same where the hand-made value is the manifest's"
    assert environment["AWS_VPC_K8S_CNI_LOGLEVEL"] == "DEBUG"


def test_what_is_checked_and_exported_is_what_the_addon_gets() -> None:
    args = arguments(
        live_environment={"MAX_ENI": "6"}, live_configuration=json.dumps({"env": {"MAX_ENI": "4", "POD_MTU": "1500"}})
    )
    assert args.environment() == {
        "MAX_ENI": "6",
        "POD_MTU": "1500",
        "MINIMUM_IP_TARGET": "10",
        "WARM_IP_TARGET": "5",
    }
    assert args.configuration()["env"] == args.environment()


def test_an_addon_version_must_be_named() -> None:
    assert refused(addon_version=None) == [("addon-version", "addon_version")]
    assert arguments(managed_by="daemonset", addon_version=None).check() == ([], [])


def test_the_import_file_puts_the_addon_under_its_component() -> None:
    assert addon_import("cni", "prod-use1") == {
        "resources": [
            {"type": COMPONENT, "name": "component", "logicalName": "cni", "component": True},
            {"type": ADDON, "name": "cni", "id": "prod-use1:vpc-cni", "parent": "component"},
        ]
    }


# The schema of the add-on's version.


def test_a_name_that_the_addons_schema_lacks_is_refused() -> None:
    assert arguments(configuration_schema=json.dumps(SCHEMA)).check()[0] == []
    found = refused(
        configuration_schema=json.dumps(SCHEMA),
        settings={"WARM_IP_TARGET": "5", "ENABLE_SUBNET_DISCOVERY": "false"},
    )
    assert found == [("not-in-schema", "settings")]


def test_a_schema_with_its_values_in_place_is_understood_too() -> None:
    inline = {"properties": {"env": {"properties": {"WARM_ENI_TARGET": {"type": "string"}}}}}
    assert refused(configuration_schema=json.dumps(inline)) == [("not-in-schema", "settings")] * 2


@pytest.mark.parametrize(
    "schema",
    ["{}", "[]", "3", "null", "{", '{"definitions": []}', '{"definitions": {"Env": 1}}', '{"properties": {"env": {}}}'],
)
def test_a_schema_that_is_none_is_not_taken_for_agreement(schema: str) -> None:
    assert refused(configuration_schema=schema) == [("configuration-json", "configuration_schema")]


@pytest.mark.parametrize(
    "configuration",
    ["[]", "3", "null", "env:\n  A: b", '{"env": []}', '{"env": "x"}', '{"env": null}', '{"env": {"MAX_ENI": 4}}'],
)
def test_a_configuration_that_eks_would_not_take_is_refused_with_its_key(configuration: str) -> None:
    assert refused(live_configuration=configuration) == [("configuration-json", "live_configuration")]
    both = refused(live_configuration=configuration, configuration_schema="[]")
    assert [key for _, key in both] == ["live_configuration", "configuration_schema"]
    assert refused(live_configuration=configuration, configuration_schema=json.dumps(SCHEMA)) == [
        ("configuration-json", "live_configuration")
    ]


# A self-managed DaemonSet.


def test_the_patch_of_a_self_managed_daemonset_touches_only_what_it_sets(recorder: Recorder) -> None:
    live = {**LIVE, "MAX_ENI": "4"}
    recorder.run(
        lambda: CniSettings("cni", arguments(managed_by="daemonset", addon_version=None, live_environment=live))
    )
    assert recorder.labels() == [f"{COMPONENT} cni", f"{PATCH} cni"]
    patch = recorder.one(PATCH, "cni")
    assert patch.inputs == {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "aws-node",
            "namespace": "kube-system",
            "annotations": {"pulumi.com/patchFieldManager": "headroom"},
        },
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "aws-node",
                            "env": [
                                {"name": "MINIMUM_IP_TARGET", "value": "10"},
                                {"name": "WARM_IP_TARGET", "value": "5"},
                            ],
                        }
                    ]
                }
            }
        },
    }
    assert patch.parent == f"{COMPONENT} cni"
    assert not patch.retain_on_delete


def test_values_of_another_field_manager_are_taken_over_only_by_force(recorder: Recorder) -> None:
    args = arguments(managed_by="daemonset", addon_version=None, force=True)
    recorder.run(lambda: CniSettings("cni", args))
    assert recorder.one(PATCH, "cni").inputs["metadata"]["annotations"] == {
        "pulumi.com/patchFieldManager": "headroom",
        "pulumi.com/patchForce": "true",
    }


# Contradictions.


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"MINIMUM_IP_TARGET": "10"}, "cni-minimum-without-warm"),
        ({"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0"}, "cni-prefix-without-target"),
        ({"ENABLE_IPv6": "true"}, "cni-one-ip-family"),
        ({"ENABLE_IPv4": "false"}, "cni-one-ip-family"),
        ({"WARM_IP_TARGETS": "5"}, "cni-setting-known"),
        ({"WARM_IP_TARGET": "five"}, "cni-setting-value"),
        ({"ENABLE_IMDS_ONLY_MODE": "true"}, "cni-setting-version"),
    ],
)
def test_settings_that_contradict_each_other_or_the_version_are_refused(settings: dict[str, str], rule: str) -> None:
    assert rule in [found for found, _ in refused(settings=settings)]


def test_the_live_environment_is_part_of_a_contradiction() -> None:
    assert refused(settings={"WARM_IP_TARGET": "0"}, live_environment={"MINIMUM_IP_TARGET": "10"}) == [
        ("cni-minimum-without-warm", "MINIMUM_IP_TARGET")
    ]
    given_to_addon = json.dumps({"env": {"MINIMUM_IP_TARGET": "10"}})
    assert refused(settings={"MAX_ENI": "4"}, live_configuration=given_to_addon) == [
        ("cni-minimum-without-warm", "MINIMUM_IP_TARGET")
    ]


def test_bandwidth_and_network_policies_exclude_each_other() -> None:
    settings = {"ENABLE_BANDWIDTH_PLUGIN": "true"}
    assert refused(settings=settings, network_policy=True) == [
        ("cni-bandwidth-network-policy", "ENABLE_BANDWIDTH_PLUGIN")
    ]
    assert arguments(settings=settings).check()[0] == []


def test_dead_warm_targets_are_warned_about_where_somebody_chose_them() -> None:
    assert warned(live_environment=LIVE) == [], "the manifest sets WARM_ENI_TARGET always"
    assert warned(live_environment={**LIVE, "WARM_ENI_TARGET": "2"}) == [("cni-dead-warm-target", "WARM_ENI_TARGET")]
    assert warned(settings={"WARM_IP_TARGET": "5", "WARM_ENI_TARGET": "1"}) == [
        ("cni-dead-warm-target", "WARM_ENI_TARGET")
    ]


def test_prefixes_on_nodes_that_cannot_have_them_are_warned_about() -> None:
    settings = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
    assert ("cni-prefix-not-nitro", "ENABLE_PREFIX_DELEGATION") in warned(settings=settings, nitro=False)
    assert warned(settings=settings) == []


def test_custom_networking_beside_subnet_discovery_is_warned_about() -> None:
    settings = {"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true", "ENABLE_SUBNET_DISCOVERY": "true"}
    assert [rule for rule, _ in warned(settings=settings)] == ["cni-custom-networking-discovery"]


def test_all_problems_come_at_once_and_nothing_is_registered(recorder: Recorder) -> None:
    def program() -> None:
        more: dict[str, Any] = {
            "managed_by": "helm",
            "settings": {},
            "cni_version": "newest",
            "live_configuration": "[",
        }
        CniSettings("cni", arguments(**more, configuration_schema="["))

    with pytest.raises(ProblemsError) as caught:
        recorder.run(program)
    assert [problem.rule for problem in caught.value.problems] == [
        "managed-by",
        "no-settings",
        "configuration-json",
        "cni-version-format",
        "configuration-json",
    ]
    assert recorder.registrations == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(value=st.dictionaries(st.text(max_size=5), json_values, max_size=4), order=st.randoms(use_true_random=False))
def test_equal_values_are_equal_text_whatever_their_order(value: dict[str, Any], order: Any) -> None:
    shuffled = list(value.items())
    order.shuffle(shuffled)
    assert canonical_json(dict(shuffled)) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value
