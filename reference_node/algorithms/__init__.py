"""The node's own algorithms: numerics over a channel that is handed to them, no HTTP and no database.

`ALGORITHMS` maps the code of a component to its self-description, the reader of its parameters and its entry:

    >>> ALGORITHMS["intersection"].start(channel, {"id": "user"}, Inputs(files={"table": path}))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from reference_node.algorithms.contract import Algorithm
from reference_node.algorithms.psi import intersection
from reference_node.algorithms.psi.curves import load_ahead
from reference_node.algorithms.statistics import component as statistics

COMPONENTS: Final = Path(__file__).resolve().parents[2] / "specs" / "components"


def _described(code: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads((COMPONENTS / f"{code}.json").read_text(encoding="utf-8"))
    return found


ALGORITHMS: Final[Mapping[str, Algorithm[Any]]] = {
    intersection.CODE: Algorithm(
        intersection.CODE,
        _described(intersection.CODE),
        intersection.IntersectionParams.parse,
        intersection.run,
        load_ahead,
    ),
    statistics.CODE: Algorithm(
        statistics.CODE, _described(statistics.CODE), statistics.StatisticsParams.parse, statistics.run
    ),
}
