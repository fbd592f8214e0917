"""The trigger's resources: exactly these alarms, the documented request, least privilege, and no token to be seen."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.runtime import rpc

from components.alarm_trigger import (
    INPUT_PATHS,
    AlarmTrigger,
    AlarmTriggerArgs,
    event_pattern,
    input_template,
    invocation_endpoint,
    permissions,
    undelivered,
)
from headroom.addresses.problems import ProblemsError
from headroom.rehearsal.trigger import transformed

if TYPE_CHECKING:
    from tests.conftest import Recorder

TOPIC = "arn:aws:sns:us-east-1:123456789012:platform"
ALARMS = ["headroom/prod-use1/us-east-1a/page", "headroom/prod-use1/us-east-1a/warning"]
EVENT = {"cluster": "prod-use1", **{name: f"<{name}>" for name in INPUT_PATHS}}


def arguments(**more: Any) -> AlarmTriggerArgs:
    return AlarmTriggerArgs(
        **{
            "cluster": "prod-use1",
            "alarms": ALARMS,
            "account": "123456789012",
            "forge": "github",
            "repository": "org/infra",
            "token": "t0ken",
            "topics": [TOPIC],
            **more,
        }
    )


def secret(value: str) -> dict[str, str]:
    """How the engine is handed a secret: it hides it, and encrypts it in the state."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


def made(recorder: Recorder, **more: Any) -> Recorder:
    recorder.run(lambda: AlarmTrigger("watch", arguments(**more)))
    return recorder


def problems(**more: Any) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        arguments(**more)
    return [problem.key for problem in caught.value.problems]


def test_the_rule_takes_these_alarms_of_this_account_as_they_begin_to_ring(recorder: Recorder) -> None:
    rule = made(recorder).one("aws:cloudwatch/eventRule:EventRule", "watch-alarms")
    assert json.loads(rule.inputs["eventPattern"]) == {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "account": ["123456789012"],
        "detail": {"alarmName": [{"prefix": each} for each in ALARMS], "state": {"value": ["ALARM"]}},
    }


@pytest.mark.parametrize(("enabled", "state"), [(True, "ENABLED"), (False, "DISABLED")])
def test_alarms_that_notify_nobody_start_nothing_either(recorder: Recorder, *, enabled: bool, state: str) -> None:
    rule = made(recorder, enabled=enabled).one("aws:cloudwatch/eventRule:EventRule", "watch-alarms")
    assert rule.inputs["state"] == state


@pytest.mark.parametrize(
    ("more", "endpoint", "body"),
    [
        (
            {},
            "https://api.github.com/repos/org/infra/dispatches",
            {"event_type": "headroom-alarm", "client_payload": EVENT},
        ),
        (
            {"endpoint": "https://git.example.com/api/v3/"},
            "https://git.example.com/api/v3/repos/org/infra/dispatches",
            {"event_type": "headroom-alarm", "client_payload": EVENT},
        ),
        (
            {"forge": "gitlab", "repository": "group/sub/infra", "ref": "release"},
            "https://gitlab.com/api/v4/projects/group%2Fsub%2Finfra/trigger/pipeline",
            {"ref": "release", "variables": {"HEADROOM_EVENT": json.dumps(EVENT)}},
        ),
        (
            {"forge": "azure", "repository": "org/My Project", "pipeline": 12},
            "https://dev.azure.com/org/My%20Project/_apis/pipelines/12/runs?api-version=7.1",
            {
                "resources": {"repositories": {"self": {"refName": "refs/heads/main"}}},
                "templateParameters": {"event": json.dumps(EVENT)},
            },
        ),
    ],
)
def test_each_forge_gets_its_documented_request(
    recorder: Recorder, more: dict[str, Any], endpoint: str, body: dict[str, Any]
) -> None:
    forge = more.get("forge", "github")
    destination = made(recorder, **more).one("aws:cloudwatch/eventApiDestination:EventApiDestination", f"watch-{forge}")
    assert destination.inputs["invocationEndpoint"] == endpoint
    assert (destination.inputs["httpMethod"], destination.inputs["invocationRateLimitPerSecond"]) == ("POST", 1)
    target = recorder.one("aws:cloudwatch/eventTarget:EventTarget", "watch-pipeline").inputs
    assert json.loads(target["inputTransformer"]["inputTemplate"]) == body
    assert target["retryPolicy"] == {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 20}


@pytest.mark.parametrize("forge", ["github", "gitlab", "azure"])
def test_the_template_filled_in_is_json_whatever_the_alarms_reason_says(forge: str) -> None:
    event = {
        "account": "123456789012",
        "region": "us-east-1",
        "time": "2026-03-03T20:20:00Z",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
        "detail": {"alarmName": ALARMS[0], "state": {"reason": 'with "quotes" and <alarm>'}},
    }
    body = json.loads(transformed(INPUT_PATHS, input_template(forge, "prod-use1", "main"), event))
    handed = {
        "github": lambda: body["client_payload"],
        "gitlab": lambda: json.loads(body["variables"]["HEADROOM_EVENT"]),
        "azure": lambda: json.loads(body["templateParameters"]["event"]),
    }[forge]()
    assert handed == {
        "cluster": "prod-use1",
        "alarm": ALARMS[0],
        "account": "123456789012",
        "region": "us-east-1",
        "time": "2026-03-03T20:20:00Z",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
    }
    assert len(handed) <= 10, "GitHub takes no more properties"


@pytest.mark.parametrize(
    ("more", "kind", "parameters"),
    [
        ({}, "API_KEY", {"apiKey": {"key": "Authorization", "value": secret("Bearer t0ken")}}),
        (
            {"forge": "gitlab", "repository": "5"},
            "API_KEY",
            {
                "apiKey": {"key": "X-Headroom-Cluster", "value": "prod-use1"},
                "invocationHttpParameters": {
                    "bodies": [{"key": "token", "value": secret("t0ken"), "isValueSecret": True}]
                },
            },
        ),
        (
            {"forge": "azure", "repository": "org/infra", "pipeline": 1},
            "BASIC",
            {"basic": {"username": "headroom", "password": secret("t0ken")}},
        ),
    ],
)
def test_the_connection_signs_in_as_the_forge_wants_it_and_the_token_is_a_secret(
    recorder: Recorder, more: dict[str, Any], kind: str, parameters: dict[str, Any]
) -> None:
    name = f"watch-{more.get('forge', 'github')}"
    connection = made(recorder, **more).one("aws:cloudwatch/eventConnection:EventConnection", name)
    assert connection.inputs["authorizationType"] == kind
    assert connection.inputs["authParameters"] == parameters
    others = [each.inputs for each in recorder.registrations if each is not connection]
    assert "t0ken" not in json.dumps(others, default=str)


def test_the_rule_may_call_its_destination_and_write_into_its_queue_and_nothing_else(recorder: Recorder) -> None:
    made(recorder)
    role = json.loads(recorder.one("aws:iam/role:Role", "watch-trigger").inputs["assumeRolePolicy"])
    assert role["Statement"][0]["Principal"] == {"Service": "events.amazonaws.com"}
    (allowed,) = permissions("arn:aws:events:us-east-1:123456789012:api-destination/a/b")["Statement"]
    assert allowed == {
        "Sid": "StartPipeline",
        "Effect": "Allow",
        "Action": "events:InvokeApiDestination",
        "Resource": "arn:aws:events:us-east-1:123456789012:api-destination/a/b",
    }
    (write,) = json.loads(recorder.one("aws:sqs/queuePolicy:QueuePolicy", "watch-undelivered").inputs["policy"])[
        "Statement"
    ]
    assert (write["Action"], list(write["Condition"])) == ("sqs:SendMessage", ["ArnEquals"])


def test_what_is_not_delivered_is_an_alarm_and_no_start_of_a_pipeline(recorder: Recorder) -> None:
    alarm = made(recorder).one("aws:cloudwatch/metricAlarm:MetricAlarm", "watch-trigger-undelivered")
    assert alarm.inputs["name"] == "headroom/prod-use1/trigger-undelivered"
    assert alarm.inputs["alarmActions"] == [TOPIC]
    assert not any(alarm.inputs["name"].startswith(each) for each in ALARMS), "or a forge's outage would start a loop"
    target = recorder.one("aws:cloudwatch/eventTarget:EventTarget", "watch-pipeline").inputs
    assert "deadLetterConfig" in target


def test_the_alarm_on_what_is_not_delivered_says_how_to_end_it(recorder: Recorder) -> None:
    # The recorded queue has no URL; the engine's test looks for the real one.
    alarm = made(recorder).one("aws:cloudwatch/metricAlarm:MetricAlarm", "watch-trigger-undelivered")
    assert alarm.inputs["alarmDescription"] == undelivered("prod-use1", "None")
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/watch-undelivered-1a2b3c4"
    text = undelivered("prod-use1", url)
    assert "stays on until its queue is empty" in text
    assert re.findall(r"`([^`]+)`", text) == [
        f"aws sqs receive-message --message-attribute-names ERROR_CODE ERROR_MESSAGE --queue-url {url}",
        "pulumi up",
        "headroom diagnose --cluster prod-use1",
        f"aws sqs purge-queue --queue-url {url}",
    ]


def test_the_longest_names_leave_the_alarms_description_whole() -> None:
    url = f"https://sqs.ap-southeast-2.amazonaws.com/123456789012/{'q' * 80}"
    longest = undelivered("c" * 100, url)
    assert len(longest) <= 1024, "CloudWatch takes no more (CloudWatch API reference, PutMetricAlarm)"


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert problems(forge="bitbucket", repository="x") == ["forge"]
    assert problems(repository="infra", ref="-x", pipeline=3, endpoint="http://git", alarms=[]) == [
        "repository",
        "ref",
        "pipeline",
        "endpoint",
        "alarms",
    ]
    assert problems(forge="azure", repository="org/p") == ["pipeline"]
    assert problems(forge="gitlab", repository="no-group") == ["repository"]


@pytest.mark.parametrize("endpoint", ["https://u:p@git.example.com", "https://git/*", "https:///x", "ftp://git", "git"])
def test_an_endpoint_is_a_plain_address_over_https(endpoint: str) -> None:
    assert problems(endpoint=endpoint) == ["endpoint"]


def test_more_alarms_than_a_pattern_holds_are_refused() -> None:
    many = [f"headroom/{'c' * 90}/us-east-1{letter}/{kind}" for letter in "abcdef" for kind in ("page", "warning")]
    assert len(event_pattern(many, "0" * 12)) <= 2048
    assert problems(alarms=[*many, *(f"{each}x" for each in many)]) == ["alarms"]


def test_the_address_is_known_at_preview() -> None:
    assert invocation_endpoint(arguments()).startswith("https://")
