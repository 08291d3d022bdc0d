"""Records that are taken out of the target's storage behind its back, by the hook that its operator lends (9.2-e-1)."""

from __future__ import annotations

from typing import Any, Final

from conformance.harness.errors import Undrivable
from conformance.harness.profile_model import Protocol
from conformance.harness.records import STORE_STANDS
from conformance.harness.registry import scenario
from conformance.harness.tampering import Kind, deleted
from conformance.harness.world import World
from conformance.suites.contracts import ref
from conformance.suites.material import needed, own_dataset
from conformance.suites.suite_9_2_tampering import NO_HAND

_LOOKS: Final = (
    (Kind.PROJECT, "ownProjectQuery"),
    (Kind.DATASET, "ownDatasetQuery"),
    (Kind.CONTRACT, "ownContractQuery"),
)


@scenario(exclusive=True)
def test_deleted_records(world: World) -> None:
    """A project, a dataset and a contract are taken out of the storage alone, one at a time, and put back (9.2-e-1)."""
    hand = world.stage.tamper
    if hand is None:
        raise Undrivable(NO_HAND)
    partner = world.signed_partner()
    project = {"project_id": world.id("project"), "name": world.id("name")}
    needed(world.own("project", "ownProjectCreate", project))
    about: dict[Kind, dict[str, Any]] = {
        Kind.PROJECT: {"project_id": project["project_id"]},
        Kind.DATASET: {"dataset_id": own_dataset(world, "taken")},
        Kind.CONTRACT: dict(ref(partner)),
    }
    audited = world.fact("audited", _audited(world))
    for kind, operation in _LOOKS:
        (name,) = about[kind].values()
        needed(world.own(f"{kind}-before", operation, about[kind]))
        with deleted(hand, kind, name):
            world.own(f"{kind}-deleted", operation, about[kind], breaks=STORE_STANDS)
            if audited:
                world.own(f"{kind}-health", "ownEvidenceHealth", {}, breaks=STORE_STANDS)
                world.own(f"{kind}-verified", "ownEvidenceVerify", {}, breaks=STORE_STANDS)
        world.own(f"{kind}-mended", operation, about[kind])
    world.call("alive", partner, "nodeHealth", {})


def _audited(world: World) -> bool:
    return Protocol.EVIDENCE in world.profile.capabilities.protocols and world.profile.auditor is not None
