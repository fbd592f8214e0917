"""A Grafana dashboard of the series that `prometheus` records: what to look at at three in the morning.

Panels are those of Grafana 11 and later (Grafana documentation, dashboard JSON model; its schema in the package
grafana-foundation-sdk, to which a test holds this).
"""

from typing import Any, Final

from headroom.report.prometheus import Monitored

SCHEMA_VERSION: Final = 41
"""Of the dashboard's JSON (grafana-foundation-sdk, Dashboard.schemaVersion)."""

COLUMNS: Final = 24
"""Of a dashboard's grid (Grafana documentation, dashboard JSON model)."""

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_RED, _ORANGE, _BLUE, _GREEN = "dark-red", "dark-orange", "blue", "green"


def dashboard(monitored: Monitored) -> dict[str, Any]:
    """The dashboard, to be imported or provisioned.

    From the top: the alerts that ring; a number for each zone; free addresses against both thresholds, by zone; the
    days that are left; what is held idle, pods that wait, addresses refused; nodes that are not counted.
    """
    rows = [
        [_alerts(monitored)],
        [_now(monitored)],
        *([_free(monitored, zone) for zone in some] for some in _threes(list(monitored.zones))),
        [_days(monitored), _idle(monitored)],
        [_waiting(monitored), _refused(monitored), _unscraped(monitored)],
    ]
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        width, height = COLUMNS // len(row), max(panel["gridPos"]["h"] for panel in row)
        for index, panel in enumerate(row):
            place = {"x": index * width, "y": y, "w": width, "h": height}
            panels.append({**panel, "id": len(panels) + 1, "gridPos": place})
        y += height
    return {
        "uid": f"headroom-{monitored.cluster}"[:40],
        "title": f"Pod addresses of {monitored.cluster}",
        "description": "Written by `headroom watch-files`. Free addresses are estimated from ipamd's metrics.",
        "tags": ["headroom", "vpc-cni"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_datasource()]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _threes(zones: list[str]) -> list[list[str]]:
    return [zones[first : first + 3] for first in range(0, len(zones), 3)]


def _datasource() -> dict[str, Any]:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "skipUrlSync": False,
        "query": "prometheus",
        "multi": False,
        "allowCustomValue": True,
        "includeAll": False,
        "auto": False,
        "auto_min": "10s",
        "auto_count": 30,
    }


def _query(monitored: Monitored, name: str, legend: str, *, zone: str = "", ref: str = "A") -> dict[str, Any]:
    chosen = f', zone="{zone}"' if zone else ""
    return _expression(f'{name}{{cluster="{monitored.cluster}"{chosen}}}', legend, ref)


def _expression(expression: str, legend: str, ref: str = "A") -> dict[str, Any]:
    return {"refId": ref, "expr": expression, "legendFormat": legend, "range": True, "datasource": _SOURCE}


def _panel(kind: str, title: str, height: int, targets: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "targets": targets,
        "gridPos": {"x": 0, "y": 0, "w": COLUMNS, "h": height},
        **more,
    }


def _chart(
    title: str,
    targets: list[dict[str, Any]],
    *,
    most: float | None = None,
    overrides: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    defaults: dict[str, Any] = {"min": 0, "unit": "short", "decimals": 0}
    if most is not None:
        defaults["max"] = most
    return _panel("timeseries", title, 8, targets, fieldConfig={"defaults": defaults, "overrides": overrides or []})


def _coloured(legend: str, colour: str) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": legend},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    }


def _alerts(monitored: Monitored) -> dict[str, Any]:
    expression = f'ALERTS{{cluster="{monitored.cluster}", alertname=~"Headroom.+", alertstate="firing"}}'
    query = {**_expression(expression, ""), "instant": True, "range": False, "format": "table"}
    hidden = dict.fromkeys(("Time", "Value", "__name__", "alertstate", "cluster"), True)
    return _panel(
        "table",
        "Alerts that ring",
        5,
        [query],
        fieldConfig={"defaults": {"noValue": "none"}, "overrides": []},
        transformations=[{"id": "organize", "options": {"excludeByName": hidden}}],
    )


def _now(monitored: Monitored) -> dict[str, Any]:
    targets = [
        _query(
            monitored,
            "headroom:zone_free_addresses",
            f"{zone}: free of {each.usable:,}",
            zone=zone,
            ref=f"Z{number}",
        )
        for number, (zone, each) in enumerate(monitored.zones.items())
    ]
    defaults = {"min": 0, "unit": "short", "decimals": 0, "noValue": "unknown"}
    overrides = [
        {
            "matcher": {"id": "byName", "options": f"{zone}: free of {each.usable:,}"},
            "properties": [{"id": "thresholds", "value": _steps(each.thresholds.critical, each.thresholds.warning)}],
        }
        for zone, each in monitored.zones.items()
    ]
    return _panel(
        "stat",
        "Free addresses now (estimate)",
        5,
        targets,
        fieldConfig={"defaults": {**defaults, "color": {"mode": "thresholds"}}, "overrides": overrides},
        options={
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "value_and_name",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )


def _steps(critical: int, warning: int) -> dict[str, Any]:
    return {
        "mode": "absolute",
        "steps": [
            {"value": None, "color": _RED},
            {"value": critical, "color": _ORANGE},
            {"value": warning, "color": _GREEN},
        ],
    }


def _free(monitored: Monitored, zone: str) -> dict[str, Any]:
    each = monitored.zones[zone]
    targets = [
        _query(monitored, "headroom:zone_free_addresses", "free", zone=zone, ref="A"),
        _query(monitored, "headroom:zone_warning_addresses", "warning below", zone=zone, ref="B"),
        _query(monitored, "headroom:zone_critical_addresses", "critical below", zone=zone, ref="C"),
    ]
    colours = [_coloured("free", _BLUE), _coloured("warning below", _ORANGE), _coloured("critical below", _RED)]
    return _chart(f"{zone}: free addresses of {each.usable:,}", targets, most=each.usable, overrides=colours)


def _days(monitored: Monitored) -> dict[str, Any]:
    cluster = f'{{cluster="{monitored.cluster}"}}'
    lowest = f"headroom:zone_free_addresses:min1d{cluster}"
    # The slope of the last week is a loss where it is below zero; without one there is no end to show.
    days = f"{lowest} / (-deriv({lowest}[7d]) > 0) / 86400"
    return _chart(
        f"Days until empty, going on as in the last week (alert: below {monitored.horizon_days})",
        [_expression(days, "{{zone}}")],
        most=182,
    )


def _idle(monitored: Monitored) -> dict[str, Any]:
    targets = [
        _query(monitored, "headroom:zone_idle_addresses", "{{zone}} idle", ref="A"),
        _query(monitored, "headroom:zone_assigned_addresses", "{{zone}} of pods", ref="B"),
    ]
    return _chart("Addresses that the CNI holds: of pods, and idle", targets)


def _waiting(monitored: Monitored) -> dict[str, Any]:
    return _chart("Pods that wait on their node", [_query(monitored, "headroom:zone_waiting_pods", "{{zone}}")])


def _refused(monitored: Monitored) -> dict[str, Any]:
    return _chart("Addresses refused in 10 minutes", [_query(monitored, "headroom:zone_refused_addresses", "{{zone}}")])


def _unscraped(monitored: Monitored) -> dict[str, Any]:
    return _chart("Nodes that are not counted", [_query(monitored, "headroom:zone_unscraped_nodes", "{{zone}}")])
