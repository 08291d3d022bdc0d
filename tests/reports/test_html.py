"""The report as one HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.events import read_events
from conformance.harness.records import Answer, Finding, Request, Stop, StopKind, Verdict
from reports import html, words
from reports.fold import fold
from specs import load_requirements
from tests.reports.builders import (
    FOUND,
    HEADER,
    changed,
    check,
    cut,
    exchange,
    ids,
    in_memory,
    judged,
    large,
    record,
    small,
    transcript,
)

PAYLOAD = """</script><script>alert(1)</script><img src=x onerror="alert(2)">'"--><!--<script>{{7*7}}\u2028"""


class _Page(HTMLParser):
    """Collects elements and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def _hostile():
    """Return a run in which everything that a target controls is an attack on the page."""
    wire = exchange(
        "story",
        1,
        operation=PAYLOAD,
        failure=PAYLOAD,
        problems=(PAYLOAD,),
        request=Request("POST", PAYLOAD, ((PAYLOAD, PAYLOAD),), {PAYLOAD: PAYLOAD}, PAYLOAD.encode()),
        answer=Answer(200, {PAYLOAD: PAYLOAD}, PAYLOAD.encode()),
    )
    told = transcript("story", 0, Stop(StopKind.PREREQUISITE, PAYLOAD, PAYLOAD))
    found = Finding(PAYLOAD, PAYLOAD, PAYLOAD, {PAYLOAD: [PAYLOAD]}, (PAYLOAD, "story/1"))
    run = in_memory(
        check(ids()[0], Verdict.FAIL, found, reason=PAYLOAD, check=PAYLOAD),
        check(ids()[1], Verdict.NOT_TESTABLE, reason=PAYLOAD),
        transcripts=[type(told)("story", (wire,), {}, told.stop)],
    )
    run.header = {**HEADER, "profile": {"target": {"url": PAYLOAD, "name": PAYLOAD, PAYLOAD: PAYLOAD}}, "run": PAYLOAD}
    run.footer["problems"] = [PAYLOAD]
    return run


def test_what_a_target_sends_is_never_markup() -> None:
    """Hostile values everywhere add no element and no handler to the page that harmless values have not."""
    page = _Page(html.render(fold(_hostile())))
    assert [tag for tag, _ in page.elements].count("script") == 3
    assert not [tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "link", "base", "svg")]
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    links = [attrs["href"] or "" for tag, attrs in page.elements if tag == "a"]
    assert links
    assert all(link.startswith("#") for link in links)


def test_hostile_exchanges_survive_as_data() -> None:
    """Escaping loses nothing: the script reads back what was recorded."""
    page = _Page(html.render(fold(_hostile())))
    (row,) = json.loads(page.scripts[0])["rows"]
    assert row["answer"]["body"] == PAYLOAD
    assert row["request"]["headers"] == {PAYLOAD: PAYLOAD}


def test_the_policy_admits_our_script_and_nothing_else(tmp_path: Path) -> None:
    """The hash in the policy is that of the script in the page, and no source of anything is allowed."""
    page = _Page(html.render(fold(small(tmp_path))))
    policy = next(
        attrs["content"] for _, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256(page.scripts[2].encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_the_script_puts_no_markup_on_the_page() -> None:
    """Values become text nodes; the ways round that are not used at all."""
    script = html.template("report.js")
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    """No element and no style refers to anything outside the file."""
    text = html.render(fold(small(tmp_path)))
    assert not [attrs for _, attrs in _Page(text).elements if "src" in attrs]
    assert not re.search(r"@import|url\(", html.template("report.css"))


def test_both_languages_are_in_the_page(tmp_path: Path) -> None:
    """The switch needs no reload, since every clause is there twice."""
    text = html.render(fold(small(tmp_path)))
    for row in load_requirements().values():
        assert str(html.both(row.demand)) in text
    assert words.label("label.executive").zh in text
    assert words.label("label.executive").en in text


@pytest.mark.parametrize("lang", ["zh", "en", ""])
def test_the_page_opens_in_the_language_asked_for(tmp_path: Path, lang: str) -> None:
    """An empty wish leaves it to the browser."""
    assert f'data-default="{lang}"' in html.render(fold(small(tmp_path), lang))


def _classes(text: str) -> set[str]:
    return {name for _, attrs in _Page(text).elements for name in (attrs.get("class") or "").split()}


@pytest.mark.parametrize("damage", [cut, changed])
def test_a_damaged_recording_has_a_red_banner_and_no_green(tmp_path: Path, damage) -> None:
    """No element of the page has the colour of a pass or of conformity."""
    checks = [check(ids()[0], Verdict.PASS), check(ids()[1], Verdict.FAIL, FOUND)]
    path = record(tmp_path / "events.jsonl", [transcript("story")], checks, judged(checks))
    seen = _classes(html.render(fold(damage(path))))
    assert {"void", "o-void"} <= seen
    assert not seen & {"v-pass", "o-conformant", "o-conformant_with_waivers"}


def test_a_run_that_the_harness_broke_has_the_banner_too(tmp_path: Path) -> None:
    """An error of the harness voids an intact recording."""
    seen = _classes(html.render(fold(small(tmp_path, check(ids()[0], Verdict.ERROR, reason="broken")))))
    assert {"void", "o-void"} <= seen


def test_a_good_run_is_green_and_has_no_banner(tmp_path: Path) -> None:
    """The positive twin of the banner."""
    seen = _classes(html.render(fold(small(tmp_path, *(check(clause, Verdict.PASS) for clause in ids())))))
    assert {"v-pass", "o-conformant"} <= seen
    assert "void" not in seen


def test_every_clause_can_be_linked_to(tmp_path: Path) -> None:
    """Each clause has its anchor, once."""
    page = _Page(html.render(fold(small(tmp_path))))
    anchors = [attrs["id"] for tag, attrs in page.elements if tag == "details" and "id" in attrs]
    assert anchors == [f"clause-{clause}" for clause in load_requirements()]


def test_a_full_certification_fits_into_one_page(tmp_path: Path) -> None:
    """Some 1500 exchanges are embedded once each."""
    report = fold(read_events(large(tmp_path)))
    text = html.render(report)
    rows = json.loads(_Page(text).scripts[0])["rows"]
    assert len(rows) == len(report.exchanges) > 1400
    assert len(text) < 5_000_000


def test_a_long_body_is_cut_and_says_so(tmp_path: Path) -> None:
    """The page names the full length; the whole body stays in the recording."""
    size = 3 * html.BODY_LIMIT
    wire = exchange("story", 0, answer=Answer(200, {}, b"x" * size), request=Request("POST", "/", body=b"\xff" * size))
    told = transcript("story", 0)
    report = fold(small(tmp_path, transcripts=[type(told)("story", (wire,))]))
    (row,) = json.loads(_Page(html.render(report)).scripts[0])["rows"]
    assert (len(row["answer"]["body"]), row["answer"]["cut"]) == (html.BODY_LIMIT, size)
    assert row["request"]["cut"] == 4 * html.BODY_LIMIT


def test_a_lone_surrogate_does_not_break_the_page() -> None:
    """A target can put one into a JSON string; the page can still be written as UTF-8."""
    found = Finding("A_CODE", actual="\ud800", exchanges=("\udc00",))
    text = html.render(fold(in_memory(check(ids()[0], Verdict.FAIL, found))))
    assert "\\ud800" in text.encode().decode()


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_an_island_is_json_that_closes_no_element(value) -> None:
    """Whatever strings it holds, it has no character that HTML looks at, and reads back the same."""
    text = str(html.island(value))
    assert not set(text) & set("<>&")
    assert text.isascii()
    assert json.loads(text) == value


@pytest.mark.parametrize(("ms", "said"), [(0.0, "0 ms"), (999.4, "999 ms"), (1500.0, "1.5 s"), (61_000.0, "1 min 1 s")])
def test_durations_have_a_unit_that_suits_them(ms: float, said: str) -> None:
    """Milliseconds, seconds or minutes."""
    assert html.span(ms) == said


def test_a_chinese_reader_meets_the_words_before_the_codes(tmp_path: Path) -> None:
    """A finding is told by its text, then by its code; the English sentence of a check is for the English page only."""
    text = html.render(fold(small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND))))
    said = words.messages("zh")["finding"][FOUND.code]["text"]
    assert text.index(said[:8]) < text.index(f"<code>{FOUND.code}</code>")
    name = "contract_cancel_is_refused_once_confirmed"
    assert f'<code lang="zh">{name}</code><strong lang="en">{words.sentence(name)}</strong>' in text
