"""Changes of the node's source that nobody thought of: which there are, and how one is made (pure, no node runs here).

    compare     == and !=, < and <=, > and >=, in and not in, is and is not
    negate      the condition of an if, a while or a conditional expression
    connective  and, or
    raise       a refusal is left out
    call        a call whose result is not used is left out
    assign      a member or an item is not set
    constant    a number is one greater, true is false
    field       a member is left out of an object
    swap        two arguments that stand side by side change places

The deliberate defects of the node are no source of its own: what only runs with a defect on is not changed.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from conformance.selftest.weaving import FunctionNode, Key, Source, first_line, functions

Replace = Callable[[ast.AST], None]
Make = Callable[[], ast.AST]
_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_TOTAL = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)  # turned, these are negated
_QUESTIONS = frozenset({"on", "defect", "faulty"})
_LOGS = frozenset({"log", "logger", "_log"})
_CARRIERS = frozenset({"self", "node", "session", "connection", "store", "call"})  # taken for nothing else
_SWAPPED = {ast.Name, ast.Attribute, ast.Subscript, ast.Constant}
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, of which kind, and how it reads. `nth` counts like changes of one function from 0."""

    module: str
    function: str
    first_line: int
    line: int
    kind: str
    before: str
    after: str
    nth: int
    statement: int
    number: int

    @property
    def key(self) -> Key:
        """The function that changes."""
        return self.function, self.first_line

    @property
    def identity(self) -> tuple[str, str, str, str, str, int]:
        """What stays the same while the function does."""
        return self.module, self.function, self.kind, self.before, self.after, self.nth

    def __str__(self) -> str:
        """Return place and change in one line."""
        return f"{self.module}:{self.function}:{self.line} [{self.kind}] {self.before}  ->  {self.after}"


@dataclass(frozen=True, slots=True)
class _Site:
    node: ast.AST
    kind: str
    make: Make
    replace: Replace
    statement: int


def mutants(source: Source) -> list[Mutant]:
    """Return every change of a module's functions."""
    found: list[Mutant] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, (name, function, site) in enumerate(_sites(source.tree())):
        before, after = _short(site.node), _short(site.make())
        alike = (name, str(first_line(function)), site.kind, before, after)
        seen[alike] = nth = seen.get(alike, -1) + 1
        line = getattr(site.node, "lineno", function.lineno)
        row = (source.module, name, first_line(function), line, site.kind, before, after, nth, site.statement, number)
        found.append(Mutant(*row))
    return found


def mutate(source: Source, mutant: Mutant) -> ast.Module:
    """Return the module's tree with one change."""
    tree = source.tree()
    for number, (_, _, site) in enumerate(_sites(tree)):
        if number == mutant.number:
            changed = site.make()
            ast.copy_location(changed, site.node)
            site.replace(changed)
            return tree
    raise LookupError(mutant.number)


def marked(source: Source, name: str) -> tuple[ast.Module, int]:
    """Return the tree with a call of the global `name` before each statement of a function, and their number."""
    tree = source.tree()
    count = 0
    for body in list(_bodies(tree)):
        marks = []
        for statement in body:
            call = ast.Call(ast.Name(name, ast.Load()), [ast.Constant(count)], [])
            marks += [ast.copy_location(ast.Expr(call), statement), statement]
            count += 1
        body[:] = marks
    return tree, count


def _bodies(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """Yield every list of statements within functions, always in the same order; documentation strings are left out."""
    for _, function in functions(tree):
        for node in ast.walk(function):
            for field in ("body", "orelse", "finalbody"):
                body = getattr(node, field, None)
                if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                    yield body


def _numbers(tree: ast.Module) -> dict[int, int]:
    """Return the number of each statement by the identity of its node."""
    every = (statement for body in _bodies(tree) for statement in body)
    return {id(statement): number for number, statement in enumerate(every)}


def _sites(tree: ast.Module) -> Iterator[tuple[str, FunctionNode, _Site]]:
    numbers = _numbers(tree)
    for name, function in functions(tree):
        body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
        for statement in body:
            at = function.body.index(statement)
            for site in _within(statement, partial(function.body.__setitem__, at), numbers, -1):
                yield name, function, site


def _within(node: ast.AST, replace: Replace, numbers: dict[int, int], statement: int) -> Iterator[_Site]:
    """Yield the changes of a node and of what lies in it."""
    statement = numbers.get(id(node), statement)
    if _is_question(node) or _is_log(node):
        return
    for kind, make in itertools.chain(_of_expressions(node), _of_statements(node), _negations(node)):
        yield _Site(node, kind, make, replace, statement)
    dead = _dead(node)
    for field, value in ast.iter_fields(node):
        if field in dead or field in ("annotation", "returns", "decorator_list", "args" if _is_def(node) else ""):
            continue
        if isinstance(value, ast.AST):
            yield from _within(value, partial(setattr, node, field), numbers, statement)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                if isinstance(item, ast.AST) and not _is_documentation(node, field, at):
                    yield from _within(item, partial(value.__setitem__, at), numbers, statement)


def _of_expressions(node: ast.AST) -> Iterator[tuple[str, Make]]:
    match node:
        case ast.Compare(left, [turned], [right]) if type(turned) in _TURNED:
            yield "compare", lambda: ast.Compare(left, [_TURNED[type(turned)]()], [right])
        case ast.BoolOp(op, values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "connective", lambda: ast.BoolOp(other, values)
        case ast.Constant(bool() as value):
            yield "constant", lambda: ast.Constant(not value)
        case ast.Constant(int() as value):
            yield "constant", lambda: ast.Constant(value + 1)
        case ast.Dict(keys):
            for at, key in enumerate(keys):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield "field", partial(_without, node, at)
        case ast.Call(func, args, keywords) if (pair := _alike(args)) is not None:
            swapped = [*args[:pair], args[pair + 1], args[pair], *args[pair + 2 :]]
            yield "swap", lambda: ast.Call(func, swapped, keywords)


def _of_statements(node: ast.AST) -> Iterator[tuple[str, Make]]:
    match node:
        case ast.Raise():
            yield "raise", ast.Pass
        case ast.Expr(ast.Call() as call) if not _is_initialiser(call):
            yield "call", ast.Pass
        case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "assign", ast.Pass


def _negations(node: ast.AST) -> Iterator[tuple[str, Make]]:
    if not isinstance(node, (ast.If, ast.While, ast.IfExp)) or _truth(node.test) is not None:
        return
    if not _negated_by_turning(node.test):
        yield "negate", lambda: _with_test(node, ast.UnaryOp(ast.Not(), node.test))


def _alike(args: list[ast.expr]) -> int | None:
    """Return where two arguments stand side by side that could be taken for one another, None where none do."""
    for at, (first, second) in enumerate(itertools.pairwise(args)):
        kinds = {type(first), type(second)}
        if len(kinds) == 1 and kinds <= _SWAPPED and ast.unparse(first) != ast.unparse(second):
            names = {item.id for item in (first, second) if isinstance(item, ast.Name)}
            if not names & _CARRIERS:
                return at
    return None


def _with_test(node: ast.If | ast.While | ast.IfExp, test: ast.expr) -> ast.AST:
    if isinstance(node, ast.IfExp):
        return ast.IfExp(test, node.body, node.orelse)
    return type(node)(test, node.body, node.orelse)


def _without(node: ast.Dict, at: int) -> ast.Dict:
    return ast.Dict([*node.keys[:at], *node.keys[at + 1 :]], [*node.values[:at], *node.values[at + 1 :]])


def _negated_by_turning(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], _TOTAL)


def _is_def(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _is_documentation(node: ast.AST, field: str, at: int) -> bool:
    return _is_def(node) and field == "body" and at == 0 and ast.get_docstring(node) is not None  # type: ignore[arg-type]


def _is_initialiser(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"


def _is_log(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name)))):
            return name in _LOGS
    return False


def _is_question(node: ast.AST) -> bool:
    """Tell whether a node asks for a deliberate defect."""
    match node:
        case ast.Call(ast.Attribute(attr=name)) | ast.Call(ast.Name(id=name)) if name in _QUESTIONS:
            return True
    return False


def _dead(node: ast.AST) -> tuple[str, ...]:
    """Return the branches that run with a defect on only."""
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        truth = _truth(node.test)
        if truth is not None:
            return ("test", "body") if not truth else ("test", "orelse")
    return ()


def _truth(test: ast.expr) -> bool | None:
    """Return what a condition is while every defect is off, None where that depends on more."""
    if _is_question(test):
        return False
    match test:
        case ast.UnaryOp(ast.Not(), operand):
            inner = _truth(operand)
            return None if inner is None else not inner
        case ast.BoolOp(op, values):
            deciding = isinstance(op, ast.Or)
            parts = [_truth(value) for value in values]
            if deciding in parts:
                return deciding
            return None if None in parts else not deciding
    return None


def _short(node: ast.AST) -> str:
    """Return the first line of a node's source."""
    text = "(left out)" if isinstance(node, ast.Pass) else ast.unparse(ast.fix_missing_locations(node))
    line = text.split("\n", 1)[0]
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
