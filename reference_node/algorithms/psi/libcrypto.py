"""The few functions of OpenSSL's libcrypto that masking needs, by ctypes, which lets other threads run meanwhile.

Guarantees: what OpenSSL hands out is freed with the Python object that holds it; contexts are used by one thread; the
error queue is left empty; a secret scalar is marked for constant-time arithmetic and cleared on release.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from typing import Any, Final

from reference_node.algorithms.errors import EngineUnavailable

NID_SM2: Final = 1172
NID_X25519: Final = 1034
COMPRESSED: Final = 2
UNCOMPRESSED: Final = 4
_CONSTANT_TIME: Final = 4  # BN_FLG_CONSTTIME
_OPENSSL_3: Final = 0x30000000
_KNOWN_NAMES: Final = ("libcrypto.so.3", "libcrypto.3.dylib", "libcrypto-3-x64.dll")
_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_SIZE: Final = ctypes.c_size_t
_FUNCTIONS: Final[dict[str, tuple[list[Any], Any]]] = {
    "BN_CTX_new": ([], _POINTER),
    "BN_CTX_free": ([_POINTER], None),
    "BN_new": ([], _POINTER),
    "BN_bin2bn": ([ctypes.c_char_p, _INT, _POINTER], _POINTER),
    "BN_clear_free": ([_POINTER], None),
    "BN_set_flags": ([_POINTER, _INT], None),
    "EC_GROUP_new_by_curve_name": ([_INT], _POINTER),
    "EC_POINT_new": ([_POINTER], _POINTER),
    "EC_POINT_free": ([_POINTER], None),
    "EC_POINT_mul": ([_POINTER] * 6, _INT),
    "EC_POINT_oct2point": ([_POINTER, _POINTER, ctypes.c_char_p, _SIZE, _POINTER], _INT),
    "EC_POINT_point2oct": ([_POINTER, _POINTER, _INT, _POINTER, _SIZE, _POINTER], _SIZE),
    "EC_POINT_set_compressed_coordinates": ([_POINTER, _POINTER, _POINTER, _INT, _POINTER], _INT),
    "EVP_PKEY_new_raw_private_key": ([_INT, _POINTER, ctypes.c_char_p, _SIZE], _POINTER),
    "EVP_PKEY_new_raw_public_key": ([_INT, _POINTER, ctypes.c_char_p, _SIZE], _POINTER),
    "EVP_PKEY_free": ([_POINTER], None),
    "EVP_PKEY_CTX_new": ([_POINTER, _POINTER], _POINTER),
    "EVP_PKEY_CTX_free": ([_POINTER], None),
    "EVP_PKEY_derive_init": ([_POINTER], _INT),
    "EVP_PKEY_derive_set_peer": ([_POINTER, _POINTER], _INT),
    "EVP_PKEY_derive": ([_POINTER, _POINTER, _POINTER], _INT),
    "ERR_clear_error": ([], None),
}


@cache
def library() -> ctypes.CDLL:
    """Load libcrypto 3 and declare the functions used; raise EngineUnavailable."""
    for candidate in (*_KNOWN_NAMES, ctypes.util.find_library("crypto")):
        if candidate is None:
            continue
        try:
            found = ctypes.CDLL(candidate)
            found.OpenSSL_version_num.restype = ctypes.c_ulong
            if found.OpenSSL_version_num() < _OPENSSL_3:
                continue
            for name, (arguments, result) in _FUNCTIONS.items():
                function = getattr(found, name)
                function.argtypes = arguments
                function.restype = result
        except (OSError, AttributeError):  # not there, or built without what is used here
            continue
        return found
    raise EngineUnavailable("libcrypto of OpenSSL 3 was not found")


@cache
def sm2_group() -> int:
    """Return OpenSSL's group of the SM2 curve; raise EngineUnavailable."""
    group = library().EC_GROUP_new_by_curve_name(NID_SM2)
    if not group:
        raise EngineUnavailable("this OpenSSL was built without SM2")
    return int(group)


class Sm2Arithmetic:
    """Points of SM2 times one secret scalar; for one thread."""

    def __init__(self, scalar: int) -> None:
        self._lib = library()
        self._group = sm2_group()
        self._context = self._lib.BN_CTX_new()
        self._from = self._lib.EC_POINT_new(self._group)
        self._to = self._lib.EC_POINT_new(self._group)
        self._x = self._lib.BN_new()
        self._scalar = self._lib.BN_new()
        self._lib.BN_bin2bn(scalar.to_bytes(32, "big"), 32, self._scalar)
        self._lib.BN_set_flags(self._scalar, _CONSTANT_TIME)
        self._out = ctypes.create_string_buffer(65)

    def __del__(self) -> None:
        for free, held in (("EC_POINT_free", "_from"), ("EC_POINT_free", "_to"), ("BN_clear_free", "_x")):
            getattr(self._lib, free)(getattr(self, held))
        self._lib.BN_clear_free(self._scalar)
        self._lib.BN_CTX_free(self._context)

    def lift(self, x: int) -> bool:
        """Take the point with this x and an even y, if there is one."""
        self._lib.BN_bin2bn(x.to_bytes(32, "big"), 32, self._x)
        lift = self._lib.EC_POINT_set_compressed_coordinates
        found: bool = lift(self._group, self._from, self._x, 0, self._context) == 1
        if not found:
            self._lib.ERR_clear_error()
        return found

    def load(self, octets: bytes) -> bool:
        """Take the point that the octets encode; OpenSSL checks ranges and the curve's equation."""
        loaded: bool = self._lib.EC_POINT_oct2point(self._group, self._from, octets, len(octets), self._context) == 1
        if not loaded:
            self._lib.ERR_clear_error()
        return loaded

    def point(self, form: int) -> bytes:
        """Return the point taken."""
        return self._octets(self._from, form)

    def product(self, form: int) -> bytes:
        """Return the scalar times the point taken."""
        if self._lib.EC_POINT_mul(self._group, self._to, None, self._from, self._scalar, self._context) != 1:
            raise EngineUnavailable("OpenSSL refused to multiply a point")
        return self._octets(self._to, form)

    def _octets(self, point: int, form: int) -> bytes:
        length = self._lib.EC_POINT_point2oct(self._group, point, form, self._out, 65, self._context)
        return self._out.raw[:length]


class X25519Arithmetic:
    """u coordinates times one secret scalar (RFC 7748); for one thread."""

    def __init__(self, secret: bytes) -> None:
        self._lib = library()
        self._key = self._lib.EVP_PKEY_new_raw_private_key(NID_X25519, None, secret, 32)
        self._context = self._lib.EVP_PKEY_CTX_new(self._key, None)
        if not self._context or self._lib.EVP_PKEY_derive_init(self._context) != 1:
            raise EngineUnavailable("this OpenSSL was built without X25519")
        self._out = ctypes.create_string_buffer(32)
        self._length = ctypes.c_size_t(32)

    def __del__(self) -> None:
        self._lib.EVP_PKEY_CTX_free(self._context)
        self._lib.EVP_PKEY_free(self._key)

    def product(self, u: bytes) -> bytes | None:
        """Return the product, or None where it is zero: the point was of small order."""
        peer = self._lib.EVP_PKEY_new_raw_public_key(NID_X25519, None, u, 32)
        good = (
            self._lib.EVP_PKEY_derive_set_peer(self._context, peer) == 1
            and self._lib.EVP_PKEY_derive(self._context, self._out, ctypes.byref(self._length)) == 1
        )
        self._lib.EVP_PKEY_free(peer)
        if not good:
            self._lib.ERR_clear_error()
            return None
        return self._out.raw
