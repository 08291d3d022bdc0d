"""Parameters are held against a component's self-description."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.domain.params import ValidatorError, problems, validator


def param(name: str, kind: str = "integer", **more: Any) -> dict[str, Any]:
    """A declared parameter."""
    return {"name": name, "title": name, "type": kind, "optional": True, **more}


@pytest.mark.parametrize(
    ("declared", "given_", "pointers"),
    [
        ([param("a")], {}, []),
        ([param("a", optional=False)], {}, ["/params/a"]),
        ([param("a", optional=False, defaultValue="1")], {}, []),
        ([param("a")], {"b": 1}, ["/params/b"]),
        ([param("a")], {"a": True}, ["/params/a"]),
        ([param("a")], {"a": 1.5}, ["/params/a"]),
        ([param("a", "float")], {"a": 1}, []),
        ([param("a", "string")], {"a": 1}, ["/params/a"]),
        ([param("a", "boolean")], {"a": 0}, ["/params/a"]),
        ([param("a", "array")], {"a": {}}, ["/params/a"]),
        ([param("a", "object")], {"a": {}}, []),
        ([param("a", "matrix")], {"a": None}, []),
        ([param("a", validator="[1,10]")], {"a": 0}, ["/params/a"]),
        ([param("a", validator="[1,10]")], {"a": 10}, []),
        ([param("a", "float", validator="[,0.5]")], {"a": -99}, []),
        ([param("a", "string", validator="^x+$")], {"a": "xxy"}, ["/params/a"]),
        ([param("a", "string", validator="in:sm2|p256")], {"a": "p256"}, []),
        ([param("a", "string", validator="in:sm2|p256")], {"a": "P256"}, ["/params/a"]),
        ([param("a", "boolean", validator="in:true")], {"a": True}, []),
        ([param("a", dependsOn=["b"]), param("b")], {"a": 1}, ["/params/a"]),
        ([param("a", dependsOn=["b"]), param("b")], {"a": 1, "b": 1}, []),
        ([param("a/b~")], {"a/b~": "x"}, ["/params/a~1b~0"]),
    ],
)
def test_problems_name_the_parameter(declared: list[Any], given_: dict[str, Any], pointers: list[str]) -> None:
    """Missing, unknown, mistyped, out of range or unaccompanied parameters are named; valid ones pass."""
    assert [problem.pointer for problem in problems(declared, given_)] == pointers


@pytest.mark.parametrize("text", ["", "1..5", "[1;2]", "[a,b]", "^(", "^($", "in"])
def test_unknown_validators_are_refused(text: str) -> None:
    """A validator of none of the three forms does not pass as one."""
    with pytest.raises(ValidatorError):
        validator(text)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-60, 60))
def test_bounds_are_included(low: int, high: int, value: int) -> None:
    """Both ends of an interval belong to it."""
    assert validator(f"[{low},{high}]")(value) == (low <= value <= high)
