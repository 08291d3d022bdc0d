"""The far side of an isolation gap as the harness plays it: signed files in the folder of a link (9.2-h).

Built by `specs/protocols/isolation-gap.md` alone: there is no relay between, the harness writes into the target's `in`
and takes from its `out`. Guarantees: every file of the target's is read whole, noted with all that is wrong with it and
taken away; a request of the target's is answered as one over a socket would be; reading never fails for what a file
holds.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

import specs
from conformance.harness import gap_files, signing
from conformance.harness.clock import Clock, eventually
from conformance.harness.errors import Undrivable
from conformance.harness.gap_files import Bent
from conformance.harness.profile_model import GapPlace
from conformance.harness.records import Answer, Request
from conformance.harness.sm2 import sm3
from conformance.harness.target import Unanswered, query_string

SCHEME: Final = "spool"
_ANSWER_HEADERS: Final = frozenset({"content-type", "x-trace-id", "retry-after", "allow", "x-ptp-code"})


class Fault(StrEnum):
    """What can be wrong with a file of the target's."""

    FORMAT = "FORMAT"
    HEAD = "HEAD"
    SIGNATURE = "SIGNATURE"
    PARTIES = "PARTIES"
    BODY = "BODY"
    NAME = "NAME"
    SEQUENCE = "SEQUENCE"


class FarSide:
    """The partner of the target's behind the gap; scenarios that play it run alone."""

    def __init__(self, place: GapPlace, target_id: str, clock: Clock, handle: Callable[[Request], Answer]) -> None:
        self.folder = place.folder
        self.node_id = place.partner
        self.address = f"{SCHEME}://{place.partner}"
        self.key = signing.Key.generate(signing.AuthType.SM3_SM2)
        self.clock = clock
        self.files: list[dict[str, Any]] = []
        self._target_id = target_id
        self._handle = handle
        self._lock = threading.RLock()
        self._sequence = clock.now_ms() * 1000
        self._last = 0
        self._answers: dict[str, list[Answer]] = defaultdict(list)

    def open(self, *, trusted: bool = True) -> None:
        """Begin anew: nothing lies in the folders, and the target has the harness's key, or none."""
        for name in ("in", "out"):
            if not (self.folder / name).is_dir():
                raise Undrivable(f"profile: gap.folder has no folder {name}: {self.folder}")
        self.clear()
        place = self.folder / "partner.pem"
        if trusted:
            fresh = self.folder / ".partner.pem"
            fresh.write_text(self.key.credential, encoding="ascii")
            fresh.rename(place)
        else:
            place.unlink(missing_ok=True)

    def clear(self) -> None:
        """Leave nothing in the folders, and forget what lay there."""
        with self._lock:
            for path in [*(self.folder / "in").iterdir(), *(self.folder / "out").glob("*.gap")]:
                path.unlink()
            self.files, self._answers = [], defaultdict(list)

    def put(self, fields: Mapping[str, Any], body: bytes, bent: Bent) -> tuple[str, Path]:
        """Write a file for the target; return its id and where it lies."""
        with self._lock:
            self._sequence += 1
            base = {
                "sequence": self._sequence,
                "id": secrets.token_hex(16),
                "sender": self.node_id,
                "receiver": self._target_id,
                "time": self.clock.now_ms(),
            }
            head = gap_files.described(base | dict(fields), body)
            name = gap_files.name_of({**head, "sequence": self._sequence})
            draft = self.folder / "in" / f".{name}"
            draft.write_bytes(gap_files.written(head, body, self.key, bent))
            identity = str({**head, **bent.head}["id"])
            return identity, draft if bent.draft else draft.rename(self.folder / "in" / name)

    def answers(self, identity: str) -> list[Answer]:
        """Return what the target has answered to a request so far."""
        with self._lock:
            self.collect()
            return list(self._answers[identity])

    def collect(self) -> None:
        """Take what the target has written, in order: note it, answer it where it asks."""
        with self._lock:
            for path in sorted((self.folder / "out").glob("[!.]*")):
                self._taken(path)

    def serve(self, until: threading.Event) -> None:
        """Take what the target writes until somebody sets the event."""
        while not until.is_set():
            self.collect()
            self.clock.elapse(self.clock.grain)

    def _taken(self, path: Path) -> None:
        content = path.read_bytes()
        path.unlink()
        head, body, faults = self._read(path.name, content)
        row = {"name": path.name, "faults": sorted(faults)}
        self.files.append(row | {key: head.get(key) for key in ("kind", "sequence", "id", "answers", "path")})
        given = head.get("headers")
        headers = {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
        if head.get("kind") == "answer" and isinstance(head.get("status"), int):
            self._answers[str(head.get("answers"))].append(Answer(head["status"], headers, body))
        elif head.get("kind") == "request":
            query = signing.decode_query(str(head.get("query", "")))
            answer = self._handle(Request(str(head.get("method")), str(head.get("path")), query, headers, body))
            kept = {name: value for name, value in answer.headers.items() if name in _ANSWER_HEADERS}
            fields = {"kind": "answer", "answers": head.get("id"), "status": answer.status, "headers": kept}
            self.put(fields, answer.body, Bent())

    def _read(self, name: str, content: bytes) -> tuple[dict[str, Any], bytes, set[Fault]]:
        """Return head, body and everything that is wrong with a file."""
        parts = gap_files.apart(content)
        if parts is None:
            return {}, b"", {Fault.FORMAT}
        head, body = dict(parts.head), parts.body
        faults = {Fault.HEAD} if not _schema().is_valid(head) else set()
        number = head.get("sequence")
        number = number if isinstance(number, int) else 0
        wrong = {
            Fault.SIGNATURE: not self._signed(parts.spelled, parts.signature),
            Fault.PARTIES: (head.get("sender"), head.get("receiver")) != (self._target_id, self.node_id),
            Fault.BODY: (head.get("size"), head.get("digest")) != (len(body), sm3(body).hex()),
            Fault.NAME: name != gap_files.name_of(head),
            Fault.SEQUENCE: number <= self._last,
        }
        self._last = max(self._last, number)
        return head, body, faults | {fault for fault, is_so in wrong.items() if is_so}

    def _signed(self, spelled: bytes, signature: bytes) -> bool:
        try:
            credential = (self.folder / "own.pem").read_text(encoding="ascii")
            signing.PublicKey.from_credential(signing.AuthType.SM3_SM2, credential).verify(spelled, signature)
        except (OSError, ValueError):  # what is wrong with credentials and signatures is a ValueError
            return False
        return True


@dataclass(frozen=True, slots=True)
class Crossing:
    """Carries requests to the target across the gap; `seconds` bounds the wait, 0 leaves it to who asks."""

    far: FarSide
    bent: Bent = field(default_factory=Bent)
    seconds: float = 0.0

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request as a file. Raises Unanswered when no file answers it in time."""
        fields = {
            "kind": "request",
            "method": request.method,
            "path": request.path,
            "query": query_string(request.query),
            "headers": dict(request.headers),
        }
        identity, path = self.far.put(fields, request.body, self.bent)

        def probe() -> Answer | None:
            return next(iter(self.far.answers(identity)), None)

        answer = eventually(probe, within=self.seconds or timeout, clock=self.far.clock)
        if answer is None:
            if self.bent == Bent():
                path.unlink(missing_ok=True)
            raise Unanswered("no file answers the request", hint="See specs/protocols/isolation-gap.md.")
        return answer


@cache
def _schema() -> jsonschema_rs.Validator:
    path = specs.folder() / "schemas" / "gap-1.schema.json"
    return jsonschema_rs.validator_for(json.loads(path.read_text(encoding="utf-8")))
