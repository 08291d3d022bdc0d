"""What is looked at before a task gets its files, and what ends it while it works (9.2-b-3, 9.2-c)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reference_node.runtime.contract import LaunchFailed
from reference_node.schedule import loading
from reference_node.security import proofs, scanner
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


@pytest.fixture
def pair_on_data(tmp_path: Path) -> Iterator[tuple[Worker, Worker, Path]]:
    """Two nodes under contract, of which the second has a file that the first was granted."""
    table = tmp_path / "table.csv"
    table.write_text("id\n1\n2\n")
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        for node, visibility in ((a, "PRIVATE"), (b, "PROTECTED")):
            source = {"type": "FILE", "location": str(table)}
            made = node.own(
                "ownDatasetCreate", dataset_id=f"ds-{node.id}", name="t", source=source, visibility=visibility
            )
            assert made.code == 0, made
        yield a, b, table


def begun(a: Worker, b: Worker) -> str:
    """Grant the dataset, start a job on it and return the job's id."""
    granted = b.own("ownDatasetGrant", contract_id=contract_between(b, a), dataset_id="ds-node-b", auth_scope=NODE)
    assert granted.code == 0, granted
    params = {
        "guest": {"0": {"a": {"input": {"table": "ds-node-a"}}}},
        "host": {"0": {"a": {"input": {"table": "ds-node-b"}}}},
    }
    given = config(a, b, params=params)
    flow_id = agree_flow(a, b, dag=PLAN, given=given)
    created = a.own("ownJobCreate", flow_id=flow_id, dag=PLAN, config=given)
    assert created.code == 0, created
    a.own("ownJobStart", job_id=created.data["job_id"])
    return str(created.data["job_id"])


NODE = {"type": "NODE"}
Data = tuple[Worker, Worker, Path]


def test_a_file_is_recorded_with_digest_size_and_signature(pair_on_data: Data) -> None:
    """The operator sees the proof; where the file lies is as it was given, and a partner sees neither."""
    _, b, table = pair_on_data
    found = b.own("ownDatasetQuery", dataset_id="ds-node-b").data
    assert found["source"] == {"type": "FILE", "location": str(table)}
    assert found["proof"]["digest"] == proofs.of_file(table)[0]
    assert (found["proof"]["size"], found["proof"]["owner"]) == (table.stat().st_size, "node-b")


def test_an_unchanged_file_is_handed_on(pair_on_data: Data) -> None:
    """Both parties run."""
    a, b, _ = pair_on_data
    begun(a, b)
    settle(a, b)
    assert [node.runner.names for node in (a, b)] == [["a"], ["a"]]


def test_a_changed_file_is_not_loaded_and_the_node_goes_on(pair_on_data: Data) -> None:
    """The task fails with a cause that names the dataset; once it is recorded again it runs."""
    a, b, table = pair_on_data
    before = table.stat()
    table.write_text("id\n1\n3\n")
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    job_id = begun(a, b)
    settle(a, b)
    task = b.tasks(job_id)["a"]
    assert (task["status"], task["end_reason"]) == ("FAILED", "NOT_LAUNCHED")
    assert "ds-node-b is not what was recorded" in task["detail"]
    assert b.runner.names == []
    for node in (a, b):
        source = {"type": "FILE", "location": str(table)}
        assert node.own("ownDatasetUpdate", dataset_id=f"ds-{node.id}", source=source).code == 0
    assert a.own("ownJobRerun", job_id=job_id).code == 0
    settle(a, b)
    assert b.runner.names == ["a"]


def test_a_file_that_was_only_touched_is_read_again_and_loaded(pair_on_data: Data) -> None:
    """Another time of change with the same content is no change."""
    a, b, table = pair_on_data
    os.utime(table, ns=(1, 1))
    begun(a, b)
    settle(a, b)
    assert b.runner.names == ["a"]


def test_a_file_that_came_after_the_registration_is_not_loaded(pair_on_data: Data, tmp_path: Path) -> None:
    """Without a digest on record there is nothing to compare with."""
    a, b, _ = pair_on_data
    late = tmp_path / "late.csv"
    b.own("ownDatasetUpdate", dataset_id="ds-node-b", source={"type": "FILE", "location": str(late)})
    late.write_text("id\n1\n")
    job_id = begun(a, b)
    settle(a, b)
    assert "no digest on record" in b.tasks(job_id)["a"]["detail"]


def test_a_withdrawn_permit_stops_the_task_at_both_parties(pair_on_data: Data) -> None:
    """The component is stopped at once; both nodes and the job tell the cause."""
    a, b, _ = pair_on_data
    job_id = begun(a, b)
    settle(a, b)
    records = b.own("ownDatasetAuthList", mode="OUT").data["records"]
    assert b.own("ownDatasetAuditTerminate", audit_id=records[0]["audit_id"]).code == 0
    assert b.runner.names == []
    settle(a, b)
    assert [node.tasks(job_id)["a"]["status"] for node in (a, b)] == ["FAILED", "FAILED"]
    assert b.tasks(job_id)["a"]["end_reason"] == "PERMIT_REVOKED"
    assert (a.job(job_id)["job_status"], a.job(job_id)["end_reason"]) == ("FINISHED", "PERMIT_REVOKED")
    assert a.runner.names == []


def test_a_dataset_that_is_hidden_stops_the_task(pair_on_data: Data) -> None:
    """Narrowing the visibility is a withdrawal, too."""
    a, b, _ = pair_on_data
    job_id = begun(a, b)
    settle(a, b)
    assert b.own("ownDatasetUpdate", dataset_id="ds-node-b", visibility="PRIVATE").code == 0
    settle(a, b)
    assert (b.runner.names, a.job(job_id)["end_reason"]) == ([], "PERMIT_REVOKED")


def script(folder: Path, name: str, text: str) -> str:
    """Write an executable of this interpreter."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o700)
    return str(path)


def test_the_scanner_has_the_last_word(pair_on_data: Data, tmp_path: Path) -> None:
    """What it objects to is not loaded, in its own words; a clean file is."""
    a, b, table = pair_on_data
    begun(a, b)
    settle(a, b)
    (work,) = b.runner.works.values()
    quick = (
        "import sys; text = open(sys.argv[1]).read(); sys.exit(print('id 2 is infected') or 1 if '2' in text else 0)"
    )
    node = b.node
    node.config = replace(node.config, scanner=script(tmp_path, "scan", quick))
    with pytest.raises(LaunchFailed, match=r"refuses table\.csv: id 2 is infected"):
        loading.check(node, work)
    node.config = replace(node.config, scanner=script(tmp_path, "clean", ""))
    loading.check(node, work)
    assert table.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit(3)", "ended with 3"),
        ("import time; time.sleep(60)", "longer than"),
        (None, "cannot be run"),
    ],
    ids=["silent", "slow", "absent"],
)
def test_a_scanner_that_fails_refuses(tmp_path: Path, text: str | None, said: str) -> None:
    """Neither silence nor a time-out nor an absent command is a clean bill."""
    command = str(tmp_path / "none") if text is None else script(tmp_path, "scan", text)
    objection = scanner.objection(command, tmp_path, 0.5 if text and "time" in text else 30)
    assert objection is not None
    assert said in objection


def test_another_executable_than_the_described_one_is_not_run(pair_on_data: Data, tmp_path: Path) -> None:
    """A command whose description has a digest runs only while its executable has it."""
    a, b, _ = pair_on_data
    begun(a, b)
    settle(a, b)
    (work,) = b.runner.works.values()
    command = script(tmp_path, "engine", "")
    described = {**work.description, "digest": proofs.of_file(Path(command))[0]}
    work = replace(work, command=f"{command} --run", description=described)
    loading.check(b.node, work)
    script(tmp_path, "engine", "import this")
    with pytest.raises(LaunchFailed, match="not the executable"):
        loading.check(b.node, work)
    with pytest.raises(LaunchFailed, match="not installed"):
        loading.check(b.node, replace(work, command=str(tmp_path / "none")))
