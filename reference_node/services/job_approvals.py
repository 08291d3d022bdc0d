"""Approvals of single jobs, for parties that do not take the approval of the flow for enough (8.4.1-b)."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain.approval import Kind
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.services import admission
from reference_node.services.approvals import Body, Draft
from reference_node.store.approvals import ApprovalRow
from reference_node.store.contracts import ContractRow
from reference_node.store.jobs import find_job
from reference_node.store.resources import FlowRow


class JobSubject:
    """A partner is asked to agree to this very job."""

    kind = Kind.JOB

    def draft(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:
        """Send the job as it is to run, with what is given for a further run where something is."""
        job = find_job(session, body["job_id"])
        if job is None or job.initiator_node_id != node.node_id:
            raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
        if contract.partner_node_id not in {item.node_id for item in plan.parties(job.config)}:
            raise Refusal("TARGET_MISMATCH", pointer="/contract_id")
        flow = session.scalar(select(FlowRow).where(FlowRow.flow_id == job.flow_id))
        if flow is None:
            raise Refusal("RESOURCE_NOT_FOUND", pointer="/flow_id")
        conf = job.config
        if body.get("task_params") is not None:
            names = [part["name"] for part in job.dag["components"]]
            conf = plan.with_params(job.config, names, body["task_params"])
        content = {"job_id": job.job_id, "flow_id": flow.flow_id, "name": flow.name, "project_id": flow.project_id}
        return Draft(job.job_id, {**content, "dag": job.dag, "conf": conf}, flow.name)

    def receive(self, node: Node, session: Session, contract: ContractRow, body: Body) -> Draft:  # noqa: ARG002
        """Take a job of the partner's that can run and that this node is a party of."""
        planned = {"dag": body["dag"], "config": body["conf"]}
        if not admission.check_plan(node, planned):
            raise Refusal("TARGET_MISMATCH", pointer="/conf/role")
        if body["conf"]["initiator"]["node_id"] != contract.partner_node_id:
            raise Refusal("NOT_YOURS", pointer="/conf/initiator/node_id")
        return Draft(body["job_id"], dict(body), body["name"])

    def approved(self, node: Node, session: Session, row: ApprovalRow) -> None:
        """What follows is done when jobs are driven next: the initiator offers a job that all have approved."""
