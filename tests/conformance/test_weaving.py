"""A function of the node does what a changed source says, wherever it is referred to, and then what it did before."""

from __future__ import annotations

import ast

import pytest

from conformance.selftest.mutation import marked, mutants, mutate
from conformance.selftest.weaving import NotWoven, Source, functions, woven
from reference_node.domain import consent
from reference_node.domain.consent import same as held_before

MODULE = "reference_node.domain.consent"


def changed(function: str, text: str) -> tuple[Source, ast.Module]:
    """Return the module with another body of one function."""
    source = Source.of(MODULE)
    tree = source.tree()
    for name, node in functions(tree):
        if name == function:
            node.body = ast.parse(text).body
            for inner in ast.walk(node):
                if isinstance(inner, ast.Expr | ast.Constant | ast.Name):
                    ast.copy_location(inner, node)
    return source, tree


def wrapped(text: str) -> str:
    return f"def f():\n    {text}"


def test_every_reference_to_a_function_sees_the_change() -> None:
    """The function object stays; a name that was imported before the change does what the change says."""
    source = Source.of(MODULE)
    tree = source.tree()
    body = dict(functions(tree))["same"].body
    returned = body[-1]
    assert isinstance(returned, ast.Return)
    returned.value = ast.Constant("changed")
    assert held_before({"a": 1}, {"a": 2}) is False
    with woven(source, tree):
        assert held_before({"a": 1}, {"a": 2}) == "changed"
        assert consent.same is held_before
    assert held_before({"a": 1}, {"a": 2}) is False


def test_a_change_of_what_a_function_closes_over_is_refused() -> None:
    """Code that needs another closure cannot be put in place; nothing else is left changed."""
    source = Source("tests.conformance.test_weaving", Source.of(MODULE).path, "def outer(): pass")
    with pytest.raises(NotWoven), woven(source, source.tree(), ("nowhere", 1)):
        pass


def test_lines_stay_those_of_the_source() -> None:
    """A traceback of a changed module points into its source."""
    source = Source.of(MODULE)
    mutant = next(row for row in mutants(source) if row.function == "open_params" and row.kind == "compare")
    with woven(source, mutate(source, mutant), mutant.key):
        code = consent.open_params.__code__
        assert code.co_filename == str(source.path)
        lines = [line for _, _, line in code.co_lines() if line]
        assert mutant.line in lines
        assert min(lines) >= mutant.first_line


def test_statements_are_counted_where_they_run() -> None:
    """Marks tell which statements of a module ran; numbers are those that mutants carry."""
    source = Source.of(MODULE)
    seen: set[int] = set()
    consent.__dict__["__seen__"] = seen.add
    tree, count = marked(source, "__seen__")
    with woven(source, tree):
        consent.same(1, 1)
    assert 0 < len(seen) < count
    inside = {row.statement for row in mutants(source) if row.function == "same"}
    assert inside <= seen
    elsewhere = {row.statement for row in mutants(source) if row.function == "open_params"}
    assert not elsewhere & seen
