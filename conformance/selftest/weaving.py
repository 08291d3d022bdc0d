"""Functions of the node compiled anew from a changed source, and put in the place of those that run.

The node knows nothing of this. A change is made in the syntax tree of a module; the code of the changed functions is
then put into the function objects that exist already, so that every reference to them, in tables and closures too, does
what the changed source says. Line numbers stay those of the source.

    >>> source = Source.of("reference_node.domain.ids")
    >>> with woven(source, source.tree()):   # nothing is changed here
    ...     pass
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Self

from conformance.harness.errors import HarnessError

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Key = tuple[str, int]
"""A function of a module: its qualified name and its first line, decorators included."""


class NotWoven(HarnessError):
    """A change cannot be put in place: the function is not there, or its closure would be another."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a module."""

    module: str
    path: Path
    text: str

    @classmethod
    def of(cls, module: str) -> Self:
        """Return the source of a module that can be imported."""
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise NotWoven(f"there is no module {module}")
        path = Path(spec.origin)
        return cls(module, path, path.read_text(encoding="utf-8"))

    def tree(self) -> ast.Module:
        """Return a fresh syntax tree, which may be changed."""
        return ast.parse(self.text, str(self.path))


def functions(tree: ast.Module) -> Iterator[tuple[str, FunctionNode]]:
    """Yield the functions and methods of a module with their qualified names; what lies in them belongs to them."""

    def within(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, FunctionNode]]:
        for node in body:
            if isinstance(node, FunctionNode):
                yield prefix + node.name, node
            elif isinstance(node, ast.ClassDef):
                yield from within(node.body, f"{prefix}{node.name}.")

    return within(tree.body, "")


def first_line(node: FunctionNode) -> int:
    """Return the line that the compiled function calls its first."""
    return min([node.lineno, *(item.lineno for item in node.decorator_list)])


def compiled(source: Source, tree: ast.Module) -> dict[Key, CodeType]:
    """Compile a tree and return the code of its functions and methods."""
    ast.fix_missing_locations(tree)
    found: dict[Key, CodeType] = {}
    wanted = {name for name, _ in functions(tree)}
    waiting = [compile(tree, str(source.path), "exec", dont_inherit=True)]
    while waiting:
        for item in waiting.pop().co_consts:
            if isinstance(item, CodeType):
                if item.co_qualname in wanted:
                    found[item.co_qualname, item.co_firstlineno] = item
                else:
                    waiting.append(item)  # the body of a class
    return found


def running(module: str) -> dict[Key, list[FunctionType]]:
    """Return the functions of a module that exist in this process."""
    importlib.import_module(module)
    found: dict[Key, list[FunctionType]] = {}
    for item in gc.get_objects():
        if type(item) is FunctionType and item.__module__ == module:
            found.setdefault((item.__code__.co_qualname, item.__code__.co_firstlineno), []).append(item)
    return found


def weave(source: Source, tree: ast.Module, only: Key | None = None) -> dict[FunctionType, CodeType]:
    """Put the functions of a tree (or `only` one) in place; return the code that they had. Raise NotWoven."""
    replaced: dict[FunctionType, CodeType] = {}
    live = running(source.module)
    for key, code in compiled(source, tree).items():
        if only not in (None, key):
            continue
        for function in live.get(key, ()):
            before = function.__code__
            if code.co_freevars != before.co_freevars:
                unweave(replaced)
                raise NotWoven(f"{source.module}:{key[0]}: the change takes away what the function closes over")
            replaced[function] = before
            function.__code__ = code
    if only is not None and not replaced:
        raise NotWoven(f"{source.module}:{only[0]} is not a function that runs")
    return replaced


def unweave(replaced: Mapping[FunctionType, CodeType]) -> None:
    """Give functions the code back that they had."""
    for function, code in replaced.items():
        function.__code__ = code


@contextmanager
def woven(source: Source, tree: ast.Module, only: Key | None = None) -> Iterator[None]:
    """Have a changed source in place for a while."""
    replaced = weave(source, tree, only)
    try:
        yield
    finally:
        unweave(replaced)
