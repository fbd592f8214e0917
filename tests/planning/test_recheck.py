"""What moved since a plan was made: beyond its margins, within them, or not read any more."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Diagnosis, Needed, Verdict
from headroom.facts.aws import Aws, Interface
from headroom.facts.document import load
from headroom.facts.kubernetes import Kubernetes, Node
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown, items, known
from headroom.planning.plan import Measure, Plan, plan_from_json, plan_to_json
from headroom.planning.planner import make_plan
from headroom.planning.recheck import Recheck, recheck
from headroom.rehearsal import made
from tests.aks import conftest as aks
from tests.planning.conftest import LEAKING, SHORT
from tests.planning.test_aks_plan import planned, with_pool, with_subnet

DENIED = Unknown(Reason.DENIED)
INCIDENTS = Path(__file__).parents[1] / "incidents"


@pytest.fixture(scope="module")
def exhausted() -> Snapshot:
    return made.exhausted()


@pytest.fixture(scope="module")
def plan(exhausted: Snapshot) -> Plan:
    return make_plan(exhausted, diagnose(exhausted))


def aws_of(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def with_kubernetes(snapshot: Snapshot, **changes: Any) -> Snapshot:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return replace(snapshot, kubernetes=replace(snapshot.kubernetes, **changes))


def nodes_of(snapshot: Snapshot) -> tuple[Node, ...]:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return items(snapshot.kubernetes.nodes)


def with_more_nodes(snapshot: Snapshot, more: int, zone: str = "us-east-1a", group: str = "apps") -> Snapshot:
    """So many nodes like the zone's first beside those that are there, without a pod yet."""
    like = next(node for node in nodes_of(snapshot) if node.zone == zone)
    new = [replace(like, name=f"new-{each}", instance_id=f"i-new{each}", node_group=group) for each in range(more)]
    return with_kubernetes(snapshot, nodes=(*nodes_of(snapshot), *new))


def with_free(snapshot: Snapshot, subnet_id: str, free: int) -> Snapshot:
    aws = aws_of(snapshot)
    changed = (
        replace(each, available_addresses=free) if each.subnet_id == subnet_id else each for each in items(aws.subnets)
    )
    return replace(snapshot, aws=replace(aws, subnets=tuple(changed)))


def values(problems: tuple[Any, ...]) -> list[str]:
    return [problem.value for problem in problems]


def test_a_few_more_nodes_are_within_the_growth_that_the_subnets_were_planned_for(
    exhausted: Snapshot, plan: Plan
) -> None:
    found = recheck(plan, with_more_nodes(exhausted, 2))
    assert found.problems == ()
    assert found.within == (
        "nodes in us-east-1a: 11 when the plan was made, 13 now.",
        "nodes of apps: 30 when the plan was made, 32 now.",
        (
            "addresses that nodes in us-east-1a may take: 2,790 when the plan was made, 3,270 now; holds with at most "
            "5,580 (100.64.0.0/18 is planned for 100 % more than the nodes of us-east-1a could take)."
        ),
    )


def test_a_fleet_that_outgrew_the_growth_that_was_planned_wants_another_plan(exhausted: Snapshot, plan: Plan) -> None:
    found = recheck(plan, with_more_nodes(exhausted, 12))
    assert values(found.changed) == ["addresses that nodes in us-east-1a may take"]
    assert "were 2,790 when the plan was made, and are 5,670 now: 100.64.0.0/18 is planned for" in (
        found.changed[0].message
    )
    assert recheck(plan, with_more_nodes(exhausted, 11)).problems == (), "the last that fits"


def test_a_new_node_group_is_told(exhausted: Snapshot, plan: Plan) -> None:
    found = recheck(plan, with_more_nodes(exhausted, 1, group="spot"))
    assert found.problems == ()
    assert "nodes of spot: 1 that the plan does not know; what they may take is counted with the rest." in found.within


def test_free_addresses_that_come_and_go_are_told_and_do_not_matter_to_a_plan_of_new_subnets(
    exhausted: Snapshot, plan: Plan
) -> None:
    changed = with_free(exhausted, "subnet-0c3", 201)
    found = recheck(plan, changed, diagnose(changed))
    assert found == Recheck(within=("free addresses of subnet-0c3: 389 when the plan was made, 201 now.",))


def test_room_that_came_back_makes_the_plan_more_than_is_needed(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT)
    changed = with_free(with_free(exhausted, "subnet-0a1", 900), "subnet-0b2", 900)
    found = recheck(plan, changed, SHORT)
    assert [(problem.rule, problem.value) for problem in found.changed] == [
        ("option-changed", "Associate a secondary CIDR and add pod subnets in it")
    ]
    assert "is no longer what the facts call for. Not needed: subnets that are there have room." in (
        found.changed[0].message
    )


def test_more_pods_that_wait_are_told_until_verify_would_lose_patience(exhausted: Snapshot, plan: Plan) -> None:
    measure = next(each for each in plan.measures if each.name == "pods that wait on one node")
    assert (measure.value, measure.most) == (6, 29), "an interface of m5.8xlarge brings 29 addresses to pods"
    impatient = replace(plan, measures=(replace(measure, most=5),))
    found = recheck(impatient, exhausted)
    assert values(found.changed) == ["pods that wait on one node"]
    assert "`headroom verify` has the patience for 29 on one node" in found.changed[0].message


def test_one_more_pod_that_waits_is_within_the_time_that_a_rollout_of_settings_takes_anyway() -> None:
    """27 wait on one node, which three interfaces bring: the patience is that of the rollout, which is four."""
    facts = load((INCIDENTS / "eks-cooldown" / "facts.json").read_text(encoding="utf-8"), subject="facts.json")
    plan = make_plan(facts, diagnose(facts))
    assert isinstance(facts.kubernetes, Kubernetes)
    pods = items(facts.kubernetes.pods)
    waiting = next(pod for pod in pods if pod.phase == "Pending" and isinstance(pod.node, str))

    def with_more(count: int) -> Snapshot:
        more = tuple(replace(waiting, name=f"more-{number}") for number in range(count))
        assert isinstance(facts.kubernetes, Kubernetes)
        return replace(facts, kubernetes=replace(facts.kubernetes, pods=(*pods, *more)))

    one, many = with_more(1), with_more(10)
    assert recheck(plan, one, diagnose(one)).problems == ()
    assert values(recheck(plan, many, diagnose(many)).changed) == ["pods that wait on one node"]


def test_nodes_to_be_added_need_an_address_of_their_node_subnet() -> None:
    full = made.full_nodes()
    aws = aws_of(full)
    short = tuple(replace(each, available_addresses=3) for each in items(aws.subnets))
    facts = replace(full, aws=replace(aws, subnets=short))
    plan = make_plan(facts, diagnose(facts))
    subnet = items(aws.subnets)[0].subnet_id
    found = recheck(plan, with_free(facts, subnet, 0))
    assert values(found.changed) == [f"free addresses of {subnet}"]
    assert "are 0 now: a node of us-east-1a that is added or replaced takes an address" in found.changed[0].message
    assert recheck(plan, with_free(facts, subnet, 1)).problems == ()


def test_an_interface_that_is_used_again_must_not_be_deleted() -> None:
    facts = made.leaking()
    plan = make_plan(facts, LEAKING)
    assert recheck(plan, facts, LEAKING) == Recheck()
    aws = aws_of(facts)
    leaked = next(each for each in items(aws.interfaces) if each.interface_id in plan.files[0].text)
    used = replace(leaked, status="in-use", instance_id="i-0abc", device_index=2)

    def seen_as(*interfaces: Interface) -> Snapshot:
        rest = (each for each in items(aws.interfaces) if each.interface_id != leaked.interface_id)
        return replace(facts, aws=replace(aws, interfaces=(*rest, *interfaces)))

    assert values(recheck(plan, seen_as(used)).changed) == [leaked.interface_id]
    assert recheck(plan, seen_as()).problems == (), "somebody deleted it"
    unread = recheck(plan, replace(facts, aws=replace(aws, interfaces=DENIED)))
    assert "the interfaces that the plan deletes" in values(unread.unread)


@pytest.mark.parametrize("source", ["nodes", "pods"])
def test_what_is_not_counted_any_more_is_undecided_and_never_none(exhausted: Snapshot, plan: Plan, source: str) -> None:
    found = recheck(plan, with_kubernetes(exhausted, **{source: DENIED}))
    assert found.changed == ()
    names = values(found.unread)
    assert ("nodes in us-east-1a" if source == "nodes" else "pods that wait for an address") in names
    assert not any(" 0 now" in sentence for sentence in found.within)


def test_free_addresses_that_are_unknown_now_are_undecided(exhausted: Snapshot, plan: Plan) -> None:
    aws = aws_of(exhausted)
    blind = tuple(replace(each, available_addresses=DENIED) for each in items(aws.subnets))
    found = recheck(plan, replace(exhausted, aws=replace(aws, subnets=blind)))
    assert found.changed == ()
    assert values(found.unread) == [f"free addresses of subnet-{name}" for name in ("0a1", "0b2", "0c3")]


def test_an_undecided_diagnosis_is_not_a_cause_that_is_gone(exhausted: Snapshot, plan: Plan) -> None:
    needed = Needed(reading="ipamd logs", decides="the cause")
    found = recheck(plan, exhausted, Diagnosis(verdict=Verdict.UNDECIDED, needed=(needed,)))
    assert found.changed == ()
    [problem] = found.unread
    assert problem.message == (
        "the verdict was found when the plan was made, and is undecided now; it needs ipamd logs. See what `headroom "
        "diagnose` says now."
    )


def test_a_plan_of_an_older_headroom_cannot_be_told_to_hold(exhausted: Snapshot, plan: Plan) -> None:
    document = plan_to_json(plan)
    del document["measures"]
    found = recheck(plan_from_json(document), exhausted)
    assert [problem.rule for problem in found.problems] == ["plan-older"]
    assert found.changed == ()


def test_a_plan_that_names_no_facts_cannot_be_told_to_hold(exhausted: Snapshot) -> None:
    found = recheck(Plan(cluster="prod-use1", stack="prod-use1-limits", verdict="planned"), exhausted)
    assert [problem.rule for problem in found.unread] == ["plan-without-facts"]
    assert found.changed == ()


def test_what_was_beyond_a_limit_when_the_plan_was_made_is_a_decision_and_no_change(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT)
    assert Measure(name="free addresses of subnet-0a1", value=0) in plan.measures
    assert recheck(plan, exhausted).problems == ()


# AKS.


def test_a_command_that_sets_a_pools_size_wants_the_size_that_it_was_made_for() -> None:
    facts = aks.kubenet_exhausted()
    plan = planned(facts)
    assert any(step.command.endswith("--name default --node-count 10") for step in plan.steps)
    for count in (8, 12):
        changed = recheck(plan, with_pool(facts, count=count)).changed
        assert "nodes of pool default" in values(changed), "12 would be scaled down to 10"


def test_pools_of_aks_that_scale_are_within_what_the_planned_ranges_carry() -> None:
    facts = aks.kubenet_exhausted()
    plan = planned(facts)
    # A size that a step sets is another matter.
    ranges = tuple(replace(each, least=None, most=None) if each.least else each for each in plan.measures)
    free = replace(plan, measures=ranges)
    found = recheck(free, with_pool(facts, count=200))
    assert found.problems == ()
    assert (
        "nodes of all pools at their largest, with surge: 10 when the plan was made, 201 now; holds with at most 251 "
        "(100.64.0.0/16 and the node subnet 10.20.0.0/24 carry 251)."
    ) in found.within
    changed = recheck(free, with_pool(facts, count=251)).changed
    assert values(changed) == ["nodes of all pools at their largest, with surge"]
    assert "100.64.0.0/16 and the node subnet 10.20.0.0/24 carry 251" in changed[0].message


def test_routes_and_addresses_that_go_are_told_for_aks() -> None:
    facts = aks.kubenet_exhausted()
    plan = planned(facts)
    subnet = next(each for each in items(aks.azure_of(facts).vnets)[0].subnets)  # type: ignore[union-attr] # read
    used = known(subnet.used_addresses)
    fewer = with_subnet(facts, used_addresses=(used or 9) + 100, ip_configurations=(used or 9) + 100)
    [told] = recheck(plan, fewer).within
    assert told.startswith("free addresses of vnet-spoke/snet-aks-nodes: 1,010 when the plan was made, 9")
    no_tables = recheck(plan, aks.with_azure(facts, route_tables=DENIED))
    assert "routes that the nodes' route table still takes" in values(no_tables.unread)


def test_pools_that_were_not_read_are_undecided() -> None:
    facts = aks.kubenet_exhausted()
    found = recheck(planned(facts), aks.with_azure(facts, pools=DENIED))
    assert found.changed == ()
    assert {"node pools", "pool default", "nodes of pool default"} <= set(values(found.unread))
