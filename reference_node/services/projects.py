"""Projects of this node (8.2), and what each node contributes to a project.

Guarantees: a project is changed and deleted by its owner only, and the partners in it are told; datasets that are
private to this node never show in what a partner sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reference_node.domain.approval import Kind
from reference_node.domain.ids import random_id
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.services import own_approvals
from reference_node.services.approvals import Body
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, PermitRow, in_force, of_resource, still_good
from reference_node.store.contracts import ContractRow
from reference_node.store.outbox import OutboxRow
from reference_node.store.resources import DatasetRow, FlowRow, ProjectDatasetRow, ProjectRow, counts

PRIVATE = "PRIVATE"
FIELDS = ("name", "description", "type")
_OWN = Listed("project")


def create(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Create a project of this node (8.2.1-a)."""
    project_id = body.get("project_id") or random_id("prj")
    known = session.scalar(select(ProjectRow).where(ProjectRow.project_id == project_id))
    if known is not None:
        if not node.faults.on("project-id-taken-twice"):
            raise Refusal("ID_TAKEN", pointer="/project_id")
        session.delete(known)
        session.flush()
    now = node.now()
    row = ProjectRow(project_id=project_id, owner_node_id=node.node_id, created_at=now, updated_at=now)
    for name in FIELDS:
        setattr(row, name, body.get(name))
    if node.faults.on("project-description-lost"):
        row.description = None
    session.add(row)
    session.flush()
    if node.faults.on("broken-off-project-kept"):
        session.commit()
    _set_own_datasets(node, session, project_id, body.get("dataset_ids", []))
    misnamed = "project-answers-another-id" if "project_id" in body else "project-generated-id-unusable"
    return {"project_id": random_id("prj") if node.faults.on(misnamed) else project_id}


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List this node's projects with their numbers by type (8.2.2-a)."""
    wanted = select(ProjectRow).where(ProjectRow.owner_node_id == node.node_id)
    wanted = wanted.where(_OWN.found(node, query, ProjectRow.project_id, ProjectRow))
    if "type" in query and not node.faults.on("project-type-filter-ignored"):
        wanted = wanted.where(ProjectRow.type == query["type"])
    wanted = wanted.order_by(ProjectRow.seq.desc())
    page = _OWN.answer(node, session, query, wanted, lambda row: record(node, session, row))
    if node.faults.on("project-statistics-count-the-page"):
        return {**page, "statistics": {"by_type": Counter(row["type"] for row in page["records"])}}
    return {**page, "statistics": {"by_type": counts(session, wanted, ProjectRow.type)}}


def query_own(node: Node, session: Session, project_id: str) -> dict[str, Any]:
    """Return one project that this node owns or takes part in (8.2.2-c)."""
    try:
        row = visible(node, session, project_id)
    except Refusal:
        any_other = session.scalar(select(ProjectRow).where(ProjectRow.owner_node_id == node.node_id).limit(1))
        if any_other is None or not node.faults.on("project-unknown-answered"):
            raise
        row = any_other
    found = record(node, session, row)
    if node.faults.on("project-record-without-partners"):
        found["nodes"] = found["nodes"][:1]
    return found


def update(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Change a project of this node and tell the partners in it (8.2.3-a, 8.2.3-b)."""
    if node.faults.on("project-update-creates") and not _known(session, body["project_id"]):
        create(node, session, body)
    row = owned(node, session, body["project_id"])
    change = {name: body[name] for name in FIELDS if name in body}
    if node.faults.on("project-update-clears-others"):
        row.description = row.type = None
    if not node.faults.on("project-update-lost"):
        overwrite(row, change)
        if node.faults.on("project-update-touches-others"):
            for other in session.scalars(select(ProjectRow).where(ProjectRow.owner_node_id == node.node_id)):
                overwrite(other, change)
        if node.faults.on("broken-off-project-change-kept"):
            session.commit()
        if "dataset_ids" in body:
            _set_own_datasets(node, session, row.project_id, body["dataset_ids"])
    row.updated_at = node.now()
    if "dataset_ids" in body:
        change["datasets"] = offered(node, session, row.project_id)
    session.flush()
    project, owed = record(node, session, row), _owe_update(node, session, row.project_id, change)
    session.commit()
    synced = [{"contract_id": item.contract_id, "delivery": node.outbox.attempt(item)} for item in owed]
    return {"project": project, "synced": synced}


def remove(node: Node, session: Session, project_id: str) -> None:
    """Delete a project of this node with its flows, and end what was agreed about it (8.2.4-a)."""
    if node.faults.on("project-delete-of-unknown-passes") and not _known(session, project_id):
        return
    row = owned(node, session, project_id)
    flows = session.scalars(select(FlowRow).where(FlowRow.project_id == project_id)).all()
    for flow in flows:
        if any(found.status == "APPROVED" for found in of_resource(session, Kind.FLOW, flow.flow_id)):
            raise Refusal("IN_USE", pointer="/project_id")
    if node.faults.on("project-delete-does-nothing"):
        return
    owed = [item for flow in flows for item in own_approvals.end_with_resource(node, session, Kind.FLOW, flow.flow_id)]
    owed += own_approvals.end_with_resource(node, session, Kind.PROJECT, project_id)
    if node.faults.on("project-delete-takes-another"):
        others = select(ProjectRow).where(ProjectRow.owner_node_id == node.node_id, ProjectRow.seq != row.seq)
        _delete(session, session.scalars(others).all())
    _delete(session, flows)
    session.execute(delete(ProjectDatasetRow).where(ProjectDatasetRow.project_id == project_id))
    if node.faults.on("project-delete-stays-listed"):
        row.project_id = f"{project_id}.deleted"
    else:
        session.delete(row)
    session.commit()
    for item in owed:
        node.outbox.attempt(item)


def _delete(session: Session, rows: Iterable[ProjectRow | FlowRow]) -> None:
    """Delete one by one, so that each leaves a record of its own (9.2-d)."""
    for row in rows:
        session.delete(row)


def find(session: Session, project_id: str) -> ProjectRow:
    """Return a project by its id."""
    row = session.scalar(select(ProjectRow).where(ProjectRow.project_id == project_id))
    if row is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/project_id")
    return row


def visible(node: Node, session: Session, project_id: str) -> ProjectRow:
    """Return a project that this node owns or takes part in."""
    row = find(session, project_id)
    shared = row.owner_node_id != node.node_id
    if shared and in_force(session, Kind.PROJECT, project_id, row.owner_node_id, node.now()) is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/project_id")
    return row


def owned(node: Node, session: Session, project_id: str) -> ProjectRow:
    """Return a project of this node."""
    row = visible(node, session, project_id)
    if row.owner_node_id != node.node_id:
        raise Refusal("NOT_YOURS", pointer="/project_id")
    return row


def contribute(
    node: Node, session: Session, project_id: str, datasets: Iterable[Mapping[str, Any]], owners: set[str]
) -> None:
    """Replace what some nodes contribute; of this node only what exists and is not private."""
    at = ProjectDatasetRow
    session.execute(delete(at).where(at.project_id == project_id, at.node_id.in_(owners - {node.node_id})))
    for dataset in datasets:
        owner, dataset_id = dataset["owner"], dataset["dataset_id"]
        if owner not in owners or (owner == node.node_id and not _showable(session, dataset_id)):
            continue
        session.merge(at(project_id=project_id, node_id=owner, dataset_id=dataset_id))


def datasets_of(node: Node, session: Session, project_id: str, *, shown: bool) -> dict[str, list[str]]:
    """Which datasets each node contributes; `shown` leaves out what is private here."""
    at = ProjectDatasetRow
    found: dict[str, list[str]] = {}
    for row in session.scalars(select(at).where(at.project_id == project_id).order_by(at.node_id, at.dataset_id)):
        if shown and row.node_id == node.node_id and not _showable(session, row.dataset_id):
            continue
        found.setdefault(row.node_id, []).append(row.dataset_id)
    return found


def offered(node: Node, session: Session, project_id: str) -> list[dict[str, Any]]:
    """What this node contributes, as partners see it."""
    ids = datasets_of(node, session, project_id, shown=True).get(node.node_id, [])
    rows = session.scalars(select(DatasetRow).where(DatasetRow.dataset_id.in_(ids)).order_by(DatasetRow.seq))
    return [dataset_summary(node, row) for row in rows]


def partners_in(node: Node, session: Session, project_id: str) -> list[ContractRow]:
    """Return the contracts with the partners that take part in a project, one for each partner."""
    rows = session.scalars(
        select(ContractRow)
        .join(ApprovalRow, ApprovalRow.contract_id == ContractRow.contract_id)
        .outerjoin(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id)
        .where(
            ApprovalRow.kind == Kind.PROJECT.value,
            ApprovalRow.resource_id == project_id,
            still_good(node.now()),
        )
        .order_by(ApprovalRow.seq)
    )
    return list({row.partner_node_id: row for row in rows}.values())


def summary(row: ProjectRow) -> dict[str, Any]:
    """Return a project as `ProjectSummary`."""
    return without_none({"project_id": row.project_id, **{name: getattr(row, name) for name in FIELDS}})


def record(node: Node, session: Session, row: ProjectRow) -> dict[str, Any]:
    """Return a project as `ProjectRecord`."""
    partners = partners_in(node, session, row.project_id)
    nodes_ = [{"node_id": item.partner_node_id, "contract_id": item.contract_id} for item in partners]
    return {
        **summary(row),
        "owner_node_id": row.owner_node_id,
        "nodes": [{"node_id": node.node_id}, *nodes_],
        "datasets": datasets_of(node, session, row.project_id, shown=False),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def overwrite(row: ProjectRow, change: Mapping[str, Any]) -> None:
    """Put new values in the place of those that a change names."""
    for name, value in change.items():
        setattr(row, name, value)


def dataset_summary(node: Node, row: DatasetRow) -> dict[str, Any]:
    """Return a dataset as `DatasetSummary`."""
    return without_none(
        {
            "dataset_id": row.dataset_id,
            "name": row.name,
            "owner": node.node_id,
            "category": row.category,
            "count": row.count,
            "description": row.description,
        }
    )


def _known(session: Session, project_id: str) -> bool:
    return session.scalar(select(ProjectRow.seq).where(ProjectRow.project_id == project_id)) is not None


def _owe_update(node: Node, session: Session, project_id: str, change: dict[str, Any]) -> list[OutboxRow]:
    if node.faults.on("project-update-not-sent"):
        return []
    told = partners_in(node, session, project_id)
    if node.faults.on("project-update-sent-to-all"):
        told = list(session.scalars(select(ContractRow).where(ContractRow.status == "APPROVED")))
    return [
        node.outbox.put(
            session,
            contract.contract_id,
            "projectUpdate",
            {"contract_id": contract.contract_id, "project_id": project_id, **change},
        )
        for contract in told
    ]


def _set_own_datasets(node: Node, session: Session, project_id: str, dataset_ids: Iterable[str]) -> None:
    at = ProjectDatasetRow
    session.execute(delete(at).where(at.project_id == project_id, at.node_id == node.node_id))
    for index, dataset_id in enumerate(dataset_ids):
        if session.scalar(select(DatasetRow.seq).where(DatasetRow.dataset_id == dataset_id)) is None:
            raise Refusal("RESOURCE_NOT_FOUND", pointer=f"/dataset_ids/{index}")
        session.add(at(project_id=project_id, node_id=node.node_id, dataset_id=dataset_id))
    session.flush()


def _showable(session: Session, dataset_id: str) -> bool:
    visibility = session.scalar(select(DatasetRow.visibility).where(DatasetRow.dataset_id == dataset_id))
    return visibility is not None and visibility != PRIVATE
