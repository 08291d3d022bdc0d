"""What a hostile target sends steers neither the terminal nor a page nor the eye of the vendor who reads the report."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import conformance.commands
from conformance.commands import console
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode
from reports import html, jsonreport, junit, markdown
from reports.fold import fold
from reports.shown import plain
from tests.reports import test_html

ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31m a\u202egnp.exe\u2066\u200f\0\x7f \u2028[red]b[/red]"
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("writer", ["html", "markdown zh", "markdown en", "junit", "json"])
def test_no_report_carries_what_steers(monkeypatch: pytest.MonkeyPatch, writer: str) -> None:
    """Everything that a target controls is such a text, in every kind of report; each is shown as its escape."""
    monkeypatch.setattr(test_html, "PAYLOAD", ATTACK)
    report = fold(test_html._hostile())
    kind, _, language = writer.partition(" ")
    writers = {"html": html.render, "junit": junit.render, "json": jsonreport.render}
    text = markdown.render(report, language) if kind == "markdown" else writers[kind](report)
    assert STEERING.findall(text) == []
    assert r"\u202e" in text


@given(st.text())
def test_a_console_shows_any_text_as_it_is_spelled(text: str) -> None:
    """Neither markup nor control: what is printed is the text with what steers as escapes."""
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="truecolor", soft_wrap=True).print(plain(text), highlight=False)
    assert STEERING.findall(out.getvalue()) == []


def test_a_refusal_that_quotes_a_target_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands' own way to say what is wrong."""
    out = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=out, soft_wrap=True))
    console.fail(UsageError(f"the target says {ATTACK}", hint=ATTACK), ExitCode.USAGE)
    assert STEERING.findall(out.getvalue()) == []
    assert "[red]b[/red]" in out.getvalue()


def test_what_is_printed_for_machines_is_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON on stdout has the characters as escapes of its own."""
    console.json_out({ATTACK: [ATTACK]})
    said = capsys.readouterr().out
    assert STEERING.findall(said) == []
    assert json.loads(said) == {ATTACK: [ATTACK]}


def test_no_command_escapes_markup_alone() -> None:
    """Every command prints what others say through `plain`."""
    folder = Path(conformance.commands.__path__[0])
    for path in folder.glob("*.py"):
        assert "rich.markup" not in path.read_text(encoding="utf-8"), path.name
