"""`headroom respond`: an event becomes a pull request's text and files, or a reason why not; nothing is applied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headroom.addresses.problems import ProblemsError
from headroom.cli.respond import respond

CHECKOUT = Path(__file__).parents[2]
INCIDENTS = CHECKOUT / "tests" / "incidents"
EVENT = {
    "cluster": "prod-use1",
    "alarm": "headroom/prod-use1/us-east-1a/warning",
    "region": "us-east-1",
    "account": "123456789012",
    "time": "2026-03-03T20:20:00Z",
    "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout."""
    (tmp_path / "stacks").mkdir()
    shutil.copyfile(CHECKOUT / "Pulumi.yaml", tmp_path / "Pulumi.yaml")
    return tmp_path


def run(folder: Path, incident: str, *options: str, **event: Any) -> Result:
    facts = INCIDENTS / incident / "facts.json"
    arguments = ["--facts", str(facts), "--checkout", str(folder), "--folder", str(folder / "proposal"), *options]
    return CliRunner().invoke(respond, arguments, env={"HEADROOM_EVENT": json.dumps({**EVENT, **event})})


def proposal(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "proposal" / "proposal.json").read_text(encoding="utf-8"))
    return found


def body(folder: Path) -> str:
    return (folder / "proposal" / "body.md").read_text(encoding="utf-8")


def test_before_anything_hangs_it_plans_more_room_and_is_not_urgent(folder: Path) -> None:
    done = run(folder, "eks-healthy")
    assert done.exit_code == 0, done.output
    found = proposal(folder)
    assert (found["branch"], found["labels"], found["rank"]) == (
        "headroom/prod-use1/subnet_exhaustion",
        ["headroom"],
        0,
    )
    assert found["check"] == "clean"
    assert set(found["files"]) == {
        "stacks/Pulumi.prod-use1-emergency.yaml",
        "stacks/policy.prod-use1-emergency.json",
        "stacks/plan.prod-use1-emergency.json",
    }
    text = body(folder)
    assert "us-east-1a of `prod-use1` runs low on addresses" in text
    assert "No pod hangs yet" in text
    assert "**Headroom: 0 violations, 0 undecided**" in text
    assert "pulumi up" in text


def test_where_pods_hang_it_is_urgent_and_told_by_its_cause(folder: Path) -> None:
    done = run(folder, "eks-fragmented", alarm="headroom/prod-use1/us-east-1a/page")
    assert done.exit_code == 0, done.output
    found = proposal(folder)
    assert found["branch"] == "headroom/prod-use1/subnet_exhaustion-fragmentation"
    assert (found["labels"], found["rank"]) == (["headroom", "urgent"], 2)
    assert found["title"] == "[urgent] prod-use1: subnet_exhaustion/fragmentation, pods hang"
    assert "❌" in body(folder)


def test_the_same_event_and_facts_give_the_same_proposal(folder: Path) -> None:
    run(folder, "eks-healthy")
    first = proposal(folder), body(folder)
    run(folder, "eks-healthy")
    assert (proposal(folder), body(folder)) == first


def test_what_is_not_addresses_is_for_a_person_and_proposes_nothing(folder: Path) -> None:
    run(folder, "eks-healthy")
    done = run(folder, "eks-not-ip")
    assert done.exit_code == 3
    assert not (folder / "proposal" / "proposal.json").exists(), "and no earlier proposal is left to be sent"
    assert body(folder)


@pytest.mark.parametrize("field", ["cluster", "region"])
def test_a_pipeline_gets_what_it_needs_of_the_event_once_it_is_judged(folder: Path, field: str) -> None:
    done = run(folder, "eks-healthy", "--print", field)
    assert (done.exit_code, done.output) == (0, f"{EVENT[field]}\n")


def test_nothing_is_read_or_printed_of_an_event_that_is_not_the_triggers(folder: Path) -> None:
    done = run(folder, "eks-healthy", "--print", "cluster", cluster="x; curl evil")
    assert isinstance(done.exception, ProblemsError)
    assert done.output == ""
    assert ";" not in done.exception.problems[0].value


def test_the_snapshot_of_another_cluster_is_refused(folder: Path) -> None:
    done = run(folder, "eks-healthy", cluster="other", alarm="headroom/other/us-east-1a/page")
    assert isinstance(done.exception, ProblemsError)
    assert "is another cluster than the event's" in str(done.exception)


def test_without_an_event_it_says_how_to_give_one(folder: Path) -> None:
    done = CliRunner().invoke(respond, ["--folder", str(folder)], env={"HEADROOM_EVENT": None})
    assert isinstance(done.exception, ProblemsError)
    assert "Set HEADROOM_EVENT" in str(done.exception)
