"""The world of one scenario: its partners, its calls to the target, the calls it awaits, its private ids.

Every scenario has ids of its own, so scenarios run in parallel and a run can be repeated on a dirty target. Whatever
happens is recorded; nothing is judged here.

>>> def test_contract_cancel(world):                                               # doctest: +SKIP
...     partner = world.partner()
...     applied = world.call("apply", partner, "contractApply", partner.application())
...     world.call("cancel", partner, "contractCancel", {"contract_id": applied.data["contract_id"]})
"""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from conformance.harness import canary, places, readings, signing
from conformance.harness.binding import Binding
from conformance.harness.clock import Clock, eventually
from conformance.harness.deposits import Deposits
from conformance.harness.errors import Blame, NotOffered, Prerequisite, Undrivable
from conformance.harness.gap import FarSide
from conformance.harness.gap_relay import RelayEnds
from conformance.harness.hooks import Hands, Revoker
from conformance.harness.partner import Behaviour, Partner, Receiver
from conformance.harness.profile_model import Profile, Role
from conformance.harness.records import INTERRUPTED, Answer, Direction, Exchange, Request, Transcript
from conformance.harness.schema import Contract
from conformance.harness.steps import Awaited, Tamper, Told
from conformance.harness.story import LABEL
from conformance.harness.tampering import Hand
from conformance.harness.target import Transport, Unanswered
from conformance.harness.tls import Wardrobe

T = TypeVar("T")
Spelled = tuple[str, str, tuple[tuple[str, str], ...], bytes]  # method, path, query, body
# Whether what is being done is the same in every scenario: signing a contract, ending it, asking for a sign of life.
COMMON: ContextVar[bool] = ContextVar("COMMON", default=False)
CONTRACT_DAYS = 30
STEPS_IN_PERIOD = 20
DAY_MS = 86_400_000


@contextmanager
def common() -> Iterator[None]:
    """Mark what is done within as something that every scenario does."""
    token = COMMON.set(True)
    try:
        yield
    finally:
        COMMON.reset(token)


@dataclass(frozen=True, slots=True)
class Stage:
    """What all worlds of a run share."""

    run_id: str
    profile: Profile
    binding: Binding
    transport: Transport
    receiver: Receiver
    clock: Clock
    contract: Contract
    keyring: signing.KeyRing
    record: Callable[[Exchange], None]
    peer: Transport | None = None
    grpc: Transport | None = None
    wardrobe: Wardrobe | None = None
    threads: int = 24
    deposits: Deposits | None = None
    tamper: Hand | None = None
    hands: Hands = field(default_factory=dict)
    revoke: Revoker | None = None
    gap: FarSide | None = None
    relay: RelayEnds | None = None


class World:
    """What one scenario can do."""

    def __init__(self, stage: Stage, scenario: str) -> None:
        self.stage = stage
        self.scenario = scenario
        self.profile = stage.profile
        self.facts: dict[str, Any] = {}
        self.current = ""
        self.waits_out_lockouts = True  # those that other scenarios have caused
        self._tag = f"{stage.run_id}-{secrets.token_hex(4)}"
        self._partners: list[Partner] = []
        self._exchanges: list[Exchange] = []
        self._count = itertools.count(1)
        self.prefix = urlsplit(stage.profile.target.url).path.rstrip("/")
        self._began = time.perf_counter()

    # --- identities -------------------------------------------------------------------------------------------------

    def id(self, slug: str) -> str:
        """Return an id that no other scenario and no other run uses."""
        return f"{slug}-{self._tag}"

    def partner(
        self, name: str = "partner", *, auth_type: str = "", key: signing.Key | None = None, node_id: str = ""
    ) -> Partner:
        """Play one more node, unknown to the target so far; key and id are its own unless they are given."""
        kind = auth_type or self.profile.capabilities.auth_types[0]
        if kind not in self.profile.capabilities.auth_types:
            raise NotOffered(f"profile: capabilities.auth_types does not list {kind}")
        own_id = node_id or self.id(name)
        made = Partner(own_id, key or self.stage.keyring.key(kind, own_id), self.stage.receiver.address, self.scenario)
        if self.stage.binding.signature_base > signing.OLDEST:
            made.says({signing.ANNOUNCED: self.stage.binding.signature_base})
        self.stage.receiver.add(made)
        self._partners.append(made)
        return made

    def signed_partner(
        self,
        name: str = "partner",
        *,
        auth_type: str = "",
        expired_time: int | None = None,
        key: signing.Key | None = None,
        node_id: str = "",
        **particulars: Any,
    ) -> Partner:
        """Play one more node and sign a contract with the target: it applies, the target's operator approves."""
        with common():
            made = self.partner(name, auth_type=auth_type, key=key, node_id=node_id)
            return self._sign_up(made.says(particulars), name, expired_time)

    def _sign_up(self, partner: Partner, name: str, expired_time: int | None) -> Partner:
        until = expired_time or self.now_ms() + CONTRACT_DAYS * DAY_MS
        applied = self.call(f"{name}:apply", partner, "contractApply", partner.application(until))
        partner.contract_id = str(applied.at("/contract_id"))
        partner.claims.add(partner.contract_id)
        approval = {"contract_id": partner.contract_id, "status": "APPROVED"}
        approved = self.own(f"{name}:approve", "ownContractConfirm", approval)
        if not approved.accepted:
            raise Prerequisite(f"the contract of {name} was not approved: {approved.step}")
        told = self.awaited(
            f"{name}:confirmed", partner, "contractConfirm", {"contract_id": partner.contract_id, "status": "APPROVED"}
        )
        if not told.came:
            raise Prerequisite(f"the target did not tell {name} that the contract was approved")
        partner.open_contract = True
        return partner

    # --- time and facts ---------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return self.stage.clock.now_ms()

    def elapse(self, seconds: float) -> None:
        """Let time pass."""
        self.stage.clock.elapse(seconds)

    def brief(self, seconds: float) -> float:
        """Return a period that ends soon, but not before some steps are done at the pace of this scenario so far."""
        pace = (time.perf_counter() - self._began) / max(1, len(self._exchanges))
        return max(seconds, STEPS_IN_PERIOD * pace)

    def fact(self, name: str, value: T) -> T:
        """Write down something that the checks need: an id, an expected value."""
        self.facts[name] = value
        return value

    def eventually(self, probe: Callable[[], T | None], *, within: float = 0.0) -> T | None:
        """Ask again until there is an answer or the time (by default the profile's) is over."""
        return eventually(probe, within=within or self.profile.timings.callback_seconds, clock=self.stage.clock)

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(
        self,
        step: str,
        partner: Partner,
        operation: str,
        data: Mapping[str, Any] | None = None,
        *,
        breaks: str = "",
        permits: tuple[str, ...] = (),
        tamper: Tamper | None = None,
        raw: bytes | None = None,
        transport: Transport | None = None,
    ) -> Told:
        """Call the target as a partner. `breaks` names the rule that the request breaks on purpose."""
        self.offered(operation)
        bend = tamper or Tamper()
        method, path, query, body = self._spelled(operation, data or {}, raw)
        headers = self._signed(partner, operation, bend, permits, (method, path, query, body))
        request = Request(
            bend.method or method,
            bend.path or path,
            bend.query if bend.query is not None else query,
            self.stage.binding.spell_headers(headers),
            bend.body if bend.body is not None else body,
        )
        return self.send(step, operation, request, partner.node_id, breaks, transport)

    def own(
        self,
        step: str,
        operation: str,
        data: Mapping[str, Any] | None = None,
        *,
        breaks: str = "",
        token: str | None = None,
        raw: bytes | None = None,
    ) -> Told:
        """Call an own-side operation as the target's operator, or auditor. `token` replaces the profile's."""
        self.offered(operation)
        audit = self.stage.contract.operations[operation].auth == "auditor"
        secret = self.profile.auditor if audit else self.profile.operator
        if secret is None and token is None:
            whose = "auditor" if audit else "operator"
            raise Undrivable(f"the profile has no [{whose}] token, so {operation} cannot be called")
        shown = token if token is not None else (secret.reveal() if secret else "")
        method, path, query, body = self._spelled(operation, data or {}, raw)
        headers = {} if method == "GET" else {"content-type": "application/json"}
        if shown:
            headers["authorization"] = f"Bearer {shown}"
        return self.send(step, operation, Request(method, path, query, headers, body), "", breaks)

    def peer(self, step: str, operation: str, data: Mapping[str, Any] | None = None) -> Told:
        """Call an own-side operation of the vendor's second node, as its operator."""
        declared = self.profile.peer
        if declared is None or declared.operator is None or self.stage.peer is None:
            raise NotOffered("profile: there is no [peer] with an operator token")
        self.offered(operation)
        method, path, query, body = self._spelled(operation, data or {}, None)
        headers = {"authorization": f"Bearer {declared.operator.reveal()}"}
        if method != "GET":
            headers["content-type"] = "application/json"
        self.current = step
        request = Request(method, path, query, headers, body)
        return self._exchange(step, operation, request, declared.node_id, "", to_peer=True, transport=self.stage.peer)

    def together(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Make calls at the same time, where the stage has threads for that, and return what each came to."""
        context = copy_context()
        with ThreadPoolExecutor(max_workers=min(self.stage.threads, len(calls))) as pool:
            return list(pool.map(lambda call: context.copy().run(call), calls))

    def awaited(
        self, step: str, partner: Partner, operation: str, where: Mapping[str, Any], *, within: float = 0.0
    ) -> Awaited:
        """Wait for a call of the target's; a call that has already come counts."""
        found = self.eventually(lambda: self.stage.receiver.find(operation, where, {partner.node_id}), within=within)
        self.facts[LABEL + step] = found.exchange.id if found else None
        return Awaited(step, found)

    def answers(self, partner: Partner, operation: str, behaviour: Behaviour) -> None:
        """Replace how a partner answers an operation."""
        partner.answers(operation, behaviour)

    def close(self) -> None:
        """End the contracts that the scenario left in force, so that the target is as clean as it was."""
        for partner in self._partners:
            if partner.open_contract:
                ref = {"contract_id": partner.contract_id}
                with common():
                    self.call(f"close:{partner.node_id}", partner, "contractTerminate", ref)

    def transcript(self) -> Transcript:
        """Return all that happened so far."""
        inbound = self.stage.receiver.exchanges(self.scenario)
        rows = sorted([*self._exchanges, *inbound], key=lambda exchange: exchange.at_ms)
        return Transcript(self.scenario, tuple(rows), dict(self.facts))

    # --- inside -----------------------------------------------------------------------------------------------------

    def offered(self, operation: str) -> None:
        """End the scenario as not applicable where the target does not declare an operation."""
        capabilities = self.profile.capabilities
        spec = self.stage.contract.operations[operation]
        if spec.protocol not in capabilities.protocols:
            raise NotOffered(f"profile: capabilities.protocols does not list {spec.protocol}")
        makes_it_call = spec.own_side and (operation.startswith("ownPartner") or operation.endswith("Apply"))
        if makes_it_call and Role.INITIATOR not in capabilities.roles:
            raise NotOffered(f"profile: capabilities.roles does not list {Role.INITIATOR}")
        if not self.stage.binding.offers(operation):
            raise NotOffered(f"binding {self.stage.binding.name}: {operation} is absent")

    def _signed(
        self, partner: Partner, operation: str, bend: Tamper, permits: tuple[str, ...], spelled: Spelled
    ) -> dict[str, str]:
        """Return the headers of a partner's request, bent as it is wanted."""
        method, path, query, body = spelled
        headers: dict[str, str] = {} if method == "GET" else {"content-type": "application/json"}
        if operation != "nodeQuery":
            headers |= signing.signed_headers(
                bend.key or partner.key,
                bend.signed_method or method,
                bend.signed_path or path,
                query,
                body,
                source=bend.source or partner.node_id,
                target=bend.target or self.profile.target.node_id,
                nonce=bend.nonce or secrets.token_urlsafe(24),
                timestamp_ms=self.now_ms() + bend.offset_ms,
                trace_id=secrets.token_hex(16),
                token_set=",".join(permits),
                extra=bend.before,
                without=bend.uncovered,
            )
        own_side = self.stage.contract.operations[operation].own_side
        if bend.unsigned or not (own_side or self.stage.binding.signed(operation)):
            headers.pop("x-auth-sign", None)
        if bend.bent and "x-auth-sign" in headers:
            headers["x-auth-sign"] = signing.bend(headers["x-auth-sign"], bend.bent)
        if bend.label and "x-auth-sign" in headers:
            headers["x-auth-sign"] = headers["x-auth-sign"].replace(f'"{partner.key.alg}"', f'"{bend.label}"')
        headers |= bend.after
        for name in bend.leave_out:
            headers.pop(name, None)
        return headers

    def _spelled(self, operation: str, data: Mapping[str, Any], raw: bytes | None) -> Spelled:
        spec = self.stage.contract.operations[operation]
        query = dict(data) if spec.method == "GET" else {}
        content = {} if spec.method == "GET" else dict(data)
        method, path, asked, body = self.stage.binding.spell_request(operation, query, content)
        encoded = b"" if method == "GET" else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        pairs = tuple((name, str(v).lower() if isinstance(v, bool) else str(v)) for name, v in asked.items())
        return method, self.prefix + path, pairs, encoded if raw is None else raw

    def send(
        self,
        step: str,
        operation: str,
        request: Request,
        partner: str,
        breaks: str,
        transport: Transport | None = None,
    ) -> Told:
        """Send a request that is spelled already, and record it; `transport` takes the place of the usual one."""
        self.current = step
        if not breaks:
            problem = self.stage.contract.request_problem(operation, request, self.stage.binding)
            if problem:
                raise Blame(f"step {step}: the harness itself breaks the interface of {operation}: {problem}")
        told = places.waited_out(
            self, partial(self._exchange, step, operation, request, partner, breaks, transport=transport)
        )
        if breaks and breaks not in INTERRUPTED:
            self._alive(step)
        return told

    def _exchange(
        self,
        step: str,
        operation: str,
        request: Request,
        partner: str,
        breaks: str,
        *,
        to_peer: bool = False,
        transport: Transport | None = None,
    ) -> Told:
        at_ms = self.now_ms()
        started = time.perf_counter()
        answer: Answer | None = None
        failure = ""
        try:
            answer = (transport or self.stage.transport).send(request, self.profile.timings.answer_seconds)
        except Unanswered as exc:
            failure = f"{exc}. {exc.hint}"
        shown = canary.shown(canary.secrets_of(self.profile), answer.headers, answer.body) if answer else ()
        exchange = Exchange(
            id=f"{self.scenario}/{next(self._count)}",
            scenario=self.scenario,
            step=step,
            direction=Direction.TO_PEER if to_peer else Direction.TO_TARGET,
            operation=operation,
            partner=partner,
            request=request.kept(),
            answer=answer,
            negative=breaks,
            failure=failure,
            problems=shown,
            at_ms=at_ms,
            elapsed_ms=(time.perf_counter() - started) * 1000,
        )
        self._exchanges.append(exchange)
        self.stage.record(exchange)
        reading = readings.read(self.stage.binding, operation, answer) if answer else None
        return Told(step, exchange, reading)

    def _alive(self, step: str) -> None:
        """Ask the target for a sign of life after a negative case: a crash is a finding of its own."""
        method, path, query, body = self._spelled("nodeQuery", {"node_id": self.profile.target.node_id}, None)
        with common():
            self._exchange(f"{step}~alive", "nodeQuery", Request(method, path, query, {}, body), "", "")
