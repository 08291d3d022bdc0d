"""Sets as arrays: distinct values, secret orders, membership."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.algorithms.psi.matching import distinct, members, secret_order


@settings(deadline=None)
@given(st.sampled_from([12, 13, 16, 32]), st.lists(st.integers(0, 9), max_size=40), st.lists(st.integers(0, 9)))
def test_membership_is_that_of_sets(size: int, own: list[int], others: list[int]) -> None:
    """A value is found where, and only where, the other side has it, also among values that differ in one byte."""

    def written(values: list[int]) -> bytes:
        return b"".join(b"\x07" * (size - 9) + bytes([value % 3]) + bytes(7) + bytes([value]) for value in values)

    assert members(written(own), written(others), size).tolist() == [value in set(others) for value in own]


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), max_size=40))
def test_distinct_values_keep_the_order_of_their_first_rows(values: list[int]) -> None:
    """Every row leads to the first row with its value, and first rows ascend."""
    first, place = distinct(b"".join(value.to_bytes(32, "big") for value in values), 32)
    assert [values[row] for row in first] == list(dict.fromkeys(values))
    assert [values[first[at]] for at in place] == values


def test_secret_order_is_a_permutation_and_never_the_same() -> None:
    """Every place stands once; two draws differ."""
    one, other = secret_order(1000), secret_order(1000)
    assert sorted(one.tolist()) == list(range(1000))
    assert (one != other).any()


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_thing_have_an_order(count: int) -> None:
    """The smallest sets are no special case."""
    assert np.array_equal(secret_order(count), np.arange(count))
