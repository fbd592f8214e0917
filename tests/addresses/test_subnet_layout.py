from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import Block, parse_blocks
from headroom.addresses.layout import layout, subnet_key, zone_of, zone_prefix_lengths
from headroom.addresses.problems import Problem, ProblemsError

WITHIN = parse_blocks(["100.64.0.0/16"])
ZONES = [f"us-east-1{letter}" for letter in "abcdef"]
ZONE_LENGTHS = st.dictionaries(st.sampled_from(ZONES), st.integers(19, 28), min_size=1)
USED = st.lists(
    st.builds(
        lambda offset, length: Block.containing(WITHIN[0].first + offset, length),
        st.integers(0, 65535),
        st.integers(20, 28),
    ),
    max_size=6,
)


def written(found: dict[str, Block]) -> dict[str, str]:
    return {key: str(block) for key, block in found.items()}


def problems_of(within: list[Block], zones: dict[str, int], **known: dict[str, Block]) -> list[Problem]:
    with pytest.raises(ProblemsError) as caught:
        layout(within, zones, allocated=known.get("allocated", {}))
    return list(caught.value.problems)


def test_three_zones_get_a_block_each() -> None:
    assert written(layout(WITHIN, dict.fromkeys(ZONES[:3], 18))) == {
        "us-east-1a": "100.64.0.0/18",
        "us-east-1b": "100.64.64.0/18",
        "us-east-1c": "100.64.128.0/18",
    }


def test_a_layout_once_published_stays_as_it_is() -> None:
    # Pinned: stack files hold such layouts, and a change of the rule would show here.
    zones = {"us-east-1a": 19, "us-east-1b": 18, "us-east-1c": 20, "us-east-1c_2": 20}
    assert written(layout(WITHIN, zones, used=parse_blocks(["100.64.0.0/24"]))) == {
        "us-east-1a": "100.64.32.0/19",
        "us-east-1b": "100.64.64.0/18",
        "us-east-1c": "100.64.16.0/20",
        "us-east-1c_2": "100.64.128.0/20",
    }


def test_a_zone_added_later_moves_nothing() -> None:
    before = layout(WITHIN, {"us-east-1b": 18, "us-east-1c": 20})
    after = layout(WITHIN, {"us-east-1a": 19, "us-east-1b": 18, "us-east-1c": 20}, allocated=before)
    assert {key: after[key] for key in before} == before
    assert list(after) == ["us-east-1a", "us-east-1b", "us-east-1c"]


@given(ZONE_LENGTHS, ZONE_LENGTHS, USED)
def test_layouts_are_stable_disjoint_and_clear_of_what_is_used(
    first: dict[str, int], added: dict[str, int], used: list[Block]
) -> None:
    try:
        before = layout(WITHIN, first, used=used)
    except ProblemsError:
        return
    zones = {**added, **first}
    try:
        after = layout(WITHIN, zones, allocated=before, used=used)
    except ProblemsError:
        return  # when that may be is the next test's
    assert after.keys() == zones.keys()
    assert {key: after[key] for key in before} == before, "a block moved"
    assert layout(WITHIN, zones, allocated=after, used=[*used, *after.values()]) == after, (
        "a second run changes nothing"
    )
    placed = sorted(after.values())
    assert all(WITHIN[0].contains(block) for block in placed)
    assert not any(one.overlaps(other) for one, other in pairwise(placed))
    assert not any(block.overlaps(other) for block in placed for other in used)
    assert all(after[key].prefix_length == zones[key] for key in zones)


@given(st.dictionaries(st.sampled_from(ZONES), st.integers(17, 20), min_size=1))
def test_a_layout_fails_only_where_the_sum_exceeds_the_space(zones: dict[str, int]) -> None:
    needed = sum(Block(0, length).size for length in zones.values())
    if needed <= WITHIN[0].size:
        assert layout(WITHIN, zones).keys() == zones.keys()
    else:
        assert all(problem.rule == "layout-full" for problem in problems_of(WITHIN, zones))


@given(ZONE_LENGTHS)
def test_the_order_in_which_zones_are_written_does_not_matter(zones: dict[str, int]) -> None:
    backwards = dict(reversed(zones.items()))
    assert layout(WITHIN, zones) == layout(WITHIN, backwards)
    assert list(layout(WITHIN, zones)) == list(layout(WITHIN, backwards)) == sorted(zones)


def test_a_zone_taken_out_keeps_its_block_from_others() -> None:
    before = layout(WITHIN, {"us-east-1a": 17, "us-east-1b": 17})
    (problem,) = problems_of(WITHIN, {"us-east-1b": 17, "us-east-1c": 17}, allocated=before)
    assert (problem.rule, problem.key) == ("layout-full", "us-east-1c")
    assert written(layout(WITHIN, {"us-east-1b": 17}, allocated=before)) == {"us-east-1b": "100.64.128.0/17"}


def test_what_does_not_fit_says_what_is_left_and_what_would_fit() -> None:
    (problem,) = problems_of(parse_blocks(["10.0.0.0/24"]), {"us-east-1a": 25, "us-east-1b": 26, "us-east-1c": 25})
    assert problem.key == "us-east-1c"
    assert problem.message == (
        "us-east-1c: /25 does not fit into 10.0.0.0/24: 64 addresses are left, and the largest free block is "
        "10.0.0.192/26. Write /26 (59 usable addresses) or longer, or add a CIDR."
    )


def test_a_full_cidr_asks_for_another_one() -> None:
    (problem,) = problems_of(parse_blocks(["10.0.0.0/24"]), {"us-east-1a": 24, "us-east-1b": 28})
    assert "0 addresses are left" in problem.reason
    assert problem.next_step == "Add a CIDR."


@pytest.mark.parametrize("prefix_length", [0, 15, 29, 32, -1])
def test_a_subnet_of_an_impossible_size_is_told_the_sizes(prefix_length: int) -> None:
    (problem,) = problems_of(WITHIN, {"us-east-1a": prefix_length})
    assert "a /16 to a /28" in problem.reason


def test_the_last_28_is_still_proposed_and_less_is_not() -> None:
    (problem,) = problems_of(parse_blocks(["10.0.0.0/27"]), {"us-east-1a": 28, "us-east-1b": 27})
    assert problem.next_step == "Write /28 (11 usable addresses) or longer, or add a CIDR."
    with pytest.raises(ProblemsError, match="8 addresses are left, none of them in a free block of a /28 or larger"):
        layout(parse_blocks(["10.0.0.0/28"]), {"us-east-1a": 28}, used=parse_blocks(["10.0.0.0/29"]))


def test_a_second_cidr_is_used_when_the_first_is_full() -> None:
    found = layout(parse_blocks(["100.64.0.0/16", "100.65.0.0/16"]), dict.fromkeys(ZONES[:3], 17))
    assert written(found)["us-east-1c"] == "100.65.0.0/17"


def test_every_problem_of_a_layout_is_told_at_once() -> None:
    found = problems_of(
        parse_blocks(["10.0.0.0/24"]),
        {"us-east-1a": 12, "Zone A": 26, "us-east-1b": 26, "us-east-1c": 23, "us-east-1d": 26, "us-east-1e": 27},
        allocated={
            "us-east-1b": Block.parse("10.0.0.0/25"),
            "us-east-1d": Block.parse("10.9.0.0/26"),
            "us-east-1e": Block.parse("10.0.0.32/27"),
        },
    )
    assert sorted((problem.key, problem.rule) for problem in found) == [
        ("", "zone-name"),
        ("us-east-1a", "subnet-size"),
        ("us-east-1b", "allocation-size"),
        ("us-east-1c", "layout-full"),
        ("us-east-1d", "allocation-outside"),
        ("us-east-1e", "allocation-overlap"),
    ]


def test_an_allocation_may_be_among_the_used_blocks_but_not_overlap_another() -> None:
    allocated = {"us-east-1a": Block.parse("100.64.0.0/18")}
    assert layout(WITHIN, {"us-east-1a": 18}, allocated=allocated, used=allocated.values()) == allocated
    with pytest.raises(ProblemsError, match=r"overlaps 100\.64\.1\.0/24, in use"):
        layout(WITHIN, {"us-east-1a": 18}, allocated=allocated, used=parse_blocks(["100.64.1.0/24"]))


def test_an_empty_question_is_answered() -> None:
    assert [problem.rule for problem in problems_of([], {})] == ["layout-cidrs", "layout-zones"]
    assert [problem.rule for problem in problems_of([], {"us-east-1a": 18})] == ["layout-cidrs"]


@pytest.mark.parametrize("key", ["", " ", "us-east-1a ", "us-east-1a_1", "us-east-1a_0", "us-east-1a_x", "a_\uff12"])
def test_a_name_that_is_no_zone_is_refused(key: str) -> None:
    assert [problem.rule for problem in problems_of(WITHIN, {key: 18})] == ["zone-name"]


def test_zones_with_several_subnets_and_sizes_of_their_own() -> None:
    zones = zone_prefix_lengths(
        ["us-east-1a", "us-east-1b"], 20, sizes={"us-east-1b": 19, "us-east-1b_2": 21}, subnets_per_zone=2
    )
    assert zones == {"us-east-1a": 20, "us-east-1a_2": 20, "us-east-1b": 19, "us-east-1b_2": 21}
    assert written(layout(WITHIN, zones)) == {
        "us-east-1a": "100.64.0.0/20",
        "us-east-1a_2": "100.64.16.0/20",
        "us-east-1b": "100.64.32.0/19",
        "us-east-1b_2": "100.64.64.0/21",
    }


def test_one_subnet_a_zone_is_what_is_usually_meant() -> None:
    assert zone_prefix_lengths(["us-east-1a", "us-east-1b"], 18) == {"us-east-1a": 18, "us-east-1b": 18}


def test_the_tenth_subnet_of_a_zone_comes_after_the_second() -> None:
    found = layout(WITHIN, zone_prefix_lengths(["us-east-1a"], 24, subnets_per_zone=11))
    assert list(found)[:2] == ["us-east-1a", "us-east-1a_2"]
    assert list(found)[-2:] == ["us-east-1a_10", "us-east-1a_11"]


def test_keys_name_their_zone() -> None:
    assert (subnet_key("us-east-1a"), subnet_key("us-east-1a", 2)) == ("us-east-1a", "us-east-1a_2")
    assert {zone_of("us-east-1a"), zone_of("us-east-1a_2")} == {"us-east-1a"}


def test_zones_twice_and_sizes_without_a_zone_are_refused_together() -> None:
    with pytest.raises(ProblemsError) as caught:
        zone_prefix_lengths(["us-east-1a", "us-east-1a"], 20, sizes={"us-east-1z": 20}, subnets_per_zone=0)
    assert [problem.rule for problem in caught.value.problems] == [
        "zone-twice",
        "subnets-per-zone",
        "size-without-zone",
    ]
