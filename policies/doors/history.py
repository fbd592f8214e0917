"""What a stack file was before the change: reads the repository's history with git, and writes nothing."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from headroom.addresses.problems import Problem, ProblemsError

SHALLOW: Final = "Fetch it (`git fetch origin BRANCH`; in CI, more than one commit of history) or name another one."


def start_of_change(ref: str) -> str:
    """The commit that the change under review started from: the merge base of `ref` and what is checked out.

    Raises:
        ProblemsError: There is no git or no repository, or it does not know `ref`, or has no history in common with it.
    """
    if shutil.which("git") is None:
        raise _wrong("git", "is not on PATH.", "Install it, or give --base a file.")
    inside = _git("rev-parse", "--is-inside-work-tree")
    if inside.returncode:
        raise _wrong(ref, f"is no file, and git cannot look here: {_said(inside)}", "Give --base a file.")
    commit = _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if ref.startswith("-") or commit.returncode:
        raise _wrong(ref, "is neither a file nor a commit that this repository has.", SHALLOW)
    base = _git("merge-base", _text(commit).strip(), "HEAD")
    if base.returncode:
        raise _wrong(ref, "has no history in common with what is checked out, as far as was fetched.", SHALLOW)
    return _text(base).strip()


def changed_since(commit: str, folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that match, and that differ from the commit or are new; those deleted are left out."""
    inside = ("-z", "--", f":(glob){pattern}")
    changed = _git("diff", "--name-only", "--relative", "--diff-filter=d", commit, *inside, folder=folder)
    new = _git("ls-files", "--others", "--exclude-standard", *inside, folder=folder)
    for done in (changed, new):
        if done.returncode:
            raise _wrong(str(folder), f"cannot be compared with {commit}: {_said(done)}", "")
    names = {*_text(changed).split("\0"), *_text(new).split("\0")} - {""}
    return [folder / name for name in sorted(names)]


def text_at(commit: str, path: Path) -> str | None:
    """A file's text in that commit; None where it did not exist.

    Raises:
        ProblemsError: It was not UTF-8 text.
    """
    shown = _git("show", f"{commit}:./{path.name}", folder=path.absolute().parent)
    return None if shown.returncode else _text(shown)


def _git(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, check=False, cwd=folder)  # noqa: S603 - git, no shell


def _text(done: subprocess.CompletedProcess[bytes]) -> str:
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong(" ".join(done.args), "prints something that is not UTF-8 text.", "") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode("utf-8", "replace").split()) or "it says nothing."


def _wrong(value: str, reason: str, next_step: str) -> ProblemsError:
    return ProblemsError([Problem(rule="base", value=value, reason=reason, next_step=next_step)], subject="--base")
