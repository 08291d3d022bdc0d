"""Requests written by hand, and crowds: what is told of targets that answer, hang up, are silent or talk nonsense."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from conformance.checks import chapter_9_2_crowds as crowds
from conformance.checks import chapter_9_2_framing as framing
from conformance.harness import raw
from conformance.harness.binding import load_binding
from conformance.harness.errors import NotOffered
from conformance.harness.profile import parse_profile
from conformance.harness.raw import Bend, RawTransport, spelled
from conformance.harness.records import Request, Transcript
from conformance.harness.story import NoTwin, Story
from conformance.harness.target import HttpTransport, Unanswered
from conformance.selftest.inprocess import lab

ASKED = Request("GET", "/v1/query", (("a", "b c"),), {"x-one": "1"}, b"")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


@contextmanager
def target(act: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve whatever this does with each connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = listening.accept()[0]
                threading.Thread(target=one, args=(sock,), daemon=True).start()

    def one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            act(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


def _says(*parts: bytes, stays: float = 0.0) -> Callable[[socket.socket], None]:
    def act(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"".join(parts))
        time.sleep(stays)

    return act


def test_a_request_is_written_as_it_is_told() -> None:
    """Line, Host, fields, length and body; a bend replaces the Hosts, adds lines and says what follows."""
    posted = Request("POST", "/v1", (), {"a": "1"}, b"{}")
    assert spelled(ASKED, "here:1", Bend()) == b"GET /v1/query?a=b%20c HTTP/1.1\r\nHost: here:1\r\nx-one: 1\r\n\r\n"
    assert spelled(posted, "h", Bend()) == b"POST /v1 HTTP/1.1\r\nHost: h\r\na: 1\r\nContent-Length: 2\r\n\r\n{}"
    bent = Bend(hosts=(), lines=(b"Content-Length: +0",), after=b"rest")
    assert spelled(posted, "h", bent) == b"POST /v1 HTTP/1.1\r\na: 1\r\nContent-Length: +0\r\n\r\nrest"


@pytest.mark.parametrize(
    ("said", "stays", "statuses", "closed"),
    [
        ((ANSWER,), 0.0, [200], True),
        ((ANSWER,), 1.0, [200], False),
        ((ANSWER, CHUNKED, ANSWER), 0.0, [200, 400, 200], True),
        ((ANSWER, b"nonsense"), 0.0, [200], True),
    ],
)
def test_every_answer_to_one_request_is_counted(
    said: tuple[bytes, ...], stays: float, statuses: list[int], closed: bool
) -> None:
    """The first one is returned, the statuses of all are told, and whether the target closed."""
    with target(_says(*said, stays=stays)) as url:
        over = RawTransport(url, None)
        assert over.send(ASKED, 5).status == 200
    assert over.seen == {"statuses": statuses, "closed": closed}


@pytest.mark.parametrize(
    ("said", "stays", "closed"), [((), 0.0, True), ((b"nonsense\r\n",), 0.0, True), ((), 2.0, False)]
)
def test_no_answer_is_told_as_such(said: tuple[bytes, ...], stays: float, closed: bool) -> None:
    """Closing, nonsense and silence are no answer; they are told apart."""
    with target(_says(*said, stays=stays)) as url:
        over = RawTransport(url, None)
        with pytest.raises(Unanswered):
            over.send(ASKED, 0.5)
    assert over.seen["statuses"] == []
    assert over.seen["closed"] is closed


def test_nothing_listens() -> None:
    """That is no answer either."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    over = RawTransport(f"http://127.0.0.1:{port}", None)
    with pytest.raises(Unanswered):
        over.send(ASKED, 0.5)
    assert over.seen["closed"]


def test_a_crowd_stands_until_the_target_ends_it() -> None:
    """A third of each kind; those that are closed are told, also when an answer came before."""
    gone = threading.Event()

    def act(sock: socket.socket) -> None:
        gone.wait(10)
        sock.sendall(ANSWER)

    with target(act) as url, raw.crowd(url, 9) as standing:
        assert standing.standing() == {"idle": 3, "dripping": 3, "stopped": 3}
        gone.set()
        until = time.monotonic() + 5
        while any(standing.standing().values()) and time.monotonic() < until:
            time.sleep(0.02)
        assert not any(standing.standing().values())


def test_dripping_connections_drip() -> None:
    """Byte by byte; the others send nothing more."""
    came: list[int] = []

    def act(sock: socket.socket) -> None:
        while piece := sock.recv(65536):
            came.append(len(piece))

    with target(act) as url, raw.crowd(url, 3):
        until = time.monotonic() + 5
        while came.count(1) < 4 and time.monotonic() < until:
            time.sleep(0.02)
    assert came.count(1) >= 4
    assert len([size for size in came if size > 1]) == 1


def test_a_target_without_sockets_is_not_tried() -> None:
    """In process there is nothing to write by hand on."""
    raw.needs_sockets(HttpTransport("http://127.0.0.1:1"))
    room = lab()
    with contextlib.closing(room), pytest.raises(NotOffered):
        raw.needs_sockets(room.collector.stage.transport)


# --- what the checks say of recordings --------------------------------------------------------------------------------


def _story(**facts: object) -> Story:
    profile = parse_profile({"target": {"url": "http://127.0.0.1:1", "node_id": "node-a"}}, "here")
    return Story(Transcript("crowd", (), facts), profile, load_binding("reference"))


@pytest.mark.parametrize(
    ("crowded", "after", "pointers"),
    [
        ([20.0, 900.0], True, []),
        ([20.0, 1001.0], True, ["/crowded/1"]),
        ([None], False, ["/crowded/0", "/after"]),
        ([], False, ["/after"]),
    ],
)
def test_who_is_kept_out_is_told(crowded: list[float | None], after: bool, pointers: list[str]) -> None:
    """Slower than the limit or no answer at all, while the crowd stands or once it has gone."""
    told = _story(calm=[1.0], limit_ms=1000.0, crowded=crowded, after=after)
    found = list(crowds.crowd_of_silent_connections_keeps_nobody_out(told))
    assert [row.pointer for row in found] == pointers


def test_a_target_that_never_answers_proves_nothing() -> None:
    """Without an answer before the crowd there is nothing to compare with."""
    with pytest.raises(NoTwin):
        list(crowds.crowd_of_silent_connections_keeps_nobody_out(_story(calm=[None])))


def _framed(statuses: dict[str, list[int]], *, closed: bool = True) -> Story:
    """Return a recording of these answers."""
    seen = {name: {"statuses": found, "closed": closed} for name, found in statuses.items()}
    return _story(seen=seen, twins=dict.fromkeys(statuses, "twin:length"))


@pytest.mark.parametrize(
    ("accepted", "closed", "count"),
    [
        ({"twin:length"}, True, 0),
        ({"twin:length", "two lengths"}, True, 1),
        ({"twin:length", "length beside chunks"}, True, 0),
        ({"twin:length", "length beside chunks"}, False, 1),
        ({"two lengths", "two lengths, the other way", "length beside chunks"}, False, 3),
    ],
)
def test_ambiguous_lengths_are_judged(
    monkeypatch: pytest.MonkeyPatch, accepted: set[str], closed: bool, count: int
) -> None:
    """Whoever reads chunks beside a length and closes does as RFC 9112 allows; any other acceptance is a finding."""
    monkeypatch.setattr(framing, "_accepted", lambda _story, name: name in accepted)
    names = ("two lengths", "two lengths, the other way", "length beside chunks")
    told = _framed({name: [200] for name in names}, closed=closed)
    assert len(list(framing.request_of_two_lengths_is_refused(told))) == count


def test_a_refused_twin_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that refuses everything is not well-behaved."""
    monkeypatch.setattr(framing, "_accepted", lambda _story, _name: False)
    told = _framed({"no host": [400], "two hosts": [400]})
    for check in (framing.request_names_one_host, framing.wrong_framing_is_a_definite_error):
        with pytest.raises(NoTwin):
            list(check(told))


def test_crashes_and_further_answers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 is a crash, 501 is an answer; two answers to one request are one too many."""
    monkeypatch.setattr(framing, "_accepted", lambda _story, _name: True)
    told = _framed({"one": [500], "two": [501], "three": [400], "four": []})
    assert [row.pointer for row in framing.wrong_framing_is_a_definite_error(told)] == ["/seen/one"]
    told = _framed({"one": [413], "two": [404, 200], "three": []})
    assert [row.pointer for row in framing.body_of_a_refused_request_is_no_request(told)] == ["/seen/two"]
