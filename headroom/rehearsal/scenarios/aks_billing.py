"""One job whose database knows the old address alone: every night it runs, and fails if its address is not listed.

And one application whose replicas elect a leader, which alone writes: a second cluster would have a second one.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from headroom.collect.azure_session import azure_clients
from headroom.rehearsal import aks_estate as names
from headroom.rehearsal.aks_estate import Estate
from headroom.rehearsal.kube import CRON_JOBS, LEASES, Resource
from headroom.rehearsal.kubelets import Ended, Kubelet
from headroom.rehearsal.scenarios.aks_cluster import NAMESPACE, Running
from headroom.rehearsal.scenarios.aks_story import Story
from headroom.rehearsal.scenarios.incident import RehearsalFailedError

BILLING: Final = "billing-reconciliation"
LEADS, LEASE = "reports", "reports-writer"
"""An application whose replicas elect a leader, and the Lease by which they do."""
JOBS: Final = Resource(group_version="batch/v1", plural="jobs", kind="Job")
SQL_API: Final = "2021-11-01"


def billing_of(estate: Estate, cluster: str) -> Callable[[Kubelet, Mapping[str, Any], str], Ended | None]:
    """What the pods of a cluster run: the billing job connects to its database, from the cluster's own address."""

    def run(kubelet: Kubelet, pod: Mapping[str, Any], address: str) -> Ended | None:
        del kubelet, address
        if pod["metadata"].get("labels", {}).get("app") != BILLING:
            return None
        source = estate.outbound_address(cluster)
        allowed = source in firewall(estate)
        text = f"connected to {names.DATABASE} from {source}" if allowed else _refused(source)
        return Ended(code=0 if allowed else 1, log=text + "\n")

    return run


def _refused(source: str) -> str:
    """What Azure SQL answers a client that no rule lists (error 40615)."""
    return (
        f"Cannot open server '{names.DATABASE}' requested by the login. Client with IP address '{source}' is not "
        "allowed to access the server."
    )


def firewall(estate: Estate) -> set[str]:
    """The single addresses that the database lets in."""
    path = f"{estate.id_of('Microsoft.Sql/servers', names.DATABASE)}/firewallRules"
    clients = azure_clients(estate.arm.subscription, credential=estate.arm.credential(), options=estate.arm.options())
    try:
        rules = [rule["properties"] for rule in clients.every(path, SQL_API)]
    finally:
        clients.close()
    return {rule["startIpAddress"] for rule in rules if rule["startIpAddress"] == rule["endIpAddress"]}


def make_billing(running: Running, *, suspended: bool) -> None:
    """The CronJob."""
    template = {
        "metadata": {"labels": {"app": BILLING}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": BILLING, "image": f"registry.invalid/{BILLING}:1"}],
        },
    }
    spec = {
        "schedule": "0 2 * * *",
        "suspend": suspended,
        "jobTemplate": {"spec": {"backoffLimit": 0, "template": template}},
    }
    metadata = {"name": BILLING, "namespace": NAMESPACE}
    body = {"apiVersion": CRON_JOBS.group_version, "kind": CRON_JOBS.kind, "metadata": metadata, "spec": spec}
    running.kube.create(CRON_JOBS, body)


def lead(running: Running, at: datetime) -> None:
    """The Lease by which the replicas of an application elect a leader, as their leader renews it; given up by none.

    Args:
        running: The cluster.
        at: The time of the renewal.
    """
    pods = [
        pod["metadata"]
        for pod in running.pods()
        if pod["metadata"].get("labels", {}).get("app") == LEADS and pod.get("status", {}).get("podIP")
    ]
    # What controller-runtime calls itself: the host's name, and an id of its own.
    holder = f"{pods[0]['name']}_{pods[0]['uid']}" if pods else ""
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 15,
        "renewTime": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    if running.kube.find(LEASES, LEASE, NAMESPACE) is not None:
        running.kube.patch(LEASES, LEASE, {"spec": spec}, namespace=NAMESPACE)
        return
    body = {
        "apiVersion": LEASES.group_version,
        "kind": LEASES.kind,
        "metadata": {"name": LEASE, "namespace": NAMESPACE},
        "spec": spec,
    }
    running.kube.create(LEASES, body)


def bill(story: Story, *clusters: Running, must: bool = True) -> None:
    """A night: the job runs in the clusters where its CronJob is not suspended.

    Raises:
        RehearsalFailedError: It failed where it must not, or ran nowhere or twice.
    """
    ran = 0
    for running in clusters:
        cron = running.kube.get(CRON_JOBS, BILLING, NAMESPACE)
        if cron["spec"].get("suspend"):
            continue
        ran += 1
        name = f"{BILLING}-{len(story.bills)}"
        body = {
            "apiVersion": JOBS.group_version,
            "kind": JOBS.kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": cron["spec"]["jobTemplate"]["spec"],
        }
        running.kube.create(JOBS, body)
        running.settle(f"{name} to end", partial(_has_ended, running, name))
        code = 0 if _ended(running, name) else 1
        source = story.estate.outbound_address(running.name)
        story.bills.append((f"{story.now():%Y-%m-%d}", source, code))
        story.narrator.say(f"  billing, {story.now():%d %B}: from {running.name} as {source}: exit code {code}")
        if must and code:
            raise RehearsalFailedError(f"the billing job fails in {running.name}: its database does not know {source}")
    if ran != 1:
        raise RehearsalFailedError(f"the billing job ran {ran} times in one night")


def _has_ended(running: Running, job: str) -> bool:
    return _ended(running, job) is not None


def _ended(running: Running, job: str) -> bool | None:
    """Whether a Job succeeded; ``None`` while it runs."""
    status = running.kube.get(JOBS, job, NAMESPACE).get("status") or {}
    if status.get("succeeded"):
        return True
    return False if status.get("failed") else None
