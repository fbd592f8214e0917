"""The forecast on the page: a picture, and the same in words and figures."""

import re

from hypothesis import given
from hypothesis import strategies as st

from headroom.capacity.forecast import Reading, forecast
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.report.forecast_picture import HEIGHT, WIDTH, ForecastView, forecast_view
from headroom.report.page import render_page
from tests.report.conftest import SCRIPT

HEALTHY = Diagnosis(verdict=Verdict.HEALTHY)


def falling(per_day: float = 9.0, days: int = 40, name: str = "us-east-1a") -> ForecastView:
    readings = [Reading(hour * 3600.0, 900 - per_day * hour / 24) for hour in range(24 * days)]
    return forecast_view(1, name, readings, forecast(readings, most=1019), usable=1019)


def test_the_page_says_when_it_is_empty_and_between_which_days() -> None:
    view = falling()
    figures = dict(view.figures)
    assert figures["free now, at the usual low of a day"] == "541 of 1,019"
    assert figures["a day"] == "-9.0"
    assert figures["empty"] == "1970-04-11, in 60 days (between 1970-04-11 and 1970-04-11, 95 %)"
    page = render_page(HEALTHY, forecasts=[view])
    assert '<a href="#forecast">Forecast</a>' in page
    assert view.svg in page
    assert page.index('id="forecast-1-words"') > page.index('aria-labelledby="forecast-1-words"')
    assert "in 60 days" in page


def test_without_a_history_the_page_has_no_such_part() -> None:
    assert 'id="forecast"' not in render_page(HEALTHY)


def test_a_history_that_is_too_short_is_said_to_be_and_nothing_is_drawn() -> None:
    readings = [Reading(0.0, 5.0)]
    view = forecast_view(1, "a1", readings, forecast(readings))
    assert view.svg == ""
    assert dict(view.figures)["empty"] == "unknown"
    assert "at least 7 are needed" in render_page(HEALTHY, forecasts=[view])


def test_a_name_is_a_name_and_no_markup() -> None:
    page = render_page(HEALTHY, forecasts=[falling(name=SCRIPT)])
    assert "<script" not in page


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e5)), max_size=60),
)
def test_every_corner_of_any_picture_lies_within_it(points: list[tuple[float, float]]) -> None:
    readings = [Reading(time, value) for time, value in points]
    view = forecast_view(1, "a", readings, forecast(readings))
    for path in re.findall(r'class="(?:range|ahead)" d="([^"]*)"', view.svg):
        for corner in re.split("[MLz]+", path):
            if corner:
                x, y = map(float, corner.split())
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT
