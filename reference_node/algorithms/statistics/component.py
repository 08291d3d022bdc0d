"""The component `statistics`: sum and mean of columns over the rows of all parties, by additive sharing (5.2, 9.4-a).

Guarantees: the sum is exact, equal to the sum of the fractions; the mean is the exact fraction sum / count, divided
after opening and written with 40 significant digits (over 130 bits); results reach result parties only. How wide the
modulus must be follows from the bounds in the parameters and is checked before data move; a party whose table breaks
them refuses to take part.

Every party that contributes has all the columns; a party without data takes part with `contribute` false.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, Final

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Given, Inputs, Outputs
from reference_node.algorithms.errors import InputRefused, ParamsRefused
from reference_node.algorithms.sharing.additive import VERSION, agree, sum_of_all
from reference_node.algorithms.sharing.ring import Ring
from reference_node.algorithms.statistics.exact import MOST_DIGITS, Total, column_total
from reference_node.algorithms.tables import Table
from reference_node.proto import sharing_pb2

CODE: Final = "statistics"
TABLE, RESULT = "table", "result"
EMPTY: Final = ("refuse", "skip")
MEAN_DIGITS: Final = 40
_LEAST_PARTIES: Final = 2
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,37}")


@dataclass(frozen=True, slots=True)
class StatisticsParams:
    """Parameters of one party; all but `contribute` and `empty` must be the same everywhere."""

    columns: tuple[str, ...]
    result_parties: tuple[str, ...] = ()
    scale: int = 6
    max_abs: int = 10**12
    max_rows: int = 10**9
    empty: str = "refuse"
    contribute: bool = True

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> StatisticsParams:
        """Read parameters; raise ParamsRefused."""
        values = Given(given)
        params = cls(
            columns=values.names("columns"),
            result_parties=values.names("result_parties", ()),
            scale=values.integer("scale", 0, 18, 6),
            max_abs=_whole(values.text("max_abs", str(10**12))),
            max_rows=values.integer("max_rows", 1, 10**12, 10**9),
            empty=values.choice("empty", EMPTY, "refuse"),
            contribute=values.flag("contribute", default=True),
        )
        values.finish()
        if not params.columns:
            raise ParamsRefused("/params/columns", "names no column")
        if len(str(params.max_abs)) + params.scale > MOST_DIGITS:
            raise ParamsRefused("/params/max_abs", f"with the scale it has more than {MOST_DIGITS} digits")
        return params

    def ring(self, parties: int) -> Ring:
        """Return the smallest ring that holds every sum that these bounds allow; raise ParamsRefused."""
        values = parties * self.max_rows
        return Ring.holding(max(values, values * self.max_abs * 10**self.scale))


def run(channel: Channel, params: StatisticsParams, inputs: Inputs) -> Outputs:
    """Run this party's side; raise AlgorithmFailure."""
    began = time.monotonic()
    if len(channel.parties) < _LEAST_PARTIES:
        raise ParamsRefused("/parties", "two parties are needed at least")
    receivers = _receivers(channel, params)
    ring = params.ring(len(channel.parties))
    agree(channel, _agreement(channel, params, ring, receivers))
    inputs.progress(0.1, "agreed")
    totals = _totals(params, inputs)
    inputs.progress(0.8, "summed")
    vector = ring.encode([number for total in totals for number in (total.total, total.count)])
    opened = sum_of_all(channel, ring, vector, receivers, inputs.defect)
    if inputs.defect("statistics-table-told"):
        channel.send(next(name for name in channel.parties if name != channel.me), "rows", _rows(inputs))
    inputs.progress(1.0, "opened" if opened is not None else "shared")
    summary = {
        "modulus_bits": ring.bits,
        "parties": len(channel.parties),
        "seconds": round(time.monotonic() - began, 3),
    }
    if opened is None:
        return Outputs({}, summary)
    result = {
        name: _statistics(opened[2 * at], opened[2 * at + 1], params.scale) for at, name in enumerate(params.columns)
    }
    target = inputs.targets.get(RESULT)
    if target is not None:
        target.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return Outputs({} if target is None else {RESULT: target}, {**summary, "result": result})


def _rows(inputs: Inputs) -> bytes:
    """Return the table as it stands, for the fault that sends it."""
    return inputs.files[TABLE].read_bytes()


def _totals(params: StatisticsParams, inputs: Inputs) -> list[Total]:
    """Sum this party's columns and hold them against the bounds that everybody was told."""
    if not params.contribute:
        return [Total(0, 0)] * len(params.columns)
    if TABLE not in inputs.files:
        raise InputRefused(f"no input {TABLE} was given", hint="a party without data sets contribute to false")
    table, totals = Table(inputs.files[TABLE]), []
    for name in params.columns:
        total = column_total(table, name, scale=params.scale, max_abs=params.max_abs, skip_empty=params.empty == "skip")
        if total.count > params.max_rows:
            raise InputRefused(f"column {name} has more than max_rows values", hint="raise max_rows on every side")
        if inputs.defect("statistics-sum-rounded"):
            total = Total(total.total // 100 * 100, total.count)
        totals.append(total)
    return totals


def _statistics(total: int, count: int, scale: int) -> dict[str, Any]:
    """Write a sum and its mean; a mean over nothing is null."""
    exact = Fraction(total, 10**scale)
    found: dict[str, Any] = {"count": count, "sum": _decimal(total, scale), "mean": None, "mean_exact": None}
    if count:
        mean = exact / count
        divided = Context(prec=MEAN_DIGITS).divide(Decimal(mean.numerator), Decimal(mean.denominator))
        found |= {"mean": str(divided), "mean_exact": f"{mean.numerator}/{mean.denominator}"}
    return found


def _decimal(total: int, scale: int) -> str:
    digits = str(abs(total)).rjust(scale + 1, "0")
    text = digits if not scale else f"{digits[:-scale]}.{digits[-scale:]}"
    return f"-{text}" if total < 0 else text


def _receivers(channel: Channel, params: StatisticsParams) -> tuple[str, ...]:
    for name in params.result_parties:
        if name not in channel.parties:
            raise ParamsRefused("/params/result_parties", f"{name} is not a party")
    return tuple(sorted(params.result_parties or channel.parties))


def _agreement(
    channel: Channel, params: StatisticsParams, ring: Ring, receivers: tuple[str, ...]
) -> sharing_pb2.Agreement:
    return sharing_pb2.Agreement(
        version=VERSION,
        functionality=CODE,
        parties=channel.parties,
        result_parties=receivers,
        columns=params.columns,
        scale=params.scale,
        max_abs=str(params.max_abs),
        max_rows=params.max_rows,
        modulus_bits=ring.bits,
    )


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ParamsRefused("/params/max_abs", "not a positive integer of up to 38 digits")
    return int(text)
