"""How Azure Front Door splits traffic between the origins of a group."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import Final

WEIGHTS: Final = range(1, 1001)
"""What an origin's weight may be; 0 is refused, and no traffic is `enabledState: Disabled` (Azure Front Door
documentation, routing-methods; azure-cli, afd origin update)."""

DEFAULT_WEIGHT: Final = 50
"""An origin's weight unless told otherwise (Azure Front Door documentation, routing-methods)."""

PRIORITIES: Final = range(1, 6)
"""What an origin's priority may be; traffic goes to the lowest that is healthy (Azure Front Door documentation,
routing-methods)."""

DEFAULT_PRIORITY: Final = 1
"""An origin's priority unless told otherwise: Front Door puts origins side by side (Azure Front Door documentation,
routing-methods)."""

LEAST_LATENCY_SENSITIVITY: Final = 500
"""Milliseconds by which a slower origin of a shift still gets its share. Weights count among the origins that answer
probes within the fastest one's latency and so much more; the default of 0 makes them do nothing (Azure Front Door
documentation, routing-methods). Half a second is our own choice: above the way between two regions, and above what a
cluster in need answers a probe in."""

DEFAULT_STEPS: Final = (10, 25, 50, 100)
"""Shares, in percent, that a shift gives the new cluster one after the other."""


WHOLE: Final = 100
"""Percent of all traffic."""


def shares(weights: Mapping[str, int]) -> dict[str, Fraction]:
    """Each origin's share of the traffic, for enabled origins of one priority whose weights are within `WEIGHTS`."""
    total = sum(weights.values())
    return {name: Fraction(weight, total) for name, weight in weights.items()}


def kept_weight(steps: Iterable[int]) -> int:
    """The weight that the old origin keeps while the new one's alone changes, one operation a step.

    The smallest one with which the shares come nearest to `steps` (percent; 0 and 100 take no weight: there one of
    the two is disabled). For 10, 25 and 50 it is 9: the new origin's weights are 1, 3 and 9.
    """
    return _kept(tuple(sorted({step for step in steps if 0 < step < WHOLE})))


def weight_of(step: int, kept: int) -> int:
    """The new origin's weight at a step (percent, above 0 and below 100) while the old one keeps `kept`."""
    # The nearest whole number, halves upwards.
    weight = (2 * kept * step + WHOLE - step) // (2 * (WHOLE - step))
    return min(max(weight, WEIGHTS[0]), WEIGHTS[-1])


@cache
def _kept(steps: tuple[int, ...]) -> int:
    return min(WEIGHTS, key=lambda kept: (_miss(kept, steps), kept))


def _miss(kept: int, steps: tuple[int, ...]) -> float:
    """By how many percent the worst of the steps misses its share; rounded, so that equal ones compare equal."""
    weights = [(step, weight_of(step, kept)) for step in steps]
    return max((round(abs(WHOLE * weight / (weight + kept) - step), 9) for step, weight in weights), default=0.0)
