"""Datasets (8.7.1) and the permits that open them (9.2-b), on one node and between two."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reference_node.security.keys import PrivateKey
from tests.reference_node.pair import DAY_MS, Stranger, TestNode, nodes, sign_contract
from tests.reference_node.sharing import agree_project, signed_stranger

Two = tuple[TestNode, TestNode]
GIVEN = {
    "dataset_id": "ds-1",
    "name": "企业日用电量",
    "category": "用电数据",
    "count": 52000,
    "description": "逐日",
    "join_columns": "uscc",
    "column_metas": [{"name": "uscc", "data_type": "string", "distribution": "DISCRETE"}],
    "source": {"type": "FILE", "location": "secret/meter.csv"},
    "visibility": "PROTECTED",
}


def lend(owner: TestNode, partner: TestNode, contract_id: str, **terms: Any) -> dict[str, Any]:
    """Have ds-1 granted; return the permit as the partner holds it."""
    granted = owner.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds-1", **terms)
    assert granted.data.get("delivery") == "DELIVERED", granted
    records = partner.own("ownDatasetAuthList", mode="IN").data["records"]
    return dict(next(item for item in records if item["audit_id"] == granted.data["audit_id"])["resource_permit"])


def use(owner: TestNode, source: Stranger, contract_id: str, token_set: str, **query: Any) -> Any:
    """Ask the owner for ds-1 as a node, showing a token set."""
    fields = {"contract_id": contract_id, "dataset_id": "ds-1", **query}
    headers = owner.sign("datasetPubQuery", source, fields, token_set=token_set)
    return owner.raw("datasetPubQuery", headers, fields)


def shown(permit: dict[str, Any]) -> str:
    """A permit as x-mprac-token-set carries it."""
    return f"{permit['resource_id']}/{permit['resource_level']}/{permit['token']}"


def test_a_dataset_is_kept_changed_and_removed(two: Two) -> None:
    """8.7.1.1, 8.7.1.2-e: what was set is found, a change touches what it names, what was removed is gone."""
    a, _ = two
    assert a.own("ownDatasetCreate", **GIVEN).data == {"dataset_id": "ds-1"}
    found = a.own("ownDatasetQuery", dataset_id="ds-1").data
    assert {name: found[name] for name in GIVEN} == GIVEN
    assert (found["owner"], found["project_ids"]) == (a.id, [])
    assert a.own("ownDatasetCreate", **{**GIVEN, "name": "other"}).error == "ID_TAKEN"
    changed = a.own("ownDatasetUpdate", dataset_id="ds-1", count=1).data
    assert (changed["count"], changed["name"], changed["source"]) == (1, GIVEN["name"], GIVEN["source"])
    assert a.own("ownDatasetDelete", dataset_id="ds-1").data == {}
    for operation in ("ownDatasetQuery", "ownDatasetDelete"):
        assert a.own(operation, dataset_id="ds-1").error == "RESOURCE_NOT_FOUND"
    assert a.own("ownDatasetUpdate", dataset_id="ds-1", count=1).error == "RESOURCE_NOT_FOUND"


def test_a_dataset_is_private_unless_said_otherwise(two: Two) -> None:
    """9.2-b-1: nothing is shared by leaving something out."""
    a, b = two
    contract_id = sign_contract(a, b)
    dataset_id = a.own("ownDatasetCreate", name="d").data["dataset_id"]
    assert a.own("ownDatasetQuery", dataset_id=dataset_id).data["visibility"] == "PRIVATE"
    assert b.own("ownPartnerDatasetList", contract_id=contract_id).data["total"] == 0


def test_lists_select_by_project_visibility_and_keyword(two: Two) -> None:
    """8.7.1.2-b: the datasets of a project and no others, with a total of all pages."""
    a, _ = two
    for index, (visibility, project) in enumerate([("PUBLIC", "p"), ("PROTECTED", "p"), ("PUBLIC", "q")]):
        a.own(
            "ownDatasetCreate", dataset_id=f"ds-{index}", name=f"n{index}", visibility=visibility, project_ids=[project]
        )

    def ids(**query: Any) -> list[str]:
        data = a.own("ownDatasetList", **query).data
        assert data["total"] == len(data["records"])
        return [record["dataset_id"] for record in data["records"]]

    assert ids() == ["ds-2", "ds-1", "ds-0"]
    assert ids(project_id="p") == ["ds-1", "ds-0"]
    assert ids(project_id="p", visibility="PUBLIC") == ["ds-0"]
    assert ids(keyword="N1") == ["ds-1"]
    assert ids(project_id="none") == []
    a.own("ownDatasetUpdate", dataset_id="ds-0", project_ids=["q"])
    assert ids(project_id="q") == ["ds-2", "ds-0"]
    page = a.own("ownDatasetList", page_num=2, page_size=2).data
    assert ([record["dataset_id"] for record in page["records"]], page["total"]) == (["ds-0"], 3)


def test_a_dataset_in_use_is_not_removed(two: Two) -> None:
    """8.7.1.1: a project that has it, or a grant in force, keeps it."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", **GIVEN)
    a.own("ownProjectCreate", project_id="prj-1", name="p", dataset_ids=["ds-1"])
    assert a.own("ownDatasetDelete", dataset_id="ds-1").error == "IN_USE"
    a.own("ownProjectUpdate", project_id="prj-1", dataset_ids=[])
    audit_id = a.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds-1").data["audit_id"]
    assert a.own("ownDatasetDelete", dataset_id="ds-1").error == "IN_USE"
    a.own("ownDatasetAuditTerminate", audit_id=audit_id)
    assert a.own("ownDatasetDelete", dataset_id="ds-1").code == 0


def test_partners_see_what_is_public_and_never_where_it_lies(two: Two) -> None:
    """8.7.1.2-a, 8.7.1.2-d: public datasets without their source; the others do not exist."""
    a, b = two
    contract_id = sign_contract(a, b)
    for visibility in ("PUBLIC", "PROTECTED", "PRIVATE"):
        a.own("ownDatasetCreate", **{**GIVEN, "dataset_id": visibility.lower(), "visibility": visibility})
    listed = b.own("ownPartnerDatasetList", contract_id=contract_id).data
    assert ([record["dataset_id"] for record in listed["records"]], listed["total"]) == (["public"], 1)
    detail = b.own("ownPartnerDatasetQuery", contract_id=contract_id, dataset_id="public").data
    assert (detail["owner"], detail["column_metas"]) == (a.id, GIVEN["column_metas"])
    assert "secret" not in str(listed) + str(detail)
    for dataset_id in ("protected", "private", "none"):
        refused = b.own("ownPartnerDatasetQuery", contract_id=contract_id, dataset_id=dataset_id)
        assert refused.data["partner"]["error"] == "RESOURCE_NOT_FOUND"


def test_a_refusal_does_not_tell_what_exists(two: Two) -> None:
    """9.2-b: protected, private and absent datasets are refused in the same words, whatever token is shown."""
    a, b = two
    contract_id = sign_contract(a, b)
    for visibility in ("PROTECTED", "PRIVATE"):
        a.own("ownDatasetCreate", **{**GIVEN, "dataset_id": visibility.lower(), "visibility": visibility})
    for token_set in ("", "protected/3/abcdefghijklmnopqrst"):
        replies = [
            use(a, b.as_stranger(), contract_id, token_set, dataset_id=dataset_id)
            for dataset_id in ("none", "protected", "private")
        ]
        assert replies[0].error == "RESOURCE_NOT_FOUND"
        assert [(reply.msg, reply.data) for reply in replies] == [(replies[0].msg, replies[0].data)] * 3


def test_visibility_holds_as_soon_as_it_is_set(two: Two) -> None:
    """9.2-b-4: widening opens, narrowing closes at once, for grants too."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", **GIVEN)
    permit = lend(a, b, contract_id)
    as_b = b.as_stranger()
    a.own("ownDatasetUpdate", dataset_id="ds-1", visibility="PUBLIC")
    assert use(a, as_b, contract_id, "").code == 0
    assert b.own("ownPartnerDatasetList", contract_id=contract_id, scope="AUTHORISED").data["total"] == 0
    a.own("ownDatasetUpdate", dataset_id="ds-1", visibility="PRIVATE")
    assert use(a, as_b, contract_id, shown(permit)).error == "RESOURCE_NOT_FOUND"
    a.own("ownDatasetUpdate", dataset_id="ds-1", visibility="PROTECTED")
    assert use(a, as_b, contract_id, shown(permit)).code == 0


def test_an_active_grant_is_known_and_usable_at_both_ends(two: Two) -> None:
    """8.7.1.3-c, 8.7.1.2-c, 8.7.1.2-f: in force here, told there, listed on each side with its party and scope."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownDatasetCreate", **GIVEN)
    scope = {"type": "PROJECT", "project_id": "prj-1"}
    permit = lend(a, b, contract_id, auth_scope=scope, time_limit=a.clock.now + DAY_MS, times_limit=5)
    assert (permit["auth_scope"], permit["times_limit"]) == (scope, 5)
    for node, mode, other, partner in ((a, "OUT", "IN", b), (b, "IN", "OUT", a)):
        record = node.own("ownDatasetAuthList", mode=mode, keyword="用电").data["records"][0]
        assert (record["mode"], record["partner_node_id"], record["dataset_name"]) == (mode, partner.id, GIVEN["name"])
        assert record["resource_permit"] == permit
        assert node.own("ownDatasetAuthList", mode=other).data["total"] == 0
    listed = b.own("ownPartnerDatasetList", contract_id=contract_id, scope="AUTHORISED").data["records"]
    assert [(item["dataset_id"], item["auth_scope"], item["times_limit"]) for item in listed] == [("ds-1", scope, 5)]
    assert "source" not in listed[0]
    query = {"contract_id": contract_id, "dataset_id": "ds-1"}
    assert b.own("ownPartnerDatasetQuery", **query, project_id="prj-1").data["name"] == GIVEN["name"]
    nowhere = b.own("ownPartnerDatasetQuery", **query)
    assert nowhere.data["partner"]["error"] == "PERMIT_OUT_OF_SCOPE"
    assert a.own("ownDatasetAuthList", mode="OUT").data["records"][0]["uses"] == 1


def test_grants_name_what_may_be_granted(two: Two) -> None:
    """8.7.1.3-c: not a private or unknown dataset, not a project that the two do not share, not the past."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", **GIVEN)
    a.own("ownDatasetCreate", dataset_id="ds-2", name="hidden", visibility="PRIVATE")
    wanted = {"contract_id": contract_id, "dataset_id": "ds-1"}
    for change, error in (
        ({"dataset_id": "ds-2"}, "REQUEST_INVALID"),
        ({"dataset_id": "ds-none"}, "RESOURCE_NOT_FOUND"),
        ({"auth_scope": {"type": "PROJECT", "project_id": "prj-x"}}, "SCOPE_INVALID"),
        ({"time_limit": a.clock.now}, "EXPIRY_INVALID"),
        ({"contract_id": "contract-none"}, "CONTRACT_NOT_FOUND"),
    ):
        assert a.own("ownDatasetGrant", **{**wanted, **change}).error == error
    scope = {"type": "PROJECT", "project_id": "prj-x"}
    assert b.own("ownDatasetAuditApply", **wanted, auth_scope=scope).error == "SCOPE_INVALID"
    hidden = b.own("ownDatasetAuditApply", **{**wanted, "dataset_id": "ds-2"})
    assert hidden.data["partner"]["error"] == "RESOURCE_NOT_FOUND"
    assert a.own("ownDatasetAuditList").data["total"] == 0


def test_a_grant_is_taken_once_and_only_from_the_owner(two: Two, stranger: Stranger) -> None:
    """8.7.1.3-c: repeated it is one grant; of somebody else's dataset, or for another node, it is refused."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", **GIVEN)
    permit = lend(a, b, contract_id)
    audit_id = b.own("ownDatasetAuditList").data["records"][0]["audit_id"]
    dataset = {name: GIVEN[name] for name in ("dataset_id", "name", "category", "count", "description")}
    message = {"audit_id": audit_id, "contract_id": contract_id, "dataset": {**dataset, "owner": a.id}}
    message["resource_permit"] = permit
    assert b.signed("datasetGrant", a.as_stranger(), **message).code == 0
    assert b.own("ownDatasetAuditList").data["total"] == 1
    other = {**message, "audit_id": "audit-2"}
    lie = b.signed("datasetGrant", a.as_stranger(), **{**other, "dataset": {**dataset, "owner": "node-x"}})
    assert lie.error == "NOT_YOURS"
    elsewhere = {**other, "resource_permit": {**permit, "request_node_id": "node-x"}}
    assert b.signed("datasetGrant", a.as_stranger(), **elsewhere).error == "REQUEST_INVALID"
    mine = signed_stranger(b, stranger)
    assert b.signed("datasetGrant", stranger, **{**message, "contract_id": mine}).error == "ID_TAKEN"
    assert b.own("ownDatasetAuditList").data["total"] == 1


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("", "PERMIT_MISSING"),
        ("ds-1/3/{wrong}", "PERMIT_MISSING"),
        ("ds-1/2/{token}", "PERMIT_MISSING"),
        ("ds-2/3/{token}", "PERMIT_MISSING"),
        ("{token}", "PERMIT_MISSING"),
        ("ds-2/3/{wrong},ds-1/3/{token}", None),
    ],
)
def test_only_the_right_token_opens(two: Two, part: str, error: str | None) -> None:
    """9.2-b: token, layer and resource must fit, alone or among others."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", **GIVEN)
    permit = lend(a, b, contract_id)
    token = permit["token"]
    assert use(a, b.as_stranger(), contract_id, part.format(token=token, wrong=token[::-1] + "x")).error == error


def test_a_permit_is_of_one_node_and_one_dataset(two: Two, stranger: Stranger) -> None:
    """9.2-b-1: it opens nothing for another node, and nothing else of its owner."""
    a, b = two
    contract_id = sign_contract(a, b)
    for dataset_id in ("ds-1", "ds-2"):
        a.own("ownDatasetCreate", **{**GIVEN, "dataset_id": dataset_id})
    permit = lend(a, b, contract_id)
    mine = signed_stranger(a, stranger)
    assert use(a, stranger, mine, shown(permit)).error == "RESOURCE_NOT_FOUND"
    assert a.signed("datasetAuthList", stranger, contract_id=mine).data["total"] == 0
    for token_set in (shown(permit), f"ds-2/3/{permit['token']}"):
        assert use(a, b.as_stranger(), contract_id, token_set, dataset_id="ds-2").error == "RESOURCE_NOT_FOUND"


def test_period_number_and_withdrawal_end_a_permit(two: Two) -> None:
    """9.2-b-2, 9.2-b-3: each with its own refusal; what is refused does not count."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownDatasetCreate", **GIVEN)
    as_b = b.as_stranger()
    counted = lend(a, b, contract_id, times_limit=2)
    outcomes = [use(a, as_b, contract_id, token).error for token in (shown(counted), "", *[shown(counted)] * 2)]
    assert outcomes == [None, "PERMIT_MISSING", None, "PERMIT_EXHAUSTED"]
    timed = lend(a, b, contract_id, time_limit=a.clock.now + 1000)
    a.clock.advance(1)
    assert use(a, as_b, contract_id, shown(timed)).code == 0
    a.clock.advance(0.001)
    for _ in range(2):
        assert use(a, as_b, contract_id, shown(timed)).error == "PERMIT_EXPIRED"
        a.node.pump()
    revoked = lend(a, b, contract_id)
    audit_id = a.own("ownDatasetAuthList", mode="OUT").data["records"][0]["audit_id"]
    assert use(a, as_b, contract_id, shown(revoked)).code == 0
    a.own("ownDatasetAuditTerminate", audit_id=audit_id)
    assert use(a, as_b, contract_id, shown(revoked)).error == "PERMIT_REVOKED"
    listed = b.own("ownPartnerDatasetList", contract_id=contract_id, scope="AUTHORISED").data
    assert [item["audit_id"] for item in listed["records"]] == [
        item["audit_id"] for item in a.own("ownDatasetAuthList", mode="OUT").data["records"]
    ]
    assert a.own("ownDatasetAuthList", mode="OUT", status="TERMINATED").data["total"] == 2


def test_a_permit_does_not_outlive_its_contract(two: Two) -> None:
    """9.2-b-2: it ends with the contract and does not come back with the next one."""
    a, b = two
    until = a.clock.now + 10 * DAY_MS
    contract_id = sign_contract(a, b, expired_time=until)
    a.own("ownDatasetCreate", **GIVEN)
    permit = lend(a, b, contract_id)
    assert permit["time_limit"] == until
    a.own("ownContractTerminate", contract_id=contract_id)
    again = sign_contract(a, b)
    assert use(a, b.as_stranger(), again, shown(permit)).error == "PERMIT_REVOKED"
    assert use(a, b.as_stranger(), again, shown(lend(a, b, again))).code == 0


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_the_last_use_is_admitted_once(kind: str, tmp_path: Path) -> None:
    """9.2-b-2: of many uses at once exactly as many are admitted as the permit has left."""
    data = tmp_path / "a" if kind == "file" else None
    source = Stranger("node-s", PrivateKey.generate("SM3_SM2"))
    with nodes("node-a", data=data) as (a,):
        contract_id = signed_stranger(a, source)
        a.own("ownDatasetCreate", **GIVEN)
        a.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds-1", times_limit=5)
        record = a.own("ownDatasetAuthList", mode="OUT").data["records"][0]
        token_set = shown(record["resource_permit"])
        with ThreadPoolExecutor(8) as pool:
            errors = list(pool.map(lambda _: use(a, source, contract_id, token_set).error, range(16)))
        assert sorted(str(error) for error in errors) == ["None"] * 5 + ["PERMIT_EXHAUSTED"] * 11
        assert a.own("ownDatasetAuthList", mode="OUT").data["records"][0]["uses"] == 5


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_of_a_decision_and_a_withdrawal_exactly_one_wins(kind: str, tmp_path: Path) -> None:
    """8.7.1.3-b, 8.7.1.3-d: an application is either decided or withdrawn, and the loser is told so."""
    data = tmp_path / "a" if kind == "file" else None
    source = Stranger("node-s", PrivateKey.generate("SM3_SM2"))
    with nodes("node-a", data=data, attempts=1) as (a,), ThreadPoolExecutor(2) as pool:
        contract_id = signed_stranger(a, source)
        a.own("ownDatasetCreate", **GIVEN)
        for number in range(8):
            audit_id = f"audit-{number}"
            a.signed("datasetAuditApply", source, audit_id=audit_id, contract_id=contract_id, dataset_id="ds-1")
            decided = pool.submit(a.own, "ownDatasetAuditConfirm", audit_id=audit_id, status="APPROVED")
            withdrawn = pool.submit(a.signed, "datasetAuditCancel", source, audit_id=audit_id)
            errors = [decided.result().error, withdrawn.result().error]
            assert sorted(str(error) for error in errors) == ["AUDIT_NOT_PENDING", "None"]
            status = a.own("ownDatasetAuditQuery", audit_id=audit_id).data["status"]
            assert status == ("APPROVED" if errors[0] is None else "TERMINATED")
