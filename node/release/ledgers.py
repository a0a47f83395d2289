"""The ledger of a node during an upgrade, by the program of one release: each step is a process of its own.

    python -m node.release.ledgers copy DATA         copy it aside
    python -m node.release.ledgers migrate DATA      bring it up to date
    python -m node.release.ledgers back DATA BY      the copy again, where this program cannot read what is there

A step that was killed can be done again.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from node.clock import SystemClock, to_text
from node.errors import NodeError, NotFoundError
from node.ledger import copies, instances, restorations
from node.ledger.database import FILE, Ledger
from node.store import upgrade_record
from node.store.durable import sync_folder
from node.store.layout import DataFolder
from node.store.upgrade_record import JOURNAL

_PARTS = ("", "-wal", "-shm")


def copy(data: Path, folder: Path) -> None:
    """Copy the ledger of a stopped node into `folder`, durable when it returns; nothing where there is none yet."""
    part, target = folder / f"{FILE}.part", folder / FILE
    for each in (part, target):
        each.unlink(missing_ok=True)
    if not (data / FILE).exists():
        return
    copies.copy(data / FILE, part, lambda: None)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.rename(target)
    sync_folder(folder)


def migrate(data: Path) -> None:
    """Bring the ledger up to date, as a start of this release does."""
    if (data / FILE).exists():
        Ledger(data / FILE).close()


def put_back(data: Path, by: str, *, take_images_back: bool = True) -> str:
    """Give this release a ledger that it can read; what was done, in words.

    One whose schema this release knows stays as it is. Else the copy is restored, under a new identity, so that jobs
    begin again and destinations are asked before anything is sent again. The newer ledger is kept beside it. Received
    images that the copy does not know wait for the indexer again, or, without `take_images_back`, are found by the next
    start, which holds their studies.
    """
    folder = upgrade_record.make_folder(data)
    if _is_readable(data / FILE):
        _empty(folder / JOURNAL)
        return "the ledger stays: this release knows its schema"
    copied = folder / FILE
    if not copied.exists():
        raise NotFoundError(f"{copied}: the copy from before the upgrade is gone; restore a backup (docs/backup.md)")
    made_at = datetime.fromtimestamp(copied.stat().st_mtime, UTC)
    restoring = folder / "restoring.db"
    for each in folder.glob("restoring.*"):
        each.unlink()
    copies.copy(copied, restoring, lambda: None)
    with closing(Ledger(restoring)) as ledger:
        with ledger.transaction() as database:
            restorations.begin(database, SystemClock().now(), by=by, backup="before the upgrade", made_at=made_at)
        newest = instances.newest_receipt(ledger.database)
    taken = _take_back(DataFolder(data), newest) if take_images_back else 0
    for message in sorted((folder / JOURNAL).iterdir()):
        message.rename(data / JOURNAL / message.name)
    for part in reversed(_PARTS):
        if (newer := data / f"{FILE}{part}").exists():
            newer.rename(folder / f"newer-ledger.db{part}")
    restoring.rename(data / FILE)
    sync_folder(data)
    return f"the ledger is as it was at {to_text(made_at)}; {taken} images received since are indexed again"


def _is_readable(path: Path) -> bool:
    """Whether this program knows the whole schema of the ledger; also where there was none, nor is one."""
    try:
        with closing(Ledger.existing(path)):
            return True
    except NotFoundError:
        return not (path.parent / upgrade_record.FOLDER / FILE).exists()
    except NodeError:
        return False


def _take_back(data_folder: DataFolder, newest: str) -> int:
    count = 0
    for folder in data_folder.stored_by_folder():
        unknown = [receipt for receipt in folder if receipt > newest]
        if unknown:
            data_folder.take_back(unknown)
            count += len(unknown)
    return count


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        each.unlink()


def main(arguments: list[str]) -> int:
    """One step; exit code 1 with its reason on standard error."""
    step, data = arguments[0], Path(arguments[1])
    try:
        match step:
            case "copy":
                copy(data, upgrade_record.make_folder(data) if len(arguments) < 3 else Path(arguments[2]))
            case "migrate":
                migrate(data)
            case "back":
                sys.stdout.write(put_back(data, arguments[2], take_images_back=arguments[3:] != ["hold"]))
    except (NodeError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
