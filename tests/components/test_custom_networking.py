from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pytest

from components.custom_networking import SECURITY_GROUPS_PER_INTERFACE, CustomNetworking, CustomNetworkingArgs
from headroom.addresses.problems import ProblemsError

if TYPE_CHECKING:
    from tests.conftest import Recorder

COMPONENT = "headroom:index:CustomNetworking"
ENI_CONFIG = "kubernetes:crd.k8s.amazonaws.com/v1alpha1:ENIConfig"
SUBNETS = {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"}


def test_an_eniconfig_named_by_its_zone_is_registered_for_each_subnet(recorder: Recorder) -> None:
    args = CustomNetworkingArgs(subnet_ids=SUBNETS, node_zones=["us-east-1a"], security_group_ids=["sg-1", "sg-2"])
    recorder.run(lambda: CustomNetworking("pods", args))
    assert recorder.labels() == [
        f"{COMPONENT} pods",
        f"{ENI_CONFIG} pods-us-east-1a",
        f"{ENI_CONFIG} pods-us-east-1b",
    ]
    config = recorder.one(ENI_CONFIG, "pods-us-east-1a")
    assert config.inputs == {
        "apiVersion": "crd.k8s.amazonaws.com/v1alpha1",
        "kind": "ENIConfig",
        "metadata": {"name": "us-east-1a"},
        "spec": {"subnet": "subnet-a", "securityGroups": ["sg-1", "sg-2"]},
    }
    assert config.parent == f"{COMPONENT} pods"


def test_an_eniconfig_asks_before_it_is_deleted_where_hooks_are_given(recorder: Recorder) -> None:
    async def hook(_: pulumi.ResourceHookArgs) -> None:
        """Would refuse."""

    def program() -> None:
        guard = pulumi.ResourceHookBinding(before_delete=[pulumi.ResourceHook("in-use", hook)])
        CustomNetworking("pods", CustomNetworkingArgs(subnet_ids=SUBNETS, guard=guard))

    recorder.run(program)
    asking = {item.label: item.before_delete for item in recorder.registrations}
    assert asking == {
        f"{COMPONENT} pods": (),
        f"{ENI_CONFIG} pods-us-east-1a": ("in-use",),
        f"{ENI_CONFIG} pods-us-east-1b": ("in-use",),
    }
    recorder.run(lambda: CustomNetworking("pods", CustomNetworkingArgs(subnet_ids=SUBNETS)))
    assert not any(item.before_delete for item in recorder.registrations)


def test_without_security_groups_the_nodes_own_ones_hold(recorder: Recorder) -> None:
    recorder.run(lambda: CustomNetworking("pods", CustomNetworkingArgs(subnet_ids=SUBNETS)))
    assert recorder.one(ENI_CONFIG, "pods-us-east-1b").inputs["spec"] == {"subnet": "subnet-b"}


def test_the_settings_that_go_with_it_choose_the_eniconfig_by_zone(recorder: Recorder) -> None:
    recorder.run(lambda: CustomNetworking("pods", CustomNetworkingArgs(subnet_ids=SUBNETS)))
    assert recorder.component_outputs[f"{COMPONENT} pods"] == {
        "settings": {
            "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
            "ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone",
        }
    }


def test_a_zone_added_later_leaves_the_other_registrations_as_they_were(recorder: Recorder) -> None:
    before = recorder.run(lambda: CustomNetworking("pods", CustomNetworkingArgs(subnet_ids=SUBNETS)))
    more = CustomNetworkingArgs(subnet_ids={"us-east-1": "subnet-0", **SUBNETS})
    after = recorder.run(lambda: CustomNetworking("pods", more))
    assert {item.wire for item in before} < {item.wire for item in after}


def test_all_problems_come_at_once_and_nothing_is_registered(recorder: Recorder) -> None:
    groups = [f"sg-{number}" for number in range(SECURITY_GROUPS_PER_INTERFACE + 1)]

    def program() -> None:
        zones = ["us-east-1a", "us-east-1c"]
        CustomNetworking("pods", CustomNetworkingArgs(subnet_ids={}, node_zones=zones, security_group_ids=groups))

    with pytest.raises(ProblemsError) as caught:
        recorder.run(program)
    assert [(problem.rule, problem.value) for problem in caught.value.problems] == [
        ("zone-without-eniconfig", "us-east-1a"),
        ("zone-without-eniconfig", "us-east-1c"),
        ("no-subnets", "{}"),
        ("security-groups-per-interface", "6 groups"),
    ]
    assert recorder.registrations == []


def test_as_many_security_groups_as_the_quota_allows_are_accepted() -> None:
    groups = [f"sg-{number}" for number in range(SECURITY_GROUPS_PER_INTERFACE)]
    assert (
        CustomNetworkingArgs(subnet_ids=SUBNETS, node_zones=list(SUBNETS), security_group_ids=groups).problems() == []
    )
