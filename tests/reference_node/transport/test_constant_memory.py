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
