"""What goes wrong between the nodes of a job: refusals, silence, nonsense, restarts; every wait has an end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference_node.domain.task import Cause
from reference_node.transport.outbound import OutboundAnswer
from tests.reference_node.jobbing import (
    CHAIN,
    ScriptedRunner,
    Worker,
    agree_flow,
    allied,
    config,
    created,
    dag,
    folders,
    part,
    restarted,
    settle,
    workers,
)

Two = tuple[Worker, Worker]
HTML = OutboundAnswer(200, {"content-type": "text/html"}, b"<html>login</html>")
BROKEN = OutboundAnswer(500, {}, json.dumps({"code": 1, "msg": "x", "data": {}}).encode())
STRANGE = OutboundAnswer(200, {}, json.dumps({"code": 0, "msg": "ok", "data": {"status": "EXPLODED"}}).encode())


@pytest.fixture
def two() -> Iterator[Two]:
    """Two nodes under contract."""
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        yield a, b


def pass_time(*nodes: Worker, seconds: int) -> None:
    """Let time pass in steps, the nodes working meanwhile."""
    for _ in range(seconds // 5 + 1):
        nodes[0].clock.advance(5)
        settle(*nodes, rounds=1)


def test_a_job_of_an_unapproved_flow_is_rejected(two: Two) -> None:
    """The partner does not take it, and the initiator learns who said so and where."""
    a, b = two
    flow_id = agree_flow(a, dag=CHAIN)
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=config(a, b)).data["job_id"]
    job = a.job(job_id)
    assert (job["job_status"], job["end_reason"]) == ("REJECTED", "PARTNER_REFUSED")
    assert job["detail"] == "node-b: PARTNER_REFUSED RESOURCE_NOT_APPROVED"
    assert b.own("ownJobQuery", job_id=job_id).error == "RESOURCE_NOT_FOUND"
    assert a.own("ownJobStart", job_id=job_id).error == "JOB_NOT_READY"


def test_the_dag_is_the_one_that_was_approved(two: Two) -> None:
    """Neither the initiator nor the partner runs another."""
    a, b = two
    flow_id = agree_flow(a, b, dag=CHAIN)
    other = dag(part("a"))
    refused = a.own("ownJobCreate", flow_id=flow_id, dag=other, config=config(a, b))
    assert (refused.error, refused.data["pointer"]) == ("DAG_FROZEN", "/dag")
    body = {"job_id": "job-x", "flow_id": flow_id, "dag": other, "config": config(a, b)}
    refused = b.signed("jobCreate", a.as_stranger(), **body)
    assert (refused.error, refused.data["pointer"]) == ("DAG_FROZEN", "/dag")


@pytest.mark.parametrize(
    ("changes", "error", "pointer"),
    [
        ({"dag": dag(part("a", "unheard"))}, "RESOURCE_NOT_FOUND", "/dag/components/0/componentName"),
        ({"dag": dag(part("a", "follow", ["a.out"]))}, "DAG_INVALID", "/dag/components/0"),
        ({"dag": dag(part("a", "follow"))}, "DAG_INVALID", "/dag/components/0/input"),
        ({"params": {"common": {"a": {"word": "9"}}}}, "PARAMS_INVALID", "/config/task_params/common/a/word"),
        ({"params": {"guest": {"0": {"a": {"x": 1}}}}}, "PARAMS_INVALID", "/config/task_params/guest/0/a/x"),
        ({"params": {"common": {"z": {}}}}, "PARAMS_INVALID", "/config/task_params/common/z"),
        ({"role": {"guest": ["node-a"], "host": ["node-b", "node-b"]}}, "REQUEST_INVALID", "/config/role/host/1"),
        ({"role": {"guest": ["node-a"], "host": ["node-z"]}}, "CONTRACT_NOT_ACTIVE", "/config/role/host/0"),
        ({"role": {"guest": ["node-b"], "host": ["node-a"]}}, "REQUEST_INVALID", "/config/initiator/node_id"),
        ({"initiator": {"role": "guest", "node_id": "node-b"}}, "REQUEST_INVALID", "/config/initiator/node_id"),
        ({"dag": dag(part("a", "follow", ["table"]))}, "PARAMS_INVALID", "/config/task_params/guest/0/a/input/table"),
        (
            {"dag": dag(part("a", "follow", ["table"])), "params": {"common": {"a": {"input": {"table": "ds-none"}}}}},
            "RESOURCE_NOT_FOUND",
            "/config/task_params/guest/0/a/input/table",
        ),
    ],
)
def test_what_cannot_run_is_refused_with_its_place(two: Two, changes: dict, error: str, pointer: str) -> None:
    """Cycles, unknown components, missing inputs, wrong parameters and parties."""
    a, b = two
    given = config(a, b, params=changes.pop("params", None))
    plan = changes.pop("dag", CHAIN)
    refused = a.own("ownJobCreate", dag=plan, config={**given, **changes})
    assert (refused.error, refused.data.get("pointer")) == (error, pointer)
    assert a.own("ownJobList").data["total"] == 0


def test_a_partners_dataset_is_used_as_far_as_it_was_granted(two: Two) -> None:
    """A dataset that the partner keeps to itself does not exist for the job, a public one does."""
    a, b = two
    plan = dag(part("a", "follow", ["table"]))
    params = {
        "guest": {"0": {"a": {"input": {"table": "ds-node-a"}}}},
        "host": {"0": {"a": {"input": {"table": "ds-node-b"}}}},
    }
    request = {"dag": plan, "config": config(a, b, params=params)}
    request["flow_id"] = agree_flow(a, b, dag=plan, given=request["config"])
    for node, visibility in ((a, "PRIVATE"), (b, "PROTECTED")):
        source = {"type": "FILE", "location": "/data/t.csv"}
        made = node.own("ownDatasetCreate", dataset_id=f"ds-{node.id}", name="t", source=source, visibility=visibility)
        assert made.code == 0
    first = a.own("ownJobCreate", **request).data["job_id"]
    assert a.job(first)["detail"] == "node-b: PARTNER_REFUSED RESOURCE_NOT_FOUND"
    assert b.own("ownDatasetUpdate", dataset_id="ds-node-b", visibility="PUBLIC").code == 0
    second = a.own("ownJobCreate", **request).data["job_id"]
    assert a.own("ownJobStart", job_id=second).code == 0
    assert [str(work.inputs["in"]) for node in two for work in node.runner.running.values()] == ["/data/t.csv"] * 2


@pytest.mark.parametrize("answer", [None, HTML, BROKEN, STRANGE], ids=["silent", "html", "500", "strange"])
def test_a_partner_that_does_not_take_the_job_is_waited_for_a_bounded_time(
    two: Two, answer: OutboundAnswer | None
) -> None:
    """The job stays pending meanwhile and is over afterwards."""
    a, b = two
    flow_id = agree_flow(a, b, dag=CHAIN)
    spoil(a, "/v1/interconn/schedule/job/create", answer)
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=config(a, b)).data["job_id"]
    if answer is STRANGE:  # the envelope says yes, and create asks for no more
        assert a.status(job_id) == "READY"
        return
    assert a.status(job_id) == "PENDING"
    pass_time(a, seconds=a.node.config.order_seconds + 60)
    assert (a.status(job_id), a.job(job_id)["end_reason"]) == ("FINISHED", "PARTNER_UNREACHABLE")


@pytest.mark.parametrize("answer", [None, HTML, BROKEN, STRANGE], ids=["silent", "html", "500", "strange"])
def test_a_partner_that_falls_silent_in_a_task_fails_it(two: Two, answer: OutboundAnswer | None) -> None:
    """Polls that get no answer end with the patience; the job ends on both sides once they meet again."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    a.runner.finish("a")
    spoil(a, "/v1/interconn/schedule/task/poll", answer)
    pass_time(a, seconds=a.node.config.order_seconds + 30)
    if answer is not None:  # only the polls were answered with nonsense
        settle(a, b)
    assert (a.status(job_id), a.job(job_id)["end_reason"]) == ("FINISHED", "PARTNER_UNREACHABLE")
    a.network.down.clear()
    a.network.canned.clear()
    pass_time(a, b, seconds=120)
    assert b.status(job_id) == "FINISHED"
    assert [node.runner.running for node in two] == [{}, {}]


def spoil(node: Worker, path: str, answer: OutboundAnswer | None) -> None:
    """Have the partner's answers to one operation spoilt, or the partner away."""
    if answer is None:
        node.network.down.add("node-b.test")
    else:
        node.network.canned[path] = answer


def test_a_refused_task_ends_the_job(two: Two) -> None:
    """The partner's refusal is its end, at once and with the reason."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    refusal = {"code": 40907, "msg": "no", "data": {"error": "IN_USE", "hint": "no"}}
    a.network.canned["/v1/interconn/schedule/task/start"] = OutboundAnswer(409, {}, json.dumps(refusal).encode())
    a.own("ownJobStart", job_id=job_id)
    job = a.job(job_id)
    assert (job["job_status"], job["end_reason"]) == ("FINISHED", "PARTNER_REFUSED")
    assert job["detail"] == "node-b: PARTNER_REFUSED IN_USE"
    assert (b.status(job_id), a.runner.running) == ("FINISHED", {})


def test_a_partner_cut_off_ends_by_its_own_clock(two: Two) -> None:
    """Without a word from the scheduler the time-out of the job ends it."""
    a, b = two
    job_id = created(a, b, dag=CHAIN, timeout=300)
    a.own("ownJobStart", job_id=job_id)
    a.network.down |= {"node-a.test", "node-b.test"}
    pass_time(b, seconds=310)
    assert (b.status(job_id), b.job(job_id)["end_reason"], b.runner.running) == ("FINISHED", "TIMED_OUT", {})


def test_a_stop_reaches_a_partner_that_was_away(two: Two) -> None:
    """The job is over here after the patience, there as soon as the news arrives."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    a.network.down.add("node-b.test")
    a.own("ownJobStop", job_id=job_id)
    assert a.runner.running == {}
    pass_time(a, seconds=a.node.config.order_seconds + 5)
    assert a.status(job_id) == "FINISHED"
    assert b.runner.names == ["a"]
    a.network.down.clear()
    pass_time(a, b, seconds=90)
    assert (b.status(job_id), b.runner.running) == ("FINISHED", {})


def test_a_job_whose_news_were_all_lost_is_found_out_by_asking(two: Two) -> None:
    """The partner asks the scheduler after a while and adopts its word."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.network.down.add("node-b.test")
    a.own("ownJobStop", job_id=job_id)
    assert b.status(job_id) == "READY"
    b.clock.advance(b.node.config.poll_seconds + 1)
    b.pump()
    assert b.status(job_id) == "FINISHED"


def test_a_launch_that_fails_fails_the_job(two: Two) -> None:
    """The task says that it was not launched, and why."""
    a, b = two
    b.runner.refuse = True
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    settle(a, b)
    assert (b.tasks(job_id)["a"]["end_reason"], b.tasks(job_id)["a"]["detail"]) == ("NOT_LAUNCHED", "not today")
    assert [node.status(job_id) for node in two] == ["FINISHED", "FINISHED"]
    assert a.job(job_id)["end_reason"] == "NOT_LAUNCHED"


def test_the_end_of_the_contract_ends_the_job(two: Two) -> None:
    """What rests on it stops at both ends."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    contract_id = a.own("ownContractList").data["records"][0]["contract_id"]
    assert a.own("ownContractTerminate", contract_id=contract_id).code == 0
    pass_time(a, b, seconds=a.node.config.order_seconds + 30)
    assert [(node.status(job_id), node.job(job_id)["end_reason"]) for node in two] == [
        ("FINISHED", "CONTRACT_ENDED")
    ] * 2
    assert [node.runner.running for node in two] == [{}, {}]


def test_every_answer_lost_changes_nothing_in_the_end(two: Two) -> None:
    """Each order is carried out although its answer never arrives; repetitions do no harm."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.network.answers_lost.add("node-b.test")
    a.own("ownJobStart", job_id=job_id)
    pass_time(a, b, seconds=10)
    a.network.answers_lost.clear()
    for name in ("a", "b"):
        pass_time(a, b, seconds=30)
        for node in two:
            assert node.runner.names == [name]
            node.runner.finish()
    pass_time(a, b, seconds=30)
    assert [node.job(job_id)["status"] for node in two] == [{"a": "SUCCESS", "b": "SUCCESS"}] * 2


@pytest.mark.parametrize("victim", ["node-a", "node-b"])
def test_a_restart_in_the_middle_loses_nothing(tmp_path: Path, victim: str) -> None:
    """What ran on the node that was killed has failed, everything else is as it was, and both sides agree."""
    settings = {"data": folders(tmp_path, "node-a", "node-b")}
    with workers("node-a", "node-b", **settings) as nodes:
        allied(*nodes)
        job_id = created(*nodes, dag=CHAIN)
        waiting = created(*nodes, dag=CHAIN)
        nodes[0].own("ownJobStart", job_id=job_id)
        before = nodes[0].tasks(job_id)["a"]["task_id"]
        found = [restarted(node, settings) if node.address == f"http://{victim}.test" else node for node in nodes]
        settle(*found)
        pass_time(*found, seconds=30)
        assert [node.status(job_id) for node in found] == ["FINISHED", "FINISHED"]
        assert [node.job(job_id)["status"]["a"] for node in found] == ["FAILED", "FAILED"]
        assert [node.tasks(job_id)["a"]["task_id"] for node in found] == [before, before]
        assert found[0].job(job_id)["end_reason"] == "NODE_RESTARTED"
        assert [node.runner.running for node in found] == [{}, {}]
        assert [node.status(waiting) for node in found] == ["READY", "READY"]
        assert found[0].own("ownJobRerun", job_id=job_id).code == 0
        assert [node.runner.names for node in found] == [["a"], ["a"]]
        for node in found:
            if node not in nodes:
                node.node.close()


def test_orders_that_were_owed_are_sent_after_a_restart(tmp_path: Path) -> None:
    """A scheduler killed before it reached the partner goes on where it was."""
    settings = {"data": folders(tmp_path, "node-a", "node-b")}
    with workers("node-a", "node-b", **settings) as (a, b):
        allied(a, b)
        job_id = created(a, b, dag=CHAIN)
        a.network.down.add("node-b.test")
        a.own("ownJobStart", job_id=job_id)
        a.runner.finish("a")
        a.pump()
        runner = ScriptedRunner()
        again = restarted(a, settings, runner)
        a.network.down.clear()
        pass_time(again, b, seconds=30)
        assert b.runner.names == ["a"]
        b.runner.finish()
        pass_time(again, b, seconds=10)
        assert (runner.names, b.runner.names) == (["b"], ["b"])
        again.node.close()


def test_a_failed_component_stops_the_other_side_of_the_same_task(two: Two) -> None:
    """It would wait for messages that never come."""
    a, b = two
    job_id = created(a, b, dag=dag(part("a")))
    a.own("ownJobStart", job_id=job_id)
    a.runner.finish("a", Cause.COMPONENT_FAILED, detail="INPUT_INVALID: no such column")
    settle(a, b)
    assert (a.status(job_id), b.status(job_id), b.runner.running) == ("FINISHED", "FINISHED", {})
    assert a.tasks(job_id)["a"]["detail"] == "INPUT_INVALID: no such column"
