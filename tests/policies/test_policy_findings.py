from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.addresses.problems import Problem
from policies.findings import Finding, Undecided, known, read
from policies.resources import UNKNOWN, UNKNOWN_VALUES, Resource, Resources, plain

SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a mark of the wire format
SIGNATURE = "4dabf18193072939515e22adb298388d"


def test_a_property_that_is_known_is_handed_out_and_one_that_is_absent_is_none() -> None:
    properties = {"cidrBlock": "100.64.0.0/18", "zero": 0}
    assert known(properties, "cidrBlock") == "100.64.0.0/18"
    assert known(properties, "zero") == 0
    assert known(properties, "vpcId") is None


@pytest.mark.parametrize("unknown", sorted(UNKNOWN_VALUES))
def test_a_property_that_only_up_will_show_is_undecided_and_its_neighbours_are_not(unknown: str) -> None:
    properties = plain({"cidrBlock": unknown, "vpcId": "vpc-1"})
    assert known(properties, "cidrBlock") == Undecided("cidrBlock")
    assert known(properties, "vpcId") == "vpc-1"


def test_undecided_says_what_is_missing_and_why() -> None:
    assert str(Undecided("cidrBlock")) == "undecided: cidrBlock is not known before `up`."
    assert str(Undecided("tags", "is not a mapping.")) == "undecided: tags is not a mapping."


def test_a_finding_that_is_undecided_names_its_resource() -> None:
    resource = Resource(type="t", name="pods-a", urn="urn", properties={})
    assert Finding(resource, Undecided("tags")).message == "pods-a: undecided: tags is not known before `up`."
    problem = Problem(rule="r", value="10.0.0.0/24", reason="is small.")
    assert Finding(resource, problem).message == "10.0.0.0/24 is small."
    assert Finding(None, Undecided("tags")).message == "undecided: tags is not known before `up`."


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("a.b", int, 3),
        ("a.list.1", str, "y"),
        ("a.list.7", str, None),
        ("a.none.deeper", str, None),
        ("missing.b", str, None),
        ("a.unknown", str, Undecided("a.unknown")),
        ("a.unknown.deeper", str, Undecided("a.unknown.deeper")),
        ("a.b", str, Undecided("a.b", "is not text.")),
        ("a.flag", int, Undecided("a.flag", "is not a whole number.")),
        ("a.b.c", int, Undecided("a.b.c", "cannot be read: what it lies in is not a mapping.")),
    ],
)
def test_a_path_is_read_to_a_value_to_nothing_or_to_why_it_cannot_be_told(
    path: str, kind: type[Any], expected: object
) -> None:
    properties = {"a": {"b": 3, "list": ["x", "y"], "none": None, "unknown": UNKNOWN, "flag": True}}
    assert read(properties, path, kind) == expected


def test_secrets_are_read_where_they_are_plain_and_unknown_where_they_are_encrypted() -> None:
    wire = {
        "open": {SIGNATURE: SECRET, "value": "vpc-1"},
        "exported": {SIGNATURE: SECRET, "plaintext": json.dumps({"a": 1})},
        "closed": {SIGNATURE: SECRET, "ciphertext": "AAAA"},
        "broken": {SIGNATURE: SECRET, "plaintext": "{"},
        "number": 3.0,
        "fraction": 3.5,
    }
    assert plain(wire) == {
        "open": "vpc-1",
        "exported": {"a": 1},
        "closed": UNKNOWN,
        "broken": UNKNOWN,
        "number": 3,
        "fraction": 3.5,
    }


def test_resources_are_found_by_type_by_urn_by_id_and_by_what_their_values_come_from() -> None:
    subnet = Resource(type="subnet", name="s", urn="urn:s", properties={}, id="subnet-1")
    table = Resource(
        type="table", name="t", urn="urn:t", properties={"subnetId": UNKNOWN}, dependencies={"subnetId": ("urn:s", "x")}
    )
    resources = Resources([subnet, table])
    assert list(resources.of_type("table", "subnet")) == [table, subnet]
    assert resources.by_urn["urn:s"] is subnet
    assert resources.with_id("subnet", "subnet-1") is subnet
    assert resources.with_id("table", "subnet-1") is None
    assert resources.with_id("subnet", UNKNOWN) is None
    assert resources.sources(table, "subnetId", "subnet") == [subnet]
    assert resources.sources(table, "subnetId", "table") == []
    assert len(resources) == 2
    assert resources[1] is table
