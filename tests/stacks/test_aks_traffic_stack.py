"""The stack of a traffic shift: what a step declares, and which step it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.planning.gate_history import file_name, to_line
from headroom.planning.traffic import GateRecord, Outcome
from stacks import aks_traffic

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
    """Where the gate's history is, instead of beside the stack files."""
    monkeypatch.setattr(aks_traffic, "stacks_folder", lambda: tmp_path)
    return tmp_path


def passed(folder: Path, *steps: int, last: Outcome = Outcome.PASSED) -> None:
    """A history in which these steps have passed, the last one with another outcome where it is given."""
    lines = [
        to_line(
            GateRecord(
                stack=STACK, step=step, outcome=last if step == steps[-1] else Outcome.PASSED, started=AT, ended=AT
            )
        )
        for step in steps
    ]
    (folder / file_name(STACK)).write_text("\n".join(lines), encoding="utf-8")


def deployed(recorder: Recorder, **changes: Any) -> list[str]:
    """What was refused of the example with changes; empty where it was deployed."""
    found: list[str] = []

    def program() -> None:
        try:
            aks_traffic.deploy()
        except ProblemsError as error:
            found.extend(f"{problem.key}: {problem.rule}" for problem in error.problems)

    config: Mapping[str, Any] = {**DEFAULTS, **EXAMPLE, **{f"headroom:{key}": value for key, value in changes.items()}}
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


@pytest.mark.parametrize(("step", "first", "second"), [(100, "new", "old"), (0, "old", "new")])
def test_who_takes_over_is_enabled_before_the_other_is_disabled(
    recorder: Recorder, folder: Path, step: int, first: str, second: str
) -> None:
    passed(folder, 10, 25, 50)
    assert deployed(recorder, step=step) == []
    assert f"{ORIGIN} shift-{first}" in recorder.one(ORIGIN, f"shift-{second}").depends_on


def test_a_step_before_its_gate_is_refused_and_nothing_is_registered(recorder: Recorder, folder: Path) -> None:
    passed(folder, 10)
    assert deployed(recorder, step=50) == ["headroom:step: one-step-at-a-time"]
    assert recorder.registrations == []
    passed(folder, 10, 25, last=Outcome.STOPPED)
    assert deployed(recorder, step=25) == ["headroom:step: one-step-at-a-time"]
    assert deployed(recorder, step=10) == []


def test_a_history_that_cannot_be_read_shifts_nothing(recorder: Recorder, folder: Path) -> None:
    (folder / file_name(STACK)).write_text("{}\n", encoding="utf-8")
    assert deployed(recorder, step=10) == [f"{file_name(STACK)}:1: gate-history"]


def test_what_is_wrong_with_the_file_is_said_all_at_once(recorder: Recorder) -> None:
    assert sorted(deployed(recorder, step=30, steps=[10, "x"], gate={"workspaceId": "w"}, vpcId="vpc-1")) == [
        "headroom:gate.workspaceId: configuration",
        "headroom:step: configuration",
        "headroom:steps: configuration",
        "headroom:vpcId: configuration",
    ]
