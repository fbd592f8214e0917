"""A plan before anything hangs: an alarm or a forecast says that a healthy cluster will run short."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headroom.addresses.problems import ProblemsError
from headroom.cli.plan import plan
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.document import load
from headroom.planning.planner import make_plan

if TYPE_CHECKING:
    from headroom.facts.snapshot import Snapshot

FACTS = Path(__file__).parents[1] / "incidents" / "eks-healthy" / "facts.json"


@pytest.fixture(scope="module")
def healthy() -> Snapshot:
    return load(FACTS.read_text(encoding="utf-8"))


def test_a_healthy_cluster_gets_more_room_where_it_is_asked_for(healthy: Snapshot) -> None:
    made = make_plan(healthy, diagnose(healthy), ahead=True)
    assert (made.verdict, made.causes) == ("healthy", ("subnet_exhaustion",))
    assert [file.path for file in made.files] == [
        "stacks/Pulumi.prod-use1-emergency.yaml",
        "stacks/policy.prod-use1-emergency.json",
    ]
    assert "headroom:podSubnets" in made.files[0].text
    assert any("this is prevention" in decision for decision in made.decisions)


def test_without_being_asked_there_is_nothing_to_plan_and_it_says_how_to_ask(healthy: Snapshot) -> None:
    with pytest.raises(ProblemsError, match="--ahead plans more room all the same"):
        make_plan(healthy, diagnose(healthy))


@pytest.mark.parametrize("verdict", [Verdict.NOT_IP, Verdict.UNDECIDED])
def test_what_is_not_healthy_is_no_prevention(healthy: Snapshot, verdict: Verdict) -> None:
    with pytest.raises(ProblemsError):
        make_plan(healthy, Diagnosis(verdict=verdict), ahead=True)


def test_the_command_writes_it_with_ahead(tmp_path: Path) -> None:
    done = CliRunner().invoke(plan, ["--facts", str(FACTS), "--folder", str(tmp_path), "--ahead"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "stacks" / "Pulumi.prod-use1-emergency.yaml").is_file()
