"""An older copy of the whole store in its place, by the hook that the target's operator lends (9.2-e-1)."""

from __future__ import annotations

import itertools

from conformance.harness.errors import Prerequisite
from conformance.harness.hooks import Deed, Hook, disturbed, lent
from conformance.harness.profile_model import Protocol
from conformance.harness.records import STORE_STANDS
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites.contracts import ref
from conformance.suites.material import needed, own_dataset, turned_down, use


@scenario(exclusive=True)
def test_older_store(world: World) -> None:
    """A contract is ended, a project registered; then an older copy of the store knows of neither (9.2-e-1)."""
    helper = lent(world.stage.hands, Hook.ROLLBACK)
    partner, former = world.signed_partner(), world.signed_partner("former")
    open_ = own_dataset(world, "open", "PUBLIC")
    needed(use(world, "former-before", former, open_))
    helper(Deed.SAVE)
    project = {"project_id": world.id("project"), "name": world.fact("name", world.id("name"))}
    needed(world.own("project", "ownProjectCreate", project))
    needed(world.own("end", "ownContractTerminate", ref(former)))
    former.open_contract = False
    turned_down(use(world, "former-ended", former, open_, breaks="the contract has ended"))
    audited = Protocol.EVIDENCE in world.profile.capabilities.protocols and world.profile.auditor is not None
    world.fact("audited", audited)
    asked = {"project_id": project["project_id"]}
    with disturbed(helper, Hook.ROLLBACK) as forward:
        world.own("project-older", "ownProjectQuery", asked, breaks=STORE_STANDS)
        use(world, "former-older", former, open_, breaks=STORE_STANDS)
        if audited:
            world.own("health-older", "ownEvidenceHealth", {}, breaks=STORE_STANDS)
            world.own("verified-older", "ownEvidenceVerify", {}, breaks=STORE_STANDS)
        forward()
    numbers = itertools.count()

    def probe() -> bool | None:
        node = {"node_id": world.profile.target.node_id}
        return world.call(f"back~{next(numbers)}", partner, "nodeQuery", node, breaks=STORE_STANDS).accepted or None

    if not world.fact("back", world.eventually(probe, within=world.profile.timings.recovery_seconds) is not None):
        raise Prerequisite("the target does not serve after its store was put back")
    world.own("project-after", "ownProjectQuery", asked)
    use(world, "former-after", former, open_, breaks="the contract has ended")
    use(world, "open-after", partner, open_)
