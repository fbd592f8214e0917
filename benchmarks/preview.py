"""The emergency stack's preview with policies, beside a bare program that declares the same resources.

Both run through the same engine and stand-in providers, in turn, in one world. The target is a ratio of at most 1.15.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

import yaml

from headroom.rehearsal.engine import CHECKOUT, Engine
from headroom.rehearsal.stack import Stack, make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world

ROUNDS = 7
TARGET = 1.15

BARE = """\
import json

import pulumi
from pulumi_aws import ec2

config = pulumi.Config("headroom")
association = ec2.VpcIpv4CidrBlockAssociation("pods", vpc_id=config.require("vpcId"), cidr_block="100.64.0.0/16")
subnets = []
for zone, subnet in config.require_object("podSubnets").items():
    made = ec2.Subnet(
        zone,
        vpc_id=association.vpc_id,
        availability_zone=zone,
        cidr_block=subnet["cidrBlock"],
        map_public_ip_on_launch=False,
        tags={"Name": zone, "kubernetes.io/role/cni": "1"},
    )
    subnets.append(ec2.RouteTableAssociation(zone, subnet_id=made.id, route_table_id=subnet["routeTableId"]))
pulumi.Stash("pods", input="pods", opts=pulumi.ResourceOptions(depends_on=subnets))
"""


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


def main() -> None:
    """Prints the table."""
    folder = Path(tempfile.mkdtemp(prefix="headroom-benchmark-"))
    try:
        with start_world(folder / "world", find_tools(), kubernetes=False) as world:
            stack = make_stack(world, folder / "stack")
            bare = bare_engine(world, stack, folder / "bare")
            policies = ("--policy-pack", str(CHECKOUT / "policies"))
            seconds: dict[str, list[float]] = {
                "bare": [],
                "headroom": [],
                "headroom, policies": [],
                "bare, policies": [],
            }
            for _ in range(ROUNDS):
                seconds["bare"].append(bare.must("preview", "--stack", "bare").seconds)
                seconds["headroom"].append(stack.pulumi("preview").seconds)
                seconds["bare, policies"].append(bare.run("preview", "--stack", "bare", *policies).seconds)
                seconds["headroom, policies"].append(stack.pulumi("preview", *policies).seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    title = "preview of 8 resources"
    base = min(seconds["bare"])
    print(f"{title:24} {'best s':>8} {'median s':>9} {'ratio':>6}   (best of {ROUNDS}; target {TARGET})")
    for name, values in seconds.items():
        print(f"{name:24} {min(values):8.2f} {statistics.median(values):9.2f} {min(values) / base:6.2f}")


if __name__ == "__main__":
    main()
