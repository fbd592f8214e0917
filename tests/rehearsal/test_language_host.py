"""Our own language host leaves nothing behind: no program, no host, no lingering."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from headroom.rehearsal.tools import Tools, pulumi_environment

pytestmark = pytest.mark.engine

PROGRAM = """
import os, pathlib, time
pathlib.Path("pids").write_text(f"{os.getpid()} {os.getppid()}")
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """Whether a process runs; one that is dead and only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "the program did not start"
        time.sleep(0.05)
    return path.read_text()


@pytest.fixture
def environment(tools: Tools, tmp_path: Path) -> Mapping[str, str]:
    if tools.language_host is None:
        pytest.skip("the official CLI brings a language host of its own")
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps({"name": "small", "runtime": runtime}))
    (tmp_path / "__main__.py").write_text(PROGRAM)
    made = pulumi_environment(tools, home=tmp_path / "home", backend=tmp_path / "state", providers={})
    subprocess.run([tools.pulumi, "stack", "init", "test"], cwd=tmp_path, env=made, check=True, capture_output=True)  # noqa: S603 - the engine that was set up
    return made


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_neither_program_nor_host_outlives_an_engine_that_was(
    number: signal.Signals, tools: Tools, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    with subprocess.Popen(  # noqa: S603 - the engine that was set up
        [tools.pulumi, "preview", "--non-interactive"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as engine:
        pids = [int(word) for word in wait_for(tmp_path / "pids").split()]
        assert all(map(is_running, pids))

        if number == signal.SIGKILL:
            engine.kill()
        else:  # as a terminal does it: the whole process group
            os.killpg(engine.pid, number)
        output, _ = engine.communicate(timeout=20)

    deadline = time.monotonic() + 5
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "a process lives on"
        time.sleep(0.05)
    assert b"language_host" not in output, output.decode()
