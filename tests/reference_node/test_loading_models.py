"""Models as inputs of tasks, what is on record of inputs, and scans that take long (9.2-c, 9.2-d)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reference_node.security import proofs
from tests.reference_node.jobbing import (
    Worker,
    agree_flow,
    allied,
    config,
    contract_between,
    created,
    dag,
    part,
    settle,
    workers,
)
from tests.waiting import eventually

PLAN = dag({**part("a", "follow"), "input": [{"key": "model", "type": "model"}]})
SCAN = "import pathlib, sys, time\nwhile not pathlib.Path({gate!r}).exists():\n    time.sleep(0.01)\n"


@pytest.fixture
def modelled(tmp_path: Path) -> Iterator[tuple[Worker, Worker, Path]]:
    """Two nodes under contract, and a place for a model of the first."""
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        yield a, b, tmp_path / "model.bin"


def on_model(model_id: str | None) -> dict[str, Any]:
    """Return parameters by which the component loads a model of the first node."""
    return {"guest": {"0": {"a": {"input": {"model": model_id}}}}, "host": {"0": {"a": {"input": {"model": None}}}}}


def recorded(a: Worker, b: Worker, path: Path, digest: str) -> str:
    """Agree on a flow and, in its project, on a model; return the flow's id."""
    flow_id = agree_flow(a, b, dag=PLAN, given=config(a, b, params=on_model("m-1")))
    fields = {"model_id": "m-1", "name": "m", "algorithm": "lr", "project_id": "prj-1", "digest": digest}
    assert a.own("ownModelCreate", **fields, location=f"file://{path}").code == 0
    asked = a.own("ownModelAuditApply", contract_id=contract_between(a, b), model_id="m-1")
    assert b.own("ownModelAuditConfirm", audit_id=asked.data["audit_id"], status="APPROVED").code == 0
    return flow_id


def asked(a: Worker, b: Worker, flow_id: str, model_id: str | None = "m-1") -> Any:
    """Ask for a job whose component loads a model of the first node."""
    return a.own("ownJobCreate", flow_id=flow_id, dag=PLAN, config=config(a, b, params=on_model(model_id)))


@pytest.mark.parametrize("name", ["", "sm3:", "sha256:", "sha3-256:", "sha3-512:"])
def test_a_model_is_compared_with_its_digest_and_what_was_loaded_is_on_record(
    modelled: tuple[Worker, Worker, Path], name: str
) -> None:
    """Whichever hash its digest is by, an unchanged model is handed on; the evidence says which it was."""
    a, b, path = modelled
    path.write_bytes(b"weights")
    by = {"": proofs.of_file(path)[0].removeprefix("sm3:"), "sm3:": proofs.of_file(path)[0].removeprefix("sm3:")}
    digest = by.get(name) or hashlib.new(name[:-1].replace("-", "_"), b"weights").hexdigest()
    job_id = asked(a, b, recorded(a, b, path, name + digest.upper())).data["job_id"]
    a.own("ownJobStart", job_id=job_id)
    settle(a, b)
    (work,) = a.runner.works.values()
    assert work.inputs == {"in": path}
    (act,) = a.audit("ownEvidenceList", subject_id=job_id, act="task.loaded").data["records"]
    told = a.audit("ownEvidenceRestore", first_seq=act["seq"], last_seq=act["seq"], reason="test").data["records"]
    said = {
        "party": "guest.0",
        "attempt": 1,
        "inputs": {"in": {"model_id": "m-1", "digest": (name or "sm3:") + digest}},
    }
    assert told[0]["content"]["details"] == said
    assert b.audit("ownEvidenceList", subject_id=job_id, act="task.loaded").data["records"] == []


def test_a_changed_model_is_not_loaded(modelled: tuple[Worker, Worker, Path]) -> None:
    """The task ends with a cause that names the model, and no component is begun with it."""
    a, b, path = modelled
    path.write_bytes(b"weights")
    job_id = asked(a, b, recorded(a, b, path, proofs.of_file(path)[0])).data["job_id"]
    path.write_bytes(b"Weights")
    a.own("ownJobStart", job_id=job_id)
    settle(a, b)
    task = a.tasks(job_id)["a"]
    assert (task["status"], task["end_reason"]) == ("FAILED", "NOT_LAUNCHED")
    assert "model m-1 is not what was recorded" in task["detail"]
    assert not a.runner.works


def test_a_model_is_used_only_as_it_was_agreed(modelled: tuple[Worker, Worker, Path]) -> None:
    """One that is not known, or that a party has not agreed to, is refused with its place; so is a dataset."""
    a, b, path = modelled
    path.write_bytes(b"weights")
    flow_id = recorded(a, b, path, proofs.of_file(path)[0])
    place = "/config/task_params/guest/0/a/input/model"
    fields = {"name": "m", "algorithm": "lr", "project_id": "prj-1", "location": str(path), "digest": "0" * 64}
    assert a.own("ownModelCreate", model_id="m-2", **fields).code == 0
    assert a.own("ownDatasetCreate", dataset_id="ds-1", name="d", visibility="PUBLIC").code == 0
    wrong = (("m-2", "RESOURCE_NOT_APPROVED"), ("m-3", "RESOURCE_NOT_FOUND"), ("ds-1", "RESOURCE_NOT_FOUND"))
    for model_id, error in wrong:
        refused = asked(a, b, flow_id, model_id)
        assert (refused.error, refused.data["pointer"]) == (error, place)
    assert asked(a, b, flow_id).code == 0


def test_a_slow_scan_keeps_no_other_job_waiting(tmp_path: Path) -> None:
    """While one task's file is scanned the node begins another job's task; a stop in between is obeyed at once."""
    gate, script, table = tmp_path / "gate", tmp_path / "scan", tmp_path / "table.csv"
    script.write_text(f"#!{sys.executable}\n" + SCAN.format(gate=str(gate)))
    script.chmod(0o700)
    table.write_text("id\n1\n")
    plan = dag(part("slow", "follow", ["table"]))
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        source = {"type": "FILE", "location": str(table)}
        b.own("ownDatasetCreate", dataset_id="ds", name="t", source=source, visibility="PUBLIC")
        b.node.config = replace(b.node.config, scanner=str(script), background=True)
        params = {
            "guest": {"0": {"slow": {"input": {"table": None}}}},
            "host": {"0": {"slow": {"input": {"table": "ds"}}}},
        }
        flow_id = agree_flow(a, b, dag=plan, given=config(a, b, params=params))
        jobs = []
        for _ in range(2):
            made = a.own("ownJobCreate", flow_id=flow_id, dag=plan, config=config(a, b, params=params))
            jobs.append(made.data["job_id"])
            a.own("ownJobStart", job_id=jobs[-1])
        for job_id in jobs:
            eventually(lambda it=job_id: b.tasks(it).get("slow", {}).get("status") == "RUNNING")
        quick = created(a, b, dag=dag(part("quick")), project="prj-2")
        a.own("ownJobStart", job_id=quick)
        eventually(lambda: b.runner.names == ["quick"])
        a.own("ownJobStop", job_id=jobs[0])
        eventually(lambda: b.tasks(jobs[0])["slow"]["status"] == "FAILED")
        gate.touch()
        eventually(lambda: sorted(b.runner.names) == ["quick", "slow"])
        assert [work.job_id for work in b.runner.works.values() if work.task_name == "slow"] == [jobs[1]]
