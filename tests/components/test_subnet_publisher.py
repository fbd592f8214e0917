from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.subnet_publisher import SubnetPublisher, SubnetPublisherArgs, archive, grant, permissions
from headroom.addresses.problems import ProblemsError

if TYPE_CHECKING:
    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
TOPIC = "arn:aws:sns:us-east-1:123456789012:platform"


def arguments(**more: Any) -> SubnetPublisherArgs:
    return SubnetPublisherArgs(
        **{"cluster": "prod-use1", "vpc_id": "vpc-1", "watched": {"subnet-1": "shared"}, "topics": [TOPIC], **more}
    )


def test_the_function_runs_on_arm_one_at_a_time_with_a_queue_for_what_failed(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetPublisher("watch", arguments()))
    inputs = dict(recorder.one("aws:lambda/function:Function", "watch-function").inputs)
    code = inputs.pop("code")
    assert {name: inputs[name] for name in ("architectures", "reservedConcurrentExecutions", "runtime", "handler")} == {
        "architectures": ["arm64"],
        "reservedConcurrentExecutions": 1,
        "runtime": "python3.13",
        "handler": "components.publisher.handler.handle",
    }
    assert inputs["timeout"] < 300, "the next run must find the one place free"
    assert inputs["environment"]["variables"] == {
        "CLUSTER_NAME": "prod-use1",
        "VPC_ID": "vpc-1",
        "METRIC_NAMESPACE": "Headroom",
        "PREFIX_DELEGATION": "false",
        "IDLE_ADDRESSES": "false",
    }
    assert "components/publisher/handler.py" in code["assets"]
    assert "deadLetterConfig" in inputs


def test_it_runs_every_five_minutes_and_a_failed_run_is_not_repeated(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetPublisher("watch", arguments()))
    assert recorder.one("aws:cloudwatch/eventRule:EventRule", "watch-schedule").inputs["scheduleExpression"] == (
        "rate(5 minutes)"
    )
    retries = recorder.one("aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig", "watch-retries").inputs
    assert (retries["maximumRetryAttempts"], retries["maximumEventAgeInSeconds"]) == (0, 300)


def test_its_own_failures_are_alarms_with_names_of_their_own(recorder: Recorder) -> None:
    made: list[SubnetPublisher] = []
    recorder.run(lambda: made.append(SubnetPublisher("watch", arguments())))
    alarms = {
        each.inputs["name"]: (each.inputs["namespace"], each.inputs["metricName"], each.inputs["alarmActions"])
        for each in recorder.registrations
        if each.type == "aws:cloudwatch/metricAlarm:MetricAlarm"
    }
    assert alarms == {
        "headroom/prod-use1/publisher-errors": ("AWS/Lambda", "Errors", [TOPIC]),
        # Not the queue's length, which stays on until somebody empties it.
        "headroom/prod-use1/publisher-failed-events": ("AWS/Lambda", "AsyncEventsDropped", [TOPIC]),
    }
    assert made[0].alarm_names == list(alarms)


def test_it_may_read_addresses_and_publish_to_its_namespace_and_nothing_else() -> None:
    statements = permissions("Mine", queue_arn="arn:queue", log_arn="arn:log")["Statement"]
    allowed = {each["Sid"]: each["Action"] for each in statements}
    assert allowed == {
        "Read": [
            "cloudwatch:GetMetricData",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:GetSubnetCidrReservations",
            "servicequotas:GetServiceQuota",
        ],
        "Publish": "cloudwatch:PutMetricData",
        "Log": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "GiveUp": "sqs:SendMessage",
    }
    by_sid = {each["Sid"]: each for each in statements}
    assert by_sid["Publish"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": "Mine"}}
    assert (by_sid["Log"]["Resource"], by_sid["GiveUp"]["Resource"]) == ("arn:log:*", "arn:queue")


def test_to_count_pods_it_may_look_up_its_own_cluster_and_somebody_lets_it_list_them(recorder: Recorder) -> None:
    more = permissions("Mine", queue_arn="arn:queue", log_arn="arn:log", cluster="prod-use1")["Statement"]
    assert [(each["Action"], each["Resource"]) for each in more if each["Sid"] == "Sign"] == [
        ("eks:DescribeCluster", "arn:*:eks:*:*:cluster/prod-use1")
    ]
    recorder.run(lambda: SubnetPublisher("watch", arguments(idle_addresses=True)))
    inputs = recorder.one("aws:lambda/function:Function", "watch-function").inputs
    assert inputs["environment"]["variables"]["IDLE_ADDRESSES"] == "true"
    assert "components/publisher/pods.py" in inputs["code"]["assets"]
    policy = recorder.one("aws:iam/rolePolicy:RolePolicy", "watch-policy").inputs["policy"]
    assert "eks:DescribeCluster" in policy
    role = "arn:aws-us-gov:iam::123456789012:role/watch-role"
    assert grant("prod-use1", role) == (
        f"aws eks create-access-entry --cluster-name prod-use1 --principal-arn {role} && "
        f"aws eks associate-access-policy --cluster-name prod-use1 --principal-arn {role} --access-scope type=cluster "
        "--policy-arn arn:aws-us-gov:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    )


def test_the_archive_is_text_and_the_same_wherever_it_is_packed() -> None:
    texts = {name: asset.text for name, asset in archive({"subnet-1": "pods"}).assets.items()}  # type: ignore[union-attr]  # texts only
    assert str(CHECKOUT) not in json.dumps(texts)
    assert not [name for name in texts if name.startswith(("/", ".."))]
    # The very files of the rooms, not copies of them.
    for name in ("headroom/capacity/forecast.py", "headroom/addresses/subnet_map.py", "headroom/facts/interfaces.py"):
        assert texts[name] == (CHECKOUT / name).read_text(encoding="utf-8")
    assert sum(map(len, texts.values())) < 200_000


def test_an_account_without_concurrency_to_reserve_can_do_without(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetPublisher("watch", arguments(reserved_concurrency=None)))
    assert "reservedConcurrentExecutions" not in recorder.one("aws:lambda/function:Function", "watch-function").inputs


@pytest.mark.parametrize("namespace", ["", "AWS/EC2"])
def test_nothing_can_be_published_to_a_namespace_of_aws(namespace: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        arguments(namespace=namespace, watched={})
    assert [problem.rule for problem in caught.value.problems] == ["metric-namespace", "nothing-to-watch"]
