"""The stack of a traffic shift: what a step declares, and which step it refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

from components.traffic_guard import BlindChangeError, refuse_blind_change
from headroom.addresses.problems import ProblemsError
from headroom.planning.gate_history import file_name, to_text
from headroom.planning.probe_record import Probed, ProbeRecord, ProbesVerdict, write_record
from headroom.planning.probe_record import file_name as probes_file
from headroom.planning.traffic import GateRecord, Outcome, Traffic, read_traffic
from stacks import aks_traffic
from tests.conftest import READ_STATE, LookupFailedError
from tests.stacks.conftest import declared, looked_for, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
DEFAULTS = {key: entry["default"] for key, entry in DECLARED.items() if "default" in entry}
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (CHECKOUT / "stacks" / "Pulumi.example-aks-traffic.yaml").read_text(encoding="utf-8")
)["config"]
STACK = "prod-eus2-traffic"
ORIGIN = "azure-native:cdn:AFDOrigin"
GROUP = "azure-native:cdn:AFDOriginGroup"
AT = datetime(2026, 3, 7, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the gate's history and the probes' record are, instead of beside the stack files."""
    monkeypatch.setattr(aks_traffic, "stacks_folder", lambda: tmp_path)
    record(tmp_path)
    return tmp_path


NEW_CLUSTER = EXAMPLE["headroom:origins"]["new"]["cluster"]
ENFORCED = Probed(what="prod/deny", verdict=ProbesVerdict.CLEAR, because="2 denied probes, as expected.")


def record(folder: Path, *policies: Probed, cluster: str = NEW_CLUSTER, days: float = 1) -> None:
    """A record of probes; of one policy that is enforced unless told otherwise."""
    found = ProbeRecord(
        probed=datetime.now(UTC) - timedelta(days=days), cluster=cluster, policies=policies or (ENFORCED,)
    )
    (folder / probes_file(STACK)).write_text(write_record(found), encoding="utf-8")


def example() -> Traffic:
    """The shift of the example."""
    keys = {key.removeprefix("headroom:"): value for key, value in EXAMPLE.items() if key.startswith("headroom:")}
    return read_traffic(keys)


def passed(folder: Path, *steps: int, last: Outcome = Outcome.PASSED) -> None:
    """A history in which these steps have passed, the last one with another outcome where it is given."""
    shift = example().identity
    records = [
        GateRecord(
            stack=STACK,
            step=step,
            outcome=last if step == steps[-1] else Outcome.PASSED,
            started=AT,
            ended=AT,
            shift=shift,
        )
        for step in steps
    ]
    (folder / file_name(STACK)).write_text(to_text(records), encoding="utf-8")


def deployed(recorder: Recorder, **changes: Any) -> list[str]:
    """What was refused of the example with changes; empty where it was deployed."""
    found: list[str] = []

    def program() -> None:
        try:
            aks_traffic.deploy()
        except ProblemsError as error:
            found.extend(f"{problem.key}: {problem.rule}" for problem in error.problems)

    config: Mapping[str, Any] = {**DEFAULTS, **EXAMPLE, **{f"headroom:{key}": value for key, value in changes.items()}}
    recorder.answers.setdefault(READ_STATE, {})
    recorder.run(program, config=config, stack=STACK)
    return found


def test_the_example_declares_the_group_and_both_origins_as_a_whole(recorder: Recorder) -> None:
    assert deployed(recorder) == []
    assert [item.label for item in recorder.registrations] == [
        f"{ORIGIN} shift-new",
        f"{ORIGIN} shift-old",
        f"{GROUP} shift-group",
        "headroom:index:TrafficShift shift",
    ]
    assert recorder.one(GROUP, "shift-group").inputs == {
        "resourceGroupName": "rg-prod-eus2",
        "profileName": "fd-checkout-prod",
        "originGroupName": "checkout",
        "sessionAffinityState": "Disabled",
        "loadBalancingSettings": {
            "additionalLatencyInMilliseconds": 1000,
            "sampleSize": 4,
            "successfulSamplesRequired": 3,
        },
        "healthProbeSettings": {
            "probePath": "/healthz",
            "probeProtocol": "Https",
            "probeRequestType": "HEAD",
            "probeIntervalInSeconds": 30,
        },
    }
    assert recorder.one(ORIGIN, "shift-new").inputs == {
        "resourceGroupName": "rg-prod-eus2",
        "profileName": "fd-checkout-prod",
        "originGroupName": "checkout",
        "originName": "aks-overlay",
        "hostName": "overlay.checkout.example.com",
        "originHostHeader": "checkout.example.com",
        "httpPort": 80,
        "httpsPort": 443,
        "enforceCertificateNameCheck": True,
        "priority": 1,
        "weight": 1,
        "enabledState": "Disabled",
    }
    assert all(item.protect for item in recorder.registrations if item.type in (GROUP, ORIGIN))


@pytest.mark.parametrize(
    ("step", "history", "weights"),
    [
        (10, (), {"old": (9, "Enabled"), "new": (1, "Enabled")}),
        (25, (10,), {"old": (9, "Enabled"), "new": (3, "Enabled")}),
        (50, (10, 25), {"old": (9, "Enabled"), "new": (9, "Enabled")}),
        (100, (10, 25, 50), {"old": (9, "Disabled"), "new": (9, "Enabled")}),
    ],
)
def test_from_step_to_step_one_origin_changes(
    recorder: Recorder, folder: Path, step: int, history: tuple[int, ...], weights: dict[str, tuple[int, str]]
) -> None:
    if history:
        passed(folder, *history)
    assert deployed(recorder, step=step) == []
    for side, (weight, state) in weights.items():
        inputs = recorder.one(ORIGIN, f"shift-{side}").inputs
        assert (inputs["weight"], inputs["enabledState"]) == (weight, state)


@pytest.mark.parametrize(
    ("step", "first", "second"), [(100, "new", "old"), (0, "old", "new"), (10, "old", "new"), (50, "old", "new")]
)
def test_who_takes_over_is_enabled_before_the_other_is_disabled(
    recorder: Recorder, folder: Path, step: int, first: str, second: str
) -> None:
    passed(folder, 10, 25, 50)
    assert deployed(recorder, step=step) == []
    assert f"{ORIGIN} shift-{first}" in recorder.one(ORIGIN, f"shift-{second}").depends_on


def test_everything_that_it_declares_is_looked_for_after_a_run_that_was_cut_off(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = looked_for(monkeypatch, aks_traffic)
    assert deployed(recorder) == []
    assert known == declared(recorder)


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ({"hostName": "kubenet.checkout.example.com", "originHostHeader": "checkout.example.com"}, ""),
        ({"hostName": "KUBENET.checkout.example.com"}, ""),
        ({"hostName": "old.example.com"}, "has hostName old.example.com, and the file would make it kubenet.checkout"),
        (
            {"hostName": "kubenet.checkout.example.com", "originHostHeader": "shop.example.com"},
            "has originHostHeader shop.example.com, and the file would make it checkout.example.com.",
        ),
    ],
)
def test_an_old_origin_that_the_file_would_send_elsewhere_is_not_taken_over(live: dict[str, str], said: str) -> None:
    [old] = [each for each in aks_traffic.candidates(example()) if each.name == "shift-old"]
    assert old.foreign(live).startswith(said)
    assert bool(old.foreign(live)) == bool(said)
    without = replace(example(), old=replace(example().old, host_header=""))
    [old] = [each for each in aks_traffic.candidates(without) if each.name == "shift-old"]
    told = old.foreign({"hostName": "kubenet.checkout.example.com", "originHostHeader": "shop.example.com"})
    assert told == "has originHostHeader shop.example.com, and the file would make it none."


def test_a_step_before_its_gate_is_refused_and_nothing_is_registered(recorder: Recorder, folder: Path) -> None:
    passed(folder, 10)
    assert deployed(recorder, step=50) == ["headroom:step: one-step-at-a-time"]
    assert recorder.registrations == []
    passed(folder, 10, 25, last=Outcome.STOPPED)
    assert deployed(recorder, step=25) == ["headroom:step: one-step-at-a-time"]
    assert deployed(recorder, step=10) == []


def test_a_history_that_cannot_be_read_shifts_nothing_and_leaves_the_way_back(recorder: Recorder, folder: Path) -> None:
    (folder / file_name(STACK)).write_text("{}\n", encoding="utf-8")
    assert deployed(recorder, step=10) == [f"{file_name(STACK)}:1: gate-history"]
    assert deployed(recorder, step=0) == []


def test_every_write_of_an_origin_is_guarded(recorder: Recorder) -> None:
    deployed(recorder)
    for side in ("old", "new"):
        origin = recorder.one(ORIGIN, f"shift-{side}")
        assert (origin.before_create, origin.before_update) == (("shift-guard",), ("shift-guard",))


@pytest.mark.parametrize("step", [0, 10, 50])
def test_nothing_goes_back_to_a_cluster_whose_end_has_begun(recorder: Recorder, folder: Path, step: int) -> None:
    passed(folder, 10, 25, 50, 100)
    text = (CHECKOUT / "stacks" / "Pulumi.example-aks-retire.yaml").read_text(encoding="utf-8")
    file = folder / "Pulumi.prod-eus2-retire.yaml"
    file.write_text(text, encoding="utf-8")
    assert deployed(recorder, step=step) == []
    file.write_text(text.replace("headroom:phase: keep", "headroom:phase: zero"), encoding="utf-8")
    assert deployed(recorder, step=step) == ["headroom:step: old-cluster-retired"]
    assert recorder.registrations == []
    assert deployed(recorder, step=100) == []
    other = text.replace("headroom:phase: keep", "headroom:phase: zero").replace(STACK, "other-traffic")
    file.write_text(other, encoding="utf-8")
    assert deployed(recorder, step=step) == []


def test_a_second_shift_of_the_same_origin_group_is_refused_and_leaves_the_way_back(
    recorder: Recorder, folder: Path
) -> None:
    passed(folder, 10)
    text = (CHECKOUT / "stacks" / "Pulumi.example-aks-traffic.yaml").read_text(encoding="utf-8")
    (folder / "Pulumi.example-aks-traffic.yaml").write_text(text, encoding="utf-8")
    assert deployed(recorder, step=25) == []
    twin = folder / "Pulumi.twin-traffic.yaml"
    twin.write_text(text, encoding="utf-8")
    assert deployed(recorder, step=25) == ["headroom:frontDoor: one-shift"]
    assert recorder.registrations == []
    assert deployed(recorder, step=0) == []
    for other in (
        text.replace("originGroup: checkout", "originGroup: other"),
        f"{text}\n\t: [",
        "checkout aks-traffic",
    ):
        twin.write_text(other, encoding="utf-8")
        assert deployed(recorder, step=25) == []


@pytest.mark.parametrize("wrong", ["headroom:day: 2027-02-30", "headroom:list: [", "- none"])
def test_the_way_back_does_not_wait_for_a_retirement_that_cannot_be_read(
    recorder: Recorder, folder: Path, wrong: str
) -> None:
    text = (CHECKOUT / "stacks" / "Pulumi.example-aks-retire.yaml").read_text(encoding="utf-8")
    (folder / "Pulumi.prod-eus2-retire.yaml").write_text(f"{text}  {wrong}\n", encoding="utf-8")
    assert deployed(recorder, step=0) == []


GET_ORIGIN = "azure-native:cdn:getAFDOrigin"


def written(recorder: Recorder, name: str, live: dict[str, tuple[int, str]], step: int) -> str:
    """What the guard says of writing an origin; empty where it lets it be written."""
    traffic = replace(example(), step=step)
    state = traffic.states()[name]
    inputs = {
        "originName": name,
        "weight": float(state.weight),
        "enabledState": "Enabled" if state.enabled else "Disabled",
        "priority": 1.0,
    }

    def answer(args: Mapping[str, Any]) -> Mapping[str, Any]:
        if args["originName"] not in live:
            raise LookupFailedError('Status=404 Code="NotFound"')
        weight, enabled = live[args["originName"]]
        return {"weight": weight, "enabledState": enabled, "priority": 1}

    recorder.answers[GET_ORIGIN] = answer
    return refusal(
        recorder, ORIGIN, inputs, lambda hooked: refuse_blind_change(hooked, traffic), BlindChangeError, stack=STACK
    )


@pytest.mark.parametrize(
    ("name", "step", "live", "said"),
    [
        # Somebody disabled the new origin by hand; the state still calls it enabled.
        ("aks-kubenet", 100, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (9, "Disabled")}, "nobody would answer"),
        ("aks-overlay", 0, {"aks-kubenet": (9, "Disabled"), "aks-overlay": (9, "Enabled")}, "nobody would answer"),
        ("aks-kubenet", 100, {"aks-kubenet": (9, "Enabled")}, "nobody would answer"),
        # Taken back by hand, or by an `up` that no gate saw.
        ("aks-overlay", 50, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (1, "Enabled")}, "step 50 follows 25"),
        ("aks-overlay", 25, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (1, "Disabled")}, "step 25 follows 10"),
        ("aks-overlay", 25, {"aks-kubenet": (1, "Enabled"), "aks-overlay": (1, "Disabled")}, "would get 75%"),
        ("aks-kubenet", 0, {"aks-kubenet": (50, "Enabled"), "aks-overlay": (50, "Enabled")}, "would get 85%"),
        # What is well.
        ("aks-overlay", 10, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (1, "Disabled")}, ""),
        ("aks-overlay", 10, {"aks-kubenet": (9, "Enabled")}, ""),
        ("aks-overlay", 25, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (1, "Enabled")}, ""),
        ("aks-kubenet", 100, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (9, "Enabled")}, ""),
        ("aks-kubenet", 50, {"aks-kubenet": (9, "Disabled"), "aks-overlay": (9, "Enabled")}, ""),
        ("aks-overlay", 10, {"aks-kubenet": (9, "Enabled"), "aks-overlay": (9, "Enabled")}, ""),
        ("aks-kubenet", 0, {"aks-kubenet": (9, "Disabled"), "aks-overlay": (9, "Disabled")}, ""),
        ("aks-kubenet", 0, {"aks-kubenet": (50, "Enabled")}, ""),
    ],
)
def test_an_origin_is_not_written_against_what_front_door_shows(
    recorder: Recorder, name: str, step: int, live: dict[str, tuple[int, str]], said: str
) -> None:
    found = written(recorder, name, live, step)
    assert (said in found) if said else (found == "")


def test_an_origin_is_not_written_when_nobody_can_say_how_they_stand(recorder: Recorder) -> None:
    recorder.answers[GET_ORIGIN] = recorder.failing("AuthorizationFailed")
    traffic = example()
    said = refusal(
        recorder,
        ORIGIN,
        {"originName": "aks-overlay"},
        lambda hooked: refuse_blind_change(hooked, traffic),
        BlindChangeError,
        stack=STACK,
    )
    assert re.search(r"could not be read: .*AuthorizationFailed", said), said


def test_what_is_wrong_with_the_file_is_said_all_at_once(recorder: Recorder) -> None:
    assert sorted(deployed(recorder, step=30, steps=[10, "x"], gate={"workspaceId": "w"}, vpcId="vpc-1")) == [
        "headroom:gate.workspaceId: configuration",
        "headroom:step: configuration",
        "headroom:steps: configuration",
        "headroom:vpcId: configuration",
    ]


# The probes of the new cluster's policies, before its first requests.

BROKEN = Probed(what="prod/open", verdict=ProbesVerdict.WRONG, because="3 of 3 denied probes got through.")
UNKNOWN = Probed(what="prod/udp", verdict=ProbesVerdict.UNDECIDED, because="No probe could be tried.")


def without(day: date) -> dict[str, str]:
    return {"reason": "the policies are enforced by a firewall before both", "expires": day.isoformat()}


def test_the_first_step_waits_for_probes(recorder: Recorder, folder: Path) -> None:
    (folder / probes_file(STACK)).unlink()
    assert deployed(recorder, step=0) == []
    assert deployed(recorder, step=10) == ["headroom:step: probes-clear"]
    assert recorder.registrations == []


@pytest.mark.parametrize(
    ("policies", "more", "problem"),
    [
        ((BROKEN,), {}, ": probes-clear"),
        ((ENFORCED, UNKNOWN), {}, ": probes-clear"),
        ((), {"cluster": "aks-elsewhere"}, "headroom:origins.new.cluster: probes-cluster"),
        ((), {"days": 7.1}, ": probes-age"),
        ((), {"days": -1}, ": probes-age"),
    ],
    ids=["wrong", "undecided", "another cluster", "old", "to come"],
)
def test_probes_that_are_not_clear_of_another_cluster_or_old_open_nothing(
    recorder: Recorder, folder: Path, policies: tuple[Probed, ...], more: dict[str, Any], problem: str
) -> None:
    record(folder, *policies, **more)
    assert deployed(recorder, step=10) == [problem]
    passed(folder, 10)
    assert deployed(recorder, step=25) == [], "later steps have the gate"
    assert deployed(recorder, step=10) == [], "the cluster serves already"
    passed(folder, 10, last=Outcome.STOPPED)
    assert deployed(recorder, step=0) == [], "the way back waits for nothing"


@pytest.mark.parametrize("outcome", [Outcome.STOPPED, Outcome.UNDECIDED])
def test_after_a_first_step_that_did_not_pass_the_next_try_waits_again(
    recorder: Recorder, folder: Path, outcome: Outcome
) -> None:
    passed(folder, 10, last=outcome)
    record(folder, BROKEN)
    assert ": probes-clear" in deployed(recorder, step=10)


def test_a_cluster_that_the_stack_file_does_not_name_is_not_shown_to_be_the_one_that_was_probed(
    recorder: Recorder,
) -> None:
    origins = {side: {**EXAMPLE["headroom:origins"][side]} for side in ("old", "new")}
    del origins["new"]["cluster"]
    assert deployed(recorder, step=10, origins=origins) == ["headroom:origins.new.cluster: probes-cluster"]


def test_somebody_may_go_on_without_probes_with_a_reason_until_a_day(recorder: Recorder, folder: Path) -> None:
    (folder / probes_file(STACK)).unlink()
    today = datetime.now(UTC).date()
    assert deployed(recorder, step=10, withoutProbes=without(today + timedelta(days=1))) == []
    assert deployed(recorder, step=10, withoutProbes=without(today - timedelta(days=2))) == [
        "headroom:withoutProbes.expires: probes-exception",
        "headroom:step: probes-clear",
    ]


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ({"reason": "too short", "expires": "2027-03-31"}, ["reason"]),
        ({"reason": "a reason that says something", "expires": "soon"}, ["expires"]),
        ({"reason": "a reason that says something"}, ["expires"]),
        ({"until": "2027-03-31"}, ["until"]),
    ],
)
def test_an_exception_without_a_reason_or_a_day_is_refused(
    recorder: Recorder, value: dict[str, str], keys: list[str]
) -> None:
    assert deployed(recorder, step=10, withoutProbes=value) == [
        f"headroom:withoutProbes.{key}: configuration" for key in keys
    ]


def test_an_exception_is_said_in_every_preview_of_the_first_step(
    recorder: Recorder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_: said.append(text))
    (folder / probes_file(STACK)).unlink()
    assert deployed(recorder, step=10, withoutProbes=without(date(9999, 12, 31))) == []
    (text,) = said
    assert text.startswith("The first requests come without probes, as the stack file says: the policies are enforced")


def test_a_record_that_an_editor_of_windows_saved_is_the_same_record(recorder: Recorder, folder: Path) -> None:
    path = folder / probes_file(STACK)
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8", newline="\r\n")
    assert deployed(recorder, step=10) == []


def test_a_record_that_somebody_mended_by_hand_is_refused(recorder: Recorder, folder: Path) -> None:
    record(folder, BROKEN)
    path = folder / probes_file(STACK)
    path.write_text(path.read_text(encoding="utf-8").replace('"verdict": "wrong"', '"verdict": "clear"', 1))
    assert deployed(recorder, step=10) == [f"{path.name}: probes-record"]
    path.write_text("[]", encoding="utf-8")
    assert deployed(recorder, step=10) == [f"{path.name}: probes-record"]
    path.unlink()
    path.mkdir()
    assert deployed(recorder, step=10) == [": probes-record"]
