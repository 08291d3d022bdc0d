"""Tables of the approvals and of the permits that they give (8.2.1-b, 8.3.3, 8.7.1.3, 8.7.2.2, 9.2-b).

Guarantees: an approval moves from the standing it was read in or not at all, and a use is counted within its limit or
not at all, each within a writing transaction, of which there is one at a time (`store.base`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, and_, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, validates

from reference_node.domain import EndReason, Role, Status
from reference_node.domain.approval import Kind, Standing
from reference_node.domain.permit import Limits, Permit, ScopeType
from reference_node.domain.search import fold
from reference_node.store.sealed import Protected, Sealed


class ApprovalRow(Protected):
    """One approval as this end sees it; `name` is the resource's, where known."""

    __tablename__ = "approvals"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    audit_id: Mapped[str] = mapped_column(String(128), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    role: Mapped[str] = mapped_column(String(16))
    partner_node_id: Mapped[str] = mapped_column(String(128))
    contract_id: Mapped[str] = mapped_column(String(128))
    resource_id: Mapped[str] = mapped_column(String(128))
    name: Mapped[str] = mapped_column(String(128), default="")
    folded: Mapped[str] = mapped_column(String(512), default="")
    status: Mapped[str] = mapped_column(String(16))
    end_reason: Mapped[str | None] = mapped_column(String(16))
    comment: Mapped[str | None] = mapped_column(String(1024))
    content: Mapped[dict[str, Any]] = mapped_column(Sealed("approvals.content"))
    apply_delivery: Mapped[int | None]
    poll_at: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("approvals_by_resource", "kind", "resource_id", "status"),
        Index("approvals_by_partner", "partner_node_id", "kind", "status"),
        Index("approvals_by_contract", "contract_id", "status"),
        Index("approvals_by_poll", "status", "role", "poll_at"),
    )

    @validates("name")
    def _fold(self, _key: str, name: str) -> str:
        self.folded = fold(name)
        return name

    @property
    def standing(self) -> Standing:
        """The row as the state machine sees it."""
        return Standing(Status(self.status), None if self.end_reason is None else EndReason(self.end_reason))


class PermitRow(Protected):
    """What an approval opened: kept by the owner of the resource, and by the node it was issued to."""

    __tablename__ = "permits"

    audit_id: Mapped[str] = mapped_column(ForeignKey("approvals.audit_id"), primary_key=True)
    token: Mapped[str] = mapped_column(Sealed("permits.token"))
    resource_level: Mapped[int]
    resource_type: Mapped[str] = mapped_column(String(16))
    resource_id: Mapped[str] = mapped_column(String(128))
    resource_node_id: Mapped[str] = mapped_column(String(128))
    resource_inst_id: Mapped[str] = mapped_column(String(128))
    request_node_id: Mapped[str] = mapped_column(String(128))
    request_inst_id: Mapped[str] = mapped_column(String(128))
    scope: Mapped[str] = mapped_column(String(16), default=ScopeType.NODE.value)
    project_id: Mapped[str | None] = mapped_column(String(128))
    time_limit: Mapped[int | None] = mapped_column(BigInteger)
    times_limit: Mapped[int | None]
    uses: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        Index("permits_by_resource", "request_node_id", "resource_type", "resource_id"),
        Index("permits_by_end", "time_limit"),
    )

    def permit(self, *, revoked: bool) -> Permit:
        """The row as the rules see it."""
        return Permit(
            token=self.token,
            resource_type=self.resource_type,
            resource_level=self.resource_level,
            resource_id=self.resource_id,
            request_node_id=self.request_node_id,
            scope=ScopeType(self.scope),
            project_id=self.project_id,
            limits=Limits(self.time_limit, self.times_limit),
            uses=self.uses,
            revoked=revoked,
        )

    def to_json(self) -> dict[str, Any]:
        """The row as partners and operators see it."""
        scope = {"type": self.scope, **({"project_id": self.project_id} if self.project_id is not None else {})}
        limits = {"time_limit": self.time_limit, "times_limit": self.times_limit}
        return {
            "token": self.token,
            "resource_level": self.resource_level,
            "resource_type": self.resource_type,
            "resource_id": self.resource_id,
            "resource_node_id": self.resource_node_id,
            "resource_inst_id": self.resource_inst_id,
            "request_node_id": self.request_node_id,
            "request_inst_id": self.request_inst_id,
            "auth_scope": scope,
            **{name: value for name, value in limits.items() if value is not None},
        }

    @classmethod
    def from_json(cls, audit_id: str, data: dict[str, Any]) -> PermitRow:
        """Keep a permit that a partner has issued."""
        fields = {name: value for name, value in data.items() if name != "auth_scope" and name in cls.__table__.columns}
        scope = data.get("auth_scope", {"type": ScopeType.NODE.value})
        return cls(audit_id=audit_id, scope=scope["type"], project_id=scope.get("project_id"), **fields)


def find(session: Session, audit_id: str) -> ApprovalRow | None:
    """Return an approval by its id."""
    return session.scalar(select(ApprovalRow).where(ApprovalRow.audit_id == audit_id))


def move(session: Session, row: ApprovalRow, to: Standing, now: int, comment: str | None = None) -> bool:
    """Bring an approval to a new standing; False when another transaction has moved it since it was read."""
    read = row.status
    session.refresh(row, with_for_update=True)
    if row.status != read:
        return False
    row.status, row.updated_at = to.status.value, now
    row.end_reason = None if to.end_reason is None else to.end_reason.value
    if comment is not None:
        row.comment = comment
    session.flush()
    return True


def count_use(session: Session, audit_id: str) -> bool:
    """Count one use of a permit, unless its number is spent."""
    row = session.get(PermitRow, audit_id, with_for_update=True, populate_existing=True)
    if row is None or (row.times_limit is not None and row.uses >= row.times_limit):
        return False
    row.uses += 1
    session.flush()
    return True


def in_force(
    session: Session, kind: Kind, resource_id: str, partner_node_id: str, now: int, role: Role | None = None
) -> ApprovalRow | None:
    """Return the newest approval by which a resource is agreed between this node and a partner, if there is one."""
    return next(all_in_force(session, kind, resource_id, partner_node_id, now, role), None)


def all_in_force(
    session: Session, kind: Kind, resource_id: str, partner_node_id: str, now: int, role: Role | None = None
) -> Iterator[ApprovalRow]:
    """Every approval in force of a resource between this node, at the end of `role`, and a partner; newest first."""
    wanted = (
        select(ApprovalRow)
        .outerjoin(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id)
        .where(
            ApprovalRow.kind == kind.value,
            ApprovalRow.resource_id == resource_id,
            ApprovalRow.partner_node_id == partner_node_id,
            still_good(now),
        )
        .order_by(ApprovalRow.seq.desc())
    )
    if role is not None:
        wanted = wanted.where(ApprovalRow.role == role.value)
    yield from session.scalars(wanted).all()


def still_good(now: int) -> Any:
    """Condition over approvals joined with their permits: approved, and the period has not ended."""
    return and_(
        ApprovalRow.status == Status.APPROVED.value,
        or_(PermitRow.time_limit.is_(None), PermitRow.time_limit >= now),
    )


def of_resource(session: Session, kind: Kind, resource_id: str, role: Role | None = None) -> Iterator[ApprovalRow]:
    """Every approval of a resource that is pending or in force."""
    wanted = select(ApprovalRow).where(
        ApprovalRow.kind == kind.value,
        ApprovalRow.resource_id == resource_id,
        ApprovalRow.status.in_((Status.APPLIED.value, Status.APPROVED.value)),
    )
    if role is not None:
        wanted = wanted.where(ApprovalRow.role == role.value)
    yield from session.scalars(wanted.order_by(ApprovalRow.seq)).all()
