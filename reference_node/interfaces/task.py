"""The operations of 8.5: each translates its call for a service and returns what the service says."""

from __future__ import annotations

from typing import Any

from reference_node.errors import Refusal
from reference_node.interfaces.calls import Call, Streamed
from reference_node.services import task_news, task_outputs, task_runs, task_stops, tasks


def task_start(call: Call) -> dict[str, Any]:
    """8.5.1-b: begin a component under a given id."""
    return task_runs.receive_start(call.node, call.session, call.caller, call.body)


def task_query(call: Call) -> dict[str, Any]:
    """8.5.2-c: one task as it runs here."""
    return tasks.query_for(call.node, call.session, call.caller, call.query)


def task_poll(call: Call) -> dict[str, Any]:
    """8.5.2-c: the state that a callback would have told."""
    return tasks.state_for(call.node, call.session, call.caller, call.body)


def task_stop(call: Call) -> dict[str, Any]:
    """8.5.3-b: stop one task here."""
    task_stops.receive_stop(call.node, call.session, call.caller, call.body)
    return {}


def task_callback(call: Call) -> dict[str, Any]:
    """8.5.4-b: a party tells of its part."""
    task_news.receive_callback(call.node, call.session, call.caller, call.body)
    return {}


def task_rerun(call: Call) -> dict[str, Any]:
    """8.5.5-b: run one task again."""
    task_runs.receive_rerun(call.node, call.session, call.caller, call.body)
    return {}


def own_task_start(call: Call) -> dict[str, Any]:
    """8.5.1-a: start one component of a job."""
    return task_runs.start_own(call.node, call.session, call.body, call.trace_id)


def own_task_list(call: Call) -> dict[str, Any]:
    """8.5.2-a: the tasks of a job."""
    return tasks.list_own(call.node, call.session, call.query)


def own_task_query(call: Call) -> dict[str, Any]:
    """8.5.2-b: one task."""
    return tasks.query_own(call.node, call.session, call.query)


def own_task_log_lines(call: Call) -> dict[str, Any]:
    """8.5.2-d: how long the log of a task is."""
    return tasks.log_lines(call.node, call.session, call.query)


def own_task_log(call: Call) -> dict[str, Any]:
    """8.5.2-d: lines of the log of a task."""
    return tasks.log(call.node, call.session, call.query)


def own_task_output(call: Call) -> Streamed:
    """8.5.6: a file that a task has put out, as it was before it was sealed."""
    found = task_outputs.fetch(call.node, call.session, call.query)
    return Streamed(found.name, found.size, found.content)


def own_task_stop(call: Call) -> dict[str, Any]:
    """8.5.3-a: stop one task."""
    task_stops.stop_own(call.node, call.session, call.body, call.trace_id)
    return {}


def own_task_callback(call: Call) -> dict[str, Any]:
    """8.5.4-a: a component tells of its part."""
    task_news.receive_own_callback(call.node, call.session, _of_component(call))
    return {}


def own_task_rerun(call: Call) -> dict[str, Any]:
    """8.5.5-a: run one task again."""
    task_runs.rerun_own(call.node, call.session, call.body, call.trace_id)
    return {}


def own_task_report(call: Call) -> dict[str, Any]:
    """8.5.6: keep what a task has put out."""
    task_news.report(call.node, call.session, _of_component(call))
    return {}


def _of_component(call: Call) -> dict[str, Any]:
    """Return what is reported; a component reports of its own job only."""
    if call.component_of is None:
        return call.body
    if call.body.get("job_id", call.component_of) != call.component_of:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    return {**call.body, "job_id": call.component_of}
