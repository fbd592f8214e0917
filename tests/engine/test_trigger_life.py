"""The trigger through the real engine: what `pulumi up` makes takes an alarm to a pull request."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from components.alarm_trigger import undelivered
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.forge import JOB_TOKEN, NAME, OWNER, PIPELINE, TRIGGER_TOKEN, Forge
from headroom.rehearsal.trigger import alarm_event, deliver, respond
from tests.engine.test_watch_stack_life import configure

if TYPE_CHECKING:
    from pathlib import Path

    from headroom.rehearsal.stack import Stack

pytestmark = pytest.mark.engine

WHEN = datetime(2026, 3, 3, 20, 20, tzinfo=UTC)
CLUSTER = "prod-use1"
"""That of the snapshot."""
FACTS = CHECKOUT / "tests" / "incidents" / "eks-healthy" / "facts.json"
ANSWERS = {"github": 204, "gitlab": 201, "azure": 200}
"""How each forge says that a pipeline was started."""


@pytest.fixture
def secret(stack: Stack) -> str:
    """A secret of Secrets Manager that holds the token."""
    name = f"headroom/{stack.name}"
    stack.world.client("secretsmanager").create_secret(Name=name, SecretString=TRIGGER_TOKEN)
    return name


def up(stack: Stack, forge: str, secret: str) -> str:
    """Applies a watch stack with a trigger; all that was printed."""
    more = {"pipeline": PIPELINE} if forge == "azure" else {}
    trigger = {"forge": forge, "repository": f"{OWNER}/{NAME}", "secret": secret, **more}
    stack.configure(trigger=trigger, dashboard=False)
    return stack.pulumi("preview", "--diff").output + stack.up().output


def event_of(stack: Stack, name: str = CLUSTER, kind: str = "page", **more: Any) -> dict[str, Any]:
    zone = next(iter(stack.network.subnet_ids))
    return alarm_event(f"headroom/{name}/{zone}/{kind}", WHEN, **more)


def test_an_alarm_opens_a_pull_request_at_each_forge_and_the_token_stands_nowhere(
    stack: Stack, tmp_path: Path, secret: str
) -> None:
    configure(stack, CLUSTER)
    (tmp_path / "checkout" / "stacks").mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "Pulumi.yaml", tmp_path / "checkout" / "Pulumi.yaml")
    for name, status in ANSWERS.items():
        printed = up(stack, name, secret)
        state = stack.pulumi("stack", "export").output
        log = (stack.world.folder / "provider-aws.log").read_text(encoding="utf-8")
        assert TRIGGER_TOKEN not in printed + state + log
        rule = stack.pulumi("stack", "output", "trigger").output.strip()
        with Forge(name, clock=WHEN.timestamp) as forge:
            delivery = deliver(event_of(stack), aws=stack.world.client, rule=rule, forge=forge)
            assert delivery.statuses == (status,)
            answer = respond(delivery, forge=forge, checkout=tmp_path / "checkout", facts=FACTS)
            assert answer.pull_request is not None, answer.output
            assert "urgent" in answer.pull_request.labels
            assert JOB_TOKEN not in answer.output
            assert f"stacks/Pulumi.{CLUSTER}-emergency.yaml" in forge.files(answer.pull_request.branch)
            assert [each.number for each in forge.open] == [1]
    stack.pulumi("preview", "--expect-no-changes")
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert stack.world.client("events").list_connections()["Connections"] == []


def test_other_events_start_nothing_and_what_is_refused_waits_in_the_queue(stack: Stack, secret: str) -> None:
    cluster = f"refused-{stack.name}"
    configure(stack, cluster)
    up(stack, "github", secret)
    rule = stack.pulumi("stack", "output", "trigger").output.strip()
    aws = stack.world.client
    event = event_of(stack, cluster)
    with Forge("github") as forge:
        for other in (
            event_of(stack, cluster, state="OK", previous="ALARM"),
            event_of(stack, "other"),
            event_of(stack, cluster, "free-critical"),
            event_of(stack, cluster, account="999999999999"),
        ):
            assert not deliver(other, aws=aws, rule=rule, forge=forge).matched
        assert forge.requests == []
        # What passes is tried again; what does not goes to the queue, and the queue has its alarm.
        forge.fail("POST", 503, count=2)
        assert deliver(event, aws=aws, rule=rule, forge=forge).statuses == (503, 503, 204)
        forge.fail("POST", 404)
        lost = deliver(event, aws=aws, rule=rule, forge=forge)
        assert (lost.statuses, lost.dead_letter, lost.started) == ((404,), "404", False)
        forge.fail("POST", 0, count=99)
        assert deliver(event, aws=aws, rule=rule, forge=forge).dead_letter == "TIMEOUT"
    alarm = aws("cloudwatch").describe_alarms(AlarmNames=[f"headroom/{cluster}/trigger-undelivered"])["MetricAlarms"][0]
    sqs = aws("sqs")
    url = sqs.get_queue_url(QueueName=alarm["Dimensions"][0]["Value"])["QueueUrl"]
    asked = {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]}
    assert sqs.get_queue_attributes(**asked)["Attributes"]["ApproximateNumberOfMessages"] == "2"
    # What the alarm says to do ends it.
    assert alarm["AlarmDescription"] == undelivered(cluster, url)
    sqs.purge_queue(QueueUrl=url)
    assert sqs.get_queue_attributes(**asked)["Attributes"]["ApproximateNumberOfMessages"] == "0"

    # A new token in Secrets Manager is taken over by the next `up`.
    aws("secretsmanager").put_secret_value(SecretId=secret, SecretString="another-t0ken")
    stack.up()
    with Forge("github") as forge:
        assert deliver(event, aws=aws, rule=rule, forge=forge).dead_letter == "401"
    stack.pulumi("destroy", "--yes", "--skip-preview")
