"""One node with its ipamd and its kubelet, and pods that come and go: the pool model with a clock of its own."""

import math
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Literal

from headroom.capacity.cni_version import OBSERVED_VERSION, CniVersion
from headroom.capacity.ec2 import MemorySubnets
from headroom.capacity.ipamd import TIME_TOLERANCE, Held, Ipamd, Latency, Log, PoolState
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings

Leaving = Literal["oldest", "newest", "spread", "random"]

# Nothing has changed for this long: more than three of ipamd's pauses after an exhausted subnet, and one more
# of the kubelet's turns, as in the recorded runs.
SETTLED_AFTER_SECONDS = 402.5
# A pool that still changes so long after the last pod got its address never settles.
SETTLING_LIMIT_SECONDS = 3600.0
# How often the kubelet asks again for pods without an address.
RETRY_SECONDS = 2.5

# What falls on one instant has an order too, which shows where a rest of 30 s ends just as the kubelet asks. In the
# recorded runs the first request came after a dozen and more pods had gone, and each further one as much later as it
# takes several pods to go: so the last of many that went together rest until the kubelet's next turn.
REQUEST_SECONDS = 1e-6
FIRST_REQUEST_SECONDS = 2e-6
REMOVAL_SECONDS = 1.2e-7

# Up to so many pods of at least so many are drawn one by one, as random.sample would draw them.
DRAWN_ONE_BY_ONE = 5
DRAWN_OF = 22

NODE_SUBNET = "subnet-node"


class NodeSimulation:
    """A node, driven by events.

    Args:
        limits: The node's instance limits.
        settings: aws-node's settings.
        max_pods: The node's pod capacity.
        subnets: The subnets; an unlimited one where none are given.
        node_subnet: The subnet of the node's primary interface.
        eniconfig_subnet: The subnet of the node's ENIConfig.
        version: The VPC CNI's version.
        seed: Decides what is left to chance.
        latency: How long EC2's answers take.
        log: Receives ipamd's log lines.
    """

    def __init__(  # noqa: PLR0913 - the parts of a node
        self,
        *,
        limits: InstanceLimits,
        settings: CniSettings,
        max_pods: int,
        subnets: MemorySubnets | None = None,
        node_subnet: str = NODE_SUBNET,
        eniconfig_subnet: str | None = None,
        version: CniVersion = OBSERVED_VERSION,
        seed: int = 0,
        latency: Latency | None = None,
        log: Log | None = None,
    ) -> None:
        if subnets is None:
            subnets = MemorySubnets()
            subnets.add_subnet(node_subnet)
        self.now = 0.0
        self.subnets = subnets
        self.random = Random(seed)  # noqa: S311 - a simulation, not a secret
        # Pods by name, in the order in which they were created.
        self.pending: deque[str] = deque()
        self.running: list[str] = []
        self._created = 0
        self.last_change = 0.0
        self.peak_subnet_addresses = 0
        self.ipamd = Ipamd(
            limits=limits,
            settings=settings,
            max_pods=max_pods,
            ec2=subnets,
            primary=subnets.launch(node_subnet),
            version=version,
            eniconfig_subnet=eniconfig_subnet,
            random=self.random,
            latency=latency or Latency(),
            log=log,
        )
        self.ipamd.start(self.now)
        # Pods come once the node is ready.
        self._begin = self.now = self.ipamd.busy_until
        self._seen_running = self._seen_pending = -1
        self._seen_held: Held | None = None
        self._observe()

    @property
    def state(self) -> PoolState:
        """What the node holds now."""
        return self.ipamd.state

    def add(self, count: int) -> None:
        """Creates pods at once."""
        for _ in range(count):
            self._created += 1
            self.pending.append(f"pod-{self._created}")
        self._start_pending()

    def add_paced(self, count: int, every_seconds: float) -> None:
        """Creates pods one after the other."""
        for _ in range(count):
            self.add(1)
            self.wait(every_seconds)

    def remove(self, count: int, which: Leaving) -> None:
        """Deletes pods that have an address."""
        pods = len(self.running)
        count = min(count, pods)
        if count == 0:
            self._start_pending()
            return
        leaving: Sequence[int]
        if which == "oldest":
            leaving = range(count)
        elif which == "newest":
            leaving = range(pods - count, pods)
        elif which == "spread":
            staying = pods - count
            stay = {index * pods // staying for index in range(staying)}
            leaving = [index for index in range(pods) if index not in stay]
        else:
            leaving = self._sample(pods, count)
        moment = self.now
        for index in leaving:
            self.ipamd.release(self.running[index], moment)
            moment += REMOVAL_SECONDS
        for index in sorted(leaving, reverse=True):
            del self.running[index]
        self._start_pending()

    def _sample(self, pods: int, count: int) -> Sequence[int]:
        """So many of the pods at random. Of many pods a few are drawn one by one: random.sample is slow at that."""
        if count > DRAWN_ONE_BY_ONE or pods < DRAWN_OF:
            return self.random.sample(range(pods), count)
        if count == 1:
            return (self.random.choice(range(pods)),)
        drawn: dict[int, None] = {}
        while len(drawn) < count:
            drawn[self.random.choice(range(pods))] = None
        return tuple(drawn)

    def restart(self, settings: CniSettings) -> None:
        """Restarts aws-node with other settings."""
        self.ipamd.restart(self.now, settings)
        self._start_pending()

    def cordon(self) -> None:
        """Cordons the node."""
        self.ipamd.cordon(self.now)

    def uncordon(self) -> None:
        """Uncordons the node."""
        self.ipamd.uncordon(self.now)

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        self._begin = self.now
        self._run_until(self.now + seconds)

    def settle(self) -> bool:
        """Lets time pass until nothing changes any more.

        Returns:
            Whether the pool came to rest.
        """
        begin = self.last_change = self._begin = self.now
        running = len(self.running)
        while True:
            quiet_at = self._tick(self.last_change) + SETTLED_AFTER_SECONDS
            due = self._next_event()
            if due >= quiet_at:
                self.now = quiet_at
                return True
            if len(self.running) != running:
                running, begin = len(self.running), self.now
            if due - begin > SETTLING_LIMIT_SECONDS:
                self.now = begin + SETTLING_LIMIT_SECONDS
                return False
            self._run_until(due)

    def _next_event(self) -> float:
        """When ipamd or the kubelet has something to do next."""
        return min(self.ipamd.next_due, self._next_retry()) if self.pending else self.ipamd.next_due

    def _next_retry(self) -> float:
        """When the kubelet asks again; never while nothing could be had."""
        if not self.pending or self.ipamd.available == 0:
            return math.inf
        return max(self._tick(self.now, later=True), self._tick(self.ipamd.busy_until))

    def _tick(self, moment: float, *, later: bool = False) -> float:
        """The kubelet's first turn at or after a moment, or later than it."""
        turns = (moment - self._begin) / RETRY_SECONDS
        turn = math.floor(turns + TIME_TOLERANCE) + 1 if later else math.ceil(turns - TIME_TOLERANCE)
        return self._begin + turn * RETRY_SECONDS

    def _run_until(self, end: float) -> None:
        while True:
            retry = self._next_retry() if self.pending else math.inf
            due = min(self.ipamd.next_due, retry)
            if due > end:
                break
            self.now = max(self.now, due)
            self.ipamd.step(self.now)
            if self.now >= retry:
                self._start_pending()
            else:
                self._observe()
        self.now = end

    def _start_pending(self) -> None:
        """The kubelet tries its waiting pods in turn until one gets no address."""
        pending = self.pending
        if pending:
            moment = self.now + FIRST_REQUEST_SECONDS
            while pending and self.ipamd.try_assign(pending[0], moment):
                self.running.append(pending.popleft())
                moment += REQUEST_SECONDS
        self._observe()

    def _observe(self) -> None:
        """Notes the time if anything has changed."""
        held = self.ipamd.held
        running, pending = len(self.running), len(self.pending)
        if held is not self._seen_held and held != self._seen_held:
            self.peak_subnet_addresses = max(self.peak_subnet_addresses, held.subnet_addresses)
        elif running == self._seen_running and pending == self._seen_pending:
            return
        self._seen_running, self._seen_pending, self._seen_held = running, pending, held
        # EC2 shows a change once it has done its work.
        self.last_change = max(self.now, self.ipamd.busy_until)
