"""The suite as plain pytest: `pytest conformance/suites --target URL --profile FILE` acts out and judges each scenario.

Each test is one scenario; it fails with the findings of its checks. `hutong certify` runs the same scenarios and adds
the events, the reports and the outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import specs
from conformance.harness import engine, judge
from conformance.harness.binding import load_binding
from conformance.harness.errors import NotOffered, Prerequisite, Undrivable
from conformance.harness.profile import load_profile
from conformance.harness.profile_model import Profile
from conformance.harness.records import CheckResult, Transcript, Verdict
from conformance.harness.registry import EVERY
from conformance.harness.world import Stage, World


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("hutong", "conformance suite")
    group.addoption("--target", help="address of the node under test (overrides [target] url of the profile)")
    group.addoption("--profile", type=Path, help="profile of the node under test (TOML)")


def _profile(config: pytest.Config) -> Profile:
    path = config.getoption("--profile")
    if path is None:
        raise pytest.UsageError("the suite needs --profile FILE; see README.md for a profile of ten lines")
    profile = load_profile(path)
    url = config.getoption("--target")
    return replace(profile, target=replace(profile.target, url=url)) if url else profile


@pytest.fixture(scope="session")
def hutong_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The stage that all scenarios of a worker share."""
    profile = _profile(request.config)
    current = engine.stage(profile, load_binding(profile.target.binding))
    engine.listen(current)
    yield current
    current.receiver.stop()


@pytest.fixture(scope="session")
def hutong_plan() -> engine.Plan:
    """All checks and scenarios."""
    return engine.plan()


@pytest.fixture
def world(request: pytest.FixtureRequest, hutong_stage: Stage, hutong_plan: engine.Plan) -> Iterator[World]:
    """The world of one scenario; once it has been acted out, its checks are judged."""
    name = request.function.__name__.removeprefix("test_")
    made = World(hutong_stage, name)
    yield made
    made.close()
    failed = [
        row
        for row in _judged(made.transcript(), hutong_stage, hutong_plan)
        if row.verdict in (Verdict.FAIL, Verdict.ERROR)
    ]
    if failed:
        pytest.fail("\n".join(_words(row) for row in failed), pytrace=False)


def _judged(transcript: Transcript, stage: Stage, plan: engine.Plan) -> list[CheckResult]:
    bench = judge.Bench(stage.profile, stage.binding, specs.load_requirements(), specs.operations())
    mine = [check for check in plan.checks if check.scenario in (transcript.scenario, EVERY)]
    return judge.judge({transcript.scenario: transcript}, mine, bench)


def _words(row: CheckResult) -> str:
    lines = [f"{row.requirement} {row.check}: {row.verdict.value} {row.reason}".rstrip()]
    for found in row.findings:
        where = ", ".join(found.exchanges)
        lines.append(f"  {found.code} {found.pointer} expected {found.expected!r}, got {found.actual!r} ({where})")
    return "\n".join(lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Show a scenario that the profile does not offer, or that cannot go on, as what it is."""
    try:
        yield
    except NotOffered as exc:
        pytest.skip(f"not applicable: {exc}")
    except (Prerequisite, Undrivable) as exc:
        pytest.fail(f"not testable: {exc}", pytrace=False)
