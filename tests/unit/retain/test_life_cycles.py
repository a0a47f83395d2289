"""Random life cycles of studies, with purges and crashes between: what is needed is never gone, no orphan is left."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.ledger import deliveries, forwards, instances, job_files, jobs, purges, studies, tallies
from node.ledger.delivery import DeliveryStatus
from node.ledger.forwards import ForwardTerms
from node.ledger.instances import InstanceStatus
from node.ledger.job_files import JobFiles
from node.ledger.studies import StudyImages
from node.retain import removal
from node.retain.stage import RetainStage, begin
from tests.support.sites.outcomes import match, queue_job
from tests.support.sites.retained import RetainSite, configured, run

FILES = {"unmatched": "1d", "fetched": "1d", "images": "2d", "results": "2d", "work": "1d"}
ROWS = {"facts": "3d", "events": "3d", "delivered_objects": "400d"}
NUMBERS = st.integers(0, 3)


class CrashError(BaseException):
    """The node dies."""


class LifeCycles(RuleBasedStateMachine):
    """A few studies; the machine keeps its own list of who needs what, and never asks the ledger for it."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.site = RetainSite(Path(self.folder.name))
        self.receipts: dict[str, list[str]] = {}
        self.needs: dict[str, set[str]] = {}
        self.deleted_by_others: set[str] = set()
        self.jobs: dict[str, str] = {}

    def teardown(self) -> None:
        self.site.ledger.close()
        self.folder.cleanup()

    def _is_here(self, number: int) -> str | None:
        uid = f"1.{number}"
        return uid if uid in self.receipts and self.site.images(uid) is StudyImages.HERE else None

    @rule(number=NUMBERS, count=st.integers(1, 4), origin=st.sampled_from(["received", "retrieved"]))
    def arrive(self, number: int, count: int, origin: str) -> None:
        uid = f"1.{number}"
        if uid not in self.receipts:
            self.receipts[uid] = self.site.study(uid, count, origin=origin)
            self.needs[uid] = set()

    @rule(number=NUMBERS)
    def a_job_waits(self, number: int) -> None:
        uid = self._is_here(number)
        if uid is not None and uid not in self.jobs:
            self.jobs[uid] = queue_job(self.site.ledger, self.site.hand.now(), uid, self.receipts[uid]).id
            self.needs[uid].add("job")

    @rule(number=NUMBERS)
    def a_job_is_cancelled(self, number: int) -> None:
        uid = f"1.{number}"
        if "job" in self.needs.get(uid, ()):
            with self.site.ledger.transaction() as database:
                jobs.cancel(database, self.site.hand.now(), self.jobs[uid], "why")
            self.needs[uid].remove("job")

    @rule(number=NUMBERS)
    def a_result_is_delivered(self, number: int) -> None:
        uid = self._is_here(number)
        if uid is not None and uid not in self.jobs:
            self.jobs[uid] = self.site.reported(uid, self.receipts[uid])

    @rule(number=NUMBERS)
    def images_are_forwarded(self, number: int) -> None:
        uid = self._is_here(number)
        if uid is None:
            return
        now = self.site.hand.now()
        with self.site.ledger.transaction() as database:
            decision = match(database, now, uid)
            those = instances.of_study(database, uid)
            if forwards.enqueue(database, now, uid, ForwardTerms("vna", decision.id, "r"), those):
                self.needs[uid].add("forward")

    @rule(number=NUMBERS, end=st.sampled_from(["delivered", "dead", "cancelled"]))
    def forwarding_ends(self, number: int, end: str) -> None:
        uid = f"1.{number}"
        if not {"forward", "dead"} & self.needs.get(uid, set()):
            return
        with self.site.ledger.transaction() as database:
            for each in deliveries.of_study(database, uid):
                if each.is_image and each.status is DeliveryStatus.WAITING and end == "delivered":
                    deliveries.sending(database, self.site.hand.now(), each.id)
                    deliveries.delivered(database, self.site.hand.now(), each.id, None)
                    self.needs[uid].discard("forward")
                elif each.is_image and each.status is DeliveryStatus.WAITING and end == "dead":
                    deliveries.dead(database, self.site.hand.now(), each.id, "refused")
                    self.needs[uid].discard("forward")
                    self.needs[uid].add("dead")
            if end == "cancelled":
                forwards.cancel(database, self.site.hand.now(), uid, "why")
                self.needs[uid] -= {"forward", "dead"}

    @rule(number=NUMBERS, pinned=st.booleans())
    def a_person_pins(self, number: int, pinned: bool) -> None:
        uid = self._is_here(number)
        if uid is not None:
            with self.site.ledger.transaction() as database:
                database.execute("DELETE FROM pins WHERE study_instance_uid=?", [uid])
                if pinned:
                    sql = "INSERT INTO pins (study_instance_uid, why, by, since) VALUES (?, 'pilot', 'os:a', '')"
                    database.execute(sql, [uid])
            self.needs[uid] -= {"pin"}
            self.needs[uid] |= {"pin"} if pinned else set()

    @rule(number=NUMBERS, held=st.booleans())
    def a_study_is_held(self, number: int, held: bool) -> None:
        uid = self._is_here(number)
        if uid is not None:
            with self.site.ledger.transaction() as database:
                if held:
                    studies.hold(database, self.site.hand.now(), uid, "why", alert=False)
                else:
                    studies.unhold(database, self.site.hand.now(), uid, "os:a")
            self.needs[uid] -= {"hold"}
            self.needs[uid] |= {"hold"} if held else set()

    @rule(number=NUMBERS)
    def somebody_deletes_a_file(self, number: int) -> None:
        uid = self._is_here(number)
        if uid is not None and not self.needs[uid]:
            receipt = self.receipts[uid][0]
            removal.received(self.site.data_folder, [receipt])
            self.deleted_by_others.add(receipt)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.site.hand.pass_(hours=hours)

    @rule(steps=st.integers(0, 8), space=st.booleans())
    def the_node_dies_in_a_purge(self, steps: int, space: bool) -> None:
        """After some deleted files, wherever that is."""
        unlink, left = Path.unlink, [steps]

        def die(path: Path, missing_ok: bool = False) -> None:
            if not left[0]:
                raise CrashError
            left[0] -= 1
            unlink(path, missing_ok)

        Path.unlink = die  # type: ignore[method-assign,assignment]
        try:
            self._purge(space)
        except CrashError:
            pass
        finally:
            Path.unlink = unlink  # type: ignore[method-assign]

    @rule(space=st.booleans())
    def a_night_goes_by(self, space: bool) -> None:
        self._purge(space)
        database = self.site.ledger.database
        assert purges.under_way(database) == []
        assert job_files.under_way(database) == []
        named = {receipt for (receipt,) in database.execute("SELECT receipt FROM instances").fetchall()}
        assert set(self.site.stored()) == named - self.deleted_by_others, "an orphan, or a file that is missing"
        assert tallies.wrong(database) == []
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []

    def _purge(self, space: bool) -> None:
        below = {"below": "1GiB", "first": ["unmatched", "images", "fetched", "results"]} if space else {}
        stage = RetainStage(self.site.node, configured(**FILES, **ROWS, **below), free=lambda: 0)
        begin(self.site.node)
        run(stage)

    @invariant()
    def what_is_needed_is_here(self) -> None:
        stored = set(self.site.stored())
        for uid, needs in self.needs.items():
            if needs:
                assert self.site.images(uid) is StudyImages.HERE, (uid, needs)
                assert set(self.receipts[uid]) - self.deleted_by_others <= stored, (uid, needs)
                kept = instances.of_study(self.site.ledger.database, uid, list(InstanceStatus))
                assert len(kept) == len(self.receipts[uid])

    @invariant()
    def files_of_jobs_are_where_the_ledger_says(self) -> None:
        for job in self.jobs.values():
            state = job_files.state(self.site.ledger.database, job)
            folder = self.site.data_folder.results / job
            if state is JobFiles.GONE:
                assert not folder.exists()


TestLifeCycles = LifeCycles.TestCase
TestLifeCycles.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
