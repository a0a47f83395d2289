"""From a decision to forward images to rows in the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from node.config.models import Destination
from node.ledger import forwards
from node.ledger.database import Database
from node.ledger.instances import Instance
from node.route.facts import RETRIEVED
from rules.decision import Decision
from rules.facts import UNREADABLE_HEADER, StudyFacts
from rules.timing import opening

Destinations = Mapping[str, Destination]


def enqueue(
    database: Database,
    at: datetime,
    seen: StudyFacts,
    verdict: Decision,
    decision: int,
    current: Iterable[Instance],
    destinations: Destinations,
) -> int:
    """Put what the rule forwards into the outbox; how many images that are. `current` are those that count.

    Left out: what this node fetched, for each destination what came from there, where a rule decides on complete
    series what belongs to a series that is not, and, with an alert, what has an unreadable header.
    """
    forward = verdict.forward
    if forward is None:
        return 0
    rule = verdict.rule
    images = [each for each in current if each.origin != RETRIEVED]
    if rule.decide == "series complete":
        whole = {each.series_instance_uid for each in seen.series if each.complete}
        images = [each for each in images if each.series_instance_uid in whole]
    unreadable = [each for each in images if UNREADABLE_HEADER in each.marks]
    images = [each for each in images if UNREADABLE_HEADER not in each.marks]
    starts = opening(rule.hours, seen.now) if rule.hours else None
    later = starts if starts and starts > seen.now else None
    made = 0
    for name in forward.to:
        titles = ae_titles_of(name, destinations)
        forwards.left_out(
            database,
            at,
            study=seen.study_instance_uid,
            destination=name,
            rule=rule.name,
            images=[each for each in unreadable if each.calling_ae_title.strip() not in titles],
            mark=UNREADABLE_HEADER,
        )
        going = [each for each in images if each.calling_ae_title.strip() not in titles]
        made += forwards.enqueue(
            database,
            at,
            study=seen.study_instance_uid,
            destination=name,
            decision=decision,
            rule=rule.name,
            images=going,
            coerce=forward.coerce,
            not_before=later,
        )
    return made


def ae_titles_of(name: str, destinations: Destinations) -> frozenset[str]:
    """AE titles of whatever listens where this destination does: what they sent is not sent back there.

    By AE title and not by address: two systems may share a host, and an image that is not sent is lost.
    """
    own = destinations.get(name)
    if own is None:
        return frozenset()
    there = (own.host, own.port)
    return frozenset(each.ae_title.strip() for each in destinations.values() if (each.host, each.port) == there)
