"""The forge's stand-in refuses what the references say is refused, and the way to it is EventBridge's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3

from components.alarm_trigger import INPUT_PATHS, event_pattern, input_template, permissions, queue_policy
from headroom.rehearsal.forge import TRIGGER_TOKEN, Forge
from headroom.rehearsal.trigger import alarm_event, deliver, respond, transformed

if TYPE_CHECKING:
    from pathlib import Path

    from headroom.rehearsal.aws.endpoint import Endpoint

WHEN = datetime(2026, 3, 3, 20, 20, tzinfo=UTC)
ALARM = "headroom/prod-use1/us-east-1a/page"
BEARER = {"Authorization": f"Bearer {TRIGGER_TOKEN}"}


def post(forge: Forge, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, str]:
    answer = urllib3.request(
        "POST", forge.address + path, body=json.dumps(body), headers=headers or {}, retries=False, timeout=5
    )
    return answer.status, answer.data.decode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"event_type": "x", "client_payload": {str(number): 1 for number in range(10)}}, 204),
        ({"event_type": "x", "client_payload": {str(number): 1 for number in range(11)}}, 422),
        ({"event_type": "x" * 101}, 422),
        ({}, 422),
    ],
)
def test_github_takes_ten_properties_and_a_short_event_type(body: dict[str, Any], code: int) -> None:
    with Forge("github") as forge:
        assert post(forge, "/repos/org/infra/dispatches", body, BEARER)[0] == code


def test_each_forge_refuses_a_trigger_without_its_token_in_its_own_way() -> None:
    with Forge("github") as forge:
        assert post(forge, "/repos/org/infra/dispatches", {"event_type": "x"})[0] == 401
    with Forge("gitlab") as forge:
        assert post(forge, "/api/v4/projects/5/trigger/pipeline", {"ref": "main", "token": "x"})[0] == 404
    with Forge("azure") as forge:
        path = "/org/infra/_apis/pipelines/12/runs?api-version=7.1"
        assert post(forge, path, {})[0] == 203, "the sign-in page"
        assert post(forge, path, {}, {"X-TFS-FedAuthRedirect": "Suppress"})[0] == 401


def test_gitlab_takes_texts_alone_as_variables_and_no_branch_that_is_not_there() -> None:
    with Forge("gitlab") as forge:
        path, token = "/api/v4/projects/org%2Finfra/trigger/pipeline", {"token": TRIGGER_TOKEN}
        assert post(forge, path, {**token, "ref": "gone"})[0] == 400
        assert post(forge, path, {**token, "ref": "main", "variables": {"A": {"b": 1}}})[0] == 400
        assert post(forge, path, {**token, "ref": "main", "variables": {"A": "b"}})[0] == 201


def test_what_no_reference_names_is_not_there() -> None:
    with Forge("github") as forge:
        assert post(forge, "/repos/org/infra/merges", {}, BEARER)[0] == 404
        assert post(forge, "/repos/org/other/dispatches", {"event_type": "x"}, BEARER)[0] == 404


def test_a_variable_stands_in_quotes_as_it_is_and_outside_them_as_json() -> None:
    event = {"detail": {"name": "a b", "count": 3, "tags": {"x": "y"}}}
    paths = {"name": "$.detail.name", "count": "$.detail.count", "tags": "$.detail.tags", "gone": "$.detail.gone"}
    template = '{"a": <name>, "b": "is <name>, <count>", "c": <tags>, "d": "<gone>", "e": "say \\"<name>\\""}'
    assert json.loads(transformed(paths, template, event)) == {
        "a": "a b",
        "b": "is a b, 3",
        "c": {"x": "y"},
        "d": "",
        "e": 'say "a b"',
    }


# EventBridge's way, on resources made by hand.


@pytest.fixture(scope="module")
def endpoint(simulated_aws: Endpoint) -> Endpoint:
    return simulated_aws


@pytest.fixture
def aws(endpoint: Endpoint) -> Any:
    session = boto3.session.Session("rehearsal", "rehearsal", region_name="us-east-1")
    return lambda service: session.client(service, endpoint_url=endpoint.url)


def make_rule(aws: Any, name: str, *, allowed: bool = True, queue: bool = True, state: str = "ENABLED") -> str:
    """What components/alarm_trigger.py makes, with its own texts."""
    events, iam = aws("events"), aws("iam")
    rule = events.put_rule(Name=name, EventPattern=event_pattern([ALARM], "123456789012"), State=state)["RuleArn"]
    key = {"ApiKeyName": "Authorization", "ApiKeyValue": f"Bearer {TRIGGER_TOKEN}"}
    connection = events.create_connection(
        Name=name, AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": key}
    )
    destination = events.create_api_destination(
        Name=name,
        ConnectionArn=connection["ConnectionArn"],
        InvocationEndpoint="https://api.github.com/repos/org/infra/dispatches",
        HttpMethod="POST",
    )["ApiDestinationArn"]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    policy = permissions(destination if allowed else f"{destination}x")
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    arn = f"arn:aws:sqs:us-east-1:123456789012:{name}"
    policy = {"Policy": json.dumps(queue_policy(queue_arn=arn, rule_arn=rule))}
    aws("sqs").create_queue(QueueName=name, Attributes=policy if queue else {})
    events.put_targets(
        Rule=name,
        Targets=[
            {
                "Id": "1",
                "Arn": destination,
                "RoleArn": role,
                "InputTransformer": {
                    "InputPathsMap": INPUT_PATHS,
                    "InputTemplate": input_template("github", "prod-use1", "main"),
                },
                "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
                "DeadLetterConfig": {"Arn": arn},
            }
        ],
    )
    return name


def test_a_role_that_may_not_call_ends_in_the_queue_and_calls_nobody(aws: Any) -> None:
    rule = make_rule(aws, "denied", allowed=False)
    with Forge("github") as forge:
        assert deliver(alarm_event(ALARM, WHEN), aws=aws, rule=rule, forge=forge).dead_letter == "NO_PERMISSIONS"
        assert forge.requests == []


def test_a_queue_that_the_rule_may_not_write_into_loses_the_event_and_that_is_said(aws: Any) -> None:
    rule = make_rule(aws, "lost", queue=False)
    with Forge("github") as forge:
        forge.fail("POST", 422)
        done = deliver(alarm_event(ALARM, WHEN), aws=aws, rule=rule, forge=forge)
    assert done.dead_letter == "422: dropped, the rule may not write into lost"


def test_a_late_answer_counts_as_none_and_is_tried_as_often_as_the_policy_says(aws: Any) -> None:
    rule = make_rule(aws, "late")
    with Forge("github") as forge:
        forge.fail("POST", 204, seconds=0.5, count=9)
        done = deliver(alarm_event(ALARM, WHEN), aws=aws, rule=rule, forge=forge, timeout=0.05)
    assert (done.statuses, done.dead_letter) == ((0, 0, 0), "TIMEOUT")


def test_a_disabled_rule_starts_nothing(aws: Any, tmp_path: Path) -> None:
    rule = make_rule(aws, "off", state="DISABLED")
    with Forge("github") as forge:
        done = deliver(alarm_event(ALARM, WHEN), aws=aws, rule=rule, forge=forge)
        assert not done.matched
        with pytest.raises(ValueError, match="started no pipeline"):
            respond(done, forge=forge, checkout=tmp_path)
