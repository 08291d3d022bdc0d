"""The switchboard of deliberate defects, by which the suite proves that its checks can fail.

A fault is a few lines at the place where the right behaviour lives: `if faults.on("cancel-after-confirm"): ...`.
`fault_list/*.toml` declares each: the requirement it refutes, the finding that must show it, what it breaks, and
which further findings may show too (`blast`). Each node has a switchboard of its own, so that two nodes in one
process do not share defects. A node without faults pays two looks: no observer, an empty set.

>>> board = Faults(["cancel-after-confirm"])
>>> board.on("cancel-after-confirm"), board.on("nonce-not-recorded"), dict(board.hits)
(True, False, {'cancel-after-confirm': 1})
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import specs
from reference_node.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fault:
    """One deliberate defect as declared; `lab` names where it is tried, "" stands for in process."""

    name: str
    requirement: str
    finding: str
    breaks_zh: str
    breaks_en: str
    blast: tuple[str, ...]
    lab: str = ""


@cache
def declared() -> Mapping[str, Fault]:
    """Return every fault by name; a name that stands twice is refused."""
    found: dict[str, Fault] = {}
    for path in sorted((Path(__file__).parent / "fault_list").glob("*.toml")):
        for row in specs.read_toml(path).get("fault", []):
            fault = Fault(
                row["name"],
                row["requirement"],
                row["finding"],
                row["breaks"]["zh"],
                row["breaks"]["en"],
                tuple(row.get("blast", ())),
                row.get("lab", ""),
            )
            if fault.name in found:
                raise ConfigError(f"{path.name}: the fault {fault.name} is declared twice")
            found[fault.name] = fault
    return MappingProxyType(found)


class Faults:
    """Which defects are on, and how often each was reached."""

    def __init__(self, active: Iterable[str] = (), on_hit: Callable[[Mapping[str, int]], None] | None = None) -> None:
        self._active = frozenset(active)
        for name in self._active - set(declared()):
            close = difflib.get_close_matches(name, declared(), n=1)
            raise ConfigError(
                f"there is no fault named {name}",
                hint=f"did you mean {close[0]}?" if close else "see `hutong selftest faults`",
            )
        self._on_hit = on_hit
        self._observer: Callable[[str], None] | None = None
        self._on_ask: Callable[[str], None] | None = None
        self.hits: dict[str, int] = dict.fromkeys(sorted(self._active), 0)

    def __bool__(self) -> bool:
        return bool(self._active)

    def observe(self, on_ask: Callable[[str], None]) -> None:
        """Tell `on_ask` of every place that is reached, also of defects that are off."""
        self._on_ask = on_ask

    def on(self, name: str) -> bool:
        """Tell whether a defect is on, and count that its place was reached."""
        if self._on_ask is not None:
            self._on_ask(name)
        if name not in self._active:
            return False
        self.hits[name] += 1
        if self._on_hit is not None:
            self._on_hit(self.hits)
        return True
