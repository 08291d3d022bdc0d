"""Writes what was noted into the chain, within the transaction of the act itself (9.2-d, 9.2-d-2, 9.2-d-4).

Guarantees: an act and its record are kept together or not at all; where the record cannot be written (the disk is full,
the vault is closed, the head of the chain was tampered with) the act is refused with STORE_UNAVAILABLE and the node
says so in its log and in the state of its evidence. Writers take turns at the head of the chain, on any database; a
transaction that is no act pays nothing for it.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import bindparam, delete, event, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction

from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.errors import Refusal
from reference_node.evidence import acting, acts, terms
from reference_node.evidence.noting import ALWAYS, Act, Noted, note, take
from reference_node.evidence.records import GENESIS, Checkpoint, Record, canonical, commitment, sign
from reference_node.faults import Faults
from reference_node.identity import Identity
from reference_node.security.errors import SecurityFailure
from reference_node.security.vault import Vault
from reference_node.store import Store
from reference_node.store.evidence import CheckpointRow, EvidenceHeadRow, EvidenceRow

log = structlog.get_logger("reference_node.evidence")

DAY_MS: Final = 24 * 3600 * 1000
SUBJECT: Final = b"evidence.subject"
_HEAD: Final = b"evidence.head"
_WRITTEN: Final = "evidence.written"
_SALT_BYTES: Final = 16
_MOST_TROUBLES: Final = 100

# built once: making and hashing a statement costs as much as running it
_READ: Final = select(EvidenceHeadRow.__table__).where(EvidenceHeadRow.id == 1)
_LOCKED: Final = _READ.with_for_update()
_INSERT: Final = insert(EvidenceRow)
_MOVE: Final = (
    update(EvidenceHeadRow)
    .where(EvidenceHeadRow.id == 1)
    .values(
        {name: bindparam(f"to_{name}") for name in EvidenceHeadRow.__table__.columns.keys() if name != "id"}  # noqa: SIM118
    )
)


class Segment(NamedTuple):
    """Records under one data key, which are destroyed together: since which number and when it is filled."""

    id: str = ""
    begun_seq: int = 1
    begun_at: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends: the last record, up to where it is signed, and which segments are being filled.

    The first is for what is kept as configured; `agreed` has one for each term that contracts agree upon, by its days.
    """

    seq: int = 0
    hash: str = GENESIS
    segment: str = ""
    begun_seq: int = 1
    begun_at: int = 0
    signed_seq: int = 0
    agreed: Mapping[str, Segment] = field(default_factory=dict)

    def spelled(self) -> bytes:
        """Return what the code of the row authenticates, as earlier versions spelled it where nothing is agreed."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return canonical(fields if self.agreed else {name: fields[name] for name in fields if name != "agreed"})

    def filling(self, days: int | None) -> Segment:
        """Return the segment that what is kept for so long goes to."""
        if days is None:
            return Segment(self.segment, self.begun_seq, self.begun_at)
        return self.agreed.get(str(days), Segment())

    def begun(self, days: int | None, segment: Segment) -> Head:
        """Return the head with another segment for what is kept for so long."""
        if days is None:
            return replace(self, segment=segment.id, begun_seq=segment.begun_seq, begun_at=segment.begun_at)
        return replace(self, agreed={**self.agreed, str(days): segment})


@dataclass(slots=True)
class Keeper:
    """The evidence of one node: what was found wrong with it, by where, and when writing has last failed."""

    node_id: str
    config: Config
    clock: Clock
    store: Store
    vault: Vault
    identity: Identity
    faults: Faults
    troubles: dict[str, str] = field(default_factory=dict)
    failed_at: int | None = None
    verified_at: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last_seen: int = 0

    def attach(self) -> None:
        """Follow what the writing sessions of the store do."""
        for name, listener in self._listeners():
            event.listen(self.store.writer, name, listener)

    def detach(self) -> None:
        """Follow them no longer: what listens would be kept as long as the process lives."""
        for name, listener in self._listeners():
            event.remove(self.store.writer, name, listener)

    def _listeners(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("after_flush", self._flushed),
            ("before_commit", self._write),
            ("after_commit", self._committed),
            ("after_soft_rollback", self._forgotten),
        )

    @property
    def content(self) -> acts.Content:
        """How much records say."""
        return acts.Content(self.config.evidence_content)

    def trouble(self, where: str, what: str) -> None:
        """Remember and report that something about the evidence is not as it was written."""
        with self._lock:
            known = where in self.troubles
            if not known and len(self.troubles) < _MOST_TROUBLES:
                self.troubles[where] = what
        if not known:
            log.error("evidence tampered", where=where, what=what, node_id=self.node_id)

    def note(self, session: Session, act: Act, subjects: Mapping[str, str], **details: Any) -> None:
        """Note something that was done with the evidence itself."""
        note(session, Noted(act, subjects, None, details))

    def head(self, session: Session, *, lock: bool = False) -> Head:
        """Return the head of the chain; raise SecurityFailure when it is not what the node has written."""
        row = session.connection().execute(_LOCKED if lock else _READ).first()
        if row is None:
            if self._last_seen or session.scalar(select(EvidenceRow.seq).limit(1)):
                raise self.vault.report(_HEAD, "is gone")
            return Head()
        try:
            agreed = {days: Segment(*segment) for days, segment in json.loads(row.agreed).items()}
            head = Head(row.seq, row.hash, row.segment, row.begun_seq, row.begun_at, row.signed_seq, agreed)
            spelled = head.spelled()
        except (ValueError, TypeError, AttributeError) as broken:
            raise self.vault.report(_HEAD, "does not fit its authentication code") from broken
        self.vault.check(spelled, row.code, _HEAD)
        if head.seq < self._last_seen:
            raise self.vault.report(_HEAD, f"was put back from {self._last_seen} to {head.seq}")
        return head

    def checkpoint(self, session: Session) -> None:
        """Sign the chain up to its head, unless that is signed already."""
        head = self.head(session, lock=True)
        if head.signed_seq < head.seq:
            self._put(session, self._signed(session, head), new=False)

    def mend_head(self, session: Session) -> None:
        """Set the head to the last record there is, so that a chain that was repaired can be continued."""
        last = session.execute(
            select(EvidenceRow.seq, EvidenceRow.hash).order_by(EvidenceRow.seq.desc()).limit(1)
        ).first()
        signed = session.scalar(select(CheckpointRow.seq).order_by(CheckpointRow.seq.desc()).limit(1)) or 0
        session.execute(delete(EvidenceHeadRow))
        self._last_seen = 0
        if self.store.tally is not None:
            self.store.tally.seals.forget_evidence()
        if last is not None:
            self._put(session, Head(last.seq, last.hash, signed_seq=signed), new=True)

    def open(self, record: Record, sealed: bytes) -> bytes:
        """Return the content of a record as it was sealed; raise SecurityFailure."""
        return self.vault.open(sealed, record.context)

    def record_of(self, row: Any) -> Record:
        """Return a row as a link of the chain."""
        return Record(
            self.node_id, row.seq, row.at, row.act, row.segment, row.subject, row.part_of, row.commitment, row.previous
        )

    def _flushed(self, session: Session, _context: object) -> None:
        acts.observe(session)

    def _write(self, session: Session) -> None:
        """Write what the transaction has done, before it is committed."""
        session.flush()
        noted = [item for item in take(session) if self._wanted(item.act)]
        if not noted:
            return
        try:
            with session.no_autoflush:
                self._append(session, noted)
        except (SecurityFailure, OSError, SQLAlchemyError) as failure:
            self.failed_at = self.clock.now_ms()
            log.error("evidence not written", node_id=self.node_id, reason=str(failure))  # noqa: TRY400 - expected
            raise Refusal("STORE_UNAVAILABLE") from failure

    def _committed(self, session: Session) -> None:
        written = session.info.pop(_WRITTEN, None)
        if written is not None:
            self._last_seen = max(self._last_seen, written[0])
            if self.store.tally is not None:
                self.store.tally.seals.evidence(*written)

    def _forgotten(self, session: Session, _transaction: SessionTransaction) -> None:
        session.info.pop(_WRITTEN, None)
        take(session)
        now = acting.current()
        if now.operation == "contractCancel" and now.request and self.faults.on("refused-act-leaves-evidence"):
            note(session, Noted(Act.CONTRACT_ENDED, {"contract_id": json.loads(now.request).get("contract_id", "")}))

    def _wanted(self, act: Act) -> bool:
        missing = _MISSING.get(act.group)
        if missing is not None and self.faults.on(missing):
            return False
        chosen = self.config.evidence_acts
        return act.group == ALWAYS or act.group in chosen or act.value in chosen

    def _append(self, session: Session, noted: Sequence[Noted]) -> None:
        head = before = self.head(session, lock=True)
        agreed = [self._agreed(session, item) for item in noted]
        filled = [None for _ in noted] if self.faults.on("evidence-terms-under-one-key") else agreed
        for days in dict.fromkeys(filled):
            head = self._segment(head, days, len(noted))
        rows = []
        for item, days, content in zip(noted, filled, self._contents(noted, agreed), strict=True):
            record = self._record(head, item, head.filling(days).id, content)
            sealed = self.vault.seal(canonical(content), record.context, key_id=record.segment)
            head = replace(head, seq=record.seq, hash=record.hash)
            rows.append({name: value for name, value in record.header().items() if name != "node"})
            rows[-1] |= {"hash": record.hash, "sealed": sealed}
        session.connection().execute(_INSERT, rows)
        begun = (head.segment, head.agreed) != (before.segment, before.agreed)
        if head.seq - head.signed_seq >= self.config.evidence_checkpoint_records or begun:
            head = self._signed(session, head)
        self._put(session, head, new=before.seq == 0)
        session.info[_WRITTEN] = (head.seq, head.hash)

    def _agreed(self, session: Session, item: Noted) -> int | None:
        if self.faults.on("evidence-kept-as-configured"):
            return None
        return terms.agreed(session, item, self.node_id, self.clock.now_ms(), self.config.evidence_retention_days)

    def _contents(self, noted: Sequence[Noted], agreed: Sequence[int | None]) -> Iterator[dict[str, Any]]:
        now = acting.current()
        said: dict[str, Any] = {
            "actor": now.actor,
            "operation": now.operation,
            "trace_id": now.trace_id,
            "request": now.request_digest,
            "answer": now.answer_digest,
        }
        if now.actor["role"] == acting.ActorRole.NODE and self.faults.on("evidence-actor-lost"):
            said["actor"] = acting.actor("SELF")
        if now.request is not None and self.faults.on("evidence-digest-wrong"):
            said["request"] = GENESIS
        said = {name: value for name, value in said.items() if value is not None}
        for item, days in zip(noted, agreed, strict=True):
            content = {**said, "subjects": dict(item.subjects), "details": self.content.of(item.details)}
            if now.request is not None and self.faults.on("evidence-keeps-private-data"):
                content["details"] = {**content["details"], "request": now.request.decode("utf-8", "replace")}
            if item.counterpart is not None:
                content["counterpart"] = item.counterpart
            if days is not None:  # sealed and committed to: nobody can have the record destroyed at another time
                content["retention_days"] = days
            yield {**content, "salt": secrets.token_hex(_SALT_BYTES)}

    def _record(self, head: Head, item: Noted, segment: str, content: Mapping[str, Any]) -> Record:
        tags = [self.tag(value) for value in list(item.subjects.values())[:2]]
        at = self.clock.now_ms()
        if item.act.group == "contract" and self.faults.on("evidence-time-wrong"):
            at -= DAY_MS
        return Record(
            node=self.node_id,
            seq=head.seq + 1,
            at=at,
            act=item.act.value,
            segment=segment,
            subject=tags[0] if tags else "",
            part_of=tags[1] if len(tags) > 1 else "",
            commitment=commitment(content),
            previous=GENESIS if head.seq and self.faults.on("evidence-not-chained") else head.hash,
        )

    def tag(self, subject: str) -> str:
        """Return by what records of a subject are found."""
        return self.vault.digest(subject.encode(), SUBJECT)

    def _segment(self, head: Head, days: int | None, coming: int) -> Head:
        """Return the head with a segment for the next records of one term; each segment has a key of its own."""
        now, last = self.clock.now_ms(), head.filling(days)
        full = head.seq + coming - last.begun_seq >= self.config.evidence_segment_records
        if last.id and not full and not self._aged(last) and self.vault.destroyed(last.id) is None:
            return head
        young = {name: segment for name, segment in head.agreed.items() if not self._aged(segment)}
        return replace(head, agreed=young).begun(days, Segment(self.vault.new_key(), head.seq + 1, now))

    def _aged(self, segment: Segment) -> bool:
        return self.clock.now_ms() - segment.begun_at >= self.config.evidence_segment_days * DAY_MS

    def _signed(self, session: Session, head: Head) -> Head:
        key = self.identity.key(self.config.auth_type)
        at, suite = self.clock.now_ms(), key.public.auth_type.value
        made = sign(key, Checkpoint(self.node_id, head.seq, head.signed_seq, at, head.hash, suite, key.public.pem))
        fields = {name: value for name, value in made.to_json().items() if name != "node"}
        if self.faults.on("evidence-signature-broken"):
            fields["at"] += 1
        session.connection().execute(insert(CheckpointRow), fields)
        return replace(head, signed_seq=head.seq)

    def _put(self, session: Session, head: Head, *, new: bool) -> None:
        fields = {name: getattr(head, name) for name in head.__slots__} | {
            "agreed": json.dumps(head.agreed),
            "code": self.vault.mac(head.spelled(), _HEAD),
        }
        if new:
            session.connection().execute(insert(EvidenceHeadRow), fields | {"id": 1})
        else:
            session.connection().execute(_MOVE, {f"to_{name}": value for name, value in fields.items()})


_MISSING: Final = {
    "contract": "contract-leaves-no-evidence",
    "approval": "approval-leaves-no-evidence",
    "permit": "permit-leaves-no-evidence",
    "job": "job-leaves-no-evidence",
    "task": "task-leaves-no-evidence",
    "dataset": "resource-leaves-no-evidence",
    "identity": "failed-identity-leaves-no-evidence",
}
