"""The component `spu-psi`: two tables, one identifier column each, intersected by SecretFlow's psi (5.1, 9.4-b).

    python -m reference_node.engines.spu_psi        under the environment contract

Guarantees: inputs, parameters and results as with the node's own `intersection`; the engine sees the distinct
identifiers only, never another column; they are compared byte for byte as UTF-8. Identifiers with a comma, a quotation
mark or a line break are refused: the engine's own sorting does not know them from the ends of its fields.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from reference_node.algorithms.contract import Given
from reference_node.algorithms.errors import InputRefused, ParamsRefused
from reference_node.algorithms.tables import Table
from reference_node.engines import spu_link
from reference_node.engines.told import Told, run

PROTOCOLS: Final = ("rr22", "kkrt", "ecdh")
_ORDERS: Final = ("input", "id")
_DUPLICATES: Final = ("keep", "first", "refuse")
_KEYS, _MATCHED, _COLUMN = "keys.csv", "matched.csv", "id"
_NOT_PLAIN: Final = re.compile(r'[,"\r\n\0]')


@dataclass(frozen=True, slots=True)
class PsiParams:
    """Parameters of one party; protocol and result parties must agree between the two."""

    id: str
    protocol: str
    result_parties: tuple[str, ...]
    order: str
    duplicates: str

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> PsiParams:
        """Read parameters; raise ParamsRefused."""
        values = Given({name: value for name, value in given.items() if value != ""})
        params = cls(
            id=values.text("id"),
            protocol=values.choice("protocol", PROTOCOLS, "rr22"),
            result_parties=values.names("result_parties", ()),
            order=values.choice("order", _ORDERS, "input"),
            duplicates=values.choice("duplicates", _DUPLICATES, "keep"),
        )
        values.finish()
        return params


def component(told: Told) -> dict[str, Any]:
    """Run this party's side and return what is reported; raise AlgorithmFailure."""
    began = time.monotonic()
    params = PsiParams.parse(told.parameters)
    if len(told.nodes) != 2:
        raise ParamsRefused("/parties", f"two parties are needed, {len(told.nodes)} take part")
    if "table" not in told.inputs:
        raise InputRefused("no input table was given")
    table, winners = Table(told.inputs["table"]), told.ranks(params.result_parties)
    rows, items = write_keys(table, params, Path(_KEYS))
    spu = spu_link.load()
    with spu_link.linked(spu, told) as link:
        spu.psi.psi_execute(_config(spu.psi, params, winners), link)
    summary: dict[str, Any] = {"engine": "spu", "protocol": params.protocol, "rows": rows, "items": items}
    if told.rank in winners:
        summary |= keep(table, params, Path(_MATCHED), told.outputs["joined"])
    return {**summary, "seconds": round(time.monotonic() - began, 3)}


def write_keys(table: Table, params: PsiParams, target: Path) -> tuple[int, int]:
    """Write the distinct identifiers for the engine; return how many rows and identifiers there are."""
    rows, seen = 0, set[str]()
    with target.open("w", encoding="utf-8", newline="") as file:
        file.write(_COLUMN + "\n")
        for batch in table.identifiers(params.id):
            for place, item in enumerate(batch, rows + 1):
                if item not in seen:
                    if _NOT_PLAIN.search(item):
                        raise InputRefused(f"the identifier in row {place} has a comma, a quotation mark or a break")
                    seen.add(item)
                    file.write(item + "\n")
            rows += len(batch)
    if params.duplicates == "refuse" and rows != len(seen):
        hint = "set duplicates to keep or to first"
        raise InputRefused(f"{rows - len(seen)} rows repeat an identifier", hint=hint)
    if not rows:
        raise InputRefused("the table is empty")
    return rows, len(seen)


def keep(table: Table, params: PsiParams, matched: Path, target: Path) -> dict[str, int]:
    """Write the rows whose identifier the engine has found on both sides; return how many there are."""
    found = {item for batch in Table(matched).identifiers(_COLUMN) for item in batch}
    left = set(found)
    inside: list[bool] = []
    for batch in table.identifiers(params.id):
        for item in batch:
            inside.append(item in left)
            if params.duplicates == "first":
                left.discard(item)
    mask = np.array(inside, np.bool_)
    table.keep(mask, target, by=params.id if params.order == "id" else None)
    return {"intersection": len(found), "rows_kept": int(mask.sum())}


def _config(psi: Any, params: PsiParams, winners: tuple[int, ...]) -> Any:
    protocol = psi.PsiProtocolConfig(
        protocol=psi.parse_protocol(f"PROTOCOL_{params.protocol.upper()}"),
        receiver_rank=winners[0],
        broadcast_result=len(winners) > 1,
        ecdh_params=psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519),
    )
    return psi.PsiExecuteConfig(
        protocol_conf=protocol,
        input_params=psi.InputParams(path=spu_link.HERE + _KEYS, selected_keys=[_COLUMN], keys_unique=True),
        output_params=psi.OutputParams(path=spu_link.HERE + _MATCHED, disable_alignment=True),
    )


if __name__ == "__main__":
    sys.exit(run(os.environ, component))
