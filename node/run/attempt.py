"""One attempt at a job, from claimed to settled, in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import traceback
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import structlog

from node.clock import to_text
from node.errors import TransientError
from node.items import defect_of
from node.ledger import attempts
from node.ledger.attempts import AttemptCourse, AttemptFailureKind
from node.ledger.job import URGENT, Job
from node.processes.pool import CallCancelledError, ChildPool
from node.run import answer, handing_on, inputs, laying_out, nested
from node.run.catalogue import SitePlugin
from node.run.digests import CodeDigest, CodeDigests, TooManyFilesError
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.handing_on import ResultUnusableError
from node.run.inputs import InputChangedError, InputDamagedError, InputGoneError, Inputs, JobInputs
from node.run.interpreter import InterpreterError
from node.run.laying_out import InputUnreadableError
from node.run.nifti import handing_over
from node.run.nifti.reading import NiftiAnswer
from node.run.retry import AttemptFailure
from node.run.settle import Settler
from node.run.slots import BusySlot
from node.run.workers import WarmWorkers
from node.store import keys
from node.store.layout import DataFolder
from plugins import exchange, manifest
from plugins.exchange import OutputReading
from plugins.images import NotApplicableError
from plugins.manifest import Output, ParameterError
from plugins.manifest_table import ManifestError
from plugins.result import SUMMARY_LIMIT, Result
from plugins.runtime import PatientIdentity
from plugins.status import ResultStatus
from plugins.untrusted import ExchangeError

_LEAST_FREE = 64 * 2**20
"""Bytes free below which a program that ended by itself is not blamed: the disk was full, and it had not filled it."""
_BY_ITSELF = (ExitKind.EXITED, ExitKind.SIGNALLED, ExitKind.NOT_STARTED)
_SHELL_SIGNAL = 128
"""A shell whose command died by a signal exits with more than that."""
_OF_SHELLS = {126: " (something that it calls may not be executed)", 127: " (something that it calls was not found)"}
"""What shells and `env` mean by these (POSIX, Shell and Utilities 2.8.2)."""
_KINDS = {
    ExitKind.EXITED: AttemptFailureKind.ERROR,
    ExitKind.SIGNALLED: AttemptFailureKind.CRASH,
    ExitKind.DEADLINE: AttemptFailureKind.DEADLINE,
    ExitKind.LOADING: AttemptFailureKind.LOADING,
    ExitKind.MEMORY: AttemptFailureKind.MEMORY,
    ExitKind.PROCESSES: AttemptFailureKind.RESOURCES,
    ExitKind.DISK: AttemptFailureKind.RESOURCES,
    ExitKind.OUTPUT: AttemptFailureKind.RESOURCES,
    ExitKind.GUARD_DIED: AttemptFailureKind.CRASH,
    ExitKind.NOT_STARTED: AttemptFailureKind.NODE,
}
log = structlog.get_logger(__name__)


class CodeChangedError(Exception):
    """The plugin is not (any more) what it was taken for; the text is for the admin."""


@dataclass(frozen=True)
class RunningAttempt:
    """One attempt, and how it is stopped."""

    job: Job
    row: attempts.Attempt
    plugin: SitePlugin
    data_folder: DataFolder
    settler: Settler
    reader: ChildPool
    """The processes in which its images and its result are read."""
    digests: CodeDigests
    workers: WarmWorkers
    gpu: str | None = None
    """The one that was assigned to it."""
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def slot(self) -> BusySlot:
        """What it keeps busy."""
        urgent = self.job.priority >= URGENT
        return BusySlot(self.plugin.name, self.row.place, self.plugin.resources, self.gpu, urgent)

    def run(self) -> None:
        """Do it and settle it; raises nothing: what it could not settle is found running without an attempt."""
        try:
            self._run(self.data_folder.work / self.job.id / str(self.row.number))
        except TransientError as error:
            log.warning("run.unsettled", job=self.job.id, error=str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must end neither the thread nor the job's story
            self._defect(error)
        finally:
            self._clean()

    def _run(self, folder: Path) -> None:
        settler, job, course = self.settler, self.job, AttemptCourse()
        try:
            asked = inputs.gather(
                settler.node.ledger.database, job, self.plugin, self.plugin.manifest.parameters_for(job.parameters)
            )
            notes = settler.outside(job, self.plugin, asked)
            if notes is None:
                return
            given = self._laid_out(asked, folder)
            code = self._identified(given)
            order = replace(self._order(asked, given, folder), notes=notes)
            try:
                order = self._handed_over(order)
            except NotApplicableError as error:
                settler.answered(job, self._not_applicable(order, str(error)), course)
                return
            watch = ProcessWatch(self.cancel, self._begun, self.workers, code.whole)
            ended = self.plugin.executor.execute(folder, self._limits, watch)
            self._make_room(folder, ended)
            course = AttemptCourse(None, ended.seconds, ended.peak_memory_bytes, self._log(folder, ended))
            self._settle(ended, order, code, course)
        except CallCancelledError:
            settler.interrupted(job, course)
        except InputChangedError as error:
            settler.cancelled(job, str(error))
        except InputDamagedError as error:
            settler.damaged(job, error, self.plugin)
        except CodeChangedError as error:
            self.workers.forget(self.plugin.manifest.folder)
            settler.failed(job, AttemptFailure(AttemptFailureKind.CHANGED, str(error)), self.plugin, course)
        except (InputGoneError, InputUnreadableError, ResultUnusableError, ParameterError, TooManyFilesError) as error:
            settler.failed(job, AttemptFailure(AttemptFailureKind.INPUT, str(error)), self.plugin, course)
        except ExchangeError as error:
            settler.failed(job, AttemptFailure(AttemptFailureKind.CONTRACT, str(error)), self.plugin, course)
        except OSError as error:
            settler.failed(job, AttemptFailure(AttemptFailureKind.NODE, str(error)), self.plugin, course)

    def _settle(self, ended: Exit, order: answer.AnswerToCheck, code: CodeDigest, course: AttemptCourse) -> None:
        """What becomes of the job, by how the process ended and what it left; CodeChangedError, ExchangeError."""
        settler, job = self.settler, self.job
        if ended.ending is ExitKind.CANCELLED:
            settler.interrupted(job, course)
            return
        order, failure = self._judged(order, ended)
        if changed := code.changed(self._code()):
            raise CodeChangedError(f"the plugin was changed while it ran ({changed}): what it says is of neither")
        if ended.ending is ExitKind.DEADLINE and (late := self._whole_all_the_same(order)):
            settler.answered(job, late, course)
        elif failure:
            settler.failed(job, failure, self.plugin, course)
        else:
            take = self._late if ended.ending is ExitKind.LINGERED else self._accepted
            settler.answered(job, take(order), course)

    def _code(self) -> CodeDigest:
        """What the plugin is now; CodeChangedError where that is not what the node knows it as."""
        known = self.plugin.manifest
        try:
            now = manifest.load(known.folder).with_providers(known.runtime.providers)
            found = self.digests.of(known)
        except (ManifestError, InterpreterError) as error:
            raise CodeChangedError(f"the plugin was changed, and cannot be used as it is: {error}") from error
        if now != known:
            raise CodeChangedError(f"{known.folder / manifest.MANIFEST} was changed, and is to be taken up first")
        return found

    def _identified(self, given: JobInputs) -> CodeDigest:
        """Put down what is about to run, since its Device UID is made of that."""
        code, known = self._code(), self.plugin.manifest
        stated = known.identity_with(known.parameters_for(self.job.parameters))
        start = attempts.AttemptStart(
            algorithm=asdict(stated.as_it_ran(code.weights, code.software)),
            code_digest=code.whole,
            resources=asdict(self.plugin.resources) | {"assigned": self.gpu},
            sent_study_uid=given.request.study.study_instance_uid,
            pseudonym_key=keys.name_of(keys.secret(self.data_folder.data)) if self._hides else None,
        )
        self.settler.identified(self.row, start, self.plugin.version_of(start.algorithm))
        return code

    @property
    def _hides(self) -> bool:
        return self.row.identity != PatientIdentity.FULL

    @property
    def _limits(self) -> AttemptLimits:
        return replace(self.plugin.limits, gpu=self.gpu)

    def _laid_out(self, asked: Inputs, folder: Path) -> JobInputs:
        """What the plugin gets: under pseudonyms, unless the job is one that needs the images as received."""
        key = inputs.key_of(asked, keys.secret(self.data_folder.data)) if self._hides else None
        layer = inputs.Layer(
            lambda images: laying_out.lay_out(self.reader, images, self.cancel.is_set),
            lambda results: handing_on.hand_on(self.reader, results, self.cancel.is_set),
        )
        given = inputs.lay_out(asked, folder, self.data_folder, key, layer)
        actions = {action.name.lower(): count for action, count in given.actions.items()}
        log.info("run.laid-out", job=self.job.id, identity=self.row.identity, attributes=actions)
        return given

    def _order(self, asked: Inputs, given: JobInputs, folder: Path) -> answer.AnswerToCheck:
        results = self.data_folder.results / self.job.id
        return answer.AnswerToCheck(
            folder, given.request, asked.request, given.translation, self.plugin.manifest, results
        )

    def _handed_over(self, order: answer.AnswerToCheck) -> answer.AnswerToCheck:
        """Make what the program reads, where that is not DICOM; NotApplicableError where the images are not for it."""
        mapping = self.plugin.manifest.nifti
        if mapping is None:
            return order
        given = handing_over.lay_out(self.reader, mapping, order.request, order.folder, self.cancel.is_set)
        wants_masks = Output.SEGMENTATION in self.plugin.manifest.outputs
        return replace(order, nifti=NiftiAnswer(order.folder, mapping, given.of(mapping), wants_masks))

    def _not_applicable(self, order: answer.AnswerToCheck, reason: str) -> answer.CheckedResult:
        """The images are not what the plugin is for, which was clear before it was started."""
        self._begun("")
        return answer.checked(
            order, OutputReading(Result(ResultStatus.NOT_APPLICABLE, reason[:SUMMARY_LIMIT]), ignored=())
        )

    def _judged(self, order: answer.AnswerToCheck, ended: Exit) -> tuple[answer.AnswerToCheck, AttemptFailure | None]:
        """What its end says of its answer: why the attempt failed, or whether the images were not what it is for."""
        nifti = order.nifti
        if nifti is None:
            return order, _failure(ended, order.folder) or _without_result(ended, order.folder)
        if ended.ending is ExitKind.EXITED and ended.code and ended.code == nifti.mapping.not_applicable_exit:
            return replace(order, nifti=replace(nifti, says_not_applicable=True)), None
        return order, _failure(ended, order.folder)

    def _make_room(self, folder: Path, ended: Exit) -> None:
        """Remove at once what nobody reads: the log, the result, or that there is none, need room on a full disk."""
        unread = (exchange.SCRATCH, exchange.OUT) if ended.ending is ExitKind.DISK else (exchange.SCRATCH,)
        for name in unread:
            try:
                nested.remove(folder / name)
            except OSError as error:  # the end of the attempt tries again
                log.warning("run.not-removed", job=self.job.id, error=str(error))

    def _accepted(self, order: answer.AnswerToCheck) -> answer.CheckedResult:
        accepted = answer.accept(self.reader, order, self.cancel.is_set)
        if accepted.ignored:
            shown = ", ".join(accepted.ignored)
            self._note(f"ignored in out/, as the result does not name it: {shown}", len(accepted.ignored))
        if accepted.replaced:
            shown = ", ".join(accepted.replaced)
            self._note(f"replaced, because it named the patient: text in {shown}", len(accepted.replaced))
        if accepted.told:
            self._note("DICOM that it returned: " + "; ".join(accepted.told), len(accepted.told))
        return accepted

    def _whole_all_the_same(self, order: answer.AnswerToCheck) -> answer.CheckedResult | None:
        """What a process that hangs has left: result.json is there only when the result is whole (case 105)."""
        if order.nifti is not None:  # there is no file that says that all others are whole
            return None
        try:
            return self._late(order) if (order.folder / exchange.OUT / exchange.RESULT).exists() else None
        except ExchangeError as error:
            log.warning("run.late-result-refused", job=self.job.id, error=str(error))
            return None

    def _late(self, order: answer.AnswerToCheck) -> answer.CheckedResult:
        accepted = self._accepted(order)
        self._note("it had left a whole result and did not end: it was ended, and the result is taken")
        return accepted

    def _note(self, line: str, entries: int = 0) -> None:
        """Say in the job's log what a person may want to know of a result that was taken."""
        log.info("run.noted", job=self.job.id, entries=entries)  # names of files are the plugin's: not in here
        with contextlib.suppress(OSError):  # a log that cannot be kept must not cost the result
            answer.add_to_log(self.data_folder.results, self.job.id, line)

    def _begun(self, handle: str) -> None:
        try:
            self.settler.begun(self.job, self.row, handle)
        except TransientError as error:  # it says less than it could, and must not cost the attempt
            log.warning("run.not-marked", job=self.job.id, error=str(error))

    def _log(self, folder: Path, ended: Exit) -> str | None:
        """Keep what it printed; the file, relative to the data folder."""
        heading = f"attempt {self.row.number}, ended {to_text(self.settler.node.clock.now())}: {_words(ended)}"
        try:
            kept = answer.keep_log(folder, self.data_folder.results, self.job.id, heading)
        except OSError as error:  # a log that cannot be kept must not cost the result
            log.warning("run.log-lost", job=self.job.id, error=str(error))
            return None
        path = self.data_folder.results / self.job.id / answer.LOG
        return path.relative_to(self.data_folder.data).as_posix() if kept else None

    def _defect(self, error: Exception) -> None:
        frames = traceback.format_tb(error.__traceback__)  # without the message: it may hold a patient's data
        log.error("run.defect", job=self.job.id, error=type(error).__name__, frames=frames)
        try:
            self.settler.failed(self.job, AttemptFailure(AttemptFailureKind.NODE, defect_of(error)), self.plugin)
        except TransientError as again:
            log.warning("run.unsettled", job=self.job.id, error=str(again))

    def _clean(self) -> None:
        try:
            nested.remove(self.data_folder.work / self.job.id)
        except OSError as error:  # the next start sweeps it
            log.warning("run.not-removed", job=self.job.id, error=str(error))


def _failure(ended: Exit, folder: Path) -> AttemptFailure | None:
    """Why the attempt failed, judged by how its process ended; None where that is not a failure."""
    if ended.ending is ExitKind.LINGERED or (ended.ending is ExitKind.EXITED and ended.code == 0):
        return None
    if ended.ending in _BY_ITSELF and shutil.disk_usage(folder).free < _LEAST_FREE:
        return AttemptFailure(AttemptFailureKind.NODE, f"the disk of the data folder is full ({_words(ended)})")
    if ended.ending is ExitKind.EXITED and ended.code == os.EX_TEMPFAIL:
        why = exchange.NOT_WRITTEN if ended.detail == exchange.NOT_WRITTEN else "it asks to be tried again"
        return AttemptFailure(AttemptFailureKind.RETRYABLE, f"{why}: {_words(ended)}")
    if ended.ending is ExitKind.EXITED and (ended.code or 0) > _SHELL_SIGNAL:
        return AttemptFailure(AttemptFailureKind.CRASH, _words(ended))
    return AttemptFailure(_KINDS[ended.ending], _words(ended))


def _without_result(ended: Exit, folder: Path) -> AttemptFailure | None:
    """It ended as if all were well, and left nothing: `os._exit(0)`, or a program that forgets to write."""
    if os.path.lexists(folder / exchange.OUT / exchange.RESULT):
        return None
    told = f"the process ended without writing a result ({exchange.OUT}/{exchange.RESULT} is missing)"
    return AttemptFailure(AttemptFailureKind.CONTRACT, f"{told}: {_words(ended)}")


def _words(ended: Exit) -> str:
    """How a process ended, for the admin."""
    if ended.ending is ExitKind.EXITED:
        how = f"exit status {ended.code}{_OF_SHELLS.get(ended.code or 0, '')}"
    elif ended.ending is ExitKind.SIGNALLED and ended.code:
        how = f"ended by signal {_signal_name(ended.code)}{f', {ended.detail}' if ended.detail else ''}"
    else:
        how = f"{ended.ending}: {ended.detail}" if ended.detail else str(ended.ending)
    return f"{how}, after {ended.seconds:.1f} s, at most {ended.peak_memory_bytes / 2**20:.0f} MiB"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
