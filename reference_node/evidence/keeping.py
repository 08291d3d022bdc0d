"""What the node does with its evidence of itself: checkpoints, copies, and the end of what has served its term.

Guarantees: a record is signed over within the configured time; what is older than its term, and nothing younger, is
destroyed by destroying the key of its segment, so that no copy of it can be read again either (9.2-d-3). The term is
the one that its contract agrees upon, or the configured one; a record says under seal which, and records of one segment
have one term. The record of a destruction says which records and has a digest of their hashes; the chain stays
verifiable without their contents.
At the start the end of the chain is verified, and that the copies do not know more than the chain does (9.2-d-4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from reference_node.domain.contract import SIX_MONTHS_DAYS
from reference_node.errors import ConfigError, Refusal
from reference_node.evidence import verifying
from reference_node.evidence.backups import Backup
from reference_node.evidence.keeper import DAY_MS, Keeper
from reference_node.evidence.noting import Act
from reference_node.evidence.records import digest
from reference_node.evidence.verifying import DATABASE
from reference_node.security.errors import SecurityFailure
from reference_node.store.evidence import CheckpointRow, EvidenceRow
from reference_node.store.seals import ACCEPT, Seal
from reference_node.store.tally import Tally

log = structlog.get_logger("reference_node.evidence")

_START: Final = 1000
_HOUR_MS: Final = 3600 * 1000


@dataclass(slots=True)
class Keeping:
    """The chores around one node's evidence."""

    keeper: Keeper
    backup: Backup
    _signed_at: int = 0
    _destroyed_at: int = 0
    _copied_at: int = 0

    def start(self) -> None:
        """Look whether the evidence is what this node left behind."""
        with self.keeper.store.read() as session:
            last = session.scalar(select(func.max(EvidenceRow.seq))) or 0
            report = verifying.verify(self.keeper, session, since=max(0, last - _START))
            covered = self.backup.covered
            if report.intact and covered <= last:
                self._held_against_the_seal(session)
        if covered > last:
            self.keeper.trouble("store", f"ends with record {last}, and there is a copy of record {covered}")

    def take_up(self) -> None:
        """Record that the operator has taken the database for good, where that was done; watch it from now on."""
        tally = self.keeper.store.tally
        if tally is None:
            return
        tally.noticed = self.noticed
        self._accept(tally)
        tally.seals.copy()

    def _accept(self, tally: Tally) -> None:
        """Take up what the operator has taken for good; where it cannot be recorded, as soon as it can."""
        if tally.seals.known.pending is None:
            return
        try:
            with self.keeper.store.begin() as session:
                said = tally.accept(session)
                if said is not None:
                    self.keeper.note(session, Act.STORE_ACCEPTED, {}, **said)
        except Refusal:
            log.error("store not accepted", node_id=self.keeper.node_id, reason="the evidence takes no record")  # noqa: TRY400

    def noticed(self, found: Sequence[str]) -> None:
        """Report and record that the database was changed behind the node; an empty list says that it fits again."""
        self.keeper.troubles.pop(DATABASE, None)
        if not found:
            return
        self.keeper.trouble(DATABASE, "; ".join(found))
        try:
            with self.keeper.store.begin() as session:
                self.keeper.note(session, Act.STORE_TAMPERED, {}, found=list(found))
        except (Refusal, SQLAlchemyError) as failure:
            log.error("evidence not written", node_id=self.keeper.node_id, reason=str(failure))  # noqa: TRY400

    def _held_against_the_seal(self, session: Session) -> None:
        """Refuse a database whose evidence is sound and another than the one that was sealed: it was exchanged."""
        tally = self.keeper.store.tally
        seal = Seal() if tally is None else tally.seals.known
        if tally is not None and tally.passed_over:
            self.keeper.trouble(DATABASE, "; ".join(tally.passed_over))
            return
        if seal.pending is not None or not seal.evidence_seq:
            return
        found = session.scalar(select(EvidenceRow.hash).where(EvidenceRow.seq == seal.evidence_seq))
        if found != seal.evidence_hash and not self.keeper.faults.on("older-store-not-noticed"):
            what = f"its evidence is not the one that was sealed with record {seal.evidence_seq}"
            raise ConfigError(f"the database was exchanged: {what}", hint=ACCEPT)

    def pump(self) -> None:
        """Carry out what is due."""
        now = self.keeper.clock.now_ms()
        config = self.keeper.config
        if now - self._signed_at >= config.evidence_checkpoint_seconds * 1000:
            self._signed_at = now
            with self.keeper.store.begin() as session:
                self.keeper.checkpoint(session)
            if self.keeper.store.tally is not None:
                self._accept(self.keeper.store.tally)
                self.keeper.store.tally.seals.copy()
        if now - self._destroyed_at >= _HOUR_MS:
            self._destroyed_at = now
            with self.keeper.store.session() as session:
                self.destroy_expired(session)
        if now - self._copied_at >= self._copy_seconds() * 1000:
            self._copied_at = now
            self.copy()

    def copy(self) -> int:
        """Copy what is new to the second place."""
        with self.keeper.store.read() as session:
            return self.backup.copy(session)

    def destroy_expired(self, session: Session) -> dict[str, Any]:
        """Destroy what is older than the term: first recorded, then done, and done again should it have failed."""
        segments = self._expired(session)
        destroyed = 0
        for segment in segments:
            destroyed += self._give_up(session, segment)
        if segments:
            self.keeper.checkpoint(session)
        session.commit()
        for segment in self._given_up(session, segments):
            self.keeper.vault.destroy_key(segment)
        return {"segments": len(segments), "records": destroyed}

    def health(self, session: Session) -> dict[str, Any]:
        """Return how the evidence is, and how it is configured."""
        keeper, config = self.keeper, self.keeper.config
        try:
            head = keeper.head(session)
        except SecurityFailure as wrong:
            keeper.trouble("head", str(wrong))
            head = None
        chosen = list(config.evidence_acts)
        if keeper.faults.on("evidence-settings-wrong"):
            chosen.remove("contract")
        return {
            "status": "TAMPERED" if keeper.troubles else "FAILING" if keeper.failed_at else "INTACT",
            "records": self._count(session),
            "signed_seq": session.scalar(select(func.max(CheckpointRow.seq))) or 0,
            "last_seq": 0 if head is None else head.seq,
            "problems": [{"where": where, "what": what} for where, what in keeper.troubles.items()],
            "settings": {
                "acts": chosen,
                "content": config.evidence_content,
                "cipher": str(keeper.vault.cipher),
                "retention_days": self._term_days(),
                "per_contract": True,
                "backup_seconds": self._copy_seconds(),
            },
            "backup": {"covered_seq": self.backup.covered, "failing": self.backup.failed_at is not None},
        }

    def _count(self, session: Session) -> int:
        count = session.scalar(select(func.count()).select_from(EvidenceRow)) or 0
        return count // 2 if self.keeper.faults.on("evidence-state-wrong") else count

    def _copy_seconds(self) -> int:
        days = 365 if self.keeper.faults.on("evidence-copied-yearly") else 0
        return days * DAY_MS // 1000 or self.keeper.config.evidence_backup_seconds

    def _term_days(self) -> int:
        if self.keeper.faults.on("evidence-term-too-short"):
            return 30
        return self.keeper.config.evidence_retention_days

    def _expired(self, session: Session) -> list[str]:
        """Return the segments of which every record is older than the term: none of them is filled any more."""
        now, early = self.keeper.clock.now_ms(), self.keeper.faults.on("evidence-destroyed-early")
        before = now if early else now - min(self._term_days(), SIX_MONTHS_DAYS) * DAY_MS
        last = func.max(EvidenceRow.at)
        wanted = select(EvidenceRow.segment, last).group_by(EvidenceRow.segment).having(last < before)
        kept = EvidenceRow.sealed.is_not(None)
        found = session.execute(wanted.where(kept).order_by(func.min(EvidenceRow.seq))).all()
        return [segment for segment, at in found if early or at < now - self._days_of(session, segment) * DAY_MS]

    def _days_of(self, session: Session, segment: str) -> float:
        """Return the term of a segment as the first of its records that is sound says; without any it stays."""
        kept = (EvidenceRow.segment == segment) & EvidenceRow.sealed.is_not(None)
        for row in session.execute(select(*EvidenceRow.__table__.columns).where(kept).order_by(EvidenceRow.seq)):
            record = self.keeper.record_of(row)
            try:
                content = verifying.content_of(self.keeper, record, row.sealed) or {}
            except (SecurityFailure, ValueError, TypeError) as changed:
                self.keeper.trouble(f"record {row.seq}", str(changed))
            else:
                return int(content.get("retention_days", self._term_days()))
        return math.inf

    def _give_up(self, session: Session, segment: str) -> int:
        rows = session.execute(
            select(EvidenceRow.seq, EvidenceRow.hash).where(EvidenceRow.segment == segment).order_by(EvidenceRow.seq)
        ).all()
        session.execute(
            update(EvidenceRow)
            .where(EvidenceRow.segment == segment)
            .values(sealed=None)
            .execution_options(synchronize_session=False)
        )
        hashes = digest("".join(row.hash for row in rows).encode())
        said = {"first": rows[0].seq, "last": rows[-1].seq, "records": len(rows), "digest": hashes}
        self.keeper.note(session, Act.EVIDENCE_DESTROYED, {"segment": segment}, **said)
        return len(rows)

    def _given_up(self, session: Session, segments: list[str]) -> list[str]:
        """Return the segments whose contents are gone while their key is still there."""
        wanted = select(EvidenceRow.segment).where(EvidenceRow.sealed.is_(None)).distinct()
        known = {*segments, *session.scalars(wanted)}
        return [segment for segment in sorted(known) if self.keeper.vault.destroyed(segment) is None]
