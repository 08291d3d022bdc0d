"""The relay by itself (9.2-h): what it lets through, what it puts away and why, and what a sudden end leaves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reference_node.errors import ConfigError
from reference_node.gap.files import SUITE, GapFile, GapFileBad, waiting
from reference_node.gap.ledger import Ledger
from reference_node.gap.relay import GapRelay, Pace
from reference_node.security.keys import PrivateKey
from reference_node.transport import frames
from tests.reference_node.gapping import JOB, Crossing, agree, turn

OTHER_TASK = "task_00000000000000000000000000000000"


@pytest.fixture
def crossing(tmp_path: Path) -> Crossing:
    """Two folders and a policy with a message bound of 1 MiB and a session bound of 2."""
    return Crossing(tmp_path, {"message_mib": 1, "session_mib": 2})


@pytest.fixture
def relay(crossing: Crossing) -> Iterator[GapRelay]:
    """A relay that has begun, between nodes that run an intersection together."""
    with crossing.relay() as found:
        agree(crossing, found)
        yield found


def records(crossing: Crossing) -> list[dict[str, Any]]:
    """Return the evidence, whose chain must hold."""
    ledger = Ledger(crossing.state)
    try:
        assert ledger.broken_at() is None
        return list(ledger.records())
    finally:
        ledger.close()


def refused(crossing: Crossing) -> list[str]:
    """Return the reasons of the refusals, for each of which something lies in quarantine."""
    found = [row for row in records(crossing) if row["act"] == "REFUSED"]
    kept = waiting(crossing.state / "refused")
    assert [f"{row['number']:08d}-{row['file']}" for row in found] == kept
    return [row["reason"] for row in found]


def test_a_declared_message_passes_as_it_was_written(crossing: Crossing, relay: GapRelay) -> None:
    """The other side finds the very bytes, and the record says task, tag and size."""
    written = crossing.outer.say("enc", b"p" * 1000)
    content = written.read_bytes()
    relay.step()
    assert not written.exists()
    (name,) = crossing.inner.found()
    assert (crossing.inner.folder / "in" / name).read_bytes() == content
    row = records(crossing)[-1]
    assert (row["act"], row["operation"], row["job"]) == ("ADMITTED", "chanInvoke", JOB)
    assert row["messages"] == [{"task": "psi_0", "tag": "enc", "count": 1, "bytes": 1000}]


def test_a_stream_of_frames_passes_and_is_recorded_by_tag(crossing: Crossing, relay: GapRelay) -> None:
    """However the messages are cut, the record counts messages and bytes of each tag."""
    written = crossing.outer.stream(("enc", b"p" * 2500), ("dual.enc", b"q" * 10), ("enc", b""))
    content = written.read_bytes()
    relay.step()
    (name,) = crossing.inner.found()
    assert (crossing.inner.folder / "in" / name).read_bytes() == content
    counts = {row["tag"]: (row["count"], row["bytes"]) for row in records(crossing)[-1]["messages"]}
    assert counts == {"enc": (2, 2500), "dual.enc": (1, 10)}


BAD: dict[str, tuple[str, Callable[[Crossing], Any]]] = {
    "kind": ("KIND", lambda c: c.outer.say("raw.rows")),
    "topic without tag": ("KIND", lambda c: c.outer.say("", topic="guest.0->host.0:raw")),
    "other task": ("NOT_RUNNING", lambda c: c.outer.say("", topic=f"guest.0->host.0:{OTHER_TASK}.1/enc")),
    "other session": ("NOT_RUNNING", lambda c: c.outer.say("enc", session="session_job-1")),
    "other party": ("PARTIES", lambda c: c.inner.say("enc")),
    "too large": ("MESSAGE_TOO_LARGE", lambda c: c.outer.say("enc", bytes(1024 * 1024 + 1))),
    "larger than declared": ("MESSAGE_TOO_LARGE", lambda c: c.outer.say("Handshake", bytes(65537))),
    "kind in a stream": ("KIND", lambda c: c.outer.stream(("enc", b"x"), ("raw.rows", b"x"))),
    "too large in pieces": ("MESSAGE_TOO_LARGE", lambda c: c.outer.stream(("Handshake", bytes(65537)))),
    "stream cut short": ("BODY", lambda c: c.outer.stream(("enc", b"p" * 2500), cut_at=2500)),
    "smuggled field": ("BODY", lambda c: c.outer.say("enc", after=b"\x1a\x06secret")),
    "smuggled metadata": ("BODY", lambda c: c.outer.say("enc", metadata={"note": "secret"})),
    "long metadata": ("BODY", lambda c: c.outer.say("enc", metadata={frames.CODE: "0" * 513})),
    "bare": ("BODY", lambda c: c.outer.say("enc", headers={"x-ptp-version": "1"})),
    "replayed": ("REPLAYED", lambda c: c.outer.say("enc", sequence=1)),
    "foreign key": ("SIGNATURE", lambda c: c.outer.say("enc", key=PrivateKey.generate(SUITE))),
    "foreign sender": ("PARTIES", lambda c: c.outer.say("enc", sender="node-x")),
    "component's operation": (
        "OPERATION",
        lambda c: c.outer.put(b"x", method="POST", path="/v1/interconn/chan/push", query=""),
    ),
    "body off schema": ("BODY", lambda c: c.outer.ask("jobStart", {"job": 1})),
    "body no JSON": (
        "BODY",
        lambda c: c.outer.put(b"{", method="POST", path="/v1/interconn/schedule/job/start", query=""),
    ),
    "body with GET": ("BODY", lambda c: c.outer.put(b"x", method="GET", path="/v1/interconn/node/health", query="")),
    "answer to nothing": ("UNASKED", lambda c: c.outer.put(b"{}", kind="answer", answers="0" * 32, status=200)),
    "other header": ("FORMAT", lambda c: c.outer.say("enc", headers={"x-note": "secret"})),
    "own answer": ("UNASKED", lambda c: c.outer.put(b"{}", kind="answer", answers=asked(c), status=200)),
}


def asked(crossing: Crossing) -> str:
    """Ask something and return the id of the request, which its own side then answers."""
    with GapFile.open(crossing.outer.ask("nodeHealth")) as file:
        return file.head.id


@pytest.mark.parametrize("case", BAD)
def test_what_may_not_pass_is_put_away_with_its_reason(crossing: Crossing, relay: GapRelay, case: str) -> None:
    """Nothing but what was rightly asked on the way reaches the other side; quarantine and evidence have the file."""
    reason, write = BAD[case]
    write(crossing)
    relay.step()
    assert refused(crossing) == [reason]
    passed = [name for name in crossing.inner.found() if name.endswith(".gap")]
    assert len(passed) == (case == "own answer")
    assert waiting(crossing.outer.folder / "out") == waiting(crossing.inner.folder / "out") == []


def test_who_sent_what_is_refused_is_told_at_once(crossing: Crossing, relay: GapRelay) -> None:
    """The notice bears the id of the request; one that may pass later is named so that the sender tries again."""
    crossing.outer.say("raw.rows")
    crossing.outer.say("", topic=f"guest.0->host.0:{OTHER_TASK}.1/enc")
    relay.step()
    said = [json.loads((crossing.outer.folder / "in" / name).read_text()) for name in crossing.outer.found()]
    assert sorted(row["error"] for row in said) == ["GAP_REFUSED", "SESSION_NOT_FOUND"]


def test_a_file_that_was_changed_anywhere_does_not_pass(crossing: Crossing, relay: GapRelay) -> None:
    """Whichever byte of body, head, signature or tail is another, the file is put away."""
    size = crossing.outer.say("enc", b"p" * 10).stat().st_size
    relay.step()
    for at in range(0, size, 5):
        written = crossing.outer.say("enc", b"p" * 10)
        content = bytearray(written.read_bytes())
        content[min(at, len(content) - 1)] ^= 1
        written.write_bytes(content)
        relay.step()
    assert len(crossing.inner.found()) == 1
    assert set(refused(crossing)) == {"FORMAT", "SIGNATURE"}
    assert len(refused(crossing)) == len(range(0, size, 5))


def test_a_file_that_has_passed_does_not_pass_again(crossing: Crossing, relay: GapRelay) -> None:
    """Put back byte by byte, at once or after a restart, it is refused as replayed."""
    written = crossing.outer.say("enc")
    content = written.read_bytes()
    relay.step()
    later = crossing.outer.say("enc")
    relay.step()
    assert not later.exists()
    for _ in range(2):
        written.write_bytes(content)
        relay.step()
    assert refused(crossing) == ["REPLAYED", "REPLAYED"]
    assert len(crossing.inner.found()) == 2


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "name"])
def test_what_is_no_file_is_put_away_unopened(crossing: Crossing, relay: GapRelay, kind: str) -> None:
    """A link to something else, a pipe that would block, a folder and a stray name are all refused."""
    place = crossing.outer.folder / "out" / f"{7:016d}.request.gap"
    match kind:
        case "link":
            place.symlink_to(crossing.folder / "gap.toml")
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case _:
            place.with_name("letter.txt").write_text("hello")
    relay.step()
    assert refused(crossing) == ["FORMAT"]
    assert crossing.inner.found() == []


@pytest.mark.parametrize("name", [b"\xff\xfe.request.gap", "摆".encode() * 80, b"a\nb", b"%2e%2e%2fx.request.gap"])
def test_a_name_of_whatever_bytes_is_put_away(crossing: Crossing, relay: GapRelay, name: bytes) -> None:
    """Neither bytes that are no UTF-8 nor a name as long as a folder takes it stop the relay."""
    (crossing.outer.folder / "out" / os.fsdecode(name)).write_bytes(b"x")
    crossing.outer.say("enc")
    relay.step()
    assert refused(crossing) == ["FORMAT"]
    assert len(crossing.inner.found()) == 1


def test_a_session_carries_no_more_than_the_policy_lets_it(crossing: Crossing, relay: GapRelay) -> None:
    """Of five messages of half a MiB the session's two MiB take three with their frames."""
    for _ in range(5):
        crossing.outer.say("enc", bytes(512 * 1024))
    relay.step()
    assert refused(crossing) == ["SESSION_TOO_LARGE"] * 2


def test_nothing_passes_for_a_component_that_was_stopped(crossing: Crossing, relay: GapRelay) -> None:
    """After the job's stop its messages are refused, after a new start of the task they pass."""
    crossing.outer.ask("jobStop", {"job_id": JOB})
    crossing.outer.say("enc")
    relay.step()
    assert refused(crossing) == ["NOT_RUNNING"]


def test_a_job_counts_only_once_the_other_side_has_agreed(crossing: Crossing) -> None:
    """Refused by the other side it admits no message."""
    with crossing.relay() as relay:
        agree_refused = b'{"code":403,"msg":"no","data":{}}'
        agree(crossing, _Refusing(relay, crossing, agree_refused))  # type: ignore[arg-type]
        crossing.outer.say("enc")
        relay.step()
    assert refused(crossing) == ["NOT_RUNNING"]


class _Refusing:
    """A relay whose far node refuses the first request."""

    def __init__(self, relay: GapRelay, crossing: Crossing, body: bytes) -> None:
        self._relay, self._crossing, self._body = relay, crossing, body

    def step(self) -> bool:
        moved = self._relay.step()
        if self._body:
            self._crossing.inner.answer(self._body)
            self._body = b""
        return moved


def test_killed_at_any_moment_a_relay_goes_on_without_loss_or_doubling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before or after each write, rename and removal in turn, the next relay passes each file exactly once."""
    for moment in range(40):
        crossing = Crossing(tmp_path / str(moment))
        with crossing.relay() as relay:
            agree(crossing, relay)
        sent = [crossing.outer.say("enc", bytes([at])).name for at in range(2)]
        left = moment
        with monkeypatch.context() as patched:

            def _dies(real: Callable[..., Any]) -> Callable[..., Any]:
                def _call(*given: Any, **named: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left == -1:
                        raise _Killed
                    found = real(*given, **named)
                    left -= 1
                    if left == -1:
                        raise _Killed
                    return found

                return _call

            for owner, name in ((Ledger, "settle"), (Path, "rename"), (Path, "unlink"), (os, "fsync")):
                patched.setattr(owner, name, _dies(getattr(owner, name)))
            over = _run_until_killed(crossing)
        with crossing.relay() as relay:
            relay.step()
        assert crossing.inner.found() == sent, moment
        assert refused(crossing) == []
        admitted = [row["sequence"] for row in records(crossing) if row["act"] == "ADMITTED" and row["from"] == "outer"]
        assert len(admitted) == len(set(admitted))
        shutil.rmtree(crossing.folder)
        if over:
            assert moment > 20  # two files, each with several writes
            return
    pytest.fail("there are more moments than were tried")


class _Killed(BaseException):
    """The end of a process, as far as one process can play it."""


def _run_until_killed(crossing: Crossing) -> bool:
    """Run a relay; return whether it came through."""
    relay = crossing.relay()
    try:
        relay._recover()
        relay.step()
    except _Killed:
        return False
    finally:
        relay._ledger.close()
        relay._lock.close()
    return True


@pytest.mark.usefixtures("relay")
def test_evidence_that_was_changed_shows_where(crossing: Crossing) -> None:
    """A record that is changed or left out breaks the chain at its number."""
    ledger = Ledger(crossing.state)
    ledger._db.execute("UPDATE evidence SET record = replace(record, 'ADMITTED', 'REFUSED') WHERE number = 3")
    assert ledger.broken_at() == 3
    ledger._db.execute("DELETE FROM evidence WHERE number = 2")
    assert ledger.broken_at() == 2
    ledger.close()


@pytest.mark.usefixtures("relay")
def test_a_state_folder_has_one_relay(crossing: Crossing) -> None:
    """A second one is refused while the first lives."""
    with pytest.raises(ConfigError, match="another relay"):
        crossing.relay()


def test_no_more_files_pass_in_a_second_than_the_policy_says() -> None:
    """A second's worth at once, then as time goes by."""
    times = [0.0]
    pace = Pace(3, lambda: times[0])
    assert [pace.spend() for _ in range(4)] == [True, True, True, False]
    times[0] = 0.5
    assert [pace.spend() for _ in range(2)] == [True, False]


def test_quarantine_keeps_the_latest_only(tmp_path: Path) -> None:
    """What is beyond the policy's number makes room; the evidence stays."""
    crossing = Crossing(tmp_path, {"refused_kept": 2})
    with crossing.relay() as relay:
        for at in range(4):
            (crossing.outer.folder / "out" / f"{at}.txt").write_text("x")
        relay.step()
    assert [name.rpartition("-")[2] for name in waiting(crossing.state / "refused")] == ["2.txt", "3.txt"]
    assert len([row for row in records(crossing) if row["act"] == "REFUSED"]) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"\[outer\] has node_id and key"),
        ("[limit]\n", "limit is no key"),
        ("[limits]\nmessage_mib = 0\n", "limits.message_mib = 0"),
        ('operations = ["chanPush"]\n', "operations: chanPush"),
        ('components = ["none.json"]\n', "none.json is no self-description"),
        ("[", "gap.toml"),
    ],
)
def test_a_policy_that_does_not_fit_is_named(crossing: Crossing, text: str, words: str) -> None:
    """A missing side, an unknown key, a bound out of range and an operation of components are errors, not defaults."""
    path = crossing.folder / "gap.toml"
    path.write_text(text + (path.read_text() if text and "limit" not in text and text != "[" else ""))
    if "limits" in text:
        path.write_text(text + path.read_text().partition("[limits]")[0])
    with pytest.raises(ConfigError, match=words):
        crossing.policy()


def test_a_policy_narrows_the_operations(crossing: Crossing) -> None:
    """Of the management plane only what it names may pass."""
    path = crossing.folder / "gap.toml"
    path.write_text('operations = ["nodeHealth"]\n' + path.read_text())
    with crossing.relay() as relay:
        crossing.outer.ask("nodeHealth")
        crossing.outer.ask("projectList")
        relay.step()
    assert refused(crossing) == ["OPERATION"]
    assert len(crossing.inner.found()) == 1


def test_a_file_that_shrinks_while_it_is_read_is_bad(crossing: Crossing) -> None:
    """Its reader says so and does not wait for the rest."""
    path = crossing.outer.say("enc", b"p" * 5000)
    with GapFile.open(path) as file:
        os.truncate(path, 100)
        with pytest.raises(GapFileBad, match="shorter"):
            list(file.pieces())


def test_answers_pass_once(crossing: Crossing, relay: GapRelay) -> None:
    """A second answer to the same request is refused."""
    request = asked(crossing)
    relay.step()
    health = json.dumps({"code": 0, "msg": "ok", "data": {"status": "UP"}}).encode()
    refusal = b'{"code":503,"msg":"no","data":{}}'
    for body in (refusal, health):
        crossing.inner.put(body, kind="answer", answers=request, status=503)
    relay.step()
    assert refused(crossing) == ["UNASKED"]
    turn(crossing, relay)
