"""The operations of 8.7.1: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from reference_node.interfaces.audits import Audits
from reference_node.interfaces.calls import Call
from reference_node.services import datasets, grants

_audits = Audits(Kind.DATASET)  # 8.7.1.3, 8.7.1.4, 9.2-b-3
dataset_audit_apply = _audits.apply
dataset_audit_confirm = _audits.confirm
dataset_audit_cancel = _audits.cancel
dataset_audit_terminate = _audits.terminate
dataset_audit_query = _audits.query
own_dataset_audit_apply = _audits.own_apply
own_dataset_audit_confirm = _audits.own_confirm
own_dataset_audit_cancel = _audits.own_cancel
own_dataset_audit_terminate = _audits.own_terminate
own_dataset_audit_query = _audits.own_query
own_dataset_audit_list = _audits.own_list


def dataset_pub_list(call: Call) -> dict[str, Any]:
    """8.7.1.2-a: the public datasets."""
    return datasets.list_public(call.node, call.session, call.caller, call.query)


def dataset_auth_list(call: Call) -> dict[str, Any]:
    """8.7.1.2-c: the datasets granted to the caller."""
    return datasets.list_granted(call.node, call.session, call.caller, call.query)


def dataset_pub_query(call: Call) -> dict[str, Any]:
    """8.7.1.2-d: one dataset, public or opened by a permit."""
    return datasets.query_for(call.node, call.session, call.caller, call.query, call.token_set)


def dataset_grant(call: Call) -> dict[str, Any]:
    """8.7.1.3-c: a partner grants a dataset."""
    grants.receive_grant(call.node, call.session, call.caller, call.body)
    return {}


def own_dataset_create(call: Call) -> dict[str, Any]:
    """8.7.1.1: record a dataset."""
    return datasets.create(call.node, call.session, call.body)


def own_dataset_list(call: Call) -> dict[str, Any]:
    """8.7.1.2-b: this node's datasets, of a project or all."""
    return datasets.list_own(call.node, call.session, call.query)


def own_dataset_query(call: Call) -> dict[str, Any]:
    """8.7.1.2-e: one dataset."""
    return datasets.query_own(call.node, call.session, call.query["dataset_id"])


def own_dataset_update(call: Call) -> dict[str, Any]:
    """8.7.1.1: change a dataset, or who may see it."""
    return datasets.update(call.node, call.session, call.body)


def own_dataset_delete(call: Call) -> dict[str, Any]:
    """8.7.1.1: delete a dataset."""
    datasets.remove(call.node, call.session, call.body["dataset_id"])
    return {}


def own_dataset_auth_list(call: Call) -> dict[str, Any]:
    """8.7.1.2-f: what was granted, by this node or to it."""
    return grants.list_grants(call.node, call.session, call.query)


def own_partner_dataset_list(call: Call) -> dict[str, Any]:
    """8.7.1.2-a, 8.7.1.2-c: ask a partner for its public datasets, or for those granted to this node."""
    query = {name: value for name, value in call.query.items() if name != "scope"}
    return grants.ask_partner_for_list(call.node, call.session, call.query["scope"], query, call.trace_id)


def own_partner_dataset_query(call: Call) -> dict[str, Any]:
    """8.7.1.2-d: ask a partner about one dataset."""
    return grants.ask_partner(call.node, call.session, call.query, call.trace_id)


def own_dataset_grant(call: Call) -> dict[str, Any]:
    """8.7.1.3-c: grant a dataset to a partner."""
    return grants.grant(call.node, call.session, call.body)
