"""Reads values under the `headroom:` keys of a stack file, every problem at once and with its key."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headroom.addresses.blocks import Block, listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.emergency_keys import near
from headroom.planning.fill_in import open_problems


def told(value: object) -> str:
    """A value as a problem shows it."""
    return "nothing" if value is None else shown(str(value))


class KeyReader:
    """Collects what is wrong while it reads."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, key: str, value: str, reason: str, next_step: str = "", source: str = "") -> None:
        """Adds a problem."""
        self.problems.append(
            Problem(
                rule="configuration",
                key=f"headroom:{key}",
                value=value,
                reason=reason,
                next_step=next_step,
                source=source,
            )
        )

    def known(self, config: Mapping[str, Any], allowed: Sequence[str]) -> None:
        """Adds a problem for every key that is not known, since a misspelt one does nothing, and for what is open."""
        self.problems += open_problems(config)
        for key in config:
            if key not in allowed:
                step = near(str(key), tuple(allowed))
                self.wrong(str(key), told(config[key]), "is under a key that is not known here.", step)

    def mapping(self, key: str, value: object, allowed: Sequence[str]) -> Mapping[str, Any]:
        """A mapping that has none but the allowed keys; empty where it is none."""
        if not isinstance(value, Mapping):
            self.wrong(key, told(value), f"is no mapping of {listed(allowed)}.")
            return {}
        for name in value:
            if name not in allowed:
                self.wrong(f"{key}.{name}", shown(str(name)), "is not known here.", near(str(name), tuple(allowed)))
        return value

    def text(self, key: str, value: object, form: re.Pattern[str], what: str) -> str:
        """A text of a form; empty where it has another."""
        if isinstance(value, str) and form.fullmatch(value):
            return value
        # YAML reads a version without quotes as a number.
        quoted = isinstance(value, float) and form.fullmatch(str(value))
        self.wrong(key, told(value), f"is not {what}.", 'Put it in quotes: "1.33".' if quoted else "")
        return ""

    def choice(self, key: str, value: object, allowed: Sequence[str]) -> str:
        """One of several texts; empty where it is none of them."""
        if isinstance(value, str) and value in allowed:
            return value
        self.wrong(key, told(value), f"is none of {listed(allowed)}.")
        return ""

    def number(self, key: str, value: object, least: int, most: int) -> int:
        """A whole number within limits; the least where it is none."""
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(key, told(value), f"is no whole number from {least} to {most}.")
            return least
        return value

    def texts(self, key: str, value: object, form: re.Pattern[str], what: str) -> tuple[str, ...]:
        """A list of texts of a form; empty where one has another."""
        if isinstance(value, list | tuple) and all(isinstance(each, str) and form.fullmatch(each) for each in value):
            return tuple(value)
        self.wrong(key, told(value), f"is no list of {what}.")
        return ()

    def flag(self, key: str, value: object) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            self.wrong(key, told(value), "is not true or false.")
        return bool(value)

    def tags(self, key: str, value: object) -> dict[str, str]:
        """A mapping of texts."""
        if isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values()):
            return {str(name): each for name, each in value.items()}
        self.wrong(key, told(value), "is no mapping of texts.")
        return {}

    def blocks(self, key: str, value: object) -> list[Block]:
        """A list of CIDRs; addresses stand for their /32."""
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            self.wrong(key, told(value), "is no list of CIDRs.")
            return []
        found = [self.block(f"{key}[{number}]", each) for number, each in enumerate(value)]
        return [each for each in found if each is not None]

    def block(self, key: str, value: object) -> Block | None:
        """A CIDR; an address stands for its /32."""
        if not isinstance(value, str):
            self.wrong(key, told(value), "is no CIDR.")
            return None
        try:
            return Block.parse(value if "/" in value else f"{value}/32", key=f"headroom:{key}")
        except ProblemsError as error:
            self.problems.extend(error.problems)
            return None
