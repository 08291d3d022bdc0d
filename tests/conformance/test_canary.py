"""Canaries are found in every careless form and nowhere else; what was stored is read as the profile allows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.hashes import SM3, Hash
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import canary, deposits
from conformance.harness.deposits import Place
from conformance.harness.errors import Undrivable
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Hooks

TEXT = "canary/8f2d 秘密"
RAW = TEXT.encode()


def _sm3(data: bytes) -> bytes:
    state = Hash(SM3())
    state.update(data)
    return state.finalize()


FORMS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "raw": ("raw", lambda: RAW),
    "hex": ("hex", lambda: RAW.hex().encode()),
    "hex in capitals": ("HEX", lambda: RAW.hex().upper().encode()),
    "utf-16": ("utf-16-le", lambda: TEXT.encode("utf-16")),
    "utf-16 big endian": ("utf-16-be", lambda: TEXT.encode("utf-16-be")),
    "every byte in percent": ("percent", lambda: "".join(f"%{byte:02X}" for byte in RAW).encode()),
    "sm3": ("sm3", lambda: _sm3(RAW)),
    "sm3 in hex": ("sm3-hex", lambda: _sm3(RAW).hex().encode()),
    "sha-256 in hex": ("sha256-hex", lambda: hashlib.sha256(RAW).hexdigest().encode()),
    "sha-256 in base64": ("sha256-base64", lambda: base64.b64encode(hashlib.sha256(RAW).digest())),
    "md5 in capitals": ("md5-HEX", lambda: hashlib.md5(RAW, usedforsecurity=False).hexdigest().upper().encode()),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_careless_form_is_found(name: str) -> None:
    """The form is named, with other bytes on both sides of it."""
    form, make = FORMS[name]
    found = {hit.form for hit in canary.search(b"\x00\xffbefore " + make() + b" after", {"one": TEXT})}
    assert form in found


def test_a_text_in_percent_where_it_must_be_is_found() -> None:
    """A text that a library has encoded for a URL, with letters left as they are, is found."""
    found = {hit.form for hit in canary.search(b"?place=" + quote(TEXT).encode(), {"one": TEXT})}
    assert found == {"percent-url"}


@given(before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_base64_is_found_at_every_alignment(before: bytes, after: bytes) -> None:
    """Whatever stands before and after in the same base64 text, the canary inside is found, in both alphabets."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found = {hit.form for hit in canary.search(encode(before + RAW + after), {"one": TEXT})}
        assert any(form.startswith("base64") for form in found)


@given(st.binary(max_size=200))
def test_nothing_is_found_by_chance(noise: bytes) -> None:
    """Bytes that have nothing to do with a canary hold none of its forms."""
    assert list(canary.search(noise, {"one": "canary-that-stands-nowhere"})) == []


def test_digests_are_told_from_texts() -> None:
    """A hit says whether the text itself was found or a digest of it."""
    hits = list(canary.search(RAW + hashlib.sha256(RAW).digest(), {"one": TEXT}))
    assert {(hit.form, hit.digested) for hit in hits} == {("raw", False), ("sha256", True)}


def test_a_short_text_is_no_canary() -> None:
    """What would be found by chance is refused."""
    with pytest.raises(ValueError, match="at least"):
        canary.forms("short")


def test_secrets_in_headers_are_noted() -> None:
    """A secret in a header is named as a problem, by name and form."""
    shown = canary.shown({"operator": "token-of-the-operator"}, {"x-debug": "token-of-the-operator"}, b"{}")
    assert shown == ("SECRET_SHOWN:operator:raw",)


def test_storage_and_logs_are_searched_apart(tmp_path: Path) -> None:
    """Files of a folder and a log are read whole; what is found is said with place and file."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.db").write_bytes(b"\x00" + RAW + b"\x00")
    (tmp_path / "node.log").write_text(RAW.hex())
    found = deposits.of(Hooks((tmp_path / "data",), (tmp_path / "node.log",)))
    assert found is not None
    seen = found.searched({"one": TEXT})
    assert {(row["place"], row["form"], row["name"]) for row in seen["found"]} == {
        (Place.STORAGE, "raw", "rows.db"),
        (Place.LOGS, "hex", "node.log"),
    }
    assert seen["places"][Place.STORAGE]["bytes"] == len(RAW) + 2


def test_a_dump_is_searched(tmp_path: Path) -> None:
    """What a command prints counts as storage; one that fails ends the search with its reason."""
    (tmp_path / "rows").write_bytes(RAW)
    found = deposits.of(Hooks(dump=("cat", str(tmp_path / "rows"))))
    assert found is not None
    assert [row["name"] for row in found.searched({"one": TEXT})["found"]] == ["dump"]
    broken = deposits.of(Hooks(dump=("cat", str(tmp_path / "absent"))))
    assert broken is not None
    with pytest.raises(Undrivable, match="dump failed"):
        broken.searched({})


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A storage path that does not exist proves nothing, so the search ends."""
    found = deposits.of(Hooks((tmp_path / "absent",)))
    assert found is not None
    with pytest.raises(Undrivable, match="absent"):
        found.searched({})


def test_the_profile_names_the_places(tmp_path: Path) -> None:
    """[operator_hooks] gives paths from the profile's folder; without it there is nothing to search."""
    target = {"target": {"url": "http://node.test", "node_id": "node-1"}}
    assert deposits.of(parse_profile(target, "p.toml").hooks) is None
    hooks = {"operator_hooks": {"storage_path": ["data"], "dump": ["pg_dump", "node"]}}
    profile = parse_profile({**target, **hooks}, str(tmp_path / "p.toml"))
    assert profile.hooks == Hooks((tmp_path / "data",), (), ("pg_dump", "node"))
    assert "operator_hooks" not in profile.public()
