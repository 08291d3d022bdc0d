"""Reads published known answers: files of the package cryptography-vectors in the form of NIST's CAVP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cryptography_vectors

FOLDER = Path(cryptography_vectors.__file__).parent

Answer = dict[str, str]


@cache
def answers(name: str, **wanted: str) -> tuple[Answer, ...]:
    """Return the answers of a file, names in lower case, those alone whose fields have these values.

    Headings and groups of parameters hold for what follows: `[mod = 2048]` and a modulus become fields of every answer,
    a heading without a value becomes its `section`, a bare word such as FAIL a field without value.
    """
    found = _read((FOLDER / name).read_text(encoding="utf-8"))
    return tuple(one for one in found if all(one.get(field) == value for field, value in wanted.items()))


def _read(text: str) -> Iterator[Answer]:
    above: Answer = {}
    for block in re.split(r"\n\s*\n", text.replace("\r", "")):
        fields: Answer = {}
        for line in block.splitlines():
            name, _, value = (part.strip() for part in line.strip("[] ").partition("="))
            if line.startswith("["):
                above |= {name.lower(): value} if value else {"section": name}
            elif name and not line.startswith("#"):
                fields[name.lower()] = value
        if fields.keys() <= {"n", "p", "q"}:
            above |= fields
        else:
            yield {**above, **fields}


def sample(found: tuple[Answer, ...], most: int) -> list[Answer]:
    """Return so many answers, spread evenly."""
    assert found, "no answer is of the form that was asked for"
    return list(found[:: -(-len(found) // most)])
