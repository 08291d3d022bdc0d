"""What the relay lets through: its policy file, and the message kinds that algorithms declare (9.2-h).

A component's self-description lists under `intermediate` the tags of the messages that its parties exchange, each with
the most bytes that one may have; a component that declares none exchanges nothing across the gap. Guarantees: an
unknown key or a value that does not fit is a ConfigError that names it; what the file leaves out has a bounded default.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import specs
from reference_node.errors import ConfigError
from reference_node.gap.files import SUITE
from reference_node.gap.operations import DATA, between_nodes
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PublicKey

Component = tuple[str, str, str]
Kinds = Mapping[str, int]
_MIB: Final = 1024 * 1024
_LIMITS: Final = {
    "message_mib": (64, 1, 65_536),
    "session_mib": (8192, 1, 16_777_216),
    "files_per_second": (200, 1, 100_000),
    "refused_kept": (1000, 1, 1_000_000),
}
_KEYS: Final = {"outer", "inner", "limits", "operations", "components"}


@dataclass(frozen=True, slots=True)
class Party:
    """The node on one side, and the key that its files are signed with."""

    node_id: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Policy:
    """What may pass, how much of it, and how fast (files in a second, each way)."""

    outer: Party
    inner: Party
    message_bytes: int
    session_bytes: int
    files_per_second: int
    refused_kept: int
    operations: frozenset[str]
    intermediates: Mapping[Component, Kinds]


def load_policy(path: Path) -> Policy:
    """Read a policy file; what it names stands relative to it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise ConfigError(f"there is no policy file {path}") from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path}: {wrong}") from wrong
    _known(content, _KEYS, path, "")
    limits = _limits(content.get("limits", {}), path)
    outer, inner = (_party(content.get(side), path, side) for side in ("outer", "inner"))
    if outer.node_id == inner.node_id:
        raise ConfigError(f"{path}: both sides are {outer.node_id}", hint="each side has a node of its own")
    return Policy(
        outer,
        inner,
        limits["message_mib"] * _MIB,
        limits["session_mib"] * _MIB,
        limits["files_per_second"],
        limits["refused_kept"],
        _operations(content.get("operations"), path),
        _intermediates(_names(content.get("components", []), path, "components"), path),
    )


def _known(found: Mapping[str, Any], valid: set[str], path: Path, where: str) -> None:
    if unknown := sorted(found.keys() - valid):
        raise ConfigError(f"{path}: {where}{unknown[0]} is no key", hint=f"valid: {', '.join(sorted(valid))}")


def _limits(found: Any, path: Path) -> dict[str, int]:
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: limits is a section, [limits]")
    _known(found, set(_LIMITS), path, "limits.")
    values = {}
    for name, (default, least, most) in _LIMITS.items():
        value = found.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigError(f"{path}: limits.{name} = {value!r} is not a number from {least} to {most}")
        values[name] = value
    return values


def _party(found: Any, path: Path, side: str) -> Party:
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in ("node_id", "key")):
        raise ConfigError(f"{path}: [{side}] has node_id and key", hint="key is the file own.pem of the node's link")
    _known(found, {"node_id", "key"}, path, f"{side}.")
    file = path.parent / found["key"]
    try:
        return Party(found["node_id"], PublicKey.from_credential(SUITE, file.read_text(encoding="ascii")))
    except (OSError, UnicodeDecodeError, SecurityFailure) as wrong:
        raise ConfigError(f"{path}: {side}.key: {file}: {wrong}") from wrong


def _operations(found: Any, path: Path) -> frozenset[str]:
    """Return the operations that may cross, all of those between nodes unless some are named."""
    every = {operation.id for operation in between_nodes().values()}
    named = every if found is None else set(_names(found, path, "operations")) | DATA
    if unknown := sorted(named - every):
        raise ConfigError(f"{path}: operations: {unknown[0]} is none that nodes ask each other")
    return frozenset(named)


def _names(found: Any, path: Path, name: str) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ConfigError(f"{path}: {name} is a list of texts")
    return found


def _intermediates(added: list[str], path: Path) -> dict[Component, Kinds]:
    """Return what components declare: those that come with the node, and those whose descriptions are named."""
    files = [*sorted((specs.folder() / "components").glob("*.json")), *(path.parent / name for name in added)]
    found: dict[Component, Kinds] = {}
    for file in files:
        try:
            described = json.loads(file.read_text(encoding="utf-8"))
            key = (described["componentName"], described["version"], described["provider"])
            kinds = {row["tag"]: int(row["max_bytes"]) for row in described.get("intermediate", [])}
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            raise ConfigError(f"{file} is no self-description of a component: {wrong}") from wrong
        if kinds:
            found[key] = kinds
    return found
