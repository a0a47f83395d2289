"""What came of a study, in sentences that a person reads first: never silence that looks like a negative result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.config.models import Configuration
from node.desk import nearest
from node.desk.arriving import status_text
from node.desk.study import StudyHistory
from node.desk.words import clock_text, counted, local
from node.ledger.decisions import DecisionOutcome, StoredDecision
from node.ledger.delivery import IN_TROUBLE, Delivery, DeliveryStatus
from node.ledger.identities import IdentityStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.notifications import NotificationStatus
from node.ledger.studies import StudyImages, StudyStatus
from node.ledger.withdrawals import WithdrawalStatus

_NAMED = 3
"""Clauses in a sentence."""


class StoryKind(StrEnum):
    """How something is; in the order in which a person should read them."""

    BAD = "bad"
    """A person has to see to it."""
    WARN = "warn"
    """Something is not as it was meant to be."""
    BUSY = "busy"
    """It goes on by itself."""
    GOOD = "good"
    """It is done."""
    IDLE = "idle"
    """Nothing was to be done."""


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One thing that came of a study."""

    kind: StoryKind
    sentence: str
    next_step: str = ""
    """What a person can do about it."""


def lines(found: StudyHistory, configuration: Configuration, now: datetime) -> list[StoryLine]:
    """All that came of the study, what is most pressing first; never empty."""
    teller = _Teller(found, configuration, now)
    order = list(StoryKind)
    return sorted(teller.all(), key=lambda each: order.index(each.kind))


def current_jobs(found: StudyHistory) -> list[Job]:
    """Of each question to a plugin the last job: what was done again is history."""
    last = {(job.rule, job.step, job.subject): job for job in found.jobs}
    return list(last.values())


class _Teller:
    """Puts one study into sentences."""

    def __init__(self, found: StudyHistory, configuration: Configuration, now: datetime) -> None:
        self._found, self._configuration, self._now = found, configuration, now

    def all(self) -> Iterator[StoryLine]:
        found, jobs = self._found, current_jobs(self._found)
        yield from self._study()
        for job in jobs:
            yield self._job(job)
        yield from self._images()
        yield from self._in_question()
        for told in found.notifications:
            if told.status is NotificationStatus.DEAD:
                sentence = f"{told.person} could not be notified: {told.error or 'no channel took it'}"
                yield StoryLine(StoryKind.BAD, sentence, "Notify the person yourself, or send the notification again.")
        if not jobs and not found.images:
            yield from self._without_jobs()
        if found.study.images is StudyImages.GONE:
            yield StoryLine(StoryKind.IDLE, "Its images were deleted by retention; history and results are kept.")

    def _clock(self, moment: datetime | None) -> str:
        return clock_text(moment, self._configuration.node.zone, self._now)

    def _local(self, text: str | None) -> str:
        return local(text, self._configuration.node.zone, self._now)

    def _study(self) -> Iterator[StoryLine]:
        study = self._found.study
        if study.hold:
            yield StoryLine(
                StoryKind.BAD,
                f"The study is held: {study.hold}. Nothing of it is analysed or sent.",
                "Compare patient and order with the order system; release the study if they are right.",
            )
        if study.status is StudyStatus.RECEIVING:
            status = status_text(study, self._configuration.node, self._now, ended=self._found.ended)
            sentence = f"The study is not complete yet: {status}."
            yield StoryLine(StoryKind.BUSY, sentence, "It completes by itself; complete it now if nothing more comes.")
        elif study.decided_revision < study.revision and not study.hold:
            yield StoryLine(StoryKind.BUSY, "The study is complete; the rules have not decided on it yet.")
        waiting = [each for each in last_decisions(self._found) if each.outcome is DecisionOutcome.WAITING]
        for each in waiting:
            sentence = f"Rule {each.rule} waits for more of the study: {nearest.why(each)}."
            yield StoryLine(StoryKind.BUSY, sentence, "End the wait if nothing more comes.")

    def _job(self, job: Job) -> StoryLine:
        if job.status is JobStatus.QUEUED:
            why = self._found.waits.get(job.id) or (
                f"the next try is at {self._clock(job.not_before)}" if job.not_before > self._now else "its turn comes"
            )
            before = f" after {job.error}" if job.error else ""
            return StoryLine(StoryKind.BUSY, f"{job.plugin} has not run yet{before}: {why}.")
        if job.status is JobStatus.RUNNING:
            return StoryLine(StoryKind.BUSY, f"{job.plugin} is running since {self._clock(job.started_at)}.")
        if job.status is JobStatus.CANCELLED:
            sentence = f"{job.plugin} gave no result: the job was cancelled ({self._local(job.error) or 'no reason'})."
            return StoryLine(StoryKind.WARN, sentence, "Run the job again if a result is wanted.")
        if job.status is JobStatus.UNREPORTABLE:
            sentence = f"{_said(job)} No report could be made of it: {self._local(job.error) or 'no reason is known'}."
            return StoryLine(StoryKind.BAD, sentence, "Tell the radiologist; run the job again when the cause is gone.")
        if job.status is JobStatus.ENDED:
            return StoryLine(StoryKind.BUSY, f"{_said(job)} The report is being made.")
        return self._reported(job)

    def _reported(self, job: Job) -> StoryLine:
        deliveries = [each for each in self._found.deliveries if each.job == job.id]
        kind, where = self._sent(job, deliveries)
        next_step = _NEXT.get(kind, "")
        if job.outcome is JobOutcome.FAILED:
            kind, next_step = StoryKind.BAD, "See the log of the attempt; run the job again when the cause is gone."
        elif job.outcome is JobOutcome.NOT_APPLICABLE and kind is StoryKind.GOOD:
            kind = StoryKind.WARN
        return StoryLine(kind, f"{_said(job)} {where}", next_step)

    def _sent(self, job: Job, deliveries: Sequence[Delivery]) -> tuple[StoryKind, str]:
        """Where its report is, the worst first."""
        if not deliveries:
            why = "its mode is shadow" if job.mode == "shadow" and not job.destinations else "no destination wants it"
            return StoryKind.GOOD, f"The result stays here: {why}."
        for status in _WORST_FIRST:
            those = [each for each in deliveries if each.status is status]
            if those:
                return self._in_status(status, those, len(deliveries))
        arrived = [each for each in deliveries if each.status is DeliveryStatus.DELIVERED]
        if not arrived:
            return StoryKind.WARN, f"Nothing of it was sent: {', '.join(sorted({each.status for each in deliveries}))}."
        names = " and ".join(dict.fromkeys(each.destination for each in arrived))
        what = "The result" if job.outcome in _RESULTS else "The report that says so"
        since = self._clock(max((each.sent_at for each in arrived if each.sent_at), default=None))
        if refusing := sorted({each.destination for each in arrived if each.commitment in IN_TROUBLE}):
            sentence = f"{what} is in {names} since {since}; {', '.join(refusing)} has not committed itself to keep it."
            return StoryKind.BAD, sentence
        return StoryKind.GOOD, f"{what} is in {names} since {since}."

    def _in_status(self, status: DeliveryStatus, those: Sequence[Delivery], all_: int) -> tuple[StoryKind, str]:
        names = " and ".join(dict.fromkeys(each.destination for each in those))
        why = next((text for each in those if (text := self._local(each.hold or each.error))), "")
        because = f": {why}" if why else ""
        many = f"{len(those)} of {all_} objects"
        if status is DeliveryStatus.DEAD:
            return StoryKind.BAD, f"{many} did NOT arrive at {names}, and are not tried any more{because}."
        if status is DeliveryStatus.HELD:
            return StoryKind.BAD, f"{many} for {names} are held{because}."
        if status is DeliveryStatus.WITHHELD:
            return StoryKind.WARN, f"{many} are withheld from {names}{because}."
        why = "; ".join(self._found.hold_ups) or why
        return StoryKind.BUSY, f"{many} wait to be sent to {names}{f': {self._local(why)}' if why else ''}."

    def _images(self) -> Iterator[StoryLine]:
        for each in self._found.images:
            what, why = counted(each.instances, "image"), f": {self._local(each.why)}" if each.why else ""
            if each.status is DeliveryStatus.DELIVERED:
                yield StoryLine(StoryKind.GOOD, f"{what} were forwarded to {each.destination}.")
            elif each.status in (DeliveryStatus.DEAD, DeliveryStatus.HELD):
                sentence = f"{what} for {each.destination} are {each.status}{why}."
                yield StoryLine(StoryKind.BAD, sentence, _NEXT[StoryKind.BAD])
            elif each.status in (DeliveryStatus.WAITING, DeliveryStatus.SENDING):
                yield StoryLine(StoryKind.BUSY, f"{what} wait to be forwarded to {each.destination}{why}.")
            else:
                yield StoryLine(StoryKind.WARN, f"{what} were not forwarded to {each.destination}: {each.status}{why}.")

    def _in_question(self) -> Iterator[StoryLine]:
        for each in self._found.identities:
            if each.status is IdentityStatus.DIFFERS:
                sentence = f"{each.destination} has the study under another patient or order: {each.detail}."
                step = f"Find out which is right: adopt what {each.destination} has, or correct it there and send."
                yield StoryLine(StoryKind.BAD, sentence, step)
        for listed in self._found.withdrawals:
            if listed.status in (WithdrawalStatus.LISTED, WithdrawalStatus.REFUSED):
                what = f"{listed.results} results and {listed.images} images"
                sentence = f"{what} at {listed.destination} should not be used any more: {listed.reason}."
                yield StoryLine(
                    StoryKind.BAD, sentence, f"Take them out at {listed.destination}, then say so in Review."
                )

    def _without_jobs(self) -> Iterator[StoryLine]:
        """Why no plugin ran, where the rules have decided."""
        study, decisions = self._found.study, last_decisions(self._found)
        if study.status is StudyStatus.RECEIVING or study.decided_revision < study.revision:
            return
        if any(each.outcome is DecisionOutcome.WAITING for each in decisions):
            return
        closest = nearest.closest(decisions)
        if closest is None:
            why = "a rule matched, and it runs no plugin" if decisions else "there was no rule"
            yield StoryLine(StoryKind.IDLE, f"Not analysed: {why}.")
            return
        decision, lacked = closest
        clauses = "; ".join(lacked.words[:_NAMED])
        sentence = f"Not analysed: no rule matched. Closest was {decision.rule}: {clauses}."
        yield StoryLine(StoryKind.IDLE, sentence, "See below what each rule asked and what the study has.")


_NEXT = {
    StoryKind.BAD: "See the destination's answer below; when the cause is gone, send again.",
    StoryKind.WARN: "Send it below if it is wanted anyway.",
}
_RESULTS = (JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS)
_WORST_FIRST = (
    DeliveryStatus.DEAD,
    DeliveryStatus.HELD,
    DeliveryStatus.WAITING,
    DeliveryStatus.SENDING,
    DeliveryStatus.REFUSED,
    DeliveryStatus.WITHHELD,
)


def last_decisions(found: StudyHistory) -> list[StoredDecision]:
    """Of each rule the last decision on the newest decided revision."""
    newest = max((each.revision for each in found.decisions), default=0)
    return list({each.rule: each for each in found.decisions if each.revision == newest}.values())


def _said(job: Job) -> str:
    """What the plugin answered, in a sentence."""
    name = job.plugin
    if job.outcome is JobOutcome.FAILED:
        return f"{name} failed, and there is NO result: {job.error or 'it gave no reason'}."
    if job.outcome is JobOutcome.NOT_APPLICABLE:
        return f"{name} did not analyse these images: there is no result."
    if job.outcome is JobOutcome.NO_FINDINGS:
        return f"{name} looked and found nothing."
    findings = (job.found or {}).get("findings", [])
    present = sum(each.get("present") is True for each in findings)
    measured = sum(each.get("present") is None for each in findings)
    urgent = ", one of them urgent" if any(each.get("urgent") for each in findings) else ""
    if present:
        return f"{name} found {counted(present, 'finding')}{urgent}."
    return f"{name} has {counted(measured, 'set')} of measurements." if measured else f"{name} has a result."
