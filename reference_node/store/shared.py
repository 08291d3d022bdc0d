"""What the replicas of a node share beside its records (9.2-e-4): the wrapped data keys, secrets, who does what.

Guarantees: all replicas on one database see the same keys and secrets, however they race at their first start; one of
them leads at a time, and another does as soon as the database, or the data folder, has lost the leader.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import BigInteger, Connection, LargeBinary, String, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Mapped, mapped_column

from reference_node.faults import Faults
from reference_node.security.keyring import KeyRecord
from reference_node.store.base import Base, Store

_LEADER: Final = 0x6C656164  # the advisory lock that the leader holds
_LOOK_SECONDS: Final = 0.5
_LOCK_FILE: Final = "leader.lock"  # of a data folder
log = structlog.get_logger("reference_node")


class VaultKeyRow(Base):
    """A wrapped data key."""

    __tablename__ = "vault_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    cipher: Mapped[str] = mapped_column(String(16))
    made_at: Mapped[int] = mapped_column(BigInteger)
    wrapped: Mapped[str] = mapped_column(String(256))
    destroyed_at: Mapped[int | None] = mapped_column(BigInteger)


class SecretRow(Base):
    """A secret of the node, sealed: a private key, the operator's token."""

    __tablename__ = "node_secrets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class TableKeyring:
    """Wrapped data keys in the database that the replicas share; a transaction that is open may have one made."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> Mapping[str, KeyRecord]:
        """Every record by its key's id."""
        with self._store.reading() as connection:
            found = connection.execute(select(VaultKeyRow.__table__)).mappings()
            return {row["id"]: KeyRecord(**row) for row in found}

    def add(self, record: KeyRecord) -> bool:
        """Keep a further record; False where the id is there already."""
        try:
            with self._store.aside() as connection:
                connection.execute(insert(VaultKeyRow).values(**asdict(record)))
        except IntegrityError:
            return False
        return True

    def replace(self, records: Mapping[str, KeyRecord]) -> None:
        """Put these in the place of those of the same ids."""
        with self._store.aside() as connection:
            for record in records.values():
                connection.execute(update(VaultKeyRow).where(VaultKeyRow.id == record.id).values(**asdict(record)))


class TableSecrets:
    """Secrets in the database that the replicas share; what is kept is sealed by whoever keeps it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str) -> bytes | None:
        """Return what is kept under a name."""
        with self._store.read() as session:
            row = session.get(SecretRow, name)
            return None if row is None else row.sealed

    def keep(self, name: str, sealed: bytes) -> bytes:
        """Keep a secret unless there is one of the name already; return the one that is kept."""
        with self._store.begin() as session:
            row = session.get(SecretRow, name)
            if row is not None:
                return row.sealed
            session.add(SecretRow(name=name, sealed=sealed))
            return sealed


class Leadership:
    """Of the processes of a node the one that carries out what is due.

    With PostgreSQL it is a lock of a connection that is kept for nothing else, with SQLite a lock of a file in the data
    folder: when its holder dies another gets it. A node in memory is alone.
    """

    def __init__(self, store: Store, folder: Path | None, faults: Faults | None = None) -> None:
        self._store = store
        self._path = None if folder is None or store.shared else folder / _LOCK_FILE
        self._faults = Faults() if faults is None else faults
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._file: FileIO | None = None
        self._looked = 0.0
        self._waited = False
        self._inherited = False

    def held(self) -> bool:
        """Tell whether this process leads; try to become the leader where nobody is."""
        if self._path is None and not self._store.shared:
            return True
        with self._lock:
            if not self._leads():
                self._waited = True
            elif self._waited and not self._inherited:
                self._inherited = True
                log.info("leadership taken over")
            leads = self._connection is not None or self._file is not None
            return leads and not (self._inherited and self._faults.on("standby-does-not-take-over"))

    def taken_over(self) -> bool:
        """Tell whether this process leads and another did before."""
        return self.held() and self._inherited

    def close(self) -> None:
        """Let another lead."""
        with self._lock:
            self._let_go()

    def _leads(self) -> bool:
        if self._path is not None:
            return self._file is not None or self._locked(self._path)
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            try:
                self._look()
            except (OperationalError, PoolTimeout):
                self._let_go()
        return self._connection is not None

    def _locked(self, path: Path) -> bool:
        file = FileIO(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def _look(self) -> None:
        if self._connection is not None:
            self._connection.exec_driver_sql("SELECT 1")
            return
        connection = self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT", read_only=True)
        if connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LEADER})").scalar():
            self._connection = connection
        else:
            connection.close()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
        if self._file is not None:
            self._file.close()
            self._file = None
