"""The term of the evidence as two nodes agree upon it in a contract (9.2-d-3).

Guarantees: a term under six months is refused before anything is kept of the application; what a confirmation repeats
is agreed, another term than was applied for is refused, and what it does not repeat was not agreed: a partner that does
not know the field is held to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reference_node.domain import contract
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.store.contracts import ContractRow

DAYS: Final = "evidence_retention_days"


def asked(node: Node, body: Mapping[str, Any]) -> int | None:
    """Return the term that an application asks for."""
    if node.faults.on("short-evidence-term-agreed"):
        return body.get(DAYS)
    return contract.evidence_days(body.get(DAYS))


def told(row: ContractRow) -> dict[str, Any]:
    """Return what an approval, or the state of a contract, says of the term."""
    return {} if row.evidence_retention_days is None else {DAYS: row.evidence_retention_days}


def confirmed(node: Node, row: ContractRow, said: Mapping[str, Any]) -> None:
    """Keep the term if the partner repeats it with its approval."""
    days = said.get(DAYS)
    if days not in (None, row.evidence_retention_days) and not node.faults.on("other-evidence-term-confirmed"):
        raise Refusal("EVIDENCE_TERM_INVALID", pointer=f"/{DAYS}")
    row.evidence_retention_days = None if days is None else int(days)
