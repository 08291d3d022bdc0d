"""The event file: round trips, secrets, truncation, tampering."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.errors import UsageError
from conformance.harness.events import EventWriter, mask, read_events
from conformance.harness.records import (
    Answer,
    CheckResult,
    Direction,
    Exchange,
    Finding,
    Request,
    Stop,
    StopKind,
    Transcript,
    Verdict,
)
from conformance.harness.verdict import Outcome

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
HEADERS = st.dictionaries(NAMES, NAMES, max_size=3)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | NAMES, lambda inner: st.lists(inner, max_size=3))
REQUESTS = st.builds(
    Request, NAMES, NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple), HEADERS, st.binary(max_size=20)
)
ANSWERS = st.builds(Answer, st.integers(100, 599), HEADERS, st.binary(max_size=20))
EXCHANGES = st.builds(
    Exchange,
    id=NAMES,
    scenario=NAMES,
    step=NAMES,
    direction=st.sampled_from(Direction),
    operation=NAMES,
    partner=NAMES,
    request=REQUESTS,
    answer=st.none() | ANSWERS,
    negative=NAMES,
    failure=NAMES,
    problems=st.lists(NAMES, max_size=2).map(tuple),
    at_ms=st.integers(0, 2**53),
    elapsed_ms=st.integers(0, 10_000).map(float),
)
FINDINGS = st.builds(Finding, NAMES, NAMES, JSON, JSON, st.lists(NAMES, max_size=2).map(tuple), NAMES, NAMES)
RESULTS = st.builds(
    CheckResult,
    NAMES,
    NAMES,
    NAMES,
    st.sampled_from(Verdict),
    st.lists(FINDINGS, max_size=2).map(tuple),
    NAMES,
    st.lists(NAMES, max_size=2).map(tuple),
)

SECRET = "s3cret-operator-token"
EXCHANGE = Exchange(
    "s/1",
    "s",
    "own",
    Direction.TO_TARGET,
    "ownNodeQuery",
    "",
    Request("GET", "/v1/platform/node/query", (("node_id", "n"),), {"authorization": f"Bearer {SECRET}"}),
    Answer(200, {}, f'{{"echo":"{SECRET}"}}'.encode()),
)


@given(EXCHANGES)
def test_an_exchange_survives_json(exchange: Exchange) -> None:
    """Whatever bytes went over the wire come back from the file."""
    assert Exchange.from_json(json.loads(json.dumps(exchange.to_json()))) == exchange


@given(RESULTS)
def test_a_check_result_survives_json(result: CheckResult) -> None:
    """Verdict, findings and reason come back."""
    assert CheckResult.from_json(json.loads(json.dumps(result.to_json()))) == result


@given(st.builds(Stop, st.sampled_from(StopKind), NAMES, NAMES))
def test_a_stop_survives_json(stop: Stop) -> None:
    """Why a scenario ended comes back."""
    assert Stop.from_json(json.loads(json.dumps(stop.to_json()))) == stop


def written(folder: Path, *, footer: bool = True) -> Path:
    path = folder / "events.jsonl"
    with EventWriter(path, [SECRET]) as writer:
        writer.header({"run": "r", "only": []})
        writer.exchange(EXCHANGE)
        writer.transcript(Transcript("s", (), {"name": "南方"}, Stop(StopKind.PREREQUISITE, "why", "own")))
        writer.write("check", CheckResult("c", "8.1.1-a", "s", Verdict.PASS).to_json())
        if footer:
            writer.footer({"outcome": {"shall": "conformant", "should": "conformant", "may": "conformant"}})
    return path


def test_a_run_is_read_back(tmp_path: Path) -> None:
    """Header, exchanges, facts, stop, checks and outcome are all there."""
    run = read_events(written(tmp_path))
    assert run.intact
    assert run.header["run"] == "r"
    assert [exchange.id for exchange in run.exchanges()] == ["s/1"]
    assert run.transcripts["s"].facts == {"name": "南方"}
    assert run.transcripts["s"].stop == Stop(StopKind.PREREQUISITE, "why", "own")
    assert run.checks[0].verdict is Verdict.PASS
    assert run.outcome("shall") is Outcome.CONFORMANT


def test_secrets_never_reach_the_file(tmp_path: Path) -> None:
    """Neither the header that carries the token nor a body that echoes it is written."""
    text = written(tmp_path).read_text(encoding="utf-8")
    assert SECRET not in text
    assert "Bearer" not in text


def test_masking_leaves_the_rest_alone() -> None:
    """Only credentials are replaced."""
    row = mask(EXCHANGE.to_json())
    assert row["request"]["headers"] == {"authorization": "***"}
    assert row["request"]["path"] == "/v1/platform/node/query"


def test_a_file_without_footer_is_never_green(tmp_path: Path) -> None:
    """A run that was interrupted is void."""
    run = read_events(written(tmp_path, footer=False))
    assert "truncated" in run.problem
    assert run.outcome("shall") is Outcome.VOID


def test_a_half_written_line_is_never_green(tmp_path: Path) -> None:
    """A file that ends in the middle of a line is void."""
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    assert read_events(path).outcome("shall") is Outcome.VOID


@given(st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Changing any byte before the footer makes the run void."""
    path = written(tmp_path_factory.mktemp("run"))
    content = bytearray(path.read_bytes())
    end = content.rindex(b'{"type":"footer"') - 1
    place = data.draw(st.integers(0, end - 1))
    old = content[place]
    content[place] = data.draw(st.integers(32, 126).filter(lambda byte: byte not in (old, ord("\n"))))
    path.write_bytes(content)
    try:
        run = read_events(path)
    except UsageError:
        return
    assert run.outcome("shall") is Outcome.VOID


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A file that is no event file is wrong usage, with a hint."""
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_events(path)
    assert caught.value.hint
