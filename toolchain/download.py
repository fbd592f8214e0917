"""Official releases over HTTPS, verified against the checksums that their makers publish."""

import hashlib
import queue
import threading
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE = 5.0
"""Seconds in which a host must answer at all; without a network, look-ups may hang far longer."""

STALLED = 20.0
"""Seconds without a byte after which a download is given up."""

_CHUNK = 1 << 20


class NotDownloadedError(Exception):
    """A release could not be had: no network, no such file, or a checksum that does not match."""


def fetch_text(url: str) -> str:
    """A small text file, within `PATIENCE` whatever the network does.

    Raises:
        NotDownloadedError: It could not be had in time.
    """
    answer: queue.Queue[str | NotDownloadedError] = queue.Queue()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:  # noqa: S310 - our own https addresses
                answer.put(response.read().decode("ascii", "replace"))
        except (OSError, ValueError) as error:
            answer.put(NotDownloadedError(f"{url}: {getattr(error, 'reason', error)}"))

    # A thread, because no time-out of urllib's covers a name look-up that hangs.
    threading.Thread(target=ask, daemon=True).start()
    try:
        text = answer.get(timeout=PATIENCE)
    except queue.Empty:
        raise NotDownloadedError(f"{url}: no answer within {PATIENCE:.0f} s") from None
    if isinstance(text, NotDownloadedError):
        raise text
    return text


def checksum_of(name: str, published: str) -> str:
    """A file's SHA-256 out of a published list (`checksum  name` a line) or a file that holds only one.

    Raises:
        NotDownloadedError: The list does not name the file.
    """
    for line in published.splitlines():
        words = line.split()
        if len(words) == 1 or (len(words) > 1 and words[1].lstrip("*") == name):
            return words[0].lower()
    raise NotDownloadedError(f"the published checksums do not name {name}")


def fetch_file(url: str, checksum: str, destination: Path) -> None:
    """Downloads a file and verifies it.

    Raises:
        NotDownloadedError: It could not be had, or is not what its makers published.
    """
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(url, timeout=STALLED) as response,  # noqa: S310 - our own https addresses
            destination.open("wb") as file,
        ):
            while chunk := response.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (OSError, ValueError) as error:
        raise NotDownloadedError(f"{url}: {getattr(error, 'reason', error)}") from error
    if digest.hexdigest() != checksum:
        destination.unlink()
        raise NotDownloadedError(f"{url} has SHA-256 {digest.hexdigest()}, but {checksum} is published: refused")
