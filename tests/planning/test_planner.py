"""The smallest sufficient change for each cause, reproducible, refused where facts are missing."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
import yaml

from headroom.addresses.blocks import Block, usable_addresses
from headroom.addresses.problems import ProblemsError
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, RootCause, Verdict
from headroom.facts.aws import Aws, CidrAssociation, Route, Vpc
from headroom.facts.kubernetes import CniDaemonSet, EniConfig, Kubernetes
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown
from headroom.planning.plan import Check, Plan, plan_from_json, plan_to_json
from headroom.planning.planner import make_plan
from headroom.planning.recheck import Recheck, recheck
from headroom.rehearsal import made
from tests.planning.conftest import FRAGMENTED, IDLE, LEAKING, SHORT


def aws_of(snapshot: Snapshot) -> Aws:
    assert isinstance(snapshot.aws, Aws)
    return snapshot.aws


def kubernetes_of(snapshot: Snapshot) -> Kubernetes:
    assert isinstance(snapshot.kubernetes, Kubernetes)
    return snapshot.kubernetes


def config(plan: Plan) -> dict[str, object]:
    document: dict[str, dict[str, object]] = yaml.safe_load(plan.files[0].text)
    return document["config"]


def kept(plan: Plan) -> list[str]:
    return [option.name for option in plan.options if option.kept]


@pytest.fixture(scope="module")
def exhausted() -> Snapshot:
    return made.exhausted()


def with_version(snapshot: Snapshot, version: str) -> Snapshot:
    kubernetes = kubernetes_of(snapshot)
    daemon_set = kubernetes.cni_daemon_set
    assert isinstance(daemon_set, CniDaemonSet)
    return replace(snapshot, kubernetes=replace(kubernetes, cni_daemon_set=replace(daemon_set, version=version)))


def with_vpc(snapshot: Snapshot, *cidrs: str) -> Snapshot:
    aws = aws_of(snapshot)
    assert isinstance(aws.vpc, Vpc)
    blocks = tuple(CidrAssociation(cidr_block=cidr, state="associated") for cidr in cidrs)
    return replace(snapshot, aws=replace(aws, vpc=replace(aws.vpc, cidr_blocks=blocks)))


def test_a_full_vpc_gets_a_secondary_cidr_and_nothing_restarts(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT)
    assert kept(plan) == ["secondary-cidr"]
    assert config(plan)["headroom:secondaryCidrs"] == ["100.64.0.0/16"]
    assert "No CNI setting is changed, and nothing restarts." in plan.untouched
    assert "headroom:cniSettings" not in config(plan)
    assert [step.command.split(" ")[:2] for step in plan.steps] == [
        ["pulumi", "stack"],
        ["pulumi", "up"],
        ["headroom", "verify"],
    ]


def test_every_zone_with_nodes_gets_a_subnet_and_a_zone_to_come_finds_room(exhausted: Snapshot) -> None:
    subnets = config(make_plan(exhausted, SHORT))["headroom:podSubnets"]
    assert isinstance(subnets, dict)
    assert {key: value["cidrBlock"] for key, value in subnets.items()} == {
        "us-east-1a": "100.64.0.0/18",
        "us-east-1b": "100.64.64.0/18",
        "us-east-1c": "100.64.128.0/18",
    }


def test_free_space_of_the_vpc_is_taken_before_another_cidr(exhausted: Snapshot) -> None:
    plan = make_plan(with_vpc(exhausted, "10.68.0.0/16"), SHORT)
    assert kept(plan) == ["subnets-in-own-space"]
    assert "headroom:secondaryCidrs" not in config(plan)
    blocks = [Block.parse(subnet["cidrBlock"]) for subnet in config(plan)["headroom:podSubnets"].values()]  # type: ignore[attr-defined] # a mapping
    assert all(Block.parse("10.68.0.0/16").contains(block) and usable_addresses(block) > 4000 for block in blocks)


def with_route(snapshot: Snapshot, *destinations: str) -> Snapshot:
    aws = aws_of(snapshot)
    assert isinstance(aws.route_tables, tuple)
    table, *others = aws.route_tables
    more = tuple(Route(destination=each, target="tgw-1") for each in destinations)
    return replace(snapshot, aws=replace(aws, route_tables=(replace(table, routes=(*table.routes, *more)), *others)))


def test_a_secondary_cidr_is_taken_where_no_wider_route_leads(exhausted: Snapshot) -> None:
    plan = make_plan(with_route(exhausted, "100.64.0.0/11"), SHORT)
    assert config(plan)["headroom:secondaryCidrs"] == ["100.96.0.0/16"]
    assert not any("where a route leads" in decision for decision in plan.decisions)


def test_where_a_route_leads_to_all_of_the_shared_space_a_person_decides(exhausted: Snapshot) -> None:
    plan = make_plan(with_route(exhausted, "100.64.0.0/10"), SHORT)
    assert config(plan)["headroom:secondaryCidrs"] == ["100.64.0.0/16"], "AWS takes it"
    [told] = [decision for decision in plan.decisions if "where a route leads" in decision]
    assert told.startswith("100.64.0.0/16 lies in 100.64.0.0/10")
    option = next(option for option in plan.options if option.kept)
    assert option.reason.endswith("but a route leads to 100.64.0.0/10, which contains it.")


def test_the_policies_are_told_the_cidrs_of_a_vpc_that_no_stack_makes(exhausted: Snapshot) -> None:
    own = make_plan(with_vpc(exhausted, "10.68.0.0/16"), SHORT)
    told = json.loads(next(file.text for file in own.files if file.path.startswith("stacks/policy.")))
    assert told["pod-subnet-inside-vpc"] == {"vpcCidrBlocks": ["10.68.0.0/16"]}
    assert "pod-subnet-size" in told
    further = make_plan(exhausted, SHORT)
    told = json.loads(next(file.text for file in further.files if file.path.startswith("stacks/policy.")))
    assert list(told) == ["pod-subnet-size"], "the association is of the stack, and says its CIDR itself"


def test_leaked_interfaces_that_suffice_are_deleted_and_no_stack_is_written() -> None:
    plan = make_plan(made.leaking(), LEAKING)
    assert kept(plan) == ["delete-leaked-interfaces"]
    assert [file.path for file in plan.files] == ["stacks/interfaces.prod-use1.txt"]
    assert plan.steps[0].command.startswith(
        "grep -o '^eni-[^[:space:]]*' stacks/interfaces.prod-use1.txt | xargs -n 50"
    )
    assert Check.LEAKED_INTERFACES_GONE in [condition.check for condition in plan.postconditions]


def test_fragmented_subnets_get_new_ones_with_reservations() -> None:
    plan = make_plan(made.fragmented(), FRAGMENTED)
    assert kept(plan) == ["secondary-cidr", "prefix-delegation"]
    reservations = config(plan)["headroom:prefixReservations"]
    assert isinstance(reservations, dict)
    assert reservations["us-east-1a"]["cidrBlocks"] == ["100.64.16.0/20", "100.64.32.0/19"]


def test_idle_addresses_are_cured_by_warm_targets_alone(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, IDLE)
    assert kept(plan) == ["retune-warm-targets"]
    assert config(plan)["headroom:remedy"] == "density"
    settings = config(plan)["headroom:cniSettings"]
    assert isinstance(settings, dict)
    assert settings["settings"] == {"WARM_IP_TARGET": "10"}
    assert [file.path for file in plan.files] == [
        "stacks/Pulumi.prod-use1-density.yaml",
        "stacks/import.prod-use1-density.json",
    ]


def test_a_cni_that_knows_no_discovery_is_upgraded_first(exhausted: Snapshot) -> None:
    plan = make_plan(with_version(exhausted, "1.16.4"), SHORT)
    assert kept(plan) == ["secondary-cidr", "upgrade-cni"]
    assert plan.steps[0].what.startswith("Upgrade the VPC CNI to v1.18.3")
    assert "--resolve-conflicts OVERWRITE" in plan.steps[0].command
    assert config(plan)["headroom:cniVersion"] == "1.18.3"
    assert Check.NOTHING_RESTARTED not in [condition.check for condition in plan.postconditions]


def test_growth_is_told_in_days(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT, growth_per_day={"us-east-1a": 16.0})
    option = next(option for option in plan.options if option.name == "secondary-cidr")
    assert option.days == {"us-east-1a": 1023}


def test_the_same_facts_give_the_same_plan_and_it_reads_back(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT)
    assert make_plan(made.exhausted(), SHORT) == plan
    assert plan_from_json(plan_to_json(plan)) == plan


def test_a_plan_holds_while_its_facts_do(exhausted: Snapshot) -> None:
    assert recheck(make_plan(exhausted, SHORT), exhausted) == Recheck()


def test_a_plan_against_changed_facts_is_refused_by_name(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT)
    problems = recheck(plan, with_vpc(with_version(exhausted, "1.20.0"), "10.68.192.0/18", "100.64.0.0/16")).changed
    assert [problem.value for problem in problems] == ["VPC CNI", "vpc CIDRs"]
    assert "10.68.192.0/18, 100.64.0.0/16 now" in problems[1].message


def with_environment(snapshot: Snapshot, **values: str) -> Snapshot:
    kubernetes = kubernetes_of(snapshot)
    daemon_set = kubernetes.cni_daemon_set
    assert isinstance(daemon_set, CniDaemonSet)
    assert isinstance(daemon_set.environment, Mapping)
    changed = replace(daemon_set, environment={**daemon_set.environment, **values})
    return replace(snapshot, kubernetes=replace(kubernetes, cni_daemon_set=changed))


def test_of_aws_nodes_settings_only_those_that_changed_are_told(exhausted: Snapshot) -> None:
    changed = with_environment(exhausted, WARM_IP_TARGET="2", WARM_ENI_TARGET="0")
    assert [problem.message for problem in recheck(make_plan(exhausted, SHORT), changed).changed] == [
        "setting WARM_ENI_TARGET was 1 when the plan was made, and is 0 now. Make the plan again: `headroom plan`.",
        (
            "setting WARM_IP_TARGET was not there when the plan was made, and is 2 now. Make the plan again: "
            "`headroom plan`."
        ),
    ]


def test_a_plan_whose_cause_is_gone_is_refused_though_nothing_else_changed(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, diagnose(exhausted))
    assert recheck(plan, exhausted, diagnose(exhausted)) == Recheck()
    gone = recheck(plan, exhausted, Diagnosis(verdict=Verdict.HEALTHY)).changed
    assert [(problem.rule, problem.value) for problem in gone] == [("cause-gone", "cause subnet_exhaustion")]
    assert "verdict healthy" in gone[0].message


def test_a_further_cause_is_told_unless_another_one_made_it(exhausted: Snapshot) -> None:
    found = diagnose(exhausted)
    plan = make_plan(exhausted, found)
    denied = Cause(root_cause=RootCause.IPAMD_FAILURE, detail=Detail.IAM)
    throttled = Cause(root_cause=RootCause.IPAMD_FAILURE, detail=Detail.THROTTLING, made_by="subnet_exhaustion")
    problems = recheck(plan, exhausted, replace(found, causes=(*found.causes, denied, throttled))).changed
    assert [problem.value for problem in problems] == ["cause ipamd_failure/iam"]


def test_large_subnets_that_nobody_tagged_are_asked_about_first(exhausted: Snapshot) -> None:
    aws = aws_of(exhausted)
    assert isinstance(aws.subnets, tuple)
    full = aws.subnets[0]
    forgotten = replace(full, subnet_id="subnet-new", cidr_block="10.68.240.0/20", available_addresses=4091, tags={})
    for tags, asked in (({}, True), ({"kubernetes.io/role/cni": "0"}, False), (Unknown(Reason.DENIED), False)):
        there = replace(exhausted, aws=replace(aws, subnets=(*aws.subnets, replace(forgotten, tags=tags))))
        told = [decision for decision in make_plan(there, SHORT).decisions if "subnet-new (4,091 free)" in decision]
        assert bool(told) is asked
    option = next(
        each
        for each in make_plan(
            replace(exhausted, aws=replace(aws, subnets=(*aws.subnets, forgotten))),
            SHORT,
            growth_per_day={"us-east-1a": 10.0},
        ).options
        if each.name == "tag-existing-subnets"
    )
    assert (option.kept, option.addresses, option.days) == (False, {"us-east-1a": 4091}, {"us-east-1a": 409})
    assert option.reason.endswith(
        "if so, this is all it takes: `aws ec2 create-tags --resources subnet-new --tags "
        "Key=kubernetes.io/role/cni,Value=1`. Not enough in us-east-1b."
    )
    small = replace(forgotten, cidr_block="10.68.240.0/28", available_addresses=11)
    there = replace(exhausted, aws=replace(aws, subnets=(*aws.subnets, small)))
    assert not any("subnet-new" in decision for decision in make_plan(there, SHORT).decisions)


def test_nodes_at_their_limit_in_full_subnets_get_room_first_and_then_more_nodes() -> None:
    full = made.full_nodes()
    aws = aws_of(full)
    assert isinstance(aws.subnets, tuple)
    both = replace(
        full, aws=replace(aws, subnets=tuple(replace(subnet, available_addresses=0) for subnet in aws.subnets))
    )
    plan = make_plan(both, diagnose(both))
    assert plan.causes == ("eni_limit", "subnet_exhaustion")
    assert kept(plan) == ["subnets-in-own-space"], "what is kept is what the file does"
    assert "headroom:cniSettings" not in config(plan)
    assert any("free there now: us-east-1a 0, us-east-1b 0, us-east-1c 0" in told for told in plan.decisions)
    done = [step.what.split(" (")[0] for step in plan.steps]
    assert done == ["Look at what would happen", "Apply it", "Add nodes", "See that it worked"]


def test_facts_that_cannot_be_read_any_more_close_the_gate(exhausted: Snapshot) -> None:
    plan = make_plan(exhausted, SHORT)
    denied = replace(exhausted, aws=replace(aws_of(exhausted), subnets=Unknown(Reason.DENIED)))
    found = recheck(plan, denied)
    assert found.changed == ()
    assert "subnet subnet-0a1" in [problem.value for problem in found.unread]


def test_missing_facts_are_all_named_and_nothing_is_planned(exhausted: Snapshot) -> None:
    blind = replace(
        exhausted, aws=replace(aws_of(exhausted), vpc=Unknown(Reason.DENIED, "DescribeVpcs")), cluster=Unknown()
    )
    with pytest.raises(ProblemsError) as refused:
        make_plan(replace(blind, aws=replace(aws_of(blind), region=Unknown())), IDLE)
    assert [problem.value for problem in refused.value.problems] == ["cluster", "aws.region", "aws.vpc"]


@pytest.mark.parametrize("verdict", [Verdict.HEALTHY, Verdict.NOT_IP, Verdict.UNDECIDED])
def test_without_a_cause_there_is_nothing_to_plan(exhausted: Snapshot, verdict: Verdict) -> None:
    with pytest.raises(ProblemsError, match="names no cause"):
        make_plan(exhausted, Diagnosis(verdict=verdict))


def test_an_option_that_was_rejected_says_why_with_figures(exhausted: Snapshot) -> None:
    reasons = {option.name: option.reason for option in make_plan(exhausted, SHORT).options}
    assert "largest free block is 10.68.224.0/19 (8,187 usable addresses)" in reasons["subnets-in-own-space"]
    assert reasons["retune-warm-targets"].startswith("WARM_IP_TARGET=10 would give back about 1,133 addresses")
    assert all(reasons.values())


@pytest.mark.parametrize("name", ["../../../tmp/x", 'a"; rm -rf ~; "', "a\x1b[31m", "a\nb", "-a", "a" * 101])
def test_names_that_would_leave_the_folder_or_the_command_are_refused(exhausted: Snapshot, name: str) -> None:
    with pytest.raises(ProblemsError, match="is no name of an EKS cluster"):
        make_plan(replace(exhausted, cluster=name), SHORT)
    with pytest.raises(ProblemsError, match=r"is no name of a Pulumi stack|is no name of an EKS cluster"):
        make_plan(replace(exhausted, cluster="prod"), SHORT, stack=f"/{name}")


def test_a_vpc_without_room_and_without_quota_asks_for_quota(exhausted: Snapshot) -> None:
    full = ("10.68.192.0/18", "100.64.0.0/16", "100.65.0.0/16", "100.66.0.0/16", "100.67.0.0/16")
    plan = make_plan(with_vpc(exhausted, *full[:1], "10.1.0.0/28", "10.2.0.0/28", "10.3.0.0/28", "10.4.0.0/28"), SHORT)
    assert kept(plan) == []
    assert plan.files == ()
    assert "L-83CA0A9D" in plan.steps[0].command
    assert plan.decisions[0].startswith("Room is what is missing, and none was found.")


def test_with_custom_networking_the_eniconfigs_are_a_step_and_nothing_claims_that_nothing_restarts(
    exhausted: Snapshot,
) -> None:
    kubernetes = kubernetes_of(exhausted)
    daemon_set = kubernetes.cni_daemon_set
    assert isinstance(daemon_set, CniDaemonSet)
    assert isinstance(daemon_set.environment, dict)
    custom = replace(daemon_set, environment={**daemon_set.environment, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"})
    eni_configs = (EniConfig(name="us-east-1a", subnet_id="subnet-0a1"),)
    with_configs = replace(kubernetes, cni_daemon_set=custom, eni_configs=eni_configs)
    plan = make_plan(replace(exhausted, kubernetes=with_configs), SHORT)
    assert kept(plan) == ["secondary-cidr", "custom-networking"]
    assert any(step.command.startswith("kubectl patch eniconfig") for step in plan.steps)
    without = make_plan(replace(exhausted, kubernetes=replace(with_configs, eni_configs=())), SHORT)
    assert not any("patch eniconfig" in step.command for step in without.steps), "there is none to patch"
    assert any("`headroom:customNetworking`" in step.what for step in without.steps)
    assert not any("nothing restarts" in sentence for sentence in plan.untouched)
