"""An approval binds what was shown: nothing else is taken, at creation or before the decision (9.2-b, 8.4.1-b)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_node.domain import consent
from tests.reference_node.jobbing import CHAIN, Worker, agree_flow, allied, config, contract_between, dag, part, workers

Two = tuple[Worker, Worker]
AUDIT = {"guest": ["node-a"], "host": ["node-b"], "arbiter": []}


@pytest.fixture
def two() -> Iterator[Two]:
    """Two nodes under contract."""
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        yield a, b


def agreed_config(a: Worker, b: Worker) -> dict[str, Any]:
    """Return a configuration that leaves one parameter open."""
    return config(a, b, params={"common": {"a": {"word": "old", "times": 1}}}, open_params={"a": ["times"]})


def create(a: Worker, b: Worker, flow_id: str, conf: Any, job_id: str = "job-x", **fields: Any) -> Any:
    """Create a job at the partner in the name of the initiator."""
    asked = {"job_id": job_id, "flow_id": flow_id, "dag": CHAIN, "config": conf, **fields}
    return b.signed("jobCreate", a.as_stranger(), **asked)


def replaced(conf: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Return a configuration with another value at a place."""
    changed = deepcopy(conf)
    *steps, last = place.split("/")
    at: Any = changed
    for step in steps:
        at = at.setdefault(step, {})
    at[last] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("task_params/common/a/word", "new"),
        ("task_params/host", {"a": {"word": "new"}}),
        ("task_params/host", {"0": {"a": {"word": "new"}}}),
        ("job_params/common/open_params", {"a": ["times", "word"]}),
        ("job_params/common/labels", "other"),
        ("role/arbiter", ["node-c"]),
        ("version", "2.0"),
    ],
)
def test_a_job_with_another_configuration_than_its_flow_is_refused(two: Two, place: str, value: Any) -> None:
    """The refusal points at the place, no job is kept, and the job as it was agreed is taken."""
    a, b = two
    conf = agreed_config(a, b)
    flow_id = agree_flow(a, b, dag=CHAIN, given=conf)
    refused = create(a, b, flow_id, replaced(conf, place, value))
    assert refused.error == "CONFIG_NOT_APPROVED"
    assert refused.data["pointer"].startswith(f"/config/{place}")
    assert b.own("ownJobList").data["total"] == 0
    (record,) = b.audit("ownEvidenceList", subject_id="job-x").data["records"]
    assert (record["act"], record["counterpart"]) == ("job.refused", "node-a")
    assert create(a, b, flow_id, conf).code == 0


def test_what_was_left_open_and_when_it_runs_may_differ(two: Two) -> None:
    """Also where the approval was given before."""
    a, b = two
    conf = agreed_config(a, b)
    flow_id = agree_flow(a, b, dag=CHAIN, given=conf)
    assert create(a, b, flow_id, replaced(conf, "task_params/common/a/times", 7), "job-1").code == 0
    assert create(a, b, flow_id, replaced(conf, "job_params/common/priority", 9), "job-2").code == 0


def test_a_job_belongs_to_the_project_that_was_approved(two: Two) -> None:
    """A grant for another project is not reached by naming it."""
    a, b = two
    conf = agreed_config(a, b)
    flow_id = agree_flow(a, b, dag=CHAIN, given=conf)
    refused = create(a, b, flow_id, conf, project_id="prj-2")
    assert (refused.error, refused.data["pointer"]) == ("CONFIG_NOT_APPROVED", "/project_id")
    assert create(a, b, flow_id, conf, project_id="prj-1").code == 0
    assert create(a, b, flow_id, conf, project_id="prj-2").error == "ID_TAKEN"


def test_a_flow_without_a_configuration_opens_no_job(two: Two) -> None:
    """Nobody has agreed to one: the job is approved by itself."""
    a, b = two
    agree_flow(a, b, dag=CHAIN)
    flow_id = a.own("ownFlowCreate", project_id="prj-1", name="bare", dag=CHAIN).data["flow_id"]
    asked = a.own("ownFlowAuditApply", contract_id=contract_between(a, b), flow_id=flow_id).data["audit_id"]
    assert b.own("ownFlowAuditConfirm", audit_id=asked, status="APPROVED").code == 0
    refused = create(a, b, flow_id, agreed_config(a, b))
    assert (refused.error, refused.data["pointer"]) == ("CONFIG_NOT_APPROVED", "/config")
    by_itself = config(a, b, approval=True)
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=by_itself).data["job_id"]
    (record,) = b.own("ownJobAuditList").data["records"]
    assert b.own("ownJobAuditConfirm", audit_id=record["audit_id"], status="APPROVED").code == 0
    a.pump()
    assert b.status(job_id) == "READY"


def test_a_job_approval_opens_that_very_job(two: Two) -> None:
    """Its configuration, DAG and flow, though the flow was approved with another."""
    a, b = two
    flow_id = agree_flow(a, b, dag=CHAIN)
    conf = agreed_config(a, b)
    asked = {"audit_id": "audit-1", "job_id": "job-x", "flow_id": flow_id, "name": "j", "project_id": "prj-1"}
    assert b.signed("jobAuditApply", a.as_stranger(), **asked, dag=CHAIN, conf=conf).code == 0
    assert b.own("ownJobAuditConfirm", audit_id="audit-1", status="APPROVED").code == 0
    other = create(a, b, flow_id, replaced(conf, "task_params/common/a/word", "new"))
    assert (other.error, other.data["pointer"]) == ("CONFIG_NOT_APPROVED", "/config/task_params/common/a/word")
    assert create(a, b, flow_id, conf, dag=dag(part("a"))).error == "DAG_FROZEN"
    assert create(a, b, "other-flow", conf).data["pointer"] == "/flow_id"
    assert create(a, b, flow_id, conf).code == 0


def test_the_initiator_is_told_early_and_may_apply_anew(two: Two) -> None:
    """A flow's configuration may change; a job with the new one needs a fresh approval."""
    a, b = two
    old = agreed_config(a, b)
    flow_id = agree_flow(a, b, dag=CHAIN, given=old)
    new = replaced(old, "task_params/common/a/word", "new")
    assert a.own("ownFlowUpdate", flow_id=flow_id, config=new).code == 0
    refused = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=new)
    assert (refused.error, refused.data["pointer"]) == ("CONFIG_NOT_APPROVED", "/config/task_params/common/a/word")
    assert "node-b" in refused.data["hint"]
    assert a.own("ownJobList").data["total"] == 0
    asked = a.own("ownFlowAuditApply", contract_id=contract_between(a, b), flow_id=flow_id).data["audit_id"]
    assert b.own("ownFlowAuditConfirm", audit_id=asked, status="APPROVED").code == 0
    for conf in (new, old):  # both are agreed to by now
        made = a.own("ownJobCreate", flow_id=flow_id, dag=CHAIN, config=conf)
        assert b.status(made.data["job_id"]) == "READY"


def test_a_decision_is_on_the_content_that_was_seen(two: Two) -> None:
    """Both ends know the digest; a decision with another is refused and decides nothing."""
    a, b = two
    a.own("ownProjectCreate", project_id="prj-1", name="p")
    asked = a.own("ownProjectAuditApply", contract_id=contract_between(a, b), project_id="prj-1").data["audit_id"]
    seen, told = (node.own("ownProjectAuditQuery", audit_id=asked).data["content_digest"] for node in (b, a))
    assert seen == told
    decision = {"audit_id": asked, "status": "APPROVED"}
    refused = b.own("ownProjectAuditConfirm", **decision, content_digest="0" * 64)
    assert (refused.error, refused.data["pointer"]) == ("CONTENT_NOT_SEEN", "/content_digest")
    assert b.own("ownProjectAuditQuery", audit_id=asked).data["status"] == "APPLIED"
    assert b.own("ownProjectAuditConfirm", **decision, content_digest=seen).code == 0


def test_a_grant_opens_the_data_that_it_was_given_for(two: Two) -> None:
    """While it stands, the dataset lies where it lay; it may be recorded anew."""
    a, b = two
    source = {"type": "FILE", "location": "/data/one.csv"}
    b.own("ownDatasetCreate", dataset_id="ds", name="t", source=source, visibility="PROTECTED")
    fields = {"contract_id": contract_between(a, b), "dataset_id": "ds", "auth_scope": {"type": "NODE"}}
    granted = b.own("ownDatasetGrant", **fields).data["audit_id"]
    moved = {"dataset_id": "ds", "source": {**source, "location": "/data/two.csv"}}
    refused = b.own("ownDatasetUpdate", **moved)
    assert (refused.error, refused.data["pointer"]) == ("IN_USE", "/source")
    assert b.own("ownDatasetQuery", dataset_id="ds").data["source"] == source
    assert b.own("ownDatasetUpdate", dataset_id="ds", source=source, name="renamed").code == 0
    assert b.own("ownDatasetAuditTerminate", audit_id=granted).code == 0
    assert b.own("ownDatasetUpdate", **moved).code == 0


def test_nothing_that_is_never_open_is_left_open(two: Two) -> None:
    """Which data a party computes with is its own to say."""
    a, _ = two
    a.own("ownProjectCreate", project_id="prj-1", name="p")
    conf = replaced(config(*two), "job_params/common/open_params", {"a": ["input"]})
    refused = a.own("ownFlowCreate", project_id="prj-1", name="f", dag=CHAIN, config=conf)
    assert refused.error == "PARAMS_INVALID"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("uvw"), inner, max_size=2),
    max_leaves=5,
)
PARAMS = st.dictionaries(st.sampled_from(["word", "times", "x"]), VALUES, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shown=PARAMS, asked=PARAMS)
def test_only_the_parameters_that_were_shown_are_agreed_to(shown: Any, asked: Any) -> None:
    """Whatever is asked for, it passes exactly where the closed parameters are those that were shown."""
    base = {"version": "1.0", "initiator": {"role": "guest", "node_id": "node-a"}, "role": AUDIT}
    base["job_params"] = {"common": {"open_params": {"a": ["times"]}}}

    def conf(params: Any) -> dict[str, Any]:
        return {**base, "task_params": {"common": {"a": params}}}

    kept = [{name: value for name, value in params.items() if name != "times"} for params in (shown, asked)]
    assert (consent.difference(conf(shown), conf(asked)) is None) == consent.same(*kept)
