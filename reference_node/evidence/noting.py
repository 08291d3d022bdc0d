"""What a transaction has done, noted down on its session until the keeper writes it at the commit.

Guarantees: notes are of one transaction; what is rolled back is not noted.

>>> note(session, Noted("permit.used", {"audit_id": "audit-1"}))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.orm import Session

_NOTES: Final = "evidence"


class Act(StrEnum):
    """What is kept as evidence; the word before the dot is the group by which acts are configured."""

    CONTRACT_APPLIED = "contract.applied"
    CONTRACT_SIGNED = "contract.signed"
    CONTRACT_REFUSED = "contract.refused"
    CONTRACT_ENDED = "contract.ended"
    KEY_ROTATED = "key.rotated"
    NODE_CHANGED = "node.changed"
    ADDRESS_REFUSED = "address.refused"
    IDENTITY_FAILED = "identity.failed"
    IDENTITY_LOCKED_OUT = "identity.locked_out"
    REQUEST_REFUSED = "request.refused"
    APPROVAL_APPLIED = "approval.applied"
    APPROVAL_GIVEN = "approval.given"
    APPROVAL_REFUSED = "approval.refused"
    APPROVAL_ENDED = "approval.ended"
    PERMIT_ISSUED = "permit.issued"
    PERMIT_USED = "permit.used"
    PERMIT_REVOKED = "permit.revoked"
    PROJECT_REGISTERED = "project.registered"
    PROJECT_CHANGED = "project.changed"
    PROJECT_REMOVED = "project.removed"
    FLOW_REGISTERED = "flow.registered"
    FLOW_CHANGED = "flow.changed"
    FLOW_REMOVED = "flow.removed"
    DATASET_REGISTERED = "dataset.registered"
    DATASET_CHANGED = "dataset.changed"
    DATASET_REMOVED = "dataset.removed"
    MODEL_REGISTERED = "model.registered"
    MODEL_CHANGED = "model.changed"
    MODEL_REMOVED = "model.removed"
    COMPONENT_REGISTERED = "component.registered"
    COMPONENT_CHANGED = "component.changed"
    COMPONENT_REMOVED = "component.removed"
    JOB_CREATED = "job.created"
    JOB_STARTED = "job.started"
    JOB_REFUSED = "job.refused"
    JOB_STOPPED = "job.stopped"
    JOB_ENDED = "job.ended"
    JOB_ORDER_REFUSED = "job.order_refused"
    TASK_STARTED = "task.started"
    TASK_LOADED = "task.loaded"
    TASK_ENDED = "task.ended"
    TASK_HANDED_OUT = "task.handed_out"
    EVIDENCE_VIEWED = "evidence.viewed"
    EVIDENCE_RESTORED = "evidence.restored"
    EVIDENCE_EXPORTED = "evidence.exported"
    EVIDENCE_VERIFIED = "evidence.verified"
    EVIDENCE_REPAIRED = "evidence.repaired"
    EVIDENCE_DESTROYED = "evidence.destroyed"
    STORE_TAMPERED = "evidence.store_tampered"
    STORE_ACCEPTED = "evidence.store_accepted"

    @property
    def group(self) -> str:
        """The kind of thing that was acted on."""
        return self.value.partition(".")[0]


ALWAYS: Final = "evidence"  # what is done with evidence is evidence, whatever is configured
GROUPS: Final = tuple(dict.fromkeys(act.group for act in Act))


@dataclass(frozen=True, slots=True)
class Noted:
    """One act: on what, with which other node, and its details.

    Records are found by the first of `subjects`, which was acted on, and by the second, which that belongs to.
    """

    act: Act
    subjects: Mapping[str, str]
    counterpart: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def note(session: Session, noted: Noted) -> None:
    """Note an act of the session's transaction."""
    session.info.setdefault(_NOTES, []).append(noted)


def take(session: Session) -> list[Noted]:
    """Return what was noted and forget it."""
    taken: list[Noted] = session.info.pop(_NOTES, [])
    return taken
