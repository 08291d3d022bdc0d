"""Where a node is, that node says, and only what can be meant by it: addresses in applications, updates and jobs."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import channel, expect
from conformance.harness.records import Direction, Exchange, Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

ASTRAY = "/astray"


# --- what no node can mean --------------------------------------------------------------------------------------------


@check("8.1.2-a", "address_application", "HOSTILE_ADDRESS_TAKEN")
def application_with_a_hostile_address_is_refused(story: Story) -> Iterator[Finding]:
    """User information, a port that there is not, dot segments, a fragment or a foreign scheme is no address."""
    for name in story.fact("wrong"):
        if name != "own":
            yield from expect.refused(story, f"apply-{name}", "HOSTILE_ADDRESS_TAKEN", twin="apply")


@check("8.1.2-a", "address_application", "REFUSED_APPLICATION_KEPT")
def refused_application_leaves_no_contract(story: Story) -> Iterator[Finding]:
    """Of an application whose address was refused nothing waits for a decision."""
    if any(story.step(f"apply-{name}").reading.accepted for name in story.fact("wrong")):
        return  # another check's finding
    listed = story.step("listed")
    records = listed.get("/records")
    if not isinstance(records, list) or not story.step("apply").reading.accepted:
        raise NoTwin("listed")
    kept = [row for row in records if isinstance(row, dict) and row.get("partner_node_id") == story.fact("partner")]
    if kept:
        code = "REFUSED_APPLICATION_KEPT"
        yield expect.finding(code, listed, pointer="/records", expected="no contract", actual=len(kept))


@check("8.1.2-a", "address_application", "OWN_ADDRESS_TAKEN")
def own_address_is_no_partners(story: Story) -> Iterator[Finding]:
    """A node that says it is where the target itself is would have it call itself."""
    yield from expect.refused(story, "apply-own", "OWN_ADDRESS_TAKEN", twin="apply")


@check("8.1.3-b", "address_update", "HOSTILE_UPDATE_TAKEN")
def update_with_a_hostile_address_is_refused(story: Story) -> Iterator[Finding]:
    """A partner under contract may move, but only to where a node can be."""
    for name in story.fact("wrong"):
        yield from expect.refused(story, f"sync-{name}", "HOSTILE_UPDATE_TAKEN", twin="sync")


@check("8.1.3-b", "address_update", "REFUSED_ADDRESS_KEPT")
def refused_update_leaves_the_address(story: Story) -> Iterator[Finding]:
    """An update whose address is refused leaves the partner where it was; a sound one moves it."""
    if any(story.step(f"sync-{name}").reading.accepted for name in story.fact("wrong")):
        return  # another check's finding
    moved = story.step("known-moved")
    if moved.get("/address") != story.fact("moved"):
        raise NoTwin("known-moved")
    yield from expect.shows(story, "known", "/address", story.fact("place"), "REFUSED_ADDRESS_KEPT")


@check("8.1.3-b", "address_update", "HOSTILE_GRPC_ADDRESS_TAKEN")
def update_with_a_hostile_grpc_address_is_refused(story: Story) -> Iterator[Finding]:
    """Where a node speaks gRPC is an address like the other one."""
    for name in ("user", "port-beyond"):
        yield from expect.refused(story, f"grpc-{name}", "HOSTILE_GRPC_ADDRESS_TAKEN", twin="grpc")


@check("8.1.2-a", "address_of_operator", "HOSTILE_ADDRESS_CALLED")
def hostile_address_is_not_called(story: Story) -> Iterator[Finding]:
    """Nobody is called at an address at which no node can be, whoever gives it."""
    if not story.step("ask").reading.accepted:
        raise NoTwin("ask")
    for name in story.fact("wrong"):
        for step in (story.step(f"ask-{name}"), story.step(f"apply-{name}")):
            if step.reading.accepted:
                yield expect.finding("HOSTILE_ADDRESS_CALLED", step, expected="refused", actual="accepted")
    called = [row for row in story.transcript.exchanges if row.id in story.fact("called")]
    for row in called[:1]:
        said = f"{row.request.method} {row.request.path}"
        yield Finding("HOSTILE_ADDRESS_CALLED", expected="no call", actual=said, exchanges=(row.id,))


# --- other spellings --------------------------------------------------------------------------------------------------


@check("8.1.2-a", "address_spelled", "ADDRESS_TAKEN_BUT_NOT_CALLED")
def spelling_is_taken_and_called_or_refused(story: Story) -> Iterator[Finding]:
    """Another spelling of the one address is refused, or what it says is done: never taken and then in vain."""
    if not story.step("usual:apply").reading.accepted:
        raise NoTwin("usual:apply")
    if not story.happened("usual:approve:told"):
        raise NoTwin("usual:approve:told")
    for name in story.fact("spelled"):
        taken = story.step(f"{name}:apply").reading.accepted and story.step(f"{name}:approve").reading.accepted
        if taken and not story.happened(f"{name}:approve:told"):
            step, code = story.step(f"{name}:approve"), "ADDRESS_TAKEN_BUT_NOT_CALLED"
            yield expect.finding(code, step, expected="the applicant is told, or refused at once", actual="not called")


# --- third nodes ------------------------------------------------------------------------------------------------------


@check("9.2-g", "address_of_third_node", "MESSAGE_SENT_ELSEWHERE")
def messages_go_where_the_receivers_own_contract_says(story: Story) -> Iterator[Finding]:
    """What a job says of where a third node is sends neither message nor session token anywhere else."""
    if not _sent(story, "right"):
        raise NoTwin("right:push")
    for slug in story.fact("ways"):
        if slug == "right" or not story.step(f"{slug}:create").reading.accepted:
            continue
        for row in _sent(story, slug):
            if ASTRAY in row.request.path or channel.over_grpc(row.request):
                where = "over gRPC" if channel.over_grpc(row.request) else row.request.path
                wanted = "the address of the receiver's contract"
                yield Finding("MESSAGE_SENT_ELSEWHERE", expected=wanted, actual=where, exchanges=(row.id,))
                break


def _sent(story: Story, slug: str) -> list[Exchange]:
    """Return the calls for the third node under a job's session, wherever they came."""
    session, third = story.fact(f"{slug}:session"), story.fact("third")
    return [
        row
        for row in story.transcript.exchanges
        if row.direction is Direction.TO_PARTNER
        and row.request.headers.get(channel.SESSION) == session
        and row.request.headers.get(channel.TARGET) == third
    ]
