"""The harness's own parties of the open algorithms: against known answers, and against the node's algorithms."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.harness import compute_messages, psi, psi_curves, sharing
from conformance.harness.ptp import NoMessage
from reference_node.algorithms import ALGORITHMS
from reference_node.algorithms.channel import LocalChannel, local_channels
from reference_node.algorithms.contract import Inputs

CASES = json.loads((specs.folder() / "vectors/psi/cases.json").read_text(encoding="utf-8"))
OURS, THEIRS = ["a", "b", "c", "用户4"], ["b", "用户4", "d"]


@pytest.mark.parametrize("name", psi_curves.SUITES)
def test_points_are_those_of_the_known_answers(name: str) -> None:
    """Masking once and twice gives the published points, whichever side begins."""
    suite, rows = psi_curves.SUITES[name], CASES[name]
    secret = {side: bytes.fromhex(text).rjust(32, b"\0") for side, text in rows["secrets"].items()}
    for one, other in (("guest", "host"), ("host", "guest")):
        for row in rows[one]:
            once = suite.mask(secret[one], suite.point(row["item"].encode()))
            assert once.hex() == row["masked_once"]
            assert suite.mask(secret[other], once).hex() == row["masked_twice"]


def test_points_that_are_none_are_not_multiplied() -> None:
    """Off the curve, of small order, zero: each is refused."""
    sm2, x25519 = psi_curves.SUITES["sm2-sm3"], psi_curves.SUITES["x25519-sha256"]
    bad = [(sm2, psi_curves.off_curve()), (sm2, b"\4" + bytes(32)), (x25519, psi_curves.SMALL_ORDER)]
    for suite, point in [*bad, (x25519, psi_curves.ZERO)]:
        with pytest.raises(NoMessage):
            suite.mask(suite.secret(), point)


def _run(code: str, me: str, channel: LocalChannel, params: dict[str, Any], table: Path, said: dict[str, Any]) -> None:
    port = "joined" if code == "intersection" else "result"
    target = table.parent / f"{me}.{port}.csv"
    said[me] = ALGORITHMS[code].start(channel, params, Inputs({"table": table}, {port: target})).summary


def _talk(talker: compute_messages.Talker, channel: LocalChannel, peer: str, awaited: tuple[str, ...]) -> None:
    """Have a party talk over a channel: it takes the messages in the order of the protocol."""
    for tag, payload in talker.begin():
        channel.send(peer, tag, payload)
    for tag in awaited:
        for name, payload in talker.heard(tag, channel.recv(peer, tag)):
            channel.send(peer, name, payload)


@pytest.mark.parametrize("suite", psi_curves.SUITES)
@pytest.mark.parametrize("rank", [0, 1])
def test_an_intersection_with_the_node_equals_the_plaintext_one(rank: int, suite: str, tmp_path: Path) -> None:
    """Two implementations that share nothing but the document find the same, in either rank and suite."""
    names = ("guest.0", "host.0")
    said: dict[str, Any] = {}
    table, channels = tmp_path / "own.csv", local_channels(names, timeout=10)
    table.write_text("id\n" + "\n".join(THEIRS) + "\n", encoding="utf-8")
    party = psi.Party(rank, OURS, suites=[suite])
    node, me = names[1 - rank], names[rank]
    arguments = ("intersection", node, channels[node], {"id": "id"}, table, said)
    thread = threading.Thread(target=_run, args=arguments, daemon=True)
    thread.start()
    first = psi.REQUEST if rank == 0 else psi.RESPONSE
    _talk(party, channels[me], node, (first, psi.CONFIRM, psi.ONCE, psi.TWICE))
    thread.join(10)
    assert party.found == {"b", "用户4"}
    assert party.confirmed is True
    assert said[node]["intersection"] == 2


def test_a_sum_with_the_node_is_exact(tmp_path: Path) -> None:
    """The shares of both implementations add up to the sum of the plaintext."""
    names = ("guest.0", "host.0")
    said: dict[str, Any] = {}
    table, channels = tmp_path / "own.csv", local_channels(names, timeout=10)
    table.write_text("kwh\n1.25\n-7.5\n", encoding="utf-8")
    party = sharing.Party("guest.0", sharing.Terms(names, ("kwh",), scale=2), [(1000, 3)])
    arguments = ("statistics", "host.0", channels["host.0"], {"columns": "kwh", "scale": 2}, table, said)
    thread = threading.Thread(target=_run, args=arguments, daemon=True)
    thread.start()
    _talk(party, channels["guest.0"], "host.0", (sharing.AGREEMENT, sharing.SHARE, sharing.OPENING))
    thread.join(10)
    assert party.opened == [375, 5]
    assert said["host.0"]["result"]["kwh"]["sum"] == "3.75"


def test_what_is_no_message_is_refused() -> None:
    """Bytes of another message, of another type or length end the talk."""
    one, two = psi.Party(0, OURS), psi.Party(1, THEIRS)
    for side, tag in ((one, psi.REQUEST), (two, psi.RESPONSE)):
        with pytest.raises(NoMessage):
            side.heard(tag, b"\xff\xff")
    compute_messages.exchange(one, two)
    strange = compute_messages.packed("EcdhPsiCipherBatch", type="dual.enc", count=1, ciphertext=b"1")
    for tag, payload in ((psi.ONCE, b"\xff\xff"), (psi.ONCE, strange), (psi.TWICE, strange), ("unknown", b"")):
        with pytest.raises(NoMessage):
            one.heard(tag, payload)


def test_what_overtakes_the_handshake_waits_for_it() -> None:
    """Tags keep no order among them: a confirmation that comes before the answer is heard after it."""
    one, two = psi.Party(0, OURS), psi.Party(1, THEIRS)
    (_, asked), *_ = two.begin()
    (_, answer), (_, confirmed) = one.heard(psi.REQUEST, asked)
    assert two.heard(psi.CONFIRM, confirmed) == []
    assert [tag for tag, _ in two.heard(psi.RESPONSE, answer)] == [psi.CONFIRM, psi.ONCE]
    assert two.confirmed is True
