"""A hand in the target's storage, lent by its operator: alters what is stored of one thing, or takes it away (9.2-e-1).

`[operator_hooks] tamper` names a command; it is called as `<command> alter|mend contract|dataset|project|output <id>`
and changes, as somebody with access to the storage would, what a record says: a dataset becomes public, a contract that
has ended is in force again, a project has another name. The id of an output is that of its task: a byte of every file
that the task has put out becomes another one. To mend is to put back what was.

    <command> delete|undelete contract|dataset|project <id>

takes the record itself out of the storage, as if it had never been there, and puts it back as it was. A command that
knows only the first two words fails on these, and what they would show is not testable.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from conformance.harness.errors import Undrivable
from conformance.harness.profile_model import Hooks

SECONDS = 60


class Kind(StrEnum):
    """What can be altered."""

    CONTRACT = "contract"
    DATASET = "dataset"
    PROJECT = "project"
    OUTPUT = "output"


class Act(StrEnum):
    """What is done to it."""

    ALTER = "alter"
    MEND = "mend"
    DELETE = "delete"
    UNDELETE = "undelete"


Hand = Callable[[Act, Kind, str], None]


def of(hooks: Hooks | None) -> Hand | None:
    """Return the hand that a profile lends, None where it lends none."""
    if hooks is None or not hooks.tamper:
        return None
    command = hooks.tamper

    def reach(act: Act, kind: Kind, name: str) -> None:
        try:
            subprocess.run((*command, act, kind, name), capture_output=True, timeout=SECONDS, check=True)
        except (OSError, subprocess.SubprocessError) as failure:
            raise Undrivable(f"profile: operator_hooks.tamper failed: {type(failure).__name__}") from failure

    return reach


@contextmanager
def altered(hand: Hand, kind: Kind, name: str) -> Iterator[None]:
    """Alter a record, and mend it whatever happens."""
    hand(Act.ALTER, kind, name)
    try:
        yield
    finally:
        hand(Act.MEND, kind, name)


@contextmanager
def deleted(hand: Hand, kind: Kind, name: str) -> Iterator[None]:
    """Take a record away, and put it back whatever happens."""
    hand(Act.DELETE, kind, name)
    try:
        yield
    finally:
        hand(Act.UNDELETE, kind, name)
