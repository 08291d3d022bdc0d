"""The component `spu-product`: the products of two secret columns, or their sum, by SecretFlow's spu (5.1, 9.4-b).

    python -m reference_node.engines.spu_product    under the environment contract

Guarantees: a column leaves its party as shares only; result parties get the result, others get their share of it and
the number of rows; values that could leave the range of the fixed-point numbers (ring of 2^128, 40 bits behind the
point) are refused before anything is sent, so that no result wraps around.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from reference_node.algorithms.contract import Given
from reference_node.algorithms.errors import InputRefused, ParamsRefused, PeerRefused
from reference_node.algorithms.tables import Table
from reference_node.engines import spu_link
from reference_node.engines.told import Told, run

PROTOCOLS: Final = ("cheetah", "semi2k")
OPERATIONS: Final = ("dot", "product")
FRACTION_BITS: Final = 40
LARGEST: Final = 2**45  # a product has 80 bits behind the point before it is cut, of 127
_LENGTH: Final = 8
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ProductParams:
    """Parameters of one party; all but the column must agree between the two."""

    column: str
    operation: str
    protocol: str
    result_parties: tuple[str, ...]
    max_abs: int

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> ProductParams:
        """Read parameters; raise ParamsRefused."""
        values = Given({name: value for name, value in given.items() if value != ""})
        params = cls(
            column=values.text("column"),
            operation=values.choice("operation", OPERATIONS, "dot"),
            protocol=values.choice("protocol", PROTOCOLS, "cheetah"),
            result_parties=values.names("result_parties", ()),
            max_abs=values.integer("max_abs", 1, 2**22, 10_000),
        )
        values.finish()
        return params

    def common(self, rows: int) -> str:
        """Return what both sides must have alike."""
        return json.dumps({**asdict(self), "column": "", "rows": rows}, sort_keys=True)


def component(told: Told) -> dict[str, Any]:
    """Run this party's side and return what is reported; raise AlgorithmFailure."""
    began = time.monotonic()
    params = ProductParams.parse(told.parameters)
    if len(told.nodes) != 2:
        raise ParamsRefused("/parties", f"two parties are needed, {len(told.nodes)} take part")
    if "table" not in told.inputs:
        raise InputRefused("no input table was given")
    winners = told.ranks(params.result_parties)
    values = read(Table(told.inputs["table"]), params)
    spu = spu_link.load()
    with spu_link.linked(spu, told) as link:
        _agree(link, params.common(len(values)))
        result = _compute(spu, link, params, values, winners)
    summary: dict[str, Any] = {
        "engine": "spu",
        "protocol": params.protocol,
        "field": "FM128",
        "fraction_bits": FRACTION_BITS,
        "operation": params.operation,
        "rows": len(values),
    }
    if result is not None:
        summary |= write(result, told.outputs["result"])
    return {**summary, "seconds": round(time.monotonic() - began, 3)}


def read(table: Table, params: ProductParams) -> Numbers:
    """Return the column; refuse what is no number, is missing, or is out of range."""
    parts = []
    for batch in table.batches([params.column]):
        try:
            parts.append(pc.cast(batch.column(0), pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            raise InputRefused(f"column {params.column} holds a value that is no number") from None
    values = np.concatenate(parts) if parts else np.zeros(0)
    if not len(values):
        raise InputRefused("the table is empty")
    if not (np.abs(values) <= params.max_abs).all():  # false for a missing one too
        raise InputRefused(f"column {params.column}: a value is missing or beyond max_abs")
    terms = len(values) if params.operation == "dot" else 1
    if terms * params.max_abs**2 >= LARGEST:
        raise ParamsRefused("/params/max_abs", f"{terms} products of values up to {params.max_abs} may reach 2^45")
    return values.astype(np.float64)


def write(result: Numbers, target: Path) -> dict[str, Any]:
    """Write the result, a row for each number; return what the report says of it."""
    pa_csv.write_csv(pa.table({"product": np.atleast_1d(result)}), target)
    return {"dot": float(result)} if result.ndim == 0 else {"products": len(result)}


def pack(meta: bytes, chunks: Sequence[bytes]) -> bytes:
    """Return a share as one message."""
    return b"".join(len(part).to_bytes(_LENGTH, "big") + part for part in (meta, *chunks))


def unpack(message: bytes) -> tuple[bytes, list[bytes]]:
    """Take a share apart again; refuse a message that is none."""
    parts, at = [], 0
    while at < len(message):
        size = int.from_bytes(message[at : at + _LENGTH], "big")
        at += _LENGTH + size
        if at > len(message):
            raise PeerRefused("a share is cut short")
        parts.append(message[at - size : at])
    if not parts:
        raise PeerRefused("a share is empty")
    return parts[0], parts[1:]


def _agree(link: Any, own: str) -> None:
    if any(_bytes(other) != own.encode() for other in link.all_gather(own)):
        raise PeerRefused("the two sides differ in parameters or in the number of rows")


def _compute(spu: Any, link: Any, params: ProductParams, values: Numbers, winners: tuple[int, ...]) -> Numbers | None:
    """Share the column, run the program, open the result to the result parties."""
    import jax

    jax.config.update("jax_enable_x64", True)
    kind = spu.ProtocolKind.SEMI2K if params.protocol == "semi2k" else spu.ProtocolKind.CHEETAH
    config = spu.RuntimeConfig(protocol=kind, field=spu.FieldType.FM128, fxp_fraction_bits=FRACTION_BITS)
    io, runtime = spu.Io(2, config), spu.Runtime(link, config)
    own, peer = link.rank, 1 - link.rank
    shares = io.make_shares(values, spu.Visibility.VIS_SECRET)
    link.send(peer, pack(shares[peer].meta, shares[peer].share_chunks))
    runtime.set_var(f"in{own}", shares[own])
    runtime.set_var(f"in{peer}", _share(spu, link.recv(peer)))
    program = _program(spu, params.operation, len(values))
    runtime.run(program)
    mine = runtime.get_var(program.output_names[0])
    if peer in winners:
        link.send(peer, pack(mine.meta, mine.share_chunks))
    if own not in winners:
        return None
    both = {own: mine, peer: _share(spu, link.recv(peer))}
    opened: Numbers = io.reconstruct([both[0], both[1]])
    return opened


def _program(spu: Any, operation: str, rows: int) -> Any:
    import jax.numpy as jnp
    from spu.utils import frontend

    work: Callable[..., Any] = jnp.dot if operation == "dot" else jnp.multiply
    blank = np.zeros(rows)
    program, _ = frontend.compile(
        frontend.Kind.JAX,
        work,
        (blank, blank),
        {},
        ["in0", "in1"],
        [spu.Visibility.VIS_SECRET] * 2,
        lambda outputs: [f"out{place}" for place in range(len(outputs))],
    )
    return program


def _share(spu: Any, message: bytes | str) -> Any:
    found = spu.libspu.Share()
    found.meta, found.share_chunks = unpack(_bytes(message))
    return found


def _bytes(message: bytes | str) -> bytes:
    return message.encode("latin-1") if isinstance(message, str) else message


if __name__ == "__main__":
    sys.exit(run(os.environ, component))
