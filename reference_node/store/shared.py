"""What the replicas of a node share beside its records (9.2-e-4): the wrapped data keys, secrets, who does what.

Guarantees: all replicas on one database see the same keys and secrets, however they race at their first start; a lease
has one holder at a time, and a holder that is gone loses it when its time is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import BigInteger, LargeBinary, String, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from reference_node.security.keyring import KeyRecord
from reference_node.store.base import Base, Store


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


class LeaseRow(Base):
    """A duty that one replica has until a time."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until: Mapped[int] = mapped_column(BigInteger)


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


def hold(store: Store, name: str, holder: str, now: int, term: int) -> bool:
    """Take or prolong a lease for `term` milliseconds; False while another holds it."""
    with store.begin() as session:
        row = session.get(LeaseRow, name)
        if row is not None and row.holder != holder and row.until > now:
            return False
        session.merge(LeaseRow(name=name, holder=holder, until=now + term))
        return True


def release(store: Store, name: str, holder: str) -> None:
    """Give a lease back before its time."""
    with store.begin() as session:
        row = session.get(LeaseRow, name)
        if row is not None and row.holder == holder:
            session.delete(row)
