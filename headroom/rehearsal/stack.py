"""One emergency stack in a VPC of its own: what tests and benchmarks drive through the engine."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headroom.rehearsal.engine import Engine, EngineError, EngineRun
from headroom.rehearsal.scenarios.cluster import SHAPE, ZONES
from headroom.rehearsal.scenarios.shape import Network, build_network
from headroom.rehearsal.world import REGION, World

BLOCKS: Mapping[str, str] = dict(zip(ZONES, ("100.64.0.0/18", "100.64.64.0/18", "100.64.128.0/18"), strict=True))
"""A pod subnet a zone."""

_numbers = itertools.count(1)


VPC_CIDR = "10.68.0.0/16"
"""A VPC with much free space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack in a VPC of its own, and what EC2 has of it."""

    world: World
    network: Network
    engine: Engine
    name: str
    config: dict[str, Any]

    def pulumi(self, *arguments: str, must: int | None = 0) -> EngineRun:
        """Runs `pulumi` for this stack.

        Raises:
            EngineError: It exited with another code than `must`.
        """
        result = self.engine.run(*arguments, "--stack", self.name)
        if must is not None and result.code != must:
            raise EngineError(f"{result.command} exited with code {result.code}:\n{result.output}")
        return result

    def up(self) -> EngineRun:
        """Applies it."""
        return self.pulumi("up", "--yes", "--skip-preview")

    def configure(self, **changes: object) -> None:
        """Changes `headroom:` keys of its configuration."""
        self.config.update({f"headroom:{key}": value for key, value in changes.items()})
        self.engine.configure(self.name, self.config)

    def pod_subnets(self, blocks: Mapping[str, str] = BLOCKS) -> dict[str, Any]:
        """The configuration of a pod subnet a zone, with the zone's route table."""
        return {
            zone: {"cidrBlock": block, "routeTableId": self.network.route_table_ids[zone]}
            for zone, block in blocks.items()
        }

    def subnets(self) -> list[Any]:
        """The VPC's subnets in added CIDRs, lowest first."""
        described = self.world.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.network.vpc_id]}])
        return sorted(
            (subnet for subnet in described["Subnets"] if subnet["CidrBlock"].startswith("100.64.")),
            key=lambda subnet: [int(part) for part in subnet["CidrBlock"].partition("/")[0].split(".")],
        )

    def cidrs(self) -> list[str]:
        """The CIDRs associated with the VPC."""
        vpc = self.world.ec2.describe_vpcs(VpcIds=[self.network.vpc_id])["Vpcs"][0]
        return [
            association["CidrBlock"]
            for association in vpc["CidrBlockAssociationSet"]
            if association["CidrBlockState"]["State"] == "associated"
        ]

    def table_of(self, subnet_id: str) -> str | None:
        """The route table that a subnet is associated with explicitly."""
        found = self.world.ec2.describe_route_tables(
            Filters=[{"Name": "association.subnet-id", "Values": [subnet_id]}]
        )["RouteTables"]
        return found[0]["RouteTableId"] if found else None

    def route_tables(self) -> list[str]:
        """All route tables of the VPC but the main one and those that were there before."""
        described = self.world.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.network.vpc_id]}])[
            "RouteTables"
        ]
        before = set(self.network.route_table_ids.values())
        return [
            table["RouteTableId"]
            for table in described
            if table["RouteTableId"] not in before and not any(a.get("Main") for a in table["Associations"])
        ]

    def picture(self) -> dict[str, Any]:
        """Everything that the stack makes, as EC2 has it."""
        return {
            "cidrs": self.cidrs(),
            "subnets": {
                subnet["CidrBlock"]: (subnet["SubnetId"], subnet["AvailabilityZone"], self.table_of(subnet["SubnetId"]))
                for subnet in self.subnets()
            },
            "tables": self.route_tables(),
        }


def make_stack(world: World, folder: Path) -> Stack:
    """A network, and an emergency stack for it that nothing was applied of yet."""
    network = build_network(world.ec2, replace(SHAPE, vpc_cidr=VPC_CIDR))
    engine = Engine(folder, world.engine.environment)
    # The number tells the stacks of one process apart, the VPC those of several with one backend.
    name = f"stack-{next(_numbers)}-{network.vpc_id[-8:]}"
    config: dict[str, Any] = {
        "aws:region": REGION,
        "headroom:remedy": "emergency",
        "headroom:clusterName": "prod-use1",
        "headroom:cniVersion": "1.19.2",
        "headroom:vpcId": network.vpc_id,
        "headroom:vpcCidrBlocks": [VPC_CIDR],
        "headroom:secondaryCidrs": ["100.64.0.0/16"],
    }
    stack = Stack(world=world, network=network, engine=engine, name=name, config=config)
    engine.init(name, config)
    stack.configure(podSubnets=stack.pod_subnets())
    return stack
