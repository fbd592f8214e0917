"""`headroom gate` against a simulated Azure: the real SDKs, Front Door's weights and a requests' log."""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from azure.core.exceptions import ClientAuthenticationError
from azure.mgmt.cdn import CdnManagementClient
from click.testing import CliRunner

from headroom.addresses.problems import ProblemsError
from headroom.cli.gate import gate, read_shift
from headroom.planning.fill_in import NO_WORKSPACE
from headroom.planning.gate_history import to_text
from headroom.planning.traffic import GateRecord, Outcome
from headroom.rehearsal.arm.endpoint import Endpoint, start_arm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUP = "rg-prod-eus2"
WORKSPACE = "11111111-1111-1111-1111-111111111111"
STACK = "prod-eus2-traffic"
MINUTE = timedelta(minutes=1)
COLUMNS = [
    ["Minute", "datetime"],
    ["Cluster", "string"],
    ["Requests", "long"],
    ["Errors", "long"],
    ["P95", "real"],
]


@dataclass
class World:
    """A simulated Azure with a Front Door, and a stack file beside it."""

    arm: Endpoint
    stack_file: Path

    def weights(self, **states: tuple[int, str]) -> None:
        """Puts both origins as a whole, as the provider does."""
        client = CdnManagementClient(self.arm.credential(), self.arm.subscription, **self.arm.options())
        for name, (weight, state) in states.items():
            body: Any = {
                "properties": {
                    "hostName": f"{name}.example.com",
                    "weight": weight,
                    "priority": 1,
                    "enabledState": state,
                }
            }
            client.afd_origins.begin_create(GROUP, "fd", "checkout", name, body).result()

    def configure(self, step: int, **gate_settings: Any) -> None:
        """Writes the stack file."""
        config = {
            "headroom:remedy": "aks-traffic",
            "headroom:frontDoor": {
                "subscriptionId": self.arm.subscription,
                "resourceGroup": GROUP,
                "profile": "fd",
                "originGroup": "checkout",
            },
            "headroom:originGroup": {"probePath": "/healthz"},
            "headroom:origins": {
                "old": {"name": "kubenet", "hostName": "kubenet.example.com"},
                "new": {"name": "overlay", "hostName": "overlay.example.com"},
            },
            "headroom:step": step,
            "headroom:gate": {"workspaceId": WORKSPACE, **gate_settings},
        }
        self.stack_file.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")

    def now(self) -> datetime:
        """Simulated time."""
        return datetime.fromtimestamp(self.arm.now(), UTC).replace(second=0, microsecond=0)

    def requests(self, share: float, *, failing: float = 0.001, **answer: Any) -> datetime:
        """A log in which the new cluster gets its share ten minutes from now on; when that begins."""
        changed = self.now()
        rows = []
        for number in range(-61, 120):
            part = share if number >= 10 else 0.0
            for label, of in (("kubenet", 1 - part), ("overlay", part)):
                if of:
                    count = round(600 * of)
                    errors = round(count * (failing if label == "overlay" else 0.001))
                    at = (changed + number * MINUTE).isoformat()
                    rows.append([at, label, count, errors, 230.0])
        self.arm.answer_logs(
            "requests", match=["AppRequests", "sum(ItemCount)"], columns=COLUMNS, rows=rows, time="Minute", **answer
        )
        return changed

    def gate(self, *options: str) -> tuple[int, str]:
        """Runs the command; exit code and what it printed."""
        run = CliRunner().invoke(
            gate, [str(self.stack_file), "--every", "300", "--endpoint-url", self.arm.url, *options]
        )
        if run.exception is not None and not isinstance(run.exception, SystemExit):
            raise run.exception
        return run.exit_code, run.output

    def history(self) -> list[dict[str, Any]]:
        """The records beside the stack file."""
        path = self.stack_file.with_name(f"gate.{STACK}.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One simulated Azure, whose time all but stands."""
    with start_arm(tmp_path_factory.mktemp("arm"), speed=0.001) as endpoint:
        client = CdnManagementClient(endpoint.credential(), endpoint.subscription, **endpoint.options())
        endpoint.add_resources(
            [{"id": f"/subscriptions/{endpoint.subscription}/resourceGroups/{GROUP}", "location": "eastus2"}]
        )
        profile: Any = {"location": "Global", "sku": {"name": "Standard_AzureFrontDoor"}}
        client.profiles.begin_create(GROUP, "fd", profile).result()
        group: Any = {
            "properties": {
                "loadBalancingSettings": {"additionalLatencyInMilliseconds": 1000},
                "healthProbeSettings": {"probePath": "/healthz"},
            }
        }
        client.afd_origin_groups.begin_create(GROUP, "fd", "checkout", group).result()
        yield endpoint


@pytest.fixture
def world(arm: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The simulated Azure, trusted, with the weights of the first step; its time moves on while the gate waits."""
    monkeypatch.setattr(importlib.import_module("headroom.cli.gate"), "time", SimpleNamespace(sleep=arm.advance))
    for name, value in arm.environment().items():
        monkeypatch.setenv(name, value)
    made = World(arm=arm, stack_file=tmp_path / f"Pulumi.{STACK}.yaml")
    made.configure(10)
    made.weights(kubenet=(9, "Enabled"), overlay=(1, "Enabled"))
    yield made
    arm.clear_faults()
    arm.forget_logs()


def test_a_good_step_passes_and_names_the_next_one(world: World) -> None:
    changed = world.requests(0.1)
    code, said = world.gate("--since", changed.isoformat())
    assert code == 0, said
    assert "propagating: overlay gets" in said
    assert f"PASSED  step 10 of {STACK}" in said
    assert "NEXT  write headroom:step: 25 in a pull request, with gate.prod-eus2-traffic.jsonl" in said
    (record,) = world.history()
    assert (record["step"], record["outcome"]) == (10, "passed")
    assert record["figures"]["share"] == pytest.approx(0.1)
    assert record["figures"]["soakMinutes"] >= 45


def test_without_a_login_it_says_how_to_sign_in_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """azure-identity tells of every way that it tried, a screen for each look."""

    def nobody(*_: Any, **__: Any) -> Any:
        logging.getLogger("azure.identity").warning("tried everything")
        raise ClientAuthenticationError("nobody is signed in")

    monkeypatch.setattr("headroom.collect.azure_endpoint.RehearsalCredential.get_token", nobody)
    code, said = world.gate("--once")
    assert code == 3
    assert "no usable credentials: `az login` signs in" in said
    assert caplog.text == ""


def test_errors_stop_it_and_the_way_back_is_one_command(world: World) -> None:
    changed = world.requests(0.1, failing=0.05)
    code, said = world.gate("--since", changed.isoformat(), "--json")
    assert code == 1, said
    found = json.loads(said)
    assert found["phase"] == "stopped"
    assert found["rollback"] == f"pulumi up --refresh --stack {STACK} --config headroom:step=0"
    assert [record["outcome"] for record in world.history()] == ["stopped"]


def test_where_it_stops_a_line_is_the_way_back_and_nothing_else(world: World) -> None:
    changed = world.requests(0.1, failing=0.05)
    code, said = world.gate("--since", changed.isoformat())
    assert code == 1, said
    back, watch = (line.removeprefix("NEXT  ") for line in said.splitlines() if line.startswith("NEXT"))
    assert back == f"pulumi up --refresh --stack {STACK} --config headroom:step=0"
    assert watch.startswith(f"headroom gate {world.stack_file}  ")


def test_a_partial_answer_keeps_the_gate_closed(world: World) -> None:
    changed = world.requests(0.1, partial=["QueryTimeout", "cut"])
    code, said = world.gate("--since", changed.isoformat())
    assert code == 3, said
    assert "the requests' log answered in part" in said
    assert [record["outcome"] for record in world.history()] == ["undecided"]


@pytest.mark.parametrize(
    ("operation", "effect"),
    [
        ("LIST Microsoft.Cdn/profiles/originGroups/origins", "deny"),
        ("GET Microsoft.Cdn/profiles/originGroups", "deny"),
        ("POST logs", "deny"),
        ("POST logs", "throttle"),
        ("POST logs", "cut"),
    ],
)
def test_a_denied_reading_keeps_the_gate_closed(world: World, operation: str, effect: str) -> None:
    changed = world.requests(0.1)
    world.arm.order(operation, effect, count=0)
    code, said = world.gate("--since", changed.isoformat())
    assert code == 3, said
    assert "undecided" in world.history()[-1]["outcome"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("profile", "fd-elsewhere", "Front Door fd-elsewhere in rg-prod has no origin group checkout, or is not there"),
        ("originGroup", "basket", "Front Door fd in rg-prod has no origin group basket, or is not there"),
    ],
)
def test_a_front_door_that_is_not_there_is_said_with_the_key_that_names_it(
    world: World, key: str, value: str, said: str
) -> None:
    config = yaml.safe_load(world.stack_file.read_text(encoding="utf-8"))["config"]
    config["headroom:frontDoor"][key] = value
    world.stack_file.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    code, output = world.gate()
    assert code == 3, output
    assert said.replace("rg-prod", GROUP) in output
    assert "headroom:frontDoor in the stack file names them" in output
    assert "unreachable" not in output


def test_a_value_that_is_still_to_be_filled_in_is_refused_before_anything_is_asked(world: World) -> None:
    config = yaml.safe_load(world.stack_file.read_text(encoding="utf-8"))["config"]
    config["headroom:gate"]["workspaceId"] = NO_WORKSPACE
    world.stack_file.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    with pytest.raises(ProblemsError) as refused:
        world.gate()
    [problem] = refused.value.problems
    assert (problem.key, problem.rule) == ("headroom:gate.workspaceId", "fill-in")
    assert "az monitor log-analytics workspace list" in problem.next_step


def test_a_token_that_expires_in_a_long_soak_is_asked_for_anew(world: World) -> None:
    changed = world.requests(0.1)
    expired = {"status": 401, "code": "ExpiredAuthenticationToken", "message": "The access token has expired."}
    world.arm.order("POST logs", "fail", skip=1, **expired)
    code, said = world.gate("--since", changed.isoformat())
    assert code == 0, said


@pytest.mark.parametrize("looks", [3, 8])
def test_a_watch_that_is_interrupted_goes_on_to_the_same_verdict_by_the_command_that_it_says(
    world: World, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        world.arm.advance(seconds)
        slept.append(seconds)
        if len(slept) == looks:
            raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("headroom.cli.gate"), "time", SimpleNamespace(sleep=sleep))
    changed = world.requests(0.1)
    code, said = world.gate("--since", changed.isoformat())
    assert (code, world.history()) == (3, [])
    since = changed.isoformat().replace("+00:00", "Z")
    assert f"Go on with: headroom gate {world.stack_file} --since {since}\n" in said
    code, said = world.gate("--since", since)
    assert code == 0, said
    (record,) = world.history()
    assert (record["outcome"], record["started"]) == ("passed", since)


def test_a_gate_that_is_killed_leaves_no_record_and_no_lock(world: World) -> None:
    changed = world.requests(0.1)
    words = ["gate", str(world.stack_file), "--every", "1", "--endpoint-url", world.arm.url]
    killed = subprocess.Popen(  # noqa: S603 - our own interpreter and our own command
        [sys.executable, "-u", "-m", "headroom.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert killed.stdout is not None
    with killed.stdout:
        first = killed.stdout.readline()
        killed.kill()
        killed.wait()
    assert "propagating: " in first
    assert world.history() == []
    code, said = world.gate("--since", changed.isoformat())
    assert code == 0, said
    assert [record["outcome"] for record in world.history()] == ["passed"]


def test_an_empty_log_keeps_the_gate_closed(world: World) -> None:
    world.arm.answer_logs("requests", match=["AppRequests"], columns=COLUMNS, rows=[], time="Minute")
    code, said = world.gate("--since", (world.now() - 20 * MINUTE).isoformat(), "--once")
    assert code == 3, said
    assert world.history() == []


def test_another_hand_at_the_weights_stops_it(world: World) -> None:
    changed = world.requests(0.1)
    world.weights(overlay=(3, "Enabled"))
    code, said = world.gate("--since", changed.isoformat())
    assert code == 1, said
    assert "overlay stands at weight 3, the stack says weight 1" in said


def test_an_origin_that_was_disabled_stops_it(world: World) -> None:
    world.configure(10)
    changed = world.requests(0.1)
    world.weights(overlay=(1, "Disabled"), kubenet=(50, "Enabled"))
    code, said = world.gate("--since", changed.isoformat())
    assert code == 1, said
    assert "overlay stands at disabled, the stack says weight 1" in said


def test_a_gate_before_the_up_stays_closed_and_says_so(world: World) -> None:
    changed = world.requests(0.1)
    world.weights(overlay=(1, "Disabled"))
    code, said = world.gate("--since", changed.isoformat())
    assert code == 3, said
    assert "Front Door stands at step 0: step 10 is not applied yet." in said
    assert "NEXT  pulumi up --refresh" in said


def test_a_log_with_two_rows_of_a_minute_keeps_the_gate_closed(world: World) -> None:
    rows = [[(world.now() - number * MINUTE).isoformat(), "overlay", 60, 0, 230.0] for number in (5, 5, 6)]
    world.arm.answer_logs("requests", match=["AppRequests"], columns=COLUMNS, rows=rows, time="Minute")
    code, said = world.gate("--since", (world.now() - 8 * MINUTE).isoformat(), "--once")
    assert code == 3, said
    assert "two rows of one minute and cluster" in said


def test_more_errors_than_requests_are_no_answer(world: World) -> None:
    rows = [[(world.now() - 5 * MINUTE).isoformat(), "overlay", 60, 61, 230.0]]
    world.arm.answer_logs("requests", match=["AppRequests"], columns=COLUMNS, rows=rows, time="Minute")
    code, said = world.gate("--since", (world.now() - 8 * MINUTE).isoformat(), "--once")
    assert code == 3, said
    assert "the answer has another form" in said


def test_a_time_that_has_not_come_is_refused(world: World) -> None:
    world.requests(0.1)
    with pytest.raises(ProblemsError, match="has not come yet: Azure says that it is"):
        world.gate("--since", (world.now() + timedelta(hours=2)).isoformat())


def test_a_watch_that_begins_before_the_step_before_it_ended_is_refused(world: World) -> None:
    assert world.gate("--since", world.requests(0.1).isoformat())[0] == 0
    (record,) = world.history()
    world.configure(25)
    with pytest.raises(ProblemsError, match="is before the gate's record of step 10 ended"):
        world.gate("--since", record["started"])


def test_a_step_that_has_passed_is_not_put_at_risk_by_a_second_gate(world: World) -> None:
    assert world.gate("--since", world.requests(0.1).isoformat())[0] == 0
    with pytest.raises(ProblemsError, match="has passed already"):
        world.gate()
    code, said = world.gate("--once")
    assert code == 3, said
    assert len(world.history()) == 1


def test_a_second_gate_of_a_stack_is_refused_while_the_first_one_watches(world: World) -> None:
    with world.stack_file.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ProblemsError, match="is watched by another `headroom gate` now"):
            world.gate()
    assert world.history() == []


def test_a_history_that_grew_meanwhile_takes_bad_news_and_no_good_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.stack_file.with_name(f"gate.{STACK}.jsonl")

    def sleep_and_pull(seconds: float) -> None:
        world.arm.advance(seconds)
        if not file.exists():
            traffic = read_shift(world.stack_file).traffic
            at = world.now() - timedelta(hours=3)
            other = GateRecord(
                stack=STACK, step=10, outcome=Outcome.UNDECIDED, started=at, ended=at, shift=traffic.identity
            )
            file.write_text(to_text([other]), encoding="utf-8")

    monkeypatch.setattr(importlib.import_module("headroom.cli.gate"), "time", SimpleNamespace(sleep=sleep_and_pull))
    code, said = world.gate("--since", world.requests(0.1).isoformat())
    assert code == 3, said
    assert f"gate.{STACK}.jsonl has got other lines meanwhile" in said
    assert [record["outcome"] for record in world.history()] == ["undecided", "undecided"]
    assert len(read_shift(world.stack_file).history) == 2


@pytest.mark.parametrize("content", [b"<<<<<<< ours\n", b"\xff"], ids=["a conflict", "no text"])
@pytest.mark.parametrize("words", [(), ("--json",)], ids=["in words", "as JSON"])
def test_a_verdict_that_cannot_be_written_is_said_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, content: bytes, words: tuple[str, ...]
) -> None:
    file = world.stack_file.with_name(f"gate.{STACK}.jsonl")

    def sleep_and_break(seconds: float) -> None:
        world.arm.advance(seconds)
        file.write_bytes(content)

    monkeypatch.setattr(importlib.import_module("headroom.cli.gate"), "time", SimpleNamespace(sleep=sleep_and_break))
    changed = world.requests(0.1, failing=0.05)
    arguments = [str(world.stack_file), "--every", "300", "--endpoint-url", world.arm.url, *words, "--since"]
    run = CliRunner().invoke(gate, [*arguments, changed.isoformat()])
    assert isinstance(run.exception, ProblemsError)
    assert "pulumi up --refresh" in run.output
    if words:
        assert json.loads(run.stdout)["phase"] == "stopped", "nothing but JSON"
    else:
        assert "STOPPED  step 10" in run.output


def test_two_answers_that_fail_in_the_middle_of_a_soak_do_not_end_it(world: World) -> None:
    changed = world.requests(0.1)
    world.arm.order("POST logs", "deny", skip=3, count=2)
    code, said = world.gate("--since", changed.isoformat())
    assert code == 0, said
    assert "undecided: The requests' log: " in said


def test_the_watch_begins_by_azures_clock_although_its_first_answer_failed(world: World) -> None:
    changed = world.requests(0.1)
    world.arm.order("LIST Microsoft.Cdn/profiles/originGroups/origins", "deny", count=1)
    code, said = world.gate()
    assert code == 0, said
    (record,) = world.history()
    started = datetime.fromisoformat(record["started"])
    assert timedelta() <= started - changed <= 15 * MINUTE
    assert abs(datetime.now(UTC) - started) > timedelta(days=1)


def test_two_stacks_that_move_one_origin_group_are_refused(world: World) -> None:
    twin = world.stack_file.with_name("Pulumi.another-traffic.yaml")
    twin.write_text(world.stack_file.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ProblemsError, match="moves the origin group checkout too"):
        world.gate()


def test_a_step_that_was_skipped_is_refused_before_anything_is_read(world: World) -> None:
    world.configure(50)
    world.arm.forget_calls()
    with pytest.raises(ProblemsError) as refused:
        world.gate()
    assert [problem.rule for problem in refused.value.problems] == ["one-step-at-a-time"]
    assert world.arm.calls() == {}


def test_a_file_with_a_day_that_is_none_is_refused_and_one_beside_it_is_not_this_stacks(world: World) -> None:
    good = world.stack_file.read_text(encoding="utf-8")
    bad = f"{good}  headroom:day: 2027-02-30\n"
    world.stack_file.write_text(bad, encoding="utf-8")
    with pytest.raises(ProblemsError, match="cannot be read: ValueError"):
        world.gate("--once")
    world.stack_file.write_text(good, encoding="utf-8")
    world.stack_file.with_name("Pulumi.another-traffic.yaml").write_text(bad, encoding="utf-8")
    code, said = world.gate("--once")
    assert code == 3, said


def test_a_file_of_another_stack_is_refused(world: World) -> None:
    world.stack_file.write_text("config: {headroom:remedy: watch}\n", encoding="utf-8")
    with pytest.raises(ProblemsError, match="aks-traffic"):
        world.gate()


def test_an_endpoint_elsewhere_gets_no_token(world: World) -> None:
    with pytest.raises(ProblemsError, match="is not an https address of this machine"):
        world.gate("--endpoint-url", "https://example.com")
