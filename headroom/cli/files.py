"""Writes the files that a command is asked for. Not a command itself."""

from pathlib import Path

from headroom.addresses.problems import Problem, ProblemsError


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
        problem = Problem(rule="file", key=key, value=str(path), reason=reason, next_step="Give a path in a folder.")
        raise ProblemsError([problem], subject=subject) from None
