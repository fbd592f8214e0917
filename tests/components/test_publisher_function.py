"""The watch stack's function: against moto where the API's own arithmetic counts, else against a recording double."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from components.publisher import handler
from components.publisher.figures import (
    SubnetReading,
    drawn,
    interfaces_by_subnet,
    published,
    subnet_figures,
)
from components.publisher.handler import Memory, PublisherError, Settings, publish
from components.publisher.pods import PodsError
from components.subnet_publisher import HANDLER, WATCHED_NAME, archive
from headroom.addresses.blocks import Block, format_address, parse_address
from headroom.capacity.forecast import Reading, forecast
from headroom.capacity.watch import NO_END_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CLUSTER = "prod-use1"
NOW = datetime(2026, 3, 3, 21, 15, tzinfo=UTC)
A1, A2, B1 = "subnet-0a1", "subnet-0a2", "subnet-0b1"


def settings(**more: Any) -> Settings:
    return Settings(**{"cluster": CLUSTER, "vpc_id": "vpc-1", "watched": {A1: True, A2: True, B1: True}, **more})


def subnet(name: str, block: str, free: int, zone: str = "us-east-1a") -> dict[str, Any]:
    return {"SubnetId": name, "AvailabilityZone": zone, "CidrBlock": block, "AvailableIpAddressCount": free}


_numbers = count(1)


def interface(name: str, *addresses: str, prefixes: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """An interface on an instance; the first address is its own."""
    tags = [{"Key": f"{key}.k8s.amazonaws.com/{rest}", "Value": value} for key, rest, value in more.pop("tags", ())]
    return {
        "NetworkInterfaceId": f"eni-{next(_numbers)}",
        "SubnetId": name,
        "Status": "in-use",
        "Description": "aws-K8S-i-1",
        "Attachment": {"InstanceId": "i-1"},
        "PrivateIpAddresses": [
            {"PrivateIpAddress": address, "Primary": index == 0} for index, address in enumerate(addresses)
        ],
        "Ipv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in prefixes],
        "TagSet": tags,
        **more,
    }


def of_cluster(cluster: str) -> list[tuple[str, str, str]]:
    return [("cluster", "name", cluster)]


def denied(action: str, code: str = "UnauthorizedOperation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"not {action}"}}, action)


@dataclass(slots=True)
class Aws:
    """What EC2, CloudWatch and Service Quotas answer, and what they were asked."""

    subnets: list[dict[str, Any]] = field(default_factory=list)
    later: list[dict[str, Any]] | None = None
    interfaces: list[dict[str, Any]] = field(default_factory=list)
    reservations: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    history: Callable[[dict[str, str]], list[tuple[datetime, float]]] = lambda _: []
    quota: float = 5000
    clock: datetime = NOW
    fail: dict[str, Exception] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    put: list[dict[str, Any]] = field(default_factory=list)
    die_after: dict[str, int] = field(default_factory=dict)
    date: str | None = None

    def client(self, service: str) -> Any:
        assert service in ("ec2", "cloudwatch", "service-quotas")
        return self

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.fail:
            raise self.fail[name]

    def _killed(self, name: str) -> None:
        """What a kill looks like from inside: the call has taken effect, and nothing follows."""
        if self.calls[name] == self.die_after.get(name):
            raise KeyboardInterrupt

    def get_paginator(self, name: str) -> Any:
        return _Paginator(partial(getattr(self, f"_{name}"), name))

    def _describe_subnets(self, name: str, **_: Any) -> Iterator[dict[str, Any]]:
        self._called(name)
        listed = self.subnets if self.later is None or self.calls[name] == 1 else self.later
        date = self.clock.strftime("%a, %d %b %Y %H:%M:%S GMT") if self.date is None else self.date
        yield {"Subnets": listed, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def _describe_network_interfaces(self, name: str, **asked: Any) -> Iterator[dict[str, Any]]:
        size = asked["PaginationConfig"]["PageSize"]
        for first in range(0, max(1, len(self.interfaces)), size):
            self._called(name)
            yield {"NetworkInterfaces": self.interfaces[first : first + size]}

    def _get_metric_data(self, name: str, **asked: Any) -> Iterator[dict[str, Any]]:
        self._called(name)
        assert asked["EndTime"] - asked["StartTime"] == timedelta(days=56)
        results = []
        for query in asked["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            place = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            points = self.history({"metric": metric["MetricName"], **place})
            times, values = [time for time, _ in points], [value for _, value in points]
            results.append({"Id": query["Id"], "StatusCode": "Complete", "Timestamps": times, "Values": values})
        yield {"MetricDataResults": results}

    def get_subnet_cidr_reservations(self, **asked: str) -> dict[str, Any]:
        self._called("get_subnet_cidr_reservations")
        kept = self.reservations.get(asked["SubnetId"], [])
        return {"SubnetIpv4CidrReservations": [{"Cidr": cidr, "ReservationType": kind} for cidr, kind in kept]}

    def get_service_quota(self, **asked: str) -> dict[str, Any]:
        self._called("get_service_quota")
        assert asked == {"ServiceCode": "vpc", "QuotaCode": "L-DF5E4CA3"}
        return {"Quota": {"Value": self.quota}}

    def put_metric_data(self, **asked: Any) -> None:
        self._called("put_metric_data")
        assert asked["Namespace"] == "Headroom"
        assert len(asked["MetricData"]) <= 1000
        self.put += asked["MetricData"]
        self._killed("put_metric_data")

    def values(self, metric: str) -> dict[str, float]:
        """The published values of a metric by the subnet, zone or cluster; published twice, it fails."""
        found = [(each["Dimensions"][-1]["Value"], each["Value"]) for each in self.put if each["MetricName"] == metric]
        assert len(dict(found)) == len(found)
        return dict(found)


@dataclass(frozen=True, slots=True)
class _Paginator:
    pages: Callable[..., Iterator[dict[str, Any]]]

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        return self.pages(**asked)


@pytest.fixture
def aws() -> Aws:
    """Two zones: in 1a one subnet with an interface of eleven addresses and one that is empty, in 1b an empty one."""
    return Aws(
        subnets=[
            subnet(A1, "10.0.0.0/24", 251 - 11),
            subnet(A2, "10.0.1.0/24", 251),
            subnet(B1, "10.0.2.0/25", 123, "us-east-1b"),
        ],
        interfaces=[interface(A1, *(f"10.0.0.{number}" for number in range(100, 111)))],
    )


def run(aws: Aws, memory: Memory | None = None, **more: Any) -> int:
    return publish(settings(**more), aws.client, memory or Memory())


def failed(aws: Aws, memory: Memory | None = None, **more: Any) -> str:
    with pytest.raises(PublisherError) as caught:
        run(aws, memory, **more)
    return str(caught.value)


# What is counted.


def test_every_subnet_and_zone_has_its_free_addresses_and_whole_free_28s(aws: Aws) -> None:
    assert run(aws) == 3 * 6 + 2 * 3 + 5
    assert aws.values("FreeAddresses") == {A1: 240, A2: 251, B1: 123, "us-east-1a": 491, "us-east-1b": 123}
    # Of the sixteen /28s of a /24 fourteen can become prefixes; the interface lies in one.
    assert aws.values("FreePrefixBlocks") == {A1: 13, A2: 14, B1: 6, "us-east-1a": 27, "us-east-1b": 6}
    assert aws.values("FreePercent")["us-east-1a"] == pytest.approx(100 * 491 / 502)
    assert aws.values("HeldAddresses") == {A1: 10, A2: 0, B1: 0}
    assert aws.values("Heartbeat") == {CLUSTER: 1}


def test_a_run_asks_each_api_once_and_nobody_for_reservations_that_are_not_there(aws: Aws) -> None:
    run(aws)
    assert aws.calls == {
        "describe_subnets": 1,
        "describe_network_interfaces": 1,
        "get_service_quota": 1,
        "get_metric_data": 1,
        "put_metric_data": 2,
    }


def test_quota_and_forecast_are_asked_for_once_an_hour(aws: Aws) -> None:
    memory = Memory()
    for _ in range(12):
        run(aws, memory)
        aws.clock += timedelta(minutes=5)
    assert aws.calls["get_service_quota"] == aws.calls["get_metric_data"] == 1
    run(aws, memory)
    assert aws.calls["get_service_quota"] == aws.calls["get_metric_data"] == 2


def test_a_mostly_reserved_subnet_with_free_prefixes_is_healthy_and_an_unreserved_fragmented_one_is_not() -> None:
    # A /24 of which a /25 is reserved for prefixes; and one with an address used in every /28 that could be one.
    scattered = [f"10.0.1.{16 * number + 5}" for number in range(1, 15)]
    aws = Aws(
        subnets=[subnet(A1, "10.0.0.0/24", 124), subnet(A2, "10.0.1.0/24", 251 - 14)],
        interfaces=[interface(A2, *scattered)],
        reservations={A1: [("10.0.0.128/25", "prefix")]},
    )
    run(aws, watched={A1: True, A2: True}, prefix_delegation=True)
    # Sixteen /28s, eight of them in the reservation; the first and the last never become prefixes.
    assert aws.values("FreePrefixBlocks") == {A1: 14, A2: 0, "us-east-1a": 14}
    assert aws.values("FreeAddresses") == {A1: 124 + 16 * 7, A2: 237, "us-east-1a": 124 + 16 * 7 + 237}
    assert aws.values("ReservedAddresses") == {A1: 127, A2: 0}
    assert aws.calls["get_subnet_cidr_reservations"] == 1, "only the one that EC2 counts less free in"


def test_without_prefix_delegation_what_is_reserved_for_prefixes_is_not_free() -> None:
    aws = Aws(subnets=[subnet(A1, "10.0.0.0/24", 124)], reservations={A1: [("10.0.0.128/25", "prefix")]})
    run(aws, watched={A1: True})
    assert aws.values("FreeAddresses")[A1] == 124


def test_a_subnet_that_had_reservations_is_asked_again_even_where_the_numbers_agree() -> None:
    aws = Aws(subnets=[subnet(A1, "10.0.0.0/24", 251 - 32)], reservations={A1: [("10.0.0.32/27", "explicit")]})
    memory = Memory()
    run(aws, memory, watched={A1: True})
    # As many addresses are used elsewhere as the reservation has: only who remembers it knows that it is there.
    aws.interfaces = [interface(A1, *(f"10.0.0.{number}" for number in range(200, 232)))]
    aws.subnets = [subnet(A1, "10.0.0.0/24", 251 - 32 - 32)]
    aws.put.clear()
    run(aws, memory, watched={A1: True})
    assert aws.values("ReservedAddresses")[A1] == 32
    aws.reservations.clear()
    aws.subnets = [subnet(A1, "10.0.0.0/24", 251 - 32)]
    aws.put.clear()
    run(aws, memory, watched={A1: True})
    assert aws.values("ReservedAddresses")[A1] == 0
    assert memory.reserved == set()


def test_interfaces_that_the_cni_left_behind_are_counted_and_those_on_their_way_are_not(aws: Aws) -> None:
    old, new = (NOW - timedelta(minutes=6)).isoformat(), (NOW - timedelta(minutes=4)).isoformat()
    left: dict[str, Any] = {"Status": "available", "Attachment": None}
    made = [("node", "createdAt", old)], [("node", "createdAt", new)]
    aws.interfaces += [
        interface(A2, "10.0.1.9", tags=made[0], **left),
        interface(A2, "10.0.1.10", tags=made[1], **left),
        interface(A2, "10.0.1.11", Description="mine", **left),
    ]
    aws.subnets[1]["AvailableIpAddressCount"] -= 3
    run(aws)
    assert aws.values("LeakedInterfaces") == {A1: 0, A2: 1, B1: 0}


def test_only_subnets_that_give_pods_addresses_count_for_their_zone(aws: Aws) -> None:
    run(aws, watched={A1: True, A2: False, B1: True})
    assert aws.values("FreeAddresses") == {A1: 240, A2: 251, B1: 123, "us-east-1a": 240, "us-east-1b": 123}


def test_the_quota_is_a_percentage_of_all_interfaces_of_the_region(aws: Aws) -> None:
    aws.interfaces += [interface("subnet-of-another-vpc", f"10.9.0.{number}") for number in range(10, 59)]
    aws.quota = 200
    run(aws)
    assert aws.values("NetworkInterfaces") == {CLUSTER: 50}
    assert aws.values("NetworkInterfaceQuotaUsed") == {CLUSTER: 25}


# What goes wrong.


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "RequestLimitExceeded"])
def test_interfaces_that_cannot_be_read_leave_the_28s_out_and_free_addresses_in(aws: Aws, code: str) -> None:
    aws.fail["describe_network_interfaces"] = denied("DescribeNetworkInterfaces", code)
    assert failed(aws) == f"prod-use1: ec2:DescribeNetworkInterfaces: {code}: not DescribeNetworkInterfaces"
    assert {each["MetricName"] for each in aws.put} == {"FreeAddresses", "FreePercent", "MissingSubnets"}
    assert aws.values("FreeAddresses")["us-east-1a"] == 491


def test_with_prefix_delegation_free_addresses_need_the_interfaces_too(aws: Aws) -> None:
    aws.fail["describe_network_interfaces"] = denied("DescribeNetworkInterfaces")
    failed(aws, prefix_delegation=True)
    assert {each["MetricName"] for each in aws.put} == {"MissingSubnets"}


def test_subnets_that_cannot_be_read_have_no_value_and_certainly_no_zero(aws: Aws) -> None:
    aws.fail["describe_subnets"] = denied("DescribeSubnets")
    assert "ec2:DescribeSubnets: UnauthorizedOperation" in failed(aws)
    assert {each["MetricName"] for each in aws.put} == {"NetworkInterfaces", "NetworkInterfaceQuotaUsed"}


def test_reservations_that_cannot_be_read_leave_out_the_28s_of_that_subnet_and_its_zone(aws: Aws) -> None:
    aws.subnets[0]["AvailableIpAddressCount"] -= 32
    aws.fail["get_subnet_cidr_reservations"] = denied("GetSubnetCidrReservations")
    assert A1 in failed(aws)
    assert aws.values("FreePrefixBlocks") == {A2: 14, B1: 6, "us-east-1b": 6}
    assert aws.values("FreeAddresses")["us-east-1a"] == 491 - 32


def test_an_endpoint_that_does_not_answer_is_an_error_and_not_a_crash(aws: Aws) -> None:
    aws.fail["get_service_quota"] = EndpointConnectionError(endpoint_url="https://servicequotas")
    assert "Could not connect" in failed(aws)
    assert "NetworkInterfaceQuotaUsed" not in {each["MetricName"] for each in aws.put}
    assert aws.values("NetworkInterfaces") == {CLUSTER: 1}


def test_every_failure_of_a_run_is_in_its_error(aws: Aws) -> None:
    for name in ("describe_subnets", "describe_network_interfaces", "put_metric_data"):
        aws.fail[name] = denied(name)
    assert failed(aws).count(";") == 1, "nothing was read, so nothing was put"
    del aws.fail["describe_subnets"]
    assert failed(aws).count(";") == 1


def test_an_hour_of_throttling_is_silence_and_what_follows_is_complete(aws: Aws) -> None:
    memory = Memory()
    run(aws, memory)
    aws.fail["describe_subnets"] = denied("DescribeSubnets", "RequestLimitExceeded")
    aws.put.clear()
    for _ in range(12):
        failed(aws, memory)
    assert aws.values("Heartbeat") == {}
    aws.fail.clear()
    aws.put.clear()
    assert run(aws, memory) == 29
    assert aws.values("Heartbeat") == {CLUSTER: 1}


def test_a_run_that_is_killed_while_it_publishes_has_no_heartbeat(aws: Aws) -> None:
    aws.fail["put_metric_data"] = KeyboardInterrupt()  # type: ignore[assignment]  # what a kill looks like from inside
    with pytest.raises(KeyboardInterrupt):
        run(aws)
    assert aws.put == []


def test_a_run_that_is_started_twice_publishes_the_same_values_which_no_minimum_notices(aws: Aws) -> None:
    memory = Memory()
    run(aws, memory)
    once = [{**each} for each in aws.put]
    aws.put.clear()
    run(aws, memory)
    assert aws.put == once


def test_values_carry_ec2s_clock_and_not_our_own(aws: Aws) -> None:
    aws.clock = datetime(2031, 1, 1, tzinfo=UTC)
    run(aws)
    assert {each["Timestamp"] for each in aws.put} == {aws.clock}


@pytest.mark.parametrize("calls", [1, 2])
def test_a_run_that_is_killed_between_two_calls_is_made_good_by_the_next_and_counts_nothing_twice(
    aws: Aws, calls: int
) -> None:
    ids = [f"subnet-{number:03}" for number in range(200)]
    aws.subnets += [subnet(name, f"10.1.{number}.0/24", 251) for number, name in enumerate(ids)]
    memory, watched = Memory(), {A1: True, A2: True, B1: True, **dict.fromkeys(ids, True)}
    aws.die_after = {"put_metric_data": calls}
    with pytest.raises(KeyboardInterrupt):
        run(aws, memory, watched=watched)
    assert aws.calls["put_metric_data"] == calls
    assert aws.values("Heartbeat") == {}, "its silence is an alarm"
    before = {json.dumps([each["MetricName"], each["Dimensions"]]): each["Value"] for each in aws.put}
    assert len(before) == len(aws.put)
    aws.die_after = {}
    run(aws, memory, watched=watched)
    # What was put before the kill is put again with the same time and value: to a minimum it is one.
    again = {json.dumps([each["MetricName"], each["Dimensions"]]): each["Value"] for each in aws.put}
    assert before.items() <= again.items()
    assert {each["Timestamp"] for each in aws.put} == {NOW}
    assert aws.values("Heartbeat") == {CLUSTER: 1}


def test_two_functions_at_once_in_processes_of_their_own_put_the_same_values_at_the_same_time(aws: Aws) -> None:
    aws.history = falling
    run(aws, Memory())
    first = [{**each} for each in aws.put]
    aws.put.clear()
    run(aws, Memory())
    assert aws.put == first


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_without_a_date_of_ec2s_the_clock_is_our_own(aws: Aws, date: str) -> None:
    aws.date = date
    before = datetime.now(UTC)
    run(aws)
    (time,) = {each["Timestamp"] for each in aws.put}
    assert before <= time <= datetime.now(UTC)


def test_a_clock_that_is_a_day_ahead_does_not_spare_an_hours_forecasts(aws: Aws) -> None:
    memory = Memory()
    aws.clock = NOW + timedelta(days=1)
    run(aws, memory)
    aws.clock = NOW
    run(aws, memory)
    # The quota and the forecasts are younger than an hour, by a clock that was wrong: read again all the same.
    assert aws.calls["get_metric_data"] == aws.calls["get_service_quota"] == 2


# Subnets come and go.


def test_a_subnet_that_was_deleted_is_counted_as_missing_and_the_others_go_on(aws: Aws) -> None:
    del aws.subnets[1]
    run(aws)
    assert aws.values("MissingSubnets") == {CLUSTER: 1}
    assert aws.values("FreeAddresses") == {A1: 240, B1: 123, "us-east-1a": 240, "us-east-1b": 123}


def test_a_subnet_in_which_the_cluster_has_interfaces_is_published_and_counted_as_unwatched(aws: Aws) -> None:
    aws.subnets += [subnet("subnet-0c1", "10.0.3.0/24", 250), subnet("subnet-0c2", "10.0.4.0/24", 250)]
    aws.interfaces += [
        interface("subnet-0c1", "10.0.3.9", tags=of_cluster(CLUSTER)),
        interface("subnet-0c2", "10.0.4.9", tags=of_cluster("another")),
    ]
    run(aws)
    assert aws.values("UnwatchedSubnets") == {CLUSTER: 1}
    assert aws.values("FreeAddresses")["subnet-0c1"] == 250
    assert "subnet-0c2" not in aws.values("FreeAddresses")
    assert aws.values("FreeAddresses")["us-east-1a"] == 491 + 250


def test_a_subnet_that_goes_and_one_that_comes_between_two_calls_of_a_run_hurt_no_other(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # At first B1 is there and disagrees with its interfaces; at the second look it is gone, and another one has come.
    aws.subnets[2]["AvailableIpAddressCount"] -= 40
    aws.later = [*aws.subnets[:2], subnet("subnet-0c1", "10.0.3.0/24", 251)]
    run(aws)
    text = capsys.readouterr().out
    assert text.count(B1) == 1
    assert "subnet-0c1" not in text
    assert aws.values("FreePrefixBlocks") == {A1: 13, A2: 14, "us-east-1a": 27}
    assert aws.values("FreeAddresses")["us-east-1a"] == 491
    aws.put.clear()
    aws.subnets = aws.later
    run(aws)
    assert aws.values("MissingSubnets") == {CLUSTER: 1}
    assert "us-east-1b" not in aws.values("FreeAddresses"), "a zone without a subnet has no value, and its alarm rings"


def test_where_pods_are_counted_idle_addresses_are_published_by_subnet_and_zone(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def pods(cluster: str, _client: object) -> set[int]:
        asked.append(cluster)
        return {parse_address(f"10.0.0.{number}") for number in (100, 101, 102, 103)}

    monkeypatch.setattr(handler, "pod_addresses", pods)
    run(aws)
    assert (asked, aws.values("IdleAddresses")) == ([], {}), "only where that is asked for"
    aws.put.clear()
    run(aws, idle_addresses=True)
    assert asked == [CLUSTER]
    assert aws.values("HeldAddresses") == {A1: 10, A2: 0, B1: 0}
    assert aws.values("IdleAddresses") == {A1: 7, A2: 0, B1: 0, "us-east-1a": 7, "us-east-1b": 0}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PodsError("403: pods is forbidden"), "prod-use1: idle addresses: 403: pods is forbidden"),
        (denied("eks:DescribeCluster"), "prod-use1: idle addresses: UnauthorizedOperation: not eks:DescribeCluster"),
        (EndpointConnectionError(endpoint_url="https://eks"), "prod-use1: idle addresses: Could not connect to"),
    ],
)
def test_pods_that_cannot_be_counted_are_an_error_without_a_figure_and_silence_nothing(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def pods(*_: object) -> set[int]:
        raise error

    monkeypatch.setattr(handler, "pod_addresses", pods)
    assert failed(aws, idle_addresses=True).startswith(said)
    assert aws.values("IdleAddresses") == {}
    assert aws.values("FreeAddresses")[A1] == 240
    assert aws.values("Heartbeat") == {CLUSTER: 1}, "no alarm stands on what is idle"


def test_an_interface_of_a_subnet_that_is_gone_is_nobodys(aws: Aws) -> None:
    aws.interfaces.append(interface("subnet-0gone", "10.0.9.9", tags=of_cluster(CLUSTER)))
    run(aws)
    assert aws.values("UnwatchedSubnets") == {CLUSTER: 0}


def test_a_subnet_whose_name_changes_stays_the_same_metric(aws: Aws) -> None:
    run(aws)
    places = {json.dumps(each["Dimensions"]) for each in aws.put}
    aws.subnets[0]["Tags"] = [{"Key": "Name", "Value": "renamed"}]
    run(aws)
    assert {json.dumps(each["Dimensions"]) for each in aws.put} == places


def test_two_clusters_in_one_vpc_publish_under_their_own_names_and_share_no_sum(aws: Aws) -> None:
    run(aws, watched={A1: True})
    other = Aws(subnets=aws.subnets, interfaces=aws.interfaces)
    publish(settings(cluster="other", watched={A1: True, A2: True}), other.client, Memory())
    assert aws.values("FreeAddresses") == {A1: 240, "us-east-1a": 240}
    assert other.values("FreeAddresses") == {A1: 240, A2: 251, "us-east-1a": 491}
    clusters = [{each["Dimensions"][0]["Value"] for each in put} for put in (aws.put, other.put)]
    assert clusters == [{CLUSTER}, {"other"}]


def test_an_interface_that_two_pages_show_counts_once(aws: Aws) -> None:
    aws.interfaces.append(dict(aws.interfaces[0]))
    run(aws)
    assert aws.values("HeldAddresses")[A1] == 10


def test_in_a_shared_vpc_addresses_that_others_use_make_the_28s_unknown_and_that_is_said(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.subnets[0]["AvailableIpAddressCount"] = 100
    run(aws)
    text = capsys.readouterr().out
    assert f"{A1}: EC2 counts 100 free addresses, and the interfaces that this account is shown leave 240" in text
    assert aws.values("FreePrefixBlocks") == {A2: 14, B1: 6, "us-east-1b": 6}
    assert aws.values("FreeAddresses")[A1] == 100, "EC2's own count holds for everybody"
    assert aws.values("Heartbeat") == {"prod-use1": 1}, "it is so for ever: silence would hide every other alarm"


def test_in_a_shared_vpc_28s_that_an_alarm_needs_and_nobody_can_know_are_an_error(aws: Aws) -> None:
    aws.subnets[0]["AvailableIpAddressCount"] = 100
    text = failed(aws, prefix_delegation=True)
    assert f"{A1}: EC2 counts 100 free addresses, and the interfaces that this account is shown leave 240" in text
    assert A1 not in aws.values("FreeAddresses")
    assert aws.values("Heartbeat") == {}


def test_in_a_shared_vpc_whose_tags_live_in_another_account_the_listed_subnets_are_counted_all_the_same(
    aws: Aws,
) -> None:
    # A participant sees the owner's subnets without the owner's tags, and its own interfaces alone (VPC user guide,
    # vpc-sharing). Which subnets to watch stands in the stack file, so no figure needs a tag.
    for each in aws.subnets:
        each |= {"OwnerId": "999999999999", "Tags": []}
    for each in aws.interfaces:
        each |= {"OwnerId": "123456789012", "TagSet": []}
    assert run(aws) == 29
    assert aws.values("FreeAddresses") == {A1: 240, A2: 251, B1: 123, "us-east-1a": 491, "us-east-1b": 123}
    assert aws.values("FreePrefixBlocks")[A1] == 13


def test_an_interface_that_goes_while_we_read_is_no_disagreement(aws: Aws) -> None:
    # Free at first 200; then interfaces went before they were listed, and at the second look 240 are free.
    aws.later = [dict(each) for each in aws.subnets]
    aws.subnets[0]["AvailableIpAddressCount"] = 200
    run(aws)
    assert aws.values("FreePrefixBlocks")[A1] == 13


def test_a_thousand_subnets_take_one_call_for_every_thousand_values_and_interfaces() -> None:
    ids = [f"subnet-{number:04d}" for number in range(1000)]
    aws = Aws(
        subnets=[
            subnet(name, f"10.{n // 256}.{n % 256}.0/24", 249, f"us-east-1{'abc'[n % 3]}") for n, name in enumerate(ids)
        ],
        interfaces=[
            interface(name, f"10.{n // 256}.{n % 256}.{last}") for last in (20, 30) for n, name in enumerate(ids)
        ],
    )
    count_ = run(aws, watched=dict.fromkeys(ids, True))
    assert count_ == 6 * 1000 + 3 * 3 + 5
    assert aws.calls["describe_network_interfaces"] == 2
    assert aws.calls["put_metric_data"] == math.ceil((count_ - 1) / 1000) + 1
    assert aws.calls["get_metric_data"] == math.ceil(1003 / 75)
    assert aws.values("FreeAddresses")["us-east-1a"] == 334 * 249


# Days to exhaustion.


def falling(place: dict[str, str]) -> list[tuple[datetime, float]]:
    if place.get("SubnetId") != A1 or place["metric"] != "FreeAddresses":
        return []
    return [(NOW - timedelta(hours=hour), 240 + hour / 3) for hour in range(1, 240)]


def test_days_to_exhaustion_are_the_forecast_of_the_same_history(aws: Aws) -> None:
    aws.history = falling
    run(aws)
    readings = [
        Reading(time.timestamp(), value) for time, value in falling({"SubnetId": A1, "metric": "FreeAddresses"})
    ]
    expected = forecast([*readings, Reading(NOW.timestamp(), 240)], most=251).days_until_empty
    assert expected is not None
    assert 28 < expected < 32, "eight a day, 240 left"
    assert aws.values("DaysToExhaustion") == {A1: expected}, "the others have too short a history to say"


def test_of_less_than_two_days_nobody_can_tell_a_pattern_from_a_trend(aws: Aws) -> None:
    aws.history = lambda place: falling(place)[:47]
    run(aws)
    assert aws.values("DaysToExhaustion") == {}
    aws.put.clear()
    aws.history = lambda place: falling(place)[:48]
    run(aws)
    assert aws.values("DaysToExhaustion").keys() == {A1}


def test_a_history_whose_last_hours_are_late_gives_the_same_days(aws: Aws) -> None:
    aws.history = falling
    run(aws)
    whole = aws.values("DaysToExhaustion")[A1]
    aws.put.clear()
    aws.history = lambda place: [point for point in falling(place) if NOW - point[0] > timedelta(hours=7)]
    run(aws)
    assert aws.values("DaysToExhaustion")[A1] == pytest.approx(whole, rel=0.05)


def test_values_that_come_late_are_put_where_they_belong_in_time(aws: Aws) -> None:
    aws.history = lambda place: list(reversed(falling(place)))
    run(aws)
    late = aws.values("DaysToExhaustion")
    aws.put.clear()
    aws.history = falling
    run(aws)
    assert aws.values("DaysToExhaustion") == late


def test_where_no_end_is_foreseen_the_days_are_the_furthest_that_a_forecast_names(aws: Aws) -> None:
    aws.history = lambda _: [(NOW - timedelta(hours=hour), 240) for hour in range(240)]
    run(aws)
    assert set(aws.values("DaysToExhaustion").values()) == {NO_END_DAYS}
    assert aws.values("DaysToExhaustion").keys() == {A1, A2, B1, "us-east-1a", "us-east-1b"}


def test_with_prefix_delegation_the_28s_may_be_gone_first(aws: Aws) -> None:
    def history(place: dict[str, str]) -> list[tuple[datetime, float]]:
        rate = {"FreeAddresses": 1.0, "FreePrefixBlocks": 2.0}[place["metric"]]
        return [(NOW - timedelta(hours=hour), 13 + rate * hour / 24) for hour in range(1, 24 * 20)]

    aws.history = history
    run(aws, prefix_delegation=True)
    assert aws.values("DaysToExhaustion")[A1] == pytest.approx(13 / 2, abs=0.6)


def test_a_history_that_cannot_be_read_gives_no_days_and_is_asked_for_again(aws: Aws) -> None:
    memory = Memory()
    aws.history = falling
    aws.fail["get_metric_data"] = denied("GetMetricData")
    assert "cloudwatch:GetMetricData" in failed(aws, memory)
    assert aws.values("DaysToExhaustion") == {}
    assert aws.values("FreeAddresses") != {}
    aws.fail.clear()
    aws.put.clear()
    run(aws, memory)
    assert aws.values("DaysToExhaustion").keys() == {A1}


# The arithmetic, for anything.


@st.composite
def used_subnets(draw: st.DrawFn) -> tuple[SubnetReading, list[dict[str, Any]]]:
    block = Block.containing(0x0A000000, draw(st.integers(22, 28)))
    usable = list(range(block.first + 4, block.last))
    blocks = range(1, block.size // 16 - 1)
    prefixes = draw(st.sets(st.sampled_from(blocks), max_size=8)) if blocks else set()
    taken = {block.first + 16 * index + offset for index in prefixes for offset in range(16)}
    free = [address for address in usable if address not in taken]
    single = draw(st.sets(st.sampled_from(free), max_size=40)) if free else set()
    shown = [str(Block(block.first + 16 * index, 28)) for index in sorted(prefixes)]
    item = interface("s", *map(format_address, sorted(single)), prefixes=shown)
    left = len(usable) - len(taken & set(usable)) - len(single)
    return SubnetReading(subnet_id="s", zone="z", block=block, available=(left,)), [item]


@given(used_subnets())
def test_for_any_use_the_map_agrees_with_ec2_and_no_figure_leaves_its_bounds(
    case: tuple[SubnetReading, list[dict[str, Any]]],
) -> None:
    reading, items = case
    used = interfaces_by_subnet(items, NOW.isoformat())["s"]
    map_ = drawn(reading, used, ())
    assert map_.free_addresses == reading.available[0]
    figures = subnet_figures(reading, map_, used, prefix_delegation=True)
    assert figures.free == reading.available[0], "without reservations, all that is free is in EC2's count"
    assert figures.free28 is not None
    assert 16 * figures.free28 <= figures.free <= figures.usable
    data = {(str(each.metric), len(each.dimensions)): each.value for each in published("c", [figures], {"s"})}
    assert all(math.isfinite(value) and value >= 0 for value in data.values())
    assert data["FreePercent", 3] <= 100
    assert data["FreeAddresses", 3] == data["FreeAddresses", 2]


# Against moto, which counts as EC2 does.


def test_against_the_api_itself_every_figure_is_published_and_can_be_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "rehearsal")
    client = partial(boto3.client, region_name="us-east-1")
    with mock_aws():
        ec2: Any = client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zone = "us-east-1a"
        made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        addresses = [{"PrivateIpAddress": f"10.0.0.{n}", "Primary": n == 20} for n in range(20, 30)]
        ec2.create_network_interface(SubnetId=made, PrivateIpAddresses=addresses)
        ec2.create_subnet_cidr_reservation(SubnetId=made, Cidr="10.0.0.128/27", ReservationType="prefix")
        watched = settings(vpc_id=vpc, watched={made: True}, prefix_delegation=True)
        assert publish(watched, client, Memory()) == 14
        cloudwatch: Any = client("cloudwatch")
        place = [
            {"Name": "ClusterName", "Value": CLUSTER},
            {"Name": "AvailabilityZone", "Value": zone},
            {"Name": "SubnetId", "Value": made},
        ]
        now = datetime.now(UTC)
        window = {"StartTime": now - timedelta(hours=1), "EndTime": now + timedelta(hours=1)}
        found = {
            metric: cloudwatch.get_metric_statistics(
                Namespace="Headroom", MetricName=metric, Dimensions=place, Period=300, Statistics=["Minimum"], **window
            )["Datapoints"][0]["Minimum"]
            for metric in ("FreeAddresses", "ReservedAddresses", "LeakedInterfaces")
        }
    # 251, less ten of the interface; the 32 that are reserved for prefixes are free to nodes.
    assert found == {"FreeAddresses": 241, "ReservedAddresses": 32, "LeakedInterfaces": 0}


# The archive.


def test_the_archive_holds_all_that_the_function_imports_and_reads_its_subnets_from_itself(tmp_path: Path) -> None:
    packed = archive({A1: "shared", B1: "control-plane"})
    for name, asset in packed.assets.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(asset.text, encoding="utf-8")  # type: ignore[union-attr]  # texts only
    assert json.loads((tmp_path / WATCHED_NAME).read_text(encoding="utf-8")) == {A1: True, B1: False}
    program = (
        f"import json, os, sys\nimport {HANDLER} as handler\n"
        "ours = [m for n, m in sys.modules.items() if n.partition('.')[0] in ('headroom', 'components')]\n"
        "outside = [m.__file__ for m in ours if not m.__file__.startswith(os.getcwd())]\n"
        "others = sorted({n.partition('.')[0] for n in sys.modules} & {'pulumi', 'yaml', 'rich', 'click', 'moto'})\n"
        "settings = handler.Settings.read(os.environ, handler.WATCHED_FILE.read_text())\n"
        "print(json.dumps([outside, others, dict(settings.watched), settings.prefix_delegation]))"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME")},
        "PYTHONPATH": str(tmp_path),
        "CLUSTER_NAME": CLUSTER,
        "VPC_ID": "vpc-1",
        "METRIC_NAMESPACE": "Headroom",
        "PREFIX_DELEGATION": "true",
    }
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], [], {A1: True, B1: False}, True]
