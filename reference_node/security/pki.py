"""A small certification authority in a folder, for trials and tests (9.2-a): init, issue, revoke, crl, show.

    ca.pem  ca-key.pem  ca.crl      the CA, its key (mode 0600), its revocation list, there from the beginning
    index.json                      what was issued and what was revoked
    NODE_ID/certificate.pem, key.pem

Guarantees: a key's file can be read by its owner only and is never overwritten; numbers are random; the list is
written anew by every revocation, as a whole. A platform in operation takes its certificates from a licensed CA.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from reference_node import private
from reference_node.errors import ConfigError
from reference_node.security import certificates
from reference_node.security.certificates import Authority, Holder
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PrivateKey
from reference_node.security.suites import AuthType
from reference_node.security.trust import Trust

SUITES: Final = {"sm2": AuthType.SM3_SM2, "p256": AuthType.SHA256_ECDSA}
CA: Final = "ca.pem"
CRL: Final = "ca.crl"
_KEY: Final = "ca-key.pem"
_INDEX: Final = "index.json"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in the index; times in ISO 8601, `revoked` empty while it is not."""

    serial: str
    node_id: str
    role: str
    addresses: tuple[str, ...]
    expires: str
    revoked: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a node's certificate and key were put."""

    certificate: Path
    key: Path


class Pki:
    """The authority in one folder."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self._authority = authority

    @classmethod
    def init(cls, folder: Path, suite: str, name: str = "Hutong CA", days: int = 3650) -> Pki:
        """Make a CA in a folder that has none."""
        if (folder / CA).exists():
            raise ConfigError(f"there is a CA in {folder} already", hint="choose another folder")
        private.make(folder)
        key = PrivateKey.generate(SUITES[suite])
        with _told(folder):
            key.save(folder / _KEY)
            certificate = certificates.root(key, name, days, _now())
            made = cls(folder, Authority(certificate, key))
            made._write_index(0, [])
            made.write_crl()
            _replace(folder / CA, certificate.pem)
        return made

    @classmethod
    def open(cls, folder: Path) -> Pki:
        """Return the CA of a folder."""
        if not (folder / CA).exists():
            raise ConfigError(f"there is no CA in {folder}", hint=f"make one: hutong pki init {folder}")
        with _told(folder):
            certificate = certificates.read((folder / CA).read_text(encoding="ascii"))
            return cls(folder, Authority(certificate, PrivateKey.load(folder / _KEY)))

    def issue(self, holder: Holder, days: float = 365, out: Path | None = None) -> Files:
        """Draw a key for a node and certify it; both go into a folder of the node's."""
        place = out or self.folder / holder.node_id
        files = Files(place / "certificate.pem", place / "key.pem")
        private.make(place)
        with _told(place):
            key = PrivateKey.generate(self._authority.key.public.auth_type)
            made = certificates.issue(self._authority, key.public, holder, days, _now())
            key.save(files.key)
        _replace(files.certificate, made.pem)
        number, rows = self._index()
        addresses = tuple(str(address) for address in holder.addresses)
        expires = made.parsed.not_valid_after_utc.isoformat()
        row = Issued(f"{made.serial:x}", holder.node_id, holder.role, addresses, expires)
        self._write_index(number, [*rows, row])
        return files

    def revoke(self, which: str) -> list[Issued]:
        """Revoke the certificate of a number or in a file, or all of a node's, and write the list; return them."""
        number, rows = self._index()
        named = {row.serial for row in rows if which in (row.serial, row.node_id)}
        if not named and Path(which).is_file():
            shown = self._shown(Path(which))
            rows += [] if shown.serial in {row.serial for row in rows} else [shown]
            named = {shown.serial}
        chosen = [row for row in rows if row.serial in named and not row.revoked]
        if not chosen:
            raise ConfigError(f"no certificate in force is of {which}", hint="`hutong pki show` lists them")
        at = _now().isoformat()
        self._write_index(number, [replace(row, revoked=at) if row in chosen else row for row in rows])
        self.write_crl()
        return chosen

    def _shown(self, path: Path) -> Issued:
        """Return the row of a certificate of this CA that the index need not know."""
        try:
            shown = certificates.read_all(path.read_text(encoding="ascii"))[0]
            Trust(self.folder / CA).check(shown, int(_now().timestamp() * 1000))
        except (OSError, UnicodeDecodeError, SecurityFailure) as wrong:
            raise ConfigError(f"{path} is no certificate of this CA: {wrong}", hint="give its PEM file") from wrong
        holder, expires = shown.holder or Holder("", "", ()), shown.parsed.not_valid_after_utc.isoformat()
        addresses = tuple(str(address) for address in holder.addresses)
        return Issued(f"{shown.serial:x}", holder.node_id, holder.role, addresses, expires)

    def write_crl(self, days: int = 30) -> Path:
        """Write the revocation list, valid from now for some days."""
        number, rows = self._index()
        revoked = [(int(row.serial, 16), dt.datetime.fromisoformat(row.revoked)) for row in rows if row.revoked]
        _replace(self.folder / CRL, certificates.revocation_list(self._authority, revoked, number + 1, days, _now()))
        self._write_index(number + 1, rows)
        return self.folder / CRL

    def issued(self) -> list[Issued]:
        """Return everything that was ever issued."""
        return self._index()[1]

    def _index(self) -> tuple[int, list[Issued]]:
        try:
            content = json.loads((self.folder / _INDEX).read_text(encoding="utf-8"))
            rows = [Issued(**{**row, "addresses": tuple(row["addresses"])}) for row in content["issued"]]
            return int(content["crl_number"]), rows
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            raise ConfigError(f"{self.folder / _INDEX} cannot be read", hint="restore it from a copy") from wrong

    def _write_index(self, number: int, rows: list[Issued]) -> None:
        content = {"crl_number": number, "issued": [asdict(row) for row in rows]}
        _replace(self.folder / _INDEX, json.dumps(content, indent=1) + "\n")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old one or the new one."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """Turn what may go wrong with files and names into words for whoever typed the command."""
    try:
        yield
    except FileExistsError as there:
        raise ConfigError(f"{there.filename} is there already", hint="a key is not overwritten; give --out") from there
    except OSError as wrong:
        raise ConfigError(f"{place}: {wrong.strerror}") from wrong
    except SecurityFailure as wrong:
        raise ConfigError(f"{place}: {wrong}", hint=wrong.hint) from wrong
    except ValueError as wrong:
        raise ConfigError(str(wrong), hint="node ids have letters, digits and . _ : -, roles lower case") from wrong
