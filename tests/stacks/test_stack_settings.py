from __future__ import annotations

import contextvars
import json
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.runtime.config import set_all_config

from headroom.addresses.problems import Problem, ProblemsError
from stacks.settings import SHOWN_CHARACTERS, ConfigReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def read(values: Mapping[str, object], use: Callable[[ConfigReader], T]) -> tuple[T, list[str]]:
    """What `use` reads from a configuration, and the problems, as the engine hands the values over."""

    def inside() -> tuple[T, list[str]]:
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        set_all_config({f"headroom:{key}": text for key, text in texts.items()})
        reader = ConfigReader()
        result = use(reader)
        return result, [problem.message for problem in reader.problems]

    return contextvars.copy_context().run(inside)


def test_values_are_read_with_their_types() -> None:
    values = {
        "vpcId": "vpc-1",
        "protect": False,
        "cidrQuota": 7,
        "cidrs": ["10.0.0.0/16"],
        "tags": {"team": "platform"},
    }
    assert read(values, lambda config: config.text("vpcId")) == ("vpc-1", [])
    assert read(values, lambda config: config.required_text("vpcId", "vpc-0")) == ("vpc-1", [])
    assert read(values, lambda config: config.boolean("protect", default=True)) == (False, [])
    assert read(values, lambda config: config.integer("cidrQuota", 5)) == (7, [])
    assert read(values, lambda config: config.texts("cidrs")) == (["10.0.0.0/16"], [])
    assert read(values, lambda config: config.mapping("tags")) == ({"team": "platform"}, [])


def test_what_is_not_set_has_its_default_and_is_no_problem() -> None:
    assert read({}, lambda config: config.text("vpcId")) == ("", [])
    assert read({}, lambda config: config.boolean("protect", default=True)) == (True, [])
    assert read({}, lambda config: config.integer("cidrQuota", 5)) == (5, [])
    assert read({}, lambda config: config.texts("cidrs")) == ([], [])
    assert read({}, lambda config: config.mapping("tags")) == ({}, [])


@pytest.mark.parametrize("values", [{}, {"vpcId": ""}])
def test_a_text_that_must_be_set_says_how_to_set_it(values: dict[str, str]) -> None:
    assert read(values, lambda config: config.required_text("vpcId", "vpc-0")) == (
        "",
        ["headroom:vpcId: nothing is set. Run `pulumi config set headroom:vpcId vpc-0`."],
    )


@pytest.mark.parametrize("value", [["vpc-1"], {"id": "vpc-1"}, [], {}])
def test_a_structure_where_a_text_belongs_is_one_problem(value: object) -> None:
    expected = [f"headroom:vpcId: {json.dumps(value)} is not a string."]
    assert read({"vpcId": value}, lambda config: config.text("vpcId")) == ("", expected)
    assert read({"vpcId": value}, lambda config: config.required_text("vpcId", "vpc-0")) == ("", expected)


@pytest.mark.parametrize("value", ["True", "yes", "1", "", 0, []])
def test_what_is_neither_true_nor_false_is_refused_and_leaves_the_default(value: object) -> None:
    result, problems = read({"protect": value}, lambda config: config.boolean("protect", default=True))
    assert result is True
    assert problems == [f"headroom:protect: {value or json.dumps(value)} is not true or false."]


@pytest.mark.parametrize("value", ["five", "5.0", "1e3", " 5", "5_000", "\u0665", "", True, [5], "9" * 10])
def test_what_is_no_whole_number_is_refused_and_leaves_the_default(value: object) -> None:
    result, problems = read({"cidrQuota": value}, lambda config: config.integer("cidrQuota", 5))
    assert result == 5
    assert len(problems) == 1
    assert problems[0].endswith(" is not a whole number.")


@pytest.mark.parametrize("value", ["10.0.0.0/16", {"a": "b"}, 5, True, ""])
def test_what_is_no_list_is_refused(value: object) -> None:
    result, problems = read({"cidrs": value}, lambda config: config.texts("cidrs"))
    assert result == []
    shown = value if isinstance(value, str) and value else json.dumps(value)
    assert problems == [f"headroom:cidrs: {shown} is not a list."]


@pytest.mark.parametrize("value", [[1], ["a", None], [["a"]], [{"a": "b"}], [True]])
def test_a_list_of_anything_but_strings_is_refused(value: object) -> None:
    assert read({"cidrs": value}, lambda config: config.texts("cidrs")) == (
        [],
        [f"headroom:cidrs: {json.dumps(value)} is not a list of strings."],
    )


@pytest.mark.parametrize("value", ["a: b", ["a"], 5, True, ""])
def test_what_is_no_mapping_is_refused(value: object) -> None:
    result, problems = read({"tags": value}, lambda config: config.mapping("tags"))
    assert result == {}
    assert len(problems) == 1
    assert problems[0].endswith(" is not a mapping.")


def test_values_of_a_mapping_that_are_no_strings_are_named_each_and_told_to_be_quoted() -> None:
    tags = {"a": 5, "b": True, "c": 1.5, "d": None, "e": ["x"], "f": "fine"}
    assert read({"tags": tags}, lambda config: config.text_mapping("tags", config.mapping("tags"))) == (
        {"f": "fine"},
        [
            'headroom:tags.a: 5 is not a string. Put it in quotes: "5".',
            'headroom:tags.b: true is not a string. Put it in quotes: "true".',
            'headroom:tags.c: 1.5 is not a string. Put it in quotes: "1.5".',
            "headroom:tags.d: null is not a string.",
            'headroom:tags.e: ["x"] is not a string.',
        ],
    )
    assert read({}, lambda config: config.text_mapping("tags.x", ["a"])) == (
        {},
        ['headroom:tags.x: ["a"] is not a mapping.'],
    )


def test_unknown_keys_of_a_nested_mapping_are_named_with_those_that_are_known() -> None:
    value = {"zone": "us-east-1a", "cidr": "10.0.0.0/24", "acl": "acl-1"}
    result, problems = read({}, lambda config: config.fields("podSubnets.us-east-1a", value, ("zone", "cidrBlock")))
    assert result == value
    assert problems == [
        "headroom:podSubnets.us-east-1a.cidr: cidr is not known here. Write one of zone, cidrBlock.",
        "headroom:podSubnets.us-east-1a.acl: acl is not known here. Write one of zone, cidrBlock.",
    ]
    assert read({}, lambda config: config.fields("podSubnets.x", None, ("zone", "cidrBlock"))) == (
        {},
        ["headroom:podSubnets.x: null is not a mapping of zone, cidrBlock."],
    )


@pytest.mark.parametrize(
    ("kind", "good", "bad", "said"),
    [
        (str, "x", 5, "5 is not a string."),
        (str, "x", None, "null is not a string."),
        (int, 5, True, "true is not a whole number."),
        (int, 5, "5", "5 is not a whole number."),
        (int, 5, 5.5, "5.5 is not a whole number."),
        (bool, True, 1, "1 is not true or false."),
        (bool, True, "true", "true is not true or false."),
    ],
)
def test_a_nested_value_has_its_type(kind: type[Any], good: Any, bad: Any, said: str) -> None:
    assert read({}, lambda config: config.field("rule", {"port": good}, "port", kind, kind())) == (good, [])
    assert read({}, lambda config: config.field("rule", {}, "port", kind, kind())) == (kind(), [])
    assert read({}, lambda config: config.field("rule", {"port": bad}, "port", kind, kind())) == (
        kind(),
        [f"headroom:rule.port: {said}"],
    )


def test_a_long_value_is_shown_shortened() -> None:
    _, problems = read({"tags": "x" * 500}, lambda config: config.mapping("tags"))
    assert problems == [f"headroom:tags: {'x' * SHOWN_CHARACTERS}… is not a mapping."]


def test_what_a_component_refuses_joins_the_other_problems() -> None:
    found = [Problem(rule="a", value="x", reason="is wrong."), Problem(rule="b", value="y", reason="too.")]

    def refuse() -> int:
        raise ProblemsError(found)

    def use(config: ConfigReader) -> tuple[int | None, int | None]:
        config.problem("vpcId", "nothing", "is set.")
        return config.attempt(refuse), config.attempt(lambda: 7)

    assert read({}, use) == ((None, 7), ["headroom:vpcId: nothing is set.", "x is wrong.", "y too."])


def test_all_problems_of_a_configuration_come_at_once() -> None:
    def use(config: ConfigReader) -> None:
        config.text("vpcId")
        config.boolean("protect", default=True)
        config.integer("cidrQuota", 5)
        config.texts("cidrs")
        config.mapping("tags")

    values = {"vpcId": [], "protect": "no", "cidrQuota": "all", "cidrs": {}, "tags": []}
    _, problems = read(values, use)
    assert [problem.partition(": ")[0] for problem in problems] == [f"headroom:{key}" for key in values]


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_no_text_makes_a_reader_fall_over(text: str) -> None:
    def use(config: ConfigReader) -> None:
        config.text("key")
        config.boolean("key", default=True)
        config.integer("key", 5)
        config.texts("key")
        config.mapping("key")

    _, problems = read({"key": text}, use)
    assert all(problem.startswith("headroom:key: ") for problem in problems)
