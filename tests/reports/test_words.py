"""The words of the reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reports
import specs
from conformance.harness.records import Direction, Finding, StopKind, Verdict
from conformance.harness.verdict import Outcome
from reports import words
from reports.fold import chapter_of
from specs import Level, Text, Verification, load_requirements
from specs.rows import Actor


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in table.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", item


def test_both_languages_have_the_same_keys_and_no_empty_words() -> None:
    """Nobody reads a report with holes in it."""
    zh, en = dict(_leaves(words.messages("zh"))), dict(_leaves(words.messages("en")))
    assert zh.keys() == en.keys()
    assert not [key for key, text in (*zh.items(), *en.items()) if not text.strip()]


def test_no_finding_has_its_words_twice() -> None:
    """A code that stands in two files would be shown with the words of the later one."""
    folder = specs.folder() / "messages" / "findings"
    codes = [code for path in folder.glob("*.toml") for code in specs.read_toml(path)]
    assert sorted(codes) == sorted(set(codes))


def test_both_languages_fill_in_the_same_places() -> None:
    """A translation that forgets the actual value would tell half the story."""
    zh, en = dict(_leaves(words.messages("zh"))), dict(_leaves(words.messages("en")))
    assert not [key for key in zh if set(re.findall(r"\{(\w+)\}", zh[key])) != set(re.findall(r"\{(\w+)\}", en[key]))]


@pytest.mark.parametrize(
    ("section", "members"),
    [
        ("verdict", Verdict),
        ("verdict_meaning", Verdict),
        ("outcome", Outcome),
        ("outcome_meaning", Outcome),
        ("level", Level),
        ("level_long", Level),
        ("verification", Verification),
        ("actor", Actor),
        ("stop", StopKind),
        ("direction", Direction),
    ],
)
def test_every_member_has_its_word(section: str, members: Any) -> None:
    """A new member of an enumeration needs words before it can be reported, and a word without a member is dead."""
    assert set(words.section(section)) == {member.value for member in members}


def test_every_chapter_has_a_title() -> None:
    """The titles are those of the chapters that the requirements are in."""
    assert set(words.section("chapter")) == {chapter_of(row) for row in load_requirements()}


def test_every_label_is_used() -> None:
    """A label that no report shows is taken out."""
    folder = Path(reports.__file__).parent
    source = "".join(
        path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.suffix in (".py", ".j2", ".js")
    )
    spelled = {"sort_clause", "sort_verdict", "sort_time"}  # put together in the template
    unused = [key for key in words.section("label") if key not in spelled and not re.search(rf"\b{key}\b", source)]
    assert unused == []


def test_a_finding_with_words_is_said_in_them() -> None:
    """Its values stand where the words want them."""
    found = Finding("REFUSED_FOR_ANOTHER_REASON", expected="NONCE_REPLAYED", actual="HTTP 400")
    text, hint = words.finding(found, None)
    assert "NONCE_REPLAYED" in text.zh
    assert "HTTP 400" in text.en
    assert hint.en != text.en


def test_a_finding_without_words_is_said_by_the_sentence_of_its_check() -> None:
    """It admits that nobody has explained the code, and repeats what the clause demands."""
    found = Finding("NEVER_HEARD_OF", check="contract_cancel_is_refused_once_confirmed")
    text, hint = words.finding(found, Text(zh="要求甲", en="demand A"))
    assert "contract cancel is refused once confirmed" in text.en
    assert "No explanation is kept" in text.en
    assert "demand A" in hint.en
    assert "要求甲" in hint.zh


@given(st.text(max_size=40))
def test_what_a_target_sent_is_never_filled_in_again(actual: str) -> None:
    """A value that looks like a place stays what it is."""
    filled = words.fill(Text("{actual}|{expected}", "{actual}|{expected}"), actual=actual, expected="E")
    assert filled.en == f"{actual}|E"


def test_an_unknown_place_is_left_alone() -> None:
    """A typo in the words shows, and breaks nothing."""
    assert words.fill(Text("{acutal}", "{acutal}"), actual="x").en == "{acutal}"


def test_reasons_are_translated_as_far_as_they_are_known() -> None:
    """Codes and kinds of stop have words; free text stays."""
    assert words.reason("added_after_release").zh.startswith("其检查")
    assert words.reason("prerequisite at apply: no answer").zh == "前提不成立 (apply): no answer"
    assert words.reason("undrivable: no hook").en == "the target cannot be driven there: no hook"
    assert words.reason("something: else") == Text("something: else", "something: else")


def test_a_missing_label_is_an_error() -> None:
    """A report with a silent hole would be worse than none."""
    with pytest.raises(KeyError, match=r"label\.nonsense"):
        words.label("label.nonsense")


def test_long_values_are_shortened_to_one_line() -> None:
    """A body of a megabyte does not flood a sentence."""
    line = words.value({"a": "x\n" * 1000})
    assert len(line) <= 160
    assert "\n" not in line
