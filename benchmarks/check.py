"""`headroom check` on each of its doors, whole processes, and what the policy pack adds to a preview of 300 resources.

checkov and cfn-lint judge a CloudFormation template of the same subnets in the same run, where they are installed:
nothing is installed here. Targets: ten times as fast as checkov on a stack file, a preview or a state; four times
where the program runs, with 1 to 50 subnets; the pack ready in 0.4 s, and 1.3 times the engine's own time.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from headroom.addresses.blocks import Block
from headroom.rehearsal.engine import CHECKOUT, Engine
from headroom.rehearsal.stack import make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import start_world

ROUNDS = 5
SUBNETS = (1, 1_000)
PROGRAM_SUBNETS = (1, 50, 1_000)
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
        f"subnet-{index}": {"zone": ZONES[index % 3], "cidrBlock": block, "routeTableId": "rtb-1"}
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


def timed(command: Sequence[str], folder: Path, codes: Sequence[int] = (0, 1, 3)) -> float:
    """Seconds of one whole process.

    Raises:
        RuntimeError: It exited with another code.
    """
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - ours, or a peer on PATH
    seconds = time.perf_counter() - started
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def row(name: str, values: Sequence[float]) -> None:
    """One line of the table."""
    print(f"{name:44} {min(values):8.2f} {statistics.median(values):9.2f}")


def doors(folder: Path) -> None:
    """`headroom check`, each door, beside the peers."""
    print(f"{'whole process':44} {'best s':>8} {'median s':>9}   (best of {ROUNDS})")
    commands: dict[str, Sequence[str]] = {}
    for count in SUBNETS:
        commands[f"stack file, {count:,} subnets"] = (*HEADROOM, str(stack_file(folder, count)))
        preview, state = folder / f"preview{count}.json", folder / f"state{count}.json"
        steps = [{"op": "create", "urn": item["urn"], "newState": item} for item in states(count)]
        preview.write_text(json.dumps({"steps": steps, "changeSummary": {"create": count}}), encoding="utf-8")
        state.write_text(json.dumps({"version": 3, "deployment": {"resources": states(count)}}), encoding="utf-8")
        commands[f"preview, {count:,} subnets"] = (*HEADROOM, str(preview))
        commands[f"state, {count:,} subnets"] = (*HEADROOM, str(state))
    for count in PROGRAM_SUBNETS:
        project = raw_project(folder / f"program{count}", count)
        commands[f"program, {count:,} subnets"] = (*HEADROOM, str(project), "--stack", "bench")
    for name in ("checkov", "cfn-lint"):
        found = shutil.which(name)
        if found is None:
            print(f"{name} is not installed here, so it is not compared")
            continue
        for count in SUBNETS:
            path = str(template(folder, count))
            arguments = ("--quiet", "--compact", "--file", path) if name == "checkov" else (path,)
            commands[f"{name}, {count:,} subnets"] = (found, *arguments)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    slow = [name for name in commands if name.startswith(("checkov", "cfn-lint")) and "1,000" in name]
    for number in range(ROUNDS):
        for name, command in commands.items():
            if number and name in slow:
                continue  # once is enough
            seconds[name].append(timed(command, folder, range(17)) if "lint" in name else timed(command, folder))
    for name, values in seconds.items():
        row(name, values)


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
    """Seconds until the pack says its port."""
    started = time.perf_counter()
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:0", str(CHECKOUT / "policies")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT / "policies") as process:  # noqa: S603 - ours
        if process.stdout is not None:
            process.stdout.readline()
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
