"""Kinds of events: what may happen, in one sentence each.

A kind is `aggregate.what-happened`. Its severity is what an event of it has unless the transition says otherwise. Its
audit code says which message of the audit trail it becomes (PS3.15 A.5), where one fits. Ledgers of earlier releases
may have events of kinds that are not here: the kind of an event that is read is text.
"""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """Who should read an event."""

    INFO = "info"
    """Part of the record."""
    WARNING = "warning"
    """Worth a look. What needs a person is an alert, too (`node.ledger.alerts`)."""


class AuditCode(StrEnum):
    """Event IDs of audit messages, as DCM code values (PS3.15 A.5.3, PS3.16 CID 400)."""

    APPLICATION_ACTIVITY = "110100"
    """Application Activity."""
    AUDIT_LOG_USED = "110101"
    """Audit Log Used."""
    BEGIN_TRANSFERRING = "110102"
    """Begin Transferring DICOM Instances."""
    INSTANCES_ACCESSED = "110103"
    """DICOM Instances Accessed."""
    INSTANCES_TRANSFERRED = "110104"
    """DICOM Instances Transferred."""
    STUDY_DELETED = "110105"
    """DICOM Study Deleted."""
    PATIENT_RECORD = "110110"
    """Patient Record."""
    QUERY = "110112"
    """Query."""
    SECURITY_ALERT = "110113"
    """Security Alert: for a changed configuration, too."""
    USER_AUTHENTICATION = "110114"
    """User Authentication: logging in and out."""


class EventKind(StrEnum):
    """What happened."""

    sentence: str
    severity: Severity
    audit: AuditCode | None

    def __new__(
        cls, value: str, sentence: str = "", severity: Severity = Severity.INFO, audit: AuditCode | None = None
    ) -> EventKind:
        """A member is its text, with what is known of all events of the kind."""
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.sentence, kind.severity, kind.audit = sentence, severity, audit
        return kind

    # Received objects
    RECEIPT_NOT_READABLE = (
        "receipt.not-readable",
        "A received file could not be read as DICOM, and stays in `incoming/`.",
        Severity.WARNING,
    )
    RECEIPT_NOT_INDEXED = (
        "receipt.not-indexed",
        "Indexing a received file raised an unexpected exception.",
        Severity.WARNING,
    )
    INSTANCE_DUPLICATE = "instance.duplicate", "Instances were received again with the same content."
    INSTANCE_OWN = "instance.own", "Objects that this node made came back; they trigger nothing."
    INSTANCE_ANSWER = "instance.answer", "Objects came that are a vendor's box's answer; they trigger nothing."
    INSTANCE_REJECTED = (
        "instance.rejected",
        "Instances arrived that a rejection note had named before.",
        Severity.WARNING,
    )
    INSTANCE_CORRECTION = (
        "instance.correction",
        "The same pixels arrived again under another patient or order.",
        Severity.WARNING,
    )
    INSTANCE_CONFLICT = (
        "instance.conflict",
        "An instance arrived again with other content, or in a study of another patient: it is set aside.",
        Severity.WARNING,
    )
    INSTANCE_UNREADABLE = (
        "instance.unreadable",
        "Instances arrived whose header cannot be read: they are set aside.",
        Severity.WARNING,
    )
    INSTANCE_MARKED = "instance.marked", "Instances were noticed to be unusual.", Severity.WARNING
    INSTANCE_DAMAGED = (
        "instance.damaged",
        "A stored image is missing, or is not what was received.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    SENDER_BAD_UIDS = (
        "sender.bad-uids",
        "A sender sent images with UIDs that no result may refer to.",
        Severity.WARNING,
    )
    INSTANCES_REJECTED = "instances.rejected", "A rejection note took instances out of use.", Severity.WARNING
    REJECTION_IGNORED = (
        "rejection.ignored",
        "A rejection note named instances of another study or patient than it states.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )

    # Studies
    STUDY_UPLOADED = (
        "study.uploaded",
        "A person gave images of the study in the console.",
        Severity.INFO,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    STUDY_FIRST_RECEIVED = (
        "study.first-received",
        "The first instance of the study arrived.",
        Severity.INFO,
        AuditCode.BEGIN_TRANSFERRING,
    )
    STUDY_GROWS = (
        "study.grows",
        "More of a study arrived after it was complete.",
        Severity.INFO,
        AuditCode.BEGIN_TRANSFERRING,
    )
    SERIES_COMPLETE = "series.complete", "Nothing more of the series is arriving."
    STUDY_COMPLETE = (
        "study.complete",
        "Everything received is indexed and the quiet period is over: a new revision.",
        Severity.INFO,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    STUDY_ENDED = "study.ended", "A person said that nothing more of the study comes: it is completed now."
    RULE_WAIT_ENDED = "rule.wait-ended", "A person ended the wait of a rule: it decides as at its deadline."
    STUDY_REOPENED = "study.reopened", "A correction or a rejection makes a new revision necessary."
    STUDY_LOOKED_AT = "study.looked-at", "Rules saw the study while it was still growing."
    STUDY_DECIDED = "study.decided", "The rules have decided on the revision."
    STUDY_HELD = (
        "study.held",
        "Patient or order are in question: nothing of the study leaves the node.",
        Severity.WARNING,
    )
    STUDY_VIEWED = (
        "study.viewed",
        "A person looked at what the node has of the study.",
        Severity.INFO,
        AuditCode.INSTANCES_ACCESSED,
    )
    STUDY_RELEASED = "study.released", "A person released the study."
    STUDY_CORRECTED = (
        "study.corrected",
        "Corrected instances took the place of those they correct.",
        Severity.WARNING,
        AuditCode.PATIENT_RECORD,
    )
    STUDY_TO_WITHDRAW = (
        "study.to-withdraw",
        "Destinations have objects that should not be used any more.",
        Severity.WARNING,
    )
    STUDY_WITHDRAWAL_DISMISSED = (
        "study.withdrawal-dismissed",
        "A person saw to what was listed for withdrawal at destinations.",
    )
    STUDY_WITHDRAWAL_DONE = (
        "study.withdrawal-done",
        "A person took out at destinations what was listed for withdrawal.",
        Severity.INFO,
        AuditCode.PATIENT_RECORD,
    )
    STUDY_DISMISSED = "study.dismissed", "A person looked at what was set aside of the study, and leaves it so."
    STUDY_NOT_COMPLETED = (
        "study.not-completed",
        "Completing the study raised an unexpected exception.",
        Severity.WARNING,
    )
    STUDY_NOT_LOOKED_AT = (
        "study.not-looked-at",
        "An early look at the study raised an unexpected exception.",
        Severity.WARNING,
    )
    STUDY_DECISION_FAILED = "study.decision-failed", "The rules could not decide on the study.", Severity.WARNING

    STUDY_PURGING = "study.purging", "Retention began to remove the images of the study."
    STUDY_GONE = (
        "study.gone",
        "The images of the study were removed; what there was is kept as a line a series.",
        Severity.INFO,
        AuditCode.STUDY_DELETED,
    )
    WITHDRAWAL_OF_GONE = (
        "withdrawal.of-gone-images",
        "Images turned out wrong that were forwarded before retention removed them: see to it at the destinations.",
        Severity.WARNING,
    )
    JOB_IMAGES_AGAIN = "job.images-again", "Images of the job that had been removed are here again."
    FETCH_IMAGES_ASKED = "fetch.images-asked", "An archive is to be asked for removed images that a job needs."
    STUDY_CAME_AGAIN = "study.came-again", "Images of a study arrived whose images had been removed."

    # Decisions
    DECISION_NOT_MATCHED = "decision.not-matched", "A clause of the rule failed, or no series was left to choose."
    DECISION_MATCHED = "decision.matched", "The rule matched."
    DECISION_WAITING = "decision.waiting", "The rule waits for more of the study."
    DECISION_UNCHANGED = "decision.unchanged", "The rule matched, on inputs that it has had jobs for."
    DECISION_IN_DOUBT = (
        "decision.in-doubt",
        "The rule calls a missing value an error, and the value is missing.",
        Severity.WARNING,
    )
    DECISION_PLUGIN_UNUSABLE = (
        "decision.plugin-unusable",
        "The rule matched, and its plugin cannot be used.",
        Severity.WARNING,
    )
    DECISION_PRIOR = (
        "decision.prior",
        "The search for an earlier study is over, and the jobs that waited for it are made.",
    )
    DECISION_FOLLOW_UP = "decision.follow-up", "A step has its result: it was decided whether the next step runs."
    FETCH_ASKED = "fetch.asked", "A rule wants an earlier study."
    FETCH_REQUESTED = (
        "fetch.requested",
        "The archive was asked to send an earlier study.",
        Severity.INFO,
        AuditCode.QUERY,
    )
    FETCH_SENT = (
        "fetch.sent",
        "The archive says that it has sent an earlier study.",
        Severity.INFO,
        AuditCode.BEGIN_TRANSFERRING,
    )
    FETCH_WAITS = "fetch.waits", "The archive did not answer; it is asked again.", Severity.WARNING
    FETCH_FETCHED = "fetch.fetched", "The earlier study is here.", Severity.INFO, AuditCode.INSTANCES_TRANSFERRED
    FETCH_NONE = "fetch.none", "The archive has no earlier study that will do.", Severity.INFO, AuditCode.QUERY
    FETCH_FAILED = (
        "fetch.failed",
        "The earlier study did not arrive in time, or is not the one that was wanted.",
        Severity.WARNING,
    )

    # Jobs
    JOB_QUEUED = "job.queued", "A rule made the job."
    JOB_AGAIN = "job.again", "A person had the job done again."
    JOB_STARTED = "job.started", "An attempt began.", Severity.INFO, AuditCode.INSTANCES_ACCESSED
    ATTEMPT_RUNNING = "attempt.running", "The plugin of an attempt runs."
    BOX_SENT = (
        "box.sent",
        "A vendor's box has all images of an attempt.",
        Severity.INFO,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    BOX_ANSWERED = "box.answered", "Objects came from a vendor's box that belong to an attempt."
    BOX_SILENT = "box.silent", "A vendor's box did not answer by the deadline.", Severity.WARNING
    BOX_PERHAPS_SENT = (
        "box.perhaps-sent",
        "After a restore, a vendor's box may have the images of a job.",
        Severity.WARNING,
    )
    BOX_DOWN = "box.down", "A vendor's box cannot be reached.", Severity.WARNING
    BOX_ANSWER_UNMATCHED = (
        "box.answer-unmatched",
        "Objects came from a vendor's box that belong to no open attempt.",
        Severity.WARNING,
    )
    BOX_ANSWER_GIVEN = "box.answer-given", "A person said which job objects from a vendor's box belong to."
    BOX_ANSWER_DISMISSED = "box.answer-dismissed", "A person said that objects from a vendor's box answer nothing."
    RESULT_ASSESSED = "result.assessed", "A person gave a verdict on a result, or on a finding of it."
    SERVICE_SENT = (
        "service.sent",
        "A web service has all images of an attempt.",
        Severity.INFO,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    SERVICE_FORGOT = (
        "service.forgot",
        "A web service does not know an attempt any more that it had taken; it is submitted again.",
        Severity.WARNING,
    )
    SERVICE_SILENT = "service.silent", "A web service did not answer by the deadline.", Severity.WARNING
    SERVICE_DOWN = "service.down", "A web service cannot be reached.", Severity.WARNING
    JOB_ATTEMPT_FAILED = "job.attempt-failed", "An attempt failed, and another one follows.", Severity.WARNING
    JOB_POSTPONED = "job.postponed", "The node could not carry out an attempt, which is not counted.", Severity.WARNING
    JOB_OUTSIDE_HOURS = "job.outside-hours", "The job waits for the hours in which its plugin may run."
    JOB_INTERRUPTED = "job.interrupted", "The node was stopped during an attempt, which is not counted."
    JOB_ENDED = "job.ended", "The job has its outcome."
    JOB_FOLLOW_UP_FAILED = (
        "job.follow-up-failed",
        "Deciding on the steps after this job raised an unexpected exception.",
        Severity.WARNING,
    )
    JOB_OUTSIDE_ENVELOPE = (
        "job.outside-envelope",
        "The images are not known to be like those that the plugin was validated on.",
        Severity.WARNING,
    )
    JOB_TEXT_REPLACED = (
        "job.text-replaced",
        "Text of a result named the patient; the name or number was replaced.",
        Severity.WARNING,
    )
    JOB_OBJECTS_TOLD = (
        "job.objects-told",
        "DICOM objects that the plugin returned are not sent, or refer to what it was not given.",
        Severity.WARNING,
    )
    JOB_OBJECTS_ODD = (
        "job.objects-odd",
        "DICOM objects that the plugin returned differ from the Standard; they are sent anyway.",
        Severity.WARNING,
    )
    JOB_SOURCE_CHANGED = (
        "job.source-changed",
        "Descriptive attributes of the images were repaired or left out of the result's objects.",
    )
    JOB_WITHHELD = "job.withheld", "The rule does not want the result sent to a destination."
    JOB_ENCODING = "job.encoding", "The making of the result's objects began."
    JOB_OBJECTS_MISSING = "job.objects-missing", "Some objects of a result could not be written.", Severity.WARNING
    JOB_REFUSED = (
        "job.refused",
        "The result could not be reported as it is: a report says so in its place.",
        Severity.WARNING,
    )
    JOB_REFUSED_FOR = "job.refused-for", "Some destinations get no report of the result.", Severity.WARNING
    JOB_REPORTED = "job.reported", "The objects of the result are in the outbox."
    JOB_UNREPORTABLE = "job.unreportable", "No object could be made for the job.", Severity.WARNING
    JOB_WITHDRAWN = (
        "job.withdrawn",
        "The version of the plugin was withdrawn: the job and its result do not stand.",
        Severity.WARNING,
        AuditCode.PATIENT_RECORD,
    )
    JOB_CANCELLED = "job.cancelled", "The job was stopped before it was reported."

    RULE_JOBS_CANCELLED = (
        "rule.jobs-cancelled",
        "Queued jobs were cancelled, because their rule was disabled or removed.",
        Severity.WARNING,
    )

    # Deliveries
    DELIVERY_ENQUEUED = "delivery.enqueued", "An object is to be sent to a destination."
    DELIVERY_WITHHELD = (
        "delivery.withheld",
        "An object is not sent, because the rule does not want it or it is too late.",
    )
    DELIVERY_SENDING = "delivery.sending", "A C-STORE began.", Severity.INFO, AuditCode.BEGIN_TRANSFERRING
    DELIVERY_DELIVERED = (
        "delivery.delivered",
        "The destination has stored the object.",
        Severity.INFO,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    DELIVERY_DELIVERED_THOUGH_HELD = (
        "delivery.delivered-though-held",
        "An object that was held while it was being sent was stored.",
        Severity.WARNING,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    DELIVERY_WAITS = "delivery.waits", "An object could not be sent now, for a new reason.", Severity.WARNING
    DELIVERY_DEAD = "delivery.dead", "An object was given up: a dead letter.", Severity.WARNING
    DELIVERY_HELD = "delivery.held", "An object waits for a person's decision.", Severity.WARNING
    DELIVERY_CANCELLED = "delivery.cancelled", "An object is not sent any more."
    DELIVERY_SUPERSEDED = "delivery.superseded", "A newer result took the object's place before it was sent."
    DELIVERY_AGAIN = "delivery.again", "A person had the object sent."
    DELIVERY_NOT_KEPT = (
        "delivery.not-kept",
        "The destination does not have an object that it had taken; it is sent again.",
        Severity.WARNING,
    )
    DELIVERY_CLASS_REFUSED = "delivery.class-refused", "The destination refused the SOP class of the report."
    DELIVERY_REPLACED = "delivery.replaced", "A report took its place in another SOP class.", Severity.WARNING
    FORWARD_ENQUEUED = "forward.enqueued", "Received images are to be forwarded."
    FORWARD_LEFT_OUT = (
        "forward.left-out",
        "Received images are not forwarded, because their headers cannot be read.",
        Severity.WARNING,
    )
    FORWARD_CONTENT_NOT_COERCED = (
        "forward.content-not-coerced",
        "Reports or documents are forwarded with other attributes, and with the names that their content has.",
        Severity.WARNING,
    )
    FORWARD_WAITS = "forward.waits", "Received images could not be forwarded now, for a new reason.", Severity.WARNING
    FORWARD_DEAD = "forward.dead", "The forwarding of received images was given up: dead letters.", Severity.WARNING
    FORWARD_DONE = (
        "forward.done",
        "No image of the study is on its way to the destination any more.",
        Severity.INFO,
        AuditCode.INSTANCES_TRANSFERRED,
    )
    FORWARD_AGAIN = "forward.again", "A person had held and dead images forwarded."
    FORWARD_CANCELLED = "forward.cancelled", "A person stopped the forwarding of images."
    IDENTITY_ABSENT = (
        "identity.absent",
        "The destination does not have the study, or could not be asked.",
        Severity.INFO,
        AuditCode.QUERY,
    )
    IDENTITY_AGREES = (
        "identity.agrees",
        "The destination has the study under the same patient and order.",
        Severity.INFO,
        AuditCode.QUERY,
    )
    IDENTITY_DIFFERS = (
        "identity.differs",
        "The destination has the study under another patient or order.",
        Severity.WARNING,
        AuditCode.QUERY,
    )
    IDENTITY_ADOPTED = (
        "identity.adopted",
        "The results are re-encoded under the patient and order that the destination has.",
        Severity.WARNING,
        AuditCode.PATIENT_RECORD,
    )
    IDENTITY_OVERDUE = (
        "identity.overdue",
        "The destination has not had the study for longer than `wait_for_study`.",
        Severity.WARNING,
    )

    # Storage commitment
    COMMITMENT_REQUESTED = "commitment.requested", "Storage commitment was requested."
    COMMITMENT_REPEATED = "commitment.repeated", "A request came again that is not reported yet."
    COMMITMENT_DUPLICATE_TRANSACTION = (
        "commitment.duplicate-transaction",
        "A request came with the Transaction UID of another one: it is answered as failed.",
        Severity.WARNING,
    )
    COMMITMENT_UNREADABLE = (
        "commitment.unreadable",
        "A message of storage commitment cannot be read, and is set aside.",
        Severity.WARNING,
    )
    COMMITMENT_UNKNOWN_REPORT = (
        "commitment.unknown-report",
        "An archive reported on a transaction that it was not asked about.",
        Severity.WARNING,
    )
    COMMITMENT_STORED_HERE = "commitment.stored-here", "The instances are stored here; the archive is asked next."
    COMMITMENT_ARCHIVE_ASKED = "commitment.archive-asked", "The archive was asked for its commitment."
    COMMITMENT_ARCHIVE_ANSWERED = "commitment.archive-answered", "The archive answered."
    COMMITMENT_ARCHIVE_LATE = (
        "commitment.archive-late",
        "The archive did not commit in time: the instances are reported as failed.",
        Severity.WARNING,
    )
    COMMITMENT_DECIDED = "commitment.decided", "What is reported of each instance is decided."
    COMMITMENT_OFFERED = "commitment.offered", "The report was left with the receiver that holds the association."
    COMMITMENT_ASSOCIATION_ENDED = (
        "commitment.association-ended",
        "The association of the request ended before the report.",
    )
    COMMITMENT_REPORTED = "commitment.reported", "The requester has taken the report."
    COMMITMENT_WAITS = (
        "commitment.waits",
        "The report, or the question to the archive, could not be sent now.",
        Severity.WARNING,
    )
    COMMITMENT_DEAD = "commitment.dead", "The report was given up.", Severity.WARNING
    COMMITMENT_AGAIN = "commitment.again", "A person had the request decided and reported again."
    DELIVERY_COMMITTED = "delivery.committed", "The destination has committed itself to keeping the object."
    COMMITMENT_OVERDUE = (
        "commitment.overdue",
        "The destination did not commit itself in time to what it has taken; it is still asked.",
        Severity.WARNING,
    )
    COMMITMENT_REFUSED = (
        "commitment.refused",
        "The destination says that it does not keep what it has taken.",
        Severity.WARNING,
    )
    COMMITMENT_UNSUPPORTED = (
        "commitment.unsupported",
        "The destination does not accept storage commitment; nothing is asked of it meanwhile.",
        Severity.WARNING,
    )
    COMMITMENT_SUPPORTED = "commitment.supported", "The destination accepts storage commitment now."
    COMMITMENT_NOT_WANTED = (
        "commitment.not-wanted",
        "Nobody waits for the destination's commitment to the objects any more.",
    )
    COMMITMENT_ASK_AGAIN = "commitment.ask-again", "A person had the destination asked for its commitment again."

    # People
    NOTIFICATION_ENQUEUED = "notification.enqueued", "A person is to be notified."
    NOTIFICATION_SENDING = "notification.sending", "An attempt to notify began."
    NOTIFICATION_TAKEN = "notification.taken", "A channel has taken the notification."
    NOTIFICATION_SENT = "notification.sent", "All channels of the person have taken the notification."
    NOTIFICATION_WAITS = (
        "notification.waits",
        "The notification could not be sent now, for a new reason.",
        Severity.WARNING,
    )
    NOTIFICATION_DEAD = "notification.dead", "The notification was given up.", Severity.WARNING
    NOTIFICATION_CANCELLED = "notification.cancelled", "The notification has no ground any more."
    NOTIFICATION_AGAIN = "notification.again", "A person had the notification sent."
    NOTIFICATION_ACKNOWLEDGED = "notification.acknowledged", "A person has acknowledged the notification."
    NOTIFICATION_ESCALATED = (
        "notification.escalated",
        "Nobody acknowledged the notification in time: the next person is notified.",
        Severity.WARNING,
    )

    # Retention
    INSTANCES_GONE = "instances.gone", "Received files that belong to no study were removed."
    JOB_FILES_GONE = "job.files-gone", "Answer, log and objects of the job were removed from the disk."
    RETENTION_RAN = "retention.ran", "Retention removed what was old enough and not needed."
    RETENTION_CLOCK = (
        "retention.clock",
        "Retention did not begin, because by the clock it has not run for weeks.",
        Severity.WARNING,
    )
    RETENTION_NO_SPACE = (
        "retention.no-space",
        "Less space is free than `retention.below`, and nothing more may be removed.",
        Severity.WARNING,
    )

    # Users of the console
    USER_LOGGED_IN = (
        "user.logged-in",
        "A user logged in to the console.",
        Severity.INFO,
        AuditCode.USER_AUTHENTICATION,
    )
    USER_LOGGED_OUT = (
        "user.logged-out",
        "A user logged out of the console.",
        Severity.INFO,
        AuditCode.USER_AUTHENTICATION,
    )
    USER_REFUSED = (
        "user.refused",
        "Somebody gave a wrong name or password at the console.",
        Severity.WARNING,
        AuditCode.USER_AUTHENTICATION,
    )
    USER_ADDED = "user.added", "A user of the console was added.", Severity.INFO, AuditCode.SECURITY_ALERT
    USER_CHANGED = (
        "user.changed",
        "A user of the console got another role, was disabled, or was enabled.",
        Severity.INFO,
        AuditCode.SECURITY_ALERT,
    )
    USER_PASSWORD = (
        "user.password",
        "A user of the console got or chose another password.",
        Severity.INFO,
        AuditCode.SECURITY_ALERT,
    )
    USER_REMOVED = "user.removed", "A user of the console was removed.", Severity.INFO, AuditCode.SECURITY_ALERT

    # The audit trail
    AUDIT_USED = "audit.used", "A person read the audit trail.", Severity.INFO, AuditCode.AUDIT_LOG_USED
    AUDIT_CHECKPOINT = (
        "audit.checkpoint",
        "The audit trail was checked as far as this entry, whose digest is recorded.",
        Severity.INFO,
        AuditCode.AUDIT_LOG_USED,
    )
    AUDIT_BROKEN = (
        "audit.broken",
        "The audit trail is not what was written: something was changed, removed or inserted.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    AUDIT_BEHIND = (
        "audit.behind",
        "The syslog server has not taken audit messages for ten minutes; they wait.",
        Severity.WARNING,
    )

    # The node
    NODE_STARTED = "node.started", "The node started.", Severity.INFO, AuditCode.APPLICATION_ACTIVITY
    NODE_STOPPED = "node.stopped", "The node stopped.", Severity.INFO, AuditCode.APPLICATION_ACTIVITY
    ALERT_CLOSED = "alert.closed", "The condition of an alert is over."
    ALERT_ACKNOWLEDGED = "alert.acknowledged", "A person has taken note of an alert."
    ITEM_FAILED = "item.failed", "Handling an item raised an unexpected exception.", Severity.WARNING
    ITEM_PARKED = "item.parked", "An item is given up after repeated unexpected exceptions.", Severity.WARNING
    ITEM_RECOVERED = "item.recovered", "An item that had failed was handled."
    ITEM_AGAIN = "item.again", "A person had an item tried again."
    STAGE_FAILING = "stage.failing", "A stage fails as a whole, repeatedly.", Severity.WARNING
    STAGE_FAILS_NO_MORE = "stage.fails-no-more", "A stage that failed works again."
    RULES_IN_FORCE = (
        "rules.in-force",
        "A version of the rules came into force.",
        Severity.INFO,
        AuditCode.SECURITY_ALERT,
    )
    RULES_REFUSED = "rules.refused", "A changed configuration was refused.", Severity.WARNING
    CONFIGURATION_IN_FORCE = (
        "configuration.in-force",
        "A changed configuration came into force.",
        Severity.INFO,
        AuditCode.SECURITY_ALERT,
    )
    CONFIGURATION_WRITTEN = (
        "configuration.written",
        "A person wrote a file of the configuration in the console.",
        Severity.INFO,
        AuditCode.SECURITY_ALERT,
    )
    CONFIGURATION_NEEDS_RESTART = (
        "configuration.needs-restart",
        "A change of the configuration takes effect after a restart.",
        Severity.WARNING,
    )
    LEDGER_BEHIND_STORE = (
        "ledger.behind-store",
        "The store holds images that the ledger does not know: they are indexed again.",
        Severity.WARNING,
    )
    PSEUDONYMS_KEY_LOST = (
        "pseudonyms.key-lost",
        "A plugin gets pseudonyms that are made with another secret than those before.",
        Severity.WARNING,
    )
    LEDGER_ROW_UNREADABLE = (
        "ledger.row-unreadable",
        "A row of the ledger cannot be read: what it is about does not go on.",
        Severity.WARNING,
    )
    LEDGER_CAUGHT_UP = "ledger.caught-up", "All images that the ledger did not know are indexed again."
    PLUGIN_PAUSED = (
        "plugin.paused",
        "A person paused a plugin: its jobs stay queued.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    PLUGIN_COMMISSIONED = "plugin.commissioned", "A plugin says of its examples what it has to say: its jobs run."
    PLUGIN_NOT_COMMISSIONED = (
        "plugin.not-commissioned",
        "A plugin says something else of its examples than it has to: its jobs wait.",
        Severity.WARNING,
    )
    PLUGIN_RESUMED = "plugin.resumed", "A paused plugin goes on.", Severity.INFO, AuditCode.SECURITY_ALERT
    PLUGIN_WITHDRAWN = (
        "plugin.withdrawn",
        "A person withdrew a version of a plugin: it runs no more, and its results do not stand.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    PLUGIN_REINSTATED = (
        "plugin.reinstated",
        "A person took the withdrawal of a version back: it may run again.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    REJECTION_NOTE_MADE = (
        "rejection.note-made",
        "A rejection note for results of a withdrawn version is to be sent.",
        Severity.INFO,
        AuditCode.PATIENT_RECORD,
    )
    REJECTION_NOTE_FAILED = (
        "rejection.note-failed",
        "No rejection note could be made for results of a withdrawn version: a person has to see to them.",
        Severity.WARNING,
    )
    STOP_RULE_MET = (
        "plugin.stop-rule-met",
        "More jobs of a rule and scanner than a stop rule allows failed, were late, or were positive; or too few were.",
        Severity.WARNING,
    )
    SUSPENSION_PAUSED = (
        "suspension.paused",
        "A stop rule suspended a rule for a scanner: its studies are not analysed.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    SUSPENSION_RESUMED = (
        "suspension.resumed",
        "A person ended what a stop rule had suspended: its studies are analysed again.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    RULE_PAUSED = (
        "rule.paused",
        "A person paused a rule: its jobs stay queued.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    RULE_RESUMED = "rule.resumed", "A paused rule goes on.", Severity.INFO, AuditCode.SECURITY_ALERT
    DESTINATION_PAUSED = (
        "destination.paused",
        "A person paused a destination: nothing is sent there.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    DESTINATION_RESUMED = (
        "destination.resumed",
        "A paused destination goes on.",
        Severity.INFO,
        AuditCode.SECURITY_ALERT,
    )
    DESTINATION_UNREACHED = (
        "destination.unreached",
        "A destination is not reached, for a new reason: nothing is sent there until it answers.",
        Severity.WARNING,
    )
    DESTINATION_DOWN = (
        "destination.down",
        "A destination has not been reached for ten minutes.",
        Severity.WARNING,
    )
    DESTINATION_REACHED = "destination.reached", "A destination that was not reached answers again."
    DESTINATION_TRIED = "destination.tried", "A person had a destination that is not reached tried at once."
    TALLIES_MENDED = (
        "tallies.mended",
        "Numbers that the ledger keeps were not what counting gives, and were counted again.",
        Severity.WARNING,
    )
    FILES_CHECKED = "files.checked", "All files that the ledger names were there."
    FILES_MISSING = "files.missing", "Files that the ledger names were missing.", Severity.WARNING
    PLUGIN_FAILING = "plugin.failing", "One more job of a plugin failed, the last three in a row.", Severity.WARNING
    NOTIFICATION_UNACKNOWLEDGED = (
        "notification.unacknowledged",
        "Nobody acknowledged a notification, and nobody is left to notify.",
        Severity.WARNING,
    )
    DISK_LOW = "disk.low", "The disk of the data folder is nearly full.", Severity.WARNING
    RECEPTION_REFUSED = "reception.refused", "Modalities are refused for now.", Severity.WARNING
    BACKLOG_HIGH = "backlog.high", "Work has been waiting for long.", Severity.WARNING
    CERTIFICATE_ENDS = "certificate.ends", "A certificate of the node ends within 30 days.", Severity.WARNING
    CERTIFICATE_ENDED = "certificate.ended", "A certificate of the node has ended.", Severity.WARNING
    CALLERS_REFUSED = (
        "callers.refused",
        "A caller was refused again and again.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    BACKUP_MADE = "backup.made", "A backup of the data folder was made.", Severity.INFO, AuditCode.SECURITY_ALERT
    BACKUP_FAILED = "backup.failed", "A backup of the data folder failed.", Severity.WARNING
    BACKUP_OVERDUE = "backup.overdue", "No backup of the data folder was made for too long.", Severity.WARNING
    LEDGER_RESTORED = (
        "ledger.restored",
        "The data folder was restored from a backup: what came after the backup is not in it.",
        Severity.WARNING,
        AuditCode.SECURITY_ALERT,
    )
    RESULTS_PERHAPS_SENT = (
        "results.perhaps-sent",
        "A destination may have results from before a restore: nothing more is sent for now.",
        Severity.WARNING,
    )
    RESULTS_ANSWERED = "results.answered", "A person said what becomes of results that may have been sent before."
    JOB_ENCODED_AGAIN = "job.encoded-again", "A person had the result's objects made again."
