"""One run of the crash matrix: sender → node → plugin → archive, with what its plan does to them (`crash_plan`)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydicom import dcmread

from node.dicom.part10 import kind_of
from node.dimse.scu import Peer
from node.dimse.storage_scu import StorageSCU
from node.errors import NodeError
from node.ledger import deliveries, forwards, jobs, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import OPEN
from node.ledger.studies import StudyStatus
from node.outcome import AnswerReading
from tests.support.faults.crash_plan import CrashPlan, Kill, Victim
from tests.support.ports import free_port
from tests.support.sites.site import ROOT, Site, destination, rule
from tests.support.wait import until

SLICES = 6
"""Of each study; the rule wants all of them."""
_RETRY = {"first": "300ms", "factor": 1, "longest": "300ms"}
_LINES = {
    Victim.RECEIVER: "node.receive",
    Victim.NODE: "node.app",
    Victim.ENCODER: "multiprocessing.spawn",
    Victim.WORKER: "plugins.worker",
    Victim.GUARD: "node.run.guard",
}
_APPEARS = 5.0
"""Seconds that a victim may take to appear; otherwise it is not killed, which the run says."""
_SENT = 120.0


@dataclass
class Journey:
    """What a run leaves for the checks."""

    plan: CrashPlan
    site: Site
    archive: Path
    files: Mapping[str, Path]
    """SOP Instance UID → the file that was sent."""
    studies: Sequence[str]
    killed: list[str] = field(default_factory=list)
    """What became of each kill."""
    seconds: float = 0.0
    """From the last fault until nothing was under way."""
    lost: int = 0
    """Objects that were answered with success and are not indexed, and results that the archive does not have."""
    twice: int = 0
    """Results that the archive has with more than one content, or in more than one file."""

    def kept(self) -> Iterator[tuple[str, str]]:
        """SOP Instance UID and SHA-256 of the data set of each object that the archive kept, in order."""
        log = self.archive / "kept.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            uid, digest = line.split()
            yield uid, digest


class CrashRun:
    """Plays one plan; a context manager, so that nothing of it outlives the test."""

    def __init__(self, folder: Path, plan: CrashPlan, images: Sequence[Path]) -> None:
        self.plan = plan
        self._control, self._archive = folder / "control", folder / "archive"
        for each in (self._control, self._archive / "held"):
            each.mkdir(parents=True)
        self._port = free_port()
        self._peer: subprocess.Popen[bytes] | None = None
        self._mishaps: list[BaseException] = []
        self._start = 0.0
        self._forwards = plan.seed % 2 == 1
        headers = {path: dcmread(path, stop_before_pixels=True) for path in images}
        files = {str(header.SOPInstanceUID): path for path, header in headers.items()}
        uids = dict.fromkeys(str(header.StudyInstanceUID) for header in headers.values())
        self.journey = Journey(plan, self._site(folder / "node"), self._archive, files, tuple(uids))

    def _site(self, folder: Path) -> Site:
        whole = {"where": {"Modality": "CT", "image_count": {"at_least": SLICES}}, "take": "one"}
        copies = {"name": "copies", "when": {"Modality": "CT"}, "mode": "clinical", "forward": {"to": ["pacs"]}}
        return Site(
            folder,
            {"pacs": {**destination("PACS", self._port), "retry": _RETRY}},
            [rule(choose=whole), *([copies] if self._forwards else [])],
            environment={
                "PACSNODE_TEST_CRASH": str(self._control),
                "PACSNODE_TEST_CRASH_DATA": str(folder / "data"),
            },
            faults="crashing",
        )

    def __enter__(self) -> Self:
        if not self._forwards:  # else the archive gets them from the node, before the results
            for uid, path in self.journey.files.items():
                (self._archive / "held" / f"{uid}.dcm").symlink_to(path)
        (self._archive / "script.json").write_text(json.dumps(self.plan.archive))
        self._start_archive()
        at = next((kill for kill in self.plan.kills if kill.event), None)
        said = {"event": at.event, "number": at.number, "when": at.when} if at else {}
        (self._control / "plan.json").write_text(json.dumps(said))
        self.journey.site.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.journey.site.__exit__(kind, error, trace)
        finally:
            assert self._peer is not None
            self._peer.kill()
            self._peer.wait()

    def play(self) -> Journey:
        """Send, do harm, and wait until nothing is under way; AssertionError where that does not come."""
        self._start = time.monotonic()
        acts: list[Callable[[], None]] = [self._send, *(lambda kill=kill: self._kill(kill) for kill in self.plan.kills)]
        if self.plan.disk:
            acts.append(self._spoil_disk)
        if self.plan.jump:
            acts.append(self._jump)
        threads = [threading.Thread(target=self._noting, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._mishaps:
            raise self._mishaps[0]
        over = time.monotonic()
        for study in self.journey.studies:
            until(lambda study=study: self._at_rest(study), deadline_seconds=90, what=f"{study} to be at rest")
        self.journey.seconds = time.monotonic() - over
        return self.journey

    def _noting(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again once all threads have ended
            self._mishaps.append(error)

    # --- the sender -------------------------------------------------------------------------------

    def _send(self) -> None:
        """As a modality does: until each object was answered with success, over as many associations as it takes."""
        left = list(self.journey.files.values())
        end = time.monotonic() + _SENT
        while left:
            assert time.monotonic() < end, f"{len(left)} objects were not taken in {_SENT} s"
            taken = self._stored(left)
            left = [path for path in left if path not in taken]
            if left:
                time.sleep(0.2)  # a modality's own pause

    def _stored(self, files: Sequence[Path]) -> set[Path]:
        taken = set()
        with suppress(NodeError), StorageSCU(self._node(), {kind_of(path) for path in files}) as association:
            for path in files:
                outcome = association.store(path)
                if outcome.reading in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING):
                    taken.add(path)
        return taken

    def _node(self) -> Peer:
        return Peer("127.0.0.1", self.journey.site.port, "PACSNODE", "CT1", 10)

    # --- the harm ---------------------------------------------------------------------------------

    def _wait_for(self, seconds: float) -> None:
        while time.monotonic() < self._start + seconds:
            time.sleep(0.01)  # a moment by chance is what is tested

    def _kill(self, kill: Kill) -> None:
        reached = self._control / "reached"
        if kill.event is None:
            self._wait_for(kill.seconds)
        else:
            end = self._start + _SENT
            while not reached.exists():
                if time.monotonic() > end:
                    self.journey.killed.append(f"{kill}: never reached")
                    return
                time.sleep(0.005)
        try:
            self.journey.killed.append(f"{kill}: {self._end(kill.victim)}")
        finally:
            if kill.event is not None:
                (self._control / "go").touch()

    def _end(self, victim: Victim) -> str:
        site = self.journey.site
        match victim:
            case Victim.ARCHIVE:
                assert self._peer is not None
                self._peer.kill()
                self._peer.wait()
                self._start_archive()
            case Victim.SUPERVISOR:
                site.kill()
                site.restart()
            case Victim.EVERYTHING:
                site.power_off()
                site.restart()
            case _:
                found = self._process(_LINES[victim])
                if found is None:
                    return "nobody there"
                found.kill()
        return "done"

    def _process(self, line: str) -> psutil.Process | None:
        end = time.monotonic() + _APPEARS
        while time.monotonic() < end:
            for each in self.journey.site.processes():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if any(line in part for part in each.cmdline()[:6]):
                        return each
            time.sleep(0.02)
        return None

    def _spoil_disk(self) -> None:
        self._wait_for(self.plan.disk_from)
        part = self._control / "errno.part"
        part.write_text(str(self.plan.disk))
        part.rename(self._control / "errno")
        self._wait_for(self.plan.disk_from + self.plan.disk_for)
        (self._control / "errno").unlink()

    def _jump(self) -> None:
        self._wait_for(self.plan.disk_from)
        part = self._control / "jump.part"
        part.write_text(str(self.plan.jump))
        part.rename(self._control / "jump")

    def _start_archive(self) -> None:
        listening = self._archive / "listening"
        listening.unlink(missing_ok=True)
        self._peer = subprocess.Popen(
            [sys.executable, "-m", "tests.support.programs.scripted_archive", str(self._archive), str(self._port)],
            cwd=ROOT,
        )
        until(listening.exists, what="the archive to listen")

    # --- rest -------------------------------------------------------------------------------------

    def _at_rest(self, study: str) -> bool:
        """Complete, decided, no job open, everything delivered; raises where only a person could go on."""
        try:
            rows = self.journey.site.ledger.database
            found = studies.get(rows, study)
            if found is None or found.status is not StudyStatus.COMPLETE or found.decided_revision < found.revision:
                return False
            work = jobs.of_study(rows, study)
            sent = deliveries.results_of_study(rows, study)
            images = {each.status for each in forwards.of_study(rows, study)}
        except NodeError:
            return False
        assert found.hold is None, found.hold
        states = {each.status for each in sent} | images
        stuck = states & {DeliveryStatus.HELD, DeliveryStatus.DEAD}
        assert not stuck, [(each.status, each.hold or each.error) for each in sent]
        open_ones = any(job.status in OPEN for job in work)
        return bool(work) and not open_ones and bool(sent) and states <= {DeliveryStatus.DELIVERED}
