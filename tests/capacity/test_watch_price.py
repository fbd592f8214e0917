from __future__ import annotations

import re

import pytest

from headroom.capacity import watch_price
from headroom.capacity.watch_price import Watched, monthly_price


def test_the_table_in_the_docstring_is_what_the_function_reckons() -> None:
    rows = re.findall(
        r"^\| ([\d,]+) \| ([\d,]+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", watch_price.__doc__ or "", re.MULTILINE
    )
    assert [row[0] for row in rows] == ["10", "100", "1,000"]
    for subnets, *shown in rows:
        price = monthly_price(Watched(subnets=int(subnets.replace(",", "")), zones=3))
        assert shown == [
            f"{price.metric_count:,}",
            f"{price.sending:.2f}",
            f"{price.log_lines:.2f}",
            f"{price.forecasts:.2f}",
            f"{price.metrics:,.2f}",
        ]


def test_calls_are_cheaper_than_log_lines_from_some_55_subnets_on() -> None:
    cheaper = [
        number
        for number in range(1, 100)
        if (price := monthly_price(Watched(subnets=number, zones=3))).sending < price.log_lines
    ]
    assert cheaper == list(range(55, 100))


def test_metrics_get_cheaper_above_ten_thousand() -> None:
    # 7 a subnet, 4 a zone, 5 of the cluster.
    price = monthly_price(Watched(subnets=2000, zones=1))
    assert price.metric_count == 14_009
    assert price.metrics == pytest.approx(10_000 * 0.30 + 4_009 * 0.10)


def test_a_band_counts_as_three_metrics_and_the_total_leaves_the_log_lines_out() -> None:
    price = monthly_price(Watched(subnets=1, zones=1, alarms=2, band_alarms=1, composites=1, dashboards=1))
    assert price.alarms == pytest.approx(0.2 + 0.3 + 0.5)
    assert price.dashboards == 3
    parts = (price.metrics, price.sending, price.forecasts, price.function, price.alarms, price.dashboards)
    assert price.total == pytest.approx(sum(parts))
