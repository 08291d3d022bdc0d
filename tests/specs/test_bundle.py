"""The interface documents as one document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import specs
from specs.bundle import _reference


def references(node: Any) -> Iterator[str]:
    """Yield every `$ref` below a node."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def served(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return method and path of every operation of a document."""
    return {
        row["operationId"]: (method.upper(), path)
        for path, item in document["paths"].items()
        for method, row in item.items()
    }


def test_the_bundle_is_one_valid_document() -> None:
    """It is sound OpenAPI by itself, and every reference leads to a component of its own."""
    document = specs.bundle(planned=True)
    OpenAPIV31SpecValidator(document).validate()
    for ref in references(document):
        _, _, kind, name = ref.split("/")
        assert name in document["components"][kind], ref


def test_the_bundle_has_every_operation_where_the_node_serves_it() -> None:
    """Nothing is lost or moved; what is planned comes only when it is asked for."""
    known = {name: (row.method, row.path) for name, row in specs.operations().items()}
    assert served(specs.bundle(planned=True)) == known
    assert served(specs.bundle()) == {
        name: place for name, place in known.items() if not specs.operations()[name].planned
    }


def test_a_protocol_can_be_asked_for_alone() -> None:
    """Only its operations are there; what they refer to is there too."""
    document = specs.bundle(protocols=["node"])
    assert {specs.operations()[name].protocol for name in served(document)} == {"node"}
    assert "common.Id" in document["components"]["schemas"]


def test_bundling_leaves_the_documents_as_they_are() -> None:
    """Two bundles are equal and share nothing that could be changed."""
    first = specs.bundle()
    first["components"]["schemas"]["common.Id"]["type"] = "integer"
    assert specs.bundle()["components"]["schemas"]["common.Id"]["type"] == "string"


def test_a_reference_to_something_else_than_a_component_is_told() -> None:
    """The message names the document and the reference."""
    with pytest.raises(specs.SpecsError, match=r"node\.yaml: .*paths"):
        _reference("node.yaml", "common.yaml#/paths/x")
