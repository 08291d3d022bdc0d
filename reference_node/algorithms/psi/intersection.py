"""The component `intersection`: two tables, one identifier column each, and the rows that both have (5.1, 9.4-b).

Guarantees: the result equals the plaintext intersection but for a chance of 2^-40; it is written for result parties
only; it holds the input's rows whose identifier is in the intersection, in the order of the input, or by identifier,
so that both sides align; identifiers are compared byte for byte as UTF-8, nothing is trimmed or folded.

The table is read three times at most and never held; a distinct identifier costs some 100 bytes of memory.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Given, Inputs, Outputs
from reference_node.algorithms.errors import InputRefused, ParamsRefused
from reference_node.algorithms.psi.curves import DIGEST_BYTES, Suite, digester, make_curve
from reference_node.algorithms.psi.handshake import BOTH, Agreement, Offer, answer, confirm, propose
from reference_node.algorithms.psi.matching import Indices, distinct, secret_order
from reference_node.algorithms.psi.protocol import Exchange, Found
from reference_node.algorithms.tables import Table

CODE: Final = "intersection"
TABLE, JOINED = "table", "joined"
ORDERS: Final = ("input", "id")
DUPLICATES: Final = ("keep", "first", "refuse")
_SUITES: Final = (Suite.SM2, Suite.X25519)


@dataclass(frozen=True, slots=True)
class IntersectionParams:
    """Parameters of one party; suites, result parties and whether to confirm must agree between the two."""

    id: str
    result_parties: tuple[str, ...] = ()
    suites: tuple[Suite, ...] = _SUITES
    order: str = "input"
    duplicates: str = "keep"
    batch_size: int = 8192
    workers: int = 0
    confirm: bool = True

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> IntersectionParams:
        """Read parameters; raise ParamsRefused."""
        values = Given(given)
        suites = values.names("suites", _SUITES)
        unknown = [name for name in suites if name not in set(Suite)]
        if unknown or not suites:
            raise ParamsRefused("/params/suites", f"not among {', '.join(Suite)}")
        params = cls(
            id=values.text("id"),
            result_parties=values.names("result_parties", ()),
            suites=tuple(Suite(name) for name in suites),
            order=values.choice("order", ORDERS, "input"),
            duplicates=values.choice("duplicates", DUPLICATES, "keep"),
            batch_size=values.integer("batch_size", 1, 1 << 20, 8192),
            workers=values.integer("workers", 0, 256, 0),
            confirm=values.flag("confirm", default=True),
        )
        values.finish()
        return params


def run(channel: Channel, params: IntersectionParams, inputs: Inputs) -> Outputs:
    """Run this party's side; raise AlgorithmFailure."""
    began = time.monotonic()
    peer = _peer(channel)
    table, source = _table(inputs), _Source(inputs, params)
    offer = Offer(params.suites, source.count, _result_rank(channel, params))
    rank = channel.parties.index(channel.me)
    agreement = (answer if rank == 0 else propose)(channel, peer, offer, inputs.defect)
    if params.confirm:
        confirm(channel, peer, agreement, inputs.defect)
    order = np.arange(source.count) if inputs.defect("psi-order-kept") else secret_order(source.count)
    found = _exchange(channel, peer, agreement, source.digests(agreement.suite, order), params, inputs)
    summary = _summary(agreement, found, source, began)
    _let_out(channel, peer, params, inputs)
    if found.matched is None:
        return Outputs({}, summary)
    inside = np.empty(source.count, np.bool_)
    inside[order] = found.matched
    if inputs.defect("psi-match-missed"):
        inside[np.flatnonzero(inside)[:1]] = False
    rows = inside[source.place] if source.rows else np.zeros(0, np.bool_)
    if params.duplicates == "first":
        rows &= source.first_rows()
    target = inputs.targets.get(JOINED)
    if target is not None:
        table.keep(rows, target, by=params.id if params.order == "id" else None)
    summary |= {"intersection": int(found.matched.sum()), "rows_kept": int(rows.sum())}
    return Outputs({} if target is None else {JOINED: target}, summary)


def _let_out(channel: Channel, peer: str, params: IntersectionParams, inputs: Inputs) -> None:
    """Let identifiers out of the trusted domain, for the faults that do."""
    if inputs.defect("psi-identifiers-told"):
        channel.send(peer, "comparison", "\n".join(next(_table(inputs).identifiers(params.id), ())).encode())
    if inputs.defect("psi-identifiers-logged"):
        inputs.progress(1.0, f"compared {', '.join(next(_table(inputs).identifiers(params.id), ()))}")


class _Source:
    """The identifier column: which rows are distinct, and their digests in any order asked for."""

    def __init__(self, inputs: Inputs, params: IntersectionParams) -> None:
        self._table, self._column = _table(inputs), params.id
        self._sha256 = self._hashed(lambda item: hashlib.sha256(item).digest())
        self.first: Indices
        self.place: Indices
        self.first, self.place = distinct(self._sha256, DIGEST_BYTES)
        self.rows, self.count = len(self.place), len(self.first)
        if params.duplicates == "refuse" and self.rows != self.count:
            raise InputRefused(
                f"{self.rows - self.count} rows repeat an identifier", hint="set duplicates to keep or to first"
            )

    def digests(self, suite: Suite, order: Indices) -> bytes:
        """Return the suite's digests of the distinct items in this order."""
        kept, self._sha256 = self._sha256, b""
        if suite is not Suite.X25519:
            kept = self._hashed(digester(suite))
        table = np.frombuffer(kept, np.uint8).reshape(-1, DIGEST_BYTES)
        if len(table) != self.rows:
            raise InputRefused("the table changed while it was read")
        return table[self.first[order]].tobytes()

    def first_rows(self) -> np.typing.NDArray[np.bool_]:
        """Return which rows are the first with their identifier."""
        rows = np.zeros(self.rows, np.bool_)
        rows[self.first] = True
        return rows

    def _hashed(self, digest: Callable[[bytes], bytes]) -> bytes:
        batches = self._table.identifiers(self._column)
        return b"".join([b"".join([digest(item.encode()) for item in batch]) for batch in batches])


def _exchange(
    channel: Channel, peer: str, agreement: Agreement, digests: bytes, params: IntersectionParams, inputs: Inputs
) -> Found:
    workers = params.workers or len(os.sched_getaffinity(0))
    curve = make_curve(agreement.suite, agreement.form, workers, kept=inputs.defect("psi-secret-kept"))
    try:
        return Exchange(
            channel,
            peer,
            agreement,
            curve,
            digests,
            batch_size=params.batch_size,
            progress=inputs.progress,
            defect=inputs.defect,
        ).run()
    finally:
        curve.close()


def _summary(agreement: Agreement, found: Found, source: _Source, began: float) -> dict[str, Any]:
    return {
        "suite": str(agreement.suite),
        "tag_bits": 8 * agreement.tag_bytes,
        "transcript": agreement.transcript.hex(),
        "rows": source.rows,
        "items": source.count,
        "peer_items": found.peer_items,
        "sent_bytes": found.sent_bytes,
        "seconds": round(time.monotonic() - began, 3),
    }


def _peer(channel: Channel) -> str:
    others = [name for name in channel.parties if name != channel.me]
    if len(others) != 1:
        raise ParamsRefused("/parties", f"two parties are needed, {len(channel.parties)} take part")
    return others[0]


def _result_rank(channel: Channel, params: IntersectionParams) -> int:
    for name in params.result_parties:
        if name not in channel.parties:
            raise ParamsRefused("/params/result_parties", f"{name} is not a party")
    return BOTH if len(params.result_parties) != 1 else channel.parties.index(params.result_parties[0])


def _table(inputs: Inputs) -> Table:
    try:
        return Table(inputs.files[TABLE])
    except KeyError:
        raise InputRefused(f"no input {TABLE} was given") from None
