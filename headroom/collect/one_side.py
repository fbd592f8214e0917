"""Reads from a cluster what may have to run in one of two clusters only, and nothing else."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from headroom.collect import kubernetes as readers
from headroom.collect.api_server import ApiServer, tried
from headroom.collect.failures import NotReadError
from headroom.collect.kubernetes_objects import KEDA_KINDS, workloads_of
from headroom.collect.session import choose_context, kube_client
from headroom.facts.document import sound
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import Unknown

SECONDS: Final = 60.0
"""Time limit of a reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSide:
    """One of the two clusters.

    Attributes:
        kubernetes: CronJobs, Leases, scalers of KEDA, and the pods and workloads behind them.
        at: When they were read, in UTC: by the API server's clock, which is the cluster's and not this machine's.
    """

    kubernetes: Kubernetes
    at: str


def read_one_side(context: str, *, kubeconfig: str = "") -> OneSide | Unknown:
    """What may have to run in one of two clusters only; what was not read is unknown.

    Raises:
        ProblemsError: There is no such context.
    """
    chosen = choose_context("", context, kubeconfig=kubeconfig)
    try:
        api = ApiServer(kube_client(chosen), deadline=time.monotonic() + SECONDS)
    except NotReadError as error:
        return error.unknown
    try:
        found = _read(api)
        # Leases that were renewed while others were read are younger than now.
        at = api.answered_at or datetime.now(UTC)
        return OneSide(kubernetes=found, at=at.isoformat(timespec="seconds"))
    finally:
        api.close()


def _read(api: ApiServer) -> Kubernetes:
    groups = tried(readers.read_groups, api)
    scaled = [
        groups
        if isinstance(groups, Unknown)
        else tried(partial(readers.read_keda_scalers, groups=groups, kind=kind), api)
        for kind in KEDA_KINDS
    ]
    workloads, unread = workloads_of(
        {kind: tried(partial(readers.read_workloads, kind=kind), api) for kind in readers.WORKLOADS}
    )
    pods = tried(readers.read_pods, api)
    return sound(
        Kubernetes(
            cron_jobs=tried(readers.read_cron_jobs, api),
            leases=tried(readers.read_leases, api),
            keda_scalers=readers.joined_kinds(scaled),
            pods=pods if isinstance(pods, Unknown) else pods.pods,
            workloads=workloads,
            unread_workloads=unread,
        )
    )
