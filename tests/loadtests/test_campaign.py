"""Campaigns: strict to read, bounded, and cut to what a target offers."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from conformance.harness import registry
from conformance.harness.binding import load_binding
from conformance.harness.errors import UsageError
from conformance.harness.profile import parse_profile
from loadtests import measure, smoke
from loadtests.campaign import fill, load_campaign, offered, parse_campaign, reshaped

LEAST: dict[str, Any] = {
    "name": "least",
    "title": {"zh": "最小", "en": "least"},
    "prepare": [{"operation": "ownDatasetCreate", "keep": {"dataset_id": "/dataset_id"}}],
    "story": [
        {"name": "health", "step": [{"label": "health", "operation": "nodeHealth"}]},
        {"name": "dataset", "step": [{"operation": "datasetPubQuery", "send": {"dataset_id": "${dataset_id}"}}]},
    ],
    "finish": [{"operation": "ownDatasetDelete", "send": {"dataset_id": "${dataset_id}"}}],
}


def changed(place: str, value: object) -> dict[str, Any]:
    """Return the least campaign with another value at a dotted place."""
    data = copy.deepcopy(LEAST)
    *way, last = place.split(".")
    node: Any = data
    for part in way:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    node[last] = value
    return data


@pytest.mark.parametrize("path", sorted(smoke.CAMPAIGNS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_campaigns_are_sound(path: Any) -> None:
    """Each can be read, names checks that there are, and is bounded in time and number."""
    campaign = load_campaign(path)
    registry.load("conformance.checks")
    assert set(measure.checks_of(campaign, registry.CHECKS, str(path))) == {story.name for story in campaign.stories}
    assert campaign.shape.seconds <= 60
    assert smoke.campaign_file(path.stem) == path


@pytest.mark.parametrize(
    ("place", "value", "word"),
    [
        ("story.0.step.0.operation", "nodeHelth", "nodeHealth"),
        ("story.0.step.0.send", {"contract_id": "${contract}"}, "nothing has kept"),
        ("story.1.step.0.send", 3, "must be a table"),
        ("story.0.step", [], "at least one step"),
        ("story.0.weight", 0, "between 1 and 1000"),
        ("story.1.name", "health", "two stories"),
        ("story", [], "sends nothing|no \\[\\[story\\]\\]"),
        ("shape.users", 201, "between 1 and 200"),
        ("shape.seconds", 100_000, "between 1 and 900"),
        ("gates.p99_ms", 1, "p95_ms"),
    ],
)
def test_what_is_wrong_with_a_campaign_is_told(place: str, value: object, word: str) -> None:
    """The error names the place and what is valid there."""
    with pytest.raises(UsageError, match=word) as told:
        parse_campaign(changed(place, value), "c.toml")
    assert told.value.hint


def test_names_are_filled_in_wherever_they_stand() -> None:
    """Numbers stay numbers, and text around a name stays."""
    send = {"a": ["x-${id}", {"b": "${id}/${node_id}"}], "c": 3, "d": True}
    assert fill(send, {"id": "1", "node_id": "n"}) == {"a": ["x-1", {"b": "1/n"}], "c": 3, "d": True}


def test_the_command_line_is_held_to_the_same_bounds() -> None:
    """Users and seconds can be changed within the limits; all users come at once."""
    campaign = parse_campaign(LEAST, "c.toml")
    shape = reshaped(campaign, 40, 5).shape
    assert (shape.users, shape.seconds, shape.spawn_rate) == (40, 5, 40)
    assert reshaped(campaign, None, None) == campaign
    with pytest.raises(UsageError, match="between 1 and 200"):
        reshaped(campaign, 1000, None)


def test_what_the_target_does_not_offer_is_left_out_by_name() -> None:
    """A story goes with what it stands on, and so does its clearing up."""
    declared = {"target": {"url": "http://127.0.0.1:1", "node_id": "n"}, "capabilities": {"protocols": ["node"]}}
    profile = parse_profile(declared, "p.toml")
    kept, left_out = offered(parse_campaign(LEAST, "c.toml"), profile, load_binding("reference"))
    assert [story.name for story in kept.stories] == ["health"]
    assert left_out == ("dataset",)
    assert kept.prepare == kept.finish == ()


def test_a_check_that_the_suite_does_not_have_is_told() -> None:
    """The error names the story and guesses what was meant."""
    registry.load("conformance.checks")
    campaign = parse_campaign(LEAST, "c.toml")
    story = replace(campaign.stories[0], checks=("node_that_answers_is_upp",))
    with pytest.raises(UsageError, match="node_that_answers_is_up"):
        measure.checks_of(replace(campaign, stories=(story,)), registry.CHECKS, "c.toml")
    with pytest.raises(UsageError, match="no check of every operation"):
        measure.checks_of(campaign, {}, "c.toml")
