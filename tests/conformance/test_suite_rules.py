"""Rules that the suite's own code keeps: nothing unnamed, nothing unworded, nothing uncovered."""

from __future__ import annotations

import re

import pytest

import specs
from conformance.harness import engine
from conformance.harness.expect import WRONG_REFUSAL
from conformance.harness.registry import CHECKS, EVERY, SCENARIOS
from reports import words

engine.plan()
CODES = sorted({code for check in CHECKS.values() for code in check.codes} | {WRONG_REFUSAL})


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_check_is_a_sentence_about_a_known_requirement(name: str) -> None:
    """Its name has several words, it explains itself, its scenario and requirement exist."""
    check = CHECKS[name]
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){2,}", name)
    assert (check.judge.__doc__ or "").strip().endswith(".")
    assert check.scenario == EVERY or check.scenario in SCENARIOS
    assert check.by_operation or check.requirement in specs.load_requirements()


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_tells_its_story_and_feeds_a_check(name: str) -> None:
    """It says in a sentence what it does and for which clause, and some check reads it."""
    assert re.search(r"\d+\.\d", SCENARIOS[name].act.__doc__ or "")
    assert any(check.scenario == name for check in CHECKS.values())


@pytest.mark.parametrize("code", CODES)
def test_a_finding_has_words_in_both_languages(code: str) -> None:
    """A vendor reads what is wrong and where to look."""
    for lang in words.LANGUAGES:
        row = words.messages(lang)["finding"][code]
        assert row["text"].strip()
        assert row["hint"].strip()
    zh, en = (words.messages(lang)["finding"][code] for lang in words.LANGUAGES)
    assert zh["text"] != en["text"]
    assert re.search("[一-鿿]", zh["text"])


def test_no_words_are_kept_for_findings_that_are_gone() -> None:
    """The catalogue holds the suite's findings and no others."""
    assert set(words.messages("en")["finding"]) == set(CODES)


def test_every_clause_of_the_built_operations_is_checked() -> None:
    """What the interface documents offer (not marked planned) is covered by a check of its first clause."""
    covered = {check.requirement for check in CHECKS.values()}
    offered = {row.requirements[0] for row in specs.operations().values() if not row.planned}
    assert offered - covered == set()
