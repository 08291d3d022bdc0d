"""`hutong gap evidence`: the relay's records for an operator."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from conformance.cli import app
from conformance.harness.profile import parse_profile
from reference_node.gap.policy import load_policy
from tests.reference_node.gapping import Crossing


def test_the_evidence_is_printed_and_verified(tmp_path: Path) -> None:
    """Each record is a line; a chain that holds is exit code 0, a broken one 1 with the place, no relay's folder 4."""
    crossing = Crossing(tmp_path)
    with crossing.relay() as relay:
        crossing.outer.ask("nodeHealth")
        relay.step()
    command, runner = ["gap", "evidence", "--state", str(crossing.state)], CliRunner()
    whole = runner.invoke(app, command)
    assert whole.exit_code == 0, whole.output
    *records, end = map(json.loads, whole.stdout.splitlines())
    assert [record["act"] for record in records] == ["STARTED", "ADMITTED", "STOPPED"]
    assert end["records"] == 3
    with sqlite3.connect(crossing.state / "gap.db") as database:
        database.execute("UPDATE evidence SET record = '{}' WHERE number = 2")
    database.close()
    broken = runner.invoke(app, command)
    assert broken.exit_code == 1
    assert "record 2" in broken.output
    assert runner.invoke(app, [*command[:-1], str(tmp_path)]).exit_code == 4


def test_an_export_is_verified_by_the_relays_key(tmp_path: Path) -> None:
    """By the key that is given or the one in it: exit code 0, 1 once it was changed, 4 where there is no file."""
    crossing, runner = Crossing(tmp_path), CliRunner()
    with crossing.relay():
        pass
    export = tmp_path / "export.jsonl"
    export.write_text(runner.invoke(app, ["gap", "evidence", "--state", str(crossing.state)]).stdout)
    for key, source in (([], "in the export"), (["--key", str(crossing.state / "relay.pem")], "given")):
        found = runner.invoke(app, ["gap", "verify", str(export), *key])
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout) | {"records": 2, "intact": True, "key": source} == json.loads(found.stdout)
    other = runner.invoke(app, ["gap", "verify", str(export), "--key", str(tmp_path / "outer.pem")])
    assert (other.exit_code, json.loads(other.stdout)["intact"]) == (1, False)
    export.write_text(export.read_text().replace("STARTED", "STOPPED"))
    assert runner.invoke(app, ["gap", "verify", str(export)]).exit_code == 1
    export.write_text("{}\n")
    assert runner.invoke(app, ["gap", "verify", str(export)]).exit_code == 1
    assert runner.invoke(app, ["gap", "verify", str(tmp_path / "none")]).exit_code == 4


def test_a_place_for_a_relay_under_test_is_prepared(tmp_path: Path) -> None:
    """The policy fits the relay, the section fits a profile, and a folder that is there is left alone."""
    folder = tmp_path / "relay"
    made = CliRunner().invoke(app, ["gap", "prepare", str(folder), "--session-mib", "2"])
    assert made.exit_code == 0, made.output
    policy = load_policy(folder / "gap.toml")
    assert (policy.outer.node_id, policy.session_bytes) == ("relay-test-outer", 2 * 1024 * 1024)
    target = '[target]\nurl = "http://127.0.0.1:9"\nnode_id = "node-in"\n'
    relay = parse_profile(tomllib.loads(target + made.stdout), "p.toml").relay
    assert relay is not None
    assert (relay.inner, relay.session_mib) == (folder / "inner", 2)
    assert CliRunner().invoke(app, ["gap", "prepare", str(folder)]).exit_code == 4


def test_a_policy_that_does_not_fit_is_wrong_usage(tmp_path: Path) -> None:
    """The relay does not start, and says which key it is."""
    crossing = Crossing(tmp_path)
    policy = tmp_path / "gap.toml"
    policy.write_text("[limit]\n")
    words = ["--outer", str(crossing.outer.folder), "--inner", str(crossing.inner.folder), "--policy", str(policy)]
    refused = CliRunner().invoke(app, ["gap", "run", *words, "--state", str(crossing.state)])
    assert refused.exit_code == 4
    assert "limit is no key" in refused.output
