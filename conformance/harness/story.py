"""A transcript as checks read it: steps by name, bodies in the standard's own spelling whatever the target's binding.

A check that asks for a step that was never taken gets `Untold`; the judge turns it into the right verdict, so no
check has to guard against a scenario that ended early.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.harness import channel, readings
from conformance.harness.binding import Binding, Reading
from conformance.harness.profile_model import Profile
from conformance.harness.records import Direction, Exchange, Transcript

LABEL = "step:"


class Untold(Exception):
    """The transcript has no such step, or (`silent`) the target left it without an answer."""

    def __init__(self, step: str, *, silent: bool = False) -> None:
        super().__init__(step)
        self.silent = silent


class NoTwin(Exception):
    """The positive twin of a negative case was not accepted, so the refusal proves nothing."""


class Missing:
    """Stands for a place that a document does not have."""

    def __repr__(self) -> str:
        return "(missing)"


MISSING = Missing()


def at(document: Any, pointer: str) -> Any:
    """Follow a JSON pointer; MISSING where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return MISSING
    return document


def parse(body: bytes) -> Any:
    """Read a JSON body; MISSING when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return MISSING


@dataclass(frozen=True, slots=True)
class Step:
    """One exchange as a check reads it. `sent` and `data` are in the standard's spelling."""

    exchange: Exchange
    sent: Mapping[str, Any]
    reading: Reading

    @property
    def data(self) -> Mapping[str, Any]:
        """What an accepted answer carries."""
        return self.reading.data

    def get(self, pointer: str) -> Any:
        """Return what the answer shows at a pointer, or MISSING."""
        return at(self.reading.data, pointer)

    def got(self, pointer: str) -> Any:
        """Return what the request carried at a pointer, or MISSING."""
        return at(self.sent, pointer)


class Story:
    """The recording of one scenario, with the profile and the binding of its target."""

    def __init__(self, transcript: Transcript, profile: Profile, binding: Binding) -> None:
        self.transcript = transcript
        self.profile = profile
        self.binding = binding
        self._by_id = {exchange.id: exchange for exchange in transcript.exchanges}
        self._by_step = {exchange.step: exchange for exchange in transcript.exchanges if exchange.step}
        for name, value in transcript.facts.items():
            if name.startswith(LABEL) and value in self._by_id:
                self._by_step[name.removeprefix(LABEL)] = self._by_id[value]

    def fact(self, name: str) -> Any:
        """Return a fact that the scenario wrote down."""
        try:
            return self.transcript.facts[name]
        except KeyError:
            raise Untold(name) from None

    def happened(self, step: str) -> bool:
        """Whether an awaited call came. Raises Untold when it was never awaited."""
        if step in self._by_step:
            return True
        return bool(self.fact(LABEL + step))

    def step(self, name: str) -> Step:
        """Return a step that was answered."""
        exchange = self._by_step.get(name)
        if exchange is None:
            raise Untold(name)
        return self._read(exchange)

    def exchange(self, name: str) -> Exchange:
        """Return a step's exchange even when it got no answer."""
        if name not in self._by_step:
            raise Untold(name)
        return self._by_step[name]

    def calls(self, direction: Direction | None = None, operation: str = "") -> Iterator[Step]:
        """Yield every answered exchange of a kind."""
        for exchange in self.transcript.exchanges:
            if exchange.answer is None or (direction is not None and exchange.direction is not direction):
                continue
            if not operation or exchange.operation == operation:
                yield self._read(exchange)

    def _read(self, exchange: Exchange) -> Step:
        if exchange.answer is None:
            raise Untold(exchange.step, silent=True)
        request = exchange.request
        reading = readings.read(self.binding, exchange.operation, exchange.answer)
        if exchange.operation in channel.OPERATIONS:
            return Step(exchange, channel.sent(exchange.operation, request), reading)
        body = parse(request.body) if request.body else {}
        query, spelled = self.binding.read_request(
            exchange.operation, dict(request.query), body if isinstance(body, dict) else {}
        )
        return Step(exchange, {**query, **spelled}, reading)
