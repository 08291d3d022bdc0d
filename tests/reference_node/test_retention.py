"""What ended long ago: intermediate files go, results, logs, datasets and models stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference_node.schedule import files
from tests.reference_node.jobbing import (
    CHAIN,
    Worker,
    agree_flow,
    allied,
    config,
    created,
    dag,
    folders,
    settle,
    workers,
)

DAY = 24 * 3600


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """Two nodes under contract that keep files for three days."""
    with workers("node-a", "node-b", data=folders(tmp_path, "node-a", "node-b"), keep_days=3) as (a, b):
        allied(a, b)
        yield a, b


def _finish(worker: Worker, name: str) -> Path:
    """Let a component end, having put out a file and left another one; return where the former lies then."""
    work = next(item for item in worker.runner.running.values() if item.task_name == name)
    work.folder.mkdir(parents=True, exist_ok=True)
    work.outputs["out"].write_text("id\n1\n", encoding="utf-8")
    (work.folder / "scratch").write_text("", encoding="utf-8")
    worker.runner.finish(name, files={"out": str(work.outputs["out"])})
    return work.outputs["out"].with_name("out.csv.sealed")


def _ran(a: Worker, b: Worker) -> tuple[str, dict[str, Path]]:
    """Return a chain that has run, and the files at node a by task."""
    job_id = created(a, b, dag=CHAIN)
    a.own("ownJobStart", job_id=job_id)
    found = {}
    for name in ("a", "b"):
        found[name] = _finish(a, name)
        _finish(b, name)
        settle(a, b)
    assert a.status(job_id) == "FINISHED"
    return job_id, found


def test_intermediate_files_go_and_results_and_logs_stay(two: tuple[Worker, Worker]) -> None:
    """Three days after the end only the output that no component takes in is left, beside the logs."""
    a, b = two
    job_id, made = _ran(a, b)
    logs = [a.node.journal.path(row["task_id"]) for row in a.tasks(job_id).values()]
    a.node.journal.write(logs[0].parent.name, "INFO", "kept", a.node.now())
    a.clock.advance(3 * DAY - 60)
    a.pump()
    assert all(path.exists() for path in made.values())
    a.clock.advance(2 * 3600)
    a.pump()
    assert {name: path.exists() for name, path in made.items()} == {"a": False, "b": True}
    assert not (made["b"].parent / "scratch").exists()
    assert logs[0].exists()


def test_a_file_that_a_dataset_names_stays(two: tuple[Worker, Worker]) -> None:
    """An intermediate file that its operator has made a dataset of is not touched."""
    a, b = two
    _, made = _ran(a, b)
    kept = a.own(
        "ownDatasetCreate",
        dataset_id="ds-kept",
        name="kept",
        source={"type": "FILE", "location": str(made["a"])},
        visibility="PRIVATE",
    )
    assert kept.code == 0, kept
    a.clock.advance(4 * DAY)
    a.pump()
    assert b"".join(files.content(a.node, made["a"])) == b"id\n1\n"
    assert not (made["a"].parent / "scratch").exists()


def test_what_is_gone_is_told_when_it_is_wanted_again(two: tuple[Worker, Worker]) -> None:
    """A task that is run again without its forerunner fails with the name of the input, not with an empty one."""
    a, b = two
    job_id, made = _ran(a, b)
    a.clock.advance(4 * DAY)
    a.pump()
    assert not made["a"].exists()
    again = a.own("ownTaskRerun", job_id=job_id, task_id=a.tasks(job_id)["b"]["task_id"])
    assert again.code == 0, again
    settle(a, b)
    log = a.node.journal.path(a.tasks(job_id)["b"]["task_id"]).read_text(encoding="utf-8")
    assert "a.out is no longer kept here" in log
    assert a.runner.names == []


def test_the_folder_of_a_removed_job_goes(two: tuple[Worker, Worker]) -> None:
    """A task that no record knows is swept once its folder is old, and what is no task is left alone."""
    a, b = two
    _, made = _ran(a, b)
    orphan = a.node.work_folder / "task-nobody-knows"
    orphan.mkdir()
    beside = a.node.work_folder.parent / "beside"
    beside.mkdir()
    for folder in (orphan, beside):
        os.utime(folder, (a.node.now() / 1000, a.node.now() / 1000))
    a.clock.advance(2 * DAY)
    a.pump()
    assert orphan.exists()
    a.clock.advance(2 * DAY)
    a.pump()
    assert (orphan.exists(), beside.exists(), made["b"].exists()) == (False, True, True)


def test_zero_days_keep_everything(tmp_path: Path) -> None:
    """A node that is told to keep everything does."""
    with workers("node-a", "node-b", data=folders(tmp_path, "node-a", "node-b"), keep_days=0) as (a, b):
        allied(a, b)
        _, made = _ran(a, b)
        a.clock.advance(400 * DAY)
        a.pump()
        assert all(path.exists() for path in made.values())


def test_memory_is_bounded_by_the_node(tmp_path: Path) -> None:
    """A task gets what is asked for up to the node's own bound, and that bound where nothing is asked."""
    data = folders(tmp_path, "node-a", "node-b")
    with workers("node-a", "node-b", data=data, memory_most_mib={"node-a": 512, "node-b": 128}) as (a, b):
        allied(a, b)
        for asked, granted in ((256, (256, 128)), (None, (512, 128))):
            params = {} if asked is None else {"memory_mib": asked}
            a.own("ownJobStart", job_id=created(a, b, dag=dag(), project=f"prj-{asked}", **params))
            settle(a, b)
            found = [next(iter(item.runner.running.values())) for item in (a, b)]
            assert tuple(work.memory_mib for work in found) == granted
            for item in (a, b):
                item.runner.finish()
            settle(a, b)
        flow_id = agree_flow(a, b, dag=dag(), project="prj-huge")
        huge = config(a, b, memory_mib=1 << 21)
        assert a.own("ownJobCreate", flow_id=flow_id, dag=dag(), config=huge).error == "REQUEST_INVALID"
