"""Case files: what people paste of an incident, read as they write it, and refused with every fault at once."""

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.problems import ProblemsError
from headroom.collect.case import LARGEST_FILE, MOST_PROBLEMS, count_of, is_case, parse_case, read_case
from headroom.facts.snapshot import Origin, Snapshot, Stated
from headroom.facts.values import NOT_COLLECTED, is_known, items, known

CASE = """
lines:
  - {origin: ipamd_log, text: "Failed to CreateNetworkInterface InsufficientFreeAddressesInSubnet", cut: true}
  - {origin: pod_event, text: "add cmd: failed to assign an IP address to container", node: ip-10-1-2-3, count: 7}
  - a line of a ticket
known:
  cloud: aws
  subnetFreeAddresses: 3
  cniVersion: v1.19.0
  kubernetesVersion: 1.30
  instanceType: m5.large
  podsOnNode: 29
  maxPods: 29
  environment:
    WARM_IP_TARGET: 2
    ENABLE_PREFIX_DELEGATION: false
  symptom: since the deploy of Monday
"""


def said(snapshot: Snapshot) -> Stated:
    stated = known(snapshot.stated)
    assert stated is not None
    return stated


def said_of(**of_known: object) -> Stated:
    return said(parse_case(json.dumps({"lines": [], "known": of_known})))


def problems_of(text: str) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        parse_case(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_case_is_lines_and_what_was_said() -> None:
    snapshot = parse_case(CASE, name="ticket.yaml")
    first, second, third = items(snapshot.lines)
    assert (first.origin, first.cut, first.count) == (Origin.IPAMD_LOG, True, 1)
    assert (second.origin, second.node, second.count) == (Origin.POD_EVENT, "ip-10-1-2-3", 7)
    assert (third.origin, third.text) == (Origin.OTHER, "a line of a ticket")
    assert snapshot.cloud == "aws"
    stated = said(snapshot)
    assert stated.subnet_free_addresses == 3
    assert stated.cni_version == "v1.19.0"
    assert (stated.instance_type, stated.pods_on_node, stated.max_pods) == ("m5.large", 29, 29)
    assert stated.environment == {"WARM_IP_TARGET": "2", "ENABLE_PREFIX_DELEGATION": "false"}
    assert stated.other == {"symptom": "since the deploy of Monday"}
    assert not is_known(snapshot.aws)
    assert not is_known(snapshot.kubernetes)
    assert snapshot.sources[0].name == "ticket.yaml"


def test_a_version_stays_a_text() -> None:
    assert said(parse_case("lines: []\nknown: {kubernetesVersion: 1.30}")).kubernetes_version == "1.30"
    assert said(parse_case("lines: []\nknown: {since: 2024-05-01}")).other == {"since": "2024-05-01"}


def test_yaml_and_json_are_the_same() -> None:
    as_json = json.dumps(yaml.safe_load(CASE.replace("1.30", '"1.30"')))
    assert parse_case(as_json, name="x") == parse_case(CASE, name="x")


@pytest.mark.parametrize("cloud", ["aws", "azure", "AWS ", "none"])
def test_a_cloud_is_named_anywhere(cloud: str) -> None:
    expected = None if cloud == "none" else cloud.strip().lower()
    assert parse_case(json.dumps({"lines": [], "known": {"cloud": cloud}})).cloud == expected
    assert parse_case(json.dumps({"lines": [], "cloud": cloud})).cloud == expected


def test_what_nobody_named_is_not_known() -> None:
    snapshot = parse_case("lines: []")
    assert snapshot.cloud is NOT_COLLECTED
    assert said(snapshot) == Stated()


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (7, 7),
        ("7", 7),
        ("about 60", 60),
        ("~60 left", 60),
        ("more than 500", 500),
        (">= 500", 500),
        ("1,024 free", 1024),
        ("4 096", 4096),
        ("fewer than 30", 29),
        ("none", 0),
        ("no free addresses", 0),
        ("exhausted in one zone", 0),
        ("zero", 0),
        ("two", 2),
        ("plenty", None),
        ("1.5", None),
        (True, None),
        (-3, None),
        ("", None),
    ],
)
def test_a_count_may_be_said_in_words(value: object, count: int | None) -> None:
    assert count_of(value, zero_words=True) == count


def test_the_words_beside_a_figure_are_kept() -> None:
    stated = said_of(subnetFreeAddresses="about 60 in zone b")
    assert stated.subnet_free_addresses == 60
    assert stated.other == {"subnetFreeAddresses": "about 60 in zone b"}


@pytest.mark.parametrize("key", ["subnet_free_addresses", "SubnetFreeIPs", "AvailableIpAddressCount", "free-addresses"])
def test_a_key_may_be_written_in_other_ways(key: str) -> None:
    assert said_of(**{key: 12}).subnet_free_addresses == 12


def test_settings_may_stand_among_what_is_known() -> None:
    stated = said_of(
        WARM_ENI_TARGET=1, environment={"WARM_IP_TARGET": "2"}, ENABLE_PREFIX_DELEGATION="true on new nodes"
    )
    assert stated.environment == {"WARM_ENI_TARGET": "1", "WARM_IP_TARGET": "2", "ENABLE_PREFIX_DELEGATION": "true"}


def test_what_is_not_known_to_us_is_kept_for_people() -> None:
    stated = said_of(relief="restart of aws-node", counts=[1, 2], flag=True)
    assert stated.other == {"relief": "restart of aws-node", "counts": "[1, 2]", "flag": "true"}


def test_the_word_context_stands_for_known() -> None:
    assert said(parse_case('{"lines": [], "context": {"maxPods": 58}}')).max_pods == 58


def test_every_fault_is_named_at_once() -> None:
    told = problems_of(
        json.dumps(
            {
                "lines": [
                    {"origin": "syslog", "text": "x"},
                    {"origin": "asg"},
                    {"text": "x", "count": 0},
                    {"text": "x", "cut": "yes", "colour": "red"},
                    7,
                ],
                "known": {"cloud": "gcp", "environment": "WARM_IP_TARGET=2"},
                "line": [],
            }
        )
    )
    text = "\n".join(told)
    assert len(told) == 9
    for part in (
        '"syslog"',
        "lines[1].text",
        "lines[2].count",
        "lines[3].cut",
        "'colour'",
        "lines[4]",
        '"gcp"',
        "'line'",
    ):
        assert part in text
    assert "known.environment" in text
    assert "Is it `lines`?" in text


def test_faults_without_end_are_not_told_without_end() -> None:
    told = problems_of(json.dumps({"lines": [{"origin": f"no-{number}", "text": "x"} for number in range(500)]}))
    assert len(told) == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[1, 2]", "is no case file"),
        ("just a sentence", "is no case file"),
        ("{}", "is missing"),
        ("lines: 7", "stands where a list is due"),
        ("lines: []\nknown: 7", "stands where an object is due"),
        ("lines: [\n", "is neither JSON nor YAML (line"),
        ("lines: &a [*a, *a]", "aliases are not read"),
        ("a: &a [x]\nlines: *a", "aliases are not read"),
        ("lines: !!python/object/apply:os.system [ls]", "is neither JSON nor YAML"),
        ("", "is no case file"),
    ],
)
def test_what_is_no_case_file_is_refused_in_a_sentence(text: str, part: str) -> None:
    assert any(part in told for told in problems_of(text))


def test_nesting_without_end_is_refused() -> None:
    assert problems_of("[" * 1_000)
    assert problems_of('{"lines": ' + "[" * 5_000 + "]" * 5_000 + "}")


def test_a_file_is_read_whatever_its_encoding(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + CASE.encode() + b"\n# \xff\xfe junk\n")
    assert len(items(read_case(file).lines)) == 3


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ProblemsError, match="cannot be read"):
            read_case(path)
    large = tmp_path / "large.yaml"
    with large.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with pytest.raises(ProblemsError, match=r"--log or --bundle"):
        read_case(large)


def test_a_case_is_told_from_a_snapshot() -> None:
    assert is_case({"lines": []})
    assert not is_case({"lines": [], "version": 1})
    assert not is_case({"known": {}})
    assert not is_case([])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["lines", "known", "origin", "text", "cloud", "environment", "maxPods"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_document_makes_the_reading_fail_otherwise(document: object) -> None:
    with contextlib.suppress(ProblemsError):
        assert isinstance(parse_case(json.dumps(document)), Snapshot)
