"""What is to be decided: the rules that are asked, and the facts of the study they are asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from node.config.dictionary import DataDictionary
from node.ledger import decisions, facts, gone_images, studies
from node.ledger.database import Database
from node.ledger.instances import Arrivals
from node.ledger.looks import Look
from node.ledger.rows import to_json
from node.ledger.studies import Study, StudyStatus
from node.route import answers
from node.route.facts import study_facts
from node.route.history import history
from rules.facts import StudyFacts
from rules.model import DICTIONARY, Rule, rule_set_digest


@dataclass(frozen=True)
class RulesInForce:
    """The rules in force, with the digest under which decisions name them."""

    rules: tuple[Rule, ...]
    digest: str
    content: str

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> RulesInForce:
        """The rule set of these rules."""
        content = to_json([rule.model_dump(mode="json") for rule in rules])
        return cls(tuple(rules), rule_set_digest(rules), content)

    @classmethod
    def kept(cls, database: Database, digest: str) -> RulesInForce:
        """The version that a decision names, as it was."""
        content = decisions.rule_set(database, digest) or "[]"
        rules = tuple(map(_rule, decisions.rules_of(database, digest)))
        return cls(rules, digest, content)


def kept_rule(database: Database, decision: int) -> Rule | None:
    """The rule that took the decision, in its version then; ValueError where it is not understood any more."""
    plain = decisions.rule_of(database, decision)
    return _rule(plain) if plain else None


def _rule(plain: Mapping[str, Any]) -> Rule:
    return Rule.model_validate(_as_it_was(plain), context={DICTIONARY: DataDictionary()})


def _as_it_was(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule of a version before choices took original images alone: it took any."""
    choices = [{"images": "any"} | choice for choice in rule.get("choose", ())]
    return {**rule, "choose": choices}


@dataclass(frozen=True)
class Evaluation:
    """Rules, and a study at one look (or, where that is None, at its newest complete revision)."""

    study: Study
    rule_set: RulesInForce
    rules: tuple[Rule, ...]
    look: Look | None = None

    @property
    def number(self) -> int:
        """0 for a complete revision."""
        return self.look.look if self.look else 0

    @property
    def growing(self) -> bool:
        """Whether more of the study is expected."""
        return self.look is not None and self.look.growing is not None

    @property
    def as_seen(self) -> Study:
        """The study as rules and jobs see it: what grows is the revision to come, as complete as it was at the look."""
        if self.look is None or not self.growing:
            return self.study
        return replace(self.study, revision=self.look.revision + 1, completed_at=self.look.asked_at)

    def facts(self, database: Database, current: Arrivals, now: datetime, zone: ZoneInfo) -> StudyFacts:
        """What the rules see; `current` are the instances that count now."""
        uid = self.study.study_instance_uid
        revision = self.look.revision if self.look else self.study.revision
        records = facts.columns_of_study(database, uid, revision, self.number)
        done = history(database, self.rules, uid, now, zone)
        growing = self.look.growing if self.look else None
        found = study_facts(self.as_seen, records, current, now, zone, done, growing)
        return answers.seen(database, self.look, found)

    def still_holds(self, database: Database, current: Arrivals) -> bool:
        """Whether the study is still as the rules saw it; where not, its next completion or the next run decides."""
        uid = self.study.study_instance_uid
        arrived = gone_images.arrivals(database, uid)
        if self.growing:
            return current.receipts <= arrived.receipts
        now = studies.get(database, uid)
        if now is None or now.status is not StudyStatus.COMPLETE or now.revision != self.study.revision:
            return False
        return arrived == current
