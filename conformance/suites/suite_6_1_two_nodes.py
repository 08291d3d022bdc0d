"""Chapter 6.1: two real nodes that know nothing of each other end up sharing a dataset, driven from their own sides."""

from __future__ import annotations

from typing import Any

from conformance.harness.registry import scenario
from conformance.harness.steps import Told
from conformance.harness.world import DAY_MS, World


def _approved(world: World, ask: str, operation: str, key: str, value: str) -> dict[str, Any] | None:
    """Ask the target until it knows that something was approved."""
    told = world.own(ask, operation, {key: value})
    return dict(told.data) if told.accepted and told.data.get("status") == "APPROVED" else None


def _becomes_approved(world: World, step: str, operation: str, key: str, value: str) -> None:
    count = iter(range(1000))
    world.eventually(lambda: _approved(world, f"{step}:{next(count)}", operation, key, value))
    world.own(step, operation, {key: value})


def _shared_dataset(world: World, slug: str) -> tuple[Told, str]:
    dataset_id = world.fact(f"{slug}_id", world.id(slug))
    named = {"dataset_id": dataset_id, "name": f"{slug} 用电数据", "visibility": "PROTECTED", "count": 12}
    return world.peer(f"{slug}-made", "ownDatasetCreate", named), dataset_id


@scenario()
def test_two_nodes(world: World) -> None:
    """6.1-a, 6.1-b: the target finds its peer, signs, applies for a dataset, reads it, loses it with the contract."""
    peer = world.profile.peer
    made, dataset_id = _shared_dataset(world, "meter")
    if peer is None or not made.accepted:
        return
    world.fact("peer_id", peer.node_id)
    world.peer("who", "ownNodeQuery", {"node_id": peer.node_id})
    world.own("found", "ownPartnerQuery", {"address": peer.url, "node_id": peer.node_id})
    until = world.fact("until", world.now_ms() + 30 * DAY_MS)
    applied = world.own(
        "applied", "ownContractApply", {"address": peer.url, "node_id": peer.node_id, "expired_time": until}
    )
    contract_id = str(applied.at("/contract_id"))
    world.own("too-early", "ownPartnerDatasetList", {"contract_id": contract_id}, breaks="no contract yet")
    world.peer("agreed", "ownContractConfirm", {"contract_id": contract_id, "status": "APPROVED"})
    _becomes_approved(world, "signed", "ownContractQuery", "contract_id", contract_id)
    world.own("healthy", "ownPartnerHealth", {"contract_id": contract_id})
    asked = {"contract_id": contract_id, "dataset_id": dataset_id}
    world.own("ungranted", "ownPartnerDatasetQuery", asked, breaks="no grant yet")
    audit_id = str(world.own("requested", "ownDatasetAuditApply", asked).at("/audit_id"))
    world.peer("granted", "ownDatasetAuditConfirm", {"audit_id": audit_id, "status": "APPROVED"})
    _becomes_approved(world, "allowed", "ownDatasetAuditQuery", "audit_id", audit_id)
    world.own("read", "ownPartnerDatasetQuery", asked)
    world.own("ended", "ownContractTerminate", {"contract_id": contract_id})
    world.own("too-late", "ownPartnerDatasetQuery", asked, breaks="the contract has ended")
    world.peer("peer-knows", "ownContractQuery", {"contract_id": contract_id})
