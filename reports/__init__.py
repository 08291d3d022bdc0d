"""Folds of a recorded run into reports: HTML, JSON, JUnit, Markdown in two languages.

Every report shows the same `fold.Report`; none of them adds a judgement of its own.

>>> write_all(read_events(path), Path("out"))                              # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path

from conformance.harness.events import Run
from reports import html, jsonreport, junit, markdown
from reports.fold import Report, fold

__all__ = ["Report", "fold", "write_all"]


def write_all(run: Run, out: Path, lang: str = "") -> list[Path]:
    """Write every report of a run into a folder, which is made if need be; return the files."""
    report = fold(run, lang)
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "index.html": html.render(report),
        "report.json": jsonreport.render(report),
        "junit.xml": junit.render(report),
        "report.zh.md": markdown.render(report, "zh"),
        "report.en.md": markdown.render(report, "en"),
    }
    paths = []
    for name, text in texts.items():
        path = out / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
