"""The operations of approvals, the same for projects, flows, datasets and models: one handler each, bound to a kind."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from reference_node.interfaces.calls import Call
from reference_node.services import approvals, own_approvals
from reference_node.services.subjects import SUBJECTS


class Audits:
    """Handlers of the approvals of one kind.

    >>> audits = Audits(Kind.PROJECT)
    >>> project_audit_apply = audits.apply
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._subject = SUBJECTS[kind]

    def apply(self, call: Call) -> dict[str, Any]:
        """An application comes in."""
        approvals.receive_application(call.node, call.session, self._subject, call.caller, call.body)
        return {}

    def confirm(self, call: Call) -> dict[str, Any]:
        """The partner's decision comes in."""
        approvals.receive_decision(call.node, call.session, self._subject, call.caller, call.body)
        return {}

    def cancel(self, call: Call) -> dict[str, Any]:
        """The applicant withdraws."""
        approvals.receive_cancellation(call.node, call.session, self._kind, call.caller, call.body["audit_id"])
        return {}

    def terminate(self, call: Call) -> dict[str, Any]:
        """The other end gives back or revokes."""
        approvals.receive_termination(call.node, call.session, self._kind, call.caller, call.body["audit_id"])
        return {}

    def query(self, call: Call) -> dict[str, Any]:
        """The applicant asks how it stands."""
        return approvals.state_for(call.node, call.session, self._kind, call.caller, call.query["audit_id"])

    def own_apply(self, call: Call) -> dict[str, Any]:
        """Apply to a partner."""
        return own_approvals.apply(call.node, call.session, self._subject, call.body)

    def own_confirm(self, call: Call) -> dict[str, Any]:
        """Decide a partner's application."""
        return own_approvals.decide(call.node, call.session, self._subject, call.body)

    def own_cancel(self, call: Call) -> dict[str, Any]:
        """Withdraw an application."""
        return own_approvals.cancel(call.node, call.session, self._subject, call.body["audit_id"], call.trace_id)

    def own_terminate(self, call: Call) -> dict[str, Any]:
        """Revoke or give back."""
        return own_approvals.terminate(call.node, call.session, self._kind, call.body["audit_id"])

    def own_query(self, call: Call) -> dict[str, Any]:
        """One approval."""
        return own_approvals.query(call.node, call.session, self._subject, call.query["audit_id"])

    def own_list(self, call: Call) -> dict[str, Any]:
        """The approvals of this kind."""
        return own_approvals.list_page(call.node, call.session, self._kind, call.query)
