"""Files of tasks: sealed while they lie, in clear for who takes them in, handed to the operator whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import specs
from reference_node.domain.task import Cause
from reference_node.runtime.contract import Work
from reference_node.security import sealed_files
from tests.reference_node.jobbing import CHAIN, Worker, allied, created, dag, folders, restarted, settle, workers

TEXT = b"id,kwh\nu0001,12.5\n" * 9_000
Two = tuple[Worker, Worker]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    """Two nodes under contract with data folders."""
    with workers("node-a", "node-b", data=folders(tmp_path, "node-a", "node-b")) as (a, b):
        allied(a, b)
        yield a, b


def running(worker: Worker, name: str) -> Work:
    """Return the attempt of a component that runs."""
    return next(work for work in worker.runner.running.values() if work.task_name == name)


def put_out(worker: Worker, name: str, content: bytes = TEXT, cause: Cause | None = None) -> Work:
    """Let a component end, having written its output, its result and something that nobody asked for."""
    work = running(worker, name)
    work.folder.mkdir(parents=True, exist_ok=True)
    work.outputs["out"].write_bytes(content)
    (work.folder / "result.json").write_text('{"summary": 1}')
    (work.folder / "cache").mkdir()
    (work.folder / "cache" / "half").write_bytes(content)
    worker.runner.finish(name, cause, files={"out": str(work.outputs["out"])})
    return work


def first_done(a: Worker, b: Worker, plan: dict[str, object] = CHAIN) -> tuple[str, Work]:
    """Start a chain and let its first component end; return the job and node a's attempt."""
    job_id = created(a, b, dag=plan)
    assert a.own("ownJobStart", job_id=job_id).code == 0
    work = put_out(a, "a")
    put_out(b, "a")
    settle(a, b)
    return job_id, work


def lying(work: Work) -> set[str]:
    """Return what lies in the folder of an attempt."""
    return {str(path.relative_to(work.folder)) for path in work.folder.rglob("*")}


def fetch(worker: Worker, task_id: str, **fields: str) -> tuple[int, bytes]:
    """Ask for an output as the operator; return status and body."""
    asked = {"task_id": task_id, "party": "guest.0", "name": "out", **fields}
    headers = {"authorization": "Bearer " + worker.node.identity.operator_token}
    path = specs.operations()["ownTaskOutput"].path
    answer = worker.app.test_client().get(path, query_string=asked, headers=headers)
    return answer.status_code, answer.data


def test_only_the_sealed_output_is_left_of_an_attempt_that_has_ended(two: Two) -> None:
    """Nothing of the content is on disk in clear, results and what a component forgot to remove included."""
    _, work = first_done(*two)
    assert lying(work) == {"out.csv.sealed"}
    whole = work.folder / "out.csv.sealed"
    assert sealed_files.is_sealed(whole)
    assert b"u0001" not in whole.read_bytes()
    assert whole.stat().st_mode & 0o777 == 0o600


def test_the_next_task_has_the_file_in_clear_in_its_own_folder_and_leaves_nothing(two: Two) -> None:
    """Same name, same content, modes 0700 and 0600; it is gone when the task has ended."""
    a, b = two
    first_done(a, b)
    work = running(a, "b")
    given = work.inputs["in"]
    assert (given.name, given.read_bytes()) == ("out.csv", TEXT)
    assert work.folder in given.parents
    assert [path.stat().st_mode & 0o777 for path in (given, given.parent, given.parent.parent)] == [0o600, 0o700, 0o700]
    assert work.outputs["out"].name == "out.csv"
    put_out(a, "b", b"id\n")
    settle(a, b)
    assert lying(work) == {"out.csv.sealed"}


@pytest.mark.parametrize("how", ["fails", "stops"])
def test_what_comes_to_nothing_leaves_nothing_in_clear(two: Two, how: str) -> None:
    """Neither a failed nor a stopped attempt leaves its input or half an output behind."""
    a, b = two
    job_id, _ = first_done(a, b)
    work = running(a, "b")
    if how == "fails":
        put_out(a, "b", cause=Cause.COMPONENT_FAILED)
    else:
        work.outputs["out"].write_bytes(TEXT)
        a.own("ownJobStop", job_id=job_id)
    settle(a, b)
    assert not work.folder.exists() or lying(work) == {"out.csv.sealed"}


@pytest.mark.parametrize("how", ["flipped", "cut", "clear", "other", "gone"])
def test_a_sealed_file_that_was_changed_is_not_taken(two: Two, how: str) -> None:
    """The task fails and says which file and why, the operator is refused it, the log of the node tells."""
    a, b = two
    _, other = first_done(a, b, dag(CHAIN["components"][0]))
    job_id = created(a, b, dag=CHAIN, project="prj-2")
    a.own("ownJobStart", job_id=job_id)
    work = put_out(a, "a")
    told: list[str] = []
    a.node.vault.tampered = told.append
    a.pump()
    whole = work.folder / "out.csv.sealed"
    sealed = bytearray(whole.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    changed = {
        "flipped": bytes(sealed),
        "cut": bytes(sealed[: len(sealed) // 2]),
        "clear": TEXT,
        "other": (other.folder / "out.csv.sealed").read_bytes(),
    }
    if how == "gone":
        whole.rename(whole.with_name("out.csv"))
    else:
        whole.write_bytes(changed[how])
    put_out(b, "a")
    settle(a, b)
    tasks = a.tasks(job_id)
    assert tasks["b"]["end_reason"] == "NOT_LAUNCHED"
    status, body = fetch(a, tasks["a"]["task_id"])
    if how == "gone":
        assert "a.out is no longer kept here" in tasks["b"]["detail"]
        assert (status, b"RESOURCE_NOT_FOUND" in body) == (404, True)
    else:
        assert f"tasks/{work.key.task_id}/guest.0.1/out.csv" in tasks["b"]["detail"]
        assert told
        assert (status, b"STORE_TAMPERED" in body) == (503, True)
    assert "b" not in a.runner.names


def test_the_operator_is_given_the_file_as_it_was_put_out(two: Two) -> None:
    """Its bytes are those that the task's outputs tell of; that they went out stands in the log and in the evidence."""
    a, b = two
    job_id, _ = first_done(a, b)
    task = a.tasks(job_id)["a"]
    assert fetch(a, task["task_id"], job_id=job_id) == (200, TEXT)
    (shown,) = [row["output_content"] for row in task["outputs"] if "location" in row["output_content"]]
    assert (shown["file"], shown["party"], shown["bytes"]) == ("out.csv", "guest.0", len(TEXT))
    lines = a.own("ownTaskLog", task_id=task["task_id"], log_level="INFO", start=0).data["lines"]
    assert any(f"handed to the operator, {len(TEXT)} bytes" in line["content"] for line in lines)
    (act,) = a.audit("ownEvidenceList", act="task.handed_out").data["records"]
    assert act["subjects"] == {"task_id": task["task_id"], "job_id": job_id}
    assert (act["operation"], act["actor"]) == ("ownTaskOutput", {"role": "OPERATOR"})


@pytest.mark.parametrize(
    "wrong",
    [{"party": "host.0"}, {"party": "guest.1"}, {"name": "in"}, {"task_id": "task_none"}, {"job_id": "job-none"}],
)
def test_what_this_node_has_not_put_out_is_not_there(two: Two, wrong: dict[str, str]) -> None:
    """Another party's, an unknown port's, an unknown task's: none is found."""
    a, b = two
    job_id, _ = first_done(a, b)
    status, body = fetch(a, **{"task_id": a.tasks(job_id)["a"]["task_id"], **wrong})
    assert (status, b"RESOURCE_NOT_FOUND" in body) == (404, True)


def test_a_component_may_not_fetch(two: Two) -> None:
    """The token of a job opens callback and report only."""
    a, b = two
    job_id, _ = first_done(a, b)
    headers = {"authorization": "Bearer " + running(a, "b").token}
    asked = {"task_id": a.tasks(job_id)["a"]["task_id"], "party": "guest.0", "name": "out"}
    path = specs.operations()["ownTaskOutput"].path
    assert a.app.test_client().get(path, query_string=asked, headers=headers).status_code == 401


def test_without_sealing_files_stay_as_they_are_and_are_handed_out_too(tmp_path: Path) -> None:
    """What the operator has chosen not to have sealed lies in clear, and follows as it is."""
    data = folders(tmp_path, "node-a", "node-b")
    with workers("node-a", "node-b", data=data, seal_files=False) as (a, b):
        allied(a, b)
        job_id, work = first_done(a, b)
        assert work.outputs["out"].read_bytes() == TEXT
        assert running(a, "b").inputs["in"] == work.outputs["out"]
        assert fetch(a, a.tasks(job_id)["a"]["task_id"]) == (200, TEXT)


def test_a_node_that_died_in_between_finishes_at_its_next_start(tmp_path: Path) -> None:
    """What it had put out in clear is sealed, what was opened or half written is gone, the operator gets his file."""
    data = folders(tmp_path, "node-a", "node-b")
    with workers("node-a", "node-b", data=data, seal_files={"node-a": False, "node-b": True}) as (a, b):
        allied(a, b)
        job_id, work = first_done(a, b)
        second = running(a, "b")
        second.folder.mkdir(parents=True)
        second.outputs["out"].write_bytes(TEXT)
        left = second.folder / "inputs" / "in"
        left.mkdir(parents=True)
        (left / "out.csv").write_bytes(TEXT)
        again = restarted(a, {"data": data["node-a"]})
        again.pump()
        assert lying(work) == {"out.csv.sealed"}
        assert not second.folder.exists()
        assert fetch(again, again.tasks(job_id)["a"]["task_id"]) == (200, TEXT)
        again.node.close()


def test_an_output_that_cannot_be_sealed_fails_its_task(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk does not leave the file in clear, nor the task as if it had succeeded."""
    a, b = two
    job_id = created(a, b, dag=dag(CHAIN["components"][0]))
    a.own("ownJobStart", job_id=job_id)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealed_files, "write", full)
    work = put_out(a, "a")
    put_out(b, "a")
    settle(a, b)
    task = a.tasks(job_id)["a"]
    assert (task["status"], task["end_reason"]) == ("FAILED", "COMPONENT_FAILED")
    assert "No space left on device" in task["detail"]
    assert lying(work) == set()
