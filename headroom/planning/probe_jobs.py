"""The Jobs that try the probes: one for each source (namespace and labels), as manifests.

A Job's pod carries the labels of a pod that it is not. So that nothing takes it for one:

- a readiness gate that nothing ever opens keeps it out of every Service's endpoints;
- its owner is the Job, so no ReplicaSet adopts it; it ends within minutes and is deleted with the Job;
- a PodDisruptionBudget or a HorizontalPodAutoscaler that selects the same labels sees one more unready pod meanwhile.

It mounts no token, runs as nobody without any capability, and writes nothing but its termination message: a line for
each probe, `ID OUTCOME TRIES`. Before the probes it connects to the API server's Service, which shows that its network
works: with Calico on Azure CNI a new pod may be without it for a moment (azure-aks-docs, use-network-policies).

Sources: Kubernetes, concepts/workloads/pods/pod-lifecycle (readiness gates), concepts/security/pod-security-standards
(restricted); kubernetes, test/images/agnhost/connect (outcomes TIMEOUT, REFUSED, OTHER).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from headroom.planning.policy_probes import RUN_LABEL, Expectation, Probe, ProbePlan

IMAGE: Final = (
    "registry.k8s.io/e2e-test-images/agnhost:2.53"
    "@sha256:99c6b4bb4a1e1df3f0b3752168c89358794d02258ebebc26bf21c29399011a85"
)
"""The image of Kubernetes' own network tests, by its digest; a mirror of it will do."""
MOST_PROBES: Final = 50
"""Probes of one Job: their lines stay far below the 4,096 bytes of a termination message."""
SELF: Final = "self"
"""Name of the connection to the API server's Service."""
TRY_SECONDS: Final = 3
SETTLE_SECONDS: Final = 5
DEADLINE_SECONDS: Final = 300
"""Longest life of a Job's pod: with an image to be pulled, and every try timing out."""
KEPT_SECONDS: Final = 3600
"""How long an ended Job stays to be read."""
NOBODY: Final = 65532
GATE: Final = "headroom-probes/never-ready"

SCRIPT: Final = f"""\
try() {{
  if said=$(/agnhost connect "$1" --protocol=tcp --timeout={TRY_SECONDS}s 2>&1); then echo connected; return; fi
  case "$said" in TIMEOUT*) echo timeout ;; REFUSED*) echo refused ;; *) echo other ;; esac
}}
say() {{ echo "$1 $2 $3" >> /dev/termination-log; echo "$1 $2 $3"; }}
# Until it connects: a new pod's network, and what others know of it, may take a moment.
allowed() {{
  n=0
  while [ $n -lt $3 ]; do
    n=$((n + 1)); r=$(try "$2")
    [ "$r" = connected ] && break
    sleep 2
  done
  say "$1" "$r" $n
}}
# Until it is refused twice in a row: a policy may take hold a moment after the pod started.
denied() {{
  n=0; row=0
  while [ $n -lt 6 ] && [ $row -lt 2 ]; do
    n=$((n + 1)); r=$(try "$2")
    if [ "$r" = connected ]; then row=0; sleep 2; else row=$((row + 1)); fi
  done
  [ $row -lt 2 ] && r=connected
  say "$1" "$r" $n
}}
case "$KUBERNETES_SERVICE_HOST" in *:*) h="[$KUBERNETES_SERVICE_HOST]" ;; *) h="$KUBERNETES_SERVICE_HOST" ;; esac
allowed {SELF} "$h:$KUBERNETES_SERVICE_PORT" 6
sleep {SETTLE_SECONDS}
while [ $# -ge 3 ]; do
  if [ "$1" = {Expectation.ALLOWED.value} ]; then allowed "$2" "$3" 8 & else denied "$2" "$3" & fi
  shift 3
done
wait
"""
"""What a pod runs; its arguments are expectation, id and host:port of each probe."""


def jobs(plan: ProbePlan, *, image: str = IMAGE) -> tuple[dict[str, Any], ...]:
    """The Jobs of a plan, as JSON values.

    Args:
        plan: The probes.
        image: agnhost, or a mirror of it.
    """
    by_source: dict[tuple[str, tuple[tuple[str, str], ...]], list[Probe]] = {}
    for probe in plan.probes:
        by_source.setdefault((probe.namespace, tuple(sorted(probe.labels.items()))), []).append(probe)
    return tuple(
        _job(plan.run, namespace, dict(labels), part, image)
        for (namespace, labels), probes in by_source.items()
        for part in _parts(probes)
    )


def job_of(plan: ProbePlan) -> Mapping[str, tuple[str, str]]:
    """Namespace and name of its Job, by the id of each probe."""
    return {
        probe_id: (job["metadata"]["namespace"], job["metadata"]["name"])
        for job in jobs(plan)
        for probe_id in arguments(job)[1::3]
    }


def arguments(job: Mapping[str, Any]) -> list[str]:
    """Expectation, id and host:port of each of a Job's probes, one after the other."""
    found: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def is_pinned(image: str) -> bool:
    """Whether an image is named by its digest."""
    name, separator, digest = image.partition("@sha256:")
    return bool(name and separator) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")  # noqa: PLR2004 - SHA-256 in hexadecimal


def _parts(probes: Sequence[Probe]) -> Iterable[Sequence[Probe]]:
    return (probes[start : start + MOST_PROBES] for start in range(0, len(probes), MOST_PROBES))


def _job(run: str, namespace: str, labels: dict[str, str], probes: Sequence[Probe], image: str) -> dict[str, Any]:
    args = [text for each in probes for text in (each.expects.value, each.probe_id, _place(each))]
    digest = hashlib.blake2b("\n".join([namespace, *args]).encode(), digest_size=4).hexdigest()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"headroom-probe-{run}-{digest}",
            "namespace": namespace,
            "labels": {RUN_LABEL: run},
        },
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {
                    "labels": {**labels, RUN_LABEL: run},
                    # A sidecar would answer for the target, and would never end.
                    "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "readinessGates": [{"conditionType": GATE}],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": NOBODY,
                        "runAsGroup": NOBODY,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "probe",
                            "image": image,
                            "command": ["/bin/sh", "-c", SCRIPT, "probe"],
                            "args": args,
                            "resources": {
                                "requests": {"cpu": "10m", "memory": "32Mi"},
                                "limits": {"cpu": "200m", "memory": "128Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "readOnlyRootFilesystem": True,
                            },
                        }
                    ],
                },
            },
        },
    }


def _place(probe: Probe) -> str:
    return f"[{probe.address}]:{probe.port}" if ":" in probe.address else f"{probe.address}:{probe.port}"
