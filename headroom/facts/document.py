"""The snapshot as JSON and back: versioned, exact in both directions, checked while it is read.

The form follows the types. A field has the dataclass's name in camelCase; a known value is written as itself, an
absent one as ``null``, an unknown one as ``{"$unknown": reason, "detail": …}``; a field that has its default is left
out, so that what an older file lacks comes back as "not collected".

Values are held to the forms of `headroom.facts.forms`. In a file every one that is of another form is a problem of
the file's author; what a service answers is nobody's mistake, and ``sound`` makes it unknown.
"""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from math import isfinite
from operator import is_
from typing import Annotated, Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from headroom.addresses.problems import Problem, ProblemsError
from headroom.facts.forms import AMOUNT, COUNT, Form
from headroom.facts.snapshot import VERSION, Snapshot
from headroom.facts.values import Reason, Unknown

UNKNOWN_KEY = "$unknown"
"""What marks an unknown value; no field and no tag can be called so."""
MOST_PROBLEMS = 20
"""Problems of one file that are told; more of the same help nobody."""

K = TypeVar("K")
Json: TypeAlias = Any
_Encoder: TypeAlias = Callable[[Any], Json]
_Decoder: TypeAlias = Callable[[Json, str, list[Problem]], Any]
_Mender: TypeAlias = Callable[[Any], Any]


def to_json(snapshot: Snapshot) -> dict[str, Json]:
    """The snapshot as JSON values, its version with it."""
    return {"version": VERSION, **_encoder(Snapshot)(snapshot)}


def dump(snapshot: Snapshot) -> str:
    """The snapshot as JSON text: equal snapshots give equal bytes."""
    document = to_json(snapshot)
    text = json.dumps(document, ensure_ascii=False, indent=1)
    if not _is_encodable(text):  # half of a surrogate pair, from a log that was cut in the middle of a character
        text = json.dumps(document, indent=1)
    return text + "\n"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def load(text: str, *, subject: str = "snapshot") -> Snapshot:
    """Reads what ``dump`` wrote, by this version or an older one.

    Raises:
        ProblemsError: It is no JSON, no snapshot, or of a newer version; every wrong field is named.
    """
    try:
        document = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise ProblemsError([_problem("the text", f"is not JSON: {error}.", "", key="")], subject=subject) from None
    except RecursionError:
        raise ProblemsError([_problem("the text", "is nested too deeply.", "", key="")], subject=subject) from None
    return from_json(document, subject=subject)


def _no_number(name: str) -> Json:
    """JSON has no NaN and no infinity, whatever Python's reader takes."""
    message = f"{name} is no JSON number"
    raise ValueError(message)


def from_json(document: Json, *, subject: str = "snapshot") -> Snapshot:
    """Builds a snapshot from JSON values; see ``load``."""
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProblemsError(
            [_problem("the document", "is no snapshot: it has no version.", "Write one with `headroom collect`.", "")],
            subject=subject,
        )
    if version > VERSION:
        raise ProblemsError(
            [
                _problem(
                    f"version {version}", f"is newer than this Headroom, which reads up to {VERSION}.", "Update it.", ""
                )
            ],
            subject=subject,
        )
    body = {key: value for key, value in document.items() if key != "version"}
    return decode(Snapshot, body, subject=subject)


def schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of a snapshot."""
    definitions: dict[str, Json] = {}
    body = _schema_of(Snapshot, definitions)
    definitions["Unknown"] = {
        "type": "object",
        "description": "A value that could not be read, and why.",
        "properties": {UNKNOWN_KEY: {"enum": [reason.value for reason in Reason]}, "detail": {"type": "string"}},
        "required": [UNKNOWN_KEY],
        "additionalProperties": False,
    }
    root = definitions[body["$ref"].rpartition("/")[2]]
    root["properties"] = {"version": {"type": "integer", "minimum": 1, "maximum": VERSION}, **root["properties"]}
    root["required"] = ["version", *root.get("required", [])]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headroom snapshot",
        "$ref": body["$ref"],
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as it is kept in `snapshot.schema.json`, beside this module."""
    return json.dumps(schema(), indent=1) + "\n"


def encode(value: Any) -> dict[str, Json]:
    """Any frozen dataclass of these rooms as JSON values, by the same rules as a snapshot."""
    encoded: dict[str, Json] = _encoder(type(value))(value)  # type: ignore[arg-type] # a type is hashable
    return encoded


def decode(kind: type[K], document: Json, *, subject: str) -> K:
    """Reads what ``encode`` wrote of such a type.

    Raises:
        ProblemsError: Every wrong field, named.
    """
    problems: list[Problem] = []
    value = _decoder(kind)(document, "", problems)  # type: ignore[arg-type] # a type is hashable
    if problems:
        raise ProblemsError(problems[:MOST_PROBLEMS], subject=subject)
    assert isinstance(value, kind)  # noqa: S101 - tells the type checker what the decoder made
    return value


def sound(value: K) -> K:
    """A value that a reader made of a service's answers, with what is of another form than its type's made unknown.

    Where the wrong value itself cannot be unknown (an address in a list, a name), the nearest value around it that
    can be is: half of an answer would pass for all of it.

    Raises:
        ValueError: Nothing around a wrong value can be unknown (a mistake of the program).
    """
    mended: K = _mender(type(value))(value)  # type: ignore[arg-type] # a type is hashable
    return mended


def camel_case(name: str) -> str:
    """The JSON name of a field."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _problem(value: str, reason: str, next_step: str, key: str) -> Problem:
    return Problem(rule="snapshot-document", value=value, reason=reason, next_step=next_step, key=key)


# One encoder and one decoder a type, made once from the annotations.


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _parts(annotation: Any) -> tuple[Any, bool, bool]:
    """Of a field's annotation: the kind of its value, with its form, whether it may be absent, and whether unknown."""
    if get_origin(annotation) in (Union, types.UnionType):
        members = get_args(annotation)
        kinds = [member for member in members if member not in (type(None), Unknown)]
        if len(kinds) != 1:
            message = f"{annotation} is no kind of fact"
            raise TypeError(message)
        return kinds[0], type(None) in members, Unknown in members
    return annotation, False, False


def _form(kind: Any) -> tuple[Any, Form | None]:
    """The bare kind of a value, and the form that it must have."""
    if get_origin(kind) is Annotated:
        bare, *notes = get_args(kind)
        return bare, next(note for note in notes if isinstance(note, Form))
    return kind, COUNT if kind is int else AMOUNT if kind is float else None


def _default(entry: "Field[Any]") -> Any:
    if entry.default is not MISSING:
        return entry.default
    return entry.default_factory() if entry.default_factory is not MISSING else MISSING


@cache
def _encoder(annotation: Any) -> _Encoder:
    kind, _, _ = _parts(annotation)
    known = _known_encoder(kind)

    def encode(value: Any) -> Json:
        if value is None:
            return None
        if isinstance(value, Unknown):
            return {UNKNOWN_KEY: value.reason.value, **({"detail": value.detail} if value.detail else {})}
        return known(value)

    return encode


def _known_encoder(kind: Any) -> _Encoder:
    kind, _ = _form(kind)
    if is_dataclass(kind):
        members = [
            (entry.name, camel_case(entry.name), _default(entry), _encoder(_hints(kind)[entry.name]))  # type: ignore[arg-type] # a dataclass is a type here
            for entry in fields(kind)
        ]

        def encode_object(value: Any) -> Json:
            return {
                name: encode(getattr(value, attribute))
                for attribute, name, default, encode in members
                if default is MISSING or getattr(value, attribute) != default
            }

        return encode_object
    if get_origin(kind) is tuple:
        each = _encoder(get_args(kind)[0])
        return lambda value: [each(item) for item in value]
    if _is_mapping(kind):
        return lambda value: dict(sorted(value.items()))
    return lambda value: value.value if isinstance(value, StrEnum) else value


@cache
def _decoder(annotation: Any) -> _Decoder:
    kind, optional, may_be_unknown = _parts(annotation)
    known = _known_decoder(kind)
    bare, form = _form(kind)
    holds = form.holds if form is not None else None
    is_plain = bare in (str, int, bool)

    def decode(value: Json, key: str, problems: list[Problem]) -> Any:
        # Nearly every value of a large cluster ends here.
        if is_plain and type(value) is bare and (holds is None or holds(value)):
            return value
        if value is None:
            if not optional:
                problems.append(_problem("null", "stands where a value is due.", "Take the field out.", key))
            return None
        if may_be_unknown and isinstance(value, dict) and UNKNOWN_KEY in value:
            return _unknown(value, key, problems)
        before = len(problems)
        decoded = known(value, key, problems)
        if may_be_unknown and len(problems) > before and problems[-1].key == key and not problems[-1].next_step:
            problems[-1] = replace(problems[-1], next_step=_MEND)
        return decoded

    return decode


def _unknown(value: Mapping[str, Json], key: str, problems: list[Problem]) -> Unknown:
    reason, detail = value[UNKNOWN_KEY], value.get("detail", "")
    if reason not in list(Reason) or not isinstance(detail, str) or set(value) - {UNKNOWN_KEY, "detail"}:
        accepted = ", ".join(Reason)
        problems.append(_problem(repr(reason), "is no reason for an unknown value.", f"Known are {accepted}.", key))
        return Unknown()
    return Unknown(Reason(reason), detail)


def _known_decoder(kind: Any) -> _Decoder:
    kind, form = _form(kind)
    if is_dataclass(kind):
        return _object_decoder(kind)  # type: ignore[arg-type] # a dataclass is a type here
    if get_origin(kind) is tuple:
        return _list_decoder(_decoder(get_args(kind)[0]), form)
    if _is_mapping(kind):
        return _mapping_decoder(get_args(kind)[1])
    return _scalar_decoder(kind, form)


def _object_decoder(kind: type) -> _Decoder:
    members = {
        camel_case(entry.name): (entry.name, _default(entry), _decoder(_hints(kind)[entry.name]))
        for entry in fields(kind)
    }

    def decode(value: Json, key: str, problems: list[Problem]) -> Any:
        if not isinstance(value, dict):
            problems.append(_problem(_shown(value), "stands where an object is due.", "", key))
            return None
        arguments = {}
        if not value.keys() <= members.keys():
            problems.extend(
                _problem(name, f"is no field of {kind.__name__}.", "", _below(key, name))
                for name in value
                if name not in members
            )
        for name, (attribute, default, decode_member) in members.items():
            if name in value:
                arguments[attribute] = decode_member(value[name], f"{key}.{name}" if key else name, problems)
            elif default is MISSING:
                problems.append(_problem(name, "is missing.", "", key))
        return kind(**arguments) if not problems else None

    return decode


def _list_decoder(each: _Decoder, form: Form | None) -> _Decoder:
    def decode(value: Json, key: str, problems: list[Problem]) -> Any:
        if not isinstance(value, list):
            problems.append(_problem(_shown(value), "stands where a list is due.", "", key))
            return ()
        if form is not None and not form.holds(value):
            problems.append(_problem(_shown(value), f"stands where {form.due}.", "", key))
        return tuple(each(item, f"{key}[{index}]", problems) for index, item in enumerate(value))

    return decode


def _mapping_decoder(values: Any) -> _Decoder:
    each = _scalar_decoder(*_form(values))

    def decode(value: Json, key: str, problems: list[Problem]) -> Any:
        if not isinstance(value, dict):
            problems.append(_problem(_shown(value), "stands where an object is due.", "", key))
            return {}
        return {name: each(item, _below(key, name), problems) for name, item in value.items()}

    return decode


def _scalar_decoder(kind: Any, form: Form | None) -> _Decoder:
    known = {each.value: each for each in kind} if isinstance(kind, type) and issubclass(kind, StrEnum) else None

    def decode(value: Json, key: str, problems: list[Problem]) -> Any:
        if known is not None:
            if isinstance(value, str) and value in known:
                return known[value]
            problems.append(_problem(_shown(value), "is not one of them.", f"Known are {', '.join(kind)}.", key))
        elif not _is_of(kind, value):
            problems.append(_problem(_shown(value), f"stands where {_WORDS[kind]} is due.", "", key))
        elif type(value) is float and not isfinite(value):  # 1e999 is read as infinite
            problems.append(_problem(_shown(value), "stands where a finite number is due.", "", key))
        elif form is not None and not form.holds(value):
            problems.append(_problem(_shown(value), f"stands where {form.due}.", "", key))
        else:
            return value
        return None

    return decode


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value has the type, a whole number being a fraction too."""
    return type(value) is kind or (kind is float and type(value) is int)


# What a reader made, mended.


class _UnfitError(ValueError):
    """A value of another form than its type's, where it cannot be unknown."""


@cache
def _mender(annotation: Any) -> _Mender:
    kind, optional, may_be_unknown = _parts(annotation)
    known = _known_mender(kind)
    bare, form = _form(kind)
    holds = form.holds if form is not None else None
    is_plain = bare in _WORDS

    def mend(value: Any) -> Any:
        # Nearly every value of a large cluster ends here.
        if is_plain and type(value) is bare and (holds is None or holds(value)):
            return value
        if value is None and optional:
            return None
        if may_be_unknown:
            if type(value) is Unknown:
                return value
            try:
                return known(value)
            except _UnfitError as error:
                return Unknown(Reason.UNPARSEABLE, str(error))
        return known(value)

    return mend


def _known_mender(kind: Any) -> _Mender:
    kind, form = _form(kind)
    if is_dataclass(kind):
        return _object_mender(kind)  # type: ignore[arg-type] # a dataclass is a type here
    if get_origin(kind) is tuple:
        return _list_mender(_mender(get_args(kind)[0]), form)
    if _is_mapping(kind):
        return _mapping_mender(_known_mender(get_args(kind)[1]))
    return _scalar_mender(kind, form)


def _object_mender(kind: type) -> _Mender:
    members = [(entry.name, _mender(_hints(kind)[entry.name]), _default(entry)) for entry in fields(kind)]

    def mend(value: Any) -> Any:
        if type(value) is not kind:
            raise _unfit(value, f"a {kind.__name__} is due")
        changed = {}
        for name, mend_member, default in members:
            before = getattr(value, name)
            if before is default:
                continue
            try:
                after = mend_member(before)
            except _UnfitError as error:
                message = f"{camel_case(name)}: {error}"
                raise _UnfitError(message) from None
            if after is not before:
                changed[name] = after
        return replace(cast("Any", value), **changed) if changed else value

    return mend


def _list_mender(each: _Mender, form: Form | None) -> _Mender:
    def mend(value: Any) -> Any:
        if type(value) is not tuple or (form is not None and not form.holds(value)):
            raise _unfit(value, "a list is due" if form is None else form.due)
        mended = [each(item) for item in value]
        return value if all(map(is_, mended, value)) else tuple(mended)

    return mend


def _mapping_mender(each: _Mender) -> _Mender:
    def mend(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(type(name) is str for name in value):
            raise _unfit(value, "an object is due")
        for item in value.values():
            each(item)
        return value

    return mend


def _scalar_mender(kind: Any, form: Form | None) -> _Mender:
    def mend(value: Any) -> Any:
        if not _is_of(kind, value):
            raise _unfit(value, f"{_WORDS.get(kind, 'one of them')} is due")
        if form is not None and not form.holds(value):
            raise _unfit(value, form.due)
        return value

    return mend


def _unfit(value: Any, due: str) -> _UnfitError:
    return _UnfitError(f"{_shown(value)} stands where {due}")


_MEND = f'Mend it, or write {{"{UNKNOWN_KEY}": "{Reason.UNPARSEABLE}"}}.'
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits a line


def _schema_of(annotation: Any, definitions: dict[str, Json]) -> Json:
    kind, optional, may_be_unknown = _parts(annotation)
    kind, form = _form(kind)
    if is_dataclass(kind):
        body: Json = _object_schema(kind, definitions)  # type: ignore[arg-type] # a dataclass is a type here
    elif get_origin(kind) is tuple:
        body = {"type": "array", "items": _schema_of(get_args(kind)[0], definitions)}
    elif _is_mapping(kind):
        body = {"type": "object", "additionalProperties": _schema_of(get_args(kind)[1], definitions)}
        if may_be_unknown:
            body["propertyNames"] = {"not": {"const": UNKNOWN_KEY}}
    elif issubclass(kind, StrEnum):
        body = {"enum": [member.value for member in kind]}
    else:
        body = {"type": _TYPES[kind]}
    if form is not None:
        body |= {name: list(value) if isinstance(value, tuple) else value for name, value in form.schema}
    others = [*([{"type": "null"}] if optional else []), *([{"$ref": "#/$defs/Unknown"}] if may_be_unknown else [])]
    return {"anyOf": [*others, body]} if others else body


def _object_schema(kind: type, definitions: dict[str, Json]) -> Json:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # a type that contains itself finds its name taken
        entries = fields(kind)
        definitions[name] = {
            "type": "object",
            "description": (kind.__doc__ or "").partition("\n")[0],
            "properties": {camel_case(e.name): _schema_of(_hints(kind)[e.name], definitions) for e in entries},
            "required": [camel_case(e.name) for e in entries if _default(e) is MISSING],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}
