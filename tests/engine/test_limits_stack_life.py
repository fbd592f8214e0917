"""The limits stack through the real Pulumi engine: what belongs to others is adopted, limited, and left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headroom.planning.limits_policy import policy_facts
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.scenarios.cluster import ZONES

if TYPE_CHECKING:
    from pathlib import Path

    from headroom.rehearsal.stack import Stack

pytestmark = pytest.mark.engine

GROUP = "services"


def node_group(stack: Stack) -> dict[str, Any]:
    described = stack.world.eks.describe_nodegroup(
        clusterName=stack.config["headroom:clusterName"], nodegroupName=GROUP
    )
    return dict(described["nodegroup"])


def sizes(stack: Stack) -> tuple[int, int, int]:
    """Minimum, desired and maximum."""
    config = node_group(stack)["scalingConfig"]
    return config["minSize"], config["desiredSize"], config["maxSize"]


def configure(stack: Stack) -> None:
    cluster = f"limited-{stack.name}"
    subnets = stack.network.subnet_ids
    eks = stack.world.eks
    eks.create_cluster(
        name=cluster,
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(subnets.values())},
    )
    eks.create_nodegroup(
        clusterName=cluster,
        nodegroupName=GROUP,
        nodeRole="arn:aws:iam::123456789012:role/nodes",
        subnets=list(subnets.values()),
        instanceTypes=["m5.8xlarge"],
        scalingConfig={"minSize": 1, "maxSize": 90, "desiredSize": 3},
        tags={"owner": "somebody else"},
    )
    described = stack.world.ec2.describe_subnets(SubnetIds=list(subnets.values()))["Subnets"]
    blocks = {each["SubnetId"]: each["CidrBlock"] for each in described}
    region = stack.config["aws:region"]
    stack.config.clear()
    stack.config["aws:region"] = region
    stack.configure(
        remedy="limits",
        clusterName=cluster,
        fleetSubnets={name: {"zone": zone, "cidrBlock": blocks[name]} for zone, name in subnets.items()},
        nodeLimits={GROUP: {"instanceTypes": ["m5.8xlarge"], "podsPerNode": 100, "running": 3, "wanted": 90}},
    )


def test_a_node_group_of_somebody_else_is_adopted_limited_without_touching_its_size_and_left(stack: Stack) -> None:
    configure(stack)
    stack.world.endpoint.forget_calls()
    before = node_group(stack)
    adopting = stack.up()
    assert "= 900 of 1,019; binds services" in adopting.output, adopting.output
    assert sizes(stack) == (1, 3, 90), "adopted as it is"
    # Meanwhile the autoscaler works: what the engine remembers is out of date.
    stack.world.eks.update_nodegroup_config(
        clusterName=stack.config["headroom:clusterName"],
        nodegroupName=GROUP,
        scalingConfig={"minSize": 1, "maxSize": 90, "desiredSize": 7},
    )
    stack.up()
    most = 5 * len(ZONES)
    assert sizes(stack) == (1, 7, most), "the desired number is the autoscaler's"
    after = node_group(stack)
    assert {name: after[name] for name in ("nodeRole", "subnets", "instanceTypes", "tags")} == {
        name: before[name] for name in ("nodeRole", "subnets", "instanceTypes", "tags")
    }
    stack.pulumi("preview", "--expect-no-changes")
    stack.world.eks.update_nodegroup_config(
        clusterName=stack.config["headroom:clusterName"],
        nodegroupName=GROUP,
        scalingConfig={"minSize": 1, "maxSize": most, "desiredSize": 4},
    )
    stack.pulumi("preview", "--expect-no-changes")
    outputs = json.loads(stack.pulumi("stack", "output", "--json").output)
    assert outputs["maxima"] == {GROUP: most}
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert sizes(stack) == (1, 4, most), "the node group stays, and its limit with it"
    called = set(stack.world.endpoint.calls())
    document = json.loads((CHECKOUT / "stacks" / "limits.iam.json").read_text(encoding="utf-8"))
    allowed = {action.partition(":")[2] for statement in document["Statement"] for action in statement["Action"]}
    assert called - allowed == set()


def test_a_group_that_wants_more_than_fits_is_refused_with_the_next_step(stack: Stack) -> None:
    configure(stack)
    stack.world.eks.update_nodegroup_config(
        clusterName=stack.config["headroom:clusterName"],
        nodegroupName=GROUP,
        scalingConfig={"minSize": 1, "maxSize": 90, "desiredSize": 40},
    )
    refused = stack.pulumi("preview", must=None)
    assert refused.code != 0
    assert "services wants 40 nodes and no more than 15 fit" in " ".join(refused.output.split())
    assert "Write running: 40" in " ".join(refused.output.split())


def test_the_policies_judge_the_limit_that_is_set_and_not_the_one_that_is_adopted(stack: Stack, tmp_path: Path) -> None:
    configure(stack)
    file = tmp_path / "policy.json"
    facts = policy_facts(stack.config)
    file.write_text(json.dumps(facts), encoding="utf-8")
    judged = ("--policy-pack", str(CHECKOUT / "policies"), "--policy-pack-config", str(file))
    stack.up()
    stack.pulumi("up", "--yes", "--skip-preview", *judged)
    assert sizes(stack) == (1, 3, 15)

    rule = facts["node-group-within-capacity"]
    less = {zone: usable - 200 for zone, usable in rule["zoneAddresses"].items()}
    file.write_text(json.dumps({"node-group-within-capacity": {**rule, "zoneAddresses": less}}), encoding="utf-8")
    refused = stack.pulumi("preview", *judged, must=None)
    assert refused.code != 0
    assert "scalingConfig.maxSize of limits-services lets nodes need 900 addresses" in " ".join(refused.output.split())
