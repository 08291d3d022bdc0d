"""The node's database: one engine, short transactions, SQLite by default, PostgreSQL where replicas share it (9.2-e).

Guarantees: foreign keys are on; a writing transaction takes its lock when it begins (BEGIN IMMEDIATE with SQLite, an
advisory lock of the transaction with PostgreSQL), so that there is one writer at a time among all threads and replicas,
who waits for the others instead of failing half way; readers never wait (WAL, MVCC); what is committed is on the disk
before it is answered: no loss of power makes a nonce, or a use of a permit, count as unused; an in-memory database
lives on one connection that sessions take in turn. An error rolls the whole transaction back (9.2-e-5). Failures are
sqlalchemy.exc.OperationalError or TimeoutError, which the router answers STORE_UNAVAILABLE.

The tables are those of the migrations (`store.migrate`); only a database in memory is made from the classes directly.

Rule for all who use it: no transaction stays open across an outgoing call: the partner may call back meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import QueuePool

from reference_node import private
from reference_node.errors import ConfigError
from reference_node.security.errors import SecurityFailure
from reference_node.security.vault import Vault
from reference_node.store import migrate, reasons
from reference_node.store.reasons import RESTORE

if TYPE_CHECKING:
    from reference_node.store.tally import Tally

MEMORY = "sqlite://"
DATABASE = "node.db"  # of a data folder
BUSY_SECONDS = 10
_READ_ONLY = "read_only"
_POSTGRES_OPTIONS = f"-c lock_timeout={BUSY_SECONDS * 1000}"
_WRITERS = 0x6875746F  # the advisory lock that the writers of a database take in turn

vaults: WeakKeyDictionary[Dialect, Vault] = WeakKeyDictionary()  # of each engine: nodes share a process in tests


class Base(DeclarativeBase):
    """Base of every table."""


class Store:
    """Sessions over one database.

    >>> with store.begin() as session:      # commits at the end, rolls back on an error
    ...     session.add(row)
    >>> with store.read() as session:       # takes no lock
    ...     session.get(ContractRow, "contract-1")
    """

    def __init__(
        self, url: str = MEMORY, *, vault: Callable[[Store], Vault] | None = None, connections: int = 16
    ) -> None:
        """Open a database; `vault` opens what its columns are sealed with, which may have its keys in this store."""
        in_memory, sqlite = url == MEMORY, url.startswith("sqlite")
        self.tally: Tally | None = None  # of those that a node works on, see store.tally
        self.engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=1 if in_memory else connections,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=not sqlite,
            connect_args={"check_same_thread": False} if sqlite else {"options": _POSTGRES_OPTIONS},
        )
        if sqlite:
            if not in_memory:
                _make_private(self.engine.url.database)
            _prepare_sqlite(self.engine, in_memory=in_memory)
        else:
            _prepare_postgres(self.engine)
        self._reading = self.engine.execution_options(**{_READ_ONLY: True})
        self._writer = sessionmaker(self.engine, expire_on_commit=False)
        self._reader = sessionmaker(self._reading, expire_on_commit=False)
        opened = None if vault is None else cache(partial(vault, self))
        try:
            if in_memory:
                Base.metadata.create_all(self.engine)
            else:
                self._bring_up(opened)
            if opened is not None:
                self.seal_with(opened())
        except (ConfigError, SecurityFailure):
            self.close()
            raise

    def _bring_up(self, vault: Callable[[], Vault] | None) -> None:
        """Check what is there and bring its tables to this version; a damaged database is told and never used."""
        try:
            if not self.shared:
                _check_file(self.engine)
            migrate.upgrade(self.engine, vault)
        except DatabaseError as failure:
            if self.shared:
                raise ConfigError(f"the database cannot be used: {failure.orig}", hint="check [store] url") from failure
            raise reasons.refused(str(self.engine.url.database), failure) from failure

    @property
    def shared(self) -> bool:
        """Whether replicas of the node may use this database at the same time."""
        return self.engine.dialect.name != "sqlite"

    def seal_with(self, vault: Vault) -> None:
        """Seal and open with this vault whatever goes through here."""
        vaults[self.engine.dialect] = vault

    def session(self) -> Session:
        """Return a session that may write; who asks for it commits and closes it."""
        return self._writer()

    @property
    def writer(self) -> sessionmaker[Session]:
        """What makes the sessions that may write, for those who follow what they do."""
        return self._writer

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

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """A transaction that takes no turn among the writers, for what is no record; with PostgreSQL only."""
        with self._reading.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection; an in-memory database is gone with its last one."""
        if self.tally is not None:
            self.tally.close()
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
            cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if _READ_ONLY not in connection.get_execution_options():
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _make_private(database: str | None) -> None:
    """Have the file there with no rights for others; SQLite gives those of the file to what it keeps beside it."""
    if database:
        path = Path(database)
        with reasons.told():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, private.FILE))
            for file in (path, *(path.with_name(path.name + more) for more in ("-wal", "-shm"))):
                private.narrow(file)


def _check_file(engine: Engine) -> None:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise ConfigError(f"{engine.url.database} is damaged: {found}", hint=RESTORE)


def _prepare_postgres(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if _READ_ONLY not in connection.get_execution_options():
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
