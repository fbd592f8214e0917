"""What `headroom watch-files` writes for Prometheus, judged by promtool: well formed, and rings when it should."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.capacity.limits import instance_limits
from headroom.capacity.settings import CniSettings
from headroom.capacity.thresholds import NodeGroup, Thresholds, surge_demand, thresholds
from headroom.rehearsal.tools import MANIFEST
from headroom.report.prometheus import Monitored, MonitoredZone, heading, rule_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

A, B = "us-east-1a", "us-east-1b"
USABLE = 251
SURGE = surge_demand(
    NodeGroup(name="services", limits=instance_limits("m5.large"), pods=29), CniSettings.from_environment({})
)


def monitored(**changed: Any) -> Monitored:
    zone = MonitoredZone(usable=USABLE, others=11, thresholds=thresholds(SURGE, USABLE))
    return Monitored(**{"cluster": "prod", "zones": {A: zone, B: zone}, "surge": SURGE, **changed})


def rules(**changed: Any) -> dict[str, Mapping[str, Any]]:
    """Alerts by name."""
    _, alerts = rule_file(monitored(**changed))["groups"]
    return {rule["alert"]: rule for rule in alerts["rules"]}


def test_the_thresholds_are_those_of_the_capacity_model() -> None:
    levels, _ = rule_file(monitored())["groups"]
    found = {(rule["record"], rule["labels"].get("zone")): rule["expr"] for rule in levels["rules"]}
    assert thresholds(SURGE, USABLE) == Thresholds(critical=30, warning=56)
    assert found["headroom:zone_critical_addresses", A] == "vector(30)"
    assert found["headroom:zone_warning_addresses", A] == "vector(56)"
    assert thresholds(SURGE, USABLE).near == 82
    assert found["headroom:zone_near_addresses", A] == "vector(82)"
    assert found["headroom:zone_usable_addresses", B] == "vector(251)"
    assert found["headroom:zone_other_addresses", B] == "vector(11)"


def test_every_alert_waits_says_what_it_means_and_names_the_next_command() -> None:
    for name, rule in rules().items():
        assert re.fullmatch("[0-9]+[mh]", rule["for"]), name
        assert re.fullmatch("[0-9]+[mh]", rule.get("keep_firing_for", "1m")), name
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert rule["labels"]["cluster"] == "prod", name
        assert rule["annotations"]["description"].endswith("."), name
        assert re.fullmatch(r"headroom (diagnose|forecast|collect) --cluster prod", rule["annotations"]["next"]), name
    assert {name for name, rule in rules().items() if rule["labels"]["severity"] == "critical"} == {
        "HeadroomAddressesExhausted",
        "HeadroomCniMetricsAbsent",
    }


def test_in_a_small_zone_near_is_never_more_than_it_holds() -> None:
    small = Thresholds(critical=6, warning=12)
    assert small.near == 18
    levels, _ = rule_file(monitored(zones={A: MonitoredZone(usable=16, thresholds=small)}))["groups"]
    assert {rule["record"]: rule["expr"] for rule in levels["rules"]}["headroom:zone_near_addresses"] == "vector(16)"


def test_what_comes_and_goes_is_kept_and_a_level_is_not_so_that_it_ends_with_the_remedy() -> None:
    kept = {name: rule["keep_firing_for"] for name, rule in rules().items() if "keep_firing_for" in rule}
    assert kept == {
        "HeadroomAddressesExhausted": "30m",
        "HeadroomAddressesRunOut": "12h",
        "HeadroomAddressesDrop": "30m",
        "HeadroomNodeAtInterfaceLimit": "30m",
        "HeadroomEc2Throttled": "30m",
    }
    assert "For Prometheus 2.42 or newer (keep_firing_for)." in heading(monitored())


def test_the_comment_above_the_rules_shows_the_arithmetic_and_what_is_unknown() -> None:
    zone = MonitoredZone(usable=USABLE, thresholds=thresholds(SURGE, USABLE))
    text = "\n".join(heading(monitored(zones={A: zone})))
    assert "1 node of services takes 30 addresses" in text
    assert (
        f"{A}: 251 addresses for pods, held by others unknown, taken for 0; critical below 30, warning below 56; "
        "either is remembered for 24 hours while fewer than 82 are free."
    ) in text


def test_labels_choose_the_series_of_one_cluster_and_are_escaped() -> None:
    levels, _ = rule_file(monitored(labels={"cluster": 'a"b'}))["groups"]
    scraped = [rule["expr"] for rule in levels["rules"] if "awscni_" in rule["expr"] or "kube_" in rule["expr"]]
    assert len(scraped) == 8
    for expression in scraped:
        assert re.findall(r"(?:awscni|kube)_\w+\{cluster=\"a\\\"b\"", expression), expression


def test_names_that_are_none_are_refused_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        monitored(cluster="{{ evil }}", zones={}, labels={"no name": "x"})
    assert [problem.rule for problem in caught.value.problems] == ["cluster-name", "no-zones", "label-name"]


# With promtool.


@pytest.fixture(scope="module")
def promtool() -> str:
    programs = json.loads(MANIFEST.read_text(encoding="utf-8"))["programs"]
    assert "promtool" in programs, f"{sys.executable} -m toolchain.setup --tests provides it, as `make test` does"
    found: str = programs["promtool"]
    return found


def run(promtool: str, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - the program that was set up
        [promtool, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


Node = tuple[str, str]
"""A node's name and zone."""

NODES: Sequence[Node] = (("n1", A), ("n2", A), ("n3", B))


def series(values: Mapping[str, Mapping[str, str]], *, nodes: Sequence[Node] = NODES) -> list[dict[str, str]]:
    """What is scraped of nodes that stay as they are, but for `values`: of ipamd's metrics by node, in promtool's
    notation."""
    steady = {
        "awscni_total_ip_addresses": "20x20000",
        "awscni_assigned_ip_addresses": "12x20000",
        "awscni_eni_allocated": "2x20000",
        "awscni_eni_max": "3x20000",
        "awscni_no_available_ip_addresses": "0x20000",
    }
    found = []
    for node, zone in nodes:
        found.append((f'kube_node_labels{{node="{node}", label_topology_kubernetes_io_zone="{zone}"}}', "1x20000"))
        owner = 'created_by_kind="DaemonSet", created_by_name="aws-node", host_network="true"'
        pod = f'namespace="kube-system", pod="aws-node-{node}"'
        found.append((f'kube_pod_info{{{pod}, node="{node}", {owner}, uid="u-{node}"}}', "1x20000"))
        for metric, held in {**steady, **values.get(node, {})}.items():
            found.append((f'{metric}{{{pod}, instance="10.0.0.1:61678"}}', held))
    # The cni-metrics-helper's sums have the same names and are no node's.
    found.append(('awscni_total_ip_addresses{namespace="kube-system", pod="cni-metrics-helper-1"}', "9999x20000"))
    return [{"series": name, "values": numbers} for name, numbers in found]


def judged(  # noqa: PLR0913 - the fields of a unit test of rules
    promtool: str,
    folder: Path,
    scraped: Sequence[Mapping[str, str]],
    ringing: Mapping[str, Mapping[str, set[str]]],
    *,
    interval: str = "1m",
    values: Mapping[str, Mapping[str, float]] | None = None,
    what: Monitored | None = None,
) -> None:
    """Asks promtool whether exactly those alerts ring: by time, then by name, the zones; and of series their values."""
    content = rule_file(what or monitored())
    groups = content["groups"]
    for group in groups:
        for rule in group["rules"]:
            # promtool compares them too; another test holds them.
            rule.pop("annotations", None)
    expected = [
        {
            "eval_time": time,
            "alertname": rule["alert"],
            "exp_alerts": [
                {"exp_labels": {**rule["labels"], **({"zone": zone} if zone else {})}}
                for zone in sorted(by_name.get(rule["alert"], ()))
            ],
        }
        for time, by_name in ringing.items()
        for rule in groups[1]["rules"]
    ]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": interval,
        "group_eval_order": [group["name"] for group in groups],
        "tests": [
            {
                "interval": interval,
                "input_series": list(scraped),
                "alert_rule_test": expected,
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": time,
                        "exp_samples": [{"labels": "{}", "value": value}],
                    }
                    for time, by_expression in (values or {}).items()
                    for expression, value in by_expression.items()
                ],
            }
        ],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(content))
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    run(promtool, "test", "rules", str(folder / "test.yaml"))


@pytest.mark.promtool
@pytest.mark.parametrize("changed", [{}, {"custom_networking": True}, {"labels": {"cluster": 'a"b\\'}}])
def test_promtool_finds_nothing_to_say_about_the_rules(promtool: str, tmp_path: Path, changed: dict[str, Any]) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule_file(monitored(**changed))))
    assert "SUCCESS: 30 rules found" in run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(file))


@pytest.mark.promtool
def test_a_zone_that_runs_dry_warns_is_critical_and_pages_once_pods_are_refused_and_the_other_stays_silent(
    promtool: str, tmp_path: Path
) -> None:
    # 251 usable, 11 of others, two nodes: free = 240 - 2 x (20 + 2) - 2 x minutes, below 56 from minute 71, below 30
    # from minute 84, none from minute 98. From minute 90 on pods are refused addresses.
    growing = {"awscni_total_ip_addresses": "20+1x300", "awscni_assigned_ip_addresses": "12+1x300"}
    refused = {"awscni_no_available_ip_addresses": "0x89 1+1x200"}
    scraped = series({"n1": {**growing, **refused}, "n2": growing})
    judged(
        promtool,
        tmp_path,
        scraped,
        {
            "60m": {},
            "85m": {},
            "88m": {"HeadroomFreeAddressesLow": {A}},
            "94m": {"HeadroomFreeAddressesLow": {A}},
            "101m": {
                "HeadroomFreeAddressesLow": {A},
                "HeadroomFreeAddressesCritical": {A},
                "HeadroomAddressesExhausted": {A},
            },
        },
        values={
            "60m": {
                f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 240 - 2 * 22 - 2 * 60,
                f'sum(headroom:zone_free_addresses{{zone="{B}"}})': 240 - 22,
                f'sum(headroom:zone_idle_addresses{{zone="{A}"}})': 16,
                f'sum(headroom:zone_held_addresses{{zone="{B}"}})': 22,
            }
        },
    )


@pytest.mark.promtool
def test_low_addresses_without_a_pod_that_suffers_page_nobody(promtool: str, tmp_path: Path) -> None:
    scraped = series({"n1": {"awscni_total_ip_addresses": "200x300"}})
    quiet = {"HeadroomFreeAddressesLow": {A}, "HeadroomFreeAddressesCritical": {A}}
    judged(promtool, tmp_path, scraped, {"60m": quiet, "200m": quiet})


@pytest.mark.promtool
def test_pods_that_wait_on_their_node_for_long_page_where_addresses_are_low(promtool: str, tmp_path: Path) -> None:
    pod = 'namespace="shop", pod="cart-1"'
    waiting = [
        {"series": f'kube_pod_info{{{pod}, node="n1", host_network="false", uid="1"}}', "values": "1x300"},
        {"series": f'kube_pod_status_phase{{{pod}, phase="Pending", uid="1"}}', "values": "0x29 1x200"},
    ]
    scraped = [*series({"n1": {"awscni_total_ip_addresses": "200x300"}}), *waiting]
    quiet = {"HeadroomFreeAddressesLow": {A}, "HeadroomFreeAddressesCritical": {A}}
    judged(
        promtool,
        tmp_path,
        scraped,
        {"32m": quiet, "36m": {**quiet, "HeadroomAddressesExhausted": {A}}},
        values={"36m": {f'sum(headroom:zone_waiting_pods{{zone="{A}"}})': 1}},
    )


@pytest.mark.promtool
def test_evenings_on_which_pods_go_do_not_end_a_warning_and_room_for_them_ends_it_at_once(
    promtool: str, tmp_path: Path
) -> None:
    # Free: 240 - 2 x 22 - taken. By day 50 are free, by night 70, for three days; on the fourth 120, as after a remedy.
    days = [f"{20 + taken}x143" for _ in range(3) for taken in (126, 146)]
    scraped = series({"n1": {"awscni_total_ip_addresses": " ".join(["20x11", *days, "96x288"])}})
    low = {"HeadroomFreeAddressesLow": {A}}
    judged(
        promtool,
        tmp_path,
        scraped,
        {
            "12h": {},
            "13h5m": {},
            "13h20m": low,
            "24h": low,
            "26h": low,
            "36h": low,
            "60h": low,
            "72h55m": low,
            "73h10m": {},
            "80h": {},
        },
        interval="5m",
        values={
            "12h": {f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 70},
            "24h": {f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 50},
            "30h": {f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 70},
            "80h": {f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 120},
        },
    )


@pytest.mark.promtool
def test_what_was_low_once_is_remembered_for_a_day_only_and_a_moment_is_not(promtool: str, tmp_path: Path) -> None:
    # 70 are free; 50 for ten minutes, then for 25.
    scraped = series({"n1": {"awscni_total_ip_addresses": "146x23 166x1 146x21 166x4 146x400"}})
    low = {"HeadroomFreeAddressesLow": {A}}
    judged(
        promtool,
        tmp_path,
        scraped,
        {"1h50m": {}, "2h5m": {}, "2h30m": {}, "3h50m": {}, "4h20m": low, "12h": low, "28h": low, "28h30m": {}},
        interval="5m",
        values={"2h": {f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 50}},
    )


@pytest.mark.promtool
def test_a_page_lasts_while_pods_are_turned_away_now_and_then_and_half_an_hour_longer(
    promtool: str, tmp_path: Path
) -> None:
    # Of what is refused at minutes 20 and 40 the ten minutes after know.
    refused = {"awscni_no_available_ip_addresses": "0x19 3x19 6x200"}
    scraped = series({"n1": {"awscni_total_ip_addresses": "200x300", **refused}})
    quiet = {"HeadroomFreeAddressesLow": {A}, "HeadroomFreeAddressesCritical": {A}}
    page = {**quiet, "HeadroomAddressesExhausted": {A}}
    judged(
        promtool,
        tmp_path,
        scraped,
        {"19m": quiet, "22m": quiet, "26m": page, "36m": page, "48m": page, "75m": page, "85m": quiet},
    )


@pytest.mark.promtool
def test_nine_quiet_days_with_a_daily_pattern_ring_nothing(promtool: str, tmp_path: Path) -> None:
    # Every day 40 addresses more at noon than at midnight, at half hours.
    day = " ".join(str(20 + round(40 * (1 - abs(hour - 12) / 12))) for hour in [half / 2 for half in range(48)])
    wave = {"awscni_total_ip_addresses": " ".join([day] * 10)}
    scraped = series({"n1": wave, "n2": wave, "n3": wave})
    judged(promtool, tmp_path, scraped, {"24h": {}, "120h": {}, "216h": {}}, interval="30m")


@pytest.mark.promtool
def test_steady_growth_warns_of_the_end_two_weeks_ahead(promtool: str, tmp_path: Path) -> None:
    # Half an address an hour on each of two nodes: 24 a day of 196 that are free.
    growing = {"awscni_total_ip_addresses": "20+0.25x500"}
    scraped = series({"n1": growing, "n2": growing})
    judged(
        promtool,
        tmp_path,
        scraped,
        {"72h": {"HeadroomAddressesRunOut": {A}}},
        interval="30m",
        values={"72h": {f'sum(headroom:zone_free_addresses{{zone="{A}"}})': 196 - 72}},
    )


@pytest.mark.promtool
def test_a_zone_that_falls_ever_further_rings_before_a_threshold_does(promtool: str, tmp_path: Path) -> None:
    # 26 hours of peace, then eight addresses every five minutes: after four of them an upgrade less than ever before.
    falling = {"awscni_total_ip_addresses": "20x311 28+8x12"}
    judged(
        promtool,
        tmp_path,
        series({"n1": falling}),
        {"26h15m": {}, "26h40m": {"HeadroomAddressesDrop": {A}}},
        interval="5m",
    )


@pytest.mark.promtool
def test_a_deploy_that_falls_once_rings_nothing(promtool: str, tmp_path: Path) -> None:
    deployed = {"awscni_total_ip_addresses": "20x311 110x24"}
    quiet: dict[str, dict[str, set[str]]] = {"26h15m": {}, "26h20m": {}, "26h40m": {}, "27h": {}}
    judged(promtool, tmp_path, series({"n1": deployed}), quiet, interval="5m")


@pytest.mark.promtool
def test_what_is_not_scraped_is_said_and_a_scrape_that_ends_is_critical(promtool: str, tmp_path: Path) -> None:
    scraped = series({}, nodes=[("n1", A), ("n2", A)])
    silent = [each for each in scraped if "awscni" not in each["series"] or "aws-node-n1" in each["series"]]
    one = monitored(zones={A: monitored().zones[A]})
    judged(promtool, tmp_path, silent, {"10m": {}, "20m": {"HeadroomNodesNotScraped": {A}}}, what=one)
    none = [each for each in scraped if "awscni" not in each["series"]]
    judged(
        promtool,
        tmp_path,
        none,
        {"20m": {"HeadroomNodesNotScraped": {A}, "HeadroomCniMetricsAbsent": {""}}},
        what=one,
    )


@pytest.mark.promtool
def test_the_primary_interfaces_own_address_is_not_the_pods_subnets_with_custom_networking(
    promtool: str, tmp_path: Path
) -> None:
    judged(
        promtool,
        tmp_path,
        series({}),
        {"20m": {}},
        values={"20m": {f'sum(headroom:zone_held_addresses{{zone="{B}"}})': 21}},
        what=monitored(custom_networking=True),
    )
