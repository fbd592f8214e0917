"""Front Door's arithmetic."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headroom.planning.front_door import DEFAULT_PRIORITY, DEFAULT_STEPS, DEFAULT_WEIGHT, PRIORITIES, WEIGHTS, shares


def test_a_weight_that_the_old_origin_keeps_leaves_it_a_third() -> None:
    """What a refused weight of 0 comes to: 50, the default, stays beside 100."""
    assert shares({"old": DEFAULT_WEIGHT, "new": 100}) == {"old": Fraction(1, 3), "new": Fraction(2, 3)}


@given(st.dictionaries(st.text(max_size=3), st.sampled_from(WEIGHTS), min_size=1, max_size=6))
def test_shares_come_to_all_of_the_traffic_and_keep_the_ratio_of_the_weights(weights: dict[str, int]) -> None:
    found = shares(weights)
    assert sum(found.values()) == 1
    assert all(found[a] * weights[b] == found[b] * weights[a] for a in weights for b in weights)


def test_defaults_are_within_what_is_allowed() -> None:
    assert DEFAULT_WEIGHT in WEIGHTS
    assert DEFAULT_PRIORITY in PRIORITIES
    assert 0 not in WEIGHTS
    assert (WEIGHTS[-1], PRIORITIES[-1]) == (1000, 5)
    assert sorted(DEFAULT_STEPS) == list(DEFAULT_STEPS)
    assert DEFAULT_STEPS[-1] == 100
