"""How Azure Front Door splits traffic between the origins of a group."""

from collections.abc import Mapping
from fractions import Fraction
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


def shares(weights: Mapping[str, int]) -> dict[str, Fraction]:
    """Each origin's share of the traffic, for enabled origins of one priority whose weights are within `WEIGHTS`."""
    total = sum(weights.values())
    return {name: Fraction(weight, total) for name, weight in weights.items()}
