"""What happens to acts and to evidence when something fails, and when it has served its term (9.2-d-3, 9.2-d-4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from conformance.checks import bundle as harness
from reference_node.evidence.shelf import FolderShelf
from reference_node.security.errors import KeyDestroyed
from reference_node.store.evidence import EvidenceRow
from tests.reference_node.pair import TestNode, nodes, sign_contract

DAY = 86_400.0
TERM = 183


def created(node: TestNode, name: str, **fields: Any) -> str | None:
    """Register a dataset; return the name of the refusal, if it is one."""
    return node.own("ownDatasetCreate", dataset_id=name, name="ds", visibility="PUBLIC", **fields).error


def listed(node: TestNode) -> set[str]:
    """Return the ids of the datasets."""
    return {row["dataset_id"] for row in node.own("ownDatasetList", page_size=500).data["records"]}


def verified(node: TestNode) -> dict[str, Any]:
    """Verify the whole chain."""
    return node.audit("ownEvidenceVerify").data


def test_a_full_disk_refuses_the_act_and_loses_nothing(tmp_path: Path) -> None:
    """9.2-d-4: with a full database an act is refused with 503; what was kept verifies, and with room it goes on."""
    with nodes("node-a", data=tmp_path / "node", threads=1) as (node,):
        engine = node.node.store.engine
        for number in range(3):
            assert created(node, f"before-{number}") is None
        with engine.begin() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        limit: dict[str, int] = {"pages": pages}

        def full(connection: Any, _record: Any, _proxy: Any) -> None:
            connection.execute(f"PRAGMA max_page_count = {limit['pages']}")

        event.listen(engine, "checkout", full)
        outcomes = [created(node, f"full-{number}", description="x" * 1000) for number in range(40)]
        assert set(outcomes) == {None, "STORE_UNAVAILABLE"}
        assert outcomes[-1] == "STORE_UNAVAILABLE"
        limit["pages"] = 1_000_000
        kept = {f"full-{number}" for number, outcome in enumerate(outcomes) if outcome is None}
        assert listed(node) == {"before-0", "before-1", "before-2", *kept}
        told = verified(node)
        assert (told["intact"], told["records"]) == (True, 3 + len(kept))
        assert created(node, "after") is None


@pytest.mark.parametrize("failure", [OSError("no space left on device"), KeyDestroyed("closed")])
def test_an_act_whose_record_cannot_be_written_is_undone(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """9.2-d-4: no act without a record: both are undone, the state says so, and a later act is written again."""
    with nodes("node-a", "node-b") as (a, b):
        contract_id = sign_contract(a, b)

        def broken(*_args: Any, **_more: Any) -> bytes:
            raise failure

        keeper = b.node.evidence.keeper
        with monkeypatch.context() as patch:
            patch.setattr(type(keeper), "_append", broken)
            reply = b.signed("contractTerminate", a.as_stranger(), contract_id=contract_id)
            assert (reply.status, reply.error) == (503, "STORE_UNAVAILABLE")
            assert created(b, "lost") == "STORE_UNAVAILABLE"
        assert b.contract(contract_id)["status"] == "APPROVED"
        assert listed(b) == set()
        assert b.own("ownEvidenceHealth").data["status"] == "FAILING"
        assert verified(b)["intact"] is True
        assert created(b, "kept") is None


def test_nothing_is_done_on_a_chain_whose_head_was_changed() -> None:
    """9.2-d-4: without a sound head no record can follow, so no act is carried out until the chain is mended."""
    with nodes("node-a") as (node,):
        assert created(node, "one") is None
        node.own("ownEvidenceCopy")
        with node.node.store.engine.begin() as connection:
            connection.execute(text("UPDATE evidence_head SET hash = 'x'"))
        assert created(node, "two") == "STORE_UNAVAILABLE"
        assert node.own("ownEvidenceHealth").data["status"] == "TAMPERED"
        assert node.audit("ownEvidenceRepair").data["intact"] is True
        assert created(node, "two") is None


def test_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    """9.2-d-2: eight threads, a hundred acts: every act has its record, and the chain has neither gap nor fork."""
    with nodes("node-a", data=tmp_path / "node", evidence_checkpoint_records=10) as (node,):
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda number: created(node, f"ds-{number}"), range(100)))
        assert outcomes == [None] * 100
        told = verified(node)
        assert (told["intact"], told["records"], told["checkpoints"]) == (True, 100, 10)
        rows = node.audit("ownEvidenceList", act="dataset", page_size=500).data["records"]
        assert {row["subjects"]["dataset_id"] for row in rows} == {f"ds-{number}" for number in range(100)}


def test_evidence_survives_a_restart(tmp_path: Path) -> None:
    """9.2-d-2: the chain goes on where it stood, with the same auditor's token."""
    with nodes("node-a", data=tmp_path / "node") as (node,):
        created(node, "one")
        token = node.node.evidence.token
        assert (tmp_path / "node" / "auditor-token").stat().st_mode & 0o077 == 0
    with nodes("node-a", data=tmp_path / "node") as (node,):
        created(node, "two")
        assert node.node.evidence.token == token
        told = verified(node)
        assert (told["intact"], told["records"]) == (True, 2)


def test_evidence_is_destroyed_at_the_end_of_its_term_and_not_before() -> None:
    """9.2-d-3: the contents and every copy are unreadable, the chain still verifies, the destruction is on record."""
    with nodes("node-a", evidence_segment_days=1) as (node,):
        created(node, "old")
        node.own("ownEvidenceCopy")
        (before,) = node.audit("ownEvidenceRestore", first_seq=1, last_seq=1, reason="audit").data["records"]
        node.clock.advance(TERM * DAY - 60)
        created(node, "young")
        assert node.audit("ownEvidenceDestroy").data == {"segments": 0, "records": 0}
        node.clock.advance(120)
        assert node.audit("ownEvidenceDestroy").data == {"segments": 1, "records": 2}
        told = node.audit("ownEvidenceRestore", first_seq=1, last_seq=3, reason="audit").data["records"]
        assert [row["state"] for row in told] == ["DESTROYED", "DESTROYED", "SOUND"]
        assert "content" not in told[0]
        assert told[0]["hash"] == before["hash"]
        assert verified(node)["intact"] is True
        assert node.audit("ownEvidenceRepair").data["intact"] is True
        _unreadable(node)
        (row,) = node.audit("ownEvidenceList", act="evidence.destroyed").data["records"]
        said = node.audit("ownEvidenceRestore", first_seq=row["seq"], last_seq=row["seq"], reason="audit")
        details = said.data["records"][0]["content"]["details"]
        assert {name: details[name] for name in ("first", "last", "records")} == {"first": 1, "last": 2, "records": 2}
        text_ = node.audit("ownEvidenceExport", first_seq=1, content=True, reason="audit").data["bundle"]
        assert harness.problems(text_) == []


def _unreadable(node: TestNode) -> None:
    """Show that neither the table nor the copy has anything of the first record that could be opened."""
    with node.node.store.read() as session:
        row = session.get(EvidenceRow, 1)
        assert row is not None
        assert row.sealed is None
    line = node.node.evidence.auditing.backup.sound(1)
    assert line is not None
    assert line.sealed is not None
    with pytest.raises(KeyDestroyed):
        node.node.evidence.keeper.open(line.record, line.sealed)


def test_a_destruction_that_failed_half_way_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """9.2-d-3: recorded first, destroyed then; a key that is left over is destroyed by the next attempt."""
    with nodes("node-a") as (node,):
        created(node, "old")
        node.clock.advance((TERM + 2) * DAY)
        created(node, "young")
        vault = node.node.vault
        with monkeypatch.context() as patch:
            patch.setattr(type(vault), "destroy_key", lambda _self, _key: (_ for _ in ()).throw(OSError("full")))
            with pytest.raises(OSError, match="full"), node.node.store.session() as session:
                node.node.evidence.keeping.destroy_expired(session)
        assert verified(node)["intact"] is False
        assert node.audit("ownEvidenceDestroy").data == {"segments": 0, "records": 0}
        assert verified(node)["intact"] is True


def test_chores_sign_copy_and_destroy_in_time() -> None:
    """9.2-d-3, 9.2-d-4: within the configured intervals, without anybody asking."""
    with nodes("node-a") as (node,):
        created(node, "one")
        created(node, "two")
        node.node.pump()
        told = node.own("ownEvidenceHealth").data
        assert (told["signed_seq"], told["backup"]["covered_seq"]) == (2, 2)
        node.clock.advance((TERM + 2) * DAY)
        created(node, "three")
        node.node.pump()
        assert [row["act"] for row in node.audit("ownEvidenceList", act="evidence").data["records"]] == [
            "evidence.destroyed"
        ]
        assert node.own("ownEvidenceHealth").data["backup"]["covered_seq"] == 4


def test_a_second_place_that_fails_is_reported_and_tried_again(tmp_path: Path) -> None:
    """9.2-d-4: copying is refused with 503 and shown as failing; with the place back it covers everything."""
    place = tmp_path / "second"
    place.write_text("not a folder")
    with nodes("node-a", evidence_backup=place) as (node,):
        created(node, "one")
        reply = node.own("ownEvidenceCopy")
        assert (reply.status, reply.error) == (503, "STORE_UNAVAILABLE")
        assert node.own("ownEvidenceHealth").data["backup"] == {"covered_seq": 0, "failing": True}
        place.unlink()
        assert node.own("ownEvidenceCopy").data == {"copied": 1, "covered_seq": 1}
        assert node.own("ownEvidenceHealth").data["backup"] == {"covered_seq": 1, "failing": False}
        assert node.own("ownEvidenceCopy").data == {"copied": 0, "covered_seq": 1}
        assert [path.stat().st_mode & 0o077 for path in place.iterdir()] == [0]


def test_a_copy_that_does_not_read_back_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """9.2-d-4: what was written is read again before it gets its name."""
    shelf = FolderShelf(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _self: b"other")
        with pytest.raises(OSError, match="does not read as it was written"):
            shelf.put("evidence-000000000001-000000000002.jsonl", b"text")
    assert shelf.names() == []


def test_reading_leaves_no_evidence(two: tuple[TestNode, TestNode]) -> None:
    """9.2-d: what changes nothing writes nothing, so that a query costs what it did."""
    a, b = two
    contract_id = sign_contract(a, b)
    before = b.own("ownEvidenceHealth").data["last_seq"]
    for _ in range(3):
        assert b.signed("contractQuery", a.as_stranger(), contract_id=contract_id).code == 0
        assert b.own("ownContractList").code == 0
    assert b.own("ownEvidenceHealth").data["last_seq"] == before
