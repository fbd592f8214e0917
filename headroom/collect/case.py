"""Case files: what a ticket or a chat holds of an incident, as YAML or JSON.

```yaml
lines:
  - {origin: ipamd_log, text: "Failed to CreateNetworkInterface InsufficientFreeAddressesInSubnet: …"}
known:
  cloud: aws
  subnetFreeAddresses: 0
  environment: {WARM_IP_TARGET: "2"}
```

Numbers may be words ("more than 500", "about 60", "none"). What a key of `known` does not mean to the diagnosis is
kept and shown to it as something that was said.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml

from headroom.addresses.blocks import Block
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.settings import SETTINGS
from headroom.facts.forms import LARGEST_INT32, LARGEST_WHOLE
from headroom.facts.snapshot import Line, Origin, Snapshot, Source, Stated
from headroom.facts.values import NOT_COLLECTED, Fact

SUBJECT: Final = "case file"
LARGEST_FILE: Final = 16 * 1024 * 1024
"""Bytes of a case file: what people paste is far smaller, and a log has its own option."""
CLOUDS: Final = ("aws", "azure", "none")
MOST_PROBLEMS: Final = 20

_TOP: Final = ("lines", "known", "cloud", "cluster", "collectedAt", "context", "id", "source")
_LINE: Final = ("origin", "text", "cut", "node", "count", "firstSeen", "lastSeen")

_COUNTS: Final = {
    "subnetFreeAddresses": "subnet_free_addresses",
    "subnetFreePrefixes": "subnet_free_prefixes",
    "podsOnNode": "pods_on_node",
    "interfacesOnNode": "interfaces_on_node",
    "maxPods": "max_pods",
    "nodes": "nodes",
    "pods": "pods",
    "maximumNodes": "maximum_nodes",
    "routes": "routes",
    "reservedAddresses": "reserved_addresses",
    "liveSandboxes": "live_sandboxes",
}
_WORDS: Final = {
    "cniVersion": "cni_version",
    "kubernetesVersion": "kubernetes_version",
    "instanceType": "instance_type",
    "networkPlugin": "network_plugin",
    "networkPluginMode": "network_plugin_mode",
    "outboundType": "outbound_type",
}
# What is also kept as it was said: a word of it may mean something.
_SAID_TOO: Final = frozenset({"networkPlugin", "networkPluginMode", "outboundType"})
# Other ways to write the same keys, without case and signs.
_ALIASES: Final = {
    "subnetfreeips": "subnetFreeAddresses",
    "freeaddresses": "subnetFreeAddresses",
    "availableipaddresscount": "subnetFreeAddresses",
    "subnetavailableaddresses": "subnetFreeAddresses",
    "subnetfreeblocks": "subnetFreePrefixes",
    "freeprefixes": "subnetFreePrefixes",
    "vpccniversion": "cniVersion",
    "k8sversion": "kubernetesVersion",
    "enisonnode": "interfacesOnNode",
    "env": "environment",
    "autoscalermaximum": "maximumNodes",
    "reservedfiles": "reservedAddresses",
    "hostlocalfiles": "reservedAddresses",
    "runningsandboxes": "liveSandboxes",
}
# Where zero can be said in a word.
_FREE: Final = frozenset({"subnetFreeAddresses", "subnetFreePrefixes"})


def read_case(path: Path) -> Snapshot:
    """Reads a case file.

    Raises:
        ProblemsError: It cannot be read, is no case file, or parts of it are wrong; all of them are named.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        raise _refused(str(path), f"cannot be read: {error.strerror or error}.", "Give the path of a file.") from None
    if size > LARGEST_FILE:
        raise _refused(
            str(path),
            f"has {size:,} bytes, and a case file at most {LARGEST_FILE:,}.",
            "Give logs by --log or --bundle.",
        )
    return parse_case(data.decode("utf-8-sig", "replace"), name=path.name)


def parse_case(text: str, *, name: str = "case") -> Snapshot:
    """Reads the text of a case file; see ``read_case``."""
    return case_of(_document(text, name), name=name)


def is_case(document: object) -> bool:
    """Whether a document looks like a case file."""
    return isinstance(document, dict) and isinstance(document.get("lines"), list) and "version" not in document


def case_of(document: object, *, name: str = "case") -> Snapshot:
    """The snapshot of a case file's document; see ``read_case``."""
    if not isinstance(document, Mapping):
        raise _refused(name, "is no case file.", "Write `lines:` and `known:`.")
    problems: list[Problem] = []
    if "lines" not in document and "known" not in document:
        problems.append(_problem("lines", "is missing.", "Write a list of {origin, text}; it may be empty.", key=""))
    for key in document:
        if key in _TOP:
            continue
        near = get_close_matches(str(key), _TOP, n=1, cutoff=0.7)
        if near:
            problems.append(_problem(repr(key), "is no key of a case file.", f"Is it `{near[0]}`?", key=""))
    lines = _lines(document.get("lines", []), problems)
    known = document.get("known", document.get("context"))
    said: dict[str, Any] = {}
    if known is None:
        known = {}
    if not isinstance(known, Mapping):
        problems.append(_problem(_shown(known), "stands where an object is due.", "Write `key: value`.", key="known"))
    else:
        said = {str(key): value for key, value in known.items()}
    cloud = _cloud(said.pop("cloud", document.get("cloud")), problems)
    cluster = said.pop("cluster", document.get("cluster"))
    stated = _stated(said, problems)
    if problems:
        raise ProblemsError(problems[:MOST_PROBLEMS], subject=f"{SUBJECT} {name}")
    return Snapshot(
        cloud=cloud,
        cluster=str(cluster) if cluster is not None else NOT_COLLECTED,
        lines=lines,
        stated=stated,
        sources=(Source(name=name, items=len(lines)),),
    )


def _document(text: str, name: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader that also refuses aliases
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where is not None else ""
        what = getattr(error, "problem", None) or type(error).__name__
        raise _refused(name, f"is neither JSON nor YAML{line}: {what}.", "Mend it, or write it as JSON.") from None


class _Loader(yaml.SafeLoader):
    """Loads plain data. Aliases are refused: nobody needs them here, and they can grow without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it out
            raise yaml.composer.ComposerError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)


# Texts stay texts: 1.30 is a version and no number, 2024-05-01 no date.
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _lines(value: object, problems: list[Problem]) -> tuple[Line, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.append(
            _problem(_shown(value), "stands where a list is due.", "Write {origin, text} items.", key="lines")
        )
        return ()
    found = []
    for index, item in enumerate(value):
        key = f"lines[{index}]"
        if isinstance(item, str):
            found.append(Line(origin=Origin.OTHER, text=item))
            continue
        if not isinstance(item, Mapping):
            problems.append(_problem(_shown(item), "is no line.", "Write {origin: …, text: …}.", key=key))
            continue
        line = _line(item, key, problems)
        if line is not None:
            found.append(line)
    return tuple(found)


def _line(item: Mapping[Any, Any], key: str, problems: list[Problem]) -> Line | None:
    before = len(problems)
    for name in item:
        if name not in _LINE:
            accepted = ", ".join(_LINE)
            problems.append(_problem(repr(name), "is no key of a line.", f"Known are {accepted}.", key=key))
    origin, text, count = item.get("origin", Origin.OTHER), item.get("text"), item.get("count", 1)
    if origin not in list(Origin):
        accepted = ", ".join(Origin)
        problems.append(_problem(_shown(origin), "is no origin.", f"Known are {accepted}.", key=f"{key}.origin"))
    if not isinstance(text, str):
        problems.append(_problem(_shown(text), "stands where a text is due.", "Quote it.", key=f"{key}.text"))
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= LARGEST_WHOLE:
        problems.append(_problem(_shown(count), "is no number of lines.", "Write 1 or more.", key=f"{key}.count"))
    cut = item.get("cut", False)
    if not isinstance(cut, bool):
        problems.append(_problem(_shown(cut), "stands where true or false is due.", "", key=f"{key}.cut"))
    if len(problems) > before:
        return None
    return Line(
        origin=Origin(origin),
        text=str(text),
        node=_optional(item.get("node")),
        first_seen=_optional(item.get("firstSeen")),
        last_seen=_optional(item.get("lastSeen")),
        count=int(count),
        cut=bool(cut),
    )


def _optional(value: object) -> Fact[str]:
    return None if value is None else str(value)


def _cloud(value: object, problems: list[Problem]) -> Fact[str]:
    if value is None:
        return NOT_COLLECTED
    text = str(value).strip().lower()
    if text not in CLOUDS:
        problems.append(_problem(_shown(value), "is no cloud.", f"Known are {', '.join(CLOUDS)}.", key="known.cloud"))
        return NOT_COLLECTED
    return None if text == "none" else text


def _stated(said: Mapping[str, Any], problems: list[Problem]) -> Stated:
    arguments: dict[str, Any] = {}
    environment: dict[str, str] = {}
    other: dict[str, str] = {}
    for key, value in said.items():
        name = _canonical(key)
        if key in SETTINGS:
            environment[key] = _setting(key, value)
        elif name == "environment":
            _environment(value, environment, problems)
        elif name in _COUNTS:
            if _no_count(key, value, problems):
                continue
            number = count_of(value, zero_words=name in _FREE)
            if number is not None:
                arguments[_COUNTS[name]] = number
            # The words stay beside the figure: "exhausted", "ample", "in all three subnets".
            if not isinstance(value, int):
                other[name] = _text(value)
        elif name in _WORDS:
            arguments[_WORDS[name]] = _text(value)
            other |= {key: _text(value)} if name in _SAID_TOO else {}
        else:
            other[key] = _text(value)
            arguments |= _pod_cidr(name, value)
    if environment:
        arguments["environment"] = environment
    return Stated(other=other, **arguments)


def _pod_cidr(name: str, value: object) -> dict[str, str]:
    """The pod CIDR, where it is one and nothing more; else it is only kept as it was said."""
    text = str(value).strip()
    try:
        return {"pod_cidr": str(Block.parse(text))} if name == "podCidr" else {}
    except ProblemsError:
        return {}


def _no_count(key: str, value: object, problems: list[Problem]) -> bool:
    """Whether a value can be no count, which is a problem; words without a figure are none."""
    number = count_of(value)
    most = LARGEST_INT32
    if number is not None and number > most:
        reason = f"is larger than anything that is counted here (at most {most:,})."
    elif number is not None or value is None or (isinstance(value, str) and not _NEGATIVE.match(value.strip())):
        return False
    else:
        reason = "is no count."
    step = "Write a whole number from 0, or words that begin with one."
    problems.append(_problem(_shown(value), reason, step, key=f"known.{key}"))
    return True


def _environment(value: object, environment: dict[str, str], problems: list[Problem]) -> None:
    if not isinstance(value, Mapping):
        problems.append(
            _problem(_shown(value), "stands where an object is due.", "Write `NAME: value`.", key="known.environment")
        )
        return
    environment.update({str(name): _setting(str(name), each) for name, each in value.items()})


def _setting(name: str, value: object) -> str:
    """A setting as aws-node would have it: of "true on new nodes" the first word, where that is a value of its kind."""
    text = _text(value)
    setting = SETTINGS.get(name)
    first = re.split(r"[\s,;(]", text, maxsplit=1)[0]
    if setting is None or first == text:
        return text
    fits = first.lower() in ("true", "false") if setting.kind == "boolean" else first.isdecimal()
    return first if fits and setting.kind in ("boolean", "integer") else text


def _canonical(key: str) -> str:
    """The key as the schema has it, however it is written."""
    squeezed = re.sub(r"[^a-z0-9]", "", key.lower())
    return _ALIASES.get(squeezed) or next(
        (name for name in (*_COUNTS, *_WORDS, "environment", "podCidr") if name.lower() == squeezed), key
    )


def _text(value: object) -> str:
    """A value in one line of text, as a person would say it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Mapping, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


_SPELLED: Final = {
    word: number
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_ABOUT = r"(?:about|around|approx(?:imately|\.)?|roughly|circa|ca\.|some|nearly|almost|exactly|only|just|~|≈|=)?\s*"
_AT_LEAST = r"(?P<least>(?:more than|over|above|at least|greater than|>=?|≥)\s*)?"
_BELOW = r"(?P<below>(?:less than|fewer than|under|below|<)\s*)?"
_NUMBER = re.compile(
    rf"^{_ABOUT}{_AT_LEAST}{_BELOW}{_ABOUT}(?P<number>\d{{1,3}}(?:[,_ ]\d{{3}})+|\d+)(?![\d.])", re.IGNORECASE
)
_NEGATIVE = re.compile(r"-\s*[0-9]")
_ZERO = re.compile(
    r"^(?:none|no(?:ne| free| available| more)?\b|nil|exhausted|full\b|completely (?:full|exhausted)|empty\b"
    r"|used up|ran out|depleted)",
    re.IGNORECASE,
)


def count_of(value: object, *, zero_words: bool = False) -> int | None:
    """A count as people write it; ``None`` where it holds no figure.

    Args:
        value: A number, or words that begin with one: "more than 500", "about 60", "~1,900 (screenshot)", "three".
            "Fewer than 5" is 4, the most that it can mean.
        zero_words: Whether words for nothing left ("exhausted", "none", "full") are 0.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    text = str(value).strip()
    found = _NUMBER.match(text)
    if found is not None:
        number = int(re.sub(r"\D", "", found.group("number")))
        return max(0, number - 1) if found.group("below") and "=" not in found.group("below") else number
    word = re.match(r"[a-z]+", text.lower())
    if word is not None and word.group(0) in _SPELLED:
        return _SPELLED[word.group(0)]
    return 0 if zero_words and _ZERO.match(text) else None


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits a line


def _problem(value: str, reason: str, next_step: str, *, key: str) -> Problem:
    return Problem(rule="case-file", value=value, reason=reason, next_step=next_step, key=key)


def _refused(value: str, reason: str, next_step: str) -> ProblemsError:
    return ProblemsError([_problem(value, reason, next_step, key="")], subject=SUBJECT)
