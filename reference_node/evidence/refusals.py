"""What was refused before or without any change, kept as evidence in numbers (9.2-d).

Whoever sends what is no request, a header twice or another content under a known id changes nothing, so no transaction
tells of it; and a record for each would let strangers fill the evidence. So they are counted by reason and remote
address, and the numbers are kept once a minute. Guarantees: at most `MOST` pairs are counted at a time, what is beyond
counts as of `OTHERS`; nothing of what was sent is kept.

>>> refusals = Refusals()
>>> refusals.count("HEADER_REPEATED", "10.0.0.7", now=0)
>>> refusals.take(now=59_999), refusals.take(now=60_000)
({}, {('HEADER_REPEATED', '10.0.0.7'): 1})
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from sqlalchemy.orm import Session

from reference_node.evidence.noting import Act, Noted, note

KEPT: Final = frozenset(
    {"HEADER_REPEATED", "SIGNATURE_OUTDATED", "CONTENT_NOT_SEEN", "ID_TAKEN", "TOO_MANY_APPLICATIONS"}
)
"""Refusals of requests that are counted here; others leave a record of their own, or concern the caller alone."""
MOST: Final = 256
OTHERS: Final = "others"
_EVERY_MS: Final = 60_000


class Refusals:
    """Numbers of refusals since they were last kept; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._since = 0

    def count(self, reason: str, remote: str, now: int) -> None:
        """Count one refusal; `now` in milliseconds."""
        with self._lock:
            self._since = self._since if self._counts else now
            known = (reason, remote) in self._counts or len(self._counts) < MOST
            self._counts[reason, remote if known else OTHERS] += 1

    def take(self, now: int, *, at_once: bool = False) -> dict[tuple[str, str], int]:
        """Return reason, remote address and number of what is to be kept, and begin anew; nothing within the minute."""
        with self._lock:
            if not self._counts or (now - self._since < _EVERY_MS and not at_once):
                return {}
            counts, self._counts = self._counts, Counter()
        return dict(sorted(counts.items()))


def note_all(session: Session, node_id: str, counts: Mapping[tuple[str, str], int]) -> None:
    """Note what was counted at a node as acts of a transaction."""
    for (reason, remote), number in counts.items():
        details = {"reason": reason, "remote": remote, "number": number}
        note(session, Noted(Act.REQUEST_REFUSED, {"node_id": node_id}, None, details))
