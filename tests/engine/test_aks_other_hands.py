"""Somebody is at work in the portal while a shift goes on, and a step is applied without a look: nobody is cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from azure.mgmt.cdn import CdnManagementClient

from headroom.planning.gate_history import file_name, to_text
from headroom.planning.traffic import GateRecord, Outcome, read_traffic
from headroom.rehearsal.azure_world import AzureWorld, start_azure_world
from headroom.rehearsal.tools import find_tools
from tests.engine.conftest import probed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine

CHECKOUT = Path(__file__).parents[2]
GROUP, PROFILE, ORIGINS = "rg-prod-eus2", "fd-checkout-prod", "checkout"
STACK = "prod-eus2-traffic"
OLD, NEW = "aks-kubenet", "aks-overlay"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureWorld]:
    """A Front Door whose old origin has all requests, and a stack whose steps have all passed so far."""
    with start_azure_world(tmp_path_factory.mktemp("aks") / "world", find_tools()) as running:
        arm = running.arm
        text = (CHECKOUT / "stacks" / "Pulumi.example-aks-traffic.yaml").read_text(encoding="utf-8")
        config = yaml.safe_load(text.replace("00000000-0000-0000-0000-000000000000", arm.subscription))["config"]
        profile = f"/subscriptions/{arm.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Cdn/profiles/{PROFILE}"
        group = f"{profile}/originGroups/{ORIGINS}"
        arm.add_resources(
            [
                {"id": profile, "location": "Global", "sku": {"name": "Standard_AzureFrontDoor"}},
                {"id": group, "properties": {"healthProbeSettings": {"probePath": "/healthz"}}},
                {"id": f"{group}/origins/{OLD}", "properties": {"hostName": "kubenet.checkout.example.com"}},
            ]
        )
        config["headroom:steps"] = [50, 100]
        running.engine.init(STACK, config)
        shift = read_traffic({key.removeprefix("headroom:"): config[key] for key in config if "headroom:" in key})
        at = datetime.now(UTC) - timedelta(days=1)
        records = [GateRecord(stack=STACK, shift=shift.identity, step=50, outcome=Outcome.PASSED, started=at, ended=at)]
        (running.engine.project / "stacks" / file_name(STACK)).write_text(to_text(records), encoding="utf-8")
        probed(running.engine.project, STACK, shift.new.cluster)
        yield running


@pytest.fixture
def doors(world: AzureWorld) -> Any:
    """Front Door at 50 %, as the stack has made it."""
    client = CdnManagementClient(world.arm.credential(), world.arm.subscription, **world.arm.options())
    for step in (0, 50):
        world.engine.must("up", "--yes", "--skip-preview", "--refresh", "--stack", STACK, *at(step))
    assert split(client) == {OLD: 1, NEW: 1}
    return client


def at(step: int) -> tuple[str, str]:
    return "--config", f"headroom:step={step}"


def split(doors: Any) -> dict[str, int]:
    """Weights of the origins that get traffic."""
    found = doors.afd_origins.list_by_origin_group(GROUP, PROFILE, ORIGINS)
    return {each.name: each.weight for each in found if each.enabled_state == "Enabled"}


def disable(doors: Any, name: str) -> None:
    """Somebody takes an origin off in the portal."""
    origin = doors.afd_origins.get(GROUP, PROFILE, ORIGINS, name)
    origin.enabled_state = "Disabled"
    doors.afd_origins.begin_create(GROUP, PROFILE, ORIGINS, name, origin).result()


def test_the_last_step_does_not_take_the_old_origin_off_when_somebody_took_the_new_one_off(
    world: AzureWorld, doors: Any
) -> None:
    disable(doors, NEW)
    refused = world.engine.run("up", "--yes", "--skip-preview", "--stack", STACK, *at(100))
    assert refused.code != 0
    assert f"nobody would answer: {OLD} is to be disabled, and {NEW} is disabled in Front Door" in refused.output
    assert split(doors) == {OLD: 1}
    # Nor with a refresh: what was taken back begins anew.
    refused = world.engine.run("up", "--yes", "--skip-preview", "--refresh", "--stack", STACK, *at(100))
    assert "somebody took it back since the gate passed" in refused.output
    assert split(doors) == {OLD: 1}


def test_the_way_back_goes_back_although_somebody_took_the_old_origin_off(world: AzureWorld, doors: Any) -> None:
    disable(doors, OLD)
    refused = world.engine.run("up", "--yes", "--skip-preview", "--stack", STACK, *at(0))
    assert f"nobody would answer: {NEW} is to be disabled, and {OLD} is disabled in Front Door" in refused.output
    assert split(doors) == {NEW: 1}
    # The command that the gate prints.
    world.engine.must("up", "--yes", "--skip-preview", "--refresh", "--stack", STACK, *at(0))
    assert split(doors) == {OLD: 1}


def test_a_stack_that_is_destroyed_or_renamed_moves_no_request(world: AzureWorld, doors: Any) -> None:
    refused = world.engine.run("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert refused.code != 0
    assert split(doors) == {OLD: 1, NEW: 1}
    file = world.engine.stack_file(STACK)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("name: aks-overlay\n", "name: aks-other\n"), encoding="utf-8")
    refused = world.engine.run("up", "--yes", "--skip-preview", "--stack", STACK, *at(0))
    file.write_text(text, encoding="utf-8")
    assert refused.code != 0
    assert split(doors) == {OLD: 1, NEW: 1}
