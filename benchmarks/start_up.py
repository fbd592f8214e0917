"""How long the command takes to answer, beside an interpreter that does nothing and one that only imports click."""

import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
TARGET_SECONDS = 0.2

COMMANDS = {
    "python -c pass (the floor)": [sys.executable, "-c", "pass"],
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "headroom --help": [str(Path(sys.executable).with_name("headroom")), "--help"],
    "import the pure rooms": [
        sys.executable,
        "-c",
        "import headroom.addresses.association, headroom.capacity.pool",
    ],
}


def best_seconds(command: list[str]) -> float:
    """The best of some runs of a whole process."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Prints the table."""
    seconds = {name: best_seconds(command) for name, command in COMMANDS.items()}
    floor = next(iter(seconds.values()))
    print(f"{'whole process':28} {'best ms':>8} {'ratio':>6}   (target for --help: {TARGET_SECONDS * 1000:.0f} ms)")
    for name, best in seconds.items():
        print(f"{name:28} {best * 1000:8.0f} {best / floor:6.1f}")


if __name__ == "__main__":
    main()
