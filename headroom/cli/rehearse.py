"""`headroom rehearse`."""

import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from headroom.addresses.problems import ProblemsError
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.narration import Narrator, Phase
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world

SCENARIOS = {"eks-exhausted": "headroom.rehearsal.scenarios.eks_exhausted"}

FAILED = 1
PLAIN_WIDTH = 160
"""Columns where no terminal says how many it has."""


@click.command()
@click.option(
    "--scenario", type=click.Choice(list(SCENARIOS)), default="eks-exhausted", show_default=True, help="What to play."
)
@click.option("--keep", is_flag=True, help="Leave it running at the end, and say how to reach it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead; the story goes to stderr.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to keep logs and state (else removed).")
def rehearse(scenario: str, *, keep: bool, as_json: bool, folder: Path | None) -> None:
    """Play an incident on this machine, with no cloud account, and see it cured.

    \b
    headroom rehearse
    headroom rehearse --keep      then look around with kubectl, aws and pulumi

    The Pulumi engine, etcd, the Kubernetes API server, scheduler and controllers are the real ones. Simulated are
    the AWS API, the providers, the kubelets and the VPC CNI; whether pods get addresses is not scripted.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    started = time.monotonic()
    terminal = (sys.stderr if as_json else sys.stdout).isatty()
    console = Console(stderr=as_json, highlight=False, width=None if terminal else PLAIN_WIDTH)
    narrator = Narrator(console)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    tools = find_tools()
    module = importlib.import_module(SCENARIOS[scenario])
    place = folder or Path(tempfile.mkdtemp(prefix="headroom-rehearsal-"))
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise click.UsageError(f"--folder {place} is not empty. Name a new folder, or leave the option out.")
    kept = folder is not None
    try:
        console.print(
            f"Rehearsing {scenario} with Pulumi {tools.pulumi_version}, Kubernetes {tools.kubernetes_version} "
            "and a simulated AWS"
        )
        world, phase_seconds = _start(place, tools)
        with world:
            clock = Clock(module.START, module.SPEED)
            narrator.simulated_now = clock.now
            result = module.play(world, narrator, clock)
            result |= {
                "phases": [{"name": "start", "seconds": phase_seconds}, *(_phase(phase) for phase in narrator.phases)],
                "seconds": round(time.monotonic() - started, 1),
                "peakMemoryMiB": round(_peak_memory(world)),
            }
            _finish(narrator, result)
            if as_json:
                click.echo(json.dumps(result, indent=2))
            if keep:
                _stay(console, world)
    except KeyboardInterrupt:
        console.print("\nInterrupted: every process that it started has been ended.")
        sys.exit(130)
    except (ProblemsError, click.ClickException):
        raise
    except RuntimeError as error:
        console.print(f"\nThe rehearsal failed: {error}", markup=False)
        console.print(f"Logs are in {place}", markup=False)
        kept = True
        sys.exit(FAILED)
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "seconds": phase.seconds,
        "simulatedSeconds": phase.simulated_seconds,
        "figures": phase.facts,
    }


def _start(place: Path, tools: Any) -> tuple[World, float]:
    started = time.monotonic()
    return start_world(place, tools), round(time.monotonic() - started, 1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _finish(narrator: Narrator, result: dict[str, Any]) -> None:
    narrator.console.print()
    narrator.console.rule("[bold]What happened", align="left")
    narrator.table(
        ("PHASE", "SECONDS", "SIMULATED", "FIGURES"),
        [
            (
                phase["name"],
                phase["seconds"],
                _duration(phase.get("simulatedSeconds", 0)),
                ", ".join(f"{name} {value}" for name, value in phase.get("figures", {}).items()),
            )
            for phase in result["phases"]
        ],
    )
    narrator.say(f"In all {result['seconds']} s, {result['peakMemoryMiB']:,} MiB.")
    narrator.say("\nWhat this rehearsal cannot show:")
    for line in result["cannotShow"]:
        narrator.say(f"  - {line}")
    narrator.say("\nNext: stacks/Pulumi.example-emergency.yaml is the file to copy for a cluster of your own.")


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s" if seconds else ""


def _peak_memory(world: World) -> float:
    """MiB: our own peak, that of the children that have ended, and what the running ones hold now."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    pids = [world.endpoint.helper.process.pid, *(helper.process.pid for helper in world.providers)]
    if world.control_plane is not None:
        pids += world.control_plane.process_ids.values()
    return own + ended + sum(_high_water(pid) for pid in pids)


def _high_water(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():  # not on Linux: then what the children that ended held has to do
        return 0.0
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _stay(console: Console, world: World) -> None:
    kubeconfig = world.control_plane.kubeconfig if world.control_plane is not None else ""
    console.print("\nIt keeps running. In another terminal:", markup=False)
    for name, value in sorted(world.engine.environment.items()):
        if name.startswith(("AWS_", "PULUMI_", "KUBECONFIG", "HEADROOM_")):
            console.print(f"  export {name}={value}", markup=False, soft_wrap=True)
    folders = world.engine.environment["PATH"].split(os.pathsep)[:2]
    console.print(f"  export PATH={os.pathsep.join(folders)}:$PATH", markup=False, soft_wrap=True)
    console.print(f"  cd {world.engine.project} && pulumi stack", markup=False, soft_wrap=True)
    console.print(f"  kubectl --kubeconfig {kubeconfig} get pods -A", markup=False, soft_wrap=True)
    console.print("  aws ec2 describe-subnets", markup=False)
    console.print("Ctrl-C ends it.")
    signal.pause()
