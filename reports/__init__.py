"""Folds of a recorded run into reports: HTML, JSON, JUnit, Markdown in two languages.

Every report shows the same `fold.Report`; none of them adds a judgement of its own.

>>> write_all(read_events(path), Path("out"))                              # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from conformance.harness.events import Run
from reports import html, jsonreport, junit, markdown
from reports.fold import Report, fold
from reports.load import Load, read_load

__all__ = ["Load", "Report", "fold", "read_load", "write_all"]


def write_all(run: Run, out: Path, lang: str = "", loads: Iterable[Load] = ()) -> list[Path]:
    """Write every report of a run, with load results if there are any, into a folder, which is made if need be.

    Returns the files. Raises UsageError for a load result of another target.
    """
    report = fold(run, lang, loads=loads)
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
