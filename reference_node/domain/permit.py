"""Permits: what was granted, to whom, where, for how long, how often (9.2-b-1 to 9.2-b-4).

- A grant never exceeds what was asked for, nor the contract it rests on (9.2-b-1).
- A use is admitted only with the permit's token, for the permit's resource and layer, by the node it was issued to,
  inside its period, scope and number (9.2-b-2), and not after it was withdrawn (9.2-b-3).

`judge` answers why a use is refused; counting is the store's, in one atomic statement, because two uses may race for
the last one.

    >>> shown_tokens("dataset-1/3/abcdefghijklmnop")
    (ShownToken(name='dataset-1', level=3),)
"""

from __future__ import annotations

import hmac
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from reference_node.domain import RuleBroken

NODE_LEVEL, PROJECT_LEVEL, RESOURCE_LEVEL = 1, 2, 3
LEVELS = {
    "NODE": NODE_LEVEL,
    "PROJECT": PROJECT_LEVEL,
    "FLOW": RESOURCE_LEVEL,
    "DATASET": RESOURCE_LEVEL,
    "COMPONENT": RESOURCE_LEVEL,
    "MODEL": RESOURCE_LEVEL,
    "JOB": RESOURCE_LEVEL,
}
_MAX_TOKENS = 64  # one header holds a handful; a longer list is an attempt to try tokens in bulk


class Denial(StrEnum):
    """Why a use is refused; the values are names of the error catalogue."""

    MISSING = "PERMIT_MISSING"
    REVOKED = "PERMIT_REVOKED"
    EXPIRED = "PERMIT_EXPIRED"
    OUT_OF_SCOPE = "PERMIT_OUT_OF_SCOPE"
    EXHAUSTED = "PERMIT_EXHAUSTED"


class ScopeType(StrEnum):
    """How far a grant reaches."""

    NODE = "NODE"
    PROJECT = "PROJECT"


@dataclass(frozen=True, slots=True)
class Limits:
    """Period and number of a grant; None is unlimited."""

    time_limit: int | None = None
    times_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """A grant as the owner of the resource keeps it. The token never shows in `repr`."""

    token: str = field(repr=False)
    resource_type: str
    resource_level: int
    resource_id: str
    request_node_id: str
    scope: ScopeType = ScopeType.NODE
    project_id: str | None = None
    limits: Limits = Limits()
    uses: int = 0
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class ShownToken:
    """One entry of x-mprac-token-set."""

    name: str
    level: int
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Use:
    """Who wants to use what, and where."""

    node_id: str
    resource_type: str
    resource_id: str
    now_ms: int
    project_id: str | None = None


def shown_tokens(header: str) -> tuple[ShownToken, ...]:
    """Read x-mprac-token-set: comma separated `resource-name/level/token`. What is malformed shows nothing."""
    return tuple(entry for entry in map(_shown, header.split(",")[:_MAX_TOKENS]) if entry is not None)


def _shown(text: str) -> ShownToken | None:
    name, _, rest = text.strip().partition("/")
    level, _, token = rest.partition("/")
    if not (name and token and len(level) == 1 and level in "123"):
        return None
    return ShownToken(name, int(level), token)


def grant(asked: Limits, given: Limits, contract_end: int) -> Limits:
    """Limits of the permit: what is given, at most what was asked, at most as long as the contract (9.2-b-1).

    Raises RuleBroken when more would be given than asked.
    """
    if _more(given.time_limit, asked.time_limit):
        raise RuleBroken("EXPIRY_INVALID", "/time_limit")
    if _more(given.times_limit, asked.times_limit):
        raise RuleBroken("REQUEST_INVALID", "/times_limit")
    times = given.times_limit if given.times_limit is not None else asked.times_limit
    ends = [end for end in (asked.time_limit, given.time_limit, contract_end) if end is not None]
    return Limits(min(ends), times)


def _more(given: int | None, asked: int | None) -> bool:
    return given is not None and asked is not None and given > asked


def matches(permit: Permit, shown: Iterable[ShownToken], use: Use) -> bool:
    """Whether one of the shown tokens is this permit's, for this resource, layer and node; in constant time."""
    if (permit.resource_type, permit.resource_id, permit.request_node_id) != (
        use.resource_type,
        use.resource_id,
        use.node_id,
    ):
        return False
    return any(
        entry.name == permit.resource_id
        and entry.level == permit.resource_level
        and hmac.compare_digest(entry.token.encode(), permit.token.encode())
        for entry in shown
    )


def judge(permit: Permit, use: Use, *, projects: Container[object] = ()) -> Denial | None:
    """Why a matching permit does not admit the use, or None. `projects` are those in force between the two nodes."""
    if permit.revoked:
        return Denial.REVOKED
    if is_over(permit.limits, use.now_ms):
        return Denial.EXPIRED
    if permit.scope is ScopeType.PROJECT and (use.project_id != permit.project_id or use.project_id not in projects):
        return Denial.OUT_OF_SCOPE
    if permit.limits.times_limit is not None and permit.uses >= permit.limits.times_limit:
        return Denial.EXHAUSTED
    return None


def is_over(limits: Limits, now_ms: int) -> bool:
    """Whether the period has ended; its last millisecond still counts."""
    return limits.time_limit is not None and now_ms > limits.time_limit
