"""Records that are altered in the target's storage behind its back (9.2-e-1), by the hook that its operator lends."""

from __future__ import annotations

from conformance.harness.errors import Undrivable
from conformance.harness.registry import scenario
from conformance.harness.tampering import Kind, altered
from conformance.harness.world import World
from conformance.suites.contracts import ref
from conformance.suites.material import needed, own_dataset, turned_down, use

NO_HAND = "profile: [operator_hooks] names no tamper command, so nothing that the target stores can be altered"
_ALTERED = "what is stored was altered"


@scenario(exclusive=True)
def test_altered_records(world: World) -> None:
    """A dataset made public, a contract in force again, a project renamed, all in the storage alone (9.2-e-1)."""
    hand = world.stage.tamper
    if hand is None:
        raise Undrivable(NO_HAND)
    partner, former = world.signed_partner(), world.signed_partner("former")
    closed, open_ = own_dataset(world, "closed"), own_dataset(world, "open", "PUBLIC")
    project = {"project_id": world.id("project"), "name": world.id("name")}
    needed(world.own("project", "ownProjectCreate", project))
    turned_down(use(world, "closed-before", partner, closed, breaks="no permit is shown"))
    needed(use(world, "former-before", former, open_))
    needed(world.own("end", "ownContractTerminate", ref(former)))
    former.open_contract = False
    turned_down(use(world, "former-ended", former, open_, breaks="the contract has ended"))
    with altered(hand, Kind.DATASET, closed):
        use(world, "closed", partner, closed, breaks=_ALTERED)
        use(world, "open", partner, open_)
    with altered(hand, Kind.CONTRACT, former.contract_id):
        use(world, "former", former, open_, breaks=_ALTERED)
    with altered(hand, Kind.PROJECT, project["project_id"]):
        world.own("renamed", "ownProjectQuery", {"project_id": project["project_id"]}, breaks=_ALTERED)
    world.fact("name", project["name"])
    world.own("mended", "ownProjectQuery", {"project_id": project["project_id"]})
