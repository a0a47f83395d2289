"""Whether a plugin may go live: its examples are run whenever what runs has changed since they passed.

Not at every start: a node comes up at once. The first job of a plugin that was never tried as it is now waits while its
examples run; the jobs of one that says something else than it has to wait for a person (alert plugin.not-commissioned).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from node.config.models import Configuration
from node.errors import NodeError, PermanentError
from node.items import defect_of
from node.ledger import commissionings
from node.run.catalogue import SitePlugin
from node.run.digests import EXAMPLES, CodeDigests
from node.run.file_digests import FileDigests
from node.stage import Node
from node.wake import Stage
from plugins.manifest import Manifest

_AGAIN_AFTER = 60.0
"""Seconds until examples are tried again that could not be run for a reason of the machine's."""
_NOT_RUN = "its examples could not be run, and are tried again"
_UNKNOWN = "unknown"
"""In place of a digest: what was not run says nothing of what would run."""
_NO_EXAMPLES = "it has no examples any more"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ExamplesVerdict:
    """What came of the examples of a plugin."""

    passed: bool
    detail: str
    """The examples that passed, or what differs, a line each."""


ExamplesTrial = Callable[[str, Configuration, threading.Event], ExamplesVerdict]
"""Runs the examples of the plugin of this name.

NodeError or OSError where the machine did not allow it, or the event was set.
"""


def commissioning_digest(manifest: Manifest, code: CodeDigests, files: FileDigests) -> str:
    """Of what runs, and of the examples; "" where the plugin has none. OSError, PermanentError."""
    folder = manifest.folder / EXAMPLES
    if not folder.is_dir():
        return ""
    total = hashlib.sha256(code.of(manifest).whole.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{files.of(path)}\0".encode(errors="surrogateescape"))
    return total.hexdigest()


@dataclass
class Commissioner:
    """Has examples run, one plugin at a time, and knows which plugins wait for that."""

    node: Node
    code: CodeDigests
    trial: ExamplesTrial
    _files: FileDigests = field(default_factory=FileDigests)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="commission"))
    _under_way: set[str] = field(default_factory=set)
    _not_before: dict[str, float] = field(default_factory=dict)
    """Plugin → the monotonic time from which on its examples may be tried again."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def holds(self, plugin: SitePlugin, configuration: Configuration) -> bool:
        """Whether jobs of a plugin of this configuration have to wait; its examples are begun where they are due."""
        if plugin.name in self._under_way:
            return True
        try:
            digest = commissioning_digest(plugin.manifest, self.code, self._files)
        except (OSError, PermanentError) as error:  # the attempt finds the same, and says so
            log.warning("run.examples-not-digested", plugin=plugin.name, error=str(error))
            return False
        database = self.node.ledger.database
        last = commissionings.last(database, plugin.name)
        if not digest:
            if last is not None and not last.passed:
                self._record(plugin, digest, ExamplesVerdict(True, _NO_EXAMPLES))
            return False
        known = commissionings.of_digest(database, plugin.name, digest)
        if known is None:
            self._begin(plugin, configuration, digest)
            return True
        if known.passed and last is not None and not last.passed:  # what was changed is back
            self._record(plugin, digest, ExamplesVerdict(True, known.detail))
        return not known.passed

    def close(self) -> None:
        """End what is under way; the next start begins it again."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, plugin: SitePlugin, configuration: Configuration, digest: str) -> None:
        if self._stopped.is_set() or self._not_before.get(plugin.name, 0.0) > self.node.clock.monotonic():
            return
        self._under_way.add(plugin.name)
        log.info("run.examples-begun", plugin=plugin.name)
        self._pool.submit(self._try, plugin, configuration, digest)

    def _try(self, plugin: SitePlugin, configuration: Configuration, digest: str) -> None:
        try:
            verdict = self.trial(plugin.name, configuration, self._stopped)
            if commissioning_digest(plugin.manifest, self.code, self._files) != digest:
                log.info("run.examples-outdated", plugin=plugin.name)  # nobody can say what was tried
            elif not self._stopped.is_set():
                self._record(plugin, digest, verdict)
        except Exception as error:  # noqa: BLE001 - it must not end the thread; nothing is concluded from it
            shown = str(error) if isinstance(error, NodeError | OSError) else defect_of(error)
            log.warning("run.examples-not-run", plugin=plugin.name, error=shown)
            self._put_off(plugin, f"{_NOT_RUN}: {shown}")
        finally:
            self._under_way.discard(plugin.name)
            self.node.wakes.wake(Stage.RUN)

    def _put_off(self, plugin: SitePlugin, why: str) -> None:
        """Nothing is concluded from it, but its jobs wait, which a person has to see."""
        self._not_before[plugin.name] = self.node.clock.monotonic() + _AGAIN_AFTER
        last = commissionings.last(self.node.ledger.database, plugin.name)
        if not self._stopped.is_set() and (last is None or last.detail != why):
            self._record(plugin, _UNKNOWN, ExamplesVerdict(False, why))

    def _record(self, plugin: SitePlugin, digest: str, verdict: ExamplesVerdict) -> None:
        with self.node.ledger.transaction() as database:
            now = self.node.clock.now()
            commissionings.record(database, now, plugin.name, digest, verdict.detail, passed=verdict.passed)
        log.info("run.examples-ended", plugin=plugin.name, passed=verdict.passed)
