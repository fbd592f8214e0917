"""The end of the old cluster: in the order that works, and not before the way back is closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pulumi_azure_native import containerservice

from components.retired_cluster import ALL_BUT_COUNTS
from headroom.addresses.problems import ProblemsError
from headroom.planning.gate_history import file_name, to_text
from headroom.planning.traffic import GateRecord, Outcome
from stacks import aks_retire
from tests.conftest import READ_STATE
from tests.stacks.conftest import declared, looked_for

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
GET_SUBNET = "azure-native:network:getSubnet"
GET_CLUSTER = "azure-native:containerservice:getManagedCluster"
GET_ORIGIN = "azure-native:cdn:getAFDOrigin"
GET_TABLE = "azure-native:network:getRouteTable"
NODE_GROUP = "MC_rg-prod-eus2_aks-prod-eus2_eastus2"
SUBNET_ID: str = EXAMPLE["headroom:oldCluster"]["subnet"]
TABLE_ID = (
    f"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{NODE_GROUP}/providers/Microsoft.Network"
    "/routeTables/aks-agentpool-1"
)
LIVE: dict[str, Any] = {
    "id": SUBNET_ID,
    "addressPrefix": "10.20.4.0/22",
    "routeTable": {"id": TABLE_ID},
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
    shift = aks_retire.traffic_of(TRAFFIC, folder).identity
    record = GateRecord(stack=TRAFFIC, step=step, outcome=outcome, started=at, ended=at, shift=shift)
    (folder / file_name(TRAFFIC)).write_text(to_text([record]), encoding="utf-8")


def cluster(count: int = 0, **changes: Any) -> dict[str, Any]:
    """The old cluster as ARM shows it."""
    return {
        "name": "aks-prod-eus2",
        "nodeResourceGroup": NODE_GROUP,
        "networkProfile": {"networkPlugin": "kubenet"},
        "agentPoolProfiles": [
            {"name": "default", "mode": "System", "count": 3},
            {"name": "apps", "mode": "User", "count": count},
        ],
        **changes,
    }


def deployed(  # noqa: PLR0913 - what Azure shows
    recorder: Recorder,
    phase: str,
    *,
    count: int = 0,
    live: Any = None,
    old: Any = None,
    origins: Any = None,
    table: Any = None,
    pools: Any = None,
) -> list[str]:
    """Rules of what was refused of the example in a phase; empty where it was deployed."""
    states = origins or {"aks-kubenet": "Disabled", "aks-overlay": "Enabled"}
    found: list[str] = []

    def program() -> None:
        try:
            aks_retire.deploy()
        except ProblemsError as error:
            found.extend(problem.rule for problem in error.problems)

    recorder.answers.setdefault(READ_STATE, {})
    recorder.answers[GET_CLUSTER] = cluster(count) if old is None else old
    recorder.answers[GET_SUBNET] = LIVE if live is None else live
    recorder.answers[GET_ORIGIN] = lambda args: {"enabledState": states[args["originName"]], "weight": 9}
    recorder.answers[GET_TABLE] = {"subnets": [{"id": SUBNET_ID}, *(table or ())]}
    config = {**DEFAULTS, **EXAMPLE, "headroom:phase": phase}
    if pools is not None:
        config["headroom:oldCluster"] = {**config["headroom:oldCluster"], "pools": pools}
    recorder.run(program, config=config, stack="prod-eus2-retire")
    return found


def labels(recorder: Recorder) -> list[str]:
    """What was registered, without the component."""
    return [item.label for item in recorder.registrations if not item.type.startswith("headroom:")]


def test_what_is_kept_is_owned_and_not_changed(recorder: Recorder) -> None:
    assert deployed(recorder, "keep", count=9) == []
    assert labels(recorder) == [f"{POOL} retired-apps", f"{CLUSTER} retired-cluster", f"{SUBNET} retired-subnet"]
    assert all(item.protect and item.ignore_changes == ("*",) for item in recorder.registrations if item.inputs)
    assert recorder.stack_outputs["next"] == (
        "kubectl --context aks-prod-eus2 drain --selector 'kubernetes.azure.com/agentpool in (apps)' "
        "--ignore-daemonsets --delete-emptydir-data; then headroom:phase: zero"
    )


def test_a_cluster_of_system_pools_has_nothing_to_drain_before_its_end(recorder: Recorder) -> None:
    assert deployed(recorder, "keep", count=9, pools=[]) == []
    assert recorder.stack_outputs["next"] == "headroom:phase: zero"


def test_everything_that_it_declares_is_looked_for_after_a_run_that_was_cut_off(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = looked_for(monkeypatch, aks_retire)
    assert deployed(recorder, "keep", count=9) == []
    assert known == declared(recorder)


def test_user_pools_go_to_zero_and_lose_their_autoscaler_but_nothing_else(recorder: Recorder) -> None:
    assert deployed(recorder, "zero", count=9) == []
    assert recorder.one(POOL, "retired-apps").inputs == {
        "resourceGroupName": "rg-prod-eus2",
        "resourceName": "aks-prod-eus2",
        "agentPoolName": "apps",
        "count": 0,
        "enableAutoScaling": False,
    }
    assert recorder.one(POOL, "retired-apps").ignore_changes == ALL_BUT_COUNTS
    assert recorder.one(CLUSTER, "retired-cluster").protect


def test_a_pool_at_zero_keeps_every_property_that_the_sdk_can_send() -> None:
    names = set(signature(containerservice.AgentPool._internal_init).parameters)
    names -= {"__self__", "__props__", "opts", "resource_name", "resource_group_name", "resource_name_"}
    names -= {"agent_pool_name", "count", "enable_auto_scaling", "min_count", "max_count"}
    assert {name.casefold() for name in ALL_BUT_COUNTS} == {name.replace("_", "") for name in names}


def test_the_route_table_goes_alone_and_the_subnet_stays(recorder: Recorder) -> None:
    assert deployed(recorder, "detach") == []
    subnet = recorder.one(SUBNET, "retired-subnet")
    assert "routeTable" not in subnet.inputs
    assert subnet.inputs["natGateway"] == LIVE["natGateway"]
    assert subnet.inputs["networkSecurityGroup"] == LIVE["networkSecurityGroup"]
    assert (subnet.protect, subnet.retain_on_delete) == (True, True)
    assert subnet.before_update == ("retired-subnet-guard",), "what came on it since it was read is not taken off"
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
    denied = recorder.failing("AuthorizationFailed")
    assert deployed(recorder, "zero", old=denied) == ["lookup"]
    assert deployed(recorder, "detach", live=denied) == ["lookup"]


@pytest.mark.parametrize("phase", ["zero", "detach", "delete"])
@pytest.mark.parametrize(
    "origins",
    [
        {"aks-kubenet": "Enabled", "aks-overlay": "Disabled"},
        {"aks-kubenet": "Enabled", "aks-overlay": "Enabled"},
        {"aks-kubenet": "Disabled", "aks-overlay": "Disabled"},
    ],
)
def test_nothing_ends_while_front_door_sends_requests_to_it(
    recorder: Recorder, phase: str, origins: dict[str, str]
) -> None:
    assert deployed(recorder, phase, origins=origins) == ["traffic-moved"]
    assert recorder.registrations == []


def test_a_traffic_stack_that_went_back_without_a_gate_keeps_the_cluster(recorder: Recorder, folder: Path) -> None:
    file = folder / f"Pulumi.{TRAFFIC}.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("headroom:step: 100", "headroom:step: 25"))
    assert deployed(recorder, "zero") == ["traffic-moved"]


@pytest.mark.parametrize("phase", ["zero", "detach", "delete"])
def test_the_cluster_that_took_over_is_not_ended_by_a_wrong_name(recorder: Recorder, phase: str) -> None:
    overlay = cluster(networkProfile={"networkPlugin": "azure", "networkPluginMode": "overlay"})
    assert "old-cluster" in deployed(recorder, phase, old=overlay)
    assert recorder.registrations == []


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        ("aks-prod-eus2", "aks-prod-eus2-overlay", []),
        (None, "aks-prod-eus2", ["old-cluster"]),
        ("aks-other", "aks-prod-eus2", ["old-cluster"]),
        ("aks-other", None, ["old-cluster"]),
        (None, None, []),
    ],
)
def test_the_traffic_stack_can_say_which_cluster_is_which(
    recorder: Recorder, folder: Path, old: str | None, new: str | None, rules: list[str]
) -> None:
    file = folder / f"Pulumi.{TRAFFIC}.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    for side, name in (("old", old), ("new", new)):
        origin = document["config"]["headroom:origins"][side]
        origin.pop("cluster", None)
        if name is not None:
            origin["cluster"] = name
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert deployed(recorder, "zero") == rules


def test_a_cluster_ends_when_all_the_shifts_away_from_it_are_over(recorder: Recorder, folder: Path) -> None:
    text = (folder / f"Pulumi.{TRAFFIC}.yaml").read_text(encoding="utf-8")
    other = folder / "Pulumi.prod-eus2-api-traffic.yaml"
    other.write_text(text.replace("originGroup: checkout", "originGroup: api"), encoding="utf-8")
    assert deployed(recorder, "zero") == ["gate-passed"]
    other.write_text(text.replace("resourceGroup: rg-prod-eus2", "resourceGroup: rg-prod-weu"), encoding="utf-8")
    assert deployed(recorder, "zero") == []
    other.write_text(text.replace("cluster: aks-prod-eus2\n", "cluster: aks-other\n"), encoding="utf-8")
    assert deployed(recorder, "zero") == []
    other.write_text(
        "config: {headroom:remedy: aks-traffic\n# headroom:remedy: aks-traffic, aks-prod-eus2", encoding="utf-8"
    )
    assert deployed(recorder, "zero") == ["traffic-stack"]


def test_another_shift_is_known_however_its_file_is_written(recorder: Recorder, folder: Path) -> None:
    text = (folder / f"Pulumi.{TRAFFIC}.yaml").read_text(encoding="utf-8")
    text = text.replace("originGroup: checkout", "originGroup: api")
    other = folder / "Pulumi.prod-eus2-api-traffic.yaml"
    for written in (
        text.replace("headroom:remedy: aks-traffic", 'headroom:remedy:   "aks-traffic"'),
        text.replace("aks-prod-eus2", "AKS-Prod-Eus2"),
    ):
        other.write_text(written, encoding="utf-8")
        assert deployed(recorder, "zero") == ["gate-passed"]
    other.write_text(text.replace("headroom:remedy: aks-traffic", "headroom:remedy: none # aks-traffic"))
    assert deployed(recorder, "zero") == []
    other.unlink()
    other.mkdir()
    assert deployed(recorder, "zero") == ["traffic-stack"], "nobody knows whose traffic it moves"


@pytest.mark.parametrize(
    "text",
    [
        "- config\n",
        "config: [a]\n",
        "config: {headroom:withoutProbes: {expires: 2027-02-30}}\n",
        "[" * 5000,
    ],
    ids=["list", "list of keys", "no day", "too deep"],
)
def test_a_traffic_stack_whose_file_is_none_keeps_the_cluster(recorder: Recorder, folder: Path, text: str) -> None:
    (folder / f"Pulumi.{TRAFFIC}.yaml").write_text(text, encoding="utf-8")
    assert deployed(recorder, "zero") == ["traffic-stack"]


def test_a_pool_that_nobody_named_is_not_forgotten(recorder: Recorder) -> None:
    assert deployed(recorder, "zero", pools=[]) == ["old-cluster"]
    assert deployed(recorder, "zero", pools=["apps", "gone"]) == ["old-cluster"]
    assert deployed(recorder, "zero", pools=["apps", "default"]) == ["old-cluster"]


def test_a_route_table_of_somebody_elses_stays_on_the_subnet(recorder: Recorder) -> None:
    custom = {"id": TABLE_ID.replace(NODE_GROUP, "rg-hub")}
    assert deployed(recorder, "detach", live={**LIVE, "routeTable": custom}) == []
    assert recorder.one(SUBNET, "retired-subnet").inputs["routeTable"] == custom
    assert deployed(recorder, "delete", live={**LIVE, "routeTable": custom}) == []


def test_a_route_table_that_other_subnets_have_too_is_said_before_the_deletion_fails(recorder: Recorder) -> None:
    other = {"id": SUBNET_ID.replace("snet-aks-nodes", "snet-apps")}
    assert deployed(recorder, "detach", table=[other]) == ["retire-in-order"]


def test_a_cluster_that_is_gone_already_needs_nothing_more(recorder: Recorder) -> None:
    gone = recorder.failing('Status=404 Code="ResourceNotFound"')
    without = {key: value for key, value in LIVE.items() if key != "routeTable"}
    assert deployed(recorder, "delete", old=gone, live=without) == []
    assert deployed(recorder, "zero", old=gone) == ["old-cluster"]
