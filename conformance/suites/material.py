"""What the stories about resources share: components, datasets, models, permits, projects in force between two nodes.

It builds requests and carries out what several stories stand on; it judges nothing. Everything it makes has ids of the
world it is made in.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from conformance.harness.errors import Prerequisite
from conformance.harness.partner import Partner
from conformance.harness.profile_model import Protocol
from conformance.harness.steps import Awaited, Told
from conformance.harness.world import World

DATASET_LEVEL = 3
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DIGEST = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
TABLE = {"name": "table", "category": "dataset", "dataFormat": ["csv"]}
JOINED = {"name": "joined", "category": "dataset", "dataFormat": ["csv"]}
SECURITY = {
    "model": "semi-honest",
    "computational_bits": 128,
    "statistical_bits": 40,
    "leakage": {"zh": "不泄漏输入", "en": "nothing of the input"},
}
CURVE = {"name": "curve", "title": "曲线", "type": "string", "optional": True, "validator": "in:sm2|p256"}
BATCH = {"name": "batch", "title": "批量", "type": "integer", "optional": False, "validator": "[1,65536]"}


def needed(told: Told) -> Mapping[str, Any]:
    """Return the data of a step that the story stands on; a refusal ends the story as a failed prerequisite."""
    return told.data


def stands(told: Told, pointer: str, value: Any) -> None:
    """End the story as a failed prerequisite unless an answer shows this value; a check says what is wrong with it."""
    if told.at(pointer) != value:
        raise Prerequisite(f"the answer to step {told.step} does not show {value} at {pointer}")


def turned_down(told: Told) -> None:
    """End the story as a failed prerequisite when what had to be refused was accepted: what follows proves nothing."""
    if told.accepted:
        raise Prerequisite(f"step {told.step} was accepted")


def heard(told: Awaited) -> Mapping[str, Any]:
    """Return what an awaited call carried; one that never came ends the story as a failed prerequisite."""
    return told.sent


def component(code: str, version: str, developer: str, **fields: Any) -> dict[str, Any]:
    """Return the registration of a component; `fields` replace parts of it, `title` and `params` those inside."""
    info = {
        "componentName": code,
        "title": fields.pop("title", f"互通测试组件 {version}"),
        "provider": developer,
        "version": version,
        "roleList": ["guest", "host"],
        "storageEngine": ["local"],
        "inputParam": fields.pop("params", [CURVE, BATCH]),
        "inputData": [TABLE],
        "outputData": [JOINED],
        "result": [{"resultCode": "0", "resultMessage": "成功"}],
        "security": SECURITY,
    }
    usual = {
        "imageUrl": f"registry.example/hutong/{code}:{version}",
        "component_info": info,
        "category": "求交",
        "visibility": "PUBLIC",
        "engine": "hutong-engine",
        "address": f"http://component.example/{version}",
        "address_type": "HTTP",
    }
    return {**usual, **fields}


def own_component(world: World, step: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Have the target's operator register a component and find it; return how it is named."""
    needed(world.own(step, "ownComponentRegister", body))
    info = body["component_info"]
    named = {"code": info["componentName"], "version": info["version"]}
    needed(world.own(f"{step}:found", "ownComponentQuery", named))
    return named


def service_address(world: World, service: Partner) -> str:
    """Return an address at which a node that the harness plays answers a plain GET, as the service of a component."""
    _, path, query, _ = world.stage.binding.spell_request("nodeQuery", {"node_id": service.node_id}, {})
    return f"{world.stage.receiver.address}{path}?{urlencode(query)}"


def dataset(world: World, slug: str, visibility: str, **fields: Any) -> dict[str, Any]:
    """Return the registration of a dataset whose source nobody outside may see."""
    usual = {
        "dataset_id": world.id(slug),
        "name": f"互通测试数据集 {slug}",
        "category": "用电数据",
        "count": 52000,
        "join_columns": "uscc",
        "column_metas": [
            {"name": "uscc", "data_type": "string", "distribution": "DISCRETE"},
            {"name": "kwh", "data_type": "float", "distribution": "CONTINUOUS"},
        ],
        "source": {"type": "FILE", "location": f"store/{world.id('source')}.csv"},
        "visibility": visibility,
    }
    return {**usual, **fields}


def own_dataset(world: World, slug: str, visibility: str = "PROTECTED", **fields: Any) -> str:
    """Have the target's operator register a dataset; return its id, which is kept as a fact under `slug`."""
    body = dataset(world, slug, visibility, **fields)
    needed(world.own(f"create:{slug}", "ownDatasetCreate", body))
    needed(world.own(f"create:{slug}:found", "ownDatasetQuery", {"dataset_id": body["dataset_id"]}))
    return world.fact(slug, str(body["dataset_id"]))


def model(world: World, slug: str, project_id: str, **fields: Any) -> dict[str, Any]:
    """Return the registration of a model."""
    usual = {
        "model_id": world.id(slug),
        "name": f"互通测试模型 {slug}",
        "project_id": project_id,
        "job_id": world.id("job"),
        "task_id": world.id("task"),
        "algorithm": "hetero_lr",
        "location": f"models/{world.id(slug)}.bin",
        "digest": DIGEST,
    }
    return {**usual, **fields}


def institution(world: World, partner: Partner) -> str:
    """Return the institution of the target as it tells it, or its node id when it names none."""
    told = world.call(f"who:{partner.node_id}", partner, "nodeQuery", {"node_id": world.profile.target.node_id})
    return str(needed(told).get("inst_id") or world.profile.target.node_id)


def permit(world: World, partner: Partner, kind: str, resource_id: str, **fields: Any) -> dict[str, Any]:
    """Return a permit that a partner issues to the target for a resource of its own."""
    usual = {
        "token": secrets.token_urlsafe(24),
        "resource_level": 2 if kind == "PROJECT" else DATASET_LEVEL,
        "resource_type": kind,
        "resource_id": resource_id,
        "resource_node_id": partner.node_id,
        "resource_inst_id": partner.particulars["inst_id"],
        "request_node_id": world.profile.target.node_id,
        "request_inst_id": institution(world, partner),
        "auth_scope": {"type": "NODE"},
    }
    return {**usual, **fields}


def shown(granted: Mapping[str, Any], *, level: int = 0, name: str = "", token: str = "") -> tuple[str, ...]:
    """Return a permit as a request shows it; the named parts replace the true ones."""
    parts = (
        name or granted.get("resource_id", ""),
        level or granted.get("resource_level", DATASET_LEVEL),
        token or granted.get("token", ""),
    )
    return ("/".join(str(part) for part in parts),)


def issued_permit(told: Awaited) -> Mapping[str, Any]:
    """Return the permit that a call of the target's carried, empty when it carried none."""
    issued = told.sent.get("resource_permit")
    return issued if isinstance(issued, dict) else {}


def granted(world: World, partner: Partner, slug: str, dataset_id: str, **limits: Any) -> Mapping[str, Any]:
    """Have the target's operator grant a dataset to a partner; return the permit that the partner was sent."""
    body = {"contract_id": partner.contract_id, "dataset_id": dataset_id, "auth_scope": {"type": "NODE"}, **limits}
    audit_id = world.fact(f"{slug}:audit", world.own(f"grant:{slug}", "ownDatasetGrant", body).at("/audit_id"))
    return issued_permit(world.awaited(f"granted:{slug}", partner, "datasetGrant", {"audit_id": audit_id}))


def use(
    world: World,
    step: str,
    partner: Partner,
    dataset_id: str,
    permits: Sequence[str] = (),
    project_id: str = "",
    breaks: str = "",
) -> Told:
    """Ask the target for a dataset as a partner, showing permits."""
    asked = {"contract_id": partner.contract_id, "dataset_id": dataset_id}
    if project_id:
        asked["project_id"] = project_id
    return world.call(step, partner, "datasetPubQuery", asked, permits=tuple(permits), breaks=breaks)


def project_of_partner(world: World, partner: Partner, slug: str) -> str:
    """Have a partner's project approved by the target, where it offers projects; return the project's id."""
    project_id = world.fact(slug, world.id(slug))
    if Protocol.PROJECT not in world.profile.capabilities.protocols:
        return project_id
    audit_id = world.id(f"audit-{slug}")
    body = {"audit_id": audit_id, "contract_id": partner.contract_id, "project_id": project_id, "name": f"项目 {slug}"}
    needed(world.call(f"project:{slug}", partner, "projectAuditApply", body))
    decision = {"audit_id": audit_id, "status": "APPROVED"}
    needed(world.own(f"project:{slug}:approve", "ownProjectAuditConfirm", decision))
    return project_id


def project_of_target(world: World, partner: Partner, slug: str) -> str:
    """Have a project of the target's approved by a partner, where it offers projects; return the project's id."""
    project_id = world.fact(slug, world.id(slug))
    if Protocol.PROJECT not in world.profile.capabilities.protocols:
        return project_id
    body = {"project_id": project_id, "name": f"项目 {slug}"}
    needed(world.own(f"project:{slug}", "ownProjectCreate", body))
    asked = {"contract_id": partner.contract_id, "project_id": project_id}
    audit_id = world.own(f"project:{slug}:apply", "ownProjectAuditApply", asked).at("/audit_id")
    issued = permit(world, partner, "PROJECT", project_id)
    decision = {"audit_id": audit_id, "status": "APPROVED", "resource_permit": issued}
    needed(world.call(f"project:{slug}:confirm", partner, "projectAuditConfirm", decision))
    return project_id
