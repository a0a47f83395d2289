"""How far a rule was from matching, read from the trace of its decision: what stopped it, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Node = Mapping[str, Any]
_MOST = 3
"""Clauses that one line names."""
_WHO = re.compile(
    r"\b(Other|IssuerOf)?Patient(Name|ID|IDs\w*|Names|Birth\w*|Address|Telephone\w*|Mother\w*|Insurance\w*)\b"
    r"|\b0010,|\bMilitaryRank\b|\bResponsiblePerson\b|\bMedicalRecordLocator\b|\bpatient_(name|id)\b"
)
"""Clauses on what tells who the patient is: `rules.explain` shows the values they found, this page does not."""


class StopPoint(IntEnum):
    """At which part of a rule it ended; the later, the nearer to a match."""

    NOT_ASKED = 0
    """The site ignores the study, another rule has taken it, or it was too early."""
    WHEN = 1
    """`when` does not hold, or is in doubt."""
    CHOOSE = 2
    """No series is left to choose."""
    LATER = 3
    """All fits, but `wait`, `once`, `sample`, `limits` or `hours` stopped it."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a rule lacked that did not match."""

    stopped: StopPoint
    where: str
    """Of which series, where a series has come closest."""
    asked: int
    """Clauses that had to hold together."""
    failed: tuple[Node, ...]
    """Those of them that do not hold, or are in doubt, as the trace has them."""

    @property
    def nearness(self) -> tuple[int, int, int]:
        """Sorts: what came nearer to a match is greater."""
        return self.stopped, -len(self.failed), self.asked

    @property
    def clauses(self) -> tuple[str, ...]:
        """What does not hold, as the rule says it."""
        return tuple(_clause(each) for each in self.failed)

    @property
    def summary(self) -> str:
        """In one line: how many clauses hold, and which do not. Shows no value of the study."""
        named = "; ".join(self.clauses[:_MOST])
        more = f" and {len(self.failed) - _MOST} more" if len(self.failed) > _MOST else ""
        if self.stopped in (StopPoint.NOT_ASKED, StopPoint.LATER):
            return f"{named}{more}"
        part = {StopPoint.WHEN: "when", StopPoint.CHOOSE: "choose"}[self.stopped]
        place = f", closest {self.where}" if self.where else ""
        return f"{part}{place}: {self.asked - len(self.failed)} of {self.asked} hold, all but {named}{more}"

    @property
    def words(self) -> tuple[str, ...]:
        """For each failed clause a line: what the rule asks, and what the study has instead."""
        return tuple(_words(each) for each in self.failed)


def shortfall(trace: Node) -> Shortfall | None:
    """What the rule of this trace lacked; None where it matched, or waits for more."""
    if trace.get("matched") or "when" not in trace:
        return None
    why, when = str(trace["why"]), trace["when"]
    if not why.startswith("when "):
        return _said(StopPoint.NOT_ASKED, why)
    if when["passed"] is not True:
        return _of(StopPoint.WHEN, "", _parts(when))
    empty = next((each for each in trace.get("choose", ()) if each["passed"] is not True), None)
    if empty is not None:
        return _of_choice(empty, why)
    closed = [each for each in trace.get("gates", ()) if each["passed"] is not True]
    if closed:
        return Shortfall(StopPoint.LATER, "", len(trace["gates"]), tuple(closed))
    return _said(StopPoint.LATER, why)


def _said(stopped: StopPoint, why: str) -> Shortfall:
    return Shortfall(stopped, "", 1, ({"clause": why, "passed": False, "why": ""},))


def _of(stopped: StopPoint, where: str, parts: Sequence[Node]) -> Shortfall:
    return Shortfall(stopped, where, len(parts), tuple(_failed(parts)))


def _of_choice(choice: Node, why: str) -> Shortfall:
    """By the series that lacks least; of two the one with more images, as a scout is near to every rule."""
    asked = [each for each in choice.get("parts", ()) if each.get("parts") and _failed(_parts(each["parts"][0]))]
    if not asked:
        return _said(StopPoint.CHOOSE, why)
    closest = min(asked, key=_lacks)
    return _of(StopPoint.CHOOSE, str(closest["clause"]), _parts(closest["parts"][0]))


def _lacks(series: Node) -> tuple[int, int]:
    return len(_failed(_parts(series["parts"][0]))), -int(series.get("series", {}).get("instances", 0))


def tells_who(clause: str) -> bool:
    """Whether a clause is about who the patient is, so that the values it found are shown to few."""
    return _WHO.search(clause) is not None


def _parts(node: Node) -> Sequence[Node]:
    """What has to hold, part by part."""
    return node["parts"] if node["clause"] == "all" and node.get("parts") else [node]


def _failed(parts: Sequence[Node]) -> list[Node]:
    return [each for each in parts if each["passed"] is not True]


def _clause(node: Node) -> str:
    """What a clause asks; one that joins others names them."""
    inner = [_clause(each) for each in node.get("parts", ()) if "series" not in each]
    if not inner:
        return str(node["clause"])
    joined = {"any": " or ", "all": " and "}.get(node["clause"], "; ").join(inner)
    return f"{node['clause']}: {joined}" if node["clause"] not in ("any", "all") else f"({joined})"


def _words(node: Node) -> str:
    """What a clause asks, and why it does not hold."""
    series = [each for each in node.get("parts", ()) if "series" in each and each.get("parts")]
    if series:
        closest = min(series, key=_lacks)
        lacks = "; ".join(map(_words, _failed(_parts(closest["parts"][0]))))
        return f"{node['clause']} — {node['why']}" + (f"; closest {closest['clause']}: {lacks}" if lacks else "")
    inner = [_words(each) for each in node.get("parts", ())]
    if inner and node["clause"] in ("any", "all"):
        return {"any": " or ", "all": " and "}[node["clause"]].join(inner)
    if inner:
        return f"{node['clause']}: {'; '.join(inner)}"
    if tells_who(str(node["clause"])):
        return f"{node['clause']} — it does not hold (the value: pacsnode explain)"
    return " — ".join(str(part) for part in (node["clause"], node["why"]) if part)
