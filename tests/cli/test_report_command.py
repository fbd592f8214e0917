"""`headroom report`: a page and Markdown from a snapshot."""

import contextlib
import io
import json
import re
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


def read_out(page: str) -> str:
    """A page's words, without its marks."""
    return " ".join(re.sub(r"<[^>]*>", "", page).split())


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
    assert f"headroom plan --facts {facts}" in read_out(written)
    assert text.read_text(encoding="utf-8").startswith(
        "**Headroom: Cause found** · `prod-use1` · facts of 2026-03-03T21:14:00Z\n"
    )
    told = text.read_text(encoding="utf-8")
    assert told.count("~~~diff") == 1
    assert "\n+  headroom:clusterName: prod-use1\n" in told, "the plan's diff, indented as the file is"
    assert "`pulumi up --policy-pack policies" in told
    assert "The way back" in told
    assert "What else was weighed" in told


REFUSED = (
    '{"level":"error","ts":"2026-03-03T20:27:17Z","caller":"ipamd/ipamd.go","msg":"Failed to CreateNetworkInterface '
    'InsufficientFreeAddressesInSubnet: The specified subnet does not have enough free addresses"}\n'
)


def test_a_case_a_bundle_and_logs_become_the_page_of_their_diagnosis(facts: Path, tmp_path: Path) -> None:
    page, log, case = tmp_path / "r.html", tmp_path / "ipamd.log", tmp_path / "case.yaml"
    log.write_text(REFUSED, encoding="utf-8")
    line = {"origin": "ipamd_log", "text": REFUSED.strip()}
    case.write_text(json.dumps({"lines": [line], "known": {"cloud": "aws"}}), encoding="utf-8")
    for words in (("--case", str(case)), ("--log", str(log)), ("--bundle", str(facts), "--log", str(log))):
        run = report(*words, "-o", str(page))
        written = page.read_text(encoding="utf-8")
        assert (run.code, "subnet_exhaustion" in written) == (1, True), words
        assert "headroom plan --cluster NAME" in read_out(written), "a plan needs the facts of a whole cluster"


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
        ((), "Nothing is given to read."),
        (("--facts", "x", "--cluster", "y"), "--cluster and --facts are both given."),
        (("ipamd.log",), "ipamd.log follows no option that says what it is."),
        (("--log", "nowhere.log"), "nowhere.log cannot be read"),
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


def test_a_history_is_drawn_zone_by_zone_and_a_bad_one_refused(facts: Path, tmp_path: Path) -> None:
    subnets = json.loads(facts.read_text(encoding="utf-8"))["aws"]["subnets"]
    name = next(each["subnetId"] for each in subnets if each["zone"] == "us-east-1a")
    rows = [f"{hour * 3600},{name},{900 - hour // 4}" for hour in range(24 * 30)]
    history = tmp_path / "free.csv"
    history.write_text("\n".join(["time,subnet,freeAddresses", *rows]), encoding="utf-8")
    page = report("--facts", str(facts), "--history", str(history), "-o", "-").out
    assert re.search(r'<h3 id="forecast-1-title">(<[^>]*>)*us-east-1a(<[^>]*>)*</h3>', page)
    history.write_text("time,subnet\n", encoding="utf-8")
    refused = report("--facts", str(facts), "--history", str(history), "-o", "-")
    assert refused.code == 2
    assert "has no column freeAddresses or free28" in refused.err
