"""Reading a table of a job file key by key: each refusal says where, what was meant, and what is valid."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from reference_node.operator.client import OperatorError

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_REQUIRED: Final = object()


class JobFileError(OperatorError):
    """A job file is wrong; the message names the place."""


class Keys:
    """One table, all of whose keys are among the valid ones.

    >>> Keys({"adress": ""}, "nodes.grid", ("address",))
    Traceback (most recent call last):
    reference_node.operator.keys.JobFileError: nodes.grid: there is no key adress
    """

    def __init__(self, given: Any, where: str, valid: Sequence[str], name: str = "") -> None:
        self.where, self.name = where, name
        self._given = self.object(given, where)
        for key in self._given:
            if key not in valid:
                raise JobFileError(f"{where or 'the job file'}: there is no key {key}", hint=meant(key, valid))

    @staticmethod
    def object(value: Any, where: str) -> Mapping[str, Any]:
        """Return a table; raise JobFileError for anything else."""
        if not isinstance(value, Mapping):
            raise JobFileError(f"{where or 'the job file'}: {value!r} is not a table")
        return value

    @staticmethod
    def among(value: Any, valid: Sequence[str], place: str, what: str) -> str:
        """Return a value that is one of the valid ones."""
        if not isinstance(value, str) or value not in valid:
            raise JobFileError(f"{place}: there is no {what} {value!r}", hint=meant(str(value), valid))
        return value

    def items(self) -> Iterator[tuple[str, Any]]:
        """Return keys and values as they stand."""
        return iter(self._given.items())

    def given(self, key: str) -> bool:
        """Tell whether a key is there."""
        return key in self._given

    def place(self, key: str) -> str:
        """Return how a place is called in messages."""
        return f"{self.where}.{key}" if self.where else key

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """Return a text."""
        value = self._given.get(key, default)
        if value is _REQUIRED:
            raise JobFileError(f"{self.place(key)} is missing")
        if not isinstance(value, str) or (key in self._given and not value.strip()):
            raise JobFileError(f"{self.place(key)} = {value!r} is not a text")
        return value

    def identifier(self, key: str, default: str | None) -> str | None:
        """Return an identifier as nodes take them."""
        value = self._given.get(key, default)
        if value is None:
            return None
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise JobFileError(f"{self.place(key)} = {value!r} is not an identifier of letters, digits and . _ : -")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._given.get(key, default)
        if not isinstance(value, bool):
            raise JobFileError(f"{self.place(key)} = {value!r} is neither true nor false")
        return value

    def number(self, key: str, least: int, most: int, default: int) -> int:
        """Return a whole number within bounds."""
        value = self._given.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise JobFileError(f"{self.place(key)} = {value!r} is not a whole number from {least} to {most}")
        return value

    def one_of(self, key: str, valid: Sequence[str], default: str | None) -> str | None:
        """Return one of some words, or the default."""
        if key not in self._given:
            return default
        value = self._given[key]
        if value not in valid:
            raise JobFileError(f"{self.place(key)} = {value!r} is not one of the valid words", hint=meant(value, valid))
        return str(value)

    def url(self, key: str, schemes: Sequence[str]) -> str:
        """Return an address."""
        value = self.text(key)
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise JobFileError(f"{self.place(key)} = {value!r} is not an address like {schemes[0]}://127.0.0.1:8801")
        return value.rstrip("/")

    def table(self, key: str) -> Mapping[str, Any]:
        """Return a table as it stands, empty where there is none."""
        return self.object(self._given.get(key, {}), self.place(key))

    def tables(self, key: str, valid: Sequence[str], *, needed: bool = True, short: str = "") -> Iterator[Keys]:
        """Yield the named tables under a key; a bare text stands for a table of the key `short` alone."""
        found = self.table(key)
        if needed and not found:
            raise JobFileError(f"{self.place(key)} is missing", hint=f"Write tables like [{key}.a] and [{key}.b].")
        for name, value in found.items():
            if not _ID.fullmatch(name):
                raise JobFileError(f"{self.place(key)}.{name!r} is not an identifier of letters, digits and . _ : -")
            body = {short: value} if short and isinstance(value, str) else value
            yield Keys(body, f"{self.place(key)}.{name}", valid, name)

    def rows(self, key: str, valid: Sequence[str]) -> Iterator[Keys]:
        """Yield the tables of a list."""
        found = self._given.get(key)
        if not isinstance(found, list) or not found:
            raise JobFileError(f"{self.place(key)} is missing", hint=f"Write one [[{key}]] for each.")
        for index, value in enumerate(found):
            named = value.get("name", value.get("component")) if isinstance(value, Mapping) else None
            yield Keys(value, f"{self.place(key)}.{named or index}", valid)


def meant(given: Any, valid: Sequence[str]) -> str:
    """Say what was probably meant, and what is valid."""
    close = difflib.get_close_matches(str(given), valid, n=1)
    listed = ", ".join(valid) or "none"
    return f"Did you mean {close[0]}? Valid: {listed}." if close else f"Valid: {listed}."
