"""Front Door in the simulated Azure: what is written, and what its edges do until a change has arrived."""

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from headroom.rehearsal.arm.endpoint import start_arm
from tests.rehearsal.conftest import Azure

MINUTE = 60
PROFILES = "Microsoft.Cdn/profiles"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    """A Front Door whose changes take 20 minutes each, of simulated time that only jumps."""
    folder = tmp_path_factory.mktemp("front-door")
    with start_arm(folder, propagation_seconds=20 * MINUTE, speed=0.001) as arm:
        arm.add_resources([{"id": f"/subscriptions/{arm.subscription}/resourceGroups/shop", "location": "eastus"}])
        yield Azure(arm, "shop")


@pytest.fixture
def door(slow: Azure, request: pytest.FixtureRequest) -> tuple[Azure, str]:
    """A group with the origins `old` and `new`, side by side, all of it arrived."""
    name = f"door-{request.node.name.replace('[', '-').replace(']', '')}"[:60]
    slow.add(PROFILES, name, location="global", sku={"name": "Standard_AzureFrontDoor"}, properties={})
    settings = {"loadBalancingSettings": {"additionalLatencyInMilliseconds": 1000}}
    group = slow.add(f"{PROFILES}/originGroups", name, "shop", properties=settings)
    for origin, weight in (("old", 900), ("new", 100)):
        slow.add(
            f"{PROFILES}/originGroups/origins",
            name,
            "shop",
            origin,
            properties={"hostName": f"{origin}.example.com", "weight": weight},
        )
    slow.add(f"{PROFILES}/afdEndpoints", name, "shop", location="global", properties={})
    slow.add(f"{PROFILES}/afdEndpoints/routes", name, "shop", "all", properties={"originGroup": {"id": group}})
    slow.arm.advance(5 * 20 * MINUTE + 1)
    return slow, name


def put(azure: Azure, name: str, origin: str, **properties: Any) -> Any:
    body = {"properties": {"hostName": f"{origin}.example.com", **properties}}
    return azure.cdn.afd_origins.begin_create(azure.group, name, "shop", origin, body).result()


def group_of(azure: Azure, name: str) -> str:
    return azure.id_of(f"{PROFILES}/originGroups", name, "shop")


def test_a_weight_counts_only_when_it_has_reached_the_edges(door: tuple[Azure, str]) -> None:
    azure, name = door
    group = group_of(azure, name)
    assert azure.arm.split(group) == {"old": 0.9, "new": 0.1}

    origin = put(azure, name, "new", weight=900)

    assert (origin.provisioning_state, origin.weight) == ("Succeeded", 900)
    assert origin.deployment_status == "InProgress"
    azure.arm.advance(19 * MINUTE)
    assert azure.arm.split(group) == {"old": 0.9, "new": 0.1}
    azure.arm.advance(2 * MINUTE)
    assert azure.arm.split(group) == {"old": 0.5, "new": 0.5}
    assert azure.cdn.afd_origins.get(azure.group, name, "shop", "new").deployment_status == "Succeeded"


def test_changes_of_one_front_door_queue(door: tuple[Azure, str]) -> None:
    azure, name = door
    now = azure.arm.now()
    put(azure, name, "new", weight=500)
    put(azure, name, "old", weight=500)

    settled = azure.arm.settled_at(group_of(azure, name))

    assert settled - now == pytest.approx(40 * MINUTE, abs=1)
    azure.arm.advance(21 * MINUTE)
    assert azure.arm.split(group_of(azure, name)) == {"old": 900 / 1400, "new": 500 / 1400}
    azure.arm.advance(20 * MINUTE)
    assert azure.arm.split(group_of(azure, name)) == {"old": 0.5, "new": 0.5}


@pytest.mark.parametrize("weight", [0, 1001, -1])
def test_a_weight_outside_its_limits_is_refused_and_nothing_changes(door: tuple[Azure, str], weight: int) -> None:
    azure, name = door

    with pytest.raises(HttpResponseError) as refused:
        put(azure, name, "old", weight=weight)

    error: Any = refused.value.error
    assert error.code == "BadRequest"
    assert azure.cdn.afd_origins.get(azure.group, name, "shop", "old").weight == 900


def test_the_last_enabled_origin_of_a_group_cannot_be_disabled(door: tuple[Azure, str]) -> None:
    azure, name = door
    put(azure, name, "new", enabledState="Disabled")

    with pytest.raises(HttpResponseError, match="Endpoint pools must contain at least one enabled endpoint"):
        put(azure, name, "old", enabledState="Disabled")


def test_latency_priority_and_health_come_before_weights(door: tuple[Azure, str]) -> None:
    azure, name = door
    group = group_of(azure, name)

    assert azure.arm.split(group, latencies={"old": 20, "new": 800}) == {"old": 0.9, "new": 0.1}
    assert azure.arm.split(group, latencies={"old": 20, "new": 1100}) == {"old": 1.0, "new": 0.0}
    assert azure.arm.split(group, healthy={"old": False}) == {"old": 0.0, "new": 1.0}
    assert azure.arm.split(group, healthy={"old": False, "new": False}) == {"old": 0.9, "new": 0.1}
    put(azure, name, "new", weight=1000, priority=2)
    azure.arm.advance(21 * MINUTE)
    assert azure.arm.split(group) == {"old": 1.0, "new": 0.0}


def test_a_group_that_says_nothing_of_latency_sends_everything_to_the_fastest(door: tuple[Azure, str]) -> None:
    azure, name = door
    slow = {"properties": {"loadBalancingSettings": {"sampleSize": 4, "successfulSamplesRequired": 3}}}
    azure.cdn.afd_origin_groups.begin_create(azure.group, name, "shop", slow).result()
    azure.arm.advance(21 * MINUTE)

    assert azure.arm.split(group_of(azure, name), latencies={"old": 20, "new": 21}) == {"old": 1.0, "new": 0.0}
