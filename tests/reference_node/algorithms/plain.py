"""Both curves once more, in plain integers from the definitions: slow, short, sharing nothing with the node."""

from __future__ import annotations

import hashlib

from gmalg import SM3

P25519 = 2**255 - 19
SM2_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
SM2_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
Point = tuple[int, int] | None


def x25519(scalar: bytes, u_bytes: bytes) -> bytes:
    """Multiply by the Montgomery ladder of RFC 7748, section 5."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    u = int.from_bytes(u_bytes, "little") & (2**255 - 1)
    x1, x2, z2, x3, z3, swap = u, 1, 0, u, 1, 0
    for bit in range(254, -1, -1):
        here = k >> bit & 1
        if swap ^ here:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = here
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P25519, x1 * (da - cb) ** 2 % P25519
        x2, z2 = aa * bb % P25519, e * (aa + 121665 * e) % P25519
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, -1, P25519) % P25519 if z2 % P25519 else 0).to_bytes(32, "little")


def sm3(data: bytes) -> bytes:
    """Hash with a second implementation of SM3."""
    state = SM3()
    state.update(data)
    return state.value()


def sm2_lift(digest: bytes) -> Point:
    """Find the first point at or behind a digest, with an even y."""
    x = int.from_bytes(digest, "big") % SM2_P
    while True:
        square = (x**3 - 3 * x + SM2_B) % SM2_P
        y = pow(square, (SM2_P + 1) // 4, SM2_P)
        if y * y % SM2_P == square:
            return x, y if y % 2 == 0 else SM2_P - y
        x = (x + 1) % SM2_P


def sm2_add(left: Point, right: Point) -> Point:
    """Add two affine points."""
    if left is None or right is None:
        return right if left is None else left
    if left[0] == right[0]:
        if (left[1] + right[1]) % SM2_P == 0:
            return None
        slope = (3 * left[0] ** 2 - 3) * pow(2 * left[1], -1, SM2_P)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, SM2_P)
    x = (slope * slope - left[0] - right[0]) % SM2_P
    return x, (slope * (left[0] - x) - left[1]) % SM2_P


def sm2_multiply(scalar: int, point: Point) -> Point:
    """Double and add."""
    total: Point = None
    while scalar:
        if scalar & 1:
            total = sm2_add(total, point)
        point = sm2_add(point, point)
        scalar >>= 1
    return total


def compressed(point: Point) -> bytes:
    """Write a point as X9.62 does, compressed."""
    assert point is not None
    return bytes([2 + point[1] % 2]) + point[0].to_bytes(32, "big")


def sha256(data: bytes) -> bytes:
    """Hash with SHA-256."""
    return hashlib.sha256(data).digest()
