"""All reports of a run."""

from __future__ import annotations

from pathlib import Path

import reports
from conformance.harness.records import Finding, Verdict
from tests.reports.builders import FOUND, check, ids, in_memory, small


def test_every_report_is_written(tmp_path: Path) -> None:
    """Five files, in a folder that need not exist; writing them again gives the same bytes."""
    run = small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND))
    paths = reports.write_all(run, tmp_path / "new" / "out")
    assert {path.name for path in paths} == {"report.json", "junit.xml", "report.zh.md", "report.en.md", "index.html"}
    first = [path.read_bytes() for path in paths]
    assert all(FOUND.code.encode() in content for content in first)
    assert [path.read_bytes() for path in reports.write_all(run, tmp_path / "new" / "out")] == first


def test_no_report_shows_a_secret_of_the_header(tmp_path: Path) -> None:
    """The operator's token stands in the profile of the sample run."""
    for path in reports.write_all(small(tmp_path), tmp_path / "out"):
        assert b"hush" not in path.read_bytes()


def test_values_that_no_file_can_hold_are_written_all_the_same(tmp_path: Path) -> None:
    """A lone surrogate reaches every report."""
    found = Finding("A_CODE", actual="\ud800", pointer="\udfff")
    run = in_memory(check(ids()[0], Verdict.FAIL, found, reason="\ud800"))
    assert all(path.stat().st_size for path in reports.write_all(run, tmp_path))
