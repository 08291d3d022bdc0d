"""Waiting in tests: for what other processes and threads bring about, and never longer than a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(what: Callable[[], Found], within: float = 120.0, every: float = 0.02) -> Found:
    """Return what is there, once it is; fail the test when it is not in time."""
    until, pause = time.monotonic() + within, threading.Event()
    while not (found := what()):
        assert time.monotonic() < until, f"it did not happen within {within:g} seconds"
        pause.wait(every)
    return found
