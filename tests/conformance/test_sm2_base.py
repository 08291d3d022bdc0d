"""The table of base point multiples, held against gmssl's own scalar product."""

from __future__ import annotations

from gmssl import sm2 as plain
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance.harness import sm2, sm2_base

MACHINE = plain.CryptSM2(private_key="", public_key="")


@settings(max_examples=25)
@example(1)
@example(255)
@example(256)
@example(sm2.N - 1)
@given(st.integers(1, sm2.N - 1))
def test_a_multiple_is_what_gmssl_computes(scalar: int) -> None:
    """Table and bit-by-bit multiplication give the same point."""
    expected = MACHINE._kg(scalar, MACHINE.ecc_table["g"])
    assert "".join(f"{part:064x}" for part in sm2_base.multiple(scalar)) == expected


@given(st.integers(1, sm2.N - 2), st.integers(1, sm2.N - 2))
def test_adding_scalars_adds_points(one: int, other: int) -> None:
    """(a + b) G = a G + b G, also where a = b and the addition must double."""
    total = (one + other) % sm2.N
    if total:
        left = (*sm2_base.multiple(one), 1)
        assert sm2_base._affine([sm2_base._add(left, sm2_base.multiple(other))])[0] == sm2_base.multiple(total)
