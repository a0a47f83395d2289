"""One attempt at a job, from claimed to settled, in a thread of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from node.clock import to_text
from node.errors import TransientError
from node.ledger.job import Job
from node.processes.pool import CallCancelledError, Pool
from node.run import answer, inputs
from node.run.catalogue import SitePlugin
from node.run.executor import Ending, Exit
from node.run.inputs import InputChangedError, InputDamagedError, InputGoneError
from node.run.retry import Failure, FailureKind
from node.run.settle import Settler
from node.store.layout import Spool
from plugins import exchange
from plugins.manifest import ParameterError
from plugins.untrusted import ExchangeError

_LEAST_FREE = 64 * 2**20
"""Bytes free below which a failure is blamed on the disk, not on the plugin."""
_KINDS = {
    Ending.EXITED: FailureKind.CRASH,
    Ending.SIGNALLED: FailureKind.CRASH,
    Ending.DEADLINE: FailureKind.DEADLINE,
    Ending.MEMORY: FailureKind.MEMORY,
    Ending.PROCESSES: FailureKind.RESOURCES,
    Ending.DISK: FailureKind.RESOURCES,
    Ending.NOT_STARTED: FailureKind.NODE,
}
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One attempt, and how it is stopped."""

    job: Job
    plugin: SitePlugin
    spool: Spool
    settler: Settler
    reader: Pool
    """The processes in which its result is read."""
    cancel: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Do it and settle it; raises nothing: what it could not settle is found running without an attempt."""
        try:
            self._run(self.spool.work / self.job.id / str(self.job.attempts))
        except TransientError as error:
            log.warning("run.unsettled", job=self.job.id, error=str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must end neither the thread nor the job's story
            self._defect(error)
        finally:
            self._clean()

    def _run(self, folder: Path) -> None:
        settler, job = self.settler, self.job
        try:
            given = inputs.gather(
                settler.ledger.database, job, self.plugin, self.plugin.manifest.parameters_for(job.parameters)
            )
            answer.remove(folder)  # of an attempt that was not counted, and could not be tidied up
            request = inputs.lay_out(given, folder, self.spool)
            ended = self.plugin.executor.execute(folder, self.plugin.limits, self.cancel)
            self._log(folder, ended)
            order = answer.Order(folder, given.request, request, self.plugin.manifest, self.spool.results / job.id)
            if ended.ending is Ending.CANCELLED:
                settler.interrupted(job)
            elif ended.ending is Ending.DEADLINE and (late := self._whole_all_the_same(order)):
                self._note("it had left a whole result before its deadline and did not end: the result is taken")
                settler.answered(job, late)
            elif failure := _failure(ended, folder):
                settler.failed(job, failure, self.plugin)
            else:
                settler.answered(job, self._accepted(order))
        except CallCancelledError:
            settler.interrupted(job)
        except InputChangedError as error:
            settler.cancelled(job, str(error))
        except InputDamagedError as error:
            settler.damaged(job, error, self.plugin)
        except (InputGoneError, ParameterError) as error:
            settler.failed(job, Failure(FailureKind.INPUT, str(error)), self.plugin)
        except ExchangeError as error:
            settler.failed(job, Failure(FailureKind.CONTRACT, str(error)), self.plugin)
        except OSError as error:
            settler.failed(job, Failure(FailureKind.NODE, str(error)), self.plugin)

    def _accepted(self, order: answer.Order) -> answer.Accepted:
        accepted = answer.accept(self.reader, order, self.cancel.is_set)
        if accepted.ignored:
            shown = ", ".join(accepted.ignored)
            self._note(f"ignored in out/, as the result does not name it: {shown}", len(accepted.ignored))
        return accepted

    def _whole_all_the_same(self, order: answer.Order) -> answer.Accepted | None:
        """What a process that hangs has left: result.json is there only when the result is whole (case 105)."""
        try:
            return self._accepted(order) if (order.folder / exchange.OUT / exchange.RESULT).exists() else None
        except ExchangeError as error:
            log.warning("run.late-result-refused", job=self.job.id, error=str(error))
            return None

    def _note(self, line: str, entries: int = 0) -> None:
        """Say in the job's log what a person may want to know of a result that was taken."""
        log.info("run.noted", job=self.job.id, entries=entries)  # names of files are the plugin's: not in here
        with contextlib.suppress(OSError):  # a log that cannot be kept must not cost the result
            answer.add_to_log(self.spool.results, self.job.id, line)

    def _log(self, folder: Path, ended: Exit) -> None:
        heading = f"attempt {self.job.attempts}, ended {to_text(self.settler.clock.now())}: {_words(ended)}"
        try:
            answer.keep_log(folder, self.spool.results, self.job.id, heading)
        except OSError as error:  # a log that cannot be kept must not cost the result
            log.warning("run.log-lost", job=self.job.id, error=str(error))

    def _defect(self, error: Exception) -> None:
        frames = traceback.format_tb(error.__traceback__)  # without the message: it may hold a patient's data
        log.error("run.defect", job=self.job.id, error=type(error).__name__, frames=frames)
        try:
            detail = f"a defect of the node: {type(error).__name__}, see the node's log"
            self.settler.failed(self.job, Failure(FailureKind.NODE, detail), self.plugin)
        except TransientError as again:
            log.warning("run.unsettled", job=self.job.id, error=str(again))

    def _clean(self) -> None:
        try:
            answer.remove(self.spool.work / self.job.id)
        except OSError as error:  # the next start sweeps it
            log.warning("run.not-removed", job=self.job.id, error=str(error))


def _failure(ended: Exit, folder: Path) -> Failure | None:
    """Why the attempt failed, judged by how its process ended; None where that is not a failure."""
    if ended.ending is Ending.EXITED and ended.code == 0:
        return None
    if shutil.disk_usage(folder).free < _LEAST_FREE:
        return Failure(FailureKind.NODE, f"the disk of the data folder is full ({_words(ended)})")
    return Failure(_KINDS[ended.ending], _words(ended))


def _words(ended: Exit) -> str:
    """How a process ended, for the admin."""
    if ended.ending is Ending.EXITED:
        how = f"exit status {ended.code}"
    elif ended.ending is Ending.SIGNALLED and ended.code:
        how = f"ended by signal {_signal_name(ended.code)}"
    else:
        how = f"{ended.ending}: {ended.detail}" if ended.detail else str(ended.ending)
    return f"{how}, after {ended.seconds:.1f} s, at most {ended.peak_memory_bytes / 2**20:.0f} MiB"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
