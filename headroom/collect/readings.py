"""Readings side by side: each in a thread, timed and counted, within one time limit; what fails is unknown."""

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from headroom.addresses.problems import ProblemsError
from headroom.collect.failures import EXPECTED, NotReadError, unknown_of
from headroom.facts.snapshot import Source
from headroom.facts.values import Reason, Unknown

S = TypeVar("S")
T = TypeVar("T")

Progress = Callable[[Source], None]
"""Called with each reading as it ends, from any thread."""


@dataclass(slots=True)
class Tally:
    """Calls of one reading."""

    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self) -> None:
        """One call more."""
        with self._lock:
            self.calls += 1


_current: contextvars.ContextVar[Tally | None] = contextvars.ContextVar("tally", default=None)


def count_call(**_: Any) -> None:
    """Counts a call for the reading in whose thread it is made; also what botocore calls before it sends."""
    tally = _current.get()
    if tally is not None:
        tally.count()


_NEEDS = "needs "


class Pending(Generic[T]):
    """A reading that may still run."""

    def __init__(self, name: str, deadline: float) -> None:
        self.name = name
        self._deadline = deadline
        self._done = threading.Event()
        self._value: T | Unknown | None = None
        self._mistake: BaseException | None = None

    def fact(self) -> T | Unknown:
        """What was read; waits for it, until the time is up.

        Raises:
            ProblemsError: The reading found that the input is bad.
            BaseException: The reading met a mistake of this program.
        """
        if not self._done.wait(max(0.0, self._deadline - time.monotonic())):
            return Unknown(Reason.UNREACHABLE, f"{self.name}: not read within the time limit")
        if self._mistake is not None:
            raise self._mistake
        return self._value  # type: ignore[return-value] # it is set before the event

    def needed(self) -> T:
        """What was read, for a reading that cannot be made without it.

        Raises:
            NotReadError: It is unknown.
        """
        value = self.fact()
        if isinstance(value, Unknown):
            # What is needed may itself need something: the first that is missing says it all.
            first = value if value.detail.startswith(_NEEDS) else Unknown(value.reason, f"{_NEEDS}{self.name}: {value}")
            raise NotReadError(first)
        return value

    def when_done(self, use: Callable[[T], object]) -> None:
        """Uses what was read if it has been; waits for nothing."""
        if self._done.is_set() and self._mistake is None and not isinstance(self._value, Unknown):
            use(self._value)  # type: ignore[arg-type] # it is set before the event

    def settle(self, value: T | Unknown) -> None:
        """Ends the reading with what was read."""
        self._value = value
        self._done.set()

    def fail(self, mistake: BaseException) -> None:
        """Ends the reading with a mistake of this program."""
        self._mistake = mistake
        self._done.set()


class Readings:
    """All readings of a snapshot."""

    def __init__(self, *, seconds: float, progress: Progress) -> None:
        """Starts the clock.

        Args:
            seconds: The time limit of them all.
            progress: Called with each reading as it ends.
        """
        self.deadline = time.monotonic() + seconds
        self._progress = progress
        self._started: list[Pending[Any]] = []
        self._sources: dict[str, Source] = {}
        self._lock = threading.Lock()

    def start(
        self,
        name: str,
        read: Callable[[], T | Unknown],
        *,
        items: Callable[[T], int] | None = None,
        quiet: bool = False,
    ) -> Pending[T]:
        """Starts a reading.

        Args:
            name: What it is called among the sources.
            read: Reads; what it raises of the expected kinds makes the value unknown.
            items: How many things a value is; else its length, or one.
            quiet: It asks nobody, and is no source.
        """
        pending: Pending[T] = Pending(name, self.deadline)
        if not quiet:
            self._started.append(pending)
        # A daemon: one that hangs in a dead connection must not keep the program from ending.
        run = functools.partial(self._run, pending, read, items or _length, quiet=quiet)
        threading.Thread(target=run, name=name, daemon=True).start()
        return pending

    def _run(
        self, pending: Pending[T], read: Callable[[], T | Unknown], items: Callable[[T], int], *, quiet: bool
    ) -> None:
        tally, started = Tally(), time.monotonic()
        _current.set(tally)
        outcome, found = "", 0
        value: T | Unknown
        try:
            value = read()
            found = 0 if isinstance(value, Unknown) else items(value)
            outcome = str(value) if isinstance(value, Unknown) else ""
        except ProblemsError as problems:  # bad input: it ends the whole run, and is a ValueError too
            pending.fail(problems)
            return
        except EXPECTED as error:
            value = unknown_of(error)
            outcome = str(value)
        except BaseException as mistake:  # noqa: BLE001 - raised where the value is asked for
            pending.fail(mistake)
            return
        if not quiet:
            self._note(
                Source(
                    name=pending.name,
                    outcome=outcome,
                    items=found,
                    calls=tally.calls,
                    seconds=round(time.monotonic() - started, 3),
                )
            )
        pending.settle(value)

    def _note(self, source: Source) -> None:
        with self._lock:
            if time.monotonic() <= self.deadline:
                self._sources[source.name] = source
        self._progress(source)

    def sources(self, seconds: float) -> tuple[Source, ...]:
        """What was read, and what could not be, in the order in which it was started.

        Args:
            seconds: How long it all took, for those readings that were not done.
        """
        with self._lock:
            known = dict(self._sources)
        late = "unreachable (not read within the time limit)"
        return tuple(
            known.get(pending.name, Source(name=pending.name, outcome=late, seconds=seconds))
            for pending in self._started
        )


def _length(value: object) -> int:
    return len(value) if isinstance(value, Sized) else int(value is not None)


def side_by_side(read: Callable[[S], T], items: Sequence[S], *, workers: int) -> list[T]:
    """What `read` makes of each item, in their order, some at a time; its calls count for the caller's reading.

    Raises:
        BaseException: The first that `read` raised.
    """
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    waiting = iter(enumerate(items))
    lock = threading.Lock()

    def work() -> None:
        while not failures:
            with lock:
                entry = next(waiting, None)
            if entry is None:
                return
            try:
                results[entry[0]] = read(entry[1])
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
                failures.append(error)

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
        for _ in range(min(workers, len(items)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(items))]


def batches(items: Iterable[T], size: int) -> list[list[T]]:
    """The items in groups of at most `size`."""
    every = list(items)
    return [every[start : start + size] for start in range(0, len(every), size)]
