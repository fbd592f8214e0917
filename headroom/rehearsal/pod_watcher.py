"""What simulated kubelets share, whatever the cloud: a watch of all pods, a loop, and writers of their status."""

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import PODS, ApiError, Kube, Watch

GONE: Final = 410
"""What the API server answers to a watch from a version that it has forgotten: list again (Kubernetes API concepts)."""

NOT_FOUND: Final = 404

STATUS_WRITERS: Final = 6
"""Threads that write to the API server."""


class PodWatcher(ABC):
    """All kubelets of a cluster, as far as they have nothing to do with addresses.

    A subclass says what a change of a pod means (`_take`) and what is due by itself (`_step`); both are called in one
    thread.

    Attributes:
        kube: The API server.
        clock: Simulated time.
        errors: What went wrong in a thread.
    """

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self.kube, self.clock = kube, clock
        self.errors: list[str] = []
        self._changes: queue.Queue[tuple[str, Mapping[str, Any]]] = queue.Queue()
        self._writers = ThreadPoolExecutor(STATUS_WRITERS, thread_name_prefix="kubelet")
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open_watch: Watch | None = None

    def start(self) -> None:
        """Starts the kubelets: from here on the clock has to run."""
        for target, name in ((self._watch, "watch"), (self._run, "kubelets")):
            thread = threading.Thread(target=self._guarded(target), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stops the kubelets; what they wrote stays. May be called again."""
        self._stopping.set()
        if self._open_watch is not None:
            self._open_watch.close()
        for thread in self._threads:
            thread.join(5)
        self._writers.shutdown(wait=True, cancel_futures=True)

    @abstractmethod
    def _take(self, change: str, pod: Mapping[str, Any]) -> None:
        """Takes note of a pod that was ADDED, MODIFIED or DELETED."""

    @abstractmethod
    def _step(self, now: float) -> float:
        """Does what is due; gives the simulated time at which something is due again."""

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._take_changes()
            self.clock.sleep_until(self._step(self.clock.now()), most=0.05)

    def _take_changes(self) -> None:
        while True:
            try:
                change, pod = self._changes.get_nowait()
            except queue.Empty:
                return
            self._take(change, pod)

    def _watch(self) -> None:
        """Lists and watches, again and again: the API server ends a watch whose reader is slow, as ours is at times."""
        seen: dict[str, Mapping[str, Any]] = {}
        while not self._stopping.is_set():
            pods, version = self.kube.list_and_version(PODS)
            now = {pod["metadata"]["uid"]: pod for pod in pods}
            for uid in [uid for uid in seen if uid not in now]:
                self._changes.put(("DELETED", seen.pop(uid)))
            for pod in pods:
                self._changes.put(("ADDED", pod))
            seen |= now
            try:
                with self.kube.watch(PODS, resource_version=version) as watch:
                    self._open_watch = watch
                    for event in watch:
                        self._changes.put((event.type, event.object))
                        uid = event.object["metadata"]["uid"]
                        if event.type == "DELETED":
                            seen.pop(uid, None)
                        else:
                            seen[uid] = event.object
            except ApiError as error:
                if error.code != GONE:
                    raise

    def _guarded(self, target: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                target()
            except Exception as error:  # noqa: BLE001 - a thread's failure must reach the person, not vanish
                if not self._stopping.is_set():
                    self.errors.append(f"{target.__name__}: {type(error).__name__}: {error}")

        return run

    # Writing

    def _submit(self, target: Callable[..., object], *arguments: Any) -> "Future[None]":
        """Writes in a thread of its own."""
        return self._writers.submit(self._write, target, *arguments)

    def _write(self, target: Callable[..., object], *arguments: Any) -> None:
        try:
            target(*arguments)
        except ApiError as error:
            # A pod that is gone meanwhile needs no status.
            if error.code != NOT_FOUND and not self._stopping.is_set():
                self.errors.append(str(error))
        except Exception as error:  # noqa: BLE001 - a writer's failure must reach the person, not vanish
            if not self._stopping.is_set():
                self.errors.append(f"{type(error).__name__}: {error}")

    def _patch_status(self, pod: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        self.kube.patch(
            PODS, metadata["name"], {"status": dict(status)}, namespace=metadata["namespace"], subresource="status"
        )

    def _delete(self, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        self.kube.delete(PODS, metadata["name"], metadata["namespace"], grace_seconds=0)
