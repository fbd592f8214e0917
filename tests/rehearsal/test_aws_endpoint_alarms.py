"""Composite alarms of the simulated AWS, and the packages of functions."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from headroom.rehearsal.aws.endpoint import Endpoint, start_endpoint
from headroom.rehearsal.providers.aws_watch import zipped
from headroom.rehearsal.providers.common import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_endpoint(tmp_path_factory.mktemp("aws")) as endpoint:
        yield endpoint


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
