"""The proof that a data folder, or a backup, is whole; and repairs of what can be proved.

A data folder is whole where its ledger is consistent, every file that a row names is there and has the digest that was
recorded when it was made or received, and every stored image has a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.backup import manifest
from node.backup.folder import BackupFolder
from node.clock import Clock
from node.errors import PermanentError
from node.ledger import consistency, copies, events, instances, promises, reindexings, tallies
from node.ledger.connection import Database
from node.ledger.consistency import LedgerFault
from node.ledger.database import FILE as LEDGER
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.store import intact, unfinished
from node.store.durable import sha256_of, sync_folder
from node.store.intact import DamagedError
from node.store.layout import DataFolder


@dataclass(frozen=True, slots=True)
class FileFault:
    """A file that is missing or damaged."""

    path: str
    """As it is in a backup: relative to the data folder."""
    reason: str
    promised: PromisedFile


@dataclass(frozen=True, slots=True)
class PromisedFile:
    """A file that the ledger names, and how its content is known."""

    digest: str
    """SHA-256: of the data set as received, or of the whole file of a result's object."""
    transfer_syntax_uid: str = ""
    """Of a received image; empty for others."""
    receipt: str = ""


@dataclass
class VerifyReport:
    """What was found."""

    ledger: list[LedgerFault] = field(default_factory=list)
    files: int = 0
    """How many were looked at."""
    bytes: int = 0
    faults: list[FileFault] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Receipts in the store that the ledger does not know."""
    backup: list[str] = field(default_factory=list)
    """What is wrong with a backup."""
    repaired: list[str] = field(default_factory=list)
    """What was repaired, in words."""

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not (self.ledger or self.faults or self.unknown or self.backup)


def verify(data: Path, *, read_files: bool = True) -> VerifyReport:
    """Check a data folder, whether its node runs or not; `read_files`: compare contents, too. Changes nothing.

    Raises NotFoundError, LedgerError, PermanentError where there is no data folder that could be checked.
    """
    unfinished.check(data)
    ledger = Ledger.existing(data / LEDGER)
    report, data_folder = VerifyReport(), DataFolder(data)
    try:
        with consistency.at_one_moment(data / LEDGER) as database:
            report.ledger = consistency.faults(database)
            if any(each.sentence == consistency.DAMAGED for each in report.ledger):
                return report
            for path, promised in _promised(database):
                report.files += 1
                fault = _fault(data_folder, path, promised, read_files, report)
                if fault is not None and _still_promised(ledger.database, path, promised):
                    report.faults.append(fault)
        report.unknown = _unknown(data_folder, ledger.database)
    finally:
        ledger.close()
    return report


def _promised(database: Database) -> Iterator[tuple[str, PromisedFile]]:
    for each in promises.images(database):
        yield (
            f"store/{each.receipt[:6]}/{each.receipt}.dcm",
            PromisedFile(each.digest, each.transfer_syntax_uid, each.receipt),
        )
    for file, digest in promises.objects(database):
        yield file, PromisedFile(digest)


def _fault(
    data_folder: DataFolder, path: str, promised: PromisedFile, read_files: bool, report: VerifyReport
) -> FileFault | None:
    try:
        file = data_folder.find(promised.receipt) if promised.receipt else data_folder.data / path
        report.bytes += file.stat().st_size
        if read_files:
            _compare(file, promised)
    except FileNotFoundError:
        return FileFault(path, "missing", promised)
    except DamagedError as error:
        return FileFault(path, error.reason, promised)
    except OSError as error:
        return FileFault(path, error.strerror or "cannot be read", promised)
    return None


def _compare(file: Path, promised: PromisedFile) -> None:
    """Raises DamagedError where the content is not what the ledger says."""
    if promised.receipt:
        intact.verify(file, promised.digest, promised.transfer_syntax_uid)
    elif sha256_of(file) != promised.digest:
        raise DamagedError(file, "its SHA-256 is not the one of what was made")


def _still_promised(database: Database, path: str, promised: PromisedFile) -> bool:
    """Not where its row went meanwhile, or retention has begun to remove it."""
    if not promised.receipt:
        return promises.is_object(database, path)
    return promises.is_image(database, promised.receipt)


def _unknown(data_folder: DataFolder, database: Database) -> list[str]:
    """Receipts in the store without a row. A file comes to the store after its row, so none is on its way."""
    found: list[str] = []
    for receipts in data_folder.stored_by_folder():
        known = instances.known(database, receipts)
        found += [receipt for receipt in receipts if receipt not in known]
    return found


# --- repairs --------------------------------------------------------------------------------------


def repair(data: Path, report: VerifyReport, clock: Clock, backups: Path | None = None) -> None:
    """Repair what can be proved, and say so in the report.

    Numbers are counted again. Stored images without a row are indexed again by the node, and their studies held. A
    missing or damaged file is taken from a backup, where that has one with the recorded digest.
    """
    ledger = Ledger.existing(data / LEDGER)
    try:
        _count_again(ledger, report, clock)
        _index_again(ledger, report, clock)
    finally:
        ledger.close()
    if backups is not None and report.faults:
        _take_from_backups(DataFolder(data), report, BackupFolder(backups))


def _count_again(ledger: Ledger, report: VerifyReport, clock: Clock) -> None:
    wrong = [each for each in report.ledger if each.sentence == consistency.TALLIES]
    if not wrong:
        return
    with ledger.transaction() as database:
        tallies.count_again(database)
        events.record(database, clock.now(), EventKind.TALLIES_MENDED, tallies=list(wrong[0].examples))
    report.ledger = [each for each in report.ledger if each not in wrong]
    report.repaired.append(f"{wrong[0].rows} numbers were counted again")


def _index_again(ledger: Ledger, report: VerifyReport, clock: Clock) -> None:
    if not report.unknown:
        return
    with ledger.transaction() as database:
        begun = reindexings.under_way(database)
        if begun is None or begun.up_to < max(report.unknown):
            known = instances.newest_receipt(database)
            reindexings.begin(database, clock.now(), newest_known=known, up_to=max(report.unknown))
    report.repaired.append(
        f"{len(report.unknown)} stored images without a row are indexed again by the node, and their studies are held"
    )
    report.unknown = []


def _take_from_backups(data_folder: DataFolder, report: VerifyReport, folder: BackupFolder) -> None:
    left = {fault.path: fault for fault in report.faults}
    for name in reversed(folder.names()):
        if not left:
            break
        for entry in manifest.lines(folder.backups / name):
            fault = left.get(entry.path)
            if fault is not None and _take(data_folder, fault, folder.pooled(entry.sha256)):
                del left[entry.path]
                report.repaired.append(f"{entry.path} was taken from the backup {name}")
    report.faults = [*left.values()]


def _take(data_folder: DataFolder, fault: FileFault, source: Path) -> bool:
    """Whether the file in the pool is what the ledger promises; then it is in its place, durably."""
    target = data_folder.data / fault.path
    part = target.with_name(f"{target.name}.part")
    try:
        _compare(source, fault.promised)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        BackupFolder.copy_out(source, part)
        _compare(part, fault.promised)
    except (DamagedError, FileNotFoundError):
        part.unlink(missing_ok=True)
        return False
    part.rename(target)
    sync_folder(target.parent)
    return True


# --- backups --------------------------------------------------------------------------------------


def verify_backup(target: Path, name: str = "", progress: Callable[[str], None] = lambda _: None) -> VerifyReport:
    """Check the backup of this name, or every one in the folder `target`. Each file is read once, whoever names it.

    Raises NotFoundError where there is none.
    """
    folder, report = BackupFolder(target), VerifyReport()
    folder.find(name)
    wrong: set[str] = set()
    seen: set[bytes] = set()
    for each in [name] if name else folder.names():
        progress(each)
        _verify_one(folder, folder.backups / each, report, wrong, seen)
    return report


def _verify_one(folder: BackupFolder, backup: Path, report: VerifyReport, wrong: set[str], seen: set[bytes]) -> None:
    try:
        made = manifest.read(backup)
        problems = manifest.check(backup, made)
        if not problems:
            with copies.reading(backup / manifest.LEDGER) as database:
                problems = [f"{backup / manifest.LEDGER}: {each}" for each in copies.damage(database)]
    except PermanentError as error:
        problems = [str(error)]
    report.backup += problems
    if problems:
        return
    bad: list[str] = []
    for entry in manifest.lines(backup):
        key = bytes.fromhex(entry.sha256)
        if key not in seen:
            seen.add(key)
            report.files += 1
            report.bytes += entry.size
            if not _is_whole(folder.pooled(entry.sha256), entry.sha256):
                wrong.add(entry.sha256)
        if entry.sha256 in wrong:
            bad.append(entry.path)
    report.backup += [f"{backup.name}: {path} is missing or damaged" for path in bad]


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
