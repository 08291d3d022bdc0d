"""What a profile holds: a target's declarations as typed records; `profile` reads them from TOML.

Guarantees: the tokens never show in `repr` or in `public()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conformance.harness.keys import AuthType

NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


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

    `grpc` is where its data plane is reached over gRPC, "" where it is not; `other_url` is where it is reached over the
    other version of IP.
    """

    name: str
    url: str
    node_id: str
    binding: str = "reference"
    grpc: str = ""
    other_url: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the target offers; what is left out is judged not applicable."""

    protocols: tuple[str, ...] = tuple(Protocol)
    roles: tuple[str, ...] = tuple(Role)
    auth_types: tuple[str, ...] = tuple(AuthType)


@dataclass(frozen=True, slots=True)
class Timings:
    """The target's limits and how long the harness waits, in seconds.

    `session_linger_seconds` is how long the session of a job that has ended still takes messages; within
    `backup_seconds` what was confirmed is in the backup; within `recovery_seconds` the target serves again after its
    store was restored, an instance was lost or its storage has room again; for `silence_seconds` at most it lets a
    connection stand on which no whole request comes, and no whole handshake.
    """

    clock_skew_seconds: int = 300
    lockout_threshold: int = 5
    lockout_seconds: int = 300
    callback_seconds: float = 10.0
    answer_seconds: float = 10.0
    session_linger_seconds: int = 60
    backup_seconds: float = 10.0
    recovery_seconds: float = 30.0
    silence_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class PartnerPlace:
    """Where the nodes that the harness plays listen; `address` is what they advertise, "" the place itself.

    Over gRPC they listen on the same host, where the target offers gRPC too; on `other_host` where the target is
    reached over another version of IP than that of `host`.
    """

    host: str = "127.0.0.1"
    port: int = 0
    address: str = ""
    grpc_port: int = 0
    other_host: str = ""


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
    """What the operator lets the suite do with what the target writes down: read files, folders, a dump; alter it.

    `datasets_path` is a folder from which the target reads files of datasets. The last five are commands that lose
    the store and restore it, end an instance and start it again, fill the storage and free it, put an older copy of the
    store in its place and undo that, revoke a certificate.
    """

    storage_path: tuple[Path, ...] = ()
    logs_path: tuple[Path, ...] = ()
    dump: tuple[str, ...] = ()
    tamper: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()
    kill_replica: tuple[str, ...] = ()
    fill_disk: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()
    datasets_path: Path | None = None


@dataclass(frozen=True, slots=True)
class GapPlace:
    """The folder of the target's link to a partner behind an isolation gap, and who this partner is.

    The harness plays the partner, and puts a key of its own there as the partner's.
    """

    folder: Path
    partner: str


@dataclass(frozen=True, slots=True)
class RelayPlace:
    """A relay between two nodes that the harness plays: their links' folders, ids and keys, as the relay knows them.

    `session_mib` is what its policy lets a session carry. `evidence` is a command that prints an export of what the
    relay has recorded, `evidence_file` such an export; `key` is the relay's, which signs it.
    """

    outer: Path
    inner: Path
    outer_id: str
    inner_id: str
    outer_key: Path
    inner_key: Path
    session_mib: int
    evidence: tuple[str, ...] = ()
    evidence_file: Path | None = None
    key: Path | None = None


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
    relay: RelayPlace | None = None
    declarations: Mapping[str, Declaration] = field(default_factory=lambda: MappingProxyType({}))

    def public(self) -> dict[str, Any]:
        """Return the profile for reports and evidence: JSON-able, without secrets; `parse_profile` reads it back."""
        place = f"{self.partner.host}:{self.partner.port}"
        shown: dict[str, Any] = {
            "target": _fields(self.target) | {"binding": Path(self.target.binding).name},
            "capabilities": _fields(self.capabilities),
            "timings": _fields(self.timings),
            "partner": {"listen": place, **_fields(self.partner, without=("host", "port"))},
            "declarations": {
                name: {"statement": row.statement, "document": row.document} for name, row in self.declarations.items()
            },
        }
        if self.tls is not None:
            shown["tls"] = {"mode": self.tls.mode.value}
        if self.peer is not None:
            shown["peer"] = {"url": self.peer.url, "node_id": self.peer.node_id}
        return shown


def _fields(record: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__dataclass_fields__ if name not in without}
    return {
        name: [str(item) for item in value] if isinstance(value, tuple) else value for name, value in values.items()
    }
