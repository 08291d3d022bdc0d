"""A command's side of the environment contract: what its variables tell it, how it tells of its end (8.5.4, 8.5.6).

Guarantees: whatever a component raises ends its process with a status other than 0; the node hears of the end by the
callback as well, where it can be reached; failures that are worded for the log are told by their words, others by their
kind and place, never with the data at hand.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

from reference_node.algorithms.errors import AlgorithmFailure, ParamsRefused

FAILED: Final = 1
_PARAMETER: Final = "runtime.component.parameter."
_INPUT: Final = "runtime.component.input."
_OUTPUT: Final = "runtime.component.output."
_NODE: Final = "config.node_id."
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Told:
    """One component process as its variables describe it; `nodes` are by party, in the order of the ranks."""

    me: str
    job_id: str
    task_id: str
    nodes: Mapping[str, str]
    parameters: Mapping[str, str]
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    callback: str
    token: str = field(repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Told:
        """Read the variables; KeyError names one that is missing."""
        return cls(
            me=environ["config.self_role"],
            job_id=environ["config.job_id"],
            task_id=environ["config.task_id"],
            nodes=dict(sorted(_named(environ, _NODE).items())),
            parameters=_named(environ, _PARAMETER),
            inputs={name: _path(place) for name, place in _named(environ, _INPUT).items()},
            outputs={name: _path(place) for name, place in _named(environ, _OUTPUT).items()},
            callback=environ["system.callback"],
            token=environ["config.token"],
        )

    @property
    def rank(self) -> int:
        """This party's number."""
        return list(self.nodes).index(self.me)

    def ranks(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the ranks of these parties, of all where none is named; raise ParamsRefused."""
        order = list(self.nodes)
        for name in names:
            if name not in order:
                raise ParamsRefused("/params/result_parties", f"{name} is not a party")
        return tuple(sorted(map(order.index, names or order)))

    def tell(self, status: str) -> None:
        """Call the node back (8.5.4)."""
        self._post(self.callback, {"status": status, "role": self.me.partition(".")[0]})

    def report(self, summary: Mapping[str, Any]) -> None:
        """Tell the node what has come out (8.5.6), at the place beside the callback."""
        body = {"output_type": "report", "output_content": dict(summary)}
        self._post(self.callback.rpartition("/")[0] + "/report", body)

    def _post(self, url: str, body: Mapping[str, Any]) -> None:
        whole = {"job_id": self.job_id, "task_id": self.task_id, **body}
        headers = {"authorization": f"Bearer {self.token}"}
        requests.post(url, json=whole, headers=headers, timeout=_SECONDS).raise_for_status()


def run(environ: Mapping[str, str], component: Callable[[Told], Mapping[str, Any]]) -> int:
    """Run a component, report what it returns, and return the exit status."""
    told = Told.read(environ)
    try:
        told.report(component(told))
        told.tell("SUCCESS")
    except Exception as failure:  # noqa: BLE001 - an engine may raise anything
        _explain(failure)
        try:
            told.tell("FAILED")
        except requests.RequestException as unheard:
            sys.stderr.write(f"callback failed: {type(unheard).__name__}\n")
        return FAILED
    return 0


def _explain(failure: Exception) -> None:
    if isinstance(failure, AlgorithmFailure):
        sys.stderr.write(f"{failure.name}: {failure} ({failure.hint})\n")
        return
    sys.stderr.write(f"{type(failure).__name__}\n")
    sys.stderr.writelines(traceback.format_tb(failure.__traceback__))


def _named(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in environ.items() if name.startswith(prefix)}


def _path(place: str) -> Path:
    found = json.loads(place)
    return Path(found["namespace"]) / str(found["name"])
