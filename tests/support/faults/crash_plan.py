"""What happens in one run of the crash matrix: all follows from its seed, so that a run can be repeated alone."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass
from enum import StrEnum

from node.ledger.event_kinds import EventKind
from tests.support.programs.scripted_archive import BEHAVIOURS


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
    EventKind.FORWARD_ENQUEUED,
    EventKind.FORWARD_DONE,
)
"""Those that each study of a run goes through; failures, people and corrections have tests of their own."""
_WHERE = {
    Victim.WORKER: (EventKind.ATTEMPT_RUNNING,),
    Victim.GUARD: (EventKind.ATTEMPT_RUNNING,),
    Victim.ENCODER: (EventKind.JOB_ENCODING, EventKind.STUDY_FIRST_RECEIVED),
}
"""Where those are alive that are not always; a child that reads headers counts as an encoder."""
DISK = (errno.ENOSPC, errno.EIO, errno.EROFS)
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

    @classmethod
    def of(cls, seed: int) -> CrashPlan:
        """The run of this seed: victims and transitions take turns, the rest is chance."""
        chance = random.Random(seed)
        victims = [*Victim]
        victim = victims[seed % len(victims)]
        transitions = _WHERE.get(victim, TRANSITIONS)
        event = transitions[seed // len(victims) % len(transitions)] if chance.random() < _AT_TRANSITION else None
        first = Kill(victim, event, chance.choice((1, 1, 2)), chance.choice(("before", "after")), chance.uniform(0, 6))
        kills = [first]
        if chance.random() < 0.4:
            kills.append(Kill(chance.choice(victims), None, 1, "after", chance.uniform(0, 8)))
        return cls(
            seed=seed,
            kills=tuple(kills),
            disk=chance.choice(DISK) if chance.random() < 0.25 else None,
            disk_from=chance.uniform(0, 5),
            disk_for=chance.uniform(0.3, 3),
            jump=chance.choice(_JUMPS) if chance.random() < 0.2 else 0,
            archive=tuple(chance.choice(BEHAVIOURS) for _ in range(chance.choice((0, 0, 2, 5)))),
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
        return "; ".join(parts)
