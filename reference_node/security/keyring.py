"""Where wrapped data keys lie: in a file of mode 0600, or in memory (9.2-e-2).

Guarantees: what is written is on the disk when the call returns, and the file is the old one or the new one and never
half of either. A key that was destroyed leaves its id and the time of its end.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from reference_node.security.errors import VaultKeyRefused


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One data key, wrapped; `wrapped` is empty once the key is destroyed."""

    id: str
    purpose: str
    cipher: str
    made_at: int
    wrapped: str = ""
    destroyed_at: int | None = None


class MemoryKeyring:
    """The records of a node without a data folder."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}

    def read(self) -> Mapping[str, KeyRecord]:
        """Every record by its key's id."""
        return dict(self._records)

    def add(self, record: KeyRecord) -> bool:
        """Keep a further record."""
        return self._records.setdefault(record.id, record) is record

    def replace(self, records: Mapping[str, KeyRecord]) -> None:
        """Put these in the place of those of the same ids."""
        self._records.update(records)


class FileKeyring:
    """The records in one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> Mapping[str, KeyRecord]:
        """Every record by its key's id; nothing where there is no file yet."""
        try:
            records = [KeyRecord(**item) for item in json.loads(self._path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as damaged:
            raise VaultKeyRefused(f"{self._path.name} is damaged") from damaged
        return {record.id: record for record in records}

    def add(self, record: KeyRecord) -> bool:
        """Keep a further record."""
        with self._lock:
            records = dict(self.read())
            if record.id in records:
                return False
            self._write({**records, record.id: record})
            return True

    def replace(self, records: Mapping[str, KeyRecord]) -> None:
        """Put these in the place of those of the same ids."""
        with self._lock:
            self._write({**self.read(), **records})

    def _write(self, records: Mapping[str, KeyRecord]) -> None:
        fresh = self._path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump([asdict(record) for record in records.values()], file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
