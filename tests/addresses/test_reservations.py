from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import Block
from headroom.addresses.reservations import addresses_outside, kept_by_aws, reservation_shape_problems
from headroom.addresses.subnet_map import Reservation, subnet_map

SUBNET = Block.parse("100.64.0.0/24")


def rules(cidr: str, *others: str, for_prefixes: bool = True) -> list[str]:
    before = [(Block.parse(other), "another") for other in others]
    found = reservation_shape_problems(Block.parse(cidr), SUBNET, before, for_prefixes=for_prefixes)
    return [problem.rule for problem in found]


def test_a_block_of_the_subnet_beside_the_others_is_accepted() -> None:
    assert rules("100.64.0.128/25", "100.64.0.0/25") == []


def test_everything_that_speaks_against_one_is_said() -> None:
    assert rules("100.64.1.0/29") == ["reservation-outside-subnet", "reservation-too-small"]
    assert rules("100.64.0.0/25", "100.64.0.64/26", "100.64.0.0/28") == ["reservation-overlap", "reservation-overlap"]
    (problem,) = reservation_shape_problems(Block.parse("100.64.0.0/25"), SUBNET, [(Block.parse("100.64.0.0/28"), "r")])
    assert problem.message.startswith("100.64.0.0/25 overlaps the reservation 100.64.0.0/28 of r.")


def test_single_addresses_may_be_reserved_for_whoever_names_them() -> None:
    assert rules("100.64.0.16/29", for_prefixes=False) == []


def test_aws_keeps_the_first_four_addresses_and_the_last() -> None:
    assert [str(block) for block in kept_by_aws(SUBNET)] == [f"100.64.0.{last}/32" for last in (0, 1, 2, 3, 255)]


@given(st.integers(16, 28), st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(17, 32)), max_size=6))
def test_what_is_left_outside_is_what_the_subnets_map_shows_as_free(length: int, places: list[tuple[int, int]]) -> None:
    subnet = Block(SUBNET.first, length)
    reserved = [Block(SUBNET.first + (place >> (32 - size) << (32 - size)), size) for place, size in places]
    shown = subnet_map(subnet, reservations=[Reservation(block, "prefix") for block in reserved])
    assert addresses_outside(subnet, reserved) == shown.free_addresses
