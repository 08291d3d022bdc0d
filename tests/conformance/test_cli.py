"""The command line: exit codes are the API, and every refusal says what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from conformance import cli
from conformance.harness.events import read_events
from conformance.harness.records import Verdict
from conformance.harness.verdict import ExitCode

DEAD = """
[target]
name = "dead"
url = "http://127.0.0.1:9"
node_id = "nobody"

[operator]
token = "t-o-k-e-n-1"
"""


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["hutong", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def profile(folder: Path, text: str = "") -> str:
    path = folder / "profile.toml"
    lines = text or DEAD
    path.write_text(lines, encoding="utf-8")
    return str(path)


def test_a_dead_address_is_incomplete_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2, one line that says what to do, and nothing that passes."""
    code = run(monkeypatch, "certify", "--profile", profile(tmp_path), "--out", str(tmp_path / "out"))
    said = capsys.readouterr().err.strip()
    assert code == ExitCode.INCOMPLETE
    assert "Nothing listens at http://127.0.0.1:9" in said
    assert len(said.splitlines()) == 1
    recorded = read_events(tmp_path / "out" / "events.jsonl")
    assert recorded.intact
    assert not [check for check in recorded.checks if check.verdict in (Verdict.PASS, Verdict.FAIL)]


@pytest.mark.parametrize(
    ("text", "wrong", "meant"),
    [
        ('[target]\nurl = "http://127.0.0.1:9"\nnode_idd = "n"\n', "node_idd", "node_id"),
        ('[taget]\nurl = "http://127.0.0.1:9"\nnode_id = "n"\n', "taget", "target"),
        (
            '[target]\nurl = "http://127.0.0.1:9"\nnode_id = "n"\n[capabilities]\nprotocols = ["projct"]\n',
            "projct",
            "project",
        ),
    ],
)
def test_a_typo_in_a_profile_is_named_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str,
    wrong: str,
    meant: str,
) -> None:
    """Exit code 4, the key and the nearest valid one."""
    code = run(monkeypatch, "certify", "--profile", profile(tmp_path, text), "--out", str(tmp_path / "out"))
    said = capsys.readouterr().err
    assert code == ExitCode.USAGE
    assert wrong in said
    assert meant in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("certify",),
        ("certify", "--nonsense"),
        ("certify", "--demo", "--only", "17.3"),
        ("certify", "--profile", "nowhere.toml"),
        ("rejudge", "nowhere.jsonl"),
        ("report", "nowhere.jsonl"),
        ("selftest", "kill-matrix", "--fault", "no-such-fault"),
        ("certify", "--demo", "--fault", "no-such-fault"),
        ("node", "--port", "70000"),
    ],
)
def test_wrong_usage_is_exit_code_4_and_says_something(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    """Whatever is wrong with the words of a command is told, never thrown."""
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *words) == ExitCode.USAGE
    assert capsys.readouterr().err.strip()


def test_the_faults_are_listed_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each defect has a name, a requirement, a finding and words in both languages."""
    assert run(monkeypatch, "selftest", "faults", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["name"] and row["requirement"] and row["finding"] for row in rows)
    assert all(row["breaks"]["zh"] and row["breaks"]["en"] for row in rows)


def test_a_changed_recording_is_void(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Judging again notices that the recording is not what was written."""
    run(monkeypatch, "certify", "--profile", profile(tmp_path), "--out", str(tmp_path / "out"))
    events = tmp_path / "out" / "events.jsonl"
    events.write_text(events.read_text(encoding="utf-8").replace('"jobs":8', '"jobs":9'), encoding="utf-8")
    assert run(monkeypatch, "rejudge", str(events)) == ExitCode.VOID
    assert "changed" in capsys.readouterr().err


def test_a_run_with_a_binding_file_is_judged_again_without_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The recording holds what the vendor's own file said, with what it extends."""
    own = tmp_path / "own.toml"
    own.write_text('name = "their-own"\nextends = "interop-1.2"\n[headers]\nx-nonce = "x-once"\n', encoding="utf-8")
    target = profile(tmp_path, DEAD.replace("[target]\n", f'[target]\nbinding = "{own}"\n'))
    code = run(monkeypatch, "certify", "--profile", target, "--out", str(tmp_path / "out"))
    own.unlink()
    events = tmp_path / "out" / "events.jsonl"
    assert run(monkeypatch, "rejudge", str(events)) == code == ExitCode.INCOMPLETE
    header = read_events(events).header
    assert header["binding"] == "their-own"
    assert header["binding_content"]["headers"]["x-nonce"] == "x-once"


def test_doctor_stops_at_the_first_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A dead port is told with a remedy, and nothing behind it is guessed."""
    assert run(monkeypatch, "doctor", "--profile", profile(tmp_path)) == ExitCode.INCOMPLETE
    said = capsys.readouterr().out
    assert "ok  name resolution" in said
    assert "no  connection" in said
    assert "→" in said
    assert "identity" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code", "clause"), [("", 0, ""), ("cancel-after-confirm", ExitCode.NON_CONFORMANT, "8.1.2-c")]
)
def test_the_demonstration_over_real_sockets(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    fault: str,
    code: int,
    clause: str,
) -> None:
    """Chapter 8.1 of the reference node conforms; with a defect the clause is named; judging again agrees."""
    words = ["certify", "--demo", "--only", "8.1.2", "--out", str(tmp_path / "out")]
    assert run(monkeypatch, *words, *(["--fault", fault] if fault else [])) == code
    assert clause in capsys.readouterr().out
    assert (tmp_path / "out" / "index.html").stat().st_size > 100_000
    assert run(monkeypatch, "rejudge", str(tmp_path / "out" / "events.jsonl")) == code
