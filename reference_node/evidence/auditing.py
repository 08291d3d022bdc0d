"""What an auditor can do with the evidence, each in the transaction that records it (9.2-d-2, 9.2-d-5).

Guarantees: whatever is shown was checked before: a record that was changed is shown as damaged, or from its copy, and
never as if it were sound; every view, restoration, export and verification leaves a record of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from reference_node.errors import Refusal
from reference_node.evidence import bundles, verifying
from reference_node.evidence.acting import current
from reference_node.evidence.backups import Backup
from reference_node.evidence.bundles import Line
from reference_node.evidence.keeper import Keeper
from reference_node.evidence.noting import Act
from reference_node.evidence.records import GENESIS, canonical, digest
from reference_node.evidence.verifying import Report, checkpoint_of, content_of, rows_of
from reference_node.security.errors import SecurityFailure
from reference_node.store.evidence import CheckpointRow, EvidenceRow

MOST_EXPORTED: Final = 5000
_SHOWN: Final = ("actor", "operation", "trace_id", "subjects", "counterpart")


@dataclass(frozen=True, slots=True)
class Search:
    """Which records are wanted, newest first."""

    act: str | None = None
    subject_id: str | None = None
    begin: int | None = None
    end: int | None = None
    page_num: int = 1
    page_size: int = 20


@dataclass(frozen=True, slots=True)
class Auditing:
    """The auditor's hands on one node's evidence."""

    keeper: Keeper
    backup: Backup

    def view(self, session: Session, search: Search) -> dict[str, Any]:
        """Show who did what, when and on what; not the details."""
        wanted = select(*EvidenceRow.__table__.columns).where(*self._matching(search))
        total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        offset = (search.page_num - 1) * search.page_size
        rows = session.execute(wanted.order_by(EvidenceRow.seq.desc()).offset(offset).limit(search.page_size)).all()
        found = [self._shown(row) for row in rows]
        if not self.keeper.faults.on("evidence-view-unrecorded"):
            asked = {name: getattr(search, name) for name in search.__slots__}
            self.keeper.note(session, Act.EVIDENCE_VIEWED, {}, search=digest(canonical(asked)), records=len(found))
        return {"records": found, "total": total}

    def restore(self, session: Session, first: int, last: int, reason: str) -> dict[str, Any]:
        """Show some records in full, each from its copy where it was damaged; the reason is kept as a digest."""
        _ordered(first, last)
        found = [self._restored(row.seq, row) for row in rows_of(session, since=first - 1, until=last)]
        missing = sorted(set(range(first, min(last, self._last(session)) + 1)) - {item["seq"] for item in found})
        found += [self._restored(seq, None) for seq in missing]
        if not found:
            raise Refusal("EVIDENCE_NOT_FOUND", pointer="/first_seq")
        said = {"first": first, "last": last, "reason": digest(reason.encode())}
        if not self.keeper.faults.on("evidence-restored-silently"):
            self.keeper.note(session, Act.EVIDENCE_RESTORED, {}, **said)
        return {"records": sorted(found, key=lambda item: int(item["seq"]))}

    def export(self, session: Session, first: int, last: int | None, reason: str, *, content: bool) -> dict[str, Any]:
        """Return a signed bundle of records that are sound; a damaged one refuses the export."""
        self.keeper.checkpoint(session)
        end = self._last(session)
        last = min(end, first + MOST_EXPORTED - 1) if last is None else last
        _ordered(first, last)
        if last > end:
            raise Refusal("EVIDENCE_NOT_FOUND", pointer="/last_seq")
        lines = list(self._exported(session, first, last, content=content))
        signed = select(*CheckpointRow.__table__.columns).where(CheckpointRow.seq.between(first, last))
        checkpoints = [checkpoint_of(self.keeper, row) for row in session.execute(signed.order_by(CheckpointRow.seq))]
        rows = [line.to_json() for line in lines] + [{"kind": "checkpoint", **made.to_json()} for made in checkpoints]
        previous = lines[0].record.previous if first > 1 else GENESIS
        head = bundles.head_of(self.keeper.node_id, first, last, previous, self.keeper.clock.now_ms())
        text = bundles.write(head, rows, self.keeper.identity.key(self.keeper.config.auth_type))
        said = {"first": first, "last": last, "content": content, "reason": digest(reason.encode())}
        if not self.keeper.faults.on("evidence-export-unrecorded"):
            self.keeper.note(session, Act.EVIDENCE_EXPORTED, {}, **said, bundle=digest(text))
        return {"bundle": text.decode(), "first_seq": first, "last_seq": last, "records": len(lines)}

    def verify(self, session: Session) -> dict[str, Any]:
        """Verify the whole chain."""
        report = verifying.verify(self.keeper, session)
        self.keeper.note(session, Act.EVIDENCE_VERIFIED, {}, records=report.records, problems=len(report.problems))
        return self._reported(report)

    def repair(self, session: Session) -> dict[str, Any]:
        """Put back from the copies what was changed or taken away, then verify the whole chain."""
        mended = self.backup.repair(session)
        self.keeper.troubles.clear()
        report = verifying.verify(self.keeper, session)
        self.keeper.note(session, Act.EVIDENCE_REPAIRED, {}, records=mended, problems=len(report.problems))
        return self._reported(report) | {"repaired": mended}

    def _reported(self, report: Report) -> dict[str, Any]:
        problems = [{"where": where, "what": what} for where, what in report.problems]
        if self.keeper.faults.on("sound-evidence-called-damaged"):
            problems.append({"where": "store", "what": "cannot be told"})
        return {
            "intact": not problems,
            "records": report.records,
            "checkpoints": report.checkpoints,
            "problems": problems,
        }

    def _matching(self, search: Search) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if search.act is not None:
            whole = "." in search.act
            conditions.append(EvidenceRow.act == search.act if whole else EvidenceRow.act.startswith(search.act + "."))
        if search.subject_id is not None:
            tag = self.keeper.tag(search.subject_id)
            conditions.append(or_(EvidenceRow.subject == tag, EvidenceRow.part_of == tag))
        if search.begin is not None:
            conditions.append(EvidenceRow.at >= search.begin)
        if search.end is not None:
            conditions.append(EvidenceRow.at <= search.end)
        return conditions

    def _shown(self, row: Any) -> dict[str, Any]:
        found, content = self._read(row)
        if content and self.keeper.faults.on("evidence-rewritten"):
            content = {**content, "trace_id": current().trace_id}
        if content and self.keeper.faults.on("evidence-subject-wrong"):
            content = {**content, "subjects": dict.fromkeys(content["subjects"], "unknown")}
        return found | {name: content[name] for name in _SHOWN if name in content}

    def _restored(self, seq: int, row: Any) -> dict[str, Any]:
        """Return a record in full, from its copy where it is damaged or gone."""
        found, content = self._read(row) if row is not None else ({"seq": seq, "state": "DAMAGED"}, {})
        if found["state"] == "DAMAGED":
            copy = self.backup.sound(seq)
            if copy is not None:
                found, content = self._line(copy)
        if content and self.keeper.faults.on("evidence-restored-in-part"):
            content = {name: value for name, value in content.items() if name not in ("request", "answer")}
        return found | ({"content": content} if content else {})

    def _read(self, row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a row says of itself, and its content; a row that is not sound is damaged and says nothing."""
        record = self.keeper.record_of(row)
        try:
            if record.hash != row.hash:
                raise self.keeper.vault.report(record.context, "was changed")
            return self._line(Line(record, content_of(self.keeper, record, row.sealed)))
        except (SecurityFailure, ValueError, TypeError) as failure:
            self.keeper.trouble(f"record {row.seq}", str(failure))
            return {"seq": row.seq, "state": "DAMAGED"}, {}

    def _line(self, line: Line) -> tuple[dict[str, Any], dict[str, Any]]:
        record, content = line.record, line.content
        if content is None and line.sealed is not None:
            content = content_of(self.keeper, record, line.sealed)
        state = "DESTROYED" if content is None else "SOUND"
        return {
            "seq": record.seq,
            "at": record.at,
            "act": record.act,
            "hash": record.hash,
            "state": state,
        }, content or {}

    def _exported(self, session: Session, first: int, last: int, *, content: bool) -> Iterator[Line]:
        expected = first
        for row in rows_of(session, since=first - 1, until=last):
            record = self.keeper.record_of(row)
            try:
                sound = record.hash == row.hash and record.seq == expected
                known = content_of(self.keeper, record, row.sealed) if sound else None
            except (SecurityFailure, ValueError, TypeError):
                sound = False
            if not sound:
                self.keeper.trouble(f"record {expected}", "was changed")
                raise Refusal("EVIDENCE_DAMAGED", pointer=f"/{expected}")
            if known is not None and self.keeper.faults.on("evidence-content-unbound"):
                known = {**known, "operation": "unknown"}
            yield Line(record, known if content else None)
            expected += 1

    def _last(self, session: Session) -> int:
        return session.scalar(select(func.max(EvidenceRow.seq))) or 0


def _ordered(first: int, last: int) -> None:
    if last < first or last - first >= MOST_EXPORTED:
        raise Refusal("REQUEST_INVALID", pointer="/last_seq")


def search_of(query: Mapping[str, Any]) -> Search:
    """Read a search from the parameters of a request."""
    names = {"begin_time": "begin", "end_time": "end"}
    return Search(**{names.get(name, name): value for name, value in query.items()})
