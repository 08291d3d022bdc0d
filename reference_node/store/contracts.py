"""Tables of 8.1: contracts, the keys by which partners are known, and this node's own particulars."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_node.domain import EndReason, Role, Status
from reference_node.domain.contract import Terms
from reference_node.store.sealed import Protected, Sealed


class ContractRow(Protected):
    """One contract as this end sees it; `partner_*` is the other end."""

    __tablename__ = "contracts"
    later: ClassVar[frozenset[str]] = frozenset({"evidence_retention_days", "remote"})

    contract_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    end_reason: Mapped[str | None] = mapped_column(String(16))
    expired_time: Mapped[int] = mapped_column(BigInteger)
    evidence_retention_days: Mapped[int | None]
    partner_node_id: Mapped[str] = mapped_column(String(128))
    partner_address: Mapped[str] = mapped_column(String(512))
    partner: Mapped[dict[str, Any]] = mapped_column(Sealed("contracts.partner"))
    partner_auth_type: Mapped[str | None] = mapped_column(String(32))
    partner_credential: Mapped[str | None] = mapped_column(String)
    partner_key: Mapped[str | None] = mapped_column(String(64))
    own_auth_type: Mapped[str] = mapped_column(String(32))
    application_digest: Mapped[str | None] = mapped_column(String(64))
    remote: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    poll_at: Mapped[int] = mapped_column(BigInteger, default=0)

    __table_args__ = (
        Index("contracts_by_partner", "partner_node_id", "status"),
        Index("contracts_by_status", "status", "expired_time"),
    )

    @property
    def terms(self) -> Terms:
        """The row as the state machine sees it."""
        reason = None if self.end_reason is None else EndReason(self.end_reason)
        return Terms(Status(self.status), self.expired_time, reason)

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self.status = terms.status.value
        self.expired_time = terms.expired_time
        self.end_reason = None if terms.end_reason is None else terms.end_reason.value

    @property
    def is_applicant(self) -> bool:
        """Whether this node applied."""
        return self.role == Role.APPLICANT


class PartnerKeyRow(Protected):
    """A key by which a node is known here: it was presented with a contract."""

    __tablename__ = "partner_keys"

    node_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    auth_type: Mapped[str] = mapped_column(String(32))
    credential: Mapped[str] = mapped_column(String)
    seen_at: Mapped[int] = mapped_column(BigInteger)


class OwnNodeRow(Protected):
    """The particulars of this node, one row; `address` is absent while it is the one that the server listens on."""

    __tablename__ = "own_node"

    node_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    description: Mapped[str | None] = mapped_column(String(1024))
    address: Mapped[str | None] = mapped_column(String(512))
    inst_id: Mapped[str] = mapped_column(String(128))
    institution: Mapped[str] = mapped_column(String(128))
