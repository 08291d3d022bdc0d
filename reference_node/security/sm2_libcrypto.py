"""libcrypto of OpenSSL 3 as the SM2 backend of the hot path, by ctypes.

Guarantees: every object that OpenSSL hands out is freed; parsed keys are kept in a bounded cache that threads share (a
key in use outlives its eviction, since Python's reference holds it); OpenSSL's per-thread error queue is left empty,
because the interpreter's own `ssl` module may read the same queue. The library is tried with one signature when the
backend is made, so an OpenSSL built without SM2 shows as BackendUnavailable and not in the first request.

    >>> backend = LibcryptoBackend()
    >>> private, public = backend.keygen()
    >>> backend.verify(public, b"m", backend.sign(private, b"m"))
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from reference_node.security import der, sm2
from reference_node.security.errors import BackendUnavailable, InvalidSignature

_OPENSSL_3: Final = 0x30000000
_DER_SIGNATURE_LIMIT: Final = 80  # two integers of 33 bytes with their headers need 72
_SPKI_LIMIT: Final = 256
_KNOWN_NAMES: Final = ("libcrypto.so.3", "libcrypto.3.dylib", "libcrypto-3-x64.dll")

K = TypeVar("K")


class _Key:
    """An EVP_PKEY that is freed with its last reference."""

    __slots__ = ("_free", "pointer", "public")

    def __init__(self, pointer: int, public: bytes, free: Callable[[int], None]) -> None:
        self.pointer = pointer
        self.public = public
        self._free = free

    def __del__(self) -> None:
        self._free(self.pointer)


class _Cache(Generic[K]):
    """The most recently used keys, up to `size`."""

    def __init__(self, size: int, load: Callable[[K], _Key]) -> None:
        self._size = size
        self._load = load
        self._kept: OrderedDict[K, _Key] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, source: K) -> _Key:
        with self._lock:
            if (found := self._kept.get(source)) is not None:
                self._kept.move_to_end(source)
                return found
        key = self._load(source)  # outside the lock: loading takes longer than a signature
        with self._lock:
            self._kept[source] = key
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return key


class LibcryptoBackend:
    """SM2 by EVP_DigestSign and EVP_DigestVerify with SM3 and the distinguishing id."""

    name: Final = "libcrypto"

    def __init__(self, *, cache_size: int = 1024) -> None:
        self._lib = _open()
        self._privates: _Cache[int] = _Cache(cache_size, self._load_private)
        self._publics: _Cache[bytes] = _Cache(cache_size, self._load_public)
        try:
            private, public = self.keygen()
            self.verify(public, b"probe", self.sign(private, b"probe"))
        except InvalidSignature as wrong:
            raise BackendUnavailable("this OpenSSL does not verify the SM2 signatures that it makes") from wrong

    def keygen(self) -> tuple[int, bytes]:
        """Draw a key pair."""
        private = sm2.random_scalar(sm2.N - 1)
        return private, self.public_of(private)

    def public_of(self, private: int) -> bytes:
        """Return the public point of a private scalar."""
        return self._privates.get(private).public

    def sign(self, private: int, message: bytes, user_id: bytes = sm2.DEFAULT_USER_ID) -> bytes:
        """Sign a message; the answer is r || s."""
        sm2.check_user_id(user_id)
        key = self._privates.get(private)
        out = ctypes.create_string_buffer(_DER_SIGNATURE_LIMIT)
        length = ctypes.c_size_t(_DER_SIGNATURE_LIMIT)

        def operation(context: int) -> bool:
            return (
                self._begin(self._lib.EVP_DigestSignInit_ex, context, key, user_id)
                and self._lib.EVP_DigestSign(context, out, ctypes.byref(length), message, len(message)) == 1
            )

        if not self._in_context(operation):
            raise BackendUnavailable("OpenSSL refused to sign with SM2")
        r, s = decode_dss_signature(out.raw[: length.value])
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, public: bytes, message: bytes, signature: bytes, user_id: bytes = sm2.DEFAULT_USER_ID) -> None:
        """Return when the signature holds, else raise InvalidSignature."""
        sm2.check_user_id(user_id)
        key = self._publics.get(public)
        encoded = encode_dss_signature(*sm2.split_signature(signature))

        def operation(context: int) -> bool:
            return (
                self._begin(self._lib.EVP_DigestVerifyInit_ex, context, key, user_id)
                and self._lib.EVP_DigestVerify(context, encoded, len(encoded), message, len(message)) == 1
            )

        if not self._in_context(operation):
            raise InvalidSignature("the SM2 signature does not belong to this message and key")

    def _begin(self, initialise: Callable[..., int], context: int, key: _Key, user_id: bytes) -> bool:
        """Bind a context to SM3, a key and the signer's id; the id is taken only after the key (OpenSSL 3.0)."""
        settings = ctypes.c_void_p()
        return (
            initialise(context, ctypes.byref(settings), b"SM3", None, None, key.pointer, None) == 1
            and self._lib.EVP_PKEY_CTX_set1_id(settings, user_id, len(user_id)) == 1
        )

    def _in_context(self, operation: Callable[[int], bool]) -> bool:
        """Run one digest operation in a context of its own, leaving nothing behind."""
        context = self._lib.EVP_MD_CTX_new()
        if not context:
            raise MemoryError("OpenSSL has no memory for a digest context")
        try:
            return operation(context)
        finally:
            self._lib.EVP_MD_CTX_free(context)
            self._lib.ERR_clear_error()

    def _load_private(self, private: int) -> _Key:
        sm2.check_private(private)
        # without the public half in it: OpenSSL computes that half in constant time while it reads
        return self._load(self._lib.d2i_AutoPrivateKey, der.sm2_private(private))

    def _load_public(self, public: bytes) -> _Key:
        sm2.check_point(public)
        return self._load(self._lib.d2i_PUBKEY, der.sm2_public(public))

    def _load(self, read: Callable[..., int | None], encoded: bytes) -> _Key:
        cursor = ctypes.c_char_p(encoded)
        pointer = read(None, ctypes.byref(cursor), len(encoded))
        if not pointer:
            self._lib.ERR_clear_error()
            raise BackendUnavailable("OpenSSL refused an SM2 key")
        out = (ctypes.c_ubyte * _SPKI_LIMIT)()
        end = ctypes.c_void_p(ctypes.addressof(out))
        length = self._lib.i2d_PUBKEY(pointer, ctypes.byref(end))
        self._lib.ERR_clear_error()
        return _Key(pointer, bytes(out[length - sm2.POINT_BYTES : length]), self._lib.EVP_PKEY_free)


def _open() -> ctypes.CDLL:
    """Load libcrypto 3 and declare the functions used."""
    for candidate in (*_KNOWN_NAMES, ctypes.util.find_library("crypto")):
        if candidate is None:
            continue
        try:
            library = ctypes.CDLL(candidate)
            library.OpenSSL_version_num.restype = ctypes.c_ulong
            if library.OpenSSL_version_num() >= _OPENSSL_3:
                return _declare(library)
        except (OSError, AttributeError):  # not there, or older than the names used here
            continue
    raise BackendUnavailable("libcrypto of OpenSSL 3 was not found")


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    init = [pointer, pointer, text, pointer, text, pointer, pointer]
    read = [pointer, pointer, ctypes.c_long]
    declared: dict[str, tuple[list[Any], Any]] = {
        "d2i_PUBKEY": (read, pointer),
        "d2i_AutoPrivateKey": (read, pointer),
        "i2d_PUBKEY": ([pointer, pointer], ctypes.c_int),
        "EVP_PKEY_free": ([pointer], None),
        "EVP_MD_CTX_new": ([], pointer),
        "EVP_MD_CTX_free": ([pointer], None),
        "EVP_PKEY_CTX_set1_id": ([pointer, text, ctypes.c_int], ctypes.c_int),
        "EVP_DigestSignInit_ex": (init, ctypes.c_int),
        "EVP_DigestSign": ([pointer, pointer, pointer, text, size], ctypes.c_int),
        "EVP_DigestVerifyInit_ex": (init, ctypes.c_int),
        "EVP_DigestVerify": ([pointer, text, size, text, size], ctypes.c_int),
        "ERR_clear_error": ([], None),
    }
    for name, (arguments, result) in declared.items():
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = result
    return library
