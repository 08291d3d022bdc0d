"""Flows of the node's own: written, listed, read, changed and deleted by its operator (8.3.1, 8.3.2, 8.3.4, 8.3.5)."""

from __future__ import annotations

from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts

BURST = 16


def _project(world: World, slug: str) -> str:
    return str(world.own(slug, "ownProjectCreate", drafts.project(world, slug)).at("/project_id"))


@scenario()
def test_flow_birth(world: World) -> None:
    """The operator writes a flow with a DAG and a configuration, reads it back, and tries what cannot be (8.3.1)."""
    body = drafts.flow(world, _project(world, "prj-flows"))
    made = world.own("create", "ownFlowCreate", body)
    world.own("query", "ownFlowQuery", {"flow_id": made.at("/flow_id")})
    bare = {name: body[name] for name in ("project_id", "name", "dag")}
    told = world.own("create-bare", "ownFlowCreate", bare)
    world.own("query-bare", "ownFlowQuery", {"flow_id": told.at("/flow_id")})
    nowhere = {**body, "project_id": world.id("prj-never-made")}
    world.own("create-nowhere", "ownFlowCreate", nowhere, breaks="there is no project with this id")
    named = {**body, "flow_id": world.id("flow-named")}
    world.own("create-named", "ownFlowCreate", named, breaks="the node makes the flow id")
    unknown = {"flow_id": world.id("flow-never-made")}
    world.own("query-unknown", "ownFlowQuery", unknown, breaks="there is no flow with this id")


@scenario()
def test_flow_ids(world: World) -> None:
    """Many flows written in a burst, in two projects, are given ids (8.3.1)."""
    projects = [_project(world, "prj-one"), _project(world, "prj-two")]
    for number in range(BURST):
        body = drafts.flow(world, projects[number % 2], f"flow-{number}")
        world.own(f"create-{number}", "ownFlowCreate", body).at("/flow_id")
    world.fact("burst", BURST)


@scenario()
def test_flow_lists(world: World) -> None:
    """Two projects have flows; each is listed by its id, searched, and cut into pages (8.3.2-a)."""
    ours, other = _project(world, "prj-listed"), _project(world, "prj-other")
    ids = []
    for slug in ("Alpha", "Beta", "Gamma"):
        body = {**drafts.flow(world, ours, slug), "name": f"Flow {slug} 联合建模"}
        ids.append(str(world.own(f"create-{slug}", "ownFlowCreate", body).at("/flow_id")))
        world.elapse(0.01)  # "newest first" needs creations that differ in time
    world.own("create-other", "ownFlowCreate", drafts.flow(world, other, "Alpha")).at("/flow_id")
    drafts.distinct(*ids)
    key = {"project_id": ours}
    world.own("list", "ownFlowList", key)
    world.own("list-other", "ownFlowList", {"project_id": other})
    world.own("search", "ownFlowList", {**key, "keyword": "flow b"})
    world.own("exact", "ownFlowList", {**key, "keyword": "Flow Beta 联合建模", "match": "exact"})
    world.own("exact-part", "ownFlowList", {**key, "keyword": "Beta", "match": "exact"})
    world.own("none", "ownFlowList", {**key, "keyword": "no such flow"})
    world.own("drafts", "ownFlowList", {**key, "status": "DRAFT"})
    world.own("approved", "ownFlowList", {**key, "status": "APPROVED"})
    for number in (1, 2):
        world.own(f"page-{number}", "ownFlowList", {**key, "page_num": number, "page_size": 2})


@scenario()
def test_flow_change(world: World) -> None:
    """The operator changes one of two flows: name, description, configuration, DAG; then deletes it (8.3.4, 8.3.5)."""
    project_id = _project(world, "prj-change")
    body = drafts.flow(world, project_id)
    flow_id = str(world.own("create", "ownFlowCreate", body).at("/flow_id"))
    other_id = str(world.own("create-other", "ownFlowCreate", drafts.flow(world, project_id, "other")).at("/flow_id"))
    drafts.distinct(flow_id, other_id)
    key, other = {"flow_id": flow_id}, {"flow_id": other_id}
    world.own("query", "ownFlowQuery", key)
    world.own("query-other", "ownFlowQuery", other)
    world.own("rename", "ownFlowUpdate", {**key, "name": f"改名之后 {flow_id}", "description": ""})
    world.own("query-renamed", "ownFlowQuery", key)
    config = {**body["config"], "job_params": {"common": {"timeout": 60}}}
    world.own("reconfigure", "ownFlowUpdate", {**key, "config": config})
    world.own("query-reconfigured", "ownFlowQuery", key)
    world.own("redraw", "ownFlowUpdate", {**key, "dag": drafts.longer(body["dag"])})
    world.own("query-redrawn", "ownFlowQuery", key)
    world.own("query-other-after", "ownFlowQuery", other)
    world.own("list", "ownFlowList", {"project_id": project_id})
    world.own("delete", "ownFlowDelete", key)
    world.own("query-deleted", "ownFlowQuery", key, breaks="the flow has been deleted")
    world.own("list-after", "ownFlowList", {"project_id": project_id})
    world.own("query-other-left", "ownFlowQuery", other)
    world.own("delete-again", "ownFlowDelete", key, breaks="the flow has been deleted")


@scenario()
def test_flow_dag_rules(world: World) -> None:
    """The operator writes flows whose DAGs cannot run, one defect at a time, beside the DAG without it (8.3.1)."""
    project_id = _project(world, "prj-dags")
    body = drafts.flow(world, project_id)
    flow_id = str(world.own("sound", "ownFlowCreate", body).at("/flow_id"))
    join, split, train, evaluate = body["dag"]["components"]
    circle = {**join, "input": [drafts.port("load"), drafts.port("split_0.train", "training_set")]}
    dangling = {**train, "input": [drafts.port("split_0.nowhere", "training_set")]}
    without_output = {name: value for name, value in evaluate.items() if name != "output"}
    broken = {
        "circle": [circle, split, train, evaluate],
        "same-name": [join, split, train, evaluate, {**evaluate, "input": [], "output": []}],
        "dangling": [join, split, dangling, evaluate],
        "no-output": [join, split, train, without_output],
        "params-inside": [join, split, {**train, "config": {"learning_rate": 0.1}}, evaluate],
        "no-components": [],
    }
    for step, components in broken.items():
        dag = {**body["dag"], "components": components}
        world.own(step, "ownFlowCreate", {**body, "dag": dag}, breaks=f"DAG: {step}")
    world.own("query", "ownFlowQuery", {"flow_id": flow_id})
    bent = {"flow_id": flow_id, "dag": {**body["dag"], "components": broken["circle"]}}
    world.own("update-circle", "ownFlowUpdate", bent, breaks="DAG: circle")
    world.own("query-after", "ownFlowQuery", {"flow_id": flow_id})
    world.own("update-sound", "ownFlowUpdate", {"flow_id": flow_id, "dag": drafts.longer(body["dag"])})
