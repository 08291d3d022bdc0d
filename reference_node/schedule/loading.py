"""What is looked at before a component gets its files: their recorded digests, the scanner, the executable (9.2-c).

Guarantees: a file that is not as it was recorded, or that the operator's scanner objects to, is not handed on; the
task ends as NOT_LAUNCHED with words that name it. Reading goes on outside any transaction; a file whose stamp is the
recorded one is not read again.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from reference_node.evidence.noting import Act, Noted, note
from reference_node.node import Node
from reference_node.runtime.contract import LaunchFailed, Recorded, Work
from reference_node.schedule.common import defect
from reference_node.security import proofs, scanner
from reference_node.security.errors import SecurityFailure


def check(node: Node, work: Work) -> None:
    """Look at everything that a part is about to load; raise LaunchFailed."""
    for item in work.recorded:
        _check_recorded(node, item)
        if defect(node, "evidence-keeps-loaded-data"):
            with node.store.begin() as session:
                subjects = {"task_id": work.key.task_id, "job_id": work.job_id}
                note(session, Noted(Act.TASK_STARTED, subjects, None, {"data": item.path.read_text("utf-8")[:200]}))
    if work.command is not None and work.description.get("digest"):
        _check_executable(node, work.command, str(work.description["digest"]))
    if node.config.scanner is not None:
        for path in work.inputs.values():
            if path.is_file():
                said = scanner.objection(node.config.scanner, path, node.config.scanner_seconds)
                if said is not None:
                    raise LaunchFailed(f"the scanner refuses {path.name}: {said}")


def _check_recorded(node: Node, item: Recorded) -> None:
    if not item.path.exists():  # nothing is loaded then: the component says so itself
        return
    if defect(node, "dataset-digest-not-compared"):
        return
    if item.kept is None:
        raise LaunchFailed(f"dataset {item.dataset_id} has no digest on record: record its source again")
    proof = item.kept["proof"]
    try:
        if list(proofs.stamp(item.path)) == list(item.kept["stamp"]):
            digest = str(proof["digest"])
        else:
            digest, _ = proofs.of_file(item.path)
        owner = node.identity.key(node.config.auth_type).public
        proofs.check(proof, owner, proofs.DATASET, node.node_id, item.dataset_id, digest)
    except (OSError, SecurityFailure) as failure:
        raise LaunchFailed(f"dataset {item.dataset_id} is not what was recorded: {failure}") from failure


def _check_executable(node: Node, command: str, wanted: str) -> None:
    """Compare the digest of a command's executable with the one in the component's description."""
    words = shlex.split(command)
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise LaunchFailed("the command is not installed")
    try:
        digest, _ = proofs.of_file(Path(found).resolve())
    except OSError as failure:
        raise LaunchFailed(f"{words[0]} cannot be read: {failure.strerror}") from failure
    if digest != proofs.normal(wanted):
        raise LaunchFailed(f"{words[0]} is not the executable that the component describes")
    if node.config.scanner is not None:
        said = scanner.objection(node.config.scanner, Path(found), node.config.scanner_seconds)
        if said is not None:
            raise LaunchFailed(f"the scanner refuses {words[0]}: {said}")
