"""The benchmark of the secure channel measures what it says."""

from __future__ import annotations

import pytest

from loadtests.bench_tls import measure


@pytest.mark.slow
def test_every_mode_is_measured_in_one_run() -> None:
    """Plain, intl and gm each serve signed requests and new connections; a refused one would end the run."""
    rows = measure(1, 30, 10)
    assert [row.mode for row in rows] == ["off", "intl", "gm"]
    assert all(row.requests_per_cpu_second > 0 and row.handshakes_per_cpu_second > 0 for row in rows)
