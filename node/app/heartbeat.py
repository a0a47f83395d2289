"""A sign of life for a watch outside of this machine, as long as every stage turns.

A stage turns that begins a run again and again. One that fails each time, or has been in the same run for a quarter of
an hour, does not: then no sign is given, and whoever waits for it finds out. What calls other systems is left out: how
long that takes is up to them, and their silence is an alert of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from node.clock import to_text
from node.config.alerting import Heartbeat
from node.config.models import Configuration
from node.errors import NodeError
from node.notify import channels
from node.stage import Node, NodeStage
from node.store import pulse

log = structlog.get_logger(__name__)

_LOOK = 15.0
_LONGEST_RUN = 900.0
"""Seconds of one run after which a stage counts as stuck."""
_OF_OTHERS = ("deliver-", "fetch-", "report-", "commitment-of-")
"""How the names of stages begin that wait for other systems."""
NAME = "heartbeat"


@dataclass(frozen=True, slots=True)
class StageTurn:
    """When a stage last ended a run."""

    stage: str
    seconds: float
    """Since its last run ended; since it began where none has."""
    fails: bool
    """Its last runs failed as a whole."""

    @property
    def is_stuck(self) -> bool:
        """Whether it does no work."""
        return self.fails or (self.seconds > _LONGEST_RUN and not self.stage.startswith(_OF_OTHERS))


class HeartbeatStage(NodeStage):
    """Looks at the others; one thread calls `run_once`."""

    def __init__(self, node: Node, configuration: Configuration, turns: Callable[[], Sequence[StageTurn]]) -> None:
        self._clock = node.clock
        self._data = node.store.data
        self._turns = turns
        self._beat_at = float("-inf")
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Give the next sign as it says."""
        self._settings = configuration.heartbeat

    def run_once(self) -> float:
        """Say whether all turn, and give a sign if one is due; seconds until the next look."""
        stuck = sorted(each.stage for each in self._turns() if each.is_stuck and each.stage != NAME)
        pulse.note(self._data, self._clock.now(), stuck)
        settings = self._settings
        due = settings is not None and self._clock.monotonic() - self._beat_at >= settings.every.total_seconds()
        if settings is None or not due:
            return _LOOK
        if stuck:
            log.error("app.heartbeat-withheld", stages=stuck)
        elif self._beat(settings):
            self._beat_at = self._clock.monotonic()
        return _LOOK

    def _beat(self, settings: Heartbeat) -> bool:
        """Whether everybody got it; tried again at the next look if not."""
        try:
            if settings.file is not None:
                part = settings.file.with_name(f".{settings.file.name}")
                part.write_text(f"{to_text(self._clock.now())}\n")
                part.chmod(0o644)  # names nobody, and is for another program to look at
                part.rename(settings.file)
            if settings.url is not None:
                channels.ping(settings.url, settings.authorities, settings.timeout.total_seconds())
        except (OSError, NodeError) as error:
            log.warning("app.heartbeat-failed", reason=str(error))
            return False
        return True
