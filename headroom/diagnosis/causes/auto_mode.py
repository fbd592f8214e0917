"""EKS Auto Mode: there is no aws-node; its NodeClass names the pods' subnets."""

from headroom.diagnosis.finding import Finding, cause
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence
from headroom.facts.values import items, known


def judge(reading: Reading) -> Finding:
    """A NodeClass whose pod subnets or security groups cannot be used."""
    hits = reading.supporting(Detail.AUTO_MODE)
    seen: tuple[Evidence, ...] = ()
    aws, cluster = known(reading.snapshot.aws), reading.cluster
    if aws is not None and cluster is not None and known(aws.auto_mode) and (cluster.stuck or cluster.unscheduled):
        seen = tuple(
            Evidence(
                what=f"condition {condition.type} of NodeClass {node_class.name}",
                where=node_class.name,
                value=f"{condition.status}: {condition.reason} {condition.message}".strip(),
                source="EKS user guide, create-node-class",
            )
            for node_class in items(cluster.kubernetes.node_classes)
            if node_class.kind == "NodeClass"
            for condition in node_class.conditions
            if condition.status == "False" and ("Subnet" in condition.type or "SecurityGroup" in condition.type)
        )
    if not hits and not seen:
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.AUTO_MODE,
                hits=hits,
                seen=seen,
                summary="The NodeClass of EKS Auto Mode names pod subnets or security groups that it cannot use.",
            ),
        )
    )
