"""The operations of 8.1: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

import flask

from reference_node.interfaces.calls import Call
from reference_node.security.guards import REMOTE_OF_GAP
from reference_node.services import contracts, nodes, own_contracts


def node_query(call: Call) -> dict[str, Any]:
    """8.1.1-b: who this node is, to anybody."""
    _, _, beyond = (flask.request.remote_addr or "").partition(REMOTE_OF_GAP)
    return nodes.answer_query(call.node, call.session, call.query["node_id"], beyond)


def contract_query(call: Call) -> dict[str, Any]:
    """8.1.1-c: the state of a contract, to its parties."""
    return contracts.state_for(call.node, call.session, call.caller, call.query["contract_id"])


def contract_apply(call: Call) -> dict[str, Any]:
    """8.1.2-a: an application comes in."""
    remote = (flask.request.remote_addr or "")[:64]
    return {"contract_id": contracts.receive_application(call.node, call.session, call.source, call.body, remote)}


def contract_confirm(call: Call) -> dict[str, Any]:
    """8.1.2-b: the partner's decision comes in."""
    contracts.receive_decision(call.node, call.session, call.source, call.body)
    return {}


def contract_cancel(call: Call) -> dict[str, Any]:
    """8.1.2-c: the applicant withdraws."""
    contracts.receive_cancellation(call.node, call.session, call.caller, call.body["contract_id"])
    return {}


def contract_terminate(call: Call) -> dict[str, Any]:
    """8.1.2-e: the partner ends the contract."""
    contracts.receive_termination(call.node, call.session, call.caller, call.body["contract_id"])
    return {}


def node_health(call: Call) -> dict[str, Any]:
    """8.1.2-d: how this node is."""
    return contracts.health_for(call.node, call.session, call.caller, call.query.get("contract_id"))


def node_sync(call: Call) -> dict[str, Any]:
    """8.1.3-b: the partner's particulars have changed."""
    nodes.receive_sync(call.node, call.session, call.caller, call.body)
    return {}


def own_node_query(call: Call) -> dict[str, Any]:
    """8.1.1-a: this node, or one that it knows."""
    return nodes.own_query(call.node, call.session, call.query["node_id"])


def own_node_update(call: Call) -> dict[str, Any]:
    """8.1.3-a: change this node's particulars and tell the partners."""
    return nodes.own_update(call.node, call.session, call.body)


def own_partner_query(call: Call) -> dict[str, Any]:
    """8.1.1-b: ask the node at an address who it is."""
    return nodes.query_partner(call.node, call.session, call.query, call.trace_id)


def own_partner_health(call: Call) -> dict[str, Any]:
    """8.1.2-d: ask a partner how it is."""
    return own_contracts.partner_health(call.node, call.session, call.query["contract_id"], call.trace_id)


def own_contract_apply(call: Call) -> dict[str, Any]:
    """8.1.2-a: apply to a node."""
    return own_contracts.apply(call.node, call.session, call.body, call.trace_id)


def own_contract_confirm(call: Call) -> dict[str, Any]:
    """8.1.2-b: decide an application."""
    return own_contracts.decide(call.node, call.session, call.body)


def own_contract_cancel(call: Call) -> dict[str, Any]:
    """8.1.2-c: withdraw an application."""
    return own_contracts.cancel(call.node, call.session, call.body["contract_id"], call.trace_id)


def own_contract_terminate(call: Call) -> dict[str, Any]:
    """8.1.2-e: end a contract."""
    return own_contracts.terminate(call.node, call.session, call.body["contract_id"])


def own_contract_query(call: Call) -> dict[str, Any]:
    """8.1.1-c: one contract."""
    return own_contracts.query(call.node, call.session, call.query["contract_id"])


def own_contract_list(call: Call) -> dict[str, Any]:
    """8.1.1-c: this node's contracts."""
    return own_contracts.list_page(call.node, call.session, call.query)
