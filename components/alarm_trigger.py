"""An alarm starts a pipeline: an EventBridge rule, an API destination, and nothing of ours that runs.

EventBridge keeps what it signs in with in a secret of its own, which it makes in Secrets Manager out of the values
that the connection is given; it cannot refer to a secret that exists (EventBridge API reference, CreateConnection; user
guide, eb-api-destinations). So the token passes through Pulumi once, always as a secret: it shows in no preview and no
log, and stands encrypted in the state. What the forge refuses goes to a queue that has an alarm.

Requests: GitHub REST API, create a repository dispatch event; GitLab API, trigger a pipeline with a token; Azure DevOps
REST API 7.1, pipelines/runs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pulumi
from pulumi_aws import cloudwatch, iam, sqs

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.watch import SCHEDULE_MINUTES

EVENT_TYPE: Final = "headroom-alarm"
"""GitHub's event_type, for the workflow's `types`."""

ENDPOINTS: Final = {
    "github": "https://api.github.com",
    "gitlab": "https://gitlab.com/api/v4",
    "azure": "https://dev.azure.com",
}
"""Where the forges' APIs are, unless they are the owner's own."""

RATE_PER_SECOND: Final = 1
"""The least that an API destination can have (EventBridge API reference, CreateApiDestination)."""
RETRIES: Final = 20
EVENT_SECONDS: Final = 3600
"""How long a delivery is tried: the forge's short outage. Later the alarm has told people otherwise."""
DEAD_LETTER_SECONDS: Final = 14 * 86_400
"""The longest that SQS keeps a message (SQS developer guide, quotas)."""
PATTERN_CHARACTERS: Final = 2048
"""Of an event pattern (EventBridge quotas); more is had by asking. Wildcards are avoided: 30 rules of a bus may have
them, and that quota cannot be raised."""

INPUT_PATHS: Final = {
    "alarm": "$.detail.alarmName",
    "account": "$.account",
    "region": "$.region",
    "time": "$.time",
    "id": "$.id",
}
"""What goes along. EventBridge puts values into the template as they are, without escaping: these have no quotes. The
alarm's reason has, so it stays behind."""

_PATHS: Final = {
    "github": (re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}"), "owner/repository"),
    "gitlab": (
        re.compile(r"[0-9]{1,12}|[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+"),
        "group/project",
    ),
    "azure": (re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,49}/[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}"), "organization/project"),
}
_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmTriggerArgs:
    """Which alarms start what.

    Attributes:
        cluster: Name of the EKS cluster.
        alarms: What the names of the alarms begin with.
        account: The account that they are in; a bus may get events of others.
        forge: github, gitlab or azure.
        repository: owner/repository, group/project (or its number), organization/project.
        token: GitHub: a token with `contents: write` on the repository; GitLab: a pipeline trigger token; Azure DevOps:
            a personal access token with Build (read and execute). Made a secret here, if it is none.
        ref: GitLab and Azure: the branch whose pipeline runs. GitHub takes the default branch.
        pipeline: Azure: the pipeline's number.
        endpoint: The API's address, where the forge is the owner's own.
        enabled: Whether alarms start anything.
        topics: SNS topics for deliveries that failed.
        tags: For everything that can carry them.

    Raises:
        ProblemsError: Everything that is wrong with them.
    """

    cluster: str
    alarms: Sequence[str]
    account: pulumi.Input[str]
    forge: str
    repository: str
    token: pulumi.Input[str]
    ref: str = "main"
    pipeline: int | None = None
    endpoint: str = ""
    enabled: bool = True
    topics: Sequence[pulumi.Input[str]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="AlarmTriggerArgs")

    def problems(self) -> list[Problem]:
        """Everything that speaks against them."""
        found = list(forge_problems(self.forge, self.repository, self.ref, self.pipeline, self.endpoint))
        if not self.alarms:
            found.append(_wrong("alarms", "nothing", "starts anything.", "Name at least the alarms that page."))
        # An account has twelve digits.
        length = len(event_pattern(self.alarms, "0" * 12))
        if length > PATTERN_CHARACTERS:
            reason = f"make an event pattern of {length:,} characters; EventBridge takes {PATTERN_CHARACTERS:,}."
            step = "Let fewer kinds of alarms start the pipeline."
            found.append(_wrong("alarms", f"{len(self.alarms)} names", reason, step, "EventBridge quotas"))
        return found


def forge_problems(forge: str, repository: str, ref: str, pipeline: int | None, endpoint: str) -> list[Problem]:
    """What speaks against a place to start a pipeline in."""
    if forge not in ENDPOINTS:
        return [_wrong("forge", forge or "nothing", "is no forge that is known.", f"Write {', '.join(ENDPOINTS)}.")]
    found = []
    pattern, form = _PATHS[forge]
    if not pattern.fullmatch(repository):
        found.append(_wrong("repository", repository or "nothing", f"is none of {forge}.", f"Write {form}."))
    if not _REF.fullmatch(ref) or ".." in ref:
        found.append(_wrong("ref", ref or "nothing", "is no name of a branch.", "Such as main."))
    if forge == "azure" and (pipeline is None or pipeline < 1):
        shown = "nothing" if pipeline is None else str(pipeline)
        step = "The number is in the pipeline's address: definitionId."
        found.append(_wrong("pipeline", shown, "is no number of a pipeline.", step))
    if forge != "azure" and pipeline is not None:
        found.append(_wrong("pipeline", str(pipeline), f"means nothing to {forge}.", "Leave it out."))
    if endpoint and not _is_https(endpoint):
        step = "Write the API's address, such as https://gitlab.example.com/api/v4."
        found.append(_wrong("endpoint", endpoint, "is no address of an API over HTTPS.", step))
    return found


def _is_https(endpoint: str) -> bool:
    split = urlsplit(endpoint)
    # EventBridge takes a * for a parameter of the path.
    plain = re.fullmatch(r"[A-Za-z0-9:/._-]+", endpoint) is not None
    return split.scheme == "https" and bool(split.hostname) and plain and "@" not in split.netloc


class AlarmTrigger(pulumi.ComponentResource):
    """A rule on alarms, what it calls and signs in with, its role, its queue for failed deliveries and their alarm."""

    rule_name: pulumi.Output[str]
    """Name of the rule."""
    endpoint: str
    """What is called."""
    alarm_names: Sequence[str]
    """Names of the alarms on the trigger's own failures."""

    def __init__(self, name: str, args: AlarmTriggerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:AlarmTrigger", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = dict(args.tags) or None
        queue = sqs.Queue(
            f"{name}-undelivered",
            message_retention_seconds=DEAD_LETTER_SECONDS,
            sqs_managed_sse_enabled=True,
            tags=tags,
            opts=child,
        )
        rule = cloudwatch.EventRule(
            f"{name}-alarms",
            description=f"Alarms of {args.cluster} start a pipeline of {args.repository}",
            event_pattern=pulumi.Output.from_input(args.account).apply(
                lambda account: event_pattern(args.alarms, account)
            ),
            state="ENABLED" if args.enabled else "DISABLED",
            tags=tags,
            opts=child,
        )
        allowed = sqs.QueuePolicy(
            f"{name}-undelivered",
            queue_url=queue.url,
            policy=pulumi.Output.all(queue.arn, rule.arn).apply(
                lambda arns: json.dumps(queue_policy(queue_arn=arns[0], rule_arn=arns[1]))
            ),
            opts=child,
        )
        connection = cloudwatch.EventConnection(
            f"{name}-{args.forge}",
            description=f"Signs in at {args.repository}",
            **credentials(args.forge, pulumi.Output.secret(args.token), args.cluster),
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["authParameters"]),
        )
        self.endpoint = invocation_endpoint(args)
        destination = cloudwatch.EventApiDestination(
            f"{name}-{args.forge}",
            description=f"Starts a pipeline of {args.repository}",
            invocation_endpoint=self.endpoint,
            http_method="POST",
            invocation_rate_limit_per_second=RATE_PER_SECOND,
            connection_arn=connection.arn,
            opts=child,
        )
        role = iam.Role(f"{name}-trigger", assume_role_policy=json.dumps(_TRUST), tags=tags, opts=child)
        policy = iam.RolePolicy(
            f"{name}-trigger",
            role=role.name,
            policy=destination.arn.apply(lambda arn: json.dumps(permissions(arn))),
            opts=child,
        )
        headers = HEADERS[args.forge]
        cloudwatch.EventTarget(
            f"{name}-pipeline",
            rule=rule.name,
            arn=destination.arn,
            role_arn=role.arn,
            input_transformer={
                "input_paths": dict(INPUT_PATHS),
                "input_template": input_template(args.forge, args.cluster, args.ref),
            },
            http_target={"header_parameters": dict(headers)} if headers else None,
            retry_policy={"maximum_event_age_in_seconds": EVENT_SECONDS, "maximum_retry_attempts": RETRIES},
            dead_letter_config={"arn": queue.arn},
            # The first alarm must not fall between the rule and its permissions.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy, allowed]),
        )
        self.rule_name = rule.name
        self.alarm_names = [f"headroom/{args.cluster}/trigger-undelivered"]
        cloudwatch.MetricAlarm(
            f"{name}-trigger-undelivered",
            name=self.alarm_names[0],
            namespace="AWS/SQS",
            metric_name="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": queue.name},
            statistic="Maximum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=60 * SCHEDULE_MINUTES,
            evaluation_periods=1,
            # An empty queue that nobody asks has no value.
            treat_missing_data="notBreaching",
            alarm_description=queue.url.apply(lambda url: undelivered(args.cluster, url)),
            alarm_actions=list(args.topics),
            ok_actions=list(args.topics),
            tags=tags,
            opts=child,
        )
        self.register_outputs({"ruleName": self.rule_name, "endpoint": self.endpoint})


def undelivered(cluster: str, queue_url: str) -> str:
    """What the alarm on the queue says: why it is on, what to do, and how to end it.

    SQS moves messages back out of queues that serve other queues alone (SQS API reference, StartMessageMoveTask), and
    an alarm that is over by then need not start anything: so the queue is read, and emptied.
    """
    return (
        f"An alarm of {cluster} has started no pipeline: the token has expired, the repository has moved, or the forge "
        "was away for an hour. This stays on until its queue is empty, and tells of nothing further meanwhile. Next: "
        "1. what failed, and which alarm it was: `aws sqs receive-message --message-attribute-names ERROR_CODE "
        f"ERROR_MESSAGE --queue-url {queue_url}`. 2. mend it; a new token is taken over by `pulumi up`. 3. by hand "
        f"what the pipeline would do: `headroom diagnose --cluster {cluster}`. 4. `aws sqs purge-queue --queue-url "
        f"{queue_url}` ends this (SQS has no redrive for EventBridge)."
    )


def event_pattern(alarms: Sequence[str], account: str) -> str:
    """The rule's pattern: these alarms of this account, as they begin to ring.

    CloudWatch user guide, alarm events and EventBridge; EventBridge user guide, content filtering.
    """
    return json.dumps(
        {
            "source": ["aws.cloudwatch"],
            "detail-type": ["CloudWatch Alarm State Change"],
            "account": [account],
            "detail": {"alarmName": [{"prefix": each} for each in alarms], "state": {"value": ["ALARM"]}},
        },
        separators=(",", ":"),
    )


def invocation_endpoint(args: AlarmTriggerArgs) -> str:
    """The address that starts a pipeline."""
    base = args.endpoint.rstrip("/") or ENDPOINTS[args.forge]
    if args.forge == "github":
        return f"{base}/repos/{args.repository}/dispatches"
    if args.forge == "gitlab":
        return f"{base}/projects/{quote(args.repository, safe='')}/trigger/pipeline"
    return f"{base}/{quote(args.repository)}/_apis/pipelines/{args.pipeline}/runs?api-version=7.1"


def input_template(forge: str, cluster: str, ref: str) -> str:
    """The request's body, with EventBridge's variables in angle brackets.

    GitHub hands client_payload to the workflow as it is (ten properties at most); GitLab's variables and Azure's
    templateParameters are texts, so there the event travels as JSON in a text.
    """
    event = {"cluster": cluster, **{name: f"<{name}>" for name in INPUT_PATHS}}
    bodies: dict[str, Any] = {
        "github": {"event_type": EVENT_TYPE, "client_payload": event},
        "gitlab": {"ref": ref, "variables": {"HEADROOM_EVENT": json.dumps(event)}},
        "azure": {
            "resources": {"repositories": {"self": {"refName": f"refs/heads/{ref}"}}},
            "templateParameters": {"event": json.dumps(event)},
        },
    }
    return json.dumps(bodies[forge])


HEADERS: Final[Mapping[str, Mapping[str, str]]] = {
    "github": {"X-GitHub-Api-Version": "2022-11-28"},
    "gitlab": {},
    # Without it a token that has expired is answered with the sign-in page and 203, which looks like success.
    "azure": {"X-TFS-FedAuthRedirect": "Suppress"},
}
"""Beside Content-Type and User-Agent, which EventBridge sets itself."""


def credentials(forge: str, token: pulumi.Output[str], cluster: str) -> dict[str, Any]:
    """What a connection signs in with.

    GitLab takes a trigger's token as a parameter of the body alone, and a connection cannot be without one of
    EventBridge's own kinds: there the header says which cluster calls, and is nobody's secret.
    """
    if forge == "github":
        key = {"key": "Authorization", "value": pulumi.Output.concat("Bearer ", token)}
        return {"authorization_type": "API_KEY", "auth_parameters": {"api_key": key}}
    if forge == "gitlab":
        body = {"key": "token", "value": token, "is_value_secret": True}
        parameters = {
            "api_key": {"key": "X-Headroom-Cluster", "value": cluster},
            "invocation_http_parameters": {"bodies": [body]},
        }
        return {"authorization_type": "API_KEY", "auth_parameters": parameters}
    # Any name does with a personal access token (Azure DevOps REST API, security), and EventBridge wants one.
    basic = {"username": "headroom", "password": token}
    return {"authorization_type": "BASIC", "auth_parameters": {"basic": basic}}


_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def permissions(destination_arn: str) -> dict[str, Any]:
    """What the rule may do: call that one destination."""
    statement = {
        "Sid": "StartPipeline",
        "Effect": "Allow",
        "Action": "events:InvokeApiDestination",
        "Resource": destination_arn,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def queue_policy(*, queue_arn: str, rule_arn: str) -> dict[str, Any]:
    """Who may write into the queue: that one rule (EventBridge user guide, eb-rule-dlq)."""
    statement = {
        "Sid": "Undelivered",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _wrong(key: str, value: str, reason: str, step: str, source: str = "") -> Problem:
    return Problem(rule="alarm-trigger", key=key, value=value, reason=reason, next_step=step, source=source)
