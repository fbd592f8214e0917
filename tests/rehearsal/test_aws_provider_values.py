"""How property values travel and how two of them are compared."""

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from hypothesis import given
from hypothesis import strategies as st

from headroom.rehearsal.providers.values import (
    UNKNOWN,
    bridged,
    compare,
    decoded,
    is_below,
    is_empty,
    is_known,
    plain,
    struct,
    with_ignored,
)

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # the wire's mark for secrets, no secret itself
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"


def wire(value: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(value, struct_pb2.Struct())


def paths(old: Any, new: Any) -> list[str]:
    return [difference.path for difference in compare("tags", old, new)]


def test_secrets_and_outputs_are_unwrapped_at_every_depth() -> None:
    value = wire(
        {
            "token": {SIGNATURE: SECRET, "value": "hush"},
            "list": [{SIGNATURE: SECRET, "value": {"a": {SIGNATURE: OUTPUT, "value": 3}}}],
            "later": {SIGNATURE: OUTPUT},
        }
    )

    assert plain(value) == {"token": "hush", "list": [{"a": 3}], "later": UNKNOWN}


def test_whole_numbers_are_integers_again_and_nothing_is_left_out_but_null() -> None:
    assert plain(wire({"port": 443, "share": 0.5, "none": None, "empty": "", "no": False})) == {
        "port": 443,
        "share": 0.5,
        "empty": "",
        "no": False,
    }
    assert isinstance(plain(wire({"port": 443}))["port"], int)


json_values = st.recursive(
    st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_values_survive_the_wire(value: dict[str, Any]) -> None:
    assert plain(struct(value)) == value


def without_empty(value: Any) -> Any:
    """What counts of a value: an empty one is as good as none."""
    if isinstance(value, dict):
        value = {key: without_empty(item) for key, item in value.items()}
        value = {key: item for key, item in value.items() if item is not None}
    if isinstance(value, list):
        value = [without_empty(item) for item in value]
        while value and value[-1] is None:
            value.pop()
    return None if is_empty(value) else value


@given(json_values, json_values)
def test_values_without_a_difference_are_alike_but_for_what_is_empty(old: Any, new: Any) -> None:
    assert compare("a", old, old) == []
    if not compare("a", old, new):
        assert without_empty(old) == without_empty(new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": "1"}, {"a": "2"}, ["tags.a"]),
        ({}, {"kubernetes.io/role/cni": "1"}, ['tags["kubernetes.io/role/cni"]']),
        ({"a": "1"}, None, ["tags"]),
        (None, {"a": "1"}, ["tags.a"]),
        (["a", "b"], ["a", "c", "d"], ["tags[1]", "tags[2]"]),
        (None, "", []),
        (False, None, []),
        ("x", UNKNOWN, ["tags"]),
    ],
)
def test_a_difference_is_named_by_its_path(old: Any, new: Any, expected: list[str]) -> None:
    assert paths(old, new) == expected


def test_added_and_removed_are_told_apart() -> None:
    (added,) = compare("tags", {}, {"a": "1"})
    (removed,) = compare("tags", {"a": "1"}, {"b": ""})

    assert (added.added, added.removed, added.top) == (True, False, "tags")
    assert (removed.added, removed.removed) == (False, True)


def test_a_path_lies_below_its_root_only() -> None:
    assert is_below('tags["a"]', ["tags"])
    assert is_below("tags.a", ["tags.a"])
    assert not is_below("tagsAll", ["tags"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tags", "tags"),
        ("tags.team", "tags.team"),
        ('tags["cost-centre"]', "tags.cost-centre"),
        ('tags["kubernetes.io/role/cni"]', 'tags.["kubernetes.io/role/cni"]'),
        ('tags["a\\"b"]', 'tags.["a\\"b"]'),
        ("routes[0].cidrBlock", "routes[0].cidrBlock"),
    ],
)
def test_the_bridge_writes_a_path_in_its_own_way(path: str, expected: str) -> None:
    assert bridged(path) == expected


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        ([], {"tags": {"a": "2", "c": "3"}, "flag": True}),
        (["tags.a"], {"tags": {"a": "1", "c": "3"}, "flag": True}),
        (["tags.c"], {"tags": {"a": "2"}, "flag": True}),
        (['tags.["b.d"]'], {"tags": {"a": "2", "b.d": "2", "c": "3"}, "flag": True}),
        (['tags["b.d"]'], {"tags": {"a": "2", "c": "3"}, "flag": True}),
        (["tags"], {"tags": {"a": "1", "b.d": "2"}, "flag": True}),
        (["flag"], {"tags": {"a": "2", "c": "3"}}),
    ],
)
def test_what_an_update_ignores_stays_as_it_was(ignored: list[str], expected: dict[str, Any]) -> None:
    old = {"tags": {"a": "1", "b.d": "2"}}
    assert with_ignored(old, {"tags": {"a": "2", "c": "3"}, "flag": True}, ignored) == expected


def test_unknown_is_seen_at_every_depth() -> None:
    assert is_known({"a": ["b", {"c": 1}]})
    assert not is_known({"a": ["b", {"c": UNKNOWN}]})


def test_configuration_is_decoded_where_it_is_json() -> None:
    assert decoded({"region": "us-east-1", "defaultTags": '{"tags":{"a":"b"}}', "skip": "true", "odd": "{x"}) == {
        "region": "us-east-1",
        "defaultTags": {"tags": {"a": "b"}},
        "skip": True,
        "odd": "{x",
    }
