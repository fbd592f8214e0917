"""What the tests of the reports share: diagnoses, one of them hostile."""

from dataclasses import replace

import pytest

from headroom.diagnosis.history import history
from headroom.diagnosis.impact import escalations, impact
from headroom.diagnosis.verdict import (
    Cause,
    Confidence,
    Diagnosis,
    Evidence,
    Needed,
    NotIp,
    RootCause,
    RuledOut,
    Scope,
    Verdict,
)
from headroom.facts.aws import HealthIssue
from headroom.facts.snapshot import Snapshot, Source
from headroom.facts.values import Reason, Unknown
from headroom.rehearsal import made

SCRIPT = "<script>alert(1)</script>"
TURNED = "safe\u202egnp.exe\u2066"
BELL = "a\x1b]0;owned\x07b"
LONG = "x" * 5_000

CAUSE = Cause(
    root_cause=RootCause.SUBNET_EXHAUSTION,
    confidence=Confidence.PROVEN,
    scope=Scope(
        zones=("us-east-1a", "us-east-1b"),
        subnets=("subnet-0a1", "subnet-0b2"),
        nodes=tuple(f"n{i}" for i in range(14)),
    ),
    summary="37 pods wait on 14 nodes whose 2 subnets have no free address.",
    evidence=(
        Evidence(
            what="InsufficientFreeAddressesInSubnet",
            where="aws-node on 14 nodes",
            value="EC2 refused",
            count=412,
            when="20:51 to 21:13",
            source="amazon-vpc-cni-k8s",
        ),
        Evidence(what="AvailableIpAddressCount", where="subnet-0a1", value="0 free of 1,019", threshold="30 at once"),
    ),
    ruled_out=(RuledOut(cause="eni_limit", by="every node has a free slot"),),
)


def diagnosis_of(snapshot: Snapshot, *causes: Cause) -> Diagnosis:
    """A diagnosis with the real impact and history of a snapshot, and causes that are given."""
    return Diagnosis(
        verdict=Verdict.FOUND,
        causes=causes or (CAUSE,),
        impact=impact(snapshot, causes or (CAUSE,)),
        history=history(snapshot),
        escalations=escalations(snapshot, causes or (CAUSE,)),
        needed=(
            Needed(
                reading="cooldown of the pools",
                decides="between cooldown and the warm pool",
                command="kubectl logs",
                unknown=Unknown(Reason.DENIED, "pods/log"),
                changes_verdict=False,
            ),
        ),
        ruled_out=(RuledOut(cause="eni_limit", by="every node has a free slot"),),
        cluster="prod-use1",
        cloud="aws",
        collected_at="2026-03-03T21:14:00Z",
    )


@pytest.fixture(scope="session")
def snapshot() -> Snapshot:
    """The exhausted cluster with every kind of autoscaler stuck, and a source that could not be read."""
    issue = HealthIssue(code="AsgInstanceLaunchFailures", message="no addresses")
    taken = made.exhausted(
        failed_claims=1, launching_claims=("us-east-1a",), cluster_autoscaler=True, node_group_issues=(issue,)
    )
    return replace(taken, sources=(*taken.sources, Source(name="ipamd logs", outcome="denied (pods/log)")))


@pytest.fixture(scope="session")
def diagnosis(snapshot: Snapshot) -> Diagnosis:
    """What it comes to."""
    return diagnosis_of(snapshot)


@pytest.fixture(scope="session")
def healthy_diagnosis() -> Diagnosis:
    """Nothing is wrong."""
    taken = made.healthy()
    return Diagnosis(
        verdict=Verdict.HEALTHY,
        history=history(taken),
        escalations=escalations(taken, ()),
        ruled_out=(RuledOut(cause="subnet_exhaustion", by="549 free in every subnet"),),
        cluster="prod-use1",
    )


@pytest.fixture(scope="session")
def undecided_diagnosis() -> Diagnosis:
    """Nothing could be read."""
    return Diagnosis(
        verdict=Verdict.UNDECIDED,
        needed=(
            Needed(
                reading="AvailableIpAddressCount",
                decides="whether subnets are full",
                command="aws ec2 describe-subnets",
                unknown=Unknown(Reason.DENIED, "ec2:DescribeSubnets"),
            ),
        ),
    )


@pytest.fixture(scope="session")
def not_ip_diagnosis() -> Diagnosis:
    """Something else is wrong."""
    return Diagnosis(
        verdict=Verdict.NOT_IP,
        not_ip=(NotIp(what="image pull", evidence=(Evidence(what="ErrImagePull", where="pod d/x", count=3),)),),
    )


@pytest.fixture(scope="session")
def hostile_snapshot() -> Snapshot:
    """A cluster whose names are attacks on whoever reads them."""
    workloads = (
        made.MadeWorkload(name=SCRIPT, namespace=TURNED, replicas=12, ready=2, priority=(BELL, 9)),
        made.MadeWorkload(name=LONG, namespace="`|@all #1", replicas=10, ready=2),
        made.MadeWorkload(
            name="'\"><img src=x onerror=alert(1)>", namespace="batch", replicas=20, priority=("low", -9), service=False
        ),
    )
    cluster = replace(
        made.EXHAUSTED, workloads=workloads, cluster=f"{SCRIPT}-{TURNED}", environment={"WARM_ENI_TARGET": "1"}
    )
    return made.make_snapshot(cluster)


@pytest.fixture(scope="session")
def hostile_diagnosis(hostile_snapshot: Snapshot) -> Diagnosis:
    """What it comes to, with hostile evidence too."""
    cause = replace(
        CAUSE,
        summary=f"{SCRIPT} {TURNED} {BELL}",
        scope=Scope(zones=(SCRIPT, "us-east-1a"), nodes=(TURNED, LONG)),
        evidence=(Evidence(what=SCRIPT, where=TURNED, value=BELL, threshold=LONG, when=SCRIPT, source=SCRIPT),),
        ruled_out=(RuledOut(cause=SCRIPT, by=TURNED),),
    )
    found = diagnosis_of(hostile_snapshot, cause)
    needed = Needed(reading=SCRIPT, decides=TURNED, command=f"echo {SCRIPT} {BELL}")
    return replace(found, cluster=f"{SCRIPT}-{TURNED}", needed=(needed,), collected_at=SCRIPT)
