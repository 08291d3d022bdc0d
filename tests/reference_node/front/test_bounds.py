"""Who goes when there are too many connections: a model of many opens and closes, and the rules one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reference_node.front.bounds import Bounds, whose


def _crowd(bounds: Bounds[str], address: str, count: int, *, proven: bool = False) -> list[str]:
    lines = [f"{address}#{number}" for number in range(count)]
    for line in lines:
        bounds.enter(line, address)
        bounds.wait(line, proven=proven)
    return lines


def test_an_address_at_its_bound_loses_its_own_longest_waiting_stranger() -> None:
    """Others lose nothing, and a connection that was used stays."""
    bounds: Bounds[str] = Bounds(most=100, each=3)
    used = _crowd(bounds, "a", 1, proven=True)
    bounds.enter("fresh", "a")
    bounds.wait("fresh", proven=False)
    bounds.enter("later", "a")
    bounds.wait("later", proven=False)
    _crowd(bounds, "b", 1)
    assert bounds.full("a")
    assert bounds.victim("a") == "fresh"
    assert not bounds.full("b")
    bounds.leave("fresh")
    bounds.leave("later")
    _crowd(bounds, "a", 2, proven=True)
    assert bounds.victim("a") == used[0]


def test_a_full_house_takes_from_whoever_has_most() -> None:
    """A flood of one address leaves the partner's connection alone."""
    bounds: Bounds[str] = Bounds(most=10, each=100)
    partner = _crowd(bounds, "partner", 1)
    flood = _crowd(bounds, "flood", 9)
    assert bounds.full("new")
    assert bounds.victim("new") == flood[0]
    assert bounds.victim("flood") == flood[0]
    assert partner[0] not in (bounds.victim("new"), bounds.victim("flood"))


def test_what_is_being_answered_never_goes() -> None:
    """With all at work there is no victim, and the new one is turned away."""
    bounds: Bounds[str] = Bounds(most=2, each=2)
    for line in _crowd(bounds, "a", 2):
        bounds.work(line)
    assert bounds.full("b")
    assert bounds.victim("b") is None
    assert bounds.victim("a") is None


def test_a_balancer_is_bounded_only_with_all() -> None:
    """Its own address counts until it has said for whom it speaks."""
    bounds: Bounds[str] = Bounds(most=10, each=2)
    _crowd(bounds, "balancer", 5)
    assert not bounds.full("balancer", exempt=True)
    assert bounds.full("balancer")


def test_for_whom_an_address_counts() -> None:
    """An IPv6 network of 64 bits is one party; IPv4 in IPv6 is IPv4."""
    assert whose("192.0.2.1") == whose("::ffff:192.0.2.1") == "192.0.2.1"
    assert whose("2001:db8::1") == whose("2001:db8::2:1%eth0") != whose("2001:db8:0:1::1")
    assert whose("somewhere") == "somewhere"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["enter", "work", "wait", "leave"])), max_size=80))
def test_bounds_hold_whatever_happens(acts: list[tuple[str, str]]) -> None:
    """Never more than allowed, with every victim gone; nothing is counted that is not there."""
    bounds: Bounds[int] = Bounds(most=5, each=3)
    there: dict[int, str] = {}
    for number, (address, act) in enumerate(acts):
        mine = next((line for line, owner in there.items() if owner == address), None)
        if act == "enter":
            while bounds.full(address):
                victim = bounds.victim(address)
                if victim is None:
                    break
                bounds.leave(victim)
                del there[victim]
            if not bounds.full(address):
                bounds.enter(number, address)
                bounds.wait(number, proven=number % 2 == 0)
                there[number] = address
        elif mine is not None:
            if act == "work":
                bounds.work(mine)
            elif act == "wait":
                bounds.wait(mine, proven=True)
            else:
                bounds.leave(mine)
                del there[mine]
        assert len(bounds) == len(there) <= 5
        assert all(list(there.values()).count(owner) <= 3 for owner in "abc")
