"""Systems that send each other the same study: each sends what it made of what came, and takes what comes for new.

What this node made is known when it comes back (`node.ourselves`), and so is an object that a plugin returned. But
what another system made of it is another object, and where neither marks what it makes there is no end: the study
grows by it, revision after revision. Such a round is seen by its order: the study was complete, then something of it
went to a destination, then all that was new came from there.

In a ring of three or more it comes from somewhere else than it went to. Then it is one sender that has sent all of it,
and nothing of what the study began with: a scanner that goes on with its own study has sent that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import query


def partner(database: Database, study: str, titles: Mapping[str, Collection[str]], rounds: int) -> str | None:
    """The destination with which the last `rounds` revisions went back and forth; None where they did not.

    `titles`: destination → the calling AE titles of what is there.
    """
    complete = _completions(database, study, rounds)
    if len(complete) <= rounds:
        return None
    return next((name for name in titles if _all_rounds(database, study, name, titles[name], complete)), None)


def ring(database: Database, study: str, destinations: Collection[str], rounds: int) -> str | None:
    """The calling AE title from which all that was new in the last `rounds` revisions came, each time after something
    had gone to a destination, though it had sent nothing of the first revision; None where there is none.
    """
    complete = _completions(database, study, rounds)
    if len(complete) <= rounds:
        return None
    first = "SELECT min(at) AS at FROM events WHERE study_instance_uid=? AND kind=?"
    began = query(database, first, [study, EventKind.STUDY_COMPLETE])[0]["at"]
    at_first = _senders(database, study, "", began)
    since, until = complete[0], complete[-1]
    for title in _senders(database, study, since, until) - at_first:
        if all(
            any(_is_round(database, study, name, {title}, *pair) for name in destinations)
            for pair in pairwise(complete)
        ):
            return title
    return None


def _completions(database: Database, study: str, rounds: int) -> list[str]:
    """When the study was last complete: one time more than there are rounds, in their order."""
    sql = "SELECT at FROM events WHERE study_instance_uid=? AND kind=? ORDER BY id DESC LIMIT ?"
    return [row["at"] for row in query(database, sql, [study, EventKind.STUDY_COMPLETE, rounds + 1])][::-1]


def _senders(database: Database, study: str, since: str, until: str) -> set[str]:
    sql = (
        "SELECT DISTINCT trim(calling_ae_title) AS title FROM instances WHERE study_instance_uid=?"
        " AND status='current' AND received_at>? AND received_at<=?"
    )
    return {row["title"] for row in query(database, sql, [study, since, until]) if row["title"]}


def _all_rounds(database: Database, study: str, destination: str, titles: Collection[str], complete: list[str]) -> bool:
    return all(_is_round(database, study, destination, titles, since, until) for since, until in pairwise(complete))


def _is_round(
    database: Database, study: str, destination: str, titles: Collection[str], since: str, until: str
) -> bool:
    """Whether all that came between two completions came from there, after something had gone there."""
    came = query(
        database,
        "SELECT trim(calling_ae_title) AS title, min(received_at) AS first FROM instances WHERE study_instance_uid=?"
        " AND status='current' AND received_at>? AND received_at<=? GROUP BY trim(calling_ae_title)",
        [study, since, until],
    )
    if not came or any(row["title"] not in titles for row in came):
        return False
    sql = "SELECT 1 FROM deliveries WHERE study_instance_uid=? AND destination=? AND sent_at>? AND sent_at<=? LIMIT 1"
    return bool(query(database, sql, [study, destination, since, min(row["first"] for row in came)]))
