"""Whatever comes in whatever order: each study keeps its order, nothing is lost, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger.delivery import DeliveryStatus
from tests.unit.deliver.test_load import LoadRoom, in_order

STUDIES = ("1.2.3", "1.2.4", "1.2.5")
STEPS = st.one_of(
    st.tuples(st.just("forward"), st.sampled_from(STUDIES), st.integers(1, 4)),
    st.tuples(st.sampled_from(["result", "urgent"]), st.sampled_from(STUDIES), st.just(0)),
    st.tuples(st.sampled_from(["down", "up", "run", "restart"]), st.just(""), st.just(0)),
    st.tuples(st.just("limit"), st.just(""), st.integers(1, 3)),
    st.tuples(st.just("pass"), st.just(""), st.integers(1, 40)),
)


class Course:
    """What happened at a destination, and what has to come of it."""

    def __init__(self, room: LoadRoom) -> None:
        self.room = room
        self.images: dict[str, list[str]] = {study: [] for study in STUDIES}
        self.results: dict[tuple[str, str], list[str]] = {}
        self._number = 0

    def take(self, step: str, study: str, number: int) -> None:
        """One step."""
        archive, room = self.room.archive, self.room
        steps: dict[str, Callable[[], object]] = {
            "forward": lambda: self.images[study].extend(room.forward(study, number)),
            "result": lambda: self._result(room.result, step, study),
            "urgent": lambda: self._result(room.urgent, step, study),
            "down": lambda: setattr(archive, "is_down", True),
            "up": lambda: setattr(archive, "is_down", False),
            "limit": lambda: setattr(archive, "limit", number),
            "pass": lambda: room.clock.pass_(minutes=number),
            "run": room.outbox.run_once,
            "restart": room.restart,
        }
        steps[step]()

    def _result(self, make: Callable[[str, str], str], step: str, study: str) -> None:
        self._number += 1
        uid = make(study, f"{study}.9.{self._number}")
        self.results.setdefault((study, step), []).append(uid)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=25), st.integers(1, 3))
def test_the_order_of_each_study_is_kept_whatever_happens(steps: list[tuple[str, str, int]], lanes: int) -> None:
    """Down and up, fewer associations, restarts, urgent results in between: all of it arrives once, in order."""
    with TemporaryDirectory() as folder:
        room = LoadRoom(Path(folder) / "node")
        room.use(associations=lanes)
        course = Course(room)
        for step in steps:
            course.take(*step)
        room.archive.is_down, room.archive.limit = False, None
        for _ in range(4):
            room.clock.pass_(minutes=31)
            room.run()
        stored = room.archive.stored
        assert {each.status for each in room.rows()} <= {DeliveryStatus.DELIVERED}
        assert len(stored) == len(set(stored)) == len(room.rows())
        assert all(in_order(stored, uids) for uids in course.images.values())
        assert all(in_order(stored, uids) for uids in course.results.values())
        room.ledger.close()
