"""A standby: backups to a second machine's folder while a scanner sends, a loss, and a start there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from functools import partial
from itertools import count
from pathlib import Path

from pydicom import dcmread

from node.ledger import instances
from node.store.arrival import read_arrival
from node.store.layout import DataFolder
from tests.support.images.files_to_send import plain
from tests.support.programs.peers import storescu
from tests.support.sites.site import Site, destination
from tests.support.wait import until

PACS = {"pacs": destination("PACS", 104)}


class Scanner:
    """Sends one image after the other, and knows which were answered with success."""

    def __init__(self, port: int, folder: Path) -> None:
        folder.mkdir()
        self._port = port
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.answered: list[str] = []
        self._thread.start()

    def _send(self) -> None:
        for number in count(1):
            if self._stop.is_set():
                return
            (file,) = plain(self._folder, series=number, pixels=2000)
            uid = str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)
            if storescu(self._port, [file], called="PACSNODE", calling="CT1").returncode == 0:
                self.answered.append(uid)

    def has(self, number: int) -> bool:
        """Whether so many were answered."""
        return len(self.answered) >= number

    def stop(self) -> None:
        """After the image that is on its way."""
        self._stop.set()
        self._thread.join()


def known(data: Path, site: Site) -> set[str]:
    """SOP Instance UIDs of all that is indexed, or waits for that."""
    folder = DataFolder(data)
    rows = site.ledger.database
    waiting = {read_arrival(folder.find(each))[0].sop_instance_uid for each in folder.waiting()}
    receipts = [*instances.receipts(rows)]
    found = [instances.by_receipt(rows, each) for each in receipts]
    return waiting | {each.sop_instance_uid for each in found if each is not None}


def test_a_standby_has_all_that_was_answered_before_the_last_backup(tmp_path: Path) -> None:
    """Three backups are made beside a scanner that never pauses; then the first machine is lost, and the second starts.

    Every image that was answered with success before the last backup began is there, whether it was indexed, waited for
    the indexer, or moved meanwhile. The first node is not disturbed: each of its answers is a success.
    """
    first = Site(tmp_path / "first", PACS, rules=[])
    backup, second = tmp_path / "second-machine" / "backups", Site(tmp_path / "second", PACS, rules=[])
    with first:
        scanner, before = Scanner(first.port, tmp_path / "files"), [""]
        try:
            for number in (1, 2, 3):
                until(partial(scanner.has, 4 * number))
                before = [*scanner.answered]
                made = first.command("backup", str(backup), "--keep", "2", "--json")
                assert made.returncode == 0, made.stderr
                assert json.loads(made.stdout)["missing"] == 0
        finally:
            scanner.stop()
        assert first.command("verify").returncode == 0
        assert len(scanner.answered) > len(before)
        first.power_off()
    restored = subprocess.run(
        [sys.executable, "-m", "node.cli", "restore", str(backup), str(second.data)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr
    with second:
        until(lambda: second.status()["queues"]["incoming"] == 0)
        assert set(before) <= known(second.data, second)
        assert second.command("verify").returncode == 0
        (new,) = plain(tmp_path, pixels=2000)
        assert storescu(second.port, [new], called="PACSNODE", calling="CT1").returncode == 0
