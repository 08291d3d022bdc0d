"""Who this node is: its private keys and its operator's token, made at the first start and kept afterwards (9.2-a-1).

Guarantees: private keys are kept sealed (9.2-e-2), in files of mode 0600 of the data folder or, where replicas share a
database, in there; without either they live in memory only; a second start reads what the first has written, and all
replicas have the same. Neither shows in `repr`. The operator's token lies readable in a file of mode 0600: it is the
operator's to read.
"""

from __future__ import annotations

import os
import secrets as random
import threading
from pathlib import Path
from typing import Protocol

from reference_node import private
from reference_node.errors import ConfigError
from reference_node.security.errors import PrivateKeyRefused, SecurityFailure
from reference_node.security.keys import PrivateKey
from reference_node.security.vault import Vault

_TOKEN_FILE = "operator-token"  # noqa: S105 - the file's name
_OTHERS = 0o077


class Secrets(Protocol):
    """Where sealed secrets are kept."""

    def get(self, name: str) -> bytes | None:
        """Return what is kept under a name."""

    def keep(self, name: str, sealed: bytes) -> bytes:
        """Keep a secret unless there is one of the name already; return the one that is kept."""


class FolderSecrets:
    """Each secret in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """Return what is kept under a name."""
        try:
            with (self._folder / f"{name}.sealed").open("rb") as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise PrivateKeyRefused(f"{name} can be read by others than its owner", hint="chmod 600 the file")
                return file.read()
        except FileNotFoundError:
            return None

    def keep(self, name: str, sealed: bytes) -> bytes:
        """Keep a secret unless there is one of the name already; return the one that is kept."""
        try:
            _write_new(self._folder / f"{name}.sealed", sealed)
        except FileExistsError:
            return self.get(name) or sealed
        return sealed


class MemorySecrets:
    """Nothing is kept beyond the process."""

    def get(self, _name: str) -> bytes | None:
        """Return nothing."""
        return None

    def keep(self, _name: str, sealed: bytes) -> bytes:
        """Keep nothing."""
        return sealed


class Identity:
    """Keys by suite and the operator's token of one node; `shared` is where its replicas have theirs."""

    def __init__(
        self,
        data: Path | None = None,
        *,
        operator_token: str | None = None,
        vault: Vault | None = None,
        shared: Secrets | None = None,
    ) -> None:
        self._data = data
        self._keys: dict[str, PrivateKey] = {}
        self._lock = threading.Lock()
        if data is not None:
            private.make(data)
        self._vault = vault or Vault.of_folder(data)
        self._shared = shared
        self._secrets = shared or (MemorySecrets() if data is None else FolderSecrets(data))
        self.operator_token = operator_token or self._token()

    def __repr__(self) -> str:
        return f"Identity(data={self._data}, operator_token=***)"

    def key(self, auth_type: str) -> PrivateKey:
        """Return the node's key for a suite; it is drawn when it is first wanted."""
        known = self._keys.get(auth_type)
        if known is not None:
            return known
        with self._lock:
            if auth_type not in self._keys:
                self._keys[auth_type] = self._load_or_draw(auth_type)
            return self._keys[auth_type]

    def _load_or_draw(self, auth_type: str) -> PrivateKey:
        name = f"node-key-{auth_type.lower().replace('_', '-')}"
        try:
            kept = self._secrets.get(name)
            if kept is None:
                drawn = PrivateKey.generate(auth_type).to_pem().encode("ascii")
                kept = self._secrets.keep(name, self._vault.seal(drawn, name.encode()))
            return PrivateKey.from_pem(self._vault.open(kept, name.encode()).decode("ascii"))
        except SecurityFailure as refused:
            raise ConfigError(f"{name}: {refused}", hint=refused.hint) from refused

    def _token(self) -> str:
        drawn = random.token_urlsafe(32)
        if self._shared is not None:
            name = _TOKEN_FILE.encode()
            kept = self._shared.get(_TOKEN_FILE) or self._shared.keep(
                _TOKEN_FILE, self._vault.seal(drawn.encode("ascii"), name)
            )
            drawn = self._vault.open(kept, name).decode("ascii")
            if self._data is not None:
                (self._data / _TOKEN_FILE).unlink(missing_ok=True)
        if self._data is None:
            return drawn
        path = self._data / _TOKEN_FILE
        try:
            _write_new(path, drawn.encode("ascii") + b"\n")
        except FileExistsError:
            found = path.read_text(encoding="ascii").strip()
            if not found:
                raise ConfigError(f"{path} is empty", hint="delete it to have a new one drawn") from None
            return found
        return drawn


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
