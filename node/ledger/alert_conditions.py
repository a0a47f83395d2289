"""Whether the condition of an alert still holds: one question to the ledger for each kind.

The place of an alert says what the question is about: a study, a job, a destination, or two of these with a blank
between them. No question has a side effect, and none depends on who asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from node.ledger import unreadable
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.dismissals import NOT_DISMISSED
from node.ledger.rows import one

_CORRECTED = (
    "SELECT 1 FROM studies WHERE study_instance_uid=:place AND (hold IS NOT NULL OR status='receiving')"
    " AND EXISTS (SELECT 1 FROM instances WHERE study_instance_uid=:place AND status='correction')"
)
"""Corrections wait beside what they correct: for a person, or for the next revision."""
_LAST_OUTCOMES = (
    "SELECT outcome FROM jobs WHERE plugin=:place AND finished_at IS NOT NULL AND outcome IS NOT NULL"
    " ORDER BY finished_at DESC LIMIT 3"
)
_NOTED = "SELECT 1 FROM conditions WHERE kind=:kind AND place=:place"
"""What is no row of the ledger, such as a full disk: who looks at it keeps one here (`node.ledger.conditions`)."""
_AUDIT = "SELECT 1 FROM audit_marks WHERE name=:place AND trouble IS NOT NULL"
_DEFECT = "SELECT 1 FROM defects WHERE stage=:first AND item=:rest"
_NOT_ASKED_AGAIN = (
    "SELECT 1 FROM jobs WHERE id=:place AND status<>'cancelled' AND NOT EXISTS (SELECT 1 FROM jobs AS later"
    " WHERE later.study_instance_uid=jobs.study_instance_uid AND later.rule=jobs.rule AND later.step=jobs.step"
    " AND later.subject=jobs.subject AND later.rowid>jobs.rowid AND later.status<>'cancelled')"
)
"""No later job answers the same question."""
_SAME_REVISION = (
    "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM decisions WHERE study_instance_uid=:first AND rule=:rest"
    " AND revision>json_extract(:detail, '$.revision'))"
)
_AMONG = "SELECT 1 FROM deliveries WHERE destination=:first AND study_instance_uid=:rest AND "
_COMES_AGAIN = (
    "SELECT 1 FROM instances AS bad WHERE coalesce(study_instance_uid, '')=:place AND status='{status}' AND NOT EXISTS"  # noqa: S608 - texts of ours
    " (SELECT 1 FROM instances WHERE sop_instance_uid=bad.sop_instance_uid AND rowid>bad.rowid"
    f" AND status IN ('current', 'duplicate')) AND {NOT_DISMISSED.format(row='bad')}"
)
"""Nothing right has come under the same SOP Instance UID since, and nobody has said that it stays set aside."""

_HOLDS: Mapping[AlertKind, str] = {
    AlertKind.RECEIPT_NOT_INDEXED: _DEFECT,
    AlertKind.INSTANCE_CORRECTION: _CORRECTED,
    AlertKind.INSTANCE_CONFLICT: _COMES_AGAIN.format(status="conflict"),
    AlertKind.INSTANCE_UNREADABLE: _COMES_AGAIN.format(status="unreadable"),
    AlertKind.INSTANCE_MARKED: "SELECT 1 FROM studies WHERE study_instance_uid=:place AND patient_id=''",
    AlertKind.INSTANCE_DAMAGED: f"{_NOT_ASKED_AGAIN} UNION ALL SELECT 1 FROM commitment_items AS bad"  # noqa: S608 - texts of ours
    " WHERE study_instance_uid=:place AND failure<>0 AND NOT EXISTS (SELECT 1 FROM commitment_items"
    " WHERE sop_instance_uid=bad.sop_instance_uid AND failure=0 AND commitment>bad.commitment)",
    AlertKind.SENDER_BAD_UIDS: "SELECT 1 FROM said WHERE kind='sender.bad-uids' AND place='sender:' || :place",
    AlertKind.REJECTION_IGNORED: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM rejections JOIN instances"
    " ON instances.receipt=rejections.note WHERE rejections.study_instance_uid=:place AND received_at>:last)",
    AlertKind.STUDY_HELD: "SELECT 1 FROM studies WHERE study_instance_uid=:place AND hold IS NOT NULL",
    AlertKind.STUDY_TO_WITHDRAW: "SELECT 1 FROM withdrawals WHERE study_instance_uid=:place AND status='listed'"
    " UNION ALL SELECT 1 FROM withdrawal_parts WHERE study_instance_uid=:place",
    AlertKind.STUDY_NOT_COMPLETED: _DEFECT,
    AlertKind.STUDY_NOT_LOOKED_AT: _DEFECT,
    AlertKind.STUDY_DECISION_FAILED: f"{_DEFECT} UNION ALL SELECT 1 FROM decisions WHERE outcome='waiting'"  # noqa: S608 - texts of ours
    " AND id=(SELECT max(id) FROM decisions WHERE study_instance_uid=:first AND rule=:rest)"
    " AND NOT EXISTS (SELECT 1 FROM timers WHERE study_instance_uid=:first AND rule=:rest AND kind='wait')",
    AlertKind.DECISION_IN_DOUBT: _SAME_REVISION,
    AlertKind.DECISION_PLUGIN_UNUSABLE: _SAME_REVISION,
    AlertKind.FETCH_FAILED: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM fetches WHERE source=:place"
    " AND status IN ('fetched', 'none') AND ended_at>:last)",
    AlertKind.JOB_FOLLOW_UP_FAILED: _DEFECT,
    AlertKind.JOB_OBJECTS_MISSING: _NOT_ASKED_AGAIN,
    AlertKind.JOB_POSTPONED: "SELECT 1 FROM jobs WHERE id=:place AND status IN ('queued', 'running')"
    " AND error IS NOT NULL",
    AlertKind.JOB_REFUSED: _NOT_ASKED_AGAIN,
    AlertKind.JOB_REFUSED_FOR: _NOT_ASKED_AGAIN,
    AlertKind.JOB_UNREPORTABLE: _NOT_ASKED_AGAIN,
    AlertKind.PLUGIN_NOT_COMMISSIONED: "SELECT 1 FROM commissionings WHERE passed=0"
    " AND id=(SELECT max(id) FROM commissionings WHERE plugin=:place)",
    AlertKind.PLUGIN_WITHDRAWN: "SELECT 1 FROM recalls WHERE id=CAST(:place AS INTEGER) AND ended_at IS NULL"
    " AND (listed_at IS NULL OR EXISTS (SELECT 1 FROM withdrawals WHERE recall=recalls.id"
    " AND status IN ('listed', 'sent', 'refused')))",
    AlertKind.STOP_RULE_MET: "SELECT 1 FROM stop_windows AS met WHERE id=CAST(:place AS INTEGER) AND verdict='met'"
    " AND (EXISTS (SELECT 1 FROM pauses WHERE what='suspension' AND name=:place) OR NOT EXISTS (SELECT 1"
    " FROM stop_windows AS later WHERE later.stop_rule=met.stop_rule AND later.rule=met.rule"
    " AND later.scanner=met.scanner AND later.id>met.id AND (later.verdict IS NOT NULL OR later.digest<>met.digest"
    " OR later.terms<>met.terms)))",
    AlertKind.RULE_JOBS_CANCELLED: "SELECT 1 FROM jobs WHERE rule=:place AND status='cancelled'"
    " AND error=json_extract(:detail, '$.reason')"
    " AND NOT EXISTS (SELECT 1 FROM jobs AS later WHERE later.supersedes=jobs.id)"
    " AND NOT EXISTS (SELECT 1 FROM rule_versions WHERE since>:last)",
    AlertKind.BOX_DOWN: "SELECT 1 FROM box_contacts WHERE box=:place AND down_since IS NOT NULL",
    AlertKind.BOX_PERHAPS_SENT: "SELECT 1 FROM box_doubts JOIN jobs ON jobs.id=job WHERE box=:first"
    " AND box_doubts.study_instance_uid=:rest AND answer IS NULL AND jobs.status IN ('queued', 'running')",
    AlertKind.BOX_SILENT: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM box_attempts JOIN attempts ON attempts.id=attempt"
    " WHERE box=:place AND state='answered' AND ended_at>:last)",
    AlertKind.BOX_ANSWER_UNMATCHED: "SELECT 1 FROM box_answers WHERE status='unmatched' AND box=:first"
    " AND study_instance_uid=:rest",
    AlertKind.SERVICE_DOWN: "SELECT 1 FROM service_contacts WHERE service=:place AND down_since IS NOT NULL",
    AlertKind.SERVICE_SILENT: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM service_attempts"
    " JOIN attempts ON attempts.id=attempt WHERE service=:place AND state='answered' AND ended_at>:last)",
    AlertKind.DELIVERY_WAITS: "SELECT 1 FROM deliveries WHERE destination=:place AND status='waiting'"
    " AND error=json_extract(:detail, '$.error')"
    " UNION ALL SELECT 1 FROM outages WHERE destination=:place AND why=json_extract(:detail, '$.error')",
    AlertKind.DESTINATION_DOWN: "SELECT 1 FROM outages WHERE destination=:first"
    " AND scope=CASE :rest WHEN '' THEN 'destination' ELSE :rest END AND EXISTS (SELECT 1 FROM deliveries"
    " WHERE deliveries.destination=:first AND status IN ('waiting', 'sending'))",
    AlertKind.DELIVERY_HELD: f"{_AMONG} (status='held' OR (status='sending' AND hold IS NOT NULL))",
    AlertKind.DELIVERY_DEAD: f"{_AMONG} status='dead'",
    AlertKind.DELIVERY_DELIVERED_THOUGH_HELD: f"{_AMONG} status='delivered' AND hold IS NOT NULL",
    AlertKind.FORWARD_LEFT_OUT: "SELECT 1 FROM instances WHERE study_instance_uid=:rest AND status='current'"
    " AND json_extract(marks, '$.\"' || json_extract(:detail, '$.mark') || '\"') IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE item=instances.sop_instance_uid"
    "  AND destination=:first)",
    AlertKind.IDENTITY_DIFFERS: "SELECT 1 FROM identities WHERE destination=:first AND study_instance_uid=:rest"  # noqa: S608 - texts of ours
    f" AND status='differs' AND EXISTS ({_AMONG} status='held')",
    AlertKind.IDENTITY_OVERDUE: "SELECT 1 FROM identities WHERE destination=:first AND study_instance_uid=:rest"  # noqa: S608 - texts of ours
    f" AND status='absent' AND alerted=1 AND EXISTS ({_AMONG} status IN ('waiting', 'sending'))",
    AlertKind.COMMITMENT_WAITS: "SELECT 1 FROM commitments WHERE (requester=:place OR through=:place)"
    " AND status IN ('decided', 'at_archive') AND error=json_extract(:detail, '$.error')"
    " UNION ALL SELECT 1 FROM commit_batches WHERE destination=:place AND ended_at IS NULL"
    " AND error=json_extract(:detail, '$.error')",
    AlertKind.COMMITMENT_DEAD: "SELECT 1 FROM commitments WHERE id=:place AND status='dead'",
    AlertKind.COMMITMENT_ARCHIVE_LATE: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM archive_requests JOIN commitments"
    " ON commitments.id=archive_requests.commitment WHERE through=:place AND answered_at>:last)",
    AlertKind.COMMITMENT_OVERDUE: "SELECT 1 FROM deliveries WHERE destination=:place AND commitment='overdue'"
    " AND commitment IN ('refused', 'overdue')",  # for its index
    AlertKind.COMMITMENT_REFUSED: f"{_AMONG} commitment='refused' AND commitment IN ('refused', 'overdue')",
    AlertKind.COMMITMENT_UNSUPPORTED: "SELECT 1 FROM commitment_refusers WHERE destination=:place AND required",
    AlertKind.NOTIFICATION_WAITS: "SELECT 1 FROM notifications WHERE id=:place AND status IN ('waiting', 'sending')"
    " AND error IS NOT NULL",
    AlertKind.NOTIFICATION_UNACKNOWLEDGED: "SELECT 1 FROM notifications AS unheard WHERE id=:place"
    " AND acknowledged_at IS NULL AND status<>'cancelled' AND NOT EXISTS (SELECT 1 FROM notifications"
    " WHERE job=unheard.job AND occasion IN ('superseded', 'withdrawn'))",
    AlertKind.PLUGIN_FAILING: f"SELECT max(1) FROM ({_LAST_OUTCOMES}) HAVING count(*)=3 AND min(outcome)='failed'"  # noqa: S608 - texts of ours
    " AND max(outcome)='failed'",
    AlertKind.AUDIT_BROKEN: _AUDIT,
    AlertKind.AUDIT_BEHIND: _AUDIT,
    AlertKind.DISK_LOW: _NOTED,
    AlertKind.RECEPTION_REFUSED: _NOTED,
    AlertKind.BACKLOG_HIGH: _NOTED,
    AlertKind.CERTIFICATE_ENDS: _NOTED,
    AlertKind.CERTIFICATE_ENDED: _NOTED,
    AlertKind.CALLERS_REFUSED: _NOTED,
    AlertKind.NOTIFICATION_DEAD: "SELECT 1 FROM notifications WHERE id=:place AND status='dead'",
    AlertKind.RETENTION_CLOCK: "SELECT 1 WHERE (SELECT began_at FROM retention_runs ORDER BY id DESC LIMIT 1)"
    "=json_extract(:detail, '$.last_run')",
    AlertKind.RETENTION_NO_SPACE: "SELECT 1 FROM said WHERE kind='retention.no-space' AND place=:place",
    AlertKind.ITEM_FAILED: _DEFECT,
    AlertKind.STAGE_FAILING: "SELECT 1 FROM failing_stages WHERE stage=:place",
    AlertKind.RULES_REFUSED: "SELECT 1 FROM refused_configurations WHERE file=:place",
    AlertKind.LEDGER_BEHIND_STORE: "SELECT 1 FROM reindexings WHERE ended_at IS NULL"
    " UNION ALL SELECT 1 FROM studies WHERE hold=json_extract(:detail, '$.hold')",
    AlertKind.PSEUDONYMS_KEY_LOST: "SELECT 1 WHERE :place<>(SELECT pseudonym_key FROM attempts"
    " WHERE pseudonym_key IS NOT NULL ORDER BY rowid DESC LIMIT 1)"
    " AND julianday((SELECT max(started_at) FROM attempts))"
    " - julianday((SELECT max(started_at) FROM attempts WHERE pseudonym_key=:place)) < 30",
    AlertKind.BACKUP_FAILED: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM backups WHERE folder=:place AND status='made'"
    " AND ended_at>:last)",
    AlertKind.BACKUP_OVERDUE: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM backups WHERE folder=:place AND status='made'"
    " AND ended_at>:last)",
    AlertKind.RESULTS_PERHAPS_SENT: "SELECT 1 FROM earlier_results WHERE destination=:first AND"
    " study_instance_uid=:rest AND status IN ('found', 'unknown')",
    AlertKind.FILES_MISSING: "SELECT 1 FROM file_checks WHERE id=(SELECT max(id) FROM file_checks)"
    " AND images+results>0",
}
_FILES = (AlertKind.RECEIPT_NOT_READABLE, AlertKind.COMMITMENT_UNREADABLE)
"""Their place is a file, relative to the data folder: the condition holds while it is there."""


def still_true(database: Database, kind: AlertKind, place: str, *, detail: str, last: str) -> bool:
    """Whether the condition holds at this place; `detail` (JSON) and `last` (a moment) are those of the alert's row."""
    if kind in _FILES:
        return (_folder(database) / place).exists()
    first, _, rest = place.partition(" ")
    if kind is AlertKind.LEDGER_ROW_UNREADABLE:
        now = unreadable.digest(database, place)
        return now is not None and now == json.loads(detail).get("digest")
    values = {"kind": kind, "place": place, "first": first, "rest": rest, "detail": detail, "last": last}
    return one(database, f"{_HOLDS[kind]} LIMIT 1", values) is not None


def _folder(database: Database) -> Path:
    """The data folder: the ledger is in it."""
    row = one(database, "SELECT file FROM pragma_database_list WHERE name='main'")
    assert row is not None, "every connection has its file"
    return Path(row["file"]).parent
