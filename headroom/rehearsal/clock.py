"""The time of a rehearsal, which runs faster than the wall clock."""

import time
from datetime import UTC, datetime


class Clock:
    """Simulated seconds since the epoch. `advance` jumps, otherwise time runs `speed` times as fast as the wall's."""

    def __init__(self, start: datetime, speed: float) -> None:
        self.speed = speed
        self._offset = start.timestamp()
        self._zero = time.monotonic()
        self._stopped = True

    def run(self) -> None:
        """Lets time run; until then it stands, and only `advance` moves it. Called again, it changes nothing."""
        if not self._stopped:
            return
        self._zero = time.monotonic()
        self._stopped = False

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self._offset if self._stopped else self._offset + (time.monotonic() - self._zero) * self.speed

    def advance(self, seconds: float) -> None:
        """Jumps ahead; also while time runs."""
        self._offset += seconds

    def sleep_until(self, when: float, most: float = 0.2) -> None:
        """Waits until `when`, but at most `most` wall seconds."""
        time.sleep(min(max((when - self.now()) / self.speed, 0.0), most))

    def text(self, when: float | None = None) -> str:
        """Hours, minutes and seconds, as a log shows them."""
        return datetime.fromtimestamp(self.now() if when is None else when, UTC).strftime("%H:%M:%S")

    def timestamp(self, when: float | None = None) -> str:
        """RFC 3339, as Kubernetes writes it."""
        moment = datetime.fromtimestamp(self.now() if when is None else when, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
