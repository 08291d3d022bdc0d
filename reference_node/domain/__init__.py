"""Pure rules of the node: state machines and decisions, the standard library only, no clock and no store.

The words that every machine shares live here: `Status`, `EndReason`, `Role`, `RuleBroken`.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a contract or an approval stands."""

    APPLIED = "APPLIED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    TERMINATED = "TERMINATED"


class EndReason(StrEnum):
    """Why something TERMINATED ended."""

    CANCELLED = "CANCELLED"
    TERMINATED = "TERMINATED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    DELETED = "DELETED"


class Role(StrEnum):
    """Which end of a contract or an approval this node is."""

    APPLICANT = "APPLICANT"
    APPROVER = "APPROVER"


class RuleBroken(Exception):
    """A rule forbids what was asked; `name` is a name of the error catalogue."""

    def __init__(self, name: str, pointer: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.pointer = pointer
