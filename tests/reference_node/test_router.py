"""The pipeline's refusals of malformed requests: always an envelope, always with the reason."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from reference_node.errors import Refusal
from reference_node.interfaces import wire
from tests.reference_node.pair import TestNode, nodes

APPLY = "/v1/platform/node/contract/apply"
LIST = "/v1/platform/node/contract/list"
Two = tuple[TestNode, TestNode]


def _post(
    node: TestNode, body: bytes, path: str = APPLY, media: str | None = "application/json", **headers: str
) -> Any:
    token = {"authorization": "Bearer " + node.node.identity.operator_token}
    return node.app.test_client().post(path, data=body, content_type=media, headers={**token, **headers})


def _error(answer: Any) -> tuple[int, str]:
    data = answer.json["data"]
    assert answer.json["code"] == specs.errors()[data["error"]].code
    assert answer.status_code == specs.errors()[data["error"]].status
    assert answer.content_type == "application/json"
    return answer.status_code, data["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"node_id": "a", "node_id": "b"}',
        b'{"x": {"y": 1, "y": 1}}',
        b'{"x": NaN}',
        b'{"x": Infinity}',
        b'{"x": 1e999}',
        b'{"x": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b"[" * 100_000,
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"x": 1} trailing',
    ],
)
def test_what_is_not_one_json_object_is_refused(two: Two, body: bytes) -> None:
    """Malformed, ambiguous or over-deep bodies never reach a schema or a handler."""
    assert _error(_post(two[0], body)) == (400, "BODY_NOT_JSON")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
@settings(max_examples=60)
def test_sound_objects_are_read_as_they_are(value: Any) -> None:
    """Strictness loses nothing of what JSON can say."""
    assert wire.read_object(json.dumps({"x": value}).encode()) == {"x": value}


@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Whatever arrives is an object or a refusal."""
    try:
        outcome = type(wire.read_object(body)).__name__
    except Refusal as refusal:
        outcome = refusal.name
    assert outcome in ("dict", "BODY_NOT_JSON")


def test_depth_is_allowed_up_to_the_limit() -> None:
    """Sixty-four levels are read, one more is not."""
    deep = b'{"x": ' + b"[" * 63 + b"]" * 63 + b"}"
    assert "x" in wire.read_object(deep)
    with pytest.raises(Refusal):
        wire.read_object(b'{"x": ' + b"[" * 64 + b"]" * 64 + b"}")


def test_other_media_types_are_refused(two: Two) -> None:
    """JSON in UTF-8 is the one representation."""
    for media in (None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        assert _error(_post(two[0], b"{}", media=media)) == (415, "MEDIA_TYPE_UNSUPPORTED")
    zipped = _post(two[0], b"{}", **{"content-encoding": "gzip"})
    assert _error(zipped) == (415, "MEDIA_TYPE_UNSUPPORTED")
    assert _error(_post(two[0], b"{}", media="Application/JSON; charset=UTF-8")) == (400, "REQUEST_INVALID")


def test_a_body_over_the_limit_is_refused_whether_or_not_its_length_is_stated(two: Two) -> None:
    """One MiB is the limit, for a stated length and for a stream."""
    at_limit = b'{"x":"' + b"a" * (1024 * 1024 - 8) + b'"}'
    assert _error(_post(two[0], at_limit)) == (400, "REQUEST_INVALID")
    assert _error(_post(two[0], at_limit + b" ")) == (413, "BODY_TOO_LARGE")
    wrong = two[0].app.test_client().post(APPLY, environ_overrides={"CONTENT_LENGTH": "many"})
    assert _error(wrong) == (400, "REQUEST_INVALID")


def test_paths_and_methods_outside_the_document_are_refused(two: Two) -> None:
    """An envelope too, and Allow says what would do."""
    client = two[0].app.test_client()
    for path in ("/", "/v1/interconn/node", LIST + "/", "/v1//platform/node/contract/list"):
        assert _error(client.get(path)) == (404, "OPERATION_NOT_FOUND")
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = client.open(APPLY, method=method)
        assert _error(answer) == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == "POST"
    assert client.head(LIST).status_code == 405


def test_a_planned_operation_is_answered_as_such_after_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """501 with its own code, and only to those who might call it."""
    built = specs.operations()
    planned = dataclasses.replace(built["ownModelCreate"], planned=True)
    monkeypatch.setattr(specs, "operations", lambda: {**built, planned.id: planned})
    with nodes("node-p") as (node,):
        token = {"authorization": "Bearer " + node.node.identity.operator_token}
        client = node.app.test_client()
        assert _error(client.open(planned.path, method=planned.method, headers=token)) == (501, "NOT_IMPLEMENTED")
        assert _error(client.open(planned.path, method=planned.method)) == (401, "OPERATOR_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("page_num=0", "/page_num"),
        ("page_num=x", "/page_num"),
        ("page_num=1.0", "/page_num"),
        ("page_num=", "/page_num"),
        ("page_size=501", "/page_size"),
        ("page_num=99999999999999999999", "/page_num"),
        ("page_num=1&page_num=2", "/page_num"),
        ("status=PENDING", "/status"),
        ("partner_node_id=%2e%2e%2f", "/partner_node_id"),
        ("status=%ff", ""),
        ("status=\u00e9", ""),
    ],
)
def test_a_query_outside_its_schema_is_refused_with_the_place(two: Two, query: str, pointer: str) -> None:
    """Parameters are held against their schemas; a repeated one is ambiguous."""
    token = {"authorization": "Bearer " + two[0].node.identity.operator_token}
    answer = two[0].app.test_client().get(LIST, environ_overrides={"QUERY_STRING": query}, headers=token)
    assert _error(answer) == (400, "REQUEST_INVALID")
    assert answer.json["data"]["pointer"] == pointer


def test_unknown_parameters_and_fields_are_passed_over(two: Two) -> None:
    """A later edition may add to a request."""
    assert two[0].own("ownContractList", colour="blue").code == 0
    reply = two[0].own("ownContractApply", address="http://nowhere.test", node_id="node-z", colour="blue")
    assert reply.error == "PARTNER_UNREACHABLE"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"address": "http://node-b.test"}, "/node_id"),
        ({"address": "ftp://node-b.test", "node_id": "node-b"}, "/address"),
        ({"address": "http://node-b.test", "node_id": "a/b"}, "/node_id"),
        ({"address": "http://node-b.test", "node_id": "node-b", "expired_time": -1}, "/expired_time"),
        ({"address": "http://node-b.test", "node_id": "node-b", "expired_time": "1"}, "/expired_time"),
    ],
)
def test_a_body_outside_its_schema_is_refused_with_the_place(two: Two, fields: dict[str, Any], pointer: str) -> None:
    """The pointer names the field, also one that is missing."""
    reply = two[0].own("ownContractApply", **fields)
    assert (reply.error, reply.data["pointer"]) == ("REQUEST_INVALID", pointer)


def test_words_follow_the_callers_language(two: Two) -> None:
    """Chinese unless English is preferred; the code is the same."""
    client = two[0].app.test_client()
    row = specs.errors()["OPERATION_NOT_FOUND"]
    for accept, words in (
        (None, row.msg.zh),
        ("zh-CN,zh;q=0.9,en;q=0.8", row.msg.zh),
        ("en-GB,en;q=0.9,zh;q=0.1", row.msg.en),
        ("fr, en;q=0.2", row.msg.en),
        ("en;q=nonsense", row.msg.zh),
    ):
        headers = {} if accept is None else {"accept-language": accept}
        assert client.get("/nowhere", headers=headers).json["msg"] == words


def test_the_trace_id_comes_back_or_is_drawn(two: Two) -> None:
    """Both sides can find the call in their logs; what could forge a log line is replaced."""
    client = two[0].app.test_client()
    assert client.get("/nowhere", headers={"x-trace-id": "trace-1"}).headers["x-trace-id"] == "trace-1"
    for odd in ("", "with space", "x" * 129):
        fresh = client.get("/nowhere", headers={"x-trace-id": odd}).headers["x-trace-id"]
        assert len(fresh) == 32


def test_what_breaks_in_a_handler_stays_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """9.2-e-5: an envelope with the trace id, no stack trace, and nothing half done."""
    from reference_node.services import nodes as service

    def _break(*_: object) -> None:
        raise ZeroDivisionError("the secret detail")

    with nodes("node-a") as (a,):
        monkeypatch.setattr(service, "_to_be_told", _break)
        answer = _post(a, b'{"name": "half done"}', "/v1/platform/node/update", **{"x-trace-id": "trace-7"})
        assert _error(answer) == (500, "INTERNAL")
        assert answer.json["data"]["trace_id"] == "trace-7"
        assert b"secret" not in answer.data
        assert b"Traceback" not in answer.data
        assert a.own("ownNodeQuery", node_id=a.id).data["name"] == a.id


def test_an_unavailable_store_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """9.2-e-5: 503 and nothing changed; the node serves again afterwards."""
    from sqlalchemy.exc import OperationalError

    from reference_node.services import nodes as service

    def _locked(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    with nodes("node-a") as (a,):
        with monkeypatch.context() as patch:
            patch.setattr(service, "_to_be_told", _locked)
            assert _error(_post(a, b'{"name": "half done"}', "/v1/platform/node/update")) == (503, "STORE_UNAVAILABLE")
        assert a.own("ownNodeQuery", node_id=a.id).data["name"] == a.id
        assert a.own("ownNodeUpdate", name="whole").code == 0
