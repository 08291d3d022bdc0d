"""The logs of tasks (8.5.2-d): one file for each, a JSON object a line, written by the node and by its components.

Guarantees: a line is written whole, whoever writes at the same time; lines are read by time, those of the same
millisecond as they were written; a reader gets no more than fits one answer; a line that is not ours is shown as text;
no character of a line steers a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from reference_node import private
from reference_node.domain.text import shown

LEVELS: Final = ("DEBUG", "INFO", "WARN", "ERROR")
LINE_LIMIT: Final = 16_384
FILE: Final = "log.jsonl"
TASKS: Final = "tasks"  # where, in a data folder, logs and files of tasks lie


class Journal:
    """The logs of one node's tasks; without a data folder they live as long as the node."""

    ANSWER_LIMIT: ClassVar[int] = 1024 * 1024 - 4096

    def __init__(self, data: Path | None) -> None:
        self._temporary = data is None
        self._folder = None if data is None else data / TASKS
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the logs, and the files of the tasks, lie."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="hutong-tasks-"))
            return self._folder

    def path(self, task_id: str) -> Path:
        """Return the log of a task; its folder is there."""
        folder = self.folder / task_id
        private.make(folder)
        return folder / FILE

    def write(self, task_id: str, level: str, content: str, now: int) -> None:
        """Append a line."""
        append(self.path(task_id), level, content, now)

    def count(self, task_id: str, level: str) -> int:
        """Return how many lines are of this level or above."""
        return sum(1 for _ in self._lines(task_id, level))

    def read(
        self, task_id: str, level: str, start: int, length: int, *, newest_first: bool, limit: int | None
    ) -> list[dict[str, Any]]:
        """Return lines of this level or above by time, from the one numbered `start`, as many as fit `limit` bytes."""
        lines = sorted(self._lines(task_id, level), key=lambda line: line["time"])
        if newest_first:
            lines.reverse()
        found: list[dict[str, Any]] = []
        room = limit
        for line in lines[start : start + length]:
            if room is not None:
                room -= _size(line)
                if room < 0:
                    break
            found.append(line)
        return found

    @staticmethod
    def text(line: dict[str, Any]) -> str:
        """Return a line as text."""
        stamp = datetime.fromtimestamp(line["time"] / 1000, UTC).isoformat(timespec="milliseconds")
        return f"{stamp.removesuffix('+00:00')}Z {line['level']} {line['content']}\n"

    def close(self) -> None:
        """Remove what was kept for this process only."""
        with self._lock:
            if self._temporary and self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _lines(self, task_id: str, level: str) -> Iterator[dict[str, Any]]:
        least = LEVELS.index(level)
        path = self.folder / task_id / FILE
        if not path.exists():
            return
        last = 0
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                line = _line(text, last)
                last = line["time"]
                if LEVELS.index(line["level"]) >= least:
                    yield line


def append(path: Path, level: str, content: str, now: int) -> None:
    """Append a line to a log; a single write, so that lines of several writers do not mix."""
    line = {"time": now, "level": level, "content": shown(content[:LINE_LIMIT])}
    data = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def _line(text: str, last: int) -> dict[str, Any]:
    """Read a line; what is not of our form is text of the time of the line before it."""
    try:
        found = json.loads(text)
        time, level, content = found["time"], found["level"], found["content"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"time": last, "level": "INFO", "content": shown(text.rstrip("\n")[:LINE_LIMIT])}
    fits = isinstance(time, int) and not isinstance(time, bool) and time >= 0 and level in LEVELS
    if not fits or not isinstance(content, str):
        return {"time": last, "level": "INFO", "content": shown(text.rstrip("\n")[:LINE_LIMIT])}
    return {"time": time, "level": level, "content": shown(content[:LINE_LIMIT])}


def _size(line: dict[str, Any]) -> int:
    """Return how many bytes a line takes in an answer, which carries it as text and in parts."""
    as_text = json.dumps(Journal.text(line), ensure_ascii=False)
    return len(as_text.encode()) + len(json.dumps(line, ensure_ascii=False).encode()) + 1
