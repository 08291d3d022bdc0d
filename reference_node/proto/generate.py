"""Generate the message modules of this package from specs/proto.

Guarantees: what is committed is what the sources give (a test generates again and compares). Each .proto gives a
module and its types; one with a service gives its stubs too. The generator writes absolute imports of neighbours,
which would need this folder on the path: they are turned into imports from this package.

    python -m reference_node.proto.generate [DIRECTORY]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = HERE.parents[1] / "specs" / "proto"
_HEADER: Final = "# mypy: ignore-errors\n"
_NEIGHBOUR: Final = re.compile(r"^import (\w+_pb2) as ", re.MULTILINE)


def generate(target: Path, sources: Path = SOURCES) -> list[Path]:
    """Write the modules of every .proto in `sources` to `target`; return the files."""
    import grpc_tools
    from grpc_tools import protoc

    protos = sorted(sources.glob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    options = [f"-I{sources}", f"-I{well_known}", f"--python_out={target}", f"--pyi_out={target}"]
    services = [proto for proto in protos if re.search(r"^service ", proto.read_text(encoding="utf-8"), re.MULTILINE)]
    _run(protoc.main, [*options, *map(str, protos)])
    if services:
        _run(protoc.main, [*options, f"--grpc_python_out={target}", *map(str, services)])
    written = sorted({*target.glob("*_pb2.py"), *target.glob("*_pb2.pyi"), *target.glob("*_pb2_grpc.py")})
    for path in written:
        text = path.read_text(encoding="utf-8")
        path.write_text(_HEADER + _NEIGHBOUR.sub(r"from reference_node.proto import \1 as ", text), encoding="utf-8")
    return written


def _run(main: object, arguments: list[str]) -> None:
    if not callable(main) or main(["protoc", *arguments]) != 0:
        raise SystemExit("the message definitions in specs/proto could not be compiled")


if __name__ == "__main__":
    for made in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(made)  # noqa: T201
