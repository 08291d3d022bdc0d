"""No text steers a terminal, a log or a page: refused at the interface, shown as its escape everywhere else."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node import log
from reference_node.domain.text import hidden, shown, steers
from reference_node.runtime.logs import Journal
from reports.markdown import code, escape
from reports.shown import plain
from reports.shown import shown as shown_in_reports
from tests.reference_node.pair import nodes

STEERING = [chr(number) for number in range(0x11000) if unicodedata.category(chr(number)) in ("Cc", "Zl", "Zp")]
_TURNS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
TURNING = [chr(number) for number in range(0x11000) if unicodedata.bidirectional(chr(number)) in _TURNS]
MARKS = ["\u200e", "\u200f", "\u061c"]
FREE = {"\t", "\n", "\r"}
EVERY = sorted({*STEERING, *TURNING, *MARKS} - FREE)
_TEXT = st.text(max_size=20)


@pytest.mark.parametrize("character", EVERY, ids=lambda c: f"U+{ord(c):04X}")
def test_each_character_that_steers_is_known_to_node_and_reports(character: str) -> None:
    """All controls, separators and marks of direction that Unicode has, by its own categories."""
    assert steers(f"a{character}b")
    assert shown(f"a{character}b") == shown_in_reports(f"a{character}b") == f"a\\u{ord(character):04x}b"
    assert character not in plain(character) + escape(f"a{character}b") + code(f"a{character}b")


@given(st.recursive(_TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)))
@settings(max_examples=200)
def test_what_is_found_is_where_it_is_said_to_be(value: Any) -> None:
    """A pointer leads to a text that steers; without one none does, and showing changes nothing."""
    pointer = hidden(value)
    flat = json.dumps(value, ensure_ascii=False)
    if pointer is None:
        assert not any(steers(text) for text in _texts(value))
        return
    assert any(steers(text) for text in _texts(value))
    assert not steers(pointer)
    assert json.loads(shown(flat)) == value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for name, inner in value.items() for text in (name, *_texts(inner))]
    return [text for inner in value for text in _texts(inner)]


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028"])
def test_the_interface_refuses_them_wherever_they_stand(character: str) -> None:
    """Own side and partners alike, names and texts, with the place; state unchanged; what is plain is taken."""
    with nodes("node-a") as (node,):
        for fields, pointer in (
            ({"name": f"a{character}"}, "/name"),
            ({"name": "a", "description": f"b{character}"}, "/description"),
            ({"name": "a", "dataset_ids": [f"c{character}"]}, "/dataset_ids/0"),
            ({"name": "a", "more": {"deep": [f"d{character}"]}}, "/more/deep/0"),
        ):
            refused = node.own("ownProjectCreate", project_id="prj", **fields)
            assert (refused.error, refused.data["pointer"]) == ("REQUEST_INVALID", pointer)
        asked = node.own("ownProjectList", keyword=f"a{character}")
        assert (asked.error, asked.data["pointer"]) == ("REQUEST_INVALID", "/keyword")
        assert node.own("ownProjectList").data["total"] == 0
        assert node.own("ownProjectCreate", project_id="prj", name="名称 (a)", description="one\n\ttwo").code == 0


@pytest.mark.parametrize("name", ["two\nlines", "tab\there", "\r", " \u3000 "])
def test_a_name_is_one_line(name: str) -> None:
    """Line ends and tabs belong to descriptions; a name of white space alone is none."""
    with nodes("node-a") as (node,):
        refused = node.own("ownProjectCreate", project_id="prj", name=name)
        assert (refused.error, refused.data["pointer"]) == ("REQUEST_INVALID", "/name")


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_a_line_of_the_log_is_one_line_that_steers_nothing(text: str) -> None:
    """Whatever is logged is JSON on one line, and reads back as it was."""
    log.configure()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("reference_node.texts")
    logger.addHandler(handler)
    try:
        structlog.get_logger("reference_node.texts").warning("said", what=text)
    finally:
        logger.removeHandler(handler)
    line = stream.getvalue().removesuffix("\n")
    assert not steers(line)
    assert "\n" not in line
    assert json.loads(line)["what"] == text


def test_a_line_of_a_tasks_log_steers_nothing(tmp_path: Path) -> None:
    """What a component writes reaches the operator's terminal as text."""
    journal = Journal(tmp_path)
    journal.write("task-1", "INFO", "\x1b[2Jred\u202e", 1)
    with journal.path("task-1").open("a", encoding="utf-8") as file:  # as a component may, past the node
        file.write("\x1b]0;title\x07\n" + json.dumps({"time": 2, "level": "INFO", "content": "\x9b31m"}) + "\n")
    lines = journal.read("task-1", "DEBUG", 0, 10, newest_first=False, limit=None)
    assert [line["content"] for line in lines] == [
        "\\u001b[2Jred\\u202e",
        "\\u001b]0;title\\u0007",
        "\\u009b31m",
    ]
