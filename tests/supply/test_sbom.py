"""The bill of materials: valid CycloneDX, and whole."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from supply import sbom
from supply.pins import HERE, NODE, TESTED, read

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def text() -> str:
    """The bill of this project."""
    return sbom.written(sbom.bill(read(TESTED), read(NODE), PROJECT))


@pytest.fixture(scope="module")
def parts(text: str) -> dict[str, Any]:
    """Its components by name."""
    return {part["name"]: part for part in json.loads(text)["components"]}


def test_it_is_valid(text: str) -> None:
    """By the schema of CycloneDX 1.6, strictly; and the validator refuses what is not."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"purl"', '"purls"', 1)) is not None


def test_it_lists_every_pinned_release(parts: dict[str, Any]) -> None:
    """With version, package URL, and the hashes of all its files; and nothing else."""
    pins = read(TESTED)
    assert set(parts) == set(pins)
    for name, pin in pins.items():
        part = parts[name]
        (place,) = part["externalReferences"]
        assert (part["version"], part["purl"]) == (pin.version, f"pkg:pypi/{name}@{pin.version}")
        assert {item["content"] for item in place["hashes"]} == set(pin.hashes)


def test_what_is_installed_has_its_licence(parts: dict[str, Any]) -> None:
    """As its own metadata states it; what a node needs is marked, and its licences are all known."""
    assert parts["flask"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    needed = {name for name, part in parts.items() if part["scope"] == "required"}
    assert needed == set(read(NODE))
    pins = read(NODE)
    installed = {name for name in needed if pins[name].here and metadata.version(name) == pins[name].version}
    assert {"flask", "cryptography", "grpcio"} <= installed
    assert [name for name in sorted(installed) if not parts[name].get("licenses")] == []


def test_the_same_set_gives_the_same_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte, where the time is given."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = (sbom.written(sbom.bill(read(TESTED), read(NODE), PROJECT)) for _ in range(2))
    assert first == second
    assert json.loads(first)["metadata"]["timestamp"].startswith("2023-11-14")


def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a folder that it makes."""
    place = tmp_path / "build" / "sbom.cdx.json"
    monkeypatch.setattr("sys.argv", ["sbom", str(place)])
    assert sbom.main() == 0
    assert json.loads(place.read_text())["bomFormat"] == "CycloneDX"
    assert f"{len(read(TESTED))} releases" in capsys.readouterr().out
