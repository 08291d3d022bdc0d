"""Projects (8.2) on one node and between two."""

from __future__ import annotations

import pytest

from tests.reference_node.pair import DAY_MS, Stranger, TestNode, nodes, sign_contract
from tests.reference_node.sharing import agree_project, signed_stranger

Two = tuple[TestNode, TestNode]


def test_a_project_is_kept_as_it_was_given(two: Two) -> None:
    """8.2.1-a, 8.2.2-c: name, description, type and datasets are found again."""
    a, _ = two
    assert a.own("ownDatasetCreate", dataset_id="ds-1", name="一", visibility="PROTECTED").code == 0
    given = {"project_id": "prj-1", "name": "排放监测", "description": "联合建模", "type": "HETERO_FL"}
    assert a.own("ownProjectCreate", **given, dataset_ids=["ds-1"]).data == {"project_id": "prj-1"}
    found = a.own("ownProjectQuery", project_id="prj-1").data
    assert {name: found[name] for name in given} == given
    assert (found["owner_node_id"], found["nodes"]) == (a.id, [{"node_id": a.id}])
    assert found["datasets"] == {a.id: ["ds-1"]}


def test_project_ids_are_unique_and_made_where_absent(two: Two) -> None:
    """8.2.1-a: a taken id is refused and nothing of the first project changes; an absent id is made."""
    a, _ = two
    a.own("ownProjectCreate", project_id="prj-1", name="first")
    refused = a.own("ownProjectCreate", project_id="prj-1", name="second")
    assert (refused.error, refused.data["pointer"]) == ("ID_TAKEN", "/project_id")
    made = {a.own("ownProjectCreate", name="unnamed").data["project_id"] for _ in range(2)}
    assert len(made) == 2
    assert a.own("ownProjectQuery", project_id="prj-1").data["name"] == "first"
    unknown = a.own("ownProjectCreate", name="x", dataset_ids=["ds-none"])
    assert (unknown.error, unknown.data["pointer"]) == ("RESOURCE_NOT_FOUND", "/dataset_ids/0")


@pytest.mark.parametrize(
    ("keyword", "match", "found"),
    [
        ("ALPHA", "fuzzy", ["alpha beta", "Alpha"]),
        ("Alpha", "exact", ["Alpha"]),
        ("alpha", "exact", []),
        ("p-3", "exact", ["100%_of"]),
        ("%", "fuzzy", ["100%_of"]),
        ("_", "fuzzy", ["100%_of"]),
        ("监", "fuzzy", ["碳能耗监测"]),
        ("", "fuzzy", ["碳能耗监测", "100%_of", "alpha beta", "Alpha"]),
    ],
)
def test_search_is_fuzzy_or_exact(two: Two, keyword: str, match: str, found: list[str]) -> None:
    """8.2.2-a: fuzzy finds what contains the keyword in any case, exact what equals it; wildcards are plain text."""
    a, _ = two
    for index, name in enumerate(["Alpha", "alpha beta", "100%_of", "碳能耗监测"], start=1):
        a.own("ownProjectCreate", project_id=f"p-{index}", name=name)
    reply = a.own("ownProjectList", keyword=keyword, match=match)
    assert [record["name"] for record in reply.data["records"]] == found
    assert reply.data["total"] == len(found)


def test_pages_cover_the_list_and_totals_count_all(two: Two) -> None:
    """8.2.2-a: pages neither overlap nor leave gaps; total and statistics do not depend on the page."""
    a, _ = two
    for index in range(7):
        a.own("ownProjectCreate", project_id=f"p-{index}", name="n", **({"type": "PSI"} if index % 2 else {}))
    pages = [a.own("ownProjectList", page_num=number, page_size=3).data for number in (1, 2, 3, 4)]
    ids = [record["project_id"] for page in pages for record in page["records"]]
    assert ids == [f"p-{index}" for index in reversed(range(7))]
    assert {page["total"] for page in pages} == {7}
    assert pages[3]["statistics"] == {"by_type": {"PSI": 3, "UNSPECIFIED": 4}}
    assert a.own("ownProjectList", type="PSI").data["total"] == 3


def test_a_partner_takes_part_after_its_approval_only(two: Two) -> None:
    """8.2.1-b, 8.2.2-b, 8.2.2-d: both hold the same project once approved, and before that the partner has none."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", dataset_id="ds-1", name="shown", visibility="PROTECTED")
    a.own("ownDatasetCreate", dataset_id="ds-2", name="hidden", visibility="PRIVATE")
    given = {"project_id": "prj-1", "name": "共建", "description": "d", "type": "MPC"}
    a.own("ownProjectCreate", **given, dataset_ids=["ds-1", "ds-2"])
    applied = a.own("ownProjectAuditApply", contract_id=contract_id, project_id="prj-1").data
    assert (applied["status"], applied["delivery"]) == ("APPLIED", "DELIVERED")
    assert b.own("ownProjectQuery", project_id="prj-1").error == "RESOURCE_NOT_FOUND"
    assert b.own("ownPartnerProjectList", contract_id=contract_id).data["total"] == 0
    assert b.own("ownPartnerProjectQuery", contract_id=contract_id, project_id="prj-1").error == "PARTNER_REFUSED"
    b.own("ownProjectAuditConfirm", audit_id=applied["audit_id"], status="APPROVED")
    copy = b.own("ownProjectQuery", project_id="prj-1").data
    assert (copy["name"], copy["description"], copy["type"]) == ("共建", "d", "MPC")
    assert (copy["owner_node_id"], copy["datasets"]) == (a.id, {a.id: ["ds-1"]})
    assert [item["node_id"] for item in a.own("ownProjectQuery", project_id="prj-1").data["nodes"]] == [a.id, b.id]
    for one in two:
        assert [r["project_id"] for r in one.own("ownPartnerProjectList", contract_id=contract_id).data["records"]] == [
            "prj-1"
        ]
        shared = one.own("ownPartnerProjectQuery", contract_id=contract_id, project_id="prj-1").data
        assert {item["node_id"] for item in shared["nodes"]} == {a.id, b.id}
        assert shared["datasets"] == {a.id: ["ds-1"]}
    assert b.own("ownProjectList").data["total"] == 0


def test_a_rejected_project_leaves_nothing(two: Two) -> None:
    """8.2.1-b: after a rejection the partner has no such project and the initiator knows why."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownProjectCreate", project_id="prj-1", name="x")
    audit_id = a.own("ownProjectAuditApply", contract_id=contract_id, project_id="prj-1").data["audit_id"]
    b.own("ownProjectAuditConfirm", audit_id=audit_id, status="REJECTED", comment="not now")
    seen = a.own("ownProjectAuditQuery", audit_id=audit_id).data
    assert (seen["status"], seen["comment"], "resource_permit" in seen) == ("REJECTED", "not now", False)
    assert b.own("ownProjectQuery", project_id="prj-1").error == "RESOURCE_NOT_FOUND"
    assert b.own("ownPartnerProjectQuery", contract_id=contract_id, project_id="prj-1").error == "PARTNER_REFUSED"


def test_strangers_see_and_change_nothing(two: Two, stranger: Stranger) -> None:
    """8.2.2-b, 8.2.2-d, 8.2.3-b: a signed node outside the project neither lists, reads nor changes it."""
    a, b = two
    agree_project(a, b, "prj-1")
    contract_id = signed_stranger(a, stranger)
    asked = {"contract_id": contract_id, "project_id": "prj-1"}
    assert a.signed("projectList", stranger, contract_id=contract_id).data["total"] == 0
    assert a.signed("projectQuery", stranger, **asked).error == "RESOURCE_NOT_FOUND"
    assert a.signed("projectUpdate", stranger, **asked, name="taken over").error == "RESOURCE_NOT_FOUND"
    assert a.own("ownProjectQuery", project_id="prj-1").data["name"] == "common"


def test_a_contract_of_others_opens_no_list(two: Two, stranger: Stranger) -> None:
    """8.2.2-b: the contract that a list names must be the caller's."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    signed_stranger(a, stranger)
    assert a.signed("projectList", stranger, contract_id=contract_id).error == "CONTRACT_NOT_FOUND"


def test_an_update_changes_what_it_names_and_reaches_the_partner(two: Two) -> None:
    """8.2.3-a, 8.2.3-b: other fields and projects stay; the partner's copy follows, also when it was down."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1", description="stays", type="PSI")
    a.own("ownProjectCreate", project_id="prj-2", name="other")
    a.own("ownDatasetCreate", dataset_id="ds-1", name="d", visibility="PUBLIC")
    reply = a.own("ownProjectUpdate", project_id="prj-1", name="new", dataset_ids=["ds-1"])
    assert reply.data["synced"] == [{"contract_id": contract_id, "delivery": "DELIVERED"}]
    a.network.down.add("node-b.test")
    waiting = a.own("ownProjectUpdate", project_id="prj-1", description="newer")
    assert waiting.data["synced"] == [{"contract_id": contract_id, "delivery": "PENDING"}]
    assert b.own("ownProjectQuery", project_id="prj-1").data["description"] == "stays"
    a.network.down.clear()
    a.clock.advance(60)
    a.node.pump()
    for one in two:
        found = one.own("ownProjectQuery", project_id="prj-1").data
        assert (found["name"], found["description"], found["type"]) == ("new", "newer", "PSI")
        assert found["datasets"] == {a.id: ["ds-1"]}
    assert a.own("ownProjectQuery", project_id="prj-2").data["name"] == "other"
    assert b.own("ownProjectUpdate", project_id="prj-1", name="mine").error == "NOT_YOURS"
    assert a.signed("projectUpdate", b.as_stranger(), contract_id=contract_id, project_id="prj-1").error == "NOT_YOURS"


def test_a_deleted_project_is_gone_and_its_partners_know(two: Two) -> None:
    """8.2.4-a: the id is unknown, the total falls by one, the approval has ended at both ends."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownProjectCreate", project_id="prj-2", name="kept")
    assert a.own("ownProjectDelete", project_id="prj-1").data == {}
    assert a.own("ownProjectQuery", project_id="prj-1").error == "RESOURCE_NOT_FOUND"
    assert a.own("ownProjectDelete", project_id="prj-1").error == "RESOURCE_NOT_FOUND"
    assert [record["project_id"] for record in a.own("ownProjectList").data["records"]] == ["prj-2"]
    ends = [one.own("ownProjectAuditList").data["records"][0] for one in two]
    assert [end["status"] for end in ends] == ["TERMINATED", "TERMINATED"]
    assert [end["end_reason"] for end in ends] == ["DELETED", "TERMINATED"]
    assert b.own("ownProjectQuery", project_id="prj-1").error == "RESOURCE_NOT_FOUND"
    assert b.own("ownPartnerProjectList", contract_id=contract_id).data["total"] == 0


def test_a_project_ends_with_its_period_and_its_contract(two: Two) -> None:
    """9.2-b-2: what was agreed for a time, or under a contract, is not shared afterwards."""
    a, b = two
    until = a.clock.now + DAY_MS
    contract_id = agree_project(a, b, "prj-1", limits={"time_limit": until})
    agree_project(a, b, "prj-2", contract_id=contract_id)
    a.clock.advance(86_401)
    shared = a.own("ownPartnerProjectList", contract_id=contract_id).data
    assert [record["project_id"] for record in shared["records"]] == ["prj-2"]
    b.own("ownContractTerminate", contract_id=contract_id)
    records = a.own("ownProjectAuditList").data["records"]
    assert [record["end_reason"] for record in records] == ["TERMINATED", "EXPIRED"]
    assert b.own("ownProjectQuery", project_id="prj-2").error == "RESOURCE_NOT_FOUND"


def test_an_id_of_somebody_else_is_not_taken_over(two: Two, stranger: Stranger) -> None:
    """8.2.1-b: a partner cannot offer a project under the id of this node's or another's."""
    a, b = two
    agree_project(a, b, "prj-1")
    contract_id = signed_stranger(b, stranger)
    offer = {"audit_id": "audit-x", "contract_id": contract_id, "project_id": "prj-1", "name": "fake"}
    assert b.signed("projectAuditApply", stranger, **offer).error == "ID_TAKEN"
    b.own("ownProjectCreate", project_id="prj-own", name="own")
    assert b.signed("projectAuditApply", stranger, **{**offer, "project_id": "prj-own"}).error == "ID_TAKEN"


def test_projects_survive_a_restart(tmp_path: object) -> None:
    """8.2.2-c: what was created is found by the next process."""
    for expected in (0, 1):
        with nodes("node-a", data={"node-a": tmp_path}) as (a,):
            assert a.own("ownProjectList").data["total"] == expected
            a.own("ownProjectCreate", project_id="prj-1", name="x")
