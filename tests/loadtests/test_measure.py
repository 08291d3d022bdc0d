"""Figures, gates, findings of the sample, and the page that shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import registry
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.records import Answer, Direction, Exchange, Request
from loadtests import page
from loadtests.campaign import parse_campaign
from loadtests.measure import checks_of, figures, fold, percentile, timeline
from reports.load import Load

CAMPAIGN = parse_campaign(
    {
        "name": "test",
        "title": {"zh": "测试", "en": "Test"},
        "gates": {"p95_ms": 50, "error_rate": 0.25},
        "story": [
            {
                "name": "health",
                "checks": ["node_that_answers_is_up"],
                "step": [{"label": "health", "operation": "nodeHealth"}],
            }
        ],
    },
    "c.toml",
)
PROFILE = parse_profile({"target": {"name": "<b>node</b>", "url": "http://127.0.0.1:1", "node_id": "n"}}, "p.toml")


def sample(data: dict[str, Any] | None, status: int = 200) -> dict[str, Any]:
    """Return a sampled story of one health question, answered with this data or not at all."""
    body = json.dumps({"code": 0, "msg": "ok", "data": data}).encode()
    answer = None if data is None else Answer(status, {}, body)
    exchange = Exchange(
        "health/1",
        "health",
        "health",
        Direction.TO_TARGET,
        "nodeHealth",
        "p",
        Request("GET", "/v1/interconn/node/health"),
        answer,
        failure="" if answer else "no answer",
    )
    return {"story": "health", "exchanges": [exchange.to_json()], "stop": ""}


def sheet(requests: list[tuple[str, float, float, str]], samples: list[dict[str, Any]], **more: Any) -> Load:
    """Fold a campaign of two seconds."""
    registry.load("conformance.checks")
    happened = {
        "started_ms": 1_800_000_000_000,
        "seconds": 2.0,
        "users": 3,
        "requests": requests,
        "crowd": [(0.0, 3)],
        "samples": samples,
        "left_out": [],
        "left_behind": [],
        "stop": "",
        **more,
    }
    checks = checks_of(CAMPAIGN, registry.CHECKS, "c.toml")
    return fold(happened, CAMPAIGN, PROFILE, load_binding("reference"), checks)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values: list[float], percent: float) -> None:
    """Nearest rank: a measured value, with at least that share of the values at or below it."""
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-6


def test_figures_are_those_of_all_requests() -> None:
    """Rates come from the whole time; without requests everything is nought."""
    rows = [("nodeHealth", 0.0, float(number), "" if number > 1 else "HTTP 500") for number in range(1, 101)]
    one = figures("nodeHealth", rows, 4.0)
    assert (one.requests, one.errors, one.per_second, one.p50, one.p95, one.p99, one.slowest) == (
        100, 1, 25.0, 50.0, 95.0, 99.0, 100.0,
    )  # fmt: skip
    assert figures("", [], 0.0).p95 == 0.0


def test_a_second_in_which_nothing_happened_is_there() -> None:
    """The time line has no holes and ends with the campaign."""
    crowd = [(0.0, 1), (900.0, 3), (2500.0, 2)]
    rows = timeline([("a", 100.0, 5.0, ""), ("a", 2100.0, 7.0, "HTTP 500")], 3.5, crowd)
    assert [(row.second, row.users, row.requests, row.errors, row.p50, row.p99) for row in rows] == [
        (0, 3, 1, 0, 5.0, 5.0), (1, 3, 0, 0, 0.0, 0.0), (2, 2, 1, 1, 7.0, 7.0), (3, 2, 0, 0, 0.0, 0.0),
    ]  # fmt: skip


def test_a_campaign_within_its_limits_meets_its_gates() -> None:
    """Each gate says what was measured."""
    found = sheet(
        [("nodeHealth", 0.0, 5.0, "")] * 3 + [("nodeHealth", 0.0, 6.0, "HTTP 429")], [sample({"status": "UP"})]
    )
    assert found.met
    assert [(gate.name, gate.actual) for gate in found.gates] == [
        ("p95_ms", 6.0),
        ("error_rate", 0.25),
        ("findings", 0),
    ]
    assert found.errors == (("nodeHealth", "HTTP 429", 1),)


@pytest.mark.parametrize(
    ("requests", "samples", "gate"),
    [
        ([("nodeHealth", 0.0, 51.0, "")], [sample({"status": "UP"})], "p95_ms"),
        ([("nodeHealth", 0.0, 5.0, "HTTP 500")], [sample({"status": "UP"})], "error_rate"),
        ([("nodeHealth", 0.0, 5.0, "")], [sample({"status": "DOWN"})], "findings"),
        ([("nodeHealth", 0.0, 5.0, "")], [], "findings"),
    ],
)
def test_each_gate_can_fail_alone(
    requests: list[tuple[str, float, float, str]], samples: list[dict[str, Any]], gate: str
) -> None:
    """A limit that is exceeded, or that nothing was measured for, is told by its name."""
    found = sheet(requests, samples)
    assert not found.met
    assert [row.name for row in found.gates if not row.met] == [gate]


def test_a_campaign_that_sent_nothing_meets_no_gate_and_has_a_page() -> None:
    """Nothing measured is nothing shown to hold; why it ended is on the page."""
    found = sheet([], [], stop="the contract of load was not approved", seconds=0.0)
    assert not any(gate.met for gate in found.gates)
    assert "the contract of load was not approved" in page.render(found)


def test_findings_of_one_kind_are_counted_together_with_clause_and_operation() -> None:
    """The suite's check finds the value, the checks of every operation the shape and the silence."""
    samples = [sample({"status": "DOWN"}), sample({"status": "DOWN"}), sample({"status": 3}), sample(None)]
    found = sheet([("nodeHealth", 0.0, 5.0, "")], samples)
    assert {(row.finding.requirement, row.finding.code, row.operation, row.times) for row in found.seen} == {
        ("8.1.2-d", "HEALTH_NOT_UP", "nodeHealth", 3),
        ("8.1.2-d", "ANSWER_OFF_INTERFACE", "nodeHealth", 1),
        ("8.1.2-d", "TARGET_DID_NOT_ANSWER", "nodeHealth", 1),
    }
    assert not found.met


def test_the_json_form_says_all_of_it() -> None:
    """It can be written as JSON and carries figures, gates and findings."""
    data = json.loads(json.dumps(sheet([("nodeHealth", 0.0, 5.0, "")], [sample({"status": "DOWN"})]).to_json()))
    assert data["sampled"]["findings"][0]["code"] == "HEALTH_NOT_UP"
    assert data["total"]["requests"] == 1
    assert data["gates"][2] == {"name": "findings", "limit": 0, "actual": 1, "met": False}


def test_the_page_shows_both_languages_and_no_markup_of_the_target() -> None:
    """It loads nothing from anywhere; what the target is called stays text."""
    found = sheet([("nodeHealth", 0.0, 5.0, "")], [sample({"status": "DOWN"})])
    text = page.render(replace(found, left_out=("audit",), left_behind=("ownDatasetDelete x",)))
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    Reader().feed(text)
    assert "<b>node</b>" not in text
    assert "&lt;b&gt;node" in text
    assert {"svg", "polyline", "rect"} <= {tag for tag, _ in seen}
    assert not any(key in ("src", "href") for _, attributes in seen for key in attributes)
    assert {attributes["lang"] for tag, attributes in seen if tag == "span" and "lang" in attributes} == {"zh", "en"}
    assert "正常服务的节点没有报告 UP" in text
