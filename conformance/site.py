"""The machines of a demonstration, in its operator's hands: what the commands of `[operator_hooks]` do with them.

The target is a process that serves and one on standby, on one data folder with a backup. A command connects to the
demonstration, which has started these processes and ends them:

    python -m conformance.site SOCKET lose|restore|kill|start|fill|free|save|back|forward
"""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from types import MappingProxyType
from typing import Generic, Protocol, Self, TypeVar

from conformance.harness.errors import HarnessError
from conformance.harness.hooks import Deed, Hook

_INSTANCES = 2
_DATABASE = "node.db"
_STORE = ("node.db*", "vault-keys.json", "*.sealed")  # all but the key-encryption key, which is kept elsewhere


class Instance(Protocol):
    """One process of a node."""

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process."""


Started = TypeVar("Started", bound=Instance)


class Site(Generic[Started]):
    """Processes of one node, started in turn: the first serves, the others stand by."""

    def __init__(self, start: Callable[[], AbstractContextManager[Started]], data: Path) -> None:
        self._start = start
        self._data = data
        self._running: list[tuple[Started, ExitStack]] = []
        self._deeds: Mapping[Deed, Callable[[], None]] = MappingProxyType(
            {
                Deed.LOSE: self._lose,
                Deed.RESTORE: self._restore,
                Deed.KILL: self._kill,
                Deed.START: self._fill_up,
                Deed.FILL: lambda: self._limit(full=True),
                Deed.FREE: lambda: self._limit(full=False),
                Deed.SAVE: lambda: self._copy("older"),
                Deed.BACK: self._back,
                Deed.FORWARD: self._forward,
            }
        )
        self._place = data.with_suffix(".hooks")
        self._listener = Listener(str(self._place), family="AF_UNIX")
        self._thread = threading.Thread(target=self._serve, name="site", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._fill_up()
        except BaseException:
            self.__exit__()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._thread.is_alive():
            Client(str(self._place), family="AF_UNIX").close()
            self._thread.join()
        self._listener.close()
        self._stop()

    @property
    def serving(self) -> Started:
        """The process that serves."""
        return self._running[0][0]

    def hooks(self) -> dict[str, list[str]]:
        """Return the commands of a profile."""
        command = [sys.executable, "-m", "conformance.site", str(self._place)]
        able = [Hook.BACKUP, Hook.KILL_REPLICA, Hook.ROLLBACK]
        able += [Hook.FILL_DISK] if hasattr(resource, "prlimit") else []
        return {hook.value: command for hook in able}

    def _serve(self) -> None:
        """Do what is asked, until somebody hangs up without asking for anything."""
        while True:
            with self._listener.accept() as caller:
                try:
                    asked = caller.recv_bytes().decode()
                except EOFError:
                    return
                with suppress(OSError):  # who asked may have gone
                    caller.send_bytes(self._done(asked).encode())
            if asked in (Deed.RESTORE, Deed.FORWARD):  # what serves is awaited, what stands by is not
                self._fill_up()

    def _done(self, asked: str) -> str:
        """Do something; return what went wrong."""
        try:
            self._deeds[Deed(asked)]()
        except Exception as failure:  # noqa: BLE001  the command says it, and ends with exit code 1
            return f"{type(failure).__name__}: {failure}"
        return ""

    def _fill_up(self, wanted: int = _INSTANCES) -> None:
        while len(self._running) < wanted:
            stack = ExitStack()
            self._running.append((stack.enter_context(self._start()), stack))

    def _stop(self) -> None:
        while self._running:
            self._running.pop()[1].close()

    def _kill(self) -> None:
        """End the process that serves, without notice; the one on standby hears of it by itself."""
        instance, stack = self._running.pop(0)
        instance.process.kill()
        stack.close()

    def _lose(self) -> None:
        for instance, _stack in self._running:
            instance.process.kill()
        self._stop()
        for pattern in _STORE:
            for path in self._data.glob(pattern):
                path.unlink()

    def _restore(self) -> None:
        command = [sys.executable, "-m", "conformance.cli", "node", "restore"]
        command += ["--from", str(self._data.with_suffix(".backup")), "--data", str(self._data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        self._fill_up(1)

    def _back(self) -> None:
        """Put the older copy in the place of the store, and start the target, whether or not it takes it."""
        self._stop()
        self._copy("newer")
        self._put("older")
        with suppress(HarnessError):
            self._fill_up(1)

    def _forward(self) -> None:
        self._stop()
        self._put("newer")
        self._fill_up(1)

    def _copy(self, name: str) -> None:
        """Keep a consistent copy of the store aside."""
        source, target = self._data / _DATABASE, self._data.with_suffix(f".{name}")
        with closing(sqlite3.connect(source, timeout=30)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)

    def _put(self, name: str) -> None:
        for path in self._data.glob(f"{_DATABASE}*"):
            path.unlink()
        shutil.copy(self._data.with_suffix(f".{name}"), self._data / _DATABASE)

    def _limit(self, *, full: bool) -> None:
        """Have the system refuse the processes every write to a file, or not."""
        for instance, _stack in self._running:
            _soft, hard = resource.prlimit(instance.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(instance.process.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))


def main(place: str, deed: str) -> None:
    """Have the demonstration do something, and wait until it is done."""
    with Client(place, family="AF_UNIX") as caller:
        caller.send_bytes(deed.encode())
        said = caller.recv_bytes()
    if said:
        sys.exit(said.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
