"""The table of authority: every field of every operation has one row, and what a row names is there."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import specs
from reference_node.security import signing
from specs import authority
from specs.authority import MISSING, Rule, load, members

TABLE = load()
OPERATIONS = list(specs.operations().values())
ROOT = Path(__file__).resolve().parents[2]
OWN = ("operator", "auditor")

# what nobody has agreed to though somebody should: one that is mended leaves this list, a new one has to be put on it
OPEN = {
    ("nodeSync", "/auth_credential"),
    ("nodeSync", "/auth_type"),
    ("nodeSync", "/inst_id"),
    ("nodeSync", "/institution"),
    ("projectUpdate", "/name"),
    ("projectUpdate", "/description"),
    ("projectUpdate", "/type"),
    ("modelAuditApply", "/job_id"),
    ("modelAuditApply", "/task_id"),
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_field_of_every_operation_has_exactly_one_row(operation: specs.Operation) -> None:
    """And whoever decides it is somebody who can call the operation: partners decide nothing on the own side."""
    for field in TABLE.fields(operation):
        rule = TABLE.rule(operation, field)
        if operation.auth in OWN:
            allowed = {operation.auth, "nobody", *(("component",) if operation.id.startswith("ownTask") else ())}
            assert field.startswith("header:") or rule.decides in allowed, (operation.id, field, rule.decides)
        else:
            assert rule.decides not in OWN, (operation.id, field, rule.decides)


def test_the_walk_sees_what_the_documents_declare() -> None:
    """Parameters, headers and members of bodies, to the innermost ones."""
    fields = {operation.id: TABLE.fields(operation) for operation in OPERATIONS}
    assert sum(map(len, fields.values())) > 1000
    assert {"/task_params/common", "/run_params/memory_mib", "header:x-nonce"} <= set(fields["taskStart"])
    assert "/dag/components/*/input/*/key" in fields["jobCreate"]
    assert "/config/job_params/common/open_params/*/*" in fields["jobCreate"]
    assert {"query:project_id", "header:x-mprac-token-set"} <= set(fields["datasetPubQuery"])
    assert fields["ownContractList"][0] == "header:authorization"
    assert not any(field.startswith("header:") for field in fields["nodeQuery"])
    for operation in OPERATIONS:
        for name in (operation.body_schema or {}).get("properties", {}):
            assert any(field.split("/")[1] == name for field in fields[operation.id] if field[0] == "/")


def test_every_rule_and_every_pattern_of_it_is_for_something() -> None:
    """No row is left over from a field that has gone."""
    used = {rule for _, _, rule in TABLE.rows()}
    assert [rule for rule in TABLE.rules if rule not in used] == []
    for rule in TABLE.rules:
        alone = [replace(rule, operations=(name,)) for name in rule.operations]
        alone += [replace(rule, fields=(name,)) for name in rule.fields]
        for narrow in alone:
            fits = (narrow.rank(operation, field) for operation in OPERATIONS for field in TABLE.fields(operation))
            assert any(rank is not None for rank in fits), narrow
    assert set(TABLE.authorities) == {rule.decides for rule in used}
    assert set(TABLE.consents) == {rule.agreed for rule in used}


@pytest.mark.parametrize("name", sorted({name for rule in TABLE.rules for name in rule.enforced}))
def test_what_enforces_a_row_is_there(name: str) -> None:
    """A function of the node by its place, or a refusal by its code."""
    module, of_module, path = name.partition(":")
    if not of_module:
        assert name in specs.errors()
        return
    found: Any = importlib.import_module(f"reference_node.{module}")
    for part in path.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_every_row_is_enforced_and_says_why() -> None:
    """By a function at least; codes alone enforce nothing."""
    for rule in TABLE.rules:
        assert any(":" in name for name in rule.enforced), rule
        assert len(rule.why) > 20, rule


def test_what_is_open_is_known() -> None:
    """The list of holes grows and shrinks by a reviewed change only."""
    assert {(operation.id, field) for operation, field, rule in TABLE.rows() if rule.agreed == MISSING} == OPEN


def test_the_headers_are_those_that_are_signed() -> None:
    """What authenticates a node is in the table, by the names of the signing."""
    named = {f"header:{name}" for name in TABLE.headers["contract"]}
    covered = {f"header:{name}" for name in signing.COMPONENTS if not name.startswith("@")}
    assert covered - {f"header:{signing.TOKEN_SET}"} <= named
    assert {f"header:{name}" for name in (signing.SIGNATURE, signing.TRACE, signing.CSRF)} <= named
    assert set(TABLE.headers) == {operation.auth for operation in OPERATIONS}


def test_the_document_is_made_from_the_table() -> None:
    """`python -m specs.authority docs/authority.md` writes it anew."""
    assert (ROOT / "docs" / "authority.md").read_text() == authority.rendered(TABLE)


def test_the_command_writes_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is told to."""
    monkeypatch.setattr("sys.argv", ["authority", str(tmp_path / "table.md")])
    assert authority.main() == 0
    assert (tmp_path / "table.md").read_text() == authority.rendered(TABLE)


def rule(operations: str, fields: str) -> Rule:
    """Return a rule that differs from others in what it is for only."""
    return Rule((operations,), (fields,), "caller", "none", operations + fields, ())


TASK_START = specs.operations()["taskStart"]


@pytest.mark.parametrize(
    ("rules", "wins"),
    [
        ([("*", "*"), ("auth:contract", "*")], 1),
        ([("auth:contract", "/priority"), ("task*", "*")], 1),
        ([("task*", "/priority"), ("taskStart", "*")], 1),
        ([("taskStart", "/prio*"), ("taskStart", "/priority")], 1),
        ([("auth:operator", "/priority"), ("*", "*")], 1),
        ([("taskStop", "/priority"), ("taskStart", "/job_id"), ("*", "*")], 2),
    ],
)
def test_the_most_particular_rule_applies(rules: list[tuple[str, str]], wins: int) -> None:
    """A name before a pattern, a pattern before a kind of authentication, that before all."""
    made = tuple(rule(*row) for row in rules)
    assert replace(TABLE, rules=made).rule(TASK_START, "/priority") == made[wins]
    assert replace(TABLE, rules=made[::-1]).rule(TASK_START, "/priority") == made[wins]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "0 rules for /priority of taskStart"),
        ([("taskStop", "*")], "0 rules"),
        ([("taskStart", "/pri*"), ("taskStart", "*ority")], "2 rules"),
        ([("task*", "/priority"), ("*Start", "/priority")], "2 rules"),
    ],
)
def test_none_or_two_rules_for_a_field_are_an_error(rules: list[tuple[str, str]], words: str) -> None:
    """Nobody has to guess."""
    with pytest.raises(specs.SpecsError, match=words):
        replace(TABLE, rules=tuple(rule(*row) for row in rules)).rule(TASK_START, "/priority")


def test_a_word_that_is_not_explained_is_an_error(tmp_path: Path) -> None:
    """Whoever decides and whoever has agreed is one of those that the table introduces."""
    path = tmp_path / "authority.toml"
    row = 'operations = ["*"]\nfields = ["*"]\ndecides = "fate"\nagreed = "none"\nwhy = "x"\nenforced = []\n'
    path.write_text(f'[authorities]\ncaller = "x"\n[consents]\nnone = "x"\n[headers]\n[[rule]]\n{row}')
    with pytest.raises(specs.SpecsError, match="fate or none is not explained"):
        load(path)


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "object"}}}, ["/a", "/b"]),
        ({"properties": {"a": {"items": {"properties": {"b": {}}}}}}, ["/a/*/b"]),
        ({"properties": {"a": {"additionalProperties": {"type": "string"}}}}, ["/a/*"]),
        ({"properties": {"a": {"additionalProperties": False}}}, ["/a"]),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"a": {}, "b": {}}}]}, ["/a", "/b"]),
        (
            {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"oneOf": [{"properties": {"b": {}}}, {}]}}},
            ["/a/b", "/a"],
        ),
        ({"type": "object"}, []),
    ],
)
def test_members_are_found_wherever_a_schema_hides_them(schema: dict[str, Any], found: list[str]) -> None:
    """In references, unions, elements and maps; what is not described further is itself one."""
    assert members(schema) == found


def test_a_schema_that_holds_itself_is_an_error() -> None:
    """It would have no end of members."""
    tree = {"properties": {"below": {"$ref": "#/$defs/tree"}}}
    with pytest.raises(specs.SpecsError, match="holds itself"):
        members({"$ref": "#/$defs/tree", "$defs": {"tree": tree}})
