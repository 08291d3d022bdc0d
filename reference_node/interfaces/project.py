"""The operations of 8.2: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from reference_node.interfaces.audits import Audits
from reference_node.interfaces.calls import Call
from reference_node.services import links, projects, shared_projects

_audits = Audits(Kind.PROJECT)  # 8.2.1-b, 9.2-b-3
project_audit_apply = _audits.apply
project_audit_confirm = _audits.confirm
project_audit_cancel = _audits.cancel
project_audit_terminate = _audits.terminate
project_audit_query = _audits.query
own_project_audit_apply = _audits.own_apply
own_project_audit_confirm = _audits.own_confirm
own_project_audit_cancel = _audits.own_cancel
own_project_audit_terminate = _audits.own_terminate
own_project_audit_query = _audits.own_query
own_project_audit_list = _audits.own_list


def project_update(call: Call) -> dict[str, Any]:
    """8.2.3-b: the owner of a shared project has changed it."""
    shared_projects.receive_update(call.node, call.session, call.caller, call.body)
    return {}


def project_list(call: Call) -> dict[str, Any]:
    """8.2.2-b: the projects shared with the caller."""
    return shared_projects.list_for(call.node, call.session, call.caller, call.query)


def project_query(call: Call) -> dict[str, Any]:
    """8.2.2-d: one project shared with the caller."""
    return shared_projects.query_for(call.node, call.session, call.caller, call.query)


def own_project_create(call: Call) -> dict[str, Any]:
    """8.2.1-a: create a project."""
    return projects.create(call.node, call.session, call.body)


def own_project_list(call: Call) -> dict[str, Any]:
    """8.2.2-a: this node's projects."""
    return projects.list_own(call.node, call.session, call.query)


def own_project_query(call: Call) -> dict[str, Any]:
    """8.2.2-c: one project."""
    return projects.query_own(call.node, call.session, call.query["project_id"])


def own_project_update(call: Call) -> dict[str, Any]:
    """8.2.3-a: change a project and tell the partners in it."""
    return projects.update(call.node, call.session, call.body)


def own_project_delete(call: Call) -> dict[str, Any]:
    """8.2.4-a: delete a project."""
    projects.remove(call.node, call.session, call.body["project_id"])
    return {}


def own_partner_project_list(call: Call) -> dict[str, Any]:
    """8.2.2-b: ask a partner for the projects it shares with this node."""
    contract_id, query = call.query["contract_id"], call.query
    if call.node.faults.on("partner-project-page-not-passed-on"):
        query = {"contract_id": contract_id}
    page = links.ask(call.node, call.session, contract_id, "projectList", call.trace_id, query=query)
    return {**page, "total": len(page["records"])} if call.node.faults.on("partner-project-total-recounted") else page


def own_partner_project_query(call: Call) -> dict[str, Any]:
    """8.2.2-d: ask a partner for one shared project."""
    contract_id = call.query["contract_id"]
    found = links.ask(call.node, call.session, contract_id, "projectQuery", call.trace_id, query=call.query)
    if call.node.faults.on("partner-project-record-shortened"):
        found = {name: value for name, value in found.items() if name != "description"}
    return found
