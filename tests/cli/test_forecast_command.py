from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from headroom.addresses.problems import ProblemsError
from headroom.capacity.forecast import Reading
from headroom.capacity.forecast import forecast as forecast_of
from headroom.cli.forecast import forecast
from headroom.report.chart import HEIGHT, LABEL, WIDTH, chart
from tests.collect.conftest import matrix, server

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(*words: str) -> Result:
    return CliRunner().invoke(forecast, list(words), catch_exceptions=True)


def refused(*words: str) -> list[str]:
    result = run(*words)
    assert isinstance(result.exception, ProblemsError), result.output
    return [problem.message for problem in result.exception.problems]


def history(path: Path, *rows: tuple[str, str, float, float], hours: int = 24 * 30, columns: str = "zone,") -> str:
    """A file with, for each subnet, its zone, what is free at the end, and what goes in a day."""
    lines = [f"time,{columns}subnet,freeAddresses"]
    for hour in range(hours):
        time = (START + timedelta(hours=hour)).isoformat()
        for zone, subnet, end, rate in rows:
            value = round(end + rate * (hours - 1 - hour) / 24)
            lines.append(f"{time},{f'{zone},' if columns else ''}{subnet},{value}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_every_subnet_has_a_day_and_every_zone_too(tmp_path: Path) -> None:
    file = history(tmp_path / "free.csv", ("us-east-1a", "a1", 90, 9), ("us-east-1a", "a2", 500, 0))
    result = run("--csv", file, "--json")
    assert result.exit_code == 1, "a1 is empty within fourteen days"
    data = json.loads(result.output)
    (zone,) = data["zones"]
    assert [each["subnet"] for each in data["subnets"]] == ["a1", "a2"]
    assert data["subnets"][0]["addresses"]["daysUntilEmpty"] == pytest.approx(10, abs=0.5)
    assert data["subnets"][0]["emptyOn"] == "2026-02-10"
    assert data["subnets"][1]["addresses"]["daysUntilEmpty"] is None
    assert zone["addresses"]["daysUntilEmpty"] == pytest.approx(590 / 9, abs=1)
    # A further /22 has 1,019 addresses, of which nine go in a day.
    assert zone["furtherSubnetDays"]["/22"] == pytest.approx(1019 / 9, abs=1)


def test_off_a_terminal_it_is_plain_text_with_the_date_and_what_to_do(tmp_path: Path) -> None:
    file = history(tmp_path / "free.csv", ("us-east-1a", "a1", 90, 9))
    lines = run("--csv", file).output.splitlines()
    assert lines[0].split() == [
        "where",
        "free",
        "now",
        "a",
        "day",
        "empty",
        "in",
        "95",
        "%",
        "date",
        "in",
        "182",
        "days",
    ]
    assert [line.split()[0] for line in lines[1:3]] == ["us-east-1a", "a1"]
    assert "2026-02-10" in lines[1]
    assert [line for line in lines if line.startswith("problem runs-dry: a1 has no addresses left in")]
    assert lines[-1].startswith("next: headroom calc subnet")
    assert "█" not in "".join(lines)


def test_a_short_history_is_unknown_and_undecided_and_never_fine(tmp_path: Path) -> None:
    file = history(tmp_path / "free.csv", ("us-east-1a", "a1", 90, 9), hours=5)
    result = run("--csv", file)
    assert result.exit_code == 3
    assert "unknown" in result.output


def test_a_history_with_holes_is_called_broken(tmp_path: Path) -> None:
    file = tmp_path / "free.csv"
    history(file, ("us-east-1a", "a1", 90, 1))
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(lines[:200] + lines[500:]), encoding="utf-8")
    output = run("--csv", str(file)).output
    assert "warning broken-history: a1 addresses has no value in 42% of the hours" in output


def test_a_file_without_zones_has_subnets_only(tmp_path: Path) -> None:
    file = history(tmp_path / "free.csv", ("", "a1", 90, 1), columns="")
    data = json.loads(run("--csv", file, "--json").output)
    assert data["zones"] == []
    assert len(data["subnets"]) == 1


def test_a_zone_is_summed_only_at_times_when_all_its_subnets_have_a_value(tmp_path: Path) -> None:
    one = history(tmp_path / "one.csv", ("us-east-1a", "a1", 500, 0))
    two = history(tmp_path / "two.csv", ("us-east-1a", "a2", 300, 0), hours=24 * 15)
    (zone,) = json.loads(run("--csv", one, "--csv", two, "--json").output)["zones"]
    assert zone["addresses"]["now"] == 800, "not 500, as where one is silent"


@pytest.mark.parametrize("words", [(), ("--cluster", "c", "--csv", "f")])
def test_one_source_has_to_be_named(words: tuple[str, ...]) -> None:
    assert any("Give one: --cluster reads what the watch stack published" in text for text in refused(*words))


def test_bad_rows_and_bad_numbers_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "free.csv"
    file.write_text("time,subnet,freeAddresses\nyesterday,a1,5\n2026-01-01,a1,-5\n", encoding="utf-8")
    told = refused("--csv", str(file), "--finding-within", "soon", "--days", "456")
    assert len(told) == 4


def test_with_facts_each_way_out_is_told_in_days_and_subnets_find_their_zone(tmp_path: Path) -> None:
    facts = Path(__file__).parents[1] / "incidents" / "eks-healthy" / "facts.json"
    subnets = json.loads(facts.read_text(encoding="utf-8"))["aws"]["subnets"]
    name = next(each["subnetId"] for each in subnets if each["cidrBlock"] == "10.20.16.0/22")
    file = history(tmp_path / "free.csv", ("", name, 90, 9), columns="")
    result = run("--csv", file, "--facts", str(facts), "--json")
    data = json.loads(result.output)
    (zone,) = data["zones"]
    assert (zone["zone"], zone["usable"]) == ("us-east-1a", 1019)
    options = {each["name"]: each for each in data["options"]}
    assert options["secondary-cidr"]["addresses"]["us-east-1a"] == 16_379
    assert options["secondary-cidr"]["days"] == {"us-east-1a": pytest.approx(16_379 / 9, abs=20)}
    text = run("--csv", file, "--facts", str(facts)).output
    assert "16,379 in us-east-1a" in text
    assert "unknown: no history" in text, "the other zones have none"


def test_what_takes_a_zones_addresses_is_told_by_subnet(tmp_path: Path) -> None:
    file = history(tmp_path / "free.csv", ("z", "a1", 500, 9), ("z", "a2", 400, 3), ("z", "a3", 300, 0))
    data = json.loads(run("--csv", file, "--json").output)
    assert data["zones"][0]["takenPerDay"] == pytest.approx({"a1": 9, "a2": 3}, abs=0.1)
    assert data["subnets"][0]["takenPerDay"] == {}, "nobody counts what holds them"


def test_from_prometheus_the_default_query_gives_subnets_and_their_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_TOKEN", raising=False)
    labels = {"subnetid": "subnet-0a1", "az": "us-east-1a", "cidrblock": "10.0.0.0/22"}
    values = [(hour * 3600.0, str(200 - hour / 24 * 4)) for hour in range(24 * 40)]
    with server((200, matrix((labels, values)))) as (url, _):
        result = run("--prometheus", url, "--json")
    assert result.stderr.startswith("Reading 56 days from Prometheus: min by (subnetid, az, cidrblock)")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert [text.partition(" since")[0] for text in data["warnings"]] == [
        "subnet-0a1 addresses has no value",
        "us-east-1a addresses has no value",
    ], "its values are of 1970"
    assert [each["addresses"]["daysUntilEmpty"] for each in data["zones"] + data["subnets"]] == [
        pytest.approx(10, abs=0.5)
    ] * 2


def test_a_query_without_a_server_is_refused() -> None:
    assert any("is for Prometheus." in text for text in refused("--csv", "-", "--query", "up"))


# From CloudWatch.


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "rehearsal")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("cloudwatch")


def publish(cloudwatch: Any, cluster: str, subnet: str, *, end: float, rate: float) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    places = {"ClusterName": cluster, "AvailabilityZone": "us-east-1a", "SubnetId": subnet}
    dimensions = [{"Name": name, "Value": value} for name, value in places.items() if value]
    data = []
    for hour in range(48):
        free = end + rate * hour / 24
        shared = {"Dimensions": dimensions, "Timestamp": now - timedelta(hours=hour)}
        data.append({**shared, "MetricName": "FreeAddresses", "Value": free})
        data.append({**shared, "MetricName": "FreePercent", "Value": 100 * free / 1019})
        data += [{**shared, "MetricName": "HeldAddresses", "Value": 800 - 0.75 * rate * hour / 24}] * bool(subnet)
    cloudwatch.put_metric_data(Namespace="Headroom", MetricData=data)


def test_the_published_history_of_a_cluster_is_read_by_zone_and_subnet(cloudwatch: Any) -> None:
    publish(cloudwatch, "prod-use1", "", end=100, rate=20)
    publish(cloudwatch, "prod-use1", "subnet-0a1", end=100, rate=20)
    publish(cloudwatch, "other", "subnet-0a1", end=5, rate=90)
    result = run("--cluster", "prod-use1", "--json", "--days", "4")
    assert result.exit_code == 1, result.output
    assert result.stderr == "Reading 4 days of prod-use1 from CloudWatch, namespace Headroom\n"
    data = json.loads(result.stdout)
    (zone,), (subnet,) = data["zones"], data["subnets"]
    assert subnet["usable"] == 1019
    assert zone["takenPerDay"] == {"subnet-0a1": 20}
    assert subnet["takenPerDay"] == {"held by nodes for pods": 15, "the rest": 5}
    for place in (zone, subnet):
        assert place["addresses"]["daysUntilEmpty"] == pytest.approx(5, abs=0.5)


def test_a_cluster_that_nobody_watches_is_told_how_to(cloudwatch: Any) -> None:
    del cloudwatch
    (told,) = refused("--cluster", "prod-use1")
    assert told == (
        "--cluster: prod-use1 has no free addresses in CloudWatch's namespace Headroom. Apply the watch stack "
        "(stacks/Pulumi.example-watch.yaml), or look at --region and --namespace. For a cluster of AKS, "
        "`headroom plan --ahead --cloud aks --cluster prod-use1` holds ranges to the pools at their largest; a history "
        "of your own goes with --csv FILE, or --prometheus URL and --query."
    )


@pytest.mark.parametrize("options", [("--cloud", "aks"), ("--resource-group", "rg-prod"), ()])
def test_a_cluster_of_aks_is_told_what_says_it_there(options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    (told,) = refused("--cluster", "aks-prod", *options)
    assert "`headroom plan --ahead --cloud aks --cluster aks-prod`" in told
    if options:
        assert told.startswith("--cluster: aks-prod is a cluster of AKS, and the history that --cluster reads")


def test_a_denied_call_is_one_sentence_and_names_what_is_needed(
    cloudwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cloudwatch

    def deny(*_: Any, **__: Any) -> Any:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as the SDK raises it

        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "secret"}}, "ListMetrics")

    monkeypatch.setattr("headroom.collect.published._places", deny)
    (told,) = refused("--cluster", "prod-use1")
    assert told == (
        "--cluster: prod-use1 has a history that could not be read: denied (ListMetrics: AccessDenied). "
        "The caller needs cloudwatch:ListMetrics and cloudwatch:GetMetricData."
    )


# The chart.


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e5)), max_size=60),
    st.integers(20, 120),
    st.integers(2, 20),
)
def test_a_chart_of_anything_has_its_size_and_nothing_is_drawn_of_nothing(
    points: list[tuple[float, float]], width: int, height: int
) -> None:
    readings = [Reading(time, value) for time, value in points]
    found = forecast_of(readings)
    lines = chart(readings, found, width=width, height=height)
    assert len(lines) == (height + 1 if found.six_months is not None else 0)
    assert all(len(line) <= width + LABEL + 12 for line in lines)


def test_a_falling_history_is_drawn_down_to_the_ground() -> None:
    readings = [Reading(hour * 3600.0, 900 - hour / 24 * 9) for hour in range(24 * 45)]
    lines = chart(readings, forecast_of(readings))
    assert len(lines) == HEIGHT + 1
    # The bars' height is the lowest value of their time, of almost two days each.
    assert lines[0].startswith("     884 █")
    drawn = [line[LABEL + 1 :] for line in lines[:-1]]
    heights = [sum(line[column : column + 1] == "█" for line in drawn) for column in range(WIDTH * 2 // 5)]
    assert heights == sorted(heights, reverse=True)
    assert drawn[-1].endswith("•")
    assert "45 days ago" in lines[-1]
    assert lines[-1].endswith("in 182 days")
