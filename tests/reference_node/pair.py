"""Nodes in one process: real applications, joined by their WSGI interfaces, on one clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import flask
import jsonschema_rs

import specs
from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.identity import Identity
from reference_node.node import Node
from reference_node.security import signing
from reference_node.security.keys import PrivateKey
from reference_node.transport.outbound import OutboundAnswer, Unreachable

START_MS = 1_900_000_000_000
DAY_MS = 24 * 3600 * 1000


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = START_MS) -> None:
        self.now = now

    def now_ms(self) -> int:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1000)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that went from node to node."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.url).path


@dataclass
class Network:
    """Carries requests between the applications; hosts can be down, answers can be lost."""

    apps: dict[str, flask.Flask] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    answers_lost: set[str] = field(default_factory=set)
    canned: dict[str, OutboundAnswer] = field(default_factory=dict)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:  # noqa: ARG002
        """Deliver one request."""
        parts = urlsplit(url)
        self.sent.append(Sent(method, url, dict(headers), body))
        if parts.netloc in self.down or parts.netloc not in self.apps:
            raise Unreachable(parts.netloc)
        answer = self.canned.get(parts.path) or _ask(
            self.apps[parts.netloc], method, parts.path, parts.query, headers, body
        )
        if parts.netloc in self.answers_lost:
            raise Unreachable("the answer was lost")
        return answer

    def paths(self) -> list[str]:
        """Return the paths that were called, in order."""
        return [sent.path for sent in self.sent]


def _ask(
    app: flask.Flask,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    remote: str = "10.0.0.1",
) -> OutboundAnswer:
    answer = app.test_client().open(
        path, method=method, query_string=query, headers=dict(headers), data=body, environ_base={"REMOTE_ADDR": remote}
    )
    return OutboundAnswer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.data)


@dataclass(frozen=True, slots=True)
class Reply:
    """An envelope that came back."""

    status: int
    code: int
    msg: str
    data: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def error(self) -> str | None:
        """The name of the refusal, if it is one."""
        return self.data.get("error") if self.code else None


@cache
def _validator(operation: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(dict(specs.operations()[operation].answer_schema or {}), validate_formats=True)


@cache
def _error_validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(dict(specs.schema("ErrorEnvelope")))


@dataclass
class Stranger:
    """A node that exists only as a key and an id: it signs what a test wants signed."""

    node_id: str
    key: PrivateKey

    def particulars(self, address: str = "http://stranger.test") -> dict[str, Any]:
        """Return an application of this node without a period."""
        return {
            "node_id": self.node_id,
            "name": self.node_id,
            "inst_id": "inst-" + self.node_id,
            "institution": "institution",
            "system": "hutong",
            "system_version": "0.1.0",
            "address": address,
            "auth_type": self.key.public.auth_type.value,
            "auth_credential": self.key.public.pem,
        }


@dataclass
class TestNode:
    """One node under test with its operator's hands and its partners' doors."""

    __test__ = False

    app: flask.Flask
    address: str
    network: Network
    clock: ManualClock

    @property
    def node(self) -> Node:
        """The node itself."""
        return node_of(self.app)

    @property
    def id(self) -> str:
        """Its node id."""
        return self.node.node_id

    def own(self, operation: str, **fields: Any) -> Reply:
        """Call an operation of the own side as the operator; the answer is held against the interface definition."""
        headers = {"authorization": "Bearer " + self.node.identity.operator_token, "accept-language": "en"}
        return self.raw(operation, headers, fields)

    def audit(self, operation: str, **fields: Any) -> Reply:
        """Call an operation of the own side as the auditor; the answer is held against the interface definition."""
        return self.raw(operation, {"authorization": "Bearer " + self.node.evidence.token}, fields)

    def signed(self, operation: str, source: Stranger, /, remote: str = "10.0.0.9", **fields: Any) -> Reply:
        """Call an operation as another node."""
        return self.raw(operation, self.sign(operation, source, fields), fields, remote=remote)

    def sign(
        self,
        operation: str,
        source: Stranger,
        fields: Mapping[str, Any],
        *,
        nonce: str | None = None,
        timestamp: int | None = None,
        target: str | None = None,
        token_set: str | None = None,
        components: tuple[str, ...] = signing.COMPONENTS,
    ) -> dict[str, str]:
        """Return the headers of a signed request."""
        found = specs.operations()[operation]
        query, body = _parts(found, fields)
        stamp = signing.Stamp(
            source.node_id,
            self.id if target is None else target,
            nonce or fresh_nonce(),
            self.clock.now if timestamp is None else timestamp,
            "trace-of-the-test",
            token_set,
        )
        request = signing.Request(found.method, found.path, query, body)
        return signing.sign_headers(source.key, request, stamp, components)

    def raw(
        self, operation: str, headers: Mapping[str, str], fields: Mapping[str, Any], remote: str = "10.0.0.9"
    ) -> Reply:
        """Call an operation with exactly these headers (and the content type)."""
        found = specs.operations()[operation]
        query, body = _parts(found, fields)
        headers = {"accept-language": "en", **headers}
        if found.method == "POST":
            headers["content-type"] = "application/json"
        answer = _ask(self.app, found.method, found.path, query, headers, body, remote)
        envelope = json.loads(answer.body)
        (_error_validator() if envelope["code"] else _validator(operation)).validate(envelope)
        return Reply(answer.status, envelope["code"], envelope["msg"], envelope["data"], answer.headers)

    def as_stranger(self, auth_type: str = "SM3_SM2") -> Stranger:
        """Return this node's id and key, to sign in its name."""
        return Stranger(self.id, self.node.identity.key(auth_type))

    def contract(self, contract_id: str) -> dict[str, Any]:
        """Return the contract as this node's operator sees it, without asking the partner."""
        records = self.own("ownContractList", page_size=500).data["records"]
        return next(record for record in records if record["contract_id"] == contract_id)


def _parts(operation: specs.Operation, fields: Mapping[str, Any]) -> tuple[str, bytes]:
    if operation.method == "GET":
        return urlencode(fields), b""
    return "", json.dumps(fields).encode()


_COUNT = iter(range(10**9))


def fresh_nonce() -> str:
    """Return a nonce that no other call of this process gets."""
    return f"nonce-of-the-test-{next(_COUNT):09d}"


@contextmanager
def nodes(*names: str, clock: ManualClock | None = None, **settings: Any) -> Iterator[tuple[TestNode, ...]]:
    """Build nodes in memory that reach each other; settings are those of `load_config`, for all of them.

    A setting `faults` or `data` may be a mapping from name to the value of that node.
    """
    clock = clock or ManualClock()
    network = Network()
    found = []
    for name in names:
        own = {key: value.get(name) if isinstance(value, dict) else value for key, value in settings.items()}
        config = load_config(None, **{"node_id": name, "address": f"http://{name}.test", "background": False, **own})
        app = create_app(config, clock=clock, outbound=network, identity=identity_of(config.data), resolver=at_home)
        network.apps[f"{name}.test"] = app
        found.append(TestNode(app, f"http://{name}.test", network, clock))
    try:
        yield tuple(found)
    finally:
        for item in found:
            item.node.close()


def at_home(_name: str) -> tuple[str, ...]:
    """Resolve every name to this machine: nothing is looked up where nodes are in one process."""
    return ("127.0.0.1",)


def identity_of(data: Any) -> Identity:
    """Return the identity of a data folder, or a fresh one in memory."""
    return Identity(data)


def apply(applicant: TestNode, approver: TestNode, **fields: Any) -> str:
    """Have one node apply to another and return the contract id."""
    reply = applicant.own("ownContractApply", address=approver.address, node_id=approver.id, **fields)
    assert reply.code == 0, reply
    return str(reply.data["contract_id"])


def sign_contract(applicant: TestNode, approver: TestNode, **fields: Any) -> str:
    """Bring two nodes to a contract in force and return its id."""
    contract_id = apply(applicant, approver, **fields)
    reply = approver.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert (reply.code, reply.data.get("delivery")) == (0, "DELIVERED"), reply
    return contract_id
