"""`headroom rehearse` as a person calls it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from headroom.cli import headroom
from headroom.cli import rehearse as rehearsing
from headroom.rehearsal.aks_world import AksWorld
from headroom.rehearsal.tools import Tools

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


AS_AT_A_TERMINAL = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)
"""A shell's background job ignores SIGINT, and so does what it starts: the tests may be in one."""


@pytest.mark.engine
@pytest.mark.control_plane
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_every_process_that_a_rehearsal_started(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", AS_AT_A_TERMINAL, HEADROOM, "rehearse"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
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


def test_what_keep_prints_of_azure_is_taken_by_our_own_commands() -> None:
    world: Any = SimpleNamespace(
        arm=SimpleNamespace(url="https://127.0.0.1:1", subscription="s", certificate="c.pem"),
        kubeconfigs=lambda: {"aks-prod": Path("a/kubeconfig")},
    )
    getter: Any = AksWorld.looks
    curl, diagnose = getter.fget(world)
    assert shlex.split(curl)[-1] == "https://127.0.0.1:1/subscriptions/s/resources?api-version=2021-04-01"
    setting, *words = shlex.split(diagnose)
    assert setting == "KUBECONFIG=a/kubeconfig"
    assert words[:2] == ["headroom", "diagnose"]
    text = CliRunner().invoke(headroom, ["diagnose", "--help"]).output
    assert [word for word in words if word.startswith("--") and word not in text] == []


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


def test_off_a_terminal_a_line_tells_what_is_being_played_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = StringIO()
    seen: list[str] = []

    @contextmanager
    def playing(name: str, *_: Any) -> Iterator[tuple[None, dict[str, Any]]]:
        seen.append(told.getvalue().splitlines()[-1])
        if name == "b":
            raise RuntimeError("not cured:\nmore of it")
        yield None, {"scenario": name, "verdict": "found", "causes": ["eni_limit"], "seconds": 1.0}

    monkeypatch.setattr(rehearsing, "SCENARIOS", ("a", "b"))
    monkeypatch.setattr(rehearsing, "_playing", playing)
    tools = Tools.__new__(Tools)  # nothing is started
    assert rehearsing._play_all(Console(file=told, width=160), tmp_path, tools, None, as_json=False), "b failed"
    assert seen == ["playing a", "playing b"]
    assert told.getvalue().splitlines()[:4] == [
        "playing a",
        "✓ a: found, eni_limit (1.0 s)",
        "playing b",
        "✗ b: not cured:",
    ]
