"""The harness's own data plane: its messages and codes against the node's, and how it reads what a target answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from conformance.harness import channel, ptp
from conformance.harness.binding import load_binding
from conformance.harness.channel import Form
from conformance.harness.records import Answer, Request
from reference_node.proto import transport_pb2
from reference_node.transport import frames

BINDING = load_binding("reference")
HEADERS = {name: f"a-{name}" for name in channel.NODE_HEADERS}
SEALS = ("sm4-gmac", "aes-gmac", "hmac-sm3", "hmac-sha256")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Inbound", {"metadata": {"a": "1", "度": "数"}, "payload": b"\x00\xff"}),
        ("Outbound", {"metadata": {}, "payload": b"", "code": "E0000000000", "message": "成功"}),
        ("PushInbound", {"topic": "t", "payload": b"p", "metadata": {"k": "v"}}),
        ("PopInbound", {"topic": "t", "timeout": 7}),
        ("PeekInbound", {"topic": "t"}),
        ("ReleaseInbound", {"topic": "t", "timeout": 0}),
        ("TransportOutbound", {"metadata": {"k": "v"}, "payload": b"p", "code": "c", "message": "m"}),
    ],
)
def test_messages_are_those_of_the_interface(kind: str, fields: Mapping[str, object]) -> None:
    """What the harness packs, the generated module reads, and the other way round."""
    theirs = getattr(transport_pb2, kind)(**fields)
    assert getattr(transport_pb2, kind).FromString(ptp.packed(kind, **fields)) == theirs
    assert ptp.unpacked(kind, theirs.SerializeToString()) == fields


def test_bytes_that_are_no_message_are_told() -> None:
    """What cannot be read raises the one error that says so."""
    with pytest.raises(ptp.NoMessage):
        ptp.unpacked("Inbound", b"\xff\xff\xff")
    for body in (b"\x00\x00", b"\x00\x00\x00\x09abc", b"\x00\x00\x00\x03\xff\xff\xff"):
        with pytest.raises(ptp.NoMessage):
            list(ptp.split(body))


@pytest.mark.parametrize("algorithm", SEALS)
def test_codes_of_frames_are_those_of_the_node(algorithm: str) -> None:
    """Two implementations of the description come to the same codes; another place or byte has another code."""
    seal = ptp.Seal(algorithm, "token-of-the-session", "nonce", "node-a", "node-b", "session_1")
    code = frames.FrameCode(
        algorithm, "token-of-the-session", nonce="nonce", source="node-a", target="node-b", session_id="session_1"
    )
    rows = [ptp.Frame({"x-ptp-topic": "主题", "part": "0"}, b"abc"), ptp.Frame({}, b"")]
    sealed = seal.sealed(rows)
    assert [row.metadata["mac"] for row in sealed] == [
        code.of(number, dict(row.metadata), row.payload) for number, row in enumerate(rows)
    ]
    assert not seal.broken(ptp.split(ptp.joined(sealed)))
    assert seal.broken(reversed(sealed))
    assert seal.broken([ptp.Frame(sealed[0].metadata, b"abd")])


@pytest.mark.parametrize("form", Form)
def test_a_request_is_read_in_every_form(form: Form) -> None:
    """What was spelled shows the same fields, whatever the form."""
    numbers = {"x-ptp-topic": "t", "x-ptp-sequence": "3"}
    metadata = {} if form is Form.BARE else numbers
    body = channel.spelled("chanInvoke", form, {"payload": "度".encode(), "metadata": metadata})
    headers = {**HEADERS, "x-ptp-version": "1" if form is Form.BARE else "2", "content-type": form.value}
    request = Request("POST", "/v1/interconn/chan/invoke", (), headers | (numbers if form is Form.BARE else {}), body)
    told = channel.sent("chanInvoke", request)
    assert (told["topic"], told["sequence"], told["payload"]) == ("t", 3, "度")
    assert told["session_id"] == "a-x-ptp-session-id"
    assert channel.request_problem("chanInvoke", request) == ""


def test_a_request_off_the_interface_is_told() -> None:
    """A missing header and a body that is no message are named."""
    headers = {**HEADERS, "content-type": Form.PROTOBUF.value}
    bad = Request("POST", "/", (), headers, b"\xff\xff")
    assert "no Inbound" in channel.request_problem("chanInvoke", bad)
    bare = {name: value for name, value in headers.items() if name != "x-ptp-uri"}
    assert "x-ptp-uri" in channel.request_problem("chanInvoke", Request("POST", "/", (), bare))


ENVELOPE = {"code": 40301, "msg": "no", "data": {"error": "NOT_YOURS", "hint": "h", "ptp_code": "E0000000403"}}
TAKEN = {"code": "E0000000000", "message": "ok", "content": base64.b64encode(b"abc").decode()}


@pytest.mark.parametrize(
    ("answer", "accepted", "error", "code", "sound"),
    [
        (Answer(200, {"content-type": "application/json"}, json.dumps(TAKEN).encode()), True, None, channel.OK, True),
        (Answer(403, {"content-type": "application/json"}, json.dumps(ENVELOPE).encode()), False, "NOT_YOURS",
         "E0000000403", True),
        (Answer(200, {"content-type": "application/octet-stream"}, b"abc"), True, None, channel.OK, True),
        (Answer(204, {"content-type": "application/octet-stream", "x-ptp-code": channel.NOTHING}), False, None,
         channel.NOTHING, True),
        (Answer(200, {"content-type": "application/x-protobuf"}, ptp.packed("Outbound", code=channel.NOTHING)), False,
         None, channel.NOTHING, True),
        (Answer(400, {"content-type": "application/x-protobuf"},
                ptp.packed("Outbound", code="E0000000616", metadata={"error": "FRAME_INVALID"})), False,
         "FRAME_INVALID", "E0000000616", True),
        (Answer(200, {"content-type": "application/x-protobuf"}, ptp.packed("Outbound", code="E0000000616")), False,
         None, "E0000000616", False),
        (Answer(200, {"content-type": "application/grpc"}, ptp.packed("Outbound", code="E0000000616")), False, None,
         "E0000000616", True),
        (Answer(200, {"content-type": "application/x-protobuf"}), False, None, "", False),
    ],
)  # fmt: skip
def test_an_answer_is_read_in_every_form(
    answer: Answer,
    accepted: bool,
    error: str | None,
    code: str,
    sound: bool,
) -> None:
    """Taken, refused, nothing there, and answers that contradict themselves."""
    reading = channel.reading(BINDING, "chanPop", answer)
    assert (reading.accepted, reading.error, reading.data["code"]) == (accepted, error, code)
    assert (reading.problem is None) == sound


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"[", b'{"code": "E0000000000", "content": 7}', b'{"code": 0}'])
@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf", "text/html", ""])
def test_nonsense_is_a_problem_and_never_an_error(kind: str, body: bytes) -> None:
    """Whatever a target answers is read."""
    reading = channel.reading(BINDING, "chanInvoke", Answer(200, {"content-type": kind}, body))
    assert not reading.accepted
    assert reading.problem


def test_of_a_very_long_body_a_recording_keeps_the_beginning() -> None:
    """What is left out is counted and survives the way through JSON; a usual body is kept whole."""
    long = Request("POST", "/", (), {}, bytes(3 << 20))
    assert long.kept().omitted == (3 << 20) - len(long.kept().body)
    assert len(long.kept().body) <= 4096
    assert Request.from_json(long.kept().to_json()) == long.kept()
    usual = Request("POST", "/", (), {}, bytes(1 << 20))
    assert usual.kept() is usual
    assert "omitted" not in usual.to_json()
