"""Instance types as EC2 describes them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from headroom.capacity.limits import (
    InstanceLimits,
    instance_limits,
    instance_types,
    limits_of_description,
    table_of_limits,
)
from headroom.collect import instance_types as reader

NEW_TYPE: Mapping[str, Any] = {
    "InstanceType": "x99.huge",
    "Hypervisor": "nitro",
    "BareMetal": False,
    "VCpuInfo": {"DefaultVCpus": 448},
    "NetworkInfo": {
        "MaximumNetworkInterfaces": 64,
        "DefaultNetworkCardIndex": 1,
        "Ipv4AddressesPerInterface": 50,
        "NetworkCards": [
            {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 24},
            {"NetworkCardIndex": 1, "MaximumNetworkInterfaces": 15},
        ],
    },
}
M5_LARGE: Mapping[str, Any] = {
    "InstanceType": "m5.large",
    "Hypervisor": "nitro",
    "VCpuInfo": {},
    "NetworkInfo": {"MaximumNetworkInterfaces": 3, "Ipv4AddressesPerInterface": 10},
}


class Client:
    """Answers DescribeInstanceTypes in two pages."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, name: str) -> "Client":
        assert name == "describe_instance_types"
        return self

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(arguments)
        yield {"InstanceTypes": [NEW_TYPE]}
        yield {"InstanceTypes": [M5_LARGE]}


def test_only_the_default_network_card_counts() -> None:
    assert limits_of_description(NEW_TYPE) == InstanceLimits(
        instance_type="x99.huge", enis=15, ipv4_per_eni=50, network_cards=2, hypervisor="nitro", vcpus=448
    )


def test_a_type_without_cards_or_vcpus_is_read_too() -> None:
    assert limits_of_description(M5_LARGE) == InstanceLimits(
        instance_type="m5.large", enis=3, ipv4_per_eni=10, hypervisor="nitro", vcpus=None
    )


def test_named_types_are_asked_for_by_a_filter_so_that_an_unknown_one_spoils_no_other() -> None:
    client = Client()
    found = reader.read_limits(cast("Any", client), ["x99.huge"])
    assert found["x99.huge"].enis == 15
    assert client.asked == [{"Filters": [{"Name": "instance-type", "Values": ["x99.huge"]}]}]


def test_a_description_without_sense_is_left_out_alone() -> None:
    class Broken(Client):
        def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
            del arguments
            yield {"InstanceTypes": [{"InstanceType": "y1.odd", "NetworkInfo": {}}, NEW_TYPE]}

    assert reader.read_limits(cast("Any", Broken()), ["x99.huge", "y1.odd"]).keys() == {"x99.huge"}


def test_the_table_is_written_as_it_is_kept() -> None:
    every = [instance_limits(name) for name in instance_types()]
    assert table_of_limits(reversed(every)) == reader.TABLE.read_text(encoding="utf-8")


def test_a_refresh_adds_what_is_new_and_keeps_what_ec2_does_not_say(tmp_path: Path) -> None:
    table = tmp_path / "limits.csv"
    assert reader.refresh(cast("Any", Client()), table) == (1, 0)
    before = reader.TABLE.read_text(encoding="utf-8").splitlines()
    after = table.read_text(encoding="utf-8").splitlines()
    assert [line for line in after if line not in before] == ["x99.huge,15,50,2,nitro,false,448"]
    assert [line for line in before if line not in after] == [], "m5.large keeps its vCPUs"
