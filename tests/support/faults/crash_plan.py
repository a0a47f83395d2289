"""What happens in one run of the crash matrix: all follows from its seed, so that a run can be repeated alone."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.ledger.event_kinds import EventKind
from tests.support.programs.scripted_archive import BEHAVIOURS, COMMITS


class Victim(StrEnum):
    """Who is killed (SIGKILL)."""

    RECEIVER = "receiver"
    NODE = "node"
    ENCODER = "encoder"
    WORKER = "worker"
    GUARD = "guard"
    ARCHIVE = "archive"
    SUPERVISOR = "supervisor"
    EVERYTHING = "everything"
    BACKUP = "backup"
    """`pacsnode backup`; not one of those that take turns, because it is not always there."""


class Feature(StrEnum):
    """What a run has beside reception, a plugin and delivery."""

    FORWARD = "forward"
    """The images go to the archive, too; otherwise it has them from elsewhere."""
    COMMIT = "commit"
    """The archive has to commit itself to what it got."""
    NOTIFY = "notify"
    """A person is notified of the findings."""
    ADOPT = "adopt"
    """The archive has the studies under another patient, who is adopted."""
    BACKUP = "backup"
    """A backup is made in the midst; it is sound, and a node starts from it."""
    RETAIN = "retain"
    """In the end retention removes images and results."""
    TWO_LANES = "two lanes"
    """Two associations with the archive."""


OF_FEATURE = {
    Feature.FORWARD: (EventKind.FORWARD_ENQUEUED, EventKind.FORWARD_DONE),
    Feature.COMMIT: (EventKind.DELIVERY_COMMITTED,),
    Feature.NOTIFY: (
        EventKind.NOTIFICATION_ENQUEUED,
        EventKind.NOTIFICATION_SENDING,
        EventKind.NOTIFICATION_TAKEN,
        EventKind.NOTIFICATION_SENT,
    ),
    Feature.ADOPT: (EventKind.IDENTITY_DIFFERS, EventKind.IDENTITY_ADOPTED, EventKind.DELIVERY_SUPERSEDED),
    Feature.BACKUP: (EventKind.BACKUP_MADE,),
    Feature.RETAIN: (
        EventKind.STUDY_PURGING,
        EventKind.STUDY_GONE,
        EventKind.JOB_FILES_GONE,
        EventKind.RETENTION_RAN,
    ),
}
"""Transitions that there are only where a run has the feature."""
TRANSITIONS = (
    EventKind.STUDY_FIRST_RECEIVED,
    EventKind.SERIES_COMPLETE,
    EventKind.STUDY_COMPLETE,
    EventKind.STUDY_DECIDED,
    EventKind.DECISION_MATCHED,
    EventKind.JOB_QUEUED,
    EventKind.JOB_STARTED,
    EventKind.ATTEMPT_RUNNING,
    EventKind.JOB_ENDED,
    EventKind.JOB_ENCODING,
    EventKind.JOB_REPORTED,
    EventKind.DELIVERY_ENQUEUED,
    EventKind.DELIVERY_SENDING,
    EventKind.DELIVERY_DELIVERED,
    *(event for events in OF_FEATURE.values() for event in events),
)
"""Those that each study of a run goes through; failures, people and corrections have tests of their own."""
_WHERE = {
    Victim.WORKER: (EventKind.ATTEMPT_RUNNING,),
    Victim.GUARD: (EventKind.ATTEMPT_RUNNING,),
    Victim.ENCODER: (EventKind.JOB_ENCODING, EventKind.STUDY_FIRST_RECEIVED),
}
"""Where those are alive that are not always; a child that reads headers counts as an encoder."""
DISK = (errno.ENOSPC, errno.EIO, errno.EROFS)
_ONCE = (EventKind.BACKUP_MADE, EventKind.RETENTION_RAN)
"""Of these there is one in a run, of others one a study at least."""
_SILENT = ("busy", "abort", "reset", "keep-and-reset")
"""No answer."""
_AT_TRANSITION = 0.75
_JUMPS = (-3600, 3600, -86400)


@dataclass(frozen=True)
class Kill:
    """Who is killed when: at a transition, else so many seconds after the first image was sent."""

    victim: Victim
    event: EventKind | None
    number: int
    """The how-manieth event of the kind."""
    when: str
    """`before` or `after` the commit."""
    seconds: float

    def __str__(self) -> str:
        """In one line."""
        moment = f"{self.when} {self.number}. {self.event}" if self.event else f"after {self.seconds:.1f} s"
        return f"{self.victim} killed {moment}"


@dataclass(frozen=True)
class CrashPlan:
    """One run."""

    seed: int
    kills: tuple[Kill, ...]
    """At most one of them at a transition."""
    disk: int | None
    """The number of the error that the data folder gives for a while."""
    disk_from: float
    disk_for: float
    jump: int
    """Seconds by which the clock of all processes is set after `disk_from`; 0: not at all."""
    archive: tuple[str, ...]
    """How the archive behaves towards the first objects."""
    features: frozenset[Feature]
    commitment: tuple[str, ...]
    """How it behaves towards the first requests of storage commitment."""
    backup_from: float
    """Seconds after the first image was sent."""

    @classmethod
    def of(cls, seed: int) -> CrashPlan:
        """The run of this seed: victims and transitions take turns, the rest is chance."""
        chance = random.Random(seed)
        first = _first(seed, chance)
        features = _features(chance, first.event)
        kills = [first]
        if chance.random() < 0.4:
            others = [each for each in Victim if each is not Victim.BACKUP or Feature.BACKUP in features]
            kills.append(Kill(chance.choice(others), None, 1, "after", chance.uniform(0, 8)))
        return cls(
            seed=seed,
            kills=tuple(kills),
            disk=chance.choice(DISK) if chance.random() < 0.25 else None,
            disk_from=chance.uniform(0, 5),
            disk_for=chance.uniform(0.3, 3),
            jump=chance.choice(_JUMPS) if chance.random() < 0.2 else 0,
            archive=_without_dead_letters([chance.choice(BEHAVIOURS) for _ in range(chance.choice((0, 0, 2, 5)))]),
            features=features,
            commitment=tuple(chance.choice(COMMITS) for _ in range(chance.choice((0, 1, 2, 4)))),
            backup_from=chance.uniform(0, 5),
        )

    def __str__(self) -> str:
        """In one line."""
        parts = [f"seed {self.seed}", *map(str, self.kills)]
        if self.disk:
            parts.append(f"{errno.errorcode[self.disk]} from {self.disk_from:.1f} s for {self.disk_for:.1f} s")
        if self.jump:
            parts.append(f"clock {self.jump:+} s")
        if self.archive:
            parts.append(f"archive {', '.join(self.archive)}")
        if self.features:
            parts.append(f"with {', '.join(sorted(self.features))}")
        if Feature.COMMIT in self.features and self.commitment:
            parts.append(f"commitment {', '.join(self.commitment)}")
        if Feature.BACKUP in self.features:
            parts.append(f"backup after {self.backup_from:.1f} s")
        return "; ".join(parts)


def _without_dead_letters(script: Sequence[str]) -> tuple[str, ...]:
    """No silence once something was stored since an earlier one: the same object may get both, and is given up then."""
    kept: list[str] = []
    for each in script:
        first = next((place for place, one in enumerate(kept) if one in _SILENT), len(kept))
        if each not in _SILENT or not {"warning", "slow"} & set(kept[first:]):
            kept.append(each)
    return tuple(kept)


def _first(seed: int, chance: random.Random) -> Kill:
    victims = [each for each in Victim if each is not Victim.BACKUP]
    victim: Victim = victims[seed % len(victims)]
    transitions = _WHERE.get(victim, TRANSITIONS)
    event = transitions[seed // len(victims) % len(transitions)] if chance.random() < _AT_TRANSITION else None
    if event is EventKind.BACKUP_MADE and victim is not Victim.EVERYTHING:
        victim = Victim.BACKUP
    number = 1 if event in _ONCE else chance.choice((1, 1, 2))
    return Kill(victim, event, number, chance.choice(("before", "after")), chance.uniform(0, 6))


def _features(chance: random.Random, event: EventKind | None) -> frozenset[Feature]:
    """Each in two of five runs, and the one that the transition is of."""
    drawn = {each for each in Feature if chance.random() < 0.4}
    needed = {each for each, events in OF_FEATURE.items() if event in events}
    if {Feature.FORWARD, Feature.ADOPT} <= drawn | needed:  # what the node forwards is under the patient that it knows
        drawn.discard(Feature.FORWARD if Feature.ADOPT in needed else Feature.ADOPT)
    return frozenset(drawn | needed)
