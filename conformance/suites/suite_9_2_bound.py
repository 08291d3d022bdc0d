"""An approval binds all that was shown: the harness, an applicant, changes it afterwards, one place at a time (9.2-b).

The changes are generated from the schema of what is sent, so that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import changed, drafts, work
from conformance.suites.material import DAY_MS, needed, own_dataset, project_of_partner

OPERATIONAL = ("priority", "timeout", "memory_mib", "transport", "approval")
NOT_APPROVED = "it is not what was approved"
OLD = {"first": {"word": "old"}}


def _conf(world: World, partner: Partner, word: str = "old", lines: int = 1) -> dict[str, Any]:
    """Return the configuration of the job; it leaves the number of lines open."""
    target = world.profile.target.node_id
    params = {"first": {"word": word, "lines": lines}}
    return work.config(partner.node_id, target, task_params=params, priority=4, open_params={"first": ["lines"]})


def _binds(pointer: str) -> bool:
    """Tell whether a place of a creation is one that was approved: neither the job's own id nor when it runs."""
    steps = pointer.split("/")[1:]
    if steps[0] == "config":
        open_ = steps[1:4] == ["task_params", "common", "first"] and steps[4:] == ["lines"]
        return not open_ and not (steps[1] == "job_params" and steps[-1] in OPERATIONAL)
    return steps[0] in ("dag", "flow_id")


def _tried(world: World, partner: Partner, asked: Mapping[str, Any], *, own_ids: bool) -> None:
    """Create the job with each change in turn; `own_ids` gives every attempt an id of its own."""
    changes: dict[str, str] = {}
    absent = world.stage.binding.lacks("jobCreate", "request")
    for pointer, bent in changed.of_request("jobCreate", asked):
        if not _binds(pointer) or changed.top(pointer) in absent:
            continue
        step = f"changed-{len(changes)}"
        changes[step] = pointer
        sent = {**bent, "job_id": world.id(step)} if own_ids else bent
        world.call(step, partner, "jobCreate", sent, breaks=NOT_APPROVED)
    world.fact("changes", changes)


@scenario()
def test_flow_binds_job(world: World) -> None:
    """A partner has a flow approved and creates jobs of it with one place changed, then as agreed (9.2-b)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-bound")
    conf = _conf(world, partner)
    flow_id = work.approved_flow(world, partner, project_id, "flow-bound", plan, conf)
    asked = {**work.offer(world, partner, flow_id, plan), "config": conf}
    key = {"flow_id": flow_id}
    _tried(world, partner, asked, own_ids=True)
    wide = _conf(world, partner, "new")
    wide["job_params"]["common"]["open_params"] = {"first": ["lines", "word"]}
    widened = {**asked, "job_id": world.id("job-widened"), "config": wide}
    world.call("widened", partner, "jobCreate", widened, breaks=NOT_APPROVED)
    world.own("none", "ownJobList", key)
    world.call("create", partner, "jobCreate", asked)
    sooner = _conf(world, partner)
    sooner["job_params"]["common"] |= {"priority": 9, "timeout": 60}
    world.call("create-sooner", partner, "jobCreate", {**asked, "job_id": world.id("job-sooner"), "config": sooner})
    longer = {**asked, "job_id": world.id("job-longer"), "config": _conf(world, partner, lines=2)}
    world.call("create-open", partner, "jobCreate", longer)


@scenario()
def test_job_approval_binds_job(world: World) -> None:
    """A partner has a job approved and creates it with one place changed, then as it was approved (9.2-b)."""
    world.offered("jobAuditApply")
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-bound")
    flow_id = work.approved_flow(world, partner, project_id, "flow-bound", plan, _conf(world, partner, "new"))
    asked = {**work.offer(world, partner, flow_id, plan), "config": _conf(world, partner)}
    wanted = _job_application(world, asked, project_id)
    needed(world.call("apply", partner, "jobAuditApply", wanted))
    needed(world.own("approve", "ownJobAuditConfirm", {"audit_id": wanted["audit_id"], "status": "APPROVED"}))
    _tried(world, partner, asked, own_ids=False)
    world.own("none", "ownJobList", {"flow_id": flow_id})
    world.call("create", partner, "jobCreate", asked)


def _job_application(world: World, asked: Mapping[str, Any], project_id: str) -> dict[str, Any]:
    ids = {"audit_id": world.id("audit-job"), "job_id": asked["job_id"], "flow_id": asked["flow_id"]}
    return {**ids, "name": "作业", "project_id": project_id, "dag": asked["dag"], "conf": asked["config"]}


def _repeated(world: World, partner: Partner, kind: str, asked: Mapping[str, Any]) -> None:
    """Apply, apply again with one place changed each time, and once more as before; look at what is kept."""
    operation, key = f"{kind}AuditApply", {"audit_id": asked["audit_id"]}
    query = f"own{kind.capitalize()}AuditQuery"
    needed(world.call("apply", partner, operation, asked))
    world.own("before", query, key)
    changes: dict[str, str] = {}
    lacks = world.stage.binding.lacks(operation, "request")
    for pointer, bent in changed.of_request(operation, asked):
        if changed.top(pointer) in ("audit_id", "contract_id", *lacks):
            continue
        step = f"changed-{len(changes)}"
        changes[step] = pointer
        world.call(step, partner, operation, bent, breaks="the id is taken by another content")
    world.fact("changes", changes)
    world.call("again", partner, operation, asked)
    world.own("after", query, key)


@scenario()
def test_project_application_stands(world: World) -> None:
    """A partner applies for a project, then with one place changed at a time under the same id (9.2-b)."""
    partner = world.signed_partner()
    _repeated(world, partner, "project", drafts.project_application(world, partner, "prj-bound"))


@scenario()
def test_flow_application_stands(world: World) -> None:
    """A partner applies for a flow, then with one place changed at a time under the same id (9.2-b)."""
    partner = world.signed_partner()
    project_id, _ = drafts.joined_project(world, partner, "prj-bound")
    asked = drafts.flow_application(world, partner, project_id, "flow-bound")
    plan = work.dag({0: world.id("code")}, first=())
    _repeated(world, partner, "flow", {**asked, "dag": plan, "config": _conf(world, partner)})


@scenario()
def test_dataset_application_stands(world: World) -> None:
    """A partner applies for a dataset, then with one place changed at a time under the same id (9.2-b)."""
    partner = world.signed_partner()
    asked = {"audit_id": world.id("audit-bound"), "contract_id": partner.contract_id, "auth_scope": {"type": "NODE"}}
    limits = {"time_limit": world.now_ms() + DAY_MS, "times_limit": 2}
    _repeated(world, partner, "dataset", {**asked, **limits, "dataset_id": own_dataset(world, "bound")})


@scenario()
def test_model_application_stands(world: World) -> None:
    """A partner applies for a model, then with one place changed at a time under the same id (9.2-b)."""
    partner = world.signed_partner()
    project_id = project_of_partner(world, partner, "project")
    asked = {"audit_id": world.id("audit-bound"), "contract_id": partner.contract_id, "apply_project_id": project_id}
    asked |= {"model_id": world.id("model"), "job_id": world.id("job"), "task_id": world.id("task")}
    _repeated(world, partner, "model", {**asked, "time_limit": world.now_ms() + DAY_MS, "times_limit": 2})


@scenario()
def test_job_application_stands(world: World) -> None:
    """A partner applies for a job, then with one place changed at a time under the same id (9.2-b)."""
    world.offered("jobAuditApply")
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-bound")
    conf = _conf(world, partner)
    flow_id = work.approved_flow(world, partner, project_id, "flow-bound", plan, conf)
    asked = {**work.offer(world, partner, flow_id, plan), "config": conf}
    _repeated(world, partner, "job", _job_application(world, asked, project_id))


@scenario()
def test_decision_names_content(world: World) -> None:
    """The operator decides with the digest of another content, then with that of the one that it was shown (9.2-b)."""
    partner = world.signed_partner()
    asked = drafts.project_application(world, partner, "prj-seen")
    key = {"audit_id": asked["audit_id"]}
    needed(world.call("apply", partner, "projectAuditApply", asked))
    seen = world.own("seen", "ownProjectAuditQuery", key).data.get("content_digest")
    if not isinstance(seen, str):
        raise NotOffered("the target shows no content_digest with an application")
    other = seen[:-1] + ("0" if seen[-1:] != "0" else "1")
    decision = {**key, "status": "APPROVED"}
    world.own("decide-other", "ownProjectAuditConfirm", {**decision, "content_digest": other}, breaks=NOT_APPROVED)
    world.own("undecided", "ownProjectAuditQuery", key)
    world.own("decide", "ownProjectAuditConfirm", {**decision, "content_digest": seen})
    world.own("decided", "ownProjectAuditQuery", key)
