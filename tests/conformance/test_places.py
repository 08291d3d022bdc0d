"""Where played nodes call from, and what is done about lock-outs that others have caused."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conformance.harness import places


def test_each_node_has_an_address_of_its_own_on_this_machine_and_none_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same one each time, within loopback; none where a host is not this machine, or the system has only one."""
    monkeypatch.setattr(places.sys, "platform", "linux")
    found = {name: places.of("127.0.0.1", name) for name in ("node-a", "node-b", "node-c")}
    assert len(set(found.values())) == len(found)
    assert all(ipaddress.ip_address(place).is_loopback and place != "127.0.0.1" for place in found.values())
    assert places.of("127.0.0.1", "node-a") == found["node-a"]
    assert [places.of(host, "node-a") for host in ("::1", "localhost", "10.0.0.1")] == ["", "", ""]
    assert places.of("127.0.0.1", "") == ""
    monkeypatch.setattr(places.sys, "platform", "darwin")
    assert places.of("127.0.0.1", "node-a") == ""


@pytest.mark.parametrize(
    ("answers", "waits", "seconds", "asked", "elapsed"),
    [
        (["LOCKED_OUT", "LOCKED_OUT", ""], True, 2, 3, 2),
        (["SIGNATURE_INVALID"], True, 2, 1, 0),
        (["LOCKED_OUT", ""], False, 2, 1, 0),  # the scenario is about lock-outs
        (["LOCKED_OUT", ""], True, 300, 1, 0),  # that is too long to wait for
        (["LOCKED_OUT"] * 9, True, 2, 5, 4),
    ],
)
def test_a_lock_out_that_another_scenario_caused_is_waited_out(
    answers: list[str], waits: bool, seconds: int, asked: int, elapsed: int
) -> None:
    """It asks again after each interval, a few times, and never in scenarios about lock-outs."""
    left: Iterator[str] = iter(answers)
    asks: list[Any] = []
    passed: list[float] = []

    def ask() -> Any:
        asks.append(SimpleNamespace(reading=SimpleNamespace(error=next(left))))
        return asks[-1]

    timings = SimpleNamespace(lockout_seconds=seconds)
    world = SimpleNamespace(profile=SimpleNamespace(timings=timings), waits_out_lockouts=waits, elapse=passed.append)
    assert places.waited_out(cast("Any", world), ask) is asks[-1]
    assert (len(asks), len(passed)) == (asked, elapsed)
