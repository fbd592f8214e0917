"""What all commands of `headroom calc` have in common, and `headroom calc forecast`."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headroom.cli.calc import COMMANDS
from tests.cli.conftest import answer, calc, refused

EXAMPLES = {
    "node": "--instance-type m5.8xlarge --pods 10 --after-peak 100",
    "fleet": "--nodes us-east-1a:m5.8xlarge:10:100 --subnet us-east-1a:10.68.204.0/22",
    "max-pods": "--instance-type m5.large --prefix-delegation",
    "subnet": "--nodes 30 --pods-per-node 100 --instance-type m5.8xlarge --set ENABLE_PREFIX_DELEGATION=true "
    "--set WARM_PREFIX_TARGET=1",
    "free": "--within 10.0.0.0/22 --used 10.0.1.0/24 --prefix-length 24 --count 9",
    "blocks": "--subnet 10.0.0.0/20 --used 10.0.0.17 --used 10.0.9.0/24",
    "association": "--existing 10.0.0.0/16 --candidate 172.16.0.0/16",
    "layout": "--within 100.64.0.0/16 --zone us-east-1a --zone us-east-1b --prefix-length 18",
    "overlay": "--pod-cidr 10.244.0.0/16 --pool apps:10:300 --kubenet",
    "forecast": "-",
}


def history(days: int, *, slope: float = -15.0) -> str:
    rows = ["time,subnet,freeAddresses,free28"]
    for hour in range(24 * days):
        free = 1000 + slope * hour / 24 + 3 * math.sin(hour)
        rows.append(f"{1_760_000_000 + 3600 * hour},subnet-a,{max(0, round(free))},{60 - hour // 240}")
        rows.append(f"2026-01-{1 + hour // 24 % 28:02}T{hour % 24:02}:00:00Z,subnet-b,{700 + hour % 7},")
    return "\n".join(rows)


def run_example(command: str, *more: str, terminal: bool = False) -> tuple[int, str]:
    run = calc(command, *EXAMPLES[command].split(), *more, stdin=history(30), terminal=terminal)
    assert run.code in {0, 1, 3}, run.err
    return run.code, run.out


def test_every_command_has_an_example() -> None:
    assert list(EXAMPLES) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_one_screen_and_begins_with_what_people_copy(command: str) -> None:
    run = calc(command, "--help")
    lines = run.out.splitlines()
    assert run.code == 0
    assert len(lines) <= 36
    assert max(map(len, lines)) <= 84
    assert lines[2].strip().startswith(f"headroom calc {command}")
    assert lines[3].strip().startswith(f"headroom calc {command}")
    assert "--json" in run.out
    assert "--explain" in run.out


def test_the_group_names_every_command() -> None:
    run = calc("--help")
    assert all(f"  {command} " in run.out for command in COMMANDS)
    assert calc("nodes").code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_off_a_terminal_there_is_neither_colour_nor_a_trailing_blank(command: str) -> None:
    _, text = run_example(command, "--explain")
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "explain " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_terminal_the_same_is_readable(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    code, text = run_example(command, "--explain", terminal=True)
    assert text.strip()
    assert code == run_example(command)[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_of_80_columns_breaks_no_word_of_a_table(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = [word.strip(":[]()") for word in run_example(command)[1].split()]
    text = re.sub(r"\x1b\[[0-9;]*m", "", run_example(command, terminal=True)[1])
    assert max(map(len, text.splitlines())) <= 80
    shown = {word.strip(":[]()") for word in text.split()}
    assert [word for word in plain if word not in shown] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_json_with_and_without_an_explanation(command: str) -> None:
    plain = json.loads(run_example(command, "--json")[1])
    explained = json.loads(run_example(command, "--json", "--explain")[1])
    assert list(explained) == [*plain, "explanation"]
    assert explained["explanation"]
    assert {key: explained[key] for key in plain} == plain


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "forecast"])
def test_an_unknown_option_is_bad_input(command: str) -> None:
    run = calc(command, "--colour")
    assert run.code == 2
    assert "No such option" in run.err


def test_a_command_imports_only_what_it_needs() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['headroom', 'calc', 'free', '--within', '10.0.0.0/24', '--prefix-length', '25']\n"
        "from headroom.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = {'rich', 'boto3', 'botocore', 'kubernetes', 'pulumi', 'yaml', 'pulumi_aws', 'statistics'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
        "print(sorted(name for name in sys.modules if name.startswith('headroom.rehearsal')))\n"
        "print('headroom.capacity.ipamd' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == ["[]", "[]", "False"]


HOSTILE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "0", "-1", "1e9", "1000000000", "99999999999999999999", "nan", "0.0.0.0/0", "255.255.255.255/32", "::/0"]
    ),
    st.sampled_from(
        ["10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "٣", "10.0.0.0/08", "a:b:c:d:e", "=", "a=b", "%", "\x00", "\n"]
    ),
    st.sampled_from(["us-east-1a:m5.large:1:1", "8,30", "64,128", "m5.large", "apps:3", "MAX_ENI=3", "16", "28"]),
)
OPTIONS = {
    "node": "instance-type limits pods after-peak leaving set max-pods",
    "fleet": "nodes subnet pod-subnet surge set burst burst-seconds churn",
    "max-pods": "instance-type limits",
    "subnet": "nodes pods-per-node instance-type limits surge growth set max-pods load-balancers",
    "free": "within used prefix-length count",
    "blocks": "subnet used reserved reserved-for-prefixes",
    "association": "existing candidate route peer pending-peering direct-connect transit-gateway service-cidr quota",
    "layout": "within zone prefix-length subnets-per-zone allocated used",
    "overlay": "pod-cidr pool node-subnet service-cidr dns-service-ip vnet peer load-balancers",
    "forecast": "usable finding-within",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_is_typed_is_answered(command: str) -> None:
    @hypothesis_settings(max_examples=60, deadline=None, database=None)
    @given(st.lists(st.tuples(st.sampled_from(OPTIONS[command].split()), HOSTILE), max_size=6))
    def check(given_options: list[tuple[str, str]]) -> None:
        words = [f"--{name}={value}" for name, value in given_options]
        run = calc(command, *words, *(["-"] if command == "forecast" else []), "--json")
        assert run.code in {0, 1, 2, 3}
        if run.code == 2:
            assert run.out == ""
            assert run.err
        else:
            json.loads(run.out)
        assert "Traceback" not in run.err

    check()


# Forecasts.


def test_a_forecast_has_its_shape() -> None:
    run = calc("forecast", "-", "--json", stdin=history(60))
    assert run.code == 1, "subnet-a is empty within a fortnight"
    subnets = run.data["subnets"]
    assert [each["subnet"] for each in subnets] == ["subnet-a", "subnet-b"]
    assert list(subnets[0]) == ["subnet", "addresses", "free28"]
    assert list(subnets[0]["addresses"]) == [
        *("trend", "now", "perDay", "daysUntilEmpty", "earliestDays", "latestDays", "sixMonths", "steps", "reason"),
    ]
    assert subnets[0]["addresses"]["trend"] == "falling"
    assert subnets[0]["addresses"]["daysUntilEmpty"] == pytest.approx(7, abs=1)
    assert subnets[0]["free28"]["trend"] == "falling"
    assert subnets[1]["free28"] is None
    assert subnets[1]["addresses"]["trend"] == "none"
    assert subnets[1]["addresses"]["daysUntilEmpty"] is None
    assert sorted(subnets[1]["addresses"]["sixMonths"]) == ["expected", "high", "low"]


def test_what_counts_as_soon_is_asked() -> None:
    assert calc("forecast", "-", "--finding-within", "3", stdin=history(60)).code == 0
    assert "problem runs-dry: subnet-a has no addresses left in" in calc("forecast", "-", stdin=history(60)).out


@pytest.mark.parametrize("text", ["", "[]", "time,subnet,freeAddresses\n", "time,subnet,freeAddresses\n1,a,5\n"])
def test_a_history_that_says_nothing_is_undecided(text: str) -> None:
    run = calc("forecast", "-", "--json", stdin=text)
    assert run.code == 3
    assert all(each["addresses"]["trend"] == "unknown" for each in run.data["subnets"])


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    csv_file, json_file = tmp_path / "free.csv", tmp_path / "free.json"
    rows = [{"time": 1_760_000_000 + 86_400 * day, "subnet": "a", "freeAddresses": 900 - 7 * day} for day in range(30)]
    csv_file.write_text(
        "subnet,time,freeAddresses\n" + "".join(f"a,{row['time']},{row['freeAddresses']}\n" for row in rows),
        encoding="utf-8",
    )
    json_file.write_text(json.dumps(rows), encoding="utf-8")
    found = answer("forecast", str(csv_file))
    assert found == answer("forecast", str(json_file))
    assert found == answer("forecast", str(csv_file), str(json_file)), "the same reading twice is one"
    assert found["subnets"][0]["addresses"]["perDay"] == -7


def test_no_projection_exceeds_the_subnet() -> None:
    found = answer("forecast", "-", "--usable", "subnet-a=1100", stdin=history(30, slope=20))
    assert found["subnets"][0]["addresses"]["sixMonths"]["expected"] == 1100


@pytest.mark.parametrize(
    ("words", "stdin", "count"),
    [
        ([], "", 1),
        (["/nonexistent"], "", 1),
        (["-", "--usable", "x", "--usable", "a=b", "--finding-within", "soon"], "", 3),
        (["-"], "{", 1),
        (["-"], '{"time": 1}', 1),
        (["-"], "[1]", 1),
        (["-"], "zeit,subnet,frei\n1,a,5", 1),
        (["-"], "time,subnet,freeAddresses\nx,,-1\n1,a,\n2,b,nan\n3,c,1e9\n4,d,٣", 5),
        (["-"], "time,subnet,freeAddresses\n" + "x,y,z\n" * 1000, 21),
        (["-"], '[{"time": true, "subnet": 3, "freeAddresses": -1}, {"time": 1e300, "subnet": "a"}]', 2),
    ],
)
def test_bad_histories_are_refused(words: list[str], stdin: str, count: int) -> None:
    assert len(refused("forecast", *words, stdin=stdin)) == count


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "free.csv"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8 text" in refused("forecast", str(path))[0]
