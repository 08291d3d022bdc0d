"""Files of datasets that the suite lays where the target reads them (9.2-c, 9.2-c-1).

`[operator_hooks] datasets_path` names a folder that both see under the same name. Guarantees: a file has a name of its
own, is there whole before it is named to anybody, and goes when the story ends, whatever happens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conformance.harness.errors import Undrivable
from conformance.harness.profile_model import Hooks

NO_PLACE = "profile: [operator_hooks] names no datasets_path, so no data can be given to the target"


@contextmanager
def table(hooks: Hooks | None, name: str, rows: Iterable[Sequence[str]]) -> Iterator[Path]:
    """Lay a CSV file, the first of its rows its columns, and take it away. Raises Undrivable without a place for it."""
    if hooks is None or hooks.datasets_path is None:
        raise Undrivable(NO_PLACE)
    path = hooks.datasets_path.absolute() / f"{name}.csv"
    try:
        path.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    except OSError as failure:
        raise Undrivable(f"profile: {path.parent} cannot be written: {failure.strerror}") from failure
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def alter(path: Path, old: str, new: str) -> None:
    """Change what a file says, and neither its place nor its length nor the time of its last change that is shown."""
    if len(old) != len(new):
        raise ValueError("what takes the place of a text is as long")
    before = path.stat()
    with path.open("r+", encoding="utf-8") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
