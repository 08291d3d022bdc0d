"""Columns that are sealed, and rows that carry an authentication code (9.2-e-1, 9.2-e-2).

Guarantees: the value of a `Sealed` column never reaches the database in clear, and opens in its own column only; a
`Protected` row that was changed by anything but the node raises StoreTampered when it is read. Replacing a row by an
earlier state of itself, or deleting it, is not seen by its code but by the count of all rows (`tally`).

Which vault: the one that `Store.seal_with` has given the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Dialect, LargeBinary, event
from sqlalchemy.orm import Mapped, Mapper, QueryContext, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from reference_node.security.vault import Vault
from reference_node.store.base import Base, vaults

_MAC: Final = "mac"


class Sealed(TypeDecorator[Any]):
    """Any JSON value, sealed; `place` is table.column and is bound to it."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """Seal on the way in."""
        return None if value is None else vaults[dialect].seal(json.dumps(value).encode(), self.place.encode())

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Any:
        """Open on the way out."""
        return None if value is None else json.loads(vaults[dialect].open(bytes(value), self.place.encode()))


class Protected(Base):
    """Base of the tables whose rows carry a code over all their columns but the `loose` ones."""

    __abstract__ = True
    loose: ClassVar[frozenset[str]] = frozenset({"seq", "poll_at"})
    later: ClassVar[frozenset[str]] = frozenset()  # of a later version: not in the code while empty, so it stays fit

    mac: Mapped[bytes] = mapped_column(LargeBinary)


def check(vault: Vault, table: type[Protected], values: Mapping[str, Any], mac: bytes) -> None:
    """Check a row that was read past the mapper, by all its columns."""
    vault.check(_text(table, values), bytes(mac), table.__tablename__.encode())


def sweep(session: Session) -> int:
    """Read every protected row, so that whatever was changed comes to light; return how many there are."""
    tables = [mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Protected)]
    return sum(1 for table in tables for _ in session.query(table).yield_per(256))


def spelled(values: Mapping[str, Any]) -> bytes:
    """Return what the code of a row authenticates: its columns by name, the sealed ones by what they hold."""
    return json.dumps([[name, _plain(values[name])] for name in sorted(values)], sort_keys=True).encode()


def _text(table: type[Protected], values: Mapping[str, Any]) -> bytes:
    empty = {name for name in table.later if values[name] is None}
    return spelled({name: values[name] for name in _columns(table) if name not in table.loose | empty | {_MAC}})


def _plain(value: Any) -> Any:
    """Return a value as the database gives it back: a whole number is an integer however it was written in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _values(row: Protected) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _columns(type(row))}


def _columns(table: type[Protected]) -> list[str]:
    return [attribute.key for attribute in table.__mapper__.column_attrs]


@event.listens_for(Protected, "before_insert", propagate=True)
def _inserting(mapper: Mapper[Any], connection: Connection, row: Protected) -> None:
    for attribute in mapper.column_attrs:
        default = attribute.columns[0].default
        if default is not None and getattr(row, attribute.key) is None:
            setattr(row, attribute.key, default.arg(None) if default.is_callable else default.arg)
    _writing(mapper, connection, row)


@event.listens_for(Protected, "before_update", propagate=True)
def _writing(_mapper: Mapper[Any], connection: Connection, row: Protected) -> None:
    vault, table = vaults[connection.dialect], type(row)
    row.mac = vault.mac(_text(table, _values(row)), table.__tablename__.encode())


@event.listens_for(Protected, "load", propagate=True)
def _loaded(row: Protected, context: QueryContext | None) -> None:
    if context is None:  # a new object of a merge, nothing was read
        return
    vault, table = vaults[context.session.get_bind().dialect], type(row)
    check(vault, table, _values(row), row.mac)


@event.listens_for(Protected, "refresh", propagate=True)
def _refreshed(row: Protected, context: QueryContext, _attributes: Any) -> None:
    _loaded(row, context)
