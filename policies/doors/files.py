"""Reads the files that are checked: as much as one can have, and nothing that has no end."""

import stat
from pathlib import Path
from typing import Final

from headroom.addresses.problems import Problem, ProblemsError
from policies.yaml_text import LARGEST as LARGEST_YAML

YAML: Final = (".yaml", ".yml")
LARGEST: Final = 1 << 28
"""Bytes of a preview or a state."""


def read(path: Path) -> str:
    """A file's text.

    Raises:
        ProblemsError: It cannot be read, is no file, too large, or not UTF-8 text.
    """
    step = "Name a stack file, a preview, a state export, or a folder with --stack."
    is_yaml = path.suffix in YAML
    # UTF-8 takes four bytes a character at most.
    most = 4 * LARGEST_YAML if is_yaml else LARGEST
    try:
        mode = path.stat().st_mode
        # A shell's `<(…)` is a pipe, and ends; a device does not.
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and (is_yaml or not stat.S_ISFIFO(mode)):
            raise refused(str(path), "is no regular file.", step)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise refused(str(path), f"cannot be read: {error.strerror}.", step) from None
    if len(content) > most:
        raise refused(str(path), f"has more than {most:,} bytes.", step)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise refused(str(path), "is not UTF-8 text.", "") from None


def refused(value: str, reason: str, next_step: str) -> ProblemsError:
    """One problem with what was given."""
    return ProblemsError([Problem(rule="check", value=value, reason=reason, next_step=next_step)], subject="check")
