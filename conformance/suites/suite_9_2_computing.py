"""The target computes with a partner that the harness plays to the end: what leaves it, and what it takes (9.2-c).

The partner schedules; its parties of the open intersection and sum are the harness's own. The target's table holds
canaries, so that whatever leaves it in clear, or so that anybody can compute it, is found.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance.harness import planted, psi, psi_curves, sharing
from conformance.harness.errors import Undrivable
from conformance.harness.registry import scenario
from conformance.harness.sm2 import sm3
from conformance.harness.tampering import Kind, altered
from conformance.harness.world import World
from conformance.suites import computing, work
from conformance.suites.computing import INTERSECTION, STATISTICS, component
from conformance.suites.suite_9_2_tampering import NO_HAND

MEMBERS, OWN, THEIRS = 20, 8, 5
SCALE = 2
PSI: Mapping[str, Any] = {"id": "uscc"}
SUM: Mapping[str, Any] = {"columns": ["kwh"], "scale": SCALE}
HEAD = ("uscc", "kwh")
WEAK = (2, 10, 1)  # the SM2 curve with SHA-224, 112 bits: nothing that the protocol knows
REASON = "互通测试 · audit of the conformance suite"


def _names(number: int) -> list[str]:
    """Draw identifiers that stand nowhere else."""
    return [f"canary{secrets.token_hex(8)}" for _ in range(number)]


def _rows(world: World) -> tuple[list[tuple[str, str]], list[str]]:
    """Draw the target's table and the partner's identifiers; write down what is expected."""
    shared, own, theirs = _names(MEMBERS), _names(OWN), _names(THEIRS)
    held = shared + own
    secrets.SystemRandom().shuffle(held)
    rows: list[tuple[str, str]] = []
    while _total(rows, shared)[0] % 10 == 0:  # a sum that ends in 0 could be rounded and still be right
        rows = [(name, f"{10**9 + secrets.randbelow(10**9)}.{secrets.randbelow(100):02d}") for name in held]
    world.fact("held", held)
    world.fact("members", [name for name in held if name in shared])
    world.fact("values", [value for _, value in rows])
    world.fact("sum", _total(rows, shared))
    return rows, shared + theirs


def _total(rows: Sequence[tuple[str, str]], names: Sequence[str]) -> list[int]:
    """Return the sum in hundredths and the number of the rows of these names."""
    inside = [int(value.replace(".", "")) for name, value in rows if name in names]
    return [sum(inside), len(inside)]


@scenario()
def test_computing_plaintext(world: World) -> None:
    """Two intersections, and two sums over what one of them has found, are computed with the target (9.2-c-1)."""
    partner = work.played(world)
    rows, items = _rows(world)
    parts = [component("join", INTERSECTION), component("again", INTERSECTION)]
    parts += [component(name, STATISTICS, "join.joined") for name in ("total", "twice")]
    params = {"join": PSI, "again": PSI, "total": SUM, "twice": SUM}
    with computing.table(world, "plaintext", [HEAD, *rows]) as path:
        content = path.read_bytes()
        world.fact("digests", [sm3(content).hex(), hashlib.sha256(content).hexdigest()])
        dataset_id = computing.lent(world, partner, "plaintext", path)
        job = computing.job(world, partner, parts, dataset_id, params)
        joins = {name: psi.Party(0, items) for name in ("join", "again")}
        job.run("joins", *(job.task(name, party) for name, party in joins.items()))
        terms = sharing.Terms((job.me, job.target), ("kwh",), SCALE)
        sums = {name: sharing.Party(job.me, terms, [(0, 0)]) for name in ("total", "twice")}
        job.run("sums", *(job.task(name, party) for name, party in sums.items()))
    for name, join in joins.items():
        known = dict(zip(join.received[psi.TWICE], join.items, strict=False))
        world.fact(f"{name}:found", sorted(join.found or ()))
        world.fact(f"{name}:points", [point.hex() for point in join.received[psi.ONCE]])
        world.fact(f"{name}:order", [known[tag] for tag in join.double if tag in known])
    world.fact("bits", terms.bits)
    for name, summed in sums.items():
        world.fact(f"{name}:share", [str(number) for number in summed.share])
        world.fact(f"{name}:opened", summed.opened)
    world.fact("tasks", {name: world.facts[name]["task_id"] for name in ("join", "total")})
    _looked_over(world, job)


def _looked_over(world: World, job: computing.Job) -> None:
    """Look at everything that shows what was computed: answers, logs, evidence, storage."""
    stranger = world.signed_partner("stranger")
    for name, task_id in world.facts["tasks"].items():
        key = {**job.key, "task_id": task_id}
        world.call(f"query:{name}", job.partner, "taskQuery", key)
        world.call(f"asked:{name}", stranger, "taskQuery", key, breaks="it has nothing to do with the job")
        world.own(f"log:{name}", "ownTaskLog", {**key, "log_level": "DEBUG", "start": 0, "length": 500})
    if world.profile.auditor is not None:
        told = world.own("evidence", "ownEvidenceList", {"subject_id": job.job_id, "page_size": 100})
        numbers = sorted(row["seq"] for row in told.at("/records")) or [1]
        asked = {"first_seq": numbers[0], "last_seq": numbers[-1], "reason": REASON}
        world.own("export", "ownEvidenceExport", {**asked, "content": True})
        world.own("restored", "ownEvidenceRestore", asked)
    if world.stage.deposits is not None:
        member = world.facts["members"][0]  # it stands in every table of the job, results too
        value = world.facts["values"][world.facts["held"].index(member)]
        world.fact("searched", world.stage.deposits.searched({"identifier": member, "value": value}))


# --- the partner does not keep to the protocol ----------------------------------------------------------------------


def _played(world: World, role: str, params: Mapping[str, Any], cases: Mapping[str, psi.Bend]) -> None:
    """Have the target, in this role, compute one intersection for each case, all at the same time."""
    partner = work.played(world)
    shared, own, theirs = (_names(3) for _ in range(3))
    world.fact("members", sorted(shared))
    with computing.table(world, role, [HEAD, *((name, "1.00") for name in shared + own)]) as path:
        dataset_id = computing.lent(world, partner, role, path)
        parts = [component(name, INTERSECTION) for name in cases]
        given = {name: {**PSI, **params} for name in cases}
        job = computing.job(world, partner, parts, dataset_id, given, role=role)
        rank, suites = (1 if role == "guest" else 0), params["suites"]
        result = 1 - rank if "result_parties" in params else psi.BOTH
        parties = {
            name: psi.Party(rank, shared + theirs, suites=suites, result=result, bend=bend)
            for name, bend in cases.items()
        }
        job.run("played", *(job.task(name, party) for name, party in parties.items()))
    for name, party in parties.items():
        world.fact(f"{name}:error", party.error_code)
    world.fact("found", sorted(parties["sound"].found or ()))


def _first(point: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """Put a point in the place of the first."""
    return lambda points: [point, *points[1:]]


@scenario()
def test_computing_as_proposer(world: World) -> None:
    """The target proposes over SM2: the partner answers weakly, and sends what is no point or no batch (9.2-c-2)."""
    cases = {
        "sound": psi.Bend(),
        "weak-answer": psi.Bend(triple=WEAK),
        "short-tags": psi.Bend(bits=32),
        "changed": psi.Bend(confirm=True),
        "off-curve": psi.Bend(points=_first(psi_curves.off_curve())),
        "false-count": psi.Bend(count=1),
    }
    _played(world, "host", {"suites": ["sm2-sm3"]}, cases)


@scenario()
def test_computing_as_chooser(world: World) -> None:
    """The target chooses over Curve25519: a weak offer, bad points, more items than announced come (9.2-c-2)."""
    cases = {
        "sound": psi.Bend(),
        "weak-offer": psi.Bend(triple=WEAK),
        "small-order": psi.Bend(points=_first(psi_curves.SMALL_ORDER)),
        "zero": psi.Bend(points=_first(psi_curves.ZERO)),
        "not-canonical": psi.Bend(points=_first(psi_curves.NOT_CANONICAL)),
        "overrun": psi.Bend(announced=-1),
    }
    _played(world, "guest", {"suites": ["x25519-sha256"]}, cases)


@scenario()
def test_computing_for_one_side(world: World) -> None:
    """Only the target is to have the result of an intersection (9.2-c-1)."""
    _played(world, "guest", {"suites": ["x25519-sha256"], "result_parties": ["guest.0"]}, {"sound": psi.Bend()})


@scenario()
def test_computing_on_altered_data(world: World) -> None:
    """A sum is computed over a file; then the file is altered in its place, and another sum is asked for (9.2-c)."""
    partner = work.played(world)
    rows = [(name, "1000000001.25") for name in _names(3)]
    parts = [component(name, STATISTICS) for name in ("before", "after")]
    with computing.table(world, "altered", [HEAD, *rows]) as path:
        dataset_id = computing.lent(world, partner, "altered", path)
        job = computing.job(world, partner, parts, dataset_id, {"before": SUM, "after": SUM})
        terms = sharing.Terms((job.me, job.target), ("kwh",), SCALE)
        job.run("first", job.task("before", sharing.Party(job.me, terms, [(0, 0)])))
        planted.alter(path, "1000000001.25", "1000000009.25")
        job.run("second", job.task("after", sharing.Party(job.me, terms, [(0, 0)])))


@scenario()
def test_computing_altered_output(world: World) -> None:
    """What an intersection has put out is altered where it lies, fetched, and summed over; it is mended (9.2-e-1)."""
    hand = world.stage.tamper
    if hand is None:
        raise Undrivable(NO_HAND)
    partner = work.played(world)
    shared, own, theirs = (_names(3) for _ in range(3))
    parts = [component("join", INTERSECTION)]
    parts += [component(name, STATISTICS, "join.joined") for name in ("total", "mended-total")]
    with computing.table(world, "output", [HEAD, *((name, "1.00") for name in shared + own)]) as path:
        dataset_id = computing.lent(world, partner, "output", path)
        job = computing.job(world, partner, parts, dataset_id, {"join": PSI, "total": SUM, "mended-total": SUM})
        play = job.task("join", psi.Party(0, shared + theirs))
        job.run("join", play)
        asked = {**job.key, "task_id": play.task_id, "party": job.target, "name": "joined"}
        terms = sharing.Terms((job.me, job.target), ("kwh",), SCALE)
        world.own("before", "ownTaskOutput", asked)
        with altered(hand, Kind.OUTPUT, play.task_id):
            world.own("altered", "ownTaskOutput", asked, breaks="what is stored was altered")
            job.run("total", job.task("total", sharing.Party(job.me, terms, [(0, 0)])))
        world.own("mended", "ownTaskOutput", asked)
        job.run("mended", job.task("mended-total", sharing.Party(job.me, terms, [(0, 0)])))
