"""Snowflakes rise and never repeat, across threads, stepping clocks and restarts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.domain.ids import EPOCH_MS, Snowflake, machine_of, random_id


@given(st.lists(st.integers(EPOCH_MS - 5, EPOCH_MS + 5), min_size=1, max_size=50))
def test_ids_rise_whatever_the_clock_does(clock: list[int]) -> None:
    """Also when the clock stands still or steps back, each id is greater than the one before."""
    flakes = Snowflake(machine=7)
    ids = [int(flakes.next_id(now)) for now in clock]
    assert ids == sorted(set(ids))
    assert all(0 < number < 1 << 63 for number in ids)


def test_a_full_millisecond_borrows_from_the_next() -> None:
    """More ids than a millisecond holds are still distinct and keep the machine number."""
    flakes = Snowflake(machine=1023)
    ids = [int(flakes.next_id(EPOCH_MS + 1)) for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert {number >> 12 & 1023 for number in ids} == {1023}


@given(st.integers(EPOCH_MS, EPOCH_MS + 10**12), st.integers(0, 1000))
def test_a_restart_does_not_repeat(now: int, back: int) -> None:
    """A generator told the last issued id goes on after it, also when the clock was set back meanwhile."""
    last = Snowflake(machine=3).next_id(now)
    assert int(Snowflake(machine=3, last_id=last).next_id(now - back)) > int(last)


def test_threads_never_share_an_id() -> None:
    """Concurrent callers get distinct ids."""
    flakes = Snowflake(machine=1)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: flakes.next_id(EPOCH_MS + 10), range(2000)))
    assert len(set(ids)) == 2000


def test_machine_numbers() -> None:
    """A node id gives a stable ten-bit number, and nothing else is accepted."""
    assert machine_of("node-a") == machine_of("node-a")
    assert all(0 <= machine_of(f"node-{i}") < 1024 for i in range(100))
    with pytest.raises(ValueError, match="ten bits"):
        Snowflake(machine=1024)


def test_random_ids_follow_the_id_pattern() -> None:
    """Random ids differ and have the documented form."""
    first, second = random_id("audit"), random_id("audit")
    assert first != second
    assert first.startswith("audit-")
    assert len(first) == len("audit-") + 32
