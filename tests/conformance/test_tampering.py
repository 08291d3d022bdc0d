"""The hook that alters what a target stores: what it is called with, and the reference node's own command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance.harness.errors import Undrivable
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Hooks
from conformance.harness.tampering import Act, Kind, altered, deleted, of
from reference_node.store.base import DATABASE
from tests.reference_node.jobbing import allied, folders, workers
from tests.reference_node.test_task_files import TEXT, fetch, first_done

OWN = (sys.executable, "-m", "conformance.selftest.tampering")


def test_the_command_is_told_what_to_do_with_what_and_mends_it_in_any_case(tmp_path: Path) -> None:
    """Alter comes before and mend after, also where something goes wrong in between."""
    lines = tmp_path / "lines"
    script = f"import sys; open({str(lines)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')"
    hand = of(Hooks(tamper=(sys.executable, "-c", script)))
    assert hand is not None
    with pytest.raises(KeyError), altered(hand, Kind.DATASET, "ds-1"):
        raise KeyError
    assert lines.read_text().splitlines() == ["alter dataset ds-1", "mend dataset ds-1"]


def test_a_command_that_fails_leaves_nothing_to_be_judged() -> None:
    """The scenario ends as one that could not be driven; without a command there is no hand at all."""
    for words in ((sys.executable, "-c", "raise SystemExit(3)"), ("/no/such/command",)):
        hand = of(Hooks(tamper=words))
        assert hand is not None
        with pytest.raises(Undrivable, match="tamper failed"):
            hand(Act.ALTER, Kind.CONTRACT, "c-1")
    assert of(None) is None
    assert of(Hooks()) is None


def test_the_profile_names_the_command() -> None:
    """It is a list of words under the operator's hooks."""
    data = {"target": {"name": "x", "url": "http://x.test", "node_id": "x"}, "operator_hooks": {"tamper": ["a", "b"]}}
    hooks = parse_profile(data, "here").hooks
    assert hooks is not None
    assert hooks.tamper == ("a", "b")


def test_the_reference_node_notices_what_its_own_command_alters(tmp_path: Path) -> None:
    """A dataset altered in the file of a node that runs is refused as tampered, and is as it was when mended."""
    with workers("node-a", data={"node-a": tmp_path / "a"}) as (a,):
        fields = {"dataset_id": "ds-1", "name": "one", "visibility": "PROTECTED"}
        assert a.own("ownDatasetCreate", **fields, source={"type": "FILE", "location": "t.csv"}).code == 0
        hand = of(Hooks(tamper=(*OWN, str(tmp_path / "a" / DATABASE))))
        assert hand is not None
        with altered(hand, Kind.DATASET, "ds-1"):
            assert a.own("ownDatasetQuery", dataset_id="ds-1").error == "STORE_TAMPERED"
        assert a.own("ownDatasetQuery", dataset_id="ds-1").data["visibility"] == "PROTECTED"
        with pytest.raises(Undrivable):
            hand(Act.ALTER, Kind.DATASET, "ds-none")


@pytest.mark.parametrize(
    ("kind", "operation", "name"),
    [(Kind.DATASET, "ownDatasetQuery", "dataset_id"), (Kind.PROJECT, "ownProjectQuery", "project_id")],
)
def test_the_reference_node_notices_what_its_own_command_deletes(
    tmp_path: Path, kind: Kind, operation: str, name: str
) -> None:
    """A record deleted from the file of a node that runs is told to be missing; undeleted, it is as it was."""
    with workers("node-a", data={"node-a": tmp_path / "a"}) as (a,):
        assert a.own("ownDatasetCreate", dataset_id="it", name="one", visibility="PUBLIC").code == 0
        assert a.own("ownProjectCreate", project_id="it", name="one").code == 0
        hand = of(Hooks(tamper=(*OWN, str(tmp_path / "a" / DATABASE))))
        assert hand is not None
        with deleted(hand, kind, "it"):
            assert a.own(operation, **{name: "it"}).error == "STORE_TAMPERED"
            assert a.own("ownEvidenceHealth").data["status"] == "TAMPERED"
        assert a.own(operation, **{name: "it"}).data["name"] == "one"
        assert a.own("ownEvidenceHealth").data["status"] == "INTACT"
        with pytest.raises(Undrivable):
            hand(Act.DELETE, kind, "none")
        assert not list((tmp_path / "a").glob("taken-*"))


def test_the_command_alters_what_a_task_has_put_out(tmp_path: Path) -> None:
    """The node hands out no altered file, and a mended one as it was; a task that has none is an error."""
    with workers("node-a", "node-b", data=folders(tmp_path, "node-a", "node-b")) as (a, b):
        allied(a, b)
        job_id, work = first_done(a, b)
        task_id = a.tasks(job_id)["a"]["task_id"]
        hand = of(Hooks(tamper=(*OWN, str(work.folder.parents[2] / DATABASE))))
        assert hand is not None
        with altered(hand, Kind.OUTPUT, task_id):
            status, body = fetch(a, task_id)
            assert (status, b"STORE_TAMPERED" in body) == (503, True)
        assert fetch(a, task_id) == (200, TEXT)
        with pytest.raises(Undrivable):
            hand(Act.ALTER, Kind.OUTPUT, "task-none")
