"""Files of this node that a task names as its inputs: datasets, and models (8.7.1, 8.7.2, 9.2-c).

Guarantees: an input of the DAG of type `model` names a model of this node, every other one a dataset; a model is used
only in the project for which every other party of the job has agreed to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, plan
from reference_node.domain.approval import Kind
from reference_node.node import Node
from reference_node.runtime.contract import Recorded
from reference_node.security import proofs
from reference_node.store.approvals import in_force
from reference_node.store.jobs import JobRow
from reference_node.store.resources import DatasetRow, ModelRow

_FILE = "file://"


def kind_of(part: Mapping[str, Any], key: str) -> str:
    """Return of which kind the source of a component's input is, by the DAG."""
    found = next((port["type"] for port in part["input"] if port["key"] == key), proofs.DATASET)
    return proofs.MODEL if found == proofs.MODEL else proofs.DATASET


def find(node: Node, session: Session, kind: str, resource_id: str) -> Recorded | None:
    """Return what is on record of a source; None where there is none, or where it is no file."""
    if kind == proofs.MODEL:
        model = session.scalar(select(ModelRow).where(ModelRow.model_id == resource_id))
        return None if model is None else Recorded(kind, resource_id, model_path(node, model), model.digest)
    row = session.scalar(select(DatasetRow).where(DatasetRow.dataset_id == resource_id))
    path = None if row is None else dataset_path(node, row)
    if row is None or path is None:
        return None
    kept = (row.source or {}).get("kept")
    return Recorded(kind, resource_id, path, None if kept is None else str(kept["proof"]["digest"]), kept)


def dataset_path(node: Node, row: DatasetRow) -> Path | None:
    """Return where a dataset lies, if it is a file; a relative one lies in the data folder."""
    source = row.source or {}
    if source.get("type") != "FILE":
        return None
    return (node.config.data or Path()) / str(source["location"])


def model_path(node: Node, row: ModelRow) -> Path:
    """Return where a model lies; a relative place is one in the data folder."""
    return (node.config.data or Path()) / row.location.removeprefix(_FILE)


def agreed(node: Node, session: Session, job: JobRow, model_id: str) -> bool:
    """Tell whether every other party has agreed to the use of this very model in the project of a job."""
    others = {party.node_id for party in plan.parties(job.config)} - {node.node_id}
    digest = session.scalar(select(ModelRow.digest).where(ModelRow.model_id == model_id))
    agreed_to = {"apply_project_id": job.project_id, "digest": digest}
    found = [in_force(session, Kind.MODEL, model_id, other, node.now(), Role.APPLICANT) for other in others]
    return all(
        row is not None and all(row.content.get(name) == value for name, value in agreed_to.items()) for row in found
    )
