r"""The head of a request, read as RFC 9112 has it: what two readers could read differently is refused.

Guarantees: any bytes give a `Head` or `Malformed`, never another exception; a head that follows the grammar of RFC 9112
and says once and clearly how long its body is, is taken. Refused are, among others: no Host or two, two lengths, a
length beside chunks, a length that is not digits alone, a coding other than chunked, folded fields, a space before the
colon, control characters, line ends other than CRLF, and a target that names another host than Host does.

>>> parse(b"GET /v1?a=1 HTTP/1.1\r\nHost: node-a").path
b'/v1'
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 64 * 1024
MOST_FIELDS: Final = 128
_MOST_LINE: Final = 16 * 1024

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_METHOD: Final = re.compile(_TOKEN)
_NAME: Final = re.compile(_TOKEN)
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_VERSION: Final = re.compile(rb"HTTP/1\.([0-9])")
_PLAIN: Final = rb"[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2}"
_ORIGIN: Final = re.compile(rb"(/(?:%b)*)(?:\?((?:%b|\?)*))?" % (_PLAIN, _PLAIN))
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)((?:/[^#]*)?(?:\?[^#]*)?)")
_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
)
_BLANK: Final = b" \t"
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_BARE_LINE_END: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_BEGINNING: Final = re.compile(rb"(?:%b(?: .*)?)?" % _TOKEN, re.DOTALL)

Lax = Callable[[str], bool]


def strict(_defect: str) -> bool:
    """Take nothing that is wrong."""
    return False


class Malformed(Exception):
    """What came is no request: the name of the refusal in specs/errors.toml, and what of the message is wrong."""

    def __init__(self, pointer: str, name: str = "MESSAGE_MALFORMED") -> None:
        super().__init__(f"{name}: {pointer}")
        self.name = name
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Head:
    """A request line and fields, with what they say about the body and the connection.

    `fields` are as they came, in order, names in lower case; `length` is None where the body comes in chunks.
    """

    method: bytes
    path: bytes
    query: bytes
    minor: int
    fields: tuple[tuple[bytes, bytes], ...]
    length: int | None
    keep: bool
    expects: bool

    @property
    def target(self) -> bytes:
        """The target in origin form."""
        return self.path + (b"?" + self.query if self.query else b"")

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.length is None

    @property
    def empty(self) -> bool:
        """Whether there is no body."""
        return self.length == 0

    def value(self, name: bytes) -> bytes:
        """Return the value of the first field of a name, else nothing."""
        return next((value for known, value in self.fields if known == name), b"")


def begins(data: bytes | bytearray, scanned: int = 0, lax: Lax = strict) -> None:
    """Return while more bytes could make this a head; raise Malformed as soon as none can.

    Up to `scanned` it has been looked at before, so that bytes which drip cost no more than others.
    """
    if not scanned and not _BEGINNING.fullmatch(data):
        raise Malformed("request-line")
    found = _BARE_LINE_END.search(data, max(0, scanned - 1))
    if found and found.end() < len(data) and not lax("nul-in-header-accepted"):
        raise Malformed("line-end")
    if len(data) > MOST_BYTES:
        raise Malformed("head", "HEAD_TOO_LARGE")


def parse(data: bytes, lax: Lax = strict) -> Head:
    """Return the head that stands before the empty line; raise Malformed."""
    if len(data) > MOST_BYTES:
        raise Malformed("head", "HEAD_TOO_LARGE")
    first, *lines = data.split(b"\r\n")
    if len(lines) > MOST_FIELDS:
        raise Malformed("head", "HEAD_TOO_LARGE")
    method, target, minor = _request_line(first)
    fields = tuple(_fields(lines, lax))
    path, query = _target(method, target, _host(fields, minor, lax))
    connection = _tokens(fields, b"connection")
    return Head(
        method,
        path,
        query,
        minor,
        fields,
        _length(fields, minor, lax),
        b"close" not in connection and (minor > 0 or b"keep-alive" in connection),
        minor > 0 and b"100-continue" in _tokens(fields, b"expect"),
    )


def _request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Return method, target and the minor version."""
    parts = line.split(b" ")
    if len(line) > _MOST_LINE:
        raise Malformed("request-line", "HEAD_TOO_LARGE")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]):
        raise Malformed("request-line")
    version = _VERSION.fullmatch(parts[2])
    if version is None:
        raise Malformed("request-line")
    return parts[0], parts[1], int(version[1])


def _fields(lines: list[bytes], lax: Lax) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            found.append((name.lower(), value.strip(_BLANK)))
            continue
        if line[:1] in (b" ", b"\t") and found and lax("folded-header-accepted"):
            found.append((found.pop()[0], line.strip()))  # the last line wins, as careless servers have it
        elif colon and _NAME.fullmatch(name) and lax("nul-in-header-accepted"):
            found.append((name.lower(), value.strip()))
        elif colon and _spaced(name) and _VALUE.fullmatch(value) and lax("space-before-colon-accepted"):
            found.append((name.rstrip(_BLANK).lower(), value.strip()))
        else:
            raise Malformed("headers")
    return found


def _spaced(name: bytes) -> bool:
    """Tell whether only blanks after it keep this from being a name."""
    return name[-1:] in (b" ", b"\t") and bool(_NAME.fullmatch(name.rstrip(_BLANK)))


def _values(fields: tuple[tuple[bytes, bytes], ...], wanted: bytes) -> list[bytes]:
    return [value for name, value in fields if name == wanted]


def _tokens(fields: tuple[tuple[bytes, bytes], ...], wanted: bytes) -> list[bytes]:
    return [token.strip().lower() for value in _values(fields, wanted) for token in value.split(b",")]


def _host(fields: tuple[tuple[bytes, bytes], ...], minor: int, lax: Lax) -> bytes | None:
    """Return the one Host; a request of HTTP/1.0 may have none (RFC 9112, 3.2)."""
    hosts = _values(fields, b"host")
    if not hosts:
        if minor and not lax("no-host-accepted"):
            raise Malformed("host")
        return None
    if len(hosts) > 1 and not lax("second-host-accepted"):
        raise Malformed("host")
    if not _HOST.fullmatch(hosts[0]):
        raise Malformed("host")
    return hosts[0]


def _target(method: bytes, target: bytes, host: bytes | None) -> tuple[bytes, bytes]:
    """Return path and query of a target in origin or absolute form; of the others `*` is of OPTIONS alone."""
    if target == b"*" and method == b"OPTIONS":
        return target, b""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        if host is None or absolute[1].lower() != host.lower():
            raise Malformed("request-target")
        rest = absolute[2]
        target = rest if rest.startswith(b"/") else b"/" + rest
    origin = _ORIGIN.fullmatch(target)
    if origin is None:
        raise Malformed("request-target")
    return origin[1], origin[2] or b""


def _length(fields: tuple[tuple[bytes, bytes], ...], minor: int, lax: Lax) -> int | None:
    """Return the length that is stated, 0 without one, None for chunks (RFC 9112, 6.3)."""
    lengths, codings = _values(fields, b"content-length"), _values(fields, b"transfer-encoding")
    if codings:
        if (lengths and not lax("content-length-with-chunked-accepted")) or not minor:
            raise Malformed("transfer-encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Malformed("transfer-encoding")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 and not lax("duplicate-content-length-accepted"):
        raise Malformed("content-length")
    if not _DIGITS.fullmatch(lengths[-1]):
        if lax("signed-content-length-accepted"):
            return _careless(lengths[-1])
        raise Malformed("content-length")
    return int(lengths[-1])


def _careless(length: bytes) -> int:
    """Read a length as a careless server does, for a defect."""
    try:
        return max(0, int(length, 0))
    except ValueError:
        raise Malformed("content-length") from None
