"""What an operator registers is a file in a folder for data, and never one that the node lives by (9.2-e)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from reference_node.schedule import places, sources
from reference_node.security import proofs
from tests.reference_node.pair import TestNode, nodes

OWN = ("node.db", "vault.key", "vault-keys.json", "operator-token", "auditor-token", "leader.lock", "store.seal")


def _register(node: TestNode, location: str, **more: Any) -> str | None:
    source = {"type": "FILE", "location": location}
    reply = node.own("ownDatasetCreate", name="d", visibility="PRIVATE", source=source, **more)
    if reply.code:
        assert reply.data["pointer"] == "/source/location"
        assert node.own("ownDatasetList").data["total"] == 0  # nothing was recorded
    return reply.error


@pytest.mark.parametrize("name", OWN)
def test_the_nodes_own_files_are_no_data(tmp_path: Path, name: str) -> None:
    """By their path, from below the folder, by a link, by another name of the same file, whatever the folders are."""
    data, free = tmp_path / "data", tmp_path / "free"
    free.mkdir()
    with nodes("node-a", data=data, dataset_folders=[free, "/"]) as (node,):
        node.node.pump()
        own = data / name
        assert own.exists()
        (free / "link.csv").symlink_to(own)
        os.link(own, free / "hard.csv")
        (free / "folder").symlink_to(data)
        tries = (str(own), f"../data/{name}", f"{free}/../data/{name}", "link.csv", "hard.csv", f"folder/{name}")
        assert [_register(node, place) for place in tries] == ["LOCATION_REFUSED"] * len(tries)


def test_only_the_configured_folders_hold_data(tmp_path: Path) -> None:
    """One beside them, above them, or one that merely begins alike is refused; in them a file is taken."""
    free = tmp_path / "free"
    for folder in (free, tmp_path / "freedom", tmp_path / "elsewhere"):
        folder.mkdir()
        (folder / "t.csv").write_text("id\n1\n")
    (free / "out.csv").symlink_to(tmp_path / "elsewhere" / "t.csv")
    with nodes("node-a", data=tmp_path / "data", dataset_folders=[free]) as (node,):
        outside = (
            *(f"{tmp_path}/freedom/t.csv", "../elsewhere/t.csv", "/etc/passwd", "/proc/self/environ", "/dev/zero"),
            *("out.csv", ".", "..", "sub/../../elsewhere/t.csv", "t.csv/x"),
        )
        assert [_register(node, place) for place in outside] == ["LOCATION_REFUSED"] * len(outside)
        assert _register(node, "t.csv", dataset_id="ds-1") is None
        assert _register(node, "later/t.csv", dataset_id="ds-2") is None  # not there yet, and judged when it is
        assert node.own("ownDatasetQuery", dataset_id="ds-1").data["proof"]["size"] == 5


@pytest.mark.parametrize("folders", [(), ("/",)], ids=["by default", "everywhere"])
def test_what_a_task_has_put_out_may_be_data(tmp_path: Path, folders: tuple[str, ...]) -> None:
    """A file below the folder of tasks is taken; one beside it in the data folder is not."""
    out = tmp_path / "data" / "tasks" / "task-1" / "guest.1" / "out.csv"
    out.parent.mkdir(parents=True)
    out.write_text("id\n")
    with nodes("node-a", data=tmp_path / "data", dataset_folders=folders) as (node,):
        assert _register(node, str(tmp_path / "data" / "tasks" / ".." / "node.db")) == "LOCATION_REFUSED"
        assert _register(node, str(out)) is None


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A pipe would hold the node, a folder is no table."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    with nodes("node-a", dataset_folders=[tmp_path]) as (node,):
        assert [_register(node, place) for place in ("pipe.csv", "folder.csv")] == ["LOCATION_REFUSED"] * 2


def test_a_change_of_the_source_is_judged_alike_and_changes_nothing(tmp_path: Path) -> None:
    """An update to a place outside leaves the dataset as it was."""
    (tmp_path / "t.csv").write_text("id\n")
    with nodes("node-a", data=tmp_path / "data", dataset_folders=[tmp_path]) as (node,):
        assert _register(node, "t.csv", dataset_id="ds") is None
        before = node.own("ownDatasetQuery", dataset_id="ds").data
        source = {"type": "FILE", "location": str(tmp_path / "data" / "vault.key")}
        refused = node.own("ownDatasetUpdate", dataset_id="ds", name="other", source=source)
        assert (refused.error, refused.data["pointer"]) == ("LOCATION_REFUSED", "/source/location")
        assert node.own("ownDatasetQuery", dataset_id="ds").data == before


def test_a_place_is_judged_again_when_its_file_is_taken(tmp_path: Path) -> None:
    """What was a file in the folder when it was recorded, and is a link out of it now, is not loaded."""
    free, table = tmp_path / "free", tmp_path / "free" / "t.csv"
    free.mkdir()
    table.write_text("id\n1\n")
    with nodes("node-a", data=tmp_path / "data", dataset_folders=[free]) as (node,):
        assert _register(node, "t.csv", dataset_id="ds") is None
        with node.node.store.read() as session:
            found = sources.find(node.node, session, proofs.DATASET, "ds")
            assert found is not None
            assert found.path == table
        table.unlink()
        table.symlink_to(tmp_path / "data" / "operator-token")
        with node.node.store.read() as session:
            assert sources.find(node.node, session, proofs.DATASET, "ds") is None


def test_models_lie_in_such_folders_too(tmp_path: Path) -> None:
    """A model is refused with its place; in `models` of the data folder, or where it is configured, it is taken."""
    with nodes("node-a", data=tmp_path / "data") as (node,):
        fields = {"name": "m", "project_id": "prj", "algorithm": "lr", "digest": "0" * 64}
        for location in ("../vault.key", f"file://{tmp_path}/data/vault.key", "/etc/passwd"):
            refused = node.own("ownModelCreate", model_id="m-1", location=location, **fields)
            assert (refused.error, refused.data["pointer"]) == ("LOCATION_REFUSED", "/location")
        assert node.own("ownModelList").data["total"] == 0
        for number, location in enumerate(("m.bin", f"file://{tmp_path}/data/models/n.bin")):
            assert node.own("ownModelCreate", model_id=f"m-{number}", location=location, **fields).code == 0


def test_keys_that_lie_elsewhere_are_own_files_too(tmp_path: Path) -> None:
    """The key-encryption key, backups and copies of the evidence, wherever the configuration puts them."""
    kek = tmp_path / "kek"
    kek.write_text("ab" * 32)
    kek.chmod(0o600)
    more = {"key_file": kek, "evidence_backup": tmp_path / "copies", "backup": tmp_path / "backup"}
    with nodes("node-a", data=tmp_path / "data", dataset_folders=[tmp_path], **more) as (node,):
        shutil.copytree(tmp_path / "data", tmp_path / "backup", dirs_exist_ok=True)
        for place in ("kek", "copies/store.seal", "backup/vault-keys.json"):
            assert _register(node, place) == "LOCATION_REFUSED"
            with pytest.raises(places.Outside, match="a file of the node itself"):
                places.of(node.node, proofs.DATASET, place)
