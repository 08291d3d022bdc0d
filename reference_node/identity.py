"""Who this node is: its private keys and its operator's token, made at the first start and kept afterwards (9.2-a-1).

Guarantees: every secret lies in a file of mode 0600 of the data folder; without a folder it lives in memory only; a
second start reads what the first has written. Neither shows in `repr`.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

from reference_node.errors import ConfigError
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PrivateKey

_TOKEN_FILE = "operator-token"  # noqa: S105 - the file's name


class Identity:
    """Keys by suite and the operator's token of one node."""

    def __init__(self, data: Path | None = None, *, operator_token: str | None = None) -> None:
        self._data = data
        self._keys: dict[str, PrivateKey] = {}
        self._lock = threading.Lock()
        if data is not None:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        if self._data is None:
            return PrivateKey.generate(auth_type)
        path = self._data / f"node-key-{auth_type.lower().replace('_', '-')}.pem"
        try:
            if path.exists():
                return PrivateKey.load(path)
        except SecurityFailure as refused:
            raise ConfigError(f"{path}: {refused}", hint=refused.hint) from refused
        key = PrivateKey.generate(auth_type)
        key.save(path)
        return key

    def _token(self) -> str:
        if self._data is None:
            return secrets.token_urlsafe(32)
        path = self._data / _TOKEN_FILE
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            kept = path.read_text(encoding="ascii").strip()
            if not kept:
                raise ConfigError(f"{path} is empty", hint="delete it to have a new one drawn") from None
            return kept
        token = secrets.token_urlsafe(32)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
        return token
