"""Flows (8.3): written in a project, agreed with partners, and settled by the first agreement.

Guarantees: ids are snowflakes that are never made twice, deleted flows and restarts included (8.3.1); a DAG is valid
when it is kept (8.3.1-dag), and does not change while an approval is pending nor after one was given; a flow is offered
only to a partner in its project; a partner's approved flow is kept as a copy that only its owner can replace.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, exists, not_, select
from sqlalchemy.orm import Session

from reference_node.domain import Role, Status, consent, dag
from reference_node.domain.approval import Kind
from reference_node.domain.ids import Snowflake, machine_of
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.services import own_approvals, projects
from reference_node.services.approvals import Body, Draft
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, in_force, of_resource
from reference_node.store.contracts import ContractRow
from reference_node.store.resources import FlowRow, LastFlowIdRow

_FIELDS = ("name", "description", "dag", "config")
_LIMITS = ("time_limit", "times_limit")
_LIST = Listed("flow")
_NOT_UPDATED = {
    "name": "flow-name-not-updated",
    "description": "flow-name-not-updated",
    "dag": "flow-dag-not-updated",
    "config": "flow-config-not-updated",
}
_DAG_DEFECTS = {  # which deliberate defect lets pass what the rules refuse
    "the component depends on its own output": "circular-dag-accepted",
    "the name is taken": "dag-with-double-name-accepted",
    "no component has this output": "dangling-dag-accepted",
}


class FlowSubject:
    """A partner is asked to agree to this node's flow."""

    kind = Kind.FLOW

    def draft(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Send the flow to a partner in its project."""
        row = owned(node, session, body["flow_id"])
        if body.get("project_id", row.project_id) != row.project_id:
            raise Refusal("REQUEST_INVALID", pointer="/project_id")
        if not node.faults.on("flow-project-not-demanded"):
            _demand_project(node, session, contract, row.project_id)
        content: dict[str, Any] = {"flow_id": row.flow_id, "project_id": row.project_id}
        content |= {name: getattr(row, name) for name in _FIELDS} | {name: body.get(name) for name in _LIMITS}
        if node.faults.on("flow-offer-dag-cut-short"):
            content["dag"] = {**row.dag, "components": row.dag["components"][:1]}
        return Draft(row.flow_id, without_none(content), row.name)

    def receive(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Take a valid flow of a common project, under an id that is not another owner's; a settled DAG stays."""
        check_dag(node, body, "dag-of-partner-unchecked")
        if "project_id" in body and not node.faults.on("flow-application-project-not-demanded"):
            _demand_project(node, session, contract, body["project_id"])
        _check_open_params(body)
        self._refuse_other(session, contract.partner_node_id, body)
        return Draft(body["flow_id"], dict(body), body["name"])

    def approved(self, node: Node, session: Session, row: ApprovalRow) -> None:
        """Settle the flow: this node's own, or the copy of the partner's that is kept from now on."""
        if row.role == Role.APPLICANT:
            flow = session.scalar(select(FlowRow).where(FlowRow.flow_id == row.resource_id))
            if flow is not None:
                flow.settled = True
            return
        self._refuse_other(session, row.partner_node_id, row.content)
        if "project_id" not in row.content:
            return
        copy = session.scalar(select(FlowRow).where(FlowRow.flow_id == row.resource_id))
        if copy is None:
            ids = {"flow_id": row.resource_id, "owner_node_id": row.partner_node_id}
            copy = FlowRow(**ids, version=0, created_at=node.now())
            session.add(copy)
        copy.project_id = row.content["project_id"]
        for name in _FIELDS:
            setattr(copy, name, row.content.get(name))
        copy.settled, copy.version, copy.updated_at = True, (copy.version or 0) + 1, node.now()

    def _refuse_other(self, session: Session, partner_node_id: str, content: Body) -> None:
        known = session.scalar(select(FlowRow).where(FlowRow.flow_id == content["flow_id"]))
        if known is None:
            return
        if known.owner_node_id != partner_node_id:
            raise Refusal("ID_TAKEN", pointer="/flow_id")
        if not consent.same(known.dag, content["dag"]):
            raise Refusal("DAG_FROZEN", pointer="/dag")


def create(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Write a flow in a project of this node, or one that it takes part in (8.3.1)."""
    if not node.faults.on("flow-in-unknown-project"):
        projects.visible(node, session, body["project_id"])
    if "config" not in body and node.faults.on("flow-needs-config"):
        raise Refusal("REQUEST_INVALID", pointer="/config")
    check_dag(node, body)
    _check_open_params(body)
    now = node.now()
    flow_id = _new_id(node, session)
    session.flush()
    row = session.scalar(select(FlowRow).where(FlowRow.flow_id == flow_id))
    if row is None:
        row = FlowRow(flow_id=flow_id, owner_node_id=node.node_id, created_at=now)
        session.add(row)
    row.project_id, row.updated_at = body["project_id"], now
    for name in _FIELDS:
        setattr(row, name, body.get(name))
    if node.faults.on("flow-parameters-kept-in-clear"):
        row.folded += json.dumps(body.get("config"))
    if node.faults.on("flow-parameters-kept-in-utf-16"):
        row.folded += json.dumps(body.get("config")).encode("utf-16-le").decode("latin-1")
    if node.faults.on("flow-config-lost"):
        row.config = None
    if node.faults.on("flow-description-lost"):
        row.description = None
    return {"flow_id": flow_id}


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List the flows of a project (8.3.2-a)."""
    projects.visible(node, session, query["project_id"])
    wanted = select(FlowRow).where(_LIST.found(node, query, FlowRow.flow_id, FlowRow))
    if not node.faults.on("flow-list-mixes-projects"):
        wanted = wanted.where(FlowRow.project_id == query["project_id"])
    if "status" in query and not node.faults.on("flow-status-filter-ignored"):
        wanted = wanted.where(_stands(query["status"]))
    wanted = wanted.order_by(FlowRow.seq.desc())
    return _LIST.answer(node, session, query, wanted, lambda row: summary(session, row))


def query_own(node: Node, session: Session, flow_id: str) -> dict[str, Any]:
    """Return one flow with its DAG and configuration (8.3.2-b)."""
    try:
        row = find(session, flow_id)
    except Refusal:
        any_other = session.scalar(select(FlowRow).limit(1))
        if any_other is None or not node.faults.on("flow-unknown-answered"):
            raise
        row = any_other
    answer = record(session, row)
    if node.faults.on("flow-dag-cut-short"):
        answer["dag"] = {**row.dag, "components": row.dag["components"][:1]}
    if node.faults.on("flow-status-always-draft"):
        answer["status"] = "DRAFT"
    return answer


def update(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Change a flow of this node (8.3.4); its DAG only while nothing is asked for or agreed (8.3.1-dag)."""
    row = owned(node, session, body["flow_id"])
    if "name" in body and node.faults.on("broken-off-flow-change-kept"):
        row.name = body["name"]
        session.commit()
    if "dag" in body and not consent.same(body["dag"], row.dag):
        pending = any(of_resource(session, Kind.FLOW, row.flow_id))
        too_late = "dag-changes-after-approval" if row.settled else "dag-changes-in-review"
        if (pending or row.settled) and not node.faults.on(too_late):
            raise Refusal("DAG_FROZEN", pointer="/dag")
        check_dag(node, body, "dag-unchecked-on-update")
    _check_open_params(body)
    if row.settled and node.faults.on("flow-frozen-whole"):
        raise Refusal("DAG_FROZEN", pointer="/name")
    if node.faults.on("flow-update-clears-others"):
        row.description = row.config = None
    touched = [row]
    if node.faults.on("flow-update-touches-others"):
        touched += session.scalars(select(FlowRow).where(FlowRow.project_id == row.project_id)).all()
    for name in _FIELDS:
        if name in body and not node.faults.on(_NOT_UPDATED[name]):
            for each in touched:
                setattr(each, name, body[name])
    if not node.faults.on("flow-version-stands-still"):
        row.version += 1
    row.updated_at = node.now()
    return record(session, row)


def remove(node: Node, session: Session, flow_id: str) -> None:
    """Delete a flow of this node and end what was asked for or agreed about it (8.3.5)."""
    row = owned(node, session, flow_id)
    if node.faults.on("flow-delete-does-nothing"):
        return
    owed = own_approvals.end_with_resource(node, session, Kind.FLOW, flow_id)
    if node.faults.on("flow-delete-takes-another"):
        for other in session.scalars(select(FlowRow).where(FlowRow.project_id == row.project_id)):
            session.delete(other)
    session.delete(row)
    session.commit()
    for item in owed:
        node.outbox.attempt(item)


def find(session: Session, flow_id: str) -> FlowRow:
    """Return a flow by its id."""
    row = session.scalar(select(FlowRow).where(FlowRow.flow_id == flow_id))
    if row is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/flow_id")
    return row


def owned(node: Node, session: Session, flow_id: str) -> FlowRow:
    """Return a flow of this node."""
    row = find(session, flow_id)
    if row.owner_node_id != node.node_id:
        raise Refusal("NOT_YOURS", pointer="/flow_id")
    return row


def check_dag(node: Node, body: Body, unchecked: str = "") -> None:
    """Refuse a DAG that cannot run; `unchecked` names the defect of not doing so at this place."""
    try:
        dag.check(body["dag"])
    except dag.DagInvalid as invalid:
        overlooked = _DAG_DEFECTS.get(invalid.why, "")
        if not node.faults.on(overlooked) and not node.faults.on(unchecked):
            raise


def _check_open_params(body: Body) -> None:
    """Refuse a configuration that leaves open what is never open."""
    if "config" in body:
        consent.open_params(body["config"])


def status_of(session: Session, flow_id: str) -> str:
    """DRAFT, IN_REVIEW while an approval is pending, APPROVED while one is in force and none is pending."""
    found = {row.status for row in of_resource(session, Kind.FLOW, flow_id)}
    if Status.APPLIED in found:
        return "IN_REVIEW"
    return "APPROVED" if Status.APPROVED in found else "DRAFT"


def summary(session: Session, row: FlowRow) -> dict[str, Any]:
    """Return a flow as `FlowSummary`."""
    return without_none(
        {
            "flow_id": row.flow_id,
            "project_id": row.project_id,
            "name": row.name,
            "description": row.description,
            "owner_node_id": row.owner_node_id,
            "status": status_of(session, row.flow_id),
            "version": row.version or 1,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def record(session: Session, row: FlowRow) -> dict[str, Any]:
    """Return a flow as `FlowRecord`."""
    return {**summary(session, row), **without_none({"dag": row.dag, "config": row.config})}


def _stands(status: str) -> ColumnElement[bool]:
    """Condition of `status_of`."""

    def has(wanted: Status) -> ColumnElement[bool]:
        return exists().where(
            ApprovalRow.kind == Kind.FLOW.value,
            ApprovalRow.resource_id == FlowRow.flow_id,
            ApprovalRow.status == wanted.value,
        )

    if status == "IN_REVIEW":
        return has(Status.APPLIED)
    agreed = has(Status.APPROVED) if status == "APPROVED" else not_(has(Status.APPROVED))
    return not_(has(Status.APPLIED)) & agreed


def _demand_project(node: Node, session: Session, contract: ContractRow, project_id: str) -> None:
    """A flow is offered only to a partner that takes part in its project."""
    agreed = in_force(session, Kind.PROJECT, project_id, contract.partner_node_id, node.now())
    if agreed is None:
        raise Refusal("RESOURCE_NOT_APPROVED", pointer="/project_id")


def _new_id(node: Node, session: Session) -> str:
    """Make a flow id and remember it, so that no later one repeats it."""
    if node.faults.on("flow-id-is-random"):
        return f"flow-{secrets.token_hex(8)}"
    last = session.get(LastFlowIdRow, node.node_id, with_for_update=True)
    if last is not None and node.faults.on("flow-id-repeats"):
        return last.flow_id
    flow_id = Snowflake(machine_of(node.node_id), last_id=None if last is None else last.flow_id).next_id(node.now())
    session.merge(LastFlowIdRow(node_id=node.node_id, flow_id=flow_id))
    return flow_id
