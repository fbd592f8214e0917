"""The cache of fetched and built things is never half done, and safe when two set-ups run at once."""

import io
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from toolchain.cache import cache_folder, locked, new_entry
from toolchain.progress import Progress
from toolchain.versions import CHECKOUT

if TYPE_CHECKING:
    from multiprocessing.queues import Queue


@pytest.fixture
def progress() -> Progress:
    return Progress(io.StringIO())


def test_the_cache_lies_where_the_user_says() -> None:
    assert cache_folder({"HEADROOM_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/headroom")
    assert cache_folder({}) == Path.home() / ".cache" / "headroom"


def test_an_entry_appears_only_once_it_is_complete(tmp_path: Path, progress: Progress) -> None:
    entry = tmp_path / "etcd-1"

    with new_entry(entry, progress) as folder:
        assert folder
        (folder / "etcd").write_text("half")
        assert not entry.exists()

    assert (entry / "etcd").read_text() == "half"
    with new_entry(entry, progress) as folder:
        assert folder is None, "what exists is not made again"


def test_what_an_interrupted_set_up_left_behind_is_begun_anew(tmp_path: Path, progress: Progress) -> None:
    entry = tmp_path / "etcd-1"

    def interrupted() -> None:
        with new_entry(entry, progress) as folder:
            assert folder
            (folder / "rubbish").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert not entry.exists()
    with new_entry(entry, progress) as folder:
        assert folder
        assert list(folder.iterdir()) == []


def _make_entry(entry: Path, made: "Queue[int]") -> None:
    with new_entry(entry, Progress(io.StringIO())) as folder:
        if folder:
            time.sleep(0.3)
            (folder / "etcd").write_text(str(os.getpid()))
            made.put(os.getpid())


def test_of_two_set_ups_one_builds_and_the_other_waits_for_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    made: Queue[int] = context.Queue()
    entry = tmp_path / "etcd-1"
    both = [context.Process(target=_make_entry, args=(entry, made)) for _ in range(2)]

    for process in both:
        process.start()
    for process in both:
        process.join(120)

    assert [process.exitcode for process in both] == [0, 0]
    builder = made.get(timeout=60)
    assert made.empty(), "only one of the two built"
    assert (entry / "etcd").read_text() == str(builder)


def test_waiting_for_another_set_up_is_announced(tmp_path: Path, progress: Progress) -> None:
    lock = tmp_path / "lock"
    program = (
        "import sys; from pathlib import Path; from toolchain.cache import locked; from toolchain.progress import *\n"
        "with locked(Path(sys.argv[1]), Progress(), 'etcd'): print('got it')"
    )
    with locked(lock, progress, "etcd"):
        other = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", program, str(lock)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert other.stderr
        announced = other.stderr.readline()
        assert other.poll() is None, "it waits"
    output, _ = other.communicate(timeout=60)

    assert announced == "  … waiting: another set-up is busy with etcd\n"
    assert output == "got it\n"
