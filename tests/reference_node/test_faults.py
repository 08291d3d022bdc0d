"""The switchboard and its lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import reference_node
import specs
from reference_node.config import AUTH_TYPES
from reference_node.domain.approval import Kind
from reference_node.errors import ConfigError
from reference_node.faults import Faults, declared
from tests.reference_node.pair import nodes, sign_contract

ROOM = Path(reference_node.__file__).parent
_LISTED = re.compile(r'Listed\("([a-z-]+)"\)')
_PLACE = re.compile(r'(?:faults\.on\(|\bdefect\(node,)\s*"([a-z0-9-]+)"')


def test_every_fault_has_a_place_in_the_code() -> None:
    """A row without a place would be a fault that proves nothing."""
    code = "".join(path.read_text("utf-8") for path in ROOM.rglob("*.py"))
    assert [name for name in declared() if f'"{name}"' not in code and not _is_composed(name, code)] == []


def _is_composed(name: str, code: str) -> bool:
    """Whether a name is put together where it is asked for: of a kind of approval or list, or a suite, and a defect."""
    head = name.rpartition("-")[0]
    if name.removeprefix(f"{head}-") in AUTH_TYPES and f'f"{head}-{{' in code:
        return True
    first_parts = {*_LISTED.findall(code), *(kind.lower() for kind in Kind)}
    rests = [name.removeprefix(f"{part}-") for part in first_parts if name.startswith(f"{part}-")]
    return any(f'"{rest}"' in code or f'}}-{rest}"' in code for rest in rests)


def test_every_place_in_the_code_is_declared() -> None:
    """A name without a row could never be switched on."""
    asked = {name for path in ROOM.rglob("*.py") for name in _PLACE.findall(path.read_text("utf-8"))}
    assert asked - set(declared()) == set()


def test_rows_name_requirements_of_the_standard_and_findings() -> None:
    """A fault refutes a requirement that exists, and says which finding has to show it."""
    rows = declared().values()
    assert {fault.requirement for fault in rows} <= set(specs.load_requirements())
    assert [fault.name for fault in rows if not re.fullmatch("[A-Z][A-Z0-9_]+", fault.finding)] == []
    assert [fault.name for fault in rows if not (fault.breaks_zh.endswith("。") and fault.breaks_en[-1] == ".")] == []


def test_an_unknown_fault_is_refused_with_the_one_that_was_meant() -> None:
    """A typing error does not start a node without the defect."""
    with pytest.raises(ConfigError, match="cancel-after-confrim") as caught:
        Faults(["cancel-after-confrim"])
    assert "cancel-after-confirm" in caught.value.hint


def test_a_fault_counts_its_hits_and_tells_of_them() -> None:
    """Whether a defect was reached can be read from outside, whether it is on or not."""
    told: list[int] = []
    board = Faults(["cancel-after-confirm"], lambda hits: told.append(hits["cancel-after-confirm"]))
    seen: list[str] = []
    board.observe(seen.append)
    assert [board.on("cancel-after-confirm"), board.on("cancel-ignored"), board.on("cancel-after-confirm")] == [
        True,
        False,
        True,
    ]
    assert (board.hits, told, len(seen)) == ({"cancel-after-confirm": 2}, [1, 2], 3)
    assert not Faults()


def test_a_fault_is_of_one_node_and_does_what_it_says() -> None:
    """Two nodes of one process do not share defects."""
    with nodes("node-a", "node-b", faults={"node-b": ["cancel-after-confirm"]}) as (a, b):
        contract_id = sign_contract(a, b)
        assert b.signed("contractCancel", a.as_stranger(), contract_id=contract_id).code == 0
        assert a.signed("contractCancel", b.as_stranger(), contract_id=contract_id).error == "NOT_YOURS"
        assert b.contract(contract_id)["status"] == "TERMINATED"
        assert (b.node.faults.hits["cancel-after-confirm"], dict(a.node.faults.hits)) == (1, {})
        assert a.contract(contract_id)["status"] == "APPROVED"
