"""Who still needs the images of a study, or the files of a job: the one place that retention asks.

    reasons = needed.why_needed(database, study, at)     # images
    reasons = needed.why_needed_job(database, job, at)   # answer, log and objects

Nothing goes while there is a reason. Purge, `pacsnode retention` and whoever shows a study use these two functions.
Each reason is one question that has an index. They are here and not in `node/store`, because they are asked of rows,
and the receiver, which imports `node/store`, must never know the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.rows import one


class NeedKind(StrEnum):
    """Why something stays."""

    sentence: str

    def __new__(cls, value: str, sentence: str = "") -> NeedKind:
        """A member is its text, with the sentence for people."""
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.sentence = sentence
        return kind

    RECEIVING = "receiving", "more of the study may arrive"
    UNDECIDED = "undecided", "the rules have not decided on it"
    HELD = "held", "it is held until a person decides"
    SET_ASIDE = "set-aside", "instances were set aside, and nobody has seen to the alert"
    PINNED = "pinned", "a person or a pilot wants it kept"
    JOB_OPEN = "job-open", "a job is not finished"
    UNREPORTABLE = "unreportable", "the result of a job could not be reported, and nobody has seen to it"
    FOLLOW_UP = "follow-up", "later steps of a rule are still to be decided"
    LATER_STEP = "later-step", "a later step works on its result"
    RULE_WAITS = "rule-waits", "a rule waits for more"
    FETCH_OPEN = "fetch-open", "an earlier study is being fetched for it, or it is the one"
    NOT_DELIVERED = "not-delivered", "something is not delivered"
    ADOPTED = "adopted", "results are encoded again under the patient and order that a destination has"
    NOT_COMMITTED = "not-committed", "a destination has not committed itself to what was delivered"
    COMMITMENT_OPEN = "commitment-open", "a request for storage commitment is not answered"
    PROMISED = "promised", "storage commitment was given for it"
    WITHDRAWAL = "withdrawal", "something that was delivered is to be withdrawn"
    NOT_NOTIFIED = "not-notified", "a person is still to be notified"
    DEFECT = "defect", "handling it failed, and is tried again or waits for a person"
    GOING = "going", "it is being removed, or is gone"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something stays."""

    kind: NeedKind
    number: int
    """How many rows say so, such as deliveries; 1 where it is a mark of the study or job itself."""

    def __str__(self) -> str:
        """In words."""
        return self.kind.sentence if self.number == 1 else f"{self.kind.sentence} ({self.number})"


_UNDELIVERED = "status IN ('waiting', 'sending', 'held', 'dead', 'refused')"
_UNCOMMITTED = "status='delivered' AND commitment NOT IN ('none', 'committed')"
_UNSENT = "notifications.status IN ('waiting', 'sending')"
_NOT_SEEN_TO = (
    "jobs.status='unreportable' AND NOT EXISTS (SELECT 1 FROM alerts WHERE kind='job.unreportable' AND place=jobs.id"
    " AND closed_at IS NULL AND acknowledged_at IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM jobs AS later"
    " WHERE later.study_instance_uid=jobs.study_instance_uid AND later.rule=jobs.rule AND later.step=jobs.step"
    " AND later.subject=jobs.subject AND later.rowid>jobs.rowid AND later.status<>'cancelled')"
)
_JOBS = "FROM job_studies JOIN jobs ON jobs.id=job_studies.job WHERE study=:study AND"
_OF_STUDY: Mapping[NeedKind, str] = {
    NeedKind.GOING: "SELECT count(*) FROM studies WHERE study_instance_uid=:study AND images<>'here'",
    NeedKind.RECEIVING: "SELECT count(*) FROM studies WHERE study_instance_uid=:study AND status<>'complete'",
    NeedKind.HELD: "SELECT count(*) FROM studies WHERE study_instance_uid=:study AND hold IS NOT NULL",
    NeedKind.SET_ASIDE: "SELECT count(*) FROM alerts WHERE study=:study AND closed_at IS NULL"
    " AND acknowledged_at IS NULL AND kind IN ('instance.conflict', 'instance.correction', 'instance.unreadable',"
    " 'box.answer-unmatched')",
    NeedKind.PINNED: "SELECT count(*) FROM pins WHERE study_instance_uid=:study AND (until IS NULL OR until>:now)",
    NeedKind.UNDECIDED: "SELECT (SELECT count(*) FROM studies WHERE study_instance_uid=:study"
    " AND decided_revision<revision) + (SELECT count(*) FROM looks WHERE study_instance_uid=:study"
    " AND decided_at IS NULL)",
    NeedKind.JOB_OPEN: f"SELECT count(*) {_JOBS} jobs.status IN ('queued', 'running', 'ended')",
    NeedKind.UNREPORTABLE: f"SELECT count(*) {_JOBS} {_NOT_SEEN_TO}",
    NeedKind.FOLLOW_UP: f"SELECT count(*) {_JOBS} jobs.followed_up=0 AND jobs.outcome IS NOT NULL"
    " AND jobs.status<>'cancelled'",
    NeedKind.RULE_WAITS: "SELECT count(*) FROM timers WHERE study_instance_uid=:study",
    NeedKind.FETCH_OPEN: "SELECT count(*) FROM fetches WHERE (study_instance_uid=:study OR prior_study=:study)"
    " AND (ended_at IS NULL OR followed_up=0)",
    NeedKind.NOT_DELIVERED: "SELECT (SELECT count(*) FROM deliveries WHERE study_instance_uid=:study"  # noqa: S608 - texts of ours
    f" AND {_UNDELIVERED}) + (SELECT count(*) FROM forward_parts WHERE study_instance_uid=:study)",
    NeedKind.ADOPTED: "SELECT count(*) FROM adoptions WHERE study_instance_uid=:study AND open=1",
    NeedKind.NOT_COMMITTED: f"SELECT count(*) FROM deliveries WHERE study_instance_uid=:study AND {_UNCOMMITTED}",  # noqa: S608 - texts of ours
    NeedKind.COMMITMENT_OPEN: "SELECT CASE WHEN EXISTS (SELECT 1 FROM commitments"
    " WHERE status IN ('waiting', 'at_archive', 'decided', 'offered')) THEN (SELECT count(DISTINCT commitment)"
    " FROM instances CROSS JOIN commitment_items USING (sop_instance_uid) CROSS JOIN commitments"
    " ON commitments.id=commitment WHERE instances.study_instance_uid=:study"
    " AND commitments.status IN ('waiting', 'at_archive', 'decided', 'offered')) ELSE 0 END",
    NeedKind.PROMISED: "SELECT count(DISTINCT commitment) FROM commitment_items JOIN commitments ON commitments.id="
    "commitment WHERE study_instance_uid=:study AND failure=0 AND through IS NULL AND (keep_seconds IS NULL"
    " OR julianday(decided_at)+keep_seconds/86400.0>julianday(:now))",
    NeedKind.WITHDRAWAL: "SELECT (SELECT count(*) FROM withdrawals WHERE study_instance_uid=:study"
    " AND status IN ('listed', 'sent', 'refused')) + (SELECT coalesce(sum(json_array_length(deliveries)), 0)"
    " FROM withdrawal_parts WHERE study_instance_uid=:study)",
    NeedKind.NOT_NOTIFIED: f"SELECT (SELECT count(*) FROM notifications WHERE study=:study AND {_UNSENT})"  # noqa: S608 - texts of ours
    f" + (SELECT count(*) {_JOBS} EXISTS (SELECT 1 FROM notifications WHERE job=jobs.id AND {_UNSENT}))",
    NeedKind.DEFECT: "SELECT count(*) FROM defects WHERE study_instance_uid=:study AND stage<>'retain'",
}
"""The question for each reason why the images of a study stay."""

_OF_JOB: Mapping[NeedKind, str] = {
    NeedKind.GOING: "SELECT count(*) FROM jobs WHERE id=:job AND files<>'here'",
    NeedKind.HELD: "SELECT count(*) FROM jobs JOIN studies USING (study_instance_uid) WHERE id=:job"
    " AND hold IS NOT NULL",
    NeedKind.PINNED: "SELECT count(*) FROM jobs JOIN pins USING (study_instance_uid) WHERE jobs.id=:job"
    " AND (until IS NULL OR until>:now)",
    NeedKind.JOB_OPEN: "SELECT count(*) FROM jobs WHERE id=:job AND status IN ('queued', 'running', 'ended')",
    NeedKind.UNREPORTABLE: f"SELECT count(*) FROM jobs WHERE id=:job AND {_NOT_SEEN_TO}",  # noqa: S608 - texts of ours
    NeedKind.FOLLOW_UP: "SELECT count(*) FROM jobs WHERE id=:job AND followed_up=0 AND outcome IS NOT NULL"
    " AND status<>'cancelled'",
    NeedKind.LATER_STEP: "SELECT count(*) FROM job_results JOIN jobs ON jobs.id=job_results.job WHERE source=:job"
    " AND jobs.status IN ('queued', 'running')",
    NeedKind.NOT_DELIVERED: f"SELECT count(*) FROM deliveries WHERE job=:job AND {_UNDELIVERED}",  # noqa: S608 - texts of ours
    NeedKind.ADOPTED: "SELECT count(*) FROM jobs JOIN adoptions USING (study_instance_uid) WHERE jobs.id=:job"
    " AND open=1",
    NeedKind.NOT_COMMITTED: f"SELECT count(*) FROM deliveries WHERE job=:job AND {_UNCOMMITTED}",  # noqa: S608 - texts of ours
    NeedKind.WITHDRAWAL: "SELECT count(*) FROM deliveries JOIN withdrawals ON withdrawals.delivery=deliveries.id"
    " WHERE job=:job AND withdrawals.status IN ('listed', 'sent', 'refused')",
    NeedKind.NOT_NOTIFIED: "SELECT count(*) FROM notifications WHERE job=:job AND status IN ('waiting', 'sending')",
    NeedKind.DEFECT: "SELECT count(*) FROM defects JOIN jobs ON defects.study_instance_uid=jobs.study_instance_uid"
    " WHERE jobs.id=:job AND defects.stage<>'retain' AND (defects.job IS NULL OR defects.job=:job)",
}
"""The question for each reason why the files of a job stay."""


def why_needed(database: Database, study: str, at: datetime) -> list[Reason]:
    """Why the images of a study may not go at `at`; none where they may, or where there is no such study."""
    return _ask(database, _OF_STUDY, {"study": study, "now": to_text(at)})


def why_needed_job(database: Database, job: str, at: datetime) -> list[Reason]:
    """Why the files of a job (a plugin's answer, its log, the objects) may not go at `at`; none where they may."""
    return _ask(database, _OF_JOB, {"job": job, "now": to_text(at)})


def _ask(database: Database, questions: Mapping[NeedKind, str], values: Mapping[str, str]) -> list[Reason]:
    found = []
    for kind, sql in questions.items():
        row = one(database, f"SELECT ({sql}) AS n", values)
        assert row is not None, "a count is one row"
        if row["n"]:
            found.append(Reason(kind, int(row["n"])))
    return found
