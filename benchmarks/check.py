"""`headroom check` on each of its doors, whole processes, and what the policy pack adds to a preview of 300 resources.

checkov and cfn-lint judge a CloudFormation template of the same subnets in the same run. They come from
`benchmarks/peers.lock`, once, into an environment in the cache; where they cannot be had, the table is without them.
Targets: ten times as fast as checkov on a stack file, a preview or a state; four times where the program runs, with 1
to 50 subnets (the Pulumi SDK takes some 3 ms a resource, so 1,000 are shown too); the pack ready in 0.4 s, and 1.3
times the engine's own time.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
import yaml
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from headroom.addresses.blocks import Block
from headroom.rehearsal.engine import CHECKOUT, Engine
from headroom.rehearsal.stack import make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import start_world
from toolchain.cache import cache_folder, locked
from toolchain.packages import Installer, PackagesError, lock_digest
from toolchain.progress import Progress

ROUNDS = 5
SUBNETS = (1, 50, 1_000)
CHECKOV = "checkov"
PREVIEW_RESOURCES = 300
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
HEADROOM = (sys.executable, "-c", "from headroom.cli import main; main()", "check")

PROGRAM = """\
import pulumi
from pulumi_aws import ec2

vpc_id = pulumi.Config().require("vpcId")
for index, block in enumerate(pulumi.Config().require_object("blocks")):
    ec2.Subnet(
        f"s{index}",
        vpc_id=vpc_id,
        availability_zone="us-east-1a",
        cidr_block=block,
        tags={"Name": f"s{index}"},
    )
"""


def blocks(count: int) -> list[str]:
    """Blocks of a /16 that hold two full nodes where there are few, /26s where there are many."""
    length = 22 if count <= 50 else 26  # noqa: PLR2004 - 64 /22s fill a /16
    return [str(block) for block, _ in zip(Block.parse("100.64.0.0/16").subblocks(length), range(count), strict=False)]


def stack_file(folder: Path, count: int) -> Path:
    """An emergency stack's file."""
    config: dict[str, Any] = yaml.safe_load(
        (CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml").read_text(encoding="utf-8")
    )["config"]
    config["headroom:podSubnets"] = {
        f"subnet-{index}": {"zone": ZONES[index % 3], "cidrBlock": block, "routeTableId": "rtb-11111111"}
        for index, block in enumerate(blocks(count))
    }
    path = folder / f"Pulumi.bench{count}.yaml"
    path.write_text(yaml.safe_dump({"config": config}, sort_keys=False), encoding="utf-8")
    return path


def states(count: int) -> list[dict[str, Any]]:
    """Subnets as a state export has them."""
    return [
        {
            "urn": f"urn:pulumi:bench::p::aws:ec2/subnet:Subnet::s{index}",
            "type": "aws:ec2/subnet:Subnet",
            "id": f"subnet-{index}",
            "custom": True,
            "inputs": {
                "vpcId": "vpc-1",
                "cidrBlock": block,
                "availabilityZone": ZONES[index % 3],
                "tags": {"Name": f"s{index}", "kubernetes.io/role/cni": "1"},
            },
            "propertyDependencies": {"vpcId": [], "cidrBlock": []},
        }
        for index, block in enumerate(blocks(count))
    ]


def template(folder: Path, count: int) -> Path:
    """The same subnets as CloudFormation."""
    resources = {
        f"Subnet{index}": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": "vpc-1", "CidrBlock": block, "AvailabilityZone": ZONES[index % 3]},
        }
        for index, block in enumerate(blocks(count))
    }
    path = folder / f"template{count}.json"
    path.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}), encoding="utf-8")
    return path


def timed(command: Sequence[str], folder: Path, codes: Sequence[int]) -> float:
    """Seconds of one whole process.

    Raises:
        RuntimeError: It exited with another code.
    """
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - ours, or a peer of the lock
    seconds = time.perf_counter() - started
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def row(name: str, values: Sequence[float]) -> None:
    """One line of the table."""
    print(f"{name:44} {min(values):8.2f} {statistics.median(values):9.2f}")


def peers() -> Path | None:
    """The environment of checkov, cfn-lint and ripgrep, made once; None where they cannot be had, with the reason."""
    lock = CHECKOUT / "benchmarks" / "peers.lock"
    cache = cache_folder()
    progress = Progress()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / f"benchmark-peers-{lock_digest(lock)}-{python}"
    if not (folder / "ready").exists():
        installer = Installer(cache=cache, progress=progress)
        try:
            with (
                locked(cache / f"{folder.name}.lock", progress, "the same packages"),
                progress.step("installing what the benchmarks compare with", "about 400 MB in the cache, once"),
            ):
                if not (folder / "ready").exists():
                    shutil.rmtree(folder, ignore_errors=True)
                    installer.create_environment(folder)
                    installer.install_locked(folder / "bin" / "python", lock)
                    (folder / "ready").touch()
        except (PackagesError, OSError) as error:
            print(f"checkov, cfn-lint and ripgrep cannot be had, so nothing is compared with them: {error}")
            return None
        finally:
            progress.close()
    return folder / "bin"


@dataclass(frozen=True, slots=True)
class Contender:
    """A command by the number of subnets that it judges, and the exit codes that mean it has judged."""

    name: str
    command: Callable[[int], Sequence[str]]
    codes: Sequence[int] = (0, 1, 3)
    target: float = 0.0
    """How many times as fast as checkov it has to be; zero where nothing was promised."""
    up_to: int = SUBNETS[-1]
    """Subnets up to which that was promised."""


def contenders(folder: Path, bin_: Path | None) -> list[Contender]:
    """Everybody who judges, on the same subnets."""

    def document(kind: str) -> Callable[[int], Sequence[str]]:
        return lambda count: (*HEADROOM, str(folder / f"{kind}{count}.json"))

    for count in SUBNETS:
        stack_file(folder, count)
        template(folder, count)
        raw_project(folder / f"program{count}", count)
        steps = [{"op": "create", "urn": item["urn"], "newState": item} for item in states(count)]
        preview = {"steps": steps, "changeSummary": {"create": count}}
        (folder / f"preview{count}.json").write_text(json.dumps(preview), encoding="utf-8")
        state = {"version": 3, "deployment": {"resources": states(count)}}
        (folder / f"state{count}.json").write_text(json.dumps(state), encoding="utf-8")
    found = [
        Contender("stack file", lambda count: (*HEADROOM, f"Pulumi.bench{count}.yaml"), target=10),
        Contender("preview", document("preview"), target=10),
        Contender("state", document("state"), target=10),
        Contender("program", lambda count: (*HEADROOM, f"program{count}", "--stack", "bench"), target=4, up_to=50),
    ]
    if bin_ is not None:
        checkov, cfn_lint = str(bin_ / "checkov"), str(bin_ / "cfn-lint")
        options = ("--quiet", "--compact", "--skip-download", "--file")
        found += [
            Contender(CHECKOV, lambda count: (checkov, *options, f"template{count}.json")),
            # Its exit codes are sums of flags.
            Contender("cfn-lint", lambda count: (cfn_lint, f"template{count}.json"), codes=range(16)),
        ]
    return found


def doors(folder: Path) -> None:
    """`headroom check`, each door, beside the peers."""
    competing = contenders(folder, peers())
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in range(ROUNDS):
        for contender in competing:
            for count in SUBNETS:
                if number and not contender.target and count == SUBNETS[-1]:
                    continue  # once is enough
                took = timed(contender.command(count), folder, contender.codes)
                seconds.setdefault((contender.name, count), []).append(took)
    best = {key: min(values) for key, values in seconds.items()}
    counts = "".join(f"{f'{count:,} subnet' + 's' * (count > 1):>22}" for count in SUBNETS)
    print(f"{f'whole process, best of {ROUNDS} (median)':36}{counts}")
    for contender in competing:
        cells = (
            f"{min(values):10.2f} s ({statistics.median(values):5.2f} s)"
            for values in (seconds[contender.name, count] for count in SUBNETS)
        )
        name = contender.name if not contender.target else f"headroom check, {contender.name}"
        print(f"{name:36}" + "".join(f"{cell:>22}" for cell in cells))
    if (CHECKOV, SUBNETS[0]) not in best:
        return
    print(f"\n{'times as fast as checkov':36}{counts}")
    for contender in competing:
        if contender.target:
            cells = (_ratio(contender, count, best) for count in SUBNETS)
            print(f"{f'headroom check, {contender.name}':36}" + "".join(f"{cell:>22}" for cell in cells))


def _ratio(contender: Contender, count: int, best: Mapping[tuple[str, int], float]) -> str:
    ratio = best[CHECKOV, count] / best[contender.name, count]
    if count > contender.up_to:
        return f"{ratio:.1f} x"
    return f"{ratio:.1f} x ({'≥' if ratio >= contender.target else 'MISSES'} {contender.target:g})"


def raw_project(folder: Path, count: int, **config: object) -> Path:
    """A program of plain subnets."""
    folder.mkdir(parents=True)
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    (folder / "Pulumi.yaml").write_text(
        yaml.safe_dump({"name": "bench", "runtime": runtime, "stackConfigDir": "stacks"}), encoding="utf-8"
    )
    (folder / "stacks").mkdir()
    values = {"bench:blocks": blocks(count), "bench:vpcId": "vpc-1", **config}
    (folder / "stacks" / "Pulumi.bench.yaml").write_text(yaml.safe_dump({"config": values}), encoding="utf-8")
    (folder / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    return folder


def ready() -> float:
    """Seconds until the pack has judged a first resource: it says its port, and its policies, before it can."""
    started = time.perf_counter()
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:0", str(CHECKOUT / "policies")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT / "policies") as process:  # noqa: S603 - ours
        port = process.stdout.readline().strip() if process.stdout is not None else ""
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            analyzer_pb2_grpc.AnalyzerStub(channel).Analyze(analyzer_pb2.AnalyzeRequest(type="aws:ec2/subnet:Subnet"))
        seconds = time.perf_counter() - started
        process.terminate()
    return seconds


def pack(folder: Path) -> None:
    """What the pack adds to a preview."""
    with start_world(folder / "world", find_tools(), kubernetes=False) as world:
        vpc_id = make_stack(world, folder / "stack").network.vpc_id
        project = raw_project(folder / "preview", PREVIEW_RESOURCES)
        engine = Engine(folder / "engine", world.engine.environment, program=project)
        config = {"aws:region": "us-east-1", "bench:vpcId": vpc_id, "bench:blocks": blocks(PREVIEW_RESOURCES)}
        engine.init("bench", config)
        policies = ("--policy-pack", str(CHECKOUT / "policies"))
        bare: list[float] = []
        judged: list[float] = []
        for _ in range(ROUNDS):
            bare.append(engine.must("preview", "--stack", "bench").seconds)
            judged.append(engine.must("preview", "--stack", "bench", *policies).seconds)
    print(f"\n{f'preview of {PREVIEW_RESOURCES} resources':44} {'best s':>8} {'median s':>9}   (best of {ROUNDS})")
    row("engine alone", bare)
    row("with the policy pack", judged)
    print(f"{'ratio':44} {min(judged) / min(bare):8.2f}   (target 1.3)")
    row("pack ready (target 0.4 s)", [ready() for _ in range(ROUNDS)])


def main() -> None:
    """Prints the tables."""
    folder = Path(tempfile.mkdtemp(prefix="headroom-benchmark-"))
    try:
        doors(folder)
        pack(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
