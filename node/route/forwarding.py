"""From a decision to forward images to rows in the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from node.config.destinations import Destination, dicom_destinations
from node.ledger import deliveries, events, forwards, gone_images, round_trips, said, studies
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.forwards import ForwardTerms
from node.ledger.instances import Instance
from node.ledger.studies import Study
from node.route.facts import RETRIEVED
from node.route.new_jobs import PRIORITIES
from rules.decision import Decision
from rules.facts import UNREADABLE_HEADER, StudyFacts
from rules.model import Rule
from rules.timing import opening

Destinations = Mapping[str, Destination]
_ROUNDS = 10
"""So many revisions that went back and forth are a loop: an archive that forwards what comes late has fewer."""
_RING_ROUNDS = 30
"""From here on it is a ring of several systems: a workstation, or a second modality of a study, sends less often."""
_DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.")
"""SOP classes of structured reports and key objects, and of encapsulated documents (PS3.4 B.5)."""


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
    images = _to_forward(seen, rule, current)
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
        there = gone_images.forwarded(database, seen.study_instance_uid, name)  # and were removed here since
        going = [each for each in images if each.calling_ae_title.strip() not in titles]
        going = [each for each in going if each.sop_instance_uid not in there]
        terms = ForwardTerms(name, decision, rule.name, PRIORITIES[rule.priority], forward.coerce, later)
        new = forwards.enqueue(database, at, seen.study_instance_uid, terms, going)
        if new and forward.coerce:
            _tell_of_content(database, at, seen.study_instance_uid, name, going)
        made += new
    return made


def _to_forward(seen: StudyFacts, rule: Rule, current: Iterable[Instance]) -> list[Instance]:
    """Nothing that was fetched; where the rule decides on complete series, what belongs to one."""
    images = [each for each in current if each.origin != RETRIEVED]
    if rule.decide != "series complete":
        return images
    whole = {each.series_instance_uid for each in seen.series if each.complete}
    return [each for each in images if each.series_instance_uid in whole]


def _tell_of_content(database: Database, at: datetime, study: str, destination: str, going: Iterable[Instance]) -> None:
    """Coercion overwrites attributes of the data set: what a document says in its content stays, names too."""
    documents = [each for each in going if each.sop_class_uid.startswith(_DOCUMENTS)]
    place = deliveries.study_at(destination, study)
    if documents and said.once(database, EventKind.FORWARD_CONTENT_NOT_COERCED, place, "content"):
        events.record(
            database,
            at,
            EventKind.FORWARD_CONTENT_NOT_COERCED,
            study=study,
            destination=destination,
            documents=len(documents),
            reason="coerce changes nothing within reports and documents: names in their content leave as they are",
        )


def ae_titles_of(name: str, destinations: Destinations) -> frozenset[str]:
    """AE titles of whatever listens where this destination does: what they sent is not sent back there.

    By AE title and not by address: two systems may share a host, and an image that is not sent is lost.
    """
    titled = dicom_destinations(destinations)
    own = titled.get(name)
    if own is None:
        return frozenset()
    there = (own.host, own.port)
    return frozenset(each.ae_title.strip() for each in titled.values() if (each.host, each.port) == there)


def end_loop(ledger: Ledger, at: datetime, study: Study, destinations: Destinations) -> None:
    """Hold a study that goes round between systems: nothing of it is run or sent until a person releases it."""
    if study.revision <= _ROUNDS or study.hold is not None:
        return
    titles = {name: ae_titles_of(name, destinations) for name in destinations}
    name = round_trips.partner(ledger.database, study.study_instance_uid, titles, _ROUNDS)
    if name is not None:
        why = (
            f"it grew {_ROUNDS} times in a row by what came from {name} after this node had sent {name} something of"
            " it: two systems send each other what they make of it, without an end"
        )
    elif title := round_trips.ring(ledger.database, study.study_instance_uid, titles, _RING_ROUNDS):
        why = (
            f"it grew {_RING_ROUNDS} times in a row by what {title} sent after this node had sent something of it to a"
            " destination: several systems pass on what they make of it in a ring, without an end"
        )
    else:
        return
    with ledger.transaction() as database:
        studies.hold(database, at, study.study_instance_uid, why)
