"""The node's configuration: one TOML file, every key checked, every key with a default.

Guarantees: an unknown section or key, a value of the wrong kind or out of range is a ConfigError that names the section
and the key, the valid ones, and what was probably meant. Keyword overrides (the command line's) win over the file.

>>> load_config(None, port=0, node_id="node-a").node_id
'node-a'
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from reference_node.domain.places import CLASSES, network_problem
from reference_node.errors import ConfigError
from reference_node.evidence.noting import ALWAYS, GROUPS, Act
from reference_node.runtime.confinement import ANY, NODE
from reference_node.security.suites import CERT, SUITES, TLS_SUITES

AUTH_TYPES = tuple(str(suite.auth_type) for suite in SUITES)
_TLS_NAMES = tuple(suite.name for suite in TLS_SUITES)

_ACTS = tuple(group for group in GROUPS if group != ALWAYS)


def _key(section: str, default: Any, check: Callable[[Any], str | None], name: str = "") -> Any:
    """Declare a field of the configuration: where it stands in the file and what it may be."""
    secret = check in (_token, _url)
    return field(
        default=default, repr=not secret, metadata={"section": section, "check": check, "name": name, "secret": secret}
    )


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "a non-empty text"


def _identifier(value: Any) -> str | None:
    fits = isinstance(value, str) and 0 < len(value) <= 128 and value[0].isascii() and value[0].isalnum()
    return None if fits and set(value) <= _ID_CHARACTERS else "an identifier of letters, digits and . _ : -"


def _token(value: Any) -> str | None:
    fits = isinstance(value, str) and len(value) >= 16 and value.isascii() and value.isprintable() and " " not in value
    return None if fits else "a token of at least 16 visible characters"


def _url(value: Any) -> str | None:
    fits = isinstance(value, str) and value.startswith(("sqlite:///", "postgresql+psycopg://"))
    return None if fits else "an address that begins with postgresql+psycopg:// or sqlite:///"


def _grpc(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"grpc://[^/\s]+:\d{1,5}", value)
    return None if fits else "an address grpc://host:port"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _path(value: Any) -> str | None:
    return None if isinstance(value, (str, Path)) else "a path"


def _paths(value: Any) -> str | None:
    fits = isinstance(value, (list, tuple)) and all(isinstance(item, (str, Path)) and str(item) for item in value)
    return None if fits else "a list of folders"


def _number(least: float, most: float, *, whole: bool = True) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        kind = int if whole else (int, float)
        fits = isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most
        return None if fits else f"a number from {least:g} to {most:g}"

    return check


def _one_of(*valid: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in valid else "one of " + ", ".join(valid) + _meant(str(value), valid)


def _some_of(*valid: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fits = isinstance(value, (list, tuple)) and value and all(item in valid for item in value)
        return None if fits else "a list of " + ", ".join(valid)

    return check


def _hosts(value: Any) -> str | None:
    several = isinstance(value, (list, tuple)) and value and all(_text(item) is None for item in value)
    return None if several or _text(value) is None else "an address, or a list of addresses"


def _sources(value: Any) -> str | None:
    try:
        fits = isinstance(value, (list, tuple)) and all(ip_network(item, strict=False) is not None for item in value)
    except (TypeError, ValueError):
        fits = False
    return None if fits else "a list of addresses or networks, such as 10.0.0.7 or 10.0.0.0/24"


def _networks(value: Any) -> str | None:
    fits = isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value)
    wanted = "a list of " + ", ".join(CLASSES) + " and networks like 10.20.0.0/16"
    return None if fits and network_problem(value) is None else wanted


def _names(value: Any) -> str | None:
    fits = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    return None if fits else "a list of names"


def _places(value: Any) -> str | None:
    fits = isinstance(value, (list, tuple)) and all(
        isinstance(item, str) and Path(item).is_absolute() for item in value
    )
    return None if fits else "a list of absolute paths"


def _command(value: Any) -> str | None:
    fits = _names(value) is None and value and all(value)
    return None if fits else "a list of a program and its arguments"


def _nodes(value: Any) -> str | None:
    fits = isinstance(value, (list, tuple)) and all(_identifier(item) is None for item in value)
    return None if fits else "a list of node ids"


def _nodes_by_name(value: Any) -> str | None:
    fits = isinstance(value, Mapping) and all(_nodes(item) is None for item in value.values())
    return None if fits else "a list of node ids for each name"


_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set; the section of the file and the check of each stand beside it."""

    data: Path | None = _key("store", None, _path)  # noqa: RUF009 - _key is dataclasses.field
    database: str | None = _key("store", None, _url, "url")
    cipher: str = _key("store", "SM4-GCM", _one_of("SM4-GCM", "AES-256-GCM"))
    key_file: Path | None = _key("store", None, _path)  # noqa: RUF009 - the same
    key_env: str | None = _key("store", None, _text)
    key_command: tuple[str, ...] | None = _key("store", None, _command)
    seal_files: bool = _key("store", True, _flag)
    backup: Path | None = _key("store", None, _path)  # noqa: RUF009 - the same
    backup_seconds: int = _key("store", 60, _number(1, 86_400))
    store_check_seconds: int = _key("store", 60, _number(1, 86_400), "check_seconds")
    dataset_folders: tuple[Path, ...] = _key("datasets", (), _paths, "folders")
    node_id: str | None = _key("node", None, _identifier, "id")
    node_name: str | None = _key("node", None, _text, "name")
    description: str | None = _key("node", None, _text)
    inst_id: str | None = _key("node", None, _identifier)
    institution: str | None = _key("node", None, _text)
    address: str | None = _key("node", None, _text)
    operator_token: str | None = _key("node", None, _token)
    auth_type: str = _key("node", "SM3_SM2", _one_of(*AUTH_TYPES))
    host: str | tuple[str, ...] = _key("server", "127.0.0.1", _hosts)
    port: int = _key("server", 8801, _number(0, 65535))
    threads: int = _key("server", 10, _number(1, 256))
    head_seconds: float = _key("server", 10.0, _number(0.1, 600, whole=False))
    idle_seconds: float = _key("server", 30.0, _number(0.1, 86_400, whole=False))
    least_kib_per_second: float = _key("server", 16.0, _number(0.01, 1_048_576, whole=False))
    connections: int = _key("server", 16_384, _number(16, 1_000_000))
    connections_per_address: int = _key("server", 1024, _number(1, 1_000_000))
    buffer_mib: int = _key("server", 64, _number(4, 65_536))
    proxy_protocol_from: tuple[str, ...] = _key("server", (), _sources)
    background: bool = _key("server", True, _flag)
    standby: bool = _key("server", False, _flag)
    auth_types: tuple[str, ...] = _key("security", AUTH_TYPES, _some_of(*AUTH_TYPES, CERT))
    timestamp_window_seconds: int = _key("security", 300, _number(1, 86_400))
    lockout_threshold: int = _key("security", 5, _number(1, 1000))
    lockout_seconds: int = _key("security", 300, _number(1, 86_400))
    proof_of_possession: str = _key("security", "required", _one_of("required", "optional"))
    application_days: int = _key("security", 7, _number(1, 365))
    pending_applications: int = _key("security", 1000, _number(1, 1_000_000))
    pending_applications_of_address: int = _key("security", 250, _number(1, 1_000_000))
    proofs: str = _key("security", "offered", _one_of("offered", "required"))
    scanner: str | None = _key("security", None, _text)
    scanner_seconds: float = _key("security", 60.0, _number(0.1, 3600, whole=False))
    tls: str = _key("tls", "off", _one_of("off", "intl", "gm"), "mode")
    tls_certificate: Path | None = _key("tls", None, _path, "certificate")  # noqa: RUF009 - the same
    tls_key: Path | None = _key("tls", None, _path, "key")  # noqa: RUF009 - the same
    tls_ca: Path | None = _key("tls", None, _path, "ca")  # noqa: RUF009 - the same
    tls_crl: Path | None = _key("tls", None, _path, "crl")  # noqa: RUF009 - the same
    tls_suites: tuple[str, ...] = _key("tls", _TLS_NAMES, _some_of(*_TLS_NAMES), "suites")
    tls_handshake_seconds: float = _key("tls", 10.0, _number(0.1, 600, whole=False), "handshake_seconds")
    networks: tuple[str, ...] | None = _key("partner", None, _networks)
    timeout_seconds: float = _key("partner", 5.0, _number(0.1, 600, whole=False))
    attempts: int = _key("partner", 3, _number(1, 10))
    poll_seconds: int = _key("partner", 30, _number(1, 86_400))
    retry_seconds: int = _key("partner", 1, _number(1, 3600))
    retry_limit_seconds: int = _key("partner", 60, _number(1, 86_400))
    abandon_seconds: int = _key("partner", 7 * 86_400, _number(1, 365 * 86_400))
    grpc_port: int | None = _key("channel", None, _number(0, 65535))
    grpc_address: str | None = _key("channel", None, _grpc)
    channel_memory_mib: int = _key("channel", 64, _number(1, 65_536), "memory_mib")
    channel_quota_mib: int = _key("channel", 8192, _number(1, 1_048_576), "quota_mib")
    channel_chunk_kib: int = _key("channel", 1024, _number(1, 16_384), "chunk_kib")
    channel_patience_seconds: float = _key("channel", 60.0, _number(0.1, 86_400, whole=False), "patience_seconds")
    channel_timeout_seconds: float = _key("channel", 30.0, _number(0.1, 3600, whole=False), "timeout_seconds")
    receive_seconds: float = _key("channel", 2.0, _number(0, 60, whole=False))
    gap: Path | None = _key("gap", None, _path, "folder")  # noqa: RUF009 - the same
    gap_partners: tuple[str, ...] = _key("gap", (), _nodes, "partners")
    gap_timeout_seconds: float = _key("gap", 30.0, _number(0.1, 3600, whole=False), "timeout_seconds")
    gap_poll_seconds: float = _key("gap", 0.05, _number(0.01, 10, whole=False), "poll_seconds")
    job_approval: str = _key("job", "flow", _one_of("flow", "required", "none"), "approval")
    job_seconds: int = _key("job", 86_400, _number(1, 365 * 86_400), "timeout_seconds")
    order_seconds: int = _key("job", 60, _number(1, 86_400), "patience_seconds")
    task_poll_seconds: int = _key("job", 5, _number(1, 86_400), "poll_seconds")
    task_slots: int = _key("job", 16, _number(1, 1024), "slots")
    keep_days: int = _key("job", 30, _number(0, 36_500))
    file_mib: int = _key("job", 65_536, _number(1, 16_777_216))
    memory_most_mib: int = _key("job", 65_536, _number(1, 1_048_576), "memory_mib")
    session_linger_seconds: int = _key("job", 60, _number(0, 86_400))
    component_allow: Mapping[str, Sequence[str]] | None = _key("components", None, _nodes_by_name, "allow")
    component_hidden: tuple[str, ...] = _key("components", (), _places, "hidden")
    component_readable: tuple[str, ...] = _key("components", (), _places, "readable")
    component_writable: tuple[str, ...] = _key("components", (), _places, "writable")
    component_network: str = _key("components", NODE, _one_of(NODE, ANY), "network")
    auditor_token: str | None = _key("evidence", None, _token)
    evidence_acts: tuple[str, ...] = _key("evidence", _ACTS, _some_of(*_ACTS, *Act), "acts")
    evidence_content: str = _key("evidence", "digests", _one_of("digests", "terms"), "content")
    evidence_retention_days: int = _key("evidence", 183, _number(183, 36_500), "retention_days")
    evidence_segment_days: int = _key("evidence", 1, _number(1, 31), "segment_days")
    evidence_segment_records: int = _key("evidence", 10_000, _number(2, 1_000_000), "segment_records")
    evidence_checkpoint_records: int = _key("evidence", 64, _number(1, 10_000), "checkpoint_records")
    evidence_checkpoint_seconds: int = _key("evidence", 60, _number(1, 86_400), "checkpoint_seconds")
    evidence_backup: Path | None = _key("evidence", None, _path, "backup")  # noqa: RUF009 - the same
    evidence_backup_seconds: int = _key("evidence", 3600, _number(1, 86_400), "backup_seconds")
    faults: tuple[str, ...] = _key("faults", (), _names, "active")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses to listen on."""
        return (self.host,) if isinstance(self.host, str) else self.host


def load_config(path: Path | None, **overrides: Any) -> Config:
    """Read the file, if any, and put the given overrides over it; None means not given."""
    values = {} if path is None else _from_file(path)
    known = {item.name for item in fields(Config)}
    for name, value in overrides.items():
        if name not in known:
            raise ConfigError(f"there is no setting {name}" + _meant(name, known))
        if value is not None:
            values[name] = value
    found = Config(**{name: _checked(name, value) for name, value in values.items()})
    if path is None:
        return found
    return replace(found, component_hidden=(*found.component_hidden, str(path.absolute())))  # it may hold tokens


def _from_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise ConfigError(f"there is no configuration file {path}") from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path}: {wrong}") from wrong
    sections = _sections()
    values: dict[str, Any] = {}
    for section, keys in content.items():
        if section not in sections:
            raise ConfigError(f"{path}: there is no section [{section}]" + _meant(section, sections))
        if not isinstance(keys, dict):
            raise ConfigError(f"{path}: {section} is a section, [{section}]")
        for key, value in keys.items():
            if key not in sections[section]:
                raise ConfigError(f"{path}: [{section}] has no key {key}" + _meant(key, sections[section]))
            values[sections[section][key]] = value
    return values


def _sections() -> Mapping[str, Mapping[str, str]]:
    """Return section -> key in the file -> field."""
    found: dict[str, dict[str, str]] = {}
    for item in fields(Config):
        found.setdefault(item.metadata["section"], {})[item.metadata["name"] or item.name] = item.name
    return found


def _checked(name: str, value: Any) -> Any:
    item = next(item for item in fields(Config) if item.name == name)
    wanted = item.metadata["check"](value)
    if wanted is not None:
        key = item.metadata["name"] or item.name
        shown = "***" if item.metadata["secret"] else repr(value)
        raise ConfigError(f"[{item.metadata['section']}] {key} = {shown} is not {wanted}")
    if item.metadata["check"] is _path:
        return Path(value)
    if item.metadata["check"] is _paths:
        return tuple(Path(item) for item in value)
    return tuple(value) if isinstance(value, list) else value


def _meant(given: str, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(valid), n=1)
    listed = ", ".join(sorted(valid))
    return f"; did you mean {close[0]}? Valid: {listed}" if close else f"; valid: {listed}"
