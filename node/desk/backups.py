"""Making and restoring backups, and proving that a data folder or a backup is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from node.backup.contents import CONFIGURATION
from node.backup.making import BackupRun
from node.backup.manifest import BackupHeader
from node.backup.restoring import RestoreOutcome, restore
from node.backup.verifying import VerifyReport, repair, verify, verify_backup
from node.clock import Clock, to_text
from node.config.models import Configuration
from node.desk.actions import ActionOutcome
from node.desk.actor import Actor
from node.desk.rights import Right, require
from node.errors import UsageError

_SHOWN = 10


def make(configuration: Configuration, folder: Path | None, keep: int | None, clock: Clock, by: Actor) -> ActionOutcome:
    """Make a backup in `folder`, or where the configuration says; drop all but the newest `keep`, where that is given.

    Raises `NodeError`: the backups before it are as they were.
    """
    require(by, Right.ACT)
    settings = configuration.backup
    if folder is None and settings is None:
        raise UsageError("name a folder for the backup, or say backup.to in the configuration")
    if keep is None and folder is None and settings is not None:
        keep = settings.keep
    target = folder or (settings.to if settings else Path())
    made = BackupRun(configuration.node.data, target, clock, by=str(by)).make(keep)
    return ActionOutcome("\n".join(_made_in_words(made, target)), _plain(made, target))


def _made_in_words(made: BackupHeader, target: Path) -> Iterator[str]:
    size = _size(made.bytes)
    yield f"backup {made.name} is in {target}: the ledger and {made.files} files, {size}; {made.copied} were new"
    if made.missing_count:
        some = ", ".join(made.missing[:3])
        yield (
            f"{made.missing_count} files that the ledger names were not in the data folder, such as {some}:"
            " see pacsnode verify"
        )


def _plain(made: BackupHeader, target: Path) -> dict[str, Any]:
    return {
        "folder": str(target),
        "name": made.name,
        "made_at": to_text(made.made_at),
        "files": made.files,
        "bytes": made.bytes,
        "copied": made.copied,
        "missing": made.missing_count,
        "examples_missing": list(made.missing),
    }


def put_back(target: Path, data: Path, name: str, clock: Clock, by: Actor) -> ActionOutcome:
    """Restore the backup of this name, or the newest, into an empty data folder; raises `NodeError`."""
    require(by, Right.ACT)
    outcome = restore(target, data, clock, by=str(by), name=name)
    value = {
        "data": str(data),
        "name": outcome.manifest.name,
        "made_at": to_text(outcome.manifest.made_at),
        "files": outcome.files,
        "bytes": outcome.bytes,
        "damaged": outcome.damaged_count,
        "examples_damaged": outcome.damaged,
        "generation": outcome.restoration.generation if outcome.restoration else None,
    }
    return ActionOutcome("\n".join(_restored_in_words(outcome, data)), value)


def _restored_in_words(outcome: RestoreOutcome, data: Path) -> Iterator[str]:
    made = outcome.manifest
    size = _size(outcome.bytes)
    yield f"{data} is restored from the backup {made.name}: the ledger and {outcome.files} files, {size}"
    if outcome.damaged_count:
        some = ", ".join(outcome.damaged[:3])
        yield (
            f"{outcome.damaged_count} files are missing or damaged in the backup and were left out, such as {some};"
            " the node reports them when it starts"
        )
    yield f"what the node received or sent after {made.made_at:%Y-%m-%d %H:%M} UTC is not in it"
    yield "before a result is sent, its destination is asked for results from after the backup (pacsnode restored)"
    if (data / CONFIGURATION).exists():
        yield f"the configuration as it was then is in {data / CONFIGURATION}"


def check(data: Path, *, quick: bool) -> VerifyReport:
    """Whether a data folder is whole; `quick`: contents of files are not read. Raises `NodeError`."""
    return verify(data, read_files=not quick)


def mend(data: Path, report: VerifyReport, clock: Clock, backups: Path | None) -> None:
    """Repair what can be proved, with files of `backups` where these are named; the report says what was done."""
    repair(data, report, clock, backups)


def check_backup(target: Path, name: str) -> VerifyReport:
    """Whether the backup of this name, or every one in a folder, is whole; raises NotFoundError."""
    return verify_backup(target, name)


def in_words(report: VerifyReport) -> Iterator[str]:
    """What was found, a line each."""
    yield from report.repaired
    yield from report.backup[:_SHOWN]
    if len(report.backup) > _SHOWN:
        yield f"… and {len(report.backup) - _SHOWN} more"
    for wrong in report.ledger:
        yield f"ledger: {wrong.sentence}: {wrong.rows}, such as {', '.join(wrong.examples[:3])}"
    for fault in report.faults[:_SHOWN]:
        yield f"{fault.path}: {fault.reason}"
    if len(report.faults) > _SHOWN:
        yield f"… and {len(report.faults) - _SHOWN} more files"
    if report.unknown:
        yield (
            f"{len(report.unknown)} stored images have no row in the ledger, such as {report.unknown[0]}:"
            " --repair has them indexed again"
        )
    verdict = "all is as it should be" if report.sound else "NOT all is as it should be"
    yield f"{report.files} files, {_size(report.bytes)}: {verdict}"


def plain(report: VerifyReport) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "sound": report.sound,
        "files": report.files,
        "bytes": report.bytes,
        "ledger": [
            {"sentence": each.sentence, "rows": each.rows, "examples": list(each.examples)} for each in report.ledger
        ],
        "faults": [{"file": each.path, "reason": each.reason} for each in report.faults],
        "unknown": report.unknown,
        "backup": report.backup,
        "repaired": report.repaired,
    }


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
