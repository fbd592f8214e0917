"""EKS's own hands in a cluster: makes the DaemonSet aws-node what the simulated EKS holds its add-on to be."""

import threading
from collections.abc import Mapping
from typing import Any, Final

from headroom.rehearsal.aws.endpoint import Endpoint
from headroom.rehearsal.kube import DAEMON_SETS, Kube

LOOK_SECONDS: Final = 0.3
"""Wall time between two looks at what EKS decided."""
_NAME, _NAMESPACE = "aws-node", "kube-system"


class AddonManager:
    """Applies to a cluster what EKS decides about its add-on vpc-cni from here on, and nothing before that."""

    def __init__(self, endpoint: Endpoint, kube: Kube, cluster: str, errors: list[str]) -> None:
        """Starts to look.

        Args:
            endpoint: The simulated AWS.
            kube: The cluster's API server.
            cluster: The cluster's name.
            errors: Where it says what went wrong.
        """
        self._endpoint, self._kube, self._cluster = endpoint, kube, cluster
        self._done = endpoint.aws_node(cluster)
        self._stopping = threading.Event()
        self._errors = errors
        self._thread = threading.Thread(target=self._run, name="add-on manager", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a thread's failure must reach the person, not vanish
                if not self._stopping.is_set():
                    self._errors.append(f"add-on manager: {type(error).__name__}: {error}")
                return

    def _look(self) -> None:
        wanted = self._endpoint.aws_node(self._cluster)
        if wanted == self._done:
            return
        container = self._kube.get(DAEMON_SETS, _NAME, _NAMESPACE)["spec"]["template"]["spec"]["containers"][0]
        changed = _changed(self._done.environment, wanted.environment)
        part: dict[str, Any] = {"name": container["name"], "env": changed}
        if wanted.version and wanted.version != self._done.version:
            part["image"] = f"{container['image'].rpartition(':')[0]}:{wanted.version}"
        patch = {"spec": {"template": {"spec": {"containers": [part]}}}}
        self._kube.patch(DAEMON_SETS, _NAME, patch, namespace=_NAMESPACE, type="strategic")
        self._done = wanted


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """What changes in the environment, as a strategic merge patch: a list that is merged by name."""
    gone = [{"name": name, "$patch": "delete"} for name in sorted(before.keys() - after.keys())]
    new = [{"name": name, "value": value} for name, value in sorted(after.items()) if before.get(name) != value]
    return [*gone, *new]
