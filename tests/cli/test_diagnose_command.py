"""`headroom diagnose`: where it reads from, what it prints, how it ends, and what it refuses."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml

from headroom.cli import main
from headroom.facts.document import dump
from headroom.rehearsal import made
from tests.cli.conftest import Run

BARE = "add cmd: failed to assign an IP address to container"
REFUSED = "Failed to CreateNetworkInterface InsufficientFreeAddressesInSubnet: not enough free addresses"


def case(tmp_path: Path, *texts: str, **known: object) -> str:
    lines = [{"origin": "ipamd_log", "text": text} for text in texts]
    file = tmp_path / "case.json"
    file.write_text(json.dumps({"lines": lines, "known": {"cloud": "aws", **known}}), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshots")
    for name in ("exhausted", "healthy"):
        (folder / f"{name}.json").write_text(dump(getattr(made, name)()), encoding="utf-8")
    return folder


def diagnosed(*words: str) -> Run:
    """`headroom diagnose` with these words."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["headroom", "diagnose", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Run(code, out.getvalue(), err.getvalue())


def test_a_cause_ends_with_1_and_is_told_with_its_evidence(tmp_path: Path) -> None:
    run = diagnosed("--case", case(tmp_path, REFUSED, subnetFreeAddresses=0))
    assert (run.code, run.err) == (1, "")
    assert "subnet" in run.out
    assert "InsufficientFreeAddressesInSubnet" in run.out


def test_what_is_no_address_problem_ends_with_1_too(tmp_path: Path) -> None:
    run = diagnosed("--case", case(tmp_path, "Failed to pull image nginx:lates: ErrImagePull"), "--json")
    assert run.code == 1
    assert run.data["verdict"] == "not_ip"
    assert run.data["causes"] == []


def test_what_stays_open_ends_with_3_and_says_what_to_read(tmp_path: Path) -> None:
    run = diagnosed("--case", case(tmp_path, BARE), "--json")
    assert run.code == 3
    assert run.data["verdict"] == "undecided"
    assert any("AvailableIpAddressCount" in each["reading"] for each in run.data["needed"])
    assert "ipamd.log" in diagnosed("--case", case(tmp_path, BARE)).out


def test_a_healthy_cluster_ends_with_0(snapshots: Path) -> None:
    run = diagnosed("--facts", str(snapshots / "healthy.json"), "--json")
    assert (run.code, run.data["verdict"]) == (0, "healthy")


def test_a_snapshot_is_diagnosed_with_its_impact(snapshots: Path) -> None:
    run = diagnosed("--facts", str(snapshots / "exhausted.json"), "--json")
    assert run.code == 1
    assert list(run.data)[:4] == ["verdict", "causes", "impact", "needed"]
    (cause,) = run.data["causes"]
    assert cause["rootCause"] == "subnet_exhaustion"
    assert cause["scope"]["zones"] == ["us-east-1a", "us-east-1b"]
    assert cause["ruledOut"]
    assert run.data["impact"] is not None


def test_the_runbooks_yaml_has_exactly_its_keys_and_one_of_ours(snapshots: Path) -> None:
    run = diagnosed("--facts", str(snapshots / "exhausted.json"), "--yaml")
    assert run.code == 1
    found = yaml.safe_load(run.out)
    assert list(found) == ["root_cause", "evidence", "severity", "mitigation", "headroom"]
    assert found["root_cause"].startswith("subnet_exhaustion")


def test_logs_stand_alone_or_beside_a_case(tmp_path: Path) -> None:
    log = tmp_path / "ipamd.log"
    log.write_text(f"{REFUSED}\n" * 3, encoding="utf-8")
    alone = diagnosed("--log", str(log), "--json")
    assert (alone.code, alone.data["causes"][0]["rootCause"]) == (1, "subnet_exhaustion")
    beside = diagnosed("--case", case(tmp_path, BARE, subnetFreeAddresses=0), "--log", str(log), "--json")
    assert {each["what"] for each in beside.data["causes"][0]["evidence"]} > {"free addresses of the subnet"}


def test_what_a_node_of_kubenet_keeps_of_addresses_stands_beside_a_snapshot(tmp_path: Path) -> None:
    """The files of host-local, as the command prints them that a diagnosis names."""
    source = Path(__file__).parents[1] / "incidents" / "aks-kubenet-exhausted" / "facts.json"
    document = json.loads(source.read_text(encoding="utf-8"))
    node = document["azure"].pop("hostLocal")[0]["node"]
    facts, files = tmp_path / "facts.json", tmp_path / "node.txt"
    facts.write_text(json.dumps(document), encoding="utf-8")
    held = [f"./kubenet/10.244.0.{number}:{number:064x}" for number in range(2, 255)]
    text = [f"# host-local of {node}", *held, "# ready sandboxes", *(f"{number:064x}" for number in range(2, 100))]
    files.write_text("\n".join(text), encoding="utf-8")

    def said(*more: str) -> str:
        found = diagnosed("--facts", str(facts), *more, "--json").data
        assert [each["detail"] for each in found["causes"]] == ["host_local_leak"]
        return str(found["causes"][0])

    assert "253 reserved" not in said()
    assert "253 reserved" in said("--log", str(files))


def test_a_log_may_be_a_pipe_which_gives_what_it_holds_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, f"{REFUSED}\n".encode() * 3)
    os.close(writer)
    try:
        run = diagnosed("--log", f"/dev/fd/{reader}", "--json")
    finally:
        os.close(reader)
    assert (run.code, run.data["causes"][0]["rootCause"]) == (1, "subnet_exhaustion")


def test_an_interruption_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headroom.cli.facts.read_text", interrupt)
    run = diagnosed("--facts", "any.json")
    assert (run.code, run.out, run.err) == (130, "", "Interrupted.\n")


def test_several_logs_may_follow_one_option(tmp_path: Path) -> None:
    names = []
    for number, text in enumerate((BARE, REFUSED, "0/3 nodes are available: 3 Too many pods.")):
        names.append(str(tmp_path / f"{number}.log"))
        Path(names[-1]).write_text(f"{text}\n", encoding="utf-8")
    run = diagnosed("--log", *names, "--json")
    assert {each["rootCause"] for each in run.data["causes"]} == {"subnet_exhaustion", "eni_limit"}
    assert run.out == diagnosed("--log", names[0], "--log", names[1], "--log", names[2], "--json").out


def test_a_bundle_is_read(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "ipamd.log").write_text(f"{REFUSED}\n", encoding="utf-8")
    run = diagnosed("--bundle", str(tmp_path / "bundle"), "--json")
    assert (run.code, run.data["causes"][0]["rootCause"]) == (1, "subnet_exhaustion")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "Name one of --cluster NAME"),
        (("--facts", "a.json", "--case", "b.json"), "--facts and --case"),
        (("--case", "missing.yaml"), "cannot be read"),
        (("--bundle", "missing"), "cannot be read"),
        (("--log", "missing.log"), "cannot be read"),
        (("--facts", "missing.json"), "missing.json"),
        (("ipamd.log",), "Write --log before logs"),
    ],
)
def test_bad_input_ends_with_2_and_a_next_step(
    tmp_path: Path, words: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = diagnosed(*words)
    assert (run.code, run.out) == (2, "")
    assert part in run.err
    assert "Traceback" not in run.err


def test_every_fault_of_a_case_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text("lines: [{origin: syslog, text: x}, 7]\nknown: {cloud: gcp}", encoding="utf-8")
    run = diagnosed("--case", str(file))
    assert run.code == 2
    for part in ('"syslog"', "lines[1]", '"gcp"'):
        assert part in run.err


def test_every_log_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    run = diagnosed("--log", str(tmp_path / "a.log"), "--log", str(tmp_path / "b.log"))
    assert run.code == 2
    assert "a.log" in run.err
    assert "b.log" in run.err


def test_the_same_input_gives_the_same_output(snapshots: Path) -> None:
    words = ("--facts", str(snapshots / "exhausted.json"), "--json")
    assert diagnosed(*words).out == diagnosed(*words).out
