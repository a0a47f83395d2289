"""Callers that were refused, counted in memory and written to the journal now and then: never before an answer.

At most once a minute for each caller and reason, and for at most 200 of them; the others are counted together. Nothing
waits for the disk: a line that is lost with the power costs a count, and no image.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import structlog

from node.clock import Clock
from node.store.callers import RefusedCaller
from node.store.journal import Journal
from node.store.layout import DataFolder

log = structlog.get_logger(__name__)
PAUSE = 60.0
"""Seconds between two lines about the same caller and reason."""
MOST = 200
_OTHERS = "others"
_LOOK = 1.0
_Key = tuple[str, str, str, str]


class RefusedCallers:
    """What one receiver process has refused; a thread of its own writes it down."""

    def __init__(self, journal: Journal, data_folder: DataFolder, clock: Clock) -> None:
        self._journal = journal
        self._data_folder = data_folder
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: dict[_Key, RefusedCaller] = {}
        self._written: dict[_Key, float] = {}
        self._pending = threading.Event()
        self._writer: threading.Thread | None = None

    def count(self, calling_ae_title: str, called_ae_title: str, address: str, reason: str) -> None:
        """One was refused for good, as long as nobody changes something."""
        key: _Key = (calling_ae_title, called_ae_title, address, reason)
        now = self._clock.now()
        with self._lock:
            if key not in self._counted and len(self._counted.keys() | self._written.keys() | {key}) > MOST:
                key = (_OTHERS, "", "", "")
            known = self._counted.get(key) or RefusedCaller(*key, times=0, last_at=now)
            self._counted[key] = replace(known, times=known.times + 1, last_at=now)
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, name="refused", daemon=True)
                self._writer.start()
        self._pending.set()

    def _run(self) -> None:
        while True:
            self._pending.wait()
            time.sleep(_LOOK)  # several at once are one file
            self.write_due()

    def write_due(self) -> None:
        """Write down those that were not written down in the last minute."""
        now = time.monotonic()
        with self._lock:
            self._written = {key: at for key, at in self._written.items() if now - at < PAUSE}
            due = [each for key, each in self._counted.items() if key not in self._written]
            for key in [key for key in self._counted if key not in self._written]:
                del self._counted[key]
                self._written[key] = now
            if not self._counted:
                self._pending.clear()
        if due:
            try:
                self._journal.note_refused(self._data_folder.new_receipt(), due)
            except OSError as error:  # the log has each of them
                log.warning("receive.refused-not-noted", reason=error.strerror or str(error))
