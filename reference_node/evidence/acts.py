"""Which changes of which tables are acts to be kept as evidence (9.2-d), and what is said of them.

Guarantees: what is said is ids, states, times and digests, and never a content: names, descriptions, addresses,
parameters, tokens and the data itself stay out (9.2-d-3). `Content` says whether the terms that were agreed are said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from reference_node.domain import Status
from reference_node.domain.job import JobStatus
from reference_node.domain.task import FINAL, Cause, TaskStatus
from reference_node.evidence.noting import Act, Noted, note
from reference_node.evidence.records import canonical, digest
from reference_node.store.approvals import ApprovalRow, PermitRow
from reference_node.store.base import Base
from reference_node.store.contracts import ContractRow, OwnNodeRow
from reference_node.store.guards import LockoutRow
from reference_node.store.jobs import JobRow, TaskRow
from reference_node.store.resources import ComponentRow, DatasetRow, FlowRow, ModelRow, ProjectRow

_UNSAID: Final = frozenset({"seq", "folded", "mac", "created_at", "updated_at"})


_TERMS: Final = frozenset({"expired_time", "time_limit", "times_limit", "scope", "project_id", "remote", "until"})


class Content(StrEnum):
    """How much records say: of the terms that were agreed on a digest only, or the terms themselves."""

    DIGESTS = "digests"
    TERMS = "terms"

    def of(self, details: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of the details of an act."""
        known = {name: value for name, value in details.items() if value is not None}
        terms = {name: value for name, value in known.items() if name in _TERMS}
        if self is Content.TERMS or not terms:
            return known
        return {name: value for name, value in known.items() if name not in terms} | {"terms": digest(canonical(terms))}


@dataclass(frozen=True, slots=True)
class Changed:
    """What was flushed of one row: it is new, or these columns had these values before."""

    row: Any
    new: bool
    before: Mapping[str, Any]

    def to(self, column: str) -> Any:
        """Return the value that a column was given, None where it was not touched."""
        return getattr(self.row, column) if self.new or column in self.before else None


def observe(session: Session) -> None:
    """Note the acts of one flush; called while the session still knows what it has written."""
    for row in session.new:
        _noted(session, row, Changed(row, True, {}))
    for row in session.dirty:
        if type(row) in _WATCHED:
            before = _before(row)
            if before:
                _noted(session, row, Changed(row, False, before))
    for row in session.deleted:
        if type(row) in _RESOURCES:
            kind, ids = _RESOURCES[type(row)]
            note(session, Noted(Act(f"{kind}.removed"), _subjects(row, ids)))


def _noted(session: Session, row: Any, changed: Changed) -> None:
    watcher = _WATCHED.get(type(row))
    if watcher is not None:
        for noted in watcher(row, changed):
            note(session, noted)


def _before(row: Any) -> dict[str, Any]:
    state = inspect(row)
    found = {}
    for name in state.mapper.column_attrs.keys():  # noqa: SIM118 - a collection of its own, iterated by value
        history = state.attrs[name].history
        if history.has_changes():
            found[name] = history.deleted[0] if history.deleted else None
    return found


def _contract(row: ContractRow, changed: Changed) -> Iterator[Noted]:
    subjects = {"contract_id": row.contract_id}
    terms = {"status": row.status, "end_reason": row.end_reason, "expired_time": row.expired_time}
    if changed.new:
        yield Noted(Act.CONTRACT_APPLIED, subjects, row.partner_node_id, terms)
    act = _CONTRACT.get(changed.to("status") or "")
    if act is not None:
        yield Noted(act, subjects, row.partner_node_id, terms)
    if changed.before.get("partner_key") and row.partner_key:
        keys = {"from": changed.before["partner_key"], "to": row.partner_key, "auth_type": row.partner_auth_type}
        yield Noted(Act.KEY_ROTATED, subjects, row.partner_node_id, keys)


_CONTRACT: Final = {
    Status.APPROVED.value: Act.CONTRACT_SIGNED,
    Status.REJECTED.value: Act.CONTRACT_REFUSED,
    Status.TERMINATED.value: Act.CONTRACT_ENDED,
}


def _own_node(row: OwnNodeRow, _changed: Changed) -> Iterator[Noted]:
    yield Noted(Act.NODE_CHANGED, {"node_id": row.node_id}, None, {"digest": _digest_of(row)})


def _lockout(row: LockoutRow, changed: Changed) -> Iterator[Noted]:
    where = {"remote": row.seen_from, "counted_against": "CERTIFICATE" if row.source else "ADDRESS"}
    whom = {"node_id": row.claimed}  # the id that the request claims; the record says that it was not proved
    if changed.to("locked_until"):
        yield Noted(Act.IDENTITY_LOCKED_OUT, whom, None, {**where, "until": row.locked_until})
    elif changed.to("failures"):
        yield Noted(Act.IDENTITY_FAILED, whom, None, {**where, "in_a_row": row.failures})


def _approval(row: ApprovalRow, changed: Changed) -> Iterator[Noted]:
    subjects = {"audit_id": row.audit_id, f"{row.kind.lower()}_id": row.resource_id, "contract_id": row.contract_id}
    said = {"status": row.status, "end_reason": row.end_reason, "content": digest(canonical(row.content))}
    if changed.new:
        yield Noted(Act.APPROVAL_APPLIED, subjects, row.partner_node_id, said)
    act = _APPROVAL.get(changed.to("status") or "")
    if act is not None:
        yield Noted(act, subjects, row.partner_node_id, said)
    if act is Act.APPROVAL_ENDED and changed.before.get("status") == Status.APPROVED:
        yield Noted(Act.PERMIT_REVOKED, subjects, row.partner_node_id, {"end_reason": row.end_reason})


_APPROVAL: Final = {
    Status.APPROVED.value: Act.APPROVAL_GIVEN,
    Status.REJECTED.value: Act.APPROVAL_REFUSED,
    Status.TERMINATED.value: Act.APPROVAL_ENDED,
}


def _permit(row: PermitRow, changed: Changed) -> Iterator[Noted]:
    subjects = {"audit_id": row.audit_id, f"{row.resource_type.lower()}_id": row.resource_id}
    if changed.new:  # the token is a secret and is not said
        limits = {name: getattr(row, name) for name in ("scope", "project_id", "time_limit", "times_limit")}
        said = {"owner": row.resource_node_id, **limits}
        yield Noted(Act.PERMIT_ISSUED, subjects, row.request_node_id, said)
    elif changed.to("uses"):
        yield Noted(Act.PERMIT_USED, subjects, row.request_node_id, {"uses": row.uses})


def _job(row: JobRow, changed: Changed) -> Iterator[Noted]:
    subjects = {"job_id": row.job_id} | ({} if row.flow_id is None else {"flow_id": row.flow_id})
    said = {"status": row.status, "run": row.run, "cause": row.cause, "scheduler": row.scheduler_node_id}
    if changed.new:
        plan = {"dag": digest(canonical(row.dag)), "config": digest(canonical(row.config))}
        yield Noted(Act.JOB_CREATED, subjects, row.initiator_node_id, said | plan)
    match changed.to("status"):
        case JobStatus.RUNNING:
            yield Noted(Act.JOB_STARTED, subjects, row.initiator_node_id, said)
        case JobStatus.REJECTED:
            yield Noted(Act.JOB_REFUSED, subjects, row.initiator_node_id, said)
        case JobStatus.FINISHED:
            act = Act.JOB_STOPPED if row.cause == Cause.STOPPED else Act.JOB_ENDED
            yield Noted(act, subjects, row.initiator_node_id, said)


def _task(row: TaskRow, changed: Changed) -> Iterator[Noted]:
    subjects = {"task_id": row.task_id, "job_id": row.job_id}
    said: dict[str, Any] = {"run": row.run, "attempt": row.attempt, "name": row.task_name}
    status = changed.to("status")
    if status == TaskStatus.RUNNING:
        params = digest(canonical([row.task_params, row.run_params]))
        yield Noted(Act.TASK_STARTED, subjects, None, said | {"params": params})
    elif status in FINAL:
        outputs = {"status": row.status, "cause": row.cause, "outputs": digest(canonical(row.outputs or []))}
        yield Noted(Act.TASK_ENDED, subjects, None, said | outputs)


def _resource(row: Any, changed: Changed) -> Iterator[Noted]:
    kind, ids = _RESOURCES[type(row)]
    if not changed.new and not set(changed.before) - _UNSAID:
        return
    act = Act(f"{kind}.registered" if changed.new else f"{kind}.changed")
    yield Noted(act, _subjects(row, ids), None, {"digest": _digest_of(row)})


def _subjects(row: Any, ids: tuple[str, ...]) -> dict[str, str]:
    return {name: str(value) for name in ids if (value := getattr(row, name)) is not None}


def _digest_of(row: Any) -> str:
    """Return the digest of what a row says."""
    return digest(canonical({key: getattr(row, key) for key in row.__table__.columns.keys() if key not in _UNSAID}))  # noqa: SIM118


_RESOURCES: Final[Mapping[type[Base], tuple[str, tuple[str, ...]]]] = {
    ProjectRow: ("project", ("project_id",)),
    FlowRow: ("flow", ("flow_id", "project_id")),
    DatasetRow: ("dataset", ("dataset_id",)),
    ModelRow: ("model", ("model_id", "project_id")),
    ComponentRow: ("component", ("code", "version")),
}
_WATCHED: Final[Mapping[type[Base], Callable[[Any, Changed], Iterator[Noted]]]] = {
    ContractRow: _contract,
    OwnNodeRow: _own_node,
    LockoutRow: _lockout,
    ApprovalRow: _approval,
    PermitRow: _permit,
    JobRow: _job,
    TaskRow: _task,
    **dict.fromkeys(_RESOURCES, _resource),
}
