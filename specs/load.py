"""Loads the interface documents and the catalogue of errors.

The OpenAPI documents are the single source of paths, fields and enumerations: the node registers its routes from
them and the harness judges every exchange by them. A schema handed out here is self-contained: each `$ref` is
rewritten to `#/$defs/<document>.<name>` and what it names is carried along, so that any JSON Schema library can
compile it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from specs.rows import SpecsError, Text

METHODS = ("get", "post", "put", "patch", "delete")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query or header parameter of an operation."""

    name: str
    location: str
    required: bool
    schema: Mapping[str, Any]

    @property
    def default(self) -> Any:
        """The value that stands for an absent parameter, or None."""
        return self.schema.get("default")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of chapter 8, as the OpenAPI documents define it."""

    id: str
    method: str
    path: str
    summary: str
    protocol: str
    requirements: tuple[str, ...]
    auth: str
    planned: bool
    parameters: tuple[Parameter, ...]
    body_schema: Mapping[str, Any] | None
    answer_schema: Mapping[str, Any] | None
    body_example: Any = None
    answer_example: Any = None

    @property
    def own_side(self) -> bool:
        """Whether the operation is for this node's operator or auditor rather than for its partners."""
        return self.auth in ("operator", "auditor")


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One way a node refuses: `code` stands in the envelope, `name` in `data.error`."""

    name: str
    code: int
    status: int
    msg: Text
    hint: Text


def folder() -> Path:
    """Return the folder of the data files."""
    return Path(__file__).resolve().parent


def read_toml(path: Path) -> dict[str, Any]:
    """Read one TOML file; a syntax error names the file and the place."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as exc:
        raise SpecsError(f"{path.name}: {exc}") from exc


@cache
def errors() -> Mapping[str, ErrorCode]:
    """Return the catalogue of errors by name."""
    rows = read_toml(folder() / "errors.toml")
    return MappingProxyType(
        {
            name: ErrorCode(name, row["code"], row["status"], Text(**row["msg"]), Text(**row["hint"]))
            for name, row in rows.items()
        },
    )


@cache
def documents() -> Mapping[str, dict[str, Any]]:
    """Return every interface document by file name, as it is written."""
    paths = sorted((folder() / "openapi").glob("*.yaml"))
    return {path.name: yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER) for path in paths}  # noqa: S506


def _find(document: str, ref: str) -> tuple[str, dict[str, Any], str]:
    """Follow `ref` as written in `document`: (document it lives in, what it names, its own name)."""
    name, _, pointer = ref.partition("#")
    home = name or document
    try:
        node: Any = documents()[home]
        for part in pointer.strip("/").split("/"):
            node = node[part]
    except (KeyError, TypeError) as exc:
        raise SpecsError(f"{document}: nothing stands at {ref}") from exc
    return home, node, pointer.rsplit("/", 1)[-1]


def _inline(document: str, node: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Resolve a reference that stands where an object is expected (parameter, response, body)."""
    while "$ref" in node:
        document, node, _ = _find(document, node["$ref"])
    return document, node


def _rewrite(document: str, node: Any, defs: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_rewrite(document, item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str):
            home, target, name = _find(document, value)
            label = f"{home.removesuffix('.yaml')}.{name}"
            if label not in defs:
                defs[label] = {}  # holds the place, so that a cycle ends
                defs[label] = _rewrite(home, target, defs)
            out[key] = f"#/$defs/{label}"
        else:
            out[key] = _rewrite(document, value, defs)
    return out


def _bundle(document: str, node: dict[str, Any]) -> Mapping[str, Any]:
    defs: dict[str, Any] = {}
    body = _rewrite(document, node, defs)
    return {**body, "$defs": defs} if defs else body


def schema(name: str, document: str = "common.yaml") -> Mapping[str, Any]:
    """Return the self-contained JSON Schema `name` of a document."""
    return _bundle(document, {"$ref": f"#/components/schemas/{name}"})


def _content(document: str, holder: dict[str, Any] | None) -> tuple[Mapping[str, Any] | None, Any]:
    if holder is None:
        return None, None
    home, node = _inline(document, holder)
    media = node.get("content", {}).get("application/json")
    if media is None:
        return None, None
    return _bundle(home, media["schema"]), media.get("example")


def _parameters(document: str, rows: list[dict[str, Any]]) -> Iterator[Parameter]:
    for row in rows:
        home, node = _inline(document, row)
        yield Parameter(node["name"], node["in"], node.get("required", False), _bundle(home, node["schema"]))


def _operation(document: str, path: str, method: str, row: dict[str, Any]) -> Operation:
    body_schema, body_example = _content(document, row.get("requestBody"))
    answer_schema, answer_example = _content(document, row["responses"].get("200"))
    return Operation(
        id=row["operationId"],
        method=method.upper(),
        path=path,
        summary=row["summary"],
        protocol=document.removesuffix(".yaml"),
        requirements=tuple(row["x-requirements"]),
        auth=row["x-auth"],
        planned=row.get("x-status") == "planned",
        parameters=tuple(_parameters(document, row.get("parameters", []))),
        body_schema=body_schema,
        answer_schema=answer_schema,
        body_example=body_example,
        answer_example=answer_example,
    )


@cache
def operations() -> Mapping[str, Operation]:
    """Return every operation by operationId, in document order."""
    found: dict[str, Operation] = {}
    for document, content in documents().items():
        for path, item in content["paths"].items():
            for method in METHODS:
                if method in item:
                    operation = _operation(document, path, method, item[method])
                    if operation.id in found:
                        raise SpecsError(f"{document}: operationId {operation.id} stands twice")
                    found[operation.id] = operation
    return MappingProxyType(found)
