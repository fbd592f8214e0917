"""Readings in threads: timed, counted, and unknown where they fail."""

import threading
import time

import pytest

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.failures import NotReadError
from headroom.collect.readings import Pending, Readings, batches, count_call, side_by_side
from headroom.facts.snapshot import Source
from headroom.facts.values import Reason, Unknown


@pytest.fixture
def seen() -> list[Source]:
    return []


@pytest.fixture
def readings(seen: list[Source]) -> Readings:
    return Readings(seconds=10, progress=seen.append)


def test_a_reading_is_a_source_with_its_items_and_calls(readings: Readings, seen: list[Source]) -> None:
    def read() -> tuple[int, ...]:
        count_call()
        count_call(request="whatever botocore hands over")
        return (1, 2, 3)

    pending = readings.start("things", read)
    assert pending.fact() == (1, 2, 3)
    (source,) = readings.sources(1.0)
    assert (source.name, source.outcome, source.items, source.calls) == ("things", "", 3, 2)
    assert seen == [source]


def test_calls_of_helpers_count_for_the_reading_that_has_them(readings: Readings) -> None:
    pending = readings.start("things", lambda: side_by_side(lambda _: count_call(), range(5), workers=3))
    pending.fact()
    assert readings.sources(1.0)[0].calls == 5


def test_a_call_outside_of_any_reading_counts_for_none() -> None:
    count_call()


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (KeyError("SubnetId"), Unknown(Reason.UNPARSEABLE, "the answer has another form: KeyError")),
        (ConnectionResetError(), Unknown(Reason.UNREACHABLE, "no answer: ConnectionResetError")),
        (NotReadError(Unknown(Reason.DENIED, "x")), Unknown(Reason.DENIED, "x")),
    ],
)
def test_what_goes_wrong_outside_makes_the_value_unknown(
    readings: Readings, error: Exception, unknown: Unknown
) -> None:
    def read() -> None:
        raise error

    assert readings.start("things", read).fact() == unknown
    assert readings.sources(1.0)[0].outcome == str(unknown)


def test_a_mistake_of_our_own_is_raised_and_not_hidden(readings: Readings) -> None:
    def read() -> None:
        raise AssertionError("ours")

    pending = readings.start("things", read)
    with pytest.raises(AssertionError, match="ours"):
        pending.fact()


def test_bad_input_ends_the_run_though_it_is_a_value_error_too(readings: Readings) -> None:
    def read() -> None:
        raise ProblemsError([Problem(rule="x", value="y", reason="z")])

    with pytest.raises(ProblemsError):
        readings.start("things", read).fact()


def test_a_reading_that_needs_an_unknown_one_says_so(readings: Readings) -> None:
    first: Pending[int] = readings.start("first", lambda: Unknown(Reason.DENIED, "no"))
    second = readings.start("second", first.needed)
    assert second.fact() == Unknown(Reason.DENIED, "needs first: denied (no)")


def test_a_reading_that_is_not_done_in_time_is_unknown() -> None:
    released = threading.Event()
    readings = Readings(seconds=0.05, progress=lambda _: None)
    pending = readings.start("slow", lambda: released.wait(10))
    assert pending.fact() == Unknown(Reason.UNREACHABLE, "slow: not read within the time limit")
    assert readings.sources(0.1) == (
        Source(name="slow", outcome="unreachable (not read within the time limit)", seconds=0.1),
    )
    released.set()


def test_what_asks_nobody_is_no_source(readings: Readings, seen: list[Source]) -> None:
    readings.start("joined", lambda: 1, quiet=True).fact()
    assert readings.sources(1.0) == ()
    assert seen == []


def test_sources_keep_the_order_in_which_they_were_started(readings: Readings) -> None:
    gate = threading.Event()
    first = readings.start("first", lambda: gate.wait(5))
    readings.start("second", lambda: True).fact()
    gate.set()
    first.fact()
    assert [source.name for source in readings.sources(1.0)] == ["first", "second"]


def test_only_what_has_been_read_is_cleaned_up(readings: Readings) -> None:
    used: list[int] = []
    gate = threading.Event()
    done, running = readings.start("done", lambda: 5), readings.start("running", lambda: gate.wait(5))
    failed: Pending[int] = readings.start("failed", Unknown)
    done.fact()
    failed.fact()
    done.when_done(used.append)
    running.when_done(used.append)
    failed.when_done(used.append)
    gate.set()
    assert used == [5]


def test_side_by_side_keeps_the_order_and_works_at_once() -> None:
    barrier = threading.Barrier(3, timeout=60)

    def work(number: int) -> int:
        barrier.wait()  # passes only if three work at a time
        return number * 2

    assert side_by_side(work, [3, 1, 2], workers=3) == [6, 2, 4]
    assert side_by_side(work, [], workers=3) == []


def test_the_first_failure_side_by_side_is_raised() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("first")
        done.append(number)
        time.sleep(0.001)

    with pytest.raises(ValueError, match="first"):
        side_by_side(work, range(1000), workers=2)
    assert len(done) < 999, "the others are left"


def test_what_ends_a_thread_is_raised_where_it_was_asked_for() -> None:
    def work(number: int) -> None:
        raise KeyboardInterrupt(number)

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, range(3), workers=2)


@pytest.mark.parametrize(
    ("size", "groups"), [(2, [[1, 2], [3, 4], [5]]), (5, [[1, 2, 3, 4, 5]]), (9, [[1, 2, 3, 4, 5]])]
)
def test_batches_are_as_large_as_they_may_be(size: int, groups: list[list[int]]) -> None:
    assert batches(range(1, 6), size) == groups


def test_the_progress_is_told_from_any_thread() -> None:
    threads: list[str] = []
    readings = Readings(seconds=5, progress=lambda _: threads.append(threading.current_thread().name))
    readings.start("things", lambda: 1).fact()
    assert threads == ["things"]
