"""Documents and openings that the scenarios of projects and flows share: what is sent, and how two nodes come to agree.

Nothing here judges. The functions that act name their steps after a prefix, so that checks can refer to them.
"""

from __future__ import annotations

from typing import Any

from conformance.harness.errors import Prerequisite
from conformance.harness.partner import Partner, refusing
from conformance.harness.steps import Told
from conformance.harness.world import DAY_MS, World

SILENT = refusing(503, "STORE_UNAVAILABLE", 50301)  # a partner that cannot be asked: only its callback can tell


def tag(world: World) -> str:
    """Return the part that all ids of a scenario share, to search by."""
    return world.id("").lstrip("-")


def project(world: World, slug: str, **fields: Any) -> dict[str, Any]:
    """Return a project as an operator creates it; its id and its name carry the tag of the scenario."""
    project_id = world.id(slug)
    return {
        "project_id": project_id,
        "name": f"重点企业排放监测 {project_id}",
        "description": "用电量与排放数据的纵向联合建模 · vertical modelling of load and emission",
        "type": "HETERO_FL",
        **fields,
    }


def port(key: str, kind: str = "dataset") -> dict[str, str]:
    """Return one input or output of a component."""
    return {"key": key, "type": kind}


def component(name: str, *, inputs: tuple[dict[str, str], ...], outputs: tuple[dict[str, str], ...]) -> dict[str, Any]:
    """Return one component of a DAG; its code is its name without the number."""
    return {
        "name": name,
        "componentName": name.rsplit("_", 1)[0],
        "version": "0.1.0",
        "provider": "hutong",
        "input": list(inputs),
        "output": list(outputs),
    }


def dag() -> dict[str, Any]:
    """Return a DAG of four components: two tables are joined, split, and train a model."""
    return {
        "version": "1.0",
        "components": [
            component("psi_0", inputs=(port("load"), port("emission")), outputs=(port("joined"),)),
            component(
                "split_0",
                inputs=(port("psi_0.joined"),),
                outputs=(port("train", "training_set"), port("test", "test_set")),
            ),
            component("lr_0", inputs=(port("split_0.train", "training_set"),), outputs=(port("model", "model"),)),
            component(
                "eval_0",
                inputs=(port("lr_0.model", "model"), port("split_0.test", "test_set")),
                outputs=(port("auc", "metric"), port("summary", "report")),
            ),
        ],
    }


def longer(source: dict[str, Any], name: str = "report_0") -> dict[str, Any]:
    """Return a DAG with one component more."""
    extra = component(name, inputs=(port("psi_0.joined"),), outputs=(port("table", "report"),))
    return {**source, "components": [*source["components"], extra]}


def config(world: World, host: str) -> dict[str, Any]:
    """Return a configuration with every kind of JSON value, so that a lossy store shows."""
    target = world.profile.target.node_id
    return {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": target},
        "role": {"guest": [target], "host": [host], "arbiter": []},
        "job_params": {"common": {"timeout": 3600, "retry": None, "labels": {"用途": "月度监测", "": "empty key"}}},
        "task_params": {
            "common": {"psi_0": {"curve": "sm2", "buckets": 9007199254740991}},
            "guest": {"lr_0": {"learning_rate": 0.015625, "penalty": "L2", "early_stop": False, "columns": []}},
            "host": {"lr_0": {"columns": ["用电量", "peak load"], "epsilon": 1e-9, "clip": [-1.5, 1.5]}},
        },
    }


def flow(world: World, project_id: str, slug: str = "flow", *, host: str = "node-host-01") -> dict[str, Any]:
    """Return a flow as an operator creates it."""
    return {
        "project_id": project_id,
        "name": f"企业对齐与排放建模 {world.id(slug)}",
        "description": "按统一社会信用代码求交后训练 · join by credit code, then train",
        "dag": dag(),
        "config": config(world, host),
    }


def permit(world: World, partner: Partner, kind: str, resource_id: str) -> dict[str, Any]:
    """Return what a partner grants the target when it approves a project or a flow."""
    target = world.profile.target.node_id
    return {
        "token": world.id(f"permit-{kind.lower()}"),
        "resource_level": 2 if kind == "PROJECT" else 3,
        "resource_type": kind,
        "resource_id": resource_id,
        "resource_node_id": partner.node_id,
        "resource_inst_id": partner.particulars["inst_id"],
        "request_node_id": target,
        "request_inst_id": f"inst-{target}",
        "time_limit": world.now_ms() + 7 * DAY_MS,
    }


def approval(world: World, partner: Partner, kind: str, audit_id: str, resource_id: str) -> dict[str, Any]:
    """Return the confirmation with which a partner approves an application of the target's."""
    granted = permit(world, partner, kind, resource_id)
    return {"audit_id": audit_id, "status": "APPROVED", "resource_permit": granted}


def rejection(audit_id: str) -> dict[str, Any]:
    """Return the confirmation with which an application is rejected."""
    return {"audit_id": audit_id, "status": "REJECTED", "comment": "用途不明 · purpose unclear"}


def project_application(world: World, partner: Partner, slug: str) -> dict[str, Any]:
    """Return the application with which a partner asks the target to take part in its project."""
    return {
        **project(world, slug),
        "audit_id": world.id(f"audit-{slug}"),
        "contract_id": partner.contract_id,
        "datasets": [{"dataset_id": world.id("ds-emission"), "name": "企业排放", "owner": partner.node_id}],
        "time_limit": world.now_ms() + 7 * DAY_MS,
    }


def flow_application(world: World, partner: Partner, project_id: str, slug: str) -> dict[str, Any]:
    """Return the application with which a partner asks the target to agree to its flow."""
    return {
        **flow(world, project_id, slug, host=partner.node_id),
        "flow_id": f"{partner.node_id}-{slug}",
        "audit_id": world.id(f"audit-{slug}"),
        "contract_id": partner.contract_id,
        "time_limit": world.now_ms() + 7 * DAY_MS,
    }


# --- openings -------------------------------------------------------------------------------------------------------


def offer_project(world: World, partner: Partner, slug: str) -> tuple[str, str]:
    """Have the target create a project and ask the partner to take part; return project id and audit id."""
    project_id = str(world.own(f"{slug}:create", "ownProjectCreate", project(world, slug)).at("/project_id"))
    asked = {"contract_id": partner.contract_id, "project_id": project_id}
    return project_id, str(world.own(f"{slug}:offer", "ownProjectAuditApply", asked).at("/audit_id"))


def agreed_project(world: World, partner: Partner, slug: str) -> tuple[str, str]:
    """Bring about a project of the target's that the partner has approved; return project id and audit id."""
    project_id, audit_id = offer_project(world, partner, slug)
    said = approval(world, partner, "PROJECT", audit_id, project_id)
    world.call(f"{slug}:confirm", partner, "projectAuditConfirm", said).at("")
    agreed(world.own(f"{slug}:agreed", "ownProjectAuditQuery", {"audit_id": audit_id}))
    return project_id, audit_id


def agreed_flow(world: World, partner: Partner, project_id: str, slug: str) -> tuple[str, str]:
    """Bring about a flow of the target's that the partner has approved; return flow id and audit id."""
    flow_id, audit_id = offer_flow(world, partner, project_id, slug)
    said = approval(world, partner, "FLOW", audit_id, flow_id)
    world.call(f"{slug}:confirm", partner, "flowAuditConfirm", said).at("")
    agreed(world.own(f"{slug}:agreed", "ownFlowAuditQuery", {"audit_id": audit_id}))
    return flow_id, audit_id


def agreed(told: Told) -> None:
    """End the story unless an approval that it stands on is in force."""
    if told.at("/status") != "APPROVED":
        raise Prerequisite(f"step {told.step}: the approval is {told.at('/status')}")


def distinct(*ids: str) -> None:
    """End the story unless the target keeps its ids apart."""
    if len(set(ids)) != len(ids):
        raise Prerequisite("the target gave one id to two objects")


def joined_project(world: World, partner: Partner, slug: str) -> tuple[str, str]:
    """Bring about a project of the partner's that the target has approved; return project id and audit id."""
    asked = project_application(world, partner, slug)
    world.call(f"{slug}:apply", partner, "projectAuditApply", asked).at("")
    world.own(f"{slug}:approve", "ownProjectAuditConfirm", {"audit_id": asked["audit_id"], "status": "APPROVED"}).at("")
    return asked["project_id"], asked["audit_id"]


def offer_flow(world: World, partner: Partner, project_id: str, slug: str) -> tuple[str, str]:
    """Have the target write a flow and ask the partner to agree; return flow id and audit id."""
    body = flow(world, project_id, slug, host=partner.node_id)
    flow_id = str(world.own(f"{slug}:create", "ownFlowCreate", body).at("/flow_id"))
    asked = {"contract_id": partner.contract_id, "flow_id": flow_id}
    return flow_id, str(world.own(f"{slug}:offer", "ownFlowAuditApply", asked).at("/audit_id"))
