"""Stories about permits (9.2-b): what they open, for whom, where, how long, how often, and what ends them."""

from __future__ import annotations

from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.profile_model import Protocol
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, work
from conformance.suites.material import (
    DAY_MS,
    HOUR_MS,
    granted,
    heard,
    issued_permit,
    needed,
    own_component,
    own_dataset,
    project_of_target,
    shown,
    use,
)

PERIOD_SECONDS = 4.0  # a target on a busy disk may take two for one request


@scenario()
def test_permit_layers(world: World) -> None:
    """Only the right permit, shown by the right node at the right layer, opens a dataset (9.2-b, 9.2-b-1)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    canary = world.fact("canary", world.id("canary"))
    secret = {"description": f"说明 {canary}", "category": canary[:64], "name": f"数据集 {canary}"}
    lent = own_dataset(world, "lent", **secret)
    other = own_dataset(world, "other", **secret)
    issued = granted(world, partner, "lent", lent)
    good = shown(issued)
    needed(use(world, "use", partner, lent, good))
    use(world, "no-permit", partner, lent, breaks="no permit is shown")
    token = str(issued.get("token", ""))
    forged = shown(issued, token=token[:-1] + ("B" if token[-1:] == "A" else "A"))
    use(world, "forged", partner, lent, forged, breaks="the token was not issued")
    use(world, "wrong-level", partner, lent, shown(issued, level=2), breaks="the permit is of another layer")
    use(world, "wrong-name", partner, lent, shown(issued, name=other), breaks="the permit names another resource")
    use(world, "other-resource", partner, other, good, breaks="the permit is for another dataset")
    renamed = shown(issued, name=other)
    use(world, "renamed", partner, other, renamed, breaks="the token is of a permit for another dataset")
    use(world, "stranger", stranger, lent, good, breaks="the permit was issued to another node")
    mixed = (*shown(issued, name=other, token="0" * 32), *good)
    use(world, "one-of-several", partner, lent, mixed)
    world.call("list-stranger", stranger, "datasetAuthList", {"contract_id": stranger.contract_id, "page_size": 500})


@scenario()
def test_permit_count(world: World) -> None:
    """A permit for two uses admits two, and what is refused does not count (9.2-b-2)."""
    partner = world.signed_partner()
    lent = own_dataset(world, "lent")
    issued = granted(world, partner, "lent", lent, times_limit=2)
    good = shown(issued)
    needed(use(world, "first", partner, lent, good))
    forged = shown(issued, token="0" * 32)
    use(world, "forged", partner, lent, forged, breaks="the token was not issued")
    use(world, "second", partner, lent, good)
    use(world, "third", partner, lent, good, breaks="the number of uses is spent")
    world.own("record", "ownDatasetAuditQuery", {"audit_id": world.facts["lent:audit"]})


@scenario()
def test_permit_period(world: World) -> None:
    """A permit admits uses until its period ends, not after (9.2-b-2)."""
    partner = world.signed_partner()
    short, long = own_dataset(world, "short"), own_dataset(world, "long")
    period = world.brief(PERIOD_SECONDS)
    until = world.now_ms() + int(period * 1000)
    brief = shown(granted(world, partner, "short", short, time_limit=until))
    lasting = shown(granted(world, partner, "long", long, time_limit=until + DAY_MS))
    needed(use(world, "in-time", partner, short, brief))
    world.elapse(period + 0.5)
    use(world, "late", partner, short, brief, breaks="the period has ended")
    use(world, "still", partner, long, lasting)
    world.call("list", partner, "datasetAuthList", {"contract_id": partner.contract_id, "page_size": 500})


@scenario()
def test_permit_scope(world: World) -> None:
    """A permit for one project admits uses in that project only (9.2-b-2)."""
    if Protocol.PROJECT not in world.profile.capabilities.protocols:
        raise NotOffered("profile: capabilities.protocols does not list project, so nothing can be scoped to one")
    partner = world.signed_partner()
    here, there = project_of_target(world, partner, "here"), project_of_target(world, partner, "there")
    lent = own_dataset(world, "lent")
    scope = world.fact("scope", {"type": "PROJECT", "project_id": here})
    good = shown(granted(world, partner, "lent", lent, auth_scope=scope))
    use(world, "inside", partner, lent, good, project_id=here)
    use(world, "elsewhere", partner, lent, good, project_id=there, breaks="the permit is for another project")
    use(world, "nowhere", partner, lent, good, breaks="the permit is for a project and none is named")


@scenario()
def test_permit_bounds(world: World) -> None:
    """A permit never holds more than was applied for, nor outlives the contract (9.2-b-1)."""
    ends = world.fact("ends", world.now_ms() + 20 * DAY_MS)
    partner = world.signed_partner(expired_time=ends)
    until = world.fact("until", world.now_ms() + 10 * DAY_MS)
    terms = {"contract_id": partner.contract_id, "auth_scope": {"type": "NODE"}}
    limits = {"time_limit": until, "times_limit": 5}
    asked = {slug: {"audit_id": world.id(slug)} for slug in ("first", "second", "endless")}
    for slug in ("first", "second"):
        body = {**terms, **limits, **asked[slug], "dataset_id": own_dataset(world, f"set-{slug}")}
        needed(world.call(f"apply:{slug}", partner, "datasetAuditApply", body))
    yes = {**asked["first"], "status": "APPROVED"}
    longer = {**yes, "time_limit": until + HOUR_MS}
    world.own("approve-longer", "ownDatasetAuditConfirm", longer, breaks="longer than was applied for")
    more = {**yes, "times_limit": 6}
    world.own("approve-more", "ownDatasetAuditConfirm", more, breaks="more uses than were applied for")
    world.fact("shorter", until - HOUR_MS)
    less = {**yes, "time_limit": until - HOUR_MS, "times_limit": 2}
    needed(world.own("approve", "ownDatasetAuditConfirm", less))
    heard(world.awaited("less", partner, "datasetAuditConfirm", asked["first"]))
    needed(world.own("approve-second", "ownDatasetAuditConfirm", {**asked["second"], "status": "APPROVED"}))
    heard(world.awaited("as-asked", partner, "datasetAuditConfirm", asked["second"]))
    body = {**terms, **asked["endless"], "dataset_id": own_dataset(world, "set-endless")}
    needed(world.call("apply:endless", partner, "datasetAuditApply", body))
    needed(world.own("approve-endless", "ownDatasetAuditConfirm", {**asked["endless"], "status": "APPROVED"}))
    heard(world.awaited("endless", partner, "datasetAuditConfirm", asked["endless"]))


def _sign_again(world: World, partner: Partner) -> None:
    """Sign a second contract between the same two nodes."""
    applied = world.call("again:apply", partner, "contractApply", partner.application(world.now_ms() + DAY_MS))
    partner.contract_id = str(applied.at("/contract_id"))
    partner.claims.add(partner.contract_id)
    decision = {"contract_id": partner.contract_id, "status": "APPROVED"}
    needed(world.own("again:approve", "ownContractConfirm", decision))
    world.awaited("again:confirmed", partner, "contractConfirm", decision)
    partner.open_contract = True


@scenario()
def test_permit_of_ended_contract(world: World) -> None:
    """A permit ends with the contract it was given under, also when the two sign again (9.2-b-2)."""
    partner = world.signed_partner()
    lent = own_dataset(world, "lent")
    good = shown(granted(world, partner, "lent", lent))
    needed(use(world, "use", partner, lent, good))
    needed(world.call("end", partner, "contractTerminate", {"contract_id": partner.contract_id}))
    partner.open_contract = False
    use(world, "use-ended", partner, lent, good, breaks="the contract has ended")
    _sign_again(world, partner)
    use(world, "use-again", partner, lent, good, breaks="the permit was given under a contract that has ended")
    fresh = shown(granted(world, partner, "fresh", lent))
    use(world, "use-fresh", partner, lent, fresh)


@scenario()
def test_permit_withdrawn(world: World) -> None:
    """A permit that came of an application is withdrawn; the others stay in force (9.2-b-3, 9.2-b-4)."""
    partner = world.signed_partner()
    asked = {"contract_id": partner.contract_id}
    audits = {slug: {"audit_id": world.id(slug)} for slug in ("gone", "kept")}
    permits = {}
    for slug, audit in audits.items():
        dataset_id = own_dataset(world, f"set-{slug}")
        needed(world.call(f"apply:{slug}", partner, "datasetAuditApply", {**asked, **audit, "dataset_id": dataset_id}))
        needed(world.own(f"approve:{slug}", "ownDatasetAuditConfirm", {**audit, "status": "APPROVED"}))
        permits[slug] = shown(issued_permit(world.awaited(f"permit:{slug}", partner, "datasetAuditConfirm", audit)))
    gone, kept = world.facts["set-gone"], world.facts["set-kept"]
    needed(use(world, "use", partner, gone, permits["gone"]))
    needed(world.own("revoke", "ownDatasetAuditTerminate", audits["gone"]))
    use(world, "use-gone", partner, gone, permits["gone"], breaks="the permit was withdrawn")
    world.call("state", partner, "datasetAuditQuery", audits["gone"])
    use(world, "use-kept", partner, kept, permits["kept"])
    needed(world.own("show", "ownDatasetUpdate", {"dataset_id": gone, "visibility": "PUBLIC"}))
    use(world, "use-shown", partner, gone)
    needed(world.own("hide", "ownDatasetUpdate", {"dataset_id": gone, "visibility": "PRIVATE"}))
    use(world, "use-hidden", partner, gone, breaks="it is not shown any more")


def _on_data(world: World, partner: Partner, slug: str, *, ends: bool = False) -> tuple[str, str]:
    """Have a partner's job run a task on a dataset that it was granted, for a short period where it `ends`."""
    dataset_id = own_dataset(world, f"set-{slug}")
    plan = work.dag(work.registered(world), first=("store",))
    plan["components"][0]["input"] = [drafts.port("table")]
    project_id, _ = drafts.joined_project(world, partner, f"prj-{slug}")
    params = {"first": {"input": {"table": dataset_id}}}
    flow_id = work.approved_flow(world, partner, project_id, f"flow-{slug}", plan, task_params=params)
    period = world.fact("period", world.brief(PERIOD_SECONDS))
    limits = {"time_limit": world.now_ms() + int(period * 1000)} if ends else {}
    granted(world, partner, slug, dataset_id, **limits)
    offer = work.offer(world, partner, flow_id, plan, f"job-{slug}", task_params=params)
    needed(world.call("create", partner, "jobCreate", offer))
    needed(world.call("start", partner, "jobStart", {"job_id": offer["job_id"]}))
    task_id = work.given(world, "begin", partner, offer["job_id"], "first")
    work.demanded(work.task_is(world, "runs", offer["job_id"], task_id, "RUNNING"), "/status", "RUNNING")
    return str(offer["job_id"]), task_id


@scenario()
def test_permit_withdrawn_at_work(world: World) -> None:
    """A permit is withdrawn while a partner's task works on the dataset (9.2-b-3)."""
    partner = work.played(world)
    job_id, task_id = _on_data(world, partner, "lent")
    needed(world.own("revoke", "ownDatasetAuditTerminate", {"audit_id": world.facts["lent:audit"]}))
    work.tells(world, "told", partner, task_id, "FAILED")
    work.task_is(world, "ended", job_id, task_id, "FAILED")


@scenario()
def test_flow_withdrawn_at_work(world: World) -> None:
    """The approval of a flow is withdrawn while a partner's task of it runs (9.2-b-3)."""
    partner = work.played(world)
    job_id, task_id = _on_data(world, partner, "kept")
    flows = world.own("flows", "ownFlowAuditList", {"page_size": 500}).at("/records")
    mine = [row["audit_id"] for row in flows if row.get("partner_node_id") == partner.node_id]
    needed(world.own("revoke", "ownFlowAuditTerminate", {"audit_id": mine[0] if mine else ""}))
    work.tells(world, "told", partner, task_id, "FAILED")
    work.task_is(world, "ended", job_id, task_id, "FAILED")


@scenario()
def test_permit_expired_at_work(world: World) -> None:
    """The period of a permit ends while a partner's task works on the dataset (9.2-b-2)."""
    partner = work.played(world)
    job_id, task_id = _on_data(world, partner, "brief", ends=True)
    world.elapse(world.facts["period"] + 0.5)
    work.tells(world, "told", partner, task_id, "FAILED")
    work.task_is(world, "ended", job_id, task_id, "FAILED")


def _kept_for(world: World, *partners: Partner) -> dict[str, str]:
    """Have the target's operator register a component that is there for some nodes only; return how it is named."""
    world.offered("ownComponentUpdate")
    code = world.id("kept")
    nodes = [partner.node_id for partner in partners]
    category = world.fact("category", world.id("kind"))
    body = work.component(code, category=category, visibility="PROTECTED", partners=nodes)
    return world.fact("component", own_component(world, "register", body))


def _seen(world: World, after: str, partner: Partner, *, hidden: bool) -> None:
    """Have a partner list the target's components and ask for the one, which may be kept from it."""
    asked = {"contract_id": partner.contract_id}
    breaks = "the component is not there for this node" if hidden else ""
    mine = {**asked, "category": world.facts["category"], "page_size": 500}
    world.call(f"list{after}", partner, "componentList", mine)
    world.call(f"query{after}", partner, "componentQuery", {**asked, **world.facts["component"]}, breaks=breaks)


@scenario()
def test_component_for_one_node(world: World) -> None:
    """A component is there for one node, then for another in its place (9.2-b-1, 9.2-b-3, 9.2-b-4)."""
    chosen, other = work.played(world), work.played(world, "other")
    named = _kept_for(world, chosen)
    plan = work.dag({0: named["code"]}, first=())
    flows = {}
    for slug, partner in (("chosen", chosen), ("other", other)):
        project_id, _ = drafts.joined_project(world, partner, f"prj-{slug}")
        flows[slug] = work.approved_flow(world, partner, project_id, f"flow-{slug}", plan)
    _seen(world, "", chosen, hidden=False)
    _seen(world, "-other", other, hidden=True)
    denied = "the component is run for another node only"
    world.call("run", chosen, "jobCreate", work.offer(world, chosen, flows["chosen"], plan, "job-1"))
    world.call("run-other", other, "jobCreate", work.offer(world, other, flows["other"], plan, "job-2"), breaks=denied)
    opened = {**named, "visibility": "PROTECTED", "partners": [other.node_id]}
    needed(world.own("update", "ownComponentUpdate", opened))
    _seen(world, "-late", chosen, hidden=True)
    _seen(world, "-other-late", other, hidden=False)
    taken = work.offer(world, chosen, flows["chosen"], plan, "job-3")
    world.call("run-late", chosen, "jobCreate", taken, breaks="the component was taken back from this node")
    world.call("run-other-late", other, "jobCreate", work.offer(world, other, flows["other"], plan, "job-4"))


@scenario()
def test_component_withdrawn_at_work(world: World) -> None:
    """A component is taken back from a partner while its task works with it (9.2-b-3)."""
    partner = work.played(world)
    named = _kept_for(world, partner)
    job_id = work.joined(world, partner, work.dag({0: named["code"]}, first=()))
    task_id = work.given(world, "begin", partner, job_id, "first")
    work.demanded(work.task_is(world, "runs", job_id, task_id, "RUNNING"), "/status", "RUNNING")
    needed(world.own("update", "ownComponentUpdate", {**named, "visibility": "PRIVATE"}))
    work.tells(world, "told", partner, task_id, "FAILED")
    work.task_is(world, "ended", job_id, task_id, "FAILED")
