"""What a target has written down, as far as its operator lets the suite read it: storage, a dump of it, logs (9.2-e-2).

The places come from `[operator_hooks]` of the profile. Reading is collection: what is found goes into the recording as
an observation, so that the judge needs none of these places. Files that go while they are read are passed over.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from conformance.harness import canary
from conformance.harness.errors import Undrivable
from conformance.harness.profile_model import Hooks

DUMP_SECONDS = 60


class Place(StrEnum):
    """What kind of place something was read from."""

    STORAGE = "storage"
    LOGS = "logs"


Reader = Callable[[], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Deposits:
    """The places, each with what reads it: pairs of a name and its bytes."""

    places: Mapping[Place, Reader]

    def searched(self, canaries: Mapping[str, str]) -> dict[str, Any]:
        """Read every place whole and say what was found where; the result is JSON."""
        found: list[dict[str, str]] = []
        seen: dict[str, dict[str, Any]] = {}
        for place, reader in self.places.items():
            files, size, state = 0, 0, hashlib.sha256()
            for name, data in reader():
                files, size = files + 1, size + len(data)
                state.update(data)
                rows = canary.search(data, canaries)
                found += [{"canary": hit.canary, "form": hit.form, "place": place, "name": name} for hit in rows]
            seen[place] = {"files": files, "bytes": size, "sha256": state.hexdigest()}
        return {"found": found, "places": seen}


def of(hooks: Hooks | None) -> Deposits | None:
    """Return the places that a profile names, None where it names none."""
    if hooks is None or not (hooks.storage_path or hooks.dump):
        return None
    places: dict[Place, Reader] = {}
    paths, command = hooks.storage_path, hooks.dump

    def storage() -> Iterator[tuple[str, bytes]]:
        for path in paths:
            yield from files_of(path)
        if command:
            yield "dump", _dumped(command)

    places[Place.STORAGE] = storage
    if hooks.logs_path:
        places[Place.LOGS] = lambda: (row for path in hooks.logs_path for row in files_of(path))
    return Deposits(places)


def files_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files under a path, or the file itself, by name. Raises Undrivable where nothing is there."""
    if not path.exists():
        raise Undrivable(f"profile: operator_hooks names {path}, which is not there")
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            try:
                yield file.name, file.read_bytes()
            except FileNotFoundError:
                continue


def _dumped(command: tuple[str, ...]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=DUMP_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as failure:
        raise Undrivable(f"profile: operator_hooks.dump failed: {type(failure).__name__}") from failure
    return done.stdout
