"""Datasets (8.7.1): recorded with source and visibility, shown to partners as far as that goes, granted and withdrawn.

Guarantees: a PRIVATE dataset does not exist for partners, whatever was granted before; a PROTECTED one only for those
with a permit; where the data lie is for this node's operator only; visibility holds as soon as it is set (9.2-b-4).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from reference_node.domain import EndReason, Role
from reference_node.domain.approval import Kind
from reference_node.domain.ids import random_id
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import permitted
from reference_node.security.guards import Caller
from reference_node.security.sm2 import sm3
from reference_node.services import links, permits, projects, vouching
from reference_node.services.approvals import Body
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, PermitRow, of_resource, still_good
from reference_node.store.resources import DatasetRow, ProjectDatasetRow, ProjectRow

log = structlog.get_logger("reference_node")
PUBLIC, PROTECTED, PRIVATE = "PUBLIC", "PROTECTED", projects.PRIVATE
_SHOWN = ("join_columns", "label_columns", "column_metas")
_FIELDS = ("name", "category", "count", "description", *_SHOWN, "source", "visibility")
_OWN, _PUBLIC, _GRANTED = Listed("dataset"), Listed("public-dataset"), Listed("granted-dataset")


def create(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Record a dataset of this node (8.7.1.1)."""
    dataset_id = body.get("dataset_id") or random_id("ds")
    if node.faults.on("dataset-id-replaced"):
        dataset_id = random_id("ds")
    if "dataset_id" not in body and node.faults.on("dataset-generated-id-repeats"):
        dataset_id = "ds-generated"
        if session.scalar(select(DatasetRow).where(DatasetRow.dataset_id == dataset_id)) is not None:
            return {"dataset_id": dataset_id}
    known = session.scalar(select(DatasetRow).where(DatasetRow.dataset_id == dataset_id))
    if known is not None:
        if node.faults.on("dataset-overwritten-when-refused"):
            known.name = body["name"]
            session.commit()
        if not node.faults.on("dataset-id-reused"):
            raise Refusal("ID_TAKEN", pointer="/dataset_id")
        session.delete(known)
        session.flush()
    row = DatasetRow(dataset_id=dataset_id, created_at=node.now(), updated_at=node.now())
    for name in _FIELDS:
        setattr(row, name, body.get(name, PRIVATE if name == "visibility" else None))
    row.source = vouching.record(node, dataset_id, row.source)
    if node.faults.on("dataset-source-lost"):
        row.source = None
    if node.faults.on("dataset-not-kept"):
        return {"dataset_id": dataset_id}
    session.add(row)
    _leak(node, row, body)
    _set_projects(node, session, dataset_id, body.get("project_ids", []))
    return {"dataset_id": dataset_id}


def _leak(node: Node, row: DatasetRow, body: Body) -> None:
    """Let the place of a dataset out of the sealed column, for the faults that do."""
    location = str((body.get("source") or {}).get("location", ""))
    place = location.removeprefix("store/").removesuffix(".csv")
    if node.faults.on("dataset-source-kept-in-clear"):
        row.folded += location
    if node.faults.on("dataset-source-kept-in-base64"):
        row.folded += base64.b64encode(location.encode()).decode()
    if node.faults.on("dataset-source-kept-unsalted"):
        row.folded += sm3(place.encode()).hex()
    if node.faults.on("dataset-source-logged"):
        log.warning("dataset registered", location=location)


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List this node's datasets, with a project those of it (8.7.1.2-b)."""
    wanted = select(DatasetRow).where(_OWN.found(node, query, DatasetRow.dataset_id, DatasetRow))
    if "visibility" in query and not node.faults.on("dataset-visibility-not-selected"):
        wanted = wanted.where(DatasetRow.visibility == query["visibility"])
    if "project_id" in query and not node.faults.on("dataset-list-mixes-projects"):
        at = ProjectDatasetRow
        in_project = (at.project_id == query["project_id"], at.node_id == node.node_id)
        wanted = wanted.where(exists().where(*in_project, at.dataset_id == DatasetRow.dataset_id))
        if node.faults.on("dataset-list-omits-private"):
            wanted = wanted.where(DatasetRow.visibility != PRIVATE)
    wanted = wanted.order_by(DatasetRow.seq.desc())
    return _OWN.answer(node, session, query, wanted, lambda row: record(node, session, row))


def query_own(node: Node, session: Session, dataset_id: str) -> dict[str, Any]:
    """Return one dataset of this node (8.7.1.2-e)."""
    try:
        row = find(session, dataset_id)
    except Refusal:
        any_other = session.scalar(select(DatasetRow).limit(1))
        if any_other is None or not node.faults.on("dataset-unknown-answered"):
            raise
        row = any_other
    found = record(node, session, row)
    if node.faults.on("dataset-visibility-misreported"):
        found["visibility"] = PUBLIC
    if node.faults.on("dataset-columns-lost"):
        found.pop("column_metas", None)
    return found


def update(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Change what is known of a dataset, or who may see it."""
    row = find(session, body["dataset_id"])
    _refuse_exchange(session, row, body)
    before = row.visibility
    if node.faults.on("dataset-update-clears-the-rest"):
        row.category = None
    if not node.faults.on("dataset-update-lost"):
        for name in _FIELDS:
            if name in body:
                setattr(row, name, body[name])
        if "source" in body:
            row.source = vouching.record(node, row.dataset_id, body["source"])
        if "project_ids" in body:
            _set_projects(node, session, row.dataset_id, body["project_ids"])
    if before == PUBLIC and node.faults.on("visibility-not-narrowed"):
        row.visibility = before
    if row.visibility != before:
        session.flush()
        permitted.review(node, session)
    row.updated_at = node.now()
    return record(node, session, row)


def _refuse_exchange(session: Session, row: DatasetRow, body: Body) -> None:
    """Keep a grant to the data that it was given for: another source or other columns need another grant (9.2-b-1).

    The same place recorded anew, with what it holds today, is the same data set.
    """
    places = (vouching.place(row.source), body.get("source"))
    moved = "source" in body and any(
        (places[0] or {}).get(name) != (places[1] or {}).get(name) for name in ("type", "location")
    )
    recast = row.column_metas is not None and "column_metas" in body and body["column_metas"] != row.column_metas
    changed = "/source" if moved else "/column_metas" if recast else None
    if changed is not None and any(of_resource(session, Kind.DATASET, row.dataset_id, Role.APPROVER)):
        raise Refusal("IN_USE", pointer=changed)


def remove(node: Node, session: Session, dataset_id: str) -> None:
    """Delete a dataset that no project and no grant, pending or in force, uses."""
    row = find(session, dataset_id)
    at = ProjectDatasetRow
    mine = (at.node_id == node.node_id, at.dataset_id == dataset_id)
    used = select(at.project_id).join(ProjectRow, ProjectRow.project_id == at.project_id).where(*mine)
    if any(of_resource(session, Kind.DATASET, dataset_id, Role.APPROVER)) or session.scalar(used.limit(1)) is not None:
        raise Refusal("IN_USE", pointer="/dataset_id")
    if node.faults.on("dataset-delete-does-nothing"):
        return
    if node.faults.on("dataset-delete-takes-another"):
        for other in session.scalars(select(DatasetRow).where(DatasetRow.name == row.name, DatasetRow.seq != row.seq)):
            session.delete(other)
    session.execute(delete(at).where(*mine))
    session.delete(row)


def list_public(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """List to a partner the datasets that are public (8.7.1.2-a)."""
    links.with_caller(node, session, caller, query["contract_id"])
    shown = [PUBLIC]
    if node.faults.on("protected-dataset-listed"):
        shown.append(PROTECTED)
    if node.faults.on("private-dataset-listed"):
        shown.append(PRIVATE)
    wanted = select(DatasetRow).where(DatasetRow.visibility.in_(shown)).order_by(DatasetRow.seq.desc())
    page = _PUBLIC.answer(node, session, query, wanted, lambda row: public_view(node, row))
    if len(page["records"]) > 1 and node.faults.on("public-dataset-list-cut-short"):
        page |= {"records": page["records"][1:], "total": page["total"] - 1}
    return page


def list_granted(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """List to a partner the datasets granted to it, without the public ones (8.7.1.2-c)."""
    links.with_caller(node, session, caller, query["contract_id"])
    wanted = (
        select(ApprovalRow)
        .join(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id)
        .join(DatasetRow, DatasetRow.dataset_id == ApprovalRow.resource_id)
        .where(ApprovalRow.kind == Kind.DATASET.value, ApprovalRow.role == Role.APPROVER.value)
    )
    over = [still_good(node.now())]
    if node.faults.on("revoked-grant-listed"):
        over.append(ApprovalRow.end_reason == EndReason.REVOKED.value)
    if node.faults.on("expired-grant-listed"):
        over.append(PermitRow.time_limit < node.now())
    wanted = wanted.where(or_(*over))
    if not node.faults.on("grants-of-others-listed"):
        wanted = wanted.where(ApprovalRow.partner_node_id == caller.node_id)
    wanted = wanted.where(DatasetRow.visibility == PROTECTED).order_by(ApprovalRow.seq.desc())
    page = _GRANTED.answer(node, session, query, wanted, lambda row: _granted(node, session, row))
    if page["total"] > 2 and node.faults.on("granted-dataset-list-cut-short"):
        page |= {"records": page["records"][:2], "total": 2}
    if node.faults.on("public-dataset-among-granted"):
        public = session.scalars(select(DatasetRow).where(DatasetRow.visibility == PUBLIC)).all()
        page["records"] += [{**public_view(node, row), "audit_id": "audit-of-none"} for row in public]
        page["total"] += len(public)
    return page


def query_for(node: Node, session: Session, caller: Caller, query: Mapping[str, Any], token_set: str) -> dict[str, Any]:
    """Describe a dataset to a partner, if it is public or a permit for it is shown (8.7.1.2-d, 9.2-b-2)."""
    links.with_caller(node, session, caller, query["contract_id"])
    row = find(session, query["dataset_id"])
    if row.visibility == PRIVATE and not node.faults.on("private-dataset-answered"):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/dataset_id")
    if row.visibility == PROTECTED:
        asked = permits.Asked(caller.node_id, Kind.DATASET, row.dataset_id, query.get("project_id"), token_set)
        try:
            permits.admit(node, session, asked)
        except Refusal as refusal:
            if node.faults.on("permit-refusal-discloses"):
                refusal.extra["dataset"] = public_view(node, row)
            if refusal.name == "RESOURCE_NOT_FOUND":  # answered like one that does not exist, to the letter
                refusal.pointer = "/dataset_id"
            raise
    return public_view(node, row, whole=True)


def find(session: Session, dataset_id: str) -> DatasetRow:
    """Return a dataset of this node."""
    row = session.scalar(select(DatasetRow).where(DatasetRow.dataset_id == dataset_id))
    if row is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/dataset_id")
    return row


def public_view(node: Node, row: DatasetRow, *, whole: bool = False) -> dict[str, Any]:
    """Return a dataset as partners see it: `PublicDataset`, with its columns where it is asked for alone."""
    shown = projects.dataset_summary(node, row) | without_none({name: getattr(row, name) for name in _SHOWN})
    if whole:
        shown.setdefault("column_metas", [])
    if whole and row.visibility == PUBLIC and node.faults.on("public-dataset-without-columns"):
        shown["column_metas"] = []
    if row.source is not None and node.faults.on("dataset-source-disclosed"):
        shown["source"] = vouching.place(row.source)
    if row.source is not None and node.faults.on("dataset-source-told-encoded"):
        shown["description"] = str(row.source.get("location", "")).encode().hex()
    return shown


def record(node: Node, session: Session, row: DatasetRow) -> dict[str, Any]:
    """Return a dataset as `DatasetRecord`."""
    at = ProjectDatasetRow
    mine = select(at.project_id).where(at.node_id == node.node_id, at.dataset_id == row.dataset_id)
    more = {name: getattr(row, name) for name in (*_SHOWN, "visibility")}
    more |= {"source": vouching.place(row.source), "proof": vouching.proof_of(row.source)}
    return {
        **projects.dataset_summary(node, row),
        **without_none(more),
        "project_ids": list(session.scalars(mine.order_by(at.project_id))),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _granted(node: Node, session: Session, approval: ApprovalRow) -> dict[str, Any]:
    permit = session.get_one(PermitRow, approval.audit_id).to_json()
    limits = {name: permit.get(name) for name in ("auth_scope", "time_limit", "times_limit")}
    shown = public_view(node, find(session, approval.resource_id))
    return {**shown, "audit_id": approval.audit_id, **without_none(limits)}


def _set_projects(node: Node, session: Session, dataset_id: str, project_ids: list[str]) -> None:
    """Say in which projects the dataset is; a project may be named before it comes to this node."""
    at = ProjectDatasetRow
    session.execute(delete(at).where(at.node_id == node.node_id, at.dataset_id == dataset_id))
    session.add_all(at(project_id=item, node_id=node.node_id, dataset_id=dataset_id) for item in project_ids)
    session.flush()
