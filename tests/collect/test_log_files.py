"""Log files of any size and encoding."""

import gzip
import io
from pathlib import Path

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.collect import logs
from headroom.collect.logs import Allowance, origin_of_name, read_log, scan
from headroom.facts.snapshot import Origin

REFUSED = "CreateNetworkInterface InsufficientFreeAddressesInSubnet: The specified subnet does not have enough free"
ROUTINE = '{"level":"debug","ts":"2026-03-03T20:20:00Z","caller":"ipamd/ipamd.go","msg":"Reconciling ENI/IP pool"}\n'


@pytest.mark.parametrize(
    "data",
    [
        REFUSED.encode(),
        b"\xef\xbb\xbf" + REFUSED.encode(),
        b"\xff\xfe" + REFUSED.encode("utf-16-le"),
        b"\xfe\xff" + REFUSED.encode("utf-16-be"),
        REFUSED.encode("utf-16-le"),
        REFUSED.encode() + b"\xff\xfe\xfa",
        gzip.compress(REFUSED.encode()),
        gzip.compress(b"\xff\xfe" + REFUSED.encode("utf-16-le")),
        (REFUSED + "\r\n").encode(),
    ],
    ids=["utf-8", "utf-8 mark", "utf-16 le", "utf-16 be", "utf-16 bare", "broken", "gzip", "gzip utf-16", "windows"],
)
def test_a_log_is_read_in_whatever_it_is_written(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "ipamd.log"
    file.write_bytes(data)
    (line,), source = read_log(file, node="node-1")
    assert line.text.startswith(REFUSED)
    assert (line.node, line.file, line.origin) == ("node-1", "ipamd.log", Origin.IPAMD_LOG)
    assert (source.name, source.outcome) == ("ipamd.log", "")


def test_a_hundred_thousand_lines_come_down_to_those_that_mean_something(tmp_path: Path) -> None:
    file = tmp_path / "ipamd.log"
    with file.open("w", encoding="utf-8") as stream:
        for number in range(100):
            stream.write(ROUTINE * 999)
            stream.write(f'{{"level":"error","ts":"2026-03-03T20:{number // 2:02}:00Z","msg":"{REFUSED}"}}\n')
    (line,), source = read_log(file)
    assert source.items == 100_000
    assert line.count == 100
    assert (line.first_seen, line.last_seen) == ("2026-03-03T20:00:00Z", "2026-03-03T20:49:00Z")


def test_a_damaged_archive_keeps_what_could_be_read(tmp_path: Path) -> None:
    file = tmp_path / "a.log.gz"
    file.write_bytes(gzip.compress((REFUSED + "\n" + ROUTINE * 2_000).encode(), mtime=0)[:-20])
    found, source = read_log(file)
    assert source.outcome.startswith("read in part: ")
    assert all(line.text == REFUSED for line in found)


def test_what_expands_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PIECE", 1 << 12)
    data = gzip.compress((REFUSED + "\n").encode() + b"x" * (1 << 20))
    found, source = scan(io.BytesIO(data), "bomb", allowance=Allowance(1 << 16))
    assert "expands to more than" in source.outcome
    assert [line.text for line in found][:1] == [REFUSED]


def test_a_secret_in_a_line_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    file.write_text(f"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY {REFUSED}\n", encoding="utf-8")
    (line,), _ = read_log(file)
    assert "wJalrXUtnFEMI" not in line.text


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.log", tmp_path):
        with pytest.raises(ProblemsError, match="cannot be read"):
            read_log(path)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("var_log/aws-routed-eni/ipamd.log", Origin.IPAMD_LOG),
        ("var_log/aws-routed-eni/plugin.log", Origin.PLUGIN_LOG),
        ("aws-node-x7k2p.log", Origin.AWS_NODE_LOG),
        ("Kubelet.txt", Origin.KUBELET_LOG),
        ("azure-vnet.log", Origin.CNS_LOG),
        ("karpenter.log", Origin.KARPENTER),
        ("kubectl-describe-pod.txt", Origin.POD_EVENT),
        ("syslog", Origin.OTHER),
    ],
)
def test_a_files_name_says_whose_log_it_is(name: str, origin: Origin) -> None:
    assert origin_of_name(name) is origin
