"""What somebody has agreed to is held against what is asked for, place by place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.domain import RuleBroken, consent, plan

CONFIG: dict[str, Any] = {
    "version": "1.0",
    "initiator": {"role": "guest", "node_id": "a"},
    "role": {"guest": ["a"], "host": ["b"], "arbiter": ["c"]},
    "job_params": {"common": {"scheduler": "c", "timeout": 10, "open_params": {"psi_0": ["chunk"]}}, "host": {"0": {}}},
    "task_params": {
        "common": {"psi_0": {"curve": "sm2", "chunk": 7, "result_parties": ["guest.0"]}},
        "host": {"psi_0": {"id": "code"}, "0": {"psi_0": {"input": {"table": "ds-1"}}}},
    },
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values that hold no others."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in places(inner, (*path, key))]
    if isinstance(value, list):
        return [found for at, inner in enumerate(value) for found in places(inner, (*path, at))]
    return [path]


def put(config: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    target: Any = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return changed


FREE = {("job_params", "common", "timeout"), ("task_params", "common", "psi_0", "chunk")}


@pytest.mark.parametrize("path", places(CONFIG), ids=lambda path: ".".join(map(str, path)))
def test_every_value_binds_but_those_declared_free(path: tuple[Any, ...]) -> None:
    """A change of any single value shows at its place, but for operational settings and open parameters."""
    found = consent.difference(CONFIG, put(CONFIG, path, "changed"))
    assert found == (None if path in FREE else "/" + "/".join(map(str, path)))


@given(st.sampled_from(places(CONFIG)), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
def test_no_other_value_passes_for_the_agreed_one(path: tuple[Any, ...], value: object) -> None:
    """Whatever stands there instead, it is no agreement unless it is the same value of the same type."""
    before: Any = CONFIG
    for step in path:
        before = before[step]
    alike = type(before) is type(value) and before == value
    assert (consent.difference(CONFIG, put(CONFIG, path, value)) is None) == (alike or path in FREE)


def test_what_is_left_out_of_the_agreed_is_a_change_too() -> None:
    """A party, a parameter or a layer that is missing now was agreed to."""
    assert consent.difference(CONFIG, put(CONFIG, ("role", "host"), [])) == "/role/host"
    less = put(CONFIG, ("task_params", "common", "psi_0"), {"curve": "sm2"})
    assert consent.difference(CONFIG, less) == "/task_params/common/psi_0/result_parties"


def test_an_empty_role_may_be_left_out() -> None:
    """No arbiter is no arbiter, however it is written; so are layers that say nothing."""
    one = put(CONFIG, ("role", "arbiter"), [])
    other = {**one, "role": {"guest": ["a"], "host": ["b"]}}
    assert consent.difference(one, other) is None
    assert consent.difference(other, put(one, ("task_params", "arbiter"), {"0": {"psi_0": {}}})) is None


def test_an_order_may_repeat_and_may_change_what_is_open() -> None:
    """Effective values are compared: repeating is no change, an open parameter is free, any other is not."""
    host = plan.Party(plan.PartyRole.HOST, 0, "b")
    for further, found in [
        (None, None),
        ({"common": {"psi_0": {"curve": "sm2", "chunk": 9}}}, None),
        ({"host": {"psi_0": {"id": "code"}}}, None),
        ({"host": {"0": {"psi_0": {"input": {"table": "ds-2"}}}}}, "input"),
        ({"common": {"psi_0": {"result_parties": ["host.0"]}}}, "result_parties"),
        ({"guest": {"psi_0": {"id": "other"}}}, None),
        ({"common": {"psi_0": {"new": 1}}}, "new"),
    ]:
        assert consent.excess(CONFIG, host, "psi_0", further) == found


def test_inputs_are_never_open() -> None:
    """Which data are computed with cannot be left to others."""
    config = put(CONFIG, ("job_params", "common", "open_params"), {"psi_0": ["chunk", "input"]})
    with pytest.raises(RuleBroken) as broken:
        consent.open_params(config)
    assert broken.value.pointer == "/job_params/common/open_params/psi_0/1".replace("/job", "/config/job", 1)


def test_true_is_not_one() -> None:
    """JSON values of different types are different."""
    assert not consent.same({"a": True}, {"a": 1})
    assert not consent.same([1], [1.0])
    assert consent.same({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]})
