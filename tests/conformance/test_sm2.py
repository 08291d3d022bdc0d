"""The harness's engines of SM2, held against the standard's example, one another and libraries of others."""

from __future__ import annotations

import importlib
import json
import secrets
from typing import Any

import gmalg
import gmssl_pyx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

import specs
from conformance.harness import sm2
from conformance.harness.errors import Blame

SM2_VECTOR = json.loads((specs.folder() / "vectors" / "sm2" / "signature.json").read_text(encoding="utf-8"))


class CompiledSm2:
    """GmSSL's C code, a third opinion for the tests: it signs in DER and raises for an empty signature."""

    def generate(self) -> tuple[bytes, bytes]:
        point, private = gmssl_pyx.sm2_key_generate()
        return point, private

    def sign(self, private: bytes, point: bytes, message: bytes) -> bytes:
        r, s = decode_dss_signature(gmssl_pyx.sm2_sign(private, point, message, sm2.USER_ID))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, point: bytes, message: bytes, signature: bytes) -> bool:
        if not sm2.in_range(signature) or not sm2.on_curve(point):
            return False
        r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
        return bool(gmssl_pyx.sm2_verify(point, message, encode_dss_signature(r, s), sm2.USER_ID))


COMPILED = CompiledSm2()
PLAIN = sm2.PlainSm2(importlib.import_module("gmssl.sm2"))
TABLE = sm2.TableSm2(PLAIN)
ENGINES = [pytest.param(engine, id=type(engine).__name__) for engine in (TABLE, PLAIN, COMPILED)]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_standard_example_verifies(engine: sm2.Sm2Engine) -> None:
    """The example of GB/T 32918.5 verifies, and not for another message."""
    point = bytes.fromhex(SM2_VECTOR["public_key"])[1:]
    message = bytes.fromhex(SM2_VECTOR["message_hex"])
    signature = bytes.fromhex(SM2_VECTOR["r"] + SM2_VECTOR["s"])
    assert sm2.message_digest(point, message).hex() == SM2_VECTOR["e"]
    assert engine.verify(point, message, signature)
    assert not engine.verify(point, message + b"!", signature)


@pytest.mark.parametrize("signer", ENGINES)
def test_three_libraries_agree(signer: sm2.Sm2Engine) -> None:
    """What one engine signs the other engine and an independent library verify."""
    point, private = signer.generate()
    signature = signer.sign(private, point, b"three")
    assert COMPILED.verify(point, b"three", signature)
    assert PLAIN.verify(point, b"three", signature)
    assert gmalg.SM2(uid=sm2.USER_ID, pk=b"\x04" + point).verify(b"three", signature[:32], signature[32:])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_independent_library_is_verified(engine: sm2.Sm2Engine) -> None:
    """A signature that the oracle made is accepted; one for another key is not."""
    oracle = gmalg.SM2()
    private, credential = oracle.generate_keypair()
    r, s = gmalg.SM2(sk=private, uid=sm2.USER_ID, pk=credential).sign(b"oracle")
    assert engine.verify(credential[1:], b"oracle", r + s)
    assert not engine.verify(engine.generate()[0], b"oracle", r + s)


def test_a_key_with_leading_fours_and_zeros_is_kept() -> None:
    """The plain engine verifies under a public key whose digits its library would strip."""
    for _ in range(4000):
        point, private = COMPILED.generate()
        if point.hex().startswith(("0", "4")):
            break
    signature = COMPILED.sign(private, point, b"strip")
    assert point.hex()[0] in "04"
    assert PLAIN.verify(point, b"strip", signature)


@pytest.mark.parametrize("engine", ENGINES)
def test_values_out_of_range_are_no_signature(engine: sm2.Sm2Engine) -> None:
    """Zero, the order, a sum that is the order, a wrong length and an off-curve point verify nothing."""
    point, private = engine.generate()
    good = engine.sign(private, point, b"m")
    zero, order = bytes(32), sm2.N.to_bytes(32, "big")
    beyond = (sm2.N + 1).to_bytes(32, "big") + good[32:]
    summed = good[:32] + (sm2.N - int.from_bytes(good[:32], "big")).to_bytes(32, "big")
    wrong = [zero + good[32:], good[:32] + zero, order + good[32:], good[:32] + order, beyond, summed, good[:-1], b""]
    assert [engine.verify(point, b"m", signature) for signature in wrong] == [False] * len(wrong)
    assert not engine.verify(point[:-1] + bytes([point[-1] ^ 1]), b"m", good)
    assert not engine.verify(point + b"\0", b"m", good)


def test_the_sum_at_infinity_is_refused_without_a_crash() -> None:
    """A holder of the key can aim at the point at infinity; the plain engine says no where its library breaks."""
    point, private = PLAIN.generate()
    secret = int.from_bytes(private, "big")
    t = 1 + secrets.randbelow(sm2.N - 1)
    s = -t * secret % sm2.N
    signature = ((t - s) % sm2.N).to_bytes(32, "big") + s.to_bytes(32, "big")
    assert not PLAIN.verify(point, b"m", signature)
    assert not TABLE.verify(point, b"m", signature)
    assert not COMPILED.verify(point, b"m", signature)


def test_the_plain_engine_signs_again_when_its_library_signs_nothing() -> None:
    """A nonce for which the library returns nothing is replaced by another."""

    class Reluctant:
        def __init__(self, **wanted: Any) -> None:
            self._machine = importlib.import_module("gmssl.sm2").CryptSM2(**wanted)

        def sign(self, digest: bytes, nonce: str) -> str | None:
            asked.append(nonce)
            self._machine.public_key = self.public_key
            return None if len(asked) == 1 else self._machine.sign(digest, nonce)

        public_key = ""

    asked: list[str] = []
    point, private = PLAIN.generate()
    reluctant: Any = type("Module", (), {"CryptSM2": Reluctant})
    signature = sm2.PlainSm2(reluctant).sign(private, point, b"m")
    assert len(asked) == len(set(asked)) == 2
    assert COMPILED.verify(point, b"m", signature)


def test_a_disagreement_between_the_two_is_the_harnesss_own_fault() -> None:
    """What our arithmetic refuses and gmssl accepts voids the run instead of blaming the target."""

    class Yes(sm2.PlainSm2):
        def verify(self, *_told: object) -> bool:
            return True

    point, private = TABLE.generate()
    signature = TABLE.sign(private, point, b"m")
    with pytest.raises(Blame):
        sm2.TableSm2(Yes(importlib.import_module("gmssl.sm2"))).verify(point, b"another", signature)


def test_a_signature_with_short_numbers_keeps_its_length() -> None:
    """Raw signatures have 64 bytes even when r or s has leading zeros."""
    point, private = TABLE.generate()
    signatures = [TABLE.sign(private, point, b"m") for _ in range(600)]
    assert {len(signature) for signature in signatures} == {64}
    assert all(COMPILED.verify(point, b"m", signature) for signature in signatures)


def test_a_sm2_pem_survives_the_round_trip() -> None:
    """A point written as PEM reads back, with CRLF line ends too."""
    point, _ = sm2.engine().generate()
    pem = sm2.point_to_pem(point)
    assert sm2.point_from_pem(pem) == point
    assert sm2.point_from_pem(pem.replace("\n", "\r\n")) == point
