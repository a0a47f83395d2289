"""Whether a plugin may go live: its examples are run whenever what runs has changed since they passed.

Not at every start: a node comes up at once. The first job of a plugin that was never tried as it is now waits while its
examples run; the jobs of one that says something else than it has to wait for a person (alert plugin.not-commissioned).

A trial takes what a job of the plugin takes: the run stage starts it where there is room, and it keeps that busy. What
the machine may have caused is no verdict: it is tried again, a few times.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import structlog

from node.config.machine import GpuSettings
from node.config.models import Configuration
from node.errors import NodeError, PermanentError
from node.items import defect_of
from node.ledger import commissionings
from node.ledger.commissionings import CommissioningRow
from node.observe.logs import about
from node.run.catalogue import SitePlugin
from node.run.digests import EXAMPLES, CodeDigests, FileReader
from node.run.file_digests import FileDigests, LongReadError, QuickDigests
from node.run.slots import BusySlot, Gpu, Placement, WaitingJob
from node.stage import Node
from node.wake import Stage
from plugins.manifest import Manifest

_AGAIN_AFTER = 60.0
"""Seconds until examples are tried again that could not be run for a reason of the machine's."""
_FACTOR, TRIES = 4, 4
"""A trial that fails as the machine may have caused is made again after one minute, 4 and 16; the last one counts."""
_NOT_RUN = "its examples could not be run, and are tried again"
_PERHAPS_MACHINE = "its examples failed in a way that the machine may have caused, and are tried again"
_UNKNOWN = "unknown"
"""In place of a digest: what was not run says nothing of what would run."""
_NO_EXAMPLES = "it has no examples any more"
LACKS_EXAMPLES = "it has no examples, without which no model file runs: only these show that its input is made rightly"
_READING = "waits: its files are being read, to see whether they have changed"
_RUNNING = "waits: its examples are being run"
_DUE = "waits: its examples are to be run first"
_NOT_PASSED = "waits: its examples have not passed as it is now (pacsnode plugin list)"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ExamplesVerdict:
    """What came of the examples of a plugin."""

    passed: bool
    detail: str
    """The examples that passed, or what differs, a line each."""
    perhaps_machine: bool = False
    """It failed as a busy or full machine makes one fail: a later trial may well pass."""


ExamplesTrial = Callable[[str, Configuration, threading.Event], ExamplesVerdict]
"""Runs the examples of the plugin of this name, on the machine that the configuration describes.

NodeError or OSError where the machine did not allow it, or the event was set.
"""


def commissioning_digest(manifest: Manifest, code: CodeDigests, files: FileDigests) -> str:
    """Of what runs, and of the examples; "" where the plugin has none. OSError, PermanentError."""
    if not (manifest.folder / EXAMPLES).is_dir():
        return ""
    return _with_examples(manifest, code.of(manifest).whole, files)


def _quick_digest(manifest: Manifest, code: CodeDigests, files: FileDigests) -> str:
    """The same for the run stage, which cannot wait; LongReadError where much is to be read."""
    if not (manifest.folder / EXAMPLES).is_dir():
        return ""
    return _with_examples(manifest, code.quick(manifest).whole, QuickDigests(files))


def _with_examples(manifest: Manifest, code: str, files: FileReader) -> str:
    folder = manifest.folder / EXAMPLES
    total = hashlib.sha256(code.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{files.of(path)}\0".encode(errors="surrogateescape"))
    return total.hexdigest()


@dataclass
class _DueTrial:
    """Examples that are to be run, and the most urgent of the jobs that wait for that."""

    plugin: SitePlugin
    digest: str
    waiting: WaitingJob


@dataclass
class Commissioner:
    """Knows which plugins wait for their examples, and has these run, one plugin at a time.

    `why_held` and what follows are for one thread, the run stage's; a look begins with `begin_look`.
    """

    node: Node
    code: CodeDigests
    trial: ExamplesTrial
    _files: FileDigests = field(default_factory=FileDigests)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="commission"))
    _due: dict[str, _DueTrial] = field(default_factory=dict)
    _under_way: dict[str, BusySlot] = field(default_factory=dict)
    _reading: set[str] = field(default_factory=set)
    _read: dict[str, tuple[Manifest, str | Exception]] = field(default_factory=dict)
    """Plugin → what was found by reading its files; for the next look alone."""
    _not_before: dict[str, float] = field(default_factory=dict)
    """Plugin → the monotonic time from which on its examples may be tried again."""
    _failed: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Plugin → digest, and how often its trial failed as the machine may have caused. A restart begins again."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    # --- which jobs wait --------------------------------------------------------------------------

    def begin_look(self) -> None:
        """What is due is found again."""
        self._due.clear()

    def why_held(self, plugin: SitePlugin) -> str:
        """Why jobs of a plugin have to wait, "" where they need not; its examples become due where they are to be run.

        Reads little: much is read by another thread, and the jobs of this plugin alone wait for that.
        """
        if plugin.name in self._under_way:
            return _RUNNING
        if plugin.name in self._reading:
            return _READING
        try:
            digest = self._digest_now(plugin.manifest, plugin.name)
        except LongReadError:
            self._begin_reading(plugin)
            return _READING
        except (OSError, PermanentError) as error:  # the attempt finds the same, and says so
            log.warning("run.examples-not-digested", plugin=plugin.name, error=str(error))
            return ""
        return self._why_not_live(plugin, digest)

    def _why_not_live(self, plugin: SitePlugin, digest: str) -> str:
        database = self.node.ledger.database
        last = commissionings.last(database, plugin.name)
        if not digest and plugin.manifest.runtime.needs_examples:
            if last is None or last.detail != LACKS_EXAMPLES:
                self._record(plugin, _UNKNOWN, ExamplesVerdict(False, LACKS_EXAMPLES))
            return _NOT_PASSED
        if not digest:
            self._note_passed(plugin, digest, last, _NO_EXAMPLES)
            return ""
        known = commissionings.of_digest(database, plugin.name, digest)
        if known is None:
            if self._not_before.get(plugin.name, 0.0) > self.node.clock.monotonic():
                return f"waits: {last.detail.splitlines()[0]}" if last and last.digest == _UNKNOWN else _DUE
            room = WaitingJob(_name(plugin), plugin.name, plugin.at_once, self.node.clock.now(), plugin.resources)
            self._due.setdefault(plugin.name, _DueTrial(plugin, digest, room))
            return _DUE
        if known.passed:
            self._note_passed(plugin, digest, last, known.detail)
            return ""
        return _NOT_PASSED

    def _note_passed(self, plugin: SitePlugin, digest: str, last: CommissioningRow | None, detail: str) -> None:
        """What was changed is back, or there is nothing any more that could fail."""
        if last is not None and not last.passed:
            self._record(plugin, digest, ExamplesVerdict(True, detail))

    def _digest_now(self, manifest: Manifest, name: str) -> str:
        known, found = self._read.pop(name, (None, ""))
        if known != manifest:
            return _quick_digest(manifest, self.code, self._files)
        if isinstance(found, Exception):
            raise found
        return found

    def _begin_reading(self, plugin: SitePlugin) -> None:
        """In a thread that keeps nobody from ending: it may take minutes, and cannot be interrupted."""
        self._reading.add(plugin.name)
        log.debug("run.code-is-read", plugin=plugin.name)
        threading.Thread(target=self._read_all, args=(plugin,), name=f"read-{plugin.name}", daemon=True).start()

    def _read_all(self, plugin: SitePlugin) -> None:
        found: str | Exception
        try:
            found = commissioning_digest(plugin.manifest, self.code, self._files)
        except Exception as error:  # noqa: BLE001 - it must not end in a thread: whoever asks next gets it
            found = error
        self._read[plugin.name] = plugin.manifest, found
        self._reading.discard(plugin.name)
        self.node.wakes.wake(Stage.RUN)

    # --- trials -----------------------------------------------------------------------------------

    def wanted_for(self, plugin: str, job: WaitingJob) -> None:
        """A job waits for the examples of its plugin: they are as urgent as it is, and as old."""
        if due := self._due.get(plugin):
            room = due.waiting
            due.waiting = replace(
                room,
                since=min(room.since, job.since),
                urgent=room.urgent or job.urgent,
                high=room.high or job.high,
            )

    @property
    def waiting(self) -> list[WaitingJob]:
        """The trial that is next, as something that needs the room of a job: one at a time."""
        due = sorted((each.waiting for each in self._due.values()), key=lambda each: (not each.urgent, each.since))
        return [] if self._under_way else due[:1]

    @property
    def slots(self) -> list[BusySlot]:
        """What trials keep busy."""
        return list(self._under_way.values())

    def plugin_of(self, name: str) -> SitePlugin:
        """The plugin whose trial this is, by `WaitingJob.job`."""
        return self._due_by(name).plugin

    def _due_by(self, name: str) -> _DueTrial:
        return next(each for each in self._due.values() if each.waiting.job == name)

    def begin(self, placement: Placement, gpu: Gpu | None, configuration: Configuration) -> None:
        """Run the examples of a plugin in the room that they were given; at most one trial is under way."""
        due = self._due_by(placement.job)
        if self._stopped.is_set() or self._under_way:
            return
        plugin, urgent = due.plugin, due.waiting.urgent
        self._under_way[plugin.name] = BusySlot(
            plugin.name, placement.machine, plugin.resources, placement.gpu, urgent, is_trial=True
        )
        log.info("run.examples-begun", plugin=plugin.name)
        self._pool.submit(self._try, plugin, _with_gpu(configuration, gpu), due.digest)

    def impossible(self, name: str, why: str) -> None:
        """This machine has not what a trial needs."""
        due = self._due_by(name)
        self._put_off(due.plugin, f"{_NOT_RUN}: {why}", _AGAIN_AFTER)

    def close(self) -> None:
        """End what is under way; the next start begins it again."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _try(self, plugin: SitePlugin, configuration: Configuration, digest: str) -> None:
        try:
            with about(examples_of=plugin.name):
                verdict = self.trial(plugin.name, configuration, self._stopped)
            if commissioning_digest(plugin.manifest, self.code, self._files) != digest:
                log.info("run.examples-outdated", plugin=plugin.name)  # nobody can say what was tried
            elif not self._stopped.is_set():
                self._conclude(plugin, digest, verdict)
        except Exception as error:  # noqa: BLE001 - it must not end the thread; nothing is concluded from it
            shown = str(error) if isinstance(error, NodeError | OSError) else defect_of(error)
            log.warning("run.examples-not-run", plugin=plugin.name, error=shown)
            self._put_off(plugin, f"{_NOT_RUN}: {shown}", _AGAIN_AFTER)
        finally:
            self._under_way.pop(plugin.name, None)
            self.node.wakes.wake(Stage.RUN)

    def _conclude(self, plugin: SitePlugin, digest: str, verdict: ExamplesVerdict) -> None:
        """Record it, unless the machine may have caused it and there are tries left."""
        known, failures = self._failed.pop(plugin.name, (digest, 0))
        failures = failures + 1 if known == digest else 1
        if verdict.passed or not verdict.perhaps_machine:
            self._record(plugin, digest, verdict)
        elif failures >= TRIES:
            self._record(plugin, digest, replace(verdict, detail=f"{verdict.detail}\ntried {failures} times"))
        else:
            self._failed[plugin.name] = digest, failures
            self._put_off(plugin, f"{_PERHAPS_MACHINE}: {verdict.detail}", _AGAIN_AFTER * _FACTOR ** (failures - 1))

    def _put_off(self, plugin: SitePlugin, why: str, seconds: float) -> None:
        """Nothing is concluded from it, but its jobs wait, which a person has to see."""
        self._not_before[plugin.name] = self.node.clock.monotonic() + seconds
        last = commissionings.last(self.node.ledger.database, plugin.name)
        if not self._stopped.is_set() and (last is None or last.detail != why):
            self._record(plugin, _UNKNOWN, ExamplesVerdict(False, why))

    def _record(self, plugin: SitePlugin, digest: str, verdict: ExamplesVerdict) -> None:
        with self.node.ledger.transaction() as database:
            now = self.node.clock.now()
            commissionings.record(database, now, plugin.name, digest, verdict.detail, passed=verdict.passed)
        log.info("run.examples-ended", plugin=plugin.name, passed=verdict.passed)


def _name(plugin: SitePlugin) -> str:
    """Of its trial, among the jobs that wait: no job has such an id."""
    return f"examples of {plugin.name}"


def _with_gpu(configuration: Configuration, gpu: Gpu | None) -> Configuration:
    """The same site on a machine that has the GPU only that was assigned: jobs are on the others."""
    if gpu is None:
        return configuration
    machine = configuration.node.machine.model_copy(
        update={"gpus": (GpuSettings(id=gpu.name, memory=gpu.memory or None),)}
    )
    return configuration.model_copy(update={"node": configuration.node.model_copy(update={"machine": machine})})
