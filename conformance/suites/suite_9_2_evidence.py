"""Stories about evidence (9.2-d): things are done, and the auditor looks at what was kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper
from conformance.harness.world import World
from conformance.suites import contracts, work
from conformance.suites.material import dataset, granted, needed, own_dataset, shown, use

REASON = "互通测试 · audit of the conformance suite"
PAGE = 100


def _listed(world: World, step: str, subject_id: str, **more: Any) -> None:
    world.own(step, "ownEvidenceList", {"subject_id": subject_id, "page_size": PAGE, **more})


def _numbers(rows: Any) -> list[int]:
    """Return the numbers of the records that an answer shows."""
    found = [row.get("seq") for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return sorted(seq for seq in found if isinstance(seq, int))


def _span(world: World, subject_id: str) -> tuple[int, int]:
    """Return the first and the last record of a subject."""
    told = world.own("span", "ownEvidenceList", {"subject_id": subject_id, "page_size": PAGE})
    numbers = _numbers(told.at("/records")) or [1]
    return numbers[0], numbers[-1]


@scenario()
def test_evidence_contract(world: World) -> None:
    """A contract is applied for, signed and ended; what is refused in between is no act (9.2-d)."""
    world.fact("begin", world.now_ms())
    partner = world.signed_partner()
    world.fact("contract_id", partner.contract_id)
    ref = contracts.ref(partner)
    world.call("late-cancel", partner, "contractCancel", ref, breaks="the contract is in force")
    _listed(world, "signed", partner.contract_id)
    told = world.call("terminate", partner, "contractTerminate", ref)
    partner.open_contract = not told.accepted
    world.fact("end", world.now_ms())
    _listed(world, "ended", partner.contract_id)


@scenario()
def test_evidence_grant(world: World) -> None:
    """A dataset is registered, granted, used and withdrawn (9.2-d)."""
    partner = world.signed_partner()
    lent = own_dataset(world, "lent")
    issued = granted(world, partner, "lent", lent)
    needed(use(world, "use", partner, lent, shown(issued)))
    world.own("withdraw", "ownDatasetAuditTerminate", {"audit_id": world.facts["lent:audit"]}).at("")
    _listed(world, "of-dataset", lent)


@scenario()
def test_evidence_job(world: World) -> None:
    """A job of this node is created and started, its first task runs and succeeds (9.2-d)."""
    partner = work.played(world)
    job_id = world.fact("job_id", work.own_job(world, partner, work.chain(work.registered(world))))
    first = world.fact("task_id", work.started(world, partner, job_id, "first")["first"])
    work.reported(world, "here", job_id, first, "SUCCESS").at("")
    work.called_back(world, "there", partner, job_id, first, "SUCCESS")
    work.demanded(work.task_is(world, "done", job_id, first, "SUCCESS"), "/status", "SUCCESS")
    _listed(world, "of-job", job_id)
    world.own("stop", "ownJobStop", {"job_id": job_id}).at("")


@scenario()
def test_evidence_identity(world: World) -> None:
    """A request that somebody else has signed in a partner's name is refused (9.2-d)."""
    partner = world.signed_partner()
    world.fact("node_id", partner.node_id)
    forged = Tamper(key=contracts.other_key(world, world.id("forger")))
    world.call("right", partner, "nodeHealth", {})
    world.call("forged", partner, "nodeHealth", {}, breaks="the partner has signed", tamper=forged)
    _listed(world, "of-node", partner.node_id)


@scenario()
def test_evidence_closed(world: World) -> None:
    """The operator, a partner and nobody in particular try every operation of the auditor's (9.2-d-2)."""
    partner = world.signed_partner()
    rows = [row for row in world.stage.contract.operations.values() if row.auth == "auditor"]
    rows = [row for row in rows if world.stage.binding.offers(row.id)]
    world.fact("operations", [row.id for row in rows])
    _listed(world, "auditor", partner.contract_id)
    operator = world.profile.operator.reveal() if world.profile.operator else ""
    for row in rows:
        body = dict(row.body_example or {})
        world.own(f"bare:{row.id}", row.id, body, token="", breaks="the auditor's token is shown")
        world.own(f"operator:{row.id}", row.id, body, token=operator, breaks="the caller is the auditor")
        world.call(f"node:{row.id}", partner, row.id, body, breaks="the caller is the auditor")


@scenario()
def test_evidence_chain(world: World) -> None:
    """What was kept is viewed twice, verified and exported, with further acts in between (9.2-d-2)."""
    partner = world.signed_partner()
    _listed(world, "before", partner.contract_id)
    first, _last = _span(world, partner.contract_id)
    other = world.signed_partner("other")
    _listed(world, "after", partner.contract_id, end_time=world.now_ms())
    world.own("verify", "ownEvidenceVerify", {})
    _first, last = _span(world, other.contract_id)
    asked = {"first_seq": first, "last_seq": last, "content": True, "reason": REASON}
    world.own("export", "ownEvidenceExport", asked)
    world.own("rest", "ownEvidenceExport", {"first_seq": first, "reason": REASON})
    begin = world.now_ms() - 60_000
    world.own("of-evidence", "ownEvidenceList", {"act": "evidence", "begin_time": begin, "page_size": PAGE})


@scenario()
def test_evidence_term(world: World) -> None:
    """What has just been kept is to be destroyed, and is not; what was kept shows nothing private (9.2-d-3)."""
    canary = world.fact("canary", world.id("canary"))
    partner = world.signed_partner()
    needed(
        world.own("create", "ownDatasetCreate", dataset(world, "private", "PROTECTED", description=f"户号 {canary}"))
    )
    private = world.id("private")
    first, last = _span(world, private)
    world.own("health", "ownEvidenceHealth", {})
    world.own("destroy", "ownEvidenceDestroy", {})
    asked = {"first_seq": first, "last_seq": last, "reason": REASON}
    world.own("restored", "ownEvidenceRestore", asked)
    world.own("exported", "ownEvidenceExport", {**asked, "content": True})
    _listed(world, "viewed", private)
    _listed(world, "of-partner", partner.contract_id)


@scenario()
def test_evidence_copy(world: World) -> None:
    """The operator has the evidence copied to its second place and looks at its state (9.2-d-4)."""
    partner = world.signed_partner()
    _first, last = _span(world, partner.contract_id)
    world.fact("last", last)
    world.own("copy", "ownEvidenceCopy", {})
    world.own("health", "ownEvidenceHealth", {})
    world.own("copy-again", "ownEvidenceCopy", {})


@scenario()
def test_evidence_restored(world: World) -> None:
    """The auditor restores the records of one contract in full (9.2-d-5)."""
    partner = world.signed_partner()
    first, last = _span(world, partner.contract_id)
    asked = {"first_seq": first, "last_seq": last, "reason": REASON}
    world.own("restore", "ownEvidenceRestore", asked)
    begin = world.now_ms() - 60_000
    world.own("of-evidence", "ownEvidenceList", {"act": "evidence.restored", "begin_time": begin, "page_size": PAGE})


@scenario()
def test_evidence_settings(world: World) -> None:
    """The settings say what is kept, and the records of the last minute are of that (9.2-d-1)."""
    world.signed_partner()
    world.own("health", "ownEvidenceHealth", {})
    begin = world.now_ms() - 60_000
    world.own("lately", "ownEvidenceList", {"begin_time": begin, "page_size": PAGE})
