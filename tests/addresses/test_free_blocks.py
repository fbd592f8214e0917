import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import Block, parse_blocks
from headroom.addresses.free import (
    LISTED_BLOCKS,
    best_fit,
    first_fit,
    free_addresses,
    free_blocks,
    free_ranges,
    free_starts,
    largest_free,
    outermost,
)
from headroom.addresses.problems import ProblemsError

BASE = Block.parse("10.0.0.0/22").first


def block_within(draw: st.DrawFn, shortest: int) -> Block:
    length = draw(st.integers(shortest, 32))
    return Block.containing(BASE + draw(st.integers(0, 2047)), length)


@st.composite
def blocks(draw: st.DrawFn, shortest: int = 22) -> Block:
    return block_within(draw, shortest)


WITHIN = st.lists(blocks(shortest=23), min_size=1, max_size=4)
USED = st.lists(blocks(shortest=21), max_size=12)


def addresses(several: list[Block]) -> set[int]:
    return {address for block in several for address in range(block.first, block.last + 1)}


def texts(several: list[Block]) -> list[str]:
    return [str(block) for block in several]


@given(WITHIN, USED, st.integers(21, 32))
def test_free_blocks_of_a_length_are_exactly_those_that_a_search_finds(
    within: list[Block], used: list[Block], prefix_length: int
) -> None:
    taken = addresses(used)
    expected = sorted(
        {
            part
            for block in within
            for part in block.subblocks(prefix_length)
            if taken.isdisjoint(range(part.first, part.last + 1))
        }
    )
    assert free_blocks(within, used, prefix_length) == expected
    assert first_fit(within, used, prefix_length) == next(iter(expected), None)
    for count in (0, 1, 3):
        assert free_blocks(within, used, prefix_length, count) == expected[:count]


@given(WITHIN, USED)
def test_the_free_space_and_the_used_space_are_the_whole(within: list[Block], used: list[Block]) -> None:
    free = free_blocks(within, used)
    whole, taken = addresses(within), addresses(used)
    assert addresses(free) == whole - taken, "complete, inside, and clear of everything used"
    assert sum(block.size for block in free) == len(whole - taken), "no free block overlaps another"
    assert free == sorted(free), "lowest first"
    assert free_addresses(within, used) == len(whole - taken)


@given(WITHIN, USED)
def test_maximal_blocks_cannot_be_merged_inside_one_cidr(within: list[Block], used: list[Block]) -> None:
    free = set(free_blocks(within, used))
    for block in free:
        parent = Block.containing(block.first, block.prefix_length - 1)
        inside_one = any(cidr.contains(parent) for cidr in within)
        assert not (inside_one and set(parent.subblocks(block.prefix_length)) <= free), f"{parent} is free as a whole"


@given(WITHIN, USED)
def test_free_ranges_ascend_and_do_not_touch_used_addresses(within: list[Block], used: list[Block]) -> None:
    ranges = free_ranges(within, used)
    taken = addresses(used)
    assert all(first <= last for first, last in ranges)
    assert ranges == sorted(ranges)
    assert all(taken.isdisjoint(range(first, last + 1)) for first, last in ranges)


@given(WITHIN, USED, st.integers(22, 32))
def test_best_fit_takes_the_smallest_hole_that_holds_the_block(
    within: list[Block], used: list[Block], prefix_length: int
) -> None:
    holes = [hole for hole in free_blocks(within, used) if hole.prefix_length <= prefix_length]
    found = best_fit(within, used, prefix_length)
    if found is None:
        assert holes == []
        return
    smallest = max(hole.prefix_length for hole in holes)
    assert found.prefix_length == prefix_length
    assert found.first == min(hole.first for hole in holes if hole.prefix_length == smallest)


@given(st.lists(st.integers(22, 28), min_size=1, max_size=12))
def test_best_fit_never_fails_while_there_is_room(lengths: list[int]) -> None:
    whole = Block.parse("10.0.0.0/22")
    taken: list[Block] = []
    for length in lengths:
        found = best_fit([whole], taken, length)
        room = whole.size - sum(block.size for block in taken)
        if Block(0, length).size <= room:
            assert found is not None, f"/{length} found no room among {room} free addresses"
            taken.append(found)
        else:
            assert found is None


@given(WITHIN, USED)
def test_the_largest_free_block_is_the_lowest_of_the_largest(within: list[Block], used: list[Block]) -> None:
    free = free_blocks(within, used)
    found = largest_free(within, used)
    if found is None:
        assert free == []
    else:
        assert found == min(block for block in free if block.size == max(each.size for each in free))


@given(USED)
def test_maximal_blocks_agree_with_the_standard_library(used: list[Block]) -> None:
    whole = Block.parse("10.0.0.0/22")
    free = [ipaddress.IPv4Network(str(whole))]
    for block in used:
        taken = ipaddress.IPv4Network(str(block))
        free = [
            rest
            for network in free
            if not network.subnet_of(taken)
            for rest in (network.address_exclude(taken) if taken.subnet_of(network) else [network])
        ]
    assert texts(free_blocks([whole], used)) == [str(network) for network in ipaddress.collapse_addresses(free)]


@given(st.lists(st.integers(BASE, BASE + 1023), max_size=40), st.integers(22, 32))
def test_the_integer_path_finds_the_same_blocks(used: list[int], prefix_length: int) -> None:
    whole = Block.parse("10.0.0.0/22")
    as_addresses = free_starts([(whole.first, whole.last)], prefix_length, used_addresses=used)
    as_ranges = free_starts([(whole.first, whole.last)], prefix_length, used_ranges=[(each, each) for each in used])
    expected = [block.first for block in free_blocks([whole], [Block(each, 32) for each in used], prefix_length)]
    assert list(as_addresses) == expected
    assert list(as_ranges) == expected


def test_the_integer_path_takes_ranges_that_are_not_aligned() -> None:
    # 10 to 50 holds two whole blocks of 16: 16 and 32, and 48 is cut off.
    assert list(free_starts([(10, 50)], 28)) == [16, 32]
    assert list(free_starts([(10, 14), (16, 30), (33, 63)], 28)) == [48]
    assert list(free_starts([(0, 63)], 28, used_addresses=[17], used_ranges=[(40, 47)])) == [0, 48]


def test_nothing_used_leaves_the_whole() -> None:
    within = parse_blocks(["10.1.0.0/16", "10.0.0.0/16"])
    assert texts(free_blocks(within, [])) == ["10.0.0.0/16", "10.1.0.0/16"], "neighbours stay two CIDRs of a VPC"
    assert free_blocks(within, [], 15) == []
    assert texts(free_blocks(within, [], 17, 3)) == ["10.0.0.0/17", "10.0.128.0/17", "10.1.0.0/17"]


def test_a_cidr_inside_another_one_adds_nothing() -> None:
    within = parse_blocks(["10.0.0.0/24", "10.0.0.0/16", "10.0.0.0/16", "10.0.255.0/24"])
    assert texts(outermost(within)) == ["10.0.0.0/16"]
    assert free_addresses(within, []) == 65536


def test_what_is_used_outside_or_twice_or_around_is_answered() -> None:
    within = parse_blocks(["10.0.0.0/24"])
    assert texts(free_blocks(within, parse_blocks(["10.9.0.0/16", "0.0.0.0/32", "255.255.255.255/32"]))) == [
        "10.0.0.0/24"
    ]
    assert texts(free_blocks(within, parse_blocks(["10.0.0.0/25", "10.0.0.64/26", "10.0.0.0/25"]))) == ["10.0.0.128/25"]
    assert free_blocks(within, parse_blocks(["10.0.0.0/8"])) == []
    assert largest_free(within, parse_blocks(["0.0.0.0/0"])) is None
    assert free_blocks([], parse_blocks(["10.0.0.0/8"])) == []
    assert first_fit([], [], 28) is None
    assert best_fit([], [], 28) is None


def test_the_ends_of_the_address_space_are_ordinary() -> None:
    everything = parse_blocks(["0.0.0.0/0"])
    ends = parse_blocks(["0.0.0.0/32", "255.255.255.255/32"])
    assert texts(free_blocks(everything, [])) == ["0.0.0.0/0"]
    free = free_blocks(everything, ends)
    assert len(free) == 62
    assert texts([free[0], free[-1]]) == ["0.0.0.1/32", "255.255.255.254/32"]
    assert texts(free_blocks(everything, ends, 32, 2)) == ["0.0.0.1/32", "0.0.0.2/32"]
    assert str(largest_free(everything, ends)) == "64.0.0.0/2"


def test_used_blocks_may_come_as_an_iterator() -> None:
    used = iter(parse_blocks(["10.0.0.0/25"]))
    assert texts(free_blocks(parse_blocks(["10.0.0.0/24"]), used, 26)) == ["10.0.0.128/26", "10.0.0.192/26"]


def test_a_list_too_long_to_be_meant_is_refused_with_what_to_do() -> None:
    with pytest.raises(ProblemsError, match="Give a count") as caught:
        free_blocks(parse_blocks(["0.0.0.0/0"]), [], 32)
    assert caught.value.problems[0].rule == "free-block-count"
    assert len(free_blocks(parse_blocks(["0.0.0.0/0"]), [], 32, 7)) == 7
    assert Block.parse("10.0.0.0/8").count_of(28) == LISTED_BLOCKS


def test_an_impossible_length_and_an_impossible_count_are_refused_together() -> None:
    with pytest.raises(ProblemsError) as caught:
        free_blocks(parse_blocks(["10.0.0.0/24"]), [], 33, -1)
    assert [problem.rule for problem in caught.value.problems] == ["prefix-length", "count"]
    for search in (first_fit, best_fit):
        with pytest.raises(ProblemsError, match="/-1 is not a prefix length"):
            search([], [], -1)
