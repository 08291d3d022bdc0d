"""Tables of the evidence (9.2-d): the chain of records, the checkpoints over it, and its head.

What can be read without a key is when something was done and of which kind it was; all else is in `sealed`, which is
empty once the segment of the record was destroyed at the end of its term.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_node.store.base import Base


class EvidenceRow(Base):
    """One link of the chain; `segment` is the id of the data key that `sealed` is under."""

    __tablename__ = "evidence"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger)
    act: Mapped[str] = mapped_column(String(32))
    segment: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(64))
    part_of: Mapped[str] = mapped_column(String(64))
    commitment: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)

    __table_args__ = (
        Index("evidence_by_act", "act", "seq"),
        Index("evidence_by_subject", "subject", "seq"),
        Index("evidence_by_whole", "part_of", "seq"),
        Index("evidence_by_segment", "segment", "at"),
    )


class CheckpointRow(Base):
    """The node's signature over the chain up to a record; `since` is where the checkpoint before it stands."""

    __tablename__ = "evidence_checkpoints"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    since: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    auth_type: Mapped[str] = mapped_column(String(32))
    credential: Mapped[str] = mapped_column(String)
    signature: Mapped[str] = mapped_column(String(1024))


class EvidenceHeadRow(Base):
    """Where the chain ends, one row: whoever writes evidence locks it. `code` authenticates the rest of the row.

    `segment` is being filled with what is kept as configured; `agreed` has, by days, those of the terms agreed upon, in
    JSON that the keeper reads: it reports what was altered so that it is none.
    """

    __tablename__ = "evidence_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    segment: Mapped[str] = mapped_column(String(32))
    begun_seq: Mapped[int] = mapped_column(BigInteger)
    begun_at: Mapped[int] = mapped_column(BigInteger)
    signed_seq: Mapped[int] = mapped_column(BigInteger)
    agreed: Mapped[str] = mapped_column(Text, server_default="{}")
    code: Mapped[bytes] = mapped_column(LargeBinary)
