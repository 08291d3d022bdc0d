"""The reference node on a disk: two instances on one data folder with a backup, for what the operator's hooks disturb.

The instances run in process behind a transport that keeps to one until it is gone; the clock moves only when a scenario
lets it. An instance that is killed takes with it what it has in memory.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from flask import Flask
from sqlalchemy import event

from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.hooks import Deed, Hook
from conformance.harness.profile import parse_profile
from conformance.harness.records import Answer, Request, Transcript
from conformance.harness.registry import Scenario
from conformance.harness.target import Unanswered
from conformance.selftest.inprocess import (
    AUDITOR,
    NODE_ID,
    TOKEN,
    URL,
    HeldRunner,
    InProcessTransport,
    Network,
    SteppedClock,
    at_home,
)
from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.node import Node
from reference_node.security.vault import KEYRING_FILE
from reference_node.store import backup
from reference_node.store.base import DATABASE

NAME: Final = "stored"
MODULES: Final = ("conformance.suites.suite_9_2_availability", "conformance.suites.suite_9_2_older_store")
_OLDER: Final = "older.db"
_NEWER: Final = "newer.db"
_INSTANCES: Final = 2
_BACKUP_SECONDS: Final = 1
_AMPLE: Final = 1_000_000  # pages
_LOST: Final = (f"{DATABASE}*", KEYRING_FILE, "*.sealed")


@dataclass(slots=True)
class Site:
    """A data folder, its backup, and the instances on it, of which the first answers."""

    folder: Path
    clock: SteppedClock
    network: Network
    faults: Faults
    apps: list[Flask] = field(default_factory=list)
    pages: int = _AMPLE

    def start(self) -> None:
        """Start instances until there are as many as there should be."""
        while len(self.apps) < _INSTANCES:
            config = load_config(
                None,
                data=self.folder / "data",
                node_id=NODE_ID,
                address=URL,
                operator_token=TOKEN,
                auditor_token=AUDITOR,
                backup=self.folder / "backup",
                backup_seconds=_BACKUP_SECONDS,
                background=False,
                faults=tuple(self.faults.hits),
            )
            runner = HeldRunner(self.clock)
            app = create_app(
                config,
                clock=self.clock,
                outbound=self.network,
                runner=runner,
                faults=self.faults,
                resolver=at_home,
            )
            event.listen(node_of(app).store.engine, "checkout", self._limit)
            self.apps.append(app)
            node_of(app).pump()

    def stop(self, number: int = _INSTANCES) -> None:
        """End the first instances."""
        for app in self.apps[:number]:
            node_of(app).close()
        del self.apps[:number]

    def send(self, request: Request, timeout: float) -> Answer:
        """Send a request to the first instance."""
        if not self.apps:
            raise Unanswered("no instance runs")
        return InProcessTransport(self.apps[0]).send(request, timeout)

    def pump(self) -> None:
        """Have every instance do what is due."""
        for app in self.apps:
            node_of(app).pump()

    def lose(self) -> None:
        """Destroy the store, with the keys that lie beside it; the key-encryption key is kept elsewhere."""
        self.stop()
        for pattern in _LOST:
            for path in (self.folder / "data").glob(pattern):
                path.unlink()

    def restore(self) -> None:
        """Bring the store back, and the instances."""
        backup.restore(self.folder / "backup", self.folder / "data")
        self.start()

    def save(self) -> None:
        """Keep a consistent copy of the database aside."""
        _copy(self.folder / "data" / DATABASE, self.folder / _OLDER)

    def back(self) -> None:
        """Put the older copy in the place of the database, and start what takes it."""
        self.stop()
        _copy(self.folder / "data" / DATABASE, self.folder / _NEWER)
        self._put(_OLDER)
        with suppress(ConfigError):
            self.start()

    def forward(self) -> None:
        """Put the newer database back, and start the instances."""
        self.stop()
        self._put(_NEWER)
        self.start()

    def _put(self, copy: str) -> None:
        data = self.folder / "data"
        for path in data.glob(f"{DATABASE}*"):
            path.unlink()
        shutil.copy(self.folder / copy, data / DATABASE)

    def fill(self) -> None:
        """Let the database grow no further."""
        with node_of(self.apps[0]).store.reading() as connection:
            self.pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar() or 0)

    def free(self) -> None:
        """Let it grow again."""
        self.pages = _AMPLE

    def _limit(self, connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {self.pages}")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@dataclass(frozen=True, slots=True)
class StoredLab:
    """A node with some defects on a disk, and a stage around it."""

    site: Site
    collector: engine.Collector
    folder: tempfile.TemporaryDirectory[str]

    @property
    def node(self) -> Node:
        """The instance that answers; all of them have the same switchboard of defects."""
        return node_of(self.site.apps[0])

    def run(self, scenarios: Sequence[Scenario]) -> dict[str, Transcript]:
        """Act out scenarios one after the other."""
        for scenario in scenarios:
            self.collector.act(scenario)
        return self.collector.transcripts

    def close(self) -> None:
        """End the instances and let go of the folder."""
        self.site.stop()
        self.folder.cleanup()


class _SiteClock(SteppedClock):
    """A clock by which all instances of a site do what is due."""

    def __init__(self) -> None:
        super().__init__()
        self.pump: Callable[[], None] = lambda: None

    def elapse(self, seconds: float) -> None:
        """Let time pass."""
        super().elapse(seconds)
        self.pump()


def stored_lab(faults: Sequence[str] = ()) -> StoredLab:
    """Put a node with these defects on a disk, run it in two instances, and set a stage around it."""
    folder = tempfile.TemporaryDirectory(prefix="hutong-lab-")
    clock, network = _SiteClock(), Network()
    site = Site(Path(folder.name), clock, network, Faults(faults))
    site.start()
    clock.pump = site.pump
    clock.elapse(_BACKUP_SECONDS + 1)
    profile = parse_profile(
        {"target": {"url": URL, "node_id": NODE_ID}, "operator": {"token": TOKEN}, "auditor": {"token": AUDITOR}},
        "on a disk",
    )
    current = engine.stage(profile, load_binding("reference"), transport=site, clock=clock)
    current.receiver.address = "http://partner.test"
    hands = {
        Hook.BACKUP: {Deed.LOSE: site.lose, Deed.RESTORE: site.restore},
        Hook.KILL_REPLICA: {Deed.KILL: lambda: site.stop(1), Deed.START: site.start},
        Hook.FILL_DISK: {Deed.FILL: site.fill, Deed.FREE: site.free},
        Hook.ROLLBACK: {Deed.SAVE: site.save, Deed.BACK: site.back, Deed.FORWARD: site.forward},
    }
    current = replace(current, threads=1, hands={hook: _helper(deeds) for hook, deeds in hands.items()})
    network.stage = current
    network.nodes = {URL: site}
    return StoredLab(site, engine.Collector(current), folder)


def _helper(deeds: dict[Deed, Callable[[], None]]) -> Callable[[Deed], None]:
    return lambda deed: deeds[deed]()
