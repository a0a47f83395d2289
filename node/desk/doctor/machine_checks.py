"""The machine: its clock, the disk of the data folder, the user of the node, its log, its GPU."""

from __future__ import annotations

import ctypes
import os
import stat
import statistics
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from node.config.models import Configuration
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.store import health

_TIMEX_BYTES, _STATUS_OFFSET, _UNSYNCHRONISED = 512, 40, 0x40
"""struct timex of adjtimex(2) on 64 bits, with room; where its `status` is; STA_UNSYNC."""
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"})
_VOLATILE = frozenset({"tmpfs", "ramfs"})
_OBJECT, _WRITES = 512 * 1024, 12
_SLOW = 0.1
"""Seconds for one object to be on the disk: 300 slices would take half a minute."""
_LARGE_LOG = 1 << 30


def clock(configuration: Configuration, now: datetime) -> DoctorFinding:
    """Whether a time service keeps it right, as the kernel knows (adjtimex(2)): results and events have times."""
    synchronised = _kept_right()
    here, site = now.astimezone().utcoffset(), now.astimezone(configuration.node.zone).utcoffset()
    other = (
        "" if here == site else "; the machine's own time zone differs from node.time_zone, so its other logs do, too"
    )
    said = f"{now.astimezone(configuration.node.zone):%Y-%m-%d %H:%M:%S} in {configuration.node.time_zone}{other}"
    if synchronised is None:
        return DoctorFinding("clock", Diagnosis.NOT_SEEN, said, "Compare it with the clock of the PACS.")
    if synchronised:
        return DoctorFinding("clock", Diagnosis.GOOD, f"{said}, kept right by a time service")
    return DoctorFinding(
        "clock",
        Diagnosis.DOUBTFUL,
        f"{said}, and the kernel knows of no time service that keeps it right",
        "Install chrony, or run `timedatectl set-ntp true`; on a virtual machine ask who keeps the clock of its host.",
    )


def _kept_right() -> bool | None:
    try:
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):  # not Linux
        return None
    return not int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little") & _UNSYNCHRONISED


def disk(configuration: Configuration) -> Iterator[DoctorFinding]:
    """Free space, the kind of file system, and how long one object takes to be on it."""
    data = configuration.node.data
    if not data.is_dir():
        yield DoctorFinding("disk", Diagnosis.NOT_SEEN, f"{data} is not there yet", "`pacsnode serve` makes it.")
        return
    yield _space(configuration, data)
    kind = file_system(data)
    if kind in _REMOTE:
        yield DoctorFinding(
            "file system",
            Diagnosis.WRONG,
            f"{data} is on another machine ({kind}): "
            "its locks, and its word that something is on the disk, are not to be relied on",
            "Put node.data on a disk of this machine, and backups on the other one.",
        )
    elif kind in _VOLATILE:
        yield DoctorFinding(
            "file system",
            Diagnosis.WRONG,
            f"{data} is in memory ({kind}): all of it is gone after a restart",
            "Put node.data on a disk.",
        )
    else:
        yield DoctorFinding("file system", Diagnosis.GOOD, kind or "of this machine")
    yield _speed(data)


def _space(configuration: Configuration, data: Path) -> DoctorFinding:
    load, limits = health.load_of(data), configuration.node.limits
    free = f"{load.free_bytes / 2**30:,.1f} GiB free"
    if refusing := health.refusing_associations(load, limits):
        return DoctorFinding(
            "disk",
            Diagnosis.WRONG,
            f"modalities are refused: {refusing}",
            "See what would go with `pacsnode retention --dry-run`, or give node.data a larger disk.",
        )
    if load.free_bytes < 4 * limits.free_space:
        return DoctorFinding(
            "disk",
            Diagnosis.DOUBTFUL,
            f"{free}; below {limits.free_space / 2**30:,.1f} GiB modalities are refused",
            "`pacsnode retention --dry-run` says how many days are left.",
        )
    return DoctorFinding("disk", Diagnosis.GOOD, free)


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on, as in ext4; empty where it is not known."""
    real = folder.resolve()
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    return next((mounts[each] for each in (real, *real.parents) if each in mounts), "")


def _speed(data: Path) -> DoctorFinding:
    """Written as objects are: half a megabyte, then fdatasync."""
    taken = []
    try:
        with TemporaryDirectory(dir=data, prefix=".doctor-") as folder:
            for number in range(_WRITES):
                began = time.perf_counter()
                with (Path(folder) / str(number)).open("xb", buffering=0) as file:
                    file.write(os.urandom(_OBJECT))
                    os.fdatasync(file.fileno())
                taken.append(time.perf_counter() - began)
    except OSError as error:
        return DoctorFinding(
            "speed of the disk",
            Diagnosis.NOT_SEEN,
            f"nothing can be written in {data}: {error.strerror}",
            "Run this as the user that the node runs as.",
        )
    seconds = statistics.median(taken)
    said = f"an object of 512 kB is on the disk after {seconds * 1000:.0f} ms (median of {_WRITES})"
    if seconds > _SLOW:
        return DoctorFinding(
            "speed of the disk",
            Diagnosis.DOUBTFUL,
            f"{said}: scanners send faster than that",
            "Use a disk with a cache that survives a power failure, or an SSD; look at what else writes there.",
        )
    return DoctorFinding("speed of the disk", Diagnosis.GOOD, said)


def user(running: Mapping[str, Any] | None) -> DoctorFinding:
    """Whom the node runs as; while it does not run, whom it would run as if this user started it."""
    process = _process(running)
    uid = process.uids().effective if process else os.geteuid()
    which = "the node runs" if process else "`serve` run by this user would run"
    if uid:
        return DoctorFinding("user", Diagnosis.GOOD, f"{which} as user {uid}, not as root")
    return DoctorFinding(
        "user",
        Diagnosis.DOUBTFUL,
        f"{which} as root: a fault in it could touch everything on this machine",
        "Give it a user of its own: `pacsnode install`, which lets systemd listen on port 104, too.",
    )


def log_file(running: Mapping[str, Any] | None) -> DoctorFinding:
    """Where standard error of the running node goes, and whether that fills."""
    process = _process(running)
    try:
        target = os.readlink(f"/proc/{process.pid}/fd/2") if process else ""
        found = Path(target).stat() if target.startswith("/") else None
    except OSError:
        target, found = "", None
    if not target:
        said = "where the node logs to is not seen while it does not run, or by this user"
        return DoctorFinding("log", Diagnosis.NOT_SEEN, said)
    if found is None or not stat.S_ISREG(found.st_mode):
        whose = (
            "to the system's journal or another program" if target.startswith(("socket:", "pipe:")) else f"to {target}"
        )
        return DoctorFinding("log", Diagnosis.GOOD, f"the node logs {whose}")
    large = found.st_size > _LARGE_LOG
    rotated = _rotated(Path(target))
    said = f"the node logs to the file {target}, which has {found.st_size / 2**20:,.0f} MiB"
    if rotated and not large:
        return DoctorFinding("log", Diagnosis.GOOD, f"{said}; logrotate knows of it")
    return DoctorFinding(
        "log",
        Diagnosis.WRONG if large else Diagnosis.DOUBTFUL,
        f"{said}, and {'is not made smaller' if rotated else 'nothing makes it smaller'}",
        "Let systemd run the node, so that the journal has its lines and a limit;"
        " or give the file to logrotate (copytruncate).",
    )


def _rotated(log: Path) -> bool:
    for each in (Path("/etc/logrotate.conf"), *Path("/etc/logrotate.d").glob("*")):
        try:
            if str(log) in each.read_text(errors="replace") or str(log.parent / "*") in each.read_text(
                errors="replace"
            ):
                return True
        except OSError:
            continue
    return False


def _process(running: Mapping[str, Any] | None) -> psutil.Process | None:
    try:
        return psutil.Process(int(running["pid"])) if running and running.get("pid") else None
    except psutil.Error:
        return None
