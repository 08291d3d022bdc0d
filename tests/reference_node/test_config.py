"""What can be set, and how a mistake is told."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from reference_node.app import create_app, node_of
from reference_node.config import Config, load_config
from reference_node.errors import ConfigError
from reference_node.identity import Identity


def _load(tmp_path: Path, text: str, **overrides: object) -> Config:
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, **overrides)


def test_a_file_is_read_and_given_settings_win(tmp_path: Path) -> None:
    """Sections map to settings; what the command line gives stands over the file; None gives nothing."""
    config = _load(tmp_path, '[node]\nid = "node-a"\n[server]\nport = 9\nthreads = 2\n', port=0, threads=None)
    assert (config.node_id, config.port, config.threads) == ("node-a", 0, 2)
    assert load_config(None) == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serber]\nport = 1", "no section [serber]; did you mean server?"),
        ("[server]\nprot = 1", "[server] has no key prot; did you mean port?"),
        ("[server]\nport = 70000", "[server] port = 70000 is not a number from 0 to 65535"),
        ('[server]\nport = "1"', "port = '1' is not a number"),
        ("[server]\nport = true", "port = True is not a number"),
        ('[channel]\ngrpc_address = "node:1"', "grpc_address = 'node:1' is not an address grpc://host:port"),
        ("[security]\napplication_days = 0", "application_days = 0 is not a number from 1 to 365"),
        ('[security]\nproof_of_possession = "requird"', "one of required, optional; did you mean required?"),
        ('[security]\nauth_types = ["MD5_RSA"]', "a list of SM3_SM2, SHA256_ECDSA, SHA256_RSA"),
        ("[security]\nauth_types = []", "a list of SM3_SM2"),
        ('[node]\nid = "a/b"', "an identifier"),
        ('[node]\nname = " "', "a non-empty text"),
        ('[server]\nbackground = "yes"', "true or false"),
        ('[faults]\nactive = "x"', "a list of names"),
        ("server = 1", "is a section"),
        ("[server", "node.toml"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_meant(tmp_path: Path, text: str, words: str) -> None:
    """Section, key, valid values, and the likely intention."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert words in str(caught.value)


def test_a_missing_file_an_unknown_setting_and_a_short_token_are_refused(tmp_path: Path) -> None:
    """The command line's mistakes are named too, secrets are not shown."""
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="did you mean port"):
        load_config(None, prot=1)
    with pytest.raises(ConfigError) as caught:
        load_config(None, operator_token="sesame")
    assert "sesame" not in str(caught.value)
    assert "sixteen-characters" not in repr(load_config(None, operator_token="sixteen-characters"))


def test_every_setting_has_a_section_and_passes_its_own_check() -> None:
    """A default that its check refuses could never be written down."""
    for item in fields(Config):
        assert item.metadata["section"].isidentifier()
        assert item.default is None or item.metadata["check"](item.default) is None


def test_a_data_folder_belongs_to_one_node(tmp_path: Path) -> None:
    """9.2-a-1: another id over the same folder is refused, none keeps the first."""
    first = create_app(Config(data=tmp_path / "d", node_id="node-a"))
    node_of(first).close()
    with pytest.raises(ConfigError, match="is of node-a"):
        create_app(Config(data=tmp_path / "d", node_id="node-b"))
    again = create_app(Config(data=tmp_path / "d"))
    assert node_of(again).node_id == "node-a"
    node_of(again).close()


def test_exposed_or_broken_secrets_stop_the_start(tmp_path: Path) -> None:
    """A key that others can read, or an empty token file, is told with a remedy; secrets never show."""
    identity = Identity(tmp_path)
    key = identity.key("SM3_SM2")
    assert identity.operator_token not in repr(identity)
    path = tmp_path / "node-key-sm3-sm2.sealed"
    assert b"PRIVATE KEY" not in path.read_bytes()
    path.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        Identity(tmp_path).key("SM3_SM2")
    assert "chmod" in caught.value.hint
    path.chmod(0o600)
    assert Identity(tmp_path).key("SM3_SM2").public == key.public
    (tmp_path / "operator-token").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        Identity(tmp_path)


def test_the_key_of_the_store_comes_from_a_command(tmp_path: Path) -> None:
    """The data folder then holds no key of its own; another key, or two sources, are refused with a remedy."""
    kms = _program(tmp_path / "kms", "5a" * 32)
    node_of(create_app(Config(data=tmp_path / "data", key_command=kms, background=False))).close()
    assert not (tmp_path / "data" / "vault.key").exists()
    node_of(create_app(Config(data=tmp_path / "data", key_command=kms, background=False))).close()
    with pytest.raises(ConfigError, match="key"):
        create_app(Config(data=tmp_path / "data", key_command=_program(tmp_path / "other", "a5" * 32)))
    with pytest.raises(ConfigError, match="several sources"):
        create_app(Config(data=tmp_path / "data", key_command=kms, key_env="HUTONG_KEY"))
    with pytest.raises(ConfigError, match="a list of a program and its arguments"):
        _load(tmp_path, '[store]\nkey_command = "kms get"\n')


def _program(path: Path, prints: str) -> tuple[str, ...]:
    path.write_text(f"#!/bin/sh\necho {prints}\n", encoding="utf-8")
    path.chmod(0o700)
    return (str(path),)
