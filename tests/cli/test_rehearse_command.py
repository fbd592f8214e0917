"""`headroom rehearse` as a person calls it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEADROOM = str(Path(sys.executable).with_name("headroom"))


def descendants(pid: int) -> set[int]:
    """All processes below one, as the kernel lists them."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text(encoding="utf-8").split()):
            found |= {child} | descendants(child)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.engine
@pytest.mark.control_plane
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_every_process_that_a_rehearsal_started(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(  # noqa: S603 - our own command
        [HEADROOM, "rehearse"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "scheduling" in line:
                break
        started = descendants(process.pid)
        assert len(started) >= 7, "etcd, API server, controllers, scheduler, the simulated AWS and two providers"
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    deadline = time.monotonic() + 5
    while any(map(alive, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in started if alive(pid)] == []
    assert list(tmp_path.glob("headroom-rehearsal-*")) == []


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    result = subprocess.run(  # noqa: S603 - our own command
        [HEADROOM, "rehearse", "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "is not empty. Name a new folder" in result.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["something"]


def test_an_unknown_scenario_is_answered_with_those_that_there_are() -> None:
    result = subprocess.run(  # noqa: S603 - our own command
        [HEADROOM, "rehearse", "--scenario", "x"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "eks-exhausted" in result.stderr
