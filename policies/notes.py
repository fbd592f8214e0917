"""What the pack tells the engine before the program starts, kept from one start to the next.

The engine asks for the policies, checks their configuration, and only then starts the program: a preview stands still
while thirty rules and their arithmetic are imported. So the answer lies beside Python's bytecode, and serves as that
does: as long as no file that it came from has changed.
"""

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]

SOURCES: Final = (_ROOT / "headroom", _ROOT / "policies")
"""Where everything lies that rules are made of, and more."""

NOTE: Final = Path(importlib.util.cache_from_source(__file__)).with_name("analyzer-info")


def fingerprint() -> bytes:
    """Of all files that rules are made of, by name, size and time of change."""
    found = hashlib.sha256(sys.version.encode())
    for folder in SOURCES:
        for line in sorted(_files(str(folder))):
            found.update(line.encode())
    return found.hexdigest().encode()


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            else:
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}\n"


def read(mark: bytes) -> bytes | None:
    """What was noted of files with this fingerprint, or None."""
    try:
        noted, _, answer = NOTE.read_bytes().partition(b"\n")
    except OSError:
        return None
    return answer if noted == mark else None


def write(mark: bytes, answer: bytes) -> None:
    """Notes an answer; where nothing can or may be written, the next start does without."""
    if sys.dont_write_bytecode:
        return
    with contextlib.suppress(OSError):
        NOTE.parent.mkdir(exist_ok=True)
        new = NOTE.with_name(f"{NOTE.name}.{os.getpid()}")
        new.write_bytes(mark + b"\n" + answer)
        new.replace(NOTE)
