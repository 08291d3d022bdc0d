"""SM2 by every backend: the known answer, agreement between libraries, refusals, gmssl's defects mended."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import gmalg
import gmssl_pyx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from gmssl.sm2 import CryptSM2, default_ecc_table
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.security import sm2, sm2_libcrypto
from reference_node.security.errors import BackendUnavailable, CredentialMalformed, InvalidSignature
from reference_node.security.sm2 import Sm2Backend
from reference_node.security.sm2_gmssl import GmsslBackend
from reference_node.security.sm2_libcrypto import LibcryptoBackend

from .conftest import vector

ANSWER = vector("sm2/signature.json")
PRIVATE = int(ANSWER["private_key"], 16)
PUBLIC = bytes.fromhex(ANSWER["public_key"])
MESSAGE = bytes.fromhex(ANSWER["message_hex"])
USER_ID = bytes.fromhex(ANSWER["user_id_hex"])
SIGNATURE = bytes.fromhex(ANSWER["r"] + ANSWER["s"])
DIGEST = bytes.fromhex(ANSWER["e"])
BASE_POINT = sm2.GX.to_bytes(32, "big").hex() + sm2.GY.to_bytes(32, "big").hex()
OFF_CURVE = b"\x04" + (5).to_bytes(32, "big") + (7).to_bytes(32, "big")


def raw(r: int, s: int) -> bytes:
    """Write r || s."""
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def abscissa(scalar: int) -> int:
    """Return the x coordinate of a multiple of the base point."""
    return int.from_bytes(GmsslBackend().public_of(scalar)[1:33], "big")


# --- the standard's example (GB/T 32918.5, annex A)


def test_the_standards_digests_are_reproduced() -> None:
    """ZA and the signed digest e equal the standard's."""
    assert sm2.identity_digest(PUBLIC, USER_ID).hex() == ANSWER["za"]
    assert sm2.signed_digest(PUBLIC, MESSAGE, USER_ID) == DIGEST


def test_the_standards_key_and_signature_are_accepted(backend: Sm2Backend) -> None:
    """Every backend derives the standard's public key, takes its signature and refuses it for another message."""
    assert backend.public_of(PRIVATE) == PUBLIC
    backend.verify(PUBLIC, MESSAGE, SIGNATURE, USER_ID)
    with pytest.raises(InvalidSignature):
        backend.verify(PUBLIC, MESSAGE + b".", SIGNATURE, USER_ID)


def test_the_standards_nonce_gives_the_standards_signature() -> None:
    """With k fixed, r and s are the standard's."""
    fixed = GmsslBackend(nonces=lambda: int(ANSWER["k"], 16))
    assert fixed.sign(PRIVATE, MESSAGE, USER_ID) == SIGNATURE


# --- agreement


def signers(private: int, public: bytes, message: bytes, user_id: bytes) -> dict[str, bytes]:
    """Sign with every implementation at hand."""
    secret = private.to_bytes(32, "big")
    r, s = gmalg.SM2(sk=secret, uid=user_id, pk=public).sign(message)
    der_signature = gmssl_pyx.sm2_sign(secret, public[1:], message, signer_id=user_id)
    return {
        "libcrypto": LibcryptoBackend().sign(private, message, user_id),
        "gmssl": GmsslBackend().sign(private, message, user_id),
        "gmalg": raw(int.from_bytes(r, "big"), int.from_bytes(s, "big")),
        "gmssl-pyx": raw(*decode_dss_signature(der_signature)),
    }


def verifies(name: str, public: bytes, message: bytes, signature: bytes, user_id: bytes) -> bool:
    """Tell whether one implementation takes a signature."""
    match name:
        case "gmalg":
            return bool(gmalg.SM2(uid=user_id, pk=public).verify(message, signature[:32], signature[32:]))
        case "gmssl-pyx":
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            return bool(gmssl_pyx.sm2_verify(public[1:], message, encode_dss_signature(r, s), signer_id=user_id))
        case _:
            backend: Sm2Backend = LibcryptoBackend() if name == "libcrypto" else GmsslBackend()
            try:
                backend.verify(public, message, signature, user_id)
            except InvalidSignature:
                return False
            return True


@pytest.mark.parametrize("user_id", [USER_ID, b"ALICE123@YAHOO.COM"], ids=["default-id", "other-id"])
def test_four_implementations_agree_both_ways(user_id: bytes) -> None:
    """Each of four libraries takes the signatures of all, and none takes one over another message."""
    private, public = LibcryptoBackend().keygen()
    for signer, signature in signers(private, public, b"both ways", user_id).items():
        for verifier in ("libcrypto", "gmssl", "gmalg", "gmssl-pyx"):
            assert verifies(verifier, public, b"both ways", signature, user_id), (signer, verifier)
            assert not verifies(verifier, public, b"other ways", signature, user_id), (signer, verifier)


@settings(max_examples=60, deadline=None)
@given(private=st.integers(1, sm2.N - 2), message=st.binary(max_size=300), user_id=st.binary(min_size=1, max_size=64))
def test_any_message_and_id_round_trip_between_the_backends(private: int, message: bytes, user_id: bytes) -> None:
    """What the fast backend signs, the portable one verifies, for any key, message and id."""
    fast, portable = FAST, GmsslBackend()
    portable.verify(fast.public_of(private), message, fast.sign(private, message, user_id), user_id)


FAST = LibcryptoBackend()


def test_an_empty_id_means_the_same_to_both_backends() -> None:
    """The empty user id has a ZA of its own on which both backends agree."""
    GmsslBackend().verify(PUBLIC, MESSAGE, FAST.sign(PRIVATE, MESSAGE, b""), b"")


# --- refusals


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, 1), (1, 0), (sm2.N, 1), (1, sm2.N), (1, sm2.N - 1), (2**256 - 1, 1)],
    ids=["r-zero", "s-zero", "r-order", "s-order", "sum-order", "r-largest"],
)
def test_values_out_of_range_are_refused(backend: Sm2Backend, r: int, s: int) -> None:
    """Values of r and s outside [1, n-1], and a sum of n, are refused."""
    with pytest.raises(InvalidSignature):
        backend.verify(PUBLIC, MESSAGE, raw(r, s))


@settings(max_examples=50, deadline=None)
@given(signature=st.binary(max_size=80))
def test_any_bytes_for_a_signature_are_refused_in_one_way(signature: bytes) -> None:
    """Arbitrary bytes end in InvalidSignature, never in another exception."""
    for backend in (FAST, GmsslBackend()):
        with pytest.raises(InvalidSignature):
            backend.verify(PUBLIC, MESSAGE, signature)


@pytest.mark.parametrize(
    "public",
    [
        b"",
        PUBLIC[1:],
        b"\x02" + PUBLIC[1:33],
        b"\x06" + PUBLIC[1:],
        PUBLIC + b"\0",
        b"\0",
        bytes(65),
        b"\x04" + bytes(64),
        b"\x04" + sm2.P.to_bytes(32, "big") + PUBLIC[33:],
        b"\x04" + PUBLIC[1:33] + sm2.P.to_bytes(32, "big"),
        OFF_CURVE,
    ],
    ids=["empty", "bare", "compressed", "hybrid", "long", "infinity", "zeros", "origin", "x-prime", "y-prime", "off"],
)
def test_points_that_are_none_are_refused(backend: Sm2Backend, public: bytes) -> None:
    """Only 65 bytes of an uncompressed point on the curve are taken as a public key."""
    with pytest.raises(CredentialMalformed):
        backend.verify(public, MESSAGE, SIGNATURE)


@pytest.mark.parametrize("private", [-1, 0, sm2.N - 1, sm2.N])
def test_private_keys_out_of_range_are_refused(backend: Sm2Backend, private: int) -> None:
    """A private key lies in [1, n-2]."""
    with pytest.raises(ValueError, match="private key lies in"):
        backend.sign(private, MESSAGE)


def test_an_id_that_is_too_long_is_refused(backend: Sm2Backend) -> None:
    """The longest id is signed with; one byte more is refused before it wraps around."""
    backend.verify(PUBLIC, MESSAGE, backend.sign(PRIVATE, MESSAGE, b"i" * 8190), b"i" * 8190)
    with pytest.raises(ValueError, match="8190"):
        backend.sign(PRIVATE, MESSAGE, b"i" * 8191)
    with pytest.raises(ValueError, match="8190"):
        backend.verify(PUBLIC, MESSAGE, SIGNATURE, b"i" * 8191)


def test_signatures_are_randomised(backend: Sm2Backend) -> None:
    """Two signatures over one message differ in r, so no nonce was used twice."""
    assert backend.sign(PRIVATE, MESSAGE)[:32] != backend.sign(PRIVATE, MESSAGE)[:32]


# --- gmssl's defects: each on the bare library, then mended


def bare(private: int = PRIVATE, public_hex: str = "") -> CryptSM2:
    """Return the library's own object."""
    return CryptSM2(private_key=f"{private:064x}", public_key=public_hex)


def bare_with(public: bytes) -> CryptSM2:
    """Return the library's object with its key set whole, so that only the defect under test shows."""
    library = bare()
    library.public_key = public[1:].hex()
    return library


def test_gmssl_strips_digits_of_public_keys() -> None:
    """The bare library garbles the standard's own key and refuses its signature; the adapter takes it."""
    library = bare(public_hex=PUBLIC.hex())
    assert len(library.public_key) < 128
    with pytest.raises((ValueError, TypeError)):
        library.verify_with_sm3(SIGNATURE.hex(), MESSAGE)
    GmsslBackend().verify(PUBLIC, MESSAGE, SIGNATURE)


@pytest.mark.parametrize("first", [0x00, 0x04, 0x40, 0x44])
def test_keys_that_begin_with_0_or_4_are_served(first: int) -> None:
    """Public keys whose x begins with the digits 0 or 4 sign and verify through the adapter."""
    private = next(d for d in range(1, 20_000) if FAST.public_of(d)[1] == first)
    public, adapter = FAST.public_of(private), GmsslBackend()
    assert len(bare(public_hex=public.hex()).public_key) < 128
    adapter.verify(public, MESSAGE, adapter.sign(private, MESSAGE))
    adapter.verify(public, MESSAGE, FAST.sign(private, MESSAGE))


def test_gmssl_draws_nonces_from_a_seeded_generator() -> None:
    """Seeding `random` makes the bare library repeat its signature, which gives the key away; the adapter does not."""
    library, adapter = bare_with(PUBLIC), GmsslBackend()
    state = random.getstate()
    try:
        random.seed(1)
        first_bare, first_adapter = library.sign_with_sm3(MESSAGE), adapter.sign(PRIVATE, MESSAGE)
        random.seed(1)
        second_bare = library.sign_with_sm3(MESSAGE)
        random.seed(1)
        second_adapter = adapter.sign(PRIVATE, MESSAGE)
    finally:
        random.setstate(state)
    assert first_bare == second_bare
    assert first_adapter != second_adapter


def test_gmssl_takes_a_nonce_out_of_range() -> None:
    """The bare library signs with nonce 0, from which anybody computes the key; the adapter draws another."""
    r_s = bare().sign(DIGEST, "0")
    r, s = int(r_s[:64], 16), int(r_s[64:], 16)
    assert (-s * pow(r + s, -1, sm2.N)) % sm2.N == PRIVATE
    nonces = iter([0, sm2.N, int(ANSWER["k"], 16)])
    assert GmsslBackend(nonces=lambda: next(nonces)).sign_digest(PRIVATE, DIGEST) == SIGNATURE


def test_gmssl_knows_one_id_only() -> None:
    """The bare library refuses a right signature under another id; the adapter takes it, and only under that id."""
    signature = FAST.sign(PRIVATE, MESSAGE, b"ALICE123@YAHOO.COM")
    assert not bare_with(PUBLIC).verify_with_sm3(signature.hex(), MESSAGE)
    GmsslBackend().verify(PUBLIC, MESSAGE, signature, b"ALICE123@YAHOO.COM")
    with pytest.raises(InvalidSignature):
        GmsslBackend().verify(PUBLIC, MESSAGE, signature)


def test_gmssl_does_not_check_the_range_of_s() -> None:
    """The bare library takes s + n for s, so a signature has two spellings; the adapter takes the one in range."""
    k, s = 1234567, 7654321
    r = (int.from_bytes(DIGEST, "big") + abscissa(k)) % sm2.N
    private = (k - s) * pow(r + s, -1, sm2.N) % sm2.N  # the key for which this small s is right
    public, adapter = FAST.public_of(private), GmsslBackend()
    assert bare_with(public).verify(raw(r, s + sm2.N).hex(), DIGEST)
    adapter.verify_digest(public, DIGEST, raw(r, s))
    with pytest.raises(InvalidSignature, match="out of range"):
        adapter.verify_digest(public, DIGEST, raw(r, s + sm2.N))


def test_gmssl_takes_points_off_the_curve() -> None:
    """The bare library verifies under a key that is no point of the curve; the adapter refuses the key."""
    library = bare_with(OFF_CURVE)
    r, s = 1000, 2000
    t_times_key = library._kg(r + s, library.public_key)
    total = library._convert_jacb_to_nor(library._add_point(library._kg(s, default_ecc_table["g"]) + "1", t_times_key))
    digest = ((r - int(total[:64], 16)) % sm2.N).to_bytes(32, "big")
    assert library.verify(raw(r, s).hex(), digest)
    with pytest.raises(CredentialMalformed):
        GmsslBackend().verify_digest(OFF_CURVE, digest, raw(r, s))


def test_gmssl_may_answer_none_for_a_signature() -> None:
    """Where r + k is n the bare library answers None; the adapter draws another nonce."""
    k = 99
    digest = ((-k - abscissa(k)) % sm2.N).to_bytes(32, "big")
    assert bare().sign(digest, f"{k:064x}") is None
    adapter = GmsslBackend(nonces=chain([k], repeat(k + 1)).__next__)
    adapter.verify_digest(PUBLIC, digest, adapter.sign_digest(PRIVATE, digest))


def test_gmssl_breaks_at_the_point_at_infinity(backend: Sm2Backend) -> None:
    """A signer can bring the bare library to a TypeError; every backend refuses that signature as any other."""
    signature = raw(1 + PRIVATE, sm2.N - PRIVATE)  # r + s = 1 and s = -d: the sum of both points is no point
    with pytest.raises(TypeError):
        bare_with(PUBLIC).verify(signature.hex(), DIGEST)
    with pytest.raises(InvalidSignature):
        backend.verify(PUBLIC, MESSAGE, signature)


# --- libcrypto's own upkeep


def test_the_key_cache_is_bounded_and_forgets_the_oldest() -> None:
    """However many keys come by, the cache keeps its size, and a key that fell out serves again."""
    small = LibcryptoBackend(cache_size=3)
    for private in range(1, 12):
        small.verify(small.public_of(private), MESSAGE, small.sign(private, MESSAGE))
    assert len(small._privates) == 3
    assert len(small._publics) == 3
    small.verify(small.public_of(1), MESSAGE, small.sign(1, MESSAGE))


def test_threads_share_a_backend_while_keys_are_evicted() -> None:
    """Many threads and more keys than places: no signature is lost and none is mixed up."""
    small = LibcryptoBackend(cache_size=2)

    def exchange(private: int) -> None:
        for _ in range(10):
            small.verify(small.public_of(private), b"m%d" % private, small.sign(private, b"m%d" % private))

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(exchange, range(1, 25)))) == 24


def test_the_error_queue_is_left_empty() -> None:
    """A refused signature leaves no error behind that the interpreter's ssl module could read as its own."""
    FAST._lib.ERR_peek_error.restype = sm2_libcrypto.ctypes.c_ulong
    with pytest.raises(InvalidSignature):
        FAST.verify(PUBLIC, MESSAGE, raw(1, 2))
    assert FAST._lib.ERR_peek_error() == 0


def test_the_portable_backend_serves_where_libcrypto_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenSSL 3 the choice falls on gmssl; with it, on libcrypto."""
    sm2.best_backend.cache_clear()
    assert sm2.best_backend().name == "libcrypto"
    monkeypatch.setattr(sm2_libcrypto, "_KNOWN_NAMES", ("no-such-library",))
    monkeypatch.setattr(sm2_libcrypto.ctypes.util, "find_library", lambda _: None)
    sm2.best_backend.cache_clear()
    try:
        with pytest.raises(BackendUnavailable) as refusal:
            LibcryptoBackend()
        assert "OpenSSL 3" in refusal.value.hint
        assert sm2.best_backend().name == "gmssl"
    finally:
        sm2.best_backend.cache_clear()
