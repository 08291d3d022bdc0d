"""Projects, datasets and models as an operation on them needs it: asked for by either side, agreed, or only there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.harness import proofs
from conformance.harness.partner import Partner, saying
from conformance.harness.world import World
from conformance.suites import drafts, material
from specs import Operation


def names(world: World, partner: Partner, operation: Operation, project_id: str) -> Mapping[str, Any]:
    """Bring that about; return what an operation may name of it."""
    kind, rest = operation.protocol, operation.id.partition("Audit")[2]
    match operation.id, rest, operation.own_side:
        case ("datasetGrant", _, _):
            return _granted(world, partner)
        case ("projectUpdate", _, _):
            return {"project_id": drafts.joined_project(world, partner, "joined")[0]}
        case (_, "Apply", False):
            return _theirs(world, partner, kind)
        case (_, "Cancel" | "Query", False) | (_, "Confirm", True):
            return _asked(world, partner, kind)
        case (_, "Terminate", True):
            asked = _asked(world, partner, kind)
            decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
            world.own("decided", f"own{kind.title()}AuditConfirm", decision).at("")
            return asked
        case (_, "Confirm", False) | (_, "Cancel", True):
            return _ours(world, partner, kind, project_id)
        case (_, "Terminate", False) | (_, "Query", True):
            asked = _ours(world, partner, kind, project_id)
            told = {"audit_id": asked["audit_id"], "status": "APPROVED", "resource_permit": asked["resource_permit"]}
            world.call("decided", partner, f"{kind}AuditConfirm", told).at("")
            return asked
    return _there(world, partner, kind, project_id)


def _theirs(world: World, partner: Partner, kind: str) -> dict[str, Any]:
    """Return an application of the partner's."""
    named = {"audit_id": world.id("asked"), "contract_id": partner.contract_id}
    if kind == "project":
        return drafts.project_application(world, partner, "asked")
    if kind == "dataset":
        return {**named, "dataset_id": material.own_dataset(world, "asked")}
    model_id, digest = world.id("model"), f"sm3:{material.DIGEST}"
    proof = proofs.proof(partner.key, "model", partner.node_id, model_id, digest)
    project = {"apply_project_id": material.project_of_partner(world, partner, "theirs")}
    return {**named, **project, "model_id": model_id, "digest": digest, "proof": proof}


def _asked(world: World, partner: Partner, kind: str) -> dict[str, Any]:
    """Have the partner apply; nothing is decided yet."""
    asked = _theirs(world, partner, kind)
    world.call("asked", partner, f"{kind}AuditApply", asked).at("")
    return asked


def _ours(world: World, partner: Partner, kind: str, project_id: str) -> dict[str, Any]:
    """Have the node apply to the partner; nothing is decided yet."""
    if kind == "project":
        resource_id, audit_id = drafts.offer_project(world, partner, "offered")
    else:
        ours = world.id("theirs") if kind == "dataset" else _written(world, project_id)
        resource_id, asked = ours, {"contract_id": partner.contract_id, f"{kind}_id": ours}
        audit_id = str(world.own("applied", f"own{kind.title()}AuditApply", asked).at("/audit_id"))
    permit = drafts.permit(world, partner, kind.upper(), resource_id)
    return {f"{kind}_id": resource_id, "audit_id": audit_id, "resource_permit": permit}


def _granted(world: World, partner: Partner) -> dict[str, Any]:
    theirs = {"dataset_id": world.id("theirs"), "name": "主动授权", "owner": partner.node_id}
    permit = material.permit(world, partner, "DATASET", theirs["dataset_id"])
    return {"audit_id": world.id("given"), "dataset": theirs, "resource_permit": permit}


def _written(world: World, project_id: str) -> str:
    body = material.model(world, "model", project_id)
    world.own("written", "ownModelCreate", body).at("")
    return str(body["model_id"])


def _there(world: World, partner: Partner, kind: str, project_id: str) -> dict[str, Any]:
    """Return what only has to be there: a model, and what the partner answers of its own resources."""
    theirs = {"name": "合作方资源", "owner": partner.node_id, "column_metas": []}
    partner.answers("datasetPubQuery", lambda sent: saying({**theirs, "dataset_id": sent["dataset_id"]})(sent))
    shared = {"name": "合作项目", "type": "PSI", "nodes": [{"node_id": partner.node_id}], "datasets": {}}
    partner.answers("projectQuery", lambda sent: saying({**shared, "project_id": sent["project_id"]})(sent))
    return {"model_id": _written(world, project_id)} if kind == "model" else {}
