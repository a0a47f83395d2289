"""The sweep: every few seconds all stages look, and the calendar looks at the clock.

Timers are rows; this only makes sure that nobody sleeps through one, whatever happened to a wake-up. It uses the
monotonic clock (`node.app.workers`), so it continues when somebody sets the wall clock back.
"""

from __future__ import annotations

from node.app.schedule import Schedule
from node.stage import Node, NodeStage

SECONDS = 5.0


class Sweep(NodeStage):
    """One thread calls `run_once`."""

    def __init__(self, node: Node, schedule: Schedule) -> None:
        self._wakes = node.wakes
        self._schedule = schedule

    def run_once(self) -> float:
        """Wake every stage; seconds until the next time."""
        self._wakes.wake_all()
        self._schedule.look()
        return SECONDS
