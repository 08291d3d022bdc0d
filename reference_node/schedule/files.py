"""Files that tasks put out: sealed while they lie, in clear where a task reads them (9.2-e-1, 9.2-e-2).

Guarantees: when a part has ended, its outputs are there under their names with `.sealed` behind and nothing else of it
is; what is sealed is opened into the private folder of the attempt that takes it in, and goes with that attempt; a
sealed file that was changed, cut or put in the place of another one raises StoreTampered, and nothing is run with it.
Whether a file is sealed is told by the name on record and never by the file. Datasets that operators have registered
stay as they are. A node that stopped in between finishes at its next start.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node import private
from reference_node.domain.task import Cause, TaskStatus
from reference_node.node import Node
from reference_node.runtime.contract import Exit, Key, LaunchFailed, Work
from reference_node.schedule.common import defect
from reference_node.security import sealed_files
from reference_node.security.errors import SecurityFailure
from reference_node.store.jobs import PartRow

log = structlog.get_logger("reference_node")
SUFFIX: Final = ".sealed"
_OPENED: Final = "inputs"


def clear_name(place: str | Path) -> str:
    """Return the name that a file had when it was put out."""
    return Path(place).name.removesuffix(SUFFIX)


def content(node: Node, path: Path) -> Iterator[bytes]:
    """Yield what a file holds; StoreTampered where it was sealed and is not what was written."""
    if path.suffix == SUFFIX:
        careful = not defect(node, "altered-output-not-noticed")
        yield from sealed_files.read(node.vault, path, _name(node, path), careful=careful)
    else:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(sealed_files.PIECE), b"")


def opened(node: Node, work: Work) -> Work:
    """Return what is run with its inputs in clear, in the attempt's own folder; raise LaunchFailed."""
    inputs = dict(work.inputs)
    try:
        for port, path in work.inputs.items():
            if node.work_folder in path.parents and (path.suffix == SUFFIX or node.config.seal_files):
                inputs[port] = _lend(node, path, work.folder / _OPENED / port)
    except (OSError, SecurityFailure) as failure:
        forget(node, work.key)
        raise LaunchFailed(f"an earlier task's file was not taken: {failure}") from failure
    return replace(work, inputs=inputs)


def ended(node: Node, item: Exit) -> Exit:
    """Seal what an attempt has put out and remove whatever else is left of it."""
    if not node.config.seal_files or defect(node, "outputs-left-in-clear"):
        _close(node, item.key)
        return item
    try:
        files = {name: str(_sealed(node, Path(place))) for name, place in item.files.items()}
        left = replace(item, files=files)
    except OSError as failure:
        log.exception("output not sealed", task_id=item.key.task_id, node_id=node.node_id)
        detail = f"what it has put out could not be sealed: {failure.strerror}"
        left = replace(item, cause=item.cause or Cause.COMPONENT_FAILED, detail=item.detail or detail, files={})
    _clean(node, item.key, {Path(place) for place in left.files.values()})
    return left


def forget(node: Node, key: Key) -> None:
    """Remove all that an attempt has left that came to nothing."""
    if not node.config.seal_files:
        _close(node, key)
        return
    for folder in _folders(node, key):
        shutil.rmtree(folder, ignore_errors=True)


def recover(node: Node, named: Callable[[Node, Session], set[Path]]) -> None:
    """Finish what a node that stopped has not come to: clear inputs go, clear outputs but `named` ones are sealed."""
    if not node.work_folder.is_dir():
        return
    for folder in node.work_folder.glob(f"*/*/{_OPENED}"):
        shutil.rmtree(folder, ignore_errors=True)
    if not node.config.seal_files:
        return
    with node.store.begin() as session:
        mine = (PartRow.node_id == node.node_id, PartRow.status == TaskStatus.SUCCESS.value)
        left = named(node, session)
        for part in session.scalars(select(PartRow).where(*mine)).all():
            try:
                files = {name: str(_recovered(node, Path(place), left)) for name, place in part.files.items()}
                if files != part.files:
                    part.files, kept = files, {Path(place) for place in files.values()}
                    _clean(node, Key(part.task_id, part.role, part.attempt), kept | left)
            except OSError:
                log.exception("output not sealed", task_id=part.task_id, node_id=node.node_id)


def _clean(node: Node, key: Key, kept: set[Path]) -> None:
    """Remove all that an attempt has left but the files to keep."""
    for folder in _folders(node, key):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_symlink() or not path.is_dir():
                if path not in kept:
                    path.unlink(missing_ok=True)
            elif not any(path in place.parents for place in kept):
                shutil.rmtree(path, ignore_errors=True)


def _recovered(node: Node, path: Path, named: set[Path]) -> Path:
    """Seal a file that was to be; one that has gone meanwhile, or lies elsewhere, stays on record as it was."""
    whole = path.with_name(path.name + SUFFIX)
    if path.suffix == SUFFIX or path in named or node.work_folder not in path.parents:
        return path
    if not path.exists():
        return whole if whole.exists() else path
    return _sealed(node, path)


def _sealed(node: Node, path: Path) -> Path:
    """Put a sealed file in the place of a clear one and return its name."""
    if path.suffix == SUFFIX or not path.is_file():
        return path
    whole = path.with_name(path.name + SUFFIX)
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(sealed_files.PIECE), b"")
        sealed_files.write(node.vault, whole, pieces, _name(node, path))
    path.unlink()
    return whole


def _lend(node: Node, path: Path, folder: Path) -> Path:
    """Give an attempt a file of an earlier one in clear, in a folder of its own."""
    private.make(folder)
    folder.parent.chmod(0o700)
    target = folder / clear_name(path)
    if path.suffix != SUFFIX:  # its maker has reported it and is still on its way out
        os.link(path, target)
        return target
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for piece in content(node, path):
            file.write(piece)
    return target


def _close(node: Node, key: Key) -> None:
    for folder in _folders(node, key):
        shutil.rmtree(folder / _OPENED, ignore_errors=True)


def _folders(node: Node, key: Key) -> Iterator[Path]:
    yield from (node.work_folder / key.task_id).glob(f"{key.role}.*.{key.attempt}")


def _name(node: Node, path: Path) -> str:
    """Return what a file is bound to: its place among the tasks, wherever the data folder lies."""
    return "tasks/" + str((path.parent / clear_name(path)).relative_to(node.work_folder))
