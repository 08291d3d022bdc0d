"""Messages of gigabytes pass two nodes, which are processes of their own, without growing them."""

from __future__ import annotations

import pytest

from loadtests.bench_transport import MIB, measure


@pytest.mark.slow
def test_a_gigabyte_passes_in_constant_memory() -> None:
    """1 GiB over HTTP and again over gRPC arrives whole, and no node grows by more than 160 MiB."""
    rows, grown = measure(1024 * MIB, messages=10, rounds=1)
    assert [row.way for row in rows] == ["bare socket", "http", "grpc"]
    assert grown < 160 * MIB


@pytest.mark.slow
def test_the_secure_channel_is_measured_the_same_way() -> None:
    """HTTP and gRPC in mode gm stand beside the bare socket; what does not arrive ends the run."""
    rows, _ = measure(4 * MIB, messages=10, rounds=1, modes=("gm",))
    assert [row.way for row in rows] == ["bare socket", "http, gm", "grpc, gm"]
    assert all(row.mib_per_second > 0 and row.messages_per_second > 0 for row in rows)
