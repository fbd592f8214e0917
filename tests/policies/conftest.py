"""What the tests of `headroom check` share: stack files, states and the command itself."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from headroom.cli.check import check
from tests.conftest import stack_config

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml"
POLICY = CHECKOUT / "stacks" / "policy.example-emergency.json"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SUBNET = "aws:ec2/subnet:Subnet"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(check, list(arguments), input=stdin)


def stack_file(folder: Path, *, name: str = "prod", **changes: Any) -> Path:
    config = stack_config(EXAMPLE)
    config |= {f"headroom:{key}": value for key, value in changes.items()}
    path = folder / f"Pulumi.{name}.yaml"
    path.write_text(yaml.safe_dump({"config": config}, sort_keys=False), encoding="utf-8")
    return path


def small(folder: Path) -> Path:
    zone = {"cidrBlock": "100.64.1.0/24", "routeTableId": "rtb-11111111"}
    return stack_file(folder, podSubnets={"us-east-1a": zone})


def state(*resources: Mapping[str, Any]) -> str:
    return json.dumps({"version": 3, "deployment": {"resources": list(resources)}})


def subnet(cidr: str = "100.64.0.0/18", **more: Any) -> dict[str, Any]:
    inputs = {
        "vpcId": "vpc-1",
        "cidrBlock": cidr,
        "availabilityZone": "us-east-1a",
        "tags": {"kubernetes.io/role/cni": "1"},
    }
    return {
        "urn": f"urn:pulumi:prod::p::{SUBNET}::pods",
        "type": SUBNET,
        "id": "subnet-1",
        "inputs": inputs,
        "protect": True,
        **more,
    }


def route_table() -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:prod::p::{ASSOCIATION}::pods",
        "type": ASSOCIATION,
        "id": "rtbassoc-1",
        "inputs": {"subnetId": "subnet-1", "routeTableId": "rtb-1"},
    }


INSIDE = {"pod-subnet-inside-vpc": {"vpcCidrBlocks": ["100.64.0.0/16"]}}


def policy(folder: Path, document: object) -> str:
    path = folder / "policy.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


SMALL = {"us-east-1a": {"cidrBlock": "100.64.1.0/24", "routeTableId": "rtb-11111111"}}
"""Pod subnets of which the one is too small."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository of a Pulumi project: the branch `main`, and `change`, which is checked out."""

    folder: Path

    def git(self, *arguments: str) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        for who in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.com"}
        done = subprocess.run(  # noqa: S603 - git on a folder of ours
            ["git", *arguments],  # noqa: S607 - the one that the tests' user has
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def commit(self, message: str = "a change") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def stack_file(self, name: str = "prod", **changes: Any) -> Path:
        return stack_file(self.folder / "stacks", name=name, **changes)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository with one clean stack file, seen from its root."""
    folder = tmp_path / "repository"
    (folder / "stacks").mkdir(parents=True)
    project = {"name": "headroom", "runtime": "python", "stackConfigDir": "stacks"}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project), encoding="utf-8")
    made = Repository(folder)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.stack_file()
    made.commit("the start")
    made.git("checkout", "--quiet", "-b", "change")
    monkeypatch.chdir(folder)
    return made
