"""Who may call (9.2-a): each refusal with its code, beside the call that differs in one thing and is let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from reference_node.security import signing
from reference_node.security.keys import PrivateKey
from tests.reference_node import pair
from tests.reference_node.pair import DAY_MS, Reply, Stranger, TestNode, apply, fresh_nonce, nodes, sign_contract

Two = tuple[TestNode, TestNode]


@dataclass
class Door:
    """Node b, to which node a has applied: `ask` is a's nodeHealth (or another operation) with headers as given."""

    a: TestNode
    b: TestNode
    contract_id: str

    def headers(self, operation: str = "nodeHealth", **stamp: object) -> dict[str, str]:
        """Sign a request of a."""
        fields = {} if operation == "nodeHealth" else {"contract_id": self.contract_id}
        return self.b.sign(operation, self.a.as_stranger(), fields, **stamp)  # type: ignore[arg-type]

    def ask(self, headers: dict[str, str], operation: str = "nodeHealth", remote: str = "10.0.0.9") -> Reply:
        """Send it."""
        fields = {} if operation == "nodeHealth" else {"contract_id": self.contract_id}
        return self.b.raw(operation, headers, fields, remote=remote)


@pytest.fixture
def door(two: Two) -> Door:
    """Node b's door with a known in front of it."""
    a, b = two
    return Door(a, b, apply(a, b))


def _without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: {key: value for key, value in headers.items() if key != name}


def _with(name: str, value: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: {**headers, name: value}


@pytest.mark.parametrize(
    ("change", "error", "status"),
    [
        (_without("x-source-node-id"), "HEADER_MISSING", 401),
        (_without("x-target-node-id"), "HEADER_MISSING", 401),
        (_without("x-nonce"), "HEADER_MISSING", 401),
        (_without("x-trace-id"), "HEADER_MISSING", 401),
        (_without("x-timestamp"), "HEADER_MISSING", 401),
        (_without("x-auth-sign"), "SIGNATURE_MISSING", 401),
        (_without("content-digest"), "SIGNATURE_MISSING", 401),
        (_without("x-csrf-protection"), "CSRF_HEADER_MISSING", 403),
        (_with("x-csrf-protection", ""), "CSRF_HEADER_MISSING", 403),
        (_with("x-target-node-id", "node-z"), "TARGET_MISMATCH", 403),
        (_with("x-source-node-id", "node-z"), "NODE_UNKNOWN", 401),
        (_with("x-source-node-id", "node z"), "REQUEST_INVALID", 400),
        (_with("x-nonce", "short"), "REQUEST_INVALID", 400),
        (_with("x-nonce", "another-nonce-of-the-test"), "SIGNATURE_INVALID", 401),
        (_with("x-timestamp", "soon"), "REQUEST_INVALID", 400),
        (_with("x-timestamp", str(pair.START_MS + 1)), "SIGNATURE_INVALID", 401),
        (_with("x-mprac-token-set", "other/3/token"), "SIGNATURE_INVALID", 401),
        (_with("x-auth-sign", "nonsense"), "SIGNATURE_MALFORMED", 401),
        (_with("x-auth-sign", ':AAAA:;alg="sm2-sm3"'), "SIGNATURE_INVALID", 401),
        (_with("x-auth-sign", ':AAAA:;alg="none"'), "SUITE_REFUSED", 400),
        (_with("content-digest", "sm3=:AAAA:"), "DIGEST_MISMATCH", 401),
    ],
)
def test_a_request_is_refused_for_the_one_thing_that_is_wrong_with_it(
    door: Door, change: Callable[[dict[str, str]], dict[str, str]], error: str, status: int
) -> None:
    """9.1-b, 9.2-g: refused with its own code and without effect; unchanged it is carried out."""
    headers = door.headers("contractCancel")
    refused = door.ask(change(headers), "contractCancel")
    assert (refused.error, refused.status) == (error, status)
    assert door.b.contract(door.contract_id)["status"] == "APPLIED"
    assert door.ask(headers, "contractCancel").code == 0
    assert door.b.contract(door.contract_id)["status"] == "TERMINATED"


@pytest.mark.parametrize("component", signing.COMPONENTS)
def test_a_signature_that_leaves_out_a_component_is_refused(door: Door, component: str) -> None:
    """9.2-g: what a signature does not cover could be changed underway."""
    rest = tuple(item for item in signing.COMPONENTS if item != component)
    assert door.ask(door.headers(components=rest)).error == "SIGNATURE_INVALID"
    assert door.ask(door.headers()).code == 0


def test_a_nonce_is_taken_once(door: Door) -> None:
    """9.2-g: the same request again is a replay, also after a refusal; another node may use the same nonce."""
    nonce = fresh_nonce()
    headers = door.headers(nonce=nonce)
    assert door.ask(headers).code == 0
    assert door.ask(headers).error == "NONCE_REPLAYED"
    other = Stranger("node-s", PrivateKey.generate("SM3_SM2"))
    signed = door.b.sign("contractApply", other, other.particulars(), nonce=nonce)
    assert door.b.raw("contractApply", signed, other.particulars()).code == 0


def test_the_nonce_of_a_refused_request_stays_used(door: Door) -> None:
    """9.2-g: a request that its handler refused cannot be tried again with the same nonce."""
    headers = door.b.sign("contractQuery", door.a.as_stranger(), {"contract_id": "contract-z"})
    answers = [door.b.raw("contractQuery", headers, {"contract_id": "contract-z"}).error for _ in range(2)]
    assert answers == ["CONTRACT_NOT_FOUND", "NONCE_REPLAYED"]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_timestamp_is_taken_within_the_window_and_not_outside(door: Door, sign: int) -> None:
    """9.2-g: the window's edge is inside, one millisecond more is outside, on both sides."""
    window = sign * door.b.node.config.timestamp_window_seconds * 1000
    now = door.b.clock.now
    assert door.ask(door.headers(timestamp=now + window)).code == 0
    assert door.ask(door.headers(timestamp=now + window + sign)).error == "TIMESTAMP_SKEWED"


def test_pruning_forgets_only_nonces_that_no_timestamp_lets_in_any_more(door: Door) -> None:
    """9.2-g: a replay stays refused for as long as its timestamp is within the window."""
    headers = door.headers(timestamp=door.b.clock.now + 299_000)
    assert door.ask(headers).code == 0
    door.b.clock.advance(598)
    door.b.node.pump()
    assert door.ask(headers).error == "NONCE_REPLAYED"
    door.b.clock.advance(2)
    door.b.node.pump()
    assert door.ask(headers).error == "TIMESTAMP_SKEWED"


def test_repeated_failures_lock_out_for_an_interval(door: Door) -> None:
    """9.2-a-5: after the fifth failure an address is refused at once, until the interval is over."""
    forged = {**door.headers(), "x-auth-sign": ':AAAA:;alg="sm2-sm3"'}
    for _ in range(5):
        assert door.ask({**forged, "x-nonce": fresh_nonce()}).error == "SIGNATURE_INVALID"
    locked = door.ask(forged)
    assert (locked.error, locked.status, locked.headers["retry-after"]) == ("LOCKED_OUT", 429, "300")
    assert door.ask(forged, remote="10.0.0.8").error == "SIGNATURE_INVALID"
    door.b.clock.advance(299)
    assert door.ask({**forged, "x-timestamp": str(door.b.clock.now)}).error == "LOCKED_OUT"
    door.b.clock.advance(1)
    assert door.ask({**forged, "x-timestamp": str(door.b.clock.now)}).error == "SIGNATURE_INVALID"


def test_a_success_sets_the_count_back(door: Door) -> None:
    """9.2-a-5: only failures in a row lock out."""
    forged = {**door.headers(), "x-auth-sign": ':AAAA:;alg="sm2-sm3"'}
    for _ in range(3):
        for _ in range(4):
            assert door.ask(forged).error == "SIGNATURE_INVALID"
        assert door.ask(door.headers()).code == 0


def test_requests_without_a_signature_count_as_failures(door: Door) -> None:
    """9.2-a-5: leaving the signature out is no way around the lock-out."""
    unsigned = _without("x-auth-sign")(door.headers())
    for _ in range(5):
        assert door.ask(unsigned).error == "SIGNATURE_MISSING"
    assert door.ask(unsigned).error == "LOCKED_OUT"


def test_the_key_in_an_application_has_to_be_the_applicants(two: Two, stranger: Stranger) -> None:
    """9.2-a: who presents a key proves that it holds it, else nothing is kept."""
    _, b = two
    thief = Stranger(stranger.node_id, PrivateKey.generate("SM3_SM2"))
    assert b.signed("contractApply", thief, **stranger.particulars()).error == "SIGNATURE_INVALID"
    assert b.raw("contractApply", {}, stranger.particulars()).error == "HEADER_MISSING"
    assert b.own("ownContractList").data["total"] == 0
    assert b.signed("contractApply", stranger, **stranger.particulars()).code == 0


def test_proof_of_possession_can_be_left_optional(stranger: Stranger) -> None:
    """Interop v1.2 does not demand a signature on applications; one that is there has to hold all the same."""
    with nodes("node-b", proof_of_possession="optional") as (b,):
        assert b.raw("contractApply", {}, stranger.particulars()).code == 0
        thief = Stranger(stranger.node_id, PrivateKey.generate("SM3_SM2"))
        assert b.signed("contractApply", thief, **stranger.particulars()).error == "SIGNATURE_INVALID"
        assert b.raw("contractApply", {"x-nonce": "only-this-one-header"}, stranger.particulars()).code == 0


def test_a_node_id_stays_with_its_key(two: Two, stranger: Stranger) -> None:
    """9.2-a-1: another key for a registered id is refused, pending or in force; once all is over it is free."""
    _, b = two
    contract_id = b.signed("contractApply", stranger, **stranger.particulars()).data["contract_id"]
    other = Stranger(stranger.node_id, PrivateKey.generate("SM3_SM2"))
    assert b.signed("contractApply", other, **other.particulars()).error == "NODE_ID_TAKEN"
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert b.signed("contractApply", other, **other.particulars()).error == "NODE_ID_TAKEN"
    assert b.contract(contract_id)["status"] == "APPROVED"
    b.own("ownContractTerminate", contract_id=contract_id)
    assert b.signed("contractApply", other, **other.particulars()).code == 0


def test_an_application_that_nobody_decides_holds_a_node_id_for_a_while_only(two: Two, stranger: Stranger) -> None:
    """After the configured days it has expired at both ends, cannot be approved, and the id is free (9.2-a-1)."""
    a, b = two
    own = a.own("ownContractApply", node_id=b.id, address=b.address).data["contract_id"]
    contract_id = b.signed("contractApply", stranger, **stranger.particulars()).data["contract_id"]
    other = Stranger(stranger.node_id, PrivateKey.generate("SM3_SM2"))
    b.clock.advance(7 * DAY_MS / 1000 - 1)
    assert b.signed("contractApply", other, **other.particulars()).error == "NODE_ID_TAKEN"
    b.clock.advance(1)
    assert b.signed("contractApply", other, **other.particulars()).code == 0
    assert b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").error == "CONTRACT_NOT_PENDING"
    found = b.contract(contract_id)
    assert (found["status"], found["end_reason"]) == ("TERMINATED", "EXPIRED")
    found = a.own("ownContractQuery", contract_id=own).data
    assert (found["status"], found["end_reason"]) == ("TERMINATED", "EXPIRED")


def test_nobody_applies_in_the_name_of_the_node_itself_or_of_another(two: Two, stranger: Stranger) -> None:
    """9.2-a-1, 9.2-a-3: the id in the application is the sender's, and never this node's own."""
    _, b = two
    impostor = Stranger(b.id, stranger.key)
    assert b.signed("contractApply", impostor, **impostor.particulars()).error == "NODE_ID_TAKEN"
    for_another = {**stranger.particulars(), "node_id": "node-z"}
    refused = b.signed("contractApply", stranger, **for_another)
    assert (refused.error, refused.data["pointer"]) == ("REQUEST_INVALID", "/node_id")
    assert b.own("ownContractList").data["total"] == 0


def _presented(
    auth_type: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, base: Stranger
) -> dict[str, object]:
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {**base.particulars(), "auth_type": auth_type, "auth_credential": pem.decode()}


def test_weak_and_unknown_credentials_are_refused(two: Two, stranger: Stranger) -> None:
    """9.1-a, 9.2-f-2: RSA under 2048 bits, a small curve, an unknown kind, no key at all; P-256 is taken."""
    _, b = two
    for auth_type, public, error in (
        ("SHA256_RSA", rsa.generate_private_key(65537, 1024).public_key(), "KEY_TOO_WEAK"),
        ("SHA256_ECDSA", ec.generate_private_key(ec.SECP224R1()).public_key(), "KEY_TOO_WEAK"),
        ("CERT", ec.generate_private_key(ec.SECP256R1()).public_key(), "CREDENTIAL_TYPE_UNSUPPORTED"),
    ):
        assert b.signed("contractApply", stranger, **_presented(auth_type, public, stranger)).error == error
    nonsense = {**stranger.particulars(), "auth_credential": "no key"}
    assert b.signed("contractApply", stranger, **nonsense).error == "CREDENTIAL_MALFORMED"
    assert b.own("ownContractList").data["total"] == 0
    sound = Stranger("node-e", PrivateKey.generate("SHA256_ECDSA"))
    assert b.signed("contractApply", sound, **sound.particulars()).code == 0


def test_a_suite_that_is_switched_off_is_not_taken(stranger: Stranger) -> None:
    """9.1-a: no common suite ends in an error, at the node that is asked and at the one that asks."""
    with nodes("node-a", "node-b", auth_types={"node-a": ["SHA256_RSA"], "node-b": ["SHA256_ECDSA"]}) as (a, b):
        assert b.signed("contractApply", stranger, **stranger.particulars()).error == "CREDENTIAL_TYPE_UNSUPPORTED"
        own = a.own("ownContractApply", address=b.address, node_id=b.id)
        assert (own.error, own.data["partner"]) == ("CREDENTIAL_TYPE_UNSUPPORTED", {"auth_types": ["SHA256_ECDSA"]})


def test_the_suites_agreed_upon_serve_the_contract() -> None:
    """9.2-a-2, 9.2-f: SM2 where both have it, else what both have; requests after it use the same."""
    for theirs, agreed in ((["SHA256_ECDSA", "SM3_SM2"], "SM3_SM2"), (["SHA256_ECDSA"], "SHA256_ECDSA")):
        with nodes("node-a", "node-b", auth_types={"node-b": theirs}) as (a, b):
            contract_id = sign_contract(a, b)
            assert [node.contract(contract_id)["auth_type"] for node in (a, b)] == [agreed, agreed]
            assert a.own("ownPartnerHealth", contract_id=contract_id).data["status"] == "UP"


def test_operations_under_contract_need_one_in_force(two: Two) -> None:
    """9.2-a: pending, ended and expired contracts open nothing, one in force does."""
    a, b = two
    until = a.clock.now + DAY_MS
    contract_id = apply(a, b, expired_time=until)
    assert b.signed("componentList", a.as_stranger()).error == "CONTRACT_NOT_ACTIVE"
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert b.signed("componentList", a.as_stranger()).error != "CONTRACT_NOT_ACTIVE"
    a.clock.now = until
    assert b.signed("componentList", a.as_stranger()).error == "CONTRACT_EXPIRED"
    assert b.signed("nodeHealth", a.as_stranger()).code == 0


def test_the_own_side_opens_to_the_operators_token_alone(two: Two) -> None:
    """9.2-b-4: no token, a wrong one and a node's signature stay outside."""
    a, b = two
    contract_id = sign_contract(a, b)
    token = b.node.identity.operator_token
    signed = b.sign("ownContractTerminate", a.as_stranger(), {"contract_id": contract_id})
    for headers in ({}, {"authorization": f"Bearer {token}x"}, {"authorization": f"Basic {token}"}, signed):
        refused = b.raw("ownContractTerminate", headers, {"contract_id": contract_id})
        assert (refused.error, refused.status) == ("OPERATOR_TOKEN_INVALID", 401)
    assert b.contract(contract_id)["status"] == "APPROVED"
    assert b.raw("ownContractTerminate", {"authorization": f"bearer {token}"}, {"contract_id": contract_id}).code == 0
