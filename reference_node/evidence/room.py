"""The evidence of one node, its parts held together, and the token of those who may look at it (9.2-d-2).

Guarantees: the auditor's token is another than the operator's; it lies in a file of its own of mode 0600 of the data
folder, or is configured where replicas share a database; it does not show in `repr`.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.errors import ConfigError
from reference_node.evidence.auditing import Auditing
from reference_node.evidence.backups import Backup
from reference_node.evidence.keeper import Keeper
from reference_node.evidence.keeping import Keeping
from reference_node.evidence.shelf import FolderShelf, MemoryShelf, Shelf
from reference_node.faults import Faults
from reference_node.identity import Identity
from reference_node.security.vault import Vault
from reference_node.store import Store
from reference_node.store.seals import EVIDENCE_COPIES

TOKEN_FILE = "auditor-token"  # noqa: S105 - the file's name


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a node keeps as evidence: who writes it, who looks at it, who keeps it in order."""

    token: str = field(repr=False)
    keeper: Keeper
    auditing: Auditing
    keeping: Keeping

    @classmethod
    def of_node(
        cls, node_id: str, config: Config, clock: Clock, store: Store, vault: Vault, identity: Identity, faults: Faults
    ) -> Self:
        """Open the evidence of a node: from now on what is done is kept."""
        keeper = Keeper(node_id, config, clock, store, vault, identity, faults)
        backup = Backup(keeper, _shelf(config))
        keeping = Keeping(keeper, backup)
        keeping.start()
        keeper.attach()
        keeping.take_up()
        token = config.auditor_token or _token(config.data)
        if token == identity.operator_token:
            raise ConfigError("[evidence] auditor_token is the operator's token", hint="give the auditor another one")
        return cls(token, keeper, Auditing(keeper, backup), keeping)


def _shelf(config: Config) -> Shelf:
    place = second_place(config)
    return MemoryShelf() if place is None else FolderShelf(place)


def second_place(config: Config) -> Path | None:
    """Return the folder of the copies of the evidence; None where a node is in memory and has none configured."""
    if config.evidence_backup is not None or config.data is None:
        return config.evidence_backup
    return config.data / EVIDENCE_COPIES


def _token(data: Path | None) -> str:
    drawn = secrets.token_urlsafe(32)
    if data is None:
        return drawn
    path = data / TOKEN_FILE
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(drawn + "\n")
    except FileExistsError:
        kept = path.read_text(encoding="ascii").strip()
        if not kept:
            raise ConfigError(f"{path} is empty", hint="delete it to have a new one drawn") from None
        return kept
    return drawn
