"""Of each kind of question: the question in words, and the commands that answer it.

Only commands that would be carried out now are offered: what would be refused is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node.desk import actions, answers, find
from node.desk.words import short
from node.errors import NotFoundError
from node.ledger import (
    attempts,
    box_answers,
    defects,
    instances,
    jobs,
    pauses,
    questions,
    recalls,
    selections,
    withdrawals,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.instances import InstanceStatus
from node.ledger.job import OPEN, Job
from node.ledger.pauses import Pausable
from node.ledger.questions import Question
from node.ledger.selections import Selection
from node.ledger.studies import get as study_of
from node.ledger.withdrawals import WithdrawalStatus


@dataclass(frozen=True, slots=True)
class ReviewAnswer:
    """One way to answer."""

    command: tuple[str, ...]
    """Arguments of `pacsnode`."""
    effect: str
    """What it will do, in words."""


@dataclass(frozen=True, slots=True)
class AboutQuestion:
    """What is asked and how it is answered."""

    question: str
    """In one sentence; STUDY stands for what people call the study."""
    answers: tuple[ReviewAnswer, ...] = ()
    count: int = 1
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewScope:
    """What a person looks at, and what the site says about answers."""

    study: str | None = None
    """UID of the one that a person named, where alike questions are about others, too."""
    unchecked: frozenset[str] = frozenset()
    """Destinations without an identity check."""

    def is_checked(self, destination: str) -> bool:
        """Whether it is asked about patient and order before it gets results."""
        return destination not in self.unchecked


def of(database: Database, found: Question, scope: ReviewScope) -> AboutQuestion | None:
    """What a question asks; None where it has been answered, and the node has not closed its alerts yet."""
    if found.kind not in (*questions.BY_DESTINATION, *questions.BY_PLUGIN) and not questions.holds(database, found):
        return None
    make = _KINDS.get(found.kind)
    if make is not None:
        return make(database, found, scope)
    if found.acknowledged:
        return None
    of_study = " (STUDY)" if found.study else ""
    seen = ReviewAnswer(
        ("alerts", "ack", str(found.alert)), f"you see to it ({found.kind.how}); it is not sent again while it lasts"
    )
    return AboutQuestion(f"{found.kind.sentence.rstrip('.')}{of_study}: who sees to it?", (seen,), found.count)


def _held_study(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    uid = found.place
    study = study_of(database, uid)
    why = (study.hold if study else None) or "it is held"
    as_first = ReviewAnswer(
        ("release", uid), "it goes on as it was first received; its cancelled jobs run again by retry"
    )
    if not instances.of_study(database, uid, [InstanceStatus.CORRECTION]):
        return AboutQuestion(f"Study STUDY is held ({why}): may it go on?", (as_first,))
    newest = ReviewAnswer(("release", uid, "--take-newest"), "the corrected images count, and the rules decide again")
    offered = (as_first, newest) if actions.can_take_newest(database, uid) else (as_first,)
    question = "Study STUDY came again under another patient or order: is what came first right, or what came last?"
    return AboutQuestion(question, offered)


def _set_aside(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    status = InstanceStatus(found.kind.partition(".")[2])
    name = found.place or answers.NO_STUDY
    stays = ReviewAnswer(("cancel", f"{status}:{name}"), "what came first counts; what was set aside stays unused")
    counted = instances.counts(database, found.place).get(status, found.count) if found.place else found.count
    what = {
        InstanceStatus.CONFLICT: "came with other content or of another patient, and are set aside",
        InstanceStatus.UNREADABLE: "came whose headers cannot be read, and are set aside",
    }[status]
    question = f"Objects of study STUDY {what}: does the sender have to send right ones, or may it stay so?"
    return AboutQuestion(question, (stays,), counted)


def _held_deliveries(database: Database, found: Question, scope: ReviewScope) -> AboutQuestion:
    destination, _, uid = found.place.partition(" ")
    which = ("--study", uid, "--destination", destination, "--status", "held")
    results, images = _numbers(database, Selection("held", study=uid, destination=destination))
    asked = results and scope.is_checked(destination)
    differs = found.kind is AlertKind.IDENTITY_DIFFERS
    effect = f"{destination} is asked again, and what agrees then is sent" if asked else "they are sent now, unasked"
    offered = [ReviewAnswer(("retry", *which), effect)]
    if differs and answers.can_adopt(database, uid, destination):
        effect = f"the results are re-encoded under the patient and order that {destination} has, as new objects"
        offered.append(ReviewAnswer(("adopt", uid, destination), effect))
    offered.append(ReviewAnswer(("cancel", *which), "they are never sent there"))
    if differs:
        attributes = found.detail.get("detail") or "patient or order"
        question = f"{destination} has study STUDY under another {attributes}: which of the two is right?"
    else:
        why = found.detail.get("reason") or "held"
        question = f"What study STUDY has for {destination} is held ({why}): may it be sent?"
    return AboutQuestion(question, tuple(offered), results + images)


def _dead(database: Database, found: Question, scope: ReviewScope) -> AboutQuestion | None:
    destination, study = found.group, scope.study
    which = ("--destination", destination, "--status", "dead", *(("--study", study) if study else ()))
    results, images = _numbers(database, Selection("dead", destination=destination, study=study))
    if not (count := results + images):
        return None
    check = ", after a new identity check" if results and scope.is_checked(destination) else ""
    last = found.detail.get("error")
    reason = f" ({last})" if last else ""
    return AboutQuestion(
        f"{_counted(count, 'object')} for {destination} did not arrive and are given up{reason}: are they to be sent?",
        (
            ReviewAnswer(("retry", *which), f"they are sent now{check}; their tries start over"),
            ReviewAnswer(("cancel", *which), "they are never sent there"),
        ),
        count,
    )


def _to_withdraw(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    listed = [each for each in withdrawals.of_study(database, found.place) if each.status == "listed"]
    count = sum(each.results + each.images for each in listed)
    where = ", ".join(dict.fromkeys(each.destination for each in listed))
    name = f"{find.WITHDRAWAL}{found.place}"
    return AboutQuestion(
        f"{_counted(count, 'object')} of study STUDY at {where} should not be used any more: are they taken out there?",
        (
            ReviewAnswer(("done", name), "they are recorded as taken out"),
            ReviewAnswer(("cancel", name), "they are recorded as what may stay"),
        ),
        count,
    )


def _withdrawn_version(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    recall = recalls.get(database, int(found.place))
    states = withdrawals.counts_of_recall(database, recall.id)
    left = states.get(WithdrawalStatus.LISTED, 0) + states.get(WithdrawalStatus.REFUSED, 0)
    sent = states.get(WithdrawalStatus.SENT, 0)
    on_its_way = f"; for {sent} more a rejection note is on its way" if sent else ""
    if not left:
        return AboutQuestion(f"{recall.name} was withdrawn{on_its_way}: nothing is to be answered yet", (), sent)
    name = f"{find.RECALL}{recall.id}"
    return AboutQuestion(
        f"{_counted(left, 'object')} of {recall.name}, which was withdrawn ({recall.reason}), are at destinations"
        f"{on_its_way}: are they taken out there?",
        (
            ReviewAnswer(
                ("plugin", "withdraw", recall.plugin, recall.version, "--reason", recall.reason, "--dry-run"),
                "lists them; nothing is changed",
            ),
            ReviewAnswer(("done", name), "all that are listed are recorded as taken out"),
            ReviewAnswer(("cancel", name), "all that are listed are recorded as what may stay"),
        ),
        left,
    )


def _stop_rule(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    said = found.detail
    what = f"{said.get('plugin')} in rule {said.get('rule')} at {said.get('scanner')}: {said.get('reason')}"
    if pauses.get(database, Pausable.SUSPENSION, found.place) is not None:
        effect = "studies are analysed again, and the stop rule begins a new window"
        resume = ReviewAnswer(("resume", "suspension", found.place, "--why", "REASON"), effect)
        question = f"Stop rule {said.get('stop_rule')} has suspended {what}: may it go on?"
        return AboutQuestion(question, (resume,), rule=str(said.get("rule")))
    seen = ReviewAnswer(("alerts", "ack", str(found.alert)), "you see to it; it is not sent again while it lasts")
    answers_ = () if found.acknowledged else (seen,)
    question = f"Stop rule {said.get('stop_rule')} is met by {what}: who sees to it?"
    return AboutQuestion(question, answers_, rule=str(said.get("rule")))


def _defect(database: Database, found: Question, __: ReviewScope) -> AboutQuestion | None:
    stage, _, item = found.place.partition(" ")
    known = defects.get(database, stage, item)
    of_study = " of study STUDY" if found.study else ""
    if known is None:
        return AboutQuestion(f"{found.kind.sentence.rstrip('.')}{of_study}: what is to be done?")
    if not known.times:
        return None  # somebody has answered: it is tried next
    again = ReviewAnswer(("retry", f"{find.DEFECT}{known.id}"), f"{stage} tries it again now; its tries start over")
    state = "is given up" if known.parked else f"failed {known.times} times and is tried again"
    return AboutQuestion(f"{item}{of_study} in {stage} {state} ({known.error}): is the cause mended?", (again,))


def _jobs(database: Database, found: Question, scope: ReviewScope) -> AboutQuestion | None:
    """Of one rule and plugin."""
    study = scope.study
    job = _job(database, found.place)
    if job is None:
        return None
    status = "failed" if found.kind is AlertKind.JOB_REFUSED else "unreportable"
    which = Selection(status, rule=job.rule, plugin=job.plugin, study=study)
    count = len(selections.jobs_like(database, which))
    if not count:
        return None
    command = ("retry", "--rule", job.rule, "--plugin", job.plugin, "--status", status)
    effect = f"{_counted(count, 'job')} of this rule and plugin that are {status} run again, each as a new job"
    again = ReviewAnswer((*command, *(("--study", study) if study else ())), effect)
    why = found.detail.get("error")
    question = (
        f"{_counted(found.count, 'result')} of {job.plugin} (rule {job.rule}) could not be reported"
        f"{f' ({why})' if why else ''}: is the cause mended?"
    )
    return AboutQuestion(question, (again,), found.count, job.rule)


def _job_alone(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    job = _job(database, found.place)
    if job is None:
        return AboutQuestion(found.kind.sentence)
    over, name = job.status not in OPEN, short(job.id)
    answer = (
        ReviewAnswer(("retry", job.id), "it runs again as a new job")
        if over
        else ReviewAnswer(("cancel", job.id), "it is not done, and nothing is reported of it")
    )
    why = found.detail.get("error") or found.kind.sentence.rstrip(".")
    question = f"Job {name} of {job.plugin} on study STUDY (rule {job.rule}): {why}; is the cause mended?"
    return AboutQuestion(question, (answer,), 1, job.rule)


def _jobs_of_gone_rule(database: Database, found: Question, _: ReviewScope) -> AboutQuestion:
    rule = found.place
    count = len(selections.jobs_like(database, Selection("cancelled", rule=rule)))
    effect = "they run now, though the rule is disabled or gone"
    again = ReviewAnswer(("retry", "--rule", rule, "--status", "cancelled"), effect)
    question = f"{_counted(count, 'job')} of rule {rule} were cancelled when it was disabled or removed: may they run?"
    return AboutQuestion(question, (again,) if count else (), count, rule)


def _notification(_: Database, found: Question, __: ReviewScope) -> AboutQuestion:
    name, why = f"{find.NOTIFICATION}{found.place}", found.detail.get("error") or "no reason"
    return AboutQuestion(
        f"Notification {found.place} did not reach its person ({why}): is it to be sent?",
        (
            ReviewAnswer(("retry", name), "it is sent now"),
            ReviewAnswer(("cancel", name), "nobody is notified"),
        ),
    )


def _commitment(_: Database, found: Question, __: ReviewScope) -> AboutQuestion:
    effect = "it is decided again, by what is stored now, and reported"
    again = ReviewAnswer(("retry", f"{find.COMMITMENT}{found.place}"), effect)
    return AboutQuestion(f"The report of storage commitment {found.place} was given up: is the peer there?", (again,))


def _perhaps_sent(_: Database, found: Question, __: ReviewScope) -> AboutQuestion:
    destination, study = found.place.split(" ", 1)
    answer = ("restored", study, "--destination", destination)
    return AboutQuestion(
        f"{destination} may have results of STUDY from before the restore: are they those that wait here?",
        (
            ReviewAnswer((*answer, "--as-sent"), "it has them: what waits is not sent"),
            ReviewAnswer((*answer, "--send"), "what waits is sent, as the successor of what is there"),
        ),
    )


def _perhaps_at_box(_: Database, found: Question, __: ReviewScope) -> AboutQuestion:
    box, study = found.place.split(" ", 1)
    answer = ("restored", study, "--destination", box)
    return AboutQuestion(
        f"The box {box} may have the images of STUDY from before the restore: does it?",
        (
            ReviewAnswer((*answer, "--as-sent"), "it has them: they are not sent, and its answer is waited for"),
            ReviewAnswer((*answer, "--send"), "they are sent, which a box that charges will charge for"),
        ),
    )


def _not_committed(_: Database, found: Question, __: ReviewScope) -> AboutQuestion:
    destination, study = found.place.split(" ", 1)
    return AboutQuestion(
        f"{destination} refuses to commit itself to objects of STUDY: does it have them?",
        (
            ReviewAnswer(("retry", study), "it is asked again now; what it does not have is sent again"),
            ReviewAnswer(("cancel", study), "nobody waits for it any more; images that wait are not forwarded"),
        ),
    )


def _retention_clock(_: Database, found: Question, __: ReviewScope) -> AboutQuestion:
    return AboutQuestion(
        f"By the clock retention has not run for {found.detail.get('days', 'many')} days: is the clock right?",
        (
            ReviewAnswer(("retention", "--dry-run"), "shows what would be deleted, and deletes nothing"),
            ReviewAnswer(("retention",), "it is: what is old enough by it is deleted now"),
        ),
    )


def _numbers(database: Database, which: Selection) -> tuple[int, int]:
    """Deliveries of results, and of images."""
    images = sum(each.images for each in selections.images_like(database, which))
    return len(selections.results_like(database, which)), images


def _box_answer(database: Database, found: Question, __: ReviewScope) -> AboutQuestion | None:
    box, _, uid = found.place.partition(" ")
    waiting = [each for each in box_answers.unmatched(database) if (each.box, each.study_instance_uid) == (box, uid)]
    if not waiting:
        return None
    name = waiting[0].receipt[-8:]
    row = attempts.get(database, waiting[0].attempt) if waiting[0].attempt else None
    nothing = ReviewAnswer(("answers", name, "--dismiss"), "they answer nothing, and stay out of every result")
    offered = (
        [ReviewAnswer(("answers", name, "--give", short(row.job)), "the job has them as its answer")] if row else []
    )
    question = (
        f"{_counted(len(waiting), 'object')} came from the box {box} ({waiting[0].why}): which job do they answer?"
    )
    return AboutQuestion(question, (*offered, nothing), len(waiting))


def _job(database: Database, name: str) -> Job | None:
    try:
        return jobs.get(database, name)
    except NotFoundError:
        return None


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_KINDS: Mapping[AlertKind, Callable[[Database, Question, ReviewScope], AboutQuestion | None]] = {
    AlertKind.STUDY_HELD: _held_study,
    AlertKind.INSTANCE_CONFLICT: _set_aside,
    AlertKind.INSTANCE_UNREADABLE: _set_aside,
    AlertKind.IDENTITY_DIFFERS: _held_deliveries,
    AlertKind.DELIVERY_HELD: _held_deliveries,
    AlertKind.DELIVERY_DEAD: _dead,
    AlertKind.STUDY_TO_WITHDRAW: _to_withdraw,
    AlertKind.PLUGIN_WITHDRAWN: _withdrawn_version,
    AlertKind.STOP_RULE_MET: _stop_rule,
    AlertKind.RECEIPT_NOT_INDEXED: _defect,
    AlertKind.STUDY_NOT_COMPLETED: _defect,
    AlertKind.STUDY_NOT_LOOKED_AT: _defect,
    AlertKind.STUDY_DECISION_FAILED: _defect,
    AlertKind.JOB_FOLLOW_UP_FAILED: _defect,
    AlertKind.ITEM_FAILED: _defect,
    AlertKind.JOB_UNREPORTABLE: _jobs,
    AlertKind.JOB_REFUSED: _jobs,
    AlertKind.JOB_REFUSED_FOR: _job_alone,
    AlertKind.JOB_OBJECTS_MISSING: _job_alone,
    AlertKind.JOB_POSTPONED: _job_alone,
    AlertKind.RULE_JOBS_CANCELLED: _jobs_of_gone_rule,
    AlertKind.NOTIFICATION_WAITS: _notification,
    AlertKind.NOTIFICATION_DEAD: _notification,
    AlertKind.COMMITMENT_DEAD: _commitment,
    AlertKind.COMMITMENT_REFUSED: _not_committed,
    AlertKind.RESULTS_PERHAPS_SENT: _perhaps_sent,
    AlertKind.BOX_PERHAPS_SENT: _perhaps_at_box,
    AlertKind.RETENTION_CLOCK: _retention_clock,
    AlertKind.BOX_ANSWER_UNMATCHED: _box_answer,
}
