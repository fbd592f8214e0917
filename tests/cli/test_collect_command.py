"""`headroom collect`: what it prints, writes and returns; the reading itself is replaced."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from headroom.cli import main
from headroom.collect import azure_snapshot as azure_reading
from headroom.collect import snapshot as reading
from headroom.collect.azure_session import rehearsal_options
from headroom.facts.aws import Aws, Interface, Subnet, Vpc
from headroom.facts.document import dump, load
from headroom.facts.kubernetes import CniDaemonSet, Kubernetes, Node, Pod
from headroom.facts.snapshot import Snapshot, Source
from headroom.facts.values import Reason, Unknown
from tests.cli.conftest import Run

SNAPSHOT = Snapshot(
    cloud="aws",
    cluster="prod-use1",
    collected_at="2026-03-03T20:50:00Z",
    aws=Aws(
        vpc=Vpc(vpc_id="vpc-0123456789abcdef0"),
        subnets=(Subnet(subnet_id="subnet-0123456789abcdef0", cidr_block="10.68.0.0/22"),),
        interfaces=(Interface(interface_id="eni-0123456789abcdef0", subnet_id="subnet-0123456789abcdef0"),),
    ),
    kubernetes=Kubernetes(
        nodes=(Node(name="ip-10-68-0-4.ec2.internal"),),
        pods=(Pod(namespace="shop", name="checkout-1"), Pod(namespace="shop", name="checkout-2")),
        events=(),
        cni_daemon_set=CniDaemonSet(version="v1.19.2"),
    ),
    sources=(
        Source(name="kubernetes nodes", items=1, calls=1),
        Source(name="kubernetes pods", items=2, calls=1),
        Source(name="eks DescribeCluster", items=1, calls=1),
        Source(name="eks DescribeNodegroup", items=1, calls=2),
        Source(name="ec2 DescribeSubnets", items=1, calls=1),
        Source(name="ec2 DescribeNetworkInterfaces", items=1, calls=1),
        Source(name="ec2 GetSubnetCidrReservations", outcome="not collected (prefix delegation is off)"),
        Source(name="ipamd metrics", outcome="denied (the API server answered 403 Forbidden)", calls=3),
        Source(name="aws-node logs", outcome="denied (the API server answered 403 Forbidden)"),
    ),
)


def collect(*words: str, terminal: bool = False) -> Run:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    out, err = io.StringIO(), Terminal()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["headroom", "collect", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int | None)
    return Run(code or 0, out.getvalue(), err.getvalue())


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Snapshot], list[dict[str, Any]]]:
    """Has the reading give a snapshot; the options that it was called with."""
    monkeypatch.chdir(tmp_path)
    asked: list[dict[str, Any]] = []

    def give(snapshot: Snapshot) -> list[dict[str, Any]]:
        def read(cluster: str, **options: Any) -> Snapshot:
            for source in snapshot.sources:
                options["progress"](source)
            asked.append({"cluster": cluster, **options})
            return snapshot

        monkeypatch.setattr(reading, "collect", read)
        return asked

    return give


Answer = Callable[[Snapshot], list[dict[str, Any]]]


def test_the_snapshot_is_written_and_the_next_command_named(answer: Answer) -> None:
    answer(SNAPSHOT)
    run = collect("--cluster", "prod-use1")
    assert (run.code, run.out) == (0, "")
    lines = run.err.splitlines()
    assert lines[:5] == [
        "Reading prod-use1",
        "  ✓ kubernetes 2 pods, 1 node",
        "  ✓ eks        1 managed node group",
        "  ✓ ec2        1 subnet, 1 interface",
        "  ✗ ipamd metrics, aws-node logs: denied (the API server answered 403 Forbidden)",
    ]
    assert lines[5].endswith(" s, 5 AWS calls (budget 11), 5 requests to the API server")
    assert lines[6:] == [
        "Wrote prod-use1-facts.json (0.0 MB).",
        "Next: headroom diagnose --bundle prod-use1-facts.json",
    ]
    file = Path("prod-use1-facts.json")
    assert load(file.read_text(encoding="utf-8")) == SNAPSHOT
    assert file.stat().st_mode & 0o777 == 0o600, "it holds names and addresses"


def test_the_options_reach_the_reading(answer: Answer) -> None:
    asked = answer(SNAPSHOT)
    words = ["--region", "eu-west-1", "--profile", "dev", "--context", "c", "--endpoint-url", "http://x", "--deep"]
    assert collect("--cluster", "prod-use1", *words, "--timeout", "9", "-o", "-").code == 0
    (given,) = asked
    assert {name: given[name] for name in ("region", "profile", "context", "endpoint_url", "deep", "seconds")} == {
        "region": "eu-west-1",
        "profile": "dev",
        "context": "c",
        "endpoint_url": "http://x",
        "deep": True,
        "seconds": 9,
    }
    assert given["interesting"]("Unauthorized operation: failed to call ec2:CreateNetworkInterface due to missing")
    assert not given["interesting"]("Copying CNI plugin binaries ...")


def test_a_dash_writes_to_standard_output_and_nothing_else_does(answer: Answer) -> None:
    answer(SNAPSHOT)
    run = collect("--cluster", "prod-use1", "-o", "-")
    assert load(run.out) == SNAPSHOT
    assert "Next:" not in run.err


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        (
            replace(SNAPSHOT, kubernetes=Unknown(Reason.UNREACHABLE, "no")),
            "Kubernetes: unreachable (no)",
        ),
        (
            replace(SNAPSHOT, aws=Aws(vpc=None, subnets=Unknown(Reason.DENIED, "x"), interfaces=())),
            "subnets: denied (x)",
        ),
    ],
)
def test_without_something_essential_it_says_so_and_returns_3(answer: Answer, snapshot: Snapshot, said: str) -> None:
    answer(snapshot)
    run = collect("--cluster", "prod-use1")
    assert run.code == 3
    assert run.err.splitlines()[-1] == f"A diagnosis may stay undecided without {said}."
    assert Path("prod-use1-facts.json").exists(), "what was read is still of use"


def test_pseudonyms_replace_names_ids_and_addresses(answer: Answer) -> None:
    answer(SNAPSHOT)
    run = collect("--cluster", "prod-use1", "--pseudonyms", "-o", "-")
    assert run.code == 0
    for hidden in ("prod-use1", "checkout", "shop", "0123456789abcdef0", "10-68-0-4", "10.68.0.4"):
        assert hidden not in run.out
    assert len(load(run.out).kubernetes.pods) == 2  # type: ignore[union-attr, arg-type] # both are known


def test_the_permissions_are_printed_as_files_to_hand_on() -> None:
    policy = json.loads(collect("--permissions", "iam").out)
    assert policy["Version"] == "2012-10-17"
    kinds = [each["kind"] for each in yaml.safe_load_all(collect("--permissions", "rbac").out)]
    assert kinds == ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]


NAME_IT = "Name it: `aws eks list-clusters` or `az aks list --output table` lists them."
NAME_A_FILE = "Name a file in a folder that exists, or - for standard output."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (),
            f"--cluster: No cluster is given. {NAME_IT}",
        ),
        (
            ("--cluster", "x", "-o", "."),
            f"--output: . cannot be written: it is a folder. {NAME_A_FILE}",
        ),
        (
            ("--cluster", "x", "-o", "none/x.json"),
            f"--output: none/x.json cannot be written: there is no folder none. {NAME_A_FILE}",
        ),
    ],
)
def test_bad_input_is_told_before_anything_is_read(answer: Answer, words: tuple[str, ...], message: str) -> None:
    asked = answer(SNAPSHOT)
    run = collect(*words)
    assert run.code == 2
    assert run.err == f"headroom collect: 1 problem\n  - {message}\n"
    assert asked == []


def test_many_failures_of_one_reason_take_one_line(answer: Answer) -> None:
    sources = tuple(Source(name=f"kubernetes {number}", outcome="unreachable (no)") for number in range(9))
    answer(replace(SNAPSHOT, sources=sources))
    run = collect("--cluster", "prod-use1")
    assert (
        "  ✗ kubernetes 0, kubernetes 1, kubernetes 2, kubernetes 3 and 5 more: unreachable (no)"
        in run.err.splitlines()
    )


def test_calls_over_the_budget_are_explained(answer: Answer) -> None:
    sources = (
        Source(name="eks DescribeNodegroup", items=7, calls=8),
        Source(name="ec2 GetSubnetCidrReservations", items=6, calls=6),
    )
    answer(replace(SNAPSHOT, sources=sources))
    run = collect("--cluster", "prod-use1")
    assert "14 AWS calls (budget 11; 6 for subnets' reservations, 8 for managed node groups)" in run.err


def test_at_a_terminal_a_spinner_tells_what_is_read(answer: Answer) -> None:
    answer(SNAPSHOT)
    run = collect("--cluster", "prod-use1", "-o", "-", terminal=True)
    assert run.code == 0
    assert load(run.out) == SNAPSHOT, "the spinner stays off standard output"


def test_equal_snapshots_give_equal_bytes(answer: Answer) -> None:
    answer(SNAPSHOT)
    assert collect("--cluster", "prod-use1", "-o", "-").out == dump(SNAPSHOT)


def test_an_aks_cluster_needs_its_resource_group() -> None:
    run = collect("--cloud", "aks", "--cluster", "aks-prod", "-o", "-")
    assert (run.code, run.out) == (2, "")
    assert run.err == (
        "headroom collect: 1 problem\n  - --resource-group: No resource group is given for aks-prod. "
        "Give --resource-group: `az aks list --output table` shows each cluster's.\n"
    )


@pytest.mark.parametrize("option", ["--resource-group", "--subscription"])
def test_an_option_of_aks_without_its_cloud_is_not_answered_with_a_region_of_aws(option: str) -> None:
    run = collect(option, "s", "--cluster", "aks-prod", "-o", "-")
    assert (run.code, run.out) == (2, "")
    assert run.err == (
        f"headroom collect: 1 problem\n  - --cloud: {option} is of AKS, and aks-prod is looked for in EKS. "
        "Give --cloud aks too, or leave it out.\n"
    )


def test_the_options_of_aks_reach_its_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def read(cluster: str, **options: Any) -> Snapshot:
        asked.append({"cluster": cluster, **options})
        return replace(SNAPSHOT, cloud="azure", sources=(Source(name="azure managedClusters", items=1, calls=1),))

    monkeypatch.setattr(azure_reading, "collect_aks", read)
    words = ["--cloud", "aks", "--subscription", "s", "--resource-group", "rg", "--endpoint-url", "https://arm"]
    run = collect(*words, "--cluster", "aks-prod", "-o", "-")
    assert "1 Azure calls (budget 12)" in run.err
    (given,) = asked
    assert (given["cluster"], given["subscription"], given["resource_group"]) == ("aks-prod", "s", "rg")
    assert given["options"] == rehearsal_options("https://arm")


@pytest.mark.parametrize(
    ("kind", "begins"),
    [("azure", '{\n  "Name": "Headroom reader"'), ("rbac-aks", "# What `headroom collect --cloud aks`")],
)
def test_what_a_reader_of_aks_may_do_is_printed(kind: str, begins: str) -> None:
    run = collect("--permissions", kind)
    assert run.code == 0
    assert run.out.startswith(begins)
