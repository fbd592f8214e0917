from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.prefix_reservations import (
    CREATE_BURST,
    CREATE_INTERVAL_SECONDS,
    PrefixReservations,
    PrefixReservationsArgs,
    ReservedSubnet,
    reservation_problems,
)
from headroom.addresses.blocks import Block
from headroom.addresses.problems import ProblemsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from headroom.addresses.problems import Problem
    from tests.conftest import Recorder

COMPONENT = "headroom:index:PrefixReservations"
RESERVATION = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"


def subnet(*reservations: str, **more: Any) -> ReservedSubnet:
    return ReservedSubnet(
        **{
            "subnet_id": "subnet-1",
            "cidr_block": "100.64.0.0/24",
            "reservations": reservations,
            "primary_addresses": 0,
            **more,
        }
    )


def found(*reservations: str, **more: Any) -> Sequence[Problem]:
    problems = reservation_problems("us-east-1a", subnet(*reservations, **more))
    assert {problem.key.partition("[")[0] for problem in problems} <= {"prefixReservations.us-east-1a"}
    return problems


def rules(*reservations: str, **more: Any) -> list[str]:
    return [problem.rule for problem in found(*reservations, **more)]


def declare(recorder: Recorder, count: int) -> None:
    """Registers that many /28s, half of them in each of two subnets."""
    first = [str(block) for block in Block.parse("100.64.0.128/25").subblocks(28)]
    second = [str(block) for block in Block.parse("100.64.1.128/25").subblocks(28)]
    half = count // 2
    args = PrefixReservationsArgs(
        subnets={
            "us-east-1a": subnet(*first[: count - half - 1], "100.64.0.64/28"),
            "us-east-1b": subnet(*second[:half], subnet_id="subnet-2", cidr_block="100.64.1.0/24"),
        }
    )
    recorder.run(lambda: PrefixReservations("pods", args))


def test_a_prefix_reservation_is_registered_for_each_block_under_the_component(recorder: Recorder) -> None:
    declare(recorder, 3)
    assert recorder.labels() == [
        f"{RESERVATION} pods-us-east-1a-100.64.0.128/28",
        f"{RESERVATION} pods-us-east-1a-100.64.0.64/28",
        f"{RESERVATION} pods-us-east-1b-100.64.1.128/28",
        f"{COMPONENT} pods",
    ]
    reservation = recorder.one(RESERVATION, "pods-us-east-1b-100.64.1.128/28")
    assert reservation.inputs == {
        "subnetId": "subnet-2",
        "cidrBlock": "100.64.1.128/28",
        "reservationType": "prefix",
        "description": "Prefix delegation (pods)",
    }
    assert reservation.parent == f"{COMPONENT} pods"
    assert recorder.component_outputs[f"{COMPONENT} pods"]["reservationIds"]["us-east-1b/100.64.1.128/28"] == (
        "SubnetCidrReservation-pods-us-east-1b-100.64.1.128/28"
    )


def test_reservations_that_exist_are_adopted_and_keep_what_they_are_called(recorder: Recorder) -> None:
    """A description cannot be changed, and a second reservation in its place would overlap the first."""
    args = PrefixReservationsArgs(
        subnets={"us-east-1a": subnet("100.64.0.64/28", "100.64.0.128/28")},
        adopt={"us-east-1a/100.64.0.64/28": "subnet-1:scr-1"},
    )
    recorder.run(lambda: PrefixReservations("pods", args))
    reservations = [item for item in recorder.registrations if item.type == RESERVATION]
    assert {item.name: item.import_id for item in reservations} == {
        "pods-us-east-1a-100.64.0.64/28": "subnet-1:scr-1",
        "pods-us-east-1a-100.64.0.128/28": "",
    }
    assert {item.ignore_changes for item in reservations} == {("description",)}


def test_the_first_five_go_out_at_once_and_each_further_one_waits_for_the_one_before(recorder: Recorder) -> None:
    declare(recorder, 8)
    assert CREATE_BURST == 5
    in_order = [
        *(f"pods-us-east-1a-{block}/28" for block in ("100.64.0.128", "100.64.0.144", "100.64.0.160", "100.64.0.64")),
        *(f"pods-us-east-1b-100.64.1.{last}/28" for last in (128, 144, 160, 176)),
    ]
    assert len([item for item in recorder.registrations if item.type == RESERVATION]) == len(in_order)
    for index, name in enumerate(in_order):
        item = recorder.one(RESERVATION, name)
        waits = index >= CREATE_BURST
        assert item.depends_on == ({f"{RESERVATION} {in_order[index - 1]}"} if waits else frozenset()), name
        assert item.before_create == (("pods-pace",) if waits else ()), name


@pytest.mark.parametrize(("preview", "slept"), [(False, [CREATE_INTERVAL_SECONDS]), (True, [])])
def test_the_pause_is_made_only_while_something_is_created(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *, preview: bool, slept: list[float]
) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    declare(recorder, 2)
    pace = recorder.hooks["pods-pace"]

    def program() -> object:
        monkeypatch.setattr(asyncio, "sleep", note)
        unused: pulumi.ResourceHookArgs = None  # type: ignore[assignment] # the pause looks at nothing
        return pace(unused)

    with monkeypatch.context():
        recorder.run(program, preview=preview)
    assert [seconds for seconds in pauses if seconds] == slept


def test_reservations_that_fit_are_accepted() -> None:
    assert found("100.64.0.128/25", "100.64.0.64/26", primary_addresses=60) == []


def test_a_reservation_outside_its_subnet_is_refused() -> None:
    assert rules("100.64.1.0/28") == ["reservation-outside-subnet"]
    assert rules("100.64.0.0/23") == ["reservation-outside-subnet"]


def test_a_reservation_too_small_for_a_prefix_is_refused() -> None:
    assert rules("100.64.0.128/29") == ["reservation-too-small"]


def test_reservations_that_overlap_each_other_or_somebody_elses_are_refused() -> None:
    assert rules("100.64.0.128/25", "100.64.0.192/26") == ["reservation-overlap"]
    assert rules("100.64.0.128/25", other_reservations=["100.64.0.240/28"]) == ["reservation-overlap"]


def test_everything_that_cannot_be_read_is_said_at_once() -> None:
    assert rules(
        "100.64.0.130/28", "x", used_addresses=["10.0.0.256"], used_blocks=["y"], other_reservations=["100.64.0.0/33"]
    ) == ["cidr-host-bits", "ipv4-address", "cidr-prefix-length", "ipv4-address", "ipv4-address"]
    assert rules("x", cidr_block="100.64.0.0/240") == ["cidr-prefix-length", "ipv4-address"]
    assert rules("100.64.0.128/25", primary_addresses=-1) == ["primary-addresses"]


def test_primary_addresses_need_room_outside_the_reservations() -> None:
    # 128 addresses lie outside; AWS keeps four of them, and one more inside the reservation.
    assert rules("100.64.0.128/25", primary_addresses=124) == []
    (problem,) = found("100.64.0.128/25", primary_addresses=125)
    assert problem.message == (
        "prefixReservations.us-east-1a: 128 reserved of 251 addresses leaves 124 for the primary addresses of network "
        "interfaces, which need 125 and are not taken from a reservation. Reserve less, or use a larger subnet."
    )
    assert rules("100.64.0.0/24", primary_addresses=1) == ["no-room-for-primary-addresses"]
    assert rules("100.64.0.64/26", other_reservations=["100.64.0.128/25"], primary_addresses=61) == [
        "no-room-for-primary-addresses"
    ]


def test_a_reservation_in_a_full_and_fragmented_subnet_is_refused_with_the_reason() -> None:
    spread = [f"100.64.0.{first + 5}" for first in range(128, 256, 16)]
    (problem,) = found("100.64.0.128/25", used_addresses=spread)
    assert problem.rule == "fragmented-subnet"
    assert "holds no wholly free /28" in problem.reason
    assert "new subnet for prefixes" in problem.next_step
    assert found("100.64.0.128/25", used_addresses=spread[1:]) == [], "one free /28 is enough to begin with"
    assert rules("100.64.0.128/28", used_blocks=["100.64.0.128/28"]) == ["fragmented-subnet"]


@pytest.mark.parametrize("block", ["100.64.0.0/28", "100.64.0.240/28"])
def test_the_first_and_last_28_of_a_subnet_can_never_be_a_prefix(block: str) -> None:
    assert rules(block) == ["fragmented-subnet"], "AWS keeps addresses in it"


def test_all_subnets_are_judged_at_once_and_nothing_is_registered(recorder: Recorder) -> None:
    subnets = {"us-east-1a": subnet("100.64.1.0/28"), "us-east-1b": subnet("100.64.0.128/29")}
    with pytest.raises(ProblemsError) as caught:
        recorder.run(lambda: PrefixReservations("pods", PrefixReservationsArgs(subnets=subnets)))
    assert [(problem.rule, problem.key) for problem in caught.value.problems] == [
        ("reservation-outside-subnet", "prefixReservations.us-east-1a"),
        ("reservation-too-small", "prefixReservations.us-east-1b"),
    ]
    assert recorder.registrations == []


@settings(deadline=None)
@given(
    reservations=st.lists(st.integers(0, 15), max_size=6, unique=True),
    used=st.sets(st.integers(4, 254), max_size=40),
    primary=st.integers(0, 300),
)
def test_what_is_accepted_holds_a_prefix_each_and_leaves_the_room_that_was_asked_for(
    reservations: list[int], used: set[int], primary: int
) -> None:
    whole = Block.parse("100.64.0.0/24")
    blocks = [whole.subblock(index, 28) for index in reservations]
    outcome = found(
        *map(str, blocks),
        used_addresses=[f"100.64.0.{address}" for address in used],
        primary_addresses=primary,
    )
    taken = {whole.first + address for address in (0, 1, 2, 3, 255, *used)}
    prefixes = all(not any(block.first <= address <= block.last for address in taken) for block in blocks)
    kept = [whole.first + address for address in (0, 1, 2, 3, 255)]
    reserved = {address for block in blocks for address in range(block.first, block.last + 1)}
    room = sum(address not in reserved and address not in kept for address in range(whole.first, whole.last + 1))
    assert (not outcome) == (prefixes and room >= primary)
