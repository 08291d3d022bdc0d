"""What is left of jobs that ended long ago (8.5.6): intermediate files go, results and logs stay.

An output that another component of the DAG takes in is intermediate; so is everything of an attempt that another one
has followed, or that failed. Guarantees: nothing of a job goes before `[job] keep_days` after its end, nor while a task
of it runs; a file that a dataset or a model of this node names stays; nothing outside the folder of tasks is touched.
A node without a data folder keeps its files as long as its process lives.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node import private
from reference_node.node import Node
from reference_node.schedule import material, sources
from reference_node.store.jobs import JobRow, PartRow, TaskRow, find_job, find_task, open_tasks, parts_of
from reference_node.store.resources import DatasetRow, ModelRow

_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR
_MARK: Final = "swept"


def sweep(node: Node) -> None:
    """Remove what is due, once an hour."""
    if node.config.data is None or not node.config.keep_days or not _due(node):
        return
    for folder in sorted(item for item in node.work_folder.iterdir() if item.is_dir()):
        with node.store.read() as session:
            doomed = list(_doomed(node, session, folder))
        for path in doomed:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _due(node: Node) -> bool:
    """Tell whether the last sweep was long ago, and note this one."""
    if not node.work_folder.is_dir():
        return False
    mark = node.work_folder / _MARK
    last = int(mark.read_text(encoding="ascii") or 0) if mark.exists() else 0
    if node.now() - last < _HOUR:
        return False
    private.write(mark, str(node.now()).encode())
    return True


def _doomed(node: Node, session: Session, folder: Path) -> Iterator[Path]:
    """Yield the files and folders of a task that are kept no longer."""
    cutoff = node.now() - node.config.keep_days * _DAY
    task = find_task(session, folder.name)
    job = None if task is None else find_job(session, task.job_id)
    if task is None or job is None:  # the job was removed; nothing but the folder tells how old it is
        if folder.stat().st_mtime * 1000 < cutoff:
            yield folder
        return
    if job.finished_at is None or job.finished_at > cutoff or open_tasks(session, job.job_id):
        return
    kept = {*_results(node, session, job, task), *named(node, session)}
    attempts = {f"{part.party.name}.{part.attempt}" for part in parts_of(session, task.task_id, node.node_id)}
    for attempt in (item for item in folder.iterdir() if item.is_dir()):
        inside = {path for path in kept if attempt in path.parents}
        if attempt.name not in attempts:
            inside &= named(node, session)
        if inside:
            yield from (path for path in attempt.rglob("*") if path.is_file() and path not in inside)
        else:
            yield attempt


def _results(node: Node, session: Session, job: JobRow, task: TaskRow) -> Iterator[Path]:
    """Yield the files that this node's parts of a task have put out and no other component takes in."""
    taken = {port["key"] for component in job.dag["components"] for port in component["input"]}
    maker = next(item for item in job.dag["components"] if item["name"] == task.task_name)
    names = material.ports(maker, material.description(node, session, maker), "output")
    final = {name for key, name in names.items() if f"{task.task_name}.{key}" not in taken}
    parts: list[PartRow] = list(parts_of(session, task.task_id, node.node_id))
    yield from (Path(place) for part in parts for name, place in part.files.items() if name in final)


def named(node: Node, session: Session) -> set[Path]:
    """Return the files that datasets and models of this node name."""
    datasets = (sources.dataset_path(node, row) for row in session.scalars(select(DatasetRow)))
    models = (sources.model_path(node, row) for row in session.scalars(select(ModelRow)))
    return {path for path in (*datasets, *models) if path is not None}
