"""Queues of one session: order, repetition, gaps, room, release."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.errors import Refusal
from reference_node.transport.channels import WINDOW, Counters, Mailbox
from reference_node.transport.spool import Spool

MIB = 1024 * 1024


def spool() -> Spool:
    """Return a spool in memory."""
    return Spool(None, memory=MIB, inline=MIB)


def test_messages_leave_in_the_order_of_arrival() -> None:
    """A topic is a queue, and topics do not mix."""
    mailbox, store = Mailbox(quota=MIB), spool()
    for topic, data in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        mailbox.put(topic, store.keep(data), timeout=0)
    taken = [mailbox.pop(topic, 0) for topic in ("a", "a", "b", "a")]
    assert [payload and payload.read() for payload in taken] == [b"1", b"3", b"2", None]


@given(st.lists(st.integers(0, 12), max_size=60))
def test_each_number_leaves_once_and_in_order(numbers: list[int]) -> None:
    """However messages are repeated and reordered, what leaves is 0, 1, 2 ... up to the first gap."""
    mailbox, store = Mailbox(quota=MIB), spool()
    for number in numbers:
        mailbox.put("t", store.keep(b"%d" % number), timeout=0, source="n", sequence=number)
    left = []
    while (payload := mailbox.pop("t", 0)) is not None:
        left.append(int(payload.read()))
        payload.discard()
    gap = next(number for number in range(14) if number not in numbers)
    assert left == list(range(gap))


def test_numbers_of_two_senders_are_their_own() -> None:
    """Two nodes that number the same topic do not suppress each other."""
    mailbox, store = Mailbox(quota=MIB), spool()
    assert all(mailbox.put("t", store.keep(b"x"), timeout=0, source=who, sequence=0) for who in ("n", "m"))


def test_what_is_too_far_ahead_is_refused_with_the_number_expected() -> None:
    """Beyond the window a message is refused, and nothing of it is kept."""
    mailbox, store = Mailbox(quota=MIB), spool()
    mailbox.put("t", store.keep(b"x"), timeout=0, source="n", sequence=0)
    with pytest.raises(Refusal) as refused:
        mailbox.put("t", store.keep(b"far"), timeout=0, source="n", sequence=WINDOW + 2)
    assert (refused.value.name, refused.value.extra, store.used) == ("SEQUENCE_AHEAD", {"expected": 1}, 1)


def test_above_the_quota_a_message_waits_for_room() -> None:
    """A full queue refuses at once without patience, and admits as soon as somebody takes a message."""
    counters = Counters()
    mailbox, store = Mailbox(quota=10, counters=counters), spool()
    mailbox.put("t", store.keep(b"x" * 8), timeout=0)
    with pytest.raises(Refusal, match="QUEUE_FULL"):
        mailbox.put("t", store.keep(b"y" * 8), timeout=0)
    late = threading.Thread(target=lambda: mailbox.put("t", store.keep(b"z" * 8), timeout=10))
    late.start()
    first, second = mailbox.pop("t", 10), mailbox.pop("t", 10)
    late.join()
    assert first is not None
    assert second is not None
    assert (first.read(), second.read(), counters.refused_full) == (b"x" * 8, b"z" * 8, 1)


def test_the_message_that_fills_a_gap_is_let_in_above_the_quota() -> None:
    """A quota full of early messages does not keep out the one that they wait for."""
    mailbox, store = Mailbox(quota=10), spool()
    mailbox.put("t", store.keep(b"1" * 10), timeout=0, source="n", sequence=1)
    mailbox.put("t", store.keep(b"0" * 10), timeout=0, source="n", sequence=0)
    first = mailbox.pop("t", 0)
    assert first is not None
    assert first.read() == b"0" * 10


def test_who_waits_is_woken_by_the_end_of_the_session() -> None:
    """A pop that waits when the session is closed is refused instead of waiting on."""
    mailbox = Mailbox(quota=MIB)
    heard: list[str] = []

    def wait() -> None:
        try:
            mailbox.pop("t", 30)
        except Refusal as refused:
            heard.append(refused.name)

    thread = threading.Thread(target=wait)
    thread.start()
    mailbox.close()
    thread.join(timeout=10)
    assert heard == ["SESSION_NOT_FOUND"]


def test_a_peek_leaves_the_message() -> None:
    """What was looked at is still there, and discarding the copy does not take it away."""
    mailbox, store = Mailbox(quota=MIB), spool()
    mailbox.put("t", store.keep(b"x"), timeout=0)
    copy = mailbox.peek("t")
    assert copy is not None
    copy.discard()
    taken = mailbox.pop("t", 0)
    assert taken is not None
    assert (taken.read(), mailbox.peek("t")) == (b"x", None)


def test_a_release_drops_one_topic_or_all(tmp_path: Path) -> None:
    """Released messages are gone, their files and memory too, and the other topic stays."""
    store = Spool(tmp_path / "spool", memory=4, inline=4)
    mailbox = Mailbox(quota=MIB)
    for topic in ("a", "a", "b"):
        mailbox.put(topic, store.keep(b"in a file"), timeout=0)
    assert (mailbox.release("a"), len(list((tmp_path / "spool").iterdir()))) == (2, 1)
    assert (mailbox.release(), list((tmp_path / "spool").iterdir()), mailbox.size) == (1, [], 0)


def test_a_late_repetition_after_a_release_is_dropped() -> None:
    """What was released does not come back by a retry of its sender."""
    mailbox, store = Mailbox(quota=MIB), spool()
    mailbox.put("t", store.keep(b"x"), timeout=0, source="n", sequence=0)
    mailbox.release("t")
    assert mailbox.put("t", store.keep(b"x"), timeout=0, source="n", sequence=0) is False
    assert store.used == 0


def test_memory_is_bounded_and_files_go(tmp_path: Path) -> None:
    """Beyond the memory limit payloads lie in files, read back whole, and their files go when they are discarded."""
    store = Spool(tmp_path / "spool", memory=100, inline=60)
    payloads = [store.keep(bytes([number]) * 50) for number in range(5)]
    assert (store.used, store.spilled) == (100, 3)
    assert [payload.read() for payload in payloads] == [bytes([number]) * 50 for number in range(5)]
    for payload in payloads:
        payload.discard()
        payload.discard()
    assert (store.used, list((tmp_path / "spool").iterdir())) == (0, [])


def test_files_of_an_earlier_process_are_swept_away(tmp_path: Path) -> None:
    """A spool that is opened again starts empty."""
    Spool(tmp_path / "spool", memory=1, inline=1).keep(b"left behind")
    assert len(list((tmp_path / "spool").iterdir())) == 1
    Spool(tmp_path / "spool", memory=1, inline=1)
    assert not (tmp_path / "spool").exists()
