"""Files that tasks have put out, handed to this node's operator (8.5.6, 9.2-e).

Guarantees: a file is handed out in clear though it lies sealed, and every byte of it was checked before the first one
is sent; that it is handed out stands in the task's log and is kept as evidence before. Reading goes on outside any
transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.orm import Session

from reference_node.domain.task import TaskStatus
from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.node import Node
from reference_node.schedule import files
from reference_node.services import tasks
from reference_node.store.jobs import parts_of

log = structlog.get_logger("reference_node")


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that a task has put out; it is read when the first piece of `content` is asked for."""

    name: str
    size: int
    content: Iterator[bytes]


def fetch(node: Node, session: Session, query: Mapping[str, Any]) -> OutputFile:
    """Return a file that this node's part of a task has put out."""
    task = tasks.of_job(node, session, query)
    own = parts_of(session, task.task_id, node.node_id)
    part = next((row for row in own if row.party.name == query["party"]), None)
    if part is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/party")
    place = part.files.get(query["name"])
    if place is None or part.status != TaskStatus.SUCCESS:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/name")
    subjects = {"task_id": task.task_id, "job_id": task.job_id}
    party, path = part.party.name, Path(place)
    session.commit()
    try:
        size = sum(len(piece) for piece in files.content(node, path))
    except FileNotFoundError:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/name") from None
    said = {"party": party, "output": query["name"], "bytes": size}
    note(session, Noted(Act.TASK_HANDED_OUT, subjects, None, said))
    session.commit()
    words = f"{party} output {query['name']} handed to the operator, {size} bytes"
    node.journal.write(subjects["task_id"], "INFO", words, node.now())
    log.info("output handed out", node_id=node.node_id, **subjects, **said)
    return OutputFile(files.clear_name(path), size, files.content(node, path))
