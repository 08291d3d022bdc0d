"""A relay between two nodes that the harness plays: what is laid down on one side, and what comes out on the other.

The profile's `[gap.relay]` names the folders of both links and the keys that the relay knows as those of the nodes
(9.2-h). Guarantees: both folders are empty when a scenario begins; what arrives is read whole, noted by its name and
bytes and taken away; a marker that arrives shows that the relay has dealt with what its side wrote before, so nothing
waits for what must not come longer than for what must.
"""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conformance.harness import gap_files, signing
from conformance.harness.clock import Clock, eventually
from conformance.harness.errors import Undrivable
from conformance.harness.gap_files import Bent
from conformance.harness.profile_model import RelayPlace
from conformance.harness.sm2 import sm3

FIRST: Final = "0" * 64
_SECONDS: Final = 60
_OF_CHAIN: Final = ("number", "chain", "signature")


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as it was laid down."""

    id: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file as it came out: the id in its head where it has one, or in its name where it is a notice."""

    id: str
    name: str
    content: bytes


@dataclass(slots=True)
class End:
    """One node of the two: writes into `out` of its link, takes from `in`."""

    side: str
    folder: Path
    node_id: str
    other_id: str
    key: signing.Key
    numbers: Iterator[int]
    now_ms: Callable[[], int]
    found: list[Arrived] = field(default_factory=list)

    def made(self, fields: Mapping[str, Any], body: bytes = b"", bent: Bent | None = None) -> Sent:
        """Return a file as `bent` has it, without laying it down."""
        head = {
            "sequence": next(self.numbers),
            "id": secrets.token_hex(16),
            "sender": self.node_id,
            "receiver": self.other_id,
            "time": self.now_ms(),
            "headers": {},
            **fields,
        }
        bend = bent or Bent()
        head = gap_files.described({**head, **bend.head}, body)
        content = gap_files.written(head, body, self.key, bend)
        name = gap_files.name_of(head)
        return Sent(str(head["id"]), f".{name}" if bend.draft else name, content)

    def put(self, fields: Mapping[str, Any], body: bytes = b"", bent: Bent | None = None) -> Sent:
        """Lay a file down."""
        sent = self.made(fields, body, bent)
        self.lay(sent.name, sent.content)
        return sent

    def lay(self, name: str, content: bytes) -> None:
        """Lay bytes down under a name."""
        draft = self.folder / "out" / f".{secrets.token_hex(8)}.part"
        draft.write_bytes(content)
        draft.rename(self.folder / "out" / name)

    def link(self, name: str, place: Path) -> None:
        """Lay a link to another place down."""
        (self.folder / "out" / name).symlink_to(place)

    def arrived(self) -> list[Arrived]:
        """Take what has come; return all that came since the beginning."""
        for path in sorted((self.folder / "in").glob("[!.]*")):
            content = path.read_bytes()
            parts = gap_files.apart(content)
            identity = path.stem if path.suffix == ".refused" else str(parts.head.get("id")) if parts else ""
            self.found.append(Arrived(identity, path.name, content))
            path.unlink()
        return self.found

    def left(self) -> list[str]:
        """Return the names of what still lies in `out`, drafts among them."""
        return sorted(path.name for path in (self.folder / "out").iterdir())

    def clear(self) -> None:
        """Leave nothing in the folders."""
        for name in ("in", "out"):
            for path in (self.folder / name).iterdir():
                path.unlink()
        self.found = []


class RelayEnds:
    """Both nodes of a relay under test; scenarios that play them run alone."""

    def __init__(self, place: RelayPlace, clock: Clock, evidence: Callable[[], bytes] | None = None) -> None:
        self.place = place
        self.clock = clock
        self._evidence = evidence

    def open(self) -> tuple[End, End]:
        """Begin anew with empty folders; return the outer and the inner node."""
        ends = []
        for side, folder, own, other, file in (
            ("outer", self.place.outer, self.place.outer_id, self.place.inner_id, self.place.outer_key),
            ("inner", self.place.inner, self.place.inner_id, self.place.outer_id, self.place.inner_key),
        ):
            if not (folder / "in").is_dir() or not (folder / "out").is_dir():
                raise Undrivable(f"profile: gap.relay.{side} has no folders in and out: {folder}")
            try:
                key = signing.Key.of_sm2(file.read_text(encoding="ascii"))
            except (OSError, ValueError) as wrong:
                raise Undrivable(f"profile: gap.relay.{side}_key cannot be read: {wrong}") from wrong
            numbers = itertools.count(self.clock.now_ms() * 1000)
            ends.append(End(side, folder, own, other, key, numbers, self.clock.now_ms))
            ends[-1].clear()
        return ends[0], ends[1]

    def came(self, end: End, sent: Sent, seconds: float) -> Arrived | None:
        """Wait until a file has come out at this end."""

        def probe() -> Arrived | None:
            return next((row for row in end.arrived() if row.id == sent.id), None)

        return eventually(probe, within=seconds, clock=self.clock)

    def around(self) -> list[str]:
        """Return what lies in and above the links' folders apart from `in` and `out`: where nothing may appear."""
        places = {self.place.outer, self.place.inner, self.place.outer.parent, self.place.inner.parent}
        return sorted({str(path) for place in places for path in place.iterdir()})

    def evidence(self) -> bytes | None:
        """Return the export of the relay's evidence; None where the profile names none."""
        if self._evidence is not None:
            return self._evidence()
        try:
            if self.place.evidence:
                done = subprocess.run(self.place.evidence, capture_output=True, timeout=_SECONDS, check=False)
                return done.stdout
            return self.place.evidence_file.read_bytes() if self.place.evidence_file else None
        except (OSError, subprocess.SubprocessError) as failure:
            raise Undrivable(f"profile: gap.relay.evidence failed: {type(failure).__name__}") from failure

    def relay_key(self) -> signing.PublicKey | None:
        """Return the relay's key; None where the profile names none."""
        if self.place.key is None:
            return None
        try:
            credential = self.place.key.read_text(encoding="ascii")
            return signing.PublicKey.from_credential(signing.AuthType.SM3_SM2, credential)
        except (OSError, ValueError) as wrong:
            raise Undrivable(f"profile: gap.relay.key cannot be read: {wrong}") from wrong


def records(export: bytes, key: signing.PublicKey | None, most: int) -> list[dict[str, Any]]:
    """Return the latest records, each with `whole` (its digest covers that of the one before) and `signed` by the key.

    All of them are read for `whole`: the first that is not stands in the place of the latest before it.
    """
    found: list[dict[str, Any]] = []
    previous = FIRST
    for row in filter(lambda row: "chain" in row, map(_read, export.splitlines())):
        record = {name: value for name, value in row.items() if name not in _OF_CHAIN}
        text = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        whole = sm3(f"{previous}\n{text}".encode("utf-8", "surrogatepass")).hex() == row["chain"]
        previous = str(row["chain"])
        found.append({**row, "whole": whole})
    broken = [row for row in found[:-most] if not row["whole"]][:1]
    return [{**row, "signed": _signed(key, row)} for row in [*broken, *found[-most:]]]


def _read(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _signed(key: signing.PublicKey | None, row: Mapping[str, Any]) -> bool:
    try:
        signature = bytes.fromhex(str(row.get("signature")))
        if key is None:
            return False
        key.verify(str(row["chain"]).encode(), signature)
    except ValueError:
        return False
    return True
