"""Copies of the evidence in a second place, and its repair from them (9.2-d-4).

Guarantees: every record comes into exactly one copy, still sealed, so that a copy shows nothing and dies with the key
of its segment; a copy is a signed bundle, verified when it is written and again before it is used; what is damaged or
missing in the chain is put back only by a record that fits the chain. A record whose content does not open any more is
not copied over the sound copy that there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from reference_node.evidence import bundles
from reference_node.evidence.bundles import Bundle, BundleDamaged, Line
from reference_node.evidence.keeper import Keeper
from reference_node.evidence.records import GENESIS, Checkpoint
from reference_node.evidence.shelf import Shelf, name_of, span_of
from reference_node.evidence.verifying import checkpoint_of, rows_of
from reference_node.security.errors import SecurityFailure
from reference_node.store.evidence import CheckpointRow, EvidenceRow

log = structlog.get_logger("reference_node.evidence")

SLICE: Final = 2000


@dataclass(slots=True)
class Backup:
    """The copies of one node's evidence; `failed_at` is when copying last failed, None once it works again."""

    keeper: Keeper
    shelf: Shelf
    copied_at: int = 0
    failed_at: int | None = None
    _read: dict[str, Bundle] = field(default_factory=dict)

    @property
    def covered(self) -> int:
        """Up to which record there are copies."""
        spans = [span for name in self.shelf.names() if (span := span_of(name)) is not None]
        return max((last for _first, last in spans), default=0)

    def copy(self, session: Session) -> int:
        """Copy what is new; return how many records that was. Raises OSError where the second place fails."""
        try:
            count = self._copy(session)
        except OSError as failure:
            self.failed_at = self.keeper.clock.now_ms()
            log.error("evidence not copied", node_id=self.keeper.node_id, reason=str(failure))  # noqa: TRY400
            raise
        self.copied_at, self.failed_at = self.keeper.clock.now_ms(), None
        return count

    def sound(self, seq: int) -> Line | None:
        """Return the copy of a record, None where there is no sound one."""
        for name in self.shelf.names():
            first, last = span_of(name) or (1, 0)
            if first <= seq <= last:
                bundle = self._bundle(name)
                if bundle is not None:
                    return bundle.records[seq - first]
        return None

    def lines(self) -> Iterator[Line]:
        """Yield every copied record."""
        for name in self.shelf.names():
            bundle = self._bundle(name)
            yield from bundle.records if bundle is not None else ()

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Yield every copied checkpoint."""
        for name in self.shelf.names():
            bundle = self._bundle(name)
            yield from bundle.checkpoints if bundle is not None else ()

    def repair(self, session: Session) -> int:
        """Put back what was changed or taken away since it was copied; return how many records that was."""
        mended = self._mend_records(session)
        for made in self.checkpoints():
            row = session.execute(select(*CheckpointRow.__table__.columns).where(CheckpointRow.seq == made.seq)).first()
            if row is None or checkpoint_of(self.keeper, row) != made:
                session.execute(delete(CheckpointRow).where(CheckpointRow.seq == made.seq))
                session.execute(insert(CheckpointRow), {k: v for k, v in made.to_json().items() if k != "node"})
        self.keeper.mend_head(session)
        return mended

    def _mend_records(self, session: Session) -> int:
        mended = 0
        for line in self.lines():
            record = line.record
            wanted = select(*EvidenceRow.__table__.columns).where(EvidenceRow.seq == record.seq)
            row = session.execute(wanted).first()
            gone = self._destroyed(record.segment)
            sealed = None if gone else line.sealed
            if (
                row is not None
                and self.keeper.record_of(row) == record
                and (row.hash, row.sealed)
                == (
                    record.hash,
                    sealed,
                )
            ):
                continue
            session.execute(delete(EvidenceRow).where(EvidenceRow.seq == record.seq))
            fields = {name: value for name, value in record.header().items() if name != "node"}
            session.execute(insert(EvidenceRow), fields | {"hash": record.hash, "sealed": sealed})
            mended += 1
        return mended

    def _destroyed(self, segment: str) -> bool:
        return self.keeper.vault.destroyed(segment) is not None

    def _copy(self, session: Session) -> int:
        since, count = self.covered, 0
        lines: list[Line] = []
        for row in rows_of(session, since=since):
            record = self.keeper.record_of(row)
            if record.hash != row.hash or not self._opens(record, row.sealed):
                self.keeper.trouble(f"record {row.seq}", "was changed before it was copied")
                break
            lines.append(Line(record, sealed=row.sealed))
            if len(lines) == SLICE:
                count += self._put(session, lines)
                lines = []
        return count + self._put(session, lines)

    def _opens(self, record: Any, sealed: bytes | None) -> bool:
        try:
            return sealed is None or bool(self.keeper.open(record, sealed))
        except SecurityFailure:
            return self._destroyed(record.segment)

    def _put(self, session: Session, lines: list[Line]) -> int:
        if not lines or self.keeper.faults.on("evidence-not-copied"):
            return 0
        first, last = lines[0].record, lines[-1].record
        signed = select(*CheckpointRow.__table__.columns).where(CheckpointRow.seq.between(first.seq, last.seq))
        checkpoints = [checkpoint_of(self.keeper, row) for row in session.execute(signed.order_by(CheckpointRow.seq))]
        rows = [line.to_json() for line in lines] + [{"kind": "checkpoint", **made.to_json()} for made in checkpoints]
        previous = first.previous if first.seq > 1 else GENESIS
        head = bundles.head_of(self.keeper.node_id, first.seq, last.seq, previous, self.keeper.clock.now_ms())
        text = bundles.write(head, rows, self.keeper.identity.key(self.keeper.config.auth_type))
        name = name_of(first.seq, last.seq)
        self.shelf.put(name, text)
        return len(lines)

    def _bundle(self, name: str) -> Bundle | None:
        """Return a copy if it is sound and this node's own."""
        if name in self._read:
            return self._read[name]
        try:
            bundle = bundles.read(self.shelf.get(name))
            own = self.keeper.identity.key(bundle.signer.auth_type.value).public.fingerprint
            if bundle.signer.fingerprint != own or bundle.head["node"] != self.keeper.node_id:
                raise BundleDamaged("it is not this node's")
        except (BundleDamaged, OSError) as damaged:
            self.keeper.trouble(f"copy {name}", str(damaged))
            return None
        self._read = {name: bundle}  # one at a time is enough: records are read in order
        return bundle
