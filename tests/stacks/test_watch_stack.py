from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from click.testing import CliRunner

import stacks
from components.subnet_publisher import permissions
from headroom.cli.check import check
from policies.doors.program import run_program
from policies.doors.project import read_project
from policies.resources import METRIC_ALARM, Resource, Resources
from policies.rules import alarm_breaches_on_silence
from tests.conftest import READ_STATE, stack_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-watch.yaml"
STACK = "prod-use1-watch"
A = "subnet-0aaaaaaaaaaaaaaa1"


@pytest.fixture
def config() -> dict[str, Any]:
    """The example's configuration, to be changed at will."""
    return stack_config(EXAMPLE)


def deploy(recorder: Recorder, config: Mapping[str, Any]) -> None:
    recorder.answers.setdefault(READ_STATE, {})
    recorder.run(stacks.deploy, config=config, stack=STACK)


def refused(recorder: Recorder, config: Mapping[str, Any]) -> list[str]:
    """What is told, one line a problem; nothing is registered."""
    with pytest.raises(pulumi.RunError) as caught:
        deploy(recorder, config)
    assert recorder.registrations == []
    first, *lines = str(caught.value).splitlines()
    assert first == (
        f"{len(lines)} problem{'s' if len(lines) != 1 else ''} in Pulumi.{STACK}.yaml; nothing was changed."
    )
    return [line.removeprefix("  - ") for line in lines]


def test_the_example_declares_publisher_alarms_and_dashboard_and_touches_no_network(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config)
    kinds = {label.split(" ")[0] for label in recorder.labels()}
    assert {"headroom:index:SubnetPublisher", "headroom:index:SubnetAlarms", "headroom:index:Dashboard"} < kinds
    assert {kind.split(":")[0] for kind in kinds} == {"aws", "headroom"}
    assert not [kind for kind in kinds if kind.startswith(("aws:ec2", "aws:eks"))]
    assert [asked.token for asked in recorder.asked] == [READ_STATE], "nothing is looked up but its own state"


URN = "urn:pulumi:prod-use1-watch::headroom::headroom:index:SubnetAlarms$aws:cloudwatch/metricAlarm:MetricAlarm"


@pytest.mark.parametrize(
    ("recorded", "owner", "told"),
    [
        ([], None, ""),
        ([], "headroom/prod-use1-watch", ""),
        ([f"{URN}::watch-silence"], "headroom/another", ""),
        ([], "headroom/another", "has alarms that the stack headroom/another has made; these would overwrite them"),
        ([], "", "has alarms that something else has made; these would overwrite them"),
    ],
)
def test_the_alarms_of_another_stack_are_not_overwritten_and_a_killed_up_goes_on(  # noqa: PLR0913, PLR0917 - fixtures
    recorder: Recorder,
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    recorded: list[str],
    owner: str | None,
    told: str,
) -> None:
    recorder.answers[READ_STATE] = {"outputs": {urn: {"outputs": {}} for urn in recorded}}
    asked: list[str] = []

    def look(key: str, cluster: str, alarm: str) -> str | None:
        asked.append(f"{key} {cluster} {alarm}")
        return owner

    monkeypatch.setattr("stacks.watch.owner_of_alarm", look)
    if told:
        (line,) = refused(recorder, config)
        assert line.startswith(f"headroom:clusterName: prod-use1 {told}")
    else:
        deploy(recorder, config)
        silence = recorder.one("aws:cloudwatch/metricAlarm:MetricAlarm", "watch-silence").inputs
        assert silence["tags"] == {"team": "platform", "headroom:stack": "headroom/prod-use1-watch"}
    assert asked == ([] if recorded else ["headroom:clusterName prod-use1 headroom/prod-use1/silence"])


def test_thresholds_come_from_the_node_group_whose_upgrade_takes_most(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config)
    made = recorder.one("aws:cloudwatch/metricAlarm:MetricAlarm", "watch-us-east-1a-free-critical")
    # One m5.8xlarge with 100 pods and five addresses warm: four interfaces, 105 addresses.
    assert made.inputs["threshold"] == 109
    assert "1 node of services takes 109 addresses" in made.inputs["alarmDescription"]


def test_the_price_of_a_month_is_told_at_preview_and_exported(
    recorder: Recorder, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lambda text, *_: told.append(text))
    deploy(recorder, config)
    assert len(told) == 1
    found = re.match(r"Watching prod-use1 costs about \$([\d.]+) a month: 52 metrics \$15\.60,", told[0])
    assert found, told
    assert float(found[1]) == recorder.stack_outputs["dollarsAMonth"]


def test_the_stack_says_every_name_of_its_alarms_and_the_next_command(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config)
    declared = {
        each.inputs.get("name", each.inputs.get("alarmName"))
        for each in recorder.registrations
        if each.type.startswith("aws:cloudwatch/") and "alarm" in each.type.lower()
    }
    assert set(recorder.stack_outputs["alarms"]) == declared
    assert recorder.stack_outputs["next"].endswith("headroom forecast --cluster prod-use1")


def test_the_function_gets_every_subnet_and_what_counts_for_its_zone(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config)
    code = recorder.one("aws:lambda/function:Function", "watch-function").inputs["code"]
    watched = json.loads(code["assets"]["components/publisher/watched.json"]["text"])
    assert watched.keys() == config["headroom:watchedSubnets"].keys()
    assert [name for name, counts in watched.items() if not counts] == [
        "subnet-0ddddddddddddddd4",
        "subnet-0eeeeeeeeeeeeeee5",
    ]


def test_prefix_delegation_makes_alarms_on_28s_and_tells_the_function(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    config["headroom:cniEnvironment"] = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
    deploy(recorder, config)
    variables = recorder.one("aws:lambda/function:Function", "watch-function").inputs["environment"]["variables"]
    assert variables["PREFIX_DELEGATION"] == "true"
    assert recorder.one("aws:cloudwatch/metricAlarm:MetricAlarm", f"watch-us-east-1a-{A}-prefix-blocks")


def test_idle_addresses_are_counted_where_that_is_asked_for_with_their_price_and_what_is_left_to_grant(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    deploy(recorder, config)
    before = recorder.stack_outputs["dollarsAMonth"]
    assert "grant" not in recorder.stack_outputs
    deploy(recorder, {**config, "headroom:idleAddresses": "true"})
    variables = recorder.one("aws:lambda/function:Function", "watch-function").inputs["environment"]["variables"]
    assert variables["IDLE_ADDRESSES"] == "true"
    # A metric a subnet and zone.
    subnets = config["headroom:watchedSubnets"]
    zones = {each["zone"] for each in subnets.values()}
    more = 0.30 * (len(subnets) + len(zones))
    assert recorder.stack_outputs["dollarsAMonth"] == pytest.approx(before + more, abs=0.015)
    assert recorder.stack_outputs["grant"].startswith("aws eks create-access-entry --cluster-name prod-use1 ")
    body = json.loads(recorder.one("aws:cloudwatch/dashboard:Dashboard", "watch-dashboard").inputs["dashboardBody"])
    assert "Idle addresses: held by nodes, and no pod has them" in [
        each["properties"].get("title") for each in body["widgets"]
    ]


def test_for_the_first_day_alarms_can_be_mute_and_the_dashboard_left_out(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    config |= {"headroom:alarmActions": "false", "headroom:dashboard": "false", "headroom:reservedConcurrency": "0"}
    deploy(recorder, config)
    composites = [each for each in recorder.registrations if each.type.endswith("CompositeAlarm")]
    assert composites
    assert not any(each.inputs["actionsEnabled"] for each in composites)
    assert not [label for label in recorder.labels() if "ashboard" in label]
    assert "reservedConcurrentExecutions" not in recorder.one("aws:lambda/function:Function", "watch-function").inputs


def test_the_policies_find_nothing_in_the_example_and_find_an_alarm_that_sleeps_on_silence(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    result = CliRunner().invoke(check, [str(EXAMPLE)])
    assert result.output.startswith("clean: 0 violations, 0 undecided; "), result.output
    deploy(recorder, config)
    alarms = [
        Resource(type=each.type, name=each.name, urn=f"urn::{each.name}", properties=dict(each.inputs))
        for each in recorder.registrations
        if each.type == METRIC_ALARM and "AvailabilityZone" in str(each.inputs)
    ]
    assert len(alarms) == 3 * 6 + 3 * 4 + 2 * 3
    asleep = [replace(each, properties={**each.properties, "treatMissingData": "missing"}) for each in alarms]
    assert list(alarm_breaches_on_silence.findings(Resources(alarms), {})) == []
    assert len(list(alarm_breaches_on_silence.findings(Resources(asleep), {}))) == len(alarms)


def test_every_problem_is_told_at_once_and_by_its_key(recorder: Recorder, config: dict[str, Any]) -> None:
    config |= {
        "headroom:vpcId": "vpc-x",
        "headroom:watchedSubnets": {
            "subnet-1": {"zone": "us-east-1a", "cidrBlock": "10.0.0.0/24"},
            A: {"zone": "a", "role": "any"},
        },
        "headroom:nodeGroups": {"a": {"instanceType": "m5.9xlarge"}, "b": {"instanceType": "m5.large", "surge": 0}},
        "headroom:pageTopics": ["on-call"],
        "headroom:horizonDays": "soon",
        "headroom:watchedSubnet": {},
    }
    told = refused(recorder, config)
    assert [line.split(": ")[0] for line in told] == [
        "headroom:vpcId",
        "headroom:watchedSubnets.subnet-1",
        f"headroom:watchedSubnets.{A}.zone",
        f"headroom:watchedSubnets.{A}.cidrBlock",
        f"headroom:watchedSubnets.{A}.role",
        "headroom:nodeGroups.a.instanceType",
        "headroom:nodeGroups.b.surge",
        "headroom:pageTopics[0]",
        "headroom:horizonDays",
        "headroom:watchedSubnet",
    ]
    assert "Did you mean watchedSubnets?" in told[-1]


def test_what_is_missing_is_told_once(recorder: Recorder) -> None:
    told = refused(recorder, {"headroom:remedy": "watch", "aws:region": "us-east-1"})
    assert [line.split(": ")[0] for line in told] == [
        "headroom:clusterName",
        "headroom:vpcId",
        "headroom:watchedSubnets",
        "headroom:nodeGroups",
        "headroom:pageTopics",
    ]


TRIGGER = {"forge": "github", "repository": "org/infra", "secret": "headroom/trigger"}
SECRET = "aws:secretsmanager/getSecretVersion:getSecretVersion"  # noqa: S105 - a token of the SDK, no secret


def with_trigger(recorder: Recorder, config: dict[str, Any], text: str = "t0ken", **more: Any) -> None:
    """Deploys the example with a trigger; the secret holds that text."""
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:headroom/trigger-AbCdEf"
    recorder.answers[SECRET] = {"secretString": text, "secretId": "headroom/trigger", "secretArn": arn}
    deploy(recorder, {**config, "headroom:trigger": {**TRIGGER, **more}})


def test_a_trigger_starts_a_pipeline_on_what_pages_and_warns(recorder: Recorder, config: dict[str, Any]) -> None:
    with_trigger(recorder, config)
    pattern = json.loads(recorder.one("aws:cloudwatch/eventRule:EventRule", "watch-alarms").inputs["eventPattern"])
    named = {each["prefix"] for each in pattern["detail"]["alarmName"]}
    assert named == {f"headroom/prod-use1/us-east-1{zone}/{kind}" for zone in "abc" for kind in ("page", "warning")}
    assert named <= set(recorder.stack_outputs["alarms"]), "the names are those of the composite alarms"
    assert "headroom/prod-use1/trigger-undelivered" in recorder.stack_outputs["alarms"]
    assert [asked.token for asked in recorder.asked] == [READ_STATE, SECRET]


def test_a_trigger_costs_one_alarm_more(recorder: Recorder, config: dict[str, Any]) -> None:
    deploy(recorder, config)
    before = recorder.stack_outputs["dollarsAMonth"]
    with_trigger(recorder, config)
    assert recorder.stack_outputs["dollarsAMonth"] == pytest.approx(before + 0.10, abs=0.005)


def test_a_forecast_starts_one_where_it_is_asked_for(recorder: Recorder, config: dict[str, Any]) -> None:
    with_trigger(recorder, config, on=["forecast"])
    pattern = recorder.one("aws:cloudwatch/eventRule:EventRule", "watch-alarms").inputs["eventPattern"]
    assert "/forecast" in pattern
    assert "/page" not in pattern


@pytest.mark.parametrize(("text", "key"), [("t0ken\n", ""), ('{"token": "t0ken", "user": "x"}', "token")])
def test_the_token_comes_from_the_secret_and_is_one_in_the_plan(
    recorder: Recorder, config: dict[str, Any], text: str, key: str
) -> None:
    with_trigger(recorder, config, text, **({"secretKey": key} if key else {}))
    connection = recorder.one("aws:cloudwatch/eventConnection:EventConnection", "watch-github").inputs
    value = connection["authParameters"]["apiKey"]["value"]
    assert value["value"] == "Bearer t0ken"
    assert len(value) == 2, "with the mark of a secret"


@pytest.mark.parametrize(
    ("text", "key"), [('{"token": "t0ken"}', ""), ("t0ken", "token"), ('{"a": "t0ken"}', "token"), ("", "")]
)
def test_a_secret_without_a_token_is_refused_and_not_told(
    recorder: Recorder, config: dict[str, Any], text: str, key: str
) -> None:
    with pytest.raises(pulumi.RunError, match=r"headroom:trigger\.secret: headroom/trigger holds no ") as caught:
        with_trigger(recorder, config, text, **({"secretKey": key} if key else {}))
    assert "t0ken" not in str(caught.value)
    assert recorder.registrations == []


def test_a_secret_that_cannot_be_read_is_told_with_the_action_that_is_missing(
    recorder: Recorder, config: dict[str, Any]
) -> None:
    recorder.answers[SECRET] = recorder.failing("AccessDeniedException")
    (told,) = refused(recorder, {**config, "headroom:trigger": TRIGGER})
    assert told.startswith("headroom:trigger.secret: headroom/trigger could not be read: ")
    assert told.endswith("that the credentials allow secretsmanager:GetSecretValue.")


def test_every_problem_of_a_trigger_is_told_at_once_and_no_token(recorder: Recorder, config: dict[str, Any]) -> None:
    config["headroom:trigger"] = {
        "forge": "azure",
        "repository": "infra",
        "secret": "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "on": ["silence"],
        "endpoint": "http://git",
        "branch": "x",
    }
    told = refused(recorder, config)
    assert [line.split(": ")[0] for line in told] == [
        "headroom:trigger.branch",
        "headroom:trigger.repository",
        "headroom:trigger.pipeline",
        "headroom:trigger.endpoint",
        "headroom:trigger.secret",
        "headroom:trigger.on",
    ]
    assert "ghp_" not in "".join(told)
    assert "revoke it" in told[4]


def test_the_check_of_a_stack_with_a_trigger_needs_no_secret(config: dict[str, Any]) -> None:
    config["headroom:trigger"] = TRIGGER
    run = run_program(read_project(CHECKOUT), STACK, config)
    assert run.asked == [SECRET], "and it says that nobody answered"
    assert "aws:cloudwatch/eventApiDestination:EventApiDestination" in {each.type for each in run.resources}


def test_settings_that_aws_node_would_refuse_are_refused(recorder: Recorder, config: dict[str, Any]) -> None:
    config["headroom:cniEnvironment"] = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0"}
    assert [line.split(": ")[0].split(".")[0] for line in refused(recorder, config)] == ["headroom:cniEnvironment"]


def test_the_policy_document_holds_what_the_stack_makes_and_only_passes_a_role_to_lambda() -> None:
    document = json.loads((CHECKOUT / "stacks" / "watch.iam.json").read_text(encoding="utf-8"))
    by_sid = {each["Sid"]: each for each in document["Statement"]}
    twice = {"iam:PassRole": {"lambda.amazonaws.com", "events.amazonaws.com"}}
    actions = [action for each in document["Statement"] for action in each["Action"]]
    assert {action for action in actions if actions.count(action) > 1} == {*twice, "secretsmanager:GetSecretValue"}
    assert {action.partition(":")[0] for action in actions} == {
        "cloudwatch",
        "events",
        "iam",
        "lambda",
        "logs",
        "secretsmanager",
        "sqs",
    }
    for each in document["Statement"]:
        if each["Sid"] in ("TriggersToken", "ConnectionsSecret", "PassItsRole", "PassTheTriggersRole"):
            assert each["Resource"] != "*"
    passed = {
        by_sid[sid]["Condition"]["StringEquals"]["iam:PassedToService"]
        for sid in ("PassItsRole", "PassTheTriggersRole")
    }
    assert passed == twice["iam:PassRole"]
    assert by_sid["PassItsRole"]["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    assert "*" not in {action.partition(":")[2] for action in actions}
    # What the function itself may do it gets from the role that the stack makes: nobody who applies it needs that.
    own = [action for each in permissions("n", queue_arn="q", log_arn="l")["Statement"] for action in each["Action"]]
    assert not {"ec2:DescribeSubnets", "cloudwatch:PutMetricData"} & set(actions)
    assert "ec2:DescribeSubnets" in own
