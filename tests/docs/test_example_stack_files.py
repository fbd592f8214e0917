"""The example stack files of AKS: each key that a stack takes stands in its file, written or told of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from headroom.planning import egress, overlay_cluster, retirement, traffic

STACKS = Path(__file__).parents[2] / "stacks"
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "egress": (*egress.KEYS, *egress.GATEWAY_FIELDS, *egress.CLUSTER_FIELDS, *egress.ALARM_FIELDS),
    "overlay": (
        *overlay_cluster.KEYS,
        *overlay_cluster.CLUSTER_FIELDS,
        *overlay_cluster.POOL_FIELDS,
        *overlay_cluster.SUBNET_FIELDS,
    ),
    "traffic": (
        *traffic.KEYS,
        *traffic.FRONT_DOOR_FIELDS,
        *traffic.GROUP_FIELDS,
        *traffic.ORIGIN_FIELDS,
        *traffic.GATE_FIELDS,
    ),
    "retire": (*retirement.KEYS, *retirement.CLUSTER_FIELDS),
}


@pytest.mark.parametrize("name", FIELDS)
def test_an_example_tells_of_every_key_that_its_stack_takes(name: str) -> None:
    text = (STACKS / f"Pulumi.example-aks-{name}.yaml").read_text(encoding="utf-8")
    assert [field for field in FIELDS[name] if field not in text] == []


def test_what_the_traffic_example_calls_a_default_is_one() -> None:
    text = " ".join((STACKS / "Pulumi.example-aks-traffic.yaml").read_text(encoding="utf-8").replace("#", "").split())
    settings: Any = traffic.GateSettings(workspace_id="")
    for field, value in (
        ("propagationMinutes", settings.propagation_minutes),
        ("ingestionMinutes", settings.ingestion_minutes),
        ("baselineMinutes", settings.baseline_minutes),
        ("errorPoints", settings.error_points),
        ("latencyFactor", settings.latency_factor),
        ("throughputDrop", settings.throughput_drop),
        ("sharePoints", settings.share_points),
        ("mostBaselineErrorPoints", settings.most_baseline_error_points),
        ("mostLatencyMilliseconds", settings.most_latency_milliseconds),
    ):
        assert f" {field} {value:g}" in text, field
