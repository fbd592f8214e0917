"""What of a large log means something: Headroom's scan beside ripgrep with the same patterns.

Run: python benchmarks/log_matching.py [--megabytes 200]

The log is made at run time: a busy node's ipamd.log, plugin.log, journal of kubelet and containerd, and aws-node's own
output, with an exhausted subnet in a small part of it. Both read the same files with one thread, each in a process of
its own, and the processor seconds of the whole process count (start included), so that other work on the machine
does not. ripgrep comes from `benchmarks/peers.lock`; look-arounds, which it does not know, are left out of its
patterns. Target: 200 MB/s a core, or five times ripgrep's seconds, for all files together.
"""

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headroom.collect.logs import read_log
from headroom.diagnosis.signatures import signatures

MEGABYTES: Final = 200
TARGET_RATE: Final = 200.0
"""Megabytes a second of one core."""
TARGET_RATIO: Final = 5.0
"""Times ripgrep's seconds."""
ROUNDS: Final = 3
MATCHING: Final = 0.004
"""Share of lines that tell of the incident: a minute of it in some four hours of a busy node."""
LINES: Final = 2_000
"""Different lines of each file; the file repeats them with other times, as logs do."""

_LOOK_AROUND: Final = re.compile(r"\(\?<?[!=][^()]*\)")
_GROUP_NAME: Final = re.compile(r"\?P<\w+>")

Say = Callable[[random.Random], str]


def _hex(dice: random.Random, length: int) -> str:
    return f"{dice.getrandbits(4 * length):0{length}x}"


def _address(dice: random.Random) -> str:
    return f"10.68.{dice.randrange(204, 216)}.{dice.randrange(256)}"


def _pod(dice: random.Random) -> str:
    name = dice.choice(("checkout-api", "payments", "search", "report", "ingest-worker", "web"))
    return f"{name}-{_hex(dice, 9)}-{_hex(dice, 5)}"


def _zap(level: str, caller: str, message: Say) -> Say:
    return lambda dice: json.dumps(
        {"level": level, "ts": "@", "caller": f"{caller}:{dice.randrange(100, 1900)}", "msg": message(dice)},
        separators=(",", ":"),
    )


def _journal(program: str, text: Say) -> Say:
    return lambda dice: f"Nov 21 12:00:00 ip-10-68-204-17 {program}[{dice.randrange(900, 9000)}]: {text(dice)}"


def _klog(level: str, text: Say) -> Say:
    return lambda dice: f"{level}1121 @ {dice.randrange(900, 9000)} {text(dice)}"


IPAMD: Final[Sequence[tuple[int, Say]]] = (
    (30, _zap("debug", "ipamd/ipamd.go", lambda _: "Reconciling ENI/IP pool info because time since last 1m0.4s")),
    (
        60,
        _zap(
            "debug",
            "ipamd/ipamd.go",
            lambda dice: (
                f"IP stats for Network Card 0 - total IPs: 58, assigned IPs: {dice.randrange(10, 50)}, cooldown IPs: 1"
            ),
        ),
    ),
    (
        40,
        _zap(
            "debug",
            "ipamd/ipamd.go",
            lambda dice: (
                f"Current warm IP stats : target: 5, total: 58, assigned: {dice.randrange(10, 50)}, available: 8, "
                "cooldown: 0, short: 0, over: 0"
            ),
        ),
    ),
    (
        60,
        _zap(
            "info",
            "rpc/rpc.pb.go",
            lambda dice: (
                f"Received AddNetwork for NS /var/run/netns/cni-{_hex(dice, 8)}, Sandbox {_hex(dice, 64)}, ifname eth0"
            ),
        ),
    ),
    (
        60,
        _zap(
            "info",
            "ipamd/rpc_handler.go",
            lambda dice: f"Send AddNetworkReply: IPv4Addr: {_address(dice)}, IPv6Addr: , DeviceNumber: 1, err: <nil>",
        ),
    ),
    (
        80,
        _zap(
            "debug",
            "datastore/data_store.go",
            lambda dice: f"AssignPodIPv4Address: Assign IP {_address(dice)} to sandbox aws-cni/{_hex(dice, 64)}/eth0",
        ),
    ),
    (
        80,
        _zap(
            "debug",
            "datastore/data_store.go",
            lambda dice: (
                f"UnassignPodIPAddress: sandbox aws-cni/{_hex(dice, 64)}/eth0's ipAddr {_address(dice)}, DeviceNumber 1"
            ),
        ),
    ),
    (
        60,
        _zap(
            "debug",
            "ipamd/ipamd.go",
            lambda dice: f"Reconcile existing ENI eni-{_hex(dice, 17)} IP pool, matched with instance metadata",
        ),
    ),
    (
        40,
        _zap(
            "debug",
            "awsutils/awsutils.go",
            lambda dice: f"Found ENI: eni-{_hex(dice, 17)}, MAC 0a:{_hex(dice, 2)}:ff:{_hex(dice, 2)}:31:09, device 1",
        ),
    ),
    (20, _zap("debug", "networkutils/network.go", lambda dice: f"Update Rule List[{dice.randrange(40)}] with CIDRs")),
)

PLUGIN: Final[Sequence[tuple[int, Say]]] = (
    (
        50,
        _zap(
            "info",
            "routed-eni-cni-plugin/cni.go",
            lambda dice: (
                f"Received CNI add request: ContainerID({_hex(dice, 64)}) Netns(/var/run/netns/cni-{_hex(dice, 8)}) "
                f"IfName(eth0) Args(K8S_POD_NAMESPACE=shop;K8S_POD_NAME={_pod(dice)}) Path(/opt/cni/bin)"
            ),
        ),
    ),
    (
        50,
        _zap(
            "info",
            "routed-eni-cni-plugin/cni.go",
            lambda dice: (
                f"Received add network response from ipamd for container {_hex(dice, 64)} interface eth0: "
                f'Success:true  IPv4Addr:"{_address(dice)}"  UseExternalSNAT:true  DeviceNumber:1'
            ),
        ),
    ),
    (
        50,
        _zap(
            "debug",
            "driver/driver.go",
            lambda dice: f"Successfully setup container route, containerAddr={_address(dice)}/32, rtTable=main",
        ),
    ),
    (
        50,
        _zap("debug", "driver/driver.go", lambda dice: f"SetupPodNetwork: hostVethName=eni{_hex(dice, 11)}, mtu=9001"),
    ),
)

JOURNAL: Final[Sequence[tuple[int, Say]]] = (
    (
        60,
        _journal(
            "kubelet",
            _klog("I", lambda dice: f'kubelet.go:2447] "SyncLoop ADD" source="api" pods=["shop/{_pod(dice)}"]'),
        ),
    ),
    (
        60,
        _journal(
            "kubelet",
            _klog(
                "I",
                lambda dice: (
                    'reconciler_common.go:245] "operationExecutor.VerifyControllerAttachedVolume started for volume '
                    f'\\"kube-api-access-{_hex(dice, 5)}\\" (UniqueName: '
                    f'\\"kubernetes.io/projected/{_hex(dice, 32)}\\") '
                    f'pod \\"{_pod(dice)}\\" " pod="shop/{_pod(dice)}"'
                ),
            ),
        ),
    ),
    (
        60,
        _journal(
            "kubelet",
            _klog(
                "I",
                lambda dice: (
                    f'pod_startup_latency_tracker.go:104] "Observed pod startup duration" pod="shop/{_pod(dice)}" '
                    "podStartSLOduration=2.31"
                ),
            ),
        ),
    ),
    (
        20,
        _journal(
            "kubelet",
            _klog("W", lambda dice: f'prober.go:107] "Probe warning" probeType="Liveness" pod="shop/{_pod(dice)}"'),
        ),
    ),
    (
        80,
        _journal(
            "containerd",
            lambda dice: (
                f'time="@" level=info msg="RunPodSandbox for &PodSandboxMetadata{{Name:{_pod(dice)},'
                f'Uid:{_hex(dice, 32)},Namespace:shop,Attempt:0,}} returns sandbox id \\"{_hex(dice, 64)}\\""'
            ),
        ),
    ),
    (
        80,
        _journal(
            "containerd",
            lambda dice: f'time="@" level=info msg="StartContainer for \\"{_hex(dice, 64)}\\" returns successfully"',
        ),
    ),
    (30, _journal("systemd", lambda dice: f"run-netns-cni\\x2d{_hex(dice, 8)}.mount: Deactivated successfully.")),
    (10, _journal("chronyd", lambda dice: f"Selected source 169.254.169.123 (offset {dice.random():.6f})")),
)

AWS_NODE: Final[Sequence[tuple[int, Say]]] = (
    (20, _zap("info", "entrypoint.sh", lambda _: "Install CNI binaries..")),
    (20, _zap("info", "entrypoint.sh", lambda _: "Copied over CNI plugin binaries and config")),
    (40, lambda dice: f"time=@ level=info msg=Serving metrics port=61678 conn={dice.randrange(99)}"),
    (40, lambda dice: f"@ [INFO] Reconciled {dice.randrange(60)} addresses of eni-{_hex(dice, 17)}"),
)

_REFUSAL: Final = (
    "InsufficientFreeAddressesInSubnet: The specified subnet does not have enough free addresses "
    "to satisfy the request."
)
TROUBLE: Final[dict[str, Sequence[Say]]] = {
    "ipamd.log": (
        _zap("error", "ipamd/ipamd.go", lambda _: f"Failed to CreateNetworkInterface {_REFUSAL}"),
        _zap("debug", "datastore/data_store.go", lambda _: "DataStore has no available IP/Prefix addresses"),
        _zap(
            "info",
            "ipamd/rpc_handler.go",
            lambda _: (
                "Send AddNetworkReply: IPv4Addr: , IPv6Addr: , DeviceNumber: -1, err: "
                "assignPodIPv4AddressUnsafe: no available IP/Prefix addresses"
            ),
        ),
    ),
    "plugin.log": (
        _zap(
            "error",
            "routed-eni-cni-plugin/cni.go",
            lambda dice: f"Failed to assign an IP address to container {_hex(dice, 64)}",
        ),
    ),
    "journal.log": (
        _journal(
            "kubelet",
            _klog(
                "E",
                lambda dice: (
                    'pod_workers.go:1298] "Error syncing pod, skipping" err="failed to \\"CreatePodSandbox\\" for '
                    f'\\"{_pod(dice)}_shop\\": rpc error: code = Unknown desc = failed to setup network for sandbox '
                    f'\\"{_hex(dice, 64)}\\": plugin type=\\"aws-cni\\" name=\\"aws-cni\\" failed (add): add cmd: '
                    'failed to assign an IP address to container"'
                ),
            ),
        ),
    ),
    "aws-node.log": (_zap("error", "aws-k8s-agent/main.go", lambda _: "Initialization failure: context deadline"),),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of log: its name, its share of all bytes, and its lines with how often each comes."""

    name: str
    share: float
    lines: Sequence[tuple[int, Say]]


KINDS: Final = (
    Kind("ipamd.log", 0.55, IPAMD),
    Kind("plugin.log", 0.15, PLUGIN),
    Kind("journal.log", 0.25, JOURNAL),
    Kind("aws-node.log", 0.05, AWS_NODE),
)


def lines_of(kind: Kind, dice: random.Random) -> Iterator[str]:
    """Lines of one kind, without end: `@` stands for the time."""
    weights = [weight for weight, _ in kind.lines]
    while True:
        if dice.random() < MATCHING:
            yield dice.choice(TROUBLE[kind.name])(dice)
        else:
            yield dice.choices(kind.lines, weights)[0][1](dice)


def write_log(kind: Kind, path: Path, size: int) -> None:
    """Writes a log of at least that many bytes."""
    dice = random.Random(kind.name)  # noqa: S311 - the same log every time
    source = lines_of(kind, dice)
    templates = [next(source) for _ in range(LINES)]
    second = 0
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            dice.shuffle(templates)
            chunk = []
            for line in templates:
                second += 1
                hour, minute = second // 36000 % 24, second // 600 % 60
                stamp = f"2026-11-21T{hour:02}:{minute:02}:{second // 10 % 60:02}.{second % 1000:03}Z"
                chunk.append(line.replace("@", stamp))
            file.write("\n".join(chunk) + "\n")


def ripgrep_patterns() -> str:
    """The patterns of all signatures, one a line, as ripgrep knows them."""
    patterns = (_GROUP_NAME.sub("", _LOOK_AROUND.sub("", each.pattern.pattern)) for each in signatures())
    return "\n".join(patterns) + "\n"


def processor_seconds(command: Sequence[str]) -> tuple[float, str]:
    """User and system seconds of a process, the best of some, and what it printed."""
    best, printed = float("inf"), ""
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - ours, or a peer of the lock
        if done.returncode not in {0, 1}:
            raise RuntimeError(f"{command[0]} exited with {done.returncode}:\n{done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        printed = done.stdout
    return best, printed


def scan(paths: Sequence[Path]) -> None:
    """Prints, as JSON, how many lines of each file meant something, and of how many kinds."""
    found = {}
    for path in paths:
        kept, source = read_log(path)
        found[path.name] = (sum(line.count or 1 for line in kept), len(kept), source.items)
    print(json.dumps(found))


def measure(folder: Path, megabytes: int) -> int:
    """Prints the table; 1 if neither target is reached."""
    from benchmarks.check import peers  # noqa: PLC0415 - the scanning processes need none of what it imports

    for kind in KINDS:
        write_log(kind, folder / kind.name, int(kind.share * megabytes * 1e6))
    paths = [folder / kind.name for kind in KINDS]
    bin_ = peers()
    patterns = folder / "patterns"
    patterns.write_text(ripgrep_patterns(), encoding="utf-8")
    ours = (sys.executable, __file__, "--scan")
    one_line = folder / "one-line.log"
    one_line.write_text(_REFUSAL + "\n", encoding="utf-8")
    start, _ = processor_seconds([*ours, str(one_line)])
    columns = f"{'headroom s':>12}{'MB/s':>7}{'lines':>9}{'kinds':>7}{'ripgrep s':>12}{'lines':>9}{'ratio':>8}"
    print(f"{'log':<14}{'MB':>7}{columns}")
    rate = ratio = 0.0
    for name, some in [*((path.name, [path]) for path in paths), ("all", paths)]:
        size = sum(path.stat().st_size for path in some) / 1e6
        seconds, printed = processor_seconds([*ours, *map(str, some)])
        found = json.loads(printed).values()
        rate = size / (seconds - start)
        row = f"{name:<14}{size:>7.0f}{seconds:>12.2f}{rate:>7.0f}"
        row += f"{sum(lines for lines, _, _ in found):>9,}{sum(kinds for _, kinds, _ in found):>7}"
        if bin_ is not None:
            options = ("--no-config", "-j1", "-a", "-i", "--no-unicode", "-c", "-I", "-f", str(patterns))
            theirs, counts = processor_seconds([str(bin_ / "rg"), *options, *map(str, some)])
            ratio = seconds / theirs
            row += f"{theirs:>12.2f}{sum(int(line) for line in counts.splitlines()):>9,}{ratio:>7.1f}x"
        print(row)
    print(
        f"start, and one line: {start:.2f} s, in the seconds and the ratio, not in MB/s; lines: ripgrep's are all that"
    )
    print("match, Headroom's those that mean something (a pool's figures do only where nothing is left)")
    reached = rate >= TARGET_RATE or 0 < ratio <= TARGET_RATIO
    beside = f"{ratio:.1f} times ripgrep's seconds" if ratio else "no ripgrep to compare with"
    print(
        f"{'reached' if reached else 'NOT reached'}: {rate:.0f} MB/s, {beside} "
        f"(target: {TARGET_RATE:.0f} MB/s a core, or at most {TARGET_RATIO:g} times)"
    )
    return 0 if reached else 1


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Log matching beside ripgrep.")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, metavar="MB", help="size of the log")
    parser.add_argument("--scan", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scan is not None:
        scan(arguments.scan)
        return 0
    with tempfile.TemporaryDirectory(prefix="headroom-benchmark-") as folder:
        return measure(Path(folder), arguments.megabytes)


if __name__ == "__main__":
    sys.exit(main())
