"""The cache of fetched and built things: outside the repository, shared by all clones, never half done."""

import contextlib
import fcntl
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from toolchain.progress import Progress


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`$HEADROOM_CACHE`, else `$XDG_CACHE_HOME/headroom`, else `~/.cache/headroom`."""
    if environment.get("HEADROOM_CACHE"):
        return Path(environment["HEADROOM_CACHE"]).expanduser().absolute()
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]).expanduser().absolute() / "headroom"
    return Path.home() / ".cache" / "headroom"


def this_platform() -> tuple[str, str]:
    """Operating system and processor in Go's words, such as `("linux", "amd64")`."""
    processor = platform.machine().lower()
    return sys.platform.rstrip("0123456789"), {"x86_64": "amd64", "aarch64": "arm64"}.get(processor, processor)


@contextlib.contextmanager
def locked(path: Path, progress: Progress, waiting_for: str) -> Iterator[None]:
    """Holds an exclusive lock on a file, which the operating system gives back if the process dies."""
    with path.open("rb" if path.exists() else "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"  … waiting: another set-up is busy with {waiting_for}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def new_entry(destination: Path, progress: Progress) -> Iterator[Path | None]:
    """Makes one cache entry once: yields a folder to fill, or nothing if the entry exists by now.

    The folder becomes the entry by a rename, so that an entry is complete or absent; what an
    interrupted set-up left behind is removed by the next.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with locked(destination.with_name(f"{destination.name}.lock"), progress, destination.name):
        if destination.exists():
            yield None
            return
        for rubbish in destination.parent.glob(f"{destination.name}.partial-*"):
            shutil.rmtree(rubbish, ignore_errors=True)
        # A name of its own: a compiler that outlived a killed set-up may still write to the old one.
        partial = destination.with_name(f"{destination.name}.partial-{os.getpid()}")
        partial.mkdir()
        yield partial
        partial.rename(destination)
