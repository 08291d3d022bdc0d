"""The count of the protected rows: none is deleted, added or put back behind the node's back unseen (9.2-e-1).

Guarantees: with every change of a `Protected` row, and in its own transaction, one row moves on that holds for each
table how many rows it has and the sum of a keyed function of their codes, under a code of the vault. A row that was
deleted, slipped in or replaced by an earlier state of itself no longer fits the sum; one statement over all codes finds
it, at one moment, while others write. The count's number rises by one with each such transaction; the highest is sealed
outside of the database (`seals`), so that an older copy of the whole of it is known for one.

Once something is found nothing protected is changed any more (StoreTampered) until all fits again.

Cost: a read and an update by the transaction that changes something; nothing for others; no flush to the disk.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    LargeBinary,
    Text,
    bindparam,
    event,
    insert,
    inspect,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy import cast as to
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Mapper, Session, SessionTransaction, mapped_column, object_session

from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.security.errors import StoreTampered
from reference_node.security.vault import Vault
from reference_node.store.base import Base, Store
from reference_node.store.sealed import Protected
from reference_node.store.seals import ACCEPT, Code, Seals

log = structlog.get_logger("reference_node")

UNCOUNTED: Final = "the count of the rows is gone"
_ROWS: Final = b"store.tally.rows"
_CODE: Final = b"store.tally"
_CHANGED: Final = "tally.changed"
_WRITTEN: Final = "tally.written"
_MODULUS: Final = 1 << 256
_SELDOM: Final = 20  # a look takes at most one in so many seconds of a processor, where strangers can ask for it
_RARELY: Final = 50  # and of its own accord one in so many
_PAGE: Final = 2000


class TallyRow(Base):
    """The count, one row; `counts` has in JSON, by table, the number of rows and the sum in hex."""

    __tablename__ = "store_tally"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    seq: Mapped[int] = mapped_column(BigInteger)
    counts: Mapped[str] = mapped_column(Text)
    code: Mapped[bytes] = mapped_column(LargeBinary)


# built once: making a statement costs as much as running it
_READ: Final = select(TallyRow.__table__).where(TallyRow.id == 1)
_MOVE: Final = (
    update(TallyRow)
    .where(TallyRow.id == 1)
    .values({name: bindparam(f"to_{name}") for name in ("epoch", "seq", "counts", "code")})
)


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted: by table how many rows and their sum."""

    epoch: int = 0
    seq: int = 0
    tables: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, int]:
        """By what counts are compared with seals."""
        return self.epoch, self.seq

    def counts(self) -> str:
        """Return the tables as they are kept."""
        kept = {name: [rows, f"{total:x}"] for name, (rows, total) in sorted(self.tables.items()) if rows or total}
        return json.dumps(kept, separators=(",", ":"))

    def spelled(self) -> bytes:
        """Return what the code authenticates."""
        return f"{self.epoch} {self.seq} {self.counts()}".encode()

    def moved(self, changes: Mapping[str, tuple[int, int]]) -> Count:
        """Return the next count, with rows and sums of tables changed by these."""
        tables = dict(self.tables)
        for name, (rows, total) in changes.items():
            had = tables.get(name, (0, 0))
            tables[name] = (had[0] + rows, (had[1] + total) % _MODULUS)
        return replace(self, seq=self.seq + 1, tables=tables)


@dataclass(slots=True)
class Tally:
    """Keeps the count of one store; `noticed` is told what does not fit whenever that changes."""

    store: Store
    vault: Vault
    seals: Seals = field(default_factory=Seals)
    faults: Faults = field(default_factory=Faults)
    noticed: Callable[[Sequence[str]], None] = lambda _found: None
    found: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()  # by a deliberate defect
    _term: Code = field(init=False)
    _code: Code = field(init=False)
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _looked: float = 0.0
    _took: float = 0.0
    _verified_at: int = 0

    def __post_init__(self) -> None:
        self._term, self._code = self.vault.counting(_ROWS), self.vault.counting(_CODE)
        tallies[self.store.engine.dialect] = self
        for name, listener in self._listeners():
            event.listen(self.store.writer, name, listener)

    def _listeners(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("before_commit", self._write),
            ("after_commit", self._committed),
            ("after_soft_rollback", self._forgotten),
        )

    def close(self) -> None:
        """Leave the last seal behind, and follow the store no longer; harmless when done again."""
        if tallies.pop(self.store.engine.dialect, None) is None:
            return
        for name, listener in self._listeners():
            event.remove(self.store.writer, name, listener)
        self.seals.close()

    def open(self) -> None:
        """Look whether the database is the one that was left behind; raise ConfigError with the reason if it is not.

        What was never counted is counted now. What the operator has taken for good is left to `accept`.
        """
        sealed = self.seals.read()  # before the database, which may move on meanwhile
        try:
            with self.store.reading() as connection:
                kept = self._kept(connection)
        except StoreTampered as changed:
            if sealed is None or sealed.pending is None:
                raise ConfigError(f"the database was changed behind the node: {changed}", hint=ACCEPT) from changed
            return
        if sealed is not None and sealed.pending is not None and (kept is None or kept.epoch < sealed.epoch):
            if sealed.pending != ("" if kept is None else self._code(kept.spelled()).hex()):
                raise ConfigError("the database is another one than the operator took for good", hint=ACCEPT)
            if not sealed.recount and (found := self.look()):
                raise ConfigError("the database was changed behind the node: " + "; ".join(found), hint=ACCEPT)
            return
        if kept is None:
            if sealed is not None and sealed.seq:
                raise ConfigError("the database was changed behind the node: its count is gone", hint=ACCEPT)
            self._begin()
            return
        if sealed is None and not self.store.shared and self.seals.own is not None:
            raise ConfigError(f"{self.seals.own.path}, the seal of the database, is gone", hint=ACCEPT)
        if found := self.look():
            if not self.faults.on("older-store-only-reported"):
                raise ConfigError("the database was changed behind the node: " + "; ".join(found), hint=ACCEPT)
            self.passed_over = found
        self.seals.reached(*kept.rank)

    def accept(self, session: Session) -> dict[str, Any] | None:
        """Take up what the operator has taken for good, in a writing transaction; return what to record of it."""
        sealed = self.seals.known
        if sealed.pending is None:
            return None
        connection = session.connection()
        try:
            kept = self._kept(connection)
        except StoreTampered:
            kept = None
        if kept is not None and kept.epoch >= sealed.epoch:
            return None
        before = kept or Count()
        tables = self._scanned(connection)[0] if sealed.recount or kept is None else before.tables
        session.info[_WRITTEN] = self._put(connection, Count(sealed.epoch, before.seq + 1, tables), new=None)
        return {"epoch": sealed.epoch, "count": before.seq, "recounted": sealed.recount, "reason": sealed.reason}

    def look(self, connection: Connection | None = None) -> tuple[str, ...]:
        """Count all rows and return what does not fit, at one moment; of a session's connection or one of its own."""
        if connection is None:
            with self.store.reading() as own:
                return self.look(own)
        known = self.seals.known
        try:
            tables, kept = self._scanned(connection)
        except StoreTampered as changed:
            return (str(changed),)
        if kept is None:
            return (UNCOUNTED,)
        found = []
        if kept.rank < known.rank and known.pending is None and not self.faults.on("older-store-not-noticed"):
            found.append(f"it is older than it was: change {kept.seq}, and change {known.seq} was made")
        if self.passed_over:
            return ()
        if not self.faults.on("deleted-row-not-noticed"):
            names = sorted({*kept.tables, *tables})
            found += [said for name in names if (said := _differs(name, kept.tables.get(name), tables.get(name)))]
        return tuple(found)

    def verify(self) -> tuple[str, ...]:
        """Look, and from now on refuse changes, or no longer; return what was found."""
        with self._looking:
            begun = time.monotonic()
            try:
                found = self.look()
            except SQLAlchemyError:
                return self.found  # the store is not available, which whoever asked has been or will be told
            self._looked = time.monotonic()
            self._took = self._looked - begun
            if not found and self.found and self.faults.on("deleted-row-refused-for-good"):
                return self.found
            changed, self.found = found != self.found, found
        if changed:
            if found:
                log.error("store tampered", what="; ".join(found))
            self.noticed(found)
        return found

    def glance(self) -> tuple[str, ...]:
        """Verify where the last time is not too recent: what strangers can cause costs little, whatever they do."""
        if self.found or time.monotonic() - self._looked >= _SELDOM * self._took:
            return self.verify()
        return self.found

    def due(self, now: int, seconds: int) -> bool:
        """Verify if it is time for it, seldom where it takes long; return whether all fits. `now` is in ms."""
        self.seals.settle()
        if self.found or now - self._verified_at >= max(seconds, _RARELY * self._took) * 1000:
            self._verified_at = now
            self.verify()
        return not self.found

    def demand(self) -> None:
        """Return when all fits, else raise StoreTampered; where something was found it is looked at again."""
        if self.found and (found := self.verify()):
            raise StoreTampered("; ".join(found))

    def changed(self, session: Session, table: str, old: bytes | None, new: bytes | None) -> None:
        """Learn that a row came, went, or got another code."""
        changes: dict[str, tuple[int, int]] = session.info.setdefault(_CHANGED, {})
        rows, total = changes.get(table, (0, 0))
        if old is not None:
            rows, total = rows - 1, total - self._number(table, old)
        if new is not None:
            rows, total = rows + 1, total + self._number(table, new)
        changes[table] = (rows, total % _MODULUS)

    def _number(self, table: str, mac: bytes) -> int:
        return int.from_bytes(self._term(table.encode() + b" " + bytes(mac)), "big")

    def _write(self, session: Session) -> None:
        session.flush()
        changes = {name: moved for name, moved in session.info.pop(_CHANGED, {}).items() if moved != (0, 0)}
        if not changes:
            return
        if self.found:
            raise StoreTampered("; ".join(self.found))
        connection = session.connection()
        kept = self._kept(connection)
        if kept is None:
            raise StoreTampered(UNCOUNTED)
        session.info[_WRITTEN] = self._put(connection, kept.moved(changes), new=False)

    def _committed(self, session: Session) -> None:
        written: Count | None = session.info.pop(_WRITTEN, None)
        if written is not None:
            self.seals.reached(*written.rank)

    def _forgotten(self, session: Session, _transaction: SessionTransaction) -> None:
        session.info.pop(_CHANGED, None)
        session.info.pop(_WRITTEN, None)

    def _begin(self) -> None:
        """Count for the first time: first the seal, so that a crash in between is none of a seal without a count."""
        self.seals.begin()
        with self.store.begin() as session:
            connection = session.connection()
            if self._kept(connection) is None:  # another replica may have begun
                session.info[_WRITTEN] = self._put(connection, Count(0, 1, self._scanned(connection)[0]), new=True)

    def _kept(self, connection: Connection) -> Count | None:
        row = connection.execute(_READ).first()
        return None if row is None else self._read(row.epoch, row.seq, row.counts, row.code)

    def _read(self, epoch: int, seq: int, counts: str, code: bytes) -> Count:
        try:
            tables = {name: (int(rows), int(total, 16)) for name, (rows, total) in json.loads(counts).items()}
            count = Count(int(epoch), int(seq), tables)
        except (ValueError, TypeError, AttributeError) as broken:
            raise StoreTampered("the count of the rows is none") from broken
        if self._code(count.spelled()) != bytes(code):
            raise StoreTampered("the count of the rows does not fit its authentication code")
        return count

    def _put(self, connection: Connection, count: Count, *, new: bool | None) -> Count:
        fields = {"epoch": count.epoch, "seq": count.seq, "counts": count.counts()}
        fields["code"] = self._code(count.spelled())
        if new is None:
            new = connection.execute(select(TallyRow.id)).first() is None
        if new:
            connection.execute(insert(TallyRow), fields | {"id": 1})
        else:
            connection.execute(_MOVE, {f"to_{name}": value for name, value in fields.items()})
        return count

    def _scanned(self, connection: Connection) -> tuple[dict[str, tuple[int, int]], Count | None]:
        """Return what is there, and the count, by one statement: it sees one state of the database."""
        sums: Counter[str] = Counter()
        rows: Counter[str] = Counter()
        kept = None
        result = connection.execute(_everything(), execution_options={"yield_per": _PAGE})
        for name, code, epoch, seq, counts in result:
            if counts is not None:
                kept = self._read(epoch, seq, counts, code)
                continue
            rows[name] += 1
            sums[name] += self._number(name, code)
        return {name: (rows[name], sums[name] % _MODULUS) for name in rows}, kept


def _everything() -> Any:
    """Return the statement over all codes and the count."""
    none = [to(literal(None), BigInteger), to(literal(None), BigInteger), to(literal(None), Text)]
    tables = sorted(table.__tablename__ for table in _tables())
    own = select(to(literal(""), Text), TallyRow.code, TallyRow.epoch, TallyRow.seq, TallyRow.counts)
    known = Base.metadata.tables
    return union_all(own, *(select(to(literal(name), Text), known[name].c.mac, *none) for name in tables))


def _tables() -> list[type[Protected]]:
    return [mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Protected)]


def _differs(name: str, counted: tuple[int, int] | None, there: tuple[int, int] | None) -> str | None:
    expected, present = counted or (0, 0), there or (0, 0)
    if expected == present:
        return None
    missing = expected[0] - present[0]
    if missing > 0:
        return f"{name}: {missing} of {expected[0]} rows were deleted"
    return f"{name}: {-missing} rows were slipped in" if missing else f"{name}: a row was replaced by another state"


tallies: WeakKeyDictionary[Dialect, Tally] = WeakKeyDictionary()


@event.listens_for(Protected, "after_insert", propagate=True)
def _inserted(_mapper: Mapper[Any], connection: Connection, row: Protected) -> None:
    _count(connection, row, None, row.mac)


@event.listens_for(Protected, "before_delete", propagate=True)
def _deleting(_mapper: Mapper[Any], connection: Connection, row: Protected) -> None:
    _count(connection, row, row.mac, None)


@event.listens_for(Protected, "before_update", propagate=True)
def _updating(_mapper: Mapper[Any], connection: Connection, row: Protected) -> None:
    """Count that a row has another code: `sealed` has just given it, and is asked first."""
    history: Any = inspect(row).attrs.mac.history
    if history.added and history.added != history.deleted:
        _count(connection, row, history.deleted[0], row.mac)


def _count(connection: Connection, row: Protected, old: bytes | None, new: bytes | None) -> None:
    tally, session = tallies.get(connection.dialect), object_session(row)
    if tally is not None and session is not None:
        tally.changed(session, row.__tablename__, old, new)
