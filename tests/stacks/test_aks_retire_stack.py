"""The end of the old cluster: in the order that works, and not before the way back is closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.planning.gate_history import file_name, to_line
from headroom.planning.traffic import GateRecord, Outcome
from stacks import aks_retire

if TYPE_CHECKING:
    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
DEFAULTS = {key: entry["default"] for key, entry in DECLARED.items() if "default" in entry}
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (CHECKOUT / "stacks" / "Pulumi.example-aks-retire.yaml").read_text(encoding="utf-8")
)["config"]
TRAFFIC = "prod-eus2-traffic"
CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"
SUBNET = "azure-native:network:Subnet"
GET_POOL = "azure-native:containerservice:getAgentPool"
GET_SUBNET = "azure-native:network:getSubnet"
LIVE = {
    "addressPrefix": "10.20.4.0/22",
    "routeTable": {"id": "/subscriptions/s/routeTables/aks-agentpool-1"},
    "networkSecurityGroup": {"id": "/subscriptions/s/networkSecurityGroups/nsg"},
    "natGateway": {"id": "/subscriptions/s/natGateways/nat"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the traffic stack's file and its gate's history are."""
    monkeypatch.setattr(aks_retire, "stacks_folder", lambda: tmp_path)
    text = (CHECKOUT / "stacks" / "Pulumi.example-aks-traffic.yaml").read_text(encoding="utf-8")
    (tmp_path / f"Pulumi.{TRAFFIC}.yaml").write_text(text.replace("headroom:step: 0", "headroom:step: 100"))
    gated(tmp_path, 100, timedelta(days=10))
    return tmp_path


def gated(folder: Path, step: int, ago: timedelta, outcome: Outcome = Outcome.PASSED) -> None:
    """Leaves a history of one record."""
    at = datetime.now(UTC) - ago
    line = to_line(GateRecord(stack=TRAFFIC, step=step, outcome=outcome, started=at, ended=at))
    (folder / file_name(TRAFFIC)).write_text(f"{line}\n", encoding="utf-8")


def deployed(recorder: Recorder, phase: str, *, count: int = 0, live: Any = None) -> list[str]:
    """Rules of what was refused of the example in a phase; empty where it was deployed."""
    found: list[str] = []

    def program() -> None:
        try:
            aks_retire.deploy()
        except ProblemsError as error:
            found.extend(problem.rule for problem in error.problems)

    recorder.answers[GET_POOL] = {"count": count, "vmSize": "Standard_D4ds_v5", "maxPods": 110, "mode": "User"}
    recorder.answers[GET_SUBNET] = LIVE if live is None else live
    recorder.run(program, config={**DEFAULTS, **EXAMPLE, "headroom:phase": phase}, stack="prod-eus2-retire")
    return found


def labels(recorder: Recorder) -> list[str]:
    """What was registered, without the component."""
    return [item.label for item in recorder.registrations if not item.type.startswith("headroom:")]


def test_what_is_kept_is_owned_and_not_changed(recorder: Recorder) -> None:
    assert deployed(recorder, "keep", count=9) == []
    assert labels(recorder) == [f"{POOL} retired-apps", f"{CLUSTER} retired-cluster", f"{SUBNET} retired-subnet"]
    assert all(item.protect and item.ignore_changes == ("*",) for item in recorder.registrations if item.inputs)


def test_user_pools_go_to_zero_and_lose_their_autoscaler_but_nothing_else(recorder: Recorder) -> None:
    assert deployed(recorder, "zero", count=9) == []
    assert recorder.one(POOL, "retired-apps").inputs == {
        "resourceGroupName": "rg-prod-eus2",
        "resourceName": "aks-prod-eus2",
        "agentPoolName": "apps",
        "count": 0,
        "enableAutoScaling": False,
        "maxPods": 110,
        "mode": "User",
        "vmSize": "Standard_D4ds_v5",
    }
    assert recorder.one(CLUSTER, "retired-cluster").protect


def test_the_route_table_goes_alone_and_the_subnet_stays(recorder: Recorder) -> None:
    assert deployed(recorder, "detach") == []
    subnet = recorder.one(SUBNET, "retired-subnet")
    assert "routeTable" not in subnet.inputs
    assert subnet.inputs["natGateway"] == LIVE["natGateway"]
    assert subnet.inputs["networkSecurityGroup"] == LIVE["networkSecurityGroup"]
    assert (subnet.protect, subnet.retain_on_delete) == (True, True)
    assert not recorder.one(CLUSTER, "retired-cluster").protect


def test_at_the_end_the_subnet_is_left(recorder: Recorder) -> None:
    without = {key: value for key, value in LIVE.items() if key != "routeTable"}
    assert deployed(recorder, "delete", live=without) == []
    assert labels(recorder) == [f"{SUBNET} retired-subnet"]


def test_a_phase_before_the_one_that_it_needs_is_refused(recorder: Recorder) -> None:
    assert deployed(recorder, "detach", count=3) == ["retire-in-order"]
    assert deployed(recorder, "delete") == ["retire-in-order"]
    assert recorder.registrations == []


@pytest.mark.parametrize("phase", ["zero", "detach", "delete"])
@pytest.mark.parametrize(
    ("step", "ago", "outcome", "rule"),
    [
        (100, timedelta(days=8), Outcome.PASSED, "rollback-window"),
        (100, timedelta(days=30), Outcome.STOPPED, "gate-passed"),
        (50, timedelta(days=30), Outcome.PASSED, "gate-passed"),
    ],
)
def test_nothing_ends_while_the_old_cluster_is_the_way_back(  # noqa: PLR0913, PLR0917 - one argument for each column
    recorder: Recorder, folder: Path, phase: str, step: int, ago: timedelta, outcome: Outcome, rule: str
) -> None:
    gated(folder, step, ago, outcome)
    assert deployed(recorder, phase) == [rule]
    assert recorder.registrations == []


def test_a_traffic_stack_that_is_not_there_keeps_the_cluster(recorder: Recorder, folder: Path) -> None:
    (folder / f"Pulumi.{TRAFFIC}.yaml").unlink()
    assert deployed(recorder, "zero") == ["traffic-stack"]


def test_what_cannot_be_read_decides_nothing(recorder: Recorder) -> None:
    recorder.answers[GET_POOL] = recorder.failing("AuthorizationFailed")
    found: list[str] = []

    def program() -> None:
        try:
            aks_retire.deploy()
        except ProblemsError as error:
            found.extend(problem.rule for problem in error.problems)

    recorder.run(program, config={**DEFAULTS, **EXAMPLE, "headroom:phase": "zero"})
    assert found == ["lookup"]
