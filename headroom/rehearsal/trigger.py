"""The trigger's way, played: an alarm's event through EventBridge's rule to the forge, and the workflow that answers.

The interface, for scenarios:

    event = alarm_event("headroom/prod-use1/us-east-1a/page", when)                     # what CloudWatch sends
    delivery = deliver(event, aws=world.client, rule=NAME_OF_THE_RULE, forge=forge)      # rule, transformer, request
    answer = respond(delivery, forge=forge, checkout=folder, facts=snapshot_file)        # the workflow's two programs
    answer.pull_request                                                                  # None where there is none

`deliver` reads the rule (the stack's output `trigger`), its target, the API destination and the connection out of the
simulated AWS, so what is played is what `pulumi up` made. `respond` reads the live cluster where no snapshot is given:
then `environment` says where (AWS_ENDPOINT_URL, KUBECONFIG). Nothing is waited for: retries follow at once.
"""

import base64
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from moto.events.models import EventPattern

from headroom.rehearsal.aws.settings import ACCOUNT
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.forge import Forge, PullRequest

TIMEOUT_SECONDS: Final = 5.0
"""EventBridge waits no longer for an answer (user guide, eb-api-destinations)."""
DEFAULT_RETRIES: Final = 185
"""Where a target has no retry policy (the same)."""
EVENT_VARIABLES: Final = {"gitlab": "HEADROOM_EVENT", "azure": "event"}
"""Where a pipeline finds the event; GitHub hands client_payload over."""


def _retried(code: int) -> bool:
    """Whether a delivery is tried again: after 429 and 5xx, no other code (user guide, API destination error codes)."""
    return code == 429 or code >= 500  # noqa: PLR2004 - the codes themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of an event.

    Attributes:
        matched: Whether the rule took it.
        body: What was sent, as JSON; None where nothing was. The connection's secrets are not in it.
        statuses: The forge's answers, one an attempt; 0 for none.
        dead_letter: Why it went to the queue; empty where it did not.
        event: The event as the pipeline gets it; empty where none was started.
    """

    matched: bool
    body: Any = None
    statuses: tuple[int, ...] = ()
    dead_letter: str = ""
    event: str = ""

    @property
    def started(self) -> bool:
        """Whether a pipeline was started."""
        return bool(self.event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the workflow did.

    Attributes:
        pull_request: The open pull request of the proposal; None where there is none.
        respond_code: Exit code of `headroom respond`.
        propose_code: Exit code of `templates/ci/propose.py`; None where it was not run.
        output: What both printed.
    """

    pull_request: PullRequest | None
    respond_code: int
    propose_code: int | None
    output: str


def alarm_event(  # noqa: PLR0913 - the fields of an event, by keyword
    alarm: str,
    when: datetime,
    *,
    state: str = "ALARM",
    previous: str = "OK",
    region: str = "us-east-1",
    account: str = ACCOUNT,
    reason: str = "",
) -> dict[str, Any]:
    """What CloudWatch sends as a composite alarm changes its state (CloudWatch user guide, alarm events)."""
    arn = f"arn:aws:cloudwatch:{region}:{account}:alarm:{alarm}"
    time = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    said = reason or f'{arn} transitioned to {state} at {time}. "quoted", as reasons are.'
    return {
        "version": "0",
        # The same alarm at the same time is the same event: a rehearsal repeats itself.
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{arn} {time} {state}")),
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": account,
        "time": f"{time}Z",
        "region": region,
        "resources": [arn],
        "detail": {
            "alarmName": alarm,
            "state": {"value": state, "reason": said, "timestamp": f"{time}.000+0000"},
            "previousState": {"value": previous, "timestamp": f"{time}.000+0000"},
            "configuration": {"alarmRule": "…", "actionsEnabled": True},
        },
    }


def deliver(
    event: Mapping[str, Any],
    *,
    aws: Callable[[str], Any],
    rule: str,
    forge: Forge,
    timeout: float = TIMEOUT_SECONDS,
) -> Delivery:
    """Takes an event the way that EventBridge takes it.

    Args:
        event: What CloudWatch sends.
        aws: Makes a client of a service of the simulated AWS, as `World.client` does.
        rule: Name of the rule.
        forge: Answers in the place of the API destination's host.
        timeout: Seconds until an answer is given up.
    """
    events = aws("events")
    described = events.describe_rule(Name=rule)
    if described["State"] != "ENABLED":
        return Delivery(matched=False)
    if not EventPattern.load(described["EventPattern"]).matches_event(event):  # type: ignore[arg-type]  # any event
        return Delivery(matched=False)
    (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
    transformer = target["InputTransformer"]
    body = json.loads(transformed(transformer["InputPathsMap"], transformer["InputTemplate"], event))
    if not _allowed(aws("iam"), target["RoleArn"], target["Arn"]):
        told = _bury(aws("sqs"), target, described["Arn"], event, "NO_PERMISSIONS")
        return Delivery(matched=True, body=body, dead_letter=told)
    name = target["Arn"].split("/")[1]
    destination = events.describe_api_destination(Name=name)
    headers, added = _credentials(aws, destination["ConnectionArn"].split("/")[1])
    headers |= dict(target.get("HttpParameters", {}).get("HeaderParameters", {}))
    before = len(forge.started)
    attempts = 1 + target.get("RetryPolicy", {}).get("MaximumRetryAttempts", DEFAULT_RETRIES)
    request = _Call(
        method=destination["HttpMethod"],
        address=forge.address + _path(destination["InvocationEndpoint"]),
        headers={
            "User-Agent": "Amazon/EventBridge/ApiDestinations",
            "Content-Type": "application/json; charset=utf-8",
            "Range": "bytes=0-1048575",
            **headers,
        },
        body={**body, **added},
        timeout=timeout,
    )
    statuses = list(request.attempts(attempts))
    buried = ""
    if not 200 <= statuses[-1] < 300:  # noqa: PLR2004 - success, by HTTP
        buried = _bury(aws("sqs"), target, described["Arn"], event, str(statuses[-1] or "TIMEOUT"))
    started = forge.started[before:]
    return Delivery(
        matched=True,
        body=body,
        statuses=tuple(statuses),
        dead_letter=buried,
        event=_handed_over(forge.name, started[-1]) if started else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    method: str
    address: str
    headers: Mapping[str, str]
    body: Any
    timeout: float

    def attempts(self, most: int) -> Iterator[int]:
        """Sends until an answer is final; the answers' codes."""
        pool = urllib3.PoolManager()
        for _ in range(most):
            try:
                answer = pool.request(
                    self.method,
                    self.address,
                    body=json.dumps(self.body),
                    headers=self.headers,
                    timeout=self.timeout,
                    retries=False,
                )
                code = answer.status
            except urllib3.exceptions.HTTPError:
                code = 0
            yield code
            if code and not _retried(code):
                return


def transformed(paths: Mapping[str, str], template: str, event: Mapping[str, Any]) -> str:
    """An input template filled in (EventBridge user guide, eb-transform-target-input).

    Inside quotes a value stands as it is, and nothing in it is escaped; outside them it stands as JSON. A path that is
    not in the event gives nothing.
    """

    def value(name: str) -> Any:
        found: Any = event
        for part in paths[name].removeprefix("$.").split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def put(match: re.Match[str]) -> str:
        if match[1] not in paths:
            return match[0]
        quotes = len(re.findall(r'(?<!\\)"', template[: match.start()]))
        found = value(match[1])
        if quotes % 2 == 0:
            return json.dumps(found)
        return "" if found is None else found if isinstance(found, str) else json.dumps(found)

    return re.sub(r"<([A-Za-z0-9_.-]+)>", put, template)


def _path(endpoint: str) -> str:
    split = urlsplit(endpoint)
    return split.path + (f"?{split.query}" if split.query else "")


def _credentials(aws: Callable[[str], Any], connection: str) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and body parameters that the connection adds, out of the secret that EventBridge keeps for it."""
    described = aws("events").describe_connection(Name=connection)
    secret = json.loads(aws("secretsmanager").get_secret_value(SecretId=described["SecretArn"])["SecretString"])
    parameters = secret.get("invocation_http_parameters", {}).get("body_parameters", [])
    added = {each["key"]: each["value"] for each in parameters}
    if described["AuthorizationType"] == "BASIC":
        pair = f"{secret['username']}:{secret['password']}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, added
    return {secret["api_key_name"]: secret["api_key_value"]}, added


def _allowed(iam: Any, role_arn: str, destination: str) -> bool:
    """Whether the target's role may call the destination."""
    role = role_arn.rsplit("/", 1)[-1]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in document["Statement"]:
            if statement["Action"] == "events:InvokeApiDestination" and statement["Resource"] == destination:
                return True
    return False


def _bury(sqs: Any, target: Mapping[str, Any], rule: str, event: Mapping[str, Any], code: str) -> str:
    """Puts an event into the target's queue, if that rule may write there; the code, for the record."""
    queue = target.get("DeadLetterConfig", {}).get("Arn", "").rsplit(":", 1)[-1]
    if not queue:
        return f"{code}: dropped, no queue"
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
    statements = json.loads(policy)["Statement"] if policy else []
    if not any(each.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn") == rule for each in statements):
        return f"{code}: dropped, the rule may not write into {queue}"
    # The attributes that the user guide names (eb-rule-dlq).
    attributes = {"RULE_ARN": rule, "TARGET_ARN": target["Arn"], "ERROR_CODE": code}
    sqs.send_message(
        QueueUrl=url,
        MessageBody=json.dumps(event),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
    return code


def _handed_over(forge: str, started: Mapping[str, Any]) -> str:
    if forge == "github":
        return json.dumps(started["client_payload"])
    return str(started[EVENT_VARIABLES[forge]])


def respond(  # noqa: PLR0913 - what a workflow gets, by keyword
    delivery: Delivery,
    *,
    forge: Forge,
    checkout: Path,
    facts: Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    limits: Mapping[str, str] | None = None,
) -> Answer:
    """Runs what a workflow of `templates/ci` runs: `headroom respond`, then `propose.py` with a token of its own.

    Args:
        delivery: The event, as it was handed over.
        forge: Where the pull request is opened.
        checkout: A folder with Pulumi.yaml: the repository's checkout.
        facts: A snapshot instead of the live cluster.
        environment: Variables that lead to the live cluster.
        options: Further options of `headroom respond`, such as `--context`.
        limits: HEADROOM_MINUTES, HEADROOM_A_DAY.

    Raises:
        ValueError: No pipeline was started.
    """
    if not delivery.started:
        raise ValueError("the event started no pipeline")
    folder = checkout / "proposal"
    arguments = ["respond", "--folder", str(folder), "--checkout", str(checkout), *options]
    arguments += ["--facts", str(facts)] if facts is not None else []
    inherited = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})}
    first = _run(["-m", "headroom.cli", *arguments], {**inherited, "HEADROOM_EVENT": delivery.event}, checkout)
    if first.returncode:
        return Answer(
            pull_request=None, respond_code=first.returncode, propose_code=None, output=first.stdout + first.stderr
        )
    # A job of its own: no way to the cluster, but a token that may write.
    variables = {**os.environ, **forge.variables(), **(limits or {})}
    second = _run([str(CHECKOUT / "templates/ci/propose.py"), forge.name, str(folder)], variables, checkout)
    document = folder / "proposal.json"
    branch = json.loads(document.read_text(encoding="utf-8"))["branch"] if document.is_file() else ""
    return Answer(
        pull_request=next((each for each in forge.open if each.branch == branch), None),
        respond_code=0,
        propose_code=second.returncode,
        output=first.stdout + first.stderr + second.stdout + second.stderr,
    )


def _run(arguments: list[str], environment: Mapping[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, *arguments],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
