"""The forms of values: what a file may say, that the schema says the same, and what becomes of a service's answer."""

import copy
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest

from headroom.addresses.problems import ProblemsError
from headroom.facts import forms
from headroom.facts.aws import Aws, CidrReservation, Interface, Subnet
from headroom.facts.document import camel_case, decode, dump, load, schema, sound
from headroom.facts.kubernetes import Kubernetes, Node, Pod, PriorityClass
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown

HOSTILE: tuple[Any, ...] = (
    -1,
    10**30,
    2**53,
    2**31,
    0,
    1,
    0.5,
    1e999,
    True,
    None,
    "",
    "x",
    "-1",
    [],
    {},
    [[]],
    [1],
    [1, 2],
    [1, 2, 3],
    "prefix",
    "Running",
    "10.0.0.1",
    "10.0.0.256",
    "010.0.0.1",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "2001:db8::1",
    "2001:db8::/56",
    "pl-0123456789abcdef0",
    "2026-03-03T20:46:00Z",
    "2026-03-03T20:46:00.123456+01:00",
    "2026-03-03 20:46:00",
    "2026-13-03T20:46:00Z",
    "1772570760",
    {"$unknown": "denied"},
    {"$unknown": "lost"},
)

# What a pattern cannot say, and the reader refuses all the same.
BEYOND_THE_SCHEMA: tuple[Any, ...] = (1e999,)


def kinds_of(annotation: Any) -> Iterator[Any]:
    """The dataclasses that an annotation leads to."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, tuple):
        for member in get_args(annotation):
            yield from kinds_of(member)
    elif is_dataclass(annotation) and annotation is not Unknown:
        yield annotation


def every_kind() -> list[Any]:
    found: list[Any] = [Snapshot]
    for kind in found:
        for hint in get_type_hints(kind, include_extras=True).values():
            found += [each for each in kinds_of(hint) if each not in found]
    return found


def example_of(bare: Any, form: forms.Form) -> Any:
    """A value of a form."""
    limits = dict(form.schema)
    if "enum" in limits:
        return limits["enum"][0]
    if bare is int:
        return limits["minimum"]
    return next(text for text in ("10.0.0.0/8", "10.0.0.1", "2026-03-03T20:46:00Z") if form.holds(text))


def example(annotation: Any) -> Any:
    """A value that fits, for a field that must be there."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return example_of(*get_args(annotation))
    if origin in (Union, UnionType):
        return example(get_args(annotation)[0])
    if origin is tuple:
        return []
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return next(iter(annotation)).value
    return {str: "a", int: 1, float: 1.0, bool: True}.get(annotation) or least_of(annotation)


def least_of(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        camel_case(each.name): example(hints[each.name])
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    }


def is_refused(kind: Any, document: Any) -> bool:
    try:
        decode(kind, document, subject="a file")
    except ProblemsError:
        return True
    return False


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: str(kind.__name__))
def test_the_reader_and_the_schema_refuse_the_same_values(kind: Any) -> None:
    validator = jsonschema.Draft202012Validator({**schema(), "$ref": f"#/$defs/{kind.__name__}"})
    least = least_of(kind)
    assert not is_refused(kind, copy.deepcopy(least))
    for name in [camel_case(each.name) for each in fields(kind)]:
        for value in HOSTILE:
            document = {**least, name: value}
            valid = validator.is_valid({"version": 1, **document} if kind is Snapshot else document)
            if value in BEYOND_THE_SCHEMA and not isinstance(value, bool):
                continue
            assert is_refused(kind, document) is not valid, f"{kind.__name__}.{name}: {value!r}"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("cidrBlock", "10.0.0.1/8", '"10.0.0.1/8" stands where an IPv4 block in CIDR notation is due'),
        ("availableAddresses", -5, "-5 stands where a whole number from 0 to 4,294,967,296 is due."),
        ("availableAddresses", 10**30, f"{10**30} stands where a whole number from 0 to 4,294,967,296 is due."),
    ],
)
def test_a_value_of_a_wrong_form_is_one_problem_with_its_place_and_what_to_write(
    field: str, value: Any, said: str
) -> None:
    with pytest.raises(ProblemsError) as refused:
        decode(Subnet, {"subnetId": "subnet-1", field: value}, subject="a file")
    (problem,) = refused.value.problems
    assert problem.key == field
    assert problem.message.startswith(f"{field}: {said}")
    assert problem.message.endswith('Mend it, or write {"$unknown": "unparseable"}.')


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "2026-03-03T24:00:00Z", "2026-03-03T20:46:00+24:30"])
def test_a_day_or_an_hour_that_there_is_not_is_no_time(text: str) -> None:
    assert is_refused(Node, {"name": "n", "createdAt": text})


@pytest.mark.parametrize("text", ["1::2::3", "::ffff:10.0.0.256", "fe80::1%eth0", "12345::"])
def test_what_only_looks_like_an_ipv6_address_is_none(text: str) -> None:
    assert is_refused(Pod, {"namespace": "a", "name": "b", "ip": text})


def test_priorities_may_be_negative_and_counts_may_not() -> None:
    assert decode(PriorityClass, {"name": "low", "value": -100}, subject="").value == -100
    assert is_refused(PriorityClass, {"name": "low", "value": -(2**31) - 1})
    assert is_refused(Node, {"name": "n", "maxPods": -1})


# What a service answered.


def test_what_is_sound_stays_the_very_same() -> None:
    snapshot = Snapshot(
        cloud="aws",
        aws=Aws(
            subnets=(Subnet(subnet_id="s", cidr_block="10.0.0.0/24", available_addresses=7),),
            interfaces=(Interface(interface_id="eni-1", subnet_id="s", addresses=("10.0.0.4",)),),
        ),
        kubernetes=Kubernetes(nodes=(Node(name="n", max_pods=29),), pods=Unknown(Reason.DENIED)),
    )
    assert sound(snapshot) is snapshot


def test_a_value_without_sense_is_unknown_and_the_rest_stays() -> None:
    nodes = (Node(name="n", max_pods=-1, created_at="yesterday", internal_ip="10.0.0.4"), Node(name="m", max_pods=5))
    found = sound(Snapshot(kubernetes=Kubernetes(nodes=nodes)))
    assert isinstance(found.kubernetes, Kubernetes)
    assert isinstance(found.kubernetes.nodes, tuple)
    wrong, right = found.kubernetes.nodes
    assert right is nodes[1]
    assert wrong.max_pods == Unknown(
        Reason.UNPARSEABLE, "-1 stands where a whole number from 0 to 2,147,483,647 is due"
    )
    assert isinstance(wrong.created_at, Unknown)
    assert wrong.internal_ip == "10.0.0.4"
    assert load(dump(found)) == found


def test_what_cannot_be_unknown_itself_makes_the_list_around_it_unknown() -> None:
    interfaces = (Interface(interface_id="eni-1", subnet_id="s", addresses=("10.0.0.4", "10.0.0.400")),)
    reservations = (CidrReservation(reservation_id="scr-1", subnet_id="s", cidr="10.0.0.1/28", reservation_type="x"),)
    subnet = Subnet(subnet_id="s", reservations=reservations)
    found = sound(Aws(interfaces=interfaces, subnets=(subnet,)))
    assert found.interfaces == Unknown(
        Reason.UNPARSEABLE, 'addresses: "10.0.0.400" stands where an IPv4 address is due, such as 10.0.1.15'
    )
    assert isinstance(found.subnets, tuple), "the subnet's own list of reservations is unknown, and nothing else"
    assert isinstance(found.subnets[0].reservations, Unknown)


def test_a_wrong_type_is_no_value_either() -> None:
    numbers: Any = "5"
    found = sound(Kubernetes(nodes=(Node(name="n", max_pods=numbers),), kube_proxy_ready=(1,)))
    assert isinstance(found.nodes, tuple)
    assert isinstance(found.nodes[0].max_pods, Unknown)
    assert isinstance(found.kube_proxy_ready, Unknown)


def test_nothing_around_it_can_be_unknown_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="value: 2147483650 stands where"):
        sound(PriorityClass(name="low", value=2**31 + 2))


def test_the_largest_whole_number_is_exact_for_every_reader_of_json() -> None:
    assert int(float(forms.LARGEST_WHOLE)) == forms.LARGEST_WHOLE
    assert float(forms.LARGEST_WHOLE + 1) == float(forms.LARGEST_WHOLE + 2)
