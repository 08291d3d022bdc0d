"""Jobs between two nodes (8.4): created, started, stopped, run again, seen from both ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference_node.domain.task import Cause
from tests.reference_node.jobbing import CHAIN, FORK, Worker, allied, created, dag, part, settle, workers

Two = tuple[Worker, Worker]


@pytest.fixture
def two() -> Iterator[Two]:
    """Two nodes under contract."""
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        yield a, b


def test_a_job_is_created_at_all_parties_under_one_id(two: Two) -> None:
    """After creation both ends know the job as ready."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    assert (a.status(job_id), b.status(job_id)) == ("READY", "READY")
    assert a.job(job_id)["status"] == {"a": "PENDING", "b": "PENDING"}


def test_a_job_runs_to_its_end_in_the_order_of_its_dag(two: Two) -> None:
    """The second task starts at both parties once the first has succeeded at both."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    assert a.own("ownJobStart", job_id=job_id).code == 0
    assert (a.runner.names, b.runner.names) == (["a"], ["a"])
    assert (a.status(job_id), b.status(job_id)) == ("RUNNING", "RUNNING")
    a.runner.finish("a")
    settle(a, b)
    assert a.runner.names == []
    b.runner.finish("a")
    settle(b, a)
    assert (a.runner.names, b.runner.names) == (["b"], ["b"])
    a.runner.finish()
    b.runner.finish()
    settle(a, b)
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")
    assert a.job(job_id)["status"] == b.job(job_id)["status"] == {"a": "SUCCESS", "b": "SUCCESS"}
    assert {row["task_id"] for row in a.tasks(job_id).values()} == {row["task_id"] for row in b.tasks(job_id).values()}
    assert "end_reason" not in a.job(job_id)


def test_a_task_that_fails_stops_the_rest_everywhere(two: Two) -> None:
    """What runs is stopped, what waits never begins, and both ends say why."""
    a, b = two
    job_id = created(a, b, dag=FORK)
    a.own("ownJobStart", job_id=job_id)
    b.runner.finish("a", Cause.COMPONENT_CRASHED, detail="exit status 7")
    settle(b, a, b)
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")
    assert a.job(job_id)["status"] == b.job(job_id)["status"] == {"a": "FAILED", "b": "FAILED", "c": "FAILED"}
    assert a.job(job_id)["end_reason"] == "COMPONENT_CRASHED"
    assert (a.runner.running, b.runner.running) == ({}, {})
    assert {name: row["end_reason"] for name, row in a.tasks(job_id).items()} == {
        "a": "COMPONENT_CRASHED",
        "b": "STOPPED",
        "c": "NOT_STARTED",
    }


def test_a_stop_ends_the_job_everywhere_and_may_be_repeated(two: Two) -> None:
    """The components are killed at both ends; a second stop changes nothing."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    for _ in range(2):
        assert a.own("ownJobStop", job_id=job_id).code == 0
    settle(a, b)
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")
    assert (a.runner.running, b.runner.running) == ({}, {})
    assert a.job(job_id)["end_reason"] == b.job(job_id)["end_reason"] == "STOPPED"
    assert a.own("ownJobStart", job_id=job_id).error == "JOB_NOT_READY"


def test_a_partners_operator_may_stop_a_job_too(two: Two) -> None:
    """The stop reaches the scheduler, which ends the job for all."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    assert b.own("ownJobStop", job_id=job_id).code == 0
    settle(b, a)
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")


def test_a_job_stopped_before_it_began_never_starts(two: Two) -> None:
    """A ready job that is stopped is over at both ends."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStop", job_id=job_id)
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")
    assert a.own("ownJobStart", job_id=job_id).error == "JOB_NOT_READY"
    assert (a.runner.works, b.runner.works) == ({}, {})


def test_a_rerun_runs_everything_again_with_the_new_parameters(two: Two) -> None:
    """The id stays, the tasks are new, and the components get what was given for this run."""
    a, b = two
    params = {"common": {"a": {"word": "old", "times": 1}}}
    job_id = created(a, b, dag=CHAIN, params=params, open_params={"a": ["word"]})
    a.own("ownJobStart", job_id=job_id)
    first = a.tasks(job_id)["a"]["task_id"]
    a.own("ownJobStop", job_id=job_id)
    settle(a, b)
    reply = a.own("ownJobRerun", job_id=job_id, task_params={"common": {"a": {"word": "new"}}})
    assert (reply.code, reply.data) == (0, {"job_id": job_id})
    for node in two:
        (work,) = node.runner.running.values()
        assert (work.task_name, work.parameters) == ("a", {"word": "new", "times": 1})
        assert node.tasks(job_id)["a"]["task_id"] == work.key.task_id != first
        assert node.job(job_id)["run"] == 2
    for name in ("a", "b"):
        for node in two:
            node.runner.finish(name)
        settle(a, b)
    assert a.job(job_id)["status"] == b.job(job_id)["status"] == {"a": "SUCCESS", "b": "SUCCESS"}
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")


def test_a_running_job_cannot_be_rerun(two: Two) -> None:
    """It must end first, and one that has not begun is started instead."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    assert a.own("ownJobRerun", job_id=job_id).error == "JOB_NOT_READY"
    a.own("ownJobStart", job_id=job_id)
    assert a.own("ownJobRerun", job_id=job_id).error == "JOB_NOT_ENDED"


def test_a_time_out_ends_the_job_on_both_sides(two: Two) -> None:
    """After the seconds of its configuration the job is stopped, and says that it timed out."""
    a, b = two
    job_id = created(a, b, dag=CHAIN, timeout=30)
    a.own("ownJobStart", job_id=job_id)
    a.clock.advance(29)
    settle(a, b)
    assert (a.status(job_id), b.status(job_id)) == ("RUNNING", "RUNNING")
    a.clock.advance(1)
    settle(b, a)
    assert (a.status(job_id), b.status(job_id)) == ("FINISHED", "FINISHED")
    assert {a.job(job_id)["end_reason"], b.job(job_id)["end_reason"]} == {"TIMED_OUT"}
    assert (a.runner.running, b.runner.running) == ({}, {})


def test_urgent_jobs_begin_first() -> None:
    """With one place free, the task of the job with the higher priority gets it."""
    with workers("node-c", "node-d", task_slots=1) as (c, d):
        allied(c, d)
        ids = [created(c, d, dag=dag(part("a")), priority=priority) for priority in (5, 1, 9)]
        for job_id in ids:
            c.own("ownJobStart", job_id=job_id)
        order = []
        for _ in ids:
            order += [work.job_id for work in c.runner.running.values()]
            c.runner.finish()
            d.runner.finish()
            settle(c, d)
        assert order == [ids[0], ids[2], ids[1]]


def test_the_list_holds_the_jobs_of_one_flow_and_counts_them(two: Two) -> None:
    """Jobs of another flow are not listed, and pages keep the total."""
    a, b = two
    mine = [created(a, b, dag=CHAIN), created(a, b, dag=CHAIN)]
    flows = [a.job(job_id)["flow_id"] for job_id in mine]
    found = a.own("ownJobList", flow_id=flows[0]).data
    assert (list(found["job_list"]), found["total"]) == ([mine[0]], 1)
    page = a.own("ownJobList", page_size=1).data
    assert ([row["job_id"] for row in page["records"]], page["total"]) == ([mine[1]], 2)


def test_no_second_job_comes_of_a_repeated_creation(two: Two) -> None:
    """The same creation is answered as before, another under the same id is refused."""
    a, b = two
    job_id = created(a, b, dag=CHAIN)
    job = a.job(job_id)
    body = {"job_id": job_id, "flow_id": job["flow_id"], "dag": job["dag"], "config": job["config"]}
    assert b.signed("jobCreate", a.as_stranger(), **body).code == 0
    assert b.own("ownJobList").data["total"] == 1
    other = {**body, "config": {**job["config"], "job_params": {"common": {"priority": 1}}}}
    refused = b.signed("jobCreate", a.as_stranger(), **other)
    assert (refused.error, refused.data["pointer"]) == ("ID_TAKEN", "/job_id")
