"""Deliveries that partners are owed: written with the change they tell of, retried until heard.

Guarantees: a delivery is committed together with the change that it reports, so that neither exists without the other;
those of one contract leave in the order in which they were written; one that was not heard is tried again after a
growing interval, across restarts; one that the partner refuses for good is kept with its reason and not repeated,
and so is one whose address this node does not go to.
A delivery may arrive twice (the answer to the first was lost), so its receiver answers a repetition as it did before.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.faults import Faults
from reference_node.store import Store
from reference_node.store.contracts import ContractRow
from reference_node.store.outbox import DeliveryState, OutboxRow
from reference_node.transport.partner import Partner, Peer

_AGAIN = frozenset({401, 408, 425, 429})  # refusals that may pass by themselves

_EARLY_ATTEMPTS = 5
_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"


class Outbox:
    """The queue of one node; any thread may use it.

    >>> row = outbox.put(session, contract_id, "contractTerminate", {"contract_id": contract_id})
    >>> session.commit()
    >>> outbox.attempt(row)
    'DELIVERED'
    """

    def __init__(self, store: Store, partner: Partner, clock: Clock, config: Config, faults: Faults) -> None:
        self._store = store
        self._partner = partner
        self._clock = clock
        self._config = config
        self._faults = faults
        across = config.gap_timeout_seconds if config.gap_partners else 0.0
        self._longest = max(config.timeout_seconds, across)

    def put(self, session: Session, contract_id: str, operation: str, body: dict[str, Any]) -> OutboxRow:
        """Owe a delivery; it counts when the session commits."""
        now = self._clock.now_ms()
        row = OutboxRow(
            contract_id=contract_id,
            operation=operation,
            body=body,
            state=DeliveryState.PENDING,
            due_at=now,
            created_at=now,
        )
        session.add(row)
        session.flush()
        return row

    def attempt(self, row: OutboxRow) -> str:
        """Try a committed delivery at once, those owed before it first; return DELIVERED, PENDING or NOT_ALLOWED."""
        self._drain(row.contract_id)
        with self._store.read() as session:
            kept = session.get_one(OutboxRow, row.id)
            if (kept.last_error or "").startswith(_NOT_ALLOWED):
                return "NOT_ALLOWED"
            return "PENDING" if kept.state == DeliveryState.PENDING else "DELIVERED"

    def prune(self) -> None:
        """Forget deliveries that were settled long ago."""
        aged = self._clock.now_ms() - 2 * self._config.abandon_seconds * 1000
        settled = (OutboxRow.state != DeliveryState.PENDING, OutboxRow.created_at < aged)
        with self._store.begin() as session:
            session.execute(delete(OutboxRow).where(*settled))

    def pump(self) -> None:
        """Try everything that is due."""
        with self._store.read() as session:
            contracts = session.scalars(
                select(OutboxRow.contract_id)
                .where(OutboxRow.state == DeliveryState.PENDING, OutboxRow.due_at <= self._clock.now_ms())
                .distinct()
            ).all()
        for contract_id in contracts:
            self._drain(contract_id)

    def _drain(self, contract_id: str) -> None:
        """Deliver in order until one is not due, held by another thread, or not heard."""
        while True:
            claimed = self._claim(contract_id)
            if claimed is None:
                return
            row, peer = claimed
            if not self._deliver(row, peer):
                return

    def _claim(self, contract_id: str) -> tuple[OutboxRow, Peer] | None:
        """Take the oldest delivery by putting its due time off for as long as an attempt can last."""
        now = self._clock.now_ms()
        with self._store.begin() as session:
            row = session.scalar(
                select(OutboxRow)
                .where(OutboxRow.contract_id == contract_id, OutboxRow.state == DeliveryState.PENDING)
                .order_by(OutboxRow.id)
                .limit(1)
            )
            contract = session.get(ContractRow, contract_id)
            if row is None or contract is None or row.due_at > now:
                return None
            row.due_at = now + int(self._longest * 2000)
            row.attempts += 1
            return row, Peer(contract.partner_node_id, contract.partner_address, contract.own_auth_type)

    def _deliver(self, row: OutboxRow, peer: Peer) -> bool:
        try:
            self._partner.call(row.operation, peer, body=row.body)
        except Refusal as refusal:
            return self._settle_failure(row, peer, refusal)
        self._settle(row, DeliveryState.DELIVERED, None)
        return True

    def _settle_failure(self, row: OutboxRow, peer: Peer, refusal: Refusal) -> bool:
        if refusal.name == _NOT_ALLOWED:
            words = f"{refusal.name} {refusal.extra['reason']}"
            subjects, said = {"contract_id": row.contract_id}, {"reason": refusal.extra["reason"]}
            noted = Noted(Act.ADDRESS_REFUSED, subjects, peer.node_id, said | {"operation": row.operation})
            self._settle(row, DeliveryState.REFUSED, words, noted=noted)
            return True
        reason = refusal.extra.get("partner", {})
        status = reason.get("status", 500)
        words = f"{refusal.name} {reason.get('error') or ''}".strip()
        # a 404 may be a partner that has not finished writing what this answers
        young = status == 404 and row.attempts < _EARLY_ATTEMPTS
        if status < 500 and status not in _AGAIN and not young:
            self._settle(row, DeliveryState.REFUSED, words)
            return True
        now = self._clock.now_ms()
        late = now - row.created_at > self._config.abandon_seconds * 1000
        if late or self._faults.on("deliveries-not-retried"):
            self._settle(row, DeliveryState.ABANDONED, words)
            return True
        wait = min(self._config.retry_limit_seconds, self._config.retry_seconds * 2 ** min(row.attempts - 1, 20))
        self._settle(row, DeliveryState.PENDING, words, due_at=now + wait * 1000)
        return False

    def _settle(
        self,
        row: OutboxRow,
        state: DeliveryState,
        words: str | None,
        due_at: int | None = None,
        noted: Noted | None = None,
    ) -> None:
        values: dict[str, Any] = {"state": state.value, "last_error": words}
        if due_at is not None:
            values["due_at"] = due_at
        with self._store.begin() as session:
            session.execute(update(OutboxRow).where(OutboxRow.id == row.id).values(**values))
            if noted is not None:
                note(session, noted)
