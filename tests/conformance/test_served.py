"""The lab over sockets, and periods that follow the pace of a target."""

from __future__ import annotations

import socket

import pytest

from conformance.harness import engine, tls_probe
from conformance.harness.registry import SCENARIOS
from conformance.harness.world import STEPS_IN_PERIOD, World
from conformance.selftest import killmatrix, served
from conformance.selftest.inprocess import lab
from reference_node.faults import declared


def test_the_served_lab_speaks_tls_and_leaves_nothing_behind() -> None:
    """A scenario about the channel runs against it, its defects are on, and once closed nobody listens."""
    engine.plan()
    room = served.served_lab(served.TLS, ["plain-http-on-tls-port"])
    try:
        told = room.run([SCENARIOS["tls_plain"]])["tls_plain"]
        address = room.server.address
    finally:
        room.close()
    assert address.startswith("https://")
    assert told.stop is None
    assert told.facts["plain"] == {"status": 200}
    assert room.node.faults.hits["plain-http-on-tls-port"] > 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(tls_probe.place(address), timeout=5)


def test_the_scenarios_about_the_channel_are_not_offered_in_process() -> None:
    """Without [tls], a second address or sockets at all each ends with that reason; their checks do not apply."""
    mine = [row for row in engine.plan().scenarios if row.act.__module__ in served.LABS]
    room = lab()
    try:
        told = room.run(mine)
    finally:
        room.close()
    assert len(mine) >= 9
    for scenario in mine:
        stop = told[scenario.name].stop
        assert stop is not None
        assert stop.kind == "not_offered"
        reasons = (
            "profile: there is no [tls]",
            "profile: [target] names no ",
            "the target is not reached over sockets",
        )
        assert stop.message.startswith(reasons)


def test_every_defect_is_tried_in_a_lab_that_exists() -> None:
    """A row names one of the labs beside the one in process, or none."""
    assert {fault.lab for fault in declared().values()} <= {"", *killmatrix._LABS.values()}


def test_a_short_period_is_long_enough_for_a_slow_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a slow pace the period grows with it, at a quick one it stays short."""
    room = lab()
    try:
        now = 100.0
        monkeypatch.setattr("conformance.harness.world.time.perf_counter", lambda: now)
        world = World(room.collector.stage, "pace")
        assert world.brief(2.0) == 2.0
        now += 3.0
        assert world.brief(2.0) == pytest.approx(3.0 * STEPS_IN_PERIOD)
    finally:
        room.close()
