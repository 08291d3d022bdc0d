"""The harness's own keys and request signing; test_sm2 has the engines beneath them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from conformance.harness import keys, signing

VECTORS = specs.folder() / "vectors"
CASES = json.loads((VECTORS / "request-signing" / "cases.json").read_text(encoding="utf-8"))
KEYS = json.loads((VECTORS / "request-signing" / "keys.json").read_text(encoding="utf-8"))
ACCEPTED = {case["name"]: case for case in CASES["accepted"]}
FAULTS = {
    "SIGNATURE_INVALID": {"SIGNATURE_WRONG"},
    "DIGEST_MISMATCH": {"DIGEST_WRONG", "DIGEST_MISSING"},
    "SIGNATURE_MISSING": {"UNSIGNED"},
    "ALG_MISMATCH": {"ALG_WRONG"},
}


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
    version = case.get("version", signing.OLDEST)
    base = signing.signature_base(request["method"], request["path"], query, request["headers"], alg, version=version)
    assert signing.version_of(request["headers"]["x-auth-sign"]) == version
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
