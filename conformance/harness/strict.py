"""Reads the user's TOML files strictly: profiles, bindings, waivers, level sets.

Guarantees: a section, key or value that is not known, a value of the wrong type, and a value that is missing end in a
`UsageError` that names the file, the section, the key and what is valid, and guesses what was meant. Nothing that a
user wrote is ignored silently.

>>> table = Table("p.toml", "target", {"url": "http://a"}, ("url", "name"))
>>> table.text("url")
'http://a'
"""

from __future__ import annotations

import datetime as dt
import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from conformance.harness.errors import UsageError

T = TypeVar("T")
MANY = 40  # more valid words than a message can hold


def read_toml(path: Path) -> dict[str, Any]:
    """Read one file of the user's."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="Name a file that can be read.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: not TOML in UTF-8: {exc}", hint="Correct the file at this place.") from exc


def meant(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or ""."""
    words = list(known)
    folded = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def unknown(where: str, kind: str, word: object, known: Collection[str]) -> UsageError:
    """Build the error for a word that is none of the known ones."""
    guess = meant(str(word), known)
    asked = f'; did you mean "{guess}"?' if guess else ""
    valid = ", ".join(known) if known else "none"
    if len(known) > MANY:
        valid = f"one of {len(known)}, such as {next(iter(known))}"
    hint = f'Write "{guess}" instead of "{word}".' if guess else f"Take one of: {valid}."
    return UsageError(f'{where}: unknown {kind} "{word}"{asked} (valid: {valid})', hint=hint)


class Table:
    """One section of a file. `known` are the keys that it may have; None means that keys are the user's own words."""

    def __init__(self, source: str, section: str, data: Any, known: Collection[str] | None) -> None:
        self.source = source
        self.section = section
        self.where = f"{source}: [{section}]" if section else source
        if not isinstance(data, Mapping):
            raise UsageError(f"{self.where} must be a table, not {_kind(data)}", hint=f"Write [{section}] on a line.")
        self._data: Mapping[str, Any] = data
        if known is None:
            return
        for key in data:
            if key not in known:
                raise unknown(self.where, "key" if section else "section", key, known)

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def keys(self) -> list[str]:
        """Return the keys that were written."""
        return list(self._data)

    def fault(self, key: str, problem: str, hint: str = "") -> UsageError:
        """Build the error for the value of a key."""
        return UsageError(f"{self.where} {key}: {problem}", hint=hint or f"Correct {key} in {self.source}.")

    def _value(self, key: str, kinds: tuple[type, ...], due: str, default: T | None) -> Any:
        if key not in self._data:
            if default is None:
                raise UsageError(f"{self.where} {key} is missing", hint=f"Add {key} = <{due}>.")
            return default
        value = self._data[key]
        if type(value) not in kinds:  # exact: a bool is no number, a time is no date
            raise self.fault(key, f"must be {due}, not {_kind(value)}")
        return value

    def text(self, key: str, default: str | None = None, choices: Collection[str] | None = None) -> str:
        """Return a string; without a default it must be there and not be empty."""
        value: str = self._value(key, (str,), "a string", default)
        if choices is not None and value not in choices:
            raise unknown(f"{self.where} {key}", "value", value, choices)
        if default is None and not value.strip():
            raise self.fault(key, "must not be empty")
        return value

    def number(self, key: str, default: float, *, least: float = 0.0, most: float = float("inf")) -> float:
        """Return a number within limits."""
        value: float = self._value(key, (int, float), "a number", default)
        return float(self._within(key, value, least, most))

    def integer(self, key: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """Return an integer within limits."""
        value: int = self._value(key, (int,), "an integer", default)
        return int(self._within(key, value, least, most))

    def _within(self, key: str, value: float, least: float, most: float) -> float:
        if not least <= value <= most:  # NaN is within nothing
            limits = f"at least {least:g}" if most == float("inf") else f"between {least:g} and {most:g}"
            raise self.fault(key, f"must be {limits}, not {value}")
        return value

    def date(self, key: str) -> dt.date:
        """Return a date, written without quotes."""
        value: dt.date = self._value(key, (dt.date,), "a date such as 2030-12-31 without quotes", None)
        return value

    def texts(
        self, key: str, default: Iterable[str] | None = None, choices: Collection[str] | None = None
    ) -> tuple[str, ...]:
        """Return a list of different strings."""
        value = self._value(key, (list,), "a list of strings", None if default is None else list(default))
        for item in value:
            if not isinstance(item, str):
                raise self.fault(key, f"must be a list of strings, but holds {_kind(item)}")
            if choices is not None and item not in choices:
                raise unknown(f"{self.where} {key}", "value", item, choices)
        if len(set(value)) != len(value):
            twice = next(item for item in value if value.count(item) > 1)
            raise self.fault(key, f'"{twice}" stands twice')
        return tuple(value)

    def integers(self, key: str, default: Iterable[int]) -> tuple[int, ...]:
        """Return a list of integers, at least one."""
        value = self._value(key, (list,), "a list of integers", list(default))
        if not value or any(type(item) is not int for item in value):
            raise self.fault(key, "must be a list of integers, at least one")
        return tuple(value)

    def words(self, key: str) -> dict[str, str]:
        """Return a table of strings by strings, empty where it is absent."""
        inner = self.table(key, None)
        return {name: inner.text(name) for name in inner.keys()}  # noqa: SIM118  a Table is no mapping

    def table(self, key: str, known: Collection[str] | None) -> Table:
        """Return a section inside this one, empty where it is absent."""
        name = f'"{key}"' if "." in key else key
        return Table(self.source, f"{self.section}.{name}" if self.section else name, self._data.get(key, {}), known)

    def tables(self, key: str, known: Collection[str]) -> list[Table]:
        """Return the sections of a list of tables, `[[key]]`."""
        rows = self._data.get(key, [])
        if not isinstance(rows, list):
            raise UsageError(f"{self.source}: {key} must be a list of tables", hint=f"Write [[{key}]] on a line.")
        return [Table(self.source, f"{key} {number}", row, known) for number, row in enumerate(rows, start=1)]


def _kind(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case str():
            return f'the string "{value}"'
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case Mapping():
            return "a table"
        case _:
            return type(value).__name__
