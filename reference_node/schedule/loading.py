"""What is looked at before a component gets its files: their recorded digests, the scanner, the executable (9.2-c).

Guarantees: a file that is not as it was recorded, or that the operator's scanner objects to, is not handed on; the
task ends as NOT_LAUNCHED with words that name it; what is handed on is told by its digest. Reading goes on outside any
transaction; a dataset whose stamp is the recorded one is not read again.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from reference_node.node import Node
from reference_node.runtime.contract import LaunchFailed, Recorded, Work
from reference_node.schedule.common import defect
from reference_node.security import proofs, scanner
from reference_node.security.errors import InvalidSignature, SecurityFailure


def check(node: Node, work: Work) -> dict[str, dict[str, str]]:
    """Look at everything that a part is about to load and return what it is, by port; raise LaunchFailed."""
    loaded = {port: _loaded(node, path, work.recorded.get(port)) for port, path in work.inputs.items()}
    if work.command is not None and work.description.get("digest"):
        _check_executable(node, work.command, str(work.description["digest"]))
    if node.config.scanner is not None:
        for path in work.inputs.values():
            if path.is_file():
                said = scanner.objection(node.config.scanner, path, node.config.scanner_seconds)
                if said is not None:
                    raise LaunchFailed(f"the scanner refuses {path.name}: {said}")
    return loaded


def _loaded(node: Node, path: Path, item: Recorded | None) -> dict[str, str]:
    """Return the digest of a file, and of which resource it is; a file that is not there the component misses."""
    found = {} if item is None else {f"{item.kind}_id": item.resource_id}
    if not path.is_file():
        return found
    try:
        known = None if defect(node, "dataset-digest-not-compared") else item
        digest = proofs.of_file(path)[0] if known is None else _recorded(node, known)
    except (OSError, SecurityFailure) as failure:
        what = path.name if item is None else f"{item.kind} {item.resource_id}"
        raise LaunchFailed(f"{what} is not what was recorded: {failure}") from failure
    return {**found, "digest": digest}


def _recorded(node: Node, item: Recorded) -> str:
    """Return the digest of a file that is as it was recorded; raise SecurityFailure, OSError or LaunchFailed."""
    if item.digest is None:
        raise LaunchFailed(f"{item.kind} {item.resource_id} has no digest on record: record its source again")
    wanted = proofs.normal(item.digest)
    kept = item.kept or {}
    if kept and list(proofs.stamp(item.path)) == list(kept["stamp"]):
        digest = wanted
    else:
        digest, _ = proofs.of_file(item.path, proofs.algorithm_of(wanted))
    if kept:
        owner = node.identity.key(node.config.auth_type).public
        proofs.check(kept["proof"], owner, item.kind, node.node_id, item.resource_id, digest)
    elif digest != wanted:
        raise InvalidSignature("its digest is another one")
    return digest


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
