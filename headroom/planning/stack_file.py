"""The stack file that a plan writes: Pulumi's YAML with the reason beside each value."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# What YAML 1.1 and 1.2 both read as a text without quotes; whatever else is written as JSON writes it.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_:-]*[A-Za-z0-9]")
_NOT_TEXT = re.compile(r"(?:true|false|yes|no|on|off|null|y|n|~)", re.IGNORECASE)
_WIDTH = 116

Value = str | int | bool | Sequence[str | int] | Mapping[str, "Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key of the stack file.

    Attributes:
        key: With its namespace, such as headroom:vpcId.
        value: Its value.
        comment: Why; wrapped into the lines above it.
    """

    key: str
    value: Value
    comment: str = ""


def stack_file(title: str, entries: Iterable[Entry]) -> str:
    """The file's text; equal entries give equal bytes."""
    lines = [*_comment(title, ""), "config:"]
    for entry in entries:
        if entry.comment:
            lines.extend(["", *_comment(entry.comment, "  ")])
        lines.extend(_written(entry.key, entry.value, "  "))
    return "\n".join(lines) + "\n"


def scalar(value: str | int | bool) -> str:  # noqa: FBT001 - a value of the file, not a switch
    """A value as YAML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    """A double-quoted YAML text: what cannot be printed is escaped by its code."""
    return "".join(mark if mark.isprintable() else _escape(mark) for mark in json.dumps(value, ensure_ascii=False))


def _escape(mark: str) -> str:
    code = ord(mark)
    return f"\\U{code:08x}" if code >> 16 else f"\\u{code:04x}"


def _written(key: str, value: Value, indent: str) -> list[str]:
    head = f"{indent}{_key(key)}:"
    if isinstance(value, str | int):
        return [f"{head} {scalar(value)}"]
    if isinstance(value, Mapping):
        if not value:
            return [f"{head} {{}}"]
        return [head, *(line for name, below in value.items() for line in _written(name, below, indent + "  "))]
    return [f"{head} []"] if not value else [head, *(f"{indent}  - {scalar(item)}" for item in value)]


def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and not _NOT_TEXT.fullmatch(key)
    return key if plain else _quoted(key)


def _comment(text: str, indent: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        # A control character could end a comment: nothing but what can be seen gets in.
        for word in "".join(mark if mark.isprintable() else " " for mark in paragraph).split():
            if line and len(indent) + 2 + len(line) + 1 + len(word) > _WIDTH:
                lines.append(f"{indent}# {line}")
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(f"{indent}# {line}".rstrip())
    return lines
