from __future__ import annotations

import pytest
from pulumi_policy.proxy import UNKNOWN_OBJECT_VALUE, UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.findings import Undecided, known


def test_a_property_that_is_known_is_handed_out_and_one_that_is_absent_is_none() -> None:
    properties = unknown_checking_proxy({"cidrBlock": "100.64.0.0/18", "zero": 0})
    assert known(properties, "cidrBlock") == "100.64.0.0/18"
    assert known(properties, "zero") == 0
    assert known(properties, "vpcId") is None


@pytest.mark.parametrize("unknown", [UNKNOWN_STRING_VALUE, UNKNOWN_OBJECT_VALUE])
def test_a_property_that_only_up_will_show_is_undecided_and_its_neighbours_are_not(unknown: str) -> None:
    properties = unknown_checking_proxy({"cidrBlock": unknown, "vpcId": "vpc-1"})
    assert known(properties, "cidrBlock") == Undecided("cidrBlock")
    assert known(properties, "vpcId") == "vpc-1"


def test_undecided_says_what_is_missing_and_why() -> None:
    assert str(Undecided("cidrBlock")) == "undecided: cidrBlock is not known before `up`."
    assert str(Undecided("tags", "is not a mapping.")) == "undecided: tags is not a mapping."
