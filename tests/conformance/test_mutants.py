"""Mutants are made as described, tried in processes of their own, and counted honestly."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from conformance.harness.errors import UsageError
from conformance.selftest import mutants as trying
from conformance.selftest.mutants import Fate, Judgement, Score, Trial
from conformance.selftest.mutation import Mutant, mutants, mutate
from conformance.selftest.weaving import Source

TEXT = '''
"""Module."""

def f(a, b, node, session, log):
    """Documentation with a number: 3."""
    if a < b and not a.faults.on("some-defect"):
        raise ValueError("no")
    if a.faults.on("another-defect"):
        return g(1, 2)
    log.info("not changed")
    a.state = {"x": 1, "y": True}
    h(a, b)
    k(node, session)
    return a.x if b is None else b
'''
EXPECTED = {
    ("negate", "a < b and (not a.faults.on('some-defect'))"),
    ("connective", "a < b and (not a.faults.on('some-defect'))"),
    ("compare", "a < b"),
    ("raise", "raise ValueError('no')"),
    ("assign", "a.state = {'x': 1, 'y': True}"),
    ("field", "{'x': 1, 'y': True}"),
    ("constant", "1"),
    ("constant", "True"),
    ("call", "h(a, b)"),
    ("swap", "h(a, b)"),
    ("call", "k(node, session)"),
    ("compare", "b is None"),
}


def source() -> Source:
    return Source("example", Path("example.py"), TEXT)


def test_changes_are_those_that_the_module_describes() -> None:
    """Every kind is made; what only runs with a defect on, logging and documentation are left alone."""
    found = mutants(source())
    kinds = {(row.kind, row.before.removeprefix("if ").removesuffix(":")) for row in found}
    assert kinds == EXPECTED
    assert sum(row.kind == "field" for row in found) == 2


def test_each_change_is_one_change_and_compiles() -> None:
    """A mutant differs from the sound source in one place, and is a module of Python."""
    before = ast.dump(source().tree())
    texts = set()
    for mutant in mutants(source()):
        tree = ast.fix_missing_locations(mutate(source(), mutant))
        compile(tree, "example.py", "exec")
        assert ast.dump(tree) != before
        texts.add(ast.unparse(tree))
    assert len(texts) == len(mutants(source()))


def test_identities_tell_mutants_apart() -> None:
    """What names a mutant in the list of judged ones names no other."""
    names = trying.modules(["domain", "services.approvals"])
    every = trying.draw(names, 0, 0)
    assert len({row.identity for row in every}) == len(every) > 100


def test_a_sample_is_drawn_by_its_seed() -> None:
    """The same seed gives the same mutants."""
    names = trying.modules(["services"])
    assert trying.draw(names, 20, 1) == trying.draw(names, 20, 1) != trying.draw(names, 20, 2)


def test_an_unknown_module_is_refused() -> None:
    """The error says which packages there are."""
    with pytest.raises(UsageError) as refused:
        trying.modules(["nonsense"])
    assert "services" in str(refused.value.hint)


def test_the_score_leaves_out_void_and_judged() -> None:
    """What cannot be tried and what need not be killed does not count; what is incomplete or unreached does."""
    mutant = mutants(source())[0]
    trials = [
        *(Trial(mutant, Fate.KILLED, ("CODE",)),) * 8,
        Trial(mutant, Fate.SURVIVED),
        Trial(mutant, Fate.SURVIVED, judgement=Judgement.EQUIVALENT),
        Trial(mutant, Fate.UNREACHED),
        Trial(mutant, Fate.VOID),
    ]
    assert trying.score(trials) == Score(8, 10)
    low, high = Score(8, 10).interval
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)  # Wilson's interval for 8 of 10, as tables have it


def test_every_judged_mutant_exists_with_a_reason() -> None:
    """A judgement of what is no longer in the source has gone."""
    known = {row.identity for row in trying.draw(trying.modules(), 0, 0)}
    assert [identity for identity in trying.judged() if identity not in known] == []


@pytest.mark.slow
def test_mutants_of_a_module_are_killed_missed_and_void() -> None:
    """Against the real suite: a refusal that is left out is found, and the node is sound again afterwards."""
    every = trying.draw(trying.modules(["domain.contract"]), 0, 0)
    chosen = [row for row in every if row.kind == "raise" and row.function == "cancel"]
    assert chosen
    ground = trying.examine(trying.modules(["domain.contract"]))
    told: list[Mutant] = []
    trials = trying.run(chosen, ground, jobs=1, tell=lambda trial: told.append(trial.mutant))
    assert told == chosen
    assert {trial.fate for trial in trials} == {Fate.KILLED}
    assert all(trial.codes for trial in trials)
    assert "mutation score 100%" in trying.lines(trials, ground)[-1]
