"""What the suite consists of: scenarios (stories that the collector acts out) and checks (judges of a recording).

A scenario is registered by `@scenario()` and is an ordinary pytest test with the fixture `world`; its name is the
function's without `test_`. A check is registered by `@check(requirement, scenario, *codes)`; its name is a sentence
that is true of a conforming node, its codes are the findings it may emit.

>>> @check("8.1.2-c", "contract_cancel", "CONTRACT_CANCELLED_AFTER_CONFIRM")       # doctest: +SKIP
... def contract_cancel_is_refused_once_confirmed(story):
...     yield from expect.refused(story, "cancel-late", "CONTRACT_CANCELLED_AFTER_CONFIRM", "CONTRACT_NOT_PENDING")
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.harness.records import Finding

if TYPE_CHECKING:
    from conformance.harness.story import Story
    from conformance.harness.world import World

EVERY = "*"

Judge = Callable[["Story"], Iterable[Finding]]
Act = Callable[["World"], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One proposition about a conforming node.

    `scenario` is EVERY for a check that reads all recordings. `requirement` is "" for a check that asks the same of
    every operation: its findings then carry the requirement of the operation they were seen in.
    """

    name: str
    requirement: str
    scenario: str
    codes: tuple[str, ...]
    judge: Judge

    @property
    def by_operation(self) -> bool:
        """Whether the check speaks of every operation alike."""
        return not self.requirement


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story; an exclusive one changes something that others could notice, so it runs alone."""

    name: str
    act: Act
    exclusive: bool
    chapter: str


CHECKS: dict[str, Check] = {}
SCENARIOS: dict[str, Scenario] = {}


def check(requirement: str, scenario: str, *codes: str) -> Callable[[Judge], Judge]:
    """Register a check under its function's name."""

    def register(function: Judge) -> Judge:
        name = function.__name__
        known = CHECKS.get(name)
        if known is not None and known.judge.__module__ != function.__module__:
            raise ValueError(f"two checks are named {name}")
        if not codes:
            raise ValueError(f"check {name} names no finding: it could not fail")
        CHECKS[name] = Check(name, requirement, scenario, codes, function)
        return function

    return register


def scenario(*, exclusive: bool = False) -> Callable[[Act], Act]:
    """Register a scenario; the chapter is that of its module (`suite_8_1_contract` -> `8.1`)."""

    def register(function: Act) -> Act:
        name = function.__name__.removeprefix("test_")
        known = SCENARIOS.get(name)
        if known is not None and known.act.__module__ != function.__module__:
            raise ValueError(f"two scenarios are named {name}")
        parts = function.__module__.rsplit(".", 1)[-1].split("_")
        SCENARIOS[name] = Scenario(name, function, exclusive, ".".join(part for part in parts if part.isdigit()))
        return function

    return register


def load(*packages: str) -> None:
    """Import every module of the packages, which registers what they hold."""
    for package in packages:
        module: Any = importlib.import_module(package)
        for info in pkgutil.iter_modules(module.__path__):
            importlib.import_module(f"{package}.{info.name}")
