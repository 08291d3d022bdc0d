"""Which components a node has: those that were registered and, beside them, those that come with it (8.6.2).

Guarantees: code and version name one component; one that was registered stands before one that comes with the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.runtime.catalogue import Builtin
from reference_node.store.resources import BUILT_IN, PROTECTED, PUBLIC, ComponentRow

_CONFIGURED = "this component comes with the node: [components] allow of its configuration says for whom it is there"
Row = ComponentRow


def find(node: Node, session: Session, given: Mapping[str, Any]) -> ComponentRow:
    """Return a registered component by code and version."""
    row = session.scalar(select(Row).where(Row.code == given["code"], Row.version == given["version"]))
    if row is None:
        if (given["code"], given["version"]) in node.catalogue:
            raise Refusal("REQUEST_INVALID", pointer="/code", hint=_CONFIGURED)
        known = session.scalar(select(Row.seq).where(Row.code == given["code"]).limit(1))
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/code" if known is None else "/version")
    return row


def found(node: Node, session: Session, given: Mapping[str, Any]) -> ComponentRow:
    """Return a component by code and version, whether it is registered or comes with the node."""
    return named(node, session, given) or find(node, session, given)


def named(node: Node, session: Session, given: Mapping[str, Any]) -> ComponentRow | None:
    """Return a component by code and version, None where there is none."""
    row = session.scalar(select(Row).where(Row.code == given["code"], Row.version == given["version"]))
    builtin = node.catalogue.get((given["code"], given["version"]))
    return row if row is not None or builtin is None else _row_of(node, builtin)


def built_in(node: Node, session: Session) -> list[ComponentRow]:
    """Return the components that come with the node, but those under whose name another is registered."""
    codes = {code for code, _ in node.catalogue}
    taken = {
        (code, version) for code, version in session.execute(select(Row.code, Row.version).where(Row.code.in_(codes)))
    }
    return [_row_of(node, builtin) for key, builtin in sorted(node.catalogue.items()) if key not in taken]


def _row_of(node: Node, builtin: Builtin) -> ComponentRow:
    """Return a component that comes with the node as if it were registered; it is no part of the store."""
    described, allowed = builtin.description, (node.config.component_allow or {}).get(builtin.key[0])
    where = f"{described['provider']}/{builtin.key[0]}:{builtin.key[1]}"
    row = Row(
        code=builtin.key[0],
        version=builtin.key[1],
        name=described["title"],
        description=described.get("description"),
        engine=described["provider"],
        developer=described["provider"],
        visibility=PUBLIC if allowed is None else PROTECTED,
        address=where,
        address_type=BUILT_IN,
        image_url=where,
        info=dict(described),
        status="AVAILABLE",
    )
    if allowed is not None:
        row.protect(allowed)
    return row


def versions(session: Session, code: str) -> list[ComponentRow]:
    """Return what is registered under a code, oldest first, for the defects that take one for another."""
    return list(session.scalars(select(Row).where(Row.code == code).order_by(Row.seq)))


def other_version(session: Session, row: ComponentRow) -> ComponentRow:
    """Return another version of a component, for the defects that confuse them."""
    return session.scalar(select(Row).where(Row.code == row.code, Row.version != row.version).limit(1)) or row
