"""Runs the parties of an algorithm as threads of this process and gathers what each returned or raised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reference_node.algorithms import ALGORITHMS
from reference_node.algorithms.channel import LocalChannel, local_channels
from reference_node.algorithms.contract import Inputs, Outputs

GUEST, HOST = "guest.0", "host.0"
Act = Callable[[LocalChannel], Any]


def play(acts: Mapping[str, Act], *, timeout: float = 20.0) -> dict[str, Any]:
    """Run every party; when one fails, the others' channels are closed. Values are results or exceptions."""
    channels = local_channels(list(acts), timeout=timeout)
    ended: dict[str, Any] = {}

    def one(name: str) -> None:
        try:
            ended[name] = acts[name](channels[name])
        except Exception as failure:  # noqa: BLE001 - the test looks at it
            ended[name] = failure
            channels[name].close()

    threads = [threading.Thread(target=one, args=(name,)) for name in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout + 10)
    return ended


def component(code: str, params: Mapping[str, Any], table: Path | None, target: Path | None, port: str) -> Act:
    """Return what a party does that runs a component."""
    inputs = Inputs({} if table is None else {"table": table}, {} if target is None else {port: target})
    return lambda channel: ALGORITHMS[code].start(channel, params, inputs)


def outputs(ended: Mapping[str, Any], name: str) -> Outputs:
    """Return a party's outputs, or raise what it raised."""
    if isinstance(ended[name], Exception):
        raise ended[name]
    found: Outputs = ended[name]
    return found
