"""All interface documents as one: for tools that read a single OpenAPI document.

Paths come together; a component `Id` of common.yaml becomes `common.Id` and every reference follows it. Security
schemes keep their names, because operations name them without a reference. Guarantees: no `$ref` leaves the document;
planned operations are in it only when asked for; the documents themselves are not touched.

>>> bundle(protocols=["node"])["paths"]["/v1/interconn/node/query"]["get"]["operationId"]
'nodeQuery'
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from specs.load import METHODS, documents
from specs.rows import SpecsError

_COMMON = "common.yaml"
_BY_NAME = "securitySchemes"
_PARTS = 4  # "", components, kind, name


def bundle(*, protocols: Collection[str] | None = None, planned: bool = False) -> dict[str, Any]:
    """Return one document with the operations of these protocols (by default all)."""
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    for document, content in documents().items():
        stem = document.removesuffix(".yaml")
        for kind, named in content.get("components", {}).items():
            for name, value in named.items():
                components.setdefault(kind, {})[_name(document, kind, name)] = _pointed(document, value)
        if protocols is not None and stem not in protocols:
            continue
        for path, item in content["paths"].items():
            kept = {key: row for key, row in item.items() if planned or key not in METHODS or not _is_planned(row)}
            if any(key in METHODS for key in kept):
                paths.setdefault(path, {}).update(_pointed(document, kept))
    common = documents()[_COMMON]
    return {
        "openapi": common["openapi"],
        "info": {"title": "Hutong interconnection API", "version": common["info"]["version"]},
        "paths": paths,
        "components": components,
    }


def _is_planned(operation: dict[str, Any]) -> bool:
    return operation.get("x-status") == "planned"


def _name(document: str, kind: str, name: str) -> str:
    return name if kind == _BY_NAME else f"{document.removesuffix('.yaml')}.{name}"


def _pointed(document: str, node: Any) -> Any:
    """Return a copy of `node`, which stands in `document`, with references that hold in the bundle."""
    if isinstance(node, list):
        return [_pointed(document, item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _reference(document, value) if key == "$ref" and isinstance(value, str) else _pointed(document, value)
        for key, value in node.items()
    }


def _reference(document: str, ref: str) -> str:
    home, _, pointer = ref.partition("#")
    parts = pointer.split("/")
    if len(parts) != _PARTS or parts[1] != "components":
        raise SpecsError(f"{document}: {ref} does not name a component")
    return f"#/components/{parts[2]}/{_name(home or document, parts[2], parts[3])}"
