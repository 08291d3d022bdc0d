"""Sessions of TLS are taken up as real clients do, so that a target that takes none up shows in each of three ways."""

from __future__ import annotations

from contextlib import closing

import pytest
from OpenSSL import SSL

from conformance.harness.records import Request
from conformance.harness.target import Unanswered
from conformance.harness.tls import Flaw, Guise
from conformance.harness.tls_sessions import Kind, OpenTransport, SessionTransport
from conformance.selftest import served
from conformance.selftest.inprocess import NODE_ID

pytestmark = pytest.mark.slow
ASKED = Request("GET", "/v1/interconn/node/query", (("node_id", NODE_ID),), {}, b"")


@pytest.mark.parametrize("faults", [(), ("resumed-certificate-not-judged",)], ids=["sound", "resuming"])
def test_a_session_is_taken_up_only_where_a_defect_lets_it(
    faults: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By id, by ticket and by PSK; what takes it up has no certificate and is served where the session counts.

    Goodbyes go out while the socket is open: later its number is that of another connection, which they would break.
    """
    numbers: list[int] = []
    goodbye = SSL.Connection.shutdown

    def watched(connection: SSL.Connection) -> bool:
        numbers.append(connection.fileno())
        return goodbye(connection)

    monkeypatch.setattr(SSL.Connection, "shutdown", watched)
    room = served.served_lab(served.SESSIONS, faults)
    try:
        wardrobe = room.collector.stage.wardrobe
        assert wardrobe is not None
        for kind in Kind:
            first = SessionTransport(room.server.address, Guise(wardrobe), "node-a", kind)
            assert first.spoken()
            assert (first.send(ASKED, 5.0).status, first.resumed) == (200, False)
            bare = Guise(wardrobe, Flaw.BARE)
            again = SessionTransport(room.server.address, bare, "node-a", kind, first.kept)
            assert (again.send(ASKED, 5.0).status, again.resumed) == ((200, True) if faults else (401, False))
    finally:
        room.close()
    assert len(numbers) >= 2 * len(Kind)
    assert -1 not in numbers


def test_a_target_that_is_gone_leaves_the_request_unanswered() -> None:
    """Neither a handshake nor a request raises anything else."""
    room = served.served_lab(served.SESSIONS)
    try:
        wardrobe = room.collector.stage.wardrobe
        assert wardrobe is not None
        gone = SessionTransport("https://127.0.0.1:1", Guise(wardrobe), "node-a", Kind.PSK)
        assert not gone.spoken()
        with pytest.raises(Unanswered, match="no answer"):
            gone.send(ASKED, 1.0)
    finally:
        room.close()


@pytest.mark.parametrize("faults", [(), ("revocation-spares-connection",)], ids=["sound", "sparing"])
def test_a_revocation_ends_an_open_connection_unless_a_defect_spares_it(faults: tuple[str, ...]) -> None:
    """The connection stays the same one, and is not made again once it is over."""
    room = served.served_lab(served.SESSIONS, faults)
    try:
        stage = room.collector.stage
        assert stage.wardrobe is not None
        assert stage.revoke is not None
        with closing(OpenTransport(room.server.address, Guise(stage.wardrobe), "node-a")) as line:
            assert [line.send(ASKED, 5.0).status for _ in range(2)] == [200, 200]
            assert line.kept
            stage.revoke(stage.wardrobe.files("node-a")[0])
            assert line.send(ASKED, 5.0).status == (200 if faults else 401)
            line.close()
            assert not line.kept
            with pytest.raises(Unanswered, match="NotConnected"):
                line.send(ASKED, 5.0)
    finally:
        room.close()
