"""`headroom report`: a page and Markdown from a snapshot."""

import contextlib
import io
import sys
from pathlib import Path
from unittest import mock

import pytest

from headroom.cli import main
from headroom.facts.document import dump
from headroom.facts.snapshot import Snapshot
from headroom.rehearsal import made
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facts") / "facts.json"
    path.write_text(dump(made.exhausted()), encoding="utf-8")
    return path


def report(*arguments: str) -> Run:
    """`headroom report` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["headroom", "report", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Run(code, out.getvalue(), err.getvalue())


def test_a_snapshot_becomes_a_page_with_its_plan_and_markdown_beside_it(facts: Path, tmp_path: Path) -> None:
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    run = report("--facts", str(facts), "-o", str(page), "--markdown", str(text))
    assert run.code == 1, "a cause was found"
    assert run.out == ""
    assert run.err.startswith(f"found: {page} (")
    written = page.read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>")
    assert "subnet_exhaustion" in written
    assert "100.64.0.0/16" in written, "the plan adds a secondary CIDR"
    assert f"headroom plan --facts {facts}" in written
    assert text.read_text(encoding="utf-8").startswith("**Headroom: Cause found** · `prod-use1`\n")


def test_the_page_goes_to_stdout_on_request_and_the_plan_can_be_left_out(facts: Path) -> None:
    run = report("--facts", str(facts), "-o", "-", "--no-plan")
    assert run.code == 1
    assert run.out.startswith("<!doctype html>")
    assert run.out.endswith("</html>\n")
    assert 'id="plan"' not in run.out
    assert run.err == ""


def test_a_healthy_cluster_ends_with_0_and_an_empty_snapshot_undecided(tmp_path: Path) -> None:
    for snapshot, code in ((made.healthy(), 0), (Snapshot(), 3)):
        facts = tmp_path / "facts.json"
        facts.write_text(dump(snapshot), encoding="utf-8")
        assert report("--facts", str(facts), "-o", str(tmp_path / "r.html")).code == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--facts", "nowhere.json"), "nowhere.json cannot be read"),
        ((), "Neither --facts nor --cluster is given."),
        (("--facts", "x", "--cluster", "y"), "--facts and --cluster are both given."),
    ],
)
def test_bad_input_is_one_message(arguments: tuple[str, ...], words: str) -> None:
    run = report(*arguments)
    assert run.code == 2
    assert words in run.err
    assert "Traceback" not in run.err


def test_a_page_that_cannot_be_written_is_said(facts: Path, tmp_path: Path) -> None:
    run = report("--facts", str(facts), "-o", str(tmp_path / "no" / "r.html"))
    assert run.code == 2
    assert "cannot be written" in run.err
