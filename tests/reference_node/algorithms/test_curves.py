"""Masking commutes, refuses bad points, and is the same whatever computes it."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.algorithms.errors import PointRefused
from reference_node.algorithms.psi import curves
from reference_node.algorithms.psi.curves import FORMATS, SM2_N, SM2_P, Curve, PointFormat, Sm2, Suite, make_curve
from tests.reference_node.algorithms import plain

BOTH = [(suite, form) for suite in Suite for form in FORMATS[suite]]
scalars = st.integers(64, SM2_N - 64)


def points_of(curve: Curve, count: int) -> bytes:
    """Return the points of the first identifiers."""
    return curve.points(b"".join(curve.digest(str(at).encode()) for at in range(count)))


@pytest.mark.parametrize(("suite", "form"), BOTH)
def test_masks_commute(suite: Suite, form: PointFormat) -> None:
    """Two masks in either order give the same points, and never the points that went in."""
    one, other = make_curve(suite, form), make_curve(suite, form, workers=2)
    start = points_of(one, 300)
    there, back = other.mask(one.mask(start)), one.mask(other.mask(start))
    other.close()
    assert there == back != start
    assert len(there) == 300 * one.point_bytes


@pytest.mark.parametrize(("suite", "form"), BOTH)
def test_half_a_point_is_refused(suite: Suite, form: PointFormat) -> None:
    """Bytes that are no whole number of points are refused."""
    curve = make_curve(suite, form)
    with pytest.raises(PointRefused):
        curve.mask(points_of(curve, 2)[:-1])


def test_secret_shows_in_no_text() -> None:
    """A curve's representation does not hold its secret."""
    secret = int.from_bytes(hashlib.sha256(b"sentinel").digest(), "big") % SM2_N
    assert str(secret) not in repr(Sm2(PointFormat.X962_COMPRESSED, secret))


@pytest.fixture(scope="module")
def kernel() -> object:
    """The compiled kernel; the development extra brings numba."""
    found = curves.sm2_kernel()
    assert found is not None, "numba is not installed: pip install -e .[dev]"
    return found


@settings(max_examples=20, deadline=None)
@given(scalars, st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20))
def test_kernel_and_libcrypto_agree(kernel: object, scalar: int, digests: list[bytes]) -> None:
    """For any scalar, even or odd, and any digests, the compiled kernel gives what libcrypto gives."""
    library = Sm2(PointFormat.X962_COMPRESSED, scalar)
    points = library.points(b"".join(digests))
    assert kernel.lift(b"".join(digests)) == points  # type: ignore[attr-defined]
    assert kernel.multiply(points, scalar) == library.mask(points)  # type: ignore[attr-defined]


@pytest.mark.parametrize("scalar", [64, 65, 2**128, 2**255 + 1, SM2_N - 65, SM2_N - 64, 0x1F << 200, (1 << 255) - 1])
def test_kernel_holds_for_scalars_of_every_shape(kernel: object, scalar: int) -> None:
    """Small, large, sparse and dense scalars give what plain integers give."""
    place = plain.sm2_lift(plain.sm3(b"shape"))
    expected = plain.compressed(plain.sm2_multiply(scalar, place))
    assert kernel.multiply(plain.compressed(place), scalar) == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("scalar", [0, 1, 63, SM2_N - 1, SM2_N])
def test_kernel_refuses_scalars_at_the_ends(kernel: object, scalar: int) -> None:
    """Scalars for which its formulas have exceptions are refused, not computed wrongly."""
    with pytest.raises(ValueError, match="too close"):
        kernel.multiply(plain.compressed(plain.sm2_lift(bytes(32))), scalar)  # type: ignore[attr-defined]


@pytest.mark.parametrize("x", [SM2_P, SM2_P + 1, 2**256 - 1, None])
def test_kernel_refuses_points_off_the_curve(kernel: object, x: int | None) -> None:
    """A coordinate that is not below p, or belongs to no point, gives nothing."""
    good = plain.compressed(plain.sm2_lift(plain.sm3(b"good")))
    if x is None:
        x = int.from_bytes(plain.sm3(b"good"), "big")
        while plain.sm2_lift(x.to_bytes(32, "big"))[0] == x:  # type: ignore[index]
            x += 1
    bad = b"\x02" + x.to_bytes(32, "big")
    assert kernel.multiply(good + bad, 12345) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "digest", [bytes(32), b"\xff" * 32, SM2_P.to_bytes(32, "big"), (SM2_P - 1).to_bytes(32, "big")]
)
def test_digests_at_the_ends_wrap_alike(kernel: object, digest: bytes) -> None:
    """Digests at 0, at p and above are reduced and counted up the same way everywhere."""
    expected = plain.compressed(plain.sm2_lift(digest))
    assert kernel.lift(digest) == expected  # type: ignore[attr-defined]
    assert Sm2(PointFormat.X962_COMPRESSED).points(digest) == expected


def test_large_runs_use_the_kernel_unnoticed(kernel: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the threshold the kernel serves, refuses the same points, and without numba libcrypto goes on."""
    monkeypatch.setattr(curves, "KERNEL_FROM", 100)
    curve = Sm2(PointFormat.X962_COMPRESSED, 0x123456789ABCDEF)
    points = points_of(curve, 60)
    assert curve._kernel(0) is None
    slow = curve.mask(points)
    assert curve._kernel(0) is kernel
    assert curve.mask(points) == slow
    with pytest.raises(PointRefused):
        curve.mask(b"\x02" + b"\xff" * 32)
    monkeypatch.setattr(curves, "sm2_kernel", lambda: None)
    assert curve.mask(points) == slow


@pytest.mark.parametrize(("size", "loaded"), [(16 * 1024, True), (100, False)])
def test_what_is_not_loaded_ahead_is_not_loaded_later(
    kernel: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, loaded: bool
) -> None:
    """A confined component keeps no compiled code: large tables load the kernel before, small ones do without."""
    monkeypatch.setattr(curves, "KERNEL_FROM", 1)
    monkeypatch.setattr(curves, "_settled", threading.Event())
    curves.sm2_kernel.cache_clear()
    try:
        (tmp_path / "table.csv").write_bytes(bytes(size))
        curves.load_ahead([tmp_path / "table.csv", tmp_path / "none.csv"])
        found = Sm2(PointFormat.X962_COMPRESSED)._kernel(2)
        assert (found is kernel) if loaded else (found is None)
    finally:
        curves.sm2_kernel.cache_clear()
