"""`headroom plan` and `headroom verify` as a person calls them, over snapshots in files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headroom.addresses.problems import ProblemsError
from headroom.cli import verify as verifying
from headroom.cli.facts import FactsFrom
from headroom.cli.plan import plan
from headroom.cli.verify import verify
from headroom.collect import pod_logs
from headroom.facts.azure import Azure, ManagedCluster, NetworkProfile
from headroom.facts.document import dump
from headroom.facts.kubernetes import Kubernetes, Pod
from headroom.facts.pod_logs import LogAccess
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown, items
from headroom.planning.plan import Check, Plan, Postcondition, plan_to_json
from headroom.rehearsal import made

STACK = "stacks/Pulumi.prod-use1-emergency.yaml"
PLAN = "stacks/plan.prod-use1-emergency.json"


@pytest.fixture(scope="module")
def exhausted() -> Snapshot:
    return made.exhausted()


@pytest.fixture
def facts(tmp_path: Path, exhausted: Snapshot) -> Path:
    path = tmp_path / "facts.json"
    path.write_text(dump(exhausted), encoding="utf-8")
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(plan, [str(argument) for argument in arguments])


def problems(result: Result) -> str:
    assert isinstance(result.exception, ProblemsError)
    return str(result.exception)


def test_it_writes_the_stack_file_the_policies_and_the_plan(facts: Path, tmp_path: Path) -> None:
    result = call("--facts", facts, "--folder", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("stacks/*")) == [
        STACK,
        PLAN,
        "stacks/policy.prod-use1-emergency.json",
    ]
    headings = [line.split()[0] for line in result.output.splitlines() if line[:1].isalpha()]
    assert headings == ["PLAN", "NOT", "DIFF", "WROTE", "DECIDE", "NEXT", "NOT", "GO"], "what to do comes last"
    assert "+++ b/stacks/Pulumi.prod-use1-emergency.yaml" in result.output


def test_the_same_plan_again_changes_nothing(facts: Path, tmp_path: Path) -> None:
    call("--facts", facts, "--folder", tmp_path)
    before = (tmp_path / STACK).read_bytes(), (tmp_path / PLAN).read_bytes()
    again = call("--facts", facts, "--folder", tmp_path)
    assert again.exit_code == 0
    assert before == ((tmp_path / STACK).read_bytes(), (tmp_path / PLAN).read_bytes())
    assert "+++" not in again.output


def test_a_file_that_says_something_else_is_not_overwritten_and_nothing_else_is_written(
    facts: Path, tmp_path: Path
) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / STACK).write_text("config: {}\n", encoding="utf-8")
    assert "says something else already" in problems(call("--facts", facts, "--folder", tmp_path))
    assert [path.name for path in (tmp_path / "stacks").iterdir()] == [Path(STACK).name]
    assert call("--facts", facts, "--folder", tmp_path, "--force").exit_code == 0


def test_a_dry_run_writes_nothing(facts: Path, tmp_path: Path) -> None:
    result = call("--facts", facts, "--folder", tmp_path, "--dry-run")
    assert result.exit_code == 0
    assert not (tmp_path / "stacks").exists()


def test_a_plan_is_rechecked_against_facts_of_now(facts: Path, tmp_path: Path, exhausted: Snapshot) -> None:
    call("--facts", facts, "--folder", tmp_path)
    assert call("--facts", facts, "--recheck", tmp_path / PLAN).exit_code == 0
    changed = tmp_path / "changed.json"
    changed.write_text(dump(replace(exhausted, aws=Unknown(Reason.DENIED, "DescribeVpcs"))), encoding="utf-8")
    result = call("--facts", changed, "--recheck", tmp_path / PLAN)
    assert result.exit_code == 3
    assert "unread vpc CIDRs was 10.68.192.0/18" in result.output


def test_a_recheck_tells_what_is_within_the_margins_and_what_to_do_next(
    facts: Path, tmp_path: Path, exhausted: Snapshot
) -> None:
    call("--facts", facts, "--folder", tmp_path)
    now = tmp_path / "now.json"

    def rechecked(*options: str, **nodes: Any) -> Result:
        assert isinstance(exhausted.kubernetes, Kubernetes)
        kubernetes = replace(exhausted.kubernetes, **nodes)
        now.write_text(dump(replace(exhausted, kubernetes=kubernetes)), encoding="utf-8")
        return call("--facts", now, "--recheck", tmp_path / PLAN, *options)

    assert isinstance(exhausted.kubernetes, Kubernetes)
    nodes = items(exhausted.kubernetes.nodes)
    more = tuple(replace(nodes[0], name=f"new-{number}", instance_id=f"i-new{number}") for number in range(40))
    within = rechecked(nodes=(*nodes, more[0]))
    assert within.exit_code == 0, within.output
    first, *_, still, following = within.output.splitlines()
    assert first.startswith("within nodes in us-east-1")
    assert still.endswith("still holds: what changed is within its margins.")
    assert following.startswith("next: pulumi stack select --create prod-use1-emergency")
    beyond = rechecked(nodes=(*nodes, *more))
    assert beyond.exit_code == 1
    assert beyond.output.splitlines()[-1].startswith("changed addresses that nodes in us-east-1")
    unread = rechecked("--json", nodes=Unknown(Reason.DENIED, "nodes"))
    assert unread.exit_code == 3
    document = json.loads(unread.output)
    assert (document["holds"], document["changed"]) == (False, [])
    assert any(told.startswith("nodes in us-east-1a were 11") for told in document["unread"])


def test_a_history_tells_how_long_it_lasts(facts: Path, tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    rows = [f"2026-02-{day:02}T00:00:00+00:00,us-east-1a,{1000 - 10 * day}" for day in range(1, 29)]
    history.write_text("\n".join(["time,zone,free", *rows]), encoding="utf-8")
    result = call("--facts", facts, "--folder", tmp_path, "--history", history, "--json")
    options = {option["name"]: option for option in json.loads(result.output)["options"]}
    assert options["secondary-cidr"]["days"] == {"us-east-1a": 1637}


def test_a_history_that_is_none_is_refused_line_by_line(facts: Path, tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("time,zone,free\nyesterday,a,1\n2026-02-01T00:00:00Z,a,many\n", encoding="utf-8")
    text = problems(call("--facts", facts, "--history", history))
    assert "history.csv:2" in text
    assert "history.csv:3" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Neither --facts nor --cluster is given"),
        (["--facts", "x", "--cluster", "y"], "are both given"),
        (["--facts", "no-such-file"], "cannot be read"),
    ],
)
def test_where_the_facts_come_from_is_asked_plainly(arguments: list[str], said: str) -> None:
    assert said in problems(call(*arguments))


def test_a_healthy_cluster_needs_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(dump(made.healthy()), encoding="utf-8")
    assert "names no cause" in problems(call("--facts", path, "--folder", tmp_path))


def test_verify_says_what_waits_and_fails(facts: Path, tmp_path: Path) -> None:
    call("--facts", facts, "--folder", tmp_path)
    result = CliRunner().invoke(verify, ["--facts", str(facts), "--plan", str(tmp_path / PLAN), "--json"])
    assert result.exit_code == 1
    states = {condition["check"]: condition["state"] for condition in json.loads(result.output)["conditions"]}
    assert states["cidr_associated"] == "waiting"
    assert states["nothing_restarted"] == "met"


def test_verify_is_undecided_where_nothing_can_be_read(facts: Path, tmp_path: Path, exhausted: Snapshot) -> None:
    call("--facts", facts, "--folder", tmp_path)
    assert isinstance(exhausted.kubernetes, Kubernetes)
    blind = tmp_path / "blind.json"
    unknown = Unknown(Reason.DENIED)
    blind.write_text(dump(replace(exhausted, aws=unknown, kubernetes=unknown)), encoding="utf-8")
    result = CliRunner().invoke(verify, ["--facts", str(blind), "--plan", str(tmp_path / PLAN)])
    assert result.exit_code == 3


def test_verify_refuses_what_is_no_plan(facts: Path) -> None:
    result = CliRunner().invoke(verify, ["--facts", str(facts), "--plan", str(facts)])
    assert isinstance(result.exception, ProblemsError)


RUNS = Pod(namespace="shop", name="web-1", node="ip-1", ip="100.64.0.9", phase="Running", ready=True)
WAITS = Pod(namespace="shop", name="web-2", node="ip-1", phase="Pending", waiting="ContainerCreating")
READ = LogAccess(pod="shop/web-1", address="100.64.0.9", node="ip-1", read=True)
CLOSED = replace(READ, read=False, because="dial tcp 10.68.204.17:10250: i/o timeout")
DENIED = replace(READ, read=Unknown(Reason.DENIED, "the API server answered 403 Forbidden"))


def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *readings: tuple[tuple[Pod, ...], LogAccess]
) -> tuple[Result, int]:
    """`headroom verify` against a cluster whose pods and logs are these, one reading after the other, then the last."""
    made_plan = Plan(
        cluster="prod-use1",
        stack="prod-use1-emergency",
        verdict="found",
        postconditions=(
            Postcondition(check=Check.STUCK_PODS_RUNNING, title="Pods run", patience_seconds=900),
            Postcondition(check=Check.LOGS_READ, title="Logs come", subjects=("100.64.0.0/18",), patience_seconds=3600),
        ),
    )
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_to_json(made_plan)), encoding="utf-8")
    asked: list[tuple[str, str]] = []

    def read_facts(source: FactsFrom) -> Snapshot:
        assert source.quiet is bool(asked), "what is read is told the first time only"
        pods, _log = readings[min(len(asked), len(readings) - 1)]
        return Snapshot(cluster="prod-use1", kubernetes=Kubernetes(pods=pods))

    def logs_of(cluster: str, pods: tuple[Pod, ...], *, context: str) -> tuple[LogAccess, ...]:
        _pods, log = readings[min(len(asked), len(readings) - 1)]
        asked.append((cluster, context))
        return (log,) if pods else ()

    monkeypatch.setattr(verifying, "read_facts", read_facts)
    monkeypatch.setattr(pod_logs, "logs_of", logs_of)
    monkeypatch.setattr(verifying, "EVERY_SECONDS", 0)
    words = ["--cluster", "prod-use1", "--context", "prod", "--plan", str(path)]
    result = CliRunner().invoke(verify, words)
    assert set(asked) == {("prod-use1", "prod")}
    return result, len(asked)


def test_verify_waits_for_a_kubelet_that_is_not_reached_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, rounds = watched(tmp_path, monkeypatch, ((RUNS,), CLOSED), ((RUNS,), CLOSED), ((RUNS,), READ))
    assert (result.exit_code, rounds) == (0, 3)
    told = [line.partition(" s  ")[2] for line in result.output.splitlines() if "Logs come" in line]
    assert told == [
        (
            "… Logs come: The API server does not reach the kubelet of shop/web-1 on ip-1: "
            "dial tcp 10.68.204.17:10250: i/o timeout."
        ),
        "✓ Logs come: Read: shop/web-1 (100.64.0.9).",
    ]
    assert result.output.splitlines()[-2:] == ["All 2 hold after 0 s.", "next: headroom forecast --cluster prod-use1"]


def test_verify_tells_what_is_met_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = replace(RUNS, name="web-9")
    result, _ = watched(tmp_path, monkeypatch, ((RUNS,), CLOSED), ((RUNS, later), CLOSED), ((RUNS,), READ))
    assert sum("✓ Pods run" in line for line in result.output.splitlines()) == 1


def test_verify_ends_with_the_condition_that_does_not_hold_and_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headroom.cli.verify.time.monotonic", iter(range(0, 100_000, 1000)).__next__)
    result, _ = watched(tmp_path, monkeypatch, ((RUNS, WAITS), READ))
    assert result.exit_code == 1
    assert result.output.splitlines()[-2:] == [
        "Does not hold after 1000 s: Pods run.",
        "next: headroom diagnose --cluster prod-use1",
    ]


def verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, check: Check, pods: tuple[Pod, ...]) -> str:
    """The last line of `headroom verify --once` on AKS, by a plan of a cluster that was not there yet."""
    made_plan = Plan(
        cluster="aks-new",
        stack="aks-new",
        verdict="planned",
        postconditions=(
            Postcondition(check=check, title="It is so", expected={"networkPlugin": "azure"}, patience_seconds=900),
            Postcondition(check=Check.STUCK_PODS_RUNNING, title="Pods run", patience_seconds=900),
        ),
    )
    path = tmp_path / "verify.json"
    path.write_text(json.dumps(plan_to_json(made_plan)), encoding="utf-8")
    network = NetworkProfile(network_plugin="azure", network_plugin_mode="overlay", pod_cidr="100.64.0.0/16")
    managed = ManagedCluster(cluster_id="aks-new", name="aks-new", network=network, provisioning_state="Succeeded")
    azure = Azure(cluster=managed)
    snapshot = Snapshot(cloud="azure", cluster="aks-new", kubernetes=Kubernetes(pods=pods), azure=azure)
    monkeypatch.setattr(verifying, "read_facts", lambda _: snapshot)
    words = ["--cloud", "aks", "--subscription", "1", "--resource-group", "rg", "--cluster", "aks-new", "--once"]
    return CliRunner().invoke(verify, [*words, "--plan", str(path)]).output.splitlines()[-1]


def test_verify_on_aks_ends_with_what_can_be_asked_of_azure_and_with_the_policies_of_a_new_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = verified(monkeypatch, tmp_path, Check.OVERLAY_MODE, (RUNS,))
    assert said == "next: headroom probes --context aks-new --run"
    diagnose = "next: headroom diagnose --cloud aks --subscription 1 --resource-group rg --cluster aks-new"
    assert verified(monkeypatch, tmp_path, Check.OVERLAY_MODE, (RUNS, WAITS)) == diagnose
    assert verified(monkeypatch, tmp_path, Check.NO_NEW_FAILURES, (RUNS,)) == diagnose


def test_a_plan_that_is_not_there_is_one_that_headroom_plan_writes(facts: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(verify, ["--facts", str(facts), "--plan", str(tmp_path / "none.json")])
    assert isinstance(result.exception, ProblemsError)
    (problem,) = result.exception.problems
    assert problem.next_step == "Name a file that `headroom plan` wrote."


def test_logs_that_may_not_be_read_leave_verify_undecided_once_nothing_else_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [((RUNS, WAITS), DENIED)] * 5
    result, rounds = watched(tmp_path, monkeypatch, *waiting, ((RUNS,), DENIED))
    assert (result.exit_code, rounds) == (3, 6)
    assert "rbac-verify" in result.output


def test_limits_are_a_stack_of_their_own_and_its_names_are_checked_too(tmp_path: Path) -> None:
    facts = Path(__file__).parents[1] / "incidents" / "eks-node-subnet-full" / "facts.json"
    result = call("--facts", facts, "--limits", "--folder", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("stacks/*")) == [
        "stacks/Pulumi.prod-use1-limits.yaml",
        "stacks/policy.prod-use1-limits.json",
    ]
    assert "is no name of a Pulumi stack" in problems(call("--facts", facts, "--limits", "--stack", "../evil"))


def aks_facts(tmp_path: Path) -> Path:
    source = Path(__file__).parents[1] / "incidents" / "aks-kubenet-exhausted" / "facts.json"
    path = tmp_path / "aks.json"
    path.write_bytes(source.read_bytes())
    return path


def test_a_plan_of_aks_writes_its_stacks_and_is_rechecked(tmp_path: Path) -> None:
    facts = aks_facts(tmp_path)
    result = call("--facts", facts, "--folder", tmp_path, "--node-price", "0.3", "--set", "podCidr=10.250.0.0/16")
    assert result.exit_code == 0, result.output
    written = {path.name for path in tmp_path.glob("stacks/*")}
    assert {f"Pulumi.aks-prod-eus2-{name}.yaml" for name in ("egress", "overlay", "traffic", "retire")} <= written
    assert "pods in 10.250.0.0/16" in result.output
    again = next(line for line in result.output.splitlines() if "headroom plan --recheck" in line)
    assert again.split()[-6:] == [
        "--subscription",
        "3c1f0a52-9b7e-4c33-8f63-2a6f8f3a7b10",
        "--resource-group",
        "rg-prod-eus2",
        "--cloud",
        "aks",
    ]
    assert "$684 by list prices" in result.output
    plan_file = tmp_path / "stacks/plan.aks-prod-eus2-overlay.json"
    assert call("--facts", facts, "--recheck", plan_file).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("stacks/*")}
    call("--facts", facts, "--folder", tmp_path, "--node-price", "0.3", "--set", "podCidr=10.250.0.0/16")
    assert before == {path: path.read_bytes() for path in tmp_path.glob("stacks/*")}


def test_a_healthy_cluster_of_aks_is_told_of_what_there_is_for_it_and_a_plan_ahead_says_so(tmp_path: Path) -> None:
    source = Path(__file__).parents[1] / "incidents" / "aks-healthy" / "facts.json"
    said = problems(call("--facts", source, "--folder", tmp_path))
    assert "--ahead plans the way off kubenet all the same" in said
    assert "forecast" not in said
    ahead = call("--facts", source, "--folder", tmp_path, "--ahead", "--dry-run").output
    assert ahead.splitlines()[0] == "PLAN   aks-prod-eus2: healthy"


def test_options_of_one_cloud_are_refused_for_the_other(facts: Path, tmp_path: Path) -> None:
    assert "is for clusters of AKS" in problems(call("--facts", facts, "--node-price", "0.3"))
    assert "is for clusters of EKS" in problems(call("--facts", aks_facts(tmp_path), "--limits"))
    assert "Write one of in-place and blue-green" in problems(call("--facts", facts, "--set", "way=sideways"))


def test_the_help_fits_one_screen() -> None:
    lines = call("--help").output.splitlines()
    assert len(lines) <= 44
    assert sum(line.strip().startswith("headroom plan ") for line in lines[:10]) == 4
