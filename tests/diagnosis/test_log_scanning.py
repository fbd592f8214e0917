"""Finding the few lines that mean something among the many that do not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.diagnosis import scanning
from headroom.diagnosis.scanning import LogScanner, origin_of, quiet_starts
from headroom.diagnosis.signatures import LONGEST_LINE, Kind, Signature, match, noteworthy, signatures
from headroom.facts.snapshot import Line, Origin

HERE = Path(__file__).parent
CASES = [
    case
    for path in (HERE / "cases.json", HERE.parent / "data" / "log_cases.json")
    for case in json.loads(path.read_text(encoding="utf-8"))
]
LINES = [line for case in CASES for line in case["lines"] if "\n" not in line["text"]]

ROUTINE = (
    '{"level":"debug","ts":"2026-03-03T20:36:35.001Z","caller":"ipamd/ipamd.go","msg":"Reconciling ENI/IP pool"}',
    '{"level":"info","ts":"2026-03-03T20:36:35.001Z","caller":"rpc/rpc.pb.go","msg":"Received AddNetwork for NS"}',
    '{"level":"debug","msg":"IP stats for Network Card 0 - total IPs: 58, assigned IPs: 20, cooldown IPs: 1"}',
    '{"level":"info","msg":"Send AddNetworkReply: IPv4Addr: 10.0.0.9, IPv6Addr: , DeviceNumber: 0, err: <nil>"}',
    'I0303 20:36:35.001000    1 kubelet.go:2447] "SyncLoop ADD" source="api" pods=["default/web-1"]',
    'time="2026-03-03T20:36:35Z" level=info msg="PullImage nginx:1.27"',
    "2018-12-11T14:50:00Z [DEBUG] IP Address Pool stats: total: 58, assigned: 20",
    "",
)
REFUSED = (
    '{"level":"debug","ts":"2026-03-03T20:27:17Z","caller":"ipamd/ipamd.go","msg":"Error trying to allocate ENI: '
    "operation error EC2: CreateNetworkInterface, api error InsufficientFreeAddressesInSubnet: The specified subnet "
    'does not have enough free addresses to satisfy the request."}'
)


def scanned(*texts: str, origin: Origin = Origin.OTHER, size: int = 1 << 20) -> tuple[Line, ...]:
    data = "\n".join(texts).encode()
    scanner = LogScanner(origin, node="node-1", file="ipamd.log")
    for start in range(0, len(data), size):
        scanner.feed(data[start : start + size])
    found = scanner.finish()
    assert scanner.lines == data.count(b"\n") + bool(data) - data.endswith(b"\n")
    return found


def test_routine_lines_are_passed_over() -> None:
    assert scanned(*ROUTINE * 50) == ()


def test_a_line_that_means_something_is_kept_with_its_place_and_its_times() -> None:
    later = REFUSED.replace("20:27:17Z", "20:29:42Z")
    (line,) = scanned(*ROUTINE, REFUSED, *ROUTINE, later)
    assert line.text == REFUSED
    assert (line.origin, line.node, line.file, line.count) == (Origin.IPAMD_LOG, "node-1", "ipamd.log", 2)
    assert (line.first_seen, line.last_seen) == ("2026-03-03T20:27:17Z", "2026-03-03T20:29:42Z")


def test_lines_that_differ_in_numbers_and_ids_only_are_one() -> None:
    texts = [
        f"Failed to attach eni-0a{number:06x}: AttachmentLimitExceeded: Interface count {number}" for number in range(9)
    ]
    (line,) = scanned(*texts)
    assert line.count == 9
    assert len(scanned(*texts, REFUSED)) == 2


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_a_log_may_come_in_pieces_of_any_size(size: int) -> None:
    texts = (*ROUTINE, REFUSED, *ROUTINE, "0/5 nodes are available: 5 Too many pods.")
    assert scanned(*texts, size=size) == scanned(*texts)
    assert len(scanned(*texts, size=size)) == 2


@pytest.mark.parametrize("entry", LINES, ids=range(len(LINES)))
def test_the_scan_keeps_every_line_of_an_incident_that_means_something(entry: dict[str, str]) -> None:
    origin = Origin(entry["origin"])
    text = entry["text"]
    matter = [
        each
        for each in match(text, origin=origin)
        if noteworthy(each) and each.signature.kind in (Kind.CAUSE, Kind.SYMPTOM)
    ]
    kept = scanned(text, origin=origin)
    assert bool(kept) or not matter, [each.signature.name for each in matter]


@pytest.mark.parametrize("signature", signatures(), ids=lambda signature: signature.name)
def test_the_scan_keeps_the_example_of_every_wording(signature: Signature) -> None:
    if signature.kind is not Kind.READING:
        assert scanned(signature.example, origin=signature.origins[0] if signature.origins else Origin.OTHER)


@pytest.mark.parametrize("signature", signatures(), ids=lambda signature: signature.name)
def test_a_wording_that_ipamd_writes_below_a_warning_is_not_passed_over(signature: Signature) -> None:
    starts = quiet_starts()
    assert all(len(start) == 8 for start in starts)
    for quiet in signature.quiet:
        assert quiet[:8].encode() in starts


def test_a_line_without_an_end_is_cut() -> None:
    scanner = LogScanner()
    for _ in range(100):
        scanner.feed(b"InsufficientFreeAddressesInSubnet " + b"x" * 100_000)
    (line,) = scanner.finish()
    assert len(line.text) <= LONGEST_LINE


def test_kinds_of_lines_are_bounded_and_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "LARGEST_GROUPS", 10)
    scanner = LogScanner()
    words = [f"{chr(103 + number % 20)}{chr(103 + number // 20)}" for number in range(200)]
    scanner.feed("".join(f"{word}: Too many pods\n" for word in words).encode())
    assert len(scanner.finish()) == 10
    assert scanner.more == 190


def test_binary_junk_and_zero_bytes_are_no_lines() -> None:
    junk = bytes(range(256)) * 40 + b"\n"
    scanner = LogScanner()
    scanner.feed(junk * 3 + REFUSED.encode() + b"\n" + junk)
    (line,) = scanner.finish()
    assert line.text == REFUSED


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (REFUSED, Origin.IPAMD_LOG),
        ('{"caller":"routed-eni-cni-plugin/cni.go:128","msg":"x"}', Origin.PLUGIN_LOG),
        ('{"level":"info","caller":"entrypoint.sh","msg":"x"}', Origin.AWS_NODE_LOG),
        ("Warning FailedScheduling default-scheduler 0/1 nodes", Origin.POD_EVENT),
        ("Warning FailedCreatePodSandBox kubelet Failed", Origin.POD_EVENT),
        ("2024/01/01 [azure-vnet] Failed", Origin.CNS_LOG),
        ("nothing of note", Origin.OTHER),
    ],
)
def test_a_line_says_itself_where_it_comes_from(text: str, origin: Origin) -> None:
    assert origin_of(text) is origin


@given(st.binary(max_size=400), st.integers(min_value=1, max_value=50))
def test_no_bytes_make_the_scan_fail(data: bytes, size: int) -> None:
    scanner = LogScanner()
    for start in range(0, len(data), size):
        scanner.feed(data[start : start + size])
    assert isinstance(scanner.finish(), tuple)
