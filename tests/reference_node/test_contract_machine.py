"""The life of a contract as a machine (8.1.2): whatever is done in whatever order, its rules hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reference_node.domain import EndReason, RuleBroken, Status, contract
from reference_node.domain.contract import Terms

ASKED = 1_000


class Life(RuleBasedStateMachine):
    """One application, moved at random; a second, simpler account of it is kept beside the machine."""

    @initialize(period=st.integers(1, ASKED))
    def apply(self, period: int) -> None:
        """Open it."""
        self.now = 0
        self.asked = period
        self.terms = contract.apply(period, now=0)
        self.trail = [Status.APPLIED]

    def _seen(self) -> Status:
        return contract.at(self.terms, now=self.now).status

    def _keep(self, terms: Terms) -> None:
        self.terms = terms
        self.trail.append(terms.status)

    @rule(step=st.integers(0, 400))
    def time_passes(self, step: int) -> None:
        """Time only moves on."""
        self.now += step

    @rule()
    def sweep(self) -> None:
        """Somebody notices what is over."""
        self.terms = contract.at(self.terms, now=self.now)

    @rule(decision=st.sampled_from([Status.APPROVED, Status.REJECTED]), until=st.none() | st.integers(-10, 2 * ASKED))
    def confirm(self, decision: Status, until: int | None) -> None:
        """A decision needs a pending application and a period within the one asked for."""
        fits = decision is Status.REJECTED or until is None or self.now < until <= self.asked
        allowed = self._seen() is Status.APPLIED
        if allowed and fits:
            self._keep(contract.confirm(self.terms, decision, expired_time=until, now=self.now))
            assert self.terms.status is decision
            return
        with pytest.raises(RuleBroken) as refused:
            contract.confirm(self.terms, decision, expired_time=until, now=self.now)
        assert refused.value.name == ("EXPIRY_INVALID" if allowed else "CONTRACT_NOT_PENDING")

    @rule()
    def cancel(self) -> None:
        """A cancellation needs a pending application (8.1.2-c)."""
        assert contract.cancellable(self.terms, now=self.now) == (self._seen() is Status.APPLIED)
        if self._seen() is Status.APPLIED:
            self._keep(contract.cancel(self.terms, now=self.now))
            assert self.terms.end_reason is EndReason.CANCELLED
            return
        with pytest.raises(RuleBroken, match="CONTRACT_NOT_PENDING"):
            contract.cancel(self.terms, now=self.now)

    @rule()
    def terminate(self) -> None:
        """A termination needs an approved contract (8.1.2-e)."""
        if self._seen() is Status.APPROVED:
            self._keep(contract.terminate(self.terms, now=self.now))
            assert self.terms.end_reason is EndReason.TERMINATED
            return
        with pytest.raises(RuleBroken, match="CONTRACT_NOT_ACTIVE"):
            contract.terminate(self.terms, now=self.now)

    @invariant()
    def rules_hold(self) -> None:
        """No state twice, a reason exactly when ended, never longer than asked, nothing alive after its time."""
        assert len(self.trail) == len(set(self.trail))
        seen = contract.at(self.terms, now=self.now)
        assert (seen.end_reason is not None) == (seen.status is Status.TERMINATED)
        assert seen.expired_time <= self.asked
        assert seen.status not in (Status.APPLIED, Status.APPROVED) or self.now < seen.expired_time
        assert contract.at(seen, now=self.now) == seen


Life.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase


@pytest.mark.parametrize("until", [0, 1_000])
def test_an_application_ends_in_the_future(until: int) -> None:
    """8.1.2-a: a period that is over cannot be applied for; without one it is a year."""
    with pytest.raises(RuleBroken, match="EXPIRY_INVALID"):
        contract.apply(until, now=1_000)
    assert contract.apply(None, now=1_000) == Terms(Status.APPLIED, 1_000 + contract.YEAR_MS)


def test_ended_terms_do_not_expire_again() -> None:
    """Why a contract ended is not overwritten by time."""
    ended = replace(Terms(Status.TERMINATED, 10), end_reason=EndReason.CANCELLED)
    assert contract.at(ended, now=99) is ended
