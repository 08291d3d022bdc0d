"""The scheduler as a role of its own (5.3-a, 5.3-b): the partner, or a third node that has no data in the job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference_node.domain.task import Cause
from tests.reference_node.jobbing import CHAIN, FORK, Worker, agree_flow, allied, config, created, dag, settle, workers

Three = tuple[Worker, Worker, Worker]


@pytest.fixture
def three() -> Iterator[Three]:
    """Three nodes under contract with each other."""
    with workers("node-a", "node-b", "node-c") as (a, b, c):
        allied(a, b, c)
        yield a, b, c


@pytest.fixture(params=["node-b", "node-c"])
def scheduler(request: pytest.FixtureRequest) -> str:
    """Who schedules: the partner, or the third node."""
    return str(request.param)


def test_another_node_schedules_the_job(three: Three, scheduler: str) -> None:
    """Create, start, tasks in order, end: everything through the scheduler, the same at all nodes."""
    a, b, c = three
    job_id = created(a, b, dag=CHAIN, scheduler=scheduler)
    knowing = [node for node in three if node.id in ("node-a", "node-b", scheduler)]
    assert [node.status(job_id) for node in knowing] == ["READY"] * len(knowing)
    assert a.own("ownJobStart", job_id=job_id).code == 0
    for name in ("a", "b"):
        for node in (a, b):
            assert node.runner.names == [name]
            node.runner.finish()
        settle(*three)
    assert c.runner.works == {}
    assert [node.status(job_id) for node in knowing] == ["FINISHED"] * len(knowing)
    assert [node.job(job_id)["status"] for node in knowing] == [{"a": "SUCCESS", "b": "SUCCESS"}] * len(knowing)
    assert a.own("ownJobStatusAll", job_id=job_id).data["job_status"] == "FINISHED"


def test_a_failure_is_told_through_the_scheduler(three: Three, scheduler: str) -> None:
    """The initiator's component fails, everything stops everywhere."""
    a, b, _ = three
    job_id = created(a, b, dag=FORK, scheduler=scheduler)
    a.own("ownJobStart", job_id=job_id)
    a.runner.finish("a", Cause.COMPONENT_FAILED)
    settle(*three)
    assert [node.status(job_id) for node in (a, b)] == ["FINISHED", "FINISHED"]
    assert [node.runner.running for node in three] == [{}, {}, {}]


def test_the_initiator_drives_tasks_through_the_scheduler(three: Three, scheduler: str) -> None:
    """Start of one task under the initiator's id, stop, rerun with new parameters, stop and rerun of the job."""
    a, b, _ = three
    job_id = created(a, b, dag=CHAIN, scheduler=scheduler, open_params={"a": ["word"]})
    task_id = a.own("ownTaskStart", job_id=job_id, task_name="a").data["task_id"]
    assert [work.key.task_id for node in (a, b) for work in node.runner.running.values()] == [task_id] * 2
    assert a.own("ownTaskStop", job_id=job_id, task_name="a").code == 0
    settle(*three)
    assert [node.runner.running for node in (a, b)] == [{}, {}]
    assert [node.status(job_id) for node in (a, b)] == ["FINISHED", "FINISHED"]
    params = {"common": {"a": {"word": "new"}}}
    assert a.own("ownTaskRerun", job_id=job_id, task_id=task_id, task_params=params).code == 0
    found = [(work.key.attempt, work.parameters) for node in (a, b) for work in node.runner.running.values()]
    assert found == [(2, {"word": "new"})] * 2
    assert a.own("ownJobStop", job_id=job_id).code == 0
    settle(*three)
    assert a.own("ownJobRerun", job_id=job_id, task_params=params).code == 0
    found = [(work.key.attempt, work.parameters) for node in (a, b) for work in node.runner.running.values()]
    assert found == [(1, {"word": "new"})] * 2
    assert a.own("ownJobStop", job_id=job_id).code == 0
    settle(*three)
    assert [node.status(job_id) for node in (a, b)] == ["FINISHED", "FINISHED"]


def test_a_job_that_the_scheduler_does_not_get_is_not_kept(three: Three) -> None:
    """The operator is told, and may try again."""
    a, b, c = three
    job_id = created(a, b, dag=CHAIN, scheduler=c.id)
    a.own("ownJobStop", job_id=job_id)
    a.network.down.add("node-c.test")
    request = {"flow_id": a.job(job_id)["flow_id"], "dag": CHAIN, "config": config(a, b, scheduler=c.id)}
    assert a.own("ownJobCreate", **request).error == "PARTNER_UNREACHABLE"
    assert a.own("ownJobList").data["total"] == 1


def test_only_the_initiator_has_a_job_scheduled(three: Three) -> None:
    """And only by the node that the configuration names."""
    a, b, c = three
    given = {"job_id": "job-1", "dag": CHAIN, "config": config(a, b, scheduler=c.id)}
    assert c.signed("jobCreateAll", b.as_stranger(), **given).error == "NOT_YOURS"
    assert b.signed("jobCreateAll", a.as_stranger(), **given).error == "TARGET_MISMATCH"
    assert b.signed("jobCreate", a.as_stranger(), **given).error == "NOT_YOURS"


def test_a_party_that_does_not_schedule_gives_no_orders(three: Three) -> None:
    """A partner can stop everything through the scheduler, and begin nothing."""
    a, b, c = three
    job_id = created(a, b, c, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    both = {"job_id": job_id, "task_id": a.tasks(job_id)["a"]["task_id"]}
    refused = {
        "jobStart": {"job_id": job_id, "run": 2},
        "jobStop": {"job_id": job_id},
        "taskStart": {"task_id": "task_9", "job_id": job_id, "task_name": "b"},
        "taskStop": both,
        "taskRerun": both,
    }
    assert {name: c.signed(name, b.as_stranger(), **fields).error for name, fields in refused.items()} == dict.fromkeys(
        refused, "NOT_YOURS"
    )
    assert b.own("ownJobRerun", job_id=job_id).error == "NOT_YOURS"
    assert c.signed("jobStopAll", b.as_stranger(), job_id=job_id).error == "NOT_YOURS"
    assert a.signed("jobStopAll", b.as_stranger(), job_id=job_id).code == 0
    settle(*three)
    assert [node.status(job_id) for node in three] == ["FINISHED"] * 3


def test_one_party_away_rejects_nothing_that_it_has_not_refused(three: Three) -> None:
    """The others learn the end of a job that one of them never took."""
    a, b, c = three
    flow = created(a, b, c, dag=CHAIN)
    flow_id = a.job(flow)["flow_id"]
    a.own("ownJobStop", job_id=flow)
    records = c.own("ownFlowAuditList").data["records"]
    assert c.own("ownFlowAuditTerminate", audit_id=records[0]["audit_id"]).code == 0
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=config(a, b, c)).data["job_id"]
    settle(*three)
    assert [node.status(job_id) for node in (a, b)] == ["REJECTED", "REJECTED"]
    assert c.own("ownJobQuery", job_id=job_id).error == "RESOURCE_NOT_FOUND"


def test_the_initiator_sees_a_job_ready_once_its_scheduler_is(three: Three) -> None:
    """While a party has not been heard the initiator waits; once it has, the start is taken at once."""
    a, b, c = three
    given = config(a, b, scheduler=c.id)
    flow_id = agree_flow(a, b, dag=CHAIN, given=given)
    a.network.down.add("node-b.test")
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=given).data["job_id"]
    settle(*three)
    assert [node.status(job_id) for node in (a, c)] == ["PENDING", "PENDING"]
    a.network.down.clear()
    a.clock.advance(60)
    settle(*three)
    assert [node.status(job_id) for node in three] == ["READY"] * 3
    assert a.own("ownJobStart", job_id=job_id).code == 0


def test_a_start_may_overtake_the_answer_to_the_creation(three: Three, scheduler: str) -> None:
    """The initiator has taken the job and starts it before its scheduler has heard so: it is started, once."""
    a, b, _ = three
    given = config(a, b, scheduler=scheduler)
    flow_id = agree_flow(a, b, dag=CHAIN, given=given)
    a.network.answers_lost.add("node-a.test")
    fields = {"flow_id": flow_id, "dag": CHAIN, "config": given}
    job_id = a.own("ownJobCreate", **fields).data["job_id"]
    settle(*three)
    assert a.status(job_id) == "READY"
    assert next(node for node in three if node.id == scheduler).status(job_id) == "PENDING"
    a.network.answers_lost.clear()
    assert a.own("ownJobStart", job_id=job_id).code == 0
    a.clock.advance(60)
    settle(*three)
    assert [node.runner.names for node in (a, b)] == [["a"], ["a"]]


def test_the_initiator_hears_that_a_party_refuses_before_it_was_told_itself(three: Three) -> None:
    """The job is rejected at the scheduler and at the initiator."""
    a, b, c = three
    flow_id = agree_flow(a, b, dag=CHAIN)
    audit_id = b.own("ownFlowAuditList").data["records"][0]["audit_id"]
    assert b.own("ownFlowAuditTerminate", audit_id=audit_id).code == 0
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=config(a, b, scheduler=c.id)).data["job_id"]
    settle(*three)
    assert [node.status(job_id) for node in (a, c)] == ["REJECTED", "REJECTED"]


@pytest.mark.parametrize("offering", ["node-a node-b", "node-a", "node-b", ""])
def test_messages_go_over_grpc_between_nodes_that_both_announce_it(offering: str) -> None:
    """One word of the job asks for it; where either side has no address for it, the contract's serves (9.1-a)."""
    with workers("node-a", "node-b") as nodes:
        for node in nodes:
            if node.id in offering.split():
                node.node.grpc_listening = f"grpc://{node.id}.test:1"
        allied(*nodes)
        a, b = nodes
        for transport in ("http", "grpc"):
            job_id = created(a, b, dag=dag(), transport=transport)
            assert a.own("ownJobStart", job_id=job_id).code == 0
            settle(*nodes)
            for node, other in ((a, b), (b, a)):
                (session,) = [
                    item for item in node.node.sessions._sessions.values() if item.session_id.endswith(job_id)
                ]
                wanted = (
                    {other.id: f"grpc://{other.id}.test:1"} if transport == "grpc" and "-a node-b" in offering else {}
                )
                assert session.addresses == wanted
        found = a.raw("nodeQuery", {}, {"node_id": a.id}).data
        assert found.get("grpc_address") == ("grpc://node-a.test:1" if a.id in offering else None)
