"""Reads YAML that somebody else wrote: a file may be wrong, but not large, deep or growing without end."""

from typing import Any, Final

import yaml

LARGEST: Final = 1 << 20
"""Characters of a text; a stack file of 300 subnets has less than a tenth of that."""
DEEPEST: Final = 64
"""Levels of nesting; a stack file has six. The C parser recurses without a limit of its own."""
MOST_VALUES: Final = 100_000
"""Values of a document with every alias written out."""


def load(text: str) -> tuple[yaml.Node | None, Any]:
    """The node of a document, with the lines of everything in it, and the document itself.

    Raises:
        yaml.YAMLError: It is no YAML, not of plain data, or beyond the limits above.
    """
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if len(text) > LARGEST:
        raise yaml.YAMLError(f"it has {len(text):,} characters, and {LARGEST:,} are read at most")
    _measure(text, loader)
    node = yaml.compose(text, Loader=loader)
    try:
        return node, yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, the C one where it was built
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        # What PyYAML's constructors let through for tags such as `!!timestamp x` and `!!bool x`.
        raise yaml.YAMLError("a value is not of the type that it looks like, or that its tag names") from None


def _measure(text: str, loader: Any) -> None:
    """Refuses what is too deep or, with its aliases written out, too large, before anything recurses into it."""
    sizes = [0]
    anchors: dict[str, int] = {}
    opened: list[str | None] = []
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            if len(sizes) > DEEPEST:
                raise yaml.YAMLError(f"it is nested more than {DEEPEST} levels deep{_line(event)}")
            sizes.append(1)
            opened.append(event.anchor)
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise yaml.YAMLError(f"*{event.anchor} names nothing before it, or what it is part of{_line(event)}")
            size, anchor = anchors[event.anchor], None
        elif isinstance(event, yaml.ScalarEvent):
            size, anchor = 1, event.anchor
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), opened.pop()
        else:
            continue
        if anchor is not None:
            anchors[anchor] = size
        sizes[-1] += size
        if sizes[-1] > MOST_VALUES:
            raise yaml.YAMLError(f"it has more than {MOST_VALUES:,} values with its aliases written out{_line(event)}")


def _line(event: yaml.Event) -> str:
    return f" (line {event.start_mark.line + 1})" if event.start_mark is not None else ""
