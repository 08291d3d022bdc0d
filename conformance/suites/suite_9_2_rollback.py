"""Operations with several effects that break off at the last of them: the state is as before (9.2-e-5)."""

from __future__ import annotations

from typing import Any

from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts
from conformance.suites.contracts import required
from conformance.suites.material import heard, needed, own_dataset, permit

_DATASETS = "every dataset of a project is there"


@scenario()
def test_broken_off_projects(world: World) -> None:
    """A project is created, and another changed, with datasets of which the last is not there (9.2-e-5)."""
    there, absent = own_dataset(world, "there"), world.id("absent")
    fresh: dict[str, Any] = {"project_id": world.id("fresh"), "name": "互通测试 新项目"}
    broken = {**fresh, "dataset_ids": [there, absent]}
    world.own("create-broken", "ownProjectCreate", broken, breaks=_DATASETS)
    world.own("created-broken", "ownProjectQuery", {"project_id": fresh["project_id"]})
    standing = {"project_id": world.id("standing"), "name": "互通测试 原名", "dataset_ids": [there]}
    needed(world.own("create", "ownProjectCreate", standing))
    needed(world.own("project-before", "ownProjectQuery", {"project_id": standing["project_id"]}))
    change = {"project_id": standing["project_id"], "name": "互通测试 新名", "description": "改"}
    broken = {**change, "dataset_ids": [there, absent]}
    world.own("change-broken", "ownProjectUpdate", broken, breaks=_DATASETS)
    world.own("project-after", "ownProjectQuery", {"project_id": standing["project_id"]})
    world.own("change", "ownProjectUpdate", {**change, "dataset_ids": [there]})


@scenario()
def test_broken_off_flow(world: World) -> None:
    """A flow gets another name and description, and a DAG that cannot run (9.2-e-5)."""
    project = drafts.project(world, "prj-broken")
    required(world.own("project", "ownProjectCreate", project))
    body = drafts.flow(world, project["project_id"])
    flow_id = str(world.own("create", "ownFlowCreate", body).at("/flow_id"))
    needed(world.own("flow-before", "ownFlowQuery", {"flow_id": flow_id}))
    join, *others = body["dag"]["components"]
    circle = {**join, "input": [drafts.port("load"), drafts.port("split_0.train", "training_set")]}
    change = {"flow_id": flow_id, "name": "互通测试 新名", "description": "改"}
    dag = {**body["dag"], "components": [circle, *others]}
    world.own("change-broken", "ownFlowUpdate", {**change, "dag": dag}, breaks="a DAG has no circle")
    world.own("flow-after", "ownFlowQuery", {"flow_id": flow_id})
    world.own("change", "ownFlowUpdate", {**change, "dag": drafts.longer(body["dag"])})


@scenario()
def test_broken_off_decision(world: World) -> None:
    """A partner approves an application with a permit for something else, then with the right one (9.2-e-5)."""
    partner, wanted = world.signed_partner(), world.id("theirs")
    asked = {"contract_id": partner.contract_id, "dataset_id": wanted, "auth_scope": {"type": "NODE"}}
    audit_id = str(world.own("apply", "ownDatasetAuditApply", asked).at("/audit_id"))
    one = {"audit_id": audit_id}
    heard(world.awaited("asked", partner, "datasetAuditApply", one))
    needed(world.own("audit-before", "ownDatasetAuditQuery", one))
    yes = {**one, "status": "APPROVED", "comment": "同意"}
    other, right = (permit(world, partner, "DATASET", name) for name in (world.id("other"), wanted))
    broken = {**yes, "resource_permit": other}
    world.call("decide-broken", partner, "datasetAuditConfirm", broken, breaks="the permit is for what was asked")
    world.own("audit-after", "ownDatasetAuditQuery", one)
    world.call("decide", partner, "datasetAuditConfirm", {**yes, "resource_permit": right})
