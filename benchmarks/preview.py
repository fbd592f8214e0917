"""The emergency stack's preview with policies, beside a bare program that declares the same resources.

Both run through the same engine and stand-in providers, in turn, in one world. The target is a ratio of at most 1.15
to the bare program without policies. What a pack of one rule that judges nothing costs, written with Pulumi's own
`PolicyPack`, stands beside it: the engine starts no program before its packs have answered. Seconds depend on what
else the machine does, those of the CPU hardly: they count the engine, its language hosts, the program and the pack,
not the providers.
"""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from headroom.rehearsal.engine import CHECKOUT, Engine, EngineRun
from headroom.rehearsal.stack import Stack, make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world

ROUNDS = 9
TARGET = 1.15

_PR_SET_CHILD_SUBREAPER = 36
"""Of Linux's prctl(2)."""

BARE = """\
import pulumi
from pulumi_aws import ec2

config = pulumi.Config("headroom")
protected = pulumi.ResourceOptions(protect=True)
association = ec2.VpcIpv4CidrBlockAssociation(
    "pods", vpc_id=config.require("vpcId"), cidr_block="100.64.0.0/16", opts=protected
)
made = []
for zone, subnet in config.require_object("podSubnets").items():
    pods = ec2.Subnet(
        zone,
        vpc_id=association.vpc_id,
        availability_zone=zone,
        cidr_block=subnet["cidrBlock"],
        map_public_ip_on_launch=False,
        tags={"Name": zone},
        opts=protected,
    )
    made.append(ec2.RouteTableAssociation(zone, subnet_id=pods.id, route_table_id=subnet["routeTableId"]))
    made.append(ec2.Tag(zone, resource_id=pods.id, key="kubernetes.io/role/cni", value="1"))
pulumi.Stash("pods", input="pods", opts=pulumi.ResourceOptions(depends_on=made))
"""

ONE_RULE = """\
from pulumi_policy import PolicyPack, StackValidationPolicy

nothing = StackValidationPolicy(name="nothing", description="judges nothing", validate=lambda args, report: None)
PolicyPack("one-rule", [nothing])
"""


@dataclass(slots=True)
class Runs:
    """One line of the table.

    Attributes:
        run: The preview.
        seconds: Of each run.
        cpu: Seconds of the CPU, of each run.
    """

    run: Callable[[], EngineRun]
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def again(self) -> None:
        """Runs it once more."""
        known, before = children(), cpu_seconds()
        self.seconds.append(self.run().seconds)
        # The engine leaves its hosts and their programs to whoever adopts orphans; their time counts when waited for.
        while left := children() - known:
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        self.cpu.append(cpu_seconds() - before)


def cpu_seconds() -> float:
    """User and system time of all children that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def children() -> set[int]:
    """Processes that this one has to wait for."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text(encoding="ascii").split()}


def bare_engine(world: World, stack: Stack, folder: Path) -> Engine:
    """A project with the bare program and the same configuration."""
    program = folder / "program"
    program.mkdir(parents=True)
    description = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))
    description.pop("config")
    (program / "Pulumi.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    (program / "__main__.py").write_text(BARE, encoding="utf-8")
    engine = Engine(folder, world.engine.environment, program=program)
    engine.init("bare", stack.config)
    return engine


def smallest_pack(folder: Path) -> Path:
    """A policy pack as Pulumi's documentation writes one, with a rule that judges nothing."""
    folder.mkdir(parents=True)
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(CHECKOUT / ".venv")}}
    (folder / "PulumiPolicy.yaml").write_text(yaml.safe_dump({"runtime": runtime}), encoding="utf-8")
    (folder / "__main__.py").write_text(ONE_RULE, encoding="utf-8")
    return folder


def declared(engine: Engine, stack: str) -> Counter[str]:
    """How many resources of each type a program declares; components are ours alone."""
    steps = json.loads(engine.must("preview", "--json", "--stack", stack).output)["steps"]
    types = (step["newState"]["type"] for step in steps if step["newState"]["custom"])
    return Counter(type_ for type_ in types if not type_.startswith("pulumi:providers:"))


def main() -> None:
    """Prints the table.

    Raises:
        RuntimeError: The two programs do not declare the same, so that nothing can be compared.
    """
    adopt_orphans()
    folder = Path(tempfile.mkdtemp(prefix="headroom-benchmark-"))
    try:
        with start_world(folder / "world", find_tools(), kubernetes=False) as world:
            stack = make_stack(world, folder / "stack")
            bare = bare_engine(world, stack, folder / "bare")
            ours, theirs = declared(stack.engine, stack.name), declared(bare, "bare")
            if ours != theirs:
                raise RuntimeError(
                    f"the stack declares {dict(ours)}, the bare program {dict(theirs)}: bring it up to date"
                )
            policies = ("--policy-pack", str(CHECKOUT / "policies"))
            smallest = ("--policy-pack", str(smallest_pack(folder / "smallest")))
            table = {
                "bare": Runs(lambda: bare.must("preview", "--stack", "bare")),
                "headroom": Runs(lambda: stack.pulumi("preview")),
                "bare, smallest pack": Runs(lambda: bare.must("preview", "--stack", "bare", *smallest)),
                "bare, policies": Runs(lambda: bare.must("preview", "--stack", "bare", *policies)),
                "headroom, policies": Runs(lambda: stack.pulumi("preview", *policies)),
            }
            measure(table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(f"preview of {ours.total()} resources", table)


def measure(table: dict[str, Runs]) -> None:
    """Runs every line of a table in turn, `ROUNDS` times."""
    for _ in range(ROUNDS):
        for runs in table.values():
            runs.again()


def show(title: str, table: dict[str, Runs]) -> None:
    """Prints a table, its ratios to the line `bare`."""
    seconds, cpu = min(table["bare"].seconds), min(table["bare"].cpu)
    print(f"{title:24} {'best s':>8} {'ratio':>6} {'median s':>9} {'CPU s':>7} {'ratio':>6}   ", end="")
    print(f"(best of {ROUNDS}; target {TARGET})")
    for name, runs in table.items():
        print(
            f"{name:24} {min(runs.seconds):8.2f} {min(runs.seconds) / seconds:6.2f} "
            f"{statistics.median(runs.seconds):9.2f} {min(runs.cpu):7.2f} {min(runs.cpu) / cpu:6.2f}"
        )


def adopt_orphans() -> None:
    """Makes this process the parent of what others leave behind, so that it can wait for them and count their time."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
