"""Kinds of alerts: what may need a person, in one sentence each.

An alert is a condition, and not an occurrence: it is open as long as the condition lasts, by the questions of
`node.ledger.alert_conditions`. The handbook has a page for each kind (node/handbook).
"""

from __future__ import annotations

from enum import StrEnum


class AlertSeverity(StrEnum):
    """How soon a person has to act."""

    WARNING = "warning"
    """The node goes on, or tries again; nothing is lost and no reader is misled meanwhile."""
    CRITICAL = "critical"
    """Something does not reach those who need it, or should not be where it is, until a person acts."""


class AlertKind(StrEnum):
    """What needs a person. Each is named like the event that opens it."""

    severity: AlertSeverity
    sentence: str

    def __new__(cls, value: str, severity: AlertSeverity = AlertSeverity.WARNING, sentence: str = "") -> AlertKind:
        """A member is its text, with what is known of all alerts of the kind."""
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.severity, kind.sentence = severity, sentence
        return kind

    @property
    def page(self) -> str:
        """Its page of the handbook: where it is in a checkout and in an installation alike."""
        return f"node/handbook/{self.value}.md"

    @property
    def how(self) -> str:
        """The command that shows the page, also on a server without internet."""
        return f"pacsnode alerts help {self.value}"

    # Received objects
    RECEIPT_NOT_READABLE = (
        "receipt.not-readable",
        AlertSeverity.WARNING,
        "A received file cannot be read; it stays in `incoming/`.",
    )
    RECEIPT_NOT_INDEXED = (
        "receipt.not-indexed",
        AlertSeverity.CRITICAL,
        "A received file cannot be indexed; its study is held in the end.",
    )
    INSTANCE_CORRECTION = (
        "instance.correction",
        AlertSeverity.CRITICAL,
        "Instances came again under another patient or order, and wait beside those they correct.",
    )
    INSTANCE_CONFLICT = (
        "instance.conflict",
        AlertSeverity.CRITICAL,
        "Instances came again with other content, or in a study of another patient: they are set aside.",
    )
    INSTANCE_UNREADABLE = (
        "instance.unreadable",
        AlertSeverity.WARNING,
        "Instances came whose header cannot be read: they are set aside.",
    )
    INSTANCE_MARKED = (
        "instance.marked",
        AlertSeverity.CRITICAL,
        "A study came without Patient ID; no result is made for a guessed patient.",
    )
    INSTANCE_DAMAGED = (
        "instance.damaged",
        AlertSeverity.CRITICAL,
        "Stored images are missing, or are not what was received.",
    )
    SENDER_BAD_UIDS = (
        "sender.bad-uids",
        AlertSeverity.CRITICAL,
        "A sender sends images with UIDs that no result may refer to: no plugin gets them.",
    )
    REJECTION_IGNORED = (
        "rejection.ignored",
        AlertSeverity.WARNING,
        "A rejection note names instances of another study or patient than it states, and was ignored.",
    )

    # Studies
    STUDY_HELD = (
        "study.held",
        AlertSeverity.CRITICAL,
        "Patient or order of a study are in question, or it goes round in a loop: nothing of it leaves the node.",
    )
    STUDY_TO_WITHDRAW = (
        "study.to-withdraw",
        AlertSeverity.CRITICAL,
        "Destinations have objects that should not be used any more: their images were corrected or rejected.",
    )
    STUDY_NOT_COMPLETED = (
        "study.not-completed",
        AlertSeverity.CRITICAL,
        "A study cannot be completed; it is tried again.",
    )
    STUDY_NOT_LOOKED_AT = (
        "study.not-looked-at",
        AlertSeverity.WARNING,
        "An early look at a study failed; it is tried again.",
    )
    STUDY_DECISION_FAILED = "study.decision-failed", AlertSeverity.CRITICAL, "The rules could not decide on a study."
    DECISION_IN_DOUBT = (
        "decision.in-doubt",
        AlertSeverity.WARNING,
        "A rule calls a missing value an error, and the value is missing.",
    )
    DECISION_PLUGIN_UNUSABLE = (
        "decision.plugin-unusable",
        AlertSeverity.CRITICAL,
        "A rule matched, and its plugin cannot be used: the job will fail.",
    )
    FETCH_FAILED = "fetch.failed", AlertSeverity.WARNING, "An archive did not send images that a rule or a job needs."

    # Jobs
    JOB_FOLLOW_UP_FAILED = (
        "job.follow-up-failed",
        AlertSeverity.CRITICAL,
        "The steps after a job could not be decided on.",
    )
    JOB_OBJECTS_MISSING = (
        "job.objects-missing",
        AlertSeverity.WARNING,
        "Some objects of a result could not be written; the others were sent, and the report says so.",
    )
    JOB_POSTPONED = (
        "job.postponed",
        AlertSeverity.WARNING,
        "The node cannot carry out an attempt of a job, and tries again.",
    )
    JOB_REFUSED = (
        "job.refused",
        AlertSeverity.CRITICAL,
        "A result could not be reported as it is; a report says so in its place.",
    )
    JOB_REFUSED_FOR = "job.refused-for", AlertSeverity.CRITICAL, "Some destinations get no report of a result."
    JOB_UNREPORTABLE = (
        "job.unreportable",
        AlertSeverity.CRITICAL,
        "No object could be made for a job: no reader sees that it ended.",
    )

    PLUGIN_NOT_COMMISSIONED = (
        "plugin.not-commissioned",
        AlertSeverity.CRITICAL,
        "A plugin says something else of its examples than it has to: its jobs wait.",
    )
    PLUGIN_FAILING = (
        "plugin.failing",
        AlertSeverity.CRITICAL,
        "The last three jobs of a plugin all failed: it is the plugin, or what it needs, and not a study.",
    )
    PLUGIN_WITHDRAWN = (
        "plugin.withdrawn",
        AlertSeverity.CRITICAL,
        "A version of a plugin was withdrawn, and destinations have results of it.",
    )
    STOP_RULE_MET = (
        "plugin.stop-rule-met",
        AlertSeverity.CRITICAL,
        "A plugin fails, is late or finds something more or less often at a scanner than a stop rule allows.",
    )
    RULE_JOBS_CANCELLED = (
        "rule.jobs-cancelled",
        AlertSeverity.WARNING,
        "Jobs that waited for their turn were cancelled, because their rule was disabled or removed.",
    )

    # Boxes
    BOX_DOWN = "box.down", AlertSeverity.CRITICAL, "A vendor's box has not been reached for ten minutes."
    BOX_PERHAPS_SENT = (
        "box.perhaps-sent",
        AlertSeverity.CRITICAL,
        "After a restore, a vendor's box may have the images of a job: nothing is sent to it until a person says so.",
    )
    BOX_SILENT = (
        "box.silent",
        AlertSeverity.CRITICAL,
        "A vendor's box did not answer by the deadline, or not completely.",
    )
    BOX_ANSWER_UNMATCHED = (
        "box.answer-unmatched",
        AlertSeverity.CRITICAL,
        "A vendor's box sent objects that belong to nothing it was sent, or that came too late: a person decides.",
    )

    # Web services
    SERVICE_DOWN = "service.down", AlertSeverity.CRITICAL, "A web service has not been reached for ten minutes."
    SERVICE_SILENT = "service.silent", AlertSeverity.CRITICAL, "A web service did not answer by the deadline."

    # Deliveries
    DELIVERY_WAITS = (
        "delivery.waits",
        AlertSeverity.WARNING,
        "A destination does not accept associations from this node.",
    )
    DESTINATION_DOWN = (
        "destination.down",
        AlertSeverity.CRITICAL,
        "A destination has not been reached for ten minutes; all that goes there waits.",
    )
    DELIVERY_HELD = "delivery.held", AlertSeverity.CRITICAL, "Objects for a destination wait for a person's decision."
    DELIVERY_DEAD = "delivery.dead", AlertSeverity.CRITICAL, "Objects for a destination were given up."
    DELIVERY_DELIVERED_THOUGH_HELD = (
        "delivery.delivered-though-held",
        AlertSeverity.CRITICAL,
        "A destination stored an object that was held while it was being sent.",
    )
    FORWARD_LEFT_OUT = (
        "forward.left-out",
        AlertSeverity.WARNING,
        "Images of a study are not forwarded, because their headers cannot be read.",
    )
    IDENTITY_DIFFERS = (
        "identity.differs",
        AlertSeverity.CRITICAL,
        "A destination has a study under another patient or order.",
    )
    IDENTITY_OVERDUE = (
        "identity.overdue",
        AlertSeverity.CRITICAL,
        "A destination has not had a study for longer than `wait_for_study`; the results wait.",
    )

    # Storage commitment
    COMMITMENT_UNREADABLE = (
        "commitment.unreadable",
        AlertSeverity.WARNING,
        "A message of storage commitment cannot be read, and gets no report.",
    )
    COMMITMENT_WAITS = (
        "commitment.waits",
        AlertSeverity.WARNING,
        "A peer rejects the association for a report or a question of storage commitment.",
    )
    COMMITMENT_DEAD = "commitment.dead", AlertSeverity.WARNING, "A report of storage commitment was given up."
    COMMITMENT_ARCHIVE_LATE = (
        "commitment.archive-late",
        AlertSeverity.WARNING,
        "An archive did not commit itself in time: instances were reported as failed.",
    )

    COMMITMENT_OVERDUE = (
        "commitment.overdue",
        AlertSeverity.WARNING,
        "A destination did not commit itself in time to keeping what it has taken; it is still asked.",
    )
    COMMITMENT_REFUSED = (
        "commitment.refused",
        AlertSeverity.CRITICAL,
        "A destination says that it does not keep objects of a study that it has taken.",
    )
    COMMITMENT_UNSUPPORTED = (
        "commitment.unsupported",
        AlertSeverity.WARNING,
        "A destination does not accept storage commitment, which the configuration requires of it.",
    )

    # People
    NOTIFICATION_WAITS = (
        "notification.waits",
        AlertSeverity.WARNING,
        "A notification did not reach its person; it is tried again.",
    )
    NOTIFICATION_DEAD = "notification.dead", AlertSeverity.CRITICAL, "A notification was given up."

    # Retention
    RETENTION_CLOCK = (
        "retention.clock",
        AlertSeverity.CRITICAL,
        "By the clock retention has not run for weeks: nothing is deleted by age until a person says that it is right.",
    )
    RETENTION_NO_SPACE = (
        "retention.no-space",
        AlertSeverity.CRITICAL,
        "Less space is free than `retention.below`, and what is left may not be removed.",
    )

    # The audit trail
    AUDIT_BROKEN = (
        "audit.broken",
        AlertSeverity.CRITICAL,
        "The audit trail is not what was written: something was changed, removed or inserted.",
    )
    AUDIT_BEHIND = (
        "audit.behind",
        AlertSeverity.WARNING,
        "The syslog server has not taken audit messages for ten minutes; they wait.",
    )

    # The node
    NOTIFICATION_UNACKNOWLEDGED = (
        "notification.unacknowledged",
        AlertSeverity.CRITICAL,
        "Nobody has acknowledged a notification, and there is nobody left to notify.",
    )
    ITEM_FAILED = "item.failed", AlertSeverity.CRITICAL, "Handling an item raised an unexpected exception."
    STAGE_FAILING = "stage.failing", AlertSeverity.CRITICAL, "A stage fails as a whole and does no work."
    RULES_REFUSED = (
        "rules.refused",
        AlertSeverity.WARNING,
        "A changed configuration was refused; the one before stays in force.",
    )
    LEDGER_BEHIND_STORE = (
        "ledger.behind-store",
        AlertSeverity.CRITICAL,
        "The ledger did not know images that are stored; they are indexed again, and their studies are held.",
    )
    PSEUDONYMS_KEY_LOST = (
        "pseudonyms.key-lost",
        AlertSeverity.CRITICAL,
        "Plugins get other pseudonyms than before: the secret that they are made with is another.",
    )
    LEDGER_ROW_UNREADABLE = (
        "ledger.row-unreadable",
        AlertSeverity.CRITICAL,
        "A row of the ledger cannot be read: what it is about does not go on, all else does.",
    )
    FILES_MISSING = (
        "files.missing",
        AlertSeverity.CRITICAL,
        "Files that the ledger names were missing after an upgrade.",
    )
    BACKUP_FAILED = "backup.failed", AlertSeverity.CRITICAL, "The last backup failed."
    BACKUP_OVERDUE = "backup.overdue", AlertSeverity.CRITICAL, "No backup was made for too long."
    RESULTS_PERHAPS_SENT = (
        "results.perhaps-sent",
        AlertSeverity.CRITICAL,
        "After a restore, a destination may have results of a study already: nothing is sent until a person says so.",
    )

    # The machine and who calls
    DISK_LOW = "disk.low", AlertSeverity.WARNING, "The disk of the data folder is nearly full."
    RECEPTION_REFUSED = (
        "reception.refused",
        AlertSeverity.CRITICAL,
        "Modalities are refused for now: the disk is full or cannot be written, or too much waits to be indexed.",
    )
    BACKLOG_HIGH = "backlog.high", AlertSeverity.WARNING, "More comes than is done: work has been waiting for long."
    CERTIFICATE_ENDS = (
        "certificate.ends",
        AlertSeverity.WARNING,
        "A certificate of the node, or a list of revoked ones, ends within 30 days.",
    )
    CERTIFICATE_ENDED = (
        "certificate.ended",
        AlertSeverity.CRITICAL,
        "A certificate of the node, or a list of revoked ones, has ended: peers refuse it.",
    )
    CALLERS_REFUSED = (
        "callers.refused",
        AlertSeverity.WARNING,
        "A caller is refused again and again: a modality that is not entered, or entered wrongly.",
    )
