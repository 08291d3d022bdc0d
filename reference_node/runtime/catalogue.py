"""The components that come with the node, by their self-descriptions in `specs/components`.

Those of other providers are commands that need an engine; where it is not installed the component is absent, and
`remedy` names the command that brings it. Looking for an engine does not load it.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import specs

ALGORITHM = "algorithm:"


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs components of another provider: the package that they need, the extra that brings it, the modules."""

    package: str
    extra: str
    modules: Mapping[str, str]


_ENGINES: Final = {
    "secretflow": Engine(
        "spu",
        "spu",
        {"spu-psi": "reference_node.engines.spu_psi", "spu-product": "reference_node.engines.spu_product"},
    )
}


@dataclass(frozen=True, slots=True)
class Builtin:
    """A component of the node itself; `entry` is `algorithm:<code>`, or `module:function` with the same call.

    A component of another provider has a command in its place.
    """

    description: Mapping[str, Any]
    entry: str = ""
    command: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Code and version."""
        return self.description["componentName"], self.description["version"]


Catalogue = Mapping[tuple[str, str], Builtin]


@cache
def builtins() -> Catalogue:
    """Return the built-in components by code and version; reading them does not import the algorithms."""
    found = {}
    for described in _descriptions():
        engine, code = _ENGINES.get(described["provider"]), described["componentName"]
        if engine is None:
            row = Builtin(described, ALGORITHM + code)
        elif _installed(engine):
            row = Builtin(described, command=shlex.join([sys.executable, "-m", engine.modules[code]]))
        else:
            continue
        found[row.key] = row
    return found


def shipped() -> frozenset[str]:
    """Return the codes of all components that come with the node, whether their engine is installed or not."""
    return frozenset(described["componentName"] for described in _descriptions())


def _descriptions() -> list[dict[str, Any]]:
    folder = specs.folder() / "components"
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def in_black_box(provider: str, code: str) -> bool:
    """Tell whether a component's messages go in the black box form: by topics that name no task and no kind."""
    return provider in _ENGINES and code in _ENGINES[provider].modules


def remedy(provider: str) -> str | None:
    """Return the command that brings the components of a provider, where this node could have them and has not."""
    engine = _ENGINES.get(provider)
    return None if engine is None or _installed(engine) else f"pip install 'hutong[{engine.extra}]'"


def _installed(engine: Engine) -> bool:
    return importlib.util.find_spec(engine.package) is not None
