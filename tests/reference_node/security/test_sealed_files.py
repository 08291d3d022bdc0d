"""Files sealed piece by piece: whole or refused."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import pytest

from reference_node.security import sealed_files
from reference_node.security.errors import StoreTampered
from reference_node.security.sealed_files import PIECE
from reference_node.security.vault import TAG_BYTES, Vault

HEAD = 28
SAMPLES = 2000


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_what_is_written_is_read_again(tmp_path: Path, size: int) -> None:
    """Any size comes back as it went in, and the file is its owner's alone."""
    vault, path, content = Vault.of_folder(None), tmp_path / "model", secrets.token_bytes(size)
    sealed_files.write(vault, path, [content[:7], content[7:]], "models/m1")
    assert b"".join(sealed_files.read(vault, path, "models/m1")) == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert sealed_files.is_sealed(path)
    assert size < 32 or content[:32] not in path.read_bytes()


def _refused(vault: Vault, path: Path, name: str = "m") -> bool:
    try:
        list(sealed_files.read(vault, path, name))
    except StoreTampered:
        return True
    return False


def test_every_changed_byte_of_a_file_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 single changes, all of the head's among them, are each found, whichever piece they are in."""
    monkeypatch.setattr(sealed_files, "PIECE", 1024)
    vault, path = Vault.of_folder(None), tmp_path / "model"
    sealed_files.write(vault, path, [secrets.token_bytes(3000)], "m")
    whole = path.read_bytes()
    places = [*range(HEAD), *random.Random(9).sample(range(HEAD, len(whole)), SAMPLES - HEAD)]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert _refused(vault, path), place


def test_pieces_cannot_be_dropped_moved_or_added(tmp_path: Path) -> None:
    """A file that was cut, extended, reordered or renamed is refused."""
    vault, path, step = Vault.of_folder(None), tmp_path / "model", PIECE + TAG_BYTES
    sealed_files.write(vault, path, [secrets.token_bytes(2 * PIECE + 9)], "m")
    whole = path.read_bytes()
    head, one, two, last = whole[:HEAD], whole[HEAD:][:step], whole[HEAD + step :][:step], whole[HEAD + 2 * step :]
    assert not _refused(vault, path)
    assert _refused(vault, path, "another name")
    cases = [b"", head, head + one, head + one + two, head + two + one + last, head + one + last, whole + b"\0"]
    for changed in [*cases, whole[:-1], head + one + two + two + last]:
        path.write_bytes(changed)
        assert _refused(vault, path)


def test_a_clear_file_is_sealed_where_it_lies(tmp_path: Path) -> None:
    """Afterwards its content is nowhere in the folder in clear."""
    vault, path = Vault.of_folder(None), tmp_path / "result.csv"
    path.write_bytes(b"canary," * 30_000)
    sealed_files.seal_in_place(vault, path, "r")
    assert all(b"canary" not in file.read_bytes() for file in tmp_path.iterdir())
    assert b"".join(sealed_files.read(vault, path, "r")) == b"canary," * 30_000
