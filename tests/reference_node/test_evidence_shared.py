"""Evidence in SQLite and PostgreSQL, written by replicas at once; what goes with a project is on record (9.2-d)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.checks import bundle as harness
from reference_node.app import create_app
from reference_node.config import load_config
from reference_node.evidence.keeper import DAY_MS
from tests.reference_node.jobbing import dag, part
from tests.reference_node.pair import ManualClock, TestNode, at_home, nodes, sign_contract

EACH = 12
PLAN = dag(part("a", "psi"))


@pytest.fixture(params=["sqlite", "postgresql"])
def owners(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[TestNode, list[TestNode]]]:
    """A partner, and the nodes on one database: two replicas with PostgreSQL, one node with SQLite."""
    clock = ManualClock()
    shared: dict[str, Any] = request.getfixturevalue("shared") if request.param == "postgresql" else {}
    with nodes("node-a", clock=clock) as (partner,):
        found = []
        for name in ("one", "two") if shared else ("one",):
            settings = {**shared, "node_id": "node-r", "data": tmp_path / name, "address": "http://node-r.test"}
            app = create_app(
                load_config(None, background=False, **settings),
                clock=clock,
                outbound=partner.network,
                resolver=at_home,
            )
            partner.network.apps["node-r.test"] = app
            found.append(TestNode(app, "http://node-r.test", partner.network, clock))
        yield partner, found
        for each in found:
            each.node.close()


pytestmark = pytest.mark.slow


def test_the_chain_is_whole_whoever_writes(owners: tuple[TestNode, list[TestNode]]) -> None:
    """Acts at the same time, at whichever replica, are links of one chain; the export verifies by the harness."""
    partner, found = owners
    contract_id = sign_contract(partner, found[0])

    def work(node: TestNode, name: str) -> None:
        for number in range(EACH):
            assert node.own("ownProjectCreate", project_id=f"{name}-{number}", name=name).code == 0

    threads = [threading.Thread(target=work, args=(found[at % len(found)], f"prj-{at}")) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for node in found:
        assert node.audit("ownEvidenceVerify").data["intact"]
        acts = node.audit("ownEvidenceList", act="project.registered", page_size=1).data
        assert acts["total"] == 4 * EACH
        kept = node.audit("ownEvidenceList", subject_id=contract_id).data["records"]
        assert [row["act"] for row in kept] == ["contract.signed", "contract.applied"]
    text = found[-1].audit("ownEvidenceExport", first_seq=1, content=True, reason="audit").data["bundle"]
    assert harness.problems(text) == []


def test_whatever_goes_with_a_project_is_on_record_by_itself(owners: tuple[TestNode, list[TestNode]]) -> None:
    """The deletion of a project leaves a record of it and of each of its flows, found by either."""
    _, (node, *_rest) = owners
    node.own("ownProjectCreate", project_id="prj-1", name="p")
    made = [node.own("ownFlowCreate", project_id="prj-1", name="f", dag=PLAN) for _ in range(3)]
    assert node.own("ownProjectDelete", project_id="prj-1").code == 0
    rows = node.audit("ownEvidenceList", subject_id="prj-1", page_size=100).data["records"]
    wanted = {"project.registered": 1, "flow.registered": 3, "flow.removed": 3, "project.removed": 1}
    assert Counter(row["act"] for row in rows) == wanted
    for reply in made:
        (removed,) = node.audit("ownEvidenceList", subject_id=reply.data["flow_id"], act="flow.removed").data["records"]
        assert removed["actor"] == {"role": "OPERATOR"}


def test_what_is_changed_or_past_its_term_is_told(owners: tuple[TestNode, list[TestNode]]) -> None:
    """A record past its term loses its content and the chain stays whole; one changed by hand is named."""
    partner, (node, *_rest) = owners
    sign_contract(partner, node)
    partner.clock.now += 200 * DAY_MS
    node.own("ownProjectCreate", project_id="prj-1", name="p")
    assert node.audit("ownEvidenceDestroy").data["records"] == 2
    states = [
        row["state"] for row in node.audit("ownEvidenceRestore", first_seq=1, last_seq=3, reason="x").data["records"]
    ]
    assert states == ["DESTROYED", "DESTROYED", "SOUND"]
    assert node.audit("ownEvidenceVerify").data["intact"]
    with node.node.store.begin() as session:
        session.connection().exec_driver_sql("UPDATE evidence SET act = 'contract.refused' WHERE seq = 2")
    told = node.audit("ownEvidenceVerify").data
    assert not told["intact"]
    assert {"where": "record 2", "what": "was changed"} in told["problems"]
