"""What a target does on the wire of TLS, told as plain facts that a recording keeps and checks judge (9.1-b, 9.2-g).

Guarantees: every probe ends in bounded time and answers with JSON-able facts, also where the target closes, is silent
or talks nonsense; nothing is judged here. `Impostor` and `Ear` are servers of this machine that a target is made to
call: the one shows a certificate of the caller's choice, the other hears the first message and hangs up.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from cheroot import wsgi
from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL, crypto
from urllib3.util import wait_for_read

from conformance.harness import tls_hello
from conformance.harness.partner import Receiver, request_from_environ
from conformance.harness.partner_grpc import GrpcListener
from conformance.harness.tls import Flaw, Guise, ServerAdapter, Wardrobe, identities
from conformance.harness.tls_hello import Offer

Facts = dict[str, Any]
SECONDS = 5.0
_RECORD_LIMIT = 5 + (1 << 14) + 256
_KEYS = {"1.2.840.10045.2.1": "EC", "1.2.840.113549.1.1.1": "RSA"}
_HANGS_UP = b"\x15\x03\x01\x00\x02\x02\x28"  # the alert handshake_failure


def place(url: str) -> tuple[str, int]:
    """Return host and port of an address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def offer(url: str, made: Offer) -> Facts:
    """Offer something, and tell what the target chose of it; `taken` is false where it chose nothing."""
    host, port = place(url)
    try:
        with socket.create_connection((host, port), timeout=SECONDS) as sock:
            sock.sendall(made.spell(host))
            reply = tls_hello.read_reply(_record(sock))
    except (OSError, ValueError) as failure:
        return {"taken": False, "why": str(failure) or type(failure).__name__}
    if reply.alert >= 0:
        return {"taken": False, "why": f"alert {reply.alert}"}
    return {"taken": True, "version": reply.version, "suite": reply.suite}


def plain(url: str, wanted: str) -> Facts:
    """Ask for something by HTTP without TLS at the port of TLS; `status` is 0 where nothing came that HTTP knows."""
    line = f"GET {wanted} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(place(url), timeout=SECONDS) as sock:
            sock.sendall(line.encode())
            head = sock.recv(64).split()
    except OSError as failure:
        return {"status": 0, "why": str(failure) or type(failure).__name__}
    known = len(head) > 1 and head[0].startswith(b"HTTP/") and head[1].isdigit()
    return {"status": int(head[1]) if known else 0}


def renegotiation(url: str, wardrobe: Wardrobe, node_id: str) -> Facts:
    """Agree on TLS 1.2 and ask for another handshake within; `offered` is false where there is no TLS 1.2."""
    context = wardrobe.context(node_id)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    try:
        with socket.create_connection(place(url), timeout=SECONDS) as sock:
            connection = shaken(context, sock)
            try:
                connection.renegotiate()
                _shake(connection, sock)
                taken = connection.total_renegotiations() > 0 and not connection.renegotiate_pending()
            except (OSError, SSL.Error) as refused:
                return {"offered": True, "taken": False, "why": str(refused)}
            return {"offered": True, "taken": taken}
    except (OSError, SSL.Error) as failure:
        return {"offered": False, "why": str(failure) or type(failure).__name__}


def certificate(url: str, wardrobe: Wardrobe, node_id: str) -> Facts:
    """Tell which certificate the target shows, and what the chain and the revocation list of the profile say of it."""
    host, port = place(url)
    errors: set[int] = set()

    def hear(_connection: SSL.Connection, _shown: crypto.X509, number: int, _depth: int, _sound: int) -> bool:
        errors.update([number] if number else [])
        return True

    context = wardrobe.context(node_id)
    context.set_verify(SSL.VERIFY_PEER, hear)
    try:
        with socket.create_connection((host, port), timeout=SECONDS) as sock:
            connection = shaken(context, sock)
            shown = connection.get_peer_certificate(as_cryptography=True)
            facts = {"version": connection.get_protocol_version(), "suite": connection.get_cipher_name()}
    except (OSError, SSL.Error) as failure:
        return {"shown": False, "why": str(failure) or type(failure).__name__}
    if shown is None:
        return {"shown": False, "why": "none came"}
    return {"shown": True, "host": host, "port": port, "errors": sorted(errors), **facts, **describe(shown)}


def describe(shown: x509.Certificate) -> Facts:
    """Tell what a certificate says; `bits` are those of its key, 0 where the key is of no known kind."""
    now = dt.datetime.now(dt.UTC)
    algorithm = shown.signature_algorithm_oid.dotted_string
    named = [[row.node_id, row.host, row.port, row.role] for row in identities(shown)]
    kind, bits = _key(shown)
    return {
        "version_of_format": shown.version.name,
        "in_time": shown.not_valid_before_utc <= now <= shown.not_valid_after_utc,
        "not_after": shown.not_valid_after_utc.isoformat(),
        "key": kind,
        "bits": bits,
        "signature": algorithm,
        "named": named,
    }


def _key(shown: x509.Certificate) -> tuple[str, int]:
    oid = shown.public_key_algorithm_oid.dotted_string
    bits = crypto.X509.from_cryptography(shown).get_pubkey().bits()
    return _KEYS.get(oid, oid), bits


def shaken(context: SSL.Context, sock: socket.socket, session: SSL.Session | None = None) -> SSL.Connection:
    """Shake hands with a target in time, offering to take up a session; raise OSError or SSL.Error."""
    connection = SSL.Connection(context, sock)
    connection.set_connect_state()
    if session is not None:  # also one that was begun with another certificate, which pyOpenSSL's call would not take
        Binding().lib.SSL_set_session(connection._ssl, session._session)  # noqa: SLF001
    _shake(connection, sock)
    return connection


def _shake(connection: SSL.Connection, sock: socket.socket) -> None:
    """Carry a handshake through in time."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            if not wait_for_read(sock, max(0.0, until - time.monotonic())):
                raise TimeoutError("timed out") from None
        else:
            return


def _record(sock: socket.socket) -> bytes:
    """Return the first record that comes, or what came before the other side hung up."""
    data = b""
    until = time.monotonic() + SECONDS
    while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5]):
        if time.monotonic() > until:
            raise TimeoutError("timed out")
        piece = sock.recv(_RECORD_LIMIT)
        data += piece
        if not piece or data[0] not in (tls_hello.ALERT, tls_hello.HANDSHAKE):
            break
    return data[: 5 + int.from_bytes(data[3:5])] if len(data) >= 5 else data


# --- whom a target is made to call ----------------------------------------------------------------------------------


@contextmanager
def impostor(receiver: Receiver, wardrobe: Wardrobe | None, host: str, node_id: str, flaw: Flaw) -> Iterator[str]:
    """Serve the partners of a run at one more address, under a certificate of `node_id`, without one as plain HTTP."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        made = receiver.handle(request_from_environ(environ))
        start_response(f"{made.status} -", [*made.headers.items(), ("content-length", str(len(made.body)))])
        return [made.body]

    server = wsgi.Server((host, 0), answer, numthreads=2, server_name="hutong-impostor", shutdown_timeout=1)
    server.expiration_interval = 0.05
    server.prepare()
    address = _address("http" if wardrobe is None else "https", host, server.bind_addr[1])
    if wardrobe is not None:
        guise = Guise(wardrobe, flaw, address=address)
        server.ssl_adapter = ServerAdapter(lambda: guise.context(node_id, server=True))
    with _running(server.serve, server.stop):
        yield address


@contextmanager
def grpc_impostor(receiver: Receiver, guise: Guise | None, host: str) -> Iterator[str]:
    """Serve the partners of a run over gRPC at one more address, in this guise, in clear without one."""
    listener = GrpcListener(receiver, host, 0, guise)
    try:
        yield _address("grpc", host, listener.port)
    finally:
        listener.stop()


@contextmanager
def ear(host: str) -> Iterator[tuple[str, Callable[[], Facts]]]:
    """Listen for the first message of a caller; the function tells what it offered once it has called."""
    heard: list[bytes] = []
    arrived = threading.Event()
    listening = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                with listening.accept()[0] as sock, contextlib.suppress(OSError):
                    sock.settimeout(SECONDS)
                    heard.append(_record(sock))
                    arrived.set()
                    sock.sendall(_HANGS_UP)

    def tell() -> Facts:
        arrived.wait(SECONDS)
        try:
            offered = tls_hello.read_offer(heard[0] if heard else b"")
        except ValueError as wrong:
            return {"called": bool(heard), "tls": False, "why": str(wrong)}
        return {"called": True, "tls": True, "versions": list(offered.versions), "suites": list(offered.suites)}

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()

    with _running(listen, hang_up):
        yield _address("https", host, listening.getsockname()[1]), tell


@contextmanager
def _running(serve: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=serve, name="hutong-probe", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(SECONDS)


def _address(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def offers(url: str, made: Iterable[tuple[str, Offer]]) -> dict[str, Facts]:
    """Offer several things one after the other."""
    return {name: offer(url, each) for name, each in made}
