"""Permits: grants within what was asked, tokens read strictly, uses judged by period, number, scope and state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.domain import RuleBroken
from reference_node.domain.permit import (
    LEVELS,
    Denial,
    Limits,
    Permit,
    ScopeType,
    ShownToken,
    Use,
    grant,
    judge,
    matches,
    shown_tokens,
)

TOKEN = "tkn_abcdefghijklmnop"
USE = Use("node-b", "DATASET", "ds-1", now_ms=1000)
limits = st.builds(Limits, st.none() | st.integers(0, 10), st.none() | st.integers(1, 10))


def permit(**changes: object) -> Permit:
    """A permit for ds-1, issued to node-b."""
    fields = {
        "token": TOKEN,
        "resource_type": "DATASET",
        "resource_level": 3,
        "resource_id": "ds-1",
        "request_node_id": "node-b",
    }
    return Permit(**{**fields, **changes})  # type: ignore[arg-type]


@given(limits, limits, st.integers(0, 10))
def test_a_grant_never_exceeds_the_request_or_the_contract(asked: Limits, given_: Limits, contract_end: int) -> None:
    """Whatever the approver types, period and number stay within what was asked, and the period within the contract."""
    more = {
        f"/{name}"
        for name in ("time_limit", "times_limit")
        if None not in (getattr(asked, name), getattr(given_, name)) and getattr(given_, name) > getattr(asked, name)
    }
    if more:
        with pytest.raises(RuleBroken) as refused:
            grant(asked, given_, contract_end)
        assert refused.value.pointer in more
        return
    result = grant(asked, given_, contract_end)
    assert result.time_limit is not None
    assert result.time_limit <= min(t for t in (asked.time_limit, given_.time_limit, contract_end) if t is not None)
    if asked.times_limit is not None:
        assert result.times_limit is not None
        assert result.times_limit <= asked.times_limit


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("", ()),
        ("ds-1/3/secret", (ShownToken("ds-1", 3, "secret"),)),
        (" a/1/x , b/2/y/z ", (ShownToken("a", 1, "x"), ShownToken("b", 2, "y/z"))),
        ("ds-1/4/secret,ds-1//secret,ds-1/3/,/3/secret,ds-1/33/secret,ds-1", ()),
    ],
)
def test_token_set_is_read_strictly(header: str, read: tuple[ShownToken, ...]) -> None:
    """Well-formed entries are read, malformed ones show nothing."""
    assert shown_tokens(header) == read


@given(st.text())
def test_token_set_never_breaks(header: str) -> None:
    """Any header text is read without failing, and never as more entries than it has."""
    assert len(shown_tokens(header)) <= header.count(",") + 1


@pytest.mark.parametrize(
    ("shown", "use"),
    [
        (ShownToken("ds-1", 3, TOKEN[:-1]), USE),
        (ShownToken("ds-1", 2, TOKEN), USE),
        (ShownToken("ds-2", 3, TOKEN), USE),
        (ShownToken("ds-1", 3, TOKEN), Use("node-c", "DATASET", "ds-1", 1000)),
        (ShownToken("ds-2", 3, TOKEN), Use("node-b", "DATASET", "ds-2", 1000)),
        (ShownToken("ds-1", 3, TOKEN), Use("node-b", "MODEL", "ds-1", 1000)),
    ],
)
def test_token_opens_only_what_it_was_issued_for(shown: ShownToken, use: Use) -> None:
    """Another token, layer, resource, type or node does not match."""
    assert not matches(permit(), [shown], use)


def test_token_matches_among_others() -> None:
    """The right token is found in a set of several."""
    assert matches(permit(), shown_tokens(f"ds-9/3/other,ds-1/3/{TOKEN}"), USE)


@pytest.mark.parametrize(
    ("changes", "denial"),
    [
        ({}, None),
        ({"limits": Limits(1000, 3), "uses": 2}, None),
        ({"revoked": True, "limits": Limits(0, 1), "uses": 5}, Denial.REVOKED),
        ({"limits": Limits(time_limit=999)}, Denial.EXPIRED),
        ({"limits": Limits(times_limit=3), "uses": 3}, Denial.EXHAUSTED),
        ({"scope": ScopeType.PROJECT, "project_id": "p-1"}, Denial.OUT_OF_SCOPE),
    ],
)
def test_uses_are_judged(changes: dict[str, object], denial: Denial | None) -> None:
    """Each limit refuses with its own name; within all of them the use is admitted."""
    assert judge(permit(**changes), USE) is denial


@pytest.mark.parametrize(
    ("asked", "in_force", "denial"),
    [("p-1", {"p-1"}, None), ("p-1", set(), Denial.OUT_OF_SCOPE), ("p-2", {"p-1", "p-2"}, Denial.OUT_OF_SCOPE)],
)
def test_project_scope(asked: str, in_force: set[str], denial: Denial | None) -> None:
    """A grant for a project opens in that project only, and only while the project is in force."""
    use = Use("node-b", "DATASET", "ds-1", 1000, project_id=asked)
    assert judge(permit(scope=ScopeType.PROJECT, project_id="p-1"), use, projects=in_force) is denial


def test_tokens_do_not_show() -> None:
    """A permit and a shown token can be logged without giving the token away."""
    assert TOKEN not in repr(permit())
    assert TOKEN not in repr(shown_tokens(f"ds-1/3/{TOKEN}"))


def test_every_resource_type_has_a_level() -> None:
    """The layers are node, project and everything below."""
    assert set(LEVELS.values()) == {1, 2, 3}
    assert LEVELS["DATASET"] == 3
