"""Suspensions: a stop rule has stopped a rule for one scanner; its studies are not analysed until a person resumes it.

A suspension is a row of `pauses` whose name is the number of the window that met the stop rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import from_text
from node.ledger import events, facts, pauses, stop_windows
from node.ledger.connection import Database
from node.ledger.job import Job
from node.ledger.pauses import Pausable, Pause
from node.ledger.rows import query
from node.ledger.stop_windows import StopWindow, WindowVerdict

UNKNOWN_SCANNER = "unknown scanner"
"""Of images that do not say what they are from."""
_NAMES = ("Manufacturer", "ManufacturerModelName", "StationName")
"""What a scanner is known by (PS3.3 C.7.5.1)."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """One that is in force."""

    number: str
    stop_rule: str
    plugin: str
    """In the form of `plugin_names.key_of`."""
    rule: str
    scanner: str
    since: datetime
    why: str

    @property
    def sentence(self) -> str:
        """What is suspended, and why."""
        return f"Rule {self.rule} is suspended for {self.scanner} by stop rule {self.stop_rule}: {self.why}"


def begin(database: Database, at: datetime, window: StopWindow, why: str) -> None:
    """From now on studies of its rule and scanner are not analysed."""
    said = f"rule {window.rule}, {window.scanner}: {why}"
    pauses.begin(database, at, Pause(Pausable.SUSPENSION, str(window.id), events.NODE, at, said))


def end(database: Database, at: datetime, number: str, by: str, why: str) -> None:
    """A person resumes it: a new window begins. NotFoundError where there is none of this number."""
    pauses.end(database, at, Pausable.SUSPENSION, number, by, why)
    window = stop_windows.get(database, int(number))
    stop_windows.end(database, at, window, WindowVerdict.CLEARED)
    stop_windows.begin_anew(database, at, window.rule, window.scanner)


def in_force(database: Database) -> list[Suspension]:
    """All of them, oldest first."""
    rows = query(
        database,
        "SELECT name AS number, stop_rule, plugin, rule, scanner, since, why FROM pauses"
        " JOIN stop_windows ON stop_windows.id=CAST(name AS INTEGER) WHERE what='suspension' ORDER BY stop_windows.id",
    )
    return [Suspension(**{**row, "since": from_text(row["since"])}) for row in rows]


def scanner_of(database: Database, job: Job) -> str:
    """What made the images of a job, in words; `UNKNOWN_SCANNER` where they do not say."""
    for given in job.inputs:
        for receipt in given.receipts[:1]:
            header = facts.header_of(database, job.study_instance_uid, receipt)
            if header is not None:  # None: of an earlier study
                values = (header.get(name, ["", []])[1] for name in _NAMES)
                named = [str(each[0]).strip() for each in values if each and str(each[0]).strip()]
                return " ".join(named) or UNKNOWN_SCANNER
    return UNKNOWN_SCANNER
