"""Whether a job may run here: its DAG and configuration, its approval, its components, its data (8.4.1, 9.2-b).

Guarantees: a DAG that cannot run, a component that this node does not have, a parameter or an input that is missing or
wrong is refused with a pointer to its place; a partner's job runs only on a flow, or as a job, that this node has
approved, with the very DAG that was approved, and only with components and on data that the initiator may use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, consent, dag, params, plan, statement
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.runtime.catalogue import in_black_box, remedy
from reference_node.schedule import material, opening, permitted, sources
from reference_node.schedule.common import defect
from reference_node.security import proofs
from reference_node.services import consents, vouching
from reference_node.services.approvals import Body
from reference_node.store.approvals import ApprovalRow, PermitRow, count_use
from reference_node.store.jobs import JobRow
from reference_node.store.resources import DatasetRow, FlowRow

_PUBLIC = "PUBLIC"


def check_plan(node: Node, body: Body) -> tuple[plan.Party, ...]:
    """Refuse a DAG or a configuration by which nothing can run; return this node's parts in it."""
    if not defect(node, "job-dag-unchecked"):
        dag.check(body["dag"])
    plan.parties(body["config"])
    consent.open_params(body["config"])
    names = {part["name"] for part in body["dag"]["components"]}
    given = body["config"]["task_params"]
    for layer in (plan.COMMON, *plan.PartyRole):
        for name in given.get(layer, {}):
            unknown = name not in names and not (layer != plan.COMMON and name.isdecimal())
            if unknown and not defect(node, "job-params-of-no-component-taken"):
                raise Refusal("PARAMS_INVALID", pointer=f"/config/task_params/{layer}/{name}")
    _check_gap(node, body)
    return plan.of_node(body["config"], node.node_id)


def _check_gap(node: Node, body: Body) -> None:
    """Refuse a component whose messages no relay could tell apart, where a party is behind an isolation gap (9.2-h)."""
    parties = [row.node_id for row in plan.parties(body["config"])]
    beyond = [] if node.gap is None else [name for name in parties if name in node.gap]
    if not beyond or node.node_id not in parties:
        return
    for at, part in enumerate(body["dag"]["components"]):
        if in_black_box(part["provider"], part["componentName"]):
            reason = f"the messages of {part['componentName']} name no task and no kind; {beyond[0]} is behind a gap"
            raise Refusal("COMPONENT_NOT_ACROSS_GAP", pointer=f"/dag/components/{at}/componentName", reason=reason)


def check_flow(session: Session, body: Body) -> FlowRow | None:
    """Return the flow that an own job is made of; a settled one runs as it was settled (8.3.1-dag)."""
    if "flow_id" not in body:
        return None
    flow = session.scalar(select(FlowRow).where(FlowRow.flow_id == body["flow_id"]))
    if flow is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/flow_id")
    if flow.settled and not consent.same(flow.dag, body["dag"]):
        raise Refusal("DAG_FROZEN", pointer="/dag")
    return flow


def check_approval(node: Node, session: Session, job: JobRow) -> None:
    """Let a partner's job in only as this node has agreed to it, or to its flow: DAG, configuration and place.

    That is one use of the approval.
    """
    if node.config.job_approval == "none" or defect(node, "job-needs-no-approval"):
        return
    try:
        approval = consents.resting_on(node, session, job)
    except Refusal as refusal:
        consents.record_refusal(session, job, refusal)
        raise
    _use(session, approval)


def check_parts(node: Node, session: Session, job: JobRow, parties: tuple[plan.Party, ...]) -> None:
    """Refuse what this node's parts could not be run with."""
    for index, part in enumerate(job.dag["components"]):
        described = material.description(node, session, part)
        if described is None:
            if defect(node, "job-of-unknown-component-taken"):
                continue
            place, brought_by = f"/dag/components/{index}/componentName", remedy(part["provider"])
            hint = {} if brought_by is None else {"hint": brought_by}
            raise Refusal("RESOURCE_NOT_FOUND", pointer=place, **hint)
        _check_security(node, described.get("security"), part.get("security"), f"/dag/components/{index}")
        if len(part["input"]) != len(described["inputData"]):
            raise Refusal("DAG_INVALID", pointer=f"/dag/components/{index}/input")
        for party in parties:
            if party.role in described.get("roleList", (party.role,)):
                _check_open(node, session, job, part, f"/dag/components/{index}/componentName")
                _check_part(node, session, job, party, part, described)


def _check_open(node: Node, session: Session, job: JobRow, part: Mapping[str, Any], place: str) -> None:
    """Run a component only for a node that it is open to (9.2-b-1).

    Who has an approval knows the component from it and is told why; to others it does not exist.
    """
    if not permitted.open_to(node, session, part, job.initiator_node_id) and not defect(node, "component-run-for-all"):
        approved = node.config.job_approval != "none"
        raise Refusal("PERMIT_OUT_OF_SCOPE" if approved else "RESOURCE_NOT_FOUND", pointer=place)


def _check_security(node: Node, stated: object, demanded: Mapping[str, Any] | None, place: str) -> None:
    """Refuse a component below the standard's least, or below what the job demands of it (9.2-c-2)."""
    if not defect(node, "weak-job-offer-taken"):
        vouching.refuse(statement.weak_demand(demanded or {}), place)
    if demanded is not None and defect(node, "job-demand-ignored"):
        demanded = None
    vouching.demand_statement(stated, place, demanded)


def check_params(node: Node, session: Session, job: JobRow, further: Mapping[str, Any] | None) -> None:
    """Refuse parameters for a further run that do not fit."""
    for name in named(further):
        wanted = plan.component(job.dag, name)
        described = material.description(node, session, wanted)
        for party in plan.of_node(job.config, node.node_id) if described is not None else ():
            given = plan.task_params(job.config, [further], party, name)
            given.pop(material.INPUT, None)
            found = params.problems(described["inputParam"], given) if described is not None else []
            if found:
                raise Refusal(
                    "PARAMS_INVALID", pointer=_place(further or {}, party, name, found[0].pointer, "/task_params")
                )


def named(further: Mapping[str, Any] | None) -> list[str]:
    """Return the components that parameters are given for."""
    names: dict[str, None] = {}
    for role, layer in (further or {}).items():
        for name, value in layer.items() if isinstance(layer, Mapping) else ():
            if role != plan.COMMON and name.isdecimal():
                names |= dict.fromkeys(value if isinstance(value, Mapping) else ())
            else:
                names[name] = None
    return list(names)


def _check_part(
    node: Node, session: Session, job: JobRow, party: plan.Party, part: Mapping[str, Any], described: Mapping[str, Any]
) -> None:
    name = part["name"]
    given, named = material.parameters(job, None, party, name)
    problems = params.problems(described["inputParam"], given)
    if problems and not defect(node, "job-params-unchecked"):
        place = _place(job.config["task_params"], party, name, problems[0].pointer, "/config/task_params")
        raise Refusal("PARAMS_INVALID", pointer=place)
    for port in part["input"]:
        key = port["key"]
        if "." in key:
            continue
        place = f"/config/task_params/{party.role}/{party.index}/{name}/input/{key}"
        if key not in named:
            raise Refusal("PARAMS_INVALID", pointer=place)
        if named[key] is not None:
            check = _check_model if sources.kind_of(part, key) == proofs.MODEL else _check_dataset
            check(node, session, job, str(named[key]), place)


def _place(given: Mapping[str, Any], party: plan.Party, name: str, pointer: str, root: str) -> str:
    """Return where a parameter stands that a component does not take."""
    return plan.place(given, party, name, pointer.removeprefix("/params/"), root)


def _check_model(node: Node, session: Session, job: JobRow, model_id: str, place: str) -> None:
    """Let a model of this node be used in the project for which the other parties have agreed to it (8.7.2.2)."""
    if sources.find(node, session, proofs.MODEL, model_id) is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer=place)
    if not sources.agreed(node, session, job, model_id):
        raise Refusal("RESOURCE_NOT_APPROVED", pointer=place)


def _check_dataset(node: Node, session: Session, job: JobRow, dataset_id: str, place: str) -> None:
    """Let the initiator use a dataset of this node as far as it was granted (9.2-b)."""
    row = session.scalar(select(DatasetRow).where(DatasetRow.dataset_id == dataset_id))
    if row is None or sources.dataset_path(node, row) is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer=place)
    if job.initiator_node_id == node.node_id or row.visibility == _PUBLIC or defect(node, "job-uses-ungranted-data"):
        return
    approval = opening.permitted_by(node, session, job, dataset_id)
    if approval is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer=place)
    permit = session.get(PermitRow, approval.audit_id)
    elsewhere = permit is not None and permit.project_id not in (None, job.project_id)
    if elsewhere and not defect(node, "job-ignores-scope-of-permit"):
        raise Refusal("PERMIT_OUT_OF_SCOPE", pointer=place)
    if permit is not None and opening.spent(permit):  # a use is counted when the data are opened
        raise Refusal("PERMIT_EXHAUSTED", pointer=place)


def _use(session: Session, approval: ApprovalRow) -> None:
    """Count one use of what an approval opened, where this node has issued it."""
    if approval.role != Role.APPROVER or session.get(PermitRow, approval.audit_id) is None:
        return
    if not count_use(session, approval.audit_id):
        raise Refusal("PERMIT_EXHAUSTED", pointer="/flow_id")
