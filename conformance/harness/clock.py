"""One clock for a run. Scenarios never sleep on their own: they let time pass (`elapse`) or wait for something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Time as the harness sees it; `grain` is how many seconds pass between two looks at something awaited."""

    grain: float

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""

    def elapse(self, seconds: float) -> None:
        """Let time pass."""


class SystemClock:
    """The machine's clock."""

    grain = 0.05

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def elapse(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def eventually(probe: Callable[[], T | None], *, within: float, clock: Clock) -> T | None:
    """Return what `probe` first answers, asking again until `within` seconds have passed; None when it never does."""
    deadline = clock.now_ms() + int(within * 1000)
    while True:
        answer = probe()
        if answer is not None:
            return answer
        if clock.now_ms() >= deadline:
            return None
        clock.elapse(clock.grain)
