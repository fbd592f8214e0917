"""The Grafana dashboard that `headroom watch-files` writes, held to Grafana's own schema."""

from __future__ import annotations

import json
import re
from enum import EnumType
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as schema

from headroom.capacity.thresholds import Thresholds
from headroom.report.grafana import dashboard
from headroom.report.prometheus import MonitoredZone, rule_file
from tests.report.test_prometheus_rules import SURGE, USABLE, monitored

register_default_plugins()


def written() -> dict[str, Any]:
    made: dict[str, Any] = dashboard(monitored())
    return made


def read(document: dict[str, Any]) -> tuple[schema.Dashboard, list[str]]:
    """A dashboard as Grafana's types read it, and what is lost or changed on the way."""
    model = schema.Dashboard.from_json(document)
    return model, list(lost(document, json.loads(JSONEncoder().encode(model))))


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """Places of `before` that are gone or differ in `after`; what it adds are defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [f"{place}.{key}" for key in before.keys() - after.keys()]
        return gone + [
            each for key in before.keys() & after.keys() for each in lost(before[key], after[key], f"{place}.{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            each
            for index, pair in enumerate(zip(before, after, strict=True))
            for each in lost(*pair, f"{place}[{index}]")
        ]
    return [] if before == after else [place]


def mistyped(value: object, wanted: Any, place: str = "dashboard") -> list[str]:
    """Places whose value is not of the type that the schema's own annotations ask for."""
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return min((mistyped(value, each, place) for each in parts), key=len)
    if origin is list and isinstance(value, list):
        return [each for index, item in enumerate(value) for each in mistyped(item, parts[0], f"{place}[{index}]")]
    if origin is dict and isinstance(value, dict):
        return [each for key, item in value.items() for each in mistyped(item, parts[1], f"{place}.{key}")]
    if isinstance(value, dict) and hasattr(wanted, "from_json"):
        # The types leave some parts as they came.
        value = wanted.from_json(value)
    if isinstance(wanted, type) and isinstance(value, wanted) and hasattr(value, "from_json"):
        hints = get_type_hints(type(value))
        return [each for name, held in vars(value).items() for each in mistyped(held, hints[name], f"{place}.{name}")]
    return [] if is_a(value, wanted) else [place]


def is_a(value: object, wanted: Any) -> bool:
    """Whether a value that has no parts is of a type."""
    if isinstance(wanted, EnumType):
        # Enumerations arrive as their values.
        return value in list(wanted)
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    if isinstance(value, bool):
        return wanted in (bool, object)
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(wanted, type) and isinstance(value, wanted)


def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    model, differences = read(written())
    assert differences == []
    assert mistyped(model, schema.Dashboard) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"titel": "x"}, ([".titel"], [])),
        ({"graphTooltip": 7}, ([], ["dashboard.graph_tooltip"])),
        ({"schemaVersion": "41"}, ([], ["dashboard.schema_version"])),
    ],
)
def test_a_field_that_grafana_does_not_know_and_a_value_of_another_type_are_found(
    change: dict[str, Any], found: tuple[list[str], list[str]]
) -> None:
    model, differences = read({**written(), **change})
    assert (differences, mistyped(model, schema.Dashboard)) == found


def test_every_panel_has_its_place_and_none_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    panels = written()["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_panels_ask_for_nothing_that_the_rules_do_not_record() -> None:
    levels, _ = rule_file(monitored())["groups"]
    recorded = {rule["record"] for rule in levels["rules"]}
    asked = {
        name
        for panel in written()["panels"]
        for target in panel["targets"]
        for name in re.findall(r"headroom:[a-z0-9_:]+", target["expr"])
    }
    assert asked <= recorded
    assert "headroom:zone_free_addresses" in asked


def test_each_zone_is_drawn_against_what_it_can_hold_and_both_thresholds() -> None:
    zones = {
        f"us-east-1{letter}": MonitoredZone(usable=USABLE, thresholds=Thresholds(critical=30, warning=56))
        for letter in "abcd"
    }
    made = dashboard(monitored(zones=zones, surge=SURGE))
    charts = [panel for panel in made["panels"] if re.match("us-east-1. *: free", panel["title"])]
    assert [panel["title"] for panel in charts] == [f"{zone}: free addresses of 251" for zone in zones]
    assert {panel["fieldConfig"]["defaults"]["max"] for panel in charts} == {251}
    assert [target["legendFormat"] for target in charts[0]["targets"]] == ["free", "warning below", "critical below"]
    (now,) = (panel for panel in made["panels"] if panel["type"] == "stat")
    steps = now["fieldConfig"]["overrides"][0]["properties"][0]["value"]["steps"]
    assert [step["value"] for step in steps] == [None, 30, 56]
