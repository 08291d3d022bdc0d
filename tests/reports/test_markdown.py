"""The report as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.records import Finding, Verdict
from reports import markdown
from reports.fold import fold
from specs import load_requirements
from tests.reports.builders import FOUND, check, cut, ids, in_memory, judged, record, small, transcript


@pytest.mark.parametrize(
    ("lang", "title", "outcome"), [("zh", "# 符合性测试报告", "不符合"), ("en", "# Conf", "Not conformant")]
)
def test_the_summary_is_in_the_language_asked_for(tmp_path: Path, lang: str, title: str, outcome: str) -> None:
    """Title, outcome, finding and every clause are there."""
    text = markdown.render(fold(small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND))), lang)
    assert text.startswith(title)
    assert f"**{outcome}**" in text
    assert f"`{FOUND.code}`" in text
    assert all(f"| {clause} |" in text for clause in load_requirements())


def test_every_row_of_a_table_has_as_many_cells_as_its_head(tmp_path: Path) -> None:
    """Also when a value has the table's own separator in it."""
    header = {"note": "x | y ` z", "a|b": "c"}
    text = markdown.render(fold(small(tmp_path, check(ids()[0], Verdict.PASS), header=header)), "en")
    width = 0
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert width in (0, cells) or cells == 0
        width = cells


def test_a_damaged_recording_says_so_before_everything_else(tmp_path: Path) -> None:
    """The warning stands above the outcome, and nothing has a tick."""
    checks = [check(ids()[0], Verdict.PASS)]
    text = markdown.render(fold(cut(record(tmp_path / "e.jsonl", [transcript("story")], checks, judged(checks)))), "en")
    assert text.index("VOID") < text.index("## Outcome")
    assert "✓" not in text


@given(st.text(min_size=1).filter(lambda text: bool(text.split())))
def test_a_code_span_cannot_be_closed_from_inside(text: str) -> None:
    """Its fence is longer than any run of backticks in it, and it stays on one line."""
    span = markdown.code(text)
    fence = re.match("`+", span)
    assert fence is not None
    inside = span[len(fence[0]) : -len(fence[0])]
    assert span.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inside.strip())
    assert len(span.splitlines()) == 1


def test_markup_of_a_target_is_text() -> None:
    """Words that carry a value escape it."""
    hostile = "<img src=x> [a](javascript:b) **c**"
    found = Finding("REFUSED_FOR_ANOTHER_REASON", expected="X", actual=hostile)
    text = markdown.render(fold(in_memory(check(ids()[0], Verdict.FAIL, found))), "en")
    assert f"`{hostile}`" in text
    outside = re.sub(r"`[^`]*`", "", text)
    assert not re.search(r"(?<!\\)<img|(?<!\\)\[a", outside)
