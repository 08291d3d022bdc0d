"""The approval machine: legal steps, and two ends that agree again whatever happens to the messages between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reference_node.domain import EndReason, Role, RuleBroken, Status
from reference_node.domain.approval import PENDING, Decision, Standing, adopt, cancel, decide, end, terminate

STANDINGS = [
    *(Standing(status) for status in Status if status is not Status.TERMINATED),
    *(Standing(Status.TERMINATED, reason) for reason in EndReason),
]
standings = st.sampled_from(STANDINGS)


@pytest.mark.parametrize("status", list(Status))
def test_end_reason_belongs_to_terminated_only(status: Status) -> None:
    """A standing cannot be built with a reason that does not fit its status."""
    with pytest.raises(ValueError, match="end_reason"):
        Standing(status, None if status is Status.TERMINATED else EndReason.EXPIRED)


@given(standings, st.sampled_from(Decision))
def test_decision_is_taken_once(now: Standing, decision: Decision) -> None:
    """Only a pending approval is decided; the same decision again is harmless, another one is refused."""
    if now == PENDING or now.status.value == decision.value:
        assert decide(now, decision) == Standing(Status(decision.value))
    else:
        with pytest.raises(RuleBroken, match="AUDIT_NOT_PENDING"):
            decide(now, decision)


@given(standings)
def test_cancel_is_for_pending_only(now: Standing) -> None:
    """An application is withdrawn only while nobody has decided."""
    if now == PENDING:
        assert cancel(now) == Standing(Status.TERMINATED, EndReason.CANCELLED)
    else:
        with pytest.raises(RuleBroken, match="AUDIT_NOT_PENDING"):
            cancel(now)


@given(standings, st.sampled_from(Role))
def test_terminate_is_for_approved_only(now: Standing, by: Role) -> None:
    """Only what is in force can be terminated, and who did it shows in the reason."""
    if now.status is Status.APPROVED:
        assert terminate(now, by).end_reason is (EndReason.REVOKED if by is Role.APPROVER else EndReason.TERMINATED)
    else:
        with pytest.raises(RuleBroken, match="AUDIT_NOT_APPROVED"):
            terminate(now, by)


@given(standings, st.sampled_from(EndReason))
def test_end_leaves_final_standings_alone(now: Standing, reason: EndReason) -> None:
    """What rested on something that is gone ends; what had ended stays as it was."""
    assert end(now, reason) == (now if now.final else Standing(Status.TERMINATED, reason))


@given(standings, standings, standings)
def test_adopt_never_goes_back(mine: Standing, first: Standing, second: Standing) -> None:
    """Answers to queries move the applicant forward only, and once final it stays."""
    after = adopt(mine, first)
    assert after in (mine, first)
    if mine.final:
        assert after == mine
    if after.final:
        assert adopt(after, second) == after


class TwoEnds(RuleBasedStateMachine):
    """Applicant and approver on a network that loses, doubles and reorders; retries and queries are always possible."""

    def __init__(self) -> None:
        super().__init__()
        self.applicant: Standing = PENDING
        self.approver: Standing = PENDING
        self.to_applicant: list[tuple[str, Decision | None]] = []
        self.to_approver: list[str] = []
        self.seen = {PENDING}

    @rule(decision=st.sampled_from(Decision))
    def approver_decides(self, decision: Decision) -> None:
        """The approver's operator decides; the confirmation goes out."""
        try:
            self.approver = decide(self.approver, decision)
        except RuleBroken:
            return
        self.to_applicant.append(("confirm", decision))

    @rule(answer_lost=st.booleans())
    def applicant_cancels(self, answer_lost: bool) -> None:
        """Cancelling asks the approver first and follows its answer, which may be lost."""
        if self.applicant != PENDING:
            return
        try:
            self.approver = cancel(self.approver)
        except RuleBroken:
            self.applicant = adopt(self.applicant, self.approver)
            return
        if not answer_lost:
            self.applicant = cancel(self.applicant)

    @rule()
    def approver_revokes(self) -> None:
        """The approver revokes at once and tells the applicant later."""
        try:
            self.approver = terminate(self.approver, Role.APPROVER)
        except RuleBroken:
            return
        self.to_applicant.append(("terminate", None))

    @rule()
    def applicant_gives_back(self) -> None:
        """The applicant ends its own use at once and tells the approver later."""
        try:
            self.applicant = terminate(self.applicant, Role.APPLICANT)
        except RuleBroken:
            return
        self.to_approver.append("terminate")

    def _arrive(self, message: tuple[str, Decision | None]) -> None:
        kind, decision = message
        try:
            if kind == "confirm" and decision is not None:
                self.applicant = decide(self.applicant, decision)
            else:
                self.applicant = terminate(self.applicant, Role.APPROVER)
        except RuleBroken:
            pass  # refused; the sender stops retrying

    @precondition(lambda self: self.to_applicant)
    @rule(data=st.data(), doubled=st.booleans(), lost=st.booleans())
    def a_message_arrives(self, data: st.DataObject, doubled: bool, lost: bool) -> None:
        """Any message on the way arrives once, twice or not at all."""
        message = self.to_applicant.pop(data.draw(st.integers(0, len(self.to_applicant) - 1)))
        for _ in range(0 if lost else 1 + doubled):
            self._arrive(message)

    @rule()
    def settle(self) -> None:
        """Once the applicant's own termination got through and it has asked, both ends agree on whether it holds."""
        for _ in self.to_approver:
            try:
                self.approver = terminate(self.approver, Role.APPLICANT)
            except RuleBroken:
                continue
        self.to_approver.clear()
        self.applicant = adopt(self.applicant, self.approver)
        assert self.applicant.status is self.approver.status

    @invariant()
    def the_applicant_never_believes_in_a_decision_that_was_not_taken(self) -> None:
        """APPROVED or REJECTED at the applicant means that the approver decided so."""
        self.seen.add(self.approver)
        if self.applicant.status in (Status.APPROVED, Status.REJECTED):
            assert Standing(self.applicant.status) in self.seen


TwoEnds.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.__doc__ = "Two ends converge through one query whatever was lost, doubled or reordered."
