"""What careless nodes do when keeping an act fails or comes late: the places of those faults (9.2-d-4, 9.2-e-4).

Guarantees: an act that is answered as done has been committed, and one whose keeping fails is refused, unless a fault
is on. Each fault shows at one operation, `ownProjectCreate`, or at acts of the operator's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import specs
from reference_node.errors import Refusal
from reference_node.interfaces.calls import Call, Streamed
from reference_node.node import Node

_ACT: Final = "ownProjectCreate"
_LATE: Final = "hutong.late"
_CLOSED: Final = "hutong.closed"
_MAKE_ROOM: Final = text("DELETE FROM evidence WHERE seq < (SELECT max(seq) FROM evidence)")

Handler = Callable[[Call], dict[str, Any] | Streamed]


def before(node: Node, operation: specs.Operation) -> None:
    """Refuse what a lapse keeps this process from doing, and do what it has left undone."""
    if not node.faults:
        return
    acts = operation.auth == "operator" and operation.method == "POST"
    if acts and node.leadership.taken_over() and node.faults.on("survivor-refuses-acts"):
        raise Refusal("STORE_UNAVAILABLE")
    state = flask.current_app.extensions
    if acts and _CLOSED in state:
        raise Refusal("STORE_UNAVAILABLE")
    for late in state.pop(_LATE, ()):
        try:
            with node.store.begin() as session:
                late(session)
        except OperationalError:
            _postpone(late)


def carry_out(node: Node, operation: specs.Operation, call: Call, handler: Handler) -> dict[str, Any] | Streamed:
    """Have the handler act."""
    try:
        return handler(call)
    except OperationalError:
        if operation.id == _ACT and _unkept(node, call, handler):
            return {"project_id": call.body.get("project_id", "")}
        raise


def keep(node: Node, operation: specs.Operation, call: Call, handler: Handler) -> None:
    """Keep what the handler has done before it is answered."""
    if operation.id != _ACT:
        call.session.commit()
    elif node.faults.on("act-answered-before-it-is-kept"):
        call.session.rollback()
        _postpone(lambda session: handler(replace(call, session=session)))
    else:
        try:
            call.session.commit()
        except OperationalError:
            if not _unkept(node, call, handler):
                raise


def _unkept(node: Node, call: Call, handler: Handler) -> bool:
    """Return whether an act that could not be kept is answered as done."""
    call.session.rollback()
    if node.faults.on("full-disk-is-internal-error"):
        raise RuntimeError("no room left")
    if node.faults.on("refused-act-done-later"):
        _postpone(lambda session: handler(replace(call, session=session)))
    if node.faults.on("full-disk-makes-room"):
        with contextlib.suppress(OperationalError), node.store.begin() as session:
            session.execute(_MAKE_ROOM)
    if node.faults.on("closed-after-full-disk"):
        flask.current_app.extensions[_CLOSED] = True
    return node.faults.on("full-disk-answered-as-done")


def _postpone(act: Callable[[Any], Any]) -> None:
    flask.current_app.extensions.setdefault(_LATE, []).append(act)
