"""The harness at the isolation gap: what is wrong with a file is named, and without a gap nothing is judged (9.2-h)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.harness import engine, signing
from conformance.harness.binding import load_binding
from conformance.harness.clock import SystemClock
from conformance.harness.errors import Undrivable, UsageError
from conformance.harness.gap import Crossing, FarSide, Fault
from conformance.harness.gap_files import Bent
from conformance.harness.judge import Bench, judge
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import GapPlace
from conformance.harness.records import Answer, Request, Verdict
from conformance.harness.registry import CHECKS, SCENARIOS
from conformance.harness.target import Unanswered

TARGET = {"url": "http://127.0.0.1:9", "node_id": "node-in"}
HEALTH = Request("GET", "/v1/interconn/node/query", (("node_id", "node-in"),))
DONE = Answer(200, {"content-type": "application/json", "server": "x"}, b'{"code":0}')


def joined(folder: Path) -> tuple[FarSide, FarSide]:
    """Return two far sides, each the other's target: what one puts in, the other finds in its out."""
    sides = []
    for own, other in (("node-out", "node-in"), ("node-in", "node-out")):
        (folder / own).mkdir()
        for name in ("in", "out"):
            towards = f"{other}-to-{own}" if name == "out" else f"{own}-to-{other}"
            (folder / towards).mkdir(exist_ok=True)
            (folder / own / name).symlink_to(folder / towards)
        sides.append(FarSide(GapPlace(folder / own, own), other, SystemClock(), lambda _request: DONE))
    for side, other_side in (sides, sides[::-1]):
        (side.folder / "own.pem").write_text(other_side.key.credential)
    return sides[0], sides[1]


def put(side: FarSide, bent: Bent) -> None:
    """Write a request with something wrong."""
    fields = {"kind": "request", "method": "GET", "path": HEALTH.path, "query": "", "headers": {}}
    side.put(fields, b"body", bent)


@pytest.mark.parametrize(
    ("bent", "faults"),
    [
        (Bent(), []),
        (Bent(key=signing.Key.generate("SM3_SM2")), [Fault.SIGNATURE]),
        (Bent(forged={"query": "a=b"}), [Fault.SIGNATURE]),
        (Bent(body=lambda body: body[::-1]), [Fault.BODY]),
        (Bent(body=lambda body: body + b"x"), [Fault.BODY]),
        (Bent(head={"receiver": "node-x"}), [Fault.PARTIES]),
        (Bent(head={"headers": {"server": "x"}}), [Fault.HEAD]),
        (Bent(head={"sequence": 7}), [Fault.NAME]),
        (Bent(head={"id": None}), [Fault.HEAD]),
        (Bent(whole=b"\x00" * 64), [Fault.FORMAT]),
        (Bent(whole=b""), [Fault.FORMAT]),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, bent: Bent, faults: list[Fault]) -> None:
    """A file is noted with its faults and no others, and is taken away."""
    ours, theirs = joined(tmp_path)
    put(theirs, bent)
    ours.collect()
    (row,) = ours.files
    assert row["faults"] == faults
    assert list((tmp_path / "node-out" / "out").iterdir()) == []


def test_a_number_that_does_not_rise_is_named(tmp_path: Path) -> None:
    """The second file with the number of the first is at fault."""
    ours, theirs = joined(tmp_path)
    for _ in range(2):
        put(theirs, Bent(head={"sequence": 7}))
        ours.collect()
    assert [Fault.SEQUENCE in row["faults"] for row in ours.files] == [False, True]


def test_a_request_of_the_targets_is_answered_by_a_file(tmp_path: Path) -> None:
    """The answer names the request and carries only headers that may cross."""
    ours, theirs = joined(tmp_path)
    put(theirs, Bent())
    ours.collect()
    theirs.collect()
    (asked,), (told,) = ours.files, theirs.files
    assert (told["kind"], told["answers"], told["faults"]) == ("answer", asked["id"], [])


def test_a_request_without_an_answer_is_taken_back(tmp_path: Path) -> None:
    """Nobody reads it, so that it ends as unanswered and leaves nothing behind; a bent one stays where it is."""
    ours, _theirs = joined(tmp_path)
    for bent, left in ((Bent(), 0), (Bent(whole=b"x"), 1)):
        with pytest.raises(Unanswered):
            Crossing(ours, bent, seconds=0.01).send(HEALTH, 0.01)
        assert len(list((tmp_path / "node-out" / "in").iterdir())) == left


def test_a_new_beginning_clears_the_folders_and_sets_the_key(tmp_path: Path) -> None:
    """What lay there is gone, and the partner's key is there or not, as it is asked for."""
    ours, theirs = joined(tmp_path)
    put(theirs, Bent())
    ours.open()
    assert (tmp_path / "node-out" / "partner.pem").read_text() == ours.key.credential
    ours.open(trusted=False)
    assert not (tmp_path / "node-out" / "partner.pem").exists()
    ours.collect()
    assert ours.files == []


def test_a_folder_that_is_no_links_is_said_so(tmp_path: Path) -> None:
    """The profile names a folder in which no node has made its own two."""
    far = FarSide(GapPlace(tmp_path, "node-out"), "node-in", SystemClock(), lambda _request: DONE)
    with pytest.raises(Undrivable, match=r"gap\.folder"):
        far.open()


def test_the_profile_names_folder_and_partner() -> None:
    """The folder counts from the profile's; neither may be left out."""
    gap: dict[str, Any] = {"folder": "gap/node-out", "partner": "node-out"}
    profile = parse_profile({"target": TARGET, "gap": gap}, "lab/p.toml")
    assert profile.gap == GapPlace(Path("lab/gap/node-out"), "node-out")
    for key in gap:
        with pytest.raises(UsageError, match="gap"):
            parse_profile({"target": TARGET, "gap": {name: gap[name] for name in gap if name != key}}, "p.toml")
    with pytest.raises(UsageError, match="no node id"):
        parse_profile({"target": TARGET, "gap": {**gap, "partner": "node/out"}}, "p.toml")


def test_without_a_gap_every_check_of_it_is_not_applicable() -> None:
    """The verdict names the section of the profile that is not there."""
    engine.plan()
    profile, binding = parse_profile({"target": TARGET}, "p.toml"), load_binding("reference")
    collector = engine.Collector(engine.stage(profile, binding))
    checks = [check for check in CHECKS.values() if check.requirement == "9.2-h"]
    for name in sorted({check.scenario for check in checks}):
        collector.act(SCENARIOS[name])
    results = judge(collector.transcripts, checks, Bench(profile, binding, specs.load_requirements(), {}))
    assert len(results) == len(checks) >= 16
    assert {row.verdict for row in results} == {Verdict.NOT_APPLICABLE}
    assert all("no [gap" in row.reason for row in results)
