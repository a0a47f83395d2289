"""The data folder: where each file lies, and what a received file says about itself.

The receiver writes `incoming/<receipt>.part`, makes it durable, renames it to `.dcm` and only then
answers 0x0000; the indexer moves it to `store/<aaaaaa>/<receipt>.dcm` once its row is committed. A
receipt's name is the node's own (a number that only grows, `node.store.numbers`, and chance), never text from
the wire; sorted names are in order of arrival. Or it overwrites a prepared file (`.slot`), seals
it (`node.store.seal`) and answers, and renames it then; `adopt_sealed` and `sweep_parts` do that for a receiver
that died in between. How it arrived is in the file's own meta information, so that a restart needs
nothing but the files (PS3.10 7.1: Source AE Title (0002,0016) holds the calling AE title, Receiving AE
Title (0002,0018) the called one, Source Presentation Address (0002,0026) the peer, and Private
Information (0002,0102) the rest, as JSON).

This module stands below the stages: the receiver writes with it, the others read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from node.store import seal
from node.store.arrival import NotOurFileError, read_arrival
from node.store.callers import Caller, open_callers
from node.store.durable import sync_folder
from node.store.numbers import DIGITS, Numbers

_STORED = re.compile(r"[0-9a-f]{32}\.dcm")
LAYOUT = 2
"""Of the folders below the data folder; one more with each change. 1: `store/` by the last two digits of a receipt."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """An object on its way in: its association, and its study and series where enough has arrived to tell."""

    association: str
    study_instance_uid: str | None
    series_instance_uid: str | None = None


class DataFolder:
    """The folders of one data folder; making it makes them (0700: patients' images are in them)."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.incoming = data / "incoming"
        self.store = data / "store"
        self.work = data / "work"
        self.results = data / "results"
        self.outgoing = data / "outgoing"
        self.associations = data / "associations"
        for folder in (data, self.incoming, self.store, self.work, self.results, self.associations):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._numbers = Numbers(data)

    def new_receipt(self) -> str:
        """A fresh name, 32 lower-case hexadecimal digits; above every earlier one, whichever process made that."""
        return f"{self._numbers.next():0{DIGITS}x}{secrets.token_hex(8)}"

    def part(self, receipt: str) -> Path:
        """Where a receipt is written before it is whole."""
        return self.incoming / f"{receipt}.part"

    def blank(self, association: str) -> Path:
        """An empty file that an open association keeps ready for its next object."""
        return self.incoming / f"{association}.blank"

    def slot(self) -> Path:
        """Where a prepared file may be, empty or to be overwritten; by its name it is this process's."""
        return self.incoming / f"{os.getpid()}-{self.new_receipt()}.slot"

    def arrived(self, receipt: str) -> Path:
        """Where a whole receipt waits for the indexer."""
        return self.incoming / f"{receipt}.dcm"

    def stored(self, receipt: str) -> Path:
        """Where an indexed receipt stays: in a folder for each 18 minutes (2^40 ns), its first six digits.

        By number, so that a batch of receipts goes to one folder and costs one sync.
        """
        return self.store / receipt[:6] / f"{receipt}.dcm"

    def _stored_first(self, receipt: str) -> Path:
        """Where the first release stored it, and where it stays: moving what was promised would only put it at risk."""
        return self.store / receipt[-2:] / f"{receipt}.dcm"

    def in_first_layout(self) -> frozenset[str]:
        """Receipts that lie where the first release stored them."""
        folders = [entry for entry in os.scandir(self.store) if len(entry.name) == 2 and entry.is_dir()]
        return frozenset(receipt for folder in folders for receipt in _receipts(Path(folder)))

    def newest_stored(self) -> str:
        """The stored receipt whose name sorts last; empty where the store is."""
        newest = max(self.in_first_layout(), default="")
        for name in sorted((entry.name for entry in os.scandir(self.store) if len(entry.name) > 2), reverse=True):
            if found := max(_receipts(self.store / name), default=""):
                return max(newest, found)
        return newest

    def stored_by_folder(self) -> Iterator[list[str]]:
        """All stored receipts, a folder at a time; those of the first release first, then by arrival."""
        for name in sorted((entry.name for entry in os.scandir(self.store)), key=lambda name: (len(name), name)):
            yield sorted(_receipts(self.store / name))

    def take_back(self, receipts: Sequence[str]) -> None:
        """Let stored files wait in `incoming/` again, as if they had just come: the ledger does not know them."""
        for receipt in receipts:
            self.find(receipt).rename(self.arrived(receipt))
        sync_folder(self.incoming)

    def find(self, receipt: str) -> Path:
        """The file of a receipt, indexed or not yet; FileNotFoundError where there is none.

        The store is tried twice, because the indexer may move the file between two looks.
        """
        stored = self.stored(receipt)
        for path in (stored, self.arrived(receipt), stored, self._stored_first(receipt)):
            if path.exists():
                return path
        raise FileNotFoundError(f"receipt {receipt}: neither in {self.store} nor in {self.incoming}")

    def remove(self, receipts: Sequence[str]) -> int:
        """Delete received files for good, wherever each is; how many were not there. Durable when it returns.

        Raises OSError for the first that cannot be deleted; those before it are.
        """
        folders, missing = set(), 0
        try:
            for receipt in receipts:
                places = (self.stored(receipt), self._stored_first(receipt), self.arrived(receipt))
                gone = [path.parent for path in places if _unlinked(path)]
                folders.update(gone)
                missing += not gone
        finally:
            for folder in sorted(folders):
                sync_folder(folder)
        return missing

    def remove_empty_folders(self) -> None:
        """Remove the folders of the store from which everything has gone, but none that a new file may go to."""
        newest = self.stored(self.new_receipt()).parent.name
        awaited = {self.stored(receipt).parent.name for receipt in self.waiting()}
        for entry in os.scandir(self.store):
            if len(entry.name) == len(newest) and entry.name < newest and entry.name not in awaited:
                with contextlib.suppress(OSError):  # not empty, most of them
                    os.rmdir(entry)

    def waiting(self) -> list[str]:
        """Receipts that wait for the indexer, in order of arrival."""
        return sorted(entry.name[:-4] for entry in os.scandir(self.incoming) if entry.name.endswith(".dcm"))

    def move_all_to_store(self, receipts: Sequence[str]) -> None:
        """The same for many, syncing each folder once: as a batch is indexed."""
        folders = set()
        for receipt in receipts:
            target = self.stored(receipt)
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True, mode=0o700)
                folders.add(self.store)  # a folder's own name is in the one above
            self.arrived(receipt).rename(target)
            folders.add(target.parent)
        for folder in sorted(folders):
            sync_folder(folder)

    @contextmanager
    def association(self, name: str, caller: Caller = ("", "")) -> Iterator[None]:
        """Show the association `name` as open: its file is locked until this ends or the process dies.

        The file holds who opened it.
        """
        path = self.associations / name
        unlocked = self.associations / f".{name}"  # locked before it has its name: a reader never sees it unlocked
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, json.dumps(caller).encode())
            unlocked.rename(path)
            yield
        finally:
            unlocked.unlink(missing_ok=True)  # where the disk was full
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def sweep_associations(self) -> None:
        """Remove what receivers left that died before an association had its name; while no receiver runs."""
        for path in self.associations.glob(".*"):
            path.unlink(missing_ok=True)

    def open_associations(self) -> frozenset[str]:
        """Names of the associations that are open now; files that a dead receiver left are removed."""
        names = [entry.name for entry in os.scandir(self.associations) if not entry.name.startswith(".")]
        return frozenset(name for name in names if self._is_locked(self.associations / name))

    def callers(self) -> Counter[Caller]:
        """How many associations each caller has open now."""
        return open_callers(self.associations)

    def _is_locked(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)

    def in_flight(self) -> list[InFlight]:
        """Objects being received now, on associations that are open."""
        found = [_peek(path) for path in sorted(self.incoming.glob("*.part"))]
        alive = self.open_associations()  # after the files, as in `sweep_parts`
        return [part for part in found if part is not None and part.association in alive]

    def adopt_sealed(self) -> int:
        """Give whole objects their final name that a dead receiver sealed, and may have answered for; how many."""
        sealed = [(path, found) for path in self.incoming.glob("*.part") if (found := seal.read(path)) is not None]
        alive = self.open_associations() if sealed else frozenset()  # after the files, as in `sweep_parts`
        dead = [(path, found) for path, found in sealed if not _belongs_to(path, alive)]
        return sum(self._keep(path, found) for path, found in dead)

    def _keep(self, path: Path, found: seal.Seal | None) -> bool:
        """An object is whole where its seal holds, whatever its name is: from now on it has its final one."""
        if found is None or not seal.holds(path, found):
            return False
        path.rename(self.arrived(found.receipt))
        return True

    def sweep_parts(self) -> int:
        """Keep what is sealed, remove what else dead associations left (nothing of it was promised); how much of that.

        May be called while receivers run: the files are looked at before the associations, so that none of an
        association that was opened meanwhile is taken for a dead one's.
        """
        found = [(path, _peek(path)) for path in self.incoming.glob("*.part")]
        blanks = list(self.incoming.glob("*.blank"))
        alive = self.open_associations()
        removed = 0
        for path, part in found:
            # One that does not say whose it is may have been begun just now, where anything is open.
            if ((part.association not in alive) if part else not alive) and not self._keep(path, seal.read(path)):
                path.unlink(missing_ok=True)
                removed += 1
        for path in blanks:
            if path.stem not in alive:
                path.unlink(missing_ok=True)
        self.sweep_slots()
        return removed

    def sweep_slots(self) -> None:
        """Remove the slots of dead receivers. One that is sealed was renamed, and the power went before that lasted."""
        for path in self.incoming.glob("*.slot"):
            if not self._keep(path, seal.read(path)) and not _is_another(path.name.partition("-")[0]):
                path.unlink(missing_ok=True)


def _unlinked(path: Path) -> bool:
    """Whether there was such a file; now there is none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _receipts(folder: Path) -> list[str]:
    """The received files in a folder of the store, and nothing that somebody else may have put there."""
    try:
        return [name[:-4] for name in os.listdir(folder) if _STORED.fullmatch(name)]
    except NotADirectoryError:
        return []


def _is_another(process: str) -> bool:
    """Whether another process of this number runs; one of our own number had it before us."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()


def _belongs_to(path: Path, associations: frozenset[str]) -> bool:
    part = _peek(path)
    return part is not None and part.association in associations


def _peek(path: Path) -> InFlight | None:
    """What an unfinished file tells; None where not even its meta information is there."""
    try:
        arrival, offset = read_arrival(path)
    except (OSError, NotOurFileError):
        return None  # the first bytes are not on disk yet, or the file was renamed meanwhile
    from pydicom.filereader import read_partial  # as in `read_arrival`

    study = series = None
    try:
        with path.open("rb") as file:
            head = BytesIO(file.read(offset + 65536))
        head_set = read_partial(head, stop_when=lambda tag, _vr, _length: tag > 0x0020000E)
        study = str(head_set.get("StudyInstanceUID", "")) or None
        series = str(head_set.get("SeriesInstanceUID", "")) or None
    except Exception:  # noqa: BLE001 - a cut dataset can fail anywhere in the parser; not knowing is an answer
        study = series = None
    return InFlight(arrival.association, study, series)
