"""`headroom rehearse --facts`: what cannot be copied is said before anything is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from headroom.addresses.problems import ProblemsError
from headroom.cli.rehearse import rehearse

FACTS = Path(__file__).parents[1] / "incidents" / "eks-healthy" / "facts.json"


@pytest.mark.parametrize("option", [["--all"], ["--save", "out"], ["--scenario", "eks-healthy"]])
def test_a_copy_is_of_one_cluster(option: list[str]) -> None:
    result = CliRunner().invoke(rehearse, ["--facts", str(FACTS), *option])
    assert result.exit_code == 2
    assert "--facts plays a copy of one cluster." in result.output


def test_a_snapshot_that_is_not_enough_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_text('{"version": 1, "cloud": "aws"}', encoding="utf-8")
    result = CliRunner().invoke(rehearse, ["--facts", str(file), "--folder", str(tmp_path / "world")])
    assert isinstance(result.exception, ProblemsError)
    assert "aws is unknown: not collected" in str(result.exception)
    assert not (tmp_path / "world").exists()
