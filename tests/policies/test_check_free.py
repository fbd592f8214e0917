"""The addresses that are free now, where somebody has read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headroom.addresses.problems import ProblemsError
from policies.free import Free, by_zone, described, exported
from policies.resources import UNKNOWN, Resource, Resources
from tests.policies.conftest import INSIDE, policy, route_table, run, stack_file, state, subnet

if TYPE_CHECKING:
    from pathlib import Path

STACK = "pulumi:pulumi:Stack"
VPC = "vpc-0123456789abcdef0"


def now(zone: str = "us-east-1a", free: Any = 0, **more: Any) -> dict[str, Any]:
    """A subnet as `aws ec2 describe-subnets` prints it."""
    return {
        "SubnetId": f"subnet-{zone}-{len(more)}",
        "AvailabilityZone": zone,
        "AvailableIpAddressCount": free,
        "CidrBlock": "10.68.204.0/22",
        "VpcId": VPC,
        **more,
    }


def of_zones(*subnets: dict[str, Any]) -> dict[str, Free]:
    pods = Resource(
        type="aws:ec2/subnet:Subnet",
        name="pods",
        urn="urn",
        properties={"vpcId": VPC, "tags": {"kubernetes.io/role/cni": "1"}},
    )
    found = described({"Subnets": list(subnets)})
    assert found is not None
    return by_zone(found, Resources([pods]))


def facts(folder: Path, document: object) -> str:
    path = folder / "subnets.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_free_addresses_are_added_up_zone_by_zone_with_their_whole() -> None:
    assert of_zones(now(free=29), now(free=3, x=1), now("us-east-1b", 311)) == {
        "us-east-1a": Free(32, 2038),
        "us-east-1b": Free(311, 1019),
    }


def test_a_subnet_whose_size_was_not_read_leaves_the_whole_open() -> None:
    assert of_zones(now(free=29, CidrBlock=None), now(free=1, CidrBlock="10.0.0.0/99")) == {
        "us-east-1a": Free(30, None)
    }


def test_subnets_of_another_vpc_and_those_kept_from_the_cni_do_not_count() -> None:
    kept = [{"Key": "kubernetes.io/role/cni", "Value": "0"}]
    assert of_zones(now(free=7, VpcId="vpc-other"), now(free=5, Tags=kept), now(free=2)) == {
        "us-east-1a": Free(2, 1019)
    }


def test_the_report_shows_what_the_file_says(tmp_path: Path) -> None:
    file = facts(tmp_path, {"Subnets": [now(free=0), now("us-east-1b", 311)]})
    done = run(str(stack_file(tmp_path)), "--facts", file, "--markdown", str(tmp_path / "c.md"))
    assert "zone us-east-1a holds 16,379 needs 500 free 0 of 1,019" in done.output
    comment = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert "| us-east-1b | 311 of 1,019 | 16,379 | 500 |" in comment
    assert "| us-east-1c | not read | 16,379 | 500 |" in comment
    assert "- free now: as subnets.json has it" in comment


def stack_outputs(**outputs: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:prod::p::{STACK}::p-prod", "type": STACK, "outputs": outputs}


def looked_up(free: Any = 29, **more: Any) -> dict[str, Any]:
    """What `aws.ec2.get_subnet` answers, as far as it matters."""
    return {
        "id": "subnet-nodes",
        "availabilityZone": "us-east-1a",
        "availableIpAddressCount": free,
        "cidrBlock": "10.68.204.0/22",
        "vpcId": "vpc-1",
        **more,
    }


@pytest.mark.parametrize(
    "outputs",
    [{"nodes": looked_up()}, {"zones": {"us-east-1a": [looked_up(), looked_up()]}}, {"a": [{"b": looked_up()}]}],
)
def test_a_stack_that_exports_its_subnets_tells_what_was_free(tmp_path: Path, outputs: dict[str, Any]) -> None:
    document = state(stack_outputs(**outputs), subnet(), route_table())
    done = run("-", "--json", "--policy-config", policy(tmp_path, INSIDE), stdin=document)
    assert json.loads(done.stdout)["zones"][0]["freeNow"] == 29, "a subnet that is exported twice counts once"


def test_a_preview_knows_the_outputs_of_the_last_update(tmp_path: Path) -> None:
    pods, stack = subnet(), stack_outputs(nodes=looked_up())
    steps = [
        {"op": "same", "urn": stack["urn"], "oldState": stack, "newState": {**stack, "outputs": {}}},
        {"op": "create", "urn": pods["urn"], "newState": pods},
    ]
    done = run("-", "--markdown", str(tmp_path / "c.md"), stdin=json.dumps({"steps": steps}))
    assert "before 0 free 29 of 1,019" in done.output
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert "- free now: as the stack's outputs had it at its last update" in text


def test_a_file_outweighs_the_outputs(tmp_path: Path) -> None:
    file = facts(tmp_path, {"Subnets": [now(free=3, VpcId="vpc-1")]})
    done = run("-", "--facts", file, stdin=state(stack_outputs(nodes=looked_up()), subnet()))
    assert "free 3 of 1,019" in done.output


@pytest.mark.parametrize("free", [None, "29", True, -1, 2.5, UNKNOWN])
def test_what_is_no_number_of_addresses_is_no_output(free: Any) -> None:
    properties = {"nodes": looked_up(free)}
    assert exported([Resource(type=STACK, name="s", urn="u", properties=properties)]) == []


def test_outputs_that_run_deep_are_walked_to_the_end() -> None:
    value: Any = looked_up()
    for _ in range(50):
        value = {"a": [value]}
    assert len(exported([Resource(type=STACK, name="s", urn="u", properties=value)])) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no subnets. Write what `aws ec2 describe-subnets --output json` prints."),
        ('{"Subnets": [{"SubnetId": "subnet-1"}, 5]}', "Subnets[1]: None has no AvailabilityZone"),
    ],
)
def test_bad_facts_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "subnets.json"
    path.write_text(text, encoding="utf-8")
    done = run(str(stack_file(tmp_path)), "--facts", str(path))
    assert isinstance(done.exception, ProblemsError)
    assert sentence in str(done.exception)
