"""Proofs that resources are safe to load, and the strength that algorithms state (9.2-c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.harness import proofs
from conformance.harness.partner import Partner, saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, material, work
from conformance.suites.material import SECURITY, component, heard, needed, own_component, project_of_partner

VERSION = "1.0.0"
WEAK = "the component is as strong as the standard demands"
UNPROVEN = "the proof is of the resource that is shown"


def _stating(code: str, security: Mapping[str, Any] | None) -> dict[str, Any]:
    body = component(code, VERSION, "interop-test")
    body["component_info"]["security"] = security
    if security is None:
        del body["component_info"]["security"]
    return body


@scenario()
def test_component_statement(world: World) -> None:
    """The operator registers components that state no security, or too little of it (9.2-c-2)."""
    cases: dict[str, dict[str, Any] | None] = {
        "unstated": None,
        "computational": {**SECURITY, "computational_bits": 111},
        "statistical": {**SECURITY, "statistical_bits": 29},
        "no-model": {**SECURITY, "model": "none"},
        "silent": {name: value for name, value in SECURITY.items() if name != "leakage"},
    }
    for step, security in cases.items():
        world.own(step, "ownComponentRegister", _stating(world.id(step), security), breaks=WEAK)
    least = {**SECURITY, "computational_bits": 112, "statistical_bits": 30}
    world.own("least", "ownComponentRegister", _stating(world.id("least"), least))


def _demanding(plan: dict[str, Any], **demand: Any) -> dict[str, Any]:
    return {**plan, "components": [{**part, "security": demand} for part in plan["components"]]}


@scenario()
def test_job_strength(world: World) -> None:
    """A partner offers jobs that demand less than the standard of their components, and more than these (9.2-c-2)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-strength")
    demands = {
        "weak": {"computational_bits": 80, "statistical_bits": 40},
        "guessable": {"computational_bits": 128, "statistical_bits": 20},
        "beyond": {"computational_bits": 256, "statistical_bits": 40},
        "sound": {"computational_bits": 112, "statistical_bits": 30},
    }
    for slug, demand in demands.items():
        asked = _demanding(plan, **demand)
        flow_id = _agreed_flow(world, partner, project_id, slug, asked)
        offer = work.offer(world, partner, flow_id, asked, f"job-{slug}")
        world.call(f"create-{slug}", partner, "jobCreate", offer, breaks="" if slug == "sound" else WEAK)


def _agreed_flow(world: World, partner: Partner, project_id: str, slug: str, plan: dict[str, Any]) -> str:
    """Have a flow approved; a target may refuse it already for what it demands."""
    asked = drafts.flow_application(world, partner, project_id, f"flow-{slug}")
    asked |= {"dag": plan, "config": work.config(partner.node_id, world.profile.target.node_id)}
    if world.call(f"flow-{slug}:apply", partner, "flowAuditApply", asked).accepted:
        decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
        world.own(f"flow-{slug}:approve", "ownFlowAuditConfirm", decision)
    return str(asked["flow_id"])


@scenario()
def test_component_proof(world: World) -> None:
    """A partner asks about a component and holds the description against the target's proof of it (9.2-c)."""
    partner = world.signed_partner()
    ref = own_component(world, "register", component(world.id("proven"), VERSION, "interop-test"))
    world.fact("component", f"{ref['code']}/{ref['version']}")
    world.call("query", partner, "componentQuery", {"contract_id": partner.contract_id, **ref})


@scenario()
def test_component_proof_taken(world: World) -> None:
    """The target asks a partner about components: the proof is right, of another, altered, by a stranger (9.2-c)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    ref = {"code": world.id("theirs"), "version": VERSION}
    asked = {"contract_id": partner.contract_id, **ref}
    detail: dict[str, Any] = {
        **ref,
        "name": "合作方组件",
        "engine": "their-engine",
        "status": "AVAILABLE",
        "security": SECURITY,
    }
    detail |= {"inputs": [], "outputs": [{"name": "out", "category": "dataset", "dataFormat": ["csv"]}]}
    named, digest = f"{ref['code']}/{VERSION}", proofs.digest_of(detail)
    good = proofs.proof(partner.key, "component", partner.node_id, named, digest)
    usurped = proofs.proof(stranger.key, "component", partner.node_id, named, digest)
    passed_on = proofs.proof(stranger.key, "component", stranger.node_id, named, digest)
    weak = {**detail, "security": {**SECURITY, "computational_bits": 80}}
    weak_proof = proofs.proof(partner.key, "component", partner.node_id, named, proofs.digest_of(weak))
    cases: dict[str, dict[str, Any]] = {
        "altered": {**detail, "engine": "another-engine", "proof": good},
        "forged": {**detail, "proof": usurped},
        "passed-on": {**detail, "proof": passed_on},
        "weak": {**weak, "proof": weak_proof},
        "sound": {**detail, "proof": good},
    }
    for step, answer in cases.items():
        world.answers(partner, "componentQuery", saying(answer))
        breaks = "" if step == "sound" else (WEAK if step == "weak" else UNPROVEN)
        world.own(step, "ownPartnerComponentQuery", asked, breaks=breaks)


@scenario()
def test_model_proof(world: World) -> None:
    """The target asks a partner to agree to a model of its own, which it vouches for (9.2-c)."""
    partner = world.signed_partner()
    project_id = material.project_of_target(world, partner, "prj-model")
    offered = world.fact("model", material.model(world, "model", project_id))
    needed(world.own("create", "ownModelCreate", offered))
    named = {"contract_id": partner.contract_id, "model_id": offered["model_id"]}
    needed(world.own("apply", "ownModelAuditApply", named))
    heard(world.awaited("applied", partner, "modelAuditApply", {"model_id": offered["model_id"]}))


@scenario()
def test_model_proof_taken(world: World) -> None:
    """A partner offers models: the proof is right, of another content, forged (9.2-c, 9.2-c-3)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    project_id = project_of_partner(world, partner, "prj-models")
    digest = f"sm3:{material.DIGEST}"
    for step in ("altered", "forged", "sound"):
        model_id = world.id(f"model-{step}")
        key = stranger.key if step == "forged" else partner.key
        proof = proofs.proof(key, "model", partner.node_id, model_id, digest)
        body: dict[str, Any] = {"audit_id": world.id(f"audit-{step}"), "contract_id": partner.contract_id}
        body["model_id"] = model_id
        body |= {"apply_project_id": project_id, "proof": proof}
        body["digest"] = f"sm3:{'0' * 64}" if step == "altered" else digest
        world.call(step, partner, "modelAuditApply", body, breaks="" if step == "sound" else UNPROVEN)
