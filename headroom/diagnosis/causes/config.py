"""Settings, tags or ENIConfigs that keep the CNI from getting addresses."""

from headroom.capacity.settings import check_settings
from headroom.diagnosis.finding import Finding, cause, said, sentence
from headroom.diagnosis.reading import Hit, Reading
from headroom.diagnosis.verdict import Cause, Detail, Evidence
from headroom.facts.values import is_known, items, known

# Settings under which ipamd adds nothing to its pool (amazon-vpc-cni-k8s README).
_NOTHING_ADDED = ("DISABLE_NETWORK_RESOURCE_PROVISIONING", "ENABLE_IMDS_ONLY_MODE")
# Rules of check_settings that keep aws-node from starting or a pool from filling.
_FATAL_RULES = frozenset({"cni-one-ip-family", "cni-ipv6-mode"})


def judge(reading: Reading) -> Finding:
    """What is written of it, settings that contradict each other, and custom networking without an ENIConfig."""
    hits = list(reading.supporting(Detail.CONFIG))
    hits += _second_interface(reading)
    refused = [hit for hit in hits if _is_refused_change(reading, hit)]
    hits = [hit for hit in hits if hit not in refused and not _names_subnets_with_room(hit)]
    seen = [*_settings(reading), *_no_eni_config(reading)]
    causes: tuple[Cause, ...] = ()
    if hits or seen:
        causes = (cause(reading, Detail.CONFIG, hits=hits, seen=seen, summary=_summary(hits, seen)),)
    weak = reading.supporting(Detail.CONFIG, weak=True)
    fallback: tuple[Cause, ...] = ()
    if weak and not causes and reading.symptoms:
        fallback = (
            cause(
                reading,
                Detail.CONFIG,
                hits=weak,
                summary=sentence(weak[0].signature.means),
            ),
        )
    elif refused and reading.aks is not None and reading.aks.unscheduled:
        fallback = (cause(reading, Detail.CONFIG, hits=refused, summary=_summary(refused, [])),)
    return Finding(causes=causes, fallback=fallback)


def _summary(hits: list[Hit], seen: list[Evidence]) -> str:
    text = seen[0].value if seen else hits[0].signature.means
    return sentence(text)


def _second_interface(reading: Reading) -> list[Hit]:
    """A pool that is missing because the request is for an interface that the Azure plugin does not manage."""
    second = reading.of("azure-second-interface")
    return [*second, *reading.of("azure-ipam-empty")] if second and reading.of("azure-ipam-empty") else []


def _names_subnets_with_room(hit: Hit) -> bool:
    """The load balancer controller's list of qualified subnets is not empty: then it is not their filter."""
    return hit.signature.name == "load-balancer-finds-no-subnet" and 'qualified subnets: "["' in hit.line.text


def _is_refused_change(reading: Reading, hit: Hit) -> bool:
    """Of a running cluster: a change of the network that AKS refused and no pool failed of.

    It leaves the cluster as it was. Pods that wait for a node may wait for it, where nothing else is found.
    """
    aks = reading.aks
    live = aks is not None and aks.cluster is not None and not aks.failed_pools
    return live and hit.signature.name == "azure-range-conflict"


def _settings(reading: Reading) -> list[Evidence]:
    environment = reading.environment
    if environment is None or not _is_failing(reading):
        return []
    found = [
        said(name, f"{name}={environment[name]}: ipamd adds nothing to its pool")
        for name in _NOTHING_ADDED
        if environment.get(name, "").lower() in ("true", "1", "t")
    ]
    version = reading.version
    if version is not None:
        problems, _ = check_settings(environment, version)
        found += [
            Evidence(what=problem.value, where="aws-node", value=problem.message, source=problem.source)
            for problem in problems
            if problem.rule in _FATAL_RULES
        ]
    return found


def _is_failing(reading: Reading) -> bool:
    cluster = reading.cluster
    return bool(reading.symptoms or reading.of("ipamd-not-starting", "ipamd-hangs-at-start")) or (
        cluster is not None and bool(cluster.stuck)
    )


def _no_eni_config(reading: Reading) -> list[Evidence]:
    cluster = reading.cluster
    if cluster is None or reading.settings is None or not reading.settings.custom_networking or not cluster.stuck:
        return []
    configs = cluster.kubernetes.eni_configs
    if not is_known(configs) or any(known(each.subnet_id) for each in items(configs)):
        return []
    return [
        Evidence(
            what="AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true",
            where="aws-node",
            value="custom networking is on, and there is no ENIConfig with a subnet",
            source="EKS user guide, cni-custom-network",
        )
    ]
