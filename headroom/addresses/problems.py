"""What is wrong with an input: the value, the conflict and the next step, all problems at once."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason why an input cannot be accepted, or (as a warning) should be looked at.

    Attributes:
        rule: Stable kebab-case name of the rule that was broken.
        value: What was given, as the user wrote it.
        reason: Why it conflicts, with the other side of the conflict named.
        next_step: What would be accepted, or what to do next.
        source: The document or issue that the rule comes from; empty for rules of common sense.
        key: Where the value stands (a configuration key, an argument); empty where there is only one place.
    """

    rule: str
    value: str
    reason: str
    next_step: str = ""
    source: str = ""
    key: str = ""

    @property
    def message(self) -> str:
        """The problem as one sentence or two: place, value, conflict, next step."""
        place = f"{self.key}: " if self.key else ""
        step = f" {self.next_step}" if self.next_step else ""
        return f"{place}{self.value} {self.reason}{step}"

    def __str__(self) -> str:
        return self.message


class ProblemsError(ValueError):
    """Input was refused; carries every problem found, so that they can be mended in one go."""

    def __init__(self, problems: Iterable[Problem], *, subject: str = "input") -> None:
        self.problems = tuple(problems)
        self.subject = subject
        lines = "\n".join(f"  - {problem.message}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{subject}: {count} problem{'s' if count != 1 else ''}\n{lines}")
