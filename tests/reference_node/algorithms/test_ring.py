"""Integers as limbs behave as integers modulo a power of two, and their shares as one-time pads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.algorithms.errors import ParamsRefused
from reference_node.algorithms.sharing.ring import WIDTHS, Ring

wide = st.integers(-(2**255), 2**255 - 1)


def wrapped(value: int, bits: int) -> int:
    """Return the representative of a value between -2^(bits-1) and 2^(bits-1) - 1."""
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


@settings(deadline=None)
@given(st.sampled_from(WIDTHS), st.lists(st.tuples(wide, wide), min_size=1, max_size=8))
def test_arithmetic_equals_that_of_integers(bits: int, pairs: list[tuple[int, int]]) -> None:
    """Adding and negating vectors of limbs is adding and negating integers modulo 2^bits, carries included."""
    ring = Ring(bits)
    left = [wrapped(a, bits) for a, _ in pairs]
    right = [wrapped(b, bits) for _, b in pairs]
    total = ring.add(ring.encode(left), ring.encode(right))
    assert ring.to_integers(total) == [wrapped(a + b, bits) for a, b in zip(left, right, strict=True)]
    assert ring.to_integers(ring.negate(ring.encode(left))) == [wrapped(-a, bits) for a in left]


@pytest.mark.parametrize("bits", WIDTHS)
def test_carries_run_through_every_limb(bits: int) -> None:
    """Minus one plus one is zero, and the largest plus one is the smallest."""
    ring = Ring(bits)
    assert ring.to_integers(ring.add(ring.encode([-1, 2 ** (bits - 1) - 1]), ring.encode([1, 1]))) == [
        0,
        -(2 ** (bits - 1)),
    ]


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 5), st.lists(st.integers(-(2**127), 2**127 - 1), min_size=1, max_size=6))
def test_shares_join_to_what_was_split(parties: int, values: list[int]) -> None:
    """All shares together give the vector back."""
    ring = Ring(128)
    assert ring.to_integers(ring.join(ring.split(ring.encode(values), parties))) == values


def test_shares_of_the_same_vector_differ() -> None:
    """Splitting twice gives unrelated shares, the last one included."""
    ring = Ring(128)
    first, second = (ring.split(ring.encode([7]), 3) for _ in range(2))
    assert all((a != b).any() for a, b in zip(first, second, strict=True))


def test_bounds_that_no_ring_holds_are_refused() -> None:
    """The smallest ring is chosen, the sign counted, and beyond 256 bits nothing is."""
    assert Ring.holding(2**63 - 1).bits == 64
    assert Ring.holding(2**63).bits == 128
    with pytest.raises(ParamsRefused):
        Ring.holding(2**255)
