from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.capacity.settings import CniSettings
from headroom.facts.aws import NodeGroup
from headroom.facts.document import load
from headroom.facts.kubernetes import KarpenterNodePool
from headroom.facts.values import Reason, Unknown, known
from headroom.planning.limits_plan import cordons, plan_limits
from stacks.limits import read_settings
from stacks.settings import ConfigReader

if TYPE_CHECKING:
    from headroom.facts.snapshot import Snapshot

INCIDENTS = Path(__file__).parents[1] / "incidents"


def facts(name: str) -> Snapshot:
    return load((INCIDENTS / name / "facts.json").read_text(encoding="utf-8"), subject=name)


def with_groups(snapshot: Snapshot, groups: tuple[NodeGroup, ...] | Unknown) -> Snapshot:
    aws = known(snapshot.aws)
    assert aws is not None
    return replace(snapshot, aws=replace(aws, node_groups=groups))


def written(snapshot: Snapshot) -> dict[str, object]:
    file, *_ = plan_limits(snapshot).files
    found: dict[str, object] = yaml.safe_load(file.text)["config"]
    return found


def test_the_plan_writes_a_file_that_the_stack_reads_and_says_what_each_up_does() -> None:
    made = plan_limits(facts("eks-node-subnet-full"))
    file, policy = made.files
    assert file.path == "stacks/Pulumi.prod-use1-limits.yaml"
    config = yaml.safe_load(file.text)["config"]
    assert config["headroom:nodeLimits"] == {
        "web": {
            "kind": "managed",
            "instanceTypes": ["t3.medium"],
            "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
            "running": 9,
            "wanted": 12,
            "podsPerNode": 27,
        }
    }
    subnets = config["headroom:fleetSubnets"]
    assert subnets["subnet-9a202056967f31bc5"] == {
        "zone": "us-east-1a",
        "cidrBlock": "10.20.0.0/26",
        "role": "shared",
        "heldByOthers": 49,
    }
    judged = "--stack prod-use1-limits --policy-pack policies --policy-pack-config stacks/policy.prod-use1-limits.json"
    assert [step.command for step in made.steps] == [
        "pulumi preview --stack prod-use1-limits",
        "pulumi up --stack prod-use1-limits",
        f"pulumi up {judged}",
    ]
    assert policy.path == "stacks/policy.prod-use1-limits.json"
    rule = json.loads(policy.text)["node-group-within-capacity"]
    # 59 less 49 of others, and a /18 less AWS's five.
    assert (rule["zoneAddresses"]["us-east-1a"], rule["podsPerNode"]) == (10 + 16379, 27)
    assert made.rollback[1].command.endswith("--nodegroup-name web --scaling-config maxSize=12")
    pulumi.runtime.set_all_config(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    )
    settings = read_settings(ConfigReader())
    # Three nodes a zone in what is left of a /26 each: a fourth of everything would not start.
    assert settings.managed[0].limit == 9
    assert settings.managed[0].binding == ("us-east-1a", "us-east-1b", "us-east-1c")


def test_a_nodepool_is_planned_with_the_types_zones_and_pods_of_its_nodes() -> None:
    snapshot = facts("eks-node-subnet-full")
    kubernetes = known(snapshot.kubernetes)
    assert kubernetes is not None
    nodes = tuple(replace(node, node_pool="default", node_group=None) for node in known(kubernetes.nodes) or ())
    pooled = replace(kubernetes, nodes=nodes, node_pools=(KarpenterNodePool(name="default"),))
    made = written(with_groups(replace(snapshot, kubernetes=pooled), ()))
    assert made["headroom:nodeLimits"] == {
        "default": {
            "kind": "karpenter",
            "instanceTypes": sorted({known(node.instance_type) or "" for node in nodes}),
            "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
            "podsPerNode": 27,
        }
    }


def test_only_nodes_without_an_address_in_full_subnets_are_cordoned() -> None:
    default = CniSettings.from_environment({})
    assert cordons(facts("eks-healthy"), default) == []
    assert cordons(facts("eks-eni-limit"), default) == [], "their subnets have addresses"
    full = cordons(facts("eks-exhausted"), default)
    assert full
    aws = known(facts("eks-exhausted").aws)
    assert aws is not None
    subnets = tuple(each.subnet_id for each in known(aws.subnets) or ())
    group = NodeGroup(name="all", subnet_ids=subnets, instance_types=("m5.8xlarge",), desired=30, maximum=60)
    assert written(with_groups(facts("eks-exhausted"), (group,)))["headroom:cordonedNodes"] == full


def test_what_limits_rest_on_is_not_guessed() -> None:
    with pytest.raises(ProblemsError, match="neither a managed node group nor a Karpenter NodePool"):
        plan_limits(facts("eks-healthy"))
    with pytest.raises(ProblemsError, match=r"aws\.nodeGroups is unknown"):
        plan_limits(with_groups(facts("eks-healthy"), Unknown(Reason.DENIED)))
