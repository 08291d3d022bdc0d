"""The harness's own keys and request signing."""

from __future__ import annotations

import importlib
import json
import secrets
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gmalg
import gmssl_pyx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from conformance.harness import keys, signing, sm2
from conformance.harness.errors import Blame

VECTORS = specs.folder() / "vectors"
CASES = json.loads((VECTORS / "request-signing" / "cases.json").read_text(encoding="utf-8"))
KEYS = json.loads((VECTORS / "request-signing" / "keys.json").read_text(encoding="utf-8"))
ACCEPTED = {case["name"]: case for case in CASES["accepted"]}
SM2_VECTOR = json.loads((VECTORS / "sm2" / "signature.json").read_text(encoding="utf-8"))
FAULTS = {
    "SIGNATURE_INVALID": {"SIGNATURE_WRONG"},
    "DIGEST_MISMATCH": {"DIGEST_WRONG", "DIGEST_MISSING"},
    "SIGNATURE_MISSING": {"UNSIGNED"},
    "ALG_MISMATCH": {"ALG_WRONG"},
}


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

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
tokens = st.text("abcXYZ019_-", min_size=16, max_size=24)
queries = st.lists(st.tuples(texts, texts), max_size=4)


def public(name: str) -> signing.PublicKey:
    """Return a public key of the vectors."""
    return signing.PublicKey.from_credential(KEYS[name]["auth_type"], KEYS[name]["public_key"])


def judged(key: str, request: dict[str, Any]) -> list[str]:
    """Return what is wrong with a request of the vectors."""
    query = signing.decode_query(request["query"])
    body = request["body"].encode()
    return signing.problems(public(key), request["method"], request["path"], query, request["headers"], body)


def bent(case: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the key and the request of a refused case: its accepted twin with one change."""
    twin = ACCEPTED[case["of"]]
    change = dict(case["change"])
    headers = {**twin["request"]["headers"], **change.pop("headers", {})}
    return twin["key"], {
        **twin["request"],
        **change,
        "headers": {name: value for name, value in headers.items() if value is not None},
    }


@pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["name"])
def test_a_published_case_is_reproduced_and_accepted(case: dict[str, Any]) -> None:
    """Digest, base and verdict of every accepted case are those of the vectors."""
    request, alg = case["request"], KEYS[case["key"]]["alg"]
    query = signing.decode_query(request["query"])
    base = signing.signature_base(request["method"], request["path"], query, request["headers"], alg)
    assert base.decode().split("\n") == case["base"]
    assert "?" + signing.encode_query(query) == case["canonical_query"]
    assert signing.content_digest(alg, request["body"].encode()) == request["headers"]["content-digest"]
    assert judged(case["key"], request) == []


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["name"])
def test_a_bent_case_is_found(case: dict[str, Any]) -> None:
    """Every refused case of the vectors that differs in signing has the fault which it names."""
    found = judged(*bent(case))
    wanted = FAULTS.get(case["error"])
    assert found
    assert wanted is None or wanted & set(found), found


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


@pytest.mark.parametrize("auth_type", list(signing.AuthType))
def test_a_key_signs_for_its_credential_and_shows_nothing(auth_type: str) -> None:
    """A key verifies under its PEM, fails on a changed message or signature, and its repr is blank."""
    key = signing.key_ring().key(auth_type, "repr")
    signature = key.sign(b"message")
    reader = signing.PublicKey.from_credential(auth_type, key.credential)
    reader.verify(b"message", signature)
    for message, wrong in ((b"massage", signature), (b"message", signature[:-1]), (b"message", b"")):
        with pytest.raises(signing.SignatureWrong):
            reader.verify(message, wrong)
    assert key.credential.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert repr(key) == f"Key(auth_type={key.auth_type!r}, alg={key.alg!r})"


@pytest.mark.parametrize("kind", list(signing.WeakKind))
def test_weak_key_material_is_refused(kind: str) -> None:
    """Every weak kind is refused under the auth_type that it claims, though it can sign."""
    key = signing.weak_credential(kind)
    assert key.sign(b"message")
    with pytest.raises(signing.CredentialWrong):
        signing.PublicKey.from_credential(key.auth_type, key.credential)


@pytest.mark.parametrize("auth_type", list(signing.AuthType))
def test_a_credential_of_another_suite_is_refused(auth_type: str) -> None:
    """A key is read only under its own auth_type; CERT and unknown words are refused."""
    key = signing.key_ring().key(auth_type, "other")
    for claimed in [*(set(signing.AuthType) - {auth_type}), "CERT", ""]:
        with pytest.raises(signing.CredentialWrong):
            signing.PublicKey.from_credential(claimed, key.credential)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "x",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END X",
        "-----BEGIN PUBLIC KEY-----\né\ud800\n-----END PUBLIC KEY-----",
    ],
)
@pytest.mark.parametrize("auth_type", list(signing.AuthType))
def test_a_malformed_credential_is_refused(auth_type: str, pem: str) -> None:
    """Text that is no PEM of a key raises CredentialWrong and nothing else."""
    with pytest.raises(signing.CredentialWrong):
        signing.PublicKey.from_credential(auth_type, pem)


@pytest.mark.parametrize(
    ("auth_type", "pem"), [(None, "x"), (["SM3_SM2"], "x"), ("SM3_SM2", None), ("SM3_SM2", {}), ("SM3_SM2", "\ud800é")]
)
def test_a_credential_of_any_type_is_refused_without_a_crash(auth_type: object, pem: object) -> None:
    """What a target sends may be anything; it is a wrong credential and no error of the harness."""
    with pytest.raises(signing.CredentialWrong):
        signing.PublicKey.from_credential(auth_type, pem)


def test_a_sm2_pem_survives_the_round_trip() -> None:
    """A point written as PEM reads back, with CRLF line ends too."""
    point, _ = sm2.engine().generate()
    pem = sm2.point_to_pem(point)
    assert sm2.point_from_pem(pem) == point
    assert sm2.point_from_pem(pem.replace("\n", "\r\n")) == point


@pytest.mark.parametrize("auth_type", list(signing.AuthType))
@settings(max_examples=25, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST"]), query=queries, body=st.binary(max_size=64), nonce=tokens, permits=tokens
)
def test_signed_requests_have_no_problem(
    auth_type: str, method: str, query: list[tuple[str, str]], body: bytes, nonce: str, permits: str
) -> None:
    """What the harness signs it accepts, also after the query went over the wire unsorted."""
    key = signing.key_ring().key(auth_type, "round-trip")
    headers = signing.signed_headers(
        key, method, "/p/q", query, body, source="a", target="b", nonce=nonce, timestamp_ms=1, trace_id="t",
        token_set=permits,
    )  # fmt: skip
    wire = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in reversed(query))
    shouted = {name.upper(): f" {value} " for name, value in headers.items()}
    assert signing.problems(key.public, method, "/p/q", signing.decode_query(wire), shouted, body) == []
    assert ("x-csrf-protection" in headers) == (method == "POST")


HEADERS = {"source": "a", "target": "b", "nonce": "n" * 16, "timestamp_ms": 5, "trace_id": "t"}


@pytest.fixture
def signed() -> tuple[signing.Key, dict[str, str]]:
    """Return a key and the headers of a request that it signed."""
    key = signing.key_ring().key("SM3_SM2", "signed")
    return key, signing.signed_headers(key, "POST", "/p", [("q", "1")], b"{}", token_set="a/1/b", **HEADERS)


def found(key: signing.Key, headers: dict[str, str], **other: Any) -> list[str]:
    """Return what is wrong with that request after a change."""
    request = {"method": "POST", "path": "/p", "query": [("q", "1")], "body": b"{}"} | other
    return signing.problems(key.public, headers=headers, **request)


@pytest.mark.parametrize(
    ("part", "value"),
    [("method", "PUT"), ("path", "/P"), ("query", []), ("query", [("q", "1"), ("q", "1")]), ("query", [("q", "1 ")])],
)
def test_a_changed_part_breaks_the_signature(
    signed: tuple[signing.Key, dict[str, str]], part: str, value: object
) -> None:
    """Method, path and query are covered."""
    assert found(*signed, **{part: value}) == ["SIGNATURE_WRONG"]


@pytest.mark.parametrize("name", ["x-mprac-token-set", *signing.REQUIRED_HEADERS[:4]])
def test_a_changed_header_breaks_the_signature(signed: tuple[signing.Key, dict[str, str]], name: str) -> None:
    """Every covered header is covered; the trace id is not."""
    key, headers = signed
    assert found(key, headers | {name: "other"}) == ["SIGNATURE_WRONG"]
    assert found(key, headers | {"x-trace-id": "other"}) == []


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"x-auth-sign": ""}, ["UNSIGNED"]),
        ({"x-auth-sign": "AAAA"}, ["SIGNATURE_MALFORMED"]),
        ({"x-auth-sign": ':AAA:;alg="sm2-sm3"'}, ["SIGNATURE_MALFORMED"]),
        ({"x-auth-sign": ':AAAA:;alg="sm2-sm3"'}, ["SIGNATURE_WRONG"]),
        ({"x-auth-sign": ':AAAA:;alg="rsa-v1_5-sha256"'}, ["ALG_WRONG"]),
        ({"content-digest": ""}, ["DIGEST_MISSING", "SIGNATURE_WRONG"]),
        ({"x-trace-id": ""}, ["HEADER_MISSING:x-trace-id"]),
        ({"x-csrf-protection": ""}, ["HEADER_MISSING:x-csrf-protection"]),
        ({"x-nonce": ""}, ["HEADER_MISSING:x-nonce", "SIGNATURE_WRONG"]),
    ],
)
def test_each_fault_has_its_code(
    signed: tuple[signing.Key, dict[str, str]], change: dict[str, str], faults: list[str]
) -> None:
    """A header that is absent or wrong is told apart from every other fault."""
    key, headers = signed
    assert found(key, headers | change) == faults


def test_a_digest_of_another_body_is_told_from_a_wrong_signature(signed: tuple[signing.Key, dict[str, str]]) -> None:
    """A changed body breaks the digest alone, for the signature covers the digest."""
    assert found(*signed, body=b"[]") == ["DIGEST_WRONG"]


def test_a_header_can_be_signed_as_it_stands(signed: tuple[signing.Key, dict[str, str]]) -> None:
    """A negative case that signs a stale timestamp is wrong in nothing else."""
    key, headers = signed
    stale = headers | {"x-timestamp": "1"}
    stale["x-auth-sign"] = signing.sign(key, "POST", "/p", [("q", "1")], stale)
    assert found(key, stale) == []


@given(st.binary(max_size=40))
def test_no_query_breaks_the_reader(raw: bytes) -> None:
    """Whatever bytes stand in a query, the base can be built."""
    pairs = signing.decode_query(raw.decode("latin-1"))
    escaped = signing.decode_query(quote(raw))
    assert signing.signature_base("GET", "/", [*pairs, *escaped], {}, "sm2-sm3").startswith(b'"@method": GET\n')


def test_the_ring_keeps_one_key_for_each_owner() -> None:
    """The same owner gets the same key from every thread, another owner another; prepared keys are used."""
    made: list[str] = []

    def generate(auth_type: str) -> signing.Key:
        made.append(auth_type)
        return keys.Key.generate("SM3_SM2")

    ring = signing.KeyRing(generate)
    ring.prepare("SHA256_RSA", 2)
    got: list[signing.Key] = []
    threads = [threading.Thread(target=lambda: got.append(ring.key("SHA256_RSA", "a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.credential for key in got}) == 1
    assert ring.key("SHA256_RSA", "b").credential != got[0].credential
    assert made == ["SHA256_RSA"] * 2
    assert ring.key("SHA256_RSA").credential == ring.key("SHA256_RSA").credential
    assert len(made) == 3


def test_the_harness_shares_no_code_with_the_node() -> None:
    """The harness's signing modules import nothing of the reference node."""
    folder = Path(signing.__file__).parent
    sources = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in ("sm2", "keys", "signing")]
    assert all("reference_node" not in source for source in sources)
