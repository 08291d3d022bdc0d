"""Joint computing under test: the lab, what the profile says of it, files that are laid and altered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness import engine, planted
from conformance.harness.errors import Undrivable
from conformance.harness.profile_model import Hooks
from conformance.harness.registry import SCENARIOS
from conformance.selftest import computing, inprocess, served
from reference_node.security import proofs

ROWS = [("id", "kwh"), ("a", "1.25"), ("b", "2.50")]


@pytest.fixture
def room() -> Iterator[served.ServedLab]:
    """A node that computes, on loopback."""
    engine.plan()
    room = computing.computing_lab()
    yield room
    room.close()


def test_the_target_computes_with_the_suite_over_sockets(room: served.ServedLab) -> None:
    """Both sides of the run find what they should, and the table that was laid is gone afterwards."""
    told = room.run([SCENARIOS["computing_plaintext"]])["computing_plaintext"]
    assert told.stop is None
    assert told.facts["join:found"] == sorted(told.facts["members"])
    assert told.facts["total:opened"] == told.facts["sum"]
    hooks = room.collector.stage.profile.hooks
    assert hooks is not None
    assert hooks.datasets_path is not None
    assert list(hooks.datasets_path.iterdir()) == []


def test_without_a_place_for_data_nothing_can_be_tried() -> None:
    """The story ends with the key that the profile lacks."""
    engine.plan()
    room = inprocess.lab()
    try:
        told = room.run([SCENARIOS["computing_for_one_side"]])["computing_for_one_side"]
    finally:
        room.close()
    assert told.stop is not None
    assert (told.stop.kind, told.stop.message) == ("undrivable", planted.NO_PLACE)


def test_a_laid_table_is_there_and_goes(tmp_path: Path) -> None:
    """It stands under its name while it is needed; a folder that is not there is told."""
    with planted.table(Hooks(datasets_path=tmp_path), "t", ROWS) as path:
        assert path.read_text("utf-8") == "id,kwh\na,1.25\nb,2.50\n"
    assert not path.exists()
    with (
        pytest.raises(Undrivable, match="cannot be written"),
        planted.table(Hooks(datasets_path=tmp_path / "no"), "t", ROWS),
    ):
        pass


def test_an_alteration_shows_in_the_content_and_in_the_inode_only(tmp_path: Path) -> None:
    """Length and time of change stay; the node's stamp of the file does not, so that it is read again."""
    with planted.table(Hooks(datasets_path=tmp_path), "t", ROWS) as path:
        before, digest = path.stat(), proofs.of_file(path)
        planted.alter(path, "1.25", "9.25")
        after = path.stat()
        assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
        assert "9.25" in path.read_text("utf-8")
        assert proofs.of_file(path)[0] != digest[0]
        with pytest.raises(ValueError, match="as long"):
            planted.alter(path, "9.25", "10.25")
