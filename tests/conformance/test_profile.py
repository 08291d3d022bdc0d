"""Profiles: strict to read, typed, and silent about secrets."""

from __future__ import annotations

import json
import pickle
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.errors import UsageError
from conformance.harness.profile import load_profile, parse_profile
from conformance.harness.profile_model import Profile, Protocol, Role, Secret
from conformance.harness.signing import AuthType

SENTINEL = "sentinel-5d1c-secret"
LEAST = {"url": "https://node.example.org/", "node_id": "node-1"}
TEN_LINES = """
[target]
name = "Example platform 2.1"
url = "https://node.example.org"
node_id = "node-example-01"

[operator]
token_env = "EXAMPLE_TOKEN"

[capabilities]
protocols = ["node", "project"]
"""


def parse(environ: dict[str, str] | None = None, **sections: Any) -> Profile:
    """Read a profile of these sections; [target] is sound unless it is given."""
    return parse_profile({"target": LEAST} | sections, "p.toml", environ or {})


def refusal(**sections: Any) -> UsageError:
    """Return the error that these sections end in."""
    with pytest.raises(UsageError) as caught:
        parse(**sections)
    assert caught.value.hint
    return caught.value


def test_ten_lines_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short profile loads, with every default in place."""
    monkeypatch.setenv("EXAMPLE_TOKEN", SENTINEL)
    path = tmp_path / "profile.toml"
    path.write_text(TEN_LINES, encoding="utf-8")
    profile = load_profile(path)
    assert profile.target.binding == "reference"
    assert profile.operator is not None
    assert profile.operator.reveal() == SENTINEL
    assert profile.capabilities.protocols == ("node", "project")
    assert profile.capabilities.roles == ("responder", "initiator")
    assert profile.capabilities.auth_types == ("SM3_SM2", "SHA256_ECDSA", "SHA256_RSA")
    assert (profile.timings.clock_skew_seconds, profile.timings.callback_seconds) == (300, 10.0)
    assert (profile.partner.host, profile.partner.port, profile.partner.address) == ("127.0.0.1", 0, "")
    assert profile.peer is None


def test_the_least_profile_has_no_operator() -> None:
    """Without [operator] there is no token, and the name is the node id; a closing slash of the url is dropped."""
    profile = parse()
    assert profile.operator is None
    assert (profile.target.name, profile.target.url) == ("node-1", "https://node.example.org")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"capabilites": {}}, ["p.toml", '"capabilites"', '"capabilities"']),
        ({"target": LEAST | {"nod_id": "x"}}, ["[target]", '"nod_id"', 'did you mean "node_id"?', "valid: name, url"]),
        ({"capabilities": {"protocols": ["nodes"]}}, ["[capabilities] protocols", '"nodes"', '"node"', "dataset"]),
        ({"capabilities": {"auth_types": ["sm3_sm2"]}}, ["auth_types", 'did you mean "SM3_SM2"?']),
        ({"timings": {"lockout_treshold": 5}}, ["[timings]", 'did you mean "lockout_threshold"?']),
        ({"declarations": {"8.1.2-cc": {"statement": "x"}}}, ["[declarations]", '"8.1.2-cc"', '"8.1.2-c"']),
        ({"declarations": {"9.1-f": {"statment": "x"}}}, ['[declarations."9.1-f"]', '"statement"']),
    ],
)
def test_a_typo_is_told_with_what_was_meant(sections: dict[str, Any], words: list[str]) -> None:
    """The message names file, section, key, the valid ones and the likely one."""
    error = refusal(**sections)
    assert all(word in str(error) for word in words), str(error)
    assert str(error).startswith("p.toml")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"target": {"node_id": "a"}}, ["[target] url is missing"]),
        ({"target": {"url": "http://a"}}, ["[target] node_id is missing"]),
        ({"target": LEAST | {"url": 5}}, ["[target] url", "a string, not the number 5"]),
        ({"target": LEAST | {"url": "node.example.org"}}, ["[target] url", "no http or https address"]),
        ({"target": LEAST | {"url": "http://u@h"}}, ["no http or https address"]),
        ({"target": LEAST | {"url": "http://h:99999"}}, ["no http or https address"]),
        ({"target": LEAST | {"node_id": "a b"}}, ['"a b" is no node id']),
        ({"target": "x"}, ["[target] must be a table"]),
        ({"capabilities": {"protocols": []}}, ["must name at least one"]),
        ({"capabilities": {"protocols": "node"}}, ["a list of strings, not the string"]),
        ({"capabilities": {"protocols": ["node", "node"]}}, ['"node" stands twice']),
        ({"capabilities": {"roles": [1]}}, ["holds the number 1"]),
        ({"timings": {"lockout_threshold": 0}}, ["between 1 and 100, not 0"]),
        ({"timings": {"lockout_threshold": True}}, ["an integer, not a boolean"]),
        ({"timings": {"callback_seconds": float("nan")}}, ["callback_seconds", "not nan"]),
        ({"timings": {"answer_seconds": "5"}}, ['a number, not the string "5"']),
        ({"partner": {"listen": "8080"}}, ['"8080" is not host:port']),
        ({"partner": {"listen": "h:70000"}}, ["is not host:port"]),
        ({"partner": {"address": "h:1"}}, ["[partner] address"]),
        ({"declarations": {"9.1-f": {"statement": " "}}}, ["must not be empty"]),
        ({"operator": {"token": "a", "token_env": "B"}}, ["token and token_env", "only one"]),
        ({"operator": {"token_env": "ABSENT"}}, ["no ABSENT"]),
        ({"operator": {"token_file": "absent.txt"}}, ["cannot be read"]),
        ({"peer": {"url": "http://b"}}, ["[peer] node_id is missing"]),
    ],
)
def test_a_wrong_value_is_told(sections: dict[str, Any], words: list[str]) -> None:
    """Missing keys, wrong types and values out of range name section and key."""
    error = refusal(**sections)
    assert all(word in str(error) for word in words), str(error)


def test_a_profile_without_target_is_refused() -> None:
    """The target is the one thing that has no default."""
    with pytest.raises(UsageError, match=r"\[target\] is missing"):
        parse_profile({}, "p.toml", {})


def test_files_that_are_no_toml_or_not_there_are_told(tmp_path: Path) -> None:
    """A path that leads nowhere and a syntax error name the file."""
    broken = tmp_path / "broken.toml"
    broken.write_text("[target\n", encoding="utf-8")
    for path in (broken, tmp_path / "absent.toml"):
        with pytest.raises(UsageError, match=path.name):
            load_profile(path)


def test_a_token_file_counts_from_the_profile(tmp_path: Path) -> None:
    """A relative token_file lies beside the profile; an empty one is refused."""
    (tmp_path / "token.txt").write_text(f"{SENTINEL}\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    where = str(tmp_path / "p.toml")
    profile = parse_profile({"target": LEAST, "operator": {"token_file": "token.txt"}}, where, {})
    assert profile.operator == Secret(SENTINEL)
    with pytest.raises(UsageError, match="is empty"):
        parse_profile({"target": LEAST, "operator": {"token_file": "empty.txt"}}, where, {})


def test_a_secret_shows_nowhere() -> None:
    """Neither repr, nor the public form, nor an error, nor pickle gives the token away."""
    peer = {"url": "http://b", "node_id": "b", "token": SENTINEL}
    profile = parse(operator={"token": SENTINEL}, peer=peer)
    shown = [repr(profile), str(profile.operator), f"{profile.operator}", json.dumps(profile.public())]
    assert all(SENTINEL not in text for text in shown)
    assert "***" in repr(profile)
    with pytest.raises(TypeError):
        pickle.dumps(profile.operator)
    error = refusal(operator={"token": f"{SENTINEL}\n"})
    assert SENTINEL not in str(error) + error.hint
    twice = refusal(operator={"token": SENTINEL, "tokens": "x"})
    assert SENTINEL not in str(twice) + twice.hint


def test_a_binding_file_counts_from_the_profile() -> None:
    """A binding with a file name is a path beside the profile, and shows without its folder."""
    profile = parse_profile({"target": LEAST | {"binding": "ours.toml"}}, "/etc/x/p.toml", {})
    assert profile.target.binding == "/etc/x/ours.toml"
    assert profile.public()["target"]["binding"] == "ours.toml"


def several(kind: type[StrEnum]) -> st.SearchStrategy[list[str]]:
    """Lists of different words of an enumeration, as TOML has them."""
    return st.lists(st.sampled_from([str(word) for word in kind]), min_size=1, unique=True)


some = st.integers(1, 100)
capabilities = st.fixed_dictionaries(
    {}, optional={"protocols": several(Protocol), "roles": several(Role), "auth_types": several(AuthType)}
)
timings = st.fixed_dictionaries({}, optional={"lockout_threshold": some, "answer_seconds": st.floats(0.1, 3600)})


@given(
    capabilities=capabilities,
    timings=timings,
    port=st.integers(0, 65535),
    said=st.sampled_from([{}, {"9.1-f": {"statement": "s", "document": "d"}}]),
    peer=st.sampled_from([{}, {"url": "http://b", "node_id": "b"}]),
)
def test_the_public_form_reads_back(
    capabilities: dict[str, Any], timings: dict[str, Any], port: int, said: dict[str, Any], peer: dict[str, Any]
) -> None:
    """What evidence shows of a profile is a profile: the same one, without the token."""
    partner = {"listen": f"127.0.0.1:{port}"}
    profile = parse(capabilities=capabilities, timings=timings, partner=partner, declarations=said, peer=peer)
    assert parse_profile(json.loads(json.dumps(profile.public())), "p.toml", {}) == profile


def test_the_second_protocol_has_an_address_of_its_own() -> None:
    """[target] grpc names the data plane over gRPC; another scheme is told."""
    assert parse(target={**LEAST, "grpc": "grpc://node.example.org:8443"}).target.grpc == "grpc://node.example.org:8443"
    assert parse().target.grpc == ""
    assert "grpc" in str(refusal(target={**LEAST, "grpc": "https://node.example.org"}))
