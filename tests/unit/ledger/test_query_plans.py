"""What is asked again and again does not grow with the past: SQLite's own plan of each query says what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger import (
    adoptions,
    alert_notifications,
    alerts,
    attempts,
    backlog,
    commit_batches,
    commitment_counts,
    commitments,
    deliveries,
    due_times,
    encoding_queue,
    encodings,
    escalations,
    facts,
    fallbacks,
    forwards,
    gone_rules,
    identities,
    image_turns,
    instances,
    job_files,
    job_studies,
    jobs,
    needed,
    notices,
    notifications,
    objects,
    outdated,
    pauses,
    purges,
    questions,
    rejections,
    resends,
    retention_runs,
    rule_history,
    said,
    selections,
    silences,
    studies,
    turns,
)
from node.ledger.alert_kinds import AlertSeverity
from node.ledger.commitment import CommitmentStatus
from node.ledger.database import FILE, Database, Ledger
from node.ledger.delivery import DeliveryKind, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.instances import InstanceStatus
from node.ledger.pauses import Pausable
from node.ledger.purges import PurgeKind
from node.ledger.selections import Selection
from tests.support.sites.past import tell

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = "1.2.3"
Ask = Callable[[Database], object]

FOR_EACH_INSTANCE: dict[str, Ask] = {
    "known": lambda rows: instances.known(rows, ["a", "b"]),
    "of_sop_instance": lambda rows: instances.of_sop_instance(rows, ONE),
    "is_ours": lambda rows: objects.is_ours(rows, ONE, ONE, ONE),
    "witness": lambda rows: instances.witness(rows, ONE),
    "corrections": lambda rows: instances.of_study(rows, ONE, [InstanceStatus.CORRECTION]),
    "rejections": lambda rows: rejections.of_instance(rows, ONE, ONE),
    "study": lambda rows: studies.get(rows, ONE),
    "sources": lambda rows: instances.sources(rows, ONE),
    "told": lambda rows: said.once(rows, EventKind.INSTANCE_DUPLICATE, ONE, "a"),
}
FOR_EACH_STUDY: dict[str, Ask] = {
    "receiving": studies.receiving,
    "headers": lambda rows: list(facts.headers_of(rows, ONE)),
    "facts": lambda rows: facts.of_study(rows, ONE, 1),
    "instances": lambda rows: instances.of_study(rows, ONE),
    "arrivals": lambda rows: instances.arrivals(rows, ONE),
    "undecided": studies.undecided,
    "history": lambda rows: rule_history.of_rule(rows, "rule", ONE, NOW, counted=False),
    "not_followed_up": rule_history.not_followed_up,
    "is_newest": lambda rows: rule_history.is_newest(rows, ONE),
    "ready": lambda rows: jobs.ready(rows, NOW),
    "next_ready_at": jobs.next_ready_at,
    "unreported": encoding_queue.unreported,
    "open_here": attempts.open_here,
    "attempts": lambda rows: attempts.of_job(rows, ONE),
    "postponements": lambda rows: attempts.postponements(rows, ONE),
    "earlier": lambda rows: job_studies.earlier(rows, ONE),
    "of_other_rules": lambda rows: gone_rules.queued(rows, ["a", "b"]),
    "adopted": lambda rows: adoptions.newest(rows, ONE, "pacs"),
    "to_be_re_encoded": adoptions.open_ones,
    "in_question": lambda rows: identities.in_question(rows, ONE),
    "paused": lambda rows: pauses.get(rows, Pausable.DESTINATION, "pacs"),
    "images_of_study": lambda rows: image_turns.of_study(rows, "pacs", NOW, ONE, 10),
    "due_of_study": lambda rows: turns.due(rows, "pacs", NOW, ONE),
    "studies_due": lambda rows: turns.studies_due(rows, "pacs", NOW, 10, absent=False),
    "absent": lambda rows: turns.studies_due(rows, "pacs", NOW, 10, absent=True),
    "bound": lambda rows: due_times.bound(rows, "deliveries", NOW, "pacs"),
    "bound_others": lambda rows: [
        due_times.bound(rows, each, NOW) for each in ("jobs", "notifications", "commitments")
    ],
    "next_images": lambda rows: image_turns.next_study(rows, "pacs", NOW, ["1", "2"], 0),
    "set_aside": lambda rows: silences.set_aside(rows, "pacs", NOW),
    "unanswered": lambda rows: silences.stored_since(rows, "pacs", NOW, 1),
    "refused": fallbacks.waiting,
    "next_due_at": lambda rows: turns.next_due_at(rows, "pacs"),
    "commitments": lambda rows: commitments.with_status(rows, [CommitmentStatus.WAITING]),
    "commitments_due": lambda rows: commitments.due(rows, CommitmentStatus.DECIDED, NOW, "CT1"),
    "to_commit": lambda rows: commit_batches.next_study(rows, NOW, "pacs"),
    "to_commit_at_once": lambda rows: commit_batches.next_study(rows, NOW, "pacs", at_once=True),
    "commit_batch": lambda rows: commit_batches.make(rows, NOW, "pacs", ONE),
    "batches": lambda rows: [
        commit_batches.open_ones(rows, "pacs"),
        commit_batches.in_time(rows, "pacs"),
        commit_batches.due(rows, "pacs", NOW),
        commit_batches.next_due_at(rows, "pacs"),
        commit_batches.in_trouble(rows, ONE),
    ],
    "batch": lambda rows: [commit_batches.references(rows, 1), commit_batches.is_refused(rows, 1)],
    "asked_destinations": commit_batches.destinations,
    "not_kept": lambda rows: resends.not_kept(rows, NOW, "pacs", [ONE]),
    "commitment_items": lambda rows: commitments.items(rows, 1),
    "commitments_of_study": lambda rows: commitments.of_study(rows, ONE),
    "needed": lambda rows: needed.why_needed(rows, ONE, NOW),
    "needed_job": lambda rows: needed.why_needed_job(rows, ONE, NOW),
    "studies_to_go": lambda rows: [list(outdated.studies(rows, kind, NOW)) for kind in PurgeKind],
    "jobs_to_go": lambda rows: list(outdated.jobs(rows, NOW)),
    "going": lambda rows: [purges.under_way(rows), job_files.under_way(rows), retention_runs.under_way(rows)],
}
FOR_STATUS: dict[str, Ask] = {
    "labels": lambda rows: studies.labels(rows, [ONE]),
    "held": studies.held,
    "latest": lambda rows: studies.latest(rows, 10),
    "completed_since": lambda rows: studies.completed_since(rows, NOW),
    "why_waiting": lambda rows: turns.why_waiting(rows, "pacs"),
    "deliveries": lambda rows: deliveries.with_status(rows, DeliveryStatus.HELD, 100),
    "fallbacks": lambda rows: fallbacks.of_destination(rows, "pacs", "1.2.840.10008.5.1.4.1.1.88.34"),
    "tried_before": lambda rows: fallbacks.tried_before(rows, 1),
    "encoding": lambda rows: encodings.get(rows, "a", "b"),
    "troubled": lambda rows: jobs.troubled(rows, 100),
    "under_way": lambda rows: [attempts.all_open(rows), attempts.last_of(rows, ONE)],
    "alerts": lambda rows: [alerts.open_ones(rows, 100), alerts.of_study(rows, ONE)],
    "alerts to be told": lambda rows: [
        ask(rows, list(AlertSeverity))
        for ask in (
            alert_notifications.begun,
            alert_notifications.ended,
            alert_notifications.lasting,
            alert_notifications.missed,
        )
    ],
    "silence": lambda rows: [escalations.due(rows, NOW), escalations.next_due_at(rows)],
    "late": lambda rows: [notices.overdue(rows, NOW), backlog.longest_ready(rows, NOW, NOW)],
    "series": lambda rows: studies.series_of(rows, ONE),
    "kept": lambda rows: commitment_counts.of_study(rows, ONE),
    "questions": lambda rows: questions.page(rows, 50),
    "failed": lambda rows: selections.jobs_like(rows, Selection("failed", rule="a", plugin="b")),
    "cancelled": lambda rows: selections.jobs_like(rows, Selection("cancelled", rule="a")),
    "dead": lambda rows: selections.results_like(rows, Selection("dead", destination="pacs")),
    "dead_images": lambda rows: selections.images_like(rows, Selection("dead", destination="pacs")),
    "held_images": lambda rows: selections.images_like(rows, Selection("held", study=ONE, destination="pacs")),
    "held_studies": lambda rows: selections.held_like(rows, Selection(rule="a", destination="pacs")),
    "work": lambda rows: [jobs.of_study(rows, ONE), deliveries.of_study(rows, ONE)],
}
COUNTS: dict[str, Ask] = {
    "studies": studies.counts,
    "instances": instances.totals,
    "jobs": jobs.counts,
    "deliveries": deliveries.counts,
    "images": forwards.counts,
    "notifications": notifications.counts,
    "commitments": commitments.counts,
    "kept": lambda rows: commitment_counts.by_destination(rows, DeliveryKind.IMAGE),
}
_FEW = (
    "studies_undecided",
    "studies_held",
    "jobs_in_trouble",
    "jobs_to_follow_up",
    "deliveries_refused",
    "attempts_open",
    "alerts_open",
    "adoptions_open",
    "purges_open",
    "retention_runs_open",
    "alerts_to_end",
    "alerts_missed",
    "notifications_to_escalate",
)
"""Partial indexes: they have what waits for somebody, not what has been."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    ledger = Ledger(Path(tmp_path_factory.mktemp("ledger")) / FILE)
    with ledger.transaction() as database:
        tell(database)
    yield ledger.database
    ledger.close()


def plan(rows: Database, ask: Ask) -> list[str]:
    """Every step of every statement that is asked."""
    asked: list[str] = []
    rows.conn.set_trace_callback(asked.append)
    try:
        ask(rows)
    finally:
        rows.conn.set_trace_callback(None)
    assert asked
    return [step for sql in asked for *_, step in rows.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]


def grows(step: str) -> bool:
    """Whether a step reads more, the more there has been: nearly every instance has the same status, say."""
    if any(name in step for name in _FEW) or step == "SCAN CONSTANT ROW":
        return False
    searched = any(f"{column}=?" in step for column in ("receipt", "sop_instance_uid", "study_instance_uid"))
    of_all_instances = step.startswith("SEARCH instances") and not searched
    return step.startswith("SCAN") or "AUTOMATIC" in step or of_all_instances


@pytest.mark.parametrize("name", [*FOR_EACH_INSTANCE, *FOR_EACH_STUDY])
def test_no_stage_reads_a_table_from_end_to_end(rows: Database, name: str) -> None:
    """Each step is a search by an index, or the scan of one that has only what waits."""
    steps = plan(rows, (FOR_EACH_INSTANCE | FOR_EACH_STUDY)[name])
    assert [step for step in steps if grows(step)] == []


def test_what_waits_for_its_decision_is_not_looked_for_among_all_that_is_complete(rows: Database) -> None:
    """Nearly every study of a ledger is complete: an index by status would be read from end to end."""
    assert plan(rows, studies.undecided) == ["SCAN studies USING INDEX studies_undecided"]


@pytest.mark.parametrize("name", FOR_STATUS)
def test_status_reads_no_table_from_end_to_end(rows: Database, name: str) -> None:
    """As above; the latest ones are read off the end of an index."""
    limited = "SCAN studies USING INDEX studies_by_arrival"
    allowed = {limited} if name == "latest" else set()
    assert {step for step in plan(rows, FOR_STATUS[name]) if grows(step)} <= allowed


@pytest.mark.parametrize("name", COUNTS)
def test_counts_read_tallies_and_no_rows(rows: Database, name: str) -> None:
    """A count is a few numbers that are kept, however many rows there are."""
    steps = [step for step in plan(rows, COUNTS[name]) if "GROUP BY" not in step]
    assert steps == ["SEARCH tallies USING PRIMARY KEY (name=?)"]
