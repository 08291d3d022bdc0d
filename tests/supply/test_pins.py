"""The tested set: all that the project declares is pinned, by hashes, and nothing says where to fetch from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply.pins import HERE, NODE, TESTED, NotPinned, read

ROOT = HERE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
HASH = "--hash=sha256:" + "0" * 64


def wanted(*lists: list[str]) -> list[Requirement]:
    """Return what the project declares."""
    return [Requirement(text) for texts in lists for text in texts]


@pytest.mark.parametrize(
    "requirement", wanted(PROJECT["dependencies"], *EXTRAS.values(), ["setuptools>=77"]), ids=lambda item: item.name
)
def test_every_dependency_is_pinned_to_a_release_that_the_project_takes(requirement: Requirement) -> None:
    """A dependency that was added, or a bound that was moved, shows here: `make constraints` renews the set."""
    pin = read(TESTED)[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin.version, prereleases=True)


@pytest.mark.parametrize("requirement", wanted(PROJECT["dependencies"], ["setuptools>=77"]), ids=lambda item: item.name)
def test_a_plain_node_gets_releases_of_the_tested_set(requirement: Requirement) -> None:
    """What `make certify` installs is part of what `make test` runs with."""
    assert canonicalize_name(requirement.name) in read(NODE)


def test_the_two_sets_agree() -> None:
    """Every release of the smaller one is in the larger one, with the same files."""
    tested = read(TESTED)
    for name, pin in read(NODE).items():
        assert (tested[name].version, tested[name].hashes) == (pin.version, pin.hashes)


def test_a_plain_node_needs_no_test_tools() -> None:
    """Pytest and its like come with extras only."""
    assert not {"pytest", "hypothesis", "locust", "schemathesis", "spu", "numba"} & set(read(NODE))


@pytest.mark.parametrize("path", [NODE, TESTED], ids=lambda path: path.name)
def test_the_set_names_no_place(path: Path) -> None:
    """No index, no address, no file: whoever installs takes an index of theirs, and the hashes decide."""
    lines = [line.partition("#")[0] for line in path.read_text().splitlines()]
    assert not [line for line in lines if re.search(r"://|--index|--find|--trusted|^-e| @ ", line)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"flask>=3 {HASH}", "names no single release"),
        (f"flask {HASH}", "names no single release"),
        (f"flask==3.1,!=3.2 {HASH}", "names no single release"),
        ("flask==3.1", "has no hash"),
        ("flask==3.1 --hash=sha256:00", "is no requirement"),
        (f"flask @ https://example.org/flask.whl {HASH}", "names no single release"),
        (f"--index-url https://example.org/simple {HASH}", "is no requirement"),
        (f"-e . {HASH}", "is no requirement"),
    ],
)
def test_what_pins_nothing_is_refused(tmp_path: Path, line: str, words: str) -> None:
    """By its place in the file."""
    path = tmp_path / "set.txt"
    path.write_text(f"# head\nalembic==1.0 \\\n    {HASH}\n{line}\n")
    with pytest.raises(NotPinned, match=rf"set.txt, entry 3: .*{words}"):
        read(path)


def test_a_pin_of_another_system_is_told_apart(tmp_path: Path) -> None:
    """By its marker."""
    path = tmp_path / "set.txt"
    path.write_text(f"colorama==0.4.6 ; sys_platform == 'none' {HASH}\nflask==3.1 {HASH}\n")
    assert {name: pin.here for name, pin in read(path).items()} == {"colorama": False, "flask": True}


def test_make_installs_by_hashes_only() -> None:
    """Every installation of the Makefile demands hashes, or takes nothing from an index."""
    makefile = (ROOT / "Makefile").read_text()
    found = re.findall(r"pip install[^\n]*", makefile)
    assert found
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in found)
