"""What a task has put out at this node, as its operator is told (8.5.6): reports, and files by place and digest.

Guarantees: a file is read outside any transaction, so that a large one keeps nobody waiting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference_node.runtime.contract import Exit
from reference_node.schedule.files import clear_name

_REPORT = "report"
Digests = Mapping[str, tuple[int, str]]


def digests(item: Exit) -> Digests:
    """Return size and SHA-256 of the files that an attempt has left, by output."""
    found = {}
    for name, place in item.files.items():
        path = Path(place)
        if path.is_file():
            with path.open("rb") as file:
                found[name] = (path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
    return found


def told(item: Exit, party: str, described: Mapping[str, Any] | None, read: Digests) -> list[dict[str, Any]]:
    """Return the outputs of an attempt that has succeeded: its files, then what it says of its result."""
    kinds = {port["name"]: port["category"] for port in (described or {}).get("outputData", [])}
    found: list[dict[str, Any]] = [
        {
            "output_type": kinds.get(name, _REPORT),
            "output_content": {
                "name": name,
                "file": clear_name(item.files[name]),
                "party": party,
                "location": item.files[name],
                "bytes": size,
                "sha256": digest,
            },
        }
        for name, (size, digest) in read.items()
        if name in item.files
    ]
    if item.summary is not None:
        found.append({"output_type": _REPORT, "output_content": dict(item.summary)})
    return found
