"""The snapshot as JSON: exact in both directions, old files load, wrong ones are told field by field."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.addresses.problems import ProblemsError
from headroom.facts import document
from headroom.facts.aws import Aws, Interface, Subnet
from headroom.facts.document import MOST_PROBLEMS, dump, from_json, load, schema, schema_text, to_json
from headroom.facts.kubernetes import Kubernetes, Pod
from headroom.facts.snapshot import VERSION, Line, Origin, Snapshot
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown
from tests.facts.conftest import SNAPSHOTS

MEND = 'Mend it, or write {"$unknown": "unparseable"}.'
SCHEMA_FILE = Path(document.__file__).with_name("snapshot.schema.json")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SNAPSHOTS)
def test_what_is_written_comes_back_exactly_and_fits_the_schema(snapshot: Snapshot) -> None:
    text = dump(snapshot)
    assert load(text) == snapshot
    assert dump(load(text)) == text
    jsonschema.Draft202012Validator(schema()).validate(json.loads(text))


def test_the_schema_beside_the_code_is_that_of_the_types() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "write it anew: python -m headroom.facts > headroom/facts/snapshot.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(schema())


def test_known_absent_and_unknown_look_different() -> None:
    snapshot = Snapshot(
        cloud="aws",
        aws=Aws(addon=None, subnets=Unknown(Reason.DENIED, "ec2 DescribeSubnets"), interfaces=()),
        kubernetes=Unknown(Reason.UNREACHABLE),
    )
    assert to_json(snapshot) == {
        "version": 1,
        "cloud": "aws",
        "aws": {
            "subnets": {"$unknown": "denied", "detail": "ec2 DescribeSubnets"},
            "interfaces": [],
            "addon": None,
        },
        "kubernetes": {"$unknown": "unreachable"},
    }


def test_an_empty_snapshot_is_nothing_but_its_version() -> None:
    assert json.loads(dump(Snapshot())) == {"version": VERSION}
    assert load('{"version": 1}') == Snapshot()


def test_what_an_older_file_lacks_was_not_collected() -> None:
    older = {
        "version": 1,
        "aws": {"subnets": [{"subnetId": "subnet-1"}]},
        "kubernetes": {"pods": [{"namespace": "a", "name": "b"}]},
    }
    snapshot = from_json(older)
    assert isinstance(snapshot.aws, Aws)
    assert snapshot.aws.vpc == NOT_COLLECTED
    assert snapshot.aws.subnets == (Subnet(subnet_id="subnet-1"),)
    assert isinstance(snapshot.kubernetes, Kubernetes)
    assert snapshot.kubernetes.pods == (Pod(namespace="a", name="b"),)


def test_a_whole_number_stands_for_a_fraction_but_not_the_other_way() -> None:
    assert from_json({"version": 1, "sources": [{"name": "x", "seconds": 3}]}).sources[0].seconds == 3
    with pytest.raises(ProblemsError, match="a whole number"):
        from_json({"version": 1, "sources": [{"name": "x", "calls": 3.0}]})


def refusals(content: Any) -> list[str]:
    with pytest.raises(ProblemsError) as refused:
        load(content if isinstance(content, str) else json.dumps(content), subject="facts.json")
    return [problem.message for problem in refused.value.problems]


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[1, 2", '{"version": 1', "\x00", '{"version": 1}trailing'])
def test_what_is_no_json_is_refused(text: str) -> None:
    (message,) = refusals(text)
    assert message.startswith("the text is not JSON: ")


def test_json_without_end_is_refused() -> None:
    (message,) = refusals("[" * 100_000)
    assert message in ("the text is nested too deeply.", "the text is not JSON: too deep")


@pytest.mark.parametrize("content", [[], None, 5, '"x"', {}, {"version": "1"}, {"version": True}, {"version": 0}])
def test_json_that_is_no_snapshot_is_refused(content: Any) -> None:
    assert refusals(content) == ["the document is no snapshot: it has no version. Write one with `headroom collect`."]


def test_a_newer_version_is_refused() -> None:
    assert refusals({"version": VERSION + 1}) == [
        f"version {VERSION + 1} is newer than this Headroom, which reads up to {VERSION}. Update it."
    ]


def test_every_wrong_field_is_named_with_its_place() -> None:
    assert refusals(
        {
            "version": 1,
            "clowd": "aws",
            "aws": {
                "subnets": [{"zone": "us-east-1a", "availableAddresses": "7"}, 5],
                "autoMode": {"$unknown": "lost"},
            },
            "kubernetes": {"pods": {"a": 1}},
            "lines": [{"origin": "email", "text": "x"}],
        }
    ) == [
        "clowd: clowd is no field of Snapshot.",
        "aws.subnets[0]: subnetId is missing.",
        f'aws.subnets[0].availableAddresses: "7" stands where a whole number is due. {MEND}',
        "aws.subnets[1]: 5 stands where an object is due.",
        f"aws.autoMode: 'lost' is no reason for an unknown value. Known are {', '.join(Reason)}.",
        f'kubernetes.pods: {{"a": 1}} stands where a list is due. {MEND}',
        f'lines[0].origin: "email" is not one of them. Known are {", ".join(Origin)}.',
    ]


def test_of_a_thousand_wrong_fields_some_are_named() -> None:
    assert len(refusals({"version": 1, "lines": [5] * 1000})) == MOST_PROBLEMS


@pytest.mark.parametrize("more", [{"more": 1}, {"$unknown": None}, {"$unknown": []}, {"detail": 5}])
def test_an_unknown_value_of_another_form_is_refused(more: dict[str, Any]) -> None:
    (message,) = refusals({"version": 1, "cloud": {"$unknown": "denied", **more}})
    assert "is no reason for an unknown value" in message


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["cloud", "aws", "kubernetes", "pools", "lines", "stated", "sources"]), ANY_JSON)
def test_a_hostile_document_is_loaded_or_refused_and_nothing_else(field: str, value: Any) -> None:
    try:
        snapshot = load(json.dumps({"version": 1, field: value}))
    except ProblemsError:
        return
    assert from_json(to_json(snapshot)) == snapshot


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_a_number_that_json_does_not_have_is_refused(number: str) -> None:
    refusals(f'{{"version": 1, "sources": [{{"name": "x", "seconds": {number}}}]}}')


def test_half_a_character_survives_the_file() -> None:
    snapshot = Snapshot(lines=(Line(origin=Origin.OTHER, text="cut \ud83d"),))
    text = dump(snapshot)
    assert load(text.encode().decode()) == snapshot


def test_equal_snapshots_give_equal_bytes() -> None:
    one = Snapshot(aws=Aws(interfaces=(Interface(interface_id="eni-1", subnet_id="s", zone=None),)))
    other = Snapshot(aws=Aws(interfaces=(Interface(interface_id="eni-1", subnet_id="s", zone=None),)))
    assert dump(one) == dump(other)
    tags = Subnet(subnet_id="s", tags={"b": "2", "a": "1"}), Subnet(subnet_id="s", tags={"a": "1", "b": "2"})
    assert dump(Snapshot(aws=Aws(subnets=tags[:1]))) == dump(Snapshot(aws=Aws(subnets=tags[1:])))


def test_texts_of_every_alphabet_stay_readable() -> None:
    snapshot = Snapshot(lines=(Line(origin=Origin.OTHER, text='Größe "/28" \\ 子网 \u2028'),))
    text = dump(snapshot)
    assert "Größe" in text
    assert load(text) == snapshot
