"""Stories about datasets (8.7.1): registered, shown, applied for, decided, granted, withdrawn."""

from __future__ import annotations

from typing import Any

from conformance.harness.errors import Prerequisite
from conformance.harness.partner import refusing, saying
from conformance.harness.profile_model import Protocol
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites.material import (
    DAY_MS,
    dataset,
    granted,
    heard,
    issued_permit,
    needed,
    own_dataset,
    permit,
    shown,
    stands,
    turned_down,
    use,
)

PAGE = 500


def _project(world: World, slug: str) -> str:
    """Create a project of the target's, where it offers projects; return the id."""
    project_id = world.fact(slug, world.id(slug))
    if Protocol.PROJECT in world.profile.capabilities.protocols:
        needed(world.own(f"project:{slug}", "ownProjectCreate", {"project_id": project_id, "name": f"项目 {slug}"}))
    return project_id


@scenario()
def test_dataset_own(world: World) -> None:
    """The operator registers datasets, finds, changes and removes them (8.7.1.1, 8.7.1.2-b, 8.7.1.2-e)."""
    here, there = _project(world, "here"), _project(world, "there")
    first = world.fact("first", dataset(world, "first", "PROTECTED", project_ids=[here]))
    stands(world.own("create", "ownDatasetCreate", first), "/dataset_id", first["dataset_id"])
    named = {"dataset_id": first["dataset_id"]}
    needed(world.own("query", "ownDatasetQuery", named))
    second = world.fact("second", dataset(world, "second", "PUBLIC", project_ids=[here]))
    world.own("create-second", "ownDatasetCreate", second)
    taken = {**second, **named}
    again = world.own("create-taken", "ownDatasetCreate", taken, breaks="a dataset id names one dataset of a node")
    world.own("query-after", "ownDatasetQuery", named)
    turned_down(again)
    third = world.fact("third", dataset(world, "third", "PRIVATE", project_ids=[here]))
    needed(world.own("create-third", "ownDatasetCreate", third))
    other = world.fact("other", dataset(world, "other", "PROTECTED", project_ids=[there]))
    needed(world.own("create-other", "ownDatasetCreate", other))
    world.own("list", "ownDatasetList", {"project_id": here, "page_size": PAGE})
    for number in (1, 2):
        world.own(f"page-{number}", "ownDatasetList", {"project_id": here, "page_num": number, "page_size": 2})
    world.own("list-visible", "ownDatasetList", {"project_id": here, "visibility": "PUBLIC", "page_size": PAGE})
    world.own("query-unknown", "ownDatasetQuery", {"dataset_id": world.id("nobody")}, breaks="there is none")


@scenario()
def test_dataset_change(world: World) -> None:
    """Datasets get ids of the node's own, are changed and removed (8.7.1.1)."""
    unnamed = dataset(world, "unnamed", "PROTECTED")
    del unnamed["dataset_id"]
    changed = str(world.own("create", "ownDatasetCreate", unnamed).at("/dataset_id"))
    removed = str(world.own("create-second", "ownDatasetCreate", unnamed).at("/dataset_id"))
    if removed == changed:
        raise Prerequisite("two datasets have one id, so they cannot be told apart")
    needed(world.own("before", "ownDatasetQuery", {"dataset_id": changed}))
    world.fact("count", 53100)
    world.fact("source", {"type": "DATABASE", "location": f"meter.{world.id('table')}"})
    change = {"dataset_id": changed, "count": 53100, "source": world.facts["source"], "visibility": "PUBLIC"}
    world.own("update", "ownDatasetUpdate", change)
    world.own("after", "ownDatasetQuery", {"dataset_id": changed})
    world.own("other-after", "ownDatasetQuery", {"dataset_id": removed})
    needed(world.own("delete", "ownDatasetDelete", {"dataset_id": removed}))
    world.own("query-removed", "ownDatasetQuery", {"dataset_id": removed}, breaks="it was removed")
    world.own("query-kept", "ownDatasetQuery", {"dataset_id": changed})


@scenario()
def test_dataset_public(world: World) -> None:
    """A partner sees the public datasets and nothing of the others (8.7.1.2-a, 8.7.1.2-d)."""
    partner = world.signed_partner()
    bodies = {slug: dataset(world, slug, slug.upper()) for slug in ("public", "protected", "private")}
    bodies["public-too"] = dataset(world, "public-too", "PUBLIC")
    for slug, body in bodies.items():
        body["description"] = f"说明 {world.id('canary')}"
        world.fact(slug, body)
        needed(world.own(f"create:{slug}", "ownDatasetCreate", body))
        needed(world.own(f"create:{slug}:found", "ownDatasetQuery", {"dataset_id": body["dataset_id"]}))
    asked = {"contract_id": partner.contract_id}
    world.call("list", partner, "datasetPubList", {**asked, "page_size": PAGE})
    world.call("page", partner, "datasetPubList", {**asked, "page_num": 1, "page_size": 1})
    use(world, "query", partner, bodies["public"]["dataset_id"])
    use(world, "query-protected", partner, bodies["protected"]["dataset_id"], breaks="it was not granted")
    use(world, "query-private", partner, bodies["private"]["dataset_id"], breaks="it is not shared")


@scenario()
def test_dataset_partner(world: World) -> None:
    """The target asks a partner for datasets and passes on its answer (8.7.1.2-a, 8.7.1.2-c, 8.7.1.2-d)."""
    partner = world.signed_partner()
    meta = [{"name": "date", "data_type": "string", "distribution": "DISCRETE"}]
    public = {"dataset_id": world.id("theirs"), "name": "合作方公开数据集", "owner": partner.node_id, "count": 365}
    lent = {"dataset_id": world.id("lent"), "name": "合作方授权数据集", "owner": partner.node_id}
    world.fact("public", public)
    world.fact("lent", lent)
    world.answers(partner, "datasetPubList", saying({"records": [public], "total": 7}))
    world.answers(
        partner, "datasetAuthList", saying({"records": [{**lent, "audit_id": world.id("audit")}], "total": 5})
    )
    world.answers(partner, "datasetPubQuery", saying({**public, "column_metas": meta}))
    asked = {"contract_id": partner.contract_id}
    world.own("list", "ownPartnerDatasetList", {**asked, "scope": "PUBLIC"})
    world.awaited("asked-public", partner, "datasetPubList", asked)
    world.own("list-granted", "ownPartnerDatasetList", {**asked, "scope": "AUTHORISED"})
    world.awaited("asked-granted", partner, "datasetAuthList", asked)
    one = {"dataset_id": public["dataset_id"]}
    world.own("query", "ownPartnerDatasetQuery", {**asked, **one})
    world.awaited("asked-query", partner, "datasetPubQuery", one)
    world.answers(partner, "datasetPubQuery", refusing(404, "RESOURCE_NOT_FOUND", 40401))
    world.own("query-refused", "ownPartnerDatasetQuery", {**asked, **one}, breaks="the partner refuses")


@scenario()
def test_dataset_application(world: World) -> None:
    """A partner applies for a dataset; the application is pending and opens nothing (8.7.1.3-a, 8.7.1.3-e)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    wanted = own_dataset(world, "wanted")
    world.fact("partner", partner.node_id)
    audit_id = world.fact("audit", world.id("audit"))
    apply: dict[str, Any] = {"audit_id": audit_id, "contract_id": partner.contract_id, "dataset_id": wanted}
    apply |= {"auth_scope": {"type": "NODE"}, "time_limit": world.now_ms() + 10 * DAY_MS, "times_limit": 40}
    world.fact("applied", apply)
    needed(world.call("apply", partner, "datasetAuditApply", apply))
    world.call("pending", partner, "datasetAuditQuery", {"audit_id": audit_id})
    stands(world.own("pending-own", "ownDatasetAuditQuery", {"audit_id": audit_id}), "/status", "APPLIED")
    world.own("pending-list", "ownDatasetAuditList", {"contract_id": partner.contract_id, "status": "APPLIED"})
    forged = shown({"resource_id": wanted, "token": "0" * 32})
    use(world, "use-pending", partner, wanted, forged, breaks="nothing was granted yet")
    hidden = own_dataset(world, "hidden", "PRIVATE")
    refused = {**apply, "audit_id": world.id("audit-hidden"), "dataset_id": hidden}
    world.call("apply-hidden", partner, "datasetAuditApply", refused, breaks="it is not shared")
    refused = {**apply, "audit_id": world.id("audit-nobody"), "dataset_id": world.id("nobody")}
    world.call("apply-unknown", partner, "datasetAuditApply", refused, breaks="there is none")
    other = {**apply, "audit_id": world.id("audit-other"), "dataset_id": own_dataset(world, "other")}
    world.call("apply-other", partner, "datasetAuditApply", other)
    world.call("apply-taken", partner, "datasetAuditApply", {**other, "audit_id": audit_id}, breaks="the id is taken")
    world.call("query-stranger", stranger, "datasetAuditQuery", {"audit_id": audit_id}, breaks="not its application")
    world.own("pending-after", "ownDatasetAuditQuery", {"audit_id": audit_id})
    world.own("approve", "ownDatasetAuditConfirm", {"audit_id": audit_id, "status": "APPROVED"})
    told = world.awaited("confirmed", partner, "datasetAuditConfirm", {"audit_id": audit_id})
    use(world, "use", partner, wanted, shown(issued_permit(told)))


@scenario()
def test_dataset_decision(world: World) -> None:
    """The target approves one application and rejects another; the partner is told (8.7.1.3-d, 8.7.1.3-e)."""
    partner = world.signed_partner()
    world.fact("partner", partner.node_id)
    yes, no = world.fact("yes", world.id("audit-yes")), world.fact("no", world.id("audit-no"))
    terms: dict[str, Any] = {"contract_id": partner.contract_id, "auth_scope": {"type": "NODE"}}
    terms |= {"time_limit": world.fact("until", world.now_ms() + 10 * DAY_MS), "times_limit": 40}
    wanted, unwanted = own_dataset(world, "wanted"), own_dataset(world, "unwanted")
    needed(world.call("apply", partner, "datasetAuditApply", {**terms, "audit_id": yes, "dataset_id": wanted}))
    needed(world.call("apply-no", partner, "datasetAuditApply", {**terms, "audit_id": no, "dataset_id": unwanted}))
    needed(world.own("approve", "ownDatasetAuditConfirm", {"audit_id": yes, "status": "APPROVED"}))
    told = world.awaited("confirmed", partner, "datasetAuditConfirm", {"audit_id": yes})
    heard(told)
    world.call("approved", partner, "datasetAuditQuery", {"audit_id": yes})
    world.own("reject", "ownDatasetAuditConfirm", {"audit_id": no, "status": "REJECTED", "comment": "用途不明"})
    world.awaited("refused", partner, "datasetAuditConfirm", {"audit_id": no})
    world.call("rejected", partner, "datasetAuditQuery", {"audit_id": no})
    use(world, "use", partner, wanted, shown(issued_permit(told), name=wanted))
    use(world, "use-rejected", partner, unwanted, breaks="it was rejected")
    asked = {"contract_id": partner.contract_id, "page_size": PAGE}
    world.call("granted", partner, "datasetAuthList", asked)
    world.own("granted-out", "ownDatasetAuthList", {**asked, "mode": "OUT"})
    contrary = {"audit_id": yes, "status": "REJECTED"}
    world.own("reject-late", "ownDatasetAuditConfirm", contrary, breaks="it was decided")
    contrary = {"audit_id": no, "status": "APPROVED"}
    world.own("approve-late", "ownDatasetAuditConfirm", contrary, breaks="it was decided")
    world.call("approved-after", partner, "datasetAuditQuery", {"audit_id": yes})
    world.call("rejected-after", partner, "datasetAuditQuery", {"audit_id": no})


@scenario()
def test_dataset_cancel(world: World) -> None:
    """A partner withdraws its application while it is pending, and cannot once it is decided (8.7.1.3-b)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    wanted = own_dataset(world, "wanted")
    first, second, third = (world.id(f"audit-{slug}") for slug in ("first", "second", "third"))
    for step, audit_id in (("apply", first), ("apply-second", second), ("apply-third", third)):
        body = {"audit_id": audit_id, "contract_id": partner.contract_id, "dataset_id": wanted}
        needed(world.call(step, partner, "datasetAuditApply", body))
    stands(world.own("before-stranger", "ownDatasetAuditQuery", {"audit_id": third}), "/status", "APPLIED")
    world.call("cancel-stranger", stranger, "datasetAuditCancel", {"audit_id": third}, breaks="not its application")
    world.own("after-stranger", "ownDatasetAuditQuery", {"audit_id": third})
    needed(world.call("cancel", partner, "datasetAuditCancel", {"audit_id": first}))
    world.own("cancelled", "ownDatasetAuditQuery", {"audit_id": first})
    late = {"audit_id": first, "status": "APPROVED"}
    world.own("approve-cancelled", "ownDatasetAuditConfirm", late, breaks="it was withdrawn")
    needed(world.own("approve", "ownDatasetAuditConfirm", {"audit_id": second, "status": "APPROVED"}))
    world.call("approved", partner, "datasetAuditQuery", {"audit_id": second})
    world.call("cancel-late", partner, "datasetAuditCancel", {"audit_id": second}, breaks="it was decided")
    world.call("approved-after", partner, "datasetAuditQuery", {"audit_id": second})


@scenario()
def test_dataset_asks(world: World) -> None:
    """The target applies to a partner, which approves; nobody else can decide (8.7.1.3-a, 8.7.1.3-d, 8.7.1.2-d)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    world.fact("partner", partner.node_id)
    wanted = world.fact("wanted", world.id("theirs"))
    terms: dict[str, Any] = {"contract_id": partner.contract_id, "dataset_id": wanted}
    terms |= {"auth_scope": {"type": "NODE"}, "time_limit": world.now_ms() + 10 * DAY_MS, "times_limit": 40}
    world.fact("terms", terms)
    audit_id = world.fact("audit", world.own("apply", "ownDatasetAuditApply", terms).at("/audit_id"))
    heard(world.awaited("asked", partner, "datasetAuditApply", {"audit_id": audit_id}))
    one = {"audit_id": audit_id}
    stands(world.own("pending", "ownDatasetAuditQuery", one), "/status", "APPLIED")
    limits = {"time_limit": terms["time_limit"], "times_limit": 40}
    issued = world.fact("permit", permit(world, partner, "DATASET", wanted, **limits))
    yes = {**one, "status": "APPROVED", "resource_permit": issued}
    world.call("confirm-stranger", stranger, "datasetAuditConfirm", yes, breaks="it was not asked")
    world.own("pending-after", "ownDatasetAuditQuery", one)
    world.call("confirm", partner, "datasetAuditConfirm", yes)
    world.own("approved", "ownDatasetAuditQuery", one).at("/resource_permit/token")
    detail = {"dataset_id": wanted, "name": "合作方数据集", "owner": partner.node_id, "column_metas": []}
    world.answers(partner, "datasetPubQuery", saying(detail))
    world.own("use", "ownPartnerDatasetQuery", {"contract_id": partner.contract_id, "dataset_id": wanted})
    heard(world.awaited("used", partner, "datasetPubQuery", {"dataset_id": wanted}))
    world.call("confirm-again", partner, "datasetAuditConfirm", yes)
    world.own("approved-again", "ownDatasetAuditQuery", one)
    world.call("confirm-contrary", partner, "datasetAuditConfirm", {**one, "status": "REJECTED"}, breaks="decided")
    world.own("approved-after", "ownDatasetAuditQuery", one)


@scenario()
def test_dataset_asks_otherwise(world: World) -> None:
    """The target's applications are rejected, withdrawn, or decided without a word (8.7.1.3-b, -d, -e)."""
    partner = world.signed_partner()
    audits: dict[str, str] = {}
    for slug in ("rejected", "lost", "lost-no", "withdrawn"):
        body = {"contract_id": partner.contract_id, "dataset_id": world.id(slug)}
        audits[slug] = world.fact(slug, world.own(f"apply:{slug}", "ownDatasetAuditApply", body).at("/audit_id"))
    stands(world.own("pending", "ownDatasetAuditQuery", {"audit_id": audits["rejected"]}), "/status", "APPLIED")
    no = {"audit_id": audits["rejected"], "status": "REJECTED"}
    world.call("confirm-no", partner, "datasetAuditConfirm", no)
    world.own("rejected", "ownDatasetAuditQuery", {"audit_id": audits["rejected"]})
    world.own("cancel", "ownDatasetAuditCancel", {"audit_id": audits["withdrawn"]})
    world.awaited("cancel-told", partner, "datasetAuditCancel", {"audit_id": audits["withdrawn"]})
    world.own("cancelled", "ownDatasetAuditQuery", {"audit_id": audits["withdrawn"]})
    issued = world.fact("permit", permit(world, partner, "DATASET", world.id("lost")))
    states: dict[str, dict[str, Any]] = {
        audits["lost"]: {"status": "APPROVED", "resource_permit": issued},
        audits["lost-no"]: {"status": "REJECTED"},
    }
    partner_knows = {audit: saying({"audit_id": audit, **state}) for audit, state in states.items()}
    pending = saying({"audit_id": audits["withdrawn"], "status": "APPLIED"})
    world.answers(
        partner, "datasetAuditQuery", lambda sent: partner_knows.get(str(sent.get("audit_id")), pending)(sent)
    )
    lost = {"audit_id": audits["lost"]}
    world.own("recovered", "ownDatasetAuditQuery", lost)
    world.awaited("asked-state", partner, "datasetAuditQuery", lost)
    world.own("recovered-no", "ownDatasetAuditQuery", {"audit_id": audits["lost-no"]})
    world.own("granted-in", "ownDatasetAuthList", {"contract_id": partner.contract_id, "mode": "IN", "page_size": PAGE})
    if world.own("decided", "ownDatasetAuditQuery", lost).at("/status") != "APPROVED":
        raise Prerequisite("the decision that was lost was not recovered, so there is nothing to withdraw too late")
    world.own("cancel-late", "ownDatasetAuditCancel", lost, breaks="it was decided")
    world.own("decided-after", "ownDatasetAuditQuery", lost)


@scenario()
def test_dataset_grant(world: World) -> None:
    """The target grants a dataset nobody asked for, and is granted one (8.7.1.3-c, 8.7.1.2-c, 8.7.1.2-f)."""
    partner = world.signed_partner()
    world.fact("partner", partner.node_id)
    until = world.fact("until", world.now_ms() + 10 * DAY_MS)
    given = own_dataset(world, "given")
    issued = granted(world, partner, "given", given, time_limit=until, times_limit=40)
    use(world, "use", partner, given, shown(issued))
    asked = {"contract_id": partner.contract_id, "page_size": PAGE}
    world.own("granted-out", "ownDatasetAuthList", {**asked, "mode": "OUT"})
    theirs = {"dataset_id": world.fact("theirs", world.id("theirs")), "name": "主动授权", "owner": partner.node_id}
    audit_id = world.fact("audit-in", world.id("audit-in"))
    body = {"audit_id": audit_id, "contract_id": partner.contract_id, "dataset": theirs}
    body["resource_permit"] = world.fact("permit-in", permit(world, partner, "DATASET", theirs["dataset_id"]))
    world.call("grant-in", partner, "datasetGrant", body)
    needed(world.own("held", "ownDatasetAuditQuery", {"audit_id": audit_id}))
    world.own("granted-in", "ownDatasetAuthList", {**asked, "mode": "IN"})


@scenario()
def test_dataset_granted_list(world: World) -> None:
    """The list of granted datasets is the asking partner's own, without the public ones (8.7.1.2-c)."""
    partner, other = world.signed_partner(), world.signed_partner("other")
    slugs = ("first", "second", "third")
    for slug in slugs:
        granted(world, partner, slug, own_dataset(world, slug))
    granted(world, other, "others", own_dataset(world, "others"))
    opened = own_dataset(world, "open")
    granted(world, partner, "open", opened)
    stands(
        world.own("show", "ownDatasetUpdate", {"dataset_id": opened, "visibility": "PUBLIC"}), "/visibility", "PUBLIC"
    )
    own_dataset(world, "ungranted")
    asked = {"contract_id": partner.contract_id}
    world.call("list", partner, "datasetAuthList", {**asked, "page_size": PAGE})
    for number in (1, 2):
        world.call(f"page-{number}", partner, "datasetAuthList", {**asked, "page_num": number, "page_size": 2})
    world.own("out", "ownDatasetAuthList", {**asked, "mode": "OUT", "page_size": PAGE})
    for number in (1, 2):
        paged = {**asked, "mode": "OUT", "page_num": number, "page_size": 2}
        world.own(f"out-page-{number}", "ownDatasetAuthList", paged)


@scenario()
def test_dataset_revoke(world: World) -> None:
    """The target withdraws a grant, also from a partner that does not answer; it opens nothing any more (8.7.1.4)."""
    partner = world.signed_partner()
    kept, gone, silent = (own_dataset(world, slug) for slug in ("kept", "gone", "silent"))
    permits = {slug: granted(world, partner, slug, world.facts[slug]) for slug in ("kept", "gone", "silent")}
    needed(use(world, "use", partner, gone, shown(permits["gone"])))
    needed(use(world, "use-silent", partner, silent, shown(permits["silent"])))
    needed(use(world, "use-kept-before", partner, kept, shown(permits["kept"])))
    audit_id = world.facts["gone:audit"]
    needed(world.own("revoke", "ownDatasetAuditTerminate", {"audit_id": audit_id}))
    world.awaited("told", partner, "datasetAuditTerminate", {"audit_id": audit_id})
    use(world, "use-gone", partner, gone, shown(permits["gone"]), breaks="it was withdrawn")
    needed(use(world, "use-kept", partner, kept, shown(permits["kept"])))
    world.answers(partner, "datasetAuditTerminate", refusing(503, "STORE_UNAVAILABLE", 50301))
    world.own("revoke-silent", "ownDatasetAuditTerminate", {"audit_id": world.facts["silent:audit"]})
    use(world, "use-silent-gone", partner, silent, shown(permits["silent"]), breaks="it was withdrawn")
    asked = {"contract_id": partner.contract_id, "page_size": PAGE}
    world.call("list", partner, "datasetAuthList", asked)
    world.own("out", "ownDatasetAuthList", {**asked, "mode": "OUT"})
    again = {"audit_id": audit_id}
    world.own("revoke-again", "ownDatasetAuditTerminate", again, breaks="it has ended")


@scenario()
def test_dataset_revoked(world: World) -> None:
    """A partner withdraws what it granted to the target; a stranger cannot (8.7.1.4)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    audit_id = world.fact("audit", world.id("audit"))
    theirs = {"dataset_id": world.id("theirs"), "name": "将被撤销", "owner": partner.node_id}
    body = {"audit_id": audit_id, "contract_id": partner.contract_id, "dataset": theirs}
    body["resource_permit"] = permit(world, partner, "DATASET", theirs["dataset_id"])
    needed(world.call("grant", partner, "datasetGrant", body))
    one = {"audit_id": audit_id}
    needed(world.own("held", "ownDatasetAuditQuery", one))
    other = {"audit_id": world.id("audit-foreign")}
    needed(world.call("grant-foreign", partner, "datasetGrant", {**body, **other}))
    needed(world.own("foreign-held", "ownDatasetAuditQuery", other))
    world.call("terminate-stranger", stranger, "datasetAuditTerminate", other, breaks="it is not its grant")
    world.own("foreign-after", "ownDatasetAuditQuery", other)
    world.call("terminate", partner, "datasetAuditTerminate", one)
    world.own("ended", "ownDatasetAuditQuery", one)
    world.own("granted-in", "ownDatasetAuthList", {"contract_id": partner.contract_id, "mode": "IN", "page_size": PAGE})
