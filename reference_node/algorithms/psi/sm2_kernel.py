# mypy: disallow-untyped-decorators=False
"""Whole batches of SM2 points times one scalar, compiled by numba (extra `fast`): several times libcrypto on a core.

Guarantees: the same points as `libcrypto.Sm2Arithmetic`, bit for bit (a test holds them against each other). A point is
taken only with x below p and on the curve. The scalar is written in signed odd digits of fixed length; every digit
costs the same operations, and the table is read as a whole for each, so in the compiled code neither branches nor
addresses depend on the scalar. The interpreter's lock is released.

Numbers are four 64-bit limbs, least first, in Montgomery form modulo p = 2^256 - 2^224 - 2^96 + 2^64 - 1. As -1/p is 1
modulo 2^64, a reduction step needs shifts and no multiplication. Points are Jacobian (a = -3), formulas dbl-2001-b and
madd-2007-bl of the Explicit-Formulas Database. Their exceptional cases would need a scalar within 32 of 0 or n, which
`multiply` refuses.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Limbs = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
P: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
N: Final = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
B: Final = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
DIGITS: Final = 52  # of five bits: 260 bits
_MARGIN: Final = 64


def _limbs(value: int) -> tuple[Any, ...]:
    return tuple(np.uint64(value >> (64 * at) & (2**64 - 1)) for at in range(4))


_WIDE, _WORD = ir.IntType(320), ir.IntType(64)
_NUMBER: Any = types.UniTuple(types.uint64, 4)  # type: ignore[no-untyped-call,unused-ignore]
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_RR: Final = _limbs(2**512 % P)
_UNIT: Final = _limbs(2**256 % P)
_B_FORM: Final = _limbs(B * 2**256 % P)
_PLAIN_ONE: Final = _limbs(1)
_NOTHING: Final = _limbs(0)
_ROOT: Final = np.array(_limbs((P + 1) // 4), np.uint64)
_INVERSE: Final = np.array(_limbs(P - 2), np.uint64)


def _joined(builder: Any, words: Any) -> Any:
    """Put four words together to one number of 320 bits."""
    total = builder.zext(words[0], _WIDE)
    for at in range(1, 4):
        total = builder.or_(total, builder.shl(builder.zext(words[at], _WIDE), _WIDE(64 * at)))
    return total


def _split(builder: Any, number: Any) -> Any:
    """Take a number below 2^256 apart."""
    words = ir.Constant(ir.ArrayType(_WORD, 4), ir.Undefined)
    for at in range(4):
        word = builder.trunc(builder.lshr(number, _WIDE(64 * at)), _WORD)
        words = builder.insert_value(words, word, at)
    return words


def _below_p(builder: Any, number: Any) -> Any:
    """Subtract p once where the number is not below it."""
    less = builder.sub(number, _WIDE(P))
    negative = builder.icmp_signed("<", less, _WIDE(0))
    return builder.select(negative, number, less)


def _product_row(builder: Any, word: Any, b: Any) -> Any:
    """Multiply a word with four words: the even and the odd places apart, so that nothing runs over between them."""
    double = ir.IntType(128)
    pieces = []
    for at in range(4):
        piece = builder.mul(builder.zext(word, double), builder.zext(b[at], double))
        pieces.append(builder.shl(builder.zext(piece, _WIDE), _WIDE(64 * at)))
    return builder.add(builder.or_(pieces[0], pieces[2]), builder.add(pieces[1], pieces[3]))


def _montgomery(builder: Any, words: Any) -> Any:
    """Build a * b / 2^256 modulo p from the words of both."""
    a, b = words[:4], words[4:]
    total = _WIDE(0)
    for at in range(4):
        total = builder.add(total, _product_row(builder, a[at], b))
        low = builder.zext(builder.trunc(total, _WORD), _WIDE)
        # (t + low * p) / 2^64 = t / 2^64 rounded down + low * (2^192 - 2^160 - 2^32 + 1)
        more = builder.add(builder.shl(low, _WIDE(192)), low)
        less = builder.add(builder.shl(low, _WIDE(160)), builder.shl(low, _WIDE(32)))
        total = builder.add(builder.lshr(total, _WIDE(64)), builder.sub(more, less))
    return _below_p(builder, total)


def _sum(builder: Any, words: Any) -> Any:
    """Build a + b modulo p."""
    return _below_p(builder, builder.add(_joined(builder, words[:4]), _joined(builder, words[4:])))


def _difference(builder: Any, words: Any) -> Any:
    """Build a - b modulo p."""
    less = builder.sub(_joined(builder, words[:4]), _joined(builder, words[4:]))
    sign = builder.ashr(less, _WIDE(319))
    return builder.add(less, builder.and_(sign, _WIDE(P)))


def _compiled(build: Any) -> Any:
    """Return an operation on two numbers of four words each as one that numba can call."""

    def operation(_context: Any, a: Any, b: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            words = [builder.extract_value(number, at) for number in arguments for at in range(4)]
            return _split(builder, build(builder, words))

        return _NUMBER(a, b), generate

    return intrinsic(operation)


_times, _add, _sub = _compiled(_montgomery), _compiled(_sum), _compiled(_difference)


@njit(cache=True)
def _mul(a: Any, b: Any) -> Any:
    """Return a * b / 2^256 modulo p."""
    return _times(a, b)


@njit(cache=True)
def _sqr(a: Any) -> Any:
    """Return a * a / 2^256 modulo p; the compiler sees equal products."""
    return _times(a, a)


@njit(cache=True)
def _power(a: Any, exponent: Any) -> Any:
    """Raise to a public exponent."""
    result = _UNIT
    for bit in range(255, -1, -1):
        result = _sqr(result)
        if (exponent[bit >> 6] >> np.uint64(bit & 63)) & _ONE:
            result = _mul(result, a)
    return result


@njit(cache=True)
def _root_of(x: Any) -> Any:
    """Return whether x (Montgomery form) belongs to a point, and the even-or-odd y that the root gives."""
    three = _add(_add(x, x), x)
    square = _add(_sub(_mul(_sqr(x), x), three), _B_FORM)
    y = _power(square, _ROOT)
    back = _sqr(y)
    same = (back[0] == square[0]) & (back[1] == square[1]) & (back[2] == square[2]) & (back[3] == square[3])
    return same, y


@njit(cache=True)
def _double(x: Any, y: Any, z: Any) -> Any:
    """Double a Jacobian point."""
    delta = _sqr(z)
    gamma = _sqr(y)
    beta = _mul(x, gamma)
    alpha = _mul(_sub(x, delta), _add(x, delta))
    alpha = _add(_add(alpha, alpha), alpha)
    beta4 = _add(_add(beta, beta), _add(beta, beta))
    x3 = _sub(_sqr(alpha), _add(beta4, beta4))
    yz = _add(y, z)
    z3 = _sub(_sub(_sqr(yz), gamma), delta)
    gamma2 = _sqr(gamma)
    gamma8 = _add(_add(gamma2, gamma2), _add(gamma2, gamma2))
    gamma8 = _add(gamma8, gamma8)
    y3 = _sub(_mul(alpha, _sub(beta4, x3)), gamma8)
    return x3, y3, z3


@njit(cache=True)
def _add_points(x1: Any, y1: Any, z1: Any, x2: Any, y2: Any, z2: Any) -> Any:
    """Add two different Jacobian points, neither at infinity."""
    zz1, zz2 = _sqr(z1), _sqr(z2)
    u1, u2 = _mul(x1, zz2), _mul(x2, zz1)
    s1, s2 = _mul(_mul(y1, z2), zz2), _mul(_mul(y2, z1), zz1)
    h, r = _sub(u2, u1), _sub(s2, s1)
    hh = _sqr(h)
    hhh = _mul(h, hh)
    v = _mul(u1, hh)
    x3 = _sub(_sub(_sqr(r), hhh), _add(v, v))
    y3 = _sub(_mul(r, _sub(v, x3)), _mul(s1, hhh))
    return x3, y3, _mul(_mul(z1, z2), h)


@njit(cache=True, inline="always")
def _get(table: Any, at: int) -> Any:
    return table[at, 0], table[at, 1], table[at, 2], table[at, 3]


@njit(cache=True, inline="always")
def _put(table: Any, at: int, value: Any) -> None:
    table[at, 0], table[at, 1], table[at, 2], table[at, 3] = value[0], value[1], value[2], value[3]


@njit(cache=True)
def _select(table: Any, index: Any, out: Any) -> None:
    """Copy one of 16 points (48 rows of limbs), reading all of them."""
    for row in range(3):
        for limb in range(4):
            word = _ZERO
            for at in range(16):
                word |= table[3 * at + row, limb] & (_ZERO - np.uint64(np.uint64(at) == index))
            out[row, limb] = word


@njit(cache=True, nogil=True)
def _multiply(xs: Any, ys: Any, indices: Any, signs: Any) -> None:
    """Replace affine points (Montgomery form) by their products with the scalar of these digits."""
    count = len(xs)
    zs = np.empty((count, 4), np.uint64)
    table, chosen = np.empty((48, 4), np.uint64), np.empty((3, 4), np.uint64)
    for at in range(count):
        x, y, z = _get(xs, at), _get(ys, at), _UNIT
        dx, dy, dz = _double(x, y, z)
        for odd in range(16):
            _put(table, 3 * odd, x)
            _put(table, 3 * odd + 1, y)
            _put(table, 3 * odd + 2, z)
            if odd < 15:
                x, y, z = _add_points(x, y, z, dx, dy, dz)
        _select(table, indices[0], chosen)
        x, y, z = _get(chosen, 0), _get(chosen, 1), _get(chosen, 2)
        for digit in range(1, len(indices)):
            for _ in range(5):
                x, y, z = _double(x, y, z)
            _select(table, indices[digit], chosen)
            y2, mask = _get(chosen, 1), _ZERO - signs[digit]
            opposite = _sub(_NOTHING, y2)
            y2 = (
                (y2[0] & ~mask) | (opposite[0] & mask),
                (y2[1] & ~mask) | (opposite[1] & mask),
                (y2[2] & ~mask) | (opposite[2] & mask),
                (y2[3] & ~mask) | (opposite[3] & mask),
            )
            x, y, z = _add_points(x, y, z, _get(chosen, 0), y2, _get(chosen, 2))
        _put(xs, at, x)
        _put(ys, at, y)
        _put(zs, at, z)
    _to_affine(xs, ys, zs)


@njit(cache=True)
def _to_affine(xs: Any, ys: Any, zs: Any) -> None:
    """Divide by z with one inversion for all points."""
    count = len(xs)
    before = np.empty((count, 4), np.uint64)
    product = _UNIT
    for at in range(count):
        _put(before, at, product)
        product = _mul(product, _get(zs, at))
    inverse = _power(product, _INVERSE)
    for at in range(count - 1, -1, -1):
        one = _mul(inverse, _get(before, at))
        inverse = _mul(inverse, _get(zs, at))
        square = _sqr(one)
        _put(xs, at, _mul(_get(xs, at), square))
        _put(ys, at, _mul(_get(ys, at), _mul(square, one)))


@njit(cache=True, nogil=True)
def _load(xs: Any, odd: Any, ys: Any) -> int:
    """Turn x into Montgomery form and find y of the parity asked for; return the first row without a point, or -1."""
    for at in range(len(xs)):
        x = _get(xs, at)
        same = _add(x, _NOTHING)
        if (same[0] != x[0]) | (same[1] != x[1]) | (same[2] != x[2]) | (same[3] != x[3]):
            return at  # x was not below p
        x = _mul(x, _RR)
        found, y = _root_of(x)
        if not found:
            return at
        if (_mul(y, _PLAIN_ONE)[0] & _ONE) != odd[at]:
            y = _sub(_NOTHING, y)
        _put(xs, at, x)
        _put(ys, at, y)
    return -1


@njit(cache=True, nogil=True)
def _lift(xs: Any) -> None:
    """Move each x, not above 2^256, to the first one that belongs to a point."""
    for at in range(len(xs)):
        x = _get(xs, at)
        x = _add(x, _NOTHING)
        while not _root_of(_mul(x, _RR))[0]:
            x = _add(x, _PLAIN_ONE)
        _put(xs, at, x)


@njit(cache=True, nogil=True)
def _plain(values: Any) -> None:
    """Leave Montgomery form."""
    for at in range(len(values)):
        _put(values, at, _mul(_get(values, at), _PLAIN_ONE))


def digits(scalar: int) -> tuple[Limbs, Limbs]:
    """Write an odd scalar in signed odd digits of five bits: places in the table, and signs, the first one highest."""
    found = []
    for _ in range(DIGITS - 1):
        digit = scalar % 64 - 32
        found.append(digit)
        scalar = (scalar - digit) >> 5
    found.append(scalar)
    found.reverse()
    return (
        np.array([abs(digit) >> 1 for digit in found], np.uint64),
        np.array([digit < 0 for digit in found], np.uint64),
    )


def lift(digests: bytes) -> bytes:
    """Return for each 32 bytes the compressed point at or behind them, with an even y."""
    xs = _read(np.frombuffer(digests, np.uint8).reshape(-1, 32))
    _lift(xs)
    return _written(xs, np.zeros(len(xs), np.uint8))


def multiply(points: bytes, scalar: int) -> bytes | None:
    """Multiply compressed points; return None where one is not on the curve."""
    if not _MARGIN <= scalar <= N - _MARGIN:
        raise ValueError("the scalar is too close to 0 or to the group's order")
    table = np.frombuffer(points, np.uint8).reshape(-1, 33)
    xs, odd = _read(table[:, 1:]), (table[:, 0] & 1).astype(np.uint64)
    ys = np.empty_like(xs)
    if _load(xs, odd, ys) >= 0:
        return None
    even = scalar % 2 == 0
    _multiply(xs, ys, *digits(N - scalar if even else scalar))
    _plain(xs)
    _plain(ys)
    return _written(xs, ((ys[:, 0] & _ONE).astype(np.uint8) ^ np.uint8(even)))


def _read(octets: Bytes) -> Limbs:
    words = np.ascontiguousarray(octets).view(">u8").astype(np.uint64)
    return np.ascontiguousarray(words[:, ::-1])


def _written(xs: Limbs, odd: Bytes) -> bytes:
    table = np.empty((len(xs), 33), np.uint8)
    table[:, 0] = 2 + odd
    table[:, 1:] = np.ascontiguousarray(xs[:, ::-1]).astype(">u8").view(np.uint8).reshape(-1, 32)
    return table.tobytes()
