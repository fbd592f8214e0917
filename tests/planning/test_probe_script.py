"""The script of a probe's pod, run by this machine's shell with a stand-in for agnhost."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from headroom.planning.probe_jobs import SCRIPT
from headroom.planning.probe_results import Answer, Outcome, answers_of

if TYPE_CHECKING:
    from pathlib import Path

# Counts its calls for each address, and connects from the one given to the other.
AGNHOST = """#!/bin/sh
count=$(cat "$0.$2" 2>/dev/null || echo 0); count=$((count + 1)); echo $count > "$0.$2"
case "$2" in
  dead:*) echo TIMEOUT >&2; exit 1 ;;
  closed:*) echo REFUSED >&2; exit 1 ;;
  lost:*) echo "OTHER: no route to host" >&2; exit 1 ;;
  slow:*) [ $count -ge 3 ] || { echo TIMEOUT >&2; exit 1; } ;;
  late:*) [ $count -lt 3 ] || { echo TIMEOUT >&2; exit 1; } ;;
  lossy:*) [ $((count % 2)) = 1 ] || { echo TIMEOUT >&2; exit 1; } ;;
esac
"""


def told(folder: Path, *probes: str, api: str = "10.0.0.1") -> dict[str, Answer]:
    """What the script writes of some probes."""
    agnhost, log = folder / "agnhost", folder / "log"
    agnhost.write_text(AGNHOST, encoding="utf-8")
    agnhost.chmod(0o755)
    text = SCRIPT.replace("/agnhost", str(agnhost)).replace("/dev/termination-log", str(log))
    text = text.replace("sleep 2", "sleep 0.01").replace("sleep 5", "true")
    environment = {**os.environ, "KUBERNETES_SERVICE_HOST": api, "KUBERNETES_SERVICE_PORT": "443"}
    command = ["/bin/sh", "-c", text, "probe", *probes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - our own script
    assert answers_of(done.stdout) == answers_of(log.read_text(encoding="utf-8"))
    assert done.stderr == ""
    return answers_of(done.stdout)


def test_every_outcome_is_told_for_every_probe(tmp_path: Path) -> None:
    hosts = ("open", "dead", "closed", "lost")
    words = [
        word for host in hosts for word in ("allowed", f"a-{host}", f"{host}:80", "denied", f"d-{host}", f"{host}:81")
    ]
    found = told(tmp_path, *words)
    assert {name: (each.outcome, each.tries) for name, each in found.items()} == {
        "self": (Outcome.CONNECTED, 1),
        "a-open": (Outcome.CONNECTED, 1),
        "a-dead": (Outcome.TIMEOUT, 8),
        "a-closed": (Outcome.REFUSED, 8),
        "a-lost": (Outcome.OTHER, 8),
        "d-open": (Outcome.CONNECTED, 6),
        "d-dead": (Outcome.TIMEOUT, 2),
        "d-closed": (Outcome.REFUSED, 2),
        "d-lost": (Outcome.OTHER, 2),
    }


@pytest.mark.parametrize(
    ("expects", "host", "answer"),
    [
        # The network of a new pod with Calico on Azure CNI comes a moment later.
        ("allowed", "slow", Answer(outcome=Outcome.CONNECTED, tries=3)),
        # A policy that takes hold a moment after the pod started.
        ("denied", "late", Answer(outcome=Outcome.TIMEOUT, tries=4)),
        # One lost packet is no denial.
        ("denied", "lossy", Answer(outcome=Outcome.CONNECTED, tries=6)),
    ],
)
def test_a_pod_tries_again_before_it_tells(expects: str, host: str, answer: Answer, tmp_path: Path) -> None:
    assert told(tmp_path, expects, "x", f"{host}:80")["x"] == answer


def test_an_api_server_of_the_other_family_is_named_in_brackets(tmp_path: Path) -> None:
    told(tmp_path, api="fd00::1")
    assert (tmp_path / "agnhost.[fd00::1]:443").exists()
