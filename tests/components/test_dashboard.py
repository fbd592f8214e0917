from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from components.dashboard import WIDTH, Dashboard, DashboardArgs, body
from headroom.addresses.problems import ProblemsError
from headroom.capacity.thresholds import Thresholds

if TYPE_CHECKING:
    from tests.conftest import Recorder

ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:headroom/prod-use1/us-east-1a/page"


def arguments(**more: Any) -> DashboardArgs:
    zones = {"us-east-1a": ["subnet-0a1", "subnet-0a2"], "us-east-1b": ["subnet-0b1"]}
    return DashboardArgs(
        **{
            "cluster": "prod-use1",
            "region": "us-east-1",
            "zones": zones,
            "thresholds": {zone: Thresholds(critical=150, warning=252) for zone in zones},
            "usable": {"us-east-1a": 2038, "us-east-1b": 1019},
            "horizon_days": 14,
            **more,
        }
    )


def widgets(args: DashboardArgs, arns: tuple[str, ...] = (ARN,)) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(args, arns)["widgets"]
    return found


def titled(title: str, args: DashboardArgs) -> dict[str, Any]:
    return next(each["properties"] for each in widgets(args) if each["properties"]["title"].startswith(title))


def test_the_alarms_come_first_then_what_is_free_now_then_every_zone() -> None:
    titles = [each["properties"]["title"] for each in widgets(arguments())]
    assert titles == [
        "Alarms of prod-use1",
        "Free addresses now",
        "us-east-1a: free addresses of 2,038",
        "us-east-1b: free addresses of 1,019",
        "Days until empty (3,650: no end foreseen)",
        "Free /28s (the nodes take none)",
        "us-east-1a: free percent by subnet",
        "us-east-1b: free percent by subnet",
        "Addresses for pods on interfaces, with a pod or without",
        "Leaked interfaces",
        "Network interfaces: percent of the Region's quota",
    ]


@pytest.mark.parametrize("zones", [1, 2, 3, 4, 6])
def test_widgets_lie_beside_and_below_each_other_and_never_over_one_another(zones: int) -> None:
    names = {f"us-east-1{letter}": [f"subnet-{letter}"] for letter in "abcdef"[:zones]}
    args = arguments(
        zones=names,
        thresholds=dict.fromkeys(names, Thresholds(critical=1, warning=2)),
        usable=dict.fromkeys(names, 1019),
    )
    taken: set[tuple[int, int]] = set()
    for each in widgets(args):
        cells = {
            (each["x"] + column, each["y"] + row) for column in range(each["width"]) for row in range(each["height"])
        }
        assert not taken & cells
        assert max(column for column, _ in cells) < WIDTH
        taken |= cells


def test_a_zones_chart_has_the_alarms_thresholds_as_lines_and_its_capacity_as_top() -> None:
    chart = titled("us-east-1a: free addresses", arguments())
    assert [line["value"] for line in chart["annotations"]["horizontal"]] == [150, 252]
    assert chart["yAxis"] == {"left": {"min": 0, "max": 2038}}
    assert chart["metrics"][0][:6] == [
        "Headroom",
        "FreeAddresses",
        "ClusterName",
        "prod-use1",
        "AvailabilityZone",
        "us-east-1a",
    ]


def test_of_many_subnets_a_search_draws_those_of_the_zone() -> None:
    args = arguments(zones={"us-east-1a": [f"subnet-{number}" for number in range(41)]}, usable={"us-east-1a": 1})
    metrics = titled("us-east-1a: free percent", args)["metrics"]
    assert metrics[0][0]["expression"] == (
        'SEARCH(\'{Headroom,ClusterName,AvailabilityZone,SubnetId} MetricName="FreePercent" '
        'ClusterName="prod-use1" AvailabilityZone="us-east-1a"\', \'Minimum\')'
    )


def test_idle_addresses_are_drawn_only_where_somebody_publishes_what_pods_have() -> None:
    metrics = titled("Addresses that the CNI holds", arguments(cni_metrics=True))["metrics"]
    assert [each[1] if len(each) > 1 else each[0]["expression"] for each in metrics] == [
        "totalIPAddresses",
        "assignIPAddresses",
        "total - pods",
    ]
    counted = titled("Idle addresses", arguments(idle_addresses=True, cni_metrics=True))["metrics"]
    assert [(each[1], each[-1]["label"]) for each in counted] == [
        ("IdleAddresses", "us-east-1a"),
        ("IdleAddresses", "us-east-1b"),
    ]
    assert "idle" not in json.dumps([each for each in widgets(arguments()) if "HeldAddresses" not in json.dumps(each)])


def test_the_component_makes_one_dashboard_with_the_body_as_json(recorder: Recorder) -> None:
    recorder.run(lambda: Dashboard("watch", arguments(alarms=[ARN])))
    made = recorder.one("aws:cloudwatch/dashboard:Dashboard", "watch-dashboard")
    assert made.inputs["dashboardName"] == "headroom-prod-use1"
    assert json.loads(made.inputs["dashboardBody"]) == body(arguments(), [ARN])


def test_without_a_zone_there_is_nothing_to_draw() -> None:
    with pytest.raises(ProblemsError):
        arguments(zones={})
