"""The benchmark of many connections measures what it says: they stand, and others are answered while they do."""

from __future__ import annotations

import pytest

from loadtests.bench_connections import MODES, measure
from loadtests.crowd import first_message, guests


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_others_are_answered_while_they_stand(mode: str) -> None:
    """Three hundred instead of ten thousand; a request that is refused would end the run."""
    found = measure(mode, 300, 20)
    assert found.standing >= 298
    assert found.crowded.longest > 0
    assert found.memory_crowded < found.memory_before + 64


def test_a_crowd_is_of_three_kinds() -> None:
    """A third sends nothing, a third drips, a third stops half way, some of TLS only after a whole message."""
    hello = first_message()
    assert hello.startswith(b"\x16\x03")
    found = guests(300, ["127.0.1.1"], hello)
    kinds = [(not each.at_once and not each.drips, bool(each.drips), bool(each.at_once)) for each in found]
    assert [sum(kind) for kind in zip(*kinds, strict=True)] == [100, 100, 100]
    assert 0 < sum(guest.at_once == hello for guest in found) < 10
