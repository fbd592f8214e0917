import pytest

from headroom.capacity.cni_version import CniVersion
from headroom.capacity.settings import (
    MANIFEST_VALUES,
    SETTINGS,
    CniSettings,
    check_settings,
    live_settings_to_keep,
)

CURRENT = CniVersion(1, 23, 0)


def rules(
    environment: dict[str, str], version: CniVersion | str = CURRENT, **more: object
) -> tuple[list[str], list[str]]:
    problems, warnings = check_settings(environment, version, **more)  # type: ignore[arg-type] # spelled by each test
    return [problem.rule for problem in problems], [warning.rule for warning in warnings]


@pytest.mark.parametrize(
    ("name", "attribute", "value", "read"),
    [
        ("WARM_ENI_TARGET", "warm_eni_target", "2", 2),
        ("WARM_ENI_TARGET", "warm_eni_target", "0", 0),
        ("WARM_ENI_TARGET", "warm_eni_target", "-1", 1),
        ("WARM_ENI_TARGET", "warm_eni_target", "abc", 1),
        ("WARM_ENI_TARGET", "warm_eni_target", "", 1),
        ("WARM_ENI_TARGET", "warm_eni_target", "1.5", 1),
        ("WARM_IP_TARGET", "warm_ip_target", "05", 5),
        ("WARM_IP_TARGET", "warm_ip_target", "+5", 5),
        ("WARM_IP_TARGET", "warm_ip_target", " 5", 0),
        ("WARM_IP_TARGET", "warm_ip_target", "1_0", 0),
        ("WARM_IP_TARGET", "warm_ip_target", "\u0665", 0),
        ("WARM_IP_TARGET", "warm_ip_target", "-3", 0),
        ("WARM_IP_TARGET", "warm_ip_target", "99999999999999999999", 0),
        ("MAX_ENI", "max_eni", "0", None),
        ("MAX_ENI", "max_eni", "-1", None),
        ("MAX_ENI", "max_eni", "3", 3),
        ("ENABLE_PREFIX_DELEGATION", "prefix_delegation", "T", True),
        ("ENABLE_PREFIX_DELEGATION", "prefix_delegation", "yes", False),
        ("ENABLE_SUBNET_DISCOVERY", "subnet_discovery", "0", False),
        ("ENABLE_SUBNET_DISCOVERY", "subnet_discovery", "off", True),
        ("IP_COOLDOWN_PERIOD", "ip_cooldown_seconds", "0", 0),
    ],
)
def test_values_are_read_as_ipamd_reads_them(name: str, attribute: str, value: str, read: object) -> None:
    assert getattr(CniSettings.from_environment({name: value}), attribute) == read


def test_an_empty_environment_is_the_code_default() -> None:
    assert CniSettings.from_environment({}) == CniSettings()
    assert CniSettings().warm_prefix_target == 0, "the manifest sets 1, the code does not"


def test_the_stock_manifest_is_in_order() -> None:
    assert rules(dict(MANIFEST_VALUES)) == ([], [])
    assert set(MANIFEST_VALUES) <= set(SETTINGS)


def test_a_dead_warm_target_is_warned_about() -> None:
    problems, warnings = check_settings({**MANIFEST_VALUES, "WARM_IP_TARGET": "5"}, CURRENT)
    assert problems == ()
    assert [warning.value for warning in warnings] == ["WARM_ENI_TARGET=1", "WARM_PREFIX_TARGET=1"]


def test_only_what_is_being_changed_is_called_dead_if_that_is_asked_for() -> None:
    environment = {**MANIFEST_VALUES, "WARM_IP_TARGET": "5"}
    assert rules(environment, changed={"WARM_IP_TARGET"}) == ([], [])


def test_the_published_rules_settings_void_each_other() -> None:
    """CRE-2025-0112 sets WARM_PREFIX_TARGET, then WARM_IP_TARGET, MINIMUM_IP_TARGET and WARM_ENI_TARGET."""
    environment = {
        "WARM_PREFIX_TARGET": "1",
        "WARM_IP_TARGET": "3",
        "MINIMUM_IP_TARGET": "1",
        "WARM_ENI_TARGET": "1",
    }
    assert rules(environment) == ([], ["cni-dead-warm-target", "cni-dead-warm-target", "cni-dead-minimum"])


def test_a_minimum_without_a_warm_target_is_refused() -> None:
    assert rules({"MINIMUM_IP_TARGET": "10"})[0] == ["cni-minimum-without-warm"]
    assert rules({"MINIMUM_IP_TARGET": "10", "WARM_IP_TARGET": "2"}) == ([], [])


@pytest.mark.parametrize(
    ("targets", "refused"),
    [
        ({}, True),
        ({"WARM_PREFIX_TARGET": "0"}, True),
        ({"WARM_PREFIX_TARGET": "1"}, False),
        ({"WARM_PREFIX_TARGET": "0", "WARM_IP_TARGET": "5"}, False),
        ({"WARM_PREFIX_TARGET": "", "WARM_IP_TARGET": "-1"}, True),
        ({"WARM_PREFIX_TARGET": "00"}, False),
    ],
)
def test_prefixes_without_any_target_keep_aws_node_from_starting(
    targets: dict[str, str],
    refused: bool,  # noqa: FBT001
) -> None:
    problems, _ = rules({"ENABLE_PREFIX_DELEGATION": "true", **targets})
    assert ("cni-prefix-without-target" in problems) == refused


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        ({"ENABLE_IPv4": "true", "ENABLE_IPv6": "true"}, ["cni-one-ip-family", "cni-ipv6-mode"]),
        ({"ENABLE_IPv4": "false"}, ["cni-one-ip-family"]),
        ({"ENABLE_IPv6": "true"}, ["cni-one-ip-family", "cni-ipv6-mode"]),
        ({"ENABLE_IPv4": "false", "ENABLE_IPv6": "true"}, ["cni-ipv6-mode"]),
        (
            {
                "ENABLE_IPv4": "false",
                "ENABLE_IPv6": "true",
                "ENABLE_PREFIX_DELEGATION": "true",
                "WARM_PREFIX_TARGET": "1",
            },
            [],
        ),
    ],
)
def test_a_cluster_has_one_ip_family(environment: dict[str, str], refused: list[str]) -> None:
    assert rules(environment)[0] == refused


def test_prefixes_on_old_instances_are_warned_about() -> None:
    environment = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
    assert rules(environment, nitro=False) == ([], ["cni-prefix-not-nitro"])


def test_custom_networking_beats_subnet_discovery() -> None:
    environment = {"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true", "ENABLE_SUBNET_DISCOVERY": "true"}
    assert rules(environment) == ([], ["cni-custom-networking-discovery"])


def test_the_bandwidth_plugin_and_network_policies_exclude_each_other() -> None:
    assert rules({"ENABLE_BANDWIDTH_PLUGIN": "true"}, network_policy=True)[0] == ["cni-bandwidth-network-policy"]
    assert rules({"ENABLE_BANDWIDTH_PLUGIN": "true"}) == ([], [])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WARM_IP_TARGETS", "WARM_IP_TARGET"),
        ("warm_ip_target", "WARM_IP_TARGET"),
        ("ENABLE_IPV6", "ENABLE_IPv6"),
        ("MINIMUN_IP_TARGET", "MINIMUM_IP_TARGET"),
        ("ENABLE_PREFIX_DELEGATON", "ENABLE_PREFIX_DELEGATION"),
    ],
)
def test_a_misspelt_name_gets_the_right_one(name: str, meant: str) -> None:
    problems, _ = check_settings({name: "1"}, CURRENT)
    assert [problem.rule for problem in problems] == ["cni-setting-known"]
    assert problems[0].next_step == f"Did you mean {meant}?"


def test_a_strange_name_is_left_unchecked_and_says_so() -> None:
    assert rules({"OUR_OWN_MARK": "1"}) == ([], ["cni-setting-unknown"])
    assert rules({"AWS_REGION": "eu-west-1", "MY_NODE_NAME": "a"}) == ([], [])


@pytest.mark.parametrize(
    "environment",
    [
        {"WARM_IP_TARGET": "five"},
        {"WARM_ENI_TARGET": "-1"},
        {"WARM_PREFIX_TARGET": "1.5"},
        {"MAX_ENI": "many"},
        {"ENABLE_SUBNET_DISCOVERY": "yes"},
        {"IP_COOLDOWN_PERIOD": "-1"},
        {"AWS_VPC_ENI_MTU": "9002"},
        {"AWS_VPC_K8S_CNI_RANDOMIZESNAT": "random"},
    ],
)
def test_a_value_that_aws_node_does_not_read_is_refused(environment: dict[str, str]) -> None:
    (problem,), _ = check_settings(environment, CURRENT)
    assert problem.rule == "cni-setting-value"
    assert problem.next_step.startswith("Write ")


def test_values_that_are_legal_and_unwise_are_warned_about() -> None:
    assert rules({"MAX_ENI": "0"}) == ([], ["cni-setting-ignored"])
    assert rules({"IP_COOLDOWN_PERIOD": "0"}) == ([], ["cni-cooldown-zero"])


def test_a_setting_newer_than_the_version_is_refused_with_the_version_to_move_to() -> None:
    problems, _ = check_settings({"ENABLE_SUBNET_DISCOVERY": "true"}, "v1.17.1-eksbuild.1")
    assert [problem.rule for problem in problems] == ["cni-setting-version"]
    assert "v1.18.0" in problems[0].next_step


def test_a_text_that_is_no_version_is_one_problem_among_the_others() -> None:
    assert rules({"MINIMUM_IP_TARGET": "10"}, "latest")[0] == ["cni-version-format", "cni-minimum-without-warm"]


def test_every_problem_comes_at_once() -> None:
    problems, _ = rules({"WARM_IP_TARGET": "x", "MINIMUM_IP_TARGET": "10", "ENABLE_IPv6": "true", "MAX_EIN": "1"})
    assert sorted(problems) == [
        "cni-ipv6-mode",
        "cni-minimum-without-warm",
        "cni-one-ip-family",
        "cni-setting-known",
        "cni-setting-value",
    ]


def test_hand_made_values_are_kept_and_stock_ones_are_not() -> None:
    live = {**MANIFEST_VALUES, "WARM_ENI_TARGET": "2", "CLUSTER_NAME": "prod", "MY_NODE_NAME": "", "MAX_ENI": "3"}
    assert live_settings_to_keep(live) == {"MAX_ENI": "3", "WARM_ENI_TARGET": "2"}


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("T", True), ("1", True), ("tRUE", False), ("yes", False), ("", False)]
)
def test_external_snat_is_what_go_takes_for_true(value: str, *, expected: bool) -> None:
    assert CniSettings.from_environment({"AWS_VPC_K8S_CNI_EXTERNALSNAT": value}).external_snat is expected
