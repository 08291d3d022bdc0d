"""`hutong gap evidence`: the relay's records for an operator."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from typer.testing import CliRunner

from conformance.cli import app
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
    assert [json.loads(line)["act"] for line in whole.stdout.splitlines()] == ["STARTED", "ADMITTED", "STOPPED"]
    with sqlite3.connect(crossing.state / "gap.db") as database:
        database.execute("UPDATE evidence SET record = '{}' WHERE number = 2")
    database.close()
    broken = runner.invoke(app, command)
    assert broken.exit_code == 1
    assert "record 2" in broken.output
    assert runner.invoke(app, [*command[:-1], str(tmp_path)]).exit_code == 4


def test_a_policy_that_does_not_fit_is_wrong_usage(tmp_path: Path) -> None:
    """The relay does not start, and says which key it is."""
    crossing = Crossing(tmp_path)
    policy = tmp_path / "gap.toml"
    policy.write_text("[limit]\n")
    words = ["--outer", str(crossing.outer.folder), "--inner", str(crossing.inner.folder), "--policy", str(policy)]
    refused = CliRunner().invoke(app, ["gap", "run", *words, "--state", str(crossing.state)])
    assert refused.exit_code == 4
    assert "limit is no key" in refused.output
