"""`headroom rehearse`."""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from headroom.addresses.problems import ProblemsError
from headroom.cli import INTERRUPTED
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.narration import Narrator, Phase
from headroom.rehearsal.tools import Tools, find_tools
from headroom.rehearsal.world import REGION, World, start_world

if TYPE_CHECKING:
    from headroom.rehearsal.aks_world import AksWorld
    from headroom.rehearsal.scenarios.twin.original import Original

EXHAUSTED = "eks-exhausted"
WATCH = "eks-watch"
AKS_EXHAUSTED = "aks-kubenet-exhausted"
SCENARIOS = (
    EXHAUSTED,
    "eks-fragmented",
    "eks-eni-limit",
    "eks-two-causes",
    "eks-own-space",
    "eks-cooldown",
    "eks-warm-pool",
    "eks-leaked-enis",
    "eks-old-cni",
    "eks-iam",
    "eks-throttled",
    "eks-node-subnet-full",
    "eks-healthy",
    "eks-not-ip",
    WATCH,
    AKS_EXHAUSTED,
    "aks-in-place",
    "aks-host-local-leak",
    "aks-node-subnet-full",
    "aks-overlay-block",
    "aks-pod-cidr",
)
"""By name: `eks-exhausted`, `eks-watch` and `aks-kubenet-exhausted` have modules of their own, the others are in
`headroom.rehearsal.scenarios.incidents` and `aks_incidents`."""
AKS = "aks-"
"""How the names of scenarios on Azure begin."""

NEXT = "stacks/Pulumi.example-emergency.yaml is the file to copy for a cluster of your own."
FAILED = 1
UNPROVEN = 3
"""A copy cannot show all that the plan needs."""
PLAIN_WIDTH = 160
"""Columns where no terminal says how many it has."""


@click.command()
@click.option("--scenario", type=click.Choice(SCENARIOS), default=EXHAUSTED, show_default=True, help="What to play.")
@click.option("--all", "play_all", is_flag=True, help="Play every scenario, and end with a table of verdicts.")
@click.option("--facts", type=click.Path(path_type=Path), help="Rebuild the cluster of a snapshot, and cure the copy.")
@click.option("--save", type=click.Path(path_type=Path), help="Write each scenario's facts and verdict here.")
@click.option("--keep", is_flag=True, help="Leave it running at the end, and say how to reach it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead; the story goes to stderr.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to keep logs and state (else removed).")
def rehearse(  # noqa: C901, PLR0913 - one argument for each option, and what may not stand together
    scenario: str,
    *,
    play_all: bool,
    facts: Path | None,
    save: Path | None,
    keep: bool,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Play an incident on this machine, with no cloud account, and see it cured.

    \b
    headroom rehearse
    headroom rehearse --keep      then look around with kubectl, aws and pulumi
    headroom rehearse --all       every scenario, and a table of verdicts
    headroom rehearse --facts snapshot.json      your own cluster, as headroom collect has read it

    The Pulumi engine, etcd, the Kubernetes API server, scheduler and controllers are the real ones. Simulated are
    the APIs of AWS and Azure, the providers, the kubelets and the CNI; whether pods get addresses is not scripted.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    chosen = scenario != EXHAUSTED
    if play_all and (keep or chosen):
        raise click.UsageError("--all plays every scenario and keeps none. Leave --keep and --scenario out.")
    if facts is not None and (play_all or save is not None or chosen):
        raise click.UsageError("--facts plays a copy of one cluster. Leave --all, --save and --scenario out.")
    original = _original(facts) if facts is not None else None
    what = scenario if original is None else f"on a copy of {original.name}"
    terminal = (sys.stderr if as_json else sys.stdout).isatty()
    console = Console(stderr=as_json, highlight=False, width=None if terminal else PLAIN_WIDTH)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    tools = find_tools()
    place = _place(folder)
    kept = folder is not None
    try:
        if play_all:
            failed = _play_all(console, place, tools, save, as_json=as_json)
            kept = kept or failed
            if failed:
                console.print(f"Logs are in {place}", markup=False)
                sys.exit(FAILED)
            return
        console.print(
            f"Rehearsing {what} with Pulumi {tools.pulumi_version}, Kubernetes {tools.kubernetes_version} "
            f"and a simulated {'Azure' if scenario.startswith(AKS) else 'AWS'}"
        )
        narrator = Narrator(console)
        with _playing(scenario, place, tools, narrator, save, original) as (world, result):
            _finish(narrator, result)
            if as_json:
                click.echo(json.dumps(result, indent=2))
            if keep:
                _stay(console, world)
            if result.get("unproven"):
                sys.exit(UNPROVEN)
    except KeyboardInterrupt:
        console.print("\nInterrupted: every process that it started has been ended.")
        sys.exit(INTERRUPTED)
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


def _place(folder: Path | None) -> Path:
    place = folder or Path(tempfile.mkdtemp(prefix="headroom-rehearsal-"))
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise click.UsageError(f"--folder {place} is not empty. Name a new folder, or leave the option out.")
    return place


@contextmanager
def _playing(  # noqa: PLR0913, PLR0917 - what a rehearsal needs
    scenario: str,
    place: Path,
    tools: Tools,
    narrator: Narrator,
    save: Path | None,
    original: "Original | None" = None,
) -> Iterator[tuple["World | AksWorld", dict[str, Any]]]:
    """Plays a scenario, or on the copy of a cluster; the world lives on until the block ends."""
    started = time.monotonic()
    world, phase_seconds = _start(scenario, place, tools, original.region if original is not None else REGION)
    with world:
        clock, play = _scenario(scenario, save) if original is None else _copy(original)
        narrator.simulated_now = clock.now
        result = play(world, narrator, clock)
        result |= {
            "phases": [{"name": "start", "seconds": phase_seconds}, *(_phase(phase) for phase in narrator.phases)],
            "seconds": round(time.monotonic() - started, 1),
            "peakMemoryMiB": round(_peak_memory(world)),
        }
        yield world, result


def _scenario(name: str, save: Path | None) -> tuple[Clock, Callable[[Any, Narrator, Clock], dict[str, Any]]]:
    """A scenario's clock, and what plays it; imported here, for `--help` needs neither."""
    if name == AKS_EXHAUSTED:
        from headroom.rehearsal.scenarios import aks_exhausted, incident  # noqa: PLC0415

        return Clock(incident.START, incident.SPEED), partial(aks_exhausted.play, save=save)
    if name == EXHAUSTED:
        from headroom.rehearsal.scenarios import eks_exhausted, incident  # noqa: PLC0415

        return Clock(incident.START, incident.SPEED), partial(eks_exhausted.play, save=save)
    if name.startswith(AKS):
        from headroom.rehearsal.scenarios import aks_incidents, incident  # noqa: PLC0415

        chosen = aks_incidents.INCIDENTS[name]
        return Clock(incident.START, incident.SPEED), partial(aks_incidents.play, chosen, save=save)
    if name == WATCH:
        from headroom.rehearsal.scenarios import eks_watch  # noqa: PLC0415

        return Clock(eks_watch.START, eks_watch.SPEED), eks_watch.play
    from headroom.rehearsal.scenarios import incident  # noqa: PLC0415
    from headroom.rehearsal.scenarios.incidents import INCIDENTS  # noqa: PLC0415

    return Clock(incident.START, incident.SPEED), partial(incident.play, INCIDENTS[name], save=save)


def _original(facts: Path) -> "Original":
    """The cluster of a snapshot; imported here, for `--help` does not need it."""
    from headroom.rehearsal.scenarios.twin.play import open_original  # noqa: PLC0415

    return open_original(facts)


def _copy(original: "Original") -> tuple[Clock, Callable[[Any, Narrator, Clock], dict[str, Any]]]:
    from headroom.rehearsal.scenarios import incident  # noqa: PLC0415
    from headroom.rehearsal.scenarios.twin.play import play  # noqa: PLC0415

    return Clock(original.collected_at, incident.SPEED), partial(play, original)


def _play_all(console: Console, place: Path, tools: Tools, save: Path | None, *, as_json: bool) -> bool:
    """Plays every scenario, each with its story in a file, and shows the table; returns whether one failed."""
    rows: list[dict[str, Any]] = []
    for name in SCENARIOS:
        folder = place / name
        folder.mkdir()
        with _announced(console, name), (folder / "story.txt").open("w", encoding="utf-8") as file:
            narrator = Narrator(Console(file=file, highlight=False, width=PLAIN_WIDTH))
            try:
                with _playing(name, folder, tools, narrator, save) as (_, result):
                    rows.append(result)
            except RuntimeError as error:
                rows.append({"scenario": name, "failed": str(error)})
        console.print(_line(rows[-1]), markup=False, soft_wrap=True)
    table = Narrator(console)
    table.table(
        ("SCENARIO", "VERDICT", "CAUSES", "SECONDS", "PAGE TO PREVIEW", "CLOUD CALLS"),
        [
            (
                row["scenario"],
                row.get("verdict", "failed" if "failed" in row else "found"),
                ", ".join(row.get("causes", [])),
                row.get("seconds", ""),
                row.get("pageToPreview", ""),
                row.get("callsOfDiagnosis", ""),
            )
            for row in rows
        ],
    )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    return any("failed" in row for row in rows)


@contextmanager
def _announced(console: Console, name: str) -> Iterator[None]:
    """Tells what is being played: a spinner at a terminal, elsewhere a line, at once."""
    if console.is_terminal:
        with console.status(name):
            yield
        return
    console.print(f"playing {name}", markup=False, soft_wrap=True)
    console.file.flush()
    yield


def _line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"✗ {row['scenario']}: {row['failed'].splitlines()[0]}"
    causes = f", {', '.join(row['causes'])}" if row.get("causes") else ""
    return f"✓ {row['scenario']}: {row.get('verdict', 'found')}{causes} ({row['seconds']} s)"


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "seconds": phase.seconds,
        "simulatedSeconds": phase.simulated_seconds,
        "figures": phase.facts,
    }


def _start(scenario: str, place: Path, tools: Tools, region: str = REGION) -> tuple["World | AksWorld", float]:
    started = time.monotonic()
    if scenario.startswith(AKS):
        from headroom.rehearsal.scenarios.aks_cluster import start_azure  # noqa: PLC0415 - the SDKs load slowly

        return start_azure(place, tools), round(time.monotonic() - started, 1)
    return start_world(place, tools, region=region), round(time.monotonic() - started, 1)


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
    narrator.say(f"\nNext: {result.get('next', NEXT)}")


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s" if seconds else ""


def _peak_memory(world: "World | AksWorld") -> float:
    """MiB: our own peak, that of the children that have ended, and what the running ones hold now."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return own + ended + sum(_high_water(pid) for pid in world.process_ids())


def _high_water(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():  # not on Linux: then what the children that ended held has to do
        return 0.0
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _stay(console: Console, world: "World | AksWorld") -> None:
    console.print("\nIt keeps running. In another terminal:", markup=False)
    for name, value in sorted(world.engine.environment.items()):
        if name.startswith(("AWS_", "ARM_", "PULUMI_", "KUBECONFIG", "HEADROOM_", "SSL_", "REQUESTS_")):
            console.print(f"  export {name}={value}", markup=False, soft_wrap=True)
    folders = world.engine.environment["PATH"].split(os.pathsep)[:2]
    console.print(f"  export PATH={os.pathsep.join(folders)}:$PATH", markup=False, soft_wrap=True)
    console.print(f"  cd {world.engine.project} && pulumi stack", markup=False, soft_wrap=True)
    for kubeconfig in world.kubeconfigs().values():
        console.print(f"  kubectl --kubeconfig {kubeconfig} get pods -A", markup=False, soft_wrap=True)
    for look in world.looks:
        console.print(f"  {look}", markup=False, soft_wrap=True)
    console.print("Ctrl-C ends it.")
    signal.pause()
