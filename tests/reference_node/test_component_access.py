"""For whom components are there (9.2-b): what partners see and run, what is taken back, what configuration says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reference_node.app import create_app
from reference_node.config import load_config
from reference_node.errors import ConfigError
from tests.reference_node.jobbing import (
    ECHO,
    Worker,
    agree_flow,
    allied,
    config,
    contract_between,
    created,
    dag,
    part,
    settle,
    workers,
)
from tests.reference_node.test_components import described

Three = tuple[Worker, Worker, Worker]
KEPT = {"code": "kept", "version": "1.0.0"}
PLAN = dag({**part("a", "kept"), "provider": "maker", "output": [{"key": "joined", "type": "dataset"}]})


def kept(**fields: Any) -> dict[str, Any]:
    """The registration of a command without inputs."""
    body = described(code="kept", params=[], address="sleep 600", address_type="COMMAND", **fields)
    return {**body, "component_info": {**body["component_info"], "inputData": []}}


@pytest.fixture
def three() -> Iterator[Three]:
    """An owner and two partners, all with the component; the owner's is there for node-a only."""
    with workers("owner", "node-a", "node-b") as (owner, a, b):
        allied(owner, a, b)
        for node in (a, b):
            assert node.own("ownComponentRegister", **kept()).code == 0
        assert owner.own("ownComponentRegister", **kept(visibility="PROTECTED", partners=["node-a"])).code == 0
        yield owner, a, b


def seen(owner: Worker, partner: Worker, code: str = "kept") -> tuple[bool, bool]:
    """Whether a partner finds a component in the list, and by asking for it."""
    contract_id = contract_between(owner, partner)
    records = partner.own("ownPartnerComponentList", contract_id=contract_id, page_size=500).data["records"]
    asked = partner.own("ownPartnerComponentQuery", contract_id=contract_id, code=code, version="1.0.0")
    return code in [item["code"] for item in records], asked.code == 0


def offered(owner: Worker, partner: Worker, project: str) -> str | None:
    """Why a job of the partner's with the owner is rejected, on a flow that the owner has approved."""
    job_id = created(partner, owner, dag=PLAN, project=project)
    return partner.job(job_id).get("detail")


def test_a_component_is_there_for_the_named_partner_only(three: Three) -> None:
    """9.2-b-1: another partner does not find it, and its job is refused in spite of the approved flow."""
    owner, a, b = three
    assert (seen(owner, a), seen(owner, b)) == ((True, True), (False, False))
    assert offered(owner, a, "prj-a") is None
    assert offered(owner, b, "prj-b") == "owner: PARTNER_REFUSED PERMIT_OUT_OF_SCOPE"
    own = next(row for row in owner.own("ownComponentList").data["records"] if row["code"] == "kept")
    assert (own["visibility"], own["partners"], own["address_type"]) == ("PROTECTED", ["node-a"], "COMMAND")
    found = owner.own("ownComponentQuery", **KEPT).data
    assert (found["partners"], found["component_info"]) == (["node-a"], kept()["component_info"])


def test_a_component_that_is_not_there_is_refused_like_one_that_never_was(three: Three) -> None:
    """9.2-b: the refusal of a query does not tell that the component exists."""
    owner, _, b = three
    asked = {"contract_id": contract_between(owner, b), "version": "1.0.0"}
    hidden, unknown = (owner.signed("componentQuery", b.as_stranger(), code=code, **asked) for code in ("kept", "zz"))
    assert (hidden.error, hidden.data) == ("RESOURCE_NOT_FOUND", unknown.data)


def test_a_change_is_in_force_at_once(three: Three) -> None:
    """9.2-b-3, 9.2-b-4: what is taken back from one node and opened to another is so for the next call and job."""
    owner, a, b = three
    changed = owner.own("ownComponentUpdate", **KEPT, visibility="PROTECTED", partners=["node-b"])
    assert changed.data == {"visibility": "PROTECTED", "partners": ["node-b"]}
    assert (seen(owner, a), seen(owner, b)) == ((False, False), (True, True))
    assert offered(owner, a, "prj-a") == "owner: PARTNER_REFUSED PERMIT_OUT_OF_SCOPE"
    assert offered(owner, b, "prj-b") is None
    assert owner.own("ownComponentUpdate", **KEPT, visibility="PUBLIC").data == {"visibility": "PUBLIC"}
    assert (seen(owner, a), seen(owner, b)) == ((True, True), (True, True))
    assert owner.own("ownComponentRegister", **kept(visibility="PROTECTED", partners=["node-a"])).error == "ID_TAKEN"


def test_a_running_task_ends_when_its_component_is_taken_back(three: Three) -> None:
    """9.2-b-3: the component is stopped at once, and the initiator learns why."""
    owner, a, _ = three
    job_id = created(a, owner, dag=PLAN)
    assert a.own("ownJobStart", job_id=job_id).code == 0
    assert owner.runner.names == ["a"]
    assert owner.own("ownComponentUpdate", **KEPT, visibility="PRIVATE").code == 0
    assert owner.runner.names == []
    settle(owner, a)
    assert owner.tasks(job_id)["a"]["end_reason"] == "PERMIT_REVOKED"
    assert (a.job(job_id)["job_status"], a.job(job_id)["end_reason"]) == ("FINISHED", "PERMIT_REVOKED")


def test_a_job_that_was_taken_does_not_begin_after_a_withdrawal(three: Three) -> None:
    """9.2-b-3: a task that has not begun yet is ended before it does."""
    owner, a, _ = three
    job_id = created(a, owner, dag=PLAN)
    assert owner.own("ownComponentUpdate", **KEPT, visibility="PROTECTED", partners=[]).code == 0
    a.own("ownJobStart", job_id=job_id)
    settle(owner, a)
    assert (owner.runner.works, a.job(job_id)["end_reason"]) == ({}, "PERMIT_REVOKED")


def test_the_owner_runs_its_own_component(three: Three) -> None:
    """A component that is there for nobody else runs in the jobs that its owner initiates."""
    owner, a, _ = three
    owner.own("ownComponentUpdate", **KEPT, visibility="PRIVATE")
    job_id = created(owner, a, dag=PLAN)
    assert owner.own("ownJobStart", job_id=job_id).code == 0
    assert (owner.runner.names, a.runner.names) == (["a"], ["a"])


@pytest.mark.parametrize(
    "opened",
    [
        {"visibility": "PROTECTED"},
        {"visibility": "PUBLIC", "partners": ["node-a"]},
        {"visibility": "PROTECTED", "partners": ["no id"]},
        {"partners": ["node-a"]},
    ],
)
def test_nodes_are_named_with_a_protected_component_and_with_no_other(three: Three, opened: dict[str, Any]) -> None:
    """A change or registration that says too little or too much is refused."""
    owner, _, _ = three
    assert owner.own("ownComponentUpdate", **KEPT, **opened).error == "REQUEST_INVALID"
    assert owner.own("ownComponentRegister", **kept(**opened)).error == "REQUEST_INVALID"
    assert owner.own("ownComponentQuery", **KEPT).data["partners"] == ["node-a"]


def test_components_of_the_node_are_listed_after_the_registered_ones(three: Three) -> None:
    """8.6.2-c: they are counted, searched, paged and described as the registered ones are."""
    owner, a, _ = three
    listed = owner.own("ownComponentList").data
    codes = [row["code"] for row in listed["records"]]
    assert (codes, listed["total"]) == (["kept", ECHO, "follow", "join"], 4)
    assert [row["address_type"] for row in listed["records"][1:]] == ["BUILT_IN"] * 3
    assert listed["statistics"] == {"by_category": {"求交": 1, "UNSPECIFIED": 3}, "by_engine": {"own": 1, "hutong": 3}}
    pages = [owner.own("ownComponentList", page_num=n, page_size=3).data["records"] for n in (1, 2, 3)]
    assert [row["code"] for page in pages for row in page] == codes
    assert [row["code"] for row in owner.own("ownComponentList", keyword="FOL").data["records"]] == ["follow"]
    assert owner.own("ownComponentQuery", code=ECHO, version="1.0.0").data["address_type"] == "BUILT_IN"
    assert owner.own("ownComponentHealth", code=ECHO, version="1.0.0").data["status"] == "UP"
    wrong = owner.own("ownComponentValidate", code=ECHO, version="1.0.0", params={"times": "x"}).data
    assert [item["pointer"] for item in wrong["problems"]] == ["/params/times"]
    assert seen(owner, a, ECHO) == (True, True)
    for operation, more in (("ownComponentDeregister", {}), ("ownComponentUpdate", {"visibility": "PRIVATE"})):
        refused = owner.own(operation, code=ECHO, version="1.0.0", **more)
        assert (refused.error, refused.data["pointer"]) == ("REQUEST_INVALID", "/code")


def test_the_configuration_says_for_whom_a_component_of_the_node_is_there() -> None:
    """9.2-b-4: others neither find nor run it, the node itself does; one that is not named is open."""
    allow = {"owner": {ECHO: ["node-a"], "join": []}}
    with workers("owner", "node-a", "node-b", component_allow=allow) as (owner, a, b):
        allied(owner, a, b)
        assert (seen(owner, a, ECHO), seen(owner, b, ECHO)) == ((True, True), (False, False))
        assert (seen(owner, a, "join"), seen(owner, b, "follow")) == ((False, False), (True, True))
        plan = dag(part("a"))
        details = []
        for node in (a, b):
            flow_id = agree_flow(node, owner, dag=plan, project=f"prj-{node.id}")
            made = node.own("ownJobCreate", flow_id=flow_id, dag=plan, config=config(node, owner))
            details.append(node.job(made.data["job_id"]).get("detail"))
        assert details == [None, "owner: PARTNER_REFUSED PERMIT_OUT_OF_SCOPE"]
        assert owner.job(created(owner, b, dag=plan, project="prj-own")).get("detail") is None
        own = {row["code"]: row for row in owner.own("ownComponentList").data["records"]}
        assert (own[ECHO]["partners"], own["join"]["partners"], own["follow"]["visibility"]) == (
            ["node-a"],
            [],
            "PUBLIC",
        )


def test_where_no_approval_is_demanded_a_job_does_not_learn_of_a_component() -> None:
    """9.2-b: without an approval nobody has told the initiator of the component, so it does not exist for it."""
    allow = {"owner": {ECHO: []}}
    with workers("owner", "node-a", component_allow=allow, job_approval="none") as (owner, a):
        allied(owner, a)
        job_id = created(a, owner, dag=dag(part("a")))
        assert a.job(job_id)["detail"] == "owner: PARTNER_REFUSED RESOURCE_NOT_FOUND"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('intersektion = ["node-a"]', "no component intersektion comes with the node"),
        ('intersection = "node-a"', "a list of node ids for each name"),
        ('intersection = ["no id"]', "a list of node ids for each name"),
    ],
)
def test_a_configuration_that_would_protect_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A misspelt component would stay open, so the node does not start with it."""
    path = tmp_path / "node.toml"
    path.write_text(f"[components.allow]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        create_app(load_config(path))
