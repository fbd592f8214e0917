"""Every cell of the table of restrictions, every other rule, and what is only warned about."""

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.association import (
    CIDR_QUOTA,
    CIDR_QUOTA_MAXIMUM,
    SHARED_ADDRESS_SPACE,
    AssociationVerdict,
    Family,
    PendingPeering,
    check_association,
    families,
    suggest_secondary_cidr,
)
from headroom.addresses.blocks import Block, parse_blocks
from headroom.addresses.problems import Problem, ProblemsError

LARGE_ENOUGH = st.builds(Block.containing, st.integers(0, 2**32 - 1), st.integers(16, 28))


def judge(existing: str, candidate: str, **around: Any) -> AssociationVerdict:
    return check_association(parse_blocks(existing.split()), candidate, **around)


def rules(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.rule for problem in problems]


def refusals(existing: str, candidate: str, **around: Any) -> list[str]:
    return rules(judge(existing, candidate, **around).problems)


def warned(existing: str, candidate: str, **around: Any) -> list[str]:
    return rules(judge(existing, candidate, **around).warnings)


MIXED = ["rfc1918-mixing"]
AFTER = ["rfc1918-after-other"]
BENCHMARK = ["range-198-19"]
LINK_LOCAL = ["link-local"]


@pytest.mark.parametrize(
    ("existing", "candidate", "expected"),
    [
        # VPC user guide, vpc-cidr-blocks, IPv4 CIDR block association restrictions: row 10.0.0.0/8
        ("10.2.0.0/16", "10.3.0.0/16", []),
        ("10.2.0.0/16", "10.0.0.0/16", []),
        ("10.2.0.0/16", "10.1.0.0/16", []),
        ("10.2.0.0/16", "172.16.0.0/16", MIXED),
        ("10.2.0.0/16", "172.31.0.0/16", MIXED),
        ("10.2.0.0/16", "192.168.0.0/16", MIXED),
        ("10.2.0.0/16", "198.19.0.0/16", BENCHMARK),
        ("10.2.0.0/16", "198.19.4.0/24", BENCHMARK),
        ("10.2.0.0/16", "52.1.0.0/16", []),
        ("10.2.0.0/16", "100.64.0.0/16", []),
        ("10.2.0.0/16", "169.254.0.0/16", LINK_LOCAL),
        # the extra rule of 10.0.0.0/15
        ("10.0.0.0/24", "10.0.128.0/17", ["range-10-0"]),
        ("10.0.0.0/24", "10.1.0.0/16", []),
        ("10.1.0.0/16", "10.0.0.0/16", ["range-10-0"]),
        ("10.1.0.0/16", "10.0.7.0/28", ["range-10-0"]),
        ("10.1.0.0/24", "10.1.1.0/24", []),
        ("10.2.0.0/16 10.1.0.0/16", "10.0.0.0/16", ["range-10-0"]),
        # row 172.16.0.0/12
        ("172.20.0.0/16", "172.16.0.0/16", []),
        ("172.31.0.0/16", "172.30.0.0/16", []),
        ("172.20.0.0/16", "172.31.0.0/16", ["range-172-31"]),
        ("172.31.0.0/20", "172.31.16.0/20", ["range-172-31"]),
        ("172.20.0.0/16", "10.0.0.0/16", MIXED),
        ("172.20.0.0/16", "192.168.1.0/24", MIXED),
        ("172.20.0.0/16", "198.19.0.0/16", BENCHMARK),
        ("172.20.0.0/16", "3.0.0.0/16", []),
        ("172.20.0.0/16", "100.127.0.0/16", []),
        ("172.20.0.0/16", "169.254.8.0/24", LINK_LOCAL),
        ("172.20.0.0/16", "172.32.0.0/16", []),  # 172.16.0.0/12 ends at 172.31
        ("10.2.0.0/16", "172.32.0.0/16", []),
        # row 192.168.0.0/16
        ("192.168.0.0/20", "192.168.16.0/20", []),
        ("192.168.0.0/20", "10.0.0.0/16", MIXED),
        ("192.168.0.0/20", "172.16.0.0/16", MIXED),
        ("192.168.0.0/20", "172.31.0.0/16", MIXED),
        ("192.168.0.0/20", "198.19.0.0/16", BENCHMARK),
        ("192.168.0.0/20", "8.8.0.0/16", []),
        ("192.168.0.0/20", "100.64.0.0/16", []),
        ("192.168.0.0/20", "169.254.0.0/28", LINK_LOCAL),
        # row 198.19.0.0/16
        ("198.19.0.0/17", "10.0.0.0/16", AFTER),
        ("198.19.0.0/17", "172.16.0.0/16", AFTER),
        ("198.19.0.0/17", "192.168.0.0/16", AFTER),
        ("198.19.0.0/17", "198.18.0.0/16", []),
        ("198.19.0.0/17", "52.1.0.0/16", []),
        ("198.19.0.0/17", "100.64.0.0/16", []),
        ("198.19.0.0/17", "198.19.128.0/17", []),
        ("198.19.0.0/17", "169.254.0.0/16", LINK_LOCAL),
        # row publicly routable or 100.64.0.0/10
        ("52.1.0.0/16", "10.0.0.0/16", AFTER),
        ("52.1.0.0/16", "172.31.0.0/16", AFTER),
        ("52.1.0.0/16", "192.168.0.0/16", AFTER),
        ("52.1.0.0/16", "198.19.0.0/16", BENCHMARK),
        ("52.1.0.0/16", "52.2.0.0/16", []),
        ("52.1.0.0/16", "100.64.0.0/16", []),
        ("52.1.0.0/16", "169.254.0.0/16", LINK_LOCAL),
        ("100.64.0.0/16", "10.0.0.0/16", AFTER),
        ("100.64.0.0/16", "172.16.0.0/16", AFTER),
        ("100.64.0.0/16", "192.168.0.0/16", AFTER),
        ("100.64.0.0/16", "198.19.0.0/16", BENCHMARK),
        ("100.64.0.0/16", "52.1.0.0/16", []),
        ("100.64.0.0/16", "100.65.0.0/16", []),
        ("100.64.0.0/16", "100.128.0.0/16", []),  # just outside of 100.64.0.0/10: public
        ("100.64.0.0/16", "169.254.0.0/16", LINK_LOCAL),
        # against every associated CIDR, not only the primary one
        ("10.2.0.0/16 100.64.0.0/16", "10.3.0.0/16", AFTER),
        ("10.2.0.0/16 52.1.0.0/16", "10.3.0.0/16", AFTER),
        ("10.2.0.0/16 100.64.0.0/16", "100.65.0.0/16", []),
        ("10.2.0.0/16 100.64.0.0/16", "172.16.0.0/16", ["rfc1918-mixing", "rfc1918-after-other"]),
    ],
)
def test_the_table_of_permitted_and_restricted_associations(existing: str, candidate: str, expected: list[str]) -> None:
    verdict = judge(existing, candidate)
    assert rules(verdict.problems) == expected
    assert verdict.allowed == (not expected)
    for problem in verdict.problems:
        assert "VPC user guide, vpc-cidr-blocks" in problem.source
        assert problem.value == candidate
        assert problem.next_step, "a refusal says what would be accepted"


@given(st.lists(LARGE_ENOUGH, min_size=1, max_size=4), LARGE_ENOUGH)
def test_an_oracle_of_the_standard_library_agrees_on_families_and_overlap(
    existing: list[Block], candidate: Block
) -> None:
    def network(block: Block) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(str(block))

    def family(block: Block) -> str:
        ranges = {
            "10": "10.0.0.0/8",
            "172": "172.16.0.0/12",
            "192": "192.168.0.0/16",
            "198": "198.19.0.0/16",
            "link-local": "169.254.0.0/16",
        }
        inside = [name for name, cidr in ranges.items() if network(block).subnet_of(ipaddress.IPv4Network(cidr))]
        return inside[0] if inside else "other"

    private = {"10", "172", "192"}
    mine = family(candidate)
    allowed = not any(network(candidate).overlaps(network(each)) for each in existing) and mine != "link-local"
    if (
        network(candidate).is_multicast
        or network(candidate).is_loopback
        or candidate.first >> 24 in {0, *range(240, 256)}
    ):
        allowed = False
    for each in existing:
        theirs = family(each)
        if mine in private and theirs not in {mine, "link-local"}:
            allowed = False
        if mine == "198" and theirs not in {"198", "link-local"}:
            allowed = False
        if theirs == "10" and str(each).startswith(("10.0.", "10.1.")) and str(candidate).startswith("10.0."):
            allowed = False
        if theirs == "172" and str(candidate).startswith("172.31."):
            allowed = False
    assert check_association(existing, candidate).allowed == allowed


@pytest.mark.parametrize(
    ("existing", "candidate", "lifted"),
    [
        ("10.2.0.0/16", "172.16.0.0/16", MIXED),
        ("172.20.0.0/16", "192.168.0.0/16", MIXED),
        ("192.168.0.0/20", "10.0.0.0/16", MIXED),
        ("10.2.0.0/16 100.64.0.0/16", "10.3.0.0/16", AFTER),
        ("10.2.0.0/16 52.1.0.0/16", "192.168.0.0/16", MIXED + AFTER),
    ],
)
def test_the_family_mix_can_be_allowed_and_is_then_a_warning(existing: str, candidate: str, lifted: list[str]) -> None:
    assert refusals(existing, candidate) == lifted
    verdict = judge(existing, candidate, allow_family_mix=True)
    assert verdict.allowed
    assert rules(verdict.warnings)[: len(lifted)] == lifted


@pytest.mark.parametrize(
    ("existing", "candidate", "kept"),
    [
        ("100.64.0.0/16", "10.0.0.0/16", AFTER),
        ("52.1.0.0/16", "172.16.0.0/16", AFTER),
        ("198.19.0.0/17", "192.168.0.0/16", AFTER),
        ("10.2.0.0/16", "198.19.0.0/16", BENCHMARK),
        ("10.1.0.0/16", "10.0.0.0/16", ["range-10-0"]),
        ("172.20.0.0/16", "172.31.0.0/16", ["range-172-31"]),
        ("10.2.0.0/16 172.20.0.0/16", "172.31.0.0/16", ["range-172-31"]),
        ("10.2.0.0/16", "169.254.0.0/16", LINK_LOCAL),
        ("10.2.0.0/16", "10.2.0.0/24", ["cidr-overlap"]),
    ],
)
def test_allowing_the_family_mix_lifts_no_other_rule(existing: str, candidate: str, kept: list[str]) -> None:
    assert refusals(existing, candidate, allow_family_mix=True) == kept


@pytest.mark.parametrize(
    ("candidate", "range_"),
    [
        ("0.0.0.0/16", "0.0.0.0/8"),
        ("0.9.0.0/20", "0.0.0.0/8"),
        ("127.0.0.0/16", "127.0.0.0/8"),
        ("224.0.0.0/16", "224.0.0.0/4"),
        ("239.255.255.240/28", "224.0.0.0/4"),
        ("240.0.0.0/16", "240.0.0.0/4"),
        ("255.255.255.240/28", "240.0.0.0/4"),
    ],
)
def test_ranges_that_no_host_can_have_are_refused(candidate: str, range_: str) -> None:
    verdict = judge("10.0.0.0/16", candidate)
    assert rules(verdict.problems) == ["special-purpose-range"]
    assert f"lies in {range_}" in verdict.problems[0].reason
    assert "public-range" not in rules(verdict.warnings), "it is not publicly routable"


@pytest.mark.parametrize(
    ("candidate", "who"),
    [
        ("169.254.169.240/28", "the instance metadata service (169.254.169.254/32)"),
        ("169.254.170.0/24", "EKS Pod Identity (169.254.170.23/32)"),
        ("169.254.171.0/24", "VPC Lattice (169.254.171.0/24)"),
        ("169.254.174.0/24", "the VPC CNI, for IPv4 egress of IPv6 pods (169.254.172.0/22)"),
    ],
)
def test_a_link_local_block_is_refused_and_told_who_lives_there(candidate: str, who: str) -> None:
    (problem,) = judge("10.0.0.0/16", candidate).problems
    assert who in problem.reason


@pytest.mark.parametrize("prefix_length", range(33))
def test_a_cidr_is_a_16_to_a_28(prefix_length: int) -> None:
    block = Block.containing(SHARED_ADDRESS_SPACE.first, prefix_length)
    refused = "cidr-size" in rules(check_association(parse_blocks(["10.2.0.0/16"]), block).problems)
    assert refused == (not 16 <= prefix_length <= 28)


def test_the_shared_address_space_as_a_whole_is_refused_and_a_16_of_it_proposed() -> None:
    verdict = judge("10.0.0.0/16 100.64.0.0/16", "100.64.0.0/10")
    assert rules(verdict.problems) == ["cidr-size", "cidr-overlap"]
    assert {problem.next_step for problem in verdict.problems} == {
        "Write 100.65.0.0/16, which nothing given here forbids."
    }
    assert "shared-address-space" in rules(verdict.warnings)


def test_the_block_that_the_best_practices_print_is_answered() -> None:
    verdict = judge("10.0.0.0/16", "100.64.0.0/8")
    assert str(verdict.canonical) == "100.0.0.0/8"
    assert rules(verdict.problems) == ["cidr-size"]
    assert verdict.problems[0].next_step == "Write 100.64.0.0/16, which nothing given here forbids."
    assert rules(verdict.warnings) == ["canonical-form"]
    assert "100.0.0.0/8" in verdict.warnings[0].reason


def test_too_large_a_block_of_one_range_gets_the_first_legal_part_of_it() -> None:
    (size, within, overlap) = judge("10.0.0.0/16", "10.0.0.0/8").problems
    assert (size.rule, within.rule, overlap.rule) == ("cidr-size", "range-10-0", "cidr-overlap")
    assert size.next_step == "Write 10.1.0.0/16, which nothing given here forbids."


def test_too_small_a_block_gets_the_smallest_one_around_it() -> None:
    (problem,) = judge("10.0.0.0/16", "100.64.0.20/30").problems
    assert problem.next_step == "Write 100.64.0.16/28 or a larger block around it."


def test_everything_at_once_names_every_rule_once_for_each_range() -> None:
    assert refusals("10.0.0.0/16", "0.0.0.0/0") == [
        "cidr-size",
        "link-local",
        *["special-purpose-range"] * 4,
        "range-198-19",
        *["rfc1918-mixing"] * 2,
        "range-10-0",
        "cidr-overlap",
    ]


def test_a_block_that_lies_in_two_families_is_judged_by_both() -> None:
    assert families(Block.parse("172.0.0.0/8")) == {Family.RFC1918_172, Family.PUBLIC}
    assert families(Block.parse("198.18.0.0/15")) == {Family.RANGE_198_19, Family.PUBLIC}
    assert families(Block.parse("100.64.0.0/10")) == {Family.SHARED}
    assert families(Block.parse("1.0.0.0/8")) == {Family.PUBLIC}
    assert refusals("10.2.0.0/16", "172.0.0.0/8") == ["cidr-size", "rfc1918-mixing"]
    assert refusals("10.2.0.0/16", "198.18.0.0/15") == ["cidr-size", "range-198-19"]


def test_the_canonical_form_is_what_ec2_stores() -> None:
    # VPC user guide, vpc-cidr-blocks: 100.68.0.18/18 becomes 100.68.0.0/18.
    verdict = judge("10.0.0.0/16", "100.68.0.18/18")
    assert verdict.allowed
    assert str(verdict.canonical) == "100.68.0.0/18"
    first = verdict.warnings[0]
    assert (first.rule, first.value, first.next_step) == ("canonical-form", "100.68.0.18/18", "Write 100.68.0.0/18.")
    assert "canonical-form" not in warned("10.0.0.0/16", "100.68.0.0/18")


def test_overlap_names_the_associated_cidr() -> None:
    (problem,) = judge("10.2.0.0/16 10.3.0.0/20", "10.3.0.0/16").problems
    assert problem.rule == "cidr-overlap"
    assert "overlaps 10.3.0.0/20, already associated" in problem.reason


def test_an_associated_cidr_is_nothing_to_do() -> None:
    (problem,) = judge("10.2.0.0/16 100.64.0.0/16", "100.64.0.0/16").problems
    assert problem.reason == "is already associated with the VPC."
    assert "nothing to do" in problem.next_step


@pytest.mark.parametrize(
    ("candidate", "allowed"),
    # VPC user guide, vpc-cidr-blocks: a route to 10.0.0.0/24 in a VPC with 10.2.0.0/16 leaves /25 and smaller.
    [
        ("10.0.0.0/24", False),
        ("10.0.0.0/23", False),
        ("10.0.0.0/16", False),
        ("10.0.0.0/25", True),
        ("10.0.1.0/24", True),
    ],
)
def test_a_block_must_be_narrower_than_the_destination_of_a_route(candidate: str, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the table
    verdict = judge("10.2.0.0/16", candidate, routes=parse_blocks(["10.0.0.0/24", "0.0.0.0/0", "10.2.0.0/16"]))
    assert verdict.allowed == allowed
    assert rules(verdict.problems) == ([] if allowed else ["route-destination"])
    if not allowed:
        assert "/25 or longer" in verdict.problems[0].next_step


def test_local_routes_are_not_reported_beside_the_overlap_they_stand_for() -> None:
    assert refusals("10.2.0.0/16", "10.2.0.0/16", routes=parse_blocks(["10.2.0.0/16"])) == ["cidr-overlap"]


def test_a_wider_route_is_allowed_and_warned_about() -> None:
    around = {"routes": parse_blocks(["100.64.0.0/10", "0.0.0.0/0"])}
    verdict = judge("10.2.0.0/16", "100.64.0.0/16", **around)
    assert verdict.allowed
    (problem,) = [each for each in verdict.warnings if each.rule == "route-shadowed"]
    assert "lies in 100.64.0.0/10, where a route leads" in problem.reason
    assert "route-shadowed" not in warned("10.2.0.0/16", "100.64.0.0/16", routes=parse_blocks(["0.0.0.0/0"]))


def test_a_route_as_narrow_as_can_be_leaves_nothing_inside() -> None:
    (problem,) = judge("10.2.0.0/16", "100.64.0.0/16", routes=parse_blocks(["100.64.0.7/32"])).problems
    assert "or longer" not in problem.next_step
    assert "Write 100.65.0.0/16" in problem.next_step


def test_the_quota_counts_the_primary_cidr() -> None:
    four = "10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16"
    assert refusals(four, "10.6.0.0/16") == []
    (problem,) = judge(f"{four} 10.7.0.0/16", "10.6.0.0/16").problems
    assert problem.rule == "cidr-quota"
    assert "CIDR 6 of the VPC, whose quota is 5" in problem.reason
    assert "L-83CA0A9D" in problem.next_step
    assert refusals(f"{four} 10.7.0.0/16", "10.6.0.0/16", quota=6) == []
    assert refusals(f"{four} 10.2.0.0/16", "10.6.0.0/16") == [], "the same CIDR twice is one"


def test_the_quota_ends_at_fifty() -> None:
    fifty = " ".join(f"10.{index}.0.0/16" for index in range(2, 52))
    (problem,) = judge(fifty, "10.60.0.0/16", quota=50).problems
    assert problem.next_step == "Disassociate a CIDR that has no subnets."
    assert (CIDR_QUOTA, CIDR_QUOTA_MAXIMUM) == (5, 50)


@pytest.mark.parametrize("quota", [0, -1, 51])
def test_a_quota_that_cannot_be_is_bad_input(quota: int) -> None:
    with pytest.raises(ProblemsError, match="no quota"):
        judge("10.0.0.0/16", "100.64.0.0/16", quota=quota)


def test_an_active_peering_forbids_overlap() -> None:
    peers = parse_blocks(["100.64.0.0/20", "10.9.0.0/16"])
    (problem,) = judge("10.2.0.0/16", "100.64.0.0/16", peers=peers).problems
    assert problem.rule == "peering-overlap"
    assert "100.64.0.0/20" in problem.reason
    assert problem.next_step == "Write 100.65.0.0/16, which nothing given here forbids."
    assert refusals("10.2.0.0/16", "100.65.0.0/16", peers=peers) == []


@pytest.mark.parametrize("text", ["requester", "requester:192.168.0.0/16"])
def test_a_requester_of_a_pending_peering_can_add_no_cidr_at_all(text: str) -> None:
    verdict = judge("10.2.0.0/16", "100.64.0.0/16", pending_peerings=[PendingPeering.parse(text)])
    assert rules(verdict.problems) == ["peering-pending"]


def test_an_accepter_of_a_pending_peering_may_add_a_cidr_and_can_lose_the_peering() -> None:
    pending = [PendingPeering.parse("accepter:100.64.0.0/20")]
    verdict = judge("10.2.0.0/16", "100.64.0.0/16", pending_peerings=pending)
    assert verdict.allowed
    (problem,) = [each for each in verdict.warnings if each.rule == "peering-acceptance"]
    assert "100.64.0.0/20" in problem.reason
    assert "peering-acceptance" not in warned("10.2.0.0/16", "100.65.0.0/16", pending_peerings=pending)


@pytest.mark.parametrize("text", ["", "accepter", "other:10.0.0.0/16", "10.0.0.0/16", "Requester", "accepter:x"])
def test_a_pending_peering_that_does_not_say_enough_is_refused(text: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        PendingPeering.parse(text, key="pending-peering[0]")
    assert caught.value.problems[0].key == "pending-peering[0]"


def test_a_direct_connect_gateway_forbids_overlap_between_its_vpcs() -> None:
    assert refusals("10.2.0.0/16", "100.64.0.0/16", direct_connect=parse_blocks(["100.64.9.0/24"])) == [
        "direct-connect-overlap"
    ]


def test_a_transit_gateway_accepts_an_overlap_and_does_not_propagate_it() -> None:
    attached = parse_blocks(["100.64.9.0/24"])
    verdict = judge("10.2.0.0/16", "100.64.0.0/16", transit_gateway=attached)
    assert verdict.allowed
    assert "transit-gateway-overlap" in rules(verdict.warnings)
    assert "transit-gateway-overlap" not in warned("10.2.0.0/16", "100.65.0.0/16", transit_gateway=attached)


def test_the_service_cidr_of_the_cluster_is_refused() -> None:
    around = {"service_cidr": Block.parse("10.100.0.0/16")}
    assert refusals("10.2.0.0/16", "10.100.128.0/17", **around) == ["service-cidr-overlap"]
    assert refusals("10.2.0.0/16", "10.101.0.0/16", **around) == []


@pytest.mark.parametrize("candidate", ["10.100.0.0/16", "172.20.64.0/18"])
def test_an_unknown_service_cidr_is_not_taken_for_a_harmless_one(candidate: str) -> None:
    existing = "10.2.0.0/16" if candidate.startswith("10.") else "172.16.0.0/16"
    assert "service-cidr-unknown" in warned(existing, candidate)
    assert "service-cidr-unknown" not in warned(existing, candidate, service_cidr=Block.parse("192.168.0.0/16"))


def test_the_range_of_docker_is_allowed_and_warned_about() -> None:
    verdict = judge("172.20.0.0/16", "172.17.0.0/16")
    assert verdict.allowed
    assert rules(verdict.warnings)[0] == "docker-bridge"


def test_the_shared_address_space_is_warned_about() -> None:
    assert warned("10.0.0.0/16", "100.64.0.0/16") == ["shared-address-space", "control-plane-delay", "cidr-lists"]


def test_what_follows_an_association_is_only_told_where_there_will_be_one() -> None:
    assert warned("10.2.0.0/16", "10.3.0.0/16") == ["control-plane-delay", "cidr-lists"]
    assert warned("10.2.0.0/16", "192.168.0.0/16") == []


@pytest.mark.parametrize("candidate", ["198.18.0.0/16", "192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24"])
def test_ranges_that_the_table_does_not_name_are_warned_about(candidate: str) -> None:
    found = warned("10.0.0.0/16", candidate)
    assert "undocumented-range" in found
    assert "public-range" not in found


def test_a_second_block_of_the_benchmark_range_is_undocumented() -> None:
    assert "undocumented-range" in warned("198.19.0.0/17", "198.19.128.0/17")


def test_a_public_range_is_warned_about() -> None:
    assert "public-range" in warned("10.0.0.0/16", "52.1.0.0/16")


def test_an_associated_cidr_that_cannot_be_one_is_pointed_out() -> None:
    verdict = judge("10.0.0.0/8", "100.64.0.0/16")
    assert verdict.allowed
    (problem,) = [each for each in verdict.warnings if each.rule == "existing-cidr-size"]
    assert problem.value == "10.0.0.0/8"


def test_all_problems_of_a_candidate_come_at_once() -> None:
    verdict = judge(
        "10.1.0.0/16 100.64.0.0/16 100.65.0.0/16 100.66.0.0/16 100.67.0.0/16",
        "10.0.0.0/15",
        routes=parse_blocks(["10.0.3.0/24"]),
        peers=parse_blocks(["10.0.0.0/20"]),
        pending_peerings=[PendingPeering("requester")],
        direct_connect=parse_blocks(["10.0.16.0/20"]),
        service_cidr=Block.parse("10.0.32.0/20"),
    )
    assert rules(verdict.problems) == [
        "cidr-quota",
        "peering-pending",
        "cidr-size",
        "rfc1918-after-other",
        "range-10-0",
        "cidr-overlap",
        "peering-overlap",
        "direct-connect-overlap",
        "service-cidr-overlap",
        "route-destination",
    ]
    for problem in verdict.problems:
        assert problem.value == "10.0.0.0/15"
        assert problem.reason.endswith(".")
        assert problem.next_step.endswith(".")
        assert problem.source


def test_ten_thousand_cidrs_and_routes_are_answered_in_a_readable_way() -> None:
    many = list(Block.parse("100.64.0.0/10").subblocks(28))[:10_000]
    verdict = check_association(many, "10.0.0.0/28", routes=many, peers=many)
    assert rules(verdict.problems) == ["cidr-quota", "rfc1918-after-other"]
    assert "9,993 more" in verdict.problems[1].reason
    assert verdict.problems[1].next_step.startswith("Write 100.66.113.0/28")


def test_what_cannot_be_judged_is_bad_input_all_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        check_association([], "100.64.0.0", quota=99)
    assert [problem.key for problem in caught.value.problems] == ["candidate", "existing", "quota"]


def test_the_first_suggestion_is_the_first_16_of_the_shared_address_space() -> None:
    assert str(suggest_secondary_cidr(parse_blocks(["10.0.0.0/16"]))) == "100.64.0.0/16"


def test_a_suggestion_steps_over_everything_that_is_in_the_way() -> None:
    found = suggest_secondary_cidr(
        parse_blocks(["10.0.0.0/16", "100.64.0.0/16"]),
        peers=parse_blocks(["100.65.9.0/24"]),
        direct_connect=parse_blocks(["100.66.0.0/15"]),
        service_cidr=Block.parse("100.68.0.0/20"),
        routes=parse_blocks(["100.69.0.0/24", "0.0.0.0/0"]),
        avoid=parse_blocks(["100.70.0.0/28"]),
    )
    assert str(found) == "100.71.0.0/16"


def test_a_suggestion_may_be_smaller_than_a_16() -> None:
    existing = parse_blocks(["10.0.0.0/16", "100.64.0.0/17"])
    assert str(suggest_secondary_cidr(existing, prefix_length=18)) == "100.64.128.0/18"


def test_there_is_no_suggestion_where_nothing_can_be_added() -> None:
    existing = parse_blocks(["10.0.0.0/16"])
    assert suggest_secondary_cidr(existing, quota=1) is None
    assert suggest_secondary_cidr(existing, pending_peerings=[PendingPeering("requester")]) is None
    assert suggest_secondary_cidr(existing, avoid=[SHARED_ADDRESS_SPACE]) is None


def test_a_suggestion_of_an_impossible_size_or_for_no_vpc_is_bad_input() -> None:
    with pytest.raises(ProblemsError) as caught:
        suggest_secondary_cidr([], prefix_length=10, quota=0)
    assert [problem.key for problem in caught.value.problems] == ["existing", "quota", "prefix_length"]


@given(st.lists(LARGE_ENOUGH, min_size=1, max_size=4), st.lists(LARGE_ENOUGH, max_size=4))
def test_what_is_suggested_is_legal(existing: list[Block], around: list[Block]) -> None:
    found = suggest_secondary_cidr(existing, routes=around, peers=around)
    assert found is not None, "64 blocks cannot all be taken by eight"
    assert check_association(existing, found, routes=around, peers=around).allowed


@given(st.lists(LARGE_ENOUGH, min_size=1, max_size=4), LARGE_ENOUGH)
def test_what_a_refusal_proposes_is_legal(existing: list[Block], candidate: Block) -> None:
    for problem in check_association(existing, candidate).problems:
        proposed = re.search(r"Write (\S+), which nothing given here forbids", problem.next_step)
        assert proposed is None or check_association(existing, proposed[1]).allowed
