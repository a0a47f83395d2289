"""Which rule came closest to a study that it did not match, and how far the others were."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.decisions import DecisionOutcome, StoredDecision
from rules.shortfall import Shortfall, shortfall


def lack(decision: StoredDecision) -> Shortfall | None:
    """What the rule lacked; None unless it did not match."""
    return shortfall(decision.trace) if decision.outcome is DecisionOutcome.NOT_MATCHED else None


def ordered(taken: Sequence[StoredDecision]) -> list[StoredDecision]:
    """Each revision's decisions together: those that matched or wait, then the others, the closest first."""
    return sorted(taken, key=lambda each: (each.revision, each.look, *_farness(each)))


def closest(taken: Sequence[StoredDecision]) -> tuple[StoredDecision, Shortfall] | None:
    """Of the last decision of each rule the one that came closest without a match; None where each of them matched."""
    last = {each.rule: each for each in taken}.values()
    found = [(each, lacked) for each in last if (lacked := lack(each)) is not None]
    return max(found, key=lambda each: each[1].nearness, default=None)


def why(decision: StoredDecision) -> str:
    """The decision in one line: why it was taken, or how far the rule was from a match."""
    lacked = lack(decision)
    return lacked.summary if lacked else str(decision.trace.get("why", ""))


def _farness(decision: StoredDecision) -> tuple[int, ...]:
    lacked = lack(decision)
    return tuple(-each for each in lacked.nearness) if lacked else (-9,)
