"""The words of the reports, in both languages, from `specs/messages/{zh,en}.toml`.

Guarantees: a label that a report needs is there in both languages or loading fails loudly; a finding whose code nobody
has put into words is said by the sentence of its check and is marked as such, never passed over.

>>> label("level.shall").en
'shall'
>>> sentence("contract_cancel_is_refused_once_confirmed")
'contract cancel is refused once confirmed'
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import specs
from conformance.harness.records import Finding
from specs import Text

LANGUAGES = ("zh", "en")
_SHORT = 160
_STOPPED = re.compile(r"(?P<kind>\w+)(?: at (?P<step>\S+))?: (?P<message>.+)", re.DOTALL)


@cache
def messages(lang: str) -> Mapping[str, Any]:
    """Return the table of one language; the words of findings stand chapter by chapter in files of their own."""
    table = specs.read_toml(specs.folder() / "messages" / f"{lang}.toml")
    findings = table.setdefault("finding", {})
    for path in sorted((specs.folder() / "messages" / "findings").glob("*.toml")):
        for code, row in specs.read_toml(path).items():
            findings[code] = {part: row[part][lang] for part in ("text", "hint")}
    return table


def find(path: str) -> Text | None:
    """Return the words at `section.key`, or None when either language has none. A key may itself hold dots."""
    section, _, key = path.partition(".")
    words = [messages(lang).get(section, {}).get(key) for lang in LANGUAGES]
    if not all(isinstance(item, str) for item in words):
        return None
    return Text(zh=words[0], en=words[1])


def label(path: str) -> Text:
    """Return the words at `section.key`; KeyError when a language lacks them."""
    words = find(path)
    if words is None:
        raise KeyError(f"specs/messages: {path} is not there in both languages")
    return words


def section(name: str) -> dict[str, Text]:
    """Return every entry of a section."""
    return {key: label(f"{name}.{key}") for key in messages("en")[name]}


def fill(text: Text, **values: str | Text) -> Text:
    """Put values into the `{places}` of a text; what a value contains is not looked at again."""

    def say(lang: str) -> Callable[[re.Match[str]], str]:
        def one(match: re.Match[str]) -> str:
            value = values.get(match[1], match[0])
            return value if isinstance(value, str) else str(getattr(value, lang))

        return one

    return Text(*(re.sub(r"\{(\w+)\}", say(lang), getattr(text, lang)) for lang in LANGUAGES))


def sentence(name: str) -> str:
    """Return the proposition that a check's name spells."""
    return name.replace("_", " ")


def reason(recorded: str) -> Text:
    """Return the words of a reason: a known code or kind of stop is translated, free text stays as recorded."""
    known = find(f"reason.{recorded}")
    stopped = _STOPPED.fullmatch(recorded)
    kind = find(f"stop.{stopped['kind']}") or find(f"reason.{stopped['kind']}") if stopped else None
    if known is not None or stopped is None or kind is None:
        return known or Text(recorded, recorded)
    rest = f" ({stopped['step']}): {stopped['message']}" if stopped["step"] else f": {stopped['message']}"
    return Text(kind.zh + rest, kind.en + rest)


def value(item: Any) -> str:
    """Return a recorded value in one short line."""
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def finding(found: Finding, demand: Text | None) -> tuple[Text, Text]:
    """Return text and hint of a finding."""
    entries = [messages(lang).get("finding", {}).get(found.code, {}) for lang in LANGUAGES]
    known = all("text" in entry and "hint" in entry for entry in entries)
    if known:
        words = [Text(*(str(entry[key]) for entry in entries)) for key in ("text", "hint")]
    else:
        words = [label("finding_unworded.text"), label("finding_unworded.hint")]
    places: dict[str, str | Text] = {
        "code": found.code,
        "sentence": sentence(found.check),
        "pointer": found.pointer,
        "expected": value(found.expected),
        "actual": value(found.actual),
        "demand": demand or Text("—", "—"),
    }
    return fill(words[0], **places), fill(words[1], **places)
