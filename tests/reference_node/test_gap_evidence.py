"""The relay's evidence by itself (9.2-h): whatever is changed in an export shows, and only the relay makes one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reference_node.errors import ConfigError
from reference_node.gap import evidence
from reference_node.gap.files import SUITE
from reference_node.gap.ledger import Ledger
from reference_node.security.keys import PrivateKey
from tests.reference_node.gapping import Crossing


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a relay that has passed one file and refused another."""
    crossing = Crossing(tmp_path)
    with crossing.relay() as relay:
        crossing.outer.ask("nodeHealth")
        crossing.outer.ask("nodeHealth", sender="node-x")
        relay.step()
    return crossing.state


def export(state: Path) -> tuple[bytes, PrivateKey]:
    """Return an export and the relay's key."""
    ledger = Ledger(state)
    try:
        return "".join(f"{line}\n" for line in ledger.exported(7)).encode(), ledger.key
    finally:
        ledger.close()


def test_an_export_holds_every_record_and_verifies(state: Path) -> None:
    """Start, passage, refusal and end are in it, each signed, and the last line is the relay's."""
    content, key = export(state)
    assert evidence.verified(content, key.public) == evidence.Verified(4, ())
    assert evidence.relay_of(content) == key.public
    acts = [json.loads(line).get("act") for line in content.splitlines()]
    assert acts == ["STARTED", "ADMITTED", "REFUSED", "STOPPED", None]


def test_every_changed_byte_of_an_export_is_found(state: Path) -> None:
    """Sampled over the whole of it, one bit at a time: there is no byte that may be another."""
    content, key = export(state)
    for at in range(0, len(content), 7):
        for bit in (1, 32):
            changed = bytearray(content)
            changed[at] ^= bit
            assert evidence.verified(bytes(changed), key.public).wrong, (at, content[max(0, at - 20) : at + 20])


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a record left out": lambda lines: [lines[0], *lines[2:]],
    "two records exchanged": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a record twice": lambda lines: [lines[0], *lines],
    "the end cut off": lambda lines: lines[:-1],
    "the last record cut off": lambda lines: [*lines[:-2], lines[-1]],
    "nothing left": lambda _lines: [],
    "an empty line": lambda lines: [*lines, b""],
    "another spelling": lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_lines_that_were_moved_show(state: Path, change: str) -> None:
    """However the lines of an export are rearranged, it verifies no longer."""
    content, key = export(state)
    changed = b"".join(line + b"\n" for line in CHANGES[change](content.splitlines()))
    assert evidence.verified(changed, key.public).wrong


def test_an_export_that_somebody_else_has_made_is_none_of_the_relays(state: Path) -> None:
    """Chained and signed anew by another key it holds by itself, and not by the relay's key."""
    content, key = export(state)
    other, previous, lines = PrivateKey.generate(SUITE), evidence.FIRST, []
    for number, line in enumerate(content.splitlines()[:-1], start=1):
        record = json.loads(line)
        text = evidence.spelled({name: record[name] for name in record.keys() - {"number", "chain", "signature"}})
        row = evidence.sealed(other, number, text.replace("node-x", "node-y"), previous)
        previous = row.digest
        lines.append(evidence.spelled(evidence.shown(row)))
    lines.append(evidence.spelled(evidence.ended(other, len(lines), previous, 7)))
    forged = "".join(f"{line}\n" for line in lines).encode()
    assert evidence.verified(forged, other.public).wrong == ()
    assert len(evidence.verified(forged, key.public).wrong) == 5


@pytest.mark.parametrize("column", ["record", "digest", "signature"])
def test_every_changed_byte_of_the_database_is_found(state: Path, column: str) -> None:
    """Whichever character of a record, of its digest or its signature is another, the record's number is named."""
    ledger = Ledger(state)
    (kept,) = ledger._db.execute(f"SELECT {column} FROM evidence WHERE number = 2").fetchone()
    for at in range(0, len(kept), 5):
        changed = kept[:at] + ("b" if kept[at] == "a" else "a") + kept[at + 1 :]
        ledger._db.execute(f"UPDATE evidence SET {column} = ? WHERE number = 2", (changed,))
        assert ledger.broken_at() == 2
    ledger._db.execute(f"UPDATE evidence SET {column} = ? WHERE number = 2", (kept,))
    assert ledger.broken_at() is None
    ledger.close()


def test_a_relay_keeps_its_key_and_its_owner_alone_can_read_it(state: Path) -> None:
    """The next start signs with the same key; one that is not a key, or open to others, is refused by name."""
    path = state / "relay-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert evidence.relay_key(state).public.pem == (state / "relay.pem").read_text()
    assert evidence.relay_key(state).public == evidence.relay_key(state).public
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="relay-key"):
        evidence.relay_key(state)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(ConfigError, match="relay-key"):
        evidence.relay_key(state)


def test_a_state_without_signatures_is_refused(state: Path) -> None:
    """Records of a relay that did not sign are not taken over as if they were signed."""
    ledger = Ledger(state)
    ledger._db.execute("ALTER TABLE evidence DROP COLUMN signature")
    ledger.close()
    with pytest.raises(ConfigError, match="did not sign"):
        Ledger(state)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[]\n{}\n", b"\xff\n", b'{"relay":1}\n'])
def test_what_is_no_export_is_said_so(state: Path, content: Any) -> None:
    """It is wrong and names no key, and is never another failure."""
    key = evidence.relay_key(state)
    assert evidence.verified(content, key.public).wrong
    with pytest.raises(ConfigError, match="no key of a relay"):
        evidence.relay_of(content)
