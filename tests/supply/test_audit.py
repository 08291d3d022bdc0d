"""The audit: what it says, and with which exit status, of a service that answers, fails, or is not there."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from supply import audit
from supply.audit import CLEAN, UNFINISHED, WEAK, Done

WEAKNESS = {"id": "PYSEC-1", "fix_versions": ["3.2"], "aliases": [], "description": ""}


def said(*releases: dict[str, Any], code: int = 0) -> Done:
    """Return what pip-audit prints of releases."""
    return Done(code, json.dumps({"dependencies": list(releases), "fixes": []}), "")


def release(name: str = "flask", **fields: Any) -> dict[str, Any]:
    """Return a release in its words."""
    return {"name": name, "version": "3.1", "vulns": [], **fields}


def test_a_service_that_cannot_be_reached_audits_nothing_and_says_so() -> None:
    """It fails nobody, and nobody takes it for a clean result; pip-audit is not even asked."""
    code, (line,) = audit.audit(lambda: "ConnectionError", lambda: pytest.fail("asked"))
    assert code == CLEAN
    assert "cannot be reached (ConnectionError)" in line
    assert "NOTHING WAS AUDITED" in line


def test_no_weakness_is_said_with_the_number_of_releases() -> None:
    """Of those that were looked at."""
    assert audit.audit(lambda: None, lambda: said(release(), release("numpy"))) == (
        CLEAN,
        ["No known weakness in 2 releases."],
    )


def test_a_weakness_fails() -> None:
    """Each is named, with the release that mends it."""
    found = said(release(vulns=[WEAKNESS]), release("numpy", vulns=[{"id": "CVE-2", "fix_versions": []}]), code=1)
    code, lines = audit.audit(lambda: None, lambda: found)
    assert code == WEAK
    assert lines == ["flask 3.1: PYSEC-1, mended by 3.2", "numpy 3.1: CVE-2, mended by no release yet"]


@pytest.mark.parametrize(
    "done",
    [
        Done(1, "", "requests.exceptions.ConnectionError: half way"),
        Done(0, "not json", ""),
        Done(0, "[]", ""),
        said(release(), code=2),
        said(release(), {"name": "spu", "skip_reason": "unknown to the service"}),
        Done(2, "", "no end within 600 s"),
    ],
)
def test_an_audit_that_does_not_finish_is_no_clean_one(done: Done) -> None:
    """Whatever stopped it; a release that was left out counts as that."""
    code, lines = audit.audit(lambda: None, lambda: done)
    assert code == UNFINISHED
    assert "did not finish" in lines[0]


@pytest.mark.parametrize("failure", [requests.ConnectionError, requests.Timeout, requests.exceptions.ProxyError])
def test_out_of_reach_is_what_the_network_refuses(monkeypatch: pytest.MonkeyPatch, failure: type[Exception]) -> None:
    """By name; an answer of the service, of any status, is within reach."""

    def refuse(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(requests, "get", refuse)
    assert audit.reachable() == failure.__name__
    monkeypatch.setattr(requests, "get", lambda *_, **__: requests.Response())
    assert audit.reachable() is None


def test_the_command_prints_and_returns_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Makefile and CI go by it."""
    monkeypatch.setattr(audit, "audit", lambda: (WEAK, ["flask 3.1: PYSEC-1", ""]))
    assert audit.main() == WEAK
    assert capsys.readouterr().out == "flask 3.1: PYSEC-1\n"
