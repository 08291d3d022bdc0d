"""What holds for all tests."""

from __future__ import annotations

import os
import signal


def pytest_xdist_auto_num_workers() -> int:
    """Run one more than there are cores: much of the time is spent waiting for nodes that run by a clock."""
    return (os.cpu_count() or 1) + 1


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs under test also where a shell that runs the tests in its background ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
