"""The campaign as a user runs it: against a node that is served, within its bounds, with its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance import demo
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.strict import read_toml
from loadtests import smoke
from loadtests.campaign import load_campaign


def load(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the command in a process of its own; return it with load.json, empty where none was written."""
    command = [sys.executable, "-m", "loadtests.smoke", "--out", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    written = folder / "load.json"
    return done, json.loads(written.read_text(encoding="utf-8")) if written.exists() else {}


@pytest.mark.slow
def test_a_sound_node_meets_the_gates_under_load(tmp_path: Path) -> None:
    """Three users for five seconds: every operation of the mix was asked, nothing was refused, nothing was found."""
    with demo.serve(tmp_path / "node", "load-node") as served:
        profile = tmp_path / "profile.toml"
        profile.write_text(
            f'[target]\nurl = "{served.address}"\nnode_id = "{served.node_id}"\n'
            f'[operator]\ntoken_file = "{served.token_file}"\n',
            encoding="utf-8",
        )
        done, told = load(tmp_path / "out", "--profile", str(profile), "--users", "3", "--seconds", "5")
        token = served.token_file.read_text(encoding="utf-8").strip()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["operation"] for row in told["operations"]} == {
        step.operation for story in load_campaign(smoke.campaign_file("smoke")).stories for step in story.steps
    }
    assert told["total"]["errors"] == 0
    assert told["users"] == 3
    assert 5 <= told["seconds"] < 10
    assert len(told["timeline"]) >= 5
    assert told["sampled"]["stories"] >= 5
    assert told["left_behind"] == told["sampled"]["findings"] == []
    shown = (tmp_path / "out" / "load.html").read_text(encoding="utf-8")
    assert "<svg" in shown
    assert token not in shown + json.dumps(told) + done.stdout + done.stderr


@pytest.mark.slow
def test_a_defect_is_found_in_the_sample(tmp_path: Path) -> None:
    """The check of the suite judges the answers under load: exit code 1, clause and finding by name."""
    done, told = load(tmp_path, "--demo", "--fault", "health-says-down", "--users", "2", "--seconds", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    found = told["sampled"]["findings"]
    assert [(row["requirement"], row["code"], row["operation"]) for row in found] == [
        ("8.1.2-d", "HEALTH_NOT_UP", "nodeHealth")
    ]
    assert found[0]["times"] >= 1
    assert "HEALTH_NOT_UP" in done.stdout


@pytest.mark.slow
def test_a_node_that_does_not_answer_meets_no_gate(tmp_path: Path) -> None:
    """Nothing listens there: the report says so and the exit code is 1."""
    profile = tmp_path / "profile.toml"
    profile.write_text(
        '[target]\nurl = "http://127.0.0.1:9"\nnode_id = "nobody"\n[operator]\ntoken = "none"\n', encoding="utf-8"
    )
    done, told = load(tmp_path / "out", "--profile", str(profile), "--users", "1", "--seconds", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert told["stop"]
    assert told["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "required"),
        (("--demo", "--users", "many"), "invalid int"),
        (("--demo", "--users", "201"), "between 1 and 200"),
        (("--demo", "--campaign", "smok"), 'did you mean "smoke"'),
        (("--profile", "missing.toml", "--fault", "x"), "goes with --demo"),
        (("--profile", "missing.toml"), "missing.toml"),
    ],
)
def test_wrong_usage_is_exit_code_4(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is wrong is said, and nothing is started or written."""
    assert smoke.main([*words, "--out", str(tmp_path / "out")]) == 4
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def mission(url: str) -> smoke.Mission:
    """Return a mission against an address."""
    file = smoke.campaign_file("smoke")
    declared = {"target": {"url": url, "node_id": "n"}, "operator": {"token": "none"}}
    return smoke.Mission(declared, "p.toml", read_toml(file), str(file), 1, 1)


@pytest.mark.parametrize("url", ["http://192.0.2.1:80", "https://node.example.org", "http://127.0.0.1.example.org"])
def test_a_node_elsewhere_is_left_alone_unless_that_is_meant(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --allow-remote the load process is not even started."""
    started: list[str] = []

    def act(*_words: Any) -> dict[str, Any]:
        started.append(url)
        raise HarnessError("far enough")

    monkeypatch.setattr(smoke, "act", act)
    with pytest.raises(UsageError, match="not on this machine") as refused:
        smoke.run(mission(url))
    assert "--allow-remote" in refused.value.hint
    assert not started
    with pytest.raises(HarnessError, match="far enough"):
        smoke.run(mission(url), allow_remote=True)
    assert started


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "http://127.8.8.8"])
def test_loopback_is_known_without_a_name_service(url: str) -> None:
    """Addresses and the one name that is always this machine."""
    assert smoke.on_loopback(url)


def test_a_load_process_that_breaks_off_is_the_harness_s_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no verdict on the target: exit code 3 follows from the error's kind."""
    file = smoke.campaign_file("smoke")
    broken = smoke.Mission({}, "p.toml", {}, str(file), 1, 1)
    with pytest.raises(HarnessError, match="load process failed") as told:
        smoke.act(broken, load_campaign(file))
    assert not isinstance(told.value, UsageError)

    def hang(*_words: Any, **_more: Any) -> None:
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(smoke.subprocess, "run", hang)
    with pytest.raises(HarnessError, match="did not end"):
        smoke.act(broken, load_campaign(file))
