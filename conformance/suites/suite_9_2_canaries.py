"""Canaries: secrets are planted through the standard's own operations and then searched for (9.2-e-2, 9.2-g)."""

from __future__ import annotations

import secrets

from conformance.harness.errors import Prerequisite, Undrivable
from conformance.harness.profile_model import Protocol
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, work
from conformance.suites.material import granted, needed, own_dataset, shown, use

NO_PLACE = "profile: [operator_hooks] names neither storage_path nor dump, so what the target stores cannot be searched"


def _canary(world: World, name: str) -> str:
    """Draw a text that stands nowhere else, and write it down."""
    text = f"canary{secrets.token_hex(12)}"
    world.fact("canaries", {**world.facts.get("canaries", {}), name: text})
    return text


def _lent(world: World, slug: str, visibility: str = "PROTECTED") -> str:
    """Have the target's operator register a dataset at a secret place."""
    place = {"type": "FILE", "location": f"store/{_canary(world, f'{slug}-location')}.csv"}
    return own_dataset(world, slug, visibility, source=place)


def _parameter(world: World) -> None:
    """Have the target's operator write a flow with a secret parameter, where the target has flows."""
    if not {Protocol.PROJECT, Protocol.FLOW} <= set(world.profile.capabilities.protocols):
        return
    project = drafts.project(world, "canaries")
    needed(world.own("project", "ownProjectCreate", project))
    flow = drafts.flow(world, project["project_id"])
    flow["config"]["task_params"]["guest"]["lr_0"]["secret"] = _canary(world, "parameter")
    needed(world.own("flow", "ownFlowCreate", flow))


@scenario()
def test_canaries_on_the_wire(world: World) -> None:
    """Datasets at secret places are listed, granted and used, rightly and wrongly, by partner and stranger (9.2-g)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    lent, open_ = _lent(world, "lent"), _lent(world, "open", "PUBLIC")
    issued = granted(world, partner, "lent", lent)
    world.fact("token", str(issued.get("token", "")))
    good = shown(issued)
    for node in (partner, stranger):
        page = {"contract_id": node.contract_id, "page_size": 500}
        world.call(f"list:{node.node_id}", node, "datasetPubList", page)
        world.call(f"permits:{node.node_id}", node, "datasetAuthList", page)
        use(world, f"open:{node.node_id}", node, open_)
    needed(use(world, "use", partner, lent, good))
    forged = shown(issued, token=secrets.token_urlsafe(24))
    use(world, "forged", partner, lent, forged, breaks="the token was not issued")
    use(world, "wrong-layer", partner, lent, shown(issued, level=2), breaks="the permit is of another layer")
    use(world, "stranger", stranger, lent, breaks="no permit is shown")
    audit = {"audit_id": world.facts["lent:audit"]}
    world.call("asked", stranger, "datasetAuditQuery", audit, breaks="the grant is another's")
    world.own("wrong-token", "ownDatasetList", {}, token=_canary(world, "wrong-token"), breaks="the token is right")


@scenario(exclusive=True)
def test_canaries_in_storage(world: World) -> None:
    """Secrets are planted, and what the target has stored and logged is searched for them (9.2-e-2)."""
    deposits = world.stage.deposits
    if deposits is None:
        raise Undrivable(NO_PLACE)
    partner = world.signed_partner()
    before = deposits.searched({})
    lent = _lent(world, "lent")
    issued = granted(world, partner, "lent", lent)
    token = str(issued.get("token", ""))
    _parameter(world)
    needed(use(world, "use", partner, lent, shown(issued)))
    forged = shown(issued, token=_canary(world, "forged-token"))
    use(world, "forged", partner, lent, forged, breaks="the token was not issued")
    planted = world.fact("canaries", {**world.facts["canaries"], "permit": token})
    after = deposits.searched(planted)
    if after["places"]["storage"]["sha256"] == before["places"]["storage"]["sha256"]:
        raise Undrivable("profile: what [operator_hooks] names did not change while secrets were planted")
    world.fact("searched", after)


@scenario(exclusive=True)
def test_canaries_in_outputs(world: World) -> None:
    """A component reports a result with a secret in it, and what the target has stored is searched for it (9.2-e-2)."""
    deposits = world.stage.deposits
    if deposits is None:
        raise Undrivable(NO_PLACE)
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.dag(work.registered(world), first=()))
    task_id = work.started(world, partner, job_id, "first")["first"]
    work.task_is(world, "runs", job_id, task_id, "RUNNING")
    result = {"output_type": "report", "output_content": {"finding": _canary(world, "output")}}
    needed(world.own("report", "ownTaskReport", {"job_id": job_id, "task_id": task_id, **result}))
    kept = world.own("kept", "ownTaskQuery", {"job_id": job_id, "task_id": task_id})
    if world.facts["canaries"]["output"] not in str(kept.at("/outputs")):
        raise Prerequisite("the target does not show what its task has put out")
    world.fact("searched", deposits.searched(world.facts["canaries"]))
    world.own("stop", "ownJobStop", {"job_id": job_id})
