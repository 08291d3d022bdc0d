"""Columns of numbers as exact integers with a public scale: x becomes x * 10^scale, or is refused.

Guarantees: no rounding anywhere. Text and decimals enter digit by digit; a double enters as its shortest decimal text,
which is what a CSV shows; a value with more digits behind the point than the scale keeps, a value that is not a number,
and one beyond the declared bound are refused with its row. A column is summed in streams, in 128-bit integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reference_node.algorithms.errors import InputRefused
from reference_node.algorithms.tables import Table

MOST_DIGITS: Final = 38  # of a 128-bit decimal


@dataclass(frozen=True, slots=True)
class Total:
    """The scaled sum of a column and the number of its values."""

    total: int
    count: int


def column_total(table: Table, column: str, *, scale: int, max_abs: int, skip_empty: bool) -> Total:
    """Sum a column; `max_abs` bounds the absolute value of each of its numbers; raise InputRefused."""
    total = count = rows = 0
    for batch in table.batches([column]):
        values = _decimals(batch.column(0), table, column, rows, scale, skip_empty=skip_empty)
        if len(values):
            _within(values, table, column, max_abs)
            total += _sum(values)
        count += len(values)
        rows += len(batch)
    return Total(total, count)


def _decimals(values: Any, table: Table, column: str, rows: int, scale: int, *, skip_empty: bool) -> Any:
    """Return the values that are there as 128-bit decimals of this scale."""
    where = f"{table.path.name}, column {column}"
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        values = pc.cast(values, pa.string())
    if pa.types.is_string(values.type):
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    elif not pa.types.is_decimal(values.type):
        raise InputRefused(f"{where} holds {values.type}, not numbers")
    if values.null_count:
        if not skip_empty:
            row = rows + int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]) + 1
            raise InputRefused(f"{where} is empty in row {row}", hint="set empty to skip")
        values = values.drop_null()
    try:
        return pc.cast(values, pa.decimal128(MOST_DIGITS, scale))
    except pa.ArrowInvalid as wrong:
        raise InputRefused(
            f"{where}: a value behind row {rows} is not a decimal number of {scale} digits behind the point",
            hint="raise scale, or round the column before",
        ) from wrong


def _within(values: Any, table: Table, column: str, max_abs: int) -> None:
    extremes = pc.min_max(values)
    for name in ("min", "max"):
        if abs(extremes[name].as_py()) > max_abs:
            raise InputRefused(
                f"{table.path.name}, column {column}: a value is beyond max_abs", hint="raise max_abs on every side"
            )


def _sum(values: Any) -> int:
    """Add up 128-bit integers exactly: 32-bit pieces in 64-bit sums, put together as Python integers."""
    pieces = np.frombuffer(values.buffers()[1], "<u4").reshape(-1, 4)[values.offset : values.offset + len(values)]
    top = pieces[:, 3].view("<i4")
    parts = [int(pieces[:, at].sum(dtype=np.uint64)) for at in range(3)] + [int(top.sum(dtype=np.int64))]
    return sum(part << (32 * at) for at, part in enumerate(parts))
