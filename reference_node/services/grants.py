"""Grants of datasets (8.7.1.2-f, 8.7.1.3): applied for, given without having been asked, and listed on both ends.

Guarantees: a grant names an existing dataset that is not private and, where its scope is a project, one in which both
nodes take part; a dataset that is granted actively is in force at its owner and told to the partner in one step.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, Status, approval
from reference_node.domain.approval import Decision, Kind
from reference_node.domain.ids import random_id
from reference_node.domain.permit import Limits
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security.guards import Caller
from reference_node.services import approvals, datasets, links, own_approvals, permits, projects
from reference_node.services.approvals import Body, Draft
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow, PermitRow, find, in_force
from reference_node.store.contracts import ContractRow

_LIST = Listed("dataset-grant")
_ASKED = ("dataset_id", "auth_scope", "time_limit", "times_limit")
_MODES = {"OUT": Role.APPROVER, "IN": Role.APPLICANT}


class DatasetSubject:
    """A partner is asked for the use of its dataset."""

    kind = Kind.DATASET

    def draft(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Ask for a dataset, within a common project if the scope is one."""
        _check_scope(node, session, contract, body)
        return Draft(body["dataset_id"], {name: body[name] for name in _ASKED if name in body})

    def receive(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Take an application for any dataset that may be shared at all."""
        row = datasets.find(session, body["dataset_id"])
        if row.visibility == datasets.PRIVATE and not node.faults.on("private-dataset-applied-for"):
            raise Refusal("RESOURCE_NOT_FOUND", pointer="/dataset_id")
        _check_scope(node, session, contract, body)
        return Draft(row.dataset_id, dict(body), row.name)

    def approved(self, node: Node, session: Session, row: ApprovalRow) -> None:
        """Nothing beside the permit comes of it."""


def grant(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Grant a dataset of this node to a partner that has not asked (8.7.1.3-c)."""
    contract = links.of_this_node(node, session, body["contract_id"])
    permits.check_period(node, body)
    dataset = datasets.find(session, body["dataset_id"])
    if dataset.visibility == datasets.PRIVATE:
        raise Refusal("REQUEST_INVALID", pointer="/dataset_id")
    _check_scope(node, session, contract, body)
    draft = Draft(dataset.dataset_id, {name: body[name] for name in _ASKED if name in body}, dataset.name)
    row = approvals.new_row(node, random_id("audit"), Kind.DATASET, Role.APPROVER, contract, draft)
    session.add(row)
    session.flush()
    permit = permits.issue(node, session, row, contract, Limits())
    sent = permit.to_json()
    if node.faults.on("grant-without-period"):
        sent.pop("time_limit", None)
    if node.faults.on("grant-takes-no-effect"):
        permit.token = secrets.token_urlsafe(24)
    approvals.carry(node, session, row, approval.decide(row.standing, Decision.APPROVED))
    message = {
        "audit_id": row.audit_id,
        "contract_id": contract.contract_id,
        "dataset": projects.dataset_summary(node, dataset),
        "resource_permit": sent,
    }
    return own_approvals.told(node, session, row, "datasetGrant", message, silent="grant-not-told")


def receive_grant(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Keep what a partner has granted to this node; the same grant again is answered as before."""
    contract = links.with_caller(node, session, caller, body["contract_id"])
    dataset, permit = body["dataset"], body["resource_permit"]
    content = {"dataset": dataset}
    known = find(session, body["audit_id"])
    if known is not None:
        same = (Role.APPLICANT, Kind.DATASET, caller.node_id, content)
        if (known.role, known.kind, known.partner_node_id, known.content) != same:
            raise Refusal("ID_TAKEN", pointer="/audit_id")
        return
    if dataset["owner"] != caller.node_id:
        raise Refusal("NOT_YOURS", pointer="/dataset/owner")
    if node.faults.on("grant-not-kept"):
        return
    draft = Draft(dataset["dataset_id"], content, dataset["name"])
    row = approvals.new_row(node, body["audit_id"], Kind.DATASET, Role.APPLICANT, contract, draft)
    session.add(row)
    session.flush()
    approvals.keep_permit(node, session, row, permit)
    approvals.carry(node, session, row, approval.decide(row.standing, Decision.APPROVED))


def list_grants(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List what this node has granted to others, or what was granted to it (8.7.1.2-f)."""
    own_approvals.settle_due(node, session)
    wanted = (
        select(ApprovalRow)
        .join(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id)
        .where(
            ApprovalRow.kind == Kind.DATASET.value,
            _LIST.found(node, query, ApprovalRow.resource_id, ApprovalRow),
        )
    )
    if not node.faults.on("ended-grants-among-those-in-force"):
        wanted = wanted.where(ApprovalRow.status == query["status"])
    if query["mode"] == "OUT" and node.faults.on("grants-made-not-listed"):
        wanted = wanted.where(ApprovalRow.role == Role.APPLICANT.value)
    if query["mode"] == "IN" and node.faults.on("grants-held-not-listed"):
        wanted = wanted.where(ApprovalRow.role == Role.APPROVER.value)
    if not node.faults.on("grants-given-and-received-mixed"):
        wanted = wanted.where(ApprovalRow.role == _MODES[query["mode"]].value)
    if "contract_id" in query:
        wanted = wanted.where(ApprovalRow.contract_id == query["contract_id"])
    wanted = wanted.order_by(ApprovalRow.seq.desc())
    return _LIST.answer(node, session, query, wanted, lambda row: _record(node, session, row))


def ask_partner(node: Node, session: Session, query: Mapping[str, Any], trace_id: str) -> dict[str, Any]:
    """Ask a partner about one dataset, showing the permits for it that this node holds (8.7.1.2-d)."""
    contract = links.of_this_node(node, session, query["contract_id"])
    held = session.scalars(
        select(PermitRow)
        .join(ApprovalRow, ApprovalRow.audit_id == PermitRow.audit_id)
        .where(
            ApprovalRow.role == Role.APPLICANT.value,
            ApprovalRow.status == Status.APPROVED.value,
            ApprovalRow.partner_node_id == contract.partner_node_id,
            PermitRow.resource_type == Kind.DATASET.value,
            PermitRow.resource_id == query["dataset_id"],
        )
        .order_by(ApprovalRow.seq.desc())
        .limit(8)
    )
    if node.faults.on("partner-dataset-not-asked"):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/dataset_id")
    tokens = ",".join(f"{row.resource_id}/{row.resource_level}/{row.token}" for row in held)
    if node.faults.on("own-permit-not-shown"):
        tokens = ""
    asked = {"query": dict(query), "token_set": tokens or None}
    try:
        answer = links.ask(node, session, query["contract_id"], "datasetPubQuery", trace_id, **asked)
    except Refusal:
        if node.faults.on("partner-dataset-refusal-hidden"):
            return {"dataset_id": query["dataset_id"], "name": "?", "owner": node.node_id, "column_metas": []}
        raise
    if node.faults.on("partner-dataset-renamed"):
        answer["name"] = query["dataset_id"]
    return answer


def ask_partner_for_list(
    node: Node, session: Session, scope: str, query: Mapping[str, Any], trace_id: str
) -> dict[str, Any]:
    """Ask a partner for its public datasets, or for those it has granted to this node (8.7.1.2-a, 8.7.1.2-c)."""
    public = scope == "PUBLIC"
    if node.faults.on("partner-public-datasets-not-asked" if public else "partner-granted-datasets-not-asked"):
        return {"records": [], "total": 0}
    operation = "datasetPubList" if public else "datasetAuthList"
    answer = links.ask(node, session, query["contract_id"], operation, trace_id, query=dict(query))
    if node.faults.on("partner-public-datasets-recounted" if public else "partner-granted-datasets-recounted"):
        answer["total"] = len(answer["records"])
    return answer


def _record(node: Node, session: Session, row: ApprovalRow) -> dict[str, Any]:
    permit = session.get_one(PermitRow, row.audit_id).to_json()
    owner = row.role == Role.APPROVER
    if node.faults.on("listed-grant-without-scope"):
        del permit["auth_scope"]
    itself = node.faults.on("listed-grant-names-this-node")
    return without_none(
        {
            "audit_id": row.audit_id,
            "mode": "OUT" if owner else "IN",
            "dataset_id": row.resource_id,
            "dataset_name": row.name or None,
            "partner_node_id": node.node_id if itself else row.partner_node_id,
            "contract_id": row.contract_id,
            "status": row.status,
            "end_reason": row.end_reason,
            "resource_permit": permit,
            "uses": session.get_one(PermitRow, row.audit_id).uses if owner else None,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def _check_scope(node: Node, session: Session, contract: ContractRow, body: Body) -> None:
    """A grant for a project needs one in which both nodes take part."""
    project_id = body.get("auth_scope", {}).get("project_id")
    if project_id is None or body["auth_scope"]["type"] != "PROJECT":
        return
    if in_force(session, Kind.PROJECT, project_id, contract.partner_node_id, node.now()) is None:
        raise Refusal("SCOPE_INVALID", pointer="/auth_scope/project_id")
