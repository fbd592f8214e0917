"""An alarm's event comes from outside: what is not the trigger's is refused, and harmless when it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.problems import ProblemsError
from headroom.facts.alarm_event import FIELDS, AlarmEvent, read_alarm_event

EVENT = {
    "cluster": "prod-use1",
    "alarm": "headroom/prod-use1/us-east-1a/page",
    "region": "us-east-1",
    "account": "123456789012",
    "time": "2026-03-03T20:20:00Z",
    "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
}


def refused(text: str) -> list[str]:
    """The keys of what is wrong."""
    with pytest.raises(ProblemsError) as caught:
        read_alarm_event(text)
    return [problem.key for problem in caught.value.problems]


def test_an_event_of_the_trigger_is_read() -> None:
    assert read_alarm_event(json.dumps(EVENT)) == AlarmEvent(**EVENT, zone="us-east-1a", kind="page")


@pytest.mark.parametrize(
    ("alarm", "zone", "kind"),
    [
        ("headroom/prod-use1/us-east-1a/warning-12", "us-east-1a", "warning"),
        ("headroom/prod-use1/us-west-2-lax-1a/forecast", "us-west-2-lax-1a", "forecast"),
    ],
)
def test_zone_and_kind_are_those_of_the_alarms_name(alarm: str, zone: str, kind: str) -> None:
    found = read_alarm_event(json.dumps({**EVENT, "alarm": alarm}))
    assert (found.zone, found.kind) == (zone, kind)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cluster", "prod; rm -rf /"),
        ("cluster", "-prod"),
        ("cluster", "$(id)"),
        ("alarm", "headroom/prod-use1/us-east-1a/silence"),
        ("alarm", "headroom/prod-use2/us-east-1a/page"),
        ("alarm", "headroom/prod-use1/us-east-1a/subnet-1/page"),
        ("alarm", "headroom/prod-use1/us-east-1a/page\n"),
        ("region", "us-east-1 --profile x"),
        ("account", "12345678901"),
        ("time", "yesterday"),
        ("time", "2026-13-45T99:99:99Z"),
        ("id", "`id`"),
    ],
)
def test_each_value_is_judged(field: str, value: str) -> None:
    assert refused(json.dumps({**EVENT, field: value})) == [field]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert refused(json.dumps({"cluster": "a b", "shell": "x", "region": "mars"})) == [
        "alarm",
        "account",
        "time",
        "id",
        "shell",
        "cluster",
        "region",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"cluster": 1}', '"x"', json.dumps({"cluster": "a" * 5000}), "[" * 4000, '{"a":' * 800],
)
def test_what_is_no_object_of_texts_is_refused_as_a_whole(text: str) -> None:
    assert refused(text) == ["event"]


@given(
    st.dictionaries(
        st.sampled_from((*FIELDS, "more")) | st.text() | st.just("x\n::error::y"),
        st.text() | st.just("prod-use1") | st.integers(),
    )
)
def test_whatever_comes_is_an_event_or_a_refusal_without_a_character_that_means_something(
    document: dict[str, Any],
) -> None:
    try:
        found = read_alarm_event(json.dumps(document))
    except ProblemsError as error:
        for problem in error.problems:
            # The name of a property may come from anybody, too.
            assert not set(problem.key + problem.value) & set("$`\n\r\"'<>&|;(){}\\"), problem
    else:
        assert found.alarm.startswith(f"headroom/{found.cluster}/")
