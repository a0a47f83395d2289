"""What the rules have done so far, read from their jobs: how often each ran, which results wait for a next step.

Jobs are `node.ledger.jobs`'; a cancelled one counts as none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from node.clock import from_text, to_text
from node.ledger.connection import Database
from node.ledger.job import JobStatus
from node.ledger.rows import moment, one, query


@dataclass(frozen=True, slots=True)
class RuleHistory:
    """What one rule has done, seen from one study."""

    enrolled: int
    """Other studies that it has run on."""
    today: int
    """Those of them that it first ran on since midnight."""
    patient_last: datetime | None
    """When it last had a job made for another study of the patient."""
    subjects: frozenset[str]
    """What of this study it has run on: `study`, or Series Instance UIDs."""


_JOBS = "(SELECT study_instance_uid, subject, created_at FROM jobs WHERE rule=:rule AND status<>'cancelled')"
"""What a rule did that runs plugins."""
_DECISIONS = (
    "(SELECT study_instance_uid, 'study' AS subject, decided_at AS created_at FROM decisions"
    " WHERE rule=:rule AND outcome='matched')"
)
"""What a rule did that runs none: each match is a deed."""


def of_rule(
    database: Database, rule: str, study: str, midnight: datetime, *, counted: bool, runs: bool = True
) -> RuleHistory:
    """The history of a rule; `midnight` is when the day of the site began.

    `counted`: other studies matter, too; else only what the rule did to this one is looked up. `runs`: it is counted by
    the rule's jobs; else, as it runs no plugin, by its matches.
    """
    named = {"rule": rule, "study": study, "midnight": to_text(midnight)}
    deeds = _JOBS if runs else _DECISIONS
    sql = f"SELECT DISTINCT subject FROM {deeds} WHERE study_instance_uid=:study"  # noqa: S608 - one of two texts of ours
    done = frozenset(row["subject"] for row in query(database, sql, named))
    return RuleHistory(*_others(database, named, deeds), done) if counted else RuleHistory(0, 0, None, done)


def _others(database: Database, named: Mapping[str, str], deeds: str) -> tuple[int, int, datetime | None]:
    others = f"SELECT min(created_at) AS first FROM {deeds} WHERE study_instance_uid<>:study"  # noqa: S608 - as above
    firsts = f"{others} GROUP BY study_instance_uid"
    sql = f"SELECT count(*) AS enrolled, coalesce(sum(first >= :midnight), 0) AS today FROM ({firsts})"  # noqa: S608 - as above
    counts = one(database, sql, named)
    last = one(
        database,
        f"SELECT max(created_at) AS t FROM {deeds} JOIN studies AS other USING (study_instance_uid)"  # noqa: S608 - as above
        " JOIN studies AS this ON this.study_instance_uid=:study"
        " WHERE other.study_instance_uid<>:study"
        " AND other.patient_id=this.patient_id"
        " AND (other.issuer_of_patient_id=this.issuer_of_patient_id"
        " OR other.issuer_of_patient_id='' OR this.issuer_of_patient_id='')"
        " AND this.patient_id<>''",
        named,
    )
    assert counts is not None, named
    return int(counts["enrolled"]), int(counts["today"]), moment(last["t"]) if last else None


class RuleRun(NamedTuple):
    """That a rule has run on a study, or on a series of it."""

    rule: str
    study_instance_uid: str
    subject: str
    """`study`, or the Series Instance UID."""
    patient_id: str
    issuer_of_patient_id: str
    first: datetime
    last: datetime


def before(database: Database, rules: Mapping[str, bool], moment: datetime) -> list[RuleRun]:
    """All that these rules had done by then; of each whether its jobs count, as in `of_rule`."""
    found: list[RuleRun] = []
    for rule, runs in sorted(rules.items()):
        rows = query(
            database,
            "SELECT :rule AS rule, study_instance_uid, subject, patient_id, issuer_of_patient_id,"  # noqa: S608 - as above
            f" min(created_at) AS first, max(created_at) AS last FROM {_JOBS if runs else _DECISIONS}"
            " JOIN studies USING (study_instance_uid) WHERE created_at<:moment"
            " GROUP BY study_instance_uid, subject ORDER BY first",
            {"rule": rule, "moment": to_text(moment)},
        )
        found += [RuleRun(**{**row, "first": from_text(row["first"]), "last": from_text(row["last"])}) for row in rows]
    return found


def results(database: Database, study: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Plugin → outcome and findings of the job that was made last, of those on the study that have ended."""
    rows = query(
        database,
        "SELECT plugin, outcome, found FROM jobs WHERE study_instance_uid=? AND outcome IS NOT NULL"
        " AND status<>? ORDER BY rowid",
        [study, JobStatus.CANCELLED],
    )
    return {row["plugin"]: (row["outcome"], json.loads(row["found"] or "{}")) for row in rows}


def not_followed_up(database: Database) -> list[str]:
    """Jobs with an outcome on which later steps of their rule have not been decided.

    None of a study that grows, unless the job itself was decided on while it grew.
    """
    rows = query(
        database,
        "SELECT id FROM jobs JOIN studies USING (study_instance_uid)"
        " WHERE followed_up=0 AND outcome IS NOT NULL AND jobs.status IN (?,?,?) AND studies.hold IS NULL"
        " AND (look>0 OR (studies.status='complete' AND studies.decided_revision=studies.revision))"
        " ORDER BY finished_at",
        [JobStatus.ENDED, JobStatus.REPORTED, JobStatus.UNREPORTABLE],
    )
    return [row["id"] for row in rows]


def is_newest(database: Database, job: str) -> bool:
    """Whether no later job of the same rule, step and subject has been made."""
    return one(database, "SELECT id FROM jobs WHERE supersedes=?", [job]) is None


def followed_up(database: Database, job: str) -> None:
    """Later steps of its rule have been decided on."""
    database.execute("UPDATE jobs SET followed_up=1 WHERE id=?", [job])
