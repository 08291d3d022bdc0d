"""Whether the evidence is what was written: the whole chain, its contents, its signatures and its head (9.2-d-2).

Guarantees: one changed byte of a record, a checkpoint or the head is found; so is a record that is missing, doubled or
moved, and a chain that was cut or put back behind what this node has seen. A content may be missing only where the key
of its segment was destroyed on purpose. Nothing is raised for what is found.

>>> report = verify(keeper, session)
>>> report.intact, report.records
(True, 12)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from reference_node.evidence.keeper import Head, Keeper
from reference_node.evidence.records import GENESIS, Checkpoint, Record, canonical, commitment, signed_by
from reference_node.security.errors import KeyDestroyed, SecurityFailure
from reference_node.store.evidence import CheckpointRow, EvidenceRow

MOST_PROBLEMS: Final = 100
DATABASE: Final = "database"  # where a problem is that is of the records that the node works by
_PAGE: Final = 1000
_COLUMNS: Final = tuple(EvidenceRow.__table__.columns)


@dataclass(slots=True)
class Report:
    """What a verification came to; `problems` are (where, what), the first hundred of them."""

    records: int = 0
    checkpoints: int = 0
    head: Head | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def found(self, where: str, what: str) -> None:
        """Note a problem."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append((where, what))


def verify(keeper: Keeper, session: Session, *, since: int = 0) -> Report:
    """Verify the chain after a record (0: all of it) up to its head; whatever is found is reported as trouble."""
    report = Report()
    try:
        hashes = _records(keeper, session, since, report)
        _checkpoints(keeper, session, since, hashes, report)
        _head(keeper, session, hashes, report)
        _database(keeper, session, report)
    except SQLAlchemyError as unreadable:
        report.found("store", f"cannot be read: {type(unreadable).__name__}")
    for where, what in report.problems:
        keeper.trouble(where, what)
    keeper.verified_at = keeper.clock.now_ms()
    return report


def content_of(keeper: Keeper, record: Record, sealed: bytes | None) -> dict[str, Any] | None:
    """Return the content of a record, None where it was destroyed; raise SecurityFailure where it was changed."""
    context = record.context
    if sealed is None:
        if keeper.vault.destroyed(record.segment) is None:
            raise keeper.vault.report(context, "has lost its content")
        return None
    try:
        plain = keeper.open(record, sealed)
    except KeyDestroyed:
        return None
    content: dict[str, Any] = json.loads(plain)
    if commitment(content) != record.commitment or canonical(content) != plain:
        raise keeper.vault.report(context, "has another content than it was committed to")
    return content


def rows_of(session: Session, *, since: int = 0, until: int | None = None) -> Iterator[Any]:
    """Yield the rows after a record, in pages, so that no result stays open."""
    while True:
        wanted = select(*_COLUMNS).where(EvidenceRow.seq > since).order_by(EvidenceRow.seq).limit(_PAGE)
        page = session.execute(wanted if until is None else wanted.where(EvidenceRow.seq <= until)).all()
        yield from page
        if len(page) < _PAGE:
            return
        since = page[-1].seq


def _records(keeper: Keeper, session: Session, since: int, report: Report) -> dict[int, str]:
    """Check the records; return their hashes by number."""
    hashes: dict[int, str] = {}
    previous = GENESIS
    if since:
        previous = session.scalar(select(EvidenceRow.hash).where(EvidenceRow.seq == since)) or GENESIS
    expected = since + 1
    for row in rows_of(session, since=since):
        where = f"record {row.seq}"
        if not isinstance(row.seq, int):
            report.found(where, "has no number")
            continue
        if row.seq != expected:
            report.found(f"record {expected}", "is missing")
        _record(keeper, row, where, report)
        if row.seq == expected and row.previous != previous:
            report.found(where, "does not continue the record before it")
        hashes[row.seq] = previous = row.hash
        expected = row.seq + 1
        report.records += 1
    return hashes


def _record(keeper: Keeper, row: Any, where: str, report: Report) -> None:
    record = keeper.record_of(row)
    if record.hash != row.hash:
        report.found(where, "was changed")
        return
    try:
        content_of(keeper, record, row.sealed)
    except (SecurityFailure, ValueError, TypeError) as failure:
        report.found(where, f"its content does not open: {failure}")


def _checkpoints(keeper: Keeper, session: Session, since: int, hashes: dict[int, str], report: Report) -> None:
    rows = session.execute(
        select(*CheckpointRow.__table__.columns).where(CheckpointRow.seq > since).order_by(CheckpointRow.seq)
    )
    last = None if since else 0
    for row in rows.all():
        where = f"checkpoint {row.seq}"
        made = checkpoint_of(keeper, row)
        if last not in (None, row.since):
            report.found(f"checkpoint {row.since}", "is missing")
        last = row.seq
        if hashes.get(row.seq) != row.hash:
            report.found(where, "is of another chain")
        try:
            signer = signed_by(made)
            if signer.fingerprint != keeper.identity.key(signer.auth_type.value).public.fingerprint:
                report.found(where, "is signed with a key that is not this node's")
        except (SecurityFailure, ValueError, TypeError) as wrong:
            report.found(where, f"is not signed: {wrong}")
        report.checkpoints += 1


def checkpoint_of(keeper: Keeper, row: Any) -> Checkpoint:
    """Return a row as the checkpoint that was signed."""
    return Checkpoint(
        keeper.node_id, row.seq, row.since, row.at, row.hash, row.auth_type, row.credential, row.signature
    )


def _database(keeper: Keeper, session: Session, report: Report) -> None:
    """Hold all protected rows against their count; what is found is not changed any more until it fits again."""
    tally = keeper.store.tally
    if tally is None or tally.seals.known.pending is not None:
        return
    tally.found = tally.look(session.connection())
    for what in tally.found:
        report.found(DATABASE, what)


def _head(keeper: Keeper, session: Session, hashes: dict[int, str], report: Report) -> None:
    try:
        head = keeper.head(session)
    except SecurityFailure as wrong:
        report.found("head", str(wrong))
        return
    report.head = head
    last = max(hashes, default=head.seq)
    if last != head.seq or hashes.get(last, head.hash) != head.hash:
        report.found("head", f"is {head.seq} and the last record {last}")
    signed = session.scalar(select(CheckpointRow.seq).order_by(CheckpointRow.seq.desc()).limit(1)) or 0
    if signed != head.signed_seq:
        report.found("head", f"says that {head.signed_seq} was signed last, and it was {signed}")
