"""The cluster's pod range has no block left for another node."""

from headroom.diagnosis.aks import Aks, Mode
from headroom.diagnosis.finding import AKS_CLUSTER, Finding, cause, refused_evidence
from headroom.diagnosis.reading import Reading
from headroom.diagnosis.verdict import Detail, Evidence, RuledOut
from headroom.facts.values import known

SOURCE = "Azure/AKS CHANGELOG, 2023-05-07; AKS, azure-cni-overlay-pod-expand"


def judge(reading: Reading) -> Finding:
    """What AKS or the controller of node ranges writes of it."""
    if reading.aks is not None:
        return _seen(reading, reading.aks)
    hits = reading.supporting(Detail.POD_CIDR_EXHAUSTED)
    if not hits:
        return Finding()
    return Finding(
        causes=(
            cause(
                reading,
                Detail.POD_CIDR_EXHAUSTED,
                hits=hits,
                summary="The cluster's pod range has no block left for another node.",
            ),
        )
    )


def _seen(reading: Reading, aks: Aks) -> Finding:
    """What Azure refused for the pod CIDR, nodes that were given no block, and the count of blocks."""
    if aks.mode in (Mode.POD_SUBNET, Mode.NODE_SUBNET):
        return Finding()
    given = aks.given
    refused = aks.refused_for_pod_cidr()
    fits = aks.capacity is not None and aks.capacity.nodes <= aks.capacity.blocks
    if fits and refused and not aks.failed_pools and not any(known(each.last_seen) for each in refused):
        # Of whatever time it was: all pools at their largest fit now, and none has failed.
        return Finding(needed=(AKS_CLUSTER,), contradiction=True)
    hits = reading.supporting(Detail.POD_CIDR_EXHAUSTED)
    without = [name for name, node in sorted(aks.nodes.items()) if aks.mode is Mode.KUBENET and node.pod_cidr is None]
    # What a kubenet cluster is not refused beforehand comes, and is given no block.
    is_full = given is not None and given.given - len(without) >= given.blocks
    if not refused and not (hits and (is_full or given is None)) and not (without and is_full):
        by = (RuledOut(cause=Detail.POD_CIDR_EXHAUSTED, by=str(given)),) if given is not None and not is_full else ()
        return Finding(
            ruled_out=by if not hits else (), needed=(AKS_CLUSTER,) if hits else (), contradiction=bool(hits)
        )
    seen = [refused_evidence(error, aks, source=SOURCE) for error in refused]
    if given is not None:
        blocks = f"{given.blocks:,} /24s"
        seen.append(Evidence(what="nodes", where=given.pod_cidr, value=f"{given.given:,} now", threshold=blocks))
        if aks.capacity is not None:
            most = f"{aks.capacity.nodes:,} with all pools at their largest, surge included"
            seen.append(Evidence(what="nodes", where=given.pod_cidr, value=most, threshold=blocks, source=SOURCE))
    range_told = f" {known(aks.network.pod_cidr)} has {given.blocks:,} /24s." if given is not None else ""
    return Finding(
        causes=(
            cause(
                reading,
                Detail.POD_CIDR_EXHAUSTED,
                hits=hits,
                seen=seen,
                names=without,
                subnets=(str(known(aks.network.pod_cidr)),) if given is not None else (),
                summary=f"The cluster's pod CIDR has too few /24s for its nodes.{range_told}",
            ),
        )
    )
