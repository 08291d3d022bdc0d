"""A job runs in the project in which its flow was approved, whatever it says, and gets what was granted for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reference_node.jobbing import (
    Worker,
    agree_flow,
    allied,
    config,
    contract_between,
    dag,
    part,
    workers,
)

PLAN = dag(part("a", "follow", ["table"]))
PARAMS = {
    "guest": {"0": {"a": {"input": {"table": "ds-node-a"}}}},
    "host": {"0": {"a": {"input": {"table": "ds-node-b"}}}},
}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """Two nodes with flows in two projects; the second has granted the first a dataset for project `here`."""
    (tmp_path / "table.csv").write_text("id\n1\n")
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        for node in (a, b):
            source = {"type": "FILE", "location": str(tmp_path / "table.csv")}
            visibility = "PROTECTED" if node is b else "PUBLIC"
            made = node.own(
                "ownDatasetCreate", dataset_id=f"ds-{node.id}", name="t", source=source, visibility=visibility
            )
            assert made.code == 0, made
        given = config(a, b, params=PARAMS)
        a.flows = {name: agree_flow(a, b, dag=PLAN, project=name, given=given) for name in ("here", "there")}  # type: ignore[attr-defined]
        scope = {"type": "PROJECT", "project_id": "here"}
        contract = contract_between(b, a)
        granted = b.own(
            "ownDatasetGrant", contract_id=contract, dataset_id="ds-node-b", auth_scope=scope, times_limit=2
        )
        assert granted.code == 0, granted
        yield a, b


def offered(a: Worker, b: Worker, approved_in: str, job_id: str = "job-1", **fields: Any) -> Any:
    """Offer the second node a job of the flow that was approved in a project."""
    flow_id = a.flows[approved_in]  # type: ignore[attr-defined]
    body = {"job_id": job_id, "flow_id": flow_id, "dag": PLAN, "config": config(a, b, params=PARAMS), **fields}
    return b.signed("jobCreate", a.as_stranger(), **body)


def uses(b: Worker) -> int:
    """Return how often the permit of the dataset was used."""
    (row,) = b.own("ownDatasetAuthList", mode="OUT").data["records"]
    return int(row["uses"])


@pytest.mark.parametrize("named", [{"project_id": "here"}, {}], ids=["named", "not-named"])
def test_a_job_of_the_project_gets_what_was_granted_for_it(two: tuple[Worker, Worker], named: dict[str, str]) -> None:
    """Whether the job repeats the project or leaves it out."""
    a, b = two
    assert offered(a, b, "here", **named).code == 0
    assert b.job("job-1")["project_id"] == "here"
    assert uses(b) == 0  # counted where the data are opened
    assert b.signed("jobStart", a.as_stranger(), job_id="job-1").code == 0
    order = {"task_id": "task_1", "job_id": "job-1", "task_name": "a"}
    assert b.signed("taskStart", a.as_stranger(), **order).code == 0
    assert uses(b) == 1


@pytest.mark.parametrize(
    ("named", "error", "pointer"),
    [
        ({"project_id": "here"}, "CONFIG_NOT_APPROVED", "/project_id"),
        ({"project_id": "none"}, "CONFIG_NOT_APPROVED", "/project_id"),
        ({"project_id": "there"}, "PERMIT_OUT_OF_SCOPE", "/config/task_params/host/0/a/input/table"),
        ({}, "PERMIT_OUT_OF_SCOPE", "/config/task_params/host/0/a/input/table"),
    ],
)
def test_a_job_of_another_project_does_not_get_it_by_saying_so(
    two: tuple[Worker, Worker], named: dict[str, str], error: str, pointer: str
) -> None:
    """Refused with its place; no job is kept and no use counted."""
    a, b = two
    refused = offered(a, b, "there", **named)
    assert (refused.error, refused.data["pointer"]) == (error, pointer)
    assert b.own("ownJobQuery", job_id="job-1").error == "RESOURCE_NOT_FOUND"
    assert uses(b) == 0
    assert offered(a, b, "here", "job-2", project_id="here").code == 0


def test_a_job_that_its_node_makes_says_in_which_project_it_is(two: tuple[Worker, Worker]) -> None:
    """What the initiator's node sends is what was approved."""
    a, b = two
    made = a.own("ownJobCreate", flow_id=a.flows["here"], dag=PLAN, config=config(a, b, params=PARAMS))  # type: ignore[attr-defined]
    assert made.code == 0, made
    for node in (a, b):
        node.pump()
    assert b.job(made.data["job_id"])["project_id"] == "here"
