"""A diagnosis for programs: as JSON, and in the runbook's output format."""

import json
from dataclasses import replace

import pytest
import yaml

from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.document import runbook, to_json
from headroom.diagnosis.mitigation import MITIGATIONS, mitigation
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, Evidence, Needed, NotIp, RootCause, Verdict
from headroom.facts.snapshot import Line, Origin, Snapshot
from headroom.facts.values import Reason, Unknown

BARE = Snapshot(
    cloud="aws",
    lines=(Line(origin=Origin.POD_EVENT, text="add cmd: failed to assign an IP address to container"),),
)


def test_the_json_begins_with_what_everybody_asks_for(exhausted: Snapshot) -> None:
    found = to_json(diagnose(exhausted))
    assert list(found)[:4] == ["verdict", "causes", "impact", "needed"]
    assert found["verdict"] == "found"
    (cause,) = found["causes"]
    assert {"rootCause", "detail", "scope", "evidence", "ruledOut"} <= set(cause)
    assert (cause["rootCause"], cause["detail"]) == ("subnet_exhaustion", None)
    assert cause["scope"]["zones"] == ["us-east-1a", "us-east-1b"]
    assert {"what", "where", "value", "threshold", "when", "count", "source"} == set(cause["evidence"][0])
    assert all({"cause", "by"} == set(each) for each in cause["ruledOut"])


def test_the_json_is_json(exhausted: Snapshot) -> None:
    for diagnosis in (diagnose(exhausted), diagnose(BARE), diagnose(Snapshot())):
        assert json.loads(json.dumps(to_json(diagnosis))) == to_json(diagnosis)


def test_a_reading_that_is_needed_says_why_it_was_not_read() -> None:
    reason = Unknown(Reason.DENIED, "ec2:DescribeSubnets")
    needed = Needed(reading="subnets", decides="all", unknown=reason)
    found = to_json(Diagnosis(verdict=Verdict.UNDECIDED, needed=(needed,)))
    assert found["needed"][0]["unknown"] == {"$unknown": "denied", "detail": "ec2:DescribeSubnets"}
    assert found["needed"][0]["changesVerdict"] is True


def test_the_runbooks_yaml_has_its_keys_and_ours_beneath_one_of_our_own(exhausted: Snapshot) -> None:
    diagnosis = diagnose(exhausted)
    found = yaml.safe_load(yaml.safe_dump(runbook(diagnosis), sort_keys=False))
    assert list(found) == ["root_cause", "evidence", "severity", "mitigation", "headroom"]
    assert found["root_cause"].startswith("subnet_exhaustion — ")
    assert found["severity"] == "CRITICAL"
    assert set(found["mitigation"]) == {"immediate", "long_term"}
    assert all(set(each) == {"type", "content"} for each in found["evidence"])
    assert found["headroom"] == to_json(diagnosis)
    # EC2's count is a reading of the network, ipamd's words were searched for.
    assert {each["type"] for each in found["evidence"]} == {"network_diagnostics", "search"}


def test_the_runbooks_root_cause_names_the_detail(fragmented: Snapshot) -> None:
    assert runbook(diagnose(fragmented))["root_cause"] == "subnet_exhaustion — fragmentation"


@pytest.mark.parametrize(
    ("diagnosis", "root_cause", "severity"),
    [
        (Diagnosis(verdict=Verdict.HEALTHY), "healthy", "NONE"),
        (Diagnosis(verdict=Verdict.UNDECIDED), "undecided", "UNKNOWN"),
        (
            Diagnosis(verdict=Verdict.UNDECIDED, needed=(Needed(reading="ipamd.log", decides="all"),)),
            "undecided — needs ipamd.log",
            "UNKNOWN",
        ),
        (
            Diagnosis(verdict=Verdict.NOT_IP, not_ip=(NotIp(what="an image"), NotIp(what="a volume"))),
            "not_ip — an image; a volume",
            "INFO",
        ),
    ],
)
def test_the_runbooks_format_holds_every_verdict(diagnosis: Diagnosis, root_cause: str, severity: str) -> None:
    found = runbook(diagnosis)
    assert (found["root_cause"], found["severity"]) == (root_cause, severity)
    assert found["mitigation"]["immediate"]


def test_an_evidence_tells_all_that_is_known_of_it() -> None:
    evidence = Evidence(
        what="AvailableIpAddressCount", where="subnet-1", value="0 free", threshold="one", count=3, when="now"
    )
    cause = Cause(root_cause=RootCause.SUBNET_EXHAUSTION, evidence=(evidence,))
    (told,) = runbook(Diagnosis(verdict=Verdict.FOUND, causes=(cause,)))["evidence"]
    assert told["content"] == "AvailableIpAddressCount; 0 free; threshold: one; at subnet-1; 3 times; now"


def test_every_cause_has_something_to_do_at_once_and_for_good() -> None:
    for cause in (*Detail, *RootCause):
        assert MITIGATIONS[cause].immediate.startswith("Operator: ")
        assert MITIGATIONS[cause].long_term.endswith(".")


def test_without_a_cause_the_next_reading_is_what_to_do() -> None:
    assert "read what is needed: " in mitigation(diagnose(BARE)).immediate
    assert mitigation(Diagnosis(verdict=Verdict.HEALTHY)).immediate == "Nothing."


def test_the_same_snapshot_gives_the_same_document(leaking: Snapshot) -> None:
    assert json.dumps(to_json(diagnose(leaking))) == json.dumps(to_json(diagnose(replace(leaking))))
