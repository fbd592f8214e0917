"""The wordings of logs and events, and how a text is compared with them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.diagnosis.causes import cooldown
from headroom.diagnosis.finding import ROOTS
from headroom.diagnosis.reading import POOL_STATS
from headroom.diagnosis.signatures import (
    LONGEST_LINE,
    Kind,
    Signature,
    by_name,
    interesting,
    match,
    normalise,
    signatures,
)
from headroom.diagnosis.verdict import Detail, RootCause
from headroom.facts.snapshot import Origin

HERE = Path(__file__).parent
CASES = [
    case
    for path in (HERE / "cases.json", HERE.parent / "data" / "log_cases.json")
    for case in json.loads(path.read_text(encoding="utf-8"))
]
TEXTS = [line["text"] for case in CASES for line in case["lines"]]

REFUSED = (
    "Failed to CreateNetworkInterface InsufficientFreeAddressesInSubnet: "
    "The specified subnet does not have enough free addresses to satisfy the request."
)


def names(text: str, *, origin: Origin | None = Origin.OTHER, cloud: str | None = None, cut: bool = False) -> set[str]:
    return {found.signature.name for found in match(text, origin=origin, cloud=cloud, cut=cut)}


def causes(text: str, *, origin: Origin = Origin.OTHER) -> set[str]:
    return {
        found.signature.supports
        for found in match(text, origin=origin)
        if found.signature.kind is Kind.CAUSE and not found.signature.weak
    }


@pytest.mark.parametrize("signature", signatures(), ids=lambda signature: signature.name)
def test_a_signature_matches_the_line_that_it_gives_as_an_example(signature: Signature) -> None:
    assert signature.example
    origin = signature.origins[0] if signature.origins else Origin.OTHER
    found = match(signature.example, origin=origin, cloud=signature.clouds[0] if signature.clouds else None)
    assert signature.name in {each.signature.name for each in found}
    # And nothing else claims another cause for the same line.
    others = {each.signature.supports for each in found if each.signature.kind is Kind.CAUSE}
    assert others <= {signature.supports, ""} or signature.weak or signature.kind is not Kind.CAUSE


@pytest.mark.parametrize("signature", signatures(), ids=lambda signature: signature.name)
def test_a_signature_says_where_its_wording_is_documented_and_what_it_speaks_for(signature: Signature) -> None:
    assert signature.source
    assert signature.means
    known = {each.value for each in (*Detail, *RootCause)}
    assert (signature.supports in known) is (signature.kind is Kind.CAUSE)
    assert set(signature.beats) <= {each.name for each in signatures()}
    assert set(signature.clouds) <= {"aws", "azure", "none"}


def test_names_of_signatures_are_unique_and_those_that_modules_ask_for_exist() -> None:
    found = [signature.name for signature in signatures()]
    assert len(found) == len(set(found))
    assert by_name(POOL_STATS[0]).kind is Kind.READING
    assert cooldown.COOLING.command
    assert set(ROOTS) == set(Detail)


@pytest.mark.parametrize("signature", signatures(), ids=lambda signature: signature.name)
def test_what_a_signature_requires_is_in_every_text_that_its_pattern_matches(signature: Signature) -> None:
    for text in (*TEXTS, signature.example):
        normal = normalise(text)
        if signature.pattern.search(normal):
            assert any(required in normal.lower() for required in signature.requires), text
    assert all(required == required.lower() for required in signature.requires)


@pytest.mark.parametrize(
    "wrapped",
    [
        REFUSED,
        f"aws-node {REFUSED}",
        f"2026-03-03T20:27:17.001Z stderr F {REFUSED}",
        json.dumps({"level": "error", "ts": "2026-03-03T20:27:17Z", "msg": REFUSED}),
        json.dumps({"log": json.dumps({"level": "error", "msg": REFUSED}), "stream": "stderr"}),
        REFUSED.replace("InSubnet: ", "InSubnet:\n      "),
        REFUSED.replace("Addresses", "Addr\nesses", 1),
        f"\x1b[31m{REFUSED}\x1b[0m",
        REFUSED.upper(),
        f"Warning  Failed  3m (x12 over 9m)  kubelet  {REFUSED}",
    ],
    ids=[
        "plain",
        "prefix",
        "cri",
        "json",
        "json in json",
        "wrapped",
        "wrapped in a word",
        "colours",
        "case",
        "describe",
    ],
)
def test_a_wording_is_found_however_it_is_wrapped(wrapped: str) -> None:
    assert causes(wrapped) == {"subnet_exhaustion"}


def test_quotes_of_every_kind_are_the_same() -> None:
    for quote in ('"', "'", "\\'", '\\"', "\u2019", "\u201c", "`"):
        assert names(f"Node didn{quote}t have enough resource: pods") == {"out-of-pods"}


def test_where_a_line_comes_from_decides_what_it_means() -> None:
    text = "InsufficientFreeAddressesInSubnet: not enough"
    assert causes(text, origin=Origin.IPAMD_LOG) == {"subnet_exhaustion"}
    assert causes(text, origin=Origin.ASG) == {"node_subnet_full"}
    assert causes(text, origin=Origin.KARPENTER) == {"node_subnet_full"}


def test_a_wording_of_one_cloud_means_nothing_in_another() -> None:
    assert names(REFUSED, cloud="aws")
    assert not names(REFUSED, cloud="azure")


def test_a_cut_line_counts_when_what_is_left_can_be_one_wording_only() -> None:
    rest = "ipamd: The specified subnet does not have enough free addr"
    assert names(rest, origin=Origin.IPAMD_LOG, cloud="aws", cut=True) == {"subnet-without-addresses-text"}
    assert names(f"{rest}...", origin=Origin.IPAMD_LOG, cloud="aws") == {"subnet-without-addresses-text"}
    # Uncut it is another sentence.
    assert names(rest, origin=Origin.IPAMD_LOG, cloud="aws") == set()


def test_a_cut_line_with_a_beginning_that_several_wordings_share_says_nothing() -> None:
    assert names("add cmd: f", cut=True) == set()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("total IPs: 58, assigned IPs: 58, cooldown IPs: 0", True),
        ("total IPs: 58, assigned IPs: 56, cooldown IPs: 2", True),
        ("total IPs: 58, assigned IPs: 20, cooldown IPs: 2", False),
        ("Successfully pulled image", False),
    ],
)
def test_of_a_pools_figures_those_are_interesting_where_nothing_is_to_be_had(text: str, *, means: bool) -> None:
    assert interesting(f"IP stats for Network Card 0 - {text}") is means


def test_a_line_is_read_up_to_a_length_that_nobody_writes() -> None:
    assert names("x" * LONGEST_LINE + REFUSED) == set()
    assert names(("a" * 100 + " ") * 50 + REFUSED)


@given(st.text(max_size=300))
def test_no_text_makes_the_matching_fail(text: str) -> None:
    assert isinstance(match(text, cut=True), tuple)
    assert isinstance(normalise(text), str)


@given(st.sampled_from(TEXTS), st.integers(min_value=1, max_value=60))
def test_a_line_that_is_cut_claims_nothing_that_the_whole_line_does_not_allow(text: str, left: int) -> None:
    whole = {found.signature.supports for found in match(text) if found.signature.kind is Kind.CAUSE}
    cut = match(text[: max(0, len(text) - left)])
    claimed = {found.signature.supports for found in cut if found.signature.kind is Kind.CAUSE}
    beaten = {
        by_name(name).supports for found in match(text) for name in found.signature.beats if by_name(name).supports
    }
    assert claimed <= whole | beaten
