"""A binding: how a family of targets spells the operations of the interface on the wire.

A `Binding` translates both ways, so that scenarios and checks know only the spelling of `specs/openapi`: what the
harness asks (`spell_request`, `read_answer`) and what its partners are asked (`operation_of`, `read_request`,
`spell_answer`, `spell_refusal`). It also says which operations the family offers and signs, and how it refuses:
`named` refusals carry the name of the reason, `any` refusals only the fact.

Guarantees: reading what was spelled gives back what was spelled; `read_answer` never raises, whatever a target
answers; an operation that is absent is never spelled.

>>> from conformance.harness.binding import load_binding
>>> load_binding("interop-1.2").spell_request("componentList", {"contract_id": "c-1"}, {})[1:3]
('/v1/interconn/component/list', {'contract_Id': 'c-1'})
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from conformance.harness.errors import NotOffered
from conformance.harness.spelling import Names
from specs import errors

_OK = 200


class Naming(StrEnum):
    """How a refusal says its reason."""

    NAMED = "named"
    ANY = "any"


class StatusRule(StrEnum):
    """What the HTTP status has to do with the envelope's code."""

    MATCHES = "matches"  # success has 200, a refusal 4xx or 5xx
    FREE = "free"  # the code alone tells


class Part(StrEnum):
    """The parts of an operation that have names of fields in them."""

    QUERY = "query"
    REQUEST = "request"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says, in our spelling.

    `error` is the name of a refusal's reason, None where the family does not name it; `problem` says how the answer
    breaks the envelope, None where it does not.
    """

    accepted: bool
    error: str | None = None
    code: int | None = None
    msg: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The names around the data of every answer, and which codes mean success."""

    code: str = "code"
    msg: str = "msg"
    data: str = "data"
    success: tuple[int, ...] = (0,)
    status: StatusRule = StatusRule.MATCHES


@dataclass(frozen=True, slots=True)
class Refusals:
    """How refusals are named: the field `holder` of data has the word, `words` are a family's own for our names."""

    naming: Naming = Naming.NAMED
    holder: str = "error"
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def name_of(self, word: str) -> str:
        """Return our name for a word of theirs; the word itself where it is nobody's or several names' word."""
        names = [name for name, words in self.words.items() if word in words]
        return names[0] if len(names) == 1 else word

    def words_of(self, name: str) -> tuple[str, ...]:
        """Return their words for a name of ours."""
        return self.words.get(name, (name,))


@dataclass(frozen=True, slots=True)
class Spelling:
    """One operation on the wire of the family; a part without an entry in `names` is spelled as ours."""

    method: str
    path: str
    signed: bool
    names: Mapping[Part, Names] = field(default_factory=dict)
    lacks: Mapping[Part, frozenset[str]] = field(default_factory=dict)

    def spell(self, part: Part, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document in their spelling."""
        names = self.names.get(part)
        return names.spell(document) if names else dict(document)

    def read(self, part: Part, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document of theirs in our spelling."""
        names = self.names.get(part)
        return names.read(document) if names else dict(document)


_OURS = Spelling("", "", signed=True)


@dataclass(frozen=True, slots=True)
class Binding:
    """The spelling of a family of targets; built by `binding.load_binding`, `content` is what it was built from."""

    name: str
    operations: Mapping[str, Spelling]
    envelope: Envelope = Envelope()
    refusals: Refusals = Refusals()
    headers: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    signature_base: int = 2  # the newest version of the text that is signed that the family has
    content: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def names_refusals(self) -> bool:
        """Whether a refusal must say its reason by name."""
        return self.refusals.naming is Naming.NAMED

    def offers(self, operation: str) -> bool:
        """Whether the family has the operation."""
        return operation in self.operations

    def signed(self, operation: str) -> bool:
        """Whether requests of the operation carry x-auth-sign."""
        return self.operations.get(operation, _OURS).signed

    def lacks(self, operation: str, part: Part | str) -> frozenset[str]:
        """Return the fields of ours, as dotted paths without list indexes, that the family does not have."""
        return self.operations.get(operation, _OURS).lacks.get(Part(part), frozenset())

    def means(self, reading: Reading, names: Collection[str]) -> bool:
        """Say whether a refusal is for one of the named reasons, as far as this family can tell."""
        if reading.accepted:
            return False
        if not self.names_refusals:
            return True
        return any(reading.error == name or reading.error in self.refusals.words_of(name) for name in names)

    # --- what the harness asks --------------------------------------------------------------------------------------

    def spell_request(
        self, operation: str, query: Mapping[str, Any], body: Mapping[str, Any]
    ) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """Return method, path, query and body on the wire. Raises NotOffered for an absent operation."""
        spelling = self.operations.get(operation)
        if spelling is None:
            raise NotOffered(f"binding {self.name}: {operation} is absent")
        asked, sent = spelling.spell(Part.QUERY, query), spelling.spell(Part.REQUEST, body)
        return spelling.method, spelling.path, asked, sent

    def read_answer(self, operation: str, status: int, body: bytes) -> Reading:
        """Say what an answer means; whatever is wrong with its envelope stands in `problem`."""
        document = _parsed(body)
        if not isinstance(document, dict):
            return Reading(accepted=False, problem="the answer is not a JSON object")
        code, data = document.get(self.envelope.code), document.get(self.envelope.data)
        msg = document.get(self.envelope.msg)
        known = code if type(code) is int else None
        succeeded = known is not None and known in self.envelope.success
        accepted = succeeded and (status == _OK or self.envelope.status is StatusRule.FREE)
        spelling = self.operations.get(operation, _OURS)
        held = data if isinstance(data, dict) else {}
        word = held.get(self.refusals.holder)
        return Reading(
            accepted=accepted,
            error=None if accepted else self._error(known, word),
            code=known,
            msg=msg if isinstance(msg, str) else "",
            data=spelling.read(Part.ANSWER, held) if accepted else held,
            problem=self._problem(status, document, succeeded),
        )

    def _error(self, code: int | None, word: object) -> str | None:
        if not self.names_refusals:
            return None
        if isinstance(word, str):
            return self.refusals.name_of(word)
        named = self.refusals.name_of(str(code))
        return named if named != str(code) else None

    def _problem(self, status: int, document: Mapping[str, Any], succeeded: bool) -> str | None:
        names = self.envelope
        code, msg, data = document.get(names.code), document.get(names.msg), document.get(names.data)
        free = names.status is StatusRule.FREE
        if type(code) is not int:
            return f"/{names.code}: an integer is due, not {code!r:.60}"
        if not isinstance(msg, str):
            return f"/{names.msg}: a string is due, not {msg!r:.60}"
        if not isinstance(data, dict) and (succeeded or not free):
            return f"/{names.data}: an object is due, not {data!r:.60}"
        if not free and succeeded != (status == _OK):
            return f"HTTP {status} contradicts code {code}"
        if not free and not succeeded and not 400 <= status <= 599:
            return f"HTTP {status} is no refusal"
        if not succeeded and self.names_refusals and self._error(code, (data or {}).get(self.refusals.holder)) is None:
            return f"/{names.data}/{self.refusals.holder}: the refusal does not name its reason"
        return None

    # --- what partners of the harness are asked ---------------------------------------------------------------------

    def operation_of(self, method: str, path: str) -> str | None:
        """Return the operation that a request is for, None where the family has none there."""
        for operation, spelling in self.operations.items():
            if spelling.path == path and spelling.method == method.upper():
                return operation
        return None

    def read_request(
        self, operation: str, query: Mapping[str, Any], body: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return query and body of a request in our spelling; those of an unknown operation as they are."""
        spelling = self.operations.get(operation, _OURS)
        return spelling.read(Part.QUERY, query), spelling.read(Part.REQUEST, body)

    def spell_answer(self, operation: str, data: Mapping[str, Any]) -> bytes:
        """Return the body of an answer that accepts."""
        spelling = self.operations.get(operation, _OURS)
        return self._enveloped(self.envelope.success[0], "ok", spelling.spell(Part.ANSWER, data))

    def spell_refusal(self, name: str) -> tuple[int, bytes]:
        """Return status and body of an answer that refuses for a reason of specs/errors.toml."""
        row = errors()[name]
        word = self.refusals.words_of(name)[0]
        code = int(word) if word.isdecimal() else row.code
        data = {self.refusals.holder: word, "hint": row.hint.en} if self.names_refusals else {}
        return row.status, self._enveloped(code, row.msg.en, data)

    def _enveloped(self, code: int, msg: str, data: Mapping[str, Any]) -> bytes:
        names = self.envelope
        document = {names.code: code, names.msg: msg, names.data: data}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    # --- headers ----------------------------------------------------------------------------------------------------

    def spell_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return headers under the family's names; the signature covers our names all the same."""
        return {self.headers.get(name, name): value for name, value in headers.items()}

    def read_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return received headers under our names, in lower case."""
        ours = {theirs.lower(): name for name, theirs in self.headers.items()}
        return {ours.get(name.lower(), name.lower()): value for name, value in headers.items()}


def _parsed(body: bytes) -> object:
    """Read JSON; None for what is none: the harness survives depth, NaN and bytes that are no UTF-8."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(word: str) -> object:
    raise ValueError(word)
