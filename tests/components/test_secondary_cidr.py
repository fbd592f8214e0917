from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from components.secondary_cidr import SecondaryCidr, SecondaryCidrArgs
from headroom.addresses.problems import ProblemsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Recorder

ASSOCIATION = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
COMPONENT = "headroom:index:SecondaryCidr"


def arguments(**more: Any) -> SecondaryCidrArgs:
    return SecondaryCidrArgs(
        **{
            "vpc_id": "vpc-1",
            "cidr_blocks": ["100.64.0.0/16"],
            "existing_cidr_blocks": ["10.68.0.0/16"],
            **more,
        }
    )


def refused(**more: Any) -> Sequence[tuple[str, str]]:
    """Rule and key of every problem."""
    with pytest.raises(ProblemsError) as caught:
        arguments(**more)
    assert caught.value.subject == "SecondaryCidrArgs"
    return [(problem.rule, problem.key) for problem in caught.value.problems]


def test_one_association_a_cidr_is_registered_and_nothing_else(recorder: Recorder) -> None:
    recorder.run(lambda: SecondaryCidr("pods", arguments(cidr_blocks=["100.64.0.0/16", "100.65.0.0/16"])))
    assert recorder.labels() == [
        f"{ASSOCIATION} pods-100.64.0.0/16",
        f"{ASSOCIATION} pods-100.65.0.0/16",
        f"{COMPONENT} pods",
    ]
    association = recorder.one(ASSOCIATION, "pods-100.64.0.0/16")
    assert association.inputs == {"vpcId": "vpc-1", "cidrBlock": "100.64.0.0/16"}
    assert association.parent == f"{COMPONENT} pods"
    assert association.import_id == ""


@pytest.mark.parametrize("protect", [True, False])
def test_associations_are_protected_unless_told_otherwise(recorder: Recorder, *, protect: bool) -> None:
    recorder.run(lambda: SecondaryCidr("pods", arguments(protect=protect)))
    assert recorder.one(ASSOCIATION, "pods-100.64.0.0/16").protect is protect
    assert arguments().protect, "protection is the default"


def test_a_cidr_added_later_leaves_the_other_registrations_as_they_were(recorder: Recorder) -> None:
    before = recorder.run(lambda: SecondaryCidr("pods", arguments()))
    after = recorder.run(lambda: SecondaryCidr("pods", arguments(cidr_blocks=["100.63.0.0/16", "100.64.0.0/16"])))
    assert {item.wire for item in before} < {item.wire for item in after}
    assert len(after) == len(before) + 1


def test_only_an_association_that_exists_is_adopted(recorder: Recorder) -> None:
    args = arguments(cidr_blocks=["100.64.0.0/16", "100.65.0.0/16"], adopt={"100.65.0.0/16": "vpc-cidr-assoc-1"})
    recorder.run(lambda: SecondaryCidr("pods", args))
    assert {item.name: item.import_id for item in recorder.registrations if item.type == ASSOCIATION} == {
        "pods-100.64.0.0/16": "",
        "pods-100.65.0.0/16": "vpc-cidr-assoc-1",
    }


def test_what_is_made_inside_a_cidr_takes_the_vpcs_id_from_its_association(recorder: Recorder) -> None:
    depends: list[str] = []

    def program() -> object:
        made = SecondaryCidr("pods", arguments(cidr_blocks=["100.64.0.0/16", "100.65.0.0/16"]))

        async def resources() -> None:
            found = await made.vpc_id_for("100.65.64.0/18").resources()
            depends.extend([await resource.urn.future() or "" for resource in found])

        return resources()

    recorder.run(program)
    assert [urn.rpartition("::")[2] for urn in depends] == ["pods-100.65.0.0/16"], "else EC2 may not know the CIDR yet"
    assert recorder.component_outputs[f"{COMPONENT} pods"] == {
        "vpcIds": {"100.64.0.0/16": "vpc-1", "100.65.0.0/16": "vpc-1"},
        "associationIds": {
            "100.64.0.0/16": "VpcIpv4CidrBlockAssociation-pods-100.64.0.0/16",
            "100.65.0.0/16": "VpcIpv4CidrBlockAssociation-pods-100.65.0.0/16",
        },
    }


def test_a_block_outside_the_associated_cidrs_has_no_vpc_id(recorder: Recorder) -> None:
    def program() -> None:
        SecondaryCidr("pods", arguments()).vpc_id_for("10.68.0.0/18")

    with pytest.raises(ProblemsError, match=r"10\.68\.0\.0/18 lies in none of 100\.64\.0\.0/16"):
        recorder.run(program)


def test_a_block_that_is_listed_twice_is_told_so_once() -> None:
    assert refused(cidr_blocks=["100.64.0.0/16"] * 3) == [("cidr-twice", "cidr_blocks")]
    again = {"cidr_blocks": ["100.64.0.0/16"] * 2, "existing_cidr_blocks": ["10.68.0.0/16", "100.64.0.0/16"]}
    assert refused(**again) == [("cidr-twice", "cidr_blocks")], "that it is associated already is what an `up` wants"


def test_everything_that_cannot_be_read_is_said_at_once_with_its_key() -> None:
    assert refused(
        cidr_blocks=["100.64.0.18/16", "100.64.0.0/16"],
        existing_cidr_blocks=["10.68.0.0/16", "10.69.0.0"],
        routes=["10.0.0.0/33"],
        peer_cidr_blocks=["10.70.0.0/16", "ten"],
        direct_connect_cidr_blocks=["::/0"],
        service_cidr="172.20.0.0/255.255.0.0",
    ) == [
        ("cidr-host-bits", "cidr_blocks[0]"),
        ("cidr-prefix-length", "existing_cidr_blocks[1]"),
        ("cidr-prefix-length", "routes[0]"),
        ("ipv4-address", "peer_cidr_blocks[1]"),
        ("ipv4-address", "direct_connect_cidr_blocks[0]"),
        ("cidr-prefix-length", "service_cidr"),
    ]


def test_what_can_be_read_is_judged_although_something_else_cannot() -> None:
    assert [rule for rule, _ in refused(cidr_blocks=["x", "192.168.0.0/16"])] == ["ipv4-address", "rfc1918-mixing"]


def test_empty_lists_are_refused() -> None:
    assert refused(cidr_blocks=[]) == [("nothing-to-associate", "cidr_blocks")]
    assert refused(existing_cidr_blocks=[]) == [("no-existing-cidrs", "existing_cidr_blocks")]


def test_the_primary_cidr_is_never_taken_over() -> None:
    assert refused(cidr_blocks=["10.68.0.0/16"], adopt={"10.68.0.0/16": "vpc-cidr-assoc-0"}) == [
        ("primary-cidr", "cidr_blocks")
    ]


def test_a_cidr_that_has_been_associated_since_is_still_accepted() -> None:
    assert arguments(existing_cidr_blocks=["10.68.0.0/16", "100.64.0.0/16"]).problems() == []


def test_candidates_are_judged_against_those_before_them() -> None:
    overlap = refused(cidr_blocks=["100.64.0.0/16", "100.64.128.0/17"])
    assert overlap == [("cidr-overlap", "")]
    quota = refused(cidr_blocks=["100.64.0.0/16", "100.65.0.0/16", "100.66.0.0/16"], quota=3)
    assert quota == [("cidr-quota", "")]


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("route-destination", {"routes": ["100.64.0.0/16"]}),
        ("peering-overlap", {"peer_cidr_blocks": ["100.64.0.0/12"]}),
        ("direct-connect-overlap", {"direct_connect_cidr_blocks": ["100.64.0.0/12"]}),
        ("service-cidr-overlap", {"service_cidr": "100.64.8.0/22"}),
    ],
)
def test_every_argument_reaches_the_rules_of_the_address_room(rule: str, more: dict[str, Any]) -> None:
    assert arguments().problems() == []
    rules = [found for found, _ in refused(**more)]
    assert len(rules) == 1, f"one problem was expected for {more}, not {rules}"
    assert rules == [rule]


def test_the_family_mix_is_allowed_only_where_somebody_says_so() -> None:
    mix = {"cidr_blocks": ["192.168.0.0/16"], "existing_cidr_blocks": ["10.68.0.0/16"]}
    assert refused(**mix) == [("rfc1918-mixing", "")]
    assert arguments(**mix, allow_family_mix=True).problems() == []


def test_nothing_is_registered_when_an_argument_is_wrong(recorder: Recorder) -> None:
    with pytest.raises(ProblemsError):
        recorder.run(lambda: SecondaryCidr("pods", arguments(cidr_blocks=["198.19.0.0/16"])))
    assert recorder.registrations == []
