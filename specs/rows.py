"""The requirement rows: what the standard demands of a node, sentence by sentence.

Guarantees: every row of `requirements/*.toml` is complete, has words in both languages, a level, an actor and a way to
be verified, and carries the fingerprint of the sentence it answers to. A row with a typo never loads silently.

Ids are the clause ids of the standard; how a sentence without a letter gets one is told in `specs.edition`.
An item that both demands and recommends (or allows) has two rows, since a row has one level: `9.2-g`, then
`9.2-g-should` (or `-may`) with the same fingerprint.

>>> load_requirements()["8.1.2-c"].level
<Level.SHALL: 'shall'>
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar


class SpecsError(Exception):
    """The standard's data are not what they should be; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


@dataclass(frozen=True, slots=True)
class Text:
    """The same words in Chinese and in English."""

    zh: str
    en: str


class Level(StrEnum):
    """How binding a requirement is."""

    SHALL = "shall"  # 应, and the operations of chapter 8
    SHOULD = "should"  # 宜, 建议
    MAY = "may"  # 可, and all of annex A


class Verification(StrEnum):
    """How one finds out whether a requirement is met."""

    TEST = "test"  # at the node's interfaces
    INSPECTION = "inspection"  # by looking at the platform or at its papers
    DECLARATION = "declaration"  # the participant's word is taken


class Actor(StrEnum):
    """On whom a requirement lies."""

    NODE = "node"  # any node, whatever part it plays
    INITIATOR = "initiator"  # the node that starts an exchange or a task (5.2-a)
    PARTNER = "partner"  # the node that an initiator addresses
    OWNER = "owner"  # the node to which a resource belongs
    SCHEDULER = "scheduler"  # 5.2-b
    ALGORITHM_PROVIDER = "algorithm_provider"  # 5.2-c
    DATA_PROVIDER = "data_provider"  # 5.2-d
    COMPUTING_PARTY = "computing_party"  # 5.2-e
    RESULT_USER = "result_user"  # 5.2-f
    PLATFORM = "platform"  # the product behind a node, with its storage and its applications
    OPERATOR = "operator"  # the organisation that runs a platform: its networks, certificates, contracts
    PARTIES = "parties"  # all who take part, by agreement among themselves


@dataclass(frozen=True, slots=True)
class Requirement:
    """One normative sentence of the standard, in our own words."""

    id: str
    demand: Text
    level: Level
    actor: Actor
    verified_by: Verification
    operations: tuple[str, ...]
    fingerprint: str
    reason: Text | None = None

    @property
    def clause(self) -> str:
        """The number of the clause: `9.2` of `9.2-e-2`."""
        return self.id.partition("-")[0]

    @property
    def sentence(self) -> str:
        """The id of the sentence: `9.2-g` of `9.2-g-should`."""
        return re.sub(r"-(?:should|may)$", "", self.id)


# --- the rows ---------------------------------------------------------------------------------------------------------

_ID = re.compile(r"(?:[5-9](?:\.\d+)*|A(?:\.\d+)+)(?:-[a-z0-9]+)*")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_REQUIRED = ("id", "demand", "level", "actor", "verified_by", "operations", "fingerprint")


E = TypeVar("E", bound=StrEnum)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(names)


def _only(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    names = tuple(known)
    for key in table:
        if key not in names:
            raise SpecsError(f"{where}: unknown key {key!r}", _did_you_mean(key, names))


def _text(where: str, key: str, value: object) -> Text:
    if not isinstance(value, dict):
        raise SpecsError(f"{where}: {key} is not a table", f"write {key}.zh and {key}.en")
    _only(f"{where}: {key}", value, ("zh", "en"))
    for language in ("zh", "en"):
        words = value.get(language)
        if not isinstance(words, str) or not words.strip():
            raise SpecsError(f"{where}: {key}.{language} has no words")
    return Text(**value)


def _member(where: str, kind: type[E], value: object) -> E:
    try:
        return kind(str(value))
    except ValueError as exc:
        hint = _did_you_mean(str(value), [member.value for member in kind])
        raise SpecsError(f"{where}: {value!r} is no {kind.__name__.lower()}", hint) from exc


def _operations(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name.isidentifier() for name in value):
        raise SpecsError(f"{where}: operations is not a list of operationIds")
    if len(set(value)) != len(value):
        raise SpecsError(f"{where}: an operation stands twice")
    return tuple(value)


def _requirement(file: str, number: int, row: Mapping[str, Any]) -> Requirement:
    where = f"{file}: {row.get('id', f'row {number}')}"
    _only(where, row, (*_REQUIRED, "reason"))
    for key in _REQUIRED:
        if key not in row:
            raise SpecsError(f"{where}: {key} is missing")
    if not isinstance(row["id"], str) or not _ID.fullmatch(row["id"]):
        raise SpecsError(f"{where}: this is no clause id", "such as 8.1.2-c or 9.2-e-2")
    if not isinstance(row["fingerprint"], str) or not _FINGERPRINT.fullmatch(row["fingerprint"]):
        raise SpecsError(f"{where}: the fingerprint is not 64 lower-case hex digits")
    verified_by = _member(where, Verification, row["verified_by"])
    if (verified_by is Verification.TEST) == ("reason" in row):
        raise SpecsError(f"{where}: a reason belongs to the rows that are not tested, and to no other")
    return Requirement(
        id=row["id"],
        demand=_text(where, "demand", row["demand"]),
        level=_member(where, Level, row["level"]),
        actor=_member(where, Actor, row["actor"]),
        verified_by=verified_by,
        operations=_operations(where, row["operations"]),
        fingerprint=row["fingerprint"],
        reason=_text(where, "reason", row["reason"]) if "reason" in row else None,
    )


def _check_against_earlier(file: str, row: Requirement, earlier: Mapping[str, Requirement]) -> None:
    if row.id in earlier:
        raise SpecsError(f"{file}: {row.id}: this id stands twice")
    if row.sentence != row.id:
        if row.sentence not in earlier or earlier[row.sentence].fingerprint != row.fingerprint:
            raise SpecsError(f"{file}: {row.id}: it does not follow {row.sentence} with the same fingerprint")
        if not row.id.endswith(f"-{row.level}"):
            raise SpecsError(f"{file}: {row.id}: the id and the level {row.level} disagree")


def read_requirements(folder: Path) -> Mapping[str, Requirement]:
    """Read every row of a folder by id, in document order; SpecsError names file, row and key of the first defect."""
    rows: dict[str, Requirement] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as exc:
            raise SpecsError(f"{path.name}: {exc}") from exc
        _only(path.name, table, ("requirement",))
        for number, raw in enumerate(table.get("requirement", []), start=1):
            row = _requirement(path.name, number, raw)
            _check_against_earlier(path.name, row, rows)
            rows[row.id] = row
    return MappingProxyType(rows)


@cache
def load_requirements() -> Mapping[str, Requirement]:
    """Return the requirements of the standard by id, in document order."""
    return read_requirements(Path(__file__).resolve().parent / "requirements")
