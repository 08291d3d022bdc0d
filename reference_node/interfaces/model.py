"""The operations of 8.7.2: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from reference_node.interfaces.audits import Audits
from reference_node.interfaces.calls import Call
from reference_node.services import models

_audits = Audits(Kind.MODEL)  # 8.7.2.2, 9.2-b-3
model_audit_apply = _audits.apply
model_audit_confirm = _audits.confirm
model_audit_cancel = _audits.cancel
model_audit_terminate = _audits.terminate
model_audit_query = _audits.query
own_model_audit_apply = _audits.own_apply
own_model_audit_confirm = _audits.own_confirm
own_model_audit_cancel = _audits.own_cancel
own_model_audit_terminate = _audits.own_terminate
own_model_audit_query = _audits.own_query
own_model_audit_list = _audits.own_list


def own_model_create(call: Call) -> dict[str, Any]:
    """8.7.2.1-a: record a model."""
    return models.create(call.node, call.session, call.body)


def own_model_list(call: Call) -> dict[str, Any]:
    """8.7.2.1-a: the models of a project, or all."""
    return models.list_own(call.node, call.session, call.query)


def own_model_query(call: Call) -> dict[str, Any]:
    """8.7.2.1-b: one model."""
    return models.query_own(call.node, call.session, call.query["model_id"])


def own_model_delete(call: Call) -> dict[str, Any]:
    """8.7.2.1-a: forget a model."""
    models.remove(call.node, call.session, call.body["model_id"])
    return {}
