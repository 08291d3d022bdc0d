"""The node's incoming end: files that the relay has brought become requests and answers (9.2-h).

Guarantees: a file is believed only with the signature of the link's partner; a request reaches the same pipeline as
one from a socket, and no operation but those that nodes ask each other; a file is taken once, whatever comes of it;
while all workers are busy requests stay in their folder, answers never wait for them.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import flask
import structlog
from werkzeug.wrappers import Response

from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.gap.files import IN, NAME, PIECE, GapFile, GapFileBad, waiting
from reference_node.gap.link import Link, Links
from reference_node.gap.operations import between_nodes
from reference_node.security import doubled_headers, signing
from reference_node.security.guards import REMOTE_OF_GAP
from reference_node.transport.outbound import ANSWER_LIMIT, OutboundAnswer

REFUSAL: Final = re.compile(r"(?P<id>[0-9a-f]{32})\.refused")
_REFUSAL_LIMIT: Final = 4096
_WORKERS: Final = 16
_ANSWER_HEADERS: Final = ("content-type", "x-trace-id", "retry-after", "allow", "x-ptp-code")
log = structlog.get_logger("reference_node")


class Inlet:
    """Serves a node's links until told to stop."""

    def __init__(
        self,
        app: flask.Flask,
        node_id: str,
        links: Links,
        *,
        poll: float,
        faults: Faults | None = None,
        workers: Executor | None = None,
    ) -> None:
        self._app = app
        self._node_id = node_id
        self._links = links
        self._poll = poll
        self._faults = Faults() if faults is None else faults
        self._said: dict[str, str] = {}
        self._room = threading.Semaphore(_WORKERS)
        self._workers = workers or ThreadPoolExecutor(_WORKERS, thread_name_prefix=f"{node_id}-gap")

    def run(self, stopping: threading.Event) -> None:
        """Take in what comes until `stopping`."""
        while not stopping.is_set():
            if not self.round():
                stopping.wait(self._poll)
        self._links.close()
        self._workers.shutdown()

    def round(self) -> bool:
        """Look once at every link; return whether anything was there to take."""
        moved = False
        for link in self._links:
            try:
                for name in self._names(link.folder / IN):
                    moved = self._take(link, link.folder / IN / name) or moved
            except (OSError, ConfigError) as failure:
                if self._said.get(link.partner) != str(failure):  # once, not in every round
                    log.warning("gap link unusable", partner=link.partner, reason=str(failure))
                self._said[link.partner] = str(failure)
            else:
                self._said.pop(link.partner, None)
        return moved

    def _names(self, folder: Path) -> list[str]:
        if self._faults.on("gap-draft-taken"):
            return sorted(path.name for path in folder.iterdir())
        return waiting(folder)

    def _take(self, link: Link, path: Path) -> bool:
        found = NAME.fullmatch(path.name)
        refusal = REFUSAL.fullmatch(path.name)
        if refusal is not None:
            self._links.heard(link.partner, refusal["id"], _refused(path))
            path.unlink(missing_ok=True)
            return True
        if found is not None and found["kind"] == "request":
            return self._request(link, path)
        try:
            with self._opened(link, path) as file:
                body = b"".join(file.pieces()) if self._links.waits(link.partner, file.head.answers or "") else b""
                answer = OutboundAnswer(file.head.status or 0, file.head.headers, body)
                if not self._faults.on("gap-answer-unheard"):
                    self._links.heard(link.partner, file.head.answers or "", answer)
        except GapFileBad as bad:
            log.warning("file from the gap refused", partner=link.partner, file=path.name, reason=str(bad))
        path.unlink(missing_ok=True)
        return True

    def _request(self, link: Link, path: Path) -> bool:
        if not self._room.acquire(blocking=False):
            return False
        try:
            file = self._opened(link, path)
        except GapFileBad as bad:
            self._room.release()
            log.warning("file from the gap refused", partner=link.partner, file=path.name, reason=str(bad))
            if self._faults.on("gap-stuck-at-garbage"):
                raise OSError("the file stays where it is") from bad
            path.unlink(missing_ok=True)
            return True
        if not self._faults.on("gap-request-kept"):
            path.unlink(missing_ok=True)  # taken: what is open can still be read
        self._workers.submit(self._serve, link, file)
        return True

    def _opened(self, link: Link, path: Path) -> GapFile:
        """Open a file that is the partner's and for this node."""
        key = link.partner_key()
        if key is None and not self._faults.on("gap-believes-without-key"):
            raise GapFileBad("the partner's key is not known here")
        file = GapFile.open(path)
        try:
            if key is not None and not self._faults.on("gap-signature-unchecked"):
                file.check_signature(key)
            if file.head.sender != link.partner and not self._faults.on("gap-sender-unchecked"):
                raise GapFileBad("the file is of another sender")
            if file.head.receiver != self._node_id and not self._faults.on("gap-receiver-unchecked"):
                raise GapFileBad("the file is for another node")
            if file.head.kind == "answer" and file.head.size > ANSWER_LIMIT:
                raise GapFileBad("the answer is longer than an answer may be")
        except GapFileBad:
            file.close()
            raise
        return file

    def _serve(self, link: Link, file: GapFile) -> None:
        try:
            with file:
                if not self._faults.on("gap-body-unchecked"):
                    for _ in file.pieces():  # the body is believed from here on
                        pass
                self._answer(link, file, self._asked(link, file))
        except GapFileBad as bad:
            log.warning("file from the gap refused", partner=link.partner, file=file.head.name, reason=str(bad))
        except OSError as failure:
            log.warning("answer across the gap not written", partner=link.partner, reason=str(failure))
        finally:
            self._room.release()

    def _asked(self, link: Link, file: GapFile) -> Response:
        head = file.head
        method, path = head.method or "", head.path or ""
        if (method, path) not in between_nodes():
            raise GapFileBad("no operation that nodes ask each other")
        if path.endswith("/contract/confirm") and self._faults.on("gap-confirmation-dropped"):
            raise GapFileBad("decisions do not cross the gap")
        if between_nodes()[method, path].auth == "contract" and self._faults.on("gap-contract-unused"):
            raise GapFileBad("nothing that rests on a contract crosses the gap")
        foreign = head.headers.get(signing.SOURCE, link.partner) != link.partner
        if foreign and not self._faults.on("gap-source-unchecked"):
            raise GapFileBad("the request names another source than the file's sender")
        environ = _environ(link, file, method, path)
        if self._faults.on("gap-body-lost"):
            environ["CONTENT_LENGTH"] = "0"
        return Response.from_app(self._app, environ)

    def _answer(self, link: Link, file: GapFile, answer: Response) -> None:
        kept = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
        if self._faults.on("gap-head-overfull"):
            kept["server"] = link.partner
        draft = link.draft()
        try:
            content = answer.get_data()
            for at in range(0, len(content), PIECE):
                draft.write(content[at : at + PIECE])
            identity = secrets.token_hex(16)
            link.publish(draft, kept, identity=identity, answer=(file.head.id, answer.status_code))
        finally:
            draft.abandon()


def _environ(link: Link, file: GapFile, method: str, path: str) -> dict[str, Any]:
    """Return the request as a server would hand it over."""
    head = file.head
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": head.query,
        "REQUEST_URI": f"{path}?{head.query}" if head.query else path,
        "CONTENT_LENGTH": str(head.size),
        "REMOTE_ADDR": REMOTE_OF_GAP + link.partner,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": file.body(),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in head.headers.items():
        environ["CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.replace('-', '_').upper()}"] = value
    environ[doubled_headers.ENVIRON] = doubled_headers.repeated(head.headers.items())
    return environ


def _refused(path: Path) -> OutboundAnswer:
    """Return the relay's refusal as the answer that it stands for."""
    found: Any = None
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_REFUSAL_LIMIT))
    except (OSError, ValueError, RecursionError):
        log.warning("refusal of the relay unreadable", file=path.name)
    said: Mapping[str, Any] = found if isinstance(found, dict) else {}
    name, words = str(said.get("error", "GAP_REFUSED")), str(said.get("reason", ""))
    body = {"code": 403, "msg": f"refused at the isolation gap: {words}", "data": {"error": name}}
    return OutboundAnswer(403, {"content-type": "application/json"}, json.dumps(body).encode())
