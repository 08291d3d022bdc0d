"""`python -m supply.sbom FILE`: the bill of materials of the tested set, CycloneDX 1.6 in JSON.

Guarantees: each pinned release is a component with its version, package URL and the SHA-256 of every file that the
index has of it; what is installed here carries the licence that its own metadata states, and `required` where a plain
node needs it, `optional` elsewhere. The same set
gives the same bill, to the byte, but for its time, which SOURCE_DATE_EPOCH sets.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from supply.pins import NODE, TESTED, Pin, read

_SPACE: Final = UUID("7f0b0d0e-4a6e-5f6c-9d53-6f1c7a1f8d11")
_LONGEST: Final = 100  # a longer text is a licence itself and not its name
_UNKNOWN: Final = ("", "UNKNOWN", "Dual License")


def bill(tested: Mapping[str, Pin], needed: Mapping[str, Pin], project: Mapping[str, Any]) -> Bom:
    """Return the bill of a set; `needed` are the releases without which a node does not run."""
    root = Component(name=project["name"], version=project["version"], type=ComponentType.APPLICATION, bom_ref="hutong")
    bom = Bom(serial_number=uuid5(_SPACE, "\n".join(sorted(f"{pin.name}=={pin.version}" for pin in tested.values()))))
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())), UTC)
    parts = [
        _component(pin, ComponentScope.REQUIRED if name in needed else ComponentScope.OPTIONAL)
        for name, pin in tested.items()
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(root, parts)
    return bom


def written(bom: Bom) -> str:
    """Return a bill as JSON."""
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def _component(pin: Pin, scope: ComponentScope) -> Component:
    url = PackageURL("pypi", None, pin.name, pin.version)
    part = Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        scope=scope,
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"https://pypi.org/project/{pin.name}/{pin.version}/"),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pin.hashes],
            )
        ],
    )
    for licence in _licences(pin):
        part.licenses.add(licence)
    if pin.marker is not None:
        part.properties.add(Property(name="hutong:marker", value=str(pin.marker)))
    return part


def _licences(pin: Pin) -> Iterator[License]:
    """Yield the licence that a release states: an expression, else the classifiers', else a short text."""
    try:
        said = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        return
    if said["Version"] != pin.version:
        return
    factory = LicenseFactory()
    if "License-Expression" in said:
        yield factory.make_with_expression(said["License-Expression"])
        return
    classified = [
        line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or () if line.startswith("License ::")
    ]
    stated = next(iter(said.get_all("License") or ()), "").strip()
    if not classified and stated not in _UNKNOWN and len(stated) <= _LONGEST:
        yield factory.make_from_string(stated)
    for name in classified:
        if name not in (*_UNKNOWN, "OSI Approved"):
            yield DisjunctiveLicense(name=name)


def main() -> int:
    """Write the bill of this project."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where it goes")
    given = parser.parse_args()
    project = tomllib.loads((TESTED.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested = read(TESTED)
    given.file.parent.mkdir(parents=True, exist_ok=True)
    given.file.write_text(written(bill(tested, read(NODE), project)), encoding="utf-8")
    sys.stdout.write(f"{given.file}: {len(tested)} releases\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
