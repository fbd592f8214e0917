"""Snapshots made by hypothesis from the types themselves."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from headroom.addresses.blocks import Block
from headroom.facts import forms
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown

UNKNOWNS = st.builds(Unknown, st.sampled_from(Reason), st.text(max_size=8))
LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    NoneType: st.none(),
    Unknown: UNKNOWNS,
    str: st.text(max_size=8),
    int: st.integers(0, forms.LARGEST_WHOLE),
    float: st.floats(0, forms.LARGEST_WHOLE),
    bool: st.booleans(),
}
ADDRESSES = st.ip_addresses(v=4).map(str)
BLOCKS = st.builds(Block.containing, st.integers(0, 2**32 - 1), st.integers(0, 32)).map(str)
TEXTS_OF_A_FORM: Mapping[Any, st.SearchStrategy[str]] = {
    forms.Time: st.datetimes(
        min_value=datetime(1000, 1, 3),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(8999, 12, 29),  # noqa: DTZ001 - the same
        timezones=st.timezones(),
    ).map(lambda when: when.astimezone(UTC).isoformat()),
    forms.Address: ADDRESSES,
    forms.AnyAddress: st.ip_addresses().map(str),
    forms.Cidr: BLOCKS,
    forms.AnyCidr: BLOCKS | st.just("2001:db8::/56"),
    forms.Destination: BLOCKS | st.just("pl-0123456789abcdef0"),
}


def of_a_form(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type that names a form."""
    if annotation in TEXTS_OF_A_FORM:
        return TEXTS_OF_A_FORM[annotation]
    bare, form = get_args(annotation)
    limits = dict(form.schema)
    if "enum" in limits:
        return st.sampled_from(limits["enum"])
    if "minItems" in limits:
        return st.lists(LEAVES[int], min_size=limits["minItems"], max_size=limits["maxItems"]).map(tuple)
    assert bare is int
    return st.integers(limits["minimum"], limits["maximum"])


def strategy(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type: known, absent and unknown ones where the type has them."""
    origin, members = get_origin(annotation), get_args(annotation)
    made: st.SearchStrategy[Any]
    if origin is Annotated:
        made = of_a_form(annotation)
    elif origin in (Union, UnionType):
        made = st.one_of([strategy(member) for member in members])
    elif origin is tuple:
        made = st.lists(strategy(members[0]), max_size=2).map(tuple)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        keys = st.text(max_size=6).filter(lambda key: key != "$unknown")  # no tag can be called so
        made = st.dictionaries(keys, strategy(members[1]), max_size=2)
    elif annotation in LEAVES:
        made = LEAVES[annotation]
    elif is_dataclass(annotation):
        hints, build = get_type_hints(annotation, include_extras=True), cast("type[Any]", annotation)
        made = st.builds(build, **{entry.name: strategy(hints[entry.name]) for entry in fields(annotation)})
    else:
        assert issubclass(annotation, StrEnum)
        made = st.sampled_from(annotation)
    return made


SNAPSHOTS: st.SearchStrategy[Snapshot] = strategy(Snapshot)
