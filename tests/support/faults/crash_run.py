"""One run of the crash matrix: sender → node → plugin → archive, with what its plan does to them (`crash_plan`)."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydicom import dcmread

from node.dicom.part10 import kind_of
from node.dimse.scu import Peer
from node.dimse.storage_scu import StorageSCU
from node.errors import NodeError
from node.outcome import AnswerReading
from tests.support.faults import crash_rest, crash_site
from tests.support.faults.crash_plan import OF_FEATURE, CrashPlan, Feature, Kill, Victim
from tests.support.faults.crash_rest import Journey
from tests.support.faults.crash_site import CrashPorts, site_of
from tests.support.ports import free_ports
from tests.support.sites.listeners import web_service
from tests.support.sites.site import ROOT
from tests.support.wait import until

_LINES = {
    Victim.RECEIVER: "node.receive",
    Victim.NODE: "node.app",
    Victim.ENCODER: "multiprocessing.forkserver",
    Victim.WORKER: "plugins.worker",
    Victim.GUARD: "node.run.guard",
    Victim.BACKUP: "backup",
}
_AT_THE_END = OF_FEATURE[Feature.RETAIN]
_APPEARS = 5.0
"""Seconds that a victim may take to appear; otherwise it is not killed, which the run says."""
_SENT = 240.0
_REST = 0.5
"""Seconds for which nothing is under way before nobody waits for a transition any more."""
_LATER = 30 * 3600
"""Seconds after which retention may remove what there is."""


class CrashRun:
    """Plays one plan; a context manager, so that nothing of it outlives the test."""

    def __init__(self, folder: Path, plan: CrashPlan, images: Sequence[Path]) -> None:
        self.plan = plan
        self._control, self._archive = folder / "control", folder / "archive"
        for each in (self._control, self._archive / "held"):
            each.mkdir(parents=True)
        self._peer: subprocess.Popen[bytes] | None = None
        self._mishaps: list[BaseException] = []
        self._start = 0.0
        self._over = threading.Event()
        """Nothing is under way any more, or something failed."""
        self._failed = False
        self._killing = threading.Lock()
        self._opened = ExitStack()
        sink = self._opened.enter_context(web_service())
        node, archive, second = free_ports(3)
        self._ports = CrashPorts(node, archive, sink.url)
        faults = {"PACSNODE_TEST_CRASH": str(self._control), "PACSNODE_TEST_CRASH_DATA": str(folder / "node" / "data")}
        headers = {path: dcmread(path, stop_before_pixels=True) for path in images}
        self.journey = Journey(
            plan,
            site_of(folder / "node", plan, self._ports, faults),
            self._archive,
            {str(header.SOPInstanceUID): path for path, header in headers.items()},
            tuple(dict.fromkeys(str(header.StudyInstanceUID) for header in headers.values())),
            sink.received,
            folder / "copies",
            site_of(folder / "second", plan, replace(self._ports, node=second), {}),
        )

    def __enter__(self) -> Self:
        crash_site.give_to_archive(self._archive / "held", self.journey.files, self.plan)
        (self._archive / "script.json").write_text(json.dumps(self.plan.archive))
        (self._archive / "commitment.json").write_text(json.dumps(self.plan.commitment))
        data = self.journey.site.data
        self._is_disk = self.plan.disk == errno.ENOSPC and crash_site.mount(data)
        if self._is_disk:
            self._opened.callback(crash_site.unmount, data)
        self._start_archive()
        at = next((kill for kill in self.plan.kills if kill.event), None)
        said = {"event": at.event, "number": at.number, "when": at.when} if at else {}
        (self._control / "plan.json").write_text(json.dumps(said))
        self.journey.site.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opened:
            try:
                self.journey.site.__exit__(kind, error, trace)
            finally:
                assert self._peer is not None
                self._peer.kill()
                self._peer.wait()

    def play(self) -> Journey:
        """Send, do harm, and wait until nothing is under way; AssertionError where that does not come."""
        acts: list[Callable[[], None]] = [self._send]
        acts += [partial(self._kill, kill) for kill in self.plan.kills if kill.event not in _AT_THE_END]
        if self.plan.disk:
            acts.append(self._spoil_disk)
        if self.plan.jump:
            acts.append(self._jump)
        if Feature.BACKUP in self.plan.features:
            acts.append(self._back_up)
        self._act(acts, self._is_all_told)
        return self.journey

    def let_go(self) -> None:
        """Time passes, and retention removes what there is; with the kills of that."""
        kills = [partial(self._kill, kill) for kill in self.plan.kills if kill.event in _AT_THE_END]
        self._act([self._begin_retention, *kills], partial(crash_rest.is_gone, self.journey))

    def _act(self, acts: Sequence[Callable[[], None]], at_rest: Callable[[], bool]) -> None:
        """All of that at once, until nothing is under way."""
        self._start = time.monotonic()
        self._over.clear()
        threads = [threading.Thread(target=self._noting, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        try:
            self._wait_for_all(threads, at_rest)
        except BaseException:
            self._failed = True
            raise
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
        if self._mishaps:
            raise self._mishaps[0]
        over = time.monotonic()
        until(at_rest, what="all to be at rest")
        self.journey.seconds = max(self.journey.seconds, time.monotonic() - over)

    def _wait_for_all(self, threads: Sequence[threading.Thread], at_rest: Callable[[], bool]) -> None:
        """Until they have ended; where nothing is under way any more, they need not wait for what does not come."""
        since = time.monotonic()
        while any(thread.is_alive() for thread in threads) and not self._mishaps:
            if not at_rest():
                since = time.monotonic()
            if time.monotonic() > since + _REST:
                self._over.set()
            time.sleep(0.1)  # a poll interval

    def _is_all_told(self) -> bool:
        return all(crash_rest.is_at_rest(self.journey, study) for study in self.journey.studies)

    def _noting(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again once all threads have ended
            self._failed = True
            self._mishaps.append(error)

    # --- the sender -------------------------------------------------------------------------------

    def _send(self) -> None:
        """As a modality does: until each object was answered with success, over as many associations as it takes."""
        left = list(self.journey.files.values())
        end = time.monotonic() + _SENT
        while left:
            assert time.monotonic() < end, f"{len(left)} objects were not taken in {_SENT} s"
            assert not self._failed, "something else failed"
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
        """A moment by chance is what is tested; where all is over by then, it is now."""
        self._over.wait(max(0.0, self._start + seconds - time.monotonic()))

    def _kill(self, kill: Kill) -> None:
        reached = self._control / "reached"
        if kill.event is None:
            self._wait_for(kill.seconds)
        else:
            while not reached.exists():
                if self._over.is_set():
                    self.journey.killed.append(f"{kill}: never reached")
                    (self._control / "go").touch()
                    return
                time.sleep(0.005)
        try:
            with self._killing:
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
            found = [each for each in self.journey.site.processes() if _says(each, line)]
            if found:  # of the encoder, readers and what these are forked from, another one in each run
                return found[self.plan.seed % len(found)]
            time.sleep(0.02)
        return None

    def _spoil_disk(self) -> None:
        self._wait_for(self.plan.disk_from)
        end = time.monotonic() + self.plan.disk_for
        if not self._is_disk:
            self._say("errno", self.plan.disk)
            time.sleep(self.plan.disk_for)  # for how long is what is tested
            (self._control / "errno").unlink()
            return
        while time.monotonic() < end:
            filler = crash_site.fill(self.journey.site.data)
            time.sleep(0.02)  # what others delete is taken, too
        filler.unlink()

    def _jump(self) -> None:
        self._wait_for(self.plan.disk_from)
        self._say("jump", self.plan.jump)

    def _say(self, name: str, value: object) -> None:
        part = self._control / f"{name}.part"
        part.write_text(str(value))
        part.rename(self._control / name)

    def _back_up(self) -> None:
        self._wait_for(self.plan.backup_from)
        self._as_the_admin("backup", str(self.journey.backups))

    def _begin_retention(self) -> None:
        self._say("jump", self.plan.jump + _LATER)
        self._as_the_admin("retention")

    def _as_the_admin(self, *command: str) -> None:
        """Who gives the command again where it failed."""
        end = time.monotonic() + _SENT
        while (done := self.journey.site.command(*command, faulty=True)).returncode != 0:
            assert time.monotonic() < end, done.stderr
            assert not self._failed, "something else failed"
            time.sleep(0.1)

    def _start_archive(self) -> None:
        listening = self._archive / "listening"
        listening.unlink(missing_ok=True)
        self._peer = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.programs.scripted_archive", str(self._archive)),
                *(str(self._ports.archive), str(self._ports.node)),
            ],
            cwd=ROOT,
        )
        until(listening.exists, what="the archive to listen")


def _says(process: psutil.Process, line: str) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return any(line in part for part in process.cmdline()[:6])
    return False
