"""Load results beside a certification: read, held against themselves, and shown by every report.

A result is the `load.json` of a campaign (`specs/schemas/load-1.schema.json`). Guarantees: one that says more than its
own figures support, or that is of another target than the run, is refused and never shown; a rate is called conformant
only where every gate was met, the sampled checks held, and the run beside it is conformant itself.

>>> read_load(Path("reports/runs/load/load.json")).total.per_second        # doctest: +SKIP
412.6
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import jsonschema_rs
from cryptography.hazmat.primitives.hashes import SM3, Hash

import specs
from conformance.harness.errors import UsageError
from conformance.harness.records import Finding
from specs import Text

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """One operation, or all together (`operation` ""): times in milliseconds, rates in requests per second."""

    operation: str
    requests: int
    errors: int
    per_second: float
    p50: float
    p95: float
    p99: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second of the campaign; `users` is the most at a time."""

    second: int
    users: int
    requests: int
    errors: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of finding in the sample, with an example."""

    finding: Finding
    operation: str
    times: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must hold; `actual` None where it could not be measured."""

    name: str
    limit: float
    actual: float | None

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.actual is not None and self.actual <= self.limit


@dataclass(frozen=True, slots=True)
class Load:
    """The outcome of a campaign."""

    campaign: str
    title: Text
    target: Mapping[str, str]
    started_ms: int
    seconds: float
    users: int
    total: Figures
    operations: tuple[Figures, ...]
    timeline: tuple[Second, ...]
    errors: tuple[tuple[str, str, int], ...]
    sampled: int
    seen: tuple[Seen, ...]
    gates: tuple[Gate, ...]
    left_out: tuple[str, ...]
    left_behind: tuple[str, ...]
    stop: str
    sm3: str = ""

    @property
    def met(self) -> bool:
        """Whether every gate is met."""
        return not self.stop and all(gate.met for gate in self.gates)

    @property
    def held(self) -> bool:
        """Whether what was judged under load was free of findings, and something was."""
        return self.sampled > 0 and not self.seen

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, `load.json`."""
        return {
            "schema": SCHEMA,
            "campaign": self.campaign,
            "title": {"zh": self.title.zh, "en": self.title.en},
            "target": dict(self.target),
            "started_ms": self.started_ms,
            "seconds": self.seconds,
            "users": self.users,
            "total": _row(self.total),
            "operations": [_row(one) for one in self.operations],
            "timeline": [_row(one) for one in self.timeline],
            "errors": [{"operation": name, "what": what, "count": count} for name, what, count in self.errors],
            "sampled": {
                "stories": self.sampled,
                "findings": [
                    {**one.finding.to_json(), "operation": one.operation, "times": one.times} for one in self.seen
                ],
            },
            "gates": [{**_row(gate), "met": gate.met} for gate in self.gates],
            "left_out": list(self.left_out),
            "left_behind": list(self.left_behind),
            "stop": self.stop,
            "met": self.met,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], sm3: str = "") -> Self:
        """Read the JSON form, which follows the schema."""
        sampled = data["sampled"]
        return cls(
            campaign=data["campaign"],
            title=Text(**data["title"]),
            target=data["target"],
            started_ms=data["started_ms"],
            seconds=data["seconds"],
            users=data["users"],
            total=Figures(**data["total"]),
            operations=tuple(Figures(**row) for row in data["operations"]),
            timeline=tuple(Second(**row) for row in data["timeline"]),
            errors=tuple((row["operation"], row["what"], row["count"]) for row in data["errors"]),
            sampled=sampled["stories"],
            seen=tuple(Seen(Finding.from_json(row), row["operation"], row["times"]) for row in sampled["findings"]),
            gates=tuple(Gate(row["name"], row["limit"], row["actual"]) for row in data["gates"]),
            left_out=tuple(data["left_out"]),
            left_behind=tuple(data["left_behind"]),
            stop=data["stop"],
            sm3=sm3,
        )


def _row(item: Figures | Second | Gate) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__}


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    path = specs.folder() / "schemas" / "load-1.schema.json"
    return jsonschema_rs.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def read_load(path: Path) -> Load:
    """Read a `load.json`. Raises UsageError when it is none, or claims more than its figures say."""
    try:
        content = path.read_bytes()
        data = json.loads(content, parse_constant=_no_number)
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path}: {exc}", hint="Give the load.json of a load campaign.") from exc
    wrong = next(_validator().iter_errors(data), None)
    if wrong is not None:
        place = "/".join(map(str, wrong.instance_path))
        raise UsageError(f"{path}: /{place}: {wrong.message}", hint="Run the load campaign again.")
    digest = Hash(SM3())
    digest.update(content)
    load = Load.from_json(data, digest.finalize().hex())
    claimed = ([gate["met"] for gate in data["gates"]], data["met"])
    if claimed != ([gate.met for gate in load.gates], load.met) or not _sound(load):
        raise UsageError(f"{path}: the result contradicts its own figures", hint="Run the load campaign again.")
    return load


def _sound(load: Load) -> bool:
    """Say whether the parts of a result come to its whole."""
    requests = load.total.requests
    findings = next((gate.actual for gate in load.gates if gate.name == "findings"), None)
    parts = (sum(row.requests for row in load.timeline), sum(row.requests for row in load.operations))
    return parts == (requests, requests) and bool(findings) == bool(load.seen)


def of_target(loads: Iterable[Load], node_id: str) -> tuple[Load, ...]:
    """Return load results by rising number of users. Raises UsageError for one of another node."""
    found = sorted(loads, key=lambda load: (load.users, load.total.per_second))
    for load in found:
        if load.target["node_id"] != node_id:
            told = f"the load result is of {load.target['node_id']}, the run of {node_id}"
            raise UsageError(told, hint="Show a certification together with load on the same node.")
    return tuple(found)


def rate_held(loads: Iterable[Load]) -> float | None:
    """Return the highest rate up to which gates and sampled checks held throughout; None when at no rate."""
    best: float | None = None
    for load in sorted(loads, key=lambda load: load.total.per_second):
        if not (load.met and load.held):
            break
        best = load.total.per_second
    return best
