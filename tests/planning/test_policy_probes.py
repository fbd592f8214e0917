"""Which probes are planned for a policy, what is found wrong before any, and what their answers come to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.collect.kubernetes_objects import network_policy
from headroom.facts.azure import Azure, ManagedCluster, NetworkProfile
from headroom.facts.document import decode, dump, encode
from headroom.facts.kubernetes import Kubernetes, LabelSelector, Namespace, Pod, PodPort, PodSet
from headroom.facts.pseudonyms import pseudonymised
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown
from headroom.planning.network_policy import Connection, Decision, Direction, Face, allowed, judge, picks
from headroom.planning.policy_findings import FindingKind, findings, idle
from headroom.planning.policy_probes import (
    OWN_KEYS,
    RUN_LABEL,
    Cluster,
    Expectation,
    Probe,
    ProbePlan,
    breaking,
    cluster_of,
    fitting,
    plan_probes,
)
from headroom.planning.probe_jobs import IMAGE, MOST_PROBES, arguments, is_pinned, job_of, jobs
from headroom.planning.probe_results import (
    Answer,
    Outcome,
    PolicyVerdict,
    ProbeRun,
    SourceRun,
    State,
    Verdict,
    answers_of,
    exit_code,
    judge_run,
)
from tests.planning.test_network_policy import POLICIES, SELECTORS

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES = {"prod": {"name": "prod"}, "ingress-nginx": {"name": "ingress-nginx"}, "default": {}, "kube-system": {}}
OPENED = "{podSelector: {matchLabels: {app: APP}}, ingress: [{}]}"
DENY_ALL = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
FROM_INGRESS = """
podSelector: {matchLabels: {app: checkout-api}}
policyTypes: [Ingress]
ingress:
  - from:
      - namespaceSelector: {matchLabels: {name: ingress-nginx}}
        podSelector: {matchLabels: {app.kubernetes.io/name: ingress-nginx}}
    ports: [{protocol: TCP, port: 8080}]
"""


def pods(namespace: str, name: str, labels: Mapping[str, str], *ports: PodPort, count: int = 1) -> tuple[PodSet, ...]:
    """A workload of equal pods."""
    names = tuple(f"{name}-{number}" for number in range(count))
    return (PodSet(namespace=namespace, labels=dict(labels), ports=ports, pods=names),)


CHECKOUT = pods("prod", "checkout", {"app": "checkout-api"}, PodPort(port=8080, checked=True), PodPort(port=9090))
NGINX = pods("ingress-nginx", "nginx", {"app.kubernetes.io/name": "ingress-nginx"}, PodPort(port=80))
DEBUG = pods("default", "debug", {"run": "debug"}, PodPort(port=7000, checked=True))


def kubernetes(*sets: PodSet, owners: Mapping[str, str] | None = None, **policies: str) -> Kubernetes:
    """What an API server says of running pods, and of policies of namespace prod as YAML."""
    names = [(each.namespace, name) for each in sets for name in each.pods]
    return Kubernetes(
        namespaces=tuple(Namespace(name=name, labels=labels) for name, labels in PLACES.items()),
        pods=tuple(
            Pod(
                namespace=namespace,
                name=name,
                phase="Running",
                ready=True,
                ip=f"100.64.0.{number}",
                owner=(owners or {}).get(name),
            )
            for number, (namespace, name) in enumerate(names, start=1)
        ),
        network_policies=tuple(
            network_policy(
                {"metadata": {"namespace": "prod", "name": name.replace("_", "-")}, "spec": yaml.safe_load(text)}
            )
            for name, text in policies.items()
        ),
        pod_sets=sets,
    )


def cluster(*sets: PodSet, owners: Mapping[str, str] | None = None, **policies: str) -> Cluster:
    """A cluster of running pods, and policies of namespace prod as YAML."""
    made = cluster_of(kubernetes(*sets, owners=owners, **policies))
    assert isinstance(made, Cluster)
    return made


def said(plan: ProbePlan, policy: str) -> list[tuple[str, ...]]:
    return [
        (
            each.expects.value,
            each.namespace,
            ",".join(f"{key}={value}" for key, value in each.labels.items()),
            f"{each.target_namespace}/{each.target}:{each.port}",
        )
        for each in plan.probes
        if each.policy == f"prod/{policy}"
    ]


ALL = cluster(*CHECKOUT, *NGINX, *DEBUG, deny_all=DENY_ALL, from_ingress=FROM_INGRESS)


# Probes


def test_the_probes_of_an_allowed_ingress_are_right_and_wrong_in_each_way() -> None:
    right = "app.kubernetes.io/name=ingress-nginx"
    assert said(plan_probes(ALL, run="r"), "from-ingress") == [
        ("allowed", "ingress-nginx", right, "prod/checkout-0:8080"),
        ("denied", "ingress-nginx", "app.kubernetes.io/name=headroom-wrong", "prod/checkout-0:8080"),
        ("denied", "default", right, "prod/checkout-0:8080"),
        ("denied", "ingress-nginx", right, "prod/checkout-0:9090"),
        ("denied", "default", "", "prod/checkout-0:8080"),
    ]


def test_a_default_deny_is_probed_from_outside_and_from_within() -> None:
    """From within the namespace its own egress rule would deny too, so nothing would be shown of ingress."""
    assert said(plan_probes(ALL, run="r"), "deny-all") == [
        ("denied", "default", "", "prod/checkout-0:8080"),
        ("denied", "prod", "", "default/debug-0:7000"),
    ]


def test_each_way_in_which_pods_are_selected_is_probed() -> None:
    spec = "{podSelector: {}, policyTypes: [Ingress]}"
    other = pods("prod", "db", {"app": "db"}, PodPort(port=5432, checked=True), count=3)
    plan = plan_probes(cluster(*CHECKOUT, *other, deny=spec, from_ingress=FROM_INGRESS), run="r", only=["prod/deny"])
    assert {each.target for each in plan.probes} == {"checkout-0", "db-0"}


def test_every_requirement_of_a_selector_is_broken_once() -> None:
    spec = """
    podSelector: {}
    ingress:
      - from:
          - podSelector:
              matchLabels: {app: web}
              matchExpressions:
                - {key: tier, operator: In, values: [front, edge]}
                - {key: zone, operator: Exists}
                - {key: legacy, operator: DoesNotExist}
                - {key: stage, operator: NotIn, values: [test]}
    """
    plan = plan_probes(cluster(*CHECKOUT, web=spec), run="r")
    right = {"app": "web", "tier": "front", "zone": "headroom"}
    wrong = [each.labels for each in plan.probes if each.why.startswith("wrong label")]
    assert [each.labels for each in plan.probes if each.expects is Expectation.ALLOWED] == [right]
    assert wrong == [
        {**right, "app": "headroom-wrong"},
        {**right, "tier": "headroom-wrong"},
        {"app": "web", "tier": "front"},
        {**right, "legacy": "headroom-wrong"},
        {**right, "stage": "test"},
    ]


def test_an_egress_rule_is_probed_to_pods_that_it_names_and_to_others() -> None:
    spec = """
    podSelector: {matchLabels: {app: checkout-api}}
    policyTypes: [Egress]
    egress:
      - to: [{podSelector: {matchLabels: {app: db}}}]
        ports: [{port: 5432}]
      - to: [{ipBlock: {cidr: 203.0.113.0/24}}]
    """
    db = pods("prod", "db", {"app": "db"}, PodPort(port=5432, checked=True))
    plan = plan_probes(cluster(*CHECKOUT, *db, *DEBUG, out=spec), run="r")
    assert said(plan, "out") == [
        ("allowed", "prod", "app=checkout-api", "prod/db-0:5432"),
        ("denied", "prod", "app=checkout-api", "prod/checkout-0:8080"),
        ("denied", "prod", "app=checkout-api", "default/debug-0:7000"),
    ]
    assert [(each.what, each.because) for each in plan.unprobed] == [
        (
            "egress rule 2: 203.0.113.0/24",
            "a probe goes to pods only, and what a block means for those is the engine's",
        )
    ]


def test_a_wrong_source_that_another_policy_allows_is_no_denied_probe() -> None:
    everybody = "{podSelector: {matchLabels: {app: checkout-api}}, ingress: [{ports: [{port: 8080}]}]}"
    made = cluster(*CHECKOUT, *NGINX, *DEBUG, from_ingress=FROM_INGRESS, everybody=everybody)
    plan = plan_probes(made, run="r", only=["prod/from-ingress"])
    assert {(each.expects.value, each.port) for each in plan.probes} == {("allowed", 8080), ("denied", 9090)}
    assert any(
        each.because == "it is allowed, by prod/everybody" and "wrong label" in each.what for each in plan.unprobed
    )


def test_what_both_ends_deny_says_nothing_of_one_of_them_unless_it_gets_through() -> None:
    made = cluster(*CHECKOUT, deny_in="{podSelector: {}}", deny_out="{podSelector: {}, policyTypes: [Egress]}")
    within = replace(made, world=replace(made.world, namespaces={"prod": {}}))
    plan = plan_probes(within, run="r", only=["prod/deny-in"])
    (probe,) = plan.probes
    assert (probe.shared, probe.controlled, probe.namespace) == ("prod/deny-out", False, "prod")
    name = job_of(plan)[probe.probe_id]
    for outcome, verdict in ((Outcome.TIMEOUT, Verdict.UNDECIDED), (Outcome.CONNECTED, Verdict.NOT_ENFORCED)):
        answers = {probe.probe_id: Answer(outcome=outcome, tries=2)}
        answers["self"] = Answer(outcome=Outcome.CONNECTED, tries=1)
        sources = {name: SourceRun(address="100.64.9.9", answers=answers)}
        (found,) = judge_run(plan, ProbeRun(sources=sources, targets=READY, targets_read=True))
        assert found.verdict is verdict
        assert "prod/deny-out denies it as well" in found.results[0].because or outcome is Outcome.CONNECTED


def test_a_snapshot_under_pseudonyms_has_the_same_probes_and_findings() -> None:
    stray = pods("prod", "stray", {"app.kubernetes.io/name": "checkout-api"}, PodPort(port=8080))
    private = pods("prod", "db", {"acme.example/role": "db"}, PodPort(port=5432, name="sql", checked=True))
    named = """
    podSelector: {matchLabels: {acme.example/role: db}}
    ingress: [{from: [{podSelector: {matchLabels: {app: checkout-api}}}], ports: [{port: sql}]}]
    """
    original = Snapshot(
        kubernetes=kubernetes(*CHECKOUT, *NGINX, *DEBUG, *stray, *private, from_ingress=FROM_INGRESS, named=named)
    )
    renamed = pseudonymised(original, b"key")
    assert "acme" not in dump(renamed)
    shapes = []
    for each in (original, renamed):
        assert isinstance(each.kubernetes, Kubernetes)
        made = cluster_of(each.kubernetes)
        assert isinstance(made, Cluster)
        found = findings(made)
        plan = plan_probes(made, run="r", idle=idle(found))
        probes = sorted((p.expects.value, p.direction, p.port, len(p.labels), p.controlled) for p in plan.probes)
        shapes.append(([f.kind for f in found], probes, len(plan.unprobed)))
    assert shapes[0] == shapes[1]
    assert shapes[0][0] == [FindingKind.BYPASS]


@pytest.mark.parametrize(
    ("ports", "because"),
    [
        ("{protocol: UDP, port: 53}", "only TCP says whether a connection came about"),
        ("{port: 4444}", "no running pod that it is about declares such a port"),
        ("{port: metrics}", "no running pod that it is about declares such a port"),
    ],
)
def test_what_cannot_be_probed_is_said(ports: str, because: str) -> None:
    spec = f"{{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{}}}}], ports: [{ports}]}}]}}"
    plan = plan_probes(cluster(*CHECKOUT, p=spec), run="r")
    assert because in {each.because for each in plan.unprobed}
    assert not [each for each in plan.probes if each.expects is Expectation.ALLOWED]


def test_pods_of_the_host_network_without_an_address_or_a_port_are_no_targets() -> None:
    hosts = PodSet(namespace="prod", host_network=True, ports=(PodPort(port=9100),), pods=("agent",))
    made = cluster(hosts, *pods("prod", "idle", {"app": "idle"}), deny=DENY_ALL)
    assert made.targets == ()


def test_a_label_that_a_job_sets_itself_is_not_used() -> None:
    spec = "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {job-name: report}}}]}]}"
    plan = plan_probes(cluster(*CHECKOUT, p=spec), run="r")
    assert "no namespace or labels that a probe could have fit its peer" in {each.because for each in plan.unprobed}
    assert all(not OWN_KEYS & each.labels.keys() for each in plan.probes)


def test_what_is_unknown_of_the_cluster_decides_nothing() -> None:
    denied = Unknown(Reason.DENIED, "no")
    found = cluster_of(Kubernetes(namespaces=denied, network_policies=(), pods=(), pod_sets=()))
    assert found == (("namespaces", denied),)


@given(SELECTORS)
def test_fitting_labels_fit_and_broken_ones_do_not(selector: dict[str, Any]) -> None:
    spec = {"podSelector": selector}
    made: LabelSelector = network_policy({"metadata": {"namespace": "n", "name": "p"}, "spec": spec}).pods
    labels = fitting(made)
    assert labels is None or picks(made, labels)
    for broken, _ in breaking(made):
        assert not picks(made, broken)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(POLICIES, min_size=1, max_size=4))
def test_every_probe_expects_what_all_policies_together_say(policies: list[dict[str, Any]]) -> None:
    sets = tuple(
        PodSet(
            namespace=namespace,
            labels=labels,
            ports=(PodPort(port=80, name="http"), PodPort(port=5432, name="sql")),
            pods=(f"{namespace}-{number}",),
        )
        for namespace in ("a", "b", "c")
        for number, labels in enumerate(({"app": "web"}, {"app": "db", "tier": "web"}, {}))
    )
    named = [{**each, "metadata": {**each["metadata"], "name": f"p{n}"}} for n, each in enumerate(policies)]
    names = [(each.namespace, each.pods[0]) for each in sets]
    made = cluster_of(
        Kubernetes(
            namespaces=tuple(
                Namespace(name=name, labels=labels) for name, labels in (("a", {"team": "x"}), ("b", {}), ("c", {}))
            ),
            pods=tuple(
                Pod(namespace=namespace, name=name, phase="Running", ready=True, ip=f"10.0.0.{number}")
                for number, (namespace, name) in enumerate(names, start=1)
            ),
            network_policies=tuple(map(network_policy, named)),
            pod_sets=sets,
        )
    )
    assert isinstance(made, Cluster)
    targets = {each.pod: each.face for each in made.targets}
    for probe in plan_probes(made, run="r").probes:
        own = {RUN_LABEL: "r", "job-name": "j", "batch.kubernetes.io/job-name": "j"}
        source = Face(namespace=probe.namespace, labels={**probe.labels, **own})
        attempt = Connection(source=source, target=targets[probe.target], port=probe.port)
        assert allowed(made.world, attempt).value == probe.expects.value
        side = judge(made.world, attempt, Direction(probe.direction))
        assert probe.policy in {f"{each.namespace}/{each.name}" for each in side.isolating}
        other = next(each for each in Direction if each.value != probe.direction)
        assert side.decision.value == probe.expects.value
        # Where the other end denies it too, a denial is said to show nothing of this policy.
        assert (judge(made.world, attempt, other).decision is Decision.DENIED) == bool(probe.shared)
        assert not (probe.shared and probe.controlled)


# Findings


def kinds(found: Cluster, azure: Azure | None = None) -> list[tuple[str, str]]:
    return [(each.kind.value, each.policy.removeprefix("prod/")) for each in findings(found, azure)]


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ({"p": "{podSelector: {matchLabels: {app: gone}}}"}, [("selects no pod", "p")]),
        ({"p": "{podSelector: {}, ingress: [{}]}"}, [("allows everything", "p")]),
        ({"p": "{podSelector: {}, ingress: [{from: []}]}"}, [("allows everything", "p")]),
        ({"p": "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"}, []),
        (
            {"p": "{podSelector: {}, policyTypes: [Ingress], egress: [{}]}"},
            [("rules without effect", "p")],
        ),
        (
            {"p": "{podSelector: {}, policyTypes: [Egress], ingress: [{}]}"},
            [("rules without effect", "p")],
        ),
        (
            {"deny": "{podSelector: {}}", "open": "{podSelector: {}, ingress: [{}]}"},
            [("shadowed", "deny"), ("allows everything", "open")],
        ),
        # One pod that is not opened is enough.
        ({"deny": "{podSelector: {}}", "open": OPENED.replace("APP", "db")}, [("allows everything", "open")]),
        ({"deny": "{podSelector: {}}", "open": OPENED.replace("APP", "checkout-api")}, [("allows everything", "open")]),
        # In one direction only.
        ({"p": "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}]}"}, []),
        ({"deny": DENY_ALL, "open": "{podSelector: {}, ingress: [{}]}"}, [("allows everything", "open")]),
        (
            {"p": "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"},
            [("block of everything", "p")],
        ),
    ],
)  # fmt: skip
def test_a_policy_that_denies_nothing_is_found(policies: dict[str, str], expected: list[tuple[str, str]]) -> None:
    db = pods("prod", "db", {"app": "db"}, PodPort(port=5432))
    assert kinds(cluster(*CHECKOUT, *db, owners=None, **policies)) == expected


def test_what_shadows_a_policy_is_named() -> None:
    made = cluster(*CHECKOUT, deny="{podSelector: {}}", open_="{podSelector: {}, ingress: [{}]}")
    (shadowed, _) = findings(made)
    assert shadowed.what == "It denies nothing: all that it leaves out is allowed by prod/open-."
    assert idle(findings(made)) == ("prod/deny", "prod/open-")


@pytest.mark.parametrize(
    ("labels", "owner", "evidence"),
    [
        ({"app": "checkout_api"}, "", "app is checkout_api, and the policy asks for checkout-api"),
        ({"app.kubernetes.io/name": "checkout-api"}, "", "app.kubernetes.io/name is checkout-api"),
        ({"app": "other"}, "Deployment/checkout", "Deployment/checkout has pods that it selects"),
    ],
)
def test_a_pod_that_slips_past_a_policy_is_told_with_the_evidence(
    labels: dict[str, str], owner: str, evidence: str
) -> None:
    stray = pods("prod", "stray", labels, PodPort(port=8080))
    owners = {"checkout-0": "Deployment/checkout", "stray-0": owner}
    made = cluster(*CHECKOUT, *stray, owners=owners, from_ingress=FROM_INGRESS)
    (found,) = findings(made)
    assert (found.kind, found.policy) == (FindingKind.BYPASS, "prod/from-ingress")
    assert found.what == "It does not select stray-0, which nothing isolates (ingress)."
    assert found.evidence[0].startswith(evidence)


def test_a_missing_label_beside_the_right_application_is_told() -> None:
    spec = "{podSelector: {matchLabels: {app: checkout-api, tier: web}}}"
    right = pods("prod", "right", {"app": "checkout-api", "tier": "web"}, PodPort(port=8080))
    (found,) = findings(cluster(*CHECKOUT, *right, p=spec))
    assert found.evidence[0] == "app is checkout-api as the policy asks, and tier is missing"


def test_an_isolated_pod_another_component_or_another_number_does_not_slip_past() -> None:
    stray = pods("prod", "stray", {"app": "checkout_api"}, PodPort(port=8080))
    assert kinds(cluster(*CHECKOUT, *stray, *NGINX, deny_all=DENY_ALL, from_ingress=FROM_INGRESS)) == []
    spec = "{podSelector: {matchLabels: {app: checkout-api, tier: web}}}"
    tiers = [pods("prod", tier, {"app": "checkout-api", "tier": tier}, PodPort(port=80)) for tier in ("web", "worker")]
    assert kinds(cluster(*(each for tier in tiers for each in tier), p=spec)) == []
    numbered = [pods("prod", name, {"app": name}, PodPort(port=80)) for name in ("shard-1", "shard-2")]
    one = "{podSelector: {matchLabels: {app: shard-1}}}"
    assert kinds(cluster(*(each for number in numbered for each in number), p=one)) == []


@pytest.mark.parametrize(("engine", "expected"), [("none", 1), (None, 1), ("calico", 0), (Unknown(), 0)])
def test_a_cluster_without_an_engine_is_told(engine: Any, expected: int) -> None:
    azure = Azure(cluster=ManagedCluster(cluster_id="/c", name="c", network=NetworkProfile(network_policy=engine)))
    found = findings(ALL, azure)
    assert sum(each.kind is FindingKind.NO_ENGINE for each in found) == expected


# Jobs


def test_a_job_carries_the_probes_of_one_source_and_little_else() -> None:
    plan = plan_probes(ALL, run="r")
    made = jobs(plan)
    assert len(made) == len({(each.namespace, tuple(each.labels.items())) for each in plan.probes}) == 5
    for job in made:
        pod = job["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        assert pod["metadata"]["labels"][RUN_LABEL] == job["metadata"]["labels"][RUN_LABEL] == "r"
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["readinessGates"], "no Service may send it anything"
        assert "volumes" not in pod["spec"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["image"] == IMAGE
        assert job["spec"]["ttlSecondsAfterFinished"] == 3600
        assert len(job["metadata"]["name"]) <= 63
    assert {(each.probe_id, each.expects.value) for each in plan.probes} == {
        pair for job in made for pair in zip(arguments(job)[1::3], arguments(job)[::3], strict=True)
    }


def test_many_probes_of_one_source_are_several_jobs() -> None:
    one = next(each for each in plan_probes(ALL, run="r").probes)
    many = tuple(replace(one, probe_id=f"{number:08x}", port=number) for number in range(1, 2 * MOST_PROBES + 2))
    made = jobs(ProbePlan(run="r", probes=many))
    assert [len(arguments(each)) // 3 for each in made] == [MOST_PROBES, MOST_PROBES, 1]
    assert len({each["metadata"]["name"] for each in made}) == 3


def test_the_answers_of_a_full_job_fit_a_termination_message() -> None:
    assert len("self connected 6\n" + "0123abcd connected 8\n" * MOST_PROBES) < 4096


PINNED = (IMAGE, "mirror.example/agnhost@sha256:" + "a" * 64)
LOOSE = ("mirror.example/agnhost:2.53", "agnhost@sha256:" + "a" * 63, "@sha256:" + "a" * 64, "")


@pytest.mark.parametrize("image", [*PINNED, *LOOSE])
def test_an_image_is_pinned_by_its_digest(image: str) -> None:
    assert is_pinned(image) is (image in PINNED)


def test_a_plan_is_read_back_as_it_was() -> None:
    plan = plan_probes(ALL, run="r")
    assert decode(ProbePlan, encode(plan), subject="plan") == plan


# Verdicts

PLAN = plan_probes(ALL, run="r")
JOBS = job_of(PLAN)
READY = {(each.target_namespace, each.target): (each.address, True) for each in PLAN.probes}
GOOD = {Expectation.ALLOWED: Outcome.CONNECTED, Expectation.DENIED: Outcome.TIMEOUT}


def run(changes: Mapping[str, Outcome | None] | None = None, *, network: bool = True, **more: Any) -> ProbeRun:
    """A run in which all is as expected, but for some probes by their words; ``None``: no answer."""
    answers: dict[tuple[str, str], dict[str, Answer]] = {}
    for probe in PLAN.probes:
        outcome = next((what for why, what in (changes or {}).items() if why in probe.why), GOOD[probe.expects])
        found = answers.setdefault(JOBS[probe.probe_id], {})
        if network and not probe.confined:
            found["self"] = Answer(outcome=Outcome.CONNECTED, tries=1)
        if outcome is not None:
            found[probe.probe_id] = Answer(outcome=outcome, tries=2)
    sources = {name: SourceRun(address="100.64.9.9", answers=found) for name, found in answers.items()}
    return ProbeRun(**{"sources": sources, "targets": READY, "targets_read": True, **more})


def verdicts(ran: ProbeRun) -> dict[str, Verdict]:
    return {each.policy.removeprefix("prod/"): each.verdict for each in judge_run(PLAN, ran)}


def of(ran: ProbeRun, policy: str) -> PolicyVerdict:
    return next(each for each in judge_run(PLAN, ran) if each.policy == f"prod/{policy}")


def test_a_port_that_nothing_shows_to_listen_counts_only_if_it_is_reached() -> None:
    assert [each.port for each in PLAN.probes if not each.controlled] == [9090]
    found = of(run(), "from-ingress")
    assert found.because == "3 denied and 1 allowed probes, all as expected."
    assert [each.state for each in found.results if not each.probe.controlled] == [State.UNDECIDED]
    assert of(run({"port 9090": Outcome.CONNECTED}), "from-ingress").verdict is Verdict.NOT_ENFORCED


def test_all_as_expected_is_enforced() -> None:
    assert verdicts(run()) == {"deny-all": Verdict.ENFORCED, "from-ingress": Verdict.ENFORCED}
    assert exit_code(judge_run(PLAN, run())) == 0


def test_a_denied_probe_that_got_through_is_a_policy_not_enforced() -> None:
    ran = run({"wrong label": Outcome.CONNECTED})
    assert verdicts(ran) == {"deny-all": Verdict.ENFORCED, "from-ingress": Verdict.NOT_ENFORCED}
    assert of(ran, "from-ingress").because == "1 of 4 denied probes got through."
    assert exit_code(judge_run(PLAN, ran)) == 1


def test_an_allowed_probe_that_failed_is_a_broken_policy() -> None:
    ran = run({"right labels, ": Outcome.TIMEOUT})
    assert of(ran, "from-ingress").verdict is Verdict.BROKEN
    assert exit_code(judge_run(PLAN, ran)) == 1


def test_a_denial_without_its_control_decides_nothing() -> None:
    """A dead target and a source without a network look like a denial."""
    dead = run({"right labels, ": Outcome.TIMEOUT}, targets={name: (ip, False) for name, (ip, _) in READY.items()})
    assert set(verdicts(dead).values()) == {Verdict.UNDECIDED}
    cut_off = run({"right labels, ": Outcome.TIMEOUT}, network=False)
    assert of(cut_off, "from-ingress").verdict is Verdict.UNDECIDED
    assert exit_code(judge_run(PLAN, cut_off)) == 3


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.OTHER, None])
def test_a_refusal_an_error_and_no_answer_decide_nothing(outcome: Outcome | None) -> None:
    assert of(run({"wrong label": outcome}), "from-ingress").verdict is Verdict.UNDECIDED


def test_a_job_that_did_not_run_decides_nothing_and_says_why() -> None:
    ran = run(sources={name: SourceRun(because="the pod waits: ImagePullBackOff") for name in JOBS.values()})
    found = of(ran, "from-ingress")
    assert found.verdict is Verdict.UNDECIDED
    assert {each.because for each in found.results} == {"the pod waits: ImagePullBackOff"}
    assert set(verdicts(ProbeRun()).values()) == {Verdict.UNDECIDED}


def test_a_target_that_was_replaced_meanwhile_decides_nothing() -> None:
    moved = dict.fromkeys(READY, ("100.64.7.7", True))
    assert set(verdicts(run(targets=moved)).values()) == {Verdict.UNDECIDED}


def test_a_source_whose_address_a_policys_block_covers_decides_nothing() -> None:
    plan = replace(PLAN, blocks=("100.64.9.0/24 except 100.64.9.128/25",))
    assert {each.verdict for each in judge_run(plan, run())} == {Verdict.UNDECIDED}
    beside = replace(PLAN, blocks=("100.64.9.0/24 except 100.64.9.0/25",))
    assert {each.verdict for each in judge_run(beside, run())} == {Verdict.ENFORCED}


def test_a_policy_that_denies_nothing_is_told_so_whatever_came() -> None:
    plan = ProbePlan(run="r", policies=("prod/open",), idle=("prod/open",))
    (found,) = judge_run(plan, ProbeRun())
    assert (found.verdict, exit_code([found])) == (Verdict.DENIES_NOTHING, 1)


def test_allowed_probes_alone_do_not_show_that_a_policy_denies() -> None:
    allowed_only: tuple[Probe, ...] = tuple(each for each in PLAN.probes if each.expects is Expectation.ALLOWED)
    plan = replace(PLAN, probes=allowed_only, policies=("prod/from-ingress",))
    name = job_of(plan)[allowed_only[0].probe_id]
    answers = {"self": Answer(outcome=Outcome.CONNECTED, tries=1)}
    answers[allowed_only[0].probe_id] = Answer(outcome=Outcome.CONNECTED, tries=1)
    (found,) = judge_run(plan, ProbeRun(sources={name: SourceRun(address="100.64.9.9", answers=answers)}))
    assert found.verdict is Verdict.UNDECIDED
    assert found.results[0].state is State.MET


def test_a_policy_that_took_hold_late_is_told() -> None:
    ran = run()
    late = {
        name: replace(source, answers={key: replace(each, tries=4) for key, each in source.answers.items()})
        for name, source in ran.sources.items()
    }
    found = of(replace(ran, sources=late), "deny-all")
    assert found.verdict is Verdict.ENFORCED
    assert all("took hold after the pod had started" in each.because for each in found.results)


def test_lines_of_another_form_are_no_answers() -> None:
    text = "self connected 1\nab12 maybe 2\nab13 timeout\nab14 timeout two\n\nab15 timeout 2 more\nab16 refused 3\n"
    assert answers_of(text) == {
        "self": Answer(outcome=Outcome.CONNECTED, tries=1),
        "ab16": Answer(outcome=Outcome.REFUSED, tries=3),
    }
