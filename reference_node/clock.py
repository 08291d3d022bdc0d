"""The node's one source of time, injected so that tests and the in-process harness can move it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Whatever tells the time in Unix milliseconds."""

    def now_ms(self) -> int:
        """Return the time now."""


class SystemClock:
    """The time of the machine."""

    def now_ms(self) -> int:
        """Return the time now."""
        return time.time_ns() // 1_000_000
