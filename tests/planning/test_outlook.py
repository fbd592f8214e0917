"""What each way out buys, on the clusters of the rehearsed incidents."""

from pathlib import Path

from headroom.diagnosis.classifier import diagnose
from headroom.facts.document import load
from headroom.planning.outlook import outlook
from headroom.planning.plan import Option
from headroom.planning.planner import make_plan
from headroom.planning.situation import Situation, read_situation

INCIDENTS = Path(__file__).parents[1] / "incidents"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


def situation(name: str) -> Situation:
    return read_situation(load((INCIDENTS / name / "facts.json").read_text(encoding="utf-8"), subject=name))


def options(name: str, growth: float = 10.0) -> dict[str, Option]:
    return {each.name: each for each in outlook(situation(name), dict.fromkeys(ZONES, growth))}


def test_a_healthy_cluster_has_ways_out_too_and_each_lasts_as_long_as_its_addresses_go_round() -> None:
    found = options("eks-healthy")
    assert list(found) == [
        "delete-leaked-interfaces",
        "retune-warm-targets",
        "tag-existing-subnets",
        "subnets-in-own-space",
        "secondary-cidr",
    ]
    assert found["secondary-cidr"].addresses == dict.fromkeys(ZONES, 16_379)
    assert found["secondary-cidr"].days == dict.fromkeys(ZONES, 1637)
    assert found["subnets-in-own-space"].days == dict.fromkeys(ZONES, 12)
    assert (found["delete-leaked-interfaces"].addresses, found["delete-leaked-interfaces"].days) == ({}, {})
    assert not any(each.kept for each in found.values()), "nothing is chosen: nobody is short of anything"


def test_leaked_interfaces_buy_what_they_hold() -> None:
    found = options("eks-leaked-enis")["delete-leaked-interfaces"]
    assert found.addresses == dict.fromkeys(ZONES, 110)
    assert found.days == dict.fromkeys(ZONES, 11)


def test_what_a_plan_gives_is_what_is_told_here() -> None:
    snapshot = load((INCIDENTS / "eks-exhausted" / "facts.json").read_text(encoding="utf-8"), subject="f")
    growth = dict.fromkeys(ZONES, 10.0)
    planned = {each.name: each for each in make_plan(snapshot, diagnose(snapshot), growth_per_day=growth).options}
    for each in outlook(read_situation(snapshot), growth):
        if planned[each.name].addresses:
            assert (each.addresses, each.days) == (planned[each.name].addresses, planned[each.name].days), each.name


def test_a_zone_that_does_not_grow_has_no_day() -> None:
    assert options("eks-healthy", growth=-3.0)["secondary-cidr"].days == {}
