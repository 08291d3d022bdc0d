"""A scheduler orders when a task runs, never with what (5.2-f, 8.4.3-b, 8.5.1-b, 8.5.5-b); what is opened counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reference_node.evidence.noting import Act
from reference_node.store.approvals import PermitRow
from reference_node.store.evidence import EvidenceRow
from reference_node.store.jobs import find_job
from reference_node.store.resources import ComponentRow
from tests.reference_node.jobbing import (
    Worker,
    agree_flow,
    allied,
    config,
    contract_between,
    dag,
    part,
    settle,
    workers,
)

PLAN = dag(part("a", "follow", ["table"]))
PUBLIC, PRIVATE, LENT = "ds-public", "ds-private", "ds-lent"
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "our input": ({"common": {}, "guest": {"0": {"a": {"input": {"table": PRIVATE}}}}}, "/task_params/guest/0/a/input"),
    "the result party": ({"common": {"a": {"word": "partner"}}}, "/task_params/common/a/word"),
    "another party only": ({"common": {}, "host": {"a": {"word": "partner"}}}, "/task_params/host/a/word"),
    "a parameter that was absent": ({"common": {"a": {"times": 3}}}, "/task_params/common/a/times"),
    "one place only": ({"common": {}, "host": {"0": {"a": {"times": 1}}}}, "/task_params/host/0/a/times"),
}


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[Worker, Worker, Worker]]:
    """A, with a public, a private and a lent dataset; B, its partner; C, which schedules and computes nothing."""
    table = tmp_path / "table.csv"
    table.write_text("id\n1\n")
    with workers("node-a", "node-b", "node-c") as (a, b, c):
        allied(a, b, c)
        for name, visibility in ((PUBLIC, "PUBLIC"), (PRIVATE, "PRIVATE"), (LENT, "PROTECTED")):
            source = {"type": "FILE", "location": str(table)}
            made = a.own("ownDatasetCreate", dataset_id=name, name="t", source=source, visibility=visibility)
            assert made.code == 0, made
        yield a, b, c


def statistics(a: Worker, b: Worker, dataset: str = PUBLIC, role: str = "guest", **settings: Any) -> dict[str, Any]:
    """Return a configuration by which `word` says who receives the result; A's input is the dataset."""
    other = "host" if role == "guest" else "guest"
    inputs = {role: {"0": {"a": {"input": {"table": dataset}}}}, other: {"0": {"a": {"input": {"table": None}}}}}
    nodes = (a, b) if role == "guest" else (b, a)
    return config(*nodes, params={"common": {"a": {"word": "us"}}, **inputs}, **settings)


def own_job(a: Worker, b: Worker, c: Worker, **settings: Any) -> str:
    """Have A make a job that C schedules; return its id."""
    given = statistics(a, b, scheduler=c.id, **settings)
    flow_id = agree_flow(a, b, dag=PLAN, given=given)
    made = a.own("ownJobCreate", flow_id=flow_id, dag=PLAN, config=given)
    assert made.code == 0, made
    settle(a, b, c)
    assert a.status(str(made.data["job_id"])) == "READY"
    return str(made.data["job_id"])


def partners_job(a: Worker, b: Worker, dataset: str = PUBLIC, job_id: str = "job-1", **settings: Any) -> str:
    """Have B, as scheduler, make a job at A and start it; return its id."""
    given = statistics(a, b, dataset, "host", **settings)
    flow_id = agree_flow(b, a, dag=PLAN, project="prj-b", given=given)
    fields = {"job_id": job_id, "flow_id": flow_id, "project_id": "prj-b", "dag": PLAN, "config": given}
    made = a.signed("jobCreate", b.as_stranger(), **fields)
    assert made.code == 0, made
    assert a.signed("jobStart", b.as_stranger(), job_id=job_id).code == 0
    return job_id


def refusals(node: Worker) -> int:
    """Return how many refused orders are on record."""
    with node.node.store.read() as session:
        return session.query(EvidenceRow).filter(EvidenceRow.act == Act.JOB_ORDER_REFUSED.value).count()


def uses(node: Worker) -> int:
    """Return how often permits of a node were used."""
    with node.node.store.read() as session:
        return sum(row.uses for row in session.query(PermitRow) if row.resource_id == LENT)


@pytest.mark.parametrize("change", CHANGES)
def test_a_scheduler_cannot_change_what_our_own_job_computes(three: tuple[Worker, Worker, Worker], change: str) -> None:
    """The attack: C begins a task of A's job with its own parameters. Refused, on record, and nothing has run."""
    a, b, c = three
    job_id = own_job(a, b, c)
    given, place = CHANGES[change]
    for node in (a, b):
        assert node.signed("jobStart", c.as_stranger(), job_id=job_id).code == 0
    before = a.job(job_id)
    order = {"task_id": "task_1", "job_id": job_id, "task_name": "a"}
    reply = a.signed("taskStart", c.as_stranger(), **order, task_params=given)
    assert (reply.error, reply.data["pointer"]) == ("PARAMS_NOT_AGREED", place)
    assert (refusals(a), a.tasks(job_id), a.runner.works, a.job(job_id)) == (1, {}, {}, before)
    assert a.signed("taskStart", c.as_stranger(), **order).code == 0
    (work,) = a.runner.works.values()
    assert (work.parameters, work.recorded["in"].resource_id) == ({"word": "us"}, PUBLIC)
    again = {"job_id": job_id, "task_id": "task_1", "attempt": 2, "run": 1}
    a.runner.finish()
    settle(a)
    reply = a.signed("taskRerun", c.as_stranger(), **{**again, "run": 2}, task_params=given)
    assert (reply.error, reply.data["pointer"]) == ("PARAMS_NOT_AGREED", place)
    reply = a.signed("taskStart", c.as_stranger(), **order, attempt=2, run=2, task_params=given)
    assert (reply.error, refusals(a), a.tasks(job_id)["a"]["attempt"]) == ("PARAMS_NOT_AGREED", 3, 1)
    reply = a.signed("jobStart", c.as_stranger(), job_id=job_id, run=2, task_params=given)
    assert (reply.error, refusals(a), len(a.runner.works)) == ("PARAMS_NOT_AGREED", 4, 1)


@pytest.mark.parametrize("change", ["the result party", "another party only", "a parameter that was absent"])
def test_a_partner_cannot_change_what_its_job_computes_here(three: tuple[Worker, Worker, Worker], change: str) -> None:
    """The same where A is a party; what the job leaves open may be given anew, what is agreed may be repeated."""
    a, b, _ = three
    job_id = partners_job(a, b, open_params={"a": ["times"]} if change != "a parameter that was absent" else {})
    order = {"task_id": "task_1", "job_id": job_id, "task_name": "a"}
    reply = a.signed("taskStart", b.as_stranger(), **order, task_params=CHANGES[change][0])
    assert (reply.error, refusals(a), a.runner.works) == ("PARAMS_NOT_AGREED", 1, {})
    code = {"dag": dag(part("a", "echo")), "component": "echo", "address": "http://127.0.0.1:1", "config": {}}
    fine: dict[str, Any] = {"common": {"a": {"word": "us"}}}
    if change != "a parameter that was absent":
        fine["common"]["a"]["times"] = 2
    assert a.signed("taskStart", b.as_stranger(), **order, task_params=fine, **code).code == 0
    (work,) = a.runner.works.values()
    assert (work.component["componentName"], work.parameters["word"]) == ("follow", "us")


def test_what_the_operator_decides_comes_back_through_the_scheduler(three: tuple[Worker, Worker, Worker]) -> None:
    """A's operator gives its task another input of its own; with exactly that, and nothing else, C may begin it."""
    a, b, c = three
    job_id = own_job(a, b, c, open_params={"a": ["times"]})
    decided = {"common": {}, "guest": {"0": {"a": {"input": {"table": LENT}}}}}
    a.network.down.add("node-c.test")
    assert a.own("ownTaskStart", job_id=job_id, task_name="a", task_params=decided).error == "PARTNER_UNREACHABLE"
    a.network.down.clear()
    reply = a.own("ownTaskStart", job_id=job_id, task_name="a", task_params=decided)
    assert reply.code == 0, reply
    settle(a, b, c)
    (work,) = a.runner.works.values()
    assert (work.recorded["in"].resource_id, b.tasks(job_id)) == (LENT, {})  # B has not agreed to the new input
    settle(a, b, c)
    assert a.job(job_id)["end_reason"] == "PARTNER_REFUSED"
    assert "PARAMS_NOT_AGREED" in c.job(job_id)["detail"]
    assert refusals(b) == 1


def test_a_new_configuration_that_was_approved_may_run(three: tuple[Worker, Worker, Worker]) -> None:
    """B applies for its job anew with another result party; once A has approved that, B's order passes."""
    a, b, _ = three
    job_id = partners_job(a, b)
    order = {"task_id": "task_1", "job_id": job_id, "task_name": "a", "task_params": {"common": {"a": {"word": "you"}}}}
    assert a.signed("taskStart", b.as_stranger(), **order).error == "PARAMS_NOT_AGREED"
    wanted = statistics(a, b, PUBLIC, "host")
    wanted["task_params"]["common"]["a"]["word"] = "you"
    with b.node.store.read() as session:
        assert find_job(session, job_id) is None
    asked = {"audit_id": "audit-9", "job_id": job_id, "flow_id": "flow-9", "name": "n", "project_id": "prj-b"}
    fields = {**asked, "dag": PLAN, "conf": wanted, "contract_id": contract_between(a, b)}
    applied = a.signed("jobAuditApply", b.as_stranger(), **fields)
    assert applied.code == 0, applied
    assert a.signed("taskStart", b.as_stranger(), **order).error == "PARAMS_NOT_AGREED"
    assert a.own("ownJobAuditConfirm", audit_id="audit-9", status="APPROVED").code == 0
    other = {"common": {"a": {"word": "they"}}}
    assert a.signed("taskStart", b.as_stranger(), **{**order, "task_params": other}).error == "PARAMS_NOT_AGREED"
    assert a.signed("taskStart", b.as_stranger(), **order).code == 0
    (work,) = a.runner.running.values()
    assert work.parameters["word"] == "you"
    assert a.own("ownJobAuditTerminate", audit_id="audit-9").code == 0
    assert (a.runner.running, a.tasks(job_id)["a"]["end_reason"]) == ({}, "PARAMS_NOT_AGREED")


def test_the_initiator_applies_anew_and_then_runs_its_job_with_other_parameters(
    three: tuple[Worker, Worker, Worker],
) -> None:
    """Unasked the partner refuses and the run ends with the reason; asked and approved, the same rerun runs there."""
    a, b, _ = three
    flow_id = agree_flow(a, b, dag=PLAN, given=statistics(a, b))
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=PLAN, config=statistics(a, b)).data["job_id"]
    a.own("ownJobStart", job_id=job_id)
    a.own("ownJobStop", job_id=job_id)
    settle(a, b)
    rerun = {"job_id": job_id, "task_params": {"common": {"a": {"word": "you"}}}}
    assert a.own("ownJobRerun", **rerun).code == 0
    settle(a, b)
    assert (a.job(job_id)["job_status"], a.job(job_id)["end_reason"]) == ("FINISHED", "PARTNER_REFUSED")
    assert "PARAMS_NOT_AGREED" in a.job(job_id)["detail"]
    runs = a.job(job_id)["run"]
    assert a.own("ownJobRerun", **rerun, approval=True).data == {"job_id": job_id}
    assert (a.job(job_id)["run"], a.job(job_id)["job_status"]) == (runs, "FINISHED")
    (record,) = b.own("ownJobAuditList").data["records"]
    assert record["content"]["conf"]["task_params"]["host"]["0"]["a"] == {"word": "you", "input": {"table": None}}
    assert b.own("ownJobAuditConfirm", audit_id=record["audit_id"], status="APPROVED").code == 0
    assert a.own("ownJobRerun", **rerun).code == 0
    settle(a, b)
    assert [work.parameters for work in b.runner.running.values()] == [{"word": "you"}]


def granted(a: Worker, b: Worker, **limits: Any) -> None:
    """Lend the dataset to B."""
    scope = {"type": "NODE"}
    told = a.own("ownDatasetGrant", contract_id=contract_between(a, b), dataset_id=LENT, auth_scope=scope, **limits)
    assert told.code == 0, told


def test_a_use_is_counted_when_the_data_are_opened(three: tuple[Worker, Worker, Worker]) -> None:
    """Not at the creation of a job; each attempt is one; what is spent ends the task with a cause that says so."""
    a, b, _ = three
    granted(a, b, times_limit=2)
    job_id = partners_job(a, b, LENT)
    second = partners_job(a, b, LENT, "job-2")
    assert uses(a) == 0
    order = {"task_id": "task_1", "job_id": job_id, "task_name": "a"}
    named = {"common": {}, "host": {"0": {"a": {"input": {"table": LENT}}}}}
    assert a.signed("taskStart", b.as_stranger(), **order, task_params=named).code == 0
    a.runner.finish()
    settle(a)
    assert (uses(a), a.tasks(job_id)["a"]["status"]) == (1, "SUCCESS")
    assert a.signed("taskRerun", b.as_stranger(), job_id=job_id, task_id="task_1", run=2, attempt=2).code == 0
    a.runner.finish()
    settle(a)
    assert uses(a) == 2
    other = {"task_id": "task_2", "job_id": second, "task_name": "a"}
    assert a.signed("taskStart", b.as_stranger(), **other).code == 0
    assert a.tasks(second)["a"]["end_reason"] == "PERMIT_EXHAUSTED"
    assert (uses(a), len(a.runner.works)) == (2, 2)
    given = statistics(a, b, LENT, "host")
    flow_id = agree_flow(b, a, dag=PLAN, project="prj-b", given=given)
    fields = {"flow_id": flow_id, "dag": PLAN, "config": given}
    late = a.signed("jobCreate", b.as_stranger(), job_id="job-3", **fields)
    assert (late.error, late.data["pointer"]) == ("PERMIT_EXHAUSTED", "/config/task_params/host/0/a/input/table")


def test_a_dataset_named_by_the_order_alone_is_not_opened(three: tuple[Worker, Worker, Worker]) -> None:
    """The audit's hole: the job names no input, the order does. It is refused and nothing is counted."""
    a, b, _ = three
    granted(a, b, times_limit=1)
    given = statistics(a, b, LENT, "host")
    given["task_params"]["host"]["0"]["a"]["input"]["table"] = None
    flow_id = agree_flow(b, a, dag=PLAN, project="prj-b", given=given)
    assert a.signed("jobCreate", b.as_stranger(), job_id="job-1", flow_id=flow_id, dag=PLAN, config=given).code == 0
    assert a.signed("jobStart", b.as_stranger(), job_id="job-1").code == 0
    for number in (1, 2):
        order = {"task_id": f"task_{number}", "job_id": "job-1", "task_name": "a"}
        named = {"common": {}, "host": {"0": {"a": {"input": {"table": LENT}}}}}
        assert a.signed("taskStart", b.as_stranger(), **order, task_params=named).error == "PARAMS_NOT_AGREED"
    assert (uses(a), a.runner.works) == (0, {})


def test_a_component_that_was_replaced_is_not_run(three: tuple[Worker, Worker, Worker]) -> None:
    """The code of a registered component is that of the time at which the job was taken."""
    a, b, _ = three
    job_id = partners_job(a, b)
    with a.node.store.begin() as session:
        job = find_job(session, job_id)
        assert job is not None
        assert job.components == {}  # what comes with the node is not among them
        job.components = {"a": "0" * 64}
    order = {"task_id": "task_1", "job_id": job_id, "task_name": "a"}
    assert a.signed("taskStart", b.as_stranger(), **order).code == 0
    with a.node.store.read() as session:
        assert session.query(ComponentRow).count() == 0
    assert (a.tasks(job_id)["a"]["end_reason"], a.runner.works) == ("NOT_LAUNCHED", {})


def test_the_token_of_a_session_is_drawn_and_shared(three: tuple[Worker, Worker, Worker]) -> None:
    """All nodes of a job that C schedules have one token, which nobody can guess from the job."""
    a, b, c = three
    job_id = own_job(a, b, c)
    tokens = set()
    for node in (a, b, c):
        with node.node.store.read() as session:
            job = find_job(session, job_id)
            assert job is not None
            tokens.add(job.session_token)
    (token,) = tokens
    assert job_id not in token
    assert len(token) >= 32


def test_without_a_token_the_signature_of_each_message_admits(three: tuple[Worker, Worker, Worker]) -> None:
    """Where a scheduler tells none, the id of the job opens nothing to a node that is no party."""
    a, b, c = three
    job_id = partners_job(a, b)
    session = a.node.sessions.of_any(f"session_{job_id}")
    assert session is not None
    assert not session.proved
    assert a.node.sessions.of_partner(session.session_id, "whatever it shows", b.id) is session
    with pytest.raises(Exception, match="NOT_YOURS"):
        a.node.sessions.of_partner(session.session_id, job_id, c.id)
