"""`headroom one-side`: what it prints of two clusters, live or from snapshots, and what stops and starts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

import headroom.collect.one_side as reading
from headroom.addresses.problems import ProblemsError
from headroom.cli.one_side import one_side
from headroom.collect.session import choose_context
from headroom.facts.document import dump
from headroom.facts.kubernetes import CronJob, Kubernetes, Lease
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown
from tests.collect.conftest import ApiServerStub, api, kubeconfig_content  # noqa: F401 - `api` is a fixture

if TYPE_CHECKING:
    from pathlib import Path

AT = "2026-03-03T20:46:00Z"
CLOSE = CronJob(namespace="billing", name="close", schedule="0 2 * * *", concurrency_policy="Forbid", active=0)
RUNS = Kubernetes(cron_jobs=(CLOSE,), leases=(), keda_scalers=None, pods=(), workloads=())
WAITS = replace(RUNS, cron_jobs=(replace(CLOSE, suspended=True),))
LINE = "billing cronjob/close - 0 2 * * * Forbid\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "list.txt").write_text(LINE, encoding="utf-8")
    for name, kubernetes in (("runs", RUNS), ("waits", WAITS)):
        snapshot = Snapshot(cloud="azure", cluster=name, collected_at=AT, kubernetes=kubernetes)
        (tmp_path / f"{name}.json").write_text(dump(snapshot), encoding="utf-8")
    return tmp_path


def asked(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(one_side, [str(folder / "list.txt"), *words])


def compared(folder: Path, old: str, new: str, *words: str) -> Result:
    return asked(folder, "--old-facts", str(folder / f"{old}.json"), "--new-facts", str(folder / f"{new}.json"), *words)


@pytest.mark.parametrize(
    ("old", "new", "words", "code"),
    [
        ("runs", "waits", (), 0),
        ("waits", "runs", (), 0),
        ("runs", "runs", (), 1),
        ("waits", "waits", (), 1),
        ("runs", "waits", ("--expect", "old"), 0),
        ("runs", "waits", ("--expect", "new"), 1),
        ("waits", "waits", ("--expect", "neither"), 0),
    ],
)
def test_the_exit_code_says_whether_everything_runs_where_it_should(
    folder: Path, old: str, new: str, words: tuple[str, ...], code: int
) -> None:
    assert compared(folder, old, new, *words).exit_code == code


def test_what_runs_on_both_sides_is_said_in_text_json_and_markdown(folder: Path) -> None:
    done = compared(folder, "runs", "runs", "--markdown", str(folder / "comment.md"))
    assert done.stdout.splitlines() == [
        "✗ both       billing cronjob/close",
        "    runs.json  starts at 0 2 * * *",
        "    runs.json  starts at 0 2 * * *",
        "ONE SIDE  0 of 1 as it should be, 1 wrong",
        "NEXT  headroom one-side FILE --stop runs.json | sh    and ask again once their last runs have ended",
    ]
    assert (folder / "comment.md").read_text(encoding="utf-8").splitlines() == [
        "**Runs on one side only: 0 of 1 as it should be, 1 wrong**",
        "",
        "| | what | runs.json | runs.json |",
        "|---|---|---|---|",
        r"| ✗ both | `billing cronjob/close` | starts at 0 2 \* \* \* | starts at 0 2 \* \* \* |",
    ]
    document = json.loads(compared(folder, "runs", "runs", "--json").stdout)
    assert document["exitCode"] == 1
    assert [(each["name"], each["runs"], each["state"]) for each in document["entries"]] == [("close", "both", "wrong")]


def test_a_comment_mentions_nobody_by_what_a_cluster_says_of_itself(folder: Path) -> None:
    lease = Lease(namespace="billing", name="queue", holder="@org/team#1", duration_seconds=15, renewed_at=AT)
    snapshot = Snapshot(cloud="azure", collected_at=AT, kubernetes=replace(RUNS, leases=(lease,)))
    (folder / "runs.json").write_text(dump(snapshot), encoding="utf-8")
    (folder / "list.txt").write_text("billing lease/queue\n", encoding="utf-8")
    assert "@org/team#1" in compared(folder, "runs", "waits", "--markdown", str(folder / "comment.md")).stdout
    comment = (folder / "comment.md").read_text(encoding="utf-8")
    assert "org/team" in comment
    assert not re.search(r"@\w|#\d", comment)


def test_an_answer_whose_table_cannot_be_written_is_told_all_the_same(folder: Path) -> None:
    done = compared(folder, "runs", "waits", "--markdown", str(folder / "none" / "comment.md"))
    assert isinstance(done.exception, ProblemsError)
    assert "ONE SIDE  1 of 1 as it should be" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "expect", "follows"),
    [
        ("runs", "waits", "old", "nothing is left to do here"),
        ("runs", "waits", "new", "--stop runs.json"),
        ("runs", "waits", "neither", "--stop runs.json"),
        ("waits", "runs", "neither", "--stop runs.json"),
        ("waits", "waits", "old", "--start waits.json"),
        ("waits", "waits", "new", "--start waits.json"),
    ],
)
def test_every_answer_ends_with_what_comes_next(folder: Path, old: str, new: str, expect: str, follows: str) -> None:
    last = compared(folder, old, new, "--expect", expect).stdout.splitlines()[-1]
    assert last.startswith("NEXT  ")
    assert follows in last


def test_what_was_not_read_leaves_it_undecided(folder: Path) -> None:
    denied = Unknown(Reason.DENIED, "the API server answered 403 Forbidden")
    snapshot = Snapshot(cloud="azure", collected_at=AT, kubernetes=replace(WAITS, leases=denied))
    (folder / "waits.json").write_text(dump(snapshot), encoding="utf-8")
    done = compared(folder, "runs", "waits")
    assert done.exit_code == 3
    assert "? waits.json: Leases, which name leader-elected consumers, were not read (denied" in done.stdout


def test_a_line_that_waits_for_a_decision_stops_both_the_answer_and_the_commands(folder: Path) -> None:
    (folder / "list.txt").write_text(f"? {LINE}", encoding="utf-8")
    done = compared(folder, "runs", "waits")
    assert done.exit_code == 3
    assert "NEXT  decide on the lines with ?" in done.stdout
    refused = asked(folder, "--stop", "aks")
    assert isinstance(refused.exception, ProblemsError)
    assert refused.stdout == "", "nothing reaches the shell behind a pipe"


def test_stop_and_start_print_commands_and_ask_nobody(folder: Path) -> None:
    assert asked(folder, "--stop", "aks-new").stdout == (
        'kubectl --context aks-new --namespace billing patch cronjob/close --patch \'{"spec": {"suspend": true}}\'\n'
    )
    assert '"suspend": false' in asked(folder, "--start", "aks-new").stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--old", "a"),
        ("--old", "a", "--new", "b", "--new-facts", "c.json"),
        ("--stop", "a", "--start", "b"),
        ("--stop", "a", "--old", "b"),
        ("--old", "a", "--new", "a"),
    ],
    ids=["nothing", "one side", "twice", "both commands", "command and cluster", "one cluster"],
)
def test_what_contradicts_itself_is_refused(folder: Path, words: tuple[str, ...]) -> None:
    assert isinstance(asked(folder, *words).exception, ProblemsError)


def cron_job(*, suspend: bool) -> dict[str, Any]:
    spec = {"schedule": "0 2 * * *", "suspend": suspend, "jobTemplate": {"spec": {}}}
    return {"metadata": {"namespace": "billing", "name": "close"}, "spec": spec}


@pytest.fixture
def contexts(
    folder: Path,
    api: ApiServerStub,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Contexts called old and new, both of the one API server."""
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig_content({"old": api.url, "new": api.url})), encoding="utf-8")
    monkeypatch.setattr(
        reading, "choose_context", lambda _, context, **__: choose_context("", context, kubeconfig=str(file))
    )


@pytest.mark.usefixtures("contexts")
def test_two_live_clusters_are_read_for_no_more_than_it_needs(
    folder: Path,
    api: ApiServerStub,  # noqa: F811 - the fixture
) -> None:
    api.lists["/apis/batch/v1/cronjobs"] = [cron_job(suspend=False)]
    done = asked(folder, "--old", "old", "--new", "new", "--json")
    assert done.exit_code == 1, done.output
    assert json.loads(done.stdout)["entries"][0]["runs"] == "both"
    assert api.paths() == {
        "/apis",
        "/api/v1/pods",
        "/apis/apps/v1/daemonsets",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/statefulsets",
        "/apis/batch/v1/cronjobs",
        "/apis/batch/v1/jobs",
        "/apis/coordination.k8s.io/v1/leases",
    }
    api.failures["/apis/coordination.k8s.io/v1/leases"] = (403, "Forbidden")
    api.lists["/apis/batch/v1/cronjobs"] = [cron_job(suspend=True)]
    done = asked(folder, "--old", "old", "--new", "new", "--expect", "neither")
    assert done.exit_code == 3
    assert "Leases, which name leader-elected consumers, were not read (denied" in done.stdout


@pytest.mark.usefixtures("contexts")
@pytest.mark.parametrize(
    ("clock", "runs"),
    [
        ("Tue, 03 Mar 2026 20:46:10 GMT", "held by"),
        ("Tue, 03 Mar 2026 21:46:10 GMT", "stale"),
        ("no time at all", "stale"),
    ],
)
def test_whether_a_lease_is_stale_is_told_by_the_clusters_clock_and_not_by_this_machines(
    folder: Path,
    api: ApiServerStub,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    clock: str,
    runs: str,
) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: clock)
    spec = {"holderIdentity": "queue-0", "leaseDurationSeconds": 15, "renewTime": "2026-03-03T20:46:00.000001Z"}
    api.lists["/apis/coordination.k8s.io/v1/leases"] = [
        {"metadata": {"namespace": "billing", "name": "queue"}, "spec": spec}
    ]
    (folder / "list.txt").write_text("billing lease/queue\n", encoding="utf-8")
    done = asked(folder, "--old", "old", "--new", "new", "--json")
    (entry,) = json.loads(done.stdout)["entries"]
    assert entry["old"].startswith(runs)
