"""Snapshots made by hypothesis from the types themselves."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown

UNKNOWNS = st.builds(Unknown, st.sampled_from(Reason), st.text(max_size=8))
LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    NoneType: st.none(),
    Unknown: UNKNOWNS,
    str: st.text(max_size=8),
    int: st.integers(-(2**63), 2**63),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
}


def strategy(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type: known, absent and unknown ones where the type has them."""
    origin, members = get_origin(annotation), get_args(annotation)
    made: st.SearchStrategy[Any]
    if origin in (Union, UnionType):
        made = st.one_of([strategy(member) for member in members])
    elif origin is tuple:
        made = st.lists(strategy(members[0]), max_size=2).map(tuple)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        keys = st.text(max_size=6).filter(lambda key: key != "$unknown")  # no tag can be called so
        made = st.dictionaries(keys, strategy(members[1]), max_size=2)
    elif annotation in LEAVES:
        made = LEAVES[annotation]
    elif is_dataclass(annotation):
        hints, build = get_type_hints(annotation), cast("type[Any]", annotation)
        made = st.builds(build, **{entry.name: strategy(hints[entry.name]) for entry in fields(annotation)})
    else:
        assert issubclass(annotation, StrEnum)
        made = st.sampled_from(annotation)
    return made


SNAPSHOTS: st.SearchStrategy[Snapshot] = strategy(Snapshot)
