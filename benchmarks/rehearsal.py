"""A whole rehearsal, warm: seconds and memory beside their targets, phase by phase."""

import json
import subprocess
import sys
from pathlib import Path

TARGET_SECONDS, TARGET_MIB = 60, 2048


def main() -> None:
    """Prints the table."""
    command = [str(Path(sys.executable).with_name("headroom")), "rehearse", "--json"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
    result = json.loads(answer.stdout)
    print(f"{'phase':12} {'s':>6}")
    for phase in result["phases"]:
        print(f"{phase['name']:12} {phase['seconds']:6.1f}")
    for name, value, target, unit in (
        ("in all", result["seconds"], TARGET_SECONDS, "s"),
        ("memory", result["peakMemoryMiB"], TARGET_MIB, "MiB"),
    ):
        print(f"{name:12} {value:6,.0f} {unit}, {value / target:.2f} of the target of {target:,} {unit}")


if __name__ == "__main__":
    main()
