"""The load report as one HTML file with charts drawn in SVG: loads nothing, runs nothing, speaks both languages.

Guarantees: what the target sent is shown as text and never as markup; a campaign that sent nothing has a page too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from loadtests.measure import Figures, Seen, Sheet
from reports import words
from specs import Text, read_toml

WIDTH, HEIGHT, FLOOR = 900, 160, 140
NAME_WIDTH, ROW = 190, 22
_SHORT = 200


@cache
def _words() -> dict[str, Text]:
    with resources.as_file(resources.files("loadtests").joinpath("words.toml")) as path:
        return {key: Text(**row) for key, row in read_toml(path)["words"].items()}


def both(text: Text) -> Markup:
    """Return a text in both languages, of which the page shows one."""
    return Markup('<span lang="zh">{}</span><span lang="en">{}</span>').format(escape(text.zh), escape(text.en))


def _columns(sheet: Sheet, most: int) -> Iterator[dict[str, Any]]:
    step = WIDTH / max(1, len(sheet.timeline))
    for row in sheet.timeline:
        tall = round(row.requests / most * (FLOOR - 20), 1)
        yield {
            "x": round(row.second * step, 1),
            "y": FLOOR - tall,
            "width": round(step * 0.85, 1),
            "height": tall,
            "bad": round(row.errors / most * (FLOOR - 20), 1),
            "title": f"{row.second} s: {row.requests}",
        }


def _line(sheet: Sheet, most: float) -> str:
    step = WIDTH / max(1, len(sheet.timeline))
    return " ".join(
        f"{(row.second + 0.5) * step:.1f},{FLOOR - row.p95 / most * (FLOOR - 20):.1f}" for row in sheet.timeline
    )


def _bars(operations: tuple[Figures, ...]) -> Iterator[dict[str, Any]]:
    most = max((row.p99 for row in operations), default=0.0) or 1.0
    scale = (WIDTH - NAME_WIDTH - 170) / most
    for number, row in enumerate(operations):
        top = number * ROW
        parts = (("a", "p50", row.p50), ("b", "p95", row.p95), ("c", "p99", row.p99))
        yield {
            "operation": row.operation,
            "y": top,
            "reach": round(row.p99 * scale, 1),
            "figures": f"{row.p50:.1f} · {row.p95:.1f} · {row.p99:.1f}",
            "parts": [
                {"kind": kind, "y": top + 2 + place * 6, "width": round(value * scale, 1), "title": f"{name} {value}"}
                for place, (kind, name, value) in enumerate(parts)
            ],
        }


def _finding(seen: Seen) -> dict[str, Any]:
    code = seen.finding.code
    said = {lang: words.messages(lang)["finding"].get(code, {}).get("text", code) for lang in words.LANGUAGES}
    shown = [json.dumps(value, ensure_ascii=False)[:_SHORT] for value in (seen.finding.expected, seen.finding.actual)]
    return {"seen": seen, "text": Text(**said), "expected": shown[0], "actual": shown[1]}


def render(sheet: Sheet) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = resources.files("loadtests").joinpath("templates", "load.html.j2").read_text(encoding="utf-8")
    most_requests = max((row.requests for row in sheet.timeline), default=0) or 1
    most_p95 = max((row.p95 for row in sheet.timeline), default=0.0) or 1.0
    return environment.from_string(source).render(
        sheet=sheet,
        say=lambda key: both(_words()[key]),
        both=both,
        started=datetime.fromtimestamp(sheet.started_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        width=WIDTH,
        height=HEIGHT,
        floor=FLOOR,
        name_width=NAME_WIDTH,
        columns=list(_columns(sheet, most_requests)),
        most_requests=most_requests,
        line=_line(sheet, most_p95),
        most_p95=most_p95,
        bars=list(_bars(sheet.operations)),
        bars_height=max(1, len(sheet.operations)) * ROW,
        findings=[_finding(seen) for seen in sheet.seen],
    )
