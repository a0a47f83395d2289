"""Whether the node can keep what it is sent: space, the objects that wait to be indexed, and whether writing works.

Receivers ask this before they take more (backpressure); `status` asks the same of the same data folder. So nothing has
to be passed from one to the other, but a failure to write, which leaves a file behind while it lasts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.clock import from_text, to_text
from node.config.models import AssociationLimits

TROUBLE = "trouble.json"
"""In the data folder while the last attempt to write what was received has failed."""
FAILING = "failing.json"
"""In the data folder while stages of the node fail as a whole, again and again."""
_LOOK_SECONDS = 1.0
_OPEN_MAY_GO_ON = 2
"""How much further than for new associations it goes until objects on open ones are refused: a study that is under
way is finished if it can be, because a modality that is refused in its midst often has to be helped by hand."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is in the data folder at one moment."""

    free_bytes: int
    """On its file system, as far as the node may use it."""
    waiting: int
    """Objects that are not indexed yet."""


def load_of(data: Path) -> Load:
    """Look. Raises OSError where the folder cannot be read."""
    return Load(shutil.disk_usage(data).free, _waiting(data / "incoming"))


def _waiting(incoming: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # nothing was ever received here
        return sum(name.endswith(".dcm") for name in os.listdir(incoming))
    return 0


def oldest_waiting(data: Path) -> float | None:
    """When the object arrived that has waited for longest to be indexed, in seconds since 1970; None where none waits.

    Receipts are in order of arrival. Raises OSError where the folder cannot be read.
    """
    with contextlib.suppress(FileNotFoundError):  # nothing was ever received here, or it was indexed just now
        first = min((name for name in os.listdir(data / "incoming") if name.endswith(".dcm")), default=None)
        return (data / "incoming" / first).stat().st_mtime if first else None
    return None


def refusing_associations(load: Load, limits: AssociationLimits) -> str | None:
    """Why no new association is accepted; None where they are."""
    return _beyond(load, limits.free_space, limits.waiting_objects)


def refusing_objects(load: Load, limits: AssociationLimits) -> str | None:
    """Why even an object on an open association is refused; None where it is taken."""
    return _beyond(load, limits.free_space // _OPEN_MAY_GO_ON, limits.waiting_objects * _OPEN_MAY_GO_ON)


def _beyond(load: Load, free_space: int, waiting_objects: int) -> str | None:
    if load.free_bytes < free_space:
        return f"{_mebibytes(load.free_bytes)} free, {_mebibytes(free_space)} are to stay free"
    if load.waiting > waiting_objects:
        return f"{load.waiting} objects wait to be indexed, more than {waiting_objects}"
    return None


def _mebibytes(octets: int) -> str:
    return f"{octets / 2**30:.1f} GiB" if octets >= 2**30 else f"{octets / 2**20:.1f} MiB"


class Gauge:
    """The load, looked at once a second at most: what is asked before each object must cost nothing."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._load = Load(0, 0)
        self._looked_at = float("-inf")

    def read(self) -> Load:
        """The load now, or as it was a moment ago. Raises OSError where the folder cannot be read."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
                self._load = load_of(self._data)
                self._looked_at = time.monotonic()
            return self._load


@dataclass(frozen=True, slots=True)
class Trouble:
    """What fails, since when and why: writing what was received, or a stage as a whole."""

    at: datetime
    reason: str


def note_trouble(data: Path, trouble: Trouble) -> None:
    """Leave word for `status`; where even that cannot be written, `cannot_write` finds out."""
    part = data / f".{TROUBLE}-{os.getpid()}-{threading.get_ident()}"
    with contextlib.suppress(OSError):
        part.write_text(json.dumps({"at": to_text(trouble.at), "reason": trouble.reason}))
        part.rename(data / TROUBLE)


def forget_trouble(data: Path) -> None:
    """Writing works."""
    with contextlib.suppress(OSError):  # there is none, nearly always
        os.unlink(data / TROUBLE)


def trouble(data: Path) -> Trouble | None:
    """What a receiver left word of; None where writing worked last."""
    try:
        said = json.loads((data / TROUBLE).read_text())
        return Trouble(from_text(said["at"]), str(said["reason"]))
    except (OSError, ValueError, KeyError, TypeError):  # no file, or not one that a receiver wrote
        return None


def note_failing(data: Path, failing: Mapping[str, Trouble]) -> None:
    """Leave word for `status` of the stages that fail now; of none, where none does."""
    with contextlib.suppress(OSError):  # a full disk: `status` says so itself
        if not failing:
            (data / FAILING).unlink(missing_ok=True)
            return
        plain = {name: {"at": to_text(each.at), "reason": each.reason} for name, each in failing.items()}
        part = data / f".{FAILING}"
        part.write_text(json.dumps(plain))
        part.rename(data / FAILING)


def failing(data: Path) -> dict[str, Trouble]:
    """Stages that fail as a whole, since when and why; as the node process left word of them."""
    try:
        said = json.loads((data / FAILING).read_text())
        return {str(name): Trouble(from_text(each["at"]), str(each["reason"])) for name, each in said.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no file, or not one that the node wrote
        return {}


def cannot_write(data: Path) -> str | None:
    """Why no file can be written where objects arrive, found by writing one; None where it can.

    None also where the asking user may not write there, or there is no such folder: that says nothing of the node.
    """
    probe = data / "incoming" / f".probe-{os.getpid()}"
    try:
        try:
            with probe.open("xb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except (PermissionError, FileNotFoundError, FileExistsError):
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None
