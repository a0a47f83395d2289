"""A whole node, as a site runs it: `pacsnode serve` in a process of its own, asked by ledger and commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from node.errors import NodeError
from node.ledger import database, deliveries, jobs, studies
from node.ledger.database import Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import OPEN, Job, JobStatus
from node.ledger.studies import StudyStatus
from node.run.kinds.python import BUNDLE
from node.run.leftovers import WARM
from node.serve.listening import LISTENING
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = Path(__file__).resolve().parents[1]
_MARK = "PACSNODE_TEST_SITE"
"""In the environment of every process of a site: so that none of them is overlooked in the end."""
_LOG_SHOWN = 60_000


def destination(ae_title: str, port: int, **more: object) -> dict[str, object]:
    """A destination on the loopback interface that is tried again soon."""
    retry = {"first": "500ms", "factor": 1, "longest": "500ms"}
    return {"ae_title": ae_title, "host": "127.0.0.1", "port": port, "timeout": "20s", "retry": retry, **more}


def rule(plugin: str = "mean-hu", **more: object) -> dict[str, object]:
    """A rule that gives a study's one CT series to a plugin and sends what comes of it to `pacs`."""
    return {
        "name": plugin,
        "description": f"Acceptance of {plugin}",
        "when": {"Modality": "CT"},
        "choose": {"where": {"Modality": "CT"}, "take": "one"},
        "run": plugin,
        "send": "pacs",
        "mode": "pilot",
        **more,
    }


class Site:
    """One node on a folder of its own.

        with Site(tmp_path / "node", {"pacs": destination("PACS", pacs.port)}) as site:
            storescu(site.port, files, called="PACSNODE", calling="CT1")
            site.wait_delivered(study, objects=3)

    Studies are complete soon after their association has ended. The plugin `mean-hu` is there from a copy of `mean_hu`
    of the site's own, so that a test may put files beside it (`plugin`). Where the body of the `with` fails, the node's
    log is shown; in every case no process of the node outlives it.
    """

    def __init__(
        self,
        folder: Path,
        destinations: Mapping[str, Mapping[str, object]],
        rules: Sequence[Mapping[str, object]] | None = None,
        plugins: Mapping[str, Mapping[str, object]] | None = None,
        node: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        modalities: Mapping[str, Mapping[str, object]] | None = None,
        faults: str = "killing",
        sections: Mapping[str, object] | None = None,
    ) -> None:
        """`faults`: the folder of tests/support/faults whose sitecustomize reads `environment`.

        `sections`: more of them for the configuration.
        """
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "config.yaml"
        self.plugin = folder / "mean_hu"
        self.port = 0
        self._environment, self._faults = dict(environment or {}), faults
        self._mark = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        self._ledger: Ledger | None = None
        folder.mkdir(parents=True)
        self._sections = dict(sections or {})
        shutil.copytree(SUPPORT / "sites" / "mean_hu", self.plugin, ignore=shutil.ignore_patterns("__pycache__"))
        self._configure(destinations, [rule()] if rules is None else rules, plugins or {}, node or {}, modalities or {})

    def _configure(
        self,
        destinations: Mapping[str, Mapping[str, object]],
        rules: Sequence[Mapping[str, object]],
        plugins: Mapping[str, Mapping[str, object]],
        node: Mapping[str, object],
        modalities: Mapping[str, Mapping[str, object]],
    ) -> None:
        mean_hu = {"folder": str(self.plugin), "at_once": 2, **plugins.get("mean-hu", {})}
        configuration = {
            "node": {
                "ae_title": "PACSNODE",
                "time_zone": "Asia/Seoul",
                "listen": {"host": "127.0.0.1", "port": 0},
                "completion": {"quiet": "200ms", "quiet_by_modality": {}},
                **node,
            },
            "modalities": {"ct1": {"ae_title": "CT1"}, "ct2": {"ae_title": "CT2"}, **modalities},
            "destinations": destinations,
            "plugins": {**plugins, "mean-hu": mean_hu},
            "rules": rules,
            **self._sections,
        }
        self.config.write_text(json.dumps(configuration, indent=2))  # JSON is YAML too

    # --- its processes ----------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it, and return when it listens and its ledger is there."""
        environment = self.environment()
        with (self.folder / "node.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", "node.cli", "serve", "--allow-root", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder,
            )
        said = until(lambda: self._listening() or process.poll() is not None, what="the node to listen")
        assert isinstance(said, dict), f"the node ended at once, exit {process.poll()}:\n{self.log()}"
        self.port = int(said["port"])
        self._ledger = until(self._opened, what="the ledger")
        return self

    def _listening(self) -> dict[str, Any] | None:
        """What this node (not one before it, that was killed) says of itself."""
        try:
            said: dict[str, Any] = json.loads((self.data / LISTENING).read_text())
        except (OSError, ValueError):
            return None
        return said if self._process is not None and said["pid"] == self._process.pid else None

    def _opened(self) -> Ledger | None:
        try:
            return Ledger.existing(self.data / database.FILE)
        except NodeError:
            return None  # not made, or not to its end

    def stop(self) -> None:
        """SIGTERM: it drains, ends with 0 and leaves no process."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(timeout=240)
        assert code == 0, f"the node ended with {code} when it was told to stop"
        self._forget()
        until(lambda: not self.processes(), what="the last process to end")

    def kill(self) -> None:
        """SIGKILL to the supervisor alone: all others have to end by themselves, and the port has to be free."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._forget()
        until(lambda: not self.processes(), what="the children of the killed supervisor to end")

    def power_off(self) -> None:
        """Everything at once, so that nobody sees the others die."""
        found = self.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        until(lambda: not self.processes(), what="all processes to be gone")
        self._forget()

    def restart(self) -> None:
        """Start again on the same folder."""
        assert self._process is None, "it still runs"
        self.start()

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._process = None
        if self._ledger is not None:
            self._ledger.close()

    def processes(self) -> list[psutil.Process]:
        """Every living process of this node: by the mark they inherit, or (plugins) by the folder they work in."""
        found = []
        for pid in psutil.pids():
            if pid != os.getpid() and self._is_ours(pid):
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return found

    def _is_ours(self, pid: int) -> bool:
        """By what the kernel shows of it: psutil takes ten times as long, and tests ask again and again.

        Of a zombie nothing is shown.
        """
        shown = Path(f"/proc/{pid}")
        try:
            if f"{_MARK}={self._mark}".encode() in (shown / "environ").read_bytes():
                return True
            return str(self.data / "work").encode() in (shown / "cmdline").read_bytes()
        except OSError:  # it has ended, or is of somebody else
            return False

    def process(self, named: str) -> psutil.Process | None:
        """The process that runs the module `named`, such as `node.app`; of a plugin itself, not what confines it."""
        for each in self.processes():
            with suppress(psutil.NoSuchProcess):
                if each.cmdline()[1:4] == ["-P", "-m", named]:
                    return each
        return None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._end(failed=True)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(failed=error is not None)

    def _end(self, *, failed: bool) -> None:
        try:
            if not failed and self._process is not None:
                self.stop()
        except BaseException:
            failed = True
            raise
        finally:
            left = self.processes()
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._forget()
            if failed:
                print(f"--- log of the node in {self.folder} ---\n{self.log()[-_LOG_SHOWN:]}")

    # --- what it says -----------------------------------------------------------------------------

    def log(self) -> str:
        """What all its processes have written so far."""
        return (self.folder / "node.log").read_text(errors="replace")

    @property
    def ledger(self) -> Ledger:
        """Its ledger, to read in."""
        assert self._ledger is not None
        return self._ledger

    def environment(self) -> dict[str, str]:
        """Of its processes: with the mark, and with the faults that it has."""
        paths = [str(SUPPORT / "faults" / self._faults), str(ROOT)] if self._environment else [str(ROOT)]
        found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), _MARK: self._mark, **self._environment}
        found.pop("PYTHONDONTWRITEBYTECODE", None)  # five processes that compile everything anew are slow
        return found

    def command(self, *arguments: str, faulty: bool = False) -> subprocess.CompletedProcess[str]:
        """Run `pacsnode ARGUMENTS` on its configuration, as the admin does; `faulty`: as one of its processes."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "node.cli", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.folder,
            env=self.environment() if faulty else {**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def status(self) -> dict[str, Any]:
        """What `pacsnode status --json` says."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def wait_delivered(self, study: str, objects: int, revision: int = 1, deadline_seconds: float = 600) -> list[Job]:
        """Wait until this revision is decided, nothing is under way, and so many objects of the study are delivered.

        Returns the study's jobs. Fails at once where something has come to a stand that only a person can end.
        """
        until(
            lambda: self._at_rest(study, revision) and len(self._delivered(study)) >= objects,
            deadline_seconds,
            f"{objects} objects of {study} to be delivered",
        )
        sent = [each for each in self._results(study) if each.status is not DeliveryStatus.REPLACED]
        assert len(sent) == len(self._delivered(study)) == objects, [(each.status, each.error) for each in sent]
        return jobs.of_study(self.ledger.database, study)

    def _results(self, study: str) -> list[Delivery]:
        return deliveries.results_of_study(self.ledger.database, study)

    def _delivered(self, study: str) -> list[Delivery]:
        found = self._results(study)
        stuck = [each for each in found if each.status in (DeliveryStatus.HELD, DeliveryStatus.DEAD)]
        assert not stuck, [(each.status, each.hold or each.error) for each in stuck]
        return [each for each in found if each.status is DeliveryStatus.DELIVERED]

    def _at_rest(self, study: str, revision: int) -> bool:
        rows = self.ledger.database
        found = studies.get(rows, study)
        if found is None or found.status is not StudyStatus.COMPLETE:
            return False
        assert found.hold is None, found.hold
        work = jobs.of_study(rows, study)
        lost = [job for job in work if job.status is JobStatus.UNREPORTABLE]
        assert not lost, [job.error for job in lost]
        open_jobs = any(job.status in OPEN for job in work)
        return found.decided_revision == found.revision >= revision and not open_jobs

    def left_over(self) -> list[str]:
        """What lies in `incoming/` and `work/` beyond what belongs there."""
        found = [*(self.data / "incoming").iterdir(), *(self.data / "work").iterdir()]
        return [path.name for path in found if path.name not in (BUNDLE, WARM) and path.suffix != ".slot"]
