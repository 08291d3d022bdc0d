"""The relay of an isolation gap by itself, between two nodes that the harness plays (9.2-h).

What may not pass is laid down together, each file with one thing wrong, and a marker behind it that may: once the
marker has come out, whatever else came out has passed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from conformance.harness.errors import NotOffered
from conformance.harness.gap_files import Bent
from conformance.harness.gap_relay import RelayEnds, Sent, records
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.relayed import SMALL_BYTES, SMALL_TAG, TAG, Relayed, relayed

ABSENT = "profile: there is no [gap.relay], so no relay between two networks can be tried"
NO_EVIDENCE = "profile: [gap.relay] names no evidence with the key that signs it, so what the relay records is not seen"
CHUNK = 256 * 1024
RECORDS = 100
LINKED = "linked.gap"


def _ends(world: World) -> RelayEnds:
    ends = world.stage.relay
    if ends is None:
        raise NotOffered(ABSENT)
    return ends


@scenario(exclusive=True)
def test_relay_passes(world: World) -> None:
    """A job is agreed on, a component started and a message sent each way, all as files across the relay (9.2-h)."""
    both = relayed(world, _ends(world))
    world.fact("passed", both.passed)
    both.agree()
    if not both.stuck:
        both.cross("message", both.outer, both.message(TAG, secrets.token_bytes(5000)))
        both.cross("message back", both.inner, both.message(TAG, secrets.token_bytes(5000), back=True))
    both.outer.clear()
    both.inner.clear()


@scenario(exclusive=True)
def test_relay_refuses(world: World) -> None:
    """Files with one thing wrong each, beside one that is right; then more than a session may carry (9.2-h)."""
    ends = _ends(world)
    both = relayed(world, ends)
    world.fact("passed", both.passed)
    both.agree()
    both.started("psi_1")
    both.stopped("psi_1")
    world.fact("filled", {"sent": 0, "passed": 0, "stuck": True})
    right = both.cross("right", both.outer, both.message(TAG, b"right"))
    if both.stuck:
        return
    both.outer.found.clear()
    both.inner.found.clear()
    (both.outer.folder / LINKED).unlink(missing_ok=True)
    tried = {**dict(_wrong(world, both)), **_laid(both, right)}
    before = ends.around()
    both.cross("marker", both.outer, both.asked("nodeHealth"))
    world.fact("tried", {name: _fate(both, sent) for name, sent in tried.items()})
    world.fact("escaped", sorted(set(ends.around()) - set(before)))
    (both.outer.folder / LINKED).unlink(missing_ok=True)
    if not both.stuck:
        _fill(world, both)
    both.outer.clear()
    both.inner.clear()


def _wrong(world: World, both: Relayed) -> Iterator[tuple[str, Sent]]:
    """Lay down what may not pass, in the order of its numbers."""
    put, right = both.outer.put, both.message(TAG, b"wrong")
    other = world.id("other")
    yield "kind", put(*both.message("raw.rows", b"rows"))
    yield "stopped", put(*both.message(TAG, b"late", task="psi_1"))
    yield "large", put(*both.message(SMALL_TAG, bytes(SMALL_BYTES + 1)))
    yield "smuggled", put(*both.message(TAG, b"x", note="secret"))
    yield "unsigned", put(*right, Bent(unsigned=True))
    yield "foreign-key", put(*right, Bent(key=contracts.other_key(world, other)))
    yield "forged-head", put(*both.asked("nodeHealth"), Bent(forged={"query": "a=b"}))
    yield "other-sender", put(*right, Bent(head={"sender": other}))
    yield "other-receiver", put(*right, Bent(head={"receiver": other}))
    yield "altered-body", put(*both.message(TAG, b"wrong" * 20), Bent(body=lambda body: body[:-1] + b"?"))
    yield "cut-short", put(*right, Bent(body=lambda body: body[1:]))
    yield "off-schema", put(*both.asked("jobStart", {"job": 1}))
    yield (
        "unasked",
        put({"kind": "answer", "answers": secrets.token_hex(16), "status": 503}, b'{"code":503,"msg":"no"}'),
    )
    component = {"kind": "request", "method": "POST", "path": "/v1/interconn/chan/push", "query": ""}
    yield "operation", put(component)
    yield "path", put({**component, "id": f"../escaped-{world.id('path')}"}, b"x")


def _laid(both: Relayed, right: Sent) -> dict[str, Sent]:
    """Lay down what is wrong by its place: twice, under another name, behind a link, unfinished, or no file at all."""
    fields = both.message(TAG, b"wrong")
    tried = {"old-number": both.outer.put(*fields, Bent(head={"sequence": 1}))}
    both.outer.lay(right.name, right.content)
    tried["again"] = right
    named = both.outer.made(*fields)
    both.outer.lay(named.name.replace(".request.", ".answer."), named.content)
    linked = both.outer.made(*fields)
    (both.outer.folder / LINKED).write_bytes(linked.content)
    both.outer.link(linked.name, both.outer.folder / LINKED)
    tried |= {"other-name": named, "link": linked, "draft": both.outer.put(*fields, Bent(draft=True))}
    tried["garbage"] = both.outer.put(*fields, Bent(whole=b"\x00" * 64))
    return tried


def _fate(both: Relayed, sent: Sent) -> dict[str, Any]:
    """Return what became of a file: whether it has passed, still lies there, and its sender was told."""
    told = any(row.id == sent.id for row in both.outer.arrived() if row.name.endswith(".refused"))
    passed = any(row.id == sent.id or row.content == sent.content for row in both.inner.arrived())
    return {"passed": passed, "left": sent.name in both.outer.left(), "told": told}


def _fill(world: World, both: Relayed) -> None:
    """Send as much as a session may carry and one message more."""
    count = both.ends.place.session_mib * 1024 * 1024 // CHUNK + 1
    sent = [both.outer.put(*both.message(TAG, bytes(CHUNK))) for _ in range(count)]
    both.cross("marker", both.outer, both.asked("nodeHealth"))
    passed = sum(_fate(both, one)["passed"] for one in sent)
    world.fact("filled", {"sent": count, "passed": passed, "stuck": both.stuck})


@scenario(exclusive=True)
def test_relay_evidence(world: World) -> None:
    """One message passes, one is refused, and the relay's export of its evidence is read (9.2-h)."""
    ends = _ends(world)
    both = relayed(world, ends)
    world.fact("passed", both.passed)
    both.agree()
    right = both.cross("right", both.outer, both.message(TAG, b"right"))
    wrong = both.outer.put(*both.message("raw.rows", b"rows"))
    both.cross("marker", both.outer, both.asked("nodeHealth"))
    export = ends.evidence()
    if export is None:
        raise NotOffered(NO_EVIDENCE)
    found = records(export, ends.relay_key(), RECORDS)
    world.fact("right", {"id": right.id, "name": right.name})
    world.fact("wrong", {"id": wrong.id, "name": wrong.name, **_fate(both, wrong)})
    world.fact("records", found)
    both.outer.clear()
    both.inner.clear()
