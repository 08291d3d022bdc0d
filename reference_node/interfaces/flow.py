"""The operations of 8.3: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from reference_node.interfaces.audits import Audits
from reference_node.interfaces.calls import Call
from reference_node.services import flows

_audits = Audits(Kind.FLOW)  # 8.3.3, 9.2-b-3
flow_audit_apply = _audits.apply
flow_audit_confirm = _audits.confirm
flow_audit_cancel = _audits.cancel
flow_audit_terminate = _audits.terminate
flow_audit_query = _audits.query
own_flow_audit_apply = _audits.own_apply
own_flow_audit_confirm = _audits.own_confirm
own_flow_audit_cancel = _audits.own_cancel
own_flow_audit_terminate = _audits.own_terminate
own_flow_audit_query = _audits.own_query
own_flow_audit_list = _audits.own_list


def own_flow_create(call: Call) -> dict[str, Any]:
    """8.3.1: write a flow in a project."""
    return flows.create(call.node, call.session, call.body)


def own_flow_list(call: Call) -> dict[str, Any]:
    """8.3.2-a: the flows of a project."""
    return flows.list_own(call.node, call.session, call.query)


def own_flow_query(call: Call) -> dict[str, Any]:
    """8.3.2-b: one flow."""
    return flows.query_own(call.node, call.session, call.query["flow_id"])


def own_flow_update(call: Call) -> dict[str, Any]:
    """8.3.4: change a flow."""
    return flows.update(call.node, call.session, call.body)


def own_flow_delete(call: Call) -> dict[str, Any]:
    """8.3.5: delete a flow."""
    flows.remove(call.node, call.session, call.body["flow_id"])
    return {}
