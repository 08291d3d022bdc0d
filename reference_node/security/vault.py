"""The vault: what the node keeps is sealed under data keys, and those under one key-encryption key (9.2-e-1, 9.2-e-2).

Guarantees: SM4-GCM unless AES-256-GCM is chosen; what was sealed opens only whole, only with the context that it was
sealed with, and only under its own key; one changed byte raises StoreTampered, which is also reported. A data key never
leaves the vault unwrapped; a key that was destroyed cannot come back, and its id stays known as destroyed. The
key-encryption key is changed without sealing any data anew.

>>> vault = Vault.of_folder(None)
>>> vault.open(vault.seal(b"secret", b"permits.token"), b"permits.token")
b'secret'
"""

from __future__ import annotations

import hmac
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, Self

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import ciphers, hashes
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from reference_node import private
from reference_node.security import primitives
from reference_node.security.errors import KeyDestroyed, StoreTampered, VaultKeyRefused
from reference_node.security.keyring import FileKeyring, KeyRecord, MemoryKeyring

log = structlog.get_logger("reference_node.vault")

ID_BYTES: Final = 8
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEK_BYTES: Final = 32
_MAC_BYTES: Final = 32
_VERSION: Final = 1
_HEAD_BYTES: Final = 1 + ID_BYTES + NONCE_BYTES
_INDEX_ID: Final = b"index\0\0\0".hex()  # one for all times and all replicas: digests must stay comparable
_OTHERS: Final = 0o077
_ASK_SECONDS: Final = 30
_SAID: Final = 200
_ASKING: Final = "run [store] key_command by hand, as the user that the node runs as"
KEY_FILE: Final = "vault.key"
KEYRING_FILE: Final = "vault-keys.json"


class CipherName(StrEnum):
    """What data is sealed with."""

    SM4_GCM = "SM4-GCM"
    AES_256_GCM = "AES-256-GCM"


# of both ciphers the key is as long as it is strong
_KEY_SIZES: Final = {
    CipherName.SM4_GCM: primitives.find("SM4").strength_bits // 8,
    CipherName.AES_256_GCM: primitives.find("AES-256").strength_bits // 8,
}


class Purpose(StrEnum):
    """What a data key is for: `DATA` keys take turns, `KEPT` ones are used by whoever knows their id."""

    DATA = "data"
    KEPT = "kept"
    INDEX = "index"


class Keyring(Protocol):
    """Where wrapped data keys are kept."""

    def read(self) -> Mapping[str, KeyRecord]:
        """Every record by its key's id."""

    def add(self, record: KeyRecord) -> bool:
        """Keep a further record; False, and nothing is kept, where the id is there already."""

    def replace(self, records: Mapping[str, KeyRecord]) -> None:
        """Put these in the place of those of the same ids, all or none."""


@dataclass(slots=True)
class Vault:
    """Seals, opens, and keeps the keys; `tampered` is told of everything that was found changed.

    `overlook` is for deliberate defects: what it answers True of is not looked at.
    """

    kek: bytes = field(repr=False)
    keyring: Keyring
    cipher: CipherName = CipherName.SM4_GCM
    tampered: Callable[[str], None] | None = None
    overlook: Callable[[str], bool] | None = None
    _keys: dict[str, bytes] = field(default_factory=dict, repr=False)
    _records: dict[str, KeyRecord] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        if len(self.kek) != KEK_BYTES:
            raise VaultKeyRefused(f"the key-encryption key has {len(self.kek)} bytes and not {KEK_BYTES}")
        self._records = dict(self.keyring.read())
        for record in self._records.values():
            if not record.destroyed_at:
                self._unwrapped(record)

    def __reduce__(self) -> str:
        raise TypeError("a vault is not pickled")

    @classmethod
    def of_folder(cls, data: Path | None, *, kek: bytes | None = None, cipher: str = CipherName.SM4_GCM) -> Self:
        """Open the vault of a data folder, and make it at the first start; without a folder all stays in memory."""
        if data is None:
            return cls(kek or secrets.token_bytes(KEK_BYTES), MemoryKeyring(), CipherName(cipher))
        keyring = FileKeyring(data / KEYRING_FILE)
        return cls(kek or _kek_of_folder(data / KEY_FILE, keyring), keyring, CipherName(cipher))

    def seal(self, plain: bytes, context: bytes, *, key_id: str | None = None) -> bytes:
        """Encrypt under the current data key, or a given one; the context is bound to the result and not held in it."""
        key_id = key_id or self.current()
        nonce = secrets.token_bytes(NONCE_BYTES)
        head = bytes([_VERSION]) + bytes.fromhex(key_id) + nonce
        return head + encrypt(*self._secret(key_id), nonce, plain, head + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed; raise StoreTampered, or KeyDestroyed where its key was."""
        if len(sealed) < _HEAD_BYTES + TAG_BYTES or sealed[0] != _VERSION:
            raise self.report(context, "is not of the vault's form")
        head, nonce = sealed[:_HEAD_BYTES], sealed[1 + ID_BYTES : _HEAD_BYTES]
        cipher, key = self._secret(head[1 : 1 + ID_BYTES].hex(), context)
        try:
            return decrypt(cipher, key, nonce, sealed[_HEAD_BYTES:], head + context)
        except InvalidTag:
            raise self.report(context, "was changed, or belongs to another place") from None

    def mac(self, plain: bytes, context: bytes) -> bytes:
        """Return an HMAC-SM3 under the current key, its id in front."""
        key_id = self.current()
        return bytes.fromhex(key_id) + self._hmac(key_id, plain, context)

    def check(self, plain: bytes, mac: bytes, context: bytes) -> None:
        """Return when the code is that of the text and its context, else raise StoreTampered."""
        if len(mac) != ID_BYTES + _MAC_BYTES:
            raise self.report(context, "has no authentication code of the vault's form")
        if hmac.compare_digest(self._hmac(mac[:ID_BYTES].hex(), plain, context), mac[ID_BYTES:]):
            return
        if self.overlook is None or not self.overlook(context.decode()):
            raise self.report(context, "does not fit its authentication code")

    def subkey(self, key_id: str, salt: bytes, context: bytes) -> tuple[CipherName, bytes]:
        """Return a key derived from a data key, for one long thing that is sealed piece by piece."""
        cipher, key = self._secret(key_id, context)
        return cipher, _derived(key, b"file " + salt, _KEY_SIZES[cipher])

    def digest(self, plain: bytes, context: bytes) -> str:
        """Return a keyed digest (HMAC-SM3) that is always the same, to search sealed values by; 64 hex characters."""
        with self._lock:
            if _INDEX_ID not in self._records:
                self._make(_INDEX_ID, Purpose.INDEX)
        return self._hmac(_INDEX_ID, plain, context).hex()

    def counting(self, context: bytes) -> Callable[[bytes], bytes]:
        """Return a keyed function (HMAC-SM3) of one use: the same for as long as there is the vault, and quick."""
        self.digest(b"", context)
        key = _derived(self._secret(_INDEX_ID, context)[1], b"counting " + context, _MAC_BYTES)
        begun = HMAC(key, hashes.SM3())

        def counted(plain: bytes) -> bytes:
            code = begun.copy()
            code.update(plain)
            return code.finalize()

        return counted

    def current(self) -> str:
        """Return the id of the key that seals now."""
        with self._lock:
            live = [r for r in self._records.values() if r.purpose == Purpose.DATA and not r.destroyed_at]
            newest = max(live, key=lambda record: (record.made_at, record.id), default=None)
            return self.new_key(Purpose.DATA) if newest is None else newest.id

    def new_key(self, purpose: Purpose = Purpose.KEPT) -> str:
        """Draw a data key and return its id."""
        return self._make(secrets.token_hex(ID_BYTES), purpose)

    def rotate(self) -> str:
        """Seal with a new key from now on; what the earlier ones have sealed stays readable."""
        return self.new_key(Purpose.DATA)

    def rewrap(self, kek: bytes) -> None:
        """Wrap every data key under another key-encryption key; no data is touched."""
        if len(kek) != KEK_BYTES:
            raise VaultKeyRefused(f"the key-encryption key has {len(kek)} bytes and not {KEK_BYTES}")
        with self._lock:
            self._records = dict(self.keyring.read())
            live = [record for record in self._records.values() if not record.destroyed_at]
            fresh = {record.id: _wrapped(kek, record, self._unwrapped(record)) for record in live}
            self.keyring.replace(fresh)
            self._records.update(fresh)
            self.kek = kek

    def destroy_key(self, key_id: str) -> None:
        """Forget a key for good: what it has sealed cannot be read any more by anybody (crypto-shredding)."""
        with self._lock:
            record = self._record(key_id)
            if record is None:
                raise VaultKeyRefused(f"there is no data key {key_id}")
            gone = replace(record, wrapped="", destroyed_at=record.destroyed_at or time.time_ns() // 1_000_000)
            self.keyring.replace({key_id: gone})
            self._records[key_id] = gone
            self._keys.pop(key_id, None)

    def destroyed(self, key_id: str) -> int | None:
        """Return when a key was destroyed, in Unix milliseconds; None while it lives."""
        with self._lock:
            record = self._record(key_id)
            if record is None:
                raise VaultKeyRefused(f"there is no data key {key_id}")
            return record.destroyed_at

    def refresh(self) -> None:
        """Learn which keys another replica has destroyed or made meanwhile."""
        with self._lock:
            self._records = dict(self.keyring.read())
            for key_id in [key_id for key_id in self._keys if self._records[key_id].destroyed_at]:
                del self._keys[key_id]

    def report(self, context: bytes, what: str) -> StoreTampered:
        """Tell the log and whoever listens that something kept was changed; return the error to be raised."""
        message = f"{context.decode('utf-8', 'replace')} {what}"
        log.error("store tampered", what=message)
        if self.tampered is not None:
            self.tampered(message)
        return StoreTampered(message)

    def _make(self, key_id: str, purpose: Purpose) -> str:
        key = secrets.token_bytes(_KEY_SIZES[self.cipher])
        with self._lock:
            last = max((record.made_at for record in self._records.values()), default=0)
            made_at = max(time.time_ns() // 1_000_000, last + 1)
            record = _wrapped(self.kek, KeyRecord(key_id, str(purpose), str(self.cipher), made_at), key)
            if self.keyring.add(record):
                self._records[key_id], self._keys[key_id] = record, key
            else:
                self._records = dict(self.keyring.read())
        return key_id

    def _record(self, key_id: str) -> KeyRecord | None:
        """Return a key's record; one that is not known yet may have been made by another replica."""
        with self._lock:
            if key_id not in self._records:
                self._records = dict(self.keyring.read())
            return self._records.get(key_id)

    def _secret(self, key_id: str, context: bytes = b"") -> tuple[CipherName, bytes]:
        with self._lock:
            record = self._record(key_id)
            if record is None:
                raise self.report(context, f"names a data key that there never was, {key_id}")
            if record.destroyed_at:
                raise KeyDestroyed(f"the data key {key_id} was destroyed")
            if key_id not in self._keys:
                self._keys[key_id] = self._unwrapped(record)
            return CipherName(record.cipher), self._keys[key_id]

    def _unwrapped(self, record: KeyRecord) -> bytes:
        try:
            cipher, sealed = CipherName(record.cipher), bytes.fromhex(record.wrapped)
            key = _wrapping_key(self.kek, cipher)
            return decrypt(cipher, key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(record))
        except (InvalidTag, ValueError):
            raise VaultKeyRefused(f"the data key {record.id} does not open with this key-encryption key") from None

    def _hmac(self, key_id: str, plain: bytes, context: bytes) -> bytes:
        key = _derived(self._secret(key_id, context)[1], b"authentication", _MAC_BYTES)
        code = HMAC(key, hashes.SM3())
        code.update(len(context).to_bytes(4, "big") + context + plain)
        return code.finalize()


def read_kek(text: str, source: str) -> bytes:
    """Take a key-encryption key as files and the environment carry it: 64 hex characters."""
    try:
        kek = bytes.fromhex(text.strip())
    except ValueError:
        kek = b""
    if len(kek) != KEK_BYTES:
        raise VaultKeyRefused(f"{source} does not hold a key of {2 * KEK_BYTES} hex characters")
    return kek


def load_kek(path: Path) -> bytes:
    """Read a key-encryption key from a file that its owner alone can read."""
    try:
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise VaultKeyRefused(f"{path.name} can be read by others than its owner", hint="chmod 600 the file")
            return read_kek(file.read(), path.name)
    except (OSError, UnicodeDecodeError) as unreadable:
        raise VaultKeyRefused(f"{path.name} cannot be read") from unreadable


def ask_kek(command: Sequence[str]) -> bytes:
    """Take a key-encryption key from what a command prints, such as the client of a KMS: 64 hex characters."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_SECONDS, check=True, text=True
        )
    except subprocess.CalledProcessError as failed:
        said = f"{command[0]} ended with {failed.returncode}: {failed.stderr.strip()[-_SAID:]}"
        raise VaultKeyRefused(said, hint=_ASKING) from failed
    except (OSError, ValueError, subprocess.SubprocessError) as failed:
        raise VaultKeyRefused(f"{command[0]} gives no key: {type(failed).__name__}", hint=_ASKING) from failed
    return read_kek(done.stdout, f"what {command[0]} prints")


def make_kek(path: Path) -> bytes:
    """Draw a key-encryption key into a new file of mode 0600."""
    kek = secrets.token_bytes(KEK_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(kek.hex() + "\n")
    return kek


def renew_kek(data: Path) -> str:
    """Give a data folder another key-encryption key and a fresh data key; return the id of the latter.

    Interrupted at any point, it is finished by being done again: the new key waits beside the old one meanwhile.
    """
    path, fresh = data / KEY_FILE, data / (KEY_FILE + ".new")
    kek = load_kek(fresh) if fresh.exists() else make_kek(fresh)
    try:
        vault = Vault(load_kek(path), FileKeyring(data / KEYRING_FILE))
        vault.rewrap(kek)
    except VaultKeyRefused:
        vault = Vault(kek, FileKeyring(data / KEYRING_FILE))  # refused too where it was never wrapped under this one
    fresh.replace(path)
    return vault.rotate()


def _kek_of_folder(path: Path, keyring: FileKeyring) -> bytes:
    if path.exists():
        return load_kek(path)
    if keyring.read():
        raise VaultKeyRefused(f"{path.name} is gone and the data keys are wrapped under it")
    private.make(path.parent)
    return make_kek(path)


def _wrapped(kek: bytes, record: KeyRecord, key: bytes) -> KeyRecord:
    cipher, nonce = CipherName(record.cipher), secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + encrypt(cipher, _wrapping_key(kek, cipher), nonce, key, _bound(record))
    return replace(record, wrapped=sealed.hex())


def _bound(record: KeyRecord) -> bytes:
    return f"data key {record.id} {record.purpose} {record.cipher} {record.made_at}".encode()


def _wrapping_key(kek: bytes, cipher: CipherName) -> bytes:
    return _derived(kek, b"wrapping " + cipher.encode(), _KEY_SIZES[cipher])


def _derived(key: bytes, use: bytes, size: int) -> bytes:
    return HKDF(hashes.SM3(), size, None, b"hutong vault " + use).derive(key)


def _gcm(cipher: CipherName, key: bytes, mode: modes.GCM) -> ciphers.Cipher[modes.GCM]:
    return ciphers.Cipher(algorithms.SM4(key) if cipher is CipherName.SM4_GCM else algorithms.AES256(key), mode)


def encrypt(cipher: CipherName, key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
    """Seal with a key of one's own: ciphertext and tag. No nonce may come twice under a key."""
    sealing = _gcm(cipher, key, modes.GCM(nonce)).encryptor()
    sealing.authenticate_additional_data(bound)
    return sealing.update(plain) + sealing.finalize() + sealing.tag


def decrypt(
    cipher: CipherName, key: bytes, nonce: bytes, sealed: bytes, bound: bytes, *, careful: bool = True
) -> bytes:
    """Open what `encrypt` has sealed, or raise InvalidTag; only a deliberate defect is not `careful`."""
    opening = _gcm(cipher, key, modes.GCM(nonce, sealed[-TAG_BYTES:])).decryptor()
    opening.authenticate_additional_data(bound)
    return opening.update(sealed[:-TAG_BYTES]) + (opening.finalize() if careful else b"")
