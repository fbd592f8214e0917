"""Property values as they travel between the engine and a provider, and how two of them are compared."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime import rpc

Properties = dict[str, Any]
"""Resource properties as JSON values under their camelCase names; an unknown one is the string `UNKNOWN`."""

UNKNOWN: str = rpc.UNKNOWN
"""What stands on the wire for a value that a preview cannot know yet."""

_SIGNATURE = rpc._special_sig_key  # noqa: SLF001  # the wire format has no public names in the SDK
_SECRET = rpc._special_secret_sig  # noqa: SLF001  # the same
_OUTPUT = rpc._special_output_value_sig  # noqa: SLF001  # the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One property path that differs, in Pulumi's path syntax, such as `tags["kubernetes.io/role/cni"]`."""

    path: str
    added: bool = False
    removed: bool = False
    replace: bool = False

    @property
    def top(self) -> str:
        """The property in which the path starts."""
        return self.path.split(".", 1)[0].split("[", 1)[0]


def is_empty(value: Any) -> bool:
    """Whether a provider takes the value as not given: the zero value of its type."""
    return value is None or (not isinstance(value, str) and not value) or value == ""


def is_known(value: Any) -> bool:
    """Whether no part of the value is unknown."""
    if isinstance(value, dict):
        return all(is_known(item) for item in value.values())
    if isinstance(value, list):
        return all(is_known(item) for item in value)
    return bool(value != UNKNOWN)


def compare(path: str, old: Any, new: Any, *, replace: bool = False) -> list[Difference]:
    """The leaf paths in which two values differ; an empty value equals one that is not there."""
    if is_empty(old) and is_empty(new):
        return []
    if isinstance(new, dict) and (isinstance(old, dict) or is_empty(old)):
        before = old or {}
        return [
            difference
            for key in sorted(before.keys() | new.keys())
            for difference in compare(_below(path, key), before.get(key), new.get(key), replace=replace)
        ]
    if isinstance(new, list) and isinstance(old, list):
        return [
            difference
            for index in range(max(len(old), len(new)))
            for difference in compare(
                f"{path}[{index}]",
                old[index] if index < len(old) else None,
                new[index] if index < len(new) else None,
                replace=replace,
            )
        ]
    if old == new:
        return []
    return [Difference(path=path, added=is_empty(old), removed=is_empty(new), replace=replace)]


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{json.dumps(key)}]"


def plain(struct: struct_pb2.Struct) -> Properties:
    """A wire structure as JSON values: secrets and outputs unwrapped, whole numbers as int."""
    value = _unwrapped(json_format.MessageToDict(struct))
    return value if isinstance(value, dict) else {}


def _unwrapped(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get(_SIGNATURE) in (_SECRET, _OUTPUT):
        return _unwrapped(value.get("value", UNKNOWN))
    return {key: _unwrapped(item) for key, item in value.items() if item is not None}


def struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    """JSON values as a wire structure; what is None is left out."""
    result = struct_pb2.Struct()
    result.update(_without_none(value))
    return result


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def is_below(path: str, roots: Iterable[str]) -> bool:
    """Whether a property path is one of the roots or stands below one of them."""
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)


_QUOTED_KEY = re.compile(r'\["((?:[^"\\]|\\.)*)"\]')


def bridged(path: str) -> str:
    """A property path as the bridge of Terraform providers writes it, which is how it compares ignored ones.

    It puts a dot before a bracket, and brackets only around a key that needs them: `ignore_changes` of
    `tags["kubernetes.io/role/cni"]`, which the engine takes for the same, means nothing to it (pulumi-terraform-bridge
    3.121 to 3.135, pkg/tfbridge/diff.go, visitPropertyValue).
    """

    def written(found: re.Match[str]) -> str:
        key = json.loads(f'"{found[1]}"')
        quoted = key.replace('"', '\\"')
        return f'.["{quoted}"]' if any(sign in key for sign in '."[]') else f".{key}"

    return _QUOTED_KEY.sub(written, path)


def with_ignored(old: Properties, new: Properties, ignored: Iterable[str]) -> Properties:
    """`new`, with what an update has to leave alone as it was: whole properties, and single keys of mappings."""
    left = tuple(ignored)
    result = dict(new)
    for name in old.keys() | new.keys():
        if name in left:
            result[name] = old.get(name)
            continue
        before, after = old.get(name) or {}, new.get(name)
        if not isinstance(before, dict) or not isinstance(after, dict):
            continue
        kept = {key for key in before.keys() | after.keys() if bridged(_below(name, key)) in left}
        if kept:
            others = {key: value for key, value in after.items() if key not in kept}
            result[name] = {**others, **{key: before[key] for key in kept & before.keys()}}
    return {name: value for name, value in result.items() if value is not None}


def decoded(configuration: Properties) -> Properties:
    """A provider's configuration with its compound values, which travel as JSON text, decoded."""
    return {name: _decoded(value) for name, value in configuration.items()}


def _decoded(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[", "true", "false")):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
