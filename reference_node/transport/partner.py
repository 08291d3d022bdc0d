"""Calls to partner nodes: signed, sent, and their answers held against the interface definition.

Guarantees: every signed call carries a fresh nonce, this node's time and a signature by the key of the contract
(9.2-a); an answer reaches the caller only when it is the success envelope with data of the operation's schema, anything
else is a Refusal that says which of three things happened:

    PARTNER_UNREACHABLE       nothing came back; the partner may or may not have acted; extra["reason"] says why
    PARTNER_REFUSED           an error envelope came back; extra["partner"] has its code, error, msg and status
    PARTNER_ANSWER_INVALID    something else came back
    ADDRESS_NOT_ALLOWED       nobody was called: the address is none that this node goes to; extra["reason"] says why
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import jsonschema_rs
import structlog

import specs
from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.domain.places import Unfit
from reference_node.domain.text import shown, shown_within
from reference_node.errors import Refusal
from reference_node.faults import Faults
from reference_node.identity import Identity
from reference_node.security import signing
from reference_node.transport.outbound import TLS_FAILED, Outbound, OutboundAnswer, Unreachable
from reference_node.transport.places import Places

log = structlog.get_logger("reference_node")

_OLD = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to call, where, and with which of our keys."""

    node_id: str
    address: str
    auth_type: str
    signature_base: int = 1  # the newest version that it has said to have


class Partner:
    """The node's side of every node-to-node call that it starts."""

    def __init__(
        self,
        node_id: str,
        config: Config,
        *,
        clock: Clock,
        outbound: Outbound,
        identity: Identity,
        faults: Faults,
        places: Places,
        probe: Outbound | None = None,
    ) -> None:
        self._node_id = node_id
        self._config = config
        self._clock = clock
        self._outbound = outbound
        self._places = places
        self._probe = probe or outbound
        self._identity = identity
        self._faults = faults

    def call(
        self,
        operation: str,
        peer: Peer,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        token_set: str | None = None,
        trace_id: str | None = None,
        attempts: int = 1,
    ) -> dict[str, Any]:
        """Return `data` of the partner's answer; each further attempt (only where none was heard) is signed afresh."""
        for left in range(attempts - 1, -1, -1):
            try:
                if not self._faults.on("refused-address-called"):
                    self._places.judged(peer.address, peer.node_id)
                answer = self._send(specs.operations()[operation], peer, query, body, token_set, trace_id)
            except Unfit as refused:
                self._note(operation, peer, f"the address is not allowed: {refused.reason}")
                raise Refusal("ADDRESS_NOT_ALLOWED", reason=refused.reason.value) from None
            except Unreachable as failure:
                self._note(operation, peer, str(failure))
                if left == 0:
                    raise Refusal("PARTNER_UNREACHABLE", reason=str(failure)) from None
            else:
                return _data(operation, answer)
        raise AssertionError("attempts is at least 1")

    def _note(self, operation: str, peer: Peer, reason: str) -> None:
        """Log why a partner was not reached; a channel that could not be secured is for somebody to mend."""
        tell = log.warning if reason.startswith(TLS_FAILED) else log.info
        at = {
            "partner": peer.node_id,
            "address": urlsplit(peer.address).netloc.rpartition("@")[2],
            "operation": operation,
        }
        tell("partner not reached", node_id=self._node_id, reason=reason, **at)

    def reaches(self, url: str) -> bool:
        """Tell whether a service of this node's own answers, whatever it says short of an error."""
        try:
            return self._probe.send("GET", url, {}, b"", self._config.timeout_seconds).status < 500
        except Unreachable:
            return False

    def _send(
        self,
        operation: specs.Operation,
        peer: Peer,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
        token_set: str | None,
        trace_id: str | None,
    ) -> OutboundAnswer:
        encoded = urlencode(query or {})
        url = peer.address.rstrip("/") + operation.path
        content = b"" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"accept": "application/json", "accept-language": "en"}
        if body is not None:
            headers["content-type"] = "application/json"
        trace = trace_id or secrets.token_hex(16)
        if operation.auth == "none":
            headers[signing.TRACE] = trace
        else:
            request = signing.Request(operation.method, urlsplit(url).path, encoded, content, headers)
            headers |= self._signed(request, peer, token_set, trace)
        if encoded:
            url = f"{url}?{encoded}"
        return self._outbound.send(operation.method, url, headers, content, self._config.timeout_seconds)

    def _signed(self, request: signing.Request, peer: Peer, token_set: str | None, trace: str) -> dict[str, str]:
        nonce, now, target = secrets.token_urlsafe(24), self._clock.now_ms(), peer.node_id
        if self._faults.on("own-nonce-reused"):
            nonce = "nonce-that-never-changes"
        if self._faults.on("own-timestamp-stale"):
            now -= _OLD
        if "/node/" in request.path and self._faults.on("own-target-wrong"):
            target = self._node_id
        stamp = signing.Stamp(self._node_id, target, nonce, now, trace, token_set)
        headers = signing.sign_headers(self._identity.key(peer.auth_type), request, stamp)
        if self._faults.on("own-requests-unsigned"):
            del headers[signing.SIGNATURE]
        if self._faults.on("own-signature-broken"):
            headers[signing.TIMESTAMP] = str(now + 1)
        if self._faults.on("own-digest-stale"):
            headers[signing.CONTENT_DIGEST] = signing.content_digest("sm2-sm3", b"another body")
        if "/dataset/" in request.path and self._faults.on("own-request-with-operator-token"):
            headers["x-operator"] = base64.b64encode(f"operator:{self._identity.operator_token}".encode()).decode()
        if self._faults.on("own-csrf-header-left-out"):
            headers.pop(signing.CSRF, None)
        return headers


@cache
def _validator(operation: str) -> jsonschema_rs.Validator:
    schema = specs.operations()[operation].answer_schema
    return jsonschema_rs.validator_for(dict(schema or {"type": "object"}), validate_formats=True)


def _data(operation: str, answer: OutboundAnswer) -> dict[str, Any]:
    try:
        envelope = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Refusal("PARTNER_ANSWER_INVALID", status=answer.status) from None
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if isinstance(code, int) and not isinstance(code, bool) and code != 0:
        raise Refusal("PARTNER_REFUSED", partner=_reason(envelope, answer.status))
    if answer.status != 200 or not _validator(operation).is_valid(envelope):
        raise Refusal("PARTNER_ANSWER_INVALID", status=answer.status)
    data: dict[str, Any] = shown_within(envelope["data"])  # names with such characters are off the interface
    return data


def _reason(envelope: dict[str, Any], status: int) -> dict[str, Any]:
    """Return what is safe to pass on of a partner's refusal."""
    data = envelope.get("data")
    error = data.get("error") if isinstance(data, dict) else None
    return {
        "status": status,
        "code": envelope["code"],
        "error": shown(error) if isinstance(error, str) else None,
        "msg": shown(str(envelope.get("msg", ""))[:512]),
    }
