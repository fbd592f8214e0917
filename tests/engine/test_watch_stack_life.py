"""The watch stack's life through the real Pulumi engine, and its function on what it made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from components.publisher.handler import Memory, Settings, publish
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.scenarios.cluster import ZONES
from headroom.rehearsal.stack import make_stack

if TYPE_CHECKING:
    from pathlib import Path

    from headroom.rehearsal.stack import Stack

pytestmark = pytest.mark.engine

POLICIES = str(CHECKOUT / "policies")
TOPIC = "arn:aws:sns:us-east-1:123456789012:platform"


def configure(stack: Stack, cluster: str) -> None:
    """Makes a watch stack of it, for the node subnets of its network."""
    watched = {
        stack.network.subnet_ids[zone]: {"zone": zone, "cidrBlock": block} for zone, block in blocks(stack).items()
    }
    kept = {key: stack.config[key] for key in ("aws:region", "headroom:vpcId")}
    stack.config.clear()
    stack.config.update(kept)
    stack.configure(
        remedy="watch",
        clusterName=cluster,
        watchedSubnets=watched,
        nodeGroups={"services": {"instanceType": "m5.8xlarge", "podsPerNode": 100}},
        pageTopics=[TOPIC],
    )


def blocks(stack: Stack) -> dict[str, str]:
    ids = {name: zone for zone, name in stack.network.subnet_ids.items()}
    described = stack.world.ec2.describe_subnets(SubnetIds=list(ids))["Subnets"]
    return {ids[each["SubnetId"]]: each["CidrBlock"] for each in described}


def alarms(stack: Stack, cluster: str) -> dict[str, list[str]]:
    cloudwatch = stack.world.client("cloudwatch")
    found = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return {
        kind: sorted(each["AlarmName"] for each in found[kind] if f"/{cluster}/" in each["AlarmName"])
        for kind in ("MetricAlarms", "CompositeAlarms")
    }


def test_up_makes_everything_once_and_the_function_publishes_what_the_alarms_look_at(stack: Stack) -> None:
    cluster = f"watched-{stack.name}"
    configure(stack, cluster)
    preview = stack.pulumi("preview", "--policy-pack", POLICIES)
    assert f"Watching {cluster} costs about $" in preview.output
    stack.up()
    stack.pulumi("preview", "--expect-no-changes")
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")

    made = alarms(stack, cluster)
    assert len(made["MetricAlarms"]) == 4 + 6 * len(ZONES) + 4 * len(ZONES) + 2
    assert made["CompositeAlarms"] == sorted(
        f"headroom/{cluster}/{zone}/{kind}" for zone in ZONES for kind in ("forecast", "page", "warning")
    )

    outputs = json.loads(stack.pulumi("stack", "output", "--json").output)
    lambda_ = stack.world.client("lambda")
    function = lambda_.get_function(FunctionName=outputs["function"])
    variables = function["Configuration"]["Environment"]["Variables"]
    assert function["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    watched = json.dumps(dict.fromkeys(stack.network.subnet_ids.values(), True))
    settings = Settings.read(variables, watched)
    # The function itself, on the AWS that the stack was applied to.
    published = publish(settings, stack.world.client, Memory())
    assert published == len(ZONES) * (6 + 3) + 5

    cloudwatch: Any = stack.world.client("cloudwatch")
    listed = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Headroom")
    there = {
        (each["MetricName"], frozenset((d["Name"], d["Value"]) for d in each["Dimensions"]))
        for page in listed
        for each in page["Metrics"]
    }
    found = cloudwatch.describe_alarms(AlarmNames=made["MetricAlarms"])["MetricAlarms"]
    looked_at = {
        (each["MetricName"], frozenset((d["Name"], d["Value"]) for d in each["Dimensions"]))
        for each in found
        if each.get("Namespace") == "Headroom" and each["MetricName"] != "DaysToExhaustion"
    }
    assert looked_at
    assert looked_at <= there, "an alarm looks at a metric that the function does not publish"

    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert alarms(stack, cluster) == {"MetricAlarms": [], "CompositeAlarms": []}


def test_a_subnet_that_is_watched_later_adds_its_alarms_and_renames_none(stack: Stack) -> None:
    cluster = f"growing-{stack.name}"
    configure(stack, cluster)
    every = stack.config["headroom:watchedSubnets"]
    first, *_ = every
    stack.configure(watchedSubnets={first: every[first]})
    stack.up()
    before = alarms(stack, cluster)
    stack.configure(watchedSubnets=every)
    stack.up()
    after = alarms(stack, cluster)
    assert {name for names in before.values() for name in names} < {name for names in after.values() for name in names}
    stack.pulumi("preview", "--expect-no-changes")


def test_a_second_stack_of_the_same_cluster_is_refused_before_it_overwrites_an_alarm(
    stack: Stack, tmp_path: Path
) -> None:
    cluster = f"shared-{stack.name}"
    configure(stack, cluster)
    stack.up()
    before = alarms(stack, cluster)
    (tmp_path / "second").mkdir()
    second = make_stack(stack.world, tmp_path / "second")
    second.config.clear()
    second.config.update(stack.config)
    second.configure()
    for command in (["preview"], ["up", "--yes", "--skip-preview"]):
        told = second.pulumi(*command, must=None)
        assert told.code != 0
        assert f"{cluster} has alarms that the stack headroom/{stack.name} has made" in told.output
    # The first one goes on, and what is made anew after it has gone is nobody's.
    stack.pulumi("preview", "--expect-no-changes")
    assert alarms(stack, cluster) == before
    stack.pulumi("destroy", "--yes", "--skip-preview")
    second.up()
    assert alarms(stack, cluster) == before
    second.pulumi("destroy", "--yes", "--skip-preview")


def test_every_call_of_the_stack_is_in_its_iam_policy(stack: Stack) -> None:
    cluster = f"allowed-{stack.name}"
    configure(stack, cluster)
    stack.configure(tags={"team": "platform"})
    stack.world.endpoint.forget_calls()
    stack.up()
    stack.pulumi("refresh", "--yes", "--skip-preview")
    stack.configure(tags={"owner": "platform"}, horizonDays=30, reservedConcurrency=0)
    stack.up()
    stack.pulumi("destroy", "--yes", "--skip-preview")
    called = set(stack.world.endpoint.calls())
    document = json.loads((CHECKOUT / "stacks" / "watch.iam.json").read_text(encoding="utf-8"))
    allowed = {action.partition(":")[2] for statement in document["Statement"] for action in statement["Action"]}
    # The stand-in finds a queue by its name; the real provider has its URL for an id.
    assert called - allowed == {"GetQueueUrl"}
    assert {"PutMetricAlarm", "PutCompositeAlarm", "PutDashboard", "CreateFunction", "PutRule", "CreateQueue"} <= called
