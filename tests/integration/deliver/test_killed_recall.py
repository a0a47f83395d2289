"""A version with the results of a thousand studies is withdrawn, and the node is killed again and again meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydicom import dcmread

from node.ledger import deliveries, objects, recalls, withdrawals
from node.ledger.database import FILE, Ledger
from node.ledger.delivery import Delivery
from node.ledger.recalls import NewRecall, RecallReason
from tests.support import wait
from tests.support.dimse.hiding_archive import named
from tests.support.results import reports
from tests.support.sites.recalled_site import RecalledSite

PROGRAM = """
import sys
from pathlib import Path
from tests.support.sites.recalled_site import RecalledSite

RecalledSite.go_on(Path(sys.argv[1]))
"""
VERSION = reports.ALGORITHM.version


def test_each_study_gets_one_note_whatever_is_killed_when(tmp_path: Path, full_length: bool) -> None:
    """kill -9 while results are listed and while notes are made: in the end one note a study, and none is lost."""
    count = 1_000 if full_length else 12
    RecalledSite.make(tmp_path, count)
    ledger = Ledger.existing(tmp_path / "data" / FILE)
    new = NewRecall("lung_density", VERSION, RecallReason.QUALITY, "", "os:kim", 6_000)
    with ledger.transaction() as database:
        recall = recalls.begin(database, RecalledSite.NOW, new)
    for part in (0.2, 0.6) if full_length else (0.5,):
        _kill_when(tmp_path, partial(_has_listed, ledger, recall.id, part * count))
    for part in (0.3, 0.7) if full_length else (0.5,):
        _kill_when(tmp_path, partial(_has_made, ledger, part * count))
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    notes = _notes(ledger)
    assert len(notes) == count
    assert len({each.study_instance_uid for each in notes}) == count
    for each in notes:
        note = dcmread(tmp_path / "data" / each.file)
        made = objects.get(ledger.database, each.item)
        assert made is not None
        assert note.StudyInstanceUID == each.study_instance_uid
        assert named(note) == {f"{each.study_instance_uid}.9.1"}
    assert withdrawals.counts_of_recall(ledger.database, recall.id) == {"sent": count}


def _kill_when(folder: Path, condition: Callable[[], bool]) -> None:
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.DEVNULL)
    try:
        wait.until(lambda: condition() or child.poll() is not None, what="the moment to kill it")
    finally:
        child.kill()
        child.wait()


def _has_listed(ledger: Ledger, recall: int, count: float) -> bool:
    return sum(withdrawals.counts_of_recall(ledger.database, recall).values()) >= count


def _has_made(ledger: Ledger, count: float) -> bool:
    return len(_notes(ledger)) >= count


def _notes(ledger: Ledger) -> list[Delivery]:
    rows = ledger.database.execute("SELECT id FROM deliveries WHERE job IS NULL AND kind='object'").fetchall()
    return [deliveries.get(ledger.database, number) for (number,) in rows]
