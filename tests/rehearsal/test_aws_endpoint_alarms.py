"""Composite alarms of the simulated AWS, and the packages of functions."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from headroom.rehearsal.alarm_board import read_board
from headroom.rehearsal.providers.aws_watch import zipped
from headroom.rehearsal.providers.common import ProviderError

if TYPE_CHECKING:
    from headroom.rehearsal.aws.endpoint import Endpoint


@pytest.fixture(scope="module")
def aws(simulated_aws: Endpoint) -> Endpoint:
    return simulated_aws


@pytest.fixture
def cloudwatch(aws: Endpoint) -> Any:
    session = boto3.session.Session("rehearsal", "rehearsal", region_name="us-east-1")
    return session.client("cloudwatch", endpoint_url=aws.url)


def test_a_composite_alarm_over_alarms_that_are_not_there_is_refused_as_aws_does(cloudwatch: Any) -> None:
    with pytest.raises(ClientError) as caught:
        cloudwatch.put_composite_alarm(AlarmName="all", AlarmRule='ALARM("a/low") AND NOT ALARM("a/silence")')
    assert "Could not save the composite alarm as alarms [a/low, a/silence] in the alarm rule do not exist" in str(
        caught.value
    )
    assert cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"] == []


def test_a_composite_alarm_over_alarms_that_are_there_is_kept_beside_them(cloudwatch: Any) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName="b/low",
        Namespace="Headroom",
        MetricName="FreeAddresses",
        ComparisonOperator="LessThanThreshold",
        Threshold=10,
        EvaluationPeriods=3,
        Period=300,
        Statistic="Minimum",
    )
    cloudwatch.put_composite_alarm(AlarmName="b/all", AlarmRule='ALARM("b/low")', AlarmDescription="low")
    found = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm", "MetricAlarm"])
    assert [(each["AlarmName"], each["AlarmRule"]) for each in found["CompositeAlarms"]] == [
        ("b/all", 'ALARM("b/low")')
    ]
    assert [each["AlarmName"] for each in found["MetricAlarms"]] == ["b/low"]


def test_a_package_has_the_archives_texts_and_the_same_bytes_for_the_same_texts() -> None:
    archive = {"hash": "x", "assets": {"b/c.py": {"text": "c"}, "a.py": {"text": "a"}}}
    package = zipped(archive)
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == {"a.py": b"a", "b/c.py": b"c"}
    assert package == zipped({"assets": dict(reversed(archive["assets"].items()))})  # type: ignore[attr-defined]  # a dict


def test_a_package_of_anything_but_texts_is_refused_by_its_name() -> None:
    with pytest.raises(ProviderError, match=r"archives of texts only, and a\.bin is none"):
        zipped({"assets": {"a.bin": {"path": "a.bin"}}})


# Weeks of values.


def test_values_are_read_by_metric_and_period_as_they_were_put_in_any_order(cloudwatch: Any) -> None:
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    place = [{"Name": "ClusterName", "Value": "c"}, {"Name": "AvailabilityZone", "Value": "a"}]
    other = [{"Name": "ClusterName", "Value": "c"}]
    for minutes, value, dimensions in ((65, 7, place), (0, 9, place), (5, 8, place), (5, 1, other), (60, 5, place)):
        datum = {"MetricName": "FreeAddresses", "Dimensions": dimensions, "Value": value}
        at = begin + timedelta(minutes=minutes)
        cloudwatch.put_metric_data(Namespace="weeks", MetricData=[{**datum, "Timestamp": at}])

    def read(stat: str, dimensions: Any) -> list[tuple[int, float]]:
        metric = {"Namespace": "weeks", "MetricName": "FreeAddresses", "Dimensions": dimensions}
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": stat}}],
            StartTime=begin,
            EndTime=begin + timedelta(hours=2),
            ScanBy="TimestampAscending",
        )["MetricDataResults"][0]
        return [
            (int((time - begin).total_seconds() // 60), value)
            for time, value in zip(answer["Timestamps"], answer["Values"], strict=True)
        ]

    assert read("Minimum", place) == [(0, 8), (60, 5)]
    assert read("Maximum", list(reversed(place))) == [(0, 9), (60, 7)]
    assert (read("Sum", place), read("Average", place)) == ([(0, 17), (60, 12)], [(0, 8.5), (60, 6)])
    assert (read("SampleCount", other), read("Minimum", [])) == ([(0, 1)], [])


def test_a_board_tells_when_alarms_and_those_over_them_change(cloudwatch: Any) -> None:
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    place = [{"Name": "ClusterName", "Value": "board"}]
    for name, metric, threshold in (("low", "FreeAddresses", 10), ("silence", "Heartbeat", 1)):
        cloudwatch.put_metric_alarm(
            AlarmName=f"board/{name}",
            Namespace="board",
            MetricName=metric,
            Dimensions=place,
            ComparisonOperator="LessThanThreshold",
            Threshold=threshold,
            EvaluationPeriods=2,
            DatapointsToAlarm=2,
            Period=300,
            Statistic="Minimum",
            TreatMissingData="breaching",
        )
    rule = 'ALARM("board/low") AND NOT ALARM("board/silence")'
    cloudwatch.put_composite_alarm(AlarmName="board/warning", AlarmRule=rule)
    board = read_board(cloudwatch, "board/")
    assert (set(board.alarms), set(board.composites)) == ({"board/low", "board/silence"}, {"board/warning"})
    for run in range(24):
        # In the second hour addresses run low from its fourth run on; the last three runs do not come about.
        low = run >= 15
        data = [("FreeAddresses", 5.0 if low else 50.0), ("Heartbeat", 1.0)] if run < 21 else []
        at = begin + timedelta(minutes=5 * run)
        for metric, value in data:
            datum = {"MetricName": metric, "Dimensions": place, "Value": value, "Timestamp": at}
            cloudwatch.put_metric_data(Namespace="board", MetricData=[datum])
    first = board.read_hour(begin.timestamp())
    assert [(each.alarm, each.on) for each in first] == []
    second = board.read_hour(begin.timestamp() + 3600)
    minutes = [(int((each.time - begin.timestamp()) // 60), each.on) for each in second]
    # The second low value is there when its period is over; silence is known two periods after three missed runs.
    assert minutes == [(85, True)]
    third = board.read_hour(begin.timestamp() + 7200)
    assert [(int((each.time - begin.timestamp()) // 60), each.on) for each in third] == [(125, False)]
    assert board.on == {"board/low": True, "board/silence": True, "board/warning": False}
