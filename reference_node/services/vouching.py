"""Proofs of resources on their way between nodes, and what is recorded of an own file (9.2-c, 9.2-c-3).

Guarantees: what this node offers carries its signature; what a partner offers is taken only if a proof that comes with
it is right, and with `[security] proofs = "required"` only with one; an own file is recorded with digest and size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_node.domain import statement
from reference_node.domain.params import Problem
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import places
from reference_node.security import credentials, proofs
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PublicKey
from reference_node.store.contracts import ContractRow

KEPT = "kept"
REQUIRED = "required"
Described = Mapping[str, Any]


def described(node: Node, contract: ContractRow, found: dict[str, Any]) -> dict[str, Any]:
    """Return a component's description with this node's proof of it."""
    if node.faults.on("component-without-proof"):
        return found
    told = {**found, "name": "?"} if node.faults.on("component-proof-of-another") else found
    digest = proofs.of_description(told)
    key = node.identity.key(contract.own_auth_type)
    proof = proofs.issue(key, proofs.COMPONENT, node.node_id, _component_id(found), digest, None)
    if node.faults.on("component-proof-badly-signed"):
        proof["signature"] = "A" * 8 + proof["signature"][8:]
    return {**found, "proof": proof}


def check_description(node: Node, contract: ContractRow, answer: Described) -> None:
    """Refuse a partner's description with a wrong proof, or of a component under the least strength."""
    stated = answer.get("security")
    weak = None if stated is None else statement.problem(stated)
    if weak is not None and not node.faults.on("weak-partner-component-taken"):
        raise Refusal("PARTNER_ANSWER_INVALID", pointer=weak.pointer, hint=weak.reason)
    digest = proofs.of_description(answer)
    proof = answer.get("proof")
    if isinstance(proof, Mapping) and node.faults.on("component-content-not-compared"):
        digest = str(proof.get("digest"))
    wrong = _wrong(node, contract, proof, proofs.COMPONENT, _component_id(answer), digest)
    if wrong is not None and not node.faults.on("component-proof-unchecked"):
        raise Refusal("PARTNER_ANSWER_INVALID", pointer="/proof", hint=wrong)


def model_proof(node: Node, contract: ContractRow, model_id: str, digest: str) -> dict[str, Any] | None:
    """Return this node's proof of a model of its own."""
    if node.faults.on("model-without-proof"):
        return None
    if node.faults.on("model-proof-of-another"):
        model_id = node.node_id
    key = node.identity.key(contract.own_auth_type)
    return proofs.issue(key, proofs.MODEL, node.node_id, model_id, proofs.normal(digest), None)


def check_model(node: Node, contract: ContractRow, body: Described) -> None:
    """Refuse a partner's model with a wrong proof."""
    digest, proof = body.get("digest"), body.get("proof")
    wrong = _wrong(node, contract, proof, proofs.MODEL, body["model_id"], str(digest))
    forged = isinstance(proof, Mapping) and proofs.normal(str(proof.get("digest"))) == proofs.normal(str(digest))
    if wrong is None or node.faults.on("model-proof-unchecked" if forged else "model-content-not-compared"):
        return
    raise Refusal("PROOF_INVALID", pointer="/proof", hint=wrong)


def record(node: Node, dataset_id: str, source: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return where a dataset lies together with what it is now, signed; a file that is not there has no digest."""
    if source is None or source.get("type") != "FILE":
        return source
    path = places.demand(node, proofs.DATASET, str(source["location"]), "/source/location")
    try:
        digest, stamp = proofs.of_file(path)
    except (OSError, ValueError):
        return source
    key = node.identity.key(node.config.auth_type)
    proof = proofs.issue(key, proofs.DATASET, node.node_id, dataset_id, digest, stamp[-1])
    return {**source, KEPT: {"proof": proof, "stamp": list(stamp)}}


def place(source: Described | None) -> dict[str, Any] | None:
    """Return where a dataset lies, as the operator wrote it."""
    return None if source is None else {name: value for name, value in source.items() if name != KEPT}


def proof_of(source: Described | None) -> dict[str, Any] | None:
    """Return the proof that was recorded of a dataset."""
    found = (source or {}).get(KEPT)
    return None if found is None else dict(found["proof"])


def demand_statement(stated: object, place_of: str, demanded: Described | None = None) -> None:
    """Refuse a component by the security that it states (9.2-c-2)."""
    refuse(statement.problem(stated, demanded), place_of)


def refuse(problem: Problem | None, place_of: str) -> None:
    """Refuse what has a problem, naming its place."""
    if problem is not None:
        raise Refusal("SECURITY_TOO_WEAK", pointer=place_of + problem.pointer, hint=problem.reason)


def _wrong(node: Node, contract: ContractRow, proof: object, kind: str, resource_id: str, digest: str) -> str | None:
    """Return what is wrong with a partner's proof, None where nothing is."""
    if not isinstance(proof, Mapping):
        required = node.config.proofs == REQUIRED or proof is not None
        return "a proof by its owner is demanded" if required else None
    try:
        proofs.check(proof, _key(node, contract), kind, contract.partner_node_id, resource_id, digest)
    except SecurityFailure as failure:
        return str(failure)
    return None


def _key(node: Node, contract: ContractRow) -> PublicKey:
    """Return the key under which a partner is known."""
    return credentials.key(node.faults, str(contract.partner_auth_type), str(contract.partner_credential))


def _component_id(found: Described) -> str:
    return f"{found.get('code')}/{found.get('version')}"
