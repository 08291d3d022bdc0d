"""The operations of 9.2-d: state and copies for the operator, the records themselves for the auditor alone."""

from __future__ import annotations

from typing import Any

from reference_node.errors import Refusal
from reference_node.evidence.auditing import search_of
from reference_node.interfaces.calls import Call


def own_evidence_health(call: Call) -> dict[str, Any]:
    """9.2-d-4: how the evidence is, without any content."""
    return call.node.evidence.keeping.health(call.session)


def own_evidence_copy(call: Call) -> dict[str, Any]:
    """9.2-d-4: copy what is new to the second place."""
    backup = call.node.evidence.auditing.backup
    try:
        return {"copied": backup.copy(call.session), "covered_seq": backup.covered}
    except OSError as failure:
        raise Refusal("STORE_UNAVAILABLE") from failure


def own_evidence_list(call: Call) -> dict[str, Any]:
    """9.2-d: who did what, when and on what."""
    return call.node.evidence.auditing.view(call.session, search_of(call.query))


def own_evidence_restore(call: Call) -> dict[str, Any]:
    """9.2-d-5: some records in full."""
    body = call.body
    return call.node.evidence.auditing.restore(call.session, body["first_seq"], body["last_seq"], body["reason"])


def own_evidence_export(call: Call) -> dict[str, Any]:
    """9.2-d-2: a signed bundle of records."""
    body = call.body
    content = bool(body.get("content"))
    return call.node.evidence.auditing.export(
        call.session, body["first_seq"], body.get("last_seq"), body["reason"], content=content
    )


def own_evidence_verify(call: Call) -> dict[str, Any]:
    """9.2-d-2: verify the whole chain."""
    return call.node.evidence.auditing.verify(call.session)


def own_evidence_repair(call: Call) -> dict[str, Any]:
    """9.2-d-4: put back from the copies what was changed or taken away."""
    return call.node.evidence.auditing.repair(call.session)


def own_evidence_destroy(call: Call) -> dict[str, Any]:
    """9.2-d-3: destroy what has served its term."""
    return call.node.evidence.keeping.destroy_expired(call.session)
