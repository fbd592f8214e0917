from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml
from click.testing import CliRunner

import stacks
from headroom.cli.check import check
from headroom.planning.limits_policy import policy_facts
from policies.resources import NODE_GROUP, Resource, Resources
from policies.rules import node_group_within_capacity
from stacks.limits import read_settings
from stacks.settings import ConfigReader
from tests.conftest import READ_STATE, Recorder, stack_config

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-limits.yaml"
STACK = "prod-use1-limits"
LOOKUP = "aws:eks/getNodeGroup:getNodeGroup"
POOL = "kubernetes:karpenter.sh/v1:NodePoolPatch"
NODE = "kubernetes:core/v1:NodePatch"
ROLE = "arn:aws:iam::123456789012:role/nodes"
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


@pytest.fixture
def config() -> dict[str, Any]:
    """The example's configuration, to be changed at will."""
    return stack_config(EXAMPLE)


def live(*, desired: int = 6, most: int = 30) -> dict[str, Any]:
    return {
        "nodeRoleArn": ROLE,
        "subnetIds": ["subnet-1"],
        "scalingConfigs": [{"desiredSize": desired, "minSize": 2, "maxSize": most}],
    }


def deploy(
    recorder: Recorder, config: Mapping[str, Any], *, state: Mapping[str, Any] | None = None, **sizes: int
) -> None:
    recorder.answers.setdefault(READ_STATE, {"outputs": state} if state is not None else {})
    recorder.answers[LOOKUP] = live(**sizes)
    recorder.run(stacks.deploy, config=config, stack=STACK)


def refused(recorder: Recorder, config: Mapping[str, Any], *, desired: int = 6) -> list[str]:
    """What is told, one line a problem; nothing is registered."""
    with pytest.raises(pulumi.RunError) as caught:
        deploy(recorder, config, desired=desired)
    assert recorder.registrations == []
    _, *lines = str(caught.value).splitlines()
    return [line.removeprefix("  - ") for line in lines]


def test_the_example_limits_a_group_and_a_nodepool_with_the_arithmetic_of_each_zone(
    recorder: Recorder, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lambda text, *_: told.append(text))
    deploy(recorder, config)
    group = recorder.one(NODE_GROUP, "limits-services")
    assert group.parent == "headroom:index:NodeLimits limits"
    assert group.inputs["scalingConfig"] == {"desiredSize": 6, "minSize": 2, "maxSize": 21}
    assert group.retain_on_delete
    # 109 addresses a node with 100 pods: eight, and one in an upgrade, would be 981; with the NodePool's 108 beside
    # them in one zone that is too many, so seven.
    assert len(told) == 3
    assert told[0].startswith("us-east-1a: services: 7 m5.8xlarge x 109 (4 interfaces + 105 addresses for 100 pods)")
    assert "binds services" in told[2]
    pool = recorder.one(POOL, "limits-batch")
    assert pool.inputs["metadata"] == {
        "name": "batch",
        "annotations": {"pulumi.com/patchFieldManager": "headroom-limits"},
    }
    assert pool.inputs["spec"] == {"limits": {"cpu": "16"}}
    assert recorder.stack_outputs["maxima"] == {"services": 21}


def test_a_group_that_the_engine_does_not_know_is_adopted_before_it_is_changed(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config, state={})
    group = recorder.one(NODE_GROUP, "limits-services")
    assert group.import_id == "prod-use1:services"
    assert "scalingConfig" in group.ignore_changes
    assert {"nodeRoleArn", "subnetIds", "tags", "launchTemplate"} <= set(group.ignore_changes)
    assert recorder.stack_outputs["next"].startswith("pulumi up, once more: services is adopted")


def known_group(most: int) -> dict[str, Any]:
    urn = f"urn:pulumi:{STACK}::headroom::headroom:index:NodeLimits${NODE_GROUP}::limits-services"
    return {urn: {"type": NODE_GROUP, "outputs": {"scalingConfig": {"maxSize": most, "desiredSize": 3, "minSize": 2}}}}


def test_a_known_group_gets_its_maximum_with_the_sizes_that_it_has_now(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config, state=known_group(30), desired=9)
    group = recorder.one(NODE_GROUP, "limits-services")
    assert (group.import_id, "scalingConfig" in group.ignore_changes) == ("", False)
    assert group.inputs["scalingConfig"] == {"desiredSize": 9, "minSize": 2, "maxSize": 21}


def test_where_the_maximum_is_right_the_autoscalers_sizes_are_nobodys_business(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config, state=known_group(21), desired=9, most=21)
    assert "scalingConfig" in recorder.one(NODE_GROUP, "limits-services").ignore_changes


def test_somebody_elses_change_of_the_maximum_is_set_right_again(recorder: Recorder, config: dict[str, Any]) -> None:
    deploy(recorder, config, state=known_group(21), desired=9, most=60)
    assert "scalingConfig" not in recorder.one(NODE_GROUP, "limits-services").ignore_changes


def test_nodes_are_cordoned_by_a_patch_of_one_field(recorder: Recorder, config: dict[str, Any]) -> None:
    config["headroom:cordonedNodes"] = ["ip-10-0-0-1.ec2.internal"]
    config["headroom:forcePatches"] = True
    deploy(recorder, config)
    node = recorder.one(NODE, "limits-ip-10-0-0-1.ec2.internal")
    assert node.inputs["spec"] == {"unschedulable": True}
    assert node.inputs["metadata"]["annotations"]["pulumi.com/patchForce"] == "true"


def test_of_several_types_of_a_nodepool_the_one_that_takes_most_for_a_vcpu_counts(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    config["headroom:nodeLimits"] = {"batch": {"kind": "karpenter", "instanceTypes": ["m5.xlarge", "m5.8xlarge"]}}
    config["headroom:cniEnvironment"] = {}
    deploy(recorder, config)
    # m5.xlarge: 4 x 15 addresses for 4 vCPUs; m5.8xlarge: 240 for 32. 1,007 addresses in the smallest zone are sixteen
    # nodes, one of them in an upgrade.
    assert recorder.one(POOL, "limits-batch").inputs["spec"] == {"limits": {"cpu": str(4 * 15)}}


def test_everything_that_is_wrong_is_told_at_once_with_its_key(recorder: Recorder, config: dict[str, Any]) -> None:
    config["headroom:fleetSubnets"] = {
        "subnet-1": {"zone": A, "cidrBlock": "10.0.0.0/33"},
        "subnet-2": {"zone": B, "cidrBlock": "10.0.0.0/24", "role": "pot"},
        "subnet-3": {"zone": C, "cidrBlock": "10.0.1.0/24", "heldByOthers": 300},
    }
    config["headroom:nodeLimits"] = {
        "one": {"kind": "fargate", "instanceTypes": ["m5.large"]},
        "two": {"instanceTypes": ["m9.none"], "running": -1},
        "three": {"instanceTypes": "m5.large"},
        "four": {"instanceTypes": ["m5.large"], "running": 5, "wanted": 4},
    }
    config["headroom:upgradeSurge"] = 0
    config["headroom:nodeLimit"] = {}
    told = refused(recorder, config)
    for key in (
        "fleetSubnets.subnet-1.cidrBlock",
        "fleetSubnets.subnet-2.role",
        "fleetSubnets.subnet-3.heldByOthers",
        "nodeLimits.one.kind",
        "nodeLimits.two.instanceTypes",
        "nodeLimits.two.running",
        "nodeLimits.three.instanceTypes",
        "nodeLimits.four.wanted",
        "upgradeSurge",
        "nodeLimit",
    ):
        assert [line for line in told if f"headroom:{key}" in line], (key, told)


def test_a_zone_without_a_subnet_and_a_group_that_fits_nowhere_are_refused(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    config["headroom:nodeLimits"] = {"far": {"instanceTypes": ["m5.large"], "zones": ["us-east-1f"]}}
    assert any("us-east-1f has no subnet in which nodes start" in line for line in refused(recorder, config))
    config["headroom:nodeLimits"] = {"huge": {"instanceTypes": ["m5.8xlarge"]}}
    config["headroom:fleetSubnets"] = {"subnet-1": {"zone": A, "cidrBlock": "10.0.0.0/25"}}
    (line,) = refused(recorder, config)
    assert "huge fits no node into us-east-1a" in line


def test_a_group_that_wants_more_nodes_than_its_limit_is_refused(recorder: Recorder, config: dict[str, Any]) -> None:
    (line,) = refused(recorder, config, desired=25)
    assert "services wants 25 nodes and no more than 21 fit" in line
    assert "Write running: 25" in line


def test_a_group_that_eks_does_not_tell_of_is_a_problem_with_the_iam_action(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    recorder.answers[READ_STATE] = {}
    recorder.answers[LOOKUP] = Recorder.failing("AccessDeniedException: not authorized")
    with pytest.raises(pulumi.RunError, match="eks:DescribeNodegroup"):
        recorder.run(stacks.deploy, config=config, stack=STACK)


@pytest.mark.parametrize(("more", "violations"), [(0, 0), (1, 3)])
def test_the_policy_agrees_with_the_limit_to_the_node(config: dict[str, Any], more: int, violations: int) -> None:
    del config["headroom:nodeLimits"]["batch"]
    pulumi.runtime.set_all_config(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    )
    (limit,) = read_settings(ConfigReader()).managed
    usable = {A: 1019 - 12, B: 1019 - 9, C: 1019}
    group = Resource(
        type=NODE_GROUP,
        name="services",
        urn="urn:services",
        properties={
            "scalingConfig": {"maxSize": limit.limit + more},
            "instanceTypes": ["m5.8xlarge"],
            "subnetIds": ["subnet-outside"],
        },
    )
    rule = {
        "podsPerNode": 100,
        "surge": 1,
        "nodeZones": sorted(usable),
        "zoneAddresses": usable,
        "environment": config["headroom:cniEnvironment"],
    }
    assert limit.limit == 24
    assert len(list(node_group_within_capacity.findings(Resources([group]), rule))) == violations


def test_the_check_without_an_engine_judges_the_limit_and_says_what_it_could_not_ask() -> None:
    result = CliRunner().invoke(check, [str(EXAMPLE)])
    notes = [line for line in result.output.splitlines() if line.startswith("note - ")]
    assert len(notes) == 1, result.output
    assert notes[0].endswith(
        "How large a node group is now is asked for by `pulumi preview` alone (aws:eks/getNodeGroup:getNodeGroup); "
        "no rule judges it."
    )
    assert "0 violations, 0 undecided" in result.output
    assert result.exit_code == 0


def test_the_check_still_cannot_decide_where_no_number_holds_for_every_group(tmp_path: Path) -> None:
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content["config"]["headroom:nodeLimits"]["other"] = {"instanceTypes": ["m5.large"], "zones": [A], "running": 1}
    for name in ("Pulumi.yaml", "__main__.py"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    (tmp_path / "stacks").mkdir()
    file = tmp_path / "stacks" / "Pulumi.mixed-limits.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = CliRunner().invoke(check, [str(file)])
    assert result.exit_code == 3, result.output


def test_the_rules_facts_are_only_those_that_hold_for_every_group(config: dict[str, Any]) -> None:
    found = policy_facts(config)["node-group-within-capacity"]
    assert found == {
        "nodeZones": [A, B, C],
        "zoneAddresses": {A: 1007, B: 1010, C: 1019},
        "environment": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"},
        "surge": 1,
        "podsPerNode": 100,
    }
    other = {"instanceTypes": ["m5.large"], "zones": [A]}
    more = {**config, "headroom:nodeLimits": {**config["headroom:nodeLimits"], "other": other}}
    assert policy_facts(more) == {}
    nodes = {"subnet-1": {"zone": A, "cidrBlock": "10.0.0.0/24", "role": "nodes"}}
    assert policy_facts({**config, "headroom:fleetSubnets": nodes}) == {}
    assert policy_facts({**config, "headroom:fleetSubnets": {"subnet-1": {"zone": A, "cidrBlock": "?"}}}) == {}
