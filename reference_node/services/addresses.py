"""Addresses that other nodes tell, or that the operator gives for them, before they are kept (8.1.2-a, 8.1.3-b, 9.2-e).

Guarantees: each is judged by this node's policy; one that is refused leaves nothing but a record, which says why and
whose it was; no transaction stays open while a name is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from reference_node.domain.places import GRPC, HTTP, SPOOL, Reason, Unfit, read
from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.node import Node

_SCHEMES: Final = {"address": HTTP | {SPOOL}, "grpc_address": frozenset({GRPC})}


def check(
    node: Node,
    session: Session,
    node_id: str,
    told: Mapping[str, Any],
    *,
    subjects: Mapping[str, str] | None = None,
    fault: str = "hostile-address-taken",
) -> None:
    """Return when the addresses that are told for a node may be called; else keep a record and raise Refusal."""
    session.commit()
    for name in ("address", "grpc_address"):
        unfit = _unfit(node, node_id, name, told.get(name))
        if unfit is None or _overlooked(node, name, unfit, fault):
            continue
        said = {"reason": unfit.reason.value, "field": name}
        note(session, Noted(Act.ADDRESS_REFUSED, dict(subjects or {"node_id": node_id}), node_id, said))
        session.commit()
        raise Refusal("ADDRESS_NOT_ALLOWED", pointer=f"/{name}", reason=unfit.reason.value)


def _unfit(node: Node, node_id: str, name: str, told: str | None) -> Unfit | None:
    try:
        if told is not None:
            node.places.told(told, node_id, schemes=_SCHEMES[name])
    except Unfit as unfit:
        return unfit
    return None


def _overlooked(node: Node, name: str, unfit: Unfit, fault: str) -> bool:
    """Tell whether a defect does not see what is wrong with an address."""
    if unfit.reason is Reason.OWN:
        return False
    if name == "grpc_address":
        return node.faults.on("hostile-grpc-address-taken")
    return node.faults.on(fault) or (unfit.reason is Reason.HOST and node.faults.on("odd-host-taken-unread"))


def shown(node: Node, node_id: str, address: str, grpc_address: str | None) -> list[str]:
    """Return the IP addresses that a node's addresses lead to just now, for whoever decides upon its contract."""
    found: dict[str, None] = {}
    for name, item in (("address", address), ("grpc_address", grpc_address)):
        if item is None:
            continue
        try:
            judged = node.places.told(item, node_id, schemes=_SCHEMES[name])
        except Unfit as unfit:
            found |= {f"not allowed: {unfit.reason}": None}
        else:
            found |= dict.fromkeys(map(str, judged))
    return list(found)


def own(address: str) -> None:
    """Return when an address that this node is to tell of itself is spelled as others can take it; raise Refusal."""
    try:
        read(address)
    except Unfit as unfit:
        raise Refusal("ADDRESS_NOT_ALLOWED", pointer="/address", reason=unfit.reason.value) from None
