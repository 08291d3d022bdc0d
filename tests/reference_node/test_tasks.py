"""Tasks between two nodes (8.5): begun, looked at, stopped, called back, run again, reported."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from reference_node.domain.task import Cause
from tests.reference_node import sharing
from tests.reference_node.jobbing import CHAIN, FORK, Worker, allied, created, dag, part, settle, workers
from tests.reference_node.pair import Stranger

Two = tuple[Worker, Worker]
TWINS = dag(part("a"), part("b"))


@pytest.fixture
def two() -> Iterator[Two]:
    """Two nodes under contract."""
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        yield a, b


def started(a: Worker, b: Worker, plan: dict[str, object], **fields: object) -> str:
    """Start a job and return its id."""
    job_id = created(a, b, dag=plan, **fields)
    assert a.own("ownJobStart", job_id=job_id).code == 0
    return job_id


def test_one_component_is_started_under_a_new_id_with_its_own_parameters(two: Two) -> None:
    """Both parties run it, and nothing else, under the id that was answered; then the job is over."""
    a, b = two
    job_id = created(a, b, dag=CHAIN, open_params={"a": ["word"]})
    reply = a.own(
        "ownTaskStart", job_id=job_id, task_name="a", task_params={"common": {"a": {"word": "mine"}}}, priority=9
    )
    assert reply.code == 0, reply
    for node in two:
        (work,) = node.runner.running.values()
        assert (work.key.task_id, work.task_name, work.parameters) == (reply.data["task_id"], "a", {"word": "mine"})
        assert node.tasks(job_id)["a"]["priority"] == 9
        node.runner.finish()
    settle(a, b)
    assert [node.status(job_id) for node in two] == ["FINISHED", "FINISHED"]
    assert [node.runner.running for node in two] == [{}, {}]


def test_a_component_outside_the_dag_is_refused(two: Two) -> None:
    """By the own side and by the partner."""
    a, b = two
    job_id = started(a, b, CHAIN)
    assert a.own("ownTaskStart", job_id=job_id, task_name="z").data["pointer"] == "/task_name"
    body = {"task_id": "task_1", "job_id": job_id, "task_name": "z"}
    assert b.signed("taskStart", a.as_stranger(), **body).error == "RESOURCE_NOT_FOUND"


def test_a_task_waits_for_its_upstream_and_for_its_own_end(two: Two) -> None:
    """What it is fed by must be there, and it does not run twice at once."""
    a, b = two
    job_id = started(a, b, CHAIN)
    assert a.own("ownTaskStart", job_id=job_id, task_name="b").error == "JOB_NOT_READY"
    assert a.own("ownTaskStart", job_id=job_id, task_name="a").error == "TASK_NOT_ENDED"


def test_the_partner_uses_the_id_it_is_given(two: Two) -> None:
    """A repetition is answered as before, the same id for something else is refused."""
    a, b = two
    job_id = started(a, b, TWINS)
    task_id = a.tasks(job_id)["a"]["task_id"]
    body = {"task_id": task_id, "job_id": job_id, "task_name": "a"}
    reply = b.signed("taskStart", a.as_stranger(), **body)
    assert (reply.code, reply.data) == (0, {"task_id": task_id})
    assert b.own("ownTaskList", job_id=job_id).data["total"] == 2
    assert b.signed("taskStart", a.as_stranger(), **{**body, "task_name": "b"}).error == "ID_TAKEN"


def test_the_list_holds_the_tasks_of_one_job(two: Two) -> None:
    """In the order of their creation, with the total of all pages."""
    a, b = two
    job_id, _ = started(a, b, FORK), started(a, b, CHAIN)
    found = a.own("ownTaskList", job_id=job_id, page_size=2).data
    assert ([row["task_name"] for row in found["records"]], found["total"]) == (["a", "b"], 3)
    assert a.own("ownTaskList", job_id="job-none").error == "RESOURCE_NOT_FOUND"


def test_a_task_is_found_under_its_own_job_only(two: Two) -> None:
    """Another job's id with it is an unknown task, for the operator as for partners."""
    a, b = two
    one, other = started(a, b, CHAIN), started(a, b, CHAIN)
    task_id = b.tasks(one)["a"]["task_id"]
    assert b.own("ownTaskQuery", job_id=one, task_id=task_id).data["status"] == "RUNNING"
    assert b.own("ownTaskQuery", job_id=other, task_id=task_id).error == "RESOURCE_NOT_FOUND"
    assert b.signed("taskQuery", a.as_stranger(), job_id=one, task_id=task_id).data["role"] == "host"
    assert b.signed("taskQuery", a.as_stranger(), job_id=other, task_id=task_id).error == "RESOURCE_NOT_FOUND"


def test_strangers_learn_and_move_nothing(two: Two, stranger: Stranger) -> None:
    """A node under contract that is no party gets the answers of an unknown job, and everything runs on."""
    a, b = two
    job_id = started(a, b, CHAIN)
    sharing.signed_stranger(b, stranger)
    task_id = b.tasks(job_id)["a"]["task_id"]
    both = {"job_id": job_id, "task_id": task_id}
    calls = {
        "jobStatusAll": {"job_id": job_id},
        "jobStart": {"job_id": job_id},
        "jobStop": {"job_id": job_id},
        "jobStopAll": {"job_id": job_id},
        "taskStart": {"task_id": "task_2", "job_id": job_id, "task_name": "a"},
        "taskQuery": both,
        "taskPoll": {"task_id": task_id, "role": "host"},
        "taskStop": both,
        "taskRerun": both,
        "taskCallback": {**both, "status": "FAILED", "role": "host"},
    }
    assert {name: b.signed(name, stranger, **fields).error for name, fields in calls.items()} == dict.fromkeys(
        calls, "RESOURCE_NOT_FOUND"
    )
    assert b.runner.names == ["a"]


def test_a_stop_of_one_task_ends_it_everywhere_and_no_other(two: Two) -> None:
    """The twin runs on to its success; what followed the stopped one never begins."""
    a, b = two
    job_id = started(a, b, FORK)
    assert a.own("ownTaskStop", job_id=job_id, task_name="a").code == 0
    settle(a, b)
    assert [node.runner.names for node in two] == [["b"], ["b"]]
    assert [node.tasks(job_id)["a"]["status"] for node in two] == ["FAILED", "FAILED"]
    assert a.own("ownTaskStop", job_id=job_id, task_name="a").code == 0
    for node in two:
        node.runner.finish("b")
    settle(a, b)
    assert a.job(job_id)["status"] == {"a": "FAILED", "b": "SUCCESS", "c": "FAILED"}
    assert [node.status(job_id) for node in two] == ["FINISHED", "FINISHED"]
    assert a.tasks(job_id)["c"]["end_reason"] == "NOT_STARTED"


def test_the_partner_has_a_task_stopped_by_the_scheduler(two: Two) -> None:
    """Its operator's stop goes there and comes back as an order; the interop spelling by name works too."""
    a, b = two
    job_id = started(a, b, TWINS)
    assert b.own("ownTaskStop", job_id=job_id, task_name="a").code == 0
    settle(a, b)
    assert [node.runner.names for node in two] == [["b"], ["b"]]
    assert b.signed("jobStop", a.as_stranger(), job_id=job_id, task_name="b").code == 0
    assert b.runner.names == []


def test_a_lost_callback_is_made_good_by_asking(two: Two) -> None:
    """The scheduler asks after a while, and goes on."""
    a, b = two
    job_id = started(a, b, CHAIN)
    a.runner.finish("a")
    b.runner.finish("a")
    a.network.down.add("node-a.test")
    settle(b, a)
    a.network.down.clear()
    assert a.tasks(job_id)["a"]["status"] == "RUNNING"
    a.clock.advance(a.node.config.task_poll_seconds + 1)
    a.pump()
    assert a.tasks(job_id)["a"]["status"] == "SUCCESS"
    assert [node.runner.names for node in two] == [["b"], ["b"]]


def test_callbacks_may_be_late_and_doubled(two: Two) -> None:
    """What has ended stays as it ended."""
    a, b = two
    job_id = started(a, b, CHAIN)
    for node in two:
        node.runner.finish("a")
    settle(a, b)
    task_id = a.tasks(job_id)["a"]["task_id"]
    for status in ("RUNNING", "SUCCESS", "FAILED", "READY"):
        told = {"job_id": job_id, "task_id": task_id, "status": status, "role": "host"}
        assert a.signed("taskCallback", b.as_stranger(), **told).code == 0
    assert a.tasks(job_id)["a"]["status"] == "SUCCESS"
    assert a.status(job_id) == "RUNNING"
    other_role = {"job_id": job_id, "task_id": task_id, "status": "FAILED", "role": "guest"}
    assert a.signed("taskCallback", b.as_stranger(), **other_role).error == "RESOURCE_NOT_FOUND"


def test_a_component_may_call_back_itself(two: Two) -> None:
    """Its word counts like its exit, and what has ended does not change any more."""
    a, b = two
    job_id = started(a, b, CHAIN)
    task_id = a.tasks(job_id)["a"]["task_id"]
    for node, role in ((a, "guest"), (b, "host")):
        told = {"job_id": job_id, "task_id": task_id, "role": role}
        assert node.own("ownTaskCallback", **told, status="SUCCESS").code == 0
        assert node.own("ownTaskCallback", **told, status="FAILED").code == 0
    settle(a, b)
    assert [node.tasks(job_id)["a"]["status"] for node in two] == ["SUCCESS", "SUCCESS"]
    assert a.own("ownTaskCallback", task_id=task_id, role="host", status="FAILED").error == "RESOURCE_NOT_FOUND"


def test_what_follows_a_callback_finds_the_files_before_the_process_has_ended(two: Two) -> None:
    """A component that has said that it is done has put its files where it was told to."""
    a, b = two
    job_id = started(a, b, CHAIN)
    task_id = a.tasks(job_id)["a"]["task_id"]
    for node, role in ((a, "guest"), (b, "host")):
        (work,) = node.runner.running.values()
        work.outputs["out"].parent.mkdir(parents=True)
        work.outputs["out"].write_text("id\n")
        node.own("ownTaskCallback", job_id=job_id, task_id=task_id, role=role, status="SUCCESS")
    settle(a, b)
    for node in two:
        first, second = node.runner.running.values()
        assert (first.task_name, second.task_name) == ("a", "b")
        assert second.inputs["in"].read_text() == "id\n"
        shutil.rmtree(first.folder)
        assert second.inputs["in"].read_text() == "id\n"
        shutil.rmtree(second.folder)


def test_a_component_reports_with_the_token_of_its_job_only(two: Two) -> None:
    """Its token opens callback and report for its own job while that runs, and nothing else."""
    a, b = two
    job_id, other = started(a, b, CHAIN), started(a, b, CHAIN)
    (work, _) = a.runner.running.values()
    assert work.job_id == job_id
    headers = {"authorization": "Bearer " + work.token}
    told = {"task_id": work.key.task_id, "role": "guest", "status": "RUNNING"}
    assert a.raw("ownTaskCallback", headers, told).code == 0
    report = {"task_id": work.key.task_id, "job_id": job_id, "output_type": "metric", "output_content": {"rows": 7}}
    assert a.raw("ownTaskReport", headers, report).code == 0
    foreign = {**told, "task_id": a.tasks(other)["a"]["task_id"]}
    assert a.raw("ownTaskCallback", headers, foreign).error == "RESOURCE_NOT_FOUND"
    assert a.raw("ownTaskReport", headers, {**report, "job_id": other}).error == "RESOURCE_NOT_FOUND"
    assert a.raw("ownJobList", headers, {}).error == "OPERATOR_TOKEN_INVALID"
    a.own("ownJobStop", job_id=job_id)
    assert a.raw("ownTaskCallback", headers, told).error == "OPERATOR_TOKEN_INVALID"


def test_a_report_is_shown_to_the_own_operator_only(two: Two) -> None:
    """Type and content stand in the details, once, and partners do not see them."""
    a, b = two
    job_id = started(a, b, CHAIN)
    task_id = b.tasks(job_id)["a"]["task_id"]
    output = {"output_type": "metric", "output_content": {"intersection_size": 4102}}
    for _ in range(2):
        assert b.own("ownTaskReport", job_id=job_id, task_id=task_id, **output).code == 0
    assert b.own("ownTaskQuery", job_id=job_id, task_id=task_id).data["outputs"] == [output]
    assert "outputs" not in b.signed("taskQuery", a.as_stranger(), job_id=job_id, task_id=task_id).data
    assert b.own("ownTaskReport", job_id="job-none", task_id=task_id, **output).error == "RESOURCE_NOT_FOUND"


def test_what_a_component_says_of_its_result_is_an_output(two: Two) -> None:
    """The summary of a built-in component stands in the details as a report."""
    a, b = two
    job_id = started(a, b, CHAIN)
    a.runner.finish(summary={"rows": 3})
    a.pump()
    assert a.tasks(job_id)["a"]["outputs"] == [{"output_type": "report", "output_content": {"rows": 3}}]


def test_a_rerun_of_a_task_leaves_those_downstream_alone(two: Two) -> None:
    """It runs again everywhere under its id with the new parameters; the job is over when it has ended again."""
    a, b = two
    job_id = started(a, b, CHAIN, open_params={"a": ["word"]})
    for name in ("a", "b"):
        for node in two:
            node.runner.finish(name)
        settle(a, b)
    before = a.tasks(job_id)
    task_id = before["a"]["task_id"]
    given = {"common": {"a": {"word": "again"}}}
    assert a.own("ownTaskRerun", job_id=job_id, task_id=task_id, task_params=given).code == 0
    for node in two:
        (work,) = node.runner.running.values()
        assert (work.key.task_id, work.key.attempt, work.parameters) == (task_id, 2, {"word": "again"})
        assert node.status(job_id) == "RUNNING"
        assert node.tasks(job_id)["b"] == {**node.tasks(job_id)["b"], "status": "SUCCESS", "attempt": 1}
    assert a.own("ownTaskRerun", job_id=job_id, task_id=task_id).error == "TASK_NOT_ENDED"
    for node in two:
        node.runner.finish()
    settle(a, b)
    assert [node.status(job_id) for node in two] == ["FINISHED", "FINISHED"]
    assert a.tasks(job_id)["b"] == before["b"]


def test_news_of_an_earlier_attempt_changes_nothing(two: Two) -> None:
    """A callback that was overtaken by the rerun is no news."""
    a, b = two
    job_id = started(a, b, dag(part("a")))
    b.runner.finish("a", Cause.COMPONENT_FAILED)
    settle(b, a)
    task_id = a.tasks(job_id)["a"]["task_id"]
    assert a.own("ownTaskRerun", job_id=job_id, task_id=task_id).code == 0
    late = {"job_id": job_id, "task_id": task_id, "status": "FAILED", "role": "host", "attempt": 1}
    assert a.signed("taskCallback", b.as_stranger(), **late).code == 0
    assert a.tasks(job_id)["a"]["status"] == "RUNNING"
    for node in two:
        node.runner.finish()
    settle(b, a)
    assert a.job(job_id)["status"] == {"a": "SUCCESS"}


def test_the_log_is_by_time_with_levels_and_within_an_answer(two: Two) -> None:
    """Levels filter, start and length page, and an answer never exceeds 1 MiB."""
    a, b = two
    job_id = started(a, b, dag(part("a")))
    task_id = a.tasks(job_id)["a"]["task_id"]
    journal = a.node.journal
    for number, (level, time) in enumerate((("INFO", 30), ("ERROR", 10), ("DEBUG", 20))):
        journal.write(task_id, level, f"line {number}", time)
    asked = {"job_id": job_id, "task_id": task_id, "start": 0}
    lines = a.own("ownTaskLog", log_level="DEBUG", **asked).data["lines"]
    assert [line["content"] for line in lines[:3]] == ["line 1", "line 2", "line 0"]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    newest = a.own("ownTaskLog", log_level="DEBUG", order="desc", **asked).data["lines"]
    assert newest == lines[::-1]
    assert a.own("ownTaskLogLines", job_id=job_id, task_id=task_id, log_level="ERROR").data == {"num": 1}
    found = a.own("ownTaskLog", log_level="ERROR", **asked).data
    assert found["data"] == "1970-01-01T00:00:00.010Z ERROR line 1\n"
    page = a.own("ownTaskLog", log_level="DEBUG", length=1, **{**asked, "start": 1}).data
    assert [line["content"] for line in page["lines"]] == ["line 2"]


def test_a_long_log_is_cut_to_what_an_answer_may_hold(two: Two) -> None:
    """Text that grows in JSON is counted as it is sent."""
    a, b = two
    job_id = started(a, b, dag(part("a")))
    task_id = a.tasks(job_id)["a"]["task_id"]
    for number in range(200):
        a.node.journal.write(task_id, "INFO", '"电"' * 4000, 2_000_000_000_000 + number)
    headers = {"authorization": "Bearer " + a.node.identity.operator_token}
    fields = {"job_id": job_id, "task_id": task_id, "log_level": "INFO", "start": 0, "length": 10000}
    reply = a.raw("ownTaskLog", headers, fields)
    size = int(reply.headers["content-length"])
    assert 0.9 * 1024 * 1024 < size <= 1024 * 1024


def test_inputs_come_from_earlier_outputs_of_the_same_party(two: Two) -> None:
    """What a party's task has put out is what its next task is given."""
    a, b = two
    job_id = started(a, b, CHAIN)
    a.runner.finish("a", files={"out": "/data/a-out.csv"})
    b.runner.finish("a", files={"out": "/data/b-out.csv"})
    settle(a, b)
    found = [
        {port: str(path) for port, path in work.inputs.items()} for node in two for work in node.runner.running.values()
    ]
    assert job_id
    assert found == [{"in": "/data/a-out.csv"}, {"in": "/data/b-out.csv"}]
