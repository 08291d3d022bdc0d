"""Models (8.7.2): recorded with their digest, and agreed with a partner before they are used in a project.

Guarantees: where a model's file lies is for this node's operator only; partners learn digest, task, job and project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain.approval import Kind
from reference_node.domain.ids import random_id
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import places
from reference_node.security import proofs
from reference_node.services import vouching
from reference_node.services.approvals import Body, Draft, faulty
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, in_force, of_resource
from reference_node.store.contracts import ContractRow
from reference_node.store.resources import ModelRow, counts

_FIELDS = ("name", "project_id", "job_id", "task_id", "algorithm", "location", "digest", "description")
_LIMITS = ("time_limit", "times_limit")
_LIST = Listed("model")


class ModelSubject:
    """A partner is asked to agree to the use of a model of this node, or its fragment."""

    kind = Kind.MODEL

    def draft(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Send digest, task, job and project of the model."""
        row = find(session, body["model_id"])
        project_id = body.get("project_id", row.project_id)
        _demand_project(node, session, contract, project_id, "/project_id")
        content = {"model_id": row.model_id, "apply_project_id": project_id, "digest": row.digest}
        content |= {name: getattr(row, name) for name in ("job_id", "task_id")}
        content |= {name: body.get(name) for name in _LIMITS}
        content["proof"] = vouching.model_proof(node, contract, row.model_id, row.digest)
        if faulty(node, self.kind, "digest-not-sent"):
            del content["digest"]
        return Draft(row.model_id, without_none(content), row.name)

    def receive(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Take a model that is to be used in a common project."""
        _demand_project(node, session, contract, body["apply_project_id"], "/apply_project_id")
        vouching.check_model(node, contract, body)
        content = dict(body)
        if faulty(node, self.kind, "digest-not-kept"):
            content.pop("digest", None)
        return Draft(body["model_id"], content)

    def approved(self, node: Node, session: Session, row: ApprovalRow) -> None:
        """Nothing beside the permit comes of it."""


def create(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Record a model of this node."""
    model_id = body.get("model_id") or random_id("model")
    known = session.scalar(select(ModelRow).where(ModelRow.model_id == model_id))
    if known is not None:
        if not node.faults.on("model-overwritten"):
            raise Refusal("ID_TAKEN", pointer="/model_id")
        session.delete(known)
        session.flush()
    places.demand(node, proofs.MODEL, str(body["location"]), "/location")
    fields = {name: body.get(name) for name in _FIELDS}
    if node.faults.on("model-not-kept"):
        return {"model_id": model_id}
    session.add(ModelRow(model_id=model_id, **fields, created_at=node.now(), updated_at=node.now()))
    return {"model_id": model_id}


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List this node's models, with a project those of it, and their numbers by algorithm (8.7.2.1-a)."""
    wanted = select(ModelRow).where(_LIST.found(node, query, ModelRow.model_id, ModelRow))
    if "project_id" in query and not node.faults.on("model-list-mixes-projects"):
        wanted = wanted.where(ModelRow.project_id == query["project_id"])
    wanted = wanted.order_by(ModelRow.seq.desc())
    page = _LIST.answer(node, session, query, wanted, record)
    if page["total"] > 2 and node.faults.on("model-list-cut-short"):
        page |= {"records": page["records"][:2], "total": 2}
    statistics = counts(session, wanted, ModelRow.algorithm)
    if node.faults.on("model-statistics-left-empty"):
        statistics = {}
    return {**page, "statistics": {"by_algorithm": statistics}}


def query_own(node: Node, session: Session, model_id: str) -> dict[str, Any]:
    """Return one model (8.7.2.1-b)."""
    try:
        row = find(session, model_id)
    except Refusal:
        any_other = session.scalar(select(ModelRow).limit(1))
        if any_other is None or not node.faults.on("model-unknown-answered"):
            raise
        row = any_other
    answer = record(row)
    if node.faults.on("model-location-wrong"):
        answer["location"] = "models/elsewhere.bin"
    if node.faults.on("model-task-lost"):
        answer.pop("task_id", None)
    if node.faults.on("model-algorithm-wrong"):
        answer["algorithm"] = "unknown"
    if node.faults.on("model-digest-in-lower-case"):
        answer["digest"] = row.digest.lower()
    if node.faults.on("model-time-in-seconds"):
        answer["created_at"] = row.created_at // 1000
    return answer


def remove(node: Node, session: Session, model_id: str) -> None:
    """Forget a model for which no approval is pending or in force."""
    row = find(session, model_id)
    if any(of_resource(session, Kind.MODEL, model_id)):
        raise Refusal("IN_USE", pointer="/model_id")
    if node.faults.on("model-delete-takes-another"):
        for other in session.scalars(select(ModelRow).where(ModelRow.project_id == row.project_id)):
            session.delete(other)
    elif not node.faults.on("model-delete-does-nothing"):
        session.delete(row)


def find(session: Session, model_id: str) -> ModelRow:
    """Return a model by its id."""
    row = session.scalar(select(ModelRow).where(ModelRow.model_id == model_id))
    if row is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/model_id")
    return row


def record(row: ModelRow) -> dict[str, Any]:
    """Return a model as `ModelRecord`."""
    fields = {name: getattr(row, name) for name in _FIELDS}
    return without_none({"model_id": row.model_id, **fields, "created_at": row.created_at})


def _demand_project(node: Node, session: Session, contract: ContractRow, project_id: str, pointer: str) -> None:
    """A model is offered only to a partner that takes part in the project where it is to be used."""
    if in_force(session, Kind.PROJECT, project_id, contract.partner_node_id, node.now()) is None:
        raise Refusal("RESOURCE_NOT_APPROVED", pointer=pointer)
