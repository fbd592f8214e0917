"""A diagnosis of 5,000 nodes, 150,000 pods and 20,000 interfaces: seconds and memory, part by part.

Run: python benchmarks/diagnosis.py [--nodes 5000]

The snapshot is made of the capacity model and written as JSON; each part is measured in a process of its own that has
loaded it, and its peak of memory includes the parsing. Floors beside the figures: reading the JSON with the standard
library, and one walk over all addresses.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.history import history
from headroom.diagnosis.impact import escalations, impact
from headroom.diagnosis.verdict import Cause, RootCause
from headroom.facts.document import dump, load
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items
from headroom.rehearsal import made
from headroom.report.page import render_page

NODES = 5_000
FULL = 250
"""Nodes that can hold no more, on which pods wait."""
MOST_SECONDS = 5.0
MOST_HISTORY_SECONDS = 2.0
MOST_BYTES = 1024**3

CAUSES = (Cause(root_cause=RootCause.ENI_LIMIT),)


def walk(snapshot: Snapshot) -> int:
    """The floor: every address of every interface is looked at once."""
    aws: Any = snapshot.aws
    kubernetes: Any = snapshot.kubernetes
    pods = {pod.ip for pod in items(kubernetes.pods)}
    return sum(address in pods for interface in items(aws.interfaces) for address in interface.addresses)


PARTS: dict[str, Callable[[Snapshot], object]] = {
    "one walk over all addresses (floor)": walk,
    "impact": lambda snapshot: impact(snapshot, CAUSES),
    "history": history,
    "escalations": lambda snapshot: escalations(snapshot, CAUSES),
    "diagnose, all of it": diagnose,
    "page (of a diagnosis)": lambda snapshot: render_page(diagnose(snapshot), snapshot=snapshot),
}


def measure(part: str, path: Path) -> None:
    """Prints what one part costs, as JSON: seconds, and the process's peak of memory, parsing included."""
    snapshot = load(path.read_text(encoding="utf-8"))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        PARTS[part](snapshot)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux
    print(json.dumps({"seconds": min(seconds), "first": seconds[0], "peak": peak}))


def main() -> int:
    """Prints the table; 1 if a figure is not reached."""
    parser = argparse.ArgumentParser(description="A large diagnosis against its figures.")
    parser.add_argument("--nodes", type=int, default=NODES, metavar="N", help="nodes of the cluster")
    parser.add_argument("--measure", nargs=2, metavar=("PART", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], Path(arguments.measure[1]))
        return 0
    snapshot = made.large(arguments.nodes, full=FULL)
    aws: Any = snapshot.aws
    kubernetes: Any = snapshot.kubernetes
    text = dump(snapshot)
    started = time.perf_counter()
    json.loads(text)
    parsed = time.perf_counter() - started
    started = time.perf_counter()
    load(text)
    loaded = time.perf_counter() - started
    print(
        f"{arguments.nodes:,} nodes, {len(kubernetes.pods):,} pods, {len(aws.interfaces):,} interfaces; "
        f"{len(text.encode()) / 1e6:,.0f} MB of JSON, json.loads {parsed:.1f} s, load {loaded:.1f} s"
    )
    failed = []
    print(f"{'':<40} {'best, s':>9} {'first, s':>9} {'peak, MiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.json"
        path.write_text(text, encoding="utf-8")
        for part in PARTS:
            done = subprocess.run(  # noqa: S603 - ourselves
                [sys.executable, __file__, "--measure", part, str(path)], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout)
            print(f"{part:<40} {found['seconds']:>9.2f} {found['first']:>9.2f} {found['peak'] / 2**20:>10,.0f}")
            most = {"diagnose, all of it": MOST_SECONDS, "history": MOST_HISTORY_SECONDS}.get(part)
            if (most is not None and found["first"] > most) or found["peak"] > MOST_BYTES:
                failed.append(part)
    for part in failed:
        print(f"not reached: {part}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
