"""Lists and records of shared projects, asked by a partner and asked by the target (8.2.2-b, 8.2.2-d)."""

from __future__ import annotations

from conformance.harness.partner import saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts


@scenario()
def test_project_shared_list(world: World) -> None:
    """Two partners share projects with the target; each lists and sees its own only (8.2.2-b)."""
    partner, other = world.signed_partner(), world.signed_partner("other")
    shared = [drafts.joined_project(world, partner, "prj-theirs")[0]]
    shared += [drafts.agreed_project(world, partner, slug)[0] for slug in ("prj-ours", "prj-ours-too")]
    apart, _ = drafts.agreed_project(world, other, "prj-apart")
    offered, _ = drafts.offer_project(world, partner, "prj-undecided")
    world.fact("shared", sorted(shared))
    world.fact("apart", apart)
    world.fact("undecided", offered)
    key = {"contract_id": partner.contract_id}
    world.call("list", partner, "projectList", key)
    world.call("page-1", partner, "projectList", {**key, "page_num": 1, "page_size": 2})
    world.call("page-2", partner, "projectList", {**key, "page_num": 2, "page_size": 2})
    world.call("list-by-other", other, "projectList", {"contract_id": other.contract_id})
    world.call("read", partner, "projectQuery", {**key, "project_id": shared[1]})
    world.call("read-apart", partner, "projectQuery", {**key, "project_id": apart}, breaks="shared with others only")


@scenario()
def test_project_partner_view(world: World) -> None:
    """The target's operator asks a partner for the projects they share, and for one of them (8.2.2-b, 8.2.2-d)."""
    partner = world.signed_partner()
    rows = [
        {"project_id": world.id(slug), "name": f"合作项目 {slug}", "type": kind}
        for slug, kind in (("prj-one", "PSI"), ("prj-two", "MPC"))
    ]
    record = {
        **rows[1],
        "description": "对方维护的说明",
        "nodes": [{"node_id": partner.node_id}, {"node_id": world.profile.target.node_id}],
        "datasets": {partner.node_id: [world.id("ds-theirs")]},
    }
    world.fact("rows", rows)
    world.fact("record", record)
    world.fact("contract", partner.contract_id)
    world.answers(partner, "projectList", saying({"records": rows, "total": 7}))
    world.answers(partner, "projectQuery", saying(record))
    world.own("list", "ownPartnerProjectList", {"contract_id": partner.contract_id, "page_num": 2, "page_size": 2})
    world.awaited("list-asked", partner, "projectList", {"contract_id": partner.contract_id})
    key = {"contract_id": partner.contract_id, "project_id": rows[1]["project_id"]}
    world.own("query", "ownPartnerProjectQuery", key)
    world.awaited("query-asked", partner, "projectQuery", key)
