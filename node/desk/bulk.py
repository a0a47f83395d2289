"""What a person decides about many at once: jobs, deliveries and held studies, by what they have in common.

The same is done with each as with one that is named (`node.desk.actions`): each has its event, which names the actor.
A few are in one transaction, so that the node goes on meanwhile. Where it is cut short, the rest is as it was, and the
same command goes on with it, because what was done has another status by then. One that cannot be done costs itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from node.config.models import Configuration
from node.desk import actions, pausing
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.errors import NodeError, PermanentError, UsageError
from node.ledger import deliveries, identities, jobs, selections
from node.ledger.database import Database, Ledger, slices
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.identities import IdentityStatus
from node.ledger.job import JobStatus
from node.ledger.pauses import Pausable
from node.ledger.selections import FAILED, ImagesOfStudy
from node.ledger.selections import Selection as Selection

MANY = 20
"""More than these are done only where a person confirms it."""
_NAMED = 3
"""Reasons, and what a dry run names of each kind."""
T = TypeVar("T")
_DELIVERY = "delivery:"
"""Before a status that jobs have, too."""


class BulkAction(StrEnum):
    """What is done with each."""

    RETRY = "retry"
    """Done again, or sent now."""
    CANCEL = "cancel"
    """Not done, or not sent."""
    RELEASE = "release"
    """A held study goes on as it was first received."""


_OF_JOBS = {
    BulkAction.RETRY: (FAILED, JobStatus.UNREPORTABLE, JobStatus.CANCELLED),
    BulkAction.CANCEL: (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.ENDED),
    BulkAction.RELEASE: (),
}
_OF_DELIVERIES = {
    BulkAction.RETRY: (
        DeliveryStatus.DEAD,
        DeliveryStatus.HELD,
        DeliveryStatus.WITHHELD,
        DeliveryStatus.WAITING,
        f"{_DELIVERY}{DeliveryStatus.CANCELLED}",
    ),
    BulkAction.CANCEL: (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.WITHHELD),
    BulkAction.RELEASE: (),
}


class Progress(Protocol):
    """Hears how far it is."""

    def __call__(self, done: int, of: int) -> None:
        """This many of them were looked at."""


@dataclass(frozen=True, slots=True)
class Many:
    """What a selection takes now."""

    action: BulkAction
    selection: Selection
    jobs: Sequence[str]
    results: Sequence[int]
    images: Sequence[ImagesOfStudy]
    studies: Sequence[str]
    corrected: Sequence[str]
    """Held studies that each need a decision of their own."""

    @property
    def count(self) -> int:
        """How many that is; of images each."""
        images = sum(each.images for each in self.images)
        return len(self.jobs) + len(self.results) + images + len(self.studies)

    @property
    def sentence(self) -> str:
        """How many of what: `3 jobs, 200 images of 2 studies`."""
        parts = [
            _counted(len(self.jobs), "job", "jobs"),
            _counted(len(self.results), "delivery", "deliveries"),
            _counted(len(self.studies), "held study", "held studies"),
        ]
        if self.images:
            images, of = (
                sum(each.images for each in self.images),
                len({each.study_instance_uid for each in self.images}),
            )
            parts.append(f"{_counted(images, 'image', 'images')} of {_counted(of, 'study', 'studies')}")
        return ", ".join(part for part in parts if part) or "nothing"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def statuses(action: BulkAction) -> tuple[str, ...]:
    """What `--status` may be."""
    return (*map(str, _OF_JOBS[action]), *map(str, _OF_DELIVERIES[action]))


def find(ledger: Ledger, action: BulkAction, selection: Selection) -> Many:
    """What the selection takes now. UsageError where it would take everything, or its status is none of these."""
    if selection.is_empty:
        raise UsageError(f"name what to {action}, or say which: --status, --rule, --plugin, --destination, --study, …")
    if action is BulkAction.RELEASE:
        return _held(ledger, selection)
    if selection.status is None or selection.status not in statuses(action):
        given = f'"{selection.status}"' if selection.status else "many"
        raise UsageError(f"{action}: {given} needs --status, one of {', '.join(statuses(action))}")
    of_jobs = selection.status in _OF_JOBS[action]
    plain = replace(selection, status=selection.status.removeprefix(_DELIVERY))
    with ledger.snapshot() as database:
        return Many(
            action,
            plain,
            jobs=selections.jobs_like(database, plain) if of_jobs else (),
            results=() if of_jobs else selections.results_like(database, plain),
            images=() if of_jobs else _images(database, action, plain),
            studies=(),
            corrected=(),
        )


def _images(database: Database, action: BulkAction, selection: Selection) -> Sequence[ImagesOfStudy]:
    """Those in the outbox; with those that are not there yet, where they wait and are not to be sent."""
    found = [*selections.images_like(database, selection)]
    if action is BulkAction.CANCEL and selection.status == DeliveryStatus.WAITING:
        found += selections.to_be_enqueued_like(database, selection)
    sums: Counter[tuple[str, str]] = Counter()
    for each in found:
        sums[each.study_instance_uid, each.destination] += each.images
    return [ImagesOfStudy(study, destination, images) for (study, destination), images in sums.items()]


def _held(ledger: Ledger, selection: Selection) -> Many:
    if selection.status not in (None, "held"):
        raise UsageError("release: only held studies can be released; leave --status out")
    with ledger.snapshot() as database:
        held = selections.held_like(database, selection)
    alone = selection.study is not None  # it is named, so that is the decision
    plain = [uid for uid, corrected in held.items() if alone or not corrected]
    return Many(BulkAction.RELEASE, selection, (), (), (), plain, [uid for uid in held if uid not in plain])


def check_names(configuration: Configuration, selection: Selection) -> None:
    """UsageError where it names a rule, a plugin or a destination that the configuration does not have."""
    rule, plugin, destination = selection.rule, selection.plugin, selection.destination
    named = {Pausable.RULE: rule, Pausable.PLUGIN: plugin, Pausable.DESTINATION: destination}
    for what, name in named.items():
        if name is not None:
            pausing.check_name(configuration, what, name)


def described(many: Many) -> ActionOutcome:
    """What would be done with how many, for a dry run and for whoever has to confirm it."""
    lines = [f"{_VERBS[many.action]}: {many.sentence}"]
    examples = [*many.jobs[:_NAMED], *(f"{_DELIVERY}{each}" for each in many.results[:_NAMED])]
    examples += [*many.studies[:_NAMED], *dict.fromkeys(each.study_instance_uid for each in many.images[:_NAMED])]
    if examples:
        lines.append(f"such as {', '.join(examples)}")
    if many.corrected:
        lines.append(_each_alone(many))
    value = {"action": many.action, "dry_run": True, "jobs": len(many.jobs), "deliveries": len(many.results)}
    images = sum(each.images for each in many.images)
    return ActionOutcome(
        "\n".join(lines), value | {"images": images, "studies": len(many.studies), "to_decide": list(many.corrected)}
    )


_VERBS = {
    BulkAction.RETRY: "would be done again or sent now",
    BulkAction.CANCEL: "would be cancelled",
    BulkAction.RELEASE: "would be released",
}
_DONE = {
    BulkAction.RETRY: "done again or sent now",
    BulkAction.CANCEL: "cancelled",
    BulkAction.RELEASE: "released",
}


def _each_alone(many: Many) -> str:
    named = ", ".join(many.corrected[:_NAMED])
    return (
        f"{len(many.corrected)} held studies were sent again under another patient or order: decide on each of them"
        f" with pacsnode release STUDY ({named})"
    )


def carry_out(
    ledger: Ledger, many: Many, now: Callable[[], datetime], by: Actor, progress: Progress | None = None
) -> ActionOutcome:
    """Do it with each; what could not be done is counted by its reason."""
    require(by, Right.ACT)
    run = _Run(ledger, many, now, by, progress)
    run.each(many.jobs, run.job)
    run.each(many.results, run.result)
    for uid in many.studies:
        run.study(uid)
    for which in many.images:
        run.images(which)
    lines = [f"{run.done} of {many.count} {_DONE[many.action]} ({many.sentence})"]
    lines += [f"{count} not: {why}" for why, count in run.refused.most_common()]
    if many.corrected:
        lines.append(_each_alone(many))
    value = {"action": many.action, "done": run.done, "of": many.count, "refused": dict(run.refused)}
    return ActionOutcome("\n".join(lines), value | {"to_decide": list(many.corrected)})


class _Run:
    """One bulk action under way."""

    def __init__(
        self, ledger: Ledger, many: Many, now: Callable[[], datetime], by: Actor, progress: Progress | None
    ) -> None:
        self._ledger, self._many, self._now, self._by, self._progress = ledger, many, now, by, progress
        self._looked_at = 0
        self.done = 0
        self.refused: Counter[str] = Counter()

    def each(self, those: Sequence[T], act: Callable[[Database, datetime, T], None]) -> None:
        """A few in each transaction; one that is refused leaves no trace."""
        for part in slices(those):
            with self._ledger.transaction() as database:
                for each in part:
                    try:
                        with selections.savepoint(database):
                            act(database, self._now(), each)
                    except NodeError as refusal:
                        self.refused[_reason(refusal)] += 1
                    else:
                        self.done += 1
            self._tell(len(part))

    def job(self, database: Database, at: datetime, name: str) -> None:
        """Where it still has the status that was asked for."""
        job = jobs.get(database, name)
        status = FAILED if self._many.selection.status == FAILED and job.outcome == FAILED else job.status
        _same(status, self._many)
        if self._many.action is BulkAction.RETRY:
            actions.again(database, job, at, self._by)
        else:
            actions.stop(database, job, at, self._by)

    def result(self, database: Database, at: datetime, number: int) -> None:
        """Where it still has the status that was asked for."""
        delivery = deliveries.get(database, number)
        _same(delivery.status, self._many)
        if self._many.action is BulkAction.CANCEL:
            actions.stop(database, delivery, at, self._by)
            return
        if delivery.status is DeliveryStatus.HELD and self._many.selection.study is None:
            _is_about_identity(database, delivery)
        actions.again(database, delivery, at, self._by)

    def study(self, uid: str) -> None:
        """In transactions of its own: it may have thousands of images."""
        try:
            actions.release(self._ledger, uid, self._now(), self._by)
        except NodeError as refusal:
            self.refused[_reason(refusal)] += 1
        else:
            self.done += 1
        self._tell(1)

    def images(self, which: ImagesOfStudy) -> None:
        """As many at once as one statement changes; those that do not count any more stay as they are."""
        status, by, first = self._many.selection.status or "", str(self._by), True
        changed = 0
        while True:
            with self._ledger.transaction() as database:
                at = self._now()
                if self._many.action is BulkAction.RETRY:
                    count = selections.images_again(database, at, which, status, by, first=first)
                else:
                    why = f"cancelled by {self._by.name}"
                    count = selections.images_cancelled(database, at, which, status, by, why, first=first)
            changed, first = changed + count, False
            if not count or changed >= which.images:
                break
        self.done += changed
        if changed < which.images:
            self.refused["the images were rejected or sent since"] += which.images - changed
        self._tell(which.images)

    def _tell(self, count: int) -> None:
        self._looked_at += count
        if self._progress is not None:
            self._progress(self._looked_at, self._many.count)


def _same(status: str, many: Many) -> None:
    if status != many.selection.status:
        raise PermanentError(f"it is {status} by now")


def _is_about_identity(database: Database, delivery: Delivery) -> None:
    """What is held for another reason is a question of its own: sending it would answer it unseen."""
    known = identities.get(database, delivery.study_instance_uid, delivery.destination)
    if known is None or known.status is not IdentityStatus.DIFFERS:
        raise PermanentError(f"held, because {delivery.hold}: say --study, and decide on that one")


def _reason(refusal: NodeError) -> str:
    """Without what names the one that was refused, so that equal reasons are counted together."""
    return re.sub(r"\b(job|delivery|study) [0-9a-f][0-9a-f.-]*", r"\1 …", str(refusal).splitlines()[0])
