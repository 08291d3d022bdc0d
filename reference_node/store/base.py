"""The node's database: one engine, short transactions, SQLite by default.

Guarantees: foreign keys are on; a writing transaction takes its lock when it begins (BEGIN IMMEDIATE), so that
concurrent writers wait for each other instead of failing half way; WAL, so that readers never wait; an in-memory
database lives on one connection that sessions take in turn. Failures surface as sqlalchemy.exc.OperationalError or
TimeoutError, which the router answers STORE_UNAVAILABLE.

Rule for all who use it: no transaction stays open across an outgoing call: the partner may call back meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import QueuePool

MEMORY = "sqlite://"
BUSY_SECONDS = 10
_READ_ONLY = "read_only"


class Base(DeclarativeBase):
    """Base of every table."""


class Store:
    """Sessions over one database.

    >>> with store.begin() as session:      # commits at the end, rolls back on an error
    ...     session.add(row)
    >>> with store.read() as session:       # takes no lock
    ...     session.get(ContractRow, "contract-1")
    """

    def __init__(self, url: str = MEMORY, *, connections: int = 16) -> None:
        in_memory = url == MEMORY
        self.engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=1 if in_memory else connections,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            connect_args={"check_same_thread": False} if url.startswith("sqlite") else {},
        )
        if url.startswith("sqlite"):
            _prepare_sqlite(self.engine, in_memory=in_memory)
        Base.metadata.create_all(self.engine)
        self._reading = self.engine.execution_options(**{_READ_ONLY: True})
        self._writer = sessionmaker(self.engine, expire_on_commit=False)
        self._reader = sessionmaker(self._reading, expire_on_commit=False)

    def session(self) -> Session:
        """Return a session that may write; who asks for it commits and closes it."""
        return self._writer()

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One writing transaction."""
        with self._writer.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; each statement sees what is committed by then."""
        with self._reader() as session:
            yield session

    def reading(self) -> Connection:
        """Return a connection for reads outside any session; who asks for it closes it."""
        return self._reading.connect()

    def close(self) -> None:
        """Close every connection; an in-memory database is gone with its last one."""
        self.engine.dispose()


def _prepare_sqlite(engine: Engine, *, in_memory: bool) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, see _begin
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        if not in_memory:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if _READ_ONLY not in connection.get_execution_options():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
