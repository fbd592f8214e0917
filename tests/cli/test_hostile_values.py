"""Hostile values in files: every field of saved facts in turn, what is known of a case, and outputs in a bundle.

A file's author is told each wrong value; what a service answered becomes unknown. Nothing ends in a traceback.
"""

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.cli import main
from headroom.collect.bundle import read_bundle
from headroom.collect.case import case_of
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.document import dump, from_json, load
from headroom.facts.snapshot import Snapshot
from headroom.planning.conditions import State, evaluate
from headroom.planning.plan import Plan, plan_from_json, plan_to_json
from headroom.planning.planner import make_plan
from headroom.planning.recheck import recheck
from headroom.report.markdown import to_markdown
from headroom.report.terminal import plain_lines
from tests.cli.conftest import Run
from tests.collect.test_offline_bundles import event, kubectl, node

INCIDENTS = Path(__file__).parents[1] / "incidents"
NAME = "eks-leaked-enis"
HOSTILE: dict[str, Any] = {
    "negative": -1,
    "huge": 10**30,
    "not-a-number": float("nan"),
    "text": "x",
    "list": [],
    "object": {},
    "largest": 2**31 - 1,
}
Path_ = tuple[str | int, ...]


def leaves(value: Any, path: Path_ = (), general: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Path_]]:
    """Places of a document's values, each with its general place, which leaves out where in a list it is."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key), (*general, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*path, index), (*general, "#"))
    if path:
        yield general, path


def with_value(document: Any, path: Path_, value: Any) -> Any:
    if not path:
        return value
    changed: Any = dict(document) if isinstance(document, dict) else list(document)
    changed[path[0]] = with_value(document[path[0]], path[1:], value)
    return changed


def document_of(name: str) -> Any:
    return json.loads((INCIDENTS / name / "facts.json").read_text(encoding="utf-8"))


DOCUMENT = document_of(NAME)
FACTS = from_json(DOCUMENT)
PLAN = make_plan(FACTS, diagnose(FACTS))
PLACES: dict[tuple[str, ...], Path_] = dict(leaves(DOCUMENT))
GROUPS = sorted({place[:2] for place in PLACES})


def use(snapshot: Snapshot, plan: Plan = PLAN) -> Diagnosis:
    """What the commands do with a snapshot."""
    found = diagnose(snapshot)
    list(plain_lines(found, source="--facts x"))
    to_markdown(found, source="--facts x")
    if found.verdict is Verdict.FOUND:
        with contextlib.suppress(ProblemsError):
            make_plan(snapshot, found)
    recheck(plan, snapshot)
    evaluate(plan, snapshot, waited_seconds=60)
    return found


@pytest.mark.parametrize("group", GROUPS, ids=".".join)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_every_field_of_saved_facts_is_refused_or_used_and_never_ends_in_a_traceback(
    group: tuple[str, ...], value: Any
) -> None:
    for general, path in PLACES.items():
        if general[:2] != group:
            continue
        try:
            snapshot = from_json(with_value(DOCUMENT, path, value))
        except ProblemsError:
            continue
        use(snapshot)
        assert load(dump(snapshot)) == snapshot


# Plans: files that Git keeps and a hand may change.


@pytest.mark.parametrize("name", [NAME, "aks-pod-cidr-exhausted"])
def test_every_value_of_a_plan_is_refused_or_judged_and_never_ends_in_a_traceback(name: str) -> None:
    facts = from_json(document_of(name))
    document = plan_to_json(make_plan(facts, diagnose(facts)))
    for general, path in leaves(document):
        # What a plan writes and says is shown, and looked at by nobody.
        if general[0] in {"files", "steps", "rollback", "options"}:
            continue
        for value in HOSTILE.values():
            with contextlib.suppress(ProblemsError):
                plan = plan_from_json(with_value(document, path, value))
                recheck(plan, facts)
                evaluate(plan, facts, waited_seconds=60)


@pytest.mark.parametrize("words", [["plan", "--recheck"], ["verify", "--once", "--plan"]], ids=lambda words: words[0])
def test_a_plan_says_nothing_to_the_terminal_and_any_console_can_show_it(words: list[str], tmp_path: Path) -> None:
    facts = from_json(document_of(NAME))
    document = plan_to_json(make_plan(facts, diagnose(facts)))
    document["foundations"]["x"] = "\ud800\x1b[31m"
    document["postconditions"][0]["title"] = "\ud800\x1b[31m"
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document), encoding="utf-8")
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="cp1252", write_through=True)
    argv = ["headroom", words[0], "--facts", str(INCIDENTS / NAME / "facts.json"), *words[1:], str(plan)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdout", out),
        pytest.raises(SystemExit) as end,
    ):
        main()
    assert end.value.code in {1, 3}
    assert b"\\ud800\\x1b[31m" in raw.getvalue()
    assert b"\x1b" not in raw.getvalue()


def test_a_plan_whose_subject_was_taken_out_is_undecided() -> None:
    facts = from_json(document_of("aks-pod-cidr-exhausted"))
    plan = make_plan(facts, diagnose(facts))
    bare = tuple(replace(each, subjects=()) for each in plan.postconditions if each.subjects)
    (state,) = {each.state for each in evaluate(replace(plan, postconditions=bare[:1]), facts, waited_seconds=60)}
    assert state is State.UNKNOWN


def test_a_plan_that_is_nested_too_deeply_is_no_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("[" * 200_000, encoding="utf-8")
    for words in (["plan", "--recheck"], ["verify", "--plan"]):
        run = command(words[0], "--facts", str(INCIDENTS / NAME / "facts.json"), words[1], str(plan))
        assert (run.code, run.out) == (2, "")
        assert "is not JSON. Name a file that `headroom plan` wrote." in run.err


def command(*words: str) -> Run:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["headroom", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int | None)
    return Run(code or 0, out.getvalue(), err.getvalue())


@pytest.mark.parametrize("verb", ["diagnose", "plan", "report", "verify"])
def test_every_command_tells_all_wrong_values_of_a_file_at_once_and_ends_with_2(verb: str, tmp_path: Path) -> None:
    document = document_of(NAME)
    document["aws"]["subnets"][0]["availableAddresses"] = -5
    document["aws"]["subnets"][1]["cidrBlock"] = "10.0.0.1/8"
    document["collectedAt"] = "yesterday"
    document["kubernetes"]["nodes"][0]["maxPods"] = 10**30
    facts, plan = tmp_path / "facts.json", tmp_path / "plan.json"
    facts.write_text(json.dumps(document), encoding="utf-8")
    made = command("plan", "--facts", str(INCIDENTS / NAME / "facts.json"), "--json", "--dry-run")
    plan.write_text(made.out, encoding="utf-8")
    more = {"plan": ["--dry-run"], "report": ["-o", "-"], "verify": ["--plan", str(plan)]}.get(verb, [])
    run = command(verb, "--facts", str(facts), *more)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("facts.json: 4 problems\n")
    for place in (
        "collectedAt: ",
        "aws.subnets[0].availableAddresses: -5 stands where a whole number from 0 to ",
        'aws.subnets[1].cidrBlock: "10.0.0.1/8" stands where an IPv4 block ',
        "kubernetes.nodes[0].maxPods: 1000000000000000000000000000000 stands where ",
    ):
        assert place in run.err


# Case files.


KNOWN: dict[str, Any] = {
    "subnetFreeAddresses": 0,
    "subnetFreePrefixes": 0,
    "podsOnNode": 29,
    "interfacesOnNode": 3,
    "maxPods": 110,
    "nodes": 3,
    "pods": 60,
}


@pytest.mark.parametrize("key", KNOWN)
@pytest.mark.parametrize("value", [-1, 10**30, "-3", 2**31, 1.5, True, [], {}, "9" * 40], ids=str)
def test_a_count_that_can_be_none_is_a_problem_of_the_case_file(key: str, value: Any) -> None:
    with pytest.raises(ProblemsError) as refused:
        case_of({"lines": [], "known": {**KNOWN, key: value}})
    (problem,) = refused.value.problems
    assert problem.key == f"known.{key}"
    assert problem.next_step == "Write a whole number from 0, or words that begin with one."


@pytest.mark.parametrize("value", ["x", "ample", "more than 500", "NaN", None, "", "about -", "~1,900"], ids=str)
def test_words_about_a_count_are_taken_as_they_are(value: Any) -> None:
    snapshot = case_of({"lines": [], "known": {**KNOWN, "subnetFreeAddresses": value}})
    use(snapshot)
    assert load(dump(snapshot)) == snapshot


@pytest.mark.parametrize("value", [-1, 10**30, float("nan"), "x", [], {}, None, "99999999999999999999", "-1"], ids=str)
@pytest.mark.parametrize(
    "key", ["cniVersion", "kubernetesVersion", "instanceType", "WARM_IP_TARGET", "IP_COOLDOWN_PERIOD", "region", "x"]
)
def test_whatever_else_is_said_in_a_case_never_ends_in_a_traceback(key: str, value: Any) -> None:
    snapshot = case_of({"lines": ["failed to assign an IP address to container"], "known": {**KNOWN, key: value}})
    use(snapshot)


# Bundles: what a service answered is nobody's mistake.


ANSWERS: dict[str, tuple[str, Any]] = {
    "nodes.json": ("Node", node()),
    "events.json": ("Event", event("web-1")),
    "cronjobs.json": (
        "CronJob",
        {
            "metadata": {"name": "r", "namespace": "d"},
            "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"parallelism": 2}}},
            "status": {"lastScheduleTime": "2026-03-03T20:00:00Z", "active": [{"name": "r-1"}]},
        },
    ),
    "leases.json": (
        "Lease",
        {
            "metadata": {"name": "l", "namespace": "d"},
            "spec": {"holderIdentity": "h", "leaseDurationSeconds": 15, "renewTime": "2026-03-03T20:00:00.000001Z"},
        },
    ),
    "scaledobjects.json": (
        "ScaledObject",
        {
            "metadata": {"name": "s", "namespace": "d", "annotations": {"autoscaling.keda.sh/paused-replicas": "0"}},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "triggers": [{"type": "cpu"}]},
        },
    ),
    "cninodes.json": (
        "CNINode",
        {
            "metadata": {"name": "n"},
            "spec": {"features": [{"name": "SecurityGroupsForPods", "value": "x"}]},
            "status": {"trunkInterface": {"id": "eni-1", "branches": [{"id": "eni-2"}]}},
        },
    ),
    "namespaces.json": ("Namespace", {"metadata": {"name": "d", "labels": {"team": "a"}}}),
    "networkpolicies.json": (
        "NetworkPolicy",
        {
            "metadata": {"name": "p", "namespace": "d"},
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [
                            {"namespaceSelector": {"matchLabels": {"team": "a"}}},
                            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                        ],
                        "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}, {"port": "http"}],
                    }
                ],
                "egress": [{}],
            },
        },
    ),
    "jobs.json": (
        "Job",
        {
            "metadata": {"name": "r-1", "namespace": "d", "ownerReferences": [{"kind": "CronJob", "name": "r"}]},
            "spec": {"parallelism": 2},
            "status": {"ready": 1},
        },
    ),
}
DESCRIBED: dict[str, Any] = {
    "Subnets": [
        {
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "AvailabilityZone": "us-east-1a",
            "CidrBlock": "10.1.0.0/24",
            "AvailableIpAddressCount": 3,
        }
    ],
    "NetworkInterfaces": [
        {
            "NetworkInterfaceId": "eni-1",
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "Status": "in-use",
            "Attachment": {"InstanceId": "i-1", "DeviceIndex": 0, "AttachTime": "2026-03-03T20:00:00Z"},
            "PrivateIpAddresses": [{"PrivateIpAddress": "10.1.0.9", "Primary": True}],
            "Ipv4Prefixes": [{"Ipv4Prefix": "10.1.0.16/28"}],
        }
    ],
}


@pytest.mark.parametrize("value", [-1, 10**30, float("nan"), "x", [], {}, None], ids=str)
@pytest.mark.parametrize("name", [*ANSWERS, *DESCRIBED])
def test_every_value_of_an_answer_in_a_bundle_is_used_or_unknown(name: str, value: Any, tmp_path: Path) -> None:
    kind, whole = ANSWERS.get(name, ("", {name: DESCRIBED.get(name)}))
    for index, (_, path) in enumerate(leaves(whole)):
        folder = tmp_path / str(index)
        folder.mkdir()
        changed = with_value(whole, path, value)
        content = kubectl(kind, changed) if kind else json.dumps(changed).encode()
        (folder / "answer.json").write_bytes(content)
        try:
            snapshot = read_bundle(folder)
        except ProblemsError:
            continue  # nothing in it is what anybody would know
        assert load(dump(snapshot)) == snapshot, path
        use(snapshot)
