"""The operations of 8.4: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from reference_node.interfaces.audits import Audits
from reference_node.interfaces.calls import Call
from reference_node.services import job_offers, job_runs, jobs, task_stops

_audits = Audits(Kind.JOB)  # 8.4.1-b
job_audit_apply = _audits.apply
job_audit_confirm = _audits.confirm
job_audit_terminate = _audits.terminate
job_audit_query = _audits.query
own_job_audit_confirm = _audits.own_confirm
own_job_audit_terminate = _audits.own_terminate
own_job_audit_query = _audits.own_query
own_job_audit_list = _audits.own_list


def job_create_all(call: Call) -> dict[str, Any]:
    """8.4.1-b: schedule a job for its initiator."""
    job_offers.receive_all(call.node, call.session, call.caller, call.body)
    return {}


def job_create(call: Call) -> dict[str, Any]:
    """8.4.1-b: take part in a job."""
    job_offers.receive(call.node, call.session, call.caller, call.body)
    return {}


def job_start(call: Call) -> dict[str, Any]:
    """8.4.3-b: start a job on this node."""
    job_runs.receive_start(call.node, call.session, call.caller, call.body)
    return {}


def job_stop_all(call: Call) -> dict[str, Any]:
    """8.4.4-b: stop a job, or one task of it, everywhere."""
    (task_stops.receive_stop_all if "task_name" in call.body else job_runs.receive_stop_all)(
        call.node, call.session, call.caller, call.body
    )
    return {}


def job_stop(call: Call) -> dict[str, Any]:
    """8.4.4-b: stop a job, or one task of it, on this node."""
    (task_stops.receive_stop if "task_name" in call.body else job_runs.receive_stop)(
        call.node, call.session, call.caller, call.body
    )
    return {}


def job_status_all(call: Call) -> dict[str, Any]:
    """8.4.2-b: how a job and its tasks are."""
    return jobs.state_for(call.node, call.session, call.caller, call.body["job_id"])


def own_job_create(call: Call) -> dict[str, Any]:
    """8.4.1-a: make a job of a flow."""
    return job_offers.create(call.node, call.session, call.body, call.trace_id)


def own_job_list(call: Call) -> dict[str, Any]:
    """8.4.2-a: the jobs of a flow."""
    return jobs.list_own(call.node, call.session, call.query)


def own_job_query(call: Call) -> dict[str, Any]:
    """8.4.2-b: one job."""
    return jobs.query_own(call.node, call.session, call.query["job_id"])


def own_job_status_all(call: Call) -> dict[str, Any]:
    """8.4.2-b: how a job and its tasks are."""
    return jobs.state_own(call.node, call.session, call.query["job_id"])


def own_job_start(call: Call) -> dict[str, Any]:
    """8.4.3-a: start a job."""
    job_runs.start_own(call.node, call.session, call.body["job_id"], call.trace_id)
    return {}


def own_job_stop(call: Call) -> dict[str, Any]:
    """8.4.4-a: stop a job."""
    job_runs.stop_own(call.node, call.session, call.body["job_id"])
    return {}


def own_job_rerun(call: Call) -> dict[str, Any]:
    """8.4.5: run a job again."""
    return job_runs.rerun_own(call.node, call.session, call.body, call.trace_id)
