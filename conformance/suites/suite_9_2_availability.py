"""A store that is lost, an instance that dies, storage that is full, by the hooks that the operator lends (9.2-e-3)."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from conformance.harness.errors import Prerequisite, Undrivable
from conformance.harness.hooks import Deed, Hook, disturbed, lent
from conformance.harness.partner import Partner, Reply
from conformance.harness.profile_model import Protocol
from conformance.harness.records import ALL_RUN, HAS_ROOM, STORE_STANDS
from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper, Told
from conformance.harness.world import World
from conformance.suites import contracts, sessions
from conformance.suites.contracts import ref
from conformance.suites.material import granted, needed, own_dataset, shown, use

CALLERS = 4
BEFORE = 5  # acts before an instance dies
AFTERWARDS = 3  # acts of each caller once it has
MOST = 100  # acts of each caller while the command runs
FILLERS = 60  # acts by which storage that takes a little more is filled
FAILED = 3  # refusals that show that it is
TEXT = "互通测试 " * 200  # a record of some length


def _project(world: World, slug: str, description: str = "") -> dict[str, Any]:
    return {"project_id": world.id(slug), "name": f"互通测试 {slug}", "description": description}


def _kept(world: World, step: str, project_id: str) -> Told:
    return world.own(step, "ownProjectQuery", {"project_id": project_id})


@scenario(exclusive=True)
def test_restored_store(world: World) -> None:
    """Acts are confirmed, the store is lost, and the operator restores it from its backup (9.2-e-3)."""
    helper = lent(world.stage.hands, Hook.BACKUP)
    partner = world.signed_partner()
    mine, other = own_dataset(world, "mine"), own_dataset(world, "other")
    permit = shown(granted(world, partner, "mine", mine))
    needed(use(world, "use-before", partner, mine, permit))
    project = _project(world, "project", TEXT)
    needed(world.own("create", "ownProjectCreate", project))
    world.elapse(world.profile.timings.backup_seconds)
    _look(world, "before", partner, mine, project["project_id"])
    with disturbed(helper, Hook.BACKUP) as restore:
        asked = {"project_id": project["project_id"]}
        if world.own("lost", "ownProjectQuery", asked, breaks=STORE_STANDS).accepted:
            raise Undrivable("profile: operator_hooks.backup lose left the store as it was")
        restore()
    _back(world, partner)
    _look(world, "after", partner, mine, project["project_id"])
    world.own("act", "ownProjectCreate", _project(world, "another"))
    use(world, "use-after", partner, mine, permit)
    use(world, "use-other", partner, other, breaks="no permit is shown")
    body = {"contract_id": partner.contract_id, "dataset_id": other, "auth_scope": {"type": "NODE"}}
    audit_id = world.own("grant:other", "ownDatasetGrant", body).at("/audit_id")
    world.awaited("granted:other", partner, "datasetGrant", {"audit_id": audit_id})


def _look(world: World, when: str, partner: Partner, dataset_id: str, project_id: str) -> None:
    """Read what was confirmed."""
    world.own(f"contract-{when}", "ownContractQuery", ref(partner))
    world.own(f"dataset-{when}", "ownDatasetQuery", {"dataset_id": dataset_id})
    _kept(world, f"project-{when}", project_id)


def _back(world: World, partner: Partner) -> None:
    """Wait until the target serves again; whether it does in time is for the checks."""
    numbers, asked = itertools.count(), {"node_id": world.profile.target.node_id}

    def probe() -> bool | None:
        told = world.call(f"back~{next(numbers)}", partner, "nodeQuery", asked, breaks=STORE_STANDS)
        return told.accepted or None

    found = world.eventually(probe, within=world.profile.timings.recovery_seconds)
    if not world.fact("back", found is not None):
        raise Prerequisite("the target does not serve after its store was restored")


@dataclass(slots=True)
class Callers:
    """Those who keep calling while an instance dies: which acts were answered as done, and which never were."""

    world: World
    answered: list[str] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)
    killed: threading.Event = field(default_factory=threading.Event)

    def work(self, caller: int) -> None:
        """Act until the instance is gone, and some times more."""
        left = AFTERWARDS
        for number in range(MOST):
            if not self.act(f"{caller}-{number}"):
                return
            if self.killed.is_set():
                left -= 1
            else:
                self.world.elapse(self.world.stage.clock.grain)
            if not left:
                return

    def act(self, slug: str) -> bool:
        """Create a project, again and again within the time allowed where it is not answered; return whether it was."""
        body, numbers = _project(self.world, slug), itertools.count()

        def probe() -> bool | None:
            attempt = next(numbers)
            told = self.world.own(f"act:{slug}~{attempt}", "ownProjectCreate", body, breaks=ALL_RUN)
            return told.accepted or (attempt > 0 and self._done_before(told)) or None

        found = self.world.eventually(probe, within=self.world.profile.timings.recovery_seconds)
        (self.unserved if found is None else self.answered).append(body["project_id"])
        return found is not None

    def _done_before(self, told: Told) -> bool:
        """Whether an act is refused because it was done when it got no answer."""
        status = 0 if told.exchange.answer is None else told.exchange.answer.status
        taken = told.reading is not None and self.world.stage.binding.means(told.reading, ("ID_TAKEN",))
        return status < 500 and taken

    def kill(self, world: World) -> None:
        """End an instance; `world` is whose operator lends the command."""
        try:
            lent(world.stage.hands, Hook.KILL_REPLICA)(Deed.KILL)
        finally:
            self.killed.set()


@scenario(exclusive=True)
def test_replica_killed(world: World) -> None:
    """An instance is ended while callers go on; what was answered as done is looked for afterwards (9.2-e-4)."""
    helper = lent(world.stage.hands, Hook.KILL_REPLICA)
    partner, late = world.signed_partner(), contracts.applied(world, "late")
    callers, nonce = Callers(world), world.id("nonce")
    needed(world.call("signed", partner, "nodeHealth", {}, tamper=Tamper(nonce=nonce)))
    for number in range(BEFORE):
        callers.act(f"before-{number}")
    try:
        world.together([lambda: callers.kill(world), *(lambda n=n: callers.work(n) for n in range(CALLERS))])
        world.fact("unserved", callers.unserved)
        for project_id in world.fact("answered", callers.answered):
            _kept(world, f"kept:{project_id}", project_id)
        replay = Tamper(nonce=nonce)
        world.call("replayed", partner, "nodeHealth", {}, tamper=replay, breaks="the nonce was not used before")
        _owed(world, late)
    finally:
        helper(Deed.START)


def _owed(world: World, late: Partner) -> None:
    """Have an application approved whose partner fails at first, so that the target has to tell it again."""
    world.answers(late, "contractConfirm", sessions.faltering([Reply(status=503, raw=b"")]))
    told = world.own("approve-late", "ownContractConfirm", {**ref(late), "status": "APPROVED"})
    late.open_contract = bool(needed(told))

    def probe() -> bool | None:
        calls = [row for row in world.stage.receiver.exchanges(world.scenario) if row.partner == late.node_id]
        heard = [row for row in calls if row.operation == "contractConfirm" and row.answer and row.answer.status < 300]
        return bool(heard) or None

    within = world.profile.timings.recovery_seconds
    world.fact("told", world.eventually(probe, within=within) is not None)


@scenario(exclusive=True)
def test_full_disk(world: World) -> None:
    """The target's storage is full, acts are tried, and there is room again (9.2-d-4)."""
    helper = lent(world.stage.hands, Hook.FILL_DISK)
    earlier = _project(world, "earlier")
    needed(world.own("earlier", "ownProjectCreate", earlier))
    needed(_kept(world, "earlier-before", earlier["project_id"]))
    audited = Protocol.EVIDENCE in world.profile.capabilities.protocols and world.profile.auditor is not None
    if audited:
        world.own("verified-before", "ownEvidenceVerify", {})
    done: list[str] = [str(earlier["project_id"])]
    refused: list[str] = []
    with disturbed(helper, Hook.FILL_DISK) as free:
        for number in range(FILLERS):
            body = _project(world, f"full-{number}", TEXT)
            told = world.own(f"full:{body['project_id']}", "ownProjectCreate", body, breaks=HAS_ROOM)
            (done if told.accepted else refused).append(str(body["project_id"]))
            if len(refused) == FAILED:
                break
        free()
    world.fact("done", done)
    world.fact("refused", refused)
    numbers = itertools.count()

    def probe() -> bool | None:
        number = next(numbers)
        told = world.own(f"again~{number}", "ownProjectCreate", _project(world, f"again-{number}"), breaks=HAS_ROOM)
        return told.accepted or None

    world.fact("again", world.eventually(probe, within=world.profile.timings.recovery_seconds) is not None)
    for project_id in [*done, *refused]:
        _kept(world, f"kept:{project_id}", project_id)
    world.own("verified", "ownEvidenceVerify", {})
