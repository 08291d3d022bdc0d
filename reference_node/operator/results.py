"""Files of results: fetched from every node that is ours into one folder, `<node>/<task>.<output><suffix>`.

Guarantees: a file that is there is whole and has the digest that its node has told of it; what a node says is no path:
nothing is written outside its own folder. A file of an earlier run gives way to the one of this run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from reference_node.operator.client import NodeClient, OperatorError

FOLDER: Final = "results"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_FIELDS: Final = frozenset({"name", "file", "party", "location", "sha256"})


class Results:
    """Where the files of one run go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[Path] = set()

    def fetch(self, client: NodeClient, label: str, task: Mapping[str, Any], content: Mapping[str, Any]) -> Path | None:
        """Fetch what an output tells of, if it is a file; return where it lies now. Raise OperatorError."""
        if not content.keys() >= _FIELDS:
            return None
        target = self._place(label, str(task["task_name"]), content)
        asked = {"task_id": task["task_id"], "party": content["party"], "name": content["name"]}
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = client.file("ownTaskOutput", target, **asked)
        except OSError as failure:
            raise OperatorError(f"{target} cannot be written: {failure.strerror}") from failure
        if digest != content["sha256"]:
            target.unlink()
            raise OperatorError(f"what {label} has sent of {task['task_name']} is not what the task has put out")
        return target

    def _place(self, label: str, task: str, content: Mapping[str, Any]) -> Path:
        """Return a name of its own for a file: the party stands in it where a node plays several."""
        suffix = PurePosixPath(str(content["file"])).suffix
        words = [task, str(content["name"])]
        folder = self.folder / _UNSAFE.sub("_", label)
        target = _named(folder, words, suffix)
        if target in self._taken:
            target = _named(folder, [task, str(content["party"]), str(content["name"])], suffix)
        self._taken.add(target)
        return target


def _named(folder: Path, words: list[str], suffix: str) -> Path:
    name = ".".join(_UNSAFE.sub("_", word) for word in words)
    return folder / (name + ("." + _UNSAFE.sub("_", suffix[1:]) if suffix else ""))
