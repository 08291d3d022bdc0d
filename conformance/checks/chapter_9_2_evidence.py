"""Evidence (9.2-d): what is kept of key acts, who may see it, that it cannot be changed, how long it stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.checks import bundle
from conformance.checks.bundle import Fault
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.sm2 import sm3
from conformance.harness.story import MISSING, NoTwin, Step, Story

TERM_DAYS = 183  # six months, whichever they are
AUDITOR_ONLY = ("AUDITOR_TOKEN_INVALID",)


def _rows(step: Step) -> list[Mapping[str, Any]]:
    rows = step.get("/records")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _acts(step: Step) -> list[Any]:
    return [row.get("act") for row in _rows(step)]


def _kept(story: Story, name: str, code: str, *acts: str) -> Iterator[Finding]:
    """The records that a step shows have these acts."""
    step = story.step(name)
    missing = [act for act in acts if act not in _acts(step)]
    if missing:
        yield expect.finding(code, step, pointer="/records", expected=list(acts), actual=sorted(map(str, _acts(step))))


def _of(step: Step, act: str) -> Mapping[str, Any]:
    """Return the record of an act; whether there is one is told elsewhere."""
    found = [row for row in _rows(step) if row.get("act") == act]
    if not found:
        raise NoTwin(step.exchange.step)
    return found[0]


# --- 9.2-d ----------------------------------------------------------------------------------------------------------


@check("9.2-d", "evidence_contract", "CONTRACT_WITHOUT_EVIDENCE")
def contract_leaves_evidence_of_its_whole_life(story: Story) -> Iterator[Finding]:
    """The application, the signing and the end of a contract are on record."""
    if not story.step("terminate").reading.accepted:
        raise NoTwin("terminate")
    acts = ("contract.applied", "contract.signed", "contract.ended")
    yield from _kept(story, "ended", "CONTRACT_WITHOUT_EVIDENCE", *acts)


@check("9.2-d", "evidence_contract", "EVIDENCE_OF_NOTHING")
def act_that_was_refused_leaves_no_evidence(story: Story) -> Iterator[Finding]:
    """A cancellation that was refused is not on record as the contract's end, nor is an act on record twice."""
    if story.step("late-cancel").reading.accepted:
        raise NoTwin("late-cancel")
    for name in ("signed", "ended"):
        acts = [act for act in _acts(story.step(name)) if str(act).startswith("contract.")]
        if (name == "signed" and "contract.ended" in acts) or len(acts) != len(set(acts)):
            yield expect.finding("EVIDENCE_OF_NOTHING", story.step(name), expected="one record an act", actual=acts)


@check("9.2-d", "evidence_contract", "EVIDENCE_WITHOUT_ACTOR")
def evidence_says_who_acted(story: Story) -> Iterator[Finding]:
    """The application is the partner's act, the decision the operator's, and the other side is named."""
    step, partner = story.step("signed"), story.step("partner:apply").exchange.partner
    wanted = {"contract.applied": {"role": "NODE", "id": partner}, "contract.signed": {"role": "OPERATOR"}}
    for act, actor in wanted.items():
        row = _of(step, act)
        if row.get("actor") != actor or row.get("counterpart") != partner:
            said = {"actor": row.get("actor"), "counterpart": row.get("counterpart")}
            meant = {"actor": actor, "counterpart": partner}
            yield expect.finding("EVIDENCE_WITHOUT_ACTOR", step, expected=meant, actual=said)


@check("9.2-d", "evidence_contract", "EVIDENCE_TIME_WRONG")
def evidence_says_when_it_was(story: Story) -> Iterator[Finding]:
    """The times of the records lie within the story, give or take what clocks may differ, and follow its order."""
    slack = story.profile.timings.clock_skew_seconds * 1000
    begin, end = story.fact("begin") - slack, story.fact("end") + slack
    step = story.step("ended")
    times = [row.get("at") for row in sorted(_rows(step), key=lambda row: str(row.get("seq", 0)).zfill(16))]
    sound = all(isinstance(at, int) and begin <= at <= end for at in times)
    if not sound or times != sorted(times, key=lambda at: at if isinstance(at, int) else 0):
        yield expect.finding("EVIDENCE_TIME_WRONG", step, expected=f"from {begin} to {end}, rising", actual=times)


@check("9.2-d", "evidence_contract", "EVIDENCE_SUBJECT_WRONG")
def evidence_says_on_what_it_was(story: Story) -> Iterator[Finding]:
    """What is found by the id of a contract is about this contract and no other."""
    step, contract_id = story.step("ended"), story.fact("contract_id")
    for row in _rows(step):
        subjects = row.get("subjects")
        if not isinstance(subjects, Mapping) or contract_id not in subjects.values():
            yield expect.finding("EVIDENCE_SUBJECT_WRONG", step, expected=contract_id, actual=subjects)


@check("9.2-d", "evidence_grant", "RESOURCE_WITHOUT_EVIDENCE")
def resource_leaves_evidence_when_it_is_registered(story: Story) -> Iterator[Finding]:
    """The registration of a dataset is on record."""
    yield from _kept(story, "of-dataset", "RESOURCE_WITHOUT_EVIDENCE", "dataset.registered")


@check("9.2-d", "evidence_grant", "APPROVAL_WITHOUT_EVIDENCE")
def approval_leaves_evidence(story: Story) -> Iterator[Finding]:
    """That a dataset was approved for a partner, and that this has ended, is on record."""
    acts = ("approval.applied", "approval.ended")
    yield from _kept(story, "of-dataset", "APPROVAL_WITHOUT_EVIDENCE", *acts)


@check("9.2-d", "evidence_grant", "PERMIT_WITHOUT_EVIDENCE")
def permit_leaves_evidence_of_every_use(story: Story) -> Iterator[Finding]:
    """The issue of a permit, its use and its withdrawal are on record."""
    acts = ("permit.issued", "permit.used", "permit.revoked")
    yield from _kept(story, "of-dataset", "PERMIT_WITHOUT_EVIDENCE", *acts)


@check("9.2-d", "evidence_job", "JOB_WITHOUT_EVIDENCE")
def job_leaves_evidence(story: Story) -> Iterator[Finding]:
    """The creation and the start of a job are on record."""
    yield from _kept(story, "of-job", "JOB_WITHOUT_EVIDENCE", "job.created", "job.started")


@check("9.2-d", "evidence_job", "TASK_WITHOUT_EVIDENCE")
def task_leaves_evidence(story: Story) -> Iterator[Finding]:
    """The start and the end of a task are on record."""
    yield from _kept(story, "of-job", "TASK_WITHOUT_EVIDENCE", "task.started", "task.ended")


@check("9.2-d", "evidence_identity", "FAILED_IDENTITY_WITHOUT_EVIDENCE")
def failed_authentication_leaves_evidence(story: Story) -> Iterator[Finding]:
    """That somebody has signed in a partner's name with another key is on record."""
    if not story.step("right").reading.accepted or story.step("forged").reading.accepted:
        raise NoTwin("right")
    yield from _kept(story, "of-node", "FAILED_IDENTITY_WITHOUT_EVIDENCE", "identity.failed")


# --- 9.2-d-1 --------------------------------------------------------------------------------------------------------


@check("9.2-d-1", "evidence_settings", "EVIDENCE_OUTSIDE_SETTINGS")
def evidence_is_what_the_settings_say(story: Story) -> Iterator[Finding]:
    """Every record is of an act that the settings list; acts on the evidence itself are always kept."""
    chosen = story.step("health").get("/settings/acts")
    known = {str(name) for name in chosen} if isinstance(chosen, list) else set()
    step = story.step("lately")
    for act in sorted(set(map(str, _acts(step)))):
        group = act.partition(".")[0]
        if group != "evidence" and not {act, group} & known:
            yield expect.finding("EVIDENCE_OUTSIDE_SETTINGS", step, expected=sorted(known), actual=act)


# --- 9.2-d-2 --------------------------------------------------------------------------------------------------------


def _closed(story: Story, prefix: str, code: str) -> Iterator[Finding]:
    for operation in story.fact("operations"):
        step = story.step(f"{prefix}:{operation}")
        if not story.step("auditor").reading.accepted:
            raise NoTwin("auditor")
        if step.reading.accepted or not story.binding.means(step.reading, AUDITOR_ONLY):
            yield expect.finding(code, step, expected=" | ".join(AUDITOR_ONLY), actual=expect.refusal(step))


@check("9.2-d-2", "evidence_closed", "EVIDENCE_OPEN")
def evidence_opens_to_nobody_without_a_token(story: Story) -> Iterator[Finding]:
    """No operation of the auditor's opens without a token."""
    yield from _closed(story, "bare", "EVIDENCE_OPEN")


@check("9.2-d-2", "evidence_closed", "EVIDENCE_OPEN_TO_OPERATOR")
def evidence_does_not_open_to_the_operator(story: Story) -> Iterator[Finding]:
    """The operator, whose acts are on record, can neither view nor destroy them."""
    yield from _closed(story, "operator", "EVIDENCE_OPEN_TO_OPERATOR")


@check("9.2-d-2", "evidence_closed", "EVIDENCE_OPEN_TO_NODES")
def evidence_does_not_open_to_partners(story: Story) -> Iterator[Finding]:
    """The signature of a partner is not the auditor's token."""
    yield from _closed(story, "node", "EVIDENCE_OPEN_TO_NODES")


@check("9.2-d-2", "evidence_chain", "EVIDENCE_REWRITTEN")
def evidence_is_never_rewritten(story: Story) -> Iterator[Finding]:
    """A record reads the same after further acts."""
    yield from expect.unchanged(story, "before", "after", "EVIDENCE_REWRITTEN", "/records")


@check("9.2-d-2", "evidence_chain", "SOUND_EVIDENCE_CALLED_DAMAGED")
def sound_evidence_verifies(story: Story) -> Iterator[Finding]:
    """Nothing has been changed, and the verification says so."""
    yield from expect.shows(story, "verify", "/intact", True, "SOUND_EVIDENCE_CALLED_DAMAGED")


def _bundle(story: Story, name: str) -> tuple[Step, str]:
    step = story.step(name)
    text = step.get("/bundle")
    if not isinstance(text, str):
        raise NoTwin(name)
    return step, text


def _faulty(story: Story, code: str, *faults: Fault) -> Iterator[Finding]:
    for name in ("export", "rest"):
        step, text = _bundle(story, name)
        for fault, what in bundle.problems(text)[:3]:
            if fault in faults:
                yield expect.finding(code, step, pointer="/bundle", expected="a whole chain", actual=what)


@check("9.2-d-2", "evidence_chain", "EVIDENCE_NOT_CHAINED")
def evidence_is_a_chain(story: Story) -> Iterator[Finding]:
    """Every exported record has its hash and names that of the one before it; none is missing."""
    yield from expect.accepted(story, "export", "EVIDENCE_NOT_CHAINED")
    yield from _faulty(story, "EVIDENCE_NOT_CHAINED", Fault.CHAIN, Fault.SPELLING)


@check("9.2-d-2", "evidence_chain", "EVIDENCE_CONTENT_UNBOUND")
def evidence_is_bound_to_its_content(story: Story) -> Iterator[Finding]:
    """The content that is exported is the one that the chain commits to."""
    yield from _faulty(story, "EVIDENCE_CONTENT_UNBOUND", Fault.CONTENT)
    step, text = _bundle(story, "export")
    try:
        bare = any("content" not in row for row in bundle.records(text))
    except (ValueError, TypeError, KeyError):
        raise NoTwin("export") from None
    if bare:
        yield expect.finding("EVIDENCE_CONTENT_UNBOUND", step, pointer="/bundle", expected="contents", actual="none")


@check("9.2-d-2", "evidence_chain", "EVIDENCE_NOT_SIGNED")
def evidence_is_signed(story: Story) -> Iterator[Finding]:
    """Checkpoints and the bundle are signed, up to the last record of an export that goes to the end."""
    yield from _faulty(story, "EVIDENCE_NOT_SIGNED", Fault.SIGNATURE)
    step, text = _bundle(story, "rest")
    try:
        signed, last = bundle.last_checkpoint(text), step.get("/last_seq")
    except (ValueError, TypeError, KeyError):
        raise NoTwin("rest") from None
    if signed != last:
        yield expect.finding("EVIDENCE_NOT_SIGNED", step, pointer="/bundle", expected=last, actual=signed)


@check("9.2-d-2", "evidence_chain", "EVIDENCE_VIEW_UNRECORDED")
def view_of_evidence_is_itself_on_record(story: Story) -> Iterator[Finding]:
    """Who has looked at the evidence is on record, as the auditor's act."""
    yield from _by_auditor(story, "EVIDENCE_VIEW_UNRECORDED", "evidence.viewed")


@check("9.2-d-2", "evidence_chain", "EVIDENCE_EXPORT_UNRECORDED")
def export_of_evidence_is_itself_on_record(story: Story) -> Iterator[Finding]:
    """Who has taken evidence away is on record, as the auditor's act."""
    yield from _by_auditor(story, "EVIDENCE_EXPORT_UNRECORDED", "evidence.exported")


def _by_auditor(story: Story, code: str, act: str) -> Iterator[Finding]:
    step = story.step("of-evidence")
    if not any(row.get("act") == act and row.get("actor") == {"role": "AUDITOR"} for row in _rows(step)):
        yield expect.finding(code, step, pointer="/records", expected=act, actual=sorted(set(map(str, _acts(step)))))


# --- 9.2-d-3 --------------------------------------------------------------------------------------------------------


@check("9.2-d-3", "evidence_term", "EVIDENCE_TERM_TOO_SHORT")
def evidence_is_kept_for_six_months_at_least(story: Story) -> Iterator[Finding]:
    """The term that the settings show is no shorter than six months."""
    days = story.step("health").get("/settings/retention_days")
    if not isinstance(days, int) or days < TERM_DAYS:
        step = story.step("health")
        yield expect.finding("EVIDENCE_TERM_TOO_SHORT", step, expected=f"{TERM_DAYS} or more", actual=days)


@check("9.2-d-3", "evidence_term", "EVIDENCE_DESTROYED_EARLY")
def evidence_outlives_an_attempt_to_destroy_it_early(story: Story) -> Iterator[Finding]:
    """What was kept a moment ago is still there, with its content, after expired evidence was destroyed."""
    step = story.step("restored")
    if not step.reading.accepted or not _rows(step):
        yield expect.finding("EVIDENCE_DESTROYED_EARLY", step, expected="SOUND", actual=expect.refusal(step))
    for row in _rows(step):
        if row.get("state") != "SOUND":
            yield expect.finding("EVIDENCE_DESTROYED_EARLY", step, expected="SOUND", actual=row.get("state"))


@check("9.2-d-3", "evidence_term", "EVIDENCE_SHOWS_PRIVATE_DATA")
def evidence_holds_no_private_data(story: Story) -> Iterator[Finding]:
    """A word planted in the description of a dataset is in nothing that the evidence shows."""
    for name in ("restored", "exported", "viewed"):
        step = story.step(name)
        body = step.exchange.answer.body.decode(errors="replace") if step.exchange.answer else ""
        if story.fact("canary") in body:
            yield expect.finding("EVIDENCE_SHOWS_PRIVATE_DATA", step, expected="ids, states, digests", actual="a text")


# --- 9.2-d-4 --------------------------------------------------------------------------------------------------------


@check("9.2-d-4", "evidence_copy", "EVIDENCE_NOT_COPIED")
def evidence_is_copied_to_a_second_place(story: Story) -> Iterator[Finding]:
    """After a copy the state says that all records up to the last known one are covered, and that copying works."""
    yield from expect.accepted(story, "copy", "EVIDENCE_NOT_COPIED")
    step, last = story.step("health"), story.fact("last")
    covered = step.get("/backup/covered_seq")
    if not isinstance(covered, int) or covered < last or step.get("/backup/failing") is not False:
        said = step.get("/backup")
        yield expect.finding("EVIDENCE_NOT_COPIED", step, pointer="/backup", expected=f"{last} or more", actual=said)


@check("9.2-d-4", "evidence_copy", "EVIDENCE_COPY_UNSCHEDULED")
def evidence_is_copied_at_regular_times(story: Story) -> Iterator[Finding]:
    """The settings name the interval at which copies are made, a day at most."""
    seconds = story.step("health").get("/settings/backup_seconds")
    if not isinstance(seconds, int) or not 0 < seconds <= 86_400:
        step = story.step("health")
        yield expect.finding("EVIDENCE_COPY_UNSCHEDULED", step, expected="1 to 86400", actual=seconds)


@check("9.2-d-4", "evidence_copy", "EVIDENCE_STATE_WRONG")
def state_of_the_evidence_is_told_as_it_is(story: Story) -> Iterator[Finding]:
    """The state names no problem where nothing was changed, and counts every record."""
    step = story.step("health")
    yield from expect.shows(story, "health", "/status", "INTACT", "EVIDENCE_STATE_WRONG")
    records, last = step.get("/records"), step.get("/last_seq")
    if records != last or last is MISSING:
        yield expect.finding("EVIDENCE_STATE_WRONG", step, pointer="/records", expected=last, actual=records)


# --- 9.2-d-5 --------------------------------------------------------------------------------------------------------


@check("9.2-d-5", "evidence_restored", "EVIDENCE_NOT_RESTORED")
def evidence_is_restored_in_full(story: Story) -> Iterator[Finding]:
    """The restored records have their contents: actor, subjects, operation and the digest of the request."""
    yield from expect.accepted(story, "restore", "EVIDENCE_NOT_RESTORED")
    step = story.step("restore")
    rows = [row for row in _rows(step) if str(row.get("act")).startswith("contract.")]
    wanted = {"actor", "subjects", "operation", "request", "details"}
    for row in rows:
        content = row.get("content")
        missing = sorted(wanted - set(content)) if isinstance(content, Mapping) else sorted(wanted)
        if missing:
            yield expect.finding("EVIDENCE_NOT_RESTORED", step, expected=sorted(wanted), actual=f"no {missing}")
    if not rows and step.reading.accepted:
        yield expect.finding("EVIDENCE_NOT_RESTORED", step, expected="the records of the contract", actual=_acts(step))


@check("9.2-d-5", "evidence_restored", "EVIDENCE_DIGEST_WRONG")
def restored_digest_is_that_of_what_was_sent(story: Story) -> Iterator[Finding]:
    """The digest of the application on record is the SM3 digest of the body that the partner has sent."""
    step = story.step("restore")
    content = _of(step, "contract.applied").get("content")
    if not isinstance(content, Mapping) or "request" not in content:
        raise NoTwin("restore")
    sent = sm3(story.step("partner:apply").exchange.request.body).hex()
    if content["request"] != sent:
        code = "EVIDENCE_DIGEST_WRONG"
        yield expect.finding(code, step, pointer="/records", expected=sent, actual=content["request"])


@check("9.2-d-5", "evidence_restored", "EVIDENCE_RESTORED_SILENTLY")
def restoration_is_itself_on_record(story: Story) -> Iterator[Finding]:
    """Who has restored contents is on record, as the auditor's act."""
    yield from _by_auditor(story, "EVIDENCE_RESTORED_SILENTLY", "evidence.restored")
