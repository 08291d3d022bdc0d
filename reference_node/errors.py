"""What the node raises.

    NodeError                 carries a hint
    ├── ConfigError           the configuration or the data folder cannot be taken
    └── Refusal               a request is refused with a name of specs/errors.toml

`domain.RuleBroken` and `security.errors.SecurityFailure` carry names of the same catalogue; the router turns all three
into the error envelope. Anything else that escapes a handler is answered INTERNAL, and its trace goes to the log only.
"""

from __future__ import annotations

from typing import Any

import specs


class NodeError(Exception):
    """Base of the node's own errors."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(NodeError):
    """A key, a value or a kept file that the node cannot start with."""


class Refusal(NodeError):
    """Refuses the request at hand; nothing that its handler did is kept.

    `pointer` names the place in the request, `extra` is added to `data` of the envelope.

    >>> raise Refusal("CONTRACT_NOT_FOUND", pointer="/contract_id")
    Traceback (most recent call last):
    reference_node.errors.Refusal: CONTRACT_NOT_FOUND
    """

    def __init__(self, name: str, pointer: str | None = None, **extra: Any) -> None:
        self.code = specs.errors()[name]
        super().__init__(name, hint=self.code.hint.en)
        self.name = name
        self.pointer = pointer
        self.extra = extra
