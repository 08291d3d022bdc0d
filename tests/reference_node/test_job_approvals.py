"""Jobs that are approved one by one (8.4.1-b): asked for as they are created, offered once all have agreed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reference_node.jobbing import CHAIN, Worker, agree_flow, allied, config, settle, workers

Two = tuple[Worker, Worker]


@pytest.fixture(params=["node-a", "node-b"])
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    """Two nodes under contract, of which the second wants to be asked for every job; either may schedule."""
    with workers("node-a", "node-b", job_approval="required") as (a, b):
        allied(a, b)
        a.scheduler = request.param
        yield a, b


def asked(a: Worker, b: Worker) -> tuple[str, str]:
    """Create a job that asks for approval; return its id and the id of the application at the partner."""
    flow_id = agree_flow(a, b, dag=CHAIN)
    given = config(a, b, approval=True, scheduler=a.scheduler)
    job_id = str(a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=given).data["job_id"])
    assert a.status(job_id) == "PENDING"
    (record,) = b.own("ownJobAuditList").data["records"]
    assert (record["kind"], record["resource_id"], record["status"]) == ("JOB", job_id, "APPLIED")
    return job_id, str(record["audit_id"])


def test_a_job_is_offered_once_it_is_approved(two: Two) -> None:
    """Until then it waits, afterwards it is ready at both ends and runs."""
    a, b = two
    job_id, audit_id = asked(a, b)
    a.pump()
    assert a.status(job_id) == "PENDING"
    assert b.own("ownJobAuditConfirm", audit_id=audit_id, status="APPROVED").code == 0
    settle(a, b)
    assert [node.status(job_id) for node in two] == ["READY", "READY"]
    assert a.own("ownJobStart", job_id=job_id).code == 0
    assert [node.runner.names for node in two] == [["a"], ["a"]]


def test_a_job_that_is_not_approved_is_rejected(two: Two) -> None:
    """It never reaches the partner as a job."""
    a, b = two
    job_id, audit_id = asked(a, b)
    assert b.own("ownJobAuditConfirm", audit_id=audit_id, status="REJECTED").code == 0
    settle(a, b)
    assert a.status(job_id) == "REJECTED"
    assert b.own("ownJobQuery", job_id=job_id).error == "RESOURCE_NOT_FOUND"


def test_a_lost_confirmation_is_found_by_asking(two: Two) -> None:
    """The applicant asks after a while, and the job goes on."""
    a, b = two
    job_id, audit_id = asked(a, b)
    a.network.down.add("node-a.test")
    assert b.own("ownJobAuditConfirm", audit_id=audit_id, status="APPROVED").code == 0
    a.network.down.clear()
    a.clock.advance(a.node.config.poll_seconds + 1)
    settle(a, b)
    assert [node.status(job_id) for node in two] == ["READY", "READY"]


def test_a_node_that_wants_to_be_asked_takes_no_job_unasked(two: Two) -> None:
    """The approval of the flow alone is not enough for it."""
    a, b = two
    flow_id = agree_flow(a, b, dag=CHAIN)
    reply = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=config(a, b))
    assert a.status(reply.data["job_id"]) == "REJECTED"
    unnamed = a.own("ownJobCreate", dag=CHAIN, config=config(a, b, approval=True))
    assert (unnamed.error, unnamed.data["pointer"]) == ("REQUEST_INVALID", "/flow_id")
