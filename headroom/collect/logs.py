"""Log files of any size: plain or gzipped, in UTF-8 or UTF-16, with junk in them; what means something is kept."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.redaction import redacted
from headroom.diagnosis.scanning import LogScanner
from headroom.facts.snapshot import Line, Origin, Source
from headroom.facts.values import Fact

PIECE: Final = 1 << 20
"""Bytes that are read at a time."""
MOST_EXPANDED: Final = 4 * 1024**3
"""Bytes that compressed files may expand to, together: past that they are a bomb, or too much to wait for."""

MOST_XZ_MEMORY: Final = 256 * 1024**2
"""Bytes of memory that decompressing an xz file may take: its header may ask for gigabytes."""

_GZIP: Final = b"\x1f\x8b"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ"
_MARKS: Final = (
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Names of files, in the order in which they are asked: what they contain decides more than their endings.
_NAMES: Final = (
    ("plugin", Origin.PLUGIN_LOG),
    ("ipamd", Origin.IPAMD_LOG),
    ("aws-node", Origin.AWS_NODE_LOG),
    ("azure-cns", Origin.CNS_LOG),
    ("azure-vnet", Origin.CNS_LOG),
    ("kubelet", Origin.KUBELET_LOG),
    ("containerd", Origin.KUBELET_LOG),
    ("karpenter", Origin.KARPENTER),
    ("event", Origin.POD_EVENT),
    ("describe", Origin.POD_EVENT),
)


class Allowance:
    """Bytes that compressed files may still expand to."""

    def __init__(self, left: int = MOST_EXPANDED) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        """Counts bytes; false where they are too many."""
        self.left -= count
        return self.left >= 0


def read_log(path: Path, *, node: Fact[str] = None) -> tuple[tuple[Line, ...], Source]:
    """The lines of a log file that mean something, equal ones counted, and how the reading went.

    Raises:
        ProblemsError: The file cannot be read.
    """
    with open_log(path) as stream:
        return scan(stream, path.name, node=node)


@contextmanager
def open_log(path: Path) -> Iterator[BufferedReader]:
    """A log file, to be read once: it may be a pipe.

    Raises:
        ProblemsError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        problem = Problem(
            rule="log-file",
            value=str(path),
            reason=f"cannot be read: {error.strerror or error}.",
            next_step="Give the path of a log file.",
            key="--log",
        )
        raise ProblemsError([problem], subject="log") from None


def scan(
    stream: BinaryIO, name: str, *, node: Fact[str] = None, allowance: Allowance | None = None
) -> tuple[tuple[Line, ...], Source]:
    """The same of an open file."""
    scanner = LogScanner(origin_of_name(name), node=node, file=name)
    outcome = ""
    try:
        for piece in pieces(stream, allowance or Allowance()):
            scanner.feed(piece)
    except (EOFError, OSError, zlib.error) as error:
        outcome = f"read in part: {error}"
    except TooMuchError:
        outcome = f"read in part: it expands to more than {MOST_EXPANDED:,} bytes"
    found = tuple(replace(line, text=redacted(line.text)) for line in scanner.finish())
    if scanner.more:
        outcome = outcome or f"{scanner.more:,} further lines of other kinds were left out"
    return found, Source(name=name, outcome=outcome, items=scanner.lines)


class TooMuchError(Exception):
    """Compressed data expands to more than anybody wants to read."""


def pieces(stream: BinaryIO, allowance: Allowance) -> Iterator[bytes]:
    """A file's content in UTF-8, piece by piece, decompressed and recoded where it has to be.

    Raises:
        TooMuchError: It expands to more than is allowed.
        OSError, EOFError, zlib.error: It is damaged.
    """
    raw = _expanded(stream, allowance)
    first = next(raw, b"")
    encoding = _encoding(first)
    if not encoding:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from raw
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first).removeprefix("\ufeff").encode()
    for piece in raw:
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", final=True).encode()


def in_utf8(head: bytes) -> bytes:
    """The beginning of a file in UTF-8: PowerShell writes what commands print in UTF-16."""
    encoding = _encoding(head)
    return head.decode(encoding, "ignore").removeprefix("\ufeff").encode() if encoding else head


def _encoding(head: bytes) -> str:
    """The encoding of a text that is not in UTF-8, by its first bytes; empty: UTF-8, or none that is known."""
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is None and head[:512].count(0) > len(head[:512]) // 4:
        return "utf-16-le" if head[1:2] == b"\x00" else ""
    return encoding or ""


class Bounded:
    """An archive's stream, decompressed, that gives no more than it may before the next file of it is reached."""

    def __init__(self, stream: BinaryIO, allowance: Allowance, *, most: int) -> None:
        self._pieces = _decompressed(stream)
        self._allowance = allowance
        self._buffer = b""
        self._left = most

    def may_give(self, count: int) -> None:
        """The next file of the archive begins at most so many bytes on."""
        self._left = count

    def read(self, size: int) -> bytes:
        """The next bytes, as many as asked for unless it ends.

        Raises:
            TooMuchError: More than it may give, or more than archives may expand to.
        """
        while len(self._buffer) < size and (piece := next(self._pieces, b"")):
            self._buffer += piece
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        self._left -= len(found)
        if self._left < 0 or not self._allowance.take(len(found)):
            raise TooMuchError
        return found


def _decompressed(stream: BinaryIO) -> Iterator[bytes]:
    head = stream.read(PIECE)
    whole = BufferedReader(_Again(head, stream))
    if head.startswith(_XZ):
        yield from _unxz(cast("BinaryIO", whole))
        return
    kind: Any = gzip.open if head.startswith(_GZIP) else bz2.open if head.startswith(_BZIP2) else None
    plain = kind(whole) if kind is not None else whole
    while piece := plain.read1(PIECE):  # what comes before a break is not lost
        yield piece


def _unxz(stream: BinaryIO) -> Iterator[bytes]:
    decompressor = lzma.LZMADecompressor(memlimit=MOST_XZ_MEMORY)
    while not decompressor.eof:
        more = stream.read(PIECE) if decompressor.needs_input else b""
        if decompressor.needs_input and not more:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        try:
            yield decompressor.decompress(more, PIECE)
        except lzma.LZMAError as error:
            raise OSError(str(error)) from None


def _expanded(stream: BinaryIO, allowance: Allowance) -> Iterator[bytes]:
    head = stream.read(PIECE)
    if not head.startswith(_GZIP):
        while head:
            yield head
            head = stream.read(PIECE)
        return
    with gzip.open(BufferedReader(_Again(head, stream))) as plain:
        while piece := plain.read(PIECE):
            if not allowance.take(len(piece)):
                raise TooMuchError
            yield piece


class _Again(RawIOBase):
    """A stream whose first piece was read already; it cannot be rewound."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer with the next bytes."""
        size = len(buffer)
        part = self._head[:size] or self._stream.read(size)
        self._head = self._head[size:]
        buffer[: len(part)] = part
        return len(part)


def origin_of_name(name: str) -> Origin:
    """What a file's name says of where its lines come from; ``OTHER`` where it says nothing."""
    lowered = name.lower()
    return next((origin for part, origin in _NAMES if part in lowered), Origin.OTHER)
