"""Writes the files that a command is asked for. Not a command itself."""

import os
from pathlib import Path

from headroom.addresses.problems import Problem, ProblemsError

_STEP = "Give a path in a folder."


def unwritable(path: Path | None, *, key: str) -> list[Problem]:
    """Why a file could not be written, as far as that is seen before the work whose answer it is to hold.

    Args:
        path: The file, where one is asked for.
        key: The option that names it.
    """
    if path is None:
        return []
    if path.is_dir():
        reason = "is a folder."
    elif not path.parent.is_dir():
        reason = "is in no folder."
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "cannot be written."
    else:
        return []
    return [Problem(rule="file", key=key, value=str(path), reason=reason, next_step=_STEP)]


def write_text(path: Path, text: str, *, key: str, subject: str) -> None:
    """Writes a file.

    Args:
        path: The file.
        text: What goes into it.
        key: The option that names it.
        subject: The command.

    Raises:
        ProblemsError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = f"cannot be written: {error.strerror or type(error).__name__}."
        problem = Problem(rule="file", key=key, value=str(path), reason=reason, next_step=_STEP)
        raise ProblemsError([problem], subject=subject) from None
