"""The report as JSON."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given

import specs
from conformance.harness.events import read_events
from conformance.harness.records import CheckResult, Finding, Verdict
from reports import jsonreport
from reports.fold import fold
from tests.reports.builders import FOUND, check, cut, ids, in_memory, large, results, small


@cache
def _schema() -> dict:
    path = specs.folder() / "schemas" / "report-1.schema.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(_schema())


def test_the_schema_is_one() -> None:
    """It follows the meta-schema and is of the version that the report names."""
    jsonschema_rs.meta.validate(_schema())
    assert _schema()["properties"]["schema_version"]["const"] == jsonreport.SCHEMA_VERSION


@given(results())
def test_every_report_follows_the_schema(checks: list[CheckResult]) -> None:
    """Whatever the checks found, also values that JSON has no number for."""
    _validator().validate(json.loads(jsonreport.render(fold(in_memory(*checks)))))


def test_large_and_truncated_reports_follow_the_schema(tmp_path: Path) -> None:
    """The truncated one is void at every level and has no pass in it."""
    path = large(tmp_path, 100)
    whole, short = (json.loads(jsonreport.render(fold(run))) for run in (read_events(path), cut(path)))
    _validator().validate(whole)
    _validator().validate(short)
    assert whole["intact"] is True
    assert short["intact"] is False
    assert set(short["outcome"].values()) == {"void"}
    assert "pass" not in {row["verdict"] for row in short["requirements"]}


def test_a_finding_tells_the_whole_story(tmp_path: Path) -> None:
    """Code, place, values, exchanges and words stand together."""
    report = jsonreport.to_json(fold(small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND))))
    (found,) = report["findings"]
    assert found["code"] == FOUND.code
    assert found["requirement"] == ids()[0]
    assert (found["pointer"], found["expected"], found["actual"]) == ("/data/status", "APPROVED", "TERMINATED")
    assert found["exchanges"] == ["story/1"]
    assert set(found["hint"]) == {"zh", "en"}
    row = next(row for row in report["requirements"] if row["id"] == ids()[0])
    assert row["checks"][0]["findings"] == [FOUND.code]
    assert report["outcome"]["shall"] == "non_conformant"
    assert report["assurance"]["proven"] == 78


def test_the_schema_refuses_an_unexplained_gap(tmp_path: Path) -> None:
    """The contract is not a formality: a clause that is not scored without a reason breaks it."""
    report = jsonreport.to_json(fold(small(tmp_path)))
    report["requirements"][0]["reason"] = None
    with pytest.raises(jsonschema_rs.ValidationError):
        _validator().validate(report)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two folds of one recording can be compared line by line."""
    run = small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND))
    assert jsonreport.render(fold(run)) == jsonreport.render(fold(run))


def test_numbers_that_json_lacks_become_their_names() -> None:
    """NaN is no JSON; a target may answer it all the same."""
    found = Finding("A_CODE", actual=[float("nan"), {"a": float("-inf")}])
    text = jsonreport.render(fold(in_memory(check(ids()[0], Verdict.FAIL, found))))
    assert json.loads(text)["findings"][0]["actual"] == ["nan", {"a": "-inf"}]
