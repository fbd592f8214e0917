"""Incidents from public threads: a few lines of each, what was known, and what it turned out to be.

`tests/data/log_cases.json` was given; `cases.json` beside this file was collected from other threads, and classified
before the signatures knew them. Each case cites its source.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headroom.collect.case import case_of
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.document import to_json
from headroom.diagnosis.verdict import Diagnosis, Verdict

HERE = Path(__file__).parent
GIVEN = json.loads((HERE.parent / "data" / "log_cases.json").read_text(encoding="utf-8"))
COLLECTED = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))

Case = Mapping[str, Any]


def diagnosis_of(case: Case) -> Diagnosis:
    known = {"cloud": case["cloud"], **case.get("known", case.get("context", {}))}
    return diagnose(case_of({"lines": case["lines"], "known": known}, name=case["id"]))


def labels(found: Diagnosis) -> list[str]:
    """What it was said to be, in the words of the cases: details, else root causes, else the verdict."""
    if found.causes:
        return [(cause.detail or cause.root_cause).value for cause in found.causes]
    return [found.verdict.value]


def acceptable(case: Case) -> set[str]:
    return {case["label"], *case.get("also_acceptable", ())}


@pytest.mark.parametrize("case", [*GIVEN, *COLLECTED], ids=lambda case: case["id"])
def test_an_incident_is_called_what_it_was_and_nothing_else(case: Case) -> None:
    found = diagnosis_of(case)
    assert labels(found)[0] in acceptable(case), case["why"]
    assert set(labels(found)) <= acceptable(case), case["why"]
    if found.verdict is Verdict.UNDECIDED:
        assert any(needed.changes_verdict for needed in found.needed), "undecided without a reading that would decide"
    if found.causes:
        assert all(cause.evidence for cause in found.causes)


def test_nearly_every_incident_is_called_by_its_first_name() -> None:
    exact = [case["id"] for case in GIVEN if labels(diagnosis_of(case))[0] == case["label"]]
    assert len(exact) >= len(GIVEN) - 1
    collected = [case["id"] for case in COLLECTED if labels(diagnosis_of(case))[0] == case["label"]]
    assert len(collected) >= len(COLLECTED) * 9 // 10


def test_what_is_no_address_problem_is_never_called_one() -> None:
    others = [case for case in (*GIVEN, *COLLECTED) if case["label"] == "not_ip"]
    assert len(others) > 40
    called = {case["id"]: labels(diagnosis_of(case)) for case in others}
    claimed = {name: found for name, found in called.items() if found not in (["not_ip"], ["undecided"])}
    allowed = {case["id"] for case in others if acceptable(case) - {"not_ip", "undecided"}}
    assert set(claimed) <= allowed


@pytest.mark.parametrize("case", GIVEN, ids=lambda case: case["id"])
def test_the_order_of_the_lines_does_not_change_a_cause(case: Case) -> None:
    turned = {**case, "lines": list(reversed(case["lines"]))}
    assert set(labels(diagnosis_of(turned))) <= acceptable(case)


@pytest.mark.parametrize("case", GIVEN, ids=lambda case: case["id"])
def test_noise_around_an_incident_does_not_change_what_it_is_called(case: Case) -> None:
    noise = [
        {"origin": "other", "text": "Normal  Pulled  3m  kubelet  Successfully pulled image nginx in 1.2s"},
        {"origin": "ipamd_log", "text": '{"level":"info","msg":"Starting L-IPAMD ..."}'},
        {"origin": "kubelet_log", "text": "I0303 20:27:17.1 1 kubelet.go:1] SyncLoop ADD source=api"},
    ]
    noisy = {**case, "lines": [noise[0], *case["lines"], *noise[1:]]}
    assert labels(diagnosis_of(noisy)) == labels(diagnosis_of(case))


@pytest.mark.parametrize("case", GIVEN[::5], ids=lambda case: case["id"])
def test_the_same_case_gives_the_same_document(case: Case) -> None:
    assert to_json(diagnosis_of(case)) == to_json(diagnosis_of(case))


BARE = "add cmd: failed to assign an IP address to container"


@pytest.mark.parametrize(
    ("told", "label"),
    [
        ("the node reached its maximum number of ENIs", "eni_limit"),
        ("the ENI limit is not reached", "undecided"),
        ("the account reached its ENI limit", "undecided"),
        ("we suspect that API calls are throttled", "undecided"),
        ("calls to EC2 were throttled", "throttling"),
        ("subnets have no free IPs", "subnet_exhaustion"),
        ("is the subnet exhausted?", "undecided"),
        ("the subnet is not exhausted", "undecided"),
        ("plenty of free IPs in the subnet", "undecided"),
        ("attached AmazonEKS_CNI_Policy to the node role, and it works", "iam"),
        ("the role has AmazonEKS_CNI_Policy attached", "undecided"),
    ],
)
def test_what_was_found_out_decides_and_what_is_suspected_does_not(told: str, label: str) -> None:
    case = {"id": "told", "cloud": "aws", "lines": [{"origin": "pod_event", "text": BARE}], "known": {"note": told}}
    assert labels(diagnosis_of(case)) == [label]


@pytest.mark.parametrize(
    ("range_shown", "pods", "label"),
    [
        ("10.244.3.1-10.244.3.254", 110, "host_local_leak"),
        ("10.244.3.0/24", 110, "host_local_leak"),
        ("10.244.3.0/24", 253, "overlay_node_block"),
        ("10.244.3.1-10.244.3.254", None, "undecided"),
    ],
)
def test_a_full_range_is_a_leak_where_the_pods_cannot_have_used_it_up(
    range_shown: str, pods: int | None, label: str
) -> None:
    text = f"failed to allocate for range 0: no IP addresses available in range set: {range_shown}"
    known = {} if pods is None else {"podsOnNode": pods}
    case = {"id": "range", "cloud": "azure", "lines": [{"origin": "pod_event", "text": text}], "known": known}
    assert labels(diagnosis_of(case)) == [label]


def test_every_case_cites_its_source() -> None:
    for case in (*GIVEN, *COLLECTED):
        assert case["source"]
        assert case["why"]
        assert case["lines"]
    ids = [case["id"] for case in (*GIVEN, *COLLECTED)]
    assert len(ids) == len(set(ids))
