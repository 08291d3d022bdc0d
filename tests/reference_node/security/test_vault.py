"""The vault: sealing, keys and their ends, tampering with any byte."""

from __future__ import annotations

import json
import pickle
import secrets
import sys

import pytest

from reference_node.security.errors import KeyDestroyed, StoreTampered, VaultKeyRefused
from reference_node.security.keyring import FileKeyring, MemoryKeyring
from reference_node.security.vault import (
    KEK_BYTES,
    CipherName,
    Purpose,
    Vault,
    ask_kek,
    load_kek,
    make_kek,
    read_kek,
    renew_kek,
)

CONTEXT = b"permits.token"


@pytest.mark.parametrize("cipher", CipherName)
def test_what_is_sealed_opens_again_and_shows_nothing(cipher: CipherName) -> None:
    """Both ciphers give the text back, and two seals of one text have nothing in common with it nor each other."""
    vault = Vault.of_folder(None, cipher=cipher)
    sealed = vault.seal(b"a secret of some length", CONTEXT)
    assert vault.open(sealed, CONTEXT) == b"a secret of some length"
    assert b"secret" not in sealed
    assert sealed[9:] != vault.seal(b"a secret of some length", CONTEXT)[9:]


def test_sm4_is_the_cipher_unless_another_is_chosen() -> None:
    """A vault that nobody configured uses the national cipher."""
    vault = Vault.of_folder(None)
    vault.seal(b"", CONTEXT)
    assert {record.cipher for record in vault.keyring.read().values()} == {"SM4-GCM"}


@pytest.mark.parametrize("cipher", CipherName)
def test_every_changed_byte_is_detected_and_reported(cipher: CipherName) -> None:
    """One flipped bit in any byte, a byte less and a byte more are all found."""
    told: list[str] = []
    vault = Vault.of_folder(None, cipher=cipher)
    vault.tampered = told.append
    sealed = vault.seal(b"forty-two bytes or so of important content", CONTEXT)
    bent = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for wrong in [*bent, sealed[:-1], sealed + b"\0", b""]:
        with pytest.raises(StoreTampered):
            vault.open(wrong, CONTEXT)
    assert len(told) == len(sealed) + 3


def test_a_sealed_value_belongs_to_its_place() -> None:
    """What was sealed for one column does not open in another."""
    vault = Vault.of_folder(None)
    with pytest.raises(StoreTampered, match=r"contracts\.key"):
        vault.open(vault.seal(b"x", CONTEXT), b"contracts.key")


def test_rotation_keeps_old_data_readable() -> None:
    """After a rotation new data has another key, and the old opens still."""
    vault = Vault.of_folder(None)
    old = vault.seal(b"x", CONTEXT)
    first, second = vault.current(), vault.rotate()
    assert vault.current() == second != first
    assert vault.seal(b"x", CONTEXT)[1:9] != old[1:9]
    assert vault.open(old, CONTEXT) == b"x"


def test_a_destroyed_key_takes_its_data_with_it(tmp_path) -> None:
    """After a key was destroyed nothing opens under it, neither now nor after a restart, and the others still do."""
    vault = Vault.of_folder(tmp_path)
    kept = vault.new_key()
    doomed = vault.seal(b"x", CONTEXT, key_id=kept)
    other = vault.seal(b"y", CONTEXT)
    wrapped = vault.keyring.read()[kept].wrapped
    vault.destroy_key(kept)
    for each in (vault, Vault.of_folder(tmp_path)):
        with pytest.raises(KeyDestroyed):
            each.open(doomed, CONTEXT)
        assert each.open(other, CONTEXT) == b"y"
        assert each.destroyed(kept)
    assert all(wrapped not in path.read_text() for path in tmp_path.iterdir())


def test_another_key_encryption_key_takes_over_without_new_data(tmp_path) -> None:
    """Data keys wrapped anew open the old data, with the new key-encryption key only."""
    old, new = secrets.token_bytes(KEK_BYTES), secrets.token_bytes(KEK_BYTES)
    vault = Vault.of_folder(tmp_path, kek=old)
    sealed, digest = vault.seal(b"x", CONTEXT), vault.digest(b"x", CONTEXT)
    vault.rewrap(new)
    assert vault.open(sealed, CONTEXT) == b"x"
    again = Vault.of_folder(tmp_path, kek=new)
    assert again.open(sealed, CONTEXT) == b"x"
    assert again.digest(b"x", CONTEXT) == digest
    with pytest.raises(VaultKeyRefused):
        Vault.of_folder(tmp_path, kek=old)


def test_a_folder_gets_another_key_even_when_interrupted(tmp_path) -> None:
    """What was sealed before opens after the change, and after one that stopped before its last step."""
    sealed = Vault.of_folder(tmp_path).seal(b"x", CONTEXT)
    old = (tmp_path / "vault.key").read_text()
    fresh = renew_kek(tmp_path)
    assert (tmp_path / "vault.key").read_text() != old
    assert Vault.of_folder(tmp_path).current() == fresh
    (tmp_path / "vault.key").rename(tmp_path / "vault.key.new")
    (tmp_path / "vault.key").write_text(old)
    (tmp_path / "vault.key").chmod(0o600)
    renew_kek(tmp_path)
    assert Vault.of_folder(tmp_path).open(sealed, CONTEXT) == b"x"
    (tmp_path / "vault.key").write_text("ab" * KEK_BYTES)
    with pytest.raises(VaultKeyRefused, match="does not open"):
        renew_kek(tmp_path)


def test_a_second_vault_on_the_same_keys_learns_of_new_ones() -> None:
    """A replica opens what another has sealed with a key made since."""
    kek, keyring = secrets.token_bytes(KEK_BYTES), MemoryKeyring()
    one, two = Vault(kek, keyring), Vault(kek, keyring)
    assert two.digest(b"x", CONTEXT) == one.digest(b"x", CONTEXT)
    one.rotate()
    assert two.open(one.seal(b"x", CONTEXT), CONTEXT) == b"x"


def test_codes_hold_for_their_text_and_place_only() -> None:
    """An authentication code fits one text in one place; every changed byte of it is found."""
    vault = Vault.of_folder(None)
    code = vault.mac(b"row", CONTEXT)
    vault.check(b"row", code, CONTEXT)
    bent = [code[:i] + bytes([code[i] ^ 128]) + code[i + 1 :] for i in range(len(code))]
    for text, wrong, at in [
        (b"raw", code, CONTEXT),
        (b"row", code, b"else"),
        *((b"row", c, CONTEXT) for c in bent),
    ]:
        with pytest.raises(StoreTampered):
            vault.check(text, wrong, at)


def test_digests_are_keyed_and_bound() -> None:
    """The same value has one digest per place, and another one under another vault."""
    vault = Vault.of_folder(None)
    assert vault.digest(b"x", CONTEXT) == vault.digest(b"x", CONTEXT) != vault.digest(b"x", b"else")
    assert vault.digest(b"x", CONTEXT) != Vault.of_folder(None).digest(b"x", CONTEXT)
    vault.destroy_key(vault.new_key(Purpose.KEPT))
    assert vault.digest(b"x", CONTEXT) == vault.digest(b"x", CONTEXT)


def test_keys_lie_in_files_of_their_owner(tmp_path) -> None:
    """Key file and keyring have mode 0600, and the keyring holds no key in clear."""
    vault = Vault.of_folder(tmp_path)
    vault.seal(b"x", CONTEXT)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert modes == {"vault.key": "0o600", "vault-keys.json": "0o600"}
    assert "kek" not in repr(vault)
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_a_lost_key_file_is_told_and_no_new_one_is_drawn(tmp_path) -> None:
    """A start without the key that the data keys are wrapped under fails in words."""
    Vault.of_folder(tmp_path).seal(b"x", CONTEXT)
    (tmp_path / "vault.key").unlink()
    with pytest.raises(VaultKeyRefused, match="gone"):
        Vault.of_folder(tmp_path)
    assert not (tmp_path / "vault.key").exists()


def test_a_changed_keyring_is_refused(tmp_path) -> None:
    """A wrapped key whose record was changed, or a file that is no keyring, does not pass."""
    Vault.of_folder(tmp_path).seal(b"x", CONTEXT)
    path = tmp_path / "vault-keys.json"
    records = json.loads(path.read_text())
    records[0]["purpose"] = "kept"
    path.write_text(json.dumps(records))
    with pytest.raises(VaultKeyRefused):
        Vault.of_folder(tmp_path)
    path.write_text("{")
    with pytest.raises(VaultKeyRefused, match="damaged"):
        FileKeyring(path).read()


def test_key_files_that_cannot_be_taken(tmp_path) -> None:
    """An exposed, a short and an absent key file are each refused."""
    path = tmp_path / "kek"
    assert make_kek(path) == load_kek(path)
    path.chmod(0o644)
    with pytest.raises(VaultKeyRefused, match="others"):
        load_kek(path)
    with pytest.raises(VaultKeyRefused, match="64 hex"):
        read_kek("abcd", "HUTONG_KEY")
    with pytest.raises(VaultKeyRefused, match="read"):
        load_kek(tmp_path / "absent")


def test_a_key_is_taken_from_what_a_command_prints() -> None:
    """As the client of a KMS prints it; one that fails, or prints no key, is told with what it said."""
    kek = "5a" * 32
    assert ask_kek([sys.executable, "-c", f"print('{kek}')"]) == bytes.fromhex(kek)
    for code, said in (("print('no')", "64 hex"), ("raise SystemExit('locked')", "ended with 1: locked")):
        with pytest.raises(VaultKeyRefused, match=said):
            ask_kek([sys.executable, "-c", code])
    with pytest.raises(VaultKeyRefused, match="gives no key: FileNotFoundError"):
        ask_kek(["/no/such/program"])


def test_misuse_of_keys_is_refused() -> None:
    """Keys of a wrong length and ids of no key are named."""
    vault = Vault.of_folder(None)
    for misuse in (lambda: vault.rewrap(b"short"), lambda: Vault(b"", MemoryKeyring())):
        with pytest.raises(VaultKeyRefused, match="bytes"):
            misuse()
    for misuse in (lambda: vault.destroy_key("00" * 8), lambda: vault.destroyed("00" * 8)):
        with pytest.raises(VaultKeyRefused, match="no data key"):
            misuse()
