"""The profile: what a target declares about itself, written by its vendor in TOML; ten lines are enough.

    [target]
    name = "Example platform 2.1"
    url = "https://node.example.org"
    node_id = "node-example-01"

    [operator]
    token_env = "EXAMPLE_TOKEN"

    [capabilities]
    protocols = ["node", "project"]

    [operator_hooks]  # optional: what may be searched for secrets that were planted, and commands of the operator's
    storage_path = ["/var/lib/node"]
    logs_path = ["/var/log/node.log"]
    datasets_path = "/srv/datasets"  # where the suite may lay files that the target reads
    backup = ["/usr/local/bin/our-backup"]  # called with lose or restore; the others: harness/hooks.py

Guarantees: a profile that loads is complete and typed, absent keys have the defaults below; anything else is a
`UsageError` that names file, section, key, the valid ones and what was probably meant. The operator's token never
shows in `repr`, in `public()` or in an error.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from conformance.harness.errors import UsageError
from conformance.harness.keys import AuthType
from conformance.harness.profile_model import (
    NODE_ID,
    Capabilities,
    Declaration,
    GapPlace,
    Hooks,
    PartnerPlace,
    Peer,
    Profile,
    Protocol,
    RelayPlace,
    Role,
    Secret,
    Target,
    Timings,
    TlsMode,
    TlsSettings,
)
from conformance.harness.strict import Table, read_toml, unknown
from specs import load_requirements

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
_GAP_KEYS = ("folder", "partner", "relay")
_TOKEN_KEYS = ("token", "token_env", "token_file")


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
        target=_target(top.table("target", tuple(Target.__dataclass_fields__)), folder),
        operator=_operator(top.table("operator", _TOKEN_KEYS), folder, environ),
        auditor=_operator(top.table("auditor", _TOKEN_KEYS), folder, environ),
        capabilities=_capabilities(top.table("capabilities", ("protocols", "roles", "auth_types"))),
        timings=_timings(top.table("timings", tuple(Timings.__dataclass_fields__))),
        partner=_partner(top.table("partner", ("listen", "address", "grpc_port", "other_host"))),
        tls=_tls(top.table("tls", ("mode", *_TLS_FILES)), folder),
        peer=_peer(top.table("peer", ("url", "node_id", *_TOKEN_KEYS)), folder, environ),
        gap=_gap(top.table("gap", _GAP_KEYS), folder),
        relay=_relay(top.table("gap", _GAP_KEYS).table("relay", tuple(RelayPlace.__dataclass_fields__)), folder),
        hooks=_hooks(top.table("operator_hooks", tuple(Hooks.__dataclass_fields__)), folder),
        declarations=_declarations(top.table("declarations", None)),
    )


def _target(table: Table, folder: Path) -> Target:
    url, node_id = _address(table, "url", table.text("url")), _node_id(table)
    binding = table.text("binding", "reference")
    if binding.endswith(".toml"):
        binding = str(folder / binding)
    name, grpc, other = table.text("name", node_id), table.text("grpc", ""), table.text("other_url", "")
    grpc = _address(table, "grpc", grpc, "grpc") if grpc else ""
    return Target(name, url, node_id, binding, grpc, _address(table, "other_url", other) if other else "")


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
    named = ("dump", "tamper", "backup", "kill_replica", "fill_disk", "rollback", "revoke")
    commands = {key: table.texts(key, ()) for key in named}
    datasets = folder / table.text("datasets_path") if "datasets_path" in table else None
    return Hooks(tuple(storage), tuple(logs), **commands, datasets_path=datasets)


def _gap(table: Table, folder: Path) -> GapPlace | None:
    if not set(table.keys()) - {"relay"}:
        return None
    return GapPlace(folder / table.text("folder"), _node_id(table, "partner"))


def _relay(table: Table, folder: Path) -> RelayPlace | None:
    if not table.keys():
        return None
    names = ("outer", "inner", "outer_key", "inner_key")
    outer, inner, outer_key, inner_key = (folder / table.text(name) for name in names)
    ids = _node_id(table, "outer_id"), _node_id(table, "inner_id")
    if "session_mib" not in table:
        raise table.fault("session_mib", "is missing", "Say how many MiB the relay's policy lets a session carry.")
    if ("evidence" in table) and ("evidence_file" in table):
        raise table.fault("evidence", "is given beside evidence_file", "Give the command or the file.")
    file, key = (folder / table.text(name) if name in table else None for name in ("evidence_file", "key"))
    most = table.integer("session_mib", 0, least=1, most=64)
    evidence = table.texts("evidence", ())
    return RelayPlace(outer, inner, *ids, outer_key, inner_key, most, evidence, file, key)


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
        backup_seconds=table.number("backup_seconds", usual.backup_seconds, least=0, most=3600),
        recovery_seconds=table.number("recovery_seconds", usual.recovery_seconds, least=0.1, most=3600),
        silence_seconds=table.number("silence_seconds", usual.silence_seconds, least=0.1, most=3600),
        answer_seconds=table.number("answer_seconds", usual.answer_seconds, least=0.1, most=3600),
    )


def _partner(table: Table) -> PartnerPlace:
    listen = table.text("listen", "127.0.0.1:0")
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise table.fault("listen", f'"{listen}" is not host:port', 'Write it as "127.0.0.1:0"; 0 takes a free port.')
    address = table.text("address", "")
    grpc_port = table.integer("grpc_port", 0, most=65535)
    address = _address(table, "address", address) if address else ""
    return PartnerPlace(host, int(port), address, grpc_port, _figures(table, "other_host"))


def _figures(table: Table, key: str) -> str:
    host = table.text(key, "")
    try:
        return str(ipaddress.ip_address(host)) if host else ""
    except ValueError:
        raise table.fault(key, f'"{host}" is no IP address', 'Write it in figures, such as "2001:db8::7".') from None


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
