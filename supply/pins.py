"""The tested set as it is written: name, release, hashes of the files.

Guarantees: a line that pins no release, has no hash or names a place to fetch from is refused with its number, so that
nothing gets in unseen.

>>> read(TESTED)["flask"].version
'3.1.3'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

HERE: Final = Path(__file__).resolve().parent
TESTED: Final = HERE / "tested.txt"
NODE: Final = HERE / "node.txt"
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class NotPinned(Exception):
    """A line of the set that does not pin a release with its hashes."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One release; `hashes` are the SHA-256 of all files that the index has of it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: Marker | None = None

    @property
    def here(self) -> bool:
        """Whether it is installed on this machine's system and interpreter."""
        return self.marker is None or self.marker.evaluate()


def read(path: Path) -> Mapping[str, Pin]:
    """Return the pins of a file by their normal names; raise NotPinned."""
    found = {}
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if said:
            pin = _pin(said, f"{path.name}, entry {number}")
            found[pin.name] = pin
    return found


def _pin(said: str, where: str) -> Pin:
    hashes = tuple(_HASH.findall(said))
    words = _HASH.sub("", said).strip()
    try:
        wanted = Requirement(words)
    except InvalidRequirement as wrong:
        raise NotPinned(f"{where}: {words} is no requirement") from wrong
    exact = [item.version for item in wanted.specifier if item.operator == "=="]
    if len(exact) != 1 or len(wanted.specifier) != 1 or wanted.url is not None:
        raise NotPinned(f"{where}: {words} names no single release")
    if not hashes:
        raise NotPinned(f"{where}: {words} has no hash")
    return Pin(canonicalize_name(wanted.name), exact[0], hashes, wanted.marker)
