"""What makes a DAG valid, and where a defect is pointed at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.domain.dag import DagInvalid, check, uses_component


def part(name: str, feeds: list[tuple[str, str]], makes: list[tuple[str, str]]) -> dict[str, Any]:
    """A component with inputs and outputs given as (key, type)."""
    return {
        "name": name,
        "componentName": f"code-{name}",
        "version": "1.0.0",
        "provider": "hutong",
        "input": [{"key": key, "type": kind} for key, kind in feeds],
        "output": [{"key": key, "type": kind} for key, kind in makes],
    }


def dag(*parts: dict[str, Any]) -> dict[str, Any]:
    """A DAG of these components."""
    return {"version": "2.0.0", "components": list(parts)}


PSI = part("psi", [("train", "dataset")], [("data", "dataset")])
LR = part("lr", [("psi.data", "training_set")], [("model", "model"), ("metric", "metric")])


def test_a_pipeline_is_valid_in_any_order() -> None:
    """The order of the list does not matter, the order of running follows the data."""
    assert check(dag(LR, PSI)) == ("psi", "lr")


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ([PSI, PSI], "/components/1/name"),
        ([part("a", [], [("x", "dataset"), ("x", "model")])], "/components/0/output/1/key"),
        ([part("a", [], [("b.c", "dataset")]), part("a.b", [], [("c", "dataset")])], "/components/1/output/0/key"),
        ([LR], "/components/0/input/0/key"),
        ([PSI, part("b", [("psi.data", "model")], [])], "/components/1/input/0/type"),
        ([part("a", [("raw", "report")], [])], "/components/0/input/0/type"),
        ([part("a", [("a.x", "dataset")], [("x", "dataset")])], "/components/0"),
        (
            [
                PSI,
                part("a", [("b.x", "dataset")], [("x", "dataset")]),
                part("b", [("a.x", "dataset")], [("x", "dataset")]),
            ],
            "/components/1",
        ),
    ],
)
def test_defects_are_pointed_at(parts: list[dict[str, Any]], pointer: str) -> None:
    """Each kind of defect is refused with the place where it stands."""
    with pytest.raises(DagInvalid) as refused:
        check(dag(*parts))
    assert refused.value.name == "DAG_INVALID"
    assert refused.value.pointer == f"/dag{pointer}"


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
def test_run_order_follows_the_data(wiring: list[list[int]]) -> None:
    """Any graph is either ordered so that feeders run first, or refused because it has a cycle or a gap."""
    made = [("x", "dataset")]
    parts = [part(f"c{i}", [(f"c{j}.x", "dataset") for j in feeds], made) for i, feeds in enumerate(wiring)]
    try:
        order = check(dag(*parts))
    except DagInvalid:
        assert any(j >= i for i, feeds in enumerate(wiring) for j in feeds)
        return
    place = {name: index for index, name in enumerate(order)}
    assert sorted(place) == sorted(f"c{i}" for i in range(len(wiring)))
    assert all(place[f"c{j}"] < place[f"c{i}"] for i, feeds in enumerate(wiring) for j in feeds)


def test_a_used_component_is_recognised() -> None:
    """Code and version together name a component."""
    assert uses_component(dag(PSI), "code-psi", "1.0.0")
    assert not uses_component(dag(PSI), "code-psi", "1.0.1")
