"""Tables of the guards (9.2-a): nonces seen and authentication failures; they survive a restart."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_node.store.base import Base


class NonceRow(Base):
    """A nonce that a source node has used; kept while its timestamp could still be taken."""

    __tablename__ = "nonces"

    source: Mapped[str] = mapped_column(String(128), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("nonces_by_expiry", "expires_at"), {"sqlite_with_rowid": False})


class LockoutRow(Base):
    """Authentication failures in a row: of a node that its certificate proved (`source`), else of an address.

    `remote` is that address, of IPv6 the network; one of the two is empty. `claimed` and `seen_from` say of the last
    failure, for the evidence, which id the request claimed and where it came from; they are not stored.
    """

    __tablename__ = "lockouts"
    claimed = ""
    seen_from = ""

    source: Mapped[str] = mapped_column(String(128), primary_key=True)
    remote: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int] = mapped_column(BigInteger, default=0)
    failed_at: Mapped[int] = mapped_column(BigInteger)
