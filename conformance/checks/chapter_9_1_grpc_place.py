"""A protocol that is announced is there: what partners agree on has to hold (9.1-a)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story


@check("9.1-a", "grpc_place", "GRPC_NOT_WHERE_ANNOUNCED")
def protocol_is_served_where_it_is_announced(story: Story) -> Iterator[Finding]:
    """At the address for gRPC that the target tells whoever asks, gRPC answers."""
    asked, why = story.step("asked"), story.fact("silent")
    if why:
        code, at = "GRPC_NOT_WHERE_ANNOUNCED", "/grpc_address"
        yield expect.finding(code, asked, pointer=at, expected="gRPC answers there", actual=why)
