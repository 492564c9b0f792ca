"""Passwords tried lately, counted in memory: what strangers type must neither stay nor fill a log."""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

MOST, WITHIN_MS = 10, 15 * 60 * 1000
"""Wrong passwords a name may have in a quarter of an hour before it has to wait."""


@dataclass(frozen=True)
class Tries:
    """When a password was tried for which name, within `WITHIN_MS`."""

    _lately: deque[tuple[int, str]] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)

    def begin(self, name: str, now: int) -> bool:
        """Count a password before it is looked at, so that many at once are no more than one after the other;
        False where there were too many."""
        with self._lock:
            while self._lately and self._lately[0][0] <= now - WITHIN_MS:
                self._lately.popleft()
            if sum(tried == name for _, tried in self._lately) >= MOST:
                return False
            self._lately.append((now, name))
            return True

    def forgive(self, name: str, now: int) -> None:
        """Count one that was right no more."""
        with self._lock, suppress(ValueError):
            self._lately.remove((now, name))
