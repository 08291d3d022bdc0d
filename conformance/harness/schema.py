"""Holds every exchange against the interface documents, in both directions, with validators compiled once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from conformance.harness import channel, readings
from conformance.harness.binding import Binding
from conformance.harness.records import Exchange, Request
from conformance.harness.story import MISSING, parse
from specs import Operation, operations, schema


def _compile(document: Mapping[str, Any] | None) -> jsonschema_rs.Draft202012Validator | None:
    if document is None:
        return None
    return jsonschema_rs.Draft202012Validator(dict(document), validate_formats=True)


def _first(
    validator: jsonschema_rs.Draft202012Validator | None,
    value: Any,
    lacks: frozenset[str] = frozenset(),
    under: str = "",
) -> str:
    """Return the first violation as `pointer: message`, or "".

    A required field that the target's family does not have (`lacks`, dotted paths below `under`) is none.
    """
    if validator is None:
        return ""
    for error in validator.iter_errors(value):
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            names = [str(part) for part in error.instance_path if isinstance(part, str)]
            if ".".join([*names, error.kind.property]).removeprefix(under) in lacks:
                continue
        pointer = "".join(f"/{part}" for part in error.instance_path)
        return f"{pointer or '/'}: {error.message}"
    return ""


class Contract:
    """The interface documents, ready to judge with."""

    def __init__(self) -> None:
        self.operations: Mapping[str, Operation] = operations()
        self._bodies = {name: _compile(row.body_schema) for name, row in self.operations.items()}
        self._answers = {name: _compile(row.answer_schema) for name, row in self.operations.items()}
        self._queries = {name: _compile(_query_schema(row)) for name, row in self.operations.items()}
        self._refusal = _compile(schema("ErrorEnvelope"))

    def request_problem(self, operation: str, request: Request, binding: Binding) -> str:
        """Return how a request breaks the interface ("" when it does not)."""
        row = self.operations.get(operation)
        if row is None:
            return f"{request.method} {request.path} is no operation of the interface"
        if operation in channel.OPERATIONS:
            return channel.request_problem(operation, request)
        body = parse(request.body) if request.body else {}
        if body is MISSING:
            return "/: the body is not JSON"
        if not isinstance(body, dict):
            return "/: the body is not an object"
        query, spelled = binding.read_request(operation, dict(request.query), body)
        problem = _first(self._queries[operation], _typed(row, query), binding.lacks(operation, "query"))
        if problem or row.method == "GET":
            return problem
        return _first(self._bodies[operation], spelled, binding.lacks(operation, "request"))

    def answer_problem(self, exchange: Exchange, binding: Binding) -> str:
        """Return how an answer breaks the interface ("" when it does not)."""
        if exchange.answer is None:
            return ""
        answer = exchange.answer
        if exchange.operation in channel.OPERATIONS:
            return channel.reading(binding, exchange.operation, answer).problem or ""
        reading = readings.read(binding, exchange.operation, answer)
        if reading.problem:
            return reading.problem
        if reading.accepted:
            document = {"code": 0, "msg": reading.msg, "data": dict(reading.data)}
            lacks = binding.lacks(exchange.operation, "answer")
            return _first(self._answers.get(exchange.operation), document, lacks, "data.")
        if not binding.names_refusals:
            return ""
        return _first(self._refusal, json.loads(answer.body))


def _query_schema(row: Operation) -> dict[str, Any]:
    """Fold the query parameters of an operation into one object schema."""
    asked = [parameter for parameter in row.parameters if parameter.location == "query"]
    defs: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for parameter in asked:
        document = dict(parameter.schema)
        defs |= document.pop("$defs", {})
        properties[parameter.name] = document
    required = [parameter.name for parameter in asked if parameter.required]
    return {"type": "object", "properties": properties, "required": required, "$defs": defs}


def _typed(row: Operation, query: Mapping[str, Any]) -> dict[str, Any]:
    """Read numbers out of a query, where the interface says that a parameter is a number."""
    kinds = {parameter.name: parameter.schema.get("type") for parameter in row.parameters}
    typed: dict[str, Any] = dict(query)
    for name, value in query.items():
        if kinds.get(name) == "integer" and isinstance(value, str) and value.lstrip("-").isdigit():
            typed[name] = int(value)
    return typed
