"""The suite at a relay (9.2-h): how a profile names it, what the harness says of it, and that the defects show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance import demo
from conformance.harness import gap_files, signing
from conformance.harness.clock import SystemClock
from conformance.harness.errors import Undrivable, UsageError
from conformance.harness.gap_files import Bent
from conformance.harness.gap_relay import RelayEnds, records
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import RelayPlace
from conformance.selftest import relaying
from reference_node.gap.evidence import ended, sealed, shown, spelled
from reference_node.gap.files import SUITE, GapFile
from reference_node.security.keys import PrivateKey

RELAY: dict[str, Any] = {
    "outer": "o",
    "inner": "i",
    "outer_id": "node-out",
    "inner_id": "node-in",
    "outer_key": "o.pem",
    "inner_key": "i.pem",
    "session_mib": 2,
}


def profile(**relay: Any) -> RelayPlace | None:
    """Read a profile with such a section."""
    target = {"url": "http://127.0.0.1:9", "node_id": "node-t"}
    return parse_profile({"target": target, "gap": {"relay": relay}}, "lab/p.toml").relay


def test_the_profile_names_a_relay() -> None:
    """Folders and files count from the profile's; without the target's own link it has a relay all the same."""
    place = profile(**RELAY, evidence=["export"], key="r.pem")
    assert place is not None
    assert (place.outer, place.inner_key, place.key) == (Path("lab/o"), Path("lab/i.pem"), Path("lab/r.pem"))
    assert (place.session_mib, place.evidence, place.evidence_file) == (2, ("export",), None)
    assert profile() is None


@pytest.mark.parametrize("missing", RELAY)
def test_a_relay_without_one_of_its_keys_is_said_so(missing: str) -> None:
    """The key that is not there is named."""
    with pytest.raises(UsageError, match=missing):
        profile(**{name: value for name, value in RELAY.items() if name != missing})


@pytest.mark.parametrize("wrong", [{"outer_id": "a/b"}, {"session_mib": 0}, {"evidence": ["x"], "evidence_file": "y"}])
def test_a_relay_with_a_value_that_does_not_fit_is_said_so(wrong: dict[str, Any]) -> None:
    """An id that is none, a bound that is none, and evidence in two ways are refused."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        profile(**{**RELAY, **wrong})


def test_what_the_harness_writes_is_what_a_node_reads(tmp_path: Path) -> None:
    """A file of the harness's opens at the node with its head and signature, under the name that belongs to it."""
    ends = RelayEnds(relaying.place(tmp_path), SystemClock())
    outer, _inner = ends.open()
    fields = {"kind": "request", "method": "GET", "path": "/v1/interconn/node/health", "query": ""}
    sent = outer.put(fields, b"body")
    with GapFile.open(tmp_path / "outer" / "out" / sent.name) as file:
        file.check_signature(PrivateKey.from_pem((tmp_path / "outer-key.pem").read_text()).public)
        assert (b"".join(file.pieces()), file.head.id) == (b"body", sent.id)
    unsigned = gap_files.apart(outer.made(fields, b"", Bent(unsigned=True)).content)
    assert unsigned is not None
    assert unsigned.signature == b""


def test_what_is_no_place_of_a_relay_is_said_so(tmp_path: Path) -> None:
    """Folders that are not there and keys that are none end the scenario as not testable."""
    place = relaying.place(tmp_path)
    (tmp_path / "inner-key.pem").write_text("no key")
    with pytest.raises(Undrivable, match="inner_key"):
        RelayEnds(place, SystemClock()).open()
    (tmp_path / "outer" / "in").rmdir()
    with pytest.raises(Undrivable, match=r"gap\.relay\.outer"):
        RelayEnds(place, SystemClock()).open()


def exported(*records_: dict[str, Any], key: PrivateKey) -> list[str]:
    """Return the lines of an export."""
    rows = []
    for number, record in enumerate(records_, start=1):
        previous = rows[-1].digest if rows else "0" * 64
        rows.append(sealed(key, number, spelled(record), previous))
    return [spelled(shown(row)) for row in rows] + [spelled(ended(key, len(rows), rows[-1].digest, 1))]


def test_the_harness_reads_evidence_by_its_own_hands() -> None:
    """It finds every record whole and signed; one that is changed, and those signed by another key, are marked."""
    key = PrivateKey.generate(SUITE)
    ours = signing.PublicKey.from_credential("SM3_SM2", key.public.pem)
    lines = exported(*({"act": "ADMITTED", "id": str(at), "file": "摆渡"} for at in range(5)), key=key)
    good = records("\n".join(lines).encode(), ours, 3)
    assert [(row["number"], row["whole"], row["signed"]) for row in good] == [(n, True, True) for n in (3, 4, 5)]
    lines[0] = lines[0].replace("ADMITTED", "REFUSED")
    assert [(row["number"], row["whole"]) for row in records("\n".join(lines).encode(), ours, 1)] == [
        (1, False),
        (5, True),
    ]
    other = signing.Key.generate("SM3_SM2").public
    assert not any(row["signed"] for row in records("\n".join(lines).encode(), other, 5))
    assert records(b"\xff\n{}\n[]\n", ours, 5) == []


@pytest.mark.slow
def test_a_relay_runs_beside_the_demonstration(tmp_path: Path) -> None:
    """It is ready when its section of the profile is handed out, exports its evidence, and ends with the block."""
    with demo.relay(tmp_path / "relay") as section:
        place = profile(**section)
        assert place is not None
        assert place.key is not None
        export = RelayEnds(place, SystemClock()).evidence()
        assert export is not None
        assert json.loads(export.splitlines()[0])["act"] == "STARTED"
        assert place.key.is_file()
