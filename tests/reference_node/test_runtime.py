"""Components in real processes: begun, bounded, killed, and how their end is told (5.3, 8.5)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reference_node.domain.task import Cause
from reference_node.runtime.contract import Exit, Key, LaunchFailed, Work
from reference_node.runtime.environment import text
from reference_node.runtime.launcher import Launcher
from reference_node.runtime.logs import Journal
from tests.reference_node.jobbing import CATALOGUE, ECHO
from tests.waiting import eventually

NO_SUCH = Key("task_none", "guest", 1)


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """One warm server for the tests of this module."""
    found = Launcher(CATALOGUE)
    found.warm()
    yield found
    found.close()


def work(tmp_path: Path, word: str = "hello", **fields: Any) -> Work:
    """Return an attempt of the component of the tests."""
    key = fields.pop("key", Key(f"task_{word}", "guest", 1))
    journal = Journal(tmp_path)
    values: dict[str, Any] = {
        "job_id": "job-1",
        "task_name": "a",
        "me": "guest.0",
        "component": {"componentName": ECHO, "version": "1.0.0"},
        "description": {},
        "command": None,
        "parameters": {"word": word},
        "inputs": {},
        "outputs": {"out": tmp_path / "made" / "out.csv"},
        "parties": {"guest.0": "node-a", "host.0": "node-b"},
        "institutions": {"node-a": "inst-a", "node-b": "inst-b"},
        "session_id": "session_job-1",
        "token": "token-of-the-test",
        "trace_id": "trace",
        "folder": tmp_path / "made",
        "log": journal.path(key.task_id),
        "address": "http://127.0.0.1:9",
        **fields,
    }
    return Work(key=key, **values)


def run(launcher: Launcher, wanted: Work) -> Exit:
    """Run an attempt to its end."""
    launcher.start(wanted)
    assert launcher.alive(wanted.key)
    found: list[Exit] = []
    eventually(lambda: found.extend(launcher.exits()) or found)
    assert not launcher.alive(wanted.key)
    return found[0]


def log_of(tmp_path: Path, key: Key, level: str = "INFO") -> list[str]:
    """Return what stands in the log of a task."""
    lines = Journal(tmp_path).read(key.task_id, level, 0, 1000, newest_first=False, limit=None)
    return [line["content"] for line in lines]


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_component_runs_and_tells_what_it_made(launcher: Launcher, tmp_path: Path) -> None:
    """Files and summary come back, what it prints and notes stands in its log."""
    wanted = work(tmp_path)
    ended = run(launcher, wanted)
    assert (ended.key, ended.cause, dict(ended.files)) == (wanted.key, None, {"out": str(wanted.outputs["out"])})
    assert ended.summary is not None
    assert ended.summary["word"] == "hello"
    assert ended.summary["pid"] not in (os.getpid(), launcher.pid)
    assert wanted.outputs["out"].read_text() == "hello\n"
    eventually(lambda: "hello" in log_of(tmp_path, wanted.key))
    assert "guest.0 100% hello" in log_of(tmp_path, wanted.key)


def test_a_warm_server_starts_components_fast(launcher: Launcher, tmp_path: Path) -> None:
    """From start to end within a fraction of the seconds that importing the algorithms takes."""
    run(launcher, work(tmp_path, "first"))
    seconds = []
    for count in range(5):
        began = time.monotonic()
        run(launcher, work(tmp_path, "quick", key=Key(f"task_quick_{count}", "guest", 1)))
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.25


@pytest.mark.parametrize(
    ("word", "cause", "detail"),
    [
        ("refuse", Cause.COMPONENT_FAILED, "INPUT_INVALID: the table is not what it should be"),
        ("raise", Cause.COMPONENT_FAILED, "KeyError: see the log's DEBUG lines for the place"),
        ("die", Cause.COMPONENT_CRASHED, "killed by SIGABRT"),
    ],
)
def test_a_failure_is_told_by_its_kind(
    launcher: Launcher, tmp_path: Path, word: str, cause: Cause, detail: str
) -> None:
    """A refusal by its words, an accident by its name, a crash by its signal; data at hand are not repeated."""
    wanted = work(tmp_path, word)
    ended = run(launcher, wanted)
    assert (ended.cause, ended.detail) == (cause, detail)
    assert not any("identifier-of-somebody" in line for line in log_of(tmp_path, wanted.key, "DEBUG"))


def test_memory_is_bounded(launcher: Launcher, tmp_path: Path) -> None:
    """What takes too much fails as that, and nothing else is harmed."""
    ended = run(launcher, work(tmp_path, "hog", memory_mib=256))
    assert (ended.cause, ended.detail) == (Cause.MEMORY_EXCEEDED, "more than 256 MiB")
    assert run(launcher, work(tmp_path, "after")).cause is None


def test_a_stop_kills_the_component_and_what_it_has_started(launcher: Launcher, tmp_path: Path) -> None:
    """Neither the process nor its child is left, and nothing more is told of it."""
    wanted = work(tmp_path, "hang")
    launcher.start(wanted)
    pids = [int(word) for word in eventually(lambda: _read(wanted.folder / "pids")).split()]
    launcher.stop(wanted.key)
    launcher.stop(NO_SUCH)
    eventually(lambda: all(gone(pid) for pid in pids))
    assert not launcher.alive(wanted.key)
    assert launcher.exits() == []


def test_components_die_with_the_node(tmp_path: Path) -> None:
    """When the launcher goes away, its server and all components go too."""
    launcher = Launcher(CATALOGUE)
    wanted = work(tmp_path, "hang")
    launcher.start(wanted)
    pids = [int(word) for word in eventually(lambda: _read(wanted.folder / "pids")).split()]
    launcher.close()
    eventually(lambda: all(gone(pid) for pid in pids))
    with pytest.raises(LaunchFailed, match="closing"):
        launcher.start(wanted)


def test_a_dead_server_fails_its_components_and_is_replaced(tmp_path: Path) -> None:
    """Its components are told of as crashed, and the next one runs."""
    launcher = Launcher(CATALOGUE)
    woken: list[bool] = []
    launcher.woken = lambda: woken.append(True)
    wanted = work(tmp_path, "hang")
    launcher.start(wanted)
    pids = [int(word) for word in eventually(lambda: _read(wanted.folder / "pids")).split()]
    assert launcher.pid is not None
    os.kill(launcher.pid, signal.SIGKILL)
    found: list[Exit] = []
    eventually(lambda: found.extend(launcher.exits()) or found)
    assert (found[0].key, found[0].cause) == (wanted.key, Cause.COMPONENT_CRASHED)
    eventually(lambda: gone(pids[0]))
    eventually(lambda: woken)
    os.kill(pids[1], signal.SIGKILL)
    assert run(launcher, work(tmp_path, "again")).cause is None
    launcher.close()


def test_a_command_gets_the_environment_contract(launcher: Launcher, tmp_path: Path) -> None:
    """A component that somebody else has made is told everything by its variables, and succeeds by its exit status."""
    names = (
        "runtime.component.name runtime.component.parameter.word config.node_id.host.0 config.self_role config.task_id "
        "config.session_id config.token system.transport system.callback runtime.component.input.table"
    )
    script = tmp_path / "shown.py"
    script.write_text(
        "import os, sys\n"
        "open('out.csv', 'w').write('\\n'.join(os.environ[name] for name in sys.argv[1:]))\n"
        "print(os.getcwd())\n"
    )
    wanted = work(tmp_path, command=f"{sys.executable} {script} {names}", inputs={"table": tmp_path / "a b.csv"})
    ended = run(launcher, wanted)
    assert (ended.cause, dict(ended.files)) == (None, {"out": str(wanted.outputs["out"])})
    assert wanted.outputs["out"].read_text().splitlines() == [
        ECHO,
        "hello",
        "node-b",
        "guest.0",
        "task_hello",
        "session_job-1",
        "token-of-the-test",
        "127.0.0.1:9",
        "http://127.0.0.1:9/v1/platform/schedule/task/callback",
        f'{{"namespace": "{tmp_path}", "name": "a b.csv"}}',
    ]
    eventually(lambda: str(wanted.folder) in log_of(tmp_path, wanted.key))


def test_a_command_fails_by_its_exit_status(launcher: Launcher, tmp_path: Path) -> None:
    """And one that is not installed is not launched at all."""
    ended = run(launcher, work(tmp_path, command="sh -c 'echo oops >&2; exit 3'"))
    assert (ended.cause, ended.detail) == (Cause.COMPONENT_FAILED, "exit status 3")
    eventually(lambda: "oops" in log_of(tmp_path, Key("task_hello", "guest", 1)))
    for command in ("no-such-command-here", "'unbalanced", ""):
        with pytest.raises(LaunchFailed):
            launcher.start(work(tmp_path, command=command))


def test_a_built_in_component_of_another_name_is_not_launched(launcher: Launcher, tmp_path: Path) -> None:
    """The catalogue says what comes with the node."""
    with pytest.raises(LaunchFailed, match="does not come with this node"):
        launcher.start(work(tmp_path, component={"componentName": "none", "version": "1.0.0"}))


@pytest.mark.parametrize(
    ("value", "shown"),
    [("sm2", "sm2"), (7, "7"), (True, "true"), (["a", "b"], "a,b"), (["a,b"], '["a,b"]'), ({"k": "值"}, '{"k": "值"}')],
)
def test_parameters_become_text(value: Any, shown: str) -> None:
    """Words as they are, lists of words by commas, everything else as JSON."""
    assert text(value) == shown


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
