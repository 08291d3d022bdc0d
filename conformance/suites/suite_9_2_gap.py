"""Across the isolation gap: the harness is the target's partner on the other side and speaks by files (9.2-h)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from conformance.harness import signing
from conformance.harness.errors import NotOffered
from conformance.harness.gap import Crossing, FarSide
from conformance.harness.gap_files import Bent
from conformance.harness.partner import Partner
from conformance.harness.records import FILE_COUNTS
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

ABSENT = "profile: there is no [gap], so the target has no partner behind an isolation gap that could be played"
LEAST_SECONDS = 1.0


def _far_side(world: World, *, trusted: bool = True) -> tuple[FarSide, Partner]:
    """Begin as the partner behind the gap."""
    far = world.stage.gap
    if far is None:
        raise NotOffered(ABSENT)
    far.open(trusted=trusted)
    world.fact("files", far.files)
    partner = world.partner("beyond", auth_type=signing.AuthType.SM3_SM2, key=far.key, node_id=far.node_id)
    partner.particulars["address"] = far.address
    return far, partner


def _query(world: World) -> dict[str, str]:
    return {"node_id": world.profile.target.node_id}


def _served(world: World, far: FarSide, act: Callable[[], object]) -> None:
    """Do what makes the target call its partner, which answers meanwhile."""
    done = threading.Event()

    def acted() -> None:
        try:
            act()
        finally:
            done.set()

    world.together([acted, lambda: far.serve(done)])


def _reached(world: World, far: FarSide) -> None:
    """Have the target ask its partner who it is, which needs an answer while the operator waits."""
    asked = {"address": far.address, "node_id": far.node_id}
    _served(world, far, lambda: world.own("reach", "ownPartnerQuery", asked))


def _ended(world: World, partner: Partner, across: Crossing) -> None:
    """Read the contract on both sides and end it, all under the contract itself."""
    world.own("own-read", "ownContractQuery", ref(partner))
    world.call("read", partner, "contractQuery", ref(partner), transport=across)
    ended = world.call("terminate", partner, "contractTerminate", ref(partner), transport=across)
    partner.open_contract = partner.open_contract and not ended.accepted
    world.own("own-ended", "ownContractQuery", ref(partner))


@scenario(exclusive=True)
def test_gap_contract(world: World) -> None:
    """A node behind the gap asks, applies, reads its contract and withdraws it; the target calls it too (9.2-h)."""
    far, partner = _far_side(world)
    across = Crossing(far)
    world.call("query", partner, "nodeQuery", _query(world), transport=across)
    body = partner.application(contracts.until(world))
    partner.contract_id = str(world.call("apply", partner, "contractApply", body, transport=across).at("/contract_id"))
    partner.claims.add(partner.contract_id)
    read = world.call("read", partner, "contractQuery", ref(partner), transport=across)
    again = read.exchange.request
    world.send("replayed", "contractQuery", again, partner.node_id, "the nonce of the request is new", across)
    world.call("cancel", partner, "contractCancel", ref(partner), transport=across)
    world.call("read-again", partner, "contractQuery", ref(partner), transport=across)
    _reached(world, far)
    world.awaited("reached", partner, "nodeQuery", {"node_id": far.node_id})
    world.elapse(LEAST_SECONDS)
    far.collect()
    far.clear()


@scenario(exclusive=True)
def test_gap_approved(world: World) -> None:
    """The partner behind the gap applies, the target's operator approves, and the partner is told by a file (9.2-h)."""
    far, partner = _far_side(world)
    across = Crossing(far)
    body = partner.application(contracts.until(world))
    partner.contract_id = str(world.call("apply", partner, "contractApply", body, transport=across).at("/contract_id"))
    partner.claims.add(partner.contract_id)
    approval = {**ref(partner), "status": "APPROVED"}

    def approve() -> None:
        partner.open_contract = world.own("approve", "ownContractConfirm", approval).accepted
        world.awaited("told", partner, "contractConfirm", approval)

    _served(world, far, approve)
    _ended(world, partner, across)
    far.clear()


@scenario(exclusive=True)
def test_gap_applied(world: World) -> None:
    """The target's operator applies to the partner behind the gap, which approves by a file (9.2-h)."""
    far, partner = _far_side(world)
    across = Crossing(far)
    own_id = _query(world)
    world.call("query", partner, "nodeQuery", own_id, transport=across)

    def apply() -> None:
        told = contracts.own_apply(world, "own-apply", partner)
        arrived = world.awaited("applied", partner, "contractApply", own_id)
        world.fact("until", (arrived.came and arrived.sent.get("expired_time")) or contracts.until(world))
        partner.contract_id = str(told.at("/contract_id"))
        partner.claims.add(partner.contract_id)

    _served(world, far, apply)
    yes = contracts.decision(partner, "APPROVED", world.facts["until"])
    confirmed = world.call("confirm", partner, "contractConfirm", yes, transport=across)
    partner.open_contract = confirmed.accepted
    _ended(world, partner, across)
    far.clear()


@scenario(exclusive=True)
def test_gap_without_key(world: World) -> None:
    """As long as the partner's key is not there, a file is not believed; with the key it is (9.2-h)."""
    far, partner = _far_side(world, trusted=False)
    told = Crossing(far, seconds=2 * LEAST_SECONDS)
    asked = _query(world)
    world.call("keyless", partner, "nodeQuery", asked, breaks=FILE_COUNTS, transport=told)
    far.open()
    world.call("right", partner, "nodeQuery", asked, transport=Crossing(far))
    far.clear()


@scenario(exclusive=True)
def test_gap_refused(world: World) -> None:
    """Files with one thing wrong each, beside one that is right; then once more a right one (9.2-h)."""
    far, partner = _far_side(world)
    asked, other = _query(world), world.id("other")
    world.call("right", partner, "nodeQuery", asked, transport=Crossing(far))
    seconds = world.brief(LEAST_SECONDS)
    wrong = {
        "foreign-key": Bent(key=contracts.other_key(world, other)),
        "forged-head": Bent(forged={"query": f"node_id={other}"}),
        "other-sender": Bent(head={"sender": other}),
        "other-receiver": Bent(head={"receiver": other}),
        "other-source": Bent(head={"headers": {"x-source-node-id": other}}),
        "draft": Bent(draft=True),
        "garbage": Bent(whole=b"\x00" * 64),
    }

    def one(name: str, bent: Bent) -> None:
        across = Crossing(far, bent, seconds)
        world.call(name, partner, "nodeQuery", asked, breaks=FILE_COUNTS, transport=across)

    def altered() -> None:
        body = partner.application(contracts.until(world))
        across = Crossing(far, Bent(body=lambda body: body[::-1]), seconds)
        world.call("altered-body", partner, "contractApply", body, breaks=FILE_COUNTS, transport=across)

    world.together([*(lambda row=row: one(*row) for row in wrong.items()), altered])
    world.fact("drafts", [path.name for path in (far.folder / "in").glob(".*")])
    world.call("still", partner, "nodeQuery", asked, transport=Crossing(far))
    far.clear()
