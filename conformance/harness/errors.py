"""What can go wrong in the harness itself.

HarnessError
├── UsageError        the command line, a profile, a binding or a waiver file is wrong          (exit 4)
├── ScenarioStop      a scenario cannot go on; the kind decides the verdict of its checks
│   ├── Prerequisite  an earlier step was not answered as it must be              -> not_testable
│   ├── Undrivable    the target gives no way to drive this                       -> not_testable
│   └── NotOffered    the profile or binding does not declare this                -> not_applicable
└── Blame             the harness itself broke the interface                      -> error, the run is void

None of these types is used for a failure of the target: that is a Finding.
"""

from __future__ import annotations


class HarnessError(Exception):
    """Base of the harness's own errors; `hint` says what to do about it."""

    hint: str

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HarnessError):
    """The user's input is wrong; nothing was sent."""


class ScenarioStop(HarnessError):
    """A scenario cannot go on."""


class Prerequisite(ScenarioStop):
    """A step that the rest of the scenario stands on was not answered as it must be."""


class Undrivable(ScenarioStop):
    """The target gives the harness no way to make it act."""


class NotOffered(ScenarioStop):
    """The profile or the binding does not declare what the scenario needs."""


class Blame(HarnessError):
    """The harness sent something that it did not mean to send, or failed in its own code."""
