"""Free addresses as metrics: the function that counts them, its schedule, and the alarm on its own failures."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi_aws import cloudwatch, iam, lambda_, sqs

from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.thresholds import PODS_IN, Role
from headroom.capacity.watch import NAMESPACE, SCHEDULE_MINUTES

HANDLER: Final = "components.publisher.handler"
"""The module that Lambda calls; its imports, and theirs, go into the archive."""

WATCHED_NAME: Final = "components/publisher/watched.json"

RUNTIME: Final = "python3.13"
"""Carries boto3 (Lambda developer guide, lambda-runtimes)."""

TIMEOUT_SECONDS: Final = 240
"""Less than the schedule's five minutes, so that a run that hangs does not keep the next one out."""

MEMORY_MEGABYTES: Final = 512

LOG_DAYS: Final = 30

DEAD_LETTER_SECONDS: Final = 14 * 86_400
"""How long an event that failed is kept: the longest that SQS does (SQS developer guide, quotas)."""

_ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetPublisherArgs:
    """What to count, and where to publish it.

    Attributes:
        cluster: Name of the EKS cluster.
        vpc_id: Its VPC.
        watched: The subnets that alarms stand for by id, and what each is for. Plain: the function carries them.
        namespace: CloudWatch namespace; none of AWS's own.
        prefix_delegation: Whether the nodes take /28 prefixes.
        idle_addresses: Whether the Kubernetes API is asked which addresses pods have. Its endpoint has to be public,
            for the function is in no VPC; and somebody has to let the function's role list pods (`grant`).
        topics: SNS topics for the function's own failures.
        reserved_concurrency: 1: runs never overlap. None where the account has no concurrency left to reserve.
        tags: For everything that can carry them.

    Raises:
        ProblemsError: The namespace is AWS's, or nothing is watched.
    """

    cluster: str
    vpc_id: pulumi.Input[str]
    watched: Mapping[str, Role]
    namespace: str = NAMESPACE
    prefix_delegation: bool = False
    idle_addresses: bool = False
    topics: Sequence[pulumi.Input[str]] = ()
    reserved_concurrency: int | None = 1
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="SubnetPublisherArgs")

    def problems(self) -> list[Problem]:
        """What speaks against it."""
        found = []
        if not self.namespace or self.namespace.startswith("AWS/"):
            found.append(
                Problem(
                    rule="metric-namespace",
                    key="namespace",
                    value=self.namespace or "nothing",
                    reason="cannot be published to: namespaces that begin with AWS/ are AWS's own.",
                    next_step=f"Take another name, such as {NAMESPACE}.",
                    source="CloudWatch API reference, PutMetricData",
                )
            )
        if not self.watched:
            found.append(
                Problem(
                    rule="nothing-to-watch",
                    key="watched",
                    value="nothing",
                    reason="is watched.",
                    next_step="Name the subnets of the nodes and pods.",
                )
            )
        return found


class SubnetPublisher(pulumi.ComponentResource):
    """A Lambda function on a schedule, its role, its log, its queue for failed events and the alarms on failures."""

    function_name: pulumi.Output[str]
    """Name of the function."""
    role_arn: pulumi.Output[str]
    """ARN of its role."""
    alarm_names: Sequence[str]
    """Names of the alarms on the function's own failures."""

    def __init__(self, name: str, args: SubnetPublisherArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:SubnetPublisher", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = dict(args.tags) or None
        queue = sqs.Queue(
            f"{name}-failed",
            message_retention_seconds=DEAD_LETTER_SECONDS,
            sqs_managed_sse_enabled=True,
            tags=tags,
            opts=child,
        )
        log = cloudwatch.LogGroup(f"{name}-log", retention_in_days=LOG_DAYS, tags=tags, opts=child)
        role = iam.Role(f"{name}-role", assume_role_policy=json.dumps(_TRUST), tags=tags, opts=child)
        policy = iam.RolePolicy(
            f"{name}-policy",
            role=role.name,
            policy=pulumi.Output.all(queue.arn, log.arn).apply(
                lambda arns: json.dumps(
                    permissions(
                        args.namespace,
                        queue_arn=arns[0],
                        log_arn=arns[1],
                        cluster=args.cluster if args.idle_addresses else "",
                    )
                )
            ),
            opts=child,
        )
        function = lambda_.Function(
            f"{name}-function",
            description=f"Publishes the free addresses of {args.cluster}'s subnets",
            role=role.arn,
            code=archive(args.watched),
            handler=f"{HANDLER}.handle",
            runtime=RUNTIME,
            architectures=["arm64"],
            memory_size=MEMORY_MEGABYTES,
            timeout=TIMEOUT_SECONDS,
            reserved_concurrent_executions=args.reserved_concurrency,
            dead_letter_config={"target_arn": queue.arn},
            logging_config={"log_format": "JSON", "log_group": log.name},
            environment={
                "variables": {
                    "CLUSTER_NAME": args.cluster,
                    "VPC_ID": args.vpc_id,
                    "METRIC_NAMESPACE": args.namespace,
                    "PREFIX_DELEGATION": "true" if args.prefix_delegation else "false",
                    "IDLE_ADDRESSES": "true" if args.idle_addresses else "false",
                }
            },
            tags=tags,
            # Without its permissions the first run would end in the queue.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        lambda_.FunctionEventInvokeConfig(
            f"{name}-retries",
            function_name=function.name,
            # The next run is the retry; an event that waits longer is of no use.
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=60 * SCHEDULE_MINUTES,
            opts=child,
        )
        rule = cloudwatch.EventRule(
            f"{name}-schedule",
            description=f"Counts the free addresses of {args.cluster} every {SCHEDULE_MINUTES} minutes",
            schedule_expression=f"rate({SCHEDULE_MINUTES} minutes)",
            tags=tags,
            opts=child,
        )
        allowed = lambda_.Permission(
            f"{name}-invoke",
            action="lambda:InvokeFunction",
            function=function.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=child,
        )
        cloudwatch.EventTarget(
            f"{name}-target",
            rule=rule.name,
            arn=function.arn,
            retry_policy={"maximum_event_age_in_seconds": 60 * SCHEDULE_MINUTES, "maximum_retry_attempts": 1},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        self.function_name, self.role_arn = function.name, role.arn
        self.alarm_names = self._alarms(name, args, function)
        self.register_outputs({"functionName": self.function_name, "roleArn": self.role_arn})

    def _alarms(self, name: str, args: SubnetPublisherArgs, function: "lambda_.Function") -> Sequence[str]:
        alarms: dict[str, dict[str, Any]] = {
            "errors": {
                "namespace": "AWS/Lambda",
                "metric_name": "Errors",
                "dimensions": {"FunctionName": function.name},
                "alarm_description": f"The function that counts {args.cluster}'s free addresses fails: something is "
                "denied, throttled or gone, and its figures are missing. Next: read its log group, then "
                "`headroom collect --cluster " + args.cluster + "` by hand.",
            },
            "failed-events": {
                "namespace": "AWS/Lambda",
                # Not the queue's length: that stays on for as long as messages are kept, and hides what comes next.
                "metric_name": "AsyncEventsDropped",
                "dimensions": {"FunctionName": function.name},
                "alarm_description": f"Runs of the function that counts {args.cluster}'s free addresses are given up: "
                "they fail, or wait too long. Next: the messages of its queue carry the error.",
            },
        }
        names = []
        for key, fields in alarms.items():
            names.append(f"headroom/{args.cluster}/publisher-{key}")
            cloudwatch.MetricAlarm(
                f"{name}-{key}",
                name=names[-1],
                comparison_operator="GreaterThanThreshold",
                threshold=0,
                statistic="Maximum",
                period=60 * SCHEDULE_MINUTES,
                # One failed run is mended by the next.
                evaluation_periods=3,
                datapoints_to_alarm=2,
                # No runs, no errors: the heartbeat's alarm is the one that breaches on silence.
                treat_missing_data="notBreaching",
                alarm_actions=list(args.topics),
                ok_actions=list(args.topics),
                tags=dict(args.tags) or None,
                opts=pulumi.ResourceOptions(parent=self),
                **fields,
            )
        return names


_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def grant(cluster: str, role_arn: str) -> str:
    """The commands that let the function's role list the pods of a cluster (EKS user guide, access-policies).

    By hand, because the stack changes nothing of the cluster.
    """
    partition = role_arn.split(":")[1] if role_arn.startswith("arn:") else "aws"
    return (
        f"aws eks create-access-entry --cluster-name {cluster} --principal-arn {role_arn} && "
        f"aws eks associate-access-policy --cluster-name {cluster} --principal-arn {role_arn} --access-scope "
        f"type=cluster --policy-arn arn:{partition}:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    )


def permissions(namespace: str, *, queue_arn: str, log_arn: str, cluster: str = "") -> dict[str, Any]:
    """What the function may do, and nothing else.

    The reading actions take no resource (service authorization reference, EC2, Service Quotas, CloudWatch);
    PutMetricData is bound to its namespace by a condition. A cluster is named where its pods are counted.
    """
    describe = {
        "Sid": "Sign",
        "Effect": "Allow",
        "Action": "eks:DescribeCluster",
        "Resource": f"arn:*:eks:*:*:cluster/{cluster}",
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Read",
                "Effect": "Allow",
                "Action": [
                    "cloudwatch:GetMetricData",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSubnets",
                    "ec2:GetSubnetCidrReservations",
                    "servicequotas:GetServiceQuota",
                ],
                "Resource": "*",
            },
            {
                "Sid": "Publish",
                "Effect": "Allow",
                "Action": "cloudwatch:PutMetricData",
                "Resource": "*",
                "Condition": {"StringEquals": {"cloudwatch:namespace": namespace}},
            },
            {
                "Sid": "Log",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": f"{log_arn}:*",
            },
            {"Sid": "GiveUp", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn},
            *([describe] if cluster else []),
        ],
    }


def archive(watched: Mapping[str, Role]) -> pulumi.AssetArchive:
    """The function's archive: texts, so that the same sources give the same archive on every machine."""
    in_zone = {name: role in PODS_IN for name, role in sorted(watched.items())}
    files = {**sources(HANDLER), WATCHED_NAME: json.dumps(in_zone, indent=0)}
    return pulumi.AssetArchive({name: pulumi.StringAsset(text) for name, text in sorted(files.items())})


@cache
def sources(module: str) -> Mapping[str, str]:
    """The source of a module of ours and of everything of ours that it imports, by path."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path_of(name)
        if path is None or str(path) in found:
            continue
        text = (_ROOT / path).read_text(encoding="utf-8")
        found[str(path)] = text
        waiting += [name.rpartition(".")[0], *_imported(text)]
    return found


def _path_of(module: str) -> Path | None:
    """Where a module of ours lies; None for others, and for names that are no module."""
    if module.partition(".")[0] not in ("headroom", "components"):
        return None
    path = Path(*module.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if (_ROOT / each).is_file()), None)


def _imported(text: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
