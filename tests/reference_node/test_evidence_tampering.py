"""Whatever is changed of the evidence is found, by the node and in what it exports, and mended from the copies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from conformance.checks import bundle as harness
from reference_node.evidence import bundles, verifying
from reference_node.evidence.bundles import BundleDamaged
from reference_node.evidence.records import GENESIS, Record, commitment
from reference_node.security.keys import PrivateKey
from reference_node.store.evidence import CheckpointRow, EvidenceHeadRow, EvidenceRow
from tests.reference_node.pair import TestNode, nodes

TABLES = (EvidenceRow.__table__, CheckpointRow.__table__, EvidenceHeadRow.__table__)
SEED = 20261
SAMPLES = [100, pytest.param(1000, marks=pytest.mark.slow)]


@contextmanager
def kept(**more: Any) -> Iterator[TestNode]:
    """A node with five records and three checkpoints, of which all but the last are copied."""
    with nodes("node-a", evidence_checkpoint_records=2, **more) as (node,):
        for number in range(4):
            node.own("ownDatasetCreate", dataset_id=f"ds-{number}", name="ds", visibility="PUBLIC")
        assert node.own("ownEvidenceCopy").data["copied"] == 4
        node.own("ownDatasetCreate", dataset_id="ds-4", name="ds", visibility="PUBLIC")
        yield node


def problems(node: TestNode) -> list[tuple[str, str]]:
    """Return what a verification of the whole chain finds."""
    with node.node.store.read() as session:
        return verifying.verify(node.node.evidence.keeper, session).problems


def change(node: TestNode, statement: str, **values: Any) -> None:
    """Change the database past the node."""
    with node.node.store.engine.begin() as connection:
        connection.execute(text(statement), values)


def _places(node: TestNode) -> list[tuple[str, str, int, int]]:
    """Return every byte of the evidence: table, column, rank of the row, byte."""
    found = []
    with node.node.store.engine.connect() as connection:
        for table in TABLES:
            for rank, row in enumerate(connection.execute(table.select().order_by(*table.primary_key))):
                for column, value in row._mapping.items():
                    found += [(table.name, column, rank, at) for at in range(len(_bytes(value)))]
    return found


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _flip(node: TestNode, place: tuple[str, str, int, int], bit: int) -> tuple[str, dict[str, Any]]:
    """Flip one bit of one byte; return how to put it back."""
    table, column, rank, at = place
    with node.node.store.engine.begin() as connection:
        key, value = connection.execute(
            text(f"SELECT rowid, {column} FROM {table} ORDER BY 1 LIMIT 1 OFFSET :rank"), {"rank": rank}
        ).one()
        plain = bytearray(_bytes(value))
        plain[at] ^= 1 << bit
        changed = ":value" if isinstance(value, bytes) else "CAST(:value AS TEXT)"
        fields = {"value": bytes(plain), "key": key}
        connection.execute(text(f"UPDATE {table} SET {column} = {changed} WHERE rowid = :key"), fields)
    # the key itself may be what was changed, so the row is found by its place
    return f"UPDATE {table} SET {column} = :value WHERE rowid = :key", {"value": value, "key": key}


@pytest.mark.parametrize("samples", SAMPLES)
def test_every_flipped_byte_of_the_tables_is_found(samples: int) -> None:
    """9.2-d-2: one bit of any byte of records, contents, checkpoints and head; put back, all is sound again."""
    with kept() as node:
        assert problems(node) == []
        chance = random.Random(SEED)
        places = _places(node)
        assert len(places) > 3000
        missed = []
        for place in chance.sample(places, samples):
            bit = chance.randrange(8)
            try:
                back = _flip(node, place, bit)
            except IntegrityError:  # the database itself refuses a number that stands twice
                continue
            if not problems(node):
                missed.append((*place, bit))
            change(node, back[0], **back[1])
        assert missed == []
        assert problems(node) == []
        assert node.own("ownEvidenceHealth").data["status"] == "TAMPERED"


@pytest.mark.parametrize("samples", SAMPLES)
def test_every_flipped_byte_of_a_bundle_is_found_by_both(samples: int) -> None:
    """9.2-d-2: an export with contents, one bit flipped anywhere, passes neither reader."""
    with kept() as node:
        whole = node.audit("ownEvidenceExport", first_seq=1, content=True, reason="audit").data["bundle"].encode()
    chance = random.Random(SEED)
    for at in chance.sample(range(len(whole)), samples):
        bent = bytearray(whole)
        bent[at] ^= 1 << chance.randrange(8)
        with pytest.raises(BundleDamaged):
            bundles.read(bytes(bent))
        assert harness.problems(bytes(bent).decode("utf-8", "surrogateescape")), at
    assert bundles.read(whole).head["last"] == 5


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM evidence WHERE seq = 3",
        "DELETE FROM evidence WHERE seq = 5",
        "DELETE FROM evidence",
        "DELETE FROM evidence_head",
        "DELETE FROM evidence_checkpoints WHERE seq = 3",
        "DELETE FROM evidence_checkpoints WHERE seq = 5",
        "UPDATE evidence SET sealed = NULL WHERE seq = 2",
        "UPDATE evidence SET sealed = (SELECT sealed FROM evidence WHERE seq = 1) WHERE seq = 2",
        "UPDATE evidence SET act = 'dataset.changed' WHERE seq = 2",
        "UPDATE evidence SET at = 5 WHERE seq = 1",
        "UPDATE evidence_head SET seq = 4, hash = (SELECT hash FROM evidence WHERE seq = 4)",
    ],
)
def test_what_was_taken_away_moved_or_replaced_is_found(statement: str) -> None:
    """9.2-d-2: rows cut out, cut off, emptied, exchanged or put back."""
    with kept() as node:
        change(node, statement)
        assert problems(node) != []
        assert node.own("ownEvidenceHealth").data["status"] == "TAMPERED"


def _forge(node: TestNode) -> None:
    """Make another chain of the records, as somebody with the database and without the keys can."""
    keeper, previous = node.node.evidence.keeper, GENESIS
    with node.node.store.read() as session:
        rows = list(verifying.rows_of(session))
    for row in rows:
        record = replace(keeper.record_of(row), at=row.at - 1, previous=previous)
        fields = {"at": record.at, "previous": previous, "hash": record.hash, "seq": record.seq}
        change(node, "UPDATE evidence SET at = :at, previous = :previous, hash = :hash WHERE seq = :seq", **fields)
        previous = record.hash
    change(node, "UPDATE evidence_head SET hash = :hash", hash=previous)


def test_a_chain_that_was_forged_whole_is_found() -> None:
    """9.2-d-2: whoever recomputes all hashes lacks the keys: contents do not open, checkpoints and head do not hold."""
    with kept() as node:
        _forge(node)
        found = {where.split()[0] for where, _what in problems(node)}
        assert found == {"record", "checkpoint", "head"}


def test_a_checkpoint_of_another_key_is_found() -> None:
    """9.2-d-2: a checkpoint that somebody else has signed, over the right hash, is not this node's."""
    with kept() as node:
        keeper = node.node.evidence.keeper
        with node.node.store.read() as session:
            row = session.query(CheckpointRow).first()
            assert row is not None
            key = PrivateKey.generate("SM3_SM2")
            made = replace(verifying.checkpoint_of(keeper, row), credential=key.public.pem)
        values = {"pem": made.credential, "signature": key.sign(made.message).hex(), "seq": made.seq}
        change(
            node,
            "UPDATE evidence_checkpoints SET credential = :pem, signature = :signature WHERE seq = :seq",
            **values,
        )
        assert problems(node) == [(f"checkpoint {made.seq}", "is signed with a key that is not this node's")]


def test_a_damaged_record_is_shown_as_damaged_and_restored_from_its_copy() -> None:
    """9.2-d-5: a view never shows what was changed as if it were sound; the restoration has the copy."""
    with kept() as node:
        change(node, "UPDATE evidence SET act = 'dataset.removed' WHERE seq = 2")
        shown = {row["seq"]: row for row in node.audit("ownEvidenceList").data["records"]}
        assert shown[2] == {"seq": 2, "state": "DAMAGED"}
        restored = node.audit("ownEvidenceRestore", first_seq=2, last_seq=3, reason="audit").data["records"]
        assert [(row["act"], row["state"]) for row in restored] == [("dataset.registered", "SOUND")] * 2
        assert restored[0]["content"]["subjects"] == {"dataset_id": "ds-1"}
        assert node.audit("ownEvidenceExport", first_seq=1, reason="audit").error == "EVIDENCE_DAMAGED"
        change(node, "DELETE FROM evidence WHERE seq = 1")
        (gone,) = node.audit("ownEvidenceRestore", first_seq=1, last_seq=1, reason="audit").data["records"]
        assert (gone["state"], gone["content"]["subjects"]) == ("SOUND", {"dataset_id": "ds-0"})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE evidence SET act = 'dataset.removed', hash = '' WHERE seq = 2",
        "UPDATE evidence SET sealed = NULL WHERE seq IN (1, 4)",
        "DELETE FROM evidence WHERE seq IN (2, 3)",
        "DELETE FROM evidence_checkpoints WHERE seq = 3",
    ],
)
def test_the_chain_is_mended_from_the_copies(statement: str) -> None:
    """9.2-d-4: what was copied before it was damaged comes back, and the whole chain verifies again."""
    with kept() as node:
        change(node, statement)
        assert node.audit("ownEvidenceVerify").data["intact"] is False
        told = node.audit("ownEvidenceRepair").data
        assert (told["intact"], told["problems"]) == (True, [])
        assert node.own("ownEvidenceHealth").data["status"] == "INTACT"
        assert node.own("ownDatasetCreate", dataset_id="after", name="ds", visibility="PUBLIC").code == 0
        assert problems(node) == []


def test_a_damaged_copy_is_not_used() -> None:
    """9.2-d-4: a copy that was changed mends nothing and is reported."""
    with kept() as node:
        shelf: Any = node.node.evidence.auditing.backup.shelf
        (name,) = shelf.names()
        shelf.put(name, shelf.get(name).replace(b"dataset.registered", b"dataset.removed...", 1))
        change(node, "DELETE FROM evidence WHERE seq = 2")
        told = node.audit("ownEvidenceRepair").data
        assert (told["repaired"], told["intact"]) == (0, False)


def test_what_was_changed_is_not_copied() -> None:
    """9.2-d-4: a record that is damaged before it was copied ends the copying there, and is reported."""
    with kept() as node:
        change(node, "UPDATE evidence SET at = 1 WHERE seq = 5")
        assert node.own("ownEvidenceCopy").data == {"copied": 0, "covered_seq": 4}
        assert node.own("ownEvidenceHealth").data["problems"][0]["where"] == "record 5"


def test_a_start_on_changed_evidence_is_reported(tmp_path: Path) -> None:
    """9.2-d-4: tampering while the node was down is known from its start; so is a database behind its copies."""
    with kept(data=tmp_path / "data") as node:
        assert node.own("ownEvidenceHealth").data["status"] == "INTACT"
    for statement, where in (
        ("UPDATE evidence SET at = 1 WHERE seq = 5", "record 5"),
        ("DELETE FROM evidence; DELETE FROM evidence_checkpoints; DELETE FROM evidence_head", "store"),
    ):
        with nodes("node-a", data=tmp_path / "data") as (again,):
            assert again.own("ownNodeQuery", node_id="node-a").code == 0
            for part in statement.split(";"):
                change(again, part)
        with nodes("node-a", data=tmp_path / "data") as (again,):
            assert where in [row["where"] for row in again.own("ownEvidenceHealth").data["problems"]]


_WORDS = st.text(max_size=8)
_RECORDS = st.builds(
    Record, _WORDS, st.integers(1, 9), st.integers(0, 2**53), _WORDS, _WORDS, _WORDS, _WORDS, _WORDS, _WORDS
)


@given(_RECORDS, _RECORDS)
@settings(max_examples=100)
def test_no_two_records_have_one_hash(one: Record, other: Record) -> None:
    """The canonical spelling is unambiguous: equal hashes, equal records."""
    assert (one.hash == other.hash) == (one == other)


@given(st.lists(st.dictionaries(_WORDS, _WORDS | st.integers(), max_size=3), min_size=1, max_size=6), st.data())
@settings(max_examples=50, deadline=None)
def test_any_chain_reads_back_and_no_part_of_it_can_be_left_out(contents: list[dict[str, Any]], data: Any) -> None:
    """A bundle of any contents reads back as it was; without one of its records, or with two exchanged, it does not."""
    key, lines, previous = _KEY, [], GENESIS
    for seq, content in enumerate(contents, start=1):
        record = Record("node-a", seq, seq, "act", "key", "", "", commitment(content), previous)
        lines.append(bundles.Line(record, content).to_json())
        previous = record.hash
    head = bundles.head_of("node-a", 1, len(lines), GENESIS, 0)
    assert [line.content for line in bundles.read(bundles.write(head, lines, key)).records] == contents
    left_out = data.draw(st.integers(0, len(lines) - 1))
    with pytest.raises(BundleDamaged):
        bundles.read(bundles.write(head, lines[:left_out] + lines[left_out + 1 :], key))
    if len(lines) > 1:
        with pytest.raises(BundleDamaged):
            bundles.read(bundles.write(head, [*lines[1:], lines[0]], key))


_KEY = PrivateKey.generate("SM3_SM2")
