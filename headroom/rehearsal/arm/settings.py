"""What can be set about the simulated Azure: how long things take, how much it answers at once."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

TENANT: Final = "10000000-0000-0000-0000-000000000001"
"""The tenant of everything."""

SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000000"
"""The subscription that is there from the start."""

BEGAN: Final = datetime(2026, 3, 3, 21, 0, tzinfo=UTC)
"""Where simulated time starts unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the simulated Azure. Seconds are of simulated time, unless said otherwise.

    Attributes:
        start: Where simulated time starts, in seconds since the epoch.
        speed: How many times faster than the wall's clock it runs; `advance` jumps beside that.
        operation_seconds: How long a change of a network resource takes.
        cluster_seconds: How long a change of a cluster or a pool takes.
        propagation_seconds: How long a change of Front Door takes to reach its edges, each after the one before
            (azure-docs, front-door-faq: up to 45 minutes, later 20).
        role_seconds: How long a role assignment takes to count (AKS documentation, configure-kubenet: up to an hour).
        poll_milliseconds: Wall time that a client is asked to wait between two looks at an operation.
        page_size: Resources of a page of a list.
        graph_quota: Queries of Resource Graph in a window of `graph_seconds` (Azure Resource Graph documentation,
            guidance-for-throttled-requests: 15 in 5 s).
        graph_seconds: Wall seconds of that window.
        graph_page: Most rows of an answer of Resource Graph (Azure Resource Graph documentation, work-with-data).
        retry_seconds: Wall seconds after which a throttled client may come again.
        need_roles: Whether a cluster with an identity of its user's needs a role on its subnet, as it really does.
    """

    start: float = BEGAN.timestamp()
    speed: float = 1.0
    operation_seconds: float = 0.0
    cluster_seconds: float = 0.0
    propagation_seconds: float = 0.0
    role_seconds: float = 0.0
    poll_milliseconds: int = 20
    page_size: int = 100
    graph_quota: int = 15
    graph_seconds: float = 5.0
    graph_page: int = 1_000
    retry_seconds: float = 0.05
    need_roles: bool = True

    def changed(self, values: dict[str, Any]) -> "Settings":
        """The settings with some values replaced.

        Raises:
            ValueError: A name is not that of a setting, or a value of another type.
        """
        known = {item.name: item for item in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"{name} is not a setting; the settings are {', '.join(known)}")
            expected = type(getattr(self, name))
            if isinstance(value, bool) != (expected is bool) or not isinstance(value, int | float):
                raise ValueError(f"{name}: {value!r} is not of the type {expected.__name__}")
        return replace(self, **{name: type(getattr(self, name))(value) for name, value in values.items()})
