"""The report as one HTML file: a summary for those who decide, every clause with its evidence for those who repair.

Guarantees: the file loads nothing from anywhere (its Content-Security-Policy forbids it); both languages are inside;
what the target sent is shown as text and never as markup: Jinja escapes what stands in the page, exchanges travel as
JSON whose `<`, `>` and `&` are escaped and are put on screen as text nodes only, and the policy admits no script but
the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from conformance.harness.records import Exchange, Verdict
from conformance.harness.verdict import LEVELS, ORDER, RANK
from reports import charts, words
from reports.fold import Report, tally
from reports.shown import shown
from specs import Level, Text

GLYPHS = {
    Verdict.PASS: "✓",
    Verdict.WARN: "!",
    Verdict.FAIL: "✗",
    Verdict.NOT_APPLICABLE: "∅",
    Verdict.NOT_TESTABLE: "?",
    Verdict.NOT_SCORED: "·",
    Verdict.ERROR: "⚠",
}
BODY_LIMIT = 20_000  # characters of a body that the page carries; the whole of it stands in events.jsonl
_SCRIPT_LABELS = (
    "request",
    "answer",
    "no_answer",
    "headers",
    "no_body",
    "binary",
    "cut",
    "negative",
    "signing_problems",
    "partner",
    "copy_curl",
    "copy_json",
    "copied",
    "curl_note",
    "missing_exchange",
    "no_exchanges",
)


def template(name: str) -> str:
    """Return the text of a file of `reports/templates`."""
    return resources.files("reports").joinpath("templates", name).read_text(encoding="utf-8")


def both(text: Text | str) -> Markup:
    """Return both languages as elements of which the page shows one; a text that is the same in both stands once."""
    if isinstance(text, str) or text.zh == text.en:
        return escape(shown(text if isinstance(text, str) else text.en))
    return Markup('<span lang="zh">{}</span><span lang="en">{}</span>').format(shown(text.zh), shown(text.en))


def island(value: Any) -> Markup:
    """Return JSON that can stand inside a script element whatever strings it holds."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704  no character of it means anything to HTML


def pretty(value: Any) -> str:
    """Return a recorded value as readable text; a string stands as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= BODY_LIMIT else text[:BODY_LIMIT] + "…"


def moment(unix_ms: int) -> str:
    """Return a time as UTC, to the second."""
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(milliseconds: float) -> str:
    """Return a duration with a unit that suits it."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    minutes, seconds = divmod(milliseconds / 1000, 60)
    return f"{minutes:.0f} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"


def fact_name(key: str) -> Text:
    """Return the words of a fact of the header; a key that nobody has named stands for itself."""
    return words.find(f"fact.{key}") or Text(key, key)


def scored_of(level: Level, report: Report) -> Text:
    """Say how many of the clauses that count at a level have a verdict: the outcome rests on no more than these."""
    numbers = {"scored": str(report.scored(level)), "counting": str(report.counting(level))}
    return words.fill(words.label("label.scored_of"), **numbers)


def _exchange(exchange: Exchange) -> dict[str, Any]:
    row = exchange.to_json()
    for part in (row["request"], row["answer"] or {}):
        body = part.get("body", "")
        text = body if isinstance(body, str) else body["base64"]
        if len(text) > BODY_LIMIT:
            part["cut"] = len(text)
            short = text[:BODY_LIMIT]
            part["body"] = short if isinstance(body, str) else {"base64": short}
    return row


def _script_words() -> dict[str, dict[str, str]]:
    texts = {name: words.label(f"label.{name}") for name in _SCRIPT_LABELS}
    texts |= {key: words.label(f"direction.{key}") for key in words.section("direction")}
    return {key: {"zh": text.zh, "en": text.en} for key, text in texts.items()}


def _finalized(value: Any) -> Any:
    """Show what steers as its escape; what is markup already is ours."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        finalize=_finalized,
        loader=FunctionLoader(template),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "both": both,
        "charts": charts,
        "finding_text": lambda found: words.finding(found, None)[0],
        "label": words.label,
        "say": lambda key: both(words.label(f"label.{key}")),
        "glyph": {verdict.value: glyph for verdict, glyph in GLYPHS.items()},
        "levels": LEVELS,
        "rank": RANK,
        "verdicts": [Verdict.PASS, *(verdict for verdict in reversed(ORDER) if verdict is not Verdict.PASS)],
    }
    environment.filters |= {
        "brief": words.value,
        "pretty": pretty,
        "moment": moment,
        "span": span,
        "fact_name": fact_name,
        "scored_of": scored_of,
        "tally": tally,
    }
    return environment


def page(file: str, /, **values: Any) -> str:
    """Return the page that a template makes, with the styles of all pages."""
    css = Markup(template("report.css") + template("load.css"))  # noqa: S704  our own files
    text = _environment().get_template(file).render(css=css, **values)
    # A lone surrogate can stand in a JSON string of the target's, but in no UTF-8 file.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def render(report: Report) -> str:
    """Return the page of a report."""
    script = template("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    exchanges = {"target": str(report.target.get("url", "")), "rows": [_exchange(row) for row in report.exchanges]}
    return page(
        "report.html.j2",
        report=report,
        name=str(report.target.get("name") or report.target.get("node_id") or report.target.get("url") or ""),
        outcome=report.outcomes[report.judged_at],
        facts=list(report.facts.items()),
        script=Markup(script),  # noqa: S704  our own file
        script_hash=digest,
        script_words=island(_script_words()),
        exchanges=island(exchanges),
    )
