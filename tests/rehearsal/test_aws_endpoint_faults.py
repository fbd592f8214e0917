"""Ordered faults, the request log, and that no helper process is left behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from headroom.rehearsal.aws.endpoint import BackDoorRefusedError, Endpoint, start_endpoint
from headroom.rehearsal.aws.faults import KILLED_CODE
from headroom.rehearsal.providers.process import HelperError, start_helper


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_endpoint(tmp_path_factory.mktemp("aws"), association_seconds=0) as endpoint:
        yield endpoint


@pytest.fixture
def aws(running: Endpoint) -> Iterator[Endpoint]:
    running.forget_calls()
    yield running
    running.clear_faults()


@pytest.fixture
def ec2(aws: Endpoint) -> Any:
    return boto3.client(
        "ec2",
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106  # no secret
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def count_vpcs(ec2: Any) -> int:
    return len(ec2.describe_vpcs()["Vpcs"])


def test_the_next_calls_of_an_action_fail_and_then_no_more(aws: Endpoint, ec2: Any) -> None:
    aws.fail("CreateVpc", "VpcLimitExceeded", count=2, message="No more.")
    before = count_vpcs(ec2)

    for _ in range(2):
        with pytest.raises(ClientError, match=r"\(VpcLimitExceeded\).*No more\."):
            ec2.create_vpc(CidrBlock="10.0.0.0/16")
    assert count_vpcs(ec2) == before, "a refused call has no effect"
    ec2.create_vpc(CidrBlock="10.0.0.0/16")

    assert count_vpcs(ec2) == before + 1


def test_calls_may_pass_before_one_fails(aws: Endpoint, ec2: Any) -> None:
    aws.fail("CreateVpc", "VpcLimitExceeded", skip=1)

    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    with pytest.raises(ClientError):
        ec2.create_vpc(CidrBlock="10.0.0.0/16")


def test_an_answer_may_be_lost_although_the_action_took_effect(aws: Endpoint, ec2: Any) -> None:
    before = count_vpcs(ec2)
    aws.fail("CreateVpc", "InternalError", moment="after", status=500)

    with pytest.raises(ClientError) as failed:
        ec2.create_vpc(CidrBlock="10.0.0.0/16")

    assert code(failed) == "InternalError"
    assert count_vpcs(ec2) == before + 1


def test_an_action_can_be_delayed(aws: Endpoint, ec2: Any) -> None:
    aws.delay("DescribeVpcs", 0.3)
    started = time.monotonic()

    count_vpcs(ec2)

    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(("moment", "made"), [("before", 0), ("after", 1)])
def test_a_process_is_killed_just_before_or_just_after_the_effect(
    aws: Endpoint, ec2: Any, victim: subprocess.Popen[bytes], moment: str, made: int
) -> None:
    before = count_vpcs(ec2)
    aws.kill("*", victim.pid, moment=moment)

    count_vpcs(ec2)
    assert victim.poll() is None, "reading is no step of anything"
    if moment == "before":
        with pytest.raises(ClientError) as failed:
            ec2.create_vpc(CidrBlock="10.0.0.0/16")
        assert code(failed) == KILLED_CODE
    else:
        ec2.create_vpc(CidrBlock="10.0.0.0/16")

    assert victim.wait(5) == -signal.SIGKILL
    assert count_vpcs(ec2) == before + made


def test_a_fault_that_makes_no_sense_is_refused(aws: Endpoint) -> None:
    for wrong, reason in (
        ({"action": "CreateVpc"}, "needs effect"),
        ({"action": "CreateVpc", "effect": "explode"}, "none of fail, delay, kill"),
        ({"action": "CreateVpc", "effect": "kill"}, "no process to kill"),
        ({"action": "CreateVpc", "effect": "fail", "moment": "during"}, "none of before, after"),
        ({"action": "CreateVpc", "effect": "fail", "times": 3}, "a fault has no times"),
    ):
        with pytest.raises(BackDoorRefusedError, match=reason):
            aws.back_door("POST", "faults", wrong)
    assert aws.back_door("GET", "faults") == []


def test_every_request_is_counted_and_logged_with_its_outcome(aws: Endpoint, ec2: Any) -> None:
    ec2.describe_vpcs()
    ec2.describe_vpcs()
    with pytest.raises(ClientError):
        ec2.describe_subnets(SubnetIds=["subnet-0123456789abcdef0"])

    assert aws.calls() == {"DescribeVpcs": 2, "DescribeSubnets": 1}
    last = aws.requests()[-1]
    assert (last["service"], last["action"], last["code"]) == ("ec2", "DescribeSubnets", "InvalidSubnetID.NotFound")
    assert abs(last["time"] - time.time()) < 60


def test_a_helper_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(HelperError, match=r"(?s)exited with code 2; .*unrecognized arguments: --nonsense"):
        start_helper("headroom.rehearsal.aws", ["--nonsense"], log=tmp_path / "aws.log")


def test_a_helper_leaves_when_its_parent_does(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from headroom.rehearsal.aws.endpoint import start_endpoint\n"
        f"endpoint = start_endpoint(Path({str(tmp_path)!r}))\n"
        "print(endpoint.helper.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)  # noqa: S603  # ours
    child = Path(f"/proc/{int(parent.stdout)}")

    deadline = time.monotonic() + 60
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline, "the endpoint outlived the process that had started it"
        time.sleep(0.05)
