"""The defects of signing, identity and lock-out do what their rows say, on a node that otherwise works (9.1, 9.2)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import specs
from reference_node.security import signing
from reference_node.security.keys import PrivateKey
from tests.reference_node import pair
from tests.reference_node.pair import DAY_MS, Reply, Stranger, TestNode, apply, fresh_nonce, nodes, sign_contract

COVERED = {
    "method-not-covered": "@method",
    "path-not-covered": "@path",
    "query-not-covered": "@query",
    "digest-not-covered": "content-digest",
    "token-set-not-covered": "x-mprac-token-set",
    "nonce-not-covered": "x-nonce",
    "source-not-covered": "x-source-node-id",
    "target-not-covered": "x-target-node-id",
    "timestamp-not-covered": "x-timestamp",
}


@pytest.mark.parametrize(("fault", "component"), COVERED.items())
def test_a_component_may_be_left_out_and_no_other(fault: str, component: str) -> None:
    """The faults of coverage differ from each other by their component."""
    other = next(item for item in signing.COMPONENTS if item != component)
    with nodes("node-a", "node-b", faults={"node-b": [fault]}) as (a, b):
        apply(a, b)
        errors = []
        for left_out in (component, other):
            rest = tuple(item for item in signing.COMPONENTS if item != left_out)
            errors.append(b.raw("nodeHealth", b.sign("nodeHealth", a.as_stranger(), {}, components=rest), {}).error)
        assert errors == [None, "SIGNATURE_INVALID"]


Tamper = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("unsigned-request-accepted", lambda h: {k: v for k, v in h.items() if k != "x-auth-sign"}),
        ("signature-not-verified", lambda h: {**h, "x-auth-sign": ':AAAA:;alg="sm2-sm3"'}),
        ("alg-downgrade-accepted", lambda h: {**h, "x-auth-sign": ':AAAA:;alg="none"'}),
        ("csrf-not-checked", lambda h: {k: v for k, v in h.items() if k != "x-csrf-protection"}),
    ],
)
def test_a_tampered_request_passes(fault: str, change: Tamper) -> None:
    """With the fault the forged cancellation is carried out."""
    with nodes("node-a", "node-b", faults={"node-b": [fault]}) as (a, b):
        fields = {"contract_id": apply(a, b)}
        headers = change(b.sign("contractCancel", a.as_stranger(), fields))
        assert b.raw("contractCancel", headers, fields).code == 0
        assert b.contract(fields["contract_id"])["status"] == "TERMINATED"


def test_an_altered_body_and_a_weak_digest_pass() -> None:
    """With the faults of the digest the body is not what was signed, or is bound by SHA-1."""
    with nodes("node-a", "node-b", faults={"node-b": ["digest-not-checked"]}) as (a, b):
        fields = {"contract_id": apply(a, b)}
        headers = b.sign("contractCancel", a.as_stranger(), fields)
        assert b.raw("contractCancel", headers, {**fields, "altered": True}).code == 0
    with nodes("node-a", "node-b", faults={"node-b": ["weak-digest-accepted"]}) as (a, b):
        apply(a, b)
        headers = b.sign("nodeHealth", a.as_stranger(), {})
        headers["content-digest"] = f"sha=:{base64.b64encode(hashlib.sha1(b'').digest()).decode()}:"
        request = signing.Request("GET", specs.operations()["nodeHealth"].path, "", b"", headers)
        signature = a.as_stranger().key.sign(signing.signature_base(request, "sm2-sm3"))
        headers["x-auth-sign"] = f':{base64.b64encode(signature).decode()}:;alg="sm2-sm3"'
        assert b.raw("nodeHealth", headers, {}).code == 0


def _weak_application(b: TestNode, key: Any, auth_type: str, alg: str, sign: Callable[[bytes], bytes]) -> Reply:
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    strong = Stranger("node-s", PrivateKey.generate(auth_type))
    body = {**strong.particulars(), "auth_credential": pem.decode()}
    headers = b.sign("contractApply", strong, body)
    _, content = pair._parts(specs.operations()["contractApply"], body)
    request = signing.Request("POST", specs.operations()["contractApply"].path, "", content, headers)
    signature = sign(signing.signature_base(request, alg))
    headers["x-auth-sign"] = f':{base64.b64encode(signature).decode()}:;alg="{alg}"'
    return b.raw("contractApply", headers, body)


def test_weak_keys_pass() -> None:
    """With the faults of strength a short RSA key and a small curve sign contracts, without them neither does."""
    short = rsa.generate_private_key(65537, 1024)
    small = ec.generate_private_key(ec.SECP224R1())

    def _raw(message: bytes) -> bytes:
        r, s = decode_dss_signature(small.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _both(b: TestNode) -> list[str | None]:
        rsa_reply = _weak_application(
            b, short, "SHA256_RSA", "rsa-v1_5-sha256", lambda m: short.sign(m, padding.PKCS1v15(), hashes.SHA256())
        )
        return [rsa_reply.error, _weak_application(b, small, "SHA256_ECDSA", "ecdsa-p256-sha256", _raw).error]

    for faults, errors in (
        (["weak-rsa-key-accepted"], [None, "KEY_TOO_WEAK"]),
        (["weak-curve-accepted"], ["KEY_TOO_WEAK", None]),
        ([], ["KEY_TOO_WEAK", "KEY_TOO_WEAK"]),
    ):
        with nodes("node-b", faults=faults) as (b,):
            assert _both(b) == errors


def test_an_unsupported_auth_type_is_downgraded(stranger: Stranger) -> None:
    """With the fault CERT is taken for whatever the key is."""
    with nodes("node-b", faults=["unknown-suite-downgraded"]) as (b,):
        body = {**stranger.particulars(), "auth_type": "CERT"}
        assert b.raw("contractApply", b.sign("contractApply", stranger, body), body).code == 0


def test_replays_and_stale_requests_pass() -> None:
    """With the faults of freshness the same request, or an old one, is served."""
    with nodes("node-a", "node-b", faults={"node-b": ["nonce-replay-accepted", "timestamp-window-not-enforced"]}) as (
        a,
        b,
    ):
        apply(a, b)
        headers = b.sign("nodeHealth", a.as_stranger(), {}, timestamp=1)
        assert [b.raw("nodeHealth", headers, {}).code for _ in range(2)] == [0, 0]


def test_identity_is_not_kept(stranger: Stranger) -> None:
    """With the faults of identity strangers are served, ids taken over, keys not proven, targets not compared."""
    thief = Stranger(stranger.node_id, PrivateKey.generate("SM3_SM2"))
    with nodes("node-b", faults=["unknown-node-accepted", "target-not-checked"]) as (b,):
        assert b.signed("nodeHealth", stranger).code == 0
        assert b.raw("nodeHealth", b.sign("nodeHealth", stranger, {}, target="node-z"), {}).code == 0
    with nodes("node-b", faults=["node-id-takeover-accepted"]) as (b,):
        assert b.signed("contractApply", stranger, **stranger.particulars()).code == 0
        assert b.signed("contractApply", thief, **thief.particulars()).code == 0
    with nodes("node-b", faults=["possession-not-proven", "application-source-not-compared"]) as (b,):
        assert b.signed("contractApply", thief, **stranger.particulars()).code == 0
        assert b.signed("contractApply", thief, **{**stranger.particulars(), "node_id": "node-z"}).code == 0


def test_contracts_are_not_looked_at() -> None:
    """With the faults of state a pending, ended or expired contract opens what one in force does."""
    with nodes("node-a", "node-b", faults={"node-b": ["contract-state-not-checked"]}) as (a, b):
        apply(a, b)
        assert b.signed("componentList", a.as_stranger()).error != "CONTRACT_NOT_ACTIVE"
    with nodes("node-a", "node-b", faults={"node-b": ["expired-contract-accepted"]}) as (a, b):
        sign_contract(a, b, expired_time=a.clock.now + DAY_MS)
        a.clock.advance(DAY_MS / 1000)
        b.node.pump()
        assert b.signed("componentList", a.as_stranger()).error != "CONTRACT_EXPIRED"


def _fail(b: TestNode, source: Stranger, times: int, remote: str = "10.0.0.9") -> None:
    for _ in range(times):
        headers = {**b.sign("nodeHealth", source, {}, nonce=fresh_nonce()), "x-auth-sign": ':AAAA:;alg="sm2-sm3"'}
        assert b.raw("nodeHealth", headers, {}, remote=remote).error == "SIGNATURE_INVALID"


def test_the_lock_out_fails_in_four_ways(stranger: Stranger) -> None:
    """With the faults of the lock-out it never comes, never goes, meets others, or forgets no failure."""

    def _after(fault: str, wait: int = 0, remote: str = "10.0.0.9", *, forged: bool = False) -> str | None:
        with nodes("node-b", faults=[fault]) as (b,):
            b.signed("contractApply", stranger, **stranger.particulars())
            _fail(b, stranger, 4)
            if fault == "lockout-counts-across-successes":
                assert b.signed("nodeHealth", stranger).code == 0
            _fail(b, stranger, 1)
            b.clock.advance(wait)
            headers = b.sign("nodeHealth", stranger, {}, nonce=fresh_nonce())
            headers |= {"x-auth-sign": ':AAAA:;alg="sm2-sm3"'} if forged else {}
            return b.raw("nodeHealth", headers, {}, remote=remote).error

    assert _after("lockout-never-triggers", forged=True) == "SIGNATURE_INVALID"
    assert _after("lockout-never-ends", wait=100_000, forged=True) == "LOCKED_OUT"
    assert _after("lockout-hits-others", remote="10.0.0.8") == "LOCKED_OUT"
    assert _after("lockout-counts-across-successes", forged=True) == "LOCKED_OUT"
    assert _after("failures-count-against-claimed-id") == "LOCKED_OUT"
    assert _after("locked-address-locks-proved-caller") == "LOCKED_OUT"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("own-requests-unsigned", "SIGNATURE_MISSING"),
        ("own-target-wrong", "TARGET_MISMATCH"),
        ("own-timestamp-stale", "TIMESTAMP_SKEWED"),
        ("own-digest-stale", "DIGEST_MISMATCH"),
        ("own-csrf-header-left-out", "CSRF_HEADER_MISSING"),
    ],
)
def test_own_requests_are_wrong(fault: str, error: str) -> None:
    """With the faults of the sending side a sound partner refuses, each for its own reason."""
    with nodes("node-a", "node-b", faults={"node-a": [fault]}) as (a, b):
        reply = a.own("ownContractApply", address=b.address, node_id=b.id)
        assert (reply.error, reply.data["partner"]["error"]) == ("PARTNER_REFUSED", error)


def test_malformed_json_is_answered_badly() -> None:
    """With the faults of error handling the answer is an internal error, or carries a trace."""
    for fault in ("bad-json-breaks-handler", "stack-trace-in-error"):
        with nodes("node-a", faults=[fault]) as (a,):
            headers = {"authorization": "Bearer " + a.node.identity.operator_token}
            answer = a.app.test_client().post(
                "/v1/platform/node/update", data=b"{", content_type="application/json", headers=headers
            )
            assert (answer.status_code == 500, b"Traceback" in answer.data) == (
                fault == "bad-json-breaks-handler",
                fault == "stack-trace-in-error",
            )


def test_refused_messages_leave_traces(stranger: Stranger) -> None:
    """With the faults of consistency a refused message changes what it should have left alone."""
    with nodes("node-a", "node-b", faults={"node-a": ["refused-confirm-half-kept"]}) as (a, b):
        contract_id = apply(a, b, expired_time=a.clock.now + DAY_MS)
        message = {
            "contract_id": contract_id,
            "status": "APPROVED",
            "auth_type": "SM3_SM2",
            "auth_credential": b.node.identity.key("SM3_SM2").public.pem,
            "expired_time": a.clock.now + 2 * DAY_MS,
        }
        assert a.signed("contractConfirm", b.as_stranger(), **message).error == "EXPIRY_INVALID"
        assert a.contract(contract_id)["status"] == "APPROVED"
    with nodes("node-a", "node-b", faults={"node-b": ["refused-sync-half-kept"]}) as (a, b):
        contract_id = sign_contract(a, b)
        moved = {**stranger.particulars(), "contract_id": contract_id, "auth_type": "CERT"}
        assert b.signed("nodeSync", a.as_stranger(), **moved).error == "CREDENTIAL_TYPE_UNSUPPORTED"
        assert b.contract(contract_id)["partner_address"] == "http://stranger.test"
