"""`hutong evidence verify`: an export is whole or it is not, and signed by the node or by somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.cli import app
from reference_node.security.keys import PrivateKey
from tests.reference_node.pair import nodes


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, Path]:
    """An export of three records, and the key of the node."""
    with nodes("node-a") as (node,):
        for number in range(3):
            node.own("ownDatasetCreate", dataset_id=f"ds-{number}", name="ds", visibility="PUBLIC")
        told = node.audit("ownEvidenceExport", first_seq=1, content=True, reason="audit")
        key = node.node.identity.key("SM3_SM2").public.pem
    (tmp_path / "bundle.jsonl").write_text(told.data["bundle"], encoding="utf-8", newline="")
    (tmp_path / "key.pem").write_text(key, encoding="ascii")
    return tmp_path / "bundle.jsonl", tmp_path / "key.pem"


def test_a_whole_export_passes(exported: tuple[Path, Path]) -> None:
    """Exit code 0; without the node's key the one that signed is shown, to be compared."""
    bundle, key = exported
    told = CliRunner().invoke(app, ["evidence", "verify", str(bundle), "--key", str(key), "--json"])
    assert told.exit_code == 0
    assert json.loads(told.output) == {"whole": True, "records": 3, "problems": [], "keys": [key.read_text()]}
    told = CliRunner().invoke(app, ["evidence", "verify", str(bundle)])
    assert (told.exit_code, "BEGIN PUBLIC KEY" in told.output, "3 records" in told.output) == (0, True, True)


def test_a_changed_export_does_not(exported: tuple[Path, Path]) -> None:
    """Exit code 1 with the fault: a changed word, a missing line, no file of the kind."""
    bundle, _key = exported
    whole = bundle.read_bytes()
    for bent in (whole.replace(b"ds-1", b"ds-9"), b"\n".join(whole.split(b"\n")[1:]), whole[:-2], b"", b"\xff{}\n"):
        bundle.write_bytes(bent)
        told = CliRunner().invoke(app, ["evidence", "verify", str(bundle), "--json"])
        assert told.exit_code == 1
        assert json.loads(told.output)["problems"]
    assert CliRunner().invoke(app, ["evidence", "verify", str(bundle)]).exit_code == 1


def test_an_export_of_another_node_does_not_pass(exported: tuple[Path, Path]) -> None:
    """Exit code 1 where the file is whole and the key another; 4 where there is no file."""
    bundle, key = exported
    key.write_text(PrivateKey.generate("SM3_SM2").public.pem, encoding="ascii")
    told = CliRunner().invoke(app, ["evidence", "verify", str(bundle), "--key", str(key), "--json"])
    assert (told.exit_code, json.loads(told.output)["problems"][0]["fault"]) == (1, "SIGNATURE")
    assert CliRunner().invoke(app, ["evidence", "verify", str(bundle) + ".absent"]).exit_code == 4
