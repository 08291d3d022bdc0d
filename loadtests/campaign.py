"""A load campaign as data: who does what how often, for how long, and what must hold (`loadtests/campaigns/*.toml`).

    [shape]   users, spawn_rate, seconds, sample_every, max_requests
    [gates]   p95_ms of the slowest operation, error_rate of all requests, findings in the sample
    [[story]] name, weight, checks, step = [{label, operation, send, keep}]
    [[prepare]] and [[finish]] are steps of each user, before the clock runs and after it has stopped

Guarantees: strict as every file of the user's: an operation that the interface does not have, a name that no step has
kept, a key that is not known end in a `UsageError` that names the place; the bounds below hold for every campaign.

>>> fill({"audit_id": "${id}", "count": 3}, {"id": "a-1"})
{'audit_id': 'a-1', 'count': 3}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conformance.harness.binding import Binding
from conformance.harness.errors import UsageError
from conformance.harness.profile_model import Profile
from conformance.harness.strict import Table, read_toml
from specs import Text, operations

MOST_USERS = 200
MOST_SECONDS = 900
MOST_REQUESTS = 1_000_000
GIVEN = frozenset({"id", "contract_id", "node_id"})

_PLACE = re.compile(r"\$\{(\w+)\}")
_STEP = ("label", "operation", "send", "keep")


@dataclass(frozen=True, slots=True)
class Step:
    """One request. `send` holds `${names}`; `keep` gives names to places of the answer."""

    label: str
    operation: str
    send: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """What a user does in one go; `checks` are checks of the suite that read its steps by their labels."""

    name: str
    weight: int
    steps: tuple[Step, ...]
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """How much for how long; every `sample_every`-th story of a kind, and the first of each, is judged."""

    users: int = 8
    spawn_rate: float = 8.0
    seconds: float = 20.0
    sample_every: int = 10
    max_requests: int = 100_000


@dataclass(frozen=True, slots=True)
class Gates:
    """What must hold."""

    p95_ms: float = 1000.0
    error_rate: float = 0.0
    findings: int = 0


@dataclass(frozen=True, slots=True)
class Campaign:
    """A whole campaign."""

    name: str
    title: Text
    shape: Shape
    gates: Gates
    stories: tuple[Story, ...]
    prepare: tuple[Step, ...] = ()
    finish: tuple[Step, ...] = ()


def fill(value: Any, names: Mapping[str, str]) -> Any:
    """Put values in the place of `${names}`, however deep they stand."""
    match value:
        case str():
            return _PLACE.sub(lambda place: names[place[1]], value)
        case Mapping():
            return {key: fill(item, names) for key, item in value.items()}
        case list():
            return [fill(item, names) for item in value]
        case _:
            return value


def load_campaign(path: Path) -> Campaign:
    """Read a campaign from a file."""
    return parse_campaign(read_toml(path), str(path))


def parse_campaign(data: Mapping[str, Any], where: str) -> Campaign:
    """Read the content of a campaign; `where` is for messages."""
    top = Table(where, "", data, ("name", "title", "shape", "gates", "story", "prepare", "finish"))
    title = top.table("title", ("zh", "en"))
    prepare = _steps(top, "prepare", data)
    names = _checked(where, prepare, GIVEN)
    told = top.tables("story", ("name", "weight", "checks", "step"))
    stories = tuple(_story(row, raw) for row, raw in zip(told, data.get("story", ()), strict=True))
    for story in stories:
        _checked(where, story.steps, names)
    finish = _steps(top, "finish", data)
    _checked(where, finish, names)
    if not stories:
        raise UsageError(f"{where}: there is no [[story]]", hint="A campaign without stories sends nothing.")
    if len({story.name for story in stories}) != len(stories):
        raise UsageError(f"{where}: two stories have one name", hint="Give each [[story]] a name of its own.")
    shape = _shape(top.table("shape", tuple(Shape.__dataclass_fields__)))
    return Campaign(
        name=top.text("name"),
        title=Text(zh=title.text("zh"), en=title.text("en")),
        shape=shape,
        gates=_gates(top.table("gates", tuple(Gates.__dataclass_fields__))),
        stories=stories,
        prepare=prepare,
        finish=finish,
    )


def reshaped(campaign: Campaign, users: int | None, seconds: float | None) -> Campaign:
    """Return the campaign with what the command line says of users and seconds, within the same bounds."""
    shape = campaign.shape
    given = {"users": shape.users if users is None else users, "seconds": shape.seconds if seconds is None else seconds}
    table = Table("command line", "shape", given, tuple(given))
    bounded = _shape(table)
    rate = max(shape.spawn_rate, float(bounded.users)) if users is not None else shape.spawn_rate
    return replace(campaign, shape=replace(shape, users=bounded.users, seconds=bounded.seconds, spawn_rate=rate))


def offered(campaign: Campaign, profile: Profile, binding: Binding) -> tuple[Campaign, tuple[str, ...]]:
    """Return what of a campaign a target can be asked, and the names of the stories that are left out.

    A step that prepares what the target does not have is left out together with the stories that need what it keeps.
    """

    def has(step: Step) -> bool:
        known = operations()[step.operation].protocol in profile.capabilities.protocols
        return known and binding.offers(step.operation)

    prepare = tuple(step for step in campaign.prepare if has(step))
    names = GIVEN.union(*(step.keep for step in prepare))
    stories = tuple(
        story for story in campaign.stories if all(has(step) for step in story.steps) and not _unknown(story, names)
    )
    finish = tuple(step for step in campaign.finish if has(step) and not set(_places(step.send)) - names)
    left_out = tuple(story.name for story in campaign.stories if story not in stories)
    return replace(campaign, prepare=prepare, stories=stories, finish=finish), left_out


# --- reading --------------------------------------------------------------------------------------------------------


def _story(row: Table, raw: Mapping[str, Any]) -> Story:
    steps = _steps(row, "step", raw)
    if not steps:
        raise row.fault("step", "a story has at least one step")
    return Story(row.text("name"), row.integer("weight", 1, least=1, most=1000), steps, row.texts("checks", ()))


def _steps(table: Table, key: str, raw: Mapping[str, Any]) -> tuple[Step, ...]:
    rows = table.tables(key, _STEP)
    return tuple(_step(row, item) for row, item in zip(rows, raw.get(key, ()), strict=True))


def _step(row: Table, raw: Mapping[str, Any]) -> Step:
    known = [name for name, operation in operations().items() if not operation.planned]
    operation = row.text("operation", choices=known)
    row.table("send", None)  # that it is a table
    return Step(row.text("label", operation), operation, dict(raw.get("send", {})), row.words("keep"))


def _shape(row: Table) -> Shape:
    usual = Shape()
    return Shape(
        users=row.integer("users", usual.users, least=1, most=MOST_USERS),
        spawn_rate=row.number("spawn_rate", usual.spawn_rate, least=0.1, most=MOST_USERS),
        seconds=row.number("seconds", usual.seconds, least=1, most=MOST_SECONDS),
        sample_every=row.integer("sample_every", usual.sample_every, least=1),
        max_requests=row.integer("max_requests", usual.max_requests, least=1, most=MOST_REQUESTS),
    )


def _gates(row: Table) -> Gates:
    usual = Gates()
    return Gates(
        p95_ms=row.number("p95_ms", usual.p95_ms),
        error_rate=row.number("error_rate", usual.error_rate, most=1.0),
        findings=row.integer("findings", usual.findings),
    )


def _places(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield from _PLACE.findall(value)
        case Mapping():
            for item in value.values():
                yield from _places(item)
        case list():
            for item in value:
                yield from _places(item)


def _unknown(story: Story, names: frozenset[str]) -> set[str]:
    kept = {name for step in story.steps for name in step.keep}
    return {name for step in story.steps for name in _places(step.send)} - names - kept


def _checked(where: str, steps: Iterable[Step], names: frozenset[str]) -> frozenset[str]:
    """Return the names that stand after the steps; a step that uses one that nobody kept is told."""
    for step in steps:
        for name in _places(step.send):
            if name not in names:
                hint = f"Take one of: {', '.join(sorted(names))}."
                raise UsageError(f"{where}: {step.operation}: nothing has kept ${{{name}}}", hint=hint)
        names = names.union(step.keep)
    return names
