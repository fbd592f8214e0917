"""The live check: a Job whose pods ask an echo service which source address it sees, and what they answered."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from headroom.addresses.problems import Problem
from headroom.planning.allow_lists import Span
from headroom.planning.stack_file import scalar

JOB: Final = "headroom-source-address"
MARK: Final = "source-address"
"""What a pod prints before the address that the echo service saw."""
IMAGE: Final = "docker.io/curlimages/curl:8.10.1"
PODS: Final = 3
"""Pods of the Job: on different nodes where there are as many."""
_ADDRESS: Final = re.compile(rf"^{MARK} +(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the pods of one cluster were seen with.

    Attributes:
        name: The file of their logs.
        addresses: The addresses, each once.
        unexpected: Those that are neither old nor new.
        outdated: Those that are old.
        unreadable: Answers that are no address.
    """

    name: str
    addresses: tuple[str, ...]
    unexpected: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def check_echo(url: str) -> list[Problem]:
    """What is wrong with the address of an echo service."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"https", "http"} and bool(parts.hostname) and not parts.username
    except ValueError:
        usable = False
    if usable and not re.search(r"[\s'\"\\`$]", url):
        return []
    step = "Give one of your own that answers with the caller's address alone, such as https://echo.example.com/ip."
    if not url:
        return [Problem(rule="echo-url", key="--echo", value="No URL", reason="is given to ask.", next_step=step)]
    return [Problem(rule="echo-url", key="--echo", value=url[:60], reason="is no URL to ask.", next_step=step)]


def job_manifest(echo: str, image: str = IMAGE) -> str:
    """The Job, for `kubectl apply` in both clusters; nothing of it needs a right."""
    script = f'address=$(curl --fail --silent --show-error --max-time 20 "$ECHO_URL") && echo "{MARK} $address"'
    return f"""apiVersion: batch/v1
kind: Job
metadata:
  name: {JOB}
  labels: {{app.kubernetes.io/name: {JOB}}}
spec:
  completions: {PODS}
  parallelism: {PODS}
  backoffLimit: 2
  activeDeadlineSeconds: 300
  ttlSecondsAfterFinished: 3600
  template:
    metadata:
      labels: {{app.kubernetes.io/name: {JOB}}}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {{matchLabels: {{app.kubernetes.io/name: {JOB}}}}}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65534
        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: ask
          image: {scalar(image)}
          command: ["/bin/sh", "-c", {scalar(script)}]
          env:
            - {{name: ECHO_URL, value: {scalar(echo)}}}
          resources:
            requests: {{cpu: 10m, memory: 16Mi}}
            limits: {{memory: 64Mi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
"""


def read_seen(name: str, text: str, old: Sequence[Span], new: Sequence[Span]) -> Seen:
    """What the logs of the Job's pods say."""
    found = tuple(dict.fromkeys(_ADDRESS.findall(text)))
    unreadable: list[str] = []
    unexpected: list[str] = []
    outdated: list[str] = []
    for each in found:
        try:
            span = Span.parse(each)
        except ValueError:
            unreadable.append(each[:60])
            continue
        if any(of.contains(span) for of in new):
            continue
        (outdated if any(of.contains(span) for of in old) else unexpected).append(each)
    return Seen(
        name=name,
        addresses=found,
        unexpected=tuple(unexpected),
        outdated=tuple(outdated),
        unreadable=tuple(unreadable),
    )
