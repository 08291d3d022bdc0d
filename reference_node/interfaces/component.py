"""The operations of 8.6: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.interfaces.calls import Call
from reference_node.services import component_checking, components


def component_list(call: Call) -> dict[str, Any]:
    """8.6.2-a: the public components."""
    return components.list_public(call.node, call.session, call.caller, call.query)


def component_query(call: Call) -> dict[str, Any]:
    """8.6.2-b: one public component."""
    return components.query_for(call.node, call.session, call.caller, call.query)


def own_component_register(call: Call) -> dict[str, Any]:
    """8.6.1: record a component."""
    return components.register(call.node, call.session, call.body)


def own_component_list(call: Call) -> dict[str, Any]:
    """8.6.2-c: this node's components."""
    return components.list_own(call.node, call.session, call.query)


def own_component_query(call: Call) -> dict[str, Any]:
    """8.6.2-d: one component."""
    return components.query_own(call.node, call.session, call.query)


def own_partner_component_list(call: Call) -> dict[str, Any]:
    """8.6.2-a: ask a partner for its public components."""
    return components.ask_partner(call.node, call.session, "componentList", call.query, call.trace_id)


def own_partner_component_query(call: Call) -> dict[str, Any]:
    """8.6.2-b: ask a partner for one public component."""
    return components.ask_partner(call.node, call.session, "componentQuery", call.query, call.trace_id)


def own_component_validate(call: Call) -> dict[str, Any]:
    """8.6.3-a: hold parameters against the self-description."""
    return component_checking.validate(call.node, call.session, call.body)


def own_component_health(call: Call) -> dict[str, Any]:
    """8.6.3-b: look whether the service answers."""
    return component_checking.health(call.node, call.session, call.query)


def own_component_update(call: Call) -> dict[str, Any]:
    """9.2-b: say anew for whom a component is there."""
    return components.update(call.node, call.session, call.body)


def own_component_deregister(call: Call) -> dict[str, Any]:
    """8.6.4: take a component away."""
    components.deregister(call.node, call.session, call.body)
    return {}
