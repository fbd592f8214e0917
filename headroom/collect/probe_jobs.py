"""Runs probe Jobs in a cluster and reads back what their pods say; reads what the probes are planned from.

The Jobs are the only thing that is ever created here, and they are deleted again, whatever happens in between.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import urllib3
from kubernetes import client as kubernetes_client

from headroom.collect.api_server import ApiServer, tried
from headroom.collect.failures import EXPECTED, NotReadError, unknown_of
from headroom.collect.identity import server_of
from headroom.collect.kubernetes import pod_sets_of, read_namespaces, read_network_policies, read_pods
from headroom.collect.readings import side_by_side
from headroom.collect.session import choose_context, kube_client
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import Unknown
from headroom.planning.policy_probes import RUN_LABEL
from headroom.planning.probe_jobs import DEADLINE_SECONDS
from headroom.planning.probe_results import ProbeRun, SourceRun, answers_of

Object = Mapping[str, Any]

RBAC_RULES: Final = (
    {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["list"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "deletecollection", "list"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"]},
)
"""What `headroom probes --run` needs in every namespace."""

EVERY_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = DEADLINE_SECONDS + 60
"""How long a run is waited for: a Job ends itself before."""
UNREAD_ROUNDS: Final = 5
"""Rounds in a row that may go unread before a run is given up."""
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
CREATE_WORKERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        jobs: Jobs in all.
        ended: Those whose pod has ended, or that cannot run.
        waiting: Why pods wait, where one does.
    """

    jobs: int
    ended: int
    waiting: str = ""


class ProbeCluster:
    """A cluster in which probes are run.

    Attributes:
        name: What the kubeconfig calls it.
        server: Host of its API server.
    """

    def __init__(self, client: kubernetes_client.ApiClient, name: str = "") -> None:
        """Takes over a configured client of the official package."""
        self.name, self.server = name, server_of(client.configuration).host
        self._client = client
        self._batch = kubernetes_client.BatchV1Api(client)

    def read(self) -> Kubernetes:
        """What the probes are planned from; what cannot be read is unknown, with the reason."""
        api = self._api()
        try:
            namespaces, policies = tried(read_namespaces, api), tried(read_network_policies, api)
            pods = tried(read_pods, api)
        finally:
            api.close()
        return Kubernetes(
            namespaces=namespaces,
            network_policies=policies,
            pods=pods if isinstance(pods, Unknown) else pods.pods,
            pod_sets=pod_sets_of(policies, pods),
        )

    def run(
        self,
        run: str,
        jobs: Sequence[Object],
        *,
        told: Callable[[Progress], None],
        wait: Callable[[float], None] = time.sleep,
        patience: float = PATIENCE_SECONDS,
    ) -> ProbeRun:
        """Creates the Jobs, waits until their pods have ended, and reads the answers.

        Args:
            run: The run's name.
            jobs: The Jobs' manifests.
            told: Is told how far it is.
            wait: Waits for some seconds.
            patience: Seconds until those that have not ended are given up.
        """
        failed = dict(each for each in side_by_side(self._create, jobs, workers=CREATE_WORKERS) if each is not None)
        api, deadline, unread = self._api(patience), time.monotonic() + patience, 0
        try:
            while True:
                over = time.monotonic() >= deadline
                try:
                    pods = api.every("/api/v1/pods", labelSelector=f"{RUN_LABEL}={run}")
                    listed = api.every("/apis/batch/v1/jobs", labelSelector=f"{RUN_LABEL}={run}")
                    found = {**sources_of(jobs, pods, listed), **failed}
                    ended = sum(name in failed or _is_done(name, source, listed) for name, source in found.items())
                    told(Progress(jobs=len(found), ended=ended, waiting=_waiting(found.values())))
                    unread = 0
                    if over or ended == len(found):
                        return ProbeRun(sources=found, targets=targets_of(api.every("/api/v1/pods")), targets_read=True)
                except EXPECTED as error:
                    unread += 1
                    if over or unread >= UNREAD_ROUNDS:
                        return ProbeRun(sources={_name(job): SourceRun(because=str(unknown_of(error))) for job in jobs})
                wait(EVERY_SECONDS)
        finally:
            api.close()

    def runs(self) -> dict[str, set[str]]:
        """The namespaces in which Jobs of a run are, by the run's name; none where they cannot be read."""
        api, found = self._api(), dict[str, set[str]]()
        try:
            for job in api.every("/apis/batch/v1/jobs", labelSelector=RUN_LABEL):
                found.setdefault(job["metadata"]["labels"][RUN_LABEL], set()).add(_name(job)[0])
        except EXPECTED:
            return {}
        finally:
            api.close()
        return found

    def clean(self, run: str, namespaces: Iterable[str]) -> tuple[str, ...]:
        """Deletes the Jobs of a run with their pods; returns the namespaces where that failed."""
        left = []
        for namespace in sorted(set(namespaces)):
            try:
                self._batch.delete_collection_namespaced_job(
                    namespace,
                    label_selector=f"{RUN_LABEL}={run}",
                    propagation_policy="Background",
                    _request_timeout=(CONNECT_SECONDS, READ_SECONDS),
                )
            except (kubernetes_client.ApiException, urllib3.exceptions.HTTPError):
                left.append(namespace)
        return tuple(left)

    def _create(self, job: Object) -> tuple[tuple[str, str], SourceRun] | None:
        """Creates a Job; what is returned says why that failed."""
        try:
            self._batch.create_namespaced_job(
                _name(job)[0],
                dict(job),  # type: ignore[arg-type] # the client sends plain JSON as it is
                _request_timeout=(CONNECT_SECONDS, READ_SECONDS),
            )
        except kubernetes_client.ApiException as error:
            because = f"the API server refused the Job: {error.status} {error.reason}"
        except urllib3.exceptions.HTTPError as error:
            because = f"the Job could not be created: {type(error).__name__}"
        else:
            return None
        return _name(job), SourceRun(because=because)

    def _api(self, seconds: float = PATIENCE_SECONDS) -> ApiServer:
        # Beyond the patience of a run: what it found is still to be read.
        return ApiServer(self._client, deadline=time.monotonic() + seconds + READ_SECONDS)


def probe_cluster(context: str, *, kubeconfig: str = "") -> ProbeCluster | Unknown:
    """A cluster by its context; unknown with the reason where there is no usable kubeconfig.

    Raises:
        ProblemsError: There is no such context.
    """
    chosen = choose_context("", context, kubeconfig=kubeconfig)
    try:
        return ProbeCluster(kube_client(chosen), chosen.cluster)
    except NotReadError as error:
        return error.unknown


def read_results(items: Iterable[Object], jobs: Sequence[Object]) -> ProbeRun:
    """What a list of pods, as `kubectl get pods --all-namespaces -o json` prints it, says of a run.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: An item is no pod.
    """
    pods = list(items)
    ours = [each for each in pods if RUN_LABEL in (each["metadata"].get("labels") or {})]
    return ProbeRun(sources=sources_of(jobs, ours, ()), targets=targets_of(pods), targets_read=len(ours) < len(pods))


def sources_of(
    jobs: Iterable[Object], pods: Iterable[Object], listed: Iterable[Object]
) -> dict[tuple[str, str], SourceRun]:
    """What became of each Job: the first of its pods that says something, else why there is none."""
    by_job: dict[tuple[str, str], list[Object]] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        name = labels.get("batch.kubernetes.io/job-name") or labels.get("job-name") or ""
        by_job.setdefault((pod["metadata"]["namespace"], name), []).append(pod)
    failures = {_name(each): _failure(each) for each in listed}
    found = {}
    for job in jobs:
        name = _name(job)
        runs = [_source(each) for each in by_job.get(name, ())]
        because = failures.get(name) or "the Job has no pod"
        found[name] = max(runs, key=lambda run: len(run.answers), default=SourceRun(because=because))
    return found


def targets_of(pods: Iterable[Object]) -> dict[tuple[str, str], tuple[str, bool]]:
    """Address and readiness of pods, by namespace and name."""
    found = {}
    for pod in pods:
        status = pod.get("status") or {}
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
        found[_name(pod)] = (status.get("podIP") or "", ready)
    return found


def _source(pod: Object) -> SourceRun:
    status = pod.get("status") or {}
    containers: Sequence[Object] = status.get("containerStatuses") or ({},)
    state = containers[0].get("state") or {}
    ended = state.get("terminated")
    if ended is not None:
        answers = answers_of(ended.get("message") or "")
        because = "" if ended.get("exitCode") == 0 else f"the pod ended with exit code {ended.get('exitCode')}"
        return SourceRun(address=status.get("podIP") or "", answers=answers, because=because)
    waiting = (state.get("waiting") or {}).get("reason")
    return SourceRun(
        address=status.get("podIP") or "",
        because=f"the pod waits: {waiting}" if waiting else f"the pod is {status.get('phase') or 'Pending'}",
    )


def _failure(job: Object) -> str:
    """Why a Job has failed; empty: it has not."""
    for each in (job.get("status") or {}).get("conditions") or ():
        if each["type"] == "Failed" and each["status"] == "True":
            return f"the Job failed: {each.get('reason') or 'no reason given'}"
    return ""


def _is_done(name: tuple[str, str], source: SourceRun, listed: Iterable[Object]) -> bool:
    if source.answers:
        return True
    return any(
        _name(job) == name
        and any(
            each["type"] in ("Complete", "Failed") and each["status"] == "True"
            for each in (job.get("status") or {}).get("conditions") or ()
        )
        for job in listed
    )


def _waiting(sources: Iterable[SourceRun]) -> str:
    return next((each.because for each in sources if each.because.startswith("the pod waits")), "")


def _name(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
