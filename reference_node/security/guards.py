"""Who may call (9.2-a): the checks every request passes before its handler runs.

Guarantees, in this order, each refusal with a code of its own: the headers are there; a POST carries the CSRF header;
the caller is not locked out (9.2-a-5); the request is meant for this node; its timestamp is within the window; the
source is known by a key (or, where a contract is being made, presents one and proves that it has it); digest and
signature hold; where a contract is demanded, one is in force; the nonce is new. What failures of authentication count
against is for `lockouts` to say: nobody can lock out somebody else.

The nonce is recorded in the request's own transaction (`admit`), and again by the router where that is rolled back.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Status
from reference_node.domain.job import JobStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import certified, credentials, lockouts, signing
from reference_node.security.errors import DigestMismatch, InvalidSignature, SignatureMissing, SignatureRefused
from reference_node.security.incoming import Incoming
from reference_node.security.keys import PublicKey
from reference_node.security.lockouts import Standing
from reference_node.security.sm2 import sm3
from reference_node.security.suites import AuthType
from reference_node.store import sealed
from reference_node.store.contracts import ContractRow, PartnerKeyRow
from reference_node.store.guards import NonceRow
from reference_node.store.jobs import COMPONENT_TOKEN, JobRow

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MILLIS: Final = re.compile(r"[0-9]{1,16}")
_REQUIRED: Final = (signing.SOURCE, signing.TARGET, signing.NONCE, signing.TRACE, signing.TIMESTAMP)
_KEYS_TRIED: Final = 8
_SLACK_MS: Final = 8000  # by how much a fault makes the window wider or narrower

# built once: making and hashing a statement costs as much as running it
_KEYS: Final = (
    select(*PartnerKeyRow.__table__.columns)
    .where(PartnerKeyRow.node_id == bindparam("source"))
    .order_by(PartnerKeyRow.seen_at.desc())
    .limit(_KEYS_TRIED)
)
_RECORD: Final = insert(NonceRow)
REMOTE_OF_GAP: Final = "spool:"  # in the place of an address; no socket gives one like this
OF_COMPONENTS: Final = ("/v1/platform/schedule/task/callback", "/v1/platform/schedule/task/report")
_JOB_OF_TOKEN: Final = select(JobRow.job_id).where(
    JobRow.component_digest == bindparam("digest"), JobRow.status == JobStatus.RUNNING.value
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A node whose request was authenticated; `key` is absent only where no proof was demanded and none given.

    `contract_id` is the newest contract in force with that key, where the operation demands one.
    """

    node_id: str
    nonce: str
    nonce_until: int
    key: PublicKey | None
    contract_id: str | None = None


def operator(node: Node, incoming: Incoming) -> str | None:
    """Let this node's own operator in, and nobody else: signatures of nodes do not count here.

    A component of a job may report with the token that it was given; then the id of its job is returned.
    """
    scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
    expected = node.identity.operator_token.encode()
    if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), expected):
        return None
    if scheme.lower() == "bearer" and incoming.path in OF_COMPONENTS:
        digest = node.vault.digest(token.strip().encode(), COMPONENT_TOKEN)
        with node.store.reading() as connection:
            job_id = connection.execute(_JOB_OF_TOKEN, {"digest": digest}).scalar()
        if job_id is not None:
            return str(job_id)
    if signing.SIGNATURE in incoming.headers and node.faults.on("node-signature-opens-own-side"):
        return None
    if node.faults.on("own-side-token-not-checked"):
        return None
    told: dict[str, str] = {}
    if token and node.faults.on("refusal-tells-the-operator-token"):
        told = {"expected": sm3(expected).hex()}
    if token and node.faults.on("refused-token-echoed"):
        told = {"token": token}
    raise Refusal("OPERATOR_TOKEN_INVALID", pointer="authorization", **told)


def auditor(node: Node, incoming: Incoming) -> None:
    """Let the auditor in, and nobody else: what is kept as evidence is not for the operator to see (9.2-d-2)."""
    scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
    given = token.strip().encode() if scheme.lower() == "bearer" else b""
    if hmac.compare_digest(given, node.evidence.token.encode()):
        return
    of_operator = node.identity.operator_token.encode()
    if hmac.compare_digest(given, of_operator) and node.faults.on("evidence-open-to-operator"):
        return
    if signing.SIGNATURE in incoming.headers and node.faults.on("evidence-open-to-nodes"):
        return
    if not given and node.faults.on("evidence-open-without-token"):
        return
    raise Refusal("AUDITOR_TOKEN_INVALID", pointer="authorization")


def known(node: Node, incoming: Incoming, *, contract: bool) -> Caller:
    """Authenticate a node that this one knows by a contract in any state, or (`contract`) by one in force."""
    if "authorization" in incoming.headers and node.faults.on("operator-token-opens-node-side"):
        return Caller(node.node_id, incoming.headers.get(signing.TRACE, str(node.now())), 0, None)
    with node.store.reading() as connection:
        standing = _preliminaries(node, connection, incoming)
        source = incoming.headers[signing.SOURCE]
        keys = connection.execute(_KEYS, {"source": source}).mappings().all()
    if not keys:
        if not node.faults.on("unknown-node-accepted"):
            raise Refusal("NODE_UNKNOWN", pointer=signing.SOURCE)
        return _caller(node, incoming, None, None)
    for row in keys:
        sealed.check(node.vault, PartnerKeyRow, dict(row), row["mac"])
    known_keys = [credentials.key(node.faults, row["auth_type"], row["credential"]) for row in keys]
    key = _signer(node, incoming, known_keys, standing)
    lockouts.forgive(node, incoming, standing)
    if not contract:
        return _caller(node, incoming, key, None)
    in_force = _contract_in_force(node, source, key)
    _check_version(node, in_force, incoming)
    return _caller(node, incoming, key, str(in_force.contract_id))


def presented_headers(node: Node, incoming: Incoming) -> Standing | None:
    """Check what can be checked before the body is read; return how a caller stands that proves possession, or has to.

    None where proof of possession is neither there nor demanded.
    """
    proof = node.config.proof_of_possession == "required" or signing.SIGNATURE in incoming.headers
    if not proof and not all(incoming.headers.get(name) for name in _REQUIRED):
        return None
    with node.store.reading() as connection:
        standing = _preliminaries(node, connection, incoming, signed=proof)
    return standing if proof else None


def presented(node: Node, incoming: Incoming, body: Mapping[str, Any], *, standing: Standing | None) -> Caller | None:
    """Authenticate a node by the key that its body presents; without a standing it need not prove that it has it."""
    credential, auth_type = body.get("auth_credential"), body.get("auth_type")
    source = incoming.headers.get(signing.SOURCE) or str(body.get("node_id"))
    key = certified.key(node, auth_type, credential, source) if credential and auth_type else None
    if standing is not None and not node.faults.on("possession-not-proven"):
        if key is None:
            raise Refusal("SIGNATURE_INVALID", pointer="/auth_credential")
        _signer(node, incoming, [key], standing)
        lockouts.forgive(node, incoming, standing)
    if not all(incoming.headers.get(name) for name in _REQUIRED):
        return None
    return _caller(node, incoming, key, None)


def admit(node: Node, session: Session, caller: Caller) -> None:
    """Record the nonce; a second use within the window is refused."""
    source = "all" if node.faults.on("nonce-shared-between-sources") else caller.node_id
    try:
        session.connection().execute(
            _RECORD, {"source": source, "nonce": caller.nonce, "expires_at": caller.nonce_until}
        )
    except IntegrityError:
        survives = bool(node.faults) and node.leadership.taken_over()
        forgotten = survives and node.faults.on("nonces-of-dead-instance-forgotten")
        if not forgotten and not node.faults.on("nonce-replay-accepted"):
            raise Refusal("NONCE_REPLAYED", pointer=signing.NONCE) from None


def prune(node: Node) -> None:
    """Forget nonces whose timestamps are no longer taken, and failures that nobody waits for any more."""
    with node.store.begin() as session:
        session.execute(delete(NonceRow).where(NonceRow.expires_at < node.now()))
        lockouts.prune(node, session)


def _preliminaries(node: Node, connection: Connection, incoming: Incoming, *, signed: bool = True) -> Standing:
    """Check headers, CSRF, lock-out, target and timestamp; return how this caller stands."""
    headers = incoming.headers
    for name in _REQUIRED:
        if not headers.get(name):
            raise Refusal("HEADER_MISSING", pointer=name)
    _check_form(headers)
    standing = lockouts.standing(node, connection, incoming)
    if signed:
        for name in (signing.SIGNATURE, signing.CONTENT_DIGEST):
            if not headers.get(name):
                if node.faults.on("unsigned-request-accepted"):
                    continue
                connection.close()  # an in-memory database has this one only
                lockouts.failed(node, incoming, standing)
                raise Refusal("SIGNATURE_MISSING", pointer=name)
    if incoming.method == "POST" and not headers.get(signing.CSRF) and not node.faults.on("csrf-not-checked"):
        raise Refusal("CSRF_HEADER_MISSING", pointer=signing.CSRF)
    if headers[signing.TARGET] != node.node_id and not node.faults.on("target-not-checked"):
        raise Refusal("TARGET_MISMATCH", pointer=signing.TARGET)
    _check_time(node, int(headers[signing.TIMESTAMP]))
    return standing


def _check_time(node: Node, stamp: int) -> None:
    skew = abs(node.now() - stamp)
    window = node.config.timestamp_window_seconds * 1000
    if window - _SLACK_MS < skew <= window and node.faults.on("timestamp-window-cut"):
        raise Refusal("TIMESTAMP_SKEWED", pointer=signing.TIMESTAMP)
    if window < skew <= window + _SLACK_MS and node.faults.on("timestamp-window-with-slack"):
        return
    if skew > window // 2 and node.faults.on("timestamp-window-halved"):
        raise Refusal("TIMESTAMP_SKEWED", pointer=signing.TIMESTAMP)
    if skew > window and not node.faults.on("timestamp-window-not-enforced"):
        raise Refusal("TIMESTAMP_SKEWED", pointer=signing.TIMESTAMP)


def _check_form(headers: Mapping[str, str]) -> None:
    for name, form in ((signing.SOURCE, _IDENTIFIER), (signing.NONCE, _NONCE), (signing.TIMESTAMP, _MILLIS)):
        if not form.fullmatch(headers[name]):
            raise Refusal("REQUEST_INVALID", pointer=name)


def _signer(node: Node, incoming: Incoming, keys: list[PublicKey], standing: Standing) -> PublicKey:
    """Return the key that signed the request; a failure is counted, and refused as such from a locked address."""
    if not incoming.headers.get(signing.SIGNATURE):  # only the fault above lets it come so far
        return keys[0]
    request = signing.Request(incoming.method, incoming.path, incoming.query, incoming.body, incoming.headers)
    refusal: SignatureRefused = SignatureMissing("no key")
    for number, key in enumerate(keys):
        try:
            credentials.verify(node.faults, key, request)
        except SignatureRefused as refused:
            # the newest key's refusal is told, unless an older key says more: it at least fits the algorithm
            if number == 0 or isinstance(refused, InvalidSignature):
                refusal = refused
        else:
            return key
    lockouts.failed(node, incoming, standing, counts=isinstance(refusal, (InvalidSignature, DigestMismatch)))
    raise refusal


def _caller(node: Node, incoming: Incoming, key: PublicKey | None, contract_id: str | None) -> Caller:
    headers = incoming.headers
    until = int(headers[signing.TIMESTAMP]) + node.config.timestamp_window_seconds * 1000
    nonce = headers[signing.NONCE]
    if key is not None and key.auth_type is AuthType.SHA256_ECDSA and node.faults.on("replay-known-by-signature"):
        nonce = sha256(headers[signing.SIGNATURE].encode()).hexdigest()
    if incoming.remote.startswith(REMOTE_OF_GAP) and node.faults.on("gap-replay-accepted"):
        nonce = token_hex(16)
    return Caller(headers[signing.SOURCE], nonce, until, key, contract_id)


def _check_version(node: Node, row: ContractRow, incoming: Incoming) -> None:
    """Refuse a request of the data plane over an older signature base than the partner has said that it has (9.2-g)."""
    has = row.partner.get(signing.ANNOUNCED, signing.OLDEST)
    if has == signing.OLDEST and node.faults.on("old-node-not-heard"):
        has = signing.NEWEST
    if has == signing.OLDEST or not signing.carries_transport(incoming.headers):
        return
    old = signing.version_of(incoming.headers.get(signing.SIGNATURE, "")) == signing.OLDEST
    if old and not node.faults.on("old-signature-base-accepted"):
        raise Refusal("SIGNATURE_OUTDATED", pointer=signing.SIGNATURE)


def _contract_in_force(node: Node, source: str, key: PublicKey) -> ContractRow:
    """Return the newest contract in force with that key, judged by the clock, else refuse."""
    now = node.now()
    with node.store.read() as session:
        row = session.scalar(
            select(ContractRow)
            .where(ContractRow.partner_node_id == source, *_keyed(node, key))
            .order_by(
                (ContractRow.status == Status.APPROVED).desc(),
                (ContractRow.status == Status.APPLIED).asc(),
                ContractRow.expired_time.desc(),
            )
            .limit(1)
        )
    if row is not None and row.status == Status.APPROVED and row.expired_time > now:
        return row
    expired = row is not None and (row.status == Status.APPROVED or row.end_reason == EndReason.EXPIRED)
    if row is not None and node.faults.on("expired-contract-accepted" if expired else "contract-state-not-checked"):
        return row
    if row is not None and opened_by_fault(node, row.end_reason):
        return row
    raise Refusal("CONTRACT_EXPIRED" if expired else "CONTRACT_NOT_ACTIVE")


def _keyed(node: Node, key: PublicKey) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a contract is of this key; only a fault lets any key of a partner's count."""
    return () if node.faults.on("old-key-kept") else (ContractRow.partner_key == key.fingerprint,)


def opened_by_fault(node: Node, end_reason: str | None) -> bool:
    """Tell whether a fault lets a contract open operations although it is not in force."""
    if end_reason == EndReason.TERMINATED:
        return node.faults.on("terminated-contract-opens")
    return end_reason != EndReason.EXPIRED and node.faults.on("sync-without-contract-accepted")
