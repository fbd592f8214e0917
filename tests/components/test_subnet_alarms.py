from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.subnet_alarms import (
    SubnetAlarms,
    SubnetAlarmsArgs,
    Symptom,
    WatchedSubnet,
    cni_errors,
    composed,
    planned,
)
from headroom.addresses.problems import ProblemsError
from headroom.capacity.limits import instance_limits
from headroom.capacity.thresholds import NodeGroup, thresholds
from headroom.capacity.watch import ADDRESS_METRICS
from headroom.rehearsal.alarm_evaluation import composite_on

if TYPE_CHECKING:
    from tests.conftest import Recorder

METRIC_ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
PAGE, WARNING = "arn:aws:sns:us-east-1:123456789012:page", "arn:aws:sns:us-east-1:123456789012:warning"
A, B, CONTROL = "subnet-0a1", "subnet-0b1", "subnet-0c1"
SUBNETS = {
    A: WatchedSubnet(zone="us-east-1a", cidr_block="10.68.196.0/22"),
    B: WatchedSubnet(zone="us-east-1b", cidr_block="10.68.200.0/22"),
    CONTROL: WatchedSubnet(zone="us-east-1a", cidr_block="10.68.192.0/27", role="control-plane"),
}
LARGE = NodeGroup(name="services", limits=instance_limits("m5.8xlarge"), pods=100)
MANY = NodeGroup(name="batch", limits=instance_limits("m5.large"), surge=3, pods=10)

HELD_LOW, HELD_WARNING = (
    f'(ALARM("headroom/prod-use1/us-east-1a/{name}") AND ALARM("headroom/prod-use1/us-east-1a/free-near"))'
    for name in ("free-critical", "free-warning")
)
"""What was low within the last day, while there is little room still."""


def arguments(**more: Any) -> SubnetAlarmsArgs:
    return SubnetAlarmsArgs(
        **{
            "cluster": "prod-use1",
            "subnets": SUBNETS,
            "node_groups": [LARGE, MANY],
            "page_topics": [PAGE],
            "warning_topics": [WARNING],
            **more,
        }
    )


def refused(**more: Any) -> list[tuple[str, str]]:
    with pytest.raises(ProblemsError) as caught:
        arguments(**more)
    return [(problem.rule, problem.key) for problem in caught.value.problems]


def alarm(recorder: Recorder, name: str) -> Any:
    found = [item for item in recorder.registrations if item.inputs.get("name", item.inputs.get("alarmName")) == name]
    assert len(found) == 1, [item.inputs.get("name") for item in recorder.registrations]
    return found[0]


# The thresholds.


def test_the_threshold_is_what_the_upgrade_of_the_node_group_that_takes_most_holds() -> None:
    # An m5.8xlarge with 100 pods holds five interfaces of 30 addresses; three m5.large with 10 hold 90.
    surge = arguments().surge
    assert (surge.group, surge.nodes, surge.addresses, surge.blocks) == ("services", 1, 150, 0)
    assert thresholds(surge, 1019).critical == 150
    assert thresholds(surge, 1019).warning == 150 + 102


def test_warm_targets_of_the_settings_lower_the_threshold() -> None:
    surge = arguments(cni_environment={"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"}).surge
    assert surge.addresses == 109


def test_with_prefix_delegation_there_is_a_threshold_for_28s() -> None:
    args = arguments(cni_environment={"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"})
    assert (args.surge.addresses, args.surge.blocks) == (129, 8)
    blocks = [each for each in planned(args) if each.metric == "FreePrefixBlocks"]
    assert [(each.name.removeprefix("headroom/prod-use1/"), each.threshold) for each in blocks] == [
        ("us-east-1a/prefix-blocks", 8),
        ("us-east-1a/prefix-blocks-near", 16),
        ("us-east-1b/prefix-blocks", 8),
        ("us-east-1b/prefix-blocks-near", 16),
        (f"us-east-1a/{A}/prefix-blocks", 8),
        (f"us-east-1a/{A}/prefix-blocks-near", 16),
        (f"us-east-1b/{B}/prefix-blocks", 8),
        (f"us-east-1b/{B}/prefix-blocks-near", 16),
    ]
    assert not [each for each in planned(arguments()) if each.metric == "FreePrefixBlocks"]


def test_a_subnet_of_the_control_plane_keeps_what_an_upgrade_of_the_cluster_needs() -> None:
    least = thresholds(arguments().surge, 27, "control-plane")
    assert (least.critical, least.warning) == (6, 16)


def test_where_an_upgrade_needs_more_than_half_a_subnet_the_alarm_stands_there_and_it_is_said() -> None:
    subnets = {A: WatchedSubnet(zone="us-east-1a", cidr_block="10.0.0.0/24")}
    args = arguments(subnets=subnets, symptoms=[Symptom(namespace="AWS/EKS", metric="pending", dimensions={})])
    assert args.thresholds_of([A], "shared").critical == 125
    assert [(each.rule, each.key) for each in args.warnings()] == [("alarm-threshold-capped", f"subnets.{A}")]
    assert "150 addresses" in args.warnings()[0].message


@given(
    surge=st.integers(1, 20),
    pods=st.integers(0, 234),
    usable=st.integers(11, 65531),
    role=st.sampled_from(("shared", "nodes", "pods", "control-plane")),
)
def test_a_warning_comes_before_the_critical_alarm_and_an_empty_subnet_rings_neither(
    surge: int, pods: int, usable: int, role: Any
) -> None:
    group = NodeGroup(name="g", limits=instance_limits("m5.8xlarge"), surge=surge, pods=pods)
    least = thresholds(arguments(node_groups=[group]).surge, usable, role)
    assert 0 < least.critical < least.warning < usable
    assert least.capped == (
        least.critical < {"nodes": surge, "control-plane": 0}.get(role, arguments(node_groups=[group]).surge.addresses)
    )


# The alarms.


def test_every_zone_and_subnet_has_its_alarms_and_nothing_sums_the_vpc(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments()))
    place = [f"{zone}/{name}" for zone in ("us-east-1a", "us-east-1b") for name in ("free-critical", "free-warning")]
    names = {each.inputs["name"] for each in recorder.registrations if each.type == METRIC_ALARM}
    assert {f"headroom/prod-use1/{each}" for each in place} < names
    assert len(names) == 4 + 2 * 6 + 2 * 4 + 3
    over = {tuple(sorted(each.inputs["dimensions"])) for each in recorder.registrations if "dimensions" in each.inputs}
    assert over == {
        ("ClusterName",),
        ("AvailabilityZone", "ClusterName"),
        ("AvailabilityZone", "ClusterName", "SubnetId"),
    }
    free = [each.inputs for each in recorder.registrations if each.inputs.get("metricName") == "FreeAddresses"]
    assert all("AvailabilityZone" in each["dimensions"] for each in free)


def test_a_critical_alarm_looks_at_three_runs_and_breaches_on_silence(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments(tags={"team": "platform"})))
    made = alarm(recorder, f"headroom/prod-use1/us-east-1a/{A}/free-critical")
    assert made.inputs == {
        "name": f"headroom/prod-use1/us-east-1a/{A}/free-critical",
        "alarmDescription": f"prod-use1, subnet {A} (10.68.196.0/22, us-east-1a): fewer than 150 of 1,019 addresses "
        "are free. In an upgrade 1 node of services takes 150 addresses. Next: headroom diagnose --cluster prod-use1",
        "namespace": "Headroom",
        "metricName": "FreeAddresses",
        "dimensions": {"ClusterName": "prod-use1", "AvailabilityZone": "us-east-1a", "SubnetId": A},
        "statistic": "Minimum",
        "period": 300,
        "evaluationPeriods": 3,
        "datapointsToAlarm": 3,
        "comparisonOperator": "LessThanThreshold",
        "threshold": 150,
        "treatMissingData": "breaching",
        "actionsEnabled": True,
        "alarmActions": [],
        "okActions": [],
        "tags": {"team": "platform"},
    }
    assert made.parent == "headroom:index:SubnetAlarms watch"


def test_what_tells_somebody_remembers_for_a_day_that_it_was_low_until_there_is_room_again(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments()))
    for place, low, most in (("us-east-1a", ("free-critical", "free-warning"), 1019), (f"us-east-1a/{A}", (), 1019)):
        for name in (*low, "free-warning"):
            made = alarm(recorder, f"headroom/prod-use1/{place}/{name}").inputs
            # A run that fails is not low; all of a day, which CloudWatch takes at most.
            queries = [(each.get("expression"), each["returnData"]) for each in made["metricQueries"]]
            assert queries == [(None, False), (f"FILL(free, {most})", True)]
            assert (made["datapointsToAlarm"], made["evaluationPeriods"]) == (3, 288)
            assert made["metricQueries"][0]["metric"]["period"] * made["evaluationPeriods"] == 86_400
            assert "within the last 24 hours" in made["alarmDescription"]
        near = alarm(recorder, f"headroom/prod-use1/{place}/free-near").inputs
        # 150 is critical, 252 warns.
        assert (near["threshold"], near["datapointsToAlarm"], near["evaluationPeriods"]) == (354, 3, 3)
        assert near["alarmActions"] == near["okActions"] == []
    rule = alarm(recorder, "headroom/prod-use1/us-east-1a/warning").inputs["alarmRule"]
    for place in ("us-east-1a", f"us-east-1a/{A}"):
        both = [f'ALARM("headroom/prod-use1/{place}/{name}")' for name in ("free-warning", "free-near")]
        assert f"({' AND '.join(both)})" in rule


def test_what_is_near_never_lies_beyond_what_a_zone_holds() -> None:
    subnets = {A: WatchedSubnet(zone="us-east-1a", cidr_block="10.0.0.0/28")}
    near = next(each for each in planned(arguments(subnets=subnets)) if each.name.endswith("free-near"))
    assert near.threshold == 11, "all of it free is not near"


def test_whole_blocks_of_several_subnets_are_near_as_long_as_one_more_could_be_whole() -> None:
    zone = "us-east-1a"
    subnets = {name: WatchedSubnet(zone=zone, cidr_block=f"10.0.{n}.0/24") for n, name in enumerate((A, B))}
    prefixes = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
    many = NodeGroup(name="services", limits=instance_limits("m5.8xlarge"), pods=100, surge=9)
    alarms = planned(arguments(subnets=subnets, node_groups=[many], cni_environment=prefixes))
    found = {each.name.removeprefix("headroom/prod-use1/"): each for each in alarms}
    # A /24 has 16 of them, and AWS keeps addresses of the first and of the last.
    assert found[f"{zone}/prefix-blocks"].threshold == 15
    assert found[f"{zone}/prefix-blocks-near"].threshold == 28, "not 30: where all are whole nothing is near"
    assert "(it counts while fewer than 28 still are)" in found[f"{zone}/prefix-blocks"].description
    assert found[f"{zone}/{A}/prefix-blocks-near"].threshold == 14
    narrow = {name: WatchedSubnet(zone=zone, cidr_block=f"10.0.{n}.0/27") for n, name in enumerate((A, B))}
    alarms = planned(arguments(subnets=narrow, node_groups=[many], cni_environment=prefixes))
    near = [each.threshold for each in alarms if each.name.endswith(f"{zone}/prefix-blocks-near")]
    assert near == [1], "no /28 of them is ever whole, and that rings"


def test_a_sudden_drop_is_measured_by_an_anomaly_band(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments()))
    made = alarm(recorder, "headroom/prod-use1/us-east-1b/sudden-drop").inputs
    assert made["comparisonOperator"] == "LessThanLowerThreshold"
    assert made["thresholdMetricId"] == "band"
    assert [each.get("expression") for each in made["metricQueries"]] == [None, "ANOMALY_DETECTION_BAND(free, 6)"]
    assert made["metricQueries"][0]["metric"]["metricName"] == "FreeAddresses"
    assert "threshold" not in made
    assert "metricName" not in made


def test_a_drop_warns_only_while_the_zone_falls_fast(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments()))
    fast = alarm(recorder, "headroom/prod-use1/us-east-1b/falling-fast").inputs
    assert (fast["comparisonOperator"], fast["threshold"]) == ("LessThanThreshold", 0)
    assert (fast["datapointsToAlarm"], fast["evaluationPeriods"]) == (6, 10)
    # Twelve runs an hour, three hours ahead.
    assert [(each.get("expression"), each["returnData"]) for each in fast["metricQueries"]] == [
        (None, False),
        ("free + 36 * DIFF(free)", True),
    ]
    rule = alarm(recorder, "headroom/prod-use1/us-east-1b/warning").inputs["alarmRule"]
    names = [f'ALARM("headroom/prod-use1/us-east-1b/{name}")' for name in ("sudden-drop", "falling-fast")]
    assert f" OR ({' AND '.join(names)}))" in rule
    assert rule.count("sudden-drop") == rule.count("falling-fast") == 1


def test_silence_tells_by_itself_and_sooner_than_what_it_would_set_off() -> None:
    alarms = {each.name.rpartition("/")[2]: each for each in planned(arguments())}
    assert (alarms["silence"].breaching, alarms["silence"].periods) == (2, 3)
    assert all(each.breaching > 2 for each in alarms.values() if each.metric in ADDRESS_METRICS)


def test_every_alarm_on_addresses_breaches_on_silence_and_a_symptom_does_not() -> None:
    for each in planned(arguments(symptoms=[cni_errors("prod-use1")])):
        assert each.silent or each.metric not in ADDRESS_METRICS, each.name
        assert not (each.silent and each.severity == "symptom"), each.name
    # A dead publisher is a message about it, and none that says that a quota is used up.
    told = {each.name.rpartition("/")[2]: each.silent for each in planned(arguments()) if each.severity == "direct"}
    assert told == {"interface-quota": False, "unwatched-subnets": False, "missing-subnets": True}


def test_the_names_are_unique_stable_and_free_of_what_the_stack_calls_them(recorder: Recorder) -> None:
    one = recorder.run(lambda: SubnetAlarms("watch", arguments()))
    more = {**SUBNETS, "subnet-0d1": WatchedSubnet(zone="us-east-1a", cidr_block="10.68.208.0/22")}
    two = recorder.run(lambda: SubnetAlarms("watch", arguments(subnets=more)))
    before = {each.name: each.inputs.get("name", each.inputs.get("alarmName")) for each in one}
    after = {each.name: each.inputs.get("name", each.inputs.get("alarmName")) for each in two}
    assert before.items() <= after.items(), "a subnet that comes later renames nothing"
    names = [name for name in after.values() if name]
    assert len(set(names)) == len(names)


def test_every_description_fits_and_names_the_command_that_comes_next(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments(cluster="c" * 100, symptoms=[cni_errors("c" * 100)])))
    for each in recorder.registrations:
        if each.type in (METRIC_ALARM, COMPOSITE):
            text = each.inputs["alarmDescription"]
            assert len(text) <= 1024
            assert re.search(r" Next: (headroom (diagnose|forecast|collect) --cluster c{100}|pulumi up)$", text), text
            assert len(each.inputs.get("name", each.inputs.get("alarmName"))) <= 255


# Who is told.


def test_alarms_on_metrics_tell_nobody_but_for_silence_quota_and_subnets(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments()))
    told = {
        each.inputs["name"].removeprefix("headroom/prod-use1/"): each.inputs["alarmActions"]
        for each in recorder.registrations
        if each.type == METRIC_ALARM and each.inputs["alarmActions"]
    }
    assert told == {
        "silence": [PAGE],
        "interface-quota": [WARNING],
        "missing-subnets": [WARNING],
        "unwatched-subnets": [WARNING],
    }


def test_a_page_asks_for_low_addresses_and_failing_pods_and_not_for_a_dead_publisher(recorder: Recorder) -> None:
    recorder.run(lambda: SubnetAlarms("watch", arguments(symptoms=[cni_errors("prod-use1")])))
    made = alarm(recorder, "headroom/prod-use1/us-east-1a/page")
    assert made.inputs["alarmRule"] == (
        f"({HELD_LOW} OR "
        f'({HELD_WARNING} AND ALARM("headroom/prod-use1/us-east-1a/sudden-drop") AND '
        'ALARM("headroom/prod-use1/us-east-1a/falling-fast")) OR '
        f'(ALARM("headroom/prod-use1/us-east-1a/{A}/free-critical"))) AND '
        '(ALARM("headroom/prod-use1/symptom/Kubernetes/ipamdErr")) AND '
        'NOT ALARM("headroom/prod-use1/silence")'
    )
    assert made.inputs["alarmActions"] == made.inputs["okActions"] == [PAGE]
    # CloudWatch refuses a rule that names an alarm which does not exist.
    named = set(re.findall(r'ALARM\("([^"]+)"\)', made.inputs["alarmRule"]))
    waited = {alarm(recorder, name).label for name in named}
    assert waited <= made.depends_on


def test_without_a_symptom_low_addresses_page_by_themselves_and_that_is_said() -> None:
    args = arguments()
    page = next(each for each in composed(args, planned(args)) if each.name.endswith("us-east-1a/page"))
    assert "symptom" not in page.rule
    assert [each.rule for each in args.warnings()] == ["no-symptom"]


def test_subnets_of_nodes_alone_that_are_full_page_without_waiting_for_ipamd_which_cannot_know() -> None:
    # With custom networking: the pods' subnet is nearly empty of pods, and no node starts any more.
    subnets = {
        A: WatchedSubnet(zone="us-east-1a", cidr_block="10.0.0.0/24", role="nodes"),
        CONTROL: WatchedSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", role="pods"),
    }
    ipamd, pending = cni_errors("prod-use1"), Symptom(namespace="AWS/EKS", metric="pending", dimensions={})
    for symptoms, failing, rings in (
        ([ipamd], [], True),
        ([ipamd, pending], [], False),
        ([ipamd, pending], ["Kubernetes/ipamdErr"], False),
        ([ipamd, pending], ["AWS/EKS/pending"], True),
        ([], [], True),
    ):
        args = arguments(subnets=subnets, symptoms=symptoms)
        page = next(each for each in composed(args, planned(args)) if each.page)
        on = dict.fromkeys((each.name for each in planned(args)), False)
        assert composite_on(page.rule, on) is False
        on[f"headroom/prod-use1/us-east-1a/{A}/free-critical"] = True
        on |= {f"headroom/prod-use1/symptom/{name}": True for name in failing}
        assert composite_on(page.rule, on) is rings, (symptoms, failing)
    assert [each.rule for each in arguments(symptoms=[ipamd]).warnings()] == ["no-symptom-of-nodes"]
    assert arguments(symptoms=[pending]).warnings() == []


def test_a_subnet_that_was_deleted_is_told_as_gone_and_not_as_low() -> None:
    args = arguments()
    rules = {each.name: each.rule for each in composed(args, planned(args))}
    on = dict.fromkeys((each.name for each in planned(args)), False)
    warns = "headroom/prod-use1/us-east-1a/warning"
    on |= {f"headroom/prod-use1/us-east-1a/{A}/{each}": True for each in ("free-warning", "free-near")}
    assert composite_on(rules[warns], on) is True
    # Of a subnet that is gone there is no value; its alarms breach on that, and the one on missing subnets is first.
    on["headroom/prod-use1/missing-subnets"] = True
    assert composite_on(rules[warns], on) is False
    on |= {f"headroom/prod-use1/us-east-1a/{each}": True for each in ("free-warning", "free-near")}
    assert composite_on(rules[warns], on) is True, "what is left of the zone still warns"


def test_nodes_cannot_start_only_where_all_subnets_that_they_start_in_are_low() -> None:
    subnets = {
        A: WatchedSubnet(zone="us-east-1a", cidr_block="10.0.0.0/24", role="nodes"),
        B: WatchedSubnet(zone="us-east-1a", cidr_block="10.0.1.0/24", role="nodes"),
        CONTROL: WatchedSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", role="pods"),
    }
    args = arguments(subnets=subnets)
    page = next(each for each in composed(args, planned(args)) if each.page)
    low = [f'ALARM("headroom/prod-use1/us-east-1a/{name}/free-critical")' for name in (A, B)]
    assert f"({' AND '.join(low)})" in page.rule
    zone = next(each for each in planned(args) if each.name.endswith("us-east-1a/free-critical"))
    assert zone.threshold == 150, "of the pod subnet's 16,379"


@pytest.mark.parametrize(("given", "page", "warning"), [((PAGE, ""), PAGE, PAGE), (("", WARNING), WARNING, WARNING)])
def test_where_one_kind_of_topic_is_given_it_gets_both(given: tuple[str, str], page: str, warning: str) -> None:
    args = arguments(page_topics=[given[0]] if given[0] else [], warning_topics=[given[1]] if given[1] else [])
    assert (args.topics(page=True), args.topics(page=False)) == ([page], [warning])


@pytest.mark.parametrize("count", [3, 150, 240, 270, 300, 1000])
@pytest.mark.parametrize("cluster", ["prod-use1", "c" * 100])
def test_a_thousand_subnets_fit_into_composites_of_a_hundred_children_and_ten_thousand_characters(
    count: int, cluster: str
) -> None:
    subnets = {
        f"subnet-{number:017x}": WatchedSubnet(
            zone=f"us-gov-east-1{'abc'[number % 3]}", cidr_block=f"10.{number // 256}.{number % 256}.0/24"
        )
        for number in range(count)
    }
    symptoms = [Symptom(namespace="AWS/EKS", metric=f"scheduler_{number}", dimensions={}) for number in range(5)]
    prefixes = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
    args = arguments(subnets=subnets, cluster=cluster, symptoms=symptoms, cni_environment=prefixes)
    alarms = planned(args)
    composites = composed(args, alarms)
    for each in composites:
        assert len(set(re.findall(r'ALARM\("([^"]+)"\)', each.rule))) <= 100
        assert len(each.rule) <= 10_240
    parents = Counter(name for each in composites for name in set(re.findall(r'ALARM\("([^"]+)"\)', each.rule)))
    assert max(parents.values()) <= 150, "CloudWatch API reference, PutCompositeAlarm"
    named = set(parents)
    assert {each.name for each in alarms if each.severity in ("warning", "forecast", "page")} <= named, (
        "no alarm is left out"
    )
    names = [*(each.name for each in alarms), *(each.name for each in composites)]
    assert len(set(names)) == len(names)


# Bad input.


def test_every_problem_is_told_at_once() -> None:
    assert refused(subnets={}, node_groups=[], page_topics=[], warning_topics=[], horizon_days=0) == [
        ("no-subnets", "subnets"),
        ("no-node-groups", "node_groups"),
        ("no-page-topics", "page_topics"),
        ("horizon", "horizon_days"),
    ]


def test_subnets_that_overlap_and_cidrs_that_are_none_are_refused() -> None:
    subnets = {
        A: WatchedSubnet(zone="us-east-1a", cidr_block="10.0.0.0/16"),
        B: WatchedSubnet(zone="us-east-1b", cidr_block="10.0.3.0/24"),
        CONTROL: WatchedSubnet(zone="us-east-1b", cidr_block="10.0"),
    }
    assert refused(subnets=subnets) == [
        ("ipv4-address", f"subnets.{CONTROL}.cidrBlock"),
        ("subnets-overlap", f"subnets.{B}.cidrBlock"),
    ]


def test_a_symptom_that_is_named_twice_is_refused() -> None:
    twice = [
        Symptom(namespace="n", metric="m", dimensions={}),
        Symptom(namespace="n", metric="m", dimensions={"a": "b"}),
    ]
    assert refused(symptoms=twice) == [("symptom-twice", "symptoms")]
    # Namespaces may have a slash: two metrics, and the same name of an alarm.
    slashed = [Symptom(namespace="n/m", metric="o", dimensions={}), Symptom(namespace="n", metric="m/o", dimensions={})]
    assert refused(symptoms=slashed) == [("symptom-twice", "symptoms")]


def test_a_symptom_whose_alarm_would_have_too_long_a_name_is_refused() -> None:
    long = Symptom(namespace="n" * 120, metric="m" * 120, dimensions={})
    assert refused(symptoms=[long]) == [("symptom-name", "symptoms")]


# The price.


def test_the_price_counts_every_alarm_that_is_declared(recorder: Recorder) -> None:
    args = arguments(symptoms=[cni_errors("prod-use1")])
    recorder.run(lambda: SubnetAlarms("watch", args))
    kinds = [each.type for each in recorder.registrations]
    bands = sum("thresholdMetricId" in each.inputs for each in recorder.registrations)
    expected = 0.10 * (kinds.count(METRIC_ALARM) - bands + 2) + 0.30 * bands + 0.50 * kinds.count(COMPOSITE)
    assert args.price().alarms == pytest.approx(expected)
    assert args.price().metric_count == 3 * 7 + 2 * 4 + 5
