"""Where datasets and models of this node may lie: in folders that its configuration names, and nowhere else (9.2-e).

Guarantees: what an operator of the interface names is a file within `[datasets] folders` (by default `datasets` and
`models` of the data folder; a relative place is one in the first of them), or one that a task of this node has put out.
Links are followed before it is judged; the node's own files (database, keys, tokens, evidence, backups) are refused
wherever the folders are, also by a second name of the same file; what is no regular file is refused. A place is judged
when it is recorded and again each time that its file is taken.

The configuration is the word of whoever runs the process; the location is the word of whoever has the operator's token.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reference_node.config import Config
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security import proofs
from reference_node.store.seals import EVIDENCE_COPIES

_FILE: Final = "file://"
_FOLDERS: Final = {proofs.DATASET: "datasets", proofs.MODEL: "models"}


class Outside(Exception):
    """A place is not one where data of this node may lie; the message says why."""


def of(node: Node, kind: str, location: str) -> Path:
    """Return the path of a location; raise Outside."""
    roots = _roots(node.config, kind)
    path = roots[0] / location.removeprefix(_FILE)
    try:
        found = path.resolve()
        within = [root for root in (root.resolve() for root in roots) if found.is_relative_to(root)]
        if (node.config.data is not None or not within) and found.is_relative_to(node.work_folder.resolve()):
            within.append(node.work_folder.resolve())  # what a task has put out
        _refuse_own(node.config, found, within)
        _refuse_special(node.config, found)
    except (OSError, ValueError, RuntimeError) as broken:  # NUL, links in a circle, a file where a folder should be
        raise Outside("it is no path") from broken
    return path


def demand(node: Node, kind: str, location: str, pointer: str) -> Path:
    """Return the path of a location that a request names; refuse the request where it is outside."""
    try:
        return of(node, kind, location)
    except Outside:  # why is not told: it would tell what is there
        raise Refusal("LOCATION_REFUSED", pointer=pointer) from None


def _roots(config: Config, kind: str) -> tuple[Path, ...]:
    return config.dataset_folders or ((config.data or Path()) / _FOLDERS[kind],)


def _refuse_own(config: Config, found: Path, within: list[Path]) -> None:
    if not within:
        raise Outside("it is in none of the folders of [datasets] folders")
    own = [place.resolve() for place in _own(config)]
    for place in own:
        # a folder for data inside of the data folder is one for data, the data folder itself is not
        if found.is_relative_to(place) and not any(root != place and root.is_relative_to(place) for root in within):
            raise Outside("it is a file of the node itself")


def _refuse_special(config: Config, found: Path) -> None:
    try:
        what = found.stat()
    except FileNotFoundError:  # it may come later, and is judged again then
        return
    if not stat.S_ISREG(what.st_mode):
        raise Outside("it is no file")
    if what.st_nlink > 1 and (what.st_dev, what.st_ino) in set(_identities(config)):
        raise Outside("it is another name of a file of the node itself")


def _own(config: Config) -> Iterator[Path]:
    """Yield the folders and files that hold what the node lives by."""
    places = (config.data, config.backup, config.evidence_backup, config.gap)
    keys = (config.key_file, config.tls_key)
    yield from (place for place in (*places, *keys) if place is not None)


def _identities(config: Config) -> Iterator[tuple[int, int]]:
    """Yield what tells a file from others, whatever it is called, of the node's own files."""
    for place in _own(config):
        more = [place / EVIDENCE_COPIES] if place == config.data else []
        for item in (place, *more):
            files = [entry.path for entry in os.scandir(item) if entry.is_file()] if item.is_dir() else [item]
            for file in files:
                if Path(file).exists():
                    known = os.stat(file)  # noqa: PTH116 - what scandir found
                    yield known.st_dev, known.st_ino
