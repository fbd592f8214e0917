"""One simulated AWS and one stand-in provider for all tests of the stack; every test has a VPC of its own."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headroom.rehearsal.engine import Engine, EngineRun
from headroom.rehearsal.scenarios.cluster import ZONES, Network, build_network
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import REGION, World, start_world

_numbers = itertools.count(1)
ASSOCIATION_SECONDS = 0.3


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    settings = {"association_seconds": ASSOCIATION_SECONDS}
    with start_world(folder, find_tools(), kubernetes=False, aws_settings=settings) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack in a VPC of its own, and what EC2 has of it."""

    world: World
    network: Network
    engine: Engine
    name: str
    config: dict[str, Any]

    def pulumi(self, *arguments: str, must: int | None = 0) -> EngineRun:
        result = self.engine.run(*arguments, "--stack", self.name)
        if must is not None:
            assert result.code == must, f"{result.command} exited with {result.code}:\n{result.output}"
        return result

    def up(self) -> EngineRun:
        return self.pulumi("up", "--yes", "--skip-preview")

    def configure(self, **changes: object) -> None:
        self.config.update({f"headroom:{key}": value for key, value in changes.items()})
        self.engine.configure(self.name, self.config)

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


def pod_subnets(network: Network, zones: Mapping[str, str]) -> dict[str, Any]:
    return {zone: {"cidrBlock": block, "routeTableId": network.route_table_ids[zone]} for zone, block in zones.items()}


BLOCKS = dict(zip(ZONES, ("100.64.0.0/18", "100.64.64.0/18", "100.64.128.0/18"), strict=True))


@pytest.fixture
def stack(world: World, tmp_path: Path) -> Stack:
    network = build_network(world.ec2)
    engine = Engine(tmp_path, world.engine.environment)
    name = f"test-{next(_numbers)}-{tmp_path.name[-12:].strip('-_').replace('_', '-')}"
    config: dict[str, Any] = {
        "aws:region": REGION,
        "headroom:remedy": "emergency",
        "headroom:clusterName": "prod-use1",
        "headroom:cniVersion": "1.19.2",
        "headroom:vpcId": network.vpc_id,
        "headroom:vpcCidrBlocks": ["10.68.0.0/16"],
        "headroom:secondaryCidrs": ["100.64.0.0/16"],
        "headroom:podSubnets": pod_subnets(network, BLOCKS),
    }
    engine.init(name, config)
    return Stack(world=world, network=network, engine=engine, name=name, config=config)
