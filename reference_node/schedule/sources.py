"""Files of this node that a task names as its inputs: datasets, and models (8.7.1, 8.7.2, 9.2-c).

Guarantees: a file is taken only from a place where data may lie (`places`); an input of the DAG of type `model` names
a model of this node, every other one a dataset; a model is used only in the project for which every other party of the
job has agreed to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, plan
from reference_node.domain.approval import Kind
from reference_node.node import Node
from reference_node.runtime.contract import Recorded
from reference_node.schedule import places
from reference_node.security import proofs
from reference_node.store.approvals import in_force
from reference_node.store.jobs import JobRow
from reference_node.store.resources import DatasetRow, ModelRow

log = structlog.get_logger("reference_node")


def kind_of(part: Mapping[str, Any], key: str) -> str:
    """Return of which kind the source of a component's input is, by the DAG."""
    found = next((port["type"] for port in part["input"] if port["key"] == key), proofs.DATASET)
    return proofs.MODEL if found == proofs.MODEL else proofs.DATASET


def find(node: Node, session: Session, kind: str, resource_id: str) -> Recorded | None:
    """Return what is on record of a source; None where there is none, or where it is no file."""
    if kind == proofs.MODEL:
        model = session.scalar(select(ModelRow).where(ModelRow.model_id == resource_id))
        place = None if model is None else model_path(node, model)
        return None if model is None or place is None else Recorded(kind, resource_id, place, model.digest)
    row = session.scalar(select(DatasetRow).where(DatasetRow.dataset_id == resource_id))
    path = None if row is None else dataset_path(node, row)
    if row is None or path is None:
        return None
    kept = (row.source or {}).get("kept")
    return Recorded(kind, resource_id, path, None if kept is None else str(kept["proof"]["digest"]), kept)


def dataset_path(node: Node, row: DatasetRow) -> Path | None:
    """Return where a dataset lies, if it is a file in a place where one may be."""
    source = row.source or {}
    return _judged(node, proofs.DATASET, str(source["location"])) if source.get("type") == "FILE" else None


def model_path(node: Node, row: ModelRow) -> Path | None:
    """Return where a model lies, if that is a place where one may be."""
    return _judged(node, proofs.MODEL, row.location)


def _judged(node: Node, kind: str, location: str) -> Path | None:
    try:
        return places.of(node, kind, location)
    except places.Outside as outside:
        log.warning("place refused", kind=kind, node_id=node.node_id, reason=str(outside))
        return None


def agreed(node: Node, session: Session, job: JobRow, model_id: str) -> bool:
    """Tell whether every other party has agreed to the use of this very model in the project of a job."""
    others = {party.node_id for party in plan.parties(job.config)} - {node.node_id}
    digest = session.scalar(select(ModelRow.digest).where(ModelRow.model_id == model_id))
    agreed_to = {"apply_project_id": job.project_id, "digest": digest}
    found = [in_force(session, Kind.MODEL, model_id, other, node.now(), Role.APPLICANT) for other in others]
    return all(
        row is not None and all(row.content.get(name) == value for name, value in agreed_to.items()) for row in found
    )
