"""The geometry of the load charts: places and sizes that the templates put into SVG. Pure.

Guarantee: every chart can be drawn, also that of a campaign that sent nothing; nothing falls outside its frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.load import Load

WIDTH, HEIGHT, FLOOR, CEILING = 900, 160, 140, 20
NAME_WIDTH, ROW, FIGURES_WIDTH = 190, 22, 170
MARGIN = 40
PARTS = (("p50", "a"), ("p95", "b"), ("p99", "c"))  # figure and colour


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; `kind` is its colour."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `most` is the value at the ceiling."""

    kind: str
    name: str
    points: str
    most: float


@dataclass(frozen=True, slots=True)
class Bars:
    """One operation: three bars beside its name, and where its figures stand."""

    name: str
    y: int
    boxes: tuple[Box, ...]
    reach: float
    figures: str


@dataclass(frozen=True, slots=True)
class Point:
    """One campaign at its number of users; `good` says that it held."""

    x: float
    y: float
    good: bool
    users: int
    per_second: float


def _height(value: float, most: float) -> float:
    return round(value / (most or 1.0) * (FLOOR - CEILING), 1)


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def most_requests(load: Load) -> int:
    """Return the requests of the busiest second."""
    return max((row.requests for row in load.timeline), default=0)


def throughput(load: Load) -> list[Box]:
    """Return a column for each second, and in front of it one for the requests of it that went wrong."""
    step, most = WIDTH / max(1, len(load.timeline)), most_requests(load)
    boxes = []
    for row in load.timeline:
        for kind, count in (("a", row.requests), ("bad", min(row.errors, row.requests))):
            tall = _height(count, most)
            if tall:
                title = f"{row.second} s: {count}"
                boxes.append(Box(kind, round(row.second * step, 1), FLOOR - tall, round(step * 0.85, 1), tall, title))
    return boxes


def crowd(load: Load) -> Line:
    """Return how many users there were, as steps."""
    step, most = WIDTH / max(1, len(load.timeline)), max((row.users for row in load.timeline), default=0)
    places = [
        (x * step, FLOOR - _height(row.users, most)) for row in load.timeline for x in (row.second, row.second + 1)
    ]
    return Line("users", "users", _points(places), most)


def latency(load: Load) -> list[Line]:
    """Return the percentiles of every second; all are drawn to one scale."""
    step = WIDTH / max(1, len(load.timeline))
    most = max((value for row in load.timeline for value in (row.p50, row.p95, row.p99)), default=0.0)
    return [
        Line(
            kind,
            name,
            _points(((row.second + 0.5) * step, FLOOR - _height(getattr(row, name), most)) for row in load.timeline),
            most,
        )
        for name, kind in PARTS
    ]


def by_operation(load: Load) -> list[Bars]:
    """Return the percentiles of every operation; all are drawn to one scale."""
    most = max((value for row in load.operations for value in (row.p50, row.p95, row.p99)), default=0.0) or 1.0
    scale = (WIDTH - NAME_WIDTH - FIGURES_WIDTH) / most
    found = []
    for number, row in enumerate(load.operations):
        top, values = number * ROW, [getattr(row, name) for name, _ in PARTS]
        boxes = tuple(
            Box(kind, NAME_WIDTH, top + 2 + place * 6, round(value * scale, 1), 5, f"{name} {value}")
            for place, ((name, kind), value) in enumerate(zip(PARTS, values, strict=True))
        )
        reach = round(max(box.width for box in boxes) + NAME_WIDTH + 6, 1)
        found.append(Bars(row.operation, top, boxes, reach, " · ".join(f"{value:.1f}" for value in values)))
    return found


def over_users(loads: Sequence[Load]) -> list[Point]:
    """Return throughput over users, a point for each campaign."""
    users = max((load.users for load in loads), default=0) or 1
    most = max((load.total.per_second for load in loads), default=0.0)
    return [
        Point(
            round(MARGIN + load.users / users * (WIDTH - 3 * MARGIN), 1),
            FLOOR - _height(load.total.per_second, most),
            load.met and load.held,
            load.users,
            load.total.per_second,
        )
        for load in loads
    ]
