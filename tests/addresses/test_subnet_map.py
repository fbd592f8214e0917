import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import Block, parse_address, parse_blocks, usable_addresses
from headroom.addresses.problems import ProblemsError
from headroom.addresses.subnet_map import Reservation, State, subnet_map

SUBNET = Block.parse("10.0.0.0/24")


@st.composite
def blocks_around(draw: st.DrawFn) -> Block:
    return Block.containing(SUBNET.first + draw(st.integers(-64, 320)), draw(st.integers(24, 32)))


RESERVATIONS = st.lists(
    st.one_of(blocks_around(), st.builds(Reservation, blocks_around(), st.sampled_from(["prefix", "explicit"]))),
    max_size=4,
)


def test_an_empty_subnet_offers_all_but_its_first_and_last_block() -> None:
    drawn = subnet_map(SUBNET)
    assert drawn.map == "-..............-"
    assert (drawn.free28, drawn.usable28, drawn.partial28, drawn.used28, drawn.reserved28) == (16, 14, 0, 0, 0)
    assert (drawn.free_addresses, drawn.free_reserved_addresses) == (251, 0)


@pytest.mark.parametrize("prefix_length", range(16, 28))
def test_a_subnet_holds_two_prefixes_less_than_its_size(prefix_length: int) -> None:
    # The first and the last /28 hold addresses that AWS keeps.
    assert subnet_map(Block.parse(f"10.0.0.0/{prefix_length}")).usable28 == 2 ** (28 - prefix_length) - 2


def test_the_smallest_subnet_is_first_and_last_block_in_one() -> None:
    drawn = subnet_map(Block.parse("10.0.0.0/28"))
    assert (drawn.map, drawn.free28, drawn.usable28, drawn.free_addresses) == ("-", 1, 0, 11)


def test_one_address_spoils_a_block_for_prefixes_and_only_that() -> None:
    drawn = subnet_map(SUBNET, used_addresses=[parse_address("10.0.0.70")])
    assert drawn.map == "-...o..........-"
    assert (drawn.free28, drawn.usable28, drawn.partial28, drawn.free_addresses) == (15, 13, 1, 250)


def test_a_prefix_uses_a_block_up() -> None:
    drawn = subnet_map(SUBNET, used_blocks=parse_blocks(["10.0.0.32/28"]))
    assert drawn.map == "-.#............-"
    assert (drawn.usable28, drawn.used28, drawn.free_addresses) == (13, 1, 235)


def test_a_fragmented_subnet_has_free_addresses_and_no_prefix() -> None:
    every_block = [SUBNET.first + 16 * index + 8 for index in range(16)]
    drawn = subnet_map(SUBNET, used_addresses=every_block)
    assert drawn.map == "o" * 16
    assert (drawn.free28, drawn.usable28, drawn.free_addresses) == (0, 0, 235)


def test_a_full_subnet_is_used_to_the_edges_without_the_addresses_that_aws_keeps() -> None:
    drawn = subnet_map(SUBNET, used_addresses=range(SUBNET.first + 4, SUBNET.last))
    assert drawn.map == "#" * 16
    assert (drawn.used28, drawn.free_addresses) == (16, 0)


def test_addresses_that_aws_keeps_are_counted_once() -> None:
    kept = [SUBNET.first, SUBNET.first + 1, SUBNET.first + 2, SUBNET.first + 3, SUBNET.last]
    assert subnet_map(SUBNET, used_addresses=kept) == subnet_map(SUBNET)


def test_the_same_address_twice_is_one_address() -> None:
    twice = subnet_map(SUBNET, used_addresses=[SUBNET.first + 70] * 2, used_blocks=[Block(SUBNET.first + 70, 32)])
    assert twice.free_addresses == 250


def test_a_reservation_takes_space_out_of_the_free_count() -> None:
    drawn = subnet_map(SUBNET, reservations=parse_blocks(["10.0.0.64/26"]))
    assert drawn.map == "-...rrrr.......-"
    assert (drawn.free28, drawn.usable28, drawn.reserved28) == (12, 10, 4)
    assert (drawn.free_addresses, drawn.free_reserved_addresses) == (251 - 64, 64)


def test_empty_blocks_reserved_for_prefixes_can_become_prefixes() -> None:
    drawn = subnet_map(
        SUBNET,
        used_addresses=[parse_address("10.0.0.65")],
        reservations=[Reservation(Block.parse("10.0.0.64/26"), "prefix")],
    )
    assert drawn.map == "-...oppp.......-", "what is used inside a reservation stays used"
    assert (drawn.reserved28, drawn.usable28) == (3, 10 + 3)
    assert (drawn.free_addresses, drawn.free_reserved_addresses) == (251 - 64, 63)


def test_a_reservation_of_a_part_spoils_its_block() -> None:
    drawn = subnet_map(
        SUBNET, reservations=[Block.parse("10.0.0.40/30"), Reservation(Block.parse("10.0.0.48/29"), "prefix")]
    )
    assert drawn.map == "-.rp...........-"
    assert (drawn.reserved28, drawn.usable28) == (2, 12)


def test_a_prefix_reservation_over_the_edge_gives_no_prefix_there() -> None:
    drawn = subnet_map(SUBNET, reservations=[Reservation(Block.parse("10.0.0.0/27"), "prefix")])
    assert drawn.map == "pp.............-"
    assert drawn.usable28 == 1 + 13
    assert drawn.free_reserved_addresses == 28, "AWS keeps four of the 32"


def test_what_lies_outside_is_left_out_and_counted() -> None:
    drawn = subnet_map(
        SUBNET,
        used_addresses=[SUBNET.last + 1, 0],
        used_blocks=parse_blocks(["10.0.1.0/28"]),
        reservations=parse_blocks(["10.0.2.0/24"]),
    )
    assert drawn.outside == 4
    assert drawn.map == subnet_map(SUBNET).map


def test_a_used_block_larger_than_the_subnet_uses_all_of_it() -> None:
    drawn = subnet_map(SUBNET, used_blocks=parse_blocks(["10.0.0.0/8"]))
    assert (drawn.map, drawn.free_addresses, drawn.outside) == ("#" * 16, 0, 0)


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "10.0.0.0/15", "10.0.0.0/29", "10.0.0.0/32"])
def test_a_block_that_cannot_be_a_subnet_is_refused(cidr: str) -> None:
    with pytest.raises(ProblemsError, match="cannot be an AWS subnet"):
        subnet_map(Block.parse(cidr))


@given(
    st.lists(st.integers(SUBNET.first - 20, SUBNET.last + 20), max_size=60),
    st.lists(blocks_around(), max_size=4),
    RESERVATIONS,
)
def test_the_counts_add_up(used: list[int], blocks: list[Block], reservations: list[Reservation | Block]) -> None:
    drawn = subnet_map(SUBNET, used_addresses=used, used_blocks=blocks, reservations=reservations)
    assert len(drawn.map) == 16
    assert drawn.free28 + drawn.partial28 + drawn.used28 + drawn.reserved28 == 16
    assert drawn.usable28 <= 14
    counts = {state: drawn.map.count(state.value) for state in State}
    assert sum(counts.values()) == 16, "every character has a meaning"
    assert drawn.free28 == counts[State.FREE] + counts[State.EDGE]
    taken = {*used, *(address for block in blocks for address in range(block.first, block.last + 1))}
    left = sum(address not in taken for address in range(SUBNET.first + 4, SUBNET.last))
    assert drawn.free_addresses + drawn.free_reserved_addresses == left
    assert left <= usable_addresses(SUBNET)


@given(st.lists(st.integers(SUBNET.first, SUBNET.last), max_size=60))
def test_using_one_more_address_never_frees_anything(used: list[int]) -> None:
    before, after = subnet_map(SUBNET, used_addresses=used[1:]), subnet_map(SUBNET, used_addresses=used)
    assert after.free_addresses <= before.free_addresses
    assert after.usable28 <= before.usable28
    assert after.free28 <= before.free28
