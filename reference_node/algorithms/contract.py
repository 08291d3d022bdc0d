"""What every algorithm is to the runtime: parameters that parse themselves, files in, files and a summary out.

    run(channel, params, inputs) -> outputs

Parameters come as text (environment variables) or as JSON values; both are read alike, and what is wrong is refused
with a pointer to the place. `progress` is called with a share between 0 and 1 and a word; it may raise to stop the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.errors import ParamsRefused

Progress = Callable[[float, str], None]
Defect = Callable[[str], bool]  # whether a deliberate defect is on, by its name
P_co = TypeVar("P_co", covariant=True)


def _silent(_share: float, _word: str) -> None:
    """Take no notice."""


def sound(_name: str) -> bool:
    """Have no defect."""
    return False


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a party's data lie and where its results go, by the names of the self-description's ports."""

    files: Mapping[str, Path] = field(default_factory=dict)
    targets: Mapping[str, Path] = field(default_factory=dict)
    progress: Progress = _silent
    defect: Defect = sound


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a party got: files by port (none where it is no result party) and a summary of JSON values."""

    files: Mapping[str, Path]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Algorithm(Generic[P_co]):
    """An entry of the registry: the component's code, its self-description, how to read parameters, how to run.

    `ahead` is told the input files while more can still be loaded than once the component runs.
    """

    code: str
    description: Mapping[str, Any]
    parse: Callable[[Mapping[str, Any]], P_co]
    run: Callable[[Channel, Any, Inputs], Outputs]
    ahead: Callable[[Iterable[Path]], None] = lambda _files: None

    def start(self, channel: Channel, given: Mapping[str, Any], inputs: Inputs) -> Outputs:
        """Read the parameters and run this party's side; raise AlgorithmFailure."""
        return self.run(channel, self.parse(given), inputs)


class Given:
    """Parameters as they were given, taken out one by one; `finish` refuses what nobody asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._rest = dict(given)

    def text(self, name: str, default: str | None = None) -> str:
        """Take a text that is not empty."""
        value = self._rest.pop(name, default)
        if not isinstance(value, str) or not value:
            raise _refused(name, "required, but missing" if value is None else "not a text")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """Take one of the allowed words."""
        value = self.text(name, default)
        if value not in allowed:
            raise _refused(name, f"not one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Take an integer within bounds, both included."""
        value = self._rest.pop(name, default)
        if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
            value = int(value[:40])
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refused(name, "required, but missing" if value is None else "not of type integer")
        if not low <= value <= high:
            raise _refused(name, f"not in [{low},{high}]")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Take a boolean."""
        value = self._rest.pop(name, default)
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise _refused(name, "not of type boolean")
        return value

    def names(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Take a list of different names; as text they are separated by commas."""
        value = self._rest.pop(name, default)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
        if not isinstance(value, Sequence) or not all(isinstance(part, str) and part for part in value):
            raise _refused(name, "required, but missing" if value is None else "not a list of names")
        if len(set(value)) != len(value):
            raise _refused(name, "names something twice")
        return tuple(value)

    def finish(self) -> None:
        """Refuse what is left."""
        for name in sorted(self._rest):
            raise _refused(name, "the component has no such parameter")


def _refused(name: str, reason: str) -> ParamsRefused:
    return ParamsRefused(f"/params/{name}", reason)
