"""The hooks that lose a store, end an instance and fill storage: their commands, and those of the demonstration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.harness import engine, hooks
from conformance.harness.errors import Undrivable
from conformance.harness.hooks import DEEDS, Deed, Hook
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Hooks
from conformance.harness.registry import SCENARIOS
from conformance.selftest import stored
from conformance.selftest.inprocess import lab
from conformance.site import Site

NOTING = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


def _noting(path: Path) -> Hooks:
    return Hooks(backup=(sys.executable, "-c", NOTING, str(path)))


def test_what_is_disturbed_is_put_right_once_and_in_any_case(tmp_path: Path) -> None:
    """Lose comes before and restore after, also where something goes wrong in between, and not twice."""
    lines = tmp_path / "lines"
    helper = hooks.lent(hooks.of(_noting(lines)), Hook.BACKUP)
    with pytest.raises(KeyError), hooks.disturbed(helper, Hook.BACKUP):
        raise KeyError
    with hooks.disturbed(helper, Hook.BACKUP) as put_right:
        put_right()
    assert lines.read_text().split() == ["lose", "restore", "lose", "restore"]


def test_a_command_that_fails_is_told_with_what_it_said() -> None:
    """The scenario ends as one that could not be driven, never as one that was."""
    said = hooks.of(Hooks(kill_replica=(sys.executable, "-c", "import sys; sys.exit('no such replica')")))
    with pytest.raises(Undrivable, match=r"operator_hooks\.kill_replica kill failed: exit code 1 no such replica"):
        said[Hook.KILL_REPLICA](Deed.KILL)
    gone = hooks.of(Hooks(fill_disk=("/no/such/command",)))
    with pytest.raises(Undrivable, match="fill_disk fill failed: FileNotFoundError"):
        gone[Hook.FILL_DISK](Deed.FILL)


def test_a_certificate_is_revoked_by_the_command_with_its_file(tmp_path: Path) -> None:
    """The command is called with the file; without one there is nothing to call, and one that fails is told."""
    lines, shown = tmp_path / "lines", tmp_path / "node.pem"
    data = {"target": {"name": "x", "url": "http://x.test", "node_id": "x"}}
    hook = {"revoke": [sys.executable, "-c", NOTING, str(lines)]}
    revoke = hooks.revoking(parse_profile({**data, "operator_hooks": hook}, "here").hooks)
    assert revoke is not None
    revoke(shown)
    assert lines.read_text() == f"{shown}\n"
    assert hooks.revoking(None) is None
    assert hooks.revoking(Hooks()) is None
    broken = hooks.revoking(Hooks(revoke=(sys.executable, "-c", "import sys; sys.exit('not of this CA')")))
    assert broken is not None
    with pytest.raises(Undrivable, match=r"operator_hooks\.revoke failed: exit code 1 not of this CA"):
        broken(shown)


def test_a_command_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not end is ended, and told of."""
    monkeypatch.setattr(hooks, "SECONDS", 0.2)
    slow = hooks.of(Hooks(backup=(sys.executable, "-c", "import threading; threading.Event().wait(60)")))
    with pytest.raises(Undrivable, match="TimeoutExpired"):
        slow[Hook.BACKUP](Deed.LOSE)


def test_the_profile_names_commands_and_times() -> None:
    """Commands are lists of words under the operator's hooks, the target's times stand with its others."""
    named = {"backup": ["a"], "kill_replica": ["b", "c"], "fill_disk": ["d"], "rollback": ["e"]}
    data = {"target": {"name": "x", "url": "http://x.test", "node_id": "x"}, "operator_hooks": named}
    profile = parse_profile({**data, "timings": {"backup_seconds": 2.5, "recovery_seconds": 7}}, "here")
    assert set(hooks.of(profile.hooks)) == set(Hook)
    assert (profile.timings.backup_seconds, profile.timings.recovery_seconds) == (2.5, 7)
    assert hooks.of(None) == {}


def test_without_a_command_there_is_nothing_to_judge() -> None:
    """Each scenario ends as one that could not be driven, with the hook that is missing and how it is called."""
    mine = [row for row in engine.plan().scenarios if row.act.__module__ in stored.MODULES]
    room = lab()
    try:
        told = room.run(mine)
    finally:
        room.close()
    reasons = {(stop.kind, stop.message) for name in told if (stop := told[name].stop) is not None}
    assert reasons == {
        ("undrivable", f"profile: [operator_hooks] names no {hook} command, called with {first} and {second}")
        for hook, (first, second) in DEEDS.items()
    }


def test_a_store_that_comes_back_with_nothing_is_found() -> None:
    """The lab on a disk acts the whole story, and what its backup leaves out is missing afterwards."""
    engine.plan()
    room = stored.stored_lab(["backup-taken-once"])
    try:
        told = room.run([SCENARIOS["restored_store"]])["restored_store"]
    finally:
        room.close()
    assert told.facts["back"] is True
    steps = {row.step: row for row in told.exchanges}
    assert steps["lost"].failure == "no instance runs. "
    answers = [steps[name].answer for name in ("project-before", "project-after")]
    assert [answer.status for answer in answers if answer is not None] == [200, 404]


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A process that does nothing until it is ended."""

    process: subprocess.Popen[str]


@contextmanager
def _sleeping() -> Iterator[Sleeper]:
    script = "import threading; threading.Event().wait(120)"
    process = subprocess.Popen([sys.executable, "-c", script], text=True)
    try:
        yield Sleeper(process)
    finally:
        process.kill()
        process.wait()


def test_the_demonstration_s_commands_reach_its_processes(tmp_path: Path) -> None:
    """One process is killed and replaced; the store is lost; what fails is told by the command."""
    data = tmp_path / "target"
    data.mkdir()
    for name in ("node.db", "node.db-wal", "vault-keys.json", "node-key-sm3-sm2.sealed", "vault.key"):
        (data / name).touch()
    with Site(_sleeping, data) as site:
        words = {name: tuple(command) for name, command in site.hooks().items()}
        hands = hooks.of(Hooks(backup=words["backup"], kill_replica=words["kill_replica"]))
        first = site.serving
        hands[Hook.KILL_REPLICA](Deed.KILL)
        assert first.process.poll() is not None
        assert site.serving is not first
        hands[Hook.KILL_REPLICA](Deed.START)
        assert site.serving.process.poll() is None
        hands[Hook.BACKUP](Deed.LOSE)
        assert [path.name for path in data.iterdir()] == ["vault.key"]
        with pytest.raises(Undrivable, match="holds no snapshot"):
            hands[Hook.BACKUP](Deed.RESTORE)
