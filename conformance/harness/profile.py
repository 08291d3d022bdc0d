"""The profile: what a target declares about itself, written by its vendor in TOML; ten lines are enough.

    [target]
    name = "Example platform 2.1"
    url = "https://node.example.org"
    node_id = "node-example-01"

    [operator]
    token_env = "EXAMPLE_TOKEN"

    [capabilities]
    protocols = ["node", "project"]

    [operator_hooks]  # optional: what may be searched for secrets that were planted
    storage_path = ["/var/lib/node"]
    logs_path = ["/var/log/node.log"]

Guarantees: a profile that loads is complete and typed, absent keys have the defaults below; anything else is a
`UsageError` that names file, section, key, the valid ones and what was probably meant. The operator's token never
shows in `repr`, in `public()` or in an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from conformance.harness.errors import UsageError
from conformance.harness.keys import AuthType
from conformance.harness.strict import Table, read_toml, unknown
from specs import load_requirements

NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SECTIONS = (
    "target",
    "tls",
    "operator",
    "auditor",
    "capabilities",
    "timings",
    "partner",
    "peer",
    "operator_hooks",
    "gap",
    "declarations",
)
_TLS_FILES = ("ca", "crl", "certificate", "key", "issuer", "issuer_key", "revoked", "revoked_key")
_TOKEN_KEYS = ("token", "token_env", "token_file")


class Protocol(StrEnum):
    """The protocols that a target may offer, named as the interface documents are: chapter 8 and the data plane."""

    NODE = "node"
    PROJECT = "project"
    FLOW = "flow"
    COMPONENT = "component"
    DATASET = "dataset"
    MODEL = "model"
    JOB = "job"
    TASK = "task"
    CHANNEL = "channel"
    EVIDENCE = "evidence"


class Role(StrEnum):
    """The directions in which a target can be tested."""

    RESPONDER = "responder"
    INITIATOR = "initiator"


class Secret:
    """A text that shows only where `reveal` is called."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Target:
    """The node under test: where it serves, who it is, which binding it speaks.

    `grpc` is where its data plane is reached over gRPC, "" where it is not.
    """

    name: str
    url: str
    node_id: str
    binding: str = "reference"
    grpc: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the target offers; what is left out is judged not applicable."""

    protocols: tuple[str, ...] = tuple(Protocol)
    roles: tuple[str, ...] = tuple(Role)
    auth_types: tuple[str, ...] = tuple(AuthType)


@dataclass(frozen=True, slots=True)
class Timings:
    """The target's limits and how long the harness waits, in seconds.

    `session_linger_seconds` is how long the session of a job that has ended still takes messages.
    """

    clock_skew_seconds: int = 300
    lockout_threshold: int = 5
    lockout_seconds: int = 300
    callback_seconds: float = 10.0
    answer_seconds: float = 10.0
    session_linger_seconds: int = 60


@dataclass(frozen=True, slots=True)
class PartnerPlace:
    """Where the nodes that the harness plays listen; `address` is what they advertise, "" the place itself."""

    host: str = "127.0.0.1"
    port: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node of the vendor's that the target can be tested against, with its own operator's token."""

    url: str
    node_id: str
    operator: Secret | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the vendor states about a requirement that no test can show, with the document that says more."""

    requirement: str
    statement: str
    document: str = ""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the operator lets the suite do with what the target writes down: read files, folders, a dump; alter it."""

    storage_path: tuple[Path, ...] = ()
    logs_path: tuple[Path, ...] = ()
    dump: tuple[str, ...] = ()
    tamper: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GapPlace:
    """The folder of the target's link to a partner behind an isolation gap, and who this partner is.

    The harness plays the partner, and puts a key of its own there as the partner's.
    """

    folder: Path
    partner: str


class TlsMode(StrEnum):
    """How the channel between nodes is secured."""

    INTL = "intl"
    GM = "gm"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Whom the harness trusts over TLS, and what the nodes that it plays show.

    One certificate and key for all of them, or an issuer that the target trusts, by which each gets one of its own.
    `crl` is the list by which the target's own certificate is judged; `revoked` is a certificate, with its key, that
    the target's list names.
    """

    mode: TlsMode
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    issuer: Path | None = None
    issuer_key: Path | None = None
    crl: Path | None = None
    revoked: Path | None = None
    revoked_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """All that a target declares. `operator` and `auditor` are the tokens of the own-side operations, None = none."""

    source: str
    target: Target
    operator: Secret | None = None
    auditor: Secret | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    timings: Timings = field(default_factory=Timings)
    partner: PartnerPlace = field(default_factory=PartnerPlace)
    peer: Peer | None = None
    tls: TlsSettings | None = None
    hooks: Hooks | None = None
    gap: GapPlace | None = None
    declarations: Mapping[str, Declaration] = field(default_factory=lambda: MappingProxyType({}))

    def public(self) -> dict[str, Any]:
        """Return the profile for reports and evidence: JSON-able, without secrets; `parse_profile` reads it back."""
        place = f"{self.partner.host}:{self.partner.port}"
        shown: dict[str, Any] = {
            "target": _fields(self.target) | {"binding": Path(self.target.binding).name},
            "capabilities": _fields(self.capabilities),
            "timings": _fields(self.timings),
            "partner": {"listen": place, "address": self.partner.address},
            "declarations": {
                name: {"statement": row.statement, "document": row.document} for name, row in self.declarations.items()
            },
        }
        if self.tls is not None:
            shown["tls"] = {"mode": self.tls.mode.value}
        if self.peer is not None:
            shown["peer"] = {"url": self.peer.url, "node_id": self.peer.node_id}
        return shown


def load_profile(path: Path) -> Profile:
    """Read a profile; a relative token_file or binding path counts from its folder."""
    return parse_profile(read_toml(path), str(path))


def parse_profile(data: Mapping[str, Any], where: str, environ: Mapping[str, str] | None = None) -> Profile:
    """Read the content of a profile; `where` is the file's path, for messages and for relative paths."""
    top = Table(where, "", data, _SECTIONS)
    if "target" not in top:
        raise UsageError(f"{where}: section [target] is missing", hint="Add [target] with url and node_id.")
    folder, environ = Path(where).parent, os.environ if environ is None else environ
    return Profile(
        source=where,
        target=_target(top.table("target", ("name", "url", "node_id", "binding", "grpc")), folder),
        operator=_operator(top.table("operator", _TOKEN_KEYS), folder, environ),
        auditor=_operator(top.table("auditor", _TOKEN_KEYS), folder, environ),
        capabilities=_capabilities(top.table("capabilities", ("protocols", "roles", "auth_types"))),
        timings=_timings(top.table("timings", tuple(Timings.__dataclass_fields__))),
        partner=_partner(top.table("partner", ("listen", "address"))),
        tls=_tls(top.table("tls", ("mode", *_TLS_FILES)), folder),
        peer=_peer(top.table("peer", ("url", "node_id", *_TOKEN_KEYS)), folder, environ),
        gap=_gap(top.table("gap", ("folder", "partner")), folder),
        hooks=_hooks(top.table("operator_hooks", tuple(Hooks.__dataclass_fields__)), folder),
        declarations=_declarations(top.table("declarations", None)),
    )


def _target(table: Table, folder: Path) -> Target:
    url, node_id = _address(table, "url", table.text("url")), _node_id(table)
    binding = table.text("binding", "reference")
    if binding.endswith(".toml"):
        binding = str(folder / binding)
    grpc = table.text("grpc", "")
    return Target(
        table.text("name", node_id), url, node_id, binding, _address(table, "grpc", grpc, "grpc") if grpc else ""
    )


def _node_id(table: Table, key: str = "node_id") -> str:
    node_id = table.text(key)
    if not NODE_ID.fullmatch(node_id):
        raise table.fault(key, f'"{node_id}" is no node id', "Letters, digits and . _ : - ; at most 128.")
    return node_id


def _peer(table: Table, folder: Path, environ: Mapping[str, str]) -> Peer | None:
    if not table.keys():
        return None
    return Peer(_address(table, "url", table.text("url")), _node_id(table), _operator(table, folder, environ))


def _hooks(table: Table, folder: Path) -> Hooks | None:
    if not table.keys():
        return None
    storage, logs = ([folder / name for name in table.texts(key, ())] for key in ("storage_path", "logs_path"))
    return Hooks(tuple(storage), tuple(logs), table.texts("dump", ()), table.texts("tamper", ()))


def _gap(table: Table, folder: Path) -> GapPlace | None:
    if not table.keys():
        return None
    return GapPlace(folder / table.text("folder"), _node_id(table, "partner"))


def _tls(table: Table, folder: Path) -> TlsSettings | None:
    if not table.keys():
        return None
    mode = table.text("mode")
    if mode not in tuple(TlsMode):
        raise table.fault("mode", f'"{mode}" is no mode of TLS', f"Take one of {', '.join(TlsMode)}.")
    return TlsSettings(TlsMode(mode), **{key: folder / table.text(key) for key in _TLS_FILES if key in table})


def _operator(table: Table, folder: Path, environ: Mapping[str, str]) -> Secret | None:
    given = [key for key in _TOKEN_KEYS if key in table]
    if len(given) > 1:
        raise table.fault(" and ".join(given), "only one of them can hold", f"Keep one of {', '.join(given)}.")
    if not given:
        return None
    key = given[0]
    text = table.text(key)
    if key == "token_env":
        if not environ.get(text):
            raise table.fault(key, f"the environment has no {text}", f"Set {text} before the run.")
        text = environ[text]
    elif key == "token_file":
        text = _token_in(table, folder / text)
    if not text.isascii() or not text.isprintable():
        raise table.fault(key, "the token is not one line of ASCII", "Give the token that a Bearer header can carry.")
    return Secret(text)


def _token_in(table: Table, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise table.fault("token_file", f"{path} cannot be read") from exc
    if not text:
        raise table.fault("token_file", f"{path} is empty")
    return text


def _capabilities(table: Table) -> Capabilities:
    def some(key: str, every: type[StrEnum]) -> tuple[str, ...]:
        chosen = table.texts(key, tuple(every), choices=tuple(every))
        if not chosen:
            raise table.fault(key, "must name at least one", f"Take from: {', '.join(every)}, or leave {key} out.")
        return chosen

    return Capabilities(some("protocols", Protocol), some("roles", Role), some("auth_types", AuthType))


def _timings(table: Table) -> Timings:
    usual = Timings()
    return Timings(
        clock_skew_seconds=table.integer("clock_skew_seconds", usual.clock_skew_seconds, least=1),
        lockout_threshold=table.integer("lockout_threshold", usual.lockout_threshold, least=1, most=100),
        lockout_seconds=table.integer("lockout_seconds", usual.lockout_seconds, least=1),
        callback_seconds=table.number("callback_seconds", usual.callback_seconds, least=0.1, most=3600),
        session_linger_seconds=table.integer("session_linger_seconds", usual.session_linger_seconds, least=0),
        answer_seconds=table.number("answer_seconds", usual.answer_seconds, least=0.1, most=3600),
    )


def _partner(table: Table) -> PartnerPlace:
    listen = table.text("listen", "127.0.0.1:0")
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise table.fault("listen", f'"{listen}" is not host:port', 'Write it as "127.0.0.1:0"; 0 takes a free port.')
    address = table.text("address", "")
    return PartnerPlace(host, int(port), _address(table, "address", address) if address else "")


def _address(table: Table, key: str, text: str, *schemes: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in (schemes or ("http", "https")) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or parts.username or re.search(r"\s", text):
        kind = " or ".join(schemes or ("http", "https"))
        example = f"{schemes[0] if schemes else 'https'}://node.example.org:8443"
        raise table.fault(key, f'"{text}" is no {kind} address', f'Write it as "{example}".')
    return text.rstrip("/")


def _declarations(table: Table) -> Mapping[str, Declaration]:
    known = load_requirements()
    rows: dict[str, Declaration] = {}
    for name in table.keys():  # noqa: SIM118  a Table is no mapping
        if name not in known:
            raise unknown(table.where, "requirement", name, known)
        row = table.table(name, ("statement", "document"))
        rows[name] = Declaration(name, row.text("statement"), row.text("document", ""))
    return MappingProxyType(rows)


def _fields(record: Any) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return {
        name: [str(item) for item in value] if isinstance(value, tuple) else value for name, value in values.items()
    }
