"""The own-side operations of one node, called with its operator's token.

Guarantees: an answer is the envelope's data, or it is an exception that says which node, what and why in one line.

>>> NodeClient("grid", "http://127.0.0.1:8801", token).own("ownNodeQuery")["node_id"]
'node-grid-01'
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.client import OK
from pathlib import Path
from typing import Any, Final, TypeVar

import requests

import specs
from reference_node.errors import NodeError

SECONDS: Final = 30.0
_PAGE: Final = 100
_PIECE: Final = 64 * 1024
_EVERY: Final = 0.2
Found = TypeVar("Found")


class OperatorError(NodeError):
    """Something that an operator wanted did not come about."""


class Unreachable(OperatorError):
    """A node gives no answer."""


class Refused(OperatorError):
    """A node has refused an operation; `name` is that of specs/errors.toml."""

    def __init__(self, node: str, operation: str, answer: dict[str, Any]) -> None:
        told = answer.get("data") or {}
        self.name = str(told.get("error", answer.get("code")))
        known = specs.errors().get(self.name)
        why = str(answer.get("msg")) if known is None else known.msg.en
        place = f" at {told['pointer']}" if told.get("pointer") else ""
        partner = told.get("partner", {}).get("error")
        behind = f" (its partner says {partner})" if partner else ""
        hint = str(told.get("hint", "")) if known is None else known.hint.en
        super().__init__(f"{node} refuses {operation}{place}: {why}{behind}", hint=hint)


class NodeClient:
    """One node as its operator sees it; one thread uses it at a time."""

    def __init__(self, name: str, address: str, token: str) -> None:
        self.name, self.address = name, address
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["authorization"] = f"Bearer {token}"

    def own(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Call an operation; return the envelope's data. Raise Refused or Unreachable."""
        wanted = specs.operations()[operation]
        sent: dict[str, Any] = {"params" if wanted.method == "GET" else "json": fields}
        try:
            answer = self._session.request(wanted.method, self.address + wanted.path, timeout=SECONDS, **sent).json()
        except (requests.RequestException, ValueError) as failure:
            reason = "no JSON" if isinstance(failure, ValueError) else type(failure).__name__
            raise Unreachable(
                f"{self.name} does not answer at {self.address}: {reason}",
                hint="Is the node running, and is this its address?",
            ) from failure
        if answer.get("code") != 0:
            raise Refused(self.name, operation, answer)
        data: dict[str, Any] = answer["data"]
        return data

    def file(self, operation: str, target: Path, **fields: Any) -> str:
        """Have a file sent and put it in its place, mode 0600; return its SHA-256. Raise Refused or Unreachable.

        Nothing is under its name before it is there whole.
        """
        wanted, digest = specs.operations()[operation], hashlib.sha256()
        fresh = target.with_name(target.name + ".part")
        try:
            with self._session.get(self.address + wanted.path, params=fields, timeout=SECONDS, stream=True) as answer:
                if answer.status_code != OK:
                    raise Refused(self.name, operation, answer.json())
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    for piece in answer.iter_content(_PIECE):
                        digest.update(piece)
                        file.write(piece)
        except (requests.RequestException, ValueError) as failure:
            fresh.unlink(missing_ok=True)
            raise Unreachable(
                f"{self.name} has not sent {target.name} whole: {type(failure).__name__}",
                hint="Is the node running, and is this its address?",
            ) from failure
        fresh.replace(target)
        return digest.hexdigest()

    def every(self, operation: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Yield the records of a list operation from all its pages."""
        page = 1
        while True:
            found = self.own(operation, page_num=page, page_size=_PAGE, **fields)
            yield from found["records"]
            if page * _PAGE >= found["total"]:
                return
            page += 1

    def known(self, operation: str, **fields: Any) -> dict[str, Any] | None:
        """Return what a query answers, None where there is no such thing."""
        try:
            return self.own(operation, **fields)
        except Refused as refusal:
            if refusal.name.endswith("_NOT_FOUND"):
                return None
            raise

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()


def wait_for(what: Callable[[], Found | None], seconds: float, every: float = _EVERY) -> Found | None:
    """Ask again and again until there is an answer; None when there was none in time."""
    until, pause = time.monotonic() + seconds, threading.Event()
    while not (found := what()):
        if time.monotonic() >= until:
            return None
        pause.wait(every)
    return found
