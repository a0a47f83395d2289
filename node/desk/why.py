"""Why rules decided on a study as they did: each clause with what it asked and found, the nearest rule first.

A stored trace has all of it; here it becomes what a page can show. Values that tell who the patient is are left out
unless the reader may see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.desk import nearest
from node.desk.study import StudyHistory
from node.ledger.decisions import DecisionOutcome, StoredDecision
from rules import shortfall
from rules.decision import Decision

_HIDDEN = "(not shown: it tells who the patient is)"


@dataclass(frozen=True, slots=True)
class ClauseView:
    """One clause: what it asks, what the study has, whether it holds."""

    asked: str
    found: str
    """What the study has, in words."""
    passed: bool | None
    """None: it is in doubt."""
    taken: bool
    """A series that was chosen."""
    parts: tuple[ClauseView, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceView:
    """What one rule said, clause by clause."""

    rule: str
    matched: bool
    said: str
    """In one line."""
    lacked: tuple[ClauseView, ...]
    """What kept it from matching; empty where it matched."""
    blocks: tuple[tuple[str, tuple[ClauseView, ...]], ...]
    """`when`, `choose` and so on, each with its clauses."""
    does: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One stored decision."""

    trace: TraceView
    outcome: str
    revision: int
    look: int
    version: str
    """Digest of the rule set that was in force."""
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class RevisionView:
    """All decisions on one revision (or at one look), those that matched first, then the nearest."""

    revision: int
    look: int
    version: str
    decided_at: datetime
    decisions: tuple[DecisionView, ...]


def revisions(found: StudyHistory, *, identify: bool) -> list[RevisionView]:
    """All decisions on a study, the newest first. `identify`: values that tell who the patient is are shown."""
    groups: dict[tuple[int, int], list[StoredDecision]] = {}
    for each in nearest.ordered(found.decisions):
        groups.setdefault((each.revision, each.look), []).append(each)
    made = [
        RevisionView(*key, those[0].rule_set, those[0].decided_at, tuple(_stored(each, identify) for each in those))
        for key, those in groups.items()
    ]
    return sorted(made, key=lambda each: each.decided_at, reverse=True)


def now(decisions: Iterable[Decision], *, identify: bool) -> dict[str, TraceView]:
    """What rules say now, by their names."""
    return {each.rule.name: _trace(each.trace, each.why, identify) for each in decisions}


def _stored(decision: StoredDecision, identify: bool) -> DecisionView:
    said = str(decision.trace.get("why", "")) if decision.outcome is not DecisionOutcome.NOT_MATCHED else ""
    return DecisionView(
        trace=_trace({"rule": decision.rule, **decision.trace}, said or nearest.why(decision), identify),
        outcome=decision.outcome.replace("_", " "),
        revision=decision.revision,
        look=decision.look,
        version=decision.rule_set,
        decided_at=decision.decided_at,
    )


def _trace(trace: Mapping[str, Any], said: str, identify: bool) -> TraceView:
    lacked = shortfall.shortfall(trace)
    blocks = [("when", _top(trace.get("when"), identify))]
    blocks += [("ignored when", _top(each, identify)) for each in trace.get("ignore") or ()]
    blocks.append(("wait until", _top(trace.get("wait"), identify)))
    blocks += [
        (f"{each['clause']} – {each['why']}", _clauses(each.get("parts", ()), identify))
        for each in trace.get("choose") or ()
    ]
    blocks.append(("limits", _clauses(trace.get("gates") or (), identify)))
    return TraceView(
        rule=str(trace.get("rule", "")),
        matched=bool(trace.get("matched")),
        said=lacked.summary if lacked else said,
        lacked=_clauses(lacked.failed, identify) if lacked else (),
        blocks=tuple((title, clauses) for title, clauses in blocks if clauses),
        does=tuple(trace.get("does") or ()),
        problems=tuple(_problem(each, identify) for each in trace.get("problems") or ()),
    )


def _problem(text: str, identify: bool) -> str:
    return text if identify or not shortfall.tells_who(text) else _HIDDEN


def _top(node: Mapping[str, Any] | None, identify: bool) -> tuple[ClauseView, ...]:
    """The clauses that have to hold together, or the one that there is."""
    if not node:
        return ()
    is_all = node["clause"] == "all" and node.get("parts")
    return _clauses(node["parts"] if is_all else [node], identify)


def _clauses(nodes: Sequence[Mapping[str, Any]], identify: bool) -> tuple[ClauseView, ...]:
    return tuple(_clause(each, identify) for each in nodes)


def _clause(node: Mapping[str, Any], identify: bool) -> ClauseView:
    asked = str(node["clause"])
    is_hidden = not identify and shortfall.tells_who(asked) and not node.get("parts")
    preferred = [f"{each['clause']}: {each['value']}" for each in node.get("preferences", ())]
    why = "; ".join([str(node.get("why", "")), *(f"prefer {each}" for each in preferred)])
    return ClauseView(
        asked=asked,
        found=_HIDDEN if is_hidden else why,
        passed=node["passed"],
        taken=bool(node.get("taken")),
        parts=_clauses(node.get("parts", ()), identify),
    )
