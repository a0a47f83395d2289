"""The way of a study through the rules of a site: who sends, which rules ask, what they run, and where results go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.config.models import Configuration
from node.ledger import pauses
from node.ledger.database import Ledger
from node.ledger.pauses import Pausable
from node.ledger.plugin_names import key_of
from rules.conditions import clauses_of
from rules.model import Rule

_SOURCES = ("calling_ae_title", "called_ae_title", "peer_address", "StationName", "origin")
"""What rules ask about where a study comes from."""
ANYWHERE = "any sender"


@dataclass(frozen=True, slots=True)
class PipelineRule:
    """One rule, and what it leads to."""

    name: str
    description: str
    mode: str
    enabled: bool
    sources: Sequence[str]
    """What it asks of the sender, as the rule says it."""
    plugins: Sequence[str]
    """That it runs."""
    destinations: Sequence[str]
    """That get its results."""
    forwards: Sequence[str]
    """Destinations that get the images."""
    people: Sequence[str]
    """Who is notified."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All rules of a configuration, in its order."""

    rules: Sequence[PipelineRule]
    senders: Sequence[str]
    """Who may send: names and AE titles, or everybody."""
    unused: Sequence[str]
    """Destinations that no rule sends to."""

    @property
    def sources(self) -> list[str]:
        """Of all rules."""
        return _all(each.sources for each in self.rules)

    @property
    def plugins(self) -> list[str]:
        """Of all rules."""
        return _all(each.plugins for each in self.rules)

    @property
    def destinations(self) -> list[str]:
        """That rules send to."""
        return _all((*each.destinations, *each.forwards) for each in self.rules)


def of(configuration: Configuration) -> Pipeline:
    """What the rules of a configuration connect."""
    senders = [f"{name} ({each.ae_title})" for name, each in configuration.modalities.items()]
    if configuration.node.accept == "any":
        senders.append("everybody (accept: any)")
    rules = [_rule(rule) for rule in configuration.rules]
    used = {name for rule in rules for name in (*rule.destinations, *rule.forwards)}
    return Pipeline(rules, senders, [name for name in configuration.destinations if name not in used])


def paused(ledger: Ledger) -> dict[tuple[str, str], str]:
    """("rule", name) and so on → why it is paused; plugins by their folded names."""
    with ledger.reading() as database:
        found = pauses.every(database)
    return {
        (each.what.value, key_of(each.name) if each.what is Pausable.PLUGIN else each.name): each.why for each in found
    }


def _rule(rule: Rule) -> PipelineRule:
    asked = [each.text for each in clauses_of(rule.condition) if each.name.text in _SOURCES]
    return PipelineRule(
        name=rule.name,
        description=rule.description,
        mode=rule.mode,
        enabled=rule.enabled,
        sources=tuple(dict.fromkeys(asked)) or (ANYWHERE,),
        plugins=tuple(dict.fromkeys(step.plugin for step in rule.run)),
        destinations=tuple(rule.send),
        forwards=tuple(rule.forward.to) if rule.forward else (),
        people=tuple(dict.fromkeys(name for each in rule.notify for name in each.whom)),
    )


def _all(parts: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part))
