"""The nodes that the harness plays, and the address at which the target calls them back.

A `Partner` is an identity (node id, key, particulars) with a behaviour for each operation; scenarios replace the
behaviour where they want a refusal, silence or nonsense. A `Receiver` takes every call of the target's, finds the
partner it is for, checks the signing with the harness's own implementation, records the exchange and answers. A call
that nobody expects is kept as evidence under the scenario "-".
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from cheroot import wsgi

from conformance.harness import canary, channel, signing
from conformance.harness.binding import Binding
from conformance.harness.clock import Clock
from conformance.harness.partner_grpc import GrpcListener
from conformance.harness.records import Answer, Direction, Exchange, Request
from conformance.harness.target import NOBODY
from conformance.harness.tls import GATEWAY, ServerAdapter, Wardrobe

STRAY = "-"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a partner answers: `data` of an accepted request, or a raw status and body.

    `lost` is the status of gRPC with which a call over it ends instead.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    raw: bytes | None = None
    delay: float = 0.0
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A call of the target's, in the standard's spelling."""

    exchange: Exchange
    sent: Mapping[str, Any]


Behaviour = Callable[[Mapping[str, Any]], Reply]


def refusing(status: int = 409, error: str = "REFUSED", code: int = 40900) -> Behaviour:
    """Answer every call with a refusal."""
    body = json.dumps({"code": code, "msg": "refused", "data": {"error": error, "hint": "played by the harness"}})
    return lambda _sent: Reply(status=status, raw=body.encode())


def raw(status: int, body: bytes) -> Behaviour:
    """Answer every call with these bytes."""
    return lambda _sent: Reply(status=status, raw=body)


def saying(data: Mapping[str, Any]) -> Behaviour:
    """Answer every call with this data."""
    return lambda _sent: Reply(data)


class Partner:
    """One node that the harness plays."""

    def __init__(self, node_id: str, key: signing.Key, address: str, scenario: str) -> None:
        self.node_id = node_id
        self.key = key
        self.scenario = scenario
        self.contract_id = ""
        self.open_contract = False
        self.claims: set[str] = set()
        self.peer_key: signing.PublicKey | None = None
        self.seen_nonces: set[str] = set()
        self.particulars: dict[str, Any] = {
            "node_id": node_id,
            "name": f"互通测试节点 {node_id}",
            "address": address,
            "inst_id": f"inst-{node_id}",
            "institution": "Hutong",
            "system": "hutong-harness",
            "system_version": "1",
        }
        self._behaviours: dict[str, Behaviour] = {}

    @property
    def signature_base(self) -> int:
        """The newest version of the text that is signed that it says to have."""
        return int(self.particulars.get(signing.ANNOUNCED, signing.OLDEST))

    def answers(self, operation: str, behaviour: Behaviour) -> None:
        """Replace how an operation is answered."""
        self._behaviours[operation] = behaviour

    def says(self, particulars: Mapping[str, Any]) -> Self:
        """Say more of itself than is usual, or other things."""
        self.particulars |= particulars
        return self

    def application(self, expired_time: int | None = None) -> dict[str, Any]:
        """Return the body with which this node applies for a contract."""
        body = {**self.particulars, "auth_type": self.key.auth_type, "auth_credential": self.key.credential}
        return body if expired_time is None else {**body, "expired_time": expired_time}

    def reply(self, operation: str, sent: Mapping[str, Any]) -> Reply:
        """Answer a call of the target's."""
        behaviour = self._behaviours.get(operation)
        if behaviour is not None:
            return behaviour(sent)
        match operation:
            case "nodeQuery":
                return Reply({**self.particulars, "auth_types": [self.key.auth_type]})
            case "contractApply":
                contract_id = f"contract-{secrets.token_hex(16)}"
                self.claims.add(contract_id)
                self.contract_id = contract_id
                return Reply({"contract_id": contract_id})
            case "contractQuery":
                return Reply({"contract_id": sent.get("contract_id", self.contract_id), "status": "APPLIED"})
            case "nodeHealth":
                return Reply({"status": "UP"})
            case name if name.endswith("AuditQuery"):
                return Reply({"audit_id": sent.get("audit_id", ""), "status": "APPLIED"})
            case name if name.endswith("List"):
                return Reply({"records": [], "total": 0})
        return Reply()


class Receiver:
    """Takes the target's calls for all partners of a run."""

    def __init__(
        self,
        binding: Binding,
        clock: Clock,
        *,
        record: Callable[[Exchange], None],
        target_id: str,
        skew_ms: int,
        wardrobe: Wardrobe | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self.address = ""
        self.grpc_address = ""
        self._wardrobe = wardrobe
        self._secrets = secrets or {}
        self._binding = binding
        self._clock = clock
        self._record = record
        self._target_id = target_id
        self._skew_ms = skew_ms
        self._partners: dict[str, Partner] = {}
        self._inbox: list[Inbound] = []
        self._count = 0
        self._arrival = threading.Condition()
        self._server: wsgi.Server | None = None
        self._thread: threading.Thread | None = None
        self._grpc: GrpcListener | None = None

    def add(self, partner: Partner) -> None:
        """Make a partner reachable."""
        with self._arrival:
            self._partners[partner.node_id] = partner

    def find(self, operation: str, where: Mapping[str, Any], partners: Iterable[str]) -> Inbound | None:
        """Return the newest call that fits, or None."""
        nodes = set(partners)
        with self._arrival:
            for inbound in reversed(self._inbox):
                if inbound.exchange.operation != operation or inbound.exchange.partner not in nodes:
                    continue
                if all(inbound.sent.get(name) == value for name, value in where.items()):
                    return inbound
        return None

    def exchanges(self, scenario: str) -> list[Exchange]:
        """Return the calls that belong to a scenario."""
        with self._arrival:
            return [inbound.exchange for inbound in self._inbox if inbound.exchange.scenario == scenario]

    def wait(self, seconds: float) -> None:
        """Wait for the next arrival, or for some time to pass."""
        with self._arrival:
            self._arrival.wait(seconds)

    def answered(self, request: Request) -> Answer:
        """Return what the partner that is meant answers; nothing is recorded."""
        return self._answer(*self._read(request))

    def handle(self, request: Request, answer: Answer | None = None) -> Answer:
        """Answer one call of the target's, in this way if it is given, and record it."""
        started = time.perf_counter()
        at_ms = self._clock.now_ms()
        operation, read, sent, partner = self._read(request)
        problems = self._problems(partner, operation, read, sent) if partner else ("STRAY",)
        problems += canary.shown(self._secrets, request.headers, request.path.encode(), request.body)
        answer = answer or self._answer(operation, read, sent, partner)
        with self._arrival:
            self._count += 1
            exchange = Exchange(
                id=f"in-{self._count}",
                scenario=partner.scenario if partner else STRAY,
                step="",
                direction=Direction.TO_PARTNER,
                operation=operation,
                partner=partner.node_id if partner else "",
                request=request,
                answer=answer,
                problems=problems,
                at_ms=at_ms,
                elapsed_ms=(time.perf_counter() - started) * 1000,
            )
            self._inbox.append(Inbound(exchange, sent))
            self._arrival.notify_all()
        self._record(exchange)
        return answer

    def _read(self, request: Request) -> tuple[str, Request, dict[str, Any], Partner | None]:
        operation = channel.called(request) or self._binding.operation_of(request.method, request.path) or ""
        read = replace(request, headers=self._binding.read_headers(request.headers))
        sent = self._sent(operation, read)
        return operation, read, sent, self._addressee(read, sent)

    def _answer(self, operation: str, read: Request, sent: Mapping[str, Any], partner: Partner | None) -> Answer:
        reply = partner.reply(operation, sent) if partner else Reply(status=404, raw=_NOBODY)
        if reply.delay:
            self._clock.elapse(reply.delay)
        return self._spell(operation, read, reply)

    def _sent(self, operation: str, request: Request) -> dict[str, Any]:
        if operation in channel.OPERATIONS:
            return channel.sent(operation, request)
        query, body = self._binding.read_request(operation, dict(request.query), _object(request.body))
        return {**query, **body}

    def _addressee(self, request: Request, sent: Mapping[str, Any]) -> Partner | None:
        with self._arrival:
            named = self._partners.get(request.headers.get("x-target-node-id", ""))
            if named is None:
                named = self._partners.get(str(sent.get("node_id", "")))
            if named is not None:
                return named
            ids = {str(sent.get(name, "")) for name in ("contract_id", "audit_id")} - {""}
            return next((partner for partner in self._partners.values() if ids & partner.claims), None)

    def _problems(self, partner: Partner, operation: str, request: Request, sent: Mapping[str, Any]) -> tuple[str, ...]:
        """Say what is wrong with the signing of a call; learn the target's key where it is presented."""
        if not operation:
            return ("OPERATION_UNKNOWN",)
        if operation == "nodeQuery":
            return ()
        key = partner.peer_key
        found: list[str] = []
        if operation in ("contractApply", "contractConfirm") and "auth_credential" in sent:
            try:
                key = signing.PublicKey.from_credential(sent.get("auth_type", ""), sent["auth_credential"])
                partner.peer_key = key
            except ValueError:
                return ("CREDENTIAL_MALFORMED",)
        elif operation == "nodeSync" and "auth_credential" not in sent:
            found.append("CREDENTIAL_MISSING")
        if not self._binding.signed(operation):
            return tuple(found)
        if key is None:
            return (*found, "KEY_UNKNOWN")
        signed = channel.signed_body(operation, request)
        headers = channel.covered(request)
        found += signing.problems(key, request.method, request.path, request.query, headers, signed)
        if operation in channel.BETWEEN_NODES:
            version = signing.version_of(request.headers.get(signing.SIGNATURE, ""))
            found += ["SIGNATURE_BASE_OLD"] if version < partner.signature_base else []
        found += self._header_problems(partner, request)
        found += channel.problems(operation, request)
        return tuple(found)

    def _header_problems(self, partner: Partner, request: Request) -> list[str]:
        headers = request.headers
        found = []
        if headers.get("x-source-node-id") != self._target_id:
            found.append("SOURCE_WRONG")
        if headers.get("x-target-node-id") != partner.node_id:
            found.append("TARGET_WRONG")
        nonce = headers.get("x-nonce", "")
        with self._arrival:
            if nonce in partner.seen_nonces:
                found.append("NONCE_REUSED")
            partner.seen_nonces.add(nonce)
        stamp = headers.get("x-timestamp", "")
        if not stamp.isdigit() or abs(int(stamp) - self._clock.now_ms()) > self._skew_ms:
            found.append("TIMESTAMP_WRONG")
        return found

    def _spell(self, operation: str, request: Request, reply: Reply) -> Answer:
        over_grpc = channel.over_grpc(request)
        headers = {"content-type": channel.GRPC if over_grpc else "application/json"}
        if reply.lost and over_grpc:
            return Answer(reply.status, {**headers, channel.STATUS: reply.lost})
        if reply.raw is not None:
            return Answer(reply.status, headers, reply.raw)
        if operation in channel.OPERATIONS:
            return channel.spell_answer(request)
        return Answer(reply.status, headers, self._binding.spell_answer(operation, reply.data))

    def start(self, host: str, port: int, advertised: str = "", grpc_port: int | None = None) -> None:
        """Serve on a socket of this machine; `address` then says where partners are reached.

        With `grpc_port` they are reached over gRPC too, at `grpc_address`.
        """
        server = wsgi.Server((host, port), self._wsgi, numthreads=8, server_name="hutong-partner")
        wardrobe = self._wardrobe
        if wardrobe is not None:
            server.ssl_adapter = ServerAdapter(lambda: wardrobe.context(NOBODY, GATEWAY, server=True))
        server.prepare()
        bound = server.bind_addr[1]
        place = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        self.address = advertised or f"{'http' if wardrobe is None else 'https'}://{place}"
        if wardrobe is not None:
            wardrobe.address = self.address
        self._server = server
        self._thread = threading.Thread(target=server.serve, name="hutong-partner", daemon=True)
        self._thread.start()
        if grpc_port is not None:
            self._grpc = GrpcListener(self, host, grpc_port, wardrobe)
            shown = urlsplit(self.address).netloc.rpartition(":")[0] or urlsplit(self.address).netloc
            self.grpc_address = f"grpc://{shown}:{self._grpc.port}"

    def stop(self) -> None:
        """Stop serving."""
        if self._grpc is not None:
            self._grpc.stop()
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(timeout=5)
        if self._wardrobe is not None:
            self._wardrobe.close()

    def _wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        answer = self.handle(request_from_environ(environ))
        headers = [*answer.headers.items(), ("content-length", str(len(answer.body)))]
        start_response(f"{answer.status} -", headers)
        return [answer.body]


_NOBODY = b'{"code":40105,"msg":"nobody of this id is played here","data":{"error":"NODE_UNKNOWN","hint":"stray call"}}'


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def request_from_environ(environ: Mapping[str, Any]) -> Request:
    """Read a request from a WSGI environment; the path is taken raw, as it was signed."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    raw_path = environ.get("REQUEST_URI") or environ["PATH_INFO"]
    path = raw_path.split("?", 1)[0]
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    body = (
        environ["wsgi.input"].read() if chunked else environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    )
    query = tuple(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    return Request(environ["REQUEST_METHOD"], path, query, headers, body)
