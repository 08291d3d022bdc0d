"""Bindings: what is spelled reads back, and a binding file that could not is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import specs
from conformance.harness import readings
from conformance.harness.binding import Binding, load_binding, parse_binding, recorded_binding
from conformance.harness.errors import NotOffered, UsageError
from conformance.harness.records import Answer

OPERATIONS = specs.operations()
REFERENCE, INTEROP = load_binding("reference"), load_binding("interop-1.2")
CAMEL = {
    "name": "camel",
    "names": {"node_id": "nodeId", "contract_id": "contractNo", "records": "items", "status": "state", "token": "key"},
    "values": {"status": {"APPROVED": "PASSED", "REJECTED": "DENIED"}, "auth_type": {"SM3_SM2": "GM"}},
    "headers": {"x-nonce": "X-Request-Nonce"},
    "envelope": {"code": "status", "msg": "message", "data": "payload", "success": [200]},
    "errors": {"field": "reason", "words": {"NONCE_REPLAYED": ["A-17", "A-18"], "TIMESTAMP_SKEWED": ["A-19"]}},
    "operations": {
        "nodeQuery": {"path": "/api/node", "method": "POST", "answer": {"institution": "org"}},
        "contractQuery": {"values": {"status": {"APPLIED": "OPEN"}}, "query": {"contract_id": "id"}},
    },
}
CAMELS = parse_binding(CAMEL, "camel.toml")
BINDINGS = [pytest.param(row, id=row.name) for row in (REFERENCE, INTEROP, CAMELS)]
INTEROP_PLACES = """
GET node/query, GET node/contract/query, GET node/health, POST node/contract/apply, POST node/contract/confirm,
POST node/contract/terminate, POST node/update, GET dataset/pub/list, GET dataset/pub/query, POST dataset/audit/apply,
POST dataset/audit/confirm, POST dataset/audit/terminate, GET dataset/audit/query, POST project/audit/apply,
POST project/audit/confirm, POST project/audit/terminate, GET project/audit/query, GET project/list, GET project/query,
GET component/list, GET component/query, POST flow/audit/apply, POST flow/audit/confirm, POST flow/audit/terminate,
GET flow/audit/query, POST job/audit/apply, POST job/audit/confirm, POST job/audit/terminate, POST model/audit/apply,
POST model/audit/confirm, POST model/audit/terminate, GET model/audit/query
"""


def refusal(**change: Any) -> UsageError:
    """Return the error that a binding file ends in."""
    with pytest.raises(UsageError) as caught:
        parse_binding({"name": "x"} | change, "x.toml")
    assert caught.value.hint
    return caught.value


def answer(binding: Binding, operation: str, data: Any, code: int = 0, status: int = 200) -> Any:
    """Read an answer of the reference form."""
    return binding.read_answer(operation, status, json.dumps({"code": code, "msg": "m", "data": data}).encode())


@pytest.mark.parametrize("binding", BINDINGS)
def test_every_example_survives_the_round_trip(binding: Binding) -> None:
    """Each example of the documents, spelled and read, is what it was, but for what the family lacks."""
    for operation in binding.operations:
        row = OPERATIONS[operation]
        body = row.body_example or {}
        method, path, _, spelled = binding.spell_request(operation, {}, body)
        kept = {name: value for name, value in body.items() if name not in binding.lacks(operation, "request")}
        assert binding.read_request(operation, {}, spelled) == ({}, kept)
        assert binding.operation_of(method.lower(), path) == operation
        data = (row.answer_example or {}).get("data", {})
        known = {name: value for name, value in data.items() if name not in binding.lacks(operation, "answer")}
        reading = binding.read_answer(operation, 200, binding.spell_answer(operation, data))
        assert (reading.accepted, reading.problem, dict(reading.data)) == (True, None, known)


statuses = st.sampled_from(["APPLIED", "APPROVED", "REJECTED", "TERMINATED"])
words = st.text(max_size=8)
names = st.sampled_from(["contract_id", "node_id", "status", "name", "records", "free"])
trees = st.recursive(
    st.one_of(st.none(), st.integers(), words), lambda inner: st.dictionaries(words, inner, max_size=3), max_leaves=6
)


@pytest.mark.parametrize("binding", BINDINGS)
@given(
    records=st.lists(st.fixed_dictionaries({"contract_id": words, "status": statuses}, optional={"free": trees})),
    query=st.dictionaries(st.sampled_from(["status", "partner_node_id"]), statuses),
)
def test_documents_survive_the_round_trip(
    binding: Binding, records: list[dict[str, Any]], query: dict[str, str]
) -> None:
    """Names and values at depth come back whatever the binding; what the interface does not define is left alone."""
    operation = "ownContractList" if binding.offers("ownContractList") else "componentList"
    data = {"records": records, "total": len(records)}
    reading = binding.read_answer(operation, 200, binding.spell_answer(operation, data))
    assert dict(reading.data) == data
    _, _, asked, _ = binding.spell_request(operation, query, {})
    assert binding.read_request(operation, asked, {})[0] == query


def test_the_reference_binding_is_the_interface() -> None:
    """Every operation stands where the documents put it; partners sign all but the node query."""
    assert set(REFERENCE.operations) == set(OPERATIONS)
    for name, row in OPERATIONS.items():
        assert REFERENCE.spell_request(name, {"a": 1}, {"b": 2}) == (row.method, row.path, {"a": 1}, {"b": 2})
    assert [REFERENCE.signed(name) for name in ("nodeQuery", "contractApply", "nodeHealth", "ownNodeQuery")] == [
        False,
        True,
        True,
        False,
    ]


def test_the_interop_binding_is_the_public_interface() -> None:
    """Management operations are exactly those of the public API, spelled as there; three are not signed."""
    places = {f"{row.method} {row.path}" for name, row in INTEROP.operations.items() if "/interconn/" in row.path}
    managed = {place for place in places if "/schedule/" not in place and "/chan/" not in place}
    wanted = INTEROP_PLACES.replace("\n", " ").strip().split(", ")
    assert managed == {place.replace(" ", " /v1/interconn/") for place in map(str.strip, wanted)}
    assert INTEROP.spell_request("componentList", {"contract_id": "c"}, {})[2] == {"contract_Id": "c"}
    others = [
        name for name in INTEROP.operations if not OPERATIONS[name].own_side and OPERATIONS[name].auth != "session"
    ]
    assert {name for name in others if not INTEROP.signed(name)} == {"nodeQuery", "contractApply", "contractConfirm"}
    assert not INTEROP.names_refusals
    assert not INTEROP.offers("contractCancel")


def test_an_absent_operation_is_not_spelled() -> None:
    """Asking for it ends the scenario as not offered; calls to its place are nobody's."""
    with pytest.raises(NotOffered, match="contractCancel is absent"):
        INTEROP.spell_request("contractCancel", {}, {})
    row = OPERATIONS["contractCancel"]
    assert INTEROP.operation_of(row.method, row.path) is None
    assert REFERENCE.operation_of("GET", row.path) is None


def test_a_camel_spells_names_values_and_envelope() -> None:
    """Renames by name and by path, values, method, path and envelope all reach the wire."""
    assert CAMELS.spell_request("nodeQuery", {"node_id": "n"}, {})[:3] == ("POST", "/api/node", {"nodeId": "n"})
    assert CAMELS.spell_request("contractQuery", {"contract_id": "c"}, {})[2] == {"id": "c"}
    body = {"contract_id": "c", "status": "APPROVED", "auth_type": "SM3_SM2"}
    assert CAMELS.spell_request("contractConfirm", {}, body)[3] == {
        "contractNo": "c",
        "state": "PASSED",
        "auth_type": "GM",
    }
    sent = json.loads(CAMELS.spell_answer("nodeQuery", {"institution": "o"}))
    assert sent == {"status": 200, "message": "ok", "payload": {"org": "o"}}
    opened = b'{"status":200,"message":"","payload":{"state":"OPEN"}}'
    assert CAMELS.read_answer("contractQuery", 200, opened).data == {"status": "APPLIED"}


def test_our_own_spelling_is_not_taken_for_theirs() -> None:
    """A target that answers with our word where the binding has another has not said it."""
    said = b'{"status":200,"message":"","payload":{"status":"APPLIED","state":"APPLIED"}}'
    assert CAMELS.read_answer("contractQuery", 200, said).data == {"status": "foreign:APPLIED"}
    assert INTEROP.read_request("componentList", {"contract_id": "c"}, {}) == ({}, {})


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"", "not a JSON object"),
        (200, b"[]", "not a JSON object"),
        (200, b"\xff", "not a JSON object"),
        (200, b"[" * 100_000, "not a JSON object"),
        (200, b'{"code":NaN,"msg":"","data":{}}', "not a JSON object"),
        (200, b'{"code":' + b"9" * 5000 + b"}", "not a JSON object"),
        (200, b"{}", "/code"),
        (200, b'{"code":true,"msg":"","data":{}}', "/code"),
        (200, b'{"code":"0","msg":"","data":{}}', "/code"),
        (200, b'{"code":0,"data":{}}', "/msg"),
        (200, b'{"code":0,"msg":"","data":null}', "/data"),
        (201, b'{"code":0,"msg":"","data":{}}', "HTTP 201 contradicts code 0"),
        (500, b'{"code":0,"msg":"","data":{}}', "HTTP 500 contradicts code 0"),
        (200, b'{"code":1,"msg":"","data":{"error":"X","hint":"h"}}', "HTTP 200 contradicts code 1"),
        (302, b'{"code":1,"msg":"","data":{"error":"X","hint":"h"}}', "HTTP 302 is no refusal"),
        (400, b'{"code":1,"msg":"","data":{"hint":"h"}}', "/data/error"),
        (400, b'{"code":1,"msg":"","data":null}', "/data"),
    ],
)
def test_a_broken_envelope_is_a_problem(status: int, body: bytes, problem: str) -> None:
    """Whatever a target answers is read; what is wrong with it is said."""
    reading = REFERENCE.read_answer("nodeQuery", status, body)
    assert reading.problem is not None
    assert problem in reading.problem


@given(st.binary(max_size=60), st.integers(100, 599))
def test_no_answer_breaks_the_reader(body: bytes, status: int) -> None:
    """Bytes that are no envelope are neither accepted nor raised over."""
    for binding in (REFERENCE, INTEROP, CAMELS):
        assert not binding.read_answer("nodeQuery", status, body).accepted


def test_refusals_are_read_by_name() -> None:
    """A named refusal gives its name; a family that names nothing gives only the fact."""
    refused = {"error": "NONCE_REPLAYED", "hint": "h"}
    named = answer(REFERENCE, "nodeHealth", refused, 40103, 401)
    assert (named.accepted, named.error, named.code, named.problem) == (False, "NONCE_REPLAYED", 40103, None)
    assert REFERENCE.means(named, {"NONCE_REPLAYED"})
    assert not REFERENCE.means(named, {"TIMESTAMP_SKEWED"})
    bare = answer(INTEROP, "nodeHealth", None, 7, 200)
    assert (bare.accepted, bare.error, bare.problem) == (False, None, None)
    assert INTEROP.means(bare, {"NONCE_REPLAYED"})
    assert not INTEROP.means(answer(INTEROP, "nodeHealth", {}), {"NONCE_REPLAYED"})


def test_a_file_is_read_by_size_and_digest_and_its_refusal_as_any_other() -> None:
    """An answer that is a file has no envelope and breaks no interface; one that is refused has."""
    reference, headers = load_binding("reference"), {"content-type": "application/octet-stream"}
    told = readings.read(reference, "ownTaskOutput", Answer(200, headers, b"id\n"))
    assert (told.accepted, told.data) == (True, {"bytes": 3, "sha256": hashlib.sha256(b"id\n").hexdigest()})
    body = b'{"code": 50302, "msg": "m", "data": {"error": "STORE_TAMPERED", "hint": "h"}}'
    refused = readings.read(reference, "ownTaskOutput", Answer(503, {"content-type": "application/json"}, body))
    assert (refused.accepted, refused.error) == (False, "STORE_TAMPERED")
    assert not readings.read(reference, "ownTaskQuery", Answer(200, headers, b"id\n")).accepted


def test_foreign_words_for_reasons_are_read() -> None:
    """A family's own word or number means our name."""
    binding = parse_binding({"name": "x", "errors": {"words": {"NONCE_REPLAYED": ["A-17", "1017"]}}}, "x.toml")
    by_word = answer(binding, "nodeHealth", {"error": "A-17"}, 5, 401)
    by_code = answer(binding, "nodeHealth", {}, 1017, 401)
    assert (by_word.error, by_code.error) == ("NONCE_REPLAYED", "NONCE_REPLAYED")
    assert answer(binding, "nodeHealth", {}, 1018, 401).error is None


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_played_refusal_reads_back(binding: Binding) -> None:
    """What a partner refuses with is what the binding reads as that refusal."""
    status, body = binding.spell_refusal("NONCE_REPLAYED")
    reading = binding.read_answer("nodeHealth", status, body)
    assert (reading.accepted, reading.problem) == (False, None)
    assert reading.error == ("NONCE_REPLAYED" if binding.names_refusals else None)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_recorded_binding_is_the_one_that_was_used(binding: Binding) -> None:
    """What a run records of a binding, as JSON, builds it again, whether or not there is a file of that name."""
    header = json.loads(json.dumps({"binding": binding.name, "binding_content": dict(binding.content)}))
    again = recorded_binding(header, "events.jsonl")
    for part in ("name", "title", "envelope", "refusals", "headers", "content"):
        assert getattr(again, part) == getattr(binding, part)
    assert again.operations.keys() == binding.operations.keys()
    for name in ("nodeQuery", "contractQuery"):
        asked = {"node_id": "n", "contract_id": "c"}
        assert again.spell_request(name, asked, {}) == binding.spell_request(name, asked, {})


def test_an_older_recording_has_the_name_of_its_binding_only() -> None:
    """Then the one of that name is taken, and a name that is not among ours is told."""
    assert recorded_binding({"binding": "interop-1.2"}, "events.jsonl") == INTEROP
    with pytest.raises(UsageError, match="their-own"):
        recorded_binding({"binding": "their-own"}, "events.jsonl")


def test_headers_are_renamed_both_ways() -> None:
    """A header under the family's name reads back under ours, in any case."""
    wire = CAMELS.spell_headers({"x-nonce": "1", "x-trace-id": "2"})
    assert wire == {"X-Request-Nonce": "1", "x-trace-id": "2"}
    assert CAMELS.read_headers({"X-REQUEST-NONCE": "1", "X-Trace-Id": "2"}) == {"x-nonce": "1", "x-trace-id": "2"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"opperations": {}}, ['"opperations"', '"operations"']),
        ({"operations": {"componentlist": {}}}, ['"componentlist"', '"componentList"']),
        ({"operations": {"componentList": {"qery": {}}}}, ["[operations.componentList]", '"query"']),
        ({"operations": {"componentList": {"query": {"contractid": "x"}}}}, ["query", '"contractid"', '"contract_id"']),
        (
            {"operations": {"ownContractList": {"without_answer": ["records.stat"]}}},
            ['"records.stat"', '"records.status"'],
        ),
        (
            {"operations": {"componentList": {"query": {"contract_id": "category"}}}},
            ['two fields would be called "cat'],
        ),
        ({"operations": {"componentList": {"path": "x"}}}, ['"x" is no path']),
        ({"operations": {"nodeQuery": {"path": "/v1/interconn/node/health"}}}, ["nodeQuery and nodeHealth would both"]),
        ({"operations": {"nodeQuery": {"method": "FETCH"}}}, ['unknown value "FETCH"', "GET"]),
        ({"operations": {"contractQuery": {"values": {"status": {"APPLYED": "x"}}}}}, ['"APPLYED"', '"APPLIED"']),
        ({"operations": {"contractQuery": {"values": {"stats": {"A": "x"}}}}}, ["field", '"stats"', '"status"']),
        ({"values": {"status": {"APPLIED": "APPROVED"}}}, ["two values"]),
        ({"names": {"no_such_field": "x"}}, ["[names]", "no_such_field"]),
        ({"unsigned": ["nodequery"]}, ["unsigned", '"nodeQuery"']),
        ({"offers": ["nodeQery"]}, ["offers", '"nodeQuery"']),
        ({"errors": {"naming": "some"}}, ["naming", "named, any"]),
        ({"errors": {"words": {"NONCE_REPLAID": ["x"]}}}, ['"NONCE_REPLAYED"']),
        ({"envelope": {"code": "data"}}, ["three different names"]),
        ({"envelope": {"success": []}}, ["at least one"]),
        ({"headers": {"x-nonc": "y"}}, ['"x-nonce"']),
    ],
)
def test_a_wrong_binding_is_told(change: dict[str, Any], told: list[str]) -> None:
    """Typos and spellings that could not be read back never load."""
    error = refusal(**change)
    assert all(word in str(error) for word in ["x.toml", *told]), str(error)


def test_a_binding_extends_another(tmp_path: Path) -> None:
    """A vendor's file says only what differs, whether it extends a name or a file beside it."""
    (tmp_path / "a.toml").write_text('name = "a"\nextends = "interop-1.2"\n[errors]\nnaming = "named"\n', "utf-8")
    (tmp_path / "b.toml").write_text('name = "b"\nextends = "a.toml"\nabsent = ["nodeHealth"]\n', "utf-8")
    row = load_binding(str(tmp_path / "b.toml"))
    assert (row.name, row.names_refusals, row.offers("nodeHealth"), row.offers("nodeQuery")) == ("b", True, False, True)
    assert row.spell_request("componentList", {"contract_id": "c"}, {})[2] == {"contract_Id": "c"}


def test_a_circle_and_an_unknown_name_are_told(tmp_path: Path) -> None:
    """A file that extends itself, and a name that no binding has, end in words."""
    (tmp_path / "a.toml").write_text('name = "a"\nextends = "b.toml"\n', "utf-8")
    (tmp_path / "b.toml").write_text('name = "b"\nextends = "a.toml"\n', "utf-8")
    with pytest.raises(UsageError, match="extends itself"):
        load_binding(str(tmp_path / "a.toml"))
    with pytest.raises(UsageError, match='did you mean "reference"'):
        load_binding("refrence")
