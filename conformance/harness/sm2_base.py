"""Points of the SM2 curve (GB/T 32918.1), the base point by a table: quick enough to sign for hundreds of runs.

A run of the kill matrix signs a hundred thousand requests; gmssl-pyx needs milliseconds for each because it multiplies
the base point bit by bit (`loadtests/bench_sm2.py`). The table holds j * 2^(8i) * G for every byte j at every place i,
so that k * G is one addition for each byte of k. Not constant in time: the keys are the harness's own and live as long
as a run.

>>> multiple(1) == (GX, GY)
True
"""

from __future__ import annotations

from functools import cache

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0

_PLACES = 32
Affine = tuple[int, int]
Jacobian = tuple[int, int, int]  # x / z^2, y / z^3; z = 0 is infinity
_INFINITY: Jacobian = (1, 1, 0)


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    delta, gamma = z * z % P, y * y % P
    beta, alpha = x * gamma % P, 3 * (x - delta) * (x + delta) % P  # a = p - 3
    tripled = (alpha * alpha - 8 * beta) % P
    return tripled, (alpha * (4 * beta - tripled) - 8 * gamma * gamma) % P, 2 * y * z % P


def _add(point: Jacobian, other: Affine) -> Jacobian:
    x, y, z = point
    if z == 0:
        return other[0], other[1], 1
    square = z * z % P
    h = (other[0] * square - x) % P
    r = (other[1] * square * z - y) % P
    if h == 0:
        return _double(point) if r == 0 else _INFINITY
    h2 = h * h % P
    h3, v = h * h2 % P, x * h2 % P
    third = (r * r - h3 - 2 * v) % P
    return third, (r * (v - third) - y * h3) % P, z * h % P


def _affine(points: list[Jacobian]) -> list[Affine]:
    """Divide out all z with a single inversion (Montgomery's trick)."""
    products = [1]
    for _, _, z in points:
        products.append(products[-1] * z % P)
    inverse = pow(products[-1], -1, P)
    found: list[Affine] = []
    for (x, y, z), before in zip(reversed(points), reversed(products[:-1]), strict=True):
        one = inverse * before % P
        inverse = inverse * z % P
        found.append((x * one * one % P, y * one * one * one % P))
    return found[::-1]


@cache
def _table() -> list[list[Affine]]:
    rows: list[Jacobian] = []
    base: Affine = (GX, GY)
    for _ in range(_PLACES):
        multiples = [(base[0], base[1], 1)]
        for _ in range(255):
            multiples.append(_add(multiples[-1], base))
        rows += multiples[:255]
        base = _affine(multiples[255:])[0]
    flat = _affine(rows)
    return [flat[start : start + 255] for start in range(0, len(flat), 255)]


def multiple(scalar: int) -> Affine:
    """Return scalar * G for a scalar in [1, n-1]."""
    total = _INFINITY
    for row, byte in zip(_table(), scalar.to_bytes(_PLACES, "little"), strict=True):
        if byte:
            total = _add(total, row[byte - 1])
    return _affine([total])[0]


def product(scalar: int, point: Affine) -> Affine:
    """Return scalar * point for a scalar in [1, n-1]."""
    return _affine([_times(scalar, point)])[0]


def _times(scalar: int, point: Affine) -> Jacobian:
    """Multiply a point, four bits of the scalar at a time."""
    small: list[Jacobian] = [(*point, 1)]
    for _ in range(14):
        small.append(_add(small[-1], point))
    window = _affine(small)
    total = _INFINITY
    for digit in f"{scalar:064x}":
        for _ in range(4):
            total = _double(total)
        if digit != "0":
            total = _add(total, window[int(digit, 16) - 1])
    return total


def combination(s: int, t: int, point: Affine) -> Affine | None:
    """Return s * G + t * point for s and t in [1, n-1]; None when that is infinity."""
    total = _times(t, point)
    total = _add(total, multiple(s))
    return None if total[2] == 0 else _affine([total])[0]
