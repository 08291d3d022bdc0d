"""What an operator can do with a database that is not the one that was left behind: take it as it is (9.2-e-1).

Guarantees: only whoever has the key of the vault can; the next start counts the rows anew and records it as evidence,
with the reason. A backup is the better choice wherever there is one: `store.backup.restore`.
"""

from __future__ import annotations

from sqlalchemy import select

from reference_node.app import opened, seals_of
from reference_node.config import Config
from reference_node.errors import ConfigError
from reference_node.store import reasons
from reference_node.store.seals import begin_epoch
from reference_node.store.tally import TallyRow


@reasons.told()
def accept(config: Config, reason: str) -> None:
    """Take the database of a node, which must not be running, for good."""
    store, vault = opened(config)
    try:
        seals = seals_of(config, vault)
        if seals.own is None:
            raise ConfigError("nothing is sealed of a node without a data folder", hint="give --data")
        with store.reading() as connection:
            row = connection.execute(select(TallyRow.epoch, TallyRow.code)).first()
        epoch, pending = (0, "") if row is None else (row.epoch, bytes(row.code).hex())
        begin_epoch(seals.copies, seals.own, pending=pending, recount=True, reason=reason, least=epoch)
    finally:
        store.close()
