"""Projects shared with partners that have agreed to take part (8.2.1-b, 8.2.2-b, 8.2.2-d, 8.2.3-b).

Guarantees: a partner sees a project and is told of it while its approval is in force; only the owner's changes are
taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role
from reference_node.domain.approval import Kind
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security.guards import Caller
from reference_node.services import links, nodes, projects
from reference_node.services.approvals import Body, Draft, faulty
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, PermitRow, in_force, still_good
from reference_node.store.contracts import ContractRow
from reference_node.store.resources import ProjectRow, counts

_LIMITS = ("time_limit", "times_limit")
_OPEN = {"REJECTED": "project-open-while-rejected", "TERMINATED": "project-open-while-terminated"}
_SHARED = Listed("shared-project")


class ProjectSubject:
    """A partner is asked to take part in this node's project."""

    kind = Kind.PROJECT

    def draft(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Send the project with the datasets that this node contributes."""
        del contract
        row = projects.owned(node, session, body["project_id"])
        content = without_none(
            {
                "project_id": row.project_id,
                **{name: getattr(row, name) for name in projects.FIELDS},
                "datasets": projects.offered(node, session, row.project_id),
                **{name: body.get(name) for name in _LIMITS},
            }
        )
        return Draft(row.project_id, content, row.name)

    def receive(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Take any project whose id is not somebody else's here."""
        del node
        _refuse_taken_id(session, contract.partner_node_id, body["project_id"])
        return Draft(body["project_id"], dict(body), body["name"])

    def approved(self, node: Node, session: Session, row: ApprovalRow) -> None:
        """Keep a copy of the partner's project."""
        if row.role != Role.APPROVER:
            return
        _refuse_taken_id(session, row.partner_node_id, row.resource_id)
        rejected = row.status != "APPROVED"  # only a defect comes here with a rejection
        owner = node.node_id if rejected else row.partner_node_id
        copy = session.scalar(select(ProjectRow).where(ProjectRow.project_id == row.resource_id))
        if copy is None:
            copy = ProjectRow(project_id=row.resource_id, owner_node_id=owner, created_at=node.now())
            session.add(copy)
        for name in projects.FIELDS:
            setattr(copy, name, row.content.get(name))
        if faulty(node, self.kind, "copy-differs"):
            copy.description = None
        copy.updated_at = node.now()
        session.flush()
        projects.contribute(
            node, session, row.resource_id, row.content.get("datasets", []), {row.partner_node_id, node.node_id}
        )


def list_for(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """List to a partner the projects that it shares with this node (8.2.2-b)."""
    links.with_caller(node, session, caller, query["contract_id"])
    shared = (
        select(ApprovalRow.resource_id)
        .outerjoin(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id)
        .where(ApprovalRow.kind == Kind.PROJECT.value)
    )
    if not node.faults.on("project-list-holds-undecided"):
        shared = shared.where(still_good(node.now()))
    wanted = select(ProjectRow)
    if node.faults.on("project-list-leaves-out-the-partners"):
        wanted = wanted.where(ProjectRow.owner_node_id == node.node_id)
    if not node.faults.on("project-list-open-to-strangers"):
        shared = shared.where(ApprovalRow.partner_node_id == caller.node_id)
        wanted = wanted.where(ProjectRow.project_id.in_(shared))
    wanted = wanted.order_by(ProjectRow.seq.desc())
    page = _SHARED.answer(node, session, query, wanted, projects.summary)
    return {**page, "statistics": {"by_type": counts(session, wanted, ProjectRow.type)}}


def query_for(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one shared project to a partner in it (8.2.2-d)."""
    links.with_caller(node, session, caller, query["contract_id"])
    if node.faults.on("project-query-open-to-strangers"):
        row = projects.find(session, query["project_id"])
    else:
        row = shared_with(node, session, caller.node_id, query["project_id"])
    if node.faults.on("shared-project-without-description"):
        session.expunge(row)
        row.description = None
    own = nodes.particulars(node, session)
    found = [{"node_id": node.node_id, "name": own["name"], "inst_id": own["inst_id"]}]
    for contract in projects.partners_in(node, session, row.project_id):
        named = {name: contract.partner.get(name) for name in ("name", "inst_id")}
        found.append(without_none({"node_id": contract.partner_node_id, **named}))
    if node.faults.on("shared-project-without-datasets"):
        return {**projects.summary(row), "nodes": found, "datasets": {}}
    return {
        **projects.summary(row),
        "nodes": found,
        "datasets": projects.datasets_of(node, session, row.project_id, shown=True),
    }


def receive_update(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Take over what the owner of a shared project has changed (8.2.3-b)."""
    links.with_caller(node, session, caller, body["contract_id"])
    if node.faults.on("project-update-by-stranger-taken"):
        row = projects.find(session, body["project_id"])
    else:
        row = shared_with(node, session, caller.node_id, body["project_id"])
        if row.owner_node_id != caller.node_id:
            raise Refusal("NOT_YOURS", pointer="/project_id")
    if node.faults.on("project-sync-ignored"):
        return
    if node.faults.on("project-sync-clears-others"):
        row.description = row.type = None
    projects.overwrite(row, {name: body[name] for name in projects.FIELDS if name in body})
    row.updated_at = node.now()
    if "datasets" in body and not node.faults.on("project-sync-keeps-old-datasets"):
        projects.contribute(node, session, row.project_id, body["datasets"], {caller.node_id})


def shared_with(node: Node, session: Session, partner_node_id: str, project_id: str) -> ProjectRow:
    """Return a project in which this node and a partner take part; to a stranger it does not exist."""
    if in_force(session, Kind.PROJECT, project_id, partner_node_id, node.now()) is not None:
        return projects.find(session, project_id)
    known = select(ApprovalRow.status).where(
        ApprovalRow.kind == Kind.PROJECT.value,
        ApprovalRow.resource_id == project_id,
        ApprovalRow.partner_node_id == partner_node_id,
    )
    status = session.scalar(known.limit(1))
    if node.faults.on(_OPEN.get(status or "", "")):
        return projects.find(session, project_id)
    raise Refusal("PERMIT_MISSING" if status else "RESOURCE_NOT_FOUND", pointer="/project_id")


def _refuse_taken_id(session: Session, partner_node_id: str, project_id: str) -> None:
    """One id is one project on this node: another owner's cannot be taken over."""
    row = session.scalar(select(ProjectRow).where(ProjectRow.project_id == project_id))
    if row is not None and row.owner_node_id != partner_node_id:
        raise Refusal("ID_TAKEN", pointer="/project_id")
