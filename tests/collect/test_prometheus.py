"""Range queries against a server that answers as the HTTP API is documented to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.collect.prometheus import DEFAULT_QUERY, MOST_POINTS, RangeAnswer, read_range
from tests.collect.conftest import matrix, server

NOW = datetime(2026, 3, 3, 21, 15, tzinfo=UTC)
END = NOW.replace(minute=0).timestamp()
A1 = {"subnetid": "subnet-0a1", "az": "us-east-1a", "cidrblock": "10.0.0.0/22"}


def read(url: str, token: str = "", query: str = DEFAULT_QUERY, days: int = 56) -> RangeAnswer:
    return read_range(url, query, days=days, now=NOW, environment={"PROMETHEUS_TOKEN": token} if token else {})


def refused(*answers: tuple[int, Any], token: str = "") -> str:
    with server(*answers) as (url, _), pytest.raises(ProblemsError) as caught:
        read(url, token)
    (problem,) = caught.value.problems
    return problem.message.replace(url, "URL")


def test_the_hours_of_eight_weeks_are_asked_for_and_come_with_zone_and_size() -> None:
    with server((200, matrix((A1, [(END - 3600, "812"), (END, "800")])))) as (url, asked):
        answer = read(f"{url}/prometheus/")
    (each,) = answer.series
    assert (each.zone, each.subnet, each.usable) == ("us-east-1a", "subnet-0a1", 1019)
    assert [(reading.time, reading.value) for reading in each.readings] == [(END - 3600, 812), (END, 800)]
    parts = urlsplit(asked[0].path)
    assert parts.path == "/prometheus/api/v1/query_range"
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (query["query"], query["step"]) == (DEFAULT_QUERY, "3600")
    assert float(query["end"]) - float(query["start"]) == 56 * 86_400
    assert "Authorization" not in asked[0].headers


@pytest.mark.parametrize("days", [1, 56, 455, 459])
def test_no_query_asks_for_more_points_than_a_server_gives(days: int) -> None:
    with server((200, matrix((A1, [(END, "800")])))) as (url, asked):
        read(url, days=days)
    step = float(parse_qs(urlsplit(asked[0].path).query)["step"][0])
    assert days * 86_400 / step + 1 <= MOST_POINTS


def test_a_token_of_the_environment_is_sent_to_where_we_are() -> None:
    with server((200, matrix((A1, [(END, "800")])))) as (url, asked):
        read(url, "top-secret")
    assert asked[0].headers["Authorization"] == "Bearer top-secret"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://prometheus.example.com", "would get the token in the clear."),
        ("https://me:top-secret@prometheus.example.com", "is written with a name and password."),
        ("prometheus.example.com", "is no address of a server."),
        ("file:///etc/passwd", "is no address of a server."),
    ],
)
def test_a_token_goes_nowhere_in_the_clear_and_stands_in_no_address(url: str, told: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        read(url, "top-secret")
    assert told in str(caught.value)
    assert "top-secret" not in str(caught.value)


def test_a_redirect_is_not_followed_with_the_token() -> None:
    told = refused((302, b""), token="top-secret")  # noqa: S106 - none
    assert told == (
        "--prometheus: URL is no Prometheus: HTTP 302 without its answer. "
        "Name the address before /api/v1; a proxy may want a path."
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, b"who are you"), "No token was sent: set PROMETHEUS_TOKEN."),
        ((404, b"<html>"), "is no Prometheus: HTTP 404 without its answer."),
        ((200, b"[]"), "is no Prometheus: HTTP 200 without its answer."),
        (
            (400, {"status": "error", "errorType": "bad_data", "error": "parse\n error"}),
            "refused the query (bad_data: parse error).",
        ),
        (
            (422, {"status": "error", "errorType": "execution", "error": "too many samples"}),
            "(execution: too many samples)",
        ),
        ((200, {"status": "success", "data": {"resultType": "vector", "result": []}}), "answered no range of values."),
        ((200, matrix()), "has no free addresses of a subnet in its answer: it is empty."),
        ((200, matrix(({"instance": "x", "job": "y"}, [(END, "1")]))), "its series have the labels instance, job."),
        ((200, matrix((A1, [(END, "NaN")]))), "has no free addresses of a subnet in its answer"),
    ],
)
def test_every_refusal_is_one_sentence_and_a_next_step(answer: tuple[int, Any], told: str) -> None:
    assert told in refused(answer)


def test_a_server_that_is_not_there_is_told_by_its_address() -> None:
    with server((200, {})) as (url, _):
        pass
    with pytest.raises(ProblemsError) as caught:
        read(url)
    assert "did not answer: NewConnectionError." in str(caught.value)


def test_a_busy_server_is_asked_again() -> None:
    with server((503, b""), (200, matrix((A1, [(END, "800")])))) as (url, asked):
        assert len(read(url).series) == 1
    assert len(asked) == 2


def test_part_of_the_data_is_read_and_what_is_left_out_is_said() -> None:
    second = {**A1, "instance": "restarted"}
    answer = matrix(
        (A1, [(0, "5"), (3600, "NaN"), (7200, "-1")]),
        (second, [(0, "4"), (3600, "6")]),
        ({"job": "else"}, [(0, "1")]),
        warnings=["one store did not answer"],
    )
    with server((200, answer)) as (url, _):
        found = read(url)
    assert [(each.time, each.value) for each in found.series[0].readings] == [(0, 4), (3600, 6)]
    assert found.warnings == [
        "The server warned: one store did not answer.",
        "1 series without a label for subnet or zone are left out.",
        "1 further series of a place that has one are put together: the lowest value counts.",
        "2 values that are no number, or negative, are left out.",
    ]
