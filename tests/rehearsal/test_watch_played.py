"""The watch stack over days instead of weeks; and that the scenario fails where alarms come late or falsely."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from headroom.rehearsal.alarm_board import Transition
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.scenarios import eks_watch
from headroom.rehearsal.scenarios.eks_watch import CloudWatchByTheHour, Ec2AsItStands, Ec2UntilItChanges, began, play
from headroom.rehearsal.world import start_world

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from headroom.rehearsal.tools import Tools

DAY = 86_400.0


@pytest.mark.control_plane
@pytest.mark.engine
def test_alarms_come_before_the_first_stuck_pod_and_one_opens_a_pull_request(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Days for weeks: so much growth leaves no seven days.
    monkeypatch.setattr(eks_watch, "QUIET_DAYS", 1)
    monkeypatch.setattr(eks_watch, "GROWTH_PER_DAY", dict.fromkeys(eks_watch.ZONES, 60.0))
    monkeypatch.setattr(eks_watch, "LEAST_LEAD_HOURS", {"warning": 1.0, "free-critical": 1.0, "page": 1.0})
    clock = Clock(eks_watch.START, eks_watch.SPEED)
    narrator = Narrator(Console(file=StringIO(), width=160), simulated_now=clock.now)
    with start_world(tmp_path, tools) as world:
        result = play(world, narrator, clock)
    assert result["falseAlarms"] == 0
    assert result["leadHours"]["warning"] > result["leadHours"]["page"] >= 1
    assert result["pullRequest"]
    assert [phase.name for phase in narrator.phases] == [
        "cluster",
        "watch",
        "quiet",
        "growth",
        "pull request",
        "exhaustion",
    ]


# What the scenario judges by.


def changes(*times: tuple[float, bool]) -> list[Transition]:
    return [Transition(time=day * DAY, alarm="a", on=on) for day, on in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((), None),
        (((1, True),), 1),
        (((1, True), (2, False), (2.5, True)), 1),
        (((1, True), (2, False), (4, True)), 4),
        (((1, True), (9.5, False)), 1),
        (((1, True), (2, False)), None),
        (((1, True), (11, False)), 1),
    ],
)
def test_a_lead_begins_with_the_alarm_that_was_on_when_it_counted(
    times: tuple[tuple[float, bool], ...], expected: float | None
) -> None:
    found = began(changes(*times), "a", 10 * DAY)
    assert found == (None if expected is None else expected * DAY)
    assert began(changes(*times), "another", 10 * DAY) is None


class _Client:
    """EC2, as far as it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_paginator(self, name: str) -> Any:
        self.asked.append(name)
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Subnets": [], "ResponseMetadata": {"HTTPHeaders": {"date": "now"}}}]


def test_ec2_is_asked_again_when_something_has_changed_and_always_has_the_rehearsals_date() -> None:
    client, clock, state = _Client(), Clock(eks_watch.START, 1.0), ["a"]
    ec2 = Ec2AsItStands(client, clock, lambda: tuple(state))
    dates = []
    for change in ("", "", "b"):
        state.append(change) if change else None
        clock.advance(300)
        (page,) = ec2.get_paginator("describe_subnets").paginate()
        dates.append(page["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert client.asked == ["describe_subnets"] * 2
    assert dates == [f"Mon, 05 Jan 2026 00:{minute:02}:00 GMT" for minute in (5, 10, 15)]


class _History:
    """CloudWatch with a value a minute, the lowest of an hour at its beginning; the hour that runs may still fall."""

    def __init__(self) -> None:
        self.values: dict[datetime, float] = {}
        self.points = 0

    def get_paginator(self, name: str) -> Any:
        assert name == "get_metric_data"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        hours: dict[datetime, float] = {}
        for time, value in self.values.items():
            hour = time.replace(minute=0)
            if asked["StartTime"].replace(minute=0) <= hour < asked["EndTime"]:
                hours[hour] = min(value, hours.get(hour, value))
        self.points += len(hours)
        result = {"Id": "m0", "Timestamps": list(hours), "Values": list(hours.values())}
        return [{"MetricDataResults": [result]}]


def test_a_history_that_was_read_before_is_the_same_as_one_that_is_read_as_a_whole() -> None:
    there, now = _History(), eks_watch.START
    once = CloudWatchByTheHour(there)
    stat = {"Metric": {"MetricName": "FreeAddresses"}, "Period": 3600, "Stat": "Minimum"}
    asked: dict[str, Any] = {"MetricDataQueries": [{"Id": "m0", "MetricStat": stat}]}
    for minute in range(5 * 24 * 60):
        now += timedelta(minutes=1)
        there.values[now] = float(1000 + minute * 7919 % 311)
        if minute % 61 == 60:
            asked |= {"StartTime": now.replace(minute=0) - timedelta(days=3), "EndTime": now}
            (whole,) = there.paginate(**asked)
            there.points = 0
            (page,) = once.get_paginator("get_metric_data").paginate(**asked)
            (found,), (expected,) = page["MetricDataResults"], whole["MetricDataResults"]
            pairs = zip(found["Timestamps"], found["Values"], strict=True)
            assert sorted(pairs) == sorted(zip(expected["Timestamps"], expected["Values"], strict=True))
    assert there.points <= 3, "of three days"


class _Put:
    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def put_metric_data(self, **asked: Any) -> None:
        self.calls.append((asked["Namespace"], len(asked["MetricData"])))


def test_values_are_handed_on_before_anybody_reads_and_no_call_has_more_than_cloudwatch_takes() -> None:
    there = _Put()
    by_the_hour = CloudWatchByTheHour(there)
    for _ in range(12):
        by_the_hour.put_metric_data(Namespace="Headroom", MetricData=[{"MetricName": "FreeAddresses"}] * 100)
    assert there.calls == []
    by_the_hour.flush()
    by_the_hour.flush()
    assert there.calls == [("Headroom", 1000), ("Headroom", 200)]


class _Full:
    """EC2 with one address, which goes to whoever asks first."""

    def __init__(self) -> None:
        self.free, self.calls = 1, 0

    def describe_subnets(self, **_: Any) -> dict[str, int]:
        self.calls += 1
        return {"free": self.free}

    def assign_private_ip_addresses(self, **asked: Any) -> None:
        self.calls += 1
        if self.free < asked["Count"]:
            raise ClientError({"Error": {"Code": "InsufficientFreeAddressesInSubnet"}}, "AssignPrivateIpAddresses")
        self.free -= asked["Count"]


def test_a_refusal_of_ec2_stands_until_a_call_changes_something() -> None:
    there = _Full()
    ec2 = Ec2UntilItChanges(there)
    for _ in range(3):
        assert ec2.describe_subnets(Filters=[]) == {"free": 1}
        with pytest.raises(ClientError, match="InsufficientFreeAddressesInSubnet"):
            ec2.assign_private_ip_addresses(NetworkInterfaceId="eni-1", Count=2)
    assert there.calls == 2
    ec2.assign_private_ip_addresses(NetworkInterfaceId="eni-1", Count=1)
    assert ec2.describe_subnets(Filters=[]) == {"free": 0}
    with pytest.raises(ClientError):
        ec2.assign_private_ip_addresses(NetworkInterfaceId="eni-1", Count=1)
    assert there.calls == 5
