"""The interface documents are sound: valid OpenAPI, unique operations, true examples, all of chapter 8 served."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

SPECS = Path(__file__).resolve().parents[2] / "specs"
DOCUMENTS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (SPECS / "openapi").glob("*.yaml")}
PROTOCOLS = ("node", "project", "flow", "job", "task", "component", "dataset", "model", "evidence", "channel")
BASE = "https://specs.invalid/"
AUTHS = {"none", "presented", "known", "contract", "operator", "auditor", "session"}
# The public interop API asks these two by POST although they change nothing.
POSTED_READS = {"jobStatusAll", "taskPoll"}
# Words that end the path of an operation that changes nothing.
READS = {"query", "list", "health", "query_job_list", "status_all", "poll", "get_log", "get_log_line", "get_output"}


def operations() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield (document, path, method, operation) over all documents."""
    for name, document in sorted(DOCUMENTS.items()):
        for path, item in document["paths"].items():
            for method, operation in item.items():
                yield name, path, method, operation


def places(node: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (JSON pointer, object) for every object below `node`."""
    if isinstance(node, dict):
        yield pointer, node
        for key, value in node.items():
            yield from places(value, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places(value, f"{pointer}/{index}")


def validator(document: str, pointer: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator of the schema that stands at `pointer` of `document`."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"{BASE}{document}#{pointer.replace('{', '%7B').replace('}', '%7D')}"},
        retriever=lambda uri: DOCUMENTS[uri.removeprefix(BASE)],
        validate_formats=True,
    )


def target(document: str, node: dict[str, Any]) -> dict[str, Any]:
    """Follow references until something else than a reference stands there."""
    while "$ref" in node:
        name, _, pointer = node["$ref"].partition("#")
        document = name or document
        node = DOCUMENTS[document]
        for part in pointer.strip("/").split("/"):
            node = node[part]
    return node


def chapter_8() -> set[str]:
    """Return the ids of the demands of chapter 8."""
    files = sorted((SPECS / "requirements").glob("8-*.toml"))
    return {row["id"] for path in files for row in tomllib.loads(path.read_text(encoding="utf-8"))["requirement"]}


def test_every_protocol_has_a_document() -> None:
    """The folder holds the common parts and one document for each protocol."""
    assert set(DOCUMENTS) == {f"{name}.yaml" for name in (*PROTOCOLS, "common")}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_document_is_valid_openapi(name: str) -> None:
    """A document follows OpenAPI 3.1 and all its references lead somewhere."""
    document = DOCUMENTS[name]
    assert document["openapi"] == "3.1.0"
    errors = list(OpenAPIV31SpecValidator(document, base_uri=(SPECS / "openapi" / name).as_uri()).iter_errors())
    assert [(list(error.absolute_path), error.message) for error in errors] == []


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_no_key_is_left_empty(name: str) -> None:
    """No value is null: in a flow mapping an unquoted comma would silently make a key of the rest of a sentence."""
    assert [f"{at}/{key}" for at, node in places(DOCUMENTS[name]) for key, value in node.items() if value is None] == []


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_reference_resolves(name: str) -> None:
    """Each reference names something that exists."""
    references = [node for _, node in places(DOCUMENTS[name]) if isinstance(node.get("$ref"), str)]
    assert all(target(name, node) for node in references)


def test_operation_ids_are_unique() -> None:
    """An operationId stands once in all documents together."""
    assert [key for key, times in Counter(row["operationId"] for *_, row in operations()).items() if times > 1] == []


def test_paths_are_unique() -> None:
    """A method and path stand once in all documents together."""
    routes = Counter((path, method) for _, path, method, _ in operations())
    assert [route for route, times in routes.items() if times > 1] == []


def test_every_operation_names_its_clauses_and_its_caller() -> None:
    """Every operation says which demands it serves, who may call it, and in both languages what it does."""
    for _, path, _, row in operations():
        where = row["operationId"]
        assert row["x-requirements"], where
        assert row["x-auth"] in AUTHS, where
        assert (row["x-auth"] in {"operator", "auditor"}) == path.startswith("/v1/platform/"), where
        assert bool(row["security"]) == (row["x-auth"] != "none"), where
        assert " · " in row["summary"], where
        assert row.get("x-status", "planned") == "planned", where


def test_reads_are_get_and_changes_are_post() -> None:
    """The last word of a path tells whether something changes, and the method follows it."""
    for _, path, method, row in operations():
        reads = path.rsplit("/", 1)[-1] in READS and row["operationId"] not in POSTED_READS
        assert method == ("get" if reads else "post"), row["operationId"]


def test_every_operation_shows_how_it_is_used() -> None:
    """A POST has a body with an example, a 200 answer has an example, and every refusal has the common form."""
    for name, _, method, row in operations():
        where = row["operationId"]
        assert ("requestBody" in row) == (method == "post"), where
        shown = [row["responses"]["200"], *([row["requestBody"]] if method == "post" else [])]
        for node in shown:
            contents = target(name, node)["content"]
            assert all("example" in media or "examples" in media for media in contents.values()), where
        assert row["responses"]["default"] == {"$ref": "common.yaml#/components/responses/Refused"}, where


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_example_follows_its_schema(name: str) -> None:
    """What a document shows as an example is valid by the schema next to it."""
    problems = []
    for pointer, media in places(DOCUMENTS[name]):
        if "schema" not in media or not ("example" in media or "examples" in media):
            continue
        shown = [media["example"]] if "example" in media else [row["value"] for row in media["examples"].values()]
        schema = validator(name, f"{pointer}/schema")
        problems += [(pointer, error.message) for value in shown for error in schema.iter_errors(value)]
    assert problems == []


def test_every_clause_of_chapter_8_is_served() -> None:
    """Each demand of chapter 8 is named by at least one operation, and no operation names a demand it lacks."""
    served = {clause for *_, row in operations() for clause in row["x-requirements"]}
    demanded = chapter_8()
    assert demanded
    assert sorted(demanded - served) == []
    assert sorted(clause for clause in served - demanded if clause.startswith("8.")) == []
