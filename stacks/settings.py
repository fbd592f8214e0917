"""Reads a stack's configuration, every problem at once and with its key."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from headroom.addresses.problems import Problem, ProblemsError

T = TypeVar("T")

NAMESPACE = "headroom"


class ConfigReader:
    """Typed values out of `headroom:` keys; what is wrong is collected in `problems`.

    A key of the wrong kind as a whole, such as a list where Pulumi.yaml says `object`, never comes here: Pulumi refuses
    the stack's file before it starts the program, one key at a time. `headroom check` says them all, with their lines.
    """

    def __init__(self, config: pulumi.Config | None = None) -> None:
        self._config = config or pulumi.Config(NAMESPACE)
        self.problems: list[Problem] = []
        self._asked: set[str] = set()

    def text(self, key: str) -> str:
        """A string; empty where it is not set."""
        value = self._get(key) or ""
        # The engine hands lists and mappings over as JSON; no string that is read here is either.
        if value[:1] in ("[", "{"):
            self.problem(key, _shown(value), f"is not {_KIND_NAMES[str]}.")
            return ""
        return value

    def required_text(self, key: str, example: str) -> str:
        """A string that must be set."""
        value = self.text(key)
        if not self._get(key):
            self.problem(key, "nothing", "is set.", f"Run `pulumi config set {NAMESPACE}:{key} {example}`.")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._get(key)
        if value is None:
            return default
        if value not in ("true", "false"):
            self.problem(key, _shown(value), f"is not {_KIND_NAMES[bool]}.")
            return default
        return value == "true"

    def integer(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._get(key)
        if value is None:
            return default
        if not _WHOLE_NUMBER.fullmatch(value):
            self.problem(key, _shown(value), f"is not {_KIND_NAMES[int]}.")
            return default
        return int(value)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        return self.text_list(key, self._structure(key, list, []))

    def numbers(self, key: str) -> list[Any]:
        """A list, of what should be whole numbers: who takes it judges them."""
        return self._structure(key, list, [])

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping with string keys."""
        return self._structure(key, dict, {})

    def text_list(self, place: str, value: object) -> list[str]:
        """`value`, found at `place`, as a list of strings."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problem(place, _shown(value), "is not a list of strings.")
            return []
        return list(value)

    def text_mapping(self, place: str, value: object) -> dict[str, str]:
        """`value`, found at `place`, as a mapping of strings. Numbers are refused: YAML loses their form."""
        if not isinstance(value, dict):
            self.problem(place, _shown(value), "is not a mapping.")
            return {}
        for name, item in value.items():
            if not isinstance(item, str):
                step = f'Put it in quotes: "{_shown(item)}".' if isinstance(item, int | float) else ""
                self.problem(f"{place}.{name}", _shown(item), "is not a string.", step)
        return {str(name): item for name, item in value.items() if isinstance(item, str)}

    def fields(self, place: str, value: object, allowed: Sequence[str]) -> Mapping[str, Any]:
        """`value`, found at `place`, as a mapping that has none but the allowed keys."""
        if not isinstance(value, dict):
            self.problem(place, _shown(value), f"is not a mapping of {', '.join(allowed)}.")
            return {}
        for name in value:
            if name not in allowed:
                self.problem(
                    f"{place}.{name}", _shown(name), "is not known here.", f"Write one of {', '.join(allowed)}."
                )
        return value

    def entries(self, key: str, allowed: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The entries of a mapping of mappings, by name; those that are no mapping are a problem and left out."""
        return {
            name: fields
            for name, value in self.mapping(key).items()
            if (fields := self.fields(f"{key}.{name}", value, allowed)) or isinstance(value, dict)
        }

    def field(self, place: str, fields: Mapping[str, Any], name: str, kind: type[T], default: T) -> T:
        """One value of `fields`, checked for its type."""
        value = fields.get(name, default)
        # A boolean is an integer to Python, not to the person who wrote it.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.problem(f"{place}.{name}", _shown(value), f"is not {_KIND_NAMES[kind]}.")
            return default
        return value

    def attempt(
        self, build: Callable[[], T], keyed: Callable[[Problem], Problem] = lambda problem: problem
    ) -> T | None:
        """What `build` returns, or None with its problems, as `keyed` names their places, added to ours."""
        try:
            return build()
        except ProblemsError as error:
            self.problems.extend(map(keyed, error.problems))
            return None

    def problems_at(self, place: str) -> list[Problem]:
        """The problems found at that very place so far."""
        return [problem for problem in self.problems if problem.key == f"{NAMESPACE}:{place}"]

    def problem(self, key: str, value: str, reason: str, next_step: str = "") -> None:
        """Adds a problem of the configuration's form."""
        self.problems.append(
            Problem(rule="configuration", key=f"{NAMESPACE}:{key}", value=value, reason=reason, next_step=next_step)
        )

    def refuse_other_keys(self, *known: str) -> None:
        """Adds a problem for every key of ours that is set and was not asked for: a misspelt one does nothing."""
        asked = sorted(self._asked | set(known))
        configured = {**get_config_env(), **CONFIG.get()}
        for full in sorted(configured):
            namespace, _, key = full.partition(":")
            if namespace == NAMESPACE and key not in asked:
                # The engine sets every key of Pulumi.yaml, those of other remedies too.
                if _project_defaults().get(key) == configured[full]:
                    continue
                near = get_close_matches(key, asked, n=1)
                step = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(asked)}."
                self.problem(key, _shown(configured[full]), "is under a key that is not known here.", step)

    def _get(self, key: str) -> str | None:
        self._asked.add(key)
        return self._config.get(key)

    def _get_object(self, key: str) -> object:
        self._asked.add(key)
        return self._config.get_object(key)

    def _structure(self, key: str, kind: type[T], default: T) -> T:
        try:
            value = self._get_object(key)
        except (pulumi.ConfigTypeError, json.JSONDecodeError):
            value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            self.problem(key, _shown(value), f"is not {_KIND_NAMES[kind]}.")
            return default
        return value


_KIND_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}

# As many digits as any quota or port has.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")

SHOWN_CHARACTERS = 60


def _shown(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


@cache
def _project_defaults() -> Mapping[str, str]:
    """The default of every key that Pulumi.yaml declares, as the engine hands it to the program."""
    import yaml  # noqa: PLC0415 - only where a key is left over

    project = yaml.safe_load((Path(__file__).parents[1] / "Pulumi.yaml").read_text(encoding="utf-8"))
    return {
        full.partition(":")[2]: entry["default"] if isinstance(entry["default"], str) else json.dumps(entry["default"])
        for full, entry in project["config"].items()
        if "default" in entry
    }
