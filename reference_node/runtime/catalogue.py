"""The components that come with the node, by their self-descriptions in `specs/components`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import specs

ALGORITHM = "algorithm:"


@dataclass(frozen=True, slots=True)
class Builtin:
    """A component of the node itself; `entry` is `algorithm:<code>`, or `module:function` with the same call."""

    description: Mapping[str, Any]
    entry: str

    @property
    def key(self) -> tuple[str, str]:
        """Code and version."""
        return self.description["componentName"], self.description["version"]


Catalogue = Mapping[tuple[str, str], Builtin]


@cache
def builtins() -> Catalogue:
    """Return the built-in components by code and version; reading them does not import the algorithms."""
    found = {}
    for path in sorted((specs.folder() / "components").glob("*.json")):
        described = json.loads(path.read_text(encoding="utf-8"))
        row = Builtin(described, ALGORITHM + described["componentName"])
        found[row.key] = row
    return found
