"""Load results: read, held against themselves, and shown beside a certification."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import specs
from conformance.cli import app
from conformance.harness.errors import UsageError
from conformance.harness.records import Finding, Verdict
from reports import charts, html, jsonreport, markdown, write_all
from reports.fold import fold
from reports.load import Figures, Gate, Load, Second, Seen, rate_held, read_load
from specs import Text
from tests.reports.builders import FOUND, TARGET, check, ids, small

FOUND_UNDER_LOAD = Seen(
    Finding("HEALTH_NOT_UP", "/data/status", "UP", "<b>DOWN</b>", (), "8.1.2-d", "c"), "nodeHealth", 2
)


def load(rate: float = 100.0, users: int = 8, *seen: Seen, **changes: Any) -> Load:
    """Return the result of a campaign of two seconds."""
    total = Figures("", 200, 0, rate, 3.0, 9.0, 12.0, 20.0)
    values: dict[str, Any] = {
        "campaign": "smoke",
        "title": Text("冒烟", "Smoke"),
        "target": {"name": "Node A", "node_id": TARGET["node_id"], "url": TARGET["url"]},
        "started_ms": 1_800_000_000_000,
        "seconds": 2.0,
        "users": users,
        "total": total,
        "operations": (replace(total, operation="nodeHealth"),),
        "timeline": (Second(0, users, 80, 0, 3.0, 9.0, 12.0), Second(1, users, 120, 0, 2.0, 8.0, 11.0)),
        "errors": (),
        "sampled": 20,
        "seen": seen,
        "gates": (Gate("p95_ms", 1000, 9.0), Gate("error_rate", 0, 0.0), Gate("findings", 0, float(len(seen)))),
        "left_out": (),
        "left_behind": (),
        "stop": "",
    }
    return Load(**{**values, **changes})


def written(folder: Path, data: Any) -> Path:
    """Write a load result as a campaign does."""
    path = folder / "load.json"
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def conformant(folder: Path, *loads: Load):
    """Return the report of a conformant run with load results."""
    return fold(small(folder, *(check(clause, Verdict.PASS) for clause in ids())), loads=loads)


class _Page(HTMLParser):
    """Collects elements and all text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def numbers(self, tag: str, *names: str) -> list[tuple[float, ...]]:
        """Return these attributes of every element of this kind."""
        return [tuple(float(attrs[name] or "") for name in names) for found, attrs in self.elements if found == tag]


@pytest.mark.parametrize("seen", [(), (FOUND_UNDER_LOAD,)])
def test_a_result_is_read_back_as_it_was_written(tmp_path: Path, seen: tuple[Seen, ...]) -> None:
    """Nothing is lost on the way, and the digest of the file is kept."""
    told = load(100.0, 8, *seen)
    found = read_load(written(tmp_path, told.to_json()))
    assert replace(found, sm3="") == told
    assert len(found.sm3) == 64


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("met", False),
        ("gates", [{"name": "p95_ms", "limit": 1, "actual": 2.0, "met": True}]),
        (
            "sampled",
            {"stories": 20, "findings": [{**FOUND_UNDER_LOAD.finding.to_json(), "operation": "o", "times": 1}]},
        ),
        ("timeline", []),
        ("operations", []),
        ("seconds", -1),
        ("seconds", float("nan")),
        ("users", "8"),
        ("surprise", 1),
    ],
)
def test_a_result_that_cannot_be_is_refused(tmp_path: Path, place: str, value: Any) -> None:
    """What contradicts its own figures or breaks the schema is wrong usage, told with the file's name."""
    with pytest.raises(UsageError, match=r"load\.json"):
        read_load(written(tmp_path, {**load().to_json(), place: value}))


@pytest.mark.parametrize("text", ["", "[]", "{", "\ufffe"])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    """Any file may be named by mistake."""
    path = tmp_path / "load.json"
    path.write_text(text, encoding="utf-16")
    with pytest.raises(UsageError):
        read_load(path)


def test_a_result_of_another_node_is_not_shown(tmp_path: Path) -> None:
    """A certificate never borrows the figures of another target."""
    other = load(target={"name": "", "node_id": "node-b", "url": TARGET["url"]})
    with pytest.raises(UsageError, match="node-b"):
        conformant(tmp_path, other)


@pytest.mark.parametrize(
    ("loads", "rate"),
    [
        ([load(100.0)], 100.0),
        ([load(100.0), load(300.0)], 300.0),
        ([load(100.0), load(200.0, 9, FOUND_UNDER_LOAD), load(300.0)], 100.0),
        ([load(100.0, 8, FOUND_UNDER_LOAD), load(300.0)], None),
        ([load(100.0, sampled=0)], None),
        ([load(100.0, stop="broken")], None),
        ([load(100.0, gates=(Gate("p95_ms", 1, 2.0),))], None),
        ([], None),
    ],
)
def test_the_rate_is_that_up_to_which_everything_held(loads: list[Load], rate: float | None) -> None:
    """A rate above one that failed shows nothing; nor does one at which nothing was judged."""
    assert rate_held(loads) == rate


def test_a_conformant_run_says_up_to_which_rate(tmp_path: Path) -> None:
    """Every report names the rate, the page in both languages."""
    report = conformant(tmp_path, load(412.4))
    page = html.render(report)
    assert "在 412 请求/秒以内符合要求" in page
    assert "Conformant up to 412 requests/s" in page
    assert "Conformant up to 412 requests/s" in markdown.render(report, "en")
    assert "在 412 请求/秒以内符合要求" in markdown.render(report, "zh")
    assert jsonreport.to_json(report)["load"]["conformant_per_second"] == 412.4


def test_load_makes_no_failing_run_conformant(tmp_path: Path) -> None:
    """Where the run itself fails, the rate is not called conformant anywhere."""
    report = fold(small(tmp_path, check(ids()[0], Verdict.FAIL, FOUND)), loads=[load()])
    assert "Conformant up to" not in html.render(report) + markdown.render(report, "en")
    assert jsonreport.to_json(report)["load"]["conformant_per_second"] is None


def test_the_json_report_with_load_follows_its_schema(tmp_path: Path) -> None:
    """Campaigns stand in it with their figures, gates and findings."""
    schema = json.loads((specs.folder() / "schemas" / "report-1.schema.json").read_text(encoding="utf-8"))
    told = json.loads(jsonreport.render(conformant(tmp_path, load(), load(90.0, 20, FOUND_UNDER_LOAD))))
    jsonschema_rs.Draft202012Validator(schema).validate(told)
    assert [row["users"] for row in told["load"]["campaigns"]] == [8, 20]
    assert told["load"]["campaigns"][1]["findings"] == ["HEALTH_NOT_UP"]
    assert told["load"]["campaigns"][1]["gates"] == {"p95_ms": True, "error_rate": True, "findings": False}


def test_a_report_without_load_has_no_room_for_it(tmp_path: Path) -> None:
    """No empty tab and no chart."""
    page = _Page(html.render(conformant(tmp_path)))
    assert not [attrs for _, attrs in page.elements if attrs.get("id") == "load"]
    assert not [tag for tag, _ in page.elements if tag == "svg"]


def test_the_charts_show_the_figures(tmp_path: Path) -> None:
    """A column for each second as tall as its requests, three lines of percentiles, bars, and a point a campaign."""
    page = _Page(html.render(conformant(tmp_path, load(100.0, 4), load(150.0, 8), load(120.0, 16, FOUND_UNDER_LOAD))))
    tall = [height for _, height in page.numbers("rect", "x", "height")]
    assert tall[:2] == [80.0, 120.0]  # 80 and 120 requests; the busiest second reaches the ceiling
    lines = [attrs for tag, attrs in page.elements if tag == "polyline"]
    assert len(lines) == 1 + 3 * 4
    dots = [(attrs["class"], attrs["cx"]) for tag, attrs in page.elements if tag == "circle"]
    assert [kind for kind, _ in dots] == ["good", "good", "bad"]
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 1 + 3 * 3
    assert "<b>DOWN</b>" in page.text
    assert not [attrs for _, attrs in page.elements if "src" in attrs]


@given(
    st.lists(st.tuples(*[st.integers(0, 10**9)] * 3, *[st.floats(0, 1e9)] * 3), max_size=20),
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1e9)), min_size=1, max_size=5),
)
def test_nothing_falls_outside_its_frame(seconds: list[tuple[Any, ...]], campaigns: list[tuple[int, float]]) -> None:
    """Whatever was measured, every place of every chart is within the drawing."""
    timeline = tuple(Second(number, *row) for number, row in enumerate(seconds))
    operations = tuple(Figures("o", 1, 0, 1.0, *row[3:], 0.0) for row in seconds)
    told = load(timeline=timeline, operations=operations)
    for box in charts.throughput(told):
        assert 0 <= box.x <= box.x + box.width <= charts.WIDTH + 0.1
        assert box.y >= charts.CEILING - 0.1
        assert box.y + box.height <= charts.FLOOR + 0.1
    for line in (charts.crowd(told), *charts.latency(told)):
        for x, y in (place.split(",") for place in line.points.split()):
            assert 0 <= float(x) <= charts.WIDTH
            assert charts.CEILING - 0.1 <= float(y) <= charts.FLOOR
    assert all(row.reach <= charts.WIDTH for row in charts.by_operation(told))
    for point in charts.over_users([load(rate, users) for users, rate in campaigns]):
        assert 0 <= point.x <= charts.WIDTH
        assert charts.CEILING - 0.1 <= point.y <= charts.FLOOR


def test_every_report_is_written_with_load(tmp_path: Path) -> None:
    """The command that folds a recording again takes load results along."""
    run = small(tmp_path, *(check(clause, Verdict.PASS) for clause in ids()))
    names = [path.name for path in write_all(run, tmp_path / "out", loads=[load()])]
    assert names == ["index.html", "report.json", "junit.xml", "report.zh.md", "report.en.md"]
    assert "p95" in (tmp_path / "out" / "report.zh.md").read_text(encoding="utf-8")


def test_the_command_folds_load_results_into_the_report(tmp_path: Path) -> None:
    """`hutong report EVENTS --load FILE` writes the reports with it; one of another node is exit code 4."""
    small(tmp_path, *(check(clause, Verdict.PASS) for clause in ids()))
    words = ["report", str(tmp_path / "events.jsonl"), "--out", str(tmp_path / "out"), "--load"]
    done = CliRunner().invoke(app, [*words, str(written(tmp_path, load().to_json()))])
    assert done.exit_code == 0, done.output
    assert "Conformant up to 100 requests/s" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    other = load(target={"name": "", "node_id": "node-b", "url": ""})
    assert CliRunner().invoke(app, [*words, str(written(tmp_path, other.to_json()))]).exit_code == 4
