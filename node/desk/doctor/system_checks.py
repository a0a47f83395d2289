"""What a distribution decides: its Python, user namespaces, numbers that a user may use, SELinux, and the service."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.config.problems import Problem
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.installation import places
from node.run import users
from node.serve.users import NODE

_OLDEST, _NEWEST = (3, 11), (3, 13)
"""Versions of Python that the lock files have wheels for."""
_UNCONFINED = "unconfined"


@dataclass(frozen=True, slots=True)
class NamespaceSwitch:
    """A setting of the kernel that can forbid what bubblewrap and podman need."""

    name: str
    forbids: str
    file: Path
    said: str
    step: str


SWITCHES = (
    NamespaceSwitch(
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        places.APPARMOR_SWITCH,
        "AppArmor forbids user namespaces to programs without a profile (Ubuntu 23.10 and later)",
        "`pacsnode install` writes the profile /etc/apparmor.d/pacsnode, which the service runs under: then"
        " `systemctl reload apparmor`. At the shell: `aa-exec -p pacsnode -- pacsnode doctor`.",
    ),
    NamespaceSwitch(
        "kernel.unprivileged_userns_clone",
        "0",
        Path("/proc/sys/kernel/unprivileged_userns_clone"),
        "the kernel forbids user namespaces",
        "Set kernel.unprivileged_userns_clone = 1 in /etc/sysctl.d/, then run `sysctl --system`.",
    ),
    NamespaceSwitch(
        "user.max_user_namespaces",
        "0",
        Path("/proc/sys/user/max_user_namespaces"),
        "the kernel allows no user namespace",
        "Set user.max_user_namespaces = 15000 in /etc/sysctl.d/, then run `sysctl --system`.",
    ),
)


def look(problems: list[Problem]) -> Iterator[DoctorFinding]:
    """Each in turn. `problems`: warnings of the configuration, which say of secrets that others can read."""
    yield python(sys.version_info[:2])
    yield from namespaces()
    yield sub_ids()
    yield selinux(Path("/sys/fs/selinux/enforce"), Path("/proc/self/attr/current"))
    yield service()
    yield from secrets(problems)


def python(version: tuple[int, int]) -> DoctorFinding:
    """Whether the lock files have wheels for it; Rocky 8 and 9 come with an older one."""
    said = f"Python {platform.python_version()} on {_distribution()}"
    if _OLDEST <= version <= _NEWEST:
        return DoctorFinding("Python", Diagnosis.GOOD, said)
    supported = f"{'.'.join(map(str, _OLDEST))} to {'.'.join(map(str, _NEWEST))}"
    step = f"Install one of {supported} (Rocky: `dnf install python3.11`), and pacsnode in its environment."
    return DoctorFinding("Python", Diagnosis.DOUBTFUL, f"{said}: tested are {supported}", step)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "a system without a name")
    except OSError:
        return "a system without a name"


def namespaces(switches: tuple[NamespaceSwitch, ...] = SWITCHES) -> Iterator[DoctorFinding]:
    """The switches that this kernel has; a profile that allows what one forbids is enough."""
    forbidden = False
    for each in switches:
        try:
            value = each.file.read_text(encoding="ascii").strip()
        except OSError:  # this kernel has no such switch
            continue
        if value != each.forbids:
            continue
        forbidden = True
        has_profile = each.file == places.APPARMOR_SWITCH and places.APPARMOR.exists()
        diagnosis = Diagnosis.DOUBTFUL if has_profile else Diagnosis.WRONG
        rest = "; the profile of pacsnode is there" if has_profile else ""
        yield DoctorFinding("user namespaces", diagnosis, f"{each.name} is {value}: {each.said}{rest}", each.step)
    if not forbidden:
        yield DoctorFinding("user namespaces", Diagnosis.GOOD, "no setting of this kernel forbids them")


def sub_ids() -> DoctorFinding:
    """Whether the node's user may run plugins as another one: /etc/subuid, /etc/subgid, newuidmap."""
    try:
        uid, other = pwd.getpwnam(NODE).pw_uid, pwd.getpwnam(users.NAME).pw_uid
    except KeyError:
        said = f"there are no users {NODE} and {users.NAME}: plugins would run as the node's own user"
        return DoctorFinding("users", Diagnosis.DOUBTFUL, said, "As root: `pacsnode install`.")
    for file in (users.SUB_USERS, users.SUB_GROUPS):
        if not users.sub_ids(file, NODE, uid):
            said = f"{file} has no line for {NODE}: plugins would run as the node's own user"
            return DoctorFinding("users", Diagnosis.DOUBTFUL, said, "As root: `pacsnode install`.")
    if shutil.which("newuidmap") is None:
        step = "Install the package uidmap (Rocky: shadow-utils)."
        return DoctorFinding("users", Diagnosis.DOUBTFUL, "newuidmap is not there", step)
    return DoctorFinding("users", Diagnosis.GOOD, f"{NODE} may run plugins as {users.NAME} ({other})")


def selinux(enforcing: Path, label: Path) -> DoctorFinding:
    """Whether SELinux holds this process to a policy; a program in /opt or /usr runs without one of its own."""
    try:
        holds = enforcing.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return DoctorFinding("SELinux", Diagnosis.GOOD, "is not in force on this machine")
    if not holds:
        return DoctorFinding("SELinux", Diagnosis.GOOD, "only notes what it would forbid (permissive)")
    try:
        domain = label.read_text(encoding="ascii").strip("\0\n")
    except OSError:
        domain = ""
    if _UNCONFINED in domain:
        return DoctorFinding("SELinux", Diagnosis.GOOD, f"is enforcing; this runs as {domain}")
    said = f"is enforcing, and this runs as {domain or 'a domain that is not seen'}"
    step = "Look for `denied` in `ausearch -m avc -ts recent`; `restorecon -R /opt/pacsnode` may help."
    return DoctorFinding("SELinux", Diagnosis.DOUBTFUL, said, step)


def service() -> DoctorFinding:
    """Whether the node is a service of this machine: else nothing starts it after a power failure."""
    if not places.BOOTED.exists():
        said = "systemd does not run this machine: who starts the node again is not seen"
        return DoctorFinding("service", Diagnosis.NOT_SEEN, said)
    if not places.SERVICE.exists():
        said = f"there is no {places.SERVICE}: nothing starts the node after a power failure"
        return DoctorFinding("service", Diagnosis.DOUBTFUL, said, "As root: `pacsnode install`.")
    enabled = places.UNITS / "multi-user.target.wants" / places.SERVICE.name
    if not os.path.lexists(enabled):
        step = f"systemctl enable {places.SOCKET.name} {places.SERVICE.name}"
        return DoctorFinding("service", Diagnosis.DOUBTFUL, "is there, and is not started with the machine", step)
    return DoctorFinding("service", Diagnosis.GOOD, f"{places.SERVICE} starts it with the machine")


def secrets(problems: list[Problem]) -> Iterator[DoctorFinding]:
    """Files with secrets that others can read or replace."""
    found = [each for each in problems if "chmod 600" in each.message]
    for each in found:
        said, _, step = each.message.rpartition(": ")
        yield DoctorFinding("secrets", Diagnosis.WRONG, f"{each.yaml_path}: {said}", step)
    if not found:
        yield DoctorFinding("secrets", Diagnosis.GOOD, "no file with one that is configured is open to other users")
